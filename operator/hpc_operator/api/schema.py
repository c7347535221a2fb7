"""The words in which the models say what a CRD needs and pydantic has no word for.

`setting()` declares a field together with its update class; `Rule` is one CEL rule with the sentence that a user gets;
`Check` is a rule that Python enforces as well. Knows nothing of any particular kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

UPDATE_KEY = "x-hpc-update"
"""Key in a field's `json_schema_extra` under which its update class and the reason stand; never reaches a CRD."""

RULES_KEY = "x-kubernetes-validations"

CHECKS_KEY = "x-hpc-checks"
"""Key under which the rules of a `Check` stand; apart, because a field's own `RULES_KEY` would replace its type's."""


class Update(StrEnum):
    """What an edit of a field does to what already exists in Azure."""

    meaning: str

    IN_PLACE = "InPlace", "Azure changes the existing resource."
    ROLL = "Roll", "New nodes come, old ones go, within `rollout`."
    NEW_ONLY = "NewOnly", "What is made from now on gets the new value, what exists keeps the old one."
    BLOCKED = "Blocked", "Refused at apply time: Azure cannot change it, or data would be lost."
    NOTHING = "Nothing", "Tells the operator how to act and changes nothing by itself."

    def __new__(cls, value: str, meaning: str) -> Self:
        """Make a member that is its value and carries its meaning for the reference pages."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


@dataclass(frozen=True)
class Rule:
    """One CEL validation rule.

    Parameters
    ----------
    expression
        CEL over `self` (and `oldSelf`: then it only runs on updates).
    message
        The sentence that a user gets: what is wrong and what to write instead.
    field_path
        Path relative to the node, such as `.mountPath`, that the API server names in its refusal.
    """

    expression: str
    message: str
    field_path: str | None = None

    def as_schema(self) -> dict[str, str]:
        """Return the rule as an item of `x-kubernetes-validations`."""
        schema = {"rule": self.expression, "message": self.message}
        if self.field_path is not None:
            schema["fieldPath"] = self.field_path
        return schema


@dataclass(frozen=True)
class Check:
    """Annotation of a type: refuses a value with one sentence, at the API server (by CEL) and in Python alike.

    Used instead of pydantic's `pattern`, because the API server answers to a pattern with the regular expression.
    Write it after `Field(max_length=…)`, which the cost estimate of CEL needs.

    Parameters
    ----------
    rule
        The rule in CEL.
    accepts
        The same rule in Python; not asked about a value that an earlier check of the type refused.
    """

    rule: Rule
    accepts: Callable[[Any], bool]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        json_schema = handler(schema)
        json_schema[CHECKS_KEY] = [*json_schema.get(CHECKS_KEY, []), self.rule.as_schema()]
        return json_schema

    def _check(self, value: Any) -> Any:
        if not self.accepts(value):
            raise ValueError(self.rule.message)
        return value


def matches(pattern: str, message: str) -> Check:
    """Return a check that the whole string matches an anchored pattern, in the common ground of Python and RE2."""
    return Check(
        Rule(f"self.matches(r'{pattern}')", message),
        lambda value: re.fullmatch(pattern, value) is not None,
    )


@dataclass(frozen=True)
class PrinterColumn:
    """One column of `kubectl get`."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True)
class Scale:
    """Paths of the scale subresource."""

    spec_replicas: str
    status_replicas: str
    label_selector: str | None = None


@dataclass(frozen=True)
class KindInfo:
    """What a CRD says about a kind as a whole."""

    plural: str
    singular: str
    short_names: tuple[str, ...]
    columns: tuple[PrinterColumn, ...]
    rules: tuple[Rule, ...] = ()
    scale: Scale | None = None
    selectable: tuple[str, ...] = ()
    """Fields that `kubectl get --field-selector` and watches can select by, beside metadata.name and .namespace."""
    categories: tuple[str, ...] = field(default=("hpc",))


def setting(
    default: Any = ...,
    *,
    update: Update,
    because: str,
    description: str,
    rules: tuple[Rule, ...] = (),
    extra: dict[str, Any] | None = None,
    **constraints: Any,
) -> Any:
    """Declare one field of a spec.

    Parameters
    ----------
    default
        The default that the API server writes; `...` for a required field, None for an optional one.
    update
        What an edit does. For `Update.BLOCKED` the CRD generator adds the rules that refuse the edit (and, where the
        field may be left out, its coming and going), with `because` as their sentence.
    because
        Why the class is what it is; for a blocked field the sentence that tells the user what to do instead.
    description
        What the field means, with its unit.
    rules
        CEL rules of this field.
    extra
        More JSON schema, such as `x-kubernetes-list-type`.
    constraints
        Anything that `pydantic.Field` takes (`max_length`, `pattern`, `ge`, …).
    """
    extra_schema: dict[str, Any] = {UPDATE_KEY: {"class": update.value, "because": because}, **(extra or {})}
    if rules:
        extra_schema[RULES_KEY] = [rule.as_schema() for rule in rules]
    if default is not None and default is not ... and not isinstance(default, str | int | bool | list | dict):
        default = default.model_dump(by_alias=True, exclude_none=True) if hasattr(default, "model_dump") else default
    return Field(default, description=description, json_schema_extra=extra_schema, validate_default=True, **constraints)
