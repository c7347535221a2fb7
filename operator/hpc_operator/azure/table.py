"""The resource types that we can send: one row each, and nothing else in this project branches on a type.

A row names the SDK's client, operation group and operations, and carries what the engine must know (`arm.TypeInfo`).
Knows no request and no response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hpc_operator.arm import TypeInfo
from hpc_operator.graph import ArmId


@dataclass(frozen=True)
class Sdk:
    """One SDK package: the module with the asynchronous client, the client's class, and if it is for a subscription."""

    module: str
    client: str
    per_subscription: bool = True


RESOURCES = Sdk("azure.mgmt.resource.resources.aio", "ResourceManagementClient")
NETWORK = Sdk("azure.mgmt.network.aio", "NetworkManagementClient")
PRIVATE_DNS = Sdk("azure.mgmt.privatedns.aio", "PrivateDnsManagementClient")
STORAGE = Sdk("azure.mgmt.storage.aio", "StorageManagementClient")
IDENTITY = Sdk("azure.mgmt.msi.aio", "ManagedServiceIdentityClient")
AUTHORIZATION = Sdk("azure.mgmt.authorization.aio", "AuthorizationManagementClient")
KEY_VAULT = Sdk("azure.mgmt.keyvault.aio", "KeyVaultManagementClient")
COMPUTE = Sdk("azure.mgmt.compute.aio", "ComputeManagementClient")
NETAPP = Sdk("azure.mgmt.netapp.aio", "NetAppManagementClient")
STORAGE_CACHE = Sdk("azure.mgmt.storagecache.aio", "StorageCacheManagementClient")
RESOURCE_GRAPH = Sdk("azure.mgmt.resourcegraph.aio", "ResourceGraphClient", per_subscription=False)


def in_resource_group(arm_id: ArmId) -> tuple[str, ...]:
    """Return the SDK's leading arguments: resource group, then every name."""
    return (arm_id.resource_group or "", *arm_id.names)


def resource_group(arm_id: ArmId) -> tuple[str, ...]:
    """Return the SDK's leading argument for a resource group itself."""
    return (arm_id.name,)


def at_scope(arm_id: ArmId) -> tuple[str, ...]:
    """Return scope and name; the SDK puts the slash before the scope itself."""
    return (arm_id.scope.strip("/"), arm_id.name)


def without_service(arm_id: ArmId) -> tuple[str, ...]:
    """Return account and name: the SDK writes the storage service between them, which is always `default`."""
    account, _, name = arm_id.names
    return (arm_id.resource_group or "", account, name)


def whole_id(arm_id: ArmId) -> tuple[str, ...]:
    """Return the id itself; the SDK puts the slash before it."""
    namespace, *kinds = arm_id.type.split("/")
    pairs = "/".join(f"{kind}/{name}" for kind, name in zip(kinds, arm_id.names, strict=True))
    return (f"{arm_id.scope.strip('/')}/providers/{namespace}/{pairs}",)


@dataclass(frozen=True)
class Row:
    """One resource type.

    Parameters
    ----------
    type, create_only, exclusive, typical_seconds, replace_on, grow_only, surveyed, recovery
        As in `arm.TypeInfo`.
    sdk, group
        SDK package, and the client's attribute that has the operations.
    put, delete, get
        Names of the operations.
    patch
        Name of the operation that changes properties; None where the SDK has none or one for tags only: then an
        update is a PUT.
    arguments
        What the operations take before the body.
    get_options
        Keyword arguments of `get`, where Azure leaves out by default what we need.
    options
        Keyword arguments of every operation.
    """

    type: str
    sdk: Sdk
    group: str
    put: str = "begin_create_or_update"
    delete: str = "begin_delete"
    get: str = "get"
    patch: str | None = None
    arguments: Callable[[ArmId], tuple[str, ...]] = in_resource_group
    get_options: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    create_only: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    typical_seconds: float = 1.0
    replace_on: tuple[str, ...] = ()
    grow_only: tuple[str, ...] = ()
    surveyed: bool = True
    recovery: tuple[str, Mapping[str, Any]] | None = None

    @cached_property  # asked for every resource in every pass
    def info(self) -> TypeInfo:
        """What the engine may know of it."""
        return TypeInfo(
            self.type,
            "PATCH" if self.patch else "PUT",
            self.create_only,
            self.exclusive,
            self.typical_seconds,
            self.replace_on,
            self.grow_only,
            self.surveyed,
            self.recovery,
        )


