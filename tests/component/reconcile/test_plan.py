"""`status.plan`: told before the first write, complete, bounded, and what `hpc-operator plan` prints of manifests."""

from __future__ import annotations

import copy
import json
import re

import pytest

from hpc_operator.api import KINDS
from hpc_operator.api.plan import CHANGES_SHOWN, Plan
from hpc_operator.policy import specification_hash
from hpc_operator.preview.render import render
from hpc_operator.reconcile.ports import Key, Snapshot

from .conftest import QUICKSTART, environment, partition, tier
from .test_life import ids, last, writes
from .test_policy import (
    BIG,
    EDITABLE,
    approve_all,
    fewer_login_nodes,
    generations,
    grow_home,
    login_nodes,
    lose_identity,
    plan,
    policy,
    waiting,
    written,
)
from .test_trouble import (
    ENVIRONMENT,
    HOME,
    PARTITION,
    SIZES,
    apply,
    calm,
    condition,
    drift,
    gone,
    known,
    lean,
    limit,
    ready,
    running,
    world,
)

__all__ = ["world"]

KEY = Key("hpc", "climate")
VIRTUAL_MACHINE = re.compile(r"/providers/microsoft.compute/virtualmachines/(climate-[^/]+)-[^/-]+-\d+$")


def listen(world):
    """Note every status that is written, with the last request that Azure had seen before."""
    heard = [
        (0, kind, raw.get("status", {})) for (kind, _), raw in world.cluster.objects.items() if kind == "HPCEnvironment"
    ]
    write = world.cluster.write_status

    async def write_status(resource, status):
        heard.append((last(world) if world.emulator.requests else 0, type(resource).__name__, status))
        await write(resource, status)

    world.cluster.write_status = write_status
    return heard


def told_before(heard, sequence):
    """The plan that stood in the environment's status when a request came."""
    plans = [
        status.get("plan", {"changes": []})
        for number, kind, status in heard
        if number < sequence and kind == "HPCEnvironment"
    ]
    return plans[-1] if plans else {"changes": []}


def untold(world, heard, since=0):
    """Writes to Azure that no plan had told of."""
    found = []
    for entry in writes(world, since):
        path = entry["path"].lower()
        told = told_before(heard, entry["sequence"])
        node = VIRTUAL_MACHINE.search(path)
        names = {change["name"] for change in told["changes"]}
        if node is not None:
            is_told = bool(names & {f"nodes of {node[1]}", f"tags of nodes of {node[1]}"})
        else:
            is_told = path in {change["id"].lower() for change in told["changes"]}
        if not is_told and not told.get("omitted"):
            found.append(f"{entry['method']} {path.rpartition('/providers/')[2]}")
    return found


def changes(world, action=None):
    return {change["name"]: change for change in plan(world)["changes"] if action is None or change["action"] == action}


def of(changes, beginning):
    """The one change whose name begins so."""
    (found,) = [change for name, change in changes.items() if name.startswith(beginning)]
    return found


# --- Before the first write


async def test_every_write_of_a_whole_life_is_told_before_it_is_sent(world):
    heard = listen(world)
    await ready(world, lean(**login_nodes(2)), EDITABLE, partition())
    assert untold(world, heard) == [], untold(world, heard)
    since = last(world)
    for edit in (
        grow_home,
        fewer_login_nodes,
        lambda world: world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]]),
        lambda world: world.cluster.edit(*PARTITION, nodes={"min": 4, "max": 8}),
        lambda world: world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"}),
        lambda world: world.cluster.delete(*HOME),
        lambda world: world.cluster.delete(*PARTITION),
    ):
        edit(world)
        await calm(world, 20)
        await world.run_until(lambda: not plan(world)["changes"], seconds=20)
        assert written(world, since)
        assert untold(world, heard, since) == [], untold(world, heard, since)
        since = last(world)
    world.cluster.delete(*ENVIRONMENT)
    await gone(world, ENVIRONMENT)
    assert untold(world, heard, since) == [], untold(world, heard, since)


async def test_an_edit_of_an_edit_is_told_before_it_is_sent(world):
    """The same change of the same resource, to another value: the plan of before tells nothing of it."""
    await ready(world, lean(), partition())
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await world.run_until(lambda: generations(world)[SIZES["B"]] == 1, seconds=10)
    heard = listen(world)
    since = last(world)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["C"]])
    await world.run_until(running(world, 2, SIZES["C"]), seconds=15)
    specified = world.cluster.snapshot(KEY)
    hash_ = specification_hash(specified.environment, specified.tiers, specified.partitions)
    stale = [
        entry["path"]
        for entry in writes(world, since)
        if told_before(heard, entry["sequence"]).get("hash", hash_) != hash_
        or not told_before(heard, entry["sequence"])["changes"]
    ]
    assert stale == [], stale


