"""Role definitions: the built-in ones that people use around HPC, and the custom ones in the store.

The built-in ones are data, in builtin_roles.json: their ids, actions and conditions as `az role definition list` shows
them (public dumps of 2026-08). Knows nothing of assignments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_emulator.arm_path import last_name
from azure_emulator.providers.management_groups import is_within

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

DEFINITION = "Microsoft.Authorization/roleDefinitions"
BUILT_IN, CUSTOM = "BuiltInRole", "CustomRole"


@dataclass(frozen=True)
class Permission:
    """One set of actions; what is not allowed is taken away from what is, within the set only."""

    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()
    condition: str | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Permission:
        """From a role definition's body."""

        def texts(name: str) -> tuple[str, ...]:
            return tuple(str(one) for one in document.get(name) or ())

        return cls(
            texts("actions"), texts("notActions"), texts("dataActions"), texts("notDataActions"),
            document.get("condition"),
        )  # fmt: skip

    def covers(self, action: str, *, data: bool = False) -> bool:
        """Whether it names the action, conditions aside."""
        given, taken = (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        return _any_matches(given, action) and not _any_matches(taken, action)

    def document(self) -> dict[str, Any]:
        """As a role definition shows it."""
        shown: dict[str, Any] = {
            "actions": list(self.actions), "notActions": list(self.not_actions),
            "dataActions": list(self.data_actions), "notDataActions": list(self.not_data_actions),
        }  # fmt: skip
        if self.condition is not None:
            shown |= {"condition": self.condition, "conditionVersion": "2.0"}
        return shown


@dataclass(frozen=True)
class Role:
    """A role definition; `guid` is its name."""

    guid: str
    name: str
    description: str
    permissions: tuple[Permission, ...]
    kind: str = BUILT_IN
    scopes: tuple[str, ...] = ("/",)
    resource: Resource | None = None

    def is_assignable(self, engine: Engine, scope: str) -> bool:
        """Whether it may be assigned at a scope: at or below one that the definition names."""
        return any(is_within(engine, scope, own) for own in self.scopes)

    def document(self, subscription: str, stamps: Mapping[str, Any]) -> dict[str, Any]:
        """As ARM shows it; the id is in the subscription that was asked."""
        prefix = f"/subscriptions/{subscription}" if subscription else ""
        return {
            "id": f"{prefix}/providers/{DEFINITION}/{self.guid}",
            "type": DEFINITION,
            "name": self.guid,
            "properties": {
                "roleName": self.name, "type": self.kind, "description": self.description,
                "assignableScopes": list(self.scopes),
                "permissions": [permission.document() for permission in self.permissions], **stamps,
            },
        }  # fmt: skip


@lru_cache(maxsize=1)
def built_in() -> dict[str, Role]:
    """The built-in roles by their ids."""
    rows = json.loads((Path(__file__).parent / "builtin_roles.json").read_text())
    roles = [
        Role(row["name"], row["roleName"], row["description"], tuple(map(Permission.of, row["permissions"])))
        for row in rows
    ]
    return {role.guid: role for role in roles}


def custom(engine: Engine) -> list[Role]:
    """The custom roles, oldest first."""
    return [_custom(resource) for resource in engine.store.of_type(DEFINITION)]


def find(engine: Engine, reference: str) -> Role | None:
    """The role of an id or a bare GUID."""
    guid = last_name(reference).lower()
    known = built_in().get(guid)
    if known is not None:
        return known
    return next((role for role in custom(engine) if role.guid.lower() == guid), None)


def by_name(engine: Engine, name: str) -> Role | None:
    """The role of that name."""
    wanted = name.lower()
    return next((role for role in (*built_in().values(), *custom(engine)) if role.name.lower() == wanted), None)


def _custom(resource: Resource) -> Role:
    properties = resource.properties
    return Role(
        guid=resource.name, name=str(properties.get("roleName", "")),
        description=str(properties.get("description") or ""),
        permissions=tuple(Permission.of(one) for one in properties.get("permissions") or ()), kind=CUSTOM,
        scopes=tuple(str(one) for one in properties.get("assignableScopes") or ()), resource=resource,
    )  # fmt: skip


def _any_matches(patterns: Iterable[str], action: str) -> bool:
    return any(_pattern(pattern).fullmatch(action) for pattern in patterns)


@lru_cache(maxsize=8192)
def _pattern(text: str) -> re.Pattern[str]:
    # `userAssignedIdentities/*/assign/action` means `userAssignedIdentities/assign/action` too: that is how Managed
    # Identity Operator lets people assign an identity.
    escaped = re.escape(text).replace(r"/\*/", "/(?:.*/)?").replace(r"\*", ".*")
    return re.compile(escaped, re.IGNORECASE)
