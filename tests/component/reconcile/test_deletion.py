"""The way down: in reverse order, with proof of what went, what stayed and why, whatever stands in the way."""

from __future__ import annotations

import itertools
import re

import pytest

from .conftest import SUBSCRIPTION, environment, partition, tier
from .test_drift import GROUP_ID, alice, annotate, asked, hasten, writes
from .test_life import GROUP, ids, last
from .test_trouble import (
    ENVIRONMENT,
    HOME,
    LEAN_NETWORK,
    PARTITION,
    SMALL,
    answer,
    apply,
    assert_steady,
    calm,
    condition,
    counts,
    delete_all,
    drift,
    ending,
    fault,
    found,
    gone,
    lean,
    machines,
    put_behind_our_back,
    ready,
    remove_behind_our_back,
    restart,
    run_for,
    too_many,
)

SCRATCH = ("StorageTier", "climate-scratch")
LUSTRE = {"managedLustre": {"capacity": "8Ti"}}
POOL = {"netAppFiles": {"capacity": "4Ti"}}


@pytest.fixture
async def world(world, monkeypatch):
    return hasten(world, monkeypatch)


def things(policy="Retain"):
    """A volume with that policy, a Lustre file system whose data may go, and nodes."""
    scratch = tier("climate-scratch", path="/scratch", deletionPolicy="Delete", **LUSTRE)
    return lean(), tier(deletionPolicy=policy, **POOL), scratch, partition()


ALL = (ENVIRONMENT, HOME, SCRATCH, PARTITION)


def delete(world, *kinds):
    for kind in kinds:
        world.cluster.delete(*kind)


def reports(world):
    """What status.deletion of the environment said, one after the other."""
    return [
        status["deletion"]
        for owner, status in world.cluster.status_writes
        if owner == "HPCEnvironment/climate" and "deletion" in status
    ]


def said(world, reason, owner="HPCEnvironment/climate"):
    return [message for who, _, what, message in world.cluster.events if (who, what) == (owner, reason)]


def held(world):
    """How many resources we hold: what status lists, and the nodes."""
    return len(world.cluster.status(*ENVIRONMENT)["resources"]) + len(machines(world))


async def lock(world, scope, name="audit-2026", level="CanNotDelete"):
    there = f"{scope}/providers/Microsoft.Authorization/locks/{name}"
    await alice(world, "PUT", there, {"properties": {"level": level}})


async def unlock(world, scope, name="audit-2026"):
    await alice(world, "DELETE", f"{scope}/providers/Microsoft.Authorization/locks/{name}")


# --- Proof


async def test_the_last_word_says_what_went_what_stayed_and_what_is_of_others(world):
    await ready(world, *things())
    theirs = f"{GROUP_ID}/providers/Microsoft.Network/publicIPAddresses/theirs"
    await alice(world, "PUT", theirs, {"location": "westeurope", "sku": {"name": "Standard"},
                                       "properties": {"publicIPAllocationMethod": "Static"}})  # fmt: skip
    all_of_it = held(world)
    await delete_all(world)
    report = reports(world)[-1]
    kept = {item["id"].rsplit("/", 2)[1]: item["why"] for item in report["kept"]}
    assert kept.keys() == {"resourceGroups", "netAppAccounts", "capacityPools", "volumes", "virtualNetworks", "subnets"}
    assert kept["volumes"] == "deletionPolicy of StorageTier/climate-home is Retain"
    assert "volumes netapp/climate-home/climate-home" in kept["subnets"]
    assert len(report["left"]) == 1
    assert report["left"] == [f"{theirs}: not ours"]
    assert report["deleted"] + len(report["kept"]) == all_of_it
    (word,) = said(world, "Deleted")
    assert f"Deleted {report['deleted']} resources." in word
    assert "climate-home" in word
    assert "deletionPolicy of StorageTier/climate-home is Retain" in word
    assert "theirs" in word
    assert any(found(world, "/volumes/climate-home").id in message for message in said(world, "DataRetained"))
    left = {item.rsplit("/", 2)[1] for item in ids(world) if "/providers/" in item}
    assert left == {"netappaccounts", "capacitypools", "volumes", "virtualnetworks", "subnets", "publicipaddresses"}


