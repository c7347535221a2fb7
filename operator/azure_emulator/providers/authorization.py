"""Microsoft.Authorization: role assignments and definitions on any scope, and the gate that asks for them.

The gate lets everybody pass until the setting `rights` is "on". Which roles there are, and what somebody may do, is
known in azure_emulator.rights; who somebody is, in directory.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import checks, directory
from azure_emulator.providers.management_groups import is_within
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.rights import access, conditions, roles
from azure_emulator.rights.access import ASSIGNMENT
from azure_emulator.rights.conditions import Facts
from azure_emulator.rights.roles import DEFINITION, Role
from azure_emulator.store import resource_ids
from azure_emulator.types import SOMEBODY, Answer, Call, Change, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Resource

_SAME_TENANT = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
# Where an operation is followed: ARM asks for no role there, whoever has the URL may read it.
_POLLED = re.compile(r"/[a-z]*operation(s|results?|status(es)?)$", re.IGNORECASE)
# Documents that everybody may read who has a role anywhere in the subscription.
_SUBSCRIPTION_READS = frozenset({
    "microsoft.resources/subscriptions", "microsoft.resources/locations", "microsoft.resources/subscriptions/locations",
    "microsoft.resources/providers", "microsoft.resources/tagnames", "microsoft.authorization/permissions",
    "microsoft.authorization/classicadministrators",
})  # fmt: skip
# Lists of everything, which show what one may read.
_EVERYTHING = frozenset({"microsoft.resources/resources", "microsoft.resources/resourcegroups/resources"})


# -- the gate --------------------------------------------------------------------------------------------------------


def refuse_unauthorized(call: Call, action: str) -> None:
    """The gate: AuthorizationFailed without a role, LinkedAuthorizationFailed without one for what the body names."""
    engine, path, principal = call.engine, call.path, call.principal
    if not access.is_on(engine) or principal == SOMEBODY or _is_open(call):
        return
    scope = (path.text if path.is_resource else path.parent) or "/"
    if _shows_what_is_theirs(call):
        # Lists leave out what one may not read; it takes a role somewhere below to get one at all.
        if path.type_name.lower() in _SUBSCRIPTION_READS | _EVERYTHING:
            allowed = access.has_any_role(engine, principal, path.subscription or "")
        else:
            allowed = access.reaches(engine, principal, action, scope)
    else:
        allowed = access.allows(engine, principal, action, scope, facts=_facts(call, action))
    if not allowed:
        raise authorization_failed(call, action, scope)
    if call.method in ("PUT", "PATCH"):
        _refuse_unlinked(call, action, scope)


def screen(call: Call, found: list[Resource]) -> list[Resource]:
    """Leave out of a list what the principal may not read."""
    return access.readable(call.engine, call.principal, found)


def _is_open(call: Call) -> bool:
    path = call.path
    if path.subscription is None:
        return call.method in ("GET", "HEAD", "POST")  # the tenant's: lists of subscriptions, providers, built-in roles
    return call.method == "GET" and path.is_resource and _POLLED.search(path.type_name) is not None


def _shows_what_is_theirs(call: Call) -> bool:
    if call.method != "GET":
        return False
    key = call.path.type_name.lower()
    if key in _SUBSCRIPTION_READS:
        return True
    return not call.path.is_resource and (key in call.engine.types or key in _EVERYTHING)


def _facts(call: Call, action: str) -> Facts:
    """What conditions may ask about: of role assignments everything, of other requests the action."""
    if not action.lower().startswith(f"{ASSIGNMENT.lower()}/"):
        return Facts(action)
    asked = bodies.get(call.body, "properties") if isinstance(call.body, dict) else None
    held = call.engine.store.get(call.path.text)
    attributes = {
        "request": _attributes(call.engine, asked if isinstance(asked, dict) else {}),
        "resource": _attributes(call.engine, held.properties if held is not None else {}),
    }
    return Facts(action, attributes)


def _attributes(engine: Engine, properties: dict[str, Any]) -> dict[str, str]:
    principal = str(properties.get("principalId", ""))
    kind = properties.get("principalType")
    if kind is None and principal:
        entry = directory.by_object_id(engine, principal)
        kind = entry.kind if entry is not None else None
    values = {
        "roledefinitionid": str(properties.get("roleDefinitionId", "")).rsplit("/", 1)[-1],
        "principalid": principal,
        "principaltype": str(kind or ""),
    }
    return {f"{ASSIGNMENT.lower()}:{name}": value for name, value in values.items() if value}


def _refuse_unlinked(call: Call, action: str, scope: str) -> None:
    engine, own = call.engine, call.path.key
    missing: dict[str, str] = {}  # linked scope -> action
    for linked in sorted(resource_ids(call.body)):
        kind = engine.types.get(parse(linked).type_name)
        inside = linked == own or linked.startswith(f"{own}/")
        if inside or kind is None or kind.linked_action is None:
            continue
        asked = f"{kind.name}/{kind.linked_action}"
        if not access.allows(engine, call.principal, asked, linked):
            missing[linked] = asked
    if action.lower() == f"{DEFINITION.lower()}/write":
        # A custom role is written in every scope in which it can be assigned.
        listed = bodies.get(call.body, "properties.assignableScopes", [])
        for assignable in listed if isinstance(listed, list) else []:
            if not access.allows(engine, call.principal, action, str(assignable)):
                missing[str(assignable)] = action
    if missing:
        raise errors.ArmError(
            errors.FORBIDDEN,
            "LinkedAuthorizationFailed",
            f"The client '{_client(call)}' with object id '{call.principal.object_id}' has permission to perform "
            f"action '{action}' on scope '{scope}'; however, it does not have permission to perform action(s) "
            f"'{','.join(dict.fromkeys(missing.values()))}' on the linked scope(s) '{','.join(missing)}' "
            "(respectively) or the linked scope(s) are invalid.",
        )


def authorization_failed(call: Call, action: str, scope: str) -> ArmError:
    """Nobody gave the principal of a request a role for this."""
    return errors.ArmError(
        errors.FORBIDDEN,
        "AuthorizationFailed",
        f"The client '{_client(call)}' with object id '{call.principal.object_id}' does not have authorization to "
        f"perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, "
        "please refresh your credentials.",
    )


def _client(call: Call) -> str:
    principal = call.principal
    return principal.app_id or principal.name or principal.object_id


# -- role assignments ------------------------------------------------------------------------------------------------


def assign(engine: Engine, scope: str, role: Role, object_id: str, kind: str) -> Resource:
    """Give somebody a role from outside of ARM; it works at once. An assignment that is there already stays."""
    for other in engine.store.children(scope, ASSIGNMENT):
        if bodies.same(other.properties["principalId"], object_id) and _is_of(other, role):
            return other
    properties = {"roleDefinitionId": f"/providers/{DEFINITION}/{role.guid}", "principalId": object_id}
    identity = f"{scope.rstrip('/')}/providers/{ASSIGNMENT}/{engine.guid()}"
    assignment = engine.create(identity, {"properties": {**properties, "principalType": kind}})
    assignment.internal["atOnce"] = True
    engine.store.save(assignment)
    return assignment


def _check(change: Change) -> None:
    properties, name, engine = change.properties, change.path.name, change.engine
    if not checks.is_guid(name):
        raise errors.bad_request(
            "InvalidRoleAssignmentId",
            f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.",
        )
    principal_id = str(properties["principalId"])
    if not checks.is_guid(principal_id):
        raise errors.bad_request(
            "InvalidPrincipalId",
            f"The Principal ID '{principal_id}' is not valid. Principal ID must be a GUID.",
        )
    scope = change.path.scope or "/"
    role = roles.find(engine, str(properties["roleDefinitionId"]))
    if role is None or not role.is_assignable(engine, scope):
        guid = str(properties["roleDefinitionId"]).rsplit("/", 1)[-1]
        raise errors.bad_request(
            "RoleDefinitionDoesNotExist", f"The specified role definition with ID '{guid}' does not exist."
        )
    _check_condition(change)
    if change.exists:
        _check_same(change, principal_id, role)
    else:
        _check_new(change, scope, principal_id, role)
        _check_principal(change, principal_id)
    _stamp(change)
    prefix = f"/subscriptions/{change.subscription}" if change.subscription else ""
    properties["roleDefinitionId"] = f"{prefix}/providers/{DEFINITION}/{role.guid}"
    properties["scope"] = scope
    for empty in ("condition", "conditionVersion", "delegatedManagedIdentityResourceId", "description"):
        properties.setdefault(empty, None)


def _stamp(change: Change) -> None:
    moment, who = change.engine.clock.iso(change.engine.now), change.engine.principal.object_id
    change.properties.setdefault("createdOn", moment)
    change.properties.setdefault("createdBy", who)
    change.properties.update(updatedOn=moment, updatedBy=who)


def _check_condition(change: Change) -> None:
    condition = change.properties.get("condition")
    if condition is None:
        return
    try:
        conditions.parse(str(condition))
        valid = str(change.properties.setdefault("conditionVersion", "2.0")) == "2.0"
    except conditions.ConditionError:
        valid = False
    if not valid:
        # The text is documented, its code is not: an assumption.
        raise errors.bad_request("BadRequestFormat", "The given role assignment condition is invalid.")


def _check_same(change: Change, principal_id: str, role: Role) -> None:
    old = change.old
    same_role = bodies.same(str(old["roleDefinitionId"]).rsplit("/", 1)[-1], role.guid)
    if not same_role or not bodies.same(old["principalId"], principal_id):
        raise errors.bad_request("RoleAssignmentUpdateNotPermitted", _SAME_TENANT)


def _check_new(change: Change, scope: str, principal_id: str, role: Role) -> None:
    for other in change.engine.store.children(scope, ASSIGNMENT):
        if _is_of(other, role) and bodies.same(other.properties["principalId"], principal_id):
            raise errors.conflict(
                "RoleAssignmentExists",
                "The role assignment already exists. The ID of the existing role assignment is "
                f"{other.name.replace('-', '').lower()}.",
            )


def _is_of(assignment: Resource, role: Role) -> bool:
    return bodies.same(str(assignment.properties["roleDefinitionId"]).rsplit("/", 1)[-1], role.guid)


def _check_principal(change: Change, principal_id: str) -> None:
    """Without principalType Azure asks the directory, which learns of new identities late."""
    properties, engine = change.properties, change.engine
    entry = directory.by_object_id(engine, principal_id)
    kind = properties.get("principalType")
    if kind is not None:
        if entry is not None and not bodies.same(kind, entry.kind):
            raise errors.bad_request(
                "UnmatchedPrincipalType",
                f"The PrincipalId '{principal_id.replace('-', '')}' has type '{entry.kind}' , which is different from "
                f"specified PrinciaplType '{kind}'.",
            )
        return
    # As long as nobody asks for rights, any GUID may be a user: the directory of a trial is empty.
    if (entry is None and access.is_on(engine)) or (entry is not None and not directory.is_replicated(engine, entry)):
        raise errors.bad_request(
            "PrincipalNotFound",
            f"Principal {principal_id.replace('-', '')} does not exist in the directory {engine.tenant}. Check that "
            "you have the correct principal ID. If you are creating this principal and then immediately assigning a "
            "role, this error might be related to a replication delay. In this case, set the role assignment "
            "principalType property to a value, such as ServicePrincipal, User, or Group. See "
            "https://aka.ms/docs-principaltype",
        )
    properties["principalType"] = entry.kind if entry is not None else directory.USER


def _assignments(call: Call) -> Answer | None:
    """The list at a scope: what is inherited from above, and below it unless atScope() is asked."""
    engine, path = call.engine, call.path
    if path.is_resource:
        return None
    scope, text = path.scope or "/", call.query.get("$filter", "")
    only_above = "atscope()" in text.lower()
    holders = _holders(engine, text)
    found = []
    for assignment in engine.store.of_type(ASSIGNMENT):
        own = str(assignment.properties["scope"])
        inherited = is_within(engine, scope, own)
        below = is_within(engine, own, scope) and not only_above
        theirs = holders is None or str(assignment.properties["principalId"]).lower() in holders
        if (inherited or below) and theirs:
            found.append(assignment)
    return engine.page(call, found)


def _holders(engine: Engine, text: str) -> frozenset[str] | None:
    """Principals whose assignments a filter asks for; `assignedTo` counts those of their groups."""
    direct = re.search(r"principalId\s+eq\s+'([^']*)'", text, re.IGNORECASE)
    if direct is not None:
        return frozenset({direct[1].lower()})
    assigned = re.search(r"assignedTo\('([^']*)'\)", text, re.IGNORECASE)
    if assigned is not None:
        return directory.groups_of(engine, assigned[1]) | {assigned[1].lower()}
    return None


# -- role definitions ------------------------------------------------------------------------------------------------


def _definitions(call: Call) -> Answer:
    engine, path = call.engine, call.path
    if path.is_resource:
        role = roles.find(engine, path.name)
        if role is None:
            raise _no_definition(path.name)
        return Answer(200, _document(call, role))
    text, scope = call.query.get("$filter", ""), path.scope or "/"
    name = re.search(r"roleName\s+eq\s+'((?:[^']|'')*)'", text, re.IGNORECASE)
    kind = re.search(r"(?<![a-z])type\s+eq\s+'([^']*)'", text, re.IGNORECASE)
    shown = [
        _document(call, role)
        for role in (*roles.built_in().values(), *roles.custom(engine))
        if (name is None or role.name.lower() == name[1].replace("''", "'").lower())
        and (kind is None or role.kind.lower() == kind[1].lower())
        and (role.is_assignable(engine, scope) or any(is_within(engine, own, scope) for own in role.scopes))
    ]
    return Answer(200, {"value": shown})


def _no_definition(guid: str) -> ArmError:
    return errors.ArmError(
        errors.NOT_FOUND,
        "RoleDefinitionDoesNotExist",
        f"The specified role definition with ID '{guid}' does not exist.",
    )


def _document(call: Call, role: Role) -> dict[str, Any]:
    stamps: dict[str, Any] = {}
    if role.resource is not None:
        names = ("createdOn", "createdBy", "updatedOn", "updatedBy")
        stamps = {name: role.resource.properties.get(name) for name in names}
    return role.document(call.subscription, stamps)


def _put_definition(call: Call) -> Answer | None:
    """PUT: a custom role is one and the same in all scopes in which it can be assigned."""
    engine, path = call.engine, call.path
    if not path.is_resource:
        return None
    known = roles.find(engine, path.name)
    if known is not None and known.resource is None:
        # The code is an assumption.
        raise errors.bad_request("BuiltInRoleUpdateNotAllowed", f"The built-in role '{known.name}' cannot be changed.")
    scope = path.scope or "/"
    if not engine.exists(scope):
        raise errors.parent_not_found(DEFINITION, scope)
    identity = known.resource.id if known is not None and known.resource is not None else path.text
    engine.create(identity, call.body)
    role = roles.find(engine, path.name)
    if role is None:
        raise _no_definition(path.name)
    return Answer(201, _document(call, role))


def _delete_definition(call: Call) -> Answer | None:
    engine, path = call.engine, call.path
    role = roles.find(engine, path.name) if path.is_resource else None
    if role is None:
        return None
    if role.resource is None:
        # The code is an assumption.
        raise errors.bad_request("BuiltInRoleDeleteNotAllowed", f"The built-in role '{role.name}' cannot be deleted.")
    shown = _document(call, role)
    engine.begin_delete(role.resource)
    return Answer(200, shown)


def _refuse_assigned(engine: Engine, definition: Resource, _query: Any) -> None:
    for assignment in engine.store.of_type(ASSIGNMENT):
        if bodies.same(str(assignment.properties["roleDefinitionId"]).rsplit("/", 1)[-1], definition.name):
            raise errors.bad_request(
                "RoleDefinitionHasAssignments", "There are existing role assignments referencing role."
            )


def _check_definition(change: Change) -> None:
    properties, name = change.properties, change.path.name
    if not checks.is_guid(name):
        raise errors.bad_request(
            "InvalidRoleDefinitionId",
            f"The role definition ID '{name}' is not valid. The role definition ID must be a GUID.",
        )
    scopes, listed = properties["assignableScopes"], properties["permissions"]
    if not isinstance(scopes, list) or not scopes or not all(isinstance(one, str) and one[:1] == "/" for one in scopes):
        raise errors.bad_request(
            "InvalidRequestContent", "'assignableScopes' of a role definition lists the ids of scopes, one at least."
        )
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise errors.bad_request("InvalidRequestContent", "'permissions' of a role definition is a list of objects.")
    if "/" in scopes:
        # Only built-in roles can be assigned everywhere; the code is an assumption.
        raise errors.bad_request("InvalidAssignableScopes", "The root scope '/' is not allowed in a custom role.")
    same = roles.by_name(change.engine, str(properties["roleName"]))
    if same is not None and not bodies.same(same.guid, name):
        raise errors.conflict(
            "RoleDefinitionWithSameNameExists",
            "A custom role with the same name already exists in this directory. Use a different name",
        )
    properties["type"] = roles.CUSTOM
    _stamp(change)


# -- documents -------------------------------------------------------------------------------------------------------


def _permissions(call: Call) -> Answer:
    """What the caller may do at a scope."""
    given = access.permissions(call.engine, call.principal, call.path.scope or "/")
    return Answer(200, {"value": [permission.document() for permission in given]})


def _none(call: Call) -> Answer:
    """Deny assignments come with deployment stacks and managed applications, classic administrators are history."""
    if call.path.is_resource:
        # Assumption: the code is made as those of role assignments and definitions are.
        code = "DenyAssignmentNotFound" if call.path.types[-1].lower() == "denyassignments" else "NotFound"
        raise errors.ArmError(errors.NOT_FOUND, code, f"The resource '{call.path.text}' could not be found.")
    return Answer(200, {"value": []})


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
        loose=(DEFINITION,),
        delete_first=1,
        check=_check,
        deleted=access.leave,
        depth="any scope, inherited lists, conditions, replication delay, duplicates; enforced where rights are on",
    ),
    ResourceType(
        name=DEFINITION,
        protocol=SYNCHRONOUS,
        put=Verb(created=201, updated_at_once=201),
        delete=Verb(),
        location=None,
        tags=False,
        extension=True,
        has_state=False,
        required=("properties.roleName", "properties.permissions", "properties.assignableScopes"),
        read_only=("properties.createdOn", "properties.createdBy", "properties.updatedOn", "properties.updatedBy"),
        delete_first=2,
        check=_check_definition,
        check_delete=_refuse_assigned,
        depth="140 built-in roles with their actions; custom ones with assignable scopes, kept while they are in use",
    ),
)  # fmt: skip

PROVIDER = Provider(
    namespace="Microsoft.Authorization",
    types=TYPES,
    functions={
        ("GET", ASSIGNMENT): _assignments,
        ("GET", DEFINITION): _definitions,
        ("PUT", DEFINITION): _put_definition,
        ("DELETE", DEFINITION): _delete_definition,
        ("GET", "Microsoft.Authorization/permissions"): _permissions,
        ("GET", "Microsoft.Authorization/denyAssignments"): _none,
        ("GET", "Microsoft.Authorization/classicAdministrators"): _none,
    },
    gates=(refuse_unauthorized,),
    screens=(screen,),
)
