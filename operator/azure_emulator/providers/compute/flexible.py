"""Flexible scale sets: a set of real virtual machines, made from the set's model or attached to it.

Knows how members are made, counted and chosen; what is asked of the set itself is in scale_sets.py.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.compute import capacity, extensions, instance_network, machines, quota, uniform
from azure_emulator.providers.compute.names import SCALE_SET, VM
from azure_emulator.providers.compute.sizes import SIZES
from azure_emulator.types import Answer, Call, Change

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource


def members(engine: Engine, scale_set: Resource) -> list[Resource]:
    """The virtual machines of a set, oldest first."""
    return [
        holder
        for holder in engine.store.referrers(scale_set.id, VM)
        if bodies.same(bodies.get(holder.properties, "virtualMachineScaleSet.id"), scale_set.id)
    ]


def plan_growth(change: Change, scale_set: Resource | None, count: int) -> None:
    """Check quota and room for new members before the set is written; they claim their own when they are made."""
    size = SIZES[str(change.body["sku"]["name"]).lower()]
    location = str(change.body["location"])
    present = members(change.engine, scale_set) if scale_set is not None else []
    priorities = _priorities(change.properties, present, count)
    wanted: dict[str, int] = {}
    for spot in priorities:
        for name, one in quota.cost(size, spot=spot).items():
            wanted[name] = wanted.get(name, 0) + one
    quota.require(change.engine, change.subscription, location, wanted)
    for spot in sorted(set(priorities)):
        profile = change.properties["virtualMachineProfile"]
        body = {"location": location, "properties": {"storageProfile": profile.get("storageProfile")}}
        accelerated = instance_network.is_accelerated(profile)
        capacity.refuse_at_once(
            change.engine,
            capacity.Placement.of(
                body, subscription=change.subscription, size=size, spot=spot, accelerated=accelerated
            ),
        )
    names = [f"{change.path.name}_{change.engine.guid()[:8]}" for _ in priorities]
    change.internal["planned"] = [
        {"name": name, "spot": spot} for name, spot in zip(names, priorities, strict=True)
    ]  # fmt: skip


def _priorities(properties: dict[str, Any], present: list[Resource], count: int) -> list[bool]:
    """Which of the new members are Spot: all of a kind, or mixed as the set's policy says."""
    mixed = properties.get("priorityMixPolicy")
    profile = properties["virtualMachineProfile"]
    if not mixed or not quota.is_spot(profile):
        return [quota.is_spot(profile)] * count
    base = int(mixed.get("baseRegularPriorityCount") or 0)
    share = int(mixed.get("regularPriorityPercentageAboveBase") or 0)
    total = len(present) + count
    regular = base + math.ceil(max(0, total - base) * share / 100)
    missing = max(0, min(total, regular) - sum(not machines.is_spot(vm) for vm in present))
    return [position >= missing for position in range(count)]


def grow(engine: Engine, scale_set: Resource, planned: list[dict[str, Any]]) -> errors.ArmError | None:
    """Make the planned members; returns what stopped it, if anything did."""
    group = parse(scale_set.id).scope
    for one in planned:
        try:
            body = _body(engine, scale_set, one["name"], spot=one["spot"])
            member, _ = engine.apply(engine.plan(f"{group}/providers/{VM}/{one['name']}", body), None)
            if member.internal.get("allocated"):
                extensions.install(engine, member, extensions.profile_of(scale_set))
        except errors.ArmError as error:
            return error
    return None


def _body(engine: Engine, scale_set: Resource, name: str, *, spot: bool) -> dict[str, Any]:
    profile = copy.deepcopy(scale_set.properties["virtualMachineProfile"])
    os_profile = profile.pop("osProfile", {})
    prefix = os_profile.pop("computerNamePrefix", scale_set.name)
    os_profile |= scale_set.internal.get("profileSecrets", {})
    os_profile["computerName"] = f"{prefix}{name.rsplit('_', 1)[-1][:6]}"
    storage = profile.pop("storageProfile", {})
    for disk in [storage.get("osDisk"), *(storage.get("dataDisks") or [])]:
        if disk is not None:
            disk.setdefault("deleteOption", "Delete")  # the other way round than with a VM that is in no set
    network = profile.pop("networkProfile", {})
    _name_after(network, name.rsplit("_", 1)[-1])
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": bodies.get(scale_set.body, "sku.name")},
        "storageProfile": storage,
        "osProfile": os_profile,
        "networkProfile": network,
        "virtualMachineScaleSet": {"id": scale_set.id},
    }
    kept = ["billingProfile", "diagnosticsProfile", "securityProfile", "userData", "licenseType", "capacityReservation"]
    kept += ["priority", "evictionPolicy"] if spot else []
    properties |= {key: profile[key] for key in kept if profile.get(key) is not None}
    if scale_set.properties.get("proximityPlacementGroup"):
        properties["proximityPlacementGroup"] = scale_set.properties["proximityPlacementGroup"]
    body: dict[str, Any] = {
        "location": scale_set.location, "tags": scale_set.body.get("tags"), "properties": properties,
    }  # fmt: skip
    zones = scale_set.body.get("zones")
    if zones:
        present = [str((vm.body.get("zones") or [""])[0]) for vm in members(engine, scale_set)]
        body["zones"] = [min(zones, key=lambda zone: (present.count(str(zone)), zones.index(zone)))]
    for member in ("identity", "plan"):
        if scale_set.body.get(member):
            body[member] = copy.deepcopy(scale_set.body[member])
    return body


def _name_after(network: dict[str, Any], suffix: str) -> None:
    """Interfaces and public addresses are resources beside the set: each machine's need names of their own."""
    for item in network.get("networkInterfaceConfigurations") or []:
        item["name"] = f"{item['name']}-{suffix}"
        for configuration in bodies.get(item, "properties.ipConfigurations") or []:
            public = bodies.get(configuration, "properties.publicIPAddressConfiguration")
            if public is not None:
                public["name"] = f"{public['name']}-{suffix}"


def shrink(engine: Engine, scale_set: Resource, count: int) -> None:
    """Delete so many members by the set's scale-in policy."""
    present = [vm for vm in members(engine, scale_set) if vm.state != "Deleting"]
    for vm in uniform.victims(present, present, scale_set, count):
        engine.begin_delete(vm)


def restore(engine: Engine, scale_set: Resource) -> bool:
    """Try to start an evicted member again; False where there is none, or no place for it."""
    for vm in members(engine, scale_set):
        evicted = vm.internal.get("evicted") and vm.internal.get("power") == "deallocated"
        if evicted and engine.running(vm) is None and capacity.has_room(engine, machines.placement(engine, vm)):
            machines.make_room(engine, vm)
            engine.begin_action(vm, machines.ACTIONS["start"], "POST start")
            return True
    return False


def list_members(call: Call, scale_set: Resource) -> Answer:
    """The members as instances of the set, or one of them."""
    path = call.path
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
