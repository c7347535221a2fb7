"""Commands that a guest answers for itself, but systemctl and journalctl: disks, mounts, packages, power, names.

Each takes a call and returns an exit status; what it says goes through the call.
"""

# ruff: noqa: ASYNC240 (the files of a guest are on a local disk; there is nothing else that would go on meanwhile)

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure_emulator.guests.inside import mounts, packages
from azure_emulator.guests.inside.cloud_init import CloudInit
from azure_emulator.guests.inside.disks import Disks
from azure_emulator.guests.inside.journal import Journal
from azure_emulator.guests.inside.mounts import Mounts
from azure_emulator.guests.inside.processes import Processes
from azure_emulator.guests.sandbox import REAL


@dataclass
class Call:
    """One command line, and where its answer goes."""

    name: str
    arguments: list[str]
    directory: str
    uid: int
    terminal: bool
    send: Callable[[dict[str, Any]], None]
    wait_closed: Callable[[], Awaitable[None]]

    def out(self, text: str, end: str = "\n") -> None:
        """Print."""
        self.send({"out": f"{text}{end}"})

    def error(self, text: str) -> None:
        """Print an error."""
        self.send({"error": f"{text}\n"})

    def hand_over(self) -> int:
        """Let the real command have it."""
        real = f"{REAL}/{self.name}"
        if not Path(real).exists():
            self.error(f"{self.name}: not found on the host")
            return 127
        self.send({"execute": real})
        return -1

    def absolute(self, path: str) -> str:
        """A path as the caller means it."""
        return os.path.normpath(f"{self.directory}/{path}" if not path.startswith("/") else path)


Tool = Callable[[Call], Awaitable[int]]


