"""The contract as a plan: which call of the real clients proves which operation, from tables of examples.

A table (contract/*.yaml) covers whole SDK packages. It lists resources in the order of their creation, with the bodies
that PUT, PATCH and actions take, and calls that need more arguments than an id gives. Everything else is derived here:
which operation is served, on which resource it is called, and its arguments from the id.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from azure.core import MatchConditions
from sdk_clients import snake
from sdk_reading import SdkOperation, operations, type_of

from azure_emulator.providers import PROVIDERS

MANY_SEGMENTS = {"scope", "resourceuri", "resourceid", "parentresourcepath", "resourcetype"}
_PARAMETER = re.compile(r"\{(\w+)\}")
READS = ("GET", "HEAD")
NOT_ARGUMENTS = ("resource", "take", "refused", "status_document")


class NoExampleError(Exception):
    """A served operation that no table says how to call."""


@dataclass(frozen=True)
class Example:
    """A resource: its id, and bodies by verb and by action."""

    label: str
    id: str
    put: Any = None
    patch: Any = None
    post: Mapping[str, Any] = field(default_factory=dict)
    delete: bool = True  # False: what it is in takes it along, or Azure refuses
    again_while: str | None = None  # code of the refusal after which a client tries again


@dataclass(frozen=True)
class Step:
    """One call: an operation with its keyword arguments, and the resource that it answers with, if it does."""

    operation: SdkOperation
    arguments: dict[str, Any]
    example: Example | None = None
    resource: str | None = None
    take: Mapping[str, str] = field(default_factory=dict)
    refused: str | None = None  # code of the refusal, for what Azure refuses to whoever has not bought it
    # The SDK takes the operation's status document for the result (final-state-via: azure-async-operation).
    status_document: bool = False

    @property
    def key(self) -> str:
        return key_of(self.operation)


def key_of(operation: SdkOperation) -> str:
    """How tables name an operation."""
    return f"{operation.group}.{operation.name}"


@cache
def _served_paths() -> tuple[dict[str, Any], frozenset[tuple[str, str]]]:
    types = {kind.key: kind for provider in PROVIDERS for kind in provider.types}
    functions = frozenset((method, path.lower()) for provider in PROVIDERS for method, path in provider.functions)
    return types, functions


def _fits(pattern: str, path: str) -> bool:
    """Whether a type path with parameters in it can be that one."""
    wanted, given = pattern.split("/"), path.split("/")
    return len(wanted) == len(given) and all(
        one == other or one.startswith("{") for one, other in zip(wanted, given, strict=True)
    )


def ends_in_name(url: str) -> bool:
    """Whether a URL template names one resource, not a collection or an action."""
    segments = [segment for segment in url.split("?", 1)[0].split("/") if segment]
    at = max((index for index, segment in enumerate(segments) if segment == "providers"), default=None)
    return (len(segments) - at) % 2 == 0 if at is not None else len(segments) % 2 == 0


def is_served(operation: SdkOperation) -> bool:
    """Whether the emulator has a type, an action or a function for an operation's path and verb."""
    path = operation.type_name.lower()
    if "/" not in path or (path.startswith("{") and "{resourceType}" in operation.url):
        return True  # any resource, by id or by the parts of its path
    types, functions = _served_paths()
    if any(method == operation.verb and _fits(path, known) for method, known in functions):
        return True
    if (operation.verb, f"*/{path.split('/', 1)[1]}") in functions and path.count("/") == 1:
        return True
    kinds = [kind for key, kind in types.items() if _fits(path, key)]
    if kinds and ends_in_name(operation.url):
        wanted: dict[str, Callable[[Any], bool]] = {
            "PUT": lambda kind: kind.put is not None,
            "PATCH": lambda kind: kind.patch is not None,
            "DELETE": lambda kind: kind.delete is not None,
            "GET": lambda kind: True,
            "HEAD": lambda kind: True,
        }
        return operation.verb in wanted and any(wanted[operation.verb](kind) for kind in kinds)
    if kinds and operation.verb == "GET":
        return True
    owner, _, action = path.rpartition("/")
    return operation.verb == "POST" and owner in types and action in {name.lower() for name in types[owner].actions}


def is_kept(resource: str) -> bool:
    """Whether a resource is of a type of its own, not a part of another one's body."""
    return type_of(resource).lower() in _served_paths()[0]


