"""Keeps us below Azure's request limits: one token bucket per subscription and kind of request, and pauses after 429.

Knows URLs and methods, no resource type. Azure's own buckets: reads 250 with 25 per second, writes and deletes
200 with 10 per second each, per subscription, region and principal (azure-docs request-limits-and-throttling).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from typing import Literal

from hpc_operator.arm import CALLER, AzureError, ErrorClass
from hpc_operator.azure.bucket import Bucket, Limit

Kind = Literal["read", "write", "delete"]

SHARE = 0.8
"""How much of Azure's limit we use: others (portal, az, other tools of the same principal) need some of it, too."""

MAX_WAIT = 30.0
"""Seconds that a request may wait for its turn; a longer wait is refused: then the engine's queue waits."""

_GRACE = 0.5  # seconds: a turn that was due at the last moment is not lost to the timer

_SUBSCRIPTION = re.compile(r"/subscriptions/([^/?]+)", re.IGNORECASE)
_NAMESPACE = re.compile(r"/providers/([^/?]+)", re.IGNORECASE)


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


class Throttle:
    """The buckets of all subscriptions, shared fairly between callers (`arm.CALLER`).

    Parameters
    ----------
    limits
        By kind of request.
    """

    def __init__(self, limits: Mapping[Kind, Limit] = LIMITS) -> None:
        self._limits = limits
        self._buckets: dict[tuple[str, str, Kind], Bucket] = {}

    async def turn(self, method: str, url: str) -> None:
        """Wait for the turn of a request.

        Raises
        ------
        AzureError
            Transient, with `retry_after`, if this caller's turn is more than `MAX_WAIT` seconds away, or did not come
            within these because others came and share.
        """
        kind, caller = kind_of(method, url), CALLER.get()
        buckets = self._buckets_of(_found(_SUBSCRIPTION, url), _found(_NAMESPACE, url), kind)
        wait = max(bucket.wait(caller) for bucket in buckets)
        if wait > MAX_WAIT:
            raise _refusal(kind, wait)
        try:
            async with asyncio.timeout(MAX_WAIT + _GRACE):
                for bucket in buckets:
                    await bucket.turn(caller)
        except TimeoutError:
            raise _refusal(kind, max(bucket.next() for bucket in buckets)) from None

    def pause(self, method: str, url: str, code: str, seconds: float) -> None:
        """Stop asking for a while because Azure said so.

        A limit of the subscription holds for everything; one of a resource provider for that provider alone, so that
        Compute's limits do not hold up the network.
        """
        whole = re.fullmatch(r"(Subscription|Tenant)\w*Throttled", code) is not None
        namespace = "" if whole else _found(_NAMESPACE, url)
        self._bucket(_found(_SUBSCRIPTION, url), namespace, kind_of(method, url)).pause(seconds)

    def _buckets_of(self, subscription: str, namespace: str, kind: Kind) -> list[Bucket]:
        """Return what a request takes from, the provider's bucket before the subscription's.

        Most providers have a bucket only after they refused something.
        """
        buckets = [self._bucket(subscription, "", kind)]
        if namespace and ((subscription, namespace, kind) in self._buckets or (namespace, kind) in PROVIDER_LIMITS):
            buckets.insert(0, self._bucket(subscription, namespace, kind))
        return buckets

    def _bucket(self, subscription: str, namespace: str, kind: Kind) -> Bucket:
        key = (subscription, namespace, kind)
        if key not in self._buckets:
            self._buckets[key] = Bucket(PROVIDER_LIMITS.get((namespace, kind), self._limits[kind]))
        return self._buckets[key]


def _refusal(kind: Kind, wait: float) -> AzureError:
    # Without the wait: it is another one with each refusal, and whoever reads of it is told when it is tried again.
    msg = f"Azure's limit for {kind} requests is used up; nothing more is sent until it lets one through again."
    return AzureError(
        msg,
        code="TooManyRequests",
        status=0,
        error_class=ErrorClass.TRANSIENT,
        retry_after=max(1, math.ceil(wait)),
    )


def _found(pattern: re.Pattern[str], url: str) -> str:
    found = pattern.findall(url)
    return found[-1].lower() if found else ""
