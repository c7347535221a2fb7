"""What limits VMs: the subscription's quota, counted from what exists, and the region's capacity, set by hand.

Used by virtual machines and scale sets; knows a VM only by its size, region, zone and priority.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.providers.compute.sizes import FAMILIES, SIZES, Size, localized, restriction
from azure_emulator.types import Answer, Call

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError

VM = "Microsoft.Compute/virtualMachines"
TOTAL, SPOT = "cores", "lowPriorityCores"

# Defaults are generous on purpose: who wants to see a limit sets one (PUT /emulator/quota).
DEFAULT_LIMITS = {TOTAL: 50_000, SPOT: 20_000, "virtualMachines": 25_000, "virtualMachineScaleSets": 2_500,
                  "availabilitySets": 2_500, "PremiumDiskCount": 50_000, "StandardDiskCount": 50_000}  # fmt: skip
DEFAULT_FAMILY_LIMIT = 20_000

_NAMES = {TOTAL: "Total Regional vCPUs", SPOT: "Total Regional Low-priority vCPUs",
          "virtualMachines": "Virtual Machines", "virtualMachineScaleSets": "Virtual Machine Scale Sets",
          "availabilitySets": "Availability Sets", "PremiumDiskCount": "Premium Storage Managed Disks",
          "StandardDiskCount": "Standard Storage Managed Disks"}  # fmt: skip
# In the refusal, quotas have yet other names (karpenter-provider-azure, fake errors).
_IN_MESSAGES = {TOTAL: "Total Regional Cores", SPOT: "LowPriorityCores"}


def is_spot(properties: dict[str, Any]) -> bool:
    """Spot VMs, and the older Low ones, count against a quota of their own."""
    return str(properties.get("priority", "Regular")) in ("Spot", "Low")


def usage(engine: Engine, location: str) -> Counter[str]:
    """What is in use in a region. Deallocated VMs count too (azure-docs, per-VM quota requests)."""
    used: Counter[str] = Counter()
    for vm in engine.store.of_type(VM):
        if vm.location != location:
            continue
        size = SIZES[str(bodies.get(vm.body, "properties.hardwareProfile.vmSize")).lower()]
        used.update(cost(size, spot=is_spot(vm.properties)))
    for disk in engine.store.of_type("Microsoft.Compute/disks"):
        if disk.location == location:
            premium = str(bodies.get(disk.body, "sku.name", "")).startswith("Premium")
            used["PremiumDiskCount" if premium else "StandardDiskCount"] += 1
    for scale_set in engine.store.of_type("Microsoft.Compute/virtualMachineScaleSets"):
        used["virtualMachineScaleSets"] += scale_set.location == location
    return used


def cost(size: Size, *, spot: bool) -> dict[str, int]:
    """What a VM takes from each quota; a constrained size takes its parent's full cores."""
    if spot:
        return {SPOT: size.vcpus, "virtualMachines": 1}
    return {size.family: size.vcpus, TOTAL: size.vcpus, "virtualMachines": 1}


def limit(engine: Engine, location: str, name: str) -> int:
    """The limit of a quota in a region."""
    default = DEFAULT_LIMITS.get(name, DEFAULT_FAMILY_LIMIT)
    return int(engine.setting("quota", {}).get(f"{location}/{name.lower()}", default))


def require(engine: Engine, location: str, wanted: dict[str, int]) -> None:
    """Refuse what goes beyond a quota; what the current request has been granted already counts."""
    used = usage(engine, location)
    for name, count in wanted.items():
        current = used[name] + engine.pending[f"{location}/{name}"]
        allowed = limit(engine, location, name)
        if count > 0 and current + count > allowed:
            raise _exceeded(name, location, allowed, current, count)
    for name, count in wanted.items():
        engine.pending[f"{location}/{name}"] += count


def grant_used(engine: Engine, location: str, wanted: dict[str, int]) -> None:
    """What was granted exists now, so it counts as usage and no longer as granted."""
    for name, count in wanted.items():
        engine.pending[f"{location}/{name}"] -= count


def _exceeded(name: str, location: str, allowed: int, current: int, required: int) -> ArmError:
    shown = _IN_MESSAGES.get(name, f"{name} Cores" if name.endswith("Family") else name)
    return errors.conflict(
        "OperationNotAllowed",
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
    location = locations.normalise(call.path.names[0])
    if location not in locations.REGIONS:
        raise errors.bad_request(
            "NoRegisteredProviderFound",
            f"No registered resource provider found for location '{location}' and API version '{call.api_version}' for "
            "type 'locations/usages'.",
        )
    used = usage(call.engine, location)
    value = [
        {
            "unit": "Count", "currentValue": used[name], "limit": limit(call.engine, location, name),
            "name": {"value": name, "localizedValue": _NAMES.get(name) or localized(name)},
        }
        for name in (*DEFAULT_LIMITS, *FAMILIES)
    ]  # fmt: skip
    return Answer(200, {"value": value})


# -- capacity --------------------------------------------------------------------------------------------------------


def take_capacity(engine: Engine, size: Size, location: str, zone: str | None, *, spot: bool) -> ArmError | None:
    """Take the place of one VM. Scarcity is raised at once or returned for the end of the operation, as was set."""
    limited = restriction(engine.setting("restrictions", []), size, location)
    if limited is not None and (not limited.get("zones") or zone in limited["zones"]):
        raise sku_not_available(size, location)
    rows = engine.setting("capacity", [])
    found = [row for row in rows if _covers(row, size, location, zone, spot=spot)]
    for row in found:
        if row["count"] <= 0:
            if row["refuse"] == "sync":
                raise sku_not_available(size, location)
            return _allocation_failed(zone)
    for row in found:
        row["count"] -= 1
    if found:
        engine.store.set("capacity", rows)
    return None


def give_capacity_back(engine: Engine, size: Size, location: str, zone: str | None, *, spot: bool) -> None:
    """A VM was deallocated or deleted: someone else can have its place."""
    rows = engine.setting("capacity", [])
    found = [row for row in rows if _covers(row, size, location, zone, spot=spot)]
    for row in found:
        row["count"] += 1
    if found:
        engine.store.set("capacity", rows)


def _covers(row: dict[str, Any], size: Size, location: str, zone: str | None, *, spot: bool) -> bool:
    return (
        row["vmSize"] == size.name.lower()
        and row["location"] in (None, location)
        and row["zone"] in (None, zone)
        and row["priority"] in (None, "Spot" if spot else "Regular")
    )


def sku_not_available(size: Size, location: str) -> ArmError:
    """The synchronous refusal (karpenter-provider-azure, fake errors)."""
    return errors.conflict(
        "SkuNotAvailable",
        f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size.name}' is "
        f"currently not available in location '{location}'. Please try another size or deploy to a different location "
        "or different zone. See https://aka.ms/azureskunotavailable for details.",
        target="sku.name",
    )


def _allocation_failed(zone: str | None) -> ArmError:
    if zone is not None:
        return errors.conflict(
            "ZonalAllocationFailed",
            "Allocation failed. We do not have sufficient capacity for the requested VM size in this zone. Read more "
            "about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
        )
    return errors.conflict(
        "AllocationFailed",
        "Allocation failed. We do not have sufficient capacity for the requested VM size in this region. Read more "
        "about improving likelihood of allocation success at http://aka.ms/allocation-guidance",
    )
