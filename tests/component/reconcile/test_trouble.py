"""What goes wrong in a life: refusals, lost answers, restarts, drift, names that are taken, edits at the wrong moment.

Waits of the engine are scaled as the emulated clock is; nothing else of it is changed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter

import pytest

from azure_emulator.faults import Fault
from hpc_operator.arm import AzureError, Handle
from hpc_operator.azure import operations, transport
from hpc_operator.kubernetes_host import host
from hpc_operator.kubernetes_host.cache import ObjectCache
from hpc_operator.reconcile import memory, nodes
from hpc_operator.reconcile.ports import Key

from .conftest import QUICKSTART, SUBSCRIPTION, environment, partition, tier
from .test_life import GROUP, ids, last, resources, writes

PARTITION = ("ComputePartition", "climate-hpc")
ENVIRONMENT = ("HPCEnvironment", "climate")
HOME = ("StorageTier", "climate-home")
SIZES = {"A": "Standard_HB120rs_v3", "B": "Standard_HB176rs_v4", "C": "Standard_HX176rs"}
VMS = r"/virtualMachines/climate-hpc-[^/]+$"
LEAN_NETWORK = {"addressSpace": ["10.40.0.0/20"]}
QUOTA_A = "westeurope/standardhbv3family"


def lean(**spec):
    """An environment without what takes long."""
    return environment(**{"network": LEAN_NETWORK, **spec})


@pytest.fixture
async def world(world, monkeypatch):
    monkeypatch.setattr(memory, "FIRST_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(memory, "LONGEST_RETRY_SECONDS", 0.25)
    monkeypatch.setattr(memory, "SLOW_RETRY_SECONDS", 0.5)
    monkeypatch.setattr(memory, "RIGHTS_RETRY_SECONDS", 0.25)
    monkeypatch.setattr(nodes, "DEFAULT_POLL_SECONDS", 0.02)
    monkeypatch.setattr("hpc_operator.reconcile.environment.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(operations, "FIRST_INTERVAL", 0.02)
    monkeypatch.setattr(operations, "LONGEST_BACKOFF", 0.25)
    monkeypatch.setattr(operations, "REPLICATION", 1.0)
    quicken(world)
    return world


def quicken(world):
    world.azure._operations._interval = 0.02
    world.azure._operations._backoff = 0.02


async def restart(world):
    await world.restart()
    quicken(world)
    for key in world.cluster.cache.environments():
        # Nothing is known but the scaled wait between two lists of machines.
        world.reconciler._memories[key] = memory.Memory(machines_poll_seconds=0.02)


def fault(world, method, path, **effect):
    return world.emulator.faults.add(Fault.model_validate({"method": method, "path": path, **effect}))


def known(reason):
    """Mark what the engine does not do yet; a test that passes has to lose its mark."""
    return pytest.mark.xfail(strict=True, reason=reason)


def ending(status, code, message="Azure said so."):
    return {"status": status, "code": code, "message": message}


def answer(status, code, message="Azure said so.", **headers):
    return {"status": status, "code": code, "message": message, "headers": headers}


def apply(world, *manifests):
    for manifest in manifests:
        world.cluster.apply(manifest)


async def calm(world, seconds=5.0):
    """Reconcile until nothing is due for a while."""
    deadline = time.monotonic() + seconds
    while await world._one_pass(0.3):
        assert time.monotonic() < deadline, f"never calm: {world.cluster.condition(*ENVIRONMENT)}"


async def ready(world, *manifests):
    apply(world, *manifests)
    await world.run_until(world.ready, seconds=20)
    await calm(world)
    assert world.ready()


async def run_for(world, seconds):
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        await world._one_pass(left)


async def drift(world):
    """Let the drift period end."""
    for known in world.reconciler._memories.values():
        known.stale_at = known.machines_stale_at = 0.0
    for key in world.cluster.cache.environments():
        world.queue.add(key)
    await calm(world)


async def assert_steady(world, *, times=False):
    """Nothing is written where nothing changes, not even after a look at everything."""
    await calm(world)
    before, written = last(world), len(world.cluster.status_writes)
    await drift(world)
    assert writes(world, before) == []
    assert world.cluster.status_writes[written:] == []
    assert len(world.azure._operations) == 0, "operations are followed that have ended"
    assert_statuses_are_news(world, times=times)


TIME_OR_COUNTER = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d|\d\d:\d\d:\d\d|\b\d+(\.\d+)? (s|seconds|attempts|tries|times)\b")


def assert_statuses_are_news(world, *, times=False):
    """No status is written twice in a row, and no message tells a time or a count, unless Azure's own words do."""
    known = {}
    for owner, status in world.cluster.status_writes:
        assert known.get(owner) != status, f"{owner}: the same status twice"
        known[owner] = status
        for condition in status["conditions"]:
            assert times or not TIME_OR_COUNTER.search(condition["message"]), condition["message"]


def flaps(world, since=0):
    """Conditions that were True, then not, then True again, although nobody edited anything meanwhile."""
    history = {}
    for number, (owner, status) in enumerate(world.cluster.status_writes):
        for item in status["conditions"]:
            if item["type"] in {"Reconciling", "Stalled"}:
                continue
            values = history.setdefault((owner, item["type"]), [])
            if number < since:
                values.clear()  # only the last one before counts
            if not values or values[-1][0] != item["status"]:
                values.append((item["status"], item["reason"], item["message"]))
    return {
        key: values for key, values in history.items() if "True,False,True" in ",".join(value[0] for value in values)
    }


def created_twice(world):
    puts = Counter(
        entry["path"].lower() for entry in writes(world) if entry["method"] == "PUT" and entry["status"] < 300
    )
    return {path: count for path, count in puts.items() if count > 1}


def condition(world, kind_and_name, name="Ready"):
    found = world.cluster.condition(*kind_and_name, name)
    return found["status"], found["reason"], found["message"]


def counts(world, name="climate-hpc"):
    return world.cluster.status("ComputePartition", name).get("nodes", {})


def machines(world, prefix="climate-hpc-"):
    return {item.rsplit("/", 1)[1] for item in ids(world) if f"/virtualmachines/{prefix}" in item}


def vms(world):
    return [item for item in world.emulator.engine.store.resources.values() if re.search(VMS, item.id)]


def node_requests(world, *methods, since=0):
    return [
        entry
        for entry in writes(world, since)
        if re.search(VMS, entry["path"], re.IGNORECASE) and (not methods or entry["method"] in methods)
    ]


def running(world, count, generation_of=None):
    def holds():
        nodes_now = counts(world)
        same = [nodes_now.get(key) for key in ("ready", "updated", "creating", "deleting", "failed")]
        size = world.cluster.status(*PARTITION).get("vmSize")
        return same == [count, count, 0, 0, 0] and generation_of in (None, size)

    return holds


def limit(world, name, value):
    world.emulator.store.set("quota", {**world.emulator.store.settings.get("quota", {}), name: value})


