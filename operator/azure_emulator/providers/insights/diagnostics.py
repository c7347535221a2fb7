"""Diagnostic settings of any resource and of subscriptions, and which log categories a type has.

No log is written anywhere; the categories are those that clients ask for most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import checks
from azure_emulator.providers.insights.names import ACTIVITY_CATEGORIES, CATEGORIES, DIAGNOSTICS
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.store import Resource
    from azure_emulator.types import Call, Change

SINKS = ("workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId")
SETTINGS_ALLOWED = 5  # per resource (azure-docs, diagnostic settings)

# Categories of logs and of metrics by type.
_ALL, _STORAGE = ("AllMetrics",), ("Transaction", "Capacity", "AllMetrics")
KNOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "microsoft.resources/subscriptions": (ACTIVITY_CATEGORIES, ()),
    "microsoft.keyvault/vaults": (("AuditEvent", "AzurePolicyEvaluationDetails"), _ALL),
    "microsoft.network/networksecuritygroups": (("NetworkSecurityGroupEvent", "NetworkSecurityGroupRuleCounter"), ()),
    "microsoft.network/virtualnetworks": (("VMProtectionAlerts",), _ALL),
    "microsoft.network/publicipaddresses": (
        ("DDoSProtectionNotifications", "DDoSMitigationFlowLogs", "DDoSMitigationReports"), _ALL),
    "microsoft.network/bastionhosts": (("BastionAuditLogs",), _ALL),
    "microsoft.network/virtualnetworkgateways": (
        ("GatewayDiagnosticLog", "TunnelDiagnosticLog", "RouteDiagnosticLog", "IKEDiagnosticLog",
         "P2SDiagnosticLog"), _ALL),
    "microsoft.network/loadbalancers": (("LoadBalancerHealthEvent",), _ALL),
    "microsoft.network/natgateways": ((), _ALL),
    "microsoft.network/networkinterfaces": ((), _ALL),
    "microsoft.compute/virtualmachines": ((), _ALL),
    "microsoft.compute/virtualmachinescalesets": ((), _ALL),
    "microsoft.storage/storageaccounts": ((), _STORAGE),
    "microsoft.storage/storageaccounts/blobservices": (("StorageRead", "StorageWrite", "StorageDelete"), _STORAGE),
    "microsoft.storage/storageaccounts/fileservices": (("StorageRead", "StorageWrite", "StorageDelete"), _STORAGE),
    "microsoft.netapp/netappaccounts/capacitypools/volumes": (("ANFFileAccess",), _ALL),
    "microsoft.storagecache/amlfilesystems": (("AmlfsAuditEvent",), _ALL),
    "microsoft.dbformysql/flexibleservers": (("MySqlSlowLogs", "MySqlAuditLogs"), _ALL),
    "microsoft.operationalinsights/workspaces": (("Audit", "SummaryLogs", "Jobs"), _ALL),
    "microsoft.dashboard/grafana": (("GrafanaLoginEvents", "GrafanaUsageInsightsEvents"), _ALL),
}  # fmt: skip
GROUPS = ("allLogs", "audit")


def _check(change: Change) -> None:
    properties = change.properties
    sinks = [str(properties[name]) for name in SINKS if properties.get(name)]
    if not sinks:
        raise errors.bad_request("BadRequest", "At least one data sink needs to be specified.")
    logs, metrics = _known(change.path.scope)
    for kind, known in (("logs", logs), ("metrics", metrics)):
        for item in checks.items(properties.setdefault(kind, [])):
            _check_category(item, known, kind)
    others = [one for one in change.engine.store.children(change.path.scope, DIAGNOSTICS) if one.key != change.path.key]
    if len(others) >= SETTINGS_ALLOWED:
        raise errors.conflict(
            "Conflict", f"The limit of {SETTINGS_ALLOWED} diagnostic settings was reached. To create new diagnostic "
            "setting you will need to delete an existing one.",
        )  # fmt: skip
    for other in others:
        _check_sinks(properties, sinks, other)


def _known(scope: str) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Categories of a type; None where the table does not know it: then any will do."""
    return KNOWN.get(parse(scope).type_name.lower(), (None, None))


def _check_category(item: dict[str, Any], known: tuple[str, ...] | None, kind: str) -> None:
    category, group = item.get("category"), item.get("categoryGroup")
    if (category is None) == (group is None):
        raise errors.bad_request("BadRequest", f"Each of '{kind}' has either a category or a categoryGroup.")
    name = str(category if category is not None else group)
    allowed = known if category is not None else GROUPS
    if allowed is not None and name.lower() not in {one.lower() for one in allowed}:
        raise errors.bad_request("BadRequest", f"Category '{name}' is not supported.")
    item.setdefault("enabled", False)
    item.setdefault("retentionPolicy", {"enabled": False, "days": 0})


def _check_sinks(properties: dict[str, Any], sinks: list[str], other: Resource) -> None:
    """One sink takes a category of a resource from one setting only."""
    shared = [sink for sink in sinks if sink.lower() in
              {str(other.properties[name]).lower() for name in SINKS if other.properties.get(name)}]  # fmt: skip
    taken = _enabled(other.properties) & _enabled(properties)
    if shared and taken:
        raise errors.conflict(
            "Conflict",
            f"Data sink '{shared[0]}' is already used in diagnostic setting '{other.name}' for category "
            f"'{min(taken)}'. Data sinks can't be reused in different settings on the same category for the same "
            "resource.",
        )


def _enabled(properties: dict[str, Any]) -> set[str]:
    return {
        str(item.get("category") or item.get("categoryGroup"))
        for kind in ("logs", "metrics")
        for item in checks.items(properties.get(kind))
        if item.get("enabled") is True
    }


def categories(call: Call) -> Answer:
    """The categories that a resource has, or one of them."""
    engine, scope = call.engine, call.path.scope
    if not engine.exists(scope):
        engine.require(parse(scope))
    logs, metrics = _known(scope)
    shown = [_category(scope, name, "Logs") for name in logs or ()]
    shown += [_category(scope, name, "Metrics") for name in metrics or ()]
    if not call.path.is_resource:
        return Answer(200, {"value": shown})
    found = next((one for one in shown if one["name"].lower() == call.path.name.lower()), None)
    if found is None:
        raise errors.ArmError(
            errors.NOT_FOUND, "ResourceNotFound", f"The category '{call.path.name}' was not found on '{scope}'."
        )
    return Answer(200, found)


def _category(scope: str, name: str, kind: str) -> dict[str, Any]:
    groups = ["allLogs", *(["audit"] if "udit" in name else [])] if kind == "Logs" else []
    return {"id": f"{scope}/providers/{CATEGORIES}/{name}", "type": CATEGORIES, "name": name,
            "properties": {"categoryType": kind, "categoryGroups": groups}}  # fmt: skip


TYPES = (
    ResourceType(
        name=DIAGNOSTICS, protocol=SYNCHRONOUS, put=Verb(created=200), location=None, tags=False, extension=True,
        has_state=False, required=("properties",), delete_first=10, check=_check,
        depth="needs a sink that exists, known categories, no sink twice for a category",
    ),
)  # fmt: skip
FUNCTIONS = {("GET", CATEGORIES): categories}
