"""Microsoft.Quota: limits and usages of a region by name, and requests to raise a limit that somebody decides on.

Reads what a resource provider's own usages list says of a region, and raises the limit that it counts against; knows
no usage by itself. Requests are kept as a setting.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations, rules
from azure_emulator.arm_path import parse
from azure_emulator.following import retry_after
from azure_emulator.types import Answer, Call, Provider

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Operation

NAMESPACE = "Microsoft.Quota"
_TIMER = "quota-request"
# Assumption, setting `quotaRequestSeconds`: how long a request is looked at. Azure says minutes to days.
REQUEST_SECONDS = 180
# Assumption, setting `quotaApprovedUpTo`: a wish beyond this is declined and sent to support.
APPROVED_UP_TO = 100_000
# Sent with the 202 (examples of the REST specification).
RETRY_SECONDS = 30
KEPT = 1000
# Limits that can be asked for; what is not here is shown and fixed (examples of the REST specification).
_RAISABLE = {
    "microsoft.compute": re.compile(r"^(cores|lowPriorityCores|.*Family)$", re.IGNORECASE),
    "microsoft.network": re.compile(r"^(IPv[46])?(StandardSku|BasicSku)?PublicIPAddresses$", re.IGNORECASE),
}
_SCOPE = re.compile(
    r"^/subscriptions/(?P<subscription>[^/]+)/providers/(?P<namespace>[^/]+)/locations/(?P<location>[^/]+)$",
    re.IGNORECASE,
)


# -- what there is ---------------------------------------------------------------------------------------------------


def _usages(call: Call) -> list[dict[str, Any]]:
    """The rows of the resource provider's own list for the region of the scope."""
    match = _SCOPE.match(call.path.scope)
    listing = None
    if match is not None:
        listing = call.engine.functions.get(("GET", f"{match['namespace']}/locations/usages".lower()))
    if match is None or listing is None:
        # Assumption on the code.
        raise errors.bad_request(
            "InvalidScope",
            f"The scope '{call.path.scope}' is not supported: it must be /subscriptions/{{id}}/providers/{{provider}}/"
            "locations/{location}, with a provider that has quotas such as Microsoft.Compute or Microsoft.Network.",
        )
    if locations.normalise(match["location"]) not in locations.REGIONS:
        raise errors.bad_request("InvalidLocation", f"The location '{match['location']}' is invalid.")
    answer = listing(replace(call, method="GET", path=parse(f"{call.path.scope}/usages"), query={}, body=None))
    rows: list[dict[str, Any]] = answer.body["value"] if answer is not None else []
    return rows


def _row(call: Call, name: str) -> dict[str, Any]:
    found = next((row for row in _usages(call) if bodies.same(row["name"]["value"], name)), None)
    if found is None:
        raise errors.bad_request("InvalidResourceName", f"The resource name '{name}' is invalid.")
    return found


def _raisable(call: Call, name: str) -> bool:
    match = _SCOPE.match(call.path.scope)
    pattern = _RAISABLE.get(match["namespace"].lower()) if match is not None else None
    return pattern is not None and pattern.match(name) is not None


def _shown(call: Call, kind: str, row: dict[str, Any]) -> dict[str, Any]:
    name = row["name"]["value"]
    properties: dict[str, Any] = {
        "name": row["name"], "unit": row.get("unit", "Count"), "isQuotaApplicable": _raisable(call, name),
        "properties": {},
    }  # fmt: skip
    if kind == "quotas":
        properties["limit"] = {"limitObjectType": "LimitValue", "value": row["limit"], "limitType": "Independent"}
    else:
        properties["usages"] = {"value": row["currentValue"], "usagesType": "Individual"}
    return {
        "id": f"{call.path.scope}/providers/{NAMESPACE}/{kind}/{name}",
        "name": name,
        "type": f"{NAMESPACE}/{kind}",
        "properties": properties,
    }


def _read(call: Call) -> Answer:
    """GET of the quotas or usages of a region, or of one."""
    kind = call.path.types[0]
    if call.path.is_resource:
        return Answer(200, _shown(call, kind, _row(call, call.path.name)))
    return Answer(200, {"value": [_shown(call, kind, row) for row in _usages(call)]})


# -- requests --------------------------------------------------------------------------------------------------------


def _requests(engine: Engine) -> list[dict[str, Any]]:
    return list(engine.setting("quotaRequests", []))


def _ask(call: Call) -> Answer:
    """PUT or PATCH of a quota: a request, decided later."""
    engine, body = call.engine, call.body if isinstance(call.body, dict) else {}
    value = bodies.get(body, "properties.limit.value")
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise errors.bad_request(
            "BadRequest", "The quota request needs properties.limit.value, a whole number of at least 0."
        )
    row = _row(call, call.path.name)
    asked = bodies.get(body, "properties.name.value")
    if asked is not None and not bodies.same(asked, call.path.name):
        raise errors.bad_request(
            "BadRequest", f"The name '{asked}' in the body is not the '{call.path.name}' of the request URI."
        )
    request = {
        "id": engine.guid(), "scope": call.path.scope, "name": row["name"], "value": value, "part": engine.guid(),
        "submitted": engine.now, "state": "InProgress", "message": "Request processing", "error": _objection(
            call, row, value),
    }  # fmt: skip
    engine.store.set("quotaRequests", [*_requests(engine), request][-KEPT:])
    seconds = engine.jittered(float(engine.setting("quotaRequestSeconds", REQUEST_SECONDS)), request["id"])
    engine.later(_TIMER, seconds, f"{call.path.scope}/providers/{NAMESPACE}/quotas/{row['name']['value']}",
                 request=request["id"])  # fmt: skip
    return Answer(202, None, _followed(call, request["id"]))


