"""Jobs of Lustre file systems: growing and balancing, importing from blobs and exporting to them.

There are no files and no blobs, so importing and exporting jobs run and count to zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.protocols import STORAGE_CACHE
from azure_emulator.providers.storage_cache.common import (
    AUTO_EXPORT,
    AUTO_IMPORT,
    BAD_SUBNET,
    EXPANSION,
    IMPORT,
    NAME,
    REBALANCE,
    SKUS,
    addresses_needed,
    begin_work,
    is_over,
    percent,
    sku_of,
    state_of,
    stop_work,
    take_addresses,
    why_too_small,
    works,
)
from azure_emulator.store import Resource
from azure_emulator.types import Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation

# Assumptions: nothing public says how long these take, nor how they are refused.
EXPANSION_SECONDS, REBALANCE_SECONDS, IMPORT_SECONDS, STOP_SECONDS = 600.0, 1200.0, 300.0, 60.0
NO_HSM, JOB_RUNS = "HsmNotConfigured", "JobInProgress"
FOR_EVER = 1e12
_CONFLICTS = ("Fail", "Skip", "OverwriteIfDirty", "OverwriteAlways")
PREFIXES = 100


def _system_of(change: Change) -> Resource:
    return change.engine.require(parse(change.path.parent))


def _require_available(system: Resource) -> None:
    if system.state != "Succeeded":
        raise errors.conflict(
            "Conflict", f"The file system {system.name} is in state {system.state}, and must be Succeeded."
        )


# -- growing ---------------------------------------------------------------------------------------------------------


def expanding(engine: Engine, system_id: str) -> Resource | None:
    """The job that a file system grows by, if it does."""
    for job in engine.store.children(system_id, EXPANSION):
        running = engine.running(job)
        if running is not None and running.verb == "PUT":
            return job
    return None


def _check_expansion(change: Change) -> None:
    engine, system = change.engine, _system_of(change)
    if change.exists:
        return
    sku = sku_of(system.body["sku"]["name"])
    wanted = change.properties["newStorageCapacityTiB"]
    current = system.properties.get("currentStorageCapacityTiB", system.properties["storageCapacityTiB"])
    if not isinstance(wanted, int | float) or wanted <= current or wanted % sku.step or wanted > sku.largest:
        raise errors.invalid_parameter(
            "newStorageCapacityTiB",
            wanted,
            f"It must be a multiple of {sku.step}, more than the current {current:g} and at most {sku.largest}.",
        )
    if expanding(engine, system.id) is not None or system.state != "Succeeded":
        raise errors.conflict(
            "Conflict",
            f"The file system {system.name} is in state {system.state} or expanding already, and cannot expand now.",
        )
    subnet = engine.require(parse(str(system.properties["filesystemSubnet"])))
    more = addresses_needed(engine, wanted) - addresses_needed(engine, current)
    problem = why_too_small(engine, subnet, more, f"growing to {wanted:g} TiB")
    if problem is not None:
        raise errors.bad_request(BAD_SUBNET, problem, target="newStorageCapacityTiB")
    change.internal["addresses"] = take_addresses(engine, subnet, change.id, more)


def _expanded(engine: Engine, job: Resource, operation: Operation) -> None:
    system = engine.store.get(job.parent)
    if system is None or operation.verb != "PUT" or "addresses" not in job.internal:
        return
    taken = job.internal.pop("addresses")
    engine.store.save(job)
    system.internal["addresses"] = [*system.internal["addresses"], *taken]
    capacity = float(job.properties["newStorageCapacityTiB"])
    system.properties["currentStorageCapacityTiB"] = capacity
    system.properties["throughputProvisionedMBps"] = int(capacity * SKUS[system.body["sku"]["name"]].throughput)
    engine.store.save(system)
    if job.properties["runRebalanceJob"]:
        job.properties["rebalanceJobId"] = _begin_rebalance(engine, job).id


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
        failure = job.internal.get("failure") or {}
        status.update(statusCode=failure.get("code", ""), statusMessage=failure.get("message", ""))
    shown["properties"]["status"] = status


def _begin_rebalance(engine: Engine, job: Resource) -> Resource:
    """Files spread over the new servers after an expansion; the job has the name of the expansion (assumption)."""
    rebalance = Resource(
        id=f"{job.parent}/rebalanceJobs/{job.name}", type=REBALANCE, created=engine.now, changed=engine.now,
        complete=True, body={"properties": {"expansionJobId": job.id, "adminStatus": "Active"}},
        internal={"work": begin_work(engine, job.id, REBALANCE_SECONDS)},
    )  # fmt: skip
    engine.store.save(rebalance)
    return rebalance


def _view_rebalance(engine: Engine, job: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    work = job.internal["work"]
    status: dict[str, Any] = {
        "state": state_of(engine, work, "InProgress", "Cancelling", "Canceled", "Completed"), "statusCode": "",
        "statusMessage": "", "percentComplete": percent(engine, work), "balancePercent": percent(engine, work),
        "estimatedRemainingSeconds": int(max(0.0, work["end"] - engine.now)), "filesMigrated": 0, "dirsMigrated": 0,
        "bytesMoved": 0, "filesMovedPerSecond": 0.0, "throughputMiBps": 0.0, "totalErrors": 0, "totalSkipped": 0,
        "startTimeUTC": engine.clock.iso(work["start"]),
    }  # fmt: skip
    if is_over(engine, work):
        status["completionTimeUTC"] = engine.clock.iso(work["stopped"] or work["end"])
    shown["properties"]["status"] = status


# -- importing and exporting -----------------------------------------------------------------------------------------


def hydrate(engine: Engine, system: Resource) -> None:
    """A new file system with blob integration begins by importing (its name: assumption)."""
    settings = bodies.get(system.body, "properties.hsm.settings")
    prefixes = settings.get("importPrefixesInitial") or [settings.get("importPrefix") or "/"]
    job = Resource(
        id=f"{system.id}/importJobs/initial", type=IMPORT, created=engine.now, changed=engine.now, complete=True,
        body={"location": system.location, "properties": {
            "adminStatus": "Active", "importPrefixes": prefixes, "conflictResolutionMode": "Fail",
            "maximumErrors": 0}},
        internal={"work": begin_work(engine, f"{system.id}/initial", IMPORT_SECONDS)},
    )  # fmt: skip
    engine.store.save(job)


def _require_hsm(change: Change) -> Resource:
    system = _system_of(change)
    if not bodies.get(system.body, "properties.hsm.settings"):
        raise errors.bad_request(NO_HSM, f"The file system {system.name} has no blob integration.")
    if not change.exists:
        _require_available(system)
    return system


def _refuse_second(change: Change, system: Resource, *types: str) -> None:
    """One job of a kind works on a file system at a time."""
    for type_name in types:
        for job in change.engine.store.children(system.id, type_name):
            if job.key != change.path.key and works(change.engine, job.internal["work"]):
                raise errors.conflict(JOB_RUNS, f"The job {job.name} of file system {system.name} is in progress.")


def _check_prefixes(change: Change, name: str) -> None:
    prefixes = change.properties[name]
    if not isinstance(prefixes, list) or not 0 < len(prefixes) <= PREFIXES:
        raise errors.invalid_parameter(name, prefixes, f"It must be a list of 1 to {PREFIXES} prefixes.")
    for prefix in prefixes:
        if not str(prefix).startswith("/"):
            raise errors.invalid_parameter(name, prefix, "A prefix begins with a slash.")


def _check_mode(change: Change) -> None:
    mode, most = change.properties["conflictResolutionMode"], change.properties["maximumErrors"]
    if mode not in _CONFLICTS:
        raise errors.invalid_parameter("conflictResolutionMode", mode, f"It must be one of {', '.join(_CONFLICTS)}.")
    if not isinstance(most, int) or most < -1:
        raise errors.invalid_parameter("maximumErrors", most, "It must be -1 (any number), 0 or more.")


def _follow_admin(change: Change, on: str, off: str) -> None:
    """What the administrator wants of a job decides whether it works."""
    engine, status = change.engine, change.properties["adminStatus"]
    if status not in (on, off):
        raise errors.invalid_parameter("adminStatus", status, f"It must be {on} or {off}.")
    work = change.internal.get("work")
    if work is not None and status == off:
        stop_work(engine, work, STOP_SECONDS)


def _check_import(change: Change) -> None:
    system = _require_hsm(change)
    _check_prefixes(change, "importPrefixes")
    _check_mode(change)
    if not change.exists:
        _refuse_second(change, system, IMPORT, AUTO_IMPORT)
        change.internal["work"] = begin_work(change.engine, change.id, IMPORT_SECONDS)
    _follow_admin(change, "Active", "Cancel")


def _check_auto_import(change: Change) -> None:
    system = _require_hsm(change)
    _check_prefixes(change, "autoImportPrefixes")
    _check_mode(change)
    _check_auto(change, system, AUTO_IMPORT, IMPORT)


def _check_auto_export(change: Change) -> None:
    system = _require_hsm(change)
    _check_prefixes(change, "autoExportPrefixes")
    _check_auto(change, system, AUTO_EXPORT)


def _check_auto(change: Change, system: Resource, *types: str) -> None:
    """Jobs that go on until they are disabled; enabling one again begins anew."""
    engine, work = change.engine, change.internal.get("work")
    begins = work is None or (change.properties["adminStatus"] == "Enable" and is_over(engine, work))
    if begins:
        _refuse_second(change, system, *types)
        change.internal["work"] = begin_work(engine, change.id, FOR_EVER)
    _follow_admin(change, "Enable", "Disable")


def _times(engine: Engine, work: dict[str, Any], started: str, completed: str) -> dict[str, Any]:
    times = {started: engine.clock.iso(work["start"])}
    if is_over(engine, work):
        times[completed] = engine.clock.iso(work["stopped"] or work["end"])
    return times


_IMPORTED = ("totalBlobsWalked", "totalBlobsImported", "importedFiles", "importedDirectories", "importedSymlinks",
             "preexistingFiles", "preexistingDirectories", "preexistingSymlinks", "totalErrors",
             "totalConflicts")  # fmt: skip
_EXPORTED = ("totalFilesExported", "totalMiBExported", "totalFilesFailed", "currentIterationFilesDiscovered",
             "currentIterationMiBDiscovered", "currentIterationFilesExported", "currentIterationMiBExported",
             "currentIterationFilesFailed")  # fmt: skip


def _view_import(engine: Engine, job: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    work = job.internal["work"]
    shown["properties"]["status"] = {
        "state": state_of(engine, work, "InProgress", "Cancelling", "Canceled", "Completed"), "statusMessage": "",
        **dict.fromkeys((*_IMPORTED, "blobsWalkedPerSecond", "blobsImportedPerSecond"), 0),
        **_times(engine, work, "lastStartedTime", "lastCompletionTime"),
    }  # fmt: skip


def _view_auto_import(engine: Engine, job: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    work = job.internal["work"]
    shown["properties"]["status"] = {
        "state": state_of(engine, work, "InProgress", "Disabling", "Disabled", "Disabled"), "statusCode": "",
        "statusMessage": "", **dict.fromkeys((*_IMPORTED, "rateOfBlobWalk", "rateOfBlobImport"), 0),
        "blobSyncEvents": {**dict.fromkeys((*_IMPORTED[2:], "totalBlobsImported", "rateOfBlobImport", "deletions"), 0),
                           "lastTimeFullySynchronized": engine.clock.iso(engine.now)},
        **_times(engine, work, "lastStartedTimeUTC", "lastCompletionTimeUTC"),
    }  # fmt: skip


def _view_auto_export(engine: Engine, job: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    work = job.internal["work"]
    shown["properties"]["status"] = {
        "state": state_of(engine, work, "InProgress", "Disabling", "Disabled", "Disabled"), "statusCode": "",
        "statusMessage": "", "exportIterationCount": 0, **dict.fromkeys(_EXPORTED, 0),
        **_times(engine, work, "lastStartedTimeUTC", "lastCompletionTimeUTC"),
    }  # fmt: skip


def _check_rebalance(change: Change) -> None:
    _follow_admin(change, "Active", "Cancel")


_TAGS, _ADMIN = frozenset({"tags"}), frozenset({"tags", "properties.adminStatus"})
_GONE = Verb(seconds=10, created=202, updated=202)

TYPES = (
    ResourceType(
        name=EXPANSION, protocol=STORAGE_CACHE, put=Verb(seconds=EXPANSION_SECONDS), patch=Patch(allowed=_TAGS),
        delete=_GONE, name_pattern=NAME, required=("properties.newStorageCapacityTiB",),
        defaults={"properties.runRebalanceJob": True},
        read_only=("properties.status", "properties.rebalanceJobId"),
        immutable=("properties.newStorageCapacityTiB", "properties.runRebalanceJob"),
        check=_check_expansion, finished=_expanded, view=_view_expansion,
        depth="growth in steps, one at a time, addresses, progress; the file system shows the new capacity when it is "
        "done, and balances",
    ),
    ResourceType(
        name=REBALANCE, protocol=STORAGE_CACHE, put=None, patch=Patch(seconds=5, status=202, allowed=_ADMIN),
        delete=_GONE, location=None, tags=False, read_only=("properties.status", "properties.expansionJobId"),
        check=_check_rebalance, view=_view_rebalance,
        depth="made by expansions; progress, can be canceled",
    ),
    ResourceType(
        name=IMPORT, protocol=STORAGE_CACHE, put=Verb(seconds=10),
        patch=Patch(seconds=5, status=202, allowed=_ADMIN), delete=_GONE, name_pattern=NAME,
        defaults={"properties.adminStatus": "Active", "properties.importPrefixes": ["/"],
                  "properties.conflictResolutionMode": "Fail", "properties.maximumErrors": 0},
        read_only=("properties.status",), check=_check_import, view=_view_import,
        depth="needs blob integration, one at a time, can be canceled; imports nothing",
    ),
    ResourceType(
        name=AUTO_IMPORT, protocol=STORAGE_CACHE, put=Verb(seconds=10),
        patch=Patch(seconds=5, status=202, allowed=_ADMIN), delete=_GONE, name_pattern=NAME,
        defaults={"properties.adminStatus": "Enable", "properties.autoImportPrefixes": ["/"],
                  "properties.conflictResolutionMode": "Skip", "properties.enableDeletions": False,
                  "properties.maximumErrors": 0},
        read_only=("properties.status",), check=_check_auto_import, view=_view_auto_import,
        depth="needs blob integration, one at a time, runs until disabled; imports nothing",
    ),
    ResourceType(
        name=AUTO_EXPORT, protocol=STORAGE_CACHE, put=Verb(seconds=10),
        patch=Patch(seconds=5, status=202, allowed=_ADMIN), delete=_GONE, name_pattern=NAME,
        defaults={"properties.adminStatus": "Enable", "properties.autoExportPrefixes": ["/"]},
        read_only=("properties.status",), check=_check_auto_export, view=_view_auto_export,
        depth="needs blob integration, one at a time, runs until disabled; exports nothing",
    ),
)  # fmt: skip
