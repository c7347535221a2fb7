"""The table at the end of a run, and the same as JSON. Knows neither Azure nor Kubernetes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Parameters
    ----------
    what
        What it says.
    value
        The number.
    unit
        After the number; empty for ratios and counts.
    goal
        What it may be at most, None where there is no goal.
    at_least
        The goal is what it must be at least.
    digits
        Digits after the point.
    """

    what: str
    value: float
    unit: str = ""
    goal: float | None = None
    digits: int = 2
    at_least: bool = False

    def shown(self, value: float) -> str:
        """Return a number as this line shows numbers."""
        return f"{value:.{self.digits}f} {self.unit}".strip()

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing."""
        # What is shown decides: nobody should read "1.05, goal 1.05, missed".
        if self.goal is None:
            return ""
        value = round(self.value, self.digits)
        return "met" if (value >= self.goal if self.at_least else value <= self.goal) else "missed"


@dataclass
class Report:
    """What a run found.

    Parameters
    ----------
    figures
        Lines of the table, by section.
    tables
        More tables: title, header, rows, and a note.
    notes
        Sentences after the tables.
    data
        What only the JSON file has.
    """

    figures: dict[str, list[Figure]] = field(default_factory=dict)
    tables: list[tuple[str, Sequence[str], list[Sequence[str]], str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def add(self, section: str, figures: Iterable[Figure]) -> None:
        """Add lines."""
        self.figures.setdefault(section, []).extend(figures)

    def show(self, console: Console) -> None:
        """Print it."""
        table = Table(box=None, padding=(0, 2), header_style="bold", pad_edge=False)
        for name, justify in (("Figure", "left"), ("Value", "right"), ("Goal", "right"), ("Verdict", "left")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        for section, figures in self.figures.items():
            table.add_row(f"[bold cyan]{section}[/]")
            for item in figures:
                sign = "≥" if item.at_least else "≤"
                goal = "" if item.goal is None else f"{sign} {item.shown(item.goal)}" if item.goal else item.shown(0)
                colour = {"met": "green", "missed": "red"}.get(item.verdict, "default")
                table.add_row(f"  {item.what}", item.shown(item.value), goal, f"[{colour}]{item.verdict}[/]")
        console.print(table)
        for title, header, rows, note in self.tables:
            console.print(f"\n[bold cyan]{title}[/]")
            more = Table(box=None, padding=(0, 2), header_style="bold", pad_edge=False)
            for position, name in enumerate(header):
                more.add_column(name, justify="left" if position == 0 else "right", no_wrap=position == 0)
            for row in rows:
                more.add_row(*row)
            console.print(more)
            if note:
                console.print(note, style="dim")
        for note in self.notes:
            console.print(f"\n{note}", style="dim")

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        figures = {
            section: [
                {
                    "what": item.what,
                    "value": round(item.value, 4),
                    "unit": item.unit,
                    "goal": item.goal,
                    "verdict": item.verdict or None,
                }
                for item in items
            ]
            for section, items in self.figures.items()
        }
        path.write_text(json.dumps({"run": about_this_run(), "figures": figures, **self.data}, indent=2) + "\n")


def about_this_run() -> dict[str, Any]:
    """Return when, of what and where."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "uncommitted": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":/operator", ":/examples")),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _git(*arguments: str) -> str:
    """Return what git says; nothing outside of a clone."""
    answer = subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return answer.stdout.strip()
