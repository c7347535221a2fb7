"""What the template function environment() tells of the cloud: Azure's own addresses, or those of the emulator.

An emulator that speaks TLS is a cloud of its own, known by its /metadata/endpoints; templates then see the same.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from azure_emulator import cloud
from azure_emulator.providers.key_vault.names import PUBLIC_DNS
from azure_emulator.providers.storage.accounts import SUFFIX

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

_AZURE: dict[str, Any] = {
    "name": "AzureCloud",
    "gallery": "https://gallery.azure.com/",
    "graph": "https://graph.windows.net/",
    "portal": "https://portal.azure.com",
    "graphAudience": "https://graph.windows.net/",
    "activeDirectoryDataLake": "https://datalake.azure.net/",
    "batch": "https://batch.core.windows.net/",
    "media": "https://rest.media.azure.net",
    "sqlManagement": "https://management.core.windows.net:8443/",
    "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/main/arm-compute/quickstart-templates/"
    "aliases.json",
    "resourceManager": "https://management.azure.com/",
    "authentication": {
        "loginEndpoint": "https://login.microsoftonline.com/",
        "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
        "tenant": "common",
        "identityProvider": "AAD",
    },
    "suffixes": {
        "acrLoginServer": ".azurecr.io",
        "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
        "azureFrontDoorEndpointSuffix": "azurefd.net",
        "keyvaultDns": ".vault.azure.net",
        "sqlServerHostname": ".database.windows.net",
        "storage": "core.windows.net",
    },
}
# The metadata spell some suffixes otherwise, and leave out the dot before most of them.
_SPELLED = {
    "acrLoginServer": (".", "acrLoginServer"), "sqlServerHostname": (".", "sqlServerHostname"),
    "azureDatalakeAnalyticsCatalogAndJob": ("", "azureDataLakeAnalyticsCatalogAndJob"),
    "azureDatalakeStoreFileSystem": ("", "azureDataLakeStoreFileSystem"),
}  # fmt: skip


def environment(engine: Engine) -> dict[str, Any]:
    """The document; its storage and vault suffixes are those that accounts and vaults show."""
    found, own = copy.deepcopy(_AZURE), engine.own_settings.get("address")
    if own is not None:
        there = cloud.metadata(str(own), engine.tenant)
        found |= {name: value for name, value in there.items() if name in found and name != "suffixes"}
        suffixes = {name: f"{dot}{there['suffixes'][source]}" for name, (dot, source) in _SPELLED.items()}
        found["suffixes"] |= suffixes
    found["suffixes"]["storage"] = str(engine.setting("storageSuffix", SUFFIX))
    found["suffixes"]["keyvaultDns"] = f".{engine.setting('vaultDns', PUBLIC_DNS)}"
    return found
