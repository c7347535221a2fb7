"""The judge finds what it is there to find, the script meets what it is asked to, names are the same in every life."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from crashing.calls import AZURE, Call, Names, Point, canonical, resource_type
from crashing.campaign import Script
from crashing.judge import Judge, plain
from crashing.life import ENVIRONMENT, Life, Scene
from crashing.proxy import KILLS, LATE, LOST
from crashing.world import Kill

GROUP = "/subscriptions/s/resourcegroups/crash-1_climate"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet"
NODE = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/climate-hpc-abcde"


def call(method, path, stage="create", status=201, disturbance="", number=0):
    made = Call(number, stage, AZURE, Names().azure(method, path), method, path, b"", 1, disturbance)
    made.sent, made.status = True, status
    return made


def scene(*ids, stage="create", operations=(), inventory=(), **bodies):
    resources = {item.lower(): bodies for item in ids}
    status = {"resources": [{"id": item} for item in (inventory or ids)]}
    return Scene(stage, resources, {ENVIRONMENT: {"status": status}}, list(operations), 0.0, 0, 0, 1.0)


def judged(reference, found, *, before=(), calls=(), kills=(), complaints=()):
    judge = Judge(Life("reference", [reference]), list(before))
    world = SimpleNamespace(calls=list(calls), kills=list(kills), complaints=list(complaints), stage="create")
    return judge.compare(Life("life", [found]), world)


def whats(verdict):
    return [deviation.what for deviation in verdict.deviations]


def operation(verb, number, start, end, status="Succeeded"):
    return {
        "verb": verb,
        "resourceId": f"{NODE}-{number}",
        "startSeconds": start,
        "endSeconds": end,
        "status": status,
    }


def test_the_same_life_has_no_deviation():
    put = call("PUT", VNET)
    assert whats(judged(scene(VNET), scene(VNET), before=[put], calls=[put])) == []


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (scene(GROUP, inventory=[GROUP, VNET]), "lost: virtualnetworks/vnet"),
        (scene(GROUP, VNET, f"{VNET}2", inventory=[GROUP, VNET]), "left over: virtualnetworks/vnet2"),
        (scene(GROUP, VNET, tags={"a": "b"}), "differs: [0].tags"),
        (scene(GROUP, VNET, inventory=[GROUP]), "status of HPCEnvironment/climate differs: resources"),
    ],
)
def test_what_is_there_in_the_end_is_compared(found, what):
    assert what in "\n".join(whats(judged(scene(GROUP, VNET), found)))


def test_a_write_more_than_the_undisturbed_life_needs_is_found():
    put = call("PUT", VNET)
    assert whats(judged(scene(VNET), scene(VNET), before=[put], calls=[put, put])) == [
        "written 2 times instead of 1: PUT virtualnetworks/vnet"
    ]


@pytest.mark.parametrize("disturbance", ["sent", LOST])
def test_a_write_of_which_nobody_could_know_may_be_repeated_and_is_counted(disturbance):
    first = call("PUT", VNET, disturbance=disturbance)
    kills = [Kill(Point("create", first.name, "sent"), (first,))] if disturbance == "sent" else []
    verdict = judged(scene(VNET), scene(VNET), before=[first], calls=[first, call("PUT", VNET)], kills=kills)
    assert whats(verdict) == []
    assert verdict.repeated == ["create: PUT virtualnetworks/vnet"]
    third = judged(scene(VNET), scene(VNET), before=[first], calls=[first, *[call("PUT", VNET)] * 2], kills=kills)
    assert whats(third) == ["written 3 times instead of 1: PUT virtualnetworks/vnet"]


def test_a_deletion_that_the_undisturbed_life_has_not_is_found():
    found = judged(scene(VNET), scene(VNET), calls=[call("DELETE", VNET, status=202)])
    assert whats(found) == ["deleted what should stay: virtualnetworks/vnet"]
    failed = call("PUT", VNET, disturbance=LATE)
    assert whats(judged(scene(VNET), scene(VNET), before=[failed], calls=[failed, call("DELETE", VNET)])) == []


def test_fewer_nodes_than_promised_are_found():
    up = [operation("PUT", number, 0, 5) for number in (1, 2)]
    surge = [operation("PUT", 3, 10, 20), operation("DELETE", 1, 20.5, 30)]
    fine, bad = scene(stage="resize", operations=[*up, *surge]), [*up, operation("DELETE", 1, 10, 30)]
    assert whats(judged(fine, fine)) == []
    assert whats(judged(fine, scene(stage="resize", operations=bad))) == [
        "only 1 nodes were up at 10 s, 2 were promised"
    ]
    failed = [*up, operation("PUT", 3, 10, 20, "Failed"), operation("DELETE", 3, 21, 30)]
    assert whats(judged(fine, scene(stage="resize", operations=failed))) == []


def test_complaints_of_the_world_and_a_life_that_is_stuck_are_deviations():
    verdict = judged(scene(), scene(), complaints=[("grow", "the operator ended by itself")])
    assert [(it.stage, it.what) for it in verdict.deviations] == [("grow", "the operator ended by itself")]


async def test_what_no_status_knows_of_after_a_kill_is_found():
    judge = Judge(Life("reference", [scene(GROUP, VNET)]), [])
    said: list[str] = []
    world = SimpleNamespace(complain=said.append)

    async def ask(_):
        return [{"id": GROUP}, {"id": VNET}]

    async def objects(inventory):
        return scene(inventory=inventory).objects

    world.ask = ask
    kill = Kill(Point("create", "PUT virtualNetworks/vnet", "sent"), ())
    for inventory, complaints in (([GROUP, VNET], 0), ([GROUP], 1)):
        world.kube = SimpleNamespace(objects=lambda inventory=inventory: objects(inventory))
        await judge.inventory(world, kill)
        assert len(said) == complaints
    assert "not in status.resources" in said[0]


def test_a_script_meets_every_way_once_and_one_call_once_in_a_stage():
    points = [Point("create", "PUT virtualNetworks/vnet", way) for way in KILLS]
    wanted = dict.fromkeys(points)
    for way in KILLS:
        script = Script(wanted, {"create": 1})
        assert [script(call("PUT", VNET)) for _ in range(2)] == [way, ""]
    assert wanted == {}


def test_a_script_leaves_room_between_disturbances():
    names = [f"{VNET}{number}" for number in range(6)]
    wanted = dict.fromkeys(Point("create", f"PUT virtualNetworks/vnet{number}", LOST) for number in range(6))
    script = Script(wanted, {"create": 3})
    assert [script(call("PUT", name)) for name in names] == [LOST, "", "", LOST, "", ""]


def test_names_are_the_same_in_every_life():
    vault = f"{GROUP}/providers/Microsoft.KeyVault/vaults/hpc-{'a' * 20}"
    guid = "11111111-2222-3333-4444-555555555555"
    role = f"{vault}/providers/Microsoft.Authorization/roleAssignments/{guid}"
    names = Names()
    assert names.azure("PUT", role) == "PUT vaults/<vault>/roleAssignments/<id>"
    assert names.azure("GET", GROUP) == "GET resourceGroup"
    assert names.azure("PUT", f"{NODE}-1") == "PUT virtualMachines/climate-hpc-<generation>-1"
    operation_path = f"/subscriptions/s/providers/Microsoft.Network/locations/westeurope/operations/{guid}"
    names.note_operation(
        "PUT virtualNetworks/vnet", {"Azure-AsyncOperation": f"http://x{operation_path}?api-version=1"}
    )
    assert names.azure("GET", operation_path) == "POLL PUT virtualNetworks/vnet"
    assert canonical(f"{GROUP}/disks/login-1_OsDisk_1_{'0' * 32}").endswith("_OsDisk_1_<made up>")
    assert resource_type(role) == "microsoft.authorization/roleassignments"
    status = "/apis/azurehpc.io/v1alpha1/namespaces/n/hpcenvironments/climate/status"
    numbered = [names.kubernetes("create", "PATCH", status, b"", watch=False) for _ in range(2)]
    assert numbered == ["STATUS hpcenvironments/climate #1", "STATUS hpcenvironments/climate #2"]
    assert plain({"etag": "x", "ip": "10.0.0.4", "net": "10.0.0.0/24"}) == {"ip": "<address>", "net": "10.0.0.0/24"}
    assert Point.parse(str(Point("create", "GET a/b", LOST))) == Point("create", "GET a/b", LOST)
    with pytest.raises(ValueError, match="is no point"):
        Point.parse("create")
