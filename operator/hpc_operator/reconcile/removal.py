"""Takes down what is no longer wanted, in reverse order, and tells what became of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpc_operator.api import ComputePartition, CustomResource, HPCEnvironment
from hpc_operator.api.hpc_environment import ManagedResource
from hpc_operator.api.plan import KEPT_LISTED, Deletion, KeptResource
from hpc_operator.arm import Azure, AzureError, ErrorClass
from hpc_operator.blueprint.names import CLAIM_TAG
from hpc_operator.graph import ArmId, Owner
from hpc_operator.reconcile import inventory
from hpc_operator.reconcile.apply import Applier
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.nodes import NodeApplier
from hpc_operator.reconcile.plan import Change, Planner
from hpc_operator.reconcile.ports import FINALIZER, Cluster
from hpc_operator.reconcile.retention import stands_upon
from hpc_operator.reconcile.rollout import Node, NodeState
from hpc_operator.reconcile.scope import Scope, losses, owner_of
from hpc_operator.reconcile.states import State, describe, nodes_name

logger = logging.getLogger(__name__)

PATIENT_ATTEMPTS = 4
"""How often a deletion is refused as being in use before it counts as used by others: some users vanish late."""


class Removal:
    """The way down of one environment, or of parts of it, as far as one pass can go.

    Parameters
    ----------
    azure, cluster
        Where resources and objects live.
    scope, memory
        What is wanted, and what is known.
    planner
        Tells what may start.
    nodes, applier
        Send the requests.
    """

    def __init__(
        self,
        azure: Azure,
        cluster: Cluster,
        scope: Scope,
        memory: Memory,
        planner: Planner,
        nodes: NodeApplier,
        applier: Applier,
    ) -> None:
        self._azure = azure
        self._cluster = cluster
        self._scope = scope
        self._memory = memory
        self._planner = planner
        self._nodes = nodes
        self._applier = applier

    def plan(self, going: Sequence[ManagedResource]) -> list[Change]:
        """Return the changes that take these resources down, nodes of partitions that go first."""
        leaving: dict[str, list[Node]] = {}
        for node in self._leaving_nodes():
            leaving.setdefault(node.partition, []).append(node)
        begun = self._scope.begun
        changes = [
            self._planner.leaving(partition, nodes, begun=Owner(ComputePartition.__name__, partition) in begun)
            for partition, nodes in sorted(leaving.items())
        ]
        in_use = {node.scale_set_id for node in self._nodes.nodes()}
        lost = {item.id.lower() for owner in self._scope.held_back for item in losses(owner, self._scope.full)}
        held_back = [item for key, item in self._memory.inventory.items() if key in lost]
        for item in sorted([*going, *held_back], key=lambda item: (-item.order, item.id)):
            resource = self._scope.full.graph.get(item.id)
            is_earlier = self._is_of_an_earlier_generation(item)
            if not is_earlier or item.id.lower() not in in_use:  # else the roll itself tells
                changes.append(
                    self._planner.deletion(item, resource, begun=is_earlier or Owner.parse(item.owner) in begun)
                )
        return self._as_a_whole(changes)

    def _leaving_nodes(self) -> list[Node]:
        """Return the nodes of partitions that go, be it that they may not go yet."""
        held_back = {owner.name for owner in self._scope.held_back if owner.kind == ComputePartition.__name__}
        staying = (self._scope.wanted_partitions | self._scope.held_partitions) - held_back
        return [node for node in self._nodes.nodes() if node.partition not in staying]

    def _as_a_whole(self, changes: Sequence[Change]) -> list[Change]:
        """Return the changes, where what may go waits for the rest of its object."""
        first: dict[Owner, Change] = {}
        for change in changes:
            if change.owner in self._scope.held_back and not change.may_start:
                first.setdefault(change.owner, change)
        return [
            replace(change, waits_for=f"{first[change.owner].name}, which may not go yet", reason="Needs")
            if change.may_start and change.owner in first
            else change
            for change in changes
        ]

    def _is_of_an_earlier_generation(self, item: ManagedResource) -> bool:
        """Return whether this is the scale set of nodes that were replaced by others."""
        if self._scope.wanted is None:
            return False
        return any(
            str(node_set.owner) == item.owner
            and node_set.scale_set_id.lower() != item.id.lower()
            and ArmId.parse(node_set.scale_set_id).type.lower() == ArmId.parse(item.id).type.lower()
            for node_set in self._scope.wanted.node_sets
        )

    async def start(self, going: Sequence[ManagedResource], changes: Sequence[Change]) -> None:
        """Start what may start.

        Parameters
        ----------
        going
            What has to go.
        changes
            What `plan` returned for it.
        """
        scope, memory = self._scope, self._memory
        may = {change.name for change in changes if change.may_start}
        limits = scope.environment.spec.policy.limits
        leaving = [
            node
            for node in self._leaving_nodes()
            if node.state is not NodeState.DELETING and nodes_name(node.partition) in may and self._nodes.may_go(node)
        ]
        if limits.nodes_at_once is not None:
            leaving = leaving[: max(0, limits.nodes_at_once - self._nodes.in_transition())]
        await self._nodes.remove(leaving)
        in_use = self._used_by_nodes(self._nodes.nodes())
        keys = {change.key for change in changes if change.may_start} - self._needed_by_what_waits(changes)
        ready = [item.id for item in await self._without_group(going) if item.id.lower() in keys - in_use]
        await self._applier.delete(ready, [item.id for item in going], scope.full.graph, limits.deletes_at_once)
        for item in going:
            if inventory.is_gone(memory, item.id.lower()):
                inventory.note_deleted(scope, memory, item)
        may_all_go = all(change.may_start for change in changes)
        if scope.environment.deleting and may_all_go and not memory.operations and not self._nodes.nodes():
            await self._give_up_what_others_use()
        if self.is_over() and memory.observed.get(scope.full.resource_group_id.lower()) is not None:
            self._note_left(await self._others())

    def _needed_by_what_waits(self, changes: Iterable[Change]) -> set[str]:
        """Return the lower-case ids of what those stand upon that may not go yet."""
        pending = [change.key for change in changes if not change.may_start]
        needed: set[str] = set()
        while pending:
            for need in stands_upon(self._scope.full.graph, self._memory, pending.pop()):
                if need not in needed:
                    needed.add(need)
                    pending.append(need)
        return needed

    def _used_by_nodes(self, nodes: Iterable[Node]) -> set[str]:
        """Return the lower-case ids of what nodes that still exist stand upon."""
        existing = list(nodes)
        used = {node.scale_set_id for node in existing}
        # What nodes that stay need is wanted, but for a tier that they still mount: it may go under them, as was asked.
        going = {node.partition for node in existing} - self._scope.wanted_partitions
        for node_set in self._scope.full.node_sets:
            if node_set.owner.name in going:
                used |= self._scope.full.graph.closure(node_set.needs)
        return used

    async def _without_group(self, going: Sequence[ManagedResource]) -> list[ManagedResource]:
        """Return what may be deleted: the resource group last, and only if nothing of somebody else's is in it."""
        group = self._scope.full.resource_group_id.lower()
        if [item.id.lower() for item in going] != [group] or self._memory.operations:
            return [item for item in going if item.id.lower() != group]
        left = self._with_owners(await self._azure.list_resources(self._scope.full.resource_group_id))
        if not left:
            return list(going)
        entry = self._memory.inventory[group]
        self._memory.inventory[group] = entry.model_copy(update={"state": State.KEPT})
        self._note_left(left)
        message = "Kept the resource group, because it holds what is not of this environment: " + ", ".join(left)
        await self._say(self._scope.environment, "ResourceGroupKept", message)
        return []

    async def _others(self) -> list[str]:
        """Return what is in the resource group and in no list of ours, with its owner."""
        held = await self._azure.list_resources(self._scope.full.resource_group_id)
        return self._with_owners(item for item in held if item["id"].lower() not in self._memory.inventory)

    def _with_owners(self, held: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return `ARM id: whose it is` for resources that are not ours, as far as their tags tell."""
        return sorted(f"{item['id']}: {self._scope.claim.whose(item.get('tags') or {})}" for item in held)

    def _note_left(self, left: Iterable[str]) -> None:
        known = self._memory.deletion or Deletion()
        self._memory.deletion = known.model_copy(update={"left": tuple(left)[:KEPT_LISTED]})

    async def _give_up_what_others_use(self) -> None:
        """Keep what cannot be deleted, because something that is not in the inventory stands upon it.

        Such as the network of a volume that was retained by an earlier environment of the same name.
        """
        memory = self._memory
        refused = [
            failure
            for key in memory.inventory
            if (failure := memory.failures.get(key)) is not None and failure.error.error_class is ErrorClass.ORDERING
        ]
        if all(failure.attempts < PATIENT_ATTEMPTS for failure in refused):
            return
        foreign = await self._others()
        if not foreign:
            return
        for key, item in memory.inventory.items():
            memory.inventory[key] = inventory.keep(self._scope, memory, item)
        self._note_left(foreign)
        message = "Kept what these resources stand upon: " + ", ".join(foreign)
        await self._say(self._scope.environment, "InUseByOthers", message)

    async def _say(self, resource: CustomResource, reason: str, message: str) -> None:
        logger.info("%s: %s", owner_of(resource), message)
        await self._cluster.emit(resource, "Normal", reason, message)

    # The end

    def is_over(self) -> bool:
        """Return whether nothing of an environment that goes is left in Azure but what is kept."""
        memory = self._memory
        left = any(item.state != State.KEPT for item in memory.inventory.values())
        return self._scope.environment.deleting and not left and not memory.operations and not self._nodes.nodes()

    def report(self) -> None:
        """Bring the report of the deletion in step with what is kept."""
        if not self._scope.environment.deleting:
            self._memory.nodes_gone = 0
            return
        kept = tuple(
            KeptResource(id=item.id, why=self._why(item))
            for item in sorted(self._memory.inventory.values(), key=lambda item: item.id.lower())
            if item.state == State.KEPT
        )
        known = self._memory.deletion or Deletion()
        deleted, self._memory.nodes_gone = known.deleted + self._memory.nodes_gone, 0
        self._memory.deletion = known.model_copy(update={"kept": kept[:KEPT_LISTED], "deleted": deleted})

    def _why(self, item: ManagedResource) -> str:
        if item.retained:
            return f"deletionPolicy of {item.owner} is Retain"
        users = [
            describe(other.id)
            for other in self._memory.inventory.values()
            if other.state == State.KEPT and item.id.lower() in {need.lower() for need in other.needs}
        ]
        return f"needed by {', '.join(sorted(users))}"[:512] if users else "needed by what is left"

    async def release(self) -> bool:
        """Remove the finalizers of what is going and holds nothing in Azure any more.

        Returns
        -------
        bool
            Whether the environment itself was released.
        """
        left = {item.owner for item in self._memory.inventory.values() if item.state != State.KEPT}
        partitions = {node.partition for node in self._nodes.nodes()}
        for resource in (*self._scope.snapshot.tiers, *self._scope.snapshot.partitions):
            if not resource.deleting or FINALIZER not in resource.metadata.finalizers:
                continue
            if str(owner_of(resource)) in left:
                continue
            if isinstance(resource, ComputePartition) and resource.metadata.name in partitions:
                continue
            if not await self._give_back_claims(str(owner_of(resource))):
                continue
            await self._say_kept(resource)
            await self._cluster.remove_finalizer(resource)
        if not self.is_over() or not await self._give_back_claims():
            return False
        await self._say_kept(self._scope.environment)
        await self._say(self._scope.environment, "Deleted", self._last_word())
        await self._cluster.remove_finalizer(self._scope.environment)
        for item in self._memory.inventory.values():
            self._azure.forget(item.id)
        return True

    async def _give_back_claims(self, owner: str | None = None) -> bool:
        """Take our claim from what stays, so that another environment may have it; return whether that is done.

        Parameters
        ----------
        owner
            Whose: Kind/name of a custom resource; None for all.
        """
        memory = self._memory
        kept = {item.id: item.owner for item in memory.inventory.values() if item.state == State.KEPT}
        observed_only = {item.id: str(item.owner) for item in self._scope.full.graph if item.observed_only}
        for resource_id, whose in (observed_only | kept).items():
            key = resource_id.lower()
            is_claimed = bool(self._scope.claim.to_give_back(memory.observed.get(key) or {}))
            if not is_claimed or owner not in {None, whose}:
                continue
            try:
                await self._applier.change(resource_id, {"tags": {CLAIM_TAG: None}})
            except AzureError as error:
                memory.fail(key, error, memory.now())
                return False
        return True

    def _last_word(self) -> str:
        report = self._memory.deletion or Deletion()
        words = [f"Deleted {report.deleted} resources."]
        if report.kept:
            words.append("Kept: " + "; ".join(f"{describe(item.id)} ({item.why})" for item in report.kept) + ".")
        if report.left:
            left = (text.rpartition(": ") for text in report.left)
            names = ", ".join(f"{describe(resource_id)} ({whose})" for resource_id, _, whose in left)
            words.append(f"Left, because it is not of this environment: {names}.")
        return " ".join(words)

    async def _say_kept(self, resource: CustomResource) -> None:
        owner = str(owner_of(resource))
        kept = [
            item.id
            for item in self._memory.inventory.values()
            if item.state == State.KEPT
            and item.retained
            and (item.owner == owner or isinstance(resource, HPCEnvironment))
        ]
        if kept:
            message = "Kept in Azure, because deletionPolicy is Retain: " + ", ".join(sorted(kept))
            await self._say(resource, "DataRetained", message)
