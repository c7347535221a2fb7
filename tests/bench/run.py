"""`make bench`: lets the operator work on examples/quickstart and says what that took, in counts and ratios.

Prints a table, and writes it to .state/bench/last.json. What each figure means is in docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import one_pass
import session
from chain import Chain, Wait, blueprint_of, explain, seconds, shortest
from counting import Phase, Request, counted
from latency import delayed
from report import Figure, Report
from session import STATE, Say
from watching import PLURALS, Objects, Watcher, is_ready, is_settled
from world import ROOT, BenchError, World

SPEED = 20.0
"""Emulated seconds per second. Our own second counts as 20 then: enough to be seen, and the run ends in minutes."""
SECOND_SPEED = 60.0
"""At which the environment is made once more: what grows with the speed is our own time and not Azure's."""
FAST = 300.0
"""Where nothing but the end is waited for."""
LATENCY_SECONDS = 0.05
"""Emulated seconds that each request is on its way, like everything else that is Azure's."""
LOW_LIMITS = {"reads": [12, 1.25], "writes": [10, 0.5], "deletes": [10, 0.5]}
"""A twentieth of what ARM lets a subscription ask (azure-docs, request limits and throttling): size, and per second.
What is left where others ask a lot: enough for the path, too little for all that is ready at the beginning."""
DRIFT_SECONDS = 8
DRIFT_PERIODS = 3
EDITS = 5
IDLE_SECONDS = 3.0

EXAMPLE = ROOT / "examples" / "quickstart"
NAMESPACE = "hpc"
ENVIRONMENT, PARTITION, TIER = "climate", "climate-hpc", "climate-home"
VM_SIZES = ("Standard_HB176rs_v4", "Standard_HB120rs_v3")

PATH_GOAL = 1.05  # the architecture's goal for time to Ready
CALLS_GOAL = 1.3  # ARM calls to create, for each resource
READ_GOAL = 2  # reads for each environment and drift period


