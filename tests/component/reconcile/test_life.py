"""A whole life of an environment: it becomes Ready, is edited, loses parts, and goes."""

from collections import Counter

import pytest

from .conftest import QUICKSTART, environment, partition, tier

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/hpc_climate"


def writes(world, since=0):
    return [
        entry
        for entry in world.emulator.requests
        if entry["sequence"] > since and entry["method"] in {"PUT", "PATCH", "DELETE"}
    ]


def last(world):
    return world.emulator.requests[-1]["sequence"]


def resources(world):
    """Types and names of everything in Azure."""
    found = Counter()
    for item in world.emulator.engine.store.resources.values():
        found[item.type.lower()] += 1
    return found


def ids(world):
    return {item.id.lower() for item in world.emulator.engine.store.resources.values()}


async def make_ready(world, *manifests):
    for manifest in manifests or QUICKSTART:
        world.cluster.apply(manifest)
    await world.run_until(world.ready)
    await world.settle()
    assert world.ready()


async def test_an_environment_becomes_ready_and_then_nothing_happens(world):
    await make_ready(world)
    puts = Counter(entry["path"].lower() for entry in writes(world))
    assert {path: count for path, count in puts.items() if count > 1} == {}, "one request creates one resource"
    status = world.cluster.status("HPCEnvironment", "climate")
    assert status["step"] == "-"
    assert "operations" not in status
    assert {item["type"]: item["status"] for item in status["conditions"]} == dict.fromkeys(
        (
            *("Ready", "PreflightPassed", "InfrastructureReady", "BaseServicesReady"),
            *("StorageReady", "ComputeReady", "EntryPointReady"),
        ),
        "True",
    )
    assert {item["state"] for item in status["resources"]} == {"Ready"}
    assert status["summary"]["nodes"] == "2/8"
    assert status["loginNodes"][0]["privateIPAddress"].startswith("10.40.")
    home = world.cluster.status("StorageTier", "climate-home")
    assert home["capacity"] == "4Ti"
    assert home["mount"]["source"].endswith(":/climate-home")
    nodes = world.cluster.status("ComputePartition", "climate-hpc")["nodes"]
    assert nodes == {"desired": 2, "ready": 2, "updated": 2, "creating": 0, "deleting": 0, "failed": 0}

    before, written = last(world), len(world.cluster.status_writes)
    world.queue.add(next(iter(world.cluster.cache.environments())))
    await world.settle()
    assert writes(world, before) == []
    assert world.cluster.status_writes[written:] == []


async def test_drift_is_looked_for_with_reads_alone(world):
    await make_ready(world)
    before, written = last(world), len(world.cluster.status_writes)
    await world.restart()
    await world.settle()
    assert writes(world, before) == []
    assert len(world.cluster.status_writes) == written


async def test_a_vm_size_edit_brings_new_nodes_before_old_ones_go(world):
    await make_ready(world)
    least = []
    world.cluster.edit("ComputePartition", "climate-hpc", vmSizes=["Standard_HB176rs_v4"])

    def done():
        nodes = world.cluster.status("ComputePartition", "climate-hpc").get("nodes", {})
        least.append(nodes["ready"])
        assert world.cluster.condition("ComputePartition", "climate-hpc")["status"] == "True"
        machines = [
            item for item in ids(world) if "/virtualmachines/climate-hpc-" in item and "/runcommands/" not in item
        ]
        assert len(machines) <= 3
        return world.cluster.status("ComputePartition", "climate-hpc")["vmSize"] == "Standard_HB176rs_v4" and (
            nodes["updated"],
            nodes["ready"],
            nodes["deleting"],
            nodes["creating"],
        ) == (2, 2, 0, 0)

    before = last(world)
    await world.run_until(done)
    await world.settle()
    assert min(least) == 2
    assert world.ready()
    assert resources(world)["microsoft.compute/virtualmachinescalesets"] == 1
    touched = {entry["path"].lower().rsplit("/", 2)[1] for entry in writes(world, before)}
    assert touched <= {"virtualmachines", "virtualmachinescalesets"}
    assert {
        item["type"]: item["status"] for item in world.cluster.status("ComputePartition", "climate-hpc")["conditions"]
    } == {"Ready": "True", "QuotaSufficient": "True"}


async def test_a_fallback_size_appended_changes_nothing(world):
    await make_ready(world)
    before = last(world)
    world.cluster.edit("ComputePartition", "climate-hpc", vmSizes=["Standard_HB120rs_v3", "Standard_HB176rs_v4"])
    await world.settle()
    assert writes(world, before) == []


async def test_scaling_adds_and_removes_single_nodes(world):
    await make_ready(world, environment(), partition())
    world.cluster.edit("ComputePartition", "climate-hpc", nodes={"min": 4, "max": 8})
    await world.run_until(lambda: world.cluster.status("ComputePartition", "climate-hpc")["nodes"]["ready"] == 4)
    before = last(world)
    world.cluster.edit("ComputePartition", "climate-hpc", nodes={"min": 1, "max": 8})
    await world.run_until(
        lambda: (
            [world.cluster.status("ComputePartition", "climate-hpc")["nodes"][key] for key in ("ready", "deleting")]
            == [1, 0]
        )
    )
    assert [entry["method"] for entry in writes(world, before)] == ["DELETE"] * 3


