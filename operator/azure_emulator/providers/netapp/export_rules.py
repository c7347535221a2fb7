"""Protocols of NetApp volumes, and the rules by which NFS clients may mount them.

Texts are those of the troubleshooting page of azure-docs.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.providers.netapp.common import invalid

if TYPE_CHECKING:
    from azure_emulator.types import Change

PROTOCOLS = ("NFSv3", "NFSv4.1", "CIFS")
RULES = range(1, 6)
# Assumptions: codes for texts that the page shows without one.
DUPLICATE, OUT_OF_RANGE = "DuplicateValue", "NumberOfItemsOutOfRange"


def check(change: Change) -> None:
    """Check protocols and rules, and put in the rule and the security style that Azure does."""
    properties = change.properties
    protocols = properties["protocolTypes"]
    if not protocols or len(set(protocols)) != len(protocols) or len(protocols) > 2:  # noqa: PLR2004 (dual protocol)
        raise invalid(",".join(map(str, protocols)), "Volume.ProtocolTypes", "Must be one or two protocols.")
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise errors.bad_request(
                "InvalidValueReceived", f"Protocol type {protocol} not known", target="Volume.ProtocolTypes"
            )
    properties.setdefault("securityStyle", "Ntfs" if protocols == ["CIFS"] else "Unix")
    style = str(properties["securityStyle"]).capitalize()  # az writes it in lower case
    if style not in ("Ntfs", "Unix"):
        raise invalid(properties["securityStyle"], "Volume.SecurityStyle", "Must be Ntfs or Unix.")
    properties["securityStyle"] = style
    if protocols == ["CIFS"]:
        properties.setdefault("exportPolicy", {"rules": []})
        return
    policy = properties.setdefault("exportPolicy", {"rules": [_default_rule(protocols)]})
    rules = policy.get("rules") or []
    if len(rules) > RULES[-1]:
        raise errors.bad_request(
            OUT_OF_RANGE,
            f"Number of items: {len(rules)} for object: ExportPolicy.Rules[RuleIndex] is outside min-max range.",
        )
    indices = [rule.get("ruleIndex") for rule in rules]
    if len(set(indices)) != len(indices):
        raise errors.bad_request(DUPLICATE, "Duplicate value error for object ExportPolicy.Rules[RuleIndex].")
    for rule in rules:
        _check_rule(rule, protocols)


def _default_rule(protocols: list[str]) -> dict[str, Any]:
    return {
        "ruleIndex": 1, "unixReadOnly": False, "unixReadWrite": True, "cifs": False, "nfsv3": "NFSv3" in protocols,
        "nfsv41": "NFSv4.1" in protocols, "allowedClients": "0.0.0.0/0", "kerberos5ReadOnly": False,
        "kerberos5ReadWrite": False, "kerberos5iReadOnly": False, "kerberos5iReadWrite": False,
        "kerberos5pReadOnly": False, "kerberos5pReadWrite": False, "hasRootAccess": True,
    }  # fmt: skip


def _check_rule(rule: dict[str, Any], protocols: list[str]) -> None:
    index = rule.get("ruleIndex")
    if index not in RULES:
        raise invalid(index, "ExportPolicy.Rules[RuleIndex]", "Must be from 1 to 5.")
    for name, value in (("cifs", False), ("nfsv3", False), ("nfsv41", False), ("unixReadOnly", False),
                        ("unixReadWrite", False), ("hasRootAccess", True)):  # fmt: skip
        rule.setdefault(name, value)
    if rule["unixReadOnly"] and rule["unixReadWrite"]:
        raise invalid("True", "UnixReadOnly", "UnixReadOnly and UnixReadWrite cannot both be true.")
    for name, protocol in (("nfsv3", "NFSv3"), ("nfsv41", "NFSv4.1")):
        if rule[name] and protocol not in protocols:
            raise invalid("True", name.capitalize(), f"{protocol} is not one of the volume's protocol types.")
    for client in str(rule.get("allowedClients") or "").split(","):
        _check_client(client.strip())


def _check_client(client: str) -> None:
    """An address, a range, or a host name."""
    if not client:
        raise invalid(client, "AllowedClients", "Must be a comma separated list of addresses, ranges or host names.")
    if client[0].isdigit():
        try:
            ipaddress.ip_network(client, strict=False)
        except ValueError as error:
            raise invalid(client, "AllowedClients", "Must be an IPv4 address or a range in CIDR notation.") from error