def capacity(world, size, count, refuse="operation"):
    row = {"vmSize": size.lower(), "location": None, "zone": None, "priority": None, "count": count, "refuse": refuse}
    world.emulator.store.set("capacity", [] if count is None else [row])


def put_behind_our_back(world, resource_id, **body):
    return world.emulator.engine.create(resource_id, {"location": "westeurope", **body})


def found(world, ending):
    return next(item for item in world.emulator.engine.store.resources.values() if item.key.endswith(ending.lower()))


def remove_behind_our_back(world, ending):
    world.emulator.engine.remove(found(world, ending))


async def gone(world, *kinds_and_names, seconds=20):
    await world.run_until(lambda: not any(item in world.cluster.objects for item in kinds_and_names), seconds=seconds)


async def delete_all(world, seconds=15):
    for kind, name in list(world.cluster.objects):
        world.cluster.delete(kind, name)
    await world.run_until(lambda: not world.cluster.objects, seconds=seconds)


# --- Refusals in the middle of creation

TARGETS = {
    "network": r"/virtualNetworks/vnet$",
    "subnet": r"/subnets/compute$",
    "gateway": r"/natGateways/nat$",
    "scheduler": r"/virtualMachines/scheduler$",
    "volume": r"/volumes/climate-home$",
    "node": VMS,
}
PASSING = {
    "429": {"answer": answer(429, "OperationNotAllowed", "Slow down.", **{"retry-after-ms": "100"})},
    "409": {"answer": answer(409, "AnotherOperationInProgress")},
    "500": {"answer": answer(500, "InternalServerError")},
    "503": {"answer": answer(503, "ServiceUnavailable")},
    "lost": {"lostAnswer": True},
    "fails": {"operation": ending(500, "InternalServerError")},
}


@pytest.mark.parametrize("trouble", PASSING)
async def test_what_passes_by_itself_holds_creation_up_and_no_more(world, trouble):
    for target in TARGETS.values():
        fault(world, "PUT", target, **PASSING[trouble])
    await ready(world, lean(), tier(), partition())
    assert [line.hits for line in world.emulator.faults.all()] == [1] * len(TARGETS)
    if trouble == "lost":
        # The HTTP library itself may send a PUT again whose connection broke; nothing else is sent twice.
        assert all(any(re.search(it, path, re.IGNORECASE) for it in TARGETS.values()) for path in created_twice(world))
    elif trouble != "fails":
        assert created_twice(world) == {}
    assert counts(world)["ready"] == 2
    assert flaps(world) == {}
    await assert_steady(world, times=trouble == "lost")


@pytest.mark.parametrize("target", ["scheduler", "node"])
async def test_a_failed_allocation_is_told_and_tried_again(world, target):
    fault(world, "PUT", TARGETS[target], operation=ending(409, "AllocationFailed", "Allocation failed."))
    apply(world, lean(), partition())
    owner = ENVIRONMENT if target == "scheduler" else PARTITION
    await world.run_until(lambda: condition(world, owner)[1] == "AllocationFailed", seconds=10)
    status, _, message = condition(world, owner)
    assert status == "False"
    assert "AllocationFailed: Allocation failed. It is tried again every few minutes" in message
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)
    assert counts(world)["failed"] == 0


async def test_a_call_that_hangs_is_given_up_and_made_again(world, monkeypatch):
    monkeypatch.setattr(transport, "READ_TIMEOUT", 0.5)
    await restart(world)
    fault(world, "PUT", TARGETS["gateway"], hang=True)
    await ready(world, lean(), partition())
    assert created_twice(world) == {}
    await assert_steady(world)


async def test_a_permanent_refusal_names_resource_code_and_what_happens_next(world):
    refusal = answer(403, "RequestDisallowedByPolicy", "Resource 'nat' was disallowed by policy.")
    fault(world, "PUT", TARGETS["gateway"], count=None, answer=refusal)
    apply(world, lean(), partition())
    await world.run_until(lambda: condition(world, ENVIRONMENT)[1] == "RequestDisallowedByPolicy", seconds=10)
    await calm(world)
    status, _, message = condition(world, ENVIRONMENT, "InfrastructureReady")
    assert status == "False"
    assert message.startswith("natGateways nat: RequestDisallowedByPolicy: Resource 'nat' was disallowed by policy.")
    assert condition(world, ENVIRONMENT, "Stalled")[0] == "True"
    assert world.emulator.faults.all()[0].hits < 5


async def test_a_permanent_refusal_passes_when_its_cause_is_gone(world):
    fault(world, "PUT", TARGETS["gateway"], answer=answer(403, "RequestDisallowedByPolicy", "Disallowed by policy."))
    apply(world, lean())
    await world.run_until(lambda: condition(world, ENVIRONMENT)[1] == "RequestDisallowedByPolicy", seconds=10)
    await drift(world)
    await world.run_until(world.ready, seconds=4)


async def test_a_lock_that_is_taken_away_lets_a_deletion_go_on(world):
    await ready(world, lean(), partition())
    fault(world, "DELETE", r"/virtualMachineScaleSets/", answer=answer(409, "ScopeLocked", "The scope is locked."))
    world.cluster.delete(*PARTITION)
    await world.run_until(lambda: "ScopeLocked" in condition(world, PARTITION)[2], seconds=10)
    await drift(world)
    await gone(world, PARTITION, seconds=4)


# --- Azure cannot be reached


async def test_azure_away_during_creation_is_told_and_loses_nothing(world):
    apply(world, lean(), tier(), partition())
    await world.run_until(lambda: len(writes(world)) >= 12, seconds=10)
    await world.emulator.stop()
    await drift_until(world, lambda: condition(world, ENVIRONMENT)[0] == "Unknown")
    for owner in (ENVIRONMENT, HOME, PARTITION):
        status, reason, message = condition(world, owner)
        assert (status, reason) == ("Unknown", "AzureUnreachable")
        assert message.endswith("It is tried again by itself.")
    await run_for(world, 0.5)
    await world.emulator.start()
    await world.run_until(world.ready, seconds=20)
    assert created_twice(world) == {}
    await assert_steady(world)


async def drift_until(world, holds):
    for known in world.reconciler._memories.values():
        known.stale_at = 0.0
    for key in world.cluster.cache.environments():
        world.queue.add(key)
    await world.run_until(holds, seconds=10)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (answer(503, "ServiceUnavailable"), "AzureUnreachable"),
        (answer(401, "ExpiredAuthenticationToken", "The access token expired."), "CredentialsInvalid"),
    ],
)
async def test_azure_refusing_everything_is_told_and_passes(world, refusal, reason):
    await ready(world, lean(), partition())
    before = last(world)
    fault(world, None, "/subscriptions/", count=None, answer=refusal)
    await drift_until(world, lambda: condition(world, ENVIRONMENT)[0] == "Unknown")
    written = len(world.cluster.status_writes)
    await run_for(world, 1.5)
    assert world.cluster.status_writes[written:] == [], "said once"
    assert condition(world, ENVIRONMENT)[1] == reason
    assert counts(world)["ready"] == 2, "what was known stays"
    assert len(world.emulator.requests) - before < 300
    world.emulator.faults.remove()
    await world.run_until(world.ready, seconds=5)
    assert writes(world, before) == []
    await assert_steady(world)


