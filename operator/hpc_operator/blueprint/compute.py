"""Step 4 of the migration guide: one scale set for each generation of a partition's nodes, and the nodes themselves.

Pure; knows nothing of how many nodes there are or of what runs on them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hpc_operator.api import ComputePartition
from hpc_operator.blueprint import machines
from hpc_operator.blueprint.base_services import BaseServices
from hpc_operator.blueprint.cloud_init import boot
from hpc_operator.blueprint.infrastructure import Network
from hpc_operator.blueprint.names import (
    GENERATION_TAG,
    IMAGE_TAG,
    LONGEST_TAG_VALUE,
    PARTITION_TAG,
    PRIORITY_TAG,
    VM_SIZE_TAG,
    Site,
    digest,
)
from hpc_operator.blueprint.vocabulary import MountPoint
from hpc_operator.graph import NODE_NAME, NodeSet, Owner, Resource, Step, Text

_STEP: Final = Step.COMPUTE

# Microsoft's "Azure VM sizes naming conventions": an r among the letters after the number means RDMA.
_RDMA_SIZE: Final = re.compile(r"^Standard_[A-Z]+[0-9]+(-[0-9]+)?[a-z]*r[a-z]*(_|$)")
SINGLE_PLACEMENT_GROUP_LIMIT: Final = 100  # Microsoft's "Large virtual machine scale sets"

# The first API version in which Compute makes network interfaces is 2020-11-01; this is the newest it accepts.
_NETWORK_API_VERSION: Final = "2022-11-01"


@dataclass(frozen=True)
class Compute:
    """Scale sets, and the sets of nodes in them."""

    resources: tuple[Resource, ...]
    node_sets: tuple[NodeSet, ...]


def build(
    site: Site,
    network: Network,
    base_services: BaseServices,
    mounts: Iterable[MountPoint],
    partitions: Sequence[ComputePartition],
    image_versions: Mapping[str, str],
) -> Compute:
    """Return the resources of this step."""
    mounts = tuple(mounts)
    scale_sets, node_sets, images = [], [], {}
    for partition in partitions:
        image = NodeImage.of(site, partition, image_versions[partition.metadata.name])
        if image.resource is not None:
            images[image.resource.id.lower()] = image.resource  # partitions may have the same
        generation = _generation(partition, image, network.compute)
        scale_set = _scale_set(site, partition, image, generation)
        scale_sets.append(scale_set)
        node_sets.append(_node_set(site, network, base_services, mounts, partition, image, generation, scale_set))
    return Compute((*images.values(), *scale_sets), tuple(node_sets))


@dataclass(frozen=True)
class NodeImage:
    """What the system disk of a node is made from.

    Parameters
    ----------
    name
        URN or ARM id, with the version.
    version
        The version, never `latest`.
    identity
        What tells it apart from others, the version aside.
    reference
        As ARM writes it.
    plan
        The `plan` of a machine made from it, under that key; empty where it needs none.
    resource
        The version of a gallery image, which has to exist; None for an image of the marketplace.
    """

    name: str
    version: str
    identity: tuple[str, ...]
    reference: Mapping[str, Any]
    plan: Mapping[str, Any]
    resource: Resource | None = None

    @classmethod
    def of(cls, site: Site, partition: ComputePartition, version: str) -> NodeImage:
        """Return the image of a partition's nodes in the version that it was resolved to."""
        image = partition.spec.image
        if image.gallery_image is None:
            urn = image.reference
            parts = machines.image_parts(urn)[:3]
            return cls(":".join((*parts, version)), version, parts, machines.image(urn, version), machines.plan(urn))
        definition, _, _ = image.gallery_image.partition("/versions/")
        resource = site.referenced(f"{definition}/versions/{version}", _STEP)
        return cls(resource.id, version, (definition.lower(),), {"id": resource.ref()}, {}, resource)


def surge(partition: ComputePartition) -> tuple[int, int]:
    """Return how many nodes more and how many fewer than wanted there may be during a rollout."""
    rollout, wanted = partition.spec.rollout, partition.spec.nodes.min
    more = _share(rollout.max_surge, wanted, math.ceil)
    fewer = _share(rollout.max_unavailable, wanted, math.floor)
    # Both may come to 0 by rounding; then no node could ever be replaced.
    return (more, fewer) if more or fewer else (1, 0)


def _share(amount: int | str, wanted: int, rounded: Any) -> int:
    if isinstance(amount, int):
        return amount
    return int(rounded(int(amount.removesuffix("%")) * wanted / 100))


def has_rdma(vm_size: str) -> bool:
    """Whether machines of a size have InfiniBand."""
    return _RDMA_SIZE.match(vm_size) is not None


