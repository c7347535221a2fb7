"""Application Insights components: classic ones are no longer made, so each has a workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator import errors
from azure_emulator.providers import checks
from azure_emulator.providers.insights.names import COMPONENT
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.types import Change


def _complete(change: Change) -> None:
    engine, properties, location = change.engine, change.properties, change.body["location"]
    if not properties.get("WorkspaceResourceId"):
        raise errors.bad_request(
            "BadRequest", "A WorkspaceResourceId is required: components without a workspace are no longer created."
        )
    key = properties.setdefault("InstrumentationKey", engine.guid())
    application = properties.setdefault("AppId", engine.guid())
    properties.setdefault("CreationDate", engine.clock.iso(engine.now))
    properties |= {
        "ApplicationId": change.path.name, "Name": change.path.name, "TenantId": engine.tenant, "Ver": "v2",
        "IngestionMode": "LogAnalytics",
        "ConnectionString": f"InstrumentationKey={key};IngestionEndpoint=https://{location}-1.in.applicationinsights."
        f"azure.com/;LiveEndpoint=https://{location}.livediagnostics.monitor.azure.com/;ApplicationId={application}",
    }  # fmt: skip


TYPES = (
    ResourceType(
        name=COMPONENT, protocol=SYNCHRONOUS, put=Verb(created=200), patch=Patch(allowed=frozenset({"tags"})),
        required=("kind", "properties.Application_Type"), etag="weak",
        defaults={"properties.RetentionInDays": 90, "properties.publicNetworkAccessForIngestion": "Enabled",
                  "properties.publicNetworkAccessForQuery": "Enabled"},
        read_only=("properties.InstrumentationKey", "properties.AppId", "properties.CreationDate",
                   "properties.ConnectionString", "properties.ApplicationId", "properties.Name",
                   "properties.TenantId"),
        check=checks.all_of(checks.choice("properties.Application_Type", ("web", "other")), _complete),
        depth="needs a workspace; keys and connection string",
    ),
)  # fmt: skip
