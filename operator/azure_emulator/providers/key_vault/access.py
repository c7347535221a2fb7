"""Who may do what in a vault: by its access policies, or by role assignments, as the vault was set up.

Asked only when rights are switched on (setting `rights`); until then everybody may do everything.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies
from azure_emulator.arm_path import last_name
from azure_emulator.providers.key_vault.names import VaultError

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
# Data actions on secrets of the built-in roles that have any.
_ROLES = {
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": ("Microsoft.KeyVault/vaults/*",),  # Key Vault Administrator
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": (f"{_SECRETS}/*",),  # Key Vault Secrets Officer
    "4633458b-17de-408a-b874-0445c86b69e6": (f"{_SECRETS}/getSecret/action", f"{_SECRETS}/readMetadata/action"),
    "21090545-7ca7-4776-b22c-e363652d74d2": (f"{_SECRETS}/readMetadata/action",),  # Key Vault Reader
}


def require(call: DataCall, vault: Resource, operation: str, name: str = "") -> None:
    """Refuse with 403 what the bearer may not do with the secrets of a vault."""
    engine, principal = call.engine, call.principal
    if principal is None or not engine.setting("rights", default=False):
        return
    permission, action = OPERATIONS[operation]
    caller = f"appid={principal.app_id};oid={principal.object_id};iss=https://sts.windows.net/{engine.tenant}/"
    place = f"{vault.name};location={vault.location}"
    if vault.properties.get("enableRbacAuthorization"):
        target = f"{vault.id.lower()}/secrets/{name}".removesuffix("/")
        if not _has_role(engine, principal, action, target):
            raise VaultError(
                403,
                "Forbidden",
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or "
                "role definitions were changed recently, please observe propagation time.\r\n"
                f"Caller: {caller}\r\nAction: '{action}'\r\nResource: '{target}'\r\nAssignment: (not found)\r\n"
                f"DenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: {place}\r\n",
                inner="ForbiddenByRbac",
            )
    elif not _has_policy(vault, principal, permission):
        raise VaultError(
            403,
            "Forbidden",
            f"The user, group or application '{caller}' does not have secrets {permission} permission on key vault "
            f"'{place}'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
            inner="AccessDenied",
        )


def _has_policy(vault: Resource, principal: Principal, permission: str) -> bool:
    return any(
        bodies.same(policy.get("objectId"), principal.object_id)
        and {"all", permission} & {str(name).lower() for name in bodies.get(policy, "permissions.secrets") or []}
        for policy in vault.properties.get("accessPolicies") or []
    )


def _has_role(engine: Engine, principal: Principal, action: str, target: str) -> bool:
    for assignment in engine.store.of_type("Microsoft.Authorization/roleAssignments"):
        given: dict[str, Any] = assignment.properties
        scope = str(given.get("scope", "")).lower().rstrip("/")
        if not bodies.same(given.get("principalId"), principal.object_id):
            continue
        if target != scope and not target.startswith(f"{scope}/"):
            continue
        role = last_name(str(given.get("roleDefinitionId"))).lower()
        if any(fnmatchcase(action, pattern) for pattern in _ROLES.get(role, ())):
            return True
    return False
