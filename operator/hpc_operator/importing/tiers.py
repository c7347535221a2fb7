"""StorageTiers for file systems that are there. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from hpc_operator.api.storage_tier import LUSTRE_SIZES
from hpc_operator.importing.found import Body, name_of, value

_TEBIBYTE: Final = 2**40
_MOST: Final = 100  # TiB, as netAppFiles.capacity allows
_SKU: Final = re.compile(r"AMLFS-Durable-Premium-(40|125|250|500)", re.IGNORECASE)
_PURPOSES: Final = (
    ("Home", re.compile(r"home|shared")),
    ("Scratch", re.compile(r"scratch|lustre|amlfs|tmp|work")),
    ("Archive", re.compile(r"archive|backup|cold")),
)


def file_system(body: Body) -> dict[str, Any] | None:
    """Return what tells the kind of storage in a tier's spec; None for what it has no words for."""
    properties = value(body, "properties", default={})
    return _lustre(body, properties) if "/amlfilesystems/" in body["id"].lower() else _net_app(properties)


def _net_app(properties: Mapping[str, Any]) -> dict[str, Any] | None:
    capacity = _tebibytes(value(properties, "usageThreshold", default=0))
    level, protocols = value(properties, "serviceLevel"), value(properties, "protocolTypes", default=[])
    if level not in ("Standard", "Premium", "Ultra") or protocols not in (["NFSv3"], ["NFSv4.1"]):
        return None
    if capacity is None or capacity > _MOST:
        return None
    return {"netAppFiles": {"serviceLevel": level, "capacity": f"{capacity}Ti", "protocol": protocols[0]}}


def _lustre(body: Body, properties: Mapping[str, Any]) -> dict[str, Any] | None:
    sku, capacity = _SKU.fullmatch(value(body, "sku", "name", default="")), value(properties, "storageCapacityTiB")
    if sku is None or capacity is None:
        return None
    step, most = LUSTRE_SIZES[sku[1]]
    if int(capacity) % step or not step <= int(capacity) <= most:
        return None
    window = value(properties, "maintenanceWindow", default={})
    times = {"dayOfWeek": window.get("dayOfWeek"), "timeOfDay": window.get("timeOfDayUTC")}
    return {
        "managedLustre": {
            "throughputPerTiB": int(sku[1]),
            "capacity": f"{int(capacity)}Ti",
            "maintenanceWindow": {key: item for key, item in times.items() if item},
        }
    }


def export(body: Body) -> dict[str, Any] | None:
    """Return `existingNfs` for a NetApp volume; None where it has no address or speaks no NFS."""
    properties = value(body, "properties", default={})
    address, path = value(properties, "mountTargets", 0, "ipAddress"), value(properties, "creationToken")
    if not address or not path or not any(item.startswith("NFS") for item in properties.get("protocolTypes", [])):
        return None
    return {"existingNfs": {"server": address, "exportPath": f"/{path}"}}


def purpose_of(name: str) -> str:
    """Return what a file system of that name is for, probably."""
    return next((purpose for purpose, words in _PURPOSES if words.search(name.lower())), "Project")


def _tebibytes(size: Any) -> int | None:
    whole, rest = divmod(int(size), _TEBIBYTE)
    return whole if whole and not rest else None


def word_for(body: Body) -> str:
    """Return a word that names and paths can be made from, such as home of anfhome or home-anf-volume."""
    name = re.sub(r"(-anf)?-volume$|^anf-?", "", name_of(body).lower())
    if "/amlfilesystems/" in body["id"].lower():
        name = re.sub(r"-[a-z0-9]{13}$", "", name)  # what Bicep's uniqueString makes
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "data"
