"""Step 3 of the migration guide: one file system for each storage tier, and how machines mount it.

Pure; knows the network and nothing of who mounts. Data-bearing resources are marked as retained unless their tier says
that the data may go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hpc_operator.api import StorageTier
from hpc_operator.api.common import parse_quantity
from hpc_operator.api.storage_tier import ExistingNfs, ManagedLustre, NetAppFiles
from hpc_operator.blueprint.infrastructure import Network
from hpc_operator.blueprint.names import MOUNT_PATH_TAG, PURPOSE_TAG, Site
from hpc_operator.blueprint.vocabulary import MountPoint
from hpc_operator.graph import Owner, Resource, Step, Text, parent_id

_STEP: Final = Step.STORAGE
_ACCOUNT: Final = "netapp"
_TEBIBYTE: Final = 2**40
_ACCOUNTS: Final = "Microsoft.NetApp/netAppAccounts"
_POOLS: Final = f"{_ACCOUNTS}/capacityPools"
_VOLUMES: Final = f"{_POOLS}/volumes"
_SUFFIX_LENGTH: Final = 6  # with the longest name of a tier it is 54, and Azure takes 64 for a pool
_LUSTRE: Final = "Microsoft.StorageCache/amlFilesystems"

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

    A tier that has no subnet is left out: it has a problem and was never made. One that is attached needs none.
    """
    resources: list[Resource] = []
    mounts: dict[str, MountPoint] = {}
    pooled: list[StorageTier] = []
    for tier in tiers:
        spec, attached = tier.spec, tier.spec.attach is not None
        if spec.net_app_files is not None and (attached or network.net_app is not None):
            pooled.append(tier)
            made, mount = _volume(site, network, tier, spec.net_app_files)
        elif spec.managed_lustre is not None and (attached or network.lustre is not None):
            made, mount = _lustre(site, network, tier, spec.managed_lustre)
        elif spec.existing_nfs is not None:
            mounts[tier.metadata.name] = _existing_nfs(tier, spec.existing_nfs)
            continue
        else:
            continue
        resources.append(made)
        mounts[tier.metadata.name] = mount
    return Storage((*_accounts_and_pools(site, pooled), *resources), mounts)


def in_other_accounts(site: Site, tiers: Sequence[StorageTier]) -> dict[str, str]:
    """Return the ids of the pools in accounts of others, by the lower-case ids that they would have in ours.

    Such an account may serve several environments, so that their pools need different names.
    """
    found = {}
    for tier in tiers:
        name, spec = tier.metadata.name, tier.spec.net_app_files
        if spec is not None and spec.account is not None and tier.spec.attach is None:
            pool = site.globally_unique(f"{name}-", len(name) + _SUFFIX_LENGTH)
            found[site.id(_POOLS, _ACCOUNT, name).lower()] = f"{spec.account}/capacityPools/{pool}"
    return found


def attached(site: Site, tiers: Sequence[StorageTier]) -> dict[str, str]:
    """Return the ids of the attached file systems and their pools, by the lower-case ids that new ones would get."""
    found = {}
    for tier in tiers:
        name, there = tier.metadata.name, tier.spec.attach
        if there is None:
            continue
        if tier.spec.net_app_files is not None:
            found[site.id(_VOLUMES, _ACCOUNT, name, name).lower()] = there
            found[site.id(_POOLS, _ACCOUNT, name).lower()] = str(parent_id(there))
        else:
            found[site.id(_LUSTRE, name).lower()] = there
    return found


def _resource(
    site: Site, tier: StorageTier, resource_type: str, *names: str, holds_data: bool = True, **body: Any
) -> Resource:
    return site.resource(
        resource_type,
        *names,
        step=_STEP,
        owner=Owner("StorageTier", tier.metadata.name),
        ownership={PURPOSE_TAG: tier.spec.purpose, MOUNT_PATH_TAG: tier.spec.mount_path},
        # What holds no data of its own, such as a pool, stays because of what stands upon it.
        retained=holds_data and tier.spec.deletion_policy == "Retain",
        holds_data=holds_data,
        **body,
    )


