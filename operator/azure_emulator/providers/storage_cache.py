"""Microsoft.StorageCache: Azure Managed Lustre file systems and the jobs that make them grow.

Capacity rules are those of azure-managed-lustre/create-file-system-portal and amlfs-prerequisites.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.network import addresses, provisioned_subnet
from azure_emulator.providers.protocols import STORAGE_CACHE, operation_functions
from azure_emulator.types import Change, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

FILE_SYSTEM = "Microsoft.StorageCache/amlFilesystems"
EXPANSION = f"{FILE_SYSTEM}/expansionJobs"

# sku -> MB/s per TiB, step and smallest TiB, largest TiB (the newer of two published tables).
SKUS = {
    "AMLFS-Durable-Premium-40": (40, 48, 1536),
    "AMLFS-Durable-Premium-125": (125, 16, 512),
    "AMLFS-Durable-Premium-250": (250, 8, 256),
    "AMLFS-Durable-Premium-500": (500, 4, 128),
}
# Up to so many TiB, the subnet must be at least this large (amlfs-prerequisites).
SUBNETS = ((16, 27), (40, 26), (92, 25), (196, 24), (math.inf, 23))
# Assumption: no recording of this refusal was found.
BAD_SUBNET = "InvalidSubnetSize"
# Assumption: nothing public says how long an expansion takes.
EXPANSION_SECONDS = 600


def _check(change: Change) -> None:
    properties = change.properties
    sku = str(bodies.get(change.body, "sku.name"))
    if sku not in SKUS:
        raise errors.invalid_parameter("sku.name", sku, f"Allowed values are {', '.join(SKUS)}.")
    throughput, step, largest = SKUS[sku]
    _check_window(properties)
    assigned_identities.complete(change)
    if len(change.body.get("zones") or []) > 1:
        raise errors.invalid_parameter("zones", change.body["zones"], "A file system is in one availability zone.")
    if change.exists:
        return
    capacity = _rounded(properties["storageCapacityTiB"], step, largest)
    properties["storageCapacityTiB"] = capacity
    subnet = provisioned_subnet(change, str(properties["filesystemSubnet"]))
    wanted = next(prefix for up_to, prefix in SUBNETS if capacity <= up_to)
    prefix = addresses.prefixes(subnet)[0].prefixlen
    if prefix > wanted:
        raise errors.bad_request(
            BAD_SUBNET,
            f"The subnet {subnet.id} is a /{prefix}, but a file system of {capacity:g} TiB needs a /{wanted} or "
            "larger.",
            target="filesystemSubnet",
        )
    properties["filesystemSubnet"] = subnet.id
    properties["throughputProvisionedMBps"] = int(capacity * throughput)
    address = addresses.allot(change.engine, subnet, change.id)
    change.internal["address"] = address
    change.internal["addresses"] = [[subnet.key, address]]


def _rounded(value: Any, step: int, largest: int) -> float:
    """Capacities are rounded up, never down."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise errors.invalid_parameter("storageCapacityTiB", value, "It must be a positive number.")
    capacity = float(math.ceil(value / step) * step)
    if capacity > largest:
        raise errors.invalid_parameter(
            "storageCapacityTiB", value, f"For this sku it can be from {step} to {largest} in steps of {step}."
        )
    return capacity


def _check_window(properties: Mapping[str, Any]) -> None:
    window = properties["maintenanceWindow"]
    if not isinstance(window, dict) or not window.get("dayOfWeek") or not window.get("timeOfDayUTC"):
        raise errors.invalid_parameter("maintenanceWindow", window, "It needs dayOfWeek and timeOfDayUTC.")


