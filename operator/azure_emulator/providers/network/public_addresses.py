"""Public IP addresses and prefixes: which are given out, who holds them, and how many there may be.

All addresses are from ranges that are reserved for benchmarks (RFC 2544), so none is anybody's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.network import quota
from azure_emulator.providers.network.base import BASE, in_region, in_use, one_of, provisioned, put, refusal, with_guid
from azure_emulator.providers.network.names import (
    BASTION,
    GATEWAY,
    LOAD_BALANCER,
    NAT_GATEWAY,
    NIC,
    PREFIX,
    PUBLIC_IP,
)
from azure_emulator.types import Answer, Call, Change, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

# Single addresses come from the first range, those of prefixes from the second.
SINGLE_RANGE = ipaddress.ip_network("198.18.0.0/16")
PREFIX_RANGE = ipaddress.ip_network("198.19.0.0/16")
# Azure's limits of a prefix (virtual-network docs, public IP prefix).
LONGEST_PREFIX, SHORTEST_PREFIX = 31, 28
# Assumptions: no recording of these refusals was found.
PREFIX_IN_USE = "InUsePublicIpPrefixCannotBeDeleted"
PREFIX_FULL = "PublicIPPrefixOutOfIpAddresses"
BAD_PREFIX_LENGTH = "InvalidPublicIPPrefixLength"
_LABEL = re.compile(r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$")

# Where the holders of an address name it: the list in their body, and the collection in which its members have ids.
_HOLDERS = {
    NIC: ("ipConfigurations", "ipConfigurations"),
    BASTION: ("ipConfigurations", "bastionHostIpConfigurations"),
    GATEWAY: ("ipConfigurations", "ipConfigurations"),
    LOAD_BALANCER: ("frontendIPConfigurations", "frontendIPConfigurations"),
}


# -- addresses -------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    sku = bodies.get(change.body, "sku.name")
    properties = change.properties
    properties.setdefault("publicIPAllocationMethod", "Dynamic" if sku == "Basic" else "Static")
    one_of(change, "publicIPAllocationMethod", ("Static", "Dynamic"))
    one_of(change, "publicIPAddressVersion", ("IPv4", "IPv6"))
    if sku != "Basic" and properties["publicIPAllocationMethod"] != "Static":
        raise errors.bad_request(
            "InvalidPublicIPAllocationMethod",
            f"Standard sku publicIp {change.id} must have AllocationMethod set to Static.",
        )
    if not change.exists:
        quota.require_public_address(change)
    _check_label(change)
    _check_prefix_of(change)
    with_guid(change)


def _check_label(change: Change) -> None:
    label = bodies.get(change.properties, "dnsSettings.domainNameLabel")
    if not label:
        return
    if not _LABEL.match(str(label)):
        raise refusal(
            "InvalidDomainNameLabel",
            f"The domain name label {label} is invalid. It must conform to the following regular expression: "
            f"{_LABEL.pattern}.",
        )
    name = _name_of(str(label), str(change.body["location"]))
    if _holder_of_name(change.engine, name, change.path.key) is not None:
        raise refusal("DnsRecordInUse", f"DNS record {name} is already used by another public IP.")
    change.properties["dnsSettings"]["fqdn"] = name


def _name_of(label: str, location: str) -> str:
    return f"{label}.{location}.cloudapp.azure.com"


def _holder_of_name(engine: Engine, name: str, but: str = "") -> Resource | None:
    for address in engine.store.of_type(PUBLIC_IP):
        if address.key != but and bodies.get(address.properties, "dnsSettings.fqdn") == name:
            return address
    return None


def _check_prefix_of(change: Change) -> None:
    reference = bodies.get(change.properties, "publicIPPrefix.id")
    if not reference:
        change.properties.pop("publicIPPrefix", None)
        return
    prefix = provisioned(change, str(reference), "PutPublicIpPrefixOperation")
    in_region(change, prefix)
    change.properties["publicIPPrefix"] = {"id": prefix.id}
    if "ipAddress" not in change.properties and not _free_of(change.engine, prefix):
        raise refusal(PREFIX_FULL, f"All addresses of public IP prefix {prefix.id} are allocated.")


def _allot(engine: Engine, address: Resource, operation: Operation) -> None:
    del operation
    properties = address.properties
    if properties.get("ipAddress") or properties.get("publicIPAllocationMethod") != "Static":
        return
    prefix = engine.store.get(str(bodies.get(properties, "publicIPPrefix.id", "")))
    if prefix is not None:
        properties["ipAddress"] = next(iter(_free_of(engine, prefix)), None)
    elif properties["publicIPAddressVersion"] == "IPv6":
        properties["ipAddress"] = f"2001:db8::{_next(engine, 'publicAddresses6'):x}"
    else:
        properties["ipAddress"] = next_address(engine)


def next_address(engine: Engine) -> str:
    """A public IPv4 address that nobody had before."""
    return str(SINGLE_RANGE.network_address + _next(engine, "publicAddresses"))


def _next(engine: Engine, counter: str) -> int:
    count = int(engine.setting(counter, 0)) + 1
    engine.store.set(counter, count)
    return count


def holder_of(engine: Engine, address: Resource) -> str | None:
    """Id of the IP configuration or gateway that uses a public address."""
    for holder in engine.store.referrers(address.id):
        if holder.type == NAT_GATEWAY:
            return holder.id
        listed, collection = _HOLDERS.get(holder.type, ("", ""))
        for item in holder.properties.get(listed) or []:
            if bodies.same(bodies.get(item, "properties.publicIPAddress.id"), address.id):
                return f"{holder.id}/{collection}/{item['name']}"
    return None


def _view(engine: Engine, address: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    holder = holder_of(engine, address)
    if holder is not None:
        shown["properties"]["natGateway" if "/natGateways/" in holder else "ipConfiguration"] = {"id": holder}


def _check_delete(engine: Engine, address: Resource, query: Mapping[str, str]) -> None:
    del query
    holder = holder_of(engine, address)
    if holder is not None:
        raise refusal(
            "PublicIPAddressCannotBeDeleted",
            f"Public IP address {address.id} can not be deleted since it is still allocated to resource {holder}. In "
            "order to delete the public IP, disassociate/detach the Public IP address from the resource. To learn how "
            "to do this, see aka.ms/deletepublicip.",
        )


def free_address(change: Change, reference: Any) -> Resource:
    """The public address that a body refers to; refused while it is written, or when somebody else has it."""
    address = provisioned(change, str(bodies.get(reference, "id", "")), "PutPublicIpAddressOperation")
    in_region(change, address)
    holder = holder_of(change.engine, address)
    if (
        holder is not None
        and not holder.lower().startswith(f"{change.path.key}/")
        and holder.lower() != change.path.key
    ):
        raise errors.bad_request(
            "PublicIPAddressInUse",
            f"Resource {change.id} is referencing public IP address {address.id} that is already allocated to resource "
            f"{holder}.",
        )
    reference["id"] = address.id
    return address


def require_standard_address(change: Change, reference: Any, code: str) -> Resource:
    """The same where only a Standard static address will do."""
    if not bodies.get(reference, "id"):
        raise errors.bad_request(code, f"Resource {change.id} needs the id of a public IP address.")
    address = free_address(change, reference)
    fits = address.properties.get("publicIPAllocationMethod") == "Static"
    if bodies.get(address.body, "sku.name") == "Basic" or not fits:
        raise errors.bad_request(
            code, f"Public IP address {address.id} used by resource {change.id} must be of sku Standard and Static."
        )
    return address


# -- prefixes --------------------------------------------------------------------------------------------------------


def _check_prefix(change: Change) -> None:
    length = change.properties["prefixLength"]
    if not isinstance(length, int) or not SHORTEST_PREFIX <= length <= LONGEST_PREFIX:
        raise refusal(
            BAD_PREFIX_LENGTH,
            f"Prefix length {length} of public IP prefix {change.id} is not valid: it must be from {SHORTEST_PREFIX} "
            f"to {LONGEST_PREFIX}.",
        )
    if not change.exists:
        quota.require_public_prefix(change)
    with_guid(change)


def _allot_prefix(engine: Engine, prefix: Resource, operation: Operation) -> None:
    del operation
    if not prefix.properties.get("ipPrefix"):
        step = 2 ** (32 - SHORTEST_PREFIX)
        start = PREFIX_RANGE.network_address + step * (_next(engine, "publicPrefixes") - 1)
        prefix.properties["ipPrefix"] = f"{start}/{prefix.properties['prefixLength']}"


def members(engine: Engine, prefix: Resource) -> list[Resource]:
    """The public addresses that were taken from a prefix."""
    return engine.store.referrers(prefix.id, PUBLIC_IP)


def _free_of(engine: Engine, prefix: Resource) -> list[str]:
    taken = {member.properties.get("ipAddress") for member in members(engine, prefix)}
    network = ipaddress.ip_network(prefix.properties["ipPrefix"])
    return [str(address) for address in network if str(address) not in taken]


def _view_prefix(engine: Engine, prefix: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    found = members(engine, prefix)
    if found:
        shown["properties"]["publicIPAddresses"] = [{"id": member.id} for member in found]
    for gateway in engine.store.referrers(prefix.id, NAT_GATEWAY):
        shown["properties"]["natGateway"] = {"id": gateway.id}


# -- the types, and what is asked of them ----------------------------------------------------------------------------


def _check_name(call: Call) -> Answer:
    """Whether a domain name label is free in a region."""
    label = call.query.get("domainNameLabel", "")
    if not _LABEL.match(label):
        raise refusal(
            "InvalidDomainNameLabel",
            f"The domain name label {label} is invalid. It must conform to the following regular expression: "
            f"{_LABEL.pattern}.",
        )
    taken = _holder_of_name(call.engine, _name_of(label, call.path.names[0].lower()))
    return Answer(200, {"available": taken is None})


TYPES = (
    replace(
        BASE,
        name=PUBLIC_IP,
        put=put(4),
        # Basic addresses were retired on 2025-09-30, so Standard is what one gets.
        defaults={"sku.name": "Standard", "sku.tier": "Regional", "properties.publicIPAddressVersion": "IPv4",
                  "properties.idleTimeoutInMinutes": 4, "properties.ipTags": [],
                  "properties.ddosSettings": {"protectionMode": "VirtualNetworkInherited"}},
        read_only=("properties.ipAddress", "properties.ipConfiguration", "properties.natGateway",
                   "properties.resourceGuid", "properties.dnsSettings.fqdn"),
        immutable=("sku.name", "zones", "properties.publicIPAddressVersion", "properties.publicIPPrefix.id"),
        linked_action="join/action",
        delete_first=80,
        check=_check,
        finished=_allot,
        check_delete=_check_delete,
        view=_view,
        depth="quota, name labels, address allotted when done, back references, refuses deletion in use",
    ),
    replace(
        BASE,
        name=PREFIX,
        put=put(6),
        required=("properties.prefixLength",),
        defaults={"sku.name": "Standard", "sku.tier": "Regional", "properties.publicIPAddressVersion": "IPv4",
                  "properties.ipTags": []},
        read_only=("properties.ipPrefix", "properties.publicIPAddresses", "properties.resourceGuid",
                   "properties.loadBalancerFrontendIpConfiguration", "properties.natGateway"),
        immutable=("sku.name", "zones", "properties.prefixLength", "properties.publicIPAddressVersion"),
        linked_action="join/action",
        holds=in_use("Public IP prefix", PREFIX_IN_USE, PUBLIC_IP, NAT_GATEWAY, LOAD_BALANCER),
        delete_first=82,
        check=_check_prefix,
        finished=_allot_prefix,
        view=_view_prefix,
        depth="range allotted when done, addresses taken from it, quota, refuses deletion in use",
    ),
)  # fmt: skip
FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", "Microsoft.Network/locations/checkDnsNameAvailability"): _check_name,
}
