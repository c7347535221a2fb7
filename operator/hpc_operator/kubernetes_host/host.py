"""Runs the operator: kopf watches, the cache remembers, the queue orders, workers call the engine."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import kopf
from kubernetes.aio import client, config

from hpc_operator.api import GROUP, KINDS, VERSION, CustomResource, HPCEnvironment
from hpc_operator.kubernetes_host.cache import ObjectCache
from hpc_operator.kubernetes_host.client import PAGE_SIZE, KubernetesCluster
from hpc_operator.kubernetes_host.errors import UNREACHABLE, explain_kinds
from hpc_operator.kubernetes_host.leadership import Leadership, NotLeadingError
from hpc_operator.kubernetes_host.queue import KeyQueue
from hpc_operator.reconcile.ports import Cluster, Key

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 600.0
"""Between two looks at what there is: a cut watch never tells what was deleted meanwhile (kopf does not compare)."""
SWEEP_JITTER = 0.1
"""Share by which that varies, so that several operators do not ask in step."""
PATIENCE_SECONDS = 3.0
"""How long the watch is waited for while it brings nothing; what it still owes then is read one by one."""
LOOK_SECONDS = 0.25
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 60.0

Reconcile = Callable[[Key], Awaitable[float | None]]


class Host:
    """One operator process.

    Parameters
    ----------
    make_reconcile
        Makes the function that reconciles one environment, given the cluster.
    workers
        How many environments are reconciled at the same time.
    namespaces
        Namespaces to watch; all where empty.
    leadership
        Which of several processes acts. While another one does, this one watches, so that it can follow at once. None:
        there is only one process.
    """

    def __init__(
        self,
        make_reconcile: Callable[[Cluster], Reconcile],
        *,
        workers: int,
        namespaces: tuple[str, ...] = (),
        leadership: Leadership | None = None,
    ) -> None:
        self._make_reconcile = make_reconcile
        self._workers = workers
        self._namespaces = namespaces
        self._leadership = leadership
        self._knows_all = asyncio.Event()
        self._acts = asyncio.Event()
        self.cache = ObjectCache()
        self.queue = KeyQueue()
        self.cluster: KubernetesCluster | None = None

    @property
    def started(self) -> bool:
        """Whether everything there is has been seen, so that this process acts or may follow the one that does."""
        return self._knows_all.is_set()

    def leads(self) -> bool:
        """Return whether this process may write at this moment."""
        return self._leadership is None or self._leadership.holds()

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Serve until SIGTERM or SIGINT, or until `stop` is set.

        Raises
        ------
        Exception
            If a part that must live died: the process has to be started anew, which costs nothing.
        """
        await config.load_config()  # type: ignore[no-untyped-call]
        async with client.ApiClient() as api:
            self.cluster = cluster = KubernetesCluster(api, self.cache, self._wake, self.leads)
            reconcile = self._make_reconcile(cluster)
            # kopf looks for our kinds only once.
            await self._persist(lambda: cluster.require_kinds(self._namespaces))
            # kopf.operator() cancels what was started after it: all of ours starts before.
            parts = [asyncio.create_task(self._work(reconcile), name=f"worker-{n}") for n in range(self._workers)]
            parts.append(asyncio.create_task(self._follow(cluster), name="follow"))
            watch = asyncio.create_task(self._watch(stop), name="watch")
            parts.append(watch)
            election: list[asyncio.Task[Any]] = []
            if self._leadership is not None:
                election.append(asyncio.create_task(self._elect(self._leadership, api), name="election"))
            try:
                done, _ = await asyncio.wait([*parts, *election], return_when=asyncio.FIRST_COMPLETED)
                for part in done:
                    # At its end kopf cancels what is under way: that is no failure of the part.
                    if not part.cancelled():
                        part.result()
                await watch
            finally:
                await _end(parts)
                await _end(election)
                if self._leadership is not None:
                    # Only now, when nothing of ours can write any more, may another process begin.
                    await self._leadership.release(api)

    def _wake(self, key: Key) -> None:
        # While another process leads, the queue stays empty and the workers wait.
        if self._acts.is_set():
            self.queue.add(key)

    async def _elect(self, leadership: Leadership, api: client.ApiClient) -> None:
        await self._knows_all.wait()  # who knows nothing must not keep the Lease from who does
        await leadership.run(api)

    async def _follow(self, cluster: KubernetesCluster) -> None:
        """Learn all there is, wait until we lead, have the workers begin, and look for what the watch did not tell."""
        await self._persist(lambda: self._catch_up(cluster, KINDS))
        self._knows_all.set()
        if self._leadership is not None:
            await self._leadership.acquired.wait()
            # What the last leader wrote down last, and that is the inventory of each environment, must not be missed.
            await self._persist(lambda: self._catch_up(cluster, (HPCEnvironment,)))
        self._acts.set()
        for key in self.cache.environments():
            self.queue.add(key)
        if self._leadership is not None:
            await self._persist(lambda: self._catch_up(cluster, KINDS))
        while True:
            await asyncio.sleep(SWEEP_SECONDS * (1 + SWEEP_JITTER * random.random()))  # noqa: S311 - no secret
            await self._persist(lambda: self._catch_up(cluster, KINDS))

    async def _persist(self, ask: Callable[[], Awaitable[Any]]) -> None:
        """Ask the API server as often as it takes; without it or the CRDs there is nothing to do yet."""
        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                await ask()
            except (client.ApiException, *UNREACHABLE) as error:
                logger.warning("%s; trying again in %.0f s", explain_kinds(error), wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_RETRY_SECONDS)
            else:
                return

    async def _catch_up(self, cluster: KubernetesCluster, kinds: tuple[type[CustomResource], ...]) -> None:
        """See to it that the cache holds all objects of some kinds, as they are now or later, and no others."""
        names = {kind.__name__ for kind in kinds}
        known = frozenset(key for key in self.cache.known() if key[0] in names)
        listed = await cluster.list_versions(kinds, self._namespaces)
        for environment in self.cache.keep_only(listed.keys(), known):
            self._wake(environment)
        # Usually the watch is just bringing the rest: after the start it brings everything.
        loop = asyncio.get_running_loop()
        behind = [key for key, version in listed.items() if self.cache.version(key) < version]
        patient_until = loop.time() + PATIENCE_SECONDS
        while behind and loop.time() < patient_until:
            await asyncio.sleep(LOOK_SECONDS)
            still = [key for key in behind if self.cache.version(key) < listed[key]]
            if len(still) < len(behind):
                behind, patient_until = still, loop.time() + PATIENCE_SECONDS
        if behind:
            logger.warning("the watch did not bring %d objects; they are read one by one", len(behind))
        for key in behind:
            if self.cache.version(key) < listed[key]:
                await cluster.read(key)

    async def _work(self, reconcile: Reconcile) -> None:
        failures: dict[Key, int] = {}
        while True:
            key = await self.queue.get()
            try:
                after = await reconcile(key)
            except Exception as error:
                # Whatever it was, the environment is tried again and the others are not held up.
                failures[key] = failures.get(key, 0) + 1
                after = min(FIRST_RETRY_SECONDS * 2 ** min(failures[key] - 1, 16), LONGEST_RETRY_SECONDS)
                expected = isinstance(error, (client.ApiException, NotLeadingError, *UNREACHABLE))
                logger.log(
                    logging.WARNING if expected else logging.ERROR,
                    "%s/%s: %s; trying again in %.0f s",
                    *key,
                    explain_kinds(error),
                    after,
                    exc_info=not expected,
                )
            else:
                failures.pop(key, None)
            finally:
                self.queue.done(key)
            if after is not None:
                self.queue.add(key, after)

    async def _watch(self, stop: asyncio.Event | None) -> None:
        await kopf.operator(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
        )

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        async def on_event(event: kopf.RawEvent, **_: Any) -> None:
            raw = event["object"]
            woken = self.cache.remove(raw) if event["type"] == "DELETED" else self.cache.apply(raw)
            for key in woken:
                self._wake(key)

        for kind in KINDS:
            kopf.on.event(GROUP, VERSION, kind.info.plural, registry=registry)(on_event)

        @kopf.on.login(registry=registry)
        def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
            return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

        return registry


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Endless:
    """Waits between tries of kopf's requests: growing, then the same for ever. Its own list ends after a minute."""

    def __iter__(self) -> Iterator[float]:
        wait = FIRST_RETRY_SECONDS
        while True:
            yield wait
            wait = min(wait * 2, LONGEST_RETRY_SECONDS / 4)


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing, in place of what kopf copies of each object at each event for handlers that we do not use."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # no rights on CRDs and namespaces needed
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _Endless()
    # A worker of kopf's waits this long for a next event of its object, also when the process is to end.
    settings.queueing.idle_timeout = 0.5
    # Belt and braces against silent streams, as the operators that run in production set them.
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 15
    settings.watching.chunk_size = PAGE_SIZE
    settings.persistence.diffbase_storage = _NoDiffBase()
    # When one watch dies, such as at a CRD that is gone, kopf ends; it was seen to wait for another one for ever then,
    # deaf to SIGTERM. A process that is killed is started anew.
    settings.process.ultimate_exiting_timeout = 15
    return settings
