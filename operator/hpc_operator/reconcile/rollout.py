"""Which nodes of a partition to make and which to remove next. Pure functions.

New nodes come before old ones go, within `maxSurge` and `maxUnavailable`. Whether a node may go is asked of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hpc_operator.blueprint.names import ENVIRONMENT_TAG, GENERATION_TAG, PARTITION_TAG
from hpc_operator.graph import NodeSet


class NodeState(StrEnum):
    """What a node's VM is doing."""

    CREATING = "Creating"
    READY = "Ready"
    DELETING = "Deleting"
    FAILED = "Failed"


@dataclass(frozen=True)
class Node:
    """One node as Azure shows its VM."""

    id: str
    name: str
    partition: str
    generation: str
    state: NodeState
    scale_set_id: str
    vm_size: str = ""
    image_version: str = ""
    priority: str = "Regular"


def nodes_of(virtual_machines: Iterable[Mapping[str, Any]], environment: str, new: Collection[str] = ()) -> list[Node]:
    """Return those VMs that carry our tags, as nodes.

    Parameters
    ----------
    virtual_machines
        Bodies as Azure returned them.
    environment
        `namespace/name`, as the ownership tag has it.
    new
        Lower-case ids of those that are known not to have been whole yet.
    """
    return [
        _node(machine, is_new=machine["id"].lower() in new)
        for machine in virtual_machines
        if PARTITION_TAG in (tags := machine.get("tags") or {}) and tags.get(ENVIRONMENT_TAG) == environment
    ]


def _node(machine: Mapping[str, Any], *, is_new: bool) -> Node:
    tags, properties = machine["tags"], machine.get("properties") or {}
    return Node(
        id=machine["id"],
        name=machine["name"],
        partition=tags[PARTITION_TAG],
        generation=tags.get(GENERATION_TAG, ""),
        state=_state(properties.get("provisioningState", ""), is_new=is_new),
        scale_set_id=str((properties.get("virtualMachineScaleSet") or {}).get("id", "")).lower(),
        vm_size=(properties.get("hardwareProfile") or {}).get("vmSize", ""),
        image_version=((properties.get("storageProfile") or {}).get("imageReference") or {}).get("version", ""),
        priority=properties.get("priority", "Regular"),
    )


def _state(provisioning_state: str, *, is_new: bool) -> NodeState:
    match provisioning_state.lower():
        case "updating" if is_new:
            return NodeState.CREATING  # put once more before it was made, because the first answer was lost
        case "succeeded" | "updating":
            return NodeState.READY
        case "deleting":
            return NodeState.DELETING
        case "failed" | "canceled":
            return NodeState.FAILED
        case _:
            return NodeState.CREATING


@dataclass(frozen=True)
class NodePlan:
    """Names of nodes to make and nodes to remove now."""

    create: tuple[str, ...] = ()
    delete: tuple[Node, ...] = ()

    def cut(self, most: int) -> NodePlan:
        """Return the same with at most so many moves; what goes comes first, for it makes room."""
        delete = self.delete[: max(0, most)]
        return NodePlan(self.create[: max(0, most - len(delete))], delete)


def plan_nodes(
    node_set: NodeSet, nodes: Sequence[Node], may_go: Callable[[Node], bool], *, may_roll: bool = True
) -> NodePlan:
    """Return the next move towards `node_set.count` nodes of the present generation.

    Parameters
    ----------
    node_set
        What is wanted.
    nodes
        All nodes that the partition has, of every generation, going ones included.
    may_go
        Whether a node may be removed now; one that is on its way up is removed unasked.
    may_roll
        Whether nodes of other generations are replaced; else they serve as well as any.
    """
    staying = [node for node in nodes if node.state is not NodeState.DELETING]
    present = [
        node
        for node in staying
        if (node.generation == node_set.generation or not may_roll) and node.state is not NodeState.FAILED
    ]
    outdated = [node for node in staying if node.generation != node_set.generation] if may_roll else []
    # Asked as well, for a node whose update failed runs on.
    failed = [node for node in staying if node.state is NodeState.FAILED and may_go(node)]
    return NodePlan(
        create=_names(node_set, nodes, _how_many_to_create(node_set, nodes, present, outdated)),
        delete=tuple({node.id: node for node in [*failed, *_to_remove(node_set, present, outdated, may_go)]}.values()),
    )


def _how_many_to_create(
    node_set: NodeSet, nodes: Sequence[Node], present: Sequence[Node], outdated: Sequence[Node]
) -> int:
    missing = node_set.count - len(present)
    if outdated or any(node.generation != node_set.generation and node.state is NodeState.DELETING for node in nodes):
        # A node on its way down still counts: it holds its cores in the quota until it is gone.
        missing = min(missing, node_set.count + node_set.max_surge - len(nodes))
    return max(0, missing)


def _to_remove(
    node_set: NodeSet, present: Sequence[Node], outdated: Sequence[Node], may_go: Callable[[Node], bool]
) -> list[Node]:
    excess = len(present) - node_set.count
    removable = sorted(present, key=lambda node: (node.state is NodeState.READY, -_number(node)))[: max(0, excess)]
    going = [node for node in removable if node.state is not NodeState.READY or may_go(node)]

    going += [node for node in outdated if node.state is NodeState.CREATING]
    ready = sum(node.state is NodeState.READY for node in present if node not in going)
    old = sorted((node for node in outdated if node.state is NodeState.READY), key=_number, reverse=True)
    spare = ready + len(old) - (node_set.count - node_set.max_unavailable)
    for node in old:
        if spare <= 0:
            break
        if may_go(node):
            going.append(node)
            spare -= 1
    return going


def _number(node: Node) -> int:
    tail = node.name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


def _names(node_set: NodeSet, nodes: Sequence[Node], count: int) -> tuple[str, ...]:
    taken = {node.name for node in nodes}
    names: list[str] = []
    number = 1
    while len(names) < count:
        name = f"{node_set.name_prefix}{number}"
        if name not in taken:
            names.append(name)
        number += 1
    return tuple(names)
