"""The first process of a guest: boots it, answers on its socket, and takes it down.

Everything else in this folder is put together here. When this process ends, the kernel ends all others of the guest.
"""

# ruff: noqa: ASYNC240 (the files of a guest are on a local disk; there is nothing else that would go on meanwhile)

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import pty
import signal
import socket
import struct
import sys
import termios
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from azure_emulator.guests import kernel
from azure_emulator.guests.description import DataDisk, Machine
from azure_emulator.guests.inside import systemctl
from azure_emulator.guests.inside.cloud_init import CloudInit
from azure_emulator.guests.inside.disks import Disks
from azure_emulator.guests.inside.journal import Journal
from azure_emulator.guests.inside.mounts import Mounts
from azure_emulator.guests.inside.processes import Account, Processes, kill_session
from azure_emulator.guests.inside.services import Services
from azure_emulator.guests.inside.tools import Call, Tools
from azure_emulator.guests.inside.units import UnitFiles
from azure_emulator.guests.sandbox import Outside

SOCKET = Path("/run/azure-emulator/control/socket")
HOSTS = Path("/etc/hosts")
_BEGIN, _END = (
    "# Names in the virtual network; kept up to date, so write above or below.",
    "# End of the virtual network",
)
# Where Debian's and Red Hat's families keep the certificates that programs trust.
_TRUSTED = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem")
# What scripts print is kept up to here: Azure shows 4 KiB of it.
_OUTPUT = 2**20
# How long services may take to stop before the guest goes down all the same.
_STOP_SECONDS = 8.0
# Exit statuses by which the emulator learns why a guest went down.
REBOOT, POWER_OFF = 10, 11


