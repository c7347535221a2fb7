"""VPN: gateways of virtual networks, gateways on the other side, and the connections between them.

No packet flows. A connection is Connected when both sides are there and agree on the shared key; of the side on
premises, which no emulator holds, a setting says whether it answers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parent_of, parse
from azure_emulator.providers.network import addresses, effective, public_addresses, subnets
from azure_emulator.providers.network.base import (
    BASE,
    bad_format,
    identify,
    in_region,
    in_use,
    one_of,
    provisioned,
    put,
    refusal,
    with_guid,
)
from azure_emulator.providers.network.names import CONNECTION, GATEWAY, GATEWAY_SUBNET, LOCAL_GATEWAY
from azure_emulator.types import Action, Answer, Call, Change, Function, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# vpn-gateway docs: "creating a gateway can often take 45 minutes or more"; users' logs show 20 to 45. Changes of a
# gateway and its deletion are assumptions.
CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 1800.0, 600.0, 600.0
CONNECTION_SECONDS = 30.0
RESET_SECONDS = 120.0
ASK_SECONDS = 15.0

# Within a family a gateway can be resized; between families it has to be made anew (vpn-gateway docs, resize a SKU).
FAMILIES = {
    "Basic": "Basic",
    **{f"VpnGw{size}": "VpnGw" for size in range(1, 6)},
    **{f"VpnGw{size}AZ": "VpnGwAZ" for size in range(1, 6)},
    "Standard": "ErGw", "HighPerformance": "ErGw", "UltraPerformance": "ErGw", "ErGw1AZ": "ErGwAZ",
    "ErGw2AZ": "ErGwAZ", "ErGw3AZ": "ErGwAZ", "ErGwScale": "ErGwScale",
}  # fmt: skip
SMALLEST_SUBNET = 29
DEFAULT_ASN = 65515
# Assumptions: codes of refusals that are documented but not recorded.
BAD_SUBNET = "VirtualNetworkGatewaySubnetInvalid"
BAD_ADDRESS = "VirtualNetworkGatewayPublicIPInvalid"
BAD_SKU = "VirtualNetworkGatewaySkuInvalid"
SKU_CHANGE = "VirtualNetworkGatewaySkuChangeNotAllowed"
SECOND_GATEWAY = "VirtualNetworkAlreadyHasGateway"
GATEWAY_IN_USE = "InUseVirtualNetworkGatewayCannotBeDeleted"
LOCAL_IN_USE = "InUseLocalNetworkGatewayCannotBeDeleted"
BAD_CONNECTION = "VirtualNetworkGatewayConnectionInvalid"
SHORTEST_KEY, LONGEST_KEY = 1, 128
CONNECTION_TYPES = ("IPsec", "Vnet2Vnet", "ExpressRoute", "VPNClient")
# Setting `onPremisesAnswers`: whether gateways on premises answer, so that their connections become Connected.
ON_PREMISES_ANSWERS = True


# -- gateways of virtual networks ------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    properties = change.properties
    one_of(change, "gatewayType", ("Vpn", "ExpressRoute", "LocalGateway"))
    one_of(change, "vpnType", ("RouteBased", "PolicyBased"))
    _check_sku(change)
    configurations = properties["ipConfigurations"]
    wanted = 2 if properties.get("activeActive") else 1
    if not isinstance(configurations, list) or len(configurations) < wanted:
        raise refusal(BAD_SUBNET, f"Virtual network gateway {change.id} needs at least {wanted} of ipConfigurations.")
    identify(change, "ipConfigurations", configurations)
    allotted = [_configure(change, item) for item in configurations]
    change.internal["addresses"] = allotted
    _complete_bgp(change, configurations, allotted)
    with_guid(change)


def _check_sku(change: Change) -> None:
    sku = change.properties["sku"]
    name = str(sku.get("name"))
    if name not in FAMILIES:
        raise refusal(BAD_SKU, f"Sku {name} of gateway {change.id} is not one of {', '.join(FAMILIES)}.")
    sku.setdefault("tier", name)
    sku["capacity"] = 2
    before = bodies.get(change.old, "sku.name")
    if before is not None and FAMILIES[before] != FAMILIES[name]:
        raise refusal(
            SKU_CHANGE,
            f"The sku of virtual network gateway {change.id} cannot be changed from {before} to {name}: a gateway can "
            "be resized within its family only.",
        )
    generation = "Generation2" if name.startswith("VpnGw") and name[5] in "45" else "Generation1"
    vpn = change.properties.get("gatewayType") == "Vpn"
    change.properties.setdefault("vpnGatewayGeneration", generation if vpn else "None")


def _configure(change: Change, item: dict[str, Any]) -> list[str]:
    inner = item["properties"]
    subnet_id = str(bodies.get(inner, "subnet.id", ""))
    if not subnet_id.lower().endswith(f"/subnets/{GATEWAY_SUBNET.lower()}"):
        raise refusal(
            BAD_SUBNET, f"Virtual network gateway {change.id} can only be created in a subnet named {GATEWAY_SUBNET}."
        )
    subnet = subnets.provisioned_subnet(change, subnet_id)
    if addresses.prefixes(subnet)[0].prefixlen > SMALLEST_SUBNET:
        raise refusal(BAD_SUBNET, f"The address range of {subnet.id} must be /{SMALLEST_SUBNET} or larger.")
    kind = change.properties.get("gatewayType")
    for holder in change.engine.store.referrers(subnet.id, GATEWAY):
        if holder.key != change.path.key and holder.properties.get("gatewayType") == kind:
            raise refusal(
                SECOND_GATEWAY, f"Virtual network {subnet.parent} has a gateway of type {kind} already: {holder.id}."
            )
    inner["subnet"] = {"id": subnet.id}
    inner["privateIPAllocationMethod"] = "Dynamic"
    if bodies.get(inner, "publicIPAddress.id"):
        _check_address(change, inner)
    elif kind == "Vpn":
        raise refusal(BAD_ADDRESS, f"Virtual network gateway {change.id} needs the id of a public IP address.")
    known = {str(address) for key, address in change.internal.get("addresses", []) if key == subnet.key}
    wanted = inner.get("privateIPAddress") if inner.get("privateIPAddress") in known else None
    inner["privateIPAddress"] = addresses.allot(change.engine, subnet, change.id, wanted)
    return [subnet.key, str(inner["privateIPAddress"])]


def _check_address(change: Change, inner: dict[str, Any]) -> None:
    if change.properties["sku"]["name"] == "Basic":
        public_addresses.free_address(change, inner["publicIPAddress"])
    else:
        public_addresses.require_standard_address(change, inner["publicIPAddress"], BAD_ADDRESS)


def _complete_bgp(change: Change, configurations: list[dict[str, Any]], allotted: list[list[str]]) -> None:
    settings = change.properties.setdefault("bgpSettings", {})
    settings.setdefault("asn", DEFAULT_ASN)
    settings["peerWeight"] = settings.get("peerWeight", 0)
    settings["bgpPeeringAddress"] = ",".join(address for _, address in allotted)
    settings["bgpPeeringAddresses"] = [
        {
            "ipconfigurationId": item["id"], "defaultBgpIpAddresses": [address], "customBgpIpAddresses": [],
            "tunnelIpAddresses": _tunnel(change.engine, item),
        }
        for item, (_, address) in zip(configurations, allotted, strict=True)
    ]  # fmt: skip


def _tunnel(engine: Engine, item: dict[str, Any]) -> list[str]:
    address = engine.store.get(str(bodies.get(item, "properties.publicIPAddress.id", "")))
    found = address.properties.get("ipAddress") if address is not None else None
    return [str(found)] if found else []


def _hide_addresses(engine: Engine, gateway: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    """A gateway's own addresses are shown as its BGP addresses only."""
    del engine, gateway, query
    for item in shown["properties"]["ipConfigurations"]:
        item["properties"].pop("privateIPAddress", None)


