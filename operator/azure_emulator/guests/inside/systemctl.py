"""The commands systemctl and journalctl, as far as scripts and people use them."""

from __future__ import annotations

import contextlib
import getopt
import os
import re
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from azure_emulator.guests.inside.journal import Entry, Journal
from azure_emulator.guests.inside.processes import invoked
from azure_emulator.guests.inside.services import JobError, Service, Services, is_provided
from azure_emulator.guests.inside.tools import Call
from azure_emulator.guests.inside.units import ETC, Unit

_SUFFIX = re.compile(r"\.(service|timer|target|socket|mount|path|slice|device|swap|scope|automount)$")
# Exit statuses of systemctl(1).
_FAILED, _NOT_RUNNING, _NO_UNIT, _NOT_LOADED = 1, 3, 4, 5
_VALUED = {"-p": "property", "--property": "property", "-n": "lines", "--lines": "lines", "-t": "type",
           "--type": "type", "--state": "state", "-s": "signal", "--signal": "signal", "--kill-who": "who",
           "--job-mode": "mode",
           "-o": "output", "--output": "output", "--root": "root", "-H": "host"}  # fmt: skip


Job = Callable[[str], Awaitable[None]]


@dataclass
class Options:
    """A command line of systemctl."""

    verb: str = ""
    names: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)

    def has(self, *names: str) -> bool:
        """Whether one of these stands there."""
        return any(name in self.flags for name in names)


def parse(arguments: list[str]) -> Options:
    """Read a command line."""
    options = Options()
    pending = iter(arguments)
    for word in pending:
        name, separator, value = word.partition("=")
        if word in _VALUED:
            options.values.setdefault(_VALUED[word], []).append(next(pending, ""))
        elif separator and name in _VALUED:
            options.values.setdefault(_VALUED[name], []).append(value)
        elif word.startswith("--"):
            options.flags.add(word)
        elif word.startswith("-") and len(word) > 1:
            options.flags |= {f"-{letter}" for letter in word[1:]}
        elif not options.verb:
            options.verb = word
        else:
            options.names.append(word)
    return options


def full_name(name: str) -> str:
    """The whole name: sshd means sshd.service."""
    return name if _SUFFIX.search(name) else f"{name}.service"


