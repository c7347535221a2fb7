"""Every type's initial answers against what the installed SDK clients accept: anything else raises, even a 2xx."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from azure_emulator.providers import PROVIDERS

TYPES = {kind.name: kind for provider in PROVIDERS for kind in provider.types}

# type -> module of the operations, operations class, methods of PUT, PATCH and DELETE (None: the SDK has none).
SDK = {
    "Microsoft.Resources/resourceGroups": (
        "resource.resources", "ResourceGroups", "create_or_update", "update", "_delete_initial"),
    "Microsoft.Network/virtualNetworks": (
        "network", "VirtualNetworks", "_create_or_update_initial", "update_tags", "_delete_initial"),
    "Microsoft.Network/virtualNetworks/subnets": (
        "network", "Subnets", "_create_or_update_initial", None, "_delete_initial"),
    "Microsoft.Network/networkSecurityGroups": (
        "network", "NetworkSecurityGroups", "_create_or_update_initial", "update_tags", "_delete_initial"),
    "Microsoft.Network/networkSecurityGroups/securityRules": (
        "network", "SecurityRules", "_create_or_update_initial", None, "_delete_initial"),
    "Microsoft.Network/routeTables": (
        "network", "RouteTables", "_create_or_update_initial", "update_tags", "_delete_initial"),
    "Microsoft.Network/routeTables/routes": (
        "network", "Routes", "_create_or_update_initial", None, "_delete_initial"),
    "Microsoft.Network/publicIPAddresses": (
        "network", "PublicIPAddresses", "_create_or_update_initial", "update_tags", "_delete_initial"),
    "Microsoft.Network/natGateways": (
        "network", "NatGateways", "_create_or_update_initial", "update_tags", "_delete_initial"),
    "Microsoft.Network/bastionHosts": (
        "network", "BastionHosts", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.Network/networkInterfaces": (
        "network", "NetworkInterfaces", "_create_or_update_initial", "update_tags", "_delete_initial"),
    "Microsoft.Network/privateEndpoints": (
        "network", "PrivateEndpoints", "_create_or_update_initial", None, "_delete_initial"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": (
        "network", "PrivateDnsZoneGroups", "_create_or_update_initial", None, "_delete_initial"),
    "Microsoft.Network/privateDnsZones": (
        "privatedns", "PrivateZones", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": (
        "privatedns", "VirtualNetworkLinks", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.Network/privateDnsZones/A": ("privatedns", "RecordSets", "create_or_update", "update", "delete"),
    "Microsoft.Storage/storageAccounts": ("storage", "StorageAccounts", "_create_initial", "update", "delete"),
    "Microsoft.Storage/storageAccounts/blobServices": (
        "storage", "BlobServices", "set_service_properties", None, None),
    "Microsoft.Storage/storageAccounts/blobServices/containers": (
        "storage", "BlobContainers", "create", "update", "delete"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": (
        "msi.v2024_11_30", "UserAssignedIdentities", "create_or_update", "update", "delete"),
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials": (
        "msi.v2024_11_30", "FederatedIdentityCredentials", "create_or_update", None, "delete"),
    "Microsoft.Authorization/roleAssignments": (
        "authorization.v2022_04_01", "RoleAssignments", "create", None, "delete"),
    "Microsoft.KeyVault/vaults": ("keyvault", "Vaults", "_create_or_update_initial", "update", "delete"),
    "Microsoft.Compute/virtualMachines": (
        "compute", "VirtualMachines", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.Compute/virtualMachines/runCommands": (
        "compute", "VirtualMachineRunCommands", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.Compute/virtualMachineScaleSets": (
        "compute", "VirtualMachineScaleSets", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.Compute/disks": (
        "compute", "Disks", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.NetApp/netAppAccounts": (
        "netapp", "Accounts", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.NetApp/netAppAccounts/capacityPools": (
        "netapp", "Pools", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.NetApp/netAppAccounts/capacityPools/volumes": (
        "netapp", "Volumes", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.StorageCache/amlFilesystems": (
        "storagecache", "AmlFilesystems", "_create_or_update_initial", "_update_initial", "_delete_initial"),
    "Microsoft.StorageCache/amlFilesystems/expansionJobs": (
        "storagecache", "ExpansionJobs", "_create_or_update_initial", "_update_initial", "_delete_initial"),
}  # fmt: skip
# One SDK operation serves all record types.
RECORDS = {f"Microsoft.Network/privateDnsZones/{name}" for name in ("AAAA", "CNAME", "MX", "PTR", "SOA", "SRV", "TXT")}


def accepted(package: str, operations: str, method: str) -> set[int]:
    module = importlib.import_module(f"azure.mgmt.{package}.operations")
    source = inspect.getsource(getattr(getattr(module, f"{operations}Operations"), method))
    match = re.search(r"status_code not in \[([\d, ]+)\]", source)
    assert match is not None
    return {int(code) for code in match[1].split(",")}


def test_every_type_has_its_row():
    assert set(TYPES) == set(SDK) | RECORDS


@pytest.mark.parametrize("name", sorted(SDK))
def test_answers_are_ones_that_the_sdk_accepts(name):
    kind = TYPES[name]
    package, operations, put, patch, delete = SDK[name]
    if kind.put is not None and put is not None:
        updates_at_once = kind.put.duration(exists=True) == 0
        answers = {kind.put.created, 200 if updates_at_once else kind.put.updated}
        assert answers <= accepted(package, operations, put)
    if kind.patch is not None and patch is not None:
        answers = {200, kind.patch.status} if kind.patch.seconds else {200}
        assert answers <= accepted(package, operations, patch)
    if kind.delete is not None and delete is not None:
        answers = {202 if kind.delete.seconds else 200} | (
            {204} if name != "Microsoft.Resources/resourceGroups" else set()
        )
        assert answers <= accepted(package, operations, delete)
