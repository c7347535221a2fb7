"""DNS private resolvers with their endpoints, and forwarding rulesets with their rules and network links.

A service of its own behind Microsoft.Network: it wants ETags honoured, and subnets that it has for itself. No name is
ever resolved here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.network import addresses, links, subnets
from azure_emulator.providers.network.base import in_region, provisioned, refuse_with, with_guid
from azure_emulator.providers.network.delegations import ACTIONS
from azure_emulator.providers.network.names import (
    FORWARDING_RULE,
    INBOUND_ENDPOINT,
    OUTBOUND_ENDPOINT,
    RESOLVER,
    RULESET,
    RULESET_LINK,
    SUBNET,
    VNET,
)
from azure_emulator.providers.protocols import DNS_RESOLVER, SYNCHRONOUS
from azure_emulator.store import Resource
from azure_emulator.types import Answer, Call, Change, Function, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation

SERVICE = RESOLVER  # as delegations name it
LARGEST_SUBNET, SMALLEST_SUBNET = 24, 28
MOST_SERVERS = 6
DNS_PORT = 53
# Assumption: the service refuses most things as plain BadRequest, as it is recorded for subnets
# (azure-rest-api-specs#21744), and as Conflict what is in use.
_BAD, _IN_USE = "BadRequest", "Conflict"
_DOMAIN = re.compile(r"^(?:\.|(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+)$")


def _bad(message: str) -> errors.ArmError:
    return errors.bad_request(_BAD, message)


# -- resolvers and endpoints -----------------------------------------------------------------------------------------


def _check_resolver(change: Change) -> None:
    vnet = provisioned(
        change, str(bodies.get(change.properties, "virtualNetwork.id", "")), "PutVirtualNetworkOperation"
    )
    in_region(change, vnet)
    change.properties["virtualNetwork"] = {"id": vnet.id}
    for holder in change.engine.store.referrers(vnet.id, RESOLVER):
        if holder.key != change.path.key:
            raise errors.conflict(_IN_USE, f"Virtual network {vnet.id} has a DNS resolver already: {holder.id}.")
    with_guid(change)


def _connected(engine: Engine, resolver: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    there = engine.store.get(str(bodies.get(resolver.properties, "virtualNetwork.id"))) is not None
    shown["properties"]["dnsResolverState"] = "Connected" if there else "Disconnected"


def _own_subnet(change: Change, reference: Any, noun: str) -> Resource:
    """The subnet of an endpoint: of its resolver's network, not too large nor too small, and empty."""
    subnet = subnets.provisioned_subnet(change, str(bodies.get(reference, "id", "")))
    resolver = change.engine.require(parse(change.path.parent))
    if subnet.parent.lower() != str(bodies.get(resolver.properties, "virtualNetwork.id", "")).lower():
        raise _bad(f"Subnet {subnet.id} is not in the virtual network of DNS resolver {resolver.id}.")
    length = addresses.prefixes(subnet)[0].prefixlen
    others = [
        holder for holder in change.engine.store.referrers(subnet.id)
        if holder.key != change.path.key and holder.type in (INBOUND_ENDPOINT, OUTBOUND_ENDPOINT)
    ]  # fmt: skip
    strange = {service.lower() for service in subnets.services(subnet.properties)} - {SERVICE.lower()}
    occupied = not change.exists and bool(others or strange or subnets.interfaces_in(change.engine, subnet))
    if occupied or not LARGEST_SUBNET <= length <= SMALLEST_SUBNET:
        raise _bad(
            f"The specified subnet {subnet.id} could not be used to provision the {noun} endpoint. Please make sure "
            f"you use a subnet of at least /{SMALLEST_SUBNET} and at most /{LARGEST_SUBNET} size, which is not "
            "currently in use by any other DNS resolver endpoint or any other Azure service workloads."
        )
    return subnet


