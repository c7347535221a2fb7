"""Things that exist: attached file systems, and resources that stand for some of ours, looked at or taken over."""

from __future__ import annotations

import pytest

from .conftest import SUBSCRIPTION, partition, tier
from .test_claims import west, writes  # noqa: F401 - a fixture
from .test_drift import ALICE, GROUP_ID, alice, alice_tags, drifted, hasten, planned, tag_of
from .test_life import ids, last
from .test_trouble import (
    ENVIRONMENT,
    apply,
    assert_steady,
    calm,
    condition,
    counts,
    delete_all,
    drift,
    found,
    gone,
    lean,
    put_behind_our_back,
    ready,
    restart,
)

GENOMICS = ("HPCEnvironment", "genomics")
OTHER_NETWORK = {"addressSpace": ["10.50.0.0/20"]}
SITE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/site"
NETWORK = "Microsoft.Network/virtualNetworks/vnet"


@pytest.fixture
async def world(world, monkeypatch):
    return hasten(world, monkeypatch)


def genomics(**spec):
    return lean(name="genomics", **{"network": OTHER_NETWORK, **spec})


KINDS = {
    "volume": ("/volumes/climate-home", {"netAppFiles": {"serviceLevel": "Premium", "capacity": "4Ti"}}),
    "lustre": ("/amlFilesystems/climate-home", {"managedLustre": {"capacity": "8Ti"}}),
}


async def left_behind(world, kind="volume"):
    """Make an environment with data that is retained, delete it, and return the file system."""
    ending, spec = KINDS[kind]
    await ready(world, lean(), tier(**spec))
    await delete_all(world)
    return found(world, ending)


def attached(data, kind="volume", name="genomics-home", environment="genomics", **spec):
    return tier(name, environment=environment, attach=data.id, **{**KINDS[kind][1], **spec})


# --- Attaching


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_retained_data_is_attached_to_an_environment_of_another_name(world, kind, policy):
    data = await left_behind(world, kind)
    made, before = data.created, last(world)
    apply(world, genomics(), attached(data, kind, deletionPolicy=policy), partition(environment="genomics"))
    await world.run_until(lambda: world.ready("genomics"), seconds=15)
    await calm(world)
    assert world.ready("genomics")
    there = found(world, KINDS[kind][0])
    assert there.created == made
    types = ("/netappaccounts/", "/amlfilesystems/")
    others = [item for item in ids(world) if "hpc_genomics" in item and any(it in item for it in types)]
    assert others == [], "no other file system is made"
    sent = [(item["method"], item["path"].lower()) for item in writes(world, before)]
    assert ("PUT", data.key) not in sent
    assert there.body["tags"]["hpc-environment"] == "hpc/genomics"
    assert there.body["tags"]["hpc-owner"] == "StorageTier/genomics-home"
    source = world.cluster.status("StorageTier", "genomics-home")["mount"]["source"]
    assert source.endswith(":/climate-home" if kind == "volume" else ":/lustrefs")
    assert counts(world)["ready"] == 2
    await assert_steady(world)
    await drift(world)
    assert drifted_names(world) == set()
    await delete_all(world)
    assert any(item == data.key for item in ids(world)) == (policy == "Retain")
    assert not [item for item in ids(world) if "hpc_genomics" in item]
    if policy == "Retain":
        said = [message for _, _, reason, message in world.cluster.events if reason == "DataRetained"]
        assert data.key in said[-1].lower()


def drifted_names(world):
    status = world.cluster.objects[GENOMICS].get("status", {})
    return {entry["id"] for entry in status.get("drift", ())}


@pytest.mark.parametrize("order", ["tier first", "environment first"])
async def test_data_is_attached_a_third_time(world, order):
    data = await left_behind(world)
    apply(world, genomics(), attached(data))
    await world.run_until(lambda: world.ready("genomics"), seconds=15)
    await calm(world)
    kinds = [GENOMICS, ("StorageTier", "genomics-home")]
    for kind in kinds if order == "environment first" else reversed(kinds):
        world.cluster.delete(*kind)
    await world.run_until(lambda: not world.cluster.objects, seconds=15)
    await ready(world, lean(), attached(data, name="climate-data", environment="climate"))
    there = found(world, "/volumes/climate-home")
    assert there.created == data.created
    assert there.body["tags"]["hpc-environment"] == "hpc/climate"


