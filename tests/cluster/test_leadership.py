"""More than one replica: which one leads, how another follows it, and that neither harms what the other did."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio import client, config

from hpc_operator.kubernetes_host import leadership
from hpc_operator.kubernetes_host.leadership import Leadership, LeadershipLostError

from .conftest import Cluster
from .operating import NAMESPACE, Azure, Objects, Operator, eventually, manifests

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

TAKE_OVER_SECONDS = 15.0
LEASE = "azure-hpc-operator"


# The election alone


class Candidate:
    """One process's part in the election, with its end noted and not carried out."""

    def __init__(self, namespace: str, identity: str) -> None:
        self.ends: list[str] = []
        self.leadership = Leadership(namespace, LEASE, identity, end=self.ends.append)
        self.task: asyncio.Task[None] | None = None

    async def acquires(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.leadership.acquired.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def candidates(cluster: Cluster, namespace: str) -> AsyncIterator[Callable[[str], Candidate]]:
    started: list[asyncio.Task[None]] = []
    await config.load_kube_config(str(cluster.kubeconfig))
    async with client.ApiClient() as api:

        def start(identity: str) -> Candidate:
            made = Candidate(namespace, identity)
            made.task = asyncio.create_task(made.leadership.run(api))
            started.append(made.task)
            return made

        start.api = api  # type: ignore[attr-defined]
        yield start
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


def spec_of(cluster: Cluster, namespace: str) -> dict[str, Any]:
    return json.loads(cluster.kubectl("-n", namespace, "get", "lease", LEASE, "-o", "json").stdout)["spec"]


async def test_the_second_stands_by_until_the_first_lets_go(cluster: Cluster, namespace: str) -> None:
    async with candidates(cluster, namespace) as start:
        first = start("first")
        assert await first.acquires(3)
        assert first.leadership.holds()
        second = start("second")
        assert not await second.acquires(leadership.LEASE_SECONDS + 2)  # renewed all the while
        assert not second.leadership.holds()
        first.task.cancel()
        await asyncio.gather(first.task, return_exceptions=True)
        await first.leadership.release(start.api)
        assert not first.leadership.holds()
        assert await second.acquires(leadership.RETRY_SECONDS * (1 + leadership.JITTER) + 1)
        spec = spec_of(cluster, namespace)
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)
        assert first.ends == []  # who lets go ends in its own time


async def test_a_silent_holder_knows_that_it_does_not_hold_before_another_does(
    cluster: Cluster, namespace: str
) -> None:
    async with candidates(cluster, namespace) as start:
        first = start("first")
        assert await first.acquires(3)
        second = start("second")
        first.task.cancel()
        began = time.monotonic()
        while not second.leadership.acquired.is_set():
            assert time.monotonic() - began < TAKE_OVER_SECONDS
            assert not (first.leadership.holds() and second.leadership.holds())
            await asyncio.sleep(0.01)
        # What the first sent before its fence fell has had time to arrive.
        assert time.monotonic() - began > leadership.RENEW_SECONDS + 1
        assert len(first.ends) == 1


async def test_a_stalled_event_loop_ends_the_process_and_wakes_up_fenced(cluster: Cluster, namespace: str) -> None:
    async with candidates(cluster, namespace) as start:
        first = start("first")
        assert await first.acquires(3)
        time.sleep(leadership.RENEW_SECONDS + 0.5)  # noqa: ASYNC251 - this is the stall
        assert not first.leadership.holds()
        assert len(first.ends) == 1, "a thread sees it while the loop is stuck"


@pytest.mark.parametrize("how", ["taken", "deleted"])
async def test_a_lease_that_is_not_ours_any_more_is_lost_at_once(cluster: Cluster, namespace: str, how: str) -> None:
    async with candidates(cluster, namespace) as start:
        first = start("first")
        assert await first.acquires(3)
        if how == "taken":
            patch = '{"spec":{"holderIdentity":"somebody"}}'
            cluster.kubectl("-n", namespace, "patch", "lease", LEASE, "--type=merge", "-p", patch)
        else:
            cluster.kubectl("-n", namespace, "delete", "lease", LEASE)
        with pytest.raises(LeadershipLostError, match="somebody" if how == "taken" else "nobody"):
            await asyncio.wait_for(first.task, leadership.RETRY_SECONDS * (1 + leadership.JITTER) + 1)
        assert not first.leadership.holds()


