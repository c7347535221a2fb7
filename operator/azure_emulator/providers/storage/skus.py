"""Skus of storage accounts: which kinds have them, where copies go, and the list of skus.

Data, and functions on it; no account is known here.
"""

from __future__ import annotations

from typing import Any

from azure_emulator import locations
from azure_emulator.types import Answer, Call

_STANDARD = ("Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS")
_STANDARD_V2 = ("StandardV2_LRS", "StandardV2_GRS", "StandardV2_ZRS", "StandardV2_GZRS")

# Kind -> its skus (azure-docs, storage-account-overview and understanding-billing of Azure Files).
BY_KIND: dict[str, tuple[str, ...]] = {
    "Storage": ("Standard_LRS", "Standard_GRS", "Standard_RAGRS"),
    "StorageV2": (*_STANDARD, "Premium_LRS"),
    "BlobStorage": ("Standard_LRS", "Standard_GRS", "Standard_RAGRS"),
    "BlockBlobStorage": ("Premium_LRS", "Premium_ZRS"),
    "FileStorage": ("Premium_LRS", "Premium_ZRS", "PremiumV2_LRS", "PremiumV2_ZRS", *_STANDARD_V2),
}
ALL = frozenset(sku for skus in BY_KIND.values() for sku in skus)
# A sku cannot be moved to or from these (docstring of the SDK's StorageAccountUpdateParameters).
FIXED = frozenset({"Standard_ZRS", "Premium_LRS", "Premium_ZRS"})

# The region that geo-redundant copies go to (azure-docs, cross-region-replication); newer regions have none.
PAIRS = {
    "australiaeast": "australiasoutheast", "brazilsouth": "southcentralus", "canadacentral": "canadaeast",
    "centralindia": "southindia", "centralus": "eastus2", "eastasia": "southeastasia", "eastus": "westus",
    "eastus2": "centralus", "francecentral": "francesouth", "germanywestcentral": "germanynorth",
    "japaneast": "japanwest", "koreacentral": "koreasouth", "northcentralus": "southcentralus",
    "northeurope": "westeurope", "norwayeast": "norwaywest", "southafricanorth": "southafricawest",
    "southcentralus": "northcentralus", "southeastasia": "eastasia", "swedencentral": "swedensouth",
    "switzerlandnorth": "switzerlandwest", "uaenorth": "uaecentral", "uksouth": "ukwest",
    "westcentralus": "westus2", "westeurope": "northeurope", "westus": "eastus", "westus2": "westcentralus",
    "westus3": "eastus",
}  # fmt: skip


def tier(sku: str) -> str:
    """Premium or Standard."""
    return "Premium" if sku.startswith("Premium") else "Standard"


def is_geo_redundant(sku: str) -> bool:
    """Whether a second region holds a copy."""
    return sku.endswith(("GRS", "GZRS"))


def is_readable(sku: str) -> bool:
    """Whether clients may read that copy."""
    return "_RA" in sku


def is_zonal(sku: str) -> bool:
    """Whether copies are in three zones."""
    return sku.endswith("ZRS")


def is_provisioned_v2(sku: str) -> bool:
    """Whether file shares are billed by storage, IOPS and throughput apart."""
    return "V2_" in sku


def list_skus(call: Call) -> Answer:
    """GET …/providers/Microsoft.Storage/skus."""
    del call
    return Answer(200, {"value": [_row(kind, sku, location) for kind, skus in BY_KIND.items() for sku in skus
                                  for location in locations.REGIONS if _is_offered(sku, location)]})  # fmt: skip


def _is_offered(sku: str, location: str) -> bool:
    if is_zonal(sku) and not locations.zones(location):
        return False
    return location in PAIRS or not is_geo_redundant(sku)


def _row(kind: str, sku: str, location: str) -> dict[str, Any]:
    capabilities = {
        "supportsnetworkacls": "true", "supportschangenotification": str(kind != "FileStorage").lower(),
        "supportsfileencryption": "true", "supportshoeboxcapacitymetrics": "true",
        "supportsaccounthnsonmigration": str(kind == "StorageV2" and tier(sku) == "Standard").lower(),
    }  # fmt: skip
    return {
        "resourceType": "storageAccounts", "name": sku, "tier": tier(sku), "kind": kind, "locations": [location],
        "locationInfo": [{"location": location, "zones": []}],
        "capabilities": [{"name": name, "value": value} for name, value in capabilities.items()],
        "restrictions": [],
    }  # fmt: skip
