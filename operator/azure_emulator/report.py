"""`azure-emulator report`: what clients did to an emulator, as tables.

Reads the logs that a running emulator or a state directory has, and changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from azure_emulator import admin_client
from azure_emulator.store import STATE_FILE, Store

TOO_MANY, FIRST_ERROR = 429, 400
# An operation that begins within so many emulated seconds of another's end may have waited for it: a client polls.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Step:
    """One operation on the critical path; times are emulated seconds."""

    resource: str
    verb: str
    start: float
    end: float
    waited: float  # between the end of the step before and this one's start


@dataclass(frozen=True)
class Report:
    """What there is to say of requests and operations, as the admin API shows them."""

    requests: Sequence[Mapping[str, Any]]
    operations: Sequence[Mapping[str, Any]]

    def calls(self) -> list[tuple[str, Counter[str]]]:
        """By resource type: how many requests of each method, the busiest type first."""
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for entry in self.requests:
            found[str(entry.get("type") or "")][str(entry["method"])] += 1
        return sorted(found.items(), key=lambda item: (-item[1].total(), item[0]))

    def refusals(self) -> list[tuple[int, str, int]]:
        """Status, code and count of what was refused, the most frequent first."""
        found = Counter(
            (int(entry["status"]), str(entry.get("code") or ""))
            for entry in self.requests
            if int(entry["status"]) >= FIRST_ERROR
        )
        return [(status, code, count) for (status, code), count in found.most_common()]

    def callers(self) -> list[tuple[str, int, int, float]]:
        """Who asked: requests, throttled ones, and the mean milliseconds that an answer took."""
        found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in self.requests:
            found[str(entry.get("caller") or "nobody")].append(entry)
        rows = []
        for caller, entries in found.items():
            throttled = sum(int(entry["status"]) == TOO_MANY for entry in entries)
            mean = sum(float(entry.get("durationMs") or 0) for entry in entries) / len(entries)
            rows.append((caller, len(entries), throttled, mean))
        return sorted(rows, key=lambda row: -row[1])

    def critical_path(self) -> list[Step]:
        """The longest chain of operations of which each waited for the one before.

        An operation stands upon those on resources that its own refers to or is part of, if they ended before it
        began; the one that ended last is what it waited for.
        """
        ended = [one for one in self.operations if one["status"] == "Succeeded" and one["verb"] == "PUT"]
        of_resource: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for one in ended:
            of_resource[str(one["resourceId"]).lower()].append(one)
        longest: list[Step] = []
        for one in ended:
            chain = _chain(one, of_resource)
            if not longest or chain[-1].end - chain[0].start > longest[-1].end - longest[0].start:
                longest = chain
        return longest

    def show(self, console: Console) -> None:
        """Print everything."""
        if not self.requests:
            console.print("Nobody has asked this emulator anything yet.")
            return
        times = [float(entry["emulatedTime"]) for entry in self.requests]
        console.print(f"{len(self.requests)} requests in {_span(max(times) - min(times))} of emulated time.\n")
        self._show_calls(console)
        self._show_rest(console)
        self._show_path(console)

    def _show_calls(self, console: Console) -> None:
        methods = sorted({method for _, counts in self.calls() for method in counts})
        table = _table("Calls by type", "Type", *methods, "All")
        for name, counts in self.calls():
            table.add_row(name, *(str(counts[method] or "") for method in methods), str(counts.total()))
        console.print(table)

    def _show_rest(self, console: Console) -> None:
        table = _table("Callers", "Caller", "Requests", "Throttled", "Mean ms")
        for caller, count, throttled, mean in self.callers():
            table.add_row(caller, str(count), str(throttled), f"{mean:.1f}")
        console.print(table)
        if self.refusals():
            table = _table("Refused", "Code", "Status", "Count")
            for status, code, count in self.refusals():
                table.add_row(code, str(status), str(count))
            console.print(table)

    def _show_path(self, console: Console) -> None:
        path = self.critical_path()
        if not path:
            return
        whole = path[-1].end - path[0].start
        table = _table(f"Critical path: {_span(whole)}", "Operation", "Seconds", "Waited before")
        for step in path:
            table.add_row(step.resource.split("/providers/")[-1], f"{step.end - step.start:.1f}", f"{step.waited:.1f}")
        console.print(table)


def _chain(last: Mapping[str, Any], of_resource: Mapping[str, list[Mapping[str, Any]]]) -> list[Step]:
    """What an operation waited for, and what that waited for, from the beginning."""
    path: list[Step] = []
    current: Mapping[str, Any] | None = last
    while current is not None:
        start = float(current["startSeconds"])
        candidates = [one for key in current.get("refersTo") or () for one in of_resource.get(str(key), ())]
        possible = [one for one in candidates if start - PATIENCE_SECONDS <= _end(one) <= start and one is not current]
        before = max(possible, key=_end, default=None)
        waited = start - _end(before) if before is not None else 0.0
        path.append(Step(str(current["resourceId"]), str(current["verb"]), start, _end(current), waited))
        current = before
    return path[::-1]


def _end(operation: Mapping[str, Any]) -> float:
    return float(operation["endSeconds"])


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for position, name in enumerate(columns):
        table.add_column(name, justify="left" if position == 0 else "right", overflow="fold")
    return table


def run(options: argparse.Namespace) -> int:
    """Carry out `azure-emulator report`; the exit status."""
    try:
        if options.state is not None:
            found = _of_state(options.state)
        else:
            client = admin_client.Client(options.url, options.ca_file)
            found = Report(client.ask("GET", "requests")["requests"], client.ask("GET", "operations"))
    except (admin_client.AdminError, OSError) as error:
        print(f"azure-emulator: {error}", file=sys.stderr)
        return 1
    found.show(Console())
    return 0


def _of_state(directory: Path) -> Report:
    if not (directory / STATE_FILE).exists():
        msg = f"{directory} holds no state of an emulator: write the directory that `serve --state` was given"
        raise admin_client.AdminError(msg)
    store = Store(directory)
    operations = [operation.document() for operation in store.operations.values()]
    return Report(list(store.requests), operations)
