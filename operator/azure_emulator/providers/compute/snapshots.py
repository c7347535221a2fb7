"""Microsoft.Compute/snapshots: full and incremental ones, and copies into other regions that take their time.

There is nothing in a snapshot; sizes, sources and states are what the rules need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.compute import disks
from azure_emulator.providers.compute.names import DISK, SNAPSHOT
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

_SKUS = {"Standard_LRS": "Standard", "Standard_ZRS": "Standard", "Premium_LRS": "Premium"}
# Assumption: how long CopyStart moves data into another region, per GiB.
COPY_SECONDS_PER_GB = 2.0


def _check(change: Change) -> None:
    name = str(bodies.get(change.body, "sku.name") or bodies.get(change.before, "sku.name"))
    if name not in _SKUS:
        raise errors.invalid_parameter("sku.name", name, f"Allowed values are {', '.join(_SKUS)}.")
    change.body["sku"] = {"name": name, "tier": _SKUS[name]}
    properties = change.properties
    creation = properties["creationData"]
    started = creation["createOption"] == "CopyStart"
    source = _copied_from_elsewhere(change, creation) if started else disks.check_creation(change)
    size = disks.decide_size(change, source, None)
    if change.exists:
        return
    _check_full(change, source)
    properties["uniqueId"] = change.engine.guid()
    properties["timeCreated"] = change.engine.clock.iso(change.engine.now)
    if source is not None:
        creation["sourceUniqueId"] = source.properties.get("uniqueId")
        properties.setdefault("diskState", "Unattached")
    if properties.get("incremental"):
        family = source.properties.get("incrementalSnapshotFamilyId") if source is not None else None
        properties["incrementalSnapshotFamilyId"] = family or _family(change, source)
    if str(creation["createOption"]).startswith("Upload"):
        change.internal["upload"] = True
    if started:
        change.internal["copyEnds"] = change.engine.now + size * COPY_SECONDS_PER_GB


def _copied_from_elsewhere(change: Change, creation: dict[str, Any]) -> Resource | None:
    if change.exists:
        return None
    reference = str(creation.get("sourceResourceId") or "")
    if not reference:
        raise errors.missing_parameter("snapshot.creationData.sourceResourceId")
    source = change.engine.store.get(reference)
    if source is None or source.type != SNAPSHOT:
        raise errors.invalid_reference(reference, change.id)
    if not (change.properties.get("incremental") and source.properties.get("incremental")):
        # Documented as a rule (azure-compute-docs, disks-copy-incremental-snapshot-across-regions); the wording is not.
        raise errors.bad_request(
            "InvalidParameter", "CopyStart is supported for incremental snapshots only.",
            target="snapshot.creationData.createOption",
        )  # fmt: skip
    for name in ("osType", "hyperVGeneration", "purchasePlan"):
        if source.properties.get(name) is not None:
            change.properties.setdefault(name, source.properties[name])
    return source


def _check_full(change: Change, source: Resource | None) -> None:
    """Disks whose performance is bought by itself have incremental snapshots only."""
    sku = disks.SKUS.get(str(bodies.get(source.body, "sku.name"))) if source is not None else None
    if sku is not None and sku.provisioned and not change.properties.get("incremental"):
        raise errors.bad_request(
            "InvalidParameter", f"A full snapshot of a {sku.name} disk is not supported: set incremental to true.",
            target="snapshot.incremental",
        )  # fmt: skip


def _family(change: Change, source: Resource | None) -> str:
    """Incremental snapshots of the same disk know each other."""
    if source is None:
        return change.engine.guid()
    family = source.internal.get("snapshotFamily")
    if family is None:
        family = source.internal["snapshotFamily"] = change.engine.guid()
        change.engine.store.save(source)
    return str(family)


def _view(engine: Engine, snapshot: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    shown["properties"]["diskState"] = disks.state(engine, snapshot)
    ends = snapshot.internal.get("copyEnds")
    if ends is not None:
        span = ends - snapshot.created
        done = min(1.0, (engine.now - snapshot.created) / span) if span > 0 else 1.0
        shown["properties"]["completionPercent"] = round(100 * done, 1)


def _refuse_linked(engine: Engine, snapshot: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    disks.refuse_access(engine, snapshot)


TYPE = ResourceType(
    name=SNAPSHOT,
    protocol=COMPUTE,
    put=Verb(seconds=disks.CREATE_SECONDS, created=202, updated=202),
    patch=Patch(seconds=disks.CREATE_SECONDS, status=202, allowed=frozenset({
        "tags", "sku", *(f"properties.{name}" for name in (
            "osType", "diskSizeGB", "encryptionSettingsCollection", "encryption", "networkAccessPolicy", "diskAccessId",
            "supportsHibernation", "publicNetworkAccess", "dataAccessAuthMode", "supportedCapabilities"))})),
    delete=Verb(seconds=disks.CREATE_SECONDS),
    required=("properties.creationData.createOption",),
    defaults={
        "sku": {"name": "Standard_LRS"}, "properties.incremental": False, "properties.networkAccessPolicy": "AllowAll",
        "properties.publicNetworkAccess": "Enabled",
        "properties.encryption": {"type": "EncryptionAtRestWithPlatformKey"},
    },
    read_only=("managedBy", "properties.uniqueId", "properties.timeCreated", "properties.diskState",
               "properties.diskSizeBytes", "properties.incrementalSnapshotFamilyId", "properties.completionPercent",
               "properties.creationData.sourceUniqueId"),
    immutable=("properties.creationData.createOption", "properties.creationData.sourceResourceId",
               "properties.incremental"),
    # What a snapshot was taken of may be deleted meanwhile.
    loose=(DISK, SNAPSHOT),
    delete_first=60,
    actions=disks.ACCESS_ACTIONS,
    check=_check,
    check_delete=_refuse_linked,
    view=_view,
    depth="full and incremental, families, copies into other regions that take time, SAS links (which lead nowhere)",
)  # fmt: skip
