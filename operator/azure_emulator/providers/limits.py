"""Request limits of the resource providers themselves, besides ARM's own buckets.

Data only. Sources: azure-compute-docs, compute-throttling-limits (bucket sizes and refill for each resource and for
each subscription and region); azure-docs, request-limits-and-throttling (Network and private DNS: per 5 minutes); for
Storage a page that quotes an older one (reads per 5 minutes, writes per second and hour). The names are those
of the header x-ms-ratelimit-remaining-resource in public traces, made up after their pattern where none was found.
"""

from __future__ import annotations

from azure_emulator.types import Provider, Rate

_COMPUTE = "Microsoft.Compute"
_VM, _SET, _SET_VM = "virtualMachines", "virtualMachineScaleSets", "virtualMachineScaleSets/virtualMachines"
_READ, _WRITE, _UPDATE, _DELETE = (
    frozenset({"GET", "HEAD"}),
    frozenset({"PUT"}),
    frozenset({"PATCH", "POST"}),
    frozenset({"DELETE"}),
)
_THROTTLED = "OperationNotAllowed"

# (policy, methods, type below Microsoft.Compute, per region: refill per minute and bucket, per resource: the same)
_COMPUTE_POLICIES: tuple[tuple[str, frozenset[str], str, tuple[int, int], tuple[int, int] | None], ...] = (
    ("PutVM", _WRITE, _VM, (500, 1500), (4, 12)),
    ("UpdateVM", _UPDATE, f"{_VM}(/[^/]+)?", (500, 1500), (4, 12)),
    ("DeleteVM", _DELETE, _VM, (500, 1500), (4, 12)),
    ("LowCostGet", _READ, f"{_VM}(/instanceView)?", (8000, 24000), (12, 36)),
    ("GetOperation", _READ, "locations/operations", (5000, 15000), (15, 45)),
    ("PutVMScaleSet", _WRITE, _SET, (125, 375), (4, 12)),
    ("UpdateVMScaleSet", _UPDATE, f"{_SET}(/[^/]+)?", (500, 1500), (4, 12)),
    ("DeleteVMScaleSet", _DELETE, _SET, (175, 525), (4, 12)),
    ("GetVMScaleSet", _READ, _SET, (800, 2400), (12, 36)),
    ("HighCostGetVMScaleSet", _READ, f"{_SET}/(instanceView|virtualMachines)", (360, 1080), (10, 30)),
    ("UpdateVMScaleSetVM", _WRITE | _UPDATE | _DELETE, f"{_SET_VM}(/[^/]+)?", (500, 1500), (4, 12)),
)


def _compute() -> tuple[Rate, ...]:
    rates = []
    for name, methods, path, (minute, size), own in _COMPUTE_POLICIES:
        types = f"{_COMPUTE}/{path}"
        rates.append(Rate(f"{name}SubscriptionMaximum", methods, types, size, minute, code=_THROTTLED))
        if own is not None:
            rates.append(Rate(f"{name}Resource", methods, types, own[1], own[0], per="resource", code=_THROTTLED))
    return tuple(rates)


_ANY_NETWORK = "Microsoft.Network/.*"
# Only what one says to Azure about accounts; operations are followed without a limit.
_ANY_STORAGE = "Microsoft.Storage/storageAccounts(/.*)?"

# Network and Storage show no remaining-resource header in recordings; their buckets count all the same.
PROVIDERS = (
    Provider(_COMPUTE, rates=_compute()),
    Provider("Microsoft.Network", rates=(
        Rate("Writes", _WRITE | _UPDATE | _DELETE, _ANY_NETWORK, 1000, 200, shown=False),
        Rate("Reads", _READ, _ANY_NETWORK, 10_000, 2000, shown=False),
        Rate("PrivateDnsReads", _READ, "Microsoft.Network/privateDnsZones(/.*)?", 500, 100, shown=False),
    )),
    Provider("Microsoft.Storage", rates=(
        Rate("Reads", _READ, _ANY_STORAGE, 800, 160, shown=False),
        Rate("WritesPerSecond", _WRITE | _UPDATE | _DELETE, _ANY_STORAGE, 10, 600, shown=False),
        Rate("WritesPerHour", _WRITE | _UPDATE | _DELETE, _ANY_STORAGE, 1200, 20, shown=False),
    )),
)  # fmt: skip
