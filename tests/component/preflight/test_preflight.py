"""The preflight asks the real SDK and an emulated Azure, and what it finds is what Azure would refuse."""

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest
from sdk_clients import OPAQUE, AsyncCredential

from azure_emulator import Emulator
from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.arm import AzureError
from hpc_operator.azure import AzureClient
from hpc_operator.azure.subscription import AzureSubscription
from hpc_operator.blueprint import Inputs, build
from hpc_operator.graph import resolve
from hpc_operator.preflight import Check, Surroundings, inspect

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/hpc_climate"
HUB = f"{ROOT}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/hub"
INSTALLING = Path(__file__).parents[3] / "docs" / "installing.md"
WEST = {"location": "westeurope"}
TAGS = ("environmentRef", {"name": "climate"})


@pytest.fixture
async def emulator():
    async with Emulator(speed=10_000, seed=1) as emulator:
        yield emulator


@pytest.fixture
async def azure(emulator):
    async with AzureClient(emulator.url, SUBSCRIPTION, AsyncCredential(OPAQUE), poll_interval=0.01) as azure:
        yield azure


async def admin(emulator, method, path, body):
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{emulator.url}/emulator/{path}", json=body) as response,
    ):
        assert response.status < 300, await response.text()
        return await response.json()


async def program(emulator, *roles):
    """Register a program with roles, each a name and a scope, and return its token."""
    given = [{"role": role, "scope": scope} for role, scope in roles]
    entry = await admin(emulator, "POST", "applications", {"displayName": "operator", "roles": given})
    return (await admin(emulator, "POST", "tokens", {"principal": entry["objectId"]}))["access_token"]


def resource(model, name, spec):
    return model.model_validate({"metadata": {"name": name, "namespace": "hpc", "uid": "uid"}, "spec": spec})


def environment(network=None, **spec):
    network = network or {"addressSpace": ["10.40.0.0/20"], "access": {"bastion": {}}}
    return resource(
        HPCEnvironment, "climate", {"location": "westeurope", "network": network, "scheduler": {"slurm": {}}, **spec}
    )


def partition(sizes=("Standard_HB176rs_v4",), most=16, **spec):
    nodes = {"min": 0, "max": most}
    return resource(ComputePartition, "climate-hpc", {**dict([TAGS]), "vmSizes": list(sizes), "nodes": nodes, **spec})


TIERS = (
    resource(
        StorageTier,
        "climate-home",
        {**dict([TAGS]), "purpose": "Home", "mountPath": "/home", "netAppFiles": {"capacity": "4Ti"}},
    ),
    resource(
        StorageTier,
        "climate-scratch",
        {**dict([TAGS]), "purpose": "Scratch", "mountPath": "/scratch", "managedLustre": {"capacity": "8Ti"}},
    ),
)


async def surroundings(azure, env=None, partitions=(), tiers=TIERS, version="22.04.2025081901"):
    env, partitions = env or environment(), partitions or (partition(),)
    versions = {item.metadata.name: version for item in partitions}
    blueprint = build(Inputs(SUBSCRIPTION, env, tuple(tiers), partitions, versions))
    ids = [item.id for item in blueprint.graph]
    bodies = await asyncio.gather(*map(azure.get, ids))
    observed = {key.lower(): body for key, body in zip(ids, bodies, strict=True)}
    return Surroundings(blueprint, env, partitions, observed, {})


async def look(azure, *args, **options):
    return await inspect(AzureSubscription(azure), await surroundings(azure, *args, **options))


async def test_a_new_environment_has_nothing_against_it(azure):
    inspection = await look(azure)
    assert inspection.findings == ()
    assert inspection.unknown == {}


def quota(name, limit):
    return "PUT", "quota", {"location": "westeurope", "name": name, "limit": limit}


@pytest.mark.parametrize(
    ("name", "limit", "check", "said"),
    [
        ("standardHBv4Family", 600, Check.QUOTA, "can reach 3 of 16 nodes: 2216 more standardHBv4Family cores are"),
        ("cores", 368, Check.QUOTA, "can reach 2 of 16 nodes: 2456 more regional cores (cores) are needed"),
        ("standardDSv5Family", 4, Check.QUOTA, "VM login-1 cannot be made as Standard_D4s_v5: 4 more"),
        ("IPv4StandardSkuPublicIpAddresses", 1, Check.QUOTA, "pip-nat of publicIPAddresses cannot be made"),
        ("StorageAccounts", 0, Check.QUOTA, "of storageAccounts cannot be made"),
        ("totalTiBsPerSubscription", 3, Check.STORAGE, "Capacity pool climate-home needs 1 TiB more"),
        ("accountsPerSubscription", 0, Check.STORAGE, "netapp of netAppAccounts cannot be made"),
        ("totalVolumesPerSubscription", 0, Check.STORAGE, "climate-home of volumes cannot be made"),
        ("AmlFilesystem", 0, Check.STORAGE, "climate-scratch of amlFilesystems cannot be made"),
    ],
)
async def test_every_quota_that_counts(azure, emulator, name, limit, check, said):
    await admin(emulator, *quota(name, limit))
    (finding,) = (await look(azure)).findings
    assert (finding.check, said in finding.message) == (check, True), finding


