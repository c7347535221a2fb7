"""What a subscription allows, and what it costs: quota, VM sizes, images, registrations, names, rights, prices.

The words between the preflight (which judges) and azure (which asks). Knows no request and no Azure SDK. All of it is
knowledge with an age: implementations remember answers for as long as they say.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Usage:
    """One line of quota: how much of a limit is in use.

    Parameters
    ----------
    name
        Azure's own name, such as `standardHBv4Family`, `cores` (all of a region) or `lowPriorityCores` (Spot).
    current, limit
        In the unit of the limit; for virtual machines that is virtual processors ("cores").
    """

    name: str
    current: int
    limit: int

    @property
    def free(self) -> int:
        """What is left; never below 0."""
        return max(0, self.limit - self.current)


@dataclass(frozen=True)
class VmSize:
    """One VM size as a region offers it to the subscription.

    Parameters
    ----------
    name, family
        Such as `Standard_HB176rs_v4` and `standardHBv4Family`, under which its cores are counted.
    vcpus
        Virtual processors that quota counts.
    memory_gib
        Memory in GiB.
    gpus
        Number of GPUs.
    rdma, accelerated_networking, spot, premium_storage
        What it can do.
    zones
        Availability zones of the region that have it.
    restricted_zones
        Zones in which the subscription may not use it.
    unavailable
        Why the subscription may not use it in the region at all (`NotAvailableForSubscription`, `QuotaId`), else empty.
    """

    name: str
    family: str
    vcpus: int
    memory_gib: float = 0.0
    gpus: int = 0
    rdma: bool = False
    accelerated_networking: bool = True
    spot: bool = True
    premium_storage: bool = True
    zones: frozenset[str] = frozenset()
    restricted_zones: frozenset[str] = frozenset()
    unavailable: str = ""


@dataclass(frozen=True)
class Image:
    """One marketplace image.

    Parameters
    ----------
    exists
        Whether the region has it in this version.
    plan
        Publisher, offer and SKU of the plan that it is sold by; None where it is free to use.
    terms_accepted
        Whether the subscription accepted the terms of the plan; None where nobody can tell.
    """

    exists: bool
    plan: tuple[str, str, str] | None = None
    terms_accepted: bool | None = None


@dataclass(frozen=True)
class Permissions:
    """What we may do at a scope: what Azure RBAC shows us of ourselves.

    Parameters
    ----------
    grants
        Pairs of actions and notActions, one for each role assignment that holds there; with `*` as Azure writes them.
    """

    grants: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()

    def allows(self, action: str) -> bool:
        """Return whether one of the grants has the action and does not take it away again."""
        return any(_any(actions, action) and not _any(excluded, action) for actions, excluded in self.grants)


def _any(patterns: Collection[str], action: str) -> bool:
    return any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE) is not None
        for pattern in patterns
    )


@dataclass(frozen=True)
class Price:
    """List price of one virtual machine per hour, in the currency of the price list.

    Parameters
    ----------
    regular, spot
        Per hour; None where the list has none.
    currency
        ISO 4217 code, such as USD.
    """

    regular: float | None
    spot: float | None
    currency: str


@dataclass(frozen=True)
class Lock:
    """A management lock.

    Parameters
    ----------
    id, name
        Of the lock.
    level
        `CanNotDelete` or `ReadOnly`.
    scope
        ARM id of what it is set upon.
    notes
        What its owner wrote.
    """

    id: str
    name: str
    level: str
    scope: str
    notes: str = ""


@dataclass(frozen=True)
class Author:
    """Who wrote to a resource, as the activity log has it.

    Parameters
    ----------
    caller
        A user's name, or the id of an application.
    operation
        Such as `Microsoft.Network/networkSecurityGroups/write`.
    time
        RFC 3339.
    """

    caller: str
    operation: str
    time: str


class Subscription(Protocol):
    """What can be asked. Every method raises `arm.AzureError` where Azure does not answer; one goes on without then."""

    async def usages(self, namespace: str, location: str) -> Mapping[str, Usage]:
        """Return quota and its use in a region, by lower-case name.

        Parameters
        ----------
        namespace
            `Microsoft.Compute`, `.Network`, `.Storage`, `.NetApp` or `.StorageCache`.
        location
            Such as `westeurope`.
        """

    async def vm_sizes(self, location: str) -> Mapping[str, VmSize]:
        """Return every VM size that a region has, restricted ones too, by lower-case name."""

    async def image(self, location: str, urn: str) -> Image:
        """Return what is known of `publisher:offer:sku:version`; the version may be `latest`."""

    async def registrations(self) -> Mapping[str, str]:
        """Return the registration state (`Registered`, `NotRegistered`, `Registering` …) by lower-case namespace."""

    async def name_taken(self, resource_id: str) -> str:
        """Return why a name that must be unique in all of Azure cannot be had, empty where it can or needs not be."""

    async def permissions(self, scope: str) -> Permissions:
        """Return what we may do at a scope: a subscription, a resource group or a resource."""

    async def locks(self, scope: str) -> list[Lock]:
        """Return the locks that hold at a scope, those of its ancestors included."""

    async def last_author(self, resource_id: str, since: str) -> Author | None:
        """Return who wrote last to a resource since a moment (RFC 3339), None where the activity log has nobody."""

    async def prices(self, location: str, sizes: Collection[str]) -> Mapping[str, Price]:
        """Return list prices by lower-case VM size; sizes without one are left out. Empty where there is no list."""


@dataclass(frozen=True)
class Offer:
    """What a plan needs to know of VM sizes and prices of one region, as far as it could be read.

    Parameters
    ----------
    sizes, prices
        By lower-case name; empty where they could not be read.
    """

    sizes: Mapping[str, VmSize] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
