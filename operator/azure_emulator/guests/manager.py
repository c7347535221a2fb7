"""The emulator's side of guests: boots them when a VM starts, ends them when it stops, and runs scripts in them.

The engine's hooks only take note of what is to be done; tasks of the event loop do it, one after another for each VM.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies
from azure_emulator.guests import machine as machines
from azure_emulator.guests.description import METADATA_ADDRESS, Machine
from azure_emulator.guests.directory import Directory
from azure_emulator.guests.proxy import Proxy, Streams, closed, pump
from azure_emulator.types import Execution, NoGuests

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

logger = logging.getLogger(__name__)

# Output of Run Command that Azure shows: the last bytes of each stream ("Limited to the last 4,096 bytes").
SHOWN_OUTPUT = 4096
# How much of the console's log boot diagnostics give: Azure's serial log blob has 1 MiB.
SHOWN_CONSOLE = 2**20
# How often guests are told of what has changed around them, and how often what belongs to nobody is deleted: seconds.
_REFRESH_SECONDS, _SWEEP_SECONDS = 1.0, 20.0
# How long a guest may take to go down by itself, and to answer after its start: seconds.
_POWER_OFF_SECONDS, _ANSWER_SECONDS = 10.0, 30.0
_CONNECT_SECONDS, _LAST_WORDS_SECONDS = 10.0, 1.0
# A script waits so long for a guest that is on its way up: seconds.
_BOOT_SECONDS = 120.0
# Results of scripts that can still be asked for.
_RESULTS_KEPT = 2_000
_MESSAGE = 65_536
_LINE = 2**24


class GuestError(Exception):
    """A guest is not there or does not answer; the text is for people."""


@dataclass
class _Guest:
    """One running guest."""

    machine: Machine
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    attached: asyncio.StreamWriter | None = None
    down: str = ""  # what it said before it went down
    wanted: bool = True  # whether it is to run: false once we have ended it ourselves
    servers: list[asyncio.Server] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    relays: set[asyncio.Task[None]] = field(default_factory=set)
    hosts: list[Any] = field(default_factory=list)
    gateways: tuple[str, ...] = ()

    def tell(self, message: dict[str, Any]) -> None:
        """Send to the guest's first process."""
        if self.attached is not None and not self.attached.is_closing():
            self.attached.write(json.dumps(message).encode() + b"\n")