async def test_azure_refusing_to_list_machines_is_asked_ever_more_seldom(world, monkeypatch):
    monkeypatch.setattr(memory, "LONGEST_RETRY_SECONDS", 300.0)
    await ready(world, lean(), partition())
    fault(world, "GET", r"/virtualMachines$", count=None, answer=answer(500, "InternalServerError"))
    await drift_until(world, lambda: condition(world, ENVIRONMENT)[0] == "Unknown")
    before = last(world)
    await run_for(world, 2.0)
    assert len(world.emulator.requests) - before < 10


async def test_a_failure_that_cannot_be_explained_leaves_the_environment_alone(world):
    await ready(world, lean(), partition())
    fault(world, "GET", r"/instanceView$", count=None, answer=answer(404, "ResourceNotFound"))
    fault(world, "PUT", VMS, operation=ending(500, "InternalServerError"))
    since = len(world.cluster.status_writes)
    world.cluster.edit(*PARTITION, nodes={"min": 3, "max": 8})
    await world.run_until(running(world, 3), seconds=4)
    assert "Unknown" not in {
        item["status"] for _, status in world.cluster.status_writes[since:] for item in status["conditions"]
    }


# --- Nodes: quota, capacity, failures


async def test_too_little_quota_for_nodes_is_told_by_the_partition_alone(world):
    limit(world, QUOTA_A, 0)
    apply(world, lean(), tier(), partition())
    await world.run_until(lambda: condition(world, PARTITION)[1] == "OperationNotAllowed", seconds=10)
    await world.run_until(lambda: condition(world, ENVIRONMENT, "EntryPointReady")[0] == "True", seconds=10)
    status, _, message = condition(world, PARTITION)
    assert status == "False"
    assert "standardHBv3Family" in message
    assert "Ask for more quota" in message
    # Nothing else waits for nodes that cannot come.
    for step in ("Infrastructure", "BaseServices", "Storage", "EntryPoint"):
        await world.run_until(lambda step=step: condition(world, ENVIRONMENT, f"{step}Ready")[0] == "True", seconds=10)
    limit(world, QUOTA_A, 1000)
    await world.run_until(world.ready, seconds=5)
    await assert_steady(world)


@pytest.mark.parametrize("scarce", ["quota", "sync", "operation"])
async def test_scarcity_that_lets_some_nodes_through_does_not_make_the_engine_run_hot(world, monkeypatch, scarce):
    monkeypatch.setattr(memory, "SLOW_RETRY_SECONDS", 300.0)
    if scarce == "quota":
        limit(world, QUOTA_A, 120)
    else:
        capacity(world, SIZES["A"], 1, refuse=scarce)
    apply(world, lean(), partition(nodes={"min": 3, "max": 8}))
    await world.run_until(lambda: counts(world).get("ready") == 1, seconds=4)
    await run_for(world, 2.0)
    tries = [
        entry for entry in writes(world) if entry["method"] == "PUT" and re.search(VMS, entry["path"], re.IGNORECASE)
    ]
    assert len(tries) <= 3, "each of three nodes was asked for once"
    assert condition(world, PARTITION)[0] == "False"
    assert condition(world, PARTITION, "Stalled")[0] == "True"


async def test_more_nodes_than_capacity_allows_recovers_when_there_is_more(world):
    capacity(world, SIZES["A"], 1)
    apply(world, lean(), partition(nodes={"min": 3, "max": 8}))
    await world.run_until(lambda: condition(world, PARTITION)[1] == "AllocationFailed", seconds=10)
    await world.run_until(lambda: counts(world).get("ready") == 1, seconds=10)
    capacity(world, SIZES["A"], None)
    await world.run_until(running(world, 3), seconds=10)
    await assert_steady(world)


async def test_a_node_that_fails_is_replaced(world):
    fault(world, "PUT", VMS, operation=ending(500, "OSProvisioningTimedOut", "The agent did not report."))
    await ready(world, lean(), partition())
    tries = node_requests(world)
    assert Counter(entry["method"] for entry in tries) == {"PUT": 3, "DELETE": 1}
    assert len(machines(world)) == 2
    await assert_steady(world)


async def test_a_refused_node_takes_nothing_from_a_partition_that_runs(world):
    await ready(world, lean(), partition())
    since = len(world.cluster.status_writes)
    fault(world, "PUT", VMS, count=1, answer=answer(503, "ServiceUnavailable"))
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(running(world, 2, SIZES["B"]), seconds=10)
    ready_counts = [
        status["nodes"]["ready"] for owner, status in world.cluster.status_writes[since:] if "climate-hpc" in owner
    ]
    assert min(ready_counts) == 2
    assert flaps(world, since) == {}


async def test_a_refused_node_does_not_take_the_old_scale_set_and_its_nodes_down(world):
    await ready(world, lean(), partition())
    before = last(world)
    fault(world, "PUT", VMS, count=3, answer=answer(503, "ServiceUnavailable"))
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    least = []

    def done():
        least.append(len(machines(world)))
        return running(world, 2, SIZES["B"])()

    await world.run_until(done, seconds=10)
    assert min(least) == 2
    deletions = [entry["path"] for entry in writes(world, before) if entry["method"] == "DELETE"]
    assert "virtualMachineScaleSets" in deletions[-1]
    assert len(deletions) == 3


async def test_nodes_refused_together_count_as_one_failure(world, monkeypatch):
    monkeypatch.setattr(memory, "LONGEST_RETRY_SECONDS", 3.0)
    fault(world, "PUT", VMS, count=8, answer=answer(503, "ServiceUnavailable"))
    await ready(world, lean(), partition(nodes={"min": 8, "max": 8}))
    tries = node_requests(world)
    assert tries[8]["wallTime"] - tries[7]["wallTime"] < 1.0


async def test_a_node_that_may_not_be_deleted_is_not_asked_for_all_the_time(world, monkeypatch):
    monkeypatch.setattr(memory, "LONGEST_RETRY_SECONDS", 300.0)
    await ready(world, lean(), partition())
    refused = fault(world, "DELETE", VMS, count=None, answer=answer(409, "Conflict"))
    world.cluster.edit(*PARTITION, nodes={"min": 1, "max": 8})
    await run_for(world, 3.0)
    assert refused.hits < 10


async def test_a_node_that_runs_is_not_removed_for_being_in_state_failed(world):
    await ready(world, lean(), partition())
    world.may_go = lambda name: False
    before = last(world)
    name = min(machines(world))
    found(world, f"/virtualMachines/{name}").state = "Failed"  # as after an update of it that failed
    await drift(world)
    assert [entry["path"] for entry in writes(world, before) if entry["method"] == "DELETE"] == []


