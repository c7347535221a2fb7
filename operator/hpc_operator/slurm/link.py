"""What the operator asks of a running Slurm, whichever way it is reached.

The engine knows this interface and nothing of transports. Every call ends within its time limit. An answer that does
not come, or is not understood, raises `Unreachable`: the caller takes every node for busy then and deletes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

DRAIN_PREFIX = "azurehpc: "
"""How the reason of a drain of ours begins: only those are undone. A person's drain is respected."""


class Unreachable(Exception):  # noqa: N818 - the condition's reason has the same name
    """The scheduler did not answer in time, refused, or is not understood; the text says which, for people."""


class Power(Enum):
    """What Slurm wants with a cloud node's machine."""

    UP = "Up"  # it runs, or ought to
    POWERING_UP = "PoweringUp"  # a job waits for it
    POWERING_DOWN = "PoweringDown"  # idle for SuspendTime: the machine may go now
    DOWN = "PoweredDown"  # no machine is wanted


@dataclass(frozen=True)
class SlurmNode:
    """One node as Slurm shows it.

    Parameters
    ----------
    name
        NodeName, which is the name of the virtual machine.
    power
        What Slurm wants with its machine.
    is_responding
        Whether its slurmd has registered and answers.
    is_busy
        Whether anything runs on it or is being cleaned up after (ALLOCATED, MIXED, COMPLETING), or is assigned to it.
    is_down
        Whether Slurm gave it up (DOWN, FAIL, or not registered within ResumeTimeout).
    is_draining
        Whether no new job starts on it (DRAIN), be it that jobs still run.
    reason
        Why it is drained or down; empty where it is neither.
    features
        Its features: the partition's name in Slurm and the generation are among them.
    """

    name: str
    power: Power
    is_responding: bool
    is_busy: bool
    is_down: bool
    is_draining: bool
    reason: str
    features: frozenset[str]

    @property
    def is_drained_by_us(self) -> bool:
        """Whether the operator may resume it."""
        return self.is_draining and self.reason.startswith(DRAIN_PREFIX)


@dataclass(frozen=True)
class SlurmJob:
    """One job, or one task of an array, that is not over.

    Parameters
    ----------
    id
        JobId.
    partition
        Name of the partition in Slurm; several, separated by commas, where the user left the choice to Slurm.
    is_running
        Whether it holds nodes, be it that they are still booting (RUNNING, CONFIGURING, COMPLETING, SUSPENDED).
    nodes
        Names of the nodes that it holds.
    node_count
        How many nodes it holds or asks for.
    reason
        Why it waits, in Slurm's word; empty where it runs.
    """

    id: int
    partition: str
    is_running: bool
    nodes: frozenset[str]
    node_count: int
    reason: str


@dataclass(frozen=True)
class NodeDefinition:
    """A dynamic node to be made known to Slurm before its machine exists: `State=CLOUD`.

    Parameters
    ----------
    name
        NodeName.
    hardware
        What slurm.conf says of such a node, without name, address and features: `CPUs=4 RealMemory=15000 Gres=gpu:1`.
    features
        Its features.
    """

    name: str
    hardware: str
    features: Sequence[str]


class Scheduler(Protocol):
    """A running Slurm.

    Every method raises `Unreachable`.
    """

    async def nodes(self) -> Mapping[str, SlurmNode]:
        """Return all nodes by name, powered-down ones too."""
        ...

    async def jobs(self) -> Sequence[SlurmJob]:
        """Return the jobs that wait or run."""
        ...

    async def create_nodes(self, nodes: Sequence[NodeDefinition]) -> None:
        """Make nodes known; those that are already are left as they are."""
        ...

    async def delete_nodes(self, names: Collection[str]) -> Mapping[str, str]:
        """Have nodes forgotten; return those that Slurm refused to forget with its reason, such as jobs on them."""
        ...

    async def drain(self, names: Collection[str], reason: str) -> None:
        """Let no new job start on nodes.

        Parameters
        ----------
        names
            Of the nodes.
        reason
            What users read in sinfo -R, without `DRAIN_PREFIX`.
        """
        ...

    async def resume(self, names: Collection[str]) -> None:
        """Let jobs start again on nodes that were drained or down."""
        ...

    async def power_down(self, names: Collection[str]) -> None:
        """Tell Slurm that the machines of nodes are gone or go: it requeues what was to start there."""
        ...
