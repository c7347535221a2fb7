"""A delay queue of environments that gives out each one at most once at a time. Knows nothing of what they are."""

from __future__ import annotations

import asyncio
import contextlib
import heapq

from hpc_operator.reconcile.ports import Key


class KeyQueue:
    """Keys with the time at which they are due; adding a key twice keeps the earlier time."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._processing: set[Key] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys are due."""
        now = self._now()
        return sum(due <= now for due in self._due.values())

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have a key given out.

        Parameters
        ----------
        key
            The key. While it is being worked on it is given out again only after `done`.
        after
            Seconds from now.
        """
        due = self._now() + after
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._changed.set()

    async def get(self) -> Key:
        """Return the next due key; wait for it. `done` must follow."""
        while True:
            await asyncio.sleep(0)  # whoever is given a key at once, again and again, must not shut out all others
            wait = self._next_wait()
            if wait is not None and wait <= 0:
                _, key = heapq.heappop(self._heap)
                del self._due[key]
                self._processing.add(key)
                return key
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                # No task of its own, as wait_for() makes: kopf ends every task that was started after it.
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def done(self, key: Key) -> None:
        """Allow a key to be given out again."""
        self._processing.discard(key)
        if key in self._due:
            heapq.heappush(self._heap, (self._due[key], key))
            self._changed.set()

    def _next_wait(self) -> float | None:
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due or key in self._processing:
                heapq.heappop(self._heap)  # outdated, or pushed again by done()
                continue
            return due - self._now()
        return None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
