"""What users read: the status of the three kinds, computed from what is known. Pure functions.

Conditions follow kstatus: `Ready` always, `Reconciling` and `Stalled` only when true. Messages name the resource, the
error code of Azure and what happens next, and hold neither times nor counters, so that they change only when facts do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel

from hpc_operator.api import ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.api.common import timestamp
from hpc_operator.api.plan import LISTED, Plan
from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.blueprint import Blueprint, MountPoint
from hpc_operator.blueprint.validation import Problem
from hpc_operator.graph import Graph, NodeSet, Owner, Resource, Step, UnresolvedError, resolve
from hpc_operator.preflight import Check, Finding
from hpc_operator.reconcile import states
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.nodes import deletion_key, failure_key
from hpc_operator.reconcile.plan import Action, Change, vm_size_of
from hpc_operator.reconcile.rollout import Node, NodeState
from hpc_operator.reconcile.states import State, blocking_needs, describe, is_settled, nodes_name, state_of

Status = Mapping[str, Any]

WHAT_NEXT = {
    ErrorClass.TRANSIENT: "It is tried again by itself.",
    ErrorClass.ORDERING: "It is tried again by itself once that is done.",
    ErrorClass.CAPACITY: "It is tried again every few minutes; another VM size may be available at once.",
    ErrorClass.QUOTA: "Ask for more quota in this subscription and region; it is tried again every few minutes.",
    ErrorClass.CREDENTIALS: "Check the identity of the operator; it is tried again by itself.",
    ErrorClass.PERMANENT: "It is tried again when the specification changes, and once in every drift period.",
}

_STUCK = frozenset({ErrorClass.PERMANENT, ErrorClass.QUOTA, ErrorClass.CAPACITY})
"""Errors that do not go away by waiting a little."""


@dataclass(frozen=True)
class Facts:
    """What a status is computed from."""

    environment: HPCEnvironment
    wanted: Blueprint | None
    memory: Memory
    nodes: tuple[Node, ...]
    problems: Mapping[Owner, Problem]
    specification: str
    plan: Plan | None
    changes: tuple[Change, ...]
    price_of: Callable[[str, str], float | None]
    currency: str
    serving: frozenset[str] = frozenset()
    """Partitions that were Ready before."""

    def is_next(self, key: str) -> bool:
        """Return whether a resource is going to be changed without anybody having to do something."""
        return key in self._next

    @cached_property
    def _next(self) -> frozenset[str]:
        return frozenset(change.key for change in self.changes if change.may_start and not change.of_nodes)

    def held(self, key: str, *, of_nodes: bool = False) -> Change | None:
        """Return the change of a resource, or of the nodes in that scale set, that is blocked or waits."""
        return self._held.get((key, of_nodes))

    @cached_property
    def _held(self) -> Mapping[tuple[str, bool], Change]:
        return {(change.key, change.of_nodes): change for change in self.changes if not change.may_start}


@dataclass(frozen=True)
class News:
    """What an Event says."""

    event_type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass
class Verdict:
    """How things stand with one resource, step or kind."""

    ready: bool = True
    reason: str = "Ready"
    message: str = ""
    moving: str = ""
    stuck: str = ""


# The three kinds


def environment_status(facts: Facts, before: Status) -> Status:
    """Return the status of the environment."""
    environment, memory = facts.environment, facts.memory
    owner = Owner(HPCEnvironment.__name__, environment.metadata.name)
    conditions: list[dict[str, Any]] = []
    step = "-"
    if facts.wanted is None:
        ready = Verdict(ready=False, reason="Deleting", message="What the environment holds in Azure is being deleted")
        ready.moving = ready.message
        refused = {nodes_name(name): deletion_key(name) for name in sorted({node.partition for node in facts.nodes})}
        refused |= {item.id: item.id.lower() for item in memory.inventory.values() if item.state != State.KEPT}
        _blame_worst(ready, memory, refused)
        _say_held(ready, facts.changes)
        step = "Deleting"
    else:
        ready = Verdict(message="All resources are ready")
        for name in Step:
            verdict = _step_verdict(facts, facts.wanted, name)
            conditions.append(_condition(f"{name}Ready", verdict, environment, before))
            if step == "-" and (not verdict.ready or verdict.moving):
                step = name.value
            _add_up(ready, verdict)
        for change in facts.changes:
            if change.action is Action.DELETE and change.may_start and change.owner == owner:
                _add_up(
                    ready, Verdict(reason="Progressing", moving=f"{change.name} goes", message=f"{change.name} goes")
                )
        conditions += _preflight(facts, owner, environment, before)
    conditions = [*_summary(ready, environment, before), *conditions]
    login_nodes = facts.wanted.login_nodes if facts.wanted is not None else ()
    lists = {
        **holdings(memory),
        "loginNodes": [
            {"name": login.name, "privateIPAddress": _resolved(login.address, memory) or ""} for login in login_nodes
        ],
        "drift": _dumped(memory.drift),
        "waiting": _dumped(memory.waits),
        "tags": sorted(memory.tags),
    }
    single = {"plan": facts.plan, "deletion": memory.deletion}
    return {
        "observedGeneration": environment.metadata.generation,
        "conditions": conditions,
        "step": step,
        "summary": _environment_summary(facts),
        "specification": facts.specification,
        **({"resourceGroupID": facts.wanted.resource_group_id} if facts.wanted is not None else {}),
        **{name: _dump(item) for name, item in single.items() if item is not None},
        # Server-side apply drops an empty list, and what is compared later must be what is there.
        **{name: items for name, items in lists.items() if items},
    }


def holdings(memory: Memory) -> dict[str, list[dict[str, Any]]]:
    """Return what is held in Azure and what is under way, as status has it."""
    return {
        "resources": [_dump(memory.inventory[key]) for key in sorted(memory.inventory)],
        "operations": [
            {"id": handle.resource_id, "verb": handle.verb, "url": handle.url, "startTime": handle.start_time}
            for handle in sorted(memory.operations.values(), key=lambda handle: handle.resource_id.lower())
        ],
    }


def _dump(item: BaseModel) -> dict[str, Any]:
    return item.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _dumped(items: Mapping[str, BaseModel]) -> list[dict[str, Any]]:
    return [_dump(items[key]) for key in sorted(items)[:LISTED]]


def _preflight(facts: Facts, owner: Owner, resource: CustomResource, before: Status) -> list[dict[str, Any]]:
    """Return what the preflight says of one object: what is wrong, and always whether the quota will do."""
    inspection = facts.memory.inspection
    if inspection is None:
        return []
    found: dict[Check, list[Finding]] = {}
    for finding in inspection.findings:
        if finding.owner == owner:
            found.setdefault(finding.check, []).append(finding)
    conditions = [
        _make(check.value, "False", items[0].reason, _sentences(item.message for item in items), resource, before)
        for check, items in found.items()
    ]
    if owner.kind == HPCEnvironment.__name__:
        if found:
            names = ", ".join(sorted(check.value for check in found))
            passed = ("False", "Findings", f"See {names}")
        elif inspection.unknown:
            names = ", ".join(sorted(check.value for check in inspection.unknown))
            passed = ("Unknown", "NotAllChecked", f"Azure did not answer for {names}; nothing waits for it")
        else:
            passed = ("True", "Passed", "Nothing stands against what is written")
        return [_make("PreflightPassed", *passed, resource, before), *conditions]
    if Check.QUOTA not in found and owner.kind == ComputePartition.__name__:
        if Check.QUOTA in inspection.unknown:
            said = ("Unknown", "NotReadable", "Azure does not tell the quota; nothing waits for it")
        else:
            said = ("True", "Sufficient", "The quota is enough for all nodes that the partition may have")
        conditions.append(_make(Check.QUOTA.value, *said, resource, before))
    return conditions


def _sentences(messages: Iterable[str]) -> str:
    return " ".join(f"{message.rstrip('. ')}." for message in messages)


def tier_status(facts: Facts, tier: StorageTier, before: Status) -> Status:
    """Return the status of a storage tier."""
    owner = Owner(StorageTier.__name__, tier.metadata.name)
    if (problem := facts.problems.get(owner)) is not None:
        return refused(tier, problem.reason, problem.message, before)
    if tier.deleting or facts.wanted is None:
        return _leaving(tier, facts, owner, before)
    verdict = Verdict(message="The file system is ready to be mounted")
    for resource in facts.wanted.graph:
        if resource.owner == owner:
            _add_up(verdict, _resource_verdict(facts, facts.wanted.graph, resource))
    result = {**before, **_base(tier, verdict, before)}
    result["conditions"] += _preflight(facts, owner, tier, before)
    mount = facts.wanted.mounts.get(tier.metadata.name)
    if mount is not None and (source := _resolved(mount.source, facts.memory)):
        result["mount"] = {"source": source, "type": mount.type, "options": mount.options}
    else:
        result.pop("mount", None)
    if capacity := _capacity(mount, facts.memory):
        result["capacity"] = capacity
    return result


def partition_status(facts: Facts, partition: ComputePartition, before: Status) -> Status:
    """Return the status of a partition."""
    name = partition.metadata.name
    owner = Owner(ComputePartition.__name__, name)
    if (problem := facts.problems.get(owner)) is not None:
        return refused(partition, problem.reason, problem.message, before)
    nodes = [node for node in facts.nodes if node.partition == name]
    if partition.deleting or facts.wanted is None:
        return {**_leaving(partition, facts, owner, before), "nodes": _counts(nodes, "", 0)}
    node_set = next(item for item in facts.wanted.node_sets if item.owner == owner)
    urn, version = facts.memory.image_versions[name]
    said = _base(partition, _partition_verdict(facts, facts.wanted, node_set, nodes), before)
    said["conditions"] += _preflight(facts, owner, partition, before)
    return {
        **said,
        "image": {"urn": urn, "version": version},
        "nodeGeneration": node_set.generation,
        "vmSize": node_set.vm_size,
        **({"nodeTags": facts.memory.node_tags[name]} if name in facts.memory.node_tags else {}),
        **({"rollingTo": facts.memory.rolling[name]} if name in facts.memory.rolling else {}),
        "nodes": _counts(nodes, node_set.generation, node_set.count),
        "selector": f"azurehpc.io/partition={name}",
    }


def without_environment(resource: CustomResource, environment: str, before: Status) -> Status:
    """Return the status of a tier or partition whose environment does not exist."""
    message = f"HPCEnvironment {environment} does not exist in namespace {resource.metadata.namespace}: create it"
    verdict = Verdict(ready=False, reason="EnvironmentNotFound", message=message, moving=message)
    return _merged(resource, verdict, before)


def refused(resource: CustomResource, reason: str, message: str, before: Status) -> Status:
    """Return the status of an object that cannot be acted upon as it is written."""
    return _merged(resource, Verdict(ready=False, reason=reason, message=message, stuck=message), before)


def unreachable(resource: CustomResource, error: AzureError, before: Status) -> Status:
    """Return the status while Azure cannot be asked: what was known stays, but nobody knows whether it is still so."""
    reason = {ErrorClass.CREDENTIALS: "CredentialsInvalid", ErrorClass.TRANSIENT: "AzureUnreachable"}.get(
        error.error_class, error.code
    )
    message = f"{error} {WHAT_NEXT[error.error_class]}"
    ready = _make("Ready", "Unknown", reason, message, resource, before)
    return {
        **before,
        "observedGeneration": resource.metadata.generation,
        "conditions": [ready, _make("Reconciling", "True", reason, message, resource, before)]
        + [item for item in before.get("conditions", ()) if item["type"] not in {"Ready", "Reconciling", "Stalled"}],
    }


def is_ready(status: Status) -> bool:
    """Return whether a status says that its object is ready."""
    ready = _find(status, "Ready")
    return ready is not None and ready["status"] == "True"


def news(before: Status, after: Status) -> News | None:
    """Return what is worth an Event: something is stuck, or `Ready` has another status or reason than before."""
    stalled = _find(after, "Stalled")
    if stalled is not None and _is_other(_find(before, "Stalled"), stalled):
        return News("Warning", stalled["reason"], stalled["message"])
    ready = _find(after, "Ready")
    if ready is None or stalled is not None or not _is_other(_find(before, "Ready"), ready):
        return None
    return News("Warning" if ready["status"] == "Unknown" else "Normal", ready["reason"], ready["message"])


def _is_other(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    return old is None or (old["status"], old["reason"]) != (new["status"], new["reason"])


# Verdicts


def _step_verdict(facts: Facts, wanted: Blueprint, step: Step) -> Verdict:
    verdict = Verdict(message="All resources of this step are ready")
    if step is Step.COMPUTE:
        for node_set in wanted.node_sets:
            nodes = [node for node in facts.nodes if node.partition == node_set.owner.name]
            _add_up(verdict, _partition_verdict(facts, wanted, node_set, nodes))
        _add_problems(verdict, facts, ComputePartition)
        return verdict
    for resource in wanted.graph:
        if resource.step is step:
            _add_up(verdict, _resource_verdict(facts, wanted.graph, resource))
    if step is Step.STORAGE:
        _add_problems(verdict, facts, StorageTier)
    return verdict


def _add_problems(verdict: Verdict, facts: Facts, kind: type[CustomResource]) -> None:
    """Add the problems of all objects of a kind."""
    for owner, problem in facts.problems.items():
        if owner.kind == kind.__name__:
            _add_up(verdict, Verdict(False, problem.reason, f"{owner}: {problem.message}", stuck=problem.message))


def _resource_verdict(facts: Facts, graph: Graph, resource: Resource) -> Verdict:
    memory, key = facts.memory, resource.id.lower()
    failure = memory.failures.get(key)
    state = state_of(memory, key)
    name = describe(resource.id)
    verdict = Verdict(ready=is_settled(memory, key))
    held = facts.held(key)
    if held is not None and held.action is Action.BLOCKED:
        verdict.reason = held.reason
        verdict.stuck = verdict.message = f"{name}: {held.why}"
        if held.waits_for:
            verdict.stuck = verdict.message = f"{name}: {held.why} It waits for: {held.waits_for}"
    elif held is not None:
        verdict.reason = held.reason
        verdict.moving = verdict.message = f"{name} waits for: {held.waits_for}"
    elif failure is not None:
        _blame(verdict, failure.error, resource.id)
    elif state is State.FAILED:
        next_step = "Have its owner repair it" if resource.referenced else "It is put again by itself"
        verdict = Verdict(verdict.ready, "Failed", f"{name} is in state Failed. {next_step}.", moving=name)
    elif state is State.PENDING and (needs := blocking_needs(memory, graph, resource)):
        verdict.reason = "Progressing"
        verdict.moving = verdict.message = f"{name} waits for {_latest(graph, needs)}"
    elif state is not State.READY:
        verdict.reason = "Progressing"
        verdict.moving = verdict.message = f"{name} is {_DOING[state]}"
    elif facts.is_next(key):
        verdict.reason = "Progressing"
        verdict.moving = verdict.message = f"{name} is about to be changed"
    return verdict


def _latest(graph: Graph, needs: Iterable[str]) -> str:
    """Return the name of that need which is made last."""
    return describe(graph[max(needs, key=lambda need: (graph.depth[need], need))].id)


_DOING = {
    State.PENDING: "waiting for what it needs",
    State.CREATING: "being created",
    State.UPDATING: "being updated",
    State.DELETING: "being deleted",
}


def _partition_verdict(facts: Facts, wanted: Blueprint, node_set: NodeSet, nodes: Sequence[Node]) -> Verdict:
    partition = node_set.owner.name
    ready = sum(node.state is NodeState.READY for node in nodes)
    enough = ready >= node_set.count - node_set.max_unavailable
    verdict = Verdict(message="All nodes are ready")
    for resource in wanted.graph:
        if resource.owner == node_set.owner:
            _add_up(verdict, _resource_verdict(facts, wanted.graph, resource))
    # Nodes of the generation before serve on while what the new one needs is being made.
    serving = enough and (ready > 0 or verdict.ready)
    if partition in facts.serving and ready > 0:
        # More nodes are wanted, or some are lost, than are there yet: what serves goes on to serve meanwhile.
        serving = True
    outdated = [node for node in nodes if node.generation != node_set.generation]
    if outdated and not verdict.stuck:
        verdict.reason = "RollingOut"
        verdict.moving = verdict.message = f"Nodes of partition {partition} are being replaced by {node_set.vm_size}"
    elif not verdict.moving and (not enough or len(nodes) != node_set.count or ready != len(nodes)):
        verdict.reason = "Scaling"
        missing = [need for need in node_set.needs if need in wanted.graph and not states.is_ready(facts.memory, need)]
        doing = f"wait for {_latest(wanted.graph, missing)}" if missing else "are coming up or going down"
        verdict.moving = verdict.message = f"Nodes of partition {partition} {doing}"
    failures = facts.memory.failures
    failure = failures.get(failure_key(partition)) or failures.get(deletion_key(partition))
    held = facts.held(node_set.scale_set_id.lower(), of_nodes=True)
    if held is not None and held.action is Action.BLOCKED:
        verdict.reason, verdict.message = held.reason, held.why
        verdict.stuck = held.why
    elif held is not None:
        verdict.reason = held.reason
        verdict.moving = verdict.message = f"{held.name} wait for: {held.waits_for}"
    elif failure is not None:
        _blame(verdict, failure.error, f"nodes of partition {partition}")
    verdict.ready = serving
    return verdict


def _blame(verdict: Verdict, error: AzureError, what: str) -> None:
    """Say what Azure refused: `what` is an ARM id, or words for what has none."""
    name = describe(what) if what.startswith("/") else what
    message = f"{name}: {error.code}: {error.message.rstrip('. ')}. {WHAT_NEXT[error.error_class]}"
    verdict.reason = error.code if error.code.isalnum() else "Failed"
    verdict.message = message
    if error.error_class in _STUCK:
        verdict.stuck = message
    else:
        verdict.moving = message


def _blame_worst(verdict: Verdict, memory: Memory, keys: Mapping[str, str]) -> None:
    """Say the first failure that does not pass by itself, such as a lock, else the first.

    Parameters
    ----------
    verdict
        Gets the message.
    memory
        Has the failures.
    keys
        Under which name the failures of what are remembered; see `_blame`.
    """
    failed = [(memory.failures[key].error, what) for what, key in keys.items() if key in memory.failures]
    for error, what in sorted(failed, key=lambda item: item[0].error_class not in _STUCK)[:1]:
        _blame(verdict, error, what)


def _add_up(total: Verdict, part: Verdict) -> None:
    """Add a part's verdict: what is stuck is said first, then what is not ready, then what moves."""
    weight = (bool(part.stuck), not part.ready, bool(part.moving))
    if weight > (bool(total.stuck), not total.ready, bool(total.moving)):
        # Reason and messages are always those of one part.
        total.reason, total.message = part.reason, part.message
        total.stuck, total.moving = part.stuck or total.stuck, part.moving or total.moving
    total.ready = total.ready and part.ready
    total.stuck = total.stuck or part.stuck
    total.moving = total.moving or part.moving


