"""What we ask of a schema before any API server sees it: structural, bounded, described, and refusals that help.

Knows no pydantic and no kind. The API server has the last word, in tests/cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hpc_operator.api.schema import RULES_KEY
from hpc_operator.crds.structural import INT_OR_STRING, Schema

_KNOWN = {
    *("type", "format", "description", "default", "enum", "required", "properties", "items", "additionalProperties"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", INT_OR_STRING, RULES_KEY),
}
_FORMATS = {"date-time", "int32", "int64"}
_CEL_WORDS = {
    *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"),
    *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
}
_LONGEST_MESSAGE = 2048  # the API server's limit


def lint(schema: Schema, path: str) -> list[str]:
    """Return what is wrong with a schema, one sentence for each place; an empty list when nothing is."""
    return [f"{place}: {problem}" for place, problem in _node(schema, path)]


def _node(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for key in sorted(schema.keys() - _KNOWN):
        yield path, f"{key} may not stand in a schema here"
    kind = schema.get("type")
    if kind is None and not schema.get(INT_OR_STRING):
        yield path, "has no type"
    if schema.get(INT_OR_STRING) and "maxLength" not in schema:
        yield path, "needs maxLength, because the cost of rules is estimated from it"
    if "default" in schema and schema["default"] is None:
        yield path, "may not default to null"
    check = {"string": _string, "array": _array, "object": _object, "integer": _integer, "number": _number}.get(
        str(kind)
    )
    if check is not None:
        yield from check(schema, path)
    yield from _rules(schema, path)


def _string(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    if "format" in schema and schema["format"] not in _FORMATS:
        yield path, f"format {schema['format']} is none of Kubernetes'"
    if not schema.keys() & {"maxLength", "enum", "format"}:
        yield path, "needs maxLength"


def _integer(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    if "enum" not in schema and "minimum" not in schema:
        yield path, "needs a minimum"
    if "enum" not in schema and "maximum" not in schema and path.startswith("spec"):
        yield path, "needs a maximum"


def _number(_schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    yield path, "may not be a number with a fraction; write an integer in a smaller unit, or a quantity as a string"


def _array(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    items: Schema | None = schema.get("items")
    if "maxItems" not in schema:
        yield path, "needs maxItems"
    if items is None:
        yield path, "needs items"
        return
    list_type = schema.get("x-kubernetes-list-type")
    if list_type not in {"atomic", "set", "map"}:
        yield path, "needs x-kubernetes-list-type: atomic, set or map"
    if list_type == "map":
        keys = schema.get("x-kubernetes-list-map-keys", [])
        if not keys:
            yield path, "needs x-kubernetes-list-map-keys"
        for key in keys:
            if key not in items.get("required", ()) and "default" not in items.get("properties", {}).get(key, {}):
                yield path, f"the list map key {key} must be required or have a default"
    yield from _node(items, f"{path}[]")


def _object(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    properties: dict[str, Schema] = schema.get("properties", {})
    values = schema.get("additionalProperties")
    if bool(properties) == isinstance(values, dict):
        yield path, "needs either properties or a schema as additionalProperties"
    if isinstance(values, dict):
        if "maxProperties" not in schema:
            yield path, "needs maxProperties"
        yield from _node(values, f"{path}{{}}")
    for name, child in properties.items():
        place = f"{path}.{name}"
        if not re.fullmatch("[a-z][A-Za-z0-9]*", name) or name in _CEL_WORDS:
            yield place, "must have a name in camelCase that is no word of CEL"
        if not child.get("description"):
            yield place, "needs a description"
        if name not in schema.get("required", ()) and "default" not in child and _never_changes(child):
            rules = " ".join(rule["rule"] for rule in schema.get(RULES_KEY, ()))
            if f"has(oldSelf.{name})" not in rules:
                yield place, f"could be left out and come back changed: {path} needs a rule with has(oldSelf.{name})"
        yield from _node(child, place)


def _never_changes(schema: Schema) -> bool:
    """Tell whether a node or something below it may not change."""
    if any(rule["rule"] == "self == oldSelf" for rule in schema.get(RULES_KEY, ())):
        return True
    return any(map(_never_changes, schema.get("properties", {}).values()))


def _rules(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get(RULES_KEY, ()):
        message = rule.get("message", "")
        if ": " not in message:
            yield path, f"a refusal must say what to write instead, after a colon: {message!r}"
        if "\n" in message or len(message) > _LONGEST_MESSAGE:
            yield path, f"a refusal must be one line of at most {_LONGEST_MESSAGE} characters: {message!r}"
        field = rule.get("fieldPath", "").removeprefix(".")
        if field and field not in schema.get("properties", {}):
            yield path, f"a rule names the field {field}, which is not there"
