"""What `spec.policy` holds, what it lets go, and that whatever waits holds nothing else up."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from azure_emulator.faults import Fault
from hpc_operator.reconcile import environment as engine
from hpc_operator.reconcile import scope

from .conftest import QUICKSTART, partition, tier
from .test_life import GROUP, ids, last, writes
from .test_trouble import (
    ENVIRONMENT,
    HOME,
    PARTITION,
    SIZES,
    VMS,
    apply,
    assert_steady,
    calm,
    condition,
    counts,
    drift,
    ending,
    gone,
    lean,
    machines,
    ready,
    remove_behind_our_back,
    restart,
    running,
    world,
)

__all__ = ["world"]

CLOSED = {"schedule": "0 0 29 2 *", "duration": "1s"}
OPEN = {"schedule": "* * * * *", "duration": "1h"}
SMALL = {"netAppFiles": {"serviceLevel": "Premium", "capacity": "4Ti"}}
BIG = {"netAppFiles": {"serviceLevel": "Premium", "capacity": "6Ti"}}


def policy(world, **fields):
    """Write the policy anew."""
    world.cluster.edit(*ENVIRONMENT, policy=fields)


def annotate(world, **annotations):
    raw = world.cluster.objects[ENVIRONMENT]
    named = {f"azurehpc.io/{name.replace('_', '-')}": text for name, text in annotations.items()}
    world.cluster.apply(
        {"kind": raw["kind"], "metadata": {"name": "climate", "annotations": named}, "spec": raw["spec"]}
    )


def plan(world):
    return world.cluster.status(*ENVIRONMENT).get("plan", {"hash": "", "changes": []})


def waiting(world, reason=""):
    """What stands in the plan and waits, by name; only what waits for `reason` where one is named."""
    return {
        change["name"]: change["waitsFor"]
        for change in plan(world)["changes"]
        if change.get("waitsFor", "").startswith(reason) and change.get("waitsFor")
    }


def approve(world, *names, hash_=None):
    annotate(world, approve=f"{hash_ or plan(world)['hash']}:{','.join(names)}")


def written(world, since):
    """What was written, as verb and the last two parts of the path."""
    return [f"{entry['method']} {'/'.join(entry['path'].split('/')[-2:])}" for entry in writes(world, since)]


def overlap(world, verb, pattern, since):
    """The most operations of a verb that Azure was at work on at one moment, as Azure itself has it."""
    spans = [
        (operation.start, operation.end)
        for operation in world.emulator.engine.store.operations.values()
        if operation.verb == verb and re.search(pattern, operation.resource, re.IGNORECASE) and operation.start >= since
    ]
    return max((sum(start <= moment < end for start, end in spans) for moment, _ in spans), default=0)


def emulated_now(world):
    return world.emulator.clock.elapsed


async def nothing_is_written(world, since):
    await calm(world)
    lines = written(world, since)
    assert lines == [], lines


async def approve_all(world, done, seconds=20):
    """Approve whatever waits for it, until `done`: what is approved may bring to light what waits next."""

    def approved():
        if done():
            return True
        if waiting(world, "Approval: "):
            names = ",".join(waiting(world, "Approval: "))
            if (
                not world.cluster.objects[ENVIRONMENT]["metadata"]
                .get("annotations", {})
                .get("azurehpc.io/approve", "")
                .endswith(names)
            ):
                approve(world, names)
        return False

    await world.run_until(approved, seconds=seconds)


def login_nodes(count):
    return {"entryPoint": {"loginNodes": {"count": count}}}


# --- Approval of every class of change


def add_partitions(world):
    apply(world, partition("climate-a"), partition("climate-b"))


def grow_home(world):
    world.cluster.edit(*HOME, **BIG)


def other_size(world):
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    world.cluster.edit("ComputePartition", "climate-gpu", vmSizes=[SIZES["B"]])


def fewer_login_nodes(world):
    world.cluster.edit(*ENVIRONMENT, **login_nodes(1))


def delete_home(world):
    world.cluster.delete(*HOME)


def lose_identity(world):
    identities = [item for item in ids(world) if "/userassignedidentities/" in item and "/providers/" in item]
    remove_behind_our_back(world, min(identities).rpartition("/providers/")[2])


EDITABLE = tier(deletionPolicy="Delete", **SMALL)
CASES = {
    "create": ("create", (lean(),), add_partitions),
    "update": ("update", (lean(), tier()), grow_home),
    "roll": ("roll", (lean(), partition(), partition("climate-gpu")), other_size),
    "delete": ("delete", (lean(**login_nodes(3)),), fewer_login_nodes),
    "deleteData": ("deleteData", (lean(), EDITABLE), delete_home),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_class_that_wants_approval_waits_for_the_right_one(world, case):
    name, manifests, edit = CASES[case]
    await ready(world, *manifests)
    policy(world, changes={name: "Approval"})
    await calm(world)
    before = last(world)
    edit(world)
    await calm(world)
    # What is no matter of this class, such as scale sets for nodes that are not there yet, goes on.
    held = waiting(world, "Approval: ")
    assert held, plan(world)
    hash_ = plan(world)["hash"]
    assert all(f"azurehpc.io/approve='{hash_}:" in text for text in held.values())
    before = last(world)
    for value in ("0000000000:" + ",".join(held), f"{hash_}:", f"{hash_}:another,{hash_}", ",".join(held), hash_):
        annotate(world, approve=value)
        await nothing_is_written(world, before)
    assert waiting(world, "Approval: ").keys() == held.keys()
    assert world.ready() or case == "create"

    approve(world, *held)
    await world.run_until(lambda: not plan(world)["changes"], seconds=15)
    await world.run_until(world.ready, seconds=15)
    assert written(world, before)
    await assert_steady(world)


@pytest.mark.parametrize("case", ["create", "update", "roll", "delete"])
async def test_one_of_two_is_approved_and_the_other_waits_on(world, case):
    name, manifests, edit = CASES[case]
    await ready(world, *manifests)
    policy(world, changes={name: "Approval"})
    edit(world)
    await calm(world)
    held = waiting(world, "Approval: ")
    first = min(held, key=lambda item: ("networkInterfaces" in item, item))
    before = last(world)
    approve(world, first)
    await world.run_until(lambda: first not in waiting(world), seconds=10)
    await calm(world)
    assert written(world, before), "the change that was approved is made"
    others = held.keys() - {first}
    assert waiting(world, "Approval: ").keys() == others, "and no other one"
    assert all(first in text for text in waiting(world).values()) or not plan(world)["hash"], (
        "the command for the rest takes nothing back"
    )


async def test_an_approval_alone_wakes_the_engine(world):
    """The annotation is no edit of the specification: its generation stays."""
    await ready(world, lean(), tier())
    policy(world, changes={"update": "Approval"})
    grow_home(world)
    await calm(world)
    generation = world.cluster.objects[ENVIRONMENT]["metadata"]["generation"]
    passes, before = world.passes, last(world)
    approve(world, *waiting(world))
    assert await world._one_pass(0.3)
    assert world.passes > passes
    assert world.cluster.objects[ENVIRONMENT]["metadata"]["generation"] == generation
    await world.run_until(lambda: written(world, before), seconds=2)


async def test_what_is_not_ours_wakes_nobody(world):
    await ready(world, lean())
    passes = world.passes
    raw = world.cluster.objects[ENVIRONMENT]
    world.cluster.apply(
        {
            "kind": raw["kind"],
            "metadata": {"name": "climate", "annotations": {"example.org/note": "hello"}},
            "spec": raw["spec"],
        }
    )
    await calm(world)
    assert world.passes == passes


async def test_a_whole_environment_waits_for_approval_and_is_built_as_it_comes(world):
    apply(world, lean(policy={"changes": {"create": "Approval"}}), partition())
    await calm(world)
    assert ids(world) == set()
    names = [change["name"] for change in plan(world)["changes"]]
    assert len(names) == len(set(names)), "a name stands for one change"
    status, reason, message = condition(world, ENVIRONMENT)
    assert (status, reason) == ("False", "Approval")
    assert "waits for: Approval: run `kubectl annotate" in message
    group = next(name for name in names if name.startswith("resourceGroups "))
    approve(world, group)
    await calm(world)
    assert [item for item in ids(world) if "/providers/" not in item] == [GROUP]
    assert [item for item in ids(world) if "/providers/" in item] == []
    approve(world, *names)
    await world.run_until(world.ready, seconds=20)
    await assert_steady(world)


async def test_an_approval_is_for_the_specifications_that_were_seen(world):
    await ready(world, lean(), tier())
    policy(world, changes={"update": "Approval"})
    grow_home(world)
    await calm(world)
    seen, names = plan(world)["hash"], tuple(waiting(world))
    world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "8Ti"})
    await calm(world)
    before = last(world)
    approve(world, *names, hash_=seen)
    await nothing_is_written(world, before)
    assert all("what was approved is another plan" in text for text in waiting(world).values())


async def test_an_approval_outlives_a_restart_and_an_edit_of_the_policy(world):
    await ready(world, lean(), tier())
    policy(world, changes={"update": "Approval"}, freeze=True)
    grow_home(world)
    await calm(world)
    assert set(waiting(world)) == set(waiting(world, "The end of the freeze"))
    names = tuple(waiting(world))
    approve(world, *names)
    before = last(world)
    await nothing_is_written(world, before)
    await restart(world)
    await nothing_is_written(world, before)
    policy(world, changes={"update": "Approval"})
    await world.run_until(lambda: world.cluster.status(*HOME).get("capacity") == "6Ti", seconds=10)
    await assert_steady(world)


async def test_what_azure_cannot_change_waits_where_it_is_asked_to(world):
    """An identity that was deleted comes back as another one, and the assignments of the old one are of no use."""
    await ready(world, lean(policy={"changes": {"replace": "Approval"}}))
    before = last(world)
    lose_identity(world)
    await drift(world)
    replaced = {change["name"]: change for change in plan(world)["changes"] if change["action"] == "Replace"}
    assert replaced
    assert all(change["waitsFor"].startswith("Approval: ") for change in replaced.values())
    assert [line for line in written(world, before) if line.startswith("DELETE")] == []
    before = last(world)
    approve(world, *replaced)
    await world.run_until(lambda: not plan(world)["changes"], seconds=10)
    assert Counter(line.split()[0] for line in written(world, before)) == {
        "DELETE": len(replaced),
        "PUT": len(replaced),
    }
    await world.run_until(world.ready, seconds=5)
    await assert_steady(world)


async def test_a_replacement_that_has_begun_is_finished(world):
    await ready(world, lean())
    policy(world, changes={"create": "Approval", "replace": "Automatic"})
    await calm(world)
    lose_identity(world)
    await drift(world)
    lost = waiting(world, "Approval: ")
    assert len(lost) == 1, "only what somebody deleted waits to be made"
    approve(world, *lost)
    await world.run_until(lambda: not plan(world)["changes"], seconds=10)
    await world.run_until(world.ready, seconds=5)


# --- What waits holds nothing else up


async def test_a_waiting_change_holds_up_nothing_that_does_not_depend_on_it(world):
    await ready(world, lean(), tier(), partition(), partition("climate-gpu"))
    policy(world, changes={"update": "Approval", "roll": "Approval"})
    grow_home(world)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    held = waiting(world)
    assert len(held) == 3
    apply(world, partition("climate-new"))
    await world.run_until(running_of(world, "climate-new", 2), seconds=10)
    world.cluster.edit("ComputePartition", "climate-new", nodes={"min": 3, "max": 8})
    await world.run_until(running_of(world, "climate-new", 3), seconds=10)
    world.cluster.delete("ComputePartition", "climate-gpu")
    await gone(world, ("ComputePartition", "climate-gpu"))
    await calm(world)
    # The scheduler's configuration names partitions: to bring it in step is an update, too.
    assert waiting(world).keys() - held.keys() <= {"runCommands scheduler/slurm-configuration"}
    assert waiting(world).keys() >= held.keys()
    assert world.ready()


def running_of(world, name, count):
    def holds():
        now = counts(world, name)
        return [now.get(key) for key in ("ready", "creating", "deleting", "failed")] == [count, 0, 0, 0]

    return holds


async def test_what_depends_on_a_waiting_creation_waits_and_says_for_what(world):
    await ready(world, lean())
    policy(world, changes={"create": "Approval"})
    apply(world, partition())
    await calm(world)
    (name,) = waiting(world, "Approval: ")
    assert "virtualMachineScaleSets" in name
    assert machines(world) == set()
    status, reason, message = condition(world, PARTITION)
    assert (status, reason) == ("False", "Approval")
    assert "azurehpc.io/approve" in message


# --- A roll that waits


def generations(world):
    """How many nodes there are of each VM size."""
    return Counter(
        item.body["properties"]["hardwareProfile"]["vmSize"]
        for item in world.emulator.engine.store.resources.values()
        if "/virtualmachines/climate-hpc-" in item.key and item.type.lower() == "microsoft.compute/virtualmachines"
    )


async def test_nodes_come_and_go_while_a_roll_waits(world):
    await ready(world, lean(), partition())
    policy(world, changes={"roll": "Approval"})
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    old = machines(world)
    assert "nodes of climate-hpc" in waiting(world, "Approval: ")
    world.cluster.edit(*PARTITION, nodes={"min": 4, "max": 8})
    await world.run_until(running_of(world, "climate-hpc", 4), seconds=10)
    await calm(world)
    assert old <= machines(world), "a roll begins with an approval, not with a job that wants more nodes"
    assert "nodes of climate-hpc" in waiting(world, "Approval: ")
    world.cluster.edit(*PARTITION, nodes={"min": 1, "max": 8})
    await world.run_until(running_of(world, "climate-hpc", 1), seconds=10)
    await calm(world)
    assert "nodes of climate-hpc" in waiting(world, "Approval: ") or generations(world) == {SIZES["B"]: 1}
    approve(world, "nodes of climate-hpc")
    await world.run_until(running(world, 1, SIZES["B"]), seconds=10)
    await world.run_until(lambda: not plan(world)["changes"], seconds=10)
    assert generations(world) == {SIZES["B"]: 1}
    await assert_steady(world)


async def test_a_waiting_roll_survives_a_restart_after_scaling(world):
    await ready(world, lean(), partition())
    policy(world, changes={"roll": "Approval"})
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]], nodes={"min": 3, "max": 8})
    await world.run_until(running_of(world, "climate-hpc", 3), seconds=10)
    before = machines(world)
    await restart(world)
    await calm(world)
    assert machines(world) == before
    assert "nodes of climate-hpc" in waiting(world, "Approval: ")


async def test_a_node_that_fails_while_a_roll_waits_is_replaced(world):
    await ready(world, lean(), partition())
    policy(world, changes={"roll": "Approval"})
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    lost = min(machines(world))
    remove_behind_our_back(world, f"/virtualmachines/{lost}")
    await drift(world)
    await world.run_until(running_of(world, "climate-hpc", 2), seconds=10)
    await calm(world)
    assert "nodes of climate-hpc" in waiting(world, "Approval: ")
    assert generations(world)[SIZES["A"]] >= 1, "the other old node serves on"


async def test_a_roll_that_is_taken_back_is_no_change_any_more(world):
    await ready(world, lean(), partition())
    policy(world, changes={"roll": "Approval"})
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    before = machines(world)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["A"]])
    await calm(world)
    assert machines(world) == before
    assert plan(world)["changes"] == []
    await assert_steady(world)


async def test_a_roll_that_was_approved_is_finished_by_whoever_comes_next(world):
    await ready(world, lean(policy={"changes": {"roll": "Approval"}}), partition(nodes={"min": 3, "max": 8}))
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    approve(world, "nodes of climate-hpc")
    await world.run_until(lambda: generations(world)[SIZES["B"]] == 1, seconds=10)
    annotate(world, approve="")
    await restart(world)
    await world.run_until(running(world, 3, SIZES["B"]), seconds=15)
    await calm(world)
    assert generations(world) == {SIZES["B"]: 3}


async def test_another_edit_in_the_middle_of_an_approved_roll_waits_again(world):
    await ready(world, lean(policy={"changes": {"roll": "Approval"}}), partition(nodes={"min": 3, "max": 8}))
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    approve(world, "nodes of climate-hpc")
    await world.run_until(lambda: generations(world)[SIZES["B"]] >= 2, seconds=10)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["C"]])
    await calm(world)
    assert "nodes of climate-hpc" in waiting(world, "Approval: ")
    there = generations(world)
    assert there[SIZES["C"]] == 0
    assert sum(there.values()) >= 3
    approve(world, "nodes of climate-hpc")
    await world.run_until(running(world, 3, SIZES["C"]), seconds=15)


# --- Maintenance windows


async def test_a_closed_window_holds_changes_and_neither_creation_nor_scaling(world):
    await ready(world, lean(**login_nodes(2)), tier(), partition())
    policy(world, maintenanceWindows=[CLOSED])
    world.cluster.edit(*ENVIRONMENT, **login_nodes(1))
    grow_home(world)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    before = last(world)
    assert {change["action"] for change in plan(world)["changes"]} >= {"Update", "Roll", "Delete"}
    held = waiting(world, "The maintenance window: ")
    assert "nodes of climate-hpc" in held
    assert any("capacityPools" in name for name in held)
    assert any("virtualMachines" in name for name in held)
    apply(world, partition("climate-new"))
    await world.run_until(running_of(world, "climate-new", 2), seconds=10)
    await calm(world)
    assert all(line.startswith("PUT") for line in written(world, before))
    assert waiting(world, "The maintenance window: ").keys() >= held.keys()
    policy(world, maintenanceWindows=[CLOSED, OPEN])
    await world.run_until(lambda: not plan(world)["changes"], seconds=20)
    await assert_steady(world)


async def test_an_open_window_holds_nothing(world):
    await ready(world, lean(policy={"maintenanceWindows": [OPEN]}), tier())
    grow_home(world)
    await world.run_until(lambda: world.cluster.status(*HOME).get("capacity") == "6Ti", seconds=10)
    await assert_steady(world)


class Clock(datetime):
    """The time of day as the engine sees it, put forward."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.ahead


