"""What virtual machines and the instances of Uniform scale sets have in common: power, place, life, instance view.

A machine is a resource with `internal["power"]` (starting, running, stopped, deallocated) and a claim on quota and
room. What runs inside is engine.guests' business; here it is only told when to boot and when
to stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.compute import boot_diagnostics, notices, quota
from azure_emulator.providers.compute.capacity import Placement, claim, release
from azure_emulator.providers.compute.names import INSTANCE
from azure_emulator.providers.compute.sizes import FAULT_DOMAINS, SIZES, Size
from azure_emulator.types import Action, Call, Change

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

# One Linux VM takes about 70 s (1m07s in public logs); the rest of this list is assumed from experience reports.
CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 70, 15, 65
START_SECONDS, DEALLOCATE_SECONDS, POWER_OFF_SECONDS, RESTART_SECONDS = 30, 45, 20, 40
REIMAGE_SECONDS = 60
AGENT_VERSION = "2.15.0.1"
# What a power state is called while an action that changes it runs.
_ON_THE_WAY = {"POST start": "starting", "POST deallocate": "deallocating", "POST powerOff": "stopping"}
_UPDATE_DOMAINS = 5


# -- what it is ------------------------------------------------------------------------------------------------------


def size_of(machine: Resource) -> Size:
    """Its size: of the hardware profile for a VM, of the sku for an instance of a set."""
    return size_in(machine.body)


def size_in(body: Mapping[str, Any]) -> Size:
    """The size in a machine's body."""
    name = bodies.get(body, "properties.hardwareProfile.vmSize") or bodies.get(body, "sku.name")
    return SIZES[str(name).lower()]


def is_spot(machine: Resource) -> bool:
    """Whether it may be evicted; an instance of a Uniform set does not show its priority."""
    return quota.is_spot(machine.internal if machine.type == INSTANCE else machine.properties)


def eviction_policy(machine: Resource) -> str:
    """What an eviction does with it."""
    holder = machine.internal if machine.type == INSTANCE else machine.properties
    return str(holder.get("evictionPolicy") or "Deallocate")


def placement(engine: Engine, machine: Resource) -> Placement:
    """Where it runs, and as what."""
    references = bodies.get(machine.properties, "networkProfile.networkInterfaces", [])
    nics = [engine.store.get(str(item.get("id", ""))) for item in references]
    return Placement.of(
        machine.body, subscription=machine.subscription, size=size_of(machine), spot=is_spot(machine),
        accelerated=any(nic is not None and nic.properties.get("enableAcceleratedNetworking") for nic in nics),
    )  # fmt: skip


def is_ephemeral(machine: Resource) -> bool:
    """Whether its OS disk lives on the host only."""
    return bool(bodies.get(machine.properties, "storageProfile.osDisk.diffDiskSettings.option"))