async def test_spot_quota(azure, emulator):
    await admin(emulator, *quota("lowPriorityCores", 176))
    assert (await look(azure)).findings == ()
    (finding,) = (await look(azure, partitions=(partition(priority="Spot"),))).findings
    assert "can reach 1 of 16 nodes: 2640 more Spot cores (lowPriorityCores) are needed" in finding.message


async def test_sizes(azure, emulator):
    restriction = {"vmSize": "Standard_HB176rs_v4", "location": "westeurope", "reasonCode": "QuotaId"}
    emulator.store.set("restrictions", [restriction])
    sizes = ("Standard_HB176rs_v4", "Standard_HB999rs_v9", "Standard_B2ms")
    findings = (await look(azure, partitions=(partition(sizes, priority="Spot"),))).findings
    assert [(finding.reason, bool(finding.blocks)) for finding in findings] == [
        ("VMSizeRestricted", True),
        ("VMSizeUnknown", False),
        ("SpotNotOffered", False),
    ]


async def test_a_size_without_premium_disks_for_the_scheduler(azure):
    findings = (await look(azure, environment(scheduler={"slurm": {"vmSize": "Standard_D4_v5"}}))).findings
    assert [finding.reason for finding in findings] == ["PremiumStorageMissing"]


async def test_images(azure):
    (finding,) = (await look(azure, version="1.2.3")).findings
    assert finding.reason == "ImageMissing"
    sold = partition(image={"urn": "paloaltonetworks:vmseries-flex:byol:latest"})
    (finding,) = (await look(azure, partitions=(sold,), version="latest")).findings
    assert finding.reason == "ImagePlanMismatch"


async def test_names(azure, emulator):
    site = await surroundings(azure)
    names = [item.name for item in site.resources if item.type.endswith(("/storageAccounts", "/vaults"))]
    emulator.store.set("takenNames", names)
    inspection = await inspect(AzureSubscription(azure), site)
    assert [finding.check for finding in inspection.findings] == [Check.NAMES] * 2


# --- Existing networks


def existing(emulator, **changes):
    """Make a network with subnets, and return an environment that names them."""
    emulator.engine.create(HUB.partition("/providers/")[0], WEST)
    emulator.engine.create(HUB, WEST | {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}})
    endpoints = {"serviceEndpoints": [{"service": "Microsoft.KeyVault"}]}
    delegation = [{"name": "netapp", "properties": {"serviceName": "Microsoft.NetApp/volumes"}}]
    bodies = {
        "compute": {"addressPrefix": "10.0.0.0/24", **endpoints},
        "services": {"addressPrefix": "10.0.1.0/27", **endpoints},
        "netApp": {"addressPrefix": "10.0.2.0/28", "delegations": delegation},
        "lustre": {"addressPrefix": "10.0.3.0/27"},
    } | changes
    for name, properties in bodies.items():
        emulator.engine.create(f"{HUB}/subnets/{name}", {"properties": properties})
    return environment({"existing": {"subnets": {name: f"{HUB}/subnets/{name}" for name in bodies}}})


async def test_an_existing_network_that_fits(azure, emulator):
    assert (await look(azure, existing(emulator))).findings == ()


async def test_an_existing_network_that_does_not(azure, emulator):
    env = existing(
        emulator,
        compute={"addressPrefix": "10.0.0.0/28"},
        netApp={"addressPrefix": "10.0.2.0/28"},
        lustre={"addressPrefix": "10.0.3.0/28"},
    )
    findings = (await look(azure, env)).findings
    assert [(finding.reason, finding.owner.name) for finding in findings] == [
        ("ServiceEndpointMissing", "climate"),
        ("SubnetTooSmall", "climate"),
        ("SubnetNotDelegated", "climate"),
        ("SubnetTooSmall", "climate-scratch"),
    ]


async def test_what_is_in_a_subnet_already_counts(azure, emulator):
    env = existing(emulator, compute={"addressPrefix": "10.0.0.0/27", "serviceEndpoints": [
        {"service": "Microsoft.KeyVault"}]})  # fmt: skip
    assert (await look(azure, env, tiers=())).findings == ()
    for number in range(11):
        nic = f"{ROOT}/resourceGroups/net/providers/Microsoft.Network/networkInterfaces/nic-{number}"
        address = {"name": "ip", "properties": {"subnet": {"id": f"{HUB}/subnets/compute"}}}
        emulator.engine.create(nic, WEST | {"properties": {"ipConfigurations": [address]}})
    (finding,) = (await look(azure, env, tiers=())).findings
    assert "has room for 16 nodes, and partitions may have 17 together" in finding.message


