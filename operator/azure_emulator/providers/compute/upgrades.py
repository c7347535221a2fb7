"""Bringing the instances of a Uniform scale set to its model: by hand, at once, or in batches that roll over the set.

The state of a rolling upgrade is `internal["rolling"]` of the set; a timer takes the next step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import checks
from azure_emulator.providers.compute import extensions, uniform
from azure_emulator.providers.compute.names import SCALE_SET
from azure_emulator.types import Action, Answer, Call, Timer

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

# Defaults of rollingUpgradePolicy (VMSS upgrade policy doc).
BATCH_PERCENT, UNHEALTHY_UPGRADED_PERCENT = 20, 20
LOOK_AGAIN_SECONDS = 1.0
BEGIN_SECONDS = 5
HISTORY_KEPT = 10

_STEP = "rollingUpgradeStep"
_ROLLING = "RollingForward"


def seconds_of(duration: object) -> float:
    """An ISO 8601 duration such as PT1H30M, in seconds."""
    found = checks.seconds(str(duration or "PT0S").upper())
    if found is None:
        raise errors.bad_request("InvalidParameter", f"The value '{duration}' is no duration such as PT30S.")
    return float(found)


def require_health(scale_set: Any) -> None:
    """Batches stop at unhealthy instances, so somebody has to tell their health."""
    if not extensions.has_health(scale_set):
        raise errors.bad_request(
            "BadRequest",
            "Rolling Upgrade mode is not supported for this Virtual Machine Scale Set because a health probe or health "
            "extension was not provided.",
        )


def follow_model(engine: Engine, scale_set: Resource) -> None:
    """The model has changed: what happens to the instances is the set's upgrade policy."""
    mode = bodies.get(scale_set.properties, "upgradePolicy.mode")
    if mode == "Automatic":
        for instance in uniform.outdated(engine, scale_set):
            if instance.complete:
                uniform.upgrade(engine, instance)
    elif mode == "Rolling" and uniform.outdated(engine, scale_set):
        begin(engine, scale_set, uniform.outdated(engine, scale_set), "User")


# -- rolling ---------------------------------------------------------------------------------------------------------


def begin(engine: Engine, scale_set: Resource, instances: list[Resource], started_by: str) -> None:
    """Begin a rolling upgrade, which takes over from one that runs."""
    scale_set.internal["rolling"] = {
        "code": _ROLLING, "start": engine.now, "last": engine.now, "end": None, "action": "Start", "by": started_by,
        "pending": [one.name for one in instances], "current": [], "done": 0, "failed": 0, "total": len(instances),
        "image": bodies.get(scale_set.properties, "virtualMachineProfile.storageProfile.imageReference"),
    }  # fmt: skip
    engine.store.save(scale_set)
    engine.later(_STEP, 0, scale_set.id, start=engine.now)


def _step(engine: Engine, operation: Operation) -> None:
    scale_set = engine.store.get(operation.resource)
    rolling = scale_set.internal.get("rolling") if scale_set is not None else None
    if scale_set is None or not rolling or rolling["code"] != _ROLLING:
        return
    if rolling["start"] != operation.arguments["start"]:
        return  # a later upgrade took over
    current = [engine.store.get(f"{scale_set.id}/virtualMachines/{name}") for name in rolling["current"]]
    working = [one for one in current if one is not None and engine.running(one) is not None]
    if working:
        engine.later(_STEP, LOOK_AGAIN_SECONDS, scale_set.id, **operation.arguments)
        return
    failed = sum(one is None or one.state == "Failed" for one in current)
    rolling |= {"done": rolling["done"] + len(current) - failed, "failed": rolling["failed"] + failed, "current": []}
    policy = bodies.get(scale_set.properties, "upgradePolicy.rollingUpgradePolicy") or {}
    limit = int(policy.get("maxUnhealthyUpgradedInstancePercent") or UNHEALTHY_UPGRADED_PERCENT)
    if 100 * rolling["failed"] > limit * max(1, rolling["done"] + rolling["failed"]):
        _end(engine, scale_set, "Faulted")
    elif not rolling["pending"]:
        _end(engine, scale_set, "Completed")
    elif current and (pause := seconds_of(policy.get("pauseTimeBetweenBatches"))) > 0:
        engine.store.save(scale_set)
        engine.later(_STEP, pause, scale_set.id, **operation.arguments)
    else:
        _next_batch(engine, scale_set, policy)
        engine.later(_STEP, LOOK_AGAIN_SECONDS, scale_set.id, **operation.arguments)


def _next_batch(engine: Engine, scale_set: Resource, policy: dict[str, Any]) -> None:
    rolling = scale_set.internal["rolling"]
    percent = int(policy.get("maxBatchInstancePercent") or BATCH_PERCENT)
    size = max(1, math.floor(len(uniform.staying(engine, scale_set)) * percent / 100))
    batch, rolling["pending"] = rolling["pending"][:size], rolling["pending"][size:]
    rolling |= {"current": batch, "last": engine.now}
    for name in batch:
        instance = engine.store.get(f"{scale_set.id}/virtualMachines/{name}")
        if instance is not None and instance.state != "Deleting":
            uniform.upgrade(engine, instance)
    engine.store.save(scale_set)


