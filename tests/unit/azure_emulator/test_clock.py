from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from azure_emulator.clock import Clock

BASE = datetime(2026, 1, 1, tzinfo=UTC)


class Seconds:
    """Real seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_speed_scales_what_passes_from_then_on():
    real = Seconds()
    clock = Clock(base=BASE, speed=10, monotonic=real)
    real.now = 2
    assert clock.elapsed == 20
    clock.speed = 1
    real.now = 5
    assert clock.elapsed == 23
    assert clock.iso() == "2026-01-01T00:00:23.000Z"


def test_a_stopped_clock_is_moved_by_hand_and_never_back():
    real = Seconds()
    clock = Clock(base=BASE, speed=0, elapsed=5, monotonic=real)
    real.now = 100
    clock.advance(7)
    assert clock.elapsed == 12
    with pytest.raises(ValueError, match="never runs backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="never runs backwards"):
        clock.speed = -1


async def test_waiting_ends_when_the_clock_is_moved():
    clock = Clock(speed=0)
    waiting = asyncio.create_task(clock.wait_until(3600))
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.advance(3600)
    await asyncio.wait_for(waiting, 1)


async def test_waiting_ends_at_its_moment():
    clock = Clock(speed=1_000_000)
    await asyncio.wait_for(clock.wait_until(clock.elapsed + 3600), 1)