async def test_an_attached_tier_that_is_deleted_alone_lets_the_data_be(world):
    data = await left_behind(world)
    apply(world, genomics(), attached(data))
    await world.run_until(lambda: world.ready("genomics"), seconds=15)
    world.cluster.delete("StorageTier", "genomics-home")
    await gone(world, ("StorageTier", "genomics-home"))
    await calm(world)
    assert found(world, "/volumes/climate-home").created == data.created
    await world.run_until(lambda: world.ready("genomics"), seconds=5)


async def test_attached_data_of_a_living_environment_is_refused_with_both_names(world):
    await ready(world, lean(), tier())
    data, before = found(world, "/volumes/climate-home"), last(world)
    apply(world, genomics(), attached(data))
    await calm(world)
    await world.run_until(lambda: condition(world, ("StorageTier", "genomics-home"))[1] == "AlreadyExists", seconds=10)
    message = condition(world, ("StorageTier", "genomics-home"))[2]
    assert "hpc/climate" in message
    assert "hpc/genomics" in message
    assert not [item for item in writes(world, before) if "/netAppAccounts/" in item["path"]]
    world.cluster.delete("StorageTier", "genomics-home")
    world.cluster.delete(*GENOMICS)
    await gone(world, GENOMICS, ("StorageTier", "genomics-home"))
    assert found(world, "/volumes/climate-home").body["tags"]["hpc-environment"] == "hpc/climate"
    await drift(world)
    assert world.ready()


async def test_attached_data_of_another_operators_environment_is_refused_with_both_names(world, west):  # noqa: F811
    await ready(world, lean(), tier())
    data, before = found(world, "/volumes/climate-home"), last(world)
    apply(west, genomics(), attached(data, deletionPolicy="Delete"))
    owner = ("StorageTier", "genomics-home")
    await west.run_until(lambda: condition(west, owner)[1] == "AlreadyExists", seconds=15)
    assert "hpc/climate" in condition(west, owner)[2]
    await delete_all(west)
    assert not [item for item in writes(west, before) if "hpc_climate" in item["path"]]
    await drift(world)
    assert world.ready()


async def test_data_attached_by_another_operator_is_refused_with_both_names(world, west):  # noqa: F811
    """It lies in a group that nobody claims any more; who attached it first has it."""
    data = await left_behind(world)
    apply(world, genomics(), attached(data))
    await world.run_until(lambda: world.ready("genomics"), seconds=15)
    await calm(world)
    before = last(world)
    owner = ("StorageTier", "physics-home")
    network = {"addressSpace": ["10.60.0.0/20"]}
    apply(west, lean(name="physics", network=network),
          attached(data, name="physics-home", environment="physics", deletionPolicy="Delete"))  # fmt: skip
    await calm(west, seconds=15)
    await west.run_until(lambda: condition(west, owner)[1] == "AlreadyExists", seconds=5)
    assert "hpc/genomics" in condition(west, owner)[2]
    await delete_all(west)
    assert not [item for item in writes(west, before) if "hpc_climate" in item["path"]]
    assert found(world, "/volumes/climate-home").body["tags"]["hpc-environment"] == "hpc/genomics"


async def test_data_that_nobody_here_made_can_be_attached(world):
    """A volume with no tags of ours in a group of others, as of an environment that somebody made by hand."""
    data = await left_behind(world)
    await alice(world, "PATCH", data.id, {"tags": {"by": "hand"}})
    await alice(world, "PATCH", data.id.rsplit("/", 2)[0], {"tags": {}})
    apply(world, genomics(), attached(data))
    await world.run_until(lambda: world.ready("genomics"), seconds=15)
    tags = found(world, "/volumes/climate-home").body["tags"]
    assert (tags["by"], tags["hpc-environment"]) == ("hand", "hpc/genomics")


async def test_attaching_what_does_not_exist_makes_no_empty_one(world):
    data = await left_behind(world)
    world.emulator.engine.remove(data)
    apply(world, genomics(), attached(data), partition(environment="genomics", nodes={"min": 0, "max": 2}))
    await calm(world, seconds=15)
    await drift(world)
    assert not [item for item in ids(world) if "/volumes/" in item]
    status, _, message = condition(world, ("StorageTier", "genomics-home"))
    assert status == "False"
    assert "climate-home" in message


