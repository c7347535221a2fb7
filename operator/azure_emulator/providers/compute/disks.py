"""Microsoft.Compute/disks: managed disks, alone or attached to virtual machines.

Knows a virtual machine only as an id and by its power state. There is nothing on a disk: a SAS link leads nowhere.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.compute import images, zones
from azure_emulator.providers.compute.names import DISK, MANAGED_IMAGE, SNAPSHOT
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Action, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

GIB = 2**30
# Assumption: public logs show few seconds for all of these, without figures of their own.
CREATE_SECONDS, ACCESS_SECONDS = 5, 3
# Uploads carry a footer of 512 bytes and have these bounds (docstring of the SDK's CreationData).
VHD_FOOTER, MIN_UPLOAD, MAX_UPLOAD = 512, 20_972_032, 35_183_298_347_520
# A SAS link to a disk lives 60 days at most (azure-compute-docs, disks-sas-best-practices).
MAX_ACCESS_SECONDS = 60 * 86_400
# A disk that is attached does not grow beyond this online (azure-compute-docs, expand-disks).
ONLINE_LIMIT_GB = 4096


@dataclass(frozen=True)
class Sku:
    """A disk type; `letter` is that of its size names (P30, E10, S4), empty where size and performance are apart."""

    name: str
    tier: str
    letter: str = ""
    max_gb: int = 32_767
    shares: tuple[tuple[int, int], ...] = ()  # up to so many GiB: maxShares of a shared disk

    @property
    def provisioned(self) -> bool:
        """Whether throughput is bought apart from the size."""
        return not self.letter


# Shared disks (azure-compute-docs, disks-shared).
_SSD_SHARES = ((512, 3), (4096, 5), (32_767, 10))
SKUS = {
    sku.name: sku
    for sku in (
        Sku("Standard_LRS", "Standard", "S"),
        Sku("StandardSSD_LRS", "Standard", "E", shares=_SSD_SHARES),
        Sku("StandardSSD_ZRS", "Standard", "E", shares=_SSD_SHARES),
        Sku("Premium_LRS", "Premium", "P", shares=_SSD_SHARES),
        Sku("Premium_ZRS", "Premium", "P", shares=_SSD_SHARES),
        Sku("PremiumV2_LRS", "Premium", max_gb=65_536, shares=((65_536, 15),)),
        Sku("UltraSSD_LRS", "Ultra", max_gb=65_536, shares=((65_536, 15),)),
    )
}

# Sizes that are billed, with the numbers of their names (azure-compute-docs, disks-types).
_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_767)
_NUMBERS = (1, 2, 3, 4, 6, 10, 15, 20, 30, 40, 50, 60, 70, 80)
# IOPS and MB/s of each size, by letter.
_PERFORMANCE: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "P": ((120, 120, 120, 120, 240, 500, 1100, 2300, 5000, 7500, 7500, 16_000, 18_000, 20_000),
          (25, 25, 25, 25, 50, 100, 125, 150, 200, 250, 250, 500, 750, 900)),
    "E": ((500,) * 11 + (2000, 4000, 6000), (100,) * 11 + (400, 600, 750)),
    "S": ((500,) * 11 + (1300, 2000, 2000), (60,) * 11 + (300, 500, 500)),
}  # fmt: skip
# Standard HDDs begin at S4, and the performance of a tier can be raised within P1 to P50, or within P60 to P80.
_FIRST = {"S": 3, "E": 0, "P": 0}
_LARGE = _NUMBERS.index(60)
# What Premium SSD v2 and Ultra disks have when nothing is asked for, and may have per GiB and at most.
_BASE_IOPS, _BASE_MBPS = {"PremiumV2_LRS": 3000, "UltraSSD_LRS": 500}, {"PremiumV2_LRS": 125, "UltraSSD_LRS": 8}
_IOPS_PER_GB, _MAX_IOPS = {"PremiumV2_LRS": 500, "UltraSSD_LRS": 1000}, {"PremiumV2_LRS": 80_000,
                                                                          "UltraSSD_LRS": 400_000}  # fmt: skip
# What each way to create a disk asks for in creationData.
SOURCES: dict[str, tuple[str, ...]] = {
    "Empty": (), "FromImage": (), "Copy": ("sourceResourceId",), "Restore": ("sourceResourceId",),
    "Import": ("sourceUri", "storageAccountId"), "ImportSecure": ("sourceUri", "storageAccountId"),
    "Upload": ("uploadSizeBytes",), "UploadPreparedSecure": ("uploadSizeBytes",),
}  # fmt: skip


# -- who has it ------------------------------------------------------------------------------------------------------


def owners(disk: Resource) -> list[str]:
    """Virtual machines that a disk is attached to; only a shared one has more than one."""
    first = disk.internal.get("managedBy")
    return [str(owner) for owner in (first, *disk.internal.get("sharedBy", [])) if owner]


def attach(engine: Engine, disk: Resource, vm_id: str | None) -> None:
    """Note that a disk belongs to a virtual machine (None: to none any more)."""
    held = owners(disk)
    if vm_id is None:
        held = []
    elif vm_id.lower() not in {owner.lower() for owner in held}:
        held = [*held, vm_id] if int(disk.properties.get("maxShares") or 1) > 1 else [vm_id]
    _hold(engine, disk, held)


def detach(engine: Engine, disk: Resource, vm_id: str) -> None:
    """Note that one virtual machine has let go of a disk that others may share."""
    _hold(engine, disk, [owner for owner in owners(disk) if owner.lower() != vm_id.lower()])


def _hold(engine: Engine, disk: Resource, held: list[str]) -> None:
    disk.internal["managedBy"] = held[0] if held else None
    disk.internal["sharedBy"] = held[1:]
    engine.store.save(disk)


def require_attachable(engine: Engine, reference: str, vm_id: str) -> Resource:
    """The disk that a virtual machine wants, or Compute's refusal."""
    disk = engine.store.get(reference)
    if disk is None:
        raise errors.ArmError(errors.NOT_FOUND, "NotFound", f"Disk {reference} is not found.")
    others = [owner for owner in owners(disk) if owner.lower() != vm_id.lower()]
    if others and len(others) >= int(disk.properties.get("maxShares") or 1):
        raise errors.conflict(
            "ConflictingUserInput",
            f"Disk '{disk.id}' cannot be attached as the disk is already owned by VM '{others[0]}'.",
        )
    refuse_access(engine, disk)
    return disk


