"""Resources that exist already and stand for some of ours, and file systems that are attached."""

import pytest

from hpc_operator.blueprint import Inputs, build, find_adoption_problems
from hpc_operator.graph import references

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/hpc_climate"
OLD = f"{SUBSCRIPTION}/resourceGroups/old/providers"
OLD_VNET = f"{OLD}/Microsoft.Network/virtualNetworks/hub"
IDENTITY = f"{OLD}/Microsoft.ManagedIdentity/userAssignedIdentities/theirs"
VOLUME = f"{OLD}/Microsoft.NetApp/netAppAccounts/anf/capacityPools/pool/volumes/home"
LUSTRE = f"{OLD}/Microsoft.StorageCache/amlFilesystems/scratch"


def adopt(example, *entries, **spec):
    """Return an environment that adopts (our resource, id, manage)."""
    names = ("resource", "id", "manage")
    return example.environment(adopt=[dict(zip(names, entry, strict=False)) for entry in entries], **spec)


def all_references(blueprint):
    found = [ref for resource in blueprint.graph for ref in references([*resource.body.values(), resource.body])]
    found += [ref for node_set in blueprint.node_sets for ref in references(node_set.body)]
    found += [ref for mount in blueprint.mounts.values() for ref in references(mount.source)]
    return {ref.resource_id for ref in [*found, *(node.address for node in blueprint.login_nodes)]}


def flags(resource):
    return (resource.referenced, resource.observed_only, resource.adopted)


# --- Where things are


def test_the_resource_group_may_have_a_name_of_its_own(example):
    blueprint = example.blueprint(example.environment(resourceGroup="climate-prod"))
    assert blueprint.resource_group_id == f"{SUBSCRIPTION}/resourceGroups/climate-prod"
    assert all(resource.id.startswith(blueprint.resource_group_id) for resource in blueprint.graph)
    assert all(node_set.scale_set_id in blueprint.graph for node_set in blueprint.node_sets)


def test_all_that_speaks_of_an_adopted_resource_follows_it(example):
    entries = [
        ("Microsoft.Network/virtualNetworks/vnet", OLD_VNET),
        ("Microsoft.Network/virtualNetworks/vnet/subnets/compute", f"{OLD_VNET}/subnets/nodes", True),
        ("Microsoft.ManagedIdentity/userAssignedIdentities/id-nodes", IDENTITY, True),
        ("Microsoft.Network/networkInterfaces/nic-login-1", f"{OLD}/Microsoft.Network/networkInterfaces/login", True),
    ]
    environment = adopt(example, *entries)
    before, after = example.blueprint(), example.blueprint(environment)
    assert len(after.graph) == len(before.graph) + 1
    group = after.graph[f"{SUBSCRIPTION}/resourceGroups/old"]
    assert flags(group) == (True, False, False), "another resource group is looked at for the claim on it"

    spoken_of = all_references(after)
    assert all(item in after.graph for item in spoken_of)
    for resource, there, *_ in entries:
        assert f"{GROUP}/providers/{resource}" not in after.graph
        assert there in after.graph
    assert flags(after.graph[OLD_VNET]) == (True, True, False)
    assert flags(after.graph[f"{OLD_VNET}/subnets/nodes"]) == (False, False, True)
    assert flags(after.graph[f"{OLD_VNET}/subnets/services"]) == (True, True, False), "a part goes with the whole"
    assert after.graph[OLD_VNET].body["properties"]["addressSpace"], "there to be compared"
    assert after.graph[OLD_VNET].needs == frozenset(), "nothing of ours has to be there first"

    login = example.find(after, "virtualMachines", "login-1").body
    assert list(login["identity"]["userAssignedIdentities"]) == [entries[2][1]]
    assert after.login_nodes[0].address.resource_id == entries[3][1]
    subnet = after.node_sets[0].body["properties"]["networkProfile"]["networkInterfaceConfigurations"][0]["properties"]
    assert next(references(subnet)).resource_id == f"{OLD_VNET}/subnets/nodes"