async def test_the_engine_wakes_when_the_window_opens(world, monkeypatch):
    await ready(world, lean(), tier())
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    monkeypatch.setattr(Clock, "ahead", midnight - now - timedelta(hours=1))
    monkeypatch.setattr(scope, "datetime", Clock)
    monkeypatch.setattr(engine, "datetime", Clock)
    policy(world, maintenanceWindows=[{"schedule": "0 0 * * *", "duration": "1h"}])
    grow_home(world)
    await calm(world)
    held = waiting(world, "The maintenance window: ")
    assert held
    monkeypatch.setattr(Clock, "ahead", midnight - datetime.now(UTC) - timedelta(seconds=1))
    for key in world.cluster.cache.environments():
        world.queue.add(key)
    await world.run_until(lambda: world.cluster.status(*HOME).get("capacity") == "6Ti", seconds=5)


async def test_a_roll_that_has_begun_is_finished_when_the_window_closes(world):
    await ready(world, lean(policy={"maintenanceWindows": [OPEN]}), partition(nodes={"min": 3, "max": 8}))
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(lambda: generations(world)[SIZES["B"]] == 1, seconds=10)
    policy(world, maintenanceWindows=[CLOSED])
    await world.run_until(running(world, 3, SIZES["B"]), seconds=15)
    await calm(world)
    assert plan(world)["changes"] == []


