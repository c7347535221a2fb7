"""What happens to machines that nobody asked for: evictions, host maintenance, crashes; and the document that warns.

The document is what the metadata service inside a machine serves at /metadata/scheduledevents.
"""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import last_name
from azure_emulator.providers.compute import machines, notices
from azure_emulator.providers.compute.names import INSTANCE
from azure_emulator.types import Action, Answer, Call, Timer

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

# Notices at least as long as Azure's (scheduled-events doc).
EVICTION_NOTICE_SECONDS = 30
NOTICE_SECONDS = {"Freeze": 900, "Reboot": 900, "Redeploy": 600}
# Setting `serviceHealingSeconds`: after so long Azure boots a machine elsewhere whose host failed. Assumption: it is
# said to take minutes; null lets it stay down until someone restarts it.
SERVICE_HEALING_SECONDS = 300
# Setting `spotRestoreSeconds`: how often a set with spotRestorePolicy tries to get evicted instances back. Assumption.
SPOT_RESTORE_SECONDS = 300

_EVICTION, _MAINTENANCE, _END, _HEALING = "eviction", "maintenance", "maintenanceEnd", "serviceHealing"

# The timer of scale sets that tries to get evicted instances back.
SPOT_RESTORE = "spotRestore"


def evict(engine: Engine, machine: Resource, notice: float = EVICTION_NOTICE_SECONDS) -> str:
    """Announce that a Spot machine goes, and let it go after the notice; returns the event's id."""
    event_id = notices.add(engine, machine, "Preempt", notice, -1, "The virtual machine is being evicted.")
    engine.later(_EVICTION, notice, machine.id, event=event_id)
    engine.store.save(machine)
    return event_id


def maintain(engine: Engine, machine: Resource, kind: str, seconds: float, notice: float | None = None) -> str:
    """Announce maintenance of a machine's host (Freeze, Reboot or Redeploy) that takes so long; returns the event's id.

    Raises ValueError for another kind.
    """
    if kind not in notices.MAINTENANCE:
        msg = f'kind is "{kind}"; write one of {", ".join(notices.MAINTENANCE)}'
        raise ValueError(msg)
    lead = NOTICE_SECONDS[kind] if notice is None else notice
    event_id = notices.add(engine, machine, kind, lead, seconds, "Host server is undergoing maintenance.")
    engine.later(_MAINTENANCE, lead, machine.id, event=event_id)
    engine.store.save(machine)
    return event_id


def crash(engine: Engine, machine: Resource) -> None:
    """Let a machine's host fail without notice; after a while Azure boots it elsewhere."""
    machines.lose_power(engine, machine)
    engine.store.save(machine)
    healing = engine.setting("serviceHealingSeconds", SERVICE_HEALING_SECONDS)
    if healing is not None:
        engine.later(_HEALING, float(healing), machine.id)


def acknowledge(engine: Engine, machine: Resource, event_id: str) -> bool:
    """Somebody inside is ready: the event need not wait for its time. False where there is no such event."""
    for one in mates(engine, machine):
        event = notices.find(one, event_id)
        if event is not None and event["status"] == "Scheduled":
            name = _EVICTION if event["kind"] == "Preempt" else _MAINTENANCE
            engine.later(name, 0, one.id, event=event["id"])
            return True
    return False


def document(engine: Engine, machine: Resource) -> dict[str, Any]:
    """The scheduled events that a machine sees: its own, and those of the machines in the same set."""
    found = mates(engine, machine)
    return {
        "DocumentIncarnation": sum(int(one.internal.get("incarnation", 0)) for one in found),
        "Events": [_event(engine, one, event) for one in found for event in notices.of(one)],
    }


def _event(engine: Engine, machine: Resource, event: dict[str, Any]) -> dict[str, Any]:
    scheduled = event["status"] == "Scheduled"
    moment = engine.clock.at(event["notBefore"]).replace(microsecond=0)
    return {
        "EventId": event["id"].upper(), "EventStatus": event["status"], "EventType": event["kind"],
        "ResourceType": "VirtualMachine", "Resources": [name_of(machine)],
        "NotBefore": format_datetime(moment, usegmt=True) if scheduled else "",
        "Description": event["description"], "EventSource": "Platform", "DurationInSeconds": event["duration"],
    }  # fmt: skip