def _objection(call: Call, row: dict[str, Any], value: int) -> dict[str, str] | None:
    """Why somebody will decline. Codes as in the examples of the REST specification, but for the last one."""
    name = row["name"]["value"]
    if not _raisable(call, name):
        return {"code": "QuotaNotAvailableForResource", "message": f"Quota is not available for resource '{name}'."}
    if value > int(call.engine.setting("quotaApprovedUpTo", APPROVED_UP_TO)):
        return {"code": "ContactSupport", "message": "Request failed, please contact support."}
    if value < row["limit"]:
        # Assumption: limits are raised this way, not lowered.
        return {"code": "QuotaReductionNotSupported", "message": "Quota reduction is not supported."}
    return None


def _decide(engine: Engine, operation: Operation) -> None:
    rows = _requests(engine)
    request = next((row for row in rows if row["id"] == operation.arguments["request"]), None)
    if request is None:
        return
    decided = {**request, "state": "Succeeded", "message": "Request completed"}
    if request["error"] is not None:
        decided |= {"state": "Failed", "message": request["error"]["message"]}
    else:
        match = _SCOPE.match(request["scope"])
        if match is not None:
            key = f"{locations.normalise(match['location'])}/{request['name']['value'].lower()}"
            engine.store.set("quota", {**engine.setting("quota", {}), key: request["value"]})
    engine.store.set("quotaRequests", [decided if row["id"] == request["id"] else row for row in rows])


def _followed(call: Call, identity: str) -> dict[str, str]:
    url = f"{call.base_url}{call.path.scope}/providers/{NAMESPACE}/operationsStatus/{identity}"
    headers = {"Location": f"{url}?api-version={call.api_version}"}
    return headers | retry_after(call.engine, RETRY_SECONDS)


def _known(call: Call) -> dict[str, Any]:
    scope = call.path.scope.lower()
    found = [row for row in _requests(call.engine) if row["scope"].lower() == scope]
    request = next((row for row in found if bodies.same(row["id"], call.path.name)), None)
    if request is None:
        raise errors.ArmError(
            errors.NOT_FOUND, "QuotaRequestNotFound", f"The quota request '{call.path.name}' was not found."
        )
    return request


def _status(call: Call) -> Answer:
    """What the Location of a request answers: 202 until it is decided, then the quota, or why not."""
    request = _known(call)
    if request["state"] == "InProgress":
        return Answer(202, None, _followed(call, request["id"]))
    if request["state"] == "Failed":
        raise _declined(request)
    return Answer(200, _shown(call, "quotas", _row(call, request["name"]["value"])))


def _declined(request: dict[str, Any]) -> ArmError:
    # Assumption on the status: public reports of declined requests show the code only.
    return errors.bad_request(request["error"]["code"], request["error"]["message"])


def _request(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    part = {
        "name": row["name"], "limit": {"limitObjectType": "LimitValue", "value": row["value"]}, "unit": "Count",
        "provisioningState": row["state"], "message": row["message"], "subRequestId": row["part"],
    }  # fmt: skip
    properties = {
        "provisioningState": row["state"], "message": row["message"], "value": [part],
        "requestSubmitTime": call.engine.clock.iso(row["submitted"]),
    }  # fmt: skip
    if row["state"] == "Failed":
        properties["error"] = row["error"]
    return {
        "id": f"{row['scope']}/providers/{NAMESPACE}/quotaRequests/{row['id']}",
        "name": row["id"],
        "type": f"{NAMESPACE}/quotaRequests",
        "properties": properties,
    }


_STATE_FILTER = re.compile(r"^\s*provisioningState\s+eq\s+'(\w+)'\s*$", re.IGNORECASE)


def _list_requests(call: Call) -> Answer:
    """GET of one request, or of all of a region, newest first, with a filter by state and paging."""
    if call.path.is_resource:
        return Answer(200, _request(call, _known(call)))
    scope, wanted = call.path.scope.lower(), call.query.get("$filter")
    found = [row for row in reversed(_requests(call.engine)) if row["scope"].lower() == scope]
    if wanted is not None:
        match = _STATE_FILTER.match(wanted)
        if match is None:
            raise errors.bad_request("BadRequest", f"The filter '{wanted}' is not supported: write provisioningState "
                                     "eq 'InProgress'.")  # fmt: skip
        found = [row for row in found if bodies.same(row["state"], match[1])]
    start = rules.whole_number(call.query, "$skiptoken", 0)
    size = rules.whole_number(call.query, "$top", len(found))
    shown: dict[str, Any] = {"value": [_request(call, row) for row in found[start : start + size]]}
    if start + size < len(found):
        shown["nextLink"] = rules.next_link(call, start + size)
    return Answer(200, shown)


PROVIDER = Provider(
    namespace=NAMESPACE,
    functions={
        ("GET", f"{NAMESPACE}/quotas"): _read,
        ("GET", f"{NAMESPACE}/usages"): _read,
        ("PUT", f"{NAMESPACE}/quotas"): _ask,
        ("PATCH", f"{NAMESPACE}/quotas"): _ask,
        ("GET", f"{NAMESPACE}/quotaRequests"): _list_requests,
        ("GET", f"{NAMESPACE}/operationsStatus"): _status,
    },
    timers={_TIMER: _decide},
)
