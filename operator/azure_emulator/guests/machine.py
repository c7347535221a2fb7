"""What the emulated Azure says of a VM: its addresses, disks, user-data and neighbours, and what a mount means.

Reads the store; changes nothing and starts nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure_emulator import bodies
from azure_emulator.arm_path import parent_of
from azure_emulator.guests.description import DataDisk, Interface, Machine
from azure_emulator.guests.directory import key_of
from azure_emulator.providers.compute.sizes import SIZES

if TYPE_CHECKING:
    from azure_emulator.store import Resource, Store

VMS = ("Microsoft.Compute/virtualMachines", "Microsoft.Compute/virtualMachineScaleSets/virtualMachines")
VOLUME = "Microsoft.NetApp/netAppAccounts/capacityPools/volumes"
LUSTRE = "Microsoft.StorageCache/amlFilesystems"
SHARE = "Microsoft.Storage/storageAccounts/fileServices/shares"
CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"
ACCOUNT = "Microsoft.Storage/storageAccounts"
VAULT = "Microsoft.KeyVault/vaults"
ZONE = "Microsoft.Network/privateDnsZones"
# What Azure's own name service calls a VM within its virtual network.
INTERNAL_SUFFIX = "internal.cloudapp.net"

_REMOTE = re.compile(r"^(?P<host>[^:/@]+)(?P<lustre>@tcp\d*)?(?::[^:/]+)*:(?P<export>/.*)$")
# A new volume's root is root's alone, others' too: NetApp's default, and that of NFS shares.
_NETAPP_MODE, _SHARE_MODE = 0o770, 0o755


def identity_of(resource: Resource) -> str:
    """Differs between a resource and a later one of the same name."""
    return str(resource.properties.get("vmId") or resource.created)


def all_machines(store: Store) -> list[Resource]:
    """Every VM, those of Uniform scale sets too."""
    return [vm for kind in VMS for vm in store.of_type(kind)]


def machine_key(vm: Resource) -> str:
    """File name of a VM's place."""
    return key_of(vm.name, vm.id, identity_of(vm))


def disk_key(store: Store, vm: Resource, disk: dict[str, Any]) -> str:
    """File name of a disk's place: a managed disk keeps it from VM to VM, another one lives and dies with its VM."""
    resource = store.get(str(bodies.get(disk, "managedDisk.id", "")))
    if resource is None:
        return f"{machine_key(vm)}-os"
    return key_of(resource.name, resource.id, str(resource.created))


def describe(store: Store, vm: Resource, trust: str = "") -> Machine:
    """The description of a VM."""
    profile = vm.properties.get("osProfile") or {}
    storage = vm.properties.get("storageProfile") or {}
    secrets = vm.internal.get("secrets") or {}
    interfaces, network = _interfaces(store, vm)
    size = SIZES.get(str(bodies.get(vm.properties, "hardwareProfile.vmSize", "")).lower())
    keys = bodies.get(profile, "linuxConfiguration.ssh.publicKeys") or []
    return Machine(
        id=vm.id,
        key=machine_key(vm),
        name=vm.name,
        host_name=str(profile.get("computerName") or vm.name),
        instance_id=str(vm.properties.get("vmId") or machine_key(vm)),
        os_disk=disk_key(store, vm, storage.get("osDisk") or {}),
        location=vm.location,
        size=size.name if size is not None else "",
        network=network,
        gateways=gateways(store, network),
        interfaces=interfaces,
        data_disks=data_disks(store, vm),
        temporary_disk=size is None or size.local_disk_mb > 0,
        user_data=str(secrets.get("properties.osProfile.customData") or vm.properties.get("userData")
                      or secrets.get("properties.userData") or ""),
        trust=trust,
        admin=str(profile.get("adminUsername") or ""),
        admin_password=str(secrets.get("properties.osProfile.adminPassword") or ""),
        admin_keys=tuple(str(key.get("keyData", "")).strip() for key in keys if key.get("keyData")),
    )  # fmt: skip


def data_disks(store: Store, vm: Resource) -> tuple[DataDisk, ...]:
    """The data disks that are attached."""
    disks = bodies.get(vm.properties, "storageProfile.dataDisks") or []
    return tuple(
        DataDisk(int(disk["lun"]), disk_key(store, vm, disk)) for disk in disks if bodies.get(disk, "managedDisk.id")
    )


def _configurations(store: Store, vm: Resource) -> Iterator[dict[str, Any]]:
    """IP configurations of a VM, the primary one of its primary interface first."""
    references = bodies.get(vm.properties, "networkProfile.networkInterfaces") or []
    ordered = sorted(references, key=lambda item: not bodies.get(item, "properties.primary", default=False))
    for reference in ordered:
        nic = store.get(str(reference.get("id", "")))
        rows = (nic.properties.get("ipConfigurations") or []) if nic is not None else []
        yield from sorted((row["properties"] for row in rows), key=lambda row: not row.get("primary"))[:1]


