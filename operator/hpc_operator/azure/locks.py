"""Management locks: read them, and name them where they kept Azure from doing something.

Azure's refusal tells which scopes are locked, and neither the name of a lock nor what its owner wrote on it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from hpc_operator.arm import AzureError
from hpc_operator.azure.table import Sdk
from hpc_operator.subscription import Lock

if TYPE_CHECKING:
    from hpc_operator.azure.client import AzureClient

LOCKS: Final = Sdk("azure.mgmt.resource.locks.aio", "ManagementLockClient")

_LOCKED = re.compile(r"locked: '(?P<scopes>[^']*)'")
_OF_A_LOCK = re.compile(r"/providers/Microsoft\.Authorization/locks/[^/]*$", re.IGNORECASE)


async def read(client: AzureClient, scope: str) -> list[Lock]:
    """Return all locks of the subscription that a scope is in, on whatever they are set.

    Raises
    ------
    AzureError
        If they could not be read.
    """
    found = await client.read_all(scope, LOCKS, "management_locks", "list_at_subscription_level")
    return [_lock(item) for item in found]


def at(scope: str, found: Collection[Lock]) -> list[Lock]:
    """Return the locks that hold at a scope: its own and those of its ancestors."""
    inside = f"{scope.strip('/')}/".lower()
    return [lock for lock in found if inside.startswith(f"{lock.scope.strip('/')}/".lower())]


def named(refusal: AzureError, found: Collection[Lock], otherwise: str = "") -> AzureError:
    """Return a refusal whose message names the locks behind it.

    Parameters
    ----------
    refusal
        `ScopeLocked`.
    found
        All locks of the subscription.
    otherwise
        What to say where none of them is it.
    """
    locked = _LOCKED.search(refusal.message)
    scopes = {scope.strip("/").lower() for scope in locked["scopes"].split(",")} if locked else set()
    texts = [_text(lock) for lock in found if lock.scope.strip("/").lower() in scopes]
    message = " ".join(part for part in (refusal.message, *(texts or [otherwise])) if part)
    return AzureError(
        message,
        code=refusal.code,
        status=refusal.status,
        error_class=refusal.error_class,
        retry_after=refusal.retry_after,
    )


def _text(lock: Lock) -> str:
    return f'Lock "{lock.name}" ({lock.level}) on {lock.scope}: {lock.notes or "its owner wrote no note"}.'


def _lock(item: Mapping[str, Any]) -> Lock:
    properties = item.get("properties", {})
    return Lock(
        id=str(item["id"]),
        name=str(item["name"]),
        level=str(properties.get("level", "")),
        scope=_OF_A_LOCK.sub("", str(item["id"])) or "/",
        notes=str(properties.get("notes") or "").strip().rstrip("."),
    )
