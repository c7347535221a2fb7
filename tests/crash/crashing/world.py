"""One operator between its two proxies, an emulated Azure and a namespace: everything that a life happens in."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from crashing.calls import AZURE, KUBERNETES, Call, Names, Point, resource_type
from crashing.kube import Kube
from crashing.processes import SUBSCRIPTION, HarnessError, Operator, Zygote, emulator, environment
from crashing.proxy import KILLS, REFUSALS, Proxy
from local_cluster import LocalCluster

SPEED = 400.0
"""Emulated seconds per second: a file system of 270 s takes less than one, and operations last for several polls."""
LOOK_AROUND_SECONDS = 0.25
"""How long Azure stands still after the first call of a new process: what ran when it was killed still runs."""
IDLE_SECONDS = 5.0
"""A new process that has asked nothing of Azure until then has nothing to ask."""
ENDS_AT_MOST = 3
"""Nobody starts it again and again when it cannot run at all."""
START = "start"
"""The first stage: there is an operator, and nothing for it to do."""
WAITS = {
    # Not settings: nobody who waits for Azure wants less. The clock is hundreds of times as fast, though.
    "hpc_operator.azure.transport.READ_TIMEOUT": 1.5,
    "hpc_operator.kubernetes_host.client.REQUEST_SECONDS": 1.5,
}

Script = Callable[[Call], str]
"""Says what happens to a call: a disturbance, or nothing."""


@dataclass(frozen=True)
class Kill:
    """An end of the operator by our hand.

    Parameters
    ----------
    in_flight
        Writes to Azure whose answer it did not live to see.
    restart_seconds
        From the start of the next process to its first call to Azure; empty if there was none.
    """

    point: Point
    in_flight: tuple[Call, ...]
    restart_seconds: list[float] = field(default_factory=list)


class World:
    """Use it as an asynchronous context manager; `begin_life` makes everything as new.

    Parameters
    ----------
    directory
        An empty folder for logs.
    kubeconfig
        Of an API server that has the CRDs.
    namespace
        For this world alone.
    cluster
        The API server, if it may be restarted.
    """

    def __init__(self, directory: Path, kubeconfig: Path, namespace: str, cluster: LocalCluster | None = None) -> None:
        self.directory = directory
        self.after_kill: Callable[[Kill], Awaitable[None]] | None = None
        self.kube = Kube(kubeconfig, namespace)
        self._cluster = cluster
        self._ends = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._ends.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end_life()
        await self._ends.aclose()

    async def _start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._reset(lambda _: "")
        self._kubeconfig = self.directory / "kubeconfig"
        self._zygote = Zygote(self._kubeconfig)
        await self._zygote.start()
        self._ends.push_async_callback(self._zygote.close)
        process, self.azure_url = await emulator(self.directory, SPEED)
        self._ends.push_async_callback(process.wait)
        self._ends.callback(process.terminate)
        self._session = await self._ends.enter_async_context(aiohttp.ClientSession())
        await self.kube.start()
        self._ends.push_async_callback(self.kube.close)
        await self.ask("settings", "PUT", {"throttling": False})  # refusals are what the script says
        self._empty = await self._bytes("GET", None)
        self.arm = Proxy(AZURE, self.azure_url, self)
        self.api = Proxy(KUBERNETES, self.kube.url, self, self.kube.tls)
        for proxy in (self.arm, self.api):
            await proxy.start()
            self._ends.push_async_callback(proxy.close)
        cluster = {"name": "proxy", "cluster": {"server": self.api.url}}
        context = {"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}
        self._kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [cluster],
                    "users": [{"name": "nobody", "user": {}}],
                    "contexts": [context],
                    "current-context": "proxy",
                }
            )
        )

    @property
    def is_restarting(self) -> bool:
        """Whether the operator is dead, or has only just come back."""
        return self._killing or (self._restart is not None and not self._restart.done())

    # One life

    def _reset(self, script: Script) -> None:
        self.script = script
        self.stage = START
        self.names = Names()
        self.calls: list[Call] = []
        self.kills: list[Kill] = []
        self.complaints: list[tuple[str, str]] = []
        self.operator: Operator | None = None
        self.log = self.directory / "operator.log"
        self._ends_by_itself = 0
        self._killing = False
        self._restart: asyncio.Task[None] | None = None
        self._first_call = asyncio.Event()
        self._incarnation = 0
        self._in_flight: set[int] = set()
        self.versions: dict[str, str] = {}

    async def begin_life(self, script: Script, name: str) -> None:
        """Make everything as new, and start an operator."""
        await self.kube.wipe()
        await self._bytes("PUT", self._empty)
        await self._set_speed(SPEED)
        self._reset(script)
        self.log = self.directory / f"{name}.log"
        self.log.unlink(missing_ok=True)
        await self._fork()

    async def end_life(self) -> None:
        """End the operator."""
        if self._restart is not None:
            await self._restart
        if self.operator is not None:
            self._killing = True
            await self.operator.kill()
            self.operator = None

    async def _fork(self) -> None:
        self._incarnation += 1
        self._first_call.clear()
        environ = environment() | {
            "KUBECONFIG": str(self._kubeconfig),
            "HPC_SUBSCRIPTION_ID": SUBSCRIPTION,
            "HPC_ARM_ENDPOINT": self.arm.url,
            "HPC_METRICS_ADDRESS": "127.0.0.1:0",
            "HPC_NAMESPACES": self.kube.namespace,
            # Tokens come from the emulator itself: who asks for them has done nothing yet.
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.azure_url,
        }
        pid = await self._zygote.fork(environ, self.log, WAITS)
        self.operator = Operator(pid, self._ended_by_itself)
        self._killing = False

    def _ended_by_itself(self) -> None:
        end = self.log.read_text(errors="replace").splitlines()[-3:]
        self.complain(f"the operator ended by itself: {' / '.join(end)}")
        self._killing = True
        self._ends_by_itself += 1
        if self._ends_by_itself > ENDS_AT_MOST:
            return
        self._restart = asyncio.create_task(self._start_again(None, stand_still=False))

    # crashing.proxy.Conductor

    def begin(self, server: str, name: str, method: str, path: str, query: str, body: bytes) -> Call:
        call = Call(len(self.calls), self.stage, server, name, method, path, body, self._incarnation)
        self.calls.append(call)
        self._in_flight.add(call.number)
        if server == AZURE:
            self._first_call.set()
            self._note_version(path, query)
        if self.stage == START and name.startswith("WATCH"):
            self._first_call.set()  # there is nothing to ask Azure for
        if not self.is_restarting and self.operator is not None and self.operator.is_alive:
            call.disturbance = self.script(call)
            self._killing = call.disturbance in KILLS
        return call

    def _note_version(self, path: str, query: str) -> None:
        """Remember which api-version the operator asks a type with: we ask with the same."""
        kind = resource_type(path)
        if kind and (found := re.search(r"api-version=([\w-]+)", query, re.IGNORECASE)):
            self.versions[kind] = found[1]

    def end(self, call: Call) -> None:
        self._in_flight.discard(call.number)

    def is_alive(self, call: Call) -> bool:
        return call.incarnation == self._incarnation and self.operator is not None and self.operator.is_alive

    async def kill(self, call: Call) -> None:
        assert self.operator is not None
        await self.operator.kill()
        point = Point(call.stage, call.name, call.disturbance)
        unseen = [self.calls[number] for number in sorted(self._in_flight | {call.number})]
        self.kills.append(Kill(point, tuple(it for it in unseen if it.writes_to_azure)))
        stand_still = len(self.kills) % 2 == 1
        if stand_still:
            await self._set_speed(0)
        self._restart = asyncio.create_task(self._start_again(call, stand_still=stand_still))

    async def _start_again(self, call: Call | None, *, stand_still: bool) -> None:
        own = {call.number} if call else set()
        while self._in_flight - own:  # noqa: ASYNC110 - what is under way arrives before anybody looks
            await asyncio.sleep(0.005)
        if call is not None and self.after_kill is not None:
            await self.after_kill(self.kills[-1])
        forked = time.monotonic()
        await self._fork()
        if call is None:
            return
        kill = self.kills[-1]
        # Killed at its very last call, the next one finds nothing to do.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first_call.wait(), IDLE_SECONDS)
            kill.restart_seconds.append(time.monotonic() - forked)
        if stand_still:
            await asyncio.sleep(LOOK_AROUND_SECONDS)
            await self._set_speed(SPEED)

    def complain(self, what: str) -> None:
        """Note something that should not be, and in which stage it was seen."""
        self.complaints.append((self.stage, what))

    async def fail_late(self, call: Call) -> None:
        code, message = REFUSALS["500"]
        ending = {"status": 500, "code": code, "message": message}
        path = f"^{re.escape(call.path)}$"
        await self.ask("faults", "POST", {"method": call.method, "path": path, "operation": ending})

    async def restart_api_server(self) -> None:
        """SIGKILL, and a new one."""
        assert self._cluster is not None
        await asyncio.to_thread(self._cluster.pause_api_server)
        await asyncio.to_thread(self._cluster.resume_api_server)

    # Azure, looked at from behind

    async def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        async with self._session.request(method, f"{self.azure_url}/emulator/{path}", json=body) as answer:
            if answer.status >= 400:
                raise HarnessError(f"/emulator/{path}: {await answer.text()}")
            return await answer.json() if answer.status != 204 else None

    async def resource(self, resource_id: str, version: str) -> Mapping[str, Any]:
        """Return a resource as Azure shows it."""
        async with self._session.get(
            f"{self.azure_url}{resource_id}?api-version={version}", headers={"Authorization": "Bearer harness"}
        ) as answer:
            return await answer.json()

    async def _bytes(self, method: str, content: bytes | None) -> bytes:
        async with self._session.request(method, f"{self.azure_url}/emulator/snapshot", data=content) as answer:
            return await answer.read()

    async def _set_speed(self, speed: float) -> None:
        await self.ask("clock", "PUT", {"speed": speed})
