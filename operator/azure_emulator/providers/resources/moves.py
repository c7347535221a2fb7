"""Moving resources to another resource group: checked, then carried out at the end of an operation.

Knows no resource provider but for the few types that only move together. A moved resource has a new id, and
whatever names it (its children, and other resources' bodies) follows.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.following import follow
from azure_emulator.types import Answer, Call

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

VERB, VALIDATE_VERB = "POST moveResources", "POST validateMoveResources"
# A move takes "up to four hours" at worst and minutes as a rule (azure-docs, move-resource-group-and-subscription).
MOVE_SECONDS, VALIDATE_SECONDS = 120.0, 20.0
# A virtual machine moves with its interfaces and disks only.
TOGETHER = {"microsoft.compute/virtualmachines": ("microsoft.network/networkinterfaces", "microsoft.compute/disks")}
# Assumptions: refusals of which no recording was found.
NOT_MOVABLE, EXISTS = "ResourceMoveNotSupported", "ResourceMoveConflict"


def move(call: Call) -> Answer:
    """POST moveResources."""
    return _begin(call, VERB, MOVE_SECONDS)


def validate(call: Call) -> Answer:
    """POST validateMoveResources: the same checks, and nothing else."""
    return _begin(call, VALIDATE_VERB, VALIDATE_SECONDS)


def _begin(call: Call, verb: str, seconds: float) -> Answer:
    engine = call.engine
    body = call.body if isinstance(call.body, dict) else {}
    group = engine.require(parse(call.path.parent))
    target = engine.require(_target(body))
    moved = [_movable(engine, group, target, str(one)) for one in body.get("resources") or []]
    if not moved:
        raise errors.bad_request("InvalidRequestContent", "The request content was invalid: it names no resources.")
    _check_dependents(engine, moved)
    operation = engine.begin(group, verb, engine.jittered(seconds, group.id, verb), api_version=call.api_version)
    operation.arguments = {"resources": [resource.id for resource in moved], "target": target.id}
    kind = engine.types[group.type.lower()]
    return Answer(202, None, follow(engine, call.base_url, call.api_version, kind, operation, "POST"))


def _target(body: dict[str, Any]) -> Any:
    path = parse(str(body.get("targetResourceGroup", "")))
    if path.resource_group is None or path.types != ("resourceGroups",):
        raise errors.bad_request(
            "InvalidRequestContent", "The request content was invalid: targetResourceGroup must be the id of a "
            "resource group.", target="targetResourceGroup",
        )  # fmt: skip
    return path


def _movable(engine: Engine, group: Resource, target: Resource, resource_id: str) -> Resource:
    path = parse(resource_id)
    if f"/{path.scope.strip('/')}".lower() != group.key:
        raise errors.bad_request(
            "ResourcesNotInSameResourceGroup",
            f"The resource '{resource_id}' is not in the resource group '{group.name}' that resources are moved from.",
        )
    kind = engine.types.get(path.type_name.lower())
    if kind is None or not path.is_resource or kind.location is None or kind.parent is not None:
        raise errors.bad_request(NOT_MOVABLE, f"Resource move is not supported for '{resource_id}'.")
    resource = engine.require(path, kind)
    if engine.running(resource) is not None or resource.state != "Succeeded":
        raise errors.conflict(
            "MoveCannotProceedWithResourcesNotInSucceededState",
            f"Cannot proceed with the move: the resource '{resource.id}' is in state '{resource.state}'.",
        )
    if engine.store.get(_moved_id(resource.id, group.id, target.id)) is not None:
        raise errors.conflict(EXISTS, f"The resource group '{target.name}' has a resource like '{resource.id}'.")
    return resource


def _check_dependents(engine: Engine, moved: list[Resource]) -> None:
    keys = {resource.key for resource in moved}
    concerned = {one.key: one for resource in moved for one in (resource, *engine.store.referrers(resource.id))}
    missing: list[str] = []
    for machine in concerned.values():
        kinds = TOGETHER.get(machine.type.lower())
        if kinds is not None:
            named = (engine.store.get(key) for key in engine.store.references(machine.id))
            parts = {one.key for one in named if one is not None and one.type.lower() in kinds}
            missing.extend(sorted({machine.key, *parts} - keys))
    if missing:
        raise errors.ArmError(
            errors.CONFLICT,
            "MissingMoveDependentResources",
            "The move resources request does not contain all the dependent resources. Please check details for "
            "missing resource ids.",
            details=[{"code": "MissingMoveDependentResources", "message": one, "target": one} for one in missing],
        )


def finish(engine: Engine, operation: Operation) -> None:
    """Give what is moved its new ids."""
    target = engine.store.get(operation.arguments["target"])
    if target is None:
        operation.failure = {
            "status": errors.NOT_FOUND, "code": "ResourceGroupNotFound",
            "message": f"Resource group '{operation.arguments['target']}' could not be found.",
        }  # fmt: skip
        return
    for resource_id in operation.arguments["resources"]:
        resource = engine.store.get(resource_id)
        if resource is not None:
            _carry_out(engine, resource, operation.resource, target.id)


def _carry_out(engine: Engine, resource: Resource, source: str, target: str) -> None:
    tree = [resource, *engine.store.below(resource.id)]
    old, new = resource.id, _moved_id(resource.id, source, target)
    referrers = {referrer.key: referrer for one in tree for referrer in engine.store.referrers(one.id)}
    for one in reversed(tree):
        engine.store.remove(one)
    for one in tree:
        one.id = new + one.id[len(old) :]
        referrers.pop(one.key, None)
    for one in [*tree, *(kept for kept in referrers.values() if engine.store.get(kept.id) is not None)]:
        one.body, one.internal = _renamed(one.body, old, new), _renamed(one.internal, old, new)
        engine.store.save(one)


def _moved_id(resource_id: str, source: str, target: str) -> str:
    return target + resource_id[len(source) :]


def _renamed(document: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The document with an id, and those below it, replaced wherever they stand."""
    pattern = re.compile(re.escape(json.dumps(old)[1:-1]) + r'(?=["/])', re.IGNORECASE)
    renamed: dict[str, Any] = json.loads(pattern.sub(lambda _: json.dumps(new)[1:-1], json.dumps(document)))
    return renamed
