"""How often and when the client asks: Retry-After of operations, and a share of the request limits for everybody."""

import asyncio
import itertools
import time

import pytest

from azure_emulator import Emulator
from hpc_operator.arm import CALLER
from hpc_operator.azure import AzureClient

from .conftest import SUBSCRIPTION
from .test_rows import ACCOUNT, GROUP, IDENTITY, LOCATION, POOL, RESOURCES, VM, finish, make


@pytest.mark.parametrize("resource_id", [ACCOUNT, VM, POOL], ids=["Location", "both headers", "NetApp"])
async def test_an_operation_is_asked_once_per_retry_after(stack, credential, resource_id):
    speed = 200
    emulator = await stack.enter_async_context(Emulator(speed=speed, seed=0))
    azure = await stack.enter_async_context(AzureClient(emulator.url, SUBSCRIPTION, credential))
    for need in RESOURCES[resource_id][0]:
        await make(azure, need)
    before = len(emulator.requests)
    started = await azure.put(resource_id, RESOURCES[resource_id][1])
    await finish(azure, resource_id, "PUT", started)
    assert (await azure.get(resource_id))["properties"]["provisioningState"] == "Succeeded"
    # The write, all questions for it, and the read that has just been.
    moments = [entry["emulatedTime"] for entry in emulator.requests[before:-1]]
    between = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert between
    assert min(between) >= started.retry_after * speed
    assert started.retry_after * speed >= 10


async def test_a_write_does_not_wait_behind_the_hundreds_of_another_environment(stack, credential):
    emulator = await stack.enter_async_context(Emulator(seed=0))
    azure = await stack.enter_async_context(AzureClient(emulator.url, SUBSCRIPTION, credential))
    await make(azure, GROUP)
    CALLER.set("hpc/huge")
    huge = [asyncio.create_task(azure.put(f"{IDENTITY}{number}", LOCATION)) for number in range(400)]
    for made in itertools.islice(asyncio.as_completed(huge), 170):  # until the burst of 160 is used up
        await made
    CALLER.set("hpc/small")
    began = time.monotonic()
    await azure.put(IDENTITY, LOCATION)
    assert time.monotonic() - began < 2
    assert sum(task.done() for task in huge) < 240
    assert {entry["status"] for entry in emulator.requests} == {201, 404}
    for task in huge:
        task.cancel()
    await asyncio.gather(*huge, return_exceptions=True)