def vnet_of(gateway: Resource) -> str:
    """Id of the network that a gateway is in."""
    return parent_of(str(bodies.get(gateway.properties["ipConfigurations"][0], "properties.subnet.id", "")))


def _connections(call: Call) -> Answer:
    engine = call.engine
    gateway = engine.require(parse(call.path.parent))
    found = engine.store.referrers(gateway.id, CONNECTION)
    return engine.page(call, found)


def _learned_routes(call: Call, gateway: Resource) -> Any:
    engine = call.engine
    peers = gateway.properties["bgpSettings"]["bgpPeeringAddresses"]
    local = peers[0]["defaultBgpIpAddresses"][0]
    vnet = engine.store.get(vnet_of(gateway))
    own = [(prefix, "Network") for prefix in (addresses.space_of(vnet.properties) if vnet is not None else [])]
    beyond = [(prefix, "EBgp") for prefix in sorted(effective.beyond(engine, gateway))]
    return {"value": [
        {"localAddress": local, "network": prefix, "nextHop": "", "sourcePeer": local, "origin": origin,
         "asPath": "", "weight": 32768}
        for prefix, origin in (*own, *beyond)
    ]}  # fmt: skip


def _bgp_peers(call: Call, gateway: Resource) -> Any:
    """The gateways on premises with which BGP is spoken."""
    engine = call.engine
    found = []
    for connection in engine.store.referrers(gateway.id, CONNECTION):
        local = engine.store.get(str(bodies.get(connection.properties, "localNetworkGateway2.id", "")))
        asn = bodies.get(local.properties, "bgpSettings.asn") if local is not None else None
        if connection.properties.get("enableBgp") and asn is not None and local:
            up = status_of(engine, connection) == "Connected"
            found.append({
                "localAddress": gateway.properties["bgpSettings"]["bgpPeeringAddress"],
                "neighbor": bodies.get(local.properties, "bgpSettings.bgpPeeringAddress", ""), "asn": asn,
                "state": "Connected" if up else "Connecting", "routesReceived": len(effective.beyond(engine, gateway)),
                "messagesSent": 0, "messagesReceived": 0,
            })  # fmt: skip
    return {"value": found}


