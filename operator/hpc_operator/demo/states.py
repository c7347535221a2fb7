"""What the objects that were seen say: steps, resources and nodes, as the screens show them.

Pure functions of JSON; draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from hpc_operator.blueprint.names import PARTITION_TAG
from hpc_operator.demo.look import Seen
from hpc_operator.demo.wording import resource_name
from hpc_operator.graph import Step

Json = Any

STEP_TITLES = {
    Step.INFRASTRUCTURE: "Infrastructure",
    Step.BASE_SERVICES: "Base services",
    Step.STORAGE: "Storage",
    Step.COMPUTE: "Compute",
    Step.ENTRY_POINT: "Entry point",
}


class Mark(StrEnum):
    """How things stand with a step or a resource."""

    WAITING = "waiting"
    WORKING = "working"
    READY = "ready"
    FAILED = "failed"


# Conditions


def condition(body: Json, name: str) -> Json:
    """Return a condition of an object, an empty one where it has none."""
    conditions = body.get("status", {}).get("conditions", ())
    return next((item for item in conditions if item["type"] == name), {})


def is_ready(body: Json) -> bool:
    """Return whether an object is Ready as it is written now, with nothing left to do."""
    generation = body["metadata"]["generation"]
    return (
        condition(body, "Ready").get("status") == "True"
        and condition(body, "Ready").get("observedGeneration") == generation
        and body.get("status", {}).get("observedGeneration") == generation
        and not condition(body, "Reconciling")
        and not condition(body, "Stalled")
    )


def stalled(bodies: Iterable[Json]) -> str:
    """Return what the first stalled object says, an empty text where none is stalled."""
    for body in bodies:
        if condition(body, "Stalled").get("status") == "True":
            return f"{body['kind']} {body['metadata']['name']}: {condition(body, 'Stalled')['message']}"
    return ""


# Steps and resources


@dataclass(frozen=True)
class Busy:
    """A resource that Azure is working on, and for how many emulated seconds."""

    name: str
    seconds: float


@dataclass(frozen=True)
class StepState:
    """One step as the screen shows it."""

    title: str
    mark: Mark
    ready: int
    total: int
    busy: tuple[Busy, ...] = ()
    trouble: str = ""


_READY = frozenset({"Ready", "Updating"})


def steps(seen: Seen, step_of: Mapping[str, Step]) -> list[StepState]:
    """Return the five steps.

    Parameters
    ----------
    seen
        What was seen.
    step_of
        The step of each resource by its lower-case id.
    """
    running = {item["resourceId"].lower(): item for item in seen.operations if item["status"] == "InProgress"}

    def busy_with(resource_id: str) -> Busy:
        operation = running.get(resource_id.lower())
        return Busy(resource_name(resource_id), seen.clock - operation["startSeconds"] if operation else 0.0)

    found: list[StepState] = []
    for step, title in STEP_TITLES.items():
        resources = [
            item
            for item in seen.environment.get("status", {}).get("resources", ())
            if step_of.get(item["id"].lower(), _guess(item["owner"])) is step and item["state"] != "Kept"
        ]
        ready = sum(item["state"] in _READY for item in resources)
        total = len(resources)
        busy = [busy_with(item["id"]) for item in resources if item["id"].lower() in running]
        if step is Step.COMPUTE:
            nodes = node_machines(seen.machines)
            total += sum(item.get("status", {}).get("nodes", {}).get("desired", 0) for item in seen.partitions)
            ready += sum(_machine_is_ready(item) for item in nodes)
            busy += [busy_with(item["id"]) for item in nodes if item["id"].lower() in running]
        said = condition(seen.environment, f"{step.value}Ready")
        trouble = next((item["id"] for item in resources if item["state"] == "Failed"), "")
        # A step of which nothing is known yet is called ready: its tier or partition has not been seen.
        if said.get("status") == "True" and total:
            mark = Mark.READY
        elif trouble:
            mark = Mark.FAILED
        elif busy or ready:
            mark = Mark.WORKING
        else:
            mark = Mark.WAITING
        found.append(
            StepState(title, mark, ready, total, tuple(busy), said.get("message", "") if mark is Mark.FAILED else "")
        )
    return found


def _guess(owner: str) -> Step:
    """Return a step for a resource that no graph names: one that is on its way out."""
    kind = owner.partition("/")[0]
    return {"StorageTier": Step.STORAGE, "ComputePartition": Step.COMPUTE}.get(kind, Step.INFRASTRUCTURE)


@dataclass(frozen=True)
class Arrival:
    """A resource that became ready: when, and how long Azure worked on it (0: it was there at once)."""

    at: float
    name: str
    seconds: float


class Arrivals:
    """Notices resources that become ready, each once."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._last_look = 0.0

    def news(self, seen: Seen) -> list[Arrival]:
        """Return what became ready since the last call, in order of time."""
        finished: dict[str, Json] = {}
        for operation in seen.operations:
            if operation["verb"] in {"PUT", "PATCH"} and operation["status"] == "Succeeded":
                finished.setdefault(operation["resourceId"].lower(), operation)
        resources = seen.environment.get("status", {}).get("resources", ())
        ready = [item["id"] for item in resources if item["state"] == "Ready"]
        ready += [item["id"] for item in node_machines(seen.machines) if _machine_is_ready(item)]
        found: list[Arrival] = []
        for resource_id in ready:
            if resource_id.lower() in self._known:
                continue
            self._known.add(resource_id.lower())
            operation = finished.get(resource_id.lower())
            if operation is None:
                found.append(Arrival(seen.clock, resource_name(resource_id), 0.0))
            else:
                seconds = operation["endSeconds"] - operation["startSeconds"]
                # What Azure had finished before counts from when the operator noticed.
                at = max(operation["endSeconds"], self._last_look)
                found.append(Arrival(at, resource_name(resource_id), seconds))
        self._last_look = seen.clock
        return sorted(found, key=lambda arrival: arrival.at)


