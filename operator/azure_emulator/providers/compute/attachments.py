"""What a virtual machine brings with it: network interfaces, their public addresses, managed disks.

Plans their writes along with the machine's own; knows nothing of quota, power or place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.compute import disks, images
from azure_emulator.providers.compute.machines import disk_references
from azure_emulator.providers.compute.names import DISK, NIC, PUBLIC_IP, VM
from azure_emulator.types import Change

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.providers.compute.sizes import Size
    from azure_emulator.store import Resource


def plan_network(change: Change) -> None:
    """Check the network interfaces of a VM, and plan those that it asks Compute to create."""
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
    for holder in change.engine.store.referrers(nic.id, VM):
        if holder.key != change.path.key:
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
    configurations: list[dict[str, Any]] = []
    public_addresses: dict[str, str] = {}
    for source in inner.get("ipConfigurations") or []:
        properties = dict(source.get("properties") or {})
        public = properties.pop("publicIPAddressConfiguration", None)
        if public is not None:
            public_addresses[str(source.get("name"))] = _plan_public_ip(change, public)
        configurations.append({"name": source.get("name"), "properties": properties})
    kept = ("enableAcceleratedNetworking", "enableIPForwarding", "networkSecurityGroup", "dnsSettings",
            "auxiliaryMode", "auxiliarySku")  # fmt: skip
    body = {
        "location": change.body["location"],
        "tags": inner.get("tags") or item.get("tags"),
        "properties": {key: inner[key] for key in kept if inner.get(key) is not None}
        | {"ipConfigurations": configurations},
    }
    if change.engine.store.get(nic_id) is not None:
        _check_nic(change, nic_id)
    planned = change.engine.plan(nic_id, body)
    # The addresses are not there yet when the interface is checked; they are by the time it is written.
    for configuration in planned.properties["ipConfigurations"]:
        if configuration["name"] in public_addresses:
            configuration["properties"]["publicIPAddress"] = {"id": public_addresses[configuration["name"]]}
    change.planned.append(planned)
    primary = inner.get("primary", count == 1)
    delete_option = inner.get("deleteOption", "Delete")
    return {"id": nic_id, "properties": {"primary": primary, "deleteOption": delete_option}}


def _plan_public_ip(change: Change, item: dict[str, Any]) -> str:
    group = f"/subscriptions/{change.subscription}/resourceGroups/{change.path.resource_group}"
    inner = item.get("properties") or {}
    address_id = f"{group}/providers/{PUBLIC_IP}/{item.get('name', '')}"
    kept = ("idleTimeoutInMinutes", "publicIPAddressVersion", "publicIPAllocationMethod", "ipTags", "publicIPPrefix")
    body = {
        "location": change.body["location"],
        "sku": item.get("sku") or {"name": "Standard", "tier": "Regional"},
        "properties": {key: inner[key] for key in kept if inner.get(key) is not None},
    }
    label = bodies.get(inner, "dnsSettings.domainNameLabel")
    if label:
        body["properties"]["dnsSettings"] = {"domainNameLabel": label}
    change.planned.append(change.engine.plan(address_id, body))
    if inner.get("deleteOption", "Delete") == "Delete":
        change.internal.setdefault("addressesToDelete", []).append(address_id)
    return address_id


def plan_os_disk(change: Change, size: Size) -> None:
    """Check the OS disk of a VM, and plan it where it is made from an image."""
    storage = change.properties.setdefault("storageProfile", {})
    disk = storage.setdefault("osDisk", {"createOption": "FromImage"})
    disk.setdefault("caching", "ReadWrite")
    size_gb, os_type = image_facts(change.engine, storage.get("imageReference") or {})
    disk.setdefault("osType", bodies.get(change.old, "storageProfile.osDisk.osType") or os_type)
    ephemeral = bool(bodies.get(disk, "diffDiskSettings.option"))
    disk.setdefault("deleteOption", "Delete" if ephemeral else "Detach")
    if change.exists:
        # The disk stays the VM's, however little of it a later PUT repeats.
        if kept := bodies.get(change.old, "storageProfile.osDisk.managedDisk"):
            disk["managedDisk"] = {**kept, **(disk.get("managedDisk") or {})}
        if name := bodies.get(change.old, "storageProfile.osDisk.name"):
            disk.setdefault("name", name)
        disk.setdefault("diskSizeGB", bodies.get(change.old, "storageProfile.osDisk.diskSizeGB"))
        return
    disk.setdefault("name", f"{change.path.name}_OsDisk_1_{change.engine.guid().replace('-', '')}")
    disk.setdefault("diskSizeGB", size_gb)
    if int(disk["diskSizeGB"]) < size_gb:
        raise errors.bad_request(
            "InvalidParameter",
            f"The specified disk size {disk['diskSizeGB']} GB is smaller than the size of the corresponding disk in "
            f"the VM image: {size_gb} GB. This is not allowed. Please choose equal or greater size or do not specify "
            "an explicit size.",
            target="osDisk.diskSizeGB",
        )
    if ephemeral:
        check_ephemeral(disk, size)
        disk.setdefault("managedDisk", {"storageAccountType": "Standard_LRS"})
    elif disk.get("createOption") == "Attach":
        disks.require_attachable(change.engine, str(bodies.get(disk, "managedDisk.id", "")), change.id)
    else:
        _plan_disk(change, disk, {"createOption": "FromImage"})


def image_facts(engine: Engine, reference: dict[str, Any]) -> tuple[int, str]:
    """Size in GB and operating system of the disk in an image."""
    row = images.find(engine, reference) if reference.get("publisher") else None
    if row is not None:
        return int(row["sizeGb"]), str(row["osType"])
    image = engine.store.get(str(reference.get("id", "")))
    if image is None:
        return images.DEFAULT_OS_DISK_GB, "Linux"
    disk = bodies.get(image.properties, "storageProfile.osDisk") or bodies.get(
        image.properties, "storageProfile.osDiskImage"
    )
    parent = engine.store.get(image.parent)
    os_type = (
        bodies.get(disk, "osType")
        or image.properties.get("osType")
        or (parent.properties.get("osType") if parent is not None else None)
    )
    size_gb = bodies.get(disk, "diskSizeGB") or bodies.get(disk, "sizeInGB") or images.DEFAULT_OS_DISK_GB
    return int(size_gb), str(os_type or "Linux")


def check_ephemeral(disk: dict[str, Any], size: Size) -> None:
    """An ephemeral OS disk must fit on the host's own disks."""
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
    disk_id = f"{group}/providers/{DISK}/{disk['name']}"
    sku = bodies.get(disk, "managedDisk.storageAccountType") or "Premium_LRS"
    body: dict[str, Any] = {
        "location": change.body["location"],
        "sku": {"name": sku},
        "tags": change.body.get("tags"),
        "properties": {"creationData": creation, "diskSizeGB": disk.get("diskSizeGB")},
    }
    if change.body.get("zones"):
        body["zones"] = change.body["zones"]
    if disk.get("osType"):
        body["properties"]["osType"] = disk["osType"]
    planned = change.engine.plan(disk_id, body, seconds=0.0)
    disk.setdefault("diskSizeGB", planned.properties.get("diskSizeGB"))
    planned.internal["managedBy"] = change.id
    change.planned.append(planned)
    disk["managedDisk"] = {**(disk.get("managedDisk") or {}), "storageAccountType": sku, "id": disk_id}


