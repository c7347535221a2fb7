"""ARM over HTTP: faults, correlation and rate-limit headers, the request log.

Knows no resource type: it turns an HTTP request into a Call, and the engine's Answer into a response.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.errors import ArmError
from azure_emulator.login import authenticate, base_url
from azure_emulator.types import Answer, Call, DataCall, Principal

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator
    from azure_emulator.faults import Fault

# ARM's limits per subscription, principal and region: bucket size and refill per second (azure-docs,
# request-limits-and-throttling). Shown in headers; an emulated subscription does not refuse by them yet.
BUCKETS = {"reads": (250, 25.0), "writes": (200, 10.0), "deletes": (200, 10.0)}
_BUCKET_OF = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}
MAX_BODY = 8 * 2**20


class Buckets:
    """The remaining-requests counters that ARM reports."""

    def __init__(self) -> None:
        self._levels: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, subscription: str, method: str, now: float) -> dict[str, str]:
        """Count a request and say what remains."""
        name = _BUCKET_OF.get(method, "writes")
        size, refill = BUCKETS[name]
        level, since = self._levels.get((subscription, name), (float(size), now))
        level = max(0.0, min(float(size), level + (now - since) * refill) - 1)
        self._levels[subscription, name] = level, now
        return {
            f"x-ms-ratelimit-remaining-subscription-{name}": str(int(level)),
            f"x-ms-ratelimit-remaining-subscription-global-{name}": str(15 * size - (size - int(level))),
        }


class Front:
    """Request handlers of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._buckets = Buckets()

    def routes(self) -> list[web.RouteDef]:
        """What no other route takes is ARM's, or a data plane's if the host says so."""
        return [web.route("*", "/{path:.*}", self.arm)]

    # -- ARM ---------------------------------------------------------------------------------------------------------

    async def arm(self, request: web.Request) -> web.StreamResponse:
        """Any ARM request."""
        text = await request.text()
        fault = self._emulator.faults.take(request.method, request.path)
        if fault is not None:
            await self._wait(fault)
        answer = self._answer(request, text, fault)
        if fault is not None and fault.lost_answer:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return _respond(answer)

    async def _wait(self, fault: Fault) -> None:
        clock = self._emulator.clock
        until = clock.elapsed + fault.delay_seconds
        while fault.hang or clock.elapsed < until:  # noqa: ASYNC110
            # A clock moved by hand wakes waiters only through short sleeps: several may wait for different moments.
            await asyncio.sleep(0.02)

    def _answer(self, request: web.Request, text: str, fault: Fault | None) -> Answer:
        emulator = self._emulator
        engine = emulator.engine
        code: str | None = None
        try:
            if fault is not None and fault.refusal is not None:
                raise fault.refusal
            engine.planned_failure = fault.operation_failure if fault is not None else None
            answer = self._dispatch(request, text)
        except ArmError as error:
            code = error.code
            answer = Answer(error.status, error.body(), dict(error.headers))
        finally:
            engine.planned_failure = None
        answer.headers.update(self._headers(request, answer))
        if fault is not None and fault.lost_answer:
            code = "LostAnswer"
        emulator.log({
            "method": request.method,
            "path": request.path,
            "apiVersion": request.query.get("api-version"),
            "status": answer.status,
            "code": code,
            "clientRequestId": request.headers.get("x-ms-client-request-id"),
            "userAgent": request.headers.get("User-Agent"),
            "operation": engine.started.id if engine.started is not None else None,
        })  # fmt: skip
        engine.started = None
        emulator.commit()
        return answer

    def _dispatch(self, request: web.Request, text: str) -> Answer:
        emulator = self._emulator
        name, _, rest = request.host.partition(".")
        plane = emulator.engine.data_planes.get(rest.partition(".")[0].partition(":")[0])
        if plane is None:
            return emulator.engine.handle(_call(emulator, request, text, authenticate(emulator, request)))
        has_bearer = "Authorization" in request.headers
        emulator.engine.settle()
        return plane(DataCall(
            engine=emulator.engine, method=request.method, host=request.host, name=name, path=request.path,
            query=dict(request.query), headers=request.headers, body=_json(text), base_url=base_url(request),
            principal=authenticate(emulator, request) if has_bearer else None,
        ))  # fmt: skip

    def _headers(self, request: web.Request, answer: Answer) -> dict[str, str]:
        identity = str(uuid.uuid4())
        correlation = request.headers.get("x-ms-correlation-request-id", identity)
        moment = self._emulator.clock.now.strftime("%Y%m%dT%H%M%SZ")
        headers = {
            "Cache-Control": "no-cache",
            "Pragma": "no-cache",
            "x-ms-request-id": identity,
            "x-ms-correlation-request-id": correlation,
            "x-ms-routing-request-id": f"EMULATED:{moment}:{identity}",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "X-Content-Type-Options": "nosniff",
        }
        client = request.headers.get("x-ms-client-request-id")
        if client is not None and request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
            headers["x-ms-client-request-id"] = client
        if answer.status != errors.UNAUTHORIZED:
            subscription = parse(request.path).subscription or ""
            headers.update(self._buckets.take(subscription.lower(), request.method, self._emulator.clock.elapsed))
        return headers


def _call(emulator: Emulator, request: web.Request, text: str, principal: Principal) -> Call:
    query: Mapping[str, str] = dict(request.query)
    version = next((value for key, value in query.items() if key.lower() == "api-version"), "")
    return Call(
        engine=emulator.engine, method=request.method, path=parse(request.path), query=query, headers=request.headers,
        body=_json(text), base_url=base_url(request), api_version=version, principal=principal,
    )  # fmt: skip


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else None
    except ValueError as error:
        message = f"The request content was invalid and could not be deserialized: '{error}'."
        raise errors.bad_request("InvalidRequestContent", message) from error


def _respond(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    body: Any = json.dumps(answer.body).encode()
    headers = {**answer.headers, "Content-Type": "application/json; charset=utf-8"}
    return web.Response(status=answer.status, headers=headers, body=body)
