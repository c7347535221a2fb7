"""Marketplace images: what the image lists answer, how `latest` becomes a version, and which need a purchase plan.

Data with the lists over it; more versions can be added through the admin API (setting `images`), and versions can be
scheduled for deprecation or deprecated (setting `imageStates`: URN -> {"imageState", "scheduledDeprecationTime"}).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, rules
from azure_emulator.arm_path import parse
from azure_emulator.providers import usages
from azure_emulator.types import Answer, Call, Change, Function

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError

# publisher, offer, sku, versions. Version numbers have the shape that each publisher uses. An offer with `plan` is
# bought: its terms are accepted once per subscription, and every VM names the plan.
_MARKETPLACE: tuple[tuple[str, str, str, tuple[str, ...], dict[str, Any]], ...] = (
    ("microsoft-dsvm", "ubuntu-hpc", "2004", ("20.04.2024102301",), {"state": "Deprecated"}),
    ("microsoft-dsvm", "ubuntu-hpc", "2204", ("22.04.2024102301", "22.04.2025030701", "22.04.2025081901"), {}),
    ("microsoft-dsvm", "ubuntu-hpc", "2404", ("24.04.2025050101", "24.04.2025081901"), {}),
    ("almalinux", "almalinux-hpc", "8_10-hpc-gen2", ("8.10.2024101801", "8.10.2025060501"), {}),
    ("almalinux", "almalinux-hpc", "8_7-hpc-gen2", ("8.7.2023060101", "8.7.2024042601"), {}),
    ("almalinux", "almalinux-x86_64", "9-gen2", ("9.5.202411260", "9.6.202505210"), {}),
    ("almalinux", "almalinux-arm", "9-arm-gen2", ("9.6.202505210",), {}),
    ("azurecyclecloud", "azure-cyclecloud", "cyclecloud8-gen2", ("8.7.020250620", "8.8.020250919"), {"plan": True}),
    ("Canonical", "ubuntu-24_04-lts", "server", ("24.04.202404230", "24.04.202502210", "24.04.202508120"), {}),
    ("Canonical", "ubuntu-24_04-lts", "server-arm64", ("24.04.202502210", "24.04.202508120"), {}),
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", ("22.04.202405140", "22.04.202508120"), {}),
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", ("22.04.202508120",), {"generation": "V1"}),
    ("Canonical", "0001-com-ubuntu-server-focal", "20_04-lts-gen2", ("20.04.202505200",), {}),
    ("Canonical", "UbuntuServer", "18.04-LTS", ("18.04.202401161",), {"generation": "V1", "state": "Deprecated"}),
    ("Debian", "debian-12", "12-gen2", ("0.20240701.1795", "0.20250316.2053", "0.20250814.2204"), {}),
    ("Debian", "debian-13", "13-gen2", ("0.20250910.2231", "0.20251006.2257"), {}),
    ("RedHat", "RHEL", "8-lvm-gen2", ("8.10.2025061214",), {"sizeGb": 64}),
    ("RedHat", "RHEL", "9-lvm-gen2", ("9.4.2025040316", "9.6.2025061119"), {"sizeGb": 64}),
    ("RedHat", "rhel-byos", "rhel-lvm94-gen2", ("9.4.2025040316",), {"sizeGb": 64, "plan": True}),
    ("suse", "sles-15-sp6", "gen2", ("2025.02.20", "2025.07.02"), {}),
    ("suse", "sle-hpc-15-sp6", "gen2", ("2025.02.20",), {}),
    ("OpenLogic", "CentOS-HPC", "7_9-gen2", ("7.9.2022040101",), {"state": "Deprecated"}),
    ("kinvolk", "flatcar-container-linux-free", "stable-gen2", ("4230.2.1",), {"plan": True}),
    ("rockylinux-5790", "rockylinux-x86_64", "9-base", ("9.6.20250531",), {"plan": True, "sizeGb": 10}),
    ("nvidia", "nvidia_hpc_sdk_vmi", "nvidia_hpc_sdk_vmi_25_3_0_gen2", ("25.03.0",), {"plan": True, "sizeGb": 64}),
    ("paloaltonetworks", "vmseries-flex", "byol", ("11.1.607",), {"plan": True, "sizeGb": 60}),
    ("MicrosoftWindowsServer", "WindowsServer", "2019-datacenter-gensecond", ("17763.7558.250705",), {"windows": True}),
    ("MicrosoftWindowsServer", "WindowsServer", "2022-datacenter-azure-edition", ("20348.3932.250705",),
     {"windows": True}),
    ("MicrosoftWindowsServer", "WindowsServer", "2022-datacenter-g2", ("20348.3932.250705",), {"windows": True}),
    ("MicrosoftWindowsServer", "WindowsServer", "2025-datacenter-azure-edition", ("26100.4652.250705",),
     {"windows": True}),
)  # fmt: skip
DEFAULT_OS_DISK_GB = 30
_WINDOWS_OS_DISK_GB = 127

# What `az vm create --image` knows by one word.
_ALIASES: dict[str, dict[str, tuple[str, str, str]]] = {
    "Linux": {
        "Debian12": ("Debian", "debian-12", "12-gen2"),
        "RHELRaw9LVMGen2": ("RedHat", "RHEL", "9-lvm-gen2"),
        "SuseSles15SP6": ("suse", "sles-15-sp6", "gen2"),
        "Ubuntu2204": ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"),
        "Ubuntu2404": ("Canonical", "ubuntu-24_04-lts", "server"),
        "FlatcarLinuxFreeGen2": ("kinvolk", "flatcar-container-linux-free", "stable-gen2"),
    },
    "Windows": {
        "Win2019Datacenter": ("MicrosoftWindowsServer", "WindowsServer", "2019-datacenter-gensecond"),
        "Win2022Datacenter": ("MicrosoftWindowsServer", "WindowsServer", "2022-datacenter-g2"),
        "Win2022AzureEditionCore": ("MicrosoftWindowsServer", "WindowsServer", "2022-datacenter-azure-edition"),
    },
}

_BASE = "Microsoft.Compute/locations/publishers"
_ARTIFACTS = f"{_BASE}/artifacttypes"
_ID = re.compile(
    r"/publishers/(?P<publisher>[^/]+)/artifacttypes/vmimage/offers/(?P<offer>[^/]+)/skus/(?P<sku>[^/]+)"
    r"/versions/(?P<version>[^/]+)/?$",
    re.IGNORECASE,
)

Row = dict[str, Any]


def _rows(engine: Engine) -> list[Row]:
    rows = [
        _row(publisher, offer, sku, version, more)
        for publisher, offer, sku, versions, more in _MARKETPLACE
        for version in versions
    ]
    rows += [
        _row(row["publisher"], row["offer"], row["sku"], row["version"], row) for row in engine.setting("images", [])
    ]
    states = {urn.lower(): state for urn, state in engine.setting("imageStates", {}).items()}
    for row in rows:
        row.update(states.get(urn_of(row).lower(), {}))
    return rows


def _row(publisher: str, offer: str, sku: str, version: str, more: Mapping[str, Any]) -> Row:
    windows = bool(more.get("windows"))
    return {
        "publisher": publisher, "offer": offer, "sku": sku, "version": version,
        "osType": "Windows" if windows else "Linux", "generation": more.get("generation", "V2"),
        "sizeGb": int(more.get("sizeGb", _WINDOWS_OS_DISK_GB if windows else DEFAULT_OS_DISK_GB)),
        "plan": bool(more.get("plan")), "imageState": more.get("state", "Active"), "scheduledDeprecationTime": None,
    }  # fmt: skip


def urn_of(row: Mapping[str, Any]) -> str:
    """`publisher:offer:sku:version`."""
    return ":".join(str(row.get(key, "")) for key in ("publisher", "offer", "sku", "version"))


def plan_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The plan that a VM of an image names: an offer is a product there, and the plan is called like the sku."""
    return {"name": row["sku"], "publisher": row["publisher"], "product": row["offer"]}


