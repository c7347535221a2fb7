"""The types of template parameters and outputs: constraints, and the user-defined types that Bicep emits.

Checks values against declarations; knows nothing of expressions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure_emulator.providers.deployments.functions import equal, kind_of, text
from azure_emulator.providers.deployments.language import member

# Declared type -> how ARM calls the JSON type that it wants.
_WANTED = {
    "string": "String",
    "securestring": "String",
    "int": "Integer",
    "bool": "Boolean",
    "array": "Array",
    "object": "Object",
    "secureobject": "Object",
}
# Declared type -> how a deployment shows it.
_SHOWN = {
    "string": "String",
    "securestring": "SecureString",
    "int": "Int",
    "bool": "Bool",
    "array": "Array",
    "object": "Object",
    "secureobject": "SecureObject",
}
SECURE = frozenset({"securestring", "secureobject"})
# A chain of references longer than this goes in a circle.
_LONGEST_CHAIN = 50


class TypeMismatchError(Exception):
    """A value that is not as declared; the text is what follows "is not valid." in ARM's messages."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def declared_type(declaration: Mapping[str, Any]) -> str:
    """The type of a declaration in lower case, or an empty string for any type."""
    return str(declaration.get("type") or "").lower()


def shown_type(declaration: Mapping[str, Any]) -> str:
    """How a deployment shows the type of a parameter or output."""
    return _SHOWN.get(declared_type(declaration), "Object")


def is_known(name: str) -> bool:
    """Whether a template may name that type."""
    return name.lower() in _WANTED


def resolved(declaration: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """A declaration with what it refers to in the template's definitions."""
    for _ in range(_LONGEST_CHAIN):
        reference = declaration.get("$ref")
        if reference is None:
            return declaration
        target = _pointed({"definitions": definitions}, str(reference))
        if target is None:
            raise TypeMismatchError(f"The type reference '{reference}' could not be resolved.")
        own = {key: value for key, value in declaration.items() if key != "$ref"}
        declaration = {**target, **own}
    raise TypeMismatchError("The type references form a circle.")


def _pointed(document: Any, reference: str) -> Mapping[str, Any] | None:
    for part in reference.removeprefix("#/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        elif isinstance(document, dict) and (found := member(document, name)) is not None:
            document = document[found]
        else:
            return None
    return document if isinstance(document, dict) else None


def check(value: Any, declaration: Mapping[str, Any], definitions: Mapping[str, Any], path: str = "") -> None:
    """Refuse a value that is not as declared."""
    declaration = resolved(declaration, definitions)
    if value is None and declaration.get("nullable"):
        return
    wanted, actual = _WANTED.get(declared_type(declaration)), kind_of(value)
    if wanted is not None and actual != wanted:
        raise TypeMismatchError(f"Expected a value of type '{wanted}', but received a value of type '{actual}'.", path)
    _check_allowed(value, declaration, path)
    _check_limits(value, declaration, path)
    if isinstance(value, list):
        _check_items(value, declaration, definitions, path)
    if isinstance(value, dict):
        _check_members(value, declaration, definitions, path)


def _check_allowed(value: Any, declaration: Mapping[str, Any], path: str) -> None:
    allowed = declaration.get("allowedValues")
    if not isinstance(allowed, list) or any(_same(value, choice) for choice in allowed):
        return
    # An array of allowed items may hold several of them.
    if isinstance(value, list) and all(any(_same(item, choice) for choice in allowed) for item in value):
        return
    choices = ",".join(map(text, allowed))
    raise TypeMismatchError(f"The value '{text(value)}' is not part of the allowed value(s): '{choices}'.", path)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    return equal(one, other)


def _check_limits(value: Any, declaration: Mapping[str, Any], path: str) -> None:
    size: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        size, what, low, high = value, "The value", declaration.get("minValue"), declaration.get("maxValue")
    elif isinstance(value, str | list):
        size, what, low, high = (
            len(value), "Length of the value", declaration.get("minLength"), declaration.get("maxLength"),
        )  # fmt: skip
    if size is None:
        return
    if isinstance(low, int) and size < low:
        raise TypeMismatchError(f"{what} should be greater than or equal to '{low}'.", path)
    if isinstance(high, int) and size > high:
        raise TypeMismatchError(f"{what} should be less than or equal to '{high}'.", path)


def _check_items(value: list[Any], declaration: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> None:
    prefix = declaration.get("prefixItems") or []
    items = declaration.get("items")
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if index < len(prefix):
            check(item, prefix[index], definitions, where)
        elif items is False:
            raise TypeMismatchError(f"The array holds more items than the '{len(prefix)}' that are declared.", path)
        elif isinstance(items, dict):
            check(item, items, definitions, where)


def _check_members(
    value: dict[str, Any], declaration: Mapping[str, Any], definitions: Mapping[str, Any], path: str
) -> None:
    discriminator = declaration.get("discriminator")
    if isinstance(discriminator, dict):
        _check_variant(value, discriminator, definitions, path)
        return
    declared: dict[str, Any] = declaration.get("properties") or {}
    for name, inner in declared.items():
        where = f"{path}.{name}" if path else name
        found = member(value, name)
        if found is not None:
            check(value[found], inner, definitions, where)
        elif not resolved(inner, definitions).get("nullable"):
            raise TypeMismatchError(f"The property '{where}' is required, but was not provided.", path)
    others = [name for name in value if member(declared, name) is None]
    further = declaration.get("additionalProperties")
    if further is False and others:
        raise TypeMismatchError(f"The following properties are not permitted: '{', '.join(others)}'.", path)
    if isinstance(further, dict):
        for name in others:
            check(value[name], further, definitions, f"{path}.{name}" if path else name)


def _check_variant(
    value: dict[str, Any], discriminator: Mapping[str, Any], definitions: Mapping[str, Any], path: str
) -> None:
    name, mapping = str(discriminator.get("propertyName")), discriminator.get("mapping") or {}
    found = member(value, name)
    chosen = value[found] if found is not None else None
    if not isinstance(chosen, str) or chosen not in mapping:
        raise TypeMismatchError(
            f"The property '{name}' must be one of '{', '.join(mapping)}'; it is '{text(chosen)}'.", path
        )
    check(value, mapping[chosen], definitions, path)
