"""ARM over HTTP: bodies in, faults, request limits, correlation headers, the request log, answers out.

Knows no resource type: it turns an HTTP request into a Call, and the engine's Answer into a response. Whatever comes
in, what goes out is an ARM error or an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from azure_emulator import errors, relaxed_json
from azure_emulator.arm_path import ArmPath, parse
from azure_emulator.engine import action_of
from azure_emulator.errors import ArmError
from azure_emulator.login import authenticate, base_url
from azure_emulator.page import Page
from azure_emulator.throttling import Throttling
from azure_emulator.types import SOMEBODY, Answer, Call, DataCall, Principal

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator
    from azure_emulator.faults import Fault

logger = logging.getLogger(__name__)

# ARM takes requests of up to 4 MB. How deep they may be nested is an assumption.
MAX_BODY = 4 * 2**20
MAX_DEPTH = 100

# How often a request that hangs looks whether its client is still there (real seconds).
HANG_LOOKS = 0.2

# What may not stand in a path: control characters, and separators that decoding would bring to light.
_TRICKS = re.compile(r"%2f|%5c|%00|[\x00-\x1f\x7f\\]", re.IGNORECASE)
# But SDKs send a scope as one segment with its slashes encoded (locks by scope), which ARM takes at the beginning.
_SCOPE = re.compile(r"^/%2F(?:subscriptions|providers)%2F[^/]*", re.IGNORECASE)


@dataclass
class Exchange:
    """One request on its way through the front."""

    request: web.Request
    path: ArmPath
    began: float = field(default_factory=time.perf_counter)
    identity: str = field(default_factory=lambda: str(uuid.uuid4()))
    principal: Principal | None = None
    code: str | None = None
    limits: dict[str, str] = field(default_factory=dict)

    @property
    def correlation(self) -> str:
        """What ties the requests of one task together, in the activity log too."""
        return self.request.headers.get("x-ms-correlation-request-id", self.identity)


class Front:
    """Request handlers of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.throttling = Throttling(emulator.engine)
        emulator.engine.interfere = self._interfere

    def routes(self) -> list[web.RouteDef]:
        """What no other route takes is ARM's, or a data plane's if the host says so."""
        return [web.route("*", "/{path:(?s:.*)}", self.arm)]

    async def arm(self, request: web.Request) -> web.StreamResponse:
        """Any ARM request, or a browser's that comes to see what goes on."""
        if Page.is_wanted(request):
            return Page.index()
        exchange = Exchange(request, parse(request.path))
        try:
            content = await request.read()
        except web.HTTPRequestEntityTooLarge:
            content = None
        fault = self._emulator.faults.take(request.method, exchange.path)
        if fault is not None and fault.hang:
            return await _hang(request)
        if fault is not None:
            await self._wait(fault)
        answer = self._answer(exchange, content, fault)
        if fault is not None and (fault.lost_answer or fault.cut_answer):
            return await _broken(request, answer, half=fault.cut_answer)
        return _respond(answer)

    async def _wait(self, fault: Fault) -> None:
        clock = self._emulator.clock
        until = clock.elapsed + fault.delay_seconds
        while clock.elapsed < until:  # noqa: ASYNC110
            # A clock moved by hand wakes waiters only through short sleeps: several may wait for different moments.
            await asyncio.sleep(0.02)

    def _answer(self, exchange: Exchange, content: bytes | None, fault: Fault | None) -> Answer:
        engine = self._emulator.engine
        engine.started = None
        try:
            answer = self._handle(exchange, content, fault)
        except ArmError as error:
            exchange.code = error.code
            answer = Answer(error.status, error.body(), dict(error.headers))
        except Exception:
            # The last resort: a defect of ours must look like one of Azure's to the client, and be seen by us.
            logger.exception("%s %s", exchange.request.method, exchange.request.path)
            exchange.code = "InternalServerError"
            answer = Answer(500, ArmError(500, exchange.code, "Encountered internal server error.").body())
        finally:
            engine.planned_failure = engine.planned_end = None
        answer.headers.update(self._headers(exchange))
        if fault is not None and fault.lost_answer:
            exchange.code = "LostAnswer"
        self._log(exchange, answer)
        self._emulator.commit()
        return answer

    def _handle(self, exchange: Exchange, content: bytes | None, fault: Fault | None) -> Answer:
        emulator, request = self._emulator, exchange.request
        name, _, rest = request.host.partition(".")
        plane = emulator.engine.data_planes.get(rest.partition(".")[0].partition(":")[0])
        if plane is None or "Authorization" in request.headers:
            exchange.principal = authenticate(emulator, request)
        body = _body(request, content)
        if fault is not None:
            self._break(fault)
        if plane is not None:
            emulator.engine.settle()
            return plane(DataCall(
                engine=emulator.engine, method=request.method, host=request.host, name=name, path=request.path,
                query=dict(request.query), headers=request.headers, body=body, base_url=base_url(request),
                principal=exchange.principal,
            ))  # fmt: skip
        query = {key.lower() if key.lower() == "api-version" else key: value for key, value in request.query.items()}
        call = Call(
            engine=emulator.engine, method=request.method, path=exchange.path, query=query, headers=request.headers,
            body=body, base_url=base_url(request), api_version=query.get("api-version", ""),
            principal=exchange.principal or SOMEBODY,
        )  # fmt: skip
        exchange.limits = self.throttling.take(call)
        return emulator.engine.handle(call)

    def _interfere(self, method: str, path: ArmPath) -> None:
        """Let the fault script act on a request from within, which has no connection that could break or hang."""
        fault = self._emulator.faults.take(method, path)
        if fault is not None:
            self._break(fault)

    def _break(self, fault: Fault) -> None:
        engine = self._emulator.engine
        if fault.outside is not None:
            asked = fault.outside
            with contextlib.suppress(ArmError):  # somebody's request may be refused, like anybody's
                engine.request(SOMEBODY, asked.method, asked.path, asked.body, api_version=asked.api_version)
        if fault.answer is not None:
            raise fault.answer.error()
        if fault.operation is not None:
            engine.planned_failure = fault.operation.error()
            engine.planned_end = fault.operation.ends, fault.operation.leaves

    def _log(self, exchange: Exchange, answer: Answer) -> None:
        engine, request = self._emulator.engine, exchange.request
        principal = exchange.principal
        self._emulator.log({
            "method": request.method,
            "path": request.path,
            "type": exchange.path.type_name,
            "apiVersion": request.query.get("api-version"),
            "status": answer.status,
            "code": exchange.code,
            "caller": principal.name or principal.app_id or principal.object_id if principal is not None else None,
            "callerObjectId": principal.object_id if principal is not None else None,
            "action": action_of(request.method, exchange.path),
            "correlationId": exchange.correlation,
            "requestId": exchange.identity,
            "clientRequestId": request.headers.get("x-ms-client-request-id"),
            "userAgent": request.headers.get("User-Agent"),
            "operation": engine.started.id if engine.started is not None else None,
            "durationMs": round((time.perf_counter() - exchange.began) * 1000, 3),
        })  # fmt: skip
        engine.started = None

    def _headers(self, exchange: Exchange) -> dict[str, str]:
        request, identity = exchange.request, exchange.identity
        moment = self._emulator.clock.now.strftime("%Y%m%dT%H%M%SZ")
        headers = {
            "Cache-Control": "no-cache",
            "Pragma": "no-cache",
            "x-ms-request-id": identity,
            "x-ms-correlation-request-id": exchange.correlation,
            "x-ms-routing-request-id": f"EMULATED:{moment}:{identity}",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "X-Content-Type-Options": "nosniff",
        }
        client = request.headers.get("x-ms-client-request-id")
        if client is not None and request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
            headers["x-ms-client-request-id"] = client
        return headers | exchange.limits


