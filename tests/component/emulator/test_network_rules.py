"""What Azure's network refuses, with its codes and texts, and what hangs together; on a clock that the test moves."""

from __future__ import annotations

import pytest

from azure_emulator.providers import network

LOCATION = {"location": "westeurope"}
NETWORK = "rg/Microsoft.Network"
VNET = f"{NETWORK}/virtualNetworks/vnet"


def ident(http, path):
    """The id of a path in the tests' short notation."""
    head, _, tail = path.partition("/Microsoft.")
    return f"{http.subscription}/resourceGroups/{head}/providers/Microsoft.{tail}"


def vnet(*prefixes, **subnets):
    listed = [
        {"name": name, "properties": {"addressPrefix": body} if isinstance(body, str) else body}
        for name, body in subnets.items()
    ]
    return {**LOCATION, "properties": {
        "addressSpace": {"addressPrefixes": list(prefixes or ("10.0.0.0/16",))}, "subnets": listed}}  # fmt: skip


def delegated(prefix, service="Microsoft.NetApp/volumes"):
    return {"addressPrefix": prefix, "delegations": [{"name": "d", "properties": {"serviceName": service}}]}


def nic(subnet, **inner):
    item = {"name": "main", "properties": {"subnet": {"id": subnet}, **inner}}
    return {**LOCATION, "properties": {"ipConfigurations": [item]}}


def rule(**changed):
    properties = {
        "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourcePortRange": "*",
        "destinationPortRange": "22", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
    }  # fmt: skip
    return {"properties": {**properties, **changed}}


async def error(http, method, path, body=None, **options):
    """Status, code and message of a request that should be refused."""
    status, document, _ = await http.call(method, path, body, **options)
    assert status >= 400, document
    return status, document["error"]["code"], document["error"]["message"]


async def subnet(http, **subnets):
    await http.done(VNET, vnet(**(subnets or {"nodes": "10.0.0.0/24"})))
    return f"{ident(http, VNET)}/subnets/{next(iter(subnets or {'nodes': ''}))}"


# -- subnets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"addressPrefix": "10.0.0.128/25"}, "NetcfgSubnetRangesOverlap",
         ("Subnet 'other' is not valid because its IP address range overlaps with that of an existing subnet in "
          "virtual network 'vnet'.")),
        ({"addressPrefix": "10.9.0.0/15"}, "InvalidCIDRNotation", None),
        ({"addressPrefix": "11.0.0.0/24"}, "NetcfgSubnetRangeOutsideVnet",
         ("Subnet 'other' is not valid because its IP address range is outside the IP address range of virtual network "
         "'vnet'.")),
        ({"addressPrefix": "10.0.1.0/30"}, "NetcfgInvalidSubnet",
         "Subnet 'other' is not valid in virtual network 'vnet'."),
        ({}, "InvalidRequestFormat", None),
        (delegated("10.0.1.0/24", "Microsoft.Nothing/things"), "InvalidServiceNameOnDelegation", None),
    ],
)  # fmt: skip
async def test_subnets_that_azure_refuses(http, body, code, message):
    await subnet(http)
    status, found, text = await error(http, "PUT", f"{VNET}/subnets/other", {"properties": body})
    assert (status, found) == (400, code)
    assert message in (None, text)


