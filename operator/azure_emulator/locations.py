"""Azure regions that the emulator knows, with the zones each has.

Plain data; `normalise` turns a display name into the region's name as ARM does.
"""

from __future__ import annotations

REGIONS: dict[str, str] = {
    "australiaeast": "Australia East",
    "brazilsouth": "Brazil South",
    "canadacentral": "Canada Central",
    "centralindia": "Central India",
    "centralus": "Central US",
    "eastasia": "East Asia",
    "eastus": "East US",
    "eastus2": "East US 2",
    "francecentral": "France Central",
    "germanywestcentral": "Germany West Central",
    "italynorth": "Italy North",
    "japaneast": "Japan East",
    "koreacentral": "Korea Central",
    "northcentralus": "North Central US",
    "northeurope": "North Europe",
    "norwayeast": "Norway East",
    "polandcentral": "Poland Central",
    "southafricanorth": "South Africa North",
    "southcentralus": "South Central US",
    "southeastasia": "Southeast Asia",
    "spaincentral": "Spain Central",
    "swedencentral": "Sweden Central",
    "switzerlandnorth": "Switzerland North",
    "uaenorth": "UAE North",
    "uksouth": "UK South",
    "westcentralus": "West Central US",
    "westeurope": "West Europe",
    "westus": "West US",
    "westus2": "West US 2",
    "westus3": "West US 3",
}

WITHOUT_ZONES = frozenset({"northcentralus", "westcentralus", "westus"})


def normalise(location: str) -> str:
    """`West Europe` and `westeurope` are the same region."""
    return location.replace(" ", "").lower()


def zones(location: str) -> list[str]:
    """Availability zones of a region."""
    return [] if location in WITHOUT_ZONES else ["1", "2", "3"]