async def test_a_deletion_that_leaves_nothing_says_so(world):
    await ready(world, *things("Delete"))
    all_of_it = held(world)
    await delete_all(world)
    assert ids(world) == set()
    report = reports(world)[-1]
    assert report == {"deleted": all_of_it}
    assert said(world, "Deleted") == [f"Deleted {all_of_it} resources."]
    assert said(world, "DataRetained") == []


@pytest.mark.parametrize("after", [1, 4, 9, 15, 22, 29])
async def test_the_proof_survives_restarts(world, after):
    await ready(world, *things())
    all_of_it, before = held(world), last(world)
    delete(world, *ALL)
    await world.run_until(lambda: len(writes(world, before)) >= after or not world.cluster.objects, seconds=10)
    await restart(world)
    await world.run_until(lambda: not world.cluster.objects, seconds=15)
    report = reports(world)[-1]
    assert report["deleted"] + len(report["kept"]) == all_of_it
    sent = [(item["method"], item["path"].lower()) for item in writes(world, before) if item["status"] < 300]
    assert len(sent) == len(set(sent)), "nothing is deleted twice"
    assert len(said(world, "Deleted")) == 1


async def test_what_is_left_is_said_with_its_owner(world):
    await ready(world, lean())
    theirs = f"{GROUP_ID}/providers/Microsoft.Network/publicIPAddresses/theirs"
    await alice(world, "PUT", theirs, {"location": "westeurope", "sku": {"name": "Standard"},
        "tags": {"hpc-environment": "hpc/genomics"}, "properties": {"publicIPAllocationMethod": "Static"}})  # fmt: skip
    await delete_all(world)
    assert reports(world)[-1]["left"] == [f"{theirs}: belongs to hpc/genomics"]
    (word,) = said(world, "Deleted")
    assert "publicIPAddresses theirs (belongs to hpc/genomics)" in word


async def test_what_others_put_into_our_network_is_named(world):
    """It is in no list of ours, and holds the subnet."""
    await ready(world, lean())
    interface = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/theirs/providers/Microsoft.Network/networkInterfaces/nic"
    put_behind_our_back(world, interface.partition("/providers/")[0])
    address = {"name": "ipconfig", "properties": {"subnet": {"id": found(world, "/subnets/compute").id}}}
    put_behind_our_back(world, interface, properties={"ipConfigurations": [address]})
    delete(world, ENVIRONMENT)
    await run_for(world, 4.0)
    told = [*said(world, "InUseByOthers"), condition(world, ENVIRONMENT)[2] if world.cluster.objects else ""]
    assert any("networkInterfaces/nic" in message for message in told), told
    if world.cluster.objects:
        world.emulator.engine.remove(found(world, "/networkInterfaces/nic"))
        await drift(world)
        await gone(world, ENVIRONMENT, seconds=10)
        assert not [item for item in ids(world) if "hpc_climate" in item]


# --- Order


async def test_nothing_is_asked_for_before_its_turn(world):
    await ready(world, environment(), *things("Delete")[1:])
    before = last(world)
    await delete_all(world, seconds=20)
    assert ids(world) == set()
    sent = writes(world, before)
    refused = {item["path"].rsplit("/", 2)[1] for item in sent if item["status"] >= 400}
    # The subnet of a volume stays held for a while after the volume has gone, and nothing tells for how long.
    assert refused <= {"subnets"}
    order = [item["path"].lower().rsplit("/", 2)[1] for item in sent]
    assert order[-1] == "resourcegroups"
    nodes = [place for place, item in enumerate(sent) if "/virtualMachines/climate-hpc" in item["path"]]
    assert order.index("virtualmachinescalesets") > max(nodes)


ORDERS = list(itertools.permutations(range(4)))[::5]


