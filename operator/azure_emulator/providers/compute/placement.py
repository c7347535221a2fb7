"""Where machines stand to each other: proximity placement groups and availability sets.

Both know their members as what refers to them; neither decides whether there is room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.compute.machines import status
from azure_emulator.providers.compute.names import AVAILABILITY_SET, PLACEMENT_GROUP, SCALE_SET, VM
from azure_emulator.providers.compute.sizes import FAULT_DOMAINS, SIZES, describe
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# Update domains that an availability set may have (availability-set-overview doc), and has by default.
UPDATE_DOMAINS, DEFAULT_UPDATE_DOMAINS = 20, 5

_MEMBERS = ((VM, "virtualMachines"), (SCALE_SET, "virtualMachineScaleSets"), (AVAILABILITY_SET, "availabilitySets"))


def _members(engine: Engine, group: Resource, type_name: str) -> list[Resource]:
    return [
        one for one in engine.store.referrers(group.id, type_name)
        if bodies.same(bodies.get(one.properties, "proximityPlacementGroup.id"), group.id)
    ]  # fmt: skip


# -- proximity placement groups --------------------------------------------------------------------------------------


def _check_group(change: Change) -> None:
    properties = change.properties
    kind = properties.setdefault("proximityPlacementGroupType", "Standard")
    if kind not in ("Standard", "Ultra"):
        raise errors.invalid_parameter("proximityPlacementGroupType", kind, "Allowed values are Standard, Ultra.")
    for name in bodies.get(properties, "intent.vmSizes") or []:
        if str(name).lower() not in SIZES:
            raise errors.invalid_parameter("intent.vmSizes", name, "It is not a VM size.")
    zones = change.body.get("zones") or []
    if zones and not bodies.get(properties, "intent.vmSizes"):
        raise errors.bad_request(
            "InvalidParameter", "A zone can be given to a proximity placement group only along with intent.vmSizes.",
            target="zones",
        )  # fmt: skip


def _view_group(engine: Engine, group: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    colocation = query.get("includeColocationStatus", "").lower() == "true"
    aligned = status("ColocationStatus/Aligned", "Aligned", message="All resources in the proximity placement group "
                     "are aligned.")  # fmt: skip
    for type_name, name in _MEMBERS:
        found = [{"id": one.id} for one in _members(engine, group, type_name)]
        if found:
            shown["properties"][name] = [{**one, "colocationStatus": aligned} for one in found] if colocation else found
    if colocation:
        shown["properties"]["colocationStatus"] = aligned


def _refuse_group_in_use(engine: Engine, group: Resource, query: Mapping[str, str]) -> None:
    del query
    found = [one.id for type_name, _ in _MEMBERS for one in _members(engine, group, type_name)]
    if found:
        raise errors.conflict(
            "OperationNotAllowed",
            f"Cannot delete proximity placement group '{group.name}' because it is in use by: {', '.join(found)}.",
        )


GROUP = ResourceType(
    name=PLACEMENT_GROUP,
    protocol=SYNCHRONOUS,
    put=Verb(),
    patch=Patch(allowed=frozenset({"tags"})),
    delete_missing=404,  # the SDK knows no other answer to a deletion than 200
    has_state=False,
    immutable=("properties.proximityPlacementGroupType", "zones"),
    delete_first=70,
    check=_check_group,
    check_delete=_refuse_group_in_use,
    view=_view_group,
    depth="lists its members; refuses to go while it has some; a constraint where places are scarce",
)


# -- availability sets -----------------------------------------------------------------------------------------------


def _check_set(change: Change) -> None:
    properties = change.properties
    sku = change.body.setdefault("sku", {"name": "Classic"})
    if sku.setdefault("name", "Classic") not in ("Classic", "Aligned"):
        raise errors.invalid_parameter("sku.name", sku["name"], "Allowed values are Classic, Aligned.")
    for name, default, most in (
        ("platformFaultDomainCount", FAULT_DOMAINS, FAULT_DOMAINS),
        ("platformUpdateDomainCount", DEFAULT_UPDATE_DOMAINS, UPDATE_DOMAINS),
    ):
        count = properties.setdefault(name, default)
        if not 1 <= int(count) <= most:
            raise errors.bad_request(
                "InvalidParameter", f"The specified {name.removeprefix('platform')[:-5]} count {count} must fall in "
                f"the range 1 to {most}.", target=name
            )  # fmt: skip
    if bodies.get(change.before, "sku.name") == "Aligned" and sku["name"] != "Aligned":
        raise errors.property_change_not_allowed("sku.name")


def _machines(engine: Engine, found: Resource) -> list[Resource]:
    return engine.store.referrers(found.id, VM)


def _view_set(engine: Engine, found: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    shown["properties"]["virtualMachines"] = [{"id": vm.id} for vm in _machines(engine, found)]


def _refuse_set_in_use(engine: Engine, found: Resource, query: Mapping[str, str]) -> None:
    del query
    if _machines(engine, found):
        raise errors.conflict(
            "OperationNotAllowed",
            f"Availability Set '{found.name}' cannot be deleted. Before deleting an Availability Set please ensure "
            "that it does not contain any VM.",
        )


def _sizes(call: Call) -> Answer:
    """GET …/availabilitySets/{name}/vmSizes."""
    call.engine.require(parse(call.path.parent))
    return Answer(200, {"value": [describe(size) for size in SIZES.values()]})


SET = ResourceType(
    name=AVAILABILITY_SET,
    protocol=SYNCHRONOUS,
    put=Verb(created=200),
    patch=Patch(),
    delete=Verb(),
    has_state=False,
    read_only=("properties.virtualMachines", "properties.statuses"),
    immutable=("properties.platformFaultDomainCount", "properties.platformUpdateDomainCount"),
    delete_first=65,
    check=_check_set,
    check_delete=_refuse_set_in_use,
    view=_view_set,
    depth="spreads its VMs over fault and update domains; refuses to go while it has VMs",
)

TYPES = (GROUP, SET)
FUNCTIONS = {("GET", f"{AVAILABILITY_SET}/vmSizes"): _sizes}
