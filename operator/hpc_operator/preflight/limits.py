"""Whether the subscription may have as many resources of a type in the region as have to be made.

Pure. Cores of virtual machines and capacities of file systems are counted elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Surroundings
from hpc_operator.subscription import Usage

NETWORK: Final = "Microsoft.Network"
STORAGE: Final = "Microsoft.Storage"
NETAPP: Final = "Microsoft.NetApp"
STORAGE_CACHE: Final = "Microsoft.StorageCache"

Usages = Mapping[str, Mapping[str, Usage]]
"""Namespace → lower-case name → quota."""


@dataclass(frozen=True)
class _Limit:
    """A type in lower case, where its number is counted, by which lower-case name, and whose check that is."""

    resource_type: str
    namespace: str
    usage: str
    check: Check


# Names as the services' own lists of usages have them.
_LIMITS: Final = (
    _Limit("microsoft.network/virtualnetworks", NETWORK, "virtualnetworks", Check.QUOTA),
    _Limit("microsoft.network/networksecuritygroups", NETWORK, "networksecuritygroups", Check.QUOTA),
    _Limit("microsoft.network/natgateways", NETWORK, "natgateways", Check.QUOTA),
    _Limit("microsoft.network/publicipaddresses", NETWORK, "ipv4standardskupublicipaddresses", Check.QUOTA),
    _Limit("microsoft.storage/storageaccounts", STORAGE, "storageaccounts", Check.QUOTA),
    _Limit("microsoft.netapp/netappaccounts", NETAPP, "accountspersubscription", Check.STORAGE),
    _Limit(
        "microsoft.netapp/netappaccounts/capacitypools/volumes", NETAPP, "totalvolumespersubscription", Check.STORAGE
    ),
    _Limit("microsoft.storagecache/amlfilesystems", STORAGE_CACHE, "amlfilesystem", Check.STORAGE),
)
CHECKS: Final = {limit.namespace: limit.check for limit in _LIMITS}
"""Whose check each namespace's usages belong to."""


def needed(site: Surroundings) -> list[str]:
    """Return the namespaces that something has to be made of which is counted."""
    return [namespace for namespace in CHECKS if any(_to_make(site, namespace))]


def _to_make(site: Surroundings, namespace: str) -> Iterator[_Limit]:
    return (limit for limit in _LIMITS if limit.namespace == namespace and site.missing(limit.resource_type))


def check(site: Surroundings, usages: Usages) -> Iterator[Finding]:
    """Yield what cannot be made because there are as many as there may be.

    Parameters
    ----------
    site
        The environment.
    usages
        What is known; a limit that is absent is not judged.
    """
    for limit in _LIMITS:
        usage = usages.get(limit.namespace, {}).get(limit.usage)
        if usage is None:
            continue
        for resource in site.missing(limit.resource_type)[usage.free :]:
            kind = resource.type.rpartition("/")[2]
            yield Finding(
                resource.owner,
                limit.check,
                "LimitReached",
                f"{resource.name} of {kind} cannot be made, because the subscription may have {usage.limit} "
                f"{usage.name} in {site.location} and has no more left: request a higher limit or delete unused ones",
                frozenset({resource.id.lower()}),
            )
