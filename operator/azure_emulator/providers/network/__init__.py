"""Microsoft.Network: virtual networks, subnets, security groups, public addresses, NAT, Bastion, network interfaces.

Private endpoints are in private_endpoints.py, private DNS (a service of its own behind the same namespace) in
private_dns.py.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parent_of, parse
from azure_emulator.providers.network import addresses, links, private_dns, private_endpoints
from azure_emulator.providers.protocols import NETWORK, PRIVATE_DNS, operation_functions
from azure_emulator.types import TAGS_ONLY, Change, Hold, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

VNET = "Microsoft.Network/virtualNetworks"
SUBNET = f"{VNET}/subnets"
NSG = "Microsoft.Network/networkSecurityGroups"
RULE = f"{NSG}/securityRules"
ROUTE_TABLE = "Microsoft.Network/routeTables"
ROUTE = f"{ROUTE_TABLE}/routes"
PUBLIC_IP = "Microsoft.Network/publicIPAddresses"
NAT_GATEWAY = "Microsoft.Network/natGateways"
BASTION = "Microsoft.Network/bastionHosts"
NIC = "Microsoft.Network/networkInterfaces"
VOLUME = "Microsoft.NetApp/netAppAccounts/capacityPools/volumes"
LUSTRE = "Microsoft.StorageCache/amlFilesystems"
VM = "Microsoft.Compute/virtualMachines"

# Since this version a virtual network's PUT without `subnets` leaves them alone; before, it deletes them; an empty list
# deletes them in all versions (Azure Networking Blog, "Virtual Network now supports updates without subnet property").
SUBNETS_KEPT_FROM = "2023-09-01"
SMALLEST_SUBNET = 29
BASTION_SUBNET = "AzureBastionSubnet"
BASTION_SMALLEST_SUBNET = 26
# Public client code knows both InUseNatGatewayCannotBeDeleted and NatGatewayInUseBySubnet; no recording decides.
NAT_IN_USE = "InUseNatGatewayCannotBeDeleted"
# Assumptions, no recording seen: the codes with which Bastion and NAT refuse what they cannot use.
BASTION_BAD_SUBNET = "BastionHostSubnetInvalid"
BASTION_BAD_ADDRESS = "BastionHostPublicIPInvalid"
NAT_BAD_ADDRESS = "NatGatewayPublicIPInvalid"
# Assumption: what a NIC in a subnet that is delegated to another service gets.
DELEGATED_SUBNET = "SubnetWithExternalResourcesCannotBeUsedByOtherResources"
# Public addresses come from a range that is reserved for documentation (RFC 5737 and 2544), so none is anybody's.
PUBLIC_RANGE = ipaddress.ip_network("198.18.0.0/15")

_DELEGATION_ACTIONS = {
    "Microsoft.NetApp/volumes": ["Microsoft.Network/networkinterfaces/*",
                                 "Microsoft.Network/virtualNetworks/subnets/join/action"],
}  # fmt: skip


# -- virtual networks and subnets ------------------------------------------------------------------------------------


def _check_vnet(change: Change) -> None:
    space = [addresses.parse_prefix(text, change.id) for text in _address_space(change.properties)]
    for one, other in itertools.combinations(space, 2):
        if one.overlaps(other):
            raise errors.bad_request(
                "VirtualNetworkAddressSpaceOverlaps",
                f"Address prefixes {one} and {other} of virtual network {change.path.name} overlap.",
            )
    ranges = {child.path.name: _subnet_prefixes(child.properties) for child in change.children}
    gone = {child.key for child in change.omitted}
    for subnet in change.engine.store.children(change.id, SUBNET):
        if subnet.key not in gone:
            ranges.setdefault(subnet.name, _subnet_prefixes(subnet.properties))
    _check_ranges(change.path.name, _address_space(change.properties), ranges)
    change.properties.setdefault("resourceGuid", change.engine.guid())


def _address_space(properties: Mapping[str, Any]) -> list[str]:
    return list(bodies.get(properties, "addressSpace.addressPrefixes", []))


def _subnet_prefixes(properties: Mapping[str, Any]) -> list[str]:
    found = properties.get("addressPrefixes") or [properties.get("addressPrefix")]
    return [text for text in found if text]


def _check_ranges(vnet: str, space: list[str], ranges: Mapping[str, list[str]]) -> None:
    networks = [ipaddress.ip_network(text) for text in space]
    known: list[tuple[str, addresses.Network]] = []
    for name, texts in ranges.items():
        for text in texts:
            network = ipaddress.ip_network(text)
            if not any(network.version == one.version and network.subnet_of(one) for one in networks):  # type: ignore[arg-type]
                raise errors.bad_request(
                    "NetcfgSubnetRangeOutsideVnet",
                    f"Subnet '{name}' is not valid because its IP address range is outside the IP address range of "
                    f"virtual network '{vnet}'.",
                )
            if any(network.overlaps(one) for other, one in known if one.version == network.version):
                raise errors.bad_request(
                    "NetcfgSubnetRangesOverlap",
                    f"Subnet '{name}' is not valid because its IP address range overlaps with that of an existing "
                    f"subnet in virtual network '{vnet}'.",
                )
            known.append((name, network))


def _check_subnet(change: Change) -> None:
    properties = change.properties
    texts = _subnet_prefixes(properties)
    if not texts:
        raise errors.bad_request(
            "InvalidRequestFormat", f"Subnet {change.path.name} has no addressPrefix.", target="addressPrefix"
        )
    for text in texts:
        network = addresses.parse_prefix(text, change.id)
        if network.version == 4 and network.prefixlen > SMALLEST_SUBNET:  # noqa: PLR2004 (IP version)
            raise errors.bad_request(
                "NetcfgInvalidSubnet",
                f"Subnet '{change.path.name}' is not valid in virtual network '{change.path.names[0]}': the smallest "
                f"subnet is /{SMALLEST_SUBNET}.",
            )
    if change.parent is None:
        _check_siblings(change, texts)
    if change.exists:
        _check_subnet_in_use(change, texts)
    _check_neighbours_region(change)
    for delegation in properties.get("delegations") or []:
        inner = delegation.setdefault("properties", {})
        inner["provisioningState"] = "Succeeded"
        inner.setdefault("actions", _DELEGATION_ACTIONS.get(inner.get("serviceName", ""), []))
        delegation["id"] = f"{change.id}/delegations/{delegation.get('name', '')}"
        delegation["type"] = f"{SUBNET}/delegations"
    for endpoint in properties.get("serviceEndpoints") or []:
        endpoint["provisioningState"] = "Succeeded"
        endpoint.setdefault("locations", [_vnet_location(change)])


def _check_siblings(change: Change, texts: list[str]) -> None:
    store = change.engine.store
    vnet = change.engine.require(parse(change.path.parent))
    ranges = {
        subnet.name: _subnet_prefixes(subnet.properties)
        for subnet in store.children(vnet.id, SUBNET)
        if subnet.key != change.path.key
    }
    _check_ranges(vnet.name, _address_space(vnet.properties), {**ranges, change.path.name: texts})


def _vnet_location(change: Change) -> str:
    if change.parent is not None:
        return str(change.parent.body.get("location", ""))
    vnet = change.engine.store.get(change.path.parent)
    return vnet.location if vnet is not None else ""


def _check_subnet_in_use(change: Change, texts: list[str]) -> None:
    subnet = change.engine.require(change.path)
    users = subnet_users(change.engine, subnet)
    if not users:
        return
    lost = [text for text in _subnet_prefixes(change.old) if text not in texts]
    if lost:
        raise errors.bad_request(
            "InUsePrefixCannotBeDeleted",
            f"IpPrefix {lost[0]} on Subnet {subnet.name} has active allocations and cannot be deleted.",
        )
    if _services(change.old) - _services(change.properties):
        raise errors.bad_request(
            "InUseSubnetCannotBeUpdated",
            f"Subnet {subnet.name} is in use by {users[0]} and its delegation cannot be removed.",
        )


def _services(properties: Mapping[str, Any]) -> set[str]:
    found = properties.get("delegations") or []
    return {str(bodies.get(delegation, "properties.serviceName", "")).lower() for delegation in found}


def _check_neighbours_region(change: Change) -> None:
    """What a subnet is associated with must be in its region."""
    location = _vnet_location(change)
    for name in ("networkSecurityGroup", "natGateway", "routeTable"):
        reference = bodies.get(change.properties, f"{name}.id")
        found = change.engine.store.get(reference) if reference else None
        if found is not None and found.location != location:
            raise errors.invalid_reference(str(reference), change.id)
        if found is not None:
            change.properties[name] = {"id": found.id}


def _ip_configurations(resource: Resource, subnet_id: str) -> list[str]:
    return [
        f"{resource.id}/ipConfigurations/{item['name']}"
        if resource.type == NIC
        else f"{resource.id}/bastionHostIpConfigurations/{item['name']}"
        for item in resource.properties.get("ipConfigurations", [])
        if bodies.same(bodies.get(item, "properties.subnet.id"), subnet_id)
    ]


def _itself(resource: Resource, subnet_id: str) -> list[str]:  # noqa: ARG001 (same signature as its neighbour)
    return [resource.id]


# Which referrers occupy a subnet, and under which ids they are named.
_OCCUPANTS: dict[str, Callable[[Resource, str], list[str]]] = {
    NIC: _ip_configurations,
    BASTION: _ip_configurations,
    VOLUME: _itself,
    LUSTRE: _itself,
}


def subnet_users(engine: Engine, subnet: Resource) -> list[str]:
    """Ids of what is in a subnet."""
    users: list[str] = []
    for resource in engine.store.referrers(subnet.id):
        occupant = _OCCUPANTS.get(resource.type)
        if occupant is not None:
            users.extend(occupant(resource, subnet.id))
    return users or links.link_ids(subnet)


def _refuse_subnet_in_use(engine: Engine, subnet: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    users = subnet_users(engine, subnet)
    if users:
        raise errors.ArmError(
            errors.BAD_REQUEST,
            "InUseSubnetCannotBeDeleted",
            f"Subnet {subnet.name} is in use by {users[0]} and cannot be deleted. In order to delete the subnet, "
            "delete all the resources within the subnet. See aka.ms/deletesubnet.",
            details=[],
        )


def _view_subnet(engine: Engine, subnet: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    properties = shown["properties"]
    holders = engine.store.referrers(subnet.id)
    configurations = [
        {"id": found}
        for holder in holders
        if holder.type in (NIC, BASTION)
        for found in _ip_configurations(holder, subnet.id)
    ]
    if configurations:
        properties["ipConfigurations"] = configurations
    endpoints = [{"id": holder.id} for holder in holders if holder.type == private_endpoints.ENDPOINT]
    if endpoints:
        properties["privateEndpoints"] = endpoints
    volumes = [holder for holder in holders if holder.type == VOLUME]
    if volumes:
        properties["serviceAssociationLinks"] = [{
            "name": "Microsoft.NetApp", "id": f"{subnet.id}/serviceAssociationLinks/Microsoft.NetApp",
            "properties": {"linkedResourceType": "Microsoft.NetApp/volumes", "allowDelete": False,
                           "provisioningState": "Succeeded"},
        }]  # fmt: skip


def provisioned_subnet(change: Change, subnet_id: str) -> Resource:
    """The subnet that something is to be put into; refused while it is being written itself."""
    subnet = change.engine.store.get(subnet_id)
    if subnet is None:
        raise errors.invalid_reference(subnet_id, change.id)
    if subnet.state not in ("Succeeded", "Failed"):
        last = "DeleteSubnetOperation" if subnet.state == "Deleting" else "PutSubnetOperation"
        raise errors.referenced_not_provisioned(subnet.id, change.id, subnet.state, last)
    return subnet


# -- security groups -------------------------------------------------------------------------------------------------

LOWEST_PRIORITY, HIGHEST_PRIORITY = 100, 4096
_DEFAULT_RULES = (
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


def _check_rule(change: Change) -> None:
    properties = change.properties
    for name in ("protocol", "access", "direction", "priority"):
        if properties.get(name) is None:
            raise errors.bad_request(
                "SecurityRuleParameterMissing", f"Security rule {change.path.name} has no {name}.", target=name
            )
    priority = properties["priority"]
    if not isinstance(priority, int) or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise errors.bad_request(
            "SecurityRuleInvalidPriority",
            f"Security rule has invalid Priority. Value provided: {priority} Allowed range {LOWEST_PRIORITY}-"
            f"{HIGHEST_PRIORITY}.",
        )
    if change.parent is None:
        siblings = change.engine.store.children(change.path.parent, RULE)
        _check_priorities(
            [(one.name, one.properties) for one in siblings if one.key != change.path.key]
            + [(change.path.name, properties)]
        )


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


def _check_nsg(change: Change) -> None:
    _check_priorities([(child.path.name, child.properties) for child in change.children])
    change.properties.setdefault("resourceGuid", change.engine.guid())


def _view_nsg(engine: Engine, group: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    properties = shown["properties"]
    properties["defaultSecurityRules"] = [
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
        for name, priority, direction, access, source, target, text in _DEFAULT_RULES
    ]  # fmt: skip
    _back_references(engine, group, properties, {SUBNET: "subnets", NIC: "networkInterfaces"})


HOPS = ("VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None")


def _check_route(change: Change) -> None:
    properties = change.properties
    hop = properties.get("nextHopType")
    if hop not in HOPS:
        raise errors.bad_request(
            "InvalidRequestFormat", f"Route {change.path.name} needs a nextHopType: one of {', '.join(HOPS)}."
        )
    if (hop == "VirtualAppliance") != bool(properties.get("nextHopIpAddress")):
        raise errors.bad_request(
            "InvalidRequestFormat",
            f"Route {change.path.name} must have nextHopIpAddress exactly when its nextHopType is VirtualAppliance.",
        )
    properties["hasBgpOverride"] = False


def _view_route_table(engine: Engine, table: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    _back_references(engine, table, shown["properties"], {SUBNET: "subnets"})


def _back_references(engine: Engine, resource: Resource, properties: dict[str, Any], names: Mapping[str, str]) -> None:
    """Show which resources refer to this one; like Azure, show nothing where there are none."""
    for type_name, name in names.items():
        found = [{"id": holder.id} for holder in engine.store.referrers(resource.id) if holder.type == type_name]
        if found:
            properties[name] = found


def _in_use(noun: str, code: str, *types: str) -> tuple[Hold, ...]:
    message = (
        f"{noun} {{id}} cannot be deleted because it is in use by the following resources: {{holders}}. In order to "
        f"delete the {noun}, remove the association with the resource(s). To learn how to do this, see "
        "aka.ms/deletensg."
    )
    return tuple(Hold(by=name, code=code, message=message) for name in types)


# -- public addresses, NAT, Bastion ----------------------------------------------------------------------------------


def _check_public_ip(change: Change) -> None:
    sku = bodies.get(change.body, "sku.name")
    properties = change.properties
    properties.setdefault("publicIPAllocationMethod", "Static" if sku == "Standard" else "Dynamic")
    if sku == "Standard" and properties["publicIPAllocationMethod"] != "Static":
        raise errors.bad_request(
            "InvalidPublicIPAllocationMethod",
            f"Standard sku publicIp {change.id} must have AllocationMethod set to Static.",
        )
    label = bodies.get(properties, "dnsSettings.domainNameLabel")
    if label:
        properties["dnsSettings"]["fqdn"] = f"{label}.{change.body['location']}.cloudapp.azure.com"
    properties.setdefault("resourceGuid", change.engine.guid())


def _allot_public_address(engine: Engine, resource: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    properties = resource.properties
    if properties.get("ipAddress") or properties.get("publicIPAllocationMethod") != "Static":
        return
    count = engine.setting("publicAddresses", 0) + 1
    engine.store.set("publicAddresses", count)
    properties["ipAddress"] = str(PUBLIC_RANGE.network_address + count)


def public_address_holder(engine: Engine, address: Resource) -> str | None:
    """Id of the IP configuration or gateway that uses a public address."""
    for holder in engine.store.referrers(address.id):
        if holder.type == NAT_GATEWAY:
            return holder.id
        for item in holder.properties.get("ipConfigurations", []):
            if bodies.same(bodies.get(item, "properties.publicIPAddress.id"), address.id):
                collection = "ipConfigurations" if holder.type == NIC else "bastionHostIpConfigurations"
                return f"{holder.id}/{collection}/{item['name']}"
    return None


def _view_public_ip(engine: Engine, address: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    holder = public_address_holder(engine, address)
    if holder is not None:
        shown["properties"]["natGateway" if "/natGateways/" in holder else "ipConfiguration"] = {"id": holder}


def _refuse_public_ip_in_use(engine: Engine, address: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    holder = public_address_holder(engine, address)
    if holder is not None:
        raise errors.ArmError(
            errors.BAD_REQUEST,
            "PublicIPAddressCannotBeDeleted",
            f"Public IP address {address.id} can not be deleted since it is still allocated to resource {holder}. In "
            "order to delete the public IP, disassociate/detach the Public IP address from the resource. To learn how "
            "to do this, see aka.ms/deletepublicip.",
            details=[],
        )


def _require_standard_address(change: Change, reference: Any, code: str) -> None:
    address = change.engine.store.get(str(bodies.get(reference, "id", "")))
    if address is None:
        raise errors.bad_request(code, f"Resource {change.id} needs the id of a public IP address.")
    if (
        bodies.get(address.body, "sku.name") != "Standard"
        or address.properties.get("publicIPAllocationMethod") != "Static"
    ):
        raise errors.bad_request(
            code, f"Public IP address {address.id} used by resource {change.id} must be of sku Standard and Static."
        )
    holder = public_address_holder(change.engine, address)
    if holder is not None and not holder.lower().startswith(change.path.key):
        raise errors.bad_request(
            "PublicIPAddressInUse",
            f"Resource {change.id} is referencing public IP address {address.id} that is already allocated to resource "
            f"{holder}.",
        )


def _check_nat(change: Change) -> None:
    for reference in change.properties.get("publicIpAddresses") or []:
        _require_standard_address(change, reference, NAT_BAD_ADDRESS)
    change.properties.setdefault("resourceGuid", change.engine.guid())


def _view_nat(engine: Engine, gateway: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    _back_references(engine, gateway, shown["properties"], {SUBNET: "subnets"})


def _check_bastion(change: Change) -> None:
    configurations = change.properties["ipConfigurations"]
    if not isinstance(configurations, list) or not configurations:
        raise errors.bad_request(BASTION_BAD_SUBNET, f"Bastion {change.id} needs one of ipConfigurations.")
    for item in configurations:
        inner = item.setdefault("properties", {})
        subnet_id = str(bodies.get(inner, "subnet.id", ""))
        if not subnet_id.lower().endswith(f"/subnets/{BASTION_SUBNET.lower()}"):
            raise errors.bad_request(
                BASTION_BAD_SUBNET, f"Bastion {change.id} can only be created in a subnet named {BASTION_SUBNET}."
            )
        subnet = provisioned_subnet(change, subnet_id)
        if addresses.prefixes(subnet)[0].prefixlen > BASTION_SMALLEST_SUBNET:
            raise errors.bad_request(
                BASTION_BAD_SUBNET,
                f"The address range of {subnet.id} must be /{BASTION_SMALLEST_SUBNET} or larger.",
            )
        _require_standard_address(change, inner.get("publicIPAddress"), BASTION_BAD_ADDRESS)
        item["id"] = f"{change.id}/bastionHostIpConfigurations/{item['name']}"
        inner["privateIPAllocationMethod"] = "Dynamic"
        inner["provisioningState"] = "Succeeded"
    if not change.exists:
        host = f"bst-{change.engine.guid()}.bastion.azure.com"
        change.properties["dnsName"] = host


# -- network interfaces ----------------------------------------------------------------------------------------------


def _check_nic(change: Change) -> None:
    configurations = change.properties.get("ipConfigurations")
    if not isinstance(configurations, list) or not configurations:
        raise errors.bad_request(
            "InvalidRequestFormat",
            f"Network interface {change.id} must have at least one IP configuration.",
            target="ipConfigurations",
        )
    before = {str(item.get("name")).lower(): item for item in change.old.get("ipConfigurations", [])}
    primary = any(bodies.get(item, "properties.primary") for item in configurations)
    allotted: list[list[str]] = []
    for position, item in enumerate(configurations):
        inner = item.setdefault("properties", {})
        inner.setdefault("primary", position == 0 and not primary)
        allotted.append(_configure_address(change, item, before.get(str(item.get("name")).lower())))
    change.internal["addresses"] = allotted
    _check_one_vnet(change, allotted)
    properties = change.properties
    properties.setdefault("resourceGuid", change.engine.guid())
    properties.setdefault("dnsSettings", {"dnsServers": [], "appliedDnsServers": []})


def _configure_address(change: Change, item: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    inner = item["properties"]
    subnet_id = bodies.get(inner, "subnet.id")
    if not subnet_id:
        raise errors.bad_request(
            "InvalidRequestFormat",
            f"IP configuration {item.get('name')} of {change.id} has no subnet.",
            target="subnet",
        )
    subnet = provisioned_subnet(change, str(subnet_id))
    if _services(subnet.properties):
        service = min(_services(subnet.properties))
        raise errors.bad_request(
            DELEGATED_SUBNET,
            f"Subnet {subnet.id} referenced by {change.id}/ipConfigurations/{item.get('name')} cannot be used because "
            f"it is delegated to {service}.",
        )
    inner.setdefault("privateIPAllocationMethod", "Dynamic")
    inner.setdefault("privateIPAddressVersion", "IPv4")
    inner["subnet"] = {"id": subnet.id}
    inner["provisioningState"] = "Succeeded"
    item["id"] = f"{change.id}/ipConfigurations/{item['name']}"
    item["type"] = f"{NIC}/ipConfigurations"
    static = inner["privateIPAllocationMethod"] == "Static"
    same_subnet = before is not None and bodies.same(bodies.get(before, "properties.subnet.id"), subnet.id)
    kept = bodies.get(before, "properties.privateIPAddress") if same_subnet else None
    wanted = inner.get("privateIPAddress") if static else kept
    inner["privateIPAddress"] = addresses.allot(change.engine, subnet, change.id, wanted)
    return [subnet.key, str(inner["privateIPAddress"])]


def _check_one_vnet(change: Change, allotted: list[list[str]]) -> None:
    vnets = {parent_of(subnet) for subnet, _ in allotted}
    if len(vnets) > 1:
        raise errors.bad_request(
            "SubnetsNotInSameVnet",
            f"Subnets referenced by network interface {change.id} are not in the same virtual network.",
        )


def _view_nic(engine: Engine, nic: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    properties = shown["properties"]
    for item in properties["ipConfigurations"]:
        item["etag"] = nic.etag
    holders = {holder.type: holder for holder in engine.store.referrers(nic.id)}
    if VM in holders:
        properties["virtualMachine"] = {"id": holders[VM].id}
        properties["primary"] = True
    if private_endpoints.ENDPOINT in holders:
        properties["privateEndpoint"] = {"id": holders[private_endpoints.ENDPOINT].id}


def _refuse_nic_in_use(engine: Engine, nic: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    for holder in engine.store.referrers(nic.id):
        if holder.type in (VM, private_endpoints.ENDPOINT):
            raise errors.ArmError(
                errors.BAD_REQUEST,
                "NicInUse",
                f"Network Interface {nic.id} is used by existing resource {holder.id}. In order to delete the network "
                "interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.",
                details=[],
            )


# -- the types -------------------------------------------------------------------------------------------------------


# Durations are from public logs (azurerm#16615, turbot PR 824, azure-cli recordings); deletions are mostly assumed.
def _put(seconds: float) -> Verb:
    """Network shows Updating even while it creates (azure-cli recordings)."""
    return Verb(seconds=seconds, creating="Updating", updating="Updating")


_BASE = ResourceType(name="", protocol=NETWORK, patch=TAGS_ONLY, delete=Verb(seconds=10), etag="weak")

TYPES = (
    replace(
        _BASE,
        name=VNET,
        put=_put(6),
        required=("properties.addressSpace.addressPrefixes",),
        defaults={"properties.enableDdosProtection": False, "properties.virtualNetworkPeerings": [],
                  "properties.privateEndpointVNetPolicies": "Disabled"},
        read_only=("properties.resourceGuid",),
        embedded={"subnets": SUBNET},
        embedded_kept_from=SUBNETS_KEPT_FROM,
        serialised=VNET,
        delete_first=70,
        check=_check_vnet,
        depth="subnets inline, address space checks, one write at a time below it, refuses deletion in use",
    ),
    replace(
        _BASE,
        name=SUBNET,
        put=_put(5),
        patch=None,
        location=None,
        tags=False,
        defaults={"properties.delegations": [], "properties.privateEndpointNetworkPolicies": "Disabled",
                  "properties.privateLinkServiceNetworkPolicies": "Enabled"},
        read_only=("properties.ipConfigurations", "properties.privateEndpoints", "properties.serviceAssociationLinks",
                   "properties.resourceNavigationLinks", "properties.ipConfigurationProfiles", "properties.purpose"),
        serialised=VNET,
        check=_check_subnet,
        check_delete=_refuse_subnet_in_use,
        view=_view_subnet,
        depth="range and overlap checks, associations, delegations, back references, refuses changes in use",
    ),
    replace(
        _BASE,
        name=NSG,
        put=_put(4),
        embedded={"securityRules": RULE},
        read_only=("properties.resourceGuid", "properties.defaultSecurityRules", "properties.subnets",
                   "properties.networkInterfaces", "properties.flowLogs"),
        serialised=NSG,
        holds=_in_use("Network security group", "InUseNetworkSecurityGroupCannotBeDeleted", SUBNET, NIC),
        delete_first=80,
        check=_check_nsg,
        view=_view_nsg,
        depth="rules inline and as children, default rules, back references, refuses deletion in use",
    ),
    replace(
        _BASE,
        name=RULE,
        put=_put(4),
        patch=None,
        location=None,
        tags=False,
        serialised=NSG,
        defaults={"properties.sourcePortRanges": [], "properties.destinationPortRanges": [],
                  "properties.sourceAddressPrefixes": [], "properties.destinationAddressPrefixes": []},
        check=_check_rule,
        depth="priority checks",
    ),
    replace(
        _BASE,
        name=ROUTE_TABLE,
        put=_put(4),
        embedded={"routes": ROUTE},
        defaults={"properties.disableBgpRoutePropagation": False},
        read_only=("properties.subnets", "properties.resourceGuid"),
        serialised=ROUTE_TABLE,
        holds=_in_use("Route table", "InUseRouteTableCannotBeDeleted", SUBNET),
        delete_first=80,
        view=_view_route_table,
        depth="routes inline and as children, back references, refuses deletion in use",
    ),
    replace(
        _BASE,
        name=ROUTE,
        put=_put(4),
        patch=None,
        location=None,
        tags=False,
        required=("properties.nextHopType",),
        serialised=ROUTE_TABLE,
        check=_check_route,
        depth="next hops",
    ),
    replace(
        _BASE,
        name=PUBLIC_IP,
        put=_put(4),
        # Basic addresses were retired on 2025-09-30, so Standard is what one gets.
        defaults={"sku": {"name": "Standard", "tier": "Regional"}, "properties.publicIPAddressVersion": "IPv4",
                  "properties.idleTimeoutInMinutes": 4, "properties.ipTags": []},
        read_only=("properties.ipAddress", "properties.ipConfiguration", "properties.natGateway",
                   "properties.resourceGuid"),
        immutable=("sku.name", "zones"),
        delete_first=80,
        check=_check_public_ip,
        finished=_allot_public_address,
        check_delete=_refuse_public_ip_in_use,
        view=_view_public_ip,
        depth="address allotted when done, back references, refuses deletion in use",
    ),
    replace(
        _BASE,
        name=NAT_GATEWAY,
        put=_put(13),
        delete=Verb(seconds=12),
        required=("sku.name",),
        defaults={"properties.idleTimeoutInMinutes": 4, "sku.tier": "Regional"},
        read_only=("properties.subnets", "properties.resourceGuid"),
        holds=_in_use("NAT gateway", NAT_IN_USE, SUBNET),
        delete_first=75,
        check=_check_nat,
        view=_view_nat,
        depth="needs Standard static addresses, back references, refuses deletion in use",
    ),
    replace(
        _BASE,
        name=BASTION,
        put=_put(480),
        patch=Patch(seconds=60, status=202, allowed=frozenset({"tags"})),
        delete=Verb(seconds=240),
        required=("properties.ipConfigurations",),
        defaults={"sku": {"name": "Standard"}, "properties.scaleUnits": 2},
        read_only=("properties.dnsName",),
        delete_first=40,
        check=_check_bastion,
        depth="needs AzureBastionSubnet of /26 or larger and a Standard static address",
    ),
    replace(
        _BASE,
        name=NIC,
        put=_put(4),
        defaults={"properties.enableAcceleratedNetworking": False, "properties.enableIPForwarding": False,
                  "properties.nicType": "Standard"},
        read_only=("properties.virtualMachine", "properties.privateEndpoint", "properties.resourceGuid",
                   "properties.macAddress", "properties.primary"),
        delete_first=45,
        check=_check_nic,
        check_delete=_refuse_nic_in_use,
        view=_view_nic,
        depth="private addresses allotted from the subnet, refuses a subnet that is being written, and deletion in use",
    ),
)  # fmt: skip

PROVIDER = Provider(
    namespace="Microsoft.Network",
    types=(*TYPES, *private_endpoints.TYPES, *private_dns.TYPES),
    functions={**operation_functions(NETWORK, PRIVATE_DNS), **private_dns.FUNCTIONS},
    timers=links.TIMERS,
)
