"""Private DNS zones, their links to virtual networks and their record sets, part of Microsoft.Network.

Synchronous record sets, asynchronous zones and links; ETags and If-Match are honoured throughout.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.network.base import refuse_with
from azure_emulator.providers.network.names import VNET
from azure_emulator.providers.protocols import PRIVATE_DNS, SYNCHRONOUS
from azure_emulator.types import Answer, Call, Change, Function, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

ZONE = "Microsoft.Network/privateDnsZones"
LINK = f"{ZONE}/virtualNetworkLinks"
# Property that holds the records of each record type (Private DNS REST reference).
RECORDS = {
    "A": "aRecords", "AAAA": "aaaaRecords", "CNAME": "cnameRecord", "MX": "mxRecords", "PTR": "ptrRecords",
    "SOA": "soaRecord", "SRV": "srvRecords", "TXT": "txtRecords",
}  # fmt: skip
_LABEL = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?)"
_ZONE_NAME = re.compile(rf"^{_LABEL}(?:\.{_LABEL})+$")
_RECORD_NAME = re.compile(rf"^(?:@|\*|(?:\*\.)?{_LABEL}(?:\.{_LABEL})*)$")
ADDRESS_TTL = 10
LARGEST_NUMBER = 65535


def _zone_accepted(change: Change, zone: Resource) -> None:
    if not change.exists:
        soa = {
            "email": "azureprivatedns-host.microsoft.com", "expireTime": 2419200, "host": "azureprivatedns.net",
            "minimumTtl": 10, "refreshTime": 3600, "retryTime": 300, "serialNumber": 1,
        }  # fmt: skip
        change.engine.create(f"{zone.id}/SOA/@", {"properties": {"ttl": 3600, "soaRecord": soa}})


def _view_zone(engine: Engine, zone: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    links = engine.store.children(zone.id, LINK)
    registering = [link for link in links if link.properties.get("registrationEnabled")]
    shown["properties"] |= {
        "maxNumberOfRecordSets": 25000, "maxNumberOfVirtualNetworkLinks": 1000,
        "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
        "numberOfRecordSets": len(engine.store.children(zone.id)) - len(links),
        "numberOfVirtualNetworkLinks": len(links), "numberOfVirtualNetworkLinksWithRegistration": len(registering),
    }  # fmt: skip


def _check_link(change: Change) -> None:
    network = str(change.properties["virtualNetwork"]["id"])
    vnet = change.engine.find(network)
    if vnet is None or vnet.type != VNET:
        raise errors.bad_request("BadRequest", f"The resource '{network}' is no virtual network that exists.")
    if change.properties.get("registrationEnabled"):
        _check_registration(change, vnet)
    for link in change.engine.store.children(change.path.parent, LINK):
        other = str(link.properties["virtualNetwork"]["id"])
        if link.key != change.path.key and other.lower() == str(network).lower():
            raise errors.conflict(
                "Conflict",
                f"A virtual network link to '{network}' already exists in the zone under the name '{link.name}'.",
            )


def _check_registration(change: Change, vnet: Resource) -> None:
    """A network registers its machines in one zone only (dns docs, auto-registration)."""
    for holder in change.engine.store.referrers(vnet.id, LINK):
        if holder.key != change.path.key and holder.properties.get("registrationEnabled"):
            raise errors.conflict(
                "Conflict",
                f"Virtual network '{vnet.id}' is already linked to the private zone '{parse(holder.id).names[0]}' with "
                "auto-registration enabled.",
            )


def _view_link(engine: Engine, link: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    done = link.state == "Succeeded"
    shown["properties"]["virtualNetworkLinkState"] = "Completed" if done else "InProgress"


def _check_record(change: Change) -> None:
    record_type = change.path.types[-1].upper()
    name = RECORDS[record_type]
    properties = change.properties
    properties.setdefault("ttl", properties.pop("TTL", 3600))
    found = properties.get(name)
    if not found:
        raise _bad(f"The record set {change.path.name} of type {record_type} must have {name}.", name)
    others = sorted(set(RECORDS.values()) & set(properties) - {name})
    if others:
        raise _bad(f"The record set {change.path.name} of type {record_type} cannot have {others[0]}.", others[0])
    for record in found if isinstance(found, list) else [found]:
        _check_members(change, record_type, record)
    _check_alone(change, record_type)
    zone = change.path.names[0]
    properties["fqdn"] = f"{zone}." if change.path.name == "@" else f"{change.path.name}.{zone}."
    properties["isAutoRegistered"] = False


def _bad(message: str, target: str | None = None) -> errors.ArmError:
    return errors.bad_request("BadRequest", message, target=target)


def _check_members(change: Change, record_type: str, record: dict[str, Any]) -> None:
    for member, fits in _MEMBERS[record_type].items():
        value = record.get(member)
        if value is None or not fits(value):
            raise _bad(
                f"The value '{value}' of {member} in record set {change.path.name} of type {record_type} is not valid.",
                member,
            )


def _check_alone(change: Change, record_type: str) -> None:
    """A CNAME is alone at its name, and never at the zone's own."""
    if record_type == "CNAME" and change.path.name == "@":
        raise _bad("A CNAME record set cannot be created at the zone apex '@'.")
    for other in change.engine.store.children(change.path.parent):
        kind = other.type.rsplit("/", 1)[-1]
        same = other.name.lower() == change.path.name.lower() and other.key != change.path.key
        if same and other.type != LINK and "CNAME" in (kind, record_type):
            raise _bad(
                f"The record set {change.path.name} of type {record_type} could not be created because a record set "
                f"of type {kind} of the same name exists.",
            )


