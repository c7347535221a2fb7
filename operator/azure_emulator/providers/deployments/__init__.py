"""Microsoft.Resources/deployments: templates deployed to resource groups and subscriptions.

What clients ask of deployments: create, validate, what-if, cancel, read, list, delete, export, and their operations.
How a template is read is template.py's, how it runs run.py's. Deployments to the tenant and to management groups are
refused as Azure refuses whoever has no rights there: nobody has in an emulated tenant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.errors import ArmError
from azure_emulator.following import follow, status_document
from azure_emulator.providers.authorization import authorization_failed
from azure_emulator.providers.deployments import dates, hashing, run, what_if
from azure_emulator.providers.deployments.preparation import Request, check, inside, prepare
from azure_emulator.providers.deployments.template import DEPLOYMENTS
from azure_emulator.store import Resource
from azure_emulator.types import Answer, Call, Protocol, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

# Azure-AsyncOperation below the deployment and no Retry-After (azure-cli recordings); what-if and deletion have a
# Location as resource groups do.
PROTOCOL = Protocol(
    name="deployments",
    status="{resource}/operationStatuses/{id}",
    result="operationresults/{id}",
    result_on=frozenset({"DELETE", "POST"}),
    retry_after=None,
    terse=True,
    busy="DeploymentActive",
)

# How long ARM itself takes: from acceptance to the first write (0.3 to 1 s in recordings), and for the others, which
# are assumptions.
ACCEPT_SECONDS = 1.0
DELETE_SECONDS = 5.0
WHAT_IF_SECONDS = 5.0
VALIDATE_SECONDS = 2.0
# A deployment that has not ended after a week is given up; the message of DeploymentActive shows it.
EXPIRY_SECONDS = 7 * 24 * 3600.0
# History: at most this many deployments in a scope, and ARM deletes the oldest ones by itself (azure-docs,
# deployment-history-deletions); settings `deploymentQuota` and `deploymentAutoDeletion`.
QUOTA = 800

_OPERATION_TYPES = (f"{DEPLOYMENTS}/operations", "Microsoft.Resources/resourceGroups/deployments/operations")
_FILTER = re.compile(r"provisioningState\s+eq\s+'([^']*)'", re.IGNORECASE)


# -- writing -----------------------------------------------------------------------------------------------------------


def _create(call: Call) -> Answer | None:
    if not call.path.is_resource:
        return None
    engine = call.engine
    existing = engine.store.get(call.path.text)
    engine.require_group(call.path, write=True)
    _refuse_active(engine, existing)
    nested = not call.base_url  # asked from within: by a running deployment, which has been checked as a whole
    request = prepare(engine, call.principal, call.path, call.body, call.api_version, depth=int(nested))
    if existing is not None and request.location != existing.location:
        raise errors.conflict(
            "InvalidDeploymentLocation",
            f"Invalid deployment location '{request.location}'. The deployment '{existing.name}' already exists in "
            f"location '{existing.location}'.",
        )
    if not nested:
        check(request)
    earlier = request.properties.get("onErrorDeployment")
    if earlier and run.to_roll_back_to(engine, call.path.text, earlier) is None:
        raise errors.bad_request(
            "InvalidOnErrorDeployment",  # the code is an assumption
            f"The deployment '{call.path.name}' cannot roll back on an error: there is no such successful deployment.",
        )
    if existing is None:
        _make_room(engine, call)
    change = engine.plan(call.path.text, {"tags": request.tags}, seconds=ACCEPT_SECONDS)
    change.api_version = call.api_version
    if request.location:
        change.body["location"] = request.location
    change.internal = {"deployment": run.begun(request)}
    run.remember(engine, change.internal["deployment"]["guid"], request.template)
    resource, operation = engine.apply(change, existing)
    headers = follow(engine, call.base_url, call.api_version, KIND, operation, "PUT") if operation is not None else {}
    return Answer(201 if existing is None else 200, engine.view(resource), headers)


def _refuse_active(engine: Engine, existing: Resource | None) -> None:
    running = engine.running(existing) if existing is not None else None
    if existing is None or running is None:
        return
    began, expires = engine.clock.at(running.start), engine.clock.at(running.start + EXPIRY_SECONDS)
    shape = "M/d/yyyy h:mm:ss tt"
    raise errors.conflict(
        "DeploymentActive",
        f"Unable to edit or replace deployment '{existing.name}': previous deployment from "
        f"'{dates.write(began, shape)}' is still active (expiration time is '{dates.write(expires, shape)}'). Please "
        "see https://aka.ms/arm-deploy for usage details.",
    )


def _make_room(engine: Engine, call: Call) -> None:
    """Delete the oldest deployments of a scope that is full, as ARM does by itself, or refuse."""
    quota = engine.setting("deploymentQuota", QUOTA)
    known = engine.store.children(call.path.parent, KIND.name)
    if engine.setting("deploymentAutoDeletion", default=True):
        for old in sorted(known, key=lambda one: one.created):
            if len(known) < quota:
                break
            if engine.running(old) is None:
                engine.remove(old)
                known.remove(old)
    if len(known) >= quota:
        raise errors.conflict(
            "DeploymentQuotaExceeded",
            f"Creating the deployment '{call.path.name}' would exceed the quota of '{quota}'. The current deployment "
            f"count is '{len(known)}'. Please delete some deployments before creating a new one, or see "
            "https://aka.ms/800LimitFix for information on managing deployment limits.",
        )


def _cancel(call: Call) -> Answer:
    """Nothing more is written; what runs goes on, nested deployments too (seen in public reports)."""
    engine = call.engine
    resource = _require(call, call.path.parent)
    running = engine.running(resource)
    if running is None or running.verb != "PUT":
        # The code is documented by no page; the rule is.
        raise errors.conflict(
            "DeploymentCannotBeCancelled",
            f"The deployment '{resource.name}' cannot be cancelled because its provisioning state is "
            f"'{resource.state}'. Only a deployment that is accepted or running can be cancelled.",
        )
    resource.internal["deployment"]["ended"] = engine.now
    engine.cancel(running, ArmError(errors.CONFLICT, "DeploymentCanceled", "The deployment was canceled by the user."))
    return Answer(204)


# -- looking ahead -----------------------------------------------------------------------------------------------------


def _validate(call: Call) -> Answer:
    """200 at once, as recorded, or 202 and a Location with the setting `asyncValidation`."""
    request = _prepared(call)
    check(request)
    guid = call.engine.guid()
    memory = {**run.begun(request), "guid": guid, "ended": call.engine.now}
    properties = _properties(call.engine, memory, "Succeeded")
    properties["validatedResources"] = [
        {"id": item.id} for each in _everything(request) for item in each.template.items
        if item.deployed and not item.is_deployment
    ]  # fmt: skip
    document = {"id": _id(call), "name": request.path.name, "type": DEPLOYMENTS, "properties": properties}
    if call.engine.setting("asyncValidation", default=False):
        return _later(call, request, VALIDATE_SECONDS, document)
    return Answer(200, document)


def _what_if(call: Call) -> Answer:
    """202 and a Location; what resource providers refuse beforehand is in the result (assumption)."""
    request = _prepared(call)
    settings = request.properties.get("whatIfSettings") or {}
    ids_only = str(settings.get("resultFormat") or "").lower() == "resourceidonly"
    try:
        check(request)
        result: dict[str, Any] = {
            "status": "Succeeded",
            "properties": {"correlationId": call.engine.guid(), "changes": what_if.changes(request, ids_only=ids_only)},
        }
    except ArmError as error:
        if error.code != "InvalidTemplateDeployment":
            raise
        result = {"status": "Failed", "error": error.error()}
    return _later(call, request, WHAT_IF_SECONDS, result)


def _prepared(call: Call) -> Request:
    path = parse(call.path.parent)
    return prepare(call.engine, call.principal, path, call.body, call.api_version)


def _everything(request: Request) -> list[Request]:
    return [request, *(deeper for each in inside(request) for deeper in _everything(each))]


def _later(call: Call, request: Request, seconds: float, document: Any) -> Answer:
    """An answer that a client has to wait for; it belongs to no deployment that is stored."""
    engine = call.engine
    verb = f"POST {call.path.types[-1]}"
    about = Resource(id=request.path.text, type=KIND.name, body={"location": request.location})
    operation = engine.begin(about, verb, engine.jittered(seconds, about.id, verb), api_version=call.api_version)
    operation.output = document
    engine.store.save_operation(operation)
    headers = follow(engine, call.base_url, call.api_version, KIND, operation, "POST")
    for name in ("Azure-AsyncOperation", "Azure-AsyncNotification"):
        headers.pop(name, None)
    return Answer(202, None, headers)


def _template_hash(call: Call) -> Answer:
    if not isinstance(call.body, dict):
        raise errors.bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: the template must be a JSON object.",
        )
    minified = hashing.minified(call.body)
    return Answer(200, {"minifiedTemplate": minified, "templateHash": hashing.template_hash(call.body)})


# -- reading -----------------------------------------------------------------------------------------------------------


def _require(call: Call, deployment_id: str) -> Resource:
    found = call.engine.store.get(deployment_id)
    if found is None:
        message = f"Deployment '{parse(deployment_id).name}' could not be found."
        raise ArmError(errors.NOT_FOUND, "DeploymentNotFound", message)
    return found


def _read(call: Call) -> Answer:
    engine = call.engine
    if call.path.is_resource:
        return Answer(200, engine.view(_require(call, call.path.text)))
    wanted = _FILTER.search(call.query.get("$filter", ""))
    found = [
        one
        for one in engine.store.children(call.path.parent, KIND.name)
        if wanted is None or one.state.lower() == wanted[1].lower()
    ]
    return engine.page(call, sorted(found, key=lambda one: one.changed, reverse=True))


def _export(call: Call) -> Answer:
    return Answer(200, {"template": _require(call, call.path.parent).internal["deployment"]["template"]})


def _secure_outputs(call: Call) -> Answer:
    """POST listOutputsWithSecureValues, by which a template reads the secret outputs of another."""
    memory = _require(call, call.path.parent).internal["deployment"]
    plain = {name: output["value"] for name, output in (memory.get("outputs") or {}).items() if "value" in output}
    return Answer(200, {**plain, **(memory.get("secrets") or {})})


def _id(call: Call) -> str:
    return call.engine.canonical(parse(call.path.parent), KIND)


def _view(engine: Engine, resource: Resource, shown: dict[str, Any], _: Mapping[str, str]) -> None:
    shown["properties"] = _properties(engine, resource.internal["deployment"], resource.state)
    failure = resource.internal.get("failure")
    if failure is not None and resource.state in ("Failed", "Canceled"):
        shown["properties"]["error"] = {key: value for key, value in failure.items() if key != "status"}


def _properties(engine: Engine, memory: Mapping[str, Any], state: str) -> dict[str, Any]:
    ended = memory.get("ended", engine.now)
    steps = [step for step in memory["steps"].values() if step["state"] != "Skipped"]
    shown: dict[str, Any] = {
        "templateHash": memory["hash"],
        "parameters": memory["shown"],
        "mode": memory["mode"],
        "debugSetting": memory.get("debugSetting"),
        "validationLevel": memory.get("validationLevel"),
        "onErrorDeployment": _roll_back(memory),
        "provisioningState": state,
        "timestamp": engine.clock.iso(ended),
        "duration": dates.span(ended - memory["started"]),
        "correlationId": memory["correlation"],
        "providers": _providers(engine, steps),
        "dependencies": _dependencies(memory, steps),
    }
    if "outputs" in memory:
        shown["outputs"] = memory["outputs"]
    if state in ("Succeeded", "Failed", "Canceled"):
        shown["outputResources"] = [{"id": found} for found in _written(engine, memory)]
    return {name: value for name, value in shown.items() if value is not None and (value or name != "parameters")}


def _roll_back(memory: Mapping[str, Any]) -> dict[str, Any] | None:
    asked = memory.get("onErrorDeployment")
    if not asked:
        return None
    name = memory.get("rolledBackTo") or asked.get("deploymentName")
    state = "NotSpecified" if "rolledBackTo" not in memory else "Failed" if "rollBackError" in memory else "Accepted"
    return {**asked, **({"deploymentName": name} if name else {}), "provisioningState": state}


def _providers(engine: Engine, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, dict[str | None, None]]] = {}
    for step in steps:
        namespace, _, kind = step["type"].partition("/")
        written = engine.store.get(step["id"])
        places = found.setdefault(namespace, {}).setdefault(kind, {})
        places[(written.location if written is not None else "") or None] = None
    return [
        {
            "namespace": namespace,
            "resourceTypes": [{"resourceType": kind, "locations": list(places)} for kind, places in kinds.items()],
        }
        for namespace, kinds in found.items()
    ]


def _dependencies(memory: Mapping[str, Any], steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def named(step: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": step["id"], "resourceType": step["type"], "resourceName": step["name"]}

    return [
        {"dependsOn": [named(memory["steps"][key]) for key in step["depends"]], **named(step)}
        for step in steps
        if step["depends"]
    ]


def _written(engine: Engine, memory: Mapping[str, Any]) -> list[str]:
    """What was written, nested deployments replaced by what they wrote."""
    found: list[str] = []
    for step in memory["steps"].values():
        if step["state"] != "Succeeded":
            continue
        inner = engine.store.get(step["id"]) if step["type"].lower() == DEPLOYMENTS.lower() else None
        if inner is not None:
            found.extend(_written(engine, inner.internal["deployment"]))
        else:
            found.append(step["id"])
    return list(dict.fromkeys(found))


# -- operations --------------------------------------------------------------------------------------------------------


def _operations(call: Call) -> Answer:
    """The operations of a deployment, at its id and at the group's older path."""
    path, engine = call.path, call.engine
    name = path.names[1] if path.types[0].lower() == "resourcegroups" else path.names[0]
    resource = _require(call, f"{_scope_of(call)}/providers/{DEPLOYMENTS}/{name}")
    shown = list(_shown_operations(engine, resource))
    if not path.is_resource:
        top = int(call.query["$top"]) if call.query.get("$top", "").isdecimal() else None
        return Answer(200, {"value": shown[:top]})
    for one in shown:
        if one["operationId"].lower() == path.name.lower():
            return Answer(200, one)
    message = f"Deployment operation '{path.name}' could not be found."
    raise ArmError(errors.NOT_FOUND, "DeploymentOperationNotFound", message)


