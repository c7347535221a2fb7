"""The engine on real SDK clients and an emulated Azure, with custom resources in memory.

What a real API server adds (schema, defaults, watches, rights) is tested in tests/cluster.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest
import yaml
from azure.core.credentials import AccessToken

from azure_emulator import Emulator
from hpc_operator.azure import AzureClient
from hpc_operator.azure.prices import PriceList
from hpc_operator.azure.subscription import AzureSubscription
from hpc_operator.crds import render
from hpc_operator.kubernetes_host.cache import ObjectCache
from hpc_operator.kubernetes_host.queue import KeyQueue
from hpc_operator.reconcile.environment import Reconciler
from hpc_operator.reconcile.ports import FINALIZER, Key, Snapshot

SPEED = 600.0
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"


class StaticCredential:
    async def get_token(self, *scopes, **options):
        return AccessToken("a-token", int(time.time()) + 3600)

    async def close(self):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass


def _strict(schema: Any) -> Any:
    """Return a schema that refuses undeclared fields, as server-side apply does."""
    if isinstance(schema, dict):
        closed = {key: _strict(value) for key, value in schema.items()}
        if closed.get("x-kubernetes-list-type") == "set":
            closed["uniqueItems"] = True
        return {**closed, "additionalProperties": False} if "properties" in schema else closed
    return [_strict(item) for item in schema] if isinstance(schema, list) else schema


STATUS_SCHEMAS = {
    manifest["spec"]["names"]["kind"]: _strict(
        manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    )
    for manifest in (yaml.safe_load(text) for text in render().values())
}


class InMemoryCluster:
    """Custom resources as an API server would hold them, as far as the engine can tell."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self.cache = ObjectCache()
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.events: list[tuple[str, str, str, str]] = []
        self.status_writes: list[tuple[str, Mapping[str, Any]]] = []
        self._wake = wake
        self._numbers = itertools.count(1)

    def apply(self, manifest: dict[str, Any]) -> None:
        key = (manifest["kind"], manifest["metadata"]["name"])
        old = self.objects.get(key)
        number = next(self._numbers)
        metadata = (
            old["metadata"]
            if old
            else {
                "uid": f"uid-{number}",
                "generation": 0,
                "creationTimestamp": f"2026-01-01T00:00:{number:02d}Z",
                "namespace": "hpc",
            }
        )
        generation = metadata["generation"] + (old is None or old["spec"] != manifest["spec"])
        self._store(
            {
                "apiVersion": "azurehpc.io/v1alpha1",
                "kind": key[0],
                "metadata": {**metadata, **manifest["metadata"], "generation": generation},
                "spec": manifest["spec"],
                **({"status": old["status"]} if old and "status" in old else {}),
            }
        )

    def edit(self, kind: str, name: str, **spec: Any) -> None:
        old = self.objects[kind, name]
        self.apply({"kind": kind, "metadata": {"name": name}, "spec": {**old["spec"], **spec}})

    def delete(self, kind: str, name: str) -> None:
        raw = self.objects[kind, name]
        if raw["metadata"].get("finalizers"):
            self._store({**raw, "metadata": {**raw["metadata"], "deletionTimestamp": "2026-01-02T00:00:00Z"}})
        else:
            self._remove(raw)

    def status(self, kind: str, name: str) -> Mapping[str, Any]:
        return self.objects[kind, name].get("status", {})

    def condition(self, kind: str, name: str, condition: str = "Ready") -> Mapping[str, Any]:
        found = self.status(kind, name).get("conditions", [])
        return next(
            (item for item in found if item["type"] == condition), {"status": "absent", "reason": "", "message": ""}
        )

    def _store(self, raw: dict[str, Any]) -> None:
        raw = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(next(self._numbers))}}
        self.objects[raw["kind"], raw["metadata"]["name"]] = raw
        for key in self.cache.apply(raw):
            self._wake(key)

    def _remove(self, raw: dict[str, Any]) -> None:
        del self.objects[raw["kind"], raw["metadata"]["name"]]
        for key in self.cache.remove(raw):
            self._wake(key)

    # reconcile.ports.Cluster

    def snapshot(self, key: Key) -> Snapshot:
        return self.cache.snapshot(key)

    def wake(self, key: Key) -> None:
        self._wake(key)

    async def add_finalizer(self, resource) -> None:
        raw = self.objects.get((type(resource).__name__, resource.metadata.name))
        if raw and FINALIZER not in raw["metadata"].get("finalizers", []):
            self._store({**raw, "metadata": {**raw["metadata"], "finalizers": [FINALIZER]}})

    async def remove_finalizer(self, resource) -> None:
        raw = self.objects.get((type(resource).__name__, resource.metadata.name))
        if raw is None:
            return
        raw = {**raw, "metadata": {**raw["metadata"], "finalizers": []}}
        if raw["metadata"].get("deletionTimestamp"):
            self._remove(raw)
        else:
            self._store(raw)

    def status_of(self, resource) -> Mapping[str, Any]:
        return (self.cache.raw(resource) or {}).get("status") or {}

    async def write_status(self, resource, status: Mapping[str, Any]) -> None:
        jsonschema.validate(status, STATUS_SCHEMAS[type(resource).__name__])
        self.status_writes.append((f"{type(resource).__name__}/{resource.metadata.name}", status))
        raw = self.objects.get((type(resource).__name__, resource.metadata.name))
        if raw is not None:
            # As measured: server-side apply drops an empty list.
            self._store({**raw, "status": {key: value for key, value in status.items() if value != []}})

    async def emit(self, resource, event_type, reason, message) -> None:
        self.events.append((f"{type(resource).__name__}/{resource.metadata.name}", event_type, reason, message))


