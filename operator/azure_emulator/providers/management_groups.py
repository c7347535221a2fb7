"""Management groups: the tenant's root, groups below it, and which subscriptions are in which.

Only what clients read and what roles and policies inherit by; nothing is refused for lack of access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import last_name
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, Call, Change, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.arm_path import ArmPath
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

GROUP = "Microsoft.Management/managementGroups"
MEMBERS = f"{GROUP}/subscriptions"
# Subscription id -> name of its group, where it is not the root.
PLACED_SETTING = "managementGroupSubscriptions"
_GROUPS = f"/providers/{GROUP}/".lower()


# -- what is inside of what ------------------------------------------------------------------------------------------


def is_within(engine: Engine, scope: str, ancestor: str) -> bool:
    """Whether a scope is that ancestor or below it, management groups included."""
    scope, ancestor = scope.rstrip("/").lower(), ancestor.rstrip("/").lower()
    if ancestor in ("", scope) or scope.startswith(f"{ancestor}/"):
        return True
    return ancestor.startswith(_GROUPS) and ancestor.removeprefix(_GROUPS) in _groups_above(engine, scope)


def _groups_above(engine: Engine, scope: str) -> list[str]:
    """Names of the management groups that hold a scope, the nearest first; the tenant's root holds everything."""
    root = engine.tenant.lower()
    if scope.startswith("/subscriptions/"):
        subscription = scope.split("/")[2]
        name = str(engine.setting(PLACED_SETTING, {}).get(subscription, root)).lower()
    elif scope.startswith(_GROUPS):
        name = scope.removeprefix(_GROUPS).split("/", 1)[0]
    else:
        return []
    found: list[str] = []
    while name not in found:
        found.append(name)
        group = engine.store.get(f"{_GROUPS}{name}")
        parent = bodies.get(group.body, "properties.details.parent.name") if group is not None else None
        name = str(parent or root).lower()
    return found


# -- the groups themselves -------------------------------------------------------------------------------------------


def _root(engine: Engine, path: ArmPath) -> dict[str, Any]:  # noqa: ARG001 (a hook)
    return {"properties": {"displayName": "Tenant Root Group", "details": {"version": 1, "parent": None}}}


def _check(change: Change) -> None:
    engine, properties = change.engine, change.properties
    if change.path.name.lower() == engine.tenant.lower() and not change.exists:
        raise errors.conflict("RootManagementGroup", "The root management group exists and cannot be created.")
    details = properties.get("details") or {}
    parent = str((details.get("parent") or {}).get("id") or _id(engine.tenant))
    if engine.find(parent) is None:
        raise errors.ArmError(
            errors.NOT_FOUND, "ParentManagementGroupNotFound", f"The parent management group '{parent}' was not found."
        )
    name = change.path.name
    properties["displayName"] = properties.get("displayName") or name
    properties["details"] = {"version": 1, "parent": {"id": parent, "name": last_name(parent)}}


def _id(name: str) -> str:
    return f"/providers/{GROUP}/{name}"


def _view(engine: Engine, group: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    properties = shown["properties"]
    properties["tenantId"] = engine.tenant
    if "children" in query.get("$expand", "").lower():
        below = [
            {"type": GROUP, "id": one.id, "name": one.name, "displayName": one.properties["displayName"]}
            for one in engine.store.of_type(GROUP)
            if one.properties["details"]["parent"]["name"].lower() == group.name.lower()
        ]
        properties["children"] = [*below, *_members(engine, group.name)] or None


def _members(engine: Engine, name: str) -> list[dict[str, Any]]:
    placed: dict[str, str] = engine.setting(PLACED_SETTING, {})
    return [
        {"type": "/subscriptions", "id": f"/subscriptions/{identity}", "name": identity, "displayName": "Emulated"}
        for key, identity in engine.subscriptions.items()
        if placed.get(key, engine.tenant).lower() == name.lower()
    ]


def _groups(call: Call) -> Answer | None:
    """The list, the root first."""
    engine = call.engine
    if call.path.is_resource:
        if engine.find(call.path.text) is None:
            raise errors.ArmError(
                errors.NOT_FOUND, "NotFound", f"'{call.path.text}' not found, or you do not have access to it."
            )
        return None
    root = engine.find(_id(engine.tenant))
    found = [*([root] if root is not None else []), *engine.store.of_type(GROUP)]
    shown = [
        {"id": one.id, "type": GROUP, "name": one.name,
         "properties": {"tenantId": engine.tenant, "displayName": one.properties["displayName"]}}
        for one in found
    ]  # fmt: skip
    return Answer(200, {"value": shown})


def _subscriptions(call: Call) -> Answer:
    engine, group = call.engine, call.path.names[0]
    shown = [_member(engine, group, one["name"]) for one in _members(engine, group)]
    if len(call.path.names) == 1:
        return Answer(200, {"value": shown})
    wanted = call.path.names[1].lower()
    found = next((one for one in shown if one["name"].lower() == wanted), None)
    if found is None:
        raise errors.ArmError(errors.NOT_FOUND, "NotFound", f"'{call.path.text}' not found.")
    return Answer(200, found)


def _member(engine: Engine, group: str, subscription: str) -> dict[str, Any]:
    return {
        "id": f"{_id(group)}/subscriptions/{subscription}", "type": MEMBERS, "name": subscription,
        "properties": {"tenant": engine.tenant, "displayName": "Emulated", "parent": {"id": _id(group)},
                       "state": "Active"},
    }  # fmt: skip


def _place(call: Call) -> Answer:
    """PUT puts a subscription into a group, DELETE back into the root."""
    engine, names = call.engine, call.path.names
    known = engine.subscriptions.get(names[1].lower()) if len(names) == 2 else None  # noqa: PLR2004
    if known is None or engine.find(_id(names[0])) is None:
        raise errors.ArmError(errors.NOT_FOUND, "NotFound", f"'{call.path.text}' not found.")
    group = names[0] if call.method == "PUT" else engine.tenant
    engine.store.set(PLACED_SETTING, {**engine.setting(PLACED_SETTING, {}), known.lower(): group})
    return Answer(200, _member(engine, group, known)) if call.method == "PUT" else Answer(200)


def _check_delete(engine: Engine, group: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    below = [one for one in engine.store.of_type(GROUP)
             if one.properties["details"]["parent"]["name"].lower() == group.name.lower()]  # fmt: skip
    if below or _members(engine, group.name):
        raise errors.bad_request(
            "ManagementGroupNotEmpty", f"The management group '{group.name}' cannot be deleted: it has children."
        )


PROVIDER = Provider(
    namespace="Microsoft.Management",
    types=(
        ResourceType(
            name=GROUP, protocol=SYNCHRONOUS, put=Verb(created=200), patch=Patch(), location=None, tags=False,
            has_state=False, default_instance=_root, default_name="{tenant}", check=_check,
            check_delete=_check_delete, view=_view,
            depth="the tenant's root, groups below it, subscriptions in them; policies are inherited",
        ),
    ),
    functions={
        ("GET", GROUP): _groups,
        ("GET", MEMBERS): _subscriptions,
        ("PUT", MEMBERS): _place,
        ("DELETE", MEMBERS): _place,
    },
)  # fmt: skip
