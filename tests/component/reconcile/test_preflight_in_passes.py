"""What the preflight finds, as the engine's passes tell it: in conditions, in what is held up, and in what heals."""

from __future__ import annotations

import re
import uuid

import aiohttp
import pytest
from sdk_clients import AsyncCredential

from hpc_operator.azure import AzureClient
from hpc_operator.azure import subscription as subscriptions
from hpc_operator.reconcile import prospects

from .conftest import QUICKSTART, SUBSCRIPTION, partition, tier
from .test_life import last, writes
from .test_policy import CLOSED, generations, plan, policy, running_of, waiting, written
from .test_trouble import (
    ENVIRONMENT,
    HOME,
    PARTITION,
    QUOTA_A,
    SIZES,
    answer,
    apply,
    assert_steady,
    calm,
    condition,
    fault,
    flaps,
    known,
    lean,
    limit,
    quicken,
    ready,
    restart,
    running,
    world,
)

__all__ = ["world"]

DSV5 = "westeurope/standarddsv5family"
USAGES = r"/providers/Microsoft\.Compute/locations/[^/]+/usages$"
USER_ACCESS_ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
GRAPH = "/providers/microsoft.resourcegraph/resources"


@pytest.fixture(autouse=True)
def shortened(monkeypatch):
    """Findings are looked at anew as the emulated clock goes; see the other test of what that costs."""
    monkeypatch.setattr(prospects, "FINDING_SECONDS", 0.4)


def forgetful(world):
    """Ask the subscription anew at every look, as it does after ten minutes."""
    world.reconciler._subscription._usages_lifetime = 0.0


def restrict(world, *sizes):
    world.emulator.store.set(
        "restrictions",
        [{"vmSize": size, "location": "westeurope", "reasonCode": "NotAvailableForSubscription"} for size in sizes],
    )


def look_again(world):
    """Let the time to the next look at the subscription be over."""
    for memory in world.reconciler._memories.values():
        memory.inspect_at = 0.0
    for key in world.cluster.cache.environments():
        world.queue.add(key)


def condition_types(world, owner):
    return {item["type"] for item in world.cluster.status(*owner)["conditions"]}


def put(world, *parts):
    """Whether anything with these parts in its path was written."""
    return [entry for entry in writes(world) if all(part.lower() in entry["path"].lower() for part in parts)]


# --- Before the first write


async def test_the_subscription_is_asked_before_the_first_write(world):
    await ready(world, *QUICKSTART)
    first = writes(world)[0]["sequence"]
    asked = {
        entry["path"].rpartition("/providers/")[2] for entry in world.emulator.requests if entry["sequence"] < first
    }
    assert {
        "Microsoft.Compute/skus",
        "Microsoft.Compute/locations/westeurope/usages",
        "Microsoft.Network/locations/westeurope/usages",
        "Microsoft.NetApp/locations/westeurope/quotaLimits",
        "Microsoft.Authorization/permissions",
    } <= asked, asked
    for owner in (ENVIRONMENT, HOME, PARTITION):
        assert not [item for item in world.cluster.status(*owner)["conditions"] if item["status"] != "True"], (
            "nothing is wrong, and says so"
        )
    assert condition(world, ENVIRONMENT, "PreflightPassed")[0] == "True"
    assert condition(world, PARTITION, "QuotaSufficient")[0] == "True"