def in_use_by(engine: Engine, disk: Resource) -> Resource | None:
    """The first virtual machine that holds the hardware a disk is attached to: one that is not deallocated."""
    found = (engine.store.get(owner) for owner in owners(disk))
    return next((vm for vm in found if vm is not None and vm.internal.get("power") != "deallocated"), None)


def state(engine: Engine, disk: Resource) -> str:
    """What `diskState` shows."""
    granted = access(engine, disk)
    if granted is not None:
        return "ActiveUpload" if granted["write"] else "ActiveSAS"
    if disk.internal.get("upload"):
        return "ReadyToUpload"
    if not owners(disk):
        return "Unattached"
    return "Attached" if in_use_by(engine, disk) is not None else "Reserved"


# -- access by a link ------------------------------------------------------------------------------------------------


def access(engine: Engine, resource: Resource) -> dict[str, Any] | None:
    """The link that leads to a disk or snapshot, as long as it is valid."""
    granted: dict[str, Any] | None = resource.internal.get("access")
    return granted if granted is not None and granted["until"] > engine.now else None


def refuse_access(engine: Engine, resource: Resource) -> None:
    """A disk with a link to it can be neither attached nor deleted."""
    if access(engine, resource) is not None:
        kind = "snapshot" if resource.type == SNAPSHOT else "disk"
        raise errors.conflict(
            "OperationNotAllowed",
            f"There is an active shared access signature outstanding for {kind} {resource.name}. Call EndGetAccess "
            "before attaching or deleting the disk. Learn more here: aka.ms/revokeaccessapi.",
        )


