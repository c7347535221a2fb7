"""NAT gateways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator.providers.network import public_addresses
from azure_emulator.providers.network.base import (
    BASE,
    back_references,
    bad_format,
    in_region,
    provisioned,
    put,
    refusal,
    with_guid,
)
from azure_emulator.providers.network.names import NAT_GATEWAY, SUBNET
from azure_emulator.types import Change, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

# Public client code knows both spellings; no recording decides. Setting `natGatewayInUseCode`.
IN_USE_CODES = ("InUseNatGatewayCannotBeDeleted", "NatGatewayInUseBySubnet")
# Assumptions, no recording seen: the codes with which a gateway refuses an address, a time-out and more than one zone.
BAD_ADDRESS = "NatGatewayPublicIPInvalid"
BAD_TIMEOUT = "NatGatewayIdleTimeoutInvalid"
TOO_MANY_ZONES = "NatGatewayZonesInvalid"
SKUS = ("Standard", "StandardV2")
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 4, 120


def _check(change: Change) -> None:
    properties = change.properties
    sku = change.body["sku"]["name"]
    if sku not in SKUS:
        raise bad_format(f"Sku {sku} of NAT gateway {change.id} must be one of {', '.join(SKUS)}.", target="sku")
    for reference in properties.get("publicIpAddresses") or []:
        public_addresses.require_standard_address(change, reference, BAD_ADDRESS)
    for reference in properties.get("publicIpPrefixes") or []:
        prefix = provisioned(change, str(reference.get("id", "")), "PutPublicIpPrefixOperation")
        in_region(change, prefix)
        reference["id"] = prefix.id
    timeout = properties["idleTimeoutInMinutes"]
    if not isinstance(timeout, int) or not SHORTEST_TIMEOUT <= timeout <= LONGEST_TIMEOUT:
        raise refusal(
            BAD_TIMEOUT,
            f"Idle timeout {timeout} of NAT gateway {change.id} is not valid: it must be from {SHORTEST_TIMEOUT} to "
            f"{LONGEST_TIMEOUT} minutes.",
        )
    if sku == "Standard" and len(change.body.get("zones") or []) > 1:
        raise refusal(TOO_MANY_ZONES, f"NAT gateway {change.id} of sku Standard can be in one zone only.")
    with_guid(change)


def _view(engine: Engine, gateway: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    back_references(engine, gateway, shown["properties"], {SUBNET: "subnets"})


def _check_delete(engine: Engine, gateway: Resource, query: Mapping[str, str]) -> None:
    del query
    holders = [holder.id for holder in engine.store.referrers(gateway.id, SUBNET)]
    if holders:
        raise refusal(
            str(engine.setting("natGatewayInUseCode", IN_USE_CODES[0])),
            f"Nat gateway {gateway.id} cannot be deleted because it is in use by the following resources: "
            f"{', '.join(holders)}. In order to delete the Nat gateway, remove the association with the resource(s).",
        )


TYPE = replace(
    BASE,
    name=NAT_GATEWAY,
    put=put(13),
    delete=Verb(seconds=12),
    required=("sku.name",),
    defaults={"properties.idleTimeoutInMinutes": 4, "sku.tier": "Regional"},
    read_only=("properties.subnets", "properties.resourceGuid"),
    immutable=("sku.name", "zones"),
    linked_action="join/action",
    delete_first=75,
    check=_check,
    check_delete=_check_delete,
    view=_view,
    depth="needs Standard static addresses or prefixes, one network, back references, refuses deletion in use",
)
