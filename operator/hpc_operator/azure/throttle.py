"""Keeps us below Azure's request limits: one token bucket per subscription and kind of request, and pauses after 429.

Knows URLs and methods, no resource type. Azure's own buckets: reads 250 with 25 per second, writes and deletes
200 with 10 per second each, per subscription, region and principal (azure-docs request-limits-and-throttling).
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from hpc_operator.arm import AzureError, ErrorClass

Kind = Literal["read", "write", "delete"]

SHARE = 0.8
"""How much of Azure's limit we use: others (portal, az, other tools of the same principal) need some of it, too."""

MAX_WAIT = 30.0
"""Seconds that a request may wait for its turn; a longer wait is refused: then the engine's queue waits."""

_SUBSCRIPTION = re.compile(r"/subscriptions/([^/?]+)", re.IGNORECASE)
_NAMESPACE = re.compile(r"/providers/([^/?]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Limit:
    """A bucket: how many requests at once, and how many come back per second."""

    burst: float
    per_second: float


LIMITS: Mapping[Kind, Limit] = {
    "read": Limit(250 * SHARE, 25 * SHARE),
    "write": Limit(200 * SHARE, 10 * SHARE),
    "delete": Limit(200 * SHARE, 10 * SHARE),
}


PROVIDER_LIMITS: Mapping[tuple[str, Kind], Limit] = {
    # Resource Graph allows a user 15 queries in 5 seconds; what is at once and what comes back within these seconds are
    # that together (azure-docs, "Guidance for throttled requests").
    ("microsoft.resourcegraph", "read"): Limit(5 * SHARE, 2 * SHARE)
}
"""Limits of resource providers that are always kept, besides those of the subscription."""

QUERY_PATH = "/providers/Microsoft.ResourceGraph/resources"
"""Where Resource Graph is asked: a POST that changes nothing."""


def kind_of(method: str, url: str) -> Kind:
    """Return which bucket a request takes from."""
    if method in ("GET", "HEAD") or (method == "POST" and QUERY_PATH.lower() in url.lower()):
        return "read"
    return "delete" if method == "DELETE" else "write"


class Bucket:
    """A token bucket that hands out turns in the order of asking: it may owe tokens, and tells how long to wait."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._tokens = limit.burst
        self._since = -math.inf

    def wait(self, now: float) -> float:
        """Return the seconds until a turn taken now would come."""
        if now > self._since:
            if self._since > -math.inf:
                earned = (now - self._since) * self._limit.per_second
                self._tokens = min(self._limit.burst, self._tokens + earned)
            self._since = now
        return max(0.0, self._since - now + (1 - min(self._tokens, 1.0)) / self._limit.per_second)

    def take(self) -> None:
        """Take a turn."""
        self._tokens -= 1

    def pause(self, until: float) -> None:
        """Hand out no turn before that moment, and start empty then."""
        if until > self._since:
            self._since = until
            self._tokens = min(self._tokens, 1.0)


class Throttle:
    """The buckets of all subscriptions.

    Parameters
    ----------
    limits
        By kind of request.
    monotonic
        Source of seconds.
    """

    def __init__(
        self, limits: Mapping[Kind, Limit] = LIMITS, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, str, Kind], Bucket] = {}

    async def turn(self, method: str, url: str) -> None:
        """Wait for the turn of a request.

        Raises
        ------
        AzureError
            Transient, with `retry_after`, if the turn is more than `MAX_WAIT` seconds away.
        """
        wait = self.reserve(method, url)
        if wait > 0:
            await asyncio.sleep(wait)

    def reserve(self, method: str, url: str) -> float:
        """Take a turn and return the seconds until it comes.

        Raises
        ------
        AzureError
            As `turn`; no turn is taken then.
        """
        kind, subscription, now = kind_of(method, url), _found(_SUBSCRIPTION, url), self._monotonic()
        namespace = _found(_NAMESPACE, url)
        buckets = [self._bucket(subscription, "", kind)]
        # Most providers have a bucket of their own only after they refused something.
        if namespace and ((subscription, namespace, kind) in self._buckets or (namespace, kind) in PROVIDER_LIMITS):
            buckets.append(self._bucket(subscription, namespace, kind))
        wait = max(bucket.wait(now) for bucket in buckets)
        if wait > MAX_WAIT:
            msg = f"Azure's limit for {kind} requests is used up; the next one is free in {wait:.0f} seconds."
            raise AzureError(
                msg, code="TooManyRequests", status=0, error_class=ErrorClass.TRANSIENT, retry_after=math.ceil(wait)
            )
        for bucket in buckets:
            bucket.take()
        return wait

    def pause(self, method: str, url: str, code: str, seconds: float) -> None:
        """Stop asking for a while because Azure said so.

        A limit of the subscription holds for everything; one of a resource provider for that provider alone, so that
        Compute's limits do not hold up the network.
        """
        whole = re.fullmatch(r"(Subscription|Tenant)\w*Throttled", code) is not None
        namespace = "" if whole else _found(_NAMESPACE, url)
        self._bucket(_found(_SUBSCRIPTION, url), namespace, kind_of(method, url)).pause(self._monotonic() + seconds)

    def _bucket(self, subscription: str, namespace: str, kind: Kind) -> Bucket:
        key = (subscription, namespace, kind)
        if key not in self._buckets:
            self._buckets[key] = Bucket(PROVIDER_LIMITS.get((namespace, kind), self._limits[kind]))
        return self._buckets[key]


def _found(pattern: re.Pattern[str], url: str) -> str:
    found = pattern.findall(url)
    return found[-1].lower() if found else ""
