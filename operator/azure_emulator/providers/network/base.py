"""What the types of Microsoft.Network have in common: verbs, tags, ETags, the wording of "in use", back references."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.protocols import NETWORK
from azure_emulator.types import TAGS_ONLY, Answer, Call, Change, Function, Hold, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource


# Durations of the types are from public logs (azurerm#16615, turbot PR 824, azure-cli recordings); those of deletions
# are mostly assumed.
def put(seconds: float, *, update_seconds: float | None = None) -> Verb:
    """Network shows Updating even while it creates (azure-cli recordings)."""
    return Verb(seconds=seconds, creating="Updating", updating="Updating", update_seconds=update_seconds)


BASE = ResourceType(name="", protocol=NETWORK, patch=TAGS_ONLY, delete=Verb(seconds=10), etag="weak")
_HARMLESS = frozenset({"tags", "identity"})
# A child resource has neither location nor tags, and so no PATCH.
CHILD = replace(BASE, patch=None, location=None, tags=False)


def sparing_tags(kind: ResourceType) -> ResourceType:
    """Where PATCH changes nothing but tags, it is no reason to look at the rest of the body again."""
    allowed = kind.patch.allowed if kind.patch is not None else None
    check = kind.check
    if check is None or allowed is None or not allowed <= _HARMLESS:
        return kind

    def check_writes(change: Change) -> None:
        if change.verb != "PATCH":
            check(change)

    return replace(kind, check=check_writes)


def refusal(code: str, message: str, *, status: int = errors.BAD_REQUEST) -> errors.ArmError:
    """Network's errors carry an empty list of details."""
    return errors.ArmError(status, code, message, details=[])


def bad_format(message: str, *, target: str | None = None) -> errors.ArmError:
    """What is missing or misshapen in a body."""
    return errors.bad_request("InvalidRequestFormat", message, target=target)


def one_of(change: Change, name: str, allowed: Iterable[str]) -> None:
    """Refuse a value of an enumeration that Azure does not know; the casing becomes Azure's."""
    value = change.properties.get(name)
    known = {item.lower(): item for item in allowed}
    if value is None:
        return
    if str(value).lower() not in known:
        raise errors.bad_request(
            "InvalidRequestFormat",
            f"Cannot parse the request. Error converting value '{value}' of {name} of resource {change.id}: it must be "
            f"one of {', '.join(known.values())}.",
            target=name,
        )
    change.properties[name] = known[str(value).lower()]


def back_references(
    engine: Engine, resource: Resource, properties: dict[str, Any], names_of: Mapping[str, str]
) -> None:
    """Show which resources refer to this one; like Azure, show nothing where there are none."""
    for type_name, name in names_of.items():
        found = [{"id": holder.id} for holder in engine.store.referrers(resource.id, type_name)]
        if found:
            properties[name] = found


def in_use(noun: str, code: str, *types: str, more: str = "aka.ms/deletensg") -> tuple[Hold, ...]:
    """The refusal to delete what resources of those types refer to."""
    message = (
        f"{noun} {{id}} cannot be deleted because it is in use by the following resources: {{holders}}. In order to "
        f"delete the {noun}, remove the association with the resource(s). To learn how to do this, see {more}."
    )
    return tuple(Hold(by=name, code=code, message=message) for name in types)


def refuse_with(child_type: str) -> Callable[[Engine, Resource, Mapping[str, str]], None]:
    """The refusal, of the two DNS services, to delete what has children of a type."""

    def check(engine: Engine, resource: Resource, query: Mapping[str, str]) -> None:
        del query
        found = engine.store.children(resource.id, child_type)
        if found:
            raise errors.conflict(
                "CannotDeleteResource",
                "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: "
                f"'{found[0].id}'. Please delete all nested resources before deleting this resource.",
            )

    return check


def with_guid(change: Change) -> None:
    """Give the resource its resourceGuid."""
    change.properties.setdefault("resourceGuid", change.engine.guid())


def identify(change: Change, collection: str, items: Iterable[Any], *, shown_type: str | None = None) -> None:
    """Give the parts of a body that have a name the id, type and state that Azure shows on them."""
    for item in items:
        if not isinstance(item, dict) or not item.get("name"):
            raise bad_format(f"Each of '{collection}' of resource {change.id} needs a name.", target=collection)
        item["id"] = f"{change.id}/{collection}/{item['name']}"
        item["type"] = f"{shown_type or change.type.name}/{collection}"
        item.pop("etag", None)
        item.setdefault("properties", {})["provisioningState"] = "Succeeded"


def provisioned(change: Change, resource_id: str, last_operation: str) -> Resource:
    """A resource that another one wants to use; refused while it is being written itself."""
    found = change.engine.store.get(resource_id)
    if found is None:
        raise errors.invalid_reference(resource_id, change.id)
    if found.state not in ("Succeeded", "Failed"):
        last = last_operation.replace("Put", "Delete", 1) if found.state == "Deleting" else last_operation
        raise errors.referenced_not_provisioned(found.id, change.id, found.state, last)
    return found


def in_region(change: Change, found: Resource) -> None:
    """What a resource refers to must be in its region."""
    if found.location and found.location != change.body.get("location"):
        raise errors.invalid_reference(found.id, change.id)


def part_functions(type_name: str, collection: str) -> dict[tuple[str, str], Function]:
    """GET on the parts that a resource has in its body: all of them, or one by its name."""

    def read(call: Call) -> Answer:
        engine = call.engine
        owner = engine.require(parse("/".join(call.path.text.split("/")[: -2 if call.path.is_resource else -1])))
        parts = engine.view(owner, call.query)["properties"].get(collection) or []
        for part in parts:
            part.setdefault("etag", owner.etag)
        if not call.path.is_resource:
            return Answer(200, {"value": parts})
        found = [part for part in parts if str(part["name"]).lower() == call.path.name.lower()]
        if not found:
            raise refusal("NotFound", f"Resource {call.path.text} not found.", status=errors.NOT_FOUND)
        return Answer(200, found[0])

    return {("GET", f"{type_name}/{collection}"): read}
