"""Golden errors: each refusal of Azure that we know of, provoked through the real SDK client and compared.

Every line is one error, named after its code; golden_errors.yaml says what the exception must then be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.core.exceptions import HttpResponseError
from sdk_clients import Sdk, finish
from serving import serving

from azure_emulator import SUBSCRIPTION, Emulator

from .golden_world import (
    ANOTHER_SUBSCRIPTION,
    AT,
    FROM_IMAGE,
    IMAGE,
    OPERATIONS,
    OTHER_IMAGE,
    OTHER_KEY,
    PROFILE,
    SIX_RULES,
    SPEED,
    TIB,
    Refused,
    World,
    another_interface,
    assigned_already,
    assigned_to_another,
    by_fault,
    changed_meanwhile,
    disallowed,
    ephemeral,
    full_of,
    group_being_deleted,
    group_deletion_blocked,
    in_use,
    locked,
    moved,
    name_taken,
    network_writes,
    new_principal,
    no_room,
    no_room_in_one_cluster,
    os_disk,
    over_quota,
    pool_not_ready,
    restricted,
    shrink_share,
    spot,
    subnet_full,
    subnet_updating,
    throttled,
    to_another_account,
    too_often,
    two_networks,
    two_volumes,
    two_writes,
    unauthorized,
    unauthorized_link,
    unregistered,
    up_and_down,
)

EXPECTED = yaml.safe_load((Path(__file__).parent / "golden_errors.yaml").read_text())
NAMESPACES = ("Network", "Compute", "NetApp", "StorageCache")

# fmt: off
PROVOKED: Mapping[str, Mapping[str, Callable[[World], Any]]] = {
    "errors": {
        # ARM: what is not there, on its way out, locked, forbidden, not registered
        "ResourceNotFound": lambda w: w.network.virtual_networks.get(w.group, "none"),
        "ResourceGroupNotFound": lambda w: w.network.virtual_networks.get("nowhere", "vnet"),
        "ParentResourceNotFound": lambda w: w.put_subnet("nodes", "none", addressPrefix="10.0.0.0/24"),
        "InvalidResourceReference": lambda w: w.put_nic(w.id("Microsoft.Network/virtualNetworks/none/subnets/nodes")),
        "ResourceGroupBeingDeleted": group_being_deleted,
        "ScopeLocked delete": locked("CanNotDelete"),
        "ScopeLocked write": locked("ReadOnly"),
        "AuthorizationFailed": unauthorized,
        "LinkedAuthorizationFailed": unauthorized_link,
        "MissingSubscriptionRegistration": unregistered,
        "NoRegisteredProviderFound": lambda w: w.compute.usage.list("atlantis"),
        "LocationNotAvailableForResourceType": lambda w: w.put_storage(location="atlantis"),
        "InvalidApiVersionParameter": lambda w: w.send("GET", w.root, version="2009-01-01"),
        "ResourceGroupDeletionBlocked": group_deletion_blocked,
        "ResourceQuotaExceeded":
            lambda w: (w.set(resourcesPerGroup=1), w.vnet("first"), w.vnet())[2],
        "RequestDisallowedByPolicy": disallowed,
        "PropertyChangeNotAllowed vm":
            lambda w: w.patch_machine(osProfile={"linuxConfiguration": {"ssh": {"publicKeys": [OTHER_KEY]}}}),
        "PreconditionFailed etag": changed_meanwhile,
        # Network: one write at a time, what is in use, addresses
        "AnotherOperationInProgress at once": two_writes("refused"),
        "AnotherOperationInProgress at its end": two_writes("failed"),
        "RetryableError": subnet_updating,
        "RetryableErrorDueToAnotherOperation":
            lambda w: by_fault(w, status=429, code="RetryableErrorDueToAnotherOperation", message="Cannot proceed."),
        "InUseSubnetCannotBeDeleted deleted":
            lambda w: (w.nic(w.subnet()), w.network.subnets.begin_delete(w.group, "vnet", "nodes"))[1],
        "InUseSubnetCannotBeDeleted left out": lambda w: (w.nic(w.subnet()), w.vnet(other="10.0.1.0/24"))[1],
        "InUsePrefixCannotBeDeleted":
            lambda w: (w.nic(w.subnet()), w.put_subnet("nodes", addressPrefix="10.0.9.0/24"))[1],
        "InUseNetworkSecurityGroupCannotBeDeleted":
            in_use("networkSecurityGroup", "network_security_groups", World.security_group),
        "InUseRouteTableCannotBeDeleted": in_use("routeTable", "route_tables", World.route_table),
        "InUseNatGatewayCannotBeDeleted": in_use("natGateway", "nat_gateways", World.nat),
        "PublicIPAddressCannotBeDeleted":
            lambda w: (w.nat(), w.network.public_ip_addresses.begin_delete(w.group, "pip"))[1],
        "SubnetIsFull": subnet_full,
        "PrivateIPAddressNotInSubnet":
            lambda w: w.put_nic(w.subnet(), privateIPAllocationMethod="Static", privateIPAddress="10.0.9.9"),
        "SubnetsNotInSameVnet": two_networks,
        # Compute: capacity, quota
        "SkuNotAvailable": restricted,
        "AllocationFailed vm": no_room(),
        "AllocationFailed one cluster": no_room_in_one_cluster,
        "ZonalAllocationFailed": no_room(zone="2"),
        "OverconstrainedAllocationRequest": no_room(spot=True, ephemeral=True),
        "OverconstrainedZonalAllocationRequest": no_room(zone="2", spot=True, ephemeral=True),
        "OperationNotAllowed family": over_quota("standardDSv5Family"),
        "OperationNotAllowed regional": over_quota("cores"),
        "OperationNotAllowed spot": over_quota("lowPriorityCores", priority="Spot"),
        "QuotaExceeded": lambda w: (w.set(quotaErrorCode="QuotaExceeded"), over_quota("cores")(w))[1],
        # Rights
        "PrincipalNotFound": new_principal,
        "RoleAssignmentExists": assigned_already,
        "RoleAssignmentUpdateNotPermitted": assigned_to_another,
        # NetApp and storage
        "PreconditionFailed pool": pool_not_ready,
        "Conflict": two_volumes,
        "InvalidValueReceived volume": lambda w: (w.pool(), w.put_volume(gib=0))[1],
        "StorageAccountAlreadyTaken": name_taken,
        # Failures of Azure itself
        "InternalServerError at once": by_fault,
        "InternalServerError at its end": lambda w: (w.fault(path="/vnet$", operation={}), w.vnet())[1],
        "ServerTimeout":
            lambda w: by_fault(w, status=504, code="ServerTimeout", message="The server did not answer in time."),
        # Too many requests (3.4)
        "SubscriptionRequestsThrottled reads": throttled("reads"),
        "SubscriptionRequestsThrottled writes": throttled("writes"),
        "SubscriptionRequestsThrottled deletes": throttled("deletes"),
        "TooManyRequests network": network_writes,
        "OperationNotAllowed set": too_often(lambda w: w.compute.virtual_machine_scale_sets.get(w.group, "none"), 36),
        "OperationNotAllowed set view":
            too_often(lambda w: w.compute.virtual_machine_scale_sets.get_instance_view(w.group, "none"), 30),
        "OperationNotAllowed put set":
            too_often(lambda w: w.send("PUT", w.id("Microsoft.Compute/virtualMachineScaleSets/none"), {}), 12),
        "OperationNotAllowed get vm": too_often(lambda w: w.compute.virtual_machines.get(w.group, "none"), 36),
        "OperationNotAllowed put vm":
            too_often(lambda w: w.send("PUT", w.id("Microsoft.Compute/virtualMachines/none"), {}), 12),
        "OperationNotAllowed update vm":
            too_often(lambda w: w.compute.virtual_machines.begin_update(w.group, "none", {"tags": {}}), 12),
        "OperationNotAllowed delete vm":
            too_often(lambda w: w.compute.virtual_machines.begin_delete(w.group, "none"), 12),
        "OperationNotAllowed operation":
            too_often(lambda w: w.send("GET", f"{w.subscription}/{OPERATIONS}/none"), 45),
    },
    "scale sets": {
        "PropertyChangeNotAllowed orchestrationMode": lambda w: w.change_set({"mode": "Uniform"}, mode="Flexible"),
        "PropertyChangeNotAllowed platformFaultDomainCount": lambda w: w.change_set(platformFaultDomainCount=2),
        "PropertyChangeNotAllowed singlePlacementGroup":
            lambda w: w.change_set(before={"singlePlacementGroup": False}, singlePlacementGroup=True),
        "PropertyChangeNotAllowed zones": lambda w: w.change_set(before={"zones": ["1", "2"]}, zones=["1"]),
        "PropertyChangeNotAllowed priority":
            lambda w: w.change_set(before={"profile": {"priority": "Spot"}}, profile={"priority": "Regular"}),
        "PropertyChangeNotAllowed evictionPolicy":
            lambda w: w.change_set(before={"profile": spot("Delete")}, profile=spot("Deallocate")),
        "PropertyChangeNotAllowed osDisk":
            lambda w: w.change_set(before={"profile": os_disk("Premium_LRS")}, profile=os_disk("StandardSSD_LRS")),
        "PropertyChangeNotAllowed proximityPlacementGroup":
            lambda w: w.change_set({"mode": "Flexible"}, proximityPlacementGroup={"id": w.placement_group()}),
        "OperationNotAllowed over 100": lambda w: w.put_set(count=101, singlePlacementGroup=True),
        "OperationNotAllowed HPC sizes over 200":
            lambda w: w.put_set(size="Standard_HB176rs_v4", count=201, mode="Flexible", platformFaultDomainCount=2),
        "InvalidParameter identity": lambda w: w.put_set(mode="Flexible", count=0, identity={"type": "SystemAssigned"}),
        "OperationNotAllowed start": lambda w: w.set_action("begin_start"),
        "OperationNotAllowed view": lambda w: w.set_action("get_instance_view"),
        "OperationNotAllowed convert": lambda w: w.set_action("convert_to_single_placement_group", {}),
    },
    "machines": {
        "PropertyChangeNotAllowed customData":
            lambda w: w.change_machine(osProfile={**PROFILE, "customData": "b3RoZXI="}),
        "PropertyChangeNotAllowed adminUsername": lambda w: w.patch_machine(osProfile={"adminUsername": "other"}),
        "PropertyChangeNotAllowed zones": lambda w: w.change_machine(zones=["1"]),
        "PropertyChangeNotAllowed availabilitySet":
            lambda w: w.change_machine(availabilitySet={"id": w.availability_set()}),
        "PropertyChangeNotAllowed imageReference":
            lambda w: w.change_machine(storageProfile={"imageReference": OTHER_IMAGE, "osDisk": FROM_IMAGE}),
        "PropertyChangeNotAllowed createOption":
            lambda w: w.change_machine(storageProfile={"imageReference": IMAGE, "osDisk": {"createOption": "Attach"}}),
        "OperationNotAllowed proximityPlacementGroup":
            lambda w: w.change_machine(proximityPlacementGroup={"id": w.placement_group()}),
        "OperationNotAllowed ephemeral": ephemeral,
        "AddingOrDeletingNetworkInterfacesOnARunningVirtualMachineNotSupported": another_interface,
        "InvalidResourceLocation": moved,
    },
    "networks": {
        "NetcfgSubnetRangesOverlap": lambda w: (w.subnet(), w.put_subnet("more", addressPrefix="10.0.0.128/25"))[1],
        "NetcfgSubnetRangeOutsideVnet": lambda w: (w.subnet(), w.put_subnet("more", addressPrefix="10.9.0.0/24"))[1],
        "SubnetWithExternalResourcesCannotBeUsedByOtherResources": lambda w: w.put_nic(w.netapp_subnet()),
        "SubnetMissingRequiredDelegation":
            lambda w: (w.volume(), w.put_subnet("netapp", addressPrefix="10.0.0.0/28"))[1],
        "BastionHostSubnetInvalid name": lambda w: w.bastion("nodes", 24),
        "BastionHostSubnetInvalid size": lambda w: w.bastion("AzureBastionSubnet", 27),
        "VnetAddressSpacesOverlap": lambda w: (w.subnet(), w.vnet("other"), w.peering("other"))[2],
    },
    "NetApp": {
        "QuotaExceeded accounts":
            full_of(lambda w, number: w.netapp.accounts.begin_create_or_update(w.group, f"a{number}", AT), 10),
        "QuotaExceeded pools":
            lambda w: (w.set(quota={"westeurope/poolsperaccount": 1}), w.pool(), w.put_pool(name="second"))[2],
        "SizeQuotaExceeded": lambda w: (w.account(), w.put_pool(26))[1],
        "InvalidValueReceived small pool": lambda w: (w.account(), w.put_pool(0.5))[1],
        "InvalidValueReceived pool step": lambda w: (w.account(), w.put_pool(1.5))[1],
        "InvalidValueReceived large pool": lambda w: (w.account(), w.put_pool(4096))[1],
        "PoolSizeTooSmall shrink below volumes": lambda w: (w.volume(gib=2048), w.resize_pool(TIB))[1],
        "PropertyChangeNotAllowed serviceLevel": lambda w: (w.pool(), w.put_pool(level="Ultra"))[1],
        "PropertyChangeNotAllowed encryptionType":
            lambda w: (w.pool(encryptionType="Single"), w.put_pool(encryptionType="Double"))[1],
        "InvalidValueReceived qosType": lambda w: w.patch_pool({"qosType": "Manual"}, qosType="Auto"),
        "InvalidValueReceived small volume": lambda w: (w.pool(), w.put_volume(gib=49))[1],
        "InvalidValueReceived large volume": lambda w: (w.pool(), w.put_volume(gib=101 * 1024))[1],
        "PoolSizeTooSmall volume beyond the pool": lambda w: (w.pool(), w.put_volume(gib=5 * 1024))[1],
        "PropertyChangeNotAllowed creationToken": lambda w: w.change_volume(creationToken="other"),
        "PropertyChangeNotAllowed subnetId": lambda w: w.change_volume(subnetId=w.second_netapp_subnet()),
        "PropertyChangeNotAllowed networkFeatures": lambda w: w.change_volume(networkFeatures="Basic"),
        "PropertyChangeNotAllowed kerberosEnabled": lambda w: w.change_volume(kerberosEnabled=True),
        "InvalidValueReceived other account": to_another_account,
        "VolumePoolChangeTooEarly": up_and_down,
        "InvalidSubnet second in the network":
            lambda w: (w.volume(gib=100), w.put_volume("second", 100, subnetId=w.second_netapp_subnet()))[1],
        "InvalidSubnet not delegated":
            lambda w: (w.pool(), w.netapp_subnet(), w.put_volume(subnetId=w.another_subnet()))[2],
        "NumberOfItemsOutOfRange":
            lambda w: (w.pool(), w.put_volume(exportPolicy={"rules": SIX_RULES}))[1],
        "CannotDeleteResource pool": lambda w: (w.volume(), w.netapp.pools.begin_delete(w.group, "account", "pool"))[1],
        "CannotDeleteResource account": lambda w: (w.pool(), w.netapp.accounts.begin_delete(w.group, "account"))[1],
    },
    "Lustre": {
        "InvalidParameter sku": lambda w: w.put_lustre(sku=300),
        "InvalidParameter capacity": lambda w: w.put_lustre(capacity=2000),
        "InvalidSubnetSize": lambda w: w.put_lustre(capacity=128, prefix="26"),
        "InvalidRequestContent maintenanceWindow": lambda w: w.put_lustre(drop="maintenanceWindow"),
        "PropertyChangeNotAllowed sku": lambda w: w.change_lustre(sku=125, capacity=16),
        "PropertyChangeNotAllowed zones": lambda w: w.change_lustre(zone="2"),
        "PropertyChangeNotAllowed storageCapacityTiB": lambda w: w.change_lustre(capacity=16),
        "PropertyChangeNotAllowed filesystemSubnet":
            lambda w: (finish(w.put_lustre()), w.put_lustre(filesystemSubnet=w.another_subnet()))[1],
        "PropertyChangeNotAllowed hsm": lambda w: w.change_lustre(hsm={"settings": w.containers()}),
        "InvalidRequestContent patch": lambda w: w.patch_lustre(properties={"storageCapacityTiB": 16}),
        "InvalidParameter no growth": lambda w: w.expansion(8),
        "InvalidParameter step": lambda w: w.expansion(20),
    },
    "storage": {
        "AccountNameInvalid": lambda w: w.put_storage(name="No_Good"),
        "PropertyCannotBeUpdated isHnsEnabled":
            lambda w: (finish(w.put_storage()), w.put_storage(isHnsEnabled=True))[1],
        "PropertyCannotBeUpdated isNfsV3Enabled": lambda w: w.patch_storage({}, properties={"isNfsV3Enabled": True}),
        "InvalidRequestPropertyValue NFS without HNS": lambda w: w.put_storage(isNfsV3Enabled=True),
        "InvalidRequestPropertyValue NFS with GRS":
            lambda w: w.put_storage("Standard_GRS", isNfsV3Enabled=True, isHnsEnabled=True),
        "AccountTypeConversionNotAllowed to ZRS": lambda w: w.patch_storage({}, sku={"name": "Standard_ZRS"}),
        "AccountTypeConversionNotAllowed from premium":
            lambda w: w.patch_storage({"sku": "Premium_LRS"}, sku={"name": "Standard_LRS"}),
        "InvalidAccountKindChange": lambda w: w.patch_storage({}, kind="BlobStorage"),
        "InvalidResourceLocation account":
            lambda w: (finish(w.put_storage()), w.put_storage(location="northeurope"))[1],
        "InvalidHeaderValue v1 below 100 GiB": lambda w: w.put_share(50),
        "InvalidHeaderValue v2 below 32 GiB": lambda w: w.put_share(20, sku="PremiumV2_LRS"),
        "InvalidHeaderValue NFS on Standard":
            lambda w: w.put_share(200, "StorageV2", "Standard_LRS", enabledProtocols="NFS"),
        "ShareProvisionedSizeDowngradeNotAllowed": shrink_share,
        "PropertyChangeNotAllowed enabledProtocols":
            lambda w: (w.put_share(200, enabledProtocols="NFS"), w.patch_share(enabledProtocols="SMB"))[1],
    },
    "MySQL": {
        "InvalidParameterValue storage": lambda w: w.change_server(storage={"storageSizeGB": 32}),
        "InvalidParameterValue version": lambda w: w.change_server(version="5.7"),
        "PropertyChangeNotAllowed administratorLogin":
            lambda w: (finish(w.put_server()), w.put_server(administratorLogin="other"))[1],
        "PropertyChangeNotAllowed availabilityZone":
            lambda w: (finish(w.put_server(availabilityZone="1")), w.put_server(availabilityZone="2"))[1],
        "NetworkModeChangeNotAllowed":
            lambda w: w.change_server(network={"delegatedSubnetResourceId": w.subnet("mysql", "10.0.0.0/28")}),
        "InvalidSubnetDelegation": lambda w: w.put_server(network={"delegatedSubnetResourceId": w.subnet()}),
    },
}
# fmt: on


@pytest.fixture
def world() -> Iterator[World]:
    """An emulator for one error alone: what has been used up or set is nobody else's."""
    with serving(Emulator(speed=SPEED, seed=1, subscriptions=(SUBSCRIPTION, ANOTHER_SUBSCRIPTION))) as emulator:
        sdk = Sdk(emulator.url, SUBSCRIPTION)
        yield World(emulator, sdk, "environment")
        sdk.close()


