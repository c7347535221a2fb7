"""Microsoft.Compute/virtualMachines and their run commands.

A virtual machine brings its disks and, where it is asked to, its network interfaces with it, takes quota and capacity,
and can be started, stopped and resized. Nothing boots here: `internal["power"]` is all there is of a running machine.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import parse
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.compute import disks, images, quota
from azure_emulator.providers.compute.sizes import SIZES, Size
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Operation, Resource

VM = quota.VM
RUN_COMMAND = f"{VM}/runCommands"
SCALE_SET = "Microsoft.Compute/virtualMachineScaleSets"
NIC = "Microsoft.Network/networkInterfaces"
PUBLIC_IP = "Microsoft.Network/publicIPAddresses"

# One Linux VM takes about 70 s (1m07s in public logs); the rest of this list is assumed from experience reports.
CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 70, 15, 65
START_SECONDS, DEALLOCATE_SECONDS, POWER_OFF_SECONDS, RESTART_SECONDS = 30, 45, 20, 40
RUN_COMMAND_SECONDS = 20
# A run command with asyncExecution is provisioned once it has started.
RUN_COMMAND_START_SECONDS = 5
# Spot VMs get this notice before they go (use-spot doc).
EVICTION_NOTICE_SECONDS = 30
# Custom data may be 64 KiB before base64, which is 87380 characters after it.
CUSTOM_DATA_LIMIT = 87_380

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
    "properties.priority": "priority",
    "properties.evictionPolicy": "evictionPolicy",
    "zones": "zones",
}  # fmt: skip


# -- checks ----------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    size = _size(change)
    assigned_identities.complete(change)
    _check_zone(change)
    _check_os_profile(change)
    _check_scale_set(change)
    if not change.exists:
        _create(change, size)
    _plan_network(change)
    _plan_os_disk(change, size)
    _plan_data_disks(change, size)
    # Last, because a refusal must not have taken anything.
    if change.exists:
        _check_resize(change, size)
    else:
        _take_place(change, size)


def _size(change: Change) -> Size:
    name = str(bodies.get(change.properties, "hardwareProfile.vmSize", ""))
    size = SIZES.get(name.lower())
    if size is None:
        raise errors.bad_request(
            "InvalidParameter",
            f"The value {name} provided for the VM size is not valid. The valid sizes in the current region are: "
            f"{','.join(known.name for known in SIZES.values())}. Find out more on the valid VM sizes in each region "
            "at https://aka.ms/azure-regions.",
            target="vmSize",
        )
    change.properties["hardwareProfile"]["vmSize"] = size.name
    return size


def zone_of(body: Mapping[str, Any]) -> str | None:
    """The zone of a VM, if it has one."""
    zones = body.get("zones") or []
    return str(zones[0]) if zones else None


def _check_zone(change: Change) -> None:
    zones = change.body.get("zones") or []
    known = locations.zones(change.body["location"])
    if len(zones) > 1 or any(str(zone) not in known for zone in zones):
        raise errors.bad_request(
            "InvalidAvailabilityZone",
            f"The zone(s) '{','.join(map(str, zones))}' for resource '{change.id}' is not supported. The supported "
            f"zones for location '{change.body['location']}' are '{','.join(known)}'.",
            target="zones",
        )


def _check_os_profile(change: Change) -> None:
    profile = change.properties.get("osProfile")
    attached = bodies.get(change.properties, "storageProfile.osDisk.createOption") == "Attach"
    if profile is None:
        if not attached:
            raise errors.bad_request(
                "InvalidParameter", "Required parameter 'osProfile' is missing (null).", target="osProfile"
            )
        return
    for name in ("computerName", "adminUsername"):
        if not profile.get(name):
            raise errors.bad_request(
                "InvalidParameter", f"Required parameter 'osProfile.{name}' is missing (null).",
                target=f"osProfile.{name}",
            )  # fmt: skip
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


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return len(text) <= CUSTOM_DATA_LIMIT


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
    zone = zone_of(change.body)
    if (zone is not None and zone not in allowed) or (zone is None and allowed):
        raise errors.bad_request(
            "InvalidParameter",
            f"The zone '{zone or ''}' of virtual machine {change.path.name} does not fit the zones "
            f"'{','.join(allowed)}' of virtual machine scale set {scale_set.name}.",
            target="zones",
        )


def _create(change: Change, size: Size) -> None:
    properties, engine = change.properties, change.engine
    spot = quota.is_spot(properties)
    if spot:
        if not size.spot:
            raise errors.bad_request(
                "InvalidParameter",
                f"The VM size {size.name} cannot be used with priority Spot.",
                target="priority",
            )
        properties.setdefault("evictionPolicy", "Deallocate")
    elif properties.get("evictionPolicy"):
        raise errors.bad_request(
            "InvalidParameter", "Eviction policy can be set only for Azure Spot VMs.", target="evictionPolicy"
        )
    change.internal["power"] = "starting"
    properties["vmId"] = engine.guid()
    properties["timeCreated"] = engine.clock.iso(engine.now)
    image = bodies.get(properties, "storageProfile.imageReference")
    if image is not None:
        _resolve_image(engine, image)


def _take_place(change: Change, size: Size) -> None:
    engine, location, spot = change.engine, change.body["location"], quota.is_spot(change.properties)
    quota.require(engine, location, quota.cost(size, spot=spot))
    change.failure = quota.take_capacity(engine, size, location, zone_of(change.body), spot=spot)
    change.internal["allocated"] = change.failure is None


def _resolve_image(engine: Engine, image: dict[str, Any]) -> None:
    if image.get("publisher"):
        image["exactVersion"] = images.exact_version(engine, image)
    elif not any(image.get(key) for key in ("id", "sharedGalleryImageId", "communityGalleryImageId")):
        raise errors.bad_request(
            "InvalidParameter", "Required parameter 'imageReference' is missing (null).", target="imageReference"
        )


def _check_resize(change: Change, size: Size) -> None:
    old = SIZES[str(bodies.get(change.old, "hardwareProfile.vmSize")).lower()]
    if change.internal.get("power") == "starting" and not change.internal.get("allocated"):
        # Its creation failed for lack of capacity: this write tries again.
        spot, zone = quota.is_spot(change.properties), zone_of(change.body)
        change.failure = quota.take_capacity(change.engine, size, change.body["location"], zone, spot=spot)
        change.internal["allocated"] = change.failure is None
    if old.name == size.name:
        return
    deallocated = change.internal.get("power") == "deallocated"
    if not deallocated and old.family != size.family:
        # Assumption: the hardware cluster that a VM sits on offers the sizes of its family.
        offered = ",".join(known.name for known in SIZES.values() if known.family == old.family)
        raise errors.conflict(
            "OperationNotAllowed",
            f"Unable to resize the VM '{change.path.name}' because the requested size '{size.name}' is not available "
            f"in the current hardware cluster. The available sizes in this cluster are: {offered}. Read more on VM "
            "resizing strategy at https://aka.ms/azure-resizevm.",
            target="vmSize",
        )
    _require_room(change, old, size, deallocated=deallocated)


def _require_room(change: Change, old: Size, size: Size, *, deallocated: bool) -> None:
    engine, location = change.engine, change.body["location"]
    spot = quota.is_spot(change.properties)
    cost, freed = quota.cost(size, spot=spot), quota.cost(old, spot=spot)
    quota.require(engine, location, {name: count - freed.get(name, 0) for name, count in cost.items()})
    if not deallocated:
        zone = zone_of(change.body)
        change.failure = quota.take_capacity(engine, size, location, zone, spot=spot)
        if change.failure is None:
            quota.give_capacity_back(engine, old, location, zone, spot=spot)


# -- what a VM brings with it ----------------------------------------------------------------------------------------


def _plan_network(change: Change) -> None:
    profile = change.properties.setdefault("networkProfile", {})
    configurations = profile.pop("networkInterfaceConfigurations", None)
    version = profile.pop("networkApiVersion", None)
    if configurations and not version:
        raise errors.bad_request(
            "InvalidParameter",
            "Required parameter 'networkProfile.networkApiVersion' is missing (null): it goes with "
            "networkInterfaceConfigurations.",
            target="networkProfile.networkApiVersion",
        )
    references = profile.get("networkInterfaces") or []
    if configurations and not change.exists:
        references = [*references, *(_plan_nic(change, item, len(configurations)) for item in configurations)]
    elif not references and change.exists:
        references = bodies.get(change.old, "networkProfile.networkInterfaces", [])
    if not references:
        raise errors.bad_request(
            "InvalidParameter",
            f"Virtual Machine {change.path.name} must have at least one network interface.",
            target="networkProfile",
        )
    profile["networkInterfaces"] = references
    created = {planned.path.key for planned in change.planned}
    for reference in references:
        if str(reference.get("id", "")).lower() not in created:
            _check_nic(change, str(reference.get("id", "")))
    _check_network_change(change, references)


def _check_network_change(change: Change, references: list[dict[str, Any]]) -> None:
    if not change.exists or change.internal.get("power") == "deallocated":
        return
    before = {str(item["id"]).lower() for item in bodies.get(change.old, "networkProfile.networkInterfaces", [])}
    if before != {str(item["id"]).lower() for item in references}:
        raise errors.conflict(
            "AddingOrDeletingNetworkInterfacesOnARunningVirtualMachineNotSupported",
            f"Secondary network interfaces cannot be added or deleted from a running virtual machine "
            f"{change.path.name}.",
        )


def _check_nic(change: Change, reference: str) -> None:
    nic = change.engine.store.get(reference)
    if nic is None:
        raise errors.invalid_reference(reference, change.id)
    if nic.location != change.body["location"]:
        raise errors.invalid_reference(reference, change.id)
    if nic.state not in ("Succeeded", "Failed"):
        raise errors.referenced_not_provisioned(nic.id, change.id, nic.state, "PutNicOperation")
    for holder in change.engine.store.referrers(nic.id):
        if holder.type == VM and holder.key != change.path.key:
            raise errors.bad_request(
                "NicInUse",
                f"Network Interface {nic.id} is used by existing resource {holder.id}. In order to use it, it must be "
                "dissociated from the resource. To learn more, see aka.ms/deletenic.",
            )


def _plan_nic(change: Change, item: dict[str, Any], count: int) -> dict[str, Any]:
    """Turn a network interface configuration into the interface that Compute creates for it."""
    inner = item.get("properties") or {}
    group = f"/subscriptions/{change.subscription}/resourceGroups/{change.path.resource_group}"
    nic_id = f"{group}/providers/{NIC}/{item.get('name', '')}"
    configurations = []
    for source in inner.get("ipConfigurations") or []:
        properties = dict(source.get("properties") or {})
        public = properties.pop("publicIPAddressConfiguration", None)
        if public is not None:
            properties["publicIPAddress"] = {"id": _plan_public_ip(change, public)}
        configurations.append({"name": source.get("name"), "properties": properties})
    kept = ("enableAcceleratedNetworking", "enableIPForwarding", "networkSecurityGroup", "dnsSettings",
            "auxiliaryMode", "auxiliarySku")  # fmt: skip
    body = {
        "location": change.body["location"],
        "tags": inner.get("tags") or item.get("tags"),
        "properties": {key: inner[key] for key in kept if inner.get(key) is not None}
        | {"ipConfigurations": configurations},
    }
    change.planned.append(change.engine.plan(nic_id, body))
    primary = inner.get("primary", count == 1)
    delete_option = inner.get("deleteOption", "Delete")
    return {"id": nic_id, "properties": {"primary": primary, "deleteOption": delete_option}}


def _plan_public_ip(change: Change, item: dict[str, Any]) -> str:
    group = f"/subscriptions/{change.subscription}/resourceGroups/{change.path.resource_group}"
    inner = item.get("properties") or {}
    address_id = f"{group}/providers/{PUBLIC_IP}/{item.get('name', '')}"
    kept = ("idleTimeoutInMinutes", "publicIPAddressVersion", "publicIPAllocationMethod")
    body = {
        "location": change.body["location"],
        "sku": item.get("sku") or {"name": "Standard", "tier": "Regional"},
        "properties": {key: inner[key] for key in kept if inner.get(key) is not None},
    }
    change.planned.append(change.engine.plan(address_id, body))
    change.internal.setdefault("addressesToDelete", []).append(address_id)
    return address_id


def _plan_os_disk(change: Change, size: Size) -> None:
    storage = change.properties.setdefault("storageProfile", {})
    disk = storage.setdefault("osDisk", {"createOption": "FromImage"})
    disk.setdefault("caching", "ReadWrite")
    disk.setdefault("osType", "Linux")
    ephemeral = bool(bodies.get(disk, "diffDiskSettings.option"))
    disk.setdefault("deleteOption", "Delete" if ephemeral else "Detach")
    if change.exists:
        if "managedDisk" not in disk and bodies.get(change.old, "storageProfile.osDisk.managedDisk"):
            disk["managedDisk"] = bodies.get(change.old, "storageProfile.osDisk.managedDisk")
        return
    disk.setdefault("name", f"{change.path.name}_OsDisk_1_{change.engine.guid().replace('-', '')}")
    disk.setdefault("diskSizeGB", images.DEFAULT_OS_DISK_GB)
    if ephemeral:
        _check_ephemeral(disk, size)
        disk.setdefault("managedDisk", {"storageAccountType": "Standard_LRS"})
    elif disk.get("createOption") == "Attach":
        _require_free_disk(change, str(bodies.get(disk, "managedDisk.id", "")))
    else:
        _plan_disk(change, disk, {"createOption": "FromImage"})


def _check_ephemeral(disk: dict[str, Any], size: Size) -> None:
    if not size.ephemeral:
        raise errors.bad_request(
            "InvalidParameter",
            f"Ephemeral OS disk is not supported for VM size {size.name}.",
            target="osDisk.diffDiskSettings",
        )
    if disk["caching"] != "ReadOnly":
        raise errors.bad_request(
            "InvalidParameter", "OS disk caching must be ReadOnly for an ephemeral OS disk.", target="osDisk.caching"
        )
    room_gb = max(size.local_disk_mb, size.nvme_mib) // 1024
    if int(disk["diskSizeGB"]) > room_gb:
        raise errors.bad_request(
            "InvalidParameter",
            f"OS disk of Ephemeral VM with size greater than {room_gb} GB is not allowed for VM size {size.name}.",
            target="osDisk.diskSizeGB",
        )


def _plan_disk(change: Change, disk: dict[str, Any], creation: dict[str, Any]) -> None:
    group = f"/subscriptions/{change.subscription}/resourceGroups/{change.path.resource_group}"
    disk_id = f"{group}/providers/{disks.DISK}/{disk['name']}"
    sku = bodies.get(disk, "managedDisk.storageAccountType") or "Premium_LRS"
    body: dict[str, Any] = {
        "location": change.body["location"],
        "sku": {"name": sku},
        "tags": change.body.get("tags"),
        "properties": {"creationData": creation, "diskSizeGB": disk["diskSizeGB"]},
    }
    if change.body.get("zones"):
        body["zones"] = change.body["zones"]
    if disk.get("osType"):
        body["properties"]["osType"] = disk["osType"]
    planned = change.engine.plan(disk_id, body, seconds=0.0)
    planned.internal["managedBy"] = change.id
    change.planned.append(planned)
    disk["managedDisk"] = {**(disk.get("managedDisk") or {}), "storageAccountType": sku, "id": disk_id}


def _plan_data_disks(change: Change, size: Size) -> None:
    found = change.properties["storageProfile"].setdefault("dataDisks", [])
    luns = [disk.get("lun") for disk in found]
    if len(set(luns)) != len(luns) or None in luns:
        raise errors.bad_request("InvalidParameter", "Each data disk needs a lun of its own.", target="dataDisks.lun")
    if len(found) > size.max_data_disks:
        raise errors.conflict(
            "OperationNotAllowed",
            f"The maximum number of data disks allowed to be attached to a VM of this size is {size.max_data_disks}.",
            target="dataDisks",
        )
    before = {disk["lun"]: disk for disk in bodies.get(change.old, "storageProfile.dataDisks", [])}
    for disk in found:
        disk.setdefault("caching", "None")
        disk.setdefault("deleteOption", "Detach")
        if disk["lun"] in before:
            disk.setdefault("managedDisk", before[disk["lun"]].get("managedDisk"))
            disk.setdefault("name", before[disk["lun"]].get("name"))
        elif disk.get("createOption") == "Attach":
            _require_free_disk(change, str(bodies.get(disk, "managedDisk.id", "")))
        else:
            disk.setdefault("name", f"{change.path.name}_disk{disk['lun'] + 2}_{change.engine.guid().replace('-', '')}")
            disk.setdefault("diskSizeGB", images.DEFAULT_OS_DISK_GB)
            _plan_disk(change, disk, {"createOption": "Empty"})


def _require_free_disk(change: Change, reference: str) -> None:
    disk = change.engine.store.get(reference)
    if disk is None:
        raise errors.ArmError(errors.NOT_FOUND, "NotFound", f"Disk {reference} is not found.")
    owner = disk.internal.get("managedBy")
    if owner and owner.lower() != change.path.key:
        raise errors.conflict(
            "ConflictingUserInput",
            f"Disk '{disk.id}' cannot be attached as the disk is already owned by VM '{owner}'.",
        )


def disk_references(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Id and delete option of every managed disk of a VM."""
    storage = properties.get("storageProfile") or {}
    found = [storage.get("osDisk") or {}, *(storage.get("dataDisks") or [])]
    return [
        (str(disk["managedDisk"]["id"]), str(disk.get("deleteOption", "Detach")))
        for disk in found
        if bodies.get(disk, "managedDisk.id")
    ]


