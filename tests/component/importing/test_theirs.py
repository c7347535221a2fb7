"""Importing what others made: every manifest is good, speaks of what is there, and is told in comments."""

import asyncio
import re

import pytest

from hpc_operator import cli
from hpc_operator.importing import NothingThereError
from hpc_operator.importing.origin import Origin

from .conftest import SUBSCRIPTION, blueprint_of, group_id, read

TIB = 2**40
STANDARD = {"sku": {"name": "Standard"}}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhwY29wZXJhdG9y"
UBUNTU = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204", "version": "22.04.2025081901"}
NET = "Microsoft.Network"
COMPUTE = "Microsoft.Compute"


def subnet(prefix, delegated_to=None):
    delegation = {"name": "delegation", "properties": {"serviceName": delegated_to}}
    return {"location": None, "properties": {"addressPrefix": prefix, "delegations": [delegation] * bool(delegated_to)}}


def nic(subnet_id):
    configuration = {"name": "ip", "properties": {"subnet": {"id": subnet_id}}}
    return {"properties": {"ipConfigurations": [configuration]}}


def machine(nic_id, size, name="machine", image=UBUNTU, tags=None, **properties):
    keys = [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": KEY}]
    return {
        "tags": tags or {},
        "properties": {
            "hardwareProfile": {"vmSize": size},
            "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
            "osProfile": {
                "computerName": name,
                "adminUsername": "azureuser",
                "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
            },
            "networkProfile": {"networkInterfaces": [{"id": nic_id}]},
            **properties,
        },
    }


def uniform(subnet_id, size, capacity, tags=None, priority="Regular"):
    address = {"name": "ip", "properties": {"subnet": {"id": subnet_id}}}
    interface = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [address]}}
    keys = [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": KEY}]
    linux = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}}
    profile = {
        "priority": priority,
        "storageProfile": {"imageReference": UBUNTU, "osDisk": {"createOption": "FromImage"}},
        "osProfile": {"computerNamePrefix": "node", "adminUsername": "azureuser", "linuxConfiguration": linux},
        "networkProfile": {"networkInterfaceConfigurations": [interface]},
        **({"evictionPolicy": "Delete"} if priority == "Spot" else {}),
    }
    return {
        "sku": {"name": size, "capacity": capacity},
        "tags": tags or {},
        "properties": {
            "orchestrationMode": "Uniform",
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": profile,
        },
    }


def volume(token, subnet_id, size=4 * TIB, level="Premium", protocols=("NFSv3",)):
    return {
        "properties": {
            "creationToken": token,
            "serviceLevel": level,
            "usageThreshold": size,
            "subnetId": subnet_id,
            "protocolTypes": list(protocols),
        }
    }


def cycle(array=None, name=None):
    """Return the tags that CycleCloud gives a node."""
    tags = {"ClusterName": "ccw", "CycleCloudCluster": "/sites/x/clusters/ccw"}
    tags |= {"CycleCloudNodeArray": f"/sites/x/clusters/ccw/nodearrays/{array}"} if array else {}
    return tags | ({"Name": name} if name else {})


def ids_in(blueprint):
    return {resource.id.lower() for resource in blueprint.graph}


async def check(azure, draft):
    """Return the specs by kind and name, after making sure that everything they name is there."""
    manifests = read(draft.text())
    blueprint = blueprint_of(manifests)
    existing = [item for item in blueprint.graph if item.referenced or item.adopted or item.observed_only]
    assert existing
    for resource in existing:
        assert await azure.client.get(resource.id) is not None, resource.id
    assert manifests[0]["spec"]["policy"] == {"dryRun": True}
    return {(item["kind"], item["metadata"]["name"]): item["spec"] for item in manifests}


# --- CycleCloud Workspace for Slurm: names and shapes of its bicep/


