"""What the engine asks of its host: objects, finalizers, status, events. Implemented by kubernetes_host.

Knows no Kubernetes client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from hpc_operator.api import ComputePartition, CustomResource, HPCEnvironment, StorageTier

FINALIZER = "azurehpc.io/azure-resources"


class Key(NamedTuple):
    """Namespace and name of an environment."""

    namespace: str
    name: str

    @property
    def tag(self) -> str:
        """`namespace/name`, as the ownership tag has it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Snapshot:
    """An environment with all that belongs to it, as the cluster had them at one moment.

    `environment` is None where tiers or partitions name one that does not exist.
    """

    key: Key
    environment: HPCEnvironment | None
    tiers: tuple[StorageTier, ...]
    partitions: tuple[ComputePartition, ...]
    others: tuple[HPCEnvironment, ...]


class Cluster(Protocol):
    """The Kubernetes cluster as the engine sees it."""

    def snapshot(self, key: Key) -> Snapshot:
        """Return what is known of an environment."""

    async def add_finalizer(self, resource: CustomResource) -> None:
        """Add our finalizer; no error if it is there."""

    async def remove_finalizer(self, resource: CustomResource) -> None:
        """Remove our finalizer; no error if it or the object is gone."""

    def status_of(self, resource: CustomResource) -> Mapping[str, Any]:
        """Return the newest known status as the API server has it."""

    async def write_status(self, resource: CustomResource, status: Mapping[str, Any]) -> None:
        """Write the whole status that we own; no error if the object is gone."""

    async def emit(
        self, resource: CustomResource, event_type: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Publish an Event about an object. Never raises: an event is news, not state."""

    def wake(self, key: Key) -> None:
        """Have the environment reconciled soon."""
