"""Clients that none of us wrote: azure-identity against the token endpoints, aio clients, resumed pollers."""

from __future__ import annotations

from typing import Any

import aiohttp
from azure.core.credentials import AccessToken
from azure.identity import ManagedIdentityCredential
from azure.identity.aio import ManagedIdentityCredential as AsyncManagedIdentityCredential
from azure.mgmt.core.policies import AsyncARMChallengeAuthenticationPolicy
from azure.mgmt.network.aio import NetworkManagementClient

from azure_emulator import SUBSCRIPTION, TENANT, Emulator

SCOPE = "https://management.azure.com/.default"
VNET = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}


class AsyncPlainHttp(AsyncARMChallengeAuthenticationPolicy):
    async def on_request(self, request: Any) -> None:
        request.context.options.setdefault("enforce_https", False)
        await super().on_request(request)


class AsyncStaticCredential:
    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("opaque", 2**40)

    async def close(self) -> None: ...


def network(url: str) -> NetworkManagementClient:
    credential = AsyncStaticCredential()
    return NetworkManagementClient(
        credential, SUBSCRIPTION, base_url=url, credential_scopes=[SCOPE],
        authentication_policy=AsyncPlainHttp(credential, SCOPE),
    )  # fmt: skip


def test_managed_identity_gets_a_token(fast_emulator, monkeypatch):
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", fast_emulator.url)
    with ManagedIdentityCredential(client_id="11111111-2222-3333-4444-555555555555") as credential:
        token = credential.get_token(SCOPE)
    assert token.token.count(".") == 2


async def test_managed_identity_gets_a_token_asynchronously(monkeypatch):
    async with Emulator(speed=1) as emulator:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", emulator.url)
        async with AsyncManagedIdentityCredential() as credential:
            assert (await credential.get_token(SCOPE)).token


async def test_token_and_metadata_endpoints(http):
    url = http.emulator.url
    async with http.session.get(f"{url}/metadata/endpoints", params={"api-version": "2022-09-01"}) as response:
        assert (await response.json())["authentication"]["loginEndpoint"] == url
    async with http.session.get(f"{url}/metadata/endpoints", params={"api-version": "2019-05-01"}) as response:
        assert isinstance(await response.json(), list)
    async with http.session.get(f"{url}/{TENANT}/v2.0/.well-known/openid-configuration") as response:
        token_endpoint = (await response.json())["token_endpoint"]
    form = aiohttp.FormData({"grant_type": "client_credentials", "client_id": "someone", "scope": SCOPE})
    async with http.session.post(token_endpoint, data=form) as response:
        granted = await response.json()
    assert granted["expires_in"] >= 3600
    bearer = {"Authorization": f"Bearer {granted['access_token']}"}
    assert (await http.call("GET", "rg", headers=bearer))[0] == 200
    async with http.session.get(f"{url}/metadata/identity/oauth2/token") as response:
        assert response.status == 400


async def test_aio_client(http):
    http.emulator.clock.speed = 1000
    async with network(http.emulator.url) as client:
        poller = await client.virtual_networks.begin_create_or_update("rg", "vnet", VNET)
        assert (await poller.result()).name == "vnet"
        assert [found.name async for found in client.virtual_networks.list("rg")] == ["vnet"]
        await (await client.virtual_networks.begin_delete("rg", "vnet")).result()
        assert [found.name async for found in client.virtual_networks.list("rg")] == []


async def test_a_poller_resumes_in_a_new_client(http):
    async with network(http.emulator.url) as client:
        poller = await client.virtual_networks.begin_create_or_update("rg", "vnet", VNET)
        token = poller.continuation_token()
    http.emulator.clock.speed = 1000
    async with network(http.emulator.url) as client:
        resumed = await client.virtual_networks.begin_create_or_update("rg", "vnet", VNET, continuation_token=token)
        assert (await resumed.result()).provisioning_state == "Succeeded"
