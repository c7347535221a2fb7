"""What every bench with a world does around its own work: a folder, a table at the end, and order after Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from report import Report
from rich.console import Console
from world import ROOT, BenchError, World

STATE = ROOT / ".state" / "bench"

Say = Callable[[str], None]


def run(work: Callable[[World, Report, Say], None], *, speed: float, result: str) -> int:
    """Start a world, let a bench work in it, and print and write what it found.

    Parameters
    ----------
    work
        The bench; told the world, the report to fill, and where to say what is being done.
    speed
        Emulated seconds per second at the beginning.
    result
        Name of the JSON file.

    Returns
    -------
    int
        0 unless the run itself broke or was interrupted.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    STATE.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=STATE))
    began = time.monotonic()
    report = Report()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {text}", style="dim")

    try:
        say("API server, emulated Azure and operator start")
        with World(directory, speed) as world:
            work(world, report, say)
    except KeyboardInterrupt:
        console.print("Interrupted; everything that was started has been ended.")
        shutil.rmtree(directory, ignore_errors=True)
        return 130
    except BenchError as error:
        console.print(f"{error}\nLogs are in {directory}.", style="red")
        return 1
    shutil.rmtree(directory)
    say("done")
    console.print()
    report.show(console)
    report.write(STATE / result)
    console.print(f"\nAlso in {(STATE / result).relative_to(ROOT)}.")
    return 0