async def test_approved_is_not_yet_now(world):
    await ready(world, lean(), tier())
    policy(world, changes={"update": "Approval"}, maintenanceWindows=[CLOSED])
    grow_home(world)
    await calm(world)
    before = last(world)
    approve(world, *waiting(world, "Approval: "))
    await nothing_is_written(world, before)
    assert waiting(world, "The maintenance window: ")
    policy(world, changes={"update": "Approval"}, maintenanceWindows=[OPEN])
    await world.run_until(lambda: world.cluster.status(*HOME).get("capacity") == "6Ti", seconds=10)


# --- Freeze


async def test_a_freeze_in_the_middle_of_a_creation_starts_nothing_more(world):
    apply(world, lean(), partition())
    await world.run_until(lambda: len(writes(world)) >= 10, seconds=10)
    policy(world, freeze=True)
    assert await world._one_pass(0.5)
    before = last(world)
    await nothing_is_written(world, before)
    assert not world.azure._operations, "what was under way has ended"
    status, reason, message = condition(world, ENVIRONMENT)
    assert (status, reason) == ("False", "Freeze")
    assert message.endswith("set spec.policy.freeze to false")
    await drift(world)
    assert written(world, before) == []
    policy(world)
    await world.run_until(world.ready, seconds=20)
    assert [line for line, count in Counter(written(world, 0)).items() if count > 1] == []
    await assert_steady(world)


