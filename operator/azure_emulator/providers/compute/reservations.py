"""Capacity reservation groups and the reservations in them: places and quota that are held until machines use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.compute import capacity, quota, virtual_machines
from azure_emulator.providers.compute.machines import is_idle, provisioning_status
from azure_emulator.providers.compute.names import RESERVATION, RESERVATION_GROUP
from azure_emulator.providers.compute.zones import check_zones
from azure_emulator.providers.protocols import COMPUTE, SYNCHRONOUS
from azure_emulator.types import Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.providers.compute.sizes import Size
    from azure_emulator.store import Operation, Resource

# Assumption: a reservation takes about as long as finding places for machines does.
CREATE_SECONDS, UPDATE_SECONDS, DELETE_SECONDS = 30, 20, 15


# -- groups ----------------------------------------------------------------------------------------------------------


def _check_group(change: Change) -> None:
    check_zones(change, most=3)
    change.properties.setdefault("reservationType", "Targeted")


def _view_group(engine: Engine, group: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    found = engine.store.children(group.id, RESERVATION)
    properties = shown["properties"]
    properties["capacityReservations"] = [{"id": one.id} for one in found]
    properties["virtualMachinesAssociated"] = [{"id": one.id} for one in _associated(engine, group)]
    if "instanceview" in query.get("$expand", "").lower():
        properties["instanceView"] = {
            "capacityReservations": [{"name": one.name, **_instance_view(engine, one)} for one in found]
        }


def _associated(engine: Engine, group: Resource) -> list[Resource]:
    return [
        one for one in engine.store.referrers(group.id)
        if bodies.same(bodies.get(one.properties, "capacityReservation.capacityReservationGroup.id"), group.id)
    ]  # fmt: skip


def _refuse_group_in_use(engine: Engine, group: Resource, query: Mapping[str, str]) -> None:
    del query
    if engine.store.children(group.id, RESERVATION):
        raise errors.conflict(
            "OperationNotAllowed",
            f"Capacity Reservation Group '{group.name}' cannot be deleted because it has capacity reservations: delete "
            "them first.",
        )
    if _associated(engine, group):
        raise errors.conflict(
            "OperationNotAllowed",
            f"Capacity Reservation Group '{group.name}' cannot be deleted because virtual machines are associated with "
            "it.",
        )


GROUP = ResourceType(
    name=RESERVATION_GROUP,
    protocol=SYNCHRONOUS,
    put=Verb(),
    patch=Patch(allowed=frozenset({"tags", "properties.sharingProfile"})),
    has_state=False,
    read_only=("properties.capacityReservations", "properties.virtualMachinesAssociated", "properties.instanceView"),
    immutable=("zones", "properties.reservationType"),
    linked_action="deploy/action",
    delete_first=60,
    check=_check_group,
    check_delete=_refuse_group_in_use,
    view=_view_group,
    depth="machines that name it take places of a fitting reservation; refuses to go while it is used",
)


# -- reservations ----------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    if is_idle(change):
        return
    sku = change.body.get("sku") or {}
    size = virtual_machines.require_size(sku.get("name"))
    if not size.reservable:
        raise errors.bad_request(
            "InvalidParameter", f"The VM size {size.name} does not support capacity reservation.", target="sku.name"
        )
    count = sku.get("capacity")
    if count is None or int(count) < 0:
        raise errors.missing_parameter("sku.capacity")
    sku |= {"name": size.name, "capacity": int(count)}
    change.body["sku"] = sku
    _check_zone(change)
    _hold(change, size, int(count))


def _check_zone(change: Change) -> None:
    check_zones(change)
    group = change.engine.store.get(change.path.parent)
    allowed = [str(zone) for zone in (group.body.get("zones") if group is not None else None) or []]
    zones = [str(zone) for zone in change.body.get("zones") or []]
    if set(zones) - set(allowed) or (allowed and not zones):
        raise errors.bad_request(
            "InvalidParameter", f"The zone of the capacity reservation must be one of its group's: "
            f"'{','.join(allowed)}'.", target="zones"
        )  # fmt: skip


def _hold(change: Change, size: Size, count: int) -> None:
    """Take quota and places for what is new, or give back what is not wanted any more."""
    engine, old = change.engine, int(bodies.get(change.before, "sku.capacity") or 0)
    held = int(change.internal.get("held", 0))
    location = str(change.body["location"])
    existing = engine.store.get(change.id)
    used = len(capacity.users(engine, existing)) if existing is not None else 0
    if count < used and count < old:
        raise errors.conflict(
            "OperationNotAllowed", f"The capacity cannot be less than the {used} virtual machines that run on the "
            f"capacity reservation '{change.path.name}'.", target="sku.capacity"
        )  # fmt: skip
    more = count - held
    place = capacity.Placement.of(change.body, subscription=change.subscription, size=size, spot=False)
    cost = {name: one for name, one in quota.cost(size, spot=False).items() if name != quota.MACHINES}
    quota.require(engine, change.subscription, location, {name: one * more for name, one in cost.items()})
    if more > 0:
        change.failure = capacity.take(engine, place, more)
    elif more < 0:
        capacity.give_back(engine, place, -more)
    if change.failure is None:
        change.internal |= {"held": count, "quota": {name: one * count for name, one in cost.items()}}
        change.properties.setdefault("reservationId", engine.guid())
        change.properties.setdefault("timeCreated", engine.clock.iso(engine.now))


def _finished(engine: Engine, reservation: Resource, operation: Operation) -> None:
    del operation
    reservation.properties["provisioningTime"] = engine.clock.iso(engine.now)


def _refuse_in_use(engine: Engine, reservation: Resource, query: Mapping[str, str]) -> None:
    del query
    found = capacity.users(engine, reservation)
    if found:
        raise errors.conflict(
            "OperationNotAllowed",
            f"Capacity Reservation '{reservation.name}' cannot be deleted because virtual machines are allocated "
            f"against it: {', '.join(one.id for one in found)}.",
        )


def _deleted(engine: Engine, reservation: Resource) -> None:
    held = int(reservation.internal.get("held", 0))
    if held:
        size = capacity.reservation_size(reservation)
        place = capacity.Placement.of(reservation.body, subscription=reservation.subscription, size=size, spot=False)
        capacity.give_back(engine, place, held)


def _view(engine: Engine, reservation: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    properties = shown["properties"]
    properties["virtualMachinesAssociated"] = [{"id": one.id} for one in capacity.users(engine, reservation)]
    if "instanceview" in query.get("$expand", "").lower():
        properties["instanceView"] = _instance_view(engine, reservation)


def _instance_view(engine: Engine, reservation: Resource) -> dict[str, Any]:
    return {
        "utilizationInfo": {
            "currentCapacity": int(reservation.internal.get("held", 0)),
            "virtualMachinesAllocated": [{"id": one.id} for one in capacity.users(engine, reservation)],
        },
        "statuses": [provisioning_status(engine, reservation)],
    }


TYPE = ResourceType(
    name=RESERVATION,
    protocol=COMPUTE,
    put=Verb(seconds=CREATE_SECONDS, update_seconds=UPDATE_SECONDS),
    patch=Patch(seconds=UPDATE_SECONDS, status=202),
    delete=Verb(seconds=DELETE_SECONDS),
    required=("sku.name",),
    read_only=("properties.reservationId", "properties.timeCreated", "properties.provisioningTime",
               "properties.virtualMachinesAssociated", "properties.instanceView"),
    immutable=("zones", "sku.name"),
    separate=True,
    check=_check,
    finished=_finished,
    check_delete=_refuse_in_use,
    deleted=_deleted,
    view=_view,
    depth="holds quota and places; machines of its group use them, more machines than places take their own",
)  # fmt: skip

TYPES = (GROUP, TYPE)
