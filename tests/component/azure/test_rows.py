"""Each row of the table through its whole life, with the real SDK, against the emulator."""

import base64
import copy
from datetime import UTC, datetime

import aiohttp
import pytest

from azure_emulator import Emulator
from hpc_operator.arm import AzureError, ErrorClass, Handle
from hpc_operator.azure import AzureClient
from hpc_operator.azure.table import TABLE
from hpc_operator.graph import ArmId

from .conftest import SUBSCRIPTION, handle_of, outcome

# A quarter of an hour in a tenth of a second: the emulator scales Retry-After, so nothing here waits for a clock.
SPEED = 10_000

LOCATION = {"location": "westeurope"}
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/climate"


def network(rest):
    return f"{GROUP}/providers/Microsoft.Network/{rest}"


VNET, SUBNET, ENDPOINTS = (network(f"virtualNetworks/vnet{rest}") for rest in ("", "/subnets/nodes", "/subnets/pe"))
BASTION_SUBNET, ANF_SUBNET = f"{VNET}/subnets/AzureBastionSubnet", f"{VNET}/subnets/anf"
NSG, ADDRESS = network("networkSecurityGroups/nsg"), network("publicIPAddresses/address")
NAT, BASTION, NIC = network("natGateways/nat"), network("bastionHosts/bastion"), network("networkInterfaces/nic")
ENDPOINT = network("privateEndpoints/pe")
ZONE = network("privateDnsZones/privatelink.file.core.windows.net")
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/climatedata"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
ASSIGNMENT = f"{VNET}/providers/Microsoft.Authorization/roleAssignments/8f3a5a38-4b5d-4c0f-8a6c-6d1d3f5a9b01"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/climate-vault"
DISK = f"{GROUP}/providers/Microsoft.Compute/disks/home"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/scheduler"
SCALE_SET = f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/hpc"
NETAPP = f"{GROUP}/providers/Microsoft.NetApp/netAppAccounts/climate"
POOL, VOLUME = f"{NETAPP}/capacityPools/pool", f"{NETAPP}/capacityPools/pool/volumes/home"
LUSTRE = f"{GROUP}/providers/Microsoft.StorageCache/amlFilesystems/scratch"
WORKSPACE = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/logs"
GALLERY = f"{GROUP}/providers/Microsoft.Compute/galleries/hpc"
CONTRIBUTOR = (
    f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/"
    "b24988ac-6180-42a0-ab88-20f7382dd24c"
)
TIB = 2**40