# Pieces


def _base(resource: CustomResource, verdict: Verdict, before: Status) -> dict[str, Any]:
    return {
        "observedGeneration": resource.metadata.generation,
        "conditions": _summary(verdict, resource, before),
    }


def _merged(resource: CustomResource, verdict: Verdict, before: Status) -> Status:
    return {**before, **_base(resource, verdict, before)}


def _leaving(resource: CustomResource, facts: Facts, owner: Owner, before: Status) -> Status:
    message = "What it holds in Azure is being deleted"
    verdict = Verdict(ready=False, reason="Deleting", message=message, moving=message)
    refused = {item.id: item.id.lower() for item in facts.memory.inventory.values() if item.owner == str(owner)}
    if owner.kind == ComputePartition.__name__:
        refused = {nodes_name(owner.name): deletion_key(owner.name), **refused}
    _blame_worst(verdict, facts.memory, refused)
    _say_held(verdict, (change for change in facts.changes if change.owner == owner))
    return _merged(resource, verdict, before)


def _say_held(verdict: Verdict, changes: Iterable[Change]) -> None:
    """Add what a deletion waits for that the user has to do."""
    held = next((change for change in changes if not change.may_start), None)
    if held is not None:
        verdict.reason = held.reason
        verdict.moving = verdict.message = f"{held.name} waits for: {held.waits_for}"