def _grant(call: Call, resource: Resource) -> dict[str, Any]:
    engine, asked = call.engine, call.body if isinstance(call.body, dict) else {}
    level, seconds = str(asked.get("access", "")), asked.get("durationInSeconds")
    if level not in ("Read", "Write"):
        raise errors.invalid_parameter("grantAccessData.access", level, "Allowed values are Read, Write.")
    if not isinstance(seconds, int) or not 0 < seconds <= MAX_ACCESS_SECONDS:
        raise errors.invalid_parameter(
            "durationInSeconds", seconds, f"It must be between 1 and {MAX_ACCESS_SECONDS} seconds (60 days)."
        )
    vm = in_use_by(engine, resource)
    if vm is not None:
        # The wording is from a public trace; its code was not in it, and is an assumption.
        raise errors.conflict(
            "OperationNotAllowed",
            f"Access not permitted because disk {resource.name} is currently attached to running VM {vm.id}.",
        )
    if level == "Write" and not resource.internal.get("upload"):
        raise errors.conflict(
            "OperationNotAllowed", f"Write access to {resource.name} is allowed only if it was created for an upload."
        )
    resource.internal["access"] = {"until": engine.now + seconds, "write": level == "Write"}
    engine.store.save(resource)
    return {"accessSAS": _link(engine, resource, engine.now + seconds)}


def _link(engine: Engine, resource: Resource, until: float) -> str:
    digest = hashlib.sha256(f"{engine.seed}|{resource.key}".encode()).hexdigest()
    signature = hashlib.sha256(f"{digest}|{until}".encode()).hexdigest()
    return (
        f"https://md-{digest[:12]}.z1.blob.storage.azure.net/{digest[12:24]}/abcd?sv=2018-03-28&sr=b&si={engine.guid()}"
        f"&sig={signature}"
    )


def _revoke(call: Call, resource: Resource) -> None:
    granted = resource.internal.pop("access", None)
    if granted is not None and granted["write"]:
        resource.internal.pop("upload", None)
    call.engine.store.save(resource)


ACCESS_ACTIONS: Mapping[str, Action] = {
    "beginGetAccess": Action(run=_grant, seconds=ACCESS_SECONDS),
    "endGetAccess": Action(run=_revoke, seconds=ACCESS_SECONDS),
}


# -- checks ----------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    sku = require_sku(change)
    check_zones(change)
    source = check_creation(change)
    size = decide_size(change, source, sku)
    _check_shares(change, sku, size)
    _decide_performance(change, sku, size)
    if change.exists:
        _check_attached(change, sku, size)
        return
    properties = change.properties
    properties["uniqueId"] = change.engine.guid()
    properties["timeCreated"] = change.engine.clock.iso(change.engine.now)
    if properties["creationData"]["createOption"].startswith("Upload"):
        change.internal["upload"] = True


def require_sku(change: Change) -> Sku:
    """The disk type that is asked for; some cannot be changed into each other."""
    name = str(bodies.get(change.body, "sku.name") or bodies.get(change.before, "sku.name"))
    sku = SKUS.get(name)
    if sku is None:
        raise errors.invalid_parameter("sku.name", name, f"Allowed values are {', '.join(SKUS)}.")
    change.body["sku"] = {"name": name, "tier": sku.tier}
    before = str(bodies.get(change.before, "sku.name", name))
    # Redundancy and Ultra are decided at creation (azure-compute-docs, disks-convert-types).
    fixed = before != name and ("UltraSSD_LRS" in (before, name) or before.endswith("ZRS") != name.endswith("ZRS"))
    if fixed:
        raise errors.conflict(
            "OperationNotAllowed", f"Changing account type of disk {change.path.name} from {before} to {name} is not "
            "allowed."
        )  # fmt: skip
    return sku


