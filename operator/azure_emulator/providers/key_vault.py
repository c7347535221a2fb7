"""Microsoft.KeyVault: vaults on the management plane, with soft deletion.

A deleted vault keeps its name until it is recovered or purged; the deleted ones are kept as a setting, not a resource.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.following import follow
from azure_emulator.providers.network import private_endpoints
from azure_emulator.providers.protocols import KEY_VAULT, operation_functions
from azure_emulator.store import Resource
from azure_emulator.types import Answer, Call, Change, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError

VAULT = "Microsoft.KeyVault/vaults"
_NAME = re.compile(r"^(?=.{3,24}$)[A-Za-z](?:[A-Za-z0-9]|-(?!-))*[A-Za-z0-9]$")
DEFAULT_RETENTION_DAYS = 90
# Assumptions: how long a vault's name takes to resolve, and a purge to run.
CREATE_SECONDS, PURGE_SECONDS = 25, 30
DAY = 86_400


def deleted_vaults(engine: Engine) -> dict[str, dict[str, Any]]:
    """Soft-deleted vaults that are still kept, by lower-case name."""
    kept: dict[str, dict[str, Any]] = engine.setting("deletedVaults", {})
    return {name: row for name, row in kept.items() if row["until"] > engine.now}


def _check(change: Change) -> None:
    engine, properties, name = change.engine, change.properties, change.path.name
    mode = str(properties.pop("createMode", "default")).lower()
    if not change.exists:
        _check_free(change, mode)
    if change.old.get("enablePurgeProtection") and properties.get("enablePurgeProtection") is False:
        raise errors.bad_request(
            "BadRequest",
            'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is '
            "an irreversible action.",
        )
    if properties.get("enableSoftDelete") is False:
        raise errors.bad_request(
            "BadRequest", 'The property "enableSoftDelete" cannot be set to false for creating new vault.'
        )
    properties["enableSoftDelete"] = True
    properties["vaultUri"] = f"https://{name.lower()}.vault.azure.net/"
    properties.setdefault("tenantId", engine.tenant)


def _check_free(change: Change, mode: str) -> None:
    engine, name = change.engine, change.path.name
    if any(vault.name.lower() == name.lower() for vault in engine.store.of_type(VAULT)):
        raise errors.conflict(
            "VaultAlreadyExists",
            f"The vault name '{name}' is already in use. Vault names are globally unique so it is possible that the "
            "name is already taken. If you are sure that the vault name was not taken then it is possible that a vault "
            "with the same name was recently deleted but not purged after being placed in a recoverable state.",
        )
    deleted = deleted_vaults(engine)
    row = deleted.get(name.lower())
    if row is None:
        return
    if mode != "recover":
        raise _still_there(name)
    recovered = dict(row["body"].get("properties") or {})
    change.properties.clear()
    change.properties.update(recovered)
    del deleted[name.lower()]
    engine.store.set("deletedVaults", deleted)


def _still_there(name: str) -> ArmError:
    return errors.conflict(
        "ConflictError",
        f"A vault with the same name already exists in deleted state. You need to either recover or purge existing key "
        f"vault '{name}'. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on "
        "soft delete.",
    )


def _deleted(engine: Engine, vault: Resource) -> None:
    days = int(vault.properties.get("softDeleteRetentionInDays") or DEFAULT_RETENTION_DAYS)
    row = {"id": vault.id, "body": vault.body, "at": engine.now, "until": engine.now + days * DAY}
    engine.store.set("deletedVaults", {**deleted_vaults(engine), vault.name.lower(): row})


def _shown(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    name, location = row["id"].rsplit("/", 1)[-1], row["body"]["location"]
    return {
        "id": f"/subscriptions/{call.subscription}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/"
        f"{name}",
        "name": name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": row["id"], "location": location, "tags": row["body"].get("tags") or {},
            "deletionDate": call.engine.clock.iso(row["at"]), "scheduledPurgeDate": call.engine.clock.iso(row["until"]),
            "purgeProtectionEnabled": bool(bodies.get(row["body"], "properties.enablePurgeProtection")),
        },
    }  # fmt: skip


def _list_deleted(call: Call) -> Answer:
    return Answer(200, {"value": [_shown(call, row) for row in deleted_vaults(call.engine).values()]})


def _row(call: Call, name: str) -> dict[str, Any]:
    row = deleted_vaults(call.engine).get(name.lower())
    if row is None:
        raise errors.ArmError(
            errors.NOT_FOUND, "DeletedVaultNotFound", f"The specified deleted vault '{name}' does not exist."
        )
    return row


def _get_deleted(call: Call) -> Answer:
    return Answer(200, _shown(call, _row(call, call.path.name)))


def _purge(call: Call) -> Answer:
    engine, name = call.engine, call.path.names[-1]
    row = _row(call, name)
    if bodies.get(row["body"], "properties.enablePurgeProtection"):
        raise errors.bad_request(
            "DeletedVaultPurge", f"Operation 'DeletedVaultPurge' is not allowed: the vault '{name}' is protected."
        )
    kept = deleted_vaults(engine)
    del kept[name.lower()]
    engine.store.set("deletedVaults", kept)
    gone = Resource(id=row["id"], type=VAULT, body=row["body"])
    operation = engine.begin(gone, "purge", engine.jittered(PURGE_SECONDS, row["id"], "purge"))
    kind = engine.types[VAULT.lower()]
    return Answer(202, None, follow(engine, call.base_url, call.api_version, kind, operation, "POST"))


def _check_name(call: Call) -> Answer:
    name = str((call.body or {}).get("name", ""))
    if not _NAME.match(name):
        text = "The vault name is invalid: 3 to 24 letters, digits and single hyphens, beginning with a letter."
        return Answer(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": text})
    live = any(vault.name.lower() == name.lower() for vault in call.engine.store.of_type(VAULT))
    if live or name.lower() in deleted_vaults(call.engine):
        text = f"The vault name '{name}' is already in use."
        return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": text})
    return Answer(200, {"nameAvailable": True})


TYPES = (
    ResourceType(
        name=VAULT,
        protocol=KEY_VAULT,
        put=Verb(seconds=CREATE_SECONDS, created=200, update_seconds=0, creating="RegisteringDns"),
        patch=Patch(),
        delete=Verb(),
        name_pattern=_NAME,
        required=("properties",),
        defaults={
            "properties.sku": {"family": "A", "name": "standard"}, "properties.accessPolicies": [],
            "properties.enabledForDeployment": False, "properties.softDeleteRetentionInDays": DEFAULT_RETENTION_DAYS,
            "properties.publicNetworkAccess": "Enabled",
        },
        read_only=("properties.vaultUri", "properties.privateEndpointConnections", "properties.hsmPoolResourceId"),
        immutable=("properties.softDeleteRetentionInDays",),
        delete_first=50,
        check=_check,
        deleted=_deleted,
        view=private_endpoints.show_connections,
        depth="soft deletion, recovery, purge, global names",
    ),
)  # fmt: skip

PROVIDER = Provider(
    namespace="Microsoft.KeyVault",
    types=TYPES,
    functions={
        ("GET", "Microsoft.KeyVault/deletedVaults"): _list_deleted,
        ("GET", "Microsoft.KeyVault/locations/deletedVaults"): _get_deleted,
        ("POST", "Microsoft.KeyVault/locations/deletedVaults/purge"): _purge,
        ("POST", "Microsoft.KeyVault/checkNameAvailability"): _check_name,
        **operation_functions(KEY_VAULT),
    },
)
