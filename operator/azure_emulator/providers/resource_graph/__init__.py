"""Microsoft.ResourceGraph: wide reads by query over all resources, a little late as in Azure.

Serves the tables Resources, ResourceContainers and AuthorizationResources. What the emulator cannot parse is refused as
Azure refuses it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from azure_emulator import errors
from azure_emulator.arm_path import RESOURCE_GROUP, parse
from azure_emulator.errors import ArmError
from azure_emulator.providers.resource_graph.query import Limits, Query, Row, Table
from azure_emulator.providers.resource_graph.scalars import QueryError, Value, text
from azure_emulator.types import Answer, Call, Provider, Rate

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# Setting `resourceGraphLagSeconds`: how long a change stays unseen here. "Up to 60 s" is said of scale sets
# (azure-compute-docs, orchestration modes); most changes are seen within seconds.
LAG_SECONDS = 10.0
TOP, TOP_LIMIT = 100, 1000
# 15 queries in 5 seconds (azure-docs, guidance for throttled requests).
QUOTA = Rate(
    "Queries", frozenset({"POST"}), "Microsoft.ResourceGraph/resources", 15, 180, code="RateLimiting", shown=False
)

_COLUMNS = (
    "id", "name", "type", "tenantId", "kind", "location", "resourceGroup", "subscriptionId", "managedBy", "sku", "plan",
    "properties", "tags", "identity", "zones", "extendedLocation",
)  # fmt: skip
_INVALID = (
    "Query is invalid. Please refer to the documentation for the Azure Resource Graph service and fix the error before "
    "retrying."
)
_GROUP, _SUBSCRIPTION = "microsoft.resources/subscriptions/resourcegroups", "microsoft.resources/subscriptions"
_ASSIGNMENT = "microsoft.authorization/roleassignments"
# All other types are in Resources.
_TABLE_OF = {
    _GROUP: "resourcecontainers", _SUBSCRIPTION: "resourcecontainers", _ASSIGNMENT: "authorizationresources",
}  # fmt: skip
_TABLES = {"resources", *_TABLE_OF.values()}


def _query(call: Call) -> Answer:
    body = call.body if isinstance(call.body, dict) else {}
    asked, options = body.get("query"), body.get("options") or {}
    if not isinstance(asked, str) or not asked.strip():
        raise _refusal([("EmptyQuery", "Query cannot be empty.", {})])
    top = options.get("$top") or TOP
    if not isinstance(top, int) or not 1 <= top <= TOP_LIMIT:
        raise _refusal([("InvalidTop", f"$top must be between 1 and {TOP_LIMIT}.", {})])
    digest = hashlib.sha256(asked.encode()).hexdigest()[:16]
    token = options.get("$skipToken")
    start = _start(str(token), digest) if token else int(options.get("$skip") or 0)
    subscriptions = frozenset(str(one).lower() for one in body.get("subscriptions") or call.engine.subscriptions)
    question, late = (digest, subscriptions, call.principal), call.engine.late
    table = (late.recall(question) if token else None) or _run(call, asked, subscriptions)
    answer = _page(table, start, top, digest, options)
    if "$skipToken" in answer.body:
        late.remember(question, table)
    else:
        late.forget(question)
    return answer


def _run(call: Call, asked: str, subscriptions: Collection[str]) -> Table:
    engine = call.engine
    try:
        query = Query(lambda name, limits: _table(call, name, limits, subscriptions), engine.clock.at(engine.now))
        return query.run(asked)
    except QueryError as error:
        raise _refusal([("InvalidQuery", _INVALID, {}), (error.code, str(error), error.details)]) from error


def _page(table: Table, start: int, top: int, digest: str, options: dict[str, Any]) -> Answer:
    rows = table.rows[start : start + top]
    more = start + len(rows) < len(table.rows)
    # Without the column id there is nothing to go on from (azure-docs, paging of Resource Graph).
    has_token = more and "id" in table.columns
    document: dict[str, Any] = {
        "totalRecords": len(table.rows), "count": len(rows), "data": _data(table, rows, options), "facets": [],
        "resultTruncated": "true" if more and not has_token else "false",
    }  # fmt: skip
    if has_token:
        token = orjson.dumps({"start": start + len(rows), "query": digest})
        document["$skipToken"] = base64.urlsafe_b64encode(token).decode()
    headers = {"x-ms-user-quota-remaining": str(int(QUOTA.size) - 1), "x-ms-user-quota-resets-after": "00:00:05"}
    return Answer(200, document, headers)


def _start(token: str, digest: str) -> int:
    try:
        kept = orjson.loads(base64.urlsafe_b64decode(token))
        if kept["query"] == digest:
            return int(kept["start"])
    except (ValueError, KeyError, TypeError):
        pass
    raise _refusal([("InvalidSkipToken", "The skip token is not one of this query.", {})])


def _data(table: Table, rows: list[Row], options: dict[str, Any]) -> Any:
    if str(options.get("resultFormat", "objectArray")).lower() == "objectarray":
        return [{name: _shown(row.get(name)) for name in table.columns} for row in rows]
    kinds = [_kind(row.get(name) for row in table.rows) for name in table.columns]
    columns = [{"name": name, "type": kind} for name, kind in zip(table.columns, kinds, strict=True)]
    return {"columns": columns, "rows": [[_shown(row.get(name)) for name in table.columns] for row in rows]}


def _shown(value: Value) -> Value:
    return value if value is None or isinstance(value, str | int | float | bool | dict | list) else text(value)


def _kind(values: Iterable[Value]) -> str:
    found = {type(value) for value in values if value is not None}
    if found <= {str}:
        return "string"
    if found == {bool}:
        return "boolean"
    return {True: "integer"}.get(found == {int}, "number" if found <= {int, float} else "object")


def _refusal(details: list[tuple[str, str, dict[str, Any]]]) -> ArmError:
    # Azure's message carries a time and a correlation id; the details say what is wrong.
    return ArmError(
        errors.BAD_REQUEST, "BadRequest", "Please provide below info when asking for support: the correlation id of "
        "this request.", details=[{"code": code, "message": message, **more} for code, message, more in details],
    )  # fmt: skip


def _table(call: Call, name: str, limits: Limits, subscriptions: Collection[str]) -> Table:
    engine = call.engine
    if name not in _TABLES:
        raise QueryError("DisallowedLogicalTableName", f"Table {name} is invalid, unsupported or disallowed.")
    late = engine.late
    late.take_in(float(engine.setting("resourceGraphLagSeconds", LAG_SECONDS)), partial(_row, engine))
    types = [kind for kind in limits.get("type", late.texts("type")) if _TABLE_OF.get(kind, "resources") == name]
    rows = late.rows({**limits, "type": types})
    if _TABLE_OF[_SUBSCRIPTION] == name:
        rows += [_subscription(engine, identity) for identity in engine.subscriptions.values()]
    found = [row for row in rows if row["subscriptionId"].lower() in subscriptions]
    return Table(list(_COLUMNS), _seen_by(call, found))


def _seen_by(call: Call, rows: list[Row]) -> list[Row]:
    """Rows without what the caller may not read."""
    there = [found for row in rows if (found := call.engine.store.get(row["id"])) is not None]
    seen = call.engine.screened(call, there)
    if len(seen) == len(there):
        return rows
    hidden = {one.key for one in there} - {one.key for one in seen}
    return [row for row in rows if row["id"].lower() not in hidden]


def _row(engine: Engine, resource: Resource) -> Row | None:
    """A resource as Resource Graph shows it, None for what it does not.

    It shows no children without a location, and of the extensions only role assignments.
    """
    kind, path = engine.types[resource.type.lower()], parse(resource.id)
    proxy = kind.location is None or kind.extension
    if path.subscription is None or (proxy and kind.key != _ASSIGNMENT):
        return None
    shown = engine.view(resource)
    row: Row = {name: shown.get(name) for name in _COLUMNS}
    row |= {
        "type": kind.key, "tenantId": engine.tenant, "subscriptionId": path.subscription,
        "resourceGroup": (path.resource_group or "").lower(), "kind": shown.get("kind") or "",
        "managedBy": shown.get("managedBy") or "",
    }  # fmt: skip
    if kind.key == RESOURCE_GROUP.lower():
        row |= {"type": _GROUP, "resourceGroup": resource.name}  # with its casing, unlike in the other tables
    if kind.key == _ASSIGNMENT:
        # The ids of roles are those of the directory, without a subscription (azure-docs, samples of this table).
        row["properties"] |= {"roleDefinitionId": _without_scope(shown["properties"]["roleDefinitionId"])}
    return row


def _without_scope(role: str) -> str:
    return role[role.rindex("/providers/") :]


def _subscription(engine: Engine, identity: str) -> Row:
    row: Row = dict.fromkeys(_COLUMNS)
    return row | {
        "id": f"/subscriptions/{identity}", "name": "Emulated", "type": _SUBSCRIPTION,
        "tenantId": engine.tenant, "kind": "", "location": "", "resourceGroup": "", "subscriptionId": identity,
        "managedBy": "", "properties": {"state": "Enabled", "managementGroupAncestorsChain": []},
    }  # fmt: skip


PROVIDER = Provider(
    namespace="Microsoft.ResourceGraph",
    functions={("POST", "Microsoft.ResourceGraph/resources"): _query},
    rates=(QUOTA,),
)
