"""Network interfaces: their addresses, what they belong to, and what applies to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parent_of, parse
from azure_emulator.providers.network import addresses, effective, public_addresses, security, subnets
from azure_emulator.providers.network.base import (
    BASE,
    bad_format,
    identify,
    in_region,
    one_of,
    part_functions,
    provisioned,
    put,
    refusal,
    with_guid,
)
from azure_emulator.providers.network.names import ENDPOINT, NIC, VM, VNET
from azure_emulator.store import Resource
from azure_emulator.types import Action, Answer, Call, Change, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

# Assumptions: what an interface gets in a subnet that is delegated to a service, or reserved by its name.
DELEGATED_SUBNET = "SubnetWithExternalResourcesCannotBeUsedByOtherResources"
RESERVED_SUBNET = "ReservedSubnetCannotBeUsedByNetworkInterface"
# Effective rules and routes take the service some seconds (azure-cli recordings).
EFFECTIVE_SECONDS = 10.0
# Addresses of Microsoft's cards begin so.
_VENDOR = "00-0D-3A"


# -- the check -------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    configurations = change.properties.get("ipConfigurations")
    if not isinstance(configurations, list) or not configurations:
        raise bad_format(
            f"Network interface {change.id} must have at least one IP configuration.", target="ipConfigurations"
        )
    identify(change, "ipConfigurations", configurations)
    before = {str(item.get("name")).lower(): item for item in change.old.get("ipConfigurations", [])}
    primary = any(bodies.get(item, "properties.primary") for item in configurations)
    allotted: list[list[str]] = []
    for position, item in enumerate(configurations):
        item["properties"].setdefault("primary", position == 0 and not primary)
        allotted.append(_configure(change, item, before.get(str(item.get("name")).lower())))
    change.internal["addresses"] = allotted
    vnet = _check_one_vnet(change, allotted)
    security.referenced_group(change, change.properties)
    for item in configurations:
        _check_memberships(change, item["properties"], vnet)
    _complete_dns(change, vnet)
    one_of(change, "auxiliaryMode", ("None", "MaxConnections", "Floating", "AcceleratedConnections"))
    with_guid(change)


def _configure(change: Change, item: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    inner = item["properties"]
    subnet_id = bodies.get(inner, "subnet.id")
    if not subnet_id:
        raise bad_format(f"IP configuration {item['name']} of {change.id} has no subnet.", target="subnet")
    subnet = subnets.provisioned_subnet(change, str(subnet_id))
    _refuse_special_subnet(change, item, subnet)
    inner.setdefault("privateIPAllocationMethod", "Dynamic")
    inner.setdefault("privateIPAddressVersion", "IPv4")
    inner["subnet"] = {"id": subnet.id}
    static = inner["privateIPAllocationMethod"] == "Static"
    same_subnet = before is not None and bodies.same(bodies.get(before, "properties.subnet.id"), subnet.id)
    kept = bodies.get(before, "properties.privateIPAddress") if same_subnet else None
    wanted = (inner.get("privateIPAddress") or kept) if static else kept
    version = addresses.IPV6 if inner["privateIPAddressVersion"] == "IPv6" else addresses.IPV4
    inner["privateIPAddress"] = addresses.allot(change.engine, subnet, change.id, wanted, version=version)
    return [subnet.key, str(inner["privateIPAddress"])]


def _refuse_special_subnet(change: Change, item: dict[str, Any], subnet: Resource) -> None:
    """Delegated and reserved subnets are for their services only."""
    who = f"Subnet {subnet.id} referenced by {change.id}/ipConfigurations/{item['name']} cannot be used because "
    delegated = subnets.services(subnet.properties)
    if delegated:
        raise errors.bad_request(DELEGATED_SUBNET, f"{who}it is delegated to {min(delegated)}.")
    if subnet.name.lower() in subnets.RESERVED:
        raise refusal(RESERVED_SUBNET, f"{who}its name reserves it for another service.")


def _check_one_vnet(change: Change, allotted: list[list[str]]) -> Resource:
    vnets = {parent_of(subnet) for subnet, _ in allotted}
    if len(vnets) > 1:
        raise errors.bad_request(
            "SubnetsNotInSameVnet",
            f"Subnets referenced by network interface {change.id} are not in the same virtual network.",
        )
    vnet = change.engine.require(parse(vnets.pop()), change.engine.types[VNET.lower()])
    in_region(change, vnet)
    return vnet


def _check_memberships(change: Change, inner: dict[str, Any], vnet: Resource) -> None:
    if bodies.get(inner, "publicIPAddress.id"):
        public_addresses.free_address(change, inner["publicIPAddress"])
    else:
        inner.pop("publicIPAddress", None)
    security.check_application_groups(change, inner.get("applicationSecurityGroups") or [], vnet.id)
    for name in ("loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"):
        for reference in inner.get(name) or []:
            part = provisioned(change, str(reference.get("id", "")), "PutLoadBalancerOperation")
            provisioned(change, part.parent, "PutLoadBalancerOperation")
            reference["id"] = part.id


def _complete_dns(change: Change, vnet: Resource) -> None:
    settings = change.properties.get("dnsSettings") or {}
    servers = settings.get("dnsServers") or []
    suffix = hashlib.sha256(str(vnet.properties.get("resourceGuid")).encode()).hexdigest()[:26]
    change.properties["dnsSettings"] = {
        **settings, "dnsServers": servers, "appliedDnsServers": servers,
        "internalDomainNameSuffix": f"{suffix}.ax.internal.cloudapp.net",
    }  # fmt: skip


# -- what is shown ---------------------------------------------------------------------------------------------------


def holder_of(engine: Engine, nic: Resource, *types: str) -> Resource | None:
    """The machine or private endpoint that an interface belongs to."""
    return next((holder for holder in engine.store.referrers(nic.id) if holder.type in types), None)


def _view(engine: Engine, nic: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    properties = shown["properties"]
    for item in properties["ipConfigurations"]:
        item["etag"] = nic.etag
    machine, endpoint = holder_of(engine, nic, VM), holder_of(engine, nic, ENDPOINT)
    if machine is not None:
        properties["virtualMachine"] = {"id": machine.id}
        properties["primary"] = _is_primary(machine, nic)
        digest = hashlib.sha256(str(properties["resourceGuid"]).encode()).hexdigest().upper()
        properties["macAddress"] = "-".join((_VENDOR, digest[:2], digest[2:4], digest[4:6]))
    if endpoint is not None:
        properties["privateEndpoint"] = {"id": endpoint.id}


def _is_primary(machine: Resource, nic: Resource) -> bool:
    listed = bodies.get(machine.properties, "networkProfile.networkInterfaces") or []
    if len(listed) < 2:  # noqa: PLR2004 (the only one is the primary one)
        return True
    return any(bodies.get(item, "properties.primary") for item in listed if str(item.get("id", "")).lower() == nic.key)


def _check_delete(engine: Engine, nic: Resource, query: Mapping[str, str]) -> None:
    del query
    holder = holder_of(engine, nic, VM, ENDPOINT)
    if holder is not None:
        raise refusal(
            "NicInUse",
            f"Network Interface {nic.id} is used by existing resource {holder.id}. In order to delete the network "
            "interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.",
        )


# -- the type, and what is asked of it -------------------------------------------------------------------------------


def _effective_groups(call: Call, nic: Resource) -> Any:
    return {"value": effective.security_groups(call.engine, nic)}


def _effective_routes(call: Call, nic: Resource) -> Any:
    return {"value": effective.routes(call.engine, nic)}


def _load_balancers(call: Call) -> Answer:
    nic = call.engine.require(parse(call.path.parent))
    found: dict[str, Resource] = {}
    for item in nic.properties["ipConfigurations"]:
        for name in ("loadBalancerBackendAddressPools", "loadBalancerInboundNatRules"):
            for reference in item["properties"].get(name) or []:
                balancer = call.engine.store.get(parent_of(reference["id"]))
                if balancer is not None:
                    found[balancer.key] = balancer
    return call.engine.page(call, list(found.values()))


TYPE = replace(
    BASE,
    name=NIC,
    put=put(4),
    defaults={"properties.enableAcceleratedNetworking": False, "properties.enableIPForwarding": False,
              "properties.disableTcpStateTracking": False, "properties.vnetEncryptionSupported": False,
              "properties.auxiliaryMode": "None", "properties.auxiliarySku": "None",
              "properties.hostedWorkloads": [], "properties.tapConfigurations": [],
              "properties.nicType": "Standard"},
    read_only=("properties.virtualMachine", "properties.privateEndpoint", "properties.resourceGuid",
               "properties.macAddress", "properties.primary", "properties.hostedWorkloads",
               "properties.dnsSettings.appliedDnsServers", "properties.dnsSettings.internalDomainNameSuffix"),
    linked_action="join/action",
    delete_first=45,
    actions={
        "effectiveNetworkSecurityGroups": Action(run=_effective_groups, seconds=EFFECTIVE_SECONDS, status=202),
        "effectiveRouteTable": Action(run=_effective_routes, seconds=EFFECTIVE_SECONDS, status=202),
    },
    check=_check,
    check_delete=_check_delete,
    view=_view,
    depth="addresses allotted from the subnet, memberships checked, refuses a subnet that is being written and "
    "deletion in use, effective rules and routes",
)  # fmt: skip

FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", f"{NIC}/loadBalancers"): _load_balancers,
    **part_functions(NIC, "ipConfigurations"),
}