def _accounts_and_pools(site: Site, tiers: Sequence[StorageTier]) -> Iterator[Resource]:
    """Yield the NetApp account of the environment, those of others, and the pools.

    Volumes that are attached may have one pool: it belongs to the first tier then, and is as large as all of them.
    """
    shared: dict[str, list[StorageTier]] = {}
    for tier in sorted(tiers, key=lambda item: item.metadata.name):
        shared.setdefault(site.id(_POOLS, _ACCOUNT, tier.metadata.name).lower(), []).append(tier)
    pools = [_pool(site, together) for together in shared.values()]
    ours = site.id(_ACCOUNTS, _ACCOUNT)
    for key, account in {item.lower(): item for item in (str(parent_id(pool.id)) for pool in pools)}.items():
        if key == ours.lower():
            yield site.resource(_ACCOUNTS, _ACCOUNT, step=_STEP, properties={})
        else:
            yield site.referenced(account, _STEP)
    yield from pools


def _pool(site: Site, tiers: Sequence[StorageTier]) -> Resource:
    specs = [tier.spec.net_app_files for tier in tiers if tier.spec.net_app_files]
    pool = _resource(
        site,
        tiers[0],
        _POOLS,
        _ACCOUNT,
        tiers[0].metadata.name,
        holds_data=False,
        properties={
            "serviceLevel": specs[0].service_level,
            "size": sum(parse_quantity(spec.capacity) for spec in specs),
            "qosType": "Auto",
        },
    )
    return replace(pool, retained=any(tier.spec.deletion_policy == "Retain" for tier in tiers))


def _volume(site: Site, network: Network, tier: StorageTier, spec: NetAppFiles) -> tuple[Resource, MountPoint]:
    name = tier.metadata.name
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
    made_with: dict[str, Any] = {}
    if network.net_app is not None and tier.spec.attach is None:
        made_with = {
            "creationToken": name,
            "subnetId": network.net_app.ref(),
            "networkFeatures": "Standard",
            "unixPermissions": "0755",  # Azure's own default, 0770, lets in root alone
        }
    volume = _resource(
        site,
        tier,
        _VOLUMES,
        _ACCOUNT,
        name,
        name,
        properties={
            **made_with,
            "serviceLevel": spec.service_level,
            "usageThreshold": parse_quantity(spec.capacity),
            "protocolTypes": [spec.protocol],
            "exportPolicy": {"rules": [rule]},
        },
    )
    # Asked, because one that is attached has the export path of the tier that it was made for.
    path = volume.ref("properties", "creationToken")
    source = Text((volume.ref("properties", "mountTargets", 0, "ipAddress"), ":/", path))
    capacity = volume.ref("properties", "usageThreshold")
    return volume, MountPoint(source, "nfs", _NET_APP_OPTIONS[spec.protocol], tier.spec.mount_path, capacity)


def _lustre(site: Site, network: Network, tier: StorageTier, spec: ManagedLustre) -> tuple[Resource, MountPoint]:
    window = spec.maintenance_window
    made_with = {"filesystemSubnet": network.lustre.ref()} if network.lustre and tier.spec.attach is None else {}
    file_system = _resource(
        site,
        tier,
        _LUSTRE,
        tier.metadata.name,
        sku={"name": f"AMLFS-Durable-Premium-{spec.throughput_per_ti_b}"},
        properties={
            **made_with,
            "storageCapacityTiB": parse_quantity(spec.capacity) >> 40,
            "maintenanceWindow": {"dayOfWeek": window.day_of_week, "timeOfDayUTC": window.time_of_day},
        },
    )
    source = Text((file_system.ref("properties", "clientInfo", "mgsAddress"), "@tcp:/lustrefs"))
    capacity = file_system.ref("properties", "storageCapacityTiB")
    return file_system, MountPoint(source, "lustre", _LUSTRE_OPTIONS, tier.spec.mount_path, capacity, _TEBIBYTE)


def _existing_nfs(tier: StorageTier, spec: ExistingNfs) -> MountPoint:
    return MountPoint(Text((f"{spec.server}:{spec.export_path}",)), "nfs", _NFS_OPTIONS, tier.spec.mount_path)