async def test_the_last_address_of_a_subnet(http):
    nodes = await subnet(http, nodes="10.0.0.0/29")
    for number in range(3):
        await http.done(f"{NETWORK}/networkInterfaces/nic{number}", nic(nodes))
    assert await error(http, "PUT", f"{NETWORK}/networkInterfaces/nic3", nic(nodes)) == (
        400, "SubnetIsFull",
        "Subnet nodes with address prefix 10.0.0.0/29 does not have enough capacity for 1 IP addresses.",
    )  # fmt: skip
    more = {"properties": {"addressPrefixes": ["10.0.0.0/29", "10.0.1.0/29"]}}
    await http.done(f"{VNET}/subnets/nodes", more)
    shown = await http.done(f"{NETWORK}/networkInterfaces/nic3", nic(nodes))
    assert shown["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] == "10.0.1.4"


async def test_subnets_in_use(http):
    nodes = await subnet(http)
    await http.done(f"{NETWORK}/networkInterfaces/nic", nic(nodes))
    user = f"{ident(http, f'{NETWORK}/networkInterfaces/nic')}/ipConfigurations/main"
    assert await error(http, "DELETE", f"{VNET}/subnets/nodes") == (
        400, "InUseSubnetCannotBeDeleted",
        (f"Subnet nodes is in use by {user} and cannot be deleted. In order to delete the subnet, delete all the "
        "resources within the subnet. See aka.ms/deletesubnet."),
    )  # fmt: skip
    moved = {"properties": {"addressPrefix": "10.0.1.0/24"}}
    assert await error(http, "PUT", f"{VNET}/subnets/nodes", moved) == (
        400, "InUsePrefixCannotBeDeleted",
        "IpPrefix 10.0.0.0/24 on Subnet nodes has active allocations and cannot be deleted.",
    )  # fmt: skip
    assert await error(http, "PUT", f"{VNET}/subnets/nodes", {"properties": delegated("10.0.0.0/24")}) == (
        400, "SubnetDelegationsCannotChangeWhenSubnetUsedByResource",
        (f"Delegations of subnet {nodes} cannot be changed from [] to [Microsoft.NetApp/volumes] because it is being "
        f"used by the resource {user}."),
    )  # fmt: skip


async def test_delegated_and_reserved_subnets_are_for_their_services(http):
    netapp = await subnet(http, netapp=delegated("10.0.0.0/24"), GatewaySubnet="10.0.1.0/24")
    put = ("PUT", f"{NETWORK}/networkInterfaces/nic")
    assert (await error(http, *put, nic(netapp)))[:2] == (
        400, "SubnetWithExternalResourcesCannotBeUsedByOtherResources"
    )  # fmt: skip
    gateway = netapp.replace("/netapp", "/GatewaySubnet")
    assert (await error(http, *put, nic(gateway)))[:2] == (400, "ReservedSubnetCannotBeUsedByNetworkInterface")


async def test_what_may_not_be_attached_to_reserved_subnets(http):
    group = await http.done(f"{NETWORK}/networkSecurityGroups/nsg", {**LOCATION, "properties": {}})
    table = await http.done(f"{NETWORK}/routeTables/rt", {**LOCATION, "properties": {}})
    await http.done(VNET, vnet())
    bastion, gateway = f"{VNET}/subnets/AzureBastionSubnet", f"{VNET}/subnets/GatewaySubnet"
    reference = {"addressPrefix": "10.0.0.0/26", "networkSecurityGroup": {"id": group["id"]}}
    assert await error(http, "PUT", gateway, {"properties": reference}) == (
        400, "NetworkSecurityGroupCannotBeAttachedToGatewaySubnet",
        ("The operation failed because the network security group nsg can not be associated to the GatewaySubnet. "
        "Please remove the network security group associated to the GatewaySubnet. No changes have occurred on the "
        "gateway at this time. See here for additional details: https://aka.ms/GatewaySubnet."),
    )  # fmt: skip
    assert await error(http, "PUT", bastion, {"properties": reference}) == (
        400, "NetworkSecurityGroupNotCompliantForAzureBastionSubnet",
        "Network security group nsg does not have necessary rules for Azure Bastion Subnet AzureBastionSubnet.",
    )  # fmt: skip
    routed = {"addressPrefix": "10.0.0.0/26", "routeTable": {"id": table["id"]}}
    assert (await error(http, "PUT", bastion, {"properties": routed}))[1] == (
        "RouteTableCannotBeAttachedForAzureBastionSubnet"
    )
    assert (await error(http, "PUT", bastion, {"properties": delegated("10.0.0.0/26")}))[0] == 400
    rules = f"{NETWORK}/networkSecurityGroups/nsg/securityRules"
    await http.done(f"{rules}/in", rule(destinationPortRange="443"))
    await http.done(f"{rules}/ssh", rule(direction="Outbound", destinationPortRanges=["22", "3389"],
                                         destinationPortRange=None))  # fmt: skip
    await http.done(f"{rules}/cloud", rule(direction="Outbound", priority=110, destinationPortRange="443"))
    shown = await http.done(bastion, {"properties": reference})
    assert shown["properties"]["networkSecurityGroup"] == {"id": group["id"]}


async def test_services_leave_their_subnet_late(http):
    netapp = await subnet(http, netapp=delegated("10.0.0.0/24"))
    account, pool = "rg/Microsoft.NetApp/netAppAccounts/a", "rg/Microsoft.NetApp/netAppAccounts/a/capacityPools/p"
    await http.done(account, LOCATION)
    await http.done(pool, {**LOCATION, "properties": {"serviceLevel": "Premium", "size": 4 * 2**40}})
    volume = {**LOCATION, "properties": {"creationToken": "v", "usageThreshold": 2**40, "subnetId": netapp}}
    await http.done(f"{pool}/volumes/v", volume)
    engine = http.emulator.engine
    network.links.hold(engine, netapp, "Microsoft.NetApp/volumes")
    link = f"{netapp}/serviceAssociationLinks/NetAppLink"
    listed = (await http.call("GET", f"{VNET}/subnets/netapp/serviceAssociationLinks"))[1]["value"]
    assert [(one["id"], one["properties"]["linkedResourceType"]) for one in listed] == [
        (link, "Microsoft.NetApp/volumes")
    ]
    plain = {"properties": {"addressPrefix": "10.0.0.0/24"}}
    assert await error(http, "PUT", f"{VNET}/subnets/netapp", plain) == (
        400, "SubnetMissingRequiredDelegation",
        (f"Subnet {netapp} requires any of the following delegation(s) [Microsoft.NetApp/volumes] to reference service "
        f"association link {link}."),
    )  # fmt: skip
    await http.call("DELETE", f"{pool}/volumes/v")
    http.advance(400)
    await http.call("GET", f"{pool}/volumes/v")
    network.links.release_later(engine, netapp, "Microsoft.NetApp/volumes")
    status, code, message = await error(http, "DELETE", f"{VNET}/subnets/netapp")
    assert (status, code) == (400, "InUseSubnetCannotBeDeleted")
    assert f"is in use by {link} and" in message
    http.advance(network.links.LATE_FREEING_SECONDS + 1)
    assert (await http.call("DELETE", f"{VNET}/subnets/netapp"))[0] == 202


async def test_who_moves_in_again_keeps_the_subnet(http):
    nodes = await subnet(http)
    engine = http.emulator.engine
    network.links.hold(engine, nodes, "Microsoft.Web/serverFarms")
    network.links.release_later(engine, nodes, "Microsoft.Web/serverFarms")
    http.advance(10)
    network.links.hold(engine, nodes, "Microsoft.Web/serverFarms")
    http.advance(network.links.LATE_FREEING_SECONDS * 2)
    _, shown, _ = await http.call("GET", f"{VNET}/subnets/nodes")
    assert [one["name"] for one in shown["properties"]["serviceAssociationLinks"]] == ["AppServiceLink"]


# -- one write at a time ---------------------------------------------------------------------------------------------


async def test_a_private_endpoint_and_a_subnet_exclude_each_other(http):
    nodes = await subnet(http)
    account = "rg/Microsoft.Storage/storageAccounts/exclusive"
    await http.call("PUT", account, {**LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    http.advance(100)
    connection = {"name": "c", "properties": {"privateLinkServiceId": ident(http, account), "groupIds": ["blob"]}}
    body = {**LOCATION, "properties": {"subnet": {"id": nodes}, "privateLinkServiceConnections": [connection]}}
    other = ("PUT", f"{VNET}/subnets/other", {"properties": {"addressPrefix": "10.0.1.0/24"}})
    await http.put(f"{NETWORK}/privateEndpoints/pe", body)
    assert (await error(http, *other))[:2] == (409, "AnotherOperationInProgress")
    http.advance(100)
    assert (await http.call(*other))[0] == 201
    assert (await error(http, "PUT", f"{NETWORK}/privateEndpoints/second", body))[:2] == (
        409, "AnotherOperationInProgress"
    )  # fmt: skip


async def test_a_peering_keeps_both_networks_busy(http):
    await http.done(VNET, vnet(nodes="10.0.0.0/24"))
    there = f"{NETWORK}/virtualNetworks/there"
    await http.done(there, vnet("10.1.0.0/16"))
    peering = {"properties": {"remoteVirtualNetwork": {"id": ident(http, there)}}}
    back = {"properties": {"remoteVirtualNetwork": {"id": ident(http, VNET)}}}
    await http.put(f"{VNET}/virtualNetworkPeerings/p", peering)
    subnet_there = ("PUT", f"{there}/subnets/s", {"properties": {"addressPrefix": "10.1.0.0/24"}})
    for request in (subnet_there, ("PUT", f"{there}/virtualNetworkPeerings/p", back), ("DELETE", there)):
        assert (await error(http, *request))[:2] == (409, "AnotherOperationInProgress")
    http.advance(20)
    assert (await http.call(*subnet_there))[0] == 201
    status, document, _ = await http.call("PUT", f"{VNET}/virtualNetworkPeerings/p", peering)
    assert (status, document["error"]["code"]) == (429, "RetryableError")
    (detail,) = document["error"]["details"]
    assert detail["code"] == "ReferencedResourceNotProvisioned"
    assert "is PutSubnetOperation." in detail["message"]
    http.advance(20)
    assert (await http.call("DELETE", f"{VNET}/virtualNetworkPeerings/p"))[0] == 202


async def test_what_is_still_being_written_cannot_be_used(http):
    nodes = await subnet(http)
    address = await http.put(f"{NETWORK}/publicIPAddresses/pip", {**LOCATION, "properties": {}})
    body = nic(nodes, publicIPAddress={"id": address["id"]})
    status, document, _ = await http.call("PUT", f"{NETWORK}/networkInterfaces/nic", body)
    assert (status, document["error"]["code"]) == (429, "RetryableError")
    assert "PutPublicIpAddressOperation" in document["error"]["details"][0]["message"]
    http.advance(10)
    assert (await http.call("PUT", f"{NETWORK}/networkInterfaces/nic", body))[0] == 201


async def test_tags_can_be_changed_meanwhile(http):
    nodes = await subnet(http)
    await http.done(f"{NETWORK}/networkInterfaces/nic", nic(nodes))
    await http.put(f"{VNET}/subnets/nodes", {"properties": {"addressPrefix": "10.0.0.0/24"}})
    status, shown, _ = await http.call("PATCH", f"{NETWORK}/networkInterfaces/nic", {"tags": {"a": "b"}})
    assert (status, shown["tags"]) == (200, {"a": "b"})


# -- peerings --------------------------------------------------------------------------------------------------------


async def test_peerings_that_azure_refuses(http):
    for name, prefix in (("vnet", "10.0.0.0/16"), ("same", "10.0.128.0/17"), ("hub", "10.1.0.0/16"),
                         ("spoke", "10.0.0.0/24")):  # fmt: skip
        await http.done(f"{NETWORK}/virtualNetworks/{name}", vnet(prefix))

    def peer(local, remote, name="p"):
        body = {"properties": {"remoteVirtualNetwork": {"id": ident(http, f"{NETWORK}/virtualNetworks/{remote}")}}}
        return "PUT", f"{NETWORK}/virtualNetworks/{local}/virtualNetworkPeerings/{name}", body

    here, same, hub, spoke = (
        ident(http, f"{NETWORK}/virtualNetworks/{name}") for name in ("vnet", "same", "hub", "spoke")
    )
    assert await error(http, *peer("vnet", "same")) == (
        400, "VnetAddressSpacesOverlap",
        (f"Cannot create or update peering {here}/virtualNetworkPeerings/p. Virtual networks {here} and {same} cannot "
        "be peered because their address spaces overlap. Overlapping address prefixes: 10.0.0.0/16. For more "
        "information please refer to https://aka.ms/VnetPeeringInfo"),
    )  # fmt: skip
    await http.done(*peer("vnet", "hub")[1:])
    await http.done(*peer("hub", "vnet", "back")[1:])
    assert await error(http, *peer("spoke", "hub")) == (
        400, "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
        (f"Cannot create or update peering {spoke}/virtualNetworkPeerings/p. Virtual networks {spoke} and {hub} cannot "
        "be peered because address space of the first virtual network overlaps with address space of virtual network "
        f"{here} already peered with the second virtual network. Overlapping address prefixes: 10.0.0.0/24. For more "
        "information please refer to https://aka.ms/VnetPeeringInfo"),
    )  # fmt: skip
    assert (await error(http, *peer("vnet", "hub", "again")))[1] == "AnotherPeeringAlreadyReferencesRemoteVnet"
    wider = vnet("10.0.0.0/16", "10.1.128.0/17")
    assert (await error(http, "PUT", VNET, wider))[1] == "VnetAddressSpacesOverlap"


# -- security groups and routes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        ({"priority": 99}, "SecurityRuleInvalidPriority",
         "Security rule has invalid Priority. Value provided: 99 Allowed range 100-4096."),
        ({"destinationPortRange": "70000"}, "SecurityRuleInvalidPortRange",
         ("Security rule has invalid Port range. Value provided: 70000. Value should be an integer OR integer range "
         "with '-' delimiter. Valid range 0-65535.")),
        ({"destinationPortRange": "30-20"}, "SecurityRuleInvalidPortRange", None),
        ({"sourceAddressPrefix": "Intranet"}, "SecurityRuleInvalidAddressPrefix",
         "Security rule has invalid Address prefix. Value provided: Intranet"),
        ({"protocol": "Smoke"}, "InvalidRequestFormat", None),
        ({"direction": "Sideways"}, "InvalidRequestFormat", None),
        ({"priority": 200}, "SecurityRuleConflict",
         "Security rule new conflicts with rule known. Rules cannot have the same Priority and Direction."),
    ],
)  # fmt: skip
async def test_rules_that_azure_refuses(http, changed, code, message):
    group = f"{NETWORK}/networkSecurityGroups/nsg"
    await http.done(group, {**LOCATION, "properties": {
        "securityRules": [{"name": "known", **rule(priority=200)}]}})  # fmt: skip
    status, found, text = await error(http, "PUT", f"{group}/securityRules/new", rule(**changed))
    assert (status, found) == (400, code)
    assert message in (None, text)


