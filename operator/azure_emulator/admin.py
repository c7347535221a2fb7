"""The admin API under /emulator/: the clock, the logs, faults, quota and capacity. No authentication: loopback only.

Speaks plain JSON of its own, never ARM's; a bad request gets 400 with one sentence that says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from azure_emulator import scenario
from azure_emulator.commands import Capacity, Commands, Image, Machine, Quota, Restriction, Settings
from azure_emulator.directory_admin import DirectoryAdmin
from azure_emulator.documents import Document, Model, sentence
from azure_emulator.engine import LATER
from azure_emulator.errors import ArmError
from azure_emulator.faults import Fault, Outside
from azure_emulator.scenario import Scenario
from azure_emulator.tunables import TUNABLES
from azure_emulator.types import SOMEBODY

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK = ("127.", "::1", "::ffff:127.")
# Calendars end with the year 9999: a day in a second, and a century at once, are as much as anybody needs.
FASTEST, FARTHEST = 86_400.0, 100 * 365.25 * 86_400.0


class Speed(Document):
    """Emulated seconds per real second."""

    speed: float = Field(ge=0, le=FASTEST, allow_inf_nan=False, strict=False)


class Advance(Document):
    """How far to move the clock."""

    seconds: float = Field(ge=0, le=FARTHEST, allow_inf_nan=False, strict=False)


class Admin:
    """Handlers of the admin API of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._directory = DirectoryAdmin(emulator)

    def routes(self) -> list[web.RouteDef]:
        """All admin routes."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/emulator/clock", self.clock),
            ("PUT", "/emulator/clock", self.set_clock),
            ("POST", "/emulator/clock/advance", self.advance),
            ("GET", "/emulator/requests", self.requests),
            ("GET", "/emulator/operations", self.operations),
            ("POST", "/emulator/operations/{id}/cancel", self.cancel),
            ("GET", "/emulator/resources", self.resources),
            ("POST", "/emulator/outside", self.outside),
            ("GET", "/emulator/faults", self.faults),
            ("DELETE", "/emulator/faults", self.remove_faults),
            ("DELETE", "/emulator/faults/{id}", self.remove_faults),
            ("GET", "/emulator/snapshot", self.snapshot),
            ("PUT", "/emulator/snapshot", self.restore),
            ("GET", "/emulator/health", self.health),
            ("GET", "/emulator/settings", self.settings),
            *self._directory.table(),
            *((method, path, _taking(model, run, method)) for method, path, model, run in self._commands()),
        ]
        return [web.route(method, path, self._guarded(handler)) for method, path, handler in table]

    def _commands(self) -> list[tuple[str, str, type[BaseModel], Callable[[Any], Any]]]:
        commands = Commands(self._emulator)
        return [
            ("PUT", "/emulator/quota", Quota, commands.quota),
            ("PUT", "/emulator/capacity", Capacity, commands.capacity),
            ("POST", "/emulator/restrictions", Restriction, commands.restriction),
            ("POST", "/emulator/images", Image, commands.image),
            ("POST", "/emulator/faults", Fault, commands.fault),
            ("PUT", "/emulator/settings", Settings, commands.settings),
            ("POST", "/emulator/machines", Machine, commands.machine),
            ("POST", "/emulator/scenario", Scenario, lambda asked: scenario.apply(self._emulator, asked)),
            *self._directory.commands(),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not (request.remote or "").startswith(LOOPBACK):
                return web.json_response({"error": "The admin API answers on loopback only."}, status=403)
            try:
                answer = await handler(request)
            except ValidationError as error:
                return web.json_response({"error": sentence(error)}, status=400)
            except (ValueError, re.error) as error:
                return web.json_response({"error": str(error)}, status=400)
            self._emulator.commit()
            return answer

        return guarded

    # -- time --------------------------------------------------------------------------------------------------------

    async def clock(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Read the clock."""
        return web.json_response(self._clock())

    async def set_clock(self, request: web.Request) -> web.Response:
        """Set the speed."""
        self._emulator.clock.speed = (await _document(request, Speed)).speed
        return web.json_response(self._clock())

    async def advance(self, request: web.Request) -> web.Response:
        """Move the clock by hand; everything that falls due happens before the answer."""
        self._emulator.clock.advance((await _document(request, Advance)).seconds)
        self._emulator.engine.settle()
        return web.json_response(self._clock())

    def _clock(self) -> dict[str, Any]:
        clock = self._emulator.clock
        elapsed = clock.elapsed
        return {
            "now": clock.iso(elapsed),
            "elapsedSeconds": elapsed,
            "speed": clock.speed,
            "nextDueSeconds": self._emulator.engine.next_due,
        }

    # -- what happened -----------------------------------------------------------------------------------------------

    async def requests(self, request: web.Request) -> web.Response:
        """The request log, after a sequence number, of a method, with a path that a regular expression finds."""
        query = request.query
        since = int(query.get("since", 0))
        method = query.get("method", "").upper()
        path = re.compile(query.get("path", ""), re.IGNORECASE)
        log = self._emulator.store.requests
        found = [
            entry
            for entry in log
            if entry["sequence"] > since and method in ("", entry["method"]) and path.search(entry["path"])
        ]
        return web.json_response({"requests": found, "last": log[-1]["sequence"] if log else 0})

    async def operations(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Every operation that is remembered, oldest first."""
        self._emulator.engine.settle()
        found = sorted(self._emulator.store.operations.values(), key=lambda operation: operation.start)
        document = [operation.document() for operation in found if not operation.verb.startswith(LATER)]
        return web.json_response(document)

    async def resources(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Every resource."""
        self._emulator.engine.settle()
        document = [
            {"id": resource.id, "type": resource.type, "provisioningState": resource.state}
            for resource in self._emulator.store.resources.values()
        ]
        return web.json_response(document)

    async def settings(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """All tunables with their values; what the emulator keeps for itself is not among them."""
        kept = self._emulator.store.settings
        shown = {name: kept.get(name, tunable.default) for name, tunable in sorted(TUNABLES.items())}
        return web.json_response(shown)

    async def health(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Readiness."""
        return web.json_response({"status": "ok"})

    # -- what should happen ------------------------------------------------------------------------------------------

    async def faults(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """The fault script."""
        return web.json_response([fault.document() for fault in self._emulator.faults.all()])

    async def remove_faults(self, request: web.Request) -> web.Response:
        """Remove one fault, or all of them."""
        identity = request.match_info.get("id")
        self._emulator.faults.remove(int(identity) if identity is not None else None)
        return web.Response(status=204)

    async def outside(self, request: web.Request) -> web.Response:
        """Let somebody else make an ARM request: what changes or deletes a resource behind a client's back."""
        asked = await _document(request, Outside)
        engine = self._emulator.engine
        engine.settle()
        try:
            answer, _ = engine.request(
                SOMEBODY, asked.method, asked.path, asked.body, api_version=asked.api_version,
                base_url=self._emulator.url,
            )  # fmt: skip
        except ArmError as error:
            return web.json_response(error.body(), status=error.status)
        return web.json_response(answer.body, status=answer.status)

    async def snapshot(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Everything that is kept; it holds write-only values, so whoever has it should keep it to themselves."""
        return web.Response(body=self._emulator.snapshot(), content_type="application/vnd.sqlite3")

    async def restore(self, request: web.Request) -> web.Response:
        """Go back to a snapshot."""
        chunks = [chunk async for chunk in request.content.iter_any()]  # it may be larger than any ARM request
        self._emulator.restore(b"".join(chunks))
        return web.json_response(self._clock())

    async def cancel(self, request: web.Request) -> web.Response:
        """End a running operation as Canceled."""
        engine = self._emulator.engine
        engine.settle()
        operation = engine.store.operations.get(request.match_info["id"].lower())
        if operation is None or operation.verb.startswith(LATER):
            return web.json_response({"error": "There is no such operation; see /emulator/operations."}, status=404)
        engine.cancel(operation)
        return web.json_response({"id": operation.id, "status": operation.status})


def _taking(model: type[BaseModel], run: Callable[[Any], Any], method: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        asked = model.model_validate_json(await request.text())
        return web.json_response(run(asked), status=201 if method == "POST" else 200)

    return handler


async def _document(request: web.Request, model: type[Model]) -> Model:
    return model.model_validate_json(await request.text())
