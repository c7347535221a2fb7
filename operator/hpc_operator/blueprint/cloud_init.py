"""Renders user-data: what a machine does at its first boot, as cloud-config with references in it.

Pure. Knows how cloud-init wants things written, and what all machines have in common; what a machine is for, its own
module says. No secret is ever in here: user-data can be read by whoever may read the machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Final

from hpc_operator.blueprint.scripts import script
from hpc_operator.blueprint.vocabulary import MountPoint
from hpc_operator.graph import NodeName, Ref, Text
from hpc_operator.slurm.configuration import CONTROLLER_PORT

ADMIN: Final = "hpcadmin"
# Not in /home: a storage tier that is mounted there would hide it, and the administrators' keys with it.
_ADMIN_HOME: Final = f"/var/lib/{ADMIN}"

SLURM_VERSION: Final = "25.11.5"
"""The version in Microsoft's package repositories that Azure/cyclecloud-slurm installs too (its README, 2026-07)."""

_ENVIRONMENT_FILE: Final = "/etc/azurehpc/environment"
_BOOT_SCRIPT: Final = "/usr/local/sbin/azurehpc-boot"

Part = str | Ref | NodeName

# Written by hand and not by a YAML library: people read user-data, and a library takes 4 ms for each of a thousand.
_NEXT_LINE: Final = "\n    "
_HEAD: Final = f"""#cloud-config
user:
  name: {ADMIN}
  homedir: {_ADMIN_HOME}
write_files:
- path: {_ENVIRONMENT_FILE}
  permissions: '0644'
  content: |
    """
_TAIL: Final = """
- path: {path}
  permissions: '0755'
  content: |
    {lines}
runcmd:
- - {path}
"""


def boot(role: str, settings: Mapping[str, Part], mounts: Iterable[MountPoint] = ()) -> Text:
    """Return the user-data of a machine, encoded as `customData` wants it.

    Parameters
    ----------
    role
        Name of the role's script.
    settings
        Shell variables of the role's script.
    mounts
        What to mount; a path inside of another one is mounted after it.
    """
    common: dict[str, Part] = {"SLURM_VERSION": SLURM_VERSION, "CONTROLLER_PORT": str(CONTROLLER_PORT)}
    assignments = [_assignment(key, value) for key, value in (common | dict(settings)).items()]
    content: list[Part] = [part for line in assignments for part in line]
    content += _mount_function(sorted(mounts, key=lambda mount: mount.path))
    return Text((_HEAD, *_indented(content), _boot_script(role)), base64=True)


def _indented(content: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts of a text as they stand in a block scalar, where its first line is indented already."""
    for part in content:
        yield part.replace("\n", _NEXT_LINE) if isinstance(part, str) else part


@cache
def _boot_script(role: str) -> str:
    """Return the end of the user-data, which all machines of a role have in common."""
    text = f"{script('common')}\n{script(role)}"
    return _TAIL.format(path=_BOOT_SCRIPT, lines=text.rstrip("\n").replace("\n", _NEXT_LINE))


def _assignment(key: str, value: Part) -> tuple[Part, ...]:
    """Return a line of shell. What Azure fills in (addresses, URLs, UUIDs) has no quotes in it."""
    return (f"{key}={shlex.quote(value)}\n",) if isinstance(value, str) else (f"{key}='", value, "'\n")


def _mount_function(mounts: list[MountPoint]) -> list[Part]:
    lines: list[Part] = ["mount_tiers() {\n"]
    for mount in mounts:
        lines.append("    mount_tier ")
        for part in mount.source.parts:
            # Shell joins quoted pieces that stand side by side into one word.
            lines += [shlex.quote(part)] if isinstance(part, str) else ["'", part, "'"]
        lines.append(f" {shlex.quote(mount.path)} {shlex.quote(mount.type)} {shlex.quote(mount.options)}\n")
    return [*lines, "    :\n}"]
