"""From a pydantic model to a structural schema, the subset of JSON schema that a CRD may hold.

Also adds the rules that keep blocked fields as they are. Knows no kind and no YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from hpc_operator.api.schema import CHECKS_KEY, RULES_KEY, UPDATE_KEY, Rule, Update

Schema = dict[str, Any]
INT_OR_STRING = "x-kubernetes-int-or-string"

# One order for every node, so that the files change only where the models do.
_ORDER = (
    "description",
    "type",
    INT_OR_STRING,
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "required",
    "properties",
    "minProperties",
    "maxProperties",
    "additionalProperties",
    "minItems",
    "maxItems",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "items",
    RULES_KEY,
    UPDATE_KEY,
)
_RULE_ORDER = ("rule", "message", "fieldPath")
# Keys of pydantic's that have another form here, or none.
_REPLACED = {"title", "const", "properties", "items", "additionalProperties", CHECKS_KEY, RULES_KEY}
_TYPE_NAMES = {str: "string", int: "integer", bool: "boolean"}


class SchemaError(Exception):
    """A model that no CRD can be made from; the message names the place and what to write instead."""


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model; update classes still stand in it under `UPDATE_KEY`.

    Raises
    ------
    SchemaError
        If the model says something that a structural schema has no word for.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    schema = _Inliner(document.pop("$defs", {})).node(document, model.__name__, ())
    _keep_blocked(schema)
    return schema


def published(schema: Schema) -> Schema:
    """Return a copy of a structural schema without what is only for us."""
    return {
        key: published(value)
        if key in {"items", "additionalProperties"}
        else {name: published(child) for name, child in value.items()}
        if key == "properties"
        else value
        for key, value in schema.items()
        if key != UPDATE_KEY
    }


def without_defaults(schema: Schema) -> Schema:
    """Return a copy without defaults: in a status they would add fields that no manager has applied."""
    copy = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in copy:
        copy["properties"] = {name: without_defaults(child) for name, child in copy["properties"].items()}
    if "items" in copy:
        copy["items"] = without_defaults(copy["items"])
    return copy


class _Inliner:
    """Turns nodes of one JSON schema document into structural ones."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def node(self, schema: Schema, path: str, open_references: tuple[str, ...]) -> Schema:
        """Return the structural form of one node and of everything below it."""
        schema, open_references = self._resolve(schema, path, open_references)
        result = _translated(schema, path)
        if "properties" in schema:
            result["properties"] = {
                name: self.node(child, f"{path}.{name}", open_references)
                for name, child in schema["properties"].items()
            }
            if "default" in result:
                # Spelled out, because the API server evaluates the rules on a default before it fills in what is below.
                below = {name: child["default"] for name, child in result["properties"].items() if "default" in child}
                result["default"] = below | result["default"]
        if "items" in schema:
            result["items"] = self.node(schema["items"], f"{path}[]", open_references)
        if isinstance(schema.get("additionalProperties"), dict):
            result["additionalProperties"] = self.node(schema["additionalProperties"], f"{path}{{}}", open_references)
        return {key: result[key] for key in sorted(result, key=_position)}

    def _resolve(self, schema: Schema, path: str, open_references: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Replace `$ref` and unions by what they stand for; what is written beside them wins."""
        while True:
            if "$ref" in schema:
                name = schema["$ref"].rpartition("/")[2]
                if name in open_references:
                    raise SchemaError(f"{path}: {name} contains itself, and a CRD cannot; write another model")
                open_references = (*open_references, name)
                schema = _merged(self._definitions[name], {k: v for k, v in schema.items() if k != "$ref"})
            elif "anyOf" in schema or "oneOf" in schema:
                schema = _without_union(schema, path)
            else:
                return schema, open_references


def _translated(schema: Schema, path: str) -> Schema:
    """Return what one node says about itself, in the words of a structural schema."""
    result = {key: value for key, value in schema.items() if key not in _REPLACED}
    if rules := [*schema.get(CHECKS_KEY, []), *schema.get(RULES_KEY, [])]:
        result[RULES_KEY] = [{key: rule[key] for key in _RULE_ORDER if key in rule} for rule in rules]
    if "const" in schema:
        result["enum"] = [schema["const"]]
    if "enum" in result and "type" not in result:
        result["type"] = _TYPE_NAMES[type(result["enum"][0])]
    if result.get("default", ...) is None:
        del result["default"]
    if result.pop("uniqueItems", False):
        result["x-kubernetes-list-type"] = "set"
    for bound, inclusive, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        if bound in result and result.get("type") == "integer":
            result[inclusive] = result.pop(bound) + step
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if "prefixItems" in result:
        raise SchemaError(f"{path}: a tuple of fixed length has no structural schema; write tuple[X, ...]")
    return result


def _without_union(schema: Schema, path: str) -> Schema:
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf", "discriminator"}}
    arms = [arm for arm in schema.get("anyOf") or schema["oneOf"] if arm.get("type") != "null"]
    if schema.get(INT_OR_STRING) and {arm.get("type") for arm in arms} == {"integer", "string"}:
        return rest
    if len(arms) != 1:
        raise SchemaError(
            f"{path}: a union has no structural schema; write one optional field for each case and a rule "
            f"that exactly one is there, or mark int | str with {INT_OR_STRING}"
        )
    # An absent field is left out and not null: null would break merge patches and server-side apply.
    return _merged(arms[0], {key: value for key, value in rest.items() if not (key == "default" and value is None)})


def _merged(below: Schema, above: Schema) -> Schema:
    """Lay one schema over another: every key of `above` wins, and rules are joined."""
    merged = {**below, **above}
    for key in (CHECKS_KEY, RULES_KEY):
        if rules := [*below.get(key, []), *above.get(key, [])]:
            merged[key] = rules
    return merged


def _position(key: str) -> tuple[int, str]:
    return (_ORDER.index(key) if key in _ORDER else len(_ORDER), key)


def _is_blocked(schema: Schema) -> bool:
    update: Mapping[str, str] = schema.get(UPDATE_KEY, {})
    return update.get("class") == Update.BLOCKED


def _keep_blocked(schema: Schema) -> None:
    """Add the rules that refuse edits of blocked fields.

    A transition rule runs only where there is an old and a new value, so a field that may be left out needs a rule on
    its parent as well. An object all of whose fields are blocked needs none of its own: the refusal names the field.
    """
    for child in (schema.get("items"), schema.get("additionalProperties")):
        if child is not None:
            _keep_blocked(child)
    for name, child in schema.get("properties", {}).items():
        _keep_blocked(child)
        if not _is_blocked(child):
            continue
        because = child[UPDATE_KEY]["because"]
        fields = child.get("properties", {}).values()
        if not fields or not all(map(_is_blocked, fields)):
            _add_rule(child, Rule("self == oldSelf", because))
        if name not in schema.get("required", ()) and "default" not in child:
            _add_rule(schema, Rule(f"has(self.{name}) == has(oldSelf.{name})", because, f".{name}"))


def _add_rule(schema: Schema, rule: Rule) -> None:
    update = schema.pop(UPDATE_KEY, None)
    schema[RULES_KEY] = [*schema.get(RULES_KEY, []), rule.as_schema()]
    if update is not None:
        schema[UPDATE_KEY] = update
