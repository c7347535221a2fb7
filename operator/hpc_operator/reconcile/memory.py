"""What a process remembers of one environment between passes.

All of it can be lost at any moment: it is found again in status and in Azure.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hpc_operator.api.common import timestamp
from hpc_operator.api.hpc_environment import ManagedResource
from hpc_operator.api.plan import Deletion, DriftEntry, Wait
from hpc_operator.arm import AzureError, ErrorClass, Handle, Outcome
from hpc_operator.preflight import Inspection

FIRST_RETRY_SECONDS = 1.0
"""Wait after the first transient failure; doubled each time."""
LONGEST_RETRY_SECONDS = 300.0
SLOW_RETRY_SECONDS = 300.0
"""Wait after a failure that time may heal but haste does not: capacity and quota."""
RIGHTS_RETRY_SECONDS = 120.0
"""Granted rights act within ten minutes (Azure RBAC troubleshooting), so a refused request is worth another try."""
WORTH_SAYING_SECONDS = 60.0
"""A next try that is nearer is not told: it would be past before it is read."""
REPLACING = "replacing"
"""Stands for the hash of what was applied, while a resource is deleted to be made anew."""
REST_SECONDS = 120.0
"""How long bodies are kept after the last write: longer than a survey is late (up to a minute, azure-docs)."""

_SLOW = frozenset({ErrorClass.CAPACITY, ErrorClass.QUOTA})


@dataclass(frozen=True)
class Failure:
    """The last failure of one piece of work.

    Parameters
    ----------
    error
        What Azure said.
    attempts
        How often in a row.
    due
        Loop time from which it may be tried again; infinite where haste does not help (see `Memory.try_everything`).
    tried
        Fingerprint of what was tried: something else may be tried at once.
    since
        RFC 3339: when it failed first with this code.
    next_try
        RFC 3339: when it is tried again; None where that is within a minute or an event decides.
    """

    error: AzureError
    attempts: int
    due: float
    tried: str = ""
    since: str = ""
    next_try: str | None = None

    @classmethod
    def after(cls, error: AzureError, before: Failure | None, now: float, tried: str = "") -> Failure:
        """Return the failure that follows `before`, with the time of the next try."""
        attempts = before.attempts + 1 if before is not None and before.tried == tried else 1
        if error.code == "AuthorizationFailed":
            wait = RIGHTS_RETRY_SECONDS
        elif error.error_class is ErrorClass.PERMANENT:
            wait = math.inf
        elif error.error_class in _SLOW:
            wait = SLOW_RETRY_SECONDS
        else:
            wait = min(FIRST_RETRY_SECONDS * 2 ** min(attempts - 1, 16), LONGEST_RETRY_SECONDS)
            wait *= random.uniform(0.75, 1.25)  # noqa: S311 - what failed together is not tried together
        wait = max(wait, error.retry_after or 0.0)
        moment = datetime.now(UTC)
        since = before.since if before is not None and before.error.code == error.code else timestamp(moment)
        next_try = timestamp(moment + timedelta(seconds=wait)) if WORTH_SAYING_SECONDS <= wait < math.inf else None
        return cls(error, attempts, now + wait, tried, since, next_try)


@dataclass
class Memory:
    """See the module. Ids are lower case; times are loop times in seconds.

    `nodes_told` is how many nodes a process before this one told of: those that are not there at the first look have
    gone. `rolling` has the generation that a partition's nodes are being replaced by, `node_tags` a hash of the tags
    that they were given last, and `answered` the resources that Azure's answer to the last write showed. What is
    `doubtful` is looked at anew by the next pass, and what was observed is taken for true until then. What is
    `rumoured` was seen in a survey, which may be late: nothing is done about it before a look at the resource itself.
    What is `foreign` has the name of one of ours and belongs to somebody else. `new_nodes` are virtual machines that
    were put by this process and not seen whole since; a process that has lost them takes one that is being updated for
    one that runs.
    """

    first_seen: float = 0.0
    loaded: bool = False
    inventory: dict[str, ManagedResource] = field(default_factory=dict)
    observed: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    nodes_gone: int = 0
    nodes_told: int = 0
    failed_nodes: set[str] = field(default_factory=set)
    new_nodes: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    rumoured: set[str] = field(default_factory=set)
    machines_rumoured: bool = False
    drift: dict[str, DriftEntry] = field(default_factory=dict)
    asked_at: dict[str, float] = field(default_factory=dict)
    inspection: Inspection | None = None
    inspected: str = ""
    passed: str = ""
    inspect_at: float = 0.0
    waits: dict[str, Wait] = field(default_factory=dict)
    deletion: Deletion | None = None
    tags: frozenset[str] = frozenset()
    busy_until: float = 0.0
    passes: int = 0
    writes: int = 0
    handles: list[Handle] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    stale_at: float = 0.0
    operations: dict[str, Handle] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    machines: list[Mapping[str, Any]] | None = None
    machines_stale_at: float = 0.0
    machines_poll_seconds: float = 10.0
    rolling: dict[str, str] = field(default_factory=dict)
    node_tags: dict[str, str] = field(default_factory=dict)
    claim_seen_at: float = -math.inf
    answered: set[str] = field(default_factory=set)
    image_versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    scopes: dict[str, frozenset[str]] = field(default_factory=dict)
    tried: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def now() -> float:
        """Return the loop time."""
        return asyncio.get_running_loop().time()

    def take_handles(self) -> list[Handle]:
        """Return, once, the operations that a process before this one left in status."""
        handles, self.handles = self.handles, []
        return handles

    def keep_awake(self) -> None:
        """Note that something was written or has ended: a survey may be too late to show it."""
        self.writes += 1
        self.busy_until = self.now() + REST_SECONDS

    def forget_observations(self) -> None:
        """Forget what Azure showed; the next pass looks anew. Thousands of environments at rest weigh nothing so."""
        self.observed.clear()
        self.rumoured.clear()
        self.machines = None
        self.machines_rumoured = False
        self.machines_stale_at = 0.0

    def note_foreign(self, ids: Iterable[str]) -> None:
        """Note what has a name of ours and belongs to somebody else: nothing is built upon it."""
        self.foreign = set(ids)

    def note_applied(self, key: str, tried: str) -> None:
        """Note that Azure has what was written last."""
        entry = self.inventory.get(key)
        if entry is not None and entry.applied != tried:
            self.inventory[key] = entry.model_copy(update={"applied": tried})

    def may_try(self, what: str, now: float, tried: str = "") -> bool:
        """Return whether a piece of work may be tried (again) now."""
        failure = self.failures.get(what)
        return failure is None or failure.due <= now or failure.tried != tried

    def fail(self, what: str, error: AzureError, now: float, tried: str = "") -> None:
        """Note a failure."""
        self.failures[what] = Failure.after(error, self.failures.get(what), now, tried)

    def try_everything(self, now: float) -> None:
        """Let everything be tried again: a lock, a policy, a name that was taken may be gone, and nobody tells us."""
        self.failures = {what: replace(failure, due=min(failure.due, now)) for what, failure in self.failures.items()}

    def next_due(self, started: float) -> float:
        """Return the loop time of the next retry, infinite where there is none.

        What was due before the pass started waits for something else, which will make the next pass necessary.
        """
        return min((failure.due for failure in self.failures.values() if failure.due > started), default=math.inf)