@dataclass
class Systemctl:
    """The command, and what it acts upon."""

    services: Services
    journal: Journal
    power: Callable[[str], None]
    booted: Callable[[], bool]

    async def run(self, call: Call) -> int:
        """Answer one call."""
        options = parse(call.arguments)
        names = [full_name(name) for name in options.names]
        verb = "version" if "--version" in options.flags else options.verb or "list-units"
        if "--user" in options.flags:
            call.error("Failed to connect to bus: there is no user manager in a guest")
            return _FAILED
        reading = {
            "is-active": self._is_active, "is-failed": self._is_failed, "is-enabled": self._is_enabled,
            "status": self._status, "show": self._show, "cat": self._cat, "list-units": self._list_units,
            "list-unit-files": self._list_unit_files, "list-timers": self._list_timers,
            "is-system-running": self._is_system_running, "get-default": self._get_default,
            "list-dependencies": self._list_dependencies, "version": self._version,
        }  # fmt: skip
        if verb in reading:
            return reading[verb](call, names, options)
        if call.uid != 0:
            call.error(f"Failed to {verb}: Access denied")
            return _NO_UNIT
        jobs = {
            "start": self._start, "stop": self._stop, "restart": self._restart, "try-restart": self._try_restart,
            "condrestart": self._try_restart, "reload": self._reload, "reload-or-restart": self._reload_or_restart,
            "force-reload": self._reload_or_restart, "try-reload-or-restart": self._try_restart,
        }  # fmt: skip
        if verb in jobs:
            return await self._each(call, names, jobs[verb], background="--no-block" in options.flags)
        return await self._change(call, verb, names, options)

    async def _change(self, call: Call, verb: str, names: list[str], options: Options) -> int:
        match verb:
            case "enable" | "disable" | "reenable" | "mask" | "unmask" | "preset":
                return await self._change_files(call, verb, names, options)
            case "daemon-reload" | "daemon-reexec":
                self.services.reload()
            case "reset-failed":
                self._reset_failed(names)
            case "kill":
                return self._kill(call, names, options)
            case "set-default":
                _link(Path("/", ETC, "default.target"), f"/lib/systemd/system/{names[0]}")
            case "reboot" | "poweroff" | "halt" | "kexec" | "soft-reboot":
                self.power("reboot" if verb in ("reboot", "kexec", "soft-reboot") else "poweroff")
            case _:
                call.error(f"systemctl: {verb} is not known in a guest")
                return _FAILED
        return 0

    # -- jobs --------------------------------------------------------------------------------------------------------

    async def _each(self, call: Call, names: list[str], job: Job, *, background: bool) -> int:
        if not names:
            call.error("Too few arguments.")
            return _FAILED
        code = 0
        for name in names:
            try:
                if background:
                    self.services.require(name)
                    self.services.in_background(_quietly(job(name)))
                else:
                    await job(name)
            except JobError as error:
                text = str(error)
                missing = text.endswith(("not found.", "not loaded."))
                call.error(f"Failed to {_verb_of(job)} {name}: {text}" if missing or "masked" in text else text)
                code = _NOT_LOADED if missing else _FAILED
        return code

    async def _start(self, name: str) -> None:
        await self.services.start(name)

    async def _stop(self, name: str) -> None:
        if not is_provided(name) or self.services.find(name) is not None:
            await self.services.stop(name)

    async def _restart(self, name: str) -> None:
        if not is_provided(name):
            service = self.services.require(name)
            service.starts.clear()
            await self.services.stop(name)
        await self.services.start(name)

    async def _try_restart(self, name: str) -> None:
        service = self.services.find(name)
        if service is not None and service.active in ("active", "activating"):
            await self._restart(name)

    async def _reload(self, name: str) -> None:
        await self.services.reload_unit(name)

    async def _reload_or_restart(self, name: str) -> None:
        service = self.services.require(name)
        if service.active == "active" and service.unit.get("Service", "ExecReload"):
            await self.services.reload_unit(name)
        else:
            await self._restart(name)

    def _reset_failed(self, names: list[str]) -> None:
        for name, service in self.services.loaded.items():
            if (not names or name in names) and service.active == "failed":
                service.become("inactive", "dead")
                service.result = "success"
            if not names or name in names:
                service.starts.clear()

    def _kill(self, call: Call, names: list[str], options: Options) -> int:
        text = options.values.get("signal", ["TERM"])[-1]
        number = int(text) if text.isdigit() else int(signal.Signals[f"SIG{text.removeprefix('SIG')}"])
        for name in names:
            try:
                self.services.kill(name, number)
            except JobError as error:
                call.error(f"Failed to kill unit {name}: {error}")
                return _FAILED
        return 0

    # -- files -------------------------------------------------------------------------------------------------------

    async def _change_files(self, call: Call, verb: str, names: list[str], options: Options) -> int:
        code = 0
        for name in names:
            if verb in ("mask", "unmask"):
                code = self._mask(call, name, masked=verb == "mask") or code
                continue
            unit = self.services.files.load(name)
            if unit is None:
                if is_provided(name):
                    continue
                call.error(f"Failed to {verb} unit: Unit file {name} does not exist.")
                code = _FAILED
                continue
            if unit.masked:
                call.error(f"Failed to {verb} unit: Unit file /etc/systemd/system/{name} is masked.")
                code = _FAILED
                continue
            self._link(call, unit, name, enabled=verb != "disable")
        self.services.reload()
        if "--now" in options.flags and code == 0:
            job = {"enable": self._start, "reenable": self._restart, "disable": self._stop, "mask": self._stop}.get(
                verb
            )
            if job is not None:
                code = await self._each(call, names, job, background=False)
        return code

    def _link(self, call: Call, unit: Unit, name: str, *, enabled: bool) -> None:
        if enabled and not self.services.files.links(unit, name):
            call.error(
                "The unit files have no installation config (WantedBy=, RequiredBy=, Also=, Alias= settings in the "
                "[Install] section, and DefaultInstance= for template units)."
            )
        self._link_once(call, unit, name, enabled=enabled)
        for other in unit.words("Install", "Also"):
            also = self.services.files.load(other)
            if also is not None and not also.masked and other != name:
                self._link_once(call, also, other, enabled=enabled)

    def _link_once(self, call: Call, unit: Unit, name: str, *, enabled: bool) -> None:
        for link, target in self.services.files.links(unit, name).items():
            if enabled and not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)
                call.error(f"Created symlink {link} → {target}.")
            elif not enabled and link.is_symlink():
                link.unlink()
                call.error(f"Removed {link}.")

    def _mask(self, call: Call, name: str, *, masked: bool) -> int:
        link = Path("/", ETC, name)
        if masked:
            if link.is_symlink():
                link.unlink()
            if link.exists():
                call.error(f"Failed to mask unit: File {link} already exists.")
                return _FAILED
            link.symlink_to("/dev/null")
            call.error(f"Created symlink {link} → /dev/null.")
        elif link.is_symlink() and os.readlink(link) == "/dev/null":  # noqa: PTH115 (text, not a path)
            link.unlink()
            call.error(f"Removed {link}.")
        known = self.services.loaded.get(name)
        if known is not None and known.active in ("inactive", "failed"):
            del self.services.loaded[name]
        return 0

    # -- reading -----------------------------------------------------------------------------------------------------

    def _version(self, call: Call, names: list[str], options: Options) -> int:
        del names, options
        call.out("systemd 252 (emulated)")
        return 0

    def _state(self, name: str) -> str:
        service = self.services.find(name)
        if service is None:
            return "active" if name.endswith(".target") and is_provided(name) else "inactive"
        if name.endswith(".target") and is_provided(name):
            return "active" if self.booted() else "inactive"
        return service.active

    def _is_active(self, call: Call, names: list[str], options: Options) -> int:
        states = [self._state(name) for name in names]
        if not options.has("-q", "--quiet"):
            call.out("\n".join(states))
        return 0 if "active" in states else _NOT_RUNNING

    def _is_failed(self, call: Call, names: list[str], options: Options) -> int:
        states = [self._state(name) for name in names]
        if not options.has("-q", "--quiet"):
            call.out("\n".join(states))
        return 0 if "failed" in states else 1

    def _is_enabled(self, call: Call, names: list[str], options: Options) -> int:
        code = 1
        for name in names:
            state = self.services.files.state(name)
            if not state:
                call.error(f"Failed to get unit file state for {name}: No such file or directory")
                continue
            if not options.has("-q", "--quiet"):
                call.out(state)
            if state in ("enabled", "static", "alias"):
                code = 0
        return code

    def _status(self, call: Call, names: list[str], options: Options) -> int:
        if not names:
            running = [name for name, service in self.services.loaded.items() if service.active == "active"]
            failed = [name for name, service in self.services.loaded.items() if service.active == "failed"]
            call.out(f"● {socket.gethostname()}\n    State: {self._system_state()}\n    Units: {len(running)} active\n"
                     f"   Failed: {len(failed)} units")  # fmt: skip
            return 0
        code = 0
        for name in names:
            service = self.services.find(name)
            if service is None:
                call.error(f"Unit {name} could not be found.")
                code = _NO_UNIT
                continue
            call.out(self._status_of(service, int(options.values.get("lines", ["10"])[-1])))
            if service.active not in ("active", "activating"):
                code = _NOT_RUNNING
        return code

    def _status_of(self, service: Service, lines: int) -> str:
        unit = service.unit
        mark = {"active": "●", "failed": "\N{MULTIPLICATION SIGN}"}.get(service.active, "○")
        since = datetime.fromtimestamp(service.since).strftime("%a %Y-%m-%d %H:%M:%S")  # noqa: DTZ006 (local)
        result = f" (Result: {service.result})" if service.result != "success" else ""
        loaded = "masked" if unit.masked else f"loaded ({unit.path}; {self.services.files.state(unit.name)})"
        rows = [f"{mark} {unit.name} - {unit.description}", f"     Loaded: {loaded}"]
        if unit.drop_ins:
            rows.append(f"    Drop-In: {', '.join(unit.drop_ins)}")
        rows.append(f"     Active: {service.active} ({service.sub}){result} since {since}")
        if service.next_time is not None:
            moment = datetime.fromtimestamp(service.next_time).strftime("%a %Y-%m-%d %H:%M:%S")  # noqa: DTZ006 (local)
            rows.append(f"    Trigger: {moment}")
        if service.main_pid:
            rows.append(f"   Main PID: {service.main_pid}")
        elif service.result != "success":
            rows.append(f"   Main PID: (code={service.main_code})")
        if service.status_text:
            rows.append(f'     Status: "{service.status_text}"')
        if service.invocation and service.active in ("active", "activating"):
            rows.append(f"      Tasks: {len(invoked(service.invocation))}")
        last = [entry for entry in self.journal.entries if entry.unit == unit.name][-lines:] if lines else []
        return "\n".join([*rows, "", *(entry.line(socket.gethostname()) for entry in last)]).rstrip()

    def _show(self, call: Call, names: list[str], options: Options) -> int:
        wanted = [name for value in options.values.get("property", []) for name in value.split(",")]
        for name in names or [""]:
            values = self.properties(name)
            for key, value in values.items():
                if not wanted or key in wanted:
                    call.out(value if "--value" in options.flags else f"{key}={value}")
            for key in wanted:
                if key not in values:
                    call.out("" if "--value" in options.flags else f"{key}=")
        return 0

    def properties(self, name: str) -> dict[str, str]:
        """What `systemctl show` knows of a unit."""
        service = self.services.find(name) if name else None
        if service is None:
            state = self._state(name) if name else "active"
            return {
                "Id": name, "LoadState": "not-found" if name else "loaded", "ActiveState": state, "SubState": "dead",
                "MainPID": "0", "Result": "success",
            }  # fmt: skip
        unit = service.unit
        entered = service.since_monotonic if service.active == "active" else 0.0
        return {
            "Id": unit.name, "Names": unit.name, "Description": unit.description,
            "LoadState": "masked" if unit.masked else "loaded", "ActiveState": service.active, "SubState": service.sub,
            "Result": service.result, "MainPID": str(service.main_pid), "ExecMainStatus": str(service.main_code),
            "ExecMainPID": str(service.main_pid), "NRestarts": str(service.restarts),
            "Type": unit.get("Service", "Type") or "simple", "Restart": unit.get("Service", "Restart") or "no",
            "UnitFileState": self.services.files.state(unit.name), "FragmentPath": unit.path,
            "DropInPaths": " ".join(unit.drop_ins), "StatusText": service.status_text,
            "InvocationID": service.invocation, "User": unit.get("Service", "User"),
            "Environment": " ".join(unit.all("Service", "Environment")),
            "ActiveEnterTimestampMonotonic": str(int(entered * 1e6)),
            "ExecStart": "; ".join(unit.all("Service", "ExecStart")),
            "WorkingDirectory": unit.get("Service", "WorkingDirectory"),
            "Wants": " ".join(unit.words("Unit", "Wants")), "Requires": " ".join(unit.words("Unit", "Requires")),
            "After": " ".join(unit.words("Unit", "After")), "Before": " ".join(unit.words("Unit", "Before")),
            "FreezerState": "running",
        }  # fmt: skip

    def _cat(self, call: Call, names: list[str], options: Options) -> int:
        del options
        for name in names:
            unit = self.services.files.load(name)
            if unit is None:
                call.error(f"No files found for {name}.")
                return _FAILED
            for path in (unit.path, *unit.drop_ins):
                call.out(f"# {path}\n{Path(path).read_text()}")
        return 0

    def _list_units(self, call: Call, names: list[str], options: Options) -> int:
        kinds = [kind for value in options.values.get("type", []) for kind in value.split(",")]
        states = [state for value in options.values.get("state", []) for state in value.split(",")]
        if "--failed" in options.flags:
            states.append("failed")
        shown = []
        for name, service in sorted(self.services.loaded.items()):
            if kinds and service.unit.kind not in kinds:
                continue
            if states and service.active not in states and service.sub not in states:
                continue
            if not states and not options.has("-a", "--all") and service.active == "inactive":
                continue
            if names and name not in names:
                continue
            shown.append(f"  {name} loaded {service.active} {service.sub} {service.unit.description}")
        if not options.has("--no-legend"):
            call.out("  UNIT LOAD ACTIVE SUB DESCRIPTION")
        if shown:
            call.out("\n".join(shown))
        if not options.has("--no-legend"):
            call.out(f"{len(shown)} loaded units listed.")
        return 0

    def _list_unit_files(self, call: Call, names: list[str], options: Options) -> int:
        kinds = [kind for value in options.values.get("type", []) for kind in value.split(",")]
        states = [state for value in options.values.get("state", []) for state in value.split(",")]
        for name in self.services.files.names():
            state = self.services.files.state(name)
            wanted = (not names or name in names) and (not kinds or name.rpartition(".")[2] in kinds)
            if wanted and (not states or state in states):
                call.out(f"{name} {state}")
        return 0

    def _list_timers(self, call: Call, names: list[str], options: Options) -> int:
        del options
        call.out("NEXT UNIT ACTIVATES")
        for name, service in sorted(self.services.loaded.items()):
            if service.unit.kind == "timer" and service.active == "active" and (not names or name in names):
                at = datetime.fromtimestamp(service.next_time or time.time())  # noqa: DTZ006 (local)
                target = service.unit.get("Timer", "Unit") or f"{name.removesuffix('.timer')}.service"
                call.out(f"{at:%a %Y-%m-%d %H:%M:%S} {name} {target}")
        return 0

    def _list_dependencies(self, call: Call, names: list[str], options: Options) -> int:
        del options
        for name in names or ["multi-user.target"]:
            call.out(name)
            unit = self.services.files.load(name)
            wanted = self.services.files.wanted_by(name)
            wanted += [*unit.words("Unit", "Requires"), *unit.words("Unit", "Wants")] if unit is not None else []
            for other in dict.fromkeys(wanted):
                call.out(f"● └─{other}")
        return 0

    def _system_state(self) -> str:
        if not self.booted():
            return "starting"
        failed = any(service.active == "failed" for service in self.services.loaded.values())
        return "degraded" if failed else "running"

    def _is_system_running(self, call: Call, names: list[str], options: Options) -> int:
        del names
        state = self._system_state()
        if not options.has("-q", "--quiet"):
            call.out(state)
        return 0 if state == "running" else 1

    def _get_default(self, call: Call, names: list[str], options: Options) -> int:
        del names, options
        link = Path("/", ETC, "default.target")
        call.out(Path(link.readlink()).name if link.is_symlink() else "multi-user.target")
        return 0


