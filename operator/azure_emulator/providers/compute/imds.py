"""What the metadata service tells a machine about itself: the document at /metadata/instance, api 2021-02-01.

Built from the resources alone; who may ask, and in which format, is the metadata service's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies
from azure_emulator.arm_path import last_name, parse
from azure_emulator.providers.compute import instance_network, machines, scheduled_events
from azure_emulator.providers.compute.names import INSTANCE
from azure_emulator.providers.network import addresses

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource


def instance_metadata(engine: Engine, machine: Resource) -> dict[str, Any]:
    """The whole document."""
    return {"compute": compute(engine, machine), "network": network(engine, machine)}


def compute(engine: Engine, machine: Resource) -> dict[str, Any]:
    """What is under /metadata/instance/compute; every value is a string, or made of strings."""
    properties, path = machine.properties, parse(machine.id)
    image = bodies.get(properties, "storageProfile.imageReference") or {}
    profile = properties.get("osProfile") or {}
    linux = profile.get("linuxConfiguration") or {}
    tags = {str(key): str(value) for key, value in (machine.body.get("tags") or {}).items()}
    scale_set = _set_of(machine)
    domain = machines.fault_domain(engine, machine)
    plan = machine.body.get("plan") or {}
    return {
        "azEnvironment": "AzurePublicCloud",
        # Since 2020 custom data is not shown; user data is.
        "customData": "",
        "evictionPolicy": machines.eviction_policy(machine) if machines.is_spot(machine) else "",
        "extendedLocation": {"name": "", "type": ""},
        "host": {"id": str(bodies.get(properties, "host.id") or "")},
        "hostGroup": {"id": str(bodies.get(properties, "hostGroup.id") or "")},
        "isHostCompatibilityLayerVm": "false",
        "licenseType": str(properties.get("licenseType") or ""),
        "location": machine.location,
        "name": scheduled_events.name_of(machine),
        "offer": str(image.get("offer") or ""),
        "osProfile": {
            "adminUsername": str(profile.get("adminUsername") or ""),
            "computerName": str(profile.get("computerName") or ""),
            "disablePasswordAuthentication": _text(linux.get("disablePasswordAuthentication", False)),
        },
        "osType": str(bodies.get(properties, "storageProfile.osDisk.osType") or "Linux"),
        "placementGroupId": _placement_group(engine, scale_set),
        "plan": {name: str(plan.get(name) or "") for name in ("name", "product", "publisher")},
        "platformFaultDomain": str(domain if domain is not None else 0),
        "platformSubFaultDomain": "",
        "platformUpdateDomain": str(machine.internal.get("updateDomain", 0)),
        "priority": "Spot" if machines.is_spot(machine) else "Regular",
        "provider": "Microsoft.Compute",
        "publicKeys": [
            {"keyData": str(key.get("keyData") or ""), "path": str(key.get("path") or "")}
            for key in bodies.get(linux, "ssh.publicKeys") or []
        ],
        "publisher": str(image.get("publisher") or ""),
        "resourceGroupName": machine.resource_group,
        "resourceId": machine.id,
        "securityProfile": _security(properties),
        "sku": str(image.get("sku") or ""),
        "storageProfile": _storage(machine, image),
        "subscriptionId": str(path.subscription or ""),
        "tags": ";".join(f"{key}:{value}" for key, value in tags.items()),
        "tagsList": [{"name": key, "value": value} for key, value in tags.items()],
        "userData": str(properties.get("userData") or ""),
        "version": str(image.get("exactVersion") or image.get("version") or ""),
        "virtualMachineScaleSet": {"id": scale_set or ""},
        "vmId": str(properties.get("vmId") or ""),
        "vmScaleSetName": last_name(scale_set) if scale_set is not None else "",
        "vmSize": machines.size_of(machine).name,
        "zone": str((machine.body.get("zones") or [""])[0]),
    }  # fmt: skip


def _placement_group(engine: Engine, scale_set: str | None) -> str:
    """The placement group of a set has a GUID of its own; one group per set is all that is emulated."""
    found = engine.store.get(scale_set or "")
    return str(found.properties.get("uniqueId") or "") if found is not None else ""


def _set_of(machine: Resource) -> str | None:
    if machine.type == INSTANCE:
        return machine.parent
    reference = bodies.get(machine.properties, "virtualMachineScaleSet.id")
    return str(reference) if reference else None


def _text(value: object) -> str:
    return str(value).lower()


def _security(properties: dict[str, Any]) -> dict[str, str]:
    profile = properties.get("securityProfile") or {}
    uefi = profile.get("uefiSettings") or {}
    return {
        "encryptionAtHost": _text(bool(profile.get("encryptionAtHost"))),
        "secureBootEnabled": _text(bool(uefi.get("secureBootEnabled"))),
        "securityType": str(profile.get("securityType") or ""),
        "virtualTpmEnabled": _text(bool(uefi.get("vTpmEnabled"))),
    }


def _storage(machine: Resource, image: dict[str, Any]) -> dict[str, Any]:
    storage = machine.properties.get("storageProfile") or {}
    names = ("id", "offer", "publisher", "sku", "version")
    disk = storage.get("osDisk") or {}
    return {
        "dataDisks": [{**_disk(data), "lun": str(data.get("lun", 0))} for data in storage.get("dataDisks") or []],
        "imageReference": {name: str(image.get(name) or "") for name in names},
        "osDisk": {
            **_disk(disk), "osType": str(disk.get("osType") or "Linux"), "encryptionSettings": {"enabled": "false"},
            "diffDiskSettings": {"option": str(bodies.get(disk, "diffDiskSettings.option") or "")},
        },
        "resourceDisk": {"size": str(machines.size_of(machine).local_disk_mb * 1024)},
    }  # fmt: skip


def _disk(disk: dict[str, Any]) -> dict[str, Any]:
    managed = disk.get("managedDisk") or {}
    return {
        "caching": str(disk.get("caching") or "None"),
        "createOption": str(disk.get("createOption") or ""),
        "diskSizeGB": str(disk.get("diskSizeGB") or ""),
        "image": {"uri": ""},
        "managedDisk": {
            "id": str(managed.get("id") or ""), "storageAccountType": str(managed.get("storageAccountType") or ""),
        },
        "name": str(disk.get("name") or ""),
        "vhd": {"uri": ""},
        "writeAcceleratorEnabled": _text(bool(disk.get("writeAcceleratorEnabled"))),
    }  # fmt: skip


# -- network ---------------------------------------------------------------------------------------------------------


def network(engine: Engine, machine: Resource) -> dict[str, Any]:
    """What is under /metadata/instance/network: the primary interface first."""
    references = bodies.get(machine.properties, "networkProfile.networkInterfaces") or []
    ordered = sorted(references, key=lambda item: not bodies.get(item, "properties.primary"))
    found = [engine.store.get(str(item.get("id", ""))) for item in ordered]
    return {"interface": [_interface(engine, nic) for nic in found if nic is not None]}


def _interface(engine: Engine, nic: Resource) -> dict[str, Any]:
    shown = engine.view(nic)["properties"]
    configurations = nic.properties.get("ipConfigurations") or []
    subnets = [engine.store.get(str(bodies.get(item, "properties.subnet.id", ""))) for item in configurations]
    return {
        "ipv4": {
            "ipAddress": [
                {"privateIpAddress": str(bodies.get(item, "properties.privateIPAddress") or ""),
                 "publicIpAddress": _public(engine, item)}
                for item in configurations if bodies.get(item, "properties.privateIPAddressVersion") != "IPv6"
            ],
            "subnet": [
                {"address": str(prefix.network_address), "prefix": str(prefix.prefixlen)}
                for subnet in subnets if subnet is not None
                for prefix in addresses.prefixes(subnet)[:1]
            ],
        },
        "ipv6": {"ipAddress": []},
        "macAddress": str(shown.get("macAddress") or "").replace("-", ""),
    }  # fmt: skip


def _public(engine: Engine, configuration: dict[str, Any]) -> str:
    own = instance_network.public_address_of(configuration)
    if own is not None:
        return own
    address = engine.store.get(str(bodies.get(configuration, "properties.publicIPAddress.id") or ""))
    return str(address.properties.get("ipAddress") or "") if address is not None else ""
