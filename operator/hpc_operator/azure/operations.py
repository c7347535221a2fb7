"""Follows long-running operations to their end: one poller for the whole process, one heap, few requests at a time.

Speaks in `arm.Handle` and `arm.Outcome`; knows no resource type and no SDK. It keeps nothing that a new process would
miss: a handle is enough to go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from weakref import WeakValueDictionary

from hpc_operator.arm import CALLER, AzureError, ErrorClass, Handle, Outcome, is_final, provisioning_state
from hpc_operator.azure.errors import LONG_RUNNING, azure_error

logger = logging.getLogger(__name__)

DEFAULT_INTERVAL = 10.0
"""Longest wait in seconds between two questions where Azure does not say: the shortest that ARM's contract knows
(Resource Provider Contract v1.0, async-api-reference). The contract's own default is 60 s, but Compute allows 15
questions a minute for one virtual machine (Microsoft's "Troubleshoot API throttling errors")."""

FIRST_INTERVAL = 2.0
"""Seconds before the first question where Azure does not say, as Network does not; later a quarter of the time that
has passed, so that what takes 5 s is not found out after 10 and what takes minutes is not asked for all the time."""

SHORTEST_INTERVAL, LONGEST_INTERVAL = 0.01, 600.0
"""Bounds of what Azure may say, in seconds; the upper one is the contract's."""

FIRST_BACKOFF, LONGEST_BACKOFF = 2.0, 60.0
"""Seconds after a question that got no useful answer; doubled each time."""

URL_FAILURES = 4
"""After so many useless answers in a row, some 20 s, the resource is asked: at a Location they may be how the operation
ended. Azure's SDKs give up earlier (`retry_status` of azure-core's RetryPolicy: 3)."""

CONCURRENCY = 32
"""Questions of one caller that are under way or wait for their turn at the same time, so that its other reads are not
behind all of them. At 0.2 s each that is 160 a second, far above what ARM lets us ask."""

REPLICATION = 120.0
"""Seconds for which a 404 on a resource that was just written means "not visible yet": ARM's data has to travel between
regions first (terraform-provider-azurerm#18268)."""

GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


@dataclass(frozen=True)
class Answer:
    """Azure's answer to a question: 2xx, everything else is an `AzureError`."""

    status: int
    body: Any
    headers: Mapping[str, str]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Azure asks us to wait, None where it does not; milliseconds count before seconds."""
    for name, scale in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("Retry-After", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if seconds > 0:
            return min(max(seconds, SHORTEST_INTERVAL), LONGEST_INTERVAL)
    return None


@dataclass
class _Following:
    """An operation on its way: what the handle said, and what was learnt since."""

    handle: Handle
    done: Callable[[Outcome], None]
    caller: str
    free: asyncio.Semaphore
    url: str
    said: float | None
    """Seconds between two questions for the resource itself, as Azure said at the start: its answers say nothing."""
    since: float = field(default_factory=time.monotonic)
    failures: int = 0
    url_error: AzureError | None = None
    """What the operation URL answered when it stopped being useful."""


@dataclass(order=True)
class _Due:
    moment: float
    number: int
    following: _Following = field(compare=False)


class Operations:
    """The poller.

    Parameters
    ----------
    ask
        Asks an operation URL.
    get
        Reads a resource; None if there is none.
    require
        Refuses a URL that must not be asked.
    interval, backoff
        Seconds; see `DEFAULT_INTERVAL` and `FIRST_BACKOFF`.
    """

    def __init__(
        self,
        *,
        ask: Callable[[str], Awaitable[Answer]],
        get: Callable[[str], Awaitable[Mapping[str, Any] | None]],
        require: Callable[[str], None],
        interval: float = DEFAULT_INTERVAL,
        backoff: float = FIRST_BACKOFF,
    ) -> None:
        self._ask = ask
        self._get = get
        self._require = require
        self._interval = interval
        self._backoff = backoff
        self._followed: dict[tuple[str, str, str], _Following] = {}
        self._heap: list[_Due] = []
        self._numbers = itertools.count()
        self._wake = asyncio.Event()
        # Kept as long as something of that caller is followed.
        self._free: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._loop: asyncio.Task[None] | None = None
        self._questions: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many operations are followed."""
        return len(self._followed)

    def follow(self, handle: Handle, done: Callable[[Outcome], None], first: float | None = None) -> None:
        """Follow an operation; see `arm.Azure.follow`. Following it again replaces `done`.

        Whoever follows it first asks for it: `arm.CALLER`.
        """
        key = _key(handle)
        if key in self._followed:
            self._followed[key].done = done
            return
        caller = CALLER.get()
        free = self._free.setdefault(caller, asyncio.Semaphore(CONCURRENCY))
        following = self._followed[key] = _Following(handle, done, caller, free, handle.url, first or None)
        self._schedule(following, self._usual(following) if first is None else first)
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run(), name="operations")

    def forget(self, resource_id: str) -> None:
        """Follow no operation of that resource any longer."""
        for key in [key for key in self._followed if key[0] == resource_id.lower()]:
            del self._followed[key]

    async def close(self) -> None:
        """Stop asking; nothing that is still followed is called."""
        self._followed.clear()
        self._heap.clear()
        tasks = [*self._questions, *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop = None

    def _schedule(self, following: _Following, seconds: float) -> None:
        moment = time.monotonic() + max(seconds, 0.0)
        heapq.heappush(self._heap, _Due(moment, next(self._numbers), following))
        self._wake.set()

    def _is_followed(self, following: _Following) -> bool:
        return self._followed.get(_key(following.handle)) is following

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            wait = self._heap[0].moment - time.monotonic() if self._heap else None
            if wait is None or wait > 0:
                # Not wait_for(): Python 3.11's swallows a cancellation that meets the event, and close() would wait.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                continue
            following = heapq.heappop(self._heap).following
            if not self._is_followed(following):
                continue
            question = asyncio.create_task(self._question(following))
            self._questions.add(question)
            question.add_done_callback(self._questions.discard)

    async def _question(self, following: _Following) -> None:
        CALLER.set(following.caller)
        try:
            async with following.free:
                seconds = await self._next(following)
        except _EndedError as ended:
            self._finish(following, ended.error)
            return
        except AzureError as error:
            logger.debug("asking for the operation on %s: %s", following.handle.resource_id, error)
            seconds = self._back_off(following, error.retry_after)
        except Exception:
            logger.exception("asking for the operation on %s", following.handle.resource_id)
            seconds = self._back_off(following, None)
        else:
            following.failures = 0
        if self._is_followed(following):
            self._schedule(following, seconds)

    def _finish(self, following: _Following, error: AzureError | None) -> None:
        if not self._is_followed(following):
            return
        del self._followed[_key(following.handle)]
        try:
            following.done(Outcome(following.handle, error))
        except Exception:
            logger.exception("telling how the operation on %s ended", following.handle.resource_id)

    def _back_off(self, following: _Following, asked: float | None) -> float:
        following.failures += 1
        backoff = min(LONGEST_BACKOFF, self._backoff * 2.0 ** min(following.failures - 1, 16))
        # Half of it by chance, so that what failed together is not asked together.
        return max(asked or 0.0, backoff * random.uniform(0.5, 1.0))  # noqa: S311

    async def _next(self, following: _Following) -> float:
        """Ask once.

        Returns
        -------
        float
            Seconds until the next question.

        Raises
        ------
        _EndedError
            If the operation has ended.
        AzureError
            If the question got no useful answer and is worth another try.
        """
        if following.url:
            try:
                return await self._ask_url(following)
            except AzureError as error:
                is_an_answer = error.status not in (0, HTTPStatus.TOO_MANY_REQUESTS)
                is_useless = is_an_answer and following.failures >= URL_FAILURES
                if error.status not in GONE and _may_pass(error) and not is_useless:
                    raise
                # The operation is not known any more, or (Location) this is how it ended: the resource knows.
                following.url = ""
                following.url_error = None if error.status in GONE else _ended_with(error)
        return await self._ask_resource(following)

    async def _ask_url(self, following: _Following) -> float:
        self._require(following.url)
        answer = await self._ask(following.url)
        status = answer.body.get("status") if isinstance(answer.body, Mapping) else None
        if isinstance(status, str):
            # A status document (Azure-AsyncOperation).
            if is_final(status.lower()):
                if status.lower() == "succeeded":
                    raise _EndedError(None)
                raise _EndedError(_operation_error(answer.body, status, following.handle))
        elif answer.status == HTTPStatus.ACCEPTED:
            # Location: running; the next question may have to go elsewhere.
            following.url = answer.headers.get("Location") or following.url
        else:
            raise _EndedError(None)
        return retry_after(answer.headers) or self._usual(following)

    async def _ask_resource(self, following: _Following) -> float:
        handle = following.handle
        try:
            body = await self._get(handle.resource_id)
        except AzureError as error:
            if _may_pass(error):
                raise
            raise _EndedError(error) from None
        state = provisioning_state(body)
        if handle.verb == "DELETE":
            if body is None:
                raise _EndedError(None)
            if is_final(state) and (following.url_error or state != "succeeded" or not _is_recent(handle)):
                raise _EndedError(following.url_error or _resource_error(handle, "is still there after its deletion"))
        elif body is None:
            if not _is_recent(handle):
                raise _EndedError(following.url_error or _resource_error(handle, "does not exist after it was written"))
        elif state == "succeeded":
            raise _EndedError(None)
        elif is_final(state):
            raise _EndedError(following.url_error or _resource_error(handle, f"has the provisioning state {state}"))
        return following.said or self._usual(following)

    def _usual(self, following: _Following) -> float:
        """Return the seconds to wait where Azure does not say."""
        return min(self._interval, max(FIRST_INTERVAL, (time.monotonic() - following.since) / 4))


class _EndedError(Exception):
    """An operation has ended; `error` is None where it succeeded."""

    def __init__(self, error: AzureError | None) -> None:
        super().__init__(error)
        self.error = error


def _key(handle: Handle) -> tuple[str, str, str]:
    return handle.resource_id.lower(), handle.verb, handle.url


def _may_pass(error: AzureError) -> bool:
    """Whether a question is worth another try; the operation itself goes on whatever the question was answered."""
    return error.error_class in (ErrorClass.TRANSIENT, ErrorClass.CREDENTIALS)


def _ended_with(error: AzureError) -> AzureError:
    return AzureError(error.message, code=error.code, status=LONG_RUNNING, error_class=error.error_class)


def _operation_error(document: Mapping[str, Any], status: str, handle: Handle) -> AzureError:
    if isinstance(document.get("error"), Mapping):
        return azure_error(LONG_RUNNING, {"error": document["error"]})
    return _resource_error(handle, f"could not be written or deleted: the operation ended as {status}")


def _resource_error(handle: Handle, what: str) -> AzureError:
    return AzureError(
        f"{handle.resource_id} {what}, and Azure gave no reason.",
        code="OperationFailed",
        status=LONG_RUNNING,
        error_class=ErrorClass.TRANSIENT,
    )


def _is_recent(handle: Handle) -> bool:
    try:
        started = datetime.fromisoformat(handle.start_time)
    except ValueError:
        return False
    if started.tzinfo is None:
        started = started.replace(tzinfo=UTC)
    return (datetime.now(UTC) - started).total_seconds() < REPLICATION