def disk_references(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Id and delete option of every managed disk of a machine."""
    storage = properties.get("storageProfile") or {}
    found = [storage.get("osDisk") or {}, *(storage.get("dataDisks") or [])]
    return [
        (str(disk["managedDisk"]["id"]), str(disk.get("deleteOption", "Detach")))
        for disk in found
        if bodies.get(disk, "managedDisk.id")
    ]


def power_of(engine: Engine, machine: Resource) -> str:
    """Its power state as Azure shows it, between two states included."""
    running = engine.running(machine)
    on_the_way = _ON_THE_WAY.get(running.verb) if running is not None else None
    return on_the_way or str(machine.internal.get("power", ""))


def require_running(machine: Resource) -> None:
    """Refuse what needs a running machine."""
    if machine.internal.get("power") != "running":
        raise errors.conflict("OperationNotAllowed", "The operation requires the VM to be running (or set to run).")


def is_idle(change: Change) -> bool:
    """Whether a write has nothing to check, nor may claim anything: it changes tags only, or is refused in a moment."""
    existing = change.engine.store.get(change.id)
    only_tags = change.verb == "PATCH" and not set(change.sent) - {"tags"}
    return only_tags or (existing is not None and existing.state == "Deleting")


# -- instance view ---------------------------------------------------------------------------------------------------


def status(code: str, display: str, *, level: str = "Info", time: str | None = None, message: str | None = None
           ) -> dict[str, Any]:  # fmt: skip
    """One entry of a list of statuses."""
    found = {"code": code, "level": level, "displayStatus": display, "message": message, "time": time}
    return {key: value for key, value in found.items() if value is not None}


def provisioning_status(engine: Engine, resource: Resource) -> dict[str, Any]:
    """The status that tells how the last operation went, as for example `ProvisioningState/failed/AllocationFailed`."""
    state, moment = resource.state.lower(), engine.clock.iso(resource.changed)
    if state == "failed":
        failure = resource.internal.get("failure") or {}
        code = f"ProvisioningState/failed/{failure['code']}" if failure else "ProvisioningState/failed"
        return status(code, "Provisioning failed", level="Error", time=moment, message=failure.get("message"))
    shown = "Provisioning succeeded" if state == "succeeded" else resource.state
    return status(f"ProvisioningState/{state}", shown, time=moment)


def instance_view(engine: Engine, machine: Resource) -> dict[str, Any]:
    """What a GET with $expand=instanceView adds."""
    moment = engine.clock.iso(machine.changed)
    statuses = [provisioning_status(engine, machine)]
    if machine.internal.get("generalized"):
        statuses.append(status("OSState/generalized", "VM generalized"))
    power = power_of(engine, machine)
    # A machine that never got a place has no power state.
    if power and not (machine.state == "Failed" and power == "starting"):
        statuses.append(status(f"PowerState/{power}", f"VM {power}"))
    if machine.internal.get("hibernated"):
        statuses.append(status("HibernationState/Hibernated", "VM hibernated"))
    view: dict[str, Any] = {
        "disks": [
            {"name": parse(reference).name,
             "statuses": [status("ProvisioningState/succeeded", "Provisioning succeeded", time=moment)]}
            for reference, _ in disk_references(machine.properties)
        ],
        "hyperVGeneration": "V2" if "V2" in size_of(machine).generations else "V1",
        "statuses": statuses,
    }  # fmt: skip
    domain = fault_domain(engine, machine)
    if domain is not None:
        view |= {"platformFaultDomain": domain, "platformUpdateDomain": machine.internal.get("updateDomain", 0)}
    if power == "running":
        view |= _from_the_agent(engine, machine, moment)
    maintenance = notices.maintenance_of(engine, machine)
    if maintenance is not None:
        view["maintenanceRedeployStatus"] = maintenance
    if boot_diagnostics.is_enabled(machine):
        view["bootDiagnostics"] = {}
    extensions = [extension_view(engine, child) for child in _extensions(engine, machine)]
    if extensions:
        view["extensions"] = extensions
    return view


def _from_the_agent(engine: Engine, machine: Resource, moment: str) -> dict[str, Any]:
    if machine.internal.get("down"):
        silent = status("ProvisioningState/Unavailable", "Not Ready", level="Warning", time=moment,
                        message="VM status blob is found but not yet populated.")  # fmt: skip
        return {"vmAgent": {"vmAgentVersion": "Unknown", "statuses": [silent]}}
    ready = status("ProvisioningState/succeeded", "Ready", time=moment, message="Guest Agent is running")
    handlers = [
        {"type": f"{child.properties.get('publisher')}.{child.properties.get('type')}",
         "typeHandlerVersion": child.properties.get("typeHandlerVersion"),
         "status": status("ProvisioningState/succeeded", "Ready", message="Plugin enabled")}
        for child in _extensions(engine, machine)
    ]  # fmt: skip
    return {
        "computerName": bodies.get(machine.properties, "osProfile.computerName", machine.name),
        "vmAgent": {"vmAgentVersion": AGENT_VERSION, "extensionHandlers": handlers, "statuses": [ready]},
    }


def _extensions(engine: Engine, machine: Resource) -> list[Resource]:
    return engine.store.children(machine.id, f"{machine.type}/extensions")


def extension_view(engine: Engine, extension: Resource) -> dict[str, Any]:
    """What an extension of a machine reports about itself."""
    properties, outcome = extension.properties, extension.internal.get("outcome")
    shown = provisioning_status(engine, extension)
    if outcome is not None and extension.state == "Succeeded":
        shown["message"] = outcome["message"]
    return {
        "name": extension.name, "type": f"{properties.get('publisher')}.{properties.get('type')}",
        "typeHandlerVersion": properties.get("typeHandlerVersion"), "statuses": [shown],
    }  # fmt: skip


def fault_domain(engine: Engine, machine: Resource) -> int | None:
    """The fault domain of a machine in an availability set or a scale set."""
    if "faultDomain" in machine.internal:
        return int(machine.internal["faultDomain"])
    reference = bodies.get(machine.properties, "availabilitySet.id")
    holder = engine.store.get(str(reference)) if reference else None
    if holder is None:
        return None
    mates = engine.store.referrers(holder.id, machine.type)
    position = next((index for index, mate in enumerate(mates) if mate.key == machine.key), 0)
    return position % int(holder.properties.get("platformFaultDomainCount", FAULT_DOMAINS))


def assign_domains(internal: dict[str, Any], number: int, domains: int) -> None:
    """Spread the machines of a set over its fault and update domains."""
    internal["faultDomain"], internal["updateDomain"] = number % domains, number % _UPDATE_DOMAINS


# -- life ------------------------------------------------------------------------------------------------------------


def provisioned(engine: Engine, machine: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """The first boot."""
    if machine.internal.get("power") == "starting":
        machine.internal["power"] = "running"
        engine.guests.start(machine)


def lose_power(engine: Engine, machine: Resource) -> None:
    """Its host fails or its kernel does: nothing in it answers any more, though Azure still calls it running."""
    machine.internal["down"] = True
    engine.guests.stop(machine, deallocate=False)


def shut_down(engine: Engine, machine: Resource, *, evicted: bool = False) -> None:
    """Deallocate at once: the place is given back, the temporary disk is lost."""
    machine.internal["power"] = "deallocated"
    machine.internal.pop("down", None)
    notices.clear(machine)
    release(engine, placement(engine, machine), machine.internal, evicted=evicted)
    engine.guests.stop(machine, deallocate=True)


def deleting(engine: Engine, machine: Resource) -> None:
    """Its processes end when the deletion begins."""
    engine.guests.stop(machine, deallocate=True)


def gone(engine: Engine, machine: Resource) -> None:
    """It is gone for good."""
    release(engine, placement(engine, machine), machine.internal)
    engine.guests.remove(machine)


def boot(engine: Engine, machine: Resource) -> None:
    """Running, and nothing of what was before."""
    machine.internal["power"] = "running"
    machine.internal.pop("hibernated", None)
    machine.internal.pop("evicted", None)
    machine.internal.pop("down", None)
    if machine.internal.pop("reimageAtBoot", False):
        engine.guests.reimage(machine)
    else:
        engine.guests.start(machine)


# -- actions ---------------------------------------------------------------------------------------------------------


def _start(call: Call, machine: Resource) -> None:
    if machine.internal.get("generalized"):
        raise errors.conflict(
            "OperationNotAllowed", f"Operation 'start' is not allowed on VM '{machine.name}' since the VM is "
            "generalized."
        )  # fmt: skip
    make_room(call.engine, machine)


def make_room(engine: Engine, machine: Resource) -> None:
    """Claim a place for a deallocated machine that shall start; what is missing fails the operation that follows."""
    if machine.internal.get("power") == "running" or machine.internal.get("allocated"):
        return
    failure = claim(engine, placement(engine, machine), machine.internal)
    engine.planned_failure = engine.planned_failure or failure


def _started(engine: Engine, machine: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    if machine.internal.get("power") != "running":
        boot(engine, machine)


def _restart(call: Call, machine: Resource) -> None:  # noqa: ARG001 (a hook)
    require_running(machine)


def _restarted(engine: Engine, machine: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    engine.guests.stop(machine, deallocate=False)
    boot(engine, machine)


def _redeploy(call: Call, machine: Resource) -> None:  # noqa: ARG001 (a hook)
    if machine.internal.get("power") == "deallocated":
        raise errors.conflict("OperationNotAllowed", "The operation requires the VM to be running (or set to run).")


def _redeployed(engine: Engine, machine: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """Another host: the temporary disk stays behind, and so does an ephemeral OS disk."""
    notices.clear(machine)
    engine.guests.stop(machine, deallocate=True)
    machine.internal["reimageAtBoot"] = is_ephemeral(machine)
    boot(engine, machine)


def _deallocate(call: Call, machine: Resource) -> None:
    if is_ephemeral(machine):
        raise errors.conflict(
            "OperationNotAllowed",
            f"The Deallocate operation is not supported on VM '{machine.name}' because it uses an ephemeral OS disk.",
        )
    machine.internal["hibernating"] = call.query.get("hibernate", "").lower() == "true"
    if machine.internal["hibernating"]:
        require_running(machine)
        if not bodies.get(machine.properties, "additionalCapabilities.hibernationEnabled"):
            raise errors.conflict(
                "OperationNotAllowed", "The Hibernate-Deallocate Operation cannot be performed on a VM that does not "
                f"have the hibernation capability enabled: '{machine.name}'."
            )  # fmt: skip


def _deallocated(engine: Engine, machine: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    if machine.internal.pop("hibernating", False):
        machine.internal["hibernated"] = True
    shut_down(engine, machine)


def _powered_off(engine: Engine, machine: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    if machine.internal.get("power") != "deallocated":
        machine.internal["power"] = "stopped"
        machine.internal.pop("down", None)
        engine.guests.stop(machine, deallocate=False)


def _reimage(call: Call, machine: Resource) -> None:
    body = call.body if isinstance(call.body, dict) else {}
    data = bodies.get(body, "osProfile.customData")
    if data is not None:
        machine.internal.setdefault("secrets", {})["properties.osProfile.customData"] = data
    if not bodies.get(machine.properties, "storageProfile.imageReference"):
        raise errors.conflict(
            "OperationNotAllowed", f"VM '{machine.name}' was not created from an image: it cannot be reimaged."
        )


def reimaged(engine: Engine, machine: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """The OS disk is as the image has it; a machine that did not run still does not."""
    if machine.internal.get("power") == "running":
        engine.guests.reimage(machine)
        machine.internal.pop("down", None)
    else:
        machine.internal["reimageAtBoot"] = True


def _perform_maintenance(call: Call, machine: Resource) -> None:
    if notices.maintenance_of(call.engine, machine) is None:
        raise errors.conflict(
            "OperationNotAllowed", f"VM '{machine.name}' does not need maintenance now: there is none to perform."
        )


ACTIONS: dict[str, Action] = {
    "start": Action(run=_start, seconds=START_SECONDS, updating="Updating", finished=_started),
    "deallocate": Action(run=_deallocate, seconds=DEALLOCATE_SECONDS, updating="Updating", finished=_deallocated),
    "powerOff": Action(seconds=POWER_OFF_SECONDS, updating="Updating", finished=_powered_off),
    "restart": Action(run=_restart, seconds=RESTART_SECONDS, updating="Updating", finished=_restarted),
    "redeploy": Action(run=_redeploy, seconds=CREATE_SECONDS, updating="Updating", finished=_redeployed),
    "reimage": Action(run=_reimage, seconds=REIMAGE_SECONDS, updating="Updating", finished=reimaged),
    "performMaintenance": Action(
        run=_perform_maintenance, seconds=CREATE_SECONDS, updating="Updating", finished=_redeployed
    ),
    "retrieveBootDiagnosticsData": Action(run=boot_diagnostics.retrieve),
}
