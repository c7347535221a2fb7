"""Processes of a guest: starting them as some user, reading what they print, and reaping every one that ends.

Knows neither units nor cloud-init.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import fcntl
import grp
import os
import pwd
import resource
import signal
import subprocess
import termios
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What systemd, and so every descendant of a unit, has in its environment; we find a unit's processes by it.
INVOCATION = "INVOCATION_ID"
# A line longer than this is cut: something prints without ever ending one.
_LONGEST_LINE = 65_536

Sink = Callable[[str], None]


@dataclass(frozen=True)
class Account:
    """A user as a process runs under it."""

    name: str
    user: int
    group: int
    groups: tuple[int, ...]
    home: str
    shell: str

    @classmethod
    def find(cls, name: str, group: str = "") -> Account:
        """Look an account up by name or number; raises KeyError with a sentence."""
        try:
            entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        except KeyError:
            message = f"there is no user {name}"
            raise KeyError(message) from None
        number = entry.pw_gid
        if group:
            try:
                number = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
            except KeyError:
                message = f"there is no group {group}"
                raise KeyError(message) from None
        groups = tuple(os.getgrouplist(entry.pw_name, number))
        return cls(entry.pw_name, entry.pw_uid, number, groups, entry.pw_dir, entry.pw_shell)


def only_root_exists() -> bool:
    """Whether this guest has no other ids: its emulator was started by a user without a range of them."""
    rows = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return sum(int(row[2]) for row in rows) == 1


@dataclass
class Process:
    """One process that we started."""

    popen: subprocess.Popen[bytes]
    ended: asyncio.Future[int]
    output: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Process id."""
        return self.popen.pid

    async def wait(self, *, drain: float = 1.0) -> int:
        """Wait for its end, and a moment for what it printed; a daemon that it left may hold the pipe for ever."""
        code = await asyncio.shield(self.ended)
        if self.output:
            await asyncio.wait(self.output, timeout=drain)
        return code


class Processes:
    """All children of the first process."""

    def __init__(self) -> None:
        self._running: dict[int, Process] = {}
        self._adopted: dict[int, asyncio.Future[int]] = {}
        self.only_root = only_root_exists()

    def watch(self) -> None:
        """Reap from now on."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def reap(self) -> None:
        """Take note of every child that has ended, orphans included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self._running.pop(pid, None)
            if process is not None:
                code = os.waitstatus_to_exitcode(status)
                process.popen.returncode = code
                if not process.ended.done():
                    process.ended.set_result(code)
            adopted = self._adopted.pop(pid, None)
            if adopted is not None and not adopted.done():
                adopted.set_result(os.waitstatus_to_exitcode(status))

    def adopt(self, pid: int) -> asyncio.Future[int]:
        """Be told when a process that we did not start, but inherited, ends."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if is_alive(pid):
            self._adopted[pid] = future
        else:
            future.set_result(0)
        return future

    def start(
        self, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None, account: Account | None = None,
        directory: str = "/", sinks: tuple[Sink | int, Sink | int] | None = None, stdin: int = subprocess.DEVNULL,
        limits: Mapping[int, int] | None = None, umask: int = -1, nice: int = 0, session: bool = True,
        executable: str | None = None, terminal: bool = False, as_it_is: bool = False,
    ) -> Process:  # fmt: skip
        """Start a program.

        Parameters
        ----------
        arguments
            Command and arguments.
        environment
            The whole environment, but PATH.
        account
            Whose process it is; root's if left out.
        directory
            Working directory.
        sinks
            What takes each line of output and of errors, or a descriptor.
        stdin, limits, umask, nice, session, executable
            As their names say.
        as_it_is
            Whether sinks take output as it comes, and not line by line.
        terminal
            Whether the standard input is a terminal that the process is to be controlled by.

        Raises
        ------
        OSError
            The program cannot be started.
        """
        whole = {"PATH": PATH, "LANG": "C.UTF-8", **(environment or {})}
        become: dict[str, object] = {}
        if account is not None and account.user != 0 and not self.only_root:
            become = {"user": account.user, "group": account.group, "extra_groups": account.groups}

        def adjust() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for kind, value in (limits or {}).items():
                hard = resource.getrlimit(kind)[1]
                allowed = value if hard == resource.RLIM_INFINITY or 0 <= value <= hard else hard
                with contextlib.suppress(ValueError, OSError):
                    resource.setrlimit(kind, (allowed, allowed))
            if terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if nice:
                with contextlib.suppress(OSError):
                    os.nice(nice)

        streams = [subprocess.PIPE if callable(sink) else sink for sink in sinks or (subprocess.DEVNULL,) * 2]
        popen = subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603 (running programs is what it is for)
            list(arguments), env=whole, cwd=directory, stdin=stdin, stdout=streams[0], stderr=streams[1],
            start_new_session=session, umask=umask, executable=executable,
            preexec_fn=adjust, **become,  # noqa: PLW1509 (one thread)
        )  # fmt: skip
        process = Process(popen, asyncio.get_running_loop().create_future())
        self._running[popen.pid] = process
        for stream, sink in zip((popen.stdout, popen.stderr), sinks or (), strict=False):
            if stream is not None and callable(sink):
                process.output.append(asyncio.create_task((_read if as_it_is else _read_lines)(stream.detach(), sink)))
        return process

    async def run(
        self, arguments: Sequence[str], *, sink: Sink, input_text: str | None = None,
        environment: Mapping[str, str] | None = None, account: Account | None = None, directory: str = "/",
    ) -> int:  # fmt: skip
        """Run a program to its end, both streams into one sink; 126 or 127 if it cannot be started."""
        reading = subprocess.DEVNULL
        if input_text is not None:
            reading = os.memfd_create("input")
            os.write(reading, input_text.encode())
            os.lseek(reading, 0, os.SEEK_SET)
        try:
            process = self.start(
                arguments, environment=environment, account=account, directory=directory, sinks=(sink, sink),
                stdin=reading,
            )  # fmt: skip
        except OSError as error:
            sink(f"{arguments[0]}: {error.strerror or error}")
            return 127 if error.errno == errno.ENOENT else 126
        finally:
            if reading != subprocess.DEVNULL:
                os.close(reading)
        return await process.wait()


async def _read(raw: object, sink: Sink) -> None:
    """Feed all that comes out of a pipe to a sink until its last writer closes it."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    async with _pipe(raw) as reader:
        while data := await reader.read(_LONGEST_LINE):
            sink(decoder.decode(data))


@contextlib.asynccontextmanager
async def _pipe(raw: object) -> AsyncIterator[asyncio.StreamReader]:
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), raw)
    try:
        yield reader
    finally:
        transport.close()


async def _read_lines(raw: object, sink: Sink) -> None:
    """Feed a pipe's lines to a sink until its last writer closes it."""
    async with _pipe(raw) as reader:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    sink(error.partial.decode(errors="replace"))
                return
            except asyncio.LimitOverrunError as error:
                line = await reader.read(error.consumed or _LONGEST_LINE)
            sink(line.decode(errors="replace").rstrip("\n"))


def kill_session(leader: int, number: int = signal.SIGKILL) -> None:
    """Signal all processes of the session that a process leads."""
    for pid in all_processes():
        if _session(pid) == leader:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def all_processes() -> list[int]:
    """Every process of the guest but the first."""
    return sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and path.name != "1")


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return -1


def invoked(invocation: str) -> list[int]:
    """Processes of one start of a unit: all that have its invocation in their environment."""
    mark = f"{INVOCATION}={invocation}\0".encode()
    found = []
    for pid in all_processes():
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is more than the remains of one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
