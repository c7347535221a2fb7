"""Microsoft.Compute/virtualMachines: what may be asked of one, what it brings with it, and its own actions.

What it shares with the instances of scale sets (power, place, instance view) is in machines.py.
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import parse
from azure_emulator.following import follow
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.compute import (
    attachments,
    capacity,
    galleries,
    images,
    machines,
    quota,
    run_commands,
    scheduled_events,
    words,
)
from azure_emulator.providers.compute.names import VM
from azure_emulator.providers.compute.sizes import SIZES, Size, describe
from azure_emulator.providers.compute.zones import check_zones
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Operation, Resource

# Custom data may be 64 KiB before base64, which is 87380 characters after it; user data is limited likewise.
CUSTOM_DATA_LIMIT = 87_380
MAX_COMPUTER_NAME = 64

# What a client may never change, with the name under which Compute refuses it.
_FIXED = {
    "properties.osProfile.customData": "osProfile.customData",
    "properties.osProfile.adminUsername": "osProfile.adminUsername",
    "properties.osProfile.computerName": "osProfile.computerName",
    "properties.osProfile.linuxConfiguration.ssh.publicKeys": "linuxConfiguration.ssh.publicKeys",
    "properties.osProfile.linuxConfiguration.disablePasswordAuthentication":
        "linuxConfiguration.disablePasswordAuthentication",
    "properties.storageProfile.imageReference": "imageReference",
    "properties.storageProfile.osDisk.createOption": "osDisk.createOption",
    "properties.storageProfile.osDisk.name": "osDisk.name",
    "properties.storageProfile.osDisk.diffDiskSettings": "osDisk.diffDiskSettings",
    "properties.virtualMachineScaleSet.id": "virtualMachineScaleSet.id",
    "properties.availabilitySet.id": "availabilitySet.id",
    "properties.platformFaultDomain": "platformFaultDomain",
    "properties.priority": "priority",
    "properties.evictionPolicy": "evictionPolicy",
    "zones": "zones",
}  # fmt: skip


# -- checks ----------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    if machines.is_idle(change):
        return
    words.settle_machine(change.properties)
    size = require_size(bodies.get(change.properties, "hardwareProfile.vmSize"))
    change.properties["hardwareProfile"]["vmSize"] = size.name
    assigned_identities.complete(change)
    check_zones(change)
    _check_os_profile(change)
    _check_sets(change)
    _check_security(change, size)
    _check_user_data(change)
    if not change.exists:
        _create(change, size)
    attachments.plan_network(change)
    attachments.plan_os_disk(change, size)
    attachments.plan_data_disks(change, size)
    # Last, because a refusal must not have taken anything.
    if change.exists:
        _check_allocated(change)
        _check_resize(change, size)
    else:
        change.failure = capacity.claim(change.engine, _place(change, size), change.internal)


def require_size(name: object) -> Size:
    """The size of that name, or Compute's refusal."""
    size = SIZES.get(str(name).lower())
    if size is None:
        raise errors.bad_request(
            "InvalidParameter",
            f"The value {name or ''} provided for the VM size is not valid. The valid sizes in the current region are: "
            f"{','.join(known.name for known in SIZES.values())}. Find out more on the valid VM sizes in each region "
            "at https://aka.ms/azure-regions.",
            target="vmSize",
        )
    return size


def _zone(change: Change) -> str | None:
    zones = change.body.get("zones") or []
    return str(zones[0]) if zones else None


def _check_os_profile(change: Change) -> None:
    profile = change.properties.get("osProfile")
    if profile is None:
        if not _brings_its_users(change):
            raise errors.missing_parameter("osProfile")
        return
    for name in ("computerName", "adminUsername"):
        if not profile.get(name):
            raise errors.missing_parameter(f"osProfile.{name}")
    if len(str(profile["computerName"])) > MAX_COMPUTER_NAME:
        raise errors.bad_request(
            "InvalidParameter",
            f"Linux host name cannot exceed {MAX_COMPUTER_NAME} characters in length or contain the following "
            "characters: ` ~ ! @ # $ % ^ & * ( ) = + _ [ ] { } \\ | ; : ' \" , < > / ?.",
            target="linuxConfiguration",
        )
    profile.setdefault("secrets", [])
    profile.setdefault("allowExtensionOperations", True)
    profile["requireGuestProvisionSignal"] = True
    custom_data = change.internal.get("secrets", {}).get("properties.osProfile.customData")
    if custom_data is not None and not _is_base64(str(custom_data)):
        raise errors.bad_request(
            "InvalidParameter",
            f"Custom data in OSProfile must be in Base64 encoding and with a maximum length of {CUSTOM_DATA_LIMIT} "
            "characters.",
            target="customData",
        )


