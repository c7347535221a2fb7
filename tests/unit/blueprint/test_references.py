"""What specs refer to and others look after: it must exist, and is never made, changed or deleted."""

import pytest

from hpc_operator.graph import references

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
SHARED = f"{SUBSCRIPTION}/resourceGroups/shared/providers"
ZONE = f"{SHARED}/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
IDENTITIES = f"{SHARED}/Microsoft.ManagedIdentity/userAssignedIdentities"
WORKSPACE = f"{SHARED}/Microsoft.OperationalInsights/workspaces/logs"
ACCOUNT = f"{SHARED}/Microsoft.NetApp/netAppAccounts/anf"
IMAGE = f"{SHARED}/Microsoft.Compute/galleries/hpc/images/nodes"


def kinds(blueprint):
    return {resource.type for resource in blueprint.graph}


def referred_to(blueprint, resource_id):
    """Return the resource after making sure that it is somebody else's, in full."""
    found = blueprint.graph[resource_id]
    assert found.id == resource_id
    assert (found.referenced, dict(found.body)) == (True, {})
    return found


def test_a_dns_zone_that_exists_is_neither_made_nor_linked(example):
    network = example.existing()
    network["existing"]["blobDnsZone"] = ZONE
    blueprint = example.blueprint(example.environment(network=network), [])
    referred_to(blueprint, ZONE)
    assert "Microsoft.Network/privateDnsZones/virtualNetworkLinks" not in kinds(blueprint)
    assert len([item for item in blueprint.graph if item.type == "Microsoft.Network/privateDnsZones"]) == 1
    group = example.find(blueprint, "privateDnsZoneGroups")
    assert {ref.resource_id for ref in references(group.body)} == {ZONE}


def test_identities_that_exist_get_our_roles_at_our_scopes(example):
    ids = {"scheduler": f"{IDENTITIES}/one", "nodes": f"{IDENTITIES}/two"}
    blueprint = example.blueprint(example.environment(identities=ids))
    for resource_id in ids.values():
        referred_to(blueprint, resource_id)
    assert not [item for item in blueprint.graph if item.name.startswith("id-")]

    def identity_of(body):
        return list(body["identity"]["userAssignedIdentities"])

    assert identity_of(example.find(blueprint, "virtualMachines", "scheduler").body) == [ids["scheduler"]]
    assert identity_of(example.find(blueprint, "virtualMachines", "login-1").body) == [ids["nodes"]]
    assert identity_of(blueprint.node_sets[0].body) == [ids["nodes"]]
    roles = [item for item in blueprint.graph if item.type == "Microsoft.Authorization/roleAssignments"]
    principals = [item.body["properties"]["principalId"].resource_id for item in roles]
    assert sorted(principals) == sorted([ids["scheduler"]] * 2 + [ids["nodes"]])
    assert not any(role.referenced for role in roles)
    before = {item.id for item in example.blueprint().graph if item.type == "Microsoft.Authorization/roleAssignments"}
    assert before.isdisjoint(item.id for item in roles), "another principal is another assignment"


def test_one_identity_may_serve_for_both(example):
    ids = {"scheduler": f"{IDENTITIES}/one", "nodes": f"{IDENTITIES}/ONE"}
    blueprint = example.blueprint(example.environment(identities=ids))
    assert len([item for item in blueprint.graph if item.type.endswith("userAssignedIdentities")]) == 1


def test_pool_and_volume_are_made_in_an_account_that_exists(example):
    spec = {"netAppFiles": {"capacity": "4Ti", "account": ACCOUNT}}
    blueprint = example.blueprint(tiers=[example.tier(**spec)])
    referred_to(blueprint, ACCOUNT)
    pool, volume = example.find(blueprint, "capacityPools"), example.find(blueprint, "volumes")
    assert pool.id.startswith(f"{ACCOUNT}/capacityPools/climate-home-")
    assert volume.id == f"{pool.id}/volumes/climate-home"
    assert pool.body["tags"]["hpc-owner"] == volume.body["tags"]["hpc-owner"] == "StorageTier/climate-home"
    assert not pool.referenced
    assert not pool.adopted
    assert ACCOUNT.lower() in pool.needs
    assert len([item for item in blueprint.graph if item.type == "Microsoft.NetApp/netAppAccounts"]) == 1


