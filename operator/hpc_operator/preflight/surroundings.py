"""What a preflight looks at: an environment's desired state beside what Azure is known to hold of it.

Pure data, and the few views of it that several checks share. Knows no answer of a subscription.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from hpc_operator.api import ComputePartition, HPCEnvironment
from hpc_operator.blueprint import Blueprint
from hpc_operator.graph import NodeSet, Owner, Resource, Step

VIRTUAL_MACHINES: Final = "microsoft.compute/virtualmachines"
_STEPS: Final = tuple(Step)


@dataclass(frozen=True)
class Machine:
    """One virtual machine of the graph, or what all nodes of a partition are alike.

    Parameters
    ----------
    label
        How people call it, such as `VM scheduler` or `Partition climate-hpc`.
    owner
        The custom resource it belongs to.
    blocks
        Lower-case ARM id of what is not written where it cannot be made: the machine, or the nodes' scale set.
    body
        As it should be.
    is_node
        Whether it stands for nodes, of which new ones may come at any time.
    shown
        As Azure shows it; None where it is missing or not known, and for nodes.
    """

    label: str
    owner: Owner
    blocks: frozenset[str]
    body: Mapping[str, Any]
    is_node: bool = False
    shown: Mapping[str, Any] | None = None

    @property
    def vm_size(self) -> str:
        """The wanted VM size."""
        return str(self.body["properties"]["hardwareProfile"]["vmSize"])

    @property
    def shown_size(self) -> str:
        """The VM size that it has now, empty where it is not there."""
        return str((self.shown or {}).get("properties", {}).get("hardwareProfile", {}).get("vmSize", ""))

    @property
    def is_resized(self) -> bool:
        """Whether it is there with another size than wanted."""
        return self.shown is not None and self.shown_size.lower() != self.vm_size.lower()

    @property
    def priority(self) -> str:
        """Regular or Spot."""
        return str(self.body["properties"].get("priority", "Regular"))

    @property
    def urn(self) -> str | None:
        """The image of the marketplace as `publisher:offer:sku:version`, None where it is of a gallery."""
        image = self.body["properties"]["storageProfile"]["imageReference"]
        return None if "id" in image else ":".join(image[key] for key in ("publisher", "offer", "sku", "version"))


@dataclass(frozen=True)
class Surroundings:
    """One environment before something is written.

    Parameters
    ----------
    blueprint
        What Azure should hold.
    environment
        The environment.
    partitions
        Its partitions.
    observed
        By lower-case ARM id the body as Azure shows it; None where it is known to be missing, absent where nobody
        looked.
    nodes
        By a partition's `metadata.name` the VM size and priority of each node that exists.
    """

    blueprint: Blueprint
    environment: HPCEnvironment
    partitions: Sequence[ComputePartition]
    observed: Mapping[str, Mapping[str, Any] | None]
    nodes: Mapping[str, Sequence[tuple[str, str]]]

    @property
    def location(self) -> str:
        """Short name of the region."""
        return self.environment.spec.location

    @property
    def owner(self) -> Owner:
        """The environment as the owner of findings."""
        return Owner("HPCEnvironment", self.environment.metadata.name)

    def shown(self, resource_id: str) -> Mapping[str, Any] | None:
        """Return a body as Azure shows it, None where there is none or nobody looked."""
        return self.observed.get(resource_id.lower())

    def is_missing(self, resource_id: str) -> bool:
        """Whether a resource is known not to exist."""
        return self.observed.get(resource_id.lower(), ...) is None

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        """What is ours to write, in the order of the steps and then of ids; nodes apart."""
        owned = (resource for resource in self.blueprint.graph if not resource.referenced)
        return tuple(sorted(owned, key=lambda resource: (_STEPS.index(resource.step), resource.id.lower())))

    @cached_property
    def node_sets(self) -> tuple[NodeSet, ...]:
        """The nodes of partitions in the order of the partitions' names."""
        return tuple(sorted(self.blueprint.node_sets, key=lambda nodes: nodes.owner))

    def missing(self, resource_type: str) -> list[Resource]:
        """Return what has to be made of a type in lower case."""
        return [
            resource
            for resource in self.resources
            if resource.type.lower() == resource_type and self.is_missing(resource.id)
        ]

    @cached_property
    def machines(self) -> tuple[Machine, ...]:
        """Scheduler and login nodes in the order of steps, then one for the nodes of each partition."""
        single = [
            Machine(
                f"VM {resource.name}",
                resource.owner,
                frozenset({resource.id.lower()}),
                resource.body,
                shown=self.shown(resource.id),
            )
            for resource in self.resources
            if resource.type.lower() == VIRTUAL_MACHINES
        ]
        return (*single, *map(node_machine, self.node_sets))


def node_machine(nodes: NodeSet) -> Machine:
    """Return what all nodes of a partition are alike."""
    scale_set = frozenset({nodes.scale_set_id.lower()})
    return Machine(f"Partition {nodes.owner.name}", nodes.owner, scale_set, nodes.body, is_node=True)
