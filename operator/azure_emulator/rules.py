"""What ARM asks of a request body before a resource provider sees it: members, location, tags, preconditions.

Functions of a type's data and a body; they know neither the store nor the clock.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import RESOURCE_GROUP, ArmPath
from azure_emulator.errors import ArmError
from azure_emulator.store import Resource
from azure_emulator.types import Call, ResourceType

# ARM's limit on tags of one resource (azure-docs, tag-resources).
TAGS_ALLOWED = 50

_TOP_LEVEL = frozenset({
    "id", "name", "type", "etag", "eTag", "systemData", "location", "extendedLocation", "tags", "properties", "sku",
    "kind", "identity", "zones", "plan", "managedBy", "scale", "resources", "placement", "apiVersion", "metadata",
})  # fmt: skip
_FROM_THE_URL = ("id", "name", "type", "etag", "systemData")


def check_preconditions(call: Call, kind: ResourceType, existing: Resource | None) -> None:
    """Refuse with 412 where If-Match or If-None-Match does not hold; types without ETag support ignore both."""
    if not kind.if_match:
        return
    wanted = call.headers.get("If-Match")
    unwanted = call.headers.get("If-None-Match")
    if wanted is not None and (existing is None or wanted not in ("*", existing.etag, f'"{existing.etag}"')):
        raise errors.precondition_failed(wanted)
    if unwanted is not None and existing is not None and unwanted in ("*", existing.etag, f'"{existing.etag}"'):
        raise errors.precondition_failed(unwanted)


def clean(sent: Any, *, tracked: bool) -> dict[str, Any]:
    """The body without what the URL decides, or a refusal of what is no resource body.

    ARM itself reads the bodies of tracked resources, those with a location, and takes no members that it does not know.
    What it only passes on is read by resource providers, which pass over them (an assumption, which az rests upon: it
    sends MySQL the character set of a database beside its properties).
    """
    if not isinstance(sent, dict):
        raise errors.bad_request(
            "InvalidRequestContent", "The request content was invalid and could not be deserialized: it must be "
            "a JSON object."
        )  # fmt: skip
    for member in sent:
        if tracked and member not in _TOP_LEVEL:
            raise errors.bad_request(
                "InvalidRequestContent",
                "The request content was invalid and could not be deserialized: 'Could not find member "
                f"'{member}' on object of type 'ResourceDefinition'. Path '{member}'.'.",
            )
    known = _TOP_LEVEL.difference(_FROM_THE_URL)
    body = {key: copy.deepcopy(value) for key, value in sent.items() if key in known}
    properties = body.get("properties")
    if properties is None:
        body.pop("properties", None)
    elif not isinstance(properties, dict):
        raise errors.bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'properties' must be a JSON object.",
        )
    else:
        properties.pop("provisioningState", None)
    return body


def patched(kind: ResourceType, existing: Resource, sent: dict[str, Any]) -> dict[str, Any]:
    """The body after a PATCH: properties merged, tags replaced as a whole."""
    allowed = kind.patch.allowed if kind.patch is not None else None
    if allowed is not None:
        paths = {key for key in sent if key != "properties"}
        paths |= {f"properties.{key}" for key in sent.get("properties") or {}}
        known = {path for path in paths if bodies.same(bodies.get(existing.body, path), bodies.get(sent, path))}
        for path in sorted(paths - allowed - known):
            raise errors.bad_request(
                "InvalidRequestContent",
                f"The property '{path}' cannot be changed with PATCH on a resource of type '{kind.name}'.",
                target=path,
            )
    patch = copy.deepcopy(sent)
    for path in kind.read_only:
        bodies.drop(patch, path)
    tags = patch.pop("tags", None)
    body = copy.deepcopy(existing.body)
    bodies.merge(body, patch)
    if tags is not None:
        body["tags"] = tags
    return body


def keep_read_only(kind: ResourceType, body: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Put back what only Azure sets, whatever the client sent for it."""
    # A fixed property that was left out comes back as a whole, by keep_immutable, and not in parts from here.
    left_out = tuple(f"{path}." for path in kind.immutable if bodies.get(body, path) is None)
    for path in kind.read_only:
        bodies.drop(body, path)
        value = bodies.get(before, path, bodies.MISSING)
        if value is not bodies.MISSING and not path.startswith(left_out):
            bodies.put(body, path, copy.deepcopy(value))


