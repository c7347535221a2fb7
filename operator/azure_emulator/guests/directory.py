"""Where guests keep what must outlive them: one directory, with a place for each machine, disk and share.

Only paths; what is in the files, other modules say.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path


def key_of(name: str, *identity: str) -> str:
    """A file name for a resource: readable, and different for whatever differs in `identity`."""
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", name)[:40]
    return f"{readable}-{hashlib.sha256('|'.join(identity).lower().encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Directory:
    """Layout of the directory given by `--guests`."""

    root: Path

    @property
    def addresses(self) -> Path:
        """Loopback address of each machine, kept stable."""
        return self.root / "addresses.json"

    @property
    def disks(self) -> Path:
        """Managed disks, one directory each."""
        return self.root / "disks"

    @property
    def shares(self) -> Path:
        """Volumes and file systems, one directory each."""
        return self.root / "shares"

    @property
    def machines(self) -> Path:
        """Machines, one directory each."""
        return self.root / "machines"

    def machine(self, key: str) -> MachineDirectory:
        """The place of one machine."""
        return MachineDirectory(self.machines / key)

    def disk(self, key: str) -> Path:
        """The place of one disk: `data` is its content."""
        return self.disks / key

    def share(self, key: str) -> Path:
        """The place of one share."""
        return self.shares / key


@dataclass(frozen=True)
class MachineDirectory:
    """The place of one machine."""

    root: Path

    @property
    def description(self) -> Path:
        """What the machine is: name, addresses, disks, user-data."""
        return self.root / "machine.json"

    @property
    def console(self) -> Path:
        """Log of the serial console."""
        return self.root / "console.log"

    @property
    def temporary_disk(self) -> Path:
        """What is lost when the machine is deallocated."""
        return self.root / "temporary"

    @property
    def control(self) -> Path:
        """Holds the socket on which the guest's first process listens."""
        return self.root / "control"

    @property
    def devices(self) -> Path:
        """Device nodes of disks."""
        return self.root / "devices"
