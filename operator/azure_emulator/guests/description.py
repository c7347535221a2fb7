"""What a guest is told of itself: the contents of machine.json, written by the emulator, read inside.

Plain data; knows neither ARM nor Linux.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

METADATA_ADDRESS = "169.254.169.254"
PLATFORM_ADDRESS = "168.63.129.16"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Interface:
    """One network interface."""

    address: str
    prefix: int
    gateway: str


@dataclass(frozen=True)
class DataDisk:
    """One attached disk: its place among the disks, and the name of its device."""

    lun: int
    key: str

    @property
    def device(self) -> str:
        """Name below /dev: a and b are the system's and the temporary disk."""
        number = self.lun + 2
        return f"sd{_LETTERS[number]}" if number < len(_LETTERS) else f"sda{_LETTERS[number - len(_LETTERS)]}"


@dataclass(frozen=True)
class Machine:
    """One virtual machine."""

    id: str
    key: str
    name: str
    host_name: str
    instance_id: str
    os_disk: str
    location: str = ""
    size: str = ""
    network: str = ""
    gateways: tuple[str, ...] = ()  # with prefix length: the first address of each subnet of the network
    interfaces: tuple[Interface, ...] = ()
    data_disks: tuple[DataDisk, ...] = ()
    temporary_disk: bool = True
    user_data: str = ""  # base64, as the client sent it
    admin: str = ""
    admin_password: str = ""
    admin_keys: tuple[str, ...] = ()
    trust: str = ""  # a certificate, as PEM
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Primary private address."""
        return self.interfaces[0].address if self.interfaces else ""

    def write(self, path: Path) -> None:
        """Keep it in a file that only the owner reads: user-data may be confidential."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it back."""
        document = json.loads(path.read_text())
        document["interfaces"] = tuple(Interface(**item) for item in document["interfaces"])
        document["data_disks"] = tuple(DataDisk(**item) for item in document["data_disks"])
        document["admin_keys"] = tuple(document["admin_keys"])
        document["gateways"] = tuple(document["gateways"])
        return cls(**document)
