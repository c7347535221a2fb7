"""Whether an existing network is what an environment needs: there, in the region, with room, and delegated right.

Pure. A network that the operator makes itself was planned to fit (`blueprint.validation`) and is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from hpc_operator.api.hpc_environment import ExistingSubnets
from hpc_operator.blueprint import subnets
from hpc_operator.graph import ArmId, parent_id
from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Surroundings

_NETAPP: Final = "Microsoft.NetApp/volumes"
_LUSTRE: Final = "microsoft.storagecache/amlfilesystems"
_VAULTS: Final = "microsoft.keyvault/vaults"
_VAULT_SERVICE: Final = "Microsoft.KeyVault"
# What takes one address of a subnet that it names; a vault, for instance, names one and takes none.
_ONE_ADDRESS: Final = ("microsoft.network/networkinterfaces", "microsoft.network/privateendpoints")

_Body = Mapping[str, Any]


def address_ranges(site: Surroundings) -> Iterator[tuple[str, list[IPv4Network]]]:
    """Yield id and IPv4 ranges of each existing virtual network, as far as it was looked at."""
    for resource in site.blueprint.graph:
        if resource.referenced and resource.type == "Microsoft.Network/virtualNetworks":
            shown = _properties(site.shown(resource.id))
            yield resource.id, _ipv4(shown.get("addressSpace", {}).get("addressPrefixes", []))


def check(site: Surroundings) -> Iterator[Finding]:
    """Yield what is wrong with the virtual network and the subnets of `network.existing`."""
    existing = site.environment.spec.network.existing
    if existing is None:
        return
    network_id = str(parent_id(existing.subnets.compute))
    if site.is_missing(network_id):
        yield _finding(site, "NetworkMissing", f"Virtual network {network_id} does not exist: create it", *_all(site))
        return
    shown = site.shown(network_id)
    if shown is not None and _region(str(shown.get("location", ""))) != _region(site.location):
        yield _finding(
            site,
            "NetworkInOtherRegion",
            f"Virtual network {network_id} is in {shown['location']}, and machines can only join one in "
            f"{site.location}: use a network of that region or create the environment in the network's",
            *_all(site),
        )
    for subnet_id, roles in _roles(site, existing.subnets).items():
        yield from _check_subnet(site, subnet_id, roles)


def _roles(site: Surroundings, named: ExistingSubnets) -> dict[str, set[str]]:
    """Return what each subnet is used for, by its id; one that no tier needs is left out."""
    roles: dict[str, set[str]] = {}
    for role in ("compute", "services", "net_app", "lustre"):
        resource = site.blueprint.graph.get(getattr(named, role) or "")
        if resource is not None:
            roles.setdefault(resource.id, set()).add(role)
    return roles


def _check_subnet(site: Surroundings, subnet_id: str, roles: set[str]) -> Iterator[Finding]:
    users = _users(site, subnet_id)
    if site.is_missing(subnet_id):
        yield _finding(site, "SubnetMissing", f"Subnet {subnet_id} does not exist: create it", *users)
    if (shown := site.shown(subnet_id)) is None:
        return
    delegations = [
        str(_properties(item).get("serviceName", "")) for item in _properties(shown).get("delegations") or []
    ]
    if "net_app" in roles:
        if _NETAPP.lower() not in map(str.lower, delegations):
            occupied = " after you took out what is in it" if _used(shown) else ""
            yield _finding(
                site,
                "SubnetNotDelegated",
                f"Subnet {subnet_id} is for Azure NetApp Files and not delegated to {_NETAPP}: delegate it{occupied}",
                *users,
            )
        return  # its service looks after its addresses
    if delegations:
        yield _finding(
            site,
            "SubnetDelegated",
            f"Subnet {subnet_id} is delegated to {', '.join(sorted(delegations))} and takes nothing else: name another "
            "subnet or take the delegation away",
            *users,
        )
    vaults = [user for user in users if ArmId.parse(user).type.lower() == _VAULTS]
    endpoints = [str(item.get("service", "")).lower() for item in _properties(shown).get("serviceEndpoints") or []]
    if vaults and _VAULT_SERVICE.lower() not in endpoints:
        yield _finding(
            site,
            "ServiceEndpointMissing",
            f"Subnet {subnet_id} has no service endpoint for {_VAULT_SERVICE}, by which machines fetch their secrets: "
            "add it",
            *vaults,
        )
    yield from _check_room(site, subnet_id, shown, roles)


# --- Addresses


def _check_room(site: Surroundings, subnet_id: str, shown: _Body, roles: set[str]) -> Iterator[Finding]:
    """Yield what has no address: first machines and endpoints one by one, then Lustre, and the nodes of partitions."""
    room = sum(map(subnets.usable, _ranges(shown))) - _used(shown)
    to_make = [
        resource
        for resource in map(site.blueprint.graph.__getitem__, site.blueprint.graph.dependents(subnet_id))
        if site.is_missing(resource.id)
    ]
    single = sorted(resource.id.lower() for resource in to_make if resource.type.lower() in _ONE_ADDRESS)
    if len(single) > room:
        yield _finding(
            site,
            "SubnetFull",
            f"Subnet {subnet_id} has {max(0, room)} free addresses, and {len(single)} are needed for network "
            "interfaces and private endpoints: free some or name a larger subnet",
            *single[max(0, room) :],
        )
    room = max(0, room - len(single))
    for file_system in sorted(to_make, key=lambda resource: resource.id.lower()):
        if file_system.type.lower() == _LUSTRE:
            # Azure's own addresses are in the published sizes, and not in what is left.
            needed = subnets.lustre_addresses([file_system.body["properties"]["storageCapacityTiB"]])
            needed -= subnets.RESERVED_BY_AZURE
            if needed > room:
                yield Finding(
                    file_system.owner,
                    Check.NETWORK,
                    "SubnetTooSmall",
                    f"Lustre file system {file_system.name} needs {needed} free addresses, and subnet {subnet_id} has "
                    f"{room} for it: free some or make the tier smaller",
                    frozenset({file_system.id.lower()}),
                )
            room = max(0, room - needed)
    if "compute" in roles:
        yield from _check_node_room(site, subnet_id, room)


def _check_node_room(site: Surroundings, subnet_id: str, room: int) -> Iterator[Finding]:
    present = {nodes.owner.name: len(site.nodes.get(nodes.owner.name, ())) for nodes in site.node_sets}
    possible = room + sum(present.values())
    wanted = sum(max(nodes.maximum + nodes.max_surge, present[nodes.owner.name]) for nodes in site.node_sets)
    if wanted > possible:
        yield _finding(
            site,
            "SubnetTooSmall",
            f"Subnet {subnet_id} has room for {possible} nodes, and partitions may have {wanted} together (nodes.max "
            "and rollout.maxSurge): lower nodes.max or free addresses",
        )


def _ranges(shown: _Body) -> list[IPv4Network]:
    properties = _properties(shown)
    return _ipv4(properties.get("addressPrefixes") or [properties["addressPrefix"]])


def _ipv4(prefixes: list[str]) -> list[IPv4Network]:
    networks: list[IPv4Network | IPv6Network] = [ip_network(prefix) for prefix in prefixes]
    return [network for network in networks if isinstance(network, IPv4Network)]


def _used(shown: _Body) -> int:
    return len(_properties(shown).get("ipConfigurations") or ())


# --- Help


def _finding(site: Surroundings, reason: str, message: str, *blocks: str) -> Finding:
    return Finding(site.owner, Check.NETWORK, reason, message, frozenset(blocks))


def _properties(shown: _Body | None) -> _Body:
    properties: _Body = (shown or {}).get("properties") or {}
    return properties


def _region(name: str) -> str:
    return name.replace(" ", "").lower()


def _users(site: Surroundings, resource_id: str) -> frozenset[str]:
    """Return the lower-case ids of what names a resource and is ours; for nodes their scale set."""
    graph = site.blueprint.graph
    nodes = (item.scale_set_id.lower() for item in site.node_sets if resource_id.lower() in item.needs)
    return frozenset({*graph.dependents(resource_id), *nodes})


def _all(site: Surroundings) -> frozenset[str]:
    """Return what names the network or one of its subnets."""
    referenced = (resource.id for resource in site.blueprint.graph if resource.referenced)
    return frozenset().union(*(_users(site, resource_id) for resource_id in referenced))
