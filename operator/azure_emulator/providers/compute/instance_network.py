"""Network interfaces and public addresses of the instances of Uniform scale sets.

They are no resources of Microsoft.Network: they are read below the instance, and live and go with it. The lists below a
set's path are of Flexible sets as well, whose machines have interfaces of the ordinary kind.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.compute.names import INSTANCE, INSTANCE_NIC, SCALE_SET, VM
from azure_emulator.providers.network import addresses, public_addresses
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.store import Resource
from azure_emulator.types import Answer, Call, ResourceType

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

_CONFIGURATIONS = "networkProfile.networkInterfaceConfigurations"
_ADDRESS = "publicIPAddresses"
SET_SEGMENTS = 9  # of the path of a scale set, the empty one before its first slash included


def check(profile: Mapping[str, Any]) -> None:
    """A set's model needs interfaces that can be made: names, one primary, a subnet for each configuration."""
    listed = bodies.get(profile, _CONFIGURATIONS) or []
    if not listed:
        raise errors.missing_parameter("networkInterfaceConfigurations")
    primary = [item for item in listed if bodies.get(item, "properties.primary")]
    if len(listed) == 1 and not primary:
        listed[0].setdefault("properties", {})["primary"] = True
    elif len(primary) != 1:
        raise errors.bad_request(
            "InvalidParameter", "Exactly one of the networkInterfaceConfigurations must be primary.",
            target="networkInterfaceConfigurations",
        )  # fmt: skip
    for item in listed:
        for configuration in bodies.get(item, "properties.ipConfigurations") or [{}]:
            if not bodies.get(configuration, "properties.subnet.id"):
                raise errors.bad_request(
                    "InvalidParameter", f"Required parameter 'subnet' of network interface configuration "
                    f"'{item.get('name')}' is missing (null).", target="subnet"
                )  # fmt: skip


def is_accelerated(profile: Mapping[str, Any]) -> bool:
    """Whether a model asks for accelerated networking."""
    return any(bodies.get(item, "properties.enableAcceleratedNetworking")
               for item in bodies.get(profile, _CONFIGURATIONS) or [])  # fmt: skip


def plug_in(engine: Engine, scale_set: Resource, instance: Resource) -> None:
    """Give an instance its interfaces, with an address of the subnet for each configuration."""
    references = []
    for item in bodies.get(scale_set.properties["virtualMachineProfile"], _CONFIGURATIONS) or []:
        nic = _interface(engine, instance, item)
        engine.store.save(nic)
        references.append({"id": nic.id, "properties": {"primary": bool(nic.properties.get("primary"))}})
    instance.properties["networkProfile"] = {"networkInterfaces": references}


def _interface(engine: Engine, instance: Resource, item: dict[str, Any]) -> Resource:
    nic_id = f"{instance.id}/networkInterfaces/{item['name']}"
    inner = copy.deepcopy(item.get("properties") or {})
    allotted: list[list[str]] = []
    configurations = []
    for position, source in enumerate(inner.pop("ipConfigurations", [])):
        properties = source.get("properties") or {}
        subnet = engine.store.get(str(bodies.get(properties, "subnet.id")))
        if subnet is None:
            raise errors.invalid_reference(str(bodies.get(properties, "subnet.id")), nic_id)
        address = addresses.allot(engine, subnet, nic_id)
        allotted.append([subnet.key, address])
        public = properties.pop("publicIPAddressConfiguration", None)
        own_id = f"{nic_id}/ipConfigurations/{source['name']}"
        if public is not None:
            properties["publicIPAddress"] = {"id": f"{own_id}/{_ADDRESS}/{public['name']}"}
            properties["publicAddress"] = _public(engine, own_id, public)
        configurations.append({"name": source["name"], "id": own_id, "properties": {
            "provisioningState": "Succeeded", "privateIPAllocationMethod": "Dynamic",
            "privateIPAddressVersion": "IPv4", "primary": position == 0, **properties, "privateIPAddress": address,
        }})  # fmt: skip
    digest = hashlib.sha256(nic_id.lower().encode()).hexdigest().upper()
    body = {"properties": {
        "provisioningState": "Succeeded", "resourceGuid": engine.guid(), "dnsSettings": {"dnsServers": []},
        "enableAcceleratedNetworking": False, "enableIPForwarding": False, **inner,
        "macAddress": "-".join(("00-0D-3A", digest[:2], digest[2:4], digest[4:6])),
        "ipConfigurations": configurations, "virtualMachine": {"id": instance.id},
    }}  # fmt: skip
    return Resource(
        id=nic_id, type=INSTANCE_NIC, body=body, created=engine.now, changed=engine.now, complete=True,
        internal={"addresses": allotted},
    )  # fmt: skip


def _public(engine: Engine, configuration_id: str, item: dict[str, Any]) -> dict[str, Any]:
    inner = item.get("properties") or {}
    return {
        "name": item["name"], "id": f"{configuration_id}/{_ADDRESS}/{item['name']}",
        "sku": item.get("sku") or {"name": "Standard", "tier": "Regional"},
        "properties": {
            "provisioningState": "Succeeded", "resourceGuid": engine.guid(),
            "ipAddress": public_addresses.next_address(engine), "publicIPAddressVersion": "IPv4",
            "publicIPAllocationMethod": "Static", "ipConfiguration": {"id": configuration_id},
            "idleTimeoutInMinutes": inner.get("idleTimeoutInMinutes", 4),
        },
    }  # fmt: skip


