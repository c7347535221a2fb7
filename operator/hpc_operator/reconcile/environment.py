"""One pass over one environment: look, plan, act, say. Called again and again; every call may be the first.

A pass awaits requests but never a long-running operation: what it started is followed elsewhere, and wakes the next.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hpc_operator.api import ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.api.hpc_environment import ManagedResource
from hpc_operator.arm import Azure, AzureError, ErrorClass, Handle
from hpc_operator.blueprint import Blueprint, Inputs, build
from hpc_operator.blueprint.validation import Problem, find_problems
from hpc_operator.graph import Graph, Owner
from hpc_operator.reconcile import status
from hpc_operator.reconcile.apply import Applier
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.nodes import NodeApplier
from hpc_operator.reconcile.observe import observe
from hpc_operator.reconcile.ports import FINALIZER, Cluster, Key, Snapshot
from hpc_operator.reconcile.retention import kept_ids, stands_upon
from hpc_operator.reconcile.rollout import Node
from hpc_operator.reconcile.states import State, describe, is_foreign, state_of

logger = logging.getLogger(__name__)

PATIENT_ATTEMPTS = 4
"""How often a deletion is refused as being in use before it counts as used by others: some users vanish late."""
SETTLE_SECONDS = 0.5
"""How long a new environment is left alone, because its tiers and partitions are usually applied right after it: what
depends on them, such as security rules, is then made once and not made and changed."""


def owner_of(resource: CustomResource) -> Owner:
    """Return how a custom resource is named as an owner."""
    return Owner(type(resource).__name__, resource.metadata.name)


@dataclass(frozen=True)
class Scope:
    """What one pass works on.

    Parameters
    ----------
    wanted
        The blueprint of what should be there; None while the environment is going.
    full
        The blueprint with what is going in it too: it knows in which order to take things down.
    problems
        What keeps a custom resource from being acted upon, by owner.
    """

    snapshot: Snapshot
    environment: HPCEnvironment
    wanted: Blueprint | None
    full: Blueprint
    problems: dict[Owner, Problem]

    @property
    def graph(self) -> Graph:
        """The wanted resources."""
        return self.wanted.graph if self.wanted is not None else Graph(())

    @property
    def wanted_partitions(self) -> set[str]:
        """Names of the partitions that should have nodes."""
        return {node_set.owner.name for node_set in self.wanted.node_sets} if self.wanted is not None else set()


class Reconciler:
    """Reconciles environments, one pass at a time for each.

    Parameters
    ----------
    azure
        Where resources live.
    cluster
        Where custom resources live.
    subscription_id
        The subscription that environments are made in.
    drift_seconds
        How long an observation is good while nothing happens.
    may_go
        Whether a running node may be removed now.
    """

    def __init__(
        self,
        azure: Azure,
        cluster: Cluster,
        *,
        subscription_id: str,
        drift_seconds: float,
        may_go: Callable[[Node], bool],
    ) -> None:
        self._azure = azure
        self._cluster = cluster
        self._subscription_id = subscription_id
        self._drift_seconds = drift_seconds
        self._may_go = may_go
        self._memories: dict[Key, Memory] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Make one pass.

        Parameters
        ----------
        key
            The environment.

        Returns
        -------
        float | None
            Seconds until the next pass is due by itself; None if only an event makes one necessary.
        """
        snapshot = self._cluster.snapshot(key)
        if snapshot.environment is None:
            self._memories.pop(key, None)
            await self._wait_for_environment(snapshot)
            return None
        if FINALIZER not in snapshot.environment.metadata.finalizers and snapshot.environment.deleting:
            return None
        memory = self._memories.setdefault(key, Memory(first_seen=_now()))
        if FINALIZER not in snapshot.environment.metadata.finalizers:
            wait = memory.first_seen + SETTLE_SECONDS - _now()
            if wait > 0:
                return wait
        try:
            return await self._pass(snapshot, snapshot.environment, memory)
        except AzureError as error:
            # The pass could not look at Azure; what is known stays known, and what runs goes on running.
            memory.fail("azure", error, _now())
            await self._say_unreachable(snapshot, snapshot.environment, error)
            return max(0.0, memory.failures["azure"].due - _now()) if memory.failures["azure"].due != math.inf else 60.0

    async def _pass(self, snapshot: Snapshot, environment: HPCEnvironment, memory: Memory) -> float | None:
        started = _now()
        problems = {} if environment.deleting else self._problems(snapshot, environment)
        if owner_of(environment) in problems:
            await self._write_problems(snapshot, environment, problems)
            return None
        await self._add_finalizers(snapshot, environment, problems)
        await self._resolve_images(snapshot, environment, memory, problems)
        scope = self._scope(snapshot, environment, problems, memory)
        applier = Applier(
            self._azure,
            memory,
            snapshot.key.tag,
            lambda: self._cluster.wake(snapshot.key),
        )
        nodes = NodeApplier(self._azure, memory, self._may_go, snapshot.key.tag)

        self._load(environment, memory, applier)
        self._digest_outcomes(memory)
        if _now() >= memory.stale_at:
            memory.observed.clear()
            memory.machines_stale_at = 0.0
            memory.try_everything(_now())
            memory.stale_at = _now() + self._drift_seconds
        await observe(self._azure, memory, [*_ids(scope.graph), *(item.id for item in memory.inventory.values())])
        await nodes.observe(scope.full.resource_group_id, self._drift_seconds)
        memory.failures.pop("azure", None)
        applier.follow_unfinished()

        going = self._update_inventory(scope, memory)
        if memory.inventory.keys() - self._recorded(environment):
            # The inventory is on record before the first write, so that nothing made by a pass that dies is ever lost.
            await self._write_statuses(scope, memory, nodes)

        await applier.create_and_update(scope.graph)
        await self._converge_nodes(scope, nodes)
        await self._delete(scope, memory, applier, nodes, going)

        self._refresh_states(scope, memory)
        await self._write_statuses(scope, memory, nodes)
        await self._release(scope, memory, nodes)
        return self._next_pass(started, memory, nodes)

    # What is wanted

    def _problems(self, snapshot: Snapshot, environment: HPCEnvironment) -> dict[Owner, Problem]:
        found = find_problems(environment, snapshot.tiers, snapshot.partitions, snapshot.others)
        return {problem.owner: problem for problem in found}

    async def _add_finalizers(
        self, snapshot: Snapshot, environment: HPCEnvironment, problems: dict[Owner, Problem]
    ) -> None:
        for resource in (environment, *snapshot.tiers, *snapshot.partitions):
            if not resource.deleting and owner_of(resource) not in problems:
                await self._cluster.add_finalizer(resource)

    async def _resolve_images(
        self, snapshot: Snapshot, environment: HPCEnvironment, memory: Memory, problems: dict[Owner, Problem]
    ) -> None:
        """Find out once what `latest` means for each partition; what stands in status stays."""
        for partition in snapshot.partitions:
            urn, name = partition.spec.image.urn, partition.metadata.name
            known = partition.status.image
            if known is not None and known.urn == urn:
                memory.image_versions[name] = (urn, known.version)
            elif memory.image_versions.get(name, ("", ""))[0] != urn:
                version = urn.rpartition(":")[2]
                if version == "latest" and not partition.deleting and not environment.deleting:
                    try:
                        version = await self._azure.latest_image_version(environment.spec.location, urn)
                    except AzureError as error:
                        if error.error_class not in {ErrorClass.PERMANENT, ErrorClass.ORDERING}:
                            raise
                        problems[owner_of(partition)] = Problem(owner_of(partition), error.code, error.message)
                        continue
                memory.image_versions[name] = (urn, version)

    def _scope(
        self, snapshot: Snapshot, environment: HPCEnvironment, problems: dict[Owner, Problem], memory: Memory
    ) -> Scope:
        versions = {name: version for name, (_, version) in memory.image_versions.items()}

        def blueprint_of(*, with_going: bool) -> Blueprint:
            def belongs(resource: StorageTier | ComputePartition) -> bool:
                return owner_of(resource) not in problems and (with_going or not resource.deleting)

            return build(
                Inputs(
                    subscription_id=self._subscription_id,
                    environment=environment,
                    tiers=tuple(tier for tier in snapshot.tiers if belongs(tier)),
                    partitions=tuple(partition for partition in snapshot.partitions if belongs(partition)),
                    image_versions=versions,
                )
            )

        wanted = None if environment.deleting else blueprint_of(with_going=False)
        return Scope(snapshot, environment, wanted, blueprint_of(with_going=True), problems)

    # What is known

    def _load(self, environment: HPCEnvironment, memory: Memory, applier: Applier) -> None:
        """Take up what a process before this one left in status."""
        if memory.loaded:
            return
        memory.loaded = True
        memory.inventory = {item.id.lower(): item for item in environment.status.resources}
        for operation in environment.status.operations:
            handle = Handle(operation.id, operation.verb, operation.url, operation.start_time)
            applier.follow(handle, retry_after=0.0)  # nobody has asked since the process before this one ended

    def _digest_outcomes(self, memory: Memory) -> None:
        outcomes, memory.outcomes[:] = list(memory.outcomes), []
        for outcome in outcomes:
            key = outcome.handle.resource_id.lower()
            memory.operations.pop(key, None)
            memory.doubtful.add(key)
            if outcome.error is not None:
                logger.warning("%s failed: %s", describe(outcome.handle.resource_id), outcome.error)
                memory.fail(key, outcome.error, _now(), memory.tried.get(key, ""))
            elif outcome.handle.verb == "DELETE":
                memory.observed[key] = None
                memory.doubtful.discard(key)
                memory.failures.pop(key, None)
            else:
                memory.failures.pop(key, None)

    def _update_inventory(self, scope: Scope, memory: Memory) -> list[str]:
        """Bring the inventory in step with what is wanted and what is there; return the ids that have to go."""
        for resource in scope.graph:
            if not resource.referenced:
                key = resource.id.lower()
                memory.inventory[key] = ManagedResource(
                    id=resource.id,
                    owner=str(resource.owner),
                    state=state_of(memory, key),
                    order=scope.graph.depth[key],
                    retained=resource.retained,
                    # Written down while it is known: a tier may vanish without us being asked.
                    needs=tuple(sorted(scope.graph.needs(resource))) if resource.retained else (),
                )
        kept = kept_ids(scope.full.graph, scope.graph, memory)
        going: list[str] = []
        for key, item in list(memory.inventory.items()):
            if key in scope.graph:
                continue
            if (memory.observed.get(key) is None and key not in memory.operations) or self._is_foreign(
                scope, memory, key
            ):
                del memory.inventory[key]
                memory.failures.pop(key, None)
            elif key in kept:
                memory.inventory[key] = self._kept(scope, memory, item)
            elif Owner.parse(item.owner) not in scope.problems:
                memory.inventory[key] = item.model_copy(update={"state": State.DELETING})
                going.append(item.id)
        return going

    def _is_foreign(self, scope: Scope, memory: Memory, key: str) -> bool:
        """Return whether what has to go belongs to somebody else."""
        resource, actual = scope.full.graph.get(key), memory.observed.get(key)
        return resource is not None and actual is not None and is_foreign(resource.body, actual, scope.snapshot.key.tag)

    def _kept(self, scope: Scope, memory: Memory, item: ManagedResource) -> ManagedResource:
        needs = tuple(stands_upon(scope.full.graph, memory, item.id.lower()))
        return item.model_copy(update={"state": State.KEPT, "needs": needs})

    def _recorded(self, environment: HPCEnvironment) -> set[str]:
        """Return the lower-case ids that stand in the environment's status."""
        return {item["id"].lower() for item in self._before(environment).get("resources", ())}

    def _refresh_states(self, scope: Scope, memory: Memory) -> None:
        for resource in scope.graph:
            key = resource.id.lower()
            if key in memory.inventory:
                state = state_of(memory, key)
                memory.inventory[key] = memory.inventory[key].model_copy(update={"state": state})

    # What is done

    async def _converge_nodes(self, scope: Scope, nodes: NodeApplier) -> None:
        if scope.wanted is not None:
            await asyncio.gather(*(nodes.converge(node_set) for node_set in scope.wanted.node_sets))

    async def _delete(
        self, scope: Scope, memory: Memory, applier: Applier, nodes: NodeApplier, going: list[str]
    ) -> None:
        wanted = scope.wanted_partitions
        held = {owner.name for owner in scope.problems if owner.kind == ComputePartition.__name__}
        await nodes.remove(node for node in nodes.nodes() if node.partition not in wanted | held and self._may_go(node))
        in_use = self._used_by_nodes(scope, nodes.nodes())
        going = await self._without_foreign(scope, memory, going)
        await applier.delete([item for item in going if item.lower() not in in_use], scope.full.graph)
        for item in going:
            if memory.observed.get(item.lower(), ...) is None and item.lower() not in memory.operations:
                memory.inventory.pop(item.lower(), None)
        if scope.wanted is None and not memory.operations and not nodes.nodes():
            await self._give_up_what_others_use(scope, memory)

    async def _give_up_what_others_use(self, scope: Scope, memory: Memory) -> None:
        """Keep what cannot be deleted, because something that is not in the inventory stands upon it.

        Such as the network of a volume that was retained by an earlier environment of the same name.
        """
        refused = [
            failure
            for key in memory.inventory
            if (failure := memory.failures.get(key)) is not None and failure.error.error_class is ErrorClass.ORDERING
        ]
        if all(failure.attempts < PATIENT_ATTEMPTS for failure in refused):
            return
        held = await self._azure.list_resource_ids(scope.full.resource_group_id)
        foreign = sorted(item for item in held if item.lower() not in memory.inventory)
        if not foreign:
            return
        for key, item in memory.inventory.items():
            memory.inventory[key] = self._kept(scope, memory, item)
        await self._say(
            scope.environment, "InUseByOthers", "Kept what these resources stand upon: " + ", ".join(foreign)
        )

    async def _say(self, resource: CustomResource, reason: str, message: str) -> None:
        logger.info("%s: %s", owner_of(resource), message)
        await self._cluster.emit(resource, "Normal", reason, message)

    async def _without_foreign(self, scope: Scope, memory: Memory, going: list[str]) -> list[str]:
        """Return what may be deleted: the resource group last, and only if nothing of somebody else's is in it."""
        group = scope.full.resource_group_id
        if [item.lower() for item in going] != [group.lower()] or memory.operations:
            return [item for item in going if item.lower() != group.lower()]
        foreign = await self._azure.list_resource_ids(group)
        if not foreign:
            return going
        memory.inventory[group.lower()] = memory.inventory[group.lower()].model_copy(update={"state": State.KEPT})
        message = "Kept the resource group, because it holds what is not of this environment: " + ", ".join(foreign)
        await self._say(scope.environment, "ResourceGroupKept", message)
        return []

    def _used_by_nodes(self, scope: Scope, nodes: Iterable[Node]) -> set[str]:
        """Return the lower-case ids of what nodes that still exist stand upon."""
        existing = list(nodes)
        used = {node.scale_set_id for node in existing}
        # What nodes that stay need is wanted, but for a tier that they still mount: it may go under them, as was asked.
        going = {node.partition for node in existing} - scope.wanted_partitions
        for node_set in scope.full.node_sets:
            if node_set.owner.name in going:
                used |= scope.full.graph.closure(node_set.needs)
        return used

    # What is said

    async def _write_statuses(self, scope: Scope, memory: Memory, nodes: NodeApplier) -> None:
        facts = status.Facts(
            environment=scope.environment,
            wanted=scope.wanted,
            memory=memory,
            nodes=tuple(nodes.nodes()),
            problems=scope.problems,
            serving=frozenset(
                item.metadata.name for item in scope.snapshot.partitions if status.is_ready(self._before(item))
            ),
        )
        await self._write(scope.environment, status.environment_status(facts, self._before(scope.environment)))
        for tier in scope.snapshot.tiers:
            await self._write(tier, status.tier_status(facts, tier, self._before(tier)))
        for partition in scope.snapshot.partitions:
            await self._write(partition, status.partition_status(facts, partition, self._before(partition)))

    def _before(self, resource: CustomResource) -> status.Status:
        return self._cluster.status_of(resource)

    async def _write(self, resource: CustomResource, new: status.Status) -> None:
        before = self._before(resource)
        if new == before:
            return
        await self._cluster.write_status(resource, new)
        if (news := status.news(before, new)) is not None:
            await self._cluster.emit(resource, news.event_type, news.reason, news.message)

    async def _wait_for_environment(self, snapshot: Snapshot) -> None:
        for resource in (*snapshot.tiers, *snapshot.partitions):
            if resource.deleting:
                await self._cluster.remove_finalizer(resource)
            else:
                before = self._before(resource)
                await self._write(resource, status.without_environment(resource, snapshot.key.name, before))

    async def _write_problems(
        self, snapshot: Snapshot, environment: HPCEnvironment, problems: dict[Owner, Problem]
    ) -> None:
        """Say what keeps the whole environment from being acted upon."""
        own = problems[owner_of(environment)]
        await self._write(environment, status.refused(environment, own.reason, own.message, self._before(environment)))
        for resource in (*snapshot.tiers, *snapshot.partitions):
            problem = problems.get(owner_of(resource))
            reason, message = (
                (problem.reason, problem.message)
                if problem is not None
                else ("EnvironmentNotReady", f"HPCEnvironment {environment.metadata.name} has a problem: {own.message}")
            )
            await self._write(resource, status.refused(resource, reason, message, self._before(resource)))

    async def _say_unreachable(self, snapshot: Snapshot, environment: HPCEnvironment, error: AzureError) -> None:
        logger.warning("%s: Azure cannot be asked: %s", environment.metadata.name, error)
        for resource in (environment, *snapshot.tiers, *snapshot.partitions):
            await self._write(resource, status.unreachable(resource, error, self._before(resource)))

    # The end

    async def _release(self, scope: Scope, memory: Memory, nodes: NodeApplier) -> None:
        """Remove the finalizers of what is going and holds nothing in Azure any more."""
        left = {item.owner for item in memory.inventory.values() if item.state != State.KEPT}
        partitions = {node.partition for node in nodes.nodes()}
        for resource in (*scope.snapshot.tiers, *scope.snapshot.partitions):
            owner = owner_of(resource)
            if not resource.deleting or str(owner) in left:
                continue
            if isinstance(resource, ComputePartition) and resource.metadata.name in partitions:
                continue
            await self._say_kept(resource, memory)
            await self._cluster.remove_finalizer(resource)
        if scope.environment.deleting and not left and not partitions and not memory.operations:
            await self._say_kept(scope.environment, memory)
            await self._cluster.remove_finalizer(scope.environment)
            for item in memory.inventory.values():
                self._azure.forget(item.id)
            self._memories.pop(scope.snapshot.key, None)

    async def _say_kept(self, resource: CustomResource, memory: Memory) -> None:
        owner = str(owner_of(resource))
        kept = [
            item.id
            for item in memory.inventory.values()
            if item.state == State.KEPT and item.needs and (item.owner == owner or isinstance(resource, HPCEnvironment))
        ]
        if kept:
            message = "Kept in Azure, because deletionPolicy is Retain: " + ", ".join(sorted(kept))
            await self._say(resource, "DataRetained", message)

    def _next_pass(self, started: float, memory: Memory, nodes: NodeApplier) -> float | None:
        due = min(memory.next_due(started), memory.stale_at, memory.machines_stale_at if nodes.moving() else math.inf)
        return max(0.0, due - _now())


def _ids(graph: Graph) -> Iterable[str]:
    return (resource.id for resource in graph)


def _now() -> float:
    return asyncio.get_running_loop().time()
