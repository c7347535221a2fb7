"""VM sizes: the HPC and GPU ones, and the general ones that login nodes and schedulers run on. Data, and the skus list.

Numbers are from azure-compute-docs (sizes/*) of 2024-07 to 2025-11. Family names are those of the usages API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from azure_emulator import locations
from azure_emulator.types import Answer, Call


@dataclass(frozen=True)
class Size:
    """One VM size; `vcpus_available` is lower than `vcpus` for constrained-core sizes."""

    name: str
    family: str
    vcpus: int
    memory_gb: float
    gpus: int = 0
    rdma: bool = False
    local_disk_mb: int = 0
    nvme_mib: int = 0
    vcpus_per_core: int = 1
    max_nics: int = 8
    max_data_disks: int = 32
    generations: str = "V2"
    architecture: str = "x64"
    ephemeral: bool = True
    spot: bool = True
    premium: bool = True
    # Assumption: the documents name sizes that cannot be reserved, and of ours these are the burstable ones only.
    reservable: bool = True
    hibernates: bool = False
    vcpus_available: int | None = None
    parent: str | None = None

    @property
    def hpc(self) -> bool:
        """Sizes without live migration and memory-preserving updates (orchestration-modes doc)."""
        return self.rdma or self.gpus > 0

    def capabilities(self) -> list[dict[str, str]]:
        """As the skus API lists them: every value a string."""
        placements = ["NvmeDisk"] if self.nvme_mib else ["ResourceDisk", "CacheDisk"] if self.local_disk_mb else []
        values: dict[str, Any] = {
            "MaxResourceVolumeMB": self.local_disk_mb, "OSVhdSizeMB": 1047552, "vCPUs": self.vcpus,
            "MemoryPreservingMaintenanceSupported": not self.hpc, "HyperVGenerations": self.generations,
            "MemoryGB": f"{self.memory_gb:g}", "MaxDataDiskCount": self.max_data_disks,
            "CpuArchitectureType": "Arm64" if self.architecture == "arm64" else "x64",
            "LowPriorityCapable": self.spot, "PremiumIO": self.premium, "VMDeploymentTypes": "IaaS",
            "vCPUsAvailable": self.vcpus_available or self.vcpus, "vCPUsPerCore": self.vcpus_per_core,
            "EphemeralOSDiskSupported": self.ephemeral, "EncryptionAtHostSupported": True,
            "CapacityReservationSupported": self.reservable, "AcceleratedNetworkingEnabled": True,
            "RdmaEnabled": self.rdma, "MaxNetworkInterfaces": self.max_nics, "UltraSSDAvailable": False,
            "HibernationSupported": self.hibernates, "TrustedLaunchDisabled": "V2" not in self.generations,
        }  # fmt: skip
        if self.gpus:
            values["GPUs"] = self.gpus
        if self.nvme_mib:
            values["NvmeDiskSizeInMiB"] = self.nvme_mib
        if self.ephemeral:
            values["SupportedEphemeralOSDiskPlacements"] = ",".join(placements)
        if self.parent:
            values["ParentSize"] = self.parent
        return [{"name": name, "value": str(value)} for name, value in values.items()]


def _constrained(size: Size, pattern: str, cores: tuple[int, ...]) -> list[Size]:
    """Sizes with fewer cores of the same machine: memory, InfiniBand, price and quota stay the parent's."""
    return [replace(size, name=pattern.format(count), vcpus_available=count, parent=size.name) for count in cores]


