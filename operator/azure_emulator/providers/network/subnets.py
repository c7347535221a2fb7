"""Subnets: ranges, what is associated with them, what is in them, reserved names and delegations."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.network import addresses, exclusion, links
from azure_emulator.providers.network.base import CHILD, bad_format, one_of, provisioned, put, refusal
from azure_emulator.providers.network.delegations import ACTIONS, SERVICES
from azure_emulator.providers.network.names import (
    BASTION,
    BASTION_SUBNET,
    ENDPOINT,
    FIREWALL_SUBNET,
    GATEWAY,
    GATEWAY_SUBNET,
    INSTANCE_NIC,
    LOAD_BALANCER,
    LUSTRE,
    NIC,
    RULE,
    SUBNET,
    VNET,
)
from azure_emulator.store import Resource
from azure_emulator.types import Action, Answer, Call, Change, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

SMALLEST_SUBNET = 29
# Assumption: no recording was found of what more than one delegation, or one of a reserved subnet, gets.
BAD_DELEGATION = "SubnetDelegationNotAllowed"
# Assumption: policies are prepared for a service within seconds.
POLICIES_SECONDS = 5.0

_ASSOCIATED = {
    "networkSecurityGroup": "PutNetworkSecurityGroupOperation",
    "natGateway": "PutNatGatewayOperation",
    "routeTable": "PutRouteTableOperation",
}
# What Azure forbids on its reserved subnets: subnet -> property -> code and text. The refusal of a security group on
# the gateway's is recorded (Azure-Terraform/terraform-azurerm-virtual-network#18); the other codes are assumptions.
_FORBIDDEN: dict[str, dict[str, tuple[str, str]]] = {
    GATEWAY_SUBNET.lower(): {
        "networkSecurityGroup": (
            "NetworkSecurityGroupCannotBeAttachedToGatewaySubnet",
            ("The operation failed because the network security group {name} can not be associated to the "
            "GatewaySubnet. Please remove the network security group associated to the GatewaySubnet. No changes have "
            "occurred on the gateway at this time. See here for additional details: https://aka.ms/GatewaySubnet."),
        ),
        "natGateway": (
            "NatGatewayCannotBeAttachedToGatewaySubnet", "The NAT gateway {name} cannot be attached to GatewaySubnet.",
        ),
    },
    FIREWALL_SUBNET.lower(): {
        "networkSecurityGroup": (
            "NetworkSecurityGroupCannotBeAttachedToAzureFirewallSubnet",
            "The network security group {name} cannot be associated to AzureFirewallSubnet.",
        ),
    },
    BASTION_SUBNET.lower(): {
        "routeTable": (
            "RouteTableCannotBeAttachedForAzureBastionSubnet",
            "Route table {name} cannot be attached to subnet AzureBastionSubnet.",
        ),
        "natGateway": (
            "NatGatewayCannotBeAttachedForAzureBastionSubnet",
            "The NAT gateway {name} cannot be attached to subnet AzureBastionSubnet.",
        ),
    },
}  # fmt: skip
# What Bastion needs a security group on its subnet to allow (azure-docs, bastion-nsg): direction, ports.
_BASTION_NEEDS = (("Inbound", {"443"}), ("Outbound", {"22", "3389"}), ("Outbound", {"443"}))
RESERVED = frozenset(_FORBIDDEN)


# -- ranges ----------------------------------------------------------------------------------------------------------


def check_ranges(vnet: str, space: list[str], ranges: Mapping[str, list[str]]) -> None:
    """Subnets lie within their network's space and apart from each other."""
    known: list[addresses.Network] = []
    for name, texts in ranges.items():
        for text in texts:
            network = ipaddress.ip_network(text)
            if not addresses.within(network, space):
                raise errors.bad_request(
                    "NetcfgSubnetRangeOutsideVnet",
                    f"Subnet '{name}' is not valid because its IP address range is outside the IP address range of "
                    f"virtual network '{vnet}'.",
                )
            if any(network.overlaps(one) for one in known if one.version == network.version):
                raise errors.bad_request(
                    "NetcfgSubnetRangesOverlap",
                    f"Subnet '{name}' is not valid because its IP address range overlaps with that of an existing "
                    f"subnet in virtual network '{vnet}'.",
                )
            known.append(network)


