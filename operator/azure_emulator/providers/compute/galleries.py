"""Microsoft.Compute/galleries: image definitions with versions that are copied into regions, and applications.

`image_version` is what a virtual machine asks: which version an id stands for in its region.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import parse
from azure_emulator.providers.compute import images
from azure_emulator.providers.compute.names import DISK, MANAGED_IMAGE, SNAPSHOT, VM
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

GALLERY = "Microsoft.Compute/galleries"
IMAGE = f"{GALLERY}/images"
VERSION = f"{IMAGE}/versions"
APPLICATION = f"{GALLERY}/applications"
APPLICATION_VERSION = f"{APPLICATION}/versions"

_GALLERY_NAME = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9_.]{0,78}[A-Za-z0-9])?$")
_VERSION_NAME = re.compile(r"^\d{1,10}\.\d{1,10}\.\d{1,10}$")
# A version takes this long at home (public logs: 5 to 20 minutes for 30 GB); each further wave of regions is assumed.
VERSION_SECONDS, REPLICATION_SECONDS, APPLICATION_SECONDS = 600, 300, 120
# Assumption: copies of one region follow each other in this share of the whole time, so that progress is seen.
_MAX_REPLICAS = 100


def _check_gallery(change: Change) -> None:
    unique = f"{change.subscription}-{change.path.name}".upper()
    change.properties["identifier"] = {"uniqueName": unique}


def _check_image(change: Change) -> None:
    properties = change.properties
    gallery = change.engine.require(parse(change.path.parent))
    _require_same_region(change, gallery)
    identifier = properties["identifier"]
    for name in ("publisher", "offer", "sku"):
        if not identifier.get(name):
            raise errors.missing_parameter(f"galleryImage.properties.identifier.{name}")
    for name, allowed in (("osType", ("Linux", "Windows")), ("osState", ("Generalized", "Specialized"))):
        if properties.get(name) not in allowed:
            raise errors.invalid_parameter(
                f"galleryImage.properties.{name}", properties.get(name), f"Allowed values are {', '.join(allowed)}."
            )
    for other in change.engine.store.children(gallery.id, IMAGE):
        if other.key != change.path.key and bodies.same(other.properties["identifier"], identifier):
            # That identifiers are unique in a gallery is documented; code and wording are assumptions.
            raise errors.conflict(
                "Conflict", f"The gallery image '{other.name}' has the same publisher, offer and sku already."
            )


def _require_same_region(change: Change, parent: Resource) -> None:
    if parent.location != change.body["location"]:
        # Assumption on the wording.
        raise errors.invalid_parameter(
            "location", change.body["location"], f"It must be '{parent.location}', the location of {parent.id}."
        )


# -- versions --------------------------------------------------------------------------------------------------------


def _check_version(change: Change) -> None:
    definition = change.engine.require(parse(change.path.parent))
    _require_same_region(change, definition)
    _check_publishing(change)
    storage = change.properties["storageProfile"]
    if not change.exists:
        _check_source(change, definition, storage)
    profile = change.properties["publishingProfile"]
    profile.setdefault("publishedDate", change.engine.clock.iso(change.engine.now))
    added = _regions(profile) - _regions(bodies.get(change.before, "properties.publishingProfile") or {})
    if change.exists:
        change.seconds = REPLICATION_SECONDS if added else 10
    change.properties.setdefault(
        "safetyProfile", {"reportedForPolicyViolation": False, "allowDeletionOfReplicatedLocations": False}
    )


def _check_publishing(change: Change) -> None:
    profile = change.properties.setdefault("publishingProfile", {})
    home = change.body["location"]
    for name, value in {"replicaCount": 1, "excludeFromLatest": False, "storageAccountType": "Standard_LRS",
                        "replicationMode": "Full"}.items():  # fmt: skip
        profile.setdefault(name, value)
    targets = profile.get("targetRegions") or [{"name": home}]
    for target in targets:
        region = locations.normalise(str(target.get("name", "")))
        if region not in locations.REGIONS:
            raise errors.invalid_parameter("targetRegions.name", target.get("name"), "It is no region.")
        target["name"] = locations.REGIONS[region]
        target.setdefault("regionalReplicaCount", profile["replicaCount"])
        target.setdefault("storageAccountType", profile["storageAccountType"])
        target.setdefault("excludeFromLatest", False)
        if not 1 <= int(target["regionalReplicaCount"]) <= _MAX_REPLICAS:
            raise errors.invalid_parameter(
                "regionalReplicaCount", target["regionalReplicaCount"], f"It must be between 1 and {_MAX_REPLICAS}."
            )
    profile["targetRegions"] = targets
    if home not in _regions(profile):
        # Documented as a rule; the wording is an assumption.
        raise errors.invalid_parameter(
            "targetRegions", ", ".join(sorted(_regions(profile))), f"The location '{home}' must be one of them."
        )


def _regions(profile: Mapping[str, Any]) -> set[str]:
    return {locations.normalise(str(target["name"])) for target in profile.get("targetRegions") or []}


def _check_source(change: Change, definition: Resource, storage: dict[str, Any]) -> None:
    source = storage.get("source") or {}
    reference = source.get("id") or source.get("virtualMachineId") or bodies.get(storage, "osDiskImage.source.id")
    if not reference:
        if bodies.get(storage, "osDiskImage.source.uri"):
            return
        raise errors.missing_parameter("galleryImageVersion.properties.storageProfile.source.id")
    found = change.engine.store.get(str(reference))
    if found is None:
        raise errors.invalid_reference(str(reference), change.id)
    if found.location != change.body["location"]:
        raise errors.invalid_parameter(
            "source.id", reference, f"The source must be in '{change.body['location']}', the version's location."
        )
    wanted, state = str(definition.properties["osState"]), _os_state(found)
    if state is not None and state != wanted:
        raise errors.bad_request(
            "BadRequest",
            f"The resource with id '{found.id}' has a different OS state ['{state}'] than the parent gallery image OS "
            f"state ['{wanted}'].",
        )
    image = storage.setdefault("osDiskImage", {})
    image.setdefault("sizeInGB", _size_of(found))
    image.setdefault("hostCaching", "ReadWrite")


def _os_state(source: Resource) -> str | None:
    """Generalized or Specialized; a disk or snapshot may be either."""
    if source.type == VM:
        return "Generalized" if source.internal.get("generalized") else "Specialized"
    if source.type == MANAGED_IMAGE:
        return str(bodies.get(source.properties, "storageProfile.osDisk.osState", "Generalized"))
    return None


def _size_of(source: Resource) -> int:
    paths = ("diskSizeGB", "storageProfile.osDisk.diskSizeGB", "storageProfile.osDiskImage.sizeInGB")
    found = next((bodies.get(source.properties, path) for path in paths if bodies.get(source.properties, path)), None)
    return int(found or images.DEFAULT_OS_DISK_GB)


def _version_finished(engine: Engine, version: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """From now on its regions have it."""
    version.internal["regions"] = sorted(_regions(version.properties["publishingProfile"]))
    engine.store.save(version)


def _view_version(engine: Engine, version: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    if "replicationstatus" not in query.get("$expand", "").lower():
        return
    running = engine.running(version)
    done = set(version.internal.get("regions", []))
    progress = 0
    if running is not None:
        progress = int(100 * (engine.now - running.start) / (running.end - running.start))
    failed = version.state == "Failed"
    summary = [
        {
            "region": locations.REGIONS[region],
            "state": "Completed" if region in done else "Failed" if failed else "Replicating",
            "details": "", "progress": 100 if region in done else progress,
        }
        for region in sorted(_regions(version.properties["publishingProfile"]))
    ]  # fmt: skip
    states = {row["state"] for row in summary}
    aggregated = "Completed" if states == {"Completed"} else "Failed" if failed else "InProgress"
    shown["properties"]["replicationStatus"] = {"aggregatedState": aggregated, "summary": summary}


def image_version(engine: Engine, image_id: str, location: str) -> Resource:
    """The version that an image reference stands for in a region: itself, or the latest of its definition."""
    found = engine.store.get(image_id)
    if found is not None and found.type == IMAGE:
        versions = [
            version for version in engine.store.children(found.id, VERSION) if _offered(version, location, latest=True)
        ]
        found = max(versions, key=lambda version: images.version_key(version.name), default=None)
    elif found is not None and (found.type != VERSION or not _offered(found, location, latest=False)):
        found = None
    if found is None:
        raise errors.ArmError(
            errors.NOT_FOUND,
            "GalleryImageNotFound",
            f"The gallery image {image_id} is not available in {location} region. Please contact image owner to "
            "replicate to this region, or change your requested region.",
            target="imageReference",
        )
    return found


def _offered(version: Resource, location: str, *, latest: bool) -> bool:
    if location not in version.internal.get("regions", []):
        return False
    profile = version.properties["publishingProfile"]
    target = next(row for row in profile["targetRegions"] if locations.normalise(row["name"]) == location)
    return not (latest and (profile.get("excludeFromLatest") or target.get("excludeFromLatest")))


# -- applications ----------------------------------------------------------------------------------------------------


def _check_application(change: Change) -> None:
    gallery = change.engine.require(parse(change.path.parent))
    _require_same_region(change, gallery)
    if change.properties.get("supportedOSType") not in ("Linux", "Windows"):
        raise errors.invalid_parameter(
            "supportedOSType", change.properties.get("supportedOSType"), "Allowed values are Linux, Windows."
        )


def _check_application_version(change: Change) -> None:
    application = change.engine.require(parse(change.path.parent))
    _require_same_region(change, application)
    _check_publishing(change)
    profile = change.properties["publishingProfile"]
    for path in ("source.mediaLink", "manageActions.install", "manageActions.remove"):
        if not bodies.get(profile, path):
            raise errors.missing_parameter(f"publishingProfile.{path}")


TYPES = (
    ResourceType(
        name=GALLERY, protocol=COMPUTE, put=Verb(seconds=15, update_seconds=5), patch=Patch(seconds=5),
        delete=Verb(seconds=15), name_pattern=_GALLERY_NAME, nested="refuse", delete_first=62,
        read_only=("properties.identifier",), check=_check_gallery, depth="refuses deletion before what is in it",
    ),
    ResourceType(
        name=IMAGE, protocol=COMPUTE, put=Verb(seconds=15, update_seconds=5), patch=Patch(seconds=5),
        delete=Verb(seconds=15), nested="refuse", delete_first=61,
        required=("properties.identifier", "properties.osType", "properties.osState"),
        defaults={"properties.hyperVGeneration": "V1", "properties.architecture": "x64"},
        immutable=("properties.identifier", "properties.osType", "properties.osState", "properties.hyperVGeneration",
                   "properties.architecture"),
        check=_check_image, depth="unique identifiers, fixed kind, refuses deletion before its versions",
    ),
    ResourceType(
        name=VERSION, protocol=COMPUTE, put=Verb(seconds=VERSION_SECONDS, update_seconds=REPLICATION_SECONDS),
        patch=Patch(seconds=REPLICATION_SECONDS), delete=Verb(seconds=60), name_pattern=_VERSION_NAME,
        required=("properties.storageProfile",), immutable=("properties.storageProfile.source",),
        read_only=("properties.replicationStatus", "properties.publishingProfile.publishedDate"),
        # What a version was made of may be deleted afterwards.
        loose=(VM, DISK, SNAPSHOT, MANAGED_IMAGE, VERSION), delete_first=60,
        check=_check_version, finished=_version_finished, view=_view_version,
        depth="sources, target regions with replicas and progress, excludeFromLatest, latest by region",
    ),
    ResourceType(
        name=APPLICATION, protocol=COMPUTE, put=Verb(seconds=15, update_seconds=5), patch=Patch(seconds=5),
        delete=Verb(seconds=15), nested="refuse", delete_first=61, immutable=("properties.supportedOSType",),
        has_state=False, check=_check_application, depth="refuses deletion before its versions",
    ),
    ResourceType(
        name=APPLICATION_VERSION, protocol=COMPUTE, put=Verb(seconds=APPLICATION_SECONDS, update_seconds=60),
        patch=Patch(seconds=60), delete=Verb(seconds=30), name_pattern=_VERSION_NAME,
        required=("properties.publishingProfile",), read_only=("properties.replicationStatus",), delete_first=60,
        check=_check_application_version, depth="target regions; nothing is installed",
    ),
)  # fmt: skip