def test_a_role_on_an_observed_resource_is_still_ours(example):
    account = example.find(example.blueprint(), "storageAccounts")
    there = f"{OLD}/Microsoft.Storage/storageAccounts/theirs"
    after = example.blueprint(adopt(example, (account.id.removeprefix(f"{GROUP}/providers/"), there)))
    roles = [item for item in after.graph if item.id.startswith(f"{there}/providers/Microsoft.Authorization/")]
    assert [flags(role) for role in roles] == [(False, False, False)]


@pytest.mark.parametrize(
    ("alias", "there"),
    [
        ("Microsoft.KeyVault/vaults/vault", f"{OLD}/Microsoft.KeyVault/vaults/theirs"),
        ("Microsoft.Storage/storageAccounts/storage", f"{OLD}/Microsoft.Storage/storageAccounts/theirs"),
    ],
)
def test_what_has_a_name_that_nobody_can_know_is_adopted_all_the_same(example, alias, there):
    environment = adopt(example, (alias, there), metadata={"uid": "known to nobody"})
    blueprint = example.blueprint(environment)
    assert flags(blueprint.graph[there]) == (True, True, False)
    assert len([item for item in blueprint.graph if item.type == alias.rpartition("/")[0]]) == 1
    assert problems(example, environment) == []


# --- What is wrong with adopt


def problems(example, environment, tiers=None):
    tiers = (example.tier(),) if tiers is None else tiers
    partition = example.partition()
    inputs = Inputs(SUBSCRIPTION.rsplit("/", 1)[-1], environment, tuple(tiers), (partition,), {"climate-hpc": "1"})
    return [(item.reason, item.message) for item in find_adoption_problems(inputs)]


def test_what_stands_for_nothing_is_a_problem_with_suggestions(example):
    entry = ("Microsoft.Network/virtualNetworks/vnet/subnets/computes", f"{OLD_VNET}/subnets/x")
    ((reason, message),) = problems(example, adopt(example, entry))
    assert reason == "AdoptionUnknown"
    assert "such as Microsoft.Network/virtualNetworks/vnet/subnets/compute," in message
    assert problems(example, adopt(example, ("Microsoft.Network/virtualNetworks/VNET/subnets/Compute", entry[1]))) == []


def test_one_of_another_type_cannot_stand_for_it(example):
    ((reason, message),) = problems(example, adopt(example, ("Microsoft.Network/natGateways/nat", OLD_VNET)))
    assert reason == "AdoptionMismatch"
    assert "write the id of a Microsoft.Network/natGateways" in message


@pytest.mark.parametrize("both_are_adopted", [True, False])
def test_one_cannot_stand_for_two(example, both_are_adopted):
    """Neither if two entries say so, nor if the other is one that we would make under that very id."""
    name = "Microsoft.Network/networkSecurityGroups/nsg-{}".format
    if both_are_adopted:
        there = f"{OLD}/Microsoft.Network/networkSecurityGroups/one"
        entries = [(name("compute"), there), (name("services"), there.replace("/one", "/ONE"))]
    else:
        entries = [(name("compute"), f"{GROUP}/providers/{name('services')}")]
    ((reason, message),) = problems(example, adopt(example, *entries))
    assert reason == "AdoptedTwice"
    assert name("compute") in message
    assert name("services") in message


# --- File systems that are attached


def test_a_volume_is_attached_with_its_pool_and_needs_no_subnet(example):
    tier = example.tier(attach=VOLUME)
    blueprint = example.blueprint(tiers=[tier])
    volume, pool, account = (blueprint.graph[VOLUME.rsplit("/", count)[0]] for count in (0, 2, 4))
    assert flags(volume) == flags(pool) == (False, False, True)
    assert volume.holds_data
    assert volume.retained
    assert flags(account) == (True, False, False)
    assert flags(blueprint.graph[f"{SUBSCRIPTION}/resourceGroups/old"]) == (True, False, False)
    assert not any(item.type.startswith("Microsoft.NetApp") for item in blueprint.graph if item.id.startswith(GROUP))
    assert not any(item.name == "netapp" for item in blueprint.graph)
    assert "subnetId" not in volume.body["properties"]
    assert volume.body["tags"]["hpc-owner"] == "StorageTier/climate-home"
    source = blueprint.mounts["climate-home"].source
    assert {ref.resource_id for ref in references(source)} == {VOLUME}
    assert [ref.path[-1] for ref in references(source)] == ["ipAddress", "creationToken"]


