"""Instances of Uniform scale sets: resources of their own below the set, made from its model, numbered.

An instance has its network interfaces as children, and managed disks beside the set. Which instances come and go is
decided here; how a set is rolled to a new model is in upgrades.py.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import last_name, parse
from azure_emulator.providers.compute import (
    attachments,
    capacity,
    disks,
    extensions,
    instance_network,
    machines,
    quota,
    run_commands,
    scheduled_events,
)
from azure_emulator.providers.compute.names import DISK, INSTANCE
from azure_emulator.providers.compute.sizes import SIZES
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.store import Resource
from azure_emulator.types import Action, Answer, Call, Change, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Operation

# Setting `scaleSetGrowth`: what becomes of the instances that found a place when others did not. Operators of clusters
# report that they stay, beside failed ones; sets in a single placement group are said to get all or nothing.
GROWTH = ("partial", "allOrNothing")
_BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_UPGRADE = "(upgrade)"  # not a word that a path can end in


def instances(engine: Engine, scale_set: Resource) -> list[Resource]:
    """The instances of a set, lowest number first."""
    return sorted(engine.store.children(scale_set.id, INSTANCE), key=lambda one: int(one.name))


def staying(engine: Engine, scale_set: Resource) -> list[Resource]:
    """Those that nobody is deleting."""
    return [one for one in instances(engine, scale_set) if one.state != "Deleting"]


# -- growing ---------------------------------------------------------------------------------------------------------


def plan_growth(change: Change, count: int) -> None:
    """Claim quota and room for new instances; raises what Azure refuses at once, and then has taken nothing."""
    engine, profile = change.engine, change.properties["virtualMachineProfile"]
    size, spot = SIZES[str(change.body["sku"]["name"]).lower()], quota.is_spot(profile)
    place_body = {"location": change.body["location"], "properties": {
        "storageProfile": profile.get("storageProfile"),
        "proximityPlacementGroup": change.properties.get("proximityPlacementGroup"),
        "capacityReservation": profile.get("capacityReservation")}}  # fmt: skip
    accelerated = instance_network.is_accelerated(profile)
    scale_set = engine.store.get(change.id)
    zones = _balance(engine, scale_set, [str(zone) for zone in change.body.get("zones") or []], count)
    places = [
        capacity.Placement.of(
            {**place_body, "zones": [zone]} if zone is not None else place_body, subscription=change.subscription,
            size=size, spot=spot, accelerated=accelerated,
        )
        for zone in zones
    ]  # fmt: skip
    _require_quota(engine, places)
    first = int(change.internal.get("nextInstance", 0))
    planned: list[dict[str, Any]] = []
    promised: Counter[str] = Counter()
    for position, place in enumerate(places):
        internal: dict[str, Any] = {}
        try:
            failure = capacity.claim(engine, place, internal, has_quota=True, promised=promised)
        except errors.ArmError:
            _give_back(engine, planned)
            raise
        planned.append({"number": first + position, "zone": place.zone, "internal": internal, "place": place,
                        "failure": failure})  # fmt: skip
    if any(one["failure"] for one in planned):
        _single_group(change, planned)
    change.internal["nextInstance"] = first + count
    change.internal["planned"] = planned


def _require_quota(engine: Engine, places: list[capacity.Placement]) -> None:
    """Ask for the quota of all new instances at once; those on reserved places have theirs."""
    wanted: Counter[str] = Counter()
    reserved = {place: capacity.free_places(engine, place) for place in set(places)}
    for place in places:
        wanted[quota.MACHINES] += 1
        if reserved[place] > 0:
            reserved[place] -= 1
            continue
        cost = quota.cost(place.size, spot=place.spot)
        wanted.update({name: count for name, count in cost.items() if name != quota.MACHINES})
    quota.require(engine, places[0].subscription, places[0].location, wanted)


def _give_back(engine: Engine, planned: list[dict[str, Any]]) -> None:
    for one in planned:
        capacity.release(engine, one["place"], one["internal"])


def _single_group(change: Change, planned: list[dict[str, Any]]) -> None:
    """A set that must stay in one cluster says so when the cluster is full; by setting it then gets nothing at all."""
    single = bool(change.properties.get("singlePlacementGroup"))
    nothing = change.engine.setting("scaleSetGrowth", GROWTH[0]) == "allOrNothing"
    for one in planned:
        failure: ArmError | None = one["failure"]
        if failure is not None and failure.code == "AllocationFailed" and single:
            one["failure"] = capacity.single_group_failed(str(one["number"]))
    first = next(one["failure"] for one in planned if one["failure"])
    for one in planned if nothing else []:
        if one["failure"] is None:
            capacity.release(change.engine, one["place"], one["internal"])
            one["failure"] = first


def _balance(engine: Engine, scale_set: Resource | None, zones: list[str], count: int) -> list[str | None]:
    """Zones for new instances: always the one with the fewest."""
    if not zones:
        return [None] * count
    present = staying(engine, scale_set) if scale_set is not None else []
    counted = Counter(dict.fromkeys(zones, 0))
    counted.update(str(one.body["zones"][0]) for one in present if one.body.get("zones"))
    chosen: list[str | None] = []
    for _ in range(count):
        zone = min(zones, key=lambda one: (counted[one], zones.index(one)))
        counted[zone] += 1
        chosen.append(zone)
    return chosen


def grow(engine: Engine, scale_set: Resource, planned: list[dict[str, Any]]) -> None:
    """Make the planned instances; one without a place is there too, and fails."""
    for one in planned:
        _add(engine, scale_set, one)


def _add(engine: Engine, scale_set: Resource, planned: dict[str, Any]) -> None:
    number, profile = int(planned["number"]), scale_set.properties["virtualMachineProfile"]
    internal: dict[str, Any] = {
        **planned["internal"], "power": "starting", "priority": profile.get("priority", "Regular"),
        "evictionPolicy": profile.get("evictionPolicy"), "model": model_of(scale_set), "secrets": _secrets(scale_set),
    }  # fmt: skip
    machines.assign_domains(internal, number, int(scale_set.properties.get("platformFaultDomainCount") or 1))
    instance = Resource(
        id=f"{scale_set.id}/virtualMachines/{number}", type=INSTANCE, body=_body(engine, scale_set, number),
        created=engine.now, changed=engine.now, internal=internal, etag='"1"', state="Creating",
    )  # fmt: skip
    if planned["zone"] is not None:
        instance.body["zones"] = [planned["zone"]]
    operation = engine.begin(instance, "PUT", engine.jittered(machines.CREATE_SECONDS, instance.id, "PUT"))
    failure: ArmError | None = planned["failure"]
    operation.failure = None if failure is None else run_commands.as_failure(failure)
    instance.operation = operation.id
    engine.store.save(instance)
    instance_network.plug_in(engine, scale_set, instance)
    _make_disks(engine, scale_set, instance)
    engine.store.save(instance)
    if failure is None:
        extensions.install(engine, instance, extensions.profile_of(scale_set))


def _secrets(scale_set: Resource) -> dict[str, Any]:
    kept = scale_set.internal.get("profileSecrets", {})
    return {f"properties.osProfile.{name}": value for name, value in kept.items()}


def _body(engine: Engine, scale_set: Resource, number: int) -> dict[str, Any]:
    profile = copy.deepcopy(scale_set.properties["virtualMachineProfile"])
    os_profile = profile.get("osProfile") or {}
    prefix = os_profile.pop("computerNamePrefix", scale_set.name)
    os_profile["computerName"] = f"{prefix}{_in_base_36(number)}"
    kept = ("securityProfile", "diagnosticsProfile", "userData", "licenseType", "capacityReservation")
    body: dict[str, Any] = {
        "location": scale_set.location,
        "sku": {"name": scale_set.body["sku"]["name"], "tier": "Standard"},
        "properties": {
            "modelDefinitionApplied": "VirtualMachineScaleSet",
            "hardwareProfile": {},
            "networkProfileConfiguration": profile.get("networkProfile") or {},
            "storageProfile": _storage(engine, scale_set, number),
            "osProfile": os_profile,
            "vmId": engine.guid(),
            "timeCreated": engine.clock.iso(engine.now),
            **{key: profile[key] for key in kept if profile.get(key) is not None},
        },
    }
    for name in ("tags", "identity", "plan"):
        if scale_set.body.get(name):
            body[name] = copy.deepcopy(scale_set.body[name])
    return body


def _in_base_36(number: int) -> str:
    """Computer names end in six digits of base 36, as the portal shows them."""
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, len(_BASE_36))
        digits = _BASE_36[digit] + digits
    return digits


def _storage(engine: Engine, scale_set: Resource, number: int) -> dict[str, Any]:
    storage: dict[str, Any] = copy.deepcopy(scale_set.properties["virtualMachineProfile"].get("storageProfile") or {})
    disk = storage.setdefault("osDisk", {})
    suffix = engine.guid().replace("-", "")
    disk["name"] = f"{scale_set.name}_{scale_set.name}_{number}_OsDisk_1_{suffix}"
    for data in storage.get("dataDisks") or []:
        data["name"] = f"{scale_set.name}_{scale_set.name}_{number}_disk{int(data['lun']) + 2}_{suffix}"
    return storage


def _make_disks(engine: Engine, scale_set: Resource, instance: Resource) -> None:
    """Managed disks stand beside the set, each managed by its instance."""
    group = parse(scale_set.id).scope
    storage = instance.properties["storageProfile"]
    for disk in [storage["osDisk"], *(storage.get("dataDisks") or [])]:
        if bodies.get(disk, "diffDiskSettings.option"):
            continue
        sku = bodies.get(disk, "managedDisk.storageAccountType") or "Premium_LRS"
        creation = {"createOption": disk.get("createOption", "Empty")}
        body: dict[str, Any] = {
            "location": instance.location, "sku": {"name": sku},
            "properties": {"creationData": creation, "diskSizeGB": disk["diskSizeGB"]},
        }  # fmt: skip
        if disk.get("osType"):
            body["properties"]["osType"] = disk["osType"]
        if instance.body.get("zones") and not str(sku).endswith("_ZRS"):
            body["zones"] = instance.body["zones"]
        made = engine.create(f"{group}/providers/{DISK}/{disk['name']}", body)
        disks.attach(engine, made, instance.id)
        disk["managedDisk"] = {**(disk.get("managedDisk") or {}), "storageAccountType": sku, "id": made.id}
        disk["deleteOption"] = "Delete"


# -- shrinking -------------------------------------------------------------------------------------------------------


def shrink(engine: Engine, scale_set: Resource, count: int) -> None:
    """Delete so many instances by the set's scale-in policy, protected ones excepted."""
    present = staying(engine, scale_set)
    free = [one for one in present if not bodies.get(one.properties, "protectionPolicy.protectFromScaleIn")]
    for instance in victims(free, present, scale_set, count):
        instance.internal["counted"] = True
        engine.begin_delete(instance)


