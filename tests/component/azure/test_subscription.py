"""What a subscription allows and costs, asked with the real SDK: of the emulator, and of a server that tests script."""

import asyncio
import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from sdk_clients import AsyncCredential

from azure_emulator import Emulator
from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.azure import AzureClient
from hpc_operator.azure.prices import PriceList
from hpc_operator.azure.subscription import AzureSubscription
from hpc_operator.subscription import Image, Price, Usage, VmSize

from .conftest import SUBSCRIPTION, Credential

ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/climate"
NSG = f"{GROUP}/providers/Microsoft.Network/networkSecurityGroups/nsg"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/climate-vault"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/climatedata"
WEST = {"location": "westeurope"}
HB4 = "Standard_HB176rs_v4"
FREE, SOLD = "microsoft-dsvm:ubuntu-hpc:2204:latest", "paloaltonetworks:vmseries-flex:byol:latest"
(ROLE,) = re.findall(
    r"<<EOF\n(\{.*?\"Actions\".*?\})\nEOF",
    (Path(__file__).parents[3] / "docs" / "installing.md").read_text("utf-8"),
    re.DOTALL,
)
ROLE = json.loads(ROLE)
TENANT = "00000000-0000-0000-0000-00000000a2ed"


@pytest.fixture
async def emulator():
    # A quarter of an hour in a tenth of a second.
    async with Emulator(speed=10_000, seed=1) as emulator:
        yield emulator


@pytest.fixture
async def azure(emulator):
    async with AzureClient(emulator.url, SUBSCRIPTION, Credential(), poll_interval=0.01) as client:
        await client.put(GROUP, WEST)
        yield client


@pytest.fixture
def subscription(azure, emulator):
    return AzureSubscription(azure, PriceList(emulator.url))


class Somebody:
    """Another administrator, who writes to Azure past us."""

    def __init__(self, emulator, token):
        self.emulator = emulator
        self.token = token

    async def write(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.emulator.url}{path}?api-version=2023-01-01", json=body) as response,
        ):
            assert response.status < 300, await response.text()

    async def lock(self, scope, name, level, notes=""):
        path = f"{scope}/providers/Microsoft.Authorization/locks/{name}"
        await self.write("PUT", path, {"properties": {"level": level, "notes": notes}})


async def admin(emulator, method, path, body):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{emulator.url}/emulator/{path}", json=body) as response,
    ):
        assert response.status < 300, await response.text()
        return await response.json()


async def token_of(emulator, name, *roles):
    """Log in a program with roles at the subscription."""
    entry = await admin(
        emulator, "POST", "applications",
        {"displayName": name, "roles": [{"role": role, "scope": ROOT} for role in roles]},
    )  # fmt: skip
    return (await admin(emulator, "POST", "tokens", {"principal": entry["objectId"]}))["access_token"]


@pytest.fixture
async def somebody(emulator):
    return Somebody(emulator, await token_of(emulator, "somebody"))


async def until(look, wanted):
    """Look again and again until it is as wanted."""
    async with asyncio.timeout(20):
        while await look() != wanted:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.01)


async def until_succeeded(azure, resource_id):
    async def state():
        return (await azure.get(resource_id))["properties"]["provisioningState"]

    await until(state, "Succeeded")


def asked(emulator, part):
    return [one for one in emulator.requests if part.lower() in one["path"].lower()]


# --- quota


async def test_usages_of_compute(subscription, emulator):
    emulator.store.set("quota", {"westeurope/standardhbv4family": 352})
    usages = await subscription.usages("Microsoft.Compute", "westeurope")
    assert usages["standardhbv4family"] == Usage("standardHBv4Family", 0, 352)
    assert {"cores", "lowprioritycores"} <= usages.keys()


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("Microsoft.Network", "virtualnetworks"),
        ("Microsoft.Storage", "storageaccounts"),
        ("Microsoft.NetApp", "totaltibspersubscription"),
        ("microsoft.storagecache", "amlfilesystem"),
    ],
)
async def test_usages_of_the_others(subscription, namespace, name):
    usages = await subscription.usages(namespace, "westeurope")
    assert name in usages, usages
    assert usages[name].current == 0
    assert usages[name].limit > 0


