"""What the expressions of a template are evaluated in: its parameters, variables, functions, and where it is deployed.

Knows templates and ids, and no engine: what must be asked of Azure goes through `Runtime`, which is absent while a
template is only looked at.
"""

from __future__ import annotations

import functools
import json
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from azure_emulator import locations
from azure_emulator.providers.deployments import dates, schemas
from azure_emulator.providers.deployments.functions import FUNCTIONS, kind_of, text
from azure_emulator.providers.deployments.language import (
    Builtin,
    ExpressionError,
    Frame,
    NotYetKnownError,
    evaluate,
    is_expression,
    member,
    parse,
    unescaped,
)

# How deep user-defined functions may call one another is an assumption.
DEEPEST_CALLS = 50


class Runtime(Protocol):
    """What a running deployment may ask Azure."""

    def read(self, resource_id: str, api_version: str) -> dict[str, Any]:
        """The resource as a GET shows it."""

    def act(self, resource_id: str, action: str, api_version: str, body: Any) -> Any:
        """What a POST answers."""


class Known(Protocol):
    """A resource of the template, as reference() sees it."""

    id: str
    type: str
    name: str
    api_version: str


@dataclass(frozen=True)
class Place:
    """Where and as what a template is deployed."""

    scope: str  # /subscriptions/{id} or /subscriptions/{id}/resourceGroups/{name}
    subscription: Mapping[str, Any]
    resource_group: Mapping[str, Any] | None
    deployment: Mapping[str, Any]
    tenant: str
    deployer: Mapping[str, Any]
    moment: datetime
    new_guid: Callable[[], str]
    # What providers() knows: a namespace's types with their locations and versions.
    provider: Callable[[str], Mapping[str, Any]]
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subscription_id(self) -> str:
        """The subscription's id without a path."""
        return self.scope.split("/")[2]


@dataclass(frozen=True)
class Copies:
    """The iterations of the loops around an expression; the innermost nameless one is that of copyIndex()."""

    named: Mapping[str, int] = field(default_factory=dict)
    default: int | None = None

    def inside(self, name: str | None, index: int, *, default: bool) -> Copies:
        """The same within one more loop."""
        named = {**self.named, name.lower(): index} if name else self.named
        return Copies(named, index if default else self.default)


NO_LOOP = Copies()