async def test_rules_may_name_service_tags(http):
    group = f"{NETWORK}/networkSecurityGroups/nsg"
    await http.done(group, {**LOCATION, "properties": {}})
    for number, tag in enumerate(("VirtualNetwork", "Storage.WestEurope", "azurecloud", "10.0.0.0/8", "10.1.2.3")):
        await http.done(f"{group}/securityRules/r{number}", rule(sourceAddressPrefix=tag, priority=200 + number))


async def test_routes_that_azure_refuses(http):
    table = f"{NETWORK}/routeTables/rt"
    await http.done(table, {**LOCATION, "properties": {"routes": [
        {"name": "a", "properties": {"addressPrefix": "10.0.0.0/8", "nextHopType": "None"}}]}})  # fmt: skip
    for properties, code in (
        ({"addressPrefix": "10.0.0.0/8", "nextHopType": "Internet"}, "RouteConflict"),
        ({"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance"}, "InvalidRequestFormat"),
        ({"addressPrefix": "0.0.0.0/0", "nextHopType": "Internet", "nextHopIpAddress": "10.0.0.4"},
         "InvalidRequestFormat"),
        ({"addressPrefix": "0.0.0.0/0", "nextHopType": "Nirvana"}, "InvalidRequestFormat"),
        ({"addressPrefix": "nowhere", "nextHopType": "None"}, "InvalidAddressPrefixFormat"),
    ):  # fmt: skip
        assert (await error(http, "PUT", f"{table}/routes/b", {"properties": properties}))[:2] == (400, code)
    await http.done(f"{table}/routes/b", {"properties": {"addressPrefix": "AzureCloud", "nextHopType": "Internet"}})


