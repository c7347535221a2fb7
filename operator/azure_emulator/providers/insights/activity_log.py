"""The activity log: what was asked of Azure and what came of it, read from the emulator's own request log.

Knows the request log's entries through `_requests` only. Each write, deletion and action is a pair of events, and one
more when an operation that went on has ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from azure_emulator import errors, rules
from azure_emulator.arm_path import ArmPath, parse
from azure_emulator.engine import action_of
from azure_emulator.providers import odata
from azure_emulator.providers.insights.names import EVENTS
from azure_emulator.types import Answer, Call

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.providers.odata import Comparison, Expression

PAGE = 200
# Events show up 3 to 20 minutes late in Azure (azure-docs, activity log); here at once unless setting
# activityLogDelaySeconds asks otherwise.
DELAY_SECONDS = 0.0
RETENTION_DAYS = 90
_WRITES = frozenset({"PUT", "PATCH", "DELETE", "POST"})
_FILTERS = frozenset({
    "eventtimestamp", "resourcegroupname", "resourceuri", "resourceid", "resourceprovider", "resourcetype",
    "resourcetypes", "correlationid", "caller", "status", "operationname", "operations", "eventchannels", "levels",
    "level", "category", "eventdataid",
})  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One entry of the request log as the activity log needs it."""

    sequence: int
    method: str
    path: ArmPath
    action: str
    at: float
    status: int
    code: str | None
    caller: str
    caller_id: str
    correlation: str
    operation: str | None


def _requests(engine: Engine, subscription: str, since: float) -> Iterator[Request]:
    """Requests that changed or did something, oldest first. Entries of older logs lack some members."""
    prefix = f"/subscriptions/{subscription}".lower()
    for entry in engine.store.requests:
        if entry["method"] not in _WRITES or not entry["path"].lower().startswith(prefix):
            continue
        operation = engine.store.operations.get(entry.get("operation") or "")
        # There may be hundreds of thousands: look closer only at what can have an event by then.
        if max(float(entry["emulatedTime"]), operation.end if operation is not None else 0.0) < since:
            continue
        path = parse(entry["path"])
        sequence = int(entry["sequence"])
        made_up = str(uuid.uuid5(uuid.NAMESPACE_OID, f"request {sequence}"))
        yield Request(
            sequence, entry["method"], path, entry.get("action") or action_of(entry["method"], path),
            float(entry["emulatedTime"]), int(entry["status"]), entry.get("code"), entry.get("caller") or "",
            entry.get("callerObjectId") or "", entry.get("correlationId") or made_up, entry.get("operation"),
        )  # fmt: skip


def events(call: Call) -> Answer:
    """GET …/eventtypes/management/values."""
    engine = call.engine
    expression = _wanted(call.query.get("$filter", ""))
    until = engine.now - float(engine.setting("activityLogDelaySeconds", DELAY_SECONDS))
    since = _since(engine, expression)
    found = [
        event
        for request in _requests(engine, call.subscription, since)
        for event in _events(engine, request)
        if since <= event["_at"] <= until and (expression is None or odata.holds(expression, partial(_compare, event)))
    ]
    found.sort(key=lambda event: event["_at"])  # stable: of one moment, the later event stays the later
    found.reverse()
    start = rules.whole_number(call.query, "$skiptoken", 0)
    selected = [one.strip().lower() for one in call.query.get("$select", "").split(",") if one.strip()]
    shown = [_selected(event, selected) for event in found[start : start + PAGE]]
    body: dict[str, Any] = {"value": shown}
    if start + PAGE < len(found):
        body["nextLink"] = rules.next_link(call, start + PAGE)
    return Answer(200, body)


def _since(engine: Engine, expression: Expression | None) -> float:
    """The earliest moment asked for; who asks for none gets what there is, as far back as events are kept."""
    asked = [
        (_moment(one.value, "") - engine.clock.base).total_seconds()
        for one in (odata.conjuncts(expression) if expression is not None else ())
        if one.name == "eventtimestamp" and one.operator in ("ge", "gt")
    ]
    return max([engine.now - RETENTION_DAYS * 86400, *asked])


def _wanted(text: str) -> Expression | None:
    if not text.strip():
        return None
    try:
        expression = odata.parse(text)
    except odata.FilterError as error:
        raise _bad_filter(text) from error
    for comparison in odata.comparisons(expression):
        if comparison.name not in _FILTERS:
            raise _bad_filter(text)
        if comparison.name == "eventtimestamp":
            _moment(comparison.value, text)
    return expression


def _bad_filter(text: str) -> errors.ArmError:
    return errors.bad_request("BadRequest", f"The $filter '{text}' is not supported for the activity log.")


