"""The two proxies between the operator and its servers: they name every call, and do to it what the script says.

A proxy never decides: `Conductor.begin` says what happens to a call, `Conductor.kill` ends the operator.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from crashing.calls import AZURE, KUBERNETES, Call, Names

BEFORE, SENT, ANSWERED = KILLS = ("before", "sent", "answered")
"""Kill it before the call goes out, after the server has done it, after the answer was delivered."""
UNSENT, LOST, CUT, HANG, LATE = "unsent", "lost", "cut", "hang", "late"
"""It never arrives, nobody hears of it, half of the answer comes, none ever comes, it is accepted and fails later."""
WATCH_CUT, RESTART = "watch cut", "api server restart"
"""What happens to the API server just before it is sent."""
REFUSALS = {
    "409": ("AnotherOperationInProgress", "Another operation is in progress."),
    "412": ("PreconditionFailed", "The etag does not match."),
    "429": ("TooManyRequests", "Slow down."),
    "500": ("InternalServerError", "Encountered internal server error."),
    "503": ("ServiceUnavailable", "The service is unavailable."),
}
RETRY_MILLISECONDS = "50"

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


class Conductor(Protocol):
    """What decides."""

    names: Names
    stage: str

    def begin(self, server: str, name: str, method: str, path: str, query: str, body: bytes) -> Call: ...
    def end(self, call: Call) -> None: ...
    async def kill(self, call: Call) -> None: ...
    def is_alive(self, call: Call) -> bool: ...
    async def fail_late(self, call: Call) -> None: ...
    async def restart_api_server(self) -> None: ...


class Proxy:
    """One of them.

    Parameters
    ----------
    server
        `AZURE` or `KUBERNETES`.
    upstream
        URL of the server.
    tls
        For an upstream that wants it.
    """

    def __init__(self, server: str, upstream: str, conductor: Conductor, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._upstream = upstream.rstrip("/")
        self._conductor = conductor
        self._tls = tls
        self._ends = contextlib.AsyncExitStack()
        self._watches: set[asyncio.Transport] = set()
        self.url = ""

    async def start(self) -> None:
        self._session = await self._ends.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._tls or True),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._ends.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def close(self) -> None:
        self.cut_watches()
        await self._ends.aclose()

    def cut_watches(self) -> None:
        """Break every watch, as a load balancer does."""
        for transport in self._watches:
            transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        watch = self._server == KUBERNETES and "watch" in request.query
        names, stage = self._conductor.names, self._conductor.stage
        name = (
            names.azure(request.method, request.path)
            if self._server == AZURE
            else names.kubernetes(stage, request.method, request.path, body, watch=watch)
        )
        call = self._conductor.begin(self._server, name, request.method, request.path, request.query_string, body)
        try:
            return await self._play(request, call, watch=watch)
        except (aiohttp.ClientError, ConnectionError):
            return _abort(request)  # the server is away, or the operator
        finally:
            self._conductor.end(call)

    async def _play(self, request: web.Request, call: Call, *, watch: bool) -> web.StreamResponse:
        match call.disturbance:
            case "before":
                await self._conductor.kill(call)
                return _abort(request)
            case "unsent":
                return _abort(request)
            case "hang":
                while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                return _abort(request)
            case status if status in REFUSALS:
                return self._refuse(int(status), call)
            case "late":
                await self._conductor.fail_late(call)
            case "watch cut":
                self.cut_watches()
            case "api server restart":
                await self._conductor.restart_api_server()
        if watch:
            return await self._stream(request, call)
        call.sent = True
        async with self._send(request, call.body) as answer:
            content = await answer.read()
            call.status = answer.status
            if answer.status >= 400:
                call.code = _code(content)
            if call.writes_to_azure or call.name.startswith("POLL"):
                self._conductor.names.note_operation(call.name, answer.headers)
            headers = _headers(answer.headers)
        return await self._answer(request, call, headers, content)

    async def _answer(
        self, request: web.Request, call: Call, headers: CIMultiDict[str], content: bytes
    ) -> web.StreamResponse:
        if call.disturbance == SENT:
            await self._conductor.kill(call)
        if call.disturbance in {SENT, LOST} or not self._conductor.is_alive(call):
            return _abort(request)
        assert call.status is not None
        if call.status != 204:
            headers["Content-Length"] = str(len(content))
        response = web.StreamResponse(status=call.status, headers=headers)
        await response.prepare(request)
        if call.disturbance == CUT:
            await response.write(content[: len(content) // 2])
            return _abort(request)
        await response.write(content)
        await response.write_eof()
        call.delivered = True
        if call.disturbance == ANSWERED:
            await self._conductor.kill(call)
        return response

    async def _stream(self, request: web.Request, call: Call) -> web.StreamResponse:
        call.sent = True
        async with self._send(request, b"") as answer:
            call.status = answer.status
            if call.disturbance == SENT:
                await self._conductor.kill(call)
                return _abort(request)
            response = web.StreamResponse(status=answer.status, headers=_headers(answer.headers))
            await response.prepare(request)
            call.delivered = True
            self._conductor.end(call)
            if call.disturbance == ANSWERED:
                await self._conductor.kill(call)
            transport = request.transport
            if transport is None:
                return response
            self._watches.add(transport)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            finally:
                self._watches.discard(transport)
            return response

    def _send(self, request: web.Request, body: bytes):
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP)
        # The emulator builds the URLs of operations from the host that was asked: they lead through us.
        if self._server == KUBERNETES:
            headers["Host"] = urlsplit(self._upstream).netloc
        url = aiohttp.client.URL(f"{self._upstream}{request.raw_path}", encoded=True)
        return self._session.request(request.method, url, headers=headers, data=body or None, allow_redirects=False)

    def _refuse(self, status: int, call: Call) -> web.Response:
        code, message = REFUSALS[str(status)]
        call.status, call.code = status, code
        headers = {"retry-after-ms": RETRY_MILLISECONDS} if status == 429 else {}
        if self._server == AZURE:
            return web.json_response({"error": {"code": code, "message": message}}, status=status, headers=headers)
        reason = {409: "Conflict", 429: "TooManyRequests", 503: "ServiceUnavailable"}.get(status, "InternalError")
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
        return web.json_response({**body, "code": status}, status=status, headers=headers)


def _headers(headers: object) -> CIMultiDict[str]:
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in _HOP_BY_HOP)  # type: ignore[attr-defined]


def _code(content: bytes) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        document = json.loads(content)
        return str((document.get("error") or document).get("code") or document.get("reason") or "")
    return ""


def _abort(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