async def test_a_partition_goes_to_nothing_and_comes_back(world):
    await ready(world, lean(), partition())
    since = len(world.cluster.status_writes)
    world.cluster.edit(*PARTITION, nodes={"min": 0, "max": 8})
    await world.run_until(running(world, 0), seconds=10)
    assert machines(world) == set()
    world.cluster.edit(*PARTITION, nodes={"min": 2, "max": 8})
    await world.run_until(running(world, 2), seconds=10)
    await assert_steady(world)
    assert {item[0] for item in flaps(world, since)} <= {"ComputePartition/climate-hpc", "HPCEnvironment/climate"}


# --- Edits of VM sizes at the wrong moment


async def test_a_node_that_was_put_twice_is_no_node_before_it_is_made(world, monkeypatch):
    """An HTTP library sends a PUT again whose answer was lost; Azure then shows Updating, and not Creating."""
    await ready(world, lean(), partition(rollout={"maxSurge": 1, "maxUnavailable": 0}))
    put, delete, up_before = world.azure.put, world.azure.delete, []

    def up():
        return sum(item.state == "Succeeded" for item in vms(world))

    async def put_twice(resource_id, body):
        started = await put(resource_id, body)
        while re.search(VMS, resource_id):
            try:
                return await put(resource_id, body)
            except AzureError as error:
                assert error.code == "RetryableError", error  # noqa: PT017 - its network interface is being made
                await asyncio.sleep(0.02)
        return started

    async def delete_counted(resource_id):
        if re.search(VMS, resource_id):
            up_before.append(up())
        return await delete(resource_id)

    monkeypatch.setattr(world.azure, "put", put_twice)
    monkeypatch.setattr(world.azure, "delete", delete_counted)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(running(world, 2, SIZES["B"]), seconds=6)
    assert up_before == [3, 3]
    world.cluster.edit(*PARTITION, nodes={"min": 3, "max": 8})
    await world.run_until(running(world, 3), seconds=6)
    assert up() == 3


@pytest.mark.parametrize("path", ["ABC", "ABA"])
@pytest.mark.parametrize("after", [1, 3])
async def test_a_second_edit_in_the_middle_of_a_rollout(world, path, after):
    await ready(world, lean(), partition())
    least, before, since = [], last(world), len(world.cluster.status_writes)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES[path[1]]])
    await world.run_until(lambda: len(writes(world, before)) >= after, seconds=10)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES[path[2]]])

    def done():
        least.append(counts(world)["ready"])
        return running(world, 2, SIZES[path[2]])()

    await world.run_until(done, seconds=10)
    await assert_steady(world)
    assert min(least) >= 2
    assert flaps(world, since) == {}
    assert resources(world)["microsoft.compute/virtualmachinescalesets"] == 1
    assert len(machines(world)) == 2


async def test_sizes_edited_while_the_first_nodes_are_being_created(world):
    apply(world, lean(), partition())
    await world.run_until(lambda: counts(world).get("creating", 0) > 0, seconds=10)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(running(world, 2, SIZES["B"]), seconds=10)
    await assert_steady(world)
    assert resources(world)["microsoft.compute/virtualmachinescalesets"] == 1
    assert len(machines(world)) == 2


@pytest.mark.parametrize("after", [1, 2, 4])
async def test_a_partition_deleted_in_the_middle_of_a_rollout_leaves_nothing(world, after):
    await ready(world, lean(), partition())
    before = last(world)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(lambda: len(writes(world, before)) >= after, seconds=10)
    world.cluster.delete(*PARTITION)
    await gone(world, PARTITION)
    await calm(world)
    assert not [item for item in ids(world) if "climate-hpc" in item]
    await assert_steady(world)


async def test_a_partition_is_not_released_while_a_node_of_it_is_there(world):
    await ready(world, lean(), partition())
    fault(world, "DELETE", VMS, count=4, answer=answer(409, "Conflict"))
    before = last(world)
    world.cluster.delete(*PARTITION)
    await gone(world, PARTITION)
    assert machines(world) == set()
    order = [
        "scaleset" if "virtualMachineScaleSets" in entry["path"] else "machine"
        for entry in writes(world, before)
        if entry["method"] == "DELETE"
    ]
    assert order == ["machine"] * (len(order) - 1) + ["scaleset"]


# --- Deletion


@pytest.mark.parametrize("after", [1, 6, 14, 22])
async def test_an_environment_deleted_in_the_middle_of_creation_leaves_nothing(world, after):
    apply(world, environment(), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}), partition())
    await world.run_until(lambda: len(writes(world)) >= after, seconds=10)
    await delete_all(world)
    assert ids(world) == set()
    assert len(world.azure._operations) == 0


@pytest.mark.parametrize("first", [ENVIRONMENT, HOME, PARTITION])
async def test_deletion_in_any_order_ends_the_same(world, first):
    await ready(world, lean(), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}), partition())
    world.cluster.delete(*first)
    await run_for(world, 0.2)
    await delete_all(world)
    assert ids(world) == set()


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_a_tier_deleted_while_its_volume_is_being_created(world, policy):
    apply(world, lean(), tier(deletionPolicy=policy, netAppFiles={"capacity": "4Ti"}))
    await world.run_until(lambda: any("/volumes/" in item["path"] for item in writes(world)), seconds=10)
    world.cluster.delete(*HOME)
    await gone(world, HOME)
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)
    kept = [item for item in ids(world) if "/volumes/" in item]
    assert bool(kept) == (policy == "Retain")
    assert [item for item in ids(world) if "/capacitypools/" in item] != [] or policy == "Delete"


async def test_a_policy_edited_to_delete_counts(world):
    await ready(world, lean(), tier())
    world.cluster.edit(*HOME, deletionPolicy="Delete")
    await calm(world)
    world.cluster.delete(*HOME)
    await gone(world, HOME)
    await assert_steady(world)
    assert not [item for item in ids(world) if "netapp" in item]


async def test_retained_data_survives_a_later_environment_of_the_same_name(world):
    await ready(world, lean(), tier())
    await delete_all(world)
    assert any("/volumes/climate-home" in item for item in ids(world))
    await ready(world, lean())
    await delete_all(world, seconds=3)
    assert any("/volumes/climate-home" in item for item in ids(world)), "the data is gone"


async def test_retained_data_survives_the_loss_of_the_finalizer_and_the_status(world):
    await ready(world, lean(), tier())
    world.cluster._remove(world.cluster.objects[HOME])  # as `kubectl patch` of finalizers does
    await calm(world)
    assert any("/volumes/climate-home" in item for item in ids(world)), "the data is gone"