async def test_a_freeze_in_the_middle_of_a_roll_lets_it_finish(world):
    await ready(world, lean(), partition(nodes={"min": 3, "max": 8}))
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(lambda: generations(world)[SIZES["B"]] == 1, seconds=10)
    policy(world, freeze=True)
    await world.run_until(running(world, 3, SIZES["B"]), seconds=15)
    await calm(world)
    assert generations(world) == {SIZES["B"]: 3}
    assert not [item for item in waiting(world) if item.startswith("nodes")]


async def test_a_freeze_before_a_roll_holds_it_and_lets_nodes_come_and_go(world):
    await ready(world, lean(), partition())
    policy(world, freeze=True)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    old = machines(world)
    assert "nodes of climate-hpc" in waiting(world, "The end of the freeze")
    world.cluster.edit(*PARTITION, nodes={"min": 1, "max": 8})
    await world.run_until(running_of(world, "climate-hpc", 1), seconds=10)
    assert machines(world) < old
    policy(world)
    await world.run_until(running(world, 1, SIZES["B"]), seconds=10)


async def test_a_freeze_lets_nodes_of_a_partition_come_and_go(world):
    await ready(world, lean(policy={"freeze": False}), partition())
    policy(world, freeze=True)
    for count in (4, 1):
        world.cluster.edit(*PARTITION, nodes={"min": count, "max": 8})
        await world.run_until(running_of(world, "climate-hpc", count), seconds=10)
    await assert_steady(world)


