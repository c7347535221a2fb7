"""`status.waiting` and the conditions: why is it not Ready, what is waited for since when, when is the next try."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from hpc_operator.reconcile import memory

from .conftest import QUICKSTART, environment, partition, tier
from .test_life import ids, last
from .test_policy import (
    CLOSED,
    EDITABLE,
    approve,
    approve_all,
    grow_home,
    login_nodes,
    lose_identity,
    plan,
    policy,
    waiting,
)
from .test_trouble import (
    ENVIRONMENT,
    HOME,
    PARTITION,
    QUOTA_A,
    SIZES,
    TARGETS,
    VMS,
    answer,
    apply,
    assert_steady,
    calm,
    capacity,
    condition,
    drift,
    ending,
    fault,
    lean,
    limit,
    ready,
    restart,
    run_for,
    running,
    world,
)

__all__ = ["world"]

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
LOST = re.compile(r" lost [^',`]+")
"""When data was lost is part of the name of its loss: who approves one has not approved the next."""
TIME = re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d|\b\d+ (seconds?|minutes ago|attempts?|tries|times)\b")
COUNT = re.compile(r"\bin \d+ seconds")
REFUSED = answer(403, "RequestDisallowedByPolicy", "Resource was disallowed by policy.")


def waits(world):
    """What is waited for, by the end of its id."""
    return {
        item["id"].rpartition("/providers/")[2]: item for item in world.cluster.status(*ENVIRONMENT).get("waiting", ())
    }


def wait_of(world, part):
    """The one entry whose id has this in it."""
    (found,) = [item for key, item in waits(world).items() if part.lower() in key.lower()]
    return found


def has_wait(world, part, reason=None):
    return lambda: any(
        part.lower() in key.lower() and reason in {None, item["reason"]} for key, item in waits(world).items()
    )


def age(text):
    """How long ago a moment was, in seconds."""
    return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()


def backdate(world):
    """Let a process before this one have seen everything an hour ago: what it wrote is what we start from."""
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    raw = world.cluster.objects[ENVIRONMENT]
    entries = [{**item, "since": hour_ago} for item in raw["status"]["waiting"]]
    world.cluster._store({**raw, "status": {**raw["status"], "waiting": entries}})
    return hour_ago


@pytest.fixture(autouse=True)
async def every_entry_is_well_formed(world):
    """Whatever a test is about: no entry without reason and sentence, and no time in any message of a status."""
    yield
    for _, status in world.cluster.status_writes:
        for item in status.get("waiting", ()):
            assert item["reason"], item
            assert item["message"], item
            assert MOMENT.fullmatch(item["since"]), item
            assert MOMENT.fullmatch(item.get("nextTry", item["since"])), item
            assert not TIME.search(COUNT.sub("", LOST.sub("", item["message"]))), item["message"]
        assert len(status.get("waiting", ())) <= 50
        for item in status["conditions"]:
            assert not TIME.search(COUNT.sub("", LOST.sub("", item["message"]))), item["message"]


# --- What waits for people


HELD = {
    "Approval": {"changes": {"update": "Approval"}},
    "Freeze": {"freeze": True},
    "DryRun": {"dryRun": True},
    "MaintenanceWindow": {"maintenanceWindows": [CLOSED]},
}


@pytest.mark.parametrize("reason", HELD)
async def test_what_the_policy_holds_is_told_since_when_and_vanishes(world, reason):
    await ready(world, lean(), tier())
    policy(world, **HELD[reason])
    grow_home(world)
    await calm(world)
    held = waiting(world)
    assert waits(world).keys() == {change["id"].rpartition("/providers/")[2] for change in plan(world)["changes"]}
    for item in waits(world).values():
        assert item["reason"] == reason
        assert age(item["since"]) < 60
        assert ("nextTry" in item) == (reason == "MaintenanceWindow"), "all else is decided by an event"
        assert item.get("nextTry", "-02-29T00:00:00Z").endswith("-02-29T00:00:00Z")
        assert item["message"] in held.values()
    status, why, message = condition(world, HOME, "Reconciling")
    assert (status, why) == ("True", reason)
    assert "waits for: " in message
    if reason == "Approval":
        approve(world, *held)
    else:
        policy(world)
    await world.run_until(lambda: world.cluster.status(*HOME).get("capacity") == "6Ti", seconds=10)
    await calm(world)
    assert waits(world) == {}
    assert "waiting" not in world.cluster.status(*ENVIRONMENT)
    await assert_steady(world)


async def test_since_stays_over_passes_restarts_and_drift_periods(world):
    await ready(world, lean(), tier())
    policy(world, freeze=True)
    grow_home(world)
    await calm(world)
    hour_ago = backdate(world)
    await restart(world)
    await calm(world)
    await drift(world)
    assert {item["since"] for item in waits(world).values()} == {hour_ago}


async def test_another_reason_has_another_since(world):
    await ready(world, lean(), tier())
    policy(world, freeze=True)
    grow_home(world)
    await calm(world)
    hour_ago = backdate(world)
    await restart(world)
    policy(world, changes={"update": "Approval"})
    await calm(world)
    assert {item["reason"] for item in waits(world).values()} == {"Approval"}
    assert hour_ago not in {item["since"] for item in waits(world).values()}


async def test_another_sentence_of_the_same_reason_keeps_since(world):
    await ready(world, lean(), tier())
    policy(world, changes={"update": "Approval"})
    grow_home(world)
    await calm(world)
    hour_ago = backdate(world)
    await restart(world)
    world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "8Ti"})
    await calm(world)
    assert {item["since"] for item in waits(world).values()} == {hour_ago}
    assert all(plan(world)["hash"] in item["message"] for item in waits(world).values())


# --- What waits for Azure


async def test_a_permanent_refusal_stands_with_azures_words_and_without_a_next_try(world):
    fault(world, "PUT", TARGETS["gateway"], count=None, answer=REFUSED)
    apply(world, lean())
    await world.run_until(has_wait(world, "natGateways/nat"), seconds=10)
    await calm(world)
    item = wait_of(world, "natGateways/nat")
    assert item["reason"] == "RequestDisallowedByPolicy"
    assert item["message"] == "Resource was disallowed by policy."
    assert age(item["since"]) < 60
    assert "nextTry" not in item
    world.emulator.faults.remove()
    await drift(world)
    await world.run_until(world.ready, seconds=10)
    await calm(world)
    assert waits(world) == {}


async def test_since_of_a_refusal_stays_over_a_restart(world):
    fault(world, "PUT", TARGETS["gateway"], count=None, answer=REFUSED)
    apply(world, lean())
    await world.run_until(has_wait(world, "natGateways/nat"), seconds=10)
    await calm(world)
    hour_ago = backdate(world)
    await restart(world)
    await calm(world)
    await drift(world)
    assert wait_of(world, "natGateways/nat")["since"] == hour_ago, "it was tried and refused for the same reason"


async def test_a_try_that_is_minutes_away_is_told(world, monkeypatch):
    monkeypatch.setattr(memory, "SLOW_RETRY_SECONDS", 300.0)
    capacity(world, SIZES["A"], 0, refuse="sync")
    apply(world, lean(), partition())
    await world.run_until(has_wait(world, "climate-hpc"), seconds=10)
    await calm(world)
    item = wait_of(world, "climate-hpc")
    assert item["reason"] in {"AllocationFailed", "ZonalAllocationFailed", "SkuNotAvailable"}
    assert -300 <= age(item["nextTry"]) < -200
    assert age(item["since"]) < 60
    status, reason, message = condition(world, PARTITION)
    assert (status, reason) == ("False", item["reason"])
    assert "It is tried again every few minutes" in message


async def test_a_try_that_is_near_is_not_told(world, monkeypatch):
    fault(world, "PUT", TARGETS["gateway"], count=None, answer=answer(500, "InternalServerError"))
    apply(world, lean())
    await world.run_until(has_wait(world, "natGateways/nat"), seconds=10)
    await run_for(world, 1.0)
    item = wait_of(world, "natGateways/nat")
    assert "nextTry" not in item, "it would be past before it is read"
    tries = [entry for entry in world.emulator.requests if entry["path"].endswith("/natGateways/nat")]
    assert len(tries) > 3
    writes = [status for owner, status in world.cluster.status_writes if owner.startswith("HPCEnvironment")]
    entries = [
        [entry for entry in status.get("waiting", ()) if entry["id"].endswith("/natGateways/nat")] for status in writes
    ]
    told = [entry[0] for entry in entries if entry]
    assert all(entry == told[0] for entry in told), "each try is no news"


async def test_what_azure_asks_to_wait_is_when_it_is_tried_again(world):
    fault(
        world,
        "PUT",
        TARGETS["gateway"],
        count=None,
        answer=answer(429, "OperationNotAllowed", "Slow down.", **{"Retry-After": "240"}),
    )
    apply(world, lean())
    await world.run_until(has_wait(world, "natGateways/nat"), seconds=10)
    await calm(world)
    item = wait_of(world, "natGateways/nat")
    assert -240 <= age(item["nextTry"]) < -180
    before = last(world)
    await run_for(world, 1.0)
    tries = [
        entry
        for entry in world.emulator.requests
        if entry["sequence"] > before and entry["path"].endswith("/natGateways/nat") and entry["method"] == "PUT"
    ]
    assert tries == []


async def test_a_limit_that_is_used_up_is_told_without_counting(world):
    """After Azure's refusal nothing more is sent; that is our own, and nextTry says until when."""
    refusal = answer(429, "OperationNotAllowed", "Slow down.", **{"Retry-After": "240"})
    fault(world, "PUT", TARGETS["network"], count=None, answer=refusal)
    apply(world, lean())
    await world.run_until(has_wait(world, "natGateways/nat", "TooManyRequests"), seconds=10)
    item = wait_of(world, "natGateways/nat")
    assert -240 <= age(item["nextTry"]) < -180
    assert not COUNT.search(item["message"]), item["message"]


