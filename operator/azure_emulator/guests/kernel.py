"""The few calls of Linux that Python 3.11 has no function for: namespaces, mounts, signals on a parent's death.

Knows nothing of guests. Every function raises OSError with what the kernel said.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
ATTRIBUTE_RDONLY = 1
ATTRIBUTE_NODEV = 4

# These three have the same number on every architecture; pivot_root is older than that rule.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )  # fmt: skip


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _call(number: int, what: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    converted = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *converted), what)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Enter the namespace that a descriptor refers to."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def mount(source: str | None, target: str | Path, kind: str | None = None, flags: int = 0, data: str = "") -> None:
    """Mount."""
    _check(
        _libc.mount(
            source.encode() if source is not None else None,
            os.fsencode(target),
            kind.encode() if kind is not None else None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        f"mount {source or ''} on {target}",
    )


def bind(source: str | Path, target: str | Path, *, recursive: bool = False) -> None:
    """Show a file or directory in another place as well."""
    mount(str(source), target, None, MS_BIND | (MS_REC if recursive else 0))


def set_attributes(target: str | Path, attributes_set: int) -> None:
    """Make a mount and all below it read-only, or without devices."""
    attributes = _MountAttributes(set=attributes_set)
    buffer = (ctypes.c_char * ctypes.sizeof(attributes)).from_buffer(attributes)
    _call(
        _SYS_MOUNT_SETATTR, f"mount_setattr {target}", _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, buffer,
        ctypes.sizeof(attributes),
    )  # fmt: skip


def unmount(target: str | Path, flags: int = 0) -> None:
    """Unmount."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and show the former root at `old`."""
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(0, f"guests are not known to work on {os.uname().machine}")
    _call(number, "pivot_root", os.fsencode(new), os.fsencode(old))


def open_tree(path: str | Path) -> int:
    """Take a copy of the mount at a path, attached nowhere yet."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    return _call(_SYS_OPEN_TREE, f"open_tree {path}", _AT_FDCWD, os.fsencode(path), flags)


def move_mount(descriptor: int, target: str | Path) -> None:
    """Attach what `open_tree` took."""
    _call(
        _SYS_MOVE_MOUNT, f"move_mount {target}", descriptor, b"", _AT_FDCWD, os.fsencode(target),
        _MOVE_MOUNT_F_EMPTY_PATH,
    )  # fmt: skip


def die_with_parent() -> None:
    """Be killed when the parent ends, however it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl")


def set_name(name: str) -> None:
    """Be shown under a name by ps and top."""
    _check(_libc.prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0), "prctl")
