"""Tells a person what takes so long: one line per program, redrawn on a terminal, repeated now and then elsewhere.

Must not know what is being done.
"""

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[str], None]

# Often enough that a log shows life, seldom enough that a build of minutes stays a screenful.
SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_REDRAWS = 0.2


class Reporter:
    """Passes on lines that stay (`line`) and states that the next state replaces (`state`)."""

    def __init__(self, progress: Progress | None = None, stream: TextIO | None = None) -> None:
        self._progress = progress
        self._stream = sys.stderr if stream is None else stream
        self._redraws = progress is None and self._stream.isatty()
        self._last = float("-inf")
        self._drawn = False

    def line(self, text: str) -> None:
        """Say something that stays."""
        if self._progress is not None:
            self._progress(text)
        else:
            start = "\r\033[K" if self._drawn else ""
            print(f"{start}{text}", file=self._stream, flush=True)
        self._drawn = False
        self._last = time.monotonic()

    def state(self, text: str) -> None:
        """Say how far it is; most of these are dropped where they cannot replace each other."""
        now = time.monotonic()
        if now - self._last < (SECONDS_BETWEEN_REDRAWS if self._redraws else SECONDS_BETWEEN_LINES):
            return
        if not self._redraws:
            self.line(text)
            return
        # A state that wrapped could not be redrawn.
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{text[:width]}", end="", file=self._stream, flush=True)
        self._drawn = True
        self._last = now


def elapsed(since: float) -> str:
    """How long ago the `time.monotonic()` value was, as people write it: 4m42s."""
    minutes, seconds = divmod(int(time.monotonic() - since), 60)
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"
