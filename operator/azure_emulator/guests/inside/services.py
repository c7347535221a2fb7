"""Starts, watches and stops services and timers as their unit files say, in the order that they ask for.

What systemd does beyond that (sockets, paths, control groups, sandboxing) it does not do; see docs/emulator-guests.md.
"""

# ruff: noqa: ASYNC240 (the files of a guest are on a local disk; there is nothing else that would go on meanwhile)

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shlex
import signal
import socket
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from azure_emulator.guests.inside import calendar, units
from azure_emulator.guests.inside.journal import Journal
from azure_emulator.guests.inside.mounts import places
from azure_emulator.guests.inside.processes import (
    INVOCATION,
    Account,
    Process,
    Processes,
    Sink,
    all_processes,
    invoked,
    is_alive,
)
from azure_emulator.guests.inside.units import Command, Unit, UnitFiles

# What the image's own systemd would have running: whoever asks for it has it.
_PROVIDED_KINDS = frozenset({"target", "slice", "scope", "device", "swap", "mount", "automount", "path", "socket"})
_PROVIDED = ("systemd-", "dbus.", "dbus-", "getty", "serial-getty", "NetworkManager", "network.", "networking.",
             "cloud-init", "cloud-config", "cloud-final", "walinuxagent", "waagent", "apparmor.", "udev")  # fmt: skip
_STARTED_KINDS = ("service", "timer")
NOTIFY_DIRECTORY = Path("/run/azure-emulator/notify")
# systemd's own defaults.
_TIMEOUT, _RESTART_SECONDS, _BURST, _BURST_SECONDS = 90.0, 0.1, 5, 10.0
_CLEAN_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
_LIMITS = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
_DIRECTORIES = {"RuntimeDirectory": "/run", "StateDirectory": "/var/lib", "CacheDirectory": "/var/cache",
                "LogsDirectory": "/var/log", "ConfigurationDirectory": "/etc"}  # fmt: skip
# How often the processes of a service are looked for where nothing tells of their end.
_LOOK_SECONDS = 0.5
_STOP_LOOK_SECONDS = 0.05


class JobError(Exception):
    """A start or stop did not succeed; the text is for people."""


@dataclass
class Service:
    """A loaded unit, and how it is doing."""

    unit: Unit
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    main_pid: int = 0
    main_code: int = 0
    invocation: str = ""
    status_text: str = ""
    since: float = field(default_factory=time.time)
    since_monotonic: float = 0.0
    stopping: bool = False
    restarts: int = 0
    starts: deque[float] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    next_time: float | None = None  # of a timer, wall clock

    def become(self, active: str, sub: str) -> None:
        """Change the state."""
        if active != self.active:
            self.since = time.time()
            self.since_monotonic = time.monotonic()
        self.active, self.sub = active, sub


