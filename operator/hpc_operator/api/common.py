"""What the three kinds share: the shape of a custom resource, references, conditions, durations and quantities."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from hpc_operator.api.schema import RULES_KEY, KindInfo, Rule, Update, matches, setting

GROUP = "azurehpc.io"
VERSION = "v1alpha1"


class Model(BaseModel):
    """Base of everything in a manifest: camelCase outside, snake_case inside.

    Unknown fields are ignored on purpose: an older operator must survive objects that a newer one wrote
    (the API server prunes or refuses what the schema does not know).
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)
    rules: ClassVar[tuple[Rule, ...]] = ()
    """CEL rules about several fields of this object."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        json_schema = handler(schema)
        if cls.rules:
            handler.resolve_ref_schema(json_schema)[RULES_KEY] = [rule.as_schema() for rule in cls.rules]
        return json_schema


class Metadata(Model):
    """The part of ObjectMeta that the operator uses."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class CustomResource(Model):
    """A custom resource; the subclasses give `spec` and `status` their types and `info` its content."""

    info: ClassVar[KindInfo]
    api_version: str = f"{GROUP}/{VERSION}"
    kind: str = ""
    metadata: Metadata

    @property
    def deleting(self) -> bool:
        """Whether the object has been asked to go."""
        return self.metadata.deletion_timestamp is not None


DURATION_PATTERN = (
    r"^([0-9]{1,4}h([0-9]{1,5}m)?([0-9]{1,7}s)?|[0-9]{1,5}m([0-9]{1,7}s)?|[0-9]{1,7}s)$"  # digits: no int can overflow
)
_DURATION_UNITS = {"s": 1, "m": 60, "h": 3600}
Duration = Annotated[
    str,
    Field(max_length=32),
    matches(
        DURATION_PATTERN,
        "must be a duration in hours, minutes and seconds without spaces, up to 9999h: "
        "write for example 90s, 10m, 24h or 1h30m",
    ),
]
"""A duration as Kubernetes writes it: `90s`, `10m`, `24h`, `1h30m`."""


def parse_duration(text: str) -> timedelta:
    """Return the length of a Kubernetes duration such as `1h30m`.

    Raises
    ------
    ValueError
        If `text` is not a duration.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        msg = f"{text!r} is not a duration; write it like 90s, 10m or 1h30m"
        raise ValueError(msg)
    parts = re.findall(r"([0-9]+)([hms])", text)
    return timedelta(seconds=sum(int(number) * _DURATION_UNITS[unit] for number, unit in parts))


QUANTITY_PATTERN = r"^([1-9][0-9]{0,5}(Gi|Ti)|[1-9][0-9]{0,2}Pi)$"  # digits: the number of bytes fits an int64
_QUANTITY_UNITS = {"Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
Quantity = Annotated[
    str,
    Field(max_length=16),
    matches(QUANTITY_PATTERN, "must be a whole number above 0 with the unit Gi, Ti or Pi: write for example 4Ti"),
]
"""A capacity in binary units as Kubernetes writes it: `512Gi`, `4Ti`."""


def parse_quantity(text: str) -> int:
    """Return the number of bytes of a capacity such as `4Ti`.

    Raises
    ------
    ValueError
        If `text` is not a capacity in Gi, Ti or Pi.
    """
    if not re.fullmatch(QUANTITY_PATTERN, text):
        msg = f"{text!r} is not a capacity; write it like 512Gi or 4Ti"
        raise ValueError(msg)
    return int(text[:-2]) * _QUANTITY_UNITS[text[-2:]]


IN_GROUP_PATTERN = r"^/subscriptions/[^/]+/resource[gG]roups/[^/]+/providers/"
"""What every ARM id of a resource begins with; Azure writes both resourceGroups and resourcegroups."""
ARM_ID_PATTERN = rf"{IN_GROUP_PATTERN}[^/]+(/[^/]+/[^/]+)+$"

LABEL_PATTERN = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"


VmSize = Annotated[
    str,
    Field(max_length=64),
    matches(
        r"^(Standard|Basic)_[A-Z][A-Za-z0-9_-]*$",
        "must be the full name of a VM size as Azure spells it: write for example Standard_HB176rs_v4",
    ),
]
"""The name of a VM size of Azure: `Standard_HB176rs_v4`."""


def name_rules(most: int) -> tuple[Rule, ...]:
    """Return the rules for metadata.name of a kind whose names Azure resources are made from."""
    return (
        Rule(
            f"size(self.metadata.name) <= {most}",
            f"metadata.name must have at most {most} characters, because the names of Azure resources are made from "
            "it: write a shorter one",
        ),
        Rule(
            f"self.metadata.name.matches(r'{LABEL_PATTERN}')",
            "metadata.name must start with a letter and have only lower-case letters, digits and hyphens, because the "
            "names of Azure resources are made from it: write for example climate-hpc",
        ),
    )


def timestamp(moment: datetime) -> str:
    """Return a moment in UTC as Kubernetes writes it: RFC 3339, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class EnvironmentRef(Model):
    """Reference to an HPCEnvironment in the same namespace."""

    name: Annotated[
        str,
        Field(max_length=63),
        matches(
            LABEL_PATTERN,
            "environmentRef.name must be the name of an HPCEnvironment in the same namespace: "
            "write for example climate",
        ),
    ] = setting(
        update=Update.BLOCKED,
        because="environmentRef may not change: delete this object and create it for the other environment",
        description="Name of an HPCEnvironment in the same namespace.",
    )


class Condition(Model):
    """One condition as metav1.Condition defines it."""

    type: str = Field(description="What is said to be so.", max_length=316)
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    observed_generation: int = Field(0, description="metadata.generation that was looked at.", ge=0)
    last_transition_time: str = Field(
        description="When the status last changed.", json_schema_extra={"format": "date-time"}
    )
    reason: str = Field(description="Why, in one CamelCase word.", max_length=1024)
    message: str = Field("", description="Why, in a sentence for people.", max_length=32768)


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
