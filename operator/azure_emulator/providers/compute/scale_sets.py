"""Microsoft.Compute/virtualMachineScaleSets: what may be asked of one, and its actions.

A Flexible set holds real virtual machines (flexible.py), a Uniform one instances of its own (uniform.py); how those
follow a changed model is in upgrades.py.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import parse
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.compute import (
    attachments,
    extensions,
    flexible,
    instance_network,
    machines,
    run_commands,
    scheduled_events,
    uniform,
    upgrades,
    virtual_machines,
    words,
)
from azure_emulator.providers.compute.names import INSTANCE, SCALE_SET
from azure_emulator.providers.compute.sizes import SIZES
from azure_emulator.providers.compute.zones import check_zones
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Timer, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.providers.compute.sizes import Size
    from azure_emulator.store import Operation, Resource

CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS, ACTION_SECONDS = 10, 10, 20, 5
LOOK_AGAIN_SECONDS = 1.0
# Deleting a Flexible set deletes its VMs, as `az vmss delete` shows; early previews refused it instead. The setting
# `flexibleSetDelete` = "refused" brings that back.
DELETE_MODES = ("cascade", "refused")
# Fault domains that a Flexible set may spread over, 1 being as many as possible; a Uniform set has five otherwise.
FAULT_DOMAINS = (1, 2, 3)
UNIFORM_FAULT_DOMAINS = 5
# orchestration-modes doc: one placement group holds 100 VMs, a set 1000; 200 where sizes know no memory-preserving
# updates and the set has more than one fault domain.
SINGLE_GROUP_LIMIT, SET_LIMIT, HPC_LIMIT = 100, 1000, 200
_SERVICE_STATES = {"Resume": "Running", "Suspend": "Suspended"}


def members(engine: Engine, scale_set: Resource) -> list[Resource]:
    """The machines of a set, oldest first."""
    return uniform.instances(engine, scale_set) if _is_uniform(scale_set) else flexible.members(engine, scale_set)


def _is_uniform(scale_set: Resource) -> bool:
    return scale_set.properties.get("orchestrationMode") == "Uniform"


# -- checks ----------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    _keep_left_out(change)
    if machines.is_idle(change):
        return
    properties = change.properties
    _keep_what_was_left_out(change)
    words.settle(properties, "orchestrationMode", words.ORCHESTRATIONS)
    words.settle(properties.get("upgradePolicy") or {}, "mode", words.UPGRADES)
    words.settle_machine(properties.get("virtualMachineProfile") or {})
    mode = properties.setdefault("orchestrationMode", "Uniform")
    assigned_identities.complete(change)
    _check_zones(change)
    profile = properties.get("virtualMachineProfile")
    size = _check_sku(change) if profile else None
    if profile and size is not None:
        _check_profile(change, profile, size)
    if mode == "Uniform":
        _check_uniform(change)
    else:
        _check_flexible(change, size)
    _check_placement(change)
    if not change.exists:
        properties["uniqueId"] = change.engine.guid()
        properties["timeCreated"] = change.engine.clock.iso(change.engine.now)
    extensions.keep_profile_secrets(change)
    if profile:
        _plan_growth(change)


def _keep_left_out(change: Change) -> None:
    """Compute changes what a PUT names: az scales a set with its location and sku, and leaves out unchanged images."""
    sent = change.sent.get("properties") or {}
    change.properties.update((name, value) for name, value in change.old.items() if name not in sent)
    image = "virtualMachineProfile.storageProfile.imageReference"
    if bodies.get(change.properties, image) is None and bodies.get(change.old, image) is not None:
        bodies.put(change.properties, image, bodies.get(change.old, image))


def _keep_what_was_left_out(change: Change) -> None:
    """A PUT of a set that says nothing of its model or its policies leaves them alone, as `az vmss scale` counts on."""
    sent = change.sent.get("properties") or {}
    for name, value in change.old.items():
        if name not in sent:
            change.properties[name] = copy.deepcopy(value)


def _check_zones(change: Change) -> None:
    check_zones(change, most=len(locations.zones(change.body["location"])))
    old = (change.before or {}).get("zones") or []
    if "zones" not in change.body and old:
        change.body["zones"] = list(old)
    if not {str(zone) for zone in old} <= {str(zone) for zone in change.body.get("zones") or []}:
        raise errors.property_change_not_allowed("zones")
    if change.properties.get("zoneBalance") and not (change.body.get("zones") or [])[1:]:
        raise errors.bad_request(
            "InvalidParameter", "zoneBalance can be set only for a virtual machine scale set with more than one zone.",
            target="zoneBalance",
        )  # fmt: skip


def _check_sku(change: Change) -> Size:
    sku = change.body.get("sku") or {}
    if not sku.get("name"):
        raise errors.missing_parameter("sku.name", target="sku")
    if str(sku["name"]).lower() == "mix":
        raise errors.bad_request(
            "InvalidParameter", "This is an emulated Azure: its virtual machine scale sets have one VM size each.",
            target="sku.name",
        )  # fmt: skip
    size = virtual_machines.require_size(sku["name"])
    old = bodies.get(change.before, "sku.capacity")
    capacity = int(sku["capacity"] if sku.get("capacity") is not None else old or 0)
    if not 0 <= capacity <= SET_LIMIT:
        raise errors.bad_request(
            "InvalidParameter", f"The value of parameter sku.capacity is invalid: it must be 0 to {SET_LIMIT}.",
            target="sku.capacity",
        )  # fmt: skip
    change.body["sku"] = {"name": size.name, "tier": sku.get("tier") or "Standard", "capacity": capacity}
    return size


def _check_profile(change: Change, profile: dict[str, Any], size: Size) -> None:
    """Check the model once, so that machines made from it are not refused one by one."""
    virtual_machines.check_priority(profile, size)
    storage = profile.setdefault("storageProfile", {})
    disk = storage.setdefault("osDisk", {"createOption": "FromImage"})
    disk.setdefault("createOption", "FromImage")
    disk.setdefault("caching", "ReadWrite")
    image = storage.get("imageReference")
    if image is None:
        raise errors.missing_parameter("imageReference")
    virtual_machines.resolve_image(change.engine, dict(image), change.body["location"])
    size_gb, os_type = attachments.image_facts(change.engine, image)
    disk.setdefault("osType", os_type)
    disk.setdefault("diskSizeGB", size_gb)
    if bodies.get(disk, "diffDiskSettings.option"):
        attachments.check_ephemeral(disk, size)
    else:
        disk.setdefault("managedDisk", {}).setdefault("storageAccountType", "Premium_LRS")
    for position, data in enumerate(storage.get("dataDisks") or []):
        data.setdefault("lun", position)
        data.setdefault("createOption", "Empty")
        data.setdefault("diskSizeGB", size_gb)
    _check_os_profile(change, profile)
    instance_network.check(profile)


def _check_os_profile(change: Change, profile: dict[str, Any]) -> None:
    os_profile = profile.get("osProfile")
    if not os_profile:
        raise errors.missing_parameter("osProfile")
    for name in ("customData", "adminPassword"):
        value = os_profile.pop(name, None)
        if value is not None:
            change.internal.setdefault("profileSecrets", {})[name] = value
    if not os_profile.get("adminUsername"):
        raise errors.missing_parameter("osProfile.adminUsername")
    os_profile.setdefault("computerNamePrefix", change.path.name[:9])
    os_profile.setdefault("secrets", [])
    os_profile.setdefault("allowExtensionOperations", True)
    os_profile["requireGuestProvisionSignal"] = True


def _check_uniform(change: Change) -> None:
    properties = change.properties
    if not properties.get("virtualMachineProfile"):
        raise errors.missing_parameter("virtualMachineProfile")
    mode = bodies.get(properties, "upgradePolicy.mode")
    if mode is None:
        raise errors.missing_parameter("upgradePolicy.mode", target="upgradePolicy")
    if mode == "Rolling":
        upgrades.require_health(change)
    upgrades.seconds_of(bodies.get(properties, "upgradePolicy.rollingUpgradePolicy.pauseTimeBetweenBatches"))
    if properties.get("priorityMixPolicy"):
        raise errors.bad_request(
            "InvalidParameter", "priorityMixPolicy takes a scale set with Flexible orchestration mode.",
            target="priorityMixPolicy",
        )  # fmt: skip
    properties.setdefault("overprovision", True)
    properties.setdefault("doNotRunExtensionsOnOverprovisionedVMs", False)
    properties.setdefault("singlePlacementGroup", True)
    properties.setdefault("platformFaultDomainCount", UNIFORM_FAULT_DOMAINS)


def _check_flexible(change: Change, size: Size | None) -> None:
    domains = change.properties.get("platformFaultDomainCount")
    if domains not in FAULT_DOMAINS:
        raise errors.bad_request(
            "InvalidParameter",
            "Required parameter 'platformFaultDomainCount' is missing or invalid: a Flexible virtual machine scale set "
            f"needs one of {FAULT_DOMAINS}.",
            target="platformFaultDomainCount",
        )
    identity = str(bodies.get(change.body, "identity.type") or "")
    if "systemassigned" in identity.lower():
        # Wording and code from Azure-Landing-Zones#3994 and bicep-registry-modules#2671.
        raise errors.bad_request(
            "InvalidParameter",
            f"The value '{identity}' of parameter 'identity' is not allowed. Allowed values are: UserAssigned, None.",
            target="identity",
        )
    capacity = int(bodies.get(change.body, "sku.capacity") or 0)
    if size is not None and size.hpc and domains > 1 and capacity > HPC_LIMIT:
        raise errors.conflict(
            "OperationNotAllowed",
            f"A Flexible virtual machine scale set with more than one fault domain takes at most {HPC_LIMIT} VMs of "
            f"size {size.name}.",
            target="sku.capacity",
        )


def _check_placement(change: Change) -> None:
    properties = change.properties
    single = properties.get("singlePlacementGroup")
    if change.old.get("singlePlacementGroup") is False and single:
        raise errors.property_change_not_allowed("singlePlacementGroup")
    capacity = int(bodies.get(change.body, "sku.capacity") or 0)
    if single and capacity > SINGLE_GROUP_LIMIT:
        raise errors.conflict(
            "OperationNotAllowed",
            f"A virtual machine scale set with singlePlacementGroup takes at most {SINGLE_GROUP_LIMIT} VMs; the "
            f"request asks for {capacity}.",
            target="sku.capacity",
        )
    old = bodies.get(change.old, "proximityPlacementGroup.id")
    if not change.exists or bodies.same(old or None, bodies.get(properties, "proximityPlacementGroup.id") or None):
        return
    scale_set = change.engine.require(change.path)
    allocated = any(machine.internal.get("allocated") for machine in members(change.engine, scale_set))
    if properties["orchestrationMode"] == "Flexible" or allocated:
        raise errors.property_change_not_allowed("proximityPlacementGroup")


def _plan_growth(change: Change) -> None:
    """Plan what the capacity asks for; what is too much is deleted once the write is accepted."""
    scale_set = change.engine.store.get(change.id)
    present = [one for one in members(change.engine, scale_set) if one.state != "Deleting"] if scale_set else []
    missing = int(change.body["sku"]["capacity"]) - len(present)
    if missing <= 0:
        return
    if change.properties["orchestrationMode"] == "Uniform":
        uniform.plan_growth(change, missing)
    else:
        flexible.plan_growth(change, scale_set, missing)


# -- life ------------------------------------------------------------------------------------------------------------


def _accepted(change: Change, scale_set: Resource) -> None:
    engine = change.engine
    operation = engine.store.operations.get(scale_set.operation or "")
    planned = scale_set.internal.pop("planned", [])
    if change.seconds == 0 or operation is None or not scale_set.properties.get("virtualMachineProfile"):
        return
    # A set that could not grow keeps the capacity that was asked for.
    operation.before = None
    extensions.follow_profile(engine, scale_set)
    if _is_uniform(scale_set):
        uniform.grow(engine, scale_set, planned)
    else:
        error = flexible.grow(engine, scale_set, planned)
        if error is not None:
            # The set exists; what its machines ran into becomes the outcome of the operation.
            operation.failure = operation.failure or run_commands.as_failure(error)
    present = [one for one in members(engine, scale_set) if one.state != "Deleting"]
    surplus = len(present) - int(scale_set.body["sku"]["capacity"])
    if surplus > 0:
        (uniform if _is_uniform(scale_set) else flexible).shrink(engine, scale_set, surplus)
    if change.exists and _is_uniform(scale_set):
        upgrades.follow_model(engine, scale_set)


def _continues(engine: Engine, scale_set: Resource, operation: Operation) -> float | None:
    """A set's operation goes on until those of its machines have ended, and fails if one of them did."""
    if operation.verb.lower() in upgrades.ROLLING_VERBS:
        return upgrades.continue_rolling(engine, scale_set)
    found = members(engine, scale_set)
    if operation.verb == "DELETE":
        for machine in found:
            engine.begin_delete(machine)
    parts = [part for machine in found for part in (machine, *engine.store.children(machine.id))]
    running = [one for part in parts if (one := engine.running(part)) is not None]
    relevant = [one for one in running if operation.verb == "DELETE" or one.start >= operation.start]
    if relevant:
        return max(engine.now, *(one.end for one in relevant)) + LOOK_AGAIN_SECONDS
    if operation.verb != "DELETE":
        failed = next((part for part in parts if part.state == "Failed" and part.changed >= operation.start), None)
        operation.failure = dict(failed.internal.get("failure") or {}) or None if failed is not None else None
    return None


