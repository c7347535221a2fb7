"""Templates as a deployment sees them: parameters, resources with loops, conditions and dependencies, and outputs.

Knows the shape of a template, in both versions of the language, and nothing of an engine. What is wrong with a template
is told in ARM's words (as quoted in public issue threads), with line and column as ARM's JSON reader counts them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from azure_emulator import errors
from azure_emulator.errors import ArmError
from azure_emulator.providers.deployments import schemas, shape
from azure_emulator.providers.deployments.functions import kind_of
from azure_emulator.providers.deployments.language import (
    Apply,
    ExpressionError,
    calls,
    evaluate,
    is_expression,
    member,
    parse,
)
from azure_emulator.providers.deployments.scope import (
    NO_LOOP,
    Copies,
    Place,
    Runtime,
    Scope,
    for_parameters,
    join_id,
)

DEPLOYMENTS = "Microsoft.Resources/deployments"
RESOURCE_GROUPS = "Microsoft.Resources/resourceGroups"

# ARM's limits on one template (azure-docs, template best practices).
LIMITS = {"parameters": 256, "variables": 256, "resources": 800, "outputs": 64}
_HELP = "Please see https://aka.ms/arm-syntax-resources for usage details."
# {where} is filled in only when it is needed: finding a place means writing the whole template.
_RESOURCE = (
    "The template resource '{name}' {where} is not valid: {}. "
    "Please see https://aka.ms/arm-functions for usage details."
)
_PARAMETER_HELP = "Please see https://aka.ms/arm-create-parameter-file for usage details."

# What of a template's resource is ARM's own and no part of the request body.
_NOT_SENT = frozenset({
    "type", "apiversion", "name", "dependson", "copy", "condition", "scope", "comments", "metadata", "resources",
    "resourcegroup", "subscriptionid", "existing", "asserts", "import", "extension",
})  # fmt: skip


@dataclass(frozen=True)
class Source:
    """The document that a template came in, to say where in it something is."""

    document: Any
    path: tuple[str | int, ...] = ()

    def at(self, *parts: str | int) -> Source:
        """Something inside of it."""
        return Source(self.document, (*self.path, *parts))

    @property
    def text(self) -> str:
        """The path as JSON readers write it."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")

    @property
    def column(self) -> int:
        """Where the value ends (or an object begins) when the document is written in one line, as SDKs send it."""
        mark = "\x00"
        value, marked = self._marked(self.document, self.path, mark)
        before = json.dumps(marked).split(json.dumps(mark), 1)[0]
        return len(before) + (1 if isinstance(value, dict | list) else len(json.dumps(value)))

    def _marked(self, document: Any, path: tuple[str | int, ...], mark: str) -> tuple[Any, Any]:
        if not path:
            return document, mark
        part, rest = path[0], path[1:]
        if isinstance(document, dict) and isinstance(part, str) and (found := member(document, part)) is not None:
            value, inner = self._marked(document[found], rest, mark)
            return value, {**document, found: inner}
        if isinstance(document, list) and isinstance(part, int) and part < len(document):
            value, inner = self._marked(document[part], rest, mark)
            return value, [*document[:part], inner, *document[part + 1 :]]
        return None, mark


def invalid(message: str, source: Source | None = None) -> ArmError:
    """A template that fails validation."""
    return violation(f"Deployment template validation failed: '{message}'.", source)


def violation(message: str, source: Source | None = None) -> ArmError:
    """InvalidTemplate with the place in the request."""
    known = source is not None and bool(source.path)
    info = {
        "lineNumber": 1 if known else 0,
        "linePosition": source.column if source is not None and known else 0,
        "path": source.text if source is not None and known else "",
    }
    return ArmError(
        errors.BAD_REQUEST, "InvalidTemplate", message, additional=[{"type": "TemplateViolation", "info": info}]
    )


def _where(source: Source) -> str:
    return f"at line '1' and column '{source.column}'"


