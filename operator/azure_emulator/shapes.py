"""The shapes of request bodies: which members are strings, numbers, objects and lists, from the SDKs' own models.

Azure's services deserialize a body into typed models before they look at it, leniently about "5" and 5, strictly about
an object where a list should be. Hooks rely on that. The data (shapes.json) is generated from the installed
azure-mgmt packages by `make generate`; this module knows no type by name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from azure_emulator import errors
from azure_emulator.errors import ArmError

# A kind is "string", "integer", "number", "boolean" or "any"; [kind] for lists; {"*": kind} for maps of free names;
# {name: kind} for objects; "#name" for a definition.
Kind = Any

LARGEST = 2**63 - 1
SHOWN = 80  # characters of a bad value in the refusal

_FILE = Path(__file__).with_name("shapes.json")


class Shapes:
    """All shapes, by request."""

    def __init__(self) -> None:
        data = orjson.loads(_FILE.read_bytes())
        self._bodies: dict[str, Kind] = data["bodies"]
        self._definitions: dict[str, dict[str, Kind]] = data["definitions"]
        self._members: dict[str, dict[str, str]] = {}

    def conform(self, method: str, type_name: str, body: Any) -> Any:
        """The body as the service would understand it.

        Members get their proper casing and values their type where the conversion is plain; null members are left out,
        except in a PATCH, where they mean removal. What cannot be converted is refused as ARM does.
        """
        kind = self._bodies.get(f"{method} {type_name}".lower())
        if kind is None or body is None:
            return body
        return _Reader(self, keep_null=method == "PATCH").read(kind, body, "")

    def members(self, kind: Kind) -> dict[str, Kind]:
        """Members of an object's kind."""
        found: dict[str, Kind] = self._definitions[kind[1:]] if isinstance(kind, str) else kind
        return found

    def casing(self, kind: Kind) -> dict[str, str]:
        """Names of an object's members by their lower case."""
        if not isinstance(kind, str):
            return {name.lower(): name for name in kind}
        known = self._members.get(kind)
        if known is None:
            known = self._members[kind] = {name.lower(): name for name in self.members(kind)}
        return known


class _Reader:
    def __init__(self, shapes: Shapes, *, keep_null: bool) -> None:
        self._shapes = shapes
        self._keep_null = keep_null

    def read(self, kind: Kind, value: Any, path: str) -> Any:
        if kind == "any":
            return value
        if isinstance(kind, list):
            return self._list(kind[0], value, path)
        if isinstance(kind, dict) or kind[0] == "#":
            return self._object(kind, value, path)
        return _scalar(kind, value, path)

    def _list(self, kind: Kind, value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _refused(value, "a JSON array", path)
        return [self.read(kind, self._item(item, f"{path}[{at}]"), f"{path}[{at}]") for at, item in enumerate(value)]

    def _item(self, value: Any, path: str) -> Any:
        if value is None:
            raise _refused(value, "a value", path)
        return value

    def _object(self, kind: Kind, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _refused(value, "a JSON object", path)
        members = self._shapes.members(kind)
        free = members.get("*")
        casing = self._shapes.casing(kind)
        result: dict[str, Any] = {}
        for name, inner in value.items():
            proper = str(name) if free is not None else casing.get(str(name).lower(), str(name))
            where = f"{path}.{proper}" if path else proper
            if inner is None:
                if self._keep_null:
                    result[proper] = None
                continue
            result[proper] = self.read(free if free is not None else members.get(proper, "any"), inner, where)
        return result


def _scalar(kind: str, value: Any, path: str) -> Any:
    read: Callable[[Any], Any] = {"string": _string, "boolean": _boolean, "integer": _integer, "number": _number}[kind]
    with contextlib.suppress(ValueError):
        return read(value)
    raise _refused(value, f"'{kind}'", path)


def _string(value: Any) -> str:
    if isinstance(value, dict | list):
        raise ValueError  # noqa: TRY004 (the one way to say that it cannot be read)
    return str(value)


def _boolean(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


def _number(value: Any) -> float:
    if isinstance(value, bool | dict | list):
        raise ValueError  # noqa: TRY004
    return value if isinstance(value, int | float) else float(value)


def _integer(value: Any) -> int:
    number = _number(value)
    if number != number // 1 or abs(number) > LARGEST:
        raise ValueError
    return int(number)


def _refused(value: Any, wanted: str, path: str) -> ArmError:
    shown = orjson.dumps(value).decode()
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
    return errors.bad_request(
        "InvalidRequestContent",
        "The request content was invalid and could not be deserialized: "
        f"'Error converting value {shown} to {wanted}. Path '{path}'.'.",
        target=path,
    )
