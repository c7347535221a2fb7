"""What the chapters show: the environment as it becomes Ready, the rollout of nodes, the growth of a tier.

Each takes in what was seen and draws it; what it means is worked out in `states`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hpc_operator.blueprint.names import PARTITION_TAG
from hpc_operator.demo import states
from hpc_operator.demo.look import Seen
from hpc_operator.demo.states import Arrival, Life, Mark, StepState
from hpc_operator.demo.wording import clock, count, resource_name
from hpc_operator.graph import Step

Json = Any

GREY = "bright_black"
_MARKS = {Mark.WAITING: ("○", GREY), Mark.READY: ("✓", "bold green"), Mark.FAILED: ("✗", "bold red")}
_STATE_STYLES = {"Creating": "yellow", "Ready": "green", "Deleting": "magenta", "Failed": "red", "gone": GREY}
_CELLS = {"Creating": "░", "Ready": "█", "Deleting": "▒", "Failed": "x"}
_LONGEST_STRIP = 36
_SECONDS_PER_CELL = 15.0


class Timer:
    """Two clocks from one moment on: Azure's, and the one on the wall.

    Parameters
    ----------
    since
        The emulated moment at which it begins.
    speed
        Emulated seconds per second.
    """

    def __init__(self, since: float, speed: float) -> None:
        self.since = since
        self._speed = speed
        self._began = time.monotonic()
        self._stopped: tuple[float, float] | None = None

    def stop(self, now: float) -> None:
        """Stop both, Azure's at this emulated moment."""
        self._stopped = (now - self.since, self.here)

    @property
    def azure(self) -> float:
        """Emulated seconds so far."""
        return self._stopped[0] if self._stopped else self.here * self._speed

    @property
    def here(self) -> float:
        """Seconds so far."""
        return self._stopped[1] if self._stopped else time.monotonic() - self._began

    def draw(self, title: str) -> RenderableType:
        """Return the headline of a screen."""
        line = Table.grid(expand=True)
        line.add_column()
        line.add_column(justify="right")
        passed = Text.assemble((clock(self.azure), "bold"), f" of Azure's time in {self.here:.0f} s here")
        line.add_row(Text(title, style="bold"), passed)
        return line


def _kubectl_get(tables: Mapping[str, str], namespace: str) -> Group:
    """Return the tables under the commands that print them."""
    parts: list[RenderableType] = []
    for kind, table in tables.items():
        parts += [Text(f"$ kubectl get {kind} -n {namespace}", style=GREY), Text(table.rstrip("\n"))]
        for part in parts:
            if isinstance(part, Text):
                part.no_wrap, part.overflow = True, "crop"
    return Group(*parts)


def _height(tables: Mapping[str, str]) -> int:
    return sum(1 + len(table.splitlines()) for table in tables.values())


