"""What a guest sees of the machine it runs on: the file system and the devices of its sandbox.

Runs in the guest's first process, before anything of the guest does. The root file system is the VM's OS disk; /usr and
/opt are the host's with the guest's own changes on top (an overlay; read-only where the kernel has none to offer).
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from azure_emulator.guests import client, image, kernel
from azure_emulator.guests.description import Machine
from azure_emulator.guests.directory import Directory
from azure_emulator.guests.image import PackageDirectory
from azure_emulator.guests.network import IP_COMMAND

# What stands beside the VM's own files: the emulator's tools and the socket of its first process.
TOOLS = "/run/azure-emulator"
REAL = f"{TOOLS}/real"

# Commands that a guest answers for itself, because there is no systemd, no block device and no package archive in it.
STAND_INS = (
    "systemctl", "journalctl", "hostnamectl", "timedatectl", "reboot", "poweroff", "halt", "shutdown", "cloud-init",
    "mount", "findmnt", "blkid", "mkfs", "mkfs.ext4", "mkfs.ext3", "mkfs.ext2", "mkfs.xfs", "mkfs.btrfs", "mke2fs",
    "resize2fs", "xfs_growfs", "lsblk", "wipefs",
)  # fmt: skip
# Those that are there only where the host has them: scripts tell by them which Linux this is.
PACKAGE_MANAGERS = ("apt-get", "apt", "dnf", "yum")
# Those of the above that hand over to the real command for what is not about disks and storage tiers.
HANDED_OVER = ("mount", "findmnt", "blkid", "lsblk", "wipefs")

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_READ_ONLY_PROC = ("sys", "sysrq-trigger", "irq", "bus")
# Numbers that Linux keeps for local use: no driver answers there, so a disk's node is a block device and nothing more.
_LOCAL_MAJOR = 240
_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def missing() -> str | None:
    """Why there can be no guests on this machine, as far as that can be told without trying."""
    if sys.platform != "linux":
        return f"guests need Linux, and this is {sys.platform}"
    if not Path(IP_COMMAND).exists():
        return f"guests need the command {IP_COMMAND}: install the package iproute2"
    if not Path("/proc/self/ns/user").exists():
        return "guests need user namespaces, and this kernel has none (CONFIG_USER_NS)"
    return None


def refused(error: OSError) -> str:
    """What to do where the kernel refuses."""
    if error.errno == errno.ENOSPC:
        return "guests need user namespaces: set the sysctl user.max_user_namespaces higher than it is"
    advice = "run the emulator as root"
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.exists() and restricted.read_text().strip() == "1":
        advice += f", or set the sysctl {restricted.relative_to('/proc/sys').as_posix().replace('/', '.')} to 0"
    if os.geteuid() == 0:
        advice = "in a container, start it with --privileged, or let it have its own /proc and CAP_SYS_ADMIN"
    return f"guests need namespaces, and the kernel refused them ({error}): {advice}"


def map_subordinate_ids(pid: int, user: int, group: int) -> bool:
    """Give a process's new user namespace a system's worth of ids; False where the host has set aside none."""
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        return False
    for command, file, own in (("newgidmap", "/etc/subgid", group), ("newuidmap", "/etc/subuid", user)):
        found = _subordinate_range(Path(file), name, user)
        if found is None or shutil.which(command) is None:
            return False
        first, count = found
        arguments = [command, str(pid), "0", str(own), "1", "1", str(first), str(count)]
        if subprocess.run(arguments, capture_output=True, check=False).returncode != 0:  # noqa: S603 (numbers)
            return False
    return True


def _subordinate_range(file: Path, name: str, number: int) -> tuple[int, int] | None:
    if not file.exists():
        return None
    for line in file.read_text().splitlines():
        owner, _, rest = line.partition(":")
        if owner in (name, str(number)):
            first, _, count = rest.partition(":")
            return int(first), int(count)
    return None


@dataclass(frozen=True)
class Outside:
    """A guest's way to its disks and shares, which it does not see until they are mounted."""

    directory: Directory
    machine: Machine
    namespace: int
    inner: int
    notes: tuple[str, ...] = ()

    def do(self, action: Callable[[], str]) -> str:
        """Run something where the whole of the host's file system is seen; raises OSError with what went wrong."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._child(writing, action)
        os.close(writing)
        with open(reading, "rb") as pipe:  # noqa: PTH123 (a descriptor)
            answer = pipe.read().decode()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
        if answer.startswith("!"):
            number, _, text = answer[1:].partition(" ")
            raise OSError(int(number), text)
        return answer[1:]

    def _child(self, writing: int, action: Callable[[], str]) -> NoReturn:
        try:
            kernel.setns(self.namespace, kernel.CLONE_NEWNS)
            os.write(writing, f"+{action()}".encode())
        except OSError as error:
            os.write(writing, f"!{error.errno or 0} {error.strerror or error}".encode())
        finally:
            os._exit(0)

    def attach(self, source: Path, target: str, attributes: int = 0) -> None:
        """Mount a file or directory of the host in the guest."""

        def attach() -> str:
            tree = kernel.open_tree(source)
            kernel.setns(self.inner, kernel.CLONE_NEWNS)
            kernel.move_mount(tree, target)
            if attributes:
                kernel.set_attributes(target, attributes)
            return ""

        self.do(attach)


def prepare_outside(directory: Directory, machine: Machine) -> None:
    """Make the directories and device nodes of a machine; as the keeper, which may make nodes if anybody may."""
    place = directory.machine(machine.key)
    for path in (place.temporary_disk, place.control, place.devices, directory.disk(machine.os_disk)):
        path.mkdir(parents=True, exist_ok=True)
    for private in (directory.disks, directory.machines, directory.shares):
        private.chmod(0o700)
    for disk in machine.data_disks:
        prepare_device(directory, machine, disk.device)


def prepare_device(directory: Directory, machine: Machine, name: str) -> None:
    """Make the node of a data disk; without the right to, there is none, and the guest takes another one's."""
    node = directory.machine(machine.key).devices / name
    with contextlib.suppress(PermissionError, FileExistsError):
        os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(_LOCAL_MAJOR, int.from_bytes(name.encode()) % 256))


