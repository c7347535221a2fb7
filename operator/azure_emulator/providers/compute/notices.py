"""Scheduled events as they stand on a machine: added, changed and taken off. Data only; scheduled_events.py acts.

A machine keeps its events in `internal["events"]` and counts their changes in `internal["incarnation"]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

MAINTENANCE = ("Freeze", "Reboot", "Redeploy")


def of(machine: Resource) -> list[dict[str, Any]]:
    """The events of a machine, oldest first."""
    events: list[dict[str, Any]] = machine.internal.get("events", [])
    return events


def add(engine: Engine, machine: Resource, kind: str, notice: float, duration: float, description: str) -> str:
    """Announce an event; returns its id."""
    event = {
        "id": engine.guid(), "kind": kind, "status": "Scheduled", "notBefore": engine.now + notice,
        "duration": duration, "description": description,
    }  # fmt: skip
    machine.internal["events"] = [*of(machine), event]
    changed(machine)
    return str(event["id"])


def find(machine: Resource, event_id: str) -> dict[str, Any] | None:
    """One event."""
    return next((event for event in of(machine) if event["id"].lower() == event_id.lower()), None)


def remove(machine: Resource, event_id: str) -> None:
    """It is over."""
    machine.internal["events"] = [event for event in of(machine) if event["id"] != event_id]
    changed(machine)


def clear(machine: Resource) -> None:
    """Nothing that was announced comes any more: the machine left its host."""
    if of(machine):
        machine.internal["events"] = []
        changed(machine)


def changed(machine: Resource) -> None:
    """Whoever reads the document next sees another incarnation."""
    machine.internal["incarnation"] = int(machine.internal.get("incarnation", 0)) + 1


def maintenance_of(engine: Engine, machine: Resource) -> dict[str, Any] | None:
    """What an instance view says of planned maintenance, if there is any."""
    for event in of(machine):
        if event["kind"] in MAINTENANCE and event["status"] == "Scheduled":
            return {
                "isCustomerInitiatedMaintenanceAllowed": True,
                "preMaintenanceWindowStartTime": engine.clock.iso(engine.now),
                "preMaintenanceWindowEndTime": engine.clock.iso(event["notBefore"]),
                "maintenanceWindowStartTime": engine.clock.iso(event["notBefore"]),
                "maintenanceWindowEndTime": engine.clock.iso(event["notBefore"] + event["duration"]),
                "lastOperationResultCode": "None",
            }
    return None
