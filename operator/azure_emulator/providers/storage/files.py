"""The file service of a storage account: shares with their sizes, protocols, snapshots and soft deletion.

Azure Files has three ways to buy: pay as you go (StorageV2), provisioned v1 (Premium_*) and provisioned v2
(PremiumV2_*, StandardV2_*), each with limits of its own (azure-docs, understanding-billing and
storage-files-scale-targets). There are no files.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parent_of, parse
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.providers.storage import skus
from azure_emulator.providers.storage.blobs import (
    account_of,
    check_retention,
    check_sku,
    list_service,
    service_defaults,
)
from azure_emulator.providers.storage.names import DEFAULT, FILE_SERVICE, SERVICES, SHARE, SHARE_NAME
from azure_emulator.types import Answer, Call, Change, Function, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

HOUR, DAY = 3600.0, 86_400.0
# A provisioned size goes down only so long after it went up. Setting `shareDowngradeHours`.
DOWNGRADE_HOURS = 24.0
# Assumption: no recording of this refusal was found.
DOWNGRADE_TOO_EARLY = "ShareProvisionedSizeDowngradeNotAllowed"
DEFAULT_QUOTA = 5120
SNAPSHOTS = 200
_TIMES = {"shareQuota": "nextAllowedQuotaDowngradeTime",
          "provisionedIops": "nextAllowedProvisionedIopsDowngradeTime",
          "provisionedBandwidthMibps": "nextAllowedProvisionedBandwidthDowngradeTime"}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What a share of an account may be given: GiB, and for provisioned v2 IOPS and MiB/s."""

    low: int
    high: int
    iops: tuple[int, int] | None = None
    bandwidth: tuple[int, int] | None = None
    # What is given when nothing is asked for: a base, and so much more for each GiB.
    iops_advice: tuple[int, float] = (0, 0.0)
    bandwidth_advice: tuple[int, float] = (0, 0.0)


_PAY_AS_YOU_GO = Limits(1, 102_400)
_PREMIUM_V1 = Limits(100, 102_400)
_PREMIUM_V2 = Limits(32, 262_144, (3000, 102_400), (100, 10_340), (3000, 1.0), (100, 0.1))
_STANDARD_V2 = Limits(32, 262_144, (500, 50_000), (60, 5120), (1000, 0.2), (60, 0.02))


def limits_of(account: Resource) -> Limits:
    """The limits of an account's shares."""
    sku = str(account.body["sku"]["name"])
    if skus.is_provisioned_v2(sku):
        return _PREMIUM_V2 if sku.startswith("Premium") else _STANDARD_V2
    return _PREMIUM_V1 if account.body["kind"] == "FileStorage" else _PAY_AS_YOU_GO


def _refused() -> errors.ArmError:
    """The management plane passes on what the data plane says, which is little (azurerm#24269, #14737)."""
    return errors.bad_request(
        "InvalidHeaderValue", "The value for one of the HTTP headers is not in the correct format."
    )


# -- shares ----------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    account, properties = account_of(change.engine, change.id), change.properties
    if "file" not in SERVICES[account.body["kind"]]:
        raise _refused()
    limits = limits_of(account)
    properties.setdefault("shareQuota", DEFAULT_QUOTA)
    _check_range(properties["shareQuota"], (limits.low, limits.high))
    _check_provisioned(properties, limits)
    _check_protocol(account, properties)
    if change.exists:
        _check_downgrade(change, limits)
    else:
        properties.update(leaseStatus="unlocked", leaseState="available", accessTierChangeTime=None)
    properties["lastModifiedTime"] = change.engine.clock.iso(change.engine.now)


def _check_range(value: object, allowed: tuple[int, int]) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not allowed[0] <= value <= allowed[1]:
        raise _refused()


def _check_provisioned(properties: dict[str, Any], limits: Limits) -> None:
    for name, allowed, advice in (
        ("provisionedIops", limits.iops, limits.iops_advice),
        ("provisionedBandwidthMibps", limits.bandwidth, limits.bandwidth_advice),
    ):
        if allowed is None:
            if properties.get(name) is not None:
                raise _refused()
            continue
        base, more = advice
        advised = min(allowed[1], round(base + more * properties["shareQuota"]))
        properties[name] = advised if properties.get(name) is None else properties[name]
        _check_range(properties[name], allowed)


def _check_protocol(account: Resource, properties: dict[str, Any]) -> None:
    protocol = properties["enabledProtocols"]
    solid_state = account.body["kind"] == "FileStorage" and str(account.body["sku"]["name"]).startswith("Premium")
    if protocol not in ("SMB", "NFS") or (protocol == "NFS" and not solid_state):
        raise _refused()
    squash = properties.get("rootSquash")
    if protocol == "NFS":
        properties["rootSquash"] = squash or "NoRootSquash"
        if properties["rootSquash"] not in ("NoRootSquash", "RootSquash", "AllSquash"):
            raise _refused()
    elif squash is not None:
        raise _refused()
    default = "Premium" if solid_state else "TransactionOptimized"
    tier = properties.setdefault("accessTier", default)
    if (tier == "Premium") != solid_state or tier not in ("Premium", "TransactionOptimized", "Hot", "Cool"):
        raise _refused()