def check_zones(change: Change) -> None:
    """A disk is in one zone of its region, or in none."""
    zones.check_zones(change)
    if change.body.get("zones") and str(bodies.get(change.body, "sku.name")).endswith("ZRS"):
        # Assumption on code and wording: that zone-redundant disks have no zone is documented.
        raise errors.bad_request(
            "InvalidParameter", "Zones cannot be specified for a zone-redundant disk.", target="zones"
        )


def check_creation(change: Change) -> Resource | None:
    """Check where the content comes from; the disk or snapshot that it is copied from, if any."""
    creation = change.properties["creationData"]
    option = str(creation["createOption"])
    if option not in SOURCES:
        raise errors.invalid_parameter(
            "disk.creationData.createOption", option, f"Allowed values are {', '.join(SOURCES)}."
        )
    if change.exists:
        return None
    for name in SOURCES[option]:
        if creation.get(name) is None:
            raise errors.missing_parameter(f"disk.creationData.{name}")
    if option.startswith("Upload") and not MIN_UPLOAD <= int(creation["uploadSizeBytes"]) <= MAX_UPLOAD:
        raise errors.invalid_parameter(
            "disk.creationData.uploadSizeBytes", creation["uploadSizeBytes"],
            f"It must be between {MIN_UPLOAD} and {MAX_UPLOAD}.",
        )  # fmt: skip
    if option == "FromImage":
        _take_from_image(change, creation)
    if option == "Copy":
        return _copied(change, str(creation["sourceResourceId"]))
    return None


def _take_from_image(change: Change, creation: dict[str, Any]) -> None:
    reference = creation.get("imageReference") or creation.get("galleryImageReference")
    if not isinstance(reference, dict) or not reference.get("id"):
        # A virtual machine that brings its OS disk with it has resolved the image itself.
        if change.api_version:
            raise errors.missing_parameter("disk.creationData.imageReference")
        return
    found = images.by_id(change.engine, str(reference["id"]))
    if found is None:
        _require_source(change, str(reference["id"]))
        return
    properties = change.properties
    properties.setdefault("osType", found["osType"])
    properties.setdefault("hyperVGeneration", found["generation"])
    properties.setdefault("diskSizeGB", found["sizeGb"])
    if found.get("plan"):
        properties.setdefault("purchasePlan", images.plan_of(found))


def _require_source(change: Change, reference: str) -> Resource:
    source = change.engine.store.get(reference)
    if source is None:
        raise errors.invalid_reference(reference, change.id)
    return source


def _copied(change: Change, reference: str) -> Resource | None:
    source = _require_source(change, reference)
    if source.type not in (DISK, SNAPSHOT):
        raise errors.invalid_reference(reference, change.id)
    if source.location != change.body["location"]:
        # Snapshots travel between regions with CopyStart; disks do not.
        raise errors.bad_request(
            "InvalidParameter",
            f"The source resource {source.id} is in region '{source.location}', which is different from the region "
            f"'{change.body['location']}' of {change.id}.",
            target="disk.creationData.sourceResourceId",
        )
    if int(source.internal.get("copyEnds", 0)) > change.engine.now:
        raise errors.conflict(
            "OperationNotAllowed", f"Snapshot {source.name} is still being copied: its completionPercent is below 100."
        )
    for name in ("osType", "hyperVGeneration", "purchasePlan", "supportedCapabilities"):
        if source.properties.get(name) is not None:
            change.properties.setdefault(name, source.properties[name])
    return source


