"""`spec.policy` of an environment: what runs by itself, what waits, and for what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpc_operator.api.common import Duration, Model
from hpc_operator.api.schema import Update, matches, setting

APPROVE_ANNOTATION = "azurehpc.io/approve"
"""On the HPCEnvironment: `HASH:NAME[,NAME…]`, the plan's hash and the names of the changes that may run."""

TAKE_OVER_ANNOTATION = "azurehpc.io/take-over"
"""On the HPCEnvironment: whose resources it may take over, as the refusal prints it."""

_TELLS = "says how edits are carried out"

Start = Literal["Automatic", "Approval"]
DriftAction = Literal["Correct", "Report", "Ignore"]

_CRON_FIELD = r"[0-9A-Za-z*,/#-]+"


def _start(default: Start, what: str) -> Start:
    return setting(  # type: ignore[no-any-return]
        default, update=Update.NOTHING, because=_TELLS, description=f"{what}: Automatic, or Approval to wait for one."
    )


class Changes(Model):
    """What may start by itself, for each class of change in the plan."""

    create: Start = _start("Automatic", "Making what is missing")
    update: Start = _start("Automatic", "Changing a resource in place")
    roll: Start = _start("Automatic", "Replacing the nodes of a partition, one after the other")
    replace: Start = _start(
        "Automatic",
        "Deleting a resource and making it anew, where Azure cannot change it; always Approval if it holds data",
    )
    delete: Start = _start("Automatic", "Deleting what is no longer wanted and holds no data")
    delete_data: Start = _start(
        "Automatic", "Deleting a file system with its data, which happens only where deletionPolicy is Delete"
    )


class MaintenanceWindow(Model):
    """A time at which what runs may be changed."""

    schedule: Annotated[
        str,
        Field(max_length=128),
        matches(
            rf"^{_CRON_FIELD}( {_CRON_FIELD}){{4}}$",
            "schedule must be five cron fields (minute, hour, day of month, month, day of week) with one space between "
            "them: write for example 0 22 * * SAT",
        ),
    ] = setting(
        update=Update.NOTHING,
        because=_TELLS,
        description="When the window opens, as five cron fields: minute, hour, day of month, month, day of week.",
    )
    duration: Duration = setting(
        "4h", update=Update.NOTHING, because=_TELLS, description="How long it stays open. What has begun is finished."
    )
    time_zone: Annotated[
        str,
        Field(max_length=64),
        matches(
            r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$",
            "timeZone must be a name of the IANA time zone database: write for example Europe/Berlin",
        ),
    ] = setting(
        "Etc/UTC",
        update=Update.NOTHING,
        because=_TELLS,
        description="Name of the IANA time zone that schedule is read in.",
    )


class Limits(Model):
    """How much may happen at once."""

    deletes_at_once: int | None = setting(
        None,
        update=Update.NOTHING,
        because=_TELLS,
        description="How many resources may be in deletion at the same time; no limit where it is left out.",
        ge=1,
        le=1000,
    )
    nodes_at_once: int | None = setting(
        None,
        update=Update.NOTHING,
        because=_TELLS,
        description="How many nodes of the environment may be on their way up or down at the same time; no limit where "
        "it is left out.",
        ge=1,
        le=1000,
    )


def _drift(default: DriftAction | None, what: str) -> DriftAction | None:
    return setting(  # type: ignore[no-any-return]
        default,
        update=Update.NOTHING,
        because="says what happens when somebody else changes Azure",
        description=f"Differences in {what} that somebody made in Azure: Correct (write what the specification says), "
        "Report (show them in status.drift), Ignore (neither)."
        + ("" if default else " The default above where it is left out."),
    )


class Drift(Model):
    """What happens when somebody changes in Azure what the operator owns."""

    default: DriftAction = _drift("Correct", "all resources")  # type: ignore[assignment]
    infrastructure: DriftAction | None = _drift(None, "resource group, network and security rules")
    base_services: DriftAction | None = _drift(None, "identities, vault and scheduler")
    storage: DriftAction | None = _drift(None, "file systems")
    compute: DriftAction | None = _drift(None, "scale sets and the tags of nodes")
    entry_point: DriftAction | None = _drift(None, "login nodes")


class Policy(Model):
    """What runs by itself, what waits, and for what."""

    changes: Changes = setting(
        {}, update=Update.NOTHING, because=_TELLS, description="What may start by itself and what waits for approval."
    )
    maintenance_windows: tuple[MaintenanceWindow, ...] = setting(
        [],
        update=Update.NOTHING,
        because=_TELLS,
        description="When what runs may be changed, replaced or deleted; at any time where there are none. What is "
        "missing is made, and nodes come and go with jobs, at any time.",
        max_length=10,
        extra={"x-kubernetes-list-type": "atomic"},
    )
    freeze: bool = setting(
        False,
        update=Update.NOTHING,
        because=_TELLS,
        description="Start no change at all, as during a campaign. Nodes still come and go with jobs, and what has "
        "begun is finished.",
    )
    dry_run: bool = setting(
        False,
        update=Update.NOTHING,
        because=_TELLS,
        description="Write nothing to Azure: only look, and show in status.plan what would be done.",
    )
    limits: Limits = setting({}, update=Update.NOTHING, because=_TELLS, description="How much may happen at once.")
    drift: Drift = setting(
        {},
        update=Update.NOTHING,
        because="says what happens when somebody else changes Azure",
        description="What happens when somebody changes in Azure what the operator owns.",
    )
