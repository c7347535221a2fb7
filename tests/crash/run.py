"""`make test-crash`: kills the operator at every call of a life, then lets every call go wrong; prints the figures.

    python tests/crash/run.py --only kills
    python tests/crash/run.py --point 'resize | PUT virtualMachines/* | sent'

Exit code 1 if a life deviates from the undisturbed one, or if more points than `UNMET_AT_MOST` were not met.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import fnmatch
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from crashing.calls import Call, Point
from crashing.campaign import Campaign, Figures, Pace, faults_of, kills_of, meet, points_of
from crashing.judge import Deviation
from crashing.processes import ROOT, HarnessError
from crashing.proxy import RESTART
from crashing.world import World

from local_cluster import LocalCluster, ensure_binaries

STATE = ROOT / ".state" / "crash"
WORLDS = 2
"""Lives at the same time: an operator that is alone waits half of the time."""
UNMET_AT_MOST = 0.05
"""Share of the points: which status is written when depends on timing, so some calls come in some lives only."""
RESTARTS_EACH_STAGE = 2
ALIKE = 60
"""Deviations that begin with the same characters are shown as one."""


def main() -> int:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    STATE.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=STATE))
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", flush=True)

    try:
        results = asyncio.run(_run(directory, options, say))
    except KeyboardInterrupt:
        print("Interrupted; everything that was started has been ended.")
        return 130
    except HarnessError as error:
        print(f"{error}\nLogs are in {directory}.", file=sys.stderr)
        return 1
    _show(results, time.monotonic() - began)
    (STATE / "last.json").write_text(
        json.dumps({name: figures.as_json() for name, figures in results.items()}, indent=2, default=dict)
    )
    if any(figures.deviations for figures in results.values()):
        print(f"Logs are in {directory}.")
        return 1
    shutil.rmtree(directory)
    unmet = sum(len(figures.unmet) for figures in results.values())
    return int(not options.lives and unmet > UNMET_AT_MOST * sum(figures.points for figures in results.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("kills", "faults", "restarts"), help="one part of it")
    parser.add_argument(
        "--point", action="append", metavar="POINT", help="live once, with this alone; * matches; may be repeated"
    )
    parser.add_argument(
        "--points", type=Path, metavar="FILE", help="the same with the points of a file, one on each line"
    )
    parser.add_argument("--worlds", type=int, default=WORLDS, help="lives at the same time (default: %(default)s)")
    parser.add_argument("--lives", type=int, metavar="N", help="end each part after so many lives in each world")
    return parser


async def _run(directory: Path, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Figures]:
    with LocalCluster(directory / "cluster") as cluster:
        _install_crds(cluster.kubeconfig)
        async with contextlib.AsyncExitStack() as ends:
            named = (options.point or []) + (options.points.read_text().splitlines() if options.points else [])
            campaigns: list[Campaign] = []
            for number in range(1, 2 if named else options.worlds + 1):
                world = World(directory / f"world-{number}", cluster.kubeconfig, f"crash-{number}", cluster)
                campaigns.append(Campaign(await ends.enter_async_context(world), _labelled(say, number)))
            learnt = await asyncio.gather(*(campaign.learn() for campaign in campaigns))
            calls = [call for found in learnt for call in found]
            if named:
                points = [point for text in named for point in _named(Point.parse(text), calls)]
                return {"points": await meet(campaigns, points, Pace(lives=None, at_most=1))}
            results: dict[str, Figures] = {}
            parts = {"kills": kills_of, "faults": faults_of}
            for name, ways in parts.items():
                if options.only in {None, name}:
                    say(f"{name}: to every call")
                    results[name] = await meet(campaigns, points_of(calls, ways), Pace(at_most=options.lives))
            if options.only in {None, "restarts"}:
                say("restarts of the API server")
                # Alone: whoever shares the API server would be disturbed as well.
                results["restarts"] = await meet(campaigns[:1], _restarts(learnt[0]), Pace(lives=1, at_most=2))
            return results


def _labelled(say: Callable[[str], None], number: int) -> Callable[[str], None]:
    return lambda text: say(f"world {number}: {text}")


def _named(pattern: Point, calls: list[Call]) -> list[Point]:
    """Return the points that a pattern names, in the undisturbed life where it has a `*`."""
    if "*" not in pattern.call:
        return [pattern]
    names = dict.fromkeys(call.name for call in calls if call.stage == pattern.stage)
    found = [name for name in names if fnmatch.fnmatchcase(name, pattern.call)]
    if not found:
        said = f"There is no call {pattern.call!r} in the stage {pattern.stage!r}. Its calls are: {', '.join(names)}"
        raise HarnessError(said)
    return [dataclasses.replace(pattern, call=name) for name in found]


def _restarts(calls: list[Call]) -> list[Point]:
    points: list[Point] = []
    for stage in dict.fromkeys(call.stage for call in calls):
        status = [call for call in calls if call.stage == stage and call.name.startswith("STATUS")]
        step = max(1, len(status) // RESTARTS_EACH_STAGE)
        points += [Point(stage, call.name, RESTART) for call in status[step // 2 :: step][:RESTARTS_EACH_STAGE]]
    return points


def _install_crds(kubeconfig: Path) -> None:
    kubectl = str(ensure_binaries(("kubectl",))["kubectl"])
    environ = os.environ | {"KUBECONFIG": str(kubeconfig)}
    for command in (("apply", "--server-side"), ("wait", "--for=condition=Established", "--timeout=60s")):
        subprocess.run(
            [kubectl, *command, "-f", str(ROOT / "crds")], env=environ, check=True, stdout=subprocess.DEVNULL
        )


def _show(results: dict[str, Figures], seconds: float) -> None:
    print()
    for name, figures in results.items():
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(figures.disturbances.items()))
        print(
            f"{name}: {figures.met} of {figures.points} points in {figures.lives} lives, {figures.seconds / 60:.1f} min"
        )
        print(f"  what was done: {kinds}")
        print(f"  calls of the operator: {figures.calls}")
        if figures.restarts:
            median = figures.as_json()["restarts"]
            print(f"  kills: {figures.kills}; from a start to the first call to Azure: {median:.2f} s (median)")
        print(f"  writes sent again, because nobody could know of the first: {sum(figures.repeated.values())}")
        print(f"  writes that Azure refused, unasked: {figures.refused}")
        if figures.unmet:
            print(f"  not met, {len(figures.unmet)}: {'; '.join(figures.unmet[:8])}")
        print(f"  deviations: {len(figures.deviations)}")
        alike: dict[str, list[Deviation]] = {}
        for deviation in figures.deviations:
            alike.setdefault(deviation.what[:ALIKE], []).append(deviation)
        for found in sorted(alike.values(), key=len, reverse=True):
            print(f"    {len(found)} x like {found[0]}")
    print(f"\n{seconds / 60:.1f} min. Also in {(STATE / 'last.json').relative_to(ROOT)}.")


if __name__ == "__main__":
    sys.exit(main())