@dataclass
class Tools:
    """The commands, and what they act upon."""

    processes: Processes
    journal: Journal
    disks: Disks
    mounts: Mounts
    cloud_init: CloudInit
    power: Callable[[str], None]
    more: dict[str, Tool] = field(default_factory=dict)

    async def run(self, call: Call) -> int:
        """Answer one call."""
        table: dict[str, Tool] = {
            "mount": self._mount, "findmnt": self._findmnt, "blkid": self._blkid, "lsblk": self._lsblk,
            "wipefs": self._wipefs, "resize2fs": self._grow, "xfs_growfs": self._grow, "hostnamectl": self._hostnamectl,
            "timedatectl": self._timedatectl, "cloud-init": self._cloud_init, "apt-get": self._packages,
            "apt": self._packages, "dnf": self._packages, "yum": self._packages, "reboot": self._power,
            "poweroff": self._power, "halt": self._power, "shutdown": self._shutdown, **self.more,
        }  # fmt: skip
        tool = self._mkfs if call.name.startswith(("mkfs", "mke2fs")) else table.get(call.name)
        if tool is None:
            call.error(f"{call.name}: not known in a guest")
            return 127
        return await tool(call)

    # -- mounts and disks --------------------------------------------------------------------------------------------

    async def _mount(self, call: Call) -> int:
        request = mounts.parse_arguments(call.arguments)
        if request.real:
            return call.hand_over()
        if call.uid != 0:
            call.error("mount: only root can do that")
            return 1
        if request.all:
            return await self._mount_all(call, request.kind)
        request.operands = [
            call.absolute(word) if number == len(request.operands) - 1 and "=" not in word and ":" not in word else word
            for number, word in enumerate(request.operands)
        ]
        entry = self.mounts.resolve(request)
        if entry is None:
            call.error(f"mount: {request.operands[0]}: can't find in /etc/fstab.")
            return 1
        if not (mounts.is_remote(entry.source, entry.kind) or mounts.is_device(entry.source)):
            return call.hand_over()
        error = await self.mounts.mount(entry)
        if error:
            call.error(error)
        return mounts.FAILED if error else 0

    async def _mount_all(self, call: Call, kinds: str) -> int:
        wrong = await self.mounts.mount_all(kinds)
        mounted = mounts.places()
        for entry in self.mounts.planned():
            ours = mounts.is_remote(entry.source, entry.kind) or mounts.is_device(entry.source)
            skipped = entry.target in ("none", "swap") or "noauto" in entry.option_list or entry.target in mounted
            if not ours and not skipped and (not kinds or entry.kind in kinds.split(",")):
                said: list[str] = []
                arguments = [f"{REAL}/mount", "-t", entry.kind, "-o", entry.options, entry.source, entry.target]
                if await self.processes.run(arguments, sink=said.append) != 0:
                    wrong += said
        for error in wrong:
            call.error(error)
        return mounts.FAILED if wrong else 0

    async def _findmnt(self, call: Call) -> int:
        """What we mounted is shown as it was asked for; all else is the real command's."""
        wanted = [word for word in call.arguments if not word.startswith("-")]
        columns = next((call.arguments[number + 1] for number, word in enumerate(call.arguments[:-1])
                        if word in ("-o", "--output", "-no")), "")  # fmt: skip
        wanted = [word for word in wanted if word != columns]
        known = self.mounts.current()
        entry = next((known[call.absolute(word)] for word in wanted if call.absolute(word) in known), None)
        if entry is None:
            return call.hand_over()
        shown = {"TARGET": entry.target, "SOURCE": entry.source, "FSTYPE": entry.kind, "OPTIONS": entry.options}
        names = [name.strip().upper() for name in columns.split(",")] if columns else list(shown)
        if not any(re.match(r"^(-[a-zA-Z]*n|--noheadings)", word) for word in call.arguments):
            call.out(" ".join(names))
        call.out(" ".join(shown.get(name, "") for name in names))
        return 0

    async def _blkid(self, call: Call) -> int:
        operands, options = _split(call.arguments, ("-o", "-s", "-t", "-L", "-U", "-p", "-c"), flags=("-p",))
        for option, tag in (("-L", "LABEL"), ("-U", "UUID")):
            if option in options:
                disk = self.disks.find(f"{tag}={options[option]}")
                if disk is not None:
                    call.out(f"/dev/{disk.device}")
                return 0 if disk is not None else 2
        devices = operands or [f"/dev/{name}" for name in sorted(self.disks.attached)]
        found = False
        for device in devices:
            disk = self.disks.find(device)
            system = self.disks.file_system(disk) if disk is not None else None
            if system is None:
                continue
            found = True
            values = {"LABEL": system.get("label", ""), "UUID": system["uuid"], "BLOCK_SIZE": "4096",
                      "TYPE": system["type"]}  # fmt: skip
            chosen = {key: value for key, value in values.items() if value and options.get("-s", key) == key}
            match options.get("-o", "full"):
                case "value":
                    call.out("\n".join(chosen.values()))
                case "export":
                    call.out("\n".join([f"DEVNAME={device}", *(f"{key}={value}" for key, value in chosen.items())]))
                case _:
                    call.out(f"{device}: " + " ".join(f'{key}="{value}"' for key, value in chosen.items()))
        return 0 if found or not operands else 2

    async def _lsblk(self, call: Call) -> int:
        rows = [{"name": "sda", "type": "disk", "mountpoint": "/", "fstype": "ext4"}]
        mounted = {entry.source: target for target, entry in self.mounts.current().items()}
        for name, disk in sorted(self.disks.attached.items()):
            system = self.disks.file_system(disk) or {}
            places = {f"/dev/{name}", f"UUID={system.get('uuid')}", f"LABEL={system.get('label')}"}
            place = next((target for source, target in mounted.items()
                          if source in places or os.path.realpath(source) == f"/dev/{name}"), "")  # fmt: skip
            rows.append({"name": name, "type": "disk", "mountpoint": place, "fstype": system.get("type", ""),
                         "uuid": system.get("uuid", ""), "label": system.get("label", "")})  # fmt: skip
        operands, options = _split(call.arguments, ("-o", "--output", "-I", "-e"))
        if any(word in ("-J", "--json") for word in call.arguments):
            call.out(json.dumps({"blockdevices": rows}, indent=3))
            return 0
        names = [os.path.realpath(call.absolute(word)).removeprefix("/dev/") for word in operands]
        columns = [
            name.lower() for name in (options.get("-o") or options.get("--output") or "NAME,TYPE,MOUNTPOINT").split(",")
        ]
        if not any(re.match(r"^(-[a-z]*n|--noheadings)", word) for word in call.arguments):
            call.out(" ".join(name.upper() for name in columns))
        for row in rows:
            if not names or row["name"] in names:
                call.out(" ".join(row.get(column, "") for column in columns).rstrip())
        return 0

    async def _mkfs(self, call: Call) -> int:
        operands, options = _split(
            call.arguments,
            ("-t", "-L", "-U", "-m", "-E", "-O", "-i", "-N", "-b", "-I", "-n", "-d", "-l", "-T", "-j", "-J"),
        )
        kind = options.get("-t") or call.name.partition(".")[2] or "ext2"
        if not operands:
            call.error(f"Usage: {call.name} [options] device")
            return 1
        identity = options.get("-U", "")
        identity = identity if re.fullmatch(r"[0-9a-fA-F-]{36}", identity) else ""
        # ext takes what is there without asking when nobody could answer; xfs and btrfs want -f.
        force = kind.startswith("ext") or any(word in ("-f", "--force") for word in call.arguments)
        error = self.disks.make(operands[0], kind, label=options.get("-L", ""), force=force, identity=identity)
        if error:
            call.error(f"{call.name}: {error}")
        return 1 if error else 0

    async def _wipefs(self, call: Call) -> int:
        operands, _ = _split(call.arguments, ("-t", "-o"))
        found = [disk for word in operands if (disk := self.disks.find(word)) is not None]
        if not found:
            return call.hand_over()
        if any(re.match(r"^(-[a-z]*a|--all)", word) for word in call.arguments):
            for disk in found:
                self.disks.wipe(disk)
        return 0

    async def _grow(self, call: Call) -> int:
        """A directory has no size of its own."""
        operands, _ = _split(call.arguments, ("-d", "-L", "-r"))
        if call.name == "resize2fs" and (not operands or self.disks.find(operands[0]) is None):
            call.error(f"resize2fs: No such file or directory while opening {(operands or [''])[0]}")
            return 1
        return 0

    # -- packages ----------------------------------------------------------------------------------------------------

    async def _packages(self, call: Call) -> int:
        operands, _ = _split(call.arguments, ("-o", "-t", "-c", "--target-release", "--enablerepo", "--repo"))
        action, wanted = (operands[0], operands[1:]) if operands else ("", [])
        match action:
            case (
                "update"
                | "upgrade"
                | "dist-upgrade"
                | "clean"
                | "autoremove"
                | "autoclean"
                | "makecache"
                | "check-update"
            ):
                call.out(f"{call.name}: packages of a guest are the host's; {action} has nothing to do")
                return 0
            case "install" | "reinstall" | "localinstall":
                absent = packages.missing([word for word in wanted if not word.endswith(("-", "+"))])
                for one in absent:
                    failed = "E: Unable to locate package" if call.name.startswith("apt") else "No match for argument:"
                    why = f"{one.reason}; install it on the machine that runs the emulator"
                    call.error(f"{failed} {one.name} ({why})")
                if not absent:
                    call.out(f"{', '.join(wanted) or 'nothing'}: already the newest version")
                return 0 if not absent else 100 if call.name.startswith("apt") else 1
            case _:
                call.error(
                    f"{call.name}: a guest has the packages of the host; {action or 'this'} is not possible in it"
                )
                return 100 if call.name.startswith("apt") else 1

    # -- the machine -------------------------------------------------------------------------------------------------

    async def _hostnamectl(self, call: Call) -> int:
        operands, _ = _split(call.arguments, ())
        action = operands[0] if operands else "status"
        if action in ("set-hostname", "hostname") and len(operands) > 1:
            if call.uid != 0:
                call.error("Could not set hostname: Access denied")
                return 1
            socket.sethostname(operands[1])
            Path("/etc/hostname").write_text(f"{operands[1]}\n")
            return 0
        if action == "hostname":
            call.out(socket.gethostname())
            return 0
        release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
        system = re.search(r'^PRETTY_NAME="?([^"\n]*)', release, re.MULTILINE)
        rows = {
            "Static hostname": socket.gethostname(), "Chassis": "vm", "Virtualization": "microsoft",
            "Operating System": system[1] if system else "Linux", "Kernel": f"Linux {os.uname().release}",
            "Architecture": os.uname().machine.replace("_", "-"),
        }  # fmt: skip
        for name, value in rows.items():
            call.out(f"{name:>17}: {value}")
        return 0

    async def _timedatectl(self, call: Call) -> int:
        operands, _ = _split(call.arguments, ("-p", "--property"))
        if operands[:1] == ["set-timezone"] and len(operands) > 1:
            zone = Path("/usr/share/zoneinfo") / operands[1]
            if not zone.is_file():
                call.error(f"Failed to set time zone: Invalid or not installed time zone '{operands[1]}'")
                return 1
            Path("/etc/timezone").write_text(f"{operands[1]}\n")
            Path("/etc/localtime").unlink(missing_ok=True)
            Path("/etc/localtime").symlink_to(zone)
            return 0
        if operands[:1] in (["set-ntp"], ["set-local-rtc"]):
            return 0
        call.out("System clock synchronized: yes\nNTP service: inactive (a guest has the host's clock)")
        return 0

    async def _cloud_init(self, call: Call) -> int:
        if call.arguments[:1] != ["status"]:
            call.error(
                f"cloud-init: only `cloud-init status` is known in a guest, not {' '.join(call.arguments) or 'this'}"
            )
            return 2
        run = self.cloud_init
        if "--wait" in call.arguments or "-w" in call.arguments:
            await run.done.wait()
        call.out(f"status: {run.status}")
        if "--long" in call.arguments or "-l" in call.arguments:
            call.out("boot_status_code: enabled-by-generator\ndetail:")
            call.out("\n".join(run.errors) if run.errors else "DataSourceAzure [seed=/dev/sr0]")
        return 1 if run.status == "error" else 0

    async def _power(self, call: Call) -> int:
        if call.uid != 0:
            call.error("Access denied")
            return 1
        self.power("reboot" if call.name == "reboot" else "poweroff")
        return 0

    async def _shutdown(self, call: Call) -> int:
        """At once, whatever the time says but a number of minutes: nobody is there to be warned."""
        if "-c" in call.arguments:
            call.error("shutdown: there is no planned shutdown to cancel")
            return 1
        if call.uid != 0:
            call.error("Access denied")
            return 1
        delay = next((int(word[1:]) for word in call.arguments if re.fullmatch(r"\+\d+", word)), 0)
        action = "reboot" if {"-r", "--reboot"} & set(call.arguments) else "poweroff"
        asyncio.get_running_loop().call_later(delay * 60, self.power, action)
        return 0


def _split(
    arguments: list[str], valued: tuple[str, ...], flags: tuple[str, ...] = ()
) -> tuple[list[str], dict[str, str]]:
    """Operands, and options that take a value."""
    operands: list[str] = []
    options: dict[str, str] = {}
    pending = iter(arguments)
    for word in pending:
        if word in valued and word not in flags:
            options[word] = next(pending, "")
        elif word.startswith("--") and "=" in word:
            name, _, value = word.partition("=")
            options[name] = value
        elif not word.startswith("-"):
            operands.append(word)
    return operands, options
