"""Type names of Microsoft.Storage, and what names may look like."""

from __future__ import annotations

import re

ACCOUNT = "Microsoft.Storage/storageAccounts"
BLOB_SERVICE = f"{ACCOUNT}/blobServices"
CONTAINER = f"{BLOB_SERVICE}/containers"
IMMUTABILITY = f"{CONTAINER}/immutabilityPolicies"
FILE_SERVICE = f"{ACCOUNT}/fileServices"
SHARE = f"{FILE_SERVICE}/shares"
QUEUE_SERVICE = f"{ACCOUNT}/queueServices"
QUEUE = f"{QUEUE_SERVICE}/queues"
TABLE_SERVICE = f"{ACCOUNT}/tableServices"
TABLE = f"{TABLE_SERVICE}/tables"
MANAGEMENT_POLICY = f"{ACCOUNT}/managementPolicies"
ENCRYPTION_SCOPE = f"{ACCOUNT}/encryptionScopes"
LOCAL_USER = f"{ACCOUNT}/localUsers"

ACCOUNT_NAME = re.compile(r"^[a-z0-9]{3,24}$")
CONTAINER_NAME = re.compile(r"^(?:\$root|\$web|[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62})$")
SHARE_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}$")
TABLE_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9]{2,62}$")
SCOPE_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}$")
USER_NAME = re.compile(r"^[a-z0-9]{3,64}$")
DEFAULT = re.compile(r"^default$", re.IGNORECASE)

# Kind -> services that it has; the sku and what it may be combined with are in skus.py.
SERVICES = {
    "Storage": ("blob", "queue", "table", "file"),
    "StorageV2": ("dfs", "web", "blob", "queue", "table", "file"),
    "BlobStorage": ("dfs", "blob", "table"),
    "FileStorage": ("file",),
    "BlockBlobStorage": ("dfs", "web", "blob"),
}


def invalid_account_name(name: str) -> str | None:
    """What is said of a name that no account can have."""
    if ACCOUNT_NAME.match(name):
        return None
    return (
        f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in "
        "length and use numbers and lower-case letters only."
    )
