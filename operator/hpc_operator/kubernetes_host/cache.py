"""The newest known state of every custom resource, fed by watch events, reads and the answers to our own writes.

Thousands of objects are known and few are looked at, so they are kept as JSON text and parsed when a pass asks for
them: as Python objects they would take four times the memory. Knows neither kopf nor a Kubernetes client.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson
from pydantic import ValidationError

from hpc_operator.api import GROUP, KINDS, ComputePartition, CustomResource, HPCEnvironment, StorageTier
from hpc_operator.reconcile.ports import Key, Snapshot

logger = logging.getLogger(__name__)

ObjectKey = tuple[str, str, str]
"""Kind, namespace and name."""

_MODELS = {kind.__name__: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class _Entry:
    version: int
    uid: str
    meaning: tuple[Any, ...]
    environment: Key
    text: bytes


class ObjectCache:
    """Custom resources by kind, namespace and name."""

    def __init__(self) -> None:
        self._entries: dict[ObjectKey, _Entry] = {}
        self._members: defaultdict[Key, set[ObjectKey]] = defaultdict(set)
        self._environments: dict[Key, HPCEnvironment] = {}  # without status: every pass asks for all of them
        self._not_understood: dict[ObjectKey, int] = {}
        self._written: dict[ObjectKey, bytes] = {}

    def apply(self, raw: Mapping[str, Any]) -> set[Key]:
        """Take in an object; return the environments that have to be looked at because of it.

        An older version than the known one is ignored. A change of nothing but status, finalizers or somebody's
        metadata wakes nobody: most of them are echoes of our own writes. A status that is not what was written last
        does: a write that was taken for lost may reach the API server after the one that followed it.

        One that is being deleted and has no finalizer left is gone, although the answer to the write that took the last
        one shows it once more, be it after the watch has told of the deletion.
        """
        if raw["metadata"].get("deletionTimestamp") and not raw["metadata"].get("finalizers"):
            return self.remove(raw)
        key, version = _object_key(raw), _version(raw)
        if version <= self.version(key):
            return set()
        # Who owns which field is half of an object, and nothing to us.
        metadata = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
        # A copy, because orjson gives a small text 4 kB of room and keeps it.
        text = bytes(memoryview(orjson.dumps({**raw, "metadata": metadata})))
        try:
            parsed = _MODELS[key[0]].model_validate_json(text)
        except ValidationError as error:
            # The API server checks the schema, so this is an object of a newer or older version of it.
            logger.warning("%s %s/%s is not understood and left alone: %s", *key, error)
            self._not_understood[key] = version
            return set()
        self._not_understood.pop(key, None)
        before = self._entries.get(key)
        entry = _Entry(version, metadata["uid"], _meaning(raw), _environment_of(parsed), text)
        woken: set[Key] = set()
        if before is not None and before.environment != entry.environment:
            # Deleted and made anew for another environment, and nobody told us of the deletion.
            self._leave(before.environment, key)
            woken.add(before.environment)
        self._entries[key] = entry
        self._members[entry.environment].add(key)
        if isinstance(parsed, HPCEnvironment):
            self._environments[entry.environment] = _without_status(parsed)
        is_as_written = key not in self._written or self._written[key] == _digest(raw.get("status"))
        is_news = before is None or before.meaning != entry.meaning or not is_as_written
        return woken | {entry.environment} if is_news else woken

    def note_written(self, resource: CustomResource, status: Mapping[str, Any]) -> None:
        """Note what is being written: an object that has it has nothing new in its status."""
        self._written[key_of(resource)] = _digest(status)

    def remove(self, raw: Mapping[str, Any]) -> set[Key]:
        """Forget an object; return the environments that have to be looked at because of it."""
        key = _object_key(raw)
        entry = self._entries.get(key)
        if entry is not None and entry.uid != raw["metadata"]["uid"]:
            return set()
        return self._forget(key)

    def _forget(self, key: ObjectKey) -> set[Key]:
        self._not_understood.pop(key, None)
        self._written.pop(key, None)
        entry = self._entries.pop(key, None)
        if entry is None:
            return set()
        self._leave(entry.environment, key)
        if key[0] == HPCEnvironment.__name__:
            del self._environments[entry.environment]
            # What was refused because of this environment, such as an overlapping address space, may go on now.
            return {entry.environment, *self._environments}
        return {entry.environment}

    def _leave(self, environment: Key, key: ObjectKey) -> None:
        self._members[environment].discard(key)
        if not self._members[environment]:
            del self._members[environment]

    def known(self) -> frozenset[ObjectKey]:
        """Return the keys of all known objects, those that are not understood too."""
        return frozenset(self._entries.keys() | self._not_understood.keys())

    def version(self, key: ObjectKey) -> int:
        """Return the resource version that is known of an object, 0 where none is."""
        entry = self._entries.get(key)
        return max(entry.version if entry is not None else 0, self._not_understood.get(key, 0))

    def keep_only(self, listed: Collection[ObjectKey], known: frozenset[ObjectKey]) -> set[Key]:
        """Forget what is not in a complete list: a cut watch does not tell what was deleted meanwhile.

        Parameters
        ----------
        listed
            The keys of all objects that there are.
        known
            What was known before they were listed: what a watch brought since then may be missing in the list.

        Returns
        -------
        set[Key]
            The environments that have to be looked at because of it.
        """
        woken: set[Key] = set()
        for key in known.difference(listed):
            woken |= self._forget(key)
        return woken

    def environments(self) -> set[Key]:
        """Return every environment that exists or is named by a tier or partition."""
        return set(self._members)

    def raw(self, resource: CustomResource) -> Mapping[str, Any] | None:
        """Return the newest known form of an object, without `metadata.managedFields`."""
        entry = self._entries.get(key_of(resource))
        return None if entry is None else orjson.loads(entry.text)

    def snapshot(self, key: Key) -> Snapshot:
        """Return an environment with all that belongs to it; the others are without status."""
        members = [
            _MODELS[member[0]].model_validate_json(self._entries[member].text)
            for member in sorted(self._members.get(key, ()))
        ]
        return Snapshot(
            key=key,
            environment=next((item for item in members if isinstance(item, HPCEnvironment)), None),
            tiers=tuple(item for item in members if isinstance(item, StorageTier)),
            partitions=tuple(item for item in members if isinstance(item, ComputePartition)),
            others=tuple(item for name, item in self._environments.items() if name != key),
        )


def key_of(resource: CustomResource) -> ObjectKey:
    """Return under which key an object is known."""
    return type(resource).__name__, resource.metadata.namespace, resource.metadata.name


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


def _without_status(environment: HPCEnvironment) -> HPCEnvironment:
    return environment.model_copy(update={"status": HPCEnvironment.model_fields["status"].get_default()})


def _digest(status: Any) -> bytes:
    return blake2b(orjson.dumps(status or {}, option=orjson.OPT_SORT_KEYS), digest_size=8).digest()


def _meaning(raw: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what somebody says to us with an object; annotations of our group are words such as approvals."""
    metadata = raw["metadata"]
    words = {name: text for name, text in (metadata.get("annotations") or {}).items() if name.startswith(f"{GROUP}/")}
    return (metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp"), *sorted(words.items()))
