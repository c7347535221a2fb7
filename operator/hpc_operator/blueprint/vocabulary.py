"""What goes into a blueprint and what comes out of it.

Pure data; knows the three kinds and the graph, and no Azure type by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.graph import Graph, NodeSet, Ref, Text


@dataclass(frozen=True)
class Inputs:
    """All that decides what Azure should hold for one environment.

    Parameters
    ----------
    subscription_id
        The Azure subscription.
    environment
        The environment.
    tiers
        The storage tiers whose `environmentRef` names it and that have no problem.
    partitions
        The compute partitions whose `environmentRef` names it and that have no problem.
    image_versions
        The version that each partition's image was resolved to, by the partition's `metadata.name`.
    claim
        Which operator this is, of those that may have an environment of the same name: it is written on the resource
        group. Empty where nothing shall be written.
    former_tags
        Names of the user's tags that were written once: those that the specification does not name any more stand in
        bodies as None, which means that they must be absent.
    """

    subscription_id: str
    environment: HPCEnvironment
    tiers: tuple[StorageTier, ...]
    partitions: tuple[ComputePartition, ...]
    image_versions: Mapping[str, str]
    claim: str = ""
    former_tags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MountPoint:
    """How a machine mounts a storage tier.

    Parameters
    ----------
    source
        What is mounted; refers to the address that Azure gives the file system.
    type
        File system type as `mount -t` takes it.
    options
        Mount options.
    path
        Where it is mounted.
    capacity
        Where its present capacity will be found; None for what we do not make.
    capacity_unit
        Bytes that one unit of `capacity` stands for.
    """

    source: Text
    type: str
    options: str
    path: str
    capacity: Ref | None = None
    capacity_unit: int = 1


@dataclass(frozen=True)
class LoginNode:
    """One login node: the name of its virtual machine, and where its private address will be found."""

    name: str
    address: Ref


@dataclass(frozen=True)
class Blueprint:
    """What Azure should hold for one environment.

    Parameters
    ----------
    graph
        Every resource except the nodes of partitions.
    node_sets
        The nodes, one set for each partition.
    resource_group_id
        The resource group that all of it lives in.
    mounts
        How each storage tier is mounted, by the tier's `metadata.name`.
    login_nodes
        The login nodes, in order.
    """

    graph: Graph
    node_sets: tuple[NodeSet, ...]
    resource_group_id: str
    mounts: Mapping[str, MountPoint]
    login_nodes: tuple[LoginNode, ...]
