"""Importing what this operator made: the manifests come back, and their graph is what is there."""

import copy

import pytest

from hpc_operator.importing.origin import Origin

from .conftest import SUBSCRIPTION, blueprint_of, group_id, read

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhwY29wZXJhdG9y admin@example.org"


def manifest(kind, name, spec):
    metadata = {"name": name, "namespace": "hpc"}
    return {"apiVersion": "azurehpc.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def environment(**spec):
    return manifest(
        "HPCEnvironment",
        "climate",
        {
            "location": "westeurope",
            "tags": {"department": "climate"},
            "network": {
                "addressSpace": ["10.40.0.0/20"],
                "access": {"allowedSources": ["192.0.2.0/24"], "bastion": {"sku": "Basic"}},
            },
            "scheduler": {
                "slurm": {
                    "vmSize": "Standard_D2s_v5",
                    "stateDiskSize": "128Gi",
                    "config": ["MaxJobCount=50000", "Epilog=/a b"],
                }
            },
            "entryPoint": {"loginNodes": {"count": 2, "vmSize": "Standard_D8s_v5"}},
            "sshPublicKeys": [KEY],
            **spec,
        },
    )


HOME = manifest(
    "StorageTier",
    "climate-home",
    {
        "environmentRef": {"name": "climate"},
        "purpose": "Home",
        "mountPath": "/users",
        "netAppFiles": {"serviceLevel": "Ultra", "capacity": "2Ti", "protocol": "NFSv4.1"},
    },
)
SCRATCH = manifest(
    "StorageTier",
    "climate-scratch",
    {
        "environmentRef": {"name": "climate"},
        "purpose": "Scratch",
        "mountPath": "/scratch",
        "managedLustre": {
            "throughputPerTiB": 125,
            "capacity": "16Ti",
            "maintenanceWindow": {"dayOfWeek": "Sunday", "timeOfDay": "22:30"},
        },
    },
)
HPC = manifest(
    "ComputePartition",
    "climate-hpc",
    {
        "environmentRef": {"name": "climate"},
        "partitionName": "hpc",
        "vmSizes": ["Standard_HB120rs_v3"],
        "nodes": {"min": 2, "max": 2, "idleTimeout": "300s"},
        "priority": "Regular",
        "image": {"urn": "microsoft-dsvm:ubuntu-hpc:2204:22.04.2025081901"},
    },
)
DEBUG = manifest(
    "ComputePartition",
    "debug",
    {
        "environmentRef": {"name": "climate"},
        "vmSizes": ["Standard_D4s_v5"],
        "nodes": {"min": 0, "max": 1, "idleTimeout": "600s"},
        "priority": "Spot",
        "image": {"urn": "microsoft-dsvm:ubuntu-hpc:2204:22.04.2025030701"},
    },
)


def ids(blueprint):
    return sorted(resource.id.lower() for resource in blueprint.graph)


async def test_everything_comes_back(azure):
    made = await azure.deploy(environment(), HOME, SCRATCH, HPC, DEBUG)
    draft = await azure.draft("hpc_climate")
    assert draft.recognised.origin is Origin.OURS
    printed = read(draft.text())
    found = copy.deepcopy(printed)
    assert found[0]["spec"].pop("policy") == {"dryRun": True}
    vault = next(resource.id for resource in made.graph if resource.type == "Microsoft.KeyVault/vaults")
    assert found[0]["spec"].pop("adopt") == [
        {"resource": "Microsoft.KeyVault/vaults/vault", "id": vault, "manage": True}
    ]
    assert found == [environment(), HOME, SCRATCH, HPC, DEBUG]

    # An object of another uid, as the API server gives it, leads to the same resources.
    again = blueprint_of(printed, uid="another")
    assert ids(again) == ids(made)
    assert {resource.id.lower(): resource.body for resource in again.graph} == {
        resource.id.lower(): resource.body for resource in made.graph
    }
    assert [item.body for item in again.node_sets] == [item.body for item in made.node_sets]
    assert not any(resource.referenced for resource in again.graph)
    assert "would be made" not in draft.report()
    assert draft.no_place == ()


async def test_defaults_and_a_resource_group_of_its_own_come_back(azure):
    small = environment(
        resourceGroup="prod",
        network={"addressSpace": ["10.40.0.0/24"]},
        tags={},
        sshPublicKeys=[],
        scheduler={"slurm": {}},
    )
    made = await azure.deploy(small)
    draft = await azure.draft("prod")
    (printed,) = read(draft.text())
    assert printed["metadata"] == {"name": "climate", "namespace": "hpc"}
    assert printed["spec"]["resourceGroup"] == "prod"
    assert "sshPublicKeys" not in printed["spec"], "nobody's key is nobody's"
    assert ids(blueprint_of([printed], uid="another")) == ids(made)


async def test_what_is_referred_to_comes_back(azure):
    shared = group_id("shared")
    network = f"{shared}/providers/Microsoft.Network/virtualNetworks/hub"
    zone = f"{shared}/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    identities = f"{shared}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
    workspace = f"{shared}/providers/Microsoft.OperationalInsights/workspaces/logs"
    location = {"location": "westeurope"}
    await azure.put(shared, location)
    await azure.put(network, location | {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}})
    for number, name in enumerate(("nodes", "services", "netapp")):
        delegation = {"name": "netapp", "properties": {"serviceName": "Microsoft.NetApp/volumes"}}
        properties = {"addressPrefix": f"10.1.{number}.0/24", "serviceEndpoints": [{"service": "Microsoft.KeyVault"}]}
        if name == "netapp":
            properties = {"addressPrefix": "10.1.2.0/24", "delegations": [delegation]}
        await azure.put(f"{network}/subnets/{name}", {"properties": properties})
    await azure.put(zone, {"location": "global"})
    for name in ("one", "two"):
        await azure.put(f"{identities}/{name}", location)
    await azure.put(workspace, location | {"properties": {"sku": {"name": "PerGB2018"}}})
    subnets = {role: f"{network}/subnets/{name}" for role, name in (("compute", "nodes"), ("services", "services"))}
    wanted = environment(
        network={"existing": {"subnets": {**subnets, "netApp": f"{network}/subnets/netapp"}, "blobDnsZone": zone}},
        identities={"scheduler": f"{identities}/one", "nodes": f"{identities}/two"},
        monitoring={"logAnalyticsWorkspace": workspace},
    )
    made = await azure.deploy(wanted, HOME)
    found = read((await azure.draft("hpc_climate")).text())
    for field in ("network", "identities", "monitoring"):
        assert found[0]["spec"][field] == wanted["spec"][field]
    assert ids(blueprint_of(found, uid="another")) == ids(made)


