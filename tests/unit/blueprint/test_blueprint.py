"""The graph as a whole: what is in it, in which order, and that an edit changes what it should and nothing else."""

import json
import re
from ipaddress import IPv4Network

import pytest

from hpc_operator.graph import Ref, Step, Text, references

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/hpc_climate"

# Depth, step, id: what has one depth can be made at the same time.
GOLDEN = """
0 Infrastructure resourceGroups/hpc_climate
1 BaseServices   disks/scheduler-state
1 BaseServices   userAssignedIdentities/id-nodes
1 BaseServices   userAssignedIdentities/id-scheduler
1 Compute        virtualMachineScaleSets/climate-hpc-lvyo3
1 Infrastructure networkSecurityGroups/nsg-bastion
1 Infrastructure networkSecurityGroups/nsg-compute
1 Infrastructure networkSecurityGroups/nsg-services
1 Infrastructure privateDnsZones/privatelink.blob.core.windows.net
1 Infrastructure publicIPAddresses/pip-bastion
1 Infrastructure publicIPAddresses/pip-nat
1 Infrastructure storageAccounts/hpcqw7em3x4agjzodfzfdvht
1 Infrastructure virtualNetworks/vnet
1 Storage        netAppAccounts/netapp
2 BaseServices   roleAssignments/f4157d9a-956e-5669-954d-ae7ae03af1fe
2 Infrastructure natGateways/nat
2 Infrastructure subnets/AzureBastionSubnet
2 Infrastructure subnets/netapp
2 Infrastructure virtualNetworkLinks/vnet
2 Storage        capacityPools/climate-home
3 Infrastructure bastionHosts/bastion
3 Infrastructure subnets/compute
3 Infrastructure subnets/services
3 Storage        volumes/climate-home
4 BaseServices   networkInterfaces/nic-scheduler
4 BaseServices   vaults/hpc-vpkvvinkeinnx7s4x2zi
4 EntryPoint     networkInterfaces/nic-login-1
4 Infrastructure privateEndpoints/pe-storage
5 BaseServices   roleAssignments/3c0c2a2c-4905-5f0a-a1bb-3e3116e5a337
5 BaseServices   roleAssignments/7d9aac12-161a-591f-863f-2bbd586b9989
5 BaseServices   virtualMachines/scheduler
5 EntryPoint     virtualMachines/login-1
5 Infrastructure privateDnsZoneGroups/default
6 BaseServices   runCommands/slurm-configuration
"""


def bodies(blueprint):
    return {resource.id: resource.body for resource in blueprint.graph}


def changed(before, after):
    """Return types and names of what was added, what is gone, and what differs."""
    old, new = bodies(before), bodies(after)

    def short(ids):
        return sorted("/".join(item.rsplit("/", 2)[1:]) for item in ids)

    return (
        short(new.keys() - old.keys()),
        short(old.keys() - new.keys()),
        short(item for item in old.keys() & new.keys() if old[item] != new[item]),
    )


def test_the_example_is_what_it_was(example):
    blueprint = example.blueprint(version="1")
    lines = sorted(
        f"{blueprint.graph.depth[resource.id.lower()]} {resource.step:14} {'/'.join(resource.id.rsplit('/', 2)[1:])}"
        for resource in blueprint.graph
    )
    assert lines == GOLDEN.strip().splitlines()
    assert blueprint.resource_group_id == GROUP
    assert [(node.name, node.address.resource_id.rsplit("/", 1)[-1]) for node in blueprint.login_nodes] == [
        ("login-1", "nic-login-1")
    ]


@pytest.mark.parametrize("network", ["new", "existing"])
def test_every_reference_leads_to_a_resource_of_the_graph(example, network):
    tiers = [example.tier(), example.lustre(), example.nfs()]
    spec = {"network": example.existing(netApp="netapp", lustre="lustre")} if network == "existing" else {}
    blueprint = example.blueprint(example.environment(**spec), tiers)
    wanted = [ref for resource in blueprint.graph for ref in references(resource.body)]
    wanted += [ref for node_set in blueprint.node_sets for ref in references(node_set.body)]
    wanted += [ref for mount in blueprint.mounts.values() for ref in references(mount.source)]
    wanted += [node.address for node in blueprint.login_nodes]
    assert wanted
    assert [ref for ref in wanted if ref.resource_id not in blueprint.graph] == []
    assert all(need in blueprint.graph for node_set in blueprint.node_sets for need in node_set.needs)