def _is_single_placement_group(partition: ComputePartition) -> bool:
    """Tell whether InfiniBand shall join all nodes: Azure does that in a single placement group only."""
    return has_rdma(partition.spec.vm_sizes[0]) and partition.spec.nodes.max <= SINGLE_PLACEMENT_GROUP_LIMIT


def _generation(partition: ComputePartition, image: NodeImage, subnet: Resource) -> str:
    """Return a hash of all that shapes a node.

    What is not in it reaches new nodes only: mounts and keys, for instance, are looked at when a node boots.
    """
    spec = partition.spec
    return digest(
        spec.vm_sizes[0],
        *image.identity,
        image.version,
        spec.priority,
        subnet.id.lower(),
        # Azure never makes a scale set a single placement group again, so a partition that grows beyond the limit, or
        # shrinks below it, gets a new one.
        str(_is_single_placement_group(partition)),
    )


def _described(partition: ComputePartition, image: NodeImage) -> dict[str, str]:
    """Return tags that tell what a generation is like even where it has no node."""
    tags = {VM_SIZE_TAG: partition.spec.vm_sizes[0], PRIORITY_TAG: partition.spec.priority}
    # An ARM id may be too long; then a node has to tell.
    return tags | ({IMAGE_TAG: image.name} if len(image.name) <= LONGEST_TAG_VALUE else {})


def _scale_set(site: Site, partition: ComputePartition, image: NodeImage, generation: str) -> Resource:
    return site.resource(
        "Microsoft.Compute/virtualMachineScaleSets",
        f"{partition.metadata.name}-{generation}",
        step=_STEP,
        owner=Owner("ComputePartition", partition.metadata.name),
        ownership=_described(partition, image),
        properties={
            "orchestrationMode": "Flexible",
            # Spread over as many racks as there are; only so a Flexible scale set takes up to 1000 machines.
            "platformFaultDomainCount": 1,
            "singlePlacementGroup": _is_single_placement_group(partition),
        },
    )


def _node_set(
    site: Site,
    network: Network,
    base_services: BaseServices,
    mounts: Sequence[MountPoint],
    partition: ComputePartition,
    image: NodeImage,
    generation: str,
    scale_set: Resource,
) -> NodeSet:
    spec, name = partition.spec, partition.metadata.name
    owner = Owner("ComputePartition", name)
    settings = {
        "MACHINE_NAME": NODE_NAME,
        **base_services.machine_settings,
        "FEATURES": f"{partition.partition_name},{generation}",
    }
    properties: dict[str, Any] = {
        "virtualMachineScaleSet": {"id": scale_set.ref()},
        "hardwareProfile": {"vmSize": spec.vm_sizes[0]},
        "storageProfile": {
            "imageReference": image.reference,
            "osDisk": machines.os_disk(),
        },
        "osProfile": machines.os_profile(site.environment, NODE_NAME, boot("node", settings, mounts)),
        "networkProfile": _network_profile(network.compute),
        "priority": spec.priority,
    }
    if spec.priority == "Spot":
        # Pay up to the regular price, and leave no disk behind: jobs are requeued elsewhere.
        properties |= {"evictionPolicy": "Delete", "billingProfile": {"maxPrice": -1}}
    max_surge, max_unavailable = surge(partition)
    return NodeSet(
        owner=owner,
        generation=generation,
        resource_group_id=site.resource_group_id,
        name_prefix=f"{name}-{generation}-",
        body={
            "location": site.environment.spec.location,
            "tags": site.tags(owner, {PARTITION_TAG: name, GENERATION_TAG: generation}),
            **image.plan,
            "identity": machines.identity(base_services.machine_identity),
            "properties": properties,
        },
        count=spec.nodes.min,
        maximum=spec.nodes.max,
        max_surge=max_surge,
        max_unavailable=max_unavailable,
        vm_size=spec.vm_sizes[0],
        image_version=image.version,
        priority=spec.priority,
        scale_set_id=scale_set.id,
    )


def _network_profile(subnet: Resource) -> dict[str, Any]:
    """Return a network interface that Compute makes and deletes together with the machine."""
    address = {"name": "ipconfig", "properties": {"primary": True, "subnet": {"id": subnet.ref()}}}
    interface = {
        "name": Text((NODE_NAME, "-nic")),
        "properties": {
            "primary": True,
            "deleteOption": "Delete",
            "enableAcceleratedNetworking": True,
            "ipConfigurations": [address],
        },
    }
    return {"networkApiVersion": _NETWORK_API_VERSION, "networkInterfaceConfigurations": [interface]}