class Bench:
    """One run.

    Parameters
    ----------
    world
        What runs.
    report
        What to fill.
    say
        Told what is being done.
    """

    def __init__(self, world: World, report: Report, say: Say) -> None:
        self.report = report
        self._world = world
        self._say = say
        self._watcher = Watcher(world.kubeconfig, NAMESPACE, world.check)
        self._phases: list[Phase] = []
        self._least: dict[tuple[str, str], int] = {}  # the generation that an edit led to, by kind and name

    def close(self) -> None:
        """Follow the cluster no longer."""
        self._watcher.close()

    def run(self) -> None:
        """Go through all phases."""
        idle = self._idle()
        resources, busy = self._create()
        self._edit_vm_size()
        self._grow_storage()
        self._steady()
        self._latency()
        self._remove_partition()
        self._delete(resources)
        self._create_elsewhere("latency", f"speed {SPEED:g}, with 50 ms of latency in each call", SPEED, goal=PATH_GOAL)
        self._create_elsewhere(
            "limits", f"speed {SPEED:g}, with a twentieth of Azure's request limits", SPEED, goal=PATH_GOAL
        )
        self._create_elsewhere("faster", f"speed {SECOND_SPEED:g}", SECOND_SPEED)
        self.report.add(
            "Memory of the operator (resident)",
            [
                Figure("idle, before it saw an environment", idle, "MiB", digits=0),
                Figure("with one environment Ready", busy, "MiB", digits=0),
                Figure("÷ idle", busy / idle),
            ],
        )
        self._tabulate()

    # The phases

    def _idle(self) -> float:
        self._say("the operator has nothing to do")
        time.sleep(IDLE_SECONDS)
        return self._world.operator.resident_mib()

    def _create(self) -> tuple[int, float]:
        self._say(f"examples/quickstart becomes Ready, {SPEED:g} times as fast as in Azure")
        with self._counted("Create") as phase:
            self._world.kubectl("apply", "-f", str(EXAMPLE))
            ready = self._wait_ready()
            self._wait_settled()
        objects = dict(self._watcher.objects)
        (STATE / "create-requests.json").write_text(json.dumps(phase.log, indent=0) + "\n")
        self._time_to_ready(f"speed {SPEED:g}", SPEED, phase, objects, ready, goal=PATH_GOAL, details=True)

        environment = objects["HPCEnvironment", ENVIRONMENT]["status"]
        nodes = objects["ComputePartition", PARTITION]["status"]["nodes"]["ready"]
        resources = len(environment["resources"]) + nodes
        counts = phase.counts
        self.report.add(
            "Requests to make one environment",
            [
                Figure("resources, nodes included", resources, digits=0),
                Figure("ARM calls ÷ resources, polls apart", phase.calls / resources, goal=CALLS_GOAL),
                Figure("ARM writes ÷ resources", phase.writes / resources, goal=1.0),
                Figure(
                    "polls ÷ (operations x Retry-Afters in each)", counts[Request.POLL] / phase.polls_allowed, goal=1.0
                ),
                Figure("lists of virtual machines, that follow nodes", counts[Request.NODE_LIST], digits=0),
                Figure("requests refused by Azure", phase.refused, goal=0, digits=0),
            ],
        )
        self._kubernetes_writes("create", phase)
        return resources, self._world.operator.resident_mib()

    def _edit_vm_size(self) -> None:
        self._say("another VM size: nodes are replaced")
        with self._counted("VM size edit") as phase:
            self._patch("computepartition", PARTITION, {"vmSizes": [VM_SIZES[0]]})
            self._wait_settled()
        nodes = self._watcher.objects["ComputePartition", PARTITION]["status"]["nodes"]["desired"]
        # Each node is made and removed; so is the scale set that they are in.
        needed = 2 * nodes + 2
        self.report.add(
            "Requests to change it", [Figure("VM size edit: ARM writes ÷ needed", phase.writes / needed, goal=1.0)]
        )
        self._kubernetes_writes("VM size edit", phase)

    def _grow_storage(self) -> None:
        self._say("home directories grow")
        with self._counted("Storage growth") as phase:
            self._patch("storagetier", TIER, {"netAppFiles": {"capacity": "5Ti"}})
            self._wait_settled()
        # A pool and its volume.
        self.report.add("Requests to change it", [Figure("storage growth: ARM writes", phase.writes, goal=2, digits=0)])
        self._kubernetes_writes("storage growth", phase)

    def _steady(self) -> None:
        self._say(f"nothing changes, for {DRIFT_PERIODS} drift periods of {DRIFT_SECONDS} s after a restart")
        azure, since = self._world.azure, self._world.azure.last_request()
        with self._world.restarted(HPC_DRIFT_PERIOD=f"{DRIFT_SECONDS}s"):
            time.sleep(0.5 * DRIFT_SECONDS)
            operator = self._world.operator
            restart = Phase("Restart", azure.requests(since), kubernetes=operator.kubernetes_writes())
            since = azure.last_request()
            time.sleep(DRIFT_PERIODS * DRIFT_SECONDS)
            kubernetes = operator.kubernetes_writes() - restart.kubernetes
            drift = Phase(f"{DRIFT_PERIODS} drift periods", azure.requests(since), kubernetes=kubernetes)
        self._phases += [restart, drift]
        reads = _reads(drift)
        if not reads:
            msg = f"Nobody looked at Azure for {DRIFT_PERIODS} drift periods: see the operator's log."
            raise BenchError(msg)
        shared = drift.counts[Request.SHARED] / DRIFT_PERIODS
        written = restart.kubernetes.total() + drift.kubernetes.total()
        self.report.add(
            "Steady state, restart included",
            [
                Figure("ARM writes", restart.writes + drift.writes, goal=0, digits=0),
                Figure("Kubernetes writes", written, goal=0, digits=0),
                Figure("ARM reads for each drift period", reads / DRIFT_PERIODS, goal=READ_GOAL, digits=1),
                Figure("reads about the subscription, for each drift period", shared, digits=1),
                Figure("ARM reads at a restart", _reads(restart), digits=0),
            ],
        )

    def _latency(self) -> None:
        self._say(f"{EDITS} VM size edits: how soon does each reach Azure?")
        self._world.azure.set_speed(FAST)
        time.sleep(IDLE_SECONDS)  # the process is new, and looks around first
        from_command, from_event = [], []
        for number in range(EDITS):
            since, began = self._world.azure.last_request(), time.time()
            generation = self._patch("computepartition", PARTITION, {"vmSizes": [VM_SIZES[(number + 1) % 2]]})
            seen = self._watcher.wait(
                lambda objects, least=generation: (
                    objects["ComputePartition", PARTITION]["metadata"]["generation"] >= least
                ),
                30,
                "the edit is seen",
            )
            self._wait_settled()
            first = Phase("", self._world.azure.requests(since)).first_write()
            if first is None:
                msg = "An edit of vmSizes led to no write."
                raise BenchError(msg)
            from_command.append(1000 * (first["wallTime"] - began))
            from_event.append(1000 * (first["wallTime"] - seen))
        self._world.azure.set_speed(SPEED)
        self.report.data["editMilliseconds"] = {"fromCommand": from_command, "fromWatchEvent": from_event}
        self.report.add(
            f"From an edit to the first ARM write (wall time, median of {EDITS})",
            [
                Figure("from the start of `kubectl patch`", statistics.median(from_command), "ms", digits=0),
                Figure("from the watch event of the edit", statistics.median(from_event), "ms", digits=0),
            ],
        )

    def _remove_partition(self) -> None:
        self._say("the partition is removed")
        with self._counted("Partition removal"):
            self._world.kubectl("delete", "computepartition", PARTITION, "-n", NAMESPACE, "--wait=false")
            self._watcher.wait(lambda objects: ("ComputePartition", PARTITION) not in objects, 120, "it is gone")
            self._wait_settled()

    def _delete(self, resources: int) -> None:
        self._say("the environment is deleted; home directories are kept")
        with self._counted("Deletion") as phase:
            kinds = "hpcenvironments,storagetiers"
            self._world.kubectl("delete", kinds, "--all", "-n", NAMESPACE, "--wait=false")
            self._watcher.wait(lambda objects: not objects, 180, "everything is deleted")
        left = len(self._world.azure.ask("resources"))
        self.report.data["deletion"] = {"made": resources, "left": left}
        deleted = len({entry["path"].lower() for entry in phase.log if entry["method"] == "DELETE"})
        self.report.add(
            "Requests to change it", [Figure("deletion: ARM writes ÷ deleted", phase.writes / deleted, goal=1.0)]
        )

    def _create_elsewhere(self, namespace: str, which: str, speed: float, *, goal: float | None = None) -> None:
        """Make the same environment in another namespace, by a new process, and delete it.

        Latency and low limits are what the namespace is called after.
        """
        self._say(f"another one becomes Ready, {which}")
        azure = self._world.azure
        azure.set_speed(speed)
        azure.set(armBuckets=LOW_LIMITS if namespace == "limits" else {})
        self._least = {}
        self._watcher.close()
        self._watcher = Watcher(self._world.kubeconfig, namespace, self._world.check)
        manifests = "---\n".join(path.read_text() for path in sorted(EXAMPLE.glob("*.yaml")))
        for marker in ("namespace: ", "name: "):
            manifests = manifests.replace(f"{marker}{NAMESPACE}\n", f"{marker}{namespace}\n")
        with contextlib.ExitStack() as ends:
            seconds_late = LATENCY_SECONDS / speed if namespace == "latency" else 0.0
            endpoint = ends.enter_context(delayed(azure.url, seconds_late)) if seconds_late else azure.url
            ends.enter_context(self._world.restarted(HPC_ARM_ENDPOINT=endpoint))
            with self._counted(f"Create, {namespace}") as phase:
                self._world.kubectl("apply", "-f", "-", text=manifests)
                ready = self._wait_ready()
                self._wait_settled()
        self._time_to_ready(which, speed, phase, dict(self._watcher.objects), ready, goal=goal)
        azure.set(armBuckets={})
        azure.set_speed(FAST)
        self._world.kubectl("delete", ",".join(PLURALS), "--all", "-n", namespace, "--wait=false")
        self._watcher.wait(lambda objects: not objects, 180, "everything is deleted")

    # What is made of it

    def _kubernetes_writes(self, what: str, phase: Phase) -> None:
        self.report.add(
            "Writes to Kubernetes",
            [
                Figure(f"{what}: status", phase.kubernetes["status"], digits=0),
                Figure(f"{what}: all others", phase.kubernetes.total() - phase.kubernetes["status"], digits=0),
            ],
        )

    def _time_to_ready(
        self,
        which: str,
        speed: float,
        phase: Phase,
        objects: Objects,
        ready: float,
        *,
        goal: float | None = None,
        details: bool = False,
    ) -> None:
        first = phase.first_write()
        assert first is not None
        blueprint = blueprint_of(objects)
        path = shortest(blueprint, phase)
        critical = seconds(path)
        took = phase.emulated(ready) - first["emulatedTime"]
        waits = Chain(blueprint, phase, phase.emulated(ready)).links()
        parts = explain(waits)
        at_once = (took - parts["untilNext"] * (1 - 1 / speed)) / critical
        section = "Time to Ready ÷ Azure's critical path"
        self.report.add(section, [Figure(f"at {which}", took / critical, goal=goal, digits=3)])
        self.report.data.setdefault("timeToReady", {})[which] = {
            "emulatedSeconds": took,
            "criticalPathSeconds": critical,
            "withoutSerialisationSeconds": seconds(shortest(blueprint, phase, serialised=False)),
            "criticalPath": [asdict(link) for link in path],
            "chain": [asdict(wait) for wait in waits],
            "parts": parts,
        }
        if not details:
            return
        free = seconds(shortest(blueprint, phase, serialised=False))
        self.report.add(
            section,
            [
                Figure("with our own time counted as at speed 1, at most", at_once, goal=PATH_GOAL, digits=3),
                Figure("time to Ready, emulated", took, "s", digits=1),
                Figure("critical path", critical, "s", digits=1),
                Figure("critical path, if Azure serialised nothing", free, "s", digits=1),
            ],
        )
        self.report.tables.append(_chain_table(waits, took))
        chain = " → ".join(f"{_short(link.resource_id)} {link.seconds:.0f}" for link in path)
        self.report.notes.append(
            "Critical path: the longest chain of the blueprint's graph, nodes included (the slowest one counts), each "
            "resource with the emulated seconds of its operation. Writes that Azure takes one at a time (beneath one "
            "virtual network, private endpoints in it included; beneath one NetApp account) follow each other in the "
            f"order in which they were made. Here: {chain}."
        )

    def _tabulate(self) -> None:
        kubernetes = ("status", "finalizer", "event")
        header = ("", "operations", *(kind.value for kind in Request), "refused", *kubernetes)
        rows = []
        for phase in self._phases:
            counts = (len(phase.operations), *(phase.counts[kind] for kind in Request), phase.refused)
            rows.append((phase.name, *map(str, counts), *(str(phase.kubernetes[what]) for what in kubernetes)))
        note = (
            "To the left of status: Azure. Lists: of virtual machines, which follow nodes. Shared: reads about the "
            "subscription. Status, finalizer, event: writes to Kubernetes."
        )
        self.report.tables.insert(0, ("Counts by phase", header, rows, note))
        self.report.data["phases"] = {phase.name: phase.as_json() for phase in self._phases}

    # Pieces

    def _counted(self, name: str) -> Any:
        def remember(phase: Phase) -> Phase:
            self._phases.append(phase)
            return phase

        return _Then(counted(self._world, name), remember)

    def _patch(self, kind: str, name: str, spec: dict[str, Any]) -> int:
        patch = json.dumps({"spec": spec})
        body = self._world.kubectl("patch", kind, name, "-n", NAMESPACE, "--type=merge", "-p", patch, "-o", "json")
        edited = json.loads(body)
        generation = int(edited["metadata"]["generation"])
        self._least = {(edited["kind"], name): generation}
        return generation

    def _wait_ready(self) -> float:
        def ready(objects: Objects) -> bool:
            environment = objects.get(("HPCEnvironment", ENVIRONMENT))
            return environment is not None and is_ready(environment)

        return self._watcher.wait(ready, 180, "the environment is Ready")

    def _wait_settled(self) -> None:
        def settled(objects: Objects) -> bool:
            newest = all(
                objects[key]["metadata"]["generation"] >= generation
                for key, generation in self._least.items()
                if key in objects
            )
            return newest and ("HPCEnvironment", ENVIRONMENT) in objects and is_settled(objects.values())

        self._watcher.wait(settled, 180, "everything is Ready and at rest")