def _body(request: web.Request, content: bytes | None) -> Any:
    """The JSON document of a request, or the refusal that ARM has for what is none."""
    path = request.raw_path.partition("?")[0]
    path = _SCOPE.sub(lambda scope: re.sub("%2F", "/", scope[0], flags=re.IGNORECASE), path)
    if _TRICKS.search(path):
        raise errors.bad_request("InvalidRequestUri", "The request URI contains characters that are not allowed.")
    if content is None or len(content) > MAX_BODY:
        message = f"The request content size exceeds the maximum size of {MAX_BODY // 2**20} MB."
        raise ArmError(413, "RequestContentTooLarge", message)
    if not content.strip():
        return None
    kind = request.headers.get("Content-Type")
    if kind is not None and request.content_type not in ("application/json", "text/json", "application/octet-stream"):
        raise ArmError(
            415,
            "UnsupportedMediaType",
            f"The content media type '{request.content_type}' is not supported. Only 'application/json' is supported.",
        )
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        body = _relaxed(request, content, error)
    if _depth(body) > MAX_DEPTH:
        raise _not_deserialized(f"The reader's MaxDepth of {MAX_DEPTH} has been exceeded.")
    return body


def _relaxed(request: web.Request, content: bytes, error: Exception) -> Any:
    """Deployments may be written as people write JSON, comments and all: the az command line sends them so."""
    if "/providers/microsoft.resources/deployments/" in request.path.lower():
        with contextlib.suppress(ValueError):
            return relaxed_json.loads(content.decode())
    raise _not_deserialized(str(error)) from error


def _not_deserialized(why: str) -> ArmError:
    return errors.bad_request(
        "InvalidRequestContent", f"The request content was invalid and could not be deserialized: '{why}'."
    )


def _depth(value: Any) -> int:
    """How deep a document is nested, without recursion: that is what it protects us from."""
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        deepest += 1
        level = below
    return deepest


def _respond(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    headers = {**answer.headers, "Content-Type": "application/json; charset=utf-8"}
    return web.Response(status=answer.status, headers=headers, body=orjson.dumps(answer.body))


async def _hang(request: web.Request) -> web.StreamResponse:
    """Never answer; it ends when the client does not wait any more."""
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 (nothing tells of it)
        await asyncio.sleep(HANG_LOOKS)
    return web.Response(status=500)


async def _broken(request: web.Request, answer: Answer, *, half: bool) -> web.StreamResponse:
    """Drop the connection: before the answer, or in the middle of it."""
    if half and answer.body is not None:
        content = orjson.dumps(answer.body)
        response = web.StreamResponse(
            status=answer.status, headers={**answer.headers, "Content-Length": str(len(content))}
        )
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