async def test_nodes_that_are_refused_are_one_entry(world):
    fault(world, "PUT", VMS, count=None, answer=REFUSED)
    apply(world, lean(), partition(nodes={"min": 5, "max": 8}))
    await world.run_until(has_wait(world, "climate-hpc"), seconds=10)
    await calm(world)
    item = wait_of(world, "climate-hpc")
    assert item["reason"] == "RequestDisallowedByPolicy"
    assert condition(world, PARTITION)[1] == "RequestDisallowedByPolicy"
    world.emulator.faults.remove()
    await drift(world)
    await world.run_until(running(world, 5), seconds=10)
    await calm(world)
    assert waits(world) == {}


async def test_a_node_that_failed_in_the_end_is_told_until_another_runs(world):
    fault(world, "PUT", VMS, operation=ending(500, "OSProvisioningTimedOut", "The agent did not report."))
    await ready(world, lean(), partition())
    told = [item for _, status in world.cluster.status_writes for item in status.get("waiting", ())]
    assert "OSProvisioningTimedOut" in {item["reason"] for item in told}
    assert waits(world) == {}


async def test_an_operation_that_fails_is_told_and_goes(world):
    fault(world, "PUT", TARGETS["scheduler"], operation=ending(409, "AllocationFailed", "Allocation failed."))
    apply(world, lean())
    await world.run_until(has_wait(world, "virtualMachines/scheduler", "AllocationFailed"), seconds=10)
    await world.run_until(world.ready, seconds=10)
    await calm(world)
    assert waits(world) == {}


