"""An emulator in a thread of its own, for clients that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from azure_emulator import Emulator

START_SECONDS = 10
# TLS connections close with a few words more than the server's end waits for.
LAST_WORDS_SECONDS = 0.1


@contextmanager
def serving(emulator: Emulator) -> Iterator[Emulator]:
    """Let it serve until the block ends."""
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with emulator:
            started.set()
            await stop.wait()
        if emulator.tls:
            await asyncio.sleep(LAST_WORDS_SECONDS)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(START_SECONDS)
    try:
        yield emulator
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_SECONDS)
        loop.close()
