"""What an environment's status says of changes: the plan, drift, what is waited for, and how a deletion went."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hpc_operator.api.common import Model

_MOMENT: dict[str, Any] = {"format": "date-time"}
_MAP_BY_ID: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}

CHANGES_SHOWN = 50
LISTED = 50
"""Entries of drift and of waits that a status shows."""
KEPT_LISTED = 200
"""Resources that a report of a deletion names, of those that are kept and of those that are somebody else's."""
FIELDS_SHOWN = 10
WARNINGS_SHOWN = 20
TEXT_SHOWN = 256
"""Characters of a value that are shown; the rest is cut off."""

Action = Literal["Create", "Update", "Roll", "Replace", "Delete", "Blocked"]


class FieldDifference(Model):
    """One field with what it is and what it should be, as JSON where it is no plain text."""

    path: str = Field(
        description="Path into the body as Azure writes it, such as properties.diskSizeGB.", max_length=512
    )
    before: str = Field("", description="What Azure shows; empty where there is nothing.", max_length=TEXT_SHOWN)
    after: str = Field("", description="What it should be; empty where it should not be.", max_length=TEXT_SHOWN)


class PlannedChange(Model):
    """One change that is going to be made, or that waits."""

    action: Action = Field(description="What happens: Create, Update, Roll, Replace, Delete, or Blocked: nothing.")
    id: str = Field(description="ARM id; for nodes that of their scale set.", max_length=1024)
    name: str = Field(description="Name for people, and for an approval.", max_length=320)
    owner: str = Field(description="Kind/name of the custom resource it belongs to.", max_length=320)
    why: str = Field("", description="Why, in a sentence.", max_length=1024)
    fields: tuple[FieldDifference, ...] = Field(
        (),
        description="The fields that change.",
        max_length=FIELDS_SHOWN,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    touches: str = Field("", description="What it touches: nodes, running jobs, data.", max_length=512)
    quota: str = Field("", description="What it does to quota, such as +176 standardHBv4Family.", max_length=256)
    price_per_hour: str = Field("", description="What it does to the list price per hour.", max_length=32)
    waits_for: str = Field("", description="What it waits for; empty where it is under way or next.", max_length=1024)


class Plan(Model):
    """All that is between what was written and what Azure shows."""

    hash: str = Field(description="Names these specifications; an approval repeats it.", max_length=16)
    summary: str = Field(description="How many changes of each class.", max_length=256)
    price_per_hour: str = Field("", description="What all of it does to the list price per hour.", max_length=32)
    changes: tuple[PlannedChange, ...] = Field(
        (),
        description="The changes in the order of their start.",
        max_length=CHANGES_SHOWN,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    omitted: int = Field(0, description="Changes that are left out here for want of space.", ge=0)
    warnings: tuple[Annotated[str, Field(max_length=1024)], ...] = Field(
        (),
        description="What the preflight found that holds nothing up, such as too little quota for nodes.max.",
        max_length=WARNINGS_SHOWN,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class DriftEntry(Model):
    """One resource that somebody changed in Azure."""

    id: str = Field(description="ARM id.", max_length=1024)
    fields: tuple[FieldDifference, ...] = Field(
        (),
        description="`before` is what Azure shows, `after` what was written.",
        max_length=FIELDS_SHOWN,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    since: str = Field(
        description="When it was seen first, or when it was done where Azure tells.", json_schema_extra=_MOMENT
    )
    by: str = Field("", description="Who did it, as Azure's activity log says.", max_length=256)
    action: Literal["Correct", "Report", "Blocked"] = Field(
        description="What is done about it. Blocked: data is gone or would be lost, somebody has to decide."
    )


class Wait(Model):
    """One thing that is waited for."""

    id: str = Field(
        description="ARM id of what waits; for nodes what they are called, such as nodes of climate-hpc.",
        max_length=1024,
    )
    reason: str = Field(description="Why, in one word, such as Azure's error code, Needs or Approval.", max_length=128)
    message: str = Field("", description="What is waited for, in a sentence.", max_length=2048)
    since: str = Field(description="Since when.", json_schema_extra=_MOMENT)
    next_try: str | None = Field(
        None, description="When it is tried again by itself; absent where an event decides.", json_schema_extra=_MOMENT
    )


class KeptResource(Model):
    """One resource that a deletion leaves in Azure."""

    id: str = Field(description="ARM id.", max_length=1024)
    why: str = Field(description="Why it is kept.", max_length=512)


class Deletion(Model):
    """How the deletion of an environment goes; also in the Event that is the last word of it."""

    deleted: int = Field(0, description="Resources that are gone, nodes included.", ge=0)
    kept: tuple[KeptResource, ...] = Field(
        (), description="What is kept, and why.", max_length=KEPT_LISTED, json_schema_extra=_MAP_BY_ID
    )
    left: tuple[Annotated[str, Field(max_length=1024)], ...] = Field(
        (),
        description="What is in the resource group and belongs to somebody else: ARM id, and whose it is.",
        max_length=KEPT_LISTED,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