def _brings_its_users(change: Change) -> bool:
    """Whether the disk was somebody's system before: an attached one, or one from a specialized image."""
    if bodies.get(change.properties, "storageProfile.osDisk.createOption") == "Attach":
        return True
    image = change.engine.store.get(str(bodies.get(change.properties, "storageProfile.imageReference.id") or ""))
    definition = change.engine.store.get(image.parent) if image is not None else None
    return any(
        one is not None and "Specialized" in (one.properties.get("osState"),
                                              bodies.get(one.properties, "storageProfile.osDisk.osState"))
        for one in (image, definition)
    )  # fmt: skip


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return len(text) <= CUSTOM_DATA_LIMIT


def _check_sets(change: Change) -> None:
    """A VM is in a scale set or an availability set or neither; an availability set has no zones."""
    _check_scale_set(change)
    reference = bodies.get(change.properties, "availabilitySet.id")
    found = change.engine.store.get(str(reference)) if reference else None
    if found is None:
        return
    if bodies.get(change.properties, "virtualMachineScaleSet.id"):
        raise errors.bad_request(
            "InvalidParameter", "A virtual machine cannot be in an availability set and in a virtual machine scale set "
            "at the same time.", target="availabilitySet"
        )  # fmt: skip
    if change.body.get("zones"):
        raise errors.bad_request(
            "InvalidParameter", "Virtual machines in an availability set cannot have availability zones.",
            target="zones",
        )  # fmt: skip
    if found.location != change.body["location"]:
        raise errors.invalid_reference(str(reference), change.id)


def _check_scale_set(change: Change) -> None:
    reference = bodies.get(change.properties, "virtualMachineScaleSet.id")
    scale_set = change.engine.store.get(reference) if reference else None
    if scale_set is None:
        return
    if scale_set.properties.get("orchestrationMode") != "Flexible":
        raise errors.bad_request(
            "InvalidParameter",
            "A virtual machine can only be added to a virtual machine scale set with Flexible orchestration mode.",
            target="virtualMachineScaleSet.id",
        )
    if scale_set.location != change.body["location"]:
        raise errors.invalid_reference(str(reference), change.id)
    # A set with no zones holds regional VMs only, and one with zones holds VMs of these.
    allowed = scale_set.body.get("zones") or []
    zone = _zone(change)
    if (zone is not None and zone not in allowed) or (zone is None and allowed):
        raise errors.bad_request(
            "InvalidParameter",
            f"The zone '{zone or ''}' of virtual machine {change.path.name} does not fit the zones "
            f"'{','.join(allowed)}' of virtual machine scale set {scale_set.name}.",
            target="zones",
        )


def _check_security(change: Change, size: Size) -> None:
    profile = change.properties.get("securityProfile") or {}
    kind = profile.get("securityType")
    if kind == "TrustedLaunch" and "V2" not in size.generations:
        raise errors.bad_request(
            "BadRequest", f"Use of TrustedLaunch setting is not supported for the provided size {size.name}: it takes "
            "images of hypervisor generation 2."
        )  # fmt: skip
    if profile.get("uefiSettings") and kind not in ("TrustedLaunch", "ConfidentialVM"):
        raise errors.bad_request(
            "BadRequest", "Use of UefiSettings is not supported without securityType TrustedLaunch or ConfidentialVM.",
            target="securityProfile.uefiSettings",
        )  # fmt: skip


def _check_user_data(change: Change) -> None:
    data = change.properties.get("userData")
    if data and not _is_base64(str(data)):
        raise errors.bad_request(
            "InvalidParameter",
            f"userData must be in Base64 encoding and with a maximum length of {CUSTOM_DATA_LIMIT} characters.",
            target="userData",
        )