def public_address_of(configuration: Mapping[str, Any]) -> str | None:
    """The public address behind an IP configuration of an instance."""
    found = bodies.get(configuration, "properties.publicAddress.properties.ipAddress")
    return str(found) if found else None


def _view(engine: Engine, nic: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del engine, query
    for item in shown["properties"]["ipConfigurations"]:
        item["properties"].pop("publicAddress", None)
    shown["etag"] = f'W/"{nic.properties["resourceGuid"]}"'


TYPE = ResourceType(
    name=INSTANCE_NIC,
    protocol=SYNCHRONOUS,
    put=None,
    delete=None,
    location=None,
    tags=False,
    view=_view,
    depth="made with its instance, an address of the subnet each; read only",
)


# -- lists -----------------------------------------------------------------------------------------------------------


def _scale_set(call: Call) -> Resource:
    """The set at the beginning of a path below it."""
    return call.engine.require(parse("/".join(call.path.text.split("/")[:SET_SEGMENTS])))


def _machines(call: Call) -> list[Resource]:
    """Instances of a Uniform set, or virtual machines of a Flexible one; the one that the path names if it does."""
    engine, scale_set = call.engine, _scale_set(call)
    found = engine.store.children(scale_set.id, INSTANCE)
    found += [
        one
        for one in engine.store.referrers(scale_set.id, VM)
        if bodies.same(bodies.get(one.properties, "virtualMachineScaleSet.id"), scale_set.id)
    ]
    named = call.path.names[1:2] if call.path.types[1:2] and call.path.types[1].lower() == "virtualmachines" else ()
    return [one for one in found if not named or one.name.lower() == named[0].lower()]


def _interfaces_of(engine: Engine, machine: Resource) -> list[Resource]:
    references = bodies.get(machine.properties, "networkProfile.networkInterfaces") or []
    found = (engine.store.get(str(reference.get("id", ""))) for reference in references)
    return [nic for nic in found if nic is not None]


def _interfaces(call: Call) -> Answer | None:
    """GET …/virtualMachineScaleSets/{name}[/virtualMachines/{id}]/networkInterfaces, and one of them."""
    machines = _machines(call)
    if call.path.types[1:2] == ("virtualMachines",) and all(machine.type == INSTANCE for machine in machines):
        return None  # resources of their own
    nics = [nic for machine in machines for nic in _interfaces_of(call.engine, machine)]
    return (
        call.engine.page(call, nics)
        if not call.path.is_resource
        else _one_or_all(call, [call.engine.view(nic) for nic in nics])
    )


def _configurations(call: Call) -> Answer:
    """GET …/networkInterfaces/{name}/ipConfigurations, and one of them."""
    path = call.path
    nic = call.engine.require(parse("/".join(path.text.split("/")[: -2 if path.is_resource else -1])))
    listed = call.engine.view(nic)["properties"]["ipConfigurations"]
    return _one_or_all(call, listed)


def _addresses(call: Call) -> Answer:
    """GET …/ipConfigurations/{name}/publicIPAddresses, and one of them."""
    path = call.path
    segments = path.text.split("/")[: -2 if path.is_resource else -1]
    nic = call.engine.require(parse("/".join(segments[:-2])))
    listed = [
        bodies.get(item, "properties.publicAddress")
        for item in nic.properties["ipConfigurations"]
        if item["name"].lower() == segments[-1].lower() and bodies.get(item, "properties.publicAddress")
    ]
    return _one_or_all(call, listed)


def _addresses_of_set(call: Call) -> Answer:
    """GET …/virtualMachineScaleSets/{name}/publicIPAddresses."""
    engine = call.engine
    nics = [nic for machine in _machines(call) for nic in _interfaces_of(engine, machine)]
    found = []
    for item in (item for nic in nics for item in nic.properties["ipConfigurations"]):
        own = bodies.get(item, "properties.publicAddress")
        address = engine.store.get(str(bodies.get(item, "properties.publicIPAddress.id") or ""))
        if own is not None:
            found.append(own)
        elif address is not None:
            found.append(engine.view(address))
    return Answer(200, {"value": found})


def _one_or_all(call: Call, listed: list[dict[str, Any]]) -> Answer:
    if not call.path.is_resource:
        return Answer(200, {"value": listed})
    for item in listed:
        if item["name"].lower() == call.path.name.lower():
            return Answer(200, item)
    path = call.path
    raise errors.resource_not_found(path.type_name, "/".join(path.names), path.resource_group or "")


FUNCTIONS = {
    ("GET", f"{SCALE_SET}/networkInterfaces"): _interfaces,
    ("GET", INSTANCE_NIC): _interfaces,
    ("GET", f"{SCALE_SET}/{_ADDRESS}"): _addresses_of_set,
    ("GET", f"{INSTANCE_NIC}/ipConfigurations"): _configurations,
    ("GET", f"{INSTANCE_NIC}/ipConfigurations/{_ADDRESS}"): _addresses,
}
