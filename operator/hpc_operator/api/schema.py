"""The words in which the models say what a CRD needs and pydantic has no word for.

`setting()` declares a field together with its update class; `Rule` is one CEL rule with the sentence that a user gets.
Knows nothing of any particular kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import Field

UPDATE_KEY = "x-hpc-update"
"""Key in a field's `json_schema_extra` under which its update class and the reason stand; never reaches a CRD."""

RULES_KEY = "x-kubernetes-validations"


class Update(StrEnum):
    """What an edit of a field does to what already exists in Azure."""

    IN_PLACE = "InPlace"
    """Azure changes the existing resource."""
    ROLL = "Roll"
    """New nodes come, old ones go, within `rollout`."""
    NEW_ONLY = "NewOnly"
    """What is made from now on gets the new value, what exists keeps the old one."""
    BLOCKED = "Blocked"
    """Refused at apply time: Azure cannot change it, or data would be lost."""
    NOTHING = "Nothing"
    """Tells the operator how to act and changes nothing by itself."""


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
        What an edit does. `Update.BLOCKED` makes the API server refuse the edit with `because` as its sentence.
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
    all_rules = [rule.as_schema() for rule in rules]
    if update is Update.BLOCKED:
        all_rules.append(Rule("self == oldSelf", because).as_schema())
    if all_rules:
        extra_schema[RULES_KEY] = all_rules
    if default is not None and default is not ... and not isinstance(default, str | int | bool | list | dict):
        default = default.model_dump(by_alias=True, exclude_none=True) if hasattr(default, "model_dump") else default
    return Field(default, description=description, json_schema_extra=extra_schema, validate_default=True, **constraints)