async def test_a_label_on_the_lease_is_no_loss(cluster: Cluster, namespace: str) -> None:
    async with candidates(cluster, namespace) as start:
        first = start("first")
        assert await first.acquires(3)
        cluster.kubectl("-n", namespace, "label", "lease", LEASE, "team=hpc")
        await asyncio.sleep(leadership.RENEW_SECONDS + 1)
        assert first.leadership.holds()
        assert first.ends == []


# Whole processes


class Replicas:
    """Operator processes of one installation."""

    def __init__(self, make: Callable[[], Operator]) -> None:
        self._make = make
        self.all: list[Operator] = []

    def start(self) -> Operator:
        made = self._make()
        made.start()
        self.all.append(made)
        eventually(made.ready, 60, "the replica is ready, whether it leads or not")
        return made

    def pair(self) -> tuple[Operator, Operator]:
        leader = self.start()
        eventually(leader.leads, 20, "the first replica leads")
        stand_by = self.start()
        assert not stand_by.leads()
        return leader, stand_by

    def logs(self) -> str:
        return "\n".join(f"--- {item.log}\n{item.log.read_text()[-3000:]}" for item in self.all)


@contextmanager
def replicas(service_account: Path, azure: Azure, folder: Path, **settings: str) -> Iterator[Replicas]:
    made = Replicas(
        lambda: Operator(service_account, azure, folder / f"operator-{len(made.all)}.log", **settings),
    )
    try:
        yield made
    finally:
        print(made.logs())  # which pytest shows when the test fails
        for item in made.all:
            if item.exit_code() is None:
                item.process.send_signal(signal.SIGCONT)
                assert item.stop() == 0
            assert "Traceback" not in item.log.read_text()


@pytest.fixture
def elected(service_account: Path, azure: Azure, tmp_path: Path, cluster: Cluster) -> Iterator[Replicas]:
    settings = {"HPC_LEADER_ELECTION": "true", "HPC_LEASE_NAMESPACE": NAMESPACE, "HPC_LEASE_NAME": LEASE}
    with replicas(service_account, azure, tmp_path, **settings) as made:
        yield made
    cluster.kubectl("-n", NAMESPACE, "delete", "lease", LEASE, "--ignore-not-found")


def take_over(stand_by: Operator) -> float:
    """Return the seconds until the stand-by leads."""
    began = time.monotonic()
    eventually(stand_by.leads, TAKE_OVER_SECONDS + 5, "the stand-by leads")
    return time.monotonic() - began


def writes_of(azure: Azure, objects: Objects, since: int) -> list[dict[str, Any]]:
    return [entry for entry in azure.writes(since) if f"/{objects.namespace}_climate" in entry["path"].lower()]


def made_twice(azure: Azure, objects: Objects, since: int) -> dict[str, int]:
    made = Counter(
        entry["path"].lower()
        for entry in writes_of(azure, objects, since)
        if entry["method"] == "PUT" and entry["status"] < 300
    )
    return {path: count for path, count in made.items() if count > 1}


def begin(azure: Azure, objects: Objects, writes: int) -> int:
    """Apply an environment and wait until some of it is being made; return where the request log was before."""
    since = azure.last()
    environment, home, hpc = manifests()
    objects.apply(home, hpc, environment)  # the environment last: what comes later would be an edit
    eventually(lambda: len(writes_of(azure, objects, since)) >= writes, 60, "the environment is being made")
    return since