def _matching(engine: Engine, **wanted: str) -> list[Row]:
    found = [row for row in _rows(engine) if all(row[key].lower() == value.lower() for key, value in wanted.items())]
    return sorted(found, key=lambda row: version_key(row["version"]))


def version_key(version: str) -> tuple[int, ...]:
    """Versions are compared number by number."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def find(engine: Engine, reference: Mapping[str, Any]) -> Row | None:
    """The image that a marketplace reference stands for; `latest` is the newest that is not deprecated."""
    parts = {key: str(reference.get(key, "")) for key in ("publisher", "offer", "sku")}
    version = str(reference.get("version", ""))
    found = _matching(engine, **parts)
    if version.lower() != "latest":
        return next((row for row in found if row["version"] == version), None)
    active = [row for row in found if row["imageState"] != "Deprecated"]
    return next(reversed(active or found), None)


def by_id(engine: Engine, image_id: str) -> Row | None:
    """The marketplace image of an ARM id, None for an id that is none of a marketplace image."""
    match = _ID.search(image_id)
    return find(engine, match.groupdict()) if match is not None else None


def by_plan(engine: Engine, publisher: str, product: str, name: str) -> Row | None:
    """An image that is bought with that plan."""
    return next((row for row in _matching(engine, publisher=publisher, offer=product, sku=name) if row["plan"]), None)


def exact_version(engine: Engine, reference: Mapping[str, Any]) -> str:
    """The version that a marketplace reference stands for, or Compute's refusal."""
    row = find(engine, reference)
    if row is None:
        raise errors.ArmError(
            errors.NOT_FOUND,
            "PlatformImageNotFound",
            f"The platform image '{urn_of(reference)}' is not available. Verify that all fields in the storage profile "
            "are correct. For more details about storage profile information, please refer to "
            "https://aka.ms/storageprofile",
            target="imageReference",
        )
    refuse_deprecated(row)
    return str(row["version"])


