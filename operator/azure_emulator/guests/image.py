"""What is on a fresh OS disk: the machine's own Linux, without what makes this machine this one.

The image is what any user of the host may read of /etc, without identity (names, keys, mounts, enabled services), and
the empty directories that packages made for their daemons. So a package is "in the image" if the host has it.
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path

# Names below /etc that say which machine this is or what somebody configured on it.
_IDENTITY = frozenset({
    ".git", ".pwd.lock", "adjtime", "cloud", "cron.d", "cron.daily", "cron.hourly", "cron.monthly", "cron.weekly",
    "crontab", "docker", "fstab", "hostname", "hosts", "kubernetes", "machine-id", "mtab", "munge", "netplan",
    "network", "NetworkManager", "resolv.conf", "shadow", "shadow-", "gshadow", "gshadow-", "slurm", "slurm-llnl",
    "ssh", "sudoers", "sudoers.d", "udev", "wireguard",
})  # fmt: skip
# Links that say which services start on the host.
_ENABLED = (".wants", ".requires")
# Where Debian's packages put directories for their daemons.
_PACKAGE_DIRECTORIES = ("var/lib", "var/log", "var/cache", "var/spool", "etc/munge", "etc/slurm")
_EMPTY = {
    "boot": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "media": 0o755, "mnt": 0o755, "proc": 0o555,
    "root": 0o700, "run": 0o755, "srv": 0o755, "sys": 0o555, "tmp": 0o1777, "var": 0o755, "var/backups": 0o755,
    "var/cache": 0o755, "var/lib": 0o755, "var/lib/dpkg": 0o755, "var/local": 0o775, "var/log": 0o755,
    "var/mail": 0o775, "var/opt": 0o755, "var/spool": 0o755, "var/spool/cron": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_MARKER = ".image"
# Ids of people begin here (login.defs of every distribution).
_FIRST_PERSON = 1000


def is_fresh(root: Path) -> bool:
    """Whether nothing has been put on this disk yet."""
    return not (root / _MARKER).exists()


def install(root: Path, directories: tuple[PackageDirectory, ...], source: Path = Path("/")) -> None:
    """Put the image on an empty disk.

    Parameters
    ----------
    root
        Where the disk is.
    directories
        What packages made for their daemons.
    source
        Root of the system to take.
    """
    for name, mode in _EMPTY.items():
        directory = root / name
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(mode)
    for name, target in {"var/run": "/run", "var/lock": "/run/lock"}.items():
        if not (root / name).is_symlink():
            (root / name).symlink_to(target)
    _copy(source / "etc", root / "etc", _IDENTITY)
    _accounts(root)
    for packaged in directories:
        _make(root, packaged)
    (root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    (root / "etc/fstab").write_text("# <file system> <mount point> <type> <options> <dump> <pass>\n")
    (root / "etc/sudoers").write_text("root ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n")
    (root / "etc/sudoers").chmod(0o440)
    (root / "etc/sudoers.d").mkdir(mode=0o750, exist_ok=True)
    (root / "etc/ssh").mkdir(exist_ok=True)
    (root / _MARKER).touch()


def _copy(source: Path, target: Path, without: frozenset[str] = frozenset()) -> None:
    """Copy what anybody may read; what is for certain eyes only is what makes the host this host."""
    target.mkdir(exist_ok=True)
    for entry in os.scandir(source):
        mode = entry.stat(follow_symlinks=False).st_mode
        if entry.name in without or entry.name.endswith(_ENABLED):
            continue
        copy = target / entry.name
        if stat.S_ISLNK(mode):
            copy.symlink_to(Path(entry.path).readlink())
        elif stat.S_ISDIR(mode) and mode & 0o001:
            _copy(Path(entry.path), copy)
            shutil.copystat(entry.path, copy)
        elif stat.S_ISREG(mode) and mode & 0o004:
            shutil.copy2(entry.path, copy)


def _accounts(root: Path) -> None:
    """The host's people are not on the image, its system accounts are; nobody has a password."""
    kept: list[str] = []
    for line in (root / "etc/passwd").read_text().splitlines():
        name, _, number, *_ = line.split(":")
        if int(number) < _FIRST_PERSON or name == "nobody":
            kept.append(line)
    people = {line.split(":")[0] for line in (root / "etc/passwd").read_text().splitlines()} - {
        line.split(":")[0] for line in kept
    }
    groups = []
    for line in (root / "etc/group").read_text().splitlines():
        name, password, number, members = line.split(":")
        if int(number) >= _FIRST_PERSON and name not in ("nogroup", "nobody"):
            continue
        left = ",".join(member for member in members.split(",") if member not in people)
        groups.append(f"{name}:{password}:{number}:{left}")
    (root / "etc/passwd").write_text("\n".join(kept) + "\n")
    (root / "etc/group").write_text("\n".join(groups) + "\n")
    for backup in ("etc/passwd-", "etc/group-", "etc/subuid", "etc/subgid", "etc/subuid-", "etc/subgid-"):
        (root / backup).unlink(missing_ok=True)
    (root / "etc/shadow").write_text("".join(f"{line.split(':')[0]}:*:19000:0:99999:7:::\n" for line in kept))
    (root / "etc/gshadow").write_text("".join(f"{line.split(':')[0]}:*::\n" for line in groups))
    for name in ("etc/shadow", "etc/gshadow"):
        (root / name).chmod(0o640)


@dataclass(frozen=True)
class PackageDirectory:
    """A directory that a package made for its daemon."""

    path: str
    mode: int
    user: int
    group: int


def package_directories(source: Path = Path("/")) -> tuple[PackageDirectory, ...]:
    """Those of a system; asked for while their owners are seen as they are, as they may not be in a user namespace."""
    found = []
    for name in _PACKAGE_DIRECTORIES:
        directory = source / name
        if not directory.is_dir():
            continue
        paths = [directory]
        if os.access(directory, os.R_OK | os.X_OK):
            inner = (Path(entry.path) for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False))
            paths += sorted(path for path in inner if path.name != "dpkg")
        for path in paths:
            status = path.stat()
            mode = stat.S_IMODE(status.st_mode)
            found.append(PackageDirectory(str(path.relative_to(source)), mode, status.st_uid, status.st_gid))
    return tuple(found)


def _make(root: Path, directory: PackageDirectory) -> None:
    target = root / directory.path
    target.mkdir(parents=True, exist_ok=True)
    try:
        os.chown(target, directory.user, directory.group)
    except OSError:
        # Only root exists in a guest of a user without a range of ids: everything is root's.
        return
    target.chmod(directory.mode)
