"""Managed disks and snapshots through the real SDK client: sources, sizes, links, and what an attached disk refuses."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from azure_emulator import SUBSCRIPTION

LOCATION = "westeurope"
COMPUTE = "Microsoft.Compute"
NOTHING = {"location": LOCATION}


def disk_body(size: int | None = 64, sku: str = "Premium_LRS", **properties: Any) -> dict[str, Any]:
    inner: dict[str, Any] = {"creationData": {"createOption": "Empty"}, **properties}
    if size is not None:
        inner["diskSizeGB"] = size
    return {"location": LOCATION, "sku": {"name": sku}, "properties": inner}


def copy_of(reference: str, **properties: Any) -> dict[str, Any]:
    return {
        "location": LOCATION,
        "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": reference}, **properties},
    }


class Disks:
    """Short names for the calls of these tests."""

    def __init__(self, sdk: Any, group: str) -> None:
        self.sdk, self.group = sdk, group
        self.client = sdk.compute.disks

    def put(self, name: str, body: dict[str, Any]) -> Any:
        return self.client.begin_create_or_update(self.group, name, body).result()

    def patch(self, name: str, body: dict[str, Any]) -> Any:
        return self.client.begin_update(self.group, name, body).result()

    def get(self, name: str) -> Any:
        return self.client.get(self.group, name)

    def snapshot(self, name: str, body: dict[str, Any]) -> Any:
        return self.sdk.compute.snapshots.begin_create_or_update(self.group, name, body).result()

    def refused(self, call: Any, *arguments: Any) -> tuple[int, str]:
        with pytest.raises(HttpResponseError) as error:
            call(*arguments)
        assert error.value.error is not None
        return error.value.status_code, error.value.error.code

    def machine(self, name: str, *data_disks: dict[str, Any]) -> Any:
        """A running virtual machine."""
        network = self.sdk.network.virtual_networks.begin_create_or_update(
            self.group,
            f"{name}-vnet",
            {
                "location": LOCATION,
                "properties": {
                    "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                    "subnets": [{"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24"}}],
                },
            },
        ).result()
        configuration = {"name": "main", "properties": {"subnet": {"id": network.subnets[0].id}}}
        body = {
            "location": LOCATION,
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
                "storageProfile": {
                    "imageReference": {
                        "publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest",
                    },
                    "osDisk": {"createOption": "FromImage", "name": f"{name}-os", "deleteOption": "Delete"},
                    "dataDisks": list(data_disks),
                },
                "osProfile": {"computerName": name, "adminUsername": "hpcadmin", "adminPassword": "Sup3rs3cret!"},
                "networkProfile": {
                    "networkApiVersion": "2022-11-01",
                    "networkInterfaceConfigurations": [{
                        "name": f"{name}-nic",
                        "properties": {"deleteOption": "Delete", "ipConfigurations": [configuration]},
                    }],
                },
            },
        }  # fmt: skip
        return self.sdk.compute.virtual_machines.begin_create_or_update(self.group, name, body).result()


@pytest.fixture
def disks(sdk: Any, group: str) -> Disks:
    return Disks(sdk, group)


def test_sizes_decide_tier_and_performance_and_only_grow(disks):
    made = disks.put("d", disk_body(100))
    assert (made.disk_size_gb, made.disk_size_bytes, made.sku.tier) == (100, 100 * 2**30, "Premium")
    assert (made.tier, made.disk_iops_read_write, made.disk_m_bps_read_write) == ("P10", 500, 100)
    assert made.disk_state == "Unattached"
    grown = disks.patch("d", {"properties": {"diskSizeGB": 512}})
    assert (grown.tier, grown.disk_iops_read_write) == ("P20", 2300)
    assert disks.refused(disks.patch, "d", {"properties": {"diskSizeGB": 256}}) == (400, "InvalidParameter")
    assert disks.get("d").disk_size_gb == 512
    # The performance of a larger size can be had without the size, within its range.
    assert disks.patch("d", {"properties": {"tier": "P40"}}).disk_iops_read_write == 7500
    assert disks.patch("d", {"properties": {"diskSizeGB": 1024}}).tier == "P40"
    assert disks.refused(disks.patch, "d", {"properties": {"tier": "P80"}}) == (400, "InvalidParameter")
    # Other types have other names for their sizes, and Ultra is decided at creation.
    assert disks.patch("d", {"sku": {"name": "StandardSSD_LRS"}}).tier == "E30"
    assert disks.refused(disks.patch, "d", {"sku": {"name": "UltraSSD_LRS"}}) == (409, "OperationNotAllowed")
    assert disks.refused(disks.patch, "d", {"properties": {"creationData": {"createOption": "Copy"}}}) == (
        400,
        "InvalidRequestContent",
    )


def test_what_is_read_can_be_written_back(disks):
    disks.put("d", disk_body(100))
    disks.client.begin_create_or_update(disks.group, "d", disks.get("d")).result()
    read = disks.get("d")
    read.disk_size_gb = 256
    assert disks.client.begin_create_or_update(disks.group, "d", read).result().tier == "P15"


def test_performance_that_is_bought_by_itself(disks):
    made = disks.put("v2", disk_body(100, "PremiumV2_LRS"))
    assert (made.disk_iops_read_write, made.disk_m_bps_read_write, made.tier) == (3000, 125, None)
    bought = {"properties": {"diskIOPSReadWrite": 20_000, "diskMBpsReadWrite": 600}}
    assert disks.patch("v2", bought).disk_m_bps_read_write == 600
    assert disks.refused(disks.patch, "v2", {"properties": {"diskIOPSReadWrite": 60_000}}) == (400, "InvalidParameter")
    full = copy_of(made.id)
    assert disks.refused(disks.snapshot, "s", full) == (400, "InvalidParameter")
    assert disks.snapshot("s", copy_of(made.id, incremental=True)).incremental


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (disk_body(None), "InvalidParameter"),
        (disk_body(0), "InvalidParameter"),
        (disk_body(40_000), "InvalidParameter"),
        (disk_body(sku="Fast_LRS"), "InvalidParameter"),
        (disk_body(creationData={"createOption": "Magic"}), "InvalidParameter"),
        (disk_body(creationData={"createOption": "Copy"}), "InvalidParameter"),
        (disk_body(creationData={"createOption": "FromImage"}), "InvalidParameter"),
        (disk_body(creationData={"createOption": "Upload", "uploadSizeBytes": 5}), "InvalidParameter"),
        (disk_body(maxShares=9), "InvalidParameter"),
        (disk_body(256, "Standard_LRS", maxShares=2), "InvalidParameter"),
        ({**disk_body(), "zones": ["4"]}, "InvalidAvailabilityZone"),
        ({**disk_body(sku="Premium_ZRS"), "zones": ["1"]}, "InvalidParameter"),
    ],
)
def test_what_cannot_be_created(disks, body, code):
    assert disks.refused(disks.put, "d", body) == (400, code)
    with pytest.raises(ResourceNotFoundError):
        disks.get("d")


def test_copies_are_as_large_as_their_source_and_know_its_system(disks):
    image = {"id": f"/Subscriptions/{SUBSCRIPTION}/Providers/Microsoft.Compute/Locations/westeurope/Publishers/RedHat/"
             "ArtifactTypes/VMImage/Offers/RHEL/Skus/9-lvm-gen2/Versions/9.6.2025061119"}  # fmt: skip
    made = disks.put("os", disk_body(None, creationData={"createOption": "FromImage", "imageReference": image}))
    assert (made.disk_size_gb, made.os_type, made.hyper_v_generation) == (64, "Linux", "V2")
    snapshot = disks.snapshot("s", copy_of(made.id))
    assert (snapshot.disk_size_gb, snapshot.os_type, snapshot.incremental) == (64, "Linux", False)
    disks.client.begin_delete(disks.group, "os").result()
    copied = disks.put("copy", copy_of(snapshot.id))
    assert (copied.disk_size_gb, copied.os_type) == (64, "Linux")
    assert disks.refused(disks.put, "small", copy_of(snapshot.id, diskSizeGB=32)) == (400, "InvalidParameter")
    nowhere = snapshot.id.replace("/s", "/nowhere")
    assert disks.refused(disks.put, "lost", copy_of(nowhere)) == (400, "InvalidResourceReference")
    elsewhere = {**copy_of(snapshot.id), "location": "northeurope"}
    assert disks.refused(disks.put, "far", elsewhere) == (400, "InvalidParameter")
    # What a disk was made from may go, and the disk can still be changed.
    disks.sdk.compute.snapshots.begin_delete(disks.group, "s").result()
    assert disks.patch("copy", {"properties": {"diskSizeGB": 128}}).disk_size_gb == 128


def test_incremental_snapshots_are_a_family_and_travel(disks, fast_emulator):
    disk = disks.put("d", disk_body(64))
    first, second = (disks.snapshot(name, copy_of(disk.id, incremental=True)) for name in ("s1", "s2"))
    assert first.incremental_snapshot_family_id == second.incremental_snapshot_family_id is not None
    other = disks.snapshot("s3", copy_of(disks.put("e", disk_body(4)).id, incremental=True))
    assert other.incremental_snapshot_family_id != first.incremental_snapshot_family_id
    with pytest.raises(HttpResponseError) as error:
        disks.snapshot("s1", copy_of(disk.id, incremental=False))
    assert error.value.error.code == "PropertyChangeNotAllowed"
    started = {
        "location": "northeurope",
        "properties": {"creationData": {"createOption": "CopyStart", "sourceResourceId": first.id}},
    }
    assert disks.refused(disks.snapshot, "far", started) == (400, "InvalidParameter")
    started["properties"]["incremental"] = True
    assert disks.snapshot("far", started).disk_size_gb == 64


async def test_a_copy_into_another_region_takes_its_time(http):
    await http.done(f"rg/{COMPUTE}/disks/d", disk_body(100))
    disk_id = http.emulator.store.of_type(f"{COMPUTE}/disks")[0].id
    first = await http.done(f"rg/{COMPUTE}/snapshots/s", copy_of(disk_id, incremental=True), seconds=10)
    await http.put(f"rg/{COMPUTE}/snapshots/far", {
        "location": "northeurope",
        "properties": {"creationData": {"createOption": "CopyStart", "sourceResourceId": first["id"]},
                       "incremental": True},
    })  # fmt: skip
    http.advance(100)
    _, far, _ = await http.call("GET", f"rg/{COMPUTE}/snapshots/far")
    assert far["properties"]["completionPercent"] == 50.0
    body = {**copy_of(far["id"]), "location": "northeurope"}
    assert await http.code("PUT", f"rg/{COMPUTE}/disks/e", body) == (409, "OperationNotAllowed")
    http.advance(100)
    _, far, _ = await http.call("GET", f"rg/{COMPUTE}/snapshots/far")
    assert far["properties"]["completionPercent"] == 100.0
    assert (await http.done(f"rg/{COMPUTE}/disks/e", body))["properties"]["diskSizeGB"] == 100


def test_a_link_keeps_a_disk_from_going(disks):
    disks.put("d", disk_body())
    link = disks.client.begin_grant_access(
        disks.group, "d", {"access": "Read", "durationInSeconds": 3600 * 24 * 50}
    ).result()
    assert link.access_sas.startswith("https://md-")
    assert disks.get("d").disk_state == "ActiveSAS"
    assert disks.refused(disks.client.begin_delete, disks.group, "d") == (409, "OperationNotAllowed")
    disks.client.begin_revoke_access(disks.group, "d").result()
    assert disks.get("d").disk_state == "Unattached"
    for wrong in ({"access": "Read", "durationInSeconds": 3600 * 24 * 61}, {"access": "Look", "durationInSeconds": 1}):
        assert disks.refused(disks.client.begin_grant_access, disks.group, "d", wrong) == (400, "InvalidParameter")
    writing = {"access": "Write", "durationInSeconds": 60}
    assert disks.refused(disks.client.begin_grant_access, disks.group, "d", writing) == (409, "OperationNotAllowed")
    disks.client.begin_delete(disks.group, "d").result()


async def test_a_link_ends_by_itself(http):
    await http.done(f"rg/{COMPUTE}/disks/d", disk_body())
    asked = {"access": "Read", "durationInSeconds": 600}
    status, _, headers = await http.call("POST", f"rg/{COMPUTE}/disks/d/beginGetAccess", asked)
    assert status == 202
    http.advance(10)
    status, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert document["properties"]["output"]["accessSAS"].startswith("https://md-")
    states = []
    for _ in range(2):
        _, document, _ = await http.call("GET", f"rg/{COMPUTE}/disks/d")
        states.append(document["properties"]["diskState"])
        http.advance(600)
    assert states == ["ActiveSAS", "Unattached"]


def test_an_upload_goes_through_its_states(disks):
    size = 8 * 2**30 + 512
    made = disks.put("up", disk_body(None, creationData={"createOption": "Upload", "uploadSizeBytes": size}))
    assert (made.disk_size_gb, made.disk_state) == (8, "ReadyToUpload")
    writing = {"access": "Write", "durationInSeconds": 3600 * 24}
    disks.client.begin_grant_access(disks.group, "up", writing).result()
    assert disks.get("up").disk_state == "ActiveUpload"
    disks.client.begin_revoke_access(disks.group, "up").result()
    assert disks.get("up").disk_state == "Unattached"


def test_what_must_wait_until_a_machine_is_deallocated(disks):
    data = disks.put("data", disk_body(512))
    disks.machine("vm", {"lun": 0, "createOption": "Attach", "managedDisk": {"id": data.id}})
    machines = disks.sdk.compute.virtual_machines
    attached = disks.get("data")
    assert (attached.disk_state, attached.managed_by) == ("Attached", machines.get(disks.group, "vm").id)
    assert disks.refused(disks.client.begin_delete, disks.group, "data") == (409, "OperationNotAllowed")
    asked = {"access": "Read", "durationInSeconds": 60}
    assert disks.refused(disks.client.begin_grant_access, disks.group, "data", asked) == (409, "OperationNotAllowed")
    # A data disk grows online up to 4 TiB; the OS disk and another type need the machine deallocated.
    assert disks.patch("data", {"properties": {"diskSizeGB": 1024}}).disk_size_gb == 1024
    over, other_type = {"properties": {"diskSizeGB": 8192}}, {"sku": {"name": "StandardSSD_LRS"}}
    refusals = [("vm-os", {"properties": {"diskSizeGB": 64}}), ("data", over), ("data", other_type)]
    for name, body in refusals:
        assert disks.refused(disks.patch, name, body) == (409, "OperationNotAllowed")
    machines.begin_power_off(disks.group, "vm").result()
    assert disks.refused(disks.patch, *refusals[0]) == (409, "OperationNotAllowed")
    machines.begin_deallocate(disks.group, "vm").result()
    assert disks.get("data").disk_state == "Reserved"
    for name, body in refusals:
        disks.patch(name, body)
    assert (disks.get("data").disk_size_gb, disks.get("data").sku.name) == (8192, "StandardSSD_LRS")
    machines.begin_delete(disks.group, "vm").result()
    assert disks.get("data").disk_state == "Unattached"
    with pytest.raises(ResourceNotFoundError):
        disks.get("vm-os")


def test_encryption_sets_stay_while_disks_use_them(disks):
    sets = disks.sdk.compute.disk_encryption_sets
    key = "https://kv.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef"
    body = {"location": LOCATION, "identity": {"type": "SystemAssigned"}, "properties": {"activeKey": {"keyUrl": key}}}
    made = sets.begin_create_or_update(disks.group, "des", body).result()
    assert made.identity.principal_id
    disk = disks.put("d", disk_body(encryption={
        "type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": made.id}))  # fmt: skip
    assert list(sets.list_associated_resources(disks.group, "des")) == [disk.id]
    assert disks.refused(sets.begin_delete, disks.group, "des") == (409, "OperationNotAllowed")
    rotated = sets.begin_update(
        disks.group, "des", {"properties": {"activeKey": {"keyUrl": key.replace("/k/", "/new/")}}}
    ).result()
    assert [old.key_url for old in rotated.previous_keys] == [key]
    disks.client.begin_delete(disks.group, "d").result()
    sets.begin_delete(disks.group, "des").result()