def enter(directory: Directory, machine: Machine, packaged: tuple[PackageDirectory, ...]) -> Outside:
    """Build the guest's file system and go there for good."""
    place, disk = directory.machine(machine.key), directory.disk(machine.os_disk)
    root = disk / "root"
    root.mkdir(exist_ok=True)
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    if image.is_fresh(root):
        image.install(root, packaged)
    console = os.open(place.console, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    kernel.unshare(kernel.CLONE_NEWNS)
    socket.sethostname(machine.host_name)
    kernel.bind(root, root)
    notes = _system(root, disk)
    _own(root, place.temporary_disk if machine.temporary_disk else None)
    _proc(root)
    _dev(root)
    _tools(root, place.control)
    _pivot(root)
    _standard_streams(console)
    inner = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    return Outside(directory, machine, outside, inner, tuple(notes))


def _system(root: Path, disk: Path) -> list[str]:
    """The host's programs, as a base that the guest may change for itself."""
    notes = []
    for name in ("usr", "opt"):
        source, target = Path("/") / name, root / name
        target.mkdir(exist_ok=True)
        if not source.is_dir():
            continue
        upper, work = disk / name / "upper", disk / name / "work"
        for path in (upper, work):
            path.mkdir(parents=True, exist_ok=True)
        paths = {"lowerdir": source, "upperdir": upper, "workdir": work}
        data = ",".join(f"{key}={_escaped(path)}" for key, path in paths.items())
        try:
            kernel.mount("overlay", target, "overlay", 0, f"{data},userxattr")
        except OSError as error:
            kernel.bind(source, target, recursive=True)
            kernel.set_attributes(target, kernel.ATTRIBUTE_RDONLY)
            notes.append(f"/{name} is read-only in this guest: {error}")
    if not os.access(root / "usr/local", os.W_OK):
        # A read-only /usr, or one whose owner does not exist in this guest: what administrators put there has a place.
        local = disk / "usr-local"
        for inner in ("bin", "sbin", "lib", "etc", "share"):
            (local / inner).mkdir(parents=True, exist_ok=True)
        kernel.bind(local, root / "usr/local")
    for name in _SYSTEM_LINKS:
        source, target = Path("/") / name, root / name
        if source.is_symlink():
            if not target.is_symlink():
                target.symlink_to(source.readlink())
        elif source.is_dir():
            target.mkdir(exist_ok=True)
            kernel.bind(source, target, recursive=True)
            kernel.set_attributes(target, kernel.ATTRIBUTE_RDONLY)
    return notes


def _escaped(path: Path) -> str:
    text = str(path)
    for character in "\\,:":
        text = text.replace(character, f"\\{character}")
    return text


def _own(root: Path, temporary_disk: Path | None) -> None:
    for entry in os.scandir(root / "tmp"):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)  # noqa: PTH108 (an entry)
    if temporary_disk is not None:
        kernel.bind(temporary_disk, root / "mnt")
    kernel.mount("tmpfs", root / "run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    (root / "run/lock").mkdir(mode=0o1777)
    (root / "run/lock").chmod(0o1777)
    if Path("/var/lib/dpkg").is_dir():
        kernel.bind("/var/lib/dpkg", root / "var/lib/dpkg")
        kernel.set_attributes(root / "var/lib/dpkg", kernel.ATTRIBUTE_RDONLY)


def _proc(root: Path) -> None:
    kernel.mount("proc", root / "proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    for name in _READ_ONLY_PROC:
        path = root / "proc" / name
        if path.exists():
            kernel.bind(path, path)
            kernel.set_attributes(path, kernel.ATTRIBUTE_RDONLY)
    try:
        kernel.mount("sysfs", root / "sys", "sysfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        # To look at: slurmd does not start where there are no control groups at all, though it may well not use them.
        kernel.bind("/sys/fs/cgroup", root / "sys/fs/cgroup", recursive=True)
    except OSError:
        # Where something of /sys is hidden from us (in a container), a new one may not be mounted: the old one will do.
        kernel.bind("/sys", root / "sys", recursive=True)
    kernel.set_attributes(root / "sys", kernel.ATTRIBUTE_RDONLY)


def _dev(root: Path) -> None:
    dev = root / "dev"
    kernel.mount("tmpfs", dev, "tmpfs", kernel.MS_NOSUID, "mode=755,size=64k")
    for name in _DEVICES:
        (dev / name).touch()
        kernel.bind(Path("/dev") / name, dev / name)
    for name in ("pts", "shm", "mqueue"):
        (dev / name).mkdir()
    kernel.mount(
        "devpts", dev / "pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"
    )
    kernel.mount("shm", dev / "shm", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
             "stderr": "/proc/self/fd/2"}  # fmt: skip
    for name, link in links.items():
        (dev / name).symlink_to(link)


def python_home() -> Path | None:
    """Where this Python is, if guests would not see it; None where the host has one in /usr."""
    return None if Path("/usr/bin/python3").exists() else Path(sys.base_prefix)


def _tools(root: Path, control: Path) -> None:
    """Put the stand-ins in the place of the commands, and keep those that they hand over to."""
    tools = root / TOOLS.lstrip("/")
    real = root / REAL.lstrip("/")
    real.mkdir(parents=True)
    (tools / "control").mkdir()
    kernel.bind(control, tools / "control")
    python, home = "/usr/bin/python3", python_home()
    if home is not None:
        (tools / "python").mkdir()
        kernel.bind(home, tools / "python", recursive=True)
        kernel.set_attributes(tools / "python", kernel.ATTRIBUTE_RDONLY)
        python = f"{TOOLS}/python/bin/python3"
    script = tools / "client"
    script.write_text(f"#!{python} -ISE\n{Path(client.__file__).read_text()}")
    script.chmod(0o755)
    for name in HANDED_OVER:
        found = next((path for path in _places(root, name) if path.exists()), None)
        if found is not None:
            (real / name).touch()
            kernel.bind(os.path.realpath(found), real / name)
    covered: set[str] = set()
    for name in (*STAND_INS, *PACKAGE_MANAGERS):
        places = _places(root, name)
        existing = [path for path in places if path.exists()]
        if not existing and name not in PACKAGE_MANAGERS:
            with contextlib.suppress(OSError):  # a read-only /usr: the command is not there, and says so when called
                places[0].touch()
                existing = [places[0]]
        for path in existing:
            target = os.path.realpath(path)
            # Links lead out of the sandbox as long as we are not in it: take them as they will be.
            if not target.startswith(f"{root}/"):
                target = f"{root}{target}"
            if target not in covered:
                covered.add(target)
                kernel.bind(script, target)


def _places(root: Path, name: str) -> list[Path]:
    return [root / directory / name for directory in ("usr/bin", "usr/sbin", "bin", "sbin")]


def _pivot(root: Path) -> None:
    os.chdir(root)
    kernel.pivot_root(".", ".")
    kernel.unmount(".", kernel.MNT_DETACH)
    os.chdir("/")


def _standard_streams(console: int) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    for number in (1, 2):
        os.dup2(console, number)
    for descriptor in (null, console):
        if descriptor > 2:  # noqa: PLR2004 (the standard streams)
            os.close(descriptor)


def rehearse(root: Path) -> None:
    """Try, in a guest's namespaces, what some machines do not allow: a /proc of one's own."""
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", root, "proc")