# -- addresses -------------------------------------------------------------------------------------------------------


async def test_public_address_quota(http):
    quota = {"location": "westeurope", "name": "PublicIPAddresses", "limit": 1}
    assert (await http.call("PUT", "/emulator/quota", quota))[0] == 200
    path = f"{NETWORK}/publicIPAddresses"
    await http.done(f"{path}/one", {**LOCATION, "properties": {}})
    assert await error(http, "PUT", f"{path}/two", {**LOCATION, "properties": {}}) == (
        400, "PublicIPCountLimitReached",
        "Cannot create more than 1 public IP addresses for this subscription in this region.",
    )  # fmt: skip
    _, usages, _ = await http.call(
        "GET", f"{http.subscription}/providers/Microsoft.Network/locations/westeurope/usages"
    )
    shown = {one["name"]["value"]: (one["currentValue"], one["limit"]) for one in usages["value"]}
    assert shown["PublicIPAddresses"] == (1, 1)
    elsewhere = {"location": "northeurope", "properties": {}}
    assert (await http.call("PUT", f"{path}/two", elsewhere))[0] == 201


async def test_basic_addresses_are_retired(http):
    body = {**LOCATION, "sku": {"name": "Basic"}, "properties": {}}
    assert await error(http, "PUT", f"{NETWORK}/publicIPAddresses/old", body) == (
        400, "IPv4BasicSkuPublicIpCountLimitReached",
        "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region.",
    )  # fmt: skip


