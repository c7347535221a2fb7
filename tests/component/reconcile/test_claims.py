"""Two who want the same: operators of two clusters, environments of one, and what an environment that went has left."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

import jwt
import pytest
from sdk_clients import AsyncCredential

from hpc_operator.azure import AzureClient
from hpc_operator.azure.prices import PriceList
from hpc_operator.azure.subscription import AzureSubscription
from hpc_operator.kubernetes_host.queue import KeyQueue
from hpc_operator.reconcile.environment import Reconciler

from .conftest import SUBSCRIPTION, InMemoryCluster, World, partition, tier
from .test_drift import hasten, tag_of
from .test_life import ids, last
from .test_life import writes as all_writes
from .test_trouble import (
    ENVIRONMENT,
    HOME,
    PARTITION,
    apply,
    assert_steady,
    calm,
    condition,
    delete_all,
    drift,
    fault,
    found,
    gone,
    lean,
    machines,
    put_behind_our_back,
    quicken,
    ready,
)

WEST = "west@example.com"
TAKE_OVER = "azurehpc.io/take-over"
GENOMICS = ("HPCEnvironment", "genomics")


@dataclass
class West(World):
    """An operator in another cluster, on the same subscription."""

    def make_reconciler(self):
        return Reconciler(
            self.azure,
            AzureSubscription(self.azure, PriceList(self.emulator.url)),
            self.cluster,
            subscription_id=SUBSCRIPTION,
            holder="west",
            drift_seconds=600.0,
            may_go=lambda node: self.may_go(node.name),
        )


@pytest.fixture
async def world(world, monkeypatch):
    return hasten(world, monkeypatch)


@pytest.fixture
async def west(world):
    queue = KeyQueue()
    cluster = InMemoryCluster(queue.add)
    cluster._numbers = itertools.count(31)  # other uids
    # Another identity, so that requests tell who sent them.
    claims = {"oid": "00000000-0000-0000-0000-0000000003e5", "upn": WEST, "idtyp": "user"}
    credential = AsyncCredential(jwt.encode(claims, "a secret of " * 3))
    azure = await AzureClient(world.emulator.url, SUBSCRIPTION, credential).__aenter__()
    made = West(world.emulator, cluster, queue, azure, None)
    made.reconciler = made.make_reconciler()
    quicken(made)
    try:
        yield made
    finally:
        await made.azure.close()


def writes(world, since=0):
    """What one of the two operators wrote."""
    is_west = isinstance(world, West)
    return [entry for entry in all_writes(world, since) if (entry["caller"] == WEST) == is_west]


def holder(world, name="climate"):
    prefix = "west" if isinstance(world, West) else "test"
    return f"{prefix}/{world.cluster.objects['HPCEnvironment', name]['metadata']['uid']}"


def claim(world):
    return found(world, "/resourcegroups/hpc_climate").body["tags"].get("hpc-claim")


def annotate(world, value, name="climate"):
    raw = world.cluster.objects["HPCEnvironment", name]
    metadata = {"name": name, "annotations": {TAKE_OVER: value}}
    world.cluster.apply({"kind": "HPCEnvironment", "metadata": metadata, "spec": raw["spec"]})


async def both(*worlds):
    await asyncio.gather(*(calm(world, seconds=15) for world in worlds))


THINGS = (lean(), tier(), partition())


# --- Two operators


async def test_the_second_of_two_operators_is_refused_with_both_names(world, west):
    await ready(world, *THINGS)
    there = ids(world)
    apply(west, *THINGS)
    await calm(west)
    status, reason, message = condition(west, ENVIRONMENT)
    assert (status, reason) == ("False", "ClaimedByAnother")
    assert message.startswith("Resource group hpc_climate is claimed by")
    assert f"hpc/climate of {holder(world)}" in message
    assert f"hpc/climate of {holder(west)}" in message
    assert f"{TAKE_OVER}={holder(world)}" in message
    assert condition(west, ENVIRONMENT, "Stalled")[0] == "True"
    for owner in (HOME, PARTITION):
        assert condition(west, owner)[0] == "False"
    assert writes(west) == []
    await drift(west)
    assert writes(west) == []
    await assert_steady(world)
    await drift(world)
    assert world.ready()
    assert ids(world) == there


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_refused_operator_deletes_nothing(world, west, restarted):
    await ready(world, *THINGS)
    there = ids(world)
    apply(west, lean(), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}), partition())
    await calm(west)
    if restarted:
        await west.restart()
        quicken(west)
        await calm(west)
    await delete_all(west)
    assert writes(west) == []
    assert ids(world) == there
    await drift(world)
    assert world.ready()


async def test_the_refused_operator_goes_on_when_the_first_is_gone(world, west):
    await ready(world, lean(), partition())
    apply(west, lean(), partition())
    await calm(west)
    await delete_all(world)
    assert ids(world) == set()
    await drift(west)
    await west.run_until(west.ready, seconds=15)
    assert claim(west) == holder(west)


@pytest.mark.parametrize("delayed", [0, 1, 2])
async def test_of_two_operators_that_start_together_one_wins_and_the_other_harms_nothing(world, west, delayed):
    if delayed:
        # Both see that there is no group before either has made it.
        fault(world, "PUT", "/resourcegroups/hpc_climate$", count=delayed, delaySeconds=60)
    apply(world, lean(), partition())
    apply(west, lean(), partition())
    await both(world, west)
    for one in (world, west):
        await drift(one)
    await both(world, west)
    winner, loser = (world, west) if claim(world) == holder(world) else (west, world)
    await winner.run_until(winner.ready, seconds=15)
    await both(world, west)
    assert not loser.ready()
    status, reason, message = condition(loser, ENVIRONMENT)
    assert (status, reason) == ("False", "ClaimedByAnother")
    assert holder(world) in message
    assert holder(west) in message
    there = ids(world)
    assert len(machines(world)) == 2
    before = last(world)
    await drift(loser)
    await delete_all(loser)
    assert ids(world) == there
    assert writes(loser, before) == []
    await drift(winner)
    assert winner.ready()
    assert writes(winner, before) == []


# --- Taking over


async def test_an_annotation_takes_everything_over_as_it_is(world, west):
    await ready(world, *THINGS)
    there, before = ids(world), last(world)
    apply(west, *THINGS)
    await calm(west)
    annotate(west, holder(world))
    await west.run_until(west.ready, seconds=10)
    await calm(west)
    assert claim(west) == holder(west)
    vaults = {item for item in ids(west) ^ there if "/vaults/" not in item}
    assert vaults == set()
    assert not [item for item in writes(west, before) if item["method"] == "DELETE"]
    touched = {item["path"].rsplit("/", 2)[1] for item in writes(west, before)}
    assert not touched & {"virtualNetworks", "subnets", "volumes", "disks", "virtualMachineScaleSets"}
    await assert_steady(west)
    # It is the operator's own now.
    west.cluster.edit(*PARTITION, nodes={"min": 3, "max": 8})
    await calm(west)
    assert len(machines(west)) == 3


@pytest.mark.parametrize("value", ["test/uid-99", "hpc/genomics", "", "test"])
async def test_an_annotation_that_names_somebody_else_takes_nothing_over(world, west, value):
    await ready(world, lean())
    apply(west, lean())
    await calm(west)
    annotate(west, value)
    await calm(west)
    await drift(west)
    assert condition(west, ENVIRONMENT)[1] == "ClaimedByAnother"
    assert writes(west) == []
    assert claim(world) == holder(world)


async def taken_over(world, west):
    """West takes over what the first operator has, which is there still and does not know."""
    await ready(world, lean(), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}), partition())
    apply(west, lean(), tier(deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}), partition())
    annotate(west, holder(world))
    await west.run_until(west.ready, seconds=15)
    await calm(west)


async def test_who_was_taken_over_from_is_told_by_whom_and_writes_nothing(world, west):
    await taken_over(world, west)
    before = last(world)
    await drift(world)
    status, reason, message = condition(world, ENVIRONMENT)
    assert (status, reason) == ("False", "ClaimedByAnother")
    assert holder(world) in message
    assert holder(west) in message
    world.cluster.edit(*ENVIRONMENT, tags={"department": "x"}, scheduler={"slurm": {"config": ["MaxJobCount=7"]}})
    world.cluster.edit(*PARTITION, nodes={"min": 4, "max": 8})
    world.cluster.edit(*HOME, netAppFiles={"capacity": "6Ti"})
    await calm(world)
    await drift(world)
    assert writes(world, before) == []
    assert tag_of(world, "/virtualNetworks/vnet") == "climate"
    assert len(machines(world)) == 2


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize("what", ["all", "environment", "partition", "tier"])
async def test_who_was_taken_over_from_deletes_nothing(world, west, looked, what):
    """Whoever moves an environment to another cluster deletes it in the first one then."""
    await taken_over(world, west)
    there, before = ids(west), last(world)
    if looked:
        await drift(world)
    kinds = {"all": (ENVIRONMENT, HOME, PARTITION), "environment": (ENVIRONMENT,), "partition": (PARTITION,),
             "tier": (HOME,)}[what]  # fmt: skip
    for kind in kinds:
        world.cluster.delete(*kind)
    await gone(world, *kinds, seconds=15)
    assert writes(world, before) == []
    assert ids(west) == there
    await drift(west)
    assert west.ready()


async def test_an_object_made_anew_is_another_claim_until_it_is_taken_over(world):
    """As after a backup of the cluster was restored, or a finalizer was taken away by force."""
    await ready(world, lean(), tier(), partition())
    first, there = holder(world), ids(world)
    for key in (ENVIRONMENT, HOME, PARTITION):
        world.cluster._remove(world.cluster.objects[key])
    await calm(world)
    before = last(world)
    apply(world, *THINGS)
    await calm(world)
    assert condition(world, ENVIRONMENT)[1] == "ClaimedByAnother"
    assert writes(world, before) == []
    annotate(world, first)
    await world.run_until(world.ready, seconds=10)
    await calm(world)
    assert {item for item in there - ids(world) if "/vaults/" not in item} == set()
    assert claim(world) == holder(world)
    await assert_steady(world)


# --- What is left of one that went


async def retained(world, *, name="climate"):
    """Make an environment with data that is retained, and delete all of it."""
    await ready(world, lean(name=name), tier(environment=name), partition(environment=name))
    await delete_all(world)
    assert [item for item in ids(world) if item.endswith("/volumes/climate-home")] != []


async def test_a_kept_resource_group_carries_no_claim(world):
    await retained(world)
    assert claim(world) is None


async def test_another_operator_takes_up_what_was_left(world, west):
    await retained(world)
    volume, before = found(world, "/volumes/climate-home"), last(world)
    made = volume.created
    apply(west, *THINGS)
    await west.run_until(west.ready, seconds=15)
    await calm(west)
    assert not [item for item in writes(west, before) if "/volumes/" in item["path"] and item["method"] != "PATCH"]
    assert found(west, "/volumes/climate-home").created == made
    assert claim(west) == holder(west)
    await assert_steady(west)


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_a_kept_group_serves_an_environment_of_another_name(world, policy):
    await retained(world)
    made, before = found(world, "/volumes/climate-home").created, last(world)
    apply(
        world,
        lean(name="genomics", resourceGroup="hpc_climate"),
        tier(environment="genomics", deletionPolicy=policy, netAppFiles={"capacity": "4Ti"}),
        partition(environment="genomics"),
    )
    await world.run_until(lambda: world.ready("genomics"), seconds=15)
    await calm(world)
    sent = [(item["method"], item["path"].rsplit("/", 2)[1]) for item in writes(world, before)]
    assert ("PUT", "volumes") not in sent
    volume = found(world, "/volumes/climate-home")
    assert volume.created == made
    assert volume.body["tags"]["hpc-environment"] == "hpc/genomics"
    assert claim(world) == holder(world, "genomics")
    await assert_steady(world)
    await delete_all(world)
    left = [item for item in ids(world) if "/volumes/" in item]
    assert bool(left) == (policy == "Retain")
    if policy == "Delete":
        assert ids(world) == set()


async def test_a_group_of_a_living_environment_is_refused_with_both_names(world):
    await ready(world, lean())
    before = last(world)
    network = {"addressSpace": ["10.50.0.0/20"]}
    apply(world, lean(name="genomics", resourceGroup="hpc_climate", network=network))
    await calm(world)
    status, reason, message = condition(world, GENOMICS)
    assert (status, reason) == ("False", "ResourceGroupTaken")
    assert "hpc/climate" in message
    assert writes(world, before) == []
    await delete_all(world)
    assert ids(world) == set()


async def test_a_group_of_another_operators_environment_is_refused_with_both_names(world, west):
    await ready(world, lean(), tier())
    apply(west, lean(name="genomics", resourceGroup="hpc_climate"))
    await calm(west)
    status, reason, message = condition(west, GENOMICS)
    assert (status, reason) == ("False", "ClaimedByAnother")
    assert f"hpc/climate of {holder(world)}" in message
    assert f"hpc/genomics of {holder(west, 'genomics')}" in message
    assert writes(west) == []
    await delete_all(west)
    assert writes(west) == []
    await drift(world)
    assert world.ready()


async def test_a_free_group_of_others_is_used_and_what_is_in_it_stays(world):
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/theirs"
    put_behind_our_back(world, group, tags={"owner": "cloud-team"})
    address = f"{group}/providers/Microsoft.Network/publicIPAddresses/theirs"
    put_behind_our_back(world, address, sku={"name": "Standard"}, properties={"publicIPAllocationMethod": "Static"})
    await ready(world, lean(resourceGroup="theirs"))
    assert found(world, "/resourcegroups/theirs").body["tags"]["owner"] == "cloud-team"
    await delete_all(world)
    assert ids(world) == {group.lower(), address.lower()}
    tags = found(world, "/resourcegroups/theirs").body["tags"]
    assert "hpc-claim" not in tags
    assert tags["owner"] == "cloud-team"


async def test_a_kept_group_that_somebody_else_has_by_now_is_not_taken_back(world, west):
    """The first name comes back while an environment of another operator and name lives in the group."""
    await retained(world)
    apply(west, lean(name="genomics", resourceGroup="hpc_climate"), tier(environment="genomics"))
    await west.run_until(lambda: west.ready("genomics"), seconds=15)
    await calm(west)
    before = last(world)
    apply(world, lean(), tier())
    await calm(world)
    status, reason, message = condition(world, ENVIRONMENT)
    assert (status, reason) == ("False", "ClaimedByAnother")
    assert f"hpc/genomics of {holder(west, 'genomics')}" in message
    assert writes(world, before) == []
    await delete_all(world)
    await drift(west)
    assert west.ready("genomics")