@pytest.mark.parametrize("order", ORDERS)
async def test_objects_that_go_in_any_order_end_clean(world, order):
    await ready(world, *things("Delete"))
    for number in order:
        if ALL[number] in world.cluster.objects:
            delete(world, ALL[number])
        await run_for(world, 0.15)
    await world.run_until(lambda: not world.cluster.objects, seconds=15)
    assert ids(world) == set()
    assert world.reconciler._memories == {}


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_an_environment_that_goes_alone_takes_its_parts_down(world, policy):
    """Tier and partition are there still, and wait for an environment of that name."""
    await ready(world, lean(), tier(deletionPolicy=policy, **POOL), partition())
    delete(world, ENVIRONMENT)
    await gone(world, ENVIRONMENT)
    await calm(world)
    assert bool([item for item in ids(world) if "/volumes/" in item]) == (policy == "Retain")
    assert machines(world) == set()
    for owner in (HOME, PARTITION):
        assert condition(world, owner)[1] == "EnvironmentNotFound"
    delete(world, HOME, PARTITION)
    await gone(world, HOME, PARTITION)
    assert bool([item for item in ids(world) if "/volumes/" in item]) == (policy == "Retain")


@pytest.mark.parametrize("before_what", ["tier", "partition", "environment"])
async def test_an_object_deleted_before_anything_was_made_goes_at_once(world, before_what):
    apply(world, *things())
    kind = {"tier": HOME, "partition": PARTITION, "environment": ENVIRONMENT}[before_what]
    delete(world, kind)
    await gone(world, kind, seconds=10)
    await delete_all(world)
    assert [item for item in ids(world) if "/volumes/" not in item and "climate-hpc" in item] == []


async def test_an_object_that_comes_back_while_its_predecessor_goes_is_made_anew(world):
    await ready(world, lean(), partition())
    before = last(world)
    delete(world, PARTITION)
    await world.run_until(lambda: len(writes(world, before)) >= 1, seconds=5)
    await gone(world, PARTITION)
    apply(world, partition())
    await world.run_until(lambda: counts(world).get("ready") == 2, seconds=10)
    await calm(world)
    await assert_steady(world)


# --- Locks


PLACES = {
    "group": "/hpc_climate",
    "rules": "/networkSecurityGroups/nsg-compute",
    "machine": "/virtualMachines/scheduler",
    "volume": "/volumes/climate-home",
    "node": None,
}


@pytest.mark.parametrize(
    ("place", "restarted"),
    [
        *((place, False) for place in PLACES),
        *((place, True) for place in ("group", "volume")),
    ],
)
async def test_a_lock_is_named_and_holds_up_what_it_has_to(world, place, restarted):
    await ready(world, lean(), tier(deletionPolicy="Delete", **POOL), partition())
    scope = found(world, PLACES[place] or f"/virtualMachines/{min(machines(world))}").id
    await lock(world, scope)
    delete(world, ENVIRONMENT, HOME, PARTITION)
    await run_for(world, 2.5)
    if restarted:
        await restart(world)
        await run_for(world, 0.5)
    await calm(world)
    assert ENVIRONMENT in world.cluster.objects
    await world.run_until(lambda: condition(world, ENVIRONMENT)[1] == "ScopeLocked", seconds=5)
    message = condition(world, ENVIRONMENT)[2]
    assert "audit-2026" in message, message
    assert condition(world, ENVIRONMENT, "Stalled")[0] == "True"
    waits = world.cluster.status(*ENVIRONMENT)["waiting"]
    assert any(item["reason"] == "ScopeLocked" and "audit-2026" in item["message"] for item in waits)
    owner = {"volume": HOME, "node": PARTITION}.get(place)
    if owner is not None:
        assert "audit-2026" in condition(world, owner)[2]
    if place in {"rules", "machine", "volume"}:
        assert not [item for item in ids(world) if "/virtualmachines/login" in item], "the rest goes"
    before = last(world)
    await run_for(world, 1.0)
    assert len(writes(world, before)) < 10, "a lock is not run against"
    await unlock(world, scope)
    await drift(world)
    await world.run_until(lambda: not world.cluster.objects, seconds=15)
    assert ids(world) == set()


async def test_a_lock_on_a_tier_alone_is_told_by_the_tier(world):
    await ready(world, lean(), tier(deletionPolicy="Delete", **POOL), partition())
    scope = found(world, "/volumes/climate-home").id
    await lock(world, scope)
    delete(world, HOME)
    await run_for(world, 1.0)
    status, reason, message = condition(world, HOME)
    assert (status, reason) == ("False", "ScopeLocked")
    assert "audit-2026" in message
    assert counts(world)["ready"] == 2
    await unlock(world, scope)
    await drift(world)
    await gone(world, HOME, seconds=10)
    await world.run_until(world.ready, seconds=10)