def plan_data_disks(change: Change, size: Size) -> None:
    """Check the data disks of a VM, and plan the new ones."""
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
        _plan_data_disk(change, disk, before.get(disk["lun"]))


def _plan_data_disk(change: Change, disk: dict[str, Any], before: dict[str, Any] | None) -> None:
    """One data disk: it was there before, or exists already, or is made empty or as a copy."""
    reference = bodies.get(disk, "managedDisk.id")
    if before is not None and reference in (None, bodies.get(before, "managedDisk.id")):
        for name in ("managedDisk", "name", "diskSizeGB", "createOption"):
            disk.setdefault(name, before.get(name))
        return
    if disk.setdefault("createOption", "Empty") == "Attach":
        found = disks.require_attachable(change.engine, str(reference or ""), change.id)
        disk.setdefault("name", found.name)
        disk.setdefault("diskSizeGB", found.properties.get("diskSizeGB"))
        return
    disk.setdefault("name", f"{change.path.name}_disk{disk['lun'] + 2}_{change.engine.guid().replace('-', '')}")
    source = bodies.get(disk, "sourceResource.id")
    if source is None:
        disk.setdefault("diskSizeGB", images.DEFAULT_OS_DISK_GB)
        _plan_disk(change, disk, {"createOption": "Empty"})
    else:
        _plan_disk(change, disk, {"createOption": disk["createOption"], "sourceResourceId": source})


# -- once the write is accepted --------------------------------------------------------------------------------------


def follow_disks(change: Change, vm: Resource) -> None:
    """Note on the disks which VM has them now."""
    engine = change.engine
    wanted = {reference.lower() for reference, _ in disk_references(vm.properties)}
    for reference in sorted(wanted):
        disk = engine.store.get(reference)
        if disk is not None:
            disks.attach(engine, disk, vm.id)
    for reference, _ in disk_references(change.old):
        disk = engine.store.get(reference)
        if disk is not None and reference.lower() not in wanted:
            disks.detach(engine, disk, vm.id)


def let_go(engine: Engine, vm: Resource) -> None:
    """The VM is gone: what it was told to take with it goes too, the rest is free."""
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
        disks.detach(engine, disk, vm.id)
        if option == "Delete" and not disks.owners(disk):
            engine.remove(disk)