def _summary(verdict: Verdict, resource: CustomResource, before: Status) -> list[dict[str, Any]]:
    conditions = [_condition("Ready", verdict, resource, before)]
    if verdict.stuck:
        conditions.append(_make("Stalled", "True", verdict.reason, verdict.stuck, resource, before))
    elif verdict.moving:
        reason = verdict.reason if verdict.reason != "Ready" else "Progressing"
        conditions.append(_make("Reconciling", "True", reason, verdict.moving, resource, before))
    return conditions


def _condition(name: str, verdict: Verdict, resource: CustomResource, before: Status) -> dict[str, Any]:
    if verdict.ready:
        # While it serves, an edit under way is told by Reconciling, not by a Ready that changes its mind.
        reason, message = "Ready", verdict.message
        if verdict.moving or verdict.stuck:
            message = (
                f"What is there serves; {'Stalled' if verdict.stuck else 'Reconciling'} says what is wanted beside it"
            )
        return _make(name, "True", reason, message, resource, before)
    return _make(name, "False", verdict.reason, verdict.message, resource, before)


def _make(name: str, value: str, reason: str, message: str, resource: CustomResource, before: Status) -> dict[str, Any]:
    old = next((item for item in before.get("conditions", ()) if item["type"] == name), None)
    unchanged = old is not None and old["status"] == value
    return {
        "type": name,
        "status": value,
        "observedGeneration": resource.metadata.generation,
        "lastTransitionTime": old["lastTransitionTime"]
        if unchanged and old is not None
        else timestamp(datetime.now(UTC)),
        "reason": reason,
        "message": message,
    }


