"""Which resources stay in Azure when their owners go: retained data, and all that it stands upon. Pure functions."""

from __future__ import annotations

from hpc_operator.graph import Graph, parent_id
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.states import State


def kept_ids(full: Graph, wanted: Graph, memory: Memory) -> frozenset[str]:
    """Return the lower-case ids that are not wanted any more and still must not be deleted.

    Parameters
    ----------
    full
        Everything that there is a specification for, going or not.
    wanted
        What should be there.
    memory
        What is there, and what was kept earlier.
    """
    pending = [
        resource.id.lower()
        for resource in full
        if resource.retained and resource.id not in wanted and _exists(memory, resource.id.lower())
    ]
    pending += [
        key
        for key, item in memory.inventory.items()
        # What has no specification any more, because its object vanished without us, holds data all the same.
        if (item.state == State.KEPT or item.retained)
        and key not in wanted
        and key not in full
        and _exists(memory, key)
    ]
    kept: set[str] = set()
    while pending:
        key = pending.pop()
        if key not in kept:
            kept.add(key)
            pending += stands_upon(full, memory, key)
    return frozenset(kept)


def stands_upon(full: Graph, memory: Memory, key: str) -> list[str]:
    """Return the lower-case ids that a resource needs.

    The graph tells; for what is in no graph any more, what was written down when it was kept.
    """
    resource = full.get(key)
    if resource is not None:
        return sorted(full.needs(resource))
    item = memory.inventory.get(key)
    needs = {need.lower() for need in item.needs} if item is not None else set()
    parent = parent_id(key)
    return sorted(needs if parent is None else {*needs, parent.lower()})


def _exists(memory: Memory, key: str) -> bool:
    return memory.observed.get(key) is not None or key in memory.operations
