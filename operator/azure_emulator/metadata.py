"""IMDS besides its tokens: /metadata/instance, /metadata/scheduledevents and /metadata/versions, for the VM that asks.

What the documents say of a machine is its resource provider's (providers/compute); this is the service around them:
the header that it insists on, paths below a document, and the two formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from azure_emulator import errors
from azure_emulator.login import asking_vm
from azure_emulator.providers.compute import imds, scheduled_events

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator
    from azure_emulator.store import Resource

# As /metadata/versions lists them; any date is taken, as the documents hardly differ.
VERSIONS = ("2017-08-01", "2019-08-01", "2020-07-01", "2020-09-01", "2021-02-01", "2021-12-13", "2023-07-01")


class Metadata:
    """Request handlers of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/metadata/versions", self.versions),
            web.get("/metadata/instance{path:(/.*)?}", self.instance),
            web.get("/metadata/scheduledevents", self.events),
            web.post("/metadata/scheduledevents", self.acknowledge),
        ]

    async def versions(self, request: web.Request) -> web.Response:
        """The api-versions that there are."""
        return _refused(request) or web.json_response({"apiVersions": list(VERSIONS)})

    async def instance(self, request: web.Request) -> web.Response:
        """The document of the machine that asks, or what is below a path in it."""
        machine, refusal = self._asking(request)
        if machine is None:
            return refusal
        found: Any = imds.instance_metadata(self._emulator.engine, machine)
        for part in filter(None, request.match_info["path"].split("/")):
            found = _below(found, part)
            if found is None:
                return web.json_response({"error": "Not found"}, status=errors.NOT_FOUND)
        if isinstance(found, dict | list) and request.query.get("format", "json") == "json":
            return web.json_response(found)
        if request.query.get("format") != "text":
            return _bad("Bad request. The requested format is not supported for this resource: use format=text.")
        return web.Response(text=_listing(found))

    async def events(self, request: web.Request) -> web.Response:
        """What is about to happen to the machine that asks, and to those of its set."""
        machine, refusal = self._asking(request)
        return refusal if machine is None else web.json_response(
            scheduled_events.document(self._emulator.engine, machine)
        )  # fmt: skip

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Let an event begin before its time."""
        machine, refusal = self._asking(request)
        if machine is None:
            return refusal
        try:
            asked = (await request.json())["StartRequests"]
            wanted = [str(one["EventId"]).lower() for one in asked]
        except (ValueError, KeyError, TypeError):
            return _bad('Bad request. Write {"StartRequests": [{"EventId": "..."}]}.')
        known = [scheduled_events.acknowledge(self._emulator.engine, machine, one) for one in wanted]
        self._emulator.engine.settle()
        self._emulator.commit()
        return web.Response(status=200 if all(known) else errors.BAD_REQUEST)

    def _asking(self, request: web.Request) -> tuple[Resource | None, web.Response]:
        refusal = _refused(request)
        if refusal is not None:
            return None, refusal
        if not request.query.get("api-version"):
            newest = ", ".join(reversed(VERSIONS))
            return None, _bad(f"Bad request. api-version was not specified in the request; use one of {newest}.")
        self._emulator.engine.settle()
        machine = asking_vm(self._emulator, request)
        return machine, web.json_response({"error": "No machine asks from there."}, status=errors.NOT_FOUND)


def _refused(request: web.Request) -> web.Response | None:
    if request.headers.get("Metadata", "").lower() != "true":
        return _bad("Bad request: no Metadata header in request.")
    if "X-Forwarded-For" in request.headers:
        return _bad("Bad request. X-Forwarded-For is not supported.")
    return None


def _bad(text: str) -> web.Response:
    return web.json_response({"error": text}, status=errors.BAD_REQUEST)


def _below(value: Any, part: str) -> Any:
    if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return value.get(part) if isinstance(value, dict) else None


def _listing(value: Any) -> str:
    """As format=text writes it: a value, or the names of what is below, with a slash where there is more."""
    if isinstance(value, dict):
        return "\n".join(f"{name}/" if isinstance(inner, dict | list) else name for name, inner in value.items())
    if isinstance(value, list):
        return "\n".join(f"{position}/" for position in range(len(value)))
    return str(value)