def _find(status: Status, name: str) -> Mapping[str, Any] | None:
    return next((item for item in status.get("conditions", ()) if item["type"] == name), None)


def _environment_summary(facts: Facts) -> dict[str, Any]:
    states = [item.state for item in facts.memory.inventory.values() if item.state != State.KEPT]
    working = {State.READY, State.UPDATING}
    node_sets = facts.wanted.node_sets if facts.wanted is not None else ()
    ready = sum(node.state is NodeState.READY for node in facts.nodes)
    return {
        "resources": f"{sum(state in working for state in states)}/{len(states)}",
        "nodes": f"{ready}/{sum(node_set.maximum for node_set in node_sets)}",
        **_cost(facts),
    }


def _cost(facts: Facts) -> dict[str, str]:
    """Return the list price per hour of the virtual machines that run; nothing where prices are not known."""
    running = [(node.vm_size, node.priority) for node in facts.nodes if node.state is not NodeState.DELETING]
    for item in facts.wanted.graph if facts.wanted is not None else ():
        body = facts.memory.observed.get(item.id.lower())
        if isinstance(size := vm_size_of(item.body), str) and body is not None:
            running.append((size, "Regular"))
    prices = [facts.price_of(size, priority) for size, priority in running]
    if not facts.currency or None in prices:
        return {}
    return {"costPerHour": f"{sum(price for price in prices if price is not None):.2f} {facts.currency}"}


def _counts(nodes: Sequence[Node], generation: str, desired: int) -> dict[str, int]:
    def count(state: NodeState) -> int:
        return sum(node.state is state for node in nodes)

    return {
        "desired": desired,
        "ready": count(NodeState.READY),
        "updated": sum(node.state is NodeState.READY and node.generation == generation for node in nodes),
        "creating": count(NodeState.CREATING),
        "deleting": count(NodeState.DELETING),
        "failed": count(NodeState.FAILED),
    }


def _capacity(mount: MountPoint | None, memory: Memory) -> str:
    """Return the capacity that the file system has now, as Azure tells it; empty where it does not."""
    if mount is None or mount.capacity is None or (found := _resolved(mount.capacity, memory)) is None:
        return ""
    size = int(float(found) * mount.capacity_unit)
    unit, name = (2**40, "Ti") if size % 2**40 == 0 else (2**30, "Gi")
    return f"{size // unit}{name}"


def _resolved(value: Any, memory: Memory) -> str | None:
    try:
        return str(resolve(value, memory.observed))
    except UnresolvedError:
        return None