def _moment(value: str, text: str) -> datetime:
    """Times come with seven digits of a second, or without a zone."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise _bad_filter(text) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _compare(event: dict[str, Any], comparison: Comparison, together: tuple[Comparison, ...]) -> bool:
    del together
    match comparison.name:
        case "eventtimestamp":
            ours, theirs = _moment(event["eventTimestamp"], ""), _moment(comparison.value, "")
            tests = {"ge": ours >= theirs, "gt": ours > theirs, "le": ours <= theirs, "lt": ours < theirs}
            return tests.get(comparison.operator, ours == theirs)
        case "eventchannels":
            return True  # there is one log only
        case "resourceuri" | "resourceid":
            actual = event["resourceId"]
        case "resourceprovider":
            actual = event["resourceProviderName"]["value"]
        case "resourcetype" | "resourcetypes":
            actual = event["resourceType"]["value"]
        case "operationname" | "operations":
            actual = event["operationName"]["value"]
        case "status" | "category":
            actual = event[comparison.name]["value"]
        case "level" | "levels":
            actual = event["level"]
        case name:
            actual = event[{"resourcegroupname": "resourceGroupName", "correlationid": "correlationId",
                            "eventdataid": "eventDataId"}.get(name, name)]  # fmt: skip
    return odata.compare(comparison, str(actual))


def _selected(event: dict[str, Any], selected: list[str]) -> dict[str, Any]:
    return {
        name: value for name, value in event.items() if name != "_at" and (not selected or name.lower() in selected)
    }


# -- events ----------------------------------------------------------------------------------------------------------


def _events(engine: Engine, request: Request) -> Iterator[dict[str, Any]]:
    yield _event(engine, request, "BeginRequest", request.at, "Started", "", None)
    accepted = request.status == HTTPStatus.ACCEPTED or request.operation is not None
    status = "Failed" if request.status >= HTTPStatus.BAD_REQUEST else "Accepted" if accepted else "Succeeded"
    yield _event(engine, request, "EndRequest", request.at, status, _phrase(request.status), request.code)
    operation = engine.store.operations.get(request.operation or "")
    if operation is not None and not operation.running:
        failure = operation.failure or {}
        ended = "Succeeded" if operation.status == "Succeeded" else "Failed"
        code = failure.get("code") if ended == "Failed" else None
        yield _event(engine, request, "EndRequest", operation.end, ended, "OK" if code is None else "Conflict", code)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "") if status in set(HTTPStatus) else str(status)


def _event(
    engine: Engine, request: Request, name: str, at: float, status: str, sub_status: str, code: str | None
) -> dict[str, Any]:  # fmt: skip
    scope = request.path.text if request.path.is_resource else request.path.parent
    path = parse(scope)
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request.sequence} {name} {status}"))
    moment = engine.clock.iso(at)
    ticks = int(engine.clock.at(at).timestamp() * 10_000_000) + 621_355_968_000_000_000
    shown = {"value": sub_status, "localizedValue": f"{sub_status} (HTTP Status Code: {request.status})"}
    properties = {"eventCategory": "Administrative", "entity": scope, "message": request.action,
                  "hierarchy": f"{engine.tenant}/{path.subscription}"}  # fmt: skip
    if status != "Started":
        properties |= {"statusCode": sub_status, "serviceRequestId": ""}
    if code is not None:
        properties["statusMessage"] = f'{{"error":{{"code":"{code}"}}}}'
    return {
        "_at": at,
        "authorization": {"action": request.action, "scope": scope},
        "caller": request.caller,
        "channels": "Operation",
        "claims": {
            "name": request.caller,
            "http://schemas.microsoft.com/identity/claims/objectidentifier": request.caller_id,
            "http://schemas.microsoft.com/identity/claims/tenantid": engine.tenant,
        },
        "correlationId": request.correlation,
        "description": "",
        "eventDataId": identity,
        "eventName": _named(name, "Begin request" if name == "BeginRequest" else "End request"),
        "category": _named("Administrative"),
        "eventTimestamp": moment,
        "submissionTimestamp": moment,
        "id": f"{scope}/events/{identity}/ticks/{ticks}",
        "level": "Error" if status == "Failed" else "Informational",
        "operationId": request.correlation,
        "operationName": _named(request.action),
        "resourceGroupName": path.resource_group or "",
        "resourceProviderName": _named(path.namespace),
        "resourceType": _named(path.type_name),
        "resourceId": scope,
        "status": _named(status),
        "subStatus": shown if sub_status else _named(""),
        "properties": properties,
        "subscriptionId": path.subscription or "",
        "tenantId": engine.tenant,
        "relatedEvents": [],
    }


def _named(value: str, shown: str | None = None) -> dict[str, str]:
    return {"value": value, "localizedValue": value if shown is None else shown}


FUNCTIONS = {("GET", EVENTS): events}
