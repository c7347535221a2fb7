"""Microsoft.Compute/images: images of one's own, made of a generalized virtual machine or of disks.

There is nothing in an image: it keeps what disks a virtual machine made from it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.compute.names import DISK, MANAGED_IMAGE, SNAPSHOT, VM
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.store import Resource

# Assumption: copying a small OS disk into an image.
CREATE_SECONDS = 60
_SOURCES = ("managedDisk", "snapshot", "blobUri")


def _check(change: Change) -> None:
    properties = change.properties
    vm_id, profile = bodies.get(properties, "sourceVirtualMachine.id"), properties.get("storageProfile")
    if vm_id is None and not profile:
        raise errors.missing_parameter("image.storageProfile")
    if not change.exists and vm_id is not None:
        properties["storageProfile"] = _captured(change, str(vm_id))
    else:
        _check_profile(change, properties.get("storageProfile") or {})
    properties["storageProfile"].setdefault("zoneResilient", False)
    properties.setdefault("hyperVGeneration", "V1")


def _captured(change: Change, vm_id: str) -> dict[str, Any]:
    vm = require_generalized(change, vm_id)
    if vm.location != change.body["location"]:
        raise errors.invalid_reference(vm_id, change.id)
    storage = vm.properties.get("storageProfile") or {}
    os_disk = storage.get("osDisk") or {}
    profile: dict[str, Any] = {
        "osDisk": {
            "osType": os_disk.get("osType", "Linux"), "osState": "Generalized", "diskSizeGB": os_disk.get("diskSizeGB"),
            "managedDisk": {"id": bodies.get(os_disk, "managedDisk.id")}, "caching": os_disk.get("caching"),
            "storageAccountType": bodies.get(os_disk, "managedDisk.storageAccountType"),
        },
        "dataDisks": [
            {"lun": disk["lun"], "managedDisk": {"id": bodies.get(disk, "managedDisk.id")},
             "diskSizeGB": disk.get("diskSizeGB"), "caching": disk.get("caching")}
            for disk in storage.get("dataDisks") or []
        ],
    }  # fmt: skip
    if change.properties.get("storageProfile"):
        profile["zoneResilient"] = bool(change.properties["storageProfile"].get("zoneResilient"))
    return profile


def require_generalized(change: Change, vm_id: str) -> Resource:
    """The virtual machine that an image is made of; it must have been marked as generalized."""
    vm = change.engine.store.get(vm_id)
    if vm is None:
        raise errors.invalid_reference(vm_id, change.id)
    if not vm.internal.get("generalized"):
        raise errors.conflict(
            "OperationNotAllowed",
            f"The operation 'Create Image' requires the Virtual Machine '{vm.name}' to be Generalized.",
        )
    return vm


def _check_profile(change: Change, profile: dict[str, Any]) -> None:
    os_disk = profile.get("osDisk")
    for disk in ([os_disk] if os_disk else []) + list(profile.get("dataDisks") or []):
        if not any(disk.get(source) for source in _SOURCES):
            raise errors.missing_parameter("image.storageProfile.osDisk.managedDisk")
    if os_disk:
        for name in ("osType", "osState"):
            if not os_disk.get(name):
                raise errors.missing_parameter(f"image.storageProfile.osDisk.{name}")
        found = change.engine.store.get(
            str(bodies.get(os_disk, "managedDisk.id") or bodies.get(os_disk, "snapshot.id"))
        )
        if found is not None:
            os_disk.setdefault("diskSizeGB", found.properties.get("diskSizeGB"))


TYPE = ResourceType(
    name=MANAGED_IMAGE,
    protocol=COMPUTE,
    put=Verb(seconds=CREATE_SECONDS, update_seconds=5),
    patch=Patch(seconds=5, allowed=frozenset({"tags"})),
    delete=Verb(seconds=10),
    required=("properties",),
    immutable=("properties.sourceVirtualMachine.id", "properties.storageProfile.osDisk",
               "properties.storageProfile.dataDisks", "properties.hyperVGeneration"),
    # What an image was made of may be deleted afterwards, and usually is.
    loose=(VM, DISK, SNAPSHOT),
    delete_first=60,
    check=_check,
    depth="from generalized virtual machines and from disks",
)  # fmt: skip
