"""A cluster that holds nothing but the manifests, for an engine that only looks. Refuses every write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NoReturn

from hpc_operator.api import CustomResource
from hpc_operator.reconcile.ports import Key, Snapshot


class PreviewWriteError(AssertionError):
    """The engine wanted to write during a preview: a defect of ours."""


class ManifestCluster:
    """Implements `reconcile.ports.Cluster` by what was read.

    Parameters
    ----------
    snapshots
        The environments.
    """

    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        self._snapshots = {snapshot.key: snapshot for snapshot in snapshots}

    def snapshot(self, key: Key) -> Snapshot:
        """Return what was read of an environment."""
        return self._snapshots[key]

    def status_of(self, resource: CustomResource) -> Mapping[str, Any]:
        """Return the status that stands in the manifest, as in one that `kubectl get -o yaml` printed."""
        return resource.model_dump(mode="json", by_alias=True, include={"status"}, exclude_none=True)["status"]  # type: ignore[no-any-return]

    async def add_finalizer(self, resource: CustomResource) -> None:
        """Refuse."""
        _refuse(resource)

    async def remove_finalizer(self, resource: CustomResource) -> None:
        """Refuse."""
        _refuse(resource)

    async def write_status(self, resource: CustomResource, status: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Refuse."""
        _refuse(resource)

    async def emit(
        self,
        resource: CustomResource,
        event_type: Literal["Normal", "Warning"],  # noqa: ARG002
        reason: str,  # noqa: ARG002
        message: str,  # noqa: ARG002
    ) -> None:
        """Refuse."""
        _refuse(resource)

    def wake(self, key: Key) -> None:
        """Refuse."""
        _refuse(key)


def _refuse(what: object) -> NoReturn:
    msg = f"a preview may not write: {what!r}"
    raise PreviewWriteError(msg)
