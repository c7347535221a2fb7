"""How many network resources a subscription may have in a region, and how many it has.

Limits are those of PUT /emulator/quota, the same as for compute; names are those of the usages API.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from azure_emulator import bodies
from azure_emulator.providers import usages
from azure_emulator.providers.network import names
from azure_emulator.providers.network.base import refusal
from azure_emulator.types import Answer, Call, Change, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

ADDRESSES, STATIC = "PublicIPAddresses", "StaticPublicIPAddresses"
STANDARD, BASIC = "IPv4StandardSkuPublicIpAddresses", "IPv4BasicSkuPublicIpAddresses"
PREFIXES = "PublicIpPrefixes"

# Name -> default limit and shown name (azure-docs, networking limits; the usages API's own names). Basic addresses can
# no longer be created since 2025-09-30: a limit of 0, as new subscriptions have it.
LIMITS: dict[str, tuple[int, str]] = {
    "VirtualNetworks": (1000, "Virtual Networks"),
    STATIC: (1000, "Static Public IP Addresses"),
    "NetworkSecurityGroups": (5000, "Network Security Groups"),
    ADDRESSES: (1000, "Public IP Addresses"),
    PREFIXES: (1000, "Public Ip Prefixes"),
    "NatGateways": (1000, "Nat Gateways"),
    "NetworkInterfaces": (65536, "Network Interfaces"),
    "PrivateEndpoints": (65536, "Private Endpoints"),
    "LoadBalancers": (1000, "Load Balancers"),
    "ApplicationSecurityGroups": (3000, "Application Security Groups"),
    "RouteTables": (200, "Route Tables"),
    "NetworkWatchers": (1, "Network Watchers"),
    BASIC: (0, "Public IPv4 Addresses - Basic"),
    STANDARD: (1000, "Public IPv4 Addresses - Standard"),
}
_COUNTED = {
    "VirtualNetworks": names.VNET, "NetworkSecurityGroups": names.NSG, "NatGateways": names.NAT_GATEWAY,
    "NetworkInterfaces": names.NIC, "PrivateEndpoints": names.ENDPOINT, "LoadBalancers": names.LOAD_BALANCER,
    "ApplicationSecurityGroups": names.ASG, "RouteTables": names.ROUTE_TABLE, "NetworkWatchers": names.WATCHER,
    ADDRESSES: names.PUBLIC_IP, PREFIXES: names.PREFIX,
}  # fmt: skip


def limit(engine: Engine, location: str, name: str) -> int:
    """The limit of a quota in a region."""
    return usages.limit(engine, location, name, LIMITS[name][0])


def usage(engine: Engine, subscription: str, location: str) -> Counter[str]:
    """What a subscription has in a region."""
    counted = {name: len(engine.store.in_region(kind, subscription, location)) for name, kind in _COUNTED.items()}
    return _addresses(engine, subscription, location) + Counter(counted)


def _addresses(engine: Engine, subscription: str, location: str) -> Counter[str]:
    """Public addresses by sku and by how they are allotted, all of which have limits of their own."""
    used: Counter[str] = Counter()
    for address in engine.store.in_region(names.PUBLIC_IP, subscription, location):
        used[BASIC if bodies.get(address.body, "sku.name") == "Basic" else STANDARD] += 1
        used[STATIC] += address.properties.get("publicIPAllocationMethod") == "Static"
    return used


def require_public_address(change: Change) -> None:
    """Refuse one address more than there may be."""
    engine, location = change.engine, str(change.body["location"])
    used = _addresses(engine, change.subscription, location)
    used[ADDRESSES] = used[STANDARD] + used[BASIC]
    basic = bodies.get(change.body, "sku.name") == "Basic"
    sku, code, noun = (
        (BASIC, "IPv4BasicSkuPublicIpCountLimitReached", "IPv4 Basic SKU public IP addresses")
        if basic
        else (STANDARD, "IPv4StandardSkuPublicIpCountLimitReached", "IPv4 Standard SKU public IP addresses")
    )
    static = change.properties.get("publicIPAllocationMethod") == "Static"
    wanted = [(ADDRESSES, "PublicIPCountLimitReached", "public IP addresses"), (sku, code, noun)]
    if static:
        noun = "public IP addresses with static allocation method"
        wanted.insert(1, (STATIC, "StaticPublicIPCountLimitReached", noun))
    for name, error, what in wanted:
        allowed = limit(engine, location, name)
        if used[name] >= allowed:
            raise refusal(error, f"Cannot create more than {allowed} {what} for this subscription in this region.")


def require_public_prefix(change: Change) -> None:
    """Refuse one prefix more than there may be."""
    engine, location = change.engine, str(change.body["location"])
    allowed = limit(engine, location, PREFIXES)
    if len(engine.store.in_region(names.PREFIX, change.subscription, location)) >= allowed:
        raise refusal(
            "PublicIpPrefixCountLimitReached",  # named after that of addresses: an assumption
            f"Cannot create more than {allowed} public IP prefixes for this subscription in this region.",
        )


def _list(call: Call) -> Answer:
    location = usages.location_of(call)
    used = usage(call.engine, call.subscription, location)
    head = f"/subscriptions/{call.subscription}/providers/Microsoft.Network/locations/{location}/usages"
    value = [
        {"id": f"{head}/{name}", **usages.row(name, shown, used[name], limit(call.engine, location, name))}
        for name, (_, shown) in LIMITS.items()
    ]  # fmt: skip
    return Answer(200, {"value": value})


FUNCTIONS: dict[tuple[str, str], Function] = {("GET", "Microsoft.Network/locations/usages"): _list}
