"""Disks of a guest: device nodes that are block devices by their looks, directories by their nature.

A data disk has a node below /dev and Azure's links to it; making a file system on it empties its directory and gives it
a UUID. Nothing reads or writes the nodes themselves: there is no driver behind them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure_emulator.guests import kernel
from azure_emulator.guests.description import DataDisk
from azure_emulator.guests.sandbox import Outside

TEMPORARY = ("/dev/sdb", "/dev/sdb1", "/dev/disk/azure/resource", "/dev/disk/azure/resource-part1")
KINDS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "vfat")
_LINKS = ("/dev/disk/azure/scsi1/lun{lun}", "/dev/disk/azure/data/by-lun/{lun}")


@dataclass
class Disks:
    """The data disks that are attached now."""

    outside: Outside
    attached: dict[str, DataDisk] = field(default_factory=dict)  # by name of device
    notes: list[str] = field(default_factory=list)

    def update(self, wanted: tuple[DataDisk, ...]) -> list[str]:
        """Attach and detach until the disks are those; returns what was done."""
        done = []
        by_device = {disk.device: disk for disk in wanted}
        for device, disk in list(self.attached.items()):
            if by_device.get(device) != disk:
                self._detach(disk)
                done.append(f"sd {disk.lun}:0:0:0: [{device}] detached")
        for device, disk in by_device.items():
            if device not in self.attached:
                self._attach(disk)
                done.append(f"sd {disk.lun}:0:0:0: [{device}] Attached SCSI disk")
        return done

    def _attach(self, disk: DataDisk) -> None:
        node = f"/dev/{disk.device}"
        Path(node).touch()
        place = self.outside.directory.machine(self.outside.machine.key).devices / disk.device
        try:
            source = Path(self.outside.do(lambda: str(_node(place))))
            self.outside.attach(source, node, kernel.ATTRIBUTE_NODEV | kernel.ATTRIBUTE_RDONLY)
        except OSError as error:
            self.notes.append(f"{node} is no block device: {error}")
        self.attached[disk.device] = disk
        for pattern in _LINKS:
            _link(pattern.format(lun=disk.lun), node)
        self._link_file_system(disk)

    def _link_file_system(self, disk: DataDisk) -> None:
        found = self.file_system(disk)
        if found is not None:
            _link(f"/dev/disk/by-uuid/{found['uuid']}", f"/dev/{disk.device}")
            if found.get("label"):
                _link(f"/dev/disk/by-label/{found['label']}", f"/dev/{disk.device}")

    def _detach(self, disk: DataDisk) -> None:
        node = Path(f"/dev/{disk.device}")
        with contextlib.suppress(OSError):
            kernel.unmount(node, kernel.MNT_DETACH)
        node.unlink(missing_ok=True)
        for directory in ("azure/scsi1", "azure/data/by-lun", "by-uuid", "by-label"):
            for link in Path("/dev/disk", directory).glob("*"):
                if link.is_symlink() and os.readlink(link).endswith(disk.device):  # noqa: PTH115 (text, not a path)
                    link.unlink()
        del self.attached[disk.device]

    # -- file systems ------------------------------------------------------------------------------------------------

    def find(self, source: str) -> DataDisk | None:
        """The disk that a device, UUID= or LABEL= means."""
        tag, separator, value = source.partition("=")
        if separator and tag in ("UUID", "LABEL"):
            for disk in self.attached.values():
                found = self.file_system(disk)
                if found is not None and found.get(tag.lower()) == value.strip('"'):
                    return disk
            return None
        device = os.path.realpath(source).removeprefix("/dev/")
        return self.attached.get(device) or self.attached.get(device.rstrip("0123456789"))

    def file_system(self, disk: DataDisk) -> dict[str, Any] | None:
        """Type, UUID and label of what is on a disk; None for a blank one."""
        file = self._place(disk) / "filesystem.json"
        text = self.outside.do(lambda: file.read_text() if file.exists() else "")
        return dict(json.loads(text)) if text else None

    def make(self, source: str, kind: str, *, label: str = "", force: bool = False, identity: str = "") -> str:
        """Make a file system; returns why not, or nothing."""
        disk = self.find(source)
        if disk is None:
            return f"The file {source} does not exist and no size was specified."
        if kind not in KINDS:
            return f"{kind} is no file system that a guest can make; there are {', '.join(KINDS)}"
        if not force and self.file_system(disk) is not None:
            return f"{source} contains a file system already"
        place = self._place(disk)
        document = {"type": kind, "uuid": identity or str(uuid.uuid4()), "label": label}

        def make() -> str:
            shutil.rmtree(place / "data", ignore_errors=True)
            (place / "data").mkdir(parents=True)
            (place / "filesystem.json").write_text(json.dumps(document))
            return ""

        self.outside.do(make)
        self._link_file_system(disk)
        return ""

    def wipe(self, disk: DataDisk) -> None:
        """Make a disk blank again."""
        place = self._place(disk)

        def wipe() -> str:
            (place / "filesystem.json").unlink(missing_ok=True)
            shutil.rmtree(place / "data", ignore_errors=True)
            return ""

        self.outside.do(wipe)

    def content(self, disk: DataDisk) -> Path:
        """Where the files of a disk are, outside."""
        return self._place(disk) / "data"

    def _place(self, disk: DataDisk) -> Path:
        return self.outside.directory.disk(disk.key)


def _node(own: Path) -> Path:
    """The node made for the disk or, where none could be made, any block device: it is mounted so that it opens not."""
    if own.exists():
        return own
    for path in sorted(Path("/dev").iterdir()):
        with contextlib.suppress(OSError):
            if stat.S_ISBLK(path.stat().st_mode):
                return path
    message = "this machine has no block device that could stand for it"
    raise OSError(0, message)


def _link(path: str, target: str) -> None:
    link = Path(path)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))