async def test_netapp_pools_count_in_tib(subscription, azure):
    account = f"{GROUP}/providers/Microsoft.NetApp/netAppAccounts/files"
    await azure.put(account, WEST)
    await until_succeeded(azure, account)
    await azure.put(
        f"{account}/capacityPools/pool", WEST | {"properties": {"size": 4 * 2**40, "serviceLevel": "Premium"}}
    )
    usages = await subscription.usages("Microsoft.NetApp", "westeurope")
    assert usages["totaltibspersubscription"] == Usage("totalTiBsPerSubscription", 4, 25)
    # It has a limit, and Azure does not say how much of it is in use.
    assert "snapshotspervolume" not in usages


async def test_quota_of_a_namespace_that_has_none_is_a_bug(subscription):
    with pytest.raises(ValueError, match="KeyVault"):
        await subscription.usages("Microsoft.KeyVault", "westeurope")


# --- sizes


async def test_sizes_tell_what_they_can(subscription):
    sizes = await subscription.vm_sizes("westeurope")
    assert sizes[HB4.lower()] == VmSize(
        HB4, "standardHBv4Family", 176, 768, rdma=True, zones=frozenset({"1", "2", "3"})
    )
    # Quota counts all cores of a machine, also those that a constrained size hides.
    assert sizes["standard_hb176-24rs_v4"].vcpus == 176
    assert sizes["standard_nd96isr_h100_v5"].gpus == 8
    burstable = sizes["standard_b2ms"]
    assert (burstable.spot, burstable.rdma, burstable.gpus) == (False, False, 0)
    assert sizes["standard_d4_v5"].premium_storage is False
    # Availability sets are in the same list of Azure's.
    assert "aligned" not in sizes


async def test_restrictions_by_region_and_by_zone(subscription, emulator):
    emulator.store.set("restrictions", [
        {"vmSize": HB4, "location": "westeurope", "reasonCode": "QuotaId"},
        {"vmSize": "Standard_HX176rs", "location": "westeurope", "zones": ["2"]},
        {"vmSize": "Standard_HC44rs", "location": "northeurope"},
    ])  # fmt: skip
    sizes = await subscription.vm_sizes("westeurope")
    assert sizes[HB4.lower()].unavailable == "QuotaId"
    assert (sizes["standard_hx176rs"].unavailable, sizes["standard_hx176rs"].restricted_zones) == ("", {"2"})
    assert sizes["standard_hc44rs"].unavailable == ""
    assert (await subscription.vm_sizes("northeurope"))["standard_hc44rs"].unavailable == "NotAvailableForSubscription"


# --- images


async def test_images_and_their_terms(subscription, azure, somebody):
    assert await subscription.image("westeurope", FREE) == Image(exists=True)
    plan = ("paloaltonetworks", "vmseries-flex", "byol")
    assert await subscription.image("westeurope", SOLD) == Image(exists=True, plan=plan, terms_accepted=False)
    terms = f"{ROOT}/providers/Microsoft.MarketplaceOrdering"
    await somebody.write("POST", f"{terms}/agreements/{plan[0]}/offers/{plan[1]}/plans/{plan[2]}/sign")
    fresh = AzureSubscription(azure)
    assert await fresh.image("westeurope", SOLD) == Image(exists=True, plan=plan, terms_accepted=True)
    # What was asked a moment ago still holds.
    assert (await subscription.image("westeurope", SOLD)).terms_accepted is False


@pytest.mark.parametrize(
    "urn",
    ["microsoft-dsvm:ubuntu-hpc:2204:1.2.3", "microsoft-dsvm:ubuntu-hpc:1604:latest", "nobody:nothing:no:latest",
     "microsoft-dsvm:ubuntu-hpc:2004:latest", "OpenLogic:CentOS-HPC:7_9-gen2:7.9.2022040101"],
)  # fmt: skip
async def test_images_that_cannot_be_had(subscription, urn):
    assert await subscription.image("westeurope", urn) == Image(exists=False)