def _is_address(version: int) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        try:
            return ipaddress.ip_address(str(value)).version == version
        except ValueError:
            return False

    return fits


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


# What the records of each type must hold.
_MEMBERS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "A": {"ipv4Address": _is_address(4)},
    "AAAA": {"ipv6Address": _is_address(6)},
    "CNAME": {"cname": _is_text},
    "MX": {"preference": _is_number, "exchange": _is_text},
    "PTR": {"ptrdname": _is_text},
    "SOA": {},
    "SRV": {"priority": _is_number, "weight": _is_number, "port": _is_number, "target": _is_text},
    "TXT": {"value": _are_texts},
}


def write_address(engine: Engine, zone: Resource, label: str, address: str) -> Resource:
    """Write an A record on behalf of another service."""
    body = {"properties": {"ttl": ADDRESS_TTL, "aRecords": [{"ipv4Address": address}]}}
    return engine.create(f"{zone.id}/A/{label}", body)


def _all_records(call: Call) -> Answer:
    zone = call.engine.require(parse(call.path.parent))
    found = [record for record in call.engine.store.children(zone.id) if record.type != LINK]
    return call.engine.page(call, [record for record in found if _ends(call.engine, record, call.query)])


def _ends(engine: Engine, record: Resource, query: Mapping[str, str]) -> bool:
    """`$recordsetnamesuffix` chooses records by the end of their name."""
    del engine
    return record.name.lower().endswith(query.get("$recordsetnamesuffix", "").lower())


_RECORD = ResourceType(
    name="",
    protocol=SYNCHRONOUS,
    put=Verb(),
    patch=Patch(),
    delete=Verb(),
    location=None,
    tags=False,
    etag="plain",
    if_match=True,
    has_state=False,
    name_pattern=_RECORD_NAME,
    read_only=("properties.fqdn", "properties.isAutoRegistered"),
    check=_check_record,
    keep=_ends,
    depth="records checked, a CNAME is alone at its name",
)

TYPES = (
    ResourceType(
        name=ZONE,
        protocol=PRIVATE_DNS,
        put=Verb(seconds=35, created=202, updated=202, creating="Creating", updating="Updating"),
        patch=Patch(seconds=5, status=202),
        delete=Verb(seconds=30),
        location="global",
        etag="plain",
        if_match=True,
        name_pattern=_ZONE_NAME,
        read_only=(
            "properties.maxNumberOfRecordSets", "properties.maxNumberOfVirtualNetworkLinks",
            "properties.maxNumberOfVirtualNetworkLinksWithRegistration", "properties.numberOfRecordSets",
            "properties.numberOfVirtualNetworkLinks", "properties.numberOfVirtualNetworkLinksWithRegistration",
            "properties.internalId",
        ),
        linked_action="join/action",
        delete_first=60,
        accepted=_zone_accepted,
        check_delete=refuse_with(LINK),
        view=_view_zone,
        depth="counts, SOA record, refuses deletion while linked",
    ),
    ResourceType(
        name=LINK,
        protocol=PRIVATE_DNS,
        put=Verb(seconds=45, created=202, updated=202, creating="Creating", updating="Updating"),
        patch=Patch(seconds=5, status=202),
        delete=Verb(seconds=30),
        location="global",
        etag="plain",
        if_match=True,
        required=("properties.virtualNetwork.id",),
        defaults={"properties.registrationEnabled": False, "properties.resolutionPolicy": "Default"},
        read_only=("properties.virtualNetworkLinkState",),
        immutable=("properties.virtualNetwork.id",),
        separate=True,
        delete_first=35,
        check=_check_link,
        view=_view_link,
        depth="one link per virtual network and zone, one zone with registration per virtual network",
    ),
    # A zone's SOA record comes and goes with it.
    *(replace(_RECORD, name=f"{ZONE}/{name}", delete=None if name == "SOA" else Verb()) for name in RECORDS),
)  # fmt: skip

FUNCTIONS: dict[tuple[str, str], Function] = {("GET", f"{ZONE}/ALL"): _all_records}
