"""The far end of private endpoints: the connections that a resource shows, approves, rejects and removes.

Used by every type that private endpoints can lead to; which ones those are, the network knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.network import private_endpoints
from azure_emulator.types import Answer, Call, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

STATUSES = ("Approved", "Rejected")
# Whose connections say which parts of the resource they lead to; the others' models in the SDKs have no such member.
SHOW_GROUPS = ("microsoft.dbformysql/",)
# What shows its connections by their ids alone.
SHOW_IDS = ("microsoft.keyvault/",)
_REMOVED = "Disconnected"


def show(engine: Engine, target: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    """Show on a resource which private endpoints lead to it."""
    found = documents(engine, target)
    if target.type.lower().startswith(SHOW_IDS):
        found = [{"id": one["id"], "properties": one["properties"]} for one in found]
    shown["properties"]["privateEndpointConnections"] = found


def documents(engine: Engine, target: Resource) -> list[dict[str, Any]]:
    """All connections of a resource."""
    return [_document(target, endpoint, connection) for endpoint, connection in _connections(engine, target)]


def functions(type_name: str) -> dict[tuple[str, str], Function]:
    """The routes of a type's connections and of what it offers."""
    return {
        ("GET", f"{type_name}/privateEndpointConnections"): _read,
        ("PUT", f"{type_name}/privateEndpointConnections"): _decide,
        ("DELETE", f"{type_name}/privateEndpointConnections"): _remove,
        ("GET", f"{type_name}/privateLinkResources"): _offers,
    }


def _connections(engine: Engine, target: Resource) -> Iterator[tuple[Resource, dict[str, Any]]]:
    for endpoint in engine.store.referrers(target.id, private_endpoints.ENDPOINT):
        for connection in private_endpoints.connections(endpoint.properties):
            leads_here = str(connection["properties"]["privateLinkServiceId"]).lower() == target.key
            if leads_here and _status(connection) != _REMOVED:
                yield endpoint, connection


def _status(connection: Mapping[str, Any]) -> str:
    return str(bodies.get(connection, "properties.privateLinkServiceConnectionState.status", ""))


def _document(target: Resource, endpoint: Resource, connection: dict[str, Any]) -> dict[str, Any]:
    state = connection["properties"].get("privateLinkServiceConnectionState") or {}
    # Storage writes the last member in the singular, the others in the plural (their models in the SDKs).
    member = "actionRequired" if target.type.startswith("Microsoft.Storage/") else "actionsRequired"
    properties: dict[str, Any] = {
        "provisioningState": "Succeeded",
        "privateEndpoint": {"id": endpoint.id},
        "privateLinkServiceConnectionState": {
            "status": state.get("status", "Pending"), "description": state.get("description", ""), member: "None",
        },
    }  # fmt: skip
    if target.type.lower().startswith(SHOW_GROUPS):
        properties["groupIds"] = list(connection["properties"].get("groupIds") or [])
    return {
        "id": f"{target.id}/privateEndpointConnections/{endpoint.name}",
        "name": endpoint.name,
        "type": f"{target.type}/privateEndpointConnections",
        "properties": properties,
    }


def _target(call: Call) -> Resource:
    """The resource that a path of its connections, or of one of them, is below."""
    path = parse(call.path.parent)
    return call.engine.require(path)


def _find(call: Call, target: Resource) -> tuple[Resource, dict[str, Any]]:
    for endpoint, connection in _connections(call.engine, target):
        if endpoint.name.lower() == call.path.name.lower():
            return endpoint, connection
    raise errors.resource_not_found(call.path.type_name, "/".join(call.path.names), call.path.resource_group or "")


def _read(call: Call) -> Answer:
    target = _target(call)
    if not call.path.is_resource:
        return Answer(200, {"value": documents(call.engine, target)})
    return Answer(200, _document(target, *_find(call, target)))


def _decide(call: Call) -> Answer:
    target = _target(call)
    endpoint, connection = _find(call, target)
    wanted = bodies.get(call.body or {}, "properties.privateLinkServiceConnectionState") or {}
    status = wanted.get("status")
    if status not in STATUSES:
        raise errors.bad_request(
            "InvalidRequestContent",
            f"The status '{status}' of private endpoint connection '{call.path.name}' is not one of "
            f"{', '.join(STATUSES)}.",
        )
    _set(call.engine, endpoint, connection, str(status), str(wanted.get("description") or ""))
    return Answer(200, _document(target, endpoint, connection))


def _remove(call: Call) -> Answer:
    try:
        endpoint, connection = _find(call, _target(call))
    except errors.ArmError:
        return Answer(204)
    _set(call.engine, endpoint, connection, _REMOVED, "")
    return Answer(200)


def _set(engine: Engine, endpoint: Resource, connection: dict[str, Any], status: str, description: str) -> None:
    connection["properties"]["privateLinkServiceConnectionState"] = {
        "status": status, "description": description, "actionsRequired": "None",
    }  # fmt: skip
    engine.store.save(endpoint)


def _offers(call: Call) -> Answer:
    target = _target(call)
    services = private_endpoints.SERVICES[target.type.lower()]
    rows = [
        {
            "id": f"{target.id}/privateLinkResources/{name}", "name": name,
            "type": f"{target.type}/privateLinkResources",
            "properties": {"groupId": name, "requiredMembers": [name],
                           "requiredZoneNames": [f"privatelink.{suffix}"]},
        }
        for name, suffix in services.items()
    ]  # fmt: skip
    if not call.path.is_resource:
        return Answer(200, {"value": rows})
    for row in rows:
        if str(row["name"]).lower() == call.path.name.lower():
            return Answer(200, row)
    raise errors.resource_not_found(call.path.type_name, "/".join(call.path.names), call.path.resource_group or "")