async def test_a_freeze_holds_the_deletion_of_a_partition(world):
    await ready(world, lean(), partition())
    policy(world, freeze=True)
    await calm(world)
    before = last(world)
    world.cluster.delete(*PARTITION)
    await nothing_is_written(world, before)
    assert PARTITION in world.cluster.objects
    policy(world)
    await gone(world, PARTITION)


# --- Dry run


async def test_a_dry_run_of_a_new_environment_writes_nothing_at_all(world):
    apply(world, *QUICKSTART)
    policy(world, dryRun=True)
    await calm(world)
    await drift(world)
    await restart(world)
    await calm(world)
    assert ids(world) == set()
    assert writes(world) == []
    found = plan(world)
    assert found["summary"].endswith("waiting")
    assert {change["action"] for change in found["changes"]} == {"Create"}
    assert all(text.startswith("The end of the dry run") for text in waiting(world).values())
    assert len(waiting(world)) == len(found["changes"])
    for owner in (ENVIRONMENT, HOME, PARTITION):
        status, reason, message = condition(world, owner)
        assert (status, reason) == ("False", "DryRun")
        assert "set spec.policy.dryRun to false" in message
    policy(world)
    await world.run_until(world.ready, seconds=30)
    await assert_steady(world)


async def test_an_environment_that_was_only_tried_is_deleted_without_a_trace(world):
    apply(world, *QUICKSTART)
    policy(world, dryRun=True)
    await calm(world)
    for owner in list(world.cluster.objects):
        world.cluster.delete(*owner)
    await world.run_until(lambda: not world.cluster.objects, seconds=10)
    assert writes(world) == []


