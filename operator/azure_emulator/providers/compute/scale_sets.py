"""Microsoft.Compute/virtualMachineScaleSets with Flexible orchestration: a set of real virtual machines.

Uniform orchestration is not emulated and is refused in plain words: a made-up success would teach wrong things.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.compute import virtual_machines
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

SCALE_SET = virtual_machines.SCALE_SET
VM = virtual_machines.VM

CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 10, 10, 20
LOOK_AGAIN_SECONDS = 1.0
# Deleting a Flexible set deletes its VMs, as `az vmss delete` shows; early previews refused it instead. The setting
# `flexibleSetDelete` = "refused" brings that back.
DELETE_MODES = ("deletesVirtualMachines", "refused")
# Fault domains that a Flexible set may spread over, 1 being as many as possible.
FAULT_DOMAINS = (1, 2, 3)


def members(engine: Engine, scale_set: Resource) -> list[Resource]:
    """The virtual machines of a set, oldest first."""
    return [
        holder
        for holder in engine.store.referrers(scale_set.id)
        if holder.type == VM and bodies.same(bodies.get(holder.properties, "virtualMachineScaleSet.id"), scale_set.id)
    ]


def _check(change: Change) -> None:
    properties = change.properties
    if properties.get("orchestrationMode") != "Flexible":
        raise errors.bad_request(
            "InvalidParameter",
            "This is an emulated Azure: it has virtual machine scale sets with orchestrationMode Flexible only.",
            target="orchestrationMode",
        )
    domains = properties.get("platformFaultDomainCount")
    if domains not in FAULT_DOMAINS:
        raise errors.bad_request(
            "InvalidParameter",
            "Required parameter 'platformFaultDomainCount' is missing or invalid: a Flexible virtual machine scale set "
            f"needs one of {FAULT_DOMAINS}.",
            target="platformFaultDomainCount",
        )
    if change.old.get("singlePlacementGroup") is False and properties.get("singlePlacementGroup"):
        raise errors.property_change_not_allowed("singlePlacementGroup")
    assigned_identities.complete(change)
    if not change.exists:
        properties["uniqueId"] = change.engine.guid()
        properties["timeCreated"] = change.engine.clock.iso(change.engine.now)
    _keep_profile_secrets(change)
    _plan_instances(change)


def _keep_profile_secrets(change: Change) -> None:
    """Custom data and passwords of the profile are accepted and never shown."""
    for name in ("customData", "adminPassword"):
        value = bodies.drop(change.properties, f"virtualMachineProfile.osProfile.{name}")
        if value is not bodies.MISSING and value is not None:
            change.internal.setdefault("profileSecrets", {})[name] = value


def _plan_instances(change: Change) -> None:
    """Plan the VMs that the capacity asks for; too many are deleted once the write is accepted."""
    profile = change.properties.get("virtualMachineProfile")
    capacity = bodies.get(change.body, "sku.capacity")
    if not profile or capacity is None:
        return
    scale_set = change.engine.store.get(change.id)
    existing = members(change.engine, scale_set) if scale_set is not None else []
    for _ in range(int(capacity) - len(existing)):
        name = f"{change.path.name}_{change.engine.guid()[:8]}"
        change.internal.setdefault("wanted", []).append(name)


def _instance_body(engine: Engine, scale_set: Resource, name: str) -> dict[str, Any]:
    profile = copy.deepcopy(scale_set.properties["virtualMachineProfile"])
    os_profile = profile.pop("osProfile", {})
    prefix = os_profile.pop("computerNamePrefix", scale_set.name)
    os_profile |= scale_set.internal.get("profileSecrets", {})
    os_profile["computerName"] = f"{prefix}{name.rsplit('_', 1)[-1][:6]}"
    network = profile.pop("networkProfile", {})
    for item in network.get("networkInterfaceConfigurations") or []:
        item["name"] = f"{item['name']}-{name.rsplit('_', 1)[-1]}"
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": bodies.get(scale_set.body, "sku.name")},
        "storageProfile": profile.pop("storageProfile", {}),
        "osProfile": os_profile,
        "networkProfile": network,
        "virtualMachineScaleSet": {"id": scale_set.id},
    }
    kept = ("priority", "evictionPolicy", "billingProfile", "diagnosticsProfile", "securityProfile", "userData")
    properties |= {key: profile[key] for key in kept if profile.get(key) is not None}
    body: dict[str, Any] = {
        "location": scale_set.location, "tags": scale_set.body.get("tags"), "properties": properties,
    }  # fmt: skip
    zones = scale_set.body.get("zones")
    if zones:
        body["zones"] = [zones[len(members(engine, scale_set)) % len(zones)]]
    if scale_set.body.get("identity"):
        body["identity"] = copy.deepcopy(scale_set.body["identity"])
    return body


def _accepted(change: Change, scale_set: Resource) -> None:
    engine = change.engine
    group = f"/subscriptions/{change.subscription}/resourceGroups/{change.path.resource_group}"
    for name in scale_set.internal.pop("wanted", []):
        try:
            planned = engine.plan(f"{group}/providers/{VM}/{name}", _instance_body(engine, scale_set, name))
            engine.apply(planned, None)
        except errors.ArmError as error:
            # The set exists; what its instances ran into becomes the outcome of the operation.
            operation = engine.store.operations[scale_set.operation or ""]
            operation.failure = operation.failure or {"status": error.status, **error.error()}
            break
    capacity = bodies.get(scale_set.body, "sku.capacity")
    if scale_set.properties.get("virtualMachineProfile") and capacity is not None:
        present = members(engine, scale_set)
        for surplus in present[: max(0, len(present) - int(capacity))]:
            engine.begin_delete(surplus)


def _wait_for_members(engine: Engine, scale_set: Resource, operation: Operation) -> float | None:
    """A set's operation goes on until those of its instances have ended."""
    running = [found for vm in members(engine, scale_set) if (found := engine.running(vm)) is not None]
    if operation.verb == "DELETE":
        for vm in members(engine, scale_set):
            engine.begin_delete(vm)
    relevant = [found for found in running if operation.verb == "DELETE" or found.start >= operation.start]
    return max(engine.now, *(found.end for found in relevant)) + LOOK_AGAIN_SECONDS if relevant else None


