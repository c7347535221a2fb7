"""How ARM hashes: the functions uniqueString and guid, and the hash of a template.

uniqueString gives Azure's own values (checked against the published results of its engine); so does guid, whose
namespace is documented. Which normal form of a template ARM hashes is not known: ours is its JSON without whitespace,
so that equal templates have equal hashes, but not Azure's.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

_GUID_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_MASK = 0xFFFFFFFF
_FIRST, _SECOND = 0x239B961B, 0xAB0E9789
_LENGTH = 13


def unique_string(values: list[str]) -> str:
    """13 letters and digits that depend on all values."""
    number = _murmur("-".join(values).encode())
    return "".join(_ALPHABET[number << 5 * place >> 59 & 31] for place in range(_LENGTH))


def guid(values: list[str]) -> str:
    """A GUID that depends on all values (RFC 4122, version 5)."""
    return str(uuid.uuid5(_GUID_NAMESPACE, "-".join(values)))


def template_hash(template: Any) -> str:
    """A decimal number that depends on the template."""
    return str(_murmur(minified(template).encode()))


def minified(template: Any) -> str:
    """A template as JSON without whitespace."""
    return json.dumps(template, separators=(",", ":"), ensure_ascii=False)


def _murmur(data: bytes) -> int:
    """A 64-bit hash after MurmurHash 3's 128-bit one for 32-bit machines, with two of its four lanes."""
    one = two = 0
    whole = len(data) - len(data) % 8
    for start in range(0, whole, 8):
        one ^= _mix(data[start : start + 4], _FIRST, 15, _SECOND)
        one = ((_rotate(one, 19) + two) * 5 + 0x561CCD1B) & _MASK
        two ^= _mix(data[start + 4 : start + 8], _SECOND, 17, _FIRST)
        two = ((_rotate(two, 13) + one) * 5 + 0x0BCAA747) & _MASK
    rest = data[whole:]
    if rest:
        one ^= _mix(rest[:4], _FIRST, 15, _SECOND)
    if rest[4:]:
        two ^= _mix(rest[4:], _SECOND, 17, _FIRST)
    one, two = _cross(one ^ len(data), two ^ len(data))
    one, two = _cross(_avalanche(one), _avalanche(two))
    return two << 32 | one


def _mix(block: bytes, before: int, turn: int, after: int) -> int:
    value = int.from_bytes(block, "little") * before & _MASK
    return _rotate(value, turn) * after & _MASK


def _cross(one: int, two: int) -> tuple[int, int]:
    one = (one + two) & _MASK
    return one, (two + one) & _MASK


def _avalanche(value: int) -> int:
    value = (value ^ value >> 16) * 0x85EBCA6B & _MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & _MASK
    return value ^ value >> 16


def _rotate(value: int, places: int) -> int:
    return (value << places | value >> 32 - places) & _MASK
