"""Every resource type through the real synchronous SDK clients: create, get, list, update, delete."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from azure_emulator import SUBSCRIPTION, TENANT

LOCATION = "westeurope"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
TIB = 2**40


def vnet_body(**subnets: str | dict[str, Any]) -> dict[str, Any]:
    listed = [
        {"name": name, "properties": {"addressPrefix": subnet} if isinstance(subnet, str) else subnet}
        for name, subnet in subnets.items()
    ]
    return {
        "location": LOCATION,
        "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": listed},
    }


def make_subnet(sdk: Any, group: str, prefix: str = "10.0.0.0/24", name: str = "nodes", **extra: Any) -> str:
    body = vnet_body(**{name: {"addressPrefix": prefix, **extra}})
    vnet = sdk.network.virtual_networks.begin_create_or_update(group, "vnet", body).result()
    return str(vnet.subnets[0].id)


def vm_body(subnet_id: str, name: str = "vm", **properties: Any) -> dict[str, Any]:
    return {
        "location": LOCATION,
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_HB176rs_v4"},
            "storageProfile": {
                "imageReference": {
                    "publisher": "microsoft-dsvm",
                    "offer": "ubuntu-hpc",
                    "sku": "2204",
                    "version": "latest",
                },
                "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
            },
            "osProfile": {"computerName": name, "adminUsername": "hpcadmin", "customData": "I2Nsb3Vk"},
            "networkProfile": {
                "networkApiVersion": "2022-11-01",
                "networkInterfaceConfigurations": [
                    {
                        "name": f"{name}-nic",
                        "properties": {
                            "deleteOption": "Delete",
                            "ipConfigurations": [{"name": "main", "properties": {"subnet": {"id": subnet_id}}}],
                        },
                    }
                ],
            },
            **properties,
        },
    }


def code_of(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    assert error.value.error is not None
    return str(error.value.error.code)


def test_resource_groups(sdk, group):
    groups = sdk.resources.resource_groups
    assert groups.check_existence(group)
    assert not groups.check_existence("nowhere")
    updated = groups.update(group, {"tags": {"costCenter": "4711"}})
    assert updated.tags == {"costCenter": "4711"}
    assert updated.location == LOCATION
    assert [found.name for found in groups.list(filter="tagName eq 'costCenter' and tagValue eq '4711'")] == [group]
    with pytest.raises(ResourceNotFoundError) as error:
        groups.get("nowhere")
    assert code_of(error) == "ResourceGroupNotFound"


def test_resources_are_listed_by_tag_and_type(sdk, group):
    sdk.network.public_ip_addresses.begin_create_or_update(
        group, "pip", {"location": LOCATION, "tags": {"owner": "climate"}, "properties": {}}
    ).result()
    sdk.identity.user_assigned_identities.create_or_update(group, "id", {"location": LOCATION})
    listed = sdk.resources.resources.list_by_resource_group
    assert {found.name for found in listed(group)} == {"pip", "id"}
    assert [found.name for found in listed(group, filter="tagName eq 'owner' and tagValue eq 'climate'")] == ["pip"]
    by_type = listed(group, filter="resourceType eq 'Microsoft.ManagedIdentity/userAssignedIdentities'")
    assert [found.name for found in by_type] == ["id"]


def test_network(sdk, group):
    network = sdk.network
    rule = {
        "name": "ssh",
        "properties": {
            "priority": 100,
            "direction": "Inbound",
            "access": "Allow",
            "protocol": "Tcp",
            "sourcePortRange": "*",
            "destinationPortRange": "22",
            "sourceAddressPrefix": "10.0.0.0/8",
            "destinationAddressPrefix": "*",
        },
    }
    nsg = network.network_security_groups.begin_create_or_update(
        group, "nsg", {"location": LOCATION, "properties": {"securityRules": [rule]}}
    ).result()
    assert [found.name for found in nsg.security_rules] == ["ssh"]
    assert len(nsg.default_security_rules) == 6
    network.security_rules.begin_create_or_update(
        group, "nsg", "https", {"properties": {**rule["properties"], "priority": 110, "destinationPortRange": "443"}}
    ).result()
    assert {found.name for found in network.security_rules.list(group, "nsg")} == {"ssh", "https"}

    pip = network.public_ip_addresses.begin_create_or_update(
        group, "pip", {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {}}
    ).result()
    assert pip.ip_address
    nat = network.nat_gateways.begin_create_or_update(
        group,
        "nat",
        {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": pip.id}]}},
    ).result()
    vnet = network.virtual_networks.begin_create_or_update(group, "vnet", vnet_body(first="10.0.0.0/24")).result()
    subnet = network.subnets.begin_create_or_update(
        group,
        "vnet",
        "second",
        {
            "properties": {
                "addressPrefix": "10.0.1.0/24",
                "networkSecurityGroup": {"id": nsg.id},
                "natGateway": {"id": nat.id},
            }
        },
    ).result()
    assert [found.name for found in network.virtual_networks.get(group, "vnet").subnets] == ["first", "second"]
    assert [found.id for found in network.network_security_groups.get(group, "nsg").subnets] == [subnet.id]
    assert [found.id for found in network.nat_gateways.get(group, "nat").subnets] == [subnet.id]
    assert network.public_ip_addresses.get(group, "pip").nat_gateway.id == nat.id

    nic = network.network_interfaces.begin_create_or_update(
        group,
        "nic",
        {
            "location": LOCATION,
            "properties": {"ipConfigurations": [{"name": "main", "properties": {"subnet": {"id": subnet.id}}}]},
        },
    ).result()
    assert nic.ip_configurations[0].private_ip_address == "10.0.1.4"
    for refused, code in (
        (lambda: network.subnets.begin_delete(group, "vnet", "second"), "InUseSubnetCannotBeDeleted"),
        (lambda: network.virtual_networks.begin_delete(group, "vnet"), "InUseSubnetCannotBeDeleted"),
        (
            lambda: network.network_security_groups.begin_delete(group, "nsg"),
            "InUseNetworkSecurityGroupCannotBeDeleted",
        ),
        (lambda: network.public_ip_addresses.begin_delete(group, "pip"), "PublicIPAddressCannotBeDeleted"),
        (lambda: network.nat_gateways.begin_delete(group, "nat"), "InUseNatGatewayCannotBeDeleted"),
    ):
        with pytest.raises(HttpResponseError) as error:
            refused()
        assert code_of(error) == code
    assert network.virtual_networks.update_tags(group, "vnet", {"tags": {"a": "b"}}).tags == {"a": "b"}
    assert vnet.etag != network.virtual_networks.get(group, "vnet").etag
    network.network_interfaces.begin_delete(group, "nic").result()
    network.subnets.begin_delete(group, "vnet", "second").result()
    network.nat_gateways.begin_delete(group, "nat").result()
    network.public_ip_addresses.begin_delete(group, "pip").result()
    network.network_security_groups.begin_delete(group, "nsg").result()
    network.virtual_networks.begin_delete(group, "vnet").result()
    assert not list(sdk.resources.resources.list_by_resource_group(group))


def test_route_tables(sdk, group):
    routes = [{"name": "out", "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "Internet"}}]
    table = sdk.network.route_tables.begin_create_or_update(
        group, "table", {"location": LOCATION, "properties": {"routes": routes}}
    ).result()
    assert [route.name for route in table.routes] == ["out"]
    make_subnet(sdk, group, routeTable={"id": table.id})
    with pytest.raises(HttpResponseError) as error:
        sdk.network.route_tables.begin_delete(group, "table")
    assert code_of(error) == "InUseRouteTableCannotBeDeleted"
    with pytest.raises(HttpResponseError) as error:
        make_subnet(sdk, group, routeTable={"id": f"{table.id}-gone"})
    assert code_of(error) == "InvalidResourceReference"


def test_bastion(sdk, group):
    subnet = make_subnet(sdk, group, "10.0.0.0/26", "AzureBastionSubnet")
    pip = sdk.network.public_ip_addresses.begin_create_or_update(
        group, "pip", {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {}}
    ).result()
    configuration = {"name": "main", "properties": {"subnet": {"id": subnet}, "publicIPAddress": {"id": pip.id}}}
    body = {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {"ipConfigurations": [configuration]}}
    bastion = sdk.network.bastion_hosts.begin_create_or_update(group, "bastion", body).result()
    assert bastion.dns_name
    assert [found.name for found in sdk.network.bastion_hosts.list_by_resource_group(group)] == ["bastion"]
    sdk.network.bastion_hosts.begin_delete(group, "bastion").result()


def test_private_endpoint_and_dns(sdk, group):
    subnet = make_subnet(sdk, group)
    account = sdk.storage.storage_accounts.begin_create(
        group, "endpointaccount", {"location": LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    ).result()
    zone_name = "privatelink.blob.core.windows.net"
    zone = sdk.dns.private_zones.begin_create_or_update(group, zone_name, {"location": "global"}).result()
    vnet_id = subnet.rsplit("/subnets/", 1)[0]
    link = sdk.dns.virtual_network_links.begin_create_or_update(
        group, zone_name, "link", {"location": "global", "properties": {"virtualNetwork": {"id": vnet_id}}}
    ).result()
    assert link.virtual_network_link_state == "Completed"
    connection = {"name": "blob", "properties": {"privateLinkServiceId": account.id, "groupIds": ["blob"]}}
    body = {
        "location": LOCATION,
        "properties": {"subnet": {"id": subnet}, "privateLinkServiceConnections": [connection]},
    }
    endpoint = sdk.network.private_endpoints.begin_create_or_update(group, "pe", body).result()
    address = endpoint.custom_dns_configs[0].ip_addresses[0]
    shown = sdk.storage.storage_accounts.get_properties(group, "endpointaccount")
    assert [one.private_endpoint.id for one in shown.private_endpoint_connections] == [endpoint.id]
    nic = sdk.network.network_interfaces.get(group, endpoint.network_interfaces[0].id.rsplit("/", 1)[1])
    assert nic.ip_configurations[0].private_ip_address == address
    sdk.network.private_dns_zone_groups.begin_create_or_update(
        group,
        "pe",
        "default",
        {"properties": {"privateDnsZoneConfigs": [{"name": "blob", "properties": {"privateDnsZoneId": zone.id}}]}},
    ).result()
    record = sdk.dns.record_sets.get(group, zone_name, "A", "endpointaccount")
    assert record.a_records[0].ipv4_address == address
    sdk.dns.record_sets.create_or_update(
        group, zone_name, "A", "login", {"properties": {"ttl": 60, "aRecords": [{"ipv4Address": "10.0.0.9"}]}}
    )
    names = {found.name for found in sdk.dns.record_sets.list(group, zone_name)}
    assert names == {"@", "endpointaccount", "login"}
    with pytest.raises(HttpResponseError) as error:
        sdk.dns.private_zones.begin_delete(group, zone_name)
    assert code_of(error) == "CannotDeleteResource"
    sdk.network.private_endpoints.begin_delete(group, "pe").result()
    assert {found.name for found in sdk.dns.record_sets.list(group, zone_name)} == {"@", "login"}
    assert not list(sdk.network.network_interfaces.list(group))


def test_storage(sdk, group):
    accounts = sdk.storage.storage_accounts
    body = {
        "location": LOCATION,
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "properties": {"isHnsEnabled": True, "isNfsV3Enabled": True},
    }
    assert accounts.check_name_availability({"name": "scratchdata"}).name_available
    account = accounts.begin_create(group, "scratchdata", body).result()
    assert account.primary_endpoints.blob == "https://scratchdata.blob.core.windows.net/"
    assert not accounts.check_name_availability({"name": "scratchdata"}).name_available
    assert accounts.update(group, "scratchdata", {"tags": {"a": "b"}}).tags == {"a": "b"}
    assert len(accounts.list_keys(group, "scratchdata").keys_property) == 2
    assert sdk.storage.blob_services.get_service_properties(group, "scratchdata").name == "default"
    sdk.storage.blob_containers.create(group, "scratchdata", "results", {})
    assert [found.name for found in sdk.storage.blob_containers.list(group, "scratchdata")] == ["results"]
    sdk.storage.blob_containers.delete(group, "scratchdata", "results")
    accounts.delete(group, "scratchdata")
    assert not list(accounts.list_by_resource_group(group))


def test_identity_and_roles(sdk, group):
    identity = sdk.identity.user_assigned_identities.create_or_update(group, "id", {"location": LOCATION})
    assert identity.tenant_id == TENANT
    scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
    role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{CONTRIBUTOR}"
    name = str(uuid.uuid4())
    properties = {"roleDefinitionId": role, "principalId": identity.principal_id, "principalType": "ServicePrincipal"}
    assignments = sdk.authorization.role_assignments
    created = assignments.create(scope, name, {"properties": properties})
    assert created.scope == scope
    assert assignments.create(scope, name, {"properties": properties}).id == created.id
    with pytest.raises(HttpResponseError) as error:
        assignments.create(scope, str(uuid.uuid4()), {"properties": properties})
    assert code_of(error) == "RoleAssignmentExists"
    with pytest.raises(HttpResponseError) as error:
        assignments.create(scope, name, {"properties": {**properties, "principalId": str(uuid.uuid4())}})
    assert code_of(error) == "RoleAssignmentUpdateNotPermitted"
    found = assignments.list_for_scope(scope, filter=f"principalId eq '{identity.principal_id}'")
    assert [one.name for one in found] == [name]
    assert assignments.delete(scope, name).name == name
    assert assignments.delete(scope, name) is None
    roles = sdk.authorization.role_definitions.list(scope, filter="roleName eq 'Contributor'")
    assert [one.name for one in roles] == [CONTRIBUTOR]
    sdk.identity.user_assigned_identities.delete(group, "id")


def test_key_vault(sdk, group):
    vaults = sdk.key_vault.vaults
    body = {"location": LOCATION, "properties": {"tenantId": TENANT, "sku": {"family": "A", "name": "standard"}}}
    assert vaults.begin_create_or_update(group, "kv-climate", body).result().properties.vault_uri
    vaults.delete(group, "kv-climate")
    assert vaults.get_deleted("kv-climate", LOCATION).name == "kv-climate"
    with pytest.raises(HttpResponseError) as error:
        vaults.begin_create_or_update(group, "kv-climate", body)
    assert (error.value.status_code, code_of(error)) == (409, "ConflictError")
    recover = {"location": LOCATION, "properties": {**body["properties"], "createMode": "recover"}}
    vaults.begin_create_or_update(group, "kv-climate", recover).result()
    vaults.delete(group, "kv-climate")
    vaults.begin_purge_deleted("kv-climate", LOCATION).result()
    assert not [found for found in vaults.list_deleted() if found.name == "kv-climate"]
    vaults.begin_create_or_update(group, "kv-climate", body).result()


def test_virtual_machine(sdk, group):
    machines = sdk.compute.virtual_machines
    subnet = make_subnet(sdk, group)
    vm = machines.begin_create_or_update(group, "vm", vm_body(subnet)).result()
    assert vm.storage_profile.image_reference.exact_version == "22.04.2025081901"
    assert vm.os_profile.custom_data is None
    assert vm.vm_id
    nic = sdk.network.network_interfaces.get(group, "vm-nic")
    assert nic.virtual_machine.id == vm.id
    assert nic.ip_configurations[0].private_ip_address == "10.0.0.4"
    disk = sdk.compute.disks.list_by_resource_group(group).next()
    assert (disk.managed_by, disk.disk_state) == (vm.id, "Attached")
    view = machines.get(group, "vm", expand="instanceView").instance_view
    assert [status.code for status in view.statuses] == ["ProvisioningState/succeeded", "PowerState/running"]

    machines.begin_deallocate(group, "vm").result()
    assert machines.instance_view(group, "vm").statuses[-1].code == "PowerState/deallocated"
    resized = machines.begin_update(
        group, "vm", {"properties": {"hardwareProfile": {"vmSize": "Standard_HB120rs_v3"}}}
    ).result()
    assert resized.hardware_profile.vm_size == "Standard_HB120rs_v3"
    machines.begin_start(group, "vm").result()
    with pytest.raises(HttpResponseError) as error:
        machines.begin_update(group, "vm", {"properties": {"osProfile": {"customData": "b3RoZXI="}}})
    assert code_of(error) == "PropertyChangeNotAllowed"

    machines.begin_power_off(group, "vm").result()
    machines.begin_start(group, "vm").result()
    command = {"location": LOCATION, "properties": {"source": {"script": "hostname"}}}
    sdk.compute.virtual_machine_run_commands.begin_create_or_update(group, "vm", "hello", command).result()
    shown = sdk.compute.virtual_machine_run_commands.get_by_virtual_machine(group, "vm", "hello", expand="instanceView")
    assert (shown.instance_view.execution_state, shown.instance_view.exit_code) == ("Succeeded", 0)
    machines.begin_delete(group, "vm").result()
    assert not list(sdk.compute.disks.list_by_resource_group(group))
    assert not list(sdk.network.network_interfaces.list(group))


def test_flexible_scale_set(sdk, group):
    subnet = make_subnet(sdk, group)
    sets = sdk.compute.virtual_machine_scale_sets
    body = {
        "location": LOCATION,
        "properties": {"orchestrationMode": "Flexible", "platformFaultDomainCount": 1, "singlePlacementGroup": True},
    }
    scale_set = sets.begin_create_or_update(group, "nodes", body).result()
    attached = vm_body(subnet, "node-1", virtualMachineScaleSet={"id": scale_set.id})
    sdk.compute.virtual_machines.begin_create_or_update(group, "node-1", attached).result()
    alone = vm_body(subnet, "alone")
    sdk.compute.virtual_machines.begin_create_or_update(group, "alone", alone).result()
    instances = sdk.compute.virtual_machine_scale_set_vms.list(group, "nodes")
    assert [instance.instance_id for instance in instances] == ["node-1"]
    found = sdk.compute.virtual_machines.list(group, filter=f"'virtualMachineScaleSet/id' eq '{scale_set.id}'")
    assert [vm.name for vm in found] == ["node-1"]
    assert sets.begin_update(group, "nodes", {"tags": {"a": "b"}}).result().tags == {"a": "b"}
    sets.begin_delete(group, "nodes").result()
    assert [vm.name for vm in sdk.compute.virtual_machines.list(group)] == ["alone"]


def test_scale_set_with_a_profile(sdk, group):
    subnet = make_subnet(sdk, group)
    vm = vm_body(subnet)["properties"]
    profile = {
        "osProfile": {"computerNamePrefix": "n", "adminUsername": "hpcadmin"},
        "storageProfile": vm["storageProfile"],
        "networkProfile": vm["networkProfile"],
    }
    body = {
        "location": LOCATION,
        "sku": {"name": "Standard_D2s_v5", "capacity": 3},
        "properties": {
            "orchestrationMode": "Flexible",
            "platformFaultDomainCount": 1,
            "virtualMachineProfile": profile,
        },
    }
    sets = sdk.compute.virtual_machine_scale_sets
    sets.begin_create_or_update(group, "pool", body).result()
    names = [vm.instance_id for vm in sdk.compute.virtual_machine_scale_set_vms.list(group, "pool")]
    assert len(names) == 3
    sets.begin_delete_instances(group, "pool", {"instanceIds": names[:1]}).result()
    sets.begin_update(group, "pool", {"sku": {"name": "Standard_D2s_v5", "capacity": 1}}).result()
    assert len(list(sdk.compute.virtual_machine_scale_set_vms.list(group, "pool"))) == 1


def test_images_sizes_and_usages(sdk):
    images = sdk.compute.virtual_machine_images
    for publisher, offer, sku in (
        ("microsoft-dsvm", "ubuntu-hpc", "2204"),
        ("almalinux", "almalinux-hpc", "8_10-hpc-gen2"),
        ("Canonical", "ubuntu-24_04-lts", "server"),
        ("Debian", "debian-12", "12-gen2"),
    ):
        versions = [image.name for image in images.list(LOCATION, publisher, offer, sku)]
        newest = images.list(LOCATION, publisher, offer, sku, top=1, orderby="name desc")
        assert [image.name for image in newest] == versions[-1:]
        assert images.get(LOCATION, publisher, offer, sku, versions[0]).os_disk_image.operating_system == "Linux"
    with pytest.raises(ResourceNotFoundError):
        images.list(LOCATION, "nobody", "nothing", "none")
    sizes = {size.name: size for size in sdk.compute.resource_skus.list(filter=f"location eq '{LOCATION}'")}
    values = {one.name: one.value for one in sizes["Standard_HB176-24rs_v4"].capabilities}
    assert (values["vCPUs"], values["vCPUsAvailable"], values["RdmaEnabled"]) == ("176", "24", "True")
    assert sizes["Standard_HB120rs_v3"].family == "standardHBv3Family"
    usages = {usage.name.value: usage for usage in sdk.compute.usage.list(LOCATION)}
    assert usages["standardHBv4Family"].name.localized_value == "Standard HBv4 Family vCPUs"


def test_netapp_files(sdk, group):
    netapp = sdk.netapp
    delegation = {"name": "netapp", "properties": {"serviceName": "Microsoft.NetApp/volumes"}}
    subnet = make_subnet(sdk, group, "10.0.0.0/28", "netapp", delegations=[delegation])
    netapp.accounts.begin_create_or_update(group, "account", {"location": LOCATION}).result()
    pool = {"location": LOCATION, "properties": {"serviceLevel": "Premium", "size": 4 * TIB}}
    assert netapp.pools.begin_create_or_update(group, "account", "pool", pool).result().name == "account/pool"
    volume = {"location": LOCATION, "properties": {"creationToken": "home", "usageThreshold": TIB, "subnetId": subnet}}
    created = netapp.volumes.begin_create_or_update(group, "account", "pool", "home", volume).result()
    assert created.mount_targets[0].ip_address == "10.0.0.4"
    grown = netapp.volumes.begin_update(group, "account", "pool", "home", {"properties": {"usageThreshold": 3 * TIB}})
    assert grown.result().usage_threshold == 3 * TIB
    with pytest.raises(HttpResponseError) as error:
        netapp.pools.begin_update(group, "account", "pool", {"properties": {"size": 2 * TIB}})
    assert code_of(error) == "PoolSizeTooSmall"
    ultra = {"location": LOCATION, "properties": {"serviceLevel": "Ultra", "size": 4 * TIB}}
    target = netapp.pools.begin_create_or_update(group, "account", "ultra", ultra).result()
    netapp.volumes.begin_pool_change(group, "account", "pool", "home", {"newPoolResourceId": target.id}).result()
    assert netapp.volumes.get(group, "account", "ultra", "home").service_level == "Ultra"
    for refused in (
        lambda: netapp.accounts.begin_delete(group, "account"),
        lambda: netapp.pools.begin_delete(group, "account", "ultra"),
    ):
        with pytest.raises(HttpResponseError) as error:
            refused()
        assert (error.value.status_code, code_of(error)) == (409, "CannotDeleteResource")
    netapp.volumes.begin_delete(group, "account", "ultra", "home").result()
    netapp.pools.begin_delete(group, "account", "ultra").result()


def test_managed_lustre(sdk, group):
    subnet = make_subnet(sdk, group)
    body = {
        "location": LOCATION,
        "sku": {"name": "AMLFS-Durable-Premium-250"},
        "zones": ["1"],
        "properties": {
            "storageCapacityTiB": 7,
            "filesystemSubnet": subnet,
            "maintenanceWindow": {"dayOfWeek": "Saturday", "timeOfDayUTC": "22:00"},
        },
    }
    systems = sdk.lustre.aml_filesystems
    created = systems.begin_create_or_update(group, "scratch", body).result()
    assert created.properties.storage_capacity_ti_b == 8
    assert created.properties.client_info.mgs_address == "10.0.0.4"
    window = {"dayOfWeek": "Sunday", "timeOfDayUTC": "01:00"}
    systems.begin_update(group, "scratch", {"properties": {"maintenanceWindow": window}}).result()
    with pytest.raises(HttpResponseError):
        systems.begin_update(group, "scratch", {"properties": {"storageCapacityTiB": 16}})
    job = sdk.lustre.expansion_jobs.begin_create_or_update(
        group, "scratch", "grow", {"location": LOCATION, "properties": {"newStorageCapacityTiB": 16}}
    ).result()
    assert job.properties.status.state == "Completed"
    assert systems.get(group, "scratch").properties.current_storage_capacity_ti_b == 16
    systems.begin_delete(group, "scratch").result()