def _create(change: Change, size: Size) -> None:
    properties, engine = change.properties, change.engine
    check_priority(properties, size)
    change.internal["power"] = "starting"
    properties["vmId"] = engine.guid()
    properties["timeCreated"] = engine.clock.iso(engine.now)
    image = bodies.get(properties, "storageProfile.imageReference")
    if image is not None:
        resolve_image(engine, image, change.body["location"])
        refusal = images.missing_plan(change, image)
        if refusal is not None:
            raise refusal
    reference = bodies.get(properties, "virtualMachineScaleSet.id")
    scale_set = engine.store.get(str(reference)) if reference else None
    if scale_set is not None:
        domains = int(scale_set.properties.get("platformFaultDomainCount") or 1)
        wanted = properties.get("platformFaultDomain")
        number = len(engine.store.referrers(scale_set.id)) if wanted is None else int(wanted)
        machines.assign_domains(change.internal, number, domains)


def check_priority(profile: dict[str, Any], size: Size) -> None:
    """What goes with Spot, and what does not; `profile` is a VM's properties or a set's VM profile."""
    if not quota.is_spot(profile):
        if profile.get("evictionPolicy"):
            raise errors.bad_request(
                "InvalidParameter", "Eviction policy can be set only for Azure Spot VMs.", target="evictionPolicy"
            )
        return
    if not size.spot:
        raise errors.bad_request(
            "InvalidParameter", f"The VM size {size.name} cannot be used with priority Spot.", target="priority"
        )
    profile.setdefault("evictionPolicy", "Deallocate")
    if bodies.get(profile, "storageProfile.osDisk.diffDiskSettings.option") and profile["evictionPolicy"] != "Delete":
        raise errors.bad_request(
            "InvalidParameter", "Azure Spot VMs with an ephemeral OS disk take the eviction policy Delete only.",
            target="evictionPolicy",
        )  # fmt: skip


def resolve_image(engine: Engine, image: dict[str, Any], location: str) -> None:
    """Turn `latest`, or a definition of a gallery, into the version that it stands for now and here."""
    held = engine.store.get(str(image.get("id") or ""))
    if image.get("publisher"):
        image["exactVersion"] = images.exact_version(engine, image)
    elif held is not None and held.type in (galleries.IMAGE, galleries.VERSION):
        image["exactVersion"] = galleries.image_version(engine, held.id, location).name
    elif not any(image.get(key) for key in ("id", "sharedGalleryImageId", "communityGalleryImageId")):
        raise errors.missing_parameter("imageReference")


def _place(change: Change, size: Size, body: dict[str, Any] | None = None) -> capacity.Placement:
    planned = {one.path.key: one.body for one in change.planned}
    references = bodies.get(change.properties, "networkProfile.networkInterfaces", [])
    accelerated = False
    for reference in references:
        key = str(reference.get("id", "")).lower()
        nic = change.engine.store.get(key)
        found = planned.get(key) or (nic.body if nic is not None else {})
        accelerated = accelerated or bool(bodies.get(found, "properties.enableAcceleratedNetworking"))
    return capacity.Placement.of(
        body or change.body,
        subscription=change.subscription,
        size=size,
        spot=quota.is_spot(change.properties),
        accelerated=accelerated,
    )


# What can only be changed while the VM holds no place, and how Compute calls it.
_WHEN_DEALLOCATED = (
    ("proximityPlacementGroup.id", "proximityPlacementGroup"),
    ("additionalCapabilities.ultraSSDEnabled", "ultraSSDEnabled"),
    ("additionalCapabilities.hibernationEnabled", "hibernationEnabled"),
    ("capacityReservation.capacityReservationGroup.id", "capacityReservationGroup"),
)


def _check_allocated(change: Change) -> None:
    if change.internal.get("power") == "deallocated" or not change.internal.get("allocated"):
        return
    for path, name in _WHEN_DEALLOCATED:
        old, new = bodies.get(change.old, path), bodies.get(change.properties, path)
        if not bodies.same(old or None, new or None):
            raise errors.conflict(
                "OperationNotAllowed",
                f"Changing property '{name}' is not allowed while the VM '{change.path.name}' is allocated. Please "
                "stop (deallocate) it first.",
                target=name,
            )