@pytest.fixture
async def workspace(azure):
    vnet = f"{NET}/virtualNetworks/ccw-vnet"
    here = f"{group_id('ccw')}/providers/"
    compute, services = f"{here}{vnet}/subnets/ccw-compute-subnet", f"{here}{vnet}/subnets/ccw-cyclecloud-subnet"
    account, netapp = "ccwstorageabcdefghijklm", "Microsoft.NetApp/netAppAccounts/hpcanfaccount-abcdefghij"
    zone = f"{NET}/privateDnsZones/privatelink.blob.core.windows.net"
    endpoint = f"{NET}/privateEndpoints/ccwstorage-blob-pe"
    target = f"{here}Microsoft.Storage/storageAccounts/{account}"
    connection = {"name": "blob", "properties": {"groupIds": ["blob"], "privateLinkServiceId": target}}
    config = {"name": "blob", "properties": {"privateDnsZoneId": here + zone}}
    bodies = {
        vnet: {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}},
        f"{vnet}/subnets/ccw-cyclecloud-subnet": subnet("10.0.0.0/29"),
        f"{vnet}/subnets/ccw-compute-subnet": subnet("10.0.2.0/23"),
        f"{vnet}/subnets/ccw-anf-subnet": subnet("10.0.1.0/25", "Microsoft.NetApp/volumes"),
        f"{vnet}/subnets/ccw-lustre-subnet": subnet("10.0.4.0/24"),
        f"{vnet}/subnets/AzureBastionSubnet": subnet("10.0.0.64/26"),
        f"{NET}/networkSecurityGroups/nsg-ccw-common": {"properties": {}},
        f"Microsoft.Storage/storageAccounts/{account}": {
            "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}},
        zone: {"location": "global"},
        endpoint: {"properties": {"subnet": {"id": services}, "privateLinkServiceConnections": [connection]}},
        f"{endpoint}/privateDnsZoneGroups/default": {
            "location": None, "properties": {"privateDnsZoneConfigs": [config]}},
        "Microsoft.ManagedIdentity/userAssignedIdentities/ccwLockerManagedIdentity": {},
        netapp: {},
        f"{netapp}/capacityPools/home-anf-pool": {"properties": {"serviceLevel": "Premium", "size": 4 * TIB}},
        f"{netapp}/capacityPools/home-anf-pool/volumes/home-anf-volume": volume(
            "home-path", f"{here}{vnet}/subnets/ccw-anf-subnet"),
        "Microsoft.StorageCache/amlFilesystems/ccw-lustre-abcdefghijklm": {
            "sku": {"name": "AMLFS-Durable-Premium-500"},
            "zones": ["1"],
            "properties": {
                "storageCapacityTiB": 8,
                "filesystemSubnet": f"{here}{vnet}/subnets/ccw-lustre-subnet",
                "maintenanceWindow": {"dayOfWeek": "Saturday", "timeOfDayUTC": "23:00"},
            },
        },
    }  # fmt: skip
    machines = {
        "ccw-cyclecloud-vm": (services, "Standard_D4as_v5", {}),
        "ccw-scheduler-a1": (compute, "Standard_D4as_v5", cycle(name="scheduler")),
        "ccw-login-b2": (compute, "Standard_F4s_v2", cycle("login", "login-1")),
        "ccw-htc-c3": (compute, "Standard_F2s_v2", cycle("htc")),
    }
    for name, (where, size, tags) in machines.items():
        bodies[f"{NET}/networkInterfaces/{name}-nic"] = nic(where)
        bodies[f"{COMPUTE}/virtualMachines/{name}"] = machine(
            f"{here}{NET}/networkInterfaces/{name}-nic", size, tags=tags)  # fmt: skip
    bodies[f"{COMPUTE}/virtualMachineScaleSets/ccw-hpc-d4"] = uniform(
        compute, "Standard_HB120rs_v3", 2, cycle("hpc"))  # fmt: skip
    await azure.put_all("ccw", bodies)
    return here


