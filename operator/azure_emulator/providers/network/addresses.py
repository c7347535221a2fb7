"""Private IP addresses of subnets: which are taken, which is next, and Azure's reserved ones.

Used by every type that puts something into a subnet. Knows subnets only by their prefix and the store's address index.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from azure_emulator import errors

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# Azure keeps the first four addresses (network, gateway, two for DNS) and the last one (broadcast) of every subnet.
RESERVED_AT_START = 4
RESERVED_AT_END = 1

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


def prefixes(subnet: Resource) -> list[Network]:
    """The address ranges of a subnet."""
    properties = subnet.properties
    texts = properties.get("addressPrefixes") or [properties["addressPrefix"]]
    return [ipaddress.ip_network(text) for text in texts]


def usable(subnet: Resource) -> int:
    """How many addresses Azure gives out in a subnet."""
    return sum(
        network.num_addresses - RESERVED_AT_START - RESERVED_AT_END
        for network in prefixes(subnet)
        if isinstance(network, ipaddress.IPv4Network)
    )


def allot(engine: Engine, subnet: Resource, resource_id: str, wanted: str | None = None) -> str:
    """Take an address of a subnet for a resource: the wanted one, or the lowest that is free."""
    taken = engine.store.addresses(subnet.id)
    network = prefixes(subnet)[0]
    if wanted is not None:
        _check_wanted(engine, subnet, resource_id, wanted)
        engine.reserved.add((subnet.key, wanted))
        return wanted
    first = int(network.network_address) + RESERVED_AT_START
    last = int(network.broadcast_address) - RESERVED_AT_END
    for number in range(first, last + 1):
        address = str(ipaddress.ip_address(number))
        if address not in taken and (subnet.key, address) not in engine.reserved:
            engine.reserved.add((subnet.key, address))
            return address
    raise errors.bad_request(
        "SubnetIsFull",
        f"Subnet {subnet.name} with address prefix {network} does not have enough capacity for 1 IP addresses.",
    )


def _check_wanted(engine: Engine, subnet: Resource, resource_id: str, wanted: str) -> None:
    network = prefixes(subnet)[0]
    address = ipaddress.ip_address(wanted)
    if address not in network:
        raise errors.bad_request(
            "PrivateIPAddressNotInSubnet",
            f"Private static IP address {wanted} does not belong to the range of subnet prefix {network}.",
        )
    offset = int(address) - int(network.network_address)
    if offset < RESERVED_AT_START or offset >= network.num_addresses - RESERVED_AT_END:
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