# --- What waits for others


async def test_a_network_that_does_not_exist_is_told_by_its_own_id(world):
    network = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/hub/providers/Microsoft.Network"
    subnets = {name: f"{network}/virtualNetworks/hub/subnets/{name}" for name in ("compute", "services")}
    apply(world, environment(network={"existing": {"subnets": subnets}}))
    await world.run_until(has_wait(world, "virtualNetworks/hub"), seconds=10)
    items = [item for key, item in waits(world).items() if "virtualnetworks/hub" in key.lower()]
    assert {item["reason"] for item in items} == {"ReferenceNotFound"}
    assert all("only referenced" in item["message"] for item in items)
    status, reason, message = condition(world, ENVIRONMENT)
    assert (status, reason) == ("False", "NetworkMissing"), "the preflight says the same before anything is tried"
    assert "virtualNetworks/hub does not exist" in message


async def test_data_that_was_deleted_waits_for_somebody_to_decide(world):
    await ready(world, lean(), tier())
    volume = next(item for item in ids(world) if item.endswith("/volumes/climate-home"))
    resource = world.emulator.engine.store.resources[volume]
    world.emulator.engine.remove(resource)
    await drift(world)
    item = wait_of(world, "/volumes/climate-home")
    assert item["reason"] == "DataLost"
    assert "azurehpc.io/approve" in item["message"]
    status, reason, message = condition(world, HOME)
    assert (status, reason) == ("False", "DataLost")
    assert "an empty one would not bring that back" in message
    hour_ago = backdate(world)
    await restart(world)
    await drift(world)
    assert wait_of(world, "/volumes/climate-home")["since"] == hour_ago
    assert not [item for item in ids(world) if item.endswith("/volumes/climate-home")]