async def test_an_address_has_one_holder(http):
    nodes = await subnet(http)
    address = await http.done(f"{NETWORK}/publicIPAddresses/pip", {**LOCATION, "properties": {}})
    reference = {"publicIPAddress": {"id": address["id"]}}
    first = await http.done(f"{NETWORK}/networkInterfaces/one", nic(nodes, **reference))
    assert (await error(http, "PUT", f"{NETWORK}/networkInterfaces/two", nic(nodes, **reference)))[:2] == (
        400, "PublicIPAddressInUse"
    )  # fmt: skip
    holder = f"{first['id']}/ipConfigurations/main"
    assert await error(http, "DELETE", f"{NETWORK}/publicIPAddresses/pip") == (
        400, "PublicIPAddressCannotBeDeleted",
        (f"Public IP address {address['id']} can not be deleted since it is still allocated to resource {holder}. In "
        "order to delete the public IP, disassociate/detach the Public IP address from the resource. To learn how to "
        "do this, see aka.ms/deletepublicip."),
    )  # fmt: skip
    await http.done(f"{NETWORK}/networkInterfaces/one", nic(nodes))
    assert (await http.call("DELETE", f"{NETWORK}/publicIPAddresses/pip"))[0] == 202


@pytest.mark.parametrize("code", ["InUseNatGatewayCannotBeDeleted", "NatGatewayInUseBySubnet"])
async def test_nat_gateways_in_use(http, code):
    gateway = f"{NETWORK}/natGateways/nat"
    body = {**LOCATION, "sku": {"name": "Standard"}, "properties": {}}
    created = await http.done(gateway, body)
    reference = {"natGateway": {"id": created["id"]}}
    await http.done(VNET, vnet(nodes={"addressPrefix": "10.0.0.0/24", **reference}))
    http.emulator.store.set("natGatewayInUseCode", code)
    assert (await error(http, "DELETE", gateway))[:2] == (400, code)
    second = vnet("10.1.0.0/16", nodes={"addressPrefix": "10.1.0.0/24", **reference})
    assert (await error(http, "PUT", f"{NETWORK}/virtualNetworks/second", second))[1] == (
        "NatGatewayCannotBeUsedBySubnetsBelongingToDifferentVirtualNetworks"
    )
    changed = {**body, "sku": {"name": "StandardV2"}}
    assert (await error(http, "PUT", gateway, changed))[:2] == (409, "PropertyChangeNotAllowed")