def same(world: World, text: str, message: str) -> bool:
    """Whether a message is the expected one, with ids filled in and … for anything."""
    values = {
        "root": world.root, "group": world.group, "subscription": SUBSCRIPTION, "account": world.store_name,
        **{name.lower(): world.id(f"Microsoft.{name}") for name in NAMESPACES},
    }  # fmt: skip
    filled = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], text)
    return re.fullmatch(".+".join(map(re.escape, filled.split("…"))), message, re.DOTALL) is not None


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, lines in PROVOKED.items() for name in lines])
def test_golden_error(world, table, name):
    expected = EXPECTED[table][name]
    with pytest.raises((HttpResponseError, Refused)) as caught:
        finish(PROVOKED[table][name](world))
    status, error = caught.value.status_code, caught.value.error
    assert error is not None, caught.value
    assert (status, error.code) == (expected["status"], name.split(" ")[0]), error.message
    assert same(world, expected["text"], error.message), error.message
    assert "target" not in expected or error.target == expected["target"]
    if "detail" in expected:
        detail = error.details[0]
        assert detail.code == expected["detail"]["code"]
        assert same(world, expected["detail"]["text"], detail.message), detail.message


def test_each_expected_error_is_provoked():
    assert {table: list(lines) for table, lines in EXPECTED.items()} == {
        table: list(lines) for table, lines in PROVOKED.items()
    }