def _hpc() -> list[Size]:
    hb2 = Size("Standard_HB120rs_v2", "standardHBrsv2Family", 120, 456, rdma=True, nvme_mib=915_527, max_data_disks=8,
               generations="V1,V2")  # fmt: skip
    hb3 = Size("Standard_HB120rs_v3", "standardHBv3Family", 120, 448, rdma=True, nvme_mib=1_831_054,
               generations="V1,V2")  # fmt: skip
    hb4 = Size("Standard_HB176rs_v4", "standardHBv4Family", 176, 768, rdma=True, nvme_mib=3_433_227)
    hb5 = Size("Standard_HB368rs_v5", "standardHBv5Family", 368, 432, rdma=True, nvme_mib=14_647_296)
    hx = Size("Standard_HX176rs", "standardHXFamily", 176, 1408, rdma=True, nvme_mib=3_433_227)
    hc = Size("Standard_HC44rs", "standardHCSFamily", 44, 352, rdma=True, local_disk_mb=700 * 1024, max_data_disks=4,
              generations="V1,V2")  # fmt: skip
    return [
        hb2, *_constrained(hb2, "Standard_HB120-{}rs_v2", (96, 64, 32, 16)),
        hb3, *_constrained(hb3, "Standard_HB120-{}rs_v3", (96, 64, 32, 16)),
        hb4, *_constrained(hb4, "Standard_HB176-{}rs_v4", (144, 96, 48, 24)),
        hb5, *_constrained(hb5, "Standard_HB368-{}rs_v5", (336, 288, 240, 192, 144, 96, 48)),
        hx, *_constrained(hx, "Standard_HX176-{}rs", (144, 96, 48, 24)),
        hc, *_constrained(hc, "Standard_HC44-{}rs", (32, 16)),
    ]  # fmt: skip


def _gpu() -> list[Size]:
    nc_a100, nc_h100 = "StandardNCADSA100v4Family", "StandardNCadsH100v5Family"
    return [
        Size("Standard_ND96asr_v4", "standardNDASv4_A100Family", 96, 900, 8, rdma=True, local_disk_mb=6000 * 1024),
        Size("Standard_ND96amsr_A100_v4", "standardNDAMSv4_A100Family", 96, 1900, 8, rdma=True,
             local_disk_mb=6400 * 1024),
        Size("Standard_ND96isr_H100_v5", "standardNDSH100v5Family", 96, 1900, 8, rdma=True, nvme_mib=28_610_229),
        Size("Standard_ND96isr_H200_v5", "standardNDISRH200V5Family", 96, 1850, 8, rdma=True, nvme_mib=28_610_229),
        Size("Standard_ND128isr_NDR_GB200_v6", "standardNDISRGB200v6Family", 128, 900, 4, rdma=True,
             nvme_mib=16_000_000, architecture="arm64"),
        Size("Standard_NC24ads_A100_v4", nc_a100, 24, 220, 1, nvme_mib=915_527, vcpus_per_core=1),
        Size("Standard_NC48ads_A100_v4", nc_a100, 48, 440, 2, nvme_mib=1_831_054),
        Size("Standard_NC96ads_A100_v4", nc_a100, 96, 880, 4, nvme_mib=3_662_109),
        Size("Standard_NC40ads_H100_v5", nc_h100, 40, 320, 1, nvme_mib=3_410_339),
        Size("Standard_NC80adis_H100_v5", nc_h100, 80, 640, 2, nvme_mib=6_820_678),
    ]  # fmt: skip


