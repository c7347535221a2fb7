"""`hpc-operator plan`, as a pull-request check runs it."""

import copy
import json

import aiohttp
from sdk_clients import AsyncCredential
from tests.component.reconcile.conftest import SUBSCRIPTION

from hpc_operator.blueprint.names import ENVIRONMENT_TAG
from hpc_operator.policy import specification_hash
from hpc_operator.reconcile.ports import Key

ENVIRONMENT, HOME, PARTITION = (
    ("HPCEnvironment", "climate"),
    ("StorageTier", "climate-home"),
    ("ComputePartition", "climate-hpc"),
)


def apply(world, manifests):
    for manifest in copy.deepcopy(list(manifests.values())):
        world.cluster.apply(manifest)


async def build(world, manifests):
    apply(world, manifests)
    await world.run_until(world.ready)
    await world.settle()


async def test_what_does_not_exist_is_created(plan, world):
    result = await plan()
    assert result.code == 2, result.errors
    assert result.text.startswith("HPCEnvironment hpc/climate: plan ")
    assert "  + virtualNetworks vnet " in result.text
    assert "  + nodes of climate-hpc " in result.text
    assert "cores" in result.text


async def test_nothing_is_written(plan, world):
    await plan()
    assert await world.azure.get(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/hpc_climate") is None
    assert world.cluster.status_writes == world.cluster.events == []


async def test_what_is_built_has_nothing_to_do(plan, world, manifests):
    """Though it is held by an operator of a cluster that the command knows nothing of."""
    await build(world, manifests)
    result = await plan()
    assert (result.code, result.errors) == (0, "")
    assert result.text.splitlines()[1] == "nothing to do"


async def test_an_edit_shows_what_it_touches_and_costs(plan, world, manifests):
    await build(world, manifests)
    manifests[PARTITION]["spec"]["vmSizes"] = ["Standard_HB176rs_v4"]
    result = await plan()
    assert result.code == 2
    assert "  » nodes of climate-hpc" in result.text
    assert "vmSize: Standard_HB120rs_v3 → Standard_HB176rs_v4" in result.text
    assert "-240 standardHBv3Family" in result.text
    assert " USD per hour by the price list." in result.text


async def test_the_plan_is_that_of_status_once_it_is_applied(plan, world, manifests):
    await build(world, manifests)
    manifests[PARTITION]["spec"]["vmSizes"] = ["Standard_HB176rs_v4"]
    manifests[ENVIRONMENT]["spec"]["policy"] = {"changes": {"roll": "Approval"}}
    (before,) = json.loads((await plan("-o", "json")).text)
    apply(world, manifests)
    await world.settle()
    assert world.cluster.status(*ENVIRONMENT)["plan"]["hash"] == before["plan"]["hash"]
    snapshot = world.cluster.snapshot(Key("hpc", "climate"))
    assert before["plan"]["hash"] == specification_hash(snapshot.environment, snapshot.tiers, snapshot.partitions)
    planned = {change["name"]: change for change in world.cluster.status(*ENVIRONMENT)["plan"]["changes"]}
    previewed = {change["name"]: change for change in before["plan"]["changes"]}
    assert planned["nodes of climate-hpc"] == previewed["nodes of climate-hpc"]


async def test_what_waits_for_approval_is_for_somebody_to_decide(plan, world, manifests):
    manifests[ENVIRONMENT]["spec"]["policy"] = {"changes": {"create": "Approval"}}
    result = await plan()
    assert result.code == 3
    assert "waits for Approval: run `kubectl annotate hpcenvironment climate -n hpc azurehpc.io/approve=" in result.text
    assert "To approve all " in result.text


async def test_a_reader_gets_the_plan_of_the_operator(plan, world, monkeypatch):
    role = {"role": "Reader", "scope": f"/subscriptions/{SUBSCRIPTION}"}
    async with aiohttp.ClientSession(f"{world.emulator.url}/emulator/") as admin:
        async with admin.post("applications", json={"displayName": "check", "roles": [role]}) as answer:
            principal = (await answer.json())["objectId"]
        async with admin.post("tokens", json={"principal": principal}) as answer:
            reader = AsyncCredential((await answer.json())["access_token"])
    everything = (await plan()).text
    world.emulator.store.set("rights", "on")
    world.emulator.store.set("rightsDelaySeconds", 0)
    monkeypatch.setattr("hpc_operator.azure.client._default_credential", lambda: reader)
    result = await plan()
    assert (result.code, result.errors) == (2, "")
    assert result.text == everything


async def test_what_belongs_to_somebody_else_is_blocked(plan, world):
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/hpc_climate"
    await world.azure.put(group, {"location": "westeurope", "tags": {ENVIRONMENT_TAG: "lab/other"}})
    result = await plan()
    assert result.code == 3
    assert "  ! resourceGroups hpc_climate" in result.text
    assert "lab/other" in result.text


async def test_a_problem_is_told_beside_the_plan_of_the_rest(plan, manifests):
    manifests["StorageTier", "climate-scratch"]["spec"]["mountPath"] = "/home"
    (outlook,) = json.loads((await plan("-o", "json")).text)
    assert [problem["reason"] for problem in outlook["problems"]] == ["MountPathTaken"]
    assert outlook["plan"]["changes"]
    assert not any("climate-scratch" in change["owner"] for change in outlook["plan"]["changes"])


async def test_a_problem_of_the_environment_leaves_nothing_to_plan(plan, manifests):
    manifests[ENVIRONMENT]["spec"]["policy"] = {"maintenanceWindows": [{"schedule": "0 25 * * *"}]}
    result = await plan()
    assert result.code == 3
    assert result.text.splitlines()[0] == "HPCEnvironment hpc/climate: cannot be planned"
    assert "is no cron schedule" in result.text


async def test_the_worst_of_several_environments_counts(plan, manifests):
    other = json.loads(json.dumps(manifests[ENVIRONMENT]).replace("climate", "genomics").replace("10.40", "10.41"))
    manifests["HPCEnvironment", "genomics"] = other
    assert (await plan()).code == 2
    other["spec"]["policy"] = {"changes": {"create": "Approval"}}
    result = await plan()
    assert result.code == 3
    assert result.text.count("HPCEnvironment hpc/") == 2


async def test_errors_end_with_1(plan, manifests, monkeypatch, world):
    monkeypatch.setenv("HPC_ARM_ENDPOINT", "http://127.0.0.1:1")
    result = await plan()
    assert (result.code, result.text) == (1, "")
    assert result.errors.startswith("hpc-operator: ")
    monkeypatch.delenv("HPC_SUBSCRIPTION_ID")
    result = await plan()
    assert result.code == 1
    assert "HPC_SUBSCRIPTION_ID is not set" in result.errors
    manifests[HOME]["spec"]["purpose"] = "Attic"
    result = await plan()
    assert result.code == 1
    assert "StorageTier/climate-home: spec.purpose: Input should be" in result.errors
