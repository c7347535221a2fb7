"""Where the time until Ready went: Azure's own critical path, and the chain of waits that a run really had.

Pure functions of what the emulator logged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from counting import Phase
from watching import Objects
from world import SUBSCRIPTION

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.blueprint import Blueprint, Inputs, build
from hpc_operator.demo.figures import Link, critical_path

SERIALISED = ("Microsoft.Network/virtualNetworks", "Microsoft.NetApp/netAppAccounts")
"""Beneath one of these Azure takes one write at a time."""


@dataclass(frozen=True)
class Wait:
    """One link of the chain of a run.

    Parameters
    ----------
    resource_id
        What was written.
    azure
        Emulated seconds that Azure worked on it.
    until_noticed
        From Azure's end until the operator's next question about it.
    until_next
        From that question until the next link's request, or until Ready was seen.
    """

    resource_id: str
    azure: float
    until_noticed: float
    until_next: float


def blueprint_of(objects: Objects) -> Blueprint:
    """Return what these custom resources stand for in Azure."""
    of_kind = {kind: [body for (name, _), body in objects.items() if name == kind] for kind, _ in objects}
    partitions = tuple(ComputePartition.model_validate(body) for body in of_kind.get("ComputePartition", ()))
    return build(
        Inputs(
            subscription_id=SUBSCRIPTION,
            environment=HPCEnvironment.model_validate(of_kind["HPCEnvironment"][0]),
            tiers=tuple(StorageTier.model_validate(body) for body in of_kind.get("StorageTier", ())),
            partitions=partitions,
            image_versions={item.metadata.name: item.status.image.version for item in partitions if item.status.image},
        )
    )


def shortest(blueprint: Blueprint, phase: Phase, *, serialised: bool = True) -> tuple[Link, ...]:
    """Return the critical path; without `serialised` as if Azure took any number of writes at once."""
    types = SERIALISED if serialised else ()
    return critical_path(blueprint.graph, blueprint.node_sets, phase.operations, types)


def seconds(links: Iterable[Link]) -> float:
    """Return the length of a path."""
    return sum(link.seconds for link in links)


class Chain:
    """The chain of waits of a run, walked back from the moment of Ready.

    Parameters
    ----------
    blueprint
        What was made.
    phase
        Its log.
    ready
        Emulated time at which Ready was seen.
    """

    def __init__(self, blueprint: Blueprint, phase: Phase, ready: float) -> None:
        self._needs: dict[str, set[str]] = {item.id.lower(): set(item.needs) for item in blueprint.graph}
        self._nodes: set[str] = set()
        self._names = {item.id.lower(): item.id for item in blueprint.graph}
        self._log = phase.log
        self._ready = ready
        self._written: dict[str, float] = {}
        self._done: dict[str, float] = {}
        self._asked: dict[str, list[float]] = {}
        self._take_in(phase)
        for node_set in blueprint.node_sets:
            prefix = node_set.node_id(node_set.name_prefix).lower()
            for key in [key for key in self._written if key.startswith(prefix) and "/" not in key[len(prefix) :]]:
                self._needs[key] = set(node_set.needs)
                self._nodes.add(key)

    def links(self) -> list[Wait]:
        """Return the links, the first one first."""
        found: list[Wait] = []
        until = self._ready
        at = max((key for key in self._needs if key in self._done), key=lambda key: self._done[key], default=None)
        while at is not None:
            noticed = min(self._noticed(at), until)
            name = self._names.get(at, at)
            wait = Wait(name, self._done[at] - self._written[at], noticed - self._done[at], until - noticed)
            found.append(wait)
            until = self._written[at]
            at = self._waited_for(at)
        return found[::-1]

    def _take_in(self, phase: Phase) -> None:
        resource_of = {operation["id"].lower(): operation["resourceId"].lower() for operation in phase.operations}
        ends: dict[str, float] = {}
        for operation in phase.operations:
            if operation["verb"] == "PUT":
                ends.setdefault(operation["resourceId"].lower(), operation["endSeconds"])
        for entry in phase.log:
            key, moment = entry["path"].lower(), entry["emulatedTime"]
            if entry["method"] == "PUT" and entry["status"] < 300 and key not in self._written:
                self._written[key] = moment
                self._done[key] = max(ends.get(key, moment), moment)
            elif entry["method"] == "GET":
                about = resource_of.get(key.rpartition("/")[2], key)
                self._asked.setdefault(about, []).append(moment)

    def _noticed(self, key: str) -> float:
        done = self._done[key]
        if done == self._written[key]:
            return done  # the answer itself told
        about = key.rpartition("/")[0] if key in self._nodes else key
        return min((moment for moment in self._asked.get(about, ()) if moment >= done), default=math.inf)

    def _waited_for(self, key: str) -> str | None:
        """Return what ended last of all that had to end before `key` could be written."""
        candidates = {need for need in self._needs[key] if need in self._done}
        scopes = self._scopes(key)
        candidates |= {other for other in self._needs if other in self._done and scopes & self._scopes(other)}
        before = [other for other in candidates if other != key and self._done[other] <= self._written[key]]
        return max(before, key=lambda other: self._done[other], default=None)

    def _scopes(self, key: str) -> set[str]:
        found: set[str] = set()
        for name in SERIALISED:
            for candidate in (key, *(self._needs[key] if "/privateendpoints/" in key else ())):
                head, marker, tail = candidate.partition(f"/providers/{name.lower()}/")
                if marker:
                    found.add(f"{head}{marker}{tail.partition('/')[0]}")
        return found


def explain(waits: Sequence[Wait]) -> Mapping[str, float]:
    """Return the parts of the time until Ready."""
    return {
        "azure": sum(wait.azure for wait in waits),
        "untilNoticed": sum(wait.until_noticed for wait in waits),
        "untilNext": sum(wait.until_next for wait in waits),
    }
