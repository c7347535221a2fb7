"""VM sizes: whether they can be had, and what they can do."""

import pytest

from hpc_operator.preflight import Check, sizes

from .conftest import EXISTING, HUB, SIZES, environment, find, hub, partition, size, surroundings

HB = "Standard_HB176rs_v4"


def check(site, offered=SIZES):
    return list(sizes.check(site, offered))


def test_nothing_is_said_of_sizes_that_can_be_had():
    assert check(surroundings(partitions=[partition(priority="Spot")])) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unavailable": "NotAvailableForSubscription"}, "VMSizeRestricted"),
        ({"accelerated_networking": False}, "AcceleratedNetworkingMissing"),
        ({"spot": False}, "SpotNotOffered"),
    ],
)
def test_a_fault_of_the_size_in_use_holds_up_its_nodes(changes, reason):
    site = surroundings(partitions=[partition(priority="Spot")])
    (finding,) = check(site, size(HB, **changes))
    assert (finding.reason, finding.blocks) == (reason, {site.node_sets[0].scale_set_id.lower()})
    assert finding.message.startswith(f"Partition climate-hpc is to have VM size {HB}, which ")


def test_only_spot_partitions_need_spot():
    assert check(surroundings(), size(HB, spot=False)) == []


def test_a_size_that_the_region_does_not_have():
    site = surroundings()
    (finding,) = check(site, {name: item for name, item in SIZES.items() if item.name != HB})
    assert finding.message == (
        f"Partition climate-hpc is to have VM size {HB}, which westeurope does not have: write another one first in "
        "vmSizes"
    )
    assert finding.blocks


def test_a_size_restricted_in_every_zone_is_news_because_machines_name_no_zone():
    zones = frozenset("123")
    (finding,) = check(surroundings(), size(HB, zones=zones, restricted_zones=zones))
    assert (finding.reason, finding.blocks) == ("VMSizeRestrictedInZones", frozenset())
    assert check(surroundings(), size(HB, zones=zones, restricted_zones=frozenset("12"))) == []


def test_the_next_sizes_of_the_list_are_news():
    site = surroundings(partitions=[partition(sizes=[HB, "Standard_HB120rs_v3", "Standard_Nothing"])])
    restricted, unknown = check(site, size("Standard_HB120rs_v3", unavailable="QuotaId"))
    assert (restricted.reason, unknown.reason) == ("VMSizeRestricted", "VMSizeUnknown")
    assert not restricted.blocks
    assert not unknown.blocks
    assert "names VM size Standard_Nothing, which westeurope does not have: take it out of vmSizes" in unknown.message


def test_a_scheduler_needs_a_size_that_takes_its_premium_disk():
    site = surroundings()
    (finding,) = check(site, size("Standard_D4s_v5", premium_storage=False))
    assert finding.blocks == {find(site, "virtualmachines/scheduler")}
    assert finding.message == (
        "VM scheduler is to have VM size Standard_D4s_v5, which takes no premium disk, and it has one: write another "
        "vmSize"
    )


def test_machines_that_are_there_are_judged_only_when_they_change_size():
    offered = size("Standard_D4s_v5", unavailable="QuotaId")
    there = {"properties": {"hardwareProfile": {"vmSize": "standard_d4s_v5"}}}
    assert (
        check(surroundings(shown={"virtualmachines/scheduler": there, "virtualmachines/login-1": there}), offered) == []
    )
    there = {"properties": {"hardwareProfile": {"vmSize": "Standard_D8s_v5"}}}
    site = surroundings(shown={"virtualmachines/scheduler": there, "virtualmachines/login-1": there})
    assert {finding.reason for finding in check(site, offered)} == {"VMSizeRestricted"}


def test_infiniband_joins_a_hundred_nodes():
    assert check(surroundings(partitions=[partition(most=100)])) == []
    (finding,) = check(surroundings(partitions=[partition(most=101)]))
    assert (finding.reason, finding.blocks) == ("InfiniBandLimited", frozenset())
    assert "lower nodes.max to 100" in finding.message
    assert check(surroundings(partitions=[partition(sizes=["Standard_D8s_v5"], most=101)])) == []


def test_an_existing_network_may_not_have_the_addresses_of_infiniband():
    env = environment(network=EXISTING)
    assert check(surroundings(env, shown={HUB: hub("10.0.0.0/16")})) == []
    (finding,) = check(surroundings(env, shown={HUB: hub("172.16.0.0/12")}))
    assert (finding.check, finding.reason) == (Check.NETWORK, "InfiniBandAddressesTaken")
    single = [partition(most=1)]
    assert check(surroundings(env, single, shown={HUB: hub("172.16.0.0/12")})) == []
