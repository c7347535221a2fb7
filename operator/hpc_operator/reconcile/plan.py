"""What is between the specifications and Azure: the changes that are going to be made, or that wait. Pure functions.

A change is judged in one place, `Planner.judge`: what status.plan shows is what the applier does.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, cast

import orjson

from hpc_operator.api.hpc_environment import ManagedResource
from hpc_operator.api.plan import (
    CHANGES_SHOWN,
    FIELDS_SHOWN,
    TEXT_SHOWN,
    WARNINGS_SHOWN,
    FieldDifference,
    Plan,
    PlannedChange,
)
from hpc_operator.api.policy import DriftAction, Policy
from hpc_operator.arm import FAILED_STATES, TypeInfo, provisioning_state
from hpc_operator.graph import Graph, Json, NodeSet, Owner, Resource, Step, UnresolvedError, resolve
from hpc_operator.policy import Gate, StartingAction
from hpc_operator.preflight import Finding
from hpc_operator.reconcile.fields import (
    FieldChange,
    differences,
    has_field,
    itemized,
    overlay,
    replaces,
    shrinks,
    without,
)
from hpc_operator.reconcile.memory import REPLACING, Memory
from hpc_operator.reconcile.rollout import Node, NodeState
from hpc_operator.reconcile.states import Claim, describe, nodes_name
from hpc_operator.subscription import Offer


class Action(StrEnum):
    """What a change does, as `api.plan.Action` writes it."""

    CREATE = "Create"
    UPDATE = "Update"
    ROLL = "Roll"
    REPLACE = "Replace"
    DELETE = "Delete"
    BLOCKED = "Blocked"


@dataclass(frozen=True)
class Change:
    """One change.

    Parameters
    ----------
    action, id, name, owner, why, fields, touches, waits_for
        As in `api.plan.PlannedChange`.
    reason
        One CamelCase word for a condition, where it is blocked or waits.
    cores
        Change of the use of quota, by VM family.
    price
        Change of the list price per hour; None where it is not known.
    of_nodes
        Whether it is about nodes, and the id that of their scale set.
    """

    action: Action
    id: str
    name: str
    owner: Owner
    why: str = ""
    fields: tuple[FieldChange, ...] = ()
    touches: str = ""
    waits_for: str = ""
    reason: str = ""
    cores: Mapping[str, int] = field(default_factory=dict)
    price: float | None = None
    of_nodes: bool = False

    @property
    def key(self) -> str:
        """The id for comparing."""
        return self.id.lower()

    @property
    def may_start(self) -> bool:
        """Whether nothing but Azure is waited for."""
        return self.action is not Action.BLOCKED and not self.waits_for


@dataclass(frozen=True)
class Drift:
    """What somebody changed in Azure: the fields, none where the resource is gone, and what is done about it."""

    resource: Resource
    fields: tuple[FieldChange, ...]
    action: DriftAction | str


@dataclass(frozen=True)
class Retag:
    """One node whose tags differ: its id, in what, and the part of its body that is wanted."""

    id: str
    changes: tuple[FieldChange, ...]
    wanted: Mapping[str, Any]


@dataclass(frozen=True)
class Judgement:
    """How one resource stands: what has to be done, what somebody else did, and the resolved body that we own.

    What is `left_alone` differs and is only reported, or not even that: no change touches it.
    """

    change: Change | None
    drift: Drift | None
    owned: Mapping[str, Any]
    left_alone: tuple[FieldChange, ...] = ()

    @property
    def body(self) -> Mapping[str, Any]:
        """The part of `owned` that the change writes."""
        return without(self.owned, (field.path for field in self.left_alone))


class Planner:
    """Judges the resources of one environment.

    Parameters
    ----------
    memory
        What is known of the environment.
    type_info
        Returns the row of a resource type.
    claim
        Whose resources are ours.
    gate
        What may start now.
    policy
        What the environment says of drift.
    """

    def __init__(
        self,
        memory: Memory,
        type_info: Callable[[str], TypeInfo],
        claim: Claim,
        gate: Gate,
        policy: Policy,
    ) -> None:
        self.blocks: Mapping[str, Finding] = {}
        """Findings of the preflight by lower-case ARM id."""
        self._memory = memory
        self._type_info = type_info
        self._claim = claim
        self._gate = gate
        self._policy = policy
        self.offer = Offer()
        """VM sizes and prices, as far as they are known."""

    # One resource

    def judge(self, resource: Resource) -> Judgement:
        """Return what has to be done to one resource, whether what it needs is ready or not.

        Raises
        ------
        UnresolvedError
            If its body depends on something that Azure has not told yet.
        """
        actual = self._memory.observed.get(resource.id.lower())
        owned = resolve(resource.body, self._memory.observed)
        if resource.observed_only:
            return self._compared(resource, owned, actual)
        if actual is None:
            return self._missing(resource, owned)
        refusal = self._claim.refusal(resource, actual, was_ours=bool(self._applied(resource)))
        if refusal:
            blocked = self._change(Action.BLOCKED, resource, refusal, reason="AlreadyExists")
            return Judgement(blocked, None, owned)
        info = self._type_info(resource.type)
        changes = tuple(differences(owned, actual, info))
        failed = provisioning_state(actual) in FAILED_STATES
        if not changes and not failed:
            return Judgement(None, None, owned)
        return self._different(resource, owned, actual, changes, info, failed=failed)

    def foresee(self, resource: Resource) -> Judgement | None:
        """Return the same as `judge`, also for what is missing and depends on others; None if nobody can tell yet."""
        try:
            return self.judge(resource)
        except UnresolvedError:
            is_missing = self._memory.observed.get(resource.id.lower(), ...) is None and not resource.observed_only
            return self._missing(resource, resource.body) if is_missing else None

    def _missing(self, resource: Resource, owned: Mapping[str, Any]) -> Judgement:
        applied = self._applied(resource)
        if applied in {"", REPLACING}:
            why = "It was deleted to be made anew." if applied else "It does not exist yet."
            return Judgement(self._may(self._change(Action.CREATE, resource, why), begun=bool(applied)), None, owned)
        action = self._drift_action(resource)
        if resource.holds_data:
            why = "It was deleted in Azure and its data with it; an empty one would not bring that back."
            change = self._change(Action.CREATE, resource, why)
            # An approval is good for one loss: the name tells which.
            loss = self._memory.drift.get(resource.id.lower())
            change = replace(change, name=f"{change.name} lost {loss.since}") if loss is not None else change
            change = self._may(change, lost_data=True)
            if change.waits_for:
                change = replace(change, action=Action.BLOCKED, reason="DataLost")
            return Judgement(change, Drift(resource, (), "Blocked"), owned)
        why = "It was deleted in Azure by somebody else."
        change = self._may(self._change(Action.CREATE, resource, why))
        if action != "Correct":
            change = replace(change, waits_for=_NOT_CORRECTED.format(action=action), reason="DriftReported")
        return Judgement(change, None if action == "Ignore" else Drift(resource, (), action), owned)

    def _different(
        self,
        resource: Resource,
        owned: Mapping[str, Any],
        actual: Mapping[str, Any],
        changes: tuple[FieldChange, ...],
        info: TypeInfo,
        *,
        failed: bool,
    ) -> Judgement:
        applied = self._applied(resource)
        left_alone: tuple[FieldChange, ...] = ()
        drifted = () if failed else tuple(change for change in changes if has_field(applied, change))
        edited = tuple(change for change in changes if change not in drifted)
        action = self._drift_action(resource) if drifted else "Correct"
        drift = Drift(resource, drifted, action) if drifted and action != "Ignore" else None
        if action != "Correct":
            if not edited:
                return Judgement(None, drift, owned)
            changes, left_alone = edited, drifted
        if smaller := [change for change in shrinks(owned, actual, info) if change in changes]:
            least = as_text(smaller[0].before)
            why = f"It has {least} in Azure ({smaller[0].path[-1]}) and cannot become smaller: write {least} or more."
            blocked = self._change(Action.BLOCKED, resource, why, smaller, reason="WouldShrink")
            drift = replace(drift, action="Blocked") if drift and not left_alone else drift
            return Judgement(blocked, drift, owned, left_alone)
        if replaces(changes, info):
            why = "Azure cannot change this: it is deleted and made anew."
            change = self._may(self._change(Action.REPLACE, resource, why, changes), holds_data=resource.holds_data)
            return Judgement(change, drift, owned, left_alone)
        why = "Somebody changed it in Azure."
        if failed:
            why = "Azure shows it as Failed: it is put again as it should be."
        elif edited:
            why = "The specification says otherwise."
        change = self._may(self._change(Action.UPDATE, resource, why, changes))
        return Judgement(change, drift, owned, left_alone)

    def _compared(self, resource: Resource, owned: Mapping[str, Any], actual: Mapping[str, Any] | None) -> Judgement:
        """Judge what is only looked at: where it was handed over to us before, our tags are taken from it."""
        if actual is None:
            return Judgement(None, None, owned)
        info = self._type_info(resource.type)
        if given_back := self._claim.to_give_back(actual):
            why = "It is given back: its entry of spec.adopt says manage: false."
            change = self._change(Action.UPDATE, resource, why, differences(given_back, actual, info))
            return Judgement(self._may(change), None, given_back)
        changes = differences(owned, actual, info)
        if not changes:
            return Judgement(None, None, owned)
        change = self._change(Action.UPDATE, resource, "It is not as the operator would make it.", changes)
        waiting = replace(change, waits_for="manage: true in its entry of spec.adopt.", reason="ObservedOnly")
        return Judgement(waiting, None, owned)

    def _change(
        self, action: Action, resource: Resource, why: str, fields: Sequence[FieldChange] = (), reason: str = ""
    ) -> Change:
        block = self.blocks.get(resource.id.lower())
        if block is not None and action in _WRITES:
            action, why, reason = Action.BLOCKED, block.message, block.reason
        before = next((it.before for it in fields if it.path[-1] == "vmSize"), None)
        after = vm_size_of(resource.body) if action is Action.CREATE or before is not None else None
        cores, price = self._cost(_machines(after), _machines(before))
        return Change(
            action,
            resource.id,
            describe(resource.id),
            resource.owner,
            why,
            tuple(fields),
            "its data" if resource.holds_data and action is not Action.CREATE else "",
            reason=reason,
            cores=cores,
            price=price,
        )

    def _may(self, change: Change, **facts: bool) -> Change:
        """Return a change with what it waits for, as the policy says; for the facts see `Gate.hold`."""
        if change.action is Action.BLOCKED:
            return change
        wait = self._gate.hold(cast("StartingAction", change.action.value), change.name, **facts)
        return replace(change, waits_for=wait.message, reason=wait.reason) if wait else change

    def _applied(self, resource: Resource) -> str:
        entry = self._memory.inventory.get(resource.id.lower())
        return entry.applied if entry is not None else ""

    def _drift_action(self, resource: Resource) -> DriftAction:
        drift = self._policy.drift
        by_step: Mapping[Step, DriftAction | None] = {
            Step.INFRASTRUCTURE: drift.infrastructure,
            Step.BASE_SERVICES: drift.base_services,
            Step.STORAGE: drift.storage,
            Step.COMPUTE: drift.compute,
            Step.ENTRY_POINT: drift.entry_point,
        }
        return by_step[resource.step] or drift.default

    # What goes

    def deletion(self, item: ManagedResource, resource: Resource | None, *, begun: bool) -> Change:
        """Return the change that deletes something which is no longer wanted.

        Parameters
        ----------
        item
            What the inventory has of it.
        resource
            What the full graph has of it; None where there is no specification any more.
        begun
            Whether the deletion is a part of something that has begun, such as a roll.
        """
        holds_data = resource is not None and resource.holds_data
        size = vm_size_of(self._memory.observed.get(item.id.lower()) or {})
        cores, price = self._cost((), _machines(size))
        change = Change(
            Action.DELETE,
            item.id,
            describe(item.id),
            Owner.parse(item.owner),
            "It is no longer wanted.",
            touches="its data" if holds_data else "",
            cores=cores,
            price=price,
        )
        return self._may(change, holds_data=holds_data, begun=begun)

    # Nodes

    def nodes(self, node_set: NodeSet, nodes: Sequence[Node]) -> Change | None:
        """Return what has to be done to the nodes of one partition, None where nothing."""
        staying = [node for node in nodes if node.state is not NodeState.DELETING]
        outdated = [node for node in staying if node.generation != node_set.generation]
        present = [
            node for node in staying if node.generation == node_set.generation and node.state is not NodeState.FAILED
        ]
        difference = node_set.count - len(present)
        if not outdated and difference == 0:
            return None
        partition = node_set.owner.name
        name = nodes_name(partition)
        if outdated:
            action, why = Action.ROLL, "A node of another kind is another virtual machine."
            going, coming = outdated, max(0, difference)
            touches = f"{len(outdated)} nodes, within rollout; jobs that run on them are not waited for yet"
        elif difference > 0:
            action, why, going, coming = Action.CREATE, f"{node_set.count} nodes are wanted.", [], difference
            touches = f"{difference} nodes"
        else:
            action, why = Action.DELETE, f"{node_set.count} nodes are wanted."
            going, coming = present[difference:], 0
            touches = f"{-difference} nodes"
        cores, price = self._cost([(node_set.vm_size, node_set.priority)] * coming, _sizes_of(going))
        change = Change(
            action,
            node_set.scale_set_id,
            name,
            node_set.owner,
            why,
            _node_fields(node_set, outdated),
            touches,
            cores=cores,
            price=price,
            of_nodes=True,
        )
        block = self.blocks.get(node_set.scale_set_id.lower())
        if block is not None and coming:
            return replace(change, action=Action.BLOCKED, why=block.message, reason=block.reason)
        begun = action is Action.ROLL and self._memory.rolling.get(partition) == node_set.generation
        return self._may(change, scaling=action is not Action.ROLL, begun=begun)

    def node_tags(self, node_set: NodeSet, retags: Sequence[Retag]) -> tuple[Change | None, list[Drift]]:
        """Return the change that brings the tags of a partition's nodes in step, and what somebody else changed.

        Parameters
        ----------
        node_set
            What is wanted.
        retags
            The nodes whose tags differ.
        """
        name, applied = node_set.owner.name, fingerprint(node_set.body["tags"])
        if not retags:
            self._memory.node_tags[name] = applied
            return None, []
        is_edit = self._memory.node_tags.get(name) != applied
        action: DriftAction = self._policy.drift.compute or self._policy.drift.default
        drifts: list[Drift] = []
        if not is_edit and action != "Ignore":
            drifts = [
                Drift(Resource(id=retag.id, step=Step.COMPUTE, owner=node_set.owner), retag.changes, action)
                for retag in retags
            ]
        if not is_edit and action != "Correct":
            return None, drifts
        name = f"tags of {nodes_name(node_set.owner.name)}"
        change = Change(
            Action.UPDATE,
            node_set.scale_set_id,
            name,
            node_set.owner,
            "The specification says otherwise." if is_edit else "Somebody changed them in Azure.",
            retags[0].changes,
            f"{len(retags)} nodes",
            of_nodes=True,
        )
        return self._may(change), drifts

    def leaving(self, partition: str, nodes: Sequence[Node], *, begun: bool) -> Change:
        """Return the change that removes the nodes of a partition that goes, and whose going may have begun."""
        cores, price = self._cost((), _sizes_of(nodes))
        change = Change(
            Action.DELETE,
            nodes[0].scale_set_id or nodes[0].id,
            nodes_name(partition),
            Owner("ComputePartition", partition),
            "The partition goes.",
            touches=f"{len(nodes)} nodes",
            cores=cores,
            price=price,
            of_nodes=True,
        )
        return self._may(change, begun=begun)

    def _cost(self, coming: _Sizes, going: _Sizes) -> tuple[Mapping[str, int], float | None]:
        """Return what machines that come and go do to the use of quota, by VM family, and to the price per hour."""
        cores: Counter[str] = Counter()
        price = 0.0
        for sizes, sign in ((coming, 1), (going, -1)):
            for size, priority in sizes:
                price += sign * (self.price_of(size, priority) or 0.0)
                if (offered := self.offer.sizes.get(size.lower())) is not None:
                    cores[offered.family] += sign * offered.vcpus
        return cores, price or None

    def price_of(self, vm_size: str, priority: str = "Regular") -> float | None:
        """Return the list price of a virtual machine per hour, None where it is not known."""
        price = self.offer.prices.get(vm_size.lower())
        if price is None:
            return None
        return price.spot if priority == "Spot" else price.regular

    @property
    def currency(self) -> str:
        """The currency of all prices; empty where none is known."""
        return next((price.currency for price in self.offer.prices.values()), "")


_WRITES = frozenset({Action.CREATE, Action.UPDATE, Action.REPLACE})
_NOT_CORRECTED = "spec.policy.drift is {action} for this step: set it to Correct to have it made again."


def vm_size_of(body: Mapping[str, Any]) -> Json:
    """Return the VM size in a body, None where it is no virtual machine's."""
    profile = (body.get("properties") or {}).get("hardwareProfile") or {}
    return profile.get("vmSize")


