"""Every problem, once bad and once good."""

import pytest

from hpc_operator.blueprint import find_problems

OLD, NEW = {"creationTimestamp": "2026-01-01T00:00:00Z"}, {"creationTimestamp": "2026-02-01T00:00:00Z"}
GOING = {"deletionTimestamp": "2026-03-01T00:00:00Z"}


def space(*ranges):
    return {"addressSpace": list(ranges)}


def found(environment, tiers=(), partitions=(), others=()):
    return [(str(item.owner), item.reason) for item in find_problems(environment, tiers, partitions, others)]


def message(*args, **kwargs):
    (problem,) = find_problems(*args, **kwargs)
    return problem.message


def test_the_example_has_no_problem(example):
    assert found(example.environment(), [example.tier(), example.lustre(), example.nfs()], [example.partition()]) == []


# --- Two tiers


def test_of_two_tiers_on_one_path_the_newer_is_at_fault(example):
    old, new = example.tier("old", OLD), example.tier("anew", NEW)
    assert found(example.environment(), [new, old]) == [("StorageTier/anew", "MountPathTaken")]
    assert (
        message(example.environment(), [new, old], [], [])
        == "mountPath /home is taken by StorageTier old: write another path"
    )


def test_of_two_tiers_of_one_age_the_name_decides(example):
    assert found(example.environment(), [example.tier("b", OLD), example.tier("a", OLD)]) == [
        ("StorageTier/b", "MountPathTaken")
    ]


def test_a_path_inside_of_another_is_no_problem(example):
    assert found(example.environment(), [example.tier("a"), example.tier("b", mountPath="/home/project")]) == []


def test_a_tier_that_is_going_takes_no_path(example):
    assert found(example.environment(), [example.tier("old", OLD | GOING), example.tier("new", NEW)]) == []
    assert found(example.environment(), [example.tier("old", OLD), example.tier("new", NEW | GOING)]) == []


VOLUME = "/subscriptions/s/resourceGroups/old/providers/Microsoft.NetApp/netAppAccounts/a/capacityPools/p/volumes/v"


def test_two_tiers_cannot_attach_one_file_system(example):
    def tiers(other):
        return [example.tier("old", OLD, attach=VOLUME), example.tier("new", NEW, attach=other, mountPath="/b")]

    assert found(example.environment(), tiers(VOLUME[:-1] + "V")) == [("StorageTier/new", "AttachedTwice")]
    assert found(example.environment(), tiers(VOLUME + "2")) == []


def test_what_is_attached_needs_no_subnet(example):
    environment = example.environment(network=example.existing())
    assert found(environment, [example.tier(attach=VOLUME)]) == []
    lustre = VOLUME.partition("Microsoft")[0] + "Microsoft.StorageCache/amlFilesystems/fs"
    assert found(example.environment(network=space("10.0.0.0/24")), [example.lustre(attach=lustre)]) == []


# --- Two environments


def test_of_two_environments_in_one_resource_group_the_newer_is_at_fault(example):
    old = example.environment("old", OLD)
    new = example.environment("new", NEW, resourceGroup="HPC_old", network=space("10.41.0.0/20"))
    assert found(new, others=[old]) == [("HPCEnvironment/new", "ResourceGroupTaken")]
    assert found(old, others=[new]) == []
    assert "HPCEnvironment hpc/old" in message(new, [], [], [old])


def test_of_two_environments_that_adopt_one_resource_the_newer_is_at_fault(example):
    def adopting(name, age, network, there):
        entry = {"resource": "Microsoft.Network/virtualNetworks/vnet", "id": there}
        return example.environment(name, age, adopt=[entry], network=space(network))

    there = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/hub"
    old, new = adopting("old", OLD, "10.40.0.0/20", there), adopting("new", NEW, "10.41.0.0/20", there[:-3] + "HUB")
    assert found(new, others=[old]) == [("HPCEnvironment/new", "AdoptionTaken")]
    assert found(old, others=[new]) == []
    assert found(adopting("new", NEW, "10.41.0.0/20", there + "2"), others=[old]) == []


def test_two_environments_share_a_network_where_its_zone_is_named(example):
    def on_hub(name, age, **more):
        network = example.existing()
        network["existing"] |= more
        return example.environment(name, age, network=network)

    old = on_hub("old", OLD)
    assert found(on_hub("new", NEW), others=[old]) == [("HPCEnvironment/new", "NetworkTaken")]
    zone = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/"
    assert found(on_hub("new", NEW, blobDnsZone=f"{zone}privatelink.blob.core.windows.net"), others=[old]) == []


# --- Two partitions


@pytest.mark.parametrize(("one", "other", "bad"), [("hpc", "hpc", True), ("hpc", "gpu", False)])
def test_two_partitions_with_one_name(example, one, other, bad):
    partitions = [example.partition("a", OLD, partitionName=one), example.partition("b", NEW, partitionName=other)]
    assert found(example.environment(), [], partitions) == (
        [("ComputePartition/b", "PartitionNameTaken")] if bad else []
    )


def test_a_partition_may_not_be_called_as_another_is_named(example):
    partitions = [example.partition("hpc", OLD), example.partition("b", NEW, partitionName="hpc")]
    assert found(example.environment(), [], partitions) == [("ComputePartition/b", "PartitionNameTaken")]


# --- Address spaces


@pytest.mark.parametrize(
    ("ranges", "bad"), [(["10.0.0.0/20", "10.0.16.0/20"], False), (["10.0.0.0/20", "10.0.8.0/24"], True)]
)
def test_ranges_of_one_address_space(example, ranges, bad):
    environment = example.environment(network=space(*ranges))
    assert found(environment) == ([("HPCEnvironment/climate", "AddressSpacesOverlap")] if bad else [])