@dataclass
class World:
    """An operator process, its cluster and its Azure."""

    emulator: Emulator
    cluster: InMemoryCluster
    queue: KeyQueue
    azure: AzureClient
    reconciler: Reconciler
    may_go: Callable[[str], bool] = lambda name: True
    passes: int = 0

    async def run_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Reconcile until `condition` holds; fail with what the environment says if it never does."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            assert left > 0, (
                f"never came true; environments: { {k: v.get('status') for k, v in self.cluster.objects.items()} }"
            )
            await self._one_pass(min(left, 1.0))

    async def settle(self) -> None:
        """Reconcile until nothing is due for a while: 240 emulated seconds, more than any wait between polls."""
        while await self._one_pass(0.4):
            pass

    async def _one_pass(self, patience: float) -> bool:
        """Reconcile what is due; return whether anything was within `patience` seconds."""
        try:
            key = await asyncio.wait_for(self.queue.get(), patience)
        except TimeoutError:
            return False
        self.passes += 1
        after = await self.reconciler.reconcile(key)
        self.queue.done(key)
        if after is not None:
            self.queue.add(key, after)
        return True

    def ready(self, name: str = "climate") -> bool:
        return self.cluster.condition("HPCEnvironment", name)["status"] == "True"

    async def restart(self) -> None:
        """Replace the operator process: all memory is lost, nothing else."""
        await self.azure.close()
        self.queue = KeyQueue()
        self.cluster._wake = self.queue.add
        self.azure = await AzureClient(self.emulator.url, SUBSCRIPTION, StaticCredential()).__aenter__()
        self.reconciler = self.make_reconciler()
        for key in self.cluster.cache.environments():
            self.queue.add(key)

    def make_reconciler(self) -> Reconciler:
        return Reconciler(
            self.azure,
            AzureSubscription(self.azure, PriceList(self.emulator.url)),
            self.cluster,
            subscription_id=SUBSCRIPTION,
            holder="test",
            drift_seconds=600.0,
            may_go=lambda node: self.may_go(node.name),
        )


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    async with Emulator(speed=SPEED, seed=1) as emulator:
        queue = KeyQueue()
        cluster = InMemoryCluster(queue.add)
        azure = await AzureClient(emulator.url, SUBSCRIPTION, StaticCredential()).__aenter__()
        made = World(emulator, cluster, queue, azure, None)
        made.reconciler = made.make_reconciler()
        try:
            yield made
        finally:
            await made.azure.close()


def environment(name="climate", **spec):
    return {
        "kind": "HPCEnvironment",
        "metadata": {"name": name},
        "spec": {
            "location": "westeurope",
            "tags": {"department": "climate"},
            "network": {"addressSpace": ["10.40.0.0/20"], "access": {"bastion": {}}},
            "scheduler": {"slurm": {}},
            "entryPoint": {"loginNodes": {"count": 1}},
            **spec,
        },
    }


def tier(name="climate-home", environment="climate", path="/home", **spec):
    return {
        "kind": "StorageTier",
        "metadata": {"name": name},
        "spec": {
            "environmentRef": {"name": environment},
            "purpose": "Home",
            "mountPath": path,
            **(spec or {"netAppFiles": {"serviceLevel": "Premium", "capacity": "4Ti"}}),
        },
    }


def partition(name="climate-hpc", environment="climate", **spec):
    return {
        "kind": "ComputePartition",
        "metadata": {"name": name},
        "spec": {
            "environmentRef": {"name": environment},
            "vmSizes": ["Standard_HB120rs_v3"],
            "nodes": {"min": 2, "max": 8},
            "rollout": {"maxSurge": 1},
            **spec,
        },
    }


QUICKSTART = (
    environment(),
    tier(),
    tier("climate-scratch", path="/scratch", managedLustre={"capacity": "8Ti"}),
    partition(),
)
