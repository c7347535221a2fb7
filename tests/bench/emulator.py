"""`make bench-emulator`: what the emulator does with 50,000 resources: requests per second, memory, start, idleness.

Prints a table, and writes it to .state/bench/emulator.json. The client is as plain as can be (raw HTTP/1.1 over kept
connections, from this process), because it shares two cores with the server that it measures.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report import Figure, Report
from rich.console import Console
from world import ROOT, processor_seconds, resident_mib

from azure_emulator import SUBSCRIPTION, Emulator

STATE = ROOT / ".state" / "bench-emulator"
GROUPS, EACH = 100, 500
CONNECTIONS = 16
READS, WRITES = 15_000, 4_000
IDLE_SECONDS = 10.0
LOCATION = "westeurope"

READS_GOAL, WRITES_GOAL, RSS_GOAL, START_GOAL = 1500, 400, 500, 10


def group(index: int) -> str:
    """Id of a resource group."""
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/bench-{index:03}"


def security_group(index: int, name: int) -> str:
    """Id of a network security group: a body of ordinary size with children of its own."""
    return f"{group(index)}/providers/Microsoft.Network/networkSecurityGroups/nsg-{name}"


def disk(index: int, name: int) -> str:
    """Id of a disk."""
    return f"{group(index)}/providers/Microsoft.Compute/disks/disk-{name}"


DISK = {
    "location": LOCATION, "sku": {"name": "Premium_LRS"}, "tags": {"purpose": "bench"},
    "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 128},
}  # fmt: skip
SECURITY_GROUP: dict[str, Any] = {"location": LOCATION, "tags": {"purpose": "bench"}, "properties": {}}


def fill(state: Path) -> float:
    """Write a state with all resources; answers how many seconds that took."""
    began = time.perf_counter()
    emulator = Emulator(state=state, speed=1)
    engine = emulator.engine
    engine.store.set("quota", {f"{LOCATION}/premiumdiskcount": 10**6})
    for index in range(GROUPS):
        engine.create(group(index), {"location": LOCATION})
        for name in range((EACH - 1) // 2):
            engine.create(disk(index, name), DISK)
            engine.create(security_group(index, name), SECURITY_GROUP)
    emulator.commit()
    emulator.store.close()
    return time.perf_counter() - began


def serve(state: Path) -> tuple[subprocess.Popen[bytes], str, float]:
    """Start the server on that state: the process, its host and port, and the seconds until it answered."""
    ready = state / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "azure_emulator.cli", "serve", "--state", str(state), "--ready-file", str(ready)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not ready.exists():
        if process.poll() is not None:
            msg = f"the emulator ended with {process.returncode}"
            raise RuntimeError(msg)
        time.sleep(0.01)
    took = time.perf_counter() - began
    return process, json.loads(ready.read_text())["url"].split("//", 1)[1], took


async def drive(host: str, requests: list[bytes]) -> float:
    """Send all requests over kept connections; answers how many were answered each second."""
    name, port = host.split(":")
    queue = iter(requests)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(name, int(port))
        for request in queue:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
            if status >= 300:
                msg = f"{request[:200]!r} was answered {status}: {body[:300]!r}"
                raise RuntimeError(msg)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return len(requests) / (time.perf_counter() - began)


def request(method: str, host: str, path: str, body: Any = None) -> bytes:
    """One request in bytes."""
    text = json.dumps(body).encode() if body is not None else b""
    head = (
        f"{method} {path}?api-version=2025-01-01 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer opaque\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def run(say: Callable[[str], None]) -> Report:
    """All of it."""
    shutil.rmtree(STATE, ignore_errors=True)
    report = Report()

    def add(what: str, value: float, unit: str, **more: Any) -> None:
        figure = Figure(what, value, unit, digits=0 if value > 100 else 2, **more)
        report.add("The emulator, with 50,000 resources", [figure])

    say(f"Writing {GROUPS * EACH:,} resources")
    fill(STATE)
    say("Starting on them")
    process, host, took = serve(STATE)
    try:
        add("start", took, "s", goal=START_GOAL)
        asyncio.run(drive(host, [request("PUT", host, "/emulator/settings", {"throttling": False})]))
        add("resident memory after start", resident_mib(process.pid), "MiB", goal=RSS_GOAL)
        before = processor_seconds(process.pid)
        time.sleep(IDLE_SECONDS)
        add("processor in an idle minute", (processor_seconds(process.pid) - before) * 60 / IDLE_SECONDS, "s")
        chance = random.Random(1)
        known = [chance.choice((disk, security_group))(chance.randrange(GROUPS), chance.randrange(200))
                 for _ in range(READS)]  # fmt: skip
        say("Reading")
        reads = asyncio.run(drive(host, [request("GET", host, path) for path in known]))
        add("reads per second", reads, "/s", goal=READS_GOAL, at_least=True)
        new = [disk(chance.randrange(GROUPS), 10_000 + number) for number in range(WRITES)]
        say("Writing")
        writes = asyncio.run(drive(host, [request("PUT", host, path, DISK) for path in new]))
        add("writes per second", writes, "/s", goal=WRITES_GOAL, at_least=True)
        add("resident memory at the end", resident_mib(process.pid), "MiB", goal=RSS_GOAL)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(STATE, ignore_errors=True)
    return report


if __name__ == "__main__":
    console = Console()
    found = run(lambda text: console.print(text, style="dim"))
    found.show(console)
    (ROOT / ".state" / "bench").mkdir(parents=True, exist_ok=True)
    found.write(ROOT / ".state" / "bench" / "emulator.json")
