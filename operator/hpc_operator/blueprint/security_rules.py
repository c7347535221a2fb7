"""Network security rules, generated from what is deployed: who may reach what.

Pure. Priorities are fixed, so that a rule that comes or goes moves no other. Azure lets the machines of a virtual
network talk freely unless a rule says otherwise; so each list ends with one that does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from hpc_operator.graph import OWN_NAME_PREFIX

_ANY: Final = "*"
_VIRTUAL_NETWORK: Final = "VirtualNetwork"

SSH: Final = "22"
# slurmctld, slurmd and slurmdbd; then SrunPortRange of our slurm.conf.
SLURM: Final = ("6817-6819", "60001-63000")
# Azure/cyclecloud-slurm-workspace, bicep/network-new.bicep: what its rules for Managed Lustre open.
LUSTRE: Final = ("988", "1019-1023")


@dataclass(frozen=True)
class SecurityRule:
    """One rule of a network security group."""

    name: str
    priority: int
    sources: Sequence[str]
    ports: Sequence[str] = (_ANY,)
    destinations: Sequence[str] = (_ANY,)
    protocol: Literal["Tcp", "*"] = "Tcp"
    direction: Literal["Inbound", "Outbound"] = "Inbound"
    access: Literal["Allow", "Deny"] = "Allow"

    def body(self) -> dict[str, Any]:
        """Return the rule as ARM writes it."""
        return {
            "name": f"{OWN_NAME_PREFIX}{self.name}",  # others may add rules beside ours
            "properties": {
                "priority": self.priority,
                "direction": self.direction,
                "access": self.access,
                "protocol": self.protocol,
                "sourcePortRange": _ANY,
                **_one_or_many("sourceAddressPrefix", "sourceAddressPrefixes", self.sources),
                **_one_or_many("destinationPortRange", "destinationPortRanges", self.ports),
                **_one_or_many("destinationAddressPrefix", "destinationAddressPrefixes", self.destinations),
            },
        }


def _one_or_many(singular: str, plural: str, values: Sequence[str]) -> dict[str, Any]:
    """Return service tags and `*` as the one value that they must be, and prefixes and ports always as a list.

    Not as one value where there is one: Azure refuses a rule that has both, and what it has now is not taken away by
    writing the other.
    """
    return {plural: list(values)} if values[0][0].isdigit() else {singular: values[0]}


_DENY_REST: Final = SecurityRule(
    "deny-virtual-network", 4096, (_VIRTUAL_NETWORK,), protocol="*", access="Deny"
)  # 4096 is the last priority that Azure allows


@dataclass(frozen=True)
class Peers:
    """Address ranges of those who talk to each other; empty or None where there is no such thing.

    Parameters
    ----------
    compute, services
        Prefixes of the two subnets.
    bastion, lustre
        Prefixes of these subnets.
    allowed_sources
        Ranges from which people may come by SSH.
    nfs_servers
        Addresses of NFS servers. They call their clients back (locks) at ports that each client chooses.
    """

    compute: str
    services: str
    bastion: str | None
    lustre: str | None
    allowed_sources: tuple[str, ...]
    nfs_servers: tuple[str, ...]


def services_rules(peers: Peers) -> list[SecurityRule]:
    """Return the rules for scheduler, login nodes and private endpoints."""
    rules = [
        SecurityRule("allow-ssh-from-machines", 120, (peers.compute, peers.services), (SSH,)),
        SecurityRule("allow-slurm", 200, (peers.compute, peers.services), SLURM),
        SecurityRule("allow-private-endpoints", 210, (peers.compute, peers.services), ("443",)),
        *_storage_rules(peers),
        _DENY_REST,
    ]
    if peers.bastion:
        rules.append(SecurityRule("allow-ssh-from-bastion", 100, (peers.bastion,), (SSH,)))
    if peers.allowed_sources:
        rules.append(SecurityRule("allow-ssh-from-allowed-sources", 110, peers.allowed_sources, (SSH,)))
    return _sorted(rules)


def compute_rules(peers: Peers) -> list[SecurityRule]:
    """Return the rules for nodes: MPI may use any port between them."""
    return _sorted(
        [
            SecurityRule("allow-between-nodes", 100, (peers.compute,), protocol="*"),
            SecurityRule("allow-ssh-from-services", 120, (peers.services,), (SSH,)),
            SecurityRule("allow-slurm", 200, (peers.services,), SLURM),
            *_storage_rules(peers),
            _DENY_REST,
        ]
    )


def _storage_rules(peers: Peers) -> list[SecurityRule]:
    rules = []
    if peers.nfs_servers:
        rules.append(SecurityRule("allow-nfs-callbacks", 300, peers.nfs_servers, protocol="*"))
    if peers.lustre:
        rules.append(SecurityRule("allow-lustre-callbacks", 310, (peers.lustre,), LUSTRE))
    return rules


def lustre_rules(peers: Peers) -> list[SecurityRule]:
    """Return the rules for Managed Lustre: its own servers among each other, and its clients."""
    own = (peers.lustre,) if peers.lustre else ()
    return _sorted(
        [
            SecurityRule("allow-between-servers", 100, own, protocol="*"),
            SecurityRule("allow-lustre", 110, (peers.compute, peers.services), LUSTRE),
            _DENY_REST,
        ]
    )


def bastion_rules() -> list[SecurityRule]:
    """Return the rules that Azure demands (Microsoft's "Working with NSG access and Azure Bastion")."""
    network, between = (_VIRTUAL_NETWORK,), ("8080", "5701")
    return _sorted(
        [
            SecurityRule("allow-https", 100, ("Internet",), ("443",)),
            SecurityRule("allow-gateway-manager", 110, ("GatewayManager",), ("443",)),
            SecurityRule("allow-load-balancer", 120, ("AzureLoadBalancer",), ("443",)),
            SecurityRule("allow-between-hosts", 130, network, between, network, protocol="*"),
            SecurityRule("allow-ssh-rdp-out", 100, (_ANY,), (SSH, "3389"), network, direction="Outbound"),
            SecurityRule("allow-azure-out", 110, (_ANY,), ("443",), ("AzureCloud",), direction="Outbound"),
            SecurityRule("allow-between-hosts-out", 120, network, between, network, "*", "Outbound"),
            SecurityRule("allow-session-information-out", 130, (_ANY,), ("80",), ("Internet",), direction="Outbound"),
        ]
    )


def _sorted(rules: list[SecurityRule]) -> list[SecurityRule]:
    return sorted(rules, key=lambda rule: (rule.direction, rule.priority))