async def test_what_is_blocked_says_so_since_when(world):
    await ready(world, lean(), tier(netAppFiles={"serviceLevel": "Premium", "capacity": "6Ti"}))
    world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "4Ti"})
    await calm(world)
    item = wait_of(world, "/volumes/climate-home")
    assert item["reason"] == "WouldShrink"
    assert "6Ti" in item["message"]
    world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "6Ti"})
    await calm(world)
    assert waits(world) == {}


async def test_a_replacement_waits_under_the_id_of_what_is_replaced(world):
    await ready(world, lean(policy={"changes": {"replace": "Approval"}}))
    lose_identity(world)
    await drift(world)
    found = {item["reason"] for key, item in waits(world).items() if "roleAssignments" in key}
    assert found == {"Approval"}
    await approve_all(world, lambda: not plan(world)["changes"])
    await calm(world)
    assert waits(world) == {}


async def test_a_deletion_that_azure_refuses_is_told(world):
    await ready(world, lean(), partition())
    refusal = answer(409, "ScopeLocked", "The scope is locked.")
    fault(world, "DELETE", r"/virtualMachineScaleSets/", count=None, answer=refusal)
    world.cluster.delete(*PARTITION)
    await world.run_until(has_wait(world, "virtualMachineScaleSets", "ScopeLocked"), seconds=10)
    await calm(world)
    assert condition(world, PARTITION)[1] == "ScopeLocked"
    world.emulator.faults.remove()
    await drift(world)
    await world.run_until(lambda: PARTITION not in world.cluster.objects, seconds=10)
    await calm(world)
    assert waits(world) == {}


async def test_deleted_nodes_that_azure_refuses_to_delete_are_told(world):
    await ready(world, lean(), partition())
    fault(world, "DELETE", VMS, count=None, answer=answer(409, "ScopeLocked", "The scope is locked."))
    world.cluster.edit(*PARTITION, nodes={"min": 0, "max": 8})
    await world.run_until(has_wait(world, "climate-hpc", "ScopeLocked"), seconds=10)
    await calm(world)
    assert "ScopeLocked" in " ".join(condition(world, PARTITION)[1:]) + " ".join(
        condition(world, PARTITION, "Stalled")[1:]
    )
    world.emulator.faults.remove()
    await drift(world)
    await world.run_until(running(world, 0), seconds=10)
    await calm(world)
    assert waits(world) == {}