def test_the_same_specs_in_another_order_give_the_same_graph(example):
    tiers = [example.tier(), example.lustre(), example.nfs()]
    partitions = [example.partition(), example.partition("other")]
    one = example.blueprint(tiers=tiers, partitions=partitions)
    other = example.blueprint(tiers=tiers[::-1], partitions=partitions[::-1])
    assert bodies(one) == bodies(other)
    assert sorted(one.node_sets, key=lambda item: item.owner) == sorted(other.node_sets, key=lambda item: item.owner)


def test_another_vm_size_makes_a_new_scale_set_and_touches_nothing_else(example):
    after = example.blueprint(partitions=[example.partition(vmSizes=["Standard_HB120rs_v3"])])
    added, gone, different = changed(example.blueprint(), after)
    assert len(added) == len(gone) == 1
    assert added[0].startswith("virtualMachineScaleSets/climate-hpc-")
    assert gone[0].startswith("virtualMachineScaleSets/climate-hpc-")
    assert different == []


def test_a_fallback_size_at_the_end_changes_nothing(example):
    sizes = ["Standard_HB176rs_v4", "Standard_HB120rs_v3", "Standard_HB120rs_v2"]
    before, after = example.blueprint(), example.blueprint(partitions=[example.partition(vmSizes=sizes)])
    assert changed(before, after) == ([], [], [])
    assert before.node_sets == after.node_sets


def test_more_nodes_change_no_resource(example):
    after = example.blueprint(partitions=[example.partition(nodes={"min": 0, "max": 17, "idleTimeout": "10m"})])
    assert changed(example.blueprint(), after) == ([], [], [])
    assert after.node_sets[0].maximum == 17


def test_a_new_partition_changes_the_schedulers_configuration_in_place(example):
    after = example.blueprint(partitions=[example.partition(), example.partition("gpu")])
    added, gone, different = changed(example.blueprint(), after)
    assert [item.rsplit("-", 1)[0] for item in added] == ["virtualMachineScaleSets/gpu"]
    assert gone == []
    assert different == ["runCommands/slurm-configuration"]


def test_a_new_tier_moves_no_other_address(example):
    after = example.blueprint(tiers=[example.tier(), example.lustre()])
    added, gone, different = changed(example.blueprint(), after)
    assert added == ["amlFilesystems/climate-scratch", "networkSecurityGroups/nsg-lustre", "subnets/lustre"]
    assert gone == []
    # Login nodes get new user-data, which only a new machine reads.
    assert different == [
        "networkSecurityGroups/nsg-compute",
        "networkSecurityGroups/nsg-services",
        "virtualMachines/login-1",
    ]


def test_a_grown_tier_changes_its_pool_and_its_volume_only(example):
    grown = example.tier(netAppFiles={"serviceLevel": "Premium", "capacity": "5Ti"})
    assert changed(example.blueprint(), example.blueprint(tiers=[grown])) == (
        [],
        [],
        ["capacityPools/climate-home", "volumes/climate-home"],
    )


def test_subnets_are_made_only_where_they_are_needed(example):
    blueprint = example.blueprint(
        example.environment(network={"addressSpace": ["10.40.0.0/20"]}), tiers=[], partitions=[]
    )
    names = {resource.name for resource in blueprint.graph if resource.type.endswith("/subnets")}
    assert names == {"compute", "services"}
    assert not any(resource.type.endswith("/bastionHosts") for resource in blueprint.graph)


def test_no_body_holds_a_secret(example):
    blueprint = example.blueprint(tiers=[example.tier(), example.lustre()])
    for body in [*bodies(blueprint).values(), *(node_set.body for node_set in blueprint.node_sets)]:
        text = json.dumps(
            body, default=lambda value: example.written(value) if isinstance(value, Text) else repr(value)
        )
        assert not re.search(r"(?i)adminpassword|sharedkey\b|accountkey|BEGIN [A-Z ]*PRIVATE KEY", text)
        # Nothing that looks like a key: a long run of hexadecimal or base64 digits. Paths and the public key are known.
        words = set(re.findall(r"[A-Za-z0-9+/=]{44,}", text))
        assert {word for word in words if "/" not in word and not word.startswith("AAAAC3NzaC1lZDI1NTE5")} == set()


def test_every_resource_that_takes_tags_says_whose_it_is(example):
    untagged = {"subnets", "roleAssignments", "privateDnsZoneGroups"}
    tags = {"team": "a", "HPC-Owner": "nobody"}
    blueprint = example.blueprint(example.environment(tags=tags), tiers=[example.tier(), example.lustre()])
    for resource in blueprint.graph:
        found = resource.body.get("tags")
        if resource.type.rsplit("/", 1)[-1] in untagged:
            assert found is None
            continue
        assert found["team"] == "a"
        assert found["hpc-environment"] == "hpc/climate"
        assert found["hpc-owner"] == str(resource.owner)
        assert "HPC-Owner" not in found
    node = blueprint.node_sets[0]
    assert node.body["tags"]["hpc-partition"] == "climate-hpc"
    assert node.body["tags"]["hpc-generation"] == node.generation


