"""Images: the marketplace's lists and states, images of one's own, galleries with versions, and SSH keys."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from azure_emulator import SUBSCRIPTION
from azure_emulator.providers.compute import galleries, images

LOCATION = "westeurope"
COMPUTE = "Microsoft.Compute"
PUBLISHERS = f"/subscriptions/{SUBSCRIPTION}/providers/{COMPUTE}/locations/{LOCATION}/publishers"


def refused(call: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as error:
        call(*arguments)
    assert error.value.error is not None
    return error.value.status_code, error.value.error.code


# -- marketplace -----------------------------------------------------------------------------------------------------


def test_marketplace_lists(sdk):
    lists = sdk.compute.virtual_machine_images
    publishers = {found.name for found in lists.list_publishers(LOCATION)}
    assert {"Canonical", "microsoft-dsvm", "almalinux", "RedHat", "MicrosoftWindowsServer"} <= publishers
    offers = [found.name for found in lists.list_offers(LOCATION, "microsoft-dsvm")]
    assert offers == ["ubuntu-hpc"]
    skus = lists.list_skus(LOCATION, "microsoft-dsvm", "ubuntu-hpc")
    assert [found.name for found in skus] == ["2004", "2204", "2404"]
    # az cuts publisher, offer and sku out of the id.
    assert skus[1].id.endswith("/Publishers/microsoft-dsvm/ArtifactTypes/VMImage/Offers/ubuntu-hpc/Skus/2204")
    path = (LOCATION, "microsoft-dsvm", "ubuntu-hpc", "2204")
    newest = lists.list(*path, top=1, orderby="name desc")
    assert [found.name for found in newest] == ["22.04.2025081901"]
    shown = lists.get(*path, "22.04.2025081901")
    assert (shown.hyper_v_generation, shown.architecture, shown.plan) == ("V2", "x64", None)
    assert shown.os_disk_image.operating_system == "Linux"
    assert lists.get(LOCATION, "RedHat", "rhel-byos", "rhel-lvm94-gen2", "9.4.2025040316").plan.product == "rhel-byos"
    with pytest.raises(ResourceNotFoundError):
        lists.list(LOCATION, "microsoft-dsvm", "ubuntu-hpc", "nope")
    assert refused(lists.list_publishers, "moon") == (400, "NoRegisteredProviderFound")


def test_versions_whose_time_is_over(sdk, fast_emulator):
    lists = sdk.compute.virtual_machine_images
    assert refused(lists.get, LOCATION, "OpenLogic", "CentOS-HPC", "7_9-gen2", "7.9.2022040101") == (
        404, "ImageVersionDeprecated")  # fmt: skip
    assert lists.list(LOCATION, "OpenLogic", "CentOS-HPC", "7_9-gen2") == []
    urn = "almalinux:almalinux-hpc:8_10-hpc-gen2:8.10.2025060501"
    engine, (publisher, offer, sku, version) = fast_emulator.engine, urn.split(":")
    latest = {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"}
    assert images.exact_version(engine, latest) == version
    try:
        scheduled = {"imageState": "ScheduledForDeprecation", "scheduledDeprecationTime": "2031-01-01T00:00:00Z"}
        engine.store.set("imageStates", {urn: scheduled})
        assert lists.get(LOCATION, publisher, offer, sku, version).image_deprecation_status.image_state == (
            "ScheduledForDeprecation"
        )
        engine.store.set("imageStates", {urn: {"imageState": "Deprecated"}})
        assert images.exact_version(engine, latest) == "8.10.2024101801"
    finally:
        engine.store.set("imageStates", {})


def test_aliases_are_of_images_that_exist(fast_emulator):
    aliases = images.alias_document()["outputs"]["aliases"]["value"]
    assert aliases["Linux"]["Ubuntu2204"]["offer"] == "0001-com-ubuntu-server-jammy"
    for known in aliases.values():
        for reference in known.values():
            assert images.find(fast_emulator.engine, reference) is not None, reference


# -- images of one's own ---------------------------------------------------------------------------------------------


def os_disk(sdk: Any, group: str, name: str = "os") -> Any:
    body = {
        "location": LOCATION,
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 64, "osType": "Linux"},
    }
    return sdk.compute.disks.begin_create_or_update(group, name, body).result()


def image_body(disk_id: str) -> dict[str, Any]:
    profile = {"osDisk": {"osType": "Linux", "osState": "Generalized", "managedDisk": {"id": disk_id}}}
    return {"location": LOCATION, "properties": {"storageProfile": profile, "hyperVGeneration": "V2"}}


def test_managed_images(sdk, group):
    disk = os_disk(sdk, group)
    made = sdk.compute.images.begin_create_or_update(group, "golden", image_body(disk.id)).result()
    assert (made.storage_profile.os_disk.disk_size_gb, made.hyper_v_generation) == (64, "V2")
    # What it was made of may go.
    sdk.compute.disks.begin_delete(group, "os").result()
    assert sdk.compute.images.begin_update(group, "golden", {"tags": {"a": "b"}}).result().tags == {"a": "b"}
    half = {"location": LOCATION, "properties": {"storageProfile": {"osDisk": {"osType": "Linux"}}}}
    assert refused(sdk.compute.images.begin_create_or_update, group, "half", half) == (400, "InvalidParameter")
    empty = {"location": LOCATION, "properties": {}}
    assert refused(sdk.compute.images.begin_create_or_update, group, "empty", empty) == (400, "InvalidParameter")
    assert [found.name for found in sdk.compute.images.list_by_resource_group(group)] == ["golden"]


def test_an_image_of_a_machine_needs_it_generalized(sdk, group, fast_emulator):
    vm_id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{COMPUTE}/virtualMachines/vm"
    nsg = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
        {"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}  # fmt: skip
    subnet = sdk.network.virtual_networks.begin_create_or_update(group, "v", nsg).result().subnets[0].id
    nic = {"name": "n", "properties": {"deleteOption": "Delete", "ipConfigurations": [
        {"name": "main", "properties": {"subnet": {"id": subnet}}}]}}  # fmt: skip
    reference = {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"}
    sdk.compute.virtual_machines.begin_create_or_update(group, "vm", {"location": LOCATION, "properties": {
        "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
        "storageProfile": {"imageReference": reference, "osDisk": {"createOption": "FromImage"}},
        "osProfile": {"computerName": "vm", "adminUsername": "hpcadmin", "adminPassword": "Sup3rs3cret!"},
        "networkProfile": {"networkApiVersion": "2022-11-01", "networkInterfaceConfigurations": [nic]},
    }}).result()  # fmt: skip
    body = {"location": LOCATION, "properties": {"sourceVirtualMachine": {"id": vm_id}}}
    assert refused(sdk.compute.images.begin_create_or_update, group, "i", body) == (409, "OperationNotAllowed")
    fast_emulator.store.get(vm_id).internal["generalized"] = True
    made = sdk.compute.images.begin_create_or_update(group, "i", body).result()
    assert made.source_virtual_machine.id == vm_id
    assert made.storage_profile.os_disk.os_state == "Generalized"


# -- galleries -------------------------------------------------------------------------------------------------------

DEFINITION = {
    "location": LOCATION,
    "properties": {
        "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2",
        "identifier": {"publisher": "climate", "offer": "nodes", "sku": "compute"},
    },
}  # fmt: skip


def version_body(source: str, *regions: str, **publishing: Any) -> dict[str, Any]:
    profile = {"targetRegions": [{"name": name} for name in regions], **publishing}
    return {"location": LOCATION, "properties": {
        "publishingProfile": profile, "storageProfile": {"source": {"id": source}}}}  # fmt: skip


@pytest.fixture
def gallery(sdk: Any, group: str) -> Any:
    made = sdk.compute.galleries.begin_create_or_update(group, "hpc.images", {"location": LOCATION}).result()
    sdk.compute.gallery_images.begin_create_or_update(group, "hpc.images", "nodes", DEFINITION).result()
    return made


def test_galleries_and_definitions(sdk, group, gallery):
    assert gallery.identifier.unique_name == f"{SUBSCRIPTION}-HPC.IMAGES".upper()
    assert refused(sdk.compute.galleries.begin_create_or_update, group, "with-dash", {"location": LOCATION}) == (
        400, "InvalidResourceName")  # fmt: skip
    definitions = sdk.compute.gallery_images
    path = (group, "hpc.images")
    assert refused(definitions.begin_create_or_update, *path, "twin", DEFINITION) == (409, "Conflict")
    other = {**DEFINITION, "properties": {**DEFINITION["properties"], "osState": "Specialized"}}
    assert refused(definitions.begin_create_or_update, *path, "nodes", other) == (409, "PropertyChangeNotAllowed")
    elsewhere = {**DEFINITION, "location": "northeurope"}
    assert refused(definitions.begin_create_or_update, *path, "far", elsewhere) == (400, "InvalidParameter")
    # Nothing goes before what is in it.
    assert refused(sdk.compute.galleries.begin_delete, *path) == (409, "CannotDeleteResource")
    definitions.begin_delete(*path, "nodes").result()
    sdk.compute.galleries.begin_delete(*path).result()


def test_versions_are_offered_where_they_are(sdk, group, gallery, fast_emulator):
    disk = os_disk(sdk, group)
    image = sdk.compute.images.begin_create_or_update(group, "golden", image_body(disk.id)).result()
    versions = sdk.compute.gallery_image_versions
    path = (group, "hpc.images", "nodes")
    made = versions.begin_create_or_update(*path, "1.0.9", version_body(image.id, LOCATION, "North Europe")).result()
    assert made.storage_profile.os_disk_image.size_in_gb == 64
    assert [region.name for region in made.publishing_profile.target_regions] == ["West Europe", "North Europe"]
    versions.begin_create_or_update(*path, "1.0.10", version_body(image.id, LOCATION)).result()
    versions.begin_create_or_update(*path, "2.0.0", version_body(image.id, LOCATION, excludeFromLatest=True)).result()
    definition = made.id.rsplit("/versions/", 1)[0]
    engine = fast_emulator.engine
    assert galleries.image_version(engine, definition, LOCATION).name == "1.0.10"
    assert galleries.image_version(engine, definition, "northeurope").name == "1.0.9"
    assert galleries.image_version(engine, f"{definition}/versions/2.0.0", LOCATION).name == "2.0.0"
    for reference, region in ((definition, "eastus"), (f"{definition}/versions/2.0.0", "northeurope")):
        with pytest.raises(Exception, match="Please contact image owner") as caught:
            galleries.image_version(engine, reference, region)
        assert (caught.value.status, caught.value.code) == (404, "GalleryImageNotFound")
    shown = versions.get(*path, "1.0.9", expand="ReplicationStatus").replication_status
    assert shown.aggregated_state == "Completed"
    assert {row.region for row in shown.summary} == {"West Europe", "North Europe"}
    for wrong in (version_body(image.id, "North Europe"), version_body(image.id, LOCATION, "moon")):
        assert refused(versions.begin_create_or_update, *path, "3.0.0", wrong) == (400, "InvalidParameter")
    assert refused(versions.begin_create_or_update, *path, "three", version_body(image.id)) == (
        400, "InvalidResourceName")  # fmt: skip
    gone = version_body(image.id.replace("golden", "gone"))
    assert refused(versions.begin_create_or_update, *path, "3.0.0", gone) == (400, "InvalidResourceReference")


async def test_a_version_takes_minutes_and_shows_how_far_it_is(http):
    base = f"rg/{COMPUTE}/galleries/g"
    await http.done(base, {"location": LOCATION})
    await http.done(f"{base}/images/nodes", DEFINITION)
    disk = await http.done(f"rg/{COMPUTE}/disks/os", {"location": LOCATION, "properties": {
        "creationData": {"createOption": "Empty"}, "diskSizeGB": 64}})  # fmt: skip
    body = {"location": LOCATION, "properties": {
        "publishingProfile": {}, "storageProfile": {"osDiskImage": {"source": {"id": disk["id"]}}}}}  # fmt: skip
    await http.put(f"{base}/images/nodes/versions/1.0.0", body)
    http.advance(300)
    query = {"$expand": "ReplicationStatus"}
    _, shown, _ = await http.call("GET", f"{base}/images/nodes/versions/1.0.0", query=query)
    status = shown["properties"]["replicationStatus"]
    assert (shown["properties"]["provisioningState"], status["aggregatedState"]) == ("Creating", "InProgress")
    assert 0 < status["summary"][0]["progress"] < 100
    http.advance(500)
    _, shown, _ = await http.call("GET", f"{base}/images/nodes/versions/1.0.0", query=query)
    assert shown["properties"]["replicationStatus"]["aggregatedState"] == "Completed"
    # Another region is another wait.
    more = {"location": LOCATION, "properties": {"publishingProfile": {"targetRegions": [
        {"name": "westeurope"}, {"name": "swedencentral", "regionalReplicaCount": 3}]}}}  # fmt: skip
    status, _, _ = await http.call("PATCH", f"{base}/images/nodes/versions/1.0.0", more)
    assert status == 200
    _, shown, _ = await http.call("GET", f"{base}/images/nodes/versions/1.0.0", query=query)
    states = {row["region"]: row["state"] for row in shown["properties"]["replicationStatus"]["summary"]}
    assert states == {"West Europe": "Completed", "Sweden Central": "Replicating"}


def test_a_specialized_machine_is_no_source_of_a_generalized_image(sdk, group, gallery, fast_emulator):
    disk = os_disk(sdk, group)
    body = image_body(disk.id)
    body["properties"]["storageProfile"]["osDisk"]["osState"] = "Specialized"
    image = sdk.compute.images.begin_create_or_update(group, "special", body).result()
    create = sdk.compute.gallery_image_versions.begin_create_or_update
    assert refused(create, group, "hpc.images", "nodes", "1.0.0", version_body(image.id)) == (400, "BadRequest")


def test_applications(sdk, group, gallery):
    path = (group, "hpc.images")
    body = {"location": LOCATION, "properties": {"supportedOSType": "Linux"}}
    sdk.compute.gallery_applications.begin_create_or_update(*path, "tool", body).result()
    source = {"mediaLink": "https://example.org/tool.tgz"}
    actions = {"install": "./install", "remove": "./remove"}
    version = {"location": LOCATION, "properties": {"publishingProfile": {"source": source, "manageActions": actions}}}
    versions = sdk.compute.gallery_application_versions
    assert versions.begin_create_or_update(*path, "tool", "1.0.0", version).result().provisioning_state == "Succeeded"
    bare = {"location": LOCATION, "properties": {"publishingProfile": {"source": source}}}
    assert refused(versions.begin_create_or_update, *path, "tool", "1.0.1", bare) == (400, "InvalidParameter")


# -- SSH keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, "Ed25519"])
def test_key_pairs_are_real_and_made_once(sdk, group, tmp_path, kind):
    keys = sdk.compute.ssh_public_keys
    assert keys.create(group, "key", {"location": LOCATION}).public_key is None
    asked = {"encryptionType": kind} if kind is not None else None
    pair = keys.generate_key_pair(group, "key", asked)
    assert keys.get(group, "key").public_key == pair.public_key
    private = tmp_path / "key"
    private.write_text(pair.private_key)
    private.chmod(0o600)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True).stdout
    assert derived.split()[:2] == pair.public_key.split()[:2]
    assert derived.startswith("ssh-ed25519" if kind else "ssh-rsa")
    assert refused(keys.generate_key_pair, group, "key") == (409, "OperationNotAllowed")


def test_public_keys_are_looked_at(sdk, group):
    keys = sdk.compute.ssh_public_keys
    wrong = {"location": LOCATION, "properties": {"publicKey": "ssh-rsa AAAAB3NzaC1yc2E= me"}}
    assert refused(keys.create, group, "key", wrong) == (400, "InvalidParameter")
    public = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    text = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    good = f"{text.decode()} me"
    assert keys.create(group, "key", {"location": LOCATION, "properties": {"publicKey": good}}).public_key == good
    assert keys.update(group, "key", {"tags": {"owner": "me"}}).public_key == good
    keys.delete(group, "key")
