"""What a deployment would change: each resource of the template against what is there now.

Reads, and lets the engine say what a write would leave; writes nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator.arm_path import parse
from azure_emulator.errors import ArmError
from azure_emulator.providers.deployments.functions import equal
from azure_emulator.providers.deployments.language import ExpressionError, NotYetKnownError, is_expression, member
from azure_emulator.providers.deployments.preparation import Request, nested, without_trace
from azure_emulator.providers.deployments.run import Asking, left_over
from azure_emulator.providers.deployments.template import Item

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import Change as Write

Change = dict[str, Any]


def changes(request: Request, *, ids_only: bool) -> list[Change]:
    """All changes, those of nested templates included."""
    with without_trace(request.engine):
        found = list(_changes(request, ids_only=ids_only))
    if request.at_group:
        found.extend(_others(request, {change["resourceId"].lower() for change in found}, ids_only=ids_only))
    return found


def _changes(request: Request, *, ids_only: bool) -> Iterator[Change]:
    asking = Asking(request.engine, request.principal)
    for item in request.template.items:
        if not item.deployed:
            continue
        if item.is_deployment:
            yield from _nested(request, item, ids_only=ids_only)
        else:
            yield _change(request, item, _body(request, item, asking), ids_only=ids_only)


def _nested(request: Request, item: Item, *, ids_only: bool) -> Iterator[Change]:
    try:
        inner = nested(request, item, request.template.body(item, request.template.scope))
    except ExpressionError:
        yield {
            "resourceId": item.id,
            **({"symbolicName": item.symbol} if item.symbol is not None else {}),
            "changeType": "Unsupported",
            "unsupportedReason": (
                f"Changes to the resource declared at '{item.source.text}' on line 1 and column {item.source.column} "
                "cannot be analyzed because its parameters cannot be calculated until the deployment is under way. "
                "Please see https://aka.ms/WhatIfEvalStopped for more information."
            ),
        }
        return
    yield from _changes(inner, ids_only=ids_only)


def _body(request: Request, item: Item, asking: Asking) -> dict[str, Any]:
    """The body as far as it is known: an expression that must wait for the deployment stays as it is written."""
    template = request.template
    scope = template.with_runtime(asking)

    def known(raw: Any) -> Any:
        if isinstance(raw, list):
            return [known(value) for value in raw]
        if isinstance(raw, dict) and "copy" not in raw:
            return {key: known(value) for key, value in raw.items()}
        try:
            return scope.value(raw, item.copies)
        except (NotYetKnownError, ArmError):
            return raw
        except ExpressionError:
            return raw

    try:
        return template.body(item, scope)
    except (ExpressionError, ArmError):
        plain = {name: value for name, value in item.raw.items() if name in _SENT}
        return {name: known(value) for name, value in plain.items()}


_SENT = ("location", "tags", "sku", "kind", "identity", "zones", "plan", "properties", "managedBy", "extendedLocation")


def _change(request: Request, item: Item, body: dict[str, Any], *, ids_only: bool) -> Change:
    engine = request.engine
    existing = engine.find(item.id)
    change: Change = {"resourceId": existing.id if existing is not None else item.id}
    if item.symbol is not None:
        change["symbolicName"] = item.symbol
    if ids_only:
        return {**change, "changeType": "Create" if existing is None else "Deploy"}
    own = {"id": item.id, "type": item.type, "name": item.name.rsplit("/", 1)[-1], "apiVersion": item.api_version}
    if existing is None:
        return {**change, "changeType": "Create", "before": None, "after": {**own, **body}}
    before = _comparable(engine.view(existing), item)
    after = _comparable(_predicted(engine, item, body, existing), item)
    delta = _differences(before, after)
    kind = "Modify" if delta else "NoChange"
    return {**change, "changeType": kind, "before": before, "after": after, "delta": delta}


def _comparable(shown: Mapping[str, Any], item: Item) -> dict[str, Any]:
    """A resource without what changes by itself."""
    kept = {key: copy.deepcopy(value) for key, value in shown.items() if key.lower() not in ("etag", "systemdata")}
    if isinstance(kept.get("properties"), dict):
        kept["properties"].pop("provisioningState", None)
    _drop_marks(kept)
    return {**kept, "apiVersion": item.api_version}


def _drop_marks(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _drop_marks(item)
    elif isinstance(value, dict):
        value.pop("etag", None)
        if isinstance(value.get("properties"), dict):
            value["properties"].pop("provisioningState", None)
        for item in value.values():
            _drop_marks(item)


def _predicted(engine: Engine, item: Item, body: dict[str, Any], existing: Resource) -> dict[str, Any]:
    """The resource as it would be shown after the write."""
    kind = engine.types[item.type.lower()]
    shown = engine.view(existing)
    try:
        sent = engine.shapes.conform("PUT", item.type, copy.deepcopy(body))
        change = engine.change(kind, parse(existing.id), "PUT", sent, existing, {}, item.api_version)
    except ArmError:
        # It would be refused, perhaps for something that is still to come: what is asked for is the best guess.
        sent = body.get("properties")
        properties = {**(shown.get("properties") or {}), **(sent if isinstance(sent, dict) else {})}
        return {**shown, **body, "properties": properties}
    after = _with_view(shown, existing, {"id": existing.id, "type": kind.name, "name": existing.name, **change.body})
    for name, child_type in kind.embedded.items():
        after["properties"][name] = _children(engine, shown["properties"].get(name, []), change, child_type)
    return after


def _with_view(shown: Mapping[str, Any], stored: Resource, body: dict[str, Any]) -> dict[str, Any]:
    """A body and what a view adds to it, which a write does not change."""
    after = {**body, "properties": dict(body.get("properties") or {})}
    for key, value in shown.items():
        if key not in after and key not in stored.body:
            after[key] = value
    for key, value in (shown.get("properties") or {}).items():
        if key not in after["properties"] and key not in (stored.body.get("properties") or {}):
            after["properties"][key] = value
    return after


def _children(engine: Engine, shown: list[dict[str, Any]], change: Write, child_type: str) -> list[dict[str, Any]]:
    """What a parent lists after the write: its own list, or what is there if it has none."""
    listed = [child for child in change.children if child.type.name.lower() == child_type.lower()]
    if not listed and not change.omitted:
        return shown
    known = {str(one["id"]).lower(): one for one in shown}
    found = []
    for child in listed:
        body = {"id": child.id, "name": child.path.name, "type": child.type.name, **child.body}
        stored = engine.store.get(child.id)
        found.append(_with_view(known[child.path.key], stored, body) if stored is not None else body)
    return found


def _differences(before: Any, after: Any, path: str = "") -> list[Change]:
    """Property changes between two objects."""
    found: list[Change] = []
    for key in before:
        where = f"{path}.{key}" if path else key
        other = member(after, key)
        if other is None or after[other] is None:
            if before[key] not in (None, [], {}):
                found.append({"path": where, "propertyChangeType": "Delete", "before": before[key], "after": None})
        else:
            found.extend(_difference(before[key], after[other], where))
    for key in after:
        if member(before, key) is None and after[key] is not None:
            where = f"{path}.{key}" if path else key
            found.append({"path": where, "propertyChangeType": "Create", "before": None, "after": after[key]})
    return found


def _difference(before: Any, after: Any, path: str) -> list[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        return _differences(before, after, path)
    if isinstance(before, list) and isinstance(after, list):
        children = list(_items(before, after))
        if not children:
            return []
        return [{"path": path, "propertyChangeType": "Array", "before": before, "after": after, "children": children}]
    if equal(before, after) or is_expression(after):
        return []  # what is not known yet is not told as a change
    return [{"path": path, "propertyChangeType": "Modify", "before": before, "after": after}]


def _items(before: list[Any], after: list[Any]) -> Iterator[Change]:
    """Changes in an array; objects with names are compared by name, other items by place."""
    named = all(isinstance(one, dict) and "name" in one for one in (*before, *after))
    if named:
        new = {str(one["name"]).lower(): one for one in after}
        for index, one in enumerate(before):
            other = new.pop(str(one["name"]).lower(), None)
            yield from _item(index, one, other)
        for one in new.values():
            yield {"path": str(after.index(one)), "propertyChangeType": "Create", "before": None, "after": one}
        return
    for index in range(max(len(before), len(after))):
        if index >= len(before):
            yield {"path": str(index), "propertyChangeType": "Create", "before": None, "after": after[index]}
        else:
            yield from _item(index, before[index], after[index] if index < len(after) else None)


def _item(index: int, before: Any, after: Any) -> Iterator[Change]:
    if after is None:
        yield {"path": str(index), "propertyChangeType": "Delete", "before": before, "after": None}
        return
    inner = _difference(before, after, "")
    if not inner:
        return
    if isinstance(before, dict):
        yield {
            "path": str(index), "propertyChangeType": "Modify", "before": None, "after": None,
            "children": inner,
        }  # fmt: skip
    else:
        yield {"path": str(index), "propertyChangeType": "Modify", "before": before, "after": after}


def _others(request: Request, told: set[str], *, ids_only: bool) -> Iterator[Change]:
    """What is in the group and not in the template: ignored, or deleted in complete mode."""
    kept = {item.id.lower() for item in request.template.items if item.condition} | told
    kind = "Delete" if request.mode == "Complete" else "Ignore"
    for resource in left_over(request.engine, request.scope, kept):
        change: Change = {"resourceId": resource.id, "changeType": kind}
        if not ids_only:
            change |= {"before": request.engine.view(resource), "after": None}
        yield change
