"""The CustomResourceDefinition of each kind, as YAML files. Knows no cluster and does not install anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hpc_operator.api import GROUP, KINDS, VERSION
from hpc_operator.api.common import CustomResource
from hpc_operator.api.schema import RULES_KEY, PrinterColumn
from hpc_operator.crds import files
from hpc_operator.crds.lint import lint
from hpc_operator.crds.structural import Schema, SchemaError, published, structural, without_defaults

_HEADER = "# Generated from operator/hpc_operator/api by `hpc-operator crds`. Edit the models: edits here are lost.\n"


def render() -> dict[str, str]:
    """Return file name → YAML text, one file for each kind.

    Raises
    ------
    SchemaError
        If a model breaks a rule of `lint`; the message has one line for each place.
    """
    texts = {}
    for kind in KINDS:
        manifest = custom_resource_definition(kind)
        text = yaml.dump(manifest, Dumper=_PlainDumper, sort_keys=False, width=120, allow_unicode=True)
        texts[f"{GROUP}_{kind.info.plural}.yaml"] = _HEADER + text
    return texts


def write(directory: Path) -> None:
    """Write the files of `render` to `directory`, and remove files of kinds that are no more."""
    files.write(render(), directory, _HEADER)


def check(directory: Path) -> list[str]:
    """Return the names of files in `directory` that are out of step with the models."""
    return files.check(render(), directory, _HEADER)


def custom_resource_definition(kind: type[CustomResource]) -> dict[str, Any]:
    """Return the CustomResourceDefinition of one kind.

    Raises
    ------
    SchemaError
        If the kind's models break a rule of `lint`.
    """
    info = kind.info
    subresources: dict[str, Any] = {"status": {}}
    if info.scale is not None:
        subresources["scale"] = {
            "specReplicasPath": info.scale.spec_replicas,
            "statusReplicasPath": info.scale.status_replicas,
        }
        if info.scale.label_selector is not None:
            subresources["scale"]["labelSelectorPath"] = info.scale.label_selector
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in info.columns],
    }
    if info.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in info.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.__name__,
                "listKind": f"{kind.__name__}List",
                "plural": info.plural,
                "singular": info.singular,
                "shortNames": list(info.short_names),
                "categories": list(info.categories),
            },
            "scope": "Namespaced",
            "versions": [version | {"subresources": subresources, "schema": {"openAPIV3Schema": root_schema(kind)}}],
        },
    }


def parts(kind: type[CustomResource]) -> tuple[Schema, Schema]:
    """Return the structural schemas of spec and status, update classes included."""
    spec, status = (structural(kind.model_fields[name].annotation) for name in ("spec", "status"))  # type: ignore[arg-type]
    return spec, without_defaults(status)


def root_schema(kind: type[CustomResource]) -> Schema:
    """Return the schema of a whole object.

    Raises
    ------
    SchemaError
        If it breaks a rule of `lint`.
    """
    spec, status = map(published, parts(kind))
    if problems := lint(spec, "spec") + lint(status, "status"):
        raise SchemaError("\n".join(f"{kind.__name__} {problem}" for problem in problems))
    root: Schema = {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"Always {GROUP}/{VERSION}.", "type": "string"},
            "kind": {"description": f"Always {kind.__name__}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    if kind.info.rules:
        root[RULES_KEY] = [rule.as_schema() for rule in kind.info.rules]
    return root


def _column(column: PrinterColumn) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.description:
        entry["description"] = column.description
    if column.priority:
        entry["priority"] = column.priority
    return entry


class _PlainDumper(yaml.SafeDumper):
    """Writes every value out, where PyYAML would refer to an equal one before it."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        return super().increase_indent(flow, False)
