"""The one HTTP pipeline that all SDK clients share: who we are, where we may go, how fast, and what is counted.

Knows no resource type. There is no retry, redirect or registration policy on purpose: backing off is the engine's job,
and the SDK's registration policy would hold a request for minutes.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import AzureError as SdkError
from azure.core.pipeline import AsyncPipeline, PipelineRequest, PipelineResponse, policies
from azure.core.pipeline.transport import AioHttpTransport
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy

from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.azure.throttle import Throttle, kind_of

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from azure.core.credentials_async import AsyncTokenCredential

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection."""

READ_TIMEOUT = 75.0
"""Seconds to wait for the next bytes: ARM gives a provider 60 s, then it answers 504 (azure-resource-manager-rpc)."""

POLL = "poll"
"""Option of a request that asks for an operation: it is counted as a poll and not as a read."""


class Endpoint:
    """The only place that requests and tokens may go to.

    Parameters
    ----------
    url
        Such as `https://management.azure.com`.

    Raises
    ------
    ValueError
        If it is plain http and not on this machine.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._origin = _origin(self.url)
        scheme, host, _ = self._origin
        self.plain = scheme == "http"
        if scheme not in ("http", "https") or not host:
            msg = f"{url!r} is no endpoint of Azure Resource Manager; write one such as https://management.azure.com"
            raise ValueError(msg)
        if self.plain and not _is_loopback(host):
            msg = f"{url} would send tokens unencrypted; use https (plain http only for an emulator on 127.0.0.1)"
            raise ValueError(msg)

    @property
    def scope(self) -> str:
        """The scope of tokens for it."""
        return f"{self.url}/.default"

    def owns(self, url: str) -> bool:
        """Whether scheme, host and port are the endpoint's."""
        return _origin(url) == self._origin

    def require(self, url: str) -> None:
        """Refuse a URL that leads elsewhere.

        Raises
        ------
        AzureError
            `ForeignUrl`, permanent.
        """
        if not self.owns(url):
            msg = (
                f"Azure's answer leads to {urlsplit(url).hostname or 'no host'}, which is not {self.url}: it is not "
                "followed, because our token would go there. Check the endpoint in the operator's settings."
            )
            raise AzureError(msg, code="ForeignUrl", status=0, error_class=ErrorClass.PERMANENT)


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ("", "", None)
    return (parts.scheme, (parts.hostname or "").lower(), port or {"http": 80, "https": 443}.get(parts.scheme))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Answered(Exception):  # noqa: N818 (it is no error)
    """Carries Azure's answer out of the SDK before its models see it.

    We use JSON as Azure sent it. The models would cost 0.4 s of the event loop for a list of 1000 virtual machines,
    and refuse statuses and bodies that they do not know.
    """

    def __init__(self, response: Any) -> None:
        super().__init__(response)
        self.response = response


class _PastTheModels(policies.AsyncHTTPPolicy[Any, Any]):
    """Raises `Answered` with the whole answer."""

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        response = (await self.next.send(request)).http_response
        # Long-running operations are streamed; all others are read already, and a second reading of nothing fails.
        if not getattr(response, "is_stream_consumed", True):
            await response.read()
        raise Answered(response)


class _LoopbackAuthentication(AsyncARMChallengeAuthenticationPolicy):
    """Sends a token over plain http; only ever built for an endpoint on this machine."""

    async def on_request(self, request: PipelineRequest[Any]) -> None:
        request.context.options.setdefault("enforce_https", False)
        await super().on_request(request)


class _Gate(policies.AsyncHTTPPolicy[Any, Any]):
    """Lets requests go to the endpoint only, each in its turn, and counts them."""

    def __init__(self, endpoint: Endpoint, throttle: Throttle, requests: Counter[tuple[str, str]]) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._throttle = throttle
        self._requests = requests

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        method, url = request.http_request.method, request.http_request.url
        self._endpoint.require(url)
        counted_as = POLL if request.context.options.pop(POLL, False) else kind_of(method, url)
        await self._throttle.turn(method, url)
        started = time.monotonic()
        try:
            response = await self.next.send(request)
        except SdkError:
            self._requests[counted_as, "none"] += 1
            raise
        status = response.http_response.status_code
        self._requests[counted_as, "429" if status == 429 else f"{status // 100}xx"] += 1  # noqa: PLR2004
        # The path only: the query of an operation URL is signed.
        logger.debug("%s %s -> %d, %.2f s", method, urlsplit(url).path, status, time.monotonic() - started)
        return response


class _FencedConnector(aiohttp.TCPConnector):
    """Gives no connection for a write that is not allowed any more.

    The last word: after waiting for a turn, for a token and for the connection itself. A process that was stopped while
    it waited sends nothing when it goes on.
    """

    def __init__(self, may_write: Callable[[], bool]) -> None:
        super().__init__()
        self._may_write = may_write

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as aiohttp has it
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if kind_of(req.method, str(req.url)) != "read" and not self._may_write():
            connection.release()
            msg = f"{req.method} {req.url.path} was not sent: this process does not lead any more, another one goes on."
            raise AzureError(msg, code="NotLeading", status=0, error_class=ErrorClass.TRANSIENT)
        return connection


class _Transport(AioHttpTransport):  # type: ignore[misc] # azure-core gives its type away only when it is imported
    """The SDK's transport with a fence. Its session is otherwise what the SDK makes for itself."""

    def __init__(self, fence: Callable[[], bool], **options: Any) -> None:
        super().__init__(**options)
        self._fence = fence

    async def open(self) -> None:
        if not self._has_been_opened:
            self.session = aiohttp.ClientSession(
                connector=_FencedConnector(self._fence),
                trust_env=self._use_env_settings,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        await super().open()


def _always() -> bool:
    return True


def pipeline(
    endpoint: Endpoint,
    credential: AsyncTokenCredential,
    throttle: Throttle,
    requests: Counter[tuple[str, str]],
    fence: Callable[[], bool] | None,
) -> AsyncPipeline[Any, Any]:
    """Return the pipeline for all clients, which ends every request with `Answered`; the caller opens and closes it."""
    authentication = _LoopbackAuthentication if endpoint.plain else AsyncARMChallengeAuthenticationPolicy
    return AsyncPipeline(
        _Transport(
            fence or _always,
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            use_env_settings=not endpoint.plain,  # a proxy has no business between us and an emulator on this machine
        ),
        [
            policies.RequestIdPolicy(),
            policies.UserAgentPolicy(f"azure-hpc-operator/{version('azure-hpc-operator')}"),
            _PastTheModels(),
            _Gate(endpoint, throttle, requests),
            authentication(credential, endpoint.scope),
        ],
    )
