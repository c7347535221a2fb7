"""A whole life of an environment, stage by stage, and what there is to be seen after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crashing.kube import Kube, Objects
from crashing.world import START, Script, World

ENVIRONMENT = ("HPCEnvironment", "climate")
HOME = ("StorageTier", "climate-home")
HPC = ("ComputePartition", "climate-hpc")
GPU = ("ComputePartition", "climate-gpu")
SIZES = ("Standard_HB120rs_v3", "Standard_HB176rs_v4")
NODES, MAX_UNAVAILABLE = 2, 0

QUIET_SECONDS = 0.2
"""How long nothing is asked of Azure when a stage is over: 80 emulated seconds, polls come every 10."""
STAGE_SECONDS = 75.0
"""Each failure costs a second or two of real time, and in a deletion one waits for the other."""
LOOK_SECONDS = 0.05


def _manifest(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "azurehpc.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec if kind == "HPCEnvironment" else {"environmentRef": {"name": "climate"}, **spec},
    }


MANIFESTS = (
    _manifest(
        *ENVIRONMENT,
        location="westeurope",
        tags={"department": "climate"},
        network={"addressSpace": ["10.40.0.0/20"]},
        scheduler={"slurm": {}},
    ),
    _manifest(*HOME, purpose="Home", mountPath="/home", deletionPolicy="Delete", netAppFiles={"capacity": "4Ti"}),
    # By name, as partitions made in the same second are ordered.
    _manifest(*GPU, vmSizes=[SIZES[0]], nodes={"min": 1, "max": 2}),
    _manifest(
        *HPC,
        vmSizes=[SIZES[0]],
        nodes={"min": NODES, "max": 4},
        rollout={"maxSurge": 1, "maxUnavailable": MAX_UNAVAILABLE},
    ),
)


async def _create(kube: Kube) -> None:
    for manifest in MANIFESTS:
        await kube.create(manifest)


async def _resize(kube: Kube) -> None:
    await kube.patch(*HPC, {"spec": {"vmSizes": [SIZES[1]]}})


async def _grow(kube: Kube) -> None:
    await kube.patch(*HOME, {"spec": {"netAppFiles": {"capacity": "5Ti"}}})


async def _remove(kube: Kube) -> None:
    await kube.delete(*GPU)


async def _delete(kube: Kube) -> None:
    # The environment first: else the partition may go alone for a moment, and takes rules of the network with it.
    for kind, name in (ENVIRONMENT, HOME, HPC):
        await kube.delete(kind, name)


def is_at_rest(raw: Mapping[str, Any]) -> bool:
    """Whether an object is Ready as it is written, and nothing goes on."""
    status = raw.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions", ())}
    ready = conditions.get("Ready")
    if ready is None or ready["status"] != "True" or {"Reconciling", "Stalled"} & conditions.keys():
        return False
    if ready["observedGeneration"] != raw["metadata"]["generation"] or status.get("operations") or status.get("plan"):
        return False
    nodes = status.get("nodes")
    return nodes is None or (nodes["desired"] == nodes["ready"] == nodes["updated"] and not _moving(nodes))


def _moving(nodes: Mapping[str, int]) -> int:
    return nodes["creating"] + nodes["deleting"] + nodes["failed"]


@dataclass(frozen=True)
class Stage:
    """A part of a life: what the user does, and which objects there are in the end."""

    name: str
    act: Callable[[Kube], Awaitable[None]]
    remain: frozenset[tuple[str, str]]
    tells: tuple[tuple[str, str], str, str] | None = None
    """The object, field and value of a status that tell that it was done."""

    def is_over(self, objects: Objects) -> bool:
        if objects.keys() != self.remain or not all(is_at_rest(raw) for raw in objects.values()):
            return False
        return self.tells is None or objects[self.tells[0]]["status"].get(self.tells[1]) == self.tells[2]


async def _nothing(_: Kube) -> None:
    pass


_ALL = frozenset({ENVIRONMENT, HOME, HPC, GPU})
_BEGINNING = Stage(START, _nothing, frozenset())
STAGES = (
    _BEGINNING,
    Stage("create", _create, _ALL),
    Stage("resize", _resize, _ALL, (HPC, "vmSize", SIZES[1])),
    Stage("grow", _grow, _ALL, (HOME, "capacity", "5Ti")),
    Stage("remove", _remove, _ALL - {GPU}),
    Stage("delete", _delete, frozenset()),
)


@dataclass(frozen=True)
class Scene:
    """What is there after a stage.

    Parameters
    ----------
    resources
        Bodies by lower-case id, as Azure shows them.
    objects
        Custom resources by kind and name.
    operations
        Of the stage and those before, as the emulator tells them.
    first_call, last_call
        Numbers of the calls of the stage; the second is behind the last one.
    """

    stage: str
    resources: Mapping[str, Mapping[str, Any]]
    objects: Objects
    operations: list[Mapping[str, Any]]
    began: float
    first_call: int
    last_call: int
    seconds: float


@dataclass
class Life:
    """What was seen of a life; `stuck` says where and how it came to a halt, if it did."""

    name: str
    scenes: list[Scene] = field(default_factory=list)
    stuck: str = ""
    seconds: float = 0.0


async def live(world: World, script: Script, name: str) -> Life:
    """Live a whole life.

    Parameters
    ----------
    world
        Where.
    script
        What happens to calls.
    name
        Of the life; its log has it.
    """
    life, began = Life(name), time.monotonic()
    await world.begin_life(script, name)
    for stage in STAGES:
        scene = await _stage(world, stage, life)
        if scene is None:
            break
        life.scenes.append(scene)
    life.seconds = time.monotonic() - began
    await world.end_life()
    return life


async def _stage(world: World, stage: Stage, life: Life) -> Scene | None:
    began, first = time.monotonic(), len(world.calls)
    emulated = (await world.ask("clock"))["elapsedSeconds"]
    world.stage = stage.name
    await stage.act(world.kube)
    while True:
        objects = await world.kube.objects()
        if stage.is_over(objects) and await _is_quiet(world, stage):
            # The first look may have been just before something began.
            objects = await world.kube.objects()
            if stage.is_over(objects):
                break
        if time.monotonic() - began > STAGE_SECONDS:
            life.stuck = f"{stage.name}: not over after {STAGE_SECONDS:.0f} s: {_said(objects)}"
            return None
        await asyncio.sleep(LOOK_SECONDS)
    return Scene(
        stage=stage.name,
        resources=await _resources(world),
        objects=objects,
        operations=await world.ask("operations"),
        began=emulated,
        first_call=first,
        last_call=len(world.calls),
        seconds=time.monotonic() - began,
    )


async def _is_quiet(world: World, stage: Stage) -> bool:
    if stage.name == START and not sum(call.delivered and call.name.startswith("WATCH") for call in world.calls) >= 3:
        return False
    if world.is_restarting:
        return False
    before = len(world.calls)
    await asyncio.sleep(QUIET_SECONDS)
    return len(world.calls) == before and not world.is_restarting


async def _resources(world: World) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for item in await world.ask("resources"):
        version = world.versions.get(item["type"].lower())
        body = await world.resource(item["id"], version) if version else {}
        found[item["id"].lower()] = {"provisioningState": item["provisioningState"], **body}
    return found


def _said(objects: Objects) -> str:
    parts = []
    for (kind, name), raw in objects.items():
        status = raw.get("status") or {}
        told = [it for it in status.get("conditions", ()) if it["type"] in {"Ready", "Reconciling", "Stalled"}]
        said = [f"{it['type']}={it['status']} {it['reason']} {it['message']}" for it in told]
        said += [f"{key} {status[key]}" for key in ("nodes", "operations") if key in status]
        said += ["being deleted"] if raw["metadata"].get("deletionTimestamp") else []
        said += (
            ["an old generation"]
            if any(it["observedGeneration"] != raw["metadata"]["generation"] for it in told)
            else []
        )
        parts.append(f"{kind}/{name}: {'; '.join(said) or 'no status'}")
    return " || ".join(parts) or "no objects"
