"""What the process tells of itself over HTTP: /metrics for Prometheus, /healthz and /readyz for the kubelet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class OperatorCollector(Collector):
    """Reads counters that the rooms keep anyway, at the moment they are asked for.

    Parameters
    ----------
    arm_requests
        Returns the number of ARM requests by (verb, kind of answer).
    kubernetes_writes
        Returns the number of writes to the Kubernetes API by what was written.
    queue_depth
        Returns how many environments wait to be reconciled.
    leads
        Returns whether this process is the one of several that acts.
    known
        Returns how many environments were looked at since the start.
    """

    def __init__(
        self,
        arm_requests: Callable[[], Mapping[tuple[str, str], int]],
        kubernetes_writes: Callable[[], Mapping[str, int]],
        queue_depth: Callable[[], int],
        leads: Callable[[], bool],
        known: Callable[[], int],
    ) -> None:
        self._arm_requests = arm_requests
        self._kubernetes_writes = kubernetes_writes
        self._queue_depth = queue_depth
        self._leads = leads
        self._known = known

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        arm = CounterMetricFamily("hpc_arm_requests", "Requests to Azure Resource Manager.", labels=["verb", "answer"])
        for labels, count in self._arm_requests().items():
            arm.add_metric(list(labels), count)
        yield arm
        writes = CounterMetricFamily("hpc_kubernetes_writes", "Writes to the Kubernetes API.", labels=["what"])
        for what, count in self._kubernetes_writes().items():
            writes.add_metric([what], count)
        yield writes
        yield GaugeMetricFamily("hpc_queue_depth", "Environments that wait to be reconciled.", self._queue_depth())
        yield GaugeMetricFamily("hpc_leader", "1 for the replica that acts, 0 for one that stands by.", self._leads())
        yield GaugeMetricFamily(
            "hpc_environments_known", "Environments that were looked at since the start.", self._known()
        )


async def serve(address: tuple[str, int], collector: Collector, is_ready: Callable[[], bool]) -> web.AppRunner:
    """Start to serve.

    Parameters
    ----------
    address
        Host and port.
    collector
        What /metrics shows beside process figures.
    is_ready
        What /readyz answers.

    Returns
    -------
    aiohttp.web.AppRunner
        To be cleaned up at the end.

    Raises
    ------
    OSError
        If the address is taken.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if is_ready() else web.Response(status=503, text="not listed yet\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, *address).start()
    return runner