async def test_what_is_blocked_is_never_sent_and_the_rest_goes_on(world):
    forgetful(world)
    limit(world, DSV5, 4)
    apply(world, lean(), tier(), partition())
    await world.run_until(lambda: condition(world, HOME)[0] == "True", seconds=20)
    await calm(world)
    # The scheduler comes first and takes the cores; the login node has none.
    status, reason, message = condition(world, ENVIRONMENT, "QuotaSufficient")
    assert (status, reason) == ("False", "QuotaExceeded")
    assert message.startswith(
        "VM login-1 cannot be made as Standard_D4s_v5: 4 more standardDSv5Family cores are needed"
    )
    assert condition(world, ENVIRONMENT, "PreflightPassed") == ("False", "Findings", "See QuotaSufficient")
    assert put(world, "/virtualMachines/login-1") == []
    assert put(world, "/virtualMachines/scheduler")
    await world.run_until(running(world, 2), seconds=10)
    assert condition(world, PARTITION)[0] == "True"
    for step in ("Infrastructure", "BaseServices", "Storage", "Compute"):
        assert condition(world, ENVIRONMENT, f"{step}Ready")[0] == "True", step
    status, reason, message = condition(world, ENVIRONMENT, "EntryPointReady")
    assert (status, reason) == ("False", "QuotaExceeded")
    assert "4 more standardDSv5Family cores" in message
    assert condition(world, ENVIRONMENT)[:2] == ("False", "QuotaExceeded")
    assert condition(world, ENVIRONMENT, "Stalled")[0] == "True"
    (blocked,) = [change for change in plan(world)["changes"] if change["action"] == "Blocked"]
    assert blocked["name"] == "virtualMachines login-1"

    limit(world, DSV5, 100)
    await world.run_until(world.ready, seconds=10)
    await calm(world)
    assert "QuotaSufficient" not in condition_types(world, ENVIRONMENT)
    assert condition(world, ENVIRONMENT, "PreflightPassed")[0] == "True"
    await assert_steady(world)


async def test_every_finding_is_a_sentence_of_its_own(world):
    forgetful(world)
    limit(world, DSV5, 0)
    apply(world, lean())
    await world.run_until(lambda: condition(world, ENVIRONMENT, "QuotaSufficient")[0] == "False", seconds=5)
    message = condition(world, ENVIRONMENT, "QuotaSufficient")[2]
    first, second = message.index("VM scheduler cannot be made"), message.index("VM login-1 cannot be made")
    assert message[max(first, second) - 2 : max(first, second)] in {". ", "; ", ".\n"}, message


async def test_a_restricted_size_holds_up_its_partition_alone(world):
    restrict(world, SIZES["B"])
    apply(world, lean(), partition(vmSizes=[SIZES["B"]]), partition("climate-gpu"))
    await world.run_until(running_of(world, "climate-gpu", 2), seconds=20)
    await calm(world)
    assert condition(world, ("ComputePartition", "climate-gpu"))[0] == "True"
    assert condition(world, PARTITION, "VMSizesAvailable")[:2] == ("False", "VMSizeRestricted")
    status, reason, message = condition(world, PARTITION)
    assert (status, reason) == ("False", "VMSizeRestricted")
    assert SIZES["B"] in message
    assert put(world, "/virtualMachineScaleSets/climate-hpc-") == []
    assert condition(world, ENVIRONMENT, "EntryPointReady")[0] == "True"
    assert condition(world, ENVIRONMENT, "ComputeReady")[:2] == ("False", "VMSizeRestricted")
    # An edit mends it at once.
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["A"]])
    await world.run_until(running(world, 2, SIZES["A"]), seconds=10)
    await calm(world)
    assert "VMSizesAvailable" not in condition_types(world, PARTITION)
    assert world.ready()
    await assert_steady(world)


async def test_a_restriction_that_is_lifted_heals_by_itself(world, monkeypatch):
    monkeypatch.setattr(subscriptions, "SIZES_LIFETIME", 0.0)
    restrict(world, SIZES["A"])
    apply(world, lean(), partition())
    await world.run_until(lambda: condition(world, PARTITION)[1] == "VMSizeRestricted", seconds=10)
    restrict(world)
    await world.run_until(world.ready, seconds=20)
    await assert_steady(world)


async def test_a_tier_that_azure_does_not_let_grow_is_held_up_alone(world):
    forgetful(world)
    limit(world, "westeurope/totaltibspersubscription", 3)
    apply(world, lean(), tier(), tier("climate-data", path="/data", managedLustre={"capacity": "8Ti"}))
    await world.run_until(lambda: condition(world, ("StorageTier", "climate-data"))[0] == "True", seconds=20)
    await calm(world)
    status, _, message = condition(world, HOME, "StorageOffered")
    assert status == "False"
    assert "Capacity pool climate-home needs 1 TiB more" in message
    assert condition(world, HOME)[0] == "False"
    assert put(world, "/capacityPools/") == []
    assert condition(world, ENVIRONMENT, "StorageReady")[0] == "False"
    # Nodes mount all file systems, so the partition waits, and says for what.
    apply(world, partition())
    await calm(world)
    status, _, message = condition(world, PARTITION)
    assert status == "False"
    assert "climate-home" in message, message
    limit(world, "westeurope/totaltibspersubscription", 100)
    await world.run_until(world.ready, seconds=20)
    await calm(world)
    assert "StorageOffered" not in condition_types(world, HOME)


