"""Starts and ends the processes of a demo, and remembers on disk which ones are its own.

A process counts as ours only while its id and its start time are those that we wrote down: ids are used again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from hpc_operator.demo.errors import DemoError

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Long enough for the operator to answer requests that are under way; the rest ends at once.
END_SECONDS = 15.0
_LOOK_SECONDS = 0.05
_FIELDS_AFTER_NAME = 2
_STATE, _START_TIME = 3 - 1 - _FIELDS_AFTER_NAME, 22 - 1 - _FIELDS_AFTER_NAME  # numbered from 1 in proc(5)


@dataclass(frozen=True)
class Recorded:
    """One process: what it is called, its id, and when it started in ticks since the machine did."""

    name: str
    pid: int
    started: int

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return _start_time(self.pid) == self.started


class Processes:
    """The processes of a demo.

    Parameters
    ----------
    record
        The file that remembers them for the next run.
    """

    def __init__(self, record: Path) -> None:
        self._record = record
        self._children: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path
    ) -> None:
        """Start a process that goes on when this one ends; what it prints goes to its log."""
        with log.open("wb") as output, _undisturbed():
            child = subprocess.Popen(  # noqa: S603 - our own programs
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=directory,
                # A Ctrl-C in the terminal is for the demo, which decides what ends and in what order.
                start_new_session=True,
            )
            self._children[name] = (child, log)
            known = (*recorded(self._record), Recorded(name, child.pid, _start_time(child.pid) or 0))
            self._record.write_text(json.dumps([asdict(item) for item in known]))

    def check(self) -> None:
        """Raise if a process has ended by itself.

        Raises
        ------
        DemoError
            Names it and its log.
        """
        for name, (child, log) in self._children.items():
            if (code := child.poll()) is not None:
                msg = f"The {name} ended by itself (exit code {code})."
                raise DemoError(msg, log)

    def wait_for(self, name: str, is_true: Callable[[], bool], seconds: float) -> None:
        """Wait until a process that was just started is of use.

        Raises
        ------
        DemoError
            If it ends, or takes longer than that.
        """
        deadline = time.monotonic() + seconds
        while not is_true():
            self.check()
            if time.monotonic() > deadline:
                msg = f"The {name} was not ready after {seconds:.0f} seconds."
                raise DemoError(msg, self._children[name][1])
            time.sleep(_LOOK_SECONDS)

    def let_go(self) -> None:
        """Leave them running when this process ends."""
        for child, _ in self._children.values():
            child.returncode = 0  # else Popen warns that nobody waited for it
        self._children.clear()

    def end(self) -> list[str]:
        """End every process that the record names, the last first, and return their names."""
        ended = [item.name for item in reversed(recorded(self._record)) if _end(item)]
        for child, _ in self._children.values():
            child.wait()
        self._children.clear()
        self._record.unlink(missing_ok=True)
        return ended


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold a Ctrl-C back for a moment, so that no process is started and then not remembered."""
    caught: list[int] = []
    before = {number: signal.signal(number, lambda number, _: caught.append(number)) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


def recorded(record: Path) -> tuple[Recorded, ...]:
    """Return what a record names, running or not."""
    try:
        return tuple(Recorded(**item) for item in json.loads(record.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return ()


def _start_time(pid: int) -> int | None:
    """Return when a process started; None if there is none or it has ended and only waits to be noticed."""
    try:
        # The name of the program is in parentheses and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[_STATE] in {"Z", "X"} else int(fields[_START_TIME])


def _end(process: Recorded) -> bool:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not process.runs:
            return number is not signal.SIGTERM
        os.kill(process.pid, number)
        deadline = time.monotonic() + END_SECONDS
        while process.runs and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
    return True