def _advertised(call: Call, gateway: Resource) -> Any:
    vnet = call.engine.store.get(vnet_of(gateway))
    local = gateway.properties["bgpSettings"]["bgpPeeringAddress"]
    return {"value": [
        {"localAddress": local, "network": prefix, "nextHop": local, "sourcePeer": "", "origin": "Igp",
         "asPath": str(gateway.properties["bgpSettings"]["asn"]), "weight": 0}
        for prefix in (addresses.space_of(vnet.properties) if vnet is not None else [])
    ]}  # fmt: skip


def _itself(call: Call, resource: Resource) -> Any:
    return call.engine.view(resource)


# -- gateways on premises --------------------------------------------------------------------------------------------


def _check_local(change: Change) -> None:
    properties = change.properties
    if not properties.get("gatewayIpAddress") and not properties.get("fqdn"):
        raise bad_format(
            f"Local network gateway {change.id} needs gatewayIpAddress or fqdn.", target="gatewayIpAddress"
        )
    if properties.get("gatewayIpAddress"):
        try:
            ipaddress.IPv4Address(str(properties["gatewayIpAddress"]))
        except ValueError as error:
            raise bad_format(
                f"gatewayIpAddress {properties['gatewayIpAddress']} of {change.id} is no IPv4 address.",
                target="gatewayIpAddress",
            ) from error
    for text in bodies.get(properties, "localNetworkAddressSpace.addressPrefixes") or []:
        addresses.parse_prefix(str(text), change.id)
    with_guid(change)


# -- connections -----------------------------------------------------------------------------------------------------


def _check_connection(change: Change) -> None:
    properties = change.properties
    one_of(change, "connectionType", CONNECTION_TYPES)
    first = _gateway(change, "virtualNetworkGateway1", GATEWAY)
    in_region(change, first)
    kind = properties["connectionType"]
    if kind == "IPsec":
        _gateway(change, "localNetworkGateway2", LOCAL_GATEWAY)
    elif kind == "Vnet2Vnet":
        second = _gateway(change, "virtualNetworkGateway2", GATEWAY)
        overlap = addresses.overlapping(_space(change.engine, first), _space(change.engine, second))
        if overlap:
            raise refusal(
                BAD_CONNECTION,
                f"Connection {change.id} cannot connect networks whose address spaces overlap: {', '.join(overlap)}.",
            )
    key = change.internal.get("secrets", {}).get("properties.sharedKey")
    if key is not None:
        _check_key(change.id, key)
    with_guid(change)


