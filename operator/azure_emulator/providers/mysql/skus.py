"""Sizes of MySQL flexible servers by tier, and the capability lists of a region.

Numbers are those of azure-cli recordings of the capabilities API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from azure_emulator import locations

BURSTABLE, GENERAL, MEMORY = "Burstable", "GeneralPurpose", "MemoryOptimized"
VERSIONS = ("5.7", "8.0.21")
FULL_VERSIONS = {"5.7": "5.7.44", "8.0.21": "8.0.42"}
STORAGE_GIB = (20, 16_384)
BACKUP_DAYS = (1, 35)
_GIB = 1024


@dataclass(frozen=True)
class Sku:
    """A size: cores, IOPS at most, memory for each core in MiB."""

    name: str
    tier: str
    cores: int
    iops: int
    memory: int

    @property
    def total_memory(self) -> int:
        """Bytes of memory."""
        return self.cores * self.memory * 2**20


def _row(tier: str, pattern: str, memory: int, *sizes: tuple[int, int]) -> list[Sku]:
    return [Sku(pattern.format(cores), tier, cores, iops, memory) for cores, iops in sizes]


_GENERAL = ((2, 3200), (4, 6400), (8, 12_800), (16, 20_000), (32, 20_000), (48, 20_000), (64, 20_000))
_MEMORY = ((2, 5000), (4, 10_000), (8, 18_000), (16, 28_000), (32, 38_000), (48, 48_000), (64, 64_000), (96, 80_000))
SKUS = {sku.name.lower(): sku for sku in (
    Sku("Standard_B1s", BURSTABLE, 1, 400, 1024), Sku("Standard_B1ms", BURSTABLE, 1, 640, 2048),
    Sku("Standard_B2s", BURSTABLE, 2, 1280, 2048), Sku("Standard_B2ms", BURSTABLE, 2, 1700, 4096),
    Sku("Standard_B4ms", BURSTABLE, 4, 2400, 4096), Sku("Standard_B8ms", BURSTABLE, 8, 3100, 4096),
    Sku("Standard_B12ms", BURSTABLE, 12, 3800, 4096), Sku("Standard_B16ms", BURSTABLE, 16, 4300, 4096),
    Sku("Standard_B20ms", BURSTABLE, 20, 5000, 4096),
    *_row(GENERAL, "Standard_D{}ads_v5", 4096, *_GENERAL), *_row(GENERAL, "Standard_D{}ds_v4", 4096, *_GENERAL),
    *_row(MEMORY, "Standard_E{}ds_v5", 8192, *_MEMORY[:-1]), Sku("Standard_E96ds_v5", MEMORY, 96, 80_000, 7168),
    *_row(MEMORY, "Standard_E{}ds_v4", 8192, *_MEMORY[:-1]), *_row(MEMORY, "Standard_E{}ads_v5", 8192, *_MEMORY[:-1]),
)}  # fmt: skip
TIERS = (BURSTABLE, GENERAL, MEMORY)


def of_tier(tier: str) -> list[Sku]:
    """All sizes of a tier."""
    return [sku for sku in SKUS.values() if sku.tier == tier]


def _modes(location: str, tier: str) -> list[str]:
    if tier == BURSTABLE:
        return []
    return ["SameZone", "ZoneRedundant"] if locations.zones(location) else ["SameZone"]


def _storage() -> list[dict[str, Any]]:
    low, high = STORAGE_GIB
    return [{
        "name": "Premium", "minStorageSize": low * _GIB, "maxStorageSize": high * _GIB,
        "minBackupRetentionDays": BACKUP_DAYS[0], "maxBackupRetentionDays": BACKUP_DAYS[1],
        "minBackupIntervalHours": 6, "maxBackupIntervalHours": 24,
    }]  # fmt: skip


def _shown(sku: Sku) -> dict[str, Any]:
    return {
        "name": sku.name, "vCores": sku.cores, "supportedIops": sku.iops, "supportedMemoryPerVCoreMB": sku.memory,
    }  # fmt: skip


def capabilities(location: str) -> list[dict[str, Any]]:
    """…/locations/{location}/capabilities: the older list, a row for each zone."""
    editions = [
        {
            "name": tier, "supportedStorageEditions": _storage(),
            "supportedServerVersions": [
                {"name": version, "supportedSkus": [_shown(sku) for sku in of_tier(tier)]} for version in VERSIONS
            ],
        }
        for tier in TIERS
    ]  # fmt: skip
    return [
        {"zone": zone, "supportedHAMode": _modes(location, GENERAL), "supportedGeoBackupRegions": [],
         "supportedFlexibleServerEditions": editions}
        for zone in (locations.zones(location) or ["none"])
    ]  # fmt: skip


def capability_set(location: str, subscription: str) -> dict[str, Any]:
    """…/locations/{location}/capabilitySets/default: the newer one."""
    zones = locations.zones(location)
    editions = [
        {
            "name": tier, "defaultSku": of_tier(tier)[1 if tier == BURSTABLE else 0].name, "defaultStorageSize": 65_536,
            "supportedStorageEditions": _storage(),
            "supportedSkus": [
                {**_shown(sku), "supportedZones": zones, "supportedHAMode": _modes(location, tier)}
                for sku in of_tier(tier)
            ],
        }
        for tier in TIERS
    ]  # fmt: skip
    head = f"/subscriptions/{subscription}/providers/Microsoft.DBforMySQL/locations/{location}/capabilitySets"
    return {
        "id": f"{head}/default", "name": "default", "type": "Microsoft.DBforMySQL/locations/capabilitySets",
        "properties": {
            "supportedGeoBackupRegions": [], "supportedFlexibleServerEditions": editions,
            "supportedServerVersions": [{"name": version} for version in VERSIONS], "supportedFeatures": [],
        },
    }  # fmt: skip
