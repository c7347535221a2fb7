"""A token bucket that callers share fairly: each has a line of its own, and lines are served in turn.

Knows callers by name and time by the event loop; no request, no limit of Azure.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from dataclasses import dataclass

_ROUNDING = 1e-9  # tokens come back as fractions: a turn must not wait for the last bit of one


@dataclass(frozen=True)
class Limit:
    """A bucket: how many turns at once, and how many come back per second."""

    burst: float
    per_second: float


class Bucket:
    """Turns, as many as the limit allows.

    Who finds one takes it. Where there is none, callers are served round robin, and first come first served within a
    caller: a caller with one request waits for one turn of each other, however many the others want.
    """

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._tokens = limit.burst
        self._since = -math.inf  # when the tokens were counted; lies ahead while the bucket is paused
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}  # in the order in which they are served
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, caller: str) -> float:
        """Return the seconds until a turn would come that this caller asked for now, if no others came."""
        mine = len(self._lines.get(caller, ()))
        others = sum(min(len(line), mine + 1) for name, line in self._lines.items() if name != caller)
        return self._seconds(mine + others + 1)

    def next(self) -> float:
        """Return the seconds until there is a turn for anybody."""
        return self._seconds(1)

    async def turn(self, caller: str) -> None:
        """Wait for a turn and take it."""
        if not self._lines and self._seconds(1) == 0:
            self._tokens -= 1
            return
        granted = asyncio.get_running_loop().create_future()
        self._lines.setdefault(caller, deque()).append(granted)
        self._set_timer()
        try:
            await granted
        finally:
            if granted.cancelled():
                self._leave(caller, granted)

    def pause(self, seconds: float) -> None:
        """Hand out no turn for so long, and go on with one: a pause never shortens another."""
        until = self._earn() + seconds
        if until > self._since:
            self._since = until
            self._tokens = min(self._tokens, 1.0)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._set_timer()

    def _seconds(self, tokens: int) -> float:
        """Return the seconds until there are so many tokens; 0 only where they are there."""
        now = self._earn()
        missing = tokens - self._tokens
        return self._since - now + (missing / self._limit.per_second if missing > _ROUNDING else 0.0)

    def _earn(self) -> float:
        """Count the tokens that have come back, and return the time."""
        now = asyncio.get_running_loop().time()
        if now > self._since:
            self._tokens = min(self._limit.burst, self._tokens + (now - self._since) * self._limit.per_second)
            self._since = now
        return now

    def _set_timer(self) -> None:
        if self._timer is None and self._lines:
            self._timer = asyncio.get_running_loop().call_later(self._seconds(1), self._serve)

    def _serve(self) -> None:
        self._timer = None
        while self._lines and self._seconds(1) == 0:
            caller = next(iter(self._lines))
            line = self._lines.pop(caller)
            granted = line.popleft()
            if line:
                self._lines[caller] = line  # behind all others
            if not granted.cancelled():  # else its task is about to leave
                granted.set_result(None)
                self._tokens -= 1
        self._set_timer()

    def _leave(self, caller: str, granted: asyncio.Future[None]) -> None:
        line = self._lines.get(caller, deque())
        with contextlib.suppress(ValueError):  # served in vain meanwhile
            line.remove(granted)
        if not line:
            self._lines.pop(caller, None)
