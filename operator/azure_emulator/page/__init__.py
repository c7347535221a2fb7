"""The status page at `/`: resource groups, resources as a graph and a table, running operations, the last requests.

Reads and never changes anything; plain files without a build step, and one JSON document that they ask for again and
again. Lists are bounded, so that 50,000 resources do not arrive in a browser at once.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from azure_emulator.arm_path import RESOURCE_GROUP
from azure_emulator.engine import LATER
from azure_emulator.store import Operation, Resource, Store

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator

RESOURCES_SHOWN, OPERATIONS_SHOWN, REQUESTS_SHOWN = 400, 50, 40
_FILES = Path(__file__).parent
_KINDS = {"index.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}


class Page:
    """Handlers of the status page of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[web.RouteDef]:
        """The page's files and its document."""
        return [
            web.get("/emulator/page/{name}", self.file),
            web.get("/emulator/overview", self.overview),
        ]

    @staticmethod
    def is_wanted(request: web.Request) -> bool:
        """Whether a request for `/` comes from a browser: ARM's clients want JSON."""
        return request.path == "/" and request.method == "GET" and "text/html" in request.headers.get("Accept", "")

    @staticmethod
    def index() -> web.Response:
        """The page."""
        return _file("index.html")

    async def file(self, request: web.Request) -> web.Response:
        """One of the page's files."""
        name = request.match_info["name"]
        if name not in _KINDS:
            raise web.HTTPNotFound
        return _file(name)

    async def overview(self, request: web.Request) -> web.Response:
        """What the page shows, of one resource group if ?group= names one."""
        engine, store = self._emulator.engine, self._emulator.store
        engine.settle()
        clock = self._emulator.clock
        running = sorted(
            (one for one in engine.under_way() if not one.verb.startswith(LATER)), key=lambda one: one.start
        )
        groups = store.of_type(RESOURCE_GROUP)
        chosen = next((group for group in groups if group.name.lower() == request.query.get("group", "").lower()), None)
        chosen = chosen or next(iter(groups), None)
        below = store.below(chosen.id) if chosen is not None else []
        return web.json_response({
            "clock": {"now": clock.iso(), "elapsedSeconds": round(engine.now, 1), "speed": clock.speed},
            "groups": [_group(store, group) for group in groups],
            "group": chosen.name if chosen is not None else None,
            "resources": _resources(store, below[:RESOURCES_SHOWN]),
            "resourcesInGroup": len(below),
            "states": Counter(resource.state for resource in below),
            "operations": [_operation(one, engine.now) for one in islice(running, OPERATIONS_SHOWN)],
            "operationsRunning": len(running),
            "requests": [_request(entry) for entry in islice(reversed(store.requests), REQUESTS_SHOWN)],
        })  # fmt: skip


def _file(name: str) -> web.Response:
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'self'; img-src data:"}
    return web.Response(text=(_FILES / name).read_text(), content_type=_KINDS[name], headers=headers)


def _group(store: Store, group: Resource) -> dict[str, Any]:
    return {
        "name": group.name, "location": group.location, "state": group.state,
        "resources": len(store.children(group.id)),
    }  # fmt: skip


def _resources(store: Store, shown: list[Resource]) -> list[dict[str, Any]]:
    """Rows with what each refers to among them, its parent included: the edges of the graph."""
    known = {resource.key for resource in shown}
    return [
        {
            "id": resource.id, "name": resource.name, "type": resource.type, "location": resource.location,
            "state": resource.state,
            "refersTo": sorted(({resource.parent.lower()} | store.references(resource.id)) & known - {resource.key}),
        }
        for resource in shown
    ]  # fmt: skip


def _operation(operation: Operation, now: float) -> dict[str, Any]:
    span = operation.end - operation.start
    return {
        "id": operation.id, "resource": operation.resource, "verb": operation.verb,
        "percent": round(100 * min(1.0, (now - operation.start) / span), 1) if span > 0 else 0.0,
        "secondsLeft": round(max(0.0, operation.end - now), 1),
    }  # fmt: skip


def _request(entry: dict[str, Any]) -> dict[str, Any]:
    wanted = ("sequence", "method", "path", "status", "code", "caller", "durationMs", "emulatedTime")
    return {name: entry.get(name) for name in wanted}