# What each resource needs, its body, and what an update says.
RESOURCES = {
    GROUP: ((), LOCATION | {"tags": {"a": "1"}}, {"tags": {"a": "2"}}),
    VNET: (
        (GROUP,),
        LOCATION | {"properties": {"addressSpace": {"addressPrefixes": ["10.40.0.0/16"]}}},
        {"properties": {"addressSpace": {"addressPrefixes": ["10.40.0.0/16", "10.41.0.0/16"]}}},
    ),
    SUBNET: (
        (VNET, NSG),
        {"properties": {"addressPrefix": "10.40.1.0/24"}},
        {"properties": {"networkSecurityGroup": {"id": NSG}}},
    ),
    ENDPOINTS: ((VNET,), {"properties": {"addressPrefix": "10.40.2.0/24"}}, {}),
    BASTION_SUBNET: ((VNET,), {"properties": {"addressPrefix": "10.40.3.0/26"}}, {}),
    ANF_SUBNET: (
        (VNET,),
        {
            "properties": {
                "addressPrefix": "10.40.4.0/26",
                "delegations": [{"name": "anf", "properties": {"serviceName": "Microsoft.NetApp/volumes"}}],
            }
        },
        {},
    ),
    NSG: (
        (GROUP,),
        LOCATION | {"properties": {"securityRules": []}},
        {
            "properties": {
                "securityRules": [
                    {
                        "name": "ssh",
                        "properties": {
                            "priority": 100,
                            "direction": "Inbound",
                            "access": "Allow",
                            "protocol": "Tcp",
                            "sourceAddressPrefix": "10.0.0.0/8",
                            "sourcePortRange": "*",
                            "destinationAddressPrefix": "*",
                            "destinationPortRange": "22",
                        },
                    }
                ]
            }
        },
    ),
    ADDRESS: (
        (GROUP,),
        LOCATION | {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}},
        {"tags": {"a": "2"}},
    ),
    NAT: (
        (ADDRESS,),
        LOCATION | {"sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": ADDRESS}]}},
        {"properties": {"idleTimeoutInMinutes": 10}},
    ),
    BASTION: (
        (ADDRESS, BASTION_SUBNET),
        LOCATION
        | {
            "sku": {"name": "Standard"},
            "properties": {
                "ipConfigurations": [
                    {"name": "ip", "properties": {"subnet": {"id": BASTION_SUBNET}, "publicIPAddress": {"id": ADDRESS}}}
                ]
            },
        },
        {"properties": {"enableTunneling": True}},
    ),
    NIC: (
        (SUBNET,),
        LOCATION | {"properties": {"ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": SUBNET}}}]}},
        {"tags": {"a": "2"}},
    ),
    ENDPOINT: (
        (ENDPOINTS, ACCOUNT),
        LOCATION
        | {
            "properties": {
                "subnet": {"id": ENDPOINTS},
                "privateLinkServiceConnections": [
                    {"name": "file", "properties": {"privateLinkServiceId": ACCOUNT, "groupIds": ["file"]}}
                ],
            }
        },
        {"tags": {"a": "2"}},
    ),
    f"{ENDPOINT}/privateDnsZoneGroups/default": (
        (ENDPOINT, ZONE),
        {"properties": {"privateDnsZoneConfigs": [{"name": "file", "properties": {"privateDnsZoneId": ZONE}}]}},
        None,
    ),
    ZONE: ((GROUP,), {"location": "global"}, {"tags": {"a": "2"}}),
    f"{ZONE}/virtualNetworkLinks/vnet": (
        (ZONE, VNET),
        {"location": "global", "properties": {"virtualNetwork": {"id": VNET}, "registrationEnabled": False}},
        {"tags": {"a": "2"}},
    ),
    ACCOUNT: (
        (GROUP,),
        LOCATION
        | {
            "kind": "FileStorage",
            "sku": {"name": "Premium_LRS"},
            "properties": {"supportsHttpsTrafficOnly": False, "publicNetworkAccess": "Disabled"},
        },
        {"properties": {"minimumTlsVersion": "TLS1_2"}},
    ),
    IDENTITY: ((GROUP,), LOCATION, {"tags": {"a": "2"}}),
    ASSIGNMENT: ((VNET, IDENTITY), None, None),
    VAULT: (
        (GROUP,),
        LOCATION
        | {
            "properties": {
                "tenantId": "00000000-0000-0000-0000-00000000aaaa",
                "sku": {"family": "A", "name": "standard"},
                "enableRbacAuthorization": True,
                "softDeleteRetentionInDays": 7,
            }
        },
        {"properties": {"publicNetworkAccess": "Disabled"}},
    ),
    DISK: (
        (GROUP,),
        LOCATION
        | {
            "sku": {"name": "Premium_LRS"},
            "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 64},
        },
        {"properties": {"diskSizeGB": 128}},
    ),
    VM: (
        (NIC,),
        LOCATION
        | {
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
                "storageProfile": {
                    "imageReference": {
                        "publisher": "microsoft-dsvm",
                        "offer": "ubuntu-hpc",
                        "sku": "2204",
                        "version": "latest",
                    },
                    "osDisk": {"createOption": "FromImage", "managedDisk": {"storageAccountType": "Premium_LRS"}},
                },
                "osProfile": {
                    "computerName": "scheduler",
                    "adminUsername": "hpcadmin",
                    "customData": base64.b64encode(b"#cloud-config\n").decode(),
                    "linuxConfiguration": {
                        "disablePasswordAuthentication": True,
                        "ssh": {
                            "publicKeys": [
                                {
                                    "path": "/home/hpcadmin/.ssh/authorized_keys",
                                    "keyData": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhwY29wZXJhdG9y",
                                }
                            ]
                        },
                    },
                },
                "networkProfile": {"networkInterfaces": [{"id": NIC}]},
            }
        },
        {"tags": {"a": "2"}},
    ),
    f"{VM}/runCommands/hello": (
        (VM,),
        LOCATION | {"properties": {"source": {"script": "echo hello"}}},
        {"properties": {"timeoutInSeconds": 60}},
    ),
    SCALE_SET: (
        (GROUP,),
        LOCATION
        | {
            "properties": {
                "orchestrationMode": "Flexible",
                "platformFaultDomainCount": 1,
                "singlePlacementGroup": True,
            }
        },
        {"tags": {"a": "2"}},
    ),
    NETAPP: ((GROUP,), LOCATION, {"tags": {"a": "2"}}),
    POOL: (
        (NETAPP,),
        LOCATION | {"properties": {"serviceLevel": "Premium", "size": 4 * TIB}},
        {"properties": {"size": 5 * TIB}},
    ),
    VOLUME: (
        (POOL, ANF_SUBNET),
        LOCATION
        | {
            "properties": {
                "creationToken": "climate-home",
                "subnetId": ANF_SUBNET,
                "usageThreshold": TIB,
                "serviceLevel": "Premium",
                "protocolTypes": ["NFSv4.1"],
            }
        },
        {"properties": {"usageThreshold": 2 * TIB}},
    ),
    LUSTRE: (
        (SUBNET,),
        LOCATION
        | {
            "sku": {"name": "AMLFS-Durable-Premium-250"},
            "zones": ["1"],
            "properties": {
                "storageCapacityTiB": 8,
                "filesystemSubnet": SUBNET,
                "maintenanceWindow": {"dayOfWeek": "Sunday", "timeOfDayUTC": "03:00"},
            },
        },
        {"properties": {"maintenanceWindow": {"dayOfWeek": "Monday", "timeOfDayUTC": "04:00"}}},
    ),
    WORKSPACE: ((GROUP,), LOCATION | {"properties": {"sku": {"name": "PerGB2018"}}}, {"tags": {"a": "2"}}),
    f"{VAULT}/providers/Microsoft.Insights/diagnosticSettings/logs": (
        (VAULT, WORKSPACE),
        {"properties": {"workspaceId": WORKSPACE, "logs": [{"categoryGroup": "audit", "enabled": True}]}},
        None,
    ),
    f"{LUSTRE}/expansionJobs/grow": (
        (LUSTRE,),
        LOCATION | {"properties": {"newStorageCapacityTiB": 16}},
        {"tags": {"a": "2"}},
    ),
}


