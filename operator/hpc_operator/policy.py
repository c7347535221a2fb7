"""Judges by `spec.policy` what may start now, and says of the rest what it waits for.

Pure: knows neither Azure nor a cluster, and no clock of its own: whoever asks says what time it is.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from hpc_operator.api import ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.api.common import parse_duration
from hpc_operator.api.policy import APPROVE_ANNOTATION, Changes, MaintenanceWindow, Policy

StartingAction = Literal["Create", "Update", "Roll", "Replace", "Delete"]
"""The classes of change that something is done for: all of `api.plan.Action` but Blocked."""

SENTENCE_LENGTH: Final = 1024
"""What `PlannedChange.waits_for` has room for, in characters."""
_APPROVAL: Final = "Approval: "
_WINDOWS_SHOWN: Final = 3  # of at most 10; with their longest texts these still fit
_CLOCK_CHANGE: Final = timedelta(hours=3)  # no time zone moves its clocks by more than 2h (Antarctica/Troll)


def specification_hash(
    environment: HPCEnvironment, tiers: Iterable[StorageTier], partitions: Iterable[ComputePartition]
) -> str:
    """Return ten hexadecimal digits that name what is wanted: kind, name and spec of everything that stays.

    Independent of order, and the same for manifests that are not applied yet as for the objects that an API server
    made of them. `spec.policy` does not count: it says how, not what, and an approval outlives an edit of it.
    """
    staying: list[CustomResource] = [item for item in (environment, *tiers, *partitions) if not item.deleting]
    wanted = sorted(
        (
            type(item).__name__,
            item.metadata.name,
            json.dumps(
                item.model_dump(mode="json", by_alias=True, include={"spec"}, exclude={"spec": {"policy"}}),
                sort_keys=True,
            ),
        )
        for item in staying
    )
    return sha256(json.dumps(wanted).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Approvals:
    """What people have agreed to: the hash of the specifications they looked at, and names of changes."""

    hash: str = ""
    names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, annotation: str | None) -> Approvals:
        """Read the annotation `HASH:NAME[,NAME…]`; one that is no such text approves nothing."""
        hash_, _, names = (annotation or "").partition(":")
        return cls(hash_.strip(), tuple(name for item in names.split(",") if (name := _spaced(item))))

    def approves(self, hash_: str, name: str) -> bool:
        """Return whether a change of the plan with this hash was agreed to."""
        return self.hash == hash_ and _spaced(name) in self.names


def _spaced(name: str) -> str:
    return " ".join(name.split())


class Hold(NamedTuple):
    """What a change waits for.

    Parameters
    ----------
    reason
        In one word.
    message
        In a sentence, with how to go on. It has no time in it: it stays as it is until somebody does something or a
        window opens.
    """

    reason: Literal["DryRun", "Freeze", "Approval", "MaintenanceWindow"]
    message: str


class Gate:
    """Says of each change of an environment whether it may start now.

    Parameters
    ----------
    environment
        The environment, with its policy and the annotation of approvals.
    specification
        Hash of its specifications, see `specification_hash`.
    now
        The time, with a time zone.
    """

    def __init__(self, environment: HPCEnvironment, specification: str, now: datetime) -> None:
        self._policy = environment.spec.policy
        self._metadata = environment.metadata
        self._hash = specification
        self._approvals = Approvals.parse(environment.metadata.annotations.get(APPROVE_ANNOTATION))
        self._now = now

    def hold(
        self,
        action: StartingAction,
        name: str,
        *,
        holds_data: bool = False,
        lost_data: bool = False,
        scaling: bool = False,
        begun: bool = False,
    ) -> Hold | None:
        """Return what a change waits for; None where it may start.

        Parameters
        ----------
        action
            Class of the change.
        name
            Its name in the plan, which an approval has to repeat.
        holds_data
            Whether what is changed holds data that cannot be made anew.
        lost_data
            Whether data vanished that nobody wanted to lose, and the change would make an empty file system of it.
        scaling
            Whether this is a node that comes or goes with the jobs: nothing but a dry run holds these.
        begun
            Whether a part of it is done, such as some nodes of a roll: it is finished then, but for a dry run.
        """
        if self._policy.dry_run:
            return Hold("DryRun", "The end of the dry run: set spec.policy.dryRun to false")
        if scaling or begun:
            return None
        if self._policy.freeze:
            return Hold("Freeze", "The end of the freeze: set spec.policy.freeze to false")
        wants_approval = (
            lost_data
            or (action == "Replace" and holds_data)
            or _start(self._policy.changes, action, holds_data=holds_data) == "Approval"
        )
        if wants_approval and not self._approvals.approves(self._hash, name):
            return Hold("Approval", self._approval(name))
        if action != "Create" and not self._open:
            windows = _windows(self._policy.maintenance_windows)
            return Hold("MaintenanceWindow", f"The maintenance window: it opens by {windows}")
        return None

    @cached_property
    def _open(self) -> bool:
        windows = self._policy.maintenance_windows
        return not windows or any(_open_until(window, self._now) is not None for window in windows)

    def _approval(self, name: str) -> str:
        """Return the sentence, with a command that keeps what was approved before: it may not have begun yet."""
        current = self._approvals.hash == self._hash
        outdated = "what was approved is another plan; " if self._approvals.names and not current else ""
        before = self._approvals.names if current else ()
        sentence = f"{_APPROVAL}{outdated}run `{self._command(*before, name)}`"
        return sentence if len(sentence) <= SENTENCE_LENGTH else f"{_APPROVAL}run `{self._command(name)}`"

    def _command(self, *names: str) -> str:
        return approve_command(self._metadata.name, self._metadata.namespace, self._hash, names)


def approve_command(environment: str, namespace: str, specification: str, names: Iterable[str]) -> str:
    """Return the command line that approves changes of a plan."""
    value = shlex.quote(f"{specification}:{','.join(names)}")
    return f"kubectl annotate hpcenvironment {environment} -n {namespace} {APPROVE_ANNOTATION}={value} --overwrite"


def approval_asked(message: str) -> tuple[str, ...]:
    """Return the names that the command in a message of a `Hold` approves; none where it waits for something else."""
    if not message.startswith(_APPROVAL):
        return ()
    _, _, command = message.partition("`")
    argument = next(item for item in shlex.split(command.rpartition("`")[0]) if item.startswith(APPROVE_ANNOTATION))
    return Approvals.parse(argument.partition("=")[2]).names


def _start(changes: Changes, action: StartingAction, *, holds_data: bool) -> str:
    match action:
        case "Create":
            return changes.create
        case "Update":
            return changes.update
        case "Roll":
            return changes.roll
        case "Replace":
            return changes.replace
        case "Delete":
            return changes.delete_data if holds_data else changes.delete


# --- Maintenance windows


def next_change(policy: Policy, now: datetime) -> datetime | None:
    """Return when a window opens or closes next, in UTC; None where there are no windows.

    While a window is open that is its end as far as is known now: where another opens before, it is worth asking anew.
    """
    windows = policy.maintenance_windows
    if ends := [end for window in windows if (end := _open_until(window, now)) is not None]:
        return max(ends)
    return min((opening for window in windows if (opening := _next_opening(window, now)) is not None), default=None)


def window_problem(window: MaintenanceWindow) -> str:
    """Return what is wrong with a window that can never open, and what to write instead; empty for a good one."""
    try:
        ZoneInfo(window.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of the database
        return f"timeZone {window.time_zone} is not in the IANA time zone database: write for example Europe/Berlin"
    try:
        opens = next(CronSim(window.schedule, datetime(2000, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        return (
            f"schedule {window.schedule} is no cron schedule ({str(error).lower()}): write minute, hour, day of month, "
            "month and day of week, such as 0 22 * * SAT"
        )
    if opens is None:
        return f"schedule {window.schedule} names a day that never comes: write one that does, such as 0 22 * * SAT"
    if not parse_duration(window.duration):
        return f"duration {window.duration} leaves no time for anything: write how long it stays open, such as 4h"
    return ""


def _open_until(window: MaintenanceWindow, now: datetime) -> datetime | None:
    """Return when a window closes that is open now, None where it is shut.

    Hours are those of the clock on the wall where they say when it opens, and real ones where they say how long.
    """
    # From later than now: in the hour that a change of clocks repeats, cron counts only the first of the two.
    for opening in _openings(window, now + _CLOCK_CHANGE, reverse=True):
        if opening <= now:
            end = opening + parse_duration(window.duration)
            return end if now < end else None
    return None


def _next_opening(window: MaintenanceWindow, now: datetime) -> datetime | None:
    return next((opening for opening in _openings(window, now - _CLOCK_CHANGE) if opening > now), None)


def _openings(window: MaintenanceWindow, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """Yield when a window opens, in UTC, because times of one other zone are compared by what their clocks show."""
    local = start.astimezone(ZoneInfo(window.time_zone))
    return (opening.astimezone(UTC) for opening in CronSim(window.schedule, local, reverse=reverse))


def _windows(windows: Sequence[MaintenanceWindow]) -> str:
    texts = [f'"{window.schedule}" ({window.time_zone}) for {window.duration}' for window in windows[:_WINDOWS_SHOWN]]
    left = len(windows) - len(texts)
    return " or ".join(texts) + (f", and {left} more" if left else "")
