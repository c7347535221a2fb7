"""Private endpoints and their DNS zone groups, part of Microsoft.Network.

An endpoint is a network interface in a subnet that leads to one service of another resource; a zone group writes the
interface's address into private DNS zones. Which services a resource offers is data here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import last_name, parse
from azure_emulator.providers.network import private_dns
from azure_emulator.providers.protocols import NETWORK
from azure_emulator.types import TAGS_ONLY, Change, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

ENDPOINT = "Microsoft.Network/privateEndpoints"
ZONE_GROUP = f"{ENDPOINT}/privateDnsZoneGroups"

# Services that private endpoints can lead to, with the DNS suffix of each (azure-docs, private-endpoint-dns).
SERVICES: dict[str, dict[str, str]] = {
    "microsoft.storage/storageaccounts": {
        name: f"{name}.core.windows.net" for name in ("blob", "file", "dfs", "queue", "table", "web")
    },
    "microsoft.keyvault/vaults": {"vault": "vaultcore.azure.net"},
    "microsoft.dbformysql/flexibleservers": {"mysqlServer": "mysql.database.azure.com"},
}
# Assumption: no recording of these refusals was found.
BAD_GROUP = "PrivateEndpointGroupIdInvalid"
BAD_TARGET = "PrivateEndpointCannotBeCreatedForResource"


def connections(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All connections of an endpoint, those that need approval too."""
    return [
        *(properties.get("privateLinkServiceConnections") or []),
        *(properties.get("manualPrivateLinkServiceConnections") or []),
    ]


def _check(change: Change) -> None:
    engine, properties = change.engine, change.properties
    from azure_emulator.providers.network import provisioned_subnet  # noqa: PLC0415 (network lists these types)

    subnet = provisioned_subnet(change, str(bodies.get(properties, "subnet.id", "")))
    _refuse_busy_network(change, subnet)
    found = connections(properties)
    if not found:
        raise errors.bad_request(
            "InvalidRequestFormat", f"Private endpoint {change.id} has no privateLinkServiceConnections."
        )
    for connection in found:
        inner = connection.setdefault("properties", {})
        _check_service(change, str(inner.get("privateLinkServiceId", "")), inner.get("groupIds") or [])
        connection["id"] = f"{change.id}/privateLinkServiceConnections/{connection.get('name', '')}"
        connection["type"] = f"{ENDPOINT}/privateLinkServiceConnections"
        inner["provisioningState"] = "Succeeded"
        inner["privateLinkServiceConnectionState"] = {
            "status": "Approved", "description": "Auto-approved", "actionsRequired": "None",
        }  # fmt: skip
    properties["manualPrivateLinkServiceConnections"] = properties.get("manualPrivateLinkServiceConnections") or []
    if change.exists:
        return
    nic_name = properties.get("customNetworkInterfaceName") or f"{change.path.name}.nic.{engine.guid()}"
    group = f"/subscriptions/{change.subscription}/resourceGroups/{change.path.resource_group}"
    nic_id = f"{group}/providers/Microsoft.Network/networkInterfaces/{nic_name}"
    body = {
        "location": change.body["location"],
        "properties": {"ipConfigurations": [{
            "name": f"privateEndpointIpConfig.{engine.guid()}",
            "properties": {"subnet": {"id": subnet.id}, "primary": True},
        }]},
    }  # fmt: skip
    change.internal["nic"] = nic_id
    change.planned.append(engine.plan(nic_id, body))


def _refuse_busy_network(change: Change, subnet: Resource) -> None:
    """An endpoint is one more write under its virtual network, and those run one at a time."""
    scope = subnet.parent.lower()
    running = change.engine.write_under(scope)
    if running is not None:
        raise errors.another_operation_in_progress(change.engine.operation_uri(running, None))


def _check_service(change: Change, target: str, groups: list[str]) -> None:
    path = parse(target)
    services = SERVICES.get(path.type_name.lower())
    if services is None or not path.is_resource:
        raise errors.bad_request(
            BAD_TARGET, f"Private endpoint {change.id} cannot be created for resource '{target}': its type has no "
            "private link."
        )  # fmt: skip
    if change.engine.find(target) is None:
        raise errors.invalid_reference(target, change.id)
    offered = {name.lower() for name in services}
    if len(groups) != 1 or groups[0].lower() not in offered:
        raise errors.bad_request(
            BAD_GROUP,
            f"The groupIds {groups} of private endpoint {change.id} are not valid: give exactly one of "
            f"{sorted(services)}.",
        )


def _accepted(change: Change, endpoint: Resource) -> None:  # noqa: ARG001 (a hook)
    endpoint.properties["networkInterfaces"] = [{"id": endpoint.internal["nic"]}]