def decide_size(change: Change, source: Resource | None, sku: Sku | None) -> int:
    """The size in GiB, which never shrinks; a copy is at least as large as what it is copied from."""
    properties = change.properties
    size, floor = properties.get("diskSizeGB"), int(source.properties.get("diskSizeGB", 0)) if source else 0
    upload = properties["creationData"].get("uploadSizeBytes")
    if size is None:
        size = change.old.get("diskSizeGB") or floor or None
    if size is None and upload is not None:
        size = math.ceil((int(upload) - VHD_FOOTER) / GIB)
    if size is None and properties["creationData"]["createOption"] == "Empty":
        raise errors.missing_parameter("disk.diskSizeGB")
    size = images.DEFAULT_OS_DISK_GB if size is None else int(size)
    limit = sku.max_gb if sku is not None else SKUS["Premium_LRS"].max_gb
    if not 1 <= size <= limit:
        raise errors.invalid_parameter("disk.diskSizeGB", size, f"It must be between 1 and {limit}.")
    if size < floor:
        # Assumption on the wording.
        raise errors.invalid_parameter("disk.diskSizeGB", size, f"It must not be below the source's {floor} GB.")
    old = change.old.get("diskSizeGB")
    if old is not None and size < old:
        raise errors.bad_request(
            "InvalidParameter",
            f"Disk size reduction is not supported. Current size is {old} GB, requested {size} GB.",
            target="disk.diskSizeGB",
        )
    properties["diskSizeGB"] = size
    properties["diskSizeBytes"] = size * GIB
    return size


def _check_shares(change: Change, sku: Sku, size: int) -> None:
    shares = change.properties.get("maxShares")
    if shares is None or int(shares) == 1:
        return
    allowed = next((count for limit, count in sku.shares if size <= limit), 1)
    if not 1 <= int(shares) <= allowed:
        raise errors.invalid_parameter(
            "disk.maxShares", shares, f"It must be between 1 and {allowed} for a {sku.name} disk of {size} GB."
        )


def _decide_performance(change: Change, sku: Sku, size: int) -> None:
    """What a disk achieves: bought by itself, or by its size and performance tier."""
    properties = change.properties
    if sku.provisioned:
        _check_provisioned(properties, sku, size)
        properties.pop("tier", None)
        return
    baseline = max(_FIRST[sku.letter], bisect_left(_SIZES, size))
    names = {f"{sku.letter}{number}": index for index, number in enumerate(_NUMBERS)}
    raised = sku.letter == "P"
    allowed = [
        name
        for name, index in names.items()
        if index == baseline or (raised and index > baseline and (index >= _LARGE) == (baseline >= _LARGE))
    ]
    # A tier that was there before and is too low now was not asked for: clients send back what they read.
    asked = properties.get("tier")
    if asked not in (None, change.old.get("tier"), *allowed):
        raise errors.invalid_parameter("disk.tier", asked, f"Allowed values are {', '.join(allowed)}.")
    properties["tier"] = asked if asked in allowed else allowed[0]
    iops, mbps = _PERFORMANCE[sku.letter]
    at = names[properties["tier"]]
    properties["diskIOPSReadWrite"], properties["diskMBpsReadWrite"] = iops[at], mbps[at]