async def test_a_taken_name_is_told_before_it_is_tried(world, monkeypatch):
    monkeypatch.setattr(subscriptions, "FACTS_LIFETIME", 0.0)
    apply(world, lean(policy={"dryRun": True}))
    await calm(world)
    vault = next(change["name"].split()[1] for change in plan(world)["changes"] if change["name"].startswith("vaults "))
    world.emulator.store.set("takenNames", [vault])
    look_again(world)
    policy(world)
    await world.run_until(lambda: condition(world, ENVIRONMENT, "NamesAvailable")[0] == "False", seconds=10)
    await calm(world)
    assert vault in condition(world, ENVIRONMENT, "NamesAvailable")[2]
    assert put(world, f"/vaults/{vault}") == []
    assert put(world, "/natGateways/")
    world.emulator.store.set("takenNames", [])
    await world.run_until(world.ready, seconds=20)


# --- Rights


async def act_as(world, *roles):
    """Let the operator be a program with these roles on the subscription; return the id of its principal."""
    given = [{"role": role, "scope": f"/subscriptions/{SUBSCRIPTION}"} for role in roles]
    async with aiohttp.ClientSession(f"{world.emulator.url}/emulator/") as admin:
        async with admin.post("applications", json={"displayName": "operator", "roles": given}) as reply:
            principal = (await reply.json())["objectId"]
        async with admin.post("tokens", json={"principal": principal}) as reply:
            token = (await reply.json())["access_token"]
    world.emulator.store.set("rights", "on")
    world.emulator.store.set("rightsDelaySeconds", 0)
    await world.azure.close()
    world.azure = await AzureClient(world.emulator.url, SUBSCRIPTION, AsyncCredential(token)).__aenter__()
    world.reconciler = world.make_reconciler()
    quicken(world)
    return principal


async def test_a_right_that_lacks_holds_up_what_needs_it_and_nothing_else(world, monkeypatch):
    monkeypatch.setattr(subscriptions, "FACTS_LIFETIME", 0.0)
    principal = await act_as(world, "Contributor")
    apply(world, lean(), partition())
    await world.run_until(lambda: condition(world, ENVIRONMENT, "RightsSufficient")[0] == "False", seconds=10)
    await calm(world, 20)
    status, reason, message = condition(world, ENVIRONMENT, "RightsSufficient")
    assert (status, reason) == ("False", "RightsMissing")
    assert "Microsoft.Authorization/roleAssignments/write" in message
    assert put(world, "/roleAssignments/") == []
    assert put(world, "/virtualNetworks/")
    assert condition(world, ENVIRONMENT, "InfrastructureReady")[0] == "True"
    assert condition(world, ENVIRONMENT)[:2] == ("False", "RightsMissing")
    root = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization"
    given = {"principalId": principal, "roleDefinitionId": f"{root}/roleDefinitions/{USER_ACCESS_ADMINISTRATOR}"}
    world.emulator.engine.create(f"{root}/roleAssignments/{uuid.uuid4()}", {"properties": given})
    await world.run_until(world.ready, seconds=20)
    await calm(world)
    assert "RightsSufficient" not in condition_types(world, ENVIRONMENT)


# --- What cannot be asked holds nothing up


@pytest.mark.parametrize("refusal", [answer(403, "AuthorizationFailed"), answer(500, "InternalServerError")])
@pytest.mark.parametrize("path", [USAGES, r"/usages$|/quotaLimits$", r"/providers/Microsoft\.Compute/skus$"])
async def test_what_azure_does_not_tell_holds_nothing_up(world, refusal, path):
    forgetful(world)
    fault(world, "GET", path, count=None, answer=refusal)
    apply(world, lean(), tier(), partition())
    await world.run_until(world.ready, seconds=20)
    await calm(world)
    status, reason, _ = condition(world, PARTITION, "QuotaSufficient")
    assert (status, reason) == ("Unknown", "NotReadable")
    world.emulator.faults.remove()
    look_again(world)
    await calm(world)
    assert condition(world, PARTITION, "QuotaSufficient")[0] == "True"


