"""Virtual networks as network namespaces: a bridge per virtual network, a cable from it to each guest.

Runs in the keeper. Nothing of this shows on the host: a namespace and all in it goes when the last process in it and
the keeper have gone.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from azure_emulator.guests import kernel
from azure_emulator.guests.description import METADATA_ADDRESS, PLATFORM_ADDRESS, Interface

IP_COMMAND = "/sbin/ip"
_NAMESPACE = "/proc/self/ns/net"


@contextmanager
def inside(descriptor: int) -> Iterator[None]:
    """Be in a network namespace for a moment; only this thread is."""
    own = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.setns(descriptor, kernel.CLONE_NEWNET)
        try:
            yield
        finally:
            kernel.setns(own, kernel.CLONE_NEWNET)
    finally:
        os.close(own)


def configure(lines: list[str]) -> None:
    """Run lines of the `ip` command in the current namespace."""
    done = subprocess.run(  # noqa: S603 (our own lines)
        [IP_COMMAND, "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(0, f"ip: {done.stderr.strip() or done.stdout.strip()}")


def new_namespace() -> int:
    """A descriptor of a new network namespace."""
    own = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
        try:
            return os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            kernel.setns(own, kernel.CLONE_NEWNET)
    finally:
        os.close(own)


@dataclass
class Network:
    """One virtual network: its namespace is the router between its subnets, with the first address of each.

    The addresses of the platform (metadata service, name service) are the router's too, as guests see it.
    """

    descriptor: int
    gateways: set[str] = field(default_factory=set)
    cables: int = 0

    @classmethod
    def create(cls) -> Network:
        """Make one."""
        network = cls(new_namespace())
        with inside(network.descriptor):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            configure([
                "link set lo up", f"addr add {METADATA_ADDRESS}/32 dev lo", f"addr add {PLATFORM_ADDRESS}/32 dev lo",
                "link add bridge type bridge forward_delay 0", "link set bridge up",
            ])  # fmt: skip
        return network

    def know(self, gateways: tuple[str, ...]) -> None:
        """Have the gateway address of each subnet."""
        wanted = set(gateways)
        lines = [f"addr add {item} dev bridge" for item in sorted(wanted - self.gateways)]
        lines += [f"addr del {item} dev bridge" for item in sorted(self.gateways - wanted)]
        if lines:
            with inside(self.descriptor):
                configure(lines)
            self.gateways = wanted

    def connect(self, guest: int, interfaces: tuple[Interface, ...]) -> None:
        """Lay a cable from each of a guest's interfaces, and configure the guest's end.

        Parameters
        ----------
        guest
            Process whose network namespace it is.
        interfaces
            Its interfaces; the first has the default route.
        """
        inner = ["link set lo up"]
        outer = []
        for number, interface in enumerate(interfaces):
            self.cables += 1
            cable = f"guest{self.cables}"
            outer.append(f"link add {cable} type veth peer name eth{number} netns {guest}")
            outer.append(f"link set {cable} master bridge up")
            inner.append(f"addr add {interface.address}/{interface.prefix} dev eth{number}")
            inner.append(f"link set eth{number} up")
            if number == 0:
                inner.append(f"route add default via {interface.gateway}")
        with inside(self.descriptor):
            configure(outer)
        with self._of(guest):
            configure(inner)

    @staticmethod
    @contextmanager
    def _of(guest: int) -> Iterator[None]:
        descriptor = os.open(f"/proc/{guest}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with inside(descriptor):
                yield
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self.descriptor)


def socket_in(descriptor: int, listen: tuple[str, int] | None) -> socket.socket:
    """A TCP socket that lives in a namespace, whoever uses it: unconnected, or listening there."""
    with inside(descriptor):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if listen is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(listen)
            made.listen(64)
    return made
