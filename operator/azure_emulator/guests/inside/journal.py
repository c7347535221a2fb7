"""The guest's log: what units and syslog say, by unit and time, and the serial console.

Kept in memory up to a limit; the console goes to the file that stands behind boot diagnostics.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

# Entries that journalctl can look back on.
_KEPT = 20_000
_SYSLOG = re.compile(
    r"^(?:<\d+>)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?(?:([^\s:\[]+)(?:\[(\d+)\])?: )?(.*)$", re.DOTALL
)


@dataclass(frozen=True)
class Entry:
    """One line."""

    time: float
    unit: str
    name: str
    pid: int
    text: str

    def line(self, host: str) -> str:
        """As journalctl prints it."""
        moment = datetime.fromtimestamp(self.time).strftime("%b %d %H:%M:%S")  # noqa: DTZ006 (local, as journalctl)
        process = f"[{self.pid}]" if self.pid else ""
        return f"{moment} {host} {self.name}{process}: {self.text}"


class Journal:
    """The log of one boot."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=_KEPT)
        self._followers: set[Callable[[Entry], None]] = set()
        self._began = time.monotonic()

    def add(self, text: str, *, unit: str = "", name: str = "", pid: int = 0) -> None:
        """Take in a line."""
        entry = Entry(time.time(), unit, name or unit or "kernel", pid, text)
        self.entries.append(entry)
        for follower in list(self._followers):
            follower(entry)

    def follow(self, follower: Callable[[Entry], None]) -> Callable[[], None]:
        """Have every new entry; call what is returned to stop."""
        self._followers.add(follower)
        return lambda: self._followers.discard(follower)

    def console(self, text: str) -> None:
        """Print on the serial console, as it is."""
        data = f"{text}\n".encode(errors="replace")
        with contextlib.suppress(OSError):
            os.write(1, data)

    def kernel(self, text: str) -> None:
        """Say something of the guest itself, with the time since its boot, on console and journal."""
        self.console(f"[{time.monotonic() - self._began:12.6f}] {text}")
        self.add(text, name="kernel")

    def status(self, mark: str, text: str) -> None:
        """Say what became of a unit, as systemd does on the console."""
        self.console(f"[{mark}] {text}" if mark else f"         {text}")

    def serve_syslog(self, path: str = "/dev/log") -> None:
        """Take in what programs send to syslog."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.bind(path)
        os.chmod(path, 0o666)  # noqa: PTH101, S103 (whoever wants may log)

        def receive() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    text = made.recv(65_536).decode(errors="replace").rstrip("\n\0")
                    match = _SYSLOG.match(text)
                    if match is not None:
                        self.add(match[3], name=match[1] or "syslog", pid=int(match[2] or 0))

        asyncio.get_running_loop().add_reader(made, receive)