@pytest.mark.parametrize("capacity", ["4Ti", "6Ti"])
async def test_attached_data_grows_and_never_shrinks(world, capacity):
    spec = {"netAppFiles": {"serviceLevel": "Premium", "capacity": "5Ti"}}
    await ready(world, lean(), tier(**spec))
    await delete_all(world)
    data = found(world, "/volumes/climate-home")
    apply(world, genomics(), attached(data, netAppFiles={"serviceLevel": "Premium", "capacity": capacity}))
    await calm(world, seconds=15)
    size = found(world, "/volumes/climate-home").properties["usageThreshold"]
    assert size == (6 if capacity == "6Ti" else 5) << 40
    if capacity == "4Ti":
        assert condition(world, ("StorageTier", "genomics-home"), "Stalled")[1] == "WouldShrink"


async def test_attached_data_that_is_lost_is_not_made_empty(world):
    data = await left_behind(world)
    apply(world, genomics(), attached(data))
    await world.run_until(lambda: world.ready("genomics"), seconds=15)
    await calm(world)
    await alice(world, "DELETE", data.id)
    await drift(world)
    assert not [item for item in ids(world) if "/volumes/" in item]
    assert condition(world, ("StorageTier", "genomics-home"))[:2] == ("False", "DataLost")


# --- Adopting


def adopt(resource, there, *, manage):
    return {"resource": resource, "id": there, "manage": manage}


def hand_made(world, **tags):
    """A network that somebody made by hand, and that is not quite as we would make it."""
    put_behind_our_back(world, SITE, tags={"owner": "cloud-team"})
    network = f"{SITE}/providers/Microsoft.Network/virtualNetworks/byhand"
    prefixes = {"addressSpace": {"addressPrefixes": ["10.40.0.0/20"]}}
    put_behind_our_back(world, network, tags={"by": "hand", **tags}, properties=prefixes)
    group = f"{SITE}/providers/Microsoft.Network/networkSecurityGroups/byhand"
    put_behind_our_back(world, group, tags={"by": "hand", **tags}, properties={"securityRules": []})
    return network, group


GROUP_OF_NODES = "Microsoft.Network/networkSecurityGroups/nsg-compute"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities/id-nodes"


def identity_by_hand(world, name="byhand"):
    put_behind_our_back(world, SITE, tags={"owner": "cloud-team"})
    there = f"{SITE}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    put_behind_our_back(world, there, tags={"by": "hand"})
    return there


def on_site(world, since=0):
    ours = (item for item in writes(world, since) if item["caller"] != ALICE)
    return [item for item in ours if item["path"].lower().startswith(SITE.lower())]


def as_it_is(world, there):
    resource = found(world, there)
    return resource.etag, str(resource.body)


async def test_what_is_adopted_to_be_looked_at_is_compared_and_never_written(world):
    _, group = hand_made(world)
    before = as_it_is(world, group)
    apply(world, lean(adopt=[adopt(GROUP_OF_NODES, group, manage=False)]), partition())
    await world.run_until(lambda: counts(world).get("ready") == 2, seconds=15)
    await calm(world)
    change = planned(world, "/networkSecurityGroups/byhand")
    assert change["action"] == "Update"
    assert "manage: true" in change["waitsFor"]
    assert {field["path"].split(".")[0] for field in change["fields"]} == {"properties", "tags"}
    assert not [item for item in ids(world) if item.endswith("/networksecuritygroups/nsg-compute")]
    assert found(world, "/subnets/compute").properties["networkSecurityGroup"]["id"].lower() == group.lower()
    await alice_tags(world, "/networkSecurityGroups/byhand", more="theirs")
    before = as_it_is(world, group)
    await drift(world)
    await restart(world)
    await calm(world)
    assert drifted(world) == {}, "nobody owes us anything there"
    assert as_it_is(world, group) == before
    await delete_all(world)
    assert as_it_is(world, group) == before
    assert on_site(world) == []
    assert not [item for item in ids(world) if "hpc_climate" in item]


async def test_what_is_adopted_to_be_looked_at_does_not_keep_the_environment_from_being_ready(world):
    there = identity_by_hand(world)
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=False)]), partition())
    assert counts(world)["ready"] == 2
    await assert_steady(world)


