"""Azure Monitor workspaces (Microsoft.Monitor/accounts), each with its managed resource group.

Knows data collection rules and endpoints only as the types that a workspace brings with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator.arm_path import RESOURCE_GROUP
from azure_emulator.providers.global_names import short_hash
from azure_emulator.providers.insights.names import ENDPOINT, RULE
from azure_emulator.providers.protocols import operation_functions
from azure_emulator.types import TAGS_ONLY, Protocol, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource
    from azure_emulator.types import Change

ACCOUNT = "Microsoft.Monitor/accounts"
# Which headers Azure sends is an assumption; the SDK follows either.
MONITOR = Protocol(
    name="monitor", status="providers/Microsoft.Monitor/locations/{location}/operationStatuses/{id}",
    result="providers/Microsoft.Monitor/locations/{location}/operationResults/{id}", retry_after=15,
)  # fmt: skip
DELETE_SECONDS = 30.0  # assumption


def _check(change: Change) -> None:
    engine, properties, name = change.engine, change.properties, change.path.name
    location = change.body["location"]
    managed = f"{_managed_group(change.subscription, name, location)}/providers"
    host = f"{name.lower()}-{short_hash(engine.tenant, change.id)}.{location}.prometheus.monitor.azure.com"
    properties.setdefault("accountId", engine.guid())
    properties["metrics"] = {
        "prometheusQueryEndpoint": f"https://{host}",
        "internalId": f"mac_{properties['accountId']}",
    }
    properties["defaultIngestionSettings"] = {
        "dataCollectionRuleResourceId": f"{managed}/{RULE}/{name}",
        "dataCollectionEndpointResourceId": f"{managed}/{ENDPOINT}/{name}",
    }


def _managed_group(subscription: str, name: str, location: str) -> str:
    return f"/subscriptions/{subscription}/resourceGroups/MA_{name}_{location}_managed"


def _group_of(account: Resource) -> str:
    return _managed_group(account.id.split("/")[2], account.name, account.location)


def _finished(engine: Engine, account: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """Azure makes a group for the default endpoint and rule, which nobody else may touch there."""
    group = _group_of(account)
    if engine.store.get(group) is not None:
        return
    place = {"location": account.location}
    engine.create(group, {**place, "managedBy": account.id})
    endpoint = engine.create(f"{group}/providers/{ENDPOINT}/{account.name}", {**place, "properties": {}})
    rule: dict[str, Any] = {
        "dataCollectionEndpointId": endpoint.id,
        "dataSources": {"prometheusForwarder": [
            {"name": "PrometheusDataSource", "streams": ["Microsoft-PrometheusMetrics"]}]},
        "destinations": {"monitoringAccounts": [
            {"accountResourceId": account.id, "name": "MonitoringAccount"}]},
        "dataFlows": [{"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["MonitoringAccount"]}],
    }  # fmt: skip
    engine.create(f"{group}/providers/{RULE}/{account.name}", {**place, "properties": rule})


def _deleted(engine: Engine, account: Resource) -> None:
    group = engine.store.get(_group_of(account))
    if group is not None and group.type == RESOURCE_GROUP:
        engine.begin_delete(group)


ACCOUNTS = ResourceType(
    name=ACCOUNT,
    protocol=MONITOR,
    put=Verb(),
    patch=TAGS_ONLY,
    delete=Verb(seconds=DELETE_SECONDS),
    etag="plain",
    defaults={"properties.publicNetworkAccess": "Enabled"},
    read_only=("properties.accountId", "properties.metrics", "properties.defaultIngestionSettings",
               "properties.privateEndpointConnections"),
    # Its own default rule points back at it.
    loose=(RULE, ENDPOINT),
    check=_check,
    finished=_finished,
    deleted=_deleted,
    depth="query endpoint, managed resource group with the default rule and endpoint",
)  # fmt: skip

PROVIDER = Provider(namespace="Microsoft.Monitor", types=(ACCOUNTS,), functions=operation_functions(MONITOR))
