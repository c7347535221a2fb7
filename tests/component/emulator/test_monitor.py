"""Monitoring and cost: what refers to what, what Azure adds and refuses, and what is seen in the activity log."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.consumption import ConsumptionManagementClient
from azure.mgmt.costmanagement import CostManagementClient
from azure.mgmt.dashboard import DashboardManagementClient
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.monitor import MonitorManagementClient
from azure.mgmt.prometheusrulegroups import PrometheusRuleGroupsMgmtClient

from azure_emulator import SUBSCRIPTION

from .conftest import SCOPE, PlainHttp, StaticCredential

LOCATION = {"location": "westeurope"}
GLOBAL = {"location": "Global"}
WHOLE = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{WHOLE}/resourceGroups/rg"
INSIGHTS = f"{GROUP}/providers/Microsoft.Insights"
WORKSPACE = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/logs"
NSG = f"{GROUP}/providers/Microsoft.Network/networkSecurityGroups/nsg"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/climate4711"
STORAGE = {**LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "properties": {}}


def client(kind, url, *, subscription=True):
    credential = StaticCredential()
    return kind(
        credential, *([SUBSCRIPTION] if subscription else []), base_url=url, credential_scopes=[SCOPE],
        authentication_policy=PlainHttp(credential, SCOPE), retry_total=0,
    )  # fmt: skip


def refusal(error):
    return error.value.status_code, error.value.error.code


def wait_until(holds):
    """What the emulator does by itself is over in a moment on a fast clock."""
    for _ in range(200):
        if holds():
            return
        time.sleep(0.02)
    pytest.fail("it did not happen")


@pytest.fixture(scope="module")
def monitor(sdk):
    return client(MonitorManagementClient, sdk.url)


@pytest.fixture
def logs(sdk, group):
    """A workspace, by the SDK."""
    return client(LogAnalyticsManagementClient, sdk.url).workspaces.begin_create_or_update(
        group, "logs", LOCATION
    ).result()  # fmt: skip


# -- workspaces ------------------------------------------------------------------------------------------------------


def test_monitor_workspaces_bring_a_group_of_their_own(sdk, monitor, group):
    accounts = monitor.azure_monitor_workspaces
    account = accounts.create(group, "metrics", LOCATION)
    assert account.metrics.prometheus_query_endpoint.endswith(".westeurope.prometheus.monitor.azure.com")
    settings = account.default_ingestion_settings
    managed = "MA_metrics_westeurope_managed"
    assert settings.data_collection_rule_resource_id.split("/")[4] == managed
    assert sdk.resources.resource_groups.get(managed).managed_by == account.id
    rule = monitor.data_collection_rules.get(managed, "metrics")
    assert rule.data_collection_endpoint_id == settings.data_collection_endpoint_resource_id
    assert rule.destinations.monitoring_accounts[0].account_id == account.account_id
    assert accounts.update(group, "metrics", {"tags": {"a": "b"}}).tags == {"a": "b"}
    assert [one.name for one in accounts.list_by_resource_group(group)] == ["metrics"]
    accounts.begin_delete(group, "metrics").result()
    with pytest.raises(ResourceNotFoundError):
        accounts.get(group, "metrics")
    wait_until(lambda: not sdk.resources.resource_groups.check_existence(managed))


def test_grafana(sdk, monitor, group):
    account = monitor.azure_monitor_workspaces.create(group, "metrics", LOCATION)
    grafana = client(DashboardManagementClient, sdk.url).grafana
    integrations = {"azureMonitorWorkspaceIntegrations": [{"azureMonitorWorkspaceResourceId": account.id}]}
    body = {**LOCATION, "sku": {"name": "Standard"}, "identity": {"type": "SystemAssigned"},
            "properties": {"grafanaIntegrations": integrations}}  # fmt: skip
    made = grafana.begin_create(group, "boards", body).result()
    assert made.properties.endpoint.startswith("https://boards-")
    assert (made.properties.api_key, made.identity.principal_id is not None) == ("Disabled", True)
    changed = grafana.begin_update(group, "boards", {"properties": {"apiKey": "Enabled"}}).result()
    assert changed.properties.api_key == "Enabled"
    with pytest.raises(HttpResponseError) as error:
        grafana.begin_create(group, "x" * 24, body)
    assert refusal(error) == (400, "InvalidResourceName")
    with pytest.raises(HttpResponseError) as error:
        grafana.begin_create(group, "other", {**body, "sku": {"name": "Gold"}})
    assert refusal(error) == (400, "BadRequest")
    integrations["azureMonitorWorkspaceIntegrations"][0]["azureMonitorWorkspaceResourceId"] += "-none"
    with pytest.raises(HttpResponseError) as error:
        grafana.begin_create(group, "other", body)
    assert refusal(error) == (400, "InvalidResourceReference")
    grafana.begin_delete(group, "boards").result()


def test_log_analytics(sdk, group, logs):
    analytics = client(LogAnalyticsManagementClient, sdk.url)
    assert (logs.sku.name, logs.retention_in_days, logs.provisioning_state) == ("PerGB2018", 30, "Succeeded")
    keys = analytics.shared_keys.get_shared_keys(group, "logs")
    assert keys.primary_shared_key != keys.secondary_shared_key
    assert analytics.shared_keys.regenerate(group, "logs").primary_shared_key != keys.primary_shared_key
    changed = analytics.workspaces.update(group, "logs", {"properties": {"retentionInDays": 90}})
    assert (changed.retention_in_days, changed.customer_id) == (90, logs.customer_id)
    tables = analytics.tables
    assert {"Heartbeat", "Syslog", "Perf"} <= {one.name for one in tables.list_by_workspace(group, "logs")}
    columns = [{"name": "TimeGenerated", "type": "dateTime"}, {"name": "job", "type": "string"}]
    custom = {"properties": {"schema": {"name": "Jobs_CL", "columns": columns}, "totalRetentionInDays": 365}}
    made = tables.begin_create_or_update(group, "logs", "Jobs_CL", custom).result()
    assert (made.retention_in_days, made.total_retention_in_days, made.archive_retention_in_days) == (90, 365, 275)
    assert (made.retention_in_days_as_default, made.schema.table_type) == (True, "CustomLog")
    made = tables.begin_update(group, "logs", "Jobs_CL", {"properties": {"retentionInDays": 30}}).result()
    assert (made.retention_in_days, made.total_retention_in_days) == (30, 365)
    tables.begin_delete(group, "logs", "Jobs_CL").result()
    for name, body in (
        ("Jobs", custom), ("Other_CL", {"properties": {"schema": {"name": "Other_CL", "columns": columns[1:]}}})
    ):  # fmt: skip
        with pytest.raises(HttpResponseError) as error:
            tables.begin_create_or_update(group, "logs", name, body)
        assert refusal(error) == (400, "InvalidParameter")
    with pytest.raises(HttpResponseError):
        tables.begin_delete(group, "logs", "Heartbeat")
    search = {"properties": {"category": "HPC", "displayName": "Nodes", "query": "Heartbeat"}}
    assert analytics.saved_searches.create_or_update(group, "logs", "nodes", search).query == "Heartbeat"
    analytics.saved_searches.delete(group, "logs", "nodes")


def test_a_deleted_workspace_comes_back_by_its_name(sdk, group, logs):
    analytics = client(LogAnalyticsManagementClient, sdk.url)
    workspaces = analytics.workspaces
    workspaces.begin_delete(group, "logs").result()
    assert [one.name for one in analytics.deleted_workspaces.list_by_resource_group(group)] == ["logs"]
    again = workspaces.begin_create_or_update(group, "logs", LOCATION).result()
    assert again.customer_id == logs.customer_id
    workspaces.begin_delete(group, "logs", force=True).result()
    assert not list(analytics.deleted_workspaces.list_by_resource_group(group))
    again = workspaces.begin_create_or_update(group, "logs", LOCATION).result()
    assert again.customer_id != logs.customer_id
    workspaces.begin_delete(group, "logs", force=True).result()


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"retentionInDays": 29}, "'RetentionInDays' property doesn't match the SKU limits."),
        ({"retentionInDays": 731}, "'RetentionInDays' property doesn't match the SKU limits."),
        ({"sku": {"name": "Free"}, "retentionInDays": 30}, "'RetentionInDays' property doesn't match the SKU limits."),
        ({"sku": {"name": "Gold"}}, "The value 'Gold' of property 'sku.name' is not valid."),
        ({"sku": {"name": "CapacityReservation"}}, "The value 'None' of property 'sku.capacityReservationLevel'"),
    ],
)
async def test_workspaces_that_are_refused(http, properties, text):
    status, document, _ = await http.call("PUT", WORKSPACE, {**LOCATION, "properties": properties})
    assert (status, document["error"]["code"]) == (400, "InvalidParameter")
    assert document["error"]["message"].startswith(text)


async def test_solutions_need_a_workspace(http):
    solution = f"{GROUP}/providers/Microsoft.OperationsManagement/solutions/VMInsights(logs)"
    plan = {"name": "VMInsights(logs)", "product": "OMSGallery/VMInsights", "publisher": "Microsoft",
            "promotionCode": ""}  # fmt: skip
    body = {**LOCATION, "plan": plan, "properties": {"workspaceResourceId": WORKSPACE}}
    assert await http.code("PUT", solution, body) == (400, "InvalidResourceReference")
    await http.done(WORKSPACE, LOCATION)
    await http.put(solution, body)


# -- data collection -------------------------------------------------------------------------------------------------


def rule(workspace, **more):
    return {**LOCATION, "kind": "Linux", "properties": {
        "dataSources": {"syslog": [{"name": "sys", "streams": ["Microsoft-Syslog"], "facilityNames": ["*"],
                                    "logLevels": ["Warning"]}]},
        "destinations": {"logAnalytics": [{"name": "main", "workspaceResourceId": workspace}]},
        "dataFlows": [{"streams": ["Microsoft-Syslog"], "destinations": ["main"]}], **more}}  # fmt: skip


def test_data_collection(sdk, monitor, group, logs):
    endpoint = monitor.data_collection_endpoints.create(group, "endpoint", {**LOCATION, "properties": {}})
    assert endpoint.logs_ingestion.endpoint.startswith("https://endpoint-")
    assert endpoint.network_acls.public_network_access == "Enabled"
    body = rule(logs.id, dataCollectionEndpointId=endpoint.id)
    made = monitor.data_collection_rules.create(group, "rule", body)
    assert made.immutable_id.startswith("dcr-")
    assert made.destinations.log_analytics[0].workspace_id == logs.customer_id
    assert monitor.data_collection_rules.create(group, "rule", body).immutable_id == made.immutable_id
    identity = sdk.identity.user_assigned_identities.create_or_update(group, "id", LOCATION)
    associations = monitor.data_collection_rule_associations
    associations.create(identity.id, "mine", {"properties": {"dataCollectionRuleId": made.id}})
    to_endpoint = {"properties": {"dataCollectionEndpointId": endpoint.id}}
    with pytest.raises(HttpResponseError) as error:
        associations.create(identity.id, "other", to_endpoint)
    assert refusal(error) == (400, "InvalidAssociationName")
    associations.create(identity.id, "configurationAccessEndpoint", to_endpoint)
    assert {one.name for one in associations.list_by_resource(identity.id)} == {"mine", "configurationAccessEndpoint"}
    assert [one.name for one in associations.list_by_rule(group, "rule")] == ["mine"]
    assert len(list(associations.list_by_data_collection_endpoint(group, "endpoint"))) == 1
    with pytest.raises(HttpResponseError) as error:
        monitor.data_collection_rules.delete(group, "rule")
    assert error.value.status_code == 409
    monitor.data_collection_rules.delete(group, "rule", delete_associations=True)
    assert [one.name for one in associations.list_by_resource(identity.id)] == ["configurationAccessEndpoint"]


async def test_rules_whose_flows_lead_nowhere(http):
    await http.done(WORKSPACE, LOCATION)
    path = f"{INSIGHTS}/dataCollectionRules/rule"
    body = rule(WORKSPACE, dataFlows=[{"streams": ["Microsoft-Syslog"], "destinations": ["elsewhere"]}])
    status, document, _ = await http.call("PUT", path, body)
    assert (status, document["error"]["code"]) == (400, "InvalidPayload")
    assert document["error"]["details"][0]["target"] == "properties.dataFlows[0].destinations"
    assert await http.code("PUT", path, rule(f"{WORKSPACE}-none")) == (400, "InvalidResourceReference")
    association = f"{WORKSPACE}/providers/Microsoft.Insights/dataCollectionRuleAssociations/a"
    assert await http.code("PUT", association, {"properties": {}}) == (400, "InvalidPayload")


# -- alerts ----------------------------------------------------------------------------------------------------------


def action_group(**more):
    receivers = [{"name": "ops", "emailAddress": "ops@example.org", "useCommonAlertSchema": True}]
    return {**GLOBAL, "properties": {"groupShortName": "ops", "enabled": True, "emailReceivers": receivers, **more}}


def metric_alert(scope, action, **more):
    condition = {"name": "cpu", "criterionType": "StaticThresholdCriterion", "metricName": "Percentage CPU",
                 "operator": "GreaterThan", "threshold": 80, "timeAggregation": "Average"}  # fmt: skip
    return {"location": "global", "properties": {
        "severity": 2, "enabled": True, "scopes": [scope], "evaluationFrequency": "PT5M", "windowSize": "PT15M",
        "criteria": {"odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                     "allOf": [condition]},
        "actions": [{"actionGroupId": action}], **more}}  # fmt: skip


def test_alerts_by_the_sdk(sdk, monitor, group, logs):
    action = monitor.action_groups.create_or_update(group, "ops", action_group())
    assert (action.email_receivers[0].status, action.sms_receivers) == ("Enabled", [])
    assert not monitor.action_groups.update(group, "ops", {"properties": {"enabled": False}}).enabled
    alert = monitor.metric_alerts.create_or_update(group, "cpu", metric_alert(logs.id, action.id))
    assert (alert.severity, alert.auto_mitigate, alert.window_size) == (2, True, timedelta(minutes=15))
    assert monitor.metric_alerts.update(group, "cpu", {"properties": {"severity": 1}}).severity == 1
    assert monitor.metric_alerts_status.list(group, "cpu").value[0].properties.status == "Healthy"
    query = {"query": "Heartbeat", "timeAggregation": "Count", "operator": "LessThan", "threshold": 1}
    body = {**LOCATION, "properties": {
        "scopes": [logs.id], "severity": 1, "evaluationFrequency": "PT5M", "windowSize": "PT5M",
        "criteria": {"allOf": [query]}, "actions": {"actionGroups": [action.id]}}}  # fmt: skip
    made = monitor.scheduled_query_rules.create_or_update(group, "silent", body)
    assert (made.kind, made.enabled, made.created_with_api_version) == ("LogAlert", True, "2023-12-01")
    condition = {"allOf": [{"field": "category", "equals": "ServiceHealth"}]}
    body = {**GLOBAL, "properties": {"scopes": [WHOLE], "condition": condition,
                                     "actions": {"actionGroups": [{"actionGroupId": action.id}]}}}  # fmt: skip
    assert monitor.activity_log_alerts.create_or_update(group, "health", body).enabled
    rules = client(PrometheusRuleGroupsMgmtClient, sdk.url).prometheus_rule_groups
    account = monitor.azure_monitor_workspaces.create(group, "metrics", LOCATION)
    body = {**LOCATION, "properties": {"scopes": [account.id], "rules": [
        {"alert": "NodeDown", "expression": "up == 0", "for": "PT5M", "severity": 3},
        {"record": "load", "expression": "avg(node_load1)"}]}}  # fmt: skip
    made = rules.create_or_update(group, "nodes", body)
    assert (made.properties.interval, made.properties.rules[0].enabled) == (timedelta(minutes=1), True)
    monitor.metric_alerts.delete(group, "cpu")


METRIC_PATH = f"{INSIGHTS}/metricAlerts/a"
ACTION_PATH = f"{INSIGHTS}/actionGroups/ops"
RULES_PATH = f"{GROUP}/providers/Microsoft.AlertsManagement/prometheusRuleGroups/a"
MONITOR_PATH = f"{GROUP}/providers/Microsoft.Monitor/accounts/metrics"
CAPACITY = {"minimum": "2", "default": "1", "maximum": "4"}
REFUSED_ALERTS = [
    (ACTION_PATH, action_group(groupShortName="much-too-long")),
    (ACTION_PATH, action_group(emailReceivers=[{"name": "a", "emailAddress": "nobody"}])),
    (ACTION_PATH, action_group(smsReceivers=[{"name": "OPS", "countryCode": "49", "phoneNumber": "1"}])),
    (METRIC_PATH, metric_alert(IDENTITY, ACTION_PATH, severity=5)),
    (METRIC_PATH, metric_alert(IDENTITY, ACTION_PATH, windowSize="PT1M")),
    (METRIC_PATH, metric_alert(IDENTITY, ACTION_PATH, evaluationFrequency="PT2M")),
    (METRIC_PATH, metric_alert(IDENTITY, ACTION_PATH, scopes=[])),
    (METRIC_PATH, metric_alert(IDENTITY, ACTION_PATH, criteria={"allOf": []})),
    (f"{INSIGHTS}/scheduledQueryRules/a", {**LOCATION, "properties": {
        "scopes": [IDENTITY], "criteria": {"allOf": []}, "severity": 1, "windowSize": "PT5M"}}),
    (f"{INSIGHTS}/activityLogAlerts/a", {**GLOBAL, "properties": {
        "scopes": [WHOLE], "condition": {"allOf": [{"field": "level", "equals": "Error"}]}, "actions": {}}}),
    (f"{INSIGHTS}/autoscaleSettings/a", {**LOCATION, "properties": {
        "targetResourceUri": IDENTITY, "profiles": [{"name": "p", "capacity": CAPACITY, "rules": []}]}}),
    (RULES_PATH, {**LOCATION, "properties": {"scopes": [IDENTITY], "rules": [{"record": "a", "expression": "b"}]}}),
    (RULES_PATH, {**LOCATION, "properties": {"scopes": [MONITOR_PATH], "rules": []}}),
    (RULES_PATH, {**LOCATION, "properties": {"scopes": [MONITOR_PATH], "rules": [
        {"record": "a", "alert": "b", "expression": "c"}]}}),
    (RULES_PATH, {**LOCATION, "properties": {"scopes": [MONITOR_PATH], "interval": "PT10S", "rules": [
        {"record": "a", "expression": "c"}]}}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), REFUSED_ALERTS)
async def test_alerts_that_are_refused(http, path, body):
    await http.put(IDENTITY, LOCATION)
    await http.put(MONITOR_PATH, LOCATION)
    if path != ACTION_PATH:
        await http.put(ACTION_PATH, action_group())
    assert await http.code("PUT", path, body) == (400, "BadRequest")


async def test_alerts_about_what_is_not_there(http):
    await http.put(IDENTITY, LOCATION)
    assert await http.code("PUT", METRIC_PATH, metric_alert(IDENTITY, ACTION_PATH)) == (
        400, "InvalidResourceReference",
    )  # fmt: skip
    await http.put(ACTION_PATH, action_group())
    assert await http.code("PUT", METRIC_PATH, metric_alert(NSG, ACTION_PATH)) == (400, "InvalidResourceReference")
    assert (await http.call("PUT", METRIC_PATH, metric_alert(IDENTITY, ACTION_PATH)))[0] == 200


# -- diagnostics and metrics -----------------------------------------------------------------------------------------


def setting(*categories, sink=WORKSPACE):
    logs = [{"category": name, "enabled": True} for name in categories]
    return {"properties": {"workspaceId": sink, "logs": logs} if sink else {"logs": logs}}


async def test_diagnostic_settings(http):
    await http.done(WORKSPACE, LOCATION)
    await http.done(NSG, LOCATION)
    base = f"{NSG}/providers/Microsoft.Insights"
    event = "NetworkSecurityGroupEvent"
    status, document, _ = await http.call("PUT", f"{base}/diagnosticSettings/a", setting(event, sink=None))
    assert (status, document["error"]["message"]) == (400, "At least one data sink needs to be specified.")
    status, document, _ = await http.call("PUT", f"{base}/diagnosticSettings/a", setting("Rain"))
    assert (status, document["error"]["message"]) == (400, "Category 'Rain' is not supported.")
    missing = setting(event, sink=f"{WORKSPACE}-none")
    assert await http.code("PUT", f"{base}/diagnosticSettings/a", missing) == (400, "InvalidResourceReference")
    made = await http.put(f"{base}/diagnosticSettings/a", setting(event))
    assert made["properties"]["logs"][0]["retentionPolicy"] == {"enabled": False, "days": 0}
    status, document, _ = await http.call("PUT", f"{base}/diagnosticSettings/b", setting(event))
    assert (status, document["error"]["code"]) == (409, "Conflict")
    assert document["error"]["message"].startswith(f"Data sink '{WORKSPACE}' is already used in diagnostic setting 'a'")
    await http.put(f"{base}/diagnosticSettings/b", setting("NetworkSecurityGroupRuleCounter"))
    _, document, _ = await http.call("GET", f"{base}/diagnosticSettings")
    assert [one["name"] for one in document["value"]] == ["a", "b"]
    _, document, _ = await http.call("GET", f"{base}/diagnosticSettingsCategories")
    assert [one["name"] for one in document["value"]] == [event, "NetworkSecurityGroupRuleCounter"]
    whole = f"{WHOLE}/providers/Microsoft.Insights/diagnosticSettings/all"
    assert (await http.call("PUT", whole, setting("Administrative")))[0] == 200
    assert (await http.call("DELETE", f"{base}/diagnosticSettings/a"))[0] == 200
    assert (await http.call("DELETE", f"{base}/diagnosticSettings/a"))[0] == 204


async def test_components_need_a_workspace(http):
    path = f"{INSIGHTS}/components/app"
    body = {**LOCATION, "kind": "web", "properties": {"Application_Type": "web"}}
    assert await http.code("PUT", path, body) == (400, "BadRequest")
    await http.done(WORKSPACE, LOCATION)
    body["properties"]["WorkspaceResourceId"] = WORKSPACE
    made = await http.put(path, body)
    key = made["properties"]["InstrumentationKey"]
    assert made["properties"]["ConnectionString"].startswith(f"InstrumentationKey={key};")
    assert (await http.put(path, body))["properties"]["InstrumentationKey"] == key


def test_metrics_have_names_and_no_values(sdk, monitor, group):
    account = sdk.storage.storage_accounts.begin_create(group, "metrics4711", STORAGE).result()
    names = [one.name.value for one in monitor.metric_definitions.list(account.id)]
    assert "UsedCapacity" in names
    response = monitor.metrics.list(account.id, metricnames="UsedCapacity", interval="PT1H")
    assert [(one.name.value, one.unit, one.timeseries) for one in response.value] == [("UsedCapacity", "Bytes", [])]
    with pytest.raises(HttpResponseError) as error:
        monitor.metrics.list(account.id, metricnames="Rain")
    assert "Failed to find metric configuration" in str(error.value)
    assert monitor.event_categories.list()


# -- cost ------------------------------------------------------------------------------------------------------------


def budget(http_now, **more):
    start = http_now.replace(day=1).strftime("%Y-%m-%dT00:00:00Z")
    notification = {"enabled": True, "operator": "GreaterThan", "threshold": 80, "contactEmails": ["a@example.org"]}
    plain = {"category": "Cost", "amount": 1000, "timeGrain": "Monthly", "timePeriod": {"startDate": start}}
    return {"properties": {**plain, "notifications": {"most": notification}, **more}}


def test_budgets_by_the_sdk(sdk, fast_emulator, group):
    budgets = client(ConsumptionManagementClient, sdk.url).budgets
    scope = f"{WHOLE}/resourceGroups/{group}"
    body = budget(fast_emulator.clock.now)
    made = budgets.create_or_update(scope, "monthly", body)
    assert (made.properties.amount, made.properties.current_spend.amount) == (1000, 0)
    assert made.properties.time_period.end_date.year == made.properties.time_period.start_date.year + 10
    again = budgets.create_or_update(scope, "monthly", {**body, "eTag": made.e_tag})
    assert again.e_tag != made.e_tag
    with pytest.raises(HttpResponseError) as error:
        budgets.create_or_update(scope, "monthly", {**body, "eTag": made.e_tag})
    assert error.value.status_code == 412
    assert [one.name for one in budgets.list(scope)] == ["monthly"]
    budgets.delete(scope, "monthly")
    with pytest.raises(ResourceNotFoundError):
        budgets.delete(scope, "monthly")


async def test_budgets_that_are_refused(http):
    now = http.emulator.clock.now
    notification = budget(now)["properties"]["notifications"]["most"]
    many = {str(number): notification for number in range(6)}
    for more in (
        {"amount": 0}, {"timeGrain": "Hourly"}, {"category": "Joy"}, {"notifications": many},
        {"timePeriod": {"startDate": "2026-01-02T00:00:00Z"}}, {"timePeriod": {"startDate": "2017-05-01T00:00:00Z"}},
        {"timePeriod": {"startDate": f"{now.year + 2}-12-01T00:00:00Z"}},
        {"timePeriod": {"startDate": "2026-01-01T00:00:00Z", "endDate": "2025-01-01T00:00:00Z"}},
        {"notifications": {"x": {**notification, "threshold": 1001}}},
        {"notifications": {"x": {**notification, "operator": "LessThan"}}},
        {"notifications": {"x": {**notification, "contactEmails": []}}},
    ):  # fmt: skip
        path = f"{WHOLE}/providers/Microsoft.Consumption/budgets/b"
        assert await http.code("PUT", path, budget(now, **more)) == (400, "BadRequest"), more


async def test_a_setting_asks_for_etags(http):
    await http.session.put(f"{http.emulator.url}/emulator/settings", json={"budgetsNeedETag": True})
    path = f"{GROUP}/providers/Microsoft.Consumption/budgets/b"
    made = await http.put(path, budget(http.emulator.clock.now))
    assert (await http.call("PUT", path, budget(http.emulator.clock.now)))[0] == 400
    await http.put(path, {**budget(http.emulator.clock.now), "eTag": made["eTag"]})


def export(account):
    definition = {"type": "ActualCost", "timeframe": "MonthToDate", "dataSet": {"granularity": "Daily"}}
    destination = {"resourceId": account, "container": "costs", "rootFolderPath": "hpc"}
    return {"properties": {"definition": definition, "deliveryInfo": {"destination": destination}}}


async def test_exports_run_and_are_remembered(http):
    path = f"{GROUP}/providers/Microsoft.CostManagement/exports/daily"
    assert await http.code("PUT", path, export(ACCOUNT)) == (400, "BadRequest")
    await http.done(ACCOUNT, STORAGE)
    made = await http.put(path, export(ACCOUNT))
    assert made["eTag"]
    assert (await http.call("POST", f"{path}/run"))[0] == 200

    async def status():
        _, document, _ = await http.call("GET", f"{path}/runHistory")
        return document["value"][0]["properties"]

    assert (await status())["status"] == "Queued"
    http.advance(60)
    assert (await status())["status"] == "InProgress"
    http.advance(300)
    shown = await status()
    assert (shown["status"], shown["fileName"].split("/")[0]) == ("Completed", "hpc")
    assert (await http.call("DELETE", path))[0] == 200
    assert (await http.call("DELETE", path))[0] == 404


def test_costs_are_asked_for_by_the_sdk(sdk, group):
    costs = client(CostManagementClient, sdk.url, subscription=False)
    scope = f"{WHOLE}/resourceGroups/{group}"
    dataset = {"granularity": "Daily", "aggregation": {"totalCost": {"name": "PreTaxCost", "function": "Sum"}},
               "grouping": [{"type": "Dimension", "name": "ResourceId"}]}  # fmt: skip
    result = costs.query.usage(scope, {"type": "ActualCost", "timeframe": "MonthToDate", "dataset": dataset})
    assert [(one.name, one.type) for one in result.columns] == [
        ("PreTaxCost", "Number"), ("UsageDate", "Number"), ("ResourceId", "String"), ("Currency", "String"),
    ]  # fmt: skip
    assert result.rows == []
    with pytest.raises(HttpResponseError):
        costs.query.usage(scope, {"type": "ActualCost", "timeframe": "Custom", "dataset": dataset})


# -- the activity log ------------------------------------------------------------------------------------------------


async def events(http, text, **query):
    path = f"{WHOLE}/providers/Microsoft.Insights/eventtypes/management/values"
    status, document, _ = await http.call("GET", path, query={"$filter": text, **query})
    assert status == 200, document
    return document["value"]


async def test_the_activity_log(http):
    began = http.emulator.clock.iso()
    await http.done(NSG, LOCATION, seconds=60)
    await http.call("GET", NSG)
    later = http.emulator.clock.iso()
    await http.call("PATCH", f"{GROUP}/providers/Microsoft.Network/networkSecurityGroups/none", {"tags": {}})
    text = f"eventTimestamp ge '{began}' and eventTimestamp le '{later}' and resourceUri eq '{NSG}'"
    found = await events(http, text)
    assert [one["status"]["value"] for one in found] == ["Succeeded", "Accepted", "Started"]
    written = found[-1]
    assert written["operationName"]["value"] == "Microsoft.Network/networkSecurityGroups/write"
    assert written["authorization"] == {"action": written["operationName"]["value"], "scope": NSG}
    assert written["resourceGroupName"] == "rg"
    assert written["resourceProviderName"]["value"] == "Microsoft.Network"
    assert len({one["correlationId"] for one in found}) == 1
    (failed,) = await events(http, "status eq 'Failed' and resourceProvider eq 'microsoft.network'")
    assert (failed["level"], failed["subStatus"]["value"]) == ("Error", "NotFound")
    assert "ResourceNotFound" in failed["properties"]["statusMessage"]
    by_caller = await events(http, f"caller eq '{failed['caller']}' and resourceGroupName eq 'rg'")
    assert failed["eventDataId"] in {one["eventDataId"] for one in by_caller}
    (selected, *_) = await events(http, "resourceGroupName eq 'rg'", **{"$select": "eventName,id,caller"})
    assert set(selected) == {"eventName", "id", "caller"}
    path = f"{WHOLE}/providers/Microsoft.Insights/eventtypes/management/values"
    for text in ("colour eq 'red'", "eventTimestamp ge 'yesterday'", "eventTimestamp"):
        assert await http.code("GET", path, query={"$filter": text}) == (400, "BadRequest")


async def test_the_activity_log_may_be_late(http):
    await http.session.put(f"{http.emulator.url}/emulator/settings", json={"activityLogDelaySeconds": 300})
    await http.put(IDENTITY, LOCATION)
    assert not await events(http, f"resourceUri eq '{IDENTITY}'")
    http.advance(301)
    assert len(await events(http, f"resourceUri eq '{IDENTITY}'")) == 2


def test_the_activity_log_by_the_sdk(sdk, fast_emulator, monitor, group):
    sdk.identity.user_assigned_identities.create_or_update(group, "id", LOCATION)
    since = (fast_emulator.clock.now - timedelta(days=1)).isoformat()
    text = f"eventTimestamp ge '{since}' and resourceGroupName eq '{group}'"
    found = list(monitor.activity_logs.list(filter=text))
    names = {one.operation_name.value for one in found}
    assert "Microsoft.ManagedIdentity/userAssignedIdentities/write" in names
    assert {one.status.value for one in found} == {"Started", "Succeeded"}
