"""Private IP addresses of subnets: which are taken, which is next, and Azure's reserved ones.

Used by every type that puts something into a subnet. Knows subnets only by their prefix and the store's address index.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# Azure keeps the first four addresses (network, gateway, two for DNS) and the last one (broadcast) of every subnet.
RESERVED_AT_START = 4
RESERVED_AT_END = 1
IPV4, IPV6 = 4, 6

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_prefix(prefix: str, resource_id: str) -> Network:
    """A CIDR prefix, or Network's refusal."""
    try:
        return ipaddress.ip_network(prefix, strict=True)
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(prefix, strict=False)
        except ValueError:
            raise errors.bad_request(
                "InvalidAddressPrefixFormat",
                f"Address prefix {prefix} of resource {resource_id} is not formatted correctly. It should follow CIDR "
                "notation, for example 10.0.0.0/24.",
            ) from error
        raise errors.bad_request(
            "InvalidCIDRNotation",
            f"The address prefix {prefix} in resource {resource_id} has an invalid CIDR notation. For the given prefix "
            f"length, the address prefix should be {meant}.",
        ) from error


def space_of(properties: Mapping[str, Any]) -> list[str]:
    """The address space of a virtual network or a local gateway, as text."""
    return list(bodies.get(properties, "addressSpace.addressPrefixes") or [])


def prefix_texts(properties: Mapping[str, Any]) -> list[str]:
    """The address ranges of a subnet, as text: it has one or several of them."""
    found = properties.get("addressPrefixes") or [properties.get("addressPrefix")]
    return [text for text in found if text]


def prefixes(subnet: Resource) -> list[Network]:
    """The address ranges of a subnet."""
    return [ipaddress.ip_network(text) for text in prefix_texts(subnet.properties)]


def overlapping(ones: list[str], others: list[str]) -> list[str]:
    """Those of the first prefixes that overlap with one of the others."""
    networks = [ipaddress.ip_network(text) for text in others]
    return [text for text in ones if any(_overlap(ipaddress.ip_network(text), network) for network in networks)]


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def within(network: Network, space: list[str]) -> bool:
    """Whether a range lies in an address space."""
    wide = [ipaddress.ip_network(text) for text in space]
    return any(network.version == one.version and network.subnet_of(one) for one in wide)  # type: ignore[arg-type]


def usable(subnet: Resource) -> int:
    """How many addresses Azure gives out in a subnet."""
    return sum(
        network.num_addresses - RESERVED_AT_START - RESERVED_AT_END
        for network in prefixes(subnet)
        if isinstance(network, ipaddress.IPv4Network)
    )


def free(engine: Engine, subnet: Resource, version: int = IPV4, limit: int = 1) -> list[str]:
    """The lowest free addresses of a subnet, as many as asked for or as there are."""
    taken = engine.store.addresses(subnet.id)
    found: list[str] = []
    for network in prefixes(subnet):
        if network.version != version:
            continue
        # Tens of thousands may be taken: the search goes on where the last one found the range full.
        first = int(network.network_address) + RESERVED_AT_START
        first = max(first, engine.store.full_below(subnet.id, str(network)))
        last = int(network.broadcast_address) - RESERVED_AT_END
        is_full = True
        for number in range(first, last + 1):
            if len(found) >= limit:
                return found
            address = str(_address(number, version))
            if address in taken:
                continue
            if is_full:
                engine.store.note_full_below(subnet.id, str(network), number)
                is_full = False
            if (subnet.key, address) not in engine.reserved:
                found.append(address)
    return found


def _address(number: int, version: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.IPv4Address(number) if version == IPV4 else ipaddress.IPv6Address(number)


def allot(engine: Engine, subnet: Resource, resource_id: str, wanted: str | None = None, *, version: int = IPV4) -> str:
    """Take an address of a subnet for a resource: the wanted one, or the lowest that is free."""
    if wanted is not None:
        _check_wanted(engine, subnet, resource_id, wanted)
        engine.reserved.add((subnet.key, wanted))
        return wanted
    found = free(engine, subnet, version)
    if not found:
        prefix = next((network for network in prefixes(subnet) if network.version == version), None)
        raise errors.bad_request(
            "SubnetIsFull",
            f"Subnet {subnet.name} with address prefix {prefix} does not have enough capacity for 1 IP addresses.",
        )
    engine.reserved.add((subnet.key, found[0]))
    return found[0]


def _check_wanted(engine: Engine, subnet: Resource, resource_id: str, wanted: str) -> None:
    try:
        address = ipaddress.ip_address(wanted)
    except ValueError as error:
        raise errors.bad_request(
            "InvalidIPAddressFormat", f"The IP address {wanted} of resource {resource_id} is not formatted correctly."
        ) from error
    ranges = prefixes(subnet)
    network = next((found for found in ranges if address in found), None)
    if network is None:
        raise errors.bad_request(
            "PrivateIPAddressNotInSubnet",
            f"Private static IP address {wanted} does not belong to the range of subnet prefix {ranges[0]}.",
        )
    if not available(network, address):
        raise errors.bad_request(
            "PrivateIPAddressInReservedRange",
            f"Private static IP address {wanted} falls within reserved IP range of subnet prefix {network}.",
        )
    holder = engine.store.addresses(subnet.id).get(wanted)
    if holder not in (None, resource_id.lower()) or (subnet.key, wanted) in engine.reserved:
        raise errors.bad_request(
            "PrivateIPAddressInUse",
            f"IP configuration of {resource_id} is using the private IP address {wanted} which is already allocated to "
            f"resource {holder or 'of the same request'}.",
        )


def available(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether Azure gives out an address of a subnet's range at all."""
    offset = int(address) - int(network.network_address)
    return RESERVED_AT_START <= offset < network.num_addresses - RESERVED_AT_END
