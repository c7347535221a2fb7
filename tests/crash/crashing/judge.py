"""Compares a disturbed life with the undisturbed one. Pure, but for `Judge.inventory`, which looks after each kill."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from crashing.calls import Call, canonical
from crashing.life import ENVIRONMENT, HPC, MAX_UNAVAILABLE, NODES, Life, Scene
from crashing.proxy import CUT, LATE, LOST
from crashing.world import Kill, World

_MASKS = (
    (re.compile(r"\bhpc-[a-z2-7]{20}\b"), "<vault>"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE), "<guid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]*(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"(?<=_osdisk_1_)[0-9a-f]{32}", re.IGNORECASE), "<made up>"),
    # Whoever comes first gets the first address of a subnet.
    (re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b(?!/)"), "<address>"),
)
# `applied` is a digest of what was sent, addresses of others in it.
_VOLATILE = frozenset({"etag", "lastTransitionTime", "macAddress", "internalDomainNameSuffix", "applied"})
_TELLS_OF_PARTITIONS = re.compile(r"/networksecuritygroups/|/runcommands/slurm-configuration$")

SHOWN = 160
"""Characters of a value that a message shows."""


@dataclass(frozen=True)
class Deviation:
    """Something that the disturbed life did, and the undisturbed one did not."""

    life: str
    stage: str
    what: str
    points: tuple[str, ...]

    def __str__(self) -> str:
        after = "; ".join(self.points[-6:]) or "nothing"
        return f"{self.life}, {self.stage}: {self.what}\n      after {after}"


@dataclass
class Verdict:
    """What there is to say about a life."""

    deviations: list[Deviation] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    """Writes that were sent again because the operator could not know that they had arrived."""
    refused: int = 0
    """Writes that Azure refused although the script did not ask it to."""


class Judge:
    """Knows the undisturbed life.

    Parameters
    ----------
    life
        The undisturbed life.
    calls
        Its calls.
    """

    def __init__(self, life: Life, calls: list[Call]) -> None:
        self._scenes = {scene.stage: scene for scene in life.scenes}
        self._writes = {scene.stage: _writes(scene, calls) for scene in life.scenes}
        known = {key for scene in life.scenes for key in _inventory(scene.objects)}
        # What nobody writes down, because Azure makes it along with something else, and nodes: they have their tags.
        self._unrecorded = {key for scene in life.scenes for key in _by_name(scene)} - known

    async def inventory(self, world: World, kill: Kill) -> None:
        """Complain if there is something in Azure that the next operator process cannot know of."""
        there = {canonical(item["id"]).lower() for item in await world.ask("resources")}
        known = _inventory(await world.kube.objects())
        if leaked := sorted(there - known - self._unrecorded):
            world.complain(f"not in status.resources when it was killed at [{kill.point}]: {_some(leaked)}")

    def compare(self, life: Life, world: World) -> Verdict:
        """Return what differs."""
        verdict = Verdict()

        said: set[str] = set()

        def say(stage: str, what: str) -> None:
            if what in said:
                return  # what went wrong in one stage is still wrong after the next
            said.add(what)
            points = tuple(
                f"[{call.stage} | {call.name} | {call.disturbance}]"
                for call in world.calls
                if call.disturbance and call.stage == stage
            )
            verdict.deviations.append(Deviation(life.name, stage, what, points))

        for complaint in world.complaints:
            say(*complaint)
        if life.stuck:
            say(world.stage, life.stuck)
        for scene in life.scenes:
            expected = self._scenes[scene.stage]
            for what in (*_resources(expected, scene), *_statuses(expected, scene), *_nodes(scene)):
                say(scene.stage, what)
        stages = dict.fromkeys(call.stage for call in world.calls)
        for stage in stages:
            for what in self._twice(stage, world, verdict):
                say(stage, what)
        verdict.refused = sum(
            call.writes_to_azure and not call.disturbance and (call.status or 0) >= 400 for call in world.calls
        )
        return verdict

    def _twice(self, stage: str, world: World, verdict: Verdict) -> Iterator[str]:
        expected = self._writes.get(stage, Counter())
        unseen = Counter(_key(call) for kill in world.kills for call in kill.in_flight if call.stage == stage)
        unseen += Counter(
            _key(call) for call in world.calls if call.stage == stage and call.disturbance in {LOST, CUT, LATE}
        )
        failed = {_key(call)[1] for call in world.calls if call.stage == stage and call.disturbance == LATE}
        found = Counter(_key(call) for call in world.calls if call.stage == stage and _has_worked(call))
        for key, count in found.items():
            more = count - expected[key]
            if key[1] in failed or (stage == "delete" and key[0] == "PUT" and _TELLS_OF_PARTITIONS.search(key[1])):
                # What failed is taken away and made anew; and where the deletion of a partition is seen before that of
                # its environment, its rules and its lines in slurm.conf go first.
                continue
            if expected[key] == 0 and key[0] == "DELETE":
                yield f"deleted what should stay: {_short(key[1])}"
            elif more > unseen[key]:
                yield f"written {count} times instead of {expected[key]}: {key[0]} {_short(key[1])}"
            elif more > 0:
                verdict.repeated.append(f"{stage}: {key[0]} {_short(key[1])}")


def _writes(scene: Scene, calls: list[Call]) -> Counter[tuple[str, str]]:
    return Counter(_key(call) for call in calls if call.stage == scene.stage and _has_worked(call))


def _key(call: Call) -> tuple[str, str]:
    return call.method, canonical(call.path).lower()


def _has_worked(call: Call) -> bool:
    # A deletion of what is not there has done nothing.
    return call.writes_to_azure and call.sent and call.status in {200, 201, 202}


def _inventory(objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> set[str]:
    status = objects.get(ENVIRONMENT, {}).get("status", {})
    return {canonical(item["id"]).lower() for item in status.get("resources", ())}


def _resources(expected: Scene, found: Scene) -> Iterator[str]:
    before, after = _by_name(expected), _by_name(found)
    if lost := sorted(before.keys() - after.keys()):
        yield f"lost: {_some(lost)}"
    if leaked := sorted(after.keys() - before.keys()):
        yield f"left over: {_some(leaked)}"
    for key in sorted(before.keys() & after.keys()):
        if differing := _differences(plain(before[key]), plain(after[key])):
            yield f"{_short(key)} differs: {'; '.join(differing[:3])}"


def _by_name(scene: Scene) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key, body in scene.resources.items():
        found.setdefault(canonical(key).lower(), []).append(body)
    return found


def _statuses(expected: Scene, found: Scene) -> Iterator[str]:
    for key in expected.objects.keys() & found.objects.keys():
        after = found.objects[key].get("status", {})
        # What is only looked at now and then says until the next look that Azure did not answer; nothing waits for it.
        unknown = {it["type"] for it in after.get("conditions", ()) if it["status"] == "Unknown"} - {"Ready"}
        statuses = (expected.objects[key].get("status", {}), after)
        if differing := _differences(*(plain(_without(status, unknown)) for status in statuses)):
            yield f"status of {'/'.join(key)} differs: {'; '.join(differing[:3])}"


def _without(status: Mapping[str, Any], conditions: set[str]) -> Mapping[str, Any]:
    kept = [item for item in status.get("conditions", ()) if item["type"] not in conditions]
    return {**status, "conditions": kept}


def _nodes(scene: Scene) -> Iterator[str]:
    """Never fewer nodes than promised: what was made and not yet told to go, at each moment when one was."""
    if scene.stage != "resize":
        return
    events: list[tuple[float, str, str]] = []
    for operation in scene.operations:
        node = operation["resourceId"].lower()
        if f"/virtualmachines/{HPC[1]}-" not in node:
            continue
        if operation["verb"] == "PUT" and operation["status"] == "Succeeded":
            events.append((operation["endSeconds"], "up", node))
        elif operation["verb"] == "DELETE":
            events.append((operation["startSeconds"], "down", node))
    up: set[str] = set()
    for moment, what, node in sorted(events):
        if what == "up":
            up.add(node)
        elif node in up:  # one that failed to come up is no loss
            up.remove(node)
            if moment > scene.began and len(up) < NODES - MAX_UNAVAILABLE:
                yield f"only {len(up)} nodes were up at {moment:.0f} s, {NODES - MAX_UNAVAILABLE} were promised"
                return


def plain(value: Any) -> Any:
    """Return a document without what is another one each time; lists are sorted."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return sorted((plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, str):
        for mask, word in _MASKS:
            value = mask.sub(word, value)
    return value


def _differences(expected: Any, found: Any, path: str = "") -> list[str]:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return [
            line
            for key in sorted(expected.keys() | found.keys())
            for line in _differences(expected.get(key), found.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            line
            for number, pair in enumerate(zip(expected, found, strict=True))
            for line in _differences(*pair, f"{path}[{number}]")
        ]
    if expected == found:
        return []
    before, after = json.dumps(expected), json.dumps(found)
    same = next((n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    start = max(0, same - SHOWN // 3)  # long texts, such as scripts, differ somewhere in the middle
    return [f"{path}: {before[start : start + SHOWN]} became {after[start : start + SHOWN]}"]


def _short(resource_id: str) -> str:
    return "/".join(resource_id.rsplit("/", 2)[-2:])


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return ", ".join(_short(item) for item in ids[:5]) + more
