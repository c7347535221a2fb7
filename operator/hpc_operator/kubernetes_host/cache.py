"""The newest known state of every custom resource, fed by watch events, lists and the answers to our own writes.

Knows neither kopf nor a Kubernetes client.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from hpc_operator.api import KINDS, ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.reconcile.ports import Key, Snapshot

logger = logging.getLogger(__name__)

ObjectKey = tuple[str, str, str]
"""Kind, namespace and name."""

_MODELS = {kind.__name__: kind for kind in KINDS}


class ObjectCache:
    """Custom resources by kind, namespace and name."""

    def __init__(self) -> None:
        self._raw: dict[ObjectKey, Mapping[str, Any]] = {}
        self._parsed: dict[ObjectKey, CustomResource] = {}
        self._members: defaultdict[Key, set[ObjectKey]] = defaultdict(set)

    def apply(self, raw: Mapping[str, Any]) -> set[Key]:
        """Take in an object; return the environments that have to be looked at because of it.

        An older version than the known one is ignored. A change of nothing but status or metadata wakes nobody:
        most of them are echoes of our own writes.
        """
        key = _object_key(raw)
        before = self._raw.get(key)
        if before is not None and _version(raw) <= _version(before):
            return set()
        try:
            parsed = _MODELS[key[0]].model_validate(raw)
        except ValidationError as error:
            # The API server checks the schema, so this is an object of a newer or older version of it.
            logger.warning("%s %s/%s is not understood and left alone: %s", *key, error)
            return set()
        woken: set[Key] = set()
        environment = _environment_of(parsed)
        if before is not None and (former := _environment_of(self._parsed[key])) != environment:
            # Deleted and made anew for another environment, and nobody told us of the deletion.
            self._leave(former, key)
            woken.add(former)
        self._raw[key] = raw
        self._parsed[key] = parsed
        self._members[environment].add(key)
        return woken | {environment} if before is None or _meaning(before) != _meaning(raw) else woken

    def remove(self, raw: Mapping[str, Any]) -> set[Key]:
        """Forget an object; return the environments that have to be looked at because of it."""
        key = _object_key(raw)
        known = self._raw.get(key)
        if known is None or known["metadata"]["uid"] != raw["metadata"]["uid"]:
            return set()
        del self._raw[key]
        environment = _environment_of(self._parsed.pop(key))
        self._leave(environment, key)
        if key[0] == HPCEnvironment.__name__:
            # What was refused because of this environment, such as an overlapping address space, may go on now.
            return {environment} | {_environment_of(other) for other in self._environments()}
        return {environment}

    def _leave(self, environment: Key, key: ObjectKey) -> None:
        self._members[environment].discard(key)
        if not self._members[environment]:
            del self._members[environment]

    def known(self) -> frozenset[ObjectKey]:
        """Return the keys of all known objects."""
        return frozenset(self._raw)

    def keep_only(self, listed: Iterable[Mapping[str, Any]], known: frozenset[ObjectKey]) -> set[Key]:
        """Take in a complete list and forget all else: a cut watch does not tell what was deleted meanwhile.

        Parameters
        ----------
        listed
            All objects that there are.
        known
            What was known before they were listed: what a watch brought since then may be missing in the list.
        """
        objects = list(listed)
        woken: set[Key] = set()
        for raw in objects:
            woken |= self.apply(raw)
        for key in known & self._raw.keys() - {_object_key(raw) for raw in objects}:
            woken |= self.remove(self._raw[key])
        return woken

    def environments(self) -> set[Key]:
        """Return every environment that exists or is named by a tier or partition."""
        return set(self._members)

    def raw(self, resource: CustomResource) -> Mapping[str, Any] | None:
        """Return the newest known form of an object."""
        return self._raw.get((type(resource).__name__, resource.metadata.namespace, resource.metadata.name))

    def snapshot(self, key: Key) -> Snapshot:
        """Return an environment with all that belongs to it."""
        members = [self._parsed[member] for member in sorted(self._members.get(key, ()))]
        environment = next((item for item in members if isinstance(item, HPCEnvironment)), None)
        return Snapshot(
            key=key,
            environment=environment,
            tiers=tuple(item for item in members if isinstance(item, StorageTier)),
            partitions=tuple(item for item in members if isinstance(item, ComputePartition)),
            others=tuple(item for item in self._environments() if _environment_of(item) != key),
        )

    def _environments(self) -> list[HPCEnvironment]:
        return [item for item in self._parsed.values() if isinstance(item, HPCEnvironment)]


def _object_key(raw: Mapping[str, Any]) -> ObjectKey:
    metadata = raw["metadata"]
    return (raw["kind"], metadata["namespace"], metadata["name"])


def _version(raw: Mapping[str, Any]) -> int:
    # Comparable since Kubernetes 1.35 (KEP-5504), and numeric in every server before it.
    return int(raw["metadata"]["resourceVersion"])


def _environment_of(resource: CustomResource) -> Key:
    if isinstance(resource, StorageTier | ComputePartition):
        return Key(resource.metadata.namespace, resource.spec.environment_ref.name)
    return Key(resource.metadata.namespace, resource.metadata.name)


def _meaning(raw: Mapping[str, Any]) -> tuple[Any, ...]:
    metadata = raw["metadata"]
    return (metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp"))
