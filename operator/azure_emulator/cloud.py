"""What the emulated cloud says of itself: the document behind /metadata/endpoints. Knows addresses only."""

from __future__ import annotations

from typing import Any


def metadata(base: str, tenant: str) -> dict[str, Any]:
    """Cloud metadata for api-version 2022-09-01. az and Go read all other addresses from it."""
    host = base.split("//", 1)[1]
    return {
        "name": "AzureEmulated", "portal": base, "graph": base, "graphAudience": base, "batch": base,
        "media": base, "gallery": base, "resourceManager": f"{base}/",
        "activeDirectoryDataLake": base, "microsoftGraphResourceId": f"{base}/", "sqlManagement": base,
        "vmImageAliasDoc": f"{base}/aliases.json", "logAnalyticsResourceId": base,
        "authentication": {
            "loginEndpoint": base, "audiences": [base, "https://management.azure.com/"], "tenant": tenant,
            "identityProvider": "AAD",
        },
        "suffixes": {
            "storage": f"core.{host}", "keyVaultDns": f"vault.{host}", "sqlServerHostname": f"database.{host}",
            "mysqlServerEndpoint": f"mysql.database.{host}", "acrLoginServer": f"azurecr.{host}",
            "azureDataLakeStoreFileSystem": f"azuredatalakestore.{host}",
            "azureDataLakeAnalyticsCatalogAndJob": f"azuredatalakeanalytics.{host}",
        },
    }  # fmt: skip