async def test_what_is_not_ours_survives_the_deletion_of_its_resource_group(world):
    await ready(world, lean())
    theirs = f"{found(world, '/hpc_climate').id}/providers/Microsoft.Network/publicIPAddresses/theirs"
    put_behind_our_back(world, theirs, sku={"name": "Standard"}, properties={"publicIPAllocationMethod": "Static"})
    await delete_all(world)
    assert ids(world) == {GROUP, theirs.lower()}
    said = [message for _, _, _, message in world.cluster.events if theirs in message]
    assert said


async def test_machines_of_others_in_our_group_are_left_alone(world):
    await ready(world, lean(), partition())
    ours = found(world, f"/virtualMachines/{min(machines(world))}")
    theirs = f"{ours.id.rsplit('/', 1)[0]}/theirs"
    interface = f"{GROUP}/providers/Microsoft.Network/networkInterfaces/theirs"
    subnet = found(world, "/subnets/compute").id
    address = {"name": "ipconfig", "properties": {"subnet": {"id": subnet}}}
    put_behind_our_back(world, interface, properties={"ipConfigurations": [address]})
    properties = {
        key: value for key, value in ours.body["properties"].items() if key in {"hardwareProfile", "osProfile"}
    }
    image = ours.body["properties"]["storageProfile"]["imageReference"]
    put_behind_our_back(
        world,
        theirs,
        tags={"hpc-partition": "old", "hpc-environment": "other/environment"},
        properties={
            **properties,
            "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
            "networkProfile": {"networkInterfaces": [{"id": interface}]},
        },
    )
    await drift(world)
    assert theirs.lower() in ids(world)


# --- Problems that an edit solves


SMALL = {"addressSpace": ["10.40.0.0/24"]}


def too_many():
    return partition("climate-big", nodes={"min": 0, "max": 1000})


async def test_an_environment_with_a_problem_goes_on_after_an_edit(world):
    await ready(world, environment(network=SMALL), partition())
    before = last(world)
    apply(world, too_many())
    await calm(world)
    assert condition(world, ENVIRONMENT)[:2] == ("False", "AddressSpaceTooSmall")
    assert writes(world, before) == []
    world.cluster.edit("ComputePartition", "climate-big", nodes={"min": 0, "max": 4}, rollout={"maxSurge": 1})
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)


@pytest.mark.parametrize(
    "kinds",
    [
        (ENVIRONMENT,),
        (PARTITION,),
        (ENVIRONMENT, PARTITION),
    ],
)
async def test_deletion_while_the_environment_has_a_problem_ends(world, kinds):
    await ready(world, environment(network=SMALL), partition())
    apply(world, too_many())
    await calm(world)
    for item in kinds:
        world.cluster.delete(*item)
    await gone(world, *kinds, seconds=5)
    if ENVIRONMENT in kinds:
        assert ids(world) == set()


async def test_a_partition_whose_image_does_not_exist_holds_up_nobody_else(world):
    wrong = partition("climate-wrong", image={"urn": "microsoft-dsvm:ubuntu-hpc:9999:latest"})
    apply(world, lean(), partition(), wrong)
    await world.run_until(running(world, 2), seconds=5)
    assert condition(world, ("ComputePartition", "climate-wrong"))[:2] == ("False", "ImageNotFound")
    world.cluster.edit("ComputePartition", "climate-wrong", image={"urn": "microsoft-dsvm:ubuntu-hpc:2204:latest"})
    await world.run_until(lambda: counts(world, "climate-wrong").get("ready") == 2, seconds=8)


async def test_a_partition_with_a_problem_is_not_called_ready_by_its_environment(world):
    await ready(world, lean(), partition())
    apply(world, partition("climate-same", partitionName="climate-hpc"))
    await calm(world)
    assert condition(world, ("ComputePartition", "climate-same"))[1] == "PartitionNameTaken"
    assert condition(world, ENVIRONMENT, "ComputeReady")[0] == "False"


async def test_of_two_overlapping_environments_the_newer_waits_for_the_older_to_go(world):
    await ready(world, lean())
    apply(world, lean(name="genomics"))
    await calm(world)
    status, reason, message = condition(world, ("HPCEnvironment", "genomics"))
    assert (status, reason) == ("False", "AddressSpacesOverlap")
    assert "hpc/climate" in message
    assert not [item for item in ids(world) if "hpc_genomics" in item]
    world.cluster.delete(*ENVIRONMENT)
    await gone(world, ENVIRONMENT)
    await world.run_until(lambda: world.ready("genomics"), seconds=10)
    assert not [item for item in ids(world) if "hpc_climate" in item]
    await assert_steady(world)


async def test_an_environment_refused_at_the_moment_when_its_reason_goes_is_looked_at_again(world):
    await ready(world, lean())
    write = world.cluster.write_status

    async def slowly(resource, status):
        if resource.metadata.name == "genomics":
            # A request takes its time, and meanwhile the watch tells that the older one is gone.
            world.cluster.delete(*ENVIRONMENT)
            world.cluster.objects.get(ENVIRONMENT) and world.cluster._remove(world.cluster.objects[ENVIRONMENT])
            world.cluster.write_status = write
        await write(resource, status)

    world.cluster.write_status = slowly
    apply(world, lean(name="genomics"))
    await world.run_until(lambda: world.ready("genomics"), seconds=4)


async def test_of_two_tiers_on_one_path_the_newer_waits_for_the_older_to_go(world):
    await ready(world, lean(), tier())
    before = last(world)
    apply(world, tier("climate-other"))
    await calm(world)
    status, reason, message = condition(world, ("StorageTier", "climate-other"))
    assert (status, reason) == ("False", "MountPathTaken")
    assert "climate-home" in message
    assert writes(world, before) == []
    world.cluster.delete(*HOME)
    await gone(world, HOME)
    await world.run_until(lambda: condition(world, ("StorageTier", "climate-other"))[0] == "True", seconds=10)
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)


# --- Edits in place


async def test_bastion_comes_and_goes_with_all_that_belongs_to_it(world):
    await ready(world, lean(), partition())
    before = ids(world)
    world.cluster.edit(*ENVIRONMENT, network={**LEAN_NETWORK, "access": {"bastion": {}}})
    await world.run_until(lambda: "bastionHosts" in str(world.cluster.status(*ENVIRONMENT)), seconds=10)
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)
    assert {item.rsplit("/", 1)[1] for item in ids(world) - before} >= {"bastion", "pip-bastion", "azurebastionsubnet"}
    world.cluster.edit(*ENVIRONMENT, network=LEAN_NETWORK)
    await calm(world)
    await world.run_until(lambda: "bastion" not in str(ids(world)), seconds=10)
    await assert_steady(world)
    assert ids(world) == before
    assert world.ready()


async def test_login_nodes_come_and_go(world):
    await ready(world, lean(), partition())
    before = ids(world)
    for count in (3, 1):
        world.cluster.edit(*ENVIRONMENT, entryPoint={"loginNodes": {"count": count}})
        await calm(world)
        assert world.ready()
        assert len(world.cluster.status(*ENVIRONMENT)["loginNodes"]) == count
        assert len(machines(world, "login-")) == count
    # A disk of Azure's own choice of name goes with its machine.
    assert ids(world) == before
    await assert_steady(world)