async def test_a_second_edit_of_a_field_is_told_before_it_is_sent(world):
    """What waits for a retry stands in the plan with the value of the first edit."""
    await ready(world, lean(), tier())
    policy(world, changes={"update": "Approval"})
    grow_home(world)
    await calm(world)
    heard = listen(world)
    since = last(world)
    world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "8Ti"})
    policy(world)
    await world.run_until(lambda: world.cluster.status(*HOME).get("capacity") == "8Ti", seconds=10)
    sent = [entry["sequence"] for entry in writes(world, since) if "/capacityPools/" in entry["path"]]
    told = of({change["name"]: change for change in told_before(heard, sent[0])["changes"]}, "capacityPools")
    assert told["fields"][0]["after"] == "8Ti"


async def test_the_plan_empties_as_it_is_carried_out(world):
    heard = listen(world)
    await ready(world, lean(), partition())
    plans = [status.get("plan") for _, kind, status in heard if kind == "HPCEnvironment"]
    sizes = [len(item["changes"]) + item.get("omitted", 0) if item else 0 for item in plans]
    assert sizes[0] == max(sizes) > 20
    assert sizes[-1] == 0
    assert plans[-1] is None
    hashes = {item["hash"] for item in plans if item}
    assert hashes == {world.cluster.status(*ENVIRONMENT)["specification"]}


# --- The classes, and what is said of each change


async def test_a_creation(world):
    apply(world, *QUICKSTART)
    policy(world, dryRun=True)
    await calm(world)
    found = changes(world)
    assert {change["action"] for change in found.values()} == {"Create"}
    assert all(change["why"] == "It does not exist yet." for name, change in found.items() if "nodes of" not in name)
    scheduler = of(found, "virtualMachines scheduler")
    assert re.fullmatch(r"\+\d+ standardDSv5Family cores", scheduler["quota"])
    assert re.fullmatch(r"\+\d+\.\d\d USD", scheduler["pricePerHour"])
    nodes = found["nodes of climate-hpc"]
    assert nodes["owner"] == "ComputePartition/climate-hpc"
    assert nodes["touches"] == "2 nodes"
    assert nodes["quota"] == "+240 standardHBv3Family cores"
    amounts = [
        float(change["pricePerHour"].removesuffix(" USD")) for change in found.values() if "pricePerHour" in change
    ]
    total = float(plan(world)["pricePerHour"].removesuffix(" USD"))
    assert abs(total - sum(amounts)) < 0.01 * len(amounts)


async def test_an_update_with_its_fields(world):
    await ready(world, lean(), tier())
    policy(world, dryRun=True)
    grow_home(world)
    await calm(world)
    assert changes(world).keys() == {"capacityPools netapp/climate-home", "volumes netapp/climate-home/climate-home"}
    volume = of(changes(world, "Update"), "volumes ")
    assert volume["fields"] == [{"path": "properties.usageThreshold", "before": "4Ti", "after": "6Ti"}]
    assert volume["touches"] == "its data"
    assert volume["owner"] == "StorageTier/climate-home"
    assert plan(world)["summary"] == "2 to update; 2 waiting"


async def test_a_resize_of_a_machine_counts_the_difference(world):
    await ready(world, lean())
    policy(world, dryRun=True)
    world.cluster.edit(*ENVIRONMENT, scheduler={"slurm": {"vmSize": "Standard_D16s_v5"}})
    await calm(world)
    scheduler = changes(world)["virtualMachines scheduler"]
    (field,) = scheduler["fields"]
    assert field["path"] == "properties.hardwareProfile.vmSize"
    assert field["after"] == "Standard_D16s_v5"
    cores = 16 - int(re.search(r"_D(\d+)", field["before"])[1])
    assert scheduler["quota"] == f"+{cores} standardDSv5Family cores"