def _by_id(resource_type: str, api_version: str, **more: Any) -> Row:
    """Return the row of a type that no SDK package of ours has: ARM takes any id with an API version."""
    return Row(
        resource_type,
        RESOURCES,
        "resources",
        put="begin_create_or_update_by_id",
        delete="begin_delete_by_id",
        get="get_by_id",
        arguments=whole_id,
        options={"api_version": api_version},
        **more,
    )


def _rows(rows: Iterable[Row]) -> Mapping[str, Row]:
    return {row.type.lower(): row for row in rows}


# Azure serialises writes under one virtual network, also those of private endpoints, which take an address of a subnet;
# a second write ends in AnotherOperationInProgress, sometimes after it was accepted (Azure/bicep#5132).
# Network interfaces do not lock the network: a hundred are made in one subnet at the same time.
ONE_PER_NETWORK = ("Microsoft.Network/virtualNetworks",)
# "Another volume creation is in progress" is per account (terraform-provider-azurerm#33215).
ONE_PER_NETAPP_ACCOUNT = ("Microsoft.NetApp/netAppAccounts",)
# The guest agent takes one goal state at a time; a second write preempts the first with OperationPreempted.
ONE_PER_MACHINE = ("Microsoft.Compute/virtualMachines",)

# Times are what public logs of Terraform, azure-cli and others show; those marked "estimate" have no public number.
TABLE: Mapping[str, Row] = _rows(
    [
        Row(
            "Microsoft.Resources/resourceGroups",
            RESOURCES,
            "resource_groups",
            put="create_or_update",
            patch="update",
            arguments=resource_group,
            create_only=("location", "managedBy"),
            typical_seconds=1,
        ),
        # --- Network: the SDK's PATCH changes tags only (bastionHosts: tags and identity), so an update is a PUT.
        Row(
            "Microsoft.Network/virtualNetworks",
            NETWORK,
            "virtual_networks",
            create_only=("location",),
            exclusive=ONE_PER_NETWORK,
            typical_seconds=6,
        ),
        Row(
            "Microsoft.Network/virtualNetworks/subnets",
            NETWORK,
            "subnets",
            exclusive=ONE_PER_NETWORK,
            typical_seconds=5,
        ),
        Row(
            "Microsoft.Network/networkSecurityGroups",
            NETWORK,
            "network_security_groups",
            create_only=("location",),
            typical_seconds=4,
        ),
        Row(
            "Microsoft.Network/publicIPAddresses",
            NETWORK,
            "public_ip_addresses",
            create_only=("location", "zones", "sku", "properties.publicIPAddressVersion"),
            typical_seconds=4,
        ),
        Row(
            "Microsoft.Network/natGateways",
            NETWORK,
            "nat_gateways",
            create_only=("location", "zones", "sku"),
            typical_seconds=13,
        ),
        Row(
            "Microsoft.Network/bastionHosts",
            NETWORK,
            "bastion_hosts",
            create_only=("location", "zones", "properties.ipConfigurations", "properties.virtualNetwork"),
            typical_seconds=480,
        ),
        Row(
            "Microsoft.Network/networkInterfaces",
            NETWORK,
            "network_interfaces",
            create_only=("location",),
            typical_seconds=4,
        ),
        Row(
            "Microsoft.Network/privateEndpoints",
            NETWORK,
            "private_endpoints",
            create_only=(
                "location",
                "properties.subnet",
                "properties.privateLinkServiceConnections",
                "properties.customNetworkInterfaceName",
            ),
            exclusive=ONE_PER_NETWORK,
            typical_seconds=45,
        ),
        Row(
            "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
            NETWORK,
            "private_dns_zone_groups",
            surveyed=False,
            typical_seconds=10,  # estimate
        ),
        Row(
            "Microsoft.Network/privateDnsZones",
            PRIVATE_DNS,
            "private_zones",
            create_only=("location",),
            typical_seconds=35,
        ),
        Row(
            "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
            PRIVATE_DNS,
            "virtual_network_links",
            create_only=("location", "properties.virtualNetwork"),
            typical_seconds=45,
        ),
        # --- Storage, identity, secrets
        Row(
            "Microsoft.Storage/storageAccounts",
            STORAGE,
            "storage_accounts",
            put="begin_create",
            delete="delete",
            get="get_properties",
            patch="update",
            # Absent from the SDK's PATCH model.
            create_only=(
                "location",
                "extendedLocation",
                "kind",
                "properties.isHnsEnabled",
                "properties.isNfsV3Enabled",
                "properties.encryption.requireInfrastructureEncryption",
            ),
            typical_seconds=22,
        ),
        Row(
            "Microsoft.Storage/storageAccounts/fileServices/shares",
            STORAGE,
            "file_shares",
            put="create",
            delete="delete",
            patch="update",
            arguments=without_service,
            create_only=("properties.enabledProtocols",),
            surveyed=False,
            typical_seconds=2,  # estimate
        ),
        Row(
            "Microsoft.Storage/storageAccounts/blobServices/containers",
            STORAGE,
            "blob_containers",
            put="create",
            delete="delete",
            patch="update",
            arguments=without_service,
            create_only=("properties.defaultEncryptionScope", "properties.denyEncryptionScopeOverride"),
            surveyed=False,
            typical_seconds=2,  # estimate
        ),
        Row(
            "Microsoft.ManagedIdentity/userAssignedIdentities",
            IDENTITY,
            "user_assigned_identities",
            put="create_or_update",
            delete="delete",
            patch="update",
            create_only=("location",),
            typical_seconds=1,
        ),
        Row(
            "Microsoft.Authorization/roleAssignments",
            AUTHORIZATION,
            "role_assignments",
            put="create",
            delete="delete",
            arguments=at_scope,
            # RoleAssignmentUpdateNotPermitted: another principal, role or scope is another assignment.
            create_only=("properties.principalType",),
            replace_on=("properties.principalId", "properties.roleDefinitionId"),
            typical_seconds=1,
        ),
        Row(
            "Microsoft.KeyVault/vaults",
            KEY_VAULT,
            "vaults",
            delete="delete",
            patch="update",
            create_only=("location", "properties.createMode", "properties.tenantId"),
            # "A vault with the same name already exists in deleted state" (Azure Key Vault recovery management).
            recovery=("ConflictError", {"properties": {"createMode": "recover"}}),
            typical_seconds=15,  # estimate
        ),
        # --- Compute
        Row(
            "Microsoft.Compute/disks",
            COMPUTE,
            "disks",
            patch="begin_update",
            create_only=("location", "zones", "properties.creationData", "properties.hyperVGeneration"),
            grow_only=("properties.diskSizeGB",),
            typical_seconds=5,  # estimate
        ),
        Row(
            "Microsoft.Compute/virtualMachines",
            COMPUTE,
            "virtual_machines",
            patch="begin_update",
            # Refused with PropertyChangeNotAllowed, or (userData, customData, passwords, the
            # configuration of network interfaces that Compute makes) never returned.
            create_only=(
                "location",
                "zones",
                "plan",
                "properties.osProfile",
                "properties.userData",
                "properties.storageProfile.imageReference",
                "properties.storageProfile.osDisk",
                "properties.networkProfile",
                "properties.securityProfile",
                "properties.availabilitySet",
                "properties.proximityPlacementGroup",
                "properties.virtualMachineScaleSet",
                "properties.platformFaultDomain",
                "properties.priority",
                "properties.evictionPolicy",
            ),
            typical_seconds=70,
        ),
        Row(
            "Microsoft.Compute/virtualMachines/runCommands",
            COMPUTE,
            "virtual_machine_run_commands",
            get="get_by_virtual_machine",
            # Without it Azure does not tell how the script ended and what it printed.
            get_options={"expand": "instanceView"},
            create_only=("location", "properties.protectedParameters", "properties.runAsPassword"),
            exclusive=ONE_PER_MACHINE,
            typical_seconds=30,  # estimate
        ),
        Row(
            "Microsoft.Compute/virtualMachineScaleSets",
            COMPUTE,
            "virtual_machine_scale_sets",
            patch="begin_update",
            # Absent from the PATCH model, or fixed at deployment (azure-compute-docs upgrade-scale-set).
            create_only=(
                "location",
                "zones",
                "properties.orchestrationMode",
                "properties.platformFaultDomainCount",
                "properties.singlePlacementGroup",
                "properties.proximityPlacementGroup",
                "properties.virtualMachineProfile.osProfile",
                "properties.virtualMachineProfile.userData",
                "properties.virtualMachineProfile.priority",
                "properties.virtualMachineProfile.evictionPolicy",
                "properties.virtualMachineProfile.storageProfile.osDisk",
            ),
            typical_seconds=60,
        ),
        # --- Named by specs, and only read
        Row(
            "Microsoft.Compute/galleries/images/versions",
            COMPUTE,
            "gallery_image_versions",
            patch="begin_update",
            create_only=("location",),
            typical_seconds=600,  # estimate; nobody waits for one
        ),
        _by_id("Microsoft.OperationalInsights/workspaces", "2023-09-01", create_only=("location",)),
        # --- Logs
        _by_id("Microsoft.Insights/diagnosticSettings", "2021-05-01-preview", surveyed=False),
        # --- File systems
        Row(
            "Microsoft.NetApp/netAppAccounts",
            NETAPP,
            "accounts",
            patch="begin_update",
            create_only=("location",),
            typical_seconds=8,
        ),
        Row(
            "Microsoft.NetApp/netAppAccounts/capacityPools",
            NETAPP,
            "pools",
            patch="begin_update",
            create_only=("location", "properties.serviceLevel", "properties.encryptionType"),
            grow_only=("properties.size",),
            exclusive=ONE_PER_NETAPP_ACCOUNT,
            typical_seconds=75,
        ),
        Row(
            "Microsoft.NetApp/netAppAccounts/capacityPools/volumes",
            NETAPP,
            "volumes",
            patch="begin_update",
            # Absent from the PATCH model; the service level changes by moving the volume to another pool.
            create_only=(
                "location",
                "zones",
                "properties.creationToken",
                "properties.subnetId",
                "properties.serviceLevel",
                "properties.protocolTypes",
                "properties.networkFeatures",
                "properties.securityStyle",
                "properties.kerberosEnabled",
                "properties.ldapEnabled",
                "properties.isLargeVolume",
                "properties.snapshotId",
            ),
            grow_only=("properties.usageThreshold",),
            exclusive=ONE_PER_NETAPP_ACCOUNT,
            typical_seconds=270,
        ),
        Row(
            "Microsoft.StorageCache/amlFilesystems",
            STORAGE_CACHE,
            "aml_filesystems",
            patch="begin_update",
            # PATCH takes tags, maintenanceWindow, encryptionSettings and rootSquashSettings only; capacity grows by an
            # expansion job.
            create_only=(
                "location",
                "zones",
                "sku",
                "identity",
                "properties.filesystemSubnet",
                "properties.storageCapacityTiB",
                "properties.hsm",
            ),
            typical_seconds=720,
        ),
        Row(
            "Microsoft.StorageCache/amlFilesystems/expansionJobs",
            STORAGE_CACHE,
            "expansion_jobs",
            patch="begin_update",
            create_only=("location", "properties"),
            exclusive=("Microsoft.StorageCache/amlFilesystems",),
            typical_seconds=720,  # estimate: as long as making one
        ),
    ]
)
