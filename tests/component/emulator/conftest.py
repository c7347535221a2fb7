"""An emulator on a fast clock behind the real SDK clients, and one on a stepped clock behind plain HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from azure.core.credentials import AccessToken
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.marketplaceordering import MarketplaceOrderingAgreements
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.netapp import NetAppManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.privatedns import PrivateDnsManagementClient
from azure.mgmt.quota import QuotaMgmtClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient
from azure.mgmt.storagecache import StorageCacheManagementClient
from serving import serving

from azure_emulator import SUBSCRIPTION, Emulator

LOCATION = "westeurope"
SCOPE = "https://management.azure.com/.default"


class StaticCredential:
    """Any bearer will do."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("opaque", int(time.time()) + 3600)


class PlainHttp(ARMChallengeAuthenticationPolicy):
    """Lets a bearer travel over plain HTTP, which is fine on loopback only."""

    def on_request(self, request: Any) -> None:
        request.context.options.setdefault("enforce_https", False)
        super().on_request(request)


class Clients:
    """All management clients of one emulator."""

    def __init__(self, url: str) -> None:
        def client(kind: Any) -> Any:
            credential = StaticCredential()
            return kind(
                credential, SUBSCRIPTION, base_url=url, credential_scopes=[SCOPE],
                authentication_policy=PlainHttp(credential, SCOPE), retry_total=0,
            )  # fmt: skip

        self.resources = client(ResourceManagementClient)
        self.deployments = client(DeploymentsMgmtClient)
        self.network = client(NetworkManagementClient)
        self.compute = client(ComputeManagementClient)
        self.storage = client(StorageManagementClient)
        self.identity = client(ManagedServiceIdentityClient)
        self.authorization = client(AuthorizationManagementClient)
        self.key_vault = client(KeyVaultManagementClient)
        self.netapp = client(NetAppManagementClient)
        self.lustre = client(StorageCacheManagementClient)
        self.dns = client(PrivateDnsManagementClient)
        self.marketplace = client(MarketplaceOrderingAgreements)
        self.quota = client(QuotaMgmtClient)
        self.url = url


@pytest.fixture(scope="session")
def fast_emulator() -> Iterator[Emulator]:
    """One emulator for the session in a thread of its own, an hour passing in under a second."""
    with serving(Emulator(speed=5000, seed=1)) as emulator:
        yield emulator


@pytest.fixture
def settings(fast_emulator: Emulator) -> Iterator[Callable[..., None]]:
    """Sets tunables of the fast emulator for one test."""
    before, touched = dict(fast_emulator.store.settings), set()

    def put(**values: Any) -> None:
        for name, value in values.items():
            touched.add(name)
            fast_emulator.store.set(name, value)

    yield put
    for name in touched:
        if name in before:
            fast_emulator.store.set(name, before[name])
        else:
            del fast_emulator.store.settings[name]


@pytest.fixture(scope="session")
def sdk(fast_emulator: Emulator) -> Clients:
    return Clients(fast_emulator.url)


@pytest.fixture
def group(sdk: Clients, request: pytest.FixtureRequest) -> Iterator[str]:
    """A resource group of its own for each test; deleting it is part of the test."""
    name = request.node.name.replace("[", "-").replace("]", "")
    sdk.resources.resource_groups.create_or_update(name, {"location": LOCATION})
    yield name
    sdk.resources.resource_groups.begin_delete(name).result()
    assert not sdk.resources.resource_groups.check_existence(name)


class Http:
    """ARM over plain HTTP, on a clock that stands still until the test moves it."""

    def __init__(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.session = session
        self.subscription = f"/subscriptions/{SUBSCRIPTION}"
        self.headers = {"Authorization": "Bearer opaque"}

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None,
        version: str = "2026-01-01", query: dict[str, str] | None = None,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        url = path if path.startswith("http") else f"{self.emulator.url}{self._full(path)}"
        params = None if path.startswith("http") else {"api-version": version, **(query or {})}
        async with self.session.request(
            method, url, json=body, params=params, headers={**self.headers, **(headers or {})}
        ) as response:
            text = await response.text()
            document = await response.json(content_type=None) if text else None
            return response.status, document, response.headers

    def _full(self, path: str) -> str:
        if path.startswith("/"):
            return path
        head, _, tail = path.partition("/Microsoft.")
        return f"{self.subscription}/resourceGroups/{head}" + (f"/providers/Microsoft.{tail}" if tail else "")

    async def code(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
        """Status and error code of a request that should be refused."""
        status, document, _ = await self.call(method, path, body, **options)
        return status, document["error"]["code"]

    async def put(self, path: str, body: Any, **options: Any) -> Any:
        """PUT that must be accepted, and its document."""
        status, document, _ = await self.call("PUT", path, body, **options)
        assert status < 300, document
        return document

    async def done(self, path: str, body: Any, *, seconds: float = 3600.0) -> Any:
        """PUT, let time pass, GET."""
        await self.put(path, body)
        self.advance(seconds)
        status, document, _ = await self.call("GET", path)
        assert status == 200, document
        assert document["properties"].get("provisioningState", "Succeeded") == "Succeeded", document
        return document

    def advance(self, seconds: float) -> None:
        self.emulator.clock.advance(seconds)


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    async with Emulator(speed=0, seed=1) as emulator, aiohttp.ClientSession() as session:
        client = Http(emulator, session)
        await client.put("rg", {"location": LOCATION})
        yield client
