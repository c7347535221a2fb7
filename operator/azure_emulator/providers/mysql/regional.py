"""What MySQL tells of a region: capabilities, whether a name is free, how full delegated subnets are."""

from __future__ import annotations

from azure_emulator import bodies
from azure_emulator.arm_path import parse
from azure_emulator.providers import usages
from azure_emulator.providers.global_names import is_taken
from azure_emulator.providers.mysql import skus
from azure_emulator.providers.mysql.common import NAME, PRIVATE_SUFFIX, SERVER, bad_parameter
from azure_emulator.providers.network import is_delegated
from azure_emulator.providers.network.names import SUBNET
from azure_emulator.types import Answer, Call, Function

_LOCATIONS = "Microsoft.DBforMySQL/locations"


def _capabilities(call: Call) -> Answer:
    return Answer(200, {"value": skus.capabilities(usages.location_of(call))})


def _capability_sets(call: Call) -> Answer:
    row = skus.capability_set(usages.location_of(call), call.subscription)
    return Answer(200, row if call.path.is_resource else {"value": [row]})


def _check_name(call: Call) -> Answer:
    name = str(bodies.get(call.body or {}, "name") or "")
    if not NAME.match(name):
        message = "The server name must be 3 to 63 lower-case letters, digits and hyphens."
        return Answer(200, {"nameAvailable": False, "reason": "InvalidName", "message": message})
    if is_taken(call.engine, SERVER, name):
        message = "Specified server name is already used."
        return Answer(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Answer(200, {"nameAvailable": True, "message": ""})


def _check_name_there(call: Call) -> Answer:
    usages.location_of(call)
    return _check_name(call)


def _subnet_usage(call: Call) -> Answer:
    engine, location = call.engine, usages.location_of(call)
    vnet = engine.store.get(str(bodies.get(call.body or {}, "virtualNetworkResourceId") or ""))
    if vnet is None:
        raise bad_parameter("virtualNetworkResourceId")
    rows = [
        {"subnetName": subnet.name, "usage": len(engine.store.addresses(subnet.id))}
        for subnet in engine.store.children(vnet.id, SUBNET)
        if is_delegated(subnet, SERVER)
    ]
    return Answer(200, {
        "location": location, "subscriptionId": parse(vnet.id).subscription, "delegatedSubnetsUsage": rows,
    })  # fmt: skip


def _zone_suffix(call: Call) -> Answer:
    del call
    return Answer(200, {"privateDnsZoneSuffix": PRIVATE_SUFFIX})


FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", f"{_LOCATIONS}/capabilities"): _capabilities,
    ("GET", f"{_LOCATIONS}/capabilitySets"): _capability_sets,
    ("POST", f"{_LOCATIONS}/checkNameAvailability"): _check_name_there,
    ("POST", "Microsoft.DBforMySQL/checkNameAvailability"): _check_name,
    ("POST", f"{_LOCATIONS}/checkVirtualNetworkSubnetUsage"): _subnet_usage,
    ("POST", "Microsoft.DBforMySQL/getPrivateDnsZoneSuffix"): _zone_suffix,
}
