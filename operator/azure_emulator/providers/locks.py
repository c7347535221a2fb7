"""Management locks (Microsoft.Authorization/locks): they refuse writes and deletions in a scope, whoever asks.

Knows no other type: a lock acts on ids. Role assignments of the same namespace are another module's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator import errors
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, Call, Change, Provider, ResourceType

if TYPE_CHECKING:
    from azure_emulator.store import Resource

LOCK = "Microsoft.Authorization/locks"
LEVELS = ("NotSpecified", "CanNotDelete", "ReadOnly")


def _check(change: Change) -> None:
    level = str(change.properties["level"])
    known = next((one for one in LEVELS if one.lower() == level.lower()), None)
    if known is None:
        raise errors.bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'Error converting value "
            f"\"{level}\" to type 'LockLevel'. Path 'properties.level'.'.",
        )
    change.properties["level"] = known


def _locks(call: Call) -> Answer | None:
    """The list at a scope and below it; `atScope()` leaves out what is below."""
    engine, path = call.engine, call.path
    if path.is_resource:
        return None
    scope = path.scope.lower()
    only_here = "atscope()" in call.query.get("$filter", "").lower()
    found = [
        lock
        for lock in engine.store.of_type(LOCK)
        if lock.parent.lower() == scope or (not only_here and lock.key.startswith(f"{scope}/"))
    ]
    return engine.page(call, found)


def refuse_locked(call: Call, action: str) -> None:
    """The gate: ScopeLocked where a lock on the scope, above it or, for deletions, below it forbids the request."""
    verb = "delete" if call.method == "DELETE" else "write"
    if call.method in ("GET", "HEAD") or action.lower().startswith(f"{LOCK.lower()}/"):
        return  # a lock that could not be deleted would be for ever
    scope = call.path.text if call.path.is_resource else call.path.parent
    if call.method == "POST" and not (call.path.names and call.engine.exists(scope)):
        return  # checks and registrations of a provider: they act on no resource (assumption: locks let them pass)
    deletes = verb == "delete"
    locks = call.engine.store.of_type(LOCK)
    locked = [lock.parent for lock in locks if _forbids(lock, scope.lower(), deletion=deletes)]
    if locked:
        scopes = ",".join(dict.fromkeys(locked))
        raise errors.conflict(
            "ScopeLocked",
            f"The scope '{scope}' cannot perform {verb} operation because following scope(s) are locked: '{scopes}'. "
            "Please remove the lock and try again.",
        )


def _forbids(lock: Resource, scope: str, *, deletion: bool) -> bool:
    level, locked = lock.properties["level"], lock.parent.lower()
    if level == "NotSpecified" or (level == "CanNotDelete" and not deletion):
        return False
    above = scope == locked or scope.startswith(f"{locked}/")
    # Whatever is deleted takes what is below it along.
    return above or (deletion and locked.startswith(f"{scope}/"))


LOCKS = ResourceType(
    name=LOCK,
    protocol=SYNCHRONOUS,
    location=None,
    tags=False,
    extension=True,
    has_state=False,
    required=("properties.level",),
    delete_first=0,
    check=_check,
    depth="any scope, inherited, the most restrictive wins; a locked resource keeps its whole group from deletion",
)

PROVIDER = Provider(
    namespace="Microsoft.Authorization",
    types=(LOCKS,),
    functions={("GET", LOCK): _locks},
    gates=(refuse_locked,),
)
