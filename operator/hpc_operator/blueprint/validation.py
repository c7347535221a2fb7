"""Finds what is wrong with an environment and its objects and no single one of them can show.

Runs before any write to Azure. Pure; knows the objects and the address plan, and nothing of Azure's answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.graph import Owner


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

    Parameters
    ----------
    environment
        The environment.
    tiers, partitions
        Those whose `environmentRef` names it.
    other_environments
        All other environments of the subscription, of every namespace.
    """
    raise NotImplementedError
