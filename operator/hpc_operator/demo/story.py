"""The demo from beginning to end: what is done, in which order, and what is said.

Knows the example's names and what to expect of it; how things are looked at and drawn is elsewhere.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from rich.columns import Columns
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.blueprint import Blueprint, Inputs, build
from hpc_operator.demo import figures, states
from hpc_operator.demo.errors import DemoError
from hpc_operator.demo.figures import Link, Requests
from hpc_operator.demo.look import Observer, Seen
from hpc_operator.demo.screens import BecomingReady, Growing, RollingOut, Timer
from hpc_operator.demo.setting import OPERATOR, SUBSCRIPTION, Scene
from hpc_operator.demo.stage import Screen, Stage
from hpc_operator.demo.wording import clock, count, here, minutes, resource_name
from hpc_operator.graph import Step

Json = Any

EXAMPLE: Final = "examples/quickstart"
NAMESPACE: Final = "hpc"
ENVIRONMENT: Final = "climate"
PARTITION: Final = "climate-hpc"
TIER: Final = "climate-home"
NEW_SIZE: Final = "Standard_HB176rs_v4"
NEW_CAPACITY: Final = "6Ti"

LOOK_SECONDS: Final = 1.0
"""Between two looks: often enough to see each step, seldom enough to leave two cores to what is shown."""
GENEROUS_SECONDS: Final = 300.0
GENEROUS_AZURE_SECONDS: Final = 3600.0
"""Together several times what each chapter takes on two cores, at whatever speed."""
READING_SECONDS: Final = 4.0
"""For who watches a terminal: to read what was shown before the next picture pushes it up."""
STALLED_SECONDS: Final = 30.0
"""What is stalled that long needs somebody to do something, and nobody will."""

_COLUMN_WIDTH = 54
_FITS = 34

SERIALISED: Final = ("Microsoft.Network/virtualNetworks", "Microsoft.NetApp/netAppAccounts")
"""Beneath these Azure allows one write at a time."""


@dataclass(frozen=True)
class Chapter:
    """What one chapter came to.

    Parameters
    ----------
    title
        Its name in the summary.
    azure_seconds, here_seconds
        How long it took.
    requests
        What the operator asked of Azure meanwhile.
    operations
        Azure's operations meanwhile.
    """

    title: str
    azure_seconds: float
    here_seconds: float
    requests: Requests
    operations: int


class Story:
    """The chapters.

    Parameters
    ----------
    stage
        Where to show it.
    scene
        What runs.
    root
        The project's folder.
    check
        Raises if something that has to run does not.
    operator_log
        The operator's log.
    """

    def __init__(self, stage: Stage, scene: Scene, root: Path, check: Callable[[], None], operator_log: Path) -> None:
        self._stage = stage
        self._scene = scene
        self._root = root
        self._check = check
        self._operator_log = operator_log
        self._observer = Observer(scene.kubectl, scene.azure, NAMESPACE)
        self._last_request = 0
        self._operations_before = 0
        self._chapters: list[Chapter] = []
        self._critical_path: tuple[Link, ...] = ()
        self._rollout = ""
        self._growth = ""
        self._resources = ""

    def tell(self) -> None:
        """Tell all of it."""
        self._what_a_user_writes()
        self._becoming_ready()
        self._another_vm_size()
        self._more_capacity()
        self._in_numbers()

    # The chapters

    def _what_a_user_writes(self) -> None:
        stage = self._stage
        stage.chapter("1 of 4: an HPC environment, as its administrator writes it")
        objects = [body for body in _manifests(self._root / EXAMPLE) if body["kind"] != "Namespace"]
        stage.say(f"{EXAMPLE}, in short:", style="dim")
        if not stage.live:
            stage.say("\n---\n".join(_essence(body) for body in objects))
            return
        width = min(_COLUMN_WIDTH, (stage.width - 1) // 2)
        environments = [body for body in objects if body["kind"] in {"HPCEnvironment", "ComputePartition"}]
        tiers = [body for body in objects if body["kind"] == "StorageTier"]
        stage.show(Columns([_panel(environments, width), _panel(tiers, width)], padding=(0, 1)))
        stage.pause(READING_SECONDS)

    def _becoming_ready(self) -> None:
        stage, kubectl = self._stage, self._scene.kubectl
        stage.chapter("2 of 4: it becomes Ready")
        timer = self._timer()
        stage.command(f"kubectl apply -f {EXAMPLE}")
        stage.output(kubectl.text("apply", "-f", EXAMPLE))
        stage.say()
        screen = BecomingReady(ENVIRONMENT, NAMESPACE, timer)
        last: Seen | None = None

        def take_in(seen: Seen) -> bool:
            nonlocal last
            last = seen
            screen.take_in(seen, _step_of(seen))
            return all(states.is_ready(item) for item in seen.objects)

        self._watch(screen, BecomingReady.TABLES, take_in, timer)
        assert last is not None  # noqa: S101 - the screen was shown at least once
        self._close("Ready", timer, last)
        self._critical_path = _critical_path(last)
        resources = last.environment["status"]["resources"]
        self._resources = f"{len(resources)} and {count(len(states.node_machines(last.machines)), 'node')}"
        stage.pause(READING_SECONDS / 2)
        if not stage.live:
            for kind, table in last.tables.items():
                stage.say()
                stage.command(f"kubectl get {kind} -n {NAMESPACE}")
                stage.output(table)

    def _another_vm_size(self) -> None:
        stage = self._stage
        stage.chapter("3 of 4: another VM size, while the partition works")
        old_size = self._spec("computepartition", PARTITION)["vmSizes"][0]
        timer = self._timer()
        self._patch("computepartition", PARTITION, {"vmSizes": [NEW_SIZE]})
        screen = RollingOut(PARTITION, NAMESPACE, timer, old_size=old_size, new_size=NEW_SIZE)
        last: Seen | None = None

        def take_in(seen: Seen) -> bool:
            nonlocal last
            last = seen
            screen.take_in(seen)
            return screen.settled and all(states.is_ready(item) for item in seen.objects)

        self._watch(screen, RollingOut.TABLES, take_in, timer)
        assert last is not None  # noqa: S101 - the screen was shown at least once
        self._close("Another VM size", timer, last)
        nodes = last.named("ComputePartition", PARTITION)["status"]["nodes"]["desired"]
        ready = f"in all {screen.looks} looks" if screen.looks == screen.looks_ready else "NOT in all looks"
        self._rollout = (
            f"{count(nodes, 'node')} replaced: never fewer than {screen.fewest} of {nodes} ready, never more than "
            f"{screen.most} in existence. The partition was Ready {ready}."
        )
        stage.say()
        stage.say(self._rollout, style="green")
        stage.pause(READING_SECONDS / 2)

    def _more_capacity(self) -> None:
        stage = self._stage
        stage.chapter("4 of 4: a file system grows, while it is mounted")
        before = self._scene.kubectl.json("get", "storagetier", TIER, "-n", NAMESPACE)["status"]
        timer = self._timer()
        self._patch("storagetier", TIER, {"netAppFiles": {"capacity": NEW_CAPACITY}})
        screen = Growing(TIER, NAMESPACE, timer, before=before["capacity"], after=NEW_CAPACITY)
        last: Seen | None = None

        def take_in(seen: Seen) -> bool:
            nonlocal last
            last = seen
            screen.take_in(seen)
            capacity = seen.named("StorageTier", TIER)["status"].get("capacity")
            return capacity == NEW_CAPACITY and all(states.is_ready(item) for item in seen.objects)

        self._watch(screen, Growing.TABLES, take_in, timer)
        assert last is not None  # noqa: S101 - the screen was shown at least once
        self._close("More capacity", timer, last)
        after = last.named("StorageTier", TIER)["status"]
        same = "is what it was" if after["mount"] == before["mount"] else "has CHANGED"
        source = after["mount"]["source"]
        self._growth = f"{before['capacity']} became {after['capacity']} in place: what nodes mount, {source}, {same}."
        stage.say()
        stage.say(self._growth, style="green")
        stage.pause(READING_SECONDS / 2)

    def _in_numbers(self) -> None:
        stage = self._stage
        stage.chapter("In numbers")
        table = Table(box=None, padding=(0, 2), header_style="bold", pad_edge=False)
        table.add_column("")
        for chapter in self._chapters:
            table.add_column(chapter.title, justify="right")
        rows: list[tuple[str, Callable[[Chapter], str]]] = [
            ("Azure's time", lambda chapter: clock(chapter.azure_seconds)),
            ("here", lambda chapter: here(chapter.here_seconds)),
            ("operations of Azure", lambda chapter: str(chapter.operations)),
            ("ARM writes", lambda chapter: str(chapter.requests.writes)),
            ("ARM reads", lambda chapter: str(chapter.requests.reads)),
            ("ARM polls of operations", lambda chapter: str(chapter.requests.polls)),
            ("ARM requests refused", lambda chapter: str(chapter.requests.refused)),
        ]
        for name, value in rows:
            table.add_row(name, *(value(chapter) for chapter in self._chapters))
        stage.show(table)
        stage.say()
        stage.say(f"Azure resources: {self._resources}.")
        ready, shortest = self._chapters[0].azure_seconds, sum(link.seconds for link in self._critical_path)
        stage.say(
            f"Ready after {clock(ready)}. Azure's own critical path, the longest chain of work of which each part "
            f"waits for the one before, is {clock(shortest)}. In the difference a second of this machine counts as "
            f"{self._scene.speed:g} s."
        )
        chain = " → ".join(f"{resource_name(link.resource_id)} {clock(link.seconds)}" for link in self._critical_path)
        stage.say(f"The chain: {chain}", style="dim")

    # Pieces

    def _timer(self) -> Timer:
        _, self._last_request = self._scene.azure.requests(self._last_request)
        self._operations_before = len(self._scene.azure.operations())
        return Timer(self._scene.azure.clock(), self._scene.speed)

    def _close(self, title: str, timer: Timer, last: Seen) -> None:
        requests, self._last_request = self._scene.azure.requests(self._last_request)
        self._chapters.append(
            Chapter(
                title,
                timer.azure,
                timer.here,
                figures.count_requests(requests),
                len(last.operations) - self._operations_before,
            )
        )
        self._stage.say()
        self._stage.say(
            f"{title} after {minutes(timer.azure)} of Azure's time, {here(timer.here)} here.", style="bold green"
        )

    def _watch(self, screen: Screen, tables: tuple[str, ...], take_in: Callable[[Seen], bool], timer: Timer) -> None:
        generous = GENEROUS_SECONDS + GENEROUS_AZURE_SECONDS / self._scene.speed
        deadline = time.monotonic() + generous
        stalled_since: float | None = None

        def look() -> bool:
            nonlocal stalled_since
            seen = self._look(tables)
            over = take_in(seen)
            if over:
                timer.stop(seen.clock)
                return True
            said = states.stalled(seen.objects)
            stalled_since = (stalled_since or time.monotonic()) if said else None
            if stalled_since is not None and time.monotonic() - stalled_since > STALLED_SECONDS:
                raise DemoError(said, self._operator_log)
            if time.monotonic() > deadline:
                waiting = next(item for item in seen.objects if not states.is_ready(item))
                message = states.condition(waiting, "Ready").get("message", "nothing yet")
                msg = (
                    f"{waiting['kind']} {waiting['metadata']['name']} is not where it should be after "
                    f"{here(generous)}. It says: {message}"
                )
                raise DemoError(msg, self._operator_log)
            return False

        self._stage.watch(screen, look, LOOK_SECONDS)

    def _look(self, tables: tuple[str, ...]) -> Seen:
        self._check()
        try:
            return self._observer.look(tables)
        except DemoError:
            self._check()  # what ended explains more than that it does not answer
            raise

    def _spec(self, kind: str, name: str) -> Json:
        return self._scene.kubectl.json("get", kind, name, "-n", NAMESPACE)["spec"]

    def _patch(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        patch = json.dumps({"spec": spec}, separators=(",", ":"))
        self._stage.command(f"kubectl patch {kind} {name} -n {NAMESPACE} --type=merge -p '{patch}'")
        self._stage.output(self._scene.kubectl.text("patch", kind, name, "-n", NAMESPACE, "--type=merge", "-p", patch))
        self._stage.say()


def _manifests(folder: Path) -> list[Json]:
    """Return the objects of a folder in the order in which kubectl takes them."""
    return [body for path in sorted(folder.glob("*.yaml")) for body in yaml.safe_load_all(path.read_text("utf-8"))]


class _ShortDumper(yaml.SafeDumper):
    """Writes in one line what fits in one."""

    def represent_mapping(self, *arguments: Any, **options: Any) -> yaml.MappingNode:
        node = super().represent_mapping(*arguments, **options)
        if node.flow_style and sum(len(key.value) + len(str(value.value)) + 4 for key, value in node.value) > _FITS:
            node.flow_style = False
        return node


def _essence(body: Json) -> str:
    """Return a manifest without what stands in every one."""
    short = {"kind": body["kind"], "metadata": {"name": body["metadata"]["name"]}, "spec": body["spec"]}
    return yaml.dump(short, Dumper=_ShortDumper, sort_keys=False, default_flow_style=None).rstrip()


def _panel(objects: list[Json], width: int) -> Panel:
    text = "\n---\n".join(_essence(body) for body in objects)
    syntax = Syntax(text, "yaml", theme="ansi_dark", background_color="default", word_wrap=False)
    return Panel(syntax, width=width, border_style="bright_black")


def _blueprint(seen: Seen) -> Blueprint:
    """Return the graph that these objects stand for: it tells the step and the needs of each resource."""
    partitions = tuple(ComputePartition.model_validate(item) for item in seen.partitions)
    versions = {
        item.metadata.name: item.status.image.version if item.status.image is not None else "0.0.0"
        for item in partitions
    }
    return build(
        Inputs(
            subscription_id=SUBSCRIPTION,
            environment=HPCEnvironment.model_validate(seen.environment),
            tiers=tuple(StorageTier.model_validate(item) for item in seen.tiers),
            partitions=partitions,
            image_versions=versions,
        )
    )


def _step_of(seen: Seen) -> dict[str, Step]:
    return {resource.id.lower(): resource.step for resource in _blueprint(seen).graph}


def _critical_path(seen: Seen) -> tuple[Link, ...]:
    blueprint = _blueprint(seen)
    return figures.critical_path(blueprint.graph, blueprint.node_sets, seen.operations, SERIALISED)


def how_to_go_on(stage: Stage, scene: Scene, kubeconfig: Path) -> None:
    """Print the lines to go on by hand, where everything was left running."""
    stage.chapter("It goes on running")
    lines = [f"export KUBECONFIG={kubeconfig}"]
    if shutil.which("kubectl") is None:
        lines.append(f"alias kubectl={scene.kubectl_binary}")
    lines += [
        f"kubectl get hpcenvironments,storagetiers,computepartitions -n {NAMESPACE}",
        f"kubectl describe hpcenvironment {ENVIRONMENT} -n {NAMESPACE}",
        f"kubectl scale computepartition {PARTITION} -n {NAMESPACE} --replicas=5",
        f"kubectl delete hpcenvironments,storagetiers,computepartitions --all -n {NAMESPACE}   # /home is retained",
        "make demo-down",
    ]
    for line in lines:
        stage.command(line)
    stage.say()
    stage.say(f"Azure is emulated at {scene.azure.url}. The operator's log is {kubeconfig.parents[1] / OPERATOR}.log.")
