"""Whether the region has the VM sizes for this subscription, and whether they can do what machines ask of them.

Pure. Only the size that machines are made with holds something up; of the other entries of `vmSizes` it is news.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any, Final

from hpc_operator.graph import NodeSet, references
from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.network import address_ranges
from hpc_operator.preflight.surroundings import Machine, Surroundings, node_machine
from hpc_operator.subscription import VmSize

# Microsoft's "Large virtual machine scale sets": InfiniBand joins what is in one placement group, which takes 100.
_PLACEMENT_GROUP_LIMIT: Final = 100
# Microsoft's "Set up InfiniBand": the virtual network may not overlap the addresses of the RDMA network.
_RDMA_NETWORK: Final = IPv4Network("172.16.0.0/16")


def check(site: Surroundings, sizes: Mapping[str, VmSize]) -> Iterator[Finding]:
    """Yield what is wrong with the VM sizes of machines that have to be made, resized, or may come.

    Parameters
    ----------
    site
        The environment.
    sizes
        Every size of the region, restricted ones too, by lower-case name.
    """
    for machine in site.machines:
        if not machine.is_node and (machine.shown is None or machine.is_resized):
            yield from _check_machine(site, machine, sizes)
    for nodes in site.node_sets:
        yield from _check_machine(site, node_machine(nodes), sizes)
        yield from _check_next_sizes(site, nodes, sizes)
        size = sizes.get(nodes.vm_size.lower())
        if size is not None and size.rdma and nodes.maximum > 1:
            yield from _check_infiniband(site, nodes)


def _check_machine(site: Surroundings, machine: Machine, sizes: Mapping[str, VmSize]) -> Iterator[Finding]:
    advice = "write another one first in vmSizes" if machine.is_node else "write another vmSize"
    for reason, fault, is_certain in _faults(site, machine, machine.vm_size, sizes):
        yield Finding(
            machine.owner,
            Check.SIZES,
            reason,
            f"{machine.label} is to have VM size {machine.vm_size}, which {fault}: {advice}",
            machine.blocks if is_certain else frozenset(),
        )


def _check_next_sizes(site: Surroundings, nodes: NodeSet, sizes: Mapping[str, VmSize]) -> Iterator[Finding]:
    listed = next((item.spec.vm_sizes for item in site.partitions if item.metadata.name == nodes.owner.name), ())
    for name in listed:
        if name.lower() != nodes.vm_size.lower():
            for reason, fault, _ in _faults(site, node_machine(nodes), name, sizes):
                yield Finding(
                    nodes.owner,
                    Check.SIZES,
                    reason,
                    f"Partition {nodes.owner.name} names VM size {name}, which {fault}: take it out of vmSizes or "
                    "write another one",
                )


def _faults(
    site: Surroundings, machine: Machine, name: str, sizes: Mapping[str, VmSize]
) -> Iterator[tuple[str, str, bool]]:
    """Yield what is wrong with a size: reason, the end of a sentence, and whether Azure certainly refuses it."""
    size = sizes.get(name.lower())
    if size is None:
        yield "VMSizeUnknown", f"{site.location} does not have", True
        return
    if size.unavailable:
        yield (
            "VMSizeRestricted",
            f"this subscription may not use in {site.location} ({size.unavailable}, which a support request can lift)",
            True,
        )
    elif size.zones and size.zones <= size.restricted_zones:
        # Our machines name no zone, and what Azure then does with a size that no zone has is not documented.
        yield "VMSizeRestrictedInZones", f"this subscription may not use in any zone of {site.location}", False
    if machine.priority == "Spot" and not size.spot:
        yield "SpotNotOffered", "Azure does not sell as Spot", True
    if _asks_for_acceleration(machine.body) and not size.accelerated_networking:
        yield (
            "AcceleratedNetworkingMissing",
            "has no accelerated networking, and the nodes' interfaces ask for it",
            True,
        )
    if _has_premium_disk(site, machine.body) and not size.premium_storage:
        yield "PremiumStorageMissing", "takes no premium disk, and it has one", True


def _asks_for_acceleration(body: Mapping[str, Any]) -> bool:
    interfaces = body["properties"]["networkProfile"].get("networkInterfaceConfigurations", [])
    return any(interface["properties"].get("enableAcceleratedNetworking") for interface in interfaces)


def _has_premium_disk(site: Surroundings, body: Mapping[str, Any]) -> bool:
    disks = body["properties"]["storageProfile"].get("dataDisks", [])
    found = (site.blueprint.graph.get(ref.resource_id) for ref in references(disks))
    return any(disk.body["sku"]["name"].startswith("Premium") for disk in found if disk is not None)


def _check_infiniband(site: Surroundings, nodes: NodeSet) -> Iterator[Finding]:
    if nodes.maximum > _PLACEMENT_GROUP_LIMIT:
        yield Finding(
            nodes.owner,
            Check.SIZES,
            "InfiniBandLimited",
            f"Partition {nodes.owner.name} may have {nodes.maximum} nodes of {nodes.vm_size}, and InfiniBand joins at "
            f"most {_PLACEMENT_GROUP_LIMIT}: lower nodes.max to {_PLACEMENT_GROUP_LIMIT} or make several partitions",
        )
    for network_id, ranges in address_ranges(site):
        for item in ranges:
            if item.overlaps(_RDMA_NETWORK):
                yield Finding(
                    nodes.owner,
                    Check.NETWORK,
                    "InfiniBandAddressesTaken",
                    f"Nodes of {nodes.vm_size} use {_RDMA_NETWORK} for InfiniBand, and the virtual network "
                    f"{network_id} has {item}: use a network with other addresses",
                )
