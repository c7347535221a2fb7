"""Resource groups: their lists, and their deletion with all that is in them.

Knows no other provider: a resource group deletes whatever the store holds in it, in the order that the types' data
give.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from azure_emulator import errors
from azure_emulator.providers.protocols import RESOURCES
from azure_emulator.providers.resources import lists, moves
from azure_emulator.types import Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Operation, Resource

# An empty group still takes 30 to 90 s to go (Terraform acceptance logs).
DELETE_SECONDS = 45
# How often the deletion looks again at what is left.
LOOK_AGAIN_SECONDS = 1.0
# Assumption: Resource Manager tries so long again to delete what is held by something that goes away by itself, such as
# the link that a service leaves in a subnet.
PATIENCE_SECONDS = 900.0


def _goes_on(engine: Engine, group: Resource, operation: Operation) -> float | None:
    """What happens at the planned end of an operation on a group."""
    if operation.verb == moves.VERB:
        moves.finish(engine, operation)
    return _delete_contents(engine, group, operation) if operation.verb == "DELETE" else None


def _delete_contents(engine: Engine, group: Resource, operation: Operation) -> float | None:
    """Delete what can go, wait for what runs, and give up when something stays that nothing will free."""
    remaining = engine.store.below(group.id)
    if not remaining:
        return None
    blocked = _start_deletions(engine, remaining)
    ends = [running.end for resource in remaining if (running := engine.running(resource)) is not None]
    if ends:
        return max(engine.now, min(ends)) + LOOK_AGAIN_SECONDS
    if not engine.store.below(group.id):
        return engine.now + LOOK_AGAIN_SECONDS
    if not blocked:
        return None
    freed = [moment for moment in engine.planned_below(group.id) if moment < operation.start + PATIENCE_SECONDS]
    if freed:
        return max(engine.now, min(freed)) + LOOK_AGAIN_SECONDS
    identifiers = ",".join(resource.id for resource, _ in blocked)
    operation.failure = {
        "status": errors.CONFLICT,
        "code": "ResourceGroupDeletionBlocked",
        "message": f"Deletion of resource group '{group.name}' failed as resources with identifiers '{identifiers}' "
        "could not be deleted. The provisioning state of the resource group will be rolled back. The tracking Id is "
        f"'{operation.id}'. Please check audit logs for more details.",
        "details": [{"code": error.code, "target": resource.id, "message": error.message}
                    for resource, error in blocked],
    }  # fmt: skip
    return None


def _start_deletions(engine: Engine, remaining: list[Resource]) -> list[tuple[Resource, ArmError]]:
    """Begin to delete everything that nothing holds; children that go with their parent are left to it."""
    blocked: list[tuple[Resource, errors.ArmError]] = []
    for resource in sorted(
        remaining, key=lambda one: (engine.types[one.type.lower()].delete_first, -one.id.count("/"))
    ):
        kind = engine.types[resource.type.lower()]
        parent = engine.types.get((kind.parent or "").lower())
        goes_with_parent = kind.delete is None or (
            parent is not None and parent.nested == "cascade" and not kind.separate
        )
        if goes_with_parent or engine.store.get(resource.id) is None:
            continue
        try:
            engine.begin_delete(resource)
        except errors.ArmError as error:
            blocked.append((resource, error))
    return blocked


def _keep(engine: Engine, group: Resource, query: Mapping[str, str]) -> bool:  # noqa: ARG001 (a hook)
    return lists.matches(group, lists.wanted(query))


GROUP = ResourceType(
    name="Microsoft.Resources/resourceGroups",
    protocol=RESOURCES,
    put=Verb(),
    patch=Patch(allowed=frozenset({"tags", "location", "managedBy", "properties"})),
    delete=Verb(seconds=DELETE_SECONDS),
    name_pattern=re.compile(r"^[-\w.()]{0,89}[-\w()]$"),
    nested="sweep",
    continues=_goes_on,
    keep=_keep,
    depth="deletion cascades in dependency order, blocked deletions roll back; lists by tag; templates; moves",
)
