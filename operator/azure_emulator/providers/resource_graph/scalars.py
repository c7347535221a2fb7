"""Scalars of the Kusto query language: comparing, converting, ordering, and the functions on them.

Values are JSON's, datetimes and timespans as Python's. Null is None; Kusto's strings have no null, so that None and ""
are the same to most operators.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Value = Any


class QueryError(Exception):
    """A query that cannot be understood or carried out."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


def text(value: Value) -> str:
    """As tostring() writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"), default=text)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "0Z")
    return str(value)


def moment(value: Value) -> datetime | None:
    """As todatetime() reads it."""
    if isinstance(value, datetime):
        return value
    try:
        read = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def number(value: Value) -> float | int | None:
    """As todouble() reads it; None for what is no number."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    for read in (int, float):
        with contextlib.suppress(ValueError, OverflowError):
            return read(text(value))
    return None


def whole(value: Value) -> int | None:
    """As toint() reads it."""
    read = number(value)
    return None if read is None else int(read)


def truth(value: Value) -> bool:
    """Whether a predicate holds."""
    return value is True or (isinstance(value, str) and value.lower() == "true") or value == 1


def _numbers(left: Value, right: Value) -> tuple[Value, Value] | None:
    kinds = (int, float, datetime, timedelta)
    if isinstance(left, datetime) or isinstance(right, datetime):
        left, right = moment(left), moment(right)
    elif isinstance(left, int | float) or isinstance(right, int | float):
        left, right = number(left), number(right)
    if isinstance(left, kinds) and isinstance(right, kinds):
        return left, right
    return None


def equal(left: Value, right: Value) -> bool:
    """`==`: strings with regard to case."""
    pair = _numbers(left, right)
    if pair is not None:
        return bool(pair[0] == pair[1])
    if isinstance(left, dict | list) or isinstance(right, dict | list):
        return bool(left == right)
    return text(left) == text(right)


def less(left: Value, right: Value) -> bool:
    """`<`; false where the two cannot be compared."""
    pair = _numbers(left, right)
    try:
        return bool(pair[0] < pair[1]) if pair is not None else text(left) < text(right)
    except TypeError:
        return False


COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "=~": lambda left, right: text(left).lower() == text(right).lower(),
    "!~": lambda left, right: text(left).lower() != text(right).lower(),
    "<": less,
    ">": lambda left, right: less(right, left),
    "<=": lambda left, right: less(left, right) or equal(left, right),
    ">=": lambda left, right: less(right, left) or equal(left, right),
}


def _has(left: str, right: str) -> bool:
    """Whether a term stands in a text as a whole word of letters and digits."""
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(right)}(?![0-9A-Za-z])", left) is not None


_WORDS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda left, right: right in left,
    "startswith": lambda left, right: left.startswith(right),
    "endswith": lambda left, right: left.endswith(right),
    "hasprefix": lambda left, right: re.search(rf"(?<![0-9A-Za-z]){re.escape(right)}", left) is not None,
    "hassuffix": lambda left, right: re.search(rf"{re.escape(right)}(?![0-9A-Za-z])", left) is not None,
    "has": _has,
}


def word(operator: str, left: Value, right: Value) -> bool:
    """`contains`, `!has`, `startswith_cs`, `matches regex` and their kin."""
    name = operator.lower()
    negated, name = name.startswith("!"), name.lstrip("!")
    if name.startswith("matches"):
        try:
            found = re.search(text(right), text(left)) is not None
        except re.error as error:
            raise QueryError("InvalidRegex", f"The regular expression is invalid: {error}") from error
        return found != negated
    sensitive = name.endswith("_cs")
    one, other = text(left), text(right)
    if not sensitive:
        one, other = one.lower(), other.lower()
    return _WORDS[name.removesuffix("_cs")](one, other) != negated


def membership(operator: str, values: Sequence[Value]) -> Callable[[Value], bool]:
    """`in`, `!in~`, `has_any`, `has_all`: a test of one value; a list among the values counts as its items."""
    name = operator.lower()
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    if name == "has_any":
        return lambda left: any(word("has", left, item) for item in flat)
    if name == "has_all":
        return lambda left: all(word("has", left, item) for item in flat)
    negated = name.startswith("!")
    if name.endswith("~"):
        folded = {text(item).lower() for item in flat}
        return lambda left: (text(left).lower() in folded) != negated
    texts = {item for item in flat if isinstance(item, str)}
    others = [item for item in flat if not isinstance(item, str)]

    def is_in(left: Value) -> bool:
        # Two strings are compared as they are; whatever else may be equal to what is written otherwise.
        if isinstance(left, str):
            return left in texts or any(equal(left, item) for item in others)
        return any(equal(left, item) for item in flat)

    return lambda left: is_in(left) != negated


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """`+ - * / %` on numbers, moments and spans; None where that makes no sense."""
    if not isinstance(left, datetime | timedelta) and not isinstance(right, datetime | timedelta):
        left, right = number(left), number(right)
    try:
        match operator:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                whole_numbers = isinstance(left, int) and isinstance(right, int)
                return left // right if whole_numbers else left / right
            case _:
                return left % right
    except (TypeError, ZeroDivisionError, OverflowError):
        return None


