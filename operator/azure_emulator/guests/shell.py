"""`azure-emulator shell VM`: a terminal inside a guest, as ssh would give one.

Speaks to the guest's first process over its socket in the directory of guests; the emulator itself is not asked.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from azure_emulator.guests.description import Machine
from azure_emulator.guests.directory import Directory


class ShellError(Exception):
    """There is no such guest; the text is for people."""


def find(directory: Directory, name: str) -> Machine:
    """The guest of that name or resource id; raises ShellError."""
    machines = [Machine.read(file) for file in sorted(directory.machines.glob("*/machine.json"))]
    found = [one for one in machines if name.lower() in (one.name.lower(), one.id.lower(), one.host_name.lower())]
    if not found:
        known = ", ".join(sorted(one.name for one in machines)) or "none has booted"
        message = f'there is no guest "{name}" in {directory.root}; there are: {known}'
        raise ShellError(message)
    if len(found) > 1:
        ids = "\n".join(one.id for one in found)
        message = f'more than one VM is named "{name}"; give the id of the one that you mean:\n{ids}'
        raise ShellError(message)
    return found[0]


def connect(directory: Directory, machine: Machine) -> socket.socket:
    """A connection to the guest's first process; raises ShellError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        control = os.open(directory.machine(machine.key).control, os.O_PATH | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{control}/socket")
        finally:
            os.close(control)
    except OSError as error:
        connection.close()
        message = f"the guest of {machine.name} does not run ({error.strerror}): is the VM started, and the emulator?"
        raise ShellError(message) from None
    return connection


def run(root: Path, name: str, *, user: str = "root", command: list[str] | None = None) -> int:
    """Give the terminal to a guest until its shell or command ends; returns the exit status."""
    directory = Directory(root.absolute())
    with connect(directory, find(directory, name)) as connection:
        size = shutil.get_terminal_size()
        _send(connection, {
            "do": "shell", "user": user, "command": " ".join(command) if command else None,
            "size": [size.lines, size.columns], "term": os.environ.get("TERM", "dumb"),
        })  # fmt: skip
        with _raw_terminal(), _window(connection):
            return _relay(connection)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Hand every key on as it is, if there are keys at all."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _window(connection: socket.socket) -> Iterator[None]:
    """Tell the guest when the window's size changes."""

    def resized(*_: object) -> None:
        size = shutil.get_terminal_size()
        _send(connection, {"size": [size.lines, size.columns]})

    before = signal.signal(signal.SIGWINCH, resized)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _relay(connection: socket.socket) -> int:
    pending = b""
    watched: list[Any] = [connection, 0]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if 0 in ready:
            data = os.read(0, 4096)
            if data:
                _send(connection, {"data": base64.b64encode(data).decode()})
            else:
                # The end of the input, as a terminal's user would type it.
                _send(connection, {"data": base64.b64encode(b"\x04").decode()})
                watched.remove(0)
        if connection in ready:
            data = connection.recv(65_536)
            if not data:
                return 1
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "data" in message:
                    os.write(1, base64.b64decode(message["data"]))
                if "exit" in message:
                    return int(message["exit"])
