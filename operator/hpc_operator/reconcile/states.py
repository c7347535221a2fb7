"""What state each resource of an environment is in, seen from what was observed. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from hpc_operator.arm import FAILED_STATES, provisioning_state
from hpc_operator.blueprint.names import ENVIRONMENT_TAG
from hpc_operator.graph import ArmId, Graph, Resource
from hpc_operator.reconcile.memory import Memory


class State(StrEnum):
    """State of one resource as the user reads it."""

    PENDING = "Pending"
    CREATING = "Creating"
    UPDATING = "Updating"
    DELETING = "Deleting"
    READY = "Ready"
    FAILED = "Failed"
    KEPT = "Kept"


def is_ready(memory: Memory, resource_id: str) -> bool:
    """Return whether a resource is there, whole, and not being written."""
    key = resource_id.lower()
    body = memory.observed.get(key)
    usable = body is not None and key not in memory.operations and key not in memory.foreign
    return usable and provisioning_state(body) == "succeeded"


def is_settled(memory: Memory, resource_id: str) -> bool:
    """Return whether a resource is there and usable, be it that an update of it is under way."""
    key = resource_id.lower()
    body = memory.observed.get(key)
    return (
        body is not None
        and key not in memory.foreign
        and provisioning_state(body) in {"succeeded", "updating"}
        and not _is_new(memory, resource_id)
    )


def _is_new(memory: Memory, resource_id: str) -> bool:
    """Return whether the resource is being made: Network shows `Updating` then too, so the inventory has to tell."""
    entry = memory.inventory.get(resource_id.lower())
    return entry is not None and entry.state in {State.PENDING, State.CREATING} and not is_ready(memory, resource_id)


def state_of(memory: Memory, resource_id: str) -> State:
    """Return the state of one resource that is wanted."""
    key = resource_id.lower()
    handle = memory.operations.get(key)
    if handle is not None and handle.verb == "DELETE":
        return State.DELETING
    if is_ready(memory, key):
        return State.FAILED if key in memory.failures else State.READY
    body = memory.observed.get(key)
    if key in memory.failures or provisioning_state(body) in FAILED_STATES:
        return State.FAILED
    if body is None and handle is None:
        return State.PENDING
    entry = memory.inventory.get(key)
    return State.UPDATING if entry is not None and entry.state in {State.READY, State.UPDATING} else State.CREATING


def is_foreign(owned: Mapping[str, Any], actual: Mapping[str, Any], environment: str) -> bool:
    """Return whether a resource of a name of ours does not carry our ownership tag.

    Parameters
    ----------
    owned
        The body that we would give it; a type without tags has none, and its parent tells whose it is.
    actual
        The body that Azure shows.
    environment
        `namespace/name`, as the tag has it.
    """
    if ENVIRONMENT_TAG not in (owned.get("tags") or {}):
        return False
    return (actual.get("tags") or {}).get(ENVIRONMENT_TAG) != environment


def exclusive_scopes(resource: Resource | None, resource_id: str, types: tuple[str, ...]) -> frozenset[str]:
    """Return the lower-case ids beneath or upon which a write of this resource must be the only one."""
    candidates = [resource_id.lower(), *(resource.needs if resource is not None else ())]
    found: set[str] = set()
    for candidate in candidates:
        for exclusive in types:
            head, marker, tail = candidate.partition(f"/providers/{exclusive.lower()}/")
            if marker:
                found.add(f"{head}{marker}{tail.split('/', 1)[0]}")
    return frozenset(found)


def describe(resource_id: str) -> str:
    """Return how messages name a resource: its type without the namespace, and its name."""
    arm_id = ArmId.parse(resource_id)
    return f"{arm_id.type.rpartition('/')[2]} {'/'.join(arm_id.names)}"


def blocking_needs(memory: Memory, graph: Graph, resource: Resource) -> list[str]:
    """Return the ids of what a resource waits for."""
    return sorted(need for need in graph.needs(resource) if not is_ready(memory, need))
