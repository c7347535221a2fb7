"""Cost exports with their runs, and cost queries (Microsoft.CostManagement). Nothing costs anything here.

A query answers with the columns that were asked for, and no rows; a run of an export writes no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import checks
from azure_emulator.providers.consumption import check_etag, moment, show_etag
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Action, Answer, Provider, ResourceType

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import Call, Change

EXPORT = "Microsoft.CostManagement/exports"
DEFINITIONS = ("ActualCost", "AmortizedCost", "Usage", "FocusCost", "PriceSheet", "ReservationTransactions",
               "ReservationRecommendations", "ReservationDetails")  # fmt: skip
TIMEFRAMES = ("MonthToDate", "BillingMonthToDate", "TheLastMonth", "TheLastBillingMonth", "WeekToDate", "Custom",
              "TheCurrentMonth")  # fmt: skip
RECURRENCES = ("Daily", "Weekly", "Monthly", "Annually")
# Assumption: how long a run waits, and how long it takes.
QUEUED_SECONDS, RUN_SECONDS = 30.0, 180.0
# Like budgets; see there.
NEED_ETAG = False
RUNS_KEPT = 100


# -- exports ---------------------------------------------------------------------------------------------------------


def _check_export(change: Change) -> None:
    check_etag(change, needed=bool(change.engine.setting("exportsNeedETag", NEED_ETAG)))
    engine, properties = change.engine, change.properties
    destination = bodies.get(change.body, "properties.deliveryInfo.destination") or {}
    account = engine.store.get(str(destination.get("resourceId", "")))
    if account is None or account.type != "Microsoft.Storage/storageAccounts":
        raise checks.refused(
            "properties.deliveryInfo.destination.resourceId", destination.get("resourceId"),
            "It must be the id of a storage account that exists.",
        )  # fmt: skip
    schedule = properties.get("schedule") or {}
    if schedule.get("recurrence") is None:
        return
    start, end = (moment(bodies.get(schedule, f"recurrencePeriod.{name}")) for name in ("from", "to"))
    if start is None or (end is not None and end <= start):
        raise checks.refused(
            "properties.schedule.recurrencePeriod",
            schedule.get("recurrencePeriod"),
            "It has a from, and a to after it.",
        )
    properties["nextRunTimeEstimate"] = start.isoformat().replace("+00:00", "Z")


def _run(call: Call, export: Resource) -> Answer:
    """POST run: the run is seen in the history while it goes on."""
    engine = call.engine
    runs = export.internal.setdefault("runs", [])
    runs.append({"id": engine.guid(), "at": engine.now, "by": call.principal.name or call.principal.object_id,
                 "seconds": engine.jittered(RUN_SECONDS, export.id, str(len(runs)))})  # fmt: skip
    del runs[:-RUNS_KEPT]
    engine.store.save(export)
    return Answer(200)


def _history(call: Call) -> Answer:
    export = call.engine.require(parse(call.path.parent))
    runs = [_shown(call.engine, export, run) for run in reversed(export.internal.get("runs") or [])]
    return Answer(200, {"value": runs})


def _shown(engine: Engine, export: Resource, run: dict[str, Any]) -> dict[str, Any]:
    began, ends = run["at"] + QUEUED_SECONDS, run["at"] + QUEUED_SECONDS + run["seconds"]
    status = "Queued" if engine.now < began else "InProgress" if engine.now < ends else "Completed"
    properties: dict[str, Any] = {
        "executionType": "OnDemand", "status": status, "submittedBy": run["by"],
        "submittedTime": engine.clock.iso(run["at"]), "runSettings": export.properties,
    }  # fmt: skip
    if status != "Queued":
        properties["processingStartTime"] = engine.clock.iso(began)
    if status == "Completed":
        destination = export.properties["deliveryInfo"]["destination"]
        folder = str(destination.get("rootFolderPath", "")).strip("/")
        properties |= {
            "processingEndTime": engine.clock.iso(ends),
            "fileName": "/".join(filter(None, (folder, export.name, f"{export.name}_{run['id']}.csv"))),
        }
    return {"id": f"{export.id}/run/{run['id']}", "name": run["id"], "type": f"{EXPORT}/run", "properties": properties}


# -- queries ---------------------------------------------------------------------------------------------------------


def _query(call: Call) -> Answer:
    """POST query and forecast: the columns that were asked for."""
    engine, body = call.engine, call.body if isinstance(call.body, dict) else {}
    scope = call.path.scope
    if not engine.exists(scope):
        engine.require(parse(scope))
    dataset = body.get("dataset") or body.get("dataSet")
    if not isinstance(dataset, dict) or not body.get("type") or not body.get("timeframe"):
        raise errors.bad_request("BadRequest", "A query has a type, a timeframe and a dataset.")
    period = body.get("timePeriod") or {}
    if body["timeframe"] == "Custom" and (moment(period.get("from")) is None or moment(period.get("to")) is None):
        raise errors.bad_request("BadRequest", "A query with the timeframe 'Custom' has a timePeriod of from and to.")
    name = engine.guid()
    return Answer(200, {
        "id": f"{scope.strip('/')}/providers/Microsoft.CostManagement/query/{name}", "name": name,
        "type": "Microsoft.CostManagement/query", "location": None, "sku": None, "eTag": None,
        "properties": {"nextLink": None, "columns": _columns(dataset), "rows": []},
    })  # fmt: skip


def _columns(dataset: dict[str, Any]) -> list[dict[str, str]]:
    aggregation = dataset.get("aggregation")
    columns = [
        {"name": str(one.get("name", alias)) if alias == "totalCost" else str(alias), "type": "Number"}
        for alias, one in (aggregation.items() if isinstance(aggregation, dict) else ())
        if isinstance(one, dict)
    ] or [{"name": "PreTaxCost", "type": "Number"}]
    match str(dataset.get("granularity", "None")):
        case "Daily":
            columns.append({"name": "UsageDate", "type": "Number"})
        case "Monthly":
            columns.append({"name": "BillingMonth", "type": "Datetime"})
    columns += [{"name": str(group.get("name")), "type": "String"} for group in checks.items(dataset.get("grouping"))]
    return [*columns, {"name": "Currency", "type": "String"}]


def _dimensions(call: Call) -> Answer:
    """GET dimensions: without costs there are no values to group by."""
    del call
    return Answer(200, {"value": []})


PROVIDER = Provider(
    namespace="Microsoft.CostManagement",
    types=(
        ResourceType(
            name=EXPORT, protocol=SYNCHRONOUS, location=None, tags=False, extension=True, has_state=False,
            etag="plain", delete_missing=404, delete_first=10,
            required=("properties.definition.type", "properties.definition.timeframe",
                      "properties.deliveryInfo.destination.container"),
            defaults={"properties.format": "Csv"},
            read_only=("properties.nextRunTimeEstimate", "properties.runHistory"),
            actions={"run": Action(run=_run)}, loose=("Microsoft.Storage/storageAccounts",),
            check=checks.all_of(
                checks.choice("properties.definition.type", DEFINITIONS),
                checks.choice("properties.definition.timeframe", TIMEFRAMES),
                checks.choice("properties.format", ("Csv", "Parquet")),
                checks.choice("properties.schedule.status", ("Active", "Inactive")),
                checks.choice("properties.schedule.recurrence", RECURRENCES), _check_export),
            view=show_etag, depth="its storage account must exist; runs are queued, go on, and write no file",
        ),
    ),
    functions={
        ("GET", f"{EXPORT}/runHistory"): _history,
        ("POST", "Microsoft.CostManagement/query"): _query,
        ("POST", "Microsoft.CostManagement/forecast"): _query,
        ("GET", "Microsoft.CostManagement/dimensions"): _dimensions,
    },
)  # fmt: skip