async def test_a_preflight_that_could_not_look_does_not_say_that_it_passed(world):
    fault(world, "GET", r"/usages$|/quotaLimits$|/permissions$|/skus$", count=None, answer=answer(403, "Forbidden"))
    await ready(world, lean())
    status, _, message = condition(world, ENVIRONMENT, "PreflightPassed")
    assert status != "True", message


async def test_an_unknown_quota_is_no_news_every_time(world):
    forgetful(world)
    fault(world, "GET", USAGES, count=None, answer=answer(500, "InternalServerError"))
    await ready(world, lean(), partition())
    written_before = len(world.cluster.status_writes)
    for _ in range(3):
        look_again(world)
        await calm(world)
    assert world.cluster.status_writes[written_before:] == []


# --- Over time


async def test_quota_that_is_lowered_later_shows(world):
    forgetful(world)
    await ready(world, lean(), partition())
    since, statuses = last(world), len(world.cluster.status_writes)
    limit(world, QUOTA_A, 360)
    look_again(world)
    await world.run_until(lambda: condition(world, PARTITION, "QuotaSufficient")[0] == "False", seconds=5)
    await calm_with_findings(world)
    status, reason, message = condition(world, PARTITION, "QuotaSufficient")
    assert (status, reason) == ("False", "QuotaTooSmall")
    assert message.startswith(
        "Partition climate-hpc can reach 3 of 8 nodes: 600 more standardHBv3Family cores are needed"
    )
    assert condition(world, PARTITION)[0] == "True", "what serves, serves"
    assert world.ready()
    assert written(world, since) == []
    assert len(world.cluster.status_writes) - statuses <= 2
    limit(world, QUOTA_A, 10_000)
    look_again(world)  # what holds nothing up is looked at as seldom as everything else
    await world.run_until(lambda: condition(world, PARTITION, "QuotaSufficient")[0] == "True", seconds=5)
    await assert_steady(world)


async def calm_with_findings(world):
    """Reconcile for a while; a finding is looked at again and again, so nothing is ever quite calm."""
    for _ in range(6):
        await world._one_pass(0.3)


@known("our own new nodes are counted while their cores still count as free")
async def test_how_far_a_partition_can_grow_stays_the_same_while_it_grows(world):
    """What Azure tells of quota is minutes old: our own new nodes must not be counted twice, or not at all."""
    limit(world, QUOTA_A, 360)
    await ready(world, lean(), partition())
    for count in (3, 1, 2):
        world.cluster.edit(*PARTITION, nodes={"min": count, "max": 8})
        await world.run_until(running(world, count), seconds=10)
        look_again(world)
        await calm_with_findings(world)
    said = {
        item["message"]
        for owner, status in world.cluster.status_writes
        if owner == "ComputePartition/climate-hpc"
        for item in status["conditions"]
        if item["type"] == "QuotaSufficient"
    }
    assert len(said) == 1, said
    assert "can reach 3 of 8 nodes" in said.pop()


@pytest.mark.parametrize("sizes", [[SIZES["A"], "Standard_HB999rs_v9"], [SIZES["A"], SIZES["B"]]])
async def test_what_was_found_is_still_found_after_a_restart(world, sizes):
    restrict(world, SIZES["B"])
    await ready(world, lean(), partition(vmSizes=sizes))
    found = condition(world, PARTITION, "VMSizesAvailable")
    assert found[0] == "False"
    assert condition(world, PARTITION)[0] == "True", "the first size will do"
    statuses = len(world.cluster.status_writes)
    await restart(world)
    await calm_with_findings(world)
    assert condition(world, PARTITION, "VMSizesAvailable") == found
    assert world.cluster.status_writes[statuses:] == []


async def test_no_condition_of_the_preflight_flaps_in_a_life(world):
    forgetful(world)
    limit(world, QUOTA_A, 360)
    await ready(world, lean(), tier(), partition())
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(running(world, 2, SIZES["B"]), seconds=15)
    await calm_with_findings(world)
    assert flaps(world) == {}


# --- A change that is blocked


