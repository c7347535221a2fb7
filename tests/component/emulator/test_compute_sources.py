"""Where machines come from and what they count against: galleries, quota of each subscription, moves with parts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.component.emulator.test_compute import VM
from tests.component.emulator.test_protocol import LOCATION, subnet, vm

from azure_emulator import SUBSCRIPTION, Emulator
from azure_emulator.errors import ArmError
from azure_emulator.providers.compute import quota
from azure_emulator.store import Resource

OTHER = "00000000-0000-0000-0000-000000000002"
GALLERY = "rg/Microsoft.Compute/galleries/hpc"
DEFINITION = {
    **LOCATION,
    "properties": {
        "osType": "Linux",
        "osState": "Generalized",
        "identifier": {"publisher": "us", "offer": "hpc", "sku": "node"},
    },
}


async def make_version(http: Any, name: str) -> None:
    source = {"osDiskImage": {"sizeInGB": 40, "source": {"uri": "https://images.blob.core.windows.net/vhds/node.vhd"}}}
    await http.done(f"{GALLERY}/images/node/versions/{name}", {**LOCATION, "properties": {"storageProfile": source}})


async def test_a_machine_gets_the_version_of_a_gallery_that_its_region_has(http):
    subnet_id = await subnet(http)
    await http.done(GALLERY, LOCATION)
    definition = await http.done(f"{GALLERY}/images/node", DEFINITION)
    body = vm(subnet_id)
    body["properties"]["storageProfile"]["imageReference"] = {"id": definition["id"]}
    assert await http.code("PUT", VM, body) == (404, "GalleryImageNotFound")
    for name in ("1.0.0", "1.0.1"):
        await make_version(http, name)
    machine = await http.done(VM, body)
    assert machine["properties"]["storageProfile"]["imageReference"]["exactVersion"] == "1.0.1"
    assert machine["properties"]["storageProfile"]["osDisk"]["osType"] == "Linux"


async def test_a_bought_image_needs_its_own_plan(http):
    body = vm(await subnet(http))
    body["properties"]["storageProfile"]["imageReference"] = {
        "publisher": "azurecyclecloud",
        "offer": "azure-cyclecloud",
        "sku": "cyclecloud8-gen2",
        "version": "latest",
    }
    assert await http.code("PUT", VM, body) == (400, "VMMarketplaceInvalidInput")


def test_each_subscription_has_its_own_quota():
    engine = Emulator(subscriptions=(SUBSCRIPTION, OTHER)).engine
    engine.store.set("quota", {"westeurope/cores": 4})
    engine.store.save(Resource(
        id=f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm",
        type="Microsoft.Compute/virtualMachines", body={**LOCATION}, internal={"quota": {"cores": 4}},
    ))  # fmt: skip
    with pytest.raises(ArmError, match="Current Usage: 4"):
        quota.require(engine, SUBSCRIPTION, "westeurope", {"cores": 1})
    quota.require(engine, OTHER, "westeurope", {"cores": 4})


async def test_a_machine_moves_with_its_interface_and_disk_only(http):
    machine = await http.done(VM, vm(await subnet(http)))
    target = await http.put("other", LOCATION)
    asked = {"resources": [machine["id"]], "targetResourceGroup": target["id"]}
    status, document, _ = await http.call("POST", "rg/validateMoveResources", asked)
    assert (status, document["error"]["code"]) == (409, "MissingMoveDependentResources")
    missing = [one["target"] for one in document["error"]["details"]]
    assert [one.rsplit("/", 2)[-2] for one in missing] == ["disks", "networkinterfaces"]
    asked["resources"] += missing
    status, _, _ = await http.call("POST", "rg/validateMoveResources", asked)
    assert status == 202
