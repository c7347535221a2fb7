"""What the modules of Microsoft.StorageCache share: type names, skus, sizes of subnets, and time as progress.

Capacity rules are those of azure-managed-lustre/create-file-system-portal and amlfs-prerequisites.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.providers import usages
from azure_emulator.providers.network import addresses

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

FILE_SYSTEM = "Microsoft.StorageCache/amlFilesystems"
EXPANSION = f"{FILE_SYSTEM}/expansionJobs"
REBALANCE = f"{FILE_SYSTEM}/rebalanceJobs"
IMPORT = f"{FILE_SYSTEM}/importJobs"
AUTO_IMPORT = f"{FILE_SYSTEM}/autoImportJobs"
AUTO_EXPORT = f"{FILE_SYSTEM}/autoExportJobs"

NAME = re.compile(r"^[0-9A-Za-z][-0-9A-Za-z_]{0,78}[0-9A-Za-z_]$")
# What a subscription may have in a region; 4 is what public refusals show (microsoft/mcp#1165).
USAGE, FILE_SYSTEMS = "AmlFilesystem", 4


@dataclass(frozen=True)
class Sku:
    """A sku: MB/s for each TiB, the smallest size and step in TiB, the largest one, and the largest one by request."""

    throughput: int
    step: int
    usual: int
    largest: int


# The older of two published tables has the usual maxima, the newer one the largest.
SKUS = {
    "AMLFS-Durable-Premium-40": Sku(40, 48, 768, 1536),
    "AMLFS-Durable-Premium-125": Sku(125, 16, 128, 512),
    "AMLFS-Durable-Premium-250": Sku(250, 8, 128, 256),
    "AMLFS-Durable-Premium-500": Sku(500, 4, 128, 128),
}

# Addresses that a file system takes: these numbers give exactly the prefixes that amlfs-prerequisites publishes (/27 up
# to 16 TiB, /26 up to 40, /25 up to 92, /24 up to 196, /23 up to 400). A sample output in the same documentation says
# 10 for 48 TiB of the slowest sku, which needs fewer; settings `lustreAddressesPerTiB` and `lustreAddressesBase`.
ADDRESSES_PER_TIB, ADDRESSES_BASE = 1.25, 5
# Assumption: no recording of this refusal was found.
BAD_SUBNET = "InvalidSubnetSize"


def sku_of(name: object) -> Sku:
    """The sku of that name, or its refusal."""
    sku = SKUS.get(str(name))
    if sku is None:
        raise errors.invalid_parameter("sku.name", name, f"Allowed values are {', '.join(SKUS)}.")
    return sku


def rounded(value: Any, sku: Sku) -> float:
    """Capacities are rounded up, never down."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise errors.invalid_parameter("storageCapacityTiB", value, "It must be a positive number.")
    capacity = float(math.ceil(value / sku.step) * sku.step)
    if capacity > sku.largest:
        raise errors.invalid_parameter(
            "storageCapacityTiB", value, f"For this sku it can be from {sku.step} to {sku.largest} in steps of "
            f"{sku.step}."
        )  # fmt: skip
    return capacity


def addresses_needed(engine: Engine, capacity: float) -> int:
    """How many addresses of its subnet a file system of that capacity takes."""
    each = float(engine.setting("lustreAddressesPerTiB", ADDRESSES_PER_TIB))
    return math.ceil(capacity * each) + int(engine.setting("lustreAddressesBase", ADDRESSES_BASE))


def why_too_small(engine: Engine, subnet: Resource, needed: int, what: str) -> str | None:
    """Why a subnet has not enough addresses, None if it has."""
    free = addresses.usable(subnet) - len(engine.store.addresses(subnet.id))
    if free >= needed:
        return None
    return f"The subnet {subnet.id} has {max(0, free)} addresses left, but {what} needs {needed}."


def take_addresses(engine: Engine, subnet: Resource, resource_id: str, count: int) -> list[list[str]]:
    """Allot so many addresses, as `internal["addresses"]` keeps them."""
    return [[subnet.key, addresses.allot(engine, subnet, resource_id)] for _ in range(count)]


def require_quota(engine: Engine, subscription: str, location: str) -> None:
    """Refuse one file system more than the quota allows."""
    used = len(engine.store.in_region(FILE_SYSTEM, subscription, location))
    allowed = usages.limit(engine, location, USAGE, FILE_SYSTEMS)
    if used >= allowed:
        raise errors.conflict(
            "OperationNotAllowed",
            f"Operation results in exceeding quota limits of resource type {USAGE}. Maximum allowed: {allowed}, "
            f"Current in use: {used}, Additional requested: 1.",
        )


# -- progress --------------------------------------------------------------------------------------------------------
#
# What a job has done is a function of the time: internal["work"] has its start, end, and when it was asked to stop.


def begin_work(engine: Engine, resource_id: str, seconds: float) -> dict[str, Any]:
    """Work that goes on from now."""
    return {"start": engine.now, "end": engine.now + engine.jittered(seconds, resource_id, "work"), "stopped": None}


def stop_work(engine: Engine, work: dict[str, Any], seconds: float) -> None:
    """Let work that goes on end in a moment without being done."""
    if works(engine, work):
        work["stopped"] = engine.now + seconds


def works(engine: Engine, work: dict[str, Any]) -> bool:
    """Whether it goes on and nobody has asked it to stop."""
    return work["stopped"] is None and engine.now < work["end"]


def is_over(engine: Engine, work: dict[str, Any]) -> bool:
    """Whether it has ended, done or not."""
    return bool(engine.now >= (work["end"] if work["stopped"] is None else work["stopped"]))


def percent(engine: Engine, work: dict[str, Any]) -> float:
    """How much of it is done."""
    until = engine.now if work["stopped"] is None else min(engine.now, work["stopped"])
    span = work["end"] - work["start"]
    return 100.0 if span <= 0 else round(100 * min(1.0, (until - work["start"]) / span), 1)


def state_of(engine: Engine, work: dict[str, Any], going: str, stopping: str, stopped: str, done: str) -> str:
    """The word for what it is doing."""
    if work["stopped"] is not None:
        return stopped if is_over(engine, work) else stopping
    return done if is_over(engine, work) else going
