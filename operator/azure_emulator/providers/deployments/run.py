"""A deployment that runs: what is ready is written, what runs is waited for, what failed is told at the end.

One step at a time, on the engine's clock. All that a deployment knows is in its resource, so that a restart in the
middle costs nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.errors import ArmError
from azure_emulator.providers.deployments import hashing
from azure_emulator.providers.deployments.language import ExpressionError
from azure_emulator.providers.deployments.preparation import Request, place_of
from azure_emulator.providers.deployments.scope import Scope
from azure_emulator.providers.deployments.template import (
    DEPLOYMENTS,
    Item,
    Source,
    Template,
    expression_error,
    violation,
)
from azure_emulator.types import Principal

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

logger = logging.getLogger(__name__)

# How often a write that was refused for the moment is tried again, and after how long, are assumptions (settings
# `deploymentRetries` and `deploymentRetrySeconds`); that it is tried again is documented.
RETRIES = 5
RETRY_SECONDS = 15.0
# ARM asks resource providers how their operations are getting on; how often is an assumption (`deploymentPollSeconds`).
POLL_SECONDS = 2.0

_RETRYABLE = frozenset({
    "AnotherOperationInProgress", "RetryableError", "ReferencedResourceNotProvisioned", "TooManyRequests",
    "OperationPreempted",
})  # fmt: skip
_SERVER_ERRORS = 500
_FAILED = (
    "At least one resource deployment operation failed. Please list deployment operations for details. Please see "
    "https://aka.ms/arm-deployment-operations for usage details."
)
_UNSUCCESSFUL = (
    "The resource write operation failed to complete successfully, because it reached terminal provisioning state '{}'."
)

WAITING, RUNNING, SUCCEEDED, FAILED = "Waiting", "Running", "Succeeded", "Failed"

# Templates of running deployments, by engine and deployment: they are found again from the resource when they are lost.
_templates: WeakKeyDictionary[Engine, dict[str, Template]] = WeakKeyDictionary()


class Asking:
    """What a deployment asks of Azure, with the rights of whoever started it."""

    def __init__(self, engine: Engine, principal: Principal) -> None:
        self._engine, self._principal = engine, principal

    def read(self, resource_id: str, api_version: str) -> dict[str, Any]:
        """GET."""
        answer, _ = self._engine.request(self._principal, "GET", resource_id, api_version=api_version)
        return answer.body if isinstance(answer.body, dict) else {}

    def act(self, resource_id: str, action: str, api_version: str, body: Any) -> Any:
        """POST."""
        path = f"{resource_id.rstrip('/')}/{action}"
        answer, _ = self._engine.request(self._principal, "POST", path, body, api_version=api_version)
        return answer.body


def begun(request: Request) -> dict[str, Any]:
    """What a deployment remembers of itself."""
    engine = request.engine
    steps = {
        item.key: {
            "id": item.id, "type": item.type, "name": item.name, "apiVersion": item.api_version, "symbol": item.symbol,
            "depends": item.depends, "state": WAITING if item.deployed else "Skipped", "attempts": 0,
        }
        for item in request.template.items
    }  # fmt: skip
    return {
        "guid": engine.guid(),
        "template": request.document,
        "hash": hashing.template_hash(request.document),
        "parameters": request.parameters,
        "shown": request.shown_parameters(),
        "mode": request.mode,
        "location": request.location,
        "principal": asdict(request.principal),
        "apiVersion": request.api_version,
        "correlation": request.correlation or engine.guid(),
        "started": engine.now,
        "depth": request.depth,
        "debugSetting": request.properties.get("debugSetting"),
        "validationLevel": request.properties.get("validationLevel"),
        "onErrorDeployment": request.properties.get("onErrorDeployment"),
        "steps": steps,
    }


def remember(engine: Engine, guid: str, template: Template) -> None:
    """Keep a template at hand for the steps to come."""
    _templates.setdefault(engine, {})[guid] = template


def continues(engine: Engine, resource: Resource, operation: Operation) -> float | None:
    """The next step of a deployment: when to look again, or None when it has ended."""
    if operation.verb != "PUT":
        return None
    return Run(engine, resource, operation).step()


class Run:
    """One step of one deployment."""

    def __init__(self, engine: Engine, resource: Resource, operation: Operation) -> None:
        self.engine = engine
        self.resource = resource
        self.operation = operation
        self.memory: dict[str, Any] = resource.internal["deployment"]
        self.steps: dict[str, dict[str, Any]] = self.memory["steps"]
        self.principal = Principal(**self.memory["principal"])
        self.template = self._template()
        self.scope: Scope = self.template.with_runtime(Asking(engine, self.principal))

    def _template(self) -> Template:
        known = _templates.setdefault(self.engine, {})
        guid = self.memory["guid"]
        if guid not in known:
            memory = self.memory
            request = Request(
                self.engine, self.principal, parse(self.resource.id), memory["apiVersion"], memory["template"],
                memory["mode"], memory["location"], Source({"properties": {"template": memory["template"]}}),
                parameters=memory["parameters"],
            )  # fmt: skip
            source = request.source.at("properties", "template")
            known[guid] = Template(request.document, request.parameters, place_of(request, memory["started"]), source)
        return known[guid]

    def step(self) -> float | None:
        """Look at what runs, start what is ready; and end if nothing is left to wait for."""
        self.resource.state = RUNNING
        for step in self._in_state(RUNNING):
            self._look_at(step)
        while self._start_ready():
            pass  # what is done at once makes others ready
        waits = list(self._waits())
        if not waits and not any(True for _ in self._in_state(FAILED)):
            waits = list(self._clean_up())
        if waits:
            self.engine.store.save(self.resource)
            return max(self.engine.now, min(waits))
        self._end()
        self.engine.store.save(self.resource)
        return None

    def _in_state(self, state: str) -> Iterator[dict[str, Any]]:
        return (step for step in list(self.steps.values()) if step["state"] == state)

    # -- starting ----------------------------------------------------------------------------------------------------

    def _start_ready(self) -> bool:
        items = {item.key: item for item in self.template.items}
        started = False
        for key, step in list(self.steps.items()):
            due = step["state"] == WAITING and step.get("retryAt", 0.0) <= self.engine.now
            if due and key in items and all(self._is_done(other) for other in step["depends"]):
                self._start(items[key], step)
                started = True
        return started

    def _is_done(self, key: str) -> bool:
        """Whether a dependency is out of the way; one that is not deployed waits for what it depends on itself."""
        step = self.steps[key]
        if step["state"] == "Skipped":
            return all(self._is_done(other) for other in step["depends"])
        return bool(step["state"] == SUCCEEDED)

    def _start(self, item: Item, step: dict[str, Any]) -> None:
        step.setdefault("started", self.engine.now)
        step["attempts"] += 1
        step["state"] = RUNNING
        try:
            body = self.template.body(item, self.scope)
            answer, _ = self.engine.request(self.principal, "PUT", item.id, body, api_version=item.api_version)
        except ExpressionError as error:
            self._fail(step, _cannot_evaluate(item, error).error(), "BadRequest")
        except ArmError as error:
            self._refused(step, error)
        except Exception:
            # A defect of ours must not stop the clock: the deployment ends as after a defect of Azure's.
            logger.exception("deploying %s", item.id)
            self._refused(step, ArmError(500, "InternalServerError", "Encountered internal server error."))
        else:
            step["statusCode"] = _phrase(answer.status)
            self._accepted(item, step)

    def _accepted(self, item: Item, step: dict[str, Any]) -> None:
        written = self.engine.store.get(item.id)
        running = self.engine.running(written) if written is not None else None
        if written is not None and item.is_deployment:
            written.internal["deployment"]["correlation"] = self.memory["correlation"]
            self.engine.store.save(written)
        if running is None:
            self._succeed(step)
        else:
            step["operation"] = running.id

    def _refused(self, step: dict[str, Any], error: ArmError) -> None:
        retries = self.engine.setting("deploymentRetries", RETRIES)
        passing = error.code in _RETRYABLE or error.status == errors.TOO_MANY or error.status >= _SERVER_ERRORS
        if passing and step["attempts"] <= retries:
            step["state"] = WAITING
            step["retryAt"] = self.engine.now + self.engine.setting("deploymentRetrySeconds", RETRY_SECONDS)
            return
        self._fail(step, error.error(), _phrase(error.status), refused=True)

    # -- waiting -----------------------------------------------------------------------------------------------------

    def _look_at(self, step: dict[str, Any]) -> None:
        operation = self.engine.store.operations.get(step.get("operation") or "")
        if operation is not None and operation.running:
            return
        if operation is None or operation.status == SUCCEEDED:
            self._succeed(step)
            return
        failure = {key: value for key, value in (operation.failure or {}).items() if key != "status"}
        if failure.get("code") in _RETRYABLE and step["attempts"] <= self.engine.setting("deploymentRetries", RETRIES):
            step["state"] = WAITING
            step["retryAt"] = self.engine.now + self.engine.setting("deploymentRetrySeconds", RETRY_SECONDS)
            return
        error = {
            "code": "ResourceDeploymentFailure",
            "target": step["id"],
            "message": _UNSUCCESSFUL.format(operation.status),
            "details": [failure],
        }
        self._fail(step, error, "Conflict")

    def _waits(self) -> Iterator[float]:
        poll = self.engine.setting("deploymentPollSeconds", POLL_SECONDS)
        for step in self._in_state(RUNNING):
            operation = self.engine.store.operations[step["operation"]]
            yield max(self.engine.now, operation.end) + poll
        for step in self._in_state(WAITING):
            if "retryAt" in step and step["retryAt"] > self.engine.now:
                yield step["retryAt"]

    def _succeed(self, step: dict[str, Any]) -> None:
        step["state"], step["ended"] = SUCCEEDED, self.engine.now

    def _fail(self, step: dict[str, Any], error: dict[str, Any], status: str, *, refused: bool = False) -> None:
        step.update(state=FAILED, ended=self.engine.now, error=error, statusCode=status, refused=refused)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _clean_up(self) -> Iterator[float]:
        """In complete mode, delete what is in the group and not in the template; yields when to look again."""
        if self.memory["mode"] != "Complete":
            return
        deletions: dict[str, dict[str, Any]] = self.memory.setdefault("deletions", {})
        progress = True
        while progress:
            progress = False
            for resource in left_over(self.engine, parse(self.resource.id).scope, self._kept()):
                about = {"id": resource.id, "type": resource.type, "name": resource.name, "started": self.engine.now}
                step = deletions.setdefault(resource.key, about)
                progress = self._delete(step) or progress
        for step in deletions.values():
            if self.engine.store.get(step["id"]) is None and "ended" not in step:
                step.update(state=SUCCEEDED, ended=self.engine.now, statusCode="OK")
        running = [self.engine.store.operations.get(step.get("operation") or "") for step in deletions.values()]
        for operation in running:
            if operation is not None and operation.running:
                yield operation.end + self.engine.setting("deploymentPollSeconds", POLL_SECONDS)

    def _kept(self) -> set[str]:
        return {item.id.lower() for item in self.template.items if item.condition}

    def _delete(self, step: dict[str, Any]) -> bool:
        """Begin a deletion; whether something is gone at once, so that others may be possible now."""
        known = self.engine.store.operations.get(step.get("operation") or "")
        if known is not None and (known.running or known.status != SUCCEEDED):
            if not known.running and "ended" not in step:
                failure = {key: value for key, value in (known.failure or {}).items() if key != "status"}
                self._fail(step, failure, "Conflict")
            return False
        try:
            self.engine.request(self.principal, "DELETE", step["id"], api_version=self.memory["apiVersion"])
        except ArmError as error:
            step.update(state=FAILED, error=error.error(), statusCode=_phrase(error.status))
            return False
        step.pop("error", None)
        left = self.engine.store.get(step["id"])
        running = self.engine.running(left) if left is not None else None
        if running is not None:
            step.update(state=RUNNING, operation=running.id)
        return left is None

    def _end(self) -> None:
        _templates.get(self.engine, {}).pop(self.memory["guid"], None)
        self.memory["ended"] = self.engine.now
        steps = (*self.steps.values(), *self.memory.get("deletions", {}).values())
        failed = [step for step in steps if "error" in step]
        if failed:
            details = [step["error"] for step in failed]
            self._failed("DeploymentFailed", _FAILED, details)
            return
        shown, secrets, wrong = self.template.outputs(self.scope)
        self.memory["evaluated"] = {"state": FAILED if wrong else SUCCEEDED, "errors": wrong}
        if wrong:
            names = ", ".join(str(each["target"]) for each in wrong)
            message = (
                f"Unable to evaluate template outputs: '{names}'. Please see error details and deployment operations. "
                "Please see https://aka.ms/arm-common-errors for usage details."
            )
            self._failed("DeploymentOutputEvaluationFailed", message, wrong)
            return
        self.memory["outputs"], self.memory["secrets"] = shown, secrets

    def _failed(self, code: str, message: str, details: list[dict[str, Any]]) -> None:
        self.operation.failure = {
            "status": errors.CONFLICT, "code": code, "target": self.resource.id, "message": message, "details": details,
        }  # fmt: skip
        self._roll_back()

    def _roll_back(self) -> None:
        """Deploy again what was deployed before, if that was asked for; the other deployment tells what came of it."""
        wanted = self.memory.get("onErrorDeployment")
        earlier = to_roll_back_to(self.engine, self.resource.id, wanted) if wanted else None
        if earlier is None:
            return
        memory = earlier.internal["deployment"]
        parameters = {name: {"value": value} for name, value in memory["parameters"].items()}
        properties = {"mode": memory["mode"], "template": memory["template"], "parameters": parameters}
        body = {"properties": properties, **({"location": memory["location"]} if memory["location"] else {})}
        self.memory["rolledBackTo"] = earlier.name
        try:
            self.engine.request(self.principal, "PUT", earlier.id, body, api_version=memory["apiVersion"])
        except ArmError as error:
            self.memory["rollBackError"] = error.error()


def to_roll_back_to(engine: Engine, deployment_id: str, wanted: Mapping[str, Any]) -> Resource | None:
    """The deployment that `onErrorDeployment` means: the one of that name, or the last that succeeded."""
    scope = parse(deployment_id).scope
    known = [one for one in engine.store.children(scope, DEPLOYMENTS) if one.state == SUCCEEDED]
    if str(wanted.get("type")).lower() == "specificdeployment":
        name = str(wanted.get("deploymentName")).lower()
        return next((one for one in known if one.name.lower() == name), None)
    others = [one for one in known if one.key != deployment_id.lower()]
    return max(others, key=lambda one: one.changed, default=None)


def left_over(engine: Engine, group: str, kept: set[str]) -> list[Resource]:
    """What a deployment in complete mode deletes: resources right in the group that are not in the template."""
    found = []
    for resource in engine.store.children(group):
        kind = engine.types[resource.type.lower()]
        if kind.location is None or kind.extension or kind.delete is None or resource.key in kept:
            continue
        if any(key.startswith(f"{resource.key}/") for key in kept):
            continue  # a child of it is in the template
        found.append(resource)
    return sorted(found, key=lambda one: engine.types[one.type.lower()].delete_first)


def _cannot_evaluate(item: Item, error: ExpressionError) -> ArmError:
    message = str(error)
    if message.startswith("Unable to parse"):
        return expression_error(message, item.source)
    return violation(
        f"Unable to process template language expressions for resource '{item.id}' at line '1' and column "
        f"'{item.source.column}'. '{message}'",
        item.source,
    )


def _phrase(status: int) -> str:
    """The name that .NET gives a status: Conflict, BadRequest."""
    try:
        return HTTPStatus(status).phrase.replace(" ", "").replace("-", "")
    except ValueError:
        return str(status)


def operation_id(deployment: Mapping[str, Any], key: str) -> str:
    """The id of one of a deployment's operations."""
    return hashlib.sha256(f"{deployment['guid']}|{key}".encode()).hexdigest()[:16].upper()