def _check_provisioned(properties: dict[str, Any], sku: Sku, size: int) -> None:
    iops = int(properties.get("diskIOPSReadWrite") or _BASE_IOPS[sku.name])
    mbps = int(properties.get("diskMBpsReadWrite") or _BASE_MBPS[sku.name])
    most = max(_BASE_IOPS[sku.name], min(_MAX_IOPS[sku.name], size * _IOPS_PER_GB[sku.name]))
    if not 1 <= iops <= most:
        raise errors.invalid_parameter("disk.diskIOPSReadWrite", iops, f"It must be between 1 and {most}.")
    # A quarter of a MB/s for each IOPS.
    most_mbps = max(_BASE_MBPS[sku.name], iops // 4)
    if not 1 <= mbps <= most_mbps:
        raise errors.invalid_parameter("disk.diskMBpsReadWrite", mbps, f"It must be between 1 and {most_mbps}.")
    properties["diskIOPSReadWrite"], properties["diskMBpsReadWrite"] = iops, mbps


def _check_attached(change: Change, sku: Sku, size: int) -> None:
    """What must wait until the virtual machine is deallocated, or the disk detached."""
    engine = change.engine
    disk = engine.store.get(change.id)
    if disk is None:
        return
    vm, old = in_use_by(engine, disk), int(change.old.get("diskSizeGB") or size)
    if change.old.get("maxShares", 1) != change.properties.get("maxShares", 1) and owners(disk):
        raise errors.conflict(
            "OperationNotAllowed",
            f"MaxShares of disk {disk.name} cannot be changed while it is attached to VM {owners(disk)[0]}.",
        )
    if vm is None:
        return
    before = str(bodies.get(change.before, "sku.name"))
    if before != sku.name:
        raise errors.conflict(
            "OperationNotAllowed",
            f"Cannot change account type of disk {disk.name} from {before} to {sku.name} while it is attached to "
            f"running VM {vm.id}. Please stop (deallocate) your VM and retry the operation.",
        )
    crosses = not sku.provisioned and old < ONLINE_LIMIT_GB <= size and size != old
    if size != old and (_is_os_disk(vm, disk) or crosses or len(owners(disk)) > 1):
        raise errors.conflict(
            "OperationNotAllowed",
            f"Cannot resize disk {disk.name} while it is attached to running VM {vm.id}. Resizing a disk of an Azure "
            "Virtual Machine requires the virtual machine to be deallocated. Please stop your VM and retry the "
            "operation.",
        )


def _is_os_disk(vm: Resource, disk: Resource) -> bool:
    return bool(bodies.same(bodies.get(vm.properties, "storageProfile.osDisk.managedDisk.id"), disk.id))


# -- life ------------------------------------------------------------------------------------------------------------


def _view(engine: Engine, disk: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    shown["properties"]["diskState"] = state(engine, disk)
    held = owners(disk)
    if held:
        shown["managedBy"] = held[0]
    if held and int(disk.properties.get("maxShares") or 1) > 1:
        shown["managedByExtended"] = held
        shown["properties"]["shareInfo"] = [{"vmUri": owner} for owner in held]


def _refuse_in_use(engine: Engine, disk: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    held = owners(disk)
    if held:
        raise errors.conflict("OperationNotAllowed", f"Disk {disk.name} is attached to VM {held[0]}.")
    refuse_access(engine, disk)


PATCHABLE = frozenset({
    "tags", "sku", *(f"properties.{name}" for name in (
        "osType", "diskSizeGB", "encryptionSettingsCollection", "diskIOPSReadWrite", "diskMBpsReadWrite",
        "diskIOPSReadOnly", "diskMBpsReadOnly", "maxShares", "encryption", "networkAccessPolicy", "diskAccessId",
        "tier", "burstingEnabled", "purchasePlan", "supportedCapabilities", "supportsHibernation",
        "publicNetworkAccess", "dataAccessAuthMode", "optimizedForFrequentAttach", "availabilityPolicy")),
})  # fmt: skip

TYPE = ResourceType(
    name=DISK,
    protocol=COMPUTE,
    put=Verb(seconds=CREATE_SECONDS, created=202, updated=202),
    patch=Patch(seconds=CREATE_SECONDS, status=202, allowed=PATCHABLE),
    delete=Verb(seconds=CREATE_SECONDS),
    required=("properties.creationData.createOption",),
    defaults={
        "sku": {"name": "Standard_LRS"}, "properties.networkAccessPolicy": "AllowAll",
        "properties.publicNetworkAccess": "Enabled",
        "properties.encryption": {"type": "EncryptionAtRestWithPlatformKey"},
    },
    read_only=("managedBy", "managedByExtended", "properties.uniqueId", "properties.timeCreated",
               "properties.diskState", "properties.diskSizeBytes", "properties.shareInfo"),
    immutable=("properties.creationData.createOption", "properties.hyperVGeneration", "zones"),
    # What a disk was made from may be gone meanwhile; at creation it is asked for.
    loose=(DISK, SNAPSHOT, "Microsoft.Compute/galleries/images/versions", MANAGED_IMAGE),
    delete_first=60,
    actions=ACCESS_ACTIONS,
    check=_check,
    check_delete=_refuse_in_use,
    view=_view,
    depth="sources, sizes and tiers, grows only and partly online, shared disks, state follows the virtual machine, "
    "SAS links (which lead nowhere), refuses deletion while attached or linked",
)  # fmt: skip
