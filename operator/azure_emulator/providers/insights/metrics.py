"""Metric definitions of resources, and metrics without values: nothing is measured here."""

from __future__ import annotations

from typing import Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.insights.names import ACTIVITY_CATEGORIES
from azure_emulator.types import Answer, Call

# Name, unit and primary aggregation of the metrics that HPC dashboards and alerts name most.
METRICS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "microsoft.compute/virtualmachines": (
        ("Percentage CPU", "Percent", "Average"), ("Network In Total", "Bytes", "Total"),
        ("Network Out Total", "Bytes", "Total"), ("Disk Read Bytes", "Bytes", "Total"),
        ("Disk Write Bytes", "Bytes", "Total"), ("Available Memory Bytes", "Bytes", "Average"),
        ("VmAvailabilityMetric", "Count", "Average"), ("OS Disk IOPS Consumed Percentage", "Percent", "Average")),
    "microsoft.compute/virtualmachinescalesets": (
        ("Percentage CPU", "Percent", "Average"), ("Available Memory Bytes", "Bytes", "Average"),
        ("Network In Total", "Bytes", "Total"), ("Network Out Total", "Bytes", "Total")),
    "microsoft.storage/storageaccounts": (
        ("UsedCapacity", "Bytes", "Average"), ("Transactions", "Count", "Total"), ("Ingress", "Bytes", "Total"),
        ("Egress", "Bytes", "Total"), ("Availability", "Percent", "Average")),
    "microsoft.netapp/netappaccounts/capacitypools": (
        ("VolumePoolAllocatedSize", "Bytes", "Average"), ("VolumePoolTotalLogicalSize", "Bytes", "Average")),
    "microsoft.netapp/netappaccounts/capacitypools/volumes": (
        ("VolumeLogicalSize", "Bytes", "Average"), ("VolumeConsumedSizePercentage", "Percent", "Average"),
        ("ReadIops", "CountPerSecond", "Average"), ("WriteIops", "CountPerSecond", "Average"),
        ("AverageReadLatency", "MilliSeconds", "Average"), ("AverageWriteLatency", "MilliSeconds", "Average")),
    "microsoft.storagecache/amlfilesystems": (
        ("OSTBytesAvailable", "Bytes", "Average"), ("OSTBytesUsed", "Bytes", "Average"),
        ("OSTBytesTotal", "Bytes", "Average"), ("ClientReadThroughput", "BytesPerSecond", "Average"),
        ("ClientWriteThroughput", "BytesPerSecond", "Average")),
    "microsoft.dbformysql/flexibleservers": (
        ("cpu_percent", "Percent", "Average"), ("memory_percent", "Percent", "Average"),
        ("storage_percent", "Percent", "Average"), ("active_connections", "Count", "Average")),
    "microsoft.network/natgateways": (
        ("ByteCount", "Bytes", "Total"), ("SNATConnectionCount", "Count", "Total"),
        ("DatapathAvailability", "Count", "Average")),
    "microsoft.monitor/accounts": (
        ("ActiveTimeSeries", "Count", "Maximum"), ("EventsPerMinuteIngested", "Count", "Maximum")),
}  # fmt: skip
_AGGREGATIONS = ["None", "Average", "Minimum", "Maximum", "Total", "Count"]
_GRAINS = ("PT1M", "PT5M", "PT15M", "PT30M", "PT1H", "PT6H", "PT12H", "P1D")


def definitions(call: Call) -> Answer:
    """GET metricDefinitions of a resource."""
    scope, known = _metrics_of(call)
    shown = [
        {
            "id": f"{scope}/providers/microsoft.insights/metricdefinitions/{name}", "resourceId": scope,
            "namespace": parse(scope).type_name, "name": {"value": name, "localizedValue": name},
            "isDimensionRequired": False, "unit": unit, "primaryAggregationType": aggregation,
            "supportedAggregationTypes": _AGGREGATIONS,
            "metricAvailabilities": [{"timeGrain": grain, "retention": "P93D"} for grain in _GRAINS],
        }
        for name, unit, aggregation in known
    ]  # fmt: skip
    return Answer(200, {"value": shown})


def namespaces(call: Call) -> Answer:
    """GET metricNamespaces of a resource."""
    scope, _ = _metrics_of(call)
    name = parse(scope).type_name
    shown = {
        "id": f"{scope}/providers/microsoft.insights/metricNamespaces/{name}", "name": name,
        "type": "Microsoft.Insights/metricNamespaces", "classification": "Platform",
        "properties": {"metricNamespaceName": name},
    }  # fmt: skip
    return Answer(200, {"value": [shown]})


def values(call: Call) -> Answer:
    """GET metrics of a resource: those that were asked for, with no values."""
    scope, known = _metrics_of(call)
    path = parse(scope)
    by_name = {name.lower(): (name, unit) for name, unit, _ in known}
    asked = [one for one in call.query.get("metricnames", "").split(",") if one] or [name for name, _, _ in known[:1]]
    unknown = [one for one in asked if one.lower() not in by_name]
    if unknown:
        raise errors.bad_request(
            "BadRequest",
            f"Failed to find metric configuration for provider: {path.namespace}, resource Type: "
            f"{'/'.join(path.types)}, metric: {unknown[0]}, Valid metrics: {','.join(name for name, _, _ in known)}",
        )
    shown = [_metric(scope, *by_name[one.lower()]) for one in asked]
    resource = call.engine.store.get(scope)
    moment = call.engine.clock.iso(call.engine.now)
    return Answer(200, {
        "cost": 0, "timespan": call.query.get("timespan", f"{moment}/{moment}"),
        "interval": call.query.get("interval", "PT1M"), "value": shown, "namespace": path.type_name,
        "resourceregion": resource.location if resource is not None else "",
    })  # fmt: skip


def _metric(scope: str, name: str, unit: str) -> dict[str, Any]:
    return {
        "id": f"{scope}/providers/Microsoft.Insights/metrics/{name}", "type": "Microsoft.Insights/metrics",
        "name": {"value": name, "localizedValue": name}, "displayDescription": name, "unit": unit, "timeseries": [],
        "errorCode": "Success",
    }  # fmt: skip


def _metrics_of(call: Call) -> tuple[str, tuple[tuple[str, str, str], ...]]:
    scope = call.path.scope
    if not call.engine.exists(scope):
        call.engine.require(parse(scope))
    return scope, METRICS.get(parse(scope).type_name.lower(), ())


def event_categories(call: Call) -> Answer:
    """GET eventcategories: those of the activity log."""
    del call
    return Answer(200, {"value": [{"value": name, "localizedValue": name} for name in ACTIVITY_CATEGORIES]})


FUNCTIONS = {
    ("GET", "Microsoft.Insights/metricDefinitions"): definitions,
    ("GET", "Microsoft.Insights/metricNamespaces"): namespaces,
    ("GET", "Microsoft.Insights/metrics"): values,
    ("GET", "Microsoft.Insights/eventcategories"): event_categories,
}