class SandboxGuests:
    """Guests in sandboxes; where there can be none, `reason` says why, and VMs have nothing inside.

    Parameters
    ----------
    directory
        Where disks, shares and consoles are kept.
    proxy_port
        Where the HTTP proxy to guests listens; 0 takes a free port.
    """

    def __init__(self, directory: Path, *, proxy_port: int = 0) -> None:
        self.directory = Directory(directory.absolute())
        self.reason: str | None = "the emulator has not started"
        self._nothing = NoGuests()
        self._engine: Engine | None = None
        self._servers: list[tuple[str, int]] = []
        self._metadata: dict[str, asyncio.Server] = {}
        self._trust = ""
        self.proxy_port = 0
        self._wanted_proxy_port = proxy_port
        self._proxy = Proxy(self.connect)
        self._metadata_lock = asyncio.Lock()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._lock: int | None = None
        self._guests: dict[str, _Guest] = {}
        self._chains: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._executions: dict[str, Execution | None] = {}
        self._addresses: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    # -- the emulator's life -----------------------------------------------------------------------------------------

    async def open(self, engine: Engine, host: str, *ports: int, trust: str = "") -> None:
        """Make guests possible, and boot those of the VMs that run.

        Parameters
        ----------
        engine
            The emulated Azure.
        host, ports
            Where its server listens. Guests reach it under the same ports of their own loopback address; the last one
            is what the metadata service is, and so must be without TLS.
        trust
            Certificate of the authority that guests trust beside those of the Internet.
        """
        self._engine = engine
        address = "127.0.0.1" if host in ("0.0.0.0", "localhost", "") else host  # noqa: S104 (compared)
        self._servers = [(address, port) for port in ports]
        self._trust = trust
        self.reason = self._claim() or await self._start_keeper()
        if self.reason is not None:
            return
        with contextlib.suppress(FileNotFoundError, ValueError):
            self._addresses = json.loads(self.directory.addresses.read_text())
        await self._sweep()
        for vm in machines.all_machines(engine.store):
            if vm.internal.get("power") == "running":
                self.start(vm)
        self.proxy_port = await self._proxy.start(address, self._wanted_proxy_port)
        self._go(self._refresh())

    def _claim(self) -> str | None:
        """Take the directory; two emulators in one would boot the same disks."""
        for path in (self.directory.root, self.directory.machines, self.directory.disks, self.directory.shares):
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                return f"the directory of guests cannot be made: {error}"
        self._lock = os.open(self.directory.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"another emulator has its guests in {self.directory.root}: give each a directory of its own"
        return None

    async def _start_keeper(self) -> str | None:
        """Start the process from which guests are forked; returns why there can be none."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Not a child that ends with this thread: the keeper ends when its socket is closed, by us or by the kernel.
        with theirs, (self.directory.root / "keeper.log").open("ab") as log:
            self._keeper = subprocess.Popen(  # noqa: ASYNC220, S603 (it returns at once)
                [sys.executable, "-P", "-m", "azure_emulator.guests.keeper", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        ours.send(json.dumps({"directory": str(self.directory.root)}).encode())
        ours.setblocking(False)
        self._control = ours
        loop = asyncio.get_running_loop()
        ready = self._expect("ready")
        loop.add_reader(ours, self._receive)
        try:
            message, _ = await asyncio.wait_for(ready, _ANSWER_SECONDS)
        except (TimeoutError, GuestError) as error:
            return f"the process that keeps guests did not start ({error}): see {self.directory.root / 'keeper.log'}"
        reason = message.get("reason")
        return None if reason is None else str(reason)

    @property
    def summary(self) -> str:
        """A line on whether virtual machines run for real, and how to get to them."""
        if self.reason is not None:
            return f"Virtual machines boot without a guest: {self.reason}"
        return f"Virtual machines run in {self.directory.root}; an HTTP proxy to them is http://127.0.0.1:{self.proxy_port}"

    async def close(self) -> None:
        """End all guests, and the keeper with them."""
        await self._proxy.stop()
        for task in [*self._tasks, *self._chains.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._chains.values(), return_exceptions=True)
        await asyncio.gather(*(self._end(key, politely=True) for key in list(self._guests)), return_exceptions=True)
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.wait)
        if self._lock is not None:
            os.close(self._lock)
        self.reason = "the emulator has stopped"

    # -- the keeper --------------------------------------------------------------------------------------------------

    def _tell_keeper(self, message: dict[str, Any]) -> None:
        if self._control is None:
            return
        try:
            self._control.send(json.dumps(message).encode())
        except OSError as error:
            self._lose_keeper(str(error))

    def _expect(self, what: str) -> asyncio.Future[tuple[dict[str, Any], list[int]]]:
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = asyncio.get_running_loop().create_future()
        self._waiting[what] = future
        return future

    async def _ask_keeper(self, message: dict[str, Any], kind: str) -> tuple[dict[str, Any], list[int]]:
        self._count += 1
        number = self._count
        future = self._expect(f"{kind} {number}")
        self._tell_keeper({**message, "do": kind, kind: number})
        return await asyncio.wait_for(future, _ANSWER_SECONDS)

    def _receive(self) -> None:
        """Take what the keeper says."""
        if self._control is None:
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE, 4)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose_keeper(str(error))
            return
        if not data:
            self._lose_keeper("it has ended")
            return
        message = json.loads(data)
        for kind in ("ready", "started", "failed", "ended", "socket", "removed", "devices"):
            if kind in message:
                self._dispatch(kind, message, descriptors)

    def _dispatch(self, kind: str, message: dict[str, Any], descriptors: list[int]) -> None:
        if kind == "ended":
            for guest in self._guests.values():
                if guest.machine.key == message["ended"]:
                    guest.ended.set()
            return
        names = {
            "ready": "ready", "started": f"start {message.get('started')}",
            "failed": f"start {message.get('failed')}", "removed": f"remove {message.get('removed')}",
        }  # fmt: skip
        future = self._waiting.pop(names.get(kind, f"{kind} {message.get(kind)}"), None)
        if future is not None and not future.done():
            future.set_result((message, descriptors))
        else:
            for descriptor in descriptors:
                os.close(descriptor)

    def _lose_keeper(self, why: str) -> None:
        """Without its keeper no guest lives; those VMs are as if their hosts had failed."""
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._control = None
        self.reason = f"the process that kept the guests is gone ({why}); see {self.directory.root / 'keeper.log'}"
        logger.error("%s", self.reason)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(GuestError(self.reason))
        self._waiting.clear()
        for guest in self._guests.values():
            guest.ended.set()

    # -- what the engine calls ---------------------------------------------------------------------------------------

    def start(self, vm: Resource) -> None:
        """Boot; a guest that runs is restarted."""
        if self._has_none(vm):
            return
        machine = machines.describe(self._store(), vm, self._trust)
        self._then(vm, lambda: self._boot(machine))

    def stop(self, vm: Resource, *, deallocate: bool) -> None:
        """Power off; deallocation loses the temporary disk as well."""
        if self._has_none(vm):
            return
        key, temporary = machines.machine_key(vm), self.directory.machine(machines.machine_key(vm)).temporary_disk

        async def stop() -> None:
            await self._end(key, politely=True)
            if deallocate:
                await self._remove(temporary)

        self._then(vm, stop)

    def reimage(self, vm: Resource) -> None:
        """Replace the OS disk's content by the image's, and boot."""
        if self._has_none(vm):
            return
        machine = machines.describe(self._store(), vm, self._trust)

        async def reimage() -> None:
            await self._end(machine.key, politely=False)
            await self._remove(self.directory.disk(machine.os_disk), self.directory.machine(machine.key).temporary_disk)
            await self._boot(machine)

        self._then(vm, reimage)

    def remove(self, vm: Resource) -> None:
        """The VM is gone for good; what it kept on disks that are left is theirs."""
        if self._has_none(vm):
            return
        key = machines.machine_key(vm)

        async def remove() -> None:
            await self._end(key, politely=False)
            await self._remove(self.directory.machine(key).root)
            await self._sweep()

        self._then(vm, remove)

    def run(self, vm: Resource, script: str, *, arguments: tuple[str, ...] = (), user: str = "root",
            timeout: float | None = None) -> str:  # fmt: skip
        """Run a shell script inside; the ticket is for `result`.

        Parameters
        ----------
        vm
            Where.
        script
            The script; without a first line that names an interpreter it is bash's.
        arguments
            Its arguments.
        user
            Whose process it is.
        timeout
            Seconds of real time, as guests live in it.
        """
        if self._has_none(vm):
            return self._nothing.run(vm, script, arguments=arguments, user=user, timeout=timeout)
        ticket = uuid.uuid4().hex
        ended = [known for known, result in self._executions.items() if result is not None]
        for known in ended[: max(0, len(self._executions) - _RESULTS_KEPT)]:
            del self._executions[known]
        self._executions[ticket] = None
        request = {"do": "run", "script": script, "arguments": list(arguments), "user": user, "timeout": timeout,
                   "ticket": ticket}  # fmt: skip
        self._go(self._execute(machines.machine_key(vm), ticket, request))
        return ticket

    def result(self, ticket: str) -> Execution | None:
        """What came of a script, or None as long as it runs; a restart of the emulator forgets it."""
        if not ticket:
            return self._nothing.result(ticket)
        if ticket in self._executions:
            return self._executions[ticket]
        return Execution(
            exit_code=1, error="The emulator was restarted while the script ran, and does not know the end."
        )

    def console(self, vm: Resource) -> str:
        """The serial console's log since the first boot."""
        file = self.directory.machine(machines.machine_key(vm)).console
        if not file.exists() and self.reason is not None:
            return f"{vm.name}: no guest, because {self.reason}\n"
        if not file.exists():
            return self._nothing.console(vm)
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - SHOWN_CONSOLE))
            return stream.read().decode(errors="replace")

    def vm_of_address(self, address: str) -> Resource | None:
        """The VM whose guest a request comes from, by the address that the emulator sees it from."""
        for key, known in self._addresses.items():
            if known == address:
                guest = self._guests.get(key)
                return self._store().get(guest.machine.id) if guest is not None else None
        return None

    def is_running(self, vm: Resource) -> bool:
        """Whether the VM has a guest that lives."""
        guest = self._guests.get(machines.machine_key(vm))
        return guest is not None and not guest.ended.is_set()

    async def connect(self, host: str, port: int) -> Streams:
        """A connection to a guest by private address or name, as from the gateway of its virtual network.

        Where two networks have the same addresses, the guest that booted first is meant.

        Raises
        ------
        OSError
            Nothing is there or it refuses.
        """
        wanted = host.lower()
        for guest in self._guests.values():
            names = [name for _, known in guest.hosts[:1] for name in known]
            addresses = [interface.address for interface in guest.machine.interfaces]
            if wanted in addresses or wanted in [name.lower() for name in names]:
                return await self._connect(guest, wanted if wanted in addresses else guest.machine.address, port)
        message = f"no guest has the name or address {host}"
        raise OSError(errno.EHOSTUNREACH, message)

    async def _connect(self, guest: _Guest, address: str, port: int) -> Streams:
        made = await self._socket(guest, "network", None)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(made, (address, port)), _CONNECT_SECONDS)
        except BaseException:
            made.close()
            raise
        return await asyncio.open_connection(sock=made)

    def _has_none(self, vm: Resource) -> bool:
        """Whether nothing runs in a VM: there are no guests at all, or it is no Linux."""
        disk = bodies.get(vm.properties, "storageProfile.osDisk.osType", "")
        return self.reason is not None or str(disk).lower() == "windows"

    def _store(self) -> Any:
        assert self._engine is not None  # noqa: S101 (nothing is called before open)
        return self._engine.store

    # -- tasks -------------------------------------------------------------------------------------------------------

    def _go(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _then(self, vm: Resource, work: Callable[[], Awaitable[None]]) -> None:
        """Do something once everything before it that concerns the same VM is done."""
        key = machines.machine_key(vm)
        before = self._chains.get(key)

        async def chained() -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                await work()
            except (OSError, GuestError, TimeoutError, ValueError) as error:
                self._say(key, f"azure-emulator: {type(error).__name__}: {error}")

        task = asyncio.ensure_future(chained())
        self._chains[key] = task
        task.add_done_callback(lambda done: self._chains.pop(key, None) if self._chains.get(key) is done else None)

    def _say(self, key: str, text: str) -> None:
        """Say something on a VM's console that its guest cannot say itself."""
        place = self.directory.machine(key)
        with contextlib.suppress(OSError):
            place.root.mkdir(parents=True, exist_ok=True)
            with place.console.open("a") as stream:
                stream.write(f"{text}\n")

    async def _boot(self, machine: Machine) -> None:
        await self._end(machine.key, politely=True)
        place = self.directory.machine(machine.key)
        place.root.mkdir(parents=True, exist_ok=True)
        if not machine.interfaces:
            self._say(machine.key, "azure-emulator: no guest, because the VM has no private address")
            return
        machine.write(place.description)
        _trim(place.console)
        guest = self._guests[machine.key] = _Guest(machine)
        started = self._expect(f"start {machine.key}")
        self._tell_keeper({"do": "start", "key": machine.key})
        try:
            _require_started(await asyncio.wait_for(started, _ANSWER_SECONDS))
            await self._attach(guest)
            await self._serve_metadata(guest)
        except (OSError, GuestError, TimeoutError) as error:
            guest.wanted = False
            self._tell_keeper({"do": "kill", "key": machine.key})
            self._say(machine.key, f"azure-emulator: the guest did not boot: {error}")
            self._drop(machine.key, guest)
            return
        guest.tasks.append(asyncio.ensure_future(self._mourn(guest)))

    async def _control_of(self, machine: Machine) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the guest's first process; by way of a descriptor, because paths of sockets must be short."""
        directory = os.open(self.directory.machine(machine.key).control, os.O_PATH | os.O_CLOEXEC)
        try:
            return await asyncio.open_unix_connection(f"/proc/self/fd/{directory}/socket", limit=_LINE)
        finally:
            os.close(directory)

    async def _attach(self, guest: _Guest) -> None:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            try:
                reader, writer = await self._control_of(guest.machine)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if guest.ended.is_set() or time.monotonic() > deadline:
                    message = "its first process does not answer; see its console"
                    raise GuestError(message) from None
                await asyncio.sleep(0.02)
        writer.write(b'{"do": "attach"}\n')
        guest.attached = writer
        self._refresh_one(guest)
        guest.tasks.append(asyncio.ensure_future(self._listen(guest, reader, writer)))

    async def _listen(self, guest: _Guest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a guest's questions until it is gone."""
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "question" in message:
                    guest.tell({"answer": message["question"], **self._share(guest.machine, message)})
                elif "down" in message:
                    guest.down = message["down"]
        except ConnectionError:
            return
        finally:
            writer.close()

    def _share(self, machine: Machine, message: dict[str, Any]) -> dict[str, Any]:
        """Where the share is that a guest wants to mount, made on its first mount."""
        try:
            key, mode, inner = machines.share_of(self._store(), machine, message["source"], message["kind"])
        except machines.MountError as error:
            return {"error": str(error)}
        root = self.directory.share(key)
        if not root.exists():
            root.mkdir(parents=True)
            root.chmod(mode)
        path = root / inner if inner else root
        if not path.resolve().is_relative_to(root.resolve()) or not path.is_dir():
            what = f"mount.{message['kind'] or 'nfs'}: mounting {message['source']} failed"
            return {"error": f"{what}, reason given by server: No such file or directory"}
        return {"path": str(path)}

    async def _mourn(self, guest: _Guest) -> None:
        """Wait for a guest's end; one that we did not end either wants to boot again or has powered off."""
        await guest.ended.wait()
        others = [task for task in guest.tasks if task is not asyncio.current_task()]
        # What it said last may still be on its way to us.
        await asyncio.wait(others, timeout=_LAST_WORDS_SECONDS)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if guest.attached is not None:
            await closed(guest.attached)
        await self._close_servers(guest)
        if not guest.wanted:
            return
        self._drop(guest.machine.key, guest)
        vm = self._store().get(guest.machine.id)
        if self._control is None:
            self._say(guest.machine.key, f"azure-emulator: {self.reason}")
            return
        if vm is None:
            return
        if guest.down == "reboot":
            self.start(vm)
        elif guest.down == "poweroff" and vm.internal.get("power") == "running":
            # As on Azure: stopped from within is stopped, but not deallocated.
            vm.internal["power"] = "stopped"
            self._store().save(vm)
        else:
            self._say(guest.machine.key, "azure-emulator: the guest's first process was killed; restart the VM")

    def _drop(self, key: str, guest: _Guest) -> None:
        if self._guests.get(key) is guest:
            del self._guests[key]

    async def _end(self, key: str, *, politely: bool) -> None:
        """End a guest and wait until it is gone."""
        guest = self._guests.get(key)
        if guest is None:
            return
        guest.wanted = False
        if politely and guest.attached is not None and not guest.ended.is_set():
            guest.tell({"power": "poweroff"})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(guest.ended.wait(), _POWER_OFF_SECONDS)
        if not guest.ended.is_set():
            self._tell_keeper({"do": "kill", "key": key})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(guest.ended.wait(), _POWER_OFF_SECONDS)
        await self._close_servers(guest)
        if guest.attached is not None:
            await closed(guest.attached)
        await asyncio.gather(
            *(task for task in guest.tasks if task is not asyncio.current_task()), return_exceptions=True
        )
        self._drop(key, guest)

    async def _close_servers(self, guest: _Guest) -> None:
        others = [one for one in self._guests.values() if one is not guest and not one.ended.is_set()]
        if all(one.machine.network != guest.machine.network for one in others):
            shared = self._metadata.pop(guest.machine.network, None)
            if shared is not None:
                shared.close()
        for server in guest.servers:
            server.close()
        guest.servers.clear()
        relays = list(guest.relays)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    async def _execute(self, key: str, ticket: str, request: dict[str, Any]) -> None:
        engine = self._engine
        assert engine is not None  # noqa: S101 (nothing is called before open)
        start = engine.clock.elapsed
        answer: dict[str, Any]
        try:
            guest = await self._up(key)
            reader, writer = await self._control_of(guest.machine)
            writer.write(json.dumps(request).encode() + b"\n")
            line = await reader.readline()
            await closed(writer)
            answer = json.loads(line) if line else {"error": "The virtual machine went down while the script ran."}
        except (OSError, GuestError, ValueError) as error:
            answer = {"error": str(error)}
        if answer.get("timedOut"):
            answer["error"] = f"{answer.get('error', '')}The script was ended after {request['timeout']:g} seconds.\n"
        self._executions[ticket] = Execution(
            exit_code=int(answer.get("exit", 1)), output=_last(answer.get("out", "")),
            error=_last(answer.get("error", "")), start=start, end=engine.clock.elapsed,
            timed_out=bool(answer.get("timedOut")),
        )  # fmt: skip
        engine.clock.wake()

    async def _up(self, key: str) -> _Guest:
        """The guest, once it is up."""
        deadline = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < deadline:
            guest = self._guests.get(key)
            # What is about to be done with the VM comes first: it may be on its way down.
            if key not in self._chains:
                if guest is None:
                    break
                if guest.attached is not None and not guest.ended.is_set() and not guest.down:
                    return guest
            await asyncio.sleep(0.05)
        message = "The guest of this virtual machine is not running; see its boot diagnostics."
        raise GuestError(message)

    async def _remove(self, *paths: Path) -> None:
        if self._control is not None:
            await self._ask_keeper({"paths": [str(path) for path in paths]}, "remove")

    # -- the metadata service ----------------------------------------------------------------------------------------

    async def _socket(self, guest: _Guest, place: str, listen: tuple[str, int] | None) -> socket.socket:
        message, descriptors = await self._ask_keeper(
            {"key": guest.machine.key, "in": place, "listen": listen}, "socket"
        )
        if not descriptors:
            raise OSError(0, str(message.get("reason", "no socket")))
        made = socket.socket(fileno=descriptors[0])
        made.setblocking(False)
        return made

    async def _serve_metadata(self, guest: _Guest) -> None:
        """Have this emulator answer in the guest: as the metadata service, and under its own URL.

        The metadata address is the network's, so that guests may listen on port 80; who asks there is known by its
        private address. What comes from a guest reaches the emulator from a loopback address that stands for its VM.
        """
        network = guest.machine.network

        async def relay_own(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._relay(guest, self._servers[0], reader, writer)

        async def relay_metadata(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            address = writer.get_extra_info("peername")[0]
            asking = self._guest_at(network, address)
            if asking is None:
                await closed(writer)
            else:
                await self._relay(asking, self._servers[-1], reader, writer)

        async with self._metadata_lock:  # guests of one network boot at the same time
            if network not in self._metadata:
                made = await self._socket(guest, "network", (METADATA_ADDRESS, 80))
                self._metadata[network] = await asyncio.start_server(relay_metadata, sock=made)
        for server in self._servers:
            made = await self._socket(guest, "guest", ("127.0.0.1", server[1]))
            guest.servers.append(await asyncio.start_server(relay_own, sock=made))

    def _guest_at(self, network: str, address: str) -> _Guest | None:
        for guest in self._guests.values():
            if guest.machine.network == network and address in [one.address for one in guest.machine.interfaces]:
                return guest
        return None

    async def _relay(
        self, guest: _Guest, server: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry one connection of a guest to the emulator."""
        task = asyncio.current_task()
        if task is not None:
            guest.relays.add(task)
            task.add_done_callback(guest.relays.discard)
        try:
            local = (self._address(guest.machine.key), 0)
            up_reader, up_writer = await asyncio.open_connection(*server, local_addr=local)
        except OSError:
            await closed(writer)
            return
        try:
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        finally:
            await asyncio.gather(closed(writer), closed(up_writer))

    def _address(self, key: str) -> str:
        """The loopback address that stands for a VM here; other emulators on this machine begin elsewhere."""
        known = self._addresses.get(key)
        if known is None:
            digest = hashlib.sha256(str(self.directory.root).encode()).digest()
            block = 64 * 65_536 + (digest[0] % 128) * 65_536 + digest[1] * 256
            used = set(self._addresses.values())
            known = next(
                text for number in range(1, 65_536)
                if number % 256 not in (0, 255) and (text := _loopback(block + number)) not in used
            )  # fmt: skip
            self._addresses[key] = known
            beside = self.directory.addresses.with_suffix(".new")
            beside.write_text(json.dumps(self._addresses, indent=1))
            beside.replace(self.directory.addresses)
        return known

    # -- keeping up --------------------------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        """Tell guests what has changed around them, and delete what belongs to nobody any more."""
        swept = time.monotonic()
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            for guest in list(self._guests.values()):
                self._refresh_one(guest)
                with contextlib.suppress(OSError, GuestError, TimeoutError):
                    await self._refresh_disks(guest)
            if time.monotonic() - swept > _SWEEP_SECONDS:
                swept = time.monotonic()
                with contextlib.suppress(OSError, GuestError, TimeoutError):
                    await self._sweep()

    def _refresh_one(self, guest: _Guest) -> None:
        if guest.attached is None or guest.ended.is_set():
            return
        store = self._store()
        rows = machines.hosts(store, guest.machine, [one.machine for one in self._guests.values()])
        if rows != guest.hosts:
            guest.hosts = rows
            guest.tell({"hosts": rows})
        gateways = machines.gateways(store, guest.machine.network)
        if gateways != guest.gateways:
            guest.gateways = gateways
            self._tell_keeper({"do": "network", "network": guest.machine.network, "gateways": gateways})

    async def _refresh_disks(self, guest: _Guest) -> None:
        vm = self._store().get(guest.machine.id)
        if vm is None or guest.attached is None or guest.ended.is_set():
            return
        disks = machines.data_disks(self._store(), vm)
        if disks == guest.machine.data_disks:
            return
        guest.machine = machines.describe(self._store(), vm, self._trust)
        guest.machine.write(self.directory.machine(guest.machine.key).description)
        await self._ask_keeper({"key": guest.machine.key, "names": [disk.device for disk in disks]}, "devices")
        guest.tell({"disks": [asdict(disk) for disk in disks]})

    async def _sweep(self) -> None:
        """Delete what belongs to no resource any more."""
        alive = [guest.machine for guest in self._guests.values()]
        kept_machines, kept_disks, kept_shares = machines.kept(self._store())
        kept_machines |= {one.key for one in alive}
        kept_disks |= {one.os_disk for one in alive} | {disk.key for one in alive for disk in one.data_disks}
        gone = [
            path
            for directory, kept in (
                (self.directory.machines, kept_machines), (self.directory.disks, kept_disks),
                (self.directory.shares, kept_shares),
            )
            for path in directory.iterdir() if path.name not in kept
        ]  # fmt: skip
        if gone:
            await self._remove(*gone)
        self._addresses = {key: address for key, address in self._addresses.items() if key in kept_machines}


def _require_started(answer: tuple[dict[str, Any], list[int]]) -> None:
    if "reason" in answer[0]:
        raise GuestError(str(answer[0]["reason"]))


def _trim(console: Path) -> None:
    """Keep the end of a console's log that has grown beyond what is ever shown."""
    if console.exists() and console.stat().st_size > 2 * SHOWN_CONSOLE:
        console.write_bytes(console.read_bytes()[-SHOWN_CONSOLE:])


def _loopback(number: int) -> str:
    return ".".join(str(part) for part in (127, (number >> 16) & 255, (number >> 8) & 255, number & 255))


def _last(text: str) -> str:
    """The end of an output, as much of it as Azure shows."""
    return text.encode()[-SHOWN_OUTPUT:].decode(errors="ignore")
