"""Route tables and routes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator.providers.network import addresses
from azure_emulator.providers.network.base import (
    BASE,
    CHILD,
    back_references,
    bad_format,
    in_use,
    one_of,
    put,
    refusal,
    with_guid,
)
from azure_emulator.providers.network.names import ROUTE, ROUTE_TABLE, SUBNET
from azure_emulator.providers.network.service_tags import is_tag
from azure_emulator.types import Change

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

HOPS = ("VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None")
# Assumption: no recording was found of two routes of a table with the same prefix.
SAME_PREFIX = "RouteConflict"


def _check_route(change: Change) -> None:
    properties = change.properties
    one_of(change, "nextHopType", HOPS)
    prefix = str(properties["addressPrefix"])
    if not is_tag(prefix):
        addresses.parse_prefix(prefix, change.id)
    hop = properties.get("nextHopIpAddress")
    if (properties["nextHopType"] == "VirtualAppliance") != bool(hop):
        raise bad_format(
            f"Route {change.path.name} must have nextHopIpAddress exactly when its nextHopType is VirtualAppliance."
        )
    if hop:
        _check_hop(change, str(hop))
    properties["hasBgpOverride"] = False
    if change.parent is None:
        siblings = change.engine.store.children(change.path.parent, ROUTE)
        _check_apart(
            [
                *((one.name, one.properties) for one in siblings if one.key != change.path.key),
                (change.path.name, properties),
            ]
        )


def _check_hop(change: Change, hop: str) -> None:
    try:
        ipaddress.ip_address(hop)
    except ValueError as error:
        raise bad_format(f"Next hop {hop} of route {change.path.name} is no IP address.") from error


def _check_apart(routes: list[tuple[str, dict[str, Any]]]) -> None:
    taken: dict[str, str] = {}
    for name, properties in routes:
        prefix = str(properties["addressPrefix"]).lower()
        if prefix in taken:
            raise refusal(
                SAME_PREFIX,
                f"Route {name} conflicts with route {taken[prefix]}. Routes cannot have the same AddressPrefix.",
            )
        taken[prefix] = name


def _check_table(change: Change) -> None:
    _check_apart([(child.path.name, child.properties) for child in change.children])
    with_guid(change)


def _view(engine: Engine, table: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    back_references(engine, table, shown["properties"], {SUBNET: "subnets"})


TYPES = (
    replace(
        BASE,
        name=ROUTE_TABLE,
        put=put(4),
        embedded={"routes": ROUTE},
        defaults={"properties.disableBgpRoutePropagation": False},
        read_only=("properties.subnets", "properties.resourceGuid"),
        serialised=ROUTE_TABLE,
        linked_action="join/action",
        holds=in_use("Route table", "InUseRouteTableCannotBeDeleted", SUBNET),
        delete_first=80,
        check=_check_table,
        view=_view,
        depth="routes inline and as children, back references, refuses deletion in use",
    ),
    replace(
        CHILD,
        name=ROUTE,
        put=put(4),
        required=("properties.addressPrefix", "properties.nextHopType"),
        serialised=ROUTE_TABLE,
        check=_check_route,
        depth="prefixes, service tags and next hops checked, one route per prefix",
    ),
)
