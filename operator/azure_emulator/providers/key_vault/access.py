"""Who may do what in a vault: by its access policies, or by role assignments, as the vault was set up.

Asked only when rights are switched on (setting `rights` is "on"); until then everybody may do everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator import bodies
from azure_emulator.providers import directory
from azure_emulator.providers.key_vault.names import VaultError
from azure_emulator.rights import access as rights

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import DataCall, Principal

_SECRETS = "Microsoft.KeyVault/vaults/secrets"
# What a request does -> the permission of an access policy, and the data action of a role.
OPERATIONS = {
    "get": ("get", f"{_SECRETS}/getSecret/action"),
    "set": ("set", f"{_SECRETS}/setSecret/action"),
    "update": ("set", f"{_SECRETS}/update/action"),
    "list": ("list", f"{_SECRETS}/readMetadata/action"),
    "delete": ("delete", f"{_SECRETS}/delete"),
    "getDeleted": ("get", f"{_SECRETS}/readMetadata/action"),
    "recover": ("recover", f"{_SECRETS}/recover/action"),
    "purge": ("purge", f"{_SECRETS}/purge/action"),
    "backup": ("backup", f"{_SECRETS}/backup/action"),
    "restore": ("restore", f"{_SECRETS}/restore/action"),
}


def require(call: DataCall, vault: Resource, operation: str, name: str = "") -> None:
    """Refuse with 403 what the bearer may not do with the secrets of a vault."""
    engine, principal = call.engine, call.principal
    if principal is None or not rights.is_on(engine):
        return
    permission, action = OPERATIONS[operation]
    caller = f"appid={principal.app_id};oid={principal.object_id};iss=https://sts.windows.net/{engine.tenant}/"
    place = f"{vault.name};location={vault.location}"
    if vault.properties.get("enableRbacAuthorization"):
        target = f"{vault.id.lower()}/secrets/{name}".removesuffix("/")
        if not rights.allows(engine, principal, action, target, data=True):
            raise VaultError(
                403,
                "Forbidden",
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or "
                "role definitions were changed recently, please observe propagation time.\r\n"
                f"Caller: {caller}\r\nAction: '{action}'\r\nResource: '{target}'\r\nAssignment: (not found)\r\n"
                f"DenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: {place}\r\n",
                inner="ForbiddenByRbac",
            )
    elif not _has_policy(engine, vault, principal, permission):
        raise VaultError(
            403,
            "Forbidden",
            f"The user, group or application '{caller}' does not have secrets {permission} permission on key vault "
            f"'{place}'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
            inner="AccessDenied",
        )


def _has_policy(engine: Engine, vault: Resource, principal: Principal, permission: str) -> bool:
    holders = {principal.object_id.lower(), *directory.groups_of(engine, principal.object_id)}
    return any(
        str(policy.get("objectId")).lower() in holders
        and {"all", permission} & {str(name).lower() for name in bodies.get(policy, "permissions.secrets") or []}
        for policy in vault.properties.get("accessPolicies") or []
    )
