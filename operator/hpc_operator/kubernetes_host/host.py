"""Runs the operator: kopf watches, the cache remembers, the queue orders, workers call the engine."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import kopf
from kubernetes.aio import client, config

from hpc_operator.api import GROUP, KINDS, VERSION
from hpc_operator.kubernetes_host.cache import ObjectCache
from hpc_operator.kubernetes_host.client import KubernetesCluster
from hpc_operator.kubernetes_host.queue import KeyQueue
from hpc_operator.reconcile.ports import Cluster, Key

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 600.0
"""Between two complete lists: a watch that was cut never tells what was deleted meanwhile (kopf does not compare)."""
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
    """

    def __init__(
        self, make_reconcile: Callable[[Cluster], Reconcile], *, workers: int, namespaces: tuple[str, ...] = ()
    ) -> None:
        self._make_reconcile = make_reconcile
        self._workers = workers
        self._namespaces = namespaces
        self.cache = ObjectCache()
        self.queue = KeyQueue()
        self.cluster: KubernetesCluster | None = None
        self.started = False

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Serve until SIGTERM or SIGINT, or until `stop` is set.

        Raises
        ------
        Exception
            If a part that must live died: the process has to be started anew, which costs nothing.
        """
        await config.load_config()  # type: ignore[no-untyped-call]
        async with client.ApiClient() as api:
            self.cluster = cluster = KubernetesCluster(api, self.cache, self.queue.add)
            reconcile = self._make_reconcile(cluster)
            # kopf.operator() cancels what was started after it: all of ours starts before.
            await self._take_in_everything(cluster)
            parts = [asyncio.create_task(self._work(reconcile), name=f"worker-{n}") for n in range(self._workers)]
            parts.append(asyncio.create_task(self._sweep(cluster), name="sweep"))
            watch = asyncio.create_task(self._watch(stop), name="watch")
            parts.append(watch)
            self.started = True
            try:
                done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for part in done:
                    # At its end kopf cancels what is under way: that is no failure of the part.
                    if not part.cancelled():
                        part.result()
                await watch
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)

    async def _take_in_everything(self, cluster: KubernetesCluster) -> None:
        """List all objects, as often as it takes; without the CRDs or the API server there is nothing to do yet."""
        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                objects = await cluster.list_all(self._namespaces)
            except (client.ApiException, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("%s; trying again in %.0f s", _explain(error), wait)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_RETRY_SECONDS)
                continue
            self.cache.keep_only(objects, frozenset())
            for key in self.cache.environments():
                self.queue.add(key)
            return

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
                expected = isinstance(error, client.ApiException | aiohttp.ClientError | TimeoutError)
                logger.log(
                    logging.WARNING if expected else logging.ERROR,
                    "%s/%s: %s; trying again in %.0f s",
                    *key,
                    _explain(error),
                    after,
                    exc_info=not expected,
                )
            else:
                failures.pop(key, None)
            finally:
                self.queue.done(key)
            if after is not None:
                self.queue.add(key, after)

    async def _sweep(self, cluster: KubernetesCluster) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            known = self.cache.known()
            try:
                objects = await cluster.list_all(self._namespaces)
            except (client.ApiException, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("%s; looking again in %.0f s", _explain(error), SWEEP_SECONDS)
                continue
            for key in self.cache.keep_only(objects, known):
                self.queue.add(key)

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
                self.queue.add(key)

        for kind in KINDS:
            kopf.on.event(GROUP, VERSION, kind.info.plural, registry=registry)(on_event)

        @kopf.on.login(registry=registry)
        def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
            return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

        return registry


class _Endless:
    """Waits between tries of kopf's requests: growing, then the same for ever. Its own list ends after a minute."""

    def __iter__(self) -> Iterator[float]:
        wait = FIRST_RETRY_SECONDS
        while True:
            yield wait
            wait = min(wait * 2, LONGEST_RETRY_SECONDS / 4)


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
    return settings


def _message(error: client.ApiException) -> str:
    """Return the sentence in the Status object that the API server answers with."""
    try:
        return str(json.loads(error.body or "{}").get("message", ""))
    except ValueError:
        return str(error.body)[:300]


def _explain(error: Exception) -> str:
    """Return an error of the API server in words that say what to do."""
    if isinstance(error, client.ApiException):
        if error.status == 404:  # noqa: PLR2004
            return f"the API server does not know {GROUP}/{VERSION}: install the CRDs, they come with the Helm chart"
        if error.status in {401, 403}:
            return (
                f"the API server refuses us ({error.status} {error.reason}): check ServiceAccount and RBAC of the chart"
            )
        return f"the API server answers {error.status} {error.reason}: {_message(error)}"
    if isinstance(error, aiohttp.ClientError | TimeoutError):
        return f"the API server cannot be reached ({error or type(error).__name__})"
    return f"{type(error).__name__}: {error}"