def victims(free: list[Resource], present: list[Resource], scale_set: Resource, count: int) -> list[Resource]:
    """Which machines of a set go first: those of the fullest zone, then the newest, or as the policy says."""
    rules = [str(rule) for rule in bodies.get(scale_set.properties, "scaleInPolicy.rules") or ["Default"]]
    oldest_first = "OldestVM" in rules
    counted = Counter(str((one.body.get("zones") or [""])[0]) for one in present)
    order = {one.key: position for position, one in enumerate(present)}
    chosen: list[Resource] = []
    for _ in range(min(count, len(free))):
        left = [one for one in free if one not in chosen]
        picked = max(
            left,
            key=lambda one: (counted[str((one.body.get("zones") or [""])[0])],
                             -order[one.key] if oldest_first else order[one.key]),
        )  # fmt: skip
        counted[str((picked.body.get("zones") or [""])[0])] -= 1
        chosen.append(picked)
    return chosen


def _deleting(engine: Engine, instance: Resource) -> None:
    machines.deleting(engine, instance)
    scale_set = engine.store.get(instance.parent)
    if scale_set is None or scale_set.state == "Deleting" or instance.internal.get("counted"):
        return
    # An instance that is deleted by itself makes the set smaller; scaling in has set the capacity before.
    instance.internal["counted"] = True
    scale_set.body["sku"]["capacity"] = max(0, int(scale_set.body["sku"]["capacity"]) - 1)
    engine.touch(scale_set)


