"""Private endpoints and their DNS zone groups, part of Microsoft.Network.

An endpoint is a network interface in a subnet that leads to one service of another resource; a zone group writes the
interface's address into private DNS zones. Which services a resource offers is data here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import last_name, parse
from azure_emulator.providers.network import exclusion, names, private_dns, subnets
from azure_emulator.providers.network.base import BASE, CHILD, bad_format, identify, put, refusal
from azure_emulator.providers.network.names import NIC
from azure_emulator.types import Change, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

ENDPOINT = names.ENDPOINT
ZONE_GROUP = names.ZONE_GROUP

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
NAME_TAKEN = "NetworkInterfaceNameInUse"

_APPROVED = {"status": "Approved", "description": "Auto-approved", "actionsRequired": "None"}
# Who asks by hand waits until the other side agrees.
_PENDING = {"status": "Pending", "description": "Awaiting Approval", "actionsRequired": "None"}
_FIRST_STATES = {"privateLinkServiceConnections": _APPROVED, "manualPrivateLinkServiceConnections": _PENDING}


def connections(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All connections of an endpoint, those that need approval too."""
    return [
        *(properties.get("privateLinkServiceConnections") or []),
        *(properties.get("manualPrivateLinkServiceConnections") or []),
    ]


def _check(change: Change) -> None:
    properties = change.properties
    subnet = subnets.provisioned_subnet(change, str(bodies.get(properties, "subnet.id", "")))
    exclusion.refuse_busy_network(change, subnet.parent)
    properties["subnet"] = {"id": subnet.id}
    if not connections(properties):
        raise bad_format(f"Private endpoint {change.id} has no privateLinkServiceConnections.")
    known = {str(item["name"]).lower(): item["properties"] for item in connections(change.old)}
    for name, state in _FIRST_STATES.items():
        items = properties.get(name) or []
        identify(change, name, items)
        for item in items:
            inner = item["properties"]
            _check_service(change, str(inner.get("privateLinkServiceId", "")), inner.get("groupIds") or [])
            before = known.get(str(item["name"]).lower(), {})
            inner["privateLinkServiceConnectionState"] = before.get("privateLinkServiceConnectionState") or dict(state)
        properties[name] = items
    properties.setdefault("customNetworkInterfaceName", "")
    properties.setdefault("ipConfigurations", [])
    if not change.exists:
        _plan_interface(change, subnet)


def _plan_interface(change: Change, subnet: Resource) -> None:
    """An endpoint has a network interface of its own, with the address that was asked for or a free one."""
    engine, properties = change.engine, change.properties
    nic_name = properties.get("customNetworkInterfaceName") or f"{change.path.name}.nic.{engine.guid()}"
    group = f"/subscriptions/{change.subscription}/resourceGroups/{change.path.resource_group}"
    nic_id = f"{group}/providers/{NIC}/{nic_name}"
    if engine.store.get(nic_id) is not None:
        raise refusal(
            NAME_TAKEN, f"Private endpoint {change.id} cannot be created: network interface {nic_id} exists already."
        )
    configurations: list[dict[str, Any]] = [
        {
            "name": str(asked.get("name") or f"privateEndpointIpConfig.{engine.guid()}"),
            "properties": {"subnet": {"id": subnet.id}, "primary": position == 0, **_wanted(asked)},
        }
        for position, asked in enumerate(properties["ipConfigurations"] or [{}])
    ]
    if properties.get("applicationSecurityGroups"):
        configurations[0]["properties"]["applicationSecurityGroups"] = properties["applicationSecurityGroups"]
    body = {"location": change.body["location"], "properties": {"ipConfigurations": configurations}}
    change.internal["nic"] = nic_id
    change.planned.append(engine.plan(nic_id, body))


def _wanted(asked: dict[str, Any]) -> dict[str, Any]:
    address = bodies.get(asked, "properties.privateIPAddress")
    return {"privateIPAddress": address, "privateIPAllocationMethod": "Static"} if address else {}


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
        {"fqdn": fqdn, "ipAddresses": [address]} for fqdn, address in public_names(engine, endpoint)
    ]


def public_names(engine: Engine, endpoint: Resource) -> list[tuple[str, str]]:
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
    identify(change, "privateDnsZoneConfigs", change.properties["privateDnsZoneConfigs"])
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
        for fqdn, address in public_names(engine, endpoint):
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
    replace(
        BASE,
        name=ENDPOINT,
        put=put(45),
        delete=Verb(seconds=30),
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
    replace(
        CHILD,
        name=ZONE_GROUP,
        put=put(15),
        required=("properties.privateDnsZoneConfigs",),
        check=_check_group,
        finished=_write_records,
        deleted=_remove_records,
        depth="writes A records into the zones and takes them away",
    ),
)
