"""One pass over one environment: look, plan, act, say. Called again and again; every call may be the first.

A pass awaits requests but never a long-running operation: what it started is followed elsewhere, and wakes the next.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hpc_operator.api import CustomResource, HPCEnvironment
from hpc_operator.api.common import timestamp
from hpc_operator.api.hpc_environment import ManagedResource
from hpc_operator.api.plan import WARNINGS_SHOWN, Plan, PlannedChange
from hpc_operator.arm import CALLER, Azure, AzureError, ErrorClass, Handle, succeeded
from hpc_operator.blueprint import Problem, find_adoption_problems, find_problems
from hpc_operator.graph import Owner, Resource, UnresolvedError, resolve
from hpc_operator.policy import next_change
from hpc_operator.preflight import Check
from hpc_operator.reconcile import drift, inventory, status, waiting
from hpc_operator.reconcile.apply import Applier
from hpc_operator.reconcile.fields import field_hashes
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.nodes import NodeApplier
from hpc_operator.reconcile.observe import doubt_rumours, observe, survey
from hpc_operator.reconcile.plan import Action, Change, Drift, Planner, order_of, plan_of
from hpc_operator.reconcile.ports import FINALIZER, Cluster, Key, Snapshot
from hpc_operator.reconcile.prospects import FINDING_SECONDS, Prospects
from hpc_operator.reconcile.removal import Removal
from hpc_operator.reconcile.rollout import Node
from hpc_operator.reconcile.scope import Operator, Scope, held_scope, inputs_of, owner_of, scope_of
from hpc_operator.reconcile.states import State, describe, is_ready
from hpc_operator.reconcile.stock import take_stock
from hpc_operator.subscription import Subscription

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 30.0
"""How old what is known of the claim on the resource group may be when something is written."""
SETTLE_SECONDS = 0.5
"""How long a new environment is left alone, because its tiers and partitions are usually applied right after it: what
depends on them, such as security rules, is then made once and not made and changed."""


@dataclass(frozen=True)
class Study:
    """What a look at Azure came to: what has to be done, what goes, and what somebody else did.

    What is `changing` has to be written, or depends on something that Azure has not told yet; what the longest path
    hangs upon comes first.
    """

    changes: list[Change]
    node_changes: Mapping[str, Change]
    tag_changes: Mapping[str, Change]
    drifts: list[Drift]
    changing: list[Resource]
    going: list[ManagedResource]
    removal: Removal
    removals: list[Change]

    @property
    def all_changes(self) -> list[Change]:
        """Every change in the order of its start."""
        return [*self.changes, *self.node_changes.values(), *self.tag_changes.values(), *self.removals]


@dataclass(frozen=True)
class Tools:
    """What sends the requests of one pass."""

    planner: Planner
    applier: Applier
    nodes: NodeApplier


class Reconciler:
    """Reconciles environments, one pass at a time for each.

    Parameters
    ----------
    azure
        Where resources live.
    subscription
        What the subscription allows and what it costs.
    cluster
        Where custom resources live.
    subscription_id
        The subscription that environments are made in.
    holder
        Name of this cluster, told to other operators by a tag of each resource group.
    drift_seconds
        How long an observation is good while nothing happens.
    may_go
        Whether a running node may be removed now.
    """

    def __init__(
        self,
        azure: Azure,
        subscription: Subscription,
        cluster: Cluster,
        *,
        subscription_id: str,
        holder: str,
        drift_seconds: float,
        may_go: Callable[[Node], bool],
    ) -> None:
        self._azure = azure
        self._subscription = subscription
        self._cluster = cluster
        self._operator = Operator(subscription_id, holder)
        self._drift_seconds = drift_seconds
        self._may_go = may_go
        self._prospects = Prospects(subscription, drift_seconds)
        self._memories: dict[Key, Memory] = {}

    @property
    def known(self) -> int:
        """How many environments have been looked at since this process started."""
        return sum(memory.passes > 0 for memory in self._memories.values())

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
        memory = self._memories.setdefault(key, Memory(first_seen=Memory.now()))
        if FINALIZER not in snapshot.environment.metadata.finalizers:
            wait = memory.first_seen + SETTLE_SECONDS - Memory.now()
            if wait > 0:
                return wait
        CALLER.set(key.tag)
        try:
            return await self._pass(snapshot, snapshot.environment, memory)
        except AzureError as error:
            # The pass could not look at Azure; what is known stays known, and what runs goes on running.
            memory.fail("azure", error, Memory.now())
            await self._say_unreachable(snapshot, snapshot.environment, error)
            return (
                max(0.0, memory.failures["azure"].due - Memory.now())
                if memory.failures["azure"].due != math.inf
                else 60.0
            )

    async def preview(self, snapshot: Snapshot) -> Plan:
        """Return the plan for objects that may not exist anywhere yet; nothing is written.

        Raises
        ------
        AzureError
            If Azure cannot be asked.
        """
        environment = snapshot.environment
        if environment is None:
            msg = "a plan needs an environment"
            raise ValueError(msg)
        # A manifest that `kubectl get -o yaml` printed tells in its status which tags were written.
        memory = Memory(first_seen=Memory.now(), loaded=True, tags=frozenset(environment.status.tags))
        seen = self._problems(snapshot, environment)  # the caller tells these
        problems = dict(seen)
        await self._resolve_images(snapshot, environment, memory, problems)
        self._add_adoption_problems(snapshot, environment, memory, problems)
        scope = scope_of(snapshot, environment, problems, memory, self._operator)
        tools = self._tools(scope, memory)
        await self._look(scope, memory, tools)
        warnings = await take_stock(self._azure, scope, memory)
        study = await self._study(scope, memory, tools, inventory.update(scope, memory))
        refused = [
            Change(Action.BLOCKED, str(owner), str(owner), owner, problem.message, reason=problem.reason)
            for owner, problem in problems.items()
            if owner not in seen
        ]
        plan = self._plan(scope, memory, tools, [*refused, *study.all_changes])
        plan = plan or Plan(hash=scope.specification, summary="nothing to do")
        return plan.model_copy(update={"warnings": (*warnings, *plan.warnings)[:WARNINGS_SHOWN]})

    def _plan(self, scope: Scope, memory: Memory, tools: Tools, changes: list[Change]) -> Plan | None:
        findings = memory.inspection.findings if memory.inspection is not None else ()
        warnings = [finding.message for finding in findings if not finding.blocks]
        return plan_of(changes, scope.specification, tools.planner.currency, warnings)

    async def _pass(self, snapshot: Snapshot, environment: HPCEnvironment, memory: Memory) -> float | None:
        started = Memory.now()
        problems = {} if environment.deleting else self._problems(snapshot, environment)
        if owner_of(environment) in problems:
            return await self._pass_with_problem(snapshot, environment, memory, problems)
        self._load(snapshot, environment, memory)
        await self._resolve_images(snapshot, environment, memory, problems)
        self._add_adoption_problems(snapshot, environment, memory, problems)
        if owner_of(environment) in problems:
            return await self._pass_with_problem(snapshot, environment, memory, problems)
        await self._add_finalizers(snapshot, problems)
        scope = scope_of(snapshot, environment, problems, memory, self._operator)
        tools = self._take_up(scope, memory)
        await self._look(scope, memory, tools)
        memory.failures.pop("azure", None)
        if refusal := await self._other_holder(scope, memory):
            return await self._stand_back(scope, memory, refusal)
        tools.applier.follow_unfinished()

        study = await self._study(scope, memory, tools, inventory.update(scope, memory))
        if await self._account(scope, memory, study):
            study = await self._study(scope, memory, tools, study.going)  # a loss of data is named by its time
        if any(change.may_start for change in study.all_changes) and (
            refusal := await self._other_holder(scope, memory, fresh=True)
        ):
            return await self._stand_back(scope, memory, refusal)
        study.removal.report()
        if self._has_news(scope, memory, study):
            # Inventory and plan are on record before the first write: nothing that a dying pass makes is ever lost.
            await self._write_statuses(scope, memory, tools, study)
        writes = memory.writes
        await tools.applier.create_and_update(scope.graph, study.changing)
        await self._converge_nodes(scope, tools.nodes, study)
        await study.removal.start(study.going, study.removals)

        inventory.refresh(scope, memory)
        study.removal.report()
        if memory.writes != writes:
            study = await self._study(scope, memory, tools, inventory.going(memory))
        await self._account(scope, memory, study)
        await self._write_statuses(scope, memory, tools, study)
        memory.passes += 1
        if await study.removal.release():
            self._memories.pop(snapshot.key, None)
            return None
        return self._next_pass(started, scope, memory, tools, study)

    async def _pass_with_problem(
        self, snapshot: Snapshot, environment: HPCEnvironment, memory: Memory, problems: dict[Owner, Problem]
    ) -> float | None:
        """Make a pass over an environment that cannot be acted upon as it is written: only what goes, goes."""
        started = Memory.now()
        self._load(snapshot, environment, memory)
        staying = [item for item in (environment, *snapshot.tiers, *snapshot.partitions) if not item.deleting]
        held = {owner_of(item): problems[owner_of(environment)] for item in staying} | problems
        scope = held_scope(snapshot, environment, held, memory, self._operator)
        tools = self._take_up(scope, memory)
        if any(item.deleting for item in (*snapshot.tiers, *snapshot.partitions)):
            await self._look(scope, memory, tools)
            if refusal := await self._other_holder(scope, memory, fresh=True):
                return await self._stand_back(scope, memory, refusal)
            study = await self._study(scope, memory, tools, inventory.update(scope, memory))
            await study.removal.start(study.going, study.removals)
            await study.removal.release()
            await self._write_problems(snapshot, environment, problems, memory)
            return self._next_pass(started, scope, memory, tools, study)
        await self._write_problems(snapshot, environment, problems, memory)
        return None

    async def _other_holder(self, scope: Scope, memory: Memory, *, fresh: bool = False) -> str:
        """Return why everything in our resource group is somebody else's, empty where it is not.

        Parameters
        ----------
        scope, memory
            What is wanted and what is known.
        fresh
            Whether to look at the group if nobody has for a while: something is going to be written.
        """
        group = scope.full.resource_group_id
        key = group.lower()
        if fresh and memory.observed.get(key) is not None and Memory.now() - memory.claim_seen_at > CLAIM_SECONDS:
            memory.observed[key] = await self._azure.get(group)
            memory.claim_seen_at = Memory.now()
        return scope.claim.other_holder(memory.observed.get(key))

    async def _stand_back(self, scope: Scope, memory: Memory, refusal: str) -> float:
        """Hold nothing any more, because another operator does: change nothing, and let go what is being deleted."""
        for item in memory.inventory.values():
            self._azure.forget(item.id)
        memory.inventory.clear()
        memory.operations.clear()
        memory.forget_observations()
        owner = owner_of(scope.environment)
        problem = Problem(owner, "ClaimedByAnother", refusal)
        await self._write_problems(scope.snapshot, scope.environment, {owner: problem}, memory)
        for resource in (*scope.snapshot.tiers, *scope.snapshot.partitions, scope.environment):
            if resource.deleting:
                await self._cluster.remove_finalizer(resource)
        return FINDING_SECONDS

    # What is wanted

    def _problems(self, snapshot: Snapshot, environment: HPCEnvironment) -> dict[Owner, Problem]:
        found = find_problems(environment, snapshot.tiers, snapshot.partitions, snapshot.others)
        return {problem.owner: problem for problem in found}

    def _add_adoption_problems(
        self, snapshot: Snapshot, environment: HPCEnvironment, memory: Memory, problems: dict[Owner, Problem]
    ) -> None:
        """Add what is wrong with resources that are to be adopted: only the graph shows it."""
        if environment.spec.adopt and not environment.deleting:
            inputs = inputs_of(snapshot, environment, problems, memory, self._operator)
            problems |= {problem.owner: problem for problem in find_adoption_problems(inputs)}

    async def _add_finalizers(self, snapshot: Snapshot, problems: Mapping[Owner, Problem]) -> None:
        for resource in (snapshot.environment, *snapshot.tiers, *snapshot.partitions):
            if resource is not None and not resource.deleting and owner_of(resource) not in problems:
                await self._cluster.add_finalizer(resource)

    async def _resolve_images(
        self, snapshot: Snapshot, environment: HPCEnvironment, memory: Memory, problems: dict[Owner, Problem]
    ) -> None:
        """Find out once what `latest` means for each partition; what stands in status stays."""
        for partition in snapshot.partitions:
            name, image, known = partition.metadata.name, partition.spec.image.reference, partition.status.image
            if known is not None and known.urn == image:
                memory.image_versions[name] = (image, known.version)
            elif memory.image_versions.get(name, ("", ""))[0] != image:
                version = partition.spec.image.version
                if version == "latest" and not partition.deleting and not environment.deleting:
                    try:
                        version = await self._azure.latest_image_version(environment.spec.location, image)
                    except AzureError as error:
                        if error.error_class not in {ErrorClass.PERMANENT, ErrorClass.ORDERING}:
                            raise
                        problems[owner_of(partition)] = Problem(owner_of(partition), error.code, error.message)
                        continue
                memory.image_versions[name] = (image, version)

    def _tools(self, scope: Scope, memory: Memory) -> Tools:
        planner = Planner(memory, self._azure.type_info, scope.claim, scope.gate, scope.environment.spec.policy)
        applier = Applier(self._azure, memory, planner, lambda: self._cluster.wake(scope.snapshot.key))
        nodes = NodeApplier(self._azure, memory, self._may_go, scope.snapshot.key.tag)
        return Tools(planner, applier, nodes)

    # What is known

    def _take_up(self, scope: Scope, memory: Memory) -> Tools:
        """Go on where the pass or the process before this one ended: follow its operations, and digest what ended."""
        tools = self._tools(scope, memory)
        for handle in memory.take_handles():
            tools.applier.follow(handle, retry_after=0.0)  # nobody has asked since the process before this one ended
        self._digest_outcomes(scope, memory, tools.planner)
        return tools

    def _load(self, snapshot: Snapshot, environment: HPCEnvironment, memory: Memory) -> None:
        """Take up what a process before this one left in status."""
        if memory.loaded:
            return
        memory.loaded = True
        known = environment.status
        memory.inventory = {item.id.lower(): item for item in known.resources}
        memory.drift = {item.id.lower(): item for item in known.drift}
        memory.waits = {item.id.lower(): item for item in known.waiting}
        memory.tags = frozenset(known.tags)
        conditions = [
            *environment.status.conditions,
            *(item for tier in snapshot.tiers for item in tier.status.conditions),
            *(item for partition in snapshot.partitions for item in partition.status.conditions),
        ]
        found = {item.type for item in conditions if item.status == "False"} & {check.value for check in Check}
        if "PreflightPassed" in {item.type for item in conditions if item.status == "True"} and not found - {
            Check.QUOTA
        }:
            memory.passed = known.specification
        memory.deletion = known.deletion
        for item in snapshot.partitions:
            if item.status.rolling_to:
                memory.rolling[item.metadata.name] = item.status.rolling_to
            if item.status.node_tags:
                memory.node_tags[item.metadata.name] = item.status.node_tags
            if (nodes := item.status.nodes) is not None:
                memory.nodes_told += nodes.ready + nodes.creating + nodes.deleting + nodes.failed
        memory.handles = [Handle(item.id, item.verb, item.url, item.start_time) for item in known.operations]

    def _digest_outcomes(self, scope: Scope, memory: Memory, planner: Planner) -> None:
        outcomes, memory.outcomes[:] = list(memory.outcomes), []
        for outcome in outcomes:
            key = outcome.handle.resource_id.lower()
            memory.operations.pop(key, None)
            memory.doubtful.add(key)
            memory.keep_awake()
            if outcome.error is not None:
                logger.warning("%s failed: %s", describe(outcome.handle.resource_id), outcome.error)
                memory.fail(key, outcome.error, Memory.now(), memory.tried.get(key, ""))
                continue
            memory.failures.pop(key, None)
            if outcome.handle.verb == "DELETE":
                memory.observed[key] = None
                memory.doubtful.discard(key)
                continue
            if key in memory.tried:
                memory.note_applied(key, memory.tried[key])
            if key in memory.answered and self._tells_enough(scope, memory, planner, key):
                memory.doubtful.discard(key)

    def _tells_enough(self, scope: Scope, memory: Memory, planner: Planner, key: str) -> bool:
        """Return whether Azure's answer to a write that has succeeded makes a look at the resource needless.

        The answer shows the resource as it is going to be (Resource Provider Contract v1.0, asynchronous PUT); only
        what Azure finds out on the way, such as the address of a file system, may be missing.
        """
        resource, body = scope.graph.get(key), memory.observed.get(key)
        if resource is None or body is None:
            return False
        memory.observed[key] = succeeded(body)
        try:
            if planner.judge(resource).change is not None:
                return False
            for ref in scope.references_to(key):
                resolve(ref, memory.observed)
        except UnresolvedError:
            return False
        return True

    async def _look(self, scope: Scope, memory: Memory, tools: Tools) -> None:
        """Bring what is known of Azure up to date with as few reads as will do."""
        compared = [item for item in scope.full.graph if item.observed_only]
        ids = [item.id for item in (*scope.graph, *compared, *memory.inventory.values())]
        group = scope.full.resource_group_id
        if Memory.now() >= memory.stale_at:
            memory.forget_observations()
            memory.try_everything(Memory.now())
            memory.stale_at = Memory.now() + self._drift_seconds * random.uniform(1.0, 1.1)  # noqa: S311 - spreads the load
        if not memory.observed and memory.inventory:
            await survey(self._azure, memory, ids, group)
        await observe(self._azure, memory, ids)
        while True:
            doubt_rumours(memory, ids, lambda key: self._is_as_wanted(scope, memory, tools.planner, key))
            if not memory.doubtful & memory.rumoured:
                break
            await observe(self._azure, memory, ids)
        await tools.nodes.observe(
            group, self._drift_seconds, lambda nodes: self._nodes_are_as_wanted(scope, memory, tools, nodes)
        )
        if memory.nodes_told:
            memory.nodes_gone = max(0, memory.nodes_told - len(tools.nodes.nodes()))
            memory.nodes_told = 0

    def _is_as_wanted(self, scope: Scope, memory: Memory, planner: Planner, key: str) -> bool:
        """Return whether nothing has to be done about a resource that a survey showed."""
        resource = scope.graph.get(key)
        if resource is None:
            entry = memory.inventory.get(key)
            return entry is not None and entry.state == State.KEPT and memory.observed.get(key) is not None
        if resource.referenced and not resource.observed_only:
            return is_ready(memory, key)
        try:
            judgement = planner.judge(resource)
        except UnresolvedError:
            return False
        # What was written since need not be in a survey yet; if it is not, the survey shows what was wanted before.
        entry = memory.inventory.get(key)
        was_applied = entry is not None and entry.applied == field_hashes(judgement.owned)
        is_as_written = was_applied or resource.observed_only
        return is_ready(memory, key) and judgement.change is None and judgement.drift is None and is_as_written

    def _nodes_are_as_wanted(self, scope: Scope, memory: Memory, tools: Tools, nodes: list[Node]) -> bool:
        if scope.wanted is None or memory.failed_nodes or Memory.now() < memory.busy_until:
            return False
        if memory.passes == 0 and (nodes or any(node_set.count for node_set in scope.wanted.node_sets)):
            return False  # the process before this one may have made or removed some within the survey's delay
        known = {node_set.owner.name for node_set in scope.wanted.node_sets}
        return all(node.partition in known for node in nodes) and not any(
            tools.planner.nodes(node_set, tools.nodes.nodes(node_set.owner.name))
            or any(True for _ in tools.nodes.retags(node_set))
            for node_set in scope.wanted.node_sets
        )

    async def _study(self, scope: Scope, memory: Memory, tools: Tools, going: list[ManagedResource]) -> Study:
        """Compute what has to be done; `going` is what has to go."""
        planner = tools.planner
        planner.offer = await self._prospects.offer(scope, tools.nodes.nodes())
        planner.blocks = await self._prospects.blocks(scope, memory, tools.nodes.nodes())
        changes: list[Change] = []
        drifts: list[Drift] = []
        changing: list[Resource] = []
        compared = [item for item in scope.graph if item.observed_only]
        for resource in [*order_of(scope.graph, self._azure.type_info), *compared]:
            key = resource.id.lower()
            # What is missing of an object that is going to be deleted is not made again meanwhile.
            if key in memory.operations or (resource.owner in scope.held_back and memory.observed.get(key) is None):
                continue
            judgement = planner.foresee(resource)
            if judgement is None:
                if not resource.observed_only:
                    changing.append(resource)
                continue
            if judgement.change is not None:
                changing.append(resource)
                changes.append(judgement.change)
            if judgement.drift is not None:
                drifts.append(judgement.drift)
            if judgement.change is None and judgement.drift is None and not resource.observed_only:
                memory.failures.pop(key, None)
                memory.note_applied(key, field_hashes(judgement.owned))
        memory.note_foreign(change.key for change in changes if change.reason == "AlreadyExists")
        node_changes: dict[str, Change] = {}
        tag_changes: dict[str, Change] = {}
        for node_set in scope.wanted.node_sets if scope.wanted is not None else ():
            if node_set.owner in scope.held_back:
                continue
            change = planner.nodes(node_set, tools.nodes.nodes(node_set.owner.name))
            if change is not None:
                node_changes[node_set.owner.name] = change
            retags = list(tools.nodes.retags(node_set))
            tag_change, tag_drifts = planner.node_tags(node_set, retags)
            drifts += tag_drifts
            if tag_change is not None:
                tag_changes[node_set.owner.name] = tag_change
        removal = Removal(self._azure, self._cluster, scope, memory, planner, tools.nodes, tools.applier)
        removals = removal.plan(going)
        return Study(changes, node_changes, tag_changes, drifts, changing, going, removal, removals)

    # What is done

    async def _account(self, scope: Scope, memory: Memory, study: Study) -> bool:
        """Bring the accounts of drift and waits in step, and say what is new; return whether there is new drift."""

        async def say(reason: str, message: str) -> None:
            logger.warning("%s: %s", scope.snapshot.key.tag, message)
            await self._cluster.emit(scope.environment, "Warning", reason, message)

        period = timedelta(seconds=self._drift_seconds)
        is_new = await drift.account(memory, study.drifts, self._subscription, period, say)
        opening = next_change(scope.environment.spec.policy, datetime.now(UTC))
        opens = timestamp(opening) if opening is not None else None
        waiting.account(memory, study.all_changes, opens)
        wanted = frozenset(scope.environment.spec.tags)
        # One that was taken out of the specification is remembered until nothing carries it any more.
        memory.tags = memory.tags | wanted if study.all_changes or memory.operations else wanted
        return is_new

    def _has_news(self, scope: Scope, memory: Memory, study: Study) -> bool:
        """Return whether something is about to happen that status does not tell yet."""
        before = self._before(scope.environment)
        recorded = {item["id"].lower() for item in before.get("resources", ())}
        if memory.inventory.keys() - recorded:
            return True
        told = [_essence(PlannedChange.model_validate(item)) for item in (before.get("plan") or {}).get("changes", ())]
        plan = plan_of(study.all_changes, scope.specification, "")
        return plan is not None and any(
            not change.waits_for and _essence(change) not in told for change in plan.changes
        )

    async def _converge_nodes(self, scope: Scope, nodes: NodeApplier, study: Study) -> None:
        if scope.wanted is None:
            return
        limit = scope.environment.spec.policy.limits.nodes_at_once
        for node_set in scope.wanted.node_sets:
            # One after the other, for they share the limit; each sends its requests together.
            name = node_set.owner.name
            if node_set.owner not in scope.held_back:
                await nodes.converge(node_set, study.node_changes.get(name), study.tag_changes.get(name), limit)

    # What is said

    async def _write_statuses(self, scope: Scope, memory: Memory, tools: Tools, study: Study) -> None:
        facts = status.Facts(
            environment=scope.environment,
            wanted=scope.wanted,
            memory=memory,
            nodes=tuple(tools.nodes.nodes()),
            problems=scope.problems,
            specification=scope.specification,
            plan=self._plan(scope, memory, tools, study.all_changes),
            changes=tuple(study.all_changes),
            price_of=tools.planner.price_of,
            currency=tools.planner.currency,
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
        self, snapshot: Snapshot, environment: HPCEnvironment, problems: Mapping[Owner, Problem], memory: Memory
    ) -> None:
        """Say what keeps the whole environment from being acted upon."""
        own = problems[owner_of(environment)]
        # Plans and waits of the specification before are of no use any more; server-side apply drops empty lists.
        outdated = {"plan", "waiting", *status.holdings(memory)}
        before = {name: value for name, value in self._before(environment).items() if name not in outdated}
        before |= {name: items for name, items in status.holdings(memory).items() if items}
        await self._write(environment, status.refused(environment, own.reason, own.message, before))
        for resource in (*snapshot.tiers, *snapshot.partitions):
            if resource.deleting:
                continue
            problem = problems.get(owner_of(resource))
            reason, message = (
                (problem.reason, problem.message)
                if problem is not None
                else ("EnvironmentNotReady", f"HPCEnvironment {environment.metadata.name} has a problem: {own.message}")
            )
            await self._write(resource, status.refused(resource, reason, message, self._before(resource)))

    async def _say_unreachable(self, snapshot: Snapshot, environment: HPCEnvironment, error: AzureError) -> None:
        logger.warning("%s: Azure cannot be asked: %s", environment.metadata.name, error)
        problems = {} if environment.deleting else self._problems(snapshot, environment)
        for resource in (environment, *snapshot.tiers, *snapshot.partitions):
            if owner_of(resource) not in problems:
                await self._write(resource, status.unreachable(resource, error, self._before(resource)))

    def _next_pass(self, started: float, scope: Scope, memory: Memory, tools: Tools, study: Study) -> float | None:
        due = min(memory.next_due(started), memory.stale_at)
        if memory.inspection is not None and memory.inspection.is_urgent:
            due = min(due, memory.inspect_at)
        if tools.nodes.moving():
            due = min(due, memory.machines_stale_at)
        if any(change.reason == "MaintenanceWindow" for change in study.all_changes):
            now = datetime.now(UTC)
            opening = next_change(scope.environment.spec.policy, now)
            if opening is not None:
                due = min(due, Memory.now() + (opening - now).total_seconds())
        is_busy = memory.operations or memory.failures or memory.doubtful or tools.nodes.moving()
        if not is_busy and not any(change.may_start for change in study.all_changes):
            if Memory.now() >= memory.busy_until:
                memory.forget_observations()
            else:
                due = min(due, memory.busy_until)
        return max(0.0, due - Memory.now())


def _essence(change: PlannedChange) -> PlannedChange:
    """Return a change without what it costs, which may be known later."""
    return change.model_copy(update={"quota": "", "price_per_hour": ""})
