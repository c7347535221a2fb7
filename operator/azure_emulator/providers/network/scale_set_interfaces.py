"""Network interfaces and public addresses of scale sets, as Microsoft.Network lists them below Microsoft.Compute's ids.

Instances of a Flexible set have interfaces that are resources; those of a Uniform set are told from the set's model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.network.names import NIC, PUBLIC_IP, SCALE_SET, VM
from azure_emulator.types import Answer, Call, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

INSTANCE = f"{SCALE_SET}/virtualMachines"


def _set_of(call: Call) -> Resource:
    return call.engine.require(parse("/".join(call.path.text.split("/")[:9])), call.engine.types[SCALE_SET.lower()])


def _of_machines(engine: Engine, scale_set: Resource) -> list[tuple[str, Resource]]:
    """Interfaces of a set's machines, with the machine's name."""
    found: list[tuple[str, Resource]] = []
    for machine in engine.store.referrers(scale_set.id):
        if machine.type != VM:
            continue
        for reference in bodies.get(machine.properties, "networkProfile.networkInterfaces") or []:
            nic = engine.store.get(str(reference.get("id", "")))
            if nic is not None and nic.type == NIC:
                found.append((machine.name, nic))
    return found


def _of_instances(engine: Engine, scale_set: Resource) -> list[tuple[str, dict[str, Any]]]:
    """What the model of a Uniform set says of each instance's interfaces."""
    profile = "virtualMachineProfile.networkProfile.networkInterfaceConfigurations"
    shown = []
    for instance in engine.store.children(scale_set.id, INSTANCE):
        for item in bodies.get(scale_set.properties, profile) or []:
            nic_id = f"{instance.id}/networkInterfaces/{item.get('name', '')}"
            inner = item.get("properties") or {}
            configurations = [
                {
                    "name": one.get("name"), "id": f"{nic_id}/ipConfigurations/{one.get('name')}",
                    "properties": {
                        "provisioningState": "Succeeded", "privateIPAllocationMethod": "Dynamic",
                        "privateIPAddressVersion": "IPv4", "primary": position == 0,
                        "subnet": bodies.get(one, "properties.subnet"), **_address(instance, position),
                    },
                }
                for position, one in enumerate(inner.get("ipConfigurations") or [])
            ]  # fmt: skip
            shown.append((instance.name, {
                "name": item.get("name"), "id": nic_id, "type": f"{INSTANCE}/networkInterfaces", "etag": instance.etag,
                "properties": {
                    "provisioningState": "Succeeded", "ipConfigurations": configurations,
                    "primary": bool(inner.get("primary", True)), "virtualMachine": {"id": instance.id},
                    "enableAcceleratedNetworking": bool(inner.get("enableAcceleratedNetworking")),
                    "enableIPForwarding": bool(inner.get("enableIPForwarding")),
                },
            }))  # fmt: skip
    return shown


def _address(instance: Resource, position: int) -> dict[str, Any]:
    allotted: list[list[str]] = instance.internal.get("addresses", [])
    return {"privateIPAddress": allotted[position][1]} if position < len(allotted) else {}


def _interfaces(call: Call) -> Answer:
    """All interfaces of a set, or of one of its instances; or one of these."""
    engine, scale_set = call.engine, _set_of(call)
    rows = [(name, engine.view(nic)) for name, nic in _of_machines(engine, scale_set)]
    rows += _of_instances(engine, scale_set)
    return _answer(call, rows)


def _answer(call: Call, rows: list[tuple[str, dict[str, Any]]]) -> Answer:
    names = call.path.names
    of_instance = len(call.path.types) > 2  # noqa: PLR2004 (virtualMachineScaleSets, virtualMachines, networkInterfaces)
    if of_instance:
        rows = [row for row in rows if row[0].lower() == names[1].lower()]
    if not call.path.is_resource:
        return Answer(200, {"value": [document for _, document in rows]})
    for _, document in rows:
        if str(document["name"]).lower() == call.path.name.lower():
            return Answer(200, document)
    raise errors.resource_not_found(call.path.type_name, "/".join(names), call.path.resource_group or "")


def _addresses(call: Call) -> Answer:
    """The public addresses of a set's interfaces."""
    engine = call.engine
    rows = []
    for name, nic in _of_machines(engine, _set_of(call)):
        for item in nic.properties["ipConfigurations"]:
            address = engine.store.get(str(bodies.get(item, "properties.publicIPAddress.id", "")))
            if address is not None and address.type == PUBLIC_IP:
                rows.append((name, engine.view(address)))
    return _answer(call, rows)


FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", f"{SCALE_SET}/networkInterfaces"): _interfaces,
    ("GET", f"{INSTANCE}/networkInterfaces"): _interfaces,
    ("GET", f"{SCALE_SET}/publicipaddresses"): _addresses,
}
