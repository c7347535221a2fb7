"""Private DNS zones, their links to virtual networks and their record sets, part of Microsoft.Network.

Synchronous record sets, asynchronous zones and links; ETags and If-Match are honoured throughout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
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


def _refuse_linked_zone(engine: Engine, zone: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    if engine.store.children(zone.id, LINK):
        raise errors.conflict(
            "CannotDeleteResource",
            f"Cannot delete resource {zone.id} before its nested resources are deleted: it has virtual network links.",
        )


def _check_link(change: Change) -> None:
    network = change.properties["virtualNetwork"]["id"]
    for link in change.engine.store.children(change.path.parent, LINK):
        other = str(link.properties["virtualNetwork"]["id"])
        if link.key != change.path.key and other.lower() == str(network).lower():
            raise errors.conflict(
                "Conflict",
                f"A virtual network link to '{network}' already exists in the zone under the name '{link.name}'.",
            )


def _view_link(engine: Engine, link: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    done = link.state == "Succeeded"
    shown["properties"]["virtualNetworkLinkState"] = "Completed" if done else "InProgress"


def _check_record(change: Change) -> None:
    record_type = change.path.types[-1].upper()
    name = RECORDS[record_type]
    properties = change.properties
    properties.setdefault("ttl", properties.pop("TTL", 3600))
    if not properties.get(name):
        raise errors.bad_request(
            "BadRequest", f"The record set {change.path.name} of type {record_type} must have {name}.", target=name
        )
    properties["fqdn"] = f"{change.path.name}.{change.path.names[0]}."
    properties["isAutoRegistered"] = False


def write_address(engine: Engine, zone: Resource, label: str, address: str) -> Resource:
    """Write an A record on behalf of another service."""
    body = {"properties": {"ttl": ADDRESS_TTL, "aRecords": [{"ipv4Address": address}]}}
    return engine.create(f"{zone.id}/A/{label}", body)


def _all_records(call: Call) -> Answer:
    zone = call.engine.require(parse(call.path.parent))
    records = [found for found in call.engine.store.children(zone.id) if found.type != LINK]
    return call.engine.page(call, records)


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
    depth="records checked to be present",
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
        delete_first=60,
        accepted=_zone_accepted,
        check_delete=_refuse_linked_zone,
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
        depth="one link per virtual network",
    ),
    # A zone's SOA record comes and goes with it.
    *(replace(_RECORD, name=f"{ZONE}/{name}", delete=None if name == "SOA" else Verb()) for name in RECORDS),
)  # fmt: skip

FUNCTIONS: dict[tuple[str, str], Function] = {("GET", f"{ZONE}/ALL"): _all_records}
