"""What one pass works on: the objects as they were at one moment, and what should be in Azure because of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from hpc_operator.api import ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.api.policy import TAKE_OVER_ANNOTATION
from hpc_operator.blueprint import Blueprint, Inputs, build
from hpc_operator.blueprint.names import CLAIM_TAG
from hpc_operator.blueprint.validation import Problem
from hpc_operator.graph import Graph, Owner, Ref, Resource, group_id, references
from hpc_operator.policy import Gate, specification_hash
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.ports import Snapshot
from hpc_operator.reconcile.states import Claim, State, describe, nodes_name


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
    gate
        Tells what may start now.
    held_back
        Objects that are being deleted and may not go yet: until they may, all of theirs is wanted as before.
    begun
        Objects whose deletion has begun: it is finished, but for a dry run.
    """

    snapshot: Snapshot
    environment: HPCEnvironment
    wanted: Blueprint | None
    full: Blueprint
    problems: Mapping[Owner, Problem]
    specification: str
    claim: Claim
    gate: Gate
    held_back: frozenset[Owner] = frozenset()
    begun: frozenset[Owner] = frozenset()

    @property
    def graph(self) -> Graph:
        """The wanted resources."""
        return self.wanted.graph if self.wanted is not None else Graph(())

    @property
    def owned(self) -> list[Resource]:
        """The wanted resources that are not somebody else's."""
        return [item for item in self.graph if not item.referenced]

    def references_to(self, key: str) -> Iterator[Ref]:
        """Yield what is asked of a resource by others, by nodes, and by what users read."""
        if self.wanted is None:
            return
        bodies = [
            *(item.body for item in self.wanted.graph),
            *(node_set.body for node_set in self.wanted.node_sets),
            *((mount.source, mount.capacity) for mount in self.wanted.mounts.values()),
            *(login.address for login in self.wanted.login_nodes),
        ]
        for body in bodies:
            yield from (ref for ref in references(body) if ref.path and ref.resource_id.lower() == key)

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
    going: frozenset[Owner] = frozenset(),
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
    going
        What does not count any more.
    """

    def belongs(resource: StorageTier | ComputePartition) -> bool:
        return owner_of(resource) not in problems and owner_of(resource) not in going

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

    def blueprint_of(going: frozenset[Owner]) -> Blueprint:
        return build(inputs_of(snapshot, environment, problems, memory, operator, going=going))

    specification = specification_hash(environment, snapshot.tiers, snapshot.partitions)
    gate = Gate(environment, specification, datetime.now(UTC))
    full = blueprint_of(frozenset())
    deleting = frozenset(owner_of(item) for item in (*snapshot.tiers, *snapshot.partitions) if item.deleting)
    begun = deleting & _in_deletion(full, memory)
    held_back = frozenset(owner for owner in deleting if _may_not_go(owner, full, gate, begun=owner in begun))
    wanted = blueprint_of(deleting - held_back) if deleting - held_back else full
    return Scope(
        snapshot,
        environment,
        None if environment.deleting else wanted,
        full,
        problems,
        specification,
        _claim(snapshot, environment, memory, operator.holder(environment)),
        gate,
        frozenset() if environment.deleting else held_back,
        frozenset() if environment.deleting else begun,
    )


def _in_deletion(full: Blueprint, memory: Memory) -> frozenset[Owner]:
    """Return the owners of what is going, as status.resources tells; scale sets of earlier nodes are not in a graph."""
    going = (item for key, item in memory.inventory.items() if item.state == State.DELETING and key in full.graph)
    return frozenset(Owner.parse(item.owner) for item in going)


def _may_not_go(owner: Owner, full: Blueprint, gate: Gate, *, begun: bool) -> bool:
    """Return whether something of an object that is being deleted may not be deleted yet.

    It goes as a whole: a file system is not half taken down, and its clients not shut out, while its data may not go.
    """
    if owner.kind == ComputePartition.__name__ and gate.hold("Delete", nodes_name(owner.name), begun=begun) is not None:
        return True
    return any(
        gate.hold("Delete", describe(item.id), holds_data=item.holds_data, begun=begun) is not None
        for item in losses(owner, full)
    )


def losses(owner: Owner, full: Blueprint) -> list[Resource]:
    """Return the resources that go when an object goes: all of its own but retained data and what that stands upon."""
    kept = full.graph.closure(item.id for item in full.graph if item.retained)
    return [item for item in full.graph if item.owner == owner and not item.referenced and item.id.lower() not in kept]


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
        Gate(environment, environment.status.specification, datetime.now(UTC)),
    )


def _claim(snapshot: Snapshot, environment: HPCEnvironment, memory: Memory, holder: str) -> Claim:
    given = environment.metadata.annotations.get(TAKE_OVER_ANNOTATION, "")

    def group_claim(resource_id: str) -> str:
        group = group_id(resource_id) or ""
        return str(((memory.observed.get(group.lower()) or {}).get("tags") or {}).get(CLAIM_TAG, ""))

    return Claim(
        environment=snapshot.key.tag,
        holder=holder,
        others=frozenset(f"{item.metadata.namespace}/{item.metadata.name}" for item in snapshot.others),
        take_over=frozenset(filter(None, map(str.strip, given.split(",")))),
        chosen_group=environment.spec.resource_group is not None,
        group_claim=group_claim,
    )