def _end(engine: Engine, scale_set: Resource, code: str) -> None:
    rolling = scale_set.internal["rolling"]
    rolling |= {"code": code, "end": engine.now, "last": engine.now}
    history = scale_set.internal.setdefault("upgradeHistory", [])
    scale_set.internal["upgradeHistory"] = [dict(rolling), *history][:HISTORY_KEPT]
    engine.store.save(scale_set)


TIMERS: dict[str, Timer] = {_STEP: _step}


# -- asked for -------------------------------------------------------------------------------------------------------


def _roll(call: Call, scale_set: Resource) -> None:
    if bodies.get(scale_set.properties, "orchestrationMode") != "Uniform":
        raise errors.conflict(
            "OperationNotAllowed", "This is an emulated Azure: it rolls Uniform virtual machine scale sets only."
        )
    if (scale_set.internal.get("rolling") or {}).get("code") == _ROLLING:
        raise errors.conflict(
            "OperationNotAllowed", f"A rolling upgrade of virtual machine scale set '{scale_set.name}' is in progress."
        )
    require_health(scale_set)
    begin(call.engine, scale_set, uniform.outdated(call.engine, scale_set), "User")


def continue_rolling(engine: Engine, scale_set: Resource) -> float | None:
    """The operation that started a rolling upgrade goes on as long as that."""
    rolling = scale_set.internal.get("rolling") or {}
    return engine.now + LOOK_AGAIN_SECONDS if rolling.get("code") == _ROLLING else None


def _cancel(call: Call) -> Answer:
    """POST …/rollingUpgrades/cancel."""
    scale_set = _scale_set(call, "cancel")
    if (scale_set.internal.get("rolling") or {}).get("code") != _ROLLING:
        raise errors.conflict(
            "OperationNotAllowed", f"There is no rolling upgrade of virtual machine scale set '{scale_set.name}' to "
            "cancel."
        )  # fmt: skip
    scale_set.internal["rolling"]["action"] = "Cancel"
    _end(call.engine, scale_set, "Cancelled")
    return Answer(200)


def _latest(call: Call) -> Answer:
    """GET …/rollingUpgrades/latest."""
    scale_set, engine = _scale_set(call, "latest"), call.engine
    rolling = scale_set.internal.get("rolling")
    if not rolling:
        raise errors.ArmError(
            errors.NOT_FOUND, "NotFound", f"The latest rolling upgrade of '{scale_set.name}' was not found."
        )
    properties = {
        "policy": {
            "maxBatchInstancePercent": BATCH_PERCENT, "maxUnhealthyInstancePercent": 20,
            "maxUnhealthyUpgradedInstancePercent": UNHEALTHY_UPGRADED_PERCENT, "pauseTimeBetweenBatches": "PT0S",
            **(bodies.get(scale_set.properties, "upgradePolicy.rollingUpgradePolicy") or {}),
        },
        "runningStatus": {
            "code": rolling["code"], "startTime": engine.clock.iso(rolling["start"]), "lastAction": rolling["action"],
            "lastActionTime": engine.clock.iso(rolling["last"]),
        },
        "progress": _progress(rolling),
    }  # fmt: skip
    return Answer(200, {
        "id": f"{scale_set.id}/rollingUpgrades/latest", "name": "latest", "location": scale_set.location,
        "type": f"{SCALE_SET}/rollingUpgrades", "properties": properties,
    })  # fmt: skip


def _progress(rolling: dict[str, Any]) -> dict[str, int]:
    return {
        "successfulInstanceCount": rolling["done"], "failedInstanceCount": rolling["failed"],
        "inProgressInstanceCount": len(rolling["current"]), "pendingInstanceCount": len(rolling["pending"]),
    }  # fmt: skip


def _history(call: Call) -> Answer:
    """GET …/osUpgradeHistory."""
    scale_set, engine = call.engine.require(parse(call.path.parent)), call.engine
    value = [
        {
            "type": f"{SCALE_SET}/rollingUpgrades", "location": scale_set.location,
            "properties": {
                "runningStatus": {"code": one["code"], "startTime": engine.clock.iso(one["start"]),
                                  "endTime": engine.clock.iso(one["end"])},
                "progress": _progress(one), "startedBy": one["by"], "targetImageReference": one["image"],
            },
        }
        for one in scale_set.internal.get("upgradeHistory", [])
    ]  # fmt: skip
    return Answer(200, {"value": value})


def _scale_set(call: Call, name: str) -> Resource:
    if not call.path.is_resource or call.path.name.lower() != name:
        raise errors.resource_not_found(call.path.type_name, "/".join(call.path.names), call.path.resource_group or "")
    return call.engine.require(parse("/".join(call.path.text.split("/")[:-2])))


FUNCTIONS = {
    ("GET", f"{SCALE_SET}/rollingUpgrades"): _latest,
    ("POST", f"{SCALE_SET}/rollingUpgrades"): _cancel,
    ("GET", f"{SCALE_SET}/osUpgradeHistory"): _history,
}
ACTIONS = {
    "osRollingUpgrade": Action(run=_roll, seconds=BEGIN_SECONDS, updating="Updating"),
    "extensionRollingUpgrade": Action(run=_roll, seconds=BEGIN_SECONDS, updating="Updating"),
}
ROLLING_VERBS = frozenset(f"POST {name}".lower() for name in ACTIONS)
