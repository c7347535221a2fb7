"""What ends a demo early: a sentence for the person in front of it, and where to read on."""

from __future__ import annotations

from pathlib import Path


class DemoError(Exception):
    """Something went wrong that the user should read about.

    Parameters
    ----------
    message
        What was wrong, and what to do.
    log
        The log file that tells more; None where there is none.
    """

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log