@pytest.fixture
async def emulator(stack):
    return await stack.enter_async_context(Emulator(speed=SPEED, seed=0))


@pytest.fixture
async def azure(stack, emulator, credential):
    return await stack.enter_async_context(AzureClient(emulator.url, SUBSCRIPTION, credential))


async def finish(azure, resource_id, verb, started):
    if started.operation_url is not None:
        ended = await outcome(azure, handle_of(resource_id, verb, started), started.retry_after)
        assert ended.error is None, f"{verb} {resource_id}: {ended.error}"


async def body_of(azure, resource_id):
    if resource_id == ASSIGNMENT:
        identity = await azure.get(IDENTITY)
        principal = identity["properties"]["principalId"]
        return {
            "properties": {
                "roleDefinitionId": CONTRIBUTOR,
                "principalId": principal,
                "principalType": "ServicePrincipal",
            }
        }
    return RESOURCES[resource_id][1]


async def make(azure, resource_id):
    """Make a resource and before it what it needs."""
    if await azure.get(resource_id) is None:
        for need in RESOURCES[resource_id][0]:
            await make(azure, need)
        started = await azure.put(resource_id, await body_of(azure, resource_id))
        await finish(azure, resource_id, "PUT", started)


def merged(body, changes):
    result = copy.deepcopy(dict(body))
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def holds(body, part):
    """Whether a body has at least what a part says."""
    if isinstance(part, dict):
        return isinstance(body, dict) and all(key in body and holds(body[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(body, list) and len(body) == len(part) and all(map(holds, body, part))
    return body == part


@pytest.mark.parametrize("resource_id", RESOURCES, ids=lambda item: item.removeprefix(GROUP).lstrip("/") or "group")
async def test_a_whole_life(azure, resource_id):
    needs, _, changes = RESOURCES[resource_id]
    for need in needs:
        await make(azure, need)
    assert await azure.get(resource_id) is None
    body = await body_of(azure, resource_id)
    await finish(azure, resource_id, "PUT", await azure.put(resource_id, body))
    made = await azure.get(resource_id)
    assert made["id"].lower() == resource_id.lower()
    # Saying the same again changes nothing and fails in nothing: a lost answer is repeated.
    await finish(azure, resource_id, "PUT", await azure.put(resource_id, body))
    if changes:
        if TABLE[made["type"].lower()].patch:
            await finish(azure, resource_id, "PATCH", await azure.patch(resource_id, changes))
        else:
            await finish(azure, resource_id, "PUT", await azure.put(resource_id, merged(body, changes)))
        assert holds(await azure.get(resource_id), changes)
    await finish(azure, resource_id, "DELETE", await azure.delete(resource_id))
    assert await azure.get(resource_id) is None
    await finish(azure, resource_id, "DELETE", await azure.delete(resource_id))


ELSEWHERE = {
    "microsoft.compute/galleries/images/versions",  # below, because it needs what no row is for
    "microsoft.storage/storageaccounts/fileservices/shares",  # not emulated: test_protocol.py
    "microsoft.storage/storageaccounts/blobservices/containers",
}


def test_every_row_has_a_life_here():
    assert {ArmId.parse(item).type.lower() for item in RESOURCES} | ELSEWHERE == set(TABLE)


async def fault(emulator, **script):
    async with aiohttp.ClientSession() as session, session.post(f"{emulator.url}/emulator/faults", json=script) as done:
        assert done.status < 300, await done.text()


async def fail_to_allocate(azure, emulator):
    await make(azure, NIC)
    failure = {"code": "AllocationFailed", "message": "We do not have sufficient capacity."}
    await fault(emulator, method="PUT", path="virtualMachines/scheduler$", operation=failure)
    started = await azure.put(VM, RESOURCES[VM][1])
    return await outcome(azure, handle_of(VM, "PUT", started), started.retry_after)


async def test_an_operation_that_fails_at_its_end(azure, emulator):
    ended = await fail_to_allocate(azure, emulator)
    assert (ended.error.code, ended.error.error_class) == ("AllocationFailed", ErrorClass.CAPACITY)


async def test_why_a_machine_failed(azure, emulator):
    await fail_to_allocate(azure, emulator)
    assert (await azure.virtual_machine_error(VM)).code == "AllocationFailed"


async def test_a_lost_answer_is_repeated_without_harm(azure, emulator):
    await make(azure, GROUP)
    await fault(emulator, method="PUT", path="natGateways|publicIPAddresses", lostAnswer=True, count=2)
    with pytest.raises(AzureError) as lost:
        await azure.put(ADDRESS, RESOURCES[ADDRESS][1])
    assert (lost.value.code, lost.value.error_class) == ("Unreachable", ErrorClass.TRANSIENT)
    await finish(azure, ADDRESS, "PUT", await azure.put(ADDRESS, RESOURCES[ADDRESS][1]))


async def test_what_is_in_use_is_not_deleted(azure):
    await make(azure, NIC)
    with pytest.raises(AzureError) as refused:
        await azure.delete(SUBNET)
    assert refused.value.error_class is ErrorClass.ORDERING


async def test_a_child_without_parent_waits_for_it(azure):
    await make(azure, GROUP)
    with pytest.raises(AzureError) as refused:
        await azure.put(SUBNET, RESOURCES[SUBNET][1])
    assert refused.value.error_class is ErrorClass.ORDERING


async def test_a_new_process_goes_on_with_the_handle_alone(stack, azure, emulator, credential):
    await make(azure, GROUP)
    started = await azure.put(VNET, RESOURCES[VNET][1])
    handle = handle_of(VNET, "PUT", started)
    await azure.close()
    fresh = await stack.enter_async_context(AzureClient(emulator.url, SUBSCRIPTION, credential))
    assert (await outcome(fresh, handle, 0)).error is None
    assert fresh.requests["write", "2xx"] == 0


async def test_without_a_url_the_resource_is_asked(azure):
    await make(azure, GROUP)
    await azure.put(VNET, RESOURCES[VNET][1])
    azure._operations._interval = 0.01
    ended = await outcome(azure, Handle(VNET, "PUT", "", datetime.now(UTC).isoformat()))
    assert ended.error is None
    assert (await azure.get(VNET))["properties"]["provisioningState"] == "Succeeded"


async def test_machines_of_a_group(azure):
    await make(azure, VM)
    machines = await azure.list_virtual_machines(GROUP)
    assert [machine["id"].lower() for machine in machines] == [VM.lower()]
    assert await azure.list_virtual_machines(GROUP + "-other") == []


async def test_a_survey_shows_what_gets_show(azure, emulator):
    emulator.store.set("resourceGraphLagSeconds", 0)
    together = [resource_id for resource_id in RESOURCES if resource_id != NAT]  # Bastion has its address
    for resource_id in together:
        await make(azure, resource_id)
    survey = await azure.survey(GROUP.upper())
    for resource_id in together:
        info = azure.type_info(ArmId.parse(resource_id).type)
        assert (resource_id.lower() in survey) == info.surveyed, resource_id
        if info.surveyed:
            shown, found = dict(await azure.get(resource_id)), survey[resource_id.lower()]
            for key in ("etag", "systemData"):  # Resource Graph has no column for them
                shown.pop(key, None), found.pop(key, None)
            shown["properties"].pop("instanceView", None)  # nor does it show what a GET shows on demand
            assert found == shown
    assert await azure.survey(GROUP + "-other") == {}


async def test_a_survey_is_late(azure, emulator):
    emulator.store.set("resourceGraphLagSeconds", 10**9)
    assert await azure.survey(GROUP) == {}
    await make(azure, GROUP)
    assert await azure.survey(GROUP) == {}
    emulator.store.set("resourceGraphLagSeconds", 0)
    assert list(await azure.survey(GROUP)) == [GROUP.lower()]


async def test_the_newest_image(azure):
    version = await azure.latest_image_version("westeurope", "microsoft-dsvm:ubuntu-hpc:2204:latest")
    assert version[0].isdigit()


async def put_directly(emulator, resource_id, body):
    headers = {"Authorization": "Bearer very-secret"}
    url = f"{emulator.url}{resource_id}?api-version=2024-03-03"
    async with aiohttp.ClientSession() as session, session.put(url, json=body, headers=headers) as done:
        assert done.status < 300, await done.text()


async def test_versions_of_a_gallery_image_and_the_newest_of_them(azure, emulator):
    await make(azure, DISK)
    image = f"{GALLERY}/images/nodes"
    definition = {"osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2"}
    definition["identifier"] = {"publisher": "site", "offer": "hpc", "sku": "nodes"}
    await put_directly(emulator, GALLERY, LOCATION)
    await put_directly(emulator, image, LOCATION | {"properties": definition})
    with pytest.raises(AzureError) as none_yet:
        await azure.latest_image_version("westeurope", image)
    assert none_yet.value.error_class is ErrorClass.PERMANENT
    with pytest.raises(AzureError) as no_image:
        await azure.latest_image_version("westeurope", f"{image}-other")
    assert no_image.value.status == 404

    def version(**profile):
        storage = {"osDiskImage": {"source": {"id": DISK}}}
        return LOCATION | {"properties": {"publishingProfile": profile, "storageProfile": storage}}

    for name, profile in (("1.0.9", {}), ("1.0.10", {}), ("2.0.0", {"excludeFromLatest": True})):
        await finish(
            azure, f"{image}/versions/{name}", "PUT", await azure.put(f"{image}/versions/{name}", version(**profile))
        )
    assert (await azure.get(f"{image}/versions/1.0.9"))["name"] == "1.0.9"
    assert await azure.latest_image_version("westeurope", image) == "1.0.10"
    with pytest.raises(AzureError):
        await azure.latest_image_version("eastus", image)
    newest = f"{image}/versions/1.0.10"
    await finish(azure, newest, "DELETE", await azure.delete(newest))
    assert await azure.latest_image_version("westeurope", image) == "1.0.9"


async def test_the_default_credential_gets_its_token_from_the_emulator(stack, emulator, monkeypatch):
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", emulator.url)
    azure = await stack.enter_async_context(AzureClient(emulator.url, SUBSCRIPTION))
    assert await azure.get(GROUP) is None
