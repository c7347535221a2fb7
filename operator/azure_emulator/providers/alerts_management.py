"""Microsoft.AlertsManagement: Prometheus rule groups, and the list of alerts, which is empty because nothing fires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator import errors
from azure_emulator.providers import checks
from azure_emulator.providers.monitor import ACCOUNT
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, Patch, Provider, ResourceType

if TYPE_CHECKING:
    from azure_emulator.types import Call, Change

GROUP = "Microsoft.AlertsManagement/prometheusRuleGroups"
RULES_ALLOWED = 20  # per group (azure-docs, Prometheus rule groups)
MINUTE, QUARTER = 60, 15 * 60


def _check(change: Change) -> None:
    properties = change.properties
    scopes = [str(scope) for scope in properties["scopes"]]
    if not scopes or f"/providers/{ACCOUNT}/".lower() not in scopes[0].lower():
        raise checks.refused("properties.scopes", scopes, "The first one is an Azure Monitor workspace.")
    rules = checks.items(properties["rules"])
    if not 1 <= len(rules) <= RULES_ALLOWED:
        raise checks.refused("properties.rules", len(rules), f"A group has 1 to {RULES_ALLOWED} rules.")
    for index, rule in enumerate(rules):
        at = f"properties.rules[{index}]"
        if bool(rule.get("record")) == bool(rule.get("alert")):
            raise checks.refused(at, rule.get("alert"), "A rule has either a record or an alert.")
        if not rule.get("expression"):
            raise checks.refused(f"{at}.expression", rule.get("expression"), "A rule has an expression.")
        if rule.get("record") and set(rule) & {"for", "severity", "actions", "annotations"}:
            raise checks.refused(at, rule["record"], "A recording rule has no for, severity, actions or annotations.")
        rule.setdefault("enabled", True)


def _alerts(call: Call) -> Answer:
    if call.path.is_resource:
        raise errors.resource_not_found(call.path.type_name, call.path.name, "")
    return Answer(200, {"value": []})


PROVIDER = Provider(
    namespace="Microsoft.AlertsManagement",
    types=(
        ResourceType(
            name=GROUP, protocol=SYNCHRONOUS, patch=Patch(allowed=frozenset({"tags", "properties.enabled"})),
            has_state=False, required=("properties.scopes", "properties.rules"),
            defaults={"properties.enabled": True, "properties.interval": "PT1M"},
            check=checks.all_of(checks.duration("properties.interval", MINUTE, QUARTER), _check),
            depth="recording and alerting rules; its Monitor workspace and action groups must exist; never fires",
        ),
    ),
    functions={("GET", "Microsoft.AlertsManagement/alerts"): _alerts},
)  # fmt: skip
