"""What a run comes to in numbers: requests by kind, and the critical path of Azure's own work.

Pure functions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_operator.demo.look import USER_AGENT
from hpc_operator.graph import Graph, NodeSet, parent_id

Json = Any

_POLL = re.compile(r"/\w*operation\w*/[^/]+$", re.IGNORECASE)
_WRITES = frozenset({"PUT", "PATCH", "DELETE", "POST"})
_REFUSED = 400
_NOT_FOUND = 404


@dataclass(frozen=True)
class Requests:
    """What a client asked of ARM.

    Parameters
    ----------
    writes
        PUT, PATCH, DELETE and POST.
    reads
        Questions for resources and lists.
    polls
        Questions how far an operation is.
    refused
        Those of any kind that Azure refused; that something does not exist is an answer and not counted.
    """

    writes: int = 0
    reads: int = 0
    polls: int = 0
    refused: int = 0


def count_requests(log: Iterable[Json]) -> Requests:
    """Count a request log, without what the demo asked itself."""
    writes = reads = polls = refused = 0
    for entry in log:
        if not entry["path"].lower().startswith("/subscriptions") or entry.get("userAgent") == USER_AGENT:
            continue
        if entry["method"] in _WRITES:
            writes += 1
        elif _POLL.search(entry["path"]):
            polls += 1
        else:
            reads += 1
        refused += entry["status"] >= _REFUSED and entry["status"] != _NOT_FOUND
    return Requests(writes, reads, polls, refused)


@dataclass(frozen=True)
class Link:
    """One piece of the critical path: a resource, and the emulated seconds that Azure worked on it."""

    resource_id: str
    seconds: float


def critical_path(
    graph: Graph, node_sets: Sequence[NodeSet], operations: Iterable[Json], serialised: Sequence[str]
) -> tuple[Link, ...]:
    """Return the longest chain of Azure's own work: no client that keeps the order could be Ready sooner.

    A resource weighs what its first successful operation took, nothing where Azure answered at once. It comes after all
    that it needs (`Graph.needs`). Writes that Azure allows only one after the other come after each other, in the order
    in which they were made. The nodes of a partition are made at the same time: the slowest one counts.

    Parameters
    ----------
    graph, node_sets
        What was made.
    operations
        Azure's operations with their times.
    serialised
        Resource types beneath or upon which Azure allows one write at a time.
    """
    took, started = _durations(operations)
    needs: dict[str, set[str]] = {resource.id.lower(): set(graph.needs(resource)) for resource in graph}
    weight = {key: took.get(key, 0.0) for key in needs}
    for earlier, later in _turns(graph, started, serialised):
        needs[later].add(earlier)
    for node_set in node_sets:
        slowest = _slowest_node(node_set, took)
        if slowest is not None:
            needs[slowest] = {need for need in node_set.needs if need in needs}
            weight[slowest] = took[slowest]
    names = {resource.id.lower(): resource.id for resource in graph}
    return tuple(Link(names.get(key, key), weight[key]) for key in _longest(needs, weight) if weight[key] > 0)


def _durations(operations: Iterable[Json]) -> tuple[dict[str, float], dict[str, float]]:
    """Return duration and start of the first successful PUT of each resource, by lower-case id."""
    took: dict[str, float] = {}
    started: dict[str, float] = {}
    for operation in operations:
        key = operation["resourceId"].lower()
        if operation["verb"] == "PUT" and operation["status"] == "Succeeded" and key not in took:
            took[key] = operation["endSeconds"] - operation["startSeconds"]
            started[key] = operation["startSeconds"]
    return took, started


def _turns(graph: Graph, started: Mapping[str, float], types: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Return pairs of writes of which Azure makes the second wait for the first."""
    queues: dict[str, list[str]] = {}
    for resource in graph:
        key = resource.id.lower()
        if key in started:
            for scope in _scopes(resource.id, resource.type, graph.needs(resource), types):
                queues.setdefault(scope, []).append(key)
    for queue in queues.values():
        queue.sort(key=lambda key: started[key])
        yield from itertools.pairwise(queue)


def _scopes(resource_id: str, resource_type: str, needs: Iterable[str], types: Sequence[str]) -> set[str]:
    """Return what a write keeps others from writing: an ancestor, or for a private endpoint the network it sits in."""
    candidates = [resource_id.lower()]
    if resource_type.lower() == "microsoft.network/privateendpoints":
        candidates += needs
    found = set()
    for candidate in candidates:
        for name in types:
            head, marker, tail = candidate.partition(f"/providers/{name.lower()}/")
            # The ancestor's own write is before those of its children anyway.
            if marker and parent_id(candidate) is not None:
                found.add(f"{head}{marker}{tail.partition('/')[0]}")
    return found


def _slowest_node(node_set: NodeSet, took: Mapping[str, float]) -> str | None:
    prefix = node_set.node_id(node_set.name_prefix).lower()
    nodes = [key for key in took if key.startswith(prefix) and "/" not in key[len(prefix) :]]
    return max(nodes, key=lambda key: took[key], default=None)


def _longest(needs: Mapping[str, Iterable[str]], weight: Mapping[str, float]) -> list[str]:
    """Return the heaviest chain of a graph without circles, first link first."""
    total: dict[str, float] = {}
    before: dict[str, str | None] = {}
    pending = list(needs)
    while pending:
        key = pending[-1]
        if key in total:
            pending.pop()
            continue
        unknown = [need for need in needs[key] if need not in total]
        if unknown:
            pending += unknown
            continue
        best = max(needs[key], key=lambda need: (total[need], need), default=None)
        before[key] = best
        total[key] = weight[key] + (total[best] if best is not None else 0.0)
        pending.pop()
    at = max(total, key=lambda key: (total[key], key), default=None)
    chain: list[str] = []
    while at is not None:
        chain.append(at)
        at = before[at]
    return chain[::-1]
