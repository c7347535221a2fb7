"""The functions of ARM templates that need nothing but their arguments: strings, arrays, objects, numbers, dates, CIDR.

A table of name, kinds of arguments and what it does. What asks the deployment or Azure is template.py's.
"""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urljoin

from azure_emulator.providers.deployments import dates, hashing
from azure_emulator.providers.deployments.language import Builtin, ExpressionError, Lambda, member, reach

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
# ARM allows this many items in a range.
_LONGEST_RANGE = 10_000

ANY = frozenset({"Null", "Boolean", "Integer", "Float", "String", "Array", "Object"})
STRING, INT, BOOL = frozenset({"String"}), frozenset({"Integer"}), frozenset({"Boolean"})
ARRAY, OBJECT, LAMBDA = frozenset({"Array"}), frozenset({"Object"}), frozenset({"Lambda"})
NUMBER = INT | {"Float"}
TEXT_OR_ARRAY = STRING | ARRAY
COLLECTION = STRING | ARRAY | OBJECT
NULL = frozenset({"Null"})


def kind_of(value: Any) -> str:
    """What ARM calls the type of a value."""
    match value:
        case None:
            return "Null"
        case bool():
            return "Boolean"
        case int():
            return "Integer"
        case float():
            return "Float"
        case str():
            return "String"
        case list():
            return "Array"
        case dict():
            return "Object"
    return "Lambda"


@dataclass(frozen=True)
class Signature:
    """The kinds of a function's arguments; `rest` are those of any number of further ones."""

    name: str
    kinds: tuple[frozenset[str], ...]
    optional: int = 0
    rest: frozenset[str] | None = None

    def check(self, arguments: Sequence[Any]) -> None:
        """Refuse what the function does not take."""
        least, most = len(self.kinds) - self.optional, len(self.kinds)
        if len(arguments) < least or (self.rest is None and len(arguments) > most):
            expected = f"'{least}'" if least == most else f"'{least}' to '{most}'"
            if self.rest is not None:
                expected = f"at least '{least}'"
            raise ExpressionError(
                f"The template language function '{self.name}' expects {expected} parameters. The function was invoked "
                f"with '{len(arguments)}' parameters. Please see https://aka.ms/arm-functions#{self.name.lower()} for "
                "usage details."
            )
        for index, argument in enumerate(arguments):
            allowed = self.kinds[index] if index < most else self.rest or ANY
            if kind_of(argument) not in allowed:
                raise ExpressionError(
                    f"The template language function '{self.name}' expects its parameter number '{index + 1}' to be of "
                    f"type '{', '.join(sorted(allowed))}'. The provided value is of type '{kind_of(argument)}'. Please "
                    f"see https://aka.ms/arm-functions#{self.name.lower()} for usage details."
                )


FUNCTIONS: dict[str, Builtin] = {}