def keep_secrets(
    kind: ResourceType, body: dict[str, Any], internal: dict[str, Any], before: dict[str, Any] | None
) -> None:
    """Move write-only values aside, where no GET finds them; a fixed one must not change."""
    for path in kind.write_only:
        value = bodies.drop(body, path)
        if value is bodies.MISSING or value is None:
            continue
        secrets = internal.setdefault("secrets", {})
        fixed = before is not None and path in kind.immutable and secrets.get(path) != value
        if fixed:
            raise _immutable(kind, path)
        secrets[path] = value


def keep_immutable(kind: ResourceType, body: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Put back fixed properties that were left out, and refuse those that were changed."""
    if before is None:
        return
    for path in kind.immutable:
        if path in kind.write_only:
            continue
        old, new = bodies.get(before, path), bodies.get(body, path)
        if new is None and old is not None:
            bodies.put(body, path, copy.deepcopy(old))
        elif not bodies.same(old, new):
            raise _immutable(kind, path)


def place(kind: ResourceType, path: ArmPath, body: dict[str, Any], existing: Resource | None) -> None:
    """Check and normalise the location; a resource never moves."""
    if kind.location is None:
        body.pop("location", None)
        return
    sent = body.get("location")
    if not sent:
        if existing is None and kind.location == "required":
            raise errors.bad_request("LocationRequired", "The location property is required for this definition.")
        body["location"] = existing.location if existing is not None else "global"
        return
    location = body["location"] = locations.normalise(str(sent))
    expected = {"global"} if kind.location == "global" else set(locations.REGIONS)
    if location not in expected:
        raise errors.bad_request(
            "LocationNotAvailableForResourceType",
            f"The provided location '{sent}' is not available for resource type '{kind.name}'. List of available "
            f"regions for the resource type is '{','.join(sorted(expected))}'.",
        )
    if existing is not None and location != existing.location:
        raise _moved(kind, path, existing, location)


def _moved(kind: ResourceType, path: ArmPath, existing: Resource, location: str) -> ArmError:
    if kind.name == RESOURCE_GROUP:
        return errors.conflict(
            "InvalidResourceGroupLocation",
            f"Invalid resource group location '{location}'. The Resource group already exists in location "
            f"'{existing.location}'.",
        )
    return errors.conflict(
        "InvalidResourceLocation",
        f"The resource '{path.name}' already exists in location '{existing.location}' in resource group "
        f"'{path.resource_group}'. A resource with the same name cannot be created in location '{location}'. "
        "Please select a new resource name.",
    )


def _immutable(kind: ResourceType, path: str) -> ArmError:
    if kind.immutable_error is not None:
        return kind.immutable_error(path)
    return errors.property_change_not_allowed(path.removeprefix("properties."))


def as_sent(body: Any, key: str) -> str:
    """An id as the client wrote it, for the error message."""
    if isinstance(body, dict):
        body = [*body.values(), *body.keys()]
    if isinstance(body, list):
        return next((found for item in body if (found := as_sent(item, key))), "")
    return body if isinstance(body, str) and body.rstrip("/").lower() == key else ""


def whole_number(query: Mapping[str, str], name: str, default: int) -> int:
    """A paging parameter such as `$top`, or the refusal of one that is no number (its code is an assumption)."""
    text = query.get(name) or str(default)
    if not text.isdecimal():
        plain = name.lstrip("$")
        raise errors.bad_request(
            f"Invalid{plain[:1].upper()}{plain[1:]}InQueryString",
            f"Invalid {name} '{text}' specified in the query string.",
        )
    return int(text)


def next_link(call: Call, start: int) -> str:
    """Where a client finds the rest of a list, from that place on."""
    query = {**call.query, "$skiptoken": str(start)}
    return f"{call.base_url}{quote(call.path.text)}?{urlencode(query)}"


def check_tags(body: dict[str, Any]) -> None:
    """Refuse tags that are too many or no strings."""
    tags = body.get("tags")
    if tags is None:
        body.pop("tags", None)
        return
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise errors.bad_request("InvalidRequestContent", "The request content was invalid: 'tags' must map names to "
                                 "strings.")  # fmt: skip
    if len(tags) > TAGS_ALLOWED:
        raise errors.bad_request(
            "InvalidTags",
            f"The number of tags on the resource is {len(tags)}. The maximum number allowed is {TAGS_ALLOWED}.",
        )