# Nodes


def node_machines(machines: Iterable[Json]) -> list[Json]:
    """Return those virtual machines that are nodes of a partition."""
    return [item for item in machines if PARTITION_TAG in (item.get("tags") or {})]


def _machine_is_ready(machine: Json) -> bool:
    return bool(machine["properties"].get("provisioningState") == "Succeeded")


@dataclass(frozen=True)
class Life:
    """The life of one node, in emulated seconds; None for what has not happened.

    Parameters
    ----------
    name
        Its name. A name may come back: then it is another life.
    made
        When Azure took the request to make it.
    ready
        When it was there.
    going
        When Azure took the request to delete it.
    gone
        When it was away.
    failed
        Whether Azure could not make it.
    """

    name: str
    made: float
    ready: float | None = None
    going: float | None = None
    gone: float | None = None
    failed: bool = False

    @property
    def state(self) -> str:
        """What it is doing, in the operator's words."""
        if self.gone is not None:
            return "gone"
        if self.going is not None:
            return "Deleting"
        if self.failed:
            return "Failed"
        return "Creating" if self.ready is None else "Ready"

    def serves(self, at: float) -> bool:
        """Return whether it was ready, and not yet told to go, at that moment."""
        return self.ready is not None and self.ready <= at and (self.going is None or at < self.going)


def lives(operations: Iterable[Json], prefix: str) -> list[Life]:
    """Return the lives of all nodes of a partition, in the order in which they were made.

    Parameters
    ----------
    operations
        Azure's operations in order of their start.
    prefix
        What the names of the nodes start with.
    """
    found: list[Life] = []
    present: dict[str, int] = {}
    for operation in operations:
        name = operation["resourceId"].rpartition("/")[2]
        if operation["type"].lower() != "microsoft.compute/virtualmachines" or not name.startswith(prefix):
            continue
        ended = operation["endSeconds"] if operation["status"] != "InProgress" else None
        good = operation["status"] == "Succeeded"
        if operation["verb"] == "PUT" and name not in present:
            present[name] = len(found)
            found.append(
                Life(
                    name,
                    operation["startSeconds"],
                    ready=ended if good else None,
                    failed=ended is not None and not good,
                )
            )
        elif operation["verb"] == "DELETE" and name in present:
            index = present[name]
            found[index] = replace(found[index], going=operation["startSeconds"], gone=ended if good else None)
            if ended is not None and good:
                del present[name]
    return found


def fewest_serving(found: Sequence[Life], since: float, until: float) -> int:
    """Return the least number of nodes that served at any moment between two."""
    moments = [since, *(life.going for life in found if life.going is not None and since <= life.going <= until)]
    return min(sum(life.serves(moment) for life in found) for moment in moments)


def most_present(found: Sequence[Life], since: float, until: float) -> int:
    """Return the greatest number of nodes that existed at any moment between two, on their way up or down included."""
    moments = [since, *(life.made for life in found if since <= life.made <= until)]
    return max(
        sum(life.made <= moment and (life.gone is None or moment < life.gone) for life in found) for moment in moments
    )
