"""Keeps account of what somebody changed in Azure: since when, who it was, and what is done about it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta

from hpc_operator.api.common import timestamp
from hpc_operator.api.plan import DriftEntry
from hpc_operator.arm import AzureError
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.plan import Drift, shown_fields
from hpc_operator.reconcile.states import describe
from hpc_operator.subscription import Subscription

logger = logging.getLogger(__name__)

LOOK_BACK = timedelta(hours=1)
"""How far the activity log is searched beyond one drift period: it has an event minutes after it happened."""

ASK_AGAIN_SECONDS = 300.0
"""Between two questions who it was, while the activity log does not tell."""

Say = Callable[[str, str], Awaitable[None]]
"""Publishes news: a reason in one word, and a sentence."""


async def account(
    memory: Memory, drifts: Iterable[Drift], subscription: Subscription, period: timedelta, say: Say
) -> bool:
    """Bring the account in step with what differs now, and ask who it was; return whether something is new.

    Parameters
    ----------
    memory
        Has the account.
    drifts
        All that differs now.
    subscription
        Has the activity log.
    period
        Time between two looks.
    say
        Publishes what is new.
    """
    now = {drift.resource.id.lower(): drift for drift in drifts}
    is_new = bool(now.keys() - memory.drift.keys())
    for key in memory.drift.keys() - now.keys():
        del memory.drift[key]
        memory.asked_at.pop(key, None)
    for key, drift in now.items():
        fields = shown_fields(drift.fields)
        known = memory.drift.get(key)
        if known is None:
            entry = await _entry(drift, subscription, period)
            memory.drift[key] = entry
            memory.asked_at[key] = memory.now()
            await say("Drift", _sentence(entry))
            continue
        if not known.by and memory.now() - memory.asked_at.get(key, 0.0) >= ASK_AGAIN_SECONDS:
            # The activity log has an event minutes after it happened; `since` stays, for approvals name it.
            memory.asked_at[key] = memory.now()
            known = known.model_copy(update={"by": (await _entry(drift, subscription, period)).by})
            memory.drift[key] = known
        if (known.fields, known.action) != (fields, drift.action):
            memory.drift[key] = known.model_copy(update={"fields": fields, "action": drift.action})
    return is_new


async def _entry(drift: Drift, subscription: Subscription, period: timedelta) -> DriftEntry:
    moment = datetime.now(UTC)
    try:
        author = await subscription.last_author(drift.resource.id, (moment - period - LOOK_BACK).isoformat())
    except AzureError as error:
        logger.info("the activity log does not tell who changed %s: %s", drift.resource.id, error)
        author = None
    return DriftEntry(
        id=drift.resource.id,
        fields=shown_fields(drift.fields),
        since=author.time if author is not None else timestamp(moment),
        by=author.caller if author is not None else "",
        action=drift.action,
    )


_DONE = {
    "Correct": "It is corrected",
    "Report": "It is only reported, as spec.policy.drift says",
    "Blocked": "Nothing is done before somebody decides",
}


def _sentence(entry: DriftEntry) -> str:
    paths = ", ".join(f"{field.path} is {field.before or 'missing'} instead of {field.after}" for field in entry.fields)
    what = f"was changed in Azure: {paths}" if entry.fields else "was deleted in Azure"
    return f"{describe(entry.id)} {what}{f' (by {entry.by})' if entry.by else ''}. {_DONE[entry.action]}."