# pattern, family, GB of memory per vCPU, vCPUs, GB of local disk per vCPU.
_GENERAL: tuple[tuple[str, str, float, tuple[int, ...], float], ...] = (
    ("Standard_D{}_v3", "standardDv3Family", 4, (2, 4, 8, 16, 32, 48, 64), 25),
    ("Standard_D{}s_v3", "standardDSv3Family", 4, (2, 4, 8, 16, 32, 48, 64), 8),
    ("Standard_D{}s_v4", "standardDSv4Family", 4, (2, 4, 8, 16, 32, 48, 64), 0),
    ("Standard_D{}ds_v4", "standardDDSv4Family", 4, (2, 4, 8, 16, 32, 48, 64), 37.5),
    ("Standard_D{}as_v4", "standardDASv4Family", 4, (2, 4, 8, 16, 32, 48, 64, 96), 8),
    ("Standard_D{}_v5", "standardDv5Family", 4, (2, 4, 8, 16, 32, 48, 64, 96), 0),
    ("Standard_D{}s_v5", "standardDSv5Family", 4, (2, 4, 8, 16, 32, 48, 64, 96), 0),
    ("Standard_D{}ds_v5", "standardDDSv5Family", 4, (2, 4, 8, 16, 32, 48, 64, 96), 37.5),
    ("Standard_D{}as_v5", "standardDASv5Family", 4, (2, 4, 8, 16, 32, 48, 64, 96), 0),
    ("Standard_D{}ads_v5", "standardDADSv5Family", 4, (2, 4, 8, 16, 32, 48, 64, 96), 37.5),
    ("Standard_D{}s_v6", "StandardDsv6Family", 4, (2, 4, 8, 16, 32, 48, 64, 96, 128), 0),
    ("Standard_E{}s_v3", "standardESv3Family", 8, (2, 4, 8, 16, 20, 32, 48), 16),
    ("Standard_E{}s_v5", "standardESv5Family", 8, (2, 4, 8, 16, 20, 32, 48, 64, 96), 0),
    ("Standard_E{}ds_v5", "standardEDSv5Family", 8, (2, 4, 8, 16, 20, 32, 48, 64, 96), 37.5),
    ("Standard_E{}as_v5", "standardEASv5Family", 8, (2, 4, 8, 16, 20, 32, 48, 64, 96), 0),
    ("Standard_F{}s_v2", "standardFSv2Family", 2, (2, 4, 8, 16, 32, 48, 64, 72), 8),
    ("Standard_L{}s_v3", "standardLSv3Family", 8, (8, 16, 32, 48, 64, 80), 10),
    ("Standard_B{}ms", "standardBSFamily", 4, (1, 2, 4, 8, 12, 16, 20), 8),
)
# name, family, vCPUs, GB of memory, GB of local disk: series whose sizes are not proportional.
_SINGLE: tuple[tuple[str, str, int, float, int], ...] = (
    ("Standard_B1ls", "standardBSFamily", 1, 0.5, 4), ("Standard_B1s", "standardBSFamily", 1, 1, 4),
    ("Standard_B2s", "standardBSFamily", 2, 4, 8),
    ("Standard_B2ts_v2", "standardBsv2Family", 2, 1, 0), ("Standard_B2s_v2", "standardBsv2Family", 2, 8, 0),
    ("Standard_B4s_v2", "standardBsv2Family", 4, 16, 0), ("Standard_B2ats_v2", "standardBasv2Family", 2, 1, 0),
    ("Standard_DS1_v2", "standardDSv2Family", 1, 3.5, 7), ("Standard_DS2_v2", "standardDSv2Family", 2, 7, 14),
    ("Standard_DS3_v2", "standardDSv2Family", 4, 14, 28), ("Standard_DS4_v2", "standardDSv2Family", 8, 28, 56),
    ("Standard_DS5_v2", "standardDSv2Family", 16, 56, 112),
    ("Standard_D1_v2", "standardDv2Family", 1, 3.5, 50), ("Standard_D2_v2", "standardDv2Family", 2, 7, 100),
    ("Standard_D3_v2", "standardDv2Family", 4, 14, 200), ("Standard_D4_v2", "standardDv2Family", 8, 28, 400),
    ("Standard_A1_v2", "standardAv2Family", 1, 2, 10), ("Standard_A2_v2", "standardAv2Family", 2, 4, 20),
    ("Standard_A4_v2", "standardAv2Family", 4, 8, 40),
)  # fmt: skip
# Families whose sizes take no premium disks: the name says so by its missing s.
_WITHOUT_PREMIUM = frozenset({"standardDv3Family", "standardDv5Family", "standardDv2Family", "standardAv2Family"})
_GENERATION_1_ONLY = frozenset({"standardDv3Family", "standardDv5Family", "standardDv2Family", "standardAv2Family"})
_GENERATION_2_ONLY = frozenset({"StandardDsv6Family"})


def _general() -> list[Size]:
    """Two vCPUs per core; a local disk only where the table says so."""
    rows = [
        *((pattern.format(count), family, count, count * memory, count * disk)
          for pattern, family, memory, counts, disk in _GENERAL for count in counts),
        *_SINGLE,
    ]  # fmt: skip
    return [_general_size(*row) for row in rows]


