"""Azure Managed Lustre file systems: capacity, subnet, blob integration, root squash, archiving."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import parse
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.network import provisioned_subnet
from azure_emulator.providers.protocols import STORAGE_CACHE
from azure_emulator.providers.storage import CONTAINER
from azure_emulator.providers.storage_cache import jobs
from azure_emulator.providers.storage_cache.common import (
    BAD_SUBNET,
    FILE_SYSTEM,
    NAME,
    addresses_needed,
    begin_work,
    percent,
    require_quota,
    rounded,
    sku_of,
    state_of,
    stop_work,
    take_addresses,
    why_too_small,
    works,
)
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TIME = re.compile(r"^(?:[01]?\d|2[0-3]):[0-5]\d$")
# Assumptions: nothing public says how long archiving takes (there are no files in it) or to stop it, nor how these are
# refused.
ARCHIVE_SECONDS, STOP_SECONDS = 300.0, 30.0
NO_HSM, ARCHIVING = "HsmNotConfigured", "ArchiveInProgress"


def _check(change: Change) -> None:
    properties = change.properties
    sku = sku_of(bodies.get(change.body, "sku.name"))
    _check_window(properties)
    _check_squash(properties)
    assigned_identities.complete(change)
    zones = change.body.get("zones") or []
    known = locations.zones(change.body["location"])
    if len(zones) > 1 or not set(zones) <= set(known):
        raise errors.invalid_parameter("zones", zones, "A file system is in one availability zone of its region.")
    if change.exists:
        return
    require_quota(change.engine, change.subscription, change.body["location"])
    _check_hsm(change)
    capacity = rounded(properties["storageCapacityTiB"], sku)
    properties["storageCapacityTiB"] = capacity
    properties["throughputProvisionedMBps"] = int(capacity * sku.throughput)
    properties["clusterUuid"] = change.engine.guid()
    _move_in(change, capacity)


def _move_in(change: Change, capacity: float) -> None:
    engine, properties = change.engine, change.properties
    subnet = provisioned_subnet(change, str(properties["filesystemSubnet"]))
    if subnet.properties.get("delegations"):
        raise errors.bad_request(
            BAD_SUBNET, f"The subnet {subnet.id} is delegated to another service.", target="filesystemSubnet"
        )
    needed = addresses_needed(engine, capacity)
    problem = why_too_small(engine, subnet, needed, f"a file system of {capacity:g} TiB")
    if problem is not None:
        raise errors.bad_request(BAD_SUBNET, problem, target="filesystemSubnet")
    properties["filesystemSubnet"] = subnet.id
    change.internal["addresses"] = take_addresses(engine, subnet, change.id, needed)
    change.internal["address"] = change.internal["addresses"][0][1]


def _check_window(properties: Mapping[str, Any]) -> None:
    window = properties["maintenanceWindow"]
    if not isinstance(window, dict) or not window.get("dayOfWeek") or not window.get("timeOfDayUTC"):
        raise errors.invalid_parameter("maintenanceWindow", window, "It needs dayOfWeek and timeOfDayUTC.")
    if window["dayOfWeek"] not in _DAYS or not _TIME.match(str(window["timeOfDayUTC"])):
        raise errors.invalid_parameter("maintenanceWindow", window, "It needs a day of the week and a time as HH:MM.")


def _check_squash(properties: dict[str, Any]) -> None:
    settings = properties.get("rootSquashSettings")
    if not settings:
        return
    mode = settings.setdefault("mode", "None")
    if mode not in ("None", "RootOnly", "All"):
        raise errors.invalid_parameter("rootSquashSettings.mode", mode, "It must be None, RootOnly or All.")
    for name in ("noSquashNidLists", "squashUID", "squashGID"):
        if mode != "None" and settings.get(name) is None:
            raise errors.invalid_parameter(f"rootSquashSettings.{name}", None, f"Mode {mode} needs it.")
    settings["status"] = "" if mode == "None" else "Active"


def _check_hsm(change: Change) -> None:
    settings = bodies.get(change.body, "properties.hsm.settings")
    if not settings:
        return
    paths = [parse(str(settings.get(name) or "")) for name in ("container", "loggingContainer")]
    for name, path in zip(("container", "loggingContainer"), paths, strict=True):
        if path.type_name.lower() != CONTAINER.lower() or change.engine.store.get(path.text) is None:
            raise errors.invalid_parameter(f"hsm.settings.{name}", path.text, "It must be the id of a blob container.")
    if paths[0].names[0].lower() != paths[1].names[0].lower() or paths[0].key == paths[1].key:
        raise errors.invalid_parameter(
            "hsm.settings.loggingContainer", paths[1].text,
            "It must be another container of the same storage account.",
        )  # fmt: skip


def _finished(engine: Engine, system: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    properties, address = system.properties, system.internal["address"]
    if "clientInfo" not in properties and bodies.get(properties, "hsm.settings"):
        jobs.hydrate(engine, system)
    properties.setdefault("currentStorageCapacityTiB", properties["storageCapacityTiB"])
    properties["clientInfo"] = {
        "mgsAddress": address, "mountCommand": f"mount -t lustre {address}@tcp:/lustrefs /azuremanagedlustrefs",
        "lustreVersion": "2.15.7", "containerStorageInterface": {
            "persistentVolumeClaim": "", "persistentVolume": "", "storageClass": ""},
    }  # fmt: skip


def _view(engine: Engine, system: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    expanding = jobs.expanding(engine, system.id) is not None
    health = {
        "Succeeded": ("Expanding", "amlfs is expanding.") if expanding else ("Available", "amlfs is ok."),
        "Failed": ("Unavailable", "amlfs could not be created."),
    }.get(system.state, ("Transitioning", "amlfs is changing."))
    properties = shown["properties"]
    properties["health"] = {"state": health[0], "statusCode": health[0], "statusDescription": health[1]}
    if system.state == "Succeeded":
        properties.setdefault("hsm", {})["archiveStatus"] = [_archive_status(engine, system)]


# -- archiving -------------------------------------------------------------------------------------------------------


def _archive_status(engine: Engine, system: Resource) -> dict[str, Any]:
    archive = system.internal.get("archive")
    if archive is None:
        configured = bodies.get(system.body, "properties.hsm.settings") is not None
        return {"filesystemPath": "/", "status": {"state": "Idle" if configured else "NotConfigured"}}
    work = archive["work"]
    status: dict[str, Any] = {
        "state": state_of(engine, work, "InProgress", "InProgress", "Canceled", "Completed"),
        "lastStartedTime": engine.clock.iso(work["start"]), "percentComplete": int(percent(engine, work)),
        "errorCode": "", "errorMessage": "",
    }  # fmt: skip
    if status["state"] == "Completed":
        status["lastCompletionTime"] = engine.clock.iso(work["end"])
    return {"filesystemPath": archive["path"], "status": status}


def _archive(call: Call, system: Resource) -> Answer:
    if not bodies.get(system.body, "properties.hsm.settings"):
        raise errors.conflict(NO_HSM, f"The file system {system.name} has no blob integration to archive to.")
    archive = system.internal.get("archive")
    if archive is not None and works(call.engine, archive["work"]):
        raise errors.conflict(ARCHIVING, f"The file system {system.name} is archiving already.")
    path = (call.body or {}).get("filesystemPath") if isinstance(call.body, dict) else None
    work = begin_work(call.engine, system.id, ARCHIVE_SECONDS)
    system.internal["archive"] = {"path": str(path or "/"), "work": work}
    call.engine.store.save(system)
    return Answer(200)


def _cancel_archive(call: Call, system: Resource) -> Answer:
    archive = system.internal.get("archive")
    if archive is not None:
        stop_work(call.engine, archive["work"], STOP_SECONDS)
        call.engine.store.save(system)
    return Answer(200)


TYPE = ResourceType(
    name=FILE_SYSTEM,
    protocol=STORAGE_CACHE,
    put=Verb(seconds=720, update_seconds=30),
    patch=Patch(seconds=30, status=202, allowed=frozenset({
        "tags", "properties.maintenanceWindow", "properties.encryptionSettings",
        "properties.rootSquashSettings"})),
    delete=Verb(seconds=300),
    name_pattern=NAME,
    required=("sku.name", "properties.storageCapacityTiB", "properties.filesystemSubnet",
              "properties.maintenanceWindow"),
    read_only=("properties.health", "properties.clientInfo", "properties.throughputProvisionedMBps",
               "properties.currentStorageCapacityTiB", "properties.hsm.archiveStatus", "properties.clusterUuid"),
    immutable=("sku.name", "zones", "properties.storageCapacityTiB", "properties.filesystemSubnet",
               "properties.hsm.settings", "identity.userAssignedIdentities"),
    delete_first=20,
    actions={"archive": Action(run=_archive), "cancelArchive": Action(run=_cancel_archive)},
    check=_check,
    finished=_finished,
    view=_view,
    depth="capacity steps, quota, addresses in the subnet, client address, what PATCH may change, blob integration "
    "with its first import, root squash, archiving",
)  # fmt: skip