def _interfaces(store: Store, vm: Resource) -> tuple[tuple[Interface, ...], str]:
    found, network = [], ""
    for row in _configurations(store, vm):
        subnet = store.get(str(bodies.get(row, "subnet.id", "")))
        address = row.get("privateIPAddress")
        range_ = _range_of(subnet, str(address)) if subnet is not None and address else None
        if subnet is not None and range_ is not None:
            network = network or subnet.parent.lower()
            found.append(Interface(str(address), range_.prefixlen, str(range_[1])))
    return tuple(found), network


def _ranges(subnet: Resource) -> list[ipaddress.IPv4Network]:
    texts = subnet.properties.get("addressPrefixes") or [subnet.properties.get("addressPrefix")]
    networks = [ipaddress.ip_network(str(text), strict=False) for text in texts if text]
    return [network for network in networks if isinstance(network, ipaddress.IPv4Network)]


def _range_of(subnet: Resource, address: str) -> ipaddress.IPv4Network | None:
    return next((one for one in _ranges(subnet) if ipaddress.ip_address(address) in one), None)


def gateways(store: Store, network: str) -> tuple[str, ...]:
    """First address of each subnet of a virtual network, with its prefix length: Azure keeps it for the gateway."""
    subnets = store.children(network, "Microsoft.Network/virtualNetworks/subnets") if network else []
    return tuple(f"{one[1]}/{one.prefixlen}" for subnet in subnets for one in _ranges(subnet) if one.num_addresses > 1)


# -- names -----------------------------------------------------------------------------------------------------------


def hosts(store: Store, machine: Machine, guests: Iterable[Machine]) -> list[tuple[str, list[str]]]:
    """What a guest finds by name: itself, the other guests of its network, and the records of private zones."""
    rows: dict[str, list[str]] = {}
    neighbours = sorted((one for one in guests if one.network == machine.network), key=lambda one: one.name)
    for one in (machine, *(other for other in neighbours if other.id != machine.id)):
        if one.address:
            rows.setdefault(one.address, []).extend([one.host_name, f"{one.host_name}.{INTERNAL_SUFFIX}"])
    for name, address in _records(store, machine, neighbours):
        rows.setdefault(address, []).append(name)
    planes = list(_data_planes(store))
    if planes:
        rows.setdefault("127.0.0.1", []).extend(planes)
    return [(address, list(dict.fromkeys(names))) for address, names in rows.items()]


def _data_planes(store: Store) -> Iterator[str]:
    """Names below localhost at which this emulator serves data planes: few libraries know that they mean loopback."""
    for vault in store.of_type(VAULT):
        yield f"{vault.name.lower()}.vault.localhost"
    for account in store.of_type(ACCOUNT):
        for address in (account.properties.get("primaryEndpoints") or {}).values():
            host = urlsplit(str(address)).hostname or ""
            if host.endswith(".localhost"):
                yield host


def _records(store: Store, machine: Machine, neighbours: list[Machine]) -> Iterator[tuple[str, str]]:
    for zone in store.of_type(ZONE):
        links = [
            link for link in store.children(zone.id, f"{ZONE}/virtualNetworkLinks")
            if bodies.same(bodies.get(link.properties, "virtualNetwork.id"), machine.network)
        ]  # fmt: skip
        if not links:
            continue
        for record in store.children(zone.id, f"{ZONE}/A"):
            for row in record.properties.get("aRecords") or []:
                name = zone.name if record.name == "@" else f"{record.name}.{zone.name}"
                if "*" not in name and row.get("ipv4Address"):
                    yield name, str(row["ipv4Address"])
        for record in store.children(zone.id, f"{ZONE}/CNAME"):
            target = str(bodies.get(record.properties, "cnameRecord.cname", ""))
            for one in neighbours:
                if target.partition(".")[0] == one.host_name and one.address:
                    yield f"{record.name}.{zone.name}", one.address
        if any(link.properties.get("registrationEnabled") for link in links):
            for one in neighbours:
                if one.address:
                    yield f"{one.host_name}.{zone.name}", one.address


# -- mounts ----------------------------------------------------------------------------------------------------------


class MountError(Exception):
    """Nothing there that could be mounted; the text is what the mount command says."""


def share_of(store: Store, machine: Machine, source: str, kind: str) -> tuple[str, int, str]:
    """The share that an address means: its key, the mode of a new one's root, and a path below it.

    Raises
    ------
    MountError
        There is none that this VM can reach.
    """
    match = _REMOTE.match(source)
    if match is None:
        message = f"mount.{kind}: {source} is not understood here; write server:/export"
        raise MountError(message)
    host, export = match["host"], match["export"].rstrip("/") or "/"
    address = _address(store, machine, host)
    if match["lustre"]:
        return _lustre(store, machine, address, export, source)
    for find in (_volume, _storage):
        found = find(store, machine, host if find is _storage else address, export)
        if found is not None:
            return found
    name = "nfs" if kind in ("", "auto") else kind
    if _answers(store, machine, host, address):
        message = f"mount.{name}: access denied by server while mounting {source}"
        raise MountError(message)
    message = f"mount.{name}: Connection timed out ({host} is no server of the emulated network)"
    raise MountError(message)


