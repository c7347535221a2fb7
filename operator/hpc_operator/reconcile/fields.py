"""What has to change: the owned part of a body against what Azure shows. Pure functions.

Only fields that we own are compared; equal means no write. What others add beside them, also as items of lists, is left
alone. A field that is owned as None must not be there. Knows no resource type by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from hpc_operator.arm import TypeInfo
from hpc_operator.graph import OWN_NAME_PREFIX, Json

READ_ONLY = frozenset({"id", "name", "type", "etag", "systemData"})
"""Top-level fields that ARM sets and that are not sent back (Resource Provider Contract v1.0, common API details)."""

ABSENT = object()
Path = tuple[str, ...]


@dataclass(frozen=True)
class FieldChange:
    """One owned field that differs.

    Parameters
    ----------
    path
        Keys into the body.
    before
        What Azure shows; None where there is nothing.
    after
        What it should be.
    """

    path: tuple[str, ...]
    before: Json
    after: Json


def differences(owned: Mapping[str, Any], actual: Mapping[str, Any], info: TypeInfo) -> list[FieldChange]:
    """Return the owned fields that differ from what Azure shows.

    Parameters
    ----------
    owned
        The resolved body that we own.
    actual
        The body that Azure returned.
    info
        The row of the type: its create-only fields are not compared.
    """
    skip = frozenset(tuple(path.split(".")) for path in info.create_only)
    return list(_differences(owned, actual, (), skip))


def _differences(owned: Json, actual: Json, path: Path, skip: frozenset[Path]) -> Iterator[FieldChange]:
    if path in skip:
        return
    if isinstance(owned, dict):
        found = actual if isinstance(actual, dict) else {}
        for key, value in owned.items():
            yield from _differences(value, _member(found, key), (*path, key), skip)
    elif isinstance(owned, list | tuple):
        if not _same_list(owned, actual if isinstance(actual, list) else [], path, skip):
            yield FieldChange(path, None if actual is ABSENT else actual, owned)
    elif not _same_scalar(owned, None if actual is ABSENT else actual, path):
        yield FieldChange(path, None if actual is ABSENT else actual, owned)


def _member(found: Mapping[str, Any], key: str) -> Json:
    """Return a member; ARM ids as keys (as in `userAssignedIdentities`) match without regard to case."""
    if key in found:
        return found[key]
    if key.startswith("/"):
        return next((value for name, value in found.items() if name.lower() == key.lower()), ABSENT)
    return ABSENT


def _same_list(owned: Sequence[Json], actual: Sequence[Json], path: Path, skip: frozenset[Path]) -> bool:
    key = _key_of(owned or actual)
    if key is not None and (not actual or _key_of(actual) == key):
        # The key has matched already, without regard to case as ARM compares names.
        there, wanted = _by(key, actual), _by(key, owned)
        if wanted.keys() - there.keys() or any(_is_ours(name) for name in there.keys() - wanted.keys()):
            return False
        pairs = [({**item, key: there[name][key]}, there[name]) for name, item in wanted.items()]
    elif len(owned) != len(actual):
        return False
    elif all(isinstance(item, str | int | float) for item in [*owned, *actual]):
        return sorted(str(item).lower() for item in owned) == sorted(str(item).lower() for item in actual)
    else:
        pairs = list(zip(owned, actual, strict=True))
    return not any(change for one, other in pairs for change in _differences(one, other, path, skip))


_KEYS = ("name", "service", "id")
"""What tells the items of a list apart: rules and IP configurations, service endpoints, references."""


def _key_of(items: Sequence[Json]) -> str | None:
    """Return the member that tells the items of a list apart; None where there is none."""
    for key in _KEYS:
        if items and all(isinstance(item, dict) and isinstance(item.get(key), str) for item in items):
            return key
    return None


def _by(key: str, items: Sequence[Json]) -> dict[str, Json]:
    return {item[key].lower(): item for item in items}


def _is_ours(name: str) -> bool:
    return name.startswith(OWN_NAME_PREFIX)


def _same_scalar(owned: Json, actual: Json, path: Path) -> bool:
    if isinstance(owned, str) and isinstance(actual, str):
        if path == ("location",):
            # Azure takes and returns both `westeurope` and `West Europe`.
            return owned.replace(" ", "").lower() == actual.replace(" ", "").lower()
        if path == ("identity", "type"):
            # One may have others beside: policies add a system-assigned identity for agents.
            return _words(owned) <= _words(actual)
        if owned.startswith("/subscriptions/"):
            return owned.lower() == actual.lower()
    if isinstance(owned, bool) or isinstance(actual, bool):
        return owned is actual
    return bool(owned == actual)


def _words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


def itemized(change: FieldChange) -> Iterator[FieldChange]:
    """Yield a change of a list as those of its items, where something tells them apart, else the change itself."""
    before, after = change.before, change.after
    key = _key_of(after) if isinstance(after, list | tuple) and isinstance(before, list) else None
    if key is None or not before or _key_of(before) != key:
        yield change
        return
    there, wanted = _by(key, before), _by(key, after)
    for name in sorted(there.keys() | wanted.keys()):
        path = (*change.path[:-1], f"{change.path[-1]}[{name}]")
        if name not in wanted:
            if _is_ours(name):
                yield FieldChange(path, there[name], None)
        elif name not in there:
            yield FieldChange(path, None, wanted[name])
        else:
            same_name = {**wanted[name], key: there[name][key]}
            yield from _differences(same_name, there[name], path, frozenset())


_HASH_LENGTH = 8
"""Hexadecimal digits for each field: among the dozen fields of a resource two are never taken for one another."""


def field_hashes(owned: Json) -> str:
    """Return the hashes of the fields of a body, one after the other; what must not be there has none."""
    return "".join(sorted(_field_hash(path, value) for path, value in _fields(owned, ())))


def has_field(hashes: str, change: FieldChange) -> bool:
    """Return whether the wanted value of a field is among `field_hashes`."""
    known = (hashes[start : start + _HASH_LENGTH] for start in range(0, len(hashes), _HASH_LENGTH))
    return _field_hash(change.path, change.after) in known


def _fields(owned: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    """Yield what `differences` compares one by one."""
    if isinstance(owned, Mapping) and owned:
        for key, value in owned.items():
            yield from _fields(value, (*path, key))
    elif owned is not None:
        yield path, owned


def _field_hash(path: Path, value: Json) -> str:
    text = orjson.dumps([path, value], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=_HASH_LENGTH // 2).hexdigest()


def update_body(
    owned: Mapping[str, Any], actual: Mapping[str, Any], changes: Sequence[FieldChange], info: TypeInfo
) -> Json:
    """Return the body of the request that brings about `changes`.

    A PUT replaces everything, so it starts from what Azure shows and keeps what others set. A PATCH merges, so it holds
    the changed fields alone; but tags are replaced as a whole (Resource Provider Contract), so all are sent.
    """
    if info.update == "PUT":
        kept = {key: value for key, value in actual.items() if key not in READ_ONLY}
        return overlay(kept, without(owned, (tuple(path.split(".")) for path in info.create_only)))
    body: dict[str, Any] = {}
    for change in changes:
        if change.path[0] == "tags":
            body["tags"] = overlay(actual.get("tags") or {}, owned["tags"])
            continue
        target = body
        for key in change.path[:-1]:
            target = target.setdefault(key, {})
        target[change.path[-1]] = change.after
    return body


def overlay(base: Json, top: Json) -> Json:
    """Return `base` with `top` laid over it.

    Mappings merge, and lose what is None; lists merge by the key of their items, where those of ours that are not
    wanted any more go and others' stay; the rest replaces.
    """
    if isinstance(top, Mapping):
        merged = {**base} if isinstance(base, Mapping) else {}
        for key, value in top.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = overlay(merged.get(key), value)
        return merged
    if isinstance(top, Sequence) and not isinstance(top, str):
        key = _key_of(top or base or ())
        if key is None or not isinstance(base, list) or _key_of(base) != key:
            return [overlay(None, item) for item in top]
        there, wanted = _by(key, base), _by(key, top)
        others = [item for name, item in there.items() if name not in wanted and not _is_ours(name)]
        return [*(overlay(there.get(name), item) for name, item in wanted.items()), *others]
    return top


def shrinks(owned: Mapping[str, Any], actual: Mapping[str, Any], info: TypeInfo) -> list[FieldChange]:
    """Return the fields that may only grow and are smaller in `owned` than Azure shows."""
    changes = differences(owned, actual, info)
    limited = frozenset(tuple(path.split(".")) for path in info.grow_only)
    return [change for change in changes if change.path in limited and change.after < (change.before or 0)]


def replaces(changes: Sequence[FieldChange], info: TypeInfo) -> bool:
    """Return whether one of the changes is beyond what Azure can do to a resource that exists."""
    return any(change.path == tuple(path.split(".")) for path in info.replace_on for change in changes)


def without(owned: Mapping[str, Any], paths: Iterable[Path]) -> Mapping[str, Any]:
    """Return a body without the fields at these paths."""
    result: Json = owned
    for path in paths:
        result = _drop(result, path)
    return result  # type: ignore[no-any-return]


def _drop(value: Json, path: Path) -> Json:
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    if len(path) == 1:
        return {key: item for key, item in value.items() if key != path[0]}
    return {**value, path[0]: _drop(value[path[0]], path[1:])}
