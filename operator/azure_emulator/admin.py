"""The admin API under /emulator/: the clock, the logs, faults, quota and capacity. No authentication: loopback only.

Speaks plain JSON of its own, never ARM's; a bad request gets 400 with one sentence that says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import AfterValidator, Field, ValidationError

from azure_emulator import locations
from azure_emulator.directory_admin import DirectoryAdmin
from azure_emulator.documents import Document, sentence
from azure_emulator.engine import LATER
from azure_emulator.errors import ArmError
from azure_emulator.faults import Outside
from azure_emulator.types import SOMEBODY

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK = ("127.", "::1", "::ffff:127.")


def _region(name: str) -> str:
    region = locations.normalise(name)
    if region not in locations.REGIONS:
        msg = f"there is no region {name!r}; write one of {', '.join(sorted(locations.REGIONS))}"
        raise ValueError(msg)
    return region


Region = Annotated[str, AfterValidator(_region)]


class Speed(Document):
    """Emulated seconds per real second."""

    speed: float = Field(ge=0, strict=False)


class Advance(Document):
    """How far to move the clock."""

    seconds: float = Field(ge=0, strict=False)


class Quota(Document):
    """The limit of a usage, such as standardHBv3Family."""

    location: Region
    name: str
    limit: int = Field(ge=0)


class Capacity(Document):
    """How many more VMs of a size can be had; null lifts the limit.

    `refuse` chooses how scarcity shows: "sync" (SkuNotAvailable, 409) or "operation" (AllocationFailed at the end of
    the operation).
    """

    vm_size: Annotated[str, AfterValidator(str.lower)]
    location: Region | None = None
    zone: str | None = None
    priority: Literal["Regular", "Spot"] | None = None
    count: int | None = Field(ge=0)
    refuse: Literal["sync", "operation"] = "operation"


class Image(Document):
    """A marketplace image version."""

    publisher: str
    offer: str
    sku: str
    version: str


Model = TypeVar("Model", bound=Document)


class Admin:
    """Handlers of the admin API of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

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
            ("POST", "/emulator/faults", self.add_fault),
            ("DELETE", "/emulator/faults", self.remove_faults),
            ("DELETE", "/emulator/faults/{id}", self.remove_faults),
            ("PUT", "/emulator/quota", self.quota),
            ("PUT", "/emulator/capacity", self.capacity),
            ("POST", "/emulator/images", self.image),
            ("PUT", "/emulator/settings", self.settings),
            ("GET", "/emulator/health", self.health),
            *DirectoryAdmin(self._emulator).table(),
        ]
        return [web.route(method, path, self._guarded(handler)) for method, path, handler in table]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not (request.remote or "").startswith(LOOPBACK):
                return web.json_response({"error": "The admin API answers on loopback only."}, status=403)
            try:
                answer = await handler(request)
            except ValidationError as error:
                return web.json_response({"error": sentence(error)}, status=400)
            except (ValueError, re.error) as error:
                return web.json_response({"error": f"This cannot be read: {error}"}, status=400)
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
        """Every operation ever started."""
        self._emulator.engine.settle()
        found = sorted(self._emulator.store.operations.values(), key=lambda operation: operation.start)
        document = [
            {
                "id": operation.id, "resourceId": operation.resource, "type": operation.type, "verb": operation.verb,
                "startSeconds": operation.start, "endSeconds": operation.end, "status": operation.status,
                "code": (operation.failure or {}).get("code") if not operation.running else None,
            }
            for operation in found
            if not operation.verb.startswith(LATER)
        ]  # fmt: skip
        return web.json_response(document)

    async def resources(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Every resource."""
        self._emulator.engine.settle()
        document = [
            {"id": resource.id, "type": resource.type, "provisioningState": resource.state}
            for resource in self._emulator.store.resources.values()
        ]
        return web.json_response(document)

    async def health(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Readiness."""
        return web.json_response({"status": "ok"})

    # -- what should happen ------------------------------------------------------------------------------------------

    async def faults(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """The fault script."""
        return web.json_response([fault.document() for fault in self._emulator.faults.all()])

    async def add_fault(self, request: web.Request) -> web.Response:
        """Add to the fault script."""
        return web.json_response(self._emulator.faults.add(await request.json()).document(), status=201)

    async def remove_faults(self, request: web.Request) -> web.Response:
        """Remove one fault, or all of them."""
        identity = request.match_info.get("id")
        self._emulator.faults.remove(int(identity) if identity is not None else None)
        return web.Response(status=204)

    async def quota(self, request: web.Request) -> web.Response:
        """Set the limit of a usage."""
        quota = await _document(request, Quota)
        limits = self._setting("quota", {})
        limits[f"{quota.location}/{quota.name.lower()}"] = quota.limit
        self._emulator.store.set("quota", limits)
        return web.json_response(limits)

    async def capacity(self, request: web.Request) -> web.Response:
        """Set how many more VMs of a size can be had."""
        row = (await _document(request, Capacity)).model_dump(by_alias=True)
        same = ("vmSize", "location", "zone", "priority")
        rows = [old for old in self._setting("capacity", []) if any(old[key] != row[key] for key in same)]
        if row["count"] is not None:
            rows.append(row)
        self._emulator.store.set("capacity", rows)
        return web.json_response(rows)

    async def image(self, request: web.Request) -> web.Response:
        """Add a marketplace image version."""
        image = (await _document(request, Image)).model_dump()
        self._emulator.store.set("images", [*self._setting("images", []), image])
        return web.json_response(image, status=201)

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

    async def cancel(self, request: web.Request) -> web.Response:
        """End a running operation as Canceled."""
        engine = self._emulator.engine
        engine.settle()
        operation = engine.store.operations.get(request.match_info["id"].lower())
        if operation is None or operation.verb.startswith(LATER):
            return web.json_response({"error": "There is no such operation; see /emulator/operations."}, status=404)
        engine.cancel(operation)
        return web.json_response({"id": operation.id, "status": operation.status})

    async def settings(self, request: web.Request) -> web.Response:
        """Set tunables of behaviour by name, such as {"serialisedWrites": "failed"}."""
        document = await request.json()
        if not isinstance(document, dict):
            msg = "write an object of names and values"
            raise ValueError(msg)  # noqa: TRY004 (what the guard turns into 400)
        for name, value in document.items():
            self._emulator.store.set(str(name), value)
        return web.json_response(document)

    def _setting(self, name: str, default: Any) -> Any:
        value = self._emulator.store.settings.get(name, default)
        return value.copy()


async def _document(request: web.Request, model: type[Model]) -> Model:
    return model.model_validate_json(await request.text())