class Services:
    """All units of the guest."""

    def __init__(
        self, files: UnitFiles, processes: Processes, journal: Journal,
        mount: Callable[[str], Awaitable[str]] | None = None,
    ) -> None:  # fmt: skip
        self.files = files
        self.processes = processes
        self.journal = journal
        self.loaded: dict[str, Service] = {}
        self.booted = time.monotonic()
        self._mount = mount
        self._background: set[asyncio.Task[None]] = set()

    # -- finding -----------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Service | None:
        """A unit by name, read from its file the first time."""
        known = self.loaded.get(name)
        if known is not None:
            return known
        unit = self.files.load(name)
        if unit is None:
            return None
        if unit.name in self.loaded:
            return self.loaded[unit.name]
        service = self.loaded[unit.name] = Service(unit)
        for directive in unit.unknown():
            self.journal.add(f"{unit.path}: {directive} has no effect in a guest", unit=unit.name, name="systemd")
        return service

    def reload(self) -> None:
        """Read all unit files again."""
        for name, service in list(self.loaded.items()):
            unit = self.files.load(name)
            if unit is not None:
                service.unit = unit
            elif service.active in ("inactive", "failed"):
                del self.loaded[name]

    def require(self, name: str) -> Service:
        """A unit that must be there; raises JobError with systemctl's sentence."""
        service = self.find(name)
        if service is None:
            message = f"Unit {name} not found."
            raise JobError(message)
        if service.unit.masked:
            message = f"Unit {name} is masked."
            raise JobError(message)
        return service

    # -- starting ----------------------------------------------------------------------------------------------------

    async def boot(self) -> None:
        """Start what is enabled."""
        names: list[str] = []
        for directory in sorted((self.files.root / units.ETC).glob("*.target.wants")):
            names += self.files.wanted_by(directory.name.removesuffix(".wants"))
        wanted = [name for name in dict.fromkeys(names) if self._is_startable(name)]
        await self._transaction(wanted)

    def _is_startable(self, name: str) -> bool:
        service = None if is_provided(name) else self.find(name)
        return service is not None and not service.unit.masked and service.unit.kind in _STARTED_KINDS

    async def start(self, name: str) -> None:
        """Start a unit and what it needs; raises JobError."""
        service = self.find(name)
        if service is None and name.endswith(".target"):
            return  # a target that systemd brings: reached
        service = self.require(name)
        if service.unit.kind == "target":
            await self._transaction(self._needs(service.unit, strong=False))
            service.become("active", "active")
            return
        if service.unit.kind not in _STARTED_KINDS:
            message = f"Unit {name} cannot be started in a guest: only services and timers are carried out."
            raise JobError(message)
        failures = await self._transaction([service.unit.name])
        if service.unit.name in failures:
            raise JobError(failures[service.unit.name])

    async def _transaction(self, names: Iterable[str]) -> dict[str, str]:
        """Start units with what they need, each after those that it comes after; returns what failed."""
        jobs: dict[str, Service] = {}
        pending = list(names)
        while pending:
            service = self.find(pending.pop())
            if service is None or service.unit.masked or service.unit.name in jobs:
                continue
            if service.unit.kind in _STARTED_KINDS:
                jobs[service.unit.name] = service
            pending += self._needs(service.unit, strong=False)
        before = order({name: service.unit for name, service in jobs.items()})
        done = {name: asyncio.Event() for name in jobs}
        failures: dict[str, str] = {}

        async def job(name: str) -> None:
            try:
                for other in before[name]:
                    await done[other].wait()
                self._require_needs(jobs[name].unit, failures)
                await self._start_one(jobs[name])
            except JobError as error:
                failures[name] = str(error)
            finally:
                done[name].set()

        await asyncio.gather(*(job(name) for name in jobs))
        return failures

    def _require_needs(self, unit: Unit, failures: dict[str, str]) -> None:
        lacking = [other for other in self._needs(unit, strong=True) if other in failures]
        if lacking:
            message = f"Dependency failed for {unit.description}: {lacking[0]}"
            self.journal.status("DEPEND", message)
            raise JobError(message)

    def _needs(self, unit: Unit, *, strong: bool) -> list[str]:
        keys = ["Requires", "BindsTo", "Requisite"] + ([] if strong else ["Wants"])
        found = [word for key in keys for word in unit.words("Unit", key)]
        if not strong:
            found += self.files.wanted_by(unit.name)
        return [name for name in found if not is_provided(name) or (name.endswith(".target") and self._is_own(name))]

    def _is_own(self, target: str) -> bool:
        return (self.files.root / units.ETC / target).exists()

    async def _start_one(self, service: Service) -> None:
        async with service.lock:
            if service.active == "active":
                return
            if service.unit.kind == "timer":
                self._start_timer(service)
                return
            self._check_burst(service)
            if not self._conditions_hold(service):
                return
            service.stopping = False
            service.result = "success"
            service.become("activating", "start-pre")
            self.journal.status("", f"Starting {service.unit.description}...")
            try:
                await self._mount_what_it_needs(service.unit)
                await self._activate(service)
            except (JobError, ValueError, OSError, KeyError) as error:
                text = str(error.args[0] if isinstance(error, KeyError) else error)
                service.result = service.result if service.result != "success" else "exit-code"
                self.journal.add(f"{service.unit.name}: {text}", unit=service.unit.name, name="systemd", pid=1)
                await self._end_group(service)
                await self._after_stop(service)
                self._fail(service)
                code, service.invocation = service.main_code or 1, ""
                self._maybe_restart(service, code)
                message = (
                    f"Job for {service.unit.name} failed because {_because(service.result)}.\n"
                    f'See "systemctl status {service.unit.name}" and "journalctl -u {service.unit.name}" for details.'
                )
                raise JobError(message) from None
            self.journal.status("  OK  ", f"Started {service.unit.description}.")
            self.journal.add(f"Started {service.unit.description}.", unit=service.unit.name, name="systemd", pid=1)

    def _check_burst(self, service: Service) -> None:
        section = "Unit" if service.unit.get("Unit", "StartLimitBurst") else "Service"
        burst = int(service.unit.get(section, "StartLimitBurst") or _BURST)
        window = _BURST_SECONDS
        for key in ("StartLimitIntervalSec", "StartLimitInterval"):
            for place in ("Unit", "Service"):
                window = service.unit.seconds(place, key, window)
        now = time.monotonic()
        while service.starts and now - service.starts[0] > window:
            service.starts.popleft()
        if window > 0 and len(service.starts) >= burst:
            service.result = "start-limit-hit"
            service.become("failed", "failed")
            message = f"Job for {service.unit.name} failed because start of the service was attempted too often."
            raise JobError(message)
        service.starts.append(now)

    def _conditions_hold(self, service: Service) -> bool:
        for key, value in service.unit.conditions():
            if not condition_holds(key.removeprefix("Condition").removeprefix("Assert"), value):
                text = f"{service.unit.description} was skipped because of a failed condition check ({key}={value})."
                self.journal.add(text, unit=service.unit.name, name="systemd", pid=1)
                if key.startswith("Assert"):
                    service.result = "assert"
                    raise JobError(text)
                return False
        return True

    async def _mount_what_it_needs(self, unit: Unit) -> None:
        if self._mount is None:
            return
        for path in unit.words("Unit", "RequiresMountsFor"):
            error = await self._mount(path)
            if error:
                raise JobError(error)

    async def _activate(self, service: Service) -> None:
        unit = service.unit
        service.invocation = uuid.uuid4().hex
        kind = unit.get("Service", "Type") or ("simple" if unit.get("Service", "ExecStart") else "oneshot")
        surroundings = self._surroundings(service)
        limit = unit.seconds("Service", "TimeoutStartSec", unit.seconds("Service", "TimeoutSec", _TIMEOUT))
        if kind == "oneshot" and not unit.get("Service", "TimeoutStartSec"):
            limit = float("inf")
        try:
            async with asyncio.timeout(None if limit in (0.0, float("inf")) else limit):
                for key in ("ExecCondition", "ExecStartPre"):
                    await self._run_all(service, key, surroundings)
                service.sub = "start"
                await self._start_main(service, kind, surroundings)
                service.sub = "start-post"
                await self._run_all(service, "ExecStartPost", surroundings)
        except TimeoutError:
            service.result = "timeout"
            message = "start operation timed out"
            raise JobError(message) from None
        if kind == "oneshot":
            self._finish_oneshot(service)
        elif service.active == "activating":
            service.become("active", "running")

    def _finish_oneshot(self, service: Service) -> None:
        if service.unit.flag("Service", "RemainAfterExit"):
            service.become("active", "exited")
        else:
            service.become("inactive", "dead")

    async def _start_main(self, service: Service, kind: str, surroundings: Surroundings) -> None:
        lines = units.commands(service.unit.all("Service", "ExecStart"))
        if kind == "oneshot":
            for command in lines:
                await self._run_one(service, command, surroundings)
            return
        if not lines:
            message = "the unit has no ExecStart="
            raise JobError(message)
        ready: asyncio.Future[Any] | None = None
        if kind.startswith("notify"):
            ready = self._listen(service, surroundings)
        process = self._spawn(service, lines[0], surroundings)
        if kind == "forking":
            await self._wait_for_fork(service, process)
            return
        service.main_pid = process.pid
        self._spawn_task(service, self._watch(service, process.ended, service.invocation))
        if ready is not None:
            ends: list[asyncio.Future[Any]] = [ready, process.ended]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                service.result = "protocol"
                message = "the main process ended before it said that it is ready"
                raise JobError(message)

    async def _wait_for_fork(self, service: Service, process: Process) -> None:
        code = await process.wait(drain=0.2)
        service.main_code = code
        if code != 0:
            message = f"control process exited with {_ending(code)}"
            raise JobError(message)
        file = service.unit.get("Service", "PIDFile")
        pid = 0
        if file:
            path = Path(file if file.startswith("/") else f"/run/{file}")
            for _ in range(100):
                with contextlib.suppress(OSError, ValueError):
                    pid = int(path.read_text())
                    break
                await asyncio.sleep(_STOP_LOOK_SECONDS)
        members = invoked(service.invocation)
        if not pid and members:
            pid = members[0]
        service.main_pid = pid
        if pid:
            self._spawn_task(service, self._watch(service, self.processes.adopt(pid), service.invocation))

    def _spawn_task(self, service: Service, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        service.tasks.add(task)
        task.add_done_callback(service.tasks.discard)

    # -- processes of a service --------------------------------------------------------------------------------------

    def _surroundings(self, service: Service) -> Surroundings:
        """Everything that the commands of a unit run with."""
        unit = service.unit
        name, group = unit.get("Service", "User"), unit.get("Service", "Group")
        account = Account.find(name or "root", group) if name or group else None
        extra = unit.words("Service", "SupplementaryGroups")
        if extra and account is not None:
            more = tuple(Account.find("root", one).group for one in extra)
            account = Account(account.name, account.user, account.group, (*account.groups, *more), account.home,
                              account.shell)  # fmt: skip
        variables = {INVOCATION: service.invocation, "JOURNAL_STREAM": "0:0"}
        if account is not None and account.user:
            variables |= {"HOME": account.home, "USER": account.name, "LOGNAME": account.name, "SHELL": account.shell}
        variables |= self._make_directories(unit, account)
        variables |= units.environment(unit, self.files.root)
        for removed in unit.words("Service", "UnsetEnvironment"):
            variables.pop(removed.partition("=")[0], None)
        directory = unit.get("Service", "WorkingDirectory") or "/"
        optional = directory.startswith("-")
        directory = directory.lstrip("-")
        if directory == "~":
            directory = account.home if account is not None else "/root"
        if not Path(directory).is_dir():
            if not optional:
                message = f"Changing to the requested working directory failed: {directory}: No such file or directory"
                raise JobError(message)
            directory = "/"
        umask = unit.get("Service", "UMask")
        return Surroundings(
            account, variables, directory, self._sinks(service), _limits(unit), int(umask, 8) if umask else 0o022,
            int(unit.get("Service", "Nice") or 0),
        )  # fmt: skip

    @staticmethod
    def _make_directories(unit: Unit, account: Account | None) -> dict[str, str]:
        found = {}
        for key, base in _DIRECTORIES.items():
            paths = [f"{base}/{word.partition(':')[0]}" for word in unit.words("Service", key)]
            mode = int(unit.get("Service", f"{key}Mode") or "755", 8)
            for path in paths:
                Path(path).mkdir(parents=True, exist_ok=True)
                os.chmod(path, mode)  # noqa: PTH101
                if account is not None and key != "ConfigurationDirectory":
                    with contextlib.suppress(OSError):
                        os.chown(path, account.user, account.group)
            if paths:
                variable = key.replace("Directory", "_DIRECTORY").upper()
                found[variable] = ":".join(paths)
        return found

    def _sinks(self, service: Service) -> tuple[Sink, Sink]:
        unit = service.unit
        identifier = unit.get("Service", "SyslogIdentifier")

        def journal(text: str) -> None:
            name = identifier or _program(unit)
            self.journal.add(text, unit=unit.name, name=name, pid=service.main_pid)

        def both(text: str) -> None:
            journal(text)
            self.journal.console(text)

        def sink(kind: str, default: Sink) -> Sink:
            where, _, path = kind.partition(":")
            if where in ("file", "append", "truncate") and path:
                file = Path(path)
                if where == "truncate":
                    file.write_text("")

                def write(text: str) -> None:
                    with file.open("a") as stream:
                        stream.write(f"{text}\n")

                return write
            if where == "null":
                return lambda _: None
            if where in ("tty", "journal+console", "kmsg+console", "syslog+console"):
                return both
            return default

        out = sink(unit.get("Service", "StandardOutput") or "journal", journal)
        return out, sink(unit.get("Service", "StandardError") or "inherit", out)

    def _spawn(self, service: Service, command: Command, around: Surroundings) -> Process:
        variables = {**around.environment, "MAINPID": str(service.main_pid)} if service.main_pid else around.environment
        arguments = command.expanded(variables)
        executable = arguments[0]
        if "/" in executable and not Path(executable).exists():
            service.result = "exit-code"
            message = f"Unable to locate executable '{executable}': No such file or directory"
            raise JobError(message)
        try:
            return self.processes.start(
                [command.name or executable, *arguments[1:]], executable=executable if command.name else None,
                environment=variables, account=None if command.as_root else around.account, directory=around.directory,
                sinks=around.sinks, limits=around.limits, umask=around.umask, nice=around.nice,
            )  # fmt: skip
        except OSError as error:
            message = f"Failed to execute {executable}: {error.strerror or error}"
            raise JobError(message) from None

    async def _run_all(self, service: Service, key: str, around: Surroundings) -> None:
        for command in units.commands(service.unit.all("Service", key)):
            await self._run_one(service, command, around)

    async def _run_one(self, service: Service, command: Command, around: Surroundings) -> None:
        process = self._spawn(service, command, around)
        code = await process.wait(drain=0.2)
        if code != 0 and not command.may_fail and not _is_clean(service.unit, code):
            service.main_code = code
            message = f"{shlex.join(command.arguments)}: {_ending(code)}"
            raise JobError(message)

    def _listen(self, service: Service, around: Surroundings) -> asyncio.Future[None]:
        """The socket over which a Type=notify service says that it is ready."""
        NOTIFY_DIRECTORY.mkdir(parents=True, exist_ok=True)
        path = NOTIFY_DIRECTORY / service.invocation
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.bind(str(path))
        path.chmod(0o666)
        around.environment["NOTIFY_SOCKET"] = str(path)
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def receive() -> None:
            with contextlib.suppress(BlockingIOError):
                for line in made.recv(8192).decode(errors="replace").splitlines():
                    name, _, value = line.partition("=")
                    if name == "READY" and value == "1" and not ready.done():
                        ready.set_result(None)
                    elif name == "STATUS":
                        service.status_text = value
                    elif name == "MAINPID" and value.isdigit():
                        service.main_pid = int(value)

        loop.add_reader(made, receive)
        return ready

    # -- ends --------------------------------------------------------------------------------------------------------

    async def _watch(self, service: Service, ended: asyncio.Future[int], invocation: str) -> None:
        """Wait for the end of the main process, and do what the unit says about it."""
        code = await asyncio.shield(ended)
        if service.invocation != invocation or service.stopping:
            return
        service.main_code = code
        unit = service.unit
        clean = _is_clean(unit, code)
        text = f"Main process exited, {_ending(code)}"
        self.journal.add(text, unit=unit.name, name="systemd", pid=1)
        async with service.lock:
            if service.invocation != invocation or service.stopping:
                return
            service.result = "success" if clean else "exit-code" if code >= 0 else "signal"
            pid, service.main_pid = service.main_pid, 0
            self.journal.add(f"Process {pid} is gone.", unit=unit.name, name="systemd", pid=1)
            if clean and unit.flag("Service", "RemainAfterExit"):
                service.become("active", "exited")
                return
            await self._end_group(service)
            await self._after_stop(service)
            if clean:
                service.become("inactive", "dead")
            else:
                self._fail(service)
        self._maybe_restart(service, code)

    def _fail(self, service: Service) -> None:
        service.main_pid = 0
        service.become("failed", "failed")
        self.journal.add(f"Failed with result '{service.result}'.", unit=service.unit.name, name="systemd", pid=1)
        self.journal.status("FAILED", f"{service.unit.description} failed.")

    def _maybe_restart(self, service: Service, code: int) -> None:
        if service.stopping or not restarts(service.unit, code, service.result):
            return
        seconds = service.unit.seconds("Service", "RestartSec", _RESTART_SECONDS)
        service.become("activating", "auto-restart")
        invocation = service.invocation

        async def again() -> None:
            await asyncio.sleep(seconds)
            if service.sub != "auto-restart" or service.invocation != invocation:
                return
            service.restarts += 1
            service.become("inactive", "dead")
            text = f"Scheduled restart job, restart counter is at {service.restarts}."
            self.journal.add(text, unit=service.unit.name, name="systemd", pid=1)
            with contextlib.suppress(JobError):
                await self._start_one(service)

        self.in_background(again())

    def in_background(self, work: Awaitable[None]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def stop(self, name: str) -> None:
        """Stop a unit; one that is not there cannot be stopped (JobError), one that does not run is stopped already."""
        service = self.find(name)
        if service is None:
            message = f"Unit {name} not loaded."
            raise JobError(message)
        for other in list(self.loaded.values()):
            bound = other.unit.words("Unit", "BindsTo") + other.unit.words("Unit", "Requires")
            bound += other.unit.words("Unit", "PartOf")
            if service.unit.name in bound and other.active in ("active", "activating"):
                await self.stop(other.unit.name)
        service.stopping = True
        if service.sub == "auto-restart":
            service.become("inactive", "dead")
        if service.lock.locked() and service.active == "activating":
            # Its start has not come to an end, and may never: what it runs goes.
            await self._end_group(service)
        async with service.lock:
            if service.active in ("inactive", "failed"):
                return
            if service.unit.kind != "service":
                for task in list(service.tasks):
                    task.cancel()
                service.next_time = None
                service.become("inactive", "dead")
                return
            service.become("deactivating", "stop")
            self.journal.status("", f"Stopping {service.unit.description}...")
            with contextlib.suppress(JobError, ValueError, KeyError, TimeoutError):
                async with asyncio.timeout(_stop_seconds(service.unit)):
                    await self._run_all(service, "ExecStop", self._surroundings_of_running(service))
            await self._end_group(service)
            await self._after_stop(service)
            service.main_pid = 0
            service.result = "success"
            service.become("inactive", "dead")
            self.journal.status("  OK  ", f"Stopped {service.unit.description}.")
            self.journal.add(f"Stopped {service.unit.description}.", unit=service.unit.name, name="systemd", pid=1)

    def _surroundings_of_running(self, service: Service) -> Surroundings:
        around = self._surroundings(service)
        around.environment["MAINPID"] = str(service.main_pid or "")
        return around

    async def _after_stop(self, service: Service) -> None:
        with contextlib.suppress(JobError, ValueError, KeyError, OSError):
            around = self._surroundings(service)
            around.environment |= {"SERVICE_RESULT": service.result, "EXIT_STATUS": str(service.main_code)}
            await self._run_all(service, "ExecStopPost", around)
        if not service.unit.flag("Service", "RuntimeDirectoryPreserve"):
            for word in service.unit.words("Service", "RuntimeDirectory"):
                await self.processes.run(["/bin/rm", "-rf", f"/run/{word.partition(':')[0]}"], sink=lambda _: None)

    async def _end_group(self, service: Service) -> None:
        """End the processes of a service, politely first."""
        unit = service.unit
        mode = unit.get("Service", "KillMode") or "control-group"
        number = _signal(unit.get("Service", "KillSignal") or "SIGTERM")

        def members() -> list[int]:
            found = invoked(service.invocation) if service.invocation and mode != "process" else []
            if service.main_pid and is_alive(service.main_pid) and service.main_pid not in found:
                found.append(service.main_pid)
            return [pid for pid in found if is_alive(pid)]

        if mode == "none":
            return
        polite = [service.main_pid] if mode == "mixed" and service.main_pid else members()
        for pid in polite:
            _kill(pid, number)
        deadline = time.monotonic() + _stop_seconds(unit)
        while (left := members()) and time.monotonic() < deadline:
            await asyncio.sleep(_STOP_LOOK_SECONDS)
            if mode == "mixed" and service.main_pid and not is_alive(service.main_pid):
                break
        left = members()
        if left and mode != "mixed":
            service.result = "timeout"
        for pid in left:
            _kill(pid, signal.SIGKILL)

    async def reload_unit(self, name: str) -> None:
        """Have a service read its configuration again; raises JobError."""
        service = self.require(name)
        if service.active != "active":
            message = f"{name} is not active, cannot reload."
            raise JobError(message)
        if not service.unit.get("Service", "ExecReload"):
            message = f"Failed to reload {name}: Job type reload is not applicable for unit {name}."
            raise JobError(message)
        await self._run_all(service, "ExecReload", self._surroundings_of_running(service))

    def kill(self, name: str, number: int) -> None:
        """Send a signal to all processes of a service; raises JobError."""
        service = self.require(name)
        for pid in {*invoked(service.invocation), service.main_pid} - {0}:
            _kill(pid, number)

    async def stop_all(self, *, seconds: float) -> None:
        """Stop everything, for the guest goes down."""
        running = [name for name, service in self.loaded.items() if service.active in ("active", "activating")]

        async def end(name: str) -> None:
            with contextlib.suppress(JobError):
                await self.stop(name)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(end(name) for name in running))
        for pid in all_processes():
            _kill(pid, signal.SIGTERM)

    # -- timers ------------------------------------------------------------------------------------------------------

    def _start_timer(self, service: Service) -> None:
        service.become("active", "waiting")
        self._spawn_task(service, self._tick(service))
        self.journal.status("  OK  ", f"Started {service.unit.description}.")

    async def _tick(self, service: Service) -> None:
        unit = service.unit
        target = unit.get("Timer", "Unit") or f"{unit.name.rpartition('.')[0]}.service"
        began, fired = time.monotonic(), False
        while True:
            moment = self._next(unit, target, began, fired=fired)
            if moment is None:
                service.next_time = None
                service.sub = "elapsed"
                return
            service.next_time = time.time() + moment
            await asyncio.sleep(moment)
            fired = True
            service.sub = "running"
            with contextlib.suppress(JobError):
                await self.start(target)
            service.sub = "waiting"

    def _next(self, unit: Unit, target: str, began: float, *, fired: bool) -> float | None:
        """Seconds until a timer elapses, or None where it never does any more."""
        now = time.monotonic()
        moments: list[float] = []
        if not fired:
            for key, base in (("OnBootSec", self.booted), ("OnStartupSec", self.booted), ("OnActiveSec", began)):
                moments += [base + units.span(value) for value in unit.all("Timer", key)]
        triggered = self.find(target)
        if triggered is not None and triggered.since_monotonic:
            for key in ("OnUnitActiveSec", "OnUnitInactiveSec"):
                moments += [triggered.since_monotonic + units.span(value) for value in unit.all("Timer", key)]
        found = [max(0.0, moment - now) for moment in moments]
        for value in unit.all("Timer", "OnCalendar"):
            at = datetime.now()  # noqa: DTZ005 (local, as systemd)
            following = calendar.parse(value).after(at)
            if following is not None:
                found.append((following - at).total_seconds())
        return min(found) if found else None


@dataclass
class Surroundings:
    """What commands of a unit run with."""

    account: Account | None
    environment: dict[str, str]
    directory: str
    sinks: tuple[Sink, Sink]
    limits: dict[int, int]
    umask: int
    nice: int


# -- rules -----------------------------------------------------------------------------------------------------------


def is_provided(name: str) -> bool:
    """Whether a unit counts as there because systemd itself, or the host's image, would bring it."""
    return name.rpartition(".")[2] in _PROVIDED_KINDS or name.startswith(_PROVIDED)


def order(found: dict[str, Unit]) -> dict[str, set[str]]:
    """For each unit those that come before it; where they go in circles, one of the wishes is dropped."""
    before: dict[str, set[str]] = {name: set() for name in found}

    def comes_after(first: str, second: str) -> bool:
        """Whether `second` waits for `first` already, directly or by others."""
        pending, seen = [second], set()
        while pending:
            name = pending.pop()
            if name == first:
                return True
            if name not in seen:
                seen.add(name)
                pending += before[name]
        return False

    for name, unit in found.items():
        wishes = [(other, name) for other in unit.words("Unit", "After")]
        wishes += [(name, other) for other in unit.words("Unit", "Before")]
        for first, second in wishes:
            if first in found and second in found and first != second and not comes_after(second, first):
                before[second].add(first)
    return before


def condition_holds(kind: str, value: str) -> bool:
    """Whether a Condition…= holds; what cannot be told in a guest does."""
    wanted = not value.lstrip("|").startswith("!")
    path = value.lstrip("|!")
    tests: dict[str, Callable[[str], bool]] = {
        "PathExists": os.path.exists,
        "PathExistsGlob": lambda pattern: any(Path("/").glob(pattern.lstrip("/"))),
        "PathIsDirectory": os.path.isdir,
        "PathIsSymbolicLink": os.path.islink,
        "PathIsMountPoint": lambda name: name in places(),
        "FileNotEmpty": lambda name: Path(name).is_file() and Path(name).stat().st_size > 0,
        "FileIsExecutable": lambda name: Path(name).is_file() and os.access(name, os.X_OK),
        "DirectoryNotEmpty": lambda name: Path(name).is_dir() and any(Path(name).iterdir()),
        "Virtualization": lambda name: name.lower() in ("yes", "1", "true", "vm", "microsoft"),
    }
    test = tests.get(kind)
    return True if test is None else test(path) == wanted


def restarts(unit: Unit, code: int, result: str) -> bool:
    """Whether Restart= asks for another start after that end."""
    if result == "start-limit-hit":
        return False
    prevented = unit.words("Service", "RestartPreventExitStatus")
    if _matches(prevented, code):
        return False
    if _matches(unit.words("Service", "RestartForceExitStatus"), code):
        return True
    clean = result == "success" and _is_clean(unit, code)
    killed = code < 0 and not clean
    match unit.get("Service", "Restart") or "no":
        case "always":
            return True
        case "on-success":
            return clean
        case "on-failure":
            return not clean
        case "on-abnormal":
            return killed or result in ("timeout", "signal")
        case "on-abort":
            return killed
        case _:
            return False


def _is_clean(unit: Unit, code: int) -> bool:
    if code == 0 or (code < 0 and -code in _CLEAN_SIGNALS):
        return True
    return _matches(unit.words("Service", "SuccessExitStatus"), code)


def _matches(words: list[str], code: int) -> bool:
    name = signal.Signals(-code).name if code < 0 else ""
    return any(word == str(code) or (name and word.upper() in (name, name.removeprefix("SIG"))) for word in words)


def _because(result: str) -> str:
    return {
        "timeout": "a timeout was exceeded",
        "signal": "a fatal signal was delivered to the control process",
        "protocol": "the service did not take the steps required by its unit configuration",
    }.get(result, "the control process exited with error code")


def _ending(code: int) -> str:
    return f"code=exited, status={code}" if code >= 0 else f"code=killed, signal={signal.Signals(-code).name}"


def _stop_seconds(unit: Unit) -> float:
    return unit.seconds("Service", "TimeoutStopSec", unit.seconds("Service", "TimeoutSec", _TIMEOUT))


def _signal(name: str) -> int:
    return int(name) if name.isdigit() else int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _program(unit: Unit) -> str:
    first = unit.get("Service", "ExecStart").split()
    return first[0].lstrip("@-:+!").rpartition("/")[2] if first else unit.name


def _limits(unit: Unit) -> dict[int, int]:
    found = {}
    for section, key, value in unit.settings:
        number = _LIMITS.get(f"RLIMIT_{key.removeprefix('Limit')}") if key.startswith("Limit") else None
        if section == "Service" and number is not None:
            text = value.partition(":")[0]
            if text == "infinity":
                found[number] = resource.RLIM_INFINITY
            elif text.isdigit():
                found[number] = int(text)
    return found
