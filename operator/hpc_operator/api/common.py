"""What the three kinds share: the shape of a custom resource, references, conditions, durations and quantities."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from hpc_operator.api.schema import KindInfo, Rule, Update, setting

GROUP = "azurehpc.io"
VERSION = "v1alpha1"


class Model(BaseModel):
    """Base of everything in a manifest: camelCase outside, snake_case inside.

    Unknown fields are ignored on purpose: an older operator must survive objects that a newer one wrote
    (the API server prunes or refuses what the schema does not know).
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)
    rules: ClassVar[tuple[Rule, ...]] = ()


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


DURATION_PATTERN = r"^([0-9]+(ms|s|m|h))+$"
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32)]
"""A duration as Kubernetes writes it: `90s`, `10m`, `24h`, `1h30m`."""


def parse_duration(text: str) -> timedelta:
    """Return the length of a Kubernetes duration such as `1h30m`.

    Raises
    ------
    ValueError
        If `text` is not a duration.
    """
    if not re.match(DURATION_PATTERN, text):
        msg = f"{text!r} is not a duration; write it like 90s, 10m or 1h30m"
        raise ValueError(msg)
    parts = re.findall(r"([0-9]+)(ms|s|m|h)", text)
    return timedelta(seconds=sum(int(number) * _DURATION_UNITS[unit] for number, unit in parts))


QUANTITY_PATTERN = r"^[1-9][0-9]*(Gi|Ti|Pi)$"
_QUANTITY_UNITS = {"Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN, max_length=16)]
"""A capacity in binary units as Kubernetes writes it: `512Gi`, `4Ti`."""


def parse_quantity(text: str) -> int:
    """Return the number of bytes of a capacity such as `4Ti`.

    Raises
    ------
    ValueError
        If `text` is not a capacity in Gi, Ti or Pi.
    """
    match = re.match(r"^([1-9][0-9]*)(Gi|Ti|Pi)$", text)
    if match is None:
        msg = f"{text!r} is not a capacity; write it like 512Gi or 4Ti"
        raise ValueError(msg)
    return int(match[1]) * _QUANTITY_UNITS[match[2]]


class EnvironmentRef(Model):
    """Reference to an HPCEnvironment in the same namespace."""

    name: str = setting(
        update=Update.BLOCKED,
        because="environmentRef may not change: delete this object and create it for the other environment",
        description="Name of an HPCEnvironment in the same namespace.",
        min_length=1,
        max_length=63,
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
