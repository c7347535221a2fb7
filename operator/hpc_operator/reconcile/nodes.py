"""Makes and removes the virtual machines of partitions as the rollout plans it.

Nodes are followed with one list of the resource group, not with one operation each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hpc_operator.arm import Azure, AzureError, is_final, provisioning_state
from hpc_operator.blueprint.names import GENERATION_TAG
from hpc_operator.graph import NodeSet, UnresolvedError, resolve
from hpc_operator.reconcile.fields import differences, overlay, update_body
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.plan import Action, Change, Retag, fingerprint
from hpc_operator.reconcile.rollout import Node, NodePlan, NodeState, nodes_of, plan_nodes
from hpc_operator.reconcile.states import is_ready, nodes_name

DEFAULT_POLL_SECONDS = 10.0
"""Between two lists while nodes come or go, where Azure gives no Retry-After (Compute usually says 10)."""

_TRANSITIONAL = frozenset({NodeState.CREATING, NodeState.DELETING})


def failure_key(partition: str) -> str:
    """Return the name under which failures of a partition's nodes are remembered."""
    return nodes_name(partition)


def _is_up(node: Node, node_set: NodeSet) -> bool:
    """Return whether a node is one of those that are wanted now; one that is going to be replaced proves nothing."""
    return node.state is NodeState.READY and node.generation == node_set.generation


def deletion_key(partition: str) -> str:
    """Return the name under which failures to delete a partition's nodes are remembered."""
    return f"deletion of {failure_key(partition)}"


