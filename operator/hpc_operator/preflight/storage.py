"""Whether Azure offers file systems of the wanted sizes, and the region's quota has room for them.

Pure. The API server refuses wrong sizes before; an object that is older than that rule may still have one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hpc_operator.api.storage_tier import LUSTRE_SIZES
from hpc_operator.graph import Resource, parent_id
from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.limits import NETAPP, Usages
from hpc_operator.preflight.surroundings import Surroundings

POOLS: Final = "microsoft.netapp/netappaccounts/capacitypools"
LUSTRE: Final = "microsoft.storagecache/amlfilesystems"
_CAPACITY: Final = "totaltibspersubscription"

_TEBIBYTE: Final = 2**40
# Microsoft's "Resource limits for Azure NetApp Files".
_MOST_POOLS: Final = 25
_LARGEST_VOLUME: Final = 100


def needed(site: Surroundings) -> list[str]:
    """Return the namespaces whose capacity is counted and has to suffice for more."""
    return [NETAPP] if any(_growth(site, pool) for pool in _pools(site)) else []


def check(site: Surroundings, usages: Usages) -> Iterator[Finding]:
    """Yield file systems that Azure does not make in this size or number.

    Parameters
    ----------
    site
        The environment.
    usages
        What is known; a limit that is absent is not judged.
    """
    yield from _check_net_app_sizes(site)
    yield from _check_net_app_capacity(site, usages)
    yield from _check_pools_of_accounts(site)
    yield from _check_lustre_sizes(site)


def _finding(resource: Resource, reason: str, message: str, *also_blocked: str) -> Finding:
    return Finding(resource.owner, Check.STORAGE, reason, message, frozenset({resource.id.lower(), *also_blocked}))


def _pools(site: Surroundings) -> Iterator[Resource]:
    return (resource for resource in site.resources if resource.type.lower() == POOLS)


def _check_net_app_sizes(site: Surroundings) -> Iterator[Finding]:
    for pool in _pools(site):
        tebibytes, rest = divmod(pool.body["properties"]["size"], _TEBIBYTE)
        if rest or not 1 <= tebibytes <= _LARGEST_VOLUME:
            yield _finding(
                pool,
                "CapacityNotOffered",
                f"Azure NetApp Files makes {pool.name} in steps of 1Ti, from 1Ti to {_LARGEST_VOLUME}Ti only: write "
                "such a capacity",
            )


def _check_net_app_capacity(site: Surroundings, usages: Usages) -> Iterator[Finding]:
    """Yield, in the order of their ids, pools whose capacity the region's quota has no room for."""
    usage = usages.get(NETAPP, {}).get(_CAPACITY)
    if usage is None:
        return
    free = usage.free
    for pool in _pools(site):
        more = _growth(site, pool)
        if more > free:
            yield _finding(
                pool,
                "CapacityQuotaExceeded",
                f"Capacity pool {pool.name} needs {more - free} TiB more than the quota of {usage.limit} TiB for Azure "
                f"NetApp Files in {site.location} has left: request more quota or lower capacity",
                # A volume that is there would be grown beyond its pool.
                *site.blueprint.graph.dependents(pool.id),
            )
        free = max(0, free - more)


def _growth(site: Surroundings, pool: Resource) -> int:
    """Return how many TiB a pool has to grow by; 0 where nobody looked at it."""
    if pool.id.lower() not in site.observed:
        return 0
    present = int((site.shown(pool.id) or {}).get("properties", {}).get("size", 0))
    lacking: int = pool.body["properties"]["size"] - present
    return max(0, -(-lacking // _TEBIBYTE))


def _check_pools_of_accounts(site: Surroundings) -> Iterator[Finding]:
    accounts: dict[str, list[Resource]] = {}
    for pool in _pools(site):
        accounts.setdefault(str(parent_id(pool.id)).lower(), []).append(pool)
    for pools in accounts.values():
        # Those that are there keep their place.
        for pool in sorted(pools, key=lambda item: site.shown(item.id) is None)[_MOST_POOLS:]:
            yield _finding(
                pool,
                "TooManyPools",
                f"Capacity pool {pool.name} has no place, because a NetApp account takes {_MOST_POOLS}: delete other "
                "netAppFiles tiers or make a second environment",
            )


def _check_lustre_sizes(site: Surroundings) -> Iterator[Finding]:
    for file_system in site.missing(LUSTRE):
        sku, capacity = file_system.body["sku"]["name"], file_system.body["properties"]["storageCapacityTiB"]
        step, most = LUSTRE_SIZES[sku.rpartition("-")[2]]
        if capacity % step or not step <= capacity <= most:
            yield _finding(
                file_system,
                "CapacityNotOffered",
                f"Azure makes Lustre file systems of {sku} in steps of {step}Ti, from {step}Ti to {most}Ti only, and "
                f"{file_system.name} is to have {capacity}Ti: write such a capacity",
            )
