"""Alert rules, the action groups that they call, and autoscale settings. They are kept and checked, and never fire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import checks
from azure_emulator.providers.insights.names import (
    ACTION_GROUP,
    ACTIVITY_ALERT,
    AUTOSCALE,
    METRIC_ALERT,
    QUERY_ALERT,
)
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Action, Answer, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.store import Resource
    from azure_emulator.types import Call, Change

SHORT_NAME_LENGTH = 12
FREQUENCIES = ("PT1M", "PT5M", "PT15M", "PT30M", "PT1H")
WINDOWS = (*FREQUENCIES, "PT6H", "PT12H", "P1D")
RECEIVERS = (
    "emailReceivers", "smsReceivers", "webhookReceivers", "itsmReceivers", "azureAppPushReceivers",
    "automationRunbookReceivers", "voiceReceivers", "logicAppReceivers", "azureFunctionReceivers", "armRoleReceivers",
    "eventHubReceivers",
)  # fmt: skip
# Receivers that people must agree to, with their state.
_SUBSCRIBED = ("emailReceivers", "smsReceivers")
DAY = 86400


# -- action groups ---------------------------------------------------------------------------------------------------


def _check_action_group(change: Change) -> None:
    properties = change.properties
    if len(str(properties["groupShortName"])) > SHORT_NAME_LENGTH:
        raise checks.refused(
            "properties.groupShortName", properties["groupShortName"], f"It has at most {SHORT_NAME_LENGTH} characters."
        )
    names: set[str] = set()
    for kind in RECEIVERS:
        for receiver in checks.items(properties.setdefault(kind, [])):
            name = str(receiver.get("name", ""))
            if not name or name.lower() in names:
                raise checks.refused(f"properties.{kind}", name, "Receivers of an action group have unique names.")
            names.add(name.lower())
            if kind in _SUBSCRIBED:
                receiver.setdefault("status", "Enabled")
    for receiver in checks.items(properties["emailReceivers"]):
        if "@" not in str(receiver.get("emailAddress", "")):
            raise checks.refused("properties.emailReceivers", receiver.get("emailAddress"), "It must be an address.")


def _subscribe(call: Call, group: Resource) -> Answer:
    """A receiver that had enough agrees again."""
    name = str(call.body.get("receiverName", "")) if isinstance(call.body, dict) else ""
    for kind in _SUBSCRIBED:
        for receiver in checks.items(group.properties[kind]):
            if receiver["name"].lower() == name.lower():
                if receiver["status"] == "Enabled":
                    raise errors.conflict("Conflict", f"The receiver '{name}' is enabled already.")
                receiver["status"] = "Enabled"
                call.engine.store.save(group)
                return Answer(200)
    raise errors.ArmError(errors.NOT_FOUND, "ReceiverNotFound", f"The action group has no receiver '{name}'.")


# -- alert rules -----------------------------------------------------------------------------------------------------


def _check_window(change: Change) -> None:
    frequency, window = (checks.seconds(change.properties.get(name)) for name in ("evaluationFrequency", "windowSize"))
    if frequency is not None and window is not None and window < frequency:
        raise checks.refused(
            "properties.windowSize", change.properties["windowSize"], "It is not shorter than the evaluationFrequency."
        )


def _check_criteria(change: Change) -> None:
    criteria = change.properties["criteria"]
    conditions = checks.items(criteria.get("allOf")) if isinstance(criteria, dict) else []
    if not conditions and "webTestId" not in criteria:
        raise checks.refused("properties.criteria", criteria, "It has at least one condition in allOf.")
    names = [str(one.get("name")) for one in conditions if one.get("name") is not None]
    if len(names) != len(set(names)):
        raise checks.refused("properties.criteria", criteria, "Its conditions have unique names.")
    change.properties["lastUpdatedTime"] = change.engine.clock.iso(change.engine.now)


def _check_query(change: Change) -> None:
    properties = change.properties
    change.body["kind"] = change.body.get("kind") or "LogAlert"
    if change.body["kind"] == "LogAlert":
        for name in ("severity", "evaluationFrequency", "windowSize"):
            if properties.get(name) is None:
                raise checks.refused(f"properties.{name}", None, "A rule of kind LogAlert needs it.")
        properties.setdefault("autoMitigate", True)
    properties["createdWithApiVersion"] = change.old.get("createdWithApiVersion") or change.api_version
    properties |= {"isLegacyLogAnalyticsRule": False, "isWorkspaceAlertsStorageConfigured": False}


def _check_activity_condition(change: Change) -> None:
    condition = change.properties["condition"]
    parts = checks.items(condition.get("allOf")) if isinstance(condition, dict) else []
    if not any(str(part.get("field", "")).lower() == "category" for part in parts):
        raise checks.refused("properties.condition", condition, "One of its allOf is about the field 'category'.")


def metric_alert_status(call: Call) -> Answer:
    """GET …/status: nothing ever fires."""
    engine = call.engine
    rule = engine.require(parse(f"{call.path.scope}/providers/{METRIC_ALERT}/{call.path.names[0]}"))
    status = {
        "name": "status", "id": f"{rule.id}/status", "type": f"{METRIC_ALERT}/status",
        "properties": {"dimensions": {}, "status": "Healthy", "timestamp": engine.clock.iso(engine.now)},
    }  # fmt: skip
    return Answer(200, {"value": [status]})


# -- autoscale -------------------------------------------------------------------------------------------------------


def _check_autoscale(change: Change) -> None:
    properties = change.properties
    properties["name"] = properties.get("name") or change.path.name
    for profile in checks.items(properties["profiles"]):
        capacity: Any = profile.get("capacity") or {}
        numbers = [str(capacity.get(name, "")) for name in ("minimum", "default", "maximum")]
        if not all(number.isdecimal() for number in numbers) or sorted(map(int, numbers)) != [*map(int, numbers)]:
            raise checks.refused(
                "properties.profiles.capacity", capacity, "Its minimum, default and maximum are numbers in this order."
            )


_REQUIRED_OF_METRIC_ALERT = tuple(
    f"properties.{name}" for name in ("severity", "enabled", "scopes", "evaluationFrequency", "windowSize", "criteria")
)

TYPES = (
    ResourceType(
        name=ACTION_GROUP, protocol=SYNCHRONOUS, location="global",
        patch=Patch(allowed=frozenset({"tags", "properties.enabled"})), has_state=False,
        required=("properties.groupShortName",), defaults={"properties.enabled": True},
        actions={"subscribe": Action(run=_subscribe)}, check=_check_action_group,
        depth="short name, unique receivers, addresses",
    ),
    ResourceType(
        name=METRIC_ALERT, protocol=SYNCHRONOUS, put=Verb(created=200), location="global",
        patch=Patch(), has_state=False, required=_REQUIRED_OF_METRIC_ALERT,
        defaults={"properties.autoMitigate": True}, read_only=("properties.lastUpdatedTime", "properties.isMigrated"),
        check=checks.all_of(
            checks.number("properties.severity", 0, 4), checks.not_empty("properties.scopes"),
            checks.choice("properties.evaluationFrequency", FREQUENCIES),
            checks.choice("properties.windowSize", WINDOWS), _check_window, _check_criteria),
        depth="severity, frequency and window, scopes and action groups must exist; never fires",
    ),
    ResourceType(
        name=QUERY_ALERT, protocol=SYNCHRONOUS, patch=Patch(), has_state=False, etag="weak",
        required=("properties.scopes", "properties.criteria"), defaults={"properties.enabled": True},
        read_only=("properties.createdWithApiVersion", "properties.isLegacyLogAnalyticsRule",
                   "properties.isWorkspaceAlertsStorageConfigured"),
        check=checks.all_of(
            checks.choice("kind", ("LogAlert", "LogToMetric", "SimpleLogAlert")),
            checks.number("properties.severity", 0, 4), checks.not_empty("properties.scopes"),
            checks.duration("properties.evaluationFrequency", 60, DAY),
            checks.duration("properties.windowSize", 60, 2 * DAY), _check_window, _check_query),
        depth="kinds, severity, frequency and window, scopes must exist; never fires",
    ),
    ResourceType(
        name=ACTIVITY_ALERT, protocol=SYNCHRONOUS, location="global", has_state=False,
        patch=Patch(allowed=frozenset({"tags", "properties.enabled"})),
        required=("properties.scopes", "properties.condition", "properties.actions"),
        defaults={"properties.enabled": True},
        check=checks.all_of(checks.not_empty("properties.scopes"), _check_activity_condition),
        depth="needs a category; scopes and action groups must exist; never fires",
    ),
    ResourceType(
        name=AUTOSCALE, protocol=SYNCHRONOUS, patch=Patch(), has_state=False,
        required=("properties.profiles",), defaults={"properties.enabled": False}, check=_check_autoscale,
        depth="capacities, its target must exist; never scales",
    ),
)  # fmt: skip
FUNCTIONS = {("GET", f"{METRIC_ALERT}/status"): metric_alert_status}
