"""The keeper: a small process between the emulator and its guests, from which every guest is forked.

It makes namespaces and networks, starts and kills the first process of each guest, and hands out sockets that live in
guests' networks. It ends when its control socket does, that is when the emulator ends, however that ends; guests are
killed by the kernel when the keeper ends, and all processes in a guest when its first one does. Guests are forked, not
executed, so that the Python in each of them is one in memory.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from azure_emulator.guests import image, kernel, network, sandbox
from azure_emulator.guests.description import Interface, Machine
from azure_emulator.guests.directory import Directory
from azure_emulator.guests.image import PackageDirectory
from azure_emulator.guests.inside import first_process, preload
from azure_emulator.guests.network import Network

_NAMESPACES = (
    kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWNET
)  # fmt: skip
_MESSAGE = 65_536
# Seconds after which a child that prepares itself counts as stuck.
_PATIENCE = 20.0


class GuestError(Exception):
    """A guest could not be started; the text is for people."""


@dataclass
class _Guest:
    pid: int
    network: str


@dataclass
class Keeper:
    """State of the keeper process."""

    control: socket.socket
    directory: Directory
    packaged: tuple[PackageDirectory, ...]
    guests: dict[str, _Guest] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the emulator closes the control socket."""
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self.control.fileno(), woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
                self._reap()
            if self.control.fileno() in ready:
                message = self.control.recv(_MESSAGE)
                if not message:
                    return
                self._handle(json.loads(message))

    def _handle(self, message: dict[str, Any]) -> None:
        match message["do"]:
            case "start":
                key = message["key"]
                try:
                    self._start(key)
                except (OSError, GuestError, EOFError) as error:
                    self._tell({"failed": key, "reason": str(error)})
                else:
                    self._tell({"started": key, "pid": self.guests[key].pid})
            case "kill":
                self._kill(message["key"])
            case "network":
                known = self.networks.get(message["network"])
                if known is not None:
                    with contextlib.suppress(OSError):
                        known.know(tuple(message["gateways"]))
            case "socket":
                self._hand_out_socket(message)
            case "devices":
                key = message["key"]
                for name in message["names"]:
                    sandbox.prepare_device(self.directory, Machine.read(self.directory.machine(key).description), name)
                self._tell({"devices": message["devices"]})
            case "remove":
                self._remove(message)

    def _tell(self, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        socket.send_fds(self.control, [json.dumps(message).encode()], descriptors)

    def _reap(self) -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for key, guest in list(self.guests.items()):
                if guest.pid == pid:
                    del self.guests[key]
                    self._leave_network(guest.network)
                    self._tell({"ended": key})

    def _leave_network(self, identity: str) -> None:
        if all(guest.network != identity for guest in self.guests.values()):
            known = self.networks.pop(identity, None)
            if known is not None:
                known.close()

    def _kill(self, key: str) -> None:
        guest = self.guests.get(key)
        if guest is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(guest.pid, signal.SIGKILL)

    def _hand_out_socket(self, message: dict[str, Any]) -> None:
        """Answer with a socket of a guest's own namespace, or of its network's, to listen or to connect with."""
        answer = {"socket": message["socket"]}
        listen = (message["listen"][0], int(message["listen"][1])) if message.get("listen") else None
        try:
            guest = self.guests[message["key"]]
            if message["in"] == "guest":
                descriptor = os.open(f"/proc/{guest.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    made = network.socket_in(descriptor, listen)
                finally:
                    os.close(descriptor)
            else:
                made = network.socket_in(self.networks[guest.network].descriptor, listen)
        except (OSError, KeyError) as error:
            self._tell({**answer, "reason": str(error)})
            return
        with made:
            self._tell(answer, (made.fileno(),))

    def _remove(self, message: dict[str, Any]) -> None:
        """Delete directories, as the root who owns what guests wrote, in a child: it may take a while."""
        child = os.fork()
        if child == 0:
            try:
                for path in message["paths"]:
                    shutil.rmtree(path, ignore_errors=True)
                self._tell({"removed": message["remove"]})
            finally:
                os._exit(0)

    # -- starting ----------------------------------------------------------------------------------------------------

    def _start(self, key: str) -> None:
        place = self.directory.machine(key)
        machine = Machine.read(place.description)
        known = self.networks.get(machine.network)
        if known is None:
            known = self.networks[machine.network] = Network.create()
        known.know(machine.gateways)
        sandbox.prepare_outside(self.directory, machine)
        pid = self._fork(known, machine.interfaces, lambda: self._enter(machine))
        self.guests[key] = _Guest(pid, machine.network)

    def _enter(self, machine: Machine) -> Callable[[], None]:
        outside = sandbox.enter(self.directory, machine, self.packaged)
        return lambda: first_process.main(machine, outside)

    def rehearse(self) -> str | None:
        """Try all that a guest needs, and return why there can be none."""
        root = self.directory.root / "rehearsal"
        root.mkdir(exist_ok=True)

        def enter() -> Callable[[], None]:
            sandbox.rehearse(root)
            return lambda: None

        try:
            known = Network.create()
        except OSError as error:
            return f"guests need network namespaces with bridges and veth devices: {error}"
        try:
            pid = self._fork(known, (Interface("10.0.0.4", 24, "10.0.0.1"),), enter)
            os.waitpid(pid, 0)
        except (OSError, EOFError, GuestError) as error:
            return sandbox.refused(error if isinstance(error, OSError) else OSError(0, str(error)))
        finally:
            known.close()
            root.rmdir()
        return None

    def _fork(self, known: Network, interfaces: tuple[Interface, ...], enter: Callable[[], Callable[[], None]]) -> int:
        """Fork the first process of a guest, by way of a child that makes the namespaces and goes.

        The messages of the channel, in their order: the child has its namespaces; its ids are mapped; the first
        process's id; it watches its parent; its network is there.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_PATIENCE)
        child = os.fork()
        if child == 0:
            ours.close()
            self._child(theirs, enter)
        theirs.close()
        with ours:
            _expect(ours)
            _map_ids(child)
            ours.send(b"mapped")
            pid = int(_expect(ours))
            os.waitpid(child, 0)
            ours.send(b"alone")
            try:
                _expect(ours)
                known.connect(pid, interfaces)
                ours.send(b"connected")
                _expect(ours)
            except (OSError, EOFError, GuestError):
                os.kill(pid, signal.SIGKILL)
                raise
        return pid

    def _child(self, channel: socket.socket, enter: Callable[[], Callable[[], None]]) -> NoReturn:
        """In the child: never returns."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            kernel.unshare(_NAMESPACES)
            channel.send(b"unshared")
            _expect(channel)
            first = os.fork()
            if first:
                channel.send(str(first).encode())
                os._exit(0)
            _close_all_but(channel.fileno())
            _expect(channel)
            kernel.die_with_parent()
            channel.send(b"watching")
            _expect(channel)
            run = enter()
            channel.send(b"ready")
            channel.close()
            run()
        except (OSError, EOFError, GuestError, RuntimeError) as error:
            with contextlib.suppress(OSError):
                channel.send(f"!{error}".encode())
        finally:
            os._exit(1)


def _expect(channel: socket.socket) -> str:
    """The next message; one that begins with ! is why there is no next step."""
    text = channel.recv(_MESSAGE).decode()
    if not text:
        message = "the guest's first process ended before it was ready"
        raise EOFError(message)
    if text.startswith("!"):
        raise GuestError(text[1:])
    return text


def _close_all_but(kept: int) -> None:
    """What the keeper holds (networks, the control socket) must not live on in guests."""
    for path in list(Path("/proc/self/fd").iterdir()):
        number = int(path.name)
        if number > 2 and number != kept:  # noqa: PLR2004 (the standard streams)
            with contextlib.suppress(OSError):
                os.close(number)


def _map_ids(pid: int) -> None:
    """Give a child's user namespace the ids that we have ourselves, each under its own number."""
    for kind in ("gid", "uid"):
        rows = [line.split() for line in Path(f"/proc/self/{kind}_map").read_text().splitlines()]
        Path(f"/proc/{pid}/{kind}_map").write_text("".join(f"{first} {first} {count}\n" for first, _, count in rows))


def become_root() -> None:
    """Where we are not root, become the root of a user namespace of our own.

    With newuidmap and a range in /etc/subuid it has all the ids that a system has, else root only.
    """
    if os.geteuid() == 0:
        return
    user, group = os.getuid(), os.getgid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        ours.close()
        _expect(theirs)
        theirs.send(b"1" if sandbox.map_subordinate_ids(parent, user, group) else b"0")
        os._exit(0)
    theirs.close()
    # A network namespace too: to come back to the host's after a look into another one takes the host's root.
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNET)
    ours.send(b"unshared")
    mapped = _expect(ours) == "1"
    os.waitpid(child, 0)
    ours.close()
    if not mapped:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def main() -> None:
    """Serve on the control socket whose descriptor is the first argument; the first message names the directory."""
    control = socket.socket(fileno=int(sys.argv[1]))
    # Not an argument: guests would show the host's path in their lists of processes.
    directory = Directory(Path(json.loads(control.recv(_MESSAGE))["directory"]))
    kernel.adopt_orphans()
    packaged = image.package_directories()
    reason = sandbox.missing()
    if reason is None:
        try:
            become_root()
        except OSError as error:
            reason = sandbox.refused(error)
    assert preload.LOADED  # noqa: S101 (what guests need later is in memory)
    keeper = Keeper(control, directory, packaged)
    if reason is None:
        reason = keeper.rehearse()
    keeper._tell({"ready": reason is None, "reason": reason})  # noqa: SLF001 (its own main)
    if reason is None:
        gc.collect()
        gc.freeze()
        keeper.run()


if __name__ == "__main__":
    main()