def _finished(engine: Engine, system: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    properties, address = system.properties, system.internal["address"]
    properties.setdefault("currentStorageCapacityTiB", properties["storageCapacityTiB"])
    properties["clientInfo"] = {
        "mgsAddress": address, "mountCommand": f"mount -t lustre {address}@tcp:/lustrefs /azuremanagedlustrefs",
        "lustreVersion": "2.15.7", "containerStorageInterface": {
            "persistentVolumeClaim": "", "persistentVolume": "", "storageClass": ""},
    }  # fmt: skip


def _view(engine: Engine, system: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    expanding = _expanding(engine, system.id) is not None
    health = {
        "Succeeded": ("Expanding", "amlfs is expanding.") if expanding else ("Available", "amlfs is ok."),
        "Failed": ("Unavailable", "amlfs could not be created."),
    }.get(system.state, ("Transitioning", "amlfs is changing."))
    shown["properties"]["health"] = {
        "state": health[0], "statusCode": health[0], "statusDescription": health[1],
    }  # fmt: skip


def _expanding(engine: Engine, system_id: str) -> Resource | None:
    for job in engine.store.children(system_id, EXPANSION):
        running = engine.running(job)
        if running is not None and running.verb == "PUT":
            return job
    return None


def _check_expansion(change: Change) -> None:
    system = change.engine.require(parse(change.path.parent))
    if change.exists:
        return
    _, step, largest = SKUS[system.body["sku"]["name"]]
    wanted = change.properties["newStorageCapacityTiB"]
    current = system.properties.get("currentStorageCapacityTiB", system.properties["storageCapacityTiB"])
    if not isinstance(wanted, int | float) or wanted <= current or wanted % step or wanted > largest:
        raise errors.invalid_parameter(
            "newStorageCapacityTiB",
            wanted,
            f"It must be a multiple of {step}, more than the current {current:g} and at most {largest}.",
        )
    running = _expanding(change.engine, system.id)
    if running is not None or system.state != "Succeeded":
        raise errors.conflict(
            "Conflict",
            f"The file system {system.name} is in state {system.state} or expanding already, and cannot expand now.",
        )
    change.internal["from"] = current


def _expanded(engine: Engine, job: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    system = engine.store.get(job.parent)
    if system is None:
        return
    capacity = float(job.properties["newStorageCapacityTiB"])
    system.properties["currentStorageCapacityTiB"] = capacity
    system.properties["throughputProvisionedMBps"] = int(capacity * SKUS[system.body["sku"]["name"]][0])
    engine.store.save(system)


def _view_expansion(engine: Engine, job: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    running = engine.running(job)
    states = {"Succeeded": "Completed", "Failed": "Failed", "Deleting": "Deleting"}
    status: dict[str, Any] = {
        "state": states.get(job.state, "InProgress"), "statusCode": "", "statusMessage": "", "percentComplete": 100.0,
        "startTimeUTC": engine.clock.iso(job.created),
    }  # fmt: skip
    if running is not None:
        share = (engine.now - running.start) / (running.end - running.start)
        status["percentComplete"] = round(100 * min(1.0, share), 1)
    else:
        status["completionTimeUTC"] = engine.clock.iso(job.changed)
    shown["properties"]["status"] = status


TYPES = (
    ResourceType(
        name=FILE_SYSTEM,
        protocol=STORAGE_CACHE,
        put=Verb(seconds=720, update_seconds=30),
        patch=Patch(seconds=30, status=202, allowed=frozenset({
            "tags", "properties.maintenanceWindow", "properties.encryptionSettings",
            "properties.rootSquashSettings"})),
        delete=Verb(seconds=300),
        required=("sku.name", "properties.storageCapacityTiB", "properties.filesystemSubnet",
                  "properties.maintenanceWindow"),
        read_only=("properties.health", "properties.clientInfo", "properties.throughputProvisionedMBps",
                   "properties.currentStorageCapacityTiB", "properties.hsm.archiveStatus"),
        immutable=("sku.name", "zones", "properties.storageCapacityTiB", "properties.filesystemSubnet",
                   "properties.hsm.settings", "identity.userAssignedIdentities"),
        delete_first=20,
        check=_check,
        finished=_finished,
        view=_view,
        depth="capacity steps, subnet sizes, client address, what PATCH may change",
    ),
    ResourceType(
        name=EXPANSION,
        protocol=STORAGE_CACHE,
        put=Verb(seconds=EXPANSION_SECONDS),
        patch=Patch(allowed=frozenset({"tags"})),
        delete=Verb(seconds=10, created=202, updated=202),
        required=("properties.newStorageCapacityTiB",),
        defaults={"properties.runRebalanceJob": True},
        read_only=("properties.status", "properties.rebalanceJobId"),
        immutable=("properties.newStorageCapacityTiB",),
        check=_check_expansion,
        finished=_expanded,
        view=_view_expansion,
        depth="growth in steps, one at a time, progress; the file system shows the new capacity when it is done",
    ),
)  # fmt: skip

PROVIDER = Provider(namespace="Microsoft.StorageCache", types=TYPES, functions=operation_functions(STORAGE_CACHE))
