"""The shape of a template, before anything in it is understood: which members are objects, lists, names and numbers.

Resources are left out: what they may hold depends on their types, and template.py reads them one by one.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class Discriminator(_Part):
    """How a tagged union tells its variants apart."""

    property_name: str = Field(alias="propertyName")
    mapping: dict[str, Declaration]


class Declaration(_Part):
    """A type, with its constraints; also a parameter or an output."""

    type: str | None = None
    reference: str | None = Field(None, alias="$ref")
    nullable: bool | None = None
    allowed_values: list[Any] | None = Field(None, alias="allowedValues")
    properties: dict[str, Declaration] | None = None
    items: Declaration | bool | None = None
    prefix_items: list[Declaration] | None = Field(None, alias="prefixItems")
    additional_properties: Declaration | bool | None = Field(None, alias="additionalProperties")
    discriminator: Discriminator | None = None


class Loop(_Part):
    """A loop over a value."""

    name: str
    count: int | str
    input: Any


class Output(Declaration):
    """An output; its loop has no name."""

    condition: bool | str | None = None
    copy_: dict[str, Any] | None = Field(None, alias="copy")


class Variables(_Part):
    """Variables, some of them loops."""

    copy_: list[Loop] | None = Field(None, alias="copy")


class Argument(Declaration):
    """A parameter of a user-defined function."""

    name: str


class Function(_Part):
    """A user-defined function."""

    parameters: list[Argument] | None = None
    output: Declaration


class Namespace(_Part):
    """User-defined functions with a namespace."""

    namespace: str
    members: dict[str, Function]


class Document(_Part):
    """A template."""

    parameters: dict[str, Declaration] | None = None
    variables: Variables | None = None
    definitions: dict[str, Declaration] | None = None
    functions: list[Namespace] | None = None
    outputs: dict[str, Output] | None = None


def problem(template: dict[str, Any]) -> tuple[tuple[str | int, ...], str] | None:
    """Where a template has not the shape of one, and what is wrong there."""
    try:
        Document.model_validate(template)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        return _existing(template, first["loc"]), first["msg"]
    return None


def _existing(template: Any, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """As much of a path as there is in the template: pydantic also names the variants that it tried."""
    found: list[str | int] = []
    for part in path:
        inside = isinstance(template, dict) and part in template
        if not inside and not (isinstance(template, list) and isinstance(part, int) and part < len(template)):
            break
        found.append(part)
        template = template[part]
    return tuple(found)
