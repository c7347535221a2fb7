"""The list of all that an environment holds in Azure, as status.resources keeps it."""

from __future__ import annotations

import logging

from hpc_operator.api.hpc_environment import ManagedResource
from hpc_operator.api.plan import Deletion
from hpc_operator.graph import Owner
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.retention import kept_ids, stands_upon
from hpc_operator.reconcile.scope import Scope
from hpc_operator.reconcile.states import State, state_of

logger = logging.getLogger(__name__)


def update(scope: Scope, memory: Memory) -> list[ManagedResource]:
    """Bring the inventory in step with what is wanted and what is there; return what has to go."""
    for resource in scope.owned:
        key = resource.id.lower()
        known = memory.inventory.get(key)
        memory.inventory[key] = ManagedResource(
            id=resource.id,
            owner=str(resource.owner),
            state=state_of(memory, key),
            order=scope.graph.depth[key],
            retained=resource.retained,
            applied=known.applied if known is not None else "",
            # Written down while it is known: a tier may vanish without us being asked.
            needs=tuple(sorted(scope.graph.needs(resource))) if resource.retained else (),
        )
    kept = kept_ids(scope.full.graph, scope.graph, memory)
    for key, item in list(memory.inventory.items()):
        if key in scope.graph and not scope.graph[key].referenced:
            continue
        if is_gone(memory, key):
            note_deleted(scope, memory, item)
        elif _is_somebody_elses(scope, memory, key):
            forget(memory, key)
        elif key in kept:
            memory.inventory[key] = keep(scope, memory, item)
        elif Owner.parse(item.owner) not in scope.problems:
            memory.inventory[key] = item.model_copy(update={"state": State.DELETING})
    return going(memory)


def going(memory: Memory) -> list[ManagedResource]:
    """Return what has to go."""
    return [item for item in memory.inventory.values() if item.state == State.DELETING]


def is_gone(memory: Memory, key: str) -> bool:
    """Return whether Azure is known to have no such resource and is not about to make one."""
    return memory.observed.get(key) is None and key in memory.observed and key not in memory.operations


def note_deleted(scope: Scope, memory: Memory, item: ManagedResource) -> None:
    """Take something out of the inventory that is gone, and count it."""
    forget(memory, item.id.lower())
    logger.info("%s: deleted %s", scope.snapshot.key.tag, item.id)
    if scope.environment.deleting:
        known = memory.deletion or Deletion()
        memory.deletion = known.model_copy(update={"deleted": known.deleted + 1})


def forget(memory: Memory, key: str) -> None:
    """Take something out of the inventory that is gone or not ours."""
    del memory.inventory[key]
    memory.failures.pop(key, None)
    memory.scopes.pop(key, None)
    memory.tried.pop(key, None)


def keep(scope: Scope, memory: Memory, item: ManagedResource) -> ManagedResource:
    """Return the entry of something that stays in Azure although it is not wanted any more."""
    needs = tuple(stands_upon(scope.full.graph, memory, item.id.lower()))
    return item.model_copy(update={"state": State.KEPT, "needs": needs})


def refresh(scope: Scope, memory: Memory) -> None:
    """Bring the states of what is wanted in step with what is known by now."""
    for resource in scope.owned:
        key = resource.id.lower()
        entry = memory.inventory[key]
        if entry.state != (state := state_of(memory, key)):
            memory.inventory[key] = entry.model_copy(update={"state": state})


def _is_somebody_elses(scope: Scope, memory: Memory, key: str) -> bool:
    """Return whether what has to go was never ours, or was given back by `manage: false`."""
    resource, actual = scope.graph.get(key) or scope.full.graph.get(key), memory.observed.get(key)
    if resource is None:
        return False
    return resource.referenced or (actual is not None and bool(scope.claim.refusal(resource, actual)))