async def test_an_edit_of_allowed_sources_changes_one_security_group(world):
    await ready(world, lean(), partition())
    for sources in (["192.0.2.0/24"], ["192.0.2.0/24", "198.51.100.0/24"], []):
        before, since = last(world), len(world.cluster.status_writes)
        world.cluster.edit(*ENVIRONMENT, network={**LEAN_NETWORK, "access": {"allowedSources": sources}})
        await calm(world)
        assert [(entry["method"], entry["path"].rsplit("/", 1)[1]) for entry in writes(world, before)] == [
            ("PUT", "nsg-services")
        ]
        assert flaps(world, since) == {}
        assert world.ready()
    await assert_steady(world)


async def test_tags_are_edited_in_place_everywhere(world):
    await ready(world, lean(), partition())
    before, since = ids(world), len(world.cluster.status_writes)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather", "costCenter": "4711"})
    await calm(world)
    assert ids(world) == before
    for item in world.emulator.engine.store.resources.values():
        tags = item.body.get("tags") or {}
        # System disks are made by Azure with the tags of that moment; nodes have a test of their own.
        if "hpc-environment" in tags and "_osdisk_" not in item.key and "hpc-partition" not in tags:
            assert (tags["department"], tags["costCenter"]) == ("weather", "4711"), item.id
    assert flaps(world, since) == {}
    await assert_steady(world)


async def test_tags_are_edited_in_place_on_nodes_too(world):
    await ready(world, lean(), partition())
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    for name in machines(world):
        assert found(world, f"/virtualMachines/{name}").body["tags"]["department"] == "weather"


async def test_a_tag_that_is_taken_out_of_the_specification_goes(world):
    await ready(world, lean())
    world.cluster.edit(*ENVIRONMENT, tags={})
    await calm(world)
    assert "department" not in found(world, "/virtualNetworks/vnet").body["tags"]


async def test_an_edit_of_tags_takes_no_subnet_away(world):
    await ready(world, lean(), partition(nodes={"min": 0, "max": 8}))
    before = ids(world)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    assert ids(world) == before


async def test_what_others_added_since_our_last_look_survives_an_edit(world):
    await ready(world, lean(), partition())
    vnet = found(world, "/virtualNetworks/vnet").id
    world.emulator.engine.create(f"{vnet}/subnets/theirs", {"properties": {"addressPrefix": "10.40.4.0/27"}})
    await drift(world)
    world.emulator.engine.create(f"{vnet}/subnets/later", {"properties": {"addressPrefix": "10.40.4.32/27"}})
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    assert f"{vnet}/subnets/theirs".lower() in ids(world)
    assert f"{vnet}/subnets/later".lower() in ids(world)


@pytest.mark.parametrize(
    "trouble",
    [
        "429",
        "503",
        "fails",
    ],
)
async def test_a_refused_update_of_what_serves_takes_nothing_away(world, trouble):
    await ready(world, lean(), partition())
    since = len(world.cluster.status_writes)
    fault(world, "PUT", r"/networkSecurityGroups/nsg-services$", **PASSING[trouble])
    world.cluster.edit(*ENVIRONMENT, network={**LEAN_NETWORK, "access": {"allowedSources": ["192.0.2.0/24"]}})
    await calm(world)
    await world.run_until(lambda: condition(world, ENVIRONMENT, "Reconciling")[0] == "absent", seconds=5)
    assert world.ready()
    assert flaps(world, since) == {}


async def test_a_group_whose_tags_a_policy_forbids_stops_nothing(world):
    await ready(world, lean(), partition())
    refusal = answer(403, "RequestDisallowedByPolicy", "Resource 'hpc_climate' was disallowed by policy.")
    fault(world, "PUT", r"/resourceGroups/hpc_climate$", count=None, answer=refusal)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "oceans"})
    await world.run_until(
        lambda: found(world, "/virtualNetworks/vnet").body["tags"]["department"] == "oceans", seconds=5
    )


@pytest.mark.parametrize("trouble", ["409", "quota"])
async def test_a_volume_does_not_grow_before_its_pool(world, trouble):
    refusal = {"409": PASSING["409"], "quota": {"answer": answer(400, "QuotaExceeded", "Ask for more quota.")}}
    await ready(world, lean(), tier(netAppFiles={"capacity": "4Ti"}))
    before = last(world)
    fault(world, "PATCH", r"/capacityPools/[^/]+$", count=2, **refusal[trouble])
    world.cluster.edit(*HOME, netAppFiles={"capacity": "6Ti"})
    await world.run_until(lambda: world.cluster.status(*HOME).get("capacity") == "6Ti", seconds=10)
    grown = [entry["path"].rsplit("/", 2)[1] for entry in writes(world, before)]
    assert grown == ["capacityPools", "capacityPools", "capacityPools", "volumes"]
    await assert_steady(world)


# --- Drift, and names that are taken


async def test_a_field_changed_behind_our_back_is_put_right_and_nothing_else(world):
    await ready(world, lean(), partition())
    rule = "/networkSecurityGroups/nsg-compute/securityRules/hpc-allow-slurm"
    found(world, rule).properties["access"] = "Deny"
    before, since = last(world), len(world.cluster.status_writes)
    await calm(world)
    assert writes(world, before) == []
    await drift(world)
    assert [entry["path"].rsplit("/", 1)[1] for entry in writes(world, before)] == ["nsg-compute"]
    assert found(world, rule).properties["access"] == "Allow"
    assert flaps(world, since) == {}
    await assert_steady(world)


@pytest.mark.parametrize(
    "ending",
    [
        "/networkInterfaces/nic-login-1",
        "/virtualMachines/login-1",
        "/virtualMachines/scheduler/runCommands/slurm-configuration",
        "/privateEndpoints/pe-storage",
    ],
)
async def test_what_is_deleted_behind_our_back_comes_back(world, ending):
    await ready(world, lean(), tier())
    if "nic" in ending:
        remove_behind_our_back(world, "/virtualMachines/login-1")
    remove_behind_our_back(world, ending)
    before = last(world)
    await drift(world)
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)
    assert found(world, ending).state == "Succeeded"
    assert len(writes(world, before)) <= 3


async def test_a_vault_that_is_deleted_behind_our_back_comes_back(world):
    await ready(world, lean())
    remove_behind_our_back(world, next(item for item in ids(world) if "/vaults/" in item and "/roleassign" not in item))
    await drift_until(world, lambda: not world.ready())
    await world.run_until(world.ready, seconds=4)


async def test_an_identity_that_comes_back_gets_its_rights_back(world):
    await ready(world, lean())
    remove_behind_our_back(world, "/userAssignedIdentities/id-nodes")
    await drift(world)
    principal = found(world, "/userAssignedIdentities/id-nodes").properties["principalId"]
    granted = {
        item.properties["principalId"]
        for item in world.emulator.engine.store.resources.values()
        if item.key.rsplit("/", 2)[1] == "roleassignments"
    }
    assert principal in granted


