"""Every status write of a whole life is looked at: each tells something new, and no condition goes back and forth.

What counts as a *fact* is what the engine was told: Azure took or refused a request, an operation ended, a look showed
a resource otherwise than the last look or answer did, a user changed an object. Time that passes is none. The rules:

- Between two writes of an object there is at least one fact, and they differ in something other than times.
- A tier or a partition is written no more often than there are facts about its own resources and acts of the user.
- A stage of the life is one cause (the refusals in it are part of what the stage is). In a stage a condition changes
  its mind once at most, `Reconciling` and `Stalled` come once and go once. `Ready` changes where something is made or
  deleted and nowhere else.
- Messages hold no times, and two of one condition that follow each other do not differ in numbers alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from azure_emulator.faults import Fault
from hpc_operator.reconcile import memory

from .conftest import environment, partition, tier

ENVIRONMENT, HOME = ("HPCEnvironment", "climate"), ("StorageTier", "climate-home")
HPC, GPU = ("ComputePartition", "climate-hpc"), ("ComputePartition", "climate-gpu")
NETWORK = {"addressSpace": ["10.40.0.0/20"]}
TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d|\d\d:\d\d:\d\d|\b\d+(\.\d+)? ?(ms|s|seconds|minutes|attempts|tries|times)\b"
)
NUMBER = re.compile(r"\d+")
PASSING = ("Reconciling", "Stalled")
STAGES = ("create", "scale", "resize", "grow", "remove", "quota", "delete")
TIMES = frozenset({"lastTransitionTime", "startTime"})
QUOTA_REFUSAL = {
    "status": 409,
    "code": "OperationNotAllowed",
    "message": "Operation could not be completed as it results in exceeding approved standardHBv4Family Cores quota.",
}


class Listening:
    """An Azure that counts what it tells.

    Parameters
    ----------
    azure
        The Azure that is asked.
    """

    def __init__(self, azure: Any) -> None:
        self._azure = azure
        self._seen: dict[str, Any] = {}
        self.facts: Counter[str] = Counter()
        """By lower-case id of the resource that they are about."""
        self._ended: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._azure, name)

    async def get(self, resource_id):
        return self._look(resource_id, await self._azure.get(resource_id))

    async def survey(self, resource_group_id):
        bodies = await self._azure.survey(resource_group_id)
        for key, body in bodies.items():
            self._look(key, body)
        return bodies

    async def list_virtual_machines(self, resource_group_id):
        machines = await self._azure.list_virtual_machines(resource_group_id)
        there = {machine["id"].lower(): machine for machine in machines}
        listed = f"{resource_group_id}/providers/Microsoft.Compute/virtualMachines/".lower()
        for key in {*there, *(key for key in self._seen if key.startswith(listed))}:
            self._look(key, there.get(key))
        return machines

    async def put(self, resource_id, body):
        return await self._write(resource_id, self._azure.put(resource_id, body))

    async def patch(self, resource_id, body):
        return await self._write(resource_id, self._azure.patch(resource_id, body))

    async def delete(self, resource_id):
        return await self._write(resource_id, self._azure.delete(resource_id))

    def follow(self, handle, done, *, retry_after=None):
        def ended(outcome):
            self._ended[handle.resource_id.lower()] += 1
            done(outcome)

        self._azure.follow(handle, ended, retry_after=retry_after)

    def begin_pass(self):
        """Count operations that have ended since the last pass began: that one did not know of them."""
        self.facts += self._ended
        self._ended.clear()

    async def _write(self, resource_id, request):
        try:
            started = await request
        finally:
            self.facts[resource_id.lower()] += 1  # an answer or a refusal: both are news
        if started.body is not None:
            self._seen[resource_id.lower()] = _shown(started.body)
        return started

    def _look(self, resource_id, body):
        key, shown = resource_id.lower(), _shown(body)
        if self._seen.get(key, ...) != shown:
            self.facts[key] += 1
            self._seen[key] = shown
        return body


def _shown(body: Mapping[str, Any] | None) -> Any:
    """Return what a look tells: whether it is there, in which state, and all that was asked for."""
    return None if body is None else {key: value for key, value in body.items() if key != "etag"}


@dataclass(frozen=True)
class Write:
    """One status write, and how many facts were known by then."""

    stage: str
    owner: str
    status: Mapping[str, Any]
    facts: int

    def __str__(self) -> str:
        return f"{self.stage}, {self.owner}, {self.facts} facts"

    def conditions(self) -> dict[str, Mapping[str, Any]]:
        return {item["type"]: item for item in self.status["conditions"]}


@dataclass
class Recorded:
    """A life as its status writes tell it."""

    world: Any
    listening: Listening
    stage: str = ""
    acts: int = 0
    writes: list[Write] = field(default_factory=list)

    @property
    def facts(self) -> int:
        return self.listening.facts.total() + self.acts

    async def stage_of(self, name, act, over=None):
        """Do something as a user, and go on until all is over and nothing is due."""
        self.stage = name
        self.acts += 1
        act()
        await self.world.run_until(over or self.world.ready, seconds=30)
        await self.world.settle()


@pytest.fixture
async def recorded(world, monkeypatch):
    for name, seconds in {"FIRST": 0.1, "LONGEST": 0.25, "SLOW": 0.5, "RIGHTS": 0.25}.items():
        monkeypatch.setattr(memory, f"{name}_RETRY_SECONDS", seconds)
    listening = Listening(world.azure)
    world.azure = listening
    world.reconciler = world.make_reconciler()
    life = Recorded(world, listening)
    one_pass = world.reconciler.reconcile

    async def reconcile(key):
        listening.begin_pass()
        return await one_pass(key)

    world.reconciler.reconcile = reconcile
    write_status = world.cluster.write_status

    async def write(resource, status):
        owner = f"{type(resource).__name__}/{resource.metadata.name}"
        life.writes.append(Write(life.stage, owner, status, life.facts))
        await write_status(resource, status)

    world.cluster.write_status = write
    return life


async def whole_life(life):
    """Make, edit, grow, remove, run into trouble, delete."""
    world, cluster = life.world, life.world.cluster

    def fault(method, path, **answer):
        world.emulator.faults.add(Fault.model_validate({"method": method, "path": path, "answer": answer}))

    def make():
        fault("PUT", r"/subnets/compute$", status=409, code="AnotherOperationInProgress", message="Busy.")
        small = {"netAppFiles": {"capacity": "4Ti"}, "deletionPolicy": "Delete"}
        gpu = partition("climate-gpu", nodes={"min": 1, "max": 2})
        for manifest in (environment(network=NETWORK), tier(**small), partition(), gpu):
            cluster.apply(manifest)

    def counts():
        return cluster.status(*HPC).get("nodes", {})

    def at(ready):
        return lambda: (
            (counts()["ready"], counts()["updated"], counts()["creating"], counts()["deleting"])
            == (
                ready,
                ready,
                0,
                0,
            )
        )

    await life.stage_of("create", make)
    await life.stage_of("scale", lambda: cluster.edit(*HPC, nodes={"min": 3, "max": 8}), at(3))
    resize = {"vmSizes": ["Standard_HB176rs_v4"]}
    await life.stage_of(
        "resize",
        lambda: cluster.edit(*HPC, **resize),
        lambda: cluster.status(*HPC)["vmSize"] == resize["vmSizes"][0] and at(3)(),
    )
    await life.stage_of(
        "grow",
        lambda: cluster.edit(*HOME, netAppFiles={"capacity": "5Ti"}),
        lambda: cluster.status(*HOME)["capacity"] == "5Ti",
    )
    await life.stage_of("remove", lambda: cluster.delete(*GPU), lambda: GPU not in cluster.objects)
    fault("PUT", r"/virtualMachines/climate-hpc-[^/]+$", **QUOTA_REFUSAL)
    await life.stage_of("quota", lambda: cluster.edit(*HPC, nodes={"min": 4, "max": 8}), at(4))

    def delete():
        for kind, name in (ENVIRONMENT, HOME, HPC):
            cluster.delete(kind, name)

    await life.stage_of("delete", delete, lambda: not cluster.objects)


# --- The rules


def needless(writes):
    """Writes that no fact made necessary, or that tell nothing."""
    before: dict[str, Write] = {}
    for write in writes:
        last = before.get(write.owner)
        if last is not None and last.facts == write.facts:
            yield f"{write}: no fact since the write before"
        if last is not None and _without_times(last.status) == _without_times(write.status):
            yield f"{write}: says what the write before said"
        before[write.owner] = write


def too_many(writes, facts, acts):
    """Tiers and partitions that were written more often than anything happened to what they are made of."""
    for owner, count in Counter(write.owner for write in writes).items():
        kind, _, name = owner.partition("/")
        about = sum(number for key, number in facts.items() if name in key)
        if kind != ENVIRONMENT[0] and count > about + acts:
            yield f"{owner}: {count} writes for {about} facts and {acts} acts"


def flaps(writes):
    """Conditions that change more often in a stage than its cause accounts for."""
    known: dict[tuple[str, str], str] = {}
    changes: Counter[tuple[str, str, str]] = Counter()
    for write in writes:
        shown = {name: item["status"] for name, item in write.conditions().items()}
        for name in PASSING:
            shown.setdefault(name, "absent")
        for name, value in shown.items():
            first = "absent" if name in PASSING else value
            if known.get((write.owner, name), first) != value:
                changes[write.stage, write.owner, name] += 1
            known[write.owner, name] = value
    for (stage, owner, name), count in changes.items():
        if count > (2 if name in PASSING else 1):
            yield f"{stage}: {name} of {owner} changed {count} times"
        if name == "Ready" and stage not in {"create", "delete"} and (stage, owner) != ("remove", "/".join(GPU)):
            yield f"{stage}: Ready of {owner} changed"


def restless(writes):
    """Messages that would change by themselves."""
    before: dict[tuple[str, str], str] = {}
    for write in writes:
        for message in _messages(write.status):
            if TIME.search(message):
                yield f"{write}: a time in {message!r}"
        for name, item in write.conditions().items():
            last, message = before.get((write.owner, name), ""), item["message"]
            if last != message and NUMBER.sub("#", last) == NUMBER.sub("#", message):
                yield f"{write}: {name} counts: {last!r}, {message!r}"
            before[write.owner, name] = message


def _without_times(value):
    if isinstance(value, Mapping):
        return {key: _without_times(item) for key, item in value.items() if key not in TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value


def _messages(value):
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "message":
                yield item
            else:
                yield from _messages(item)
    elif isinstance(value, list):
        for item in value:
            yield from _messages(item)


def complaints(writes, facts, acts):
    return [*needless(writes), *too_many(writes, facts, acts), *flaps(writes), *restless(writes)]


async def test_every_status_write_of_a_life_tells_something_new_and_no_condition_flaps(recorded):
    await whole_life(recorded)
    assert {write.stage for write in recorded.writes} == set(STAGES)
    assert complaints(recorded.writes, recorded.listening.facts, recorded.acts) == []


async def test_an_edit_is_not_said_to_be_done_before_it_has_begun(recorded):
    cluster = recorded.world.cluster

    def make():
        cluster.apply(environment(network=NETWORK))
        cluster.apply(tier(netAppFiles={"capacity": "4Ti"}))

    await recorded.stage_of("create", make)
    await recorded.stage_of(
        "grow",
        lambda: cluster.edit(*HOME, netAppFiles={"capacity": "5Ti"}),
        lambda: cluster.status(*HOME)["capacity"] == "5Ti",
    )
    rest = [
        write.conditions().keys() & {*PASSING} == set() and write.conditions()["Ready"]["status"] == "True"
        for write in recorded.writes
        if (write.stage, write.owner) == ("grow", "/".join(HOME)) and write.status["observedGeneration"] == 2
    ]
    # `kubectl wait` and Argo CD take the first True for the end.
    assert rest == [False] * (len(rest) - 1) + [True]


# --- The rules find what they are there to find


def write(stage="scale", facts=1, owner="ComputePartition/climate-hpc", nodes=0, **conditions):
    made = [{"type": name, "status": value, "message": ""} for name, value in conditions.items()]
    return Write(stage, owner, {"conditions": made, "nodes": nodes}, facts)


def saying(message, facts):
    status = {"conditions": [{"type": "Ready", "status": "True", "message": message}]}
    return Write("scale", "HPCEnvironment/climate", status, facts)


@pytest.mark.parametrize(
    ("writes", "complaint"),
    [
        ([write(Ready="True"), write(Ready="True", nodes=1)], "no fact since"),
        ([write(Ready="True"), write(Ready="True", facts=2)], "says what the write before said"),
        ([write("create", n, Ready=value) for n, value in enumerate(("True", "False", "True"))], "changed 2 times"),
        ([write("create", facts=1, Ready="True"), write(facts=2, Ready="False")], "scale: Ready of"),
        (
            [write("create", n, **({"Reconciling": "True"} if n % 2 else {})) for n in range(4)],
            "Reconciling of ComputePartition/climate-hpc changed 3 times",
        ),
        ([saying("since 2026-01-01T00:00:00Z", 1)], "a time in"),
        ([saying("tried again in 5 s", 1)], "a time in"),
        ([saying("2 of 4 nodes", 1), saying("3 of 4 nodes", 2)], "Ready counts"),
        ([write("create", n, Ready="True", nodes=n) for n in range(9)], "9 writes for 5 facts and 1 acts"),
    ],
)
def test_the_rules_find(writes, complaint):
    found = complaints(writes, Counter({"/virtualmachines/climate-hpc-1": 5, "/virtualnetworks/vnet": 50}), 1)
    assert complaint in "\n".join(found)


def test_the_rules_let_pass_what_has_a_cause():
    writes = [
        write("create", 1, Ready="False", Reconciling="True"),
        write("create", 2, Ready="True"),
        write("scale", 3, Ready="True", Reconciling="True"),
        write("scale", 4, Ready="True", Stalled="True"),
        write("scale", 5, Ready="True"),
        write("delete", 6, Ready="False", Reconciling="True"),
    ]
    assert complaints(writes, Counter({"/virtualmachines/climate-hpc-1": 5}), 3) == []