def kubernetes_writes(cluster: Cluster, since: float) -> list[str]:
    """Return what operators wrote since a moment, renewals of the Lease apart."""
    user = f"system:serviceaccount:{NAMESPACE}:azure-hpc-operator"
    found = []
    for line in cluster.server.audit_log.read_text().splitlines():
        entry = json.loads(line)
        wrote = entry["verb"] in {"create", "update", "patch", "delete"} and entry["user"]["username"] == user
        if wrote and entry.get("objectRef", {}).get("resource") != "leases":
            moment = time.mktime(time.strptime(entry["requestReceivedTimestamp"][:19], "%Y-%m-%dT%H:%M:%S"))
            if moment - time.timezone >= since:
                found.append(entry["requestURI"])
    return found


def test_a_killed_leader_is_followed_within_15_seconds_and_nothing_is_made_twice(
    elected: Replicas, objects: Objects, azure: Azure
) -> None:
    leader, stand_by = elected.pair()
    since = begin(azure, objects, 8)
    leader.kill()
    assert take_over(stand_by) <= TAKE_OVER_SECONDS
    objects.wait_ready("hpcenv", "climate")
    objects.wait_ready("hpcpart", "climate-hpc")
    assert made_twice(azure, objects, since) == {}


def test_a_leader_that_was_stopped_writes_nothing_when_it_goes_on(
    elected: Replicas, objects: Objects, azure: Azure, cluster: Cluster
) -> None:
    leader, stand_by = elected.pair()
    since = begin(azure, objects, 8)
    leader.process.send_signal(signal.SIGSTOP)
    assert take_over(stand_by) <= TAKE_OVER_SECONDS
    objects.wait_ready("hpcenv", "climate")
    objects.wait_ready("hpcpart", "climate-hpc")
    eventually(lambda: objects.get("hpcenv", "climate")["status"]["step"] == "-")
    time.sleep(2)  # the stand-by has nothing left to write: whatever is written now is the old leader's
    last, moment = azure.last(), time.time()
    leader.process.send_signal(signal.SIGCONT)
    assert leader.process.wait(5) == leadership.LOST_EXIT_CODE
    time.sleep(2)
    assert azure.writes(last) == []
    assert kubernetes_writes(cluster, moment) == []
    assert made_twice(azure, objects, since) == {}


def test_a_leader_whose_lease_somebody_took_ends_at_once(
    elected: Replicas, objects: Objects, azure: Azure, cluster: Cluster
) -> None:
    leader, stand_by = elected.pair()
    since = begin(azure, objects, 8)
    patch = '{"spec":{"holderIdentity":"somebody","renewTime":"2026-01-01T00:00:00.000000Z"}}'
    cluster.kubectl("-n", NAMESPACE, "patch", "lease", LEASE, "--type=merge", "-p", patch)
    assert leader.process.wait(5) == leadership.LOST_EXIT_CODE
    assert "does not lead any more" in leader.log.read_text() or "somebody holds" in leader.log.read_text()
    assert take_over(stand_by) <= TAKE_OVER_SECONDS
    objects.wait_ready("hpcenv", "climate")
    assert made_twice(azure, objects, since) == {}


def test_a_leader_that_is_asked_to_end_hands_over_without_delay(
    elected: Replicas, objects: Objects, azure: Azure
) -> None:
    leader, stand_by = elected.pair()
    since = begin(azure, objects, 8)
    assert leader.stop() == 0
    assert take_over(stand_by) <= leadership.RETRY_SECONDS * (1 + leadership.JITTER) + 2
    objects.wait_ready("hpcenv", "climate")
    assert made_twice(azure, objects, since) == {}


def test_a_leader_without_api_server_ends_and_its_successor_goes_on(
    elected: Replicas, objects: Objects, azure: Azure
) -> None:
    leader = elected.start()
    since = begin(azure, objects, 8)
    objects.cluster.server.pause_api_server()
    try:
        assert leader.process.wait(leadership.RENEW_SECONDS + 5) == leadership.LOST_EXIT_CODE
    finally:
        objects.cluster.server.resume_api_server()
    elected.start()
    eventually(lambda: objects.ready("hpcenv", "climate")[0] == "True")
    assert made_twice(azure, objects, since) == {}


