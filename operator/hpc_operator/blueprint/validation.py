"""Finds what is wrong with an environment and its objects and no single one of them can show.

Runs before any write to Azure. Pure; knows the objects and the address plan, and nothing of Azure's answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network
from itertools import combinations
from typing import Final, TypeVar

from hpc_operator.api import ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.api.common import parse_quantity
from hpc_operator.api.hpc_environment import ExistingSubnets
from hpc_operator.blueprint import subnets
from hpc_operator.blueprint.compute import surge
from hpc_operator.blueprint.names import resource_group_name
from hpc_operator.graph import Owner, parent_id
from hpc_operator.policy import window_problem
from hpc_operator.slurm.configuration import MAX_NODES

_Object = TypeVar("_Object", bound=CustomResource)


@dataclass(frozen=True)
class Problem:
    """Something that a user has to change.

    Parameters
    ----------
    owner
        The object at fault; of two that conflict the newer one.
    reason
        One CamelCase word for a condition.
    message
        A sentence: what is wrong, where, and what to write instead.
    """

    owner: Owner
    reason: str
    message: str


def find_problems(
    environment: HPCEnvironment,
    tiers: Sequence[StorageTier],
    partitions: Sequence[ComputePartition],
    other_environments: Sequence[HPCEnvironment],
) -> list[Problem]:
    """Return every problem of an environment, its tiers and its partitions, in a stable order.

    What is being deleted has no problem and conflicts with nothing.

    Parameters
    ----------
    environment
        The environment.
    tiers, partitions
        Those whose `environmentRef` names it.
    other_environments
        All other environments of the subscription, of every namespace.
    """
    staying_tiers = _by_age(tier for tier in tiers if not tier.deleting)
    staying_partitions = _by_age(partition for partition in partitions if not partition.deleting)
    older = [other for other in other_environments if not other.deleting and _age(other) < _age(environment)]
    network = environment.spec.network
    attached = [tier for tier in staying_tiers if tier.spec.attach is not None]
    problems = [
        *_policy_problems(environment),
        *_claimed_by_others(environment, older),
        *_duplicates(staying_tiers, lambda tier: tier.spec.mount_path, "MountPathTaken", _SAME_PATH),
        *_duplicates(attached, lambda tier: str(tier.spec.attach).lower(), "AttachedTwice", _SAME_FILE_SYSTEM),
        *_duplicates(staying_partitions, lambda item: item.partition_name, "PartitionNameTaken", _SAME_PARTITION),
    ]
    if network.existing is not None:
        if network.existing.blob_dns_zone is None:
            problems += _existing_network_problems(environment, network.existing.subnets, older)
        problems += _missing_subnets(network.existing.subnets, staying_tiers)
    else:
        problems += _address_space_problems(environment, staying_tiers, staying_partitions, older)
    return problems


# --- Of two, the newer one


def _age(item: CustomResource) -> tuple[str, str, str]:
    return (item.metadata.creation_timestamp, item.metadata.name, item.metadata.namespace)


def _by_age(items: Iterator[_Object]) -> list[_Object]:
    return sorted(items, key=_age)


def _owner(item: CustomResource) -> Owner:
    return Owner(type(item).__name__, item.metadata.name)


_SAME_PATH: Final = "mountPath {key} is taken by StorageTier {other}: write another path"
_SAME_FILE_SYSTEM: Final = "attach names {key}, which StorageTier {other} has: write another file system, or none"
_SAME_PARTITION: Final = "Slurm partition {key} is that of ComputePartition {other}: write another partitionName"


def _duplicates(
    by_age: Sequence[_Object], key_of: Callable[[_Object], str], reason: str, message: str
) -> Iterator[Problem]:
    first: dict[str, _Object] = {}
    for item in by_age:
        key = key_of(item)
        other = first.setdefault(key, item)
        if other is not item:
            yield Problem(_owner(item), reason, message.format(key=key, other=other.metadata.name))


# --- Of two environments, the newer one


def _claimed_by_others(environment: HPCEnvironment, older: Sequence[HPCEnvironment]) -> Iterator[Problem]:
    """Yield what an older environment has; its tiers are not known here, and are told by their tags in Azure."""
    group, owner = resource_group_name(environment), _owner(environment)
    adopted = {entry.id.lower(): entry.id for entry in environment.spec.adopt}
    for other in older:
        if resource_group_name(other).lower() == group.lower():
            message = (
                f"resource group {group} is that of HPCEnvironment {_full_name(other)}: write another resourceGroup"
            )
            yield Problem(owner, "ResourceGroupTaken", message)
        for taken in sorted(adopted.keys() & {entry.id.lower() for entry in other.spec.adopt}):
            message = f"{adopted[taken]} is adopted by HPCEnvironment {_full_name(other)} too: leave it out of adopt"
            yield Problem(owner, "AdoptionTaken", message)


# --- Policy


def _policy_problems(environment: HPCEnvironment) -> Iterator[Problem]:
    for number, window in enumerate(environment.spec.policy.maintenance_windows):
        if problem := window_problem(window):
            place = f"policy.maintenanceWindows[{number}]"
            yield Problem(_owner(environment), "PolicyInvalid", f"{place}.{problem}")


# --- A network that exists


def _existing_network_problems(
    environment: HPCEnvironment, existing: ExistingSubnets, older: Sequence[HPCEnvironment]
) -> Iterator[Problem]:
    network = _network_of(existing.compute)
    for other in older:
        others = other.spec.network.existing
        if others is not None and _network_of(others.subnets.compute) == network:
            yield Problem(
                _owner(environment),
                "NetworkTaken",
                f"{network} is used by HPCEnvironment {_full_name(other)}, and Azure links "
                "a network to one private DNS zone of a name only: use a virtual network for each environment, or "
                "write the zone that this network has as network.existing.blobDnsZone",
            )


def _network_of(subnet_id: str) -> str:
    return str(parent_id(subnet_id)).lower()


def _missing_subnets(existing: ExistingSubnets, tiers: Sequence[StorageTier]) -> Iterator[Problem]:
    for tier in tiers:
        for wanted, present, kind, field in (
            (tier.spec.net_app_files, existing.net_app, "netAppFiles", "netApp"),
            (tier.spec.managed_lustre, existing.lustre, "managedLustre", "lustre"),
        ):
            if wanted is not None and present is None and tier.spec.attach is None:
                yield Problem(
                    _owner(tier),
                    "SubnetMissing",
                    f"{kind} needs a subnet, and the environment's network.existing.subnets names none: "
                    f"{field} is missing there",
                )


# --- A network that is planned


def _address_space_problems(
    environment: HPCEnvironment,
    tiers: Sequence[StorageTier],
    partitions: Sequence[ComputePartition],
    older: Sequence[HPCEnvironment],
) -> list[Problem]:
    owner = _owner(environment)
    ranges = list(_ranges(environment))
    overlaps = [
        f"has {one} and {other}, which overlap: write ranges that do not"
        for one, other in combinations(ranges, 2)
        if one.overlaps(other)
    ]
    overlaps += [
        f"{item} overlaps {taken} of HPCEnvironment {_full_name(other)}: write a range that is free"
        for other in older
        for taken in _ranges(other)
        for item in ranges
        if item.overlaps(taken)
    ]
    problems = [Problem(owner, "AddressSpacesOverlap", f"network.addressSpace {text}") for text in overlaps]
    return problems or list(_fit(owner, ranges[0], tiers, partitions))


def _full_name(environment: HPCEnvironment) -> str:
    return f"{environment.metadata.namespace}/{environment.metadata.name}"


def _ranges(environment: HPCEnvironment) -> Iterator[IPv4Network]:
    return map(_range, environment.spec.network.address_space or ())


@lru_cache(maxsize=8192)
def _range(text: str) -> IPv4Network:
    # Every environment is held against all older ones in every pass; reading the texts took ten times the comparison.
    return IPv4Network(text)


def _fit(
    owner: Owner, address_space: IPv4Network, tiers: Sequence[StorageTier], partitions: Sequence[ComputePartition]
) -> Iterator[Problem]:
    """Yield problems of size.

    Services always fit: their subnet is larger than the most login nodes need. What is attached has its own subnet.
    """
    machines = sum(partition.spec.nodes.max + surge(partition)[0] for partition in partitions)
    lustre_tiers = [tier for tier in tiers if tier.spec.managed_lustre and tier.spec.attach is None]
    capacities = [
        parse_quantity(tier.spec.managed_lustre.capacity) >> 40 for tier in lustre_tiers if tier.spec.managed_lustre
    ]
    enough = subnets.smallest_fitting_prefix(machines, subnets.lustre_addresses(capacities))
    advice = f"a /{enough} would do" if enough else f"not even a /{subnets.LARGEST_PREFIX} would do"
    if machines > MAX_NODES:
        yield Problem(
            owner,
            "TooManyNodes",
            f"partitions may have {machines} nodes together (nodes.max and maxSurge), and one environment has room for "
            f"{MAX_NODES}: lower nodes.max or make a second environment",
        )
    plan = subnets.plan(address_space)
    if machines > subnets.usable(plan.compute):
        yield Problem(
            owner,
            "AddressSpaceTooSmall",
            f"network.addressSpace {address_space} has room for {subnets.usable(plan.compute)} nodes in its compute "
            f"subnet {plan.compute}, and partitions may have {machines} together (nodes.max and maxSurge): lower "
            f"nodes.max, or create the environment with a larger network; {advice}",
        )
    room = subnets.lustre_room(plan)
    for count, tier in enumerate(lustre_tiers, start=1):
        needed = subnets.lustre_addresses(capacities[:count])
        if needed > room:
            yield Problem(
                _owner(tier),
                "AddressSpaceTooSmall",
                f"managedLustre needs a subnet of {needed} addresses for this tier and those before it, and the "
                f"environment's network.addressSpace {address_space} has {room} for it: make the tier smaller, or "
                f"create the environment with a larger network; {advice}",
            )
