"""What guards NetApp volumes: snapshots and their policies, backup policies and vaults, quotas of users and groups.

Policies are kept and checked; the clock never takes a snapshot or a backup by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.netapp.common import (
    BACKUP_POLICY,
    BACKUP_VAULT,
    NAME,
    QUOTA_RULE,
    SNAPSHOT,
    SNAPSHOT_POLICY,
    VOLUME,
    invalid,
    long_name,
    require_room,
)
from azure_emulator.providers.protocols import NETAPP
from azure_emulator.types import Action, Answer, Call, Change, Hold, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

KEPT, HOURS, MINUTES = range(256), range(24), range(60)
_DAYS = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
_SCHEDULES = {"hourlySchedule": ("minute",), "dailySchedule": ("hour", "minute"),
              "weeklySchedule": ("hour", "minute"), "monthlySchedule": ("hour", "minute")}  # fmt: skip
DAILY_BACKUPS = range(2, 1020)
QUOTA_KIB = range(4, 1_125_899_906_842_621)
_QUOTA_TYPES = ("DefaultUserQuota", "DefaultGroupQuota", "IndividualUserQuota", "IndividualGroupQuota")
# Assumptions: refusals of which no recording was found.
IN_USE = "ResourceInUse"
RULE_EXISTS = "VolumeQuotaRuleExists"


def _volume_of(change: Change) -> Resource:
    volume = change.engine.require(parse(change.path.parent))
    if volume.state not in ("Succeeded", "Updating"):
        raise errors.ArmError(
            errors.PRECONDITION_FAILED, "PreconditionFailed",
            f"The volume {volume.name} is in state {volume.state}, and must be Succeeded.",
        )  # fmt: skip
    return volume


# -- snapshots -------------------------------------------------------------------------------------------------------


def _check_snapshot(change: Change) -> None:
    engine, volume = change.engine, _volume_of(change)
    if change.body["location"] != volume.location:
        raise errors.bad_request(
            "InvalidValueReceived", "The property: Location for Snapshot must be the same as Volume", target="location"
        )
    if not change.exists:
        count = len(engine.store.children(volume.id, SNAPSHOT))
        require_room(engine, volume.location, "snapshotsPerVolume", count, "snapshot")
        change.properties.update(snapshotId=engine.guid(), created=engine.clock.iso(engine.now))


def _start_restore(call: Call, snapshot: Resource) -> None:
    paths = (call.body or {}).get("filePaths") if isinstance(call.body, dict) else None
    if not isinstance(paths, list) or not paths:
        raise invalid(paths, "SnapshotRestoreFiles.FilePaths", f"Name the files of snapshot {snapshot.name}.")


# -- policies --------------------------------------------------------------------------------------------------------


def _check_snapshot_policy(change: Change) -> None:
    properties = change.properties
    for name, members in _SCHEDULES.items():
        schedule = properties.get(name)
        if not schedule:
            continue
        _check_number(schedule, "snapshotsToKeep", KEPT, name)
        for member in members:
            _check_number(schedule, member, HOURS if member == "hour" else MINUTES, name)
    days = str(bodies.get(properties, "weeklySchedule.day") or "Monday").split(",")
    if not set(map(str.strip, days)) <= _DAYS:
        raise invalid(",".join(days), "SnapshotPolicy.WeeklySchedule.Day", "Must be days of the week.")
    months = str(bodies.get(properties, "monthlySchedule.daysOfMonth") or "1").split(",")
    if not all(day.strip().isdigit() and 1 <= int(day) <= 31 for day in months):  # noqa: PLR2004 (days of a month)
        raise invalid(",".join(months), "SnapshotPolicy.MonthlySchedule.DaysOfMonth", "Must be days of a month.")


def _check_number(schedule: Mapping[str, Any], member: str, allowed: range, name: str) -> None:
    value = schedule.get(member)
    if value is not None and value not in allowed:
        where = f"SnapshotPolicy.{name[0].upper()}{name[1:]}.{member[0].upper()}{member[1:]}"
        raise invalid(value, where, f"Must be from {allowed[0]} to {allowed[-1]}.")


def list_policy_volumes(call: Call) -> Answer:
    """GET …/snapshotPolicies/{name}/volumes."""
    engine, policy = call.engine, call.engine.require(parse(call.path.parent))
    return Answer(200, {"value": [
        engine.view(volume) for volume in engine.store.referrers(policy.id, VOLUME)
    ]})  # fmt: skip


def _check_backup_policy(change: Change) -> None:
    properties = change.properties
    if properties.get("dailyBackupsToKeep") not in DAILY_BACKUPS:
        raise invalid(
            properties.get("dailyBackupsToKeep"), "BackupPolicy.DailyBackupsToKeep",
            f"Must be from {DAILY_BACKUPS[0]} to {DAILY_BACKUPS[-1]}.",
        )  # fmt: skip
    for name in ("weeklyBackupsToKeep", "monthlyBackupsToKeep"):
        properties.setdefault(name, 0)
    properties.setdefault("backupPolicyId", change.engine.guid())


def _view_backup_policy(engine: Engine, policy: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    long_name(engine, policy, shown, query)
    volumes = engine.store.referrers(policy.id, VOLUME)
    shown["properties"]["volumesAssigned"] = len(volumes)
    shown["properties"]["volumeBackups"] = [
        {"volumeName": volume.name, "backupsCount": 0, "policyEnabled": bool(policy.properties.get("enabled"))}
        for volume in volumes
    ]


# -- quotas of users and groups --------------------------------------------------------------------------------------


def _check_quota_rule(change: Change) -> None:
    properties, volume = change.properties, _volume_of(change)
    kind, target = properties.get("quotaType"), str(properties.get("quotaTarget") or "")
    if kind not in _QUOTA_TYPES:
        raise invalid(kind, "VolumeQuotaRule.QuotaType", f"Must be one of {', '.join(_QUOTA_TYPES)}.")
    if str(kind).startswith("Individual") != bool(target):
        raise invalid(target, "VolumeQuotaRule.QuotaTarget", "Individual quotas name a user or group, default ones do "
                      "not.")  # fmt: skip
    if properties.get("quotaSizeInKiBs") not in QUOTA_KIB:
        raise invalid(properties.get("quotaSizeInKiBs"), "VolumeQuotaRule.QuotaSizeInKiBs", "Must be 4 or more.")
    for other in change.engine.store.children(volume.id, QUOTA_RULE):
        same = other.properties["quotaType"] == kind and str(other.properties.get("quotaTarget") or "") == target
        if same and other.key != change.path.key:
            raise errors.conflict(RULE_EXISTS, f"The volume {volume.name} has a quota rule for this target already.")


def _in_use(what: str) -> Hold:
    return Hold(by=VOLUME, code=IN_USE, status=errors.CONFLICT,
                message=f"The {what} {{name}} is used by {{holders}} and cannot be deleted.")  # fmt: skip


TYPES = (
    ResourceType(
        name=SNAPSHOT, protocol=NETAPP, put=Verb(seconds=10, updated=202), delete=Verb(seconds=10), tags=False,
        name_pattern=NAME, read_only=("properties.snapshotId", "properties.created"), delete_first=15,
        actions={"restoreFiles": Action(run=_start_restore, seconds=30)},
        check=_check_snapshot, view=long_name,
        depth="location of the volume, 255 for each volume, gone when the volume is",
    ),
    ResourceType(
        name=SNAPSHOT_POLICY, protocol=NETAPP, put=Verb(), patch=Patch(seconds=5, status=202),
        delete=Verb(seconds=5), etag="weak", name_pattern=NAME, defaults={"properties.enabled": True},
        delete_first=46, holds=(_in_use("snapshot policy"),), check=_check_snapshot_policy, view=long_name,
        depth="schedules checked, never carried out; held by the volumes that use it",
    ),
    ResourceType(
        name=BACKUP_POLICY, protocol=NETAPP, put=Verb(seconds=5), patch=Patch(seconds=5, status=202),
        delete=Verb(seconds=5), etag="weak", name_pattern=NAME, defaults={"properties.enabled": True},
        read_only=("properties.backupPolicyId", "properties.volumesAssigned", "properties.volumeBackups"),
        delete_first=46, holds=(_in_use("backup policy"),), check=_check_backup_policy, view=_view_backup_policy,
        depth="numbers checked, never carried out; held by the volumes that use it",
    ),
    ResourceType(
        name=BACKUP_VAULT, protocol=NETAPP, put=Verb(seconds=5), patch=Patch(seconds=5, status=202),
        delete=Verb(seconds=5), name_pattern=NAME, delete_first=46, holds=(_in_use("backup vault"),), view=long_name,
        depth="storage; always empty; held by the volumes that use it",
    ),
    ResourceType(
        name=QUOTA_RULE, protocol=NETAPP, put=Verb(seconds=5), patch=Patch(seconds=5, status=202),
        delete=Verb(seconds=5), name_pattern=NAME, immutable=("properties.quotaType", "properties.quotaTarget"),
        delete_first=15, check=_check_quota_rule, view=long_name,
        depth="one for each user or group",
    ),
)  # fmt: skip