class Guest:
    """One boot of a guest."""

    def __init__(self, machine: Machine, outside: Outside) -> None:
        self.machine = machine
        self.outside = outside
        self.journal = Journal()
        self.processes = Processes()
        self.disks = Disks(outside)
        self.mounts = Mounts(outside, self.disks, self._ask)
        self.cloud_init = CloudInit(machine, self.processes, self.journal, self.mounts, self.disks, self.power)
        identity = Path("/etc/machine-id").read_text().strip()
        files = UnitFiles(host_name=machine.host_name, machine_id=identity)
        self.services = Services(files, self.processes, self.journal, self.mounts.mount_for)
        self.systemctl = systemctl.Systemctl(self.services, self.journal, self.power, lambda: self.booted)
        self.tools = Tools(
            self.processes, self.journal, self.disks, self.mounts, self.cloud_init, self.power,
            {"systemctl": self.systemctl.run, "journalctl": lambda call: systemctl.journalctl(call, self.journal)},
        )  # fmt: skip
        self.booted = False
        self._going_down: asyncio.Future[int] | None = None
        self._emulator: Callable[[dict[str, Any]], None] | None = None
        self._questions: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- boot --------------------------------------------------------------------------------------------------------

    async def live(self) -> int:
        """Boot, and stay until the guest goes down; returns why it did."""
        loop = asyncio.get_running_loop()
        self._going_down = loop.create_future()
        self.processes.watch()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.power, "poweroff")
        release = os.uname()
        self.journal.kernel(f"Linux version {release.release} ({release.machine}), guest of the Azure emulator")
        self.journal.kernel(f"Command line: BOOT_IMAGE={self.machine.os_disk} instance={self.machine.instance_id}")
        for note in self.outside.notes:
            self.journal.kernel(f"azure-emulator: {note}")
        if self.processes.only_root:
            self.journal.kernel(
                "azure-emulator: only root exists in this guest; give the user that runs the emulator a range in "
                "/etc/subuid and /etc/subgid, and install newuidmap"
            )
        self._names()
        self._terminal()
        self.journal.serve_syslog()
        for line in self.disks.update(self.machine.data_disks):
            self.journal.kernel(line)
        for note in self.disks.notes:
            self.journal.kernel(f"azure-emulator: {note}")
        SOCKET.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, str(SOCKET), limit=2**22)
        SOCKET.chmod(0o666)
        self._go(self._boot())
        code = await self._going_down
        server.close()
        await self._take_down(code)
        return code

    async def _boot(self) -> None:
        for error in await self.mounts.mount_all():
            self.journal.kernel(error)
        try:
            await self.cloud_init.init()
            self.services.reload()
            await self.services.boot()
            self.booted = True
            await self.cloud_init.final()
        finally:
            self.cloud_init.end()  # however that went: somebody may wait for it
        self.journal.console(f"\n{socket.gethostname()} login: ")

    def _go(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConnectionError):
            lines = "".join(traceback.format_exception(error)).rstrip().splitlines()
            for line in lines:
                self.journal.kernel(f"azure-emulator: {line}")

    def power(self, action: str) -> None:
        """Go down, to boot again or not."""
        if self._going_down is not None and not self._going_down.done():
            self._going_down.set_result(REBOOT if action == "reboot" else POWER_OFF)

    async def _take_down(self, code: int) -> None:
        await self.services.stop_all(seconds=_STOP_SECONDS)
        if self._emulator is not None:
            self._emulator({"down": "reboot" if code == REBOOT else "poweroff"})
            await asyncio.sleep(0)
        self.journal.kernel("reboot: Restarting system" if code == REBOOT else "reboot: Power down")

    def _names(self) -> None:
        name = Path("/etc/hostname")
        if name.exists() and name.read_text().strip():
            # A name given inside outlives a restart, as on any disk.
            socket.sethostname(name.read_text().strip())
        else:
            name.write_text(f"{self.machine.host_name}\n")
        if not HOSTS.exists():
            HOSTS.write_text("127.0.0.1 localhost\n::1 ip6-localhost ip6-loopback\n")
        Path("/etc/resolv.conf").unlink(missing_ok=True)
        Path("/etc/resolv.conf").write_text("nameserver 168.63.129.16\noptions timeout:1 attempts:1\n")
        self._trust()
        self.know_hosts([[self.machine.address, [self.machine.host_name]]])

    def _trust(self) -> None:
        """Have the emulator's certificate authority among those that are trusted, as the Internet's are on a VM."""
        if not self.machine.trust:
            return
        for path in _TRUSTED:
            file = Path(os.path.realpath(path))
            if file.is_file() and self.machine.trust not in (text := file.read_text(errors="replace")):
                file.write_text(f"{text.rstrip()}\n{self.machine.trust}")

    def know_hosts(self, rows: list[Any]) -> None:
        """Keep the names of the virtual network in /etc/hosts, between two lines; the rest is the guest's own."""
        lines = HOSTS.read_text().splitlines() if HOSTS.exists() else []
        if _BEGIN in lines and _END in lines:
            lines = lines[: lines.index(_BEGIN)] + lines[lines.index(_END) + 1 :]
        managed = [f"{address} {' '.join(names)}" for address, names in rows if address and names]
        text = "\n".join([*lines, _BEGIN, *managed, _END]) + "\n"
        if not HOSTS.exists() or HOSTS.read_text() != text:
            HOSTS.write_text(text)

    def _terminal(self) -> None:
        """A /dev/console whose text goes to the console's log."""
        master, slave = pty.openpty()
        name = os.ttyname(slave)
        for path in ("/dev/console", "/dev/ttyS0"):
            with contextlib.suppress(OSError):
                Path(path).symlink_to(name)
        os.set_blocking(master, False)

        def receive() -> None:
            with contextlib.suppress(OSError):
                os.write(1, os.read(master, 4096).replace(b"\r\n", b"\n"))

        asyncio.get_running_loop().add_reader(master, receive)

    # -- the socket --------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            request = json.loads(line) if line else {}
            uid = self._uid(writer)
            match request.get("do"):
                case "tool":
                    await self._tool(request, uid, reader, writer)
                case "attach" if uid == 0:
                    await self._attach(reader, writer)
                case "run" if uid == 0:
                    _send(writer, await self._run(request))
                case "shell" if uid == 0:
                    await self._shell(request, reader, writer)
                case _:
                    _send(writer, {"error": "not known or not allowed"})
        except (ConnectionError, ValueError) as error:
            self.journal.add(f"control: {error}", name="azure-emulator")
        finally:
            writer.close()

    @staticmethod
    def _uid(writer: asyncio.StreamWriter) -> int:
        peer: socket.socket = writer.get_extra_info("socket")
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])

    async def _tool(
        self, request: dict[str, Any], uid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async def wait_closed() -> None:
            await reader.read()

        call = Call(
            request["name"], list(request["arguments"]), request["directory"], uid, bool(request.get("terminal")),
            lambda message: _send(writer, message), wait_closed,
        )  # fmt: skip
        try:
            code = await self.tools.run(call)
        except (OSError, ValueError, KeyError) as error:
            call.error(f"{call.name}: {error}")
            code = 1
        if code >= 0:
            _send(writer, {"exit": code})
        await writer.drain()

    async def _attach(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The emulator's own connection: it tells what changes outside, and answers questions."""
        self._emulator = lambda message: _send(writer, message)
        while line := await reader.readline():
            message = json.loads(line)
            if "answer" in message:
                future = self._questions.pop(message["answer"], None)
                if future is not None and not future.done():
                    future.set_result(message)
            if "hosts" in message:
                self.know_hosts(message["hosts"])
            if "disks" in message:
                self._know_disks(tuple(DataDisk(**item) for item in message["disks"]))
            if "power" in message:
                self.power(message["power"])
        self._emulator = None

    def _know_disks(self, wanted: tuple[DataDisk, ...]) -> None:
        self.machine = replace(self.machine, data_disks=wanted)
        for line in self.disks.update(wanted):
            self.journal.kernel(line)

    async def _ask(self, source: str, kind: str) -> dict[str, Any]:
        """Ask the emulator what a storage tier's address means."""
        for _ in range(100):
            if self._emulator is not None:
                break
            await asyncio.sleep(0.05)
        if self._emulator is None:
            return {"error": f"mount.{kind or 'nfs'}: Connection timed out"}
        number = len(self._questions) + int.from_bytes(os.urandom(4))
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._questions[number] = future
        self._emulator({"question": number, "source": source, "kind": kind})
        try:
            return await asyncio.wait_for(future, 30)
        except TimeoutError:
            self._questions.pop(number, None)
            return {"error": f"mount.{kind or 'nfs'}: Connection timed out"}

    # -- running things ----------------------------------------------------------------------------------------------

    async def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a script as Run Command does: in a file of its own, by its own interpreter or /bin/bash."""
        try:
            account = Account.find(request.get("user") or "root")
        except KeyError as error:
            return {"exit": 1, "out": "", "error": str(error.args[0])}
        directory = Path("/var/lib/waagent/run-command/download") / request["ticket"]
        directory.mkdir(parents=True, exist_ok=True)
        for parent in (directory, *directory.parents[:3]):
            parent.chmod(0o755)
        script = directory / "script.sh"
        text = request["script"].replace("\r\n", "\n")
        script.write_text(text)
        if not self.processes.only_root:
            os.chown(script, account.user, account.group)
        script.chmod(0o700)
        streams: list[list[str]] = [[], []]
        sizes = [0, 0]

        def sink(number: int) -> Callable[[str], None]:
            def take(text: str) -> None:
                streams[number].append(text)
                sizes[number] += len(text)
                while sizes[number] > _OUTPUT and len(streams[number]) > 1:
                    sizes[number] -= len(streams[number].pop(0))

            return take

        interpreter = [] if text.startswith("#!") else ["/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"]
        variables = {"HOME": account.home, "USER": account.name, "LOGNAME": account.name, **self.machine.environment}
        try:
            process = self.processes.start(
                [*interpreter, str(script), *request.get("arguments", ())], environment=variables, account=account,
                directory=str(directory), sinks=(sink(0), sink(1)),
                as_it_is=True,
            )  # fmt: skip
        except OSError as error:
            return {"exit": 126, "out": "", "error": f"{script}: {error.strerror or error}\n"}
        timed_out = False
        try:
            code = await asyncio.wait_for(process.wait(), request.get("timeout"))
        except TimeoutError:
            timed_out = True
            kill_session(process.pid)
            code = await process.wait()
        return {"exit": code if code >= 0 else 128 - code, "out": "".join(streams[0]), "error": "".join(streams[1]),
                "timedOut": timed_out}  # fmt: skip

    async def _shell(self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A login shell, or a command, on a terminal of its own."""
        try:
            account = Account.find(request.get("user") or "root")
        except KeyError as error:
            _send(writer, {"data": _encoded(f"{error.args[0]}\n".encode()), "exit": 1})
            return
        master, slave = pty.openpty()
        with contextlib.suppress(OSError):
            os.fchown(slave, account.user, -1)
        rows, columns = request.get("size", [24, 80])
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        shell = account.shell if Path(account.shell).exists() else "/bin/sh"
        command = request.get("command")
        arguments = [shell, "-c", command] if command else [shell, "-l"]
        variables = {"HOME": account.home, "USER": account.name, "LOGNAME": account.name, "SHELL": shell,
                     "TERM": request.get("term", "xterm"), **self.machine.environment}  # fmt: skip
        home = account.home if Path(account.home).is_dir() else "/"
        process = self.processes.start(
            arguments, environment=variables, account=account, directory=home, sinks=(slave, slave), stdin=slave,
            terminal=True,
        )  # fmt: skip
        os.close(slave)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def receive() -> None:
            try:
                data = os.read(master, 65_536)
            except OSError:
                data = b""
            if data:
                _send(writer, {"data": _encoded(data)})
            else:
                loop.remove_reader(master)
                if not ended.done():
                    ended.set_result(None)

        loop.add_reader(master, receive)
        feeding = asyncio.ensure_future(_feed(reader, master))
        code = await process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended, 0.5)
        loop.remove_reader(master)
        feeding.cancel()
        os.close(master)
        _send(writer, {"exit": code if code >= 0 else 128 - code})
        await writer.drain()


async def _feed(reader: asyncio.StreamReader, master: int) -> None:
    """Give a terminal what its user types, and its size."""
    while line := await reader.readline():
        message = json.loads(line)
        if "data" in message:
            os.write(master, base64.b64decode(message["data"]))
        if "size" in message:
            rows, columns = message["size"]
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")


def main(machine: Machine, outside: Outside) -> NoReturn:
    """Be the first process."""
    code = 1
    try:
        os.environ.clear()
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
        # Not asyncio.run: there is nothing to tidy up in a process that ends here.
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        kernel.set_name("init")
        code = loop.run_until_complete(Guest(machine, outside).live())
    except BaseException:  # noqa: BLE001 (whatever it is: the console says it, and the guest is down)
        with contextlib.suppress(OSError):
            os.write(2, f"Kernel panic - not syncing: Attempted to kill init!\n{traceback.format_exc()}".encode())
    finally:
        os._exit(code)
