"""Answers that are remembered for a while, and asked for once however many want them. Knows no question."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass
class _Kept:
    task: asyncio.Task[Any]
    until: float


class Answers:
    """Remembers answers by question.

    Parameters
    ----------
    now
        A clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[Hashable, _Kept] = {}

    async def get(self, question: Hashable, lifetime: float, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a question.

        Who asks while somebody else does waits for the same answer; that one of them gives up does not end it. A
        failure reaches all who wait for it, and is not remembered.

        Parameters
        ----------
        question
            What tells it from others.
        lifetime
            Seconds that the answer is good for, from when it was asked for.
        ask
            How to ask.
        """
        now = self._now()
        kept = self._kept.get(question)
        if kept is None or (kept.task.done() and kept.until <= now):
            for old in [key for key, one in self._kept.items() if one.task.done() and one.until <= now]:
                del self._kept[old]
            kept = self._kept[question] = _Kept(asyncio.ensure_future(_run(ask)), now + lifetime)
            kept.task.add_done_callback(lambda task: self._ended(question, task))
        answer: T = await asyncio.shield(kept.task)
        return answer

    def _ended(self, question: Hashable, task: asyncio.Task[Any]) -> None:
        # Reading the exception keeps asyncio from complaining where nobody waits any more.
        failed = task.cancelled() or task.exception() is not None
        kept = self._kept.get(question)
        if failed and kept is not None and kept.task is task:
            del self._kept[question]


async def _run(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()