def _gateway(change: Change, name: str, wanted: str) -> Resource:
    reference = str(bodies.get(change.properties, f"{name}.id", ""))
    if not reference:
        raise refusal(
            BAD_CONNECTION,
            f"Connection {change.id} of type {change.properties['connectionType']} needs the id of {name}.",
        )
    found = provisioned(change, reference, f"Put{wanted.rsplit('/', 1)[-1].removesuffix('s').capitalize()}Operation")
    if found.type != wanted:
        raise refusal(BAD_CONNECTION, f"{name} of connection {change.id} must be one of {wanted}.")
    change.properties[name] = {"id": found.id}
    return found


def _space(engine: Engine, gateway: Resource) -> list[str]:
    vnet = engine.store.get(vnet_of(gateway))
    return addresses.space_of(vnet.properties) if vnet is not None else []


def _check_key(connection_id: str, key: Any) -> str:
    if not isinstance(key, str) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY or not key.isascii():
        raise refusal(
            BAD_CONNECTION,
            f"The shared key of connection {connection_id} must be {SHORTEST_KEY} to {LONGEST_KEY} printable ASCII "
            "characters.",
        )
    return key


def shared_key(connection: Resource) -> str:
    """The key of a connection, as no GET of the connection shows it."""
    return str(connection.internal.get("secrets", {}).get("properties.sharedKey", ""))


def status_of(engine: Engine, connection: Resource) -> str:
    """Whether a connection is up."""
    if not connection.complete:
        return "Unknown"
    properties = connection.properties
    if properties["connectionType"] == "Vnet2Vnet":
        there = any(_leads_back(connection, other) for other in engine.store.of_type(CONNECTION))
        return "Connected" if there else "NotConnected"
    return "Connected" if engine.setting("onPremisesAnswers", ON_PREMISES_ANSWERS) else "NotConnected"


def _leads_back(connection: Resource, other: Resource) -> bool:
    """Whether another connection is the other half of one between two networks, with the same key."""
    ends = [bodies.get(connection.properties, f"virtualNetworkGateway{number}.id") for number in (1, 2)]
    others = [bodies.get(other.properties, f"virtualNetworkGateway{number}.id") for number in (2, 1)]
    return other.complete and bodies.same(ends, others) and shared_key(other) == shared_key(connection)


