"""What somebody may do: role assignments that have taken effect, of the principal and of the groups that it is in.

Knows neither requests nor error texts. Assignments take time to work, and go on working for as long after they are
gone: how long is a tunable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure_emulator.arm_path import parse
from azure_emulator.engine import action_of
from azure_emulator.providers import directory
from azure_emulator.providers.management_groups import is_within
from azure_emulator.rights import conditions, roles
from azure_emulator.rights.conditions import Facts
from azure_emulator.rights.roles import Permission, Role
from azure_emulator.types import SOMEBODY

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import Principal

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
# "on" lets nobody do anything without a role; off, because most who try an emulator have other things to find out.
SETTING, DEFAULT = "rights", "off"
# Role changes take up to 10 minutes (azure-docs, RBAC troubleshooting); the usual wait is not published. Assumption:
DELAY_SETTING, DELAY_SECONDS = "rightsDelaySeconds", 30.0
# Assignments that are gone and still work: {until, id, scope, role, principal, condition}.
_LEFT = "leftRoleAssignments"


@dataclass(frozen=True)
class Grant:
    """One assignment that is in effect."""

    scope: str
    role: Role
    condition: str | None


def is_on(engine: Engine) -> bool:
    """Whether roles are asked for."""
    return str(engine.setting(SETTING, DEFAULT)).lower() == "on"


def grants(engine: Engine, object_id: str) -> list[Grant]:
    """What somebody has been given, directly or through a group."""
    holders = {object_id.lower(), *directory.groups_of(engine, object_id)}
    found: list[dict[str, Any]] = []
    for assignment in engine.store.of_type(ASSIGNMENT):
        # Of thousands of assignments few are anybody's own: the principal is looked at before the rest.
        if str(assignment.properties["principalId"]).lower() in holders:
            found += [_row(assignment)] if engine.now >= _effective_at(engine, assignment) else []
    left = (row for row in engine.setting(_LEFT, []) if row["until"] > engine.now and row["principal"] in holders)
    given = (_grant(engine, row) for row in (*found, *left))
    return [grant for grant in given if grant is not None]


def allows(
    engine: Engine, principal: Principal, action: str, scope: str, *, data: bool = False, facts: Facts | None = None
) -> bool:
    """Whether somebody may carry out an action (with `data`, one of a data plane) at a scope."""
    if not is_on(engine) or principal == SOMEBODY:
        return True
    facts = facts or Facts(action)
    return any(
        is_within(engine, scope, grant.scope) and _covers(grant, action, facts, data=data)
        for grant in grants(engine, principal.object_id)
    )


def reaches(engine: Engine, principal: Principal, action: str, scope: str) -> bool:
    """Whether somebody may carry out an action on anything below a scope: lists show what is theirs."""
    if not is_on(engine) or principal == SOMEBODY:
        return True
    return any(
        (is_within(engine, grant.scope, scope) or is_within(engine, scope, grant.scope))
        and _covers(grant, action, Facts(action), data=False)
        for grant in grants(engine, principal.object_id)
    )


def has_any_role(engine: Engine, principal: Principal, subscription: str) -> bool:
    """Whether somebody has a role in a subscription, above it or below it: then it shows in lists."""
    if not is_on(engine) or principal == SOMEBODY:
        return True
    scope = f"/subscriptions/{subscription}"
    return any(
        is_within(engine, grant.scope, scope) or is_within(engine, scope, grant.scope)
        for grant in grants(engine, principal.object_id)
    )


def readable(engine: Engine, principal: Principal, found: list[Resource]) -> list[Resource]:
    """Those of some resources that somebody may read."""
    if not is_on(engine) or principal == SOMEBODY:
        return found
    given = grants(engine, principal.object_id)
    shown = []
    for resource in found:
        action = action_of("GET", parse(resource.id))
        fitting = (grant for grant in given if is_within(engine, resource.id, grant.scope))
        if any(_covers(grant, action, Facts(action), data=False) for grant in fitting):
            shown.append(resource)
    return shown


def permissions(engine: Engine, principal: Principal, scope: str) -> list[Permission]:
    """Everything that somebody may do at a scope."""
    if not is_on(engine) or principal == SOMEBODY:
        return [Permission(actions=("*",))]
    given = grants(engine, principal.object_id)
    return [
        permission for grant in given if is_within(engine, scope, grant.scope) for permission in grant.role.permissions
    ]


def leave(engine: Engine, assignment: Resource) -> None:
    """Note that an assignment is gone; it works for a while yet."""
    if not is_on(engine):
        return
    until = engine.now + _delay(engine, assignment.id, "removed")
    kept = [row for row in engine.setting(_LEFT, []) if row["until"] > engine.now]
    row = _row(assignment)
    engine.store.set(_LEFT, [*kept, {**row, "principal": row["principal"].lower(), "until": until}])


def _row(assignment: Resource) -> dict[str, Any]:
    properties = assignment.properties
    return {
        "id": assignment.id, "scope": str(properties["scope"]), "role": str(properties["roleDefinitionId"]),
        "principal": str(properties["principalId"]), "condition": properties.get("condition"),
    }  # fmt: skip


def _grant(engine: Engine, row: dict[str, Any]) -> Grant | None:
    role = roles.find(engine, row["role"])
    return None if role is None else Grant(row["scope"], role, row["condition"])


def _effective_at(engine: Engine, assignment: Resource) -> float:
    if assignment.internal.get("atOnce"):
        return assignment.created
    return assignment.created + _delay(engine, assignment.id, "assigned")


def _delay(engine: Engine, assignment_id: str, what: str) -> float:
    return engine.jittered(float(engine.setting(DELAY_SETTING, DELAY_SECONDS)), assignment_id, what)


def _covers(grant: Grant, action: str, facts: Facts, *, data: bool) -> bool:
    if grant.condition and not conditions.parse(grant.condition)(facts):
        return False
    return any(
        permission.covers(action, data=data)
        and (not permission.condition or conditions.parse(permission.condition)(facts))
        for permission in grant.role.permissions
    )
