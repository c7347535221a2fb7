"""File systems, and numbers of resources in a region."""

from hpc_operator.preflight import Check, limits, storage

from .conftest import find, lustre, net_app, surroundings, usages

TEBIBYTE = 2**40


def check(site, **of_net_app):
    return list(storage.check(site, {"Microsoft.NetApp": usages(**of_net_app)}))


def test_nothing_is_said_where_there_is_room():
    site = surroundings(tiers=[net_app(), lustre()])
    assert check(site, totalTiBsPerSubscription=4) == []
    assert list(storage.check(site, {})) == []


def test_pools_share_the_capacity_of_the_region_in_the_order_of_their_names():
    site = surroundings(tiers=[net_app("b", "4Ti"), net_app("a", "2Ti")])
    (finding,) = check(site, totalTiBsPerSubscription=(20, 25))
    assert finding.message == (
        "Capacity pool b needs 1 TiB more than the quota of 25 TiB for Azure NetApp Files in westeurope has left: "
        "request more quota or lower capacity"
    )
    assert finding.blocks == {find(site, "capacitypools/b"), find(site, "volumes/b")}


def test_a_pool_that_is_there_needs_what_it_grows_by():
    shown = {"capacitypools/climate-home": {"properties": {"size": 3 * TEBIBYTE}}}
    site = surroundings(tiers=[net_app()], shown=shown)
    assert storage.needed(site) == ["Microsoft.NetApp"]
    assert check(site, totalTiBsPerSubscription=(24, 25)) == []
    (finding,) = check(site, totalTiBsPerSubscription=(25, 25))
    assert find(site, "volumes/climate-home") in finding.blocks  # or it would be grown beyond its pool


def test_nothing_is_asked_where_nothing_grows():
    shown = {"capacitypools/climate-home": {"properties": {"size": 4 * TEBIBYTE}}}
    assert storage.needed(surroundings(tiers=[net_app()], shown=shown)) == []


def test_an_account_takes_25_pools_and_those_that_are_there_stay():
    tiers = [net_app(f"tier-{number:02}", "1Ti") for number in range(26)]
    site = surroundings(tiers=tiers, shown={"capacitypools/tier-25": {"properties": {"size": TEBIBYTE}}})
    (finding,) = check(site)
    assert (finding.reason, finding.owner.name) == ("TooManyPools", "tier-24")
    assert check(surroundings(tiers=tiers[:25])) == []


def test_sizes_that_are_not_made():
    assert [finding.reason for finding in check(surroundings(tiers=[net_app(capacity="1536Gi")]))] == [
        "CapacityNotOffered"
    ]
    assert [finding.reason for finding in check(surroundings(tiers=[net_app(capacity="101Ti")]))] == [
        "CapacityNotOffered"
    ]
    (finding,) = check(surroundings(tiers=[lustre(capacity="12Ti")]))
    assert finding.message == (
        "Azure makes Lustre file systems of AMLFS-Durable-Premium-250 in steps of 8Ti, from 8Ti to 128Ti only, and "
        "climate-scratch is to have 12Ti: write such a capacity"
    )
    assert check(surroundings(tiers=[lustre(capacity="136Ti")]))
    assert check(surroundings(tiers=[lustre(capacity="12Ti")], shown={"climate-scratch": {"properties": {}}})) == []


def test_a_number_of_file_systems():
    site = surroundings(tiers=[lustre("a"), lustre("b")])
    assert list(limits.check(site, {"Microsoft.StorageCache": usages(AmlFilesystem=(2, 4))})) == []
    (finding,) = limits.check(site, {"Microsoft.StorageCache": usages(AmlFilesystem=(3, 4))})
    assert (finding.check, finding.blocks) == (Check.STORAGE, {find(site, "amlfilesystems/b")})
    assert finding.message == (
        "b of amlFilesystems cannot be made, because the subscription may have 4 AmlFilesystem in westeurope and has "
        "no more left: request a higher limit or delete unused ones"
    )


def test_a_number_of_public_addresses_is_a_matter_of_quota():
    site = surroundings()
    (finding,) = limits.check(site, {"Microsoft.Network": usages(IPv4StandardSkuPublicIpAddresses=(10, 10))})
    assert (finding.check, finding.blocks) == (Check.QUOTA, {find(site, "publicipaddresses/pip-nat")})


def test_only_what_has_to_be_made_is_counted_and_asked_for():
    assert limits.needed(surroundings()) == ["Microsoft.Network", "Microsoft.Storage"]
    assert limits.needed(surroundings(tiers=[net_app()])) == [
        "Microsoft.Network",
        "Microsoft.Storage",
        "Microsoft.NetApp",
    ]
    site = surroundings(tiers=[lustre()], shown={"amlfilesystems/climate-scratch": {"properties": {}}})
    assert list(limits.check(site, {"Microsoft.StorageCache": usages(AmlFilesystem=(4, 4))})) == []