def _scope_of(call: Call) -> str:
    base = f"/subscriptions/{call.subscription}"
    return f"{base}/resourceGroups/{call.path.resource_group}" if call.path.resource_group else base


def _shown_operations(engine: Engine, resource: Resource) -> list[dict[str, Any]]:
    memory = resource.internal["deployment"]
    steps = [(key, "Create", step) for key, step in memory["steps"].items()]
    steps += [(key, "DeploymentCleanup", step) for key, step in memory.get("deletions", {}).items()]
    shown = [
        _operation(engine, resource, run.operation_id(memory, key), what, step)
        for key, what, step in steps
        if "started" in step
    ]
    if "evaluated" in memory:
        step = {"state": memory["evaluated"]["state"], "started": memory["ended"], "ended": memory["ended"]}
        step["statusCode"] = "OK" if step["state"] == "Succeeded" else "BadRequest"
        if memory["evaluated"]["errors"]:
            step["error"] = memory["evaluated"]["errors"][0]
        identity = run.operation_id(memory, "outputs")
        shown.append(_operation(engine, resource, identity, "EvaluateDeploymentOutput", step))
    return shown


def _operation(engine: Engine, resource: Resource, identity: str, what: str, step: Mapping[str, Any]) -> dict[str, Any]:
    ended = step.get("ended", engine.now)
    # A write that is tried again shows as running: ARM does not tell the attempts apart.
    state = {"Waiting": "Running"}.get(step["state"], step["state"])
    properties: dict[str, Any] = {
        "provisioningOperation": what,
        "provisioningState": state,
        "timestamp": engine.clock.iso(ended),
        "duration": dates.span(ended - step["started"]),
        "trackingId": hashing.guid([resource.id, identity, "tracking"]),
        "statusCode": step.get("statusCode"),
    }
    if "id" in step:
        properties["serviceRequestId"] = hashing.guid([resource.id, identity, "request"])
        target = {"id": step["id"], "resourceType": step["type"], "resourceName": step["name"]}
        if step.get("symbol"):
            target["symbolicName"] = step["symbol"]
        properties["targetResource"] = target
    if "error" in step:
        error = step["error"]
        properties["statusMessage"] = {"error": error} if step.get("refused") else {"status": "Failed", "error": error}
    return {
        "id": f"{resource.id}/operations/{identity}",
        "operationId": identity,
        "properties": {name: value for name, value in properties.items() if value is not None},
    }


