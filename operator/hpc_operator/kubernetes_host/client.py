"""Speaks to the Kubernetes API for the engine: finalizers, status, events, and what there is at all."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from kubernetes.aio import client

from hpc_operator.api import GROUP, KINDS, VERSION, CustomResource
from hpc_operator.api.common import timestamp
from hpc_operator.kubernetes_host.cache import ObjectCache, ObjectKey, key_of
from hpc_operator.kubernetes_host.errors import UNREACHABLE
from hpc_operator.kubernetes_host.leadership import NotLeadingError
from hpc_operator.reconcile.ports import FINALIZER, Key, Snapshot

logger = logging.getLogger(__name__)

FIELD_MANAGER = "azure-hpc-operator"
COMPONENT = "azure-hpc-operator"
PAGE_SIZE = 250
"""Objects in one answer: 6 MB of environments. Larger ones hold up the event loop and leave a larger process behind."""
REQUEST_SECONDS = 30.0
"""Longest wait for an answer; the API server itself gives up after 60 s."""
CONFLICT_TRIES = 5
LONGEST_EVENT_MESSAGE = 1024
"""The API server refuses longer event messages."""

_GONE = 404
_CONFLICT = 409
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PLURALS = {kind.__name__: kind.info.plural for kind in KINDS}


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
    fence
        Whether this process may write, asked right before every write.
    """

    def __init__(
        self,
        api: client.ApiClient,
        cache: ObjectCache,
        wake: Callable[[Key], None],
        fence: Callable[[], bool],
    ) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._cache = cache
        self._wake = wake
        self._fence = fence
        self.writes: dict[str, int] = {"status": 0, "finalizer": 0, "event": 0}

    def snapshot(self, key: Key) -> Snapshot:
        """Return what is known of an environment."""
        return self._cache.snapshot(key)

    def wake(self, key: Key) -> None:
        """Have the environment reconciled soon."""
        self._wake(key)

    async def require_kinds(self, namespaces: tuple[str, ...] = ()) -> None:
        """Ask for one object of each kind.

        Raises
        ------
        ApiException
            If the API server does not serve a kind, or not to us.
        """
        for kind in KINDS:
            for namespace in namespaces or (None,):
                await self._page(kind.info.plural, namespace, limit=1)

    async def list_versions(
        self, kinds: Iterable[type[CustomResource]], namespaces: tuple[str, ...] = ()
    ) -> dict[ObjectKey, int]:
        """Return the resource version of every object of some kinds, in some namespaces or in all."""
        found: dict[ObjectKey, int] = {}
        for kind in kinds:
            for namespace in namespaces or (None,):
                more: str | None = ""
                while more is not None:
                    page = await self._page(kind.info.plural, namespace, limit=PAGE_SIZE, more=more)
                    for metadata in (item["metadata"] for item in page["items"] or ()):  # null where it is empty
                        key = (kind.__name__, metadata["namespace"], metadata["name"])
                        found[key] = int(metadata["resourceVersion"])
                    more = page["metadata"].get("continue") or None
        return found

    async def _page(self, plural: str, namespace: str | None, *, limit: int, more: str = "") -> Any:
        """Return one page of a list of objects, their metadata only."""
        options: dict[str, Any] = {
            "limit": limit,
            "_continue": more or None,
            "_request_timeout": REQUEST_SECONDS,
            "_headers": {"Accept": _METADATA_ONLY},
        }
        if namespace is None:
            return await self._objects.list_cluster_custom_object(GROUP, VERSION, plural, **options)
        return await self._objects.list_namespaced_custom_object(GROUP, VERSION, namespace, plural, **options)

    async def read(self, key: ObjectKey) -> str | None:
        """Take in an object as the API server has it now, and return its uid; None if it is gone."""
        kind, namespace, name = key
        try:
            answer: Any = await self._objects.get_namespaced_custom_object(
                GROUP, VERSION, namespace, _PLURALS[kind], name, _request_timeout=REQUEST_SECONDS
            )
        except client.ApiException as error:
            if error.status != _GONE:
                raise
            return None
        self._take_in(answer)
        return str(answer["metadata"]["uid"])

    def _take_in(self, answer: Any) -> None:
        """Take in an object as the API server answered it.

        What somebody else did just before our write stands in its answer first, a deletion above all; the watch event
        that tells of it is older then, and wakes nobody.
        """
        for environment in self._cache.apply(answer):
            self._wake(environment)

    def _begin_write(self, what: str) -> None:
        if not self._fence():
            msg = f"{what} not written: this process does not lead"
            raise NotLeadingError(msg)
        self.writes[what] += 1

    async def add_finalizer(self, resource: CustomResource) -> None:
        """Add our finalizer; no error if it is there."""
        await self._change_finalizers(resource, lambda known: known if FINALIZER in known else [*known, FINALIZER])

    async def remove_finalizer(self, resource: CustomResource) -> None:
        """Remove our finalizer; no error if it or the object is gone."""
        await self._change_finalizers(resource, lambda known: [item for item in known if item != FINALIZER])

    async def _change_finalizers(self, resource: CustomResource, change: Callable[[list[str]], list[str]]) -> None:
        def body() -> Mapping[str, Any] | None:
            raw = self._cache.raw(resource)
            if raw is None or raw["metadata"]["uid"] != resource.metadata.uid:
                return None
            known = list(raw["metadata"].get("finalizers") or [])
            if change(known) == known:
                return None
            # The resource version makes it a conflict when somebody else changed the list meanwhile.
            return {"metadata": {"resourceVersion": raw["metadata"]["resourceVersion"], "finalizers": change(known)}}

        await self._write("finalizer", resource, body, self._patch)

    async def _write(
        self,
        what: str,
        resource: CustomResource,
        body: Callable[[], Mapping[str, Any] | None],
        send: Callable[[CustomResource, Mapping[str, Any]], Awaitable[Any]],
    ) -> None:
        """Write a part of an object, again after a conflict; no error if the object is gone.

        Parameters
        ----------
        what
            The part, for people.
        resource
            The object.
        body
            Returns what to send, from what is known by then; None where there is nothing to be written.
        send
            Sends it, and returns the object as the API server has it then.

        Raises
        ------
        ApiException
            If the API server refuses it.
        RuntimeError
            If it answers with a conflict again and again although the object is the same.
        """
        name = f"{type(resource).__name__} {resource.metadata.namespace}/{resource.metadata.name}"
        for _ in range(CONFLICT_TRIES):
            if (content := body()) is None:
                return
            self._begin_write(what)
            try:
                answer = await send(resource, content)
            except client.ApiException as error:
                if error.status not in {_GONE, _CONFLICT}:
                    raise
                # A conflict says that the uid is another one, but also that somebody wrote at the same moment.
                if error.status == _GONE or await self.read(key_of(resource)) != resource.metadata.uid:
                    logger.info("%s is gone; its %s is not needed", name, what)
                    return
            else:
                self._take_in(answer)
                return
        msg = f"the {what} of {name} was refused {CONFLICT_TRIES} times because of a conflict"
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

    def status_of(self, resource: CustomResource) -> Mapping[str, Any]:
        """Return the newest known status as the API server has it."""
        raw = self._cache.raw(resource)
        return (raw or {}).get("status") or {}

    async def write_status(self, resource: CustomResource, status: Mapping[str, Any]) -> None:
        """Write the whole status that we own, by server-side apply; for errors see `_write`."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": type(resource).__name__,
            # With the uid, a status never lands on another object of the same name.
            "metadata": {"name": resource.metadata.name, "uid": resource.metadata.uid},
            "status": dict(status),
        }
        await self._write("status", resource, lambda: body, self._apply_status)

    async def _apply_status(self, resource: CustomResource, body: Mapping[str, Any]) -> Any:
        self._cache.note_written(resource, body["status"])
        return await self._objects.patch_namespaced_custom_object_status(
            GROUP,
            VERSION,
            resource.metadata.namespace,
            resource.info.plural,
            resource.metadata.name,
            dict(body),
            field_manager=FIELD_MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
            _request_timeout=REQUEST_SECONDS,
        )

    async def emit(
        self, resource: CustomResource, event_type: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Publish an Event about an object. Does not raise where that fails: an event is news, not state."""
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
            "firstTimestamp": timestamp(now),
            "lastTimestamp": timestamp(now),
            "count": 1,
        }
        self._begin_write("event")
        try:
            await self._core.create_namespaced_event(metadata.namespace, body, _request_timeout=REQUEST_SECONDS)  # type: ignore[arg-type]
        except (client.ApiException, *UNREACHABLE) as error:
            # The namespace may be going or the server away; the status tells the same.
            what = getattr(error, "reason", None) or type(error).__name__
            logger.warning("event %s about %s was not published: %s", reason, resource.metadata.name, what)
