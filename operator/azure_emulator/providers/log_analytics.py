"""Log Analytics (Microsoft.OperationalInsights): workspaces with their tables, keys, and life after deletion.

Knows no data: nothing is ingested, and queries are another service's. Solutions (Microsoft.OperationsManagement) are
here because they are nothing without a workspace.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers import checks
from azure_emulator.providers.protocols import SYNCHRONOUS, operation_functions
from azure_emulator.types import Action, Answer, Patch, Protocol, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource
    from azure_emulator.types import Call, Change

WORKSPACE = "Microsoft.OperationalInsights/workspaces"
TABLE = f"{WORKSPACE}/tables"
PACK = "Microsoft.OperationalInsights/queryPacks"
SOLUTION = "Microsoft.OperationsManagement/solutions"
# A workspace is followed by its own provisioning state, a table by URLs.
WORKSPACES = Protocol(name="log-analytics", retry_after=None)
TABLES = Protocol(
    name="log-analytics-tables",
    status="providers/Microsoft.OperationalInsights/locations/{location}/operationStatuses/{id}",
    result="providers/Microsoft.OperationalInsights/locations/{location}/operationResults/{id}", retry_after=15,
    percent=False,
)  # fmt: skip
CREATE_SECONDS, UPDATE_SECONDS, TABLE_SECONDS = 15.0, 5.0, 30.0  # assumptions
# A deleted workspace can be had back by creating it again for so long (azure-docs, azure-monitor/logs).
KEPT_SECONDS = 14 * 86400.0
DELETED_SETTING = "deletedWorkspaces"

SKUS = ("PerGB2018", "Free", "Standalone", "PerNode", "Standard", "Premium", "CapacityReservation", "LACluster")
RESERVATIONS = (100, 200, 300, 400, 500, 1000, 2000, 5000, 10000, 25000, 50000)
FREE_RETENTION, LOWEST_RETENTION, HIGHEST_RETENTION = 7, 30, 730
LOWEST_OF_TABLE, HIGHEST_TOTAL = 4, 4383  # twelve years
# Tables that a new workspace has; the real list has hundreds.
STANDARD_TABLES = (
    "AzureActivity", "AzureDiagnostics", "AzureMetrics", "ContainerLogV2", "Event", "Heartbeat", "InsightsMetrics",
    "KubeEvents", "Operation", "Perf", "StorageBlobLogs", "StorageFileLogs", "Syslog", "Update", "Usage",
    "VMBoundPort", "VMComputer", "VMConnection", "VMProcess",
)  # fmt: skip
# Basic logs are for some tables only; a new custom table may have any plan.
PLANS = ("Analytics", "Basic", "Auxiliary")


# -- workspaces ------------------------------------------------------------------------------------------------------


def _check_workspace(change: Change) -> None:
    engine, properties = change.engine, change.properties
    if not change.exists:
        _recover(change)
    _check_sku(change)
    _check_retention(properties, str(properties["sku"]["name"]))
    moment = engine.clock.iso(engine.now)
    old = change.old.get("sku") or {}
    changed = old.get("name") != properties["sku"]["name"]
    properties["sku"]["lastSkuUpdate"] = moment if changed else old.get("lastSkuUpdate", moment)
    features = properties.setdefault("features", {})
    for name, value in (("legacy", 0), ("searchVersion", 1), ("enableLogAccessUsingOnlyResourcePermissions", True)):
        features.setdefault(name, value)
    capping = properties.setdefault("workspaceCapping", {})
    capping.setdefault("dailyQuotaGb", -1.0)
    capping |= {"dataIngestionStatus": "RespectQuota", "quotaNextResetTime": moment}
    properties.setdefault("customerId", engine.guid())
    properties.setdefault("createdDate", moment)
    properties["modifiedDate"] = moment
    change.internal.setdefault("keys", [engine.guid(), engine.guid()])


def _recover(change: Change) -> None:
    """A workspace of a name that was deleted lately is the deleted one."""
    engine = change.engine
    deleted = engine.setting(DELETED_SETTING, {}).get(change.id.lower())
    if deleted is None or deleted["until"] < engine.now:
        return
    before = deleted["body"]
    if before["location"] != change.body["location"]:
        raise errors.conflict(
            "Conflict",
            f"The workspace '{change.path.name}' was deleted lately in location '{before['location']}' and can only be "
            "recovered there.",
        )
    for name in ("customerId", "createdDate"):
        change.properties[name] = before["properties"][name]
    change.internal["keys"] = deleted["keys"]
    engine.store.set(DELETED_SETTING, _without(engine, change.id))


def _without(engine: Engine, resource_id: str) -> dict[str, Any]:
    known: dict[str, Any] = engine.setting(DELETED_SETTING, {})
    return {key: value for key, value in known.items() if key != resource_id.lower() and value["until"] >= engine.now}


def _check_sku(change: Change) -> None:
    sku = change.properties["sku"]
    known = {name.lower(): name for name in SKUS}
    name = known.get(str(sku.get("name", "")).lower())
    if name is None:
        raise checks.refused("properties.sku.name", sku.get("name"), f"It must be one of '{', '.join(SKUS)}'.",
                             "InvalidParameter")  # fmt: skip
    sku["name"] = name
    level = sku.get("capacityReservationLevel")
    if (name == "CapacityReservation") != (level is not None) or (level is not None and level not in RESERVATIONS):
        raise checks.refused(
            "properties.sku.capacityReservationLevel", level, "A CapacityReservation, and only that, has one of "
            f"{', '.join(map(str, RESERVATIONS))}.", "InvalidParameter",
        )  # fmt: skip


def _check_retention(properties: dict[str, Any], sku: str) -> None:
    days = properties.setdefault("retentionInDays", FREE_RETENTION if sku == "Free" else LOWEST_RETENTION)
    fits = days == FREE_RETENTION if sku == "Free" else LOWEST_RETENTION <= days <= HIGHEST_RETENTION
    if not fits:
        raise errors.bad_request("InvalidParameter", "'RetentionInDays' property doesn't match the SKU limits.")


def _workspace_finished(engine: Engine, workspace: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    if engine.store.children(workspace.id, TABLE):
        return
    for name in STANDARD_TABLES:
        table = {"plan": "Analytics", "schema": _schema(name, custom=False)}
        engine.create(f"{workspace.id}/tables/{name}", {"properties": table})


def _check_workspace_delete(engine: Engine, workspace: Resource, query: Mapping[str, str]) -> None:
    kept = _without(engine, workspace.id)
    if query.get("force", "").lower() != "true":
        kept[workspace.key] = {
            "id": workspace.id, "body": workspace.body, "keys": workspace.internal["keys"],
            "until": engine.now + KEPT_SECONDS,
        }  # fmt: skip
    engine.store.set(DELETED_SETTING, kept)


def _deleted_workspaces(call: Call) -> Answer:
    engine = call.engine
    prefix = f"/subscriptions/{call.subscription}/"
    prefix += f"resourceGroups/{call.path.resource_group}/" if call.path.resource_group else ""
    shown = [
        {**one["body"], "id": one["id"], "name": one["id"].rsplit("/", 1)[-1], "type": WORKSPACE}
        for key, one in engine.setting(DELETED_SETTING, {}).items()
        if key.startswith(prefix.lower()) and one["until"] >= engine.now and engine.store.get(key) is None
    ]
    return Answer(200, {"value": shown})


def _keys(call: Call, workspace: Resource) -> dict[str, str]:
    del call
    first, second = (
        base64.b64encode(hashlib.sha512(key.encode()).digest()).decode() for key in workspace.internal["keys"]
    )
    return {"primarySharedKey": first, "secondarySharedKey": second}


def _regenerate(call: Call, workspace: Resource) -> dict[str, str]:
    engine = call.engine
    workspace.internal["keys"] = [engine.guid(), engine.guid()]
    engine.store.save(workspace)
    return _keys(call, workspace)


def _tiers(call: Call) -> Answer:
    tiers = [
        {"serviceTier": name, "enabled": True, "minimumRetention": LOWEST_RETENTION,
         "maximumRetention": HIGHEST_RETENTION, "defaultRetention": LOWEST_RETENTION, "capacityReservationLevel": 0,
         "lastSkuUpdate": call.engine.clock.iso()}
        for name in ("PerGB2018", "CapacityReservation")
    ]  # fmt: skip
    return Answer(200, tiers)


def _usages(call: Call) -> Answer:
    analysed = {
        "name": {"value": "DataAnalyzed", "localizedValue": "Data Analyzed"}, "unit": "Bytes", "currentValue": 0.0,
        "limit": -1.0, "quotaPeriod": "P1D", "nextResetTime": call.engine.clock.iso(),
    }  # fmt: skip
    return Answer(200, {"value": [analysed]})


def _no_groups(call: Call) -> Answer:
    """Groups of System Center are not emulated, so a workspace has none."""
    del call
    return Answer(200, {"value": []})


# -- tables ----------------------------------------------------------------------------------------------------------


def _check_table(change: Change) -> None:
    name, properties = change.path.name, change.properties
    custom = re.search(r"_(CL|SRCH|RST)$", name) is not None
    if not custom and name.lower() not in {known.lower() for known in STANDARD_TABLES}:
        raise errors.bad_request(
            "InvalidParameter", f"The table '{name}' is no standard table; the name of a custom table ends in '_CL'."
        )
    columns = checks.items(bodies.get(change.body, "properties.schema.columns"))
    if (
        name.endswith("_CL")
        and not change.exists
        and "timegenerated" not in {str(column.get("name", "")).lower() for column in columns}
    ):
        raise errors.bad_request(
            "InvalidParameter", f"The schema of table '{name}' must have a column 'TimeGenerated' of type dateTime."
        )
    schema = properties.setdefault("schema", {})
    for key, value in _schema(name, custom=custom).items():
        schema.setdefault(key, value)
    _keep_retention(change)


def _schema(name: str, *, custom: bool) -> dict[str, Any]:
    columns = [{"name": "TenantId", "type": "guid", "isDefaultDisplay": False, "isHidden": False}]
    if not custom:
        columns.append({"name": "TimeGenerated", "type": "datetime", "isDefaultDisplay": True, "isHidden": False})
    return {
        "name": name, "tableType": "CustomLog" if custom else "Microsoft", "standardColumns": columns,
        "tableSubType": "DataCollectionRuleBased" if custom else "Any", "solutions": ["LogManagement"],
    }  # fmt: skip


def _keep_retention(change: Change) -> None:
    """Remember what was asked for the table itself; -1 asks for the workspace's."""
    sent = change.sent.get("properties") or {}
    own = dict(change.internal.get("retention") or {}) if change.verb == "PATCH" else {}
    for name in ("retentionInDays", "totalRetentionInDays"):
        change.properties.pop(name, None)
        if name in sent:
            own[name] = None if sent[name] == -1 else sent[name]
    change.internal["retention"] = own
    shown = _retention(change.engine, change.path.parent, own)
    days, total = shown["retentionInDays"], shown["totalRetentionInDays"]
    if not LOWEST_OF_TABLE <= days <= HIGHEST_RETENTION:
        raise checks.refused(
            "properties.retentionInDays", days, f"It must be between {LOWEST_OF_TABLE} and {HIGHEST_RETENTION}.",
            "InvalidParameter",
        )  # fmt: skip
    if not days <= total <= HIGHEST_TOTAL:
        raise checks.refused(
            "properties.totalRetentionInDays", total, f"It must be between {days} and {HIGHEST_TOTAL}.",
            "InvalidParameter",
        )  # fmt: skip


