"""Looks at what is there in Azure, as seldom as it can: at the start, once per drift period, and after operations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hpc_operator.arm import Azure
from hpc_operator.graph import parent_id
from hpc_operator.reconcile.memory import Memory


async def observe(azure: Azure, memory: Memory, resource_ids: Iterable[str]) -> None:
    """Get every resource that memory does not know or doubts.

    Parents come first: where the parent is missing the rest needs no look.

    Raises
    ------
    AzureError
        If a request fails; what was learnt until then stays in memory.
    """
    unknown = {
        item.lower(): item
        for item in resource_ids
        if item.lower() not in memory.observed or item.lower() in memory.doubtful
    }
    levels: dict[int, list[str]] = {}
    for key in unknown:
        levels.setdefault(key.count("/"), []).append(key)
    for level in sorted(levels):
        look_at = []
        for key in levels[level]:
            if _parent_is_missing(memory, key):
                memory.observed[key] = None
            else:
                look_at.append(key)
        bodies = await asyncio.gather(*(azure.get(unknown[key]) for key in look_at))
        memory.observed.update(zip(look_at, bodies, strict=True))
        memory.doubtful.difference_update(levels[level])


def _parent_is_missing(memory: Memory, key: str) -> bool:
    parent = parent_id(key)
    while parent is not None:
        if memory.observed.get(parent.lower(), ...) is None:
            return True
        parent = parent_id(parent)
    return False
