"""How the demo names Azure's resources and writes times: in words of people, always the same way.

Pure functions.
"""

from __future__ import annotations

import re

from hpc_operator.graph import ArmId

_MINUTE = 60
_UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-")

_WORDS = {
    "resourcegroups": "resource group",
    "virtualnetworks": "virtual network",
    "networksecuritygroups": "security group",
    "publicipaddresses": "public IP",
    "natgateways": "NAT gateway",
    "bastionhosts": "Bastion host",
    "privatednszones": "private DNS zone",
    "privatednszonegroups": "DNS zone group",
    "virtualnetworklinks": "DNS zone link",
    "userassignedidentities": "managed identity",
    "federatedidentitycredentials": "federated credential",
    "vaults": "key vault",
    "virtualmachines": "VM",
    "virtualmachinescalesets": "scale set",
    "netappaccounts": "NetApp account",
    "capacitypools": "NetApp pool",
    "volumes": "NetApp volume",
    "amlfilesystems": "Lustre",
}


def resource_name(resource_id: str) -> str:
    """Return type and name of a resource, such as `NAT gateway climate`."""
    arm_id = ArmId.parse(resource_id)
    name = arm_id.name
    if _UUID.match(name):
        name = name.partition("-")[0]
    return f"{type_name(arm_id.type)} {name}"


def type_name(resource_type: str) -> str:
    """Return a resource type in words."""
    last = resource_type.rpartition("/")[2]
    spelled = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", last).lower()
    return _WORDS.get(last.lower(), spelled.removesuffix("s"))


def clock(seconds: float) -> str:
    """Return minutes and seconds: `14:05`."""
    whole = max(0, round(seconds))
    return f"{whole // _MINUTE}:{whole % _MINUTE:02d}"


def here(seconds: float) -> str:
    """Return a time that passed on this machine: `0.4 s`, `28 s` or `6 min 20 s`."""
    if seconds < 10:  # noqa: PLR2004 - below, tenths say something
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 2 * _MINUTE else f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"


def minutes(seconds: float) -> str:
    """Return a time that passed in Azure in round words: `40 s` or `14 min`."""
    return f"{seconds:.0f} s" if seconds < 2 * _MINUTE else f"{seconds / _MINUTE:.0f} min"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 node`, `3 nodes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