def test_two_environments_have_different_pools_in_one_account(example):
    def pool(name):
        tier = example.tier("home", netAppFiles={"capacity": "4Ti", "account": ACCOUNT})
        return example.find(example.blueprint(example.environment(name), [tier]), "capacityPools").id

    assert pool("one") != pool("two")


def test_the_longest_tier_name_gives_a_pool_name_that_azure_takes(example):
    tier = example.tier("a" * 48, netAppFiles={"capacity": "4Ti", "account": ACCOUNT})
    assert len(example.find(example.blueprint(tiers=[tier]), "capacityPools").name) <= 64


def test_logs_of_vault_and_bastion_go_to_the_workspace(example):
    environment = example.environment(monitoring={"logAnalyticsWorkspace": WORKSPACE})
    blueprint = example.blueprint(environment)
    referred_to(blueprint, WORKSPACE)
    settings = [item for item in blueprint.graph if item.type == "Microsoft.Insights/diagnosticSettings"]
    assert {item.id.split("/")[-6] for item in settings} == {"vaults", "bastionHosts"}
    assert all(item.body["properties"]["workspaceId"].resource_id == WORKSPACE for item in settings)
    assert "Microsoft.Insights/diagnosticSettings" not in kinds(example.blueprint())
    network = {"addressSpace": ["10.40.0.0/20"]}
    without = example.blueprint(example.environment(monitoring={"logAnalyticsWorkspace": WORKSPACE}, network=network))
    assert len([item for item in without.graph if item.type == "Microsoft.Insights/diagnosticSettings"]) == 1


@pytest.mark.parametrize("reference", [IMAGE, f"{IMAGE}/versions/1.2.3"])
def test_nodes_are_made_from_a_version_of_a_gallery_image(example, reference):
    blueprint = example.blueprint(partitions=[example.partition(image={"galleryImage": reference})], version="1.2.3")
    referred_to(blueprint, f"{IMAGE}/versions/1.2.3")
    nodes = blueprint.node_sets[0]
    image = nodes.body["properties"]["storageProfile"]["imageReference"]
    assert list(image) == ["id"]
    assert image["id"].resource_id == f"{IMAGE}/versions/1.2.3"
    assert "plan" not in nodes.body
    assert nodes.image_version == "1.2.3"
    assert f"{IMAGE}/versions/1.2.3".lower() in nodes.needs


def test_another_version_or_another_image_makes_another_generation(example):
    def generation(image, version):
        partition = example.partition(image={"galleryImage": image})
        return example.blueprint(partitions=[partition], version=version).node_sets[0].generation

    assert generation(IMAGE, "1.0.0") == generation(f"{IMAGE}/versions/1.0.0", "1.0.0")
    assert len({generation(IMAGE, "1.0.0"), generation(IMAGE, "1.0.1"), generation(f"{IMAGE}2", "1.0.0")}) == 3


def test_partitions_may_have_one_image(example):
    partitions = [example.partition(name, image={"galleryImage": IMAGE}) for name in ("a", "b")]
    blueprint = example.blueprint(partitions=partitions, version="1.0.0")
    assert len([item for item in blueprint.graph if item.type.startswith("Microsoft.Compute/galleries")]) == 1


@pytest.mark.parametrize(
    ("image", "reference", "version"),
    [
        ({}, "microsoft-dsvm:ubuntu-hpc:2204:latest", "latest"),
        ({"urn": "a:b:c:1.2.3"}, "a:b:c:1.2.3", "1.2.3"),
        ({"galleryImage": IMAGE}, IMAGE, "latest"),
        ({"galleryImage": f"{IMAGE}/versions/1.2.3"}, f"{IMAGE}/versions/1.2.3", "1.2.3"),
    ],
)
def test_what_an_image_says(example, image, reference, version):
    found = example.partition(image=image).spec.image
    assert (found.reference, found.version) == (reference, version)