_Sizes = Sequence[tuple[str, str]]
"""VM size and priority of virtual machines."""


def _machines(size: Json) -> _Sizes:
    return [(size, "Regular")] if isinstance(size, str) else ()


def _sizes_of(nodes: Iterable[Node]) -> _Sizes:
    return [(node.vm_size, node.priority) for node in nodes]


def _node_fields(node_set: NodeSet, outdated: Sequence[Node]) -> tuple[FieldChange, ...]:
    """Return in what the nodes that go differ from those that come."""
    wanted = {"vmSize": node_set.vm_size, "imageVersion": node_set.image_version, "priority": node_set.priority}
    found = {
        "vmSize": {node.vm_size for node in outdated},
        "imageVersion": {node.image_version for node in outdated},
        "priority": {node.priority for node in outdated},
    }
    return tuple(
        FieldChange((name,), ", ".join(sorted(filter(None, found[name]))), after)
        for name, after in wanted.items()
        if found[name] - {after, ""}
    )


def fingerprint(body: Mapping[str, Any]) -> str:
    """Return a short text that is the same for the same body, be it with or without what must not be there."""
    return hashlib.sha256(orjson.dumps(overlay(None, body), default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


# What users read


def plan_of(changes: Sequence[Change], specification: str, currency: str, warnings: Sequence[str] = ()) -> Plan | None:
    """Return the plan as status shows it: bounded, with a count of what is left out. None where nothing has to be done.

    Parameters
    ----------
    changes
        In the order of their start.
    specification
        The hash of the specifications.
    currency
        Of the prices.
    warnings
        What the preflight found that holds nothing up.
    """
    if not changes:
        return None
    # What somebody has to decide is shown, whatever else has to be left out.
    shown = sorted(changes, key=lambda change: change.may_start)[:CHANGES_SHOWN]
    kept = {id(change) for change in shown}
    return Plan(
        hash=specification,
        summary=_summary(changes),
        price_per_hour=_money(sum(change.price or 0.0 for change in changes), currency),
        changes=tuple(_planned(change, currency) for change in changes if id(change) in kept),
        omitted=len(changes) - len(shown),
        warnings=tuple(warnings[:WARNINGS_SHOWN]),
    )


_WORDS = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.ROLL: "to roll",
    Action.REPLACE: "to replace",
    Action.DELETE: "to delete",
    Action.BLOCKED: "blocked",
}


def _summary(changes: Iterable[Change]) -> str:
    counts = Counter(change.action for change in changes)
    text = ", ".join(f"{counts[action]} {words}" for action, words in _WORDS.items() if counts[action])
    waiting = sum(1 for change in changes if change.waits_for)
    return f"{text}; {waiting} waiting" if waiting else text


def _planned(change: Change, currency: str) -> PlannedChange:
    quota = ", ".join(f"{count:+d} {family}" for family, count in sorted(change.cores.items()) if count)
    return PlannedChange(
        action=change.action.value,
        id=change.id,
        name=change.name,
        owner=str(change.owner),
        why=change.why[:1024],
        fields=shown_fields(change.fields),
        touches=change.touches,
        quota=f"{quota} cores" if quota else "",
        price_per_hour=_money(change.price or 0.0, currency),
        waits_for=change.waits_for[:1024],
    )


def shown_fields(changes: Sequence[FieldChange]) -> tuple[FieldDifference, ...]:
    """Return field changes as status shows them."""
    return tuple(
        FieldDifference(path=".".join(change.path)[:512], before=as_text(change.before), after=as_text(change.after))
        for change in itertools.islice(itertools.chain.from_iterable(map(itemized, changes)), FIELDS_SHOWN)
    )


_GIBIBYTE = 2**30


def as_text(value: Json) -> str:
    """Return a value as people read it: sizes in bytes as Kubernetes writes them, long texts by their hashes."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and value >= _GIBIBYTE and value % _GIBIBYTE == 0:
        gibibytes = value // _GIBIBYTE
        return f"{gibibytes // 1024}Ti" if gibibytes % 1024 == 0 else f"{gibibytes}Gi"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    if len(text) <= TEXT_SHOWN:
        return text
    # Two long texts begin alike: their hashes tell that they differ.
    return f"{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _money(amount: float, currency: str) -> str:
    return f"{amount:+.2f} {currency}" if currency and abs(amount) >= 0.005 else ""  # noqa: PLR2004 - rounds to 0.00


def order_of(graph: Graph, type_info: Callable[[str], TypeInfo]) -> list[Resource]:
    """Return the resources that we own, what the longest path hangs upon first."""
    ours = [item for item in graph if not item.referenced]
    priority = graph.remaining_path({item.id.lower(): type_info(item.type).typical_seconds for item in ours})
    return sorted(ours, key=lambda item: -priority[item.id.lower()])
