"""Has the engine look at Azure for manifests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from hpc_operator.azure import AzureClient
from hpc_operator.azure.prices import PriceList
from hpc_operator.azure.subscription import AzureSubscription
from hpc_operator.blueprint import find_problems
from hpc_operator.blueprint.names import CLAIM_TAG, ENVIRONMENT_TAG, Site
from hpc_operator.preview.cluster import ManifestCluster
from hpc_operator.preview.outlook import Outlook
from hpc_operator.reconcile.environment import Reconciler
from hpc_operator.reconcile.ports import Snapshot
from hpc_operator.reconcile.scope import owner_of
from hpc_operator.settings import Settings
from hpc_operator.subscription import Permissions


class OperatorsSubscription(AzureSubscription):
    """The subscription as the operator may use it, asked by somebody who may only read.

    Who asks for a plan is not who carries it out, and Azure shows nobody what somebody else may do.
    """

    async def permissions(self, scope: str) -> Permissions:  # noqa: ARG002
        """Return all rights: whether the operator has them is seen by the operator."""
        return Permissions(grants=((("*",), ()),))


async def look(snapshots: Sequence[Snapshot], settings: Settings) -> list[Outlook]:
    """Return what applying each environment would do.

    Raises
    ------
    AzureError
        If Azure cannot be asked.
    """
    async with AzureClient(settings.arm_endpoint, settings.subscription_id) as azure:
        return [await _look(snapshot, azure, settings) for snapshot in snapshots]


async def _look(snapshot: Snapshot, azure: AzureClient, settings: Settings) -> Outlook:
    environment = snapshot.environment
    assert environment is not None  # noqa: S101 - manifests make no snapshot without one
    problems = tuple(find_problems(environment, snapshot.tiers, snapshot.partitions, snapshot.others))
    if any(problem.owner == owner_of(environment) for problem in problems):
        return Outlook(snapshot.key, None, problems)
    holder, uid = await _claim(snapshot, azure, settings.subscription_id)
    metadata = environment.metadata.model_copy(update={"uid": uid})
    known = replace(snapshot, environment=environment.model_copy(update={"metadata": metadata}))
    reconciler = Reconciler(
        azure,
        OperatorsSubscription(azure, PriceList(settings.prices_url)),
        ManifestCluster([known]),
        subscription_id=settings.subscription_id,
        holder=holder,
        drift_seconds=math.inf,
        may_go=lambda _: False,
    )
    return Outlook(snapshot.key, await reconciler.preview(known), problems)


async def _claim(snapshot: Snapshot, azure: AzureClient, subscription_id: str) -> tuple[str, str]:
    """Return the cluster and the uid under which an operator holds this environment already; empty where none does.

    A manifest has neither, and without them the engine would take its own resources for somebody else's.
    """
    assert snapshot.environment is not None  # noqa: S101
    group = await azure.get(Site(subscription_id, snapshot.environment).resource_group_id)
    tags = (group or {}).get("tags") or {}
    if tags.get(ENVIRONMENT_TAG) != snapshot.key.tag:
        return "", ""
    holder, _, uid = tags.get(CLAIM_TAG, "").rpartition("/")
    return holder, uid