async def test_what_is_adopted_and_managed_is_tagged_updated_and_deleted(world):
    there = identity_by_hand(world)
    made = found(world, there).properties["principalId"]
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=True)]), partition())
    identity = found(world, there)
    assert identity.properties["principalId"] == made
    tags = identity.body["tags"]
    assert (tags["by"], tags["hpc-environment"], tags["department"]) == ("hand", "hpc/climate", "climate")
    await assert_steady(world)
    world.cluster.edit(*ENVIRONMENT, tags={"department": "weather"})
    await calm(world)
    assert tag_of(world, there) == "weather"
    await alice_tags(world, there, department="theirs")
    await drift(world)
    assert tag_of(world, there) == "weather"
    await delete_all(world)
    assert ids(world) == {SITE.lower()}


async def test_an_adopted_group_of_rules_gets_ours_beside_those_of_others(world):
    _, group = hand_made(world)
    rule = {"priority": 3000, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourcePortRange": "*",
            "sourceAddressPrefix": "*", "destinationPortRange": "3389", "destinationAddressPrefix": "*"}  # fmt: skip
    await alice(world, "PUT", f"{group}/securityRules/deny-rdp", {"properties": rule})
    await ready(world, lean(adopt=[adopt(GROUP_OF_NODES, group, manage=True)]), partition())
    names = {item.rsplit("/", 1)[1] for item in ids(world) if "/byhand/securityrules/" in item}
    assert {"deny-rdp", "hpc-allow-slurm", "hpc-deny-virtual-network"} <= names
    await assert_steady(world)


async def test_managing_begins_and_ends_by_an_edit(world):
    there = identity_by_hand(world)
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=False)]), partition())
    assert "hpc-environment" not in found(world, there).body["tags"]
    assert on_site(world) == []
    world.cluster.edit(*ENVIRONMENT, adopt=[adopt(IDENTITY, there, manage=True)])
    await calm(world)
    assert found(world, there).body["tags"]["hpc-environment"] == "hpc/climate"
    world.cluster.edit(*ENVIRONMENT, adopt=[adopt(IDENTITY, there, manage=False)])
    await calm(world)
    assert world.ready()
    before = last(world)
    await drift(world)
    await assert_steady(world)
    await delete_all(world)
    assert there.lower() in ids(world)
    assert on_site(world, before) == []


def ours_on(world, there):
    return {name for name in found(world, there).body["tags"] if name.startswith("hpc-")}


async def test_what_is_given_back_carries_no_tag_of_ours_and_that_is_told_before(world):
    there = identity_by_hand(world)
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=True)]))
    assert "hpc-claim" in ours_on(world, there)
    world.cluster.edit(*ENVIRONMENT, adopt=[adopt(IDENTITY, there, manage=False)], policy={"dryRun": True})
    await calm(world)
    (change,) = world.cluster.status(*ENVIRONMENT)["plan"]["changes"]
    assert (change["action"], change["id"]) == ("Update", there)
    assert {field["path"] for field in change["fields"]} == {f"tags.{name}" for name in ours_on(world, there)}
    assert "hpc-claim" in ours_on(world, there)
    world.cluster.edit(*ENVIRONMENT, policy={})
    await calm(world)
    assert ours_on(world, there) == set()
    assert tag_of(world, there) == "climate", "all else stays as it is"
    await assert_steady(world)


async def test_what_is_given_back_by_the_last_edit_before_a_deletion_stays_and_is_nobodys(world):
    there = identity_by_hand(world)
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=True)]))
    world.cluster.edit(*ENVIRONMENT, adopt=[adopt(IDENTITY, there, manage=False)])
    await delete_all(world)
    assert "hpc-claim" not in ours_on(world, there)


@pytest.mark.parametrize("then", ["Deleted", "Living", "Environment"])
async def test_what_was_given_back_can_be_had_by_another_environment(world, then):
    there = identity_by_hand(world)
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=True)]))
    world.cluster.edit(*ENVIRONMENT, adopt=[adopt(IDENTITY, there, manage=False)])
    await calm(world)
    if then == "Deleted":
        await delete_all(world)
    if then == "Living":
        world.cluster.edit(*ENVIRONMENT, adopt=[])
        await calm(world)
    apply(world, genomics(identities={"nodes": there}) if then == "Environment" else genomics(
        adopt=[adopt(IDENTITY, there, manage=True)]))  # fmt: skip
    await world.run_until(lambda: world.ready("genomics"), seconds=15)
    if then != "Environment":
        assert found(world, there).body["tags"]["hpc-environment"] == "hpc/genomics"