async def test_terms_that_we_may_not_read_are_unknown(arm, client):
    versions = (
        f"{ROOT}/providers/Microsoft.Compute/locations/west/publishers/p/artifacttypes/vmimage/offers/o/skus/s/versions"
    )
    arm.on("GET", f"{versions}/1.0", 200, {"properties": {"plan": {"publisher": "p", "product": "o", "name": "s"}}})
    terms = (
        f"{ROOT}/providers/Microsoft.MarketplaceOrdering/offerTypes/virtualmachine/publishers/p/offers/o/plans/s"
        "/agreements/current"
    )
    arm.on("GET", terms, 403, {"error": {"code": "AuthorizationFailed", "message": "No."}})
    image = await AzureSubscription(client).image("west", "p:o:s:1.0")
    assert image == Image(exists=True, plan=("p", "o", "s"), terms_accepted=None)
    arm.answers["GET", terms.lower()] = [(503, {"error": {"code": "ServerTimeout", "message": "Later."}}, {}, None)]
    with pytest.raises(AzureError, match="Later"):
        await AzureSubscription(client).image("west", "p:o:s:1.0")


async def test_a_region_that_does_not_exist_is_no_missing_image(subscription):
    with pytest.raises(AzureError, match="mars"):
        await subscription.image("mars", FREE)


# --- registrations and names


async def test_registrations(subscription, somebody):
    await somebody.write("POST", f"{ROOT}/providers/Microsoft.NetApp/unregister")
    found = await subscription.registrations()
    assert found["microsoft.compute"] == "Registered"
    assert found["microsoft.netapp"] in ("Unregistering", "NotRegistered")


async def test_looking_registers_nothing(arm, client):
    path = f"{ROOT}/providers/Microsoft.NetApp/locations/westeurope/quotaLimits"
    message = "The subscription is not registered to use namespace 'Microsoft.NetApp'."
    arm.on("GET", path, 409, {"error": {"code": "MissingSubscriptionRegistration", "message": message}})
    with pytest.raises(AzureError, match="not registered"):
        await AzureSubscription(client).usages("Microsoft.NetApp", "westeurope")
    assert arm.asked == [f"GET {path}"]


async def test_names_that_others_have(subscription, emulator):
    emulator.store.set("takenNames", ["climatedata", "climate-vault"])
    assert "already taken" in await subscription.name_taken(ACCOUNT)
    assert "already in use" in await subscription.name_taken(VAULT)
    assert await subscription.name_taken(ACCOUNT.replace("climatedata", "climatedata2")) == ""
    assert "3 to 24" in await subscription.name_taken(VAULT.replace("climate-vault", "v"))


async def test_names_of_our_own_and_of_other_types_are_free(subscription, azure, emulator):
    await azure.put(VAULT, WEST | {"properties": {"tenantId": TENANT, "sku": {"family": "A", "name": "standard"}}})
    assert await subscription.name_taken(VAULT) == ""
    assert "already in use" in await subscription.name_taken(VAULT.replace("/climate/", "/other/"))
    emulator.store.set("takenNames", ["nsg"])
    assert await subscription.name_taken(NSG) == ""


async def test_a_deleted_vault_keeps_its_name(subscription, azure):
    await azure.put(VAULT, WEST | {"properties": {"tenantId": TENANT, "sku": {"family": "A", "name": "standard"}}})
    await until_succeeded(azure, VAULT)
    await azure.delete(VAULT)
    reason = await subscription.name_taken(VAULT)
    assert VAULT in reason
    assert "az keyvault recover --name climate-vault" in reason


# --- rights


async def test_permissions(emulator, azure):
    tokens = [await token_of(emulator, "reader", "Reader"), await token_of(emulator, "builder", "Contributor")]
    emulator.store.set("rights", "on")
    emulator.store.set("rightsDelaySeconds", 0)
    seen = []
    for token in tokens:
        async with AzureClient(emulator.url, SUBSCRIPTION, AsyncCredential(token)) as client:
            subscription = AzureSubscription(client)
            for scope in (ROOT, GROUP):
                rights = await subscription.permissions(scope)
                seen.append([
                    rights.allows(f"Microsoft.{action}")
                    for action in ("Compute/virtualMachines/read", "Compute/virtualMachines/write",
                                   "Authorization/roleAssignments/write")
                ])  # fmt: skip
    assert seen == [[True, False, False]] * 2 + [[True, True, False]] * 2