def _address(store: Store, machine: Machine, host: str) -> str:
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return next((address for address, names in hosts(store, machine, ()) if host in names), host)


def _reachable(store: Store, machine: Machine, subnet_id: str) -> bool:
    """Whether a subnet is in the VM's network or in one that is peered with it."""
    network = parent_of(subnet_id).lower()
    if network == machine.network:
        return True
    peerings = store.children(machine.network, "Microsoft.Network/virtualNetworks/virtualNetworkPeerings")
    return any(
        bodies.same(bodies.get(peering.properties, "remoteVirtualNetwork.id"), network)
        and peering.properties.get("peeringState") == "Connected"
        for peering in peerings
    )


def _below(export: str, root: str) -> str | None:
    if export == root:
        return ""
    return export[len(root) + 1 :] if export.startswith(f"{root}/") else None


def _volume(store: Store, machine: Machine, address: str, export: str) -> tuple[str, int, str] | None:
    for volume in store.of_type(VOLUME):
        targets = [str(target.get("ipAddress")) for target in volume.properties.get("mountTargets") or []]
        inner = _below(export, f"/{volume.properties.get('creationToken')}")
        if address in targets and inner is not None and _reachable(store, machine, str(volume.properties["subnetId"])):
            mode = str(volume.properties.get("unixPermissions") or "")
            return share_key(volume), int(mode, 8) if mode.isdigit() else _NETAPP_MODE, inner
    return None


def _lustre(store: Store, machine: Machine, address: str, export: str, source: str) -> tuple[str, int, str]:
    for system in store.of_type(LUSTRE):
        subnet = str(bodies.get(system.properties, "filesystemSubnet", ""))
        if bodies.get(system.properties, "clientInfo.mgsAddress") == address and _reachable(store, machine, subnet):
            name, _, inner = export.strip("/").partition("/")
            if name != "lustrefs":
                message = f"mount.lustre: mount {source} failed: No such file or directory"
                raise MountError(message)
            return share_key(system), _SHARE_MODE, inner
    message = f"mount.lustre: mount {source} failed: Input/output error\nIs the MGS running?"
    raise MountError(message)


def _storage(store: Store, machine: Machine, host: str, export: str) -> tuple[str, int, str] | None:
    """A share or container of a storage account, by a name of the account."""
    for account in store.of_type(ACCOUNT):
        for service, kind in (("file", SHARE), ("blob", CONTAINER)):
            if not _account_names(account, service) & _names(store, machine, host):
                continue
            if service == "blob" and not account.properties.get("isNfsV3Enabled"):
                continue
            for one in store.children(f"{account.id}/{service}Services/default", kind):
                inner = _below(export, f"/{account.name}/{one.name}")
                if inner is not None and (service == "blob" or one.properties.get("enabledProtocols") == "NFS"):
                    return share_key(one), _SHARE_MODE, inner
    return None


def _account_names(account: Resource, service: str) -> set[str]:
    address = str(bodies.get(account.properties, f"primaryEndpoints.{service}", ""))
    found = {f"{account.name}.{part}{service}.core.windows.net" for part in ("", "privatelink.")}
    return {*found, urlsplit(address).hostname or ""} - {""}


def _names(store: Store, machine: Machine, host: str) -> set[str]:
    """A host's name or, for the address of a private endpoint, the names that its zone gives it."""
    return {
        host.lower(),
        *(name.lower() for address, names in hosts(store, machine, ()) if address == host for name in names),
    }


def _answers(store: Store, machine: Machine, host: str, address: str) -> bool:
    """Whether there is a server at all."""
    servers = {
        str(target.get("ipAddress")) for volume in store.of_type(VOLUME)
        for target in volume.properties.get("mountTargets") or []
        if _reachable(store, machine, str(volume.properties["subnetId"]))
    }  # fmt: skip
    accounts = {
        name for account in store.of_type(ACCOUNT) for service in ("file", "blob")
        for name in _account_names(account, service)
    }  # fmt: skip
    return address in servers or bool(accounts & _names(store, machine, host))


def share_key(resource: Resource) -> str:
    """File name of a share's place."""
    return key_of(resource.name, resource.id, str(resource.created))


def kept(store: Store) -> tuple[set[str], set[str], set[str]]:
    """Keys of the machines, disks and shares that exist: what else has a place belongs to nobody any more."""
    machines, disks = set(), set()
    for vm in all_machines(store):
        machines.add(machine_key(vm))
        disks.add(f"{machine_key(vm)}-os")
    for disk in store.of_type("Microsoft.Compute/disks"):
        disks.add(key_of(disk.name, disk.id, str(disk.created)))
    shares = {share_key(one) for kind in (VOLUME, LUSTRE, SHARE, CONTAINER) for one in store.of_type(kind)}
    return machines, disks, shares
