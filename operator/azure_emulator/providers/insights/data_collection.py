"""Data collection: rules, the endpoints they are sent to, and what is associated with them.

Nothing is collected. A rule's flows must lead to destinations that the rule has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import checks
from azure_emulator.providers.global_names import short_hash
from azure_emulator.providers.insights.names import ASSOCIATION, ENDPOINT, RULE
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, Patch, ResourceType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import Call, Change

# The association of a resource with an endpoint has this name and no other (azure-docs, data collection endpoints).
ENDPOINT_ASSOCIATION = "configurationAccessEndpoint"
# Assumption: the refusal of which no recording was found.
ASSOCIATED = "AssociationsExist"
_TAGS_AND_IDENTITY = Patch(allowed=frozenset({"tags", "identity"}))
# What a destination names, and what Azure adds about it.
_NAMED = {
    "logAnalytics": ("workspaceResourceId", "customerId", "workspaceId"),
    "monitoringAccounts": ("accountResourceId", "accountId", "accountId"),
}


def _check_endpoint(change: Change) -> None:
    properties, location = change.properties, change.body["location"]
    host = f"{change.path.name.lower()}-{short_hash(change.engine.tenant, change.id)}.{location}-1"
    properties.setdefault("immutableId", f"dce-{change.engine.guid().replace('-', '')}")
    properties.setdefault("networkAcls", {"publicNetworkAccess": "Enabled"})
    properties["configurationAccess"] = {"endpoint": f"https://{host}.handler.control.monitor.azure.com"}
    properties["logsIngestion"] = {"endpoint": f"https://{host}.ingest.monitor.azure.com"}
    properties["metricsIngestion"] = {"endpoint": f"https://{host}.metrics.ingest.monitor.azure.com"}


def _check_rule(change: Change) -> None:
    engine, properties = change.engine, change.properties
    destinations = properties.get("destinations") or {}
    names = set(_destination_names(destinations))
    for index, flow in enumerate(checks.items(properties.get("dataFlows"))):
        missing = [name for name in flow.get("destinations") or [] if name not in names]
        if missing:
            raise _invalid(
                "InvalidDataFlow", f"The destination '{missing[0]}' of the data flow is not one of the rule's "
                f"destinations '{', '.join(sorted(names))}'.", f"properties.dataFlows[{index}].destinations",
            )  # fmt: skip
        if not flow.get("streams"):
            raise _invalid("InvalidDataFlow", "A data flow has streams.", f"properties.dataFlows[{index}].streams")
    for kind, (reference, source, shown) in _NAMED.items():
        for destination in checks.items(destinations.get(kind)):
            found = engine.store.get(str(destination.get(reference)))
            if found is None:
                raise _invalid(
                    "InvalidDestination", f"The resource '{destination.get(reference)}' was not found.",
                    f"properties.destinations.{kind}",
                )  # fmt: skip
            destination[shown] = found.properties[source]
    properties.setdefault("immutableId", f"dcr-{engine.guid().replace('-', '')}")


def _destination_names(destinations: Mapping[str, Any]) -> list[str]:
    """`azureMonitorMetrics` is one destination, all others are lists."""
    found: list[str] = []
    for value in destinations.values():
        found.extend(str(item["name"]) for item in checks.items(value if isinstance(value, list) else [value])
                     if "name" in item)  # fmt: skip
    return found


def _invalid(code: str, message: str, target: str) -> errors.ArmError:
    return errors.ArmError(
        errors.BAD_REQUEST, "InvalidPayload", "Data collection rule is invalid",
        details=[{"code": code, "message": message, "target": target}],
    )  # fmt: skip


def _check_association(change: Change) -> None:
    properties = change.properties
    named = [name for name in ("dataCollectionRuleId", "dataCollectionEndpointId") if properties.get(name)]
    if len(named) != 1:
        raise errors.bad_request(
            "InvalidPayload", "An association has either a dataCollectionRuleId or a dataCollectionEndpointId."
        )
    if named == ["dataCollectionEndpointId"] and change.path.name != ENDPOINT_ASSOCIATION:
        raise errors.bad_request(
            "InvalidAssociationName",
            f"The association with a data collection endpoint must have the name '{ENDPOINT_ASSOCIATION}'.",
        )


def _check_rule_delete(engine: Engine, rule: Resource, query: Mapping[str, str]) -> None:
    """What is associated goes along only if asked for; in a group's deletion everything goes."""
    associated = engine.store.referrers(rule.id, ASSOCIATION)
    group = engine.store.get(rule.parent)
    if not associated or (group is not None and group.state == "Deleting"):
        return
    if query.get("deleteAssociations", "").lower() != "true":
        raise errors.conflict(
            ASSOCIATED,
            f"The data collection rule '{rule.name}' cannot be deleted because it is associated with "
            f"{', '.join(one.parent for one in associated)}. Delete the associations first or set deleteAssociations.",
        )
    for one in associated:
        engine.remove(one)


def associations(call: Call) -> Answer:
    """GET …/associations of a rule or an endpoint."""
    engine, parent = call.engine, call.path.parent
    engine.require(parse(parent))
    found = engine.store.referrers(parent, ASSOCIATION)
    return engine.page(call, found)


TYPES = (
    ResourceType(
        name=ENDPOINT, protocol=SYNCHRONOUS, patch=_TAGS_AND_IDENTITY, etag="plain",
        read_only=("properties.immutableId", "properties.configurationAccess", "properties.logsIngestion",
                   "properties.metricsIngestion"),
        check=_check_endpoint, depth="immutable id and ingestion addresses",
    ),
    ResourceType(
        name=RULE, protocol=SYNCHRONOUS, patch=_TAGS_AND_IDENTITY, etag="plain",
        read_only=("properties.immutableId",), check=_check_rule, check_delete=_check_rule_delete,
        depth="flows lead to destinations, workspaces exist; deletion with associations only when asked",
    ),
    ResourceType(
        name=ASSOCIATION, protocol=SYNCHRONOUS, location=None, tags=False, extension=True, has_state=False,
        etag="plain", delete_first=10, check=_check_association,
        depth="of any resource with a rule or an endpoint; listed from both sides",
    ),
)  # fmt: skip
FUNCTIONS = {
    ("GET", f"{RULE}/associations"): associations,
    ("GET", f"{ENDPOINT}/associations"): associations,
}
