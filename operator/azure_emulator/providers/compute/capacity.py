"""Room for machines: what a region has left of a size, what a subscription may not have, and what is reserved.

Room is set by hand (PUT /emulator/capacity); without a setting there is always enough. A machine claims quota and room
together when it is created or started, and gives both back when it is deallocated or deleted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.compute import quota
from azure_emulator.providers.compute.names import RESERVATION, RESERVATION_GROUP
from azure_emulator.providers.compute.sizes import SIZES, Size, restriction

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Resource

# What a machine asks of its place, in the words and the order in which Azure lists it in a refusal.
ZONE, EPHEMERAL, NETWORKING, PROXIMITY, LOW_PRIORITY, VM_SIZE = (
    "Availability Zone",
    "Differencing (Ephemeral) Disks",
    "Networking Constraints (such as Accelerated Networking or IPv6)",
    "Proximity Placement Group",
    "Low Priority VMs",
    "VM Size",
)
# Setting `overconstrainedFrom`: with so many of these together a missing place is called overconstrained. Assumption:
# Azure's rule is not public; refusals that list a single constraint have been seen too.
OVERCONSTRAINED_FROM = 2
_RESTRICTIVE = (EPHEMERAL, NETWORKING, PROXIMITY, LOW_PRIORITY)

_GUIDANCE = "Read more about improving likelihood of allocation success at http://aka.ms/allocation-guidance"


@dataclass(frozen=True)
class Placement:
    """Where a machine is to run, and as what."""

    size: Size
    subscription: str
    location: str
    zone: str | None = None
    spot: bool = False
    constraints: tuple[str, ...] = ()
    reservation_group: str | None = None

    @classmethod
    def of(
        cls, body: dict[str, Any], *, subscription: str, size: Size, spot: bool, accelerated: bool = False
    ) -> Placement:
        """What the body of a machine asks for."""
        properties = body.get("properties") or {}
        zones = body.get("zones") or []
        asked = {
            EPHEMERAL: bodies.get(properties, "storageProfile.osDisk.diffDiskSettings.option"),
            NETWORKING: accelerated,
            PROXIMITY: bodies.get(properties, "proximityPlacementGroup.id"),
            LOW_PRIORITY: spot,
        }
        return cls(
            size=size, subscription=subscription, location=str(body["location"]),
            zone=str(zones[0]) if zones else None, spot=spot,
            constraints=tuple(name for name, found in asked.items() if found),
            reservation_group=bodies.get(properties, "capacityReservation.capacityReservationGroup.id"),
        )  # fmt: skip


# -- claims ----------------------------------------------------------------------------------------------------------


def claim(
    engine: Engine, place: Placement, internal: dict[str, Any], *, has_quota: bool = False,
    promised: Counter[str] | None = None,
) -> ArmError | None:  # fmt: skip
    """Take quota and room for one machine, and note both in its internal state.

    `has_quota`: it was asked for already, for several machines at once; `promised` then counts the reserved places that
    were given to others of them. Returns what its operation shall fail with
    where there is no room; raises ArmError what Azure refuses at once.
    """
    reservation = _free_reservation(engine, place, Counter() if promised is None else promised)
    wanted = quota.cost(place.size, spot=place.spot) if reservation is None else {quota.MACHINES: 1}
    held = internal.get("quota") or {}
    if not has_quota:
        more = {name: count - held.get(name, 0) for name, count in wanted.items()}
        quota.require(engine, place.subscription, place.location, more)
    failure = take(engine, place) if reservation is None else None
    internal["allocated"] = failure is None
    internal["reservation"] = reservation.id if reservation is not None else None
    internal["quota"] = wanted if failure is None else {quota.MACHINES: 1}
    return failure


def release(engine: Engine, place: Placement, internal: dict[str, Any], *, evicted: bool = False) -> None:
    """Give back what a machine claimed; that it exists still counts."""
    if not internal.get("allocated"):
        return
    internal["allocated"] = False
    if internal.pop("reservation", None) is None:
        give_back(engine, place)
    kept = evicted and engine.setting("evictedTakesQuota", quota.EVICTED_TAKES_QUOTA)
    if not kept and not engine.setting("deallocatedTakesQuota", quota.DEALLOCATED_TAKES_QUOTA):
        internal["quota"] = {quota.MACHINES: 1}


def exchange(engine: Engine, old: Placement, new: Placement, internal: dict[str, Any]) -> ArmError | None:
    """Change the claim of a machine for one of another size; without room it keeps the one it has."""
    kept = dict(internal)
    held = kept.get("allocated")
    if held and kept.get("reservation") is None:
        give_back(engine, old)
    try:
        if not held:
            _requota(engine, old, new, internal)
            return None
        failure = claim(engine, new, internal)
    except errors.ArmError:
        _take_again(engine, old, kept)
        internal.update(kept)
        raise
    if failure is not None:
        _take_again(engine, old, kept)
        internal.update(kept)
    return failure


def _take_again(engine: Engine, place: Placement, kept: dict[str, Any]) -> None:
    if kept.get("allocated") and kept.get("reservation") is None:
        take(engine, place)


def _requota(engine: Engine, old: Placement, new: Placement, internal: dict[str, Any]) -> None:
    """A deallocated machine holds cores only where the setting says that it does."""
    held = internal.get("quota") or {}
    if old.size.family in held or quota.SPOT in held:
        wanted = quota.cost(new.size, spot=new.spot)
        more = {name: count - held.get(name, 0) for name, count in wanted.items()}
        quota.require(engine, new.subscription, new.location, more)
        internal["quota"] = wanted


# -- room ------------------------------------------------------------------------------------------------------------


def take(engine: Engine, place: Placement, count: int = 1) -> ArmError | None:
    """Take the place of so many machines, or none. Scarcity is raised at once or returned, as was set."""
    _refuse_restricted(engine, place)
    rows = engine.setting("capacity", [])
    found = [row for row in rows if _covers(row, place)]
    for row in found:
        if row["count"] < count:
            if row["refuse"] == "sync":
                raise sku_not_available(place.size, place.location)
            return _no_room(engine, place)
    for row in found:
        row["count"] -= count
    if found:
        engine.store.set("capacity", rows)
    return None


def refuse_at_once(engine: Engine, place: Placement) -> None:
    """Raise what Azure would say before it begins: a restriction, or scarcity that is told at once."""
    _refuse_restricted(engine, place)
    if any(row["count"] <= 0 and row["refuse"] == "sync"
           for row in engine.setting("capacity", []) if _covers(row, place)):  # fmt: skip
        raise sku_not_available(place.size, place.location)


def give_back(engine: Engine, place: Placement, count: int = 1) -> None:
    """Someone else can have the place."""
    rows = engine.setting("capacity", [])
    found = [row for row in rows if _covers(row, place)]
    for row in found:
        row["count"] += count
    if found:
        engine.store.set("capacity", rows)


def has_room(engine: Engine, place: Placement) -> bool:
    """Whether one more machine would find a place."""
    return all(row["count"] > 0 for row in engine.setting("capacity", []) if _covers(row, place))


def _refuse_restricted(engine: Engine, place: Placement) -> None:
    limited = restriction(engine.setting("restrictions", []), place.size, place.location)
    if limited is None:
        return
    zones = [str(zone) for zone in limited.get("zones") or []]
    if not zones or place.zone in zones:
        raise sku_not_available(place.size, place.location)


def _covers(row: dict[str, Any], place: Placement) -> bool:
    return (
        row["vmSize"] == place.size.name.lower()
        and row["location"] in (None, place.location)
        and row["zone"] in (None, place.zone)
        and row["priority"] in (None, "Spot" if place.spot else "Regular")
    )


def sku_not_available(size: Size, location: str) -> ArmError:
    """The synchronous refusal (karpenter-provider-azure, fake errors)."""
    return errors.conflict(
        "SkuNotAvailable",
        f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size.name}' is "
        f"currently not available in location '{location}'. Please try another size or deploy to a different location "
        "or different zone. See https://aka.ms/azureskunotavailable for details.",
        target="sku.name",
    )


def _no_room(engine: Engine, place: Placement) -> ArmError:
    restrictive = [name for name in _RESTRICTIVE if name in place.constraints]
    if len(restrictive) >= engine.setting("overconstrainedFrom", OVERCONSTRAINED_FROM):
        listed = [*([ZONE] if place.zone is not None else []), *restrictive, VM_SIZE]
        return errors.conflict(
            "OverconstrainedZonalAllocationRequest" if place.zone is not None else "OverconstrainedAllocationRequest",
            "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is "
            "too restrictive. Please remove some constraints and try again. Constraints applied are:\n"
            + "\n".join(f"  - {name}" for name in listed),
        )
    where = "region" if place.zone is None else "zone"
    return errors.conflict(
        "AllocationFailed" if place.zone is None else "ZonalAllocationFailed",
        f"Allocation failed. We do not have sufficient capacity for the requested VM size in this {where}. {_GUIDANCE}",
    )


def single_group_failed(instance: str) -> ArmError:
    """No room for a scale set that must stay in one placement group: one cluster has to hold all of it."""
    return errors.ArmError(
        errors.CONFLICT,
        "AllocationFailed",
        "Allocation failed. If you are trying to add a new VM to a Virtual Machine Scale Set with a single placement "
        "group or update/resize an existing VM in a Virtual Machine Scale Set with a single placement group, please "
        "note that such allocation is scoped to a single cluster, and it is possible that the cluster is out of "
        f"capacity. {_GUIDANCE}",
        target=instance,
    )


# -- reservations ----------------------------------------------------------------------------------------------------


def reservation_size(reservation: Resource) -> Size:
    """The size that a capacity reservation holds places of."""
    return SIZES[str(bodies.get(reservation.body, "sku.name")).lower()]


def users(engine: Engine, reservation: Resource) -> list[Resource]:
    """Machines that run on a reservation's places."""
    machines = engine.store.referrers(reservation.parent)
    return [one for one in machines if bodies.same(one.internal.get("reservation"), reservation.id)]


