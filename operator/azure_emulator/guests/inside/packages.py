"""Packages in a guest: installed are those that the host has, and no others can be.

Asks the host's package database; `apt-get install` of what is there succeeds, of what is not fails as it would for want
of an archive.
"""

from __future__ import annotations

import fnmatch
import subprocess
from dataclasses import dataclass
from pathlib import Path

_DPKG = Path("/var/lib/dpkg/status")


@dataclass(frozen=True)
class Missing:
    """A package, or a version of it, that the host does not have."""

    name: str
    reason: str


def installed() -> dict[str, str] | None:
    """Versions of the packages of a host with dpkg; None on others."""
    if not _DPKG.exists():
        return None
    found: dict[str, str] = {}
    name, state = "", ""
    for line in _DPKG.read_text(errors="replace").splitlines():
        if line.startswith("Package: "):
            name = line[9:]
        elif line.startswith("Status: "):
            state = line[8:]
        elif line.startswith("Version: ") and state == "install ok installed":
            found[name] = line[9:]
    return found


def missing(wanted: list[str]) -> list[Missing]:
    """Those that are not there; `name=version*` asks for a version too."""
    known = installed()
    if known is None:
        return _missing_rpms(wanted)
    found = []
    for item in wanted:
        name, _, version = item.partition("=")
        name = name.partition(":")[0]
        if name not in known:
            found.append(Missing(item, "it is not installed on the host"))
        elif version and not fnmatch.fnmatch(known[name], version):
            found.append(Missing(item, f"the host has version {known[name]}"))
    return found


def _missing_rpms(wanted: list[str]) -> list[Missing]:
    found = []
    for name in wanted:
        try:
            done = subprocess.run(  # noqa: S603 (a package's name)
                ["/usr/bin/rpm", "-q", "--whatprovides", name], capture_output=True, check=False
            )
        except OSError:
            return [Missing(item, "the host has neither dpkg nor rpm") for item in wanted]
        if done.returncode != 0:
            found.append(Missing(name, "it is not installed on the host"))
    return found