async def test_a_node_that_is_deleted_behind_our_back_comes_back(world):
    await ready(world, lean(), partition())
    name = min(machines(world))
    machine = found(world, f"/virtualMachines/{name}")
    world.emulator.engine.remove(machine)
    await drift(world)
    await world.run_until(running(world, 2), seconds=10)
    await assert_steady(world)


FOREIGN = f"{GROUP.replace('resourcegroups', 'resourceGroups')}/providers/Microsoft.Network/natGateways/nat"


async def with_foreign_gateway(world, tags):
    put_behind_our_back(world, FOREIGN.partition("/providers/")[0], tags={"hpc-environment": "hpc/climate"})
    put_behind_our_back(world, FOREIGN, tags=tags, sku={"name": "Standard"}, properties={"idleTimeoutInMinutes": 7})
    apply(world, lean())
    await calm(world)


@pytest.mark.parametrize("tags", [{}, {"hpc-environment": "hpc/genomics"}])
async def test_a_foreign_resource_of_our_name_is_not_taken_over(world, tags):
    await with_foreign_gateway(world, tags)
    status, reason, message = condition(world, ENVIRONMENT)
    assert (status, reason) == ("False", "AlreadyExists")
    assert "natGateways nat" in message
    advice = "azurehpc.io/take-over=hpc/genomics" if tags else "give it the tag hpc-environment=hpc/climate"
    assert advice in message
    assert found(world, "/natGateways/nat").properties["idleTimeoutInMinutes"] == 7
    assert not [entry for entry in writes(world) if entry["path"].endswith("/natGateways/nat")]


async def test_a_foreign_resource_of_our_name_survives_the_deletion_of_the_environment(world):
    await with_foreign_gateway(world, {})
    world.cluster.delete(*ENVIRONMENT)
    await gone(world, ENVIRONMENT, seconds=6)
    assert FOREIGN.lower() in ids(world)


@pytest.mark.parametrize("way", ["deleted", "tagged"])
async def test_the_environment_goes_on_when_a_foreign_resource_is_dealt_with(world, way):
    await with_foreign_gateway(world, {})
    if way == "deleted":
        world.emulator.engine.remove(found(world, "/natGateways/nat"))
    else:
        found(world, "/natGateways/nat").body["tags"] = {"hpc-environment": "hpc/climate"}
    await drift(world)
    await world.run_until(lambda: condition(world, ENVIRONMENT, "Stalled")[0] == "absent", seconds=4)
    await world.run_until(world.ready, seconds=4)
    assert found(world, "/natGateways/nat").body["tags"]["department"] == "climate"


@pytest.mark.parametrize("tags", [{}, {"hpc-environment": "other/climate"}])
async def test_a_resource_group_of_others_is_left_alone(world, tags):
    group = GROUP.replace("resourcegroups", "resourceGroups")
    put_behind_our_back(world, group, tags=tags)
    theirs = f"{group}/providers/Microsoft.Network/publicIPAddresses/theirs"
    put_behind_our_back(world, theirs, sku={"name": "Standard"}, properties={"publicIPAllocationMethod": "Static"})
    apply(world, lean(), tier(), partition())
    await calm(world)
    status, reason, message = condition(world, ENVIRONMENT)
    assert (status, reason) == ("False", "AlreadyExists")
    assert "resourceGroups hpc_climate" in message
    assert writes(world) == []
    await delete_all(world)
    assert ids(world) == {GROUP, theirs.lower()}


async def test_an_empty_resource_group_of_others_is_not_deleted(world):
    put_behind_our_back(world, GROUP.replace("resourcegroups", "resourceGroups"), tags={"owner": "somebody"})
    apply(world, lean())
    await calm(world)
    world.cluster.delete(*ENVIRONMENT)
    await gone(world, ENVIRONMENT, seconds=6)
    assert GROUP in ids(world)


# --- A network that exists

SITE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/site"
VNET = f"{SITE}/providers/Microsoft.Network/virtualNetworks/site"


def existing(**subnets):
    names = {"compute": "compute", "services": "services", "netApp": "netapp", **subnets}
    return {"existing": {"subnets": {role: f"{VNET}/subnets/{name}" for role, name in names.items()}}}


def make_site(world, *, without=()):
    put_behind_our_back(world, SITE)
    put_behind_our_back(world, VNET, properties={"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}})
    add_subnets(world, [name for name in ("compute", "services", "netapp") if name not in without])


def add_subnets(world, names):
    outbound = {"defaultOutboundAccess": True, "serviceEndpoints": [{"service": "Microsoft.KeyVault"}]}
    delegation = {"name": "netapp", "properties": {"serviceName": "Microsoft.NetApp/volumes"}}
    for number, name in enumerate(("compute", "services", "netapp")):
        properties = {"delegations": [delegation]} if name == "netapp" else outbound
        if name in names:
            body = {"properties": {"addressPrefix": f"10.9.{number}.0/24", **properties}}
            world.emulator.engine.create(f"{VNET}/subnets/{name}", body)


def theirs(world):
    return {
        item.key: (item.etag, str(item.body))
        for item in world.emulator.engine.store.resources.values()
        if item.key.startswith(SITE.lower())
    }


async def test_an_existing_network_is_used_and_left_as_it_is(world):
    make_site(world)
    before = theirs(world)
    await ready(world, environment(network=existing()), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}),
                partition())  # fmt: skip
    assert counts(world)["ready"] == 2
    assert not [entry for entry in writes(world) if entry["path"].lower().startswith(SITE.lower())]
    await assert_steady(world)
    await delete_all(world)
    assert {item for item in ids(world) if not item.startswith(SITE.lower())} == set()
    assert theirs(world).keys() == before.keys()
    assert not [entry for entry in writes(world) if entry["path"].lower().startswith(SITE.lower())]


async def test_a_missing_subnet_is_told_and_taken_when_it_appears(world):
    make_site(world, without=["services"])
    apply(world, environment(network=existing()), partition())
    await world.run_until(lambda: condition(world, ENVIRONMENT)[1] == "SubnetMissing", seconds=5)
    status, _, message = condition(world, ENVIRONMENT)
    assert status == "False"
    assert f"{VNET}/subnets/services does not exist" in message
    await run_for(world, 0.5)
    add_subnets(world, ["services"])
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)


async def test_an_existing_network_in_state_failed_is_not_said_to_be_put_again(world):
    make_site(world)
    found(world, "/virtualNetworks/site").state = "Failed"
    apply(world, environment(network=existing()))
    await calm(world)
    assert "put again" not in condition(world, ENVIRONMENT)[2]
    found(world, "/virtualNetworks/site").state = "Succeeded"
    await drift(world)
    await world.run_until(world.ready, seconds=10)


# --- Restarts