def _fitting(engine: Engine, place: Placement) -> list[Resource]:
    """The reservations of a machine's group that hold places of its size in its zone."""
    if place.reservation_group is None:
        return []
    fitting = [
        found
        for found in engine.store.children(place.reservation_group, RESERVATION)
        if reservation_size(found) is place.size
        and (found.body.get("zones") or [None])[0] == place.zone
        and found.internal.get("quota")
    ]
    if not fitting:
        raise errors.bad_request(
            "InvalidParameter",
            f"The capacity reservation group '{place.reservation_group}' ({RESERVATION_GROUP}) has no capacity "
            f"reservation for VM size {place.size.name} in "
            f"{'zone ' + place.zone if place.zone is not None else 'this region without a zone'}.",
            target="capacityReservationGroup",
        )
    return fitting


def _free_in(engine: Engine, reservation: Resource) -> int:
    return max(0, int(reservation.internal.get("held", 0)) - len(users(engine, reservation)))


def free_places(engine: Engine, place: Placement) -> int:
    """How many reserved places a machine of a reservation group could have."""
    return sum(_free_in(engine, found) for found in _fitting(engine, place))


def _free_reservation(engine: Engine, place: Placement, promised: Counter[str]) -> Resource | None:
    """A reserved place for a machine of a reservation group; more machines than places take from the open market."""
    for found in _fitting(engine, place):
        if _free_in(engine, found) > promised[found.key]:
            promised[found.key] += 1
            return found
    return None
