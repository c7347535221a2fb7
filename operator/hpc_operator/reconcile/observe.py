"""Looks at what is there in Azure, as seldom as it can: at the start, once per drift period, and after operations.

The wide look is a survey, which many environments share and which may be late. Whatever would lead to a write is
looked at itself before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from hpc_operator.arm import Azure, AzureError
from hpc_operator.graph import ArmId, NodeSet, group_id, parent_id
from hpc_operator.reconcile.memory import Memory

logger = logging.getLogger(__name__)

_NODE = f"/providers/{NodeSet.node_type.lower()}/"


async def survey(azure: Azure, memory: Memory, resource_ids: Iterable[str], resource_group_id: str) -> None:
    """Take in what a survey shows of these resources, and of the nodes in the environment's resource group.

    Where no survey can be had nothing is taken in, and `observe` reads everything.
    """
    wanted = {item.lower(): item for item in resource_ids}
    groups = {group.lower(): group for item in wanted.values() if (group := group_id(item))}
    groups.setdefault(resource_group_id.lower(), resource_group_id)
    try:
        surveys = await asyncio.gather(*(azure.survey(group) for group in groups.values()))
    except AzureError as error:
        logger.warning("no survey of %s: %s; every resource is read instead", resource_group_id, error)
        return
    rows = {key: body for found in surveys for key, body in found.items()}
    if resource_group_id.lower() not in rows:
        return  # A survey that lacks the group is too late to be of use, or there is nothing to survey.
    for key, item in wanted.items():
        if azure.type_info(ArmId.parse(item).type).surveyed:
            memory.observed[key] = rows.get(key)
            memory.rumoured.add(key)
    memory.machines = [body for key, body in rows.items() if (name := key.partition(_NODE)[2]) and "/" not in name]
    memory.machines_rumoured = True


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
        memory.rumoured.difference_update(levels[level])


def doubt_rumours(memory: Memory, resource_ids: Iterable[str], is_as_wanted: Callable[[str], bool]) -> None:
    """Mark for a look whatever is only rumoured and not as it should be."""
    for item in resource_ids:
        key = item.lower()
        if key in memory.rumoured and not is_as_wanted(key):
            memory.doubtful.add(key)


def _parent_is_missing(memory: Memory, key: str) -> bool:
    parent = parent_id(key)
    while parent is not None:
        known = parent.lower()
        if memory.observed.get(known, ...) is None and known not in memory.doubtful:
            return True
        parent = parent_id(parent)
    return False
