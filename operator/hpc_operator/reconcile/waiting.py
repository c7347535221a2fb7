"""What an environment waits for, since when, and when it is tried again: status.waiting. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from hpc_operator.api.common import timestamp
from hpc_operator.api.plan import Wait
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.plan import Change


def account(memory: Memory, changes: Iterable[Change], opening: str | None) -> None:
    """Bring the account in step with failures, and with changes that wait or are blocked.

    What waits for the same as before keeps its `since`.

    Parameters
    ----------
    memory
        Has the account, and the failures.
    changes
        The plan.
    opening
        RFC 3339: when the next maintenance window opens; None where there is none.
    """
    now = timestamp(datetime.now(UTC))
    waits: dict[str, Wait] = {}
    changes = list(changes)
    for change in changes:
        if not change.may_start:
            message = change.waits_for or change.why
            next_try = opening if change.reason == "MaintenanceWindow" else None
            waits[change.key] = Wait(
                id=change.id, reason=change.reason, message=message[:2048], since=now, next_try=next_try
            )
    for what, failure in memory.failures.items():
        entry = memory.inventory.get(what)
        waits[what] = Wait(
            id=entry.id if entry is not None else what,
            reason=failure.error.code[:128],
            message=failure.error.message[:2048],
            since=failure.since,
            next_try=failure.next_try,
        )
    if not memory.passes:
        # What a process before this one was refused has not been tried again yet.
        waits = {change.key: memory.waits[change.key] for change in changes if change.key in memory.waits} | waits
    for key, wait in waits.items():
        known = memory.waits.get(key)
        if known is not None and known.reason == wait.reason:
            waits[key] = wait.model_copy(update={"since": known.since})
    memory.waits = waits