async def test_a_workspace_for_slurm(azure, workspace):
    draft = await azure.draft("ccw", namespace="hpc", name="climate")
    assert draft.recognised.origin is Origin.WORKSPACE
    found = await check(azure, draft)
    environment = found["HPCEnvironment", "climate"]
    vnet = f"{workspace}{NET}/virtualNetworks/ccw-vnet"
    names = {"compute": "compute", "services": "cyclecloud", "netApp": "anf", "lustre": "lustre"}
    assert environment["network"] == {
        "existing": {
            "subnets": {role: f"{vnet}/subnets/ccw-{name}-subnet" for role, name in names.items()},
            "blobDnsZone": f"{workspace}{NET}/privateDnsZones/privatelink.blob.core.windows.net",
        }
    }
    assert environment["scheduler"] == {"slurm": {"vmSize": "Standard_D4as_v5"}}
    assert environment["entryPoint"] == {"loginNodes": {"count": 1, "vmSize": "Standard_F4s_v2"}}
    assert [entry["resource"] for entry in environment["adopt"]] == [
        "Microsoft.Storage/storageAccounts/storage",
        "Microsoft.Network/privateEndpoints/pe-storage",
    ]
    assert not any(entry["manage"] for entry in environment["adopt"])

    home, lustre = found["StorageTier", "climate-home"], found["StorageTier", "climate-ccw-lustre"]
    assert (home["mountPath"], lustre["mountPath"]) == ("/shared", "/data")
    assert home["netAppFiles"] == {"serviceLevel": "Premium", "capacity": "4Ti", "protocol": "NFSv3"}
    assert home["attach"].endswith("/capacityPools/home-anf-pool/volumes/home-anf-volume")
    assert lustre["managedLustre"]["throughputPerTiB"] == 500
    assert lustre["attach"].endswith("/amlFilesystems/ccw-lustre-abcdefghijklm")

    htc, hpc = found["ComputePartition", "climate-htc"], found["ComputePartition", "climate-hpc"]
    assert (htc["partitionName"], htc["vmSizes"], htc["nodes"]) == ("htc", ["Standard_F2s_v2"], {"min": 0, "max": 1})
    assert (hpc["vmSizes"], hpc["nodes"]["max"]) == (["Standard_HB120rs_v3"], 2)
    assert hpc["image"] == {"urn": "microsoft-dsvm:ubuntu-hpc:2204:22.04.2025081901"}
    assert len(found) == 5


async def test_comments_tell_what_was_recognised_and_what_was_not(azure, workspace):
    draft = await azure.draft("ccw", name="climate")
    text = re.sub(r"\n# +", " ", draft.text())
    assert "# Resource group ccw, made by CycleCloud Workspace for Slurm" in text
    assert "- Microsoft.Network/virtualNetworks/ccw-vnet" in text
    assert "- Microsoft.Compute/virtualMachines/ccw-cyclecloud-vm" in text, "has no place"
    assert "virtualMachines/ccw-scheduler-a1: a scheduler; it stays as it is" in text
    assert "existingNfs: {server: 10.0.1." in text, "how to mount without taking over"
    assert "hpc-operator plan -f" in text
    assert "ccwLockerManagedIdentity: spec.identities could name it" in text
    assert len(draft.no_place) == 4, "and nothing that is a part of something else"
    report = draft.report()
    assert "2 storage tiers, 2 partitions" in report
    assert "Microsoft.Compute/virtualMachines/scheduler" in report, "would be made"


# --- az-hop: names of its tf/ and bicep/


