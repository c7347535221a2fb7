"""Quota of cores and machines: what a subscription may have in a region, counted from what exists.

Every machine and reservation notes in `internal["quota"]` what it takes; the store keeps the sums. Knows a machine only
by its size and priority.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers import usages
from azure_emulator.providers.compute.names import AVAILABILITY_SET, DISK, SCALE_SET
from azure_emulator.providers.compute.sizes import FAMILIES, Size, localized
from azure_emulator.types import Answer, Call

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError

TOTAL, SPOT, MACHINES = "cores", "lowPriorityCores", "virtualMachines"

# Defaults are generous on purpose: who wants to see a limit sets one (PUT /emulator/quota).
DEFAULT_LIMITS = {"availabilitySets": 2_500, TOTAL: 50_000, MACHINES: 25_000, "virtualMachineScaleSets": 2_500,
                  "dedicatedVCpus": 0, SPOT: 20_000, "PremiumDiskCount": 50_000,
                  "StandardDiskCount": 50_000}  # fmt: skip
DEFAULT_FAMILY_LIMIT = 20_000

_NAMES = {TOTAL: "Total Regional vCPUs", SPOT: "Total Regional Low-priority vCPUs",
          MACHINES: "Virtual Machines", "virtualMachineScaleSets": "Virtual Machine Scale Sets",
          "availabilitySets": "Availability Sets", "dedicatedVCpus": "Dedicated vCPUs",
          "PremiumDiskCount": "Premium Storage Managed Disks",
          "StandardDiskCount": "Standard Storage Managed Disks"}  # fmt: skip
# In the refusal, quotas have yet other names (karpenter-provider-azure, fake errors).
_IN_MESSAGES = {TOTAL: "Total Regional Cores", SPOT: "LowPriorityCores"}
_COUNTED = ((SCALE_SET, "virtualMachineScaleSets"), (AVAILABILITY_SET, "availabilitySets"))

# Setting `quotaErrorCode`: ARM has been seen to pass Compute's code on, and to put its own in its place.
ERROR_CODES = ("OperationNotAllowed", "QuotaExceeded")
# Setting `deallocatedTakesQuota`: sources differ on whether a deallocated machine still counts its cores (the quota
# pages of azure-docs say yes, users' reports say no).
DEALLOCATED_TAKES_QUOTA = False
# Setting `evictedTakesQuota`: of an evicted machine that is kept the documentation of spot machines says that it does.
EVICTED_TAKES_QUOTA = True


def is_spot(properties: dict[str, Any]) -> bool:
    """Spot VMs, and the older Low ones, count against a quota of their own."""
    return str(properties.get("priority", "Regular")) in ("Spot", "Low")


def cost(size: Size, *, spot: bool) -> dict[str, int]:
    """What a running machine takes; a constrained size takes its parent's full cores."""
    if spot:
        return {SPOT: size.vcpus, MACHINES: 1}
    return {size.family: size.vcpus, TOTAL: size.vcpus, MACHINES: 1}


def usage(engine: Engine, subscription: str, location: str) -> Counter[str]:
    """What a subscription has in use in a region."""
    used = Counter(engine.store.usage(subscription, location))
    for disk in engine.store.in_region(DISK, subscription, location):
        premium = str(bodies.get(disk.body, "sku.name", "")).startswith("Premium")
        used["PremiumDiskCount" if premium else "StandardDiskCount"] += 1
    for type_name, name in _COUNTED:
        used[name] += len(engine.store.in_region(type_name, subscription, location))
    return used


def limit(engine: Engine, location: str, name: str) -> int:
    """The limit of a quota in a region."""
    return usages.limit(engine, location, name, DEFAULT_LIMITS.get(name, DEFAULT_FAMILY_LIMIT))


def require(engine: Engine, subscription: str, location: str, wanted: dict[str, int]) -> None:
    """Refuse what goes beyond a quota of cores or machines."""
    used = engine.store.usage(subscription, location)
    for name, count in wanted.items():
        allowed = limit(engine, location, name)
        if count > 0 and used[name] + count > allowed:
            raise _exceeded(engine, name, location, allowed, used[name], count)


def _exceeded(engine: Engine, name: str, location: str, allowed: int, current: int, required: int) -> ArmError:
    shown = _IN_MESSAGES.get(name, f"{name} Cores" if name.endswith("Family") else name)
    return errors.conflict(
        str(engine.setting("quotaErrorCode", ERROR_CODES[0])),
        f"Operation could not be completed as it results in exceeding approved {shown} quota. Additional details - "
        f"Deployment Model: Resource Manager, Location: {location}, Current Limit: {allowed}, "
        f"Current Usage: {current}, Additional Required: {required}, "
        f"(Minimum) New Limit Required: {current + required}. Setup Alerts when Quota reaches threshold. Submit a "
        "request for Quota increase by specifying parameters listed in the 'Details' section for deployment to "
        "succeed. Please read more about quota limits at "
        "https://docs.microsoft.com/en-us/azure/azure-supportability/per-vm-quota-requests",
    )


def list_usages(call: Call) -> Answer:
    """GET …/locations/{location}/usages."""
    location = usages.location_of(call)
    used = usage(call.engine, call.subscription, location)
    return Answer(200, {"value": [
        usages.row(name, _NAMES.get(name) or localized(name), used[name], limit(call.engine, location, name))
        for name in (*DEFAULT_LIMITS, *FAMILIES)
    ]})  # fmt: skip