async def test_the_role_of_the_documents_is_enough(emulator, azure, somebody):
    """With rights on, as the custom role of docs/installing.md: nothing that is asked for is refused."""
    role = ROLE | {"AssignableScopes": [ROOT]}
    definition = f"{ROOT}/providers/Microsoft.Authorization/roleDefinitions/7a1b2c3d-0000-4000-8000-000000000001"
    await somebody.write("PUT", definition, {"properties": {
        "roleName": role["Name"], "type": "CustomRole", "assignableScopes": role["AssignableScopes"],
        "permissions": [{"actions": role["Actions"], "notActions": []}],
    }})  # fmt: skip
    token = await token_of(emulator, "operator", role["Name"])
    await azure.put(NSG, WEST)
    await somebody.lock(GROUP, "freeze", "ReadOnly")
    emulator.store.set("takenNames", ["climate-vault"])
    emulator.store.set("rights", "on")
    emulator.store.set("rightsDelaySeconds", 0)
    async with AzureClient(emulator.url, SUBSCRIPTION, AsyncCredential(token)) as client:
        subscription = AzureSubscription(client)
        for namespace in ("Compute", "Network", "Storage", "NetApp", "StorageCache"):
            assert await subscription.usages(f"Microsoft.{namespace}", "westeurope")
        assert await subscription.vm_sizes("westeurope")
        assert (await subscription.image("westeurope", SOLD)).terms_accepted is False
        assert await subscription.registrations()
        assert await subscription.name_taken(ACCOUNT) == ""
        assert await subscription.name_taken(VAULT)
        assert (await subscription.permissions(GROUP)).allows("Microsoft.Compute/virtualMachines/write")
        assert await subscription.locks(GROUP)
        since = (emulator.clock.now - timedelta(days=1)).isoformat()
        assert await subscription.last_author(NSG, since)
        with pytest.raises(AzureError, match='Lock "freeze"'):
            await client.put(NSG, WEST)
    assert [one["path"] for one in emulator.requests if one["status"] == 403] == []


# --- locks


async def test_locks_of_a_scope_and_its_ancestors(subscription, azure, somebody):
    await azure.put(NSG, WEST)
    await somebody.lock(NSG, "mine", "ReadOnly")
    await somebody.lock(GROUP, "ours", "CanNotDelete", "Ask Ada.")
    await somebody.lock(ROOT, "all", "CanNotDelete")
    await azure.put(f"{GROUP}-2", WEST)
    await somebody.lock(f"{GROUP}-2", "other", "ReadOnly")
    assert {lock.name for lock in await subscription.locks(NSG)} == {"mine", "ours", "all"}
    assert {lock.name for lock in await subscription.locks(f"{GROUP}-2")} == {"other", "all"}
    assert {lock.name for lock in await subscription.locks(ROOT)} == {"all"}
    (ours,) = (lock for lock in await subscription.locks(GROUP.lower()) if lock.name == "ours")
    assert (ours.level, ours.scope.lower(), ours.notes) == ("CanNotDelete", GROUP.lower(), "Ask Ada")


async def test_a_refusal_names_the_locks(azure, somebody):
    await azure.put(NSG, WEST)
    await somebody.lock(GROUP, "keep", "CanNotDelete", "Ask Ada before you delete this.")
    await somebody.lock(f"{GROUP}", "freeze", "ReadOnly")
    await somebody.lock(ROOT, "all", "CanNotDelete")
    with pytest.raises(AzureError) as refused:
        await azure.put(NSG, WEST | {"tags": {"a": "1"}})
    error = refused.value
    assert (error.code, error.status, error.error_class) == ("ScopeLocked", 409, ErrorClass.PERMANENT)
    assert "cannot perform write operation" in error.message
    assert 'Lock "freeze" (ReadOnly) on' in error.message
    with pytest.raises(AzureError) as refused:
        await azure.delete(NSG)
    assert 'Lock "keep" (CanNotDelete) on' in refused.value.message
    assert "Ask Ada before you delete this." in refused.value.message
    assert 'Lock "all" (CanNotDelete) on' in refused.value.message


async def test_a_refusal_stands_where_the_locks_cannot_be_read(arm, client):
    locked = f"The scope '{NSG}' cannot perform write operation because following scope(s) are locked: '{GROUP}'."
    arm.on("PUT", NSG, 409, {"error": {"code": "ScopeLocked", "message": locked}})
    path = f"{ROOT}/providers/Microsoft.Authorization/locks"
    arm.on("GET", path, 403, {"error": {"code": "AuthorizationFailed", "message": "No."}})
    with pytest.raises(AzureError, match=r"ScopeLocked: The scope .* could not be read \(AuthorizationFailed\)"):
        await client.put(NSG, {})
    assert arm.asked == [f"PUT {NSG}", f"GET {path}"]


