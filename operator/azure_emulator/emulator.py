"""One emulated Azure: clock, store, engine and HTTP server put together; usable in a test or from the command line.

Knows how the parts are joined, and none of their rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from azure_emulator import admin, graph, login, server
from azure_emulator.boot_logs import BootLogs
from azure_emulator.clock import Clock
from azure_emulator.engine import Engine
from azure_emulator.faults import Faults
from azure_emulator.guests.manager import SandboxGuests
from azure_emulator.metadata import Metadata
from azure_emulator.page import Page
from azure_emulator.prices import Prices
from azure_emulator.providers import PROVIDERS
from azure_emulator.store import Store
from azure_emulator.tls import Authority

logger = logging.getLogger(__name__)

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
TENANT = "00000000-0000-0000-0000-00000000a2ed"
LOOPBACK = ("127.0.0.1", "::1")
# The emulated clock is written to disk at least this often (real seconds), so that time does not stand still in the
# state directory while nobody asks anything.
KEEP_CLOCK_EVERY = 5.0


class Emulator:
    """An ARM server, in this process.

    Parameters
    ----------
    speed
        Emulated seconds per real second; None: as before the restart, or 1.
    state
        Directory that keeps everything across restarts; None: memory only.
    seed
        Decides durations and generated ids.
    subscriptions
        Ids of the subscriptions that exist.
    host, port
        Where to listen; port 0 takes a free one.
    tls
        Speak TLS, with a certificate of the emulator's own authority (`ca`).
    tls_names
        Host names beside localhost that the certificate is for.
    http_port
        Where to listen without TLS as well, as IMDS does; None: nowhere.
    guests
        Directory of guests, where VMs run for real; None: nothing runs in them.
    guests_proxy_port
        Where the HTTP proxy to the private addresses of guests listens; 0 takes a free one.

    Examples
    --------
    >>> async with Emulator(speed=100) as emulator:  # doctest: +SKIP
    ...     print(emulator.url)
    """

    def __init__(
        self,
        *,
        speed: float | None = None,
        state: Path | None = None,
        seed: int = 0,
        subscriptions: tuple[str, ...] = (SUBSCRIPTION,),
        tenant: str = TENANT,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        tls_names: tuple[str, ...] = (),
        http_port: int | None = None,
        guests: Path | None = None,
        guests_proxy_port: int = 0,
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.tls_names = tls_names
        # Guests ask for metadata without TLS.
        self.http_port = 0 if guests is not None and tls and http_port is None else http_port
        self.tenant = tenant
        self.store = Store(state)
        kept = self.store.settings.get("clock", {})
        self.clock = Clock(
            base=datetime.fromisoformat(kept["base"]) if kept else None,
            elapsed=kept.get("elapsed", 0.0),
            speed=speed if speed is not None else kept.get("speed", 1.0),
        )
        self.faults = Faults(self.store)
        self.guests = SandboxGuests(guests, proxy_port=guests_proxy_port) if guests is not None else None
        self.engine = Engine(
            store=self.store,
            clock=self.clock,
            providers=PROVIDERS,
            subscriptions=subscriptions,
            tenant=tenant,
            seed=self.store.settings.get("seed", seed),
            guests=self.guests,
        )
        self.store.set("seed", self.engine.seed)
        self.bearers = login.Bearers(self)
        self.front = server.Front(self)
        self._runner: web.AppRunner | None = None
        self._ticking: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Base URL of the server, without a slash at its end."""
        if not self.tls:
            return f"http://{self.host}:{self.port}"
        # Hosts of data planes are made by putting names before this one, which an address does not allow.
        host = "localhost" if self.host in LOOPBACK else self.host
        return f"https://{host}:{self.port}"

    @property
    def http_url(self) -> str:
        """Base URL without TLS, for IMDS; the same as `url` where there is no other."""
        return self.url if self.http_port is None else f"http://{self.host}:{self.http_port}"

    @property
    def ca(self) -> str:
        """The certificate, as PEM, that clients have to trust; the same after a restart with the same state."""
        return Authority.of(self.store).pem

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The request log, oldest first."""
        return list(self.store.requests)

    def log(self, entry: dict[str, Any]) -> None:
        """Append to the request log, numbered and timed."""
        last = self.store.requests[-1]["sequence"] if self.store.requests else 0
        self.store.log({
            "sequence": last + 1, **entry, "emulatedTime": round(self.clock.elapsed, 3), "wallTime": time.time(),
        })  # fmt: skip

    def commit(self) -> None:
        """Put on disk what changed, and the time."""
        clock = self.clock
        self.store.set("clock", {"base": clock.base.isoformat(), "elapsed": clock.elapsed, "speed": clock.speed})
        self.store.commit()

    def snapshot(self) -> bytes:
        """Everything that is kept, the time included."""
        self.engine.settle()
        self.commit()
        return self.store.snapshot()

    def restore(self, content: bytes) -> None:
        """Go back to a snapshot; ValueError for what is none, and while guests run, which have no snapshot."""
        if self.guests is not None:
            msg = "an emulator with guests cannot be restored while it runs: start a new one with --restore"
            raise ValueError(msg)
        self.store.restore(content)
        kept = self.store.settings["clock"]
        self.clock.reset(datetime.fromisoformat(kept["base"]), kept["elapsed"], kept["speed"])
        self.engine.seed = self.store.settings["seed"]
        self.faults = Faults(self.store)
        self.engine.reload()
        self.bearers = login.Bearers(self)
        self.commit()

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=server.MAX_BODY + 1)
        rooms = (admin.Admin(self), Page(self), login.Login(self), Metadata(self), graph.Graph(self), BootLogs(self),
                 Prices(self), self.front)  # fmt: skip
        app.add_routes([route for room in rooms for route in room.routes()])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        context = None
        if self.tls:
            context = Authority.of(self.store).server_context(self.tls_names, self.engine.data_planes)
            self.store.commit()  # whoever trusts the authority from now on must not lose it
        await web.TCPSite(runner, self.host, self.port, ssl_context=context).start()
        self.port = int(runner.addresses[0][1])
        if self.tls:
            self.engine.own_settings["address"] = self.url
            # Vaults are served here too; without TLS no client of theirs would come.
            self.engine.own_settings["vaultDns"] = f"vault.{self.url.removeprefix('https://')}"
            # Terraform wants storage endpoints to end as the cloud's metadata say.
            self.engine.own_settings["storageSuffix"] = f"core.{self.url.removeprefix('https://')}"
        if self.http_port is not None:
            await web.TCPSite(runner, self.host, self.http_port).start()
            self.http_port = int(runner.addresses[1][1])
        if self.guests is not None:
            ports = (self.port,) if self.http_port is None else (self.port, self.http_port)
            await self.guests.open(self.engine, self.host, *ports, trust=self.ca if self.tls else "")
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Stop listening and close the state."""
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        if self.guests is not None:
            await self.guests.close()
        if self._runner is not None:
            handlers = self._runner.server.connections if self._runner.server is not None else []
            transports = [handler.transport for handler in handlers]
            await self._runner.cleanup()
            for transport in transports:
                # A client that hung up without TLS's farewell would otherwise be waited for, half a minute long.
                if transport is not None:
                    transport.abort()
        self.commit()
        self.store.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _tick(self) -> None:
        """End operations when they are due, even if nobody looks."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KEEP_CLOCK_EVERY):
                    await self.clock.wait_until(self.engine.next_due)
            try:
                self.engine.settle()
                self.commit()
            except Exception:
                # A full disk, say: time must go on when there is room again, and somebody has to see it until then.
                logger.exception("what is due could not be done, or not be kept")
                await asyncio.sleep(KEEP_CLOCK_EVERY)
