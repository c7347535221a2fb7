"""Writes to the Kubernetes API: finalizers, status, events. Implements the engine's view of a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import aiohttp
from kubernetes.aio import client

from hpc_operator.api import GROUP, KINDS, VERSION, CustomResource
from hpc_operator.kubernetes_host.cache import ObjectCache
from hpc_operator.reconcile.ports import FINALIZER, Key, Snapshot

logger = logging.getLogger(__name__)

FIELD_MANAGER = "azure-hpc-operator"
COMPONENT = "azure-hpc-operator"
PAGE_SIZE = 500
REQUEST_SECONDS = 30.0
"""Longest wait for an answer; the API server itself gives up after 60 s."""
CONFLICT_TRIES = 5
LONGEST_EVENT_MESSAGE = 1024
"""The API server refuses longer event messages."""

_GONE = 404
_CONFLICT = 409


class KubernetesCluster:
    """The cluster behind one API client.

    Parameters
    ----------
    api
        The API client.
    cache
        Where answers go, so that the next pass sees what this one wrote.
    wake
        Called with environments that have to be looked at.
    """

    def __init__(self, api: client.ApiClient, cache: ObjectCache, wake: Callable[[Key], None]) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._cache = cache
        self._wake = wake
        self.writes: dict[str, int] = {"status": 0, "finalizer": 0, "event": 0}

    def snapshot(self, key: Key) -> Snapshot:
        """Return what is known of an environment."""
        return self._cache.snapshot(key)

    def wake(self, key: Key) -> None:
        """Have the environment reconciled soon."""
        self._wake(key)

    async def list_all(self, namespaces: tuple[str, ...] = ()) -> list[Mapping[str, Any]]:
        """Return every object of the three kinds, in some namespaces or in all."""
        found: list[Mapping[str, Any]] = []
        for kind in KINDS:
            for namespace in namespaces or (None,):
                found += await self._list(kind.info.plural, namespace)
        return found

    async def _list(self, plural: str, namespace: str | None) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        more: str | None = None
        while True:
            page: Any
            options: dict[str, Any] = {"limit": PAGE_SIZE, "_continue": more, "_request_timeout": REQUEST_SECONDS}
            if namespace is None:
                page = await self._objects.list_cluster_custom_object(GROUP, VERSION, plural, **options)
            else:
                page = await self._objects.list_namespaced_custom_object(GROUP, VERSION, namespace, plural, **options)
            found += page["items"]
            more = page["metadata"].get("continue")
            if not more:
                return found

    async def add_finalizer(self, resource: CustomResource) -> None:
        """Add our finalizer; no error if it is there."""
        await self._change_finalizers(resource, lambda known: known if FINALIZER in known else [*known, FINALIZER])

    async def remove_finalizer(self, resource: CustomResource) -> None:
        """Remove our finalizer; no error if it or the object is gone."""
        await self._change_finalizers(resource, lambda known: [item for item in known if item != FINALIZER])

    async def _change_finalizers(self, resource: CustomResource, change: Callable[[list[str]], list[str]]) -> None:
        for _ in range(CONFLICT_TRIES):
            raw = self._cache.raw(resource)
            if raw is None or raw["metadata"]["uid"] != resource.metadata.uid:
                return
            known = list(raw["metadata"].get("finalizers") or [])
            if change(known) == known:
                return
            # The resource version makes it a conflict when somebody else changed the list meanwhile.
            body = {"metadata": {"resourceVersion": raw["metadata"]["resourceVersion"], "finalizers": change(known)}}
            try:
                self.writes["finalizer"] += 1
                answer = await self._patch(resource, body)
            except client.ApiException as error:
                if error.status == _GONE:
                    return
                if error.status != _CONFLICT:
                    raise
                await self._read_again(resource)
            else:
                self._cache.apply(answer)
                return
        msg = f"the finalizers of {resource.metadata.namespace}/{resource.metadata.name} change all the time"
        raise RuntimeError(msg)

    async def _patch(self, resource: CustomResource, body: Mapping[str, Any]) -> Any:
        return await self._objects.patch_namespaced_custom_object(
            GROUP,
            VERSION,
            resource.metadata.namespace,
            resource.info.plural,
            resource.metadata.name,
            dict(body),
            field_manager=FIELD_MANAGER,
            _content_type="application/merge-patch+json",
            _request_timeout=REQUEST_SECONDS,
        )

    async def _read_again(self, resource: CustomResource) -> None:
        answer: Any = await self._objects.get_namespaced_custom_object(
            GROUP,
            VERSION,
            resource.metadata.namespace,
            resource.info.plural,
            resource.metadata.name,
            _request_timeout=REQUEST_SECONDS,
        )
        for key in self._cache.apply(answer):
            self._wake(key)

    def status_of(self, resource: CustomResource) -> Mapping[str, Any]:
        """Return the newest known status as the API server has it."""
        raw = self._cache.raw(resource)
        return (raw or {}).get("status") or {}

    async def write_status(self, resource: CustomResource, status: Mapping[str, Any]) -> None:
        """Write the whole status that we own, by server-side apply; no error if the object is gone."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": type(resource).__name__,
            # With the uid, a status never lands on another object of the same name.
            "metadata": {"name": resource.metadata.name, "uid": resource.metadata.uid},
            "status": dict(status),
        }
        try:
            self.writes["status"] += 1
            answer: Any = await self._objects.patch_namespaced_custom_object_status(
                GROUP,
                VERSION,
                resource.metadata.namespace,
                resource.info.plural,
                resource.metadata.name,
                body,
                field_manager=FIELD_MANAGER,
                force=True,
                _content_type="application/apply-patch+yaml",
                _request_timeout=REQUEST_SECONDS,
            )
        except client.ApiException as error:
            if error.status not in {_GONE, _CONFLICT}:
                raise
            logger.info("%s %s is gone; its status is not needed", type(resource).__name__, resource.metadata.name)
        else:
            self._cache.apply(answer)

    async def emit(
        self, resource: CustomResource, event_type: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Publish an Event about an object. Never raises: an event is news, not state."""
        now = datetime.now(UTC)
        metadata = resource.metadata
        body = {
            "metadata": {"generateName": f"{metadata.name}.", "namespace": metadata.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": type(resource).__name__,
                "namespace": metadata.namespace,
                "name": metadata.name,
                "uid": metadata.uid,
                "resourceVersion": metadata.resource_version,
            },
            "type": event_type,
            "reason": reason,
            "message": message[:LONGEST_EVENT_MESSAGE],
            "source": {"component": COMPONENT},
            "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "count": 1,
        }
        try:
            self.writes["event"] += 1
            await self._core.create_namespaced_event(metadata.namespace, body, _request_timeout=REQUEST_SECONDS)  # type: ignore[arg-type]
        except (client.ApiException, aiohttp.ClientError, TimeoutError) as error:
            # The namespace may be going or the server away; the status tells the same.
            what = getattr(error, "reason", None) or type(error).__name__
            logger.warning("event %s about %s was not published: %s", reason, resource.metadata.name, what)
