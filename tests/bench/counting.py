"""What one phase of a run came to: requests to Azure, Azure's operations, writes to Kubernetes, time.

Knows no scenario.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from world import World

from azure_emulator.following import RETRY_WHERE_NONE_IS_SENT
from azure_emulator.providers import PROVIDERS

Entry = Mapping[str, Any]
"""One line of the emulator's request log."""

_NODE_LIST = re.compile(r"/resourcegroups/[^/]+/providers/microsoft\.compute/virtualmachines/?$", re.IGNORECASE)
_POLL = re.compile(r"/\w*operation\w*/[^/]+$", re.IGNORECASE)
_RESOURCE_GRAPH = "/providers/microsoft.resourcegraph/resources"
_IN_A_GROUP = re.compile(r"/subscriptions/[^/]+/resourcegroups/[^/]+", re.IGNORECASE)
_REFUSED, _NOT_FOUND = 400, 404
_SETTLE_SECONDS = 0.5
_RETRY_AFTER = {kind.name: kind.protocol.retry_after for provider in PROVIDERS for kind in provider.types}


class Request(StrEnum):
    """Kinds of requests to ARM."""

    WRITE = "writes"
    """PUT, PATCH, DELETE, and a POST that is no question."""
    READ = "reads"
    """Questions about one environment: its resources, lists in its resource group."""
    SURVEY = "surveys"
    """Queries of Azure Resource Graph."""
    NODE_LIST = "lists"
    """The list of virtual machines of a resource group: how nodes are followed."""
    SHARED = "shared"
    """Questions about the subscription: usages, VM sizes, images, rights. Environments share the answers."""
    POLL = "polls"
    """Questions to operation URLs."""


def kind_of(entry: Entry) -> Request:
    """Return what a request was."""
    path = entry["path"].lower()
    if path.rstrip("/").endswith(_RESOURCE_GRAPH):
        return Request.SURVEY
    if entry["method"] not in {"GET", "HEAD"} and not entry["action"].endswith("/read"):
        return Request.WRITE
    if _POLL.search(path):
        return Request.POLL
    if _NODE_LIST.search(path):
        return Request.NODE_LIST
    return Request.READ if _IN_A_GROUP.match(path) else Request.SHARED


def count(log: Iterable[Entry]) -> Counter[Request]:
    """Count requests by kind."""
    return Counter(kind_of(entry) for entry in log)


def polls_allowed(operations: Iterable[Entry]) -> int:
    """Return how many polls these operations take if each is asked once per Retry-After, and hears of its end then.

    Where Azure sends no Retry-After it is what the emulator sends in its place on a fast clock.
    """
    return sum(
        max(1, math.ceil((operation["endSeconds"] - operation["startSeconds"]) / _wait(operation["type"])))
        for operation in operations
    )


def _wait(resource_type: str) -> int:
    return _RETRY_AFTER.get(resource_type) or RETRY_WHERE_NONE_IS_SENT


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
    def counts(self) -> Counter[Request]:
        """Requests by kind."""
        return count(self.log)

    @property
    def writes(self) -> int:
        """What changed something."""
        return self.counts[Request.WRITE]

    @property
    def calls(self) -> int:
        """All but what follows operations and nodes."""
        counts = self.counts
        return counts.total() - counts[Request.POLL] - counts[Request.NODE_LIST]

    @property
    def refused(self) -> int:
        """Requests that Azure refused; "there is no such resource" is an answer and not counted."""
        return sum(entry["status"] >= _REFUSED and entry["status"] != _NOT_FOUND for entry in self.log)

    @property
    def polls_allowed(self) -> int:
        """Polls of all operations that have a URL, at one per Retry-After."""
        polled = {entry["path"].lower().rpartition("/")[2] for entry in self.log if kind_of(entry) is Request.POLL}
        return polls_allowed(operation for operation in self.operations if operation["id"].lower() in polled)

    def first_write(self) -> dict[str, Any] | None:
        """Return the first request that changes something."""
        return next((entry for entry in self.log if kind_of(entry) is Request.WRITE), None)

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
            "arm": {kind.value: number for kind, number in self.counts.items()},
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