def rank(value: Value) -> tuple[int, Any]:
    """A key that orders all values."""
    if isinstance(value, bool):
        return 1, int(value)
    if isinstance(value, int | float):
        return 2, value
    if isinstance(value, datetime):
        return 3, value.timestamp()
    if isinstance(value, timedelta):
        return 4, value.total_seconds()
    return 5, text(value)


def _split(value: Value, delimiter: Value, at: Value = None) -> list[str]:
    parts = text(value).split(text(delimiter)) if text(delimiter) else [text(value)]
    if at is None:
        return parts
    position = whole(at) or 0
    return parts[position : position + 1]


def _substring(value: Value, start: Value, length: Value = None) -> str:
    begin = max(whole(start) or 0, 0)
    rest = text(value)[begin:]
    return rest if length is None else rest[: max(whole(length) or 0, 0)]


def _extract(pattern: Value, group: Value, value: Value) -> str | None:
    try:
        found = re.search(text(pattern), text(value))
        return found[whole(group) or 0] if found is not None else None
    except (re.error, IndexError):
        return None


def _parse_json(value: Value) -> Value:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _case(*values: Value) -> Value:
    for condition, value in zip(values[0:-1:2], values[1::2], strict=False):
        if truth(condition):
            return value
    return values[-1]


def _bin(value: Value, size: Value) -> Value:
    if isinstance(value, datetime) and isinstance(size, timedelta) and size:
        origin = datetime(1, 1, 1, tzinfo=UTC)
        return origin + (value - origin) // size * size
    one, other = number(value), number(size)
    return None if one is None or not other else one // other * other


def _first(*values: Value) -> Value:
    return next((value for value in values if value not in (None, "")), None)


def _length(value: Value) -> int | None:
    return len(value) if isinstance(value, list) else None


def _keys(value: Value) -> list[str] | None:
    return list(value) if isinstance(value, dict) else None


def _merged(*values: Value) -> dict[str, Value]:
    result: dict[str, Value] = {}
    for value in reversed(values):
        result |= value if isinstance(value, dict) else {}
    return result


# name -> (least arguments, most arguments or None, function)
FUNCTIONS: Mapping[str, tuple[int, int | None, Callable[..., Value]]] = {
    "tostring": (1, 1, text),
    "tolower": (1, 1, lambda value: text(value).lower()),
    "toupper": (1, 1, lambda value: text(value).upper()),
    "toint": (1, 1, whole), "tolong": (1, 1, whole), "todouble": (1, 1, number), "toreal": (1, 1, number),
    "tobool": (1, 1, lambda value: None if value is None else truth(value)),
    "todatetime": (1, 1, moment),
    "todynamic": (1, 1, _parse_json), "parse_json": (1, 1, _parse_json),
    "isempty": (1, 1, lambda value: value in (None, "")),
    "isnotempty": (1, 1, lambda value: value not in (None, "")),
    "notempty": (1, 1, lambda value: value not in (None, "")),
    "isnull": (1, 1, lambda value: value is None), "isnotnull": (1, 1, lambda value: value is not None),
    "not": (1, 1, lambda value: not truth(value)),
    "iff": (3, 3, _case), "iif": (3, 3, _case), "case": (3, None, _case), "coalesce": (2, None, _first),
    "strcat": (1, None, lambda *values: "".join(text(value) for value in values)),
    "strcat_delim": (2, None, lambda by, *values: text(by).join(text(value) for value in values)),
    "strlen": (1, 1, lambda value: len(text(value))),
    "split": (2, 3, _split), "substring": (2, 3, _substring), "extract": (3, 3, _extract),
    "trim": (2, 2, lambda pattern, value: re.sub(rf"^(?:{text(pattern)})+|(?:{text(pattern)})+$", "", text(value))),
    "replace_string": (3, 3, lambda value, old, new: text(value).replace(text(old), text(new))),
    "replace": (3, 3, lambda pattern, new, value: re.sub(text(pattern), text(new), text(value))),
    "indexof": (2, 2, lambda value, part: text(value).find(text(part))),
    "array_length": (1, 1, _length), "bag_keys": (1, 1, _keys), "bag_merge": (1, None, _merged),
    "pack_array": (0, None, lambda *values: list(values)),
    "pack": (2, None, lambda *values: dict(zip(map(text, values[::2]), values[1::2], strict=False))),
    "bag_pack": (2, None, lambda *values: dict(zip(map(text, values[::2]), values[1::2], strict=False))),
    "array_index_of": (2, 2, lambda items, item: items.index(item) if item in (items or ()) else -1),
    "bin": (2, 2, _bin), "floor": (2, 2, _bin),
    "round": (1, 2, lambda value, digits=0: None if number(value) is None else round(number(value) or 0, digits)),
    "abs": (1, 1, lambda value: None if number(value) is None else abs(number(value) or 0)),
    "min_of": (2, None, lambda *values: min(values, key=rank)),
    "max_of": (2, None, lambda *values: max(values, key=rank)),
    "datetime_diff": (3, 3, lambda unit, one, other: _difference(text(unit), one, other)),
}  # fmt: skip

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}


def _difference(unit: str, one: Value, other: Value) -> int | None:
    later, earlier = moment(one), moment(other)
    seconds = _UNITS.get(unit.lower())
    if later is None or earlier is None or seconds is None:
        return None
    return int(later.timestamp() // seconds - earlier.timestamp() // seconds)
