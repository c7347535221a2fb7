"""NetApp volumes: sizes and room, protocols and export rules, where they are, and what moves or restores them.

There are no files in them: a volume is what Resource Manager shows of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import last_name, parent_of, parse
from azure_emulator.providers.netapp import export_rules
from azure_emulator.providers.netapp.common import (
    DAY,
    DELEGATION,
    GIB,
    NAME,
    POOL,
    SNAPSHOT,
    THROUGHPUT,
    TIB,
    VOLUME,
    invalid,
    long_name,
    require_room,
)
from azure_emulator.providers.netapp.pools import too_small
from azure_emulator.providers.network import addresses, is_delegated, links
from azure_emulator.providers.protocols import NETAPP
from azure_emulator.store import Resource
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation

MIN, MAX = 50 * GIB, 100 * TIB
LARGE_MIN, LARGE_MAX = 50 * TIB, 1024 * TIB
# A large volume grows by no more than this share of its lowest size. Setting `largeVolumeGrowth`.
LARGE_GROWTH = 0.30
MANUAL_THROUGHPUT = range(1, 4501)
COOLNESS_DAYS = range(2, 184)
# Assumption: the smallest pool for a volume with Basic network features, in TiB.
BASIC_POOL_TIB = 4
FILES_PER_TIB = 21_251_126
SIBLINGS = "(networkSiblingSet)"
UPDATE_SIBLINGS = Action(seconds=120, updating="Updating")
_TOKEN = re.compile(r"^[A-Za-z][A-Za-z0-9\-]{0,79}$")

# Assumptions: refusals of which no recording was found.
BAD_SUBNET = "InvalidSubnet"
TOKEN_EXISTS = "CreationTokenExists"  # noqa: S105 (an error code)
TOO_MUCH_THROUGHPUT = "ThroughputExceedsPool"
NO_DIRECTORY = "ActiveDirectoryNotFound"
MOVED_LATELY = "VolumePoolChangeTooEarly"
NOT_SMB = "VolumeIsNotSmb"
# A volume that starts while another one of its account is being created fails after so many seconds
# (terraform-provider-azurerm PR 33215). Setting `parallelVolumes` = true lets them through.
CONFLICT_SECONDS = 15.0
# A volume that went up to a higher service level goes down again only so long after it
# (azure-netapp-files/dynamic-change-volume-service-level; newer texts may say 24 h). Setting `downTierWaitSeconds`.
DOWN_TIER_WAIT_SECONDS = 7 * DAY


# -- what a write must fulfil ----------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    pool = change.engine.require(parse(change.path.parent))
    if pool.state != "Succeeded" and not change.exists:
        raise errors.ArmError(
            errors.PRECONDITION_FAILED, "PreconditionFailed",
            "Volume cannot be created in a pool that is not in state succeeded. "
            f"The capacity pool {pool.name} is in state {pool.state}.",
        )  # fmt: skip
    _check_size(change)
    _check_room(change, pool)
    _check_service(change, pool)
    export_rules.check(change)
    _check_protocols(change, pool)
    _check_zone(change)
    _check_protection(change)
    if not change.exists:
        _place(change, pool)


def _check_size(change: Change) -> None:
    size, large = change.properties["usageThreshold"], bool(change.properties.get("isLargeVolume"))
    low, high = (LARGE_MIN, LARGE_MAX) if large else (MIN, MAX)
    if not isinstance(size, int) or size % GIB or not low <= size <= high:
        raise invalid(
            size, "Volume.UsageThreshold", f"Must be a multiple of 1 GiB, from {low // GIB} GiB to {high // GIB} GiB."
        )
    if not large:
        return
    lowest = min(size, int(change.internal.get("lowest", size)))
    growth = float(change.engine.setting("largeVolumeGrowth", LARGE_GROWTH))
    if size > lowest * (1 + growth):
        raise invalid(
            size, "Volume.UsageThreshold",
            f"A large volume can grow to {1 + growth:.0%} of its lowest size, which was {lowest // GIB} GiB.",
        )  # fmt: skip
    change.internal["lowest"] = lowest


def _check_room(change: Change, pool: Resource) -> None:
    others = [one for one in change.engine.store.children(pool.id, VOLUME) if one.key != change.path.key]
    used = sum(int(volume.properties["usageThreshold"]) for volume in others)
    if used + change.properties["usageThreshold"] > int(pool.properties["size"]):
        raise too_small()
    if not change.exists:
        engine, location = change.engine, change.body["location"]
        require_room(engine, location, "volumesPerPool", len(others), "volume")
        count = len(engine.store.in_region(VOLUME, change.subscription, location))
        require_room(engine, location, "totalVolumesPerSubscription", count, "volume")


def _check_service(change: Change, pool: Resource) -> None:
    properties = change.properties
    properties.setdefault("serviceLevel", pool.properties["serviceLevel"])
    if properties["serviceLevel"] != pool.properties["serviceLevel"]:
        raise invalid(properties["serviceLevel"], "Volume.ServiceLevel", "Must be the service level of its pool.")
    if pool.properties.get("qosType") == "Auto":
        properties["throughputMibps"] = _auto_throughput(properties)
    else:
        _check_manual(change, pool)
    if properties.get("coolAccess"):
        if not pool.properties.get("coolAccess"):
            raise invalid("True", "Volume.CoolAccess", "The capacity pool must have cool access.")
        days = properties.setdefault("coolnessPeriod", 31)
        if days not in COOLNESS_DAYS:
            raise invalid(days, "Volume.CoolnessPeriod", "Must be from 2 to 183 days.")


def _auto_throughput(properties: dict[str, Any]) -> float:
    return round(int(properties["usageThreshold"]) / TIB * THROUGHPUT[properties["serviceLevel"]], 3)


def _check_manual(change: Change, pool: Resource) -> None:
    wanted = change.properties.get("throughputMibps")
    if not isinstance(wanted, int | float) or not MANUAL_THROUGHPUT[0] <= wanted <= MANUAL_THROUGHPUT[-1]:
        raise invalid(wanted, "Volume.ThroughputMibps", "In a pool with manual QoS it must be from 1 to 4500 MiB/s.")
    others = sum(
        float(volume.properties.get("throughputMibps") or 0)
        for volume in change.engine.store.children(pool.id, VOLUME) if volume.key != change.path.key
    )  # fmt: skip
    allowed = float(pool.properties["totalThroughputMibps"])
    if others + wanted > allowed:
        raise errors.bad_request(
            TOO_MUCH_THROUGHPUT,
            f"The volumes of capacity pool {pool.name} cannot have {others + wanted:g} MiB/s together: the pool has "
            f"{allowed:g} MiB/s.",
            target="throughputMibps",
        )


def _check_protocols(change: Change, pool: Resource) -> None:
    properties, protocols = change.properties, set(change.properties["protocolTypes"])
    if "CIFS" in protocols or properties.get("kerberosEnabled") or properties.get("ldapEnabled"):
        account = change.engine.require(parse(parent_of(pool.id)))
        if not account.properties.get("activeDirectories"):
            raise errors.bad_request(
                NO_DIRECTORY, f"The volume {change.path.name} needs an active directory in account {account.name}."
            )
    if properties.get("kerberosEnabled") and "NFSv4.1" not in protocols:
        raise invalid("True", "Volume.KerberosEnabled", "Kerberos needs NFSv4.1.")
    if properties["networkFeatures"] not in ("Basic", "Standard"):
        raise invalid(properties["networkFeatures"], "Volume.NetworkFeatures", "Must be Basic or Standard.")
    if properties["networkFeatures"] == "Basic" and int(pool.properties["size"]) < BASIC_POOL_TIB * TIB:
        raise invalid(
            "Basic", "Volume.NetworkFeatures", f"The capacity pool must have {BASIC_POOL_TIB} TiB or more for this."
        )


def _check_zone(change: Change) -> None:
    zones = change.body.get("zones") or []
    known = locations.zones(change.body["location"])
    if len(zones) > 1 or not set(zones) <= set(known):
        raise invalid(",".join(map(str, zones)), "Volume.Zones", f"Must be one of {', '.join(known) or 'none'}.")


def _check_protection(change: Change) -> None:
    """Policies and vaults that a volume names are those of its own account (that they exist, the engine checks)."""
    account = "/".join(change.id.split("/")[:-4]).lower()
    for path in ("snapshot.snapshotPolicyId", "backup.backupPolicyId", "backup.backupVaultId"):
        named = str(bodies.get(change.properties, f"dataProtection.{path}") or "")
        if named and not named.lower().startswith(f"{account}/"):
            raise invalid(named, f"Volume.DataProtection.{last_name(path.replace('.', '/'))}", "Must be in the NetApp "
                          "account of the volume.")  # fmt: skip


# -- creation --------------------------------------------------------------------------------------------------------


def _place(change: Change, pool: Resource) -> None:
    engine, properties = change.engine, change.properties
    subnet = _check_subnet(change)
    _check_token(change)
    if _creating(engine, parent_of(pool.id)) and not engine.setting("parallelVolumes", False):
        change.seconds = CONFLICT_SECONDS
        change.failure = errors.conflict(
            "Conflict",
            f"Unable to create volume '{change.path.name}'. Another volume creation is in progress. Please try again "
            "in a few minutes.",
        )
    change.internal["address"] = addresses.allot(engine, subnet, change.id)
    change.internal["addresses"] = [[subnet.key, change.internal["address"]]]
    zones = change.body.get("zones") or []
    properties |= {
        "fileSystemId": engine.guid(), "networkSiblingSetId": _sibling_set(engine, subnet) or engine.guid(),
        "isRestoring": False, "encrypted": True, "provisionedAvailabilityZone": zones[0] if zones else None,
        "storageToNetworkProximity": "T2", "effectiveNetworkFeatures": properties["networkFeatures"],
    }  # fmt: skip


def _sibling_set(engine: Engine, subnet: Resource) -> str | None:
    """Volumes in one subnet share a sibling set."""
    others = engine.store.referrers(subnet.id, VOLUME)
    return str(others[0].properties["networkSiblingSetId"]) if others else None


def _check_subnet(change: Change) -> Resource:
    subnet_id = str(change.properties["subnetId"])
    subnet = change.engine.store.get(subnet_id)
    if subnet is None:
        raise errors.invalid_reference(subnet_id, change.id)
    if not is_delegated(subnet, DELEGATION):
        raise errors.bad_request(
            BAD_SUBNET,
            f"The subnet {subnet.id} of volume {change.path.name} must be delegated to {DELEGATION}.",
            target="subnetId",
        )
    for volume in change.engine.store.of_type(VOLUME):
        other = str(volume.properties["subnetId"]).lower()
        if other != subnet.key and parent_of(other) == subnet.parent.lower():
            raise errors.bad_request(
                BAD_SUBNET,
                f"Only one subnet of a virtual network can be delegated to {DELEGATION}; {other} is used already.",
                target="subnetId",
            )
    change.properties["subnetId"] = subnet.id
    return subnet


def _check_token(change: Change) -> None:
    token, subnet = str(change.properties["creationToken"]), str(change.properties["subnetId"])
    if not _TOKEN.match(token):
        raise invalid(
            token, "Volume.CreationToken",
            'The file path name must begin with a letter and can contain letters, numbers, and hyphens ("-") only.',
        )  # fmt: skip
    other = token_holder(change.engine, token, subnet)
    if other is not None and other.key != change.path.key:
        raise errors.conflict(TOKEN_EXISTS, f"The creation token '{token}' is already used by volume {other.id}.")


def token_holder(engine: Engine, token: str, subnet_id: str) -> Resource | None:
    """The volume that has a file path in a subnet."""
    for volume in engine.store.of_type(VOLUME):
        same_subnet = str(volume.properties["subnetId"]).lower() == subnet_id.lower()
        if volume.properties["creationToken"] == token and same_subnet:
            return volume
    return None


def _creating(engine: Engine, account_id: str) -> bool:
    for pool in engine.store.children(account_id, POOL):
        for volume in engine.store.children(pool.id, VOLUME):
            running = engine.running(volume)
            if running is not None and running.verb == "PUT" and running.failure is None:
                return True
    return False


def _accepted(change: Change, volume: Resource) -> None:
    links.hold(change.engine, str(volume.properties["subnetId"]), DELEGATION)


def _finished(engine: Engine, volume: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    if volume.properties.get("mountTargets"):
        return
    account = engine.store.get(parent_of(volume.parent))
    directories = account.properties.get("activeDirectories") if account is not None else None
    server = None
    if "CIFS" in volume.properties["protocolTypes"] and directories:
        tail = volume.properties["fileSystemId"][:4]
        server = f"{directories[0]['smbServerName']}-{tail}.{directories[0]['domain']}"
    volume.properties["mountTargets"] = [{
        "mountTargetId": engine.guid(), "fileSystemId": volume.properties["fileSystemId"],
        "ipAddress": volume.internal["address"], "smbServerFqdn": server,
    }]  # fmt: skip


def _deleted(engine: Engine, volume: Resource) -> None:
    links.release_later(engine, str(volume.properties["subnetId"]), DELEGATION)


def _view(engine: Engine, volume: Resource, shown: dict[str, Any], query: Any) -> None:
    long_name(engine, volume, shown, query)
    properties = shown["properties"]
    properties["actualThroughputMibps"] = properties.get("throughputMibps")
    properties["maximumNumberOfFiles"] = max(1, properties["usageThreshold"] // TIB) * FILES_PER_TIB


# -- moving to another pool ------------------------------------------------------------------------------------------


def _pool_change(call: Call, volume: Resource) -> None:
    engine, target = call.engine, str((call.body or {}).get("newPoolResourceId", ""))
    pool = engine.store.get(target)
    if pool is None or pool.type != POOL:
        raise errors.invalid_reference(target, volume.id)
    if parent_of(pool.id).lower() != parent_of(volume.parent).lower() or pool.key == volume.parent.lower():
        raise invalid(
            target, "PoolChange.NewPoolResourceId",
            f"Must be another capacity pool of the NetApp account of volume {volume.name}.",
        )  # fmt: skip
    _refuse_early(engine, volume, pool)
    used = sum(int(other.properties["usageThreshold"]) for other in engine.store.children(pool.id, VOLUME))
    if used + int(volume.properties["usageThreshold"]) > int(pool.properties["size"]):
        raise too_small()
    if volume.properties.get("coolAccess") and not pool.properties.get("coolAccess"):
        raise invalid(target, "PoolChange.NewPoolResourceId", "The volume has cool access, and that pool has not.")
    volume.internal["newPool"] = pool.id


def _refuse_early(engine: Engine, volume: Resource, pool: Resource) -> None:
    wait = float(engine.setting("downTierWaitSeconds", DOWN_TIER_WAIT_SECONDS))
    raised = volume.internal.get("raisedAt")
    if raised is None or not _is_lower(pool.properties["serviceLevel"], volume.properties["serviceLevel"]):
        return
    if engine.now < raised + wait:
        raise errors.conflict(
            MOVED_LATELY,
            f"The volume {volume.name} was moved to a higher service level at {engine.clock.iso(raised)} and cannot be "
            f"moved to a lower one before {engine.clock.iso(raised + wait)}.",
        )


def _is_lower(level: str, than: str) -> bool:
    return THROUGHPUT[level] < THROUGHPUT[than]


def _pool_changed(engine: Engine, volume: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """Moving to another pool changes the id of a volume, because the pool is part of it."""
    pool = engine.store.get(volume.internal.pop("newPool"))
    if pool is None:
        return
    if _is_lower(volume.properties["serviceLevel"], pool.properties["serviceLevel"]):
        volume.internal["raisedAt"] = engine.now
    below, old = engine.store.below(volume.id), volume.id
    for resource in (volume, *below):
        engine.store.remove(resource)
        resource.id = f"{pool.id}/volumes/{volume.name}{resource.id[len(old) :]}"
        if resource is not volume:
            engine.store.save(resource)
    volume.properties["serviceLevel"] = pool.properties["serviceLevel"]
    if pool.properties.get("qosType") == "Auto":
        volume.properties["throughputMibps"] = _auto_throughput(volume.properties)


# -- other actions ---------------------------------------------------------------------------------------------------


def _start_revert(call: Call, volume: Resource) -> None:
    wanted = str((call.body or {}).get("snapshotId", "")).lower()
    for snapshot in call.engine.store.children(volume.id, SNAPSHOT):
        if wanted in (snapshot.key, str(snapshot.properties["snapshotId"]).lower()):
            volume.internal["revertTo"] = snapshot.id
            return
    raise invalid(wanted, "VolumeRevert.SnapshotId", f"Must be a snapshot of volume {volume.name}.")


def _reverted(engine: Engine, volume: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """Reverting loses every snapshot that was taken later."""
    kept = engine.store.get(volume.internal.pop("revertTo"))
    if kept is None:
        return
    for snapshot in engine.store.children(volume.id, SNAPSHOT):
        if snapshot.created > kept.created:
            engine.remove(snapshot)


def _need_smb(call: Call, volume: Resource) -> None:
    del call
    if "CIFS" not in volume.properties["protocolTypes"]:
        raise errors.conflict(NOT_SMB, f"The volume {volume.name} has no SMB server.")


def _break_locks(call: Call, volume: Resource) -> None:
    del volume
    body = call.body if isinstance(call.body, dict) else {}
    if not body.get("clientIp") and not body.get("confirmRunningDisruptiveOperation"):
        raise invalid("", "BreakFileLocks.ConfirmRunningDisruptiveOperation", "Must be true where no client is named.")


def _group_ids(call: Call, volume: Resource) -> dict[str, Any]:
    if not volume.properties.get("ldapEnabled"):
        raise errors.conflict(NO_DIRECTORY, f"LDAP is not enabled on volume {volume.name}.")
    del call
    return {"groupIdsForLdapUser": []}


def _populate_zone(call: Call, volume: Resource) -> None:
    del call
    if volume.body.get("zones"):
        raise invalid(volume.body["zones"][0], "Volume.Zones", "The volume has an availability zone already.")


def _zone_populated(engine: Engine, volume: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """Azure tells in which zone a volume has been all the time."""
    known = locations.zones(volume.location)
    if known:
        volume.body["zones"] = [known[len(volume.name) % len(known)]]
        volume.properties["provisionedAvailabilityZone"] = volume.body["zones"][0]


def _no_replication(call: Call, volume: Resource) -> Answer:
    """Nothing is replicated here (refusal: terraform-provider-azurerm#29112)."""
    del call
    raise errors.conflict("VolumeReplicationMissingFor", f"Volume Replication was not found for volume: {volume.name}")


def replication_status(call: Call) -> Answer:
    """GET …/replicationStatus."""
    return _no_replication(call, call.engine.require(parse(call.path.parent)))


_REPLICATION = ("breakReplication", "reestablishReplication", "resyncReplication", "deleteReplication",
                "authorizeReplication", "reinitializeReplication")  # fmt: skip
_PATCHED = ("usageThreshold", "exportPolicy", "protocolTypes", "throughputMibps", "dataProtection",
            "isDefaultQuotaEnabled", "defaultUserQuotaInKiBs", "defaultGroupQuotaInKiBs", "unixPermissions",
            "coolAccess", "coolnessPeriod", "coolAccessRetrievalPolicy", "coolAccessTieringPolicy",
            "snapshotDirectoryVisible", "smbAccessBasedEnumeration", "smbNonBrowsable")  # fmt: skip

TYPE = ResourceType(
    name=VOLUME,
    protocol=NETAPP,
    put=Verb(seconds=270, update_seconds=20),
    patch=Patch(seconds=20, status=202, allowed=frozenset({
        "tags", "location", *(f"properties.{name}" for name in _PATCHED)})),
    delete=Verb(seconds=150),
    etag="weak",
    name_pattern=NAME,
    required=("properties.creationToken", "properties.usageThreshold", "properties.subnetId"),
    defaults={
        "properties.protocolTypes": ["NFSv3"], "properties.snapshotDirectoryVisible": True,
        "properties.networkFeatures": "Standard", "properties.kerberosEnabled": False,
        "properties.ldapEnabled": False, "properties.isLargeVolume": False, "properties.coolAccess": False,
        "properties.isDefaultQuotaEnabled": False, "properties.encryptionKeySource": "Microsoft.NetApp",
        "properties.avsDataStore": "Disabled",
    },
    read_only=("properties.fileSystemId", "properties.mountTargets", "properties.networkSiblingSetId",
               "properties.provisionedAvailabilityZone", "properties.baremetalTenantId", "properties.encrypted",
               "properties.storageToNetworkProximity", "properties.isRestoring",
               "properties.effectiveNetworkFeatures", "properties.actualThroughputMibps",
               "properties.maximumNumberOfFiles"),
    immutable=("properties.creationToken", "properties.subnetId", "properties.isLargeVolume",
               "properties.kerberosEnabled", "properties.ldapEnabled", "properties.networkFeatures",
               "properties.securityStyle", "zones"),
    delete_first=20,
    actions={
        "poolChange": Action(run=_pool_change, seconds=60, updating="Updating", finished=_pool_changed),
        "revert": Action(run=_start_revert, seconds=30, updating="Updating", finished=_reverted),
        "resetCifsPassword": Action(run=_need_smb, seconds=15),
        "breakFileLocks": Action(run=_break_locks, seconds=5),
        "getGroupIdListForLdapUser": Action(run=_group_ids, seconds=5),
        "populateAvailabilityZone": Action(run=_populate_zone, seconds=15, finished=_zone_populated),
        "listReplications": Action(run=lambda _call, _volume: {"value": []}),
        # No request of its own: volumes of a subnet change their network features together.
        SIBLINGS: UPDATE_SIBLINGS,
        **{name: Action(run=_no_replication, seconds=1) for name in _REPLICATION},
    },
    check=_check,
    accepted=_accepted,
    finished=_finished,
    deleted=_deleted,
    view=_view,
    depth="sizes, room and throughput in the pool, delegated subnet that is freed late, protocols and export rules, "
    "zones, cool access, mount targets, one creation per account, moves between pools with the wait before going down, "
    "revert; no replication",
)  # fmt: skip