def test_a_lustre_file_system_is_attached_and_needs_no_subnet(example):
    blueprint = example.blueprint(tiers=[example.lustre(attach=LUSTRE)])
    file_system = blueprint.graph[LUSTRE]
    assert flags(file_system) == (False, False, True)
    assert "filesystemSubnet" not in file_system.body["properties"]
    assert not any("lustre" in item.name for item in blueprint.graph)


def test_beside_an_attached_volume_new_ones_are_made_as_ever(example):
    tiers = [example.tier(), example.tier("old", attach=VOLUME, mountPath="/old")]
    blueprint = example.blueprint(tiers=tiers)
    assert blueprint.graph[f"{GROUP}/providers/Microsoft.NetApp/netAppAccounts/netapp"].referenced is False
    assert blueprint.graph[VOLUME.rsplit("/", 4)[0]].referenced is True
    assert example.find(blueprint, "subnets", "netapp")


def test_attached_volumes_of_one_pool_share_it(example):
    other = f"{VOLUME}-2"
    tiers = [
        example.tier("b", attach=VOLUME, netAppFiles={"capacity": "4Ti"}, deletionPolicy="Delete"),
        example.tier("a", attach=other, netAppFiles={"capacity": "2Ti"}, deletionPolicy="Delete"),
    ]
    pool = example.blueprint(tiers=tiers).graph[VOLUME.rsplit("/", 2)[0]]
    assert pool.body["properties"]["size"] == 6 << 40
    assert pool.owner.name == "a"
    assert not pool.retained
    tiers[0] = example.tier("b", attach=VOLUME, netAppFiles={"capacity": "4Ti"})
    assert example.blueprint(tiers=tiers).graph[pool.id].retained, "what one tier retains stands in it"


def test_a_volume_of_our_own_group_is_attached_within_our_own_account(example):
    ours = f"{GROUP}/providers/Microsoft.NetApp/netAppAccounts/netapp"
    tier = example.tier(attach=f"{ours}/capacityPools/former/volumes/former")
    account = example.blueprint(tiers=[tier]).graph[ours]
    assert flags(account) == (False, False, False)


# --- Claims and former tags


def test_the_claim_stands_on_the_resource_group_alone(example):
    def built(claim):
        return build(Inputs("s", example.environment(), (), (), {}, claim))

    marked = {item.type for item in built("prod/uid").graph if "hpc-claim" in item.body.get("tags", {})}
    assert marked == {"Microsoft.Resources/resourceGroups"}
    assert built("prod/uid").graph[built("").resource_group_id].body["tags"]["hpc-claim"] == "prod/uid"
    assert not any("hpc-claim" in item.body.get("tags", {}) for item in built("").graph)


def test_former_tags_must_be_absent_unless_they_are_wanted_again(example):
    environment, partition = example.environment(tags={"Team": "a"}), example.partition()
    former = frozenset({"team", "department", "hpc-owner"})
    inputs = Inputs("s", environment, (), (partition,), {"climate-hpc": "1"}, former_tags=former)
    blueprint = build(inputs)
    tagged = [item.body["tags"] for item in blueprint.graph if "tags" in item.body]
    tagged.append(blueprint.node_sets[0].body["tags"])
    for tags in tagged:
        assert tags["department"] is None
        assert tags["Team"] == "a"
        assert "team" not in tags
        assert tags["hpc-owner"] is not None


def test_a_former_tag_takes_no_room_where_azure_allows_few(example):
    tags = {f"t{number:02}": "x" for number in range(15)}
    environment = example.environment(tags=tags)
    zone = example.find(
        build(Inputs("s", environment, (), (), {}, former_tags=frozenset({"a-former"}))), "privateDnsZones"
    )
    assert len([value for value in zone.body["tags"].values() if value is not None]) == 15
    assert zone.body["tags"]["a-former"] is None