def _check_downgrade(change: Change, limits: Limits) -> None:
    engine, old, new = change.engine, change.old, change.properties
    wait = float(engine.setting("shareDowngradeHours", DOWNGRADE_HOURS)) * HOUR
    raised: dict[str, float] = change.internal.setdefault("raised", {})
    for name, shown in _TIMES.items():
        before, after = old.get(name), new.get(name)
        if limits is _PAY_AS_YOU_GO or before is None or after is None or before == after:
            continue
        if after > before:
            raised[name] = engine.now
        elif engine.now < raised.get(name, -wait) + wait:
            raise errors.conflict(
                DOWNGRADE_TOO_EARLY,
                f"The {name} of share {change.path.name} cannot be lowered before "
                f"{engine.clock.iso(raised[name] + wait)}, {wait / HOUR:g} hours after it was last raised.",
                target=name,
            )
        if name in raised:
            new[shown] = engine.clock.iso(raised[name] + wait)


def _view(engine: Engine, share: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    if "stats" in query.get("$expand", ""):
        shown["properties"]["shareUsageBytes"] = 0


# -- snapshots -------------------------------------------------------------------------------------------------------


def _snapshot_view(engine: Engine, share: Resource, snapshot: Mapping[str, Any]) -> dict[str, Any]:
    shown = engine.view(share)
    shown["properties"] = {**copy.deepcopy(snapshot["body"]["properties"]), "snapshotTime": snapshot["time"]}
    return shown


def _snapshot(share: Resource, moment: str) -> dict[str, Any]:
    for snapshot in share.internal.get("snapshots", []):
        if snapshot["time"][:19] == moment[:19]:
            found: dict[str, Any] = snapshot
            return found
    raise errors.ArmError(
        errors.NOT_FOUND, "ShareSnapshotNotFound", f"The specified share snapshot '{moment}' does not exist."
    )


def _read_share(call: Call) -> Answer | None:
    engine, expanded = call.engine, call.query.get("$expand", "")
    if call.path.is_resource:
        moment = call.headers.get("x-ms-snapshot")
        if not moment:
            return None
        share = engine.require(call.path)
        return Answer(200, _snapshot_view(engine, share, _snapshot(share, moment)))
    if "snapshots" not in expanded and "deleted" not in expanded:
        return None
    account = account_of(engine, call.path.parent)
    rows: list[dict[str, Any]] = []
    for share in engine.store.children(call.path.parent, SHARE):
        rows.append(engine.view(share, call.query))
        if "snapshots" in expanded:
            rows += [_snapshot_view(engine, share, one) for one in share.internal.get("snapshots", [])]
    if "deleted" in expanded:
        rows += [row["shown"] for row in _deleted_shares(engine, account)]
    return Answer(200, {"value": rows})


def _put_share(call: Call) -> Answer | None:
    """A PUT that expands snapshots takes one; its answer is the snapshot."""
    if "snapshots" not in call.query.get("$expand", ""):
        return None
    engine, share = call.engine, call.engine.require(call.path)
    taken = share.internal.setdefault("snapshots", [])
    if len(taken) >= SNAPSHOTS:
        raise errors.conflict("ShareSnapshotCountExceeded", "The total number of snapshots for the share is over the "
                              "limit.")  # fmt: skip
    snapshot: dict[str, Any] = {"time": engine.clock.iso(engine.now), "body": copy.deepcopy(share.body)}
    snapshot["body"]["properties"].update(bodies.get(call.body or {}, "properties") or {})
    taken.append(snapshot)
    engine.store.save(share)
    return Answer(201, _snapshot_view(engine, share, snapshot))


def _delete_share(call: Call) -> Answer | None:
    moment = call.headers.get("x-ms-snapshot")
    if not moment:
        return None
    share = call.engine.require(call.path)
    share.internal["snapshots"].remove(_snapshot(share, moment))
    call.engine.store.save(share)
    return Answer(200)


def _refuse_with_snapshots(engine: Engine, share: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    if share.internal.get("snapshots") and "snapshots" not in query.get("$include", ""):
        raise errors.conflict("ShareHasSnapshots", "The share has snapshots and the operation requires no snapshots.")


# -- soft deletion ---------------------------------------------------------------------------------------------------


def _deleted(engine: Engine, share: Resource) -> None:
    """Keep a deleted share as long as the file service says."""
    account = engine.store.get(parent_of(parent_of(share.id)))
    service = engine.find(share.parent)
    policy = service.properties.get("shareDeleteRetentionPolicy") if service is not None else None
    if account is None or not policy or not policy.get("enabled"):
        return
    days = int(policy["days"])
    shown = {
        "id": share.id, "name": share.name, "type": SHARE, "etag": share.etag,
        "properties": {**share.properties, "version": engine.guid(), "deleted": True, "remainingRetentionDays": days,
                       "deletedTime": engine.clock.iso(engine.now)},
    }  # fmt: skip
    rows = account.internal.setdefault("deletedShares", [])
    rows.append({"shown": shown, "body": copy.deepcopy(share.body), "until": engine.now + days * DAY})
    engine.store.save(account)


def _deleted_shares(engine: Engine, account: Resource) -> list[dict[str, Any]]:
    return [row for row in account.internal.get("deletedShares", []) if row["until"] > engine.now]


def _restore(call: Call) -> Answer:
    """POST …/shares/{name}/restore, of a share that is gone."""
    engine, share_id = call.engine, call.path.parent
    account = account_of(engine, share_id)
    wanted = call.body if isinstance(call.body, dict) else {}
    for row in _deleted_shares(engine, account):
        shown = row["shown"]
        if shown["name"] == wanted.get("deletedShareName") and (
            shown["properties"]["version"] == wanted.get("deletedShareVersion")
        ):
            engine.create(share_id, {"properties": row["body"]["properties"]})
            account.internal["deletedShares"].remove(row)
            engine.store.save(account)
            return Answer(200)
    raise errors.resource_not_found(SHARE, "/".join(parse(share_id).names), parse(share_id).resource_group or "")


# -- service ---------------------------------------------------------------------------------------------------------


def _check_service(change: Change) -> None:
    check_retention(change, "shareDeleteRetentionPolicy")
    check_sku(change)


def _usage(call: Call) -> Answer:
    """GET …/fileServices/default/usages[/default]: what provisioned shares may have, and have."""
    engine, account = call.engine, account_of(call.engine, call.path.parent)
    limits = limits_of(account)
    if limits.iops is None or limits.bandwidth is None:
        raise errors.bad_request(
            "FeatureNotSupportedForAccount", f"File service usage is not supported for account {account.name}: it is "
            "not provisioned v2."
        )  # fmt: skip
    shares = engine.store.children(f"{account.id}/fileServices/default", SHARE)

    def total(name: str) -> int:
        return sum(int(share.properties.get(name) or 0) for share in shares)

    usage = {
        "id": f"{account.id}/fileServices/default/usages/default", "name": "default",
        "type": f"{FILE_SERVICE}/usages",
        "properties": {
            "storageAccountLimits": {
                "maxFileShares": 50, "maxProvisionedStorageGiB": limits.high, "maxProvisionedIOPS": limits.iops[1],
                "maxProvisionedBandwidthMiBPerSec": limits.bandwidth[1]},
            "fileShareLimits": {
                "minProvisionedStorageGiB": limits.low, "maxProvisionedStorageGiB": limits.high,
                "minProvisionedIOPS": limits.iops[0], "maxProvisionedIOPS": limits.iops[1],
                "minProvisionedBandwidthMiBPerSec": limits.bandwidth[0],
                "maxProvisionedBandwidthMiBPerSec": limits.bandwidth[1]},
            "fileShareRecommendations": {
                "baseIOPS": limits.iops_advice[0], "ioScalar": limits.iops_advice[1],
                "baseBandwidthMiBPerSec": limits.bandwidth_advice[0],
                "bandwidthScalar": limits.bandwidth_advice[1]},
            "storageAccountUsage": {
                "liveShares": {
                    "fileShareCount": len(shares), "provisionedStorageGiB": total("shareQuota"),
                    "provisionedIOPS": total("provisionedIops"),
                    "provisionedBandwidthMiBPerSec": total("provisionedBandwidthMibps")},
            },
        },
    }  # fmt: skip
    return Answer(200, usage if call.path.is_resource else {"value": [usage]})


TYPES = (
    ResourceType(
        name=FILE_SERVICE, protocol=SYNCHRONOUS, put=Verb(created=200), delete=None, location=None, tags=False,
        has_state=False, name_pattern=DEFAULT, check=_check_service,
        default_instance=service_defaults(
            cors={"corsRules": []}, shareDeleteRetentionPolicy={"enabled": True, "days": 7}),
        depth="`default` always exists; retention of deleted shares",
    ),
    ResourceType(
        name=SHARE, protocol=SYNCHRONOUS, put=Verb(), patch=Patch(), delete=Verb(), location=None, tags=False,
        has_state=False, etag="plain", name_pattern=SHARE_NAME,
        defaults={"properties.enabledProtocols": "SMB"},
        read_only=("properties.lastModifiedTime", "properties.leaseStatus", "properties.leaseState",
                   "properties.accessTierChangeTime", *(f"properties.{name}" for name in _TIMES.values())),
        immutable=("properties.enabledProtocols",),
        check=_check, check_delete=_refuse_with_snapshots, deleted=_deleted, view=_view,
        depth="sizes, IOPS and throughput of pay as you go, provisioned v1 and v2, NFS only on SSD, no lowering within "
        "24 h of raising, snapshots, soft deletion and restoring",
    ),
)  # fmt: skip

FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", FILE_SERVICE): list_service,
    ("GET", f"{FILE_SERVICE}/usages"): _usage,
    ("GET", SHARE): _read_share,
    ("PUT", SHARE): _put_share,
    ("DELETE", SHARE): _delete_share,
    ("POST", f"{SHARE}/restore"): _restore,
}
