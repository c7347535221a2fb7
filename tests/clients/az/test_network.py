"""az network: a small HPC network from its subnets to its gateway."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import LOCATION

pytestmark = pytest.mark.clients

DEFAULT_RULES = [
    "AllowVnetInBound", "AllowAzureLoadBalancerInBound", "DenyAllInBound", "AllowVnetOutBound",
    "AllowInternetOutBound", "DenyAllOutBound",
]  # fmt: skip


@pytest.fixture
def network(az: Any, group: str) -> str:
    made = az(
        f"network vnet create -g {group} -n vnet --address-prefixes 10.40.0.0/16 --subnet-name nodes "
        "--subnet-prefixes 10.40.1.0/24"
    )
    assert made["newVNet"]["provisioningState"] == "Succeeded"
    assert made["newVNet"]["subnets"][0]["addressPrefix"] == "10.40.1.0/24"
    return group


def test_subnets_and_what_is_attached_to_them(az: Any, network: str) -> None:
    at = f"-g {network} --vnet-name vnet"
    delegated = az(
        f"network vnet subnet create {at} -n storage --address-prefixes 10.40.2.0/24 "
        "--delegations Microsoft.NetApp/volumes"
    )
    assert delegated["delegations"][0]["serviceName"] == "Microsoft.NetApp/volumes"
    assert az(f"network vnet subnet list {at} --query [].name") == ["nodes", "storage"]
    assert az(f"network vnet subnet list-available-ips {at} -n nodes")[0] == "10.40.1.4"
    assert az(f"network vnet check-ip-address -g {network} -n vnet --ip-address 10.40.1.9")["available"] is True

    az(f"network nsg create -g {network} -n nsg")
    rule = az(
        f"network nsg rule create -g {network} --nsg-name nsg -n ssh --priority 100 --access Allow --protocol Tcp "
        "--source-address-prefixes 10.0.0.0/8 --destination-port-ranges 22"
    )
    assert (rule["sourceAddressPrefix"], rule["destinationPortRange"], rule["direction"]) == (
        "10.0.0.0/8", "22", "Inbound",
    )  # fmt: skip
    assert az(f"network nsg rule update -g {network} --nsg-name nsg -n ssh --priority 110")["priority"] == 110
    named = az(f"network nsg rule list -g {network} --nsg-name nsg --include-default --query [].name")
    assert named == ["ssh", *DEFAULT_RULES]

    az(f"network route-table create -g {network} -n routes")
    route = az(
        f"network route-table route create -g {network} --route-table-name routes -n out --address-prefix 0.0.0.0/0 "
        "--next-hop-type VirtualAppliance --next-hop-ip-address 10.40.1.4"
    )
    assert route["nextHopIpAddress"] == "10.40.1.4"

    address = az(f"network public-ip create -g {network} -n natip --sku Standard --zone 1 2 3")["publicIp"]
    assert address["publicIPAllocationMethod"] == "Static"
    assert address["zones"] == ["1", "2", "3"]
    nat = az(f"network nat gateway create -g {network} -n nat --public-ip-addresses natip --idle-timeout 10")
    assert nat["idleTimeoutInMinutes"] == 10

    attached = az(
        f"network vnet subnet update {at} -n nodes --network-security-group nsg --route-table routes --nat-gateway nat"
    )
    for kind, name in (("networkSecurityGroup", "nsg"), ("routeTable", "routes"), ("natGateway", "nat")):
        assert attached[kind]["id"].endswith(f"/{name}")

    said = az.refused(f"network nsg delete -g {network} -n nsg")
    assert "(InUseNetworkSecurityGroupCannotBeDeleted)" in said
    said = az.refused(f"network vnet subnet create {at} -n overlap --address-prefixes 10.40.1.128/25")
    assert "(NetcfgSubnetRangesOverlap)" in said


def test_interfaces_and_load_balancers(az: Any, network: str) -> None:
    nic = az(f"network nic create -g {network} -n nic --vnet-name vnet --subnet nodes --accelerated-networking true")
    configuration = nic["NewNIC"]["ipConfigurations"][0]
    assert (configuration["privateIPAddress"], configuration["privateIPAllocationMethod"]) == ("10.40.1.4", "Dynamic")
    assert nic["NewNIC"]["enableAcceleratedNetworking"] is True
    at = f"-g {network} --nic-name nic"
    assert az(f"network nic ip-config create {at} -n second")["privateIPAddress"] == "10.40.1.5"
    moved = az(f"network nic ip-config update {at} -n ipconfig1 --private-ip-address 10.40.1.77")
    assert (moved["privateIPAddress"], moved["privateIPAllocationMethod"]) == ("10.40.1.77", "Static")

    made = az(
        f"network lb create -g {network} -n lb --sku Standard --vnet-name vnet --subnet nodes "
        "--frontend-ip-name front --backend-pool-name pool"
    )
    assert made["loadBalancer"]["provisioningState"] == "Succeeded"
    az(f"network lb probe create -g {network} --lb-name lb -n ssh --protocol Tcp --port 22")
    rule = az(
        f"network lb rule create -g {network} --lb-name lb -n ssh --protocol Tcp --frontend-port 22 --backend-port 22 "
        "--frontend-ip-name front --backend-pool-name pool --probe-name ssh"
    )
    assert rule["probe"]["id"].endswith("/probes/ssh")
    pool = f"network nic ip-config address-pool %s {at} --ip-config-name ipconfig1 --lb-name lb --address-pool pool"
    joined = az(pool % "add")
    assert joined["loadBalancerBackendAddressPools"][0]["id"].endswith("/backendAddressPools/pool")
    az(pool % "remove")

    said = az.refused(f"network vnet delete -g {network} -n vnet")
    assert "(InUseSubnetCannotBeDeleted) Subnet nodes is in use by " in said
    said = az.refused(f"network nic show-effective-route-table -g {network} -n nic")
    assert "must be attached to a running virtual machine" in said


def test_peerings_have_two_ends(az: Any, network: str) -> None:
    az(f"network vnet create -g {network} -n hub --address-prefixes 10.50.0.0/16")
    create = f"network vnet peering create -g {network} --allow-vnet-access"
    one = az(f"{create} -n to-hub --vnet-name vnet --remote-vnet hub")
    assert one["peeringState"] == "Initiated"
    other = az(f"{create} -n to-spoke --vnet-name hub --remote-vnet vnet")
    assert other["peeringState"] == "Connected"
    assert az(f"network vnet peering list -g {network} --vnet-name vnet --query [].peeringState") == ["Connected"]
    az(f"network vnet peering delete -g {network} --vnet-name hub -n to-spoke")
    assert az(f"network vnet peering list -g {network} --vnet-name vnet --query [].peeringState") == ["Disconnected"]


def test_private_names_and_private_endpoints(az: Any, network: str) -> None:
    zone = "privatelink.blob.core.windows.net"
    at = f"-g {network} -z {zone}"
    assert az(f"network private-dns zone create -g {network} -n {zone}")["location"] == "global"
    link = az(f"network private-dns link vnet create {at} -n link -v vnet -e false")
    assert link["virtualNetworkLinkState"] == "Completed"
    record = f"network private-dns record-set a %s {at} -n login"
    az(f"{record % 'add-record'} -a 10.40.1.5")
    az(f"{record % 'add-record'} -a 10.40.1.6")
    assert [one["ipv4Address"] for one in az(record % "show")["aRecords"]] == ["10.40.1.5", "10.40.1.6"]
    az(f"{record % 'remove-record'} -a 10.40.1.5")
    az(f"network private-dns record-set cname set-record {at} -n www -c login.example.org")
    named = az(f"network private-dns record-set list {at} --query [].name")
    assert sorted(named) == ["@", "login", "www"]

    account = az(f"storage account create -g {network} -n azprivateendpoint --sku Standard_LRS --kind StorageV2")["id"]
    endpoint = az(
        f"network private-endpoint create -g {network} -n pe --vnet-name vnet --subnet nodes --connection-name c "
        f"--private-connection-resource-id {account} --group-id blob"
    )
    state = endpoint["privateLinkServiceConnections"][0]["privateLinkServiceConnectionState"]
    assert state["status"] == "Approved"
    zones = az(
        f"network private-endpoint dns-zone-group create -g {network} --endpoint-name pe -n zones "
        f"--private-dns-zone {zone} --zone-name blob"
    )
    assert zones["privateDnsZoneConfigs"][0]["recordSets"][0]["recordSetName"] == "azprivateendpoint"
    assert "azprivateendpoint" in az(f"network private-dns record-set a list {at} --query [].name")
    assert len(az(f"network private-endpoint-connection list --id {account}")) == 1
    az(f"network private-endpoint delete -g {network} -n pe")
    assert az(f"network private-endpoint-connection list --id {account}") == []


def test_a_gateway_to_the_site(az: Any, network: str) -> None:
    az(f"network vnet subnet create -g {network} --vnet-name vnet -n GatewaySubnet --address-prefixes 10.40.255.0/27")
    az(f"network public-ip create -g {network} -n gwip --sku Standard --zone 1 2 3")
    gateway = az(
        f"network vnet-gateway create -g {network} -n gw --public-ip-addresses gwip --vnet vnet --gateway-type Vpn "
        "--vpn-type RouteBased --sku VpnGw2AZ"
    )
    assert gateway["vnetGateway"]["provisioningState"] == "Succeeded"
    az(
        f"network local-gateway create -g {network} -n site --gateway-ip-address 203.0.113.7 "
        "--local-address-prefixes 192.168.0.0/16"
    )
    az(
        f"network vpn-connection create -g {network} -n conn --vnet-gateway1 gw --local-gateway2 site "
        "--shared-key abc123"
    )
    assert az(f"network vpn-connection show -g {network} -n conn --query connectionStatus") == "Connected"
    assert az(f"network vpn-connection shared-key show -g {network} --connection-name conn")["value"] == "abc123"


def test_what_a_region_offers_and_what_is_used_of_it(az: Any, network: str) -> None:
    usage = az(f"network list-usages -l {LOCATION} --query \"[?name.value=='VirtualNetworks'] | [0]\"")
    assert int(usage["currentValue"]) >= 1
    assert usage["limit"] == "1000"
    assert az(f"network list-service-tags -l {LOCATION} --query \"values[?name=='Storage'] | length(@)\"") == 1
    assert "Microsoft.NetApp/volumes" in az(
        f"network vnet subnet list-available-delegations -l {LOCATION} --query [].serviceName"
    )
    assert "Microsoft.Storage" in az(f"network vnet list-endpoint-services -l {LOCATION} --query [].name")