async def test_a_lock_against_writes_is_named_too(world):
    await ready(world, lean())
    scope = found(world, "/networkSecurityGroups/nsg-services").id
    await lock(world, scope, "frozen", "ReadOnly")
    network = {**LEAN_NETWORK, "access": {"allowedSources": ["192.0.2.0/24"]}}
    world.cluster.edit(*ENVIRONMENT, network=network)
    await calm(world)
    assert "frozen" in str(world.cluster.status(*ENVIRONMENT)["waiting"])
    assert "frozen" in condition(world, ENVIRONMENT, "Stalled")[2]
    await unlock(world, scope, "frozen")
    await drift(world)
    await calm(world)
    assert condition(world, ENVIRONMENT, "Stalled")[0] == "absent"


# --- What is in the way


@pytest.mark.parametrize("owner", [HOME, PARTITION])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_part_goes_while_its_environment_has_a_problem(world, owner, restarted):
    await ready(world, environment(network=SMALL), tier(deletionPolicy="Delete", **POOL), partition())
    apply(world, too_many())
    await calm(world)
    assert condition(world, ENVIRONMENT)[1] == "AddressSpaceTooSmall"
    if restarted:
        await restart(world)
        await calm(world)
    there = ids(world)
    delete(world, owner)
    await gone(world, owner, seconds=8)
    went = there - ids(world)
    word = "/capacitypools/" if owner == HOME else "climate-hpc"
    assert [item for item in ids(world) if word in item] == []
    others = {item for item in went if word not in item and "/climate-home" not in item}
    assert {item for item in others if "securityrules" not in item} == set()
    world.cluster.edit("ComputePartition", "climate-big", nodes={"min": 0, "max": 4}, rollout={"maxSurge": 1})
    await world.run_until(world.ready, seconds=10)
    await assert_steady(world)


async def test_retained_data_stays_when_its_tier_goes_while_the_environment_has_a_problem(world):
    await ready(world, environment(network=SMALL), tier(), partition())
    apply(world, too_many())
    await calm(world)
    delete(world, HOME)
    await gone(world, HOME, seconds=8)
    assert [item for item in ids(world) if item.endswith("/volumes/climate-home")] != []
    delete(world, ENVIRONMENT)
    await gone(world, ENVIRONMENT, seconds=10)
    assert [item for item in ids(world) if item.endswith("/volumes/climate-home")] != []
    assert {item.rsplit("/", 2)[1] for item in ids(world) if "/providers/" in item} == {
        "netappaccounts", "capacitypools", "volumes", "virtualnetworks", "subnets"}  # fmt: skip


async def test_azure_that_is_away_in_the_middle_loses_nothing(world):
    await ready(world, *things())
    before = last(world)
    delete(world, *ALL)
    await world.run_until(lambda: len(writes(world, before)) >= 8, seconds=10)
    await world.emulator.stop()
    await run_for(world, 1.0)
    assert ENVIRONMENT in world.cluster.objects
    await world.emulator.start()
    await drift_everything(world)
    await world.run_until(lambda: not world.cluster.objects, seconds=20)
    kinds = {item.rsplit("/", 2)[1] for item in ids(world) if "/providers/" in item}
    assert kinds == {"netappaccounts", "capacitypools", "volumes", "virtualnetworks", "subnets"}


async def drift_everything(world):
    for remembered in world.reconciler._memories.values():
        remembered.stale_at = remembered.machines_stale_at = 0.0
    for key in world.cluster.cache.environments():
        world.queue.add(key)


async def test_somebody_who_deletes_the_group_meanwhile_is_no_trouble(world):
    await ready(world, *things("Delete"))
    before = last(world)
    delete(world, *ALL)
    await world.run_until(lambda: len(writes(world, before)) >= 4, seconds=10)
    for key in sorted(ids(world), key=len, reverse=True):
        if key in ids(world):
            remove_behind_our_back(world, key)
    await drift_everything(world)
    await world.run_until(lambda: not world.cluster.objects, seconds=15)
    assert ids(world) == set()