LIVES = {
    "create": [1, 5, 11, 16, 21, 27, 31],
    "resize": [1, 2, 4],
    "grow": [1],
    "remove": [1, 3],
    "delete": [2, 9, 16],
}


@pytest.mark.parametrize(("act", "after"), [(act, after) for act, counts_ in LIVES.items() for after in counts_])
async def test_a_process_that_dies_repeats_nothing_and_loses_nothing(world, act, after):
    things = (lean(), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}), partition())
    if act == "create":
        apply(world, *things)
    else:
        await ready(world, *things)
    before = last(world) if act != "create" else 0
    if act == "resize":
        world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    elif act == "grow":
        world.cluster.edit(*HOME, netAppFiles={"capacity": "6Ti"})
    elif act == "remove":
        world.cluster.delete(*PARTITION)
    elif act == "delete":
        for kind, name in list(world.cluster.objects):
            world.cluster.delete(kind, name)
    await world.run_until(lambda: len(writes(world, before)) >= after, seconds=10)
    await restart(world)
    if act == "delete":
        await world.run_until(lambda: not world.cluster.objects, seconds=15)
        assert ids(world) == set()
    else:
        await world.run_until(world.ready, seconds=15)
        if act == "resize":
            await world.run_until(running(world, 2, SIZES["B"]), seconds=10)
        elif act == "grow":
            await world.run_until(lambda: world.cluster.status(*HOME)["capacity"] == "6Ti", seconds=10)
        elif act == "remove":
            await gone(world, PARTITION)
        await assert_steady(world)
        left = resources(world)["microsoft.compute/virtualmachinescalesets"]
        assert left == (0 if act == "remove" else 1)
    repeated = Counter(
        (entry["method"], entry["path"].lower()) for entry in writes(world, before) if entry["status"] < 300
    )
    assert [key for key, count in repeated.items() if count > 1] == []


# --- What conditions say over a whole life


async def test_conditions_change_their_mind_only_for_a_reason(world):
    apply(world, *QUICKSTART)
    await world.run_until(world.ready, seconds=20)
    await calm(world)
    assert flaps(world) == {}, "while it is made, a condition becomes True once"
    edits = (
        lambda: world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]]),
        lambda: world.cluster.edit(*PARTITION, nodes={"min": 1, "max": 8}),
        lambda: world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "6Ti"}),
        lambda: world.cluster.edit(*ENVIRONMENT, scheduler={"slurm": {"config": ["MaxJobCount=50000"]}}),
        lambda: world.cluster.delete("StorageTier", "climate-scratch"),
    )
    for edit in edits:
        since = len(world.cluster.status_writes)
        edit()
        await calm(world)
        assert world.ready()
        assert flaps(world, since) == {}
    await assert_steady(world)


async def test_a_partition_that_grows_goes_on_being_ready(world):
    await ready(world, lean(), partition())
    since = len(world.cluster.status_writes)
    world.cluster.edit(*PARTITION, nodes={"min": 4, "max": 8})
    await world.run_until(running(world, 4), seconds=8)
    assert flaps(world, since) == {}


async def test_a_retry_that_falls_due_while_the_pass_still_runs_is_not_forgotten(world):
    await ready(world, lean())
    write = world.cluster.write_status

    async def slowly(resource, status):
        await asyncio.sleep(0.3)  # longer than the wait before the first retry
        await write(resource, status)

    world.cluster.write_status = slowly
    fault(world, "PUT", r"/networkSecurityGroups/nsg-services$", answer=answer(503, "ServiceUnavailable"))
    world.cluster.edit(*ENVIRONMENT, network={**LEAN_NETWORK, "access": {"allowedSources": ["192.0.2.0/24"]}})
    await run_for(world, 3.0)
    rules = [item for item in ids(world) if "/nsg-services/securityrules/hpc-allow-ssh-from-allowed-sources" in item]
    assert rules != []


async def test_a_tier_that_waits_for_its_environment_again_does_not_tell_what_was(world):
    await ready(world, lean(), tier(), partition())
    world.cluster.delete(*ENVIRONMENT)
    await gone(world, ENVIRONMENT)
    await calm(world)
    assert condition(world, PARTITION)[1] == "EnvironmentNotFound"
    assert counts(world).get("ready", 0) == 0


async def test_twenty_partitions_fit_into_a_status(world):
    many = [partition(f"p{number}", nodes={"min": 1, "max": 2}) for number in range(20)]
    apply(world, lean(), *many)
    await world.run_until(world.ready, seconds=20)
    await assert_steady(world)
    assert len(str(world.cluster.status(*ENVIRONMENT))) < 100_000
    assert world.passes < 400
    assert len(writes(world)) < 100


async def test_nothing_is_remembered_of_an_environment_that_is_gone(world):
    for _ in range(2):
        await ready(world, lean(), partition())
        await delete_all(world)
        await calm(world)
    assert world.reconciler._memories == {}
    assert len(world.azure._operations) == 0
    assert len(world.queue) == 0
    assert world.cluster.cache.environments() == set()


# --- The parts that a host is made of


def raw(manifest, uid, version):
    metadata = {**manifest["metadata"], "namespace": "hpc", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "azurehpc.io/v1alpha1", **manifest, "metadata": metadata}


def test_an_object_made_anew_for_another_environment_leaves_the_first():
    cache = ObjectCache()
    cache.apply(raw(tier(), "one", 1))
    woken = cache.apply(raw(tier(environment="genomics"), "two", 2))  # the watch was cut: no DELETED in between
    assert cache.snapshot(Key("hpc", "climate")).tiers == ()
    assert len(cache.snapshot(Key("hpc", "genomics")).tiers) == 1
    assert woken == {Key("hpc", "climate"), Key("hpc", "genomics")}


async def test_an_operation_is_asked_for_however_long_nobody_answered(world):
    handle = Handle(f"{GROUP}/providers/Microsoft.Network/natGateways/nat", "PUT", "", "2026-01-01T00:00:00Z")
    ended = []
    world.azure.follow(handle, ended.append, retry_after=0.05)
    following = next(iter(world.azure._operations._followed.values()))
    following.failures = 1100  # seventeen hours at a minute each
    fault(world, "GET", "/natGateways/nat", answer=answer(503, "ServiceUnavailable"))
    await asyncio.sleep(1.0)
    assert len(ended) == 1


async def test_a_worker_survives_a_reconciliation_that_fails_for_days(monkeypatch):
    monkeypatch.setattr(host, "LONGEST_RETRY_SECONDS", 0.0)
    calls = 0

    async def fails(key):
        nonlocal calls
        calls += 1
        raise TimeoutError

    served = host.Host(lambda cluster: fails, workers=1)
    served.queue.add(Key("hpc", "climate"))
    worker = asyncio.create_task(served._work(fails))
    done, _ = await asyncio.wait([worker], timeout=2.0)
    worker.cancel()
    assert done == set(), f"ended after {calls} failures: {worker.exception()}"