# --- who was it


async def test_the_last_author_is_somebody_else(emulator, somebody):
    token = await token_of(emulator, "operator", "Contributor")
    since = (emulator.clock.now - timedelta(minutes=1)).isoformat()
    async with AzureClient(emulator.url, SUBSCRIPTION, AsyncCredential(token)) as client:
        subscription = AzureSubscription(client)
        await client.put(GROUP, WEST)
        await client.put(NSG, WEST)
        assert await subscription.last_author(NSG, since) is None
        await somebody.write("PUT", NSG, WEST | {"tags": {"by": "hand"}})
        await client.put(NSG, WEST)
        author = await subscription.last_author(NSG, since)
        assert author.operation == "Microsoft.Network/networkSecurityGroups/write"
        assert author.caller
        assert datetime.fromisoformat(author.time) <= emulator.clock.now
        later = (emulator.clock.now + timedelta(days=1)).isoformat()
        assert await subscription.last_author(NSG, later) is None


async def test_refused_writes_have_no_author(arm, client):
    events = f"{ROOT}/providers/Microsoft.Insights/eventtypes/management/values"

    def event(caller, status, second):
        return {"caller": caller, "status": {"value": status}, "eventTimestamp": f"2026-03-01T00:00:0{second}Z",
                "operationName": {"value": "Microsoft.Network/networkSecurityGroups/write"},
                "resourceId": f"{NSG}/securityRules/one" if second == 1 else NSG}  # fmt: skip

    arm.on("GET", events, 200, {"value": [
        event("ada@example.com", "Succeeded", 1), event("bob@example.com", "Failed", 2), event("", "Succeeded", 3),
        event("eve@example.com", "Succeeded", 4) | {"resourceId": f"{NSG}-2"},
    ]})  # fmt: skip
    author = await AzureSubscription(client).last_author(NSG, "2026-02-01T00:00:00Z")
    assert (author.caller, author.time) == ("ada@example.com", "2026-03-01T00:00:01Z")
    assert "resourceGroupName" in arm.requests[0][1], "rules of a security group have events of their own"


# --- what is remembered


async def test_answers_are_asked_for_once(subscription, emulator):
    await asyncio.gather(*(subscription.vm_sizes("westeurope") for _ in range(5)))
    await asyncio.gather(*(subscription.usages("Microsoft.Compute", "westeurope") for _ in range(5)))
    await asyncio.gather(*(subscription.locks(scope) for scope in (ROOT, GROUP, NSG)))
    await subscription.vm_sizes("WestEurope")
    assert [len(asked(emulator, part)) for part in ("Compute/skus", "usages", "Authorization/locks")] == [1, 1, 1]


async def test_usages_are_asked_for_again(azure, emulator):
    subscription = AzureSubscription(azure, usages_lifetime=0)
    for limit in (100, 200):
        emulator.store.set("quota", {"westeurope/cores": limit})
        assert (await subscription.usages("Microsoft.Compute", "westeurope"))["cores"].limit == limit


async def test_failures_are_not_remembered(arm, client):
    path = f"{ROOT}/providers/Microsoft.Compute/locations/westeurope/usages"
    arm.on("GET", path, 503, {"error": {"code": "ServerTimeout", "message": "Later."}})
    arm.on("GET", path, 200, {"value": []})
    subscription = AzureSubscription(client)
    outcomes = await asyncio.gather(
        *(subscription.usages("Microsoft.Compute", "westeurope") for _ in range(3)), return_exceptions=True
    )
    assert [outcome.code for outcome in outcomes] == ["ServerTimeout"] * 3
    assert len(arm.requests) == 1
    assert await subscription.usages("Microsoft.Compute", "westeurope") == {}


# --- prices


async def test_prices_of_a_region(subscription):
    prices = await subscription.prices("westeurope", [HB4, "standard_b2ms", "Standard_HB368rs_v5"])
    assert prices == {
        HB4.lower(): Price(9.36, pytest.approx(1.872), "USD"),
        "standard_b2ms": Price(0.096, None, "USD"),
    }
    assert await subscription.prices("eastus", [HB4]) == {}


async def test_without_a_price_list_there_are_no_prices(azure):
    assert await AzureSubscription(azure).prices("westeurope", [HB4]) == {}
