"""An emulator with guests on a clock that stands still, and a small Azure to put them in."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from azure_emulator import SUBSCRIPTION, Emulator
from azure_emulator.store import Resource
from azure_emulator.types import Execution

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
NETWORK = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/net"
IMAGE = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}


class Cloud:
    """What tests do with an emulated Azure that has guests."""

    def __init__(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.session = session
        assert emulator.guests is not None
        self.guests = emulator.guests

    async def put(self, path: str, body: Any, *, version: str = "2025-04-01") -> Any:
        url = f"{self.emulator.url}{path}"
        headers = {"Authorization": "Bearer opaque"}
        async with self.session.put(url, json=body, params={"api-version": version}, headers=headers) as response:
            document = await response.json()
            assert response.status < 300, document
        self.advance()
        return document

    async def act(self, vm: Resource, action: str, body: Any = None) -> None:
        """POST an action on a VM, or DELETE it."""
        method, path = ("DELETE", vm.id) if action == "delete" else ("POST", f"{vm.id}/{action}")
        headers = {"Authorization": "Bearer opaque"}
        async with self.session.request(
            method, f"{self.emulator.url}{path}", json=body, params={"api-version": "2025-04-01"}, headers=headers
        ) as response:
            assert response.status < 300, await response.text()
        self.advance()

    def advance(self, seconds: float = 3600) -> None:
        self.emulator.clock.advance(seconds)
        self.emulator.engine.settle()

    def get(self, path: str) -> Resource:
        found = self.emulator.engine.store.get(path)
        assert found is not None
        return found

    async def vm(
        self, name: str, user_data: str | bytes = "", *, network: str = NETWORK, disks: list[Any] | None = None,
        size: str = "Standard_D4s_v5", profile: dict[str, Any] | None = None,
    ) -> Resource:  # fmt: skip
        """A VM that has booted, as far as its guest answers."""
        vm = await self.create(name, user_data, network=network, disks=disks, size=size, profile=profile)
        await self.up(vm)
        return vm

    async def create(
        self, name: str, user_data: str | bytes = "", *, network: str = NETWORK, disks: list[Any] | None = None,
        size: str = "Standard_D4s_v5", profile: dict[str, Any] | None = None,
    ) -> Resource:  # fmt: skip
        nic = f"{GROUP}/providers/Microsoft.Network/networkInterfaces/nic-{name}"
        subnet = {"id": f"{network}/subnets/nodes"}
        configuration = {"name": "ipconfig", "properties": {"subnet": subnet}}
        await self.put(nic, {"location": "westeurope", "properties": {"ipConfigurations": [configuration]}})
        data = user_data.encode() if isinstance(user_data, str) else user_data
        os_profile = {
            "computerName": name, "adminUsername": "hpcadmin",
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [
                {"path": "/home/hpcadmin/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAAtest somebody"}]}},
        }  # fmt: skip
        if data:
            os_profile["customData"] = base64.b64encode(data).decode()
        vm = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}"
        await self.put(vm, {"location": "westeurope", "properties": {
            "hardwareProfile": {"vmSize": size},
            "storageProfile": {
                "imageReference": IMAGE, "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
                "dataDisks": disks or [],
            },
            "osProfile": {**os_profile, **(profile or {})},
            "networkProfile": {"networkInterfaces": [{"id": nic}]},
        }})  # fmt: skip
        return self.get(vm)

    async def up(self, vm: Resource) -> None:
        done = await self.run(vm, "cloud-init status --wait >/dev/null; true")
        assert done.exit_code == 0, f"{done.error}\n{self.console(vm)}"

    async def run(self, vm: Resource, script: str, **options: Any) -> Execution:
        """Run a script inside, and wait for what comes of it."""
        ticket = self.guests.run(vm, script, **options)
        await until(lambda: self.guests.result(ticket) is not None)
        result = self.guests.result(ticket)
        assert result is not None
        return result

    async def output(self, vm: Resource, script: str, **options: Any) -> str:
        """What a script prints that must succeed."""
        done = await self.run(vm, script, **options)
        assert done.exit_code == 0, f"{done.exit_code}: {done.output}{done.error}\n{self.console(vm)}"
        return done.output

    def console(self, vm: Resource) -> str:
        return self.guests.console(vm)


async def until(condition: Callable[[], object], *, seconds: float = 30) -> None:
    """Wait for something that happens in real time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


async def prepare(cloud: Cloud) -> None:
    """A resource group, and two virtual networks of the same addresses."""
    await cloud.put(GROUP, {"location": "westeurope"})
    for network in (NETWORK, f"{NETWORK}-other"):
        subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.40.0.0/24"}},
                   {"name": "files", "properties": {"addressPrefix": "10.40.1.0/24", "delegations": [
                       {"name": "d", "properties": {"serviceName": "Microsoft.Netapp/volumes"}}]}},
                   {"name": "lustre", "properties": {"addressPrefix": "10.40.2.0/24"}}]  # fmt: skip
        space = {"addressSpace": {"addressPrefixes": ["10.40.0.0/16"]}, "subnets": subnets}
        await cloud.put(network, {"location": "westeurope", "properties": space})


@pytest.fixture
def start(tmp_path: Path) -> Callable[[], Awaitable[Emulator]]:
    """Starts an emulator whose state and guests are this test's."""

    async def begin() -> Emulator:
        emulator = Emulator(speed=0, seed=1, state=tmp_path / "state", guests=tmp_path / "guests")
        await emulator.start()
        assert emulator.guests is not None
        if emulator.guests.reason is not None:
            reason = emulator.guests.reason
            await emulator.stop()
            pytest.skip(f"guests cannot run on this machine: {reason}")
        return emulator

    return begin


@pytest.fixture
async def cloud(start: Callable[[], Awaitable[Emulator]]) -> AsyncIterator[Cloud]:
    emulator = await start()
    try:
        async with aiohttp.ClientSession() as session:
            made = Cloud(emulator, session)
            await prepare(made)
            yield made
    finally:
        await emulator.stop()