async def test_a_roll_says_what_it_touches(world):
    await ready(world, lean(), partition(nodes={"min": 3, "max": 8}))
    policy(world, dryRun=True)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    roll = changes(world, "Roll")["nodes of climate-hpc"]
    assert roll["fields"] == [{"path": "vmSize", "before": SIZES["A"], "after": SIZES["B"]}]
    assert roll["touches"].startswith("3 nodes, ")
    assert roll["quota"] == "-360 standardHBv3Family, +528 standardHBv4Family cores"
    assert roll["pricePerHour"].startswith("+")


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"image": {"urn": "microsoft-dsvm:ubuntu-hpc:2204:22.04.2025030701"}}, "imageVersion"),
        ({"priority": "Spot"}, "priority"),
    ],
)
async def test_every_reason_of_a_roll_stands_in_its_fields(world, spec, path):
    await ready(world, lean(), partition())
    policy(world, dryRun=True)
    world.cluster.edit(*PARTITION, **spec)
    await calm(world)
    roll = changes(world)["nodes of climate-hpc"]
    assert roll["action"] == "Roll"
    assert path in {field["path"] for field in roll["fields"]}


async def test_scaling_is_told_as_what_it_is(world):
    await ready(world, lean(), partition())
    policy(world, dryRun=True)
    world.cluster.edit(*PARTITION, nodes={"min": 5, "max": 8})
    await calm(world)
    assert changes(world).keys() == {"nodes of climate-hpc"}
    more = changes(world, "Create")["nodes of climate-hpc"]
    assert (more["touches"], more["quota"]) == ("3 nodes", "+360 standardHBv3Family cores")
    world.cluster.edit(*PARTITION, nodes={"min": 1, "max": 8})
    await calm(world)
    fewer = changes(world, "Delete")["nodes of climate-hpc"]
    assert (fewer["touches"], fewer["quota"]) == ("1 nodes", "-120 standardHBv3Family cores")
    assert fewer["pricePerHour"].startswith("-")


async def test_a_replacement(world):
    await ready(world, lean(policy={"changes": {"replace": "Approval"}}))
    lose_identity(world)
    await drift(world)
    replaced = changes(world, "Replace")
    assert replaced
    for change in replaced.values():
        assert "properties.principalId" in {field["path"] for field in change["fields"]}
        assert "deleted and made anew" in change["why"]


async def test_deletions_and_what_they_give_back(world):
    await ready(world, lean(), EDITABLE, partition())
    policy(world, dryRun=True)
    world.cluster.delete(*HOME)
    world.cluster.delete(*PARTITION)
    await calm(world)
    found = changes(world, "Delete")
    assert of(found, "volumes ")["touches"] == "its data"
    nodes = found["nodes of climate-hpc"]
    assert (nodes["touches"], nodes["quota"]) == ("2 nodes", "-240 standardHBv3Family cores")
    assert of(found, "virtualMachineScaleSets climate-hpc-")


async def test_a_machine_that_goes_gives_back_its_cores_and_its_price(world):
    await ready(world, lean(**login_nodes(2)))
    policy(world, dryRun=True)
    fewer_login_nodes(world)
    await calm(world)
    login = changes(world, "Delete")["virtualMachines login-2"]
    assert login["quota"] == "-4 standardDSv5Family cores"
    assert login["pricePerHour"].startswith("-")


async def test_retained_data_is_not_said_to_be_deleted(world):
    await ready(world, lean(), tier())
    policy(world, dryRun=True)
    world.cluster.delete(*HOME)
    await calm(world)
    assert not [name for name in changes(world, "Delete") if name.startswith(("volumes", "capacityPools", "netApp"))]


async def test_what_would_lose_data_is_blocked(world):
    await ready(world, lean(), tier(**BIG))
    since = last(world)
    world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "4Ti"})
    await calm(world)
    blocked = changes(world, "Blocked")
    volume = of(blocked, "volumes ")
    assert volume["fields"] == [{"path": "properties.usageThreshold", "before": "6Ti", "after": "4Ti"}]
    assert "6Ti" in volume["why"]
    assert [line for line in written(world, since) if "volumes" in line or "capacityPools" in line] == []
    assert condition(world, HOME, "Stalled")[:2] == ("True", "WouldShrink")
    assert plan(world)["summary"].endswith("blocked")


async def test_a_name_tells_one_change_from_every_other(world):
    """An approval repeats names: two changes of one name could not be told apart."""
    apply(
        world, *QUICKSTART, partition("climate-gpu"), tier("climate-data", path="/data", azureFiles={"capacity": "1Ti"})
    )
    policy(world, dryRun=True)
    await calm(world)
    names = [change["name"] for change in plan(world)["changes"]]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


# --- Bounds