def test_of_two_environments_that_overlap_the_newer_is_at_fault(example):
    old = example.environment("old", OLD, network=space("10.0.0.0/16"))
    new = example.environment("new", NEW, network=space("10.1.0.0/16", "10.0.9.0/24"))
    assert found(old, others=[new]) == []
    assert found(new, others=[old]) == [("HPCEnvironment/new", "AddressSpacesOverlap")]
    assert "10.0.9.0/24 overlaps 10.0.0.0/16 of HPCEnvironment hpc/old" in message(new, [], [], [old])


def test_environments_of_one_age_and_name_are_told_apart_by_namespace(example):
    one = example.environment("a", OLD | {"namespace": "one"})
    two = example.environment("a", OLD | {"namespace": "two"})
    assert found(one, others=[two]) == []
    assert found(two, others=[one]) == [("HPCEnvironment/a", "AddressSpacesOverlap")]


def test_an_environment_that_is_going_takes_no_addresses(example):
    assert found(example.environment("new", NEW), others=[example.environment("old", OLD | GOING)]) == []


# --- Room


def test_partitions_that_do_not_fit_are_told_which_network_would_do(example):
    environment = example.environment(network=space("10.0.0.0/24"))
    small = example.partition(nodes={"max": 122})
    assert found(environment, [], [small]) == []
    large = example.partition(nodes={"max": 123})
    assert found(environment, [], [large]) == [("HPCEnvironment/climate", "AddressSpaceTooSmall")]
    text = message(environment, [], [large], [])
    assert "room for 123 nodes in its compute subnet 10.0.0.128/25" in text
    assert "may have 124 together" in text
    assert text.endswith("a /23 would do")


def test_nodes_of_a_rollout_need_room_too(example):
    environment = example.environment(network=space("10.0.0.0/24"))
    partition = example.partition(nodes={"min": 100, "max": 100})
    assert found(environment, [], [partition]) == [("HPCEnvironment/climate", "AddressSpaceTooSmall")]


def test_slurm_has_room_for_so_many_nodes_only(example):
    environment = example.environment(network=space("10.0.0.0/16"))
    partitions = [example.partition(f"p{number}", nodes={"max": 1000}) for number in range(9)]
    assert found(environment, [], partitions[:8]) == []
    assert found(environment, [], partitions) == [("HPCEnvironment/climate", "TooManyNodes")]


@pytest.mark.parametrize(
    ("network", "capacity", "advice"),
    [
        ("10.0.0.0/24", "8Ti", "a /23 would do"),
        ("10.0.0.0/23", "128Ti", "a /22 would do"),
        ("10.0.0.0/23", "88Ti", None),
        ("10.0.0.0/22", "128Ti", None),
    ],
)
def test_lustre_needs_room_by_its_size(example, network, capacity, advice):
    environment, tier = example.environment(network=space(network)), example.lustre(capacity=capacity)
    assert found(environment, [tier]) == ([("StorageTier/climate-scratch", "AddressSpaceTooSmall")] if advice else [])
    if advice:
        assert message(environment, [tier], [], []).endswith(advice)


def test_of_two_lustre_tiers_the_newer_finds_no_room(example):
    environment = example.environment(network=space("10.0.0.0/23"))
    old = example.lustre("old", "88Ti", metadata=OLD)
    new = example.lustre("new", "8Ti", metadata=NEW, mountPath="/fast")
    assert found(environment, [new, old]) == [("StorageTier/new", "AddressSpaceTooSmall")]


# --- Existing networks


def test_a_tier_needs_its_subnet_in_an_existing_network(example):
    environment = example.environment(network=example.existing())
    tiers = [example.tier(), example.lustre(), example.nfs()]
    assert found(environment, tiers) == [
        ("StorageTier/climate-home", "SubnetMissing"),
        ("StorageTier/climate-scratch", "SubnetMissing"),
    ]
    complete = example.environment(network=example.existing(netApp="netapp", lustre="lustre"))
    assert found(complete, tiers) == []


def test_an_existing_network_serves_one_environment(example):
    old = example.environment("old", OLD, network=example.existing())
    new = example.environment("new", NEW, network=example.existing())
    assert found(old, others=[new]) == []
    assert found(new, others=[old]) == [("HPCEnvironment/new", "NetworkTaken")]


def test_what_has_a_problem_while_it_is_going_can_still_be_taken_down(example):
    """The engine builds a graph with what is going in it, and nothing asks those for problems."""
    environment = example.environment(network=space("10.0.0.0/24"))
    tier = example.lustre(metadata=GOING)
    assert found(environment, [tier]) == []
    assert example.blueprint(environment, [tier]).mounts == {}


# --- Policy


@pytest.mark.parametrize(
    ("schedule", "zone", "bad"),
    [("0 22 * * SAT", "Europe/Berlin", False), ("0 25 * * SAT", "Europe/Berlin", True), ("0 22 * * SAT", "Mars", True)],
)
def test_maintenance_windows(example, schedule, zone, bad):
    good = {"schedule": "0 1 * * *"}
    environment = example.environment(policy={"maintenanceWindows": [good, {"schedule": schedule, "timeZone": zone}]})
    assert found(environment) == ([("HPCEnvironment/climate", "PolicyInvalid")] if bad else [])
    if bad:
        assert message(environment, [], [], []).startswith("policy.maintenanceWindows[1].")