MACHINE, VOLUME, GATEWAY, WHOLE = (
    "/virtualMachines/scheduler$", "/volumes/climate-home$", "/natGateways/nat$", "/resourceGroups/hpc_climate$",
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "trouble"),
    [
        *((MACHINE, "429"), (VOLUME, "429"), (GATEWAY, "503"), (WHOLE, "503"), (VOLUME, "409"), (WHOLE, "409")),
        *((MACHINE, "fails"), (VOLUME, "fails"), (WHOLE, "fails"), (GATEWAY, "lost"), (WHOLE, "lost")),
    ],
)
async def test_a_refused_deletion_is_tried_again(world, target, trouble):
    effect = {
        "429": {"answer": answer(429, "TooManyRequests", **{"retry-after-ms": "50"})},
        "503": {"answer": answer(503, "ServiceUnavailable")},
        "409": {"answer": answer(409, "AnotherOperationInProgress")},
        "fails": {"operation": ending(500, "InternalServerError")},
        "lost": {"lostAnswer": True},
    }[trouble]
    await ready(world, lean(), tier(deletionPolicy="Delete", **POOL))
    fault(world, "DELETE", target, **effect)
    await delete_all(world)
    assert ids(world) == set()
    assert [item.hits for item in world.emulator.faults.all()] == [1]


async def test_a_deletion_that_nobody_may_make_is_told_and_ends_once_it_is_allowed(world):
    await ready(world, lean())
    refusal = {"status": 403, "code": "AuthorizationFailed", "message": "No right to delete.", "headers": {}}
    fault(world, "DELETE", "/natGateways/nat$", count=3, answer=refusal)
    delete(world, ENVIRONMENT)
    await world.run_until(lambda: condition(world, ENVIRONMENT)[1] == "AuthorizationFailed", seconds=10)
    assert "natGateways nat" in condition(world, ENVIRONMENT)[2]
    await gone(world, ENVIRONMENT, seconds=10)
    assert ids(world) == set()


# --- Approval


@pytest.mark.parametrize("which", ["tier", "all"])
async def test_data_goes_only_when_it_is_approved(world, which):
    wanted = {"changes": {"deleteData": "Approval"}}
    await ready(world, lean(policy=wanted), tier(deletionPolicy="Delete", **POOL), partition())
    delete(world, *((HOME,) if which == "tier" else (ENVIRONMENT, HOME, PARTITION)))
    await calm(world, seconds=10)
    assert [item for item in ids(world) if item.endswith("/volumes/climate-home")] != []
    assert HOME in world.cluster.objects
    assert "azurehpc.io/approve=" in condition(world, HOME)[2]
    (plan_hash,), names = asked(world)
    assert "volumes netapp/climate-home/climate-home" in names
    annotate(world, **{"azurehpc.io/approve": f"{plan_hash}:{','.join(names)}"})
    await gone(world, HOME, seconds=10)
    if which == "all":
        await world.run_until(lambda: not world.cluster.objects, seconds=10)
        assert ids(world) == set()
    else:
        await world.run_until(world.ready, seconds=10)


async def test_no_more_go_at_once_than_the_limit_says(world):
    await ready(world, lean(policy={"limits": {"deletesAtOnce": 2}}), partition(nodes={"min": 0, "max": 2}))
    delete(world, ENVIRONMENT, PARTITION)
    most = 0

    def over():
        nonlocal most
        running = [item for item in world.emulator.engine.store.operations.values()
                   if item.running and item.verb == "DELETE"]  # fmt: skip
        most = max(most, len(running))
        return not world.cluster.objects

    await world.run_until(over, seconds=20)
    assert 1 <= most <= 2
    assert ids(world) == set()


# --- What a deletion says while it goes


async def test_a_deletion_tells_no_times_and_nothing_twice(world):
    await ready(world, *things())
    since = len(world.cluster.status_writes)
    await delete_all(world)
    seen = {}
    for owner, status in world.cluster.status_writes[since:]:
        assert seen.get(owner) != status, owner
        seen[owner] = status
        for item in status["conditions"]:
            assert not re.search(r"\d\d:\d\d", item["message"])
    deleted = [report.get("deleted", 0) for report in reports(world)]
    assert deleted == sorted(deleted), "what is gone stays gone"
    assert GROUP in ids(world)
