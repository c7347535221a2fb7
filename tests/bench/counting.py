"""What one phase of a run came to: requests to Azure, Azure's operations, writes to Kubernetes, time.

Knows no scenario.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from world import World

from hpc_operator.demo.figures import count_requests

_NODE_LIST = re.compile(r"/providers/microsoft\.compute/virtualmachines/?$", re.IGNORECASE)
_SETTLE_SECONDS = 0.5


@dataclass
class Phase:
    """One phase; complete when its `with` block has ended.

    Parameters
    ----------
    name
        What it is called in the table.
    log
        The requests to ARM.
    operations
        The operations that Azure started.
    kubernetes
        What the operator wrote to Kubernetes.
    """

    name: str
    log: list[dict[str, Any]] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)
    kubernetes: Counter[str] = field(default_factory=Counter)

    @property
    def writes(self) -> int:
        """PUT, PATCH, DELETE and POST."""
        return count_requests(self.log).writes

    @property
    def reads(self) -> int:
        """Questions for a resource or a list, without the list that follows nodes."""
        return count_requests(self.log).reads - self.node_lists

    @property
    def node_lists(self) -> int:
        """The list of virtual machines: how nodes are followed."""
        return sum(entry["method"] == "GET" and bool(_NODE_LIST.search(entry["path"])) for entry in self.log)

    @property
    def polls(self) -> int:
        """Questions to operation URLs."""
        return count_requests(self.log).polls

    @property
    def refused(self) -> int:
        """Requests that Azure refused; "there is no such resource" is an answer and not counted."""
        return count_requests(self.log).refused

    def first_write(self) -> dict[str, Any] | None:
        """Return the first request that changes something."""
        return next((entry for entry in self.log if entry["method"] in {"PUT", "PATCH", "DELETE", "POST"}), None)

    def emulated(self, wall: float) -> float:
        """Return the emulated time of a moment of wall time; every request in the log has both."""
        nearest = min(self.log, key=lambda entry: abs(entry["wallTime"] - wall))
        return float(nearest["emulatedTime"] + (wall - nearest["wallTime"]) * self._speed)

    @property
    def _speed(self) -> float:
        first, last = self.log[0], self.log[-1]
        return float((last["emulatedTime"] - first["emulatedTime"]) / (last["wallTime"] - first["wallTime"]))

    def as_json(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "operations": len(self.operations),
            "armWrites": self.writes,
            "armReads": self.reads,
            "armNodeLists": self.node_lists,
            "armPolls": self.polls,
            "armRefused": self.refused,
            "kubernetesWrites": dict(self.kubernetes),
        }


@contextmanager
def counted(world: World, name: str) -> Iterator[Phase]:
    """Count what happens in a `with` block, and a moment longer: the last answers are still being digested."""
    phase = Phase(name)
    since = world.azure.last_request()
    known = {operation["id"] for operation in world.azure.operations()}
    before = world.operator.kubernetes_writes()
    yield phase
    time.sleep(_SETTLE_SECONDS)
    world.check()
    phase.log = world.azure.requests(since)
    phase.operations = [operation for operation in world.azure.operations() if operation["id"] not in known]
    phase.kubernetes = world.operator.kubernetes_writes() - before