async def test_a_network_of_which_nothing_is_there(azure):
    subnets = {name: f"{HUB}/subnets/{name}" for name in ("compute", "services")}
    (finding,) = (await look(azure, environment({"existing": {"subnets": subnets}}), tiers=())).findings
    assert finding.reason == "NetworkMissing"


# --- Rights and registrations


async def as_owner(emulator, method, path, body=None):
    headers = {"Authorization": f"Bearer {await program(emulator, ('Owner', ROOT))}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{emulator.url}{ROOT}/providers/{path}?api-version=2022-04-01", json=body) as response,
    ):
        assert response.status < 300, await response.text()


async def documented_roles(emulator):
    """Define the role that docs/installing.md shows, and return it with the other one there, at the subscription."""
    text = re.search(r"hpc-operator-role\.json <<EOF\n(.*?)\nEOF", INSTALLING.read_text(), re.DOTALL)[1]
    role = json.loads(text.replace("$SUBSCRIPTION", SUBSCRIPTION))
    properties = {
        "roleName": role["Name"],
        "type": "CustomRole",
        "permissions": [{"actions": role["Actions"], "notActions": []}],
        "assignableScopes": role["AssignableScopes"],
    }
    path = "Microsoft.Authorization/roleDefinitions/11111111-0000-0000-0000-000000000000"
    await as_owner(emulator, "PUT", path, {"properties": properties})
    return (role["Name"], ROOT), ("Role Based Access Control Administrator", ROOT)


async def limited(emulator, *roles):
    token = await program(emulator, *roles)
    emulator.store.set("rights", "on")
    emulator.store.set("rightsDelaySeconds", 0)
    return AzureClient(emulator.url, SUBSCRIPTION, AsyncCredential(token), poll_interval=0.01)


async def test_with_the_documented_role_nothing_is_missing_and_azure_lets_us(emulator):
    async with await limited(emulator, *await documented_roles(emulator)) as azure:
        assert (await look(azure)).findings == ()
        await azure.put(GROUP, WEST)
        assert (await look(azure)).findings == ()


async def test_a_reader_may_write_nothing(emulator):
    async with await limited(emulator, ("Reader", ROOT)) as azure:
        site = await surroundings(azure)
        (finding,) = (await inspect(AzureSubscription(azure), site)).findings
        assert (finding.reason, f"The operator lacks rights on {ROOT} (" in finding.message) == ("RightsMissing", True)
        assert finding.blocks == {item.id.lower() for item in site.resources} | {site.node_sets[0].scale_set_id.lower()}
        with pytest.raises(AzureError, match="AuthorizationFailed"):
            await azure.put(GROUP, WEST)


async def test_a_network_that_may_be_read_and_not_joined(emulator, azure):
    env = existing(emulator)
    await azure.put(GROUP, WEST)
    async with await limited(emulator, ("Owner", GROUP), ("Reader", ROOT)) as poor:
        site = await surroundings(poor, env)
        findings = (await inspect(AzureSubscription(poor), site)).findings
        missing = {finding.message.partition(" (")[0].rpartition("/")[2] for finding in findings}
        assert missing == {"hub", "compute", "services", "netApp", "lustre"}
        (nic,) = [item for item in site.resources if item.name == "nic-scheduler"]
        assert any(nic.id.lower() in finding.blocks for finding in findings)
        with pytest.raises(AzureError, match="LinkedAuthorizationFailed"):
            await poor.put(nic.id, resolve(nic.body, site.observed))


async def test_a_provider_that_we_may_not_register(emulator, azure):
    site = await surroundings(azure)
    await as_owner(emulator, "POST", "Microsoft.NetApp/unregister")
    emulator.clock.advance(60)
    assert (await inspect(AzureSubscription(azure), site)).findings == ()  # we may register it
    async with await limited(emulator, *await documented_roles(emulator)) as poor:
        (finding,) = (await inspect(AzureSubscription(poor), site)).findings
        assert "az provider register --namespace Microsoft.NetApp" in finding.message


async def test_a_subscription_that_does_not_answer_holds_nothing_up(azure, emulator):
    site = await surroundings(azure)
    await emulator.stop()
    inspection = await inspect(AzureSubscription(azure), site)
    assert inspection.findings == ()
    assert set(inspection.unknown) == set(Check) - {Check.NETWORK}
