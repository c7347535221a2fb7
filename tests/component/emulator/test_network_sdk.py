"""Every network type through the real SDK clients: create, get, list, update, delete, and what each type is asked."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.dnsresolver import DnsResolverManagementClient
from tests.component.emulator.conftest import SCOPE, PlainHttp, StaticCredential
from tests.component.emulator.test_sdk_types import vm_body

from azure_emulator import SUBSCRIPTION

LOCATION = "westeurope"


@pytest.fixture(scope="session")
def resolver_client(sdk: Any) -> Any:
    credential = StaticCredential()
    return DnsResolverManagementClient(
        credential, SUBSCRIPTION, base_url=sdk.url, credential_scopes=[SCOPE],
        authentication_policy=PlainHttp(credential, SCOPE), retry_total=0,
    )  # fmt: skip


def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as error:
        call()
    assert error.value.error is not None
    return int(error.value.status_code or 0), str(error.value.error.code)


def make_vnet(sdk: Any, group: str, space: str = "10.0.0.0/16", name: str = "vnet", **subnets: Any) -> Any:
    listed = [
        {"name": key.replace("_", "-"), "properties": {"addressPrefix": body} if isinstance(body, str) else body}
        for key, body in subnets.items()
    ]
    body = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": [space]}, "subnets": listed}}
    return sdk.network.virtual_networks.begin_create_or_update(group, name, body).result()


def make_address(sdk: Any, group: str, name: str = "pip", **properties: Any) -> Any:
    return sdk.network.public_ip_addresses.begin_create_or_update(
        group, name, {"location": LOCATION, "sku": {"name": "Standard"}, "properties": properties}
    ).result()


def make_nic(sdk: Any, group: str, subnet: str, name: str = "nic", **configuration: Any) -> Any:
    inner = {"subnet": {"id": subnet}, **configuration}
    body = {"location": LOCATION, "properties": {"ipConfigurations": [{"name": "main", "properties": inner}]}}
    return sdk.network.network_interfaces.begin_create_or_update(group, name, body).result()


def test_peerings_change_state_on_both_sides(sdk, group):
    hub, spoke = make_vnet(sdk, group, name="hub"), make_vnet(sdk, group, "10.1.0.0/16", "spoke")
    peerings = sdk.network.virtual_network_peerings

    def peer(vnet: str, remote: Any, **properties: Any) -> Any:
        body = {"properties": {"remoteVirtualNetwork": {"id": remote.id}, **properties}}
        return peerings.begin_create_or_update(group, vnet, "peering", body).result()

    first = peer("hub", spoke, allowForwardedTraffic=True)
    assert (first.peering_state, first.peering_sync_level) == ("Initiated", "RemoteNotInSync")
    assert first.remote_address_space.address_prefixes == ["10.1.0.0/16"]
    second = peer("spoke", hub)
    assert (second.peering_state, second.peering_sync_level) == ("Connected", "FullyInSync")
    assert second.resource_guid == first.resource_guid
    changed = peerings.get(group, "hub", "peering")
    assert (changed.peering_state, changed.allow_forwarded_traffic) == ("Connected", True)
    assert changed.etag != first.etag
    assert [found.name for found in sdk.network.virtual_networks.get(group, "hub").virtual_network_peerings] == [
        "peering"
    ]

    wider = {**hub.as_dict()["properties"], "addressSpace": {"addressPrefixes": ["10.0.0.0/16", "10.9.0.0/16"]}}
    sdk.network.virtual_networks.begin_create_or_update(
        group, "hub", {"location": LOCATION, "properties": wider}
    ).result()
    assert peerings.get(group, "hub", "peering").peering_sync_level == "RemoteNotInSync"
    assert peerings.get(group, "spoke", "peering").peering_sync_level == "LocalNotInSync"
    body = {"properties": {"remoteVirtualNetwork": {"id": hub.id}}}
    peerings.begin_create_or_update(group, "spoke", "peering", body, sync_remote_address_space="true").result()
    assert peerings.get(group, "spoke", "peering").peering_sync_level == "FullyInSync"

    peerings.begin_delete(group, "hub", "peering").result()
    assert peerings.get(group, "spoke", "peering").peering_state == "Disconnected"
    assert refused(lambda: peer("hub", spoke)) == (400, "RemotePeeringIsDisconnected")
    assert peer("spoke", hub).peering_state == "Initiated"
    assert peer("hub", spoke).peering_state == "Connected"
    sdk.network.virtual_networks.begin_delete(group, "hub").result()
    assert peerings.get(group, "spoke", "peering").peering_state == "Disconnected"


def test_peerings_may_come_in_a_network_body(sdk, group):
    spoke = make_vnet(sdk, group, "10.1.0.0/16", "spoke")
    peering = {"name": "p", "properties": {"remoteVirtualNetwork": {"id": spoke.id}}}
    body = {"location": LOCATION, "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "virtualNetworkPeerings": [peering]}}  # fmt: skip
    vnet = sdk.network.virtual_networks.begin_create_or_update(group, "vnet", body).result()
    assert [found.peering_state for found in vnet.virtual_network_peerings] == ["Initiated"]


def test_load_balancers(sdk, group):
    network = sdk.network
    vnet, address = make_vnet(sdk, group, nodes="10.0.0.0/24"), make_address(sdk, group)
    balancer_id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/loadBalancers/lb"
    front, pool, probe = (
        {"id": f"{balancer_id}/{part}"}
        for part in ("frontendIPConfigurations/public", "backendAddressPools/nodes", "probes/ssh")
    )
    body = {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {
        "frontendIPConfigurations": [
            {"name": "public", "properties": {"publicIPAddress": {"id": address.id}}}],
        "backendAddressPools": [{"name": "nodes"}],
        "probes": [{"name": "ssh", "properties": {"protocol": "Tcp", "port": 22}}],
        "loadBalancingRules": [{"name": "ssh", "properties": {
            "protocol": "Tcp", "frontendPort": 22, "backendPort": 22, "disableOutboundSnat": True,
            "frontendIPConfiguration": front, "backendAddressPool": pool, "probe": probe}}],
        "outboundRules": [{"name": "out", "properties": {
            "protocol": "All", "frontendIPConfigurations": [front], "backendAddressPool": pool}}],
        "inboundNatRules": [{"name": "jump", "properties": {
            "protocol": "Tcp", "frontendPort": 2222, "backendPort": 22, "frontendIPConfiguration": front}}],
    }}  # fmt: skip
    balancers = network.load_balancers
    created = balancers.begin_create_or_update(group, "lb", body).result()
    assert created.id == balancer_id
    assert created.load_balancing_rules[0].id == f"{balancer_id}/loadBalancingRules/ssh"
    assert created.load_balancing_rules[0].backend_address_pools[0].id == pool["id"]
    assert [rule.id for rule in created.probes[0].load_balancing_rules] == [f"{balancer_id}/loadBalancingRules/ssh"]
    assert created.frontend_ip_configurations[0].outbound_rules[0].id == f"{balancer_id}/outboundRules/out"
    assert created.backend_address_pools[0].load_balancing_rules[0].id == f"{balancer_id}/loadBalancingRules/ssh"
    assert network.public_ip_addresses.get(group, "pip").ip_configuration.id == front["id"]
    for listed in (
        network.load_balancer_frontend_ip_configurations, network.load_balancer_probes,
        network.load_balancer_load_balancing_rules, network.load_balancer_outbound_rules,
        network.load_balancer_backend_address_pools, network.inbound_nat_rules,
    ):  # fmt: skip
        (part,) = listed.list(group, "lb")
        assert listed.get(group, "lb", part.name).id == part.id
    assert refused(lambda: network.load_balancer_probes.get(group, "lb", "none")) == (404, "NotFound")

    make_nic(
        sdk, group, vnet.subnets[0].id, loadBalancerBackendAddressPools=[pool],
        loadBalancerInboundNatRules=[{"id": f"{balancer_id}/inboundNatRules/jump"}],
    )  # fmt: skip
    shown = balancers.get(group, "lb")
    member = f"{balancer_id.replace('loadBalancers/lb', 'networkInterfaces/nic')}/ipConfigurations/main"
    assert [found.id for found in shown.backend_address_pools[0].backend_ip_configurations] == [member]
    assert shown.inbound_nat_rules[0].backend_ip_configuration.id == member
    assert [found.name for found in network.load_balancer_network_interfaces.list(group, "lb")] == ["nic"]
    assert [found.name for found in network.network_interface_load_balancers.list(group, "nic")] == ["lb"]

    dangling = {**body, "properties": {**body["properties"], "probes": []}}
    assert refused(lambda: balancers.begin_create_or_update(group, "lb", dangling)) == (
        400, "InvalidResourceReference"
    )  # fmt: skip
    pools = network.load_balancer_backend_address_pools
    assert refused(lambda: pools.begin_delete(group, "lb", "nodes")) == (400, "InUseBackendAddressPoolCannotBeDeleted")
    assert pools.begin_create_or_update(group, "lb", "more", {"properties": {}}).result().name == "more"
    pools.begin_delete(group, "lb", "more").result()
    assert balancers.update_tags(group, "lb", {"tags": {"a": "b"}}).tags == {"a": "b"}
    balancers.begin_delete(group, "lb").result()
    nic = network.network_interfaces.get(group, "nic")
    assert not nic.ip_configurations[0].load_balancer_backend_address_pools
    assert network.public_ip_addresses.get(group, "pip").ip_configuration is None


def test_an_internal_load_balancer_has_an_address_in_its_subnet(sdk, group):
    vnet = make_vnet(sdk, group, nodes="10.0.0.0/24")
    body = {"location": LOCATION, "properties": {"frontendIPConfigurations": [
        {"name": "inside", "properties": {"subnet": {"id": vnet.subnets[0].id}}}]}}  # fmt: skip
    created = sdk.network.load_balancers.begin_create_or_update(group, "lb", body).result()
    assert created.frontend_ip_configurations[0].private_ip_address == "10.0.0.4"
    assert created.sku.name == "Standard"
    assert make_nic(sdk, group, vnet.subnets[0].id).ip_configurations[0].private_ip_address == "10.0.0.5"
    assert refused(lambda: sdk.network.subnets.begin_delete(group, "vnet", "nodes")) == (
        400, "InUseSubnetCannotBeDeleted"
    )  # fmt: skip


def make_gateway(sdk: Any, group: str, vnet: Any, name: str, sku: str = "VpnGw1") -> Any:
    address = make_address(sdk, group, f"{name}-pip")
    subnet = next(one.id for one in vnet.subnets if one.name == "GatewaySubnet")
    body = {"location": LOCATION, "properties": {
        "gatewayType": "Vpn", "vpnType": "RouteBased", "sku": {"name": sku, "tier": sku},
        "ipConfigurations": [{"name": "default", "properties": {
            "subnet": {"id": subnet}, "publicIPAddress": {"id": address.id}}}]}}  # fmt: skip
    return sdk.network.virtual_network_gateways.begin_create_or_update(group, name, body).result()


def test_vpn(sdk, group):
    network = sdk.network
    vnet = make_vnet(sdk, group, GatewaySubnet="10.0.0.0/27", nodes="10.0.1.0/24")
    gateway = make_gateway(sdk, group, vnet, "gateway")
    assert gateway.bgp_settings.asn == 65515
    assert gateway.bgp_settings.bgp_peering_addresses[0].tunnel_ip_addresses == ["198.18.0.1"] or (
        gateway.bgp_settings.bgp_peering_addresses[0].tunnel_ip_addresses
    )
    assert network.public_ip_addresses.get(group, "gateway-pip").ip_configuration.id == gateway.ip_configurations[0].id
    body = {"location": LOCATION, "properties": {
        "gatewayIpAddress": "192.0.2.1", "localNetworkAddressSpace": {"addressPrefixes": ["192.168.0.0/24"]},
        "bgpSettings": {"asn": 65010, "bgpPeeringAddress": "192.168.0.1"}}}  # fmt: skip
    site = network.local_network_gateways.begin_create_or_update(group, "site", body).result()
    connections = network.virtual_network_gateway_connections
    body = {"location": LOCATION, "properties": {
        "connectionType": "IPsec", "virtualNetworkGateway1": {"id": gateway.id}, "sharedKey": "secret",
        "localNetworkGateway2": {"id": site.id}, "enableBgp": True}}  # fmt: skip
    connection = connections.begin_create_or_update(group, "to-site", body).result()
    assert (connection.connection_status, connection.shared_key) == ("Connected", None)
    assert connections.get_shared_key(group, "to-site").value == "secret"
    assert connections.begin_set_shared_key(group, "to-site", {"value": "other"}).result().value == "other"
    connections.begin_reset_shared_key(group, "to-site", {"keyLength": 40}).result()
    assert len(connections.get_shared_key(group, "to-site").value) == 40
    connections.begin_reset_connection(group, "to-site").result()

    gateways = network.virtual_network_gateways
    assert [found.name for found in gateways.list_connections(group, "gateway")] == ["to-site"]
    learned = gateways.begin_get_learned_routes(group, "gateway").result()
    assert {route.network for route in learned.value} == {"10.0.0.0/16", "192.168.0.0/24"}
    assert [peer.asn for peer in gateways.begin_get_bgp_peer_status(group, "gateway").result().value] == [65010]
    assert refused(lambda: gateways.begin_delete(group, "gateway"))[1] == "InUseVirtualNetworkGatewayCannotBeDeleted"
    assert refused(lambda: network.local_network_gateways.begin_delete(group, "site"))[1] == (
        "InUseLocalNetworkGatewayCannotBeDeleted"
    )
    error = "InUseSubnetCannotBeDeleted"
    assert refused(lambda: network.subnets.begin_delete(group, "vnet", "GatewaySubnet")) == (400, error)
    again = {"location": LOCATION, "properties": {**gateway.as_dict()["properties"], "sku": {"name": "VpnGw3"}}}
    assert gateways.begin_create_or_update(group, "gateway", again).result().sku.name == "VpnGw3"
    again["properties"]["sku"] = {"name": "VpnGw1AZ"}
    assert refused(lambda: gateways.begin_create_or_update(group, "gateway", again))[1] == (
        "VirtualNetworkGatewaySkuChangeNotAllowed"
    )
    gateways.begin_reset(group, "gateway").result()
    assert gateways.begin_update_tags(group, "gateway", {"tags": {"a": "b"}}).result().tags == {"a": "b"}
    connections.begin_delete(group, "to-site").result()
    gateways.begin_delete(group, "gateway").result()
    assert not list(gateways.list(group))


def test_two_networks_connected_by_their_gateways_need_the_same_key(sdk, group):
    ends = []
    for number in (0, 1):
        vnet = make_vnet(
            sdk, group, f"10.{number}.0.0/16", f"vnet{number}", GatewaySubnet=f"10.{number}.0.0/27"
        )  # fmt: skip
        ends.append(make_gateway(sdk, group, vnet, f"gateway{number}"))
    connections = sdk.network.virtual_network_gateway_connections

    def connect(name: str, one: Any, other: Any, key: str) -> Any:
        body = {"location": LOCATION, "properties": {
            "connectionType": "Vnet2Vnet", "virtualNetworkGateway1": {"id": one.id},
            "virtualNetworkGateway2": {"id": other.id}, "sharedKey": key}}  # fmt: skip
        return connections.begin_create_or_update(group, name, body).result()

    assert connect("there", *ends, "key").connection_status == "NotConnected"
    assert connect("back", *reversed(ends), "another").connection_status == "NotConnected"
    assert connect("back", *reversed(ends), "key").connection_status == "Connected"
    assert connections.get(group, "there").connection_status == "Connected"


def test_gateway_transit(sdk, group):
    hub = make_vnet(sdk, group, name="hub", GatewaySubnet="10.0.0.0/27")
    spoke = make_vnet(sdk, group, "10.1.0.0/16", "spoke")
    peerings = sdk.network.virtual_network_peerings

    def peer(vnet: str, remote: Any, **flags: bool) -> Any:
        body = {"properties": {"remoteVirtualNetwork": {"id": remote.id}, **flags}}
        return peerings.begin_create_or_update(group, vnet, "peering", body).result()

    assert refused(lambda: peer("spoke", hub, useRemoteGateways=True)) == (400, "RemoteVnetHasNoGateways")
    make_gateway(sdk, group, hub, "gateway")
    peer("hub", spoke)
    assert refused(lambda: peer("spoke", hub, useRemoteGateways=True))[1] == "RemotePeeringDoesNotAllowGatewayTransit"
    peer("hub", spoke, allowGatewayTransit=True)
    assert peer("spoke", hub, useRemoteGateways=True).use_remote_gateways


def test_dns_resolvers(sdk, resolver_client, group):
    vnet = make_vnet(
        sdk, group, inbound="10.0.0.0/28", outbound="10.0.0.16/28", tiny="10.0.0.32/29", nodes="10.0.1.0/24"
    )  # fmt: skip
    subnets = {found.name: found.id for found in vnet.subnets}
    client = resolver_client
    resolver = client.dns_resolvers.begin_create_or_update(
        group, "resolver", {"location": LOCATION, "properties": {"virtualNetwork": {"id": vnet.id}}}
    ).result()
    assert resolver.dns_resolver_state == "Connected"
    assert [found.id for found in client.dns_resolvers.list_by_virtual_network(group, "vnet")] == [resolver.id]

    def inbound(subnet: str, name: str = "in") -> Any:
        body = {"location": LOCATION, "properties": {"ipConfigurations": [{"subnet": {"id": subnets[subnet]}}]}}
        return client.inbound_endpoints.begin_create_or_update(group, "resolver", name, body).result()

    assert inbound("inbound").ip_configurations[0].private_ip_address == "10.0.0.4"
    assert refused(lambda: inbound("tiny", "other")) == (400, "BadRequest")
    assert refused(lambda: inbound("inbound", "other")) == (400, "BadRequest")
    outbound = client.outbound_endpoints.begin_create_or_update(
        group, "resolver", "out", {"location": LOCATION, "properties": {"subnet": {"id": subnets["outbound"]}}}
    ).result()
    shown = sdk.network.subnets.get(group, "vnet", "inbound")
    assert [found.service_name for found in shown.delegations] == ["Microsoft.Network/dnsResolvers"]
    assert [found.name for found in shown.service_association_links] == ["dnsResolverLink"]

    body = {"location": LOCATION, "properties": {"dnsResolverOutboundEndpoints": [{"id": outbound.id}]}}
    ruleset = client.dns_forwarding_rulesets.begin_create_or_update(group, "rules", body).result()
    rule = {"properties": {"domainName": "corp.example.", "targetDnsServers": [{"ipAddress": "192.0.2.53"}]}}
    created = client.forwarding_rules.create_or_update(group, "rules", "corp", rule)
    assert (created.forwarding_rule_state, created.target_dns_servers[0].port) == ("Enabled", 53)
    patch = {"properties": {"forwardingRuleState": "Disabled"}}
    assert client.forwarding_rules.update(group, "rules", "corp", patch).forwarding_rule_state == "Disabled"
    bad = {"properties": {**rule["properties"], "domainName": "no-dot"}}
    assert refused(lambda: client.forwarding_rules.create_or_update(group, "rules", "bad", bad))[0] == 400
    link = {"properties": {"virtualNetwork": {"id": vnet.id}}}
    client.virtual_network_links.begin_create_or_update(group, "rules", "link", link).result()
    (found,) = client.dns_forwarding_rulesets.list_by_virtual_network(group, "vnet")
    assert found.id == ruleset.id
    for call, code in (
        (lambda: client.dns_resolvers.begin_delete(group, "resolver"), "CannotDeleteResource"),
        (lambda: client.dns_forwarding_rulesets.begin_delete(group, "rules"), "CannotDeleteResource"),
        (lambda: client.outbound_endpoints.begin_delete(group, "resolver", "out"), "Conflict"),
    ):
        assert refused(call) == (409, code)
    client.virtual_network_links.begin_delete(group, "rules", "link").result()
    client.forwarding_rules.delete(group, "rules", "corp")
    client.dns_forwarding_rulesets.begin_delete(group, "rules").result()
    client.outbound_endpoints.begin_delete(group, "resolver", "out").result()
    client.inbound_endpoints.begin_delete(group, "resolver", "in").result()
    client.dns_resolvers.begin_delete(group, "resolver").result()


def test_records_of_all_types(sdk, group):
    zone = "hpc.internal"
    sdk.dns.private_zones.begin_create_or_update(group, zone, {"location": "global"}).result()
    records = {
        "A": {"aRecords": [{"ipv4Address": "10.0.0.9"}]},
        "AAAA": {"aaaaRecords": [{"ipv6Address": "2001:db8::1"}]},
        "MX": {"mxRecords": [{"preference": 10, "exchange": "mail.example"}]},
        "PTR": {"ptrRecords": [{"ptrdname": "login.example"}]},
        "TXT": {"txtRecords": [{"value": ["hello"]}]},
        "SRV": {"srvRecords": [{"priority": 1, "weight": 5, "port": 6817, "target": "scheduler.example"}]},
        "CNAME": {"cnameRecord": {"cname": "other.example"}},
    }
    sets = sdk.dns.record_sets
    for kind, properties in records.items():
        name = "alias" if kind == "CNAME" else "login"
        created = sets.create_or_update(group, zone, kind, name, {"properties": {"ttl": 60, **properties}})
        assert created.fqdn == f"{name}.{zone}."
        assert [found.name for found in sets.list_by_type(group, zone, kind)] == [name]
    assert len(list(sets.list(group, zone))) == len(records) + 1
    assert {found.name for found in sets.list(group, zone, recordsetnamesuffix="gin")} == {"login"}
    for kind, name, properties in (
        ("A", "bad", {"aRecords": [{"ipv4Address": "10.0.0.999"}]}),
        ("A", "alias", records["A"]),
        ("CNAME", "login", records["CNAME"]),
        ("CNAME", "@", records["CNAME"]),
        ("SRV", "bad", {"srvRecords": [{"priority": 1}]}),
    ):
        asked = (group, zone, kind, name, {"properties": {"ttl": 60, **properties}})
        assert refused(lambda asked=asked: sets.create_or_update(*asked)) == (400, "BadRequest")
    soa = sets.get(group, zone, "SOA", "@")
    assert soa.fqdn == f"{zone}."
    assert sdk.dns.private_zones.get(group, zone).number_of_record_sets == len(records) + 1


def test_a_network_registers_in_one_zone_only(sdk, group):
    vnet = make_vnet(sdk, group)

    def link(zone: str, *, registration: bool) -> Any:
        body = {"location": "global", "properties": {
            "virtualNetwork": {"id": vnet.id}, "registrationEnabled": registration}}  # fmt: skip
        return sdk.dns.virtual_network_links.begin_create_or_update(group, zone, "link", body).result()

    for zone in ("one.internal", "two.internal"):
        sdk.dns.private_zones.begin_create_or_update(group, zone, {"location": "global"}).result()
    assert link("one.internal", registration=True).virtual_network_link_state == "Completed"
    assert refused(lambda: link("two.internal", registration=True)) == (409, "Conflict")
    assert link("two.internal", registration=False).name == "link"
    assert refused(lambda: sdk.dns.private_zones.begin_delete(group, "two.internal")) == (409, "CannotDeleteResource")


def test_public_prefixes(sdk, group):
    prefixes = sdk.network.public_ip_prefixes
    body = {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {"prefixLength": 31}}
    prefix = prefixes.begin_create_or_update(group, "prefix", body).result()
    addresses = [make_address(sdk, group, name, publicIPPrefix={"id": prefix.id}) for name in ("one", "two")]
    assert (prefix.sku.name, prefix.sku.tier) == ("Standard", "Regional")
    base = prefix.ip_prefix.removesuffix("/31")
    assert addresses[0].ip_address == base
    assert {found.id for found in prefixes.get(group, "prefix").public_ip_addresses} == {one.id for one in addresses}
    assert refused(lambda: make_address(sdk, group, "three", publicIPPrefix={"id": prefix.id})) == (
        400, "PublicIPPrefixOutOfIpAddresses"
    )  # fmt: skip
    assert refused(lambda: prefixes.begin_delete(group, "prefix")) == (400, "InUsePublicIpPrefixCannotBeDeleted")
    nat = {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {"publicIpPrefixes": [{"id": prefix.id}]}}
    sdk.network.nat_gateways.begin_create_or_update(group, "nat", nat).result()
    assert prefixes.get(group, "prefix").nat_gateway.id.endswith("/natGateways/nat")
    body["properties"] = {"prefixLength": 24}
    assert refused(lambda: prefixes.begin_create_or_update(group, "big", body)) == (400, "InvalidPublicIPPrefixLength")


def test_application_security_groups(sdk, group):
    network = sdk.network
    groups = network.application_security_groups
    logins = groups.begin_create_or_update(group, "logins", {"location": LOCATION}).result()
    assert logins.resource_guid
    rule = {"name": "ssh", "properties": {
        "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourcePortRange": "*",
        "destinationPortRange": "22", "sourceAddressPrefix": "Internet",
        "destinationApplicationSecurityGroups": [{"id": logins.id}]}}  # fmt: skip
    network.network_security_groups.begin_create_or_update(
        group, "nsg", {"location": LOCATION, "properties": {"securityRules": [rule]}}
    ).result()
    subnet = make_vnet(sdk, group, nodes="10.0.0.0/24").subnets[0].id
    nic = make_nic(sdk, group, subnet, applicationSecurityGroups=[{"id": logins.id}])
    assert [one.id for one in nic.ip_configurations[0].application_security_groups] == [logins.id]
    other = make_vnet(sdk, group, "10.1.0.0/16", "other", nodes="10.1.0.0/24").subnets[0].id
    assert refused(lambda: make_nic(sdk, group, other, "far", applicationSecurityGroups=[{"id": logins.id}]))[1] == (
        "ApplicationSecurityGroupsNotInSameVnet"
    )
    assert refused(lambda: groups.begin_delete(group, "logins"))[1] == "InUseApplicationSecurityGroupCannotBeDeleted"
    assert len(list(network.default_security_rules.list(group, "nsg"))) == 6
    assert network.default_security_rules.get(group, "nsg", "DenyAllInBound").priority == 65500


def test_what_is_effective_on_an_interface(sdk, group):
    network = sdk.network
    rule = {"name": "ssh", "properties": {
        "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourcePortRange": "*",
        "destinationPortRange": "22", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*"}}  # fmt: skip
    nsg = network.network_security_groups.begin_create_or_update(
        group, "nsg", {"location": LOCATION, "properties": {"securityRules": [rule]}}
    ).result()
    routes = [{"name": "out", "properties": {
        "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.9.4"}}]  # fmt: skip
    table = network.route_tables.begin_create_or_update(
        group, "table", {"location": LOCATION, "properties": {"routes": routes}}
    ).result()
    subnet = {
        "addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": nsg.id}, "routeTable": {"id": table.id}
    }  # fmt: skip
    vnet = make_vnet(sdk, group, nodes=subnet)
    make_nic(sdk, group, vnet.subnets[0].id, "alone")
    interfaces = network.network_interfaces
    for ask in (interfaces.begin_get_effective_route_table, interfaces.begin_list_effective_network_security_groups):
        assert refused(lambda ask=ask: ask(group, "alone"))[0] == 400
    sdk.compute.virtual_machines.begin_create_or_update(group, "vm", vm_body(vnet.subnets[0].id)).result()
    groups = interfaces.begin_list_effective_network_security_groups(group, "vm-nic").result().value
    assert [one.network_security_group.id for one in groups] == [nsg.id]
    rules = {one.name: one for one in groups[0].effective_security_rules}
    assert rules["securityRules/ssh"].destination_port_range == "22-22"
    assert len(rules) == 7
    found = interfaces.begin_get_effective_route_table(group, "vm-nic").result().value
    states = {(one.source, one.address_prefix[0]): (one.state, one.next_hop_type) for one in found}
    assert states["User", "0.0.0.0/0"] == ("Active", "VirtualAppliance")
    assert states["Default", "0.0.0.0/0"] == ("Invalid", "Internet")
    assert states["Default", "10.0.0.0/16"] == ("Active", "VnetLocal")
    nic = interfaces.get(group, "vm-nic")
    assert (nic.primary, nic.mac_address[:9]) == (True, "00-0D-3A-")


def test_what_a_network_tells(sdk, group):
    network = sdk.network
    delegation = {"name": "n", "properties": {"serviceName": "Microsoft.Netapp/volumes"}}
    vnet = make_vnet(
        sdk, group, nodes="10.0.0.0/28", netapp={"addressPrefix": "10.0.1.0/28", "delegations": [delegation]}
    )  # fmt: skip
    make_nic(sdk, group, vnet.subnets[0].id)
    usages = {one.id.rsplit("/", 1)[-1]: one for one in network.virtual_networks.list_usage(group, "vnet")}
    assert (usages["nodes"].current_value, usages["nodes"].limit) == (1, 11)
    check = network.virtual_networks.check_ip_address_availability
    assert check(group, "vnet", ip_address="10.0.0.5").available
    taken = check(group, "vnet", ip_address="10.0.0.4")
    assert (taken.available, taken.available_ip_addresses[0]) == (False, "10.0.0.5")
    assert check(group, "vnet", ip_address="10.0.0.1").is_platform_reserved
    assert refused(lambda: check(group, "vnet", ip_address="192.168.0.1"))[0] == 400

    subnets = network.subnets
    subnets.begin_prepare_network_policies(group, "vnet", "nodes", {"serviceName": "Microsoft.Sql/x"}).result()
    subnets.begin_unprepare_network_policies(group, "vnet", "nodes", {"serviceName": "Microsoft.Sql/x"}).result()
    assert not list(network.resource_navigation_links.list(group, "vnet", "nodes").value or [])
    assert not list(network.service_association_links.list(group, "vnet", "netapp").value or [])
    assert subnets.get(group, "vnet", "netapp").delegations[0].actions

    assert {one.service_name for one in network.available_delegations.list(LOCATION)} >= {
        "Microsoft.NetApp/volumes", "Microsoft.DBforMySQL/flexibleServers", "Microsoft.Network/dnsResolvers",
    }  # fmt: skip
    services = {one.name for one in network.available_endpoint_services.list(LOCATION)}
    assert {"Microsoft.Storage", "Microsoft.KeyVault"} <= services
    tags = {one.name for one in network.service_tags.list(LOCATION).values_property}
    assert {"AzureCloud", "Storage.WestEurope", "AzureActiveDirectory"} <= tags
    limits = {one.name.value: one for one in network.usages.list(LOCATION)}
    assert limits["VirtualNetworks"].current_value >= 1
    assert limits["PublicIPAddresses"].limit == 1000


def test_domain_name_labels(sdk, group):
    network = sdk.network
    label = "hpc-login-7"
    assert network.check_dns_name_availability(LOCATION, domain_name_label=label).available
    address = make_address(sdk, group, dnsSettings={"domainNameLabel": label})
    assert address.dns_settings.fqdn == f"{label}.westeurope.cloudapp.azure.com"
    assert not network.check_dns_name_availability(LOCATION, domain_name_label=label).available
    assert refused(lambda: make_address(sdk, group, "other", dnsSettings={"domainNameLabel": label})) == (
        400, "DnsRecordInUse"
    )  # fmt: skip
    assert refused(lambda: make_address(sdk, group, "other", dnsSettings={"domainNameLabel": "Not Valid"})) == (
        400, "InvalidDomainNameLabel"
    )  # fmt: skip


def test_watchers_and_endpoint_policies(sdk, group):
    network = sdk.network
    place = {"location": "uksouth"}
    assert network.network_watchers.create_or_update(group, "watcher", place).provisioning_state == "Succeeded"
    assert refused(lambda: network.network_watchers.create_or_update(group, "second", place))[0] == 400
    assert network.network_watchers.update_tags(group, "watcher", {"tags": {"a": "b"}}).tags == {"a": "b"}
    network.network_watchers.begin_delete(group, "watcher").result()
    definition = {"name": "d", "properties": {
        "service": "Microsoft.Storage", "serviceResources": [f"/subscriptions/{SUBSCRIPTION}"]}}  # fmt: skip
    body = {"location": LOCATION, "properties": {"serviceEndpointPolicyDefinitions": [definition]}}
    policy = network.service_endpoint_policies.begin_create_or_update(group, "policy", body).result()
    assert [one.name for one in policy.service_endpoint_policy_definitions] == ["d"]
    subnet = {
        "addressPrefix": "10.0.0.0/24", "serviceEndpoints": [{"service": "Microsoft.Storage"}],
        "serviceEndpointPolicies": [{"id": policy.id}],
    }  # fmt: skip
    vnet = make_vnet(sdk, group, nodes=subnet)
    assert vnet.subnets[0].service_endpoints[0].locations == [LOCATION]
    assert refused(lambda: network.service_endpoint_policies.begin_delete(group, "policy"))[1] == (
        "InUseServiceEndpointPolicyCannotBeDeleted"
    )


def test_interfaces_of_a_scale_set(sdk, group):
    subnet = make_vnet(sdk, group, nodes="10.0.0.0/24").subnets[0].id
    body = {"location": LOCATION, "properties": {"orchestrationMode": "Flexible", "platformFaultDomainCount": 1}}
    scale_set = sdk.compute.virtual_machine_scale_sets.begin_create_or_update(group, "nodes", body).result()
    machine = vm_body(subnet, "n1", virtualMachineScaleSet={"id": scale_set.id})
    sdk.compute.virtual_machines.begin_create_or_update(group, "n1", machine).result()
    listed = sdk.network.network_interfaces.list_virtual_machine_scale_set_network_interfaces(group, "nodes")
    assert [found.name for found in listed] == ["n1-nic"]


def test_private_endpoints_that_wait_for_approval(sdk, group):
    subnet = make_vnet(sdk, group, nodes="10.0.0.0/24").subnets[0].id
    account = sdk.storage.storage_accounts.begin_create(
        group, "waitingaccount", {"location": LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    ).result()
    connection = {"name": "c", "properties": {"privateLinkServiceId": account.id, "groupIds": ["blob"]}}
    body = {"location": LOCATION, "properties": {
        "subnet": {"id": subnet}, "manualPrivateLinkServiceConnections": [connection],
        "customNetworkInterfaceName": "pe-nic",
        "ipConfigurations": [{"name": "ip", "properties": {
            "privateIPAddress": "10.0.0.77", "groupId": "blob", "memberName": "blob"}}]}}  # fmt: skip
    endpoint = sdk.network.private_endpoints.begin_create_or_update(group, "pe", body).result()
    state = endpoint.manual_private_link_service_connections[0].private_link_service_connection_state
    assert state.status == "Pending"
    nic = sdk.network.network_interfaces.get(group, "pe-nic")
    assert nic.ip_configurations[0].private_ip_address == "10.0.0.77"
    assert refused(lambda: sdk.network.network_interfaces.begin_delete(group, "pe-nic")) == (400, "NicInUse")
    assert refused(lambda: sdk.network.subnets.begin_delete(group, "vnet", "nodes")) == (
        400, "InUseSubnetCannotBeDeleted"
    )  # fmt: skip
