"""What one pass costs when nothing is to be done: processor time of this process, of an environment of 60 resources.

Part of `make bench`; alone it prints its figures, with `--profile` also where the time goes. The engine and the SDK are
those of the operator, the custom resources are in memory, and the emulated Azure runs in a thread of its own, so that
the clock of this thread shows our work and nobody else's.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import importlib.util
import logging
import pstats
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

from report import Figure, Report
from rich.console import Console
from shapes import large_environment
from world import ROOT, BenchError

from azure_emulator import Emulator
from hpc_operator.azure import AzureClient
from hpc_operator.kubernetes_host.queue import KeyQueue
from hpc_operator.reconcile.ports import Key

RESOURCES = 60
PASSES, WARM_UP = 50, 5
SPEED = 3000.0
READY_SECONDS = 120.0
GOAL_MILLISECONDS = 20
SECTION = f"One pass over {RESOURCES} resources with nothing to do"
PROFILE_LINES = 40


def engine_tests() -> ModuleType:
    """Return the harness of tests/component/reconcile: the engine as its tests run it."""
    path = ROOT / "tests" / "component" / "reconcile" / "conftest.py"
    spec = importlib.util.spec_from_file_location("engine_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@contextmanager
def emulator_in_a_thread() -> Iterator[str]:
    """Serve an emulated Azure beside this thread; gives its URL."""
    started, ended = threading.Event(), asyncio.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with Emulator(speed=SPEED, seed=1) as emulator:
            found.update(url=emulator.url, loop=asyncio.get_running_loop())
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started.wait(30)
    try:
        yield str(found["url"])
    finally:
        found["loop"].call_soon_threadsafe(ended.set)
        thread.join(10)


async def measure(profile: cProfile.Profile | None = None) -> list[float]:
    """Make an environment Ready, then let the engine look at it again and again; milliseconds of each pass.

    Parameters
    ----------
    profile
        What to run the measured passes under; they take longer then.

    Raises
    ------
    BenchError
        If the environment is not of the size that the goal names, or a pass had something to do.
    """
    tests = engine_tests()
    with emulator_in_a_thread() as url:
        queue = KeyQueue()
        cluster = tests.InMemoryCluster(queue.add)
        azure = await AzureClient(url, tests.SUBSCRIPTION, tests.StaticCredential()).__aenter__()
        try:
            world = tests.World(SimpleNamespace(url=url), cluster, queue, azure, None)
            world.reconciler = world.make_reconciler()
            for manifest in large_environment("large", "10.40.0.0/20", login_nodes=7):
                cluster.apply(manifest)
            await world.run_until(lambda: world.ready("large"), READY_SECONDS)
            await world.settle()
            key = Key("hpc", "large")
            resources = len(cluster.status("HPCEnvironment", "large")["resources"])
            if resources != RESOURCES:
                msg = (
                    f"the environment has {resources} resources: change `large_environment` so that it has {RESOURCES}"
                )
                raise BenchError(msg)
            requests, writes = sum(azure.requests.values()), len(cluster.status_writes)
            took = [await _pass(world.reconciler, key, profile if number >= WARM_UP else None)
                    for number in range(WARM_UP + PASSES)][WARM_UP:]  # fmt: skip
            if sum(azure.requests.values()) != requests or len(cluster.status_writes) != writes:
                msg = "a pass that should find nothing to do asked Azure, or wrote a status"
                raise BenchError(msg)
        finally:
            await azure.close()
    return took


def add_to(report: Report, took: list[float]) -> None:
    """Say in a report what was measured."""
    what = f"processor time, median of {PASSES} passes"
    report.add(SECTION, [Figure(what, statistics.median(took), "ms", goal=GOAL_MILLISECONDS, digits=1)])
    report.data["onePassMilliseconds"] = took


async def _pass(reconciler: Any, key: Key, profile: cProfile.Profile | None) -> float:
    """Return the milliseconds of processor time of one pass."""
    if profile is not None:
        profile.enable()
    began = time.thread_time()
    await reconciler.reconcile(key)
    took = time.thread_time() - began
    if profile is not None:
        profile.disable()
    return 1000 * took


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--profile", action="store_true", help="print where the time goes; the figures are larger then")
    profile = cProfile.Profile() if parser.parse_args().profile else None
    logging.disable(logging.WARNING)
    report = Report()
    add_to(report, asyncio.run(measure(profile)))
    report.show(Console(highlight=False))
    if profile is not None:
        for order in ("tottime", "cumulative"):
            print(f"\nAll {PASSES} measured passes, by {order}:")
            pstats.Stats(profile).strip_dirs().sort_stats(order).print_stats(PROFILE_LINES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