def _deleted(engine: Engine, instance: Resource) -> None:
    machines.gone(engine, instance)
    attachments.let_go(engine, instance)


# -- the model -------------------------------------------------------------------------------------------------------


def model_of(scale_set: Resource) -> str:
    """A fingerprint of what instances are made from."""
    model = [
        bodies.get(scale_set.body, "sku.name"), scale_set.properties.get("virtualMachineProfile"),
        scale_set.internal.get("profileSecrets"), scale_set.internal.get("extensionSecrets"),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()[:16]


def outdated(engine: Engine, scale_set: Resource) -> list[Resource]:
    """Instances that are not of the latest model, protected ones excepted."""
    model = model_of(scale_set)
    return [
        one for one in staying(engine, scale_set)
        if one.internal.get("model") != model and not is_protected(one)
    ]  # fmt: skip


def is_protected(instance: Resource) -> bool:
    """Whether actions of the set leave it alone."""
    return bool(bodies.get(instance.properties, "protectionPolicy.protectFromScaleSetActions"))


def upgrade(engine: Engine, instance: Resource) -> None:
    """Begin to bring an instance to the model of its set."""
    engine.begin_action(instance, _BRING_UP, f"POST {_UPGRADE}")


def _upgraded(engine: Engine, instance: Resource, operation: Operation) -> None:
    scale_set = engine.store.get(instance.parent)
    if scale_set is None:
        return
    profile = scale_set.properties["virtualMachineProfile"]
    image = bodies.get(profile, "storageProfile.imageReference")
    old_image = bodies.get(instance.properties, "storageProfile.imageReference")
    new_size = bodies.get(scale_set.body, "sku.name")
    resized = not bodies.same(instance.body["sku"]["name"], new_size)
    if resized and not _resize(engine, instance, str(new_size)):
        return  # it stays as it was, and outdated
    bodies.put(instance.properties, "storageProfile.imageReference", copy.deepcopy(image))
    for name in ("userData", "securityProfile", "diagnosticsProfile"):
        if profile.get(name) is not None:
            instance.properties[name] = copy.deepcopy(profile[name])
    instance.internal |= {"model": model_of(scale_set), "secrets": _secrets(scale_set)}
    if not bodies.same(image, old_image):
        machines.reimaged(engine, instance, operation)
    elif resized and instance.internal.get("power") == "running":
        engine.guests.stop(instance, deallocate=True)
        machines.boot(engine, instance)
    engine.store.save(instance)
    if instance.internal.get("power") == "running":
        extensions.install(engine, instance, extensions.profile_of(scale_set))


def _resize(engine: Engine, instance: Resource, name: str) -> bool:
    old = machines.placement(engine, instance)
    before, instance.body["sku"] = instance.body["sku"], {"name": name, "tier": "Standard"}
    try:
        failure = capacity.exchange(engine, old, machines.placement(engine, instance), instance.internal)
    except errors.ArmError as error:
        failure = error
    if failure is not None:
        instance.body["sku"] = before
        instance.internal["failure"] = run_commands.as_failure(failure)
    return failure is None


def _reimaged(engine: Engine, instance: Resource, operation: Operation) -> None:
    """A reimaged instance is of the latest model, as far as its disk goes."""
    scale_set = engine.store.get(instance.parent)
    if scale_set is not None:
        image = bodies.get(scale_set.properties, "virtualMachineProfile.storageProfile.imageReference")
        bodies.put(instance.properties, "storageProfile.imageReference", copy.deepcopy(image))
        instance.internal["secrets"] = _secrets(scale_set)
        if bodies.same(instance.body["sku"]["name"], bodies.get(scale_set.body, "sku.name")):
            instance.internal["model"] = model_of(scale_set)
    machines.reimaged(engine, instance, operation)


# -- evicted ones ----------------------------------------------------------------------------------------------------


def restore(engine: Engine, scale_set: Resource) -> bool:
    """Try to get an evicted instance back; False where there is none, or no place for it."""
    evicted = [one for one in instances(engine, scale_set)
               if one.internal.get("evicted") and one.internal.get("power") == "deallocated"]  # fmt: skip
    for instance in evicted:
        place = machines.placement(engine, instance)
        if engine.running(instance) is None and capacity.has_room(engine, place):
            machines.make_room(engine, instance)
            engine.begin_action(instance, machines.ACTIONS["start"], "POST start")
            return True
    return False


# -- the type --------------------------------------------------------------------------------------------------------

# What a client may change of an instance by itself.
_CHANGEABLE = ("protectionPolicy", "userData", "networkProfileConfiguration", "licenseType")


def _check(change: Change) -> None:
    """An instance is made by its set; a PUT changes a few things of one that is there."""
    if change.before is None:
        raise errors.ArmError(
            errors.NOT_FOUND, "NotFound", f"The entity was not found: instance '{change.path.name}' of virtual machine "
            f"scale set '{change.path.names[0]}'."
        )  # fmt: skip
    sent = change.sent.get("properties") or {}
    change.body = copy.deepcopy(change.before)
    for name in _CHANGEABLE:
        if name in sent:
            change.properties[name] = copy.deepcopy(sent[name])


def _view(engine: Engine, instance: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    scale_set = engine.store.get(instance.parent)
    shown["name"] = f"{last_name(instance.parent)}_{instance.name}"
    shown["instanceId"] = instance.name
    properties = shown["properties"]
    expand = query.get("$expand", "").lower()
    latest = scale_set is not None and instance.internal.get("model") == model_of(scale_set)
    properties["latestModelApplied"] = latest
    # Extensions have no location of their own; in this list they show the instance's.
    listed = [
        {**engine.view(child), "location": instance.location}
        for child in engine.store.children(instance.id, f"{INSTANCE}/extensions")
    ]
    if listed:
        shown["resources"] = listed
    if "userdata" not in expand:
        properties.pop("userData", None)
    if "instanceview" in expand:
        properties["instanceView"] = machines.instance_view(engine, instance)


def get_instance_view(call: Call) -> Answer:
    """GET …/virtualMachineScaleSets/{name}/virtualMachines/{id}/instanceView."""
    instance = call.engine.require(parse(call.path.parent))
    return Answer(200, machines.instance_view(call.engine, instance))


def _action(name: str) -> Action:
    """An action of all machines, with what is different for instances."""
    action = scheduled_events.ACTIONS[name]
    if name != "reimage":
        return action
    return Action(run=action.run, seconds=action.seconds, updating=action.updating, finished=_reimaged)


_BRING_UP = Action(seconds=machines.REIMAGE_SECONDS, updating="Updating", finished=_upgraded)
ACTIONS: dict[str, Action] = {name: _action(name) for name in scheduled_events.ACTIONS} | {
    "reimageall": _action("reimage"),
    "runCommand": run_commands.ACTION,
    _UPGRADE: _BRING_UP,
}

TYPE = ResourceType(
    name=INSTANCE,
    protocol=COMPUTE,
    put=Verb(seconds=machines.CREATE_SECONDS, created=200, update_seconds=machines.UPDATE_SECONDS),
    delete=Verb(seconds=machines.DELETE_SECONDS),
    etag="counter",
    if_match=True,
    actions=ACTIONS,
    check=_check,
    finished=machines.provisioned,
    continues=run_commands.continue_action,
    deleting=_deleting,
    deleted=_deleted,
    view=_view,
    depth="made by the set from its model; power, reimage, protection, latest model, Spot evictions, run commands",
)  # fmt: skip
