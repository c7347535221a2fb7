"""Marketplace images: what the image lists answer, and how `latest` becomes a version.

Data with the lists over it; more versions can be added through the admin API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.types import Answer, Call, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

# publisher, offer, sku, versions. Version numbers have the shape that each publisher uses.
_MARKETPLACE: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("microsoft-dsvm", "ubuntu-hpc", "2204", ("22.04.2024102301", "22.04.2025030701", "22.04.2025081901")),
    ("microsoft-dsvm", "ubuntu-hpc", "2404", ("24.04.2025050101", "24.04.2025081901")),
    ("almalinux", "almalinux-hpc", "8_10-hpc-gen2", ("8.10.2024101801", "8.10.2025060501")),
    ("almalinux", "almalinux-hpc", "8_7-hpc-gen2", ("8.7.2023060101", "8.7.2024042601")),
    ("Canonical", "ubuntu-24_04-lts", "server", ("24.04.202404230", "24.04.202502210", "24.04.202508120")),
    ("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", ("22.04.202405140", "22.04.202508120")),
    ("Debian", "debian-12", "12-gen2", ("0.20240701.1795", "0.20250316.2053", "0.20250814.2204")),
    ("Debian", "debian-13", "13-gen2", ("0.20250910.2231", "0.20251006.2257")),
)
DEFAULT_OS_DISK_GB = 30

_BASE = "Microsoft.Compute/locations/publishers"
_ARTIFACTS = f"{_BASE}/artifacttypes"

Row = dict[str, str]


def _rows(engine: Engine) -> list[Row]:
    rows = [
        {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
        for publisher, offer, sku, versions in _MARKETPLACE
        for version in versions
    ]
    return [*rows, *engine.setting("images", [])]


def _matching(engine: Engine, **wanted: str) -> list[Row]:
    found = [row for row in _rows(engine) if all(row[key].lower() == value.lower() for key, value in wanted.items())]
    return sorted(found, key=lambda row: version_key(row["version"]))


def version_key(version: str) -> tuple[int, ...]:
    """Versions are compared number by number."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def exact_version(engine: Engine, reference: dict[str, Any]) -> str:
    """The version that a marketplace reference stands for, or Compute's refusal."""
    parts = {key: str(reference.get(key, "")) for key in ("publisher", "offer", "sku")}
    version = str(reference.get("version", ""))
    found = _matching(engine, **parts)
    if version.lower() != "latest":
        found = [row for row in found if row["version"] == version]
    if not found:
        urn = ":".join((*parts.values(), version))
        raise errors.ArmError(
            errors.NOT_FOUND,
            "PlatformImageNotFound",
            f"The platform image '{urn}' is not available. Verify that all fields in the storage profile are correct. "
            "For more details about storage profile information, please refer to https://aka.ms/storageprofile",
            target="imageReference",
        )
    return found[-1]["version"]


def _list_versions(call: Call) -> Answer:
    location, publisher, _, offer, sku, *version = call.path.names
    found = _matching(call.engine, publisher=publisher, offer=offer, sku=sku)
    if version:
        found = [row for row in found if row["version"] == version[0]]
    if not found:
        raise errors.ArmError(errors.NOT_FOUND, "NotFound", "Artifact: VMImage was not found.")
    if version:
        return Answer(200, _version(call, found[0], location, full=True))
    if "desc" in call.query.get("$orderby", ""):
        found.reverse()
    found = found[: int(call.query.get("$top", len(found)))]
    full = "properties" in call.query.get("$expand", "")
    return Answer(200, [_version(call, row, location, full=full) for row in found])


def _version(call: Call, row: Row, location: str, *, full: bool) -> dict[str, Any]:
    prefix = f"/Subscriptions/{call.subscription}/Providers/Microsoft.Compute/Locations/{location}/Publishers"
    shown: dict[str, Any] = {
        "location": location,
        "name": row["version"],
        "id": f"{prefix}/{row['publisher']}/ArtifactTypes/VMImage/Offers/{row['offer']}/Skus/{row['sku']}/Versions/"
        f"{row['version']}",
    }
    if full:
        arm = "arm64" in row["sku"]
        shown["properties"] = {
            "hyperVGeneration": "V2", "architecture": "Arm64" if arm else "x64", "replicaType": "Managed",
            "replicaCount": 10, "disallowed": {"vmDiskType": "Unmanaged"},
            "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False}, "imageDeprecationStatus": {
                "imageState": "Active"}, "features": [], "osDiskImage": {"operatingSystem": "Linux",
                "sizeInGb": DEFAULT_OS_DISK_GB}, "dataDiskImages": [],
        }  # fmt: skip
    return shown


def _lister(level: str, *above: str) -> Function:
    """A list of publishers, offers or skus: bare arrays on Azure."""

    def run(call: Call) -> Answer:
        location = call.path.names[0]
        names = [name for name in call.path.names[1:] if name.lower() != "vmimage"]
        wanted = dict(zip(above, names, strict=True))
        found = dict.fromkeys(row[level] for row in _matching(call.engine, **wanted))
        if not found:
            raise errors.ArmError(errors.NOT_FOUND, "NotFound", "Artifact: VMImage was not found.")
        base = f"/Subscriptions/{call.subscription}/Providers/Microsoft.Compute/Locations/{location}"
        return Answer(200, [{"location": location, "name": name, "id": f"{base}/{level}s/{name}"} for name in found])

    return run


FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", _BASE): _lister("publisher"),
    ("GET", f"{_ARTIFACTS}/offers"): _lister("offer", "publisher"),
    ("GET", f"{_ARTIFACTS}/offers/skus"): _lister("sku", "publisher", "offer"),
    ("GET", f"{_ARTIFACTS}/offers/skus/versions"): _list_versions,
}