def _check_inbound(change: Change) -> None:
    configurations = change.properties["ipConfigurations"]
    if len(configurations) != 1:
        raise _bad(f"Inbound endpoint {change.id} must have exactly one of ipConfigurations.")
    inner = configurations[0]
    subnet = _own_subnet(change, inner.get("subnet"), "inbound")
    if change.exists and subnet.key != str(change.internal["subnet"]).lower():
        raise errors.property_change_not_allowed("ipConfigurations")
    inner["subnet"] = {"id": subnet.id}
    inner.setdefault("privateIpAllocationMethod", "Dynamic")
    static = inner["privateIpAllocationMethod"] == "Static"
    known = bodies.get((change.old.get("ipConfigurations") or [{}])[0], "privateIpAddress")
    wanted = inner.get("privateIpAddress") if static else known
    inner["privateIpAddress"] = addresses.allot(change.engine, subnet, change.id, wanted)
    change.internal["addresses"] = [[subnet.key, inner["privateIpAddress"]]]
    change.internal["subnet"] = subnet.id
    with_guid(change)


def _check_outbound(change: Change) -> None:
    subnet = _own_subnet(change, change.properties.get("subnet"), "outbound")
    change.properties["subnet"] = {"id": subnet.id}
    change.internal["subnet"] = subnet.id
    with_guid(change)


def _moved_in(change: Change, endpoint: Resource) -> None:
    """The service delegates the subnet to itself where nobody has (azure-docs#107008)."""
    subnet = change.engine.store.get(endpoint.internal["subnet"])
    if subnet is None:
        return
    if not subnets.services(subnet.properties):
        name = SERVICE.replace("/", ".")
        subnet.properties["delegations"] = [{
            "name": name, "id": f"{subnet.id}/delegations/{name}", "type": f"{SUBNET}/delegations",
            "properties": {"serviceName": SERVICE, "actions": ACTIONS[SERVICE.lower()],
                           "provisioningState": "Succeeded"},
        }]  # fmt: skip
        change.engine.touch(subnet)
    links.hold(change.engine, subnet.id, SERVICE)


def _moved_out(engine: Engine, endpoint: Resource) -> None:
    links.release_later(engine, endpoint.internal["subnet"], SERVICE)


def _refuse_used_outbound(engine: Engine, endpoint: Resource, query: Mapping[str, str]) -> None:
    del query
    for holder in engine.store.referrers(endpoint.id, RULESET):
        raise errors.conflict(_IN_USE, f"Outbound endpoint {endpoint.id} cannot be deleted: {holder.id} uses it.")


# -- rulesets --------------------------------------------------------------------------------------------------------


def _check_ruleset(change: Change) -> None:
    endpoints = change.properties["dnsResolverOutboundEndpoints"]
    if not endpoints:
        raise _bad(f"DNS forwarding ruleset {change.id} needs one of dnsResolverOutboundEndpoints.")
    for reference in endpoints:
        endpoint = provisioned(change, str(reference.get("id", "")), "PutOutboundEndpointOperation")
        in_region(change, endpoint)
        reference["id"] = endpoint.id
    with_guid(change)


def _check_rule(change: Change) -> None:
    properties = change.properties
    if not _DOMAIN.match(str(properties["domainName"])):
        raise _bad(f"Domain name {properties['domainName']} of {change.id} must be a domain name that ends in a dot.")
    servers = properties["targetDnsServers"]
    if not 1 <= len(servers) <= MOST_SERVERS:
        raise _bad(f"Forwarding rule {change.id} needs from 1 to {MOST_SERVERS} of targetDnsServers.")
    for server in servers:
        try:
            ipaddress.IPv4Address(str(server.get("ipAddress")))
        except ValueError as error:
            raise _bad(f"Target DNS server {server.get('ipAddress')} of {change.id} is no IPv4 address.") from error
        server.setdefault("port", DNS_PORT)
    for rule in change.engine.store.children(change.path.parent, FORWARDING_RULE):
        same = bodies.same(rule.properties.get("domainName"), properties["domainName"])
        if rule.key != change.path.key and same:
            raise errors.conflict(_IN_USE, f"Rule {rule.id} forwards {properties['domainName']} already.")


def _check_link(change: Change) -> None:
    network = str(bodies.get(change.properties, "virtualNetwork.id", ""))
    vnet = provisioned(change, network, "PutVirtualNetworkOperation")
    change.properties["virtualNetwork"] = {"id": vnet.id}
    for holder in change.engine.store.referrers(vnet.id, RULESET_LINK):
        if holder.key != change.path.key:
            raise errors.conflict(
                _IN_USE, f"Virtual network {vnet.id} is linked to a DNS forwarding ruleset already: {holder.id}."
            )


# -- the types, and what is asked of them ----------------------------------------------------------------------------