class _Then:
    """A context manager whose value goes through a function."""

    def __init__(self, inner: Any, function: Callable[[Any], Any]) -> None:
        self._inner = inner
        self._function = function

    def __enter__(self) -> Any:
        return self._function(self._inner.__enter__())

    def __exit__(self, *error: object) -> Any:
        return self._inner.__exit__(*error)


def _reads(phase: Phase) -> int:
    """Return how often the environment was looked at."""
    counts = phase.counts
    return counts[Request.READ] + counts[Request.SURVEY] + counts[Request.NODE_LIST]


def _chain_table(waits: list[Wait], took: float) -> tuple[str, tuple[str, ...], list[tuple[str, ...]], str]:
    rows = [
        (_short(wait.resource_id), f"{wait.azure:.1f}", f"{wait.until_noticed:.1f}", f"{wait.until_next:.1f}")
        for wait in waits
    ]
    parts = explain(waits)
    rows.append(("all", *(f"{parts[name]:.1f}" for name in ("azure", "untilNoticed", "untilNext"))))
    rows.append(("÷ time to Ready", *(f"{value / took:.3f}" for value in parts.values())))
    note = "The chain of waits that the run had, walked back from Ready; what ended last before each write."
    header = ("Where the time went (emulated seconds)", "Azure", "until we asked", "until the next write")
    return "", header, rows, note


def _short(resource_id: str) -> str:
    return "/".join(resource_id.rsplit("/", 2)[-2:])


def work(world: World, report: Report, say: Say) -> None:
    """Measure in a world, and then the one thing that needs none."""
    bench = Bench(world, report, say)
    try:
        bench.run()
    finally:
        bench.close()
    say(f"one pass over {one_pass.RESOURCES} resources, again and again")
    logging.disable(logging.WARNING)
    one_pass.add_to(report, asyncio.run(one_pass.measure()))


if __name__ == "__main__":
    sys.exit(session.run(work, speed=SPEED, result="last.json"))
