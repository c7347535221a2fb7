"""What an environment holds in Azure, told by tags alone: for plans of manifests, which have no inventory.

Never used to delete anything: policies that copy the tags of a resource group give ours to what is not ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.api.hpc_environment import LARGEST_LOGIN_COUNT, ManagedResource
from hpc_operator.arm import Azure, AzureError
from hpc_operator.blueprint import Inputs, build
from hpc_operator.blueprint.names import ENVIRONMENT_TAG, OWNER_TAG, OWNERSHIP_TAGS, PARTITION_TAG
from hpc_operator.graph import Owner
from hpc_operator.reconcile.memory import Memory
from hpc_operator.reconcile.scope import Scope
from hpc_operator.reconcile.states import State


async def take_stock(azure: Azure, scope: Scope, memory: Memory) -> list[str]:
    """Note in the inventory what applying these specifications would take away; return what cannot be told.

    Parameters
    ----------
    azure
        Is surveyed.
    scope
        What is wanted.
    memory
        Has the inventory.
    """
    group = scope.full.resource_group_id
    if memory.observed.get(group.lower()) is None:
        return []
    try:
        rows = await azure.survey(group)
    except AzureError as error:
        return [f"What would be deleted cannot be told, because there is no survey of {group}: {error}"]
    ours = [body for body in rows.values() if _tags(body).get(ENVIRONMENT_TAG) == scope.snapshot.key.tag]
    possible = _possible_ids(scope)
    tiers: set[str] = set()
    for body in ours:
        key, tags = str(body["id"]).lower(), _tags(body)
        if key in scope.graph or PARTITION_TAG in tags:
            continue
        owner = Owner.parse(tags.get(OWNER_TAG, ""))
        if owner.kind == StorageTier.__name__:
            tiers.add(owner.name)
        elif owner.kind == ComputePartition.__name__ or key in possible:
            memory.observed[key] = body
            memory.inventory[key] = ManagedResource(
                id=str(body["id"]), owner=str(owner), state=State.READY, order=key.count("/")
            )
    known = {tier.metadata.name for tier in scope.snapshot.tiers}
    return [
        *(
            f"StorageTier {name} is not in these manifests: where its deletionPolicy is Delete, its data would be "
            "deleted"
            for name in sorted(tiers - known)
        ),
        *(
            f"Tag {name} is on everything of this environment and not in spec.tags: where spec.tags had it before, it "
            "would be taken away"
            for name in _common_tags(ours, scope, memory)
        ),
    ]


def _tags(body: Mapping[str, Any]) -> Mapping[str, str]:
    return body.get("tags") or {}


def _common_tags(ours: Sequence[Mapping[str, Any]], scope: Scope, memory: Memory) -> list[str]:
    """Return the names of tags that everything of ours has alike, and of which nobody knows whether we wrote them.

    They may have been in an earlier specification, or a policy may give them to everything in the subscription.
    """
    known = {name.lower() for name in (*OWNERSHIP_TAGS, *scope.environment.spec.tags, *memory.tags)}
    everywhere = set.intersection(*(set(_tags(body).items()) for body in ours)) if ours else set()
    return sorted(name for name, _ in everywhere if name.lower() not in known)


def _possible_ids(scope: Scope) -> frozenset[str]:
    """Return the lower-case ids of all that the environment itself could have, whatever is optional included."""
    spec = scope.environment.spec.model_dump(by_alias=True, exclude_none=True)
    spec["entryPoint"] = {"loginNodes": {**spec["entryPoint"]["loginNodes"], "count": LARGEST_LOGIN_COUNT}}
    if "existing" not in spec["network"]:
        spec["network"] = {**spec["network"], "access": {**spec["network"].get("access", {}), "bastion": {}}}
    environment = HPCEnvironment.model_validate(
        {**scope.environment.model_dump(by_alias=True, exclude={"spec", "status"}), "spec": spec}
    )
    subscription = scope.full.resource_group_id.split("/")[2]
    inputs = Inputs(subscription_id=subscription, environment=environment, tiers=(), partitions=(), image_versions={})
    return frozenset(item.id.lower() for item in build(inputs).graph)