async def test_bastion_grows_and_is_alone(http):
    bastion_subnet = await subnet(http, AzureBastionSubnet="10.0.0.0/26")
    address = await http.done(f"{NETWORK}/publicIPAddresses/pip", {**LOCATION, "properties": {}})
    item = {"name": "c", "properties": {"subnet": {"id": bastion_subnet}, "publicIPAddress": {"id": address["id"]}}}
    host = f"{NETWORK}/bastionHosts/b"

    def body(sku):
        return {**LOCATION, "sku": {"name": sku}, "properties": {"ipConfigurations": [item]}}

    shown = await http.put(host, body("Basic"))
    assert shown["properties"]["provisioningState"] == "Updating"
    http.advance(300)
    assert (await http.call("GET", host))[1]["properties"]["provisioningState"] == "Updating"
    http.advance(300)
    await http.done(host, body("Standard"))
    assert (await error(http, "PUT", host, body("Basic")))[1] == "BastionHostSkuDowngradeNotSupported"
    assert (await error(http, "PUT", f"{NETWORK}/bastionHosts/second", body("Basic")))[0] == 400
    assert (await error(http, "DELETE", f"{VNET}/subnets/AzureBastionSubnet"))[1] == "InUseSubnetCannotBeDeleted"


async def test_a_gateway_takes_half_an_hour(http):
    gateway_subnet = await subnet(http, GatewaySubnet="10.0.0.0/27", nodes="10.0.1.0/24")
    address = await http.done(f"{NETWORK}/publicIPAddresses/pip", {**LOCATION, "properties": {}})
    gateway = f"{NETWORK}/virtualNetworkGateways/g"

    def body(where):
        return {**LOCATION, "properties": {
            "gatewayType": "Vpn", "sku": {"name": "VpnGw1"}, "ipConfigurations": [{"name": "default", "properties": {
                "subnet": {"id": where}, "publicIPAddress": {"id": address["id"]}}}]}}  # fmt: skip

    nodes = gateway_subnet.replace("/GatewaySubnet", "/nodes")
    assert (await error(http, "PUT", gateway, body(nodes)))[:2] == (400, "VirtualNetworkGatewaySubnetInvalid")
    await http.put(gateway, body(gateway_subnet))
    http.advance(1200)
    assert (await http.call("GET", gateway))[1]["properties"]["provisioningState"] == "Updating"
    http.advance(1200)
    _, shown, _ = await http.call("GET", gateway)
    assert shown["properties"]["provisioningState"] == "Succeeded"
    assert (shown["properties"]["sku"]["capacity"], shown["properties"]["vpnType"]) == (2, "RouteBased")
    other = f"{NETWORK}/virtualNetworkGateways/other"
    assert (await error(http, "PUT", other, body(gateway_subnet)))[1] == "VirtualNetworkAlreadyHasGateway"


