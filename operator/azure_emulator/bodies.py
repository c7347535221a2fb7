"""Small tools on JSON bodies: dotted paths, merging, comparing.

Pure functions on dicts: no ARM, no resource types.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

MISSING: Any = object()


def get(body: Mapping[str, Any] | None, path: str, default: Any = None) -> Any:
    """The value at a dotted path such as `properties.osProfile.customData`; keys are compared exactly."""
    value: Any = body
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set a dotted path, creating what is between."""
    *parents, last = path.split(".")
    for part in parents:
        inner = body.get(part)
        if not isinstance(inner, dict):
            inner = body[part] = {}
        body = inner
    body[last] = value


def drop(body: dict[str, Any], path: str) -> Any:
    """Remove a dotted path and return what was there, or MISSING."""
    *parents, last = path.split(".")
    value: Any = body
    for part in parents:
        value = value.get(part) if isinstance(value, dict) else None
    return value.pop(last, MISSING) if isinstance(value, dict) else MISSING


def with_defaults(body: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Fill in defaults, given by dotted path, where the body says nothing (null counts as nothing)."""
    for path, value in defaults.items():
        if get(body, path) is None:
            put(body, path, copy.deepcopy(value))


def merge(target: dict[str, Any], patch: Mapping[str, Any]) -> None:
    """JSON merge-patch (RFC 7386)."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)


def same(one: Any, other: Any) -> bool:
    """Equal as ARM sees it: strings without regard to case, absent and null alike."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(same(one.get(key), other.get(key)) for key in {*one, *other})
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
