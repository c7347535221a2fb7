"""What one pass works on: the objects as they were at one moment, and what should be in Azure because of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hpc_operator.api import ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.api.policy import TAKE_OVER_ANNOTATION
from hpc_operator.blueprint import Blueprint, Inputs, build
from hpc_operator.blueprint.names import CLAIM_TAG
from hpc_operator.blueprint.validation import Problem
from hpc_operator.graph import Graph, Owner, Resource
from hpc_operator.policy import specification_hash
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.ports import Snapshot
from hpc_operator.reconcile.states import Claim


def owner_of(resource: CustomResource) -> Owner:
    """Return how a custom resource is named as an owner."""
    return Owner(type(resource).__name__, resource.metadata.name)


@dataclass(frozen=True)
class Scope:
    """What one pass works on.

    Parameters
    ----------
    wanted
        The blueprint of what should be there; None while the environment is going.
    full
        The blueprint with what is going in it too: it knows in which order to take things down.
    problems
        What keeps a custom resource from being acted upon, by owner.
    specification
        Hash of the specifications.
    claim
        Tells whose a resource is.
    """

    snapshot: Snapshot
    environment: HPCEnvironment
    wanted: Blueprint | None
    full: Blueprint
    problems: Mapping[Owner, Problem]
    specification: str
    claim: Claim

    @property
    def graph(self) -> Graph:
        """The wanted resources."""
        return self.wanted.graph if self.wanted is not None else Graph(())

    @property
    def owned(self) -> list[Resource]:
        """The wanted resources that are not somebody else's."""
        return [item for item in self.graph if not item.referenced]

    @property
    def wanted_partitions(self) -> set[str]:
        """Names of the partitions that should have nodes."""
        return {node_set.owner.name for node_set in self.wanted.node_sets} if self.wanted is not None else set()

    @property
    def held_partitions(self) -> set[str]:
        """Names of the partitions that have a problem: their nodes stay as they are."""
        return {owner.name for owner in self.problems if owner.kind == ComputePartition.__name__}


@dataclass(frozen=True)
class Operator:
    """Who we are: the subscription that environments are made in, and the name of this cluster.

    With the environment's uid the name tells two operators apart.
    """

    subscription_id: str
    cluster: str

    def holder(self, environment: HPCEnvironment) -> str:
        """Return what the claim on the environment's resource group says."""
        return f"{self.cluster}/{environment.metadata.uid}"


def inputs_of(
    snapshot: Snapshot,
    environment: HPCEnvironment,
    problems: Mapping[Owner, Problem],
    memory: Memory,
    operator: Operator,
    *,
    with_going: bool,
) -> Inputs:
    """Return what a blueprint is made from.

    Parameters
    ----------
    snapshot
        The objects.
    environment
        The environment of the snapshot.
    problems
        What keeps objects from being acted upon.
    memory
        Image versions, and the tags that were written before.
    operator
        Who we are.
    with_going
        Whether what is being deleted counts.
    """

    def belongs(resource: StorageTier | ComputePartition) -> bool:
        return owner_of(resource) not in problems and (with_going or not resource.deleting)

    return Inputs(
        subscription_id=operator.subscription_id,
        environment=environment,
        tiers=tuple(tier for tier in snapshot.tiers if belongs(tier)),
        partitions=tuple(partition for partition in snapshot.partitions if belongs(partition)),
        image_versions={name: version for name, (_, version) in memory.image_versions.items()},
        claim=operator.holder(environment),
        former_tags=memory.tags,
    )


def scope_of(
    snapshot: Snapshot,
    environment: HPCEnvironment,
    problems: Mapping[Owner, Problem],
    memory: Memory,
    operator: Operator,
) -> Scope:
    """Return what a pass works on; for the parameters see `inputs_of`."""

    def blueprint_of(*, with_going: bool) -> Blueprint:
        return build(inputs_of(snapshot, environment, problems, memory, operator, with_going=with_going))

    full = blueprint_of(with_going=True)
    anything_goes = any(item.deleting for item in (*snapshot.tiers, *snapshot.partitions))
    wanted = blueprint_of(with_going=False) if anything_goes else full
    return Scope(
        snapshot,
        environment,
        None if environment.deleting else wanted,
        full,
        problems,
        specification_hash(environment, snapshot.tiers, snapshot.partitions),
        _claim(snapshot, environment, memory, operator.holder(environment)),
    )


def held_scope(
    snapshot: Snapshot,
    environment: HPCEnvironment,
    problems: Mapping[Owner, Problem],
    memory: Memory,
    operator: Operator,
) -> Scope:
    """Return what a pass works on if the specification of the environment itself is of no use.

    There is no blueprint then; the inventory alone tells what goes, and in which order.

    Parameters
    ----------
    snapshot, environment, memory, operator
        As for `inputs_of`.
    problems
        One for each object that stays.
    """
    group = environment.status.resource_group_id
    return Scope(
        snapshot,
        environment,
        None,
        Blueprint(graph=Graph(()), node_sets=(), resource_group_id=group, mounts={}, login_nodes=()),
        problems,
        environment.status.specification,
        _claim(snapshot, environment, memory, operator.holder(environment)),
    )


def _claim(snapshot: Snapshot, environment: HPCEnvironment, memory: Memory, holder: str) -> Claim:
    given = environment.metadata.annotations.get(TAKE_OVER_ANNOTATION, "")

    def group_claim(resource_id: str) -> str:
        group = "/".join(resource_id.split("/")[:5]).lower()
        return str(((memory.observed.get(group) or {}).get("tags") or {}).get(CLAIM_TAG, ""))

    return Claim(
        environment=snapshot.key.tag,
        holder=holder,
        others=frozenset(f"{item.metadata.namespace}/{item.metadata.name}" for item in snapshot.others),
        take_over=frozenset(filter(None, map(str.strip, given.split(",")))),
        chosen_group=environment.spec.resource_group is not None,
        group_claim=group_claim,
    )
