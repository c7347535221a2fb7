"""Who does not lead any more writes nothing more, whatever a write was waiting for."""

import asyncio

import aiohttp
import pytest

from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.azure import AzureClient
from hpc_operator.azure.bucket import Limit
from hpc_operator.azure.throttle import LIMITS, QUERY_PATH, Throttle

from .conftest import SUBSCRIPTION, Credential

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/climate"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm"


class Lead:
    """Whether we lead."""

    held = True

    def __call__(self):
        return self.held


async def refused(awaitable):
    with pytest.raises(AzureError) as caught:
        await awaitable
    error = caught.value
    assert (error.code, error.status, error.error_class) == ("NotLeading", 0, ErrorClass.TRANSIENT)
    return error


async def test_a_write_that_waits_for_its_turn_is_not_sent(stack, arm, credential):
    lead, throttle = Lead(), Throttle({**LIMITS, "write": Limit(1, 2)})
    client = await stack.enter_async_context(
        AzureClient(arm.url, SUBSCRIPTION, credential, throttle=throttle, fence=lead)
    )
    arm.on("PUT", VNET, 200, {"id": VNET})
    await client.put(VNET, {})
    waiting = asyncio.create_task(client.put(VNET, {}))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    lead.held = False
    error = await refused(waiting)
    assert VNET in error.message
    assert arm.asked == [f"PUT {VNET}"]
    # What was not sent is not counted.
    assert client.requests == {("write", "2xx"): 1}


async def test_a_write_that_waits_for_a_token_is_not_sent(stack, arm):
    lead = Lead()

    class Slow(Credential):
        async def get_token(self, *scopes, **options):
            lead.held = False
            return await super().get_token(*scopes, **options)

    client = await stack.enter_async_context(AzureClient(arm.url, SUBSCRIPTION, Slow(), fence=lead))
    await refused(client.put(VNET, {}))
    assert arm.requests == []


async def test_a_write_that_waits_for_its_connection_is_not_sent(stack, arm, credential, monkeypatch):
    """As in a process that is stopped while it connects, and goes on when another one leads."""
    lead, connect = Lead(), aiohttp.TCPConnector.connect

    async def slow(self, *arguments):
        connection = await connect(self, *arguments)
        lead.held = False
        return connection

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", slow)
    client = await stack.enter_async_context(AzureClient(arm.url, SUBSCRIPTION, credential, fence=lead))
    await refused(client.put(VNET, {}))
    assert arm.requests == []


async def test_all_writes_stop_and_reads_go_on(stack, arm, credential):
    lead = Lead()
    lead.held = False
    client = await stack.enter_async_context(AzureClient(arm.url, SUBSCRIPTION, credential, fence=lead))
    arm.on("GET", VNET, 200, {"id": VNET})
    arm.on("POST", QUERY_PATH, 200, {"data": []})
    for write in (client.put(VNET, {}), client.patch(VM, {}), client.delete(VNET)):
        await refused(write)
    assert await client.get(VNET) == {"id": VNET}
    assert await client.survey(GROUP) == {}
    assert arm.asked == [f"GET {VNET}", f"POST {QUERY_PATH}"]
    lead.held = True
    arm.on("DELETE", VNET, 204)
    await client.delete(VNET)


async def test_registering_a_provider_is_a_write(stack, arm, credential):
    moments = iter([True, False])
    client = await stack.enter_async_context(
        AzureClient(arm.url, SUBSCRIPTION, credential, fence=lambda: next(moments))
    )
    message = "The subscription is not registered to use namespace 'Microsoft.Network'."
    arm.on("PUT", VNET, 409, {"error": {"code": "MissingSubscriptionRegistration", "message": message}})
    with pytest.raises(AzureError) as caught:
        await client.put(VNET, {})
    assert caught.value.error_class is ErrorClass.TRANSIENT
    assert arm.asked == [f"PUT {VNET}"]
