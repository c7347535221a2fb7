"""Request limits: ARM's token buckets per subscription and principal, and those that resource providers add.

Knows requests as calls and the limits as data; the server asks it once per request. A setting `throttling` = false
lets everything through (and still counts).
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from azure_emulator import errors
from azure_emulator.errors import ArmError
from azure_emulator.types import Call, Rate

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

# ARM's limits per subscription and principal: bucket size and refill per second (azure-docs,
# request-limits-and-throttling, "migrated 2024"). Setting `armBuckets` = {"reads": [250, 25], ...} overrides them:
# recordings of 2026 show subscriptions with larger ones (799 writes remaining).
ARM = {"reads": (250, 25.0), "writes": (200, 10.0), "deletes": (200, 10.0)}
# All principals of a subscription together have 15 times that (same page).
GLOBAL_FACTOR = 15
_CLASS = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


@dataclass
class Bucket:
    """Tokens that come back at a steady rate; times are seconds on `Throttling.now`."""

    size: float
    per_second: float
    level: float
    since: float

    def fill(self, now: float) -> None:
        """Bring it up to date."""
        passed = max(0.0, now - self.since)  # a restored snapshot takes the clock back
        self.level = min(self.size, self.level + passed * self.per_second)
        self.since = now

    @property
    def wait(self) -> float:
        """Seconds until there is a token again."""
        return max(0.0, 1 - self.level) / self.per_second


class Throttling:
    """All buckets of one emulator. They are not kept over a restart: Azure's refill within minutes too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.buckets: dict[tuple[str, ...], Bucket] = {}
        self._now = 0.0
        self._mark = engine.clock.elapsed, time.monotonic()

    @property
    def now(self) -> float:
        """Seconds that refill buckets: emulated ones, or real ones while the clock is slower or stands still.

        A clock that is moved by hand must not starve the client that waits for it.
        """
        mark = self._engine.clock.elapsed, time.monotonic()
        self._now += max(new - old for new, old in zip(mark, self._mark, strict=True))
        self._mark = mark
        return self._now

    def take(self, call: Call) -> dict[str, str]:
        """Count a request; answers the headers that say what remains, or raises 429."""
        engine, now = self._engine, self.now
        enforced = bool(engine.setting("throttling", default=True))
        name = _CLASS.get(call.method, "writes")
        size, per_second = engine.setting("armBuckets", {}).get(name) or ARM[name]
        subscription = call.subscription.lower()
        own = self._bucket((subscription, call.principal.object_id, name), size, per_second, now)
        shared = self._bucket((subscription, name), size * GLOBAL_FACTOR, per_second * GLOBAL_FACTOR, now)
        headers = {}
        for bucket in (own, shared):
            if bucket.level < 1 and enforced:
                raise self._arm_refusal(call, name, bucket)
            bucket.level = max(0.0, bucket.level - 1)
        headers[f"x-ms-ratelimit-remaining-subscription-{name}"] = str(int(own.level))
        headers[f"x-ms-ratelimit-remaining-subscription-global-{name}"] = str(int(shared.level))
        taken = [(rate, self._take_rate(rate, key, call, now, enforced=enforced)) for rate, key in self._rates(call)]
        remaining = [f"{call.path.namespace}/{rate.name};{level}" for rate, level in taken if rate.shown]
        if remaining:
            headers["x-ms-ratelimit-remaining-resource"] = ",".join(remaining)
        return headers

    def _bucket(self, key: tuple[str, ...], size: float, per_second: float, now: float) -> Bucket:
        bucket = self.buckets.get(key)
        if bucket is None or bucket.size != size:
            bucket = self.buckets[key] = Bucket(size, per_second, size, now)
        bucket.fill(now)
        return bucket

    def _rates(self, call: Call) -> Iterator[tuple[Rate, tuple[str, ...]]]:
        """The provider's limits that a request counts against, each with what its bucket is kept by."""
        provider = self._engine.providers.get(call.path.namespace.lower())
        rates = _matching(provider.rates, call.method, call.path.type_name.lower()) if provider is not None else ()
        if not rates:
            return
        subject = self._subject(call)
        location = self._location(call, subject)
        for rate in rates:
            scope = subject if rate.per == "resource" else location
            yield rate, (rate.name, call.subscription.lower(), scope)

    def _subject(self, call: Call) -> str:
        """Key of the resource that a request is about: of an operation's URL, what the operation works on."""
        operation = self._engine.store.operations.get(call.path.names[-1].lower()) if call.path.names else None
        if operation is not None:
            return operation.resource.lower()
        return call.path.key if call.path.is_resource else call.path.parent.lower()

    def _location(self, call: Call, subject: str) -> str:
        resource = self._engine.store.get(subject)
        if resource is not None:
            return resource.location
        return str(call.body.get("location", "")) if isinstance(call.body, dict) else ""

    def _take_rate(self, rate: Rate, key: tuple[str, ...], call: Call, now: float, *, enforced: bool) -> int:
        bucket = self._bucket(key, rate.size, rate.per_minute / 60, now)
        if bucket.level < 1 and enforced:
            raise self._provider_refusal(call, rate, bucket)
        bucket.level = max(0.0, bucket.level - 1)
        return int(bucket.level)

    def _wait(self, bucket: Bucket) -> dict[str, str]:
        speed = self._engine.clock.speed
        seconds = bucket.wait / max(1.0, speed)
        headers = {"Retry-After": str(max(1, math.ceil(seconds)))}
        if speed > 1:
            headers["retry-after-ms"] = str(max(1, math.ceil(seconds * 1000)))
        return headers

    def _arm_refusal(self, call: Call, name: str, bucket: Bucket) -> ArmError:
        # As quoted verbatim in public repositories.
        seconds = max(1, math.ceil(bucket.wait))
        return ArmError(
            errors.TOO_MANY,
            "SubscriptionRequestsThrottled",
            f"Number of '{name.removesuffix('s')}' requests for subscription '{call.subscription}' actor "
            f"'{call.principal.object_id}' exceeded. Please try again after '{seconds}' seconds.",
            headers={**self._wait(bucket), f"x-ms-ratelimit-remaining-subscription-{name}": "0"},
        )

    def _provider_refusal(self, call: Call, rate: Rate, bucket: Bucket) -> ArmError:
        clock = self._engine.clock
        measured = {
            "operationGroup": rate.name,
            "startTime": clock.iso(clock.elapsed - 60),
            "endTime": clock.iso(),
            "allowedRequestCount": int(rate.size),
            "measuredRequestCount": int(rate.size) + 1,
        }
        return ArmError(
            errors.TOO_MANY,
            rate.code,
            "The server rejected the request because too many requests have been received for this subscription.",
            details=[{"code": "TooManyRequests", "target": rate.name, "message": json.dumps(measured)}],
            headers={
                **self._wait(bucket),
                "x-ms-ratelimit-remaining-resource": f"{call.path.namespace}/{rate.name};0",
            },
        )


@lru_cache(maxsize=4096)
def _matching(rates: tuple[Rate, ...], method: str, type_name: str) -> tuple[Rate, ...]:
    return tuple(
        rate for rate in rates if method in rate.methods and re.fullmatch(rate.types, type_name, re.IGNORECASE)
    )
