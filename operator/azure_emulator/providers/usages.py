"""Limits of a subscription in a region, and how lists of usages show them.

Knows no resource type: who counts what is the providers' business. Limits are set by name (PUT /emulator/quota).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import errors, locations

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.types import Call


def limit(engine: Engine, location: str, name: str, default: int) -> int:
    """The limit of that name in a region."""
    return int(engine.setting("quota", {}).get(f"{location}/{name.lower()}", default))


def location_of(call: Call) -> str:
    """The region in a path …/locations/{location}/…, or the refusal of one that does not exist."""
    location = locations.normalise(call.path.names[0])
    if location not in locations.REGIONS:
        raise errors.bad_request(
            "NoRegisteredProviderFound",
            f"No registered resource provider found for location '{location}' and API version '{call.api_version}' for "
            f"type '{'/'.join(call.path.types)}'. The supported locations are "
            f"'{', '.join(sorted(locations.REGIONS))}'.",
        )
    return location


def row(name: str, localized: str, current: int, allowed: int) -> dict[str, Any]:
    """One line of a list of usages."""
    return {
        "unit": "Count", "currentValue": current, "limit": allowed,
        "name": {"value": name, "localizedValue": localized},
    }  # fmt: skip
