"""Whether the quota of cores lets virtual machines be made, and how far each partition can grow.

Pure. Cores are counted per VM family and per region; those of Spot machines under a limit of their own and nowhere else
(Microsoft's "vCPU quotas"). What exists has its cores already and is in Azure's figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hpc_operator.graph import NodeSet
from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Machine, Surroundings
from hpc_operator.subscription import Usage, VmSize

REGIONAL: Final = "cores"
SPOT: Final = "lowprioritycores"

Cores = Mapping[str, int]
"""Cores by the lower-case name of the quota that they count under."""


def cores(size: VmSize, priority: str) -> dict[str, int]:
    """Return what one machine takes."""
    return {SPOT: size.vcpus} if priority == "Spot" else {size.family.lower(): size.vcpus, REGIONAL: size.vcpus}


class Pool:
    """What is left of each quota while it is handed out; a quota that nobody told of has no end.

    Parameters
    ----------
    free
        What is left at the start.
    """

    def __init__(self, free: Cores) -> None:
        self._left = Counter(free)

    def grant(self, each: Cores, most: int) -> int:
        """Take the cores of up to `most` machines, and return of how many there were."""
        count = max(0, min([most, *(self._left[name] // n for name, n in each.items() if n and name in self._left)]))
        self._take({name: n * count for name, n in each.items()})
        return count

    def claim(self, wanted: Cores) -> Cores:
        """Take as much as there is of `wanted`, and return what there was not."""
        lacking = {name: n - self._left[name] for name, n in wanted.items() if name in self._left}
        self._take(wanted)
        return {name: n for name, n in lacking.items() if n > 0}

    def lacks(self, wanted: Cores) -> Cores:
        """Return what there is not of `wanted`, and take nothing."""
        return Pool(self._left).claim(wanted)

    def give_back(self, taken: Cores) -> None:
        """Put back what a machine had that goes."""
        for name in taken:
            if name in self._left:
                self._left[name] += taken[name]

    def _take(self, wanted: Cores) -> None:
        for name in wanted:
            if name in self._left:
                self._left[name] = max(0, self._left[name] - wanted[name])


@dataclass(frozen=True)
class Wish:
    """How many machines more somebody would like.

    Parameters
    ----------
    each
        Cores of one machine.
    least, most
        How many ought to run now, and how many there may be one day.
    """

    each: Cores
    least: int
    most: int


@dataclass(frozen=True)
class Share:
    """What somebody gets: how many machines, and the cores that lack for the rest."""

    granted: int
    lacking: Cores


def share(pool: Pool, wishes: Sequence[Wish]) -> list[Share]:
    """Hand out cores: first what ought to run now, in order, and then what may come one day, in order again.

    What lacks is counted so that it adds up: if every quota grew by the sum of it, everybody would get everything.
    """
    granted = [pool.grant(wish.each, wish.least) for wish in wishes]
    granted = [had + pool.grant(wish.each, wish.most - had) for had, wish in zip(granted, wishes, strict=True)]
    return [
        Share(had, pool.claim({name: n * (wish.most - had) for name, n in wish.each.items()}))
        for had, wish in zip(granted, wishes, strict=True)
    ]


def check(site: Surroundings, usages: Mapping[str, Usage], sizes: Mapping[str, VmSize]) -> Iterator[Finding]:
    """Yield which machines cannot be made, and which partitions cannot grow to `nodes.max`.

    The scheduler and login nodes come first, because without them nothing works; then partitions in the order of their
    names. Sizes that the region does not have are left to the check of sizes.

    Parameters
    ----------
    site
        The environment.
    usages
        Of Microsoft.Compute, by lower-case name.
    sizes
        By lower-case name.
    """
    pool = Pool({name: usage.free for name, usage in usages.items()})
    words = _Words(usages, site.location)
    for machine in site.machines:
        if not machine.is_node:
            yield from _check_machine(site, machine, pool, words, sizes)
    node_sets = [nodes for nodes in site.node_sets if nodes.vm_size.lower() in sizes]
    for nodes in node_sets:
        yield from _check_rollout(site, nodes, pool, words, sizes)
    # Nodes of another size or priority go in the end, and give back what they have.
    for nodes in node_sets:
        for name, priority in _others(site, nodes):
            if (size := sizes.get(name.lower())) is not None:
                pool.give_back(cores(size, priority))
    wishes = [_wish(site, nodes, sizes) for nodes in node_sets]
    for nodes, got in zip(node_sets, share(pool, wishes), strict=True):
        if got.lacking:
            reach = _present(site, nodes) + got.granted
            yield Finding(
                nodes.owner,
                Check.QUOTA,
                "QuotaTooSmall",
                f"Partition {nodes.owner.name} can reach {reach} of {nodes.maximum} nodes: {words.lack(got.lacking)}; "
                "request more quota or lower nodes.max",
            )


def _check_machine(
    site: Surroundings, machine: Machine, pool: Pool, words: _Words, sizes: Mapping[str, VmSize]
) -> Iterator[Finding]:
    size = sizes.get(machine.vm_size.lower())
    to_make = all(map(site.is_missing, machine.blocks))
    if size is None or not (to_make or machine.is_resized):
        return
    needed = Counter(cores(size, machine.priority))
    if (before := sizes.get(machine.shown_size.lower())) is not None:
        needed -= Counter(cores(before, machine.priority))
    if pool.grant(needed, 1) == 0:
        yield Finding(
            machine.owner,
            Check.QUOTA,
            "QuotaExceeded",
            f"{machine.label} cannot {'be made' if to_make else 'be resized'} as {size.name}: "
            f"{words.lack(pool.claim(needed))}; request more quota or write a VM size of another family",
            machine.blocks,
        )


def _check_rollout(
    site: Surroundings, nodes: NodeSet, pool: Pool, words: _Words, sizes: Mapping[str, VmSize]
) -> Iterator[Finding]:
    """Yield whether not even one node of the new size fits beside those of the old one."""
    lacking = pool.lacks(cores(sizes[nodes.vm_size.lower()], nodes.priority))
    waits = nodes.max_unavailable == 0 and _present(site, nodes) < nodes.count
    if lacking and waits and any(_others(site, nodes)):
        yield Finding(
            nodes.owner,
            Check.QUOTA,
            "NoQuotaForSurge",
            f"Partition {nodes.owner.name} cannot replace its nodes, because not one of {nodes.vm_size} fits beside "
            f"them: {words.lack(lacking)}; request more quota or write rollout.maxUnavailable: 1",
        )


def _is_current(nodes: NodeSet, node: tuple[str, str]) -> bool:
    return (node[0].lower(), node[1]) == (nodes.vm_size.lower(), nodes.priority)


def _present(site: Surroundings, nodes: NodeSet) -> int:
    return sum(_is_current(nodes, node) for node in site.nodes.get(nodes.owner.name, ()))


def _others(site: Surroundings, nodes: NodeSet) -> Iterator[tuple[str, str]]:
    return (node for node in site.nodes.get(nodes.owner.name, ()) if not _is_current(nodes, node))


def _wish(site: Surroundings, nodes: NodeSet, sizes: Mapping[str, VmSize]) -> Wish:
    most = max(0, nodes.maximum - _present(site, nodes))
    least = min(most, max(0, nodes.count - _present(site, nodes)))
    return Wish(cores(sizes[nodes.vm_size.lower()], nodes.priority), least, most)


@dataclass(frozen=True)
class _Words:
    """Says what lacks, in Azure's own names of quotas."""

    usages: Mapping[str, Usage]
    location: str

    def lack(self, lacking: Cores) -> str:
        amounts = " and ".join(f"{n} more {self._name(name)}" for name, n in lacking.items())
        return f"{amounts} are needed in {self.location}"

    def _name(self, name: str) -> str:
        named = {REGIONAL: "regional cores (cores)", SPOT: "Spot cores (lowPriorityCores)"}
        return named.get(name, f"{self.usages[name].name} cores")