async def test_an_entry_that_is_taken_out_while_managed_does_not_delete_unasked(world):
    """Our own one takes its place; what was handed over is ours, and goes as what is no longer wanted."""
    there = identity_by_hand(world)
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=False)]), partition(nodes={"min": 0, "max": 2}))
    world.cluster.edit(*ENVIRONMENT, adopt=[])
    await calm(world)
    await world.run_until(world.ready, seconds=10)
    assert there.lower() in ids(world)
    assert on_site(world) == []
    assert [item for item in ids(world) if item.endswith("/userassignedidentities/id-nodes")] != []


def assert_refused_with_both_names(world):
    status, reason, message = condition(world, GENOMICS)
    assert (status, reason) == ("False", "AlreadyExists")
    assert "hpc/climate" in message
    assert "hpc/genomics" in message


@pytest.mark.parametrize("manage", [False, True])
async def test_adopting_from_a_living_environment_is_refused_with_both_names(world, manage):
    await ready(world, lean())
    there = found(world, "/userAssignedIdentities/id-nodes")
    before = as_it_is(world, there.key)
    apply(world, genomics(adopt=[adopt(IDENTITY, there.id, manage=manage)]))
    await calm(world, seconds=15)
    if manage:
        assert_refused_with_both_names(world)
    assert as_it_is(world, there.key) == before
    world.cluster.delete(*GENOMICS)
    await gone(world, GENOMICS)
    assert as_it_is(world, there.key) == before
    await drift(world)
    assert world.ready()


@pytest.mark.parametrize("manage", [False, True])
async def test_adopting_from_another_operators_environment_is_refused_with_both_names(world, west, manage):  # noqa: F811
    await ready(world, lean())
    there = found(world, "/userAssignedIdentities/id-nodes")
    before = as_it_is(world, there.key)
    apply(west, genomics(adopt=[adopt(IDENTITY, there.id, manage=manage)]))
    await calm(west, seconds=15)
    if manage:
        assert_refused_with_both_names(west)
    await delete_all(west)
    assert as_it_is(world, there.key) == before


async def test_what_was_adopted_by_another_operator_is_refused_with_both_names(world, west):  # noqa: F811
    """It lies in a group that nobody claims."""
    there = identity_by_hand(world)
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=True)]))
    before = as_it_is(world, there)
    apply(west, genomics(adopt=[adopt(IDENTITY, there, manage=True)]))
    await calm(west, seconds=15)
    assert_refused_with_both_names(west)
    await delete_all(west)
    assert as_it_is(world, there) == before


async def test_two_environments_that_adopt_one_resource_are_refused(world):
    there = identity_by_hand(world)
    await ready(world, lean(adopt=[adopt(IDENTITY, there, manage=True)]))
    apply(world, genomics(adopt=[adopt(IDENTITY, there, manage=True)]))
    await calm(world)
    status, reason, message = condition(world, GENOMICS)
    assert (status, reason) == ("False", "AdoptionTaken")
    assert "hpc/climate" in message


async def test_a_resource_group_can_be_what_is_left_of_an_adoption(world):
    """An adopted resource in our own group, that is not to be managed, keeps the group."""
    there = f"{GROUP_ID}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/byhand"
    await ready(world, lean())
    put_behind_our_back(world, there, tags={"by": "hand"})
    world.cluster.edit(*ENVIRONMENT, adopt=[adopt(IDENTITY, there, manage=False)])
    await calm(world)
    await delete_all(world)
    assert ids(world) == {GROUP_ID.lower(), there.lower()}


@pytest.mark.parametrize("manage", [False, True])
async def test_adopting_what_does_not_exist_is_told(world, manage):
    there = identity_by_hand(world)
    world.emulator.engine.remove(found(world, there))
    apply(world, lean(adopt=[adopt(IDENTITY, there, manage=manage)]))
    await calm(world, seconds=15)
    if not manage:
        status, reason, message = condition(world, ENVIRONMENT)
        assert (status, reason) == ("False", "ReferenceNotFound")
        assert there in message
        identity_by_hand(world)
        await drift(world)
    await world.run_until(world.ready, seconds=15)
