"""What is known of one environment's manifests: its plan, its problems, and the exit code that says as much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpc_operator.api.plan import Plan
from hpc_operator.blueprint import Problem
from hpc_operator.policy import approval_asked
from hpc_operator.preview.render import render
from hpc_operator.reconcile.ports import Key


@dataclass(frozen=True)
class Outlook:
    """What applying an environment's manifests would do.

    Parameters
    ----------
    key
        The environment.
    plan
        As `status.plan` would have it; None where a problem of the environment keeps it from being known.
    problems
        What somebody has to change in the manifests.
    """

    key: Key
    plan: Plan | None
    problems: tuple[Problem, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 where there is nothing to do, 2 for changes, 3 where somebody has to decide or to change something."""
        changes = self.plan.changes if self.plan is not None else ()
        stuck = any(change.action == "Blocked" or approval_asked(change.waits_for) for change in changes)
        if self.problems or stuck:
            return 3
        return 2 if changes else 0

    def text(self, *, color: bool) -> str:
        """Return it for people."""
        return render(self.key, self.plan, self.problems, color=color)

    def data(self) -> dict[str, Any]:
        """Return it for programs: `plan` as `status.plan` would be written."""
        plan = self.plan
        return {
            "environment": self.key.name,
            "namespace": self.key.namespace,
            "plan": plan.model_dump(mode="json", by_alias=True, exclude_defaults=True) if plan is not None else None,
            "problems": [
                {"owner": str(problem.owner), "reason": problem.reason, "message": problem.message}
                for problem in self.problems
            ],
        }
