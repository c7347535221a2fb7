"""The command line, and state that survives a kill -9 in the middle of everything."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import aiohttp

from azure_emulator import Emulator
from azure_emulator import emulator as emulator_module

LOCATION = {"location": "westeurope"}
BEARER = {"Authorization": "Bearer opaque"}
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg"
VERSION = {"api-version": "2026-01-01"}


async def serve(directory, *options):
    ready = directory / "ready.json"
    ready.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "azure_emulator.cli", "serve", "--state", str(directory / "state"),
        "--ready-file", str(ready), *options, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    while not ready.exists():  # noqa: ASYNC110 (a file of another process)
        await asyncio.sleep(0.01)
    document = json.loads(ready.read_text())
    assert document["pid"] == process.pid
    assert document["url"] in line
    return process, document["url"]


async def test_a_kill_in_mid_operation(tmp_path):
    process, url = await serve(tmp_path, "--speed", "0")
    async with aiohttp.ClientSession(headers=BEARER) as session:

        async def put(url, path, body):
            async with session.put(f"{url}{GROUP}{path}", json=body, params=VERSION) as response:
                return response.status, dict(response.headers)

        await put(url, "", LOCATION)
        await session.post(f"{url}/emulator/faults", json={"path": "never", "count": 3, "hang": True})
        bastion_net = {**LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
            {"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}  # fmt: skip
        status, headers = await put(url, "/providers/Microsoft.Network/virtualNetworks/vnet", bastion_net)
        assert status == 201
        await session.post(f"{url}/emulator/clock/advance", json={"seconds": 2})
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()

        process, again = await serve(tmp_path)
        operation = headers["Azure-AsyncOperation"].replace(url, again)
        async with session.get(operation) as response:
            assert await response.json() == {"status": "InProgress"}
        async with session.get(f"{again}/emulator/clock") as response:
            clock = await response.json()
            assert 2 <= clock["elapsedSeconds"] < 3
            assert clock["speed"] == 0
        await session.post(f"{again}/emulator/clock/advance", json={"seconds": 10})
        async with session.get(operation) as response:
            assert await response.json() == {"status": "Succeeded"}
        async with session.get(f"{again}{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet",
                               params=VERSION) as response:  # fmt: skip
            body = await response.json()
            assert body["properties"]["provisioningState"] == "Succeeded"
            assert [subnet["name"] for subnet in body["properties"]["subnets"]] == ["nodes"]
        async with session.get(f"{again}/emulator/requests") as response:
            log = (await response.json())["requests"]
            assert [entry["sequence"] for entry in log] == list(range(1, len(log) + 1))
        async with session.get(f"{again}/emulator/faults") as response:
            assert [fault["path"] for fault in await response.json()] == ["never"]
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_kills_at_random_moments_lose_nothing_that_was_answered(tmp_path):
    answered: list[str] = []
    for round_number in range(3):
        process, url = await serve(tmp_path, "--speed", "50")
        async with aiohttp.ClientSession(headers=BEARER) as session:

            async def put(path, session=session, url=url):
                async with session.put(f"{url}{GROUP}{path}", json=LOCATION, params=VERSION) as response:
                    assert response.status < 300
                answered.append(path)

            await put("")
            names = [f"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/r{round_number}-{n}"
                     for n in range(300)]  # fmt: skip
            writers = [asyncio.create_task(put(name)) for name in names]
            while len(answered) % 300 < 100:  # noqa: ASYNC110 (any moment will do)
                await asyncio.sleep(0)
            os.kill(process.pid, signal.SIGKILL)
            await asyncio.gather(*writers, return_exceptions=True)
        await process.wait()
    process, url = await serve(tmp_path)
    async with aiohttp.ClientSession() as session, session.get(f"{url}/emulator/resources") as response:
        present = {resource["id"] for resource in await response.json()}
    assert {f"{GROUP}{path}" for path in answered} <= present
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_the_table_of_types():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "azure_emulator.cli", "types", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert b"Microsoft.Compute/virtualMachines/runCommands" in output


async def test_time_goes_on_after_a_commit_that_failed(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(emulator_module, "KEEP_CLOCK_EVERY", 0.05)
    async with Emulator(speed=1, state=tmp_path) as emulator:
        failing = iter([True, True])

        def commit():
            if next(failing, False):
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(emulator.store, "commit", commit)
        await asyncio.sleep(0.5)
        assert caplog.text.count("No space left on device") >= 2
        assert emulator._ticking is not None
        assert not emulator._ticking.done()
