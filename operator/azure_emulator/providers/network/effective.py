"""What applies to a network interface: the security rules and routes that its subnet and itself add up to."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies
from azure_emulator.arm_path import parent_of
from azure_emulator.providers.network import addresses, security
from azure_emulator.providers.network.base import refusal
from azure_emulator.providers.network.names import (
    CONNECTION,
    GATEWAY,
    NIC,
    PEERING,
    ROUTE,
    RULE,
    SUBNET,
    VM,
)

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# Assumption: the code of this refusal; that the machine has to run is documented (diagnose a routing problem).
NOT_RUNNING = "NetworkInterfaceNotAttachedToRunningVirtualMachine"
# Where nothing says otherwise, these go nowhere (virtual-network docs, default routes).
_NOWHERE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
_EVERYWHERE = "0.0.0.0/0"


def _require_running(engine: Engine, nic: Resource) -> None:
    for holder in engine.store.referrers(nic.id, VM):
        if holder.internal.get("power", "running") == "running":
            return
    raise refusal(
        NOT_RUNNING,
        f"Network interface {nic.id} must be attached to a running virtual machine to see what is effective on it.",
    )


def _subnet(engine: Engine, nic: Resource) -> Resource | None:
    return engine.store.get(str(bodies.get(nic.properties["ipConfigurations"][0], "properties.subnet.id", "")))


# -- security groups -------------------------------------------------------------------------------------------------


def security_groups(engine: Engine, nic: Resource) -> list[dict[str, Any]]:
    """The groups of an interface and of its subnet, with all their rules written out."""
    _require_running(engine, nic)
    found: list[dict[str, Any]] = []
    subnet = _subnet(engine, nic)
    for holder, association in ((subnet, SUBNET), (nic, NIC)):
        reference = bodies.get(holder.properties, "networkSecurityGroup.id") if holder is not None else None
        group = engine.store.get(str(reference)) if reference else None
        if group is None or holder is None:
            continue
        key = "subnet" if association == SUBNET else "networkInterface"
        rules = [
            *(_rule(one.name, one.properties, "securityRules") for one in engine.store.children(group.id, RULE)),
            *(_rule(one["name"], one["properties"], "defaultSecurityRules") for one in security.default_rules(group)),
        ]
        found.append({
            "networkSecurityGroup": {"id": group.id}, "association": {key: {"id": holder.id}},
            "effectiveSecurityRules": rules,
        })  # fmt: skip
    return found


def _rule(name: str, properties: dict[str, Any], collection: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": f"{collection}/{name}", "protocol": "All" if properties["protocol"] == "*" else properties["protocol"],
        "priority": properties["priority"], "access": properties["access"], "direction": properties["direction"],
    }  # fmt: skip
    for side in ("source", "destination"):
        prefixes = properties.get(f"{side}AddressPrefixes") or [properties.get(f"{side}AddressPrefix") or "*"]
        ports = properties.get(f"{side}PortRanges") or [properties.get(f"{side}PortRange") or "*"]
        shown[f"{side}AddressPrefix"] = prefixes[0]
        shown[f"{side}AddressPrefixes"] = [_EVERYWHERE if text == "*" else text for text in prefixes]
        shown[f"{side}PortRanges"] = [_range(str(text)) for text in ports]
        shown[f"{side}PortRange"] = shown[f"{side}PortRanges"][0]
    return shown


def _range(text: str) -> str:
    if text == "*":
        return "0-65535"
    return text if "-" in text else f"{text}-{text}"


# -- routes ----------------------------------------------------------------------------------------------------------


def routes(engine: Engine, nic: Resource) -> list[dict[str, Any]]:
    """The default routes, and what a route table, peerings and a gateway make of them."""
    _require_running(engine, nic)
    subnet = _subnet(engine, nic)
    if subnet is None:
        return []
    vnet = engine.store.get(subnet.parent)
    space = addresses.space_of(vnet.properties) if vnet is not None else []
    found = [_route("Default", [prefix], "VnetLocal") for prefix in space]
    peered = _peered(engine, subnet.parent)
    found += [_route("Default", prefixes, "VNetPeering") for prefixes in peered]
    found += [_route("VirtualNetworkGateway", [prefix], "VirtualNetworkGateway")
              for prefix in _beyond_gateway(engine, subnet.parent)]  # fmt: skip
    found.append(_route("Default", [_EVERYWHERE], "Internet"))
    found += [_route("Default", [prefix], "None") for prefix in _NOWHERE if prefix not in space]
    for route in _own(engine, subnet):
        for other in found:
            if other["source"] == "Default" and other["addressPrefix"] == route["addressPrefix"]:
                other["state"] = "Invalid"
        found.append(route)
    return found


def _route(source: str, prefixes: list[str], hop: str, address: str = "", name: str = "") -> dict[str, Any]:
    route: dict[str, Any] = {
        "source": source, "state": "Active", "addressPrefix": prefixes, "nextHopType": hop,
        "nextHopIpAddress": [address] if address else [], "disableBgpRoutePropagation": False,
    }  # fmt: skip
    if name:
        route["name"] = name
    return route


def _own(engine: Engine, subnet: Resource) -> list[dict[str, Any]]:
    table = engine.store.get(str(bodies.get(subnet.properties, "routeTable.id", "")))
    if table is None:
        return []
    return [
        _route("User", [route.properties["addressPrefix"]], route.properties["nextHopType"],
               str(route.properties.get("nextHopIpAddress") or ""), route.name)
        for route in engine.store.children(table.id, ROUTE)
    ]  # fmt: skip


def _peered(engine: Engine, vnet_id: str) -> list[list[str]]:
    return [
        list(bodies.get(peering.properties, "remoteAddressSpace.addressPrefixes") or [])
        for peering in engine.store.children(vnet_id, PEERING)
        if peering.properties.get("peeringState") == "Connected"
    ]


def _beyond_gateway(engine: Engine, vnet_id: str) -> list[str]:
    """Prefixes on the other side of the connections of a network's gateway."""
    found: set[str] = set()
    for subnet in engine.store.children(vnet_id, SUBNET):
        for gateway in engine.store.referrers(subnet.id, GATEWAY):
            found.update(beyond(engine, gateway))
    return sorted(found, key=lambda text: (int(ipaddress.ip_network(text).network_address), text))


def beyond(engine: Engine, gateway: Resource) -> set[str]:
    """Prefixes that a gateway learned from its connections."""
    found: set[str] = set()
    for connection in engine.store.referrers(gateway.id, CONNECTION):
        for name in ("localNetworkGateway2", "virtualNetworkGateway1", "virtualNetworkGateway2"):
            peer = engine.store.get(str(bodies.get(connection.properties, f"{name}.id", "")))
            if peer is not None and peer.key != gateway.key:
                found.update(_prefixes_of(engine, peer))
    return found


def _prefixes_of(engine: Engine, peer: Resource) -> list[str]:
    if peer.type != GATEWAY:
        return list(bodies.get(peer.properties, "localNetworkAddressSpace.addressPrefixes") or [])
    subnet = str(bodies.get(peer.properties["ipConfigurations"][0], "properties.subnet.id", ""))
    vnet = engine.store.get(parent_of(subnet))
    return addresses.space_of(vnet.properties) if vnet is not None else []