def parent_served(operation: SdkOperation) -> bool:
    """Whether the type, or one that it is below, is served."""
    parts = operation.type_name.lower().split("/")
    return any("/".join(parts[:end]) in _served_paths()[0] for end in range(2, len(parts) + 1))


class Table:
    """One file of examples, filled in for one run."""

    def __init__(self, path: Path, *, subscription: str, tenant: str, group: str, run: str) -> None:
        document = yaml.safe_load(path.read_text())
        self.name = path.stem
        self.packages: list[str] = document["packages"]
        self.group = f"/subscriptions/{subscription}/resourceGroups/{group}"
        self.values = {
            "subscription": f"/subscriptions/{subscription}", "subscriptionid": subscription, "tenant": tenant,
            "group": self.group, "groupname": group, "location": document.get("location", "westeurope"), "run": run,
        }  # fmt: skip
        self.values.update(document.get("runs", {}).get(run, {}))
        self.url_values = {
            "subscriptionid": subscription, "resourcegroupname": group, "location": self.values["location"],
            "locationname": self.values["location"],
        }  # fmt: skip
        self.examples: list[Example] = []
        for label, given in document.get("resources", {}).items():
            entry = self.filled(given)
            short = entry.pop("id")
            full = short if short.startswith("/") else f"{self.group}/providers/{short}"
            self.values[label] = full
            self.examples.append(Example(label, full, **entry))
        # Members of answers that are not as the models have them, because Azure's are not either.
        self.beyond = frozenset(document.get("beyond", []))
        self.calls: dict[str, dict[str, Any]] = document.get("calls", {})
        self.after: dict[str, dict[str, Any]] = document.get("after", {})

    def filled(self, value: Any) -> Any:
        """A value of the table with {names} replaced by ids and what is particular to this run."""
        if isinstance(value, Mapping):
            return {self.filled(key): self.filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if isinstance(value, str):
            return _PARAMETER.sub(lambda match: self.values.get(match[1], match[0]), value)
        return value

    # -- the plan ----------------------------------------------------------------------------------------------------

    def operations(self) -> list[SdkOperation]:
        """The served operations of this table's packages."""
        return [one for one in operations() if one.package in self.packages and is_served(one)]

    def creations(self) -> list[tuple[Example, SdkOperation]]:
        """The PUT that makes each resource, of this table's packages if they have one."""
        return [(one, self.own("PUT", one)[0]) for one in self.examples if one.put is not None]

    def own(self, verb: str, example: Example) -> list[SdkOperation]:
        """The operations for one verb on a resource: this table's packages', or else any package's."""
        fitting = [one for one in operations() if one.verb == verb and self.answers_with(one.url, example.id)]
        # {recordType} stands for the types of records, and fits every other type as well.
        literal = [one for one in fitting if "{" not in one.type_name] or fitting
        own = [one for one in literal if one.package in self.packages]
        return own or literal[:1]

    def step(self, operation: SdkOperation, method: Any, example: Example | None = None) -> Step:
        """The call of an operation, on that resource or on the one that fits best."""
        given = self.calls.get(key_of(operation)) or self.after.get(key_of(operation)) or {}
        explicit = self.filled({name: value for name, value in given.items() if name not in NOT_ARGUMENTS})
        if example is None and "resource" in given:
            example = next(one for one in self.examples if one.label == given["resource"])
        if "match_condition" in explicit:
            explicit["match_condition"] = MatchConditions[explicit["match_condition"]]
        example = example or self._best(operation)
        captured = {} if example is None else _captured(operation.url, example.id)
        values = {**self.url_values, **captured}
        arguments = self._arguments(operation, method, values, explicit, self._body(operation, example))
        named = example is not None and self.answers_with(operation.url, example.id)
        resource = example.id if example is not None and named and not set(explicit) & _names(operation) else None
        return Step(
            operation,
            arguments,
            example,
            resource,
            given.get("take") or {},
            given.get("refused"),
            given.get("status_document", False),
        )

    def _body(self, operation: SdkOperation, example: Example | None) -> Any:
        if example is None:
            return None
        if operation.verb == "POST":
            action = operation.url.split("?", maxsplit=1)[0].rsplit("/", 1)[-1]
            return {name.lower(): body for name, body in example.post.items()}.get(action.lower())
        return {"PUT": example.put, "PATCH": example.patch}.get(operation.verb)

    def _arguments(
        self, operation: SdkOperation, method: Any, values: Mapping[str, str], explicit: Mapping[str, Any], body: Any
    ) -> dict[str, Any]:
        in_url = _names(operation)
        arguments: dict[str, Any] = {}
        for name, parameter in inspect.signature(method).parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD or name == "content_type":
                continue
            required = parameter.default is inspect.Parameter.empty
            if name in explicit:
                arguments[name] = explicit[name]
            elif snake(name) in values and (required or snake(name) in in_url):
                arguments[name] = values[snake(name)]
            elif (
                snake(name) not in in_url
                and body is not None
                and name in operation.arguments
                and (operation.model is not None or required)
            ):
                arguments[name], body = body, None
            elif required:
                raise NoExampleError(
                    f"{self.name}: {key_of(operation)} needs {name} ({operation.verb} {operation.url})"
                )
        unknown = set(explicit) - set(arguments)
        arguments.update({name: explicit[name] for name in unknown})  # what an operation takes as **kwargs
        return arguments

    def _best(self, operation: SdkOperation) -> Example | None:
        """The first resource that gives the most of an operation's parameters."""
        ranked = [(self._rank(operation.url, example.id), -place) for place, example in enumerate(self.examples)]
        if not ranked or max(ranked)[0] == (0, 0):
            return None
        return self.examples[-max(ranked)[1]]

    @staticmethod
    def _rank(url: str, resource: str) -> tuple[int, int]:
        captured = _captured(url, resource)
        named = len(set(captured) - {"subscriptionid", "resourcegroupname"})
        return named, int(Table.answers_with(url, resource))

    @staticmethod
    def answers_with(url: str, resource: str) -> bool:
        """Whether a URL template is that resource's own."""
        if url.count("/") == 1 or "{resourceType}" in url:
            return False
        return _pattern(url).fullmatch(resource) is not None


@cache
def _pattern(url: str) -> re.Pattern[str]:
    segments = url.strip("/").split("/")
    return re.compile("/?" + "/".join(
        (".+" if snake(segment[1:-1]) in MANY_SEGMENTS else "[^/]+") if segment.startswith("{") else re.escape(segment)
        for segment in segments
    ), re.IGNORECASE)  # fmt: skip


def _names(operation: SdkOperation) -> set[str]:
    return {snake(name) for name in _PARAMETER.findall(operation.url)}


def _captured(url: str, resource: str) -> dict[str, str]:
    """Parameters of a URL template as a resource's id gives them, as far as both agree from the left."""
    template, given = url.split("?", maxsplit=1)[0].strip("/").split("/"), resource.strip("/").split("/")
    found: dict[str, str] = {}
    first = template[0]
    if first.startswith("{") and len(template) > 2:
        namespace = template[2].lower()
        places = [
            index for index, segment in enumerate(given[:-1])
            if segment.lower() == "providers" and given[index + 1].lower() == namespace
        ]  # fmt: skip
        if not places:
            return {}
        found[snake(first)] = "/" + "/".join(given[: places[-1]])
        template, given = template[1:], given[places[-1] :]
    for wanted, got in zip(template, given, strict=False):
        if wanted.startswith("{"):
            found[snake(wanted)] = got
        elif wanted.lower() != got.lower():
            break
    return found


def not_served(path: Path) -> Iterator[tuple[str, str]]:
    """Entries of the list of what is not served, with their reasons."""
    for reason, entries in yaml.safe_load(path.read_text()).items():
        for entry in entries:
            yield entry, reason


def is_meant(entry: str, operation: SdkOperation) -> bool:
    """Whether an entry is about an operation: Group.method, or a type path, maybe after a verb or before /*."""
    if "/" not in entry:
        return entry == key_of(operation)
    verb, _, path = entry.rpartition(" ")
    own = operation.type_name.lower()
    meant = own.startswith(path[:-1].lower()) if path.endswith("/*") else own == path.lower()
    return meant and verb in ("", operation.verb)


def filled_url(operation: SdkOperation, subscription: str) -> str:
    """A URL of an operation with a name of no resource for each of its parameters."""
    scope = f"subscriptions/{subscription}"
    fixed = {"subscriptionid": subscription, "scope": scope, "resourceuri": scope,
             "location": "westeurope", "locationname": "westeurope"}  # fmt: skip
    return "/" + _PARAMETER.sub(lambda match: fixed.get(snake(match[1]), "nothing"), operation.url).strip("/")


__all__ = ["Example", "NoExampleError", "Step", "Table", "filled_url", "is_kept", "is_meant", "is_served", "key_of",
           "not_served", "parent_served", "type_of"]  # fmt: skip
