"""Mounting what a guest has beyond its own disk: data disks, and storage tiers of its virtual network.

A tier's `server:/export` is looked up by the emulator, which knows what there is; here it becomes a directory of the
state, mounted. What is neither a disk nor a tier (tmpfs, bind, ...) is the real command's.
"""

# ruff: noqa: ASYNC240 (the files of a guest are on a local disk; there is nothing else that would go on meanwhile)

from __future__ import annotations

import getopt
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure_emulator.guests import kernel
from azure_emulator.guests.inside import disks
from azure_emulator.guests.inside.disks import Disks
from azure_emulator.guests.sandbox import Outside

REMOTE_KINDS = ("nfs", "nfs4", "lustre", "aznfs", "cifs", "smb3")
_REMOTE_SOURCE = re.compile(r"^(?:[\w.-]+(?:@tcp\d*)?(?::[\w.-]+(?:@tcp\d*)?)*:/|//[\w.-]+/)")
_DEVICE = re.compile(r"^(?:/dev/(?:sd|disk/|nvme|mapper/)|UUID=|LABEL=|PARTUUID=)")
_TABLE = Path("/etc/fstab")
# mount(8): bits of the exit status.
FAILED, SOME_SUCCEEDED = 32, 64

Ask = Callable[[str, str], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Entry:
    """One line of fstab."""

    source: str
    target: str
    kind: str = "auto"
    options: str = "defaults"

    @property
    def option_list(self) -> list[str]:
        """The options, one by one."""
        return [option for option in self.options.split(",") if option]


@dataclass
class Request:
    """What a `mount` command line asks for."""

    entry: Entry | None = None
    all: bool = False
    kind: str = ""
    options: str = ""
    operands: list[str] = field(default_factory=list)
    real: bool = False  # nothing of ours: listing, binding, moving, remounting


def parse_table(text: str) -> list[Entry]:
    """The lines of fstab."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 3 and not fields[0].startswith("#"):  # noqa: PLR2004 (the rest is optional)
            found.append(Entry(*(unescaped(one) for one in fields[:4])))
    return found


_SHORT_OPTIONS = "at:o:rwvnsfL:U:BRMl"
_LONG_OPTIONS = (
    "all", "types=", "options=", "read-only", "rw", "verbose", "bind", "rbind", "move", "make-private", "make-rprivate",
    "make-shared", "make-rshared", "make-slave", "make-rslave", "label=", "uuid=", "source=", "target=", "mkdir",
)  # fmt: skip
_REAL_OPTIONS = ("bind", "rbind", "move", "make-", "source", "target", "mkdir", "B", "R", "M", "l")
_REAL_FLAGS = frozenset({"bind", "rbind", "remount", "move", "private", "shared", "slave"})


def parse_arguments(arguments: list[str]) -> Request:
    """Read a command line of mount."""
    request = Request()
    try:
        options, request.operands = getopt.gnu_getopt(arguments, _SHORT_OPTIONS, list(_LONG_OPTIONS))
    except getopt.GetoptError:
        request.real = True
        return request
    texts: list[str] = []
    for dashed, value in options:
        name = dashed.lstrip("-")
        match name:
            case "a" | "all":
                request.all = True
            case "t" | "types":
                request.kind = value
            case "o" | "options":
                texts.append(value)
            case "r" | "read-only":
                texts.append("ro")
            case "L" | "label" | "U" | "uuid":
                request.operands.insert(0, f"{'LABEL' if name in ('L', 'label') else 'UUID'}={value}")
            case _ if name.startswith(_REAL_OPTIONS):
                request.real = True
    request.options = ",".join(text for text in texts if text)
    if _REAL_FLAGS & set(request.options.split(",")) or not (request.operands or request.all):
        request.real = True
    return request


def places() -> set[str]:
    """Where something is mounted; os.path.ismount does not see a directory of the same file system."""
    found = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        found.add(unescaped(line.split()[4]))
    return found


def unescaped(text: str) -> str:
    """A field of fstab or mountinfo, where spaces are written as octal numbers."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), text)


def is_remote(source: str, kind: str) -> bool:
    """Whether it is a storage tier's address."""
    return kind in REMOTE_KINDS or (kind in ("", "auto") and bool(_REMOTE_SOURCE.match(source)))


def is_device(source: str) -> bool:
    """Whether it is a disk."""
    return bool(_DEVICE.match(source))


@dataclass
class Mounts:
    """What is mounted, as far as we did it."""

    outside: Outside
    disks: Disks
    ask: Ask
    table: dict[str, Entry] = field(default_factory=dict)

    def planned(self) -> list[Entry]:
        """What fstab says."""
        return parse_table(_TABLE.read_text()) if _TABLE.exists() else []

    def current(self) -> dict[str, Entry]:
        """By place, what we mounted and nobody unmounted."""
        mounted = places()
        self.table = {target: entry for target, entry in self.table.items() if target in mounted}
        return self.table

    def resolve(self, request: Request) -> Entry | None:
        """What a command line with one or two operands means; None where fstab does not know the one."""
        if len(request.operands) > 1:
            source, target = request.operands[:2]
            return Entry(source, os.path.normpath(target), request.kind or "auto", request.options or "defaults")
        name = request.operands[0]
        for entry in self.planned():
            if name in (entry.source, entry.target) or os.path.normpath(name) == entry.target:
                options = ",".join(part for part in (entry.options, request.options) if part)
                return Entry(entry.source, entry.target, request.kind or entry.kind, options)
        return None

    async def mount(self, entry: Entry) -> str:
        """Mount a disk or a tier; returns why not, or nothing."""
        if not Path(entry.target).is_dir():
            return f"mount: {entry.target}: mount point does not exist."
        if is_remote(entry.source, entry.kind):
            return await self._mount_remote(entry)
        if entry.source in disks.TEMPORARY:
            source = self.outside.directory.machine(self.outside.machine.key).temporary_disk
            return self._attach(source, entry, "ext4")
        disk = self.disks.find(entry.source)
        if disk is None:
            if "=" in entry.source:
                return f"mount: {entry.target}: can't find {entry.source}."
            return f"mount: {entry.target}: special device {entry.source} does not exist."
        found = self.disks.file_system(disk)
        if found is None or entry.kind not in ("", "auto", found["type"]):
            return (f"mount: {entry.target}: wrong fs type, bad option, bad superblock on {entry.source}, missing "
                    "codepage or helper program, or other error.")  # fmt: skip
        return self._attach(self.disks.content(disk), entry, found["type"])

    async def _mount_remote(self, entry: Entry) -> str:
        answer = await self.ask(entry.source, entry.kind)
        if "error" in answer:
            return str(answer["error"])
        return self._attach(Path(answer["path"]), entry, entry.kind if entry.kind not in ("", "auto") else "nfs")

    def _attach(self, source: Path, entry: Entry, kind: str) -> str:
        attributes = kernel.ATTRIBUTE_RDONLY if "ro" in entry.option_list else 0
        try:
            self.outside.attach(source, entry.target, attributes)
        except OSError as error:
            return f"mount: {entry.target}: {error.strerror or error}"
        self.table[entry.target] = Entry(entry.source, entry.target, kind, entry.options)
        return ""

    async def mount_all(self, kinds: str = "") -> list[str]:
        """Mount what fstab says and is not mounted; returns what went wrong, without what may (nofail)."""
        wrong = []
        mounted = places()
        for entry in self.planned():
            skipped = entry.target in ("none", "swap", "/") or entry.kind == "swap" or "noauto" in entry.option_list
            if skipped or entry.target in mounted or (kinds and entry.kind not in kinds.split(",")):
                continue
            if not (is_remote(entry.source, entry.kind) or is_device(entry.source)):
                continue
            error = await self.mount(entry)
            if error and "nofail" not in entry.option_list:
                wrong.append(error)
        return wrong

    async def mount_for(self, path: str) -> str:
        """Have the file systems of fstab on the way to a path; returns why not, or nothing."""
        for entry in sorted(self.planned(), key=lambda item: item.target):
            inside = path == entry.target or path.startswith(f"{entry.target.rstrip('/')}/")
            if inside and entry.target != "/" and entry.target not in places():
                error = await self.mount(entry)
                if error:
                    return error
        return ""
