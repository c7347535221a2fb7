"""Microsoft.Authorization: role assignments on any scope, and the built-in roles that people use here.

Nobody is refused for lack of a role: the assignments are kept, checked and listed as Azure does, and not enforced.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import last_name
from azure_emulator.providers import identity
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, Call, Change, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
DEFINITION = "Microsoft.Authorization/roleDefinitions"

# The real ids of built-in roles (azure-docs, role-based-access-control/built-in-roles).
ROLES = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
    "4d97b98b-1d4f-4787-a291-c67834d212e7": "Network Contributor",
    "b12aa53e-6015-4669-85d0-8515ebb3ae7f": "Private DNS Zone Contributor",
    "9980e02c-c2be-4d73-94e8-173b1dc7cf3c": "Virtual Machine Contributor",
    "1c0163c0-47e6-4577-8991-ea5c82e286e4": "Virtual Machine Administrator Login",
    "fb879df8-f326-4884-b1cf-06f3ad86be52": "Virtual Machine User Login",
    "f1a07417-d97a-45cb-824c-7a7467783830": "Managed Identity Operator",
    "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59": "Managed Identity Contributor",
    "17d1049b-9a84-46fb-8f53-869881c3d3ab": "Storage Account Contributor",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "0c867c2a-1d8c-454a-a3db-ab2ea1bdc8bb": "Storage File Data SMB Share Contributor",
    "f25e0fa2-a7c8-4377-a976-54943a77a395": "Key Vault Contributor",
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": "Key Vault Administrator",
    "21090545-7ca7-4776-b22c-e363652d74d2": "Key Vault Reader",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "43d0d8ad-25c7-4714-9337-8ba259a9fe05": "Monitoring Reader",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
    "92aaf0da-9dab-42b6-94a3-d43ce8d16293": "Log Analytics Contributor",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
}
# Actions of the roles whose permissions are well known; the others are listed without.
_ACTIONS = {
    "Owner": (["*"], []),
    "Contributor": (
        ["*"],
        ["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write",
         "Microsoft.Authorization/elevateAccess/Action"],
    ),
    "Reader": (["*/read"], []),
    "User Access Administrator": (["*/read", "Microsoft.Authorization/*"], []),
    "Network Contributor": (["Microsoft.Authorization/*/read", "Microsoft.Network/*"], []),
}  # fmt: skip
# Who the emulated caller is.
CALLER = "00000000-0000-0000-0000-00000000ca11"


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _check(change: Change) -> None:
    properties, name = change.properties, change.path.name
    if not _is_guid(name):
        raise errors.bad_request(
            "InvalidRoleAssignmentId",
            f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.",
        )
    principal_id, role = str(properties["principalId"]), last_name(str(properties["roleDefinitionId"])).lower()
    if not _is_guid(principal_id):
        raise errors.bad_request(
            "InvalidPrincipalId",
            f"The Principal ID '{principal_id}' is not valid. Principal ID must be a GUID.",
        )
    if role not in ROLES:
        raise errors.bad_request(
            "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{role}' does not exist."
        )
    scope = change.path.scope or "/"
    if change.exists:
        _check_same(change, principal_id, role)
    else:
        _check_new(change, scope, principal_id, role)
        _check_principal(change, principal_id)
    moment = change.engine.clock.iso(change.engine.now)
    properties["roleDefinitionId"] = f"/subscriptions/{change.subscription}/providers/{DEFINITION}/{role}"
    properties["scope"] = scope
    properties.setdefault("createdOn", moment)
    properties.setdefault("createdBy", CALLER)
    properties |= {"updatedOn": moment, "updatedBy": CALLER}
    for empty in ("condition", "conditionVersion", "delegatedManagedIdentityResourceId", "description"):
        properties.setdefault(empty, None)


def _check_same(change: Change, principal_id: str, role: str) -> None:
    old = change.old
    same_role = last_name(str(old["roleDefinitionId"])).lower() == role
    if not same_role or not bodies.same(old["principalId"], principal_id):
        raise errors.bad_request(
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        )


def _check_new(change: Change, scope: str, principal_id: str, role: str) -> None:
    for other in change.engine.store.children(scope, ASSIGNMENT):
        same_role = last_name(str(other.properties["roleDefinitionId"])).lower() == role
        if same_role and bodies.same(other.properties["principalId"], principal_id):
            raise errors.conflict(
                "RoleAssignmentExists",
                "The role assignment already exists. The ID of the existing role assignment is "
                f"{other.name.replace('-', '').lower()}.",
            )


def _check_principal(change: Change, principal_id: str) -> None:
    """Without principalType Azure asks the directory, which learns of new identities late."""
    properties, engine = change.properties, change.engine
    ours = any(
        bodies.same(found.properties.get("principalId"), principal_id)
        for found in engine.store.of_type(identity.IDENTITY)
    )
    if properties.get("principalType") is not None:
        return
    if ours and identity.principal(engine, principal_id) is None:
        raise errors.bad_request(
            "PrincipalNotFound",
            f"Principal {principal_id.replace('-', '')} does not exist in the directory {engine.tenant}. Check that "
            "you have the correct principal ID. If you are creating this principal and then immediately assigning a "
            "role, this error might be related to a replication delay. In this case, set the role assignment "
            "principalType property to a value, such as ServicePrincipal, User, or Group. See "
            "https://aka.ms/docs-principaltype",
        )
    properties["principalType"] = "ServicePrincipal" if ours else "User"


def _assignments(call: Call) -> Answer:
    """GET of one, or the list at a scope: what is inherited from above, and below it unless atScope() is asked."""
    engine, path = call.engine, call.path
    if path.is_resource:
        return Answer(200, engine.view(engine.require(path, engine.types[ASSIGNMENT.lower()])))
    scope = path.scope.lower()
    text = call.query.get("$filter", "")
    wanted = re.search(r"(?:principalId\s+eq\s+|assignedTo\()'([^']*)'", text)
    found = []
    for assignment in engine.store.of_type(ASSIGNMENT):
        own = str(assignment.properties["scope"]).lower()
        above = scope == own or scope.startswith(f"{own}/")
        below = own.startswith(f"{scope}/") and "atscope()" not in text.lower()
        if (above or below) and _is_wanted(assignment, wanted[1] if wanted else None):
            found.append(assignment)
    return engine.page(call, found)


def _is_wanted(assignment: Resource, principal_id: str | None) -> bool:
    return principal_id is None or bodies.same(assignment.properties["principalId"], principal_id)


def _definitions(call: Call) -> Answer:
    engine, path = call.engine, call.path
    if path.is_resource:
        name = ROLES.get(path.name.lower())
        if name is None:
            raise errors.ArmError(
                errors.NOT_FOUND,
                "RoleDefinitionDoesNotExist",
                f"The specified role definition with ID '{path.name}' does not exist.",
            )
        return Answer(200, _definition(engine, call.subscription, path.name.lower(), name))
    match = re.search(r"roleName\s+eq\s+'([^']*)'", call.query.get("$filter", ""))
    shown = [
        _definition(engine, call.subscription, guid, name)
        for guid, name in ROLES.items()
        if match is None or name.lower() == match[1].lower()
    ]
    return Answer(200, {"value": shown})


def _definition(engine: Engine, subscription: str, guid: str, name: str) -> dict[str, Any]:  # noqa: ARG001
    actions, not_actions = _ACTIONS.get(name, ([], []))
    prefix = f"/subscriptions/{subscription}" if subscription else ""
    return {
        "id": f"{prefix}/providers/{DEFINITION}/{guid}",
        "type": DEFINITION,
        "name": guid,
        "properties": {
            "roleName": name, "type": "BuiltInRole", "description": name, "assignableScopes": ["/"],
            "permissions": [{"actions": actions, "notActions": not_actions, "dataActions": [], "notDataActions": []}],
        },
    }  # fmt: skip


TYPES = (
    ResourceType(
        name=ASSIGNMENT,
        protocol=SYNCHRONOUS,
        put=Verb(),
        delete=Verb(),
        location=None,
        tags=False,
        extension=True,
        has_state=False,
        returns_deleted=True,
        required=("properties.roleDefinitionId", "properties.principalId"),
        read_only=("properties.scope", "properties.createdOn", "properties.createdBy", "properties.updatedOn",
                   "properties.updatedBy"),
        delete_first=1,
        check=_check,
        depth="any scope, replication delay, duplicates, what cannot be updated, inherited lists; not enforced",
    ),
)  # fmt: skip

PROVIDER = Provider(
    namespace="Microsoft.Authorization",
    types=TYPES,
    functions={("GET", ASSIGNMENT): _assignments, ("GET", DEFINITION): _definitions},
)