async def test_a_plan_is_bounded_and_counts_what_it_leaves_out(world):
    apply(world, environment(**login_nodes(20)), tier(), *(partition(f"climate-{number}") for number in range(12)))
    policy(world, dryRun=True, changes={"create": "Approval"})
    await calm(world, 20)
    found = plan(world)
    assert len(found["changes"]) == CHANGES_SHOWN
    everything = int(re.match(r"(\d+) to create", found["summary"])[1])
    assert found["omitted"] == everything - CHANGES_SHOWN > 0
    assert len(json.dumps(found)) < 150_000
    assert len(json.dumps(world.cluster.status(*ENVIRONMENT))) < 300_000


async def test_what_somebody_has_to_decide_is_never_left_out(world):
    await ready(world, lean(**login_nodes(20)), tier())
    policy(world, changes={"update": "Approval"})
    world.cluster.edit(*ENVIRONMENT, **login_nodes(0))
    apply(world, *(partition(f"climate-{number}") for number in range(12)))
    grow_home(world)
    await world.run_until(lambda: plan(world).get("omitted", 0) > 0, seconds=5)
    assert {"capacityPools netapp/climate-home", "volumes netapp/climate-home/climate-home"} <= waiting(world).keys()


async def test_long_values_are_told_apart_and_not_spelled_out(world):
    """User-data is long, and no place for a plan; that it differs has to be seen."""
    await ready(world, lean())
    policy(world, dryRun=True)
    world.cluster.edit(*ENVIRONMENT, scheduler={"slurm": {"config": [f"Comment{number}=1" for number in range(99)]}})
    await calm(world)
    fields = [field for change in plan(world)["changes"] for field in change.get("fields", ())]
    assert fields
    assert all(len(field.get(side, "")) <= 256 for field in fields for side in ("before", "after"))
    assert all(field.get("before") != field.get("after") for field in fields)


async def test_no_secret_stands_in_a_plan(world):
    apply(world, *QUICKSTART)
    policy(world, dryRun=True)
    await calm(world)
    assert not re.search(r"password|customData|BEGIN |ssh-rsa", json.dumps(plan(world)), re.IGNORECASE)


# --- The same as of manifests that are not applied yet


def manifests(world, *items, uid=None, with_status=False):
    """A snapshot of manifests, as `hpc-operator plan` makes one: sorted; without finalizers and generation.

    With a status only where they were printed by `kubectl get -o yaml`.
    """
    models = {kind.__name__: kind for kind in KINDS}
    found = [
        models[item["kind"]].model_validate(
            {
                "metadata": {"namespace": "hpc", "name": item["metadata"]["name"], "uid": uid or ""},
                "spec": item["spec"],
                **({"status": item["status"]} if with_status else {}),
            }
        )
        for item in sorted(items, key=lambda item: (item["kind"], item["metadata"]["name"]))
    ]
    return Snapshot(
        key=KEY,
        environment=next(item for item in found if type(item).__name__ == "HPCEnvironment"),
        tiers=tuple(item for item in found if type(item).__name__ == "StorageTier"),
        partitions=tuple(item for item in found if type(item).__name__ == "ComputePartition"),
        others=(),
    )


async def previewed(world, **options):
    """The plan of what stands in the cluster, as of manifests, by a process that knows nothing."""
    uid = world.cluster.objects[ENVIRONMENT]["metadata"]["uid"]
    items = [copy.deepcopy(raw) for raw in world.cluster.objects.values() if "deletionTimestamp" not in raw["metadata"]]
    return await world.make_reconciler().preview(manifests(world, *items, uid=uid, **options))


EDITS = {
    "size": lambda world: world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]]),
    "more nodes": lambda world: world.cluster.edit(*PARTITION, nodes={"min": 6, "max": 8}),
    "fewer nodes": lambda world: world.cluster.edit(*PARTITION, nodes={"min": 0, "max": 8}),
    "size and nodes": lambda world: world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]], nodes={"min": 4, "max": 8}),
    "capacity": grow_home,
    "shrink": lambda world: world.cluster.edit(*HOME, netAppFiles={"serviceLevel": "Premium", "capacity": "2Ti"}),
    "new tag": lambda world: world.cluster.edit(*ENVIRONMENT, tags={"department": "climate", "project": "x"}),
    "other tag": lambda world: world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"}),
    "login node taken out": fewer_login_nodes,
    "login node put in": lambda world: world.cluster.edit(*ENVIRONMENT, **login_nodes(3)),
    "scheduler": lambda world: world.cluster.edit(*ENVIRONMENT, scheduler={"slurm": {"vmSize": "Standard_D16s_v5"}}),
    "partition": lambda world: apply(world, partition("climate-gpu")),
    "tier": lambda world: apply(world, tier("climate-data", path="/data")),
    "bastion": lambda world: world.cluster.edit(
        *ENVIRONMENT, network={"addressSpace": ["10.40.0.0/20"], "access": {"bastion": {}}}
    ),
    "nothing": lambda world: None,
}
UNSEEN = {"partition": "slurm.conf names the oldest partition first, and a manifest does not tell its age"}