@dataclass
class Item:
    """One resource of a template, loops unrolled."""

    key: str  # symbolic name or position, with the index in a loop
    id: str
    type: str
    name: str
    api_version: str
    raw: Mapping[str, Any]
    source: Source
    relative: str  # type and names as a path, which dependsOn may use instead of an id
    symbol: str | None = None
    copies: Copies = NO_LOOP
    loop: str | None = None
    index: int | None = None
    condition: bool = True
    existing: bool = False
    depends: list[str] = field(default_factory=list)

    @property
    def is_deployment(self) -> bool:
        """Whether it is a nested template."""
        return self.type.lower() == DEPLOYMENTS.lower()

    @property
    def deployed(self) -> bool:
        """Whether it is written at all."""
        return self.condition and not self.existing


class Template:
    """A template with values for its parameters, in a place.

    Parameters
    ----------
    document
        The template.
    parameters
        Values of all parameters, from `parameter_values`.
    place
        Where it is deployed.
    source
        Where the template stands in the request.
    """

    def __init__(
        self, document: Mapping[str, Any], parameters: Mapping[str, Any], place: Place, source: Source
    ) -> None:
        self.document = document
        self.place = place
        self.source = source
        self.parameters = parameters
        self.scope = Scope(document, parameters, place, lookup=self.lookup)
        self.items: list[Item] = []
        self._names: dict[str, list[Item]] = {}
        self._expand()

    def with_runtime(self, runtime: Runtime) -> Scope:
        """The scope of a running deployment."""
        return Scope(self.document, self.parameters, self.place, runtime=runtime, lookup=self.lookup)

    def lookup(self, token: str) -> Sequence[Item]:
        """The resources that a symbolic name, a name, an id or the name of a loop means."""
        return self._names.get(token.strip("/").lower(), ())

    def check_variables(self) -> None:
        """Refuse a template with a variable that cannot be evaluated."""
        for name in self.scope.variable_names():
            with _told(f"The template variable '{name}' is not valid: {{}}.", self.source.at("variables", name)):
                self.scope.variable(name)

    # -- resources ---------------------------------------------------------------------------------------------------

    def _expand(self) -> None:
        for name, raw, source, parent in self._declared():
            self.items.extend(self._unrolled(name, raw, source, parent))
        if len(self.items) > LIMITS["resources"]:
            raise invalid(
                f"The number of template resources limit exceeded. Limit: '{LIMITS['resources']}' and actual: "
                f"'{len(self.items)}'. {_HELP}"
            )
        self._index()
        for item in self.items:
            item.depends = self._dependencies(item)
        self._refuse_circles()

    def _declared(self) -> Iterator[tuple[str | None, Mapping[str, Any], Source, Mapping[str, Any] | None]]:
        resources, source = self.document.get("resources"), self.source.at("resources")
        if isinstance(resources, dict):
            for name, raw in resources.items():
                yield name, _object(raw, source.at(name)), source.at(name), None
        elif isinstance(resources, list):
            for index, raw in enumerate(resources):
                yield from self._with_children(_object(raw, source.at(index)), source.at(index), None)
        elif resources is not None:
            raise invalid(f"The template resources must be an array or an object. {_HELP}", source)

    def _with_children(
        self, raw: Mapping[str, Any], source: Source, parent: Mapping[str, Any] | None
    ) -> Iterator[tuple[str | None, Mapping[str, Any], Source, Mapping[str, Any] | None]]:
        yield None, raw, source, parent
        inside = raw if parent is None else _child(raw, parent)
        for index, child in enumerate(raw.get("resources") or []):
            at = source.at("resources", index)
            yield from self._with_children(_object(child, at), at, inside)

    def _unrolled(
        self, symbol: str | None, raw: Mapping[str, Any], source: Source, parent: Mapping[str, Any] | None
    ) -> Iterator[Item]:
        if parent is not None:
            raw = _child(raw, parent)
        label = symbol or str(raw.get("name"))
        copy = raw.get("copy")
        key = symbol or source.text
        if copy is None:
            yield self._item(key, symbol, raw, source, NO_LOOP)
            return
        if not isinstance(copy, dict):
            raise invalid(f"The 'copy' of the template resource '{label}' must be an object. {_HELP}", source)
        loop = str(copy.get("name") or "")
        with _told(_RESOURCE.replace("{name}", label), source):
            count = self.scope.count(copy.get("count"))
        for index in range(count):
            item = self._item(
                f"{key}[{index}]", symbol, raw, source, NO_LOOP.inside(loop or symbol, index, default=True)
            )
            yield replace(item, loop=loop, index=index)

    def _item(self, key: str, symbol: str | None, raw: Mapping[str, Any], source: Source, copies: Copies) -> Item:
        def part(name: str, *, required: bool = False) -> Any:
            found = member(raw, name)
            if found is None or raw[found] is None:
                if required:
                    raise errors.bad_request(
                        "InvalidRequestContent",
                        "The request content was invalid and could not be deserialized: 'Required property "
                        f"'{name}' not found in JSON. Path '{source.text}', line 1, position {source.column}.'.",
                    )
                return None
            at = source.at(found)
            with _told(_RESOURCE.replace("{name}", str(symbol or raw.get("name"))), at):
                return self.scope.value(raw[found], copies)

        kind, name = str(part("type", required=True)).strip("/"), str(part("name", required=True))
        condition = part("condition")
        if condition is not None and not isinstance(condition, bool):
            raise invalid(f"The condition of the template resource '{name}' must be a boolean. {_HELP}", source)
        _check_segments(kind, name, source)
        base = self._base(kind, part("scope"), part("subscriptionId"), part("resourceGroup"))
        return Item(
            key=key, id=join_id(base, kind, name.split("/")), type=_whole_type(kind, name), name=name,
            api_version=str(part("apiVersion", required=True)), raw=raw, source=source,
            relative=_path(kind, name.split("/")), symbol=symbol, copies=copies, condition=condition is not False,
            existing=part("existing") is True,
        )  # fmt: skip

    def _base(self, kind: str, scope: Any, subscription: Any, group: Any) -> str:
        """The scope that a resource is deployed to: the deployment's own unless it says something else."""
        if isinstance(scope, str):
            return self._scope_id(scope)
        if subscription or group:
            base = f"/subscriptions/{subscription or self.place.subscription_id}"
            return f"{base}/resourceGroups/{group}" if group else base
        if kind.lower() == RESOURCE_GROUPS.lower():
            return f"/subscriptions/{self.place.subscription_id}"
        return self.place.scope

    def _scope_id(self, scope: str) -> str:
        if scope.startswith("/"):
            return scope.rstrip("/")
        namespace, *rest = scope.split("/")
        if len(rest) % 2 or not rest:
            raise invalid(f"The scope '{scope}' is not valid. {_HELP}", self.source)
        base = "" if namespace.lower() == "microsoft.management" else self.place.scope
        return join_id(base, "/".join([namespace, *rest[0::2]]), rest[1::2])

    def _index(self) -> None:
        seen: dict[str, Item] = {}
        groups: dict[str, list[Item]] = {}
        for item in self.items:
            known = seen.setdefault(item.id.lower(), item)
            if known is not item and item.condition and known.condition and not (item.existing or known.existing):
                raise invalid(
                    f"The resource '{item.id}' {_where(item.source)} is defined multiple times in a template. {_HELP}",
                    item.source,
                )
            for token in {item.id, item.relative, item.name}:
                self._names.setdefault(token.strip("/").lower(), []).append(item)
            for token in {one.lower() for one in (item.symbol, item.loop) if one}:
                groups.setdefault(token, []).append(item)
        for token, members in groups.items():
            # A symbolic name and a loop's name mean all that they declare, and nothing else.
            self._names[token] = members
            for one in members:
                if one.index is not None:
                    self._names[f"{token}[{one.index}]"] = [one]

    # -- dependencies ------------------------------------------------------------------------------------------------

    def _dependencies(self, item: Item) -> list[str]:
        found: dict[str, None] = {}
        for token in self._listed(item):
            for one in self._needed(token, item):
                found[one.key] = None
        if item.deployed:
            for one in self._implied(item):
                found[one.key] = None
        for one in self._batch_before(item):
            found[one.key] = None
        found.pop(item.key, None)
        return list(found)

    def _listed(self, item: Item) -> list[str]:
        key = member(item.raw, "dependsOn")
        at = item.source.at("dependsOn")
        with _told(_RESOURCE.replace("{name}", item.name), at):
            listed = self.scope.value(item.raw[key], item.copies) if key is not None else []
        if not isinstance(listed, list) or not all(isinstance(token, str) for token in listed):
            raise invalid(
                f"The 'dependsOn' of the template resource '{item.name}' must be an array of strings. {_HELP}"
            )
        return listed

    def _needed(self, token: str, item: Item) -> Sequence[Item]:
        found = self.lookup(token)
        if not found:
            raise invalid(f"The resource '{token}' is not defined in the template. {_HELP}", item.source)
        named = token.strip("/").lower()
        # A name alone has to be of one resource; in a loop, a name may be that of a loop.
        if len({one.id.lower() for one in found}) > 1 and all(one.name.lower() == named for one in found):
            raise invalid(
                f"The template resource '{item.name}' {_where(item.source)} is not valid: the dependency '{token}' is "
                f"ambiguous: more than one resource has this name. {_HELP}",
                item.source,
            )
        return found

    def _implied(self, item: Item) -> Iterator[Item]:
        """Resources that expressions in it refer to by name, or by an id without an api-version."""
        for text in _expressions(_own(item)):
            try:
                node = parse(text)
            except ExpressionError as error:
                raise expression_error(str(error), item.source) from None
            for call in calls(node):
                yield from self._referred(call, item.copies)

    def _referred(self, call: Apply, copies: Copies) -> Sequence[Item]:
        name = call.name.lower()
        asks = name in ("reference", "references") or (name.startswith("list") and "." not in name)
        if not asks or not call.arguments:
            return ()
        try:
            token = evaluate(call.arguments[0], self.scope.frame(copies))
        except ExpressionError:
            return ()  # known only when it runs, and then dependsOn has to say it
        if not isinstance(token, str) or (token.startswith("/") and len(call.arguments) > 1):
            return ()
        return self.lookup(token)

    def _batch_before(self, item: Item) -> Sequence[Item]:
        """In a serial loop, the batch before the one that this instance is in."""
        copy = item.raw.get("copy")
        if item.index is None or not isinstance(copy, dict) or str(copy.get("mode") or "").lower() != "serial":
            return ()
        with _told(_RESOURCE.replace("{name}", item.name), item.source.at("copy")):
            size = max(1, self.scope.count(copy.get("batchSize") or 1))
        first = item.index // size * size
        return [
            one
            for one in self.items
            if one.source == item.source and one.index is not None and first - size <= one.index < first
        ]

    def _refuse_circles(self) -> None:
        items = {item.key: item for item in self.items}
        done: set[str] = set()
        for start in self.items:
            trail: list[tuple[str, Iterator[str]]] = [(start.key, iter(start.depends))]
            open_keys = {start.key}
            while trail and start.key not in done:
                key, further = trail[-1]
                following = next((one for one in further if one not in done), None)
                if following is None:
                    done.add(key)
                    open_keys.discard(key)
                    trail.pop()
                elif following in open_keys:
                    raise invalid(f"Circular dependency detected on resource: '{items[following].id}'. {_HELP}")
                else:
                    open_keys.add(following)
                    trail.append((following, iter(items[following].depends)))

    # -- bodies and outputs ------------------------------------------------------------------------------------------

    def body(self, item: Item, scope: Scope) -> dict[str, Any]:
        """What is sent for a resource."""
        sent: dict[str, Any] = {}
        for name, raw in item.raw.items():
            if name.lower() in _NOT_SENT:
                continue
            if item.is_deployment and name.lower() == "properties":
                sent[name] = nested_properties(scope, raw, item.copies)
            else:
                sent[name] = scope.value(raw, item.copies)
        # A null is as good as nothing to resource providers.
        return {name: value for name, value in sent.items() if value is not None}

    def outputs(self, scope: Scope) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
        """Outputs as they are shown, the secret values, and what went wrong."""
        shown: dict[str, Any] = {}
        secrets: dict[str, Any] = {}
        wrong: list[dict[str, Any]] = []
        definitions = self.document.get("definitions") or {}
        for name, raw in (self.document.get("outputs") or {}).items():
            try:
                if raw.get("condition") is not None and scope.value(raw["condition"]) is not True:
                    continue
                value = self._output(raw, scope)
                declared = schemas.resolved(raw, definitions)
                kind = schemas.declared_type(declared)
                _check_output(value, declared)
            except (ExpressionError, schemas.TypeMismatchError, ArmError) as error:
                message = f"The template output '{name}' is not valid: {error}."
                wrong.append({"code": "DeploymentOutputEvaluationFailed", "target": name, "message": message})
                continue
            shown[name] = {"type": schemas.shown_type(declared)}
            if kind in schemas.SECURE:
                secrets[name] = value
            else:
                shown[name]["value"] = value
        return shown, secrets, wrong

    @staticmethod
    def _output(raw: Mapping[str, Any], scope: Scope) -> Any:
        copy = raw.get("copy")
        if not isinstance(copy, dict):
            return scope.value(raw.get("value"))
        loop = [NO_LOOP.inside(None, index, default=True) for index in range(scope.count(copy.get("count")))]
        return [scope.value(copy.get("input"), copies) for copies in loop]


