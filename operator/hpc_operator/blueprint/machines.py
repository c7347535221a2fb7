"""What virtual machines have in common: administrators' keys, images, disks, network interfaces.

Pure; knows no step and no role.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from hpc_operator.api import HPCEnvironment
from hpc_operator.blueprint.cloud_init import ADMIN
from hpc_operator.blueprint.names import Site
from hpc_operator.graph import NodeName, Ref, Resource, Step, Text

# Marketplace images of these publishers are sold by a plan that has the image's own names.
_PUBLISHERS_WITH_PLAN: Final = frozenset({"almalinux"})


def image_parts(urn: str) -> tuple[str, str, str, str]:
    """Return publisher, offer, SKU and version of an image of the marketplace."""
    publisher, offer, sku, version = urn.split(":")
    return publisher, offer, sku, version


def image(urn: str, version: str | None = None) -> dict[str, Any]:
    """Return an image of the marketplace as ARM writes it.

    Parameters
    ----------
    urn
        `publisher:offer:sku:version`.
    version
        Stands in for the URN's own version.
    """
    publisher, offer, sku, own_version = image_parts(urn)
    return {"publisher": publisher, "offer": offer, "sku": sku, "version": version or own_version}


def plan(urn: str) -> dict[str, Any]:
    """Return the `plan` of a virtual machine made from an image of the marketplace; empty where it needs none."""
    publisher, offer, sku, _ = image_parts(urn)
    if publisher.lower() not in _PUBLISHERS_WITH_PLAN:
        return {}
    return {"plan": {"name": sku, "product": offer, "publisher": publisher}}


def os_disk() -> dict[str, Any]:
    """Return a system disk that goes with its machine. Every VM size takes this storage, premium only some."""
    return {
        "createOption": "FromImage",
        "deleteOption": "Delete",
        "managedDisk": {"storageAccountType": "StandardSSD_LRS"},
    }


def os_profile(environment: HPCEnvironment, name: str | NodeName, custom_data: Text) -> dict[str, Any]:
    """Return account, keys and user-data of a machine."""
    path = f"/home/{ADMIN}/.ssh/authorized_keys"  # Azure takes no other, wherever the account's home is
    keys = environment.spec.ssh_public_keys or (_nobodys_key(environment),)
    return {
        "computerName": name,
        "adminUsername": ADMIN,
        "customData": custom_data,
        "linuxConfiguration": {
            "disablePasswordAuthentication": True,
            "ssh": {"publicKeys": [{"path": path, "keyData": key} for key in keys]},
        },
    }


def _nobodys_key(environment: HPCEnvironment) -> str:
    """Return an SSH public key that nobody has the private half of.

    ARM makes no Linux machine without a key or a password, but an environment may well want neither. The 32 bytes of an
    Ed25519 public key are taken from a hash of the environment's name: to a point that was not computed from a private
    key, nobody can find one.
    """
    metadata = environment.metadata
    point = hashlib.sha256(f"nobody's key of {metadata.namespace}/{metadata.name}".encode()).digest()
    fields = (b"ssh-ed25519", point)
    blob = b"".join(len(item).to_bytes(4, "big") + item for item in fields)  # RFC 8709, section 4
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} nobody"


def identity(resource: Resource) -> dict[str, Any]:
    """Return the `identity` of a machine that has one user-assigned identity."""
    return {"type": "UserAssigned", "userAssignedIdentities": {resource.id: {}}}


def network_interface(site: Site, name: str, subnet: Resource, step: Step) -> Resource:
    """Return a network interface with a private address that stays as long as it exists."""
    configuration = {
        "name": "ipconfig",
        "properties": {"subnet": {"id": subnet.ref()}, "privateIPAllocationMethod": "Dynamic", "primary": True},
    }
    return site.resource(
        "Microsoft.Network/networkInterfaces",
        f"nic-{name}",
        step=step,
        properties={"ipConfigurations": [configuration]},
    )


def private_address(interface: Resource) -> Ref:
    """Return where the address of a network interface will be found."""
    return interface.ref("properties", "ipConfigurations", 0, "properties", "privateIPAddress")


def attached(interface: Resource) -> dict[str, Any]:
    """Return the `networkProfile` of a machine with a network interface that outlives it."""
    return {"networkInterfaces": [{"id": interface.ref(), "properties": {"primary": True, "deleteOption": "Detach"}}]}