def _define(
    name: str, *kinds: frozenset[str], optional: int = 0, rest: frozenset[str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function into the table; its arguments are checked before it sees them."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = Signature(name, kinds, optional, rest)

        def call(arguments: list[Any]) -> Any:
            signature.check(arguments)
            return function(*arguments)

        FUNCTIONS[name.lower()] = call
        return function

    return enter


# -- text of values ----------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """What string() makes of a value."""
    match value:
        case None:
            return ""
        case bool():
            return "True" if value else "False"
        case str():
            return value
        case dict() | list():
            return hashing.minified(value)
    return str(value)


def _quoted(value: Any) -> str:
    """What format() makes of an object or array: JSON in single quotes."""
    match value:
        case dict():
            return "{" + ",".join(f"{_literal(key)}:{_quoted(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_quoted, value)) + "]"
        case str():
            return _literal(value)
    return json.dumps(value)


def _literal(value: str) -> str:
    escaped = json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{escaped}'"


_PLACE = re.compile(r"\{\{|\}\}|\{(\d+)(?:,(-?\d+))?(?::([^{}]*))?\}|[{}]")


@_define("format", STRING, rest=ANY)
def _format(shape: str, *values: Any) -> str:
    def fill(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] is None or int(found[1]) >= len(values):
            raise ExpressionError(f"Unable to format the template language string '{shape}': input string was not in a "
                                  "correct format.")  # fmt: skip
        filled = _formatted(values[int(found[1])], found[3] or "")
        width = int(found[2] or 0)
        return filled.rjust(width) if width >= 0 else filled.ljust(-width)

    return _PLACE.sub(fill, shape)


def _formatted(value: Any, shape: str) -> str:
    if not shape:
        return _quoted(value) if isinstance(value, dict | list) else text(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return text(value)
    kind, digits = shape[0].upper(), int(shape[1:]) if shape[1:].isdecimal() else None
    sign = "-" if value < 0 else ""
    match kind:
        case "D":
            return sign + str(abs(value)).zfill(digits or 1)
        case "X":
            written = f"{value & 2**64 - 1 if value < 0 else value:X}".zfill(digits or 1)
            return written if shape[0] == "X" else written.lower()
        case "N":
            return f"{value:,.{2 if digits is None else digits}f}"
        case "F":
            return f"{value:.{2 if digits is None else digits}f}"
        case "0" if not shape.strip("0"):
            return sign + str(abs(value)).zfill(len(shape))
    raise ExpressionError(f"The format '{shape}' is not supported for numbers.")


@_define("string", ANY)
def _string(value: Any) -> str:
    return text(value)


@_define("concat", TEXT_OR_ARRAY | NUMBER | BOOL, rest=TEXT_OR_ARRAY | NUMBER | BOOL)
def _concat(*values: Any) -> Any:
    arrays = [isinstance(value, list) for value in values]
    if all(arrays):
        return [item for value in values for item in value]
    if any(arrays):
        raise ExpressionError(
            "The provided parameters for language function 'concat' are invalid. Either all or none of the parameters "
            "must be an array. Please see https://aka.ms/arm-functions#concat for usage details."
        )
    return "".join(map(text, values))


# -- strings -----------------------------------------------------------------------------------------------------------

_define("toLower", STRING)(str.lower)
_define("toUpper", STRING)(str.upper)
_define("trim", STRING)(str.strip)
_define("replace", STRING, STRING, STRING)(lambda value, old, new: value.replace(old, new) if old else value)
_define("startsWith", STRING, STRING)(lambda value, start: value.lower().startswith(start.lower()))
_define("endsWith", STRING, STRING)(lambda value, end: value.lower().endswith(end.lower()))
_define("uniqueString", STRING, rest=STRING)(lambda *values: hashing.unique_string(list(values)))
_define("guid", STRING, rest=STRING)(lambda *values: hashing.guid(list(values)))
_define("uri", STRING, STRING)(urljoin)
_define("uriComponent", STRING)(lambda value: quote(value, safe="-_.~"))
_define("uriComponentToString", STRING)(unquote)
_define("base64", STRING)(lambda value: base64.b64encode(value.encode()).decode())
_define("padLeft", STRING | INT, INT, STRING, optional=1)(
    lambda value, width, fill=" ": text(value).rjust(width, fill[:1] or " ")
)
_define("join", ARRAY, STRING)(lambda values, between: between.join(map(text, values)))
_define("like", STRING, STRING)(
    lambda value, pattern: re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None
)


@_define("split", STRING, TEXT_OR_ARRAY)
def _split(value: str, by: str | list[str]) -> list[str]:
    delimiters = [delimiter for delimiter in ([by] if isinstance(by, str) else by) if delimiter]
    return re.split("|".join(map(re.escape, delimiters)), value) if delimiters else [value]


@_define("substring", STRING, INT, INT, optional=1)
def _substring(value: str, start: int, length: int | None = None) -> str:
    if length is None:
        length = len(value) - start
    if start < 0 or length < 0 or start + length > len(value):
        raise ExpressionError(
            "The template language function 'substring' parameters are not valid: index and length must refer to a "
            f"location within the string. The string's length is '{len(value)}', the index is '{start}' and the length "
            f"is '{length}'. Please see https://aka.ms/arm-functions#substring for usage details."
        )
    return value[start : start + length]


@_define("base64ToString", STRING)
def _base64_to_string(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ExpressionError(f"The value '{value}' is not a valid base64 string.") from None


@_define("json", STRING)
def _json(value: str) -> Any:
    if value.lower() in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[value.lower()]
    try:
        return json.loads(value)
    except ValueError as error:
        raise ExpressionError(
            f"The template language function 'json' parameter is not valid. The provided value '{value}' cannot be "
            f"parsed as JSON: '{error}'. Please see https://aka.ms/arm-functions#json for usage details."
        ) from None


_define("base64ToJson", STRING)(lambda value: _json(_base64_to_string(value)))
_define("dataUri", STRING)(
    lambda value: f"data:text/plain;charset=utf8;base64,{base64.b64encode(value.encode()).decode()}"
)


@_define("dataUriToString", STRING)
def _data_uri_to_string(value: str) -> str:
    head, comma, data = value.partition(",")
    if not comma or not head.lower().startswith("data:"):
        raise ExpressionError(f"The value '{value}' is not a valid data URI.")
    return str(_base64_to_string(data)) if head.lower().endswith(";base64") else unquote(data)


@_define("fail", STRING)
def _fail(message: str) -> Any:
    raise ExpressionError(message)


# -- arrays and objects ------------------------------------------------------------------------------------------------

_define("createArray", rest=ANY)(lambda *values: list(values))
_define("array", ANY)(lambda value: value if isinstance(value, list) else [value])
_define("length", COLLECTION)(len)
_define("empty", COLLECTION | NULL)(lambda value: not value)
_define("flatten", ARRAY)(lambda values: [item for inner in values for item in inner])
_define("objectKeys", OBJECT)(lambda value: sorted(value, key=_ordinal))
_define("items", OBJECT)(lambda value: [{"key": key, "value": value[key]} for key in sorted(value, key=_ordinal)])
_define("shallowMerge", ARRAY)(lambda values: _folded(_overlaid, values))


def _ordinal(name: str) -> tuple[str, str]:
    """Names sort without regard to case, and lower case before upper."""
    return name.lower(), name.swapcase()


def _folded(join: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]], values: Sequence[Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for value in values:
        result = join(result, value)
    return result


def _overlaid(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for key, value in over.items():
        result[member(result, key) or key] = value
    return result


@_define("createObject", rest=ANY)
def _create_object(*values: Any) -> dict[str, Any]:
    if len(values) % 2 or not all(isinstance(key, str) for key in values[::2]):
        raise ExpressionError(
            "The template language function 'createObject' expects an even number of parameters, alternating property "
            "name and value. Please see https://aka.ms/arm-functions#createobject for usage details."
        )
    return dict(zip(values[::2], values[1::2], strict=True))


@_define("first", TEXT_OR_ARRAY)
def _first(values: Any) -> Any:
    return values[0] if values else ("" if isinstance(values, str) else None)


@_define("last", TEXT_OR_ARRAY)
def _last(values: Any) -> Any:
    return values[-1] if values else ("" if isinstance(values, str) else None)


_define("skip", TEXT_OR_ARRAY, INT)(lambda values, count: values[max(0, count) :])
_define("take", TEXT_OR_ARRAY, INT)(lambda values, count: values[: max(0, count)])


@_define("contains", COLLECTION, ANY)
def _contains(container: Any, wanted: Any) -> bool:
    if isinstance(container, str):
        return text(wanted) in container
    if isinstance(container, dict):
        return isinstance(wanted, str) and member(container, wanted) is not None
    return any(equal(item, wanted) for item in container)


def equal(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    if kind_of(one) != kind_of(other):
        return {kind_of(one), kind_of(other)} <= NUMBER and bool(one == other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return bool(one == other)


@_define("indexOf", TEXT_OR_ARRAY, ANY)
def _index_of(values: Any, wanted: Any) -> int:
    if isinstance(values, str):
        return values.lower().find(text(wanted).lower())
    return next((index for index, value in enumerate(values) if equal(value, wanted)), -1)


@_define("lastIndexOf", TEXT_OR_ARRAY, ANY)
def _last_index_of(values: Any, wanted: Any) -> int:
    if isinstance(values, str):
        return values.lower().rfind(text(wanted).lower())
    return max((index for index, value in enumerate(values) if equal(value, wanted)), default=-1)


@_define("union", ARRAY | OBJECT, rest=ARRAY | OBJECT)
def _union(*values: Any) -> Any:
    _same_kind("union", values)
    if isinstance(values[0], dict):
        return _folded(_merged, values)
    result: list[Any] = []
    for value in (item for inner in values for item in inner):
        if not any(equal(value, known) for known in result):
            result.append(value)
    return result


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Objects in objects are merged as well; anything else is replaced."""
    result = dict(under)
    for key, value in over.items():
        known = member(result, key)
        if known is not None and isinstance(result[known], dict) and isinstance(value, dict):
            result[known] = _merged(result[known], value)
        else:
            result[known or key] = value
    return result


@_define("intersection", ARRAY | OBJECT, rest=ARRAY | OBJECT)
def _intersection(*values: Any) -> Any:
    _same_kind("intersection", values)
    first, *others = values
    if isinstance(first, dict):
        return {
            key: value
            for key, value in first.items()
            if all((known := member(other, key)) is not None and equal(other[known], value) for other in others)
        }
    found = [value for value in first if all(any(equal(value, item) for item in other) for other in others)]
    return _union(found)


def _same_kind(name: str, values: Sequence[Any]) -> None:
    if len({kind_of(value) for value in values}) > 1:
        raise ExpressionError(
            f"The template language function '{name}' expects parameters that are all arrays or all objects. Please "
            f"see https://aka.ms/arm-functions#{name} for usage details."
        )


@_define("tryGet", ANY, STRING | INT, rest=STRING | INT)
def _try_get(value: Any, *keys: Any) -> Any:
    for key in keys:
        try:
            value = reach(value, key) if value is not None else None
        except ExpressionError:
            return None
    return value


@_define("indexFromEnd", ARRAY, INT)
def _index_from_end(values: list[Any], index: int) -> Any:
    return reach(values, len(values) - index)


@_define("tryIndexFromEnd", ARRAY | NULL, INT)
def _try_index_from_end(values: list[Any] | None, index: int) -> Any:
    return None if values is None else _try_get(values, len(values) - index)


# -- lambdas -----------------------------------------------------------------------------------------------------------

_define("map", ARRAY, LAMBDA)(lambda values, each: [each(value, index) for index, value in enumerate(values)])
_define("filter", ARRAY, LAMBDA)(
    lambda values, keeps: [value for index, value in enumerate(values) if keeps(value, index) is True]
)
_define("mapValues", OBJECT, LAMBDA)(lambda value, each: {key: each(item) for key, item in value.items()})


@_define("sort", ARRAY, LAMBDA)
def _sort(values: list[Any], before: Lambda) -> list[Any]:
    def compare(one: Any, other: Any) -> int:
        return -1 if before(one, other) is True else (1 if before(other, one) is True else 0)

    return sorted(values, key=functools.cmp_to_key(compare))


@_define("reduce", ARRAY, ANY, LAMBDA)
def _reduce(values: list[Any], start: Any, join: Lambda) -> Any:
    for index, value in enumerate(values):
        start = join(start, value, index)
    return start


@_define("toObject", ARRAY, LAMBDA, LAMBDA, optional=1)
def _to_object(values: list[Any], key: Lambda, item: Lambda | None = None) -> dict[str, Any]:
    return {text(key(value)): item(value) if item is not None else value for value in values}


@_define("groupBy", ARRAY, LAMBDA, LAMBDA, optional=1)
def _group_by(values: list[Any], key: Lambda, item: Lambda | None = None) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for value in values:
        groups.setdefault(text(key(value)), []).append(item(value) if item is not None else value)
    return groups


# -- numbers and logic -------------------------------------------------------------------------------------------------


def _whole(value: int) -> int:
    if not _INT_MIN <= value <= _INT_MAX:
        raise ExpressionError(f"The result '{value}' does not fit into 64 bits.")
    return value


_define("add", INT, INT)(lambda one, other: _whole(one + other))
_define("sub", INT, INT)(lambda one, other: _whole(one - other))
_define("mul", INT, INT)(lambda one, other: _whole(one * other))
_define("float", STRING | NUMBER)(float)
_define("true")(lambda: True)
_define("false")(lambda: False)
_define("null")(lambda: None)
_define("not", BOOL)(lambda value: not value)
_define("equals", ANY, ANY)(equal)
_define("less", STRING | NUMBER, STRING | NUMBER)(lambda one, other: _order("less", one, other) < 0)
_define("lessOrEquals", STRING | NUMBER, STRING | NUMBER)(lambda one, other: _order("lessOrEquals", one, other) <= 0)
_define("greater", STRING | NUMBER, STRING | NUMBER)(lambda one, other: _order("greater", one, other) > 0)
_define("greaterOrEquals", STRING | NUMBER, STRING | NUMBER)(
    lambda one, other: _order("greaterOrEquals", one, other) >= 0
)


def _order(name: str, one: Any, other: Any) -> int:
    if isinstance(one, str) != isinstance(other, str):
        raise ExpressionError(
            f"The template language function '{name}' expects two parameters of the same type: integers or strings. "
            f"Please see https://aka.ms/arm-functions#{name.lower()} for usage details."
        )
    return int(one > other) - int(one < other)


@_define("div", INT, INT)
def _div(one: int, other: int) -> int:
    if other == 0:
        raise ExpressionError("The template language function 'div' cannot divide by zero.")
    return _whole(abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1))


@_define("mod", INT, INT)
def _mod(one: int, other: int) -> int:
    if other == 0:
        raise ExpressionError("The template language function 'mod' cannot divide by zero.")
    return int(math.copysign(abs(one) % abs(other), one))


@_define("int", STRING | NUMBER)
def _int(value: str | float) -> int:
    try:
        return _whole(int(value))
    except (ValueError, OverflowError):
        raise ExpressionError(
            f"The template language function 'int' cannot convert the provided value '{value}' to an integer. Please "
            "see https://aka.ms/arm-functions#int for usage details."
        ) from None


@_define("bool", STRING | INT | BOOL)
def _bool(value: str | int) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str):
        if value.lower() not in words:
            raise ExpressionError(
                f"The template language function 'bool' cannot convert the provided value '{value}' to a boolean. "
                "Please see https://aka.ms/arm-functions#bool for usage details."
            )
        return words[value.lower()]
    return bool(value)


@_define("min", INT | ARRAY, rest=INT)
def _min(*values: Any) -> int:
    return min(_integers("min", values))


@_define("max", INT | ARRAY, rest=INT)
def _max(*values: Any) -> int:
    return max(_integers("max", values))


def _integers(name: str, values: Sequence[Any]) -> list[int]:
    numbers = list(values[0]) if len(values) == 1 and isinstance(values[0], list) else list(values)
    if not numbers or any(kind_of(number) != "Integer" for number in numbers):
        raise ExpressionError(
            f"The template language function '{name}' expects integers, or one array of integers that is not empty. "
            f"Please see https://aka.ms/arm-functions#{name} for usage details."
        )
    return numbers


@_define("range", INT, INT)
def _range(start: int, count: int) -> list[int]:
    if not 0 <= count <= _LONGEST_RANGE or start + count > 2**31 - 1:
        raise ExpressionError(
            "The template language function 'range' expects its second parameter to be between '0' and "
            f"'{_LONGEST_RANGE}', and the sum of both to be at most '2147483647'. Please see "
            "https://aka.ms/arm-functions#range for usage details."
        )
    return list(range(start, start + count))


# -- dates -------------------------------------------------------------------------------------------------------------


@_define("dateTimeAdd", STRING, STRING, STRING, optional=1)
def _date_time_add(base: str, duration: str, shape: str = dates.ISO) -> str:
    return dates.write(dates.add(dates.parse(base), duration), shape)


@_define("dateTimeFromEpoch", INT)
def _date_time_from_epoch(seconds: int) -> str:
    try:
        return dates.write(datetime.fromtimestamp(seconds, UTC), dates.ISO)
    except (ValueError, OverflowError, OSError):
        raise ExpressionError(f"The number of seconds '{seconds}' is out of range.") from None


_define("dateTimeToEpoch", STRING)(lambda value: int(dates.parse(value).timestamp()))


# -- CIDR --------------------------------------------------------------------------------------------------------------

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(value: str) -> _Network:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ExpressionError(f"The value '{value}' is not a valid network in CIDR notation.") from None


@_define("parseCidr", STRING)
def _parse_cidr(value: str) -> dict[str, Any]:
    network = _network(value)
    first, last = network.network_address, network.broadcast_address
    shown: dict[str, Any] = {"network": str(first), "netmask": str(network.netmask)}
    narrow = network.prefixlen > network.max_prefixlen - 2
    if network.version == 4:  # noqa: PLR2004
        shown["broadcast"] = str(last)
        first, last = (first, last) if narrow else (first + 1, last - 1)
    return {**shown, "firstUsable": str(first), "lastUsable": str(last), "cidr": network.prefixlen}


@_define("cidrSubnet", STRING, INT, INT)
def _cidr_subnet(value: str, prefix: int, index: int) -> str:
    network = _network(value)
    if not network.prefixlen <= prefix <= network.max_prefixlen:
        raise ExpressionError(
            f"The new CIDR '{prefix}' must be between '{network.prefixlen}' and '{network.max_prefixlen}'."
        )
    if not 0 <= index < 2 ** (prefix - network.prefixlen):
        raise ExpressionError(f"The subnet index '{index}' is out of range for '{value}' with the new CIDR '{prefix}'.")
    address = network.network_address + index * 2 ** (network.max_prefixlen - prefix)
    return f"{address}/{prefix}"


@_define("cidrHost", STRING, INT)
def _cidr_host(value: str, index: int) -> str:
    network = _network(value)
    usable = network.version == 4 and network.prefixlen <= network.max_prefixlen - 2  # noqa: PLR2004
    count = network.num_addresses - (2 if usable else 0)
    if not 0 <= index < count:
        raise ExpressionError(f"The host index '{index}' is out of range for '{value}'.")
    return str(network.network_address + index + (1 if usable else 0))
