"""The emulated clock: seconds since the emulator's first start, faster or slower than real time, or moved by hand.

Knows nothing of Azure. Everything that takes time in the emulator is expressed in these seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

# Dates are written with four digits for the year; some lie ahead of the present, such as those at which tokens expire.
LAST = datetime(9900, 1, 1, tzinfo=UTC)


class Clock:
    """Emulated time = base + elapsed, where elapsed grows by `speed` seconds per real second.

    Parameters
    ----------
    base
        The moment at which emulated time began.
    elapsed
        Emulated seconds that have already passed (a restart resumes here).
    speed
        Emulated seconds per real second; 0 stands still until `advance` is called.
    monotonic
        Source of real seconds.
    """

    def __init__(
        self,
        *,
        base: datetime | None = None,
        elapsed: float = 0.0,
        speed: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        _require_not_negative(speed, "speed")
        self.base = base or datetime.now(UTC).replace(microsecond=0)
        self._monotonic = monotonic
        self._elapsed = elapsed
        self._speed = speed
        self._mark = monotonic()
        self._moved = asyncio.Event()

    @property
    def speed(self) -> float:
        """Emulated seconds per real second."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        _require_not_negative(speed, "speed")
        self._fold()
        self._speed = speed
        self._moved.set()

    @property
    def elapsed(self) -> float:
        """Emulated seconds since the beginning."""
        return self._elapsed + (self._monotonic() - self._mark) * self._speed

    def advance(self, seconds: float) -> None:
        """Move emulated time forward by hand; it never goes back, because what happened has happened."""
        _require_not_negative(seconds, "seconds")
        if self.elapsed + seconds > (LAST - self.base).total_seconds():
            msg = f"seconds is {seconds:g}, but emulated time ends in the year {LAST.year}: give less"
            raise ValueError(msg)
        self._fold()
        self._elapsed += seconds
        self._moved.set()

    def reset(self, base: datetime, elapsed: float, speed: float) -> None:
        """Show another time altogether, that of a snapshot."""
        _require_not_negative(speed, "speed")
        self.base, self._elapsed, self._speed, self._mark = base, elapsed, speed, self._monotonic()
        self._moved.set()

    def at(self, elapsed: float) -> datetime:
        """Emulated wall time at so many seconds since the beginning."""
        return self.base + timedelta(seconds=elapsed)

    @property
    def now(self) -> datetime:
        """Emulated wall time."""
        return self.at(self.elapsed)

    def iso(self, elapsed: float | None = None) -> str:
        """Time as ARM writes it."""
        moment = self.now if elapsed is None else self.at(elapsed)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def wait_until(self, elapsed: float | None) -> None:
        """Sleep until that emulated moment, or until the clock was moved or its speed changed, whichever is first."""
        self._moved.clear()
        timeout: float | None = None
        if elapsed is not None and self._speed > 0:
            timeout = max(0.0, (elapsed - self.elapsed) / self._speed)
        try:
            await asyncio.wait_for(self._moved.wait(), timeout)
        except TimeoutError:
            return

    def wake(self) -> None:
        """End a running `wait_until`: there is something new to wait for."""
        self._moved.set()

    def _fold(self) -> None:
        self._elapsed, self._mark = self.elapsed, self._monotonic()


def _require_not_negative(value: float, name: str) -> None:
    if value < 0:
        msg = f"{name} is {value}, but emulated time never runs backwards: give 0 or more"
        raise ValueError(msg)
