"""An HTTP proxy into the virtual networks of guests, for programs on this machine: `curl -x`, browsers, operators.

Knows names and addresses of guests, and of HTTP what a proxy has to: CONNECT, and requests with a whole URL.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[str, int], Awaitable[Streams]]

_CHUNK = 65_536
# What a request's head may take, as servers allow it.
_LONGEST_HEAD = 65_536


class Proxy:
    """The proxy.

    Parameters
    ----------
    connect
        Connects to a host and port of a virtual network, or raises OSError.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_LONGEST_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await self._forward(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the client has gone, or has sent no request
        finally:
            await closed(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        try:
            method, target, version = line.decode("ascii").split(" ")
            url = urlsplit(f"//{target}" if method == "CONNECT" else target)
            port = url.port or 80
        except ValueError:
            writer.write(_refusal(400, "Bad Request", "This is a proxy: ask for a whole URL, or use CONNECT."))
            return
        if not url.hostname:
            writer.write(_refusal(400, "Bad Request", "This is a proxy: ask for a whole URL, or use CONNECT."))
            return
        try:
            up_reader, up_writer = await self._connect(url.hostname, port)
        except (OSError, TimeoutError) as error:
            writer.write(_refusal(502, "Bad Gateway", f"{url.hostname}:{port}: {error}"))
            return
        if method == "CONNECT":
            writer.write(f"{version} 200 Connection established\r\n\r\n".encode())
        else:
            path = url._replace(scheme="", netloc="").geturl() or "/"
            # One request for each connection: the next may be for another host.
            lines = [
                row for row in rest.split(b"\r\n") if row and not row.lower().startswith((b"proxy-", b"connection:"))
            ]
            up_writer.write(
                b"\r\n".join([f"{method} {path} {version}".encode(), *lines, b"Connection: close", b"", b""])
            )
        try:
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        finally:
            await closed(up_writer)


def _refusal(status: int, reason: str, text: str) -> bytes:
    body = f"{text}\n".encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side ends."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close for good."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