def test_tags_tell_what_nothing_else_in_azure_shows(example):
    blueprint = example.blueprint(version="1")
    volume = example.find(blueprint, "volumes").body["tags"]
    assert (volume["hpc-purpose"], volume["hpc-mount-path"]) == ("Home", "/home")
    scale_set = example.find(blueprint, "virtualMachineScaleSets").body["tags"]
    assert scale_set["hpc-vm-size"] == "Standard_HB176rs_v4"
    assert scale_set["hpc-priority"] == "Regular"
    assert scale_set["hpc-image"] == "microsoft-dsvm:ubuntu-hpc:2204:1"
    assert "hpc-partition" not in scale_set, "that is how nodes are found"
    gallery = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/" + "i" * 300
    partition = example.partition(image={"galleryImage": gallery})
    found = example.blueprint(partitions=[partition], version="1.0.0")
    assert "hpc-image" not in example.find(found, "virtualMachineScaleSets").body["tags"], "longer than a tag may be"


def test_private_dns_gets_no_more_tags_than_it_takes(example):
    tags = {f"tag-{number}": "x" for number in range(15)}
    blueprint = example.blueprint(example.environment(tags=tags))
    zone = example.find(blueprint, "privateDnsZones").body["tags"]
    assert len(zone) == 15
    assert {"hpc-environment", "hpc-owner"} <= zone.keys()
    assert len(example.find(blueprint, "virtualNetworks").body["tags"]) == 17


def test_an_existing_network_is_referenced_and_never_changed(example):
    environment = example.environment(network=example.existing(netApp="netapp", lustre="netapp"))
    blueprint = example.blueprint(environment, [example.tier(), example.lustre()])
    referenced = {resource.name for resource in blueprint.graph if resource.referenced}
    assert referenced == {"hub", "nodes", "services", "netapp"}
    assert all(resource.body == {} for resource in blueprint.graph if resource.referenced)
    types = {resource.type.rsplit("/", 1)[-1] for resource in blueprint.graph}
    assert types & {"networkSecurityGroups", "natGateways", "bastionHosts", "publicIPAddresses"} == set()
    assert (
        example.find(blueprint, "virtualNetworkLinks")
        .body["properties"]["virtualNetwork"]["id"]
        .resource_id.endswith("/virtualNetworks/hub")
    )


def test_one_existing_subnet_may_have_every_role(example):
    environment = example.environment(network=example.existing(services="nodes"))
    blueprint = example.blueprint(environment)
    assert {resource.name for resource in blueprint.graph if resource.referenced} == {"hub", "nodes"}


def test_data_is_retained_unless_the_tier_says_otherwise(example):
    kept = example.blueprint(tiers=[example.tier(), example.lustre()])
    types = {resource.type.rsplit("/", 1)[-1] for resource in kept.graph if resource.retained}
    assert types == {"capacityPools", "volumes", "amlFilesystems"}
    gone = example.blueprint(tiers=[example.tier(deletionPolicy="Delete")])
    assert not any(resource.retained for resource in gone.graph)


def test_nodes_and_login_nodes_wait_for_the_storage_they_mount_and_the_scheduler_does_not(example):
    blueprint = example.blueprint()
    volume = example.find(blueprint, "volumes").id.lower()
    assert volume in blueprint.node_sets[0].needs
    assert volume in example.find(blueprint, "virtualMachines", "login-1").needs
    assert volume not in blueprint.graph.closure([example.find(blueprint, "virtualMachines", "scheduler").id])


def test_steps_are_those_of_the_guide(example):
    assert {resource.step for resource in example.blueprint().graph} == set(Step)


def test_mounts_are_told_by_tier(example):
    blueprint = example.blueprint(tiers=[example.tier(), example.lustre(), example.nfs(server="filer.example.org")])
    written = {
        name: (example.written(mount.source), mount.type, mount.path) for name, mount in blueprint.mounts.items()
    }
    assert written == {
        "climate-home": ("10.9.8.7:/climate-home", "nfs", "/home"),
        "climate-scratch": ("10.9.8.7@tcp:/lustrefs", "lustre", "/scratch"),
        "old-home": ("filer.example.org:/export", "nfs", "/old"),
    }


