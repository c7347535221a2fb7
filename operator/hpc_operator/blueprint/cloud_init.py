"""Renders user-data: what a machine does at its first boot, as cloud-config with references in it.

Pure. Knows how cloud-init wants things written, and what all machines have in common; what a machine is for, its own
module says. No secret is ever in here: user-data can be read by whoever may read the machine.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

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


@dataclass(frozen=True)
class _File:
    path: str
    content: tuple[Part, ...]
    permissions: str


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
    return _render(
        [
            _File(_ENVIRONMENT_FILE, tuple(content), "0644"),
            _File(_BOOT_SCRIPT, (f"{script('common')}\n{script(role)}",), "0755"),
        ]
    )


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
    return [*lines, "    :\n}\n"]


def _render(files: list[_File]) -> Text:
    """Write cloud-config with a token for each reference, then put the references where the tokens are.

    A token holds a hash of all literal text, so that no text a user wrote can look like one.
    """
    literals = "\0".join(part for file in files for part in file.content if isinstance(part, str))
    mark = hashlib.sha256(literals.encode()).hexdigest()[:16]
    tokens: dict[str, Ref | NodeName] = {}

    def written(part: Part) -> str:
        if isinstance(part, str):
            return part
        token = f"{mark}-{len(tokens)}-"
        tokens[token] = part
        return token

    config: dict[str, Any] = {
        "user": {"name": ADMIN, "homedir": _ADMIN_HOME},
        "write_files": [
            {
                "path": file.path,
                "permissions": file.permissions,
                "content": "".join(written(part) for part in file.content),
            }
            for file in files
        ],
        "runcmd": [[_BOOT_SCRIPT]],
    }
    text = "#cloud-config\n" + yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=float("inf"))
    pieces = re.split(f"({mark}-[0-9]+-)", text)
    return Text(tuple(tokens.get(piece, piece) for piece in pieces if piece), base64=True)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are, so that people can read user-data."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