async def _quietly(job: Awaitable[None]) -> None:
    with contextlib.suppress(JobError):  # of --no-block: the journal has it
        await job


def _verb_of(job: Job) -> str:
    return str(getattr(job, "__name__", "start")).lstrip("_").replace("_", "-")


def _link(link: Path, target: str) -> None:
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)


# -- journalctl ------------------------------------------------------------------------------------------------------


_JOURNAL_OPTIONS = (
    "u:n:t:o:S:U:p:febkxrqam", [
        "unit=", "lines=", "identifier=", "output=", "since=", "until=", "priority=", "follow", "pager-end", "boot",
        "dmesg",
        "catalog", "reverse", "quiet", "all", "merge", "no-pager", "no-hostname", "utc", "full",
    ],
)  # fmt: skip


async def journalctl(call: Call, journal: Journal) -> int:
    """Print the log of this boot, of some units or of all."""
    try:
        given, _ = getopt.gnu_getopt(call.arguments, *_JOURNAL_OPTIONS)
    except getopt.GetoptError as error:
        call.error(f"journalctl: {error}")
        return 1
    values = {name.lstrip("-"): value for name, value in given}
    units = [full_name(value) for name, value in given if name in ("-u", "--unit")]
    follow = "f" in values or "follow" in values
    short = values.get("o", values.get("output")) != "cat"
    text_of_lines = values.get("n", values.get("lines", "10" if follow else "all"))
    lines = int(text_of_lines) if text_of_lines.isdigit() else 0
    host = socket.gethostname()

    def chosen(entry: Entry) -> bool:
        return not units or entry.unit in units

    def text(entry: Entry) -> str:
        return entry.line(host) if short else entry.text

    found = [entry for entry in list(journal.entries) if chosen(entry)]
    found = found[-lines:] if lines else found
    if not found and not follow:
        call.out("-- No entries --")
    elif found:
        call.out("\n".join(text(entry) for entry in found))
    if follow:
        stop = journal.follow(lambda entry: call.out(text(entry)) if chosen(entry) else None)
        try:
            await call.wait_closed()
        finally:
            stop()
    return 0