def _resolvers_of(call: Call) -> Answer:
    vnet = call.engine.require(parse(call.path.parent))
    found = call.engine.store.referrers(vnet.id, RESOLVER)
    return Answer(200, {"value": [{"id": resolver.id} for resolver in found]})


def _rulesets_of(call: Call) -> Answer:
    vnet = call.engine.require(parse(call.path.parent))
    found = call.engine.store.referrers(vnet.id, RULESET_LINK)
    return Answer(200, {"value": [
        {"id": link.parent, "properties": {"virtualNetworkLink": {"id": link.id}}} for link in found
    ]})  # fmt: skip


def _long(seconds: float) -> Verb:
    return Verb(seconds=seconds, created=202, updated=202, creating="Creating", updating="Updating", update_seconds=10)


_BASE = ResourceType(name="", protocol=DNS_RESOLVER, etag="plain", if_match=True, delete=Verb(seconds=30))


def _finished(engine: Engine, endpoint: Resource, operation: Operation) -> None:
    del operation
    links.hold(engine, endpoint.internal["subnet"], SERVICE)


# Durations are assumptions: logs of Terraform runs show less than a minute for a resolver, two or three for endpoints.
TYPES = (
    replace(
        _BASE,
        name=RESOLVER,
        put=_long(30),
        patch=Patch(seconds=5, status=202, allowed=frozenset({"tags"})),
        required=("properties.virtualNetwork.id",),
        read_only=("properties.dnsResolverState", "properties.resourceGuid"),
        immutable=("properties.virtualNetwork.id",),
        nested="refuse",
        delete_first=40,
        check=_check_resolver,
        view=_connected,
        depth="one per network, refuses deletion before its endpoints",
    ),
    replace(
        _BASE,
        name=INBOUND_ENDPOINT,
        put=_long(120),
        patch=Patch(seconds=5, status=202, allowed=frozenset({"tags"})),
        delete=Verb(seconds=60),
        required=("properties.ipConfigurations",),
        read_only=("properties.resourceGuid",),
        separate=True,
        delete_first=35,
        check=_check_inbound,
        accepted=_moved_in,
        finished=_finished,
        deleted=_moved_out,
        depth="address, subnet of its own that it delegates to itself and holds for a while after",
    ),
    replace(
        _BASE,
        name=OUTBOUND_ENDPOINT,
        put=_long(120),
        patch=Patch(seconds=5, status=202, allowed=frozenset({"tags"})),
        delete=Verb(seconds=60),
        required=("properties.subnet.id",),
        read_only=("properties.resourceGuid",),
        immutable=("properties.subnet.id",),
        linked_action="join/action",
        separate=True,
        delete_first=35,
        check=_check_outbound,
        accepted=_moved_in,
        finished=_finished,
        check_delete=_refuse_used_outbound,
        deleted=_moved_out,
        depth="subnet of its own, stays while a ruleset uses it",
    ),
    replace(
        _BASE,
        name=RULESET,
        put=_long(20),
        patch=Patch(seconds=5, status=202),
        required=("properties.dnsResolverOutboundEndpoints",),
        read_only=("properties.resourceGuid",),
        delete_first=30,
        check=_check_ruleset,
        check_delete=refuse_with(RULESET_LINK),
        depth="needs outbound endpoints of its region, refuses deletion while linked",
    ),
    replace(
        _BASE,
        name=FORWARDING_RULE,
        protocol=SYNCHRONOUS,
        put=Verb(),
        patch=Patch(),
        delete=Verb(),
        location=None,
        tags=False,
        required=("properties.domainName", "properties.targetDnsServers"),
        defaults={"properties.forwardingRuleState": "Enabled"},
        immutable=("properties.domainName",),
        check=_check_rule,
        depth="domain names, servers, one rule per domain",
    ),
    replace(
        _BASE,
        name=RULESET_LINK,
        put=_long(20),
        patch=Patch(seconds=5, status=202),
        location=None,
        tags=False,
        required=("properties.virtualNetwork.id",),
        immutable=("properties.virtualNetwork.id",),
        separate=True,
        delete_first=25,
        check=_check_link,
        depth="one ruleset per network",
    ),
)
FUNCTIONS: dict[tuple[str, str], Function] = {
    ("POST", f"{VNET}/listDnsResolvers"): _resolvers_of,
    ("POST", f"{VNET}/listDnsForwardingRulesets"): _rulesets_of,
}