def refuse_deprecated(row: Mapping[str, Any]) -> None:
    """No new VM from an image whose time is over (azure-compute-docs, deprecated-images)."""
    if row["imageState"] == "Deprecated":
        raise errors.ArmError(
            errors.NOT_FOUND,
            "ImageVersionDeprecated",
            f"VM Image from publisher: {row['publisher']} with - Offer: {row['offer']}, Sku: {row['sku']}, Version: "
            f"{row['version']} is deprecated.",
        )


def alias_document() -> dict[str, Any]:
    """What `vmImageAliasDoc` of the cloud's metadata leads to: az reads `--image Ubuntu2204` from it."""
    aliases = {
        system: {
            alias: {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest", "architecture": "x64"}
            for alias, (publisher, offer, sku) in known.items()
        }
        for system, known in _ALIASES.items()
    }
    return {
        "$schema": "http://schema.management.azure.com/schemas/2015-01-01-preview/deploymentTemplate.json",
        "contentVersion": "1.0.0.0", "parameters": {}, "variables": {}, "resources": [],
        "outputs": {"aliases": {"type": "object", "value": aliases}},
    }  # fmt: skip


# -- plans -----------------------------------------------------------------------------------------------------------


def missing_plan(change: Change, reference: Mapping[str, Any] | None) -> ArmError | None:
    """What goes wrong with a machine whose image is bought and which does not say with what plan, or with another."""
    wanted = _plan_of(change.engine, reference or {})
    if wanted is None or change.exists:
        return None
    plan = change.body.get("plan")
    if not isinstance(plan, dict) or not plan:
        return errors.bad_request(
            "VMMarketplaceInvalidInput",
            "Creating a virtual machine from Marketplace image or a custom image sourced from a Marketplace image "
            f"requires Plan information in the request. VM: '{change.id}'.",
        )
    if not all(bodies.same(plan.get(key), wanted[key]) for key in wanted):
        # Assumption on the wording: the code is the same in public traces.
        return errors.bad_request(
            "VMMarketplaceInvalidInput",
            f"The Plan information of the request does not fit the Marketplace image. VM: '{change.id}'.",
        )
    return None


def _plan_of(engine: Engine, reference: Mapping[str, Any]) -> dict[str, str] | None:
    """The plan that an image is bought with; gallery images say it in their definition."""
    if reference.get("publisher"):
        row = find(engine, reference)
        return plan_of(row) if row is not None and row["plan"] else None
    found = engine.store.get(str(reference.get("id") or ""))
    if found is not None and found.type.lower() == "microsoft.compute/galleries/images/versions":
        found = engine.store.get(parse(found.id).parent)
    plan = found.properties.get("purchasePlan") if found is not None else None
    return {key: str(plan[key]) for key in ("name", "publisher", "product")} if isinstance(plan, dict) else None


# -- lists -----------------------------------------------------------------------------------------------------------


def _not_found() -> errors.ArmError:
    return errors.ArmError(errors.NOT_FOUND, "NotFound", "Artifact: VMImage was not found.")


def _list_versions(call: Call) -> Answer:
    location = usages.location_of(call)
    _, publisher, _, offer, sku, *version = call.path.names
    found = _matching(call.engine, publisher=publisher, offer=offer, sku=sku)
    if version:
        named = next((row for row in found if row["version"] == version[0]), None)
        if named is None:
            raise _not_found()
        refuse_deprecated(named)
        return Answer(200, _version(call, named, location, full=True))
    if not found:
        raise _not_found()
    found = [row for row in found if row["imageState"] != "Deprecated"]
    if "desc" in call.query.get("$orderby", ""):
        found.reverse()
    full = "properties" in call.query.get("$expand", "").lower()
    count = rules.whole_number(call.query, "$top", len(found))
    return Answer(200, [_version(call, row, location, full=full) for row in found[:count]])


def _version(call: Call, row: Row, location: str, *, full: bool) -> dict[str, Any]:
    prefix = f"/Subscriptions/{call.subscription}/Providers/Microsoft.Compute/Locations/{location}/Publishers"
    shown: dict[str, Any] = {
        "location": location,
        "name": row["version"],
        "id": f"{prefix}/{row['publisher']}/ArtifactTypes/VMImage/Offers/{row['offer']}/Skus/{row['sku']}/Versions/"
        f"{row['version']}",
    }
    if full:
        arm = "arm" in row["sku"]
        status: dict[str, Any] = {"imageState": row["imageState"]}
        if row["scheduledDeprecationTime"]:
            status["scheduledDeprecationTime"] = row["scheduledDeprecationTime"]
        shown["properties"] = {
            "hyperVGeneration": row["generation"], "architecture": "Arm64" if arm else "x64", "replicaType": "Managed",
            "replicaCount": 10, "disallowed": {"vmDiskType": "Unmanaged"},
            "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False}, "imageDeprecationStatus": status,
            "features": [{"name": "IsAcceleratedNetworkSupported", "value": "True"},
                         {"name": "DiskControllerTypes", "value": "SCSI, NVMe"}],
            "osDiskImage": {"operatingSystem": row["osType"], "sizeInGb": row["sizeGb"]}, "dataDiskImages": [],
        }  # fmt: skip
        if row["plan"]:
            shown["properties"]["plan"] = plan_of(row)
    return shown


def _lister(level: str, *above: str) -> Function:
    """A list of publishers, offers or skus: bare arrays on Azure."""

    def run(call: Call) -> Answer:
        location = usages.location_of(call)
        names = [name for name in call.path.names[1:] if name.lower() != "vmimage"]
        wanted = dict(zip(above, names, strict=True))
        found = dict.fromkeys(row[level] for row in _matching(call.engine, **wanted))
        if not found:
            raise _not_found()
        prefix = f"/Subscriptions/{call.subscription}/Providers/Microsoft.Compute/Locations/{location}"
        # Ids name what is above, too: clients cut publisher and offer out of them.
        if above:
            prefix += f"/Publishers/{names[0]}/ArtifactTypes/VMImage"
        if len(above) > 1:
            prefix += f"/Offers/{names[1]}"
        segment = f"{level.capitalize()}s"
        return Answer(200, [
            {"location": location, "name": name, "id": f"{prefix}/{segment}/{name}"} for name in sorted(found)
        ])  # fmt: skip

    return run


FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", _BASE): _lister("publisher"),
    ("GET", f"{_ARTIFACTS}/offers"): _lister("offer", "publisher"),
    ("GET", f"{_ARTIFACTS}/offers/skus"): _lister("sku", "publisher", "offer"),
    ("GET", f"{_ARTIFACTS}/offers/skus/versions"): _list_versions,
}
