"""Checks of properties that many types share, as data: a type's `check` is put together from them.

Knows no type. Refusals are BadRequest unless a check is told another code.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from azure_emulator import bodies, errors
from azure_emulator.types import Change

Check = Callable[[Change], None]

_DURATION = re.compile(r"^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")


def all_of(*checks: Check) -> Check:
    """One check after the other."""

    def check(change: Change) -> None:
        for one in checks:
            one(change)

    return check


def choice(path: str, values: Iterable[str], code: str = "BadRequest") -> Check:
    """A property, if given, is one of these, in whatever casing; it is kept as written here."""
    known = {value.lower(): value for value in values}

    def check(change: Change) -> None:
        value = bodies.get(change.body, path)
        if value is None:
            return
        if str(value).lower() not in known:
            raise refused(path, value, f"It must be one of '{', '.join(known.values())}'.", code)
        bodies.put(change.body, path, known[str(value).lower()])

    return check


def number(path: str, low: float, high: float, code: str = "BadRequest") -> Check:
    """A property, if given, is a number within these bounds."""

    def check(change: Change) -> None:
        value = bodies.get(change.body, path)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise refused(path, value, f"It must be between {low:g} and {high:g}.", code)

    return check


def duration(path: str, low: int, high: int, code: str = "BadRequest") -> Check:
    """A property, if given, is an ISO 8601 duration of so many seconds."""

    def check(change: Change) -> None:
        value = bodies.get(change.body, path)
        if value is not None and not low <= (seconds(value) or 0) <= high:
            raise refused(path, value, f"It must be a duration between {low} and {high} seconds.", code)

    return check


def not_empty(path: str, code: str = "BadRequest") -> Check:
    """A list has at least one item."""

    def check(change: Change) -> None:
        value = bodies.get(change.body, path)
        if not isinstance(value, list) or not value:
            raise refused(path, value, "It must have at least one item.", code)

    return check


def refused(path: str, value: Any, rule: str, code: str = "BadRequest") -> errors.ArmError:
    """400 that names the property."""
    name = path.removeprefix("properties.")
    return errors.bad_request(code, f"The value '{value}' of property '{name}' is not valid. {rule}", target=path)


def is_guid(value: Any) -> bool:
    """Whether a text is a GUID."""
    try:
        uuid.UUID(str(value))
    except ValueError:
        return False
    return True


def seconds(value: Any) -> int | None:
    """An ISO 8601 duration in seconds, None if it is none."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def items(value: Any) -> list[dict[str, Any]]:
    """The objects of a list that a client sent, whatever else it sent."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
