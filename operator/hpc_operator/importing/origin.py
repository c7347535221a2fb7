"""Who made an environment, told from names and tags. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hpc_operator.blueprint.names import ENVIRONMENT_TAG
from hpc_operator.importing.found import Found, name_of, short, tags_of, type_of


class Origin(StrEnum):
    """Who made an environment."""

    OURS = "this operator"
    WORKSPACE = "CycleCloud Workspace for Slurm"
    AZ_HOP = "az-hop"
    HAND_MADE = "somebody by hand or with other tools"


@dataclass(frozen=True)
class Recognised:
    """Who made it, and what tells so."""

    origin: Origin
    evidence: tuple[str, ...]


# Names as they stand in Azure/cyclecloud-slurm-workspace (bicep/) and in Azure/az-hop (tf/, bicep/).
_CLUES: Final = (
    (
        Origin.WORKSPACE,
        (
            ("Microsoft.Network/virtualNetworks", r"ccw-vnet"),
            ("Microsoft.Network/networkSecurityGroups", r"nsg-ccw-common"),
            ("Microsoft.Network/natGateways", r"ccw-nat-gateway"),
            ("Microsoft.Network/privateEndpoints", r"ccwstorage-blob-pe"),
            ("Microsoft.Compute/virtualMachines", r"ccw-cyclecloud(-vm)?"),
            ("Microsoft.Storage/storageAccounts", r"ccwstorage[a-z0-9]{13}"),
            ("Microsoft.NetApp/netAppAccounts", r"hpcanfaccount-[a-z0-9]{1,10}"),
            ("Microsoft.StorageCache/amlFilesystems", r"ccw-lustre-[a-z0-9]{13}"),
            ("Microsoft.ManagedIdentity/userAssignedIdentities", r"ccwLockerManagedIdentity"),
        ),
    ),
    (
        Origin.AZ_HOP,
        (
            ("Microsoft.Network/virtualNetworks", r"hpcvnet"),
            ("Microsoft.Compute/virtualMachines", r"ccportal"),
            ("Microsoft.Compute/virtualMachines", r"ondemand"),
            ("Microsoft.Storage/storageAccounts", r"azhop[a-z0-9]{8,14}"),
            ("Microsoft.Storage/storageAccounts", r"nfsfiles[a-z0-9]{8,14}"),
            ("Microsoft.NetApp/netAppAccounts", r"azhop-[a-z0-9]{8,14}"),
            ("Microsoft.OperationalInsights/workspaces", r"azhop-[a-z0-9]{8,14}-ws"),
        ),
    ),
)
_ENOUGH: Final = 2
"""One name alone may be chance."""


def recognise(found: Found) -> Recognised:
    """Return who made an environment."""
    owners = Counter(tags_of(body)[ENVIRONMENT_TAG] for body in found if ENVIRONMENT_TAG in tags_of(body))
    if owners:
        return Recognised(
            Origin.OURS,
            tuple(f"tag {ENVIRONMENT_TAG}: {owner} on {count} resources" for owner, count in sorted(owners.items())),
        )
    for origin, clues in _CLUES:
        evidence = sorted(_matches(found, clues))
        if len(evidence) >= _ENOUGH:
            return Recognised(origin, tuple(evidence))
    return Recognised(Origin.HAND_MADE, ("no names or tags of a tool that is known",))


def _matches(found: Found, clues: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for body in found:
        if any(
            type_of(body).lower() == resource_type.lower() and re.fullmatch(pattern, name_of(body), re.IGNORECASE)
            for resource_type, pattern in clues
        ):
            yield short(body)