class NodeApplier:
    """Brings the nodes of one environment to what its node sets want, as far as one pass can.

    Parameters
    ----------
    azure
        Where requests go.
    memory
        What is known of the environment.
    may_go
        Whether a node may be removed now.
    environment
        `namespace/name`, as the ownership tag has it.
    """

    def __init__(self, azure: Azure, memory: Memory, may_go: Callable[[Node], bool], environment: str) -> None:
        self._azure = azure
        self._memory = memory
        self.may_go = may_go
        self._environment = environment

    async def observe(
        self, resource_group_id: str, settled_seconds: float, are_as_wanted: Callable[[list[Node]], bool]
    ) -> None:
        """List the virtual machines, unless what is known is fresh enough.

        Parameters
        ----------
        resource_group_id
            ARM id of the environment's resource group.
        settled_seconds
            How long a list is good while no node comes or goes.
        are_as_wanted
            Whether nothing has to be done to these nodes: then a survey that shows them so is believed.
        """
        memory = self._memory
        if memory.observed.get(resource_group_id.lower()) is None:
            memory.machines, memory.machines_rumoured = [], False
            return
        if memory.machines_rumoured and not self.moving() and are_as_wanted(self.nodes()):
            memory.machines_stale_at = self._memory.now() + settled_seconds
            return
        if memory.machines is None or memory.machines_rumoured or self._memory.now() >= memory.machines_stale_at:
            before = {node.id for node in self.nodes()}
            memory.machines = await self._azure.list_virtual_machines(resource_group_id)
            memory.machines_rumoured = False
            memory.new_nodes &= {
                machine["id"].lower() for machine in memory.machines if not is_final(provisioning_state(machine))
            }
            memory.nodes_gone += len(before - {node.id for node in self.nodes()})
            wait = memory.machines_poll_seconds if self.moving() else settled_seconds
            memory.machines_stale_at = self._memory.now() + wait

    def moving(self) -> bool:
        """Return whether a node is on its way up or down."""
        return self.in_transition() > 0

    def in_transition(self) -> int:
        """Return how many nodes are on their way up or down."""
        return sum(node.state in _TRANSITIONAL for node in self.nodes())

    def nodes(self, partition: str | None = None) -> list[Node]:
        """Return the known nodes, of one partition or of all."""
        known = nodes_of(self._memory.machines or (), self._environment, self._memory.new_nodes)
        return [node for node in known if partition is None or node.partition == partition]

    async def converge(
        self, node_set: NodeSet, change: Change | None, tags: Change | None, at_once: int | None
    ) -> None:
        """Make and remove nodes of one partition as planned.

        Parameters
        ----------
        node_set
            What is wanted.
        change, tags
            What the plan says of these nodes and of their tags; None where nothing.
        at_once
            How many nodes of the environment may be on their way up or down; None for no limit.
        """
        partition = node_set.owner.name
        nodes = self.nodes(partition)
        tried = fingerprint(node_set.body)
        await self._note_failed(node_set, nodes, tried)
        if tags is not None and tags.may_start:
            await self._retag(node_set)
        waits = change is not None and not change.may_start
        if change is not None and waits and change.reason == "DryRun":
            return
        if change is not None and change.action is Action.ROLL and not waits:
            self._memory.rolling[partition] = node_set.generation
        elif not waits:
            self._memory.rolling.pop(partition, None)
        # While a roll waits, the nodes that are there serve on, and come and go with the jobs.
        plan = plan_nodes(node_set, nodes, self.may_go, may_roll=not waits)
        if change is not None and change.action is Action.BLOCKED:
            plan = NodePlan(delete=plan.delete)
        if at_once is not None:
            plan = plan.cut(at_once - self.in_transition())
        await self.remove(plan.delete)
        if not plan.create or not self._memory.may_try(failure_key(partition), self._memory.now(), tried):
            return
        if not all(is_ready(self._memory, need) for need in node_set.needs):
            return
        try:
            resolved = {name: resolve(node_set.body, self._memory.observed, name) for name in plan.create}
            bodies = {name: overlay(None, body) for name, body in resolved.items()}
        except UnresolvedError:
            return
        refusals = await asyncio.gather(*(self._create(node_set.node_id(name), body) for name, body in bodies.items()))
        self._note_refusals(failure_key(partition), refusals, tried)

    async def remove(self, nodes: Iterable[Node]) -> None:
        """Start the deletion of nodes; their disks and network interfaces go with them."""
        by_partition: dict[str, list[Node]] = {}
        for node in nodes:
            if node.state is not NodeState.DELETING:
                by_partition.setdefault(node.partition, []).append(node)
        for partition, going in by_partition.items():
            key = deletion_key(partition)
            if self._memory.may_try(key, self._memory.now()):
                refusals = await asyncio.gather(*(self._delete(node) for node in going))
                self._note_refusals(key, refusals)
                if not any(refusals):
                    self._memory.failures.pop(key, None)

    async def _create(self, resource_id: str, body: Mapping[str, Any]) -> AzureError | None:
        self._memory.keep_awake()
        self._memory.new_nodes.add(resource_id.lower())
        try:
            started = await self._azure.put(resource_id, body)
        except AzureError as error:
            return error
        if self._memory.machines is not None and started.body is not None:
            self._memory.machines.append(started.body)
        self._poll_after(started.retry_after)
        return None

    async def _delete(self, node: Node) -> AzureError | None:
        self._memory.keep_awake()
        try:
            started = await self._azure.delete(node.id)
        except AzureError as error:
            return error
        self._show(node.id, {"properties": {"provisioningState": "Deleting"}})
        self._poll_after(started.retry_after)
        return None

    def retags(self, node_set: NodeSet) -> Iterator[Retag]:
        """Yield the running nodes of the present generation whose tags are not as wanted."""
        wanted = {"tags": resolve(node_set.body["tags"], self._memory.observed)}
        current = {node.id for node in self.nodes(node_set.owner.name) if node.state is NodeState.READY}
        info = self._azure.type_info(node_set.node_type)
        for machine in list(self._memory.machines or ()):
            if machine["id"] not in current or machine["tags"].get(GENERATION_TAG) != node_set.generation:
                continue
            if changes := differences(wanted, machine, info):
                yield Retag(machine["id"], tuple(changes), wanted)

    async def _retag(self, node_set: NodeSet) -> None:
        """Bring the tags of running nodes in step; all else of a node is its generation's."""
        key = f"tags of {failure_key(node_set.owner.name)}"
        tried, info = fingerprint(node_set.body["tags"]), self._azure.type_info(node_set.node_type)
        for retag in list(self.retags(node_set)):
            if not self._memory.may_try(key, self._memory.now(), tried):
                return
            self._memory.keep_awake()
            try:
                # Azure replaces all tags, so this has to start from those that are there now.
                machine = await self._azure.get(retag.id)
                if machine is None:
                    continue
                body = update_body(retag.wanted, machine, retag.changes, info)
                await self._azure.patch(retag.id, body)
            except AzureError as error:
                self._memory.fail(key, error, self._memory.now(), tried)
                return
            self._show(retag.id, retag.wanted)
        self._memory.failures.pop(key, None)
        self._memory.node_tags[node_set.owner.name] = tried

    def _show(self, resource_id: str, change: Mapping[str, Any]) -> None:
        """Take for true what the next list will show."""
        self._memory.machines = [
            overlay(machine, change) if machine["id"] == resource_id else machine
            for machine in self._memory.machines or ()
        ]

    def _note_refusals(self, key: str, refusals: Iterable[AzureError | None], tried: str = "") -> None:
        """Remember what was refused together as one failure, and have the machines listed before the next try."""
        for error in refusals:
            if error is not None:
                self._memory.fail(key, error, self._memory.now(), tried)
                self._memory.machines_stale_at = 0.0
                return

    async def _note_failed(self, node_set: NodeSet, nodes: Iterable[Node], tried: str) -> None:
        """Remember why nodes failed, so that the next ones wait, and so that the user reads it."""
        key = failure_key(node_set.owner.name)
        failed = {node.id for node in nodes if node.state is NodeState.FAILED}
        new = sorted(failed - self._memory.failed_nodes)
        self._memory.failed_nodes -= {node.id for node in nodes if node.id not in failed}
        self._memory.failed_nodes |= failed
        if new:
            try:
                reason = await self._azure.virtual_machine_error(new[0])
            except AzureError as error:
                reason = error
            self._memory.fail(key, reason, self._memory.now(), tried)
        elif not failed and sum(_is_up(node, node_set) for node in nodes) >= node_set.count:
            self._memory.failures.pop(key, None)

    def _poll_after(self, retry_after: float | None) -> None:
        self._memory.machines_poll_seconds = retry_after or DEFAULT_POLL_SECONDS
        self._memory.machines_stale_at = self._memory.now() + self._memory.machines_poll_seconds
