"""Where the demo speaks: a live screen on a terminal, plain lines elsewhere. The one module that prints.

Knows nothing of Azure or Kubernetes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from hpc_operator.demo.errors import DemoError
from hpc_operator.demo.wording import here

# What a terminal of usual size shows, and a width that logs can bear.
_PLAIN_WIDTH = 120
_WIDEST = 110
_REDRAWS_PER_SECOND = 8
_TAIL_LINES = 15


class Screen(Protocol):
    """What one chapter shows while it goes on."""

    def draw(self, height: int) -> RenderableType:
        """Return the picture of this moment; called often."""

    def lines(self) -> list[str]:
        """Return what is new since the last call, as lines for where no picture can be drawn."""


class Stage:
    """The terminal, or the file that the output goes to."""

    def __init__(self) -> None:
        # A terminal that cannot show a tick gets a question mark, not a traceback.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        console = Console(highlight=False)
        self.live = console.is_terminal and not console.is_dumb_terminal
        width = min(console.width, _WIDEST) if self.live else _PLAIN_WIDTH
        self._console = Console(
            highlight=False, soft_wrap=not self.live, width=width, no_color=None if self.live else True
        )

    @property
    def width(self) -> int:
        """Characters in a line."""
        return self._console.width

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._console.print()
        if self.live:
            self._console.rule(Text(f" {title} ", style="bold cyan"), align="left", style="cyan")
        else:
            self._console.print(f"== {title}")
        self._console.print()

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line, or a paragraph."""
        self._console.print(Text(text, style=style))

    def show(self, picture: RenderableType) -> None:
        """Print something that is laid out."""
        self._console.print(picture)

    def command(self, command: str) -> None:
        """Show a command as if it were typed."""
        self._console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))

    def output(self, text: str) -> None:
        """Print what a command said."""
        if text.strip():
            self._console.print(Text(text.rstrip("\n")))

    def pause(self, seconds: float) -> None:
        """Give people time to read; there are none where output goes to a file."""
        if self.live:
            time.sleep(seconds)

    @contextmanager
    def working(self, label: str, *, speaks: bool = False) -> Iterator[None]:
        """Show that something goes on, then that it is done and how long it took.

        Parameters
        ----------
        label
            What it is.
        speaks
            Whether it prints lines of its own, which a spinner would spoil.
        """
        began = time.monotonic()
        if self.live and not speaks:
            with self._console.status(label, spinner="dots"):
                yield
        else:
            yield
        took = Text(here(time.monotonic() - began), style="dim")
        self._console.print(Text.assemble(("✓ ", "bold green"), f"{label:<{self._label_width}} ", took))

    @property
    def _label_width(self) -> int:
        return min(72, self.width - 14)

    def watch(self, screen: Screen, look: Callable[[], bool], every: float) -> None:
        """Show a screen until `look` says that it is over.

        Parameters
        ----------
        screen
            What to show.
        look
            Has the screen take in what is new; returns whether that was the end.
        every
            Seconds between two looks.
        """
        if not self.live:
            self._watch_plainly(screen, look, every)
            return
        picture = _Picture(screen, self._console)
        with Live(picture, console=self._console, refresh_per_second=_REDRAWS_PER_SECOND, vertical_overflow="crop"):
            while True:
                began = time.monotonic()
                if look():
                    picture.final = True
                    return
                time.sleep(max(0.0, began + every - time.monotonic()))

    def _watch_plainly(self, screen: Screen, look: Callable[[], bool], every: float) -> None:
        over = False
        while not over:
            began = time.monotonic()
            over = look()
            for line in screen.lines():
                self._console.print(Text(line))
            if not over:
                time.sleep(max(0.0, began + every - time.monotonic()))

    def problem(self, error: DemoError) -> None:
        """Say what went wrong, with the end of the log."""
        self._console.print()
        self._console.print(Text.assemble(("✗ ", "bold red"), (str(error), "bold")))
        if error.log is None:
            return
        try:
            lines = error.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        if lines:
            self._console.print(Text(f"\nThe end of {error.log}:", style="dim"))
            for line in lines[-_TAIL_LINES:]:
                self._console.print(Text(f"  {line}"))
        else:
            self._console.print(Text(f"{error.log} is empty.", style="dim"))


class _Picture:
    """Draws the screen anew at every refresh, so that clocks move between two looks."""

    def __init__(self, screen: Screen, console: Console) -> None:
        self._screen = screen
        self._console = console
        self.final = False

    def __rich__(self) -> RenderableType:
        return self._screen.draw(self._console.height)
