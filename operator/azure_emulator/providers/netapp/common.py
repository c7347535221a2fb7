"""What the modules of Microsoft.NetApp share: type names, sizes, refusals, and how names are shown.

Codes and texts are those of recordings and of azure-docs (troubleshooting of the NetApp resource provider); codes that
none of them shows are constants with a comment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import usages

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

ACCOUNT = "Microsoft.NetApp/netAppAccounts"
POOL = f"{ACCOUNT}/capacityPools"
VOLUME = f"{POOL}/volumes"
SNAPSHOT = f"{VOLUME}/snapshots"
QUOTA_RULE = f"{VOLUME}/volumeQuotaRules"
SNAPSHOT_POLICY = f"{ACCOUNT}/snapshotPolicies"
BACKUP_POLICY = f"{ACCOUNT}/backupPolicies"
BACKUP_VAULT = f"{ACCOUNT}/backupVaults"
DELEGATION = "Microsoft.NetApp/volumes"

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9\-_]{0,127}$")
GIB, TIB = 2**30, 2**40
DAY = 86_400.0
# MiB/s that each TiB brings, per service level, cheapest first.
THROUGHPUT = {"Standard": 16, "StandardZRS": 16, "Premium": 64, "Ultra": 128, "Flexible": 0}

# Quota name -> its default (azure-netapp-files/resource-limits); all can be set (PUT /emulator/quota).
LIMITS = {
    "accountsPerSubscription": 10,
    "totalTiBsPerSubscription": 25,
    "totalVolumesPerSubscription": 500,
    "totalCoolAccessVolumesPerSubscription": 10,
    "totalDPVolumesPerSubscription": 10,
    "poolsPerAccount": 25,
    "volumesPerPool": 500,
    "snapshotsPerVolume": 255,
}
# Assumption: only the refusal of capacity is known (terraform-provider-azurerm#24514), not that of a number of things.
TOO_MANY = "QuotaExceeded"


def invalid(value: object, name: str, rule: str) -> errors.ArmError:
    """A value outside of its range."""
    return errors.bad_request(
        "InvalidValueReceived", f"An invalid value '{value}' was received for {name}. {rule}", target=name
    )


def long_name(engine: Engine, resource: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    """NetApp writes a child's name with its parents' (azure-cli recordings)."""
    shown["name"] = "/".join(parse(resource.id).names)


def limit(engine: Engine, location: str, name: str) -> int:
    """The present limit of a quota in a region."""
    return usages.limit(engine, location, name, LIMITS[name])


def require_room(engine: Engine, location: str, quota: str, count: int, kind: str) -> None:
    """Refuse one thing more than a quota of numbers allows."""
    allowed = limit(engine, location, quota)
    if count >= allowed:
        raise errors.conflict(
            TOO_MANY,
            f"Creating a new {kind} would exceed the quota {quota} of {allowed} in {location}. Current usage is "
            f"{count}. To learn more about Azure NetApp Files limits, see Resource limits for Azure NetApp Files "
            "https://docs.microsoft.com/azure/azure-netapp-files/azure-netapp-files-resource-limits",
        )


def provisioned(engine: Engine, subscription: str, location: str, but: str = "") -> int:
    """Bytes of all capacity pools of a subscription in a region, but for one of them."""
    pools = engine.store.in_region(POOL, subscription, location)
    return sum(int(pool.properties["size"]) for pool in pools if pool.key != but.lower())
