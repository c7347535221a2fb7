"""exportTemplate: a resource group as a template that would create it again.

Knows types only by their data: read-only properties are left out, and ids become expressions where they name
something that is exported too.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import RESOURCES, parse
from azure_emulator.following import follow
from azure_emulator.providers.resources.registration import default_api_version
from azure_emulator.types import Answer, Call

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

VERB = "POST exportTemplate"
EXPORT_SECONDS = 5.0  # assumption
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_MEMBERS = ("location", "tags", "sku", "kind", "identity", "zones", "plan", "properties")


def export(call: Call) -> Answer:
    """POST exportTemplate."""
    engine = call.engine
    group = engine.require(parse(call.path.parent))
    body = call.body if isinstance(call.body, dict) else {}
    exported = _chosen(engine, group, body.get("resources") or ["*"])
    options = {one.strip().lower() for one in str(body.get("options") or "").split(",")}
    plain = bool(options & {"skipresourcenameparameterization", "skipallparameterization"})
    operation = engine.begin(group, VERB, engine.jittered(EXPORT_SECONDS, group.id, VERB), api_version=call.api_version)
    operation.output = {"template": _Export(engine, exported, plain=plain).template()}
    engine.store.save_operation(operation)
    kind = engine.types[group.type.lower()]
    return Answer(202, None, follow(engine, call.base_url, call.api_version, kind, operation, "POST"))


def _chosen(engine: Engine, group: Resource, asked: list[Any]) -> list[Resource]:
    below = engine.store.below(group.id)
    keys = {str(one).rstrip("/").lower() for one in asked}
    unknown = keys - {"*"} - {resource.key for resource in below}
    if unknown:
        raise errors.bad_request(
            "ExportTemplateResourceNotFound",
            f"The resources '{','.join(sorted(unknown))}' are not in the resource group '{group.name}'.",
        )
    return [
        resource
        for resource in below
        if _is_exported(engine, resource)
        and ("*" in keys or any(resource.key == key or resource.key.startswith(f"{key}/") for key in keys))
    ]


def _is_exported(engine: Engine, resource: Resource) -> bool:
    """Neither what lives on any scope (locks, role assignments) nor deployments are part of a group's template."""
    kind = engine.types[resource.type.lower()]
    return kind.put is not None and not kind.extension and kind.namespace != RESOURCES


@dataclass
class _Export:
    engine: Engine
    resources: list[Resource]
    plain: bool
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = {resource.key: resource for resource in self.resources}

    def template(self) -> dict[str, Any]:
        """The whole document."""
        resources = [self._resource(resource) for resource in self.resources]
        return {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "parameters": self.parameters, "variables": {},
                "resources": resources}  # fmt: skip

    def _resource(self, resource: Resource) -> dict[str, Any]:
        kind = self.engine.types[resource.type.lower()]
        body = copy.deepcopy(resource.body)
        for path in kind.read_only:
            bodies.drop(body, path)
        needed: set[str] = set()
        written = {
            "type": kind.name, "apiVersion": default_api_version(kind.name), "name": self._name(resource),
            **{member: self._expressed(body[member], needed) for member in _MEMBERS if member in body},
        }  # fmt: skip
        if resource.parent.lower() in self.keys:
            needed.add(resource.parent.lower())
        needed.discard(resource.key)
        if needed:
            written["dependsOn"] = [self._id(self.keys[key]) for key in sorted(needed)]
        return written

    def _name(self, resource: Resource) -> str:
        """The name with its parents': as an expression of the parameters that the top-level names are."""
        names = parse(resource.id).names
        if self.plain:
            return "/".join(names)
        parameter = self._parameter(resource)
        rest = "/".join(names[1:])
        return f"[concat(parameters('{parameter}'), '/{rest}')]" if rest else f"[parameters('{parameter}')]"

    def _parameter(self, resource: Resource) -> str:
        path = parse(resource.id)
        name = re.sub(r"[^A-Za-z0-9_]", "_", f"{path.types[0]}_{path.names[0]}_name")
        self.parameters[name] = {"defaultValue": path.names[0], "type": "String"}
        return name

    def _id(self, resource: Resource) -> str:
        names = parse(resource.id).names
        first = f"'{names[0]}'" if self.plain else f"parameters('{self._parameter(resource)}')"
        arguments = [f"'{resource.type}'", first, *(f"'{name}'" for name in names[1:])]
        return f"[resourceId({', '.join(arguments)})]"

    def _expressed(self, value: Any, needed: set[str]) -> Any:
        if isinstance(value, dict):
            return {self._expressed(key, needed): self._expressed(inner, needed) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._expressed(item, needed) for item in value]
        if not isinstance(value, str):
            return value
        if value.startswith("/") and (named := self.keys.get(value.rstrip("/").lower())) is not None:
            needed.add(named.key)
            return self._id(named)
        # Text that looks like an expression is not one.
        return f"[{value}" if value.startswith("[") and value.endswith("]") else value
