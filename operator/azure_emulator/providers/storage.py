"""Microsoft.Storage: storage accounts, their blob service and its containers.

Data planes are not emulated, only what Resource Manager shows of them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.network import private_endpoints
from azure_emulator.providers.protocols import STORAGE, SYNCHRONOUS, operation_functions
from azure_emulator.types import Action, Answer, Call, Change, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.arm_path import ArmPath
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

ACCOUNT = "Microsoft.Storage/storageAccounts"
BLOB_SERVICE = f"{ACCOUNT}/blobServices"
CONTAINER = f"{BLOB_SERVICE}/containers"

_NAME = re.compile(r"^[a-z0-9]{3,24}$")
_CONTAINER_NAME = re.compile(r"^(?:\$root|\$web|[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62})$")
_SKUS = frozenset({
    "Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS", "Premium_LRS",
    "Premium_ZRS", "StandardV2_LRS", "StandardV2_GRS", "StandardV2_ZRS", "StandardV2_GZRS", "PremiumV2_LRS",
    "PremiumV2_ZRS",
})  # fmt: skip
_KINDS = frozenset({"Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage"})
# A sku cannot be moved to or from these (docstring of the SDK's StorageAccountUpdateParameters).
_FIXED_SKUS = frozenset({"Standard_ZRS", "Premium_LRS", "Premium_ZRS"})
# Creation only: absent from the model of PATCH.
_CREATION_ONLY = ("properties.isHnsEnabled", "properties.isNfsV3Enabled")
_SERVICES = {
    "Storage": ("blob", "queue", "table", "file"),
    "StorageV2": ("dfs", "web", "blob", "queue", "table", "file"),
    "BlobStorage": ("dfs", "blob", "table"),
    "FileStorage": ("file",),
    "BlockBlobStorage": ("dfs", "web", "blob"),
}


def _check_account(change: Change) -> None:
    name = change.path.name
    if not change.exists:
        for other in change.engine.store.of_type(ACCOUNT):
            if other.name == name:
                raise errors.conflict(
                    "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken."
                )
    sku, kind = str(bodies.get(change.body, "sku.name")), str(change.body.get("kind"))
    if sku not in _SKUS:
        raise errors.bad_request("InvalidValuesForRequestParameters",
                                 f"Values for request parameters are invalid: sku.name={sku}.")  # fmt: skip
    if kind not in _KINDS:
        raise errors.bad_request(
            "InvalidValuesForRequestParameters", f"Values for request parameters are invalid: kind={kind}."
        )
    change.body["sku"]["tier"] = "Premium" if sku.startswith("Premium") else "Standard"
    _check_moves(change, sku, kind)
    _check_nfs(change, sku)
    _complete(change, kind)


def _check_moves(change: Change, sku: str, kind: str) -> None:
    if not change.exists:
        return
    old_sku, old_kind = bodies.get(change.before, "sku.name"), (change.before or {}).get("kind")
    if sku != old_sku and _FIXED_SKUS & {sku, str(old_sku)}:
        raise errors.conflict(
            "AccountTypeConversionNotAllowed",
            f"Storage account type cannot be changed from {old_sku} to {sku}.",
        )
    if kind not in (old_kind, "StorageV2"):
        raise errors.bad_request(
            "InvalidAccountKindChange", f"Storage account kind cannot be changed from {old_kind} to {kind}."
        )
    for path in _CREATION_ONLY:
        old, new = bool(bodies.get(change.before, path)), bodies.get(change.body, path)
        if new is not None and bool(new) != old:
            raise errors.conflict(
                "PropertyCannotBeUpdated",
                f"The property '{path.rsplit('.', 1)[-1]}' was specified in the input, but it cannot be updated.",
            )


def _check_nfs(change: Change, sku: str) -> None:
    properties = change.properties
    if not properties.get("isNfsV3Enabled"):
        return
    if not properties.get("isHnsEnabled"):
        raise errors.bad_request(
            "InvalidRequestPropertyValue",
            "The value 'True' is not allowed for property isNfsV3Enabled: NFSv3 needs a hierarchical namespace "
            "(isHnsEnabled).",
        )
    if not sku.endswith(("LRS", "ZRS")) or "GZRS" in sku:
        raise errors.bad_request(
            "InvalidRequestPropertyValue", f"NFSv3 needs locally or zone redundant storage, not {sku}."
        )


def _complete(change: Change, kind: str) -> None:
    name, properties = change.path.name, change.properties
    suffixes = {service: f"https://{name}.{service}.core.windows.net/" for service in _SERVICES[kind]}
    if "web" in suffixes:
        suffixes["web"] = f"https://{name}.z6.web.core.windows.net/"
    properties["primaryEndpoints"] = suffixes
    properties["primaryLocation"] = change.body["location"]
    properties["statusOfPrimary"] = "available"
    if not change.exists:
        moment = change.engine.clock.iso(change.engine.now)
        properties["creationTime"] = moment
        properties["keyCreationTime"] = {"key1": moment, "key2": moment}
    if kind in ("StorageV2", "BlobStorage"):
        properties.setdefault("accessTier", "Hot")


def _check_name(call: Call) -> Answer:
    name = str((call.body or {}).get("name", ""))
    if not _NAME.match(name):
        message = (
            f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in "
            "length and use numbers and lower-case letters only."
        )
        return Answer(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": message})
    if any(account.name == name for account in call.engine.store.of_type(ACCOUNT)):
        message = f"The storage account named {name} is already taken."
        return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Answer(200, {"nameAvailable": True})


def _list_keys(call: Call, account: Resource) -> dict[str, Any]:
    def key(name: str) -> dict[str, Any]:
        digest = hashlib.sha512(f"{call.engine.seed}|{account.key}|{name}".encode()).digest()
        created = account.properties["creationTime"]
        return {
            "keyName": name, "value": base64.b64encode(digest).decode(), "permissions": "FULL", "creationTime": created,
        }  # fmt: skip

    return {"keys": [key("key1"), key("key2")]}


def _default_blob_service(engine: Engine, path: ArmPath) -> dict[str, Any]:
    account = engine.store.get(path.parent)
    sku = account.body.get("sku") if account is not None else None
    properties = {"cors": {"corsRules": []}, "deleteRetentionPolicy": {"allowPermanentDelete": False, "enabled": False}}
    return {"sku": sku, "properties": properties}


def _check_container(change: Change) -> None:
    properties = change.properties
    properties.setdefault("publicAccess", "None")
    properties.setdefault("lastModifiedTime", change.engine.clock.iso(change.engine.now))


TYPES = (
    ResourceType(
        name=ACCOUNT,
        protocol=STORAGE,
        put=Verb(seconds=22, created=202, updated=200, update_seconds=0, body=False),
        patch=Patch(),
        delete=Verb(),
        name_pattern=_NAME,
        required=("sku.name", "kind"),
        defaults={
            "properties.supportsHttpsTrafficOnly": True, "properties.minimumTlsVersion": "TLS1_2",
            "properties.allowBlobPublicAccess": False, "properties.privateEndpointConnections": [],
            "properties.networkAcls": {"bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [],
                                       "defaultAction": "Allow"},
            "properties.encryption": {"keySource": "Microsoft.Storage", "services": {
                "file": {"enabled": True, "keyType": "Account"}, "blob": {"enabled": True, "keyType": "Account"}}},
        },
        read_only=(
            "properties.primaryEndpoints", "properties.primaryLocation", "properties.statusOfPrimary",
            "properties.creationTime", "properties.keyCreationTime", "properties.privateEndpointConnections",
        ),
        delete_first=50,
        check=_check_account,
        view=private_endpoints.show_connections,
        actions={"listKeys": Action(run=_list_keys)},
        depth="global names, sku and kind moves, NFSv3 rules, endpoints, keys",
    ),
    ResourceType(
        name=BLOB_SERVICE, protocol=SYNCHRONOUS, put=Verb(created=200), delete=None, location=None, tags=False,
        has_state=False, default_instance=_default_blob_service, depth="`default` always exists",
    ),
    ResourceType(
        name=CONTAINER, protocol=SYNCHRONOUS, put=Verb(), patch=Patch(), delete=Verb(), location=None, tags=False,
        has_state=False, etag="weak", name_pattern=_CONTAINER_NAME,
        read_only=("properties.lastModifiedTime",), check=_check_container, depth="names",
    ),
)  # fmt: skip

PROVIDER = Provider(
    namespace="Microsoft.Storage",
    types=TYPES,
    functions={
        ("POST", "Microsoft.Storage/checkNameAvailability"): _check_name,
        **operation_functions(STORAGE),
    },
)
