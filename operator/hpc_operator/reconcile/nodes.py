"""Makes and removes the virtual machines of partitions as the rollout plans it.

Nodes are followed with one list of the resource group, not with one operation each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hpc_operator.arm import Azure, AzureError
from hpc_operator.graph import NodeSet, UnresolvedError, resolve
from hpc_operator.reconcile.apply import fingerprint
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.rollout import Node, NodeState, nodes_of, plan_nodes
from hpc_operator.reconcile.states import is_ready

DEFAULT_POLL_SECONDS = 10.0
"""Between two lists while nodes come or go, where Azure gives no Retry-After (Compute usually says 10)."""

_TRANSITIONAL = frozenset({NodeState.CREATING, NodeState.DELETING})


def failure_key(partition: str) -> str:
    """Return the name under which failures of a partition's nodes are remembered."""
    return f"nodes of {partition}"


class NodeApplier:
    """Brings the nodes of one environment to what its node sets want, as far as one pass can.

    Parameters
    ----------
    azure
        Where requests go.
    memory
        What is known of the environment.
    may_go
        Whether a running node may be removed now.
    """

    def __init__(self, azure: Azure, memory: Memory, may_go: Callable[[Node], bool]) -> None:
        self._azure = azure
        self._memory = memory
        self._may_go = may_go

    async def observe(self, resource_group_id: str, settled_seconds: float) -> None:
        """List the virtual machines, unless what is known is fresh enough.

        Parameters
        ----------
        resource_group_id
            ARM id of the environment's resource group.
        settled_seconds
            How long a list is good while no node comes or goes.
        """
        memory = self._memory
        if memory.observed.get(resource_group_id.lower()) is None:
            memory.machines = []
        elif memory.machines is None or self._now() >= memory.machines_stale_at:
            memory.machines = await self._azure.list_virtual_machines(resource_group_id)
            wait = memory.machines_poll_seconds if self.moving() else settled_seconds
            memory.machines_stale_at = self._now() + wait

    def moving(self) -> bool:
        """Return whether a node is on its way up or down."""
        return any(node.state in _TRANSITIONAL for node in self.nodes())

    def nodes(self, partition: str | None = None) -> list[Node]:
        """Return the known nodes, of one partition or of all."""
        return [
            node for node in nodes_of(self._memory.machines or ()) if partition is None or node.partition == partition
        ]

    async def converge(self, node_set: NodeSet) -> None:
        """Make and remove nodes of one partition as planned."""
        partition = node_set.owner.name
        nodes = self.nodes(partition)
        tried = fingerprint(node_set.body)
        await self._note_failed(partition, nodes, tried)
        plan = plan_nodes(node_set, nodes, self._may_go)
        await self.remove(plan.delete)
        if not plan.create or not self._memory.may_try(failure_key(partition), self._now(), tried):
            return
        if not all(is_ready(self._memory, need) for need in node_set.needs):
            return
        try:
            bodies = {name: resolve(node_set.body, self._memory.observed, name) for name in plan.create}
        except UnresolvedError:
            return
        await asyncio.gather(
            *(self._create(partition, node_set.node_id(name), body, tried) for name, body in bodies.items())
        )

    async def remove(self, nodes: Iterable[Node]) -> None:
        """Start the deletion of nodes; their disks and network interfaces go with them."""
        await asyncio.gather(*(self._delete(node) for node in nodes if node.state is not NodeState.DELETING))

    async def _create(self, partition: str, resource_id: str, body: Mapping[str, Any], tried: str) -> None:
        try:
            started = await self._azure.put(resource_id, body)
        except AzureError as error:
            self._memory.fail(failure_key(partition), error, self._now(), tried)
            # Nobody knows whether it was carried out: list before the next try.
            self._memory.machines = None
            return
        if self._memory.machines is not None and started.body is not None:
            self._memory.machines.append(started.body)
        self._poll_after(started.retry_after)

    async def _delete(self, node: Node) -> None:
        try:
            started = await self._azure.delete(node.id)
        except AzureError as error:
            self._memory.fail(failure_key(node.partition), error, self._now())
            self._memory.machines = None
            return
        self._memory.machines = [
            _going(machine) if machine["id"] == node.id else machine for machine in self._memory.machines or ()
        ]
        self._poll_after(started.retry_after)

    async def _note_failed(self, partition: str, nodes: Iterable[Node], tried: str) -> None:
        """Remember why nodes failed, so that the next ones wait, and so that the user reads it."""
        failed = [node for node in nodes if node.state is NodeState.FAILED]
        if failed:
            error = await self._azure.virtual_machine_error(failed[0].id)
            self._memory.fail(failure_key(partition), error, self._now(), tried)
        elif all(node.state is NodeState.READY for node in nodes) and nodes:
            self._memory.failures.pop(failure_key(partition), None)

    def _poll_after(self, retry_after: float | None) -> None:
        self._memory.machines_poll_seconds = retry_after or DEFAULT_POLL_SECONDS
        self._memory.machines_stale_at = self._now() + self._memory.machines_poll_seconds

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _going(machine: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a virtual machine as the next list will show it."""
    return {**machine, "properties": {**machine["properties"], "provisioningState": "Deleting"}}
