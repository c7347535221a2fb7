"""Virtual networks: their address space, and what Azure tells of it."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.network import addresses, exclusion, peerings, subnets
from azure_emulator.providers.network.base import BASE, bad_format, put, refusal, with_guid
from azure_emulator.providers.network.names import PEERING, SUBNET, VNET
from azure_emulator.types import Answer, Call, Change, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# Since this version a virtual network's PUT without `subnets` leaves them alone; before, it deletes them; an empty list
# deletes them in all versions (Azure Networking Blog, "Virtual Network now supports updates without subnet property").
SUBNETS_KEPT_FROM = "2023-09-01"
# How many free addresses CheckIPAddressAvailability suggests instead of one that is taken.
SUGGESTIONS = 5


def _check(change: Change) -> None:
    exclusion.refuse_busy(change, change.id)
    texts = addresses.space_of(change.properties)
    if not texts:
        raise refusal(
            "VnetAddressSpaceEmpty", f"Virtual network {change.id} must have at least one address prefix."
        )  # an assumption: no recording of this refusal was found
    space = [addresses.parse_prefix(text, change.id) for text in texts]
    for one, other in itertools.combinations(space, 2):
        if one.version == other.version and one.overlaps(other):
            raise errors.bad_request(
                "VirtualNetworkAddressSpaceOverlaps",
                f"Address prefixes {one} and {other} of virtual network {change.path.name} overlap.",
            )
    _check_subnets(change, texts)
    _check_peered(change, texts)
    with_guid(change)
    _plan_peerings(change)


def _check_subnets(change: Change, space: list[str]) -> None:
    listed = [child for child in change.children if child.type.name == SUBNET]
    ranges = {child.path.name: addresses.prefix_texts(child.properties) for child in listed}
    gone = {child.key for child in change.omitted}
    for subnet in change.engine.store.children(change.id, SUBNET):
        if subnet.key not in gone:
            ranges.setdefault(subnet.name, addresses.prefix_texts(subnet.properties))
    subnets.check_ranges(change.path.name, space, ranges)


def _check_peered(change: Change, space: list[str]) -> None:
    """A prefix that is added must not overlap with a peered network's."""
    added = [text for text in space if text not in addresses.space_of(change.old)] if change.exists else []
    for peering in change.engine.store.children(change.id, PEERING):
        remote = change.engine.store.get(str(bodies.get(peering.properties, "remoteVirtualNetwork.id")))
        lost = addresses.overlapping(added, addresses.space_of(remote.properties)) if remote is not None else []
        if lost and remote is not None:
            raise refusal(
                "VnetAddressSpacesOverlap",
                f"Cannot update virtual network {change.id}: its address space overlaps with that of virtual network "
                f"{remote.id}, which it is peered with. Overlapping address prefixes: {', '.join(lost)}.",
            )


def _plan_peerings(change: Change) -> None:
    """A body may bring peerings along; those that are left out stay, and those that are as they were too."""
    engine = change.engine
    for item in change.properties.pop("virtualNetworkPeerings", None) or []:
        if not isinstance(item, dict) or not item.get("name"):
            raise bad_format(f"Each peering of virtual network {change.id} needs a name.")
        path = parse(f"{change.id}/virtualNetworkPeerings/{item['name']}")
        existing = engine.store.get(path.text)
        if existing is None or peerings.differs(existing, item):
            kind = engine.types[PEERING.lower()]
            change.children.append(engine.change(kind, path, "PUT", item, existing, parent=change))


def _check_delete(engine: Engine, vnet: Resource, query: Mapping[str, str]) -> None:
    del query
    exclusion.refuse_busy_deletion(engine, vnet.id)


def _view(engine: Engine, vnet: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    found = engine.store.children(vnet.id, PEERING)
    shown["properties"]["virtualNetworkPeerings"] = [engine.view(peering) for peering in found]


TYPE = replace(
    BASE,
    name=VNET,
    put=put(6),
    required=("properties.addressSpace.addressPrefixes",),
    defaults={"properties.enableDdosProtection": False, "properties.privateEndpointVNetPolicies": "Disabled"},
    read_only=("properties.resourceGuid", "properties.flowLogs", "properties.defaultPublicNatGateway"),
    embedded={"subnets": SUBNET},
    embedded_kept_from=SUBNETS_KEPT_FROM,
    serialised=VNET,
    linked_action="join/action",
    delete_first=70,
    check=_check,
    check_delete=_check_delete,
    view=_view,
    depth="subnets inline, address space checks, one write at a time below it, refuses deletion in use, usages",
)  # fmt: skip


# -- what is asked of a network --------------------------------------------------------------------------------------


def _vnet(call: Call) -> Resource:
    return call.engine.require(parse(call.path.parent))


def _usages(call: Call) -> Answer:
    """How full each subnet is."""
    store = call.engine.store
    value = [
        {
            "id": subnet.id, "currentValue": len(store.addresses(subnet.id)), "limit": addresses.usable(subnet),
            "name": {"value": "SubnetSpace", "localizedValue": "Subnet size and usage"}, "unit": "Count",
        }
        for subnet in store.children(_vnet(call).id, SUBNET)
    ]  # fmt: skip
    return Answer(200, {"value": value})


def _check_address(call: Call) -> Answer:
    """Whether a private address is free, and which ones are if not."""
    asked = call.query.get("ipAddress", "")
    try:
        address = ipaddress.ip_address(asked)
    except ValueError as error:
        raise refusal("InvalidIPAddressFormat", f"The IP address {asked} is not formatted correctly.") from error
    engine = call.engine
    for subnet in engine.store.children(_vnet(call).id, SUBNET):
        network = next((found for found in addresses.prefixes(subnet) if address in found), None)
        if network is None:
            continue
        if addresses.available(network, address) and asked not in engine.store.addresses(subnet.id):
            return Answer(200, {"available": True, "isPlatformReserved": False})
        free = addresses.free(engine, subnet, address.version, SUGGESTIONS)
        reserved = not addresses.available(network, address)
        return Answer(200, {"available": False, "availableIPAddresses": free, "isPlatformReserved": reserved})
    raise refusal(
        "PrivateIPAddressNotInAnySubnet",
        f"Private static IP address {asked} does not belong to the range of any subnet in the virtual network "
        f"{_vnet(call).id}.",
    )


FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", f"{VNET}/usages"): _usages,
    ("GET", f"{VNET}/checkIPAddressAvailability"): _check_address,
}