def _check_delete(engine: Engine, scale_set: Resource, query: Mapping[str, str]) -> None:
    forced = query.get("forceDeletion", "").lower() == "true"
    mode = engine.setting("flexibleSetDelete", DELETE_MODES[0])
    if mode == "refused" and not forced and not _is_uniform(scale_set) and members(engine, scale_set):
        raise errors.conflict(
            "OperationNotAllowed",
            f"Virtual machine scale set '{scale_set.name}' cannot be deleted while virtual machines are attached to "
            "it.",
        )


def _deleting(engine: Engine, scale_set: Resource) -> None:
    for machine in members(engine, scale_set):
        engine.begin_delete(machine)


def _restore(engine: Engine, operation: Operation) -> None:
    """Try to get evicted machines back, again and again until the time for it is over."""
    scale_set = engine.store.get(operation.resource)
    policy = scale_set.properties.get("spotRestorePolicy") or {} if scale_set is not None else {}
    since = float(operation.arguments["since"])
    timeout = upgrades.seconds_of(policy.get("restoreTimeout") or "PT1H")
    if scale_set is None or scale_set.state == "Deleting" or not policy.get("enabled") or engine.now > since + timeout:
        return
    if not (uniform if _is_uniform(scale_set) else flexible).restore(engine, scale_set):
        wait = float(engine.setting("spotRestoreSeconds", scheduled_events.SPOT_RESTORE_SECONDS))
        engine.later(scheduled_events.SPOT_RESTORE, wait, scale_set.id, **operation.arguments)