def _retention(engine: Engine, workspace_id: str, own: Mapping[str, int | None]) -> dict[str, Any]:
    workspace = engine.store.get(workspace_id)
    days, total = own.get("retentionInDays"), own.get("totalRetentionInDays")
    default = workspace.properties["retentionInDays"] if workspace is not None else LOWEST_RETENTION
    shown = default if days is None else days
    whole = shown if total is None else total
    return {
        "retentionInDays": shown, "totalRetentionInDays": whole, "archiveRetentionInDays": whole - shown,
        "retentionInDaysAsDefault": days is None, "totalRetentionInDaysAsDefault": total is None,
    }  # fmt: skip


def _view_table(engine: Engine, table: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    shown["properties"] |= _retention(engine, table.parent, table.internal.get("retention") or {})


def _delete_table(call: Call) -> Answer | None:
    """Custom tables can be deleted."""
    table = call.engine.store.get(call.path.text)
    if table is not None and table.properties["schema"]["tableType"] == "Microsoft":
        raise errors.bad_request(
            "OperationNotAllowed", f"The table '{table.name}' is a standard table and cannot be deleted."
        )
    return None


# -- the types -------------------------------------------------------------------------------------------------------


def _plain(name: str, **more: Any) -> ResourceType:
    """A child without a place of its own that is done when the answer leaves."""
    settings: dict[str, Any] = {"location": None, "tags": False, "has_state": False, "depth": "storage", **more}
    return ResourceType(name=f"{WORKSPACE}/{name}", protocol=SYNCHRONOUS, **settings)


def _view_insight(engine: Engine, insight: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    """Alone among its kin it spells the member so."""
    shown["eTag"] = shown.pop("etag")


def _stamp_export(change: Change) -> None:
    moment = change.engine.clock.iso(change.engine.now)
    change.properties.setdefault("dataExportId", change.engine.guid())
    change.properties.setdefault("createdDate", moment)
    change.properties["lastModifiedDate"] = moment


TYPES = (
    ResourceType(
        name=WORKSPACE, protocol=WORKSPACES, put=Verb(seconds=CREATE_SECONDS, update_seconds=UPDATE_SECONDS),
        patch=Patch(), etag="weak",
        name_pattern=re.compile(r"^[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]$"),
        defaults={
            "properties.sku": {"name": "PerGB2018"}, "properties.publicNetworkAccessForIngestion": "Enabled",
            "properties.publicNetworkAccessForQuery": "Enabled"},
        read_only=("properties.customerId", "properties.createdDate", "properties.modifiedDate",
                   "properties.privateLinkScopedResources", "properties.sku.lastSkuUpdate"),
        actions={"sharedKeys": Action(run=_keys), "regenerateSharedKey": Action(run=_regenerate)},
        check=_check_workspace, finished=_workspace_finished, check_delete=_check_workspace_delete,
        depth="SKUs and retention, keys, standard tables; recovered within 14 days unless deleted by force",
    ),
    ResourceType(
        name=TABLE, protocol=TABLES, put=Verb(seconds=TABLE_SECONDS, created=202, updated=202),
        patch=Patch(seconds=TABLE_SECONDS, status=202), delete=Verb(seconds=TABLE_SECONDS), location=None, tags=False,
        defaults={"properties.plan": "Analytics"},
        read_only=("properties.archiveRetentionInDays", "properties.retentionInDaysAsDefault",
                   "properties.totalRetentionInDaysAsDefault", "properties.schema.tableType",
                   "properties.schema.standardColumns", "properties.lastPlanModifiedDate"),
        check=checks.all_of(checks.choice("properties.plan", PLANS, "InvalidParameter"), _check_table),
        view=_view_table, depth="standard and custom ones, plans, retention that is the workspace's unless set",
    ),
    _plain("savedSearches", put=Verb(created=200), etag="weak", delete_missing=404,
           required=("properties.category", "properties.displayName", "properties.query")),
    _plain("dataSources", etag="weak", required=("kind", "properties")),
    _plain("linkedServices", depth="what it links to must exist"),
    _plain("linkedStorageAccounts", put=Verb(created=200), delete_missing=404,
           required=("properties.storageAccountIds",), depth="the accounts must exist"),
    _plain("storageInsightConfigs", etag="weak", view=_view_insight),
    _plain("dataExports", delete_missing=404, required=("properties.tableNames", "properties.destination.resourceId"),
           read_only=("properties.dataExportId", "properties.createdDate", "properties.lastModifiedDate"),
           check=_stamp_export, depth="the destination must exist"),
    ResourceType(name=PACK, protocol=SYNCHRONOUS, put=Verb(created=200), patch=Patch(), depth="storage"),
    ResourceType(
        name=f"{PACK}/queries", protocol=SYNCHRONOUS, put=Verb(created=200), patch=Patch(), location=None, tags=False,
        has_state=False, required=("properties.displayName", "properties.body"), depth="storage",
    ),
)  # fmt: skip

PROVIDER = Provider(
    namespace="Microsoft.OperationalInsights",
    types=TYPES,
    functions={
        ("GET", "Microsoft.OperationalInsights/deletedWorkspaces"): _deleted_workspaces,
        ("GET", f"{WORKSPACE}/availableServiceTiers"): _tiers,
        ("GET", f"{WORKSPACE}/usages"): _usages,
        ("GET", f"{WORKSPACE}/managementGroups"): _no_groups,
        ("DELETE", TABLE): _delete_table,
        **operation_functions(TABLES),
    },
)
SOLUTIONS = Provider(
    namespace="Microsoft.OperationsManagement",
    types=(
        ResourceType(
            name=SOLUTION, protocol=SYNCHRONOUS, patch=Patch(allowed=frozenset({"tags"})),
            name_pattern=re.compile(r"^[A-Za-z0-9_.()\-]{1,260}$"),
            required=("plan.name", "plan.product", "properties.workspaceResourceId"), depth="its workspace must exist",
        ),
    ),
)  # fmt: skip
