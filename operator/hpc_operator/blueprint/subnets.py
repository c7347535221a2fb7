"""Plans the subnets of a new virtual network at places that depend on its address space alone.

Places are reserved whether they are used or not, so that adding a tier or Bastion later moves nothing. Pure arithmetic;
knows no Azure resource.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

RESERVED_BY_AZURE: Final = 5
"""Addresses of each subnet that Azure keeps for itself (Microsoft's "Azure Virtual Network FAQ")."""

LARGEST_PREFIX: Final = 16
SMALLEST_PREFIX: Final = 24
"""The longest prefix that has room for the plan; the API server refuses what is not between these two."""

_BASTION_PREFIX: Final = 26  # Microsoft's "Azure Bastion configuration settings": /26 or larger
_NET_APP_PREFIX: Final = 28  # Microsoft's "Guidelines for Azure NetApp Files network planning": /28 is enough
_SMALL_SERVICES_PREFIX: Final = 27

# Microsoft's "Azure Managed Lustre file system prerequisites": capacity in TiB up to which a subnet of that size
# will do. The last row goes on doubling where the table ends.
_LUSTRE_PREFIXES: Final = ((16, 27), (40, 26), (92, 25), (196, 24), (400, 23), (800, 22))


@dataclass(frozen=True)
class AddressPlan:
    """Where the subnets are. `lustre` is None where the network has no room for it.

    The first quarter holds services, Azure NetApp Files and Bastion, the second quarter Lustre, the upper half compute:

        /20    +32 netapp /28   +64 bastion /26   +512 services /23   +1024 lustre /22   +2048 compute /21
        /24    +0 services /27   +32 netapp /28   +64 bastion /26   no lustre   +128 compute /25
    """

    services: IPv4Network
    net_app: IPv4Network
    bastion: IPv4Network
    lustre: IPv4Network | None
    compute: IPv4Network


def plan(address_space: IPv4Network) -> AddressPlan:
    """Return the address plan of a network.

    Raises
    ------
    ValueError
        If it is smaller than a /24.
    """
    if address_space.prefixlen > SMALLEST_PREFIX:
        msg = f"{address_space} is too small: a /{SMALLEST_PREFIX} is the smallest that has room for all subnets"
        raise ValueError(msg)
    first, second, *_ = address_space.subnets(prefixlen_diff=2)
    _, compute = address_space.subnets(prefixlen_diff=1)
    base = address_space.network_address
    # 27 addresses will do for the scheduler, 20 login nodes and a private endpoint; where there is room for more, it is
    # taken, because a subnet in use cannot grow.
    small_services = IPv4Network((base, _SMALL_SERVICES_PREFIX))
    _, upper = first.subnets(prefixlen_diff=1)
    bastion = IPv4Network((base + 64, _BASTION_PREFIX))
    return AddressPlan(
        services=small_services if upper.overlaps(bastion) or bastion.overlaps(second) else upper,
        net_app=IPv4Network((base + 32, _NET_APP_PREFIX)),
        bastion=bastion,
        lustre=None if bastion.overlaps(second) else second,
        compute=compute,
    )


def usable(network: IPv4Network) -> int:
    """Return how many addresses of a subnet machines can have."""
    return network.num_addresses - RESERVED_BY_AZURE


def lustre_addresses(capacities: Iterable[int]) -> int:
    """Return how many addresses Lustre file systems need in their subnet.

    Parameters
    ----------
    capacities
        Capacity of each in TiB.
    """
    return sum(_lustre_addresses(capacity) for capacity in capacities)


def _lustre_addresses(capacity: int) -> int:
    for most, prefix in _LUSTRE_PREFIXES:
        if capacity <= most:
            return 1 << (32 - prefix)
    most, prefix = _LUSTRE_PREFIXES[-1]
    return (1 << (32 - prefix)) * -(-capacity // most)


def smallest_fitting_prefix(machines: int, lustre: int) -> int | None:
    """Return the longest prefix of an address space that has room, None where not even the largest network has.

    Parameters
    ----------
    machines
        Addresses needed in the compute subnet.
    lustre
        Addresses needed in the Lustre subnet.
    """
    for prefix in range(SMALLEST_PREFIX, LARGEST_PREFIX - 1, -1):
        candidate = plan(IPv4Network((0, prefix)))
        if usable(candidate.compute) >= machines and lustre_room(candidate) >= lustre:
            return prefix
    return None


def lustre_room(addresses: AddressPlan) -> int:
    """Return how many addresses the Lustre subnet has, 0 where there is none."""
    return addresses.lustre.num_addresses if addresses.lustre else 0
