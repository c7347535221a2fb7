"""What a policy rule's `field` means for a resource: its type, place, tags, and aliases of its properties.

Knows resource bodies and the aliases that do not follow the common pattern; no policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Aliases that stand elsewhere than their name says (az provider show --expand resourceTypes/aliases).
ALIASES = {
    "microsoft.compute/virtualmachines/sku.name": "properties.hardwareProfile.vmSize",
    "microsoft.compute/virtualmachines/imagepublisher": "properties.storageProfile.imageReference.publisher",
    "microsoft.compute/virtualmachines/imageoffer": "properties.storageProfile.imageReference.offer",
    "microsoft.compute/virtualmachines/imagesku": "properties.storageProfile.imageReference.sku",
    "microsoft.compute/virtualmachines/imageversion": "properties.storageProfile.imageReference.version",
    "microsoft.compute/imagepublisher": "properties.storageProfile.imageReference.publisher",
    "microsoft.compute/imageoffer": "properties.storageProfile.imageReference.offer",
    "microsoft.compute/imagesku": "properties.storageProfile.imageReference.sku",
    "microsoft.compute/imageid": "properties.storageProfile.imageReference.id",
    "microsoft.storage/storageaccounts/accounttype": "sku.name",
}
# Members beside `properties`; every other first member of an alias is one of `properties`.
_TOP_LEVEL = frozenset({"sku", "kind", "identity", "zones", "plan", "tags", "location", "managedby", "type", "name"})
_TAG = re.compile(r"^tags(?:\.(?P<plain>.+)|\[\s*'?(?P<quoted>.*?)'?\s*\])$", re.IGNORECASE)


@dataclass(frozen=True)
class Subject:
    """The resource that a rule is about, as it would be after the request."""

    id: str
    type: str
    name: str
    full_name: str
    body: Mapping[str, Any]


def tag_name(field: str) -> str | None:
    """The tag that a field such as `tags['owner']` names."""
    match = _TAG.match(field)
    return None if match is None else match["plain"] or match["quoted"] or ""


def values(subject: Subject, field: str) -> tuple[list[Any], str]:
    """The values at a field, one or none but where it has `[*]`, and the path at which the field stands."""
    plain = {
        "type": subject.type, "name": subject.name, "fullname": subject.full_name, "id": subject.id,
        "location": subject.body.get("location"), "kind": subject.body.get("kind"), "tags": subject.body.get("tags"),
        "identity.type": (subject.body.get("identity") or {}).get("type"),
    }  # fmt: skip
    lower = field.lower()
    if lower in plain:
        found = plain[lower]
        return ([] if found is None else [found]), field
    tag = tag_name(field)
    if tag is not None:
        tags = subject.body.get("tags") or {}
        named = next((value for name, value in tags.items() if name.lower() == tag.lower()), None)
        return ([] if named is None else [named]), f"tags[{tag}]"
    path = alias_path(subject.type, field)
    return ([], field) if path is None else (_at(subject.body, path.split(".")), path)


def alias_path(type_name: str, alias: str) -> str | None:
    """Where an alias stands in the body of a resource of that type; None if it is not one of that type."""
    known = ALIASES.get(alias.lower())
    if known is not None:
        owner = alias.lower().rsplit("/", 1)[0]
        return known if type_name.lower() == owner or owner == type_name.split("/", 1)[0].lower() else None
    prefix = f"{type_name.lower()}/"
    if not alias.lower().startswith(prefix):
        return None
    rest = alias[len(prefix) :].replace("/", ".")
    first = rest.split(".", 1)[0].removesuffix("[*]").lower()
    return rest if first in _TOP_LEVEL else f"properties.{rest}"


def within(item: Any, alias: str, counted: str) -> list[Any]:
    """The values of an alias inside one item of the array that is being counted."""
    rest = alias[len(counted) :].lstrip(".")
    return [item] if not rest else _at(item, rest.split("."))


def _at(value: Any, parts: list[str]) -> list[Any]:
    if not parts:
        return [] if value is None else [value]
    first, rest = parts[0], parts[1:]
    each = first.endswith("[*]")
    name = first.removesuffix("[*]").lower()
    if not isinstance(value, Mapping):
        return []
    found = next((inner for key, inner in value.items() if key.lower() == name), None)
    if found is None:
        # ARM flattens `properties` of what is listed inside of a resource, such as security rules.
        inner = value.get("properties")
        return _at(inner, parts) if isinstance(inner, Mapping) and name != "properties" else []
    if not each:
        return _at(found, rest)
    return [one for item in (found if isinstance(found, list) else []) for one in _at(item, rest)]