# -- preconditions and removal ---------------------------------------------------------------------------------------


async def test_preconditions_of_dns(http):
    zone = f"{NETWORK}/privateDnsZones/hpc.internal"
    await http.call("PUT", zone, {"location": "global"})
    http.advance(100)
    record = {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0.4"}]}}
    created = await http.put(f"{zone}/A/login", record)
    only_new = {"headers": {"If-None-Match": "*"}}
    assert (await error(http, "PUT", f"{zone}/A/login", record, **only_new))[:2] == (412, "PreconditionFailed")
    match = {"headers": {"If-Match": created["etag"]}}
    changed = await http.put(f"{zone}/A/login", record, **match)
    assert changed["etag"] != created["etag"]
    assert (await error(http, "PATCH", f"{zone}/A/login", record, **match))[:2] == (412, "PreconditionFailed")
    assert (await error(http, "DELETE", f"{zone}/A/login", **match))[:2] == (412, "PreconditionFailed")


async def test_a_group_with_all_of_it_goes(http):
    """Deletion takes what holds before what is held, whatever the order of creation."""
    there = f"{NETWORK}/virtualNetworks/there"
    nodes = await subnet(http, nodes="10.0.0.0/24", GatewaySubnet="10.0.1.0/27", resolver="10.0.2.0/28")
    await http.done(there, vnet("10.1.0.0/16"))
    for one, other in ((VNET, there), (there, VNET)):
        body = {"properties": {"remoteVirtualNetwork": {"id": ident(http, other)}}}
        await http.done(f"{one}/virtualNetworkPeerings/p", body)
    address = await http.done(f"{NETWORK}/publicIPAddresses/pip", {**LOCATION, "properties": {}})
    gateway = await http.done(f"{NETWORK}/virtualNetworkGateways/g", {**LOCATION, "properties": {
        "gatewayType": "Vpn", "sku": {"name": "VpnGw1"}, "ipConfigurations": [{"name": "default", "properties": {
            "subnet": {"id": nodes.replace("/nodes", "/GatewaySubnet")},
            "publicIPAddress": {"id": address["id"]}}}]}})  # fmt: skip
    site = await http.done(f"{NETWORK}/localNetworkGateways/l", {**LOCATION, "properties": {
        "gatewayIpAddress": "192.0.2.1"}})  # fmt: skip
    await http.done(f"{NETWORK}/connections/c", {**LOCATION, "properties": {
        "connectionType": "IPsec", "virtualNetworkGateway1": {"id": gateway["id"]},
        "localNetworkGateway2": {"id": site["id"]}}})  # fmt: skip
    await http.done(f"{NETWORK}/loadBalancers/lb", {**LOCATION, "properties": {
        "frontendIPConfigurations": [{"name": "f", "properties": {"subnet": {"id": nodes}}}],
        "backendAddressPools": [{"name": "p"}]}})  # fmt: skip
    pool = f"{ident(http, f'{NETWORK}/loadBalancers/lb')}/backendAddressPools/p"
    await http.done(f"{NETWORK}/networkInterfaces/n", nic(nodes, loadBalancerBackendAddressPools=[{"id": pool}]))
    await http.call("PUT", f"{NETWORK}/dnsResolvers/r", {**LOCATION, "properties": {
        "virtualNetwork": {"id": ident(http, VNET)}}})  # fmt: skip
    http.advance(100)
    await http.call("PUT", f"{NETWORK}/dnsResolvers/r/outboundEndpoints/o", {**LOCATION, "properties": {
        "subnet": {"id": nodes.replace("/nodes", "/resolver")}}})  # fmt: skip
    http.advance(300)
    endpoint = f"{ident(http, f'{NETWORK}/dnsResolvers/r')}/outboundEndpoints/o"
    await http.call("PUT", f"{NETWORK}/dnsForwardingRulesets/rules", {**LOCATION, "properties": {
        "dnsResolverOutboundEndpoints": [{"id": endpoint}]}})  # fmt: skip
    http.advance(100)
    await http.call("PUT", f"{NETWORK}/dnsForwardingRulesets/rules/virtualNetworkLinks/l", {
        "properties": {"virtualNetwork": {"id": ident(http, VNET)}}})  # fmt: skip
    http.advance(100)
    status, _, _ = await http.call("DELETE", "rg")
    assert status == 202
    for _ in range(200):
        http.advance(60)
        if (await http.call("HEAD", "rg"))[0] == 404:
            break
    left = [resource.id for resource in http.emulator.store.resources.values() if "/resourceGroups/rg" in resource.id]
    assert not left