def _check_prefixes(change: Change) -> list[str]:
    texts = addresses.prefix_texts(change.properties)
    if not texts:
        raise bad_format(f"Subnet {change.path.name} has no addressPrefix.", target="addressPrefix")
    for text in texts:
        network = addresses.parse_prefix(text, change.id)
        if network.version == addresses.IPV4 and network.prefixlen > SMALLEST_SUBNET:
            raise errors.bad_request(
                "NetcfgInvalidSubnet",
                f"Subnet '{change.path.name}' is not valid in virtual network '{change.path.names[0]}'.",
            )
    if change.parent is None:
        _check_siblings(change, texts)
    return texts


def _check_siblings(change: Change, texts: list[str]) -> None:
    store = change.engine.store
    vnet = change.engine.require(parse(change.path.parent))
    ranges = {
        subnet.name: addresses.prefix_texts(subnet.properties)
        for subnet in store.children(vnet.id, SUBNET)
        if subnet.key != change.path.key
    }
    check_ranges(vnet.name, addresses.space_of(vnet.properties), {**ranges, change.path.name: texts})


# -- the check -------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    properties = change.properties
    exclusion.refuse_busy(change, change.path.parent)
    texts = _check_prefixes(change)
    _complete_delegations(change)
    _check_associations(change)
    if change.exists:
        _check_in_use(change, texts)
    one_of(change, "privateEndpointNetworkPolicies",
           ("Enabled", "Disabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled"))  # fmt: skip
    one_of(change, "privateLinkServiceNetworkPolicies", ("Enabled", "Disabled"))
    for endpoint in properties.get("serviceEndpoints") or []:
        endpoint["provisioningState"] = "Succeeded"
        endpoint.setdefault("locations", [_vnet_location(change)])


def _vnet_location(change: Change) -> str:
    if change.parent is not None:
        return str(change.parent.body.get("location", ""))
    vnet = change.engine.store.get(change.path.parent)
    return vnet.location if vnet is not None else ""


def _complete_delegations(change: Change) -> None:
    delegations = change.properties.get("delegations") or []
    for delegation in delegations:
        if not delegation.get("name"):
            raise bad_format(f"Each delegation of subnet {change.id} needs a name.", target="delegations")
        inner = delegation.setdefault("properties", {})
        service = str(inner.get("serviceName", ""))
        if not service:
            raise bad_format(f"Delegation {delegation['name']} of subnet {change.id} needs a serviceName.")
        if service.lower() not in ACTIONS:
            raise refusal(
                "InvalidServiceNameOnDelegation",
                f"The service name {service} specified on delegation {change.id}/delegations/{delegation['name']} is "
                f"not valid. Valid value(s) are: {','.join(SERVICES)}",
            )
        inner["provisioningState"] = "Succeeded"
        inner["actions"] = ACTIONS[service.lower()]
        delegation["id"] = f"{change.id}/delegations/{delegation['name']}"
        delegation["type"] = f"{SUBNET}/delegations"
    if len(delegations) > 1:
        raise refusal(BAD_DELEGATION, f"Subnet {change.id} can be delegated to one service only.")
    if delegations and change.path.name.lower() in RESERVED:
        raise refusal(BAD_DELEGATION, f"Subnet {change.id} is reserved by its name and cannot be delegated.")


def _check_associations(change: Change) -> None:
    """What a subnet is associated with must be in its region, and allowed on it."""
    location = _vnet_location(change)
    forbidden = _FORBIDDEN.get(change.path.name.lower(), {})
    for name, operation in _ASSOCIATED.items():
        reference = bodies.get(change.properties, f"{name}.id")
        if not reference:
            change.properties.pop(name, None)
            continue
        found = provisioned(change, str(reference), operation)
        if found.location != location:
            raise errors.invalid_reference(str(reference), change.id)
        if name in forbidden:
            code, text = forbidden[name]
            raise refusal(code, text.format(name=found.name))
        change.properties[name] = {"id": found.id}
    _check_one_network_per_gateway(change)
    if change.path.name.lower() == BASTION_SUBNET.lower():
        _check_bastion_rules(change)