async def test_a_blocked_roll_does_not_keep_nodes_from_going(world):
    await ready(world, lean(), partition(nodes={"min": 3, "max": 8}))
    restrict(world, SIZES["B"])
    world.reconciler._subscription._answers._kept.clear()
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(lambda: condition(world, PARTITION, "VMSizesAvailable")[0] == "False", seconds=5)
    await calm_with_findings(world)
    assert generations(world) == {SIZES["A"]: 3}
    assert condition(world, PARTITION)[0] == "True", "the nodes of before serve"
    assert condition(world, PARTITION, "Stalled")[:2] == ("True", "VMSizeRestricted")
    world.cluster.edit(*PARTITION, nodes={"min": 1, "max": 8})
    await world.run_until(lambda: generations(world) == {SIZES["A"]: 1}, seconds=5)
    assert condition(world, PARTITION)[0] == "True"


async def test_a_blocked_change_waits_for_no_approval(world):
    """Who approves what cannot be made would wait in vain."""
    restrict(world, SIZES["A"])
    apply(world, lean(policy={"changes": {"create": "Approval"}, "maintenanceWindows": [CLOSED]}), partition())
    await calm_with_findings(world)
    blocked = {change["name"] for change in plan(world)["changes"] if change["action"] == "Blocked"}
    assert blocked
    assert not blocked & waiting(world).keys()


async def test_a_deletion_needs_no_preflight(world):
    forgetful(world)
    await ready(world, lean(), partition())
    limit(world, DSV5, 0)
    limit(world, QUOTA_A, 0)
    restrict(world, *SIZES.values())
    for owner in list(world.cluster.objects):
        world.cluster.delete(*owner)
    await world.run_until(lambda: not world.cluster.objects, seconds=20)


# --- What it costs


def reads(world, since):
    """What was read of Azure: surveys, and everything else."""
    found = [entry for entry in world.emulator.requests if entry["sequence"] > since]
    surveys = [entry["path"] for entry in found if entry["path"].lower() == GRAPH]
    return surveys, [f"{entry['method']} {entry['path']}" for entry in found if entry["path"].lower() != GRAPH]


STEP = 60.0


async def one_period(world):
    """Let a drift period go by in steps of a minute, without waiting for it: every moment comes so much nearer."""
    answers = world.reconciler._subscription._answers
    (memory,) = world.reconciler._memories.values()
    for _ in range(int(600 / STEP)):
        answers._now = lambda before=answers._now: before() + STEP
        memory.inspect_at -= STEP
        memory.stale_at -= STEP
        memory.machines_stale_at -= STEP
        memory.busy_until -= STEP
        if memory.stale_at <= memory.now():
            for key in world.cluster.cache.environments():
                world.queue.add(key)
        while await world._one_pass(0.05):
            pass


@pytest.mark.parametrize("quota", [10_000, 360], ids=["nothing found", "a standing warning"])
async def test_a_steady_environment_is_read_with_no_more_than_two_requests_in_a_period(world, monkeypatch, quota):
    """That a partition cannot grow to its maximum is true for months, and no trouble."""
    monkeypatch.setattr(prospects, "FINDING_SECONDS", 120.0)
    limit(world, QUOTA_A, quota)
    await ready(world, *QUICKSTART)
    assert condition(world, PARTITION, "QuotaSufficient")[0] == ("True" if quota > 360 else "False")
    await one_period(world)
    since = last(world)
    for _ in range(3):
        await one_period(world)
    surveys, others = reads(world, since)
    assert 2 <= len(surveys) <= 3, "a period is up to a tenth longer than it is called"
    others = [line for line in others if not re.search(USAGES, line)]
    assert len(others) <= len(surveys), others
    assert writes(world, since) == []


async def test_quota_is_asked_no_more_than_once_in_a_period_for_all_environments(world, monkeypatch):
    await ready(world, *QUICKSTART)
    await one_period(world)
    since = last(world)
    for _ in range(3):
        await one_period(world)
    assert len([line for line in reads(world, since)[1] if re.search(USAGES, line)]) <= 4


async def test_many_environments_share_what_is_asked_of_the_subscription(world):
    apply(world, lean(network={"addressSpace": ["10.40.0.0/20"]}))
    for number in range(4):
        raw = lean(network={"addressSpace": [f"10.{41 + number}.0.0/20"]})
        world.cluster.apply({**raw, "metadata": {"name": f"other{number}"}})
    names = ["climate", *(f"other{number}" for number in range(4))]
    await world.run_until(lambda: all(world.ready(name) for name in names), seconds=40)
    asked = [entry["path"] for entry in world.emulator.requests if entry["path"].lower().endswith(("/usages", "/skus"))]
    assert len(asked) == len(set(asked)), asked