def _view_connection(engine: Engine, connection: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    properties = shown["properties"]
    properties["connectionStatus"] = status_of(engine, connection)
    properties["ingressBytesTransferred"] = properties["egressBytesTransferred"] = 0


def _read_key(call: Call) -> Answer:
    connection = call.engine.require(parse(call.path.parent))
    return Answer(200, {"value": shared_key(connection)})


def _write_key(call: Call) -> Answer:
    connection = call.engine.require(parse(call.path.parent))
    key = _check_key(connection.id, (call.body or {}).get("value"))
    _store_key(call.engine, connection, key)
    return Answer(200, {"value": key})


def _reset_key(call: Call) -> Answer:
    if not call.path.is_resource or call.path.name.lower() != "reset":
        raise errors.resource_not_found(call.path.type_name, "/".join(call.path.names), call.path.resource_group or "")
    connection = call.engine.require(parse(call.path.parent))
    length = (call.body or {}).get("keyLength")
    if not isinstance(length, int) or not SHORTEST_KEY <= length <= LONGEST_KEY:
        raise bad_format(f"keyLength must be from {SHORTEST_KEY} to {LONGEST_KEY}, not {length}.", target="keyLength")
    key = "".join(call.engine.guid().replace("-", "") for _ in range(length // 32 + 1))[:length]
    _store_key(call.engine, connection, key)
    return Answer(200, {"keyLength": length})


def _store_key(engine: Engine, connection: Resource, key: str) -> None:
    connection.internal.setdefault("secrets", {})["properties.sharedKey"] = key
    engine.touch(connection)


# -- the types, and what is asked of them ----------------------------------------------------------------------------


TYPES = (
    replace(
        BASE,
        name=GATEWAY,
        put=put(CREATE_SECONDS, update_seconds=UPDATE_SECONDS),
        delete=Verb(seconds=DELETE_SECONDS),
        required=("properties.gatewayType", "properties.sku", "properties.ipConfigurations"),
        defaults={"properties.vpnType": "RouteBased", "properties.enableBgp": False, "properties.activeActive": False,
                  "properties.enablePrivateIpAddress": False, "properties.natRules": [],
                  "properties.disableIPSecReplayProtection": False, "properties.enableBgpRouteTranslationForNat": False,
                  "properties.allowVirtualWanTraffic": False, "properties.allowRemoteVnetTraffic": False},
        read_only=("properties.resourceGuid", "properties.inboundDnsForwardingEndpoint",
                   "properties.bgpSettings.bgpPeeringAddresses"),
        immutable=("properties.gatewayType", "properties.vpnType", "properties.vpnGatewayGeneration"),
        holds=in_use("Virtual network gateway", GATEWAY_IN_USE, CONNECTION),
        delete_first=40,
        actions={
            "reset": Action(run=_itself, seconds=RESET_SECONDS, status=202, updating="Updating"),
            "getBgpPeerStatus": Action(run=_bgp_peers, seconds=ASK_SECONDS, status=202),
            "getLearnedRoutes": Action(run=_learned_routes, seconds=ASK_SECONDS, status=202),
            "getAdvertisedRoutes": Action(run=_advertised, seconds=ASK_SECONDS, status=202),
        },
        check=_check,
        view=_hide_addresses,
        depth="half an hour to create, GatewaySubnet, resized within its family only, BGP settings, learned routes",
    ),
    replace(
        BASE,
        name=LOCAL_GATEWAY,
        put=put(8),
        read_only=("properties.resourceGuid",),
        holds=in_use("Local network gateway", LOCAL_IN_USE, CONNECTION),
        delete_first=60,
        check=_check_local,
        depth="addresses and prefixes checked, refuses deletion in use",
    ),
    replace(
        BASE,
        name=CONNECTION,
        put=put(CONNECTION_SECONDS),
        delete=Verb(seconds=CONNECTION_SECONDS),
        required=("properties.connectionType", "properties.virtualNetworkGateway1.id"),
        defaults={"properties.connectionProtocol": "IKEv2", "properties.connectionMode": "Default",
                  "properties.routingWeight": 0, "properties.enableBgp": False, "properties.dpdTimeoutSeconds": 0,
                  "properties.useLocalAzureIpAddress": False, "properties.usePolicyBasedTrafficSelectors": False,
                  "properties.expressRouteGatewayBypass": False, "properties.enablePrivateLinkFastPath": False,
                  "properties.ipsecPolicies": [], "properties.trafficSelectorPolicies": [],
                  "properties.ingressNatRules": [], "properties.egressNatRules": [],
                  "properties.gatewayCustomBgpIpAddresses": []},
        read_only=("properties.resourceGuid", "properties.connectionStatus", "properties.tunnelConnectionStatus",
                   "properties.egressBytesTransferred", "properties.ingressBytesTransferred"),
        immutable=("properties.connectionType", "properties.virtualNetworkGateway1.id"),
        write_only=("properties.sharedKey",),
        delete_first=30,
        actions={"resetconnection": Action(seconds=RESET_SECONDS, status=202, updating="Updating")},
        check=_check_connection,
        view=_view_connection,
        depth="both ends checked, hidden shared key, status by both sides' keys",
    ),
)  # fmt: skip
FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", f"{GATEWAY}/connections"): _connections,
    ("GET", f"{CONNECTION}/sharedkey"): _read_key,
    ("PUT", f"{CONNECTION}/sharedkey"): _write_key,
    ("POST", f"{CONNECTION}/sharedkey"): _reset_key,
}
