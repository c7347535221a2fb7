"""The field reference in docs/reference/: one Markdown page for each kind, made from the same schemas as its CRD."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from hpc_operator.api import GROUP, KINDS, VERSION
from hpc_operator.api.common import CustomResource
from hpc_operator.api.schema import RULES_KEY, UPDATE_KEY, Update
from hpc_operator.crds import files
from hpc_operator.crds.manifest import parts
from hpc_operator.crds.structural import INT_OR_STRING, Schema

_HEADER = (
    "<!-- Generated from operator/hpc_operator/api by `hpc-operator crds`. Edit the models: edits here are lost. -->\n"
)
_LONGEST_DEFAULT = 60  # of an object; longer ones are told field by field anyway


def render() -> dict[str, str]:
    """Return file name → Markdown, one page for each kind and an index."""
    pages = {f"{kind.info.singular}.md": _page(kind) for kind in KINDS}
    return {"README.md": _index(), **pages}


def write(directory: Path) -> None:
    """Write the pages of `render` to `directory`, and remove pages of kinds that are no more."""
    files.write(render(), directory, _HEADER)


def check(directory: Path) -> list[str]:
    """Return the names of pages in `directory` that are out of step with the models."""
    return files.check(render(), directory, _HEADER)


def _index() -> str:
    lines = [_HEADER, "# Reference", "", f"The kinds of `{GROUP}/{VERSION}`, field by field.", ""]
    lines += [f"- [{kind.__name__}]({kind.info.singular}.md): {_docstring(kind)}" for kind in KINDS]
    lines += ["", "## What an edit does", "", "Each field of a spec says what an edit of it does to what exists:", ""]
    lines += [f"- **{update.value}**: {update.meaning}" for update in Update]
    return "\n".join(lines) + "\n"


def _page(kind: type[CustomResource]) -> str:
    info = kind.info
    spec, status = parts(kind)
    lines = [_HEADER, f"# {kind.__name__}", "", _docstring(kind), ""]
    lines += [f"`kubectl get {info.plural}`, or `{'`, `'.join(info.short_names)}` for short.", ""]
    if info.scale is not None:
        lines += [f"`kubectl scale` sets `{info.scale.spec_replicas.removeprefix('.')}`.", ""]
    if info.selectable:
        paths = ", ".join(f"`{path.removeprefix('.')}`" for path in info.selectable)
        lines += [f"`--field-selector` works with {paths}.", ""]
    if info.rules:
        lines += ["Refused with:", "", *(_refusal(rule.message) for rule in info.rules), ""]
    lines += ["## Spec", "", "What an edit does is explained in the [index](README.md#what-an-edit-does).", ""]
    lines += [*_refusals(spec), *_fields(spec, "spec")]
    lines += ["## Status", "", "Written by the operator.", "", "| field | type | what it is |", "| --- | --- | --- |"]
    lines += _rows(status, "status")
    return "\n".join(lines) + "\n"


def _fields(schema: Schema, path: str) -> Iterator[str]:
    """Yield the lines about every field below a node of a spec, in the order of the models."""
    for name, child in schema.get("properties", {}).items():
        place = f"{path}.{name}"
        needed = "required" if name in schema.get("required", ()) else "optional"
        if "default" in child:
            default = json.dumps(child["default"])
            needed = (
                f"default `{default}`" if len(default) <= _LONGEST_DEFAULT else "default: the defaults of its fields"
            )
        update = child[UPDATE_KEY]
        yield from (f"### `{place}`", "", child["description"], "")
        yield from (f"- Type: {_type(child)}; {needed}", f"- An edit: **{update['class']}**, {update['because']}", "")
        yield from _refusals(child)
        yield from _fields(child, place)
        if "items" in child:
            yield from _fields(child["items"], f"{place}[]")


def _refusals(schema: Schema) -> Iterator[str]:
    """Yield the sentences with which a node, its items or its values are refused, each once."""
    nodes = (schema, schema.get("items", {}), schema.get("additionalProperties", {}))
    messages = dict.fromkeys(rule["message"] for node in nodes for rule in node.get(RULES_KEY, ()))
    if messages:
        yield from ("Refused with:", "", *map(_refusal, messages), "")


def _refusal(message: str) -> str:
    """Return a sentence as an item of a list; Markdown would take a `<name>` in it for HTML."""
    return "- " + message.replace("&", "&amp;").replace("<", "&lt;")


def _rows(schema: Schema, path: str) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        place = f"{path}.{name}"
        yield f"| `{place}` | {_type(child)} | {child['description']} |"
        yield from _rows(child, place)
        yield from _rows(child.get("items", {}), f"{place}[]")


def _type(schema: Schema) -> str:
    """Return the type and the bounds of a node in words."""
    if schema.get(INT_OR_STRING):
        return "integer or string"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    kind: str = schema["type"]
    if kind == "array":
        return f"list of at most {schema['maxItems']}: {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of at most {schema['maxProperties']}: {_type(schema['additionalProperties'])}"
    if kind == "integer" and "maximum" in schema:
        return f"integer from {schema['minimum']} to {schema['maximum']}"
    if kind == "string" and "maxLength" in schema:
        return f"string of at most {schema['maxLength']} characters"
    return str(schema.get("format", kind))


def _docstring(kind: type[CustomResource]) -> str:
    return " ".join((kind.__doc__ or "").split())