def _check_one_network_per_gateway(change: Change) -> None:
    gateway = str(bodies.get(change.properties, "natGateway.id", ""))
    for other in change.engine.store.referrers(gateway, SUBNET):
        if other.parent.lower() != change.path.parent.lower():
            raise refusal(
                "NatGatewayCannotBeUsedBySubnetsBelongingToDifferentVirtualNetworks",
                f"Nat Gateway {gateway} cannot be used by subnets {change.id}, {other.id} since they belong to "
                "different virtual networks.",
            )


def _check_bastion_rules(change: Change) -> None:
    group = change.engine.store.get(str(bodies.get(change.properties, "networkSecurityGroup.id", "")))
    if group is None:
        return
    rules = [rule.properties for rule in change.engine.store.children(group.id, RULE)]
    allowed = [
        (rule["direction"], {str(rule.get("destinationPortRange")), *map(str, rule.get("destinationPortRanges") or [])})
        for rule in rules
        if rule.get("access") == "Allow"
    ]
    for direction, ports in _BASTION_NEEDS:
        if not any(way == direction and (ports <= found or "*" in found) for way, found in allowed):
            raise refusal(
                "NetworkSecurityGroupNotCompliantForAzureBastionSubnet",
                f"Network security group {group.name} does not have necessary rules for Azure Bastion Subnet "
                "AzureBastionSubnet.",
            )


def _check_in_use(change: Change, texts: list[str]) -> None:
    subnet = change.engine.require(change.path)
    users = subnet_users(change.engine, subnet)
    before, after = services(change.old), services(change.properties)
    for service in links.linked_services(change.engine, subnet):
        if service.lower() in {one.lower() for one in before - after}:
            raise refusal(
                "SubnetMissingRequiredDelegation",
                f"Subnet {subnet.id} requires any of the following delegation(s) [{service}] to reference service "
                f"association link {links.link_ids(change.engine, subnet)[0]}.",
            )
    if not users:
        return
    lost = [text for text in addresses.prefix_texts(change.old) if text not in texts]
    if lost:
        raise errors.bad_request(
            "InUsePrefixCannotBeDeleted",
            f"IpPrefix {lost[0]} on Subnet {subnet.name} has active allocations and cannot be deleted.",
        )
    if before != after:
        raise refusal(
            "SubnetDelegationsCannotChangeWhenSubnetUsedByResource",
            f"Delegations of subnet {subnet.id} cannot be changed from {_listed(before)} to {_listed(after)} because "
            f"it is being used by the resource {users[0]}.",
        )


def _listed(found: Iterable[str]) -> str:
    return f"[{', '.join(sorted(found))}]"


def services(properties: Mapping[str, Any]) -> set[str]:
    """The services that a subnet is delegated to."""
    found = properties.get("delegations") or []
    return {str(bodies.get(delegation, "properties.serviceName", "")) for delegation in found}


def is_delegated(subnet: Resource, service: str) -> bool:
    """Whether a subnet is delegated to a service, such as Microsoft.NetApp/volumes."""
    return service.lower() in {one.lower() for one in services(subnet.properties)}


# -- what is in a subnet ---------------------------------------------------------------------------------------------


def _configurations(resource: Resource, subnet_id: str) -> list[str]:
    collection = {
        BASTION: "bastionHostIpConfigurations", LOAD_BALANCER: "frontendIPConfigurations",
    }.get(resource.type, "ipConfigurations")  # fmt: skip
    shown = "frontendIPConfigurations" if resource.type == LOAD_BALANCER else "ipConfigurations"
    return [
        f"{resource.id}/{collection}/{item['name']}"
        for item in resource.properties.get(shown) or []
        if bodies.same(bodies.get(item, "properties.subnet.id"), subnet_id)
    ]


def _itself(resource: Resource, subnet_id: str) -> list[str]:
    del subnet_id
    return [resource.id]


# Which referrers occupy a subnet, and under which ids they are named. Services in delegated subnets are seen by their
# service association link.
_OCCUPANTS: dict[str, Callable[[Resource, str], list[str]]] = {
    NIC: _configurations,
    BASTION: _configurations,
    LOAD_BALANCER: _configurations,
    GATEWAY: _configurations,
    INSTANCE_NIC: _configurations,
    LUSTRE: _itself,
}
_SHOWN_AS_CONFIGURATIONS = (NIC, INSTANCE_NIC, BASTION, LOAD_BALANCER, GATEWAY)