def _general_size(name: str, family: str, vcpus: int, memory_gb: float, disk_gb: float) -> Size:
    burstable = name.startswith("Standard_B")
    generations = "V2" if family in _GENERATION_2_ONLY else "V1" if family in _GENERATION_1_ONLY else "V1,V2"
    premium = family not in _WITHOUT_PREMIUM
    return Size(
        name, family, vcpus, memory_gb, local_disk_mb=int(disk_gb * 1024), vcpus_per_core=1 if vcpus == 1 else 2,
        max_nics=min(8, max(2, vcpus // 4)), max_data_disks=min(32, 2 * vcpus), generations=generations,
        ephemeral=disk_gb > 0 and premium, spot=not burstable, premium=premium, reservable=not burstable,
        hibernates=family.startswith(("standardD", "standardE")) and family.endswith("v5Family"),
    )  # fmt: skip


# Fault domains of a region's availability sets and scale sets; real regions have two or three.
FAULT_DOMAINS = 3

SIZES: dict[str, Size] = {size.name.lower(): size for size in (*_hpc(), *_gpu(), *_general())}

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(size.family for size in SIZES.values()))


def localized(family: str) -> str:
    """`standardHBv3Family` is shown as `Standard HBv3 Family vCPUs`."""
    return re.sub(r"^[sS]tandard(.*)Family$", r"Standard \1 Family vCPUs", family)


def restriction(rows: list[dict[str, Any]], size: Size, location: str) -> dict[str, Any] | None:
    """The restriction that the subscription has on a size in a region, from the setting `restrictions`."""
    found = [
        row for row in rows
        if str(row["vmSize"]).lower() == size.name.lower() and locations.normalise(row["location"]) == location
    ]  # fmt: skip
    if not found:
        return None
    if any(not row.get("zones") for row in found):
        return {**found[0], "zones": []}  # the whole region, whatever else is said of its zones
    return {**found[0], "zones": sorted({str(zone) for row in found for zone in row["zones"]})}


def list_skus(call: Call) -> Answer:
    """GET …/providers/Microsoft.Compute/skus: only the location filter works, as on Azure."""
    match = re.search(r"location\s+eq\s+'([^']*)'", call.query.get("$filter", ""))
    regions = [locations.normalise(match[1])] if match else list(locations.REGIONS)
    restricted = call.engine.setting("restrictions", [])
    value: list[dict[str, Any]] = []
    for region in regions:
        if region in locations.REGIONS:
            value += _availability_set_skus(region)
            value += [_sku(size, region, restriction(restricted, size, region)) for size in SIZES.values()]
    return Answer(200, {"value": value})


def _availability_set_skus(location: str) -> list[dict[str, Any]]:
    """How many fault domains an availability set may have here: az reads its default from this."""
    domains = {"name": "MaximumPlatformFaultDomainCount", "value": str(FAULT_DOMAINS)}
    return [
        {
            "resourceType": "availabilitySets", "name": name, "locations": [location],
            "locationInfo": [{"location": location, "zones": [], "zoneDetails": []}],
            "capabilities": [domains], "restrictions": [],
        }
        for name in ("Classic", "Aligned")
    ]  # fmt: skip


def _sku(size: Size, location: str, limit: dict[str, Any] | None) -> dict[str, Any]:
    restrictions = []
    if limit is not None:
        zones = limit.get("zones") or []
        restrictions.append({
            "type": "Zone" if zones else "Location", "values": [location],
            "restrictionInfo": {"locations": [location], "zones": zones},
            "reasonCode": limit.get("reasonCode", "NotAvailableForSubscription"),
        })  # fmt: skip
    return {
        "resourceType": "virtualMachines", "name": size.name, "tier": "Standard",
        "size": size.name.removeprefix("Standard_"), "family": size.family, "locations": [location],
        "locationInfo": [{"location": location, "zones": locations.zones(location), "zoneDetails": []}],
        "capabilities": size.capabilities(), "restrictions": restrictions,
    }  # fmt: skip


def describe(size: Size) -> dict[str, Any]:
    """One row of the older lists of sizes."""
    return {
        "name": size.name, "numberOfCores": size.vcpus_available or size.vcpus, "osDiskSizeInMB": 1047552,
        "resourceDiskSizeInMB": size.local_disk_mb, "memoryInMB": int(size.memory_gb * 1024),
        "maxDataDiskCount": size.max_data_disks,
    }  # fmt: skip


def list_sizes(call: Call) -> Answer:  # noqa: ARG001 (a function of the provider)
    """GET …/locations/{location}/vmSizes, the older list."""
    return Answer(200, {"value": [describe(size) for size in SIZES.values()]})
