"""NetApp accounts and capacity pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.netapp.common import (
    ACCOUNT,
    NAME,
    POOL,
    THROUGHPUT,
    TIB,
    VOLUME,
    invalid,
    limit,
    long_name,
    provisioned,
    require_room,
)
from azure_emulator.providers.protocols import NETAPP
from azure_emulator.types import Action, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

MIN_TIB, MAX_TIB = 1, 2048
FLEXIBLE_BASE_THROUGHPUT = 128
# Each TiB of a Flexible pool takes so many times its base (azure-netapp-files/azure-netapp-files-service-levels).
FLEXIBLE_PER_TIB = 5 * FLEXIBLE_BASE_THROUGHPUT
_PASSWORD = "*" * 16
# Assumptions: refusals of which no recording was found.
ONE_DIRECTORY = "OnlyOneActiveDirectoryAllowed"
NO_CUSTOMER_KEY = "EncryptionNotCustomerManaged"
POOL_TOO_SMALL = "PoolSizeTooSmall"


def too_small() -> errors.ArmError:
    """Volumes and their pool do not fit (azure-docs, troubleshooting of cross-region replication)."""
    return errors.bad_request(POOL_TOO_SMALL, "Pool size too small for total volume size.", target="size")


# -- accounts --------------------------------------------------------------------------------------------------------


def _check_account(change: Change) -> None:
    engine, properties = change.engine, change.properties
    assigned_identities.complete(change)
    others = [
        one for one in engine.store.in_region(ACCOUNT, change.subscription, change.body["location"])
        if one.key != change.path.key
    ]  # fmt: skip
    if not change.exists:
        require_room(engine, change.body["location"], "accountsPerSubscription", len(others), "netAppAccount")
    directories = properties.get("activeDirectories") or []
    if len(directories) > 1 or (directories and any(one.properties.get("activeDirectories") for one in others)):
        raise errors.conflict(ONE_DIRECTORY, "Only one active directory allowed")
    for directory in directories:
        _complete_directory(change, directory)


def _complete_directory(change: Change, directory: dict[str, Any]) -> None:
    for name in ("dns", "domain", "smbServerName", "username"):
        if not directory.get(name):
            raise errors.bad_request(
                "MissingValue", f"Missing value for 'ActiveDirectory.{name}'.", target=f"ActiveDirectory.{name}"
            )
    if directory.get("password"):  # never shown again
        change.internal.setdefault("secrets", {})["activeDirectory"] = directory["password"]
        directory["password"] = _PASSWORD
    directory.setdefault("activeDirectoryId", change.engine.guid())
    used = change.exists and any(change.engine.store.children(pool.id, VOLUME)
                                 for pool in change.engine.store.children(change.id, POOL))  # fmt: skip
    directory["status"] = "InUse" if used else "Created"
    directory.setdefault("organizationalUnit", "CN=Computers")


def _renew(call: Call, account: Resource) -> None:
    del call
    if bodies.get(account.body, "properties.encryption.keySource") != "Microsoft.KeyVault":
        raise errors.conflict(
            NO_CUSTOMER_KEY, f"The account {account.name} is not encrypted with a key of a key vault."
        )


# -- pools -----------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    engine, properties = change.engine, change.properties
    level, size = str(properties["serviceLevel"]), properties["size"]
    if level not in THROUGHPUT:
        raise invalid(level, "Pool.ServiceLevel", f"Must be one of {', '.join(THROUGHPUT)}.")
    if not isinstance(size, int) or size < MIN_TIB * TIB:
        raise invalid(size, "Pool.Size", f"Must be {MIN_TIB} tebibytes in bytes or higher")
    if size % TIB or size > MAX_TIB * TIB:
        raise invalid(size, "Pool.Size", f"Must be a multiple of 1 TiB, up to {MAX_TIB} TiB.")
    _check_quality(change, level, size)
    volumes = engine.store.children(change.id, VOLUME)
    if size < sum(int(volume.properties["usageThreshold"]) for volume in volumes):
        raise too_small()
    if properties["coolAccess"] is False and any(volume.properties.get("coolAccess") for volume in volumes):
        raise invalid("False", "Pool.CoolAccess", "A volume of the pool has cool access.")
    _check_capacity(change, size)
    properties.setdefault("poolId", engine.guid())
    properties["totalThroughputMibps"] = _throughput(properties)


def _check_quality(change: Change, level: str, size: int) -> None:
    properties = change.properties
    if level == "Flexible":
        properties["qosType"] = "Manual"
        custom = properties.setdefault("customThroughputMibps", FLEXIBLE_BASE_THROUGHPUT)
        highest = size // TIB * FLEXIBLE_PER_TIB
        if not isinstance(custom, int) or not FLEXIBLE_BASE_THROUGHPUT <= custom <= highest:
            raise invalid(
                custom, "Pool.CustomThroughputMibps", f"Must be from {FLEXIBLE_BASE_THROUGHPUT} to {highest}."
            )
    elif properties.get("customThroughputMibps") is not None:
        raise invalid(properties["customThroughputMibps"], "Pool.CustomThroughputMibps", "The service level must be "
                      "Flexible.")  # fmt: skip
    if properties["qosType"] not in ("Auto", "Manual"):
        raise invalid(properties["qosType"], "Pool.QosType", "Must be Auto or Manual.")
    if change.old.get("qosType") == "Manual" and properties["qosType"] != "Manual":
        raise invalid(properties["qosType"], "Pool.QosType", "A pool cannot be changed from Manual to Auto.")


def _check_capacity(change: Change, size: int) -> None:
    """The regional capacity of the subscription (refusal: terraform-provider-azurerm#24514)."""
    if size <= int(change.old.get("size") or 0):
        return
    engine, location = change.engine, change.body["location"]
    used = provisioned(engine, change.subscription, location, but=change.id)
    allowed = limit(engine, location, "totalTiBsPerSubscription")
    if used + size > allowed * TIB:
        what = "Updating the" if change.exists else "Creating a new"
        raise errors.conflict(
            "SizeQuotaExceeded",
            f"{what} capacityPool of size {size // TIB} TiB would exceed the regional quota of {allowed} TiB. Current "
            f"usage is {used // TIB} TiB. To learn more about Azure NetApp Files capacity constraints, see Resource "
            "limits for Azure NetApp Files "
            "https://docs.microsoft.com/azure/azure-netapp-files/azure-netapp-files-resource-limits",
        )
    if not change.exists:
        account = engine.require(parse(change.path.parent))
        count = len(engine.store.children(account.id, POOL))
        require_room(engine, location, "poolsPerAccount", count, "capacityPool")


def _throughput(properties: Mapping[str, Any]) -> float:
    if properties["serviceLevel"] == "Flexible":
        return float(properties["customThroughputMibps"])
    return float(int(properties["size"]) // TIB * THROUGHPUT[properties["serviceLevel"]])


def _view(engine: Engine, pool: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    long_name(engine, pool, shown, query)
    volumes = engine.store.children(pool.id, VOLUME)
    used = sum(float(volume.properties.get("throughputMibps") or 0) for volume in volumes)
    shown["properties"]["utilizedThroughputMibps"] = used


TYPES = (
    ResourceType(
        name=ACCOUNT,
        protocol=NETAPP,
        put=Verb(seconds=8),
        patch=Patch(seconds=5, status=202),
        delete=Verb(seconds=15),
        etag="weak",
        name_pattern=NAME,
        defaults={"properties.encryption": {"keySource": "Microsoft.NetApp"}},
        nested="refuse",
        delete_first=50,
        check=_check_account,
        actions={"renewCredentials": Action(run=_renew, seconds=5)},
        depth="one active directory for each region, 10 accounts, refuses deletion before its pools and policies",
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
        name_pattern=NAME,
        required=("properties.size", "properties.serviceLevel"),
        defaults={"properties.qosType": "Auto", "properties.coolAccess": False, "properties.encryptionType": "Single"},
        read_only=("properties.poolId", "properties.totalThroughputMibps", "properties.utilizedThroughputMibps"),
        immutable=("properties.serviceLevel", "properties.encryptionType"),
        nested="refuse",
        delete_first=45,
        check=_check,
        view=_view,
        depth="1 TiB steps, regional capacity, never below its volumes, fixed service level, throughput, cool access, "
        "refuses deletion before its volumes",
    ),
)  # fmt: skip