def retag(world):
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})


def other_size_and_more(world):
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]], nodes={"min": 4, "max": 8})


def other_size_and_fewer(world):
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]], nodes={"min": 1, "max": 8})


def more_nodes(world):
    world.cluster.edit(*PARTITION, nodes={"min": 4, "max": 8})


def delete_partition(world):
    world.cluster.delete(*PARTITION)


def new_partition(world):
    apply(world, partition("climate-new"))


def lose_a_rule(world):
    remove_behind_our_back(
        world, next(item for item in sorted(ids(world)) if "/securityrules/" in item).rpartition("/providers/")[2]
    )


DRY_EDITS = (
    retag,
    grow_home,
    other_size_and_more,
    other_size_and_fewer,
    more_nodes,
    fewer_login_nodes,
    delete_home,
    delete_partition,
    new_partition,
    lose_identity,
)


@pytest.mark.parametrize("edit", DRY_EDITS, ids=lambda edit: edit.__name__)
async def test_a_dry_run_of_what_runs_shows_every_change_and_makes_none(world, edit):
    await ready(world, lean(**login_nodes(2)), EDITABLE, partition())
    policy(world, dryRun=True)
    await calm(world)
    assert plan(world)["changes"] == []
    before, there = last(world), ids(world)
    edit(world)
    await calm(world)
    await drift(world)
    await restart(world)
    await calm(world)
    await nothing_is_written(world, before)
    assert ids(world) <= there
    assert plan(world)["changes"], "what would be done is shown"
    assert {text.partition(":")[0] for text in waiting(world).values()} == {"The end of the dry run"}
    assert len(waiting(world)) == len(plan(world)["changes"])
    policy(world)
    await approve_all(world, lambda: not plan(world)["changes"])
    assert written(world, before), "and is done when the dry run ends"
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)


async def test_a_dry_run_leaves_a_failed_node_alone(world):
    await ready(world, lean(), partition())
    world.emulator.faults.add(
        Fault.model_validate({"method": "PUT", "path": VMS, "operation": ending(500, "OSProvisioningTimedOut")})
    )
    world.cluster.edit(*PARTITION, nodes={"min": 3, "max": 8})
    await world.run_until(lambda: counts(world).get("creating") == 1, seconds=5)
    policy(world, dryRun=True)
    before = last(world)
    await nothing_is_written(world, before)
    policy(world)
    await world.run_until(running(world, 3), seconds=10)


async def test_a_dry_run_in_the_middle_of_a_creation_follows_what_runs_and_starts_nothing(world):
    apply(world, lean(), partition())
    await world.run_until(lambda: len(writes(world)) >= 10, seconds=10)
    policy(world, dryRun=True)
    assert await world._one_pass(0.5)
    before = last(world)
    await nothing_is_written(world, before)
    assert "operations" not in world.cluster.status(*ENVIRONMENT)
    policy(world)
    await world.run_until(world.ready, seconds=20)
    await assert_steady(world)


