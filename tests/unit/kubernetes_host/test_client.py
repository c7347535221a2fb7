"""The client: what it makes of a conflict."""

import copy

import pytest
from aiohttp import web
from kubernetes.aio import client

from hpc_operator.api import HPCEnvironment
from hpc_operator.kubernetes_host.cache import ObjectCache
from hpc_operator.kubernetes_host.client import CONFLICT_TRIES, KubernetesCluster

from .test_cache import KEY, environment

PATH = "/apis/azurehpc.io/v1alpha1/namespaces/hpc/hpcenvironments/climate"
STATUS = {"step": "Storage"}


class ApiServer:
    """One object, and a number of conflicts before a status of it is taken."""

    def __init__(self) -> None:
        self.object = environment()
        self.conflicts = 0
        self.refused = 0

    async def get(self, _: web.Request) -> web.Response:
        return web.json_response(self.object, status=200 if self.object else 404)

    async def patch(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.conflicts or body["metadata"]["uid"] != self.object["metadata"]["uid"]:
            self.conflicts -= 1
            self.refused += 1
            return web.json_response({"kind": "Status", "reason": "Conflict"}, status=409)
        version = int(self.object["metadata"]["resourceVersion"]) + 1
        metadata = {**self.object["metadata"], "resourceVersion": str(version)}
        self.object = {**self.object, "metadata": metadata, "status": body["status"]}
        return web.json_response(self.object)


@pytest.fixture
async def server():
    made = ApiServer()
    app = web.Application()
    app.router.add_get(PATH, made.get)
    app.router.add_patch(f"{PATH}/status", made.patch)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def cluster(server):
    cache = ObjectCache()
    cache.apply(copy.deepcopy(server.object))
    async with client.ApiClient(client.Configuration(host=server.url)) as api:
        yield KubernetesCluster(api, cache, lambda key: None, lambda: True)


def known():
    return HPCEnvironment.model_validate(environment())


async def test_a_status_that_met_a_conflict_is_written_all_the_same(server, cluster):
    server.conflicts = CONFLICT_TRIES - 1
    await cluster.write_status(known(), STATUS)
    assert server.object["status"] == cluster.status_of(known()) == STATUS


async def test_a_status_that_meets_nothing_but_conflicts_is_no_silence(server, cluster):
    server.conflicts = CONFLICT_TRIES
    with pytest.raises(RuntimeError, match="HPCEnvironment hpc/climate"):
        await cluster.write_status(known(), STATUS)


@pytest.mark.parametrize("there", [{}, environment(uid="another", version=7)])
async def test_the_status_of_what_is_gone_is_not_needed(server, cluster, there):
    if there:
        server.object = there
    else:
        server.object, server.conflicts = {}, 1
    await cluster.write_status(known(), STATUS)
    assert server.refused == 1
    assert "status" not in server.object


async def test_a_deletion_that_our_own_write_tells_of_first_wakes(server, cluster):
    """The watch event of it is older than the answer, so nobody else would."""
    woken = []
    cluster._wake = woken.append
    await cluster.write_status(known(), STATUS)
    assert woken == []
    server.object["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}
    await cluster.write_status(known(), {"step": "Compute"})
    assert woken == [KEY]
