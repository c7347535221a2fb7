"""A proxy that keeps each request to Azure waiting: what a network between operator and Azure does.

Knows bytes and connections, nothing of HTTP. The emulator can delay requests too, but looks only every 20 ms whether
their time has come: at a speed of 20 that is 0.4 emulated seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

_CHUNK = 1 << 16
_START_SECONDS = 10.0


@contextlib.contextmanager
def delayed(url: str, seconds: float) -> Iterator[str]:
    """Serve another URL of a server, behind which each request arrives later.

    Parameters
    ----------
    url
        Such as `http://127.0.0.1:8080`.
    seconds
        Real ones, for each piece of a request as it comes; answers pass at once.

    Yields
    ------
    str
        The URL.
    """
    host, _, port = url.partition("//")[2].partition(":")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(_START_SECONDS)

    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        to_server = None
        try:
            from_server, to_server = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_pass_on(reader, to_server, seconds), _pass_on(from_server, writer, 0.0))
        except (ConnectionError, asyncio.CancelledError):
            pass  # one side hung up, or the bench is over: the other side is told by the end of its connection
        finally:
            for end in (writer, to_server):
                if end is not None:
                    end.close()

    async def stop() -> None:
        server.close()
        for task in connections:
            task.cancel()

    server = run(asyncio.start_server(serve, "127.0.0.1", 0))
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        run(stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_START_SECONDS)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    while data := await reader.read(_CHUNK):
        await asyncio.sleep(seconds)
        writer.write(data)
        await writer.drain()
    writer.write_eof()