def _refuse_above(call: Call, action: str) -> None:
    """The gate: deployments to the tenant and to management groups."""
    if not call.path.type_name.lower().startswith(DEPLOYMENTS.lower()) or call.path.subscription is not None:
        return
    raise authorization_failed(call, action, call.path.text if call.path.is_resource else call.path.parent)


KIND = ResourceType(
    name=DEPLOYMENTS,
    protocol=PROTOCOL,
    put=Verb(seconds=ACCEPT_SECONDS, creating="Accepted", updating="Accepted"),
    delete=Verb(seconds=DELETE_SECONDS),
    location=None,
    extension=True,
    continues=run.continues,
    view=_view,
    depth="templates are evaluated and their resources written in the order of their dependencies; validate, what-if, "
    "complete mode, nested templates; links to templates are not followed",
)

PROVIDER = Provider(
    namespace="Microsoft.Resources",
    types=(KIND,),
    functions={
        ("PUT", DEPLOYMENTS): _create,
        ("GET", DEPLOYMENTS): _read,
        ("POST", f"{DEPLOYMENTS}/validate"): _validate,
        ("POST", f"{DEPLOYMENTS}/whatIf"): _what_if,
        ("POST", f"{DEPLOYMENTS}/cancel"): _cancel,
        ("POST", f"{DEPLOYMENTS}/exportTemplate"): _export,
        ("POST", f"{DEPLOYMENTS}/listOutputsWithSecureValues"): _secure_outputs,
        ("GET", f"{DEPLOYMENTS}/operationStatuses"): status_document,
        ("POST", "Microsoft.Resources/calculateTemplateHash"): _template_hash,
        **{("GET", name): _operations for name in _OPERATION_TYPES},
    },
    gates=(_refuse_above,),
)
