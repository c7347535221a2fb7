"""Azure Managed Lustre through the real SDK client, and the details that need plain HTTP or a clock moved by hand."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

LOCATION = "westeurope"
FS = "rg/Microsoft.StorageCache/amlFilesystems/scratch"
VNET = "rg/Microsoft.Network/virtualNetworks/vnet"
WINDOW = {"dayOfWeek": "Saturday", "timeOfDayUTC": "22:00"}
LOGIN = "rg/Microsoft.Storage/storageAccounts/lustredata"


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as error:
        call()
    assert error.value.error is not None
    return error.value.status_code, error.value.error.code


def network(*prefixes: str) -> dict[str, Any]:
    subnets = [{"name": f"s{number}", "properties": {"addressPrefix": prefix}}
               for number, prefix in enumerate(prefixes)]  # fmt: skip
    return {"location": LOCATION, "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}}  # fmt: skip


def body(subnet: str, capacity: float = 8, sku: int = 250, **properties: Any) -> dict[str, Any]:
    zones = properties.pop("zones", ["1"])
    return {"location": LOCATION, "sku": {"name": f"AMLFS-Durable-Premium-{sku}"}, "zones": zones, "properties": {
        "storageCapacityTiB": capacity, "filesystemSubnet": subnet, "maintenanceWindow": WINDOW,
        **properties}}  # fmt: skip


async def subnets(http: Any, *prefixes: str) -> list[str]:
    await http.done(VNET, network(*prefixes))
    vnet = VNET.replace("rg/", f"{http.subscription}/resourceGroups/rg/providers/")
    return [f"{vnet}/subnets/s{number}" for number in range(len(prefixes))]


async def with_blobs(http: Any) -> tuple[str, dict[str, Any]]:
    """A file system with blob integration that has just been made."""
    (subnet,) = await subnets(http, "10.0.0.0/25")
    await http.done(LOGIN, {"location": LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"})
    containers = {}
    for name in ("data", "log"):
        made = await http.put(f"{LOGIN}/blobServices/default/containers/{name}", {})
        containers[name] = made["id"]
    settings = {"container": containers["data"], "loggingContainer": containers["log"], "importPrefix": "/in"}
    return subnet, {"settings": settings}


def test_sizes_of_subnets(sdk, group):
    sizes = {16: 27, 40: 59, 92: 123, 196: 251}  # TiB -> what the published prefix has
    for capacity, usable in sizes.items():
        info = {"sku": {"name": "AMLFS-Durable-Premium-500"}, "storageCapacityTiB": capacity}
        if capacity <= 128:
            assert sdk.lustre.get_required_aml_fs_subnets_size(info).filesystem_subnet_size <= usable
            info["storageCapacityTiB"] = capacity + 4
            assert sdk.lustre.get_required_aml_fs_subnets_size(info).filesystem_subnet_size > usable
    made = sdk.network.virtual_networks.begin_create_or_update(group, "vnet", network("10.0.0.0/27")).result()
    check = {"filesystemSubnet": made.subnets[0].id, "sku": {"name": "AMLFS-Durable-Premium-250"},
             "location": LOCATION, "storageCapacityTiB": 16}  # fmt: skip
    assert sdk.lustre.check_aml_fs_subnets(check) is None
    with pytest.raises(HttpResponseError) as error:
        sdk.lustre.check_aml_fs_subnets({**check, "storageCapacityTiB": 24})
    assert error.value.status_code == 400
    assert error.value.model.filesystem_subnet.status == "Invalid"


def test_skus_and_usages(sdk):
    skus = [sku for sku in sdk.lustre.skus.list() if sku.locations == [LOCATION]]
    assert {sku.name for sku in skus} == {f"AMLFS-Durable-Premium-{number}" for number in (40, 125, 250, 500)}
    values = {one.name: one.value for one in skus[0].capabilities}
    assert values["OSS capacity increment (TiB)"] == "48"
    assert sdk.lustre.asc_usages.list(LOCATION).next().limit == 4


def test_a_file_system_that_grows(sdk, group):
    made = sdk.network.virtual_networks.begin_create_or_update(group, "vnet", network("10.0.0.0/26")).result()
    systems, jobs = sdk.lustre.aml_filesystems, sdk.lustre.expansion_jobs
    system = systems.begin_create_or_update(group, "fs", body(made.subnets[0].id, 5)).result()
    assert (system.storage_capacity_ti_b, system.throughput_provisioned_m_bps) == (8, 2000), "rounded up"
    assert system.client_info.mgs_address == "10.0.0.4"
    assert system.hsm.archive_status[0].status.state == "NotConfigured"
    sizes = ({"newStorageCapacityTiB": 8}, {"newStorageCapacityTiB": 20}, {"newStorageCapacityTiB": 512})
    for wrong in sizes:
        asked = {"location": LOCATION, "properties": wrong}
        code = refusal(lambda asked=asked: jobs.begin_create_or_update(group, "fs", "more", asked))
        assert code == (400, "InvalidParameter"), wrong
    too_much = {"location": LOCATION, "properties": {"newStorageCapacityTiB": 48}}
    assert refusal(lambda: jobs.begin_create_or_update(group, "fs", "more", too_much)) == (400, "InvalidSubnetSize")
    right = {"location": LOCATION, "properties": {"newStorageCapacityTiB": 16}}
    job = jobs.begin_create_or_update(group, "fs", "more", right).result()
    assert job.properties.status.state == "Completed"
    grown = systems.get(group, "fs")
    assert (grown.current_storage_capacity_ti_b, grown.storage_capacity_ti_b) == (16, 8)
    balance = sdk.lustre.rebalance_jobs.get(group, "fs", job.properties.rebalance_job_id.rsplit("/", 1)[1])
    assert balance.properties.expansion_job_id == job.id
    quiet = {"location": LOCATION, "properties": {"newStorageCapacityTiB": 24, "runRebalanceJob": False}}
    assert jobs.begin_create_or_update(group, "fs", "again", quiet).result().properties.rebalance_job_id is None
    jobs.begin_delete(group, "fs", "again").result()
    assert [found.name for found in jobs.list_by_aml_filesystem(group, "fs")] == ["more"]


@pytest.mark.parametrize(("wrong", "code"), [
    ({"sku": 300}, "InvalidParameter"),
    ({"capacity": 512}, "InvalidParameter"),
    ({"capacity": 32}, "InvalidSubnetSize"),
    ({"zones": ["7"]}, "InvalidParameter"),
    ({"zones": ["1", "2"]}, "InvalidParameter"),
    ({"maintenanceWindow": {"dayOfWeek": "Saturday"}}, "InvalidParameter"),
    ({"maintenanceWindow": {"dayOfWeek": "Saturday", "timeOfDayUTC": "25:00"}}, "InvalidParameter"),
    ({"rootSquashSettings": {"mode": "All"}}, "InvalidParameter"),
    ({"hsm": {"settings": {"container": "x", "loggingContainer": "y"}}}, "InvalidParameter"),
])  # fmt: skip
async def test_what_a_file_system_refuses(http, wrong, code):
    (subnet,) = await subnets(http, "10.0.0.0/27")
    assert await http.code("PUT", FS, body(subnet, **wrong)) == (400, code)


async def test_the_quota_and_the_addresses(http):
    one, two = await subnets(http, "10.0.0.0/26", "10.0.1.0/27")
    await http.session.put(f"{http.emulator.url}/emulator/quota", json={
        "location": LOCATION, "name": "AmlFilesystem", "limit": 2})  # fmt: skip
    await http.put(FS, body(one, 24))
    assert await http.code("PUT", f"{FS}2", body(one, 24)) == (400, "InvalidSubnetSize"), "the first has the addresses"
    await http.put(f"{FS}2", body(two, 8))
    status, document, _ = await http.call("PUT", f"{FS}3", body(one, 8))
    assert (status, document["error"]["code"]) == (409, "OperationNotAllowed")
    assert "Maximum allowed: 2, Current in use: 2, Additional requested: 1." in document["error"]["message"]


async def test_states_of_growing(http):
    (subnet,) = await subnets(http, "10.0.0.0/25")
    await http.done(FS, body(subnet))
    job = f"{FS}/expansionJobs/more"
    await http.put(job, {"location": LOCATION, "properties": {"newStorageCapacityTiB": 16}})
    again = {"location": LOCATION, "properties": {"newStorageCapacityTiB": 24}}
    assert await http.code("PUT", f"{FS}/expansionJobs/other", again) == (409, "Conflict")
    http.advance(200)
    _, document, _ = await http.call("GET", job)
    status = document["properties"]["status"]
    assert status["state"] == "InProgress"
    assert 20 < status["percentComplete"] < 50
    _, document, _ = await http.call("GET", FS)
    assert document["properties"]["health"]["state"] == "Expanding"
    assert document["properties"]["currentStorageCapacityTiB"] == 8
    http.advance(600)
    balance = f"{FS}/rebalanceJobs/more"
    assert (await http.call("GET", balance))[1]["properties"]["status"]["state"] == "InProgress"
    assert (await http.call("PATCH", balance, {"properties": {"adminStatus": "Cancel"}}))[0] == 202
    http.advance(10)
    assert (await http.call("GET", balance))[1]["properties"]["status"]["state"] == "Cancelling"
    http.advance(100)
    assert (await http.call("GET", balance))[1]["properties"]["status"]["state"] == "Canceled"
    assert (await http.call("GET", FS))[1]["properties"]["health"]["state"] == "Available"


async def test_growing_that_fails_changes_nothing(http):
    (subnet,) = await subnets(http, "10.0.0.0/25")
    await http.done(FS, body(subnet))
    failure = {"code": "AllocationFailed", "message": "none"}
    fault = {"method": "PUT", "path": "expansionJobs/more", "operation": failure}
    await http.session.post(f"{http.emulator.url}/emulator/faults", json=fault)
    await http.put(f"{FS}/expansionJobs/more", {"location": LOCATION, "properties": {"newStorageCapacityTiB": 16}})
    http.advance(900)
    _, document, _ = await http.call("GET", f"{FS}/expansionJobs/more")
    assert document["properties"]["status"]["state"] == "Failed"
    assert document["properties"]["status"]["statusCode"] == "AllocationFailed"
    assert (await http.call("GET", FS))[1]["properties"]["currentStorageCapacityTiB"] == 8


async def test_blob_integration(http):
    subnet, hsm = await with_blobs(http)
    same = {"settings": {**hsm["settings"], "loggingContainer": hsm["settings"]["container"]}}
    assert await http.code("PUT", FS, body(subnet, hsm=same)) == (400, "InvalidParameter")
    await http.put(FS, body(subnet, hsm=hsm))
    while (await http.call("GET", FS))[1]["properties"]["provisioningState"] != "Succeeded":
        http.advance(30)
    _, listed, _ = await http.call("GET", f"{FS}/importJobs")
    (first,) = listed["value"]
    assert first["properties"]["importPrefixes"] == ["/in"]
    other = {"location": LOCATION, "properties": {}}
    assert await http.code("PUT", f"{FS}/importJobs/mine", other) == (409, "JobInProgress")
    http.advance(400)
    assert (await http.call("GET", f"{FS}/importJobs/initial"))[1]["properties"]["status"]["state"] == "Completed"
    wrong = {"location": LOCATION, "properties": {"conflictResolutionMode": "Ask"}}
    assert await http.code("PUT", f"{FS}/importJobs/mine", wrong) == (400, "InvalidParameter")
    await http.put(f"{FS}/importJobs/mine", other)
    http.advance(20)
    stop = {"properties": {"adminStatus": "Cancel"}}
    assert (await http.call("PATCH", f"{FS}/importJobs/mine", stop))[0] == 202
    http.advance(100)
    _, document, _ = await http.call("GET", f"{FS}/importJobs/mine")
    assert document["properties"]["status"]["state"] == "Canceled"


async def test_archiving(http):
    subnet, hsm = await with_blobs(http)
    await http.done(FS, body(subnet, hsm=hsm))

    async def state() -> str:
        _, document, _ = await http.call("GET", FS)
        return str(document["properties"]["hsm"]["archiveStatus"][0]["status"]["state"])

    assert await state() == "Idle"
    assert (await http.call("POST", f"{FS}/archive", {"filesystemPath": "/results"}))[0] == 200
    assert await state() == "InProgress"
    assert await http.code("POST", f"{FS}/archive", {"filesystemPath": "/"}) == (409, "ArchiveInProgress")
    http.advance(500)
    assert await state() == "Completed"
    await http.call("POST", f"{FS}/archive", {"filesystemPath": "/"})
    assert (await http.call("POST", f"{FS}/cancelArchive"))[0] == 200
    http.advance(60)
    assert await state() == "Canceled"


async def test_jobs_that_go_on(http):
    subnet, hsm = await with_blobs(http)
    await http.done(FS, body(subnet, hsm=hsm))
    for kind in ("autoExportJobs", "autoImportJobs"):
        job, other = f"{FS}/{kind}/one", f"{FS}/{kind}/two"
        await http.put(job, {"location": LOCATION, "properties": {}})
        http.advance(100_000)
        assert (await http.call("GET", job))[1]["properties"]["status"]["state"] == "InProgress"
        assert await http.code("PUT", other, {"location": LOCATION, "properties": {}}) == (409, "JobInProgress")
        assert (await http.call("PATCH", job, {"properties": {"adminStatus": "Disable"}}))[0] == 202
        assert (await http.call("GET", job))[1]["properties"]["status"]["state"] == "Disabling"
        http.advance(100)
        assert (await http.call("GET", job))[1]["properties"]["status"]["state"] == "Disabled"
        assert (await http.call("PATCH", job, {"properties": {"adminStatus": "Enable"}}))[0] == 202
        assert (await http.call("GET", job))[1]["properties"]["status"]["state"] == "InProgress"


async def test_what_needs_blob_integration(http):
    (subnet,) = await subnets(http, "10.0.0.0/26")
    await http.done(FS, body(subnet))
    assert await http.code("POST", f"{FS}/archive", {}) == (409, "HsmNotConfigured")
    for kind in ("importJobs", "autoImportJobs", "autoExportJobs"):
        asked = {"location": LOCATION, "properties": {}}
        assert await http.code("PUT", f"{FS}/{kind}/one", asked) == (400, "HsmNotConfigured"), kind


async def test_root_squash_and_what_stays(http):
    (subnet,) = await subnets(http, "10.0.0.0/26")
    await http.done(FS, body(subnet))
    squash = {"mode": "RootOnly", "noSquashNidLists": "10.0.0.5@tcp", "squashUID": 99, "squashGID": 99}
    assert (await http.call("PATCH", FS, {"properties": {"rootSquashSettings": squash}}))[0] == 202
    http.advance(60)
    assert (await http.call("GET", FS))[1]["properties"]["rootSquashSettings"]["status"] == "Active"
    assert (await http.call("PATCH", FS, {"properties": {"storageCapacityTiB": 16}}))[0] == 400
    assert (await http.call("PUT", FS, body(subnet, 16)))[0] == 409
