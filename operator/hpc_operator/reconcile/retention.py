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
    roots = {
        resource.id.lower()
        for resource in full
        if resource.retained and resource.id not in wanted and _exists(memory, resource.id.lower())
    }
    roots |= {
        key
        for key, item in memory.inventory.items()
        if item.state == State.KEPT and key not in wanted and key not in full and _exists(memory, key)
    }
    kept = set(roots) | full.closure(roots)
    for key in list(kept):
        parent = parent_id(key)
        while parent is not None:
            kept.add(parent.lower())
            parent = parent_id(parent)
    return frozenset(kept)


def _exists(memory: Memory, key: str) -> bool:
    return memory.observed.get(key) is not None or key in memory.operations