TIMERS: dict[str, Timer] = {**upgrades.TIMERS, scheduled_events.SPOT_RESTORE: _restore}


def _view(engine: Engine, scale_set: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del engine, scale_set
    profile = shown["properties"].get("virtualMachineProfile")
    if profile and "userdata" not in query.get("$expand", "").lower():
        profile.pop("userData", None)


# -- actions on machines ---------------------------------------------------------------------------------------------


def _asked_for(call: Call, scale_set: Resource) -> list[Resource]:
    """The machines that an action names; without names, or with a star, all of them."""
    body = call.body if isinstance(call.body, dict) else {}
    present = {machine.name.lower(): machine for machine in members(call.engine, scale_set)}
    wanted = [str(name).lower() for name in body.get("instanceIds") or []]
    if not wanted or wanted == ["*"]:
        return list(present.values())
    for name in wanted:
        if name not in present:
            raise errors.bad_request(
                "InvalidParameter",
                f"The provided instanceId {name} is not an active Virtual Machine Scale Set VM instanceId.",
                target="instanceIds",
            )
    return [present[name] for name in dict.fromkeys(wanted)]


def _require_uniform(scale_set: Resource) -> None:
    if not _is_uniform(scale_set):
        raise errors.conflict(
            "OperationNotAllowed",
            "This operation is not supported on a virtual machine scale set with Flexible orchestration mode: use the "
            f"operations of its virtual machines instead. Virtual machine scale set: '{scale_set.name}'.",
        )


def _delete_machines(call: Call, scale_set: Resource) -> None:
    if not (call.body or {}).get("instanceIds"):
        raise errors.missing_parameter("instanceIds")
    for machine in _asked_for(call, scale_set):
        call.engine.begin_delete(machine)


def _on_each(name: str) -> Action:
    """An action of the set that does the same to each of its machines."""
    action = uniform.ACTIONS[name]

    def run(call: Call, scale_set: Resource) -> None:
        _require_uniform(scale_set)
        chosen = [one for one in _asked_for(call, scale_set) if not uniform.is_protected(one)]
        # A failure that a fault script planned is the set's own.
        planned, call.engine.planned_failure = call.engine.planned_failure, None
        for machine in chosen:
            if action.run is not None:
                action.run(call, machine)
            machine.changed = call.engine.now
            call.engine.begin_action(machine, action, f"POST {name}", api_version=call.api_version)
        call.engine.planned_failure = planned

    return Action(run=run, seconds=ACTION_SECONDS, updating="Updating")


def _manual_upgrade(call: Call, scale_set: Resource) -> None:
    _require_uniform(scale_set)
    if not (call.body or {}).get("instanceIds"):
        raise errors.missing_parameter("instanceIds")
    model = uniform.model_of(scale_set)
    for machine in _asked_for(call, scale_set):
        if machine.internal.get("model") != model and not uniform.is_protected(machine):
            uniform.upgrade(call.engine, machine)


def _to_single_group(call: Call, scale_set: Resource) -> None:
    """convertToSinglePlacementGroup: gives up being spread over clusters, which a set over 100 cannot."""
    _require_uniform(scale_set)
    if len(members(call.engine, scale_set)) > SINGLE_GROUP_LIMIT:
        raise errors.conflict(
            "OperationNotAllowed", f"Virtual machine scale set '{scale_set.name}' has more than {SINGLE_GROUP_LIMIT} "
            "VMs, which one placement group cannot hold."
        )  # fmt: skip
    scale_set.properties["singlePlacementGroup"] = True
    call.engine.touch(scale_set)


def _set_service(call: Call, scale_set: Resource) -> None:
    """setOrchestrationServiceState: automatic repairs can be suspended and resumed."""
    body = call.body if isinstance(call.body, dict) else {}
    name, asked = body.get("serviceName"), body.get("action")
    if asked not in _SERVICE_STATES:
        raise errors.invalid_parameter("action", asked, f"Allowed values are {', '.join(_SERVICE_STATES)}.")
    if name != "AutomaticRepairs" or not bodies.get(scale_set.properties, "automaticRepairsPolicy.enabled"):
        raise errors.conflict(
            "OperationNotAllowed", f"The orchestration service '{name}' is not enabled on virtual machine scale set "
            f"'{scale_set.name}'."
        )  # fmt: skip
    scale_set.internal["repairs"] = {"state": _SERVICE_STATES[asked], "since": call.engine.now}


# -- documents -------------------------------------------------------------------------------------------------------


def _instances(call: Call) -> Answer | None:
    """GET …/virtualMachineScaleSets/{name}/virtualMachines: real VMs of a Flexible set, else resources of their own."""
    path = call.path
    scale_set = call.engine.require(parse("/".join(path.text.split("/")[: -2 if path.is_resource else -1])))
    return None if _is_uniform(scale_set) else flexible.list_members(call, scale_set)


def _instance_view(call: Call) -> Answer:
    """GET …/instanceView: how many machines are in which state."""
    engine = call.engine
    scale_set = engine.require(parse(call.path.parent))
    _require_uniform(scale_set)
    found = members(engine, scale_set)
    states = Counter(f"ProvisioningState/{machine.state.lower()}" for machine in found)
    states.update(f"PowerState/{power}" for machine in found if (power := machines.power_of(engine, machine)))
    summary: dict[str, Counter[str]] = {}
    for machine in found:
        for child in engine.store.children(machine.id, f"{machine.type}/extensions"):
            summary.setdefault(child.name, Counter())[f"ProvisioningState/{child.state.lower()}"] += 1
    return Answer(200, {
        "virtualMachine": {"statusesSummary": _counted(states)},
        "extensions": [{"name": name, "statusesSummary": _counted(counts)} for name, counts in summary.items()],
        "statuses": [machines.provisioning_status(engine, scale_set)],
        "orchestrationServices": _services(engine, scale_set),
    })  # fmt: skip


def _counted(counts: Counter[str]) -> list[dict[str, Any]]:
    return [{"code": code, "count": count} for code, count in sorted(counts.items())]


def _services(engine: Engine, scale_set: Resource) -> list[dict[str, Any]]:
    if not bodies.get(scale_set.properties, "automaticRepairsPolicy.enabled"):
        return []
    repairs = scale_set.internal.get("repairs") or {"state": "Running", "since": scale_set.created}
    return [{
        "serviceName": "AutomaticRepairs", "serviceState": repairs["state"],
        "lastStatusChangeTime": engine.clock.iso(repairs["since"]),
    }]  # fmt: skip


def _skus(call: Call) -> Answer:
    """GET …/skus: the sizes that the set could have."""
    scale_set = call.engine.require(parse(call.path.parent))
    most = SINGLE_GROUP_LIMIT if scale_set.properties.get("singlePlacementGroup") else SET_LIMIT
    limits = {"minimum": 0, "maximum": most, "defaultCapacity": 1, "scaleType": "Automatic"}
    value = [
        {"resourceType": SCALE_SET, "sku": {"name": size.name, "tier": "Standard"}, "capacity": limits}
        for size in SIZES.values()
    ]
    return Answer(200, {"value": value})


def _list_by_location(call: Call) -> Answer:
    """GET …/locations/{location}/virtualMachineScaleSets."""
    location = locations.normalise(call.path.names[0])
    return call.engine.page(call, call.engine.store.in_region(SCALE_SET, call.subscription, location))


FUNCTIONS = {
    ("GET", INSTANCE): _instances,
    ("GET", f"{INSTANCE}/instanceView"): uniform.get_instance_view,
    ("GET", f"{SCALE_SET}/instanceView"): _instance_view,
    ("GET", f"{SCALE_SET}/skus"): _skus,
    ("GET", "Microsoft.Compute/locations/virtualMachineScaleSets"): _list_by_location,
    **upgrades.FUNCTIONS,
    **instance_network.FUNCTIONS,
}
_ON_EACH = ("start", "deallocate", "powerOff", "restart", "redeploy", "reimage", "reimageall", "performMaintenance")

TYPE = ResourceType(
    name=SCALE_SET,
    protocol=COMPUTE,
    put=Verb(seconds=CREATE_SECONDS, update_seconds=UPDATE_SECONDS),
    patch=Patch(seconds=UPDATE_SECONDS),
    delete=Verb(seconds=DELETE_SECONDS),
    etag="counter",
    if_match=True,
    read_only=("properties.uniqueId", "properties.timeCreated", "identity.principalId", "identity.tenantId"),
    immutable=("properties.orchestrationMode", "properties.platformFaultDomainCount",
               "properties.virtualMachineProfile.priority", "properties.virtualMachineProfile.evictionPolicy",
               "properties.virtualMachineProfile.storageProfile.osDisk.diffDiskSettings",
               "properties.virtualMachineProfile.storageProfile.osDisk.managedDisk.storageAccountType"),
    delete_first=5,
    actions={
        "delete": Action(run=_delete_machines, seconds=DELETE_SECONDS, updating="Updating"),
        "manualupgrade": Action(run=_manual_upgrade, seconds=ACTION_SECONDS, updating="Updating"),
        "convertToSinglePlacementGroup": Action(run=_to_single_group),
        "reapply": Action(seconds=UPDATE_SECONDS, updating="Updating"),
        "setOrchestrationServiceState": Action(run=_set_service, seconds=ACTION_SECONDS, updating="Updating"),
        **{name: _on_each(name) for name in _ON_EACH},
        **upgrades.ACTIONS,
    },
    continues=_continues,
    check=_check,
    accepted=_accepted,
    check_delete=_check_delete,
    deleting=_deleting,
    view=_view,
    depth="Flexible with or without a model, Uniform with instances; growing and shrinking by capacity, partial "
          "growth, upgrade policies and rolling upgrades (Uniform), priority mix (Flexible), placement group rules, "
          "extensions, Spot restore; overprovisions nothing",
)  # fmt: skip