class BecomingReady:
    """The environment on its way: five steps, resources as they come, and what `kubectl get` prints."""

    TABLES = ("hpcenvironments", "storagetiers", "computepartitions")
    _FIXED_LINES = 11  # headline, five steps, the heading and four gaps

    def __init__(self, name: str, namespace: str, timer: Timer) -> None:
        self._name = name
        self._namespace = namespace
        self._timer = timer
        self._noticed = states.Arrivals()
        self._arrived: list[Arrival] = []
        self._unsaid: list[Arrival] = []
        self._steps: list[StepState] = []
        self._said: dict[str, Mark] = {}
        self._tables: Mapping[str, str] = {}
        self._spinner = Spinner("dots", style="yellow")

    def take_in(self, seen: Seen, step_of: Mapping[str, Step]) -> None:
        """Take in what was seen."""
        self._steps = states.steps(seen, step_of)
        news = self._noticed.news(seen)
        self._arrived += news
        self._unsaid += news
        self._tables = seen.tables

    def lines(self) -> list[str]:
        """See `Screen`."""
        at = clock(self._timer.azure)
        lines = []
        if self._unsaid:
            names = ", ".join(f"{item.name}{_took(item.seconds)}" for item in self._unsaid)
            lines.append(f"{at:>6}  ready: {names}")
        for step in self._steps:
            if step.mark is not self._said.get(step.title) and step.mark in {Mark.READY, Mark.FAILED}:
                said = f": {step.trouble}" if step.trouble else f" ({count(step.total, 'resource')})"
                lines.append(f"{at:>6}  {_MARKS[step.mark][0]} {step.title} is {step.mark}{said}")
            self._said[step.title] = step.mark
        self._unsaid.clear()
        return lines

    def draw(self, height: int) -> RenderableType:
        """See `Screen`."""
        room = max(3, height - self._FIXED_LINES - _height(self._tables) - 1)
        recent: list[RenderableType] = []
        for item in self._arrived[-room:]:
            line = Text.assemble((f"{clock(item.at - self._timer.since):>8}  ", GREY), item.name)
            line.append(_took(item.seconds), style=GREY)
            recent.append(line)
        recent += [Text("")] * (room - len(recent))
        return Group(
            self._timer.draw(f"HPCEnvironment {self._name}"),
            Text(""),
            self._draw_steps(),
            Text(""),
            Text("  Azure resources as they become ready, and how long Azure took", style=GREY),
            *recent,
            Text(""),
            _kubectl_get(self._tables, self._namespace),
        )

    def _draw_steps(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(width=3, justify="right")
        grid.add_column(width=14)
        grid.add_column(width=5, justify="right")
        grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for step in self._steps:
            mark: RenderableType = (
                self._spinner if step.mark is Mark.WORKING else Text(*_MARKS[step.mark], justify="right")
            )
            style = GREY if step.mark is Mark.WAITING else ""
            done = f"{step.ready}/{step.total}" if step.total else ""
            now = step.trouble or ", ".join(f"{item.name} {clock(item.seconds)}" for item in step.busy)
            grid.add_row(
                mark,
                Text(step.title, style=style),
                Text(done, style=style),
                Text(now, style="red" if step.trouble else "yellow"),
            )
        return grid


def _took(seconds: float) -> str:
    return f" {clock(seconds)}" if seconds >= 1 else ""


class RollingOut:
    """Nodes of two generations: a strip of time for each, and what `kubectl get` prints."""

    TABLES = ("computepartitions",)

    def __init__(self, partition: str, namespace: str, timer: Timer, *, old_size: str, new_size: str) -> None:
        self._partition = partition
        self._namespace = namespace
        self._timer = timer
        self._old_size = old_size
        self._new_size = new_size
        self._lives: list[Life] = []
        self._sizes: dict[tuple[str, float], str] = {}
        self._tables: Mapping[str, str] = {}
        self._said: dict[tuple[str, float], str] = {}
        self._now = timer.since
        self._wanted = 0
        self.looks = 0
        self.looks_ready = 0

    @property
    def fewest(self) -> int:
        """The least number of nodes that served at any moment so far, from the times of Azure's operations."""
        return states.fewest_serving(self._lives, self._timer.since, self._now)

    @property
    def most(self) -> int:
        """The greatest number of nodes that existed at any moment so far."""
        return states.most_present(self._lives, self._timer.since, self._now)

    @property
    def settled(self) -> bool:
        """Whether every node is of the new size and serves."""
        present = [life for life in self._lives if life.state != "gone"]
        return bool(present) and all(life.state == "Ready" and self._is_new(life) for life in present)

    def take_in(self, seen: Seen) -> None:
        """Take in what was seen."""
        partition = seen.named("ComputePartition", self._partition)
        machines = [
            item for item in states.node_machines(seen.machines) if item["tags"][PARTITION_TAG] == self._partition
        ]
        self._lives = [
            life
            for life in states.lives(seen.operations, f"{self._partition}-")
            if life.gone is None or life.gone >= self._timer.since
        ]
        for life in self._lives:
            if life.state == "gone":
                continue
            for machine in machines:
                if machine["name"] == life.name:
                    self._sizes.setdefault((life.name, life.made), machine["properties"]["hardwareProfile"]["vmSize"])
        self._now = seen.clock
        self._wanted = int(partition.get("status", {}).get("nodes", {}).get("desired", 0))
        self._tables = seen.tables
        self.looks += 1
        self.looks_ready += states.condition(partition, "Ready").get("status") == "True"

    def _size(self, life: Life) -> str:
        # Between two lists a node may come or go.
        return self._sizes.get((life.name, life.made), self._new_size if self._is_new(life) else self._old_size)

    def _is_new(self, life: Life) -> bool:
        return life.made >= self._timer.since

    def lines(self) -> list[str]:
        """See `Screen`."""
        at = clock(self._timer.azure)
        lines = []
        for life in self._lives:
            key = (life.name, life.made)
            before = self._said.get(key)
            if before != life.state:
                self._said[key] = life.state
                if before is not None or self._is_new(life):
                    lines.append(f"{at:>6}  {life.name} ({self._size(life)}): {life.state}")
        if lines:
            serving = sum(life.serves(self._now) for life in self._lives)
            lines[-1] += f"   [{serving} of {self._wanted} wanted nodes are ready]"
        return lines

    def draw(self, height: int) -> RenderableType:
        """See `Screen`."""
        room = max(4, height - 9 - _height(self._tables))
        grid = Table.grid(padding=(0, 2))
        for width in (22, 20, 3, 8):
            grid.add_column(width=width, no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_row(*(Text(title, style=GREY) for title in ("  node", "VM size", "", "now", self._axis())))
        for life in self._lives[-room:]:
            style = _STATE_STYLES[life.state]
            grid.add_row(
                f"  {life.name}",
                Text(self._size(life), style="" if life.state != "gone" else GREY),
                Text("new", style="bold cyan") if self._is_new(life) else Text("old", style=GREY),
                Text(life.state, style=style),
                self._strip(life),
            )
        return Group(
            self._timer.draw(f"{self._partition}: {self._old_size} → {self._new_size}"),
            Text(""),
            grid,
            Text(""),
            self._draw_service(),
            Text(""),
            _kubectl_get(self._tables, self._namespace),
        )

    def _draw_service(self) -> RenderableType:
        serving = sum(life.serves(self._now) for life in self._lives)
        never = "in every look" if self.looks == self.looks_ready else f"in {self.looks_ready} looks only"
        return Text.assemble(
            "  Ready nodes ",
            (f"{serving}", "bold"),
            ", fewest at any moment ",
            (f"{self.fewest} of {self._wanted}", "bold green" if self.fewest >= self._wanted else "bold red"),
            f". Partition Ready {never} ({self.looks}).",
        )

    def _axis(self) -> str:
        cells = self._cells()
        end = clock(cells * self._per_cell())
        return f"0:00{end:>{max(0, cells - 4)}}"

    def _per_cell(self) -> float:
        return max(_SECONDS_PER_CELL, (self._now - self._timer.since) / _LONGEST_STRIP)

    def _cells(self) -> int:
        return max(8, min(_LONGEST_STRIP, round((self._now - self._timer.since) / self._per_cell())))

    def _strip(self, life: Life) -> Text:
        """Return one character for each piece of time: making, ready, deleting."""
        strip = Text()
        for cell in range(self._cells()):
            state = _state_at(life, self._timer.since + (cell + 0.5) * self._per_cell())
            strip.append(_CELLS.get(state, " "), style=_STATE_STYLES.get(state, ""))
        return strip


def _state_at(life: Life, moment: float) -> str:
    if moment < life.made or (life.gone is not None and moment >= life.gone):
        return ""
    if life.going is not None and moment >= life.going:
        return "Deleting"
    if life.ready is not None and moment >= life.ready:
        return "Ready"
    return "Failed" if life.failed else "Creating"


class Growing:
    """A storage tier that grows while it is mounted."""

    TABLES = ("storagetiers",)

    def __init__(self, tier: str, namespace: str, timer: Timer, *, before: str, after: str) -> None:
        self._tier = tier
        self._namespace = namespace
        self._timer = timer
        self._before = before
        self._after = after
        self._capacity = before
        self._changes: list[tuple[str, float, float | None]] = []
        self._tables: Mapping[str, str] = {}
        self._said: set[str] = set()

    def take_in(self, seen: Seen) -> None:
        """Take in what was seen."""
        tier = seen.named("StorageTier", self._tier)
        self._capacity = tier.get("status", {}).get("capacity", "")
        self._tables = seen.tables
        self._changes = [
            (
                f"{item['verb']} {resource_name(item['resourceId'])}",
                item["startSeconds"],
                item["endSeconds"] if item["status"] != "InProgress" else None,
            )
            for item in seen.operations
            if item["startSeconds"] >= self._timer.since
        ]

    def lines(self) -> list[str]:
        """See `Screen`."""
        lines = []
        for name, began, ended in self._changes:
            if ended is not None and name not in self._said:
                self._said.add(name)
                lines.append(f"{clock(ended - self._timer.since):>6}  {name}{_took(ended - began)}")
        if self._capacity == self._after and self._after not in self._said:
            self._said.add(self._after)
            lines.append(f"{clock(self._timer.azure):>6}  capacity {self._before} → {self._capacity}")
        return lines

    def draw(self, height: int) -> RenderableType:  # noqa: ARG002 - it is short enough for every terminal
        """See `Screen`."""
        changes: list[RenderableType] = []
        for name, began, ended in self._changes:
            done = ended is not None
            took = clock((ended if ended is not None else self._timer.since + self._timer.azure) - began)
            changes.append(
                Text.assemble(("  ✓ " if done else "  … ", "green" if done else "yellow"), name, (f" {took}", GREY))
            )
        capacity = Text.assemble("  capacity ", (self._before, "bold"))
        if self._capacity == self._after:
            capacity.append(" → ").append(self._after, style="bold green")
        return Group(
            self._timer.draw(f"{self._tier}: {self._before} → {self._after}"),
            Text(""),
            *(changes or [Text("  …", style="yellow")]),
            capacity,
            Text(""),
            _kubectl_get(self._tables, self._namespace),
        )
