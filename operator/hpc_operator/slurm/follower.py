"""Follows one Slurm, and brings it to what the engine wants of it.

It asks at its own pace, in a task of its own, so that no pass over an environment ever waits for a scheduler. What it
has seen last is the view; the engine says what ought to be, and the next round brings Slurm there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from hpc_operator.slurm.link import NodeDefinition, Power, Scheduler, SlurmJob, SlurmNode, Unreachable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """What a scheduler said last.

    Parameters
    ----------
    nodes
        All nodes by name.
    jobs
        The jobs that wait or run.
    problem
        Why the scheduler cannot be asked now, for people; empty where it can. Then nodes and jobs are what was known
        before, and nobody may build upon them.
    """

    nodes: Mapping[str, SlurmNode] = field(default_factory=dict)
    jobs: tuple[SlurmJob, ...] = ()
    problem: str = ""

    @property
    def running_jobs(self) -> int:
        """How many jobs hold nodes."""
        return sum(job.is_running for job in self.jobs)

    def is_free(self, name: str) -> bool:
        """Return whether the machine of a node may be taken away: nothing runs on it, and nothing can start there."""
        if self.problem:
            return False
        node = self.nodes.get(name)
        if node is None:
            return True  # it never registered, so no job can have been sent to it
        if node.is_busy or any(name in job.nodes for job in self.jobs if job.is_running):
            return False
        return node.is_draining or node.is_down or node.power in {Power.POWERING_DOWN, Power.DOWN}


@dataclass(frozen=True)
class Wanted:
    """What the engine wants of a scheduler.

    Parameters
    ----------
    nodes
        The nodes that Slurm has to know.
    prefixes
        How the names of all nodes of ours begin. What has another name was made by a person and is left alone.
    drained
        Reasons, without `DRAIN_PREFIX`, by name of node.
    vanished
        Nodes whose machine is gone although Slurm believes it to be there.
    """

    nodes: tuple[NodeDefinition, ...] = ()
    prefixes: tuple[str, ...] = ()
    drained: Mapping[str, str] = field(default_factory=dict)
    vanished: frozenset[str] = frozenset()


class Follower:
    """One scheduler, followed.

    Parameters
    ----------
    scheduler
        The link to it.
    wake
        Called in the event loop when something is otherwise than before.
    interval
        Seconds between two rounds.
    """

    def __init__(self, scheduler: Scheduler, wake: Callable[[], None], interval: float) -> None:
        self._scheduler = scheduler
        self._wake = wake
        self._interval = interval
        self._wanted: Wanted | None = None
        self._asked = asyncio.Event()
        self.view: View | None = None
        """None until the scheduler has been asked once."""

    def want(self, wanted: Wanted) -> None:
        """Have the scheduler brought to this, soon."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._asked.set()

    async def run(self) -> None:
        """Follow it until cancelled."""
        while True:
            self._asked.clear()
            before, self.view = self.view, await self._round()
            if self.view != before:
                self._wake()
            try:
                await asyncio.wait_for(self._asked.wait(), self._interval)
            except TimeoutError:
                continue

    async def _round(self) -> View:
        try:
            view = await self._look()
            # What was asked for makes no difference to what Slurm shows at once in every case; the next round tells.
            return await self._look() if await self._act(view) else view
        except Unreachable as error:
            if self.view is None or not self.view.problem:
                logger.warning("%s", error)
            return replace(self.view or View(), problem=str(error))

    async def _look(self) -> View:
        nodes, jobs = await self._scheduler.nodes(), await self._scheduler.jobs()
        return View(nodes, tuple(jobs))

    async def _act(self, view: View) -> bool:
        """Bring Slurm a step nearer to what is wanted; return whether anything was to be done."""
        wanted = self._wanted
        if wanted is None:
            return False
        known = {definition.name for definition in wanted.nodes}
        ours = {name: node for name, node in view.nodes.items() if name.startswith(wanted.prefixes)}
        create = [definition for definition in wanted.nodes if definition.name not in view.nodes]
        vanished = [name for name in wanted.vanished if name in ours and _has_to_be_told(ours[name])]
        forget = [name for name, node in ours.items() if name not in known and _may_be_forgotten(node)]
        drain = {name: reason for name, reason in wanted.drained.items() if name in ours and not ours[name].is_draining}
        resume = [
            name
            for name, node in ours.items()
            if name in known and node.is_drained_by_us and name not in wanted.drained
        ]
        if create:
            await self._scheduler.create_nodes(create)
        if vanished:
            await self._scheduler.power_down(vanished)
        for reason, names in _by_reason(drain).items():
            await self._scheduler.drain(names, reason)
        if resume:
            await self._scheduler.resume(resume)
        refused = await self._scheduler.delete_nodes(forget) if forget else {}
        for name, why in refused.items():
            logger.info("Slurm keeps node %s for now: %s", name, why)
        return bool(create or vanished or drain or resume or len(refused) < len(forget))


def _may_be_forgotten(node: SlurmNode) -> bool:
    return not node.is_busy and (node.power is Power.DOWN or node.is_down or node.is_drained_by_us)


def _has_to_be_told(node: SlurmNode) -> bool:
    """Return whether Slurm does not know yet that a machine is gone."""
    return node.power is Power.UP


def _by_reason(drained: Mapping[str, str]) -> dict[str, Collection[str]]:
    names: dict[str, list[str]] = {}
    for name, reason in drained.items():
        names.setdefault(reason, []).append(name)
    return dict(names)