def interfaces_in(engine: Engine, subnet: Resource) -> list[str]:
    """Ids of what has an address in a subnet, services in their delegated subnet aside."""
    users: list[str] = []
    for resource in engine.store.referrers(subnet.id):
        occupant = _OCCUPANTS.get(resource.type)
        if occupant is not None:
            users.extend(occupant(resource, subnet.id))
    return users


def subnet_users(engine: Engine, subnet: Resource) -> list[str]:
    """Ids of what is in a subnet."""
    return interfaces_in(engine, subnet) or links.link_ids(engine, subnet)


def _check_delete(engine: Engine, subnet: Resource, query: Mapping[str, str]) -> None:
    del query
    users = subnet_users(engine, subnet)
    if users:
        raise refusal(
            "InUseSubnetCannotBeDeleted",
            f"Subnet {subnet.name} is in use by {users[0]} and cannot be deleted. In order to delete the subnet, "
            "delete all the resources within the subnet. See aka.ms/deletesubnet.",
        )
    exclusion.refuse_busy_deletion(engine, subnet.parent)


def _view(engine: Engine, subnet: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    properties = shown["properties"]
    holders = engine.store.referrers(subnet.id)
    configurations = [
        {"id": found}
        for holder in holders
        if holder.type in _SHOWN_AS_CONFIGURATIONS
        for found in _configurations(holder, subnet.id)
    ]
    endpoints = [{"id": holder.id} for holder in holders if holder.type == ENDPOINT]
    association = links.show(engine, subnet)
    for name, value in (
        ("ipConfigurations", configurations), ("privateEndpoints", endpoints), ("serviceAssociationLinks", association)
    ):  # fmt: skip
        if value:
            properties[name] = value
    if association:
        properties["purpose"] = "HostedWorkloads"


def provisioned_subnet(change: Change, subnet_id: str) -> Resource:
    """The subnet that something is to be put into; refused while it is being written itself."""
    return provisioned(change, subnet_id, "PutSubnetOperation")


# -- the type, and what is asked of it -------------------------------------------------------------------------------


def _list_association_links(call: Call) -> Answer:
    subnet = call.engine.require(parse(call.path.parent))
    return Answer(200, {"value": links.show(call.engine, subnet)})


def _list_navigation_links(call: Call) -> Answer:
    """Only services from before delegations leave those (Redis, API Management); none of them is emulated."""
    call.engine.require(parse(call.path.parent))
    return Answer(200, {"value": []})


def _prepare(call: Call, subnet: Resource) -> None:
    """A service makes sure that its subnet has what it needs; clients see nothing of it but the operation."""
    if not isinstance(call.body, dict) or not call.body.get("serviceName"):
        raise bad_format(f"The request on subnet {subnet.id} needs a serviceName.", target="serviceName")


TYPE = replace(
    CHILD,
    name=SUBNET,
    put=put(5),
    defaults={"properties.delegations": [], "properties.privateEndpointNetworkPolicies": "Disabled",
              "properties.privateLinkServiceNetworkPolicies": "Enabled"},
    read_only=("properties.ipConfigurations", "properties.privateEndpoints", "properties.serviceAssociationLinks",
               "properties.resourceNavigationLinks", "properties.ipConfigurationProfiles", "properties.purpose"),
    serialised=VNET,
    linked_action="join/action",
    actions={
        "prepareNetworkPolicies": Action(run=_prepare, seconds=POLICIES_SECONDS, status=202),
        "unprepareNetworkPolicies": Action(run=_prepare, seconds=POLICIES_SECONDS, status=202),
    },
    check=_check,
    check_delete=_check_delete,
    view=_view,
    depth="ranges, reserved names, associations, delegations and their links, back references, refuses changes in use",
)  # fmt: skip

FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", f"{SUBNET}/serviceAssociationLinks"): _list_association_links,
    ("GET", f"{SUBNET}/resourceNavigationLinks"): _list_navigation_links,
}