@pytest.mark.parametrize(
    "edit", [pytest.param(name, marks=known(UNSEEN[name]) if name in UNSEEN else ()) for name in EDITS]
)
async def test_the_plan_of_manifests_is_that_of_status(world, edit):
    await ready(world, lean(**login_nodes(2)), tier(), partition())
    policy(world, dryRun=True)
    EDITS[edit](world)
    await calm(world)
    preview = await previewed(world)
    found = plan(world)
    if not found["changes"]:
        assert not preview.changes, [change.name for change in preview.changes]
        assert edit == "nothing"
        return
    assert edit != "nothing"
    assert_same(preview, found)


def assert_same(preview, found):
    assert render(KEY, preview) == render(KEY, Plan.model_validate(found))
    assert preview.model_dump(mode="json", by_alias=True, exclude_defaults=True) == found


async def test_a_tag_that_was_taken_out_is_told(world):
    """Whose it was stands in status alone: without one a policy may have given it to everything."""
    await ready(world, lean(tags={"department": "climate", "project": "x"}), tier(), partition())
    assert (await previewed(world)).warnings == ()
    policy(world, dryRun=True)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "climate"})
    await calm(world)
    assert_same(await previewed(world, with_status=True), plan(world))
    preview = await previewed(world)
    assert preview.changes == ()
    (warning,) = preview.warnings
    assert warning.startswith("Tag project is on everything of this environment and not in spec.tags")
    assert warning in render(KEY, preview)


async def test_the_plan_of_a_new_environment_is_that_of_status(world):
    apply(world, *QUICKSTART)
    policy(world, dryRun=True)
    preview = await previewed(world)
    assert ids(world) == set()
    assert world.cluster.status_writes == []
    await calm(world)
    assert_same(preview, plan(world))


async def test_the_plan_of_what_waits_is_that_of_status(world):
    await ready(world, lean(), tier(), partition())
    policy(world, changes={"update": "Approval", "roll": "Approval"})
    grow_home(world)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    await calm(world)
    assert_same(await previewed(world), plan(world))


async def test_the_plan_tells_of_too_little_quota(world):
    limit(world, "westeurope/standardhbv3family", 360)
    apply(world, lean(), partition())
    policy(world, dryRun=True)
    await calm(world)
    (warning,) = plan(world)["warnings"]
    assert "Partition climate-hpc can reach 3 of 8 nodes" in warning
    assert_same(await previewed(world), plan(world))


async def test_a_preview_disturbs_nobody(world):
    await ready(world, lean(), tier(), partition())
    since, written_before = last(world), len(world.cluster.status_writes)
    grow = copy.deepcopy(world.cluster.objects[HOME])
    grow["spec"]["netAppFiles"]["capacity"] = "6Ti"
    items = [grow if key == HOME else raw for key, raw in world.cluster.objects.items()]
    uid = world.cluster.objects[ENVIRONMENT]["metadata"]["uid"]
    preview = await world.make_reconciler().preview(manifests(world, *items, uid=uid))
    assert [change.action for change in preview.changes] == ["Update", "Update"]
    assert writes(world, since) == []
    assert len(world.cluster.status_writes) == written_before
    await calm(world)
    assert writes(world, since) == []


async def test_approving_everything_a_preview_asks_for_lets_everything_go(world):
    """The hash of manifests is that of the objects that are made of them."""
    await ready(world, lean(), tier(), partition())
    policy(world, changes={"update": "Approval", "roll": "Approval"})
    grow_home(world)
    world.cluster.edit(*PARTITION, vmSizes=[SIZES["B"]])
    preview = await previewed(world)
    await calm(world)
    assert preview.hash == plan(world)["hash"]
    await approve_all(world, lambda: not plan(world)["changes"])
    await calm(world)
    assert generations(world) == {SIZES["B"]: 2}