def _check_delete(engine: Engine, scale_set: Resource, query: Mapping[str, str]) -> None:
    forced = query.get("forceDeletion", "").lower() == "true"
    mode = engine.setting("flexibleSetDelete", DELETE_MODES[0])
    if mode == "refused" and not forced and members(engine, scale_set):
        raise errors.conflict(
            "OperationNotAllowed",
            f"Virtual machine scale set '{scale_set.name}' cannot be deleted while virtual machines are attached to "
            "it.",
        )


def _deleting(engine: Engine, scale_set: Resource) -> None:
    for vm in members(engine, scale_set):
        engine.begin_delete(vm)


def _delete_instances(call: Call, scale_set: Resource) -> None:
    wanted = {str(name).lower() for name in (call.body or {}).get("instanceIds", [])}
    present = {vm.name.lower(): vm for vm in members(call.engine, scale_set)}
    missing = wanted - set(present)
    if missing:
        raise errors.bad_request(
            "InvalidParameter",
            f"The provided instanceId {min(missing)} is not an active Virtual Machine Scale Set VM instanceId.",
            target="instanceIds",
        )
    for name in sorted(wanted):
        call.engine.begin_delete(present[name])


def list_instances(call: Call) -> Answer:
    """GET …/virtualMachineScaleSets/{name}/virtualMachines, and one of them."""
    path = call.path
    set_path = parse(path.parent)
    scale_set = call.engine.require(set_path, call.engine.types[SCALE_SET.lower()])
    found = members(call.engine, scale_set)
    if not path.is_resource:
        return Answer(200, {"value": [_instance(call, scale_set, vm) for vm in found]})
    for vm in found:
        if vm.name.lower() == path.name.lower():
            return Answer(200, _instance(call, scale_set, vm))
    raise errors.resource_not_found(path.type_name, "/".join(path.names), path.resource_group or "")


def _instance(call: Call, scale_set: Resource, vm: Resource) -> dict[str, Any]:
    shown = call.engine.view(vm, call.query)
    shown["id"] = f"{scale_set.id}/virtualMachines/{vm.name}"
    shown["type"] = f"{SCALE_SET}/virtualMachines"
    shown["instanceId"] = vm.name
    shown["sku"] = {"name": bodies.get(vm.properties, "hardwareProfile.vmSize"), "tier": "Standard"}
    return shown


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
               "properties.virtualMachineProfile.priority", "properties.virtualMachineProfile.evictionPolicy"),
    delete_first=5,
    actions={"delete": Action(run=_delete_instances, seconds=DELETE_SECONDS, updating="Updating")},
    continues=_wait_for_members,
    check=_check,
    accepted=_accepted,
    check_delete=_check_delete,
    deleting=_deleting,
    depth="Flexible only, with or without a VM profile; deleting it deletes its VMs; instances are real VMs",
)  # fmt: skip
