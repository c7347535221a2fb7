"""Step 3 of the migration guide: one file system for each storage tier, and how machines mount it.

Pure; knows the network and nothing of who mounts. Data-bearing resources are marked as retained unless their tier says
that the data may go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hpc_operator.api import StorageTier
from hpc_operator.api.common import parse_quantity
from hpc_operator.api.storage_tier import ExistingNfs, ManagedLustre, NetAppFiles
from hpc_operator.blueprint.infrastructure import Network
from hpc_operator.blueprint.names import Site
from hpc_operator.blueprint.vocabulary import MountPoint
from hpc_operator.graph import Owner, Resource, Step, Text

_STEP: Final = Step.STORAGE
_ACCOUNT: Final = "netapp"
_TEBIBYTE: Final = 2**40
_POOLS: Final = "Microsoft.NetApp/netAppAccounts/capacityPools"

# Microsoft's "Linux NFS mount options best practices for Azure NetApp Files": 256 KiB transfers, hard mounts, and eight
# connections to one address for parallel jobs.
_NFS_OPTIONS: Final = "rw,hard,tcp,_netdev"
_NET_APP_OPTIONS: Final = {
    "NFSv3": f"{_NFS_OPTIONS},vers=3,rsize=262144,wsize=262144,nconnect=8",
    "NFSv4.1": f"{_NFS_OPTIONS},vers=4.1,rsize=262144,wsize=262144,nconnect=8",
}
_LUSTRE_OPTIONS: Final = "noatime,flock,_netdev"  # Microsoft's "Connect clients to an Azure Managed Lustre file system"


@dataclass(frozen=True)
class Storage:
    """The file systems, and how they are mounted by the tier's `metadata.name`."""

    resources: tuple[Resource, ...]
    mounts: Mapping[str, MountPoint]


def build(site: Site, network: Network, tiers: Sequence[StorageTier]) -> Storage:
    """Return the resources of this step.

    A tier that has no subnet is left out: it has a problem and was never made.
    """
    resources: list[Resource] = []
    mounts: dict[str, MountPoint] = {}
    if network.net_app is not None:
        resources.append(site.resource("Microsoft.NetApp/netAppAccounts", _ACCOUNT, step=_STEP, properties={}))
    for tier in tiers:
        spec = tier.spec
        if spec.net_app_files is not None and network.net_app is not None:
            made, mount = _net_app(site, network, network.net_app, tier, spec.net_app_files)
        elif spec.managed_lustre is not None and network.lustre is not None:
            made, mount = _lustre(site, network.lustre, tier, spec.managed_lustre)
        elif spec.existing_nfs is not None:
            made, mount = [], _existing_nfs(tier, spec.existing_nfs)
        else:
            continue
        resources += made
        mounts[tier.metadata.name] = mount
    return Storage(tuple(resources), mounts)


def _resource(
    site: Site, tier: StorageTier, resource_type: str, *names: str, holds_data: bool = True, **body: Any
) -> Resource:
    return site.resource(
        resource_type,
        *names,
        step=_STEP,
        owner=Owner("StorageTier", tier.metadata.name),
        ownership={"purpose": tier.spec.purpose},
        retained=tier.spec.deletion_policy == "Retain",
        holds_data=holds_data,
        **body,
    )


def _net_app(
    site: Site, network: Network, subnet: Resource, tier: StorageTier, spec: NetAppFiles
) -> tuple[list[Resource], MountPoint]:
    name, size = tier.metadata.name, parse_quantity(spec.capacity)
    pool = _resource(
        site,
        tier,
        _POOLS,
        _ACCOUNT,
        name,
        holds_data=False,
        properties={"serviceLevel": spec.service_level, "size": size, "qosType": "Auto"},
    )
    is_v3 = spec.protocol == "NFSv3"
    rule = {
        "ruleIndex": 1,
        "allowedClients": network.clients,
        "nfsv3": is_v3,
        "nfsv41": not is_v3,
        "cifs": False,
        "unixReadOnly": False,
        "unixReadWrite": True,
        "hasRootAccess": True,  # administrators make the users' directories
    }
    volume = _resource(
        site,
        tier,
        f"{_POOLS}/volumes",
        _ACCOUNT,
        name,
        name,
        properties={
            "creationToken": name,
            "serviceLevel": spec.service_level,
            "usageThreshold": size,
            "subnetId": subnet.ref(),
            "protocolTypes": [spec.protocol],
            "networkFeatures": "Standard",
            "unixPermissions": "0755",  # Azure's own default, 0770, lets in root alone
            "exportPolicy": {"rules": [rule]},
        },
    )
    address = volume.ref("properties", "mountTargets", 0, "ipAddress")
    source = Text((address, f":/{name}"))
    capacity = volume.ref("properties", "usageThreshold")
    return [pool, volume], MountPoint(source, "nfs", _NET_APP_OPTIONS[spec.protocol], tier.spec.mount_path, capacity)


def _lustre(site: Site, subnet: Resource, tier: StorageTier, spec: ManagedLustre) -> tuple[list[Resource], MountPoint]:
    window = spec.maintenance_window
    file_system = _resource(
        site,
        tier,
        "Microsoft.StorageCache/amlFilesystems",
        tier.metadata.name,
        sku={"name": f"AMLFS-Durable-Premium-{spec.throughput_per_ti_b}"},
        properties={
            "storageCapacityTiB": parse_quantity(spec.capacity) >> 40,
            "filesystemSubnet": subnet.ref(),
            "maintenanceWindow": {"dayOfWeek": window.day_of_week, "timeOfDayUTC": window.time_of_day},
        },
    )
    address = file_system.ref("properties", "clientInfo", "mgsAddress")
    source = Text((address, "@tcp:/lustrefs"))
    capacity = file_system.ref("properties", "storageCapacityTiB")
    mount = MountPoint(source, "lustre", _LUSTRE_OPTIONS, tier.spec.mount_path, capacity, _TEBIBYTE)
    return [file_system], mount


def _existing_nfs(tier: StorageTier, spec: ExistingNfs) -> MountPoint:
    return MountPoint(Text((f"{spec.server}:{spec.export_path}",)), "nfs", _NFS_OPTIONS, tier.spec.mount_path)
