"""Network security groups, their rules, and application security groups."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.network.base import (
    BASE,
    CHILD,
    back_references,
    in_region,
    in_use,
    one_of,
    part_functions,
    provisioned,
    put,
    refusal,
    with_guid,
)
from azure_emulator.providers.network.names import ASG, ENDPOINT, NIC, NSG, RULE, SUBNET
from azure_emulator.providers.network.service_tags import is_tag
from azure_emulator.types import Change, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

LOWEST_PRIORITY, HIGHEST_PRIORITY = 100, 4096
HIGHEST_PORT = 65535
PROTOCOLS = ("*", "Tcp", "Udp", "Icmp", "Esp", "Ah")
# Assumption: the codes of these refusals are not recorded.
MISSING_PARAMETER = "SecurityRuleParameterMissing"
ASG_IN_USE = "InUseApplicationSecurityGroupCannotBeDeleted"
GROUPS_APART = "ApplicationSecurityGroupsNotInSameVnet"

# Name, priority, direction, access, source, target, description.
DEFAULT_RULES = (
    ("AllowVnetInBound", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork",
     "Allow inbound traffic from all VMs in VNET"),
    ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*",
     "Allow inbound traffic from azure load balancer"),
    ("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*", "Deny all inbound traffic"),
    ("AllowVnetOutBound", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork",
     "Allow outbound traffic from all VMs to all VMs in VNET"),
    ("AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet",
     "Allow outbound traffic from all VMs to Internet"),
    ("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*", "Deny all outbound traffic"),
)  # fmt: skip
_PORTS = re.compile(r"^(\d{1,5})(?:-(\d{1,5}))?$")


# -- rules -----------------------------------------------------------------------------------------------------------


def _check_rule(change: Change) -> None:
    properties = change.properties
    for name in ("protocol", "access", "direction", "priority"):
        if properties.get(name) is None:
            raise errors.bad_request(MISSING_PARAMETER, f"Security rule {change.path.name} has no {name}.", target=name)
    one_of(change, "protocol", PROTOCOLS)
    one_of(change, "access", ("Allow", "Deny"))
    one_of(change, "direction", ("Inbound", "Outbound"))
    priority = properties["priority"]
    if not isinstance(priority, int) or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise errors.bad_request(
            "SecurityRuleInvalidPriority",
            f"Security rule has invalid Priority. Value provided: {priority} Allowed range {LOWEST_PRIORITY}-"
            f"{HIGHEST_PRIORITY}.",
        )
    for side in ("source", "destination"):
        _check_ports(change, side)
        _check_addresses(change, side)
    if change.parent is None:
        siblings = change.engine.store.children(change.path.parent, RULE)
        _check_priorities(
            [(one.name, one.properties) for one in siblings if one.key != change.path.key]
            + [(change.path.name, properties)]
        )


def _values(properties: Mapping[str, Any], one: str, several: str) -> list[str]:
    single = properties.get(one)
    return [str(item) for item in ([single] if single else properties.get(several) or [])]


def _check_ports(change: Change, side: str) -> None:
    found = _values(change.properties, f"{side}PortRange", f"{side}PortRanges")
    if not found:
        raise errors.bad_request(
            MISSING_PARAMETER, f"Security rule {change.path.name} has no {side}PortRange.", target=f"{side}PortRange"
        )
    for text in found:
        match = _PORTS.match(text)
        low, high = (int(match[1]), int(match[2] or match[1])) if match is not None else (1, 0)
        if text != "*" and not low <= high <= HIGHEST_PORT:
            raise errors.bad_request(
                "SecurityRuleInvalidPortRange",
                f"Security rule has invalid Port range. Value provided: {text}. Value should be an integer OR integer "
                f"range with '-' delimiter. Valid range 0-{HIGHEST_PORT}.",
            )


def _check_addresses(change: Change, side: str) -> None:
    properties = change.properties
    found = _values(properties, f"{side}AddressPrefix", f"{side}AddressPrefixes")
    groups = properties.get(f"{side}ApplicationSecurityGroups") or []
    if not found and not groups:
        raise errors.bad_request(
            MISSING_PARAMETER, f"Security rule {change.path.name} has no {side}AddressPrefix.",
            target=f"{side}AddressPrefix",
        )  # fmt: skip
    for text in found:
        if not (text == "*" or is_tag(text) or _is_network(text)):
            raise errors.bad_request(
                "SecurityRuleInvalidAddressPrefix",
                f"Security rule has invalid Address prefix. Value provided: {text}",
            )
    for reference in groups:
        reference["id"] = provisioned(change, str(reference.get("id", "")), "PutApplicationSecurityGroupOperation").id


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _check_priorities(rules: list[tuple[str, dict[str, Any]]]) -> None:
    taken: dict[tuple[str, int], str] = {}
    for name, properties in rules:
        place = (str(properties["direction"]).lower(), int(properties["priority"]))
        if place in taken:
            raise errors.bad_request(
                "SecurityRuleConflict",
                f"Security rule {name} conflicts with rule {taken[place]}. Rules cannot have the same Priority and "
                "Direction.",
            )
        taken[place] = name


# -- groups ----------------------------------------------------------------------------------------------------------


def _check_nsg(change: Change) -> None:
    _check_priorities([(child.path.name, child.properties) for child in change.children])
    with_guid(change)


def default_rules(group: Resource) -> list[dict[str, Any]]:
    """The rules that every group has, behind its own."""
    return [
        {
            "name": name, "id": f"{group.id}/defaultSecurityRules/{name}", "etag": group.etag,
            "type": f"{NSG}/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded", "description": text, "protocol": "*", "sourcePortRange": "*",
                "destinationPortRange": "*", "sourceAddressPrefix": source, "destinationAddressPrefix": target,
                "access": access, "priority": priority, "direction": direction, "sourcePortRanges": [],
                "destinationPortRanges": [], "sourceAddressPrefixes": [], "destinationAddressPrefixes": [],
            },
        }
        for name, priority, direction, access, source, target, text in DEFAULT_RULES
    ]  # fmt: skip


def _view_nsg(engine: Engine, group: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    properties = shown["properties"]
    properties["defaultSecurityRules"] = default_rules(group)
    back_references(engine, group, properties, {SUBNET: "subnets", NIC: "networkInterfaces"})


def referenced_group(change: Change, inner: dict[str, Any]) -> None:
    """Check the security group that a body refers to, if it does."""
    reference = bodies.get(inner, "networkSecurityGroup.id")
    if not reference:
        inner.pop("networkSecurityGroup", None)
        return
    group = provisioned(change, str(reference), "PutNetworkSecurityGroupOperation")
    in_region(change, group)
    inner["networkSecurityGroup"] = {"id": group.id}


def check_application_groups(change: Change, references: list[Any], vnet_id: str) -> None:
    """All interfaces of an application security group are in one network."""
    store = change.engine.store
    for reference in references:
        group = provisioned(change, str(reference.get("id", "")), "PutApplicationSecurityGroupOperation")
        in_region(change, group)
        reference["id"] = group.id
        for holder in store.referrers(group.id, NIC):
            if holder.key == change.path.key:
                continue
            subnet = str(bodies.get(holder.properties["ipConfigurations"][0], "properties.subnet.id", ""))
            if not subnet.lower().startswith(f"{vnet_id.lower()}/"):
                raise refusal(
                    GROUPS_APART,
                    f"Application security group {group.id} cannot be used by {change.id} since its network interfaces "
                    "are in another virtual network.",
                )


NSG_TYPE = replace(
    BASE,
    name=NSG,
    put=put(4),
    embedded={"securityRules": RULE},
    read_only=("properties.resourceGuid", "properties.defaultSecurityRules", "properties.subnets",
               "properties.networkInterfaces", "properties.flowLogs"),
    serialised=NSG,
    linked_action="join/action",
    holds=in_use("Network security group", "InUseNetworkSecurityGroupCannotBeDeleted", SUBNET, NIC),
    delete_first=80,
    check=_check_nsg,
    view=_view_nsg,
    depth="rules inline and as children, default rules, back references, refuses deletion in use",
)  # fmt: skip
RULE_TYPE = replace(
    CHILD,
    name=RULE,
    put=put(4),
    serialised=NSG,
    defaults={"properties.sourcePortRanges": [], "properties.destinationPortRanges": [],
              "properties.sourceAddressPrefixes": [], "properties.destinationAddressPrefixes": []},
    check=_check_rule,
    depth="priorities, ports, addresses and service tags checked, application security groups",
)  # fmt: skip
ASG_TYPE = replace(
    BASE,
    name=ASG,
    put=put(4),
    read_only=("properties.resourceGuid",),
    linked_action="joinIpConfiguration/action",
    holds=in_use("Application security group", ASG_IN_USE, RULE, NIC, ENDPOINT),
    delete_first=85,
    check=with_guid,
    depth="interfaces of one network only, refuses deletion in use",
)

TYPES = (NSG_TYPE, RULE_TYPE, ASG_TYPE)
FUNCTIONS: dict[tuple[str, str], Function] = part_functions(NSG, "defaultSecurityRules")