class Scope:
    """Evaluates the values of one template.

    Parameters
    ----------
    template
        The template.
    parameters
        Values of all its parameters, by name.
    place
        Where it is deployed.
    runtime
        What reference() and list*() ask; None where they are not to be asked yet.
    lookup
        Resources of the template that an id, a name or a symbolic name may mean.
    calls
        How many user-defined functions this is inside of; there variables are out of reach.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        parameters: Mapping[str, Any],
        place: Place,
        *,
        runtime: Runtime | None = None,
        lookup: Callable[[str], Sequence[Known]] | None = None,
        calls: int = 0,
    ) -> None:
        self.template = template
        self.parameters = parameters
        self.place = place
        self.runtime = runtime
        self.lookup: Callable[[str], Sequence[Known]] = lookup or (lambda _: ())
        self._variables: dict[str, Any] = {}
        self._evaluating: set[str] = set()
        self.calls = calls
        own: dict[str, Builtin] = {"parameters": self._parameter}
        if calls == 0:
            own["variables"] = self._variable
        self.functions: ChainMap[str, Builtin] = ChainMap(
            own, self._user_functions(), {**_documents(place), **_ids(place), **self._asking()}, FUNCTIONS
        )

    # -- values ------------------------------------------------------------------------------------------------------

    def frame(self, copies: Copies = NO_LOOP) -> Frame:
        """What expressions see."""
        return Frame(self.functions.new_child({"copyindex": lambda arguments: _copy_index(copies, arguments)}))

    def value(self, raw: Any, copies: Copies = NO_LOOP, *, for_nested: bool = False) -> Any:
        """A value of the template with its expressions evaluated and its property loops unrolled.

        `for_nested` is for a nested template that is evaluated by its parent: what came of an expression is not
        evaluated once more.
        """
        if isinstance(raw, str):
            return self._string(raw, copies, for_nested=for_nested)
        if isinstance(raw, list):
            return [self.value(item, copies, for_nested=for_nested) for item in raw]
        if not isinstance(raw, dict):
            return raw
        result: dict[str, Any] = {}
        for key, item in raw.items():
            if key.lower() == "copy" and isinstance(item, list):
                result.update(self._loops(item, copies, for_nested=for_nested))
                continue
            name = str(self._string(key, copies, for_nested=for_nested)) if key[:1] == "[" else key
            result[name] = self.value(item, copies, for_nested=for_nested)
        return result

    def _string(self, raw: str, copies: Copies, *, for_nested: bool) -> Any:
        if not is_expression(raw):
            return unescaped(raw)
        value = evaluate(parse(raw[1:-1]), self.frame(copies))
        return _escaped(value) if for_nested else value

    def _loops(self, loops: list[Any], copies: Copies, *, for_nested: bool) -> dict[str, Any]:
        result = {}
        for loop in loops:
            if not isinstance(loop, dict) or "name" not in loop or "count" not in loop or "input" not in loop:
                raise ExpressionError("A property loop needs 'name', 'count' and 'input'.")
            name = str(loop["name"])
            count = self.count(loop["count"], copies)
            result[name] = [
                self.value(loop["input"], copies.inside(name, index, default=False), for_nested=for_nested)
                for index in range(count)
            ]
        return result

    def count(self, raw: Any, copies: Copies = NO_LOOP) -> int:
        """How often a loop runs."""
        count = self.value(raw, copies)
        if kind_of(count) != "Integer":
            raise ExpressionError(
                f"The copy count is expected to be a number. The type of the provided value is '{kind_of(count)}'."
            )
        if not 0 <= count <= 800:  # noqa: PLR2004 (ARM's limit)
            raise ExpressionError(f"The copy count '{count}' must be between '0' and '800'.")
        return int(count)

    # -- parameters, variables, functions ----------------------------------------------------------------------------

    def _parameter(self, arguments: list[Any]) -> Any:
        name = _one_name("parameters", arguments)
        found = member(self.parameters, name)
        if found is None:
            raise ExpressionError(
                f"The template parameter '{name}' is not found. Please see https://aka.ms/arm-syntax-parameters for "
                "usage details."
            )
        return self.parameters[found]

    def _variable(self, arguments: list[Any]) -> Any:
        return self.variable(_one_name("variables", arguments))

    def variable(self, name: str) -> Any:
        """The value of a variable, evaluated when it is first asked for."""
        lower = name.lower()
        if lower in self._variables:
            return self._variables[lower]
        raw = self._raw_variable(name)
        if lower in self._evaluating:
            raise ExpressionError(f"The template variable '{name}' refers to itself.")
        self._evaluating.add(lower)
        try:
            value = self._variables[lower] = raw()
        finally:
            self._evaluating.discard(lower)
        return value

    def _raw_variable(self, name: str) -> Callable[[], Any]:
        variables: Mapping[str, Any] = self.template.get("variables") or {}
        found = member(variables, name)
        if found is not None and found.lower() != "copy":
            return lambda: self.value(variables[found])
        for loop in variables.get("copy") or []:
            if isinstance(loop, dict) and str(loop.get("name")).lower() == name.lower():
                return lambda: self._loop_variable(loop)
        raise ExpressionError(
            f"The template variable '{name}' is not found. Please see https://aka.ms/arm-syntax-variables for usage "
            "details."
        )

    def _loop_variable(self, loop: Mapping[str, Any]) -> list[Any]:
        name = str(loop["name"])
        copies = [NO_LOOP.inside(name, index, default=True) for index in range(self.count(loop.get("count")))]
        return [self.value(loop.get("input"), copy) for copy in copies]

    def variable_names(self) -> list[str]:
        """All variables, those of loops included."""
        variables: Mapping[str, Any] = self.template.get("variables") or {}
        loops = [str(loop.get("name")) for loop in variables.get("copy") or [] if isinstance(loop, dict)]
        return [name for name in variables if name.lower() != "copy"] + loops

    def _user_functions(self) -> dict[str, Builtin]:
        found: dict[str, Builtin] = {}
        for group in self.template.get("functions") or []:
            for name, definition in (group.get("members") or {}).items():
                full = f"{group.get('namespace')}.{name}"
                found[full.lower()] = functools.partial(self._call, full, definition)
        return found

    def _call(self, name: str, definition: Mapping[str, Any], arguments: list[Any]) -> Any:
        declared = definition.get("parameters") or []
        if len(arguments) != len(declared):
            raise ExpressionError(
                f"The template function '{name}' expects '{len(declared)}' parameters; it was invoked with "
                f"'{len(arguments)}'."
            )
        if self.calls >= DEEPEST_CALLS:
            raise ExpressionError(f"The template function '{name}' calls itself.")
        definitions = self.template.get("definitions") or {}
        for declaration, argument in zip(declared, arguments, strict=True):
            try:
                schemas.check(argument, declaration, definitions)
            except schemas.TypeMismatchError as error:
                raise ExpressionError(
                    f"The parameter '{declaration.get('name')}' of the template function '{name}' is not valid. {error}"
                ) from None
        own = {str(each.get("name")): value for each, value in zip(declared, arguments, strict=True)}
        inner = Scope(self.template, own, self.place, runtime=self.runtime, lookup=self.lookup, calls=self.calls + 1)
        return inner.value((definition.get("output") or {}).get("value"))

    # -- what is asked of Azure --------------------------------------------------------------------------------------

    def _asking(self) -> dict[str, Builtin]:
        return {
            "reference": self._reference,
            "references": self._references,
            "list*": self._list,
            "resourceinfo": self._resource_info,
        }

    def _reference(self, arguments: list[Any]) -> Any:
        token = _one_name("reference", arguments[:1])
        version = arguments[1] if len(arguments) > 1 else None
        full = len(arguments) > 2 and text(arguments[2]).lower() == "full"  # noqa: PLR2004
        resource_id, version = self._target(token, version)
        if self.runtime is None:
            raise NotYetKnownError(_not_here("reference"))
        document = self.runtime.read(resource_id, version)
        if not full:
            return document.get("properties") or {}
        parts = resource_id.split("/")
        return {
            "apiVersion": version,
            **{key: value for key, value in document.items() if key not in ("id", "name", "type")},
            "subscriptionId": parts[2] if len(parts) > 2 else "",  # noqa: PLR2004
            "resourceGroupName": parts[4] if parts[3:4] == ["resourceGroups"] and parts[4:] else "",
            "scope": "",
            "resourceId": _relative(resource_id),
            "referenceApiVersion": version,
            "condition": True,
            "isConditionTrue": True,
            "isTemplateResource": bool(self.lookup(token)),
            "isAction": False,
            "provisioningOperation": "Read",
        }

    def _references(self, arguments: list[Any]) -> list[Any]:
        found = self.lookup(_one_name("references", arguments[:1]))
        return [self._reference([one.id, one.api_version, *arguments[1:]]) for one in found]

    def _target(self, token: str, version: Any) -> tuple[str, str]:
        """What the first argument of reference() and list*() means, and in which api-version to ask."""
        found = self.lookup(token)
        if found:
            return found[0].id, text(version) or found[0].api_version
        if not token.startswith("/"):
            raise ExpressionError(
                f"The template reference '{token}' is not valid: could not find template resource or resource copy "
                "with this name. Please see https://aka.ms/arm-function-reference for usage details."
            )
        if not version:
            raise ExpressionError(
                f"The template resource reference to '{token}' requires an API version. Please see "
                "https://aka.ms/arm-syntax-resources for usage details."
            )
        return token, text(version)

    def _list(self, arguments: list[Any]) -> Any:
        action, *rest = arguments
        token = _one_name(action, rest[:1])
        resource_id, version = self._target(token, rest[1] if len(rest) > 1 else None)
        if self.runtime is None:
            raise NotYetKnownError(_not_here(action))
        return self.runtime.act(resource_id, action, version, rest[2] if len(rest) > 2 else None)  # noqa: PLR2004

    def _resource_info(self, arguments: list[Any]) -> Any:
        name = _one_name("resourceInfo", arguments)
        found = self.lookup(name)
        if not found:
            raise ExpressionError(f"The template reference '{name}' is not valid: could not find template resource.")
        one = found[0]
        return {"id": one.id, "type": one.type, "name": one.name, "apiVersion": one.api_version}


def for_parameters(place: Place, parameters: Mapping[str, Any], template: Mapping[str, Any]) -> Scope:
    """A scope for default values, where utcNow() and newGuid() are allowed and variables() is not."""
    scope = Scope(template, parameters, place)
    scope.functions = scope.functions.new_child({
        "utcnow": lambda arguments: dates.write(place.moment, text(arguments[0]) if arguments else dates.UTC_NOW),
        "newguid": lambda _: place.new_guid(),
        "variables": lambda _: _refuse("variables"),
    })  # fmt: skip
    return scope


def _refuse(name: str) -> Any:
    raise ExpressionError(_not_here(name))


def _not_here(name: str) -> str:
    return (
        f"The template function '{name}' is not expected at this location. Please see https://aka.ms/arm-functions for "
        "usage details."
    )


def _one_name(function: str, arguments: Sequence[Any]) -> str:
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        raise ExpressionError(
            f"The template language function '{function}' expects a string as its first parameter. Please see "
            f"https://aka.ms/arm-functions#{function.lower()} for usage details."
        )
    return arguments[0]


def _escaped(value: Any) -> Any:
    """A value that is not taken for an expression by the template that it is put into."""
    if isinstance(value, str):
        return f"[{value}" if value[:1] == "[" and value[-1:] == "]" else value
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return value


def _copy_index(copies: Copies, arguments: list[Any]) -> int:
    name = arguments[0] if arguments and isinstance(arguments[0], str) else None
    offsets = arguments[1:] if name is not None else arguments
    index = copies.default if name is None else copies.named.get(name.lower())
    if index is None:
        raise ExpressionError(
            "The template function 'copyIndex' is not expected at this location. The function can only be used in a "
            "resource with copy specified. Please see https://aka.ms/arm-copy for usage details."
        )
    if not all(isinstance(offset, int) for offset in offsets):
        raise ExpressionError("The template language function 'copyIndex' expects its offset to be an integer.")
    return int(index + sum(offsets))


# -- documents and ids -------------------------------------------------------------------------------------------------


def _documents(place: Place) -> dict[str, Builtin]:
    def document(name: str, value: Mapping[str, Any] | None) -> Builtin:
        return lambda _: _refuse(name) if value is None else json.loads(json.dumps(value))

    return {
        "subscription": document("subscription", place.subscription),
        "resourcegroup": document("resourceGroup", place.resource_group),
        "deployment": document("deployment", place.deployment),
        "deployer": document("deployer", place.deployer),
        "environment": document("environment", place.environment),
        "tenant": document("tenant", {"tenantId": place.tenant, "displayName": "Emulated", "countryCode": "CH"}),
        "managementgroup": document("managementGroup", None),
        "utcnow": document("utcNow", None),
        "newguid": document("newGuid", None),
        "providers": lambda arguments: _providers(place, arguments),
        "pickzones": _pick_zones,
    }


def _providers(place: Place, arguments: list[Any]) -> Any:
    if not arguments or not all(isinstance(argument, str) for argument in arguments):
        raise ExpressionError("The template language function 'providers' expects a namespace and a resource type.")
    provider = place.provider(arguments[0])
    if len(arguments) == 1:
        return provider
    for kind in provider.get("resourceTypes") or []:
        if kind["resourceType"].lower() == arguments[1].lower():
            return kind
    raise ExpressionError(
        f"The resource type '{arguments[1]}' could not be found in the namespace '{arguments[0]}'. Please see "
        "https://aka.ms/arm-functions#providers for usage details."
    )


def _pick_zones(arguments: list[Any]) -> list[str]:
    if len(arguments) < 3:  # noqa: PLR2004 (namespace, type and location)
        raise ExpressionError("The template language function 'pickZones' expects at least '3' parameters.")
    location, *rest = arguments[2:]
    count, offset = (int(rest[0]) if rest else 1), (int(rest[1]) if len(rest) > 1 else 0)
    zones = locations.zones(locations.normalise(text(location)))
    if not zones:
        return []
    if offset + count > len(zones):
        raise ExpressionError(f"The location '{text(location)}' has '{len(zones)}' zones; zone '{offset + count}' was "
                              "asked for.")  # fmt: skip
    return zones[offset : offset + count]


def _ids(place: Place) -> dict[str, Builtin]:
    def resource_id(arguments: list[Any]) -> str:
        before, kind, names = _split_id("resourceId", arguments, most=2)
        scope = place.scope
        if len(before) == 2:  # noqa: PLR2004 (subscription and group)
            scope = f"/subscriptions/{before[0]}/resourceGroups/{before[1]}"
        elif before and _is_guid(before[0]) and place.resource_group is None:
            scope = f"/subscriptions/{before[0]}"
        elif before:
            scope = f"/subscriptions/{place.subscription_id}/resourceGroups/{before[0]}"
        return join_id(scope, kind, names)

    def subscription_resource_id(arguments: list[Any]) -> str:
        before, kind, names = _split_id("subscriptionResourceId", arguments, most=1)
        return join_id(f"/subscriptions/{before[0] if before else place.subscription_id}", kind, names)

    def tenant_resource_id(arguments: list[Any]) -> str:
        _, kind, names = _split_id("tenantResourceId", arguments, most=0)
        return join_id("", kind, names)

    def extension_resource_id(arguments: list[Any]) -> str:
        base = _one_name("extensionResourceId", arguments[:1])
        _, kind, names = _split_id("extensionResourceId", arguments[1:], most=0)
        return join_id(base.rstrip("/"), kind, names)

    def management_group_resource_id(arguments: list[Any]) -> str:
        before, kind, names = _split_id("managementGroupResourceId", arguments, most=1)
        group = before[0] if before else place.tenant
        return join_id(f"/providers/Microsoft.Management/managementGroups/{group}", kind, names)

    return {
        "resourceid": resource_id,
        "subscriptionresourceid": subscription_resource_id,
        "tenantresourceid": tenant_resource_id,
        "extensionresourceid": extension_resource_id,
        "managementgroupresourceid": management_group_resource_id,
    }


def _split_id(function: str, arguments: list[Any], *, most: int) -> tuple[list[str], str, list[str]]:
    """What stands before the type, the type, and the names; the type is the first argument with a slash in it."""
    if not all(isinstance(argument, str) for argument in arguments):
        raise ExpressionError(f"Unable to evaluate template language function '{function}': all arguments must be "
                              "strings.")  # fmt: skip
    at = next((index for index, argument in enumerate(arguments[: most + 1]) if "/" in argument.strip("/")), None)
    if at is None:
        raise ExpressionError(
            f"Unable to evaluate template language function '{function}': function requires exactly one "
            "multi-segmented argument which must be resource id including resource provider namespace. Current "
            f"function arguments '{','.join(arguments)}'. Please see "
            f"https://aka.ms/arm-functions#{function.lower()} for usage details."
        )
    kind = arguments[at].strip("/")
    names = [name for argument in arguments[at + 1 :] for name in argument.split("/")]
    if len(names) != kind.count("/"):
        raise ExpressionError(
            f"Unable to evaluate template language function '{function}': the type '{kind}' requires "
            f"'{kind.count('/')}' resource name argument(s). Please see "
            f"https://aka.ms/arm-functions#{function.lower()} for usage details."
        )
    return arguments[:at], kind, names


def _is_guid(value: str) -> bool:
    return len(value) == 36 and value.count("-") == 4  # noqa: PLR2004


def join_id(scope: str, kind: str, names: Sequence[str]) -> str:
    """The id of a resource of that type and those names in a scope."""
    namespace, *types = kind.split("/")
    pairs = "/".join(f"{one}/{name}" for one, name in zip(types, names, strict=True))
    if kind.lower() == "microsoft.resources/resourcegroups":
        return f"{scope}/resourceGroups/{names[0]}"
    return f"{scope}/providers/{namespace}/{pairs}"


def _relative(resource_id: str) -> str:
    return resource_id.rpartition("/providers/")[2]
