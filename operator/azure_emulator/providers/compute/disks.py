"""Microsoft.Compute/disks: managed disks, alone or attached to a virtual machine.

Knows a virtual machine only as the id in `managedBy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

DISK = "Microsoft.Compute/disks"
_SKUS = {
    "Standard_LRS": "Standard", "StandardSSD_LRS": "Standard", "StandardSSD_ZRS": "Standard", "Premium_LRS": "Premium",
    "Premium_ZRS": "Premium", "PremiumV2_LRS": "Premium", "UltraSSD_LRS": "Ultra",
}  # fmt: skip


def _check(change: Change) -> None:
    properties = change.properties
    sku = str(bodies.get(change.body, "sku.name"))
    if sku not in _SKUS:
        raise errors.invalid_parameter("sku.name", sku, f"Allowed values are {', '.join(_SKUS)}.")
    change.body["sku"]["tier"] = _SKUS[sku]
    size, old = properties.get("diskSizeGB"), change.old.get("diskSizeGB")
    if size is None and bodies.get(properties, "creationData.createOption") == "Empty":
        raise errors.bad_request(
            "InvalidParameter", "Required parameter 'disk.diskSizeGB' is missing (null).", target="disk.diskSizeGB"
        )
    if size is not None and old is not None and size < old:
        raise errors.bad_request(
            "InvalidParameter",
            f"Disk size reduction is not supported. Current size is {old} GB, requested {size} GB.",
            target="disk.diskSizeGB",
        )
    if size is not None:
        properties["diskSizeBytes"] = int(size) * 2**30
    if not change.exists:
        properties["uniqueId"] = change.engine.guid()
        properties["timeCreated"] = change.engine.clock.iso(change.engine.now)


def _view(engine: Engine, disk: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    owner = disk.internal.get("managedBy")
    vm = engine.store.get(owner) if owner else None
    power = vm.internal.get("power", "running") if vm is not None else None
    states = {None: "Unattached", "deallocated": "Reserved"}
    shown["properties"]["diskState"] = states.get(power, "Attached")
    if owner:
        shown["managedBy"] = owner


def _refuse_attached(engine: Engine, disk: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    owner = disk.internal.get("managedBy")
    if owner:
        raise errors.conflict("OperationNotAllowed", f"Disk {disk.name} is attached to VM {owner}.")


def attach(engine: Engine, disk: Resource, vm_id: str | None) -> None:
    """Note which virtual machine a disk belongs to (None: none any more)."""
    disk.internal["managedBy"] = vm_id
    engine.store.save(disk)


TYPE = ResourceType(
    name=DISK,
    protocol=COMPUTE,
    put=Verb(seconds=5, created=202, updated=202),
    patch=Patch(seconds=5, status=202),
    delete=Verb(seconds=5),
    required=("properties.creationData.createOption",),
    defaults={
        "sku": {"name": "Standard_LRS"}, "properties.networkAccessPolicy": "AllowAll",
        "properties.publicNetworkAccess": "Enabled",
        "properties.encryption": {"type": "EncryptionAtRestWithPlatformKey"},
    },
    read_only=("managedBy", "properties.uniqueId", "properties.timeCreated", "properties.diskState",
               "properties.diskSizeBytes"),
    immutable=("properties.creationData.createOption", "zones"),
    delete_first=60,
    check=_check,
    check_delete=_refuse_attached,
    view=_view,
    depth="state follows the virtual machine, grows only, refuses deletion while attached",
)  # fmt: skip
