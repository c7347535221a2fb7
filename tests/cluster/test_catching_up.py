"""What the watch did not tell is found out, and what everybody knows is not asked for again."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio import client, config

from hpc_operator.api import KINDS
from hpc_operator.kubernetes_host.client import PAGE_SIZE, KubernetesCluster
from hpc_operator.kubernetes_host.host import Host
from hpc_operator.kubernetes_host.leadership import NotLeadingError
from hpc_operator.reconcile.ports import Key

from .conftest import Cluster
from .operating import Objects, manifests

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ENVIRONMENTS = 40


class Deaf:
    """A host without a watch: whatever it knows it was told by the test or has found out."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.host = Host(lambda _: self._nothing, workers=1, namespaces=(namespace,))
        self.host._acts.set()
        self.woken: list[Key] = []
        self.host.queue.add = lambda key, after=0.0: self.woken.append(key)  # type: ignore[method-assign]
        self.cluster = KubernetesCluster(api, self.host.cache, self.host._wake, lambda: True)

    async def _nothing(self, key: Key) -> None:
        return

    async def catch_up(self) -> None:
        self.woken.clear()
        await self.host._catch_up(self.cluster, KINDS)


@pytest.fixture
async def deaf(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deaf]:
    monkeypatch.setattr("hpc_operator.kubernetes_host.host.PATIENCE_SECONDS", 0.3)
    await config.load_kube_config(str(cluster.kubeconfig))
    async with client.ApiClient() as api:
        yield Deaf(api, namespace)


async def test_what_the_watch_brought_late_or_never_is_read(deaf: Deaf, objects: Objects) -> None:
    objects.apply(*manifests())
    await deaf.catch_up()
    key = Key(objects.namespace, "climate")
    assert set(deaf.woken) == {key}
    snapshot = deaf.host.cache.snapshot(key)
    assert snapshot.environment is not None
    assert [len(snapshot.tiers), len(snapshot.partitions)] == [1, 1]

    objects.kubectl("scale", "computepartition", "climate-hpc", "--replicas=3")
    await deaf.catch_up()
    assert deaf.woken == [key]
    assert deaf.host.cache.snapshot(key).partitions[0].spec.nodes.min == 3

    await deaf.catch_up()
    assert deaf.woken == []


async def test_a_deletion_that_the_watch_did_not_tell_is_noticed(deaf: Deaf, objects: Objects) -> None:
    objects.apply(*manifests())
    await deaf.catch_up()
    objects.kubectl("delete", "hpcst", "climate-home")
    await deaf.catch_up()
    assert deaf.woken == [Key(objects.namespace, "climate")]
    assert deaf.host.cache.snapshot(Key(objects.namespace, "climate")).tiers == ()


async def test_nothing_is_written_by_who_does_not_lead(deaf: Deaf, objects: Objects) -> None:
    objects.apply(*manifests())
    await deaf.catch_up()
    environment = deaf.host.cache.snapshot(Key(objects.namespace, "climate")).environment
    deaf.cluster._fence = lambda: False
    before = objects.get("hpcenv", "climate")["metadata"]["resourceVersion"]
    for write in (
        deaf.cluster.add_finalizer(environment),
        deaf.cluster.write_status(environment, {"step": "Storage"}),
        deaf.cluster.emit(environment, "Normal", "Tested", "Not by us."),
    ):
        with pytest.raises(NotLeadingError):
            await write
    assert objects.get("hpcenv", "climate")["metadata"]["resourceVersion"] == before
    assert deaf.cluster.writes == {"status": 0, "finalizer": 0, "event": 0}


# A host as a process, whose passes do nothing: what it costs to know everything.
HOST = """
import asyncio, sys
from hpc_operator.kubernetes_host.host import Host

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024

passes = 0

def make(cluster):
    async def reconcile(key):
        global passes
        passes += 1
        assert len(cluster.snapshot(key).partitions) == 10
    return reconcile

async def main():
    host = Host(make, workers=20, namespaces=(sys.argv[1],))
    running = asyncio.create_task(host.run())
    before = resident()
    while not host.started or len(host.queue):
        await asyncio.sleep(0.05)
        assert not running.done(), running.exception()
    print(len(host.cache.known()), passes, resident() - before, flush=True)
    await running

asyncio.run(main())
"""


def many() -> list[dict[str, Any]]:
    """Environments with ten partitions and five tiers each."""
    made = []
    for number in range(ENVIRONMENTS):
        environment, home, hpc = manifests(f"env-{number}", f"10.{number}.0.0/20")
        made.append(environment)
        for copies, count in ((home, 5), (hpc, 10)):
            for index in range(count):
                one = copy.deepcopy(copies)
                one["metadata"]["name"] += f"-{index}"
                if "mountPath" in one["spec"]:
                    one["spec"]["mountPath"] = f"/p{index}"
                made.append(one)
    return made


def test_a_start_knows_everything_with_one_list_of_objects_and_no_write(
    crd_cluster: Cluster, namespace: str, service_account: Path
) -> None:
    crd_cluster.kubectl(
        "-n", namespace, "create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": many()})
    )
    before = len(crd_cluster.server.audit_log.read_text().splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, namespace],
        env={"KUBECONFIG": str(service_account), "PATH": "/usr/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        began = time.monotonic()
        known, passes, megabytes = map(int, process.stdout.readline().split())
        assert time.monotonic() - began < 30
        assert known == 16 * ENVIRONMENTS
        assert passes == ENVIRONMENTS, "every environment is looked at once"
        # 600 MB for 16,000 objects, of which the process without any takes 200: 16 MB here, and the buffers of a page.
        assert megabytes < 60
        time.sleep(1)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
    requests = requests_of_operator(crd_cluster, before)
    assert [item for item in requests if item["verb"] not in {"get", "list", "watch"}] == []
    assert [item["verb"] for item in requests if item.get("objectRef", {}).get("name")] == [], "none is read alone"
    lists = [item["requestURI"] for item in requests if item["verb"] == "list"]
    for kind in KINDS:
        pages = (
            1 + (ENVIRONMENTS * {"hpcenvironments": 1, "storagetiers": 5}.get(kind.info.plural, 10) - 1) // PAGE_SIZE
        )
        # The first question whether the kind is there, the objects, and their versions to compare with.
        assert sum(f"/{kind.info.plural}?" in uri for uri in lists) <= 1 + 2 * pages


def requests_of_operator(cluster: Cluster, since: int) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in cluster.server.audit_log.read_text().splitlines()[since:]]
    return [
        entry
        for entry in entries
        if entry["user"]["username"].endswith(":azure-hpc-operator") and entry["stage"] != "RequestReceived"
    ]