def test_a_volume_may_be_mounted_from_the_environments_network_only(example):
    rules = example.find(example.blueprint(), "volumes").body["properties"]["exportPolicy"]["rules"]
    assert [example.written(rule["allowedClients"]) for rule in rules] == ["10.40.0.0/20"]
    environment = example.environment(network=example.existing(netApp="netapp"))
    rules = example.find(example.blueprint(environment), "volumes").body["properties"]["exportPolicy"]["rules"]
    assert example.written(rules[0]["allowedClients"], {"nodes": "10.0.0.0/24", "services": "10.0.1.0/24"}) == (
        "10.0.0.0/24,10.0.1.0/24"
    )


def test_addresses_of_the_example(example):
    blueprint = example.blueprint(tiers=[example.tier(), example.lustre()])
    prefixes = {
        resource.name: resource.body["properties"]["addressPrefix"]
        for resource in blueprint.graph
        if resource.type.endswith("/subnets")
    }
    assert prefixes == {
        "netapp": "10.40.0.32/28",
        "AzureBastionSubnet": "10.40.0.64/26",
        "services": "10.40.2.0/23",
        "lustre": "10.40.4.0/22",
        "compute": "10.40.8.0/21",
    }
    assert all(IPv4Network(prefix).subnet_of(IPv4Network("10.40.0.0/20")) for prefix in prefixes.values())


def test_only_machines_have_a_way_out_and_it_is_the_nat_gateway(example):
    blueprint = example.blueprint(tiers=[example.tier(), example.lustre()])
    for name in ("compute", "services", "lustre"):
        properties = example.find(blueprint, "subnets", name).body["properties"]
        assert properties["defaultOutboundAccess"] is False
        assert properties["natGateway"]["id"].resource_id.endswith("/natGateways/nat")
    netapp = example.find(blueprint, "subnets", "netapp").body["properties"]
    assert netapp["delegations"][0]["properties"]["serviceName"] == "Microsoft.NetApp/volumes"
    assert "natGateway" not in netapp


def test_role_assignments_name_the_identity_that_does_not_exist_yet(example):
    blueprint = example.blueprint()
    roles = {
        (
            resource.body["properties"]["roleDefinitionId"].rsplit("/", 1)[-1],
            resource.body["properties"]["principalId"].resource_id.rsplit("/", 1)[-1],
            resource.id.split("/")[7],
        )
        for resource in blueprint.graph
        if resource.type.endswith("/roleAssignments")
    }
    assert roles == {
        ("b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "id-scheduler", "vaults"),
        ("4633458b-17de-408a-b874-0445c86b69e6", "id-nodes", "vaults"),
        ("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "id-scheduler", "storageAccounts"),
    }


def test_the_vault_lets_in_the_machines_subnets_only(example):
    acls = example.find(example.blueprint(), "vaults").body["properties"]["networkAcls"]
    assert acls["defaultAction"] == "Deny"
    assert {rule["id"].resource_id.rsplit("/", 1)[-1] for rule in acls["virtualNetworkRules"]} == {
        "compute",
        "services",
    }


def test_machines_without_a_key_of_the_user_get_one_that_nobody_can_use(example):
    def keys(environment):
        profile = example.find(example.blueprint(environment), "virtualMachines", "scheduler").body["properties"]
        found = profile["osProfile"]["linuxConfiguration"]
        assert found["disablePasswordAuthentication"] is True
        return [key["keyData"] for key in found["ssh"]["publicKeys"]]

    nobody = keys(example.environment())
    assert nobody == keys(example.environment())
    assert len(nobody) == 1
    assert nobody[0].startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI")
    mine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
    assert keys(example.environment(sshPublicKeys=[mine])) == [mine]


def test_the_state_disk_outlives_the_scheduler(example):
    blueprint = example.blueprint()
    disk = example.find(blueprint, "disks")
    assert disk.body["properties"]["diskSizeGB"] == 64
    attached = example.find(blueprint, "virtualMachines", "scheduler").body["properties"]["storageProfile"]["dataDisks"]
    assert attached == [
        {"lun": 0, "createOption": "Attach", "deleteOption": "Detach", "managedDisk": {"id": Ref(disk.id)}}
    ]


def test_an_environment_without_tiers_partitions_and_login_nodes_stands(example):
    environment = example.environment(entryPoint={"loginNodes": {"count": 0}})
    blueprint = example.blueprint(environment, [], [])
    assert blueprint.node_sets == ()
    assert blueprint.login_nodes == ()
    script = example.find(blueprint, "runCommands").body["properties"]["source"]["script"]
    assert "PartitionName=none" in script