def _check_resize(change: Change, size: Size) -> None:
    old = SIZES[str(bodies.get(change.old, "hardwareProfile.vmSize")).lower()]
    if change.internal.get("power") == "starting" and not change.internal.get("allocated"):
        # Its creation failed for lack of capacity: this write tries again.
        change.failure = capacity.claim(change.engine, _place(change, size), change.internal)
        return
    if old.name == size.name:
        return
    allocated = change.internal.get("power") != "deallocated"
    if allocated and old.family != size.family:
        # Assumption: the hardware cluster that a VM sits on offers the sizes of its family.
        raise errors.conflict(
            "OperationNotAllowed",
            f"Unable to resize the VM '{change.path.name}' because the requested size '{size.name}' is not available "
            f"in the current hardware cluster. The available sizes in this cluster are: {','.join(_cluster(old))}. "
            "Read more on VM resizing strategy at https://aka.ms/azure-resizevm.",
            target="vmSize",
        )
    place = _place(change, size)
    change.failure = capacity.exchange(change.engine, _place(change, old), place, change.internal)
    change.internal["rebootToResize"] = allocated and change.failure is None


def _cluster(size: Size) -> list[str]:
    """Sizes that a running VM can be changed to."""
    return [known.name for known in SIZES.values() if known.family == size.family]


# -- life ------------------------------------------------------------------------------------------------------------


def _accepted(change: Change, vm: Resource) -> None:
    attachments.follow_disks(change, vm)


def _finished(engine: Engine, vm: Resource, operation: Operation) -> None:
    machines.provisioned(engine, vm, operation)
    if vm.internal.pop("rebootToResize", False) and vm.internal.get("power") == "running":
        engine.guests.stop(vm, deallocate=True)
        if machines.is_ephemeral(vm):
            vm.internal["reimageAtBoot"] = True
        machines.boot(engine, vm)


def _deleted(engine: Engine, vm: Resource) -> None:
    machines.gone(engine, vm)
    attachments.let_go(engine, vm)


