"""What the installed azure-mgmt clients send and accept, read from their own source: operations and body models.

The emulator knows nothing of the SDK; the tests and the shapes that it checks bodies by come from here.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import azure.mgmt

ROOT = Path(next(iter(azure.mgmt.__path__)))
NOT_ARM = {"core"}
# A model among the arguments that is no enumeration (those are Union[str, _models.X]).
_BODY = re.compile(r"(?<!str, )_models\d*\.(\w+)")

_URL = re.compile(r"""_url = (?:kwargs\.pop\(\s*"template_url",\s*)?\(?\s*((?:"[^"]*"\s*(?:#[^\n]*)?)+)""")


@dataclass(frozen=True)
class SdkOperation:
    """One operation of a client: how its first request looks, and which answers do not raise.

    Attributes
    ----------
    package
        Below azure.mgmt, such as compute or authorization.v2022_04_01.
    group, name
        Class without its ending (VirtualMachines), and method as a user calls it (begin_create_or_update).
    verb, url
        Of the first request.
    accepts
        Statuses that do not raise.
    model
        Class of the body in the package's models, None where it takes none.
    arguments
        Names of the method's positional parameters, in order.
    """

    package: str
    group: str
    name: str
    verb: str
    url: str
    accepts: frozenset[int]
    model: str | None
    arguments: tuple[str, ...]

    @property
    def type_name(self) -> str:
        """Type path with namespace, such as Microsoft.Compute/virtualMachines/start, as the emulator parses it."""
        return type_of(self.url)

    @property
    def is_long(self) -> bool:
        """Whether it is followed by a poller."""
        return self.name.startswith("begin_")


def type_of(url: str) -> str:
    """Type path of a URL template."""
    segments = [segment for segment in url.split("?", maxsplit=1)[0].split("/") if segment]
    at = max(
        (i for i, segment in enumerate(segments) if segment == "providers" and segments[i + 1 : i + 2]), default=None
    )
    if at is None or at + 2 >= len(segments):
        start = 2 if segments[:1] == ["subscriptions"] and segments[2:] else 0
        if segments[:1] and segments[0].startswith("{"):  # {scope} or {resourceId}
            start = 1
        return "/".join(("Microsoft.Resources", *segments[start::2]))
    return "/".join((segments[at + 1], *segments[at + 2 :: 2]))


def packages() -> Iterator[tuple[str, Path]]:
    """Each client's package, in its newest api-version, with the folder of its operations."""
    newest: dict[Path, Path] = {}
    for folder in sorted(ROOT.glob("**/operations")):
        inside = folder.parent
        if "aio" in folder.parts or inside.relative_to(ROOT).parts[0] in NOT_ARM:
            continue
        versioned = re.fullmatch(r"v\d{4}_\d{2}_\d{2}(_preview)?", inside.name)
        key = inside.parent if versioned else inside
        # Sorted by date; a preview stands only where there is nothing else.
        if key not in newest or (versioned is not None and versioned[1] is None):
            newest[key] = inside
    for inside in newest.values():
        yield ".".join(inside.relative_to(ROOT).parts), inside / "operations"


@lru_cache
def operations() -> tuple[SdkOperation, ...]:
    """Every operation of every installed client."""
    found: list[SdkOperation] = []
    for package, folder in packages():
        for path in sorted(folder.glob("*_operations.py")):
            found.extend(_read(package, path))
    return tuple(found)


def find(verb: str, path: str) -> SdkOperation | None:
    """The operation that an SDK has for a type path, those with parameters in the path where no other has."""
    found = [one for one in operations() if one.verb == verb and not one.type_name.startswith("{")]
    exact = next((one for one in found if one.type_name.lower() == path.lower()), None)
    return exact or next((one for one in found if _matches(one.type_name.lower(), path.lower())), None)


def _matches(pattern: str, path: str) -> bool:
    wanted, given = pattern.split("/"), path.split("/")
    return len(wanted) == len(given) and all(
        one == other or one[0] == "{" for one, other in zip(wanted, given, strict=True)
    )


def _read(package: str, path: Path) -> Iterator[SdkOperation]:
    lines = path.read_text().split("\n")
    builders = dict(_builders(lines))
    for group, methods in _classes(lines):
        for name, source in methods.items():
            if name.startswith("_"):
                continue
            long = name.startswith("begin_")
            first = methods.get(f"_{name.removeprefix('begin_')}_initial", "") if long else source
            match = re.search(r"= (build_\w+_request)\(", first or source) or re.search(
                r"= (build_\w+_request)\(", source
            )
            statuses = re.search(r"status_code not in \[([\d, ]+)\]", first or source)
            if match is None or match[1] not in builders or statuses is None:
                continue
            verb, url = builders[match[1]]
            end = re.search(r":(?:  # .*)?\n        (?=\S)", source)
            assert end is not None, (package, group, name)
            signature = source[: end.start() + 1]
            model = _BODY.search(signature.split("->")[0])
            if model is None:
                overloads = [other for other in methods.get(f"{name}#overloads", "").split("\0") if other]
                model = next((m for text in overloads if (m := _BODY.search(text.split("->")[0]))), None)
            yield SdkOperation(
                package, group, name, verb, url, frozenset(int(code) for code in statuses[1].split(",")),
                model[1] if model is not None and verb in ("PUT", "PATCH", "POST") else None, _arguments(signature),
            )  # fmt: skip


def _arguments(signature: str) -> tuple[str, ...]:
    start = signature.index("    def ")
    tree = ast.parse(re.sub(r"^    ", "", signature[start:], flags=re.MULTILINE) + " ...")
    function = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return tuple(argument.arg for argument in function.args.args if argument.arg != "self")


def _builders(lines: list[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    name, block = "", []
    for line in [*lines, "def end("]:
        if re.match(r"(def|class) ", line):
            if name:
                text = "\n".join(block)
                url = re.search(
                    r"_url = (?:kwargs\.pop\(\s*\"template_url\",\s*)?\(?\s*((?:\"[^\"]*\"\s*(?:#[^\n]*)?)+)", text
                )
                verb = re.search(r'HttpRequest\(\s*method="(\w+)"', text)
                if url is not None and verb is not None:
                    yield name, (verb[1], "".join(re.findall(r'"([^"]*)"', url[1])))
            match = re.match(r"def (build_\w+_request)\(", line)
            name, block = (match[1], []) if match else ("", [])
        block.append(line)


def _classes(lines: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    group: str | None = None
    methods: dict[str, str] = {}
    name, block, overload = "", [], False
    for line in [*lines, "class End"]:
        starts_class = re.match(r"class (_?\w+)", line)
        starts_method = re.match(r"    def (\w+)\(", line)
        if (starts_class or starts_method) and name:
            text = "\n".join(block)
            if overload:
                methods[f"{name}#overloads"] = methods.get(f"{name}#overloads", "") + text + "\0"
            else:
                methods[name] = text
            name = ""
        if starts_class:
            if group is not None:
                yield group, methods
            match = re.match(r"_?(\w+?)Operations(Mixin)?$", starts_class[1])
            group, methods = (match[1] if match else None), {}
        if starts_method and group is not None:
            name, overload = starts_method[1], "    @overload" in block[-2:]
            block = []
        block.append(line)


class Shapes:
    """Body models as plain data: definition name -> {member: kind}; see `azure_emulator.shapes` for the kinds."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}

    def add(self, package: str, model: str) -> str:
        """Take in a model and what it refers to; answers its name."""
        name = f"{package.split('.', maxsplit=1)[0]}.{model}"
        if name in self.definitions:
            return name
        members: dict[str, Any] = {}
        self.definitions[name] = members
        module = importlib.import_module(f"azure.mgmt.{package}.models")
        cls = getattr(module, model)
        if hasattr(cls, "_attribute_map"):
            self._old(package, module, cls, members)
        else:
            self._new(package, module, cls, members)
        return name

    def _new(self, package: str, module: Any, cls: Any, members: dict[str, Any]) -> None:
        for base in reversed(cls.__mro__):
            for name, hint in inspect.get_annotations(base).items():
                field = base.__dict__.get(name) or getattr(cls, "_attr_to_rest_field", {}).get(name)
                if not hasattr(field, "_rest_name_input"):
                    continue
                members[field._rest_name_input or name] = self._kind(package, module, hint)

    def _kind(self, package: str, module: Any, hint: Any) -> Any:
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Literal:
            return "string"
        if origin in (typing.Union, types.UnionType):
            kinds = [self._kind(package, module, one) for one in inner if one is not type(None)]
            return kinds[0] if all(kind == kinds[0] for kind in kinds) else "any"
        if origin is list:
            return [self._kind(package, module, inner[0])]
        if origin is dict:
            return {"*": self._kind(package, module, inner[1])}
        if isinstance(hint, typing.ForwardRef | str):
            return self._named(package, module, getattr(hint, "__forward_arg__", hint))
        return _PRIMITIVES.get(getattr(hint, "__name__", ""), "any")

    def _named(self, package: str, module: Any, text: str) -> Any:
        model = text.rsplit(".", 1)[-1]
        cls = getattr(module, model, None)
        if cls is None:
            return _PRIMITIVES.get(model, "any")
        if any(base.__name__ == "Model" for base in cls.__mro__):
            return f"#{self.add(package, model)}"
        return "string"  # an enumeration

    def _old(self, package: str, module: Any, cls: Any, members: dict[str, Any]) -> None:
        for entry in cls._attribute_map.values():
            *parents, last = (part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", entry["key"]))
            inner = members
            for part in parents:
                inner = inner.setdefault(part, {})
                if not isinstance(inner, dict):
                    break
            else:
                inner[last] = self._old_kind(package, module, entry["type"])

    def _old_kind(self, package: str, module: Any, text: str) -> Any:
        if text.startswith("["):
            return [self._old_kind(package, module, text[1:-1])]
        if text.startswith("{"):
            return {"*": self._old_kind(package, module, text[1:-1])}
        return _PRIMITIVES.get(text) or self._named(package, module, text)


_PRIMITIVES = {
    "str": "string", "int": "integer", "long": "integer", "float": "number", "bool": "boolean", "object": "any",
    "datetime": "string", "timedelta": "string", "iso-8601": "string", "rfc-1123": "string", "duration": "string",
    "date": "string", "time": "string", "bytes": "string", "bytearray": "string", "decimal": "number",
    "unix-time": "integer",
}  # fmt: skip
