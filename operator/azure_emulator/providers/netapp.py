"""Microsoft.NetApp: accounts, capacity pools and volumes.

Rules are those of azure-netapp-files/resource-limits and of recorded refusals; codes that no recording shows are
constants with a comment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parent_of, parse
from azure_emulator.providers.network import addresses
from azure_emulator.providers.protocols import NETAPP, operation_functions
from azure_emulator.store import Resource
from azure_emulator.types import Action, Call, Change, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation

ACCOUNT = "Microsoft.NetApp/netAppAccounts"
POOL = f"{ACCOUNT}/capacityPools"
VOLUME = f"{POOL}/volumes"
DELEGATION = "Microsoft.NetApp/volumes"

GIB, TIB = 2**30, 2**40
POOL_MIN_TIB, POOL_MAX_TIB = 1, 2048
VOLUME_MIN, VOLUME_MAX = 50 * GIB, 100 * TIB
LARGE_VOLUME_MIN, LARGE_VOLUME_MAX = 50 * TIB, 1024 * TIB
# MiB/s that each TiB brings, per service level.
THROUGHPUT = {"Standard": 16, "Premium": 64, "Ultra": 128, "StandardZRS": 16, "Flexible": 0}
FLEXIBLE_BASE_THROUGHPUT = 128

# Assumptions: refusals of which no recording was found.
POOL_TOO_SMALL = "PoolSizeTooSmall"
BAD_SUBNET = "InvalidSubnet"
TOKEN_EXISTS = "CreationTokenExists"  # noqa: S105 (an error code)
# A volume that starts while another one of its account is being created fails after so many seconds
# (terraform-provider-azurerm PR 33215). Setting `parallelVolumes` = true lets them through.
CONFLICT_SECONDS = 15.0


def _invalid(value: object, name: str, rule: str) -> errors.ArmError:
    return errors.bad_request(
        "InvalidValueReceived", f"An invalid value '{value}' was received for {name}. {rule}", target=name
    )


def _long_name(engine: Engine, resource: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    """NetApp writes a child's name with its parents' (azure-cli recordings)."""
    shown["name"] = "/".join(parse(resource.id).names)


# -- pools -----------------------------------------------------------------------------------------------------------


def _check_pool(change: Change) -> None:
    properties = change.properties
    level, size = str(properties["serviceLevel"]), properties["size"]
    if level not in THROUGHPUT:
        raise _invalid(level, "Pool.ServiceLevel", f"Must be one of {', '.join(THROUGHPUT)}.")
    fits = isinstance(size, int) and size % TIB == 0 and POOL_MIN_TIB <= size // TIB <= POOL_MAX_TIB
    if not fits:
        raise _invalid(
            size, "Pool.Size", f"Must be a multiple of 1 TiB, from {POOL_MIN_TIB} TiB to {POOL_MAX_TIB} TiB."
        )
    if level == "Flexible":
        properties["qosType"] = "Manual"
    if change.old.get("qosType") == "Manual" and properties["qosType"] != "Manual":
        raise _invalid(properties["qosType"], "Pool.QosType", "A pool cannot be changed from Manual to Auto.")
    used = sum(int(volume.properties["usageThreshold"]) for volume in change.engine.store.children(change.id, VOLUME))
    if size < used:
        raise errors.bad_request(
            POOL_TOO_SMALL,
            f"The capacity pool {change.path.name} cannot be {size} bytes: its volumes have {used} bytes.",
            target="size",
        )
    properties.setdefault("poolId", change.engine.guid())
    properties["totalThroughputMibps"] = _pool_throughput(properties)


def _pool_throughput(properties: Mapping[str, Any]) -> float:
    if properties["serviceLevel"] == "Flexible":
        return float(properties.get("customThroughputMibps") or FLEXIBLE_BASE_THROUGHPUT)
    return float(int(properties["size"]) // TIB * THROUGHPUT[properties["serviceLevel"]])


def _view_pool(engine: Engine, pool: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    _long_name(engine, pool, shown, query)
    volumes = engine.store.children(pool.id, VOLUME)
    used = sum(float(volume.properties.get("throughputMibps") or 0) for volume in volumes)
    shown["properties"]["utilizedThroughputMibps"] = used


# -- volumes ---------------------------------------------------------------------------------------------------------


def _check_volume(change: Change) -> None:
    engine, properties = change.engine, change.properties
    pool = engine.require(parse(change.path.parent))
    if pool.state != "Succeeded" and not change.exists:
        raise errors.ArmError(
            errors.PRECONDITION_FAILED,
            "PreconditionFailed",
            f"The capacity pool {pool.name} is in state {pool.state}, and must be Succeeded before volumes are created "
            "in it.",
        )
    _check_size(change)
    _check_room(change, pool)
    properties.setdefault("serviceLevel", pool.properties["serviceLevel"])
    if properties["serviceLevel"] != pool.properties["serviceLevel"]:
        raise _invalid(properties["serviceLevel"], "Volume.ServiceLevel", "Must be the service level of its pool.")
    if pool.properties.get("qosType") == "Auto":
        level = THROUGHPUT[properties["serviceLevel"]]
        properties["throughputMibps"] = round(int(properties["usageThreshold"]) / TIB * level, 3)
    if change.exists:
        return
    subnet = _check_subnet(change)
    _check_token(change)
    account = parent_of(pool.id)
    if _creating(engine, account) and not engine.setting("parallelVolumes", False):
        change.seconds = CONFLICT_SECONDS
        change.failure = errors.conflict(
            "Conflict",
            f"Unable to create volume '{change.path.name}'. Another volume creation is in progress. Please try again "
            "in a few minutes.",
        )
    change.internal["address"] = addresses.allot(engine, subnet, change.id)
    change.internal["addresses"] = [[subnet.key, change.internal["address"]]]
    properties |= {
        "fileSystemId": engine.guid(), "networkSiblingSetId": engine.guid(), "isRestoring": False, "encrypted": True,
        "provisionedAvailabilityZone": None, "storageToNetworkProximity": "T2",
    }  # fmt: skip


def _check_size(change: Change) -> None:
    size, large = change.properties["usageThreshold"], bool(change.properties.get("isLargeVolume"))
    low, high = (LARGE_VOLUME_MIN, LARGE_VOLUME_MAX) if large else (VOLUME_MIN, VOLUME_MAX)
    if not isinstance(size, int) or size % GIB or not low <= size <= high:
        raise _invalid(
            size, "Volume.UsageThreshold", f"Must be a multiple of 1 GiB, from {low // GIB} GiB to {high // GIB} GiB."
        )


def _check_room(change: Change, pool: Resource) -> None:
    others = [one for one in change.engine.store.children(pool.id, VOLUME) if one.key != change.path.key]
    used = sum(int(volume.properties["usageThreshold"]) for volume in others)
    room = int(pool.properties["size"]) - used
    if change.properties["usageThreshold"] > room:
        raise errors.bad_request(
            POOL_TOO_SMALL,
            f"The volume {change.path.name} of {change.properties['usageThreshold']} bytes does not fit the capacity "
            f"pool {pool.name}, which has {room} bytes left.",
            target="usageThreshold",
        )


def _check_subnet(change: Change) -> Resource:
    subnet_id = str(change.properties["subnetId"])
    subnet = change.engine.store.get(subnet_id)
    if subnet is None:
        raise errors.invalid_reference(subnet_id, change.id)
    services = [
        str(bodies.get(one, "properties.serviceName", "")) for one in subnet.properties.get("delegations") or []
    ]
    if DELEGATION.lower() not in [service.lower() for service in services]:
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
    token, subnet = change.properties["creationToken"], str(change.properties["subnetId"]).lower()
    for volume in change.engine.store.of_type(VOLUME):
        same = volume.properties["creationToken"] == token and str(volume.properties["subnetId"]).lower() == subnet
        if same and volume.key != change.path.key:
            raise errors.conflict(TOKEN_EXISTS, f"The creation token '{token}' is already used by volume {volume.id}.")


def _creating(engine: Engine, account_id: str) -> bool:
    for pool in engine.store.children(account_id, POOL):
        for volume in engine.store.children(pool.id, VOLUME):
            running = engine.running(volume)
            if running is not None and running.verb == "PUT" and running.failure is None:
                return True
    return False


def _volume_finished(engine: Engine, volume: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    volume.properties.setdefault("mountTargets", [{
        "mountTargetId": engine.guid(), "fileSystemId": volume.properties["fileSystemId"],
        "ipAddress": volume.internal["address"], "smbServerFqdn": None,
    }])  # fmt: skip


def _pool_change(call: Call, volume: Resource) -> None:
    target = str((call.body or {}).get("newPoolResourceId", ""))
    pool = call.engine.store.get(target)
    if pool is None:
        raise errors.invalid_reference(target, volume.id)
    if parent_of(pool.id).lower() != parent_of(volume.parent).lower():
        raise errors.bad_request(
            "InvalidValueReceived", f"The pool {target} is not in the NetApp account of volume {volume.name}."
        )
    free = int(pool.properties["size"]) - sum(
        int(other.properties["usageThreshold"]) for other in call.engine.store.children(pool.id, VOLUME)
    )
    if int(volume.properties["usageThreshold"]) > free:
        raise errors.bad_request(
            POOL_TOO_SMALL, f"The volume {volume.name} does not fit the capacity pool {pool.name}."
        )
    volume.internal["newPool"] = pool.id


def _pool_changed(engine: Engine, volume: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """Moving to another pool changes the id of a volume, because the pool is part of it."""
    pool = engine.store.get(volume.internal.pop("newPool"))
    if pool is None:
        return
    engine.store.remove(volume)
    volume.id = f"{pool.id}/volumes/{volume.name}"
    volume.properties["serviceLevel"] = pool.properties["serviceLevel"]
    if pool.properties.get("qosType") == "Auto":
        level = THROUGHPUT[pool.properties["serviceLevel"]]
        volume.properties["throughputMibps"] = round(int(volume.properties["usageThreshold"]) / TIB * level, 3)


TYPES = (
    ResourceType(
        name=ACCOUNT,
        protocol=NETAPP,
        put=Verb(seconds=8),
        patch=Patch(seconds=5, status=202),
        delete=Verb(seconds=15),
        etag="weak",
        defaults={"properties.encryption": {"keySource": "Microsoft.NetApp"}},
        nested="refuse",
        delete_first=50,
        depth="refuses deletion before its pools",
    ),
    ResourceType(
        name=POOL,
        protocol=NETAPP,
        put=Verb(seconds=75, update_seconds=20),
        patch=Patch(seconds=20, status=202, allowed=frozenset({
            "tags", "location", "properties.size", "properties.qosType", "properties.coolAccess",
            "properties.customThroughputMibps"})),
        delete=Verb(seconds=75),
        etag="weak",
        required=("properties.size", "properties.serviceLevel"),
        defaults={"properties.qosType": "Auto", "properties.coolAccess": False, "properties.encryptionType": "Single"},
        read_only=("properties.poolId", "properties.totalThroughputMibps", "properties.utilizedThroughputMibps"),
        immutable=("properties.serviceLevel", "properties.encryptionType"),
        nested="refuse",
        delete_first=45,
        check=_check_pool,
        view=_view_pool,
        depth="1 TiB steps, never below its volumes, fixed service level, refuses deletion before its volumes",
    ),
    ResourceType(
        name=VOLUME,
        protocol=NETAPP,
        put=Verb(seconds=270, update_seconds=20),
        patch=Patch(seconds=20, status=202, allowed=frozenset({
            "tags", "location", *(f"properties.{name}" for name in (
                "usageThreshold", "exportPolicy", "protocolTypes", "throughputMibps", "dataProtection",
                "isDefaultQuotaEnabled", "defaultUserQuotaInKiBs", "defaultGroupQuotaInKiBs", "unixPermissions",
                "coolAccess", "coolnessPeriod", "coolAccessRetrievalPolicy", "snapshotDirectoryVisible",
                "smbAccessBasedEnumeration", "smbNonBrowsable"))})),
        delete=Verb(seconds=150),
        etag="weak",
        required=("properties.creationToken", "properties.usageThreshold", "properties.subnetId"),
        defaults={
            "properties.protocolTypes": ["NFSv3"], "properties.snapshotDirectoryVisible": True,
            "properties.securityStyle": "Unix", "properties.networkFeatures": "Standard",
            "properties.exportPolicy": {"rules": [{
                "ruleIndex": 1, "unixReadOnly": False, "unixReadWrite": True, "cifs": False, "nfsv3": True,
                "nfsv41": False, "allowedClients": "0.0.0.0/0", "kerberos5ReadOnly": False, "hasRootAccess": True}]},
        },
        read_only=("properties.fileSystemId", "properties.mountTargets", "properties.networkSiblingSetId",
                   "properties.provisionedAvailabilityZone", "properties.baremetalTenantId", "properties.encrypted",
                   "properties.storageToNetworkProximity", "properties.isRestoring"),
        immutable=("properties.creationToken", "properties.subnetId", "properties.isLargeVolume",
                   "properties.kerberosEnabled", "properties.ldapEnabled", "properties.networkFeatures", "zones"),
        delete_first=20,
        actions={"poolChange": Action(run=_pool_change, seconds=60, status=200, updating="Updating",
                                      finished=_pool_changed)},
        check=_check_volume,
        finished=_volume_finished,
        view=_long_name,
        depth="sizes, room in the pool, delegated subnet, mount targets, one creation per account, move between pools",
    ),
)  # fmt: skip

PROVIDER = Provider(namespace="Microsoft.NetApp", types=TYPES, functions=operation_functions(NETAPP))