async def test_a_dry_run_in_the_middle_of_a_roll_stops_it(world):
    await ready(world, lean(), partition(nodes={"min": 3, "max": 8}))
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(lambda: generations(world)[SIZES["B"]] == 1, seconds=10)
    policy(world, dryRun=True)
    assert await world._one_pass(0.5)
    before = last(world)
    await nothing_is_written(world, before)
    assert "nodes of climate-hpc" in waiting(world, "The end of the dry run")
    policy(world)
    await world.run_until(running(world, 3, SIZES["B"]), seconds=15)


# --- Deletion under a policy

HOLDS = {
    "dryRun": ({"dryRun": True}, "The end of the dry run", "DryRun"),
    "freeze": ({"freeze": True}, "The end of the freeze", "Freeze"),
    "window": ({"maintenanceWindows": [CLOSED]}, "The maintenance window", "MaintenanceWindow"),
    "approval": ({"changes": {"delete": "Approval", "deleteData": "Approval"}}, "Approval: ", "Approval"),
}


@pytest.mark.parametrize(
    ("what", "hold"),
    [
        pytest.param(
            what,
            hold,
            id=f"{what[0]}-{hold}",
        )
        for what in (HOME, PARTITION, ENVIRONMENT)
        for hold in HOLDS
    ],
)
async def test_a_deletion_waits_says_so_and_goes_on(world, hold, what):
    fields, text, reason = HOLDS[hold]
    await ready(world, lean(), EDITABLE, partition())
    policy(world, **fields)
    await calm(world)
    before, there = last(world), ids(world)
    for owner in list(world.cluster.objects) if what == ENVIRONMENT else [what]:
        world.cluster.delete(*owner)
    await calm(world)
    await restart(world)
    await calm(world)
    # By these approvals updates go on, such as that of the scheduler's configuration.
    made = [line for line in written(world, before) if hold != "approval" or line.startswith("DELETE")]
    assert made == [], made
    assert ids(world) == there
    assert what in world.cluster.objects
    assert waiting(world)
    assert all(item.startswith(text) for item in waiting(world).values()), waiting(world)
    status, found, message = condition(world, what)
    assert (status, found) == ("False", reason), "who looks at the object reads what its deletion waits for"
    assert text.strip(": ") in message
    if hold == "approval":
        await approve_all(world, lambda: what not in world.cluster.objects)
    else:
        policy(world)
        await gone(world, what)


@pytest.mark.parametrize("hold", ["freeze", "window", "approval"])
async def test_the_deletion_of_a_partition_that_has_begun_is_finished(world, hold):
    """Its nodes go one after the other; what is gone must not come back because the rest may not go."""
    await ready(world, lean(policy={"limits": {"nodesAtOnce": 1}}), partition(nodes={"min": 4, "max": 8}))
    world.cluster.delete(*PARTITION)
    await world.run_until(lambda: len(machines(world)) <= 2, seconds=10)
    before = last(world)
    policy(world, limits={"nodesAtOnce": 1}, **HOLDS[hold][0])
    await gone(world, PARTITION, seconds=8)
    assert [line for line in written(world, before) if "climate-hpc" in line and not line.startswith("DELETE")] == []


@pytest.mark.parametrize("hold", ["freeze", "window", "approval"])
async def test_the_deletion_of_a_tier_that_has_begun_is_finished(world, hold):
    await ready(world, lean(), EDITABLE)
    world.cluster.delete(*HOME)
    await world.run_until(lambda: not [item for item in ids(world) if "/volumes/" in item], seconds=10)
    before, events = last(world), len(world.cluster.events)
    policy(world, **HOLDS[hold][0])
    await gone(world, HOME, seconds=8)
    assert [line for line in written(world, before) if "climate-home" in line and not line.startswith("DELETE")] == []
    said = {reason for _, _, reason, _ in world.cluster.events[events:]}
    assert "Drift" not in said, "nobody else deleted it"


async def test_a_dry_run_in_the_middle_of_a_deletion_stops_it(world):
    await ready(world, lean(policy={"limits": {"nodesAtOnce": 1}}), partition(nodes={"min": 4, "max": 8}))
    world.cluster.delete(*PARTITION)
    await world.run_until(lambda: len(machines(world)) <= 2, seconds=10)
    policy(world, dryRun=True)
    assert await world._one_pass(0.5)
    before = last(world)
    await nothing_is_written(world, before)
    assert {change["action"] for change in plan(world)["changes"] if "climate-hpc" in change["name"]} == {"Delete"}
    policy(world)
    await gone(world, PARTITION)