async def test_an_az_hop(azure):
    vnet, here = f"{NET}/virtualNetworks/hpcvnet", f"{group_id('azhop')}/providers/"
    account = "Microsoft.NetApp/netAppAccounts/azhop-a1b2c3d4"
    netapp_subnet = f"{here}{vnet}/subnets/netapp"
    bodies = {
        vnet: {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/23"]}}},
        f"{vnet}/subnets/frontend": subnet("10.0.0.0/29"),
        f"{vnet}/subnets/admin": subnet("10.0.0.16/28"),
        f"{vnet}/subnets/netapp": subnet("10.0.0.32/28", "Microsoft.NetApp/volumes"),
        f"{vnet}/subnets/compute": subnet("10.0.1.0/24"),
        "Microsoft.Storage/storageAccounts/azhopa1b2c3d4": {
            "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}},
        "Microsoft.KeyVault/vaults/kva1b2c3d4": {"properties": {
            "tenantId": "00000000-0000-0000-0000-00000000aaaa", "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True}},
        "Microsoft.OperationalInsights/workspaces/azhop-a1b2c3d4-ws": {"properties": {"sku": {"name": "PerGB2018"}}},
        account: {},
        f"{account}/capacityPools/anfpool-a1b2c3d4": {"properties": {"serviceLevel": "Standard", "size": 4 * TIB}},
        f"{account}/capacityPools/anfpool-a1b2c3d4/volumes/anfhome": volume(
            "home-a1b2c3d4", netapp_subnet, level="Standard"),
    }  # fmt: skip
    for name, size, where in (
        ("ccportal", "Standard_B2ms", "admin"),
        ("scheduler", "Standard_B2ms", "admin"),
        ("ondemand", "Standard_D4s_v5", "frontend"),
        ("ad", "Standard_B2ms", "admin"),
    ):
        bodies[f"{NET}/networkInterfaces/{name}-nic"] = nic(f"{here}{vnet}/subnets/{where}")
        bodies[f"{COMPUTE}/virtualMachines/{name}"] = machine(f"{here}{NET}/networkInterfaces/{name}-nic", size)
    for number in (1, 2):
        bodies[f"{NET}/networkInterfaces/x{number}-nic"] = nic(f"{here}{vnet}/subnets/compute")
        bodies[f"{COMPUTE}/virtualMachines/x{number}"] = machine(
            f"{here}{NET}/networkInterfaces/x{number}-nic", "Standard_HB120rs_v3", tags=cycle("hb120v3"))  # fmt: skip
    await azure.put_all("azhop", bodies)

    draft = await azure.draft("azhop")
    assert draft.recognised.origin is Origin.AZ_HOP
    found = await check(azure, draft)
    environment = found["HPCEnvironment", "azhop"]
    subnets = environment["network"]["existing"]["subnets"]
    assert {role: item.rpartition("/")[2] for role, item in subnets.items()} == {
        "compute": "compute", "services": "admin", "netApp": "netapp"}  # fmt: skip
    assert environment["monitoring"]["logAnalyticsWorkspace"].endswith("azhop-a1b2c3d4-ws")
    assert [entry["resource"] for entry in environment["adopt"]] == [
        "Microsoft.Storage/storageAccounts/storage",
        "Microsoft.KeyVault/vaults/vault",
    ]
    home = found["StorageTier", "azhop-home"]
    assert (home["purpose"], home["mountPath"], home["netAppFiles"]["serviceLevel"]) == ("Home", "/anfhome", "Standard")
    assert found["ComputePartition", "azhop-hb120v3"]["nodes"] == {"min": 0, "max": 2}
    assert {item.rpartition("/")[2].partition(":")[0] for item in draft.no_place} == {
        "ccportal", "scheduler", "ondemand", "ad"}  # fmt: skip


# --- By hand, with a network in another group


async def test_something_made_by_hand(azure):
    hub, here = f"{group_id('net')}/providers/{NET}/virtualNetworks/hub", f"{group_id('My.Cluster')}/providers/"
    await azure.put(group_id("net"), {"location": "westeurope"})
    await azure.put(
        hub, {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}}
    )
    for name, body in (
        ("one", subnet("10.9.0.0/24")),
        ("two", subnet("10.9.2.0/23")),
        ("files", subnet("10.9.1.0/24", "Microsoft.NetApp/volumes")),
    ):
        await azure.put(f"{hub}/subnets/{name}", {"properties": body["properties"]})
    account = "Microsoft.NetApp/netAppAccounts/files"
    pool = f"{account}/capacityPools/all"
    bodies = {
        account: {},
        pool: {"properties": {"serviceLevel": "Premium", "size": 8 * TIB}},
        f"{pool}/volumes/opt": volume("opt", f"{hub}/subnets/files", size=TIB),
        f"{pool}/volumes/odd": volume("odd", f"{hub}/subnets/files", size=TIB + TIB // 2),
        f"{COMPUTE}/virtualMachineScaleSets/flex": {
            "properties": {"orchestrationMode": "Flexible", "platformFaultDomainCount": 1}},
    }  # fmt: skip
    attached = {"virtualMachineScaleSet": {"id": f"{here}{COMPUTE}/virtualMachineScaleSets/flex"}}
    for name, size, where, more in (
        ("head", "Standard_D8s_v5", "one", {}),
        ("node-1", "Standard_D4s_v5", "two", {}),
        ("node-2", "Standard_D4s_v5", "two", {"priority": "Spot", "evictionPolicy": "Delete"}),
        ("big", "Standard_HB176rs_v4", "two", attached),
        ("wiki", "Standard_B2ms", "one", {}),
    ):
        bodies[f"{NET}/networkInterfaces/{name}"] = nic(f"{hub}/subnets/{where}")
        bodies[f"{COMPUTE}/virtualMachines/{name}"] = machine(f"{here}{NET}/networkInterfaces/{name}", size, **more)
    bodies[f"{COMPUTE}/virtualMachineScaleSets/cheap"] = uniform(
        f"{hub}/subnets/two", "Standard_F2s_v2", 3, priority="Spot")  # fmt: skip
    await azure.put_all("My.Cluster", bodies)

    draft = await azure.draft("My.Cluster")
    assert draft.recognised.origin is Origin.HAND_MADE
    found = await check(azure, draft)
    environment = found["HPCEnvironment", "my-cluster"]
    assert "resourceGroup" not in environment, "what is new goes into a group of its own, where no name is taken"
    subnets = environment["network"]["existing"]["subnets"]
    assert {role: item.rpartition("/")[2] for role, item in subnets.items()} == {
        "compute": "two", "services": "one", "netApp": "files"}  # fmt: skip
    opt, odd = found["StorageTier", "my-cluster-opt"], found["StorageTier", "my-cluster-odd"]
    assert opt["mountPath"] == "/storage/opt", "/opt belongs to the system"
    assert "attach" not in odd
    assert odd["existingNfs"]["exportPath"] == "/odd"
    partitions = {name: spec for (kind, name), spec in found.items() if kind == "ComputePartition"}
    assert {name: (spec["vmSizes"], spec["nodes"]["max"], spec["priority"]) for name, spec in partitions.items()} == {
        "my-cluster-d4s-v5": (["Standard_D4s_v5"], 2, "Regular"),
        "my-cluster-f2s-v2": (["Standard_F2s_v2"], 3, "Spot"),
        "my-cluster-hb176rs-v4": (["Standard_HB176rs_v4"], 1, "Regular"),
    }
    assert any("virtualMachines/wiki" in item for item in draft.no_place)
    assert environment["scheduler"] == {"slurm": {"vmSize": "Standard_D8s_v5"}}


async def test_a_group_without_a_network(azure):
    await azure.put_all("small", {"Microsoft.ManagedIdentity/userAssignedIdentities/one": {}})
    draft = await azure.draft("small")
    (environment,) = read(draft.text())
    assert environment["spec"]["network"] == {"addressSpace": ["10.40.0.0/20"]}
    assert "no virtual network was found" in draft.text()


# --- What Azure tells late, or not at all


async def test_what_the_survey_does_not_show_yet_is_read(azure, workspace):
    before = (await azure.draft("ccw")).text()
    azure.emulator.store.set("resourceGraphLagSeconds", 10**9)
    late = await azure.draft("ccw")
    assert late.found.get(f"{workspace}{NET}/virtualNetworks/ccw-vnet") is not None
    assert [line for line in late.text().splitlines() if "subnets/" in line] == [
        line for line in before.splitlines() if "subnets/" in line
    ]


async def test_a_group_that_is_not_there(azure):
    with pytest.raises(NothingThereError, match="there is no resource group nowhere in subscription"):
        await azure.draft("nowhere")


async def test_an_import_writes_nothing(azure, workspace):
    def writes():
        return {key: count for key, count in azure.client.requests.items() if key[0] != "read"}

    before = writes()
    await azure.draft("ccw")
    assert writes() == before


async def test_the_command(azure, workspace, monkeypatch, capsys):
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "IDENTITY_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HPC_SUBSCRIPTION_ID", "00000000-0000-0000-0000-00000000ffff")
    monkeypatch.setenv("HPC_ARM_ENDPOINT", azure.emulator.url)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.emulator.url)

    async def run(*arguments):
        code = await asyncio.to_thread(cli.main, ["import", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    code, out, err = await run("-g", "ccw", "--subscription", SUBSCRIPTION, "-n", "hpc", "--name", "climate")
    assert code == 0, err
    draft = await azure.draft("ccw", namespace="hpc", name="climate")
    assert (out, err) == (draft.text(), draft.report())
    assert [item["metadata"]["namespace"] for item in read(out)] == ["hpc"] * 5
    code, out, err = await run("-g", "ccw", "--subscription", SUBSCRIPTION, "--environment-only")
    assert (code, [item["kind"] for item in read(out)]) == (0, ["HPCEnvironment"])
    code, out, err = await run("-g", "nowhere", "--subscription", SUBSCRIPTION)
    assert (code, out) == (1, "")
    assert err.startswith("hpc-operator: there is no resource group nowhere")