async def test_a_netapp_tier_grows_in_place(world):
    await make_ready(world)
    before = last(world)
    world.cluster.edit("StorageTier", "climate-home", netAppFiles={"serviceLevel": "Premium", "capacity": "6Ti"})
    await world.run_until(lambda: world.cluster.status("StorageTier", "climate-home")["capacity"] == "6Ti")
    await world.settle()
    assert [(entry["method"], entry["path"].rsplit("/", 2)[1]) for entry in writes(world, before)] == [
        ("PATCH", "capacityPools"),
        ("PATCH", "volumes"),
    ]
    assert world.ready()


async def test_removing_a_partition_removes_its_machines_and_nothing_else(world):
    await make_ready(world, environment(), partition(), partition("climate-gpu", nodes={"min": 1, "max": 2}))
    before = ids(world)
    world.cluster.delete("ComputePartition", "climate-hpc")
    await world.run_until(lambda: ("ComputePartition", "climate-hpc") not in world.cluster.objects)
    await world.settle()
    gone = before - ids(world)
    assert {item.rsplit("/", 2)[1] for item in gone} >= {"virtualmachines", "disks", "networkinterfaces"}
    assert all("climate-hpc" in item for item in gone)
    assert not [item for item in ids(world) if "climate-hpc" in item]
    assert world.ready()


async def test_deleting_an_environment_keeps_retained_data_and_says_so(world):
    await make_ready(world)
    for kind, name in list(world.cluster.objects):
        world.cluster.delete(kind, name)
    await world.run_until(lambda: not world.cluster.objects)
    left = ids(world)
    assert {item.rsplit("/", 2)[1] + "/" + item.rsplit("/", 1)[1] for item in left if "/providers/" in item} >= {
        "volumes/climate-home",
        "amlfilesystems/climate-scratch",
    }
    kinds = {item.rsplit("/", 2)[1] for item in left}
    assert not kinds & {"virtualmachines", "disks", "bastionhosts", "storageaccounts", "vaults"}
    said = [message for _, _, reason, message in world.cluster.events if reason == "DataRetained"]
    assert any("volumes/climate-home" in message for message in said)


async def test_deleting_an_environment_whose_data_may_go_leaves_nothing(world):
    await make_ready(world, environment(), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}), partition())
    for kind, name in list(world.cluster.objects):
        world.cluster.delete(kind, name)
    await world.run_until(lambda: not world.cluster.objects)
    assert ids(world) == set()


async def test_a_tier_whose_data_may_go_is_deleted_while_nodes_run(world):
    await make_ready(world, environment(), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}), partition())
    world.cluster.delete("StorageTier", "climate-home")
    await world.run_until(lambda: ("StorageTier", "climate-home") not in world.cluster.objects)
    # The subnet stays held for a while after its last volume has gone, so the first attempt at it is refused.
    await world.run_until(lambda: not [item for item in ids(world) if "netapp" in item])
    await world.settle()
    assert world.ready()
    assert world.cluster.status("ComputePartition", "climate-hpc")["nodes"]["ready"] == 2


async def test_retained_data_is_taken_up_again_by_an_environment_of_the_same_name(world):
    await make_ready(world, environment(), tier())
    for kind, name in list(world.cluster.objects):
        world.cluster.delete(kind, name)
    await world.run_until(lambda: not world.cluster.objects)
    before = last(world)
    await make_ready(world, environment(), tier())
    assert not [entry for entry in writes(world, before) if "/volumes/" in entry["path"]]


async def test_a_retained_tier_that_is_deleted_alone_keeps_its_volume(world):
    await make_ready(world, environment(), tier())
    before = ids(world)
    world.cluster.delete("StorageTier", "climate-home")
    await world.run_until(lambda: ("StorageTier", "climate-home") not in world.cluster.objects)
    await world.settle()
    # The rules that let clients mount it are not needed any more; the volume and what it stands upon are.
    assert {item for item in before - ids(world) if "/securityrules/" not in item} == set()
    assert world.ready()
    kept = {
        item["id"].rsplit("/", 2)[1]
        for item in world.cluster.status("HPCEnvironment", "climate")["resources"]
        if item["state"] == "Kept"
    }
    assert kept >= {"volumes", "capacityPools", "netAppAccounts", "subnets"}

    world.cluster.delete("HPCEnvironment", "climate")
    await world.run_until(lambda: not world.cluster.objects)
    left = {item.rsplit("/", 2)[1] for item in ids(world) if "/providers/" in item}
    assert left == {"netappaccounts", "capacitypools", "volumes", "virtualnetworks", "subnets"}


@pytest.mark.parametrize("after", [3, 9, 17, 26])
async def test_a_process_that_dies_in_the_middle_repeats_nothing(world, after):
    for manifest in QUICKSTART:
        world.cluster.apply(manifest)
    await world.run_until(lambda: len(writes(world)) >= after)
    await world.restart()
    await world.run_until(world.ready, seconds=90)
    await world.settle()
    puts = Counter(entry["path"].lower() for entry in writes(world) if entry["status"] < 300)
    assert set(puts.values()) == {1}
