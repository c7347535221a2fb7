"""Lives after lives, until everything that can happen to a call has happened to every call of the undisturbed one."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from crashing.calls import AZURE, Call, Point
from crashing.judge import Deviation, Judge
from crashing.life import Life, live
from crashing.processes import HarnessError
from crashing.proxy import CUT, HANG, KILLS, LATE, LOST, RESTART, UNSENT, WATCH_CUT
from crashing.world import World

LIVES = 50
"""In about so many lives every point is met: 20 kills in each, or 40 faults."""
CALLS_BETWEEN = 4
FRUITLESS = 3
"""After so many lives in which nothing new was met, what is left is taken for not to be met."""

READ_FAULTS = (LOST, CUT, "429", "503", HANG)
WRITE_FAULTS = (UNSENT, LOST, CUT, "409", "412", "429", "500", "503", HANG)
KUBERNETES_FAULTS = (UNSENT, LOST, "409", "429", "500", "503", HANG, WATCH_CUT)
EVERYTHING = tuple(dict.fromkeys((*KILLS, *WRITE_FAULTS, LATE, *READ_FAULTS, *KUBERNETES_FAULTS, RESTART)))


def kills_of(call: Call) -> tuple[str, ...]:
    """Return the ways to kill the operator at a call."""
    return KILLS


def faults_of(call: Call) -> tuple[str, ...]:
    """Return what can go wrong with a call while the operator lives on."""
    if call.server == AZURE:
        if not call.writes_to_azure:
            return READ_FAULTS
        return (*WRITE_FAULTS, LATE) if call.status in {201, 202} else WRITE_FAULTS
    if call.name.startswith(("STATUS", "FINALIZER")):
        return KUBERNETES_FAULTS
    return (LOST, "503") if call.name.startswith("EVENT") else ()


def points_of(calls: Iterable[Call], ways: Callable[[Call], tuple[str, ...]]) -> list[Point]:
    """Return all points of the undisturbed life, in the order in which it comes to them."""
    found = {Point(call.stage, call.name, way): None for call in calls for way in ways(call)}
    return list(found)


@dataclass
class Script:
    """Does to each call what has not been done to it yet, but not so much at once that nothing can be told apart.

    The same call is disturbed once in a stage, because waits double with each failure, and between two disturbances lie
    some writes of the operator and some calls that were left alone.

    Parameters
    ----------
    wanted
        The points that are still to be met; those that are met are taken out.
    gaps
        By stage: how many writes lie between two disturbances at least.
    calls_between
        How many calls lie between two disturbances at least.
    """

    wanted: dict[Point, None]
    gaps: dict[str, int]
    calls_between: int = 0
    met: list[Point] = field(default_factory=list)
    _stage: str = ""
    _writes: int = 0
    _calls: int = 0
    _names: set[str] = field(default_factory=set)

    def __call__(self, call: Call) -> str:
        if call.stage != self._stage:
            # A stage begins at rest.
            self._stage, self._writes, self._calls, self._names = call.stage, 10**6, 10**6, set()
        self._writes += call.is_progress
        self._calls += 1
        if self._writes < self.gaps.get(call.stage, 0) or self._calls < self.calls_between or call.name in self._names:
            return ""
        for way in EVERYTHING:
            if (point := Point(call.stage, call.name, way)) in self.wanted:
                del self.wanted[point]
                self.met.append(point)
                self._names.add(call.name)
                self._writes = self._calls = 0
                return way
        return ""


@dataclass
class Figures:
    """What a campaign comes to."""

    points: int = 0
    met: int = 0
    unmet: list[str] = field(default_factory=list)
    lives: int = 0
    kills: int = 0
    disturbances: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    restarts: list[float] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    deviations: list[Deviation] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        figures = {**vars(self), "deviations": [str(deviation) for deviation in self.deviations]}
        return {**figures, "restarts": round(statistics.median(self.restarts), 3) if self.restarts else None}


@dataclass(frozen=True)
class Pace:
    """How much happens in one life.

    Parameters
    ----------
    lives
        In about so many lives all is met; None for as soon as its call comes, however soon after another one.
    at_most
        End after so many lives in each world, whatever is left.
    """

    lives: int | None = LIVES
    at_most: int | None = None

    @property
    def calls_between(self) -> int:
        """How many calls lie between two disturbances at least."""
        return 0 if self.lives is None else CALLS_BETWEEN


class Campaign:
    """The lives of one world.

    Parameters
    ----------
    world
        Where.
    say
        Takes a line about what is done.
    """

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        self._world = world
        self._say = say

    async def learn(self, *, twice: bool = True) -> list[Call]:
        """Live undisturbed, and once more to see whether lives can be compared; return the calls.

        Raises
        ------
        HarnessError
            If the second time is not as the first: then nothing can be judged.
        """
        first = await self._undisturbed("reference-1")
        self.calls = list(self._world.calls)
        self.judge = Judge(first, self.calls)
        if not twice:
            return self.calls
        second = await self._undisturbed("reference-2")
        verdict = self.judge.compare(second, self._world)
        if verdict.deviations:
            raise HarnessError("Two undisturbed lives differ:\n" + "\n".join(map(str, verdict.deviations)))
        return self.calls

    async def _undisturbed(self, name: str) -> Life:
        life = await live(self._world, lambda _: "", name)
        if life.stuck or self._world.complaints:
            raise HarnessError(f"An undisturbed life failed: {life.stuck} {self._world.complaints}")
        self._say(f"undisturbed: {life.seconds:.0f} s, {len(self._world.calls)} calls")
        return life

    async def run(self, wanted: dict[Point, None], pace: Pace, figures: Figures) -> None:
        """Live until all is met; other worlds may take points away at the same time."""
        gaps = self._gaps(wanted, pace)
        self._world.after_kill = lambda kill: self.judge.inventory(self._world, kill)
        lives = fruitless = 0
        while wanted and fruitless < FRUITLESS and lives != pace.at_most:
            lives += 1
            script = Script(wanted, gaps, pace.calls_between)
            life = await live(self._world, script, f"life-{lives}")
            self._count(figures, life, script)
            fruitless = 0 if script.met else fruitless + 1
            left = Counter(point.stage for point in wanted)
            stages = ", ".join(f"{scene.stage} {scene.seconds:.1f} s" for scene in life.scenes)
            self._say(
                f"life {lives}: {life.seconds:.0f} s ({stages}), {len(script.met)} points,"
                f" {len(wanted)} left {dict(left)}, {len(figures.deviations)} deviations"
            )
        self._world.after_kill = None

    def _gaps(self, wanted: Iterable[Point], pace: Pace) -> dict[str, int]:
        if pace.lives is None:
            return {}
        progress = Counter(call.stage for call in self.calls if call.is_progress)
        counts = Counter(point.stage for point in wanted)
        return {stage: max(1, progress[stage] // math.ceil(count / pace.lives)) for stage, count in counts.items()}

    def _count(self, figures: Figures, life: Life, script: Script) -> None:
        world = self._world
        verdict = self.judge.compare(life, world)
        figures.lives += 1
        figures.met += len(script.met)
        figures.kills += len(world.kills)
        figures.disturbances += Counter(point.disturbance for point in script.met)
        figures.repeated += Counter(verdict.repeated)
        figures.refused += verdict.refused
        figures.restarts += [seconds for kill in world.kills for seconds in kill.restart_seconds]
        figures.calls += len(world.calls)
        figures.deviations += verdict.deviations
        for deviation in verdict.deviations:
            self._say(str(deviation))
        if verdict.deviations:
            points = world.directory / f"{life.name}.points"
            points.write_text("".join(f"{point}\n" for point in script.met))
            (world.directory / f"{life.name}.calls").write_text("".join(f"{call}\n" for call in world.calls))
            self._say(f"to live it again: tests/crash/run.py --points {points}")


async def meet(campaigns: Iterable[Campaign], points: Iterable[Point], pace: Pace) -> Figures:
    """Have all worlds live until all points are met, each in one of them."""
    began = time.monotonic()
    wanted = dict.fromkeys(points)
    figures = Figures(points=len(wanted))
    await asyncio.gather(*(campaign.run(wanted, pace, figures) for campaign in campaigns))
    figures.unmet = [str(point) for point in wanted]
    figures.seconds = time.monotonic() - began
    return figures