def nested_properties(scope: Scope, raw: Any, copies: Copies) -> Any:
    """The properties of a nested deployment; the parent evaluates its template unless it asks for its own scope."""
    if not isinstance(raw, dict):
        return scope.value(raw, copies)
    inner = _evaluates_itself(raw)
    result = {}
    for name, value in raw.items():
        is_template = name.lower() == "template"
        result[name] = value if is_template and inner else scope.value(value, copies, for_nested=is_template)
    return result


def _evaluates_itself(properties: Mapping[str, Any]) -> bool:
    options = properties.get("expressionEvaluationOptions")
    return isinstance(options, dict) and str(options.get("scope")).lower() == "inner"


def _own(item: Item) -> Mapping[str, Any]:
    """What of a resource this template evaluates: not the template of a nested deployment with its own scope."""
    properties = item.raw.get("properties")
    kept = {name: value for name, value in item.raw.items() if name.lower() not in ("dependson", "resources", "copy")}
    if item.is_deployment and isinstance(properties, dict) and _evaluates_itself(properties):
        kept["properties"] = {name: value for name, value in properties.items() if name.lower() != "template"}
    return kept


def _expressions(raw: Any) -> Iterator[str]:
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield from _expressions(key)
            yield from _expressions(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from _expressions(value)
    elif is_expression(raw):
        yield raw[1:-1]


def _object(raw: Any, source: Source) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise invalid(f"The template resource {_where(source)} must be an object. {_HELP}", source)
    return raw


def _child(raw: Mapping[str, Any], parent: Mapping[str, Any]) -> Mapping[str, Any]:
    """A resource that stands in the `resources` of its parent, with its whole type and name."""
    kind, name = str(raw.get("type")), raw.get("name")
    whole = str(parent.get("type"))
    if kind.lower().startswith(f"{whole.lower()}/"):
        return raw
    inherited = {key: parent[key] for key in ("apiVersion",) if key in parent and key not in raw}
    return {**inherited, **raw, "type": f"{whole}/{kind}", "name": _joined(parent.get("name"), name)}


def _joined(parent: Any, name: Any) -> str:
    """`parent/name`, where both may be expressions."""
    parts = [str(part)[1:-1] if is_expression(part) else _literal(str(part)) for part in (parent, name)]
    if not is_expression(parent) and not is_expression(name):
        return f"{parent}/{name}"
    return f"[concat({parts[0]}, '/', {parts[1]})]"


def _literal(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"


def _check_segments(kind: str, name: str, source: Source) -> None:
    names = name.split("/")
    if kind.count("/") != len(names) or "/" not in kind or not all(names):
        at = source.at("type")
        raise invalid(
            f"The template resource '{name}' for type '{kind}' {_where(at)} has incorrect segment lengths. A nested "
            "resource type must have identical number of segments as its resource name. A root resource type must have "
            f"segment length one greater than its resource name. {_HELP}",
            at,
        )


def _path(kind: str, names: Sequence[str]) -> str:
    namespace, *types = kind.split("/")
    return "/".join([namespace, *(f"{one}/{name}" for one, name in zip(types, names, strict=True))])


def _whole_type(kind: str, name: str) -> str:
    """The type of an extension that is written after its parent's: the namespace is in the name."""
    types, names = kind.split("/"), name.split("/")
    if "providers" not in [part.lower() for part in types]:
        return kind
    at = [part.lower() for part in types].index("providers")
    return "/".join([names[at - 1], *types[at + 1 :]])


def _check_output(value: Any, declared: Mapping[str, Any]) -> None:
    try:
        schemas.check(value, {"type": declared.get("type"), "nullable": declared.get("nullable")}, {})
    except schemas.TypeMismatchError:
        wanted = schemas.shown_type(declared)
        raise ExpressionError(
            f"Template output JToken type is not valid. Expected '{wanted}'. Actual '{kind_of(value)}'. Please see "
            "https://aka.ms/arm-syntax-outputs for usage details"
        ) from None


# -- parameters --------------------------------------------------------------------------------------------------------


def parameter_values(
    template: Mapping[str, Any],
    given: Mapping[str, Any],
    place: Place,
    source: Source,
    secret: Callable[[Mapping[str, Any]], Any],
    external: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Values for all parameters of a template: those given, else the defaults; `secret` reads a key vault."""
    declared: Mapping[str, Any] = template.get("parameters") or {}
    unknown = [name for name in given if member(declared, name) is None]
    if unknown:
        raise invalid(
            f"The template parameters '{', '.join(unknown)}' in the parameters file are not valid; they are not "
            "present in the original template and can therefore not be provided at deployment time. The only supported "
            f"parameters for this template are '{', '.join(declared)}'. Please see "
            "https://aka.ms/arm-pass-parameter-values for usage details."
        )
    definitions = template.get("definitions") or {}
    values: dict[str, Any] = {}
    for name in _in_order(declared):
        declaration = declared[name]
        at = source.at("parameters", name)
        if "$ref" not in declaration and not schemas.is_known(str(declaration.get("type") or "object")):
            raise invalid(
                f"The template parameter '{name}' {_where(at)} has a type that is not valid. {_PARAMETER_HELP}", at
            )
        try:
            declaration = schemas.resolved(declaration, definitions)
            found = member(given, name)
            value = _given(given[found], secret, external or {}) if found is not None else None
            if value is None:
                value = _default(name, declaration, values, place, template, at)
            schemas.check(value, declaration, definitions)
        except schemas.TypeMismatchError as error:
            inner = f" (at '{error.path}')" if error.path else ""
            raise invalid(
                f"The provided value for the template parameter '{name}' is not valid. {error}{inner} "
                f"{_PARAMETER_HELP}",
                at,
            ) from None
        values[name] = value
    return {name: values[name] for name in declared}


def _given(sent: Any, secret: Callable[[Mapping[str, Any]], Any], external: Mapping[str, Any]) -> Any:
    if not isinstance(sent, dict):
        raise schemas.TypeMismatchError("It must be an object with the member 'value'.")
    if isinstance(sent.get("reference"), dict):
        return secret(sent["reference"])
    if isinstance(sent.get("expression"), str):
        return _external(str(sent["expression"]), external)
    return sent.get("value")


_EXTERNAL = re.compile(r"^\[externalInputs\('((?:[^']|'')*)'\)\]$", re.IGNORECASE)


def _external(expression: str, external: Mapping[str, Any]) -> Any:
    found = _EXTERNAL.match(expression)
    name = found[1].replace("''", "'") if found is not None else None
    if name is None or not isinstance(external.get(name), dict):
        raise schemas.TypeMismatchError(f"The external input of the expression '{expression}' was not provided.")
    return external[name].get("value")


def _default(
    name: str, declaration: Mapping[str, Any], values: Mapping[str, Any], place: Place, template: Mapping[str, Any],
    source: Source,
) -> Any:  # fmt: skip
    if "defaultValue" not in declaration:
        if declaration.get("nullable"):
            return None
        raise invalid(
            f"The value for the template parameter '{name}' {_where(source)} is not provided. {_PARAMETER_HELP}", source
        )
    with _told(f"The template parameter '{name}' is not valid: {{}}.", source.at("defaultValue")):
        return for_parameters(place, values, template).value(declaration["defaultValue"])


_REFERENCE = re.compile(r"parameters\(\s*'((?:[^']|'')*)'\s*\)", re.IGNORECASE)


def _in_order(declared: Mapping[str, Any]) -> list[str]:
    """Parameters such that those that a default value refers to come first."""
    order: dict[str, None] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in order or name in trail:
            return
        declaration = declared[name]
        default = declaration.get("defaultValue") if isinstance(declaration, dict) else None
        for text in _expressions(default):
            for other in _REFERENCE.findall(text):
                found = member(declared, other)
                if found is not None:
                    visit(found, (*trail, name))
        order[name] = None

    for name in declared:
        visit(name, ())
    return list(order)


def check_shape(template: Any, source: Source) -> Mapping[str, Any]:
    """Refuse what is no template."""
    if not isinstance(template, dict):
        raise errors.bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: the template must be a JSON object.",
        )
    for name in ("$schema", "contentVersion", "resources"):
        if member(template, name) is None:
            raise errors.bad_request(
                "InvalidRequestContent",
                f"The request content was invalid and could not be deserialized: 'Required property '{name}' not found "
                f"in JSON. Path '{source.text}', line 1, position {source.column}.'.",
            )
    wrong = shape.problem(template)
    if wrong is not None:
        at = source.at(*wrong[0])
        raise errors.bad_request(
            "InvalidRequestContent",
            f"The request content was invalid and could not be deserialized: '{wrong[1]}. Path '{at.text}', line 1, "
            f"position {at.column}.'.",
        )
    for name in ("parameters", "variables", "outputs"):
        count, limit = len(template.get(name) or ()), LIMITS[name]
        if count > limit:
            raise invalid(f"The number of template {name} limit exceeded. Limit: '{limit}' and actual: '{count}'.")
    return template


class _told:  # noqa: N801 (reads as a verb)
    """Turns what is wrong with an expression into the error of a template.

    In the message, `{}` stands for the expression's own, and `{where}` for line and column.
    """

    def __init__(self, message: str, source: Source) -> None:
        self._message, self._source = message, source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ExpressionError):
            return
        text = str(error)
        if text.startswith(("Unable to parse", "The language expression '")):
            raise expression_error(text, self._source) from None
        message = self._message.replace("{where}", _where(self._source)).replace("{}", text)
        raise invalid(message, self._source) from None


def expression_error(message: str, source: Source | None = None) -> ArmError:
    """An expression that cannot be parsed."""
    return violation(
        f"Deployment template language expression evaluation failed: '{message}'. Please see "
        "https://aka.ms/arm-template-expressions for usage details.",
        source,
    )
