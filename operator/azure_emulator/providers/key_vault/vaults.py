"""Key vaults on the management plane: soft deletion, recovery, access policies, network rules, private endpoints.

A deleted vault keeps its name until it is recovered or purged; the deleted ones are kept as a setting, not a resource,
together with what was in them.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import parse
from azure_emulator.following import follow
from azure_emulator.providers import checks, private_links
from azure_emulator.providers.global_names import is_taken
from azure_emulator.providers.key_vault.names import DAY, DEFAULT_RETENTION_DAYS, VAULT, retention_days, uri
from azure_emulator.providers.protocols import KEY_VAULT
from azure_emulator.store import Resource
from azure_emulator.types import Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError

_NAME = re.compile(r"^(?=.{3,24}$)[A-Za-z](?:[A-Za-z0-9]|-(?!-))*[A-Za-z0-9]$")
LEAST_RETENTION_DAYS = 7
# Assumptions: how long a vault's name takes to resolve, and a purge to run.
CREATE_SECONDS, PURGE_SECONDS = 25, 30
# From this version on, a new vault asks role assignments unless it is told otherwise (azure-docs,
# key-vault/general/access-control-default).
RBAC_BY_DEFAULT = "2026-02-01"
# What access policies can grant (azure-docs, key-vault/general/assign-access-policy).
_EVERYWHERE = {"all", "get", "list", "delete", "backup", "restore", "recover", "purge"}
PERMISSIONS = {
    "secrets": _EVERYWHERE | {"set"},
    "keys": _EVERYWHERE | {
        "encrypt", "decrypt", "wrapkey", "unwrapkey", "sign", "verify", "create", "update", "import", "release",
        "rotate", "getrotationpolicy", "setrotationpolicy"},
    "certificates": _EVERYWHERE | {
        "create", "import", "update", "managecontacts", "getissuers", "listissuers", "setissuers", "deleteissuers",
        "manageissuers"},
    "storage": _EVERYWHERE | {"set", "update", "regeneratekey", "setsas", "listsas", "getsas", "deletesas"},
}  # fmt: skip
MAX_POLICIES = 1024


def _bad_request(message: str) -> ArmError:
    return errors.bad_request("BadRequest", message)


# -- writing ---------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    engine, name = change.engine, change.path.name
    mode = str(change.properties.pop("createMode", None) or "default").lower()
    if not change.exists:
        _check_free(change, mode)
    properties = change.properties
    if change.old.get("enablePurgeProtection") and properties.get("enablePurgeProtection") is False:
        raise _bad_request(
            'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is '
            "an irreversible action."
        )
    if properties.get("enablePurgeProtection") is False:
        # False is refused by the service at any time, null is not; it is never shown (azure-docs, soft-delete).
        properties.pop("enablePurgeProtection")
    if properties.get("enableSoftDelete") is False:
        raise _bad_request('The property "enableSoftDelete" cannot be set to false for creating new vault.')
    properties["enableSoftDelete"] = True
    properties["vaultUri"] = uri(engine, name)
    properties.setdefault("tenantId", engine.tenant)
    if properties.get("enableRbacAuthorization") is None:
        kept = change.old.get("enableRbacAuthorization")
        properties["enableRbacAuthorization"] = change.api_version >= RBAC_BY_DEFAULT if kept is None else kept
    days = properties["softDeleteRetentionInDays"]
    if not isinstance(days, int) or not LEAST_RETENTION_DAYS <= days <= DEFAULT_RETENTION_DAYS:
        raise _bad_request(
            f'The property "softDeleteRetentionInDays" must be between {LEAST_RETENTION_DAYS} and '
            f"{DEFAULT_RETENTION_DAYS}."
        )
    if str(bodies.get(properties, "sku.name")).lower() not in ("standard", "premium"):
        raise _bad_request("An invalid value was provided for 'sku.name': it must be standard or premium.")
    _check_policies(properties.get("accessPolicies") or [])
    _check_network(properties)


def _check_policies(policies: Any) -> None:
    if not isinstance(policies, list) or len(policies) > MAX_POLICIES:
        raise _bad_request(f"An invalid value was provided for 'accessPolicies': a list of at most {MAX_POLICIES}.")
    for policy in policies:
        if not isinstance(policy, dict) or not all(checks.is_guid(policy.get(key)) for key in ("objectId", "tenantId")):
            raise _bad_request(
                "An invalid value was provided for 'accessPolicies': objectId and tenantId must be GUIDs."
            )
        granted = policy.setdefault("permissions", {})
        for kind, known in PERMISSIONS.items():
            unknown = {str(name).lower() for name in granted.get(kind) or []} - known
            if unknown:
                raise _bad_request(
                    f"An invalid value was provided for 'permissions.{kind}': {', '.join(sorted(unknown))}."
                )


def _check_network(properties: dict[str, Any]) -> None:
    rules = properties.get("networkAcls")
    if rules is None:
        properties.pop("networkAcls", None)
        return
    for name, value in {"bypass": "AzureServices", "defaultAction": "Allow", "ipRules": [],
                        "virtualNetworkRules": []}.items():  # fmt: skip
        rules.setdefault(name, value)
    for rule in rules["ipRules"]:
        address = str(rule.get("value", ""))
        rule["value"] = address if "/" in address else f"{address}/32"


def _check_free(change: Change, mode: str) -> None:
    engine, name = change.engine, change.path.name
    if is_taken(engine, VAULT, name):
        raise errors.conflict(
            "VaultAlreadyExists",
            f"The vault name '{name}' is already in use. Vault names are globally unique so it is possible that the "
            "name is already taken. If you are sure that the vault name was not taken then it is possible that a vault "
            "with the same name was recently deleted but not purged after being placed in a recoverable state.",
        )
    row = deleted_vaults(engine).get(name.lower())
    if row is None and mode == "recover":
        raise _not_deleted(name)
    if row is None:
        return
    if mode != "recover" or row["id"].lower() != change.path.key:
        raise _still_there(name)
    change.body["properties"] = copy.deepcopy(row["body"].get("properties") or {})
    change.body["tags"] = dict(row["body"].get("tags") or {})
    change.internal = {**row.get("internal", {}), "recovered": True}


def _still_there(name: str) -> ArmError:
    return errors.conflict(
        "ConflictError",
        f"A vault with the same name already exists in deleted state. You need to either recover or purge existing key "
        f"vault '{name}'. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on "
        "soft delete.",
    )


def _accepted(change: Change, vault: Resource) -> None:
    """A vault that was recovered has again what was in it."""
    engine = change.engine
    content = vault.internal.pop("content", [])
    if not vault.internal.pop("recovered", False):
        return
    kept = deleted_vaults(engine)
    kept.pop(vault.name.lower(), None)
    engine.store.set("deletedVaults", kept)
    for row in content:
        engine.store.save(Resource(
            id=f"{vault.id}/{row['type'].rsplit('/', 1)[-1]}/{row['id'].rsplit('/', 1)[-1]}", type=row["type"],
            body=row["body"], internal=row["internal"], complete=True, created=engine.now,
        ))  # fmt: skip


def _not_allowed(path: str) -> ArmError:
    name = path.removeprefix("properties.")
    return _bad_request(f'The property "{name}" has been set already and it can\'t be modified.')


# -- deleted vaults --------------------------------------------------------------------------------------------------


def deleted_vaults(engine: Engine) -> dict[str, dict[str, Any]]:
    """Soft-deleted vaults that are still kept, by lower-case name."""
    kept: dict[str, dict[str, Any]] = engine.setting("deletedVaults", {})
    return {name: row for name, row in kept.items() if row["until"] > engine.now}


def _deleted(engine: Engine, vault: Resource) -> None:
    if not vault.complete:
        return  # a vault whose creation failed leaves nothing behind
    row = {
        "id": vault.id, "body": vault.body, "internal": vault.internal, "at": engine.now,
        "until": engine.now + retention_days(vault) * DAY,
    }  # fmt: skip
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


def list_deleted(call: Call) -> Answer:
    """GET …/providers/Microsoft.KeyVault/deletedVaults."""
    rows = [row for row in deleted_vaults(call.engine).values() if _is_of(call, row)]
    return Answer(200, {"value": [_shown(call, row) for row in rows]})


def list_deleted_modules(call: Call) -> Answer:  # noqa: ARG001 (nobody has any)
    """GET …/providers/Microsoft.KeyVault/deletedManagedHSMs: none, ever; az asks for them along with the vaults."""
    return Answer(200, {"value": []})


def _is_of(call: Call, row: dict[str, Any]) -> bool:
    return bodies.same(parse(row["id"]).subscription, call.subscription)


def _not_deleted(name: str) -> ArmError:
    return errors.ArmError(
        errors.NOT_FOUND, "DeletedVaultNotFound", f"The specified deleted vault '{name}' does not exist."
    )


def _row(call: Call) -> dict[str, Any]:
    location, name = call.path.names[:2]
    row = deleted_vaults(call.engine).get(name.lower())
    if row is None or not _is_of(call, row) or locations.normalise(location) != row["body"]["location"]:
        raise _not_deleted(name)
    return row


def get_deleted(call: Call) -> Answer:
    """GET …/locations/{location}/deletedVaults/{name}."""
    return Answer(200, _shown(call, _row(call)))


def purge(call: Call) -> Answer:
    """POST …/locations/{location}/deletedVaults/{name}/purge."""
    engine, row = call.engine, _row(call)
    name = call.path.names[-1]
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


def check_name(call: Call) -> Answer:
    """POST …/checkNameAvailability."""
    name = str((call.body if isinstance(call.body, dict) else {}).get("name", ""))
    if not _NAME.match(name):
        text = "The vault name is invalid: 3 to 24 letters, digits and single hyphens, beginning with a letter."
        return Answer(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": text})
    if is_taken(call.engine, VAULT, name) or name.lower() in deleted_vaults(call.engine):
        text = f"The vault name '{name}' is already in use."
        return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": text})
    return Answer(200, {"nameAvailable": True})


# -- access policies -------------------------------------------------------------------------------------------------


def update_policies(call: Call) -> Answer:
    """PUT …/vaults/{name}/accessPolicies/{add|replace|remove}."""
    engine = call.engine
    vault = engine.require(parse("/".join(call.path.text.split("/")[:-2])))
    how, body = call.path.name.lower(), call.body if isinstance(call.body, dict) else {}
    asked = copy.deepcopy(bodies.get(body, "properties.accessPolicies"))
    if how not in ("add", "replace", "remove"):
        raise _bad_request(f"The operation kind '{call.path.name}' must be add, replace or remove.")
    _check_policies(asked)
    kept = {_policy_key(policy): policy for policy in vault.properties.get("accessPolicies") or []}
    for policy in asked:
        key = _policy_key(policy)
        if how == "replace":
            kept[key] = policy
        elif how == "add":
            kept[key] = _joined(kept.get(key), policy, without=False)
        elif key in kept:
            left = _joined(kept[key], policy, without=True)
            kept[key] = left
            if not any(left["permissions"].values()):
                del kept[key]
    vault.properties["accessPolicies"] = list(kept.values())
    vault.changed = engine.now
    engine.store.save(vault)
    return Answer(200, {
        "id": f"{vault.id}/accessPolicies/", "type": f"{VAULT}/accessPolicies", "location": vault.location,
        "properties": {"accessPolicies": list(kept.values())},
    })  # fmt: skip


def _policy_key(policy: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(policy.get(key) or "").lower() for key in ("tenantId", "objectId", "applicationId"))


def _joined(old: dict[str, Any] | None, new: dict[str, Any], *, without: bool) -> dict[str, Any]:
    """One policy of both: permissions added to each other, or taken away."""
    before = (old or {}).get("permissions") or {}
    permissions = {}
    for kind in PERMISSIONS:
        named = {str(name).lower() for name in new["permissions"].get(kind) or []}
        kept = [name for name in before.get(kind) or [] if not without or str(name).lower() not in named]
        known = {str(name).lower() for name in kept}
        added = [] if without else [name for name in new["permissions"].get(kind) or [] if name.lower() not in known]
        if kind in before or added:
            permissions[kind] = [*kept, *added]
    return {**(old or new), "permissions": permissions}


# -- shown -----------------------------------------------------------------------------------------------------------


def _view(engine: Engine, vault: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    shown["properties"]["vaultUri"] = uri(engine, vault.name)
    private_links.show(engine, vault, shown, query)


TYPE = ResourceType(
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
    immutable_error=_not_allowed,
    delete_first=50,
    check=_check,
    accepted=_accepted,
    deleted=_deleted,
    view=_view,
    depth="soft deletion with content, recovery, purge, global names, access policies, secrets on a host of its own",
)  # fmt: skip
