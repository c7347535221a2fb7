"""The network of an environment that somebody else made: which subnet serves for what. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Final

from hpc_operator.api.hpc_environment import BLOB_DNS_ZONE
from hpc_operator.importing.found import Body, Found, name_of, value
from hpc_operator.importing.machines import Machine, Roles

_RESERVED: Final = frozenset(
    {"azurebastionsubnet", "gatewaysubnet", "azurefirewallsubnet", "azurefirewallmanagementsubnet", "routeserversubnet"}
)
_NETAPP: Final = "microsoft.netapp/volumes"
_COMPUTE: Final = re.compile(r"compute|node|hpc|worker")
_SERVICES: Final = re.compile(r"services|cyclecloud|admin|scheduler|management|infra")
_LUSTRE: Final = re.compile(r"lustre|amlfs")
_NO_NETWORK: Final = "10.40.0.0/20"


@dataclass(frozen=True)
class Subnets:
    """The subnets of one network by what they are for."""

    network: Body
    compute: Body
    services: Body
    net_app: Body | None
    lustre: Body | None


def spec_of(found: Found, roles: Roles) -> tuple[dict[str, Any], list[str]]:
    """Return `spec.network`, and what has to be said about it."""
    subnets = _choose(found, roles)
    if subnets is None:
        return (
            {"addressSpace": [_NO_NETWORK]},
            [f"no virtual network was found: a new one of {_NO_NETWORK} would be made"],
        )
    ids = {
        "compute": subnets.compute["id"],
        "services": subnets.services["id"],
        "netApp": subnets.net_app and subnets.net_app["id"],
        "lustre": subnets.lustre and subnets.lustre["id"],
    }
    existing: dict[str, Any] = {"subnets": {role: item for role, item in ids.items() if item}}
    remark = (
        f"the network {name_of(subnets.network)} is referred to and never changed; nodes would be in its subnet "
        f"{name_of(subnets.compute)}, scheduler and login nodes in {name_of(subnets.services)}"
    )
    remarks = [remark]
    for zone in found.of("Microsoft.Network/privateDnsZones"):
        if name_of(zone).lower() == BLOB_DNS_ZONE:
            existing["blobDnsZone"] = zone["id"]
            remarks.append("the private DNS zone for storage accounts is referred to as well")
    return {"existing": existing}, remarks


def _choose(found: Found, roles: Roles) -> Subnets | None:
    """Return the network that most machines are in, with its subnets by name, and by who is in them."""
    node_subnets = _used(machine for machines in roles.nodes.values() for machine in machines)
    other_subnets = _used((*roles.schedulers, *roles.logins, *roles.others))
    best = None
    for network in found.networks:
        subnets = value(network, "properties", "subnets", default=[])
        plain = [item for item in subnets if _is_plain(item)]
        used = sum((node_subnets + other_subnets)[item["id"].lower()] for item in plain)
        if plain and (best is None or used > best[0]):
            best = (used, network, plain)
    if best is None:
        return None
    _, network, plain = best
    lustre_ids = {
        str(value(body, "properties", "filesystemSubnet", default="")).lower()
        for body in found.of("Microsoft.StorageCache/amlFilesystems")
    }
    lustre = [item for item in plain if item["id"].lower() in lustre_ids or _LUSTRE.search(item["name"].lower())]
    machines = [item for item in plain if item not in lustre] or plain
    compute = max(machines, key=lambda item: _fitness(item, _COMPUTE, node_subnets))
    rest = [item for item in machines if item is not compute] or [compute]
    services = max(rest, key=lambda item: _fitness(item, _SERVICES, other_subnets))
    net_app = [item for item in value(network, "properties", "subnets", default=[]) if _NETAPP in _delegations(item)]
    return Subnets(network, compute, services, next(iter(net_app), None), next(iter(lustre), None))


def _used(machines: Iterable[Machine]) -> Counter[str]:
    return Counter(subnet.lower() for machine in machines for subnet in machine.subnets)


def _is_plain(subnet: Body) -> bool:
    return not _delegations(subnet) and str(subnet["name"]).lower() not in _RESERVED


def _delegations(subnet: Body) -> set[str]:
    found = value(subnet, "properties", "delegations", default=[])
    return {str(value(item, "properties", "serviceName", default="")).lower() for item in found}


def _fitness(subnet: Body, names: re.Pattern[str], used: Counter[str]) -> tuple[bool, int, int]:
    return names.search(subnet["name"].lower()) is not None, used[subnet["id"].lower()], _size(subnet)


def _size(subnet: Body) -> int:
    prefixes: Sequence[str] = value(subnet, "properties", "addressPrefixes", default=[])
    prefix = value(subnet, "properties", "addressPrefix") or next(iter(prefixes), "0.0.0.0/32")
    return IPv4Network(prefix).num_addresses if ":" not in prefix else 0