# --- Bounds, and what becomes of entries


async def test_the_list_is_bounded(world):
    apply(world, environment(**login_nodes(20)), tier(), *(partition(f"climate-{number}") for number in range(12)))
    policy(world, dryRun=True)
    await calm(world, 20)
    assert len(world.cluster.status(*ENVIRONMENT)["waiting"]) == 50
    written = len(world.cluster.status_writes)
    await restart(world)
    await calm(world, 20)
    await drift(world)
    assert world.cluster.status_writes[written:] == [], "which of them are shown is no matter of chance"


async def test_an_entry_goes_with_what_it_was_about(world):
    await ready(world, lean(), partition(), partition("climate-gpu"))
    policy(world, changes={"roll": "Approval"})
    world.cluster.edit("ComputePartition", "climate-gpu", vmSizes=[SIZES["B"]])
    await calm(world)
    assert has_wait(world, "climate-gpu", "Approval")()
    world.cluster.delete("ComputePartition", "climate-gpu")
    await world.run_until(lambda: ("ComputePartition", "climate-gpu") not in world.cluster.objects, seconds=10)
    await calm(world)
    assert waits(world) == {}


async def test_a_problem_of_the_specification_leaves_no_stale_command(world):
    """What was to be approved is another plan now, and cannot be made at all."""
    await ready(world, lean(), tier())
    policy(world, changes={"update": "Approval"})
    grow_home(world)
    await calm(world)
    assert waits(world)
    policy(world, changes={"update": "Approval"}, maintenanceWindows=[{"schedule": "0 25 * * *"}])
    await calm(world)
    assert condition(world, ENVIRONMENT)[0] == "False"
    assert waits(world) == {}
    assert plan(world)["changes"] == []


async def test_while_azure_is_away_what_is_waited_for_stays(world):
    await ready(world, lean(), tier())
    policy(world, freeze=True)
    grow_home(world)
    await calm(world)
    before = waits(world)
    fault(world, None, "/subscriptions/", count=None, answer=answer(503, "ServiceUnavailable"))
    for known_memory in world.reconciler._memories.values():
        known_memory.stale_at = 0.0
    for key in world.cluster.cache.environments():
        world.queue.add(key)
    await world.run_until(lambda: condition(world, ENVIRONMENT)[0] == "Unknown", seconds=10)
    assert waits(world) == before
    world.emulator.faults.remove()
    await world.run_until(world.ready, seconds=10)
    await calm(world)
    assert waits(world) == before


async def test_in_the_end_of_a_life_nothing_is_waited_for(world):
    await ready(world, *QUICKSTART)
    assert waits(world) == {}
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(running(world, 2, SIZES["B"]), seconds=15)
    await calm(world)
    assert waits(world) == {}


@pytest.mark.parametrize("owner", [HOME, PARTITION])
async def test_who_describes_a_tier_or_a_partition_reads_why_it_is_not_ready(world, owner):
    """Each object answers for itself: nobody has to know that the environment has a list."""
    policy_of = {"changes": {"create": "Approval"}}
    await ready(world, lean(policy=policy_of | {"changes": {"create": "Automatic"}}))
    policy(world, **policy_of)
    apply(world, EDITABLE if owner == HOME else partition())
    await calm(world)
    status, reason, message = condition(world, owner)
    assert (status, reason) == ("False", "Approval")
    assert "kubectl annotate hpcenvironment climate" in message


async def test_quota_that_lacks_names_family_and_next_try(world, monkeypatch):
    monkeypatch.setattr(memory, "SLOW_RETRY_SECONDS", 300.0)
    limit(world, QUOTA_A, 120)
    apply(world, lean(), partition())
    await world.run_until(has_wait(world, "climate-hpc"), seconds=10)
    await calm(world)
    item = wait_of(world, "climate-hpc")
    assert "standardHBv3Family" in item["message"]
    assert -300 <= age(item["nextTry"]) < -200