def name_of(machine: Resource) -> str:
    """Its name in metadata: instances of Uniform sets are called set_number there."""
    return f"{last_name(machine.parent)}_{machine.name}" if machine.type == INSTANCE else machine.name


def mates(engine: Engine, machine: Resource) -> list[Resource]:
    """The machines that share events with one: its scale set's or availability set's, itself included."""
    if machine.type == INSTANCE:
        return engine.store.children(machine.parent, INSTANCE)
    for name in ("virtualMachineScaleSet", "availabilitySet"):
        reference = bodies.get(machine.properties, f"{name}.id")
        if reference:
            return engine.store.referrers(str(reference), machine.type)
    return [machine]


# -- what comes of it ------------------------------------------------------------------------------------------------


def _due(engine: Engine, operation: Operation) -> tuple[Resource, dict[str, Any]] | None:
    """The machine and the event that a timer speaks of, unless either is gone or has begun."""
    machine = engine.store.get(operation.resource)
    event = notices.find(machine, operation.arguments["event"]) if machine is not None else None
    if machine is None or event is None or event["status"] != "Scheduled":
        return None
    event["status"] = "Started"
    notices.changed(machine)
    engine.store.save(machine)
    return machine, event


def _evict_now(engine: Engine, operation: Operation) -> None:
    found = _due(engine, operation)
    if found is None:
        return
    machine = found[0]
    if machines.eviction_policy(machine) == "Delete":
        engine.begin_delete(machine)
    else:
        machines.shut_down(engine, machine, evicted=True)
        machine.internal["evicted"] = True
        engine.store.save(machine)
    scale_set = engine.store.get(_set_of(machine))
    if scale_set is not None and bodies.get(scale_set.properties, "spotRestorePolicy.enabled"):
        wait = float(engine.setting("spotRestoreSeconds", SPOT_RESTORE_SECONDS))
        engine.later(SPOT_RESTORE, wait, scale_set.id, since=engine.now)


def _set_of(machine: Resource) -> str:
    if machine.type == INSTANCE:
        return machine.parent
    return str(bodies.get(machine.properties, "virtualMachineScaleSet.id", ""))


def _maintain_now(engine: Engine, operation: Operation) -> None:
    found = _due(engine, operation)
    if found is None:
        return
    machine, event = found
    if event["kind"] != "Freeze":
        machines.lose_power(engine, machine)
        engine.store.save(machine)
    engine.later(_END, event["duration"], machine.id, event=event["id"])


def _maintained(engine: Engine, operation: Operation) -> None:
    machine = engine.store.get(operation.resource)
    event = notices.find(machine, operation.arguments["event"]) if machine is not None else None
    if machine is None or event is None:
        return
    notices.remove(machine, event["id"])
    if event["kind"] != "Freeze" and machine.internal.get("down"):
        if event["kind"] == "Redeploy":
            engine.guests.stop(machine, deallocate=True)  # the temporary disk stays on the old host
        machines.boot(engine, machine)
    engine.store.save(machine)


def _heal(engine: Engine, operation: Operation) -> None:
    machine = engine.store.get(operation.resource)
    if machine is not None and machine.internal.get("down"):
        machines.boot(engine, machine)
        engine.store.save(machine)


TIMERS: dict[str, Timer] = {
    _EVICTION: _evict_now, _MAINTENANCE: _maintain_now, _END: _maintained, _HEALING: _heal,
}  # fmt: skip


# -- asked for -------------------------------------------------------------------------------------------------------


def _simulate_eviction(call: Call, machine: Resource) -> Answer:
    if not machines.is_spot(machine):
        raise errors.conflict(
            "OperationNotAllowed", f"Eviction can be simulated on Spot VMs only, and '{machine.name}' is none."
        )
    evict(call.engine, machine)
    return Answer(204)


ACTIONS = {**machines.ACTIONS, "simulateEviction": Action(run=_simulate_eviction, status=204)}