# -- life ------------------------------------------------------------------------------------------------------------


def _accepted(change: Change, vm: Resource) -> None:
    engine = change.engine
    if not change.exists:
        # From now on the VM itself counts.
        size = SIZES[str(vm.properties["hardwareProfile"]["vmSize"]).lower()]
        quota.grant_used(engine, vm.location, quota.cost(size, spot=quota.is_spot(vm.properties)))
    wanted = {reference.lower() for reference, _ in disk_references(vm.properties)}
    for reference in wanted:
        disk = engine.store.get(reference)
        if disk is not None:
            disks.attach(engine, disk, vm.id)
    for reference, _ in disk_references(change.old):
        disk = engine.store.get(reference)
        if disk is not None and reference.lower() not in wanted:
            disks.attach(engine, disk, None)


def _finished(engine: Engine, vm: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    if vm.internal.get("power") == "starting":
        vm.internal["power"] = "running"


def _deleted(engine: Engine, vm: Resource) -> None:
    _release(engine, vm)
    for item in bodies.get(vm.properties, "networkProfile.networkInterfaces", []):
        nic = engine.store.get(str(item.get("id", "")))
        if nic is not None and bodies.get(item, "properties.deleteOption", "Detach") == "Delete":
            engine.remove(nic)
    for reference in vm.internal.get("addressesToDelete", []):
        address = engine.store.get(reference)
        if address is not None:
            engine.remove(address)
    for reference, option in disk_references(vm.properties):
        disk = engine.store.get(reference)
        if disk is None:
            continue
        disks.attach(engine, disk, None)
        if option == "Delete":
            engine.remove(disk)


def _release(engine: Engine, vm: Resource) -> None:
    if vm.internal.get("allocated"):
        vm.internal["allocated"] = False
        size = SIZES[str(bodies.get(vm.properties, "hardwareProfile.vmSize")).lower()]
        quota.give_capacity_back(engine, size, vm.location, zone_of(vm.body), spot=quota.is_spot(vm.properties))


def _view(engine: Engine, vm: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    asked = "instanceview" in query.get("$expand", "").lower() or query.get("statusOnly", "").lower() == "true"
    if asked:
        shown["properties"]["instanceView"] = instance_view(engine, vm)


def instance_view(engine: Engine, vm: Resource) -> dict[str, Any]:
    """What a GET with $expand=instanceView adds."""
    state = vm.state.lower()
    moment = engine.clock.iso(vm.changed)
    level = "Error" if state == "failed" else "Info"
    shown_state = {"succeeded": "Provisioning succeeded", "failed": "Provisioning failed"}.get(state, vm.state)
    statuses: list[dict[str, Any]] = [
        {"code": f"ProvisioningState/{state}", "level": level, "displayStatus": shown_state, "time": moment}
    ]
    if state == "failed" and (failure := vm.internal.get("failure")):
        # As Azure shows it, for example `ProvisioningState/failed/AllocationFailed`.
        statuses[0] |= {"code": f"ProvisioningState/failed/{failure['code']}", "message": failure["message"]}
    power = vm.internal.get("power")
    if power and state != "failed":
        statuses.append({"code": f"PowerState/{power}", "level": "Info", "displayStatus": f"VM {power}"})
    view: dict[str, Any] = {
        "disks": [
            {"name": parse(reference).name, "statuses": [{
                "code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded",
                "time": moment}]}
            for reference, _ in disk_references(vm.properties)
        ],
        "hyperVGeneration": "V2",
        "statuses": statuses,
    }  # fmt: skip
    if power == "running":
        view["computerName"] = bodies.get(vm.properties, "osProfile.computerName", vm.name)
        view["vmAgent"] = {
            "vmAgentVersion": "2.15.0.1", "extensionHandlers": [],
            "statuses": [{"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Ready",
                          "message": "Guest Agent is running", "time": moment}],
        }  # fmt: skip
    return view


def get_instance_view(call: Call) -> Answer:
    """GET …/virtualMachines/{name}/instanceView."""
    vm = call.engine.require(parse(call.path.parent))
    return Answer(200, instance_view(call.engine, vm))


_SET_FILTER = re.compile(r"virtualMachineScaleSet/id'?\s+eq\s+'?([^'\s]+)", re.IGNORECASE)


def _keep(engine: Engine, vm: Resource, query: Mapping[str, str]) -> bool:  # noqa: ARG001 (a hook)
    match = _SET_FILTER.search(query.get("$filter", ""))
    return match is None or bodies.same(bodies.get(vm.properties, "virtualMachineScaleSet.id"), match[1])


# -- actions ---------------------------------------------------------------------------------------------------------


def _start(call: Call, vm: Resource) -> None:
    if vm.internal.get("power") != "deallocated":
        return
    size = SIZES[str(bodies.get(vm.properties, "hardwareProfile.vmSize")).lower()]
    spot, zone = quota.is_spot(vm.properties), zone_of(vm.body)
    failure = quota.take_capacity(call.engine, size, vm.location, zone, spot=spot)
    vm.internal["allocated"] = failure is None
    call.engine.planned_failure = call.engine.planned_failure or failure


def _started(engine: Engine, vm: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    vm.internal["power"] = "running"


def _refuse_ephemeral(call: Call, vm: Resource) -> None:  # noqa: ARG001 (a hook)
    if bodies.get(vm.properties, "storageProfile.osDisk.diffDiskSettings.option"):
        raise errors.conflict(
            "OperationNotAllowed",
            f"The Deallocate operation is not supported on VM '{vm.name}' because it uses an ephemeral OS disk.",
        )


def _deallocated(engine: Engine, vm: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    vm.internal["power"] = "deallocated"
    _release(engine, vm)


def _stopped(engine: Engine, vm: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    if vm.internal.get("power") != "deallocated":
        vm.internal["power"] = "stopped"


def _require_running(vm: Resource) -> None:
    if vm.internal.get("power") != "running":
        raise errors.conflict("OperationNotAllowed", "The operation requires the VM to be running (or set to run).")


def _restart(call: Call, vm: Resource) -> None:  # noqa: ARG001 (a hook)
    _require_running(vm)


def _simulate_eviction(call: Call, vm: Resource) -> Answer:
    if not quota.is_spot(vm.properties):
        raise errors.conflict(
            "OperationNotAllowed", f"Eviction can be simulated on Spot VMs only, and '{vm.name}' is none."
        )
    call.engine.begin_action(vm, _EVICT, f"POST {_EVICTION}", api_version=call.api_version)
    return Answer(204)


def _evicted(engine: Engine, vm: Resource, operation: Operation) -> None:
    if vm.properties.get("evictionPolicy") == "Delete":
        engine.begin_delete(vm)
    else:
        _deallocated(engine, vm, operation)


# Not a word that a path can end in: nobody can ask for an eviction but through simulateEviction.
_EVICTION = "(eviction)"
_EVICT = Action(seconds=EVICTION_NOTICE_SECONDS, finished=_evicted)


def _run_command_once(call: Call, vm: Resource) -> dict[str, Any]:  # noqa: ARG001 (a hook)
    """The older run command action; nothing runs, and it says so with empty output."""
    _require_running(vm)
    status = {
        "code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded",
        "message": "Enable succeeded: \n[stdout]\n\n[stderr]\n",
    }  # fmt: skip
    return {"value": [status]}


# -- run commands ----------------------------------------------------------------------------------------------------


def _check_run_command(change: Change) -> None:
    vm = change.engine.require(parse(change.path.parent))
    _require_running(vm)
    source = change.properties.get("source") or {}
    if not any(source.get(key) for key in ("script", "scriptUri", "commandId", "galleryScriptReferenceId")):
        raise errors.bad_request("InvalidParameter", "Required parameter 'source' is missing (null).", target="source")
    change.internal["execution"] = {"executionState": "Pending", "start": change.engine.now}


def _run_command_accepted(change: Change, command: Resource) -> None:
    engine = change.engine
    duration = engine.jittered(RUN_COMMAND_SECONDS, command.id, "execution")
    command.internal["execution"] = {"start": engine.now, "end": engine.now + duration}
    if command.properties.get("asyncExecution"):
        return
    operation = engine.store.operations.get(command.operation or "")
    if operation is not None:
        command.internal["execution"]["end"] = operation.end


def _view_run_command(engine: Engine, command: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    if "instanceview" not in query.get("$expand", "").lower():
        return
    execution = command.internal["execution"]
    ended = engine.now >= execution["end"]
    view: dict[str, Any] = {
        "executionState": "Succeeded" if ended else "Running",
        "exitCode": 0,
        "output": "",
        "error": "",
        "startTime": engine.clock.iso(execution["start"]),
    }
    if command.state == "Failed":
        view |= {"executionState": "Failed", "exitCode": 1}
    if ended:
        view["endTime"] = engine.clock.iso(execution["end"])
    shown["properties"]["instanceView"] = view


def _not_allowed(path: str) -> ArmError:
    return errors.property_change_not_allowed(_FIXED.get(path, path.removeprefix("properties.")))


VM_TYPE = ResourceType(
    name=VM,
    protocol=COMPUTE,
    put=Verb(seconds=CREATE_SECONDS, update_seconds=UPDATE_SECONDS),
    patch=Patch(seconds=UPDATE_SECONDS),
    delete=Verb(seconds=DELETE_SECONDS),
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
        "start": Action(run=_start, seconds=START_SECONDS, updating="Updating", finished=_started),
        "deallocate": Action(run=_refuse_ephemeral, seconds=DEALLOCATE_SECONDS, updating="Updating",
                             finished=_deallocated),
        "powerOff": Action(seconds=POWER_OFF_SECONDS, updating="Updating", finished=_stopped),
        "restart": Action(run=_restart, seconds=RESTART_SECONDS, updating="Updating", finished=_started),
        "redeploy": Action(seconds=CREATE_SECONDS, updating="Updating", finished=_started),
        "reapply": Action(seconds=UPDATE_SECONDS, updating="Updating"),
        "runCommand": Action(run=_run_command_once, seconds=RUN_COMMAND_SECONDS, updating="Updating"),
        "simulateEviction": Action(run=_simulate_eviction),
        _EVICTION: _EVICT,
    },
    check=_check,
    accepted=_accepted,
    finished=_finished,
    deleted=_deleted,
    view=_view,
    keep=_keep,
    depth="disks and network interfaces of its own, quota, capacity, power states, resize rules, Flexible sets, Spot",
)  # fmt: skip

RUN_COMMAND_TYPE = ResourceType(
    name=RUN_COMMAND,
    protocol=COMPUTE,
    put=Verb(seconds=RUN_COMMAND_SECONDS),
    patch=Patch(seconds=RUN_COMMAND_SECONDS),
    delete=Verb(seconds=5),
    write_only=("properties.protectedParameters", "properties.runAsPassword"),
    defaults={"properties.asyncExecution": False, "properties.parameters": [], "properties.timeoutInSeconds": 0,
              "properties.treatFailureAsDeploymentFailure": False},
    read_only=("properties.instanceView",),
    check=_check_run_command,
    accepted=_run_command_accepted,
    view=_view_run_command,
    depth="needs a running VM; succeeds after its time without running anything",
)  # fmt: skip