def _finished(engine: Engine, endpoint: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    endpoint.properties["customDnsConfigs"] = [
        {"fqdn": fqdn, "ipAddresses": [address]} for fqdn, address in names(engine, endpoint)
    ]


def show_connections(engine: Engine, target: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    """Show on a resource which private endpoints lead to it."""
    shown["properties"]["privateEndpointConnections"] = [
        {
            "id": f"{target.id}/privateEndpointConnections/{endpoint.name}",
            "name": endpoint.name,
            "type": f"{target.type}/privateEndpointConnections",
            "properties": {
                "provisioningState": "Succeeded",
                "privateEndpoint": {"id": endpoint.id},
                "privateLinkServiceConnectionState": {"status": "Approved", "actionRequired": "None"},
            },
        }
        for endpoint in engine.store.referrers(target.id)
        if endpoint.type == ENDPOINT
    ]


def names(engine: Engine, endpoint: Resource) -> list[tuple[str, str]]:
    """Public names of the services that an endpoint leads to, with its private address."""
    nic = engine.store.get(endpoint.internal["nic"])
    if nic is None:
        return []
    address = nic.properties["ipConfigurations"][0]["properties"]["privateIPAddress"]
    found: list[tuple[str, str]] = []
    for connection in connections(endpoint.properties):
        target = str(connection["properties"]["privateLinkServiceId"])
        services = {name.lower(): suffix for name, suffix in SERVICES[parse(target).type_name.lower()].items()}
        groups = connection["properties"]["groupIds"]
        found.extend((f"{last_name(target)}.{services[group.lower()]}", str(address)) for group in groups)
    return found


def _deleted(engine: Engine, endpoint: Resource) -> None:
    nic = engine.store.get(endpoint.internal.get("nic", ""))
    if nic is not None:
        engine.remove(nic)


def _view(engine: Engine, endpoint: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    shown["properties"].setdefault("customDnsConfigs", [])


# -- zone groups -----------------------------------------------------------------------------------------------------


def _check_group(change: Change) -> None:
    for config in change.properties["privateDnsZoneConfigs"]:
        zone = str(bodies.get(config, "properties.privateDnsZoneId", ""))
        if parse(zone).type_name.lower() != private_dns.ZONE.lower():
            raise errors.bad_request(
                "InvalidRequestFormat", f"The zone group {change.id} needs the id of a private DNS zone, not '{zone}'."
            )
        config["properties"]["recordSets"] = []


def _write_records(engine: Engine, group: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    endpoint = engine.store.get(group.parent)
    if endpoint is None:
        return
    _remove_records(engine, group)
    written = []
    for config in group.properties["privateDnsZoneConfigs"]:
        zone = engine.store.get(config["properties"]["privateDnsZoneId"])
        if zone is None:
            continue
        for fqdn, address in names(engine, endpoint):
            # Azure takes the public name's first label into whatever zone the group names.
            label = fqdn.split(".", 1)[0]
            record = private_dns.write_address(engine, zone, label, address)
            written.append(record.id)
            config["properties"]["recordSets"] = [{
                "recordType": "A", "recordSetName": label, "fqdn": f"{label}.{zone.name}", "ttl": 10,
                "ipAddresses": [address], "provisioningState": "Succeeded",
            }]  # fmt: skip
    group.internal["records"] = written


def _remove_records(engine: Engine, group: Resource) -> None:
    for record_id in group.internal.pop("records", []):
        record = engine.store.get(record_id)
        if record is not None:
            engine.remove(record)


TYPES = (
    ResourceType(
        name=ENDPOINT,
        protocol=NETWORK,
        put=Verb(seconds=45, creating="Updating", updating="Updating"),
        patch=TAGS_ONLY,
        delete=Verb(seconds=30),
        etag="weak",
        required=("properties.subnet.id",),
        read_only=("properties.networkInterfaces", "properties.customDnsConfigs"),
        immutable=("properties.subnet.id", "properties.customNetworkInterfaceName"),
        delete_first=30,
        check=_check,
        accepted=_accepted,
        finished=_finished,
        deleted=_deleted,
        view=_view,
        depth="own network interface and address, group ids checked per service, waits for its virtual network",
    ),
    ResourceType(
        name=ZONE_GROUP,
        protocol=NETWORK,
        put=Verb(seconds=15, creating="Updating", updating="Updating"),
        delete=Verb(seconds=10),
        location=None,
        tags=False,
        etag="weak",
        required=("properties.privateDnsZoneConfigs",),
        check=_check_group,
        finished=_write_records,
        deleted=_remove_records,
        depth="writes A records into the zones and takes them away",
    ),
)