async def test_the_environment_alone(azure):
    await azure.deploy(environment(), HPC)
    (found,) = read((await azure.draft("hpc_climate", environment_only=True)).text())
    assert found["kind"] == "HPCEnvironment"


async def test_what_others_put_into_the_group_is_named(azure):
    await azure.deploy(environment())
    other = f"{group_id('hpc_climate')}/providers/Microsoft.Compute/disks/mine"
    await azure.put(
        other, {"location": "westeurope", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}}
    )
    draft = await azure.draft("hpc_climate")
    assert draft.no_place == ("Microsoft.Compute/disks/mine",)
    assert "# - Microsoft.Compute/disks/mine\n" in draft.text()


@pytest.mark.parametrize("claimed", [True, False])
async def test_a_claim_of_another_cluster_is_told(azure, claimed):
    await azure.deploy(environment())
    if claimed:
        group = group_id("hpc_climate")
        body = await azure.client.get(group)
        await azure.put(group, {"location": body["location"], "tags": body["tags"] | {"hpc-claim": "prod/uid"}})
    text = (await azure.draft("hpc_climate")).text()
    assert ("claimed by prod/uid" in text) == claimed
    assert ("azurehpc.io/take-over" in text) == claimed
    assert SUBSCRIPTION in text


async def test_printing_twice_prints_the_same(azure):
    await azure.deploy(environment(), HOME, HPC)
    first, second = [await azure.draft("hpc_climate") for _ in range(2)]
    assert first.text() == second.text()
    assert first.report() == second.report()