def _view(engine: Engine, vm: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    expand = query.get("$expand", "").lower()
    if "userdata" not in expand:
        shown["properties"].pop("userData", None)
    listed = [engine.view(child) for child in engine.store.children(vm.id, f"{VM}/extensions")]
    if listed:
        shown["resources"] = listed
    if "instanceview" in expand or query.get("statusOnly", "").lower() == "true":
        shown["properties"]["instanceView"] = machines.instance_view(engine, vm)


# -- lists and documents ---------------------------------------------------------------------------------------------


def _get_instance_view(call: Call) -> Answer:
    """GET …/virtualMachines/{name}/instanceView."""
    vm = call.engine.require(parse(call.path.parent))
    return Answer(200, machines.instance_view(call.engine, vm))


def _list_available_sizes(call: Call) -> Answer:
    """GET …/virtualMachines/{name}/vmSizes: what it can be resized to as it stands."""
    vm = call.engine.require(parse(call.path.parent))
    fixed = vm.internal.get("power") != "deallocated"
    names = _cluster(machines.size_of(vm)) if fixed else [size.name for size in SIZES.values()]
    return Answer(200, {"value": [describe(SIZES[name.lower()]) for name in names]})


def _list_by_location(call: Call) -> Answer:
    """GET …/locations/{location}/virtualMachines."""
    location = locations.normalise(call.path.names[0])
    return call.engine.page(call, call.engine.store.in_region(VM, call.subscription, location))


FUNCTIONS = {
    ("GET", f"{VM}/instanceView"): _get_instance_view,
    ("GET", f"{VM}/vmSizes"): _list_available_sizes,
    ("GET", "Microsoft.Compute/locations/virtualMachines"): _list_by_location,
}

_SET_FILTER = re.compile(r"virtualMachineScaleSet/id'?\s+eq\s+'?([^'\s]+)", re.IGNORECASE)


def _keep(engine: Engine, vm: Resource, query: Mapping[str, str]) -> bool:  # noqa: ARG001 (a hook)
    match = _SET_FILTER.search(query.get("$filter", ""))
    return match is None or bodies.same(bodies.get(vm.properties, "virtualMachineScaleSet.id"), match[1])


# -- actions ---------------------------------------------------------------------------------------------------------


def _generalize(call: Call, vm: Resource) -> None:
    if vm.internal.get("power") not in ("stopped", "deallocated"):
        raise errors.conflict(
            "OperationNotAllowed",
            f"The VM '{vm.name}' must be stopped or deallocated before it is set to generalized.",
        )
    vm.internal["generalized"] = True
    call.engine.store.save(vm)


def _attach_detach(call: Call, vm: Resource) -> Answer:
    """Data disks come and go by id; the answer of the operation is the storage profile."""
    engine, body = call.engine, call.body if isinstance(call.body, dict) else {}
    leaving = {str(item.get("diskId", "")).lower() for item in body.get("dataDisksToDetach") or []}
    listed = copy.deepcopy(bodies.get(vm.properties, "storageProfile.dataDisks", []))
    present = {str(bodies.get(disk, "managedDisk.id", "")).lower() for disk in listed}
    missing = leaving - present
    if missing:
        raise errors.bad_request(
            "InvalidParameter", f"The disk '{min(missing)}' is not attached to the VM '{vm.name}'.",
            target="dataDisksToDetach",
        )  # fmt: skip
    kept = [disk for disk in listed if str(bodies.get(disk, "managedDisk.id", "")).lower() not in leaving]
    for item in body.get("dataDisksToAttach") or []:
        taken = {disk["lun"] for disk in kept}
        disk = {key: item[key] for key in ("lun", "caching", "deleteOption", "writeAcceleratorEnabled") if key in item}
        disk.setdefault("lun", next(lun for lun in range(len(taken) + 1) if lun not in taken))
        kept.append({**disk, "createOption": "Attach", "managedDisk": {"id": item.get("diskId", "")}})
    sent = {"properties": {"storageProfile": {"dataDisks": kept}}}
    change = engine.change(VM_TYPE, parse(vm.id), "PATCH", sent, vm, api_version=call.api_version)
    change.seconds = machines.UPDATE_SECONDS
    resource, operation = engine.apply(change, vm)
    if operation is None:
        return Answer(200, resource.properties["storageProfile"])
    operation.output = resource.properties["storageProfile"]
    return Answer(202, None, follow(engine, call.base_url, call.api_version, VM_TYPE, operation, "POST"))


def _not_allowed(path: str) -> ArmError:
    return errors.property_change_not_allowed(_FIXED.get(path, path.removeprefix("properties.")))


VM_TYPE = ResourceType(
    name=VM,
    protocol=COMPUTE,
    put=Verb(seconds=machines.CREATE_SECONDS, update_seconds=machines.UPDATE_SECONDS),
    patch=Patch(seconds=machines.UPDATE_SECONDS),
    delete=Verb(seconds=machines.DELETE_SECONDS),
    etag="counter",
    if_match=True,
    required=("properties.hardwareProfile.vmSize", "properties.storageProfile", "properties.networkProfile"),
    read_only=("properties.vmId", "properties.timeCreated", "properties.instanceView", "resources",
               "properties.storageProfile.imageReference.exactVersion", "identity.principalId", "identity.tenantId"),
    immutable=tuple(_FIXED),
    immutable_error=_not_allowed,
    write_only=("properties.osProfile.customData", "properties.osProfile.adminPassword"),
    delete_first=10,
    actions={
        **scheduled_events.ACTIONS,
        "reapply": Action(seconds=machines.UPDATE_SECONDS, updating="Updating"),
        "runCommand": run_commands.ACTION,
        "generalize": Action(run=_generalize),
        "attachDetachDataDisks": Action(run=_attach_detach),
    },
    check=_check,
    accepted=_accepted,
    finished=_finished,
    continues=run_commands.continue_action,
    deleting=machines.deleting,
    deleted=_deleted,
    view=_view,
    keep=_keep,
    depth="disks and network interfaces of its own, quota, capacity, power states, resize rules, sets, Spot evictions "
          "and maintenance with scheduled events, run commands, boot diagnostics; boots a guest where there are guests",
)  # fmt: skip
