"""Holds a custom resource against the rules of its CRD, as the API server does when it is created.

Rules about an edit are left out: there is no older form to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hpc_operator.api import CustomResource
from hpc_operator.api.schema import RULES_KEY
from hpc_operator.crds.manifest import root_schema
from hpc_operator.preview.cel import compile_rule

_OLD = "oldSelf"
_NAMES = {"int": int}


def broken(resource: CustomResource) -> Iterator[str]:
    """Yield `path: sentence` for every rule that a custom resource breaks."""
    whole = resource.model_dump(mode="json", by_alias=True, exclude_none=True, include={"metadata", "spec"})
    yield from _broken(_schema(type(resource)), whole, "")


@cache
def _schema(kind: type[CustomResource]) -> Mapping[str, Any]:
    return root_schema(kind)


def _broken(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    for rule in schema.get(RULES_KEY, ()):
        if _OLD not in rule["rule"] and not compile_rule(rule["rule"])({**_NAMES, "self": value}):
            place = (path + rule.get("fieldPath", "")).removeprefix(".")
            yield f"{place}: {rule['message']}" if place else rule["message"]
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key, item in value.items():
            yield from _broken(properties.get(key, others), item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _broken(schema["items"], item, f"{path}[{number}]")
