"""Availability zones that a body of Microsoft.Compute asks for, against those of its region."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator import errors, locations

if TYPE_CHECKING:
    from azure_emulator.types import Change


def check_zones(change: Change, *, most: int = 1) -> None:
    """Zones must be ones of the region, and not too many."""
    zones, location = change.body.get("zones") or [], change.body["location"]
    known = locations.zones(location)
    if len(zones) > most or any(str(zone) not in known for zone in zones):
        raise errors.bad_request(
            "InvalidAvailabilityZone",
            f"The zone(s) '{','.join(map(str, zones))}' for resource '{change.id}' is not supported. The supported "
            f"zones for location '{location}' are '{','.join(known)}'.",
            target="zones",
        )