def test_the_rights_for_the_lease_are_all_used_and_enough(cluster: Cluster, elected: Replicas) -> None:
    leader = elected.start()
    eventually(leader.leads, 20)
    eventually(lambda: used_on_leases(cluster)[0] >= {"get", "patch", "create"}, 20)
    used, refused = used_on_leases(cluster)
    rules = json.loads(
        cluster.kubectl("-n", NAMESPACE, "get", "role", "azure-hpc-operator-lease", "-o", "json").stdout
    )["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == used
    assert refused == set()


def used_on_leases(cluster: Cluster) -> tuple[set[str], set[str]]:
    used: set[str] = set()
    refused: set[str] = set()
    for line in cluster.server.audit_log.read_text().splitlines():
        entry = json.loads(line)
        ours = entry["user"]["username"] == f"system:serviceaccount:{NAMESPACE}:azure-hpc-operator"
        if ours and entry.get("objectRef", {}).get("resource") == "leases" and entry["stage"] == "ResponseComplete":
            (refused if entry["responseStatus"]["code"] == 403 else used).add(entry["verb"])
    return used, refused - used  # a restarted API server refuses everything until it has read its roles again


@pytest.fixture
def both(service_account: Path, azure: Azure, tmp_path: Path) -> Iterator[Replicas]:
    """Two processes that both believe that they lead."""
    with replicas(service_account, azure, tmp_path) as made:
        made.start()
        made.start()
        assert [item.leads() for item in made.all] == [True, True]
        yield made


def test_two_leaders_at_the_same_time_harm_nothing(both: Replicas, objects: Objects, azure: Azure) -> None:
    since = begin(azure, objects, 1)
    objects.wait_ready("hpcenv", "climate")
    objects.wait_ready("hpcpart", "climate-hpc")
    settled(objects, azure)
    made = ours(azure, objects)
    assert removed(azure, objects, since) == set()

    since = azure.last()
    sizes = '{"spec":{"vmSizes":["Standard_HB176rs_v4"]}}'
    objects.kubectl("patch", "hpcpart", "climate-hpc", "--type=merge", "-p", sizes)
    eventually(lambda: objects.get("hpcpart", "climate-hpc")["status"].get("vmSize") == "Standard_HB176rs_v4")
    eventually(lambda: node_counts(objects) == {"desired": 2, "ready": 2, "updated": 2})
    settled(objects, azure)
    assert len([item for item in ours(azure, objects) if "/virtualmachines/climate-hpc-" in item]) == 2
    # All but the partition's nodes and the scale set of their size is as it was, and was never gone.
    kept = {item for item in made if "/climate-hpc-" not in item}
    assert kept == {item for item in ours(azure, objects) if "/climate-hpc-" not in item}
    assert removed(azure, objects, since) & kept == set()

    objects.kubectl("delete", "hpcpart,hpcst,hpcenv", "--all", "--timeout=150s")
    assert ours(azure, objects) == set()
    time.sleep(2)  # whichever is behind must not begin anew
    assert ours(azure, objects) == set()
    assert [item.exit_code() for item in both.all] == [None, None]


def ours(azure: Azure, objects: Objects) -> set[str]:
    return {item for item in azure.ids() if f"/{objects.namespace}_climate" in item}


def removed(azure: Azure, objects: Objects, since: int) -> set[str]:
    return {item["path"].lower() for item in writes_of(azure, objects, since) if item["method"] == "DELETE"}


def node_counts(objects: Objects) -> dict[str, int]:
    nodes = objects.get("hpcpart", "climate-hpc")["status"].get("nodes", {})
    return {name: count for name, count in nodes.items() if count}


def settled(objects: Objects, azure: Azure) -> None:
    """Wait until nobody writes to Azure for a while."""

    def quiet() -> bool:
        last = azure.last()
        time.sleep(2)
        return azure.writes(last) == [] and objects.ready("hpcenv", "climate")[0] == "True"

    eventually(quiet, 120, "nothing is written any more")