async def test_a_dry_run_in_the_middle_of_a_deletion_plans_to_bring_nothing_back(world):
    await ready(world, lean(), EDITABLE)
    world.cluster.delete(*HOME)
    await world.run_until(lambda: not [item for item in ids(world) if "/volumes/" in item], seconds=10)
    policy(world, dryRun=True)
    await calm(world)
    assert "Create" not in {change["action"] for change in plan(world)["changes"]}
    policy(world)
    await gone(world, HOME)


# --- Limits

NO_NODE = r"/providers/(?!.*/climate-hpc-[^/]+-\d+)"
"""Nodes have a limit of their own."""


async def test_no_more_deletions_at_once_than_allowed(world):
    await ready(world, lean(**login_nodes(4)), partition())
    policy(world, limits={"deletesAtOnce": 2})
    await calm(world)
    since = emulated_now(world)
    for owner in list(world.cluster.objects):
        world.cluster.delete(*owner)
    await world.run_until(lambda: not world.cluster.objects, seconds=90)
    assert 1 <= overlap(world, "DELETE", NO_NODE, since) <= 2
    assert ids(world) == set()


async def test_without_a_limit_more_is_deleted_at_once(world):
    """What the test above counts is the limit, and not an accident of the order."""
    await ready(world, lean(**login_nodes(4)), partition())
    since = emulated_now(world)
    for owner in list(world.cluster.objects):
        world.cluster.delete(*owner)
    await world.run_until(lambda: not world.cluster.objects, seconds=30)
    assert overlap(world, "DELETE", NO_NODE, since) > 2


@pytest.mark.parametrize("way", ["create", "scale", "roll", "shrink", "two partitions", "restart"])
async def test_no_more_nodes_on_their_way_than_allowed(world, way):
    limited = {"policy": {"limits": {"nodesAtOnce": 2}}}
    nodes = partition(nodes={"min": 5, "max": 8}, rollout={"maxSurge": 4})
    others = [partition("climate-gpu", nodes={"min": 5, "max": 8})] if way == "two partitions" else []
    await ready(world, lean(**limited), *([] if way in {"create", "two partitions"} else [nodes]))
    since = emulated_now(world)
    if way in {"create", "two partitions"}:
        apply(world, nodes, *others)
        await world.run_until(running_of(world, "climate-hpc", 5), seconds=20)
        for other in others:
            await world.run_until(running_of(world, other["metadata"]["name"], 5), seconds=20)
    elif way == "roll":
        world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
        await world.run_until(running(world, 5, SIZES["B"]), seconds=20)
    elif way == "shrink":
        world.cluster.edit(*PARTITION, nodes={"min": 0, "max": 8})
        await world.run_until(lambda: not machines(world), seconds=20)
    else:
        world.cluster.edit(*PARTITION, nodes={"min": 8, "max": 8})
        if way == "restart":
            await world.run_until(lambda: counts(world).get("creating") == 2, seconds=10)
            await restart(world)
        await world.run_until(running_of(world, "climate-hpc", 8), seconds=20)
    moves = [
        (operation.start, operation.end)
        for operation in world.emulator.engine.store.operations.values()
        if re.search(r"/virtualMachines/climate-(hpc|gpu)-[^/]+$", operation.resource, re.IGNORECASE)
        and operation.start >= since
    ]
    assert moves
    assert max(sum(start <= moment < end for start, end in moves) for moment, _ in moves) <= 2


async def test_the_limit_of_nodes_counts_for_a_partition_that_goes(world):
    await ready(world, lean(policy={"limits": {"nodesAtOnce": 2}}), partition(nodes={"min": 5, "max": 8}))
    since = emulated_now(world)
    world.cluster.delete(*PARTITION)
    await gone(world, PARTITION)
    assert 1 <= overlap(world, "DELETE", VMS, since) <= 2


async def test_the_steady_state_of_a_waiting_environment_is_quiet(world):
    await ready(world, lean(**login_nodes(2)), EDITABLE, partition())
    policy(world, freeze=True, changes={"update": "Approval"})
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    world.cluster.edit(*ENVIRONMENT, **login_nodes(1))
    grow_home(world)
    await calm(world)
    await assert_steady(world)
    passes = world.passes
    await calm(world)
    assert world.passes == passes
