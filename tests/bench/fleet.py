"""`make bench-fleet`: one operator with 1,000 environments of 10 partitions and 5 tiers each.

One environment is made for real, by the operator; the others are copies of it. Custom resources are in a real API
server, Azure is emulated, at speed 1. Prints a table, and writes it to .state/bench/fleet.json. What each figure means
is in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import statistics
import sys
import time
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import session
from chain import blueprint_of
from clones import Applied, Original, Rename, copy_azure, filled, shared_guids
from counting import Phase, Request, kind_of
from kubernetes.aio import client, config
from report import Figure, Report
from session import Say
from shapes import NAMESPACE, PARTITIONS, large_environment
from watching import GROUP, PLURALS, VERSION, Objects, is_settled
from world import BenchError, World, eventually

from azure_emulator.providers.compute import quota as compute_quota
from azure_emulator.providers.compute.sizes import FAMILIES
from azure_emulator.providers.netapp import common as netapp
from azure_emulator.providers.network import quota as network_quota
from azure_emulator.providers.storage import accounts
from azure_emulator.providers.storage_cache import common as storage_cache
from hpc_operator.blueprint import Blueprint
from hpc_operator.kubernetes_host.client import FIELD_MANAGER
from hpc_operator.reconcile.ports import FINALIZER

ENVIRONMENTS = 1000
FIRST_NETWORK = IPv4Network("10.64.0.0/23")
SPEED_TO_MAKE, SPEED = 300.0, 1.0
LOCATION = "westeurope"
WRITERS = 24
"""Environments that are written to the API server at the same time."""

DRIFT_SECONDS = 180
"""Shorter than the default, so that the run sees a whole period; long enough for a quiet minute in it."""
DEFAULT_DRIFT_SECONDS = 600
IDLE_SECONDS = 60.0
EDITS = 5
OTHER_VM_SIZE = "Standard_HB176rs_v4"
EDIT_SECONDS = 60.0
FIRST_SECONDS, KNOWN_SECONDS = 600.0, 300.0
"""After so long the first start and the restart are given up."""

REST_SECONDS, REST_SHARE = 8.0, 0.1
"""The operator is at rest when it asked Azure nothing, and took less than that share of a core, for so long.

That is longer than the 5 s that it may have to wait before it may query Resource Graph again.
"""

KNOWN_GOAL, MEMORY_GOAL, IDLE_GOAL, READ_GOAL, EDIT_GOAL = 60, 600, 5, 2, 1000

Clones = list[tuple[str, Rename]]


def name_of(number: int) -> str:
    """Return the name of an environment."""
    return f"fleet-{number:04}"


def network_of(number: int) -> IPv4Network:
    """Return its address space: environments of one operator may not overlap."""
    size = FIRST_NETWORK.num_addresses
    return IPv4Network((int(FIRST_NETWORK.network_address) + number * size, FIRST_NETWORK.prefixlen))


class Fleet:
    """One run.

    Parameters
    ----------
    world, report, say
        As `session.run` gives them.
    environments
        How many.
    """

    def __init__(self, world: World, report: Report, say: Say, environments: int) -> None:
        self._world = world
        self._report = report
        self._say = say
        self._environments = environments
        self._section = f"{environments:,} environments of {PARTITIONS} partitions and 5 tiers"

    def run(self) -> None:
        """Make them, and measure."""
        self._lift_quotas()
        self._say("one environment becomes Ready")
        objects = self._make_one()
        with self._world.paused(SPEED, HPC_DRIFT_PERIOD=f"{DRIFT_SECONDS}s") as state:
            self._copy(objects, state)
        self._take_in()
        if not self._restart():
            self._report.notes.append(
                f"The operator did not know all {KNOWN_SECONDS:.0f} s after its start: all else would say nothing."
            )
            return
        self._idle()
        self._edits()
        self._period()

    # The fleet

    def _lift_quotas(self) -> None:
        """Let one subscription hold what no subscription of Azure would: it is not about quotas."""
        names = {
            *compute_quota.DEFAULT_LIMITS, *FAMILIES, *network_quota.LIMITS, *netapp.LIMITS, accounts.USAGE,
            storage_cache.USAGE,
        }  # fmt: skip
        self._world.azure.set(quota={f"{LOCATION}/{name.lower()}": 1_000_000 for name in names})

    def _make_one(self) -> Objects:
        name, network = name_of(0), network_of(0)
        self._world.kubectl("create", "namespace", NAMESPACE)
        manifests = large_environment(name, str(network))
        self._world.kubectl("apply", "--server-side", "-f", "-", text=_as_list(manifests))

        def settled() -> Objects | None:
            self._world.check()
            answer = json.loads(self._world.kubectl("get", ",".join(PLURALS), "-n", NAMESPACE, "-o", "json"))
            found = {(item["kind"], item["metadata"]["name"]): item for item in answer["items"]}
            return found if len(found) == len(manifests) and is_settled(found.values()) else None

        made: Objects = eventually(settled, 180, f"{name} is Ready and at rest")
        return made

    def _copy(self, objects: Objects, state: Path) -> None:
        self._say(f"{(self._environments - 1) * len(objects):,} custom resources are written to the API server")
        original, clones = asyncio.run(_write_objects(self._world.kubeconfig, objects, self._environments, state))
        self._say(f"what Azure holds for {self._environments:,} environments is written to the emulator's disk")
        total = copy_azure(state, original, (rename for _, rename in clones))
        self._report.data["fleet"] = {"environments": self._environments, "azureResources": total}
        self._say(f"the emulator starts on {total:,} resources")

    # The figures

    def _take_in(self) -> None:
        """Let an operator see the copies for the first time: it adds what only the engine knows to their statuses."""
        self._say(f"an operator sees {self._environments:,} environments for the first time")
        operator, azure = self._world.operator, self._world.azure
        since = azure.last_request()
        operator.start()
        if self._all_known(FIRST_SECONDS) is None or self._rest(FIRST_SECONDS) is None:
            msg = f"The operator did not come to rest within {FIRST_SECONDS:.0f} s of its first start on the copies."
            raise BenchError(msg)
        phase = Phase("first start", azure.requests(since), kubernetes=operator.kubernetes_writes())
        operator.stop()
        self._report.data["firstStart"] = {**phase.as_json(), "written": _written(phase)}
        self._report.add(
            self._section, [Figure("first start: ARM writes, none if copies are exact", phase.writes, goal=0, digits=0)]
        )

    def _restart(self) -> bool:
        """Start the operator; answers whether it got to know all environments."""
        self._say("the operator is started anew")
        operator, azure = self._world.operator, self._world.azure
        since, began = azure.last_request(), time.monotonic()
        operator.start()
        seen = self._all_known(KNOWN_SECONDS)
        took = seen - began if seen is not None else KNOWN_SECONDS
        what = "restart until all are known" if seen is not None else "restart until all are known: given up after"
        # What it has found out may still lead to a write.
        rested = self._rest(KNOWN_SECONDS) if seen is not None else None
        phase = Phase("restart", azure.requests(since), kubernetes=operator.kubernetes_writes())
        used = operator.processor_seconds()
        memory = operator.resident_mib() * 1.048576
        self._report.add(
            self._section,
            [
                Figure(what, took, "s", goal=KNOWN_GOAL, digits=1),
                Figure("… ARM writes meanwhile", phase.writes, goal=0, digits=0),
                Figure("… Kubernetes writes meanwhile", phase.kubernetes.total(), goal=0, digits=0),
                Figure("… ARM reads ÷ environments", _reads(phase) / self._environments),
                Figure("… processor", used, "s", digits=1),
                Figure("operator, resident", memory, "MB", goal=MEMORY_GOAL, digits=0),
            ],
        )
        self._report.data["restart"] = {**phase.as_json(), "written": _written(phase)}
        return rested is not None

    def _all_known(self, seconds: float) -> float | None:
        """Return the moment at which the operator had looked at every environment, None if that did not come."""
        deadline = time.monotonic() + seconds
        while self._world.operator.known() < self._environments:
            time.sleep(0.25)
            self._world.check()
            if time.monotonic() > deadline:
                return None
        return time.monotonic()

    def _idle(self) -> None:
        self._say("nothing is due, for a minute")
        operator = self._world.operator
        before = operator.processor_seconds()
        time.sleep(IDLE_SECONDS)
        self._idle_share = (operator.processor_seconds() - before) / IDLE_SECONDS
        self._report.add(
            self._section,
            [Figure("processor while nothing is due, of a core", 100 * self._idle_share, "%", digits=1)],
        )

    def _edits(self) -> None:
        self._say(f"{EDITS} VM size edits: how soon does each reach Azure?")
        azure, took = self._world.azure, []
        for number in range(EDITS):
            name = name_of((number + 1) * self._environments // (EDITS + 1))
            since, began = azure.last_request(), time.time()
            patch = json.dumps({"spec": {"vmSizes": [OTHER_VM_SIZE]}})
            self._world.kubectl("patch", "computepartition", f"{name}-p0", "-n", NAMESPACE, "--type=merge", "-p", patch)

            def first_write(name: str = name, since: int = since) -> dict[str, Any] | None:
                log = [entry for entry in azure.requests(since) if f"_{name}/" in entry["path"].lower()]
                return Phase("", log).first_write()

            first = eventually(first_write, EDIT_SECONDS, f"an edit of {name} leads to a write")
            took.append(1000 * (first["wallTime"] - began))
        self._report.data["editMilliseconds"] = took
        self._report.add(
            self._section,
            [
                Figure(
                    f"edit → first ARM write, median of {EDITS}", statistics.median(took), "ms", EDIT_GOAL, digits=0
                ),
                Figure("… the slowest", max(took), "ms", digits=0),
            ],
        )

    def _period(self) -> None:
        self._say("until the edits are done")
        if self._rest(DRIFT_SECONDS) is None:
            msg = f"The operator did not come to rest within {DRIFT_SECONDS} s after {EDITS} edits."
            raise BenchError(msg)
        self._say(f"one drift period of {DRIFT_SECONDS} s")
        operator, azure = self._world.operator, self._world.azure
        since, before, used = azure.last_request(), operator.kubernetes_writes(), operator.processor_seconds()
        began = time.monotonic()
        time.sleep(DRIFT_SECONDS)
        span = time.monotonic() - began
        phase = Phase("period", azure.requests(since), kubernetes=operator.kubernetes_writes() - before)
        used = operator.processor_seconds() - used
        looking = used - self._idle_share * span
        share = self._idle_share + looking / DEFAULT_DRIFT_SECONDS
        periods = span / DRIFT_SECONDS
        self._report.add(
            self._section,
            [
                Figure(
                    "ARM reads ÷ (environments x periods)", _reads(phase) / self._environments / periods, goal=READ_GOAL
                ),
                Figure("reads about the subscription, in a period", phase.counts[Request.SHARED], digits=0),
                Figure("ARM writes in a period", phase.writes, goal=0, digits=0),
                Figure("Kubernetes writes in a period", phase.kubernetes.total(), goal=0, digits=0),
                Figure("processor for looking at all once", looking, "s", digits=1),
                Figure(
                    "processor idle, a look every 10 min included, of a core", 100 * share, "%", IDLE_GOAL, digits=1
                ),
                Figure(
                    "operator at the end, resident", operator.resident_mib() * 1.048576, "MB", MEMORY_GOAL, digits=0
                ),
            ],
        )
        self._report.data["period"] = {**phase.as_json(), "written": _written(phase)}

    def _rest(self, seconds: float) -> float | None:
        """Return the moment from which on the operator was at rest, None if that did not come."""
        operator, azure = self._world.operator, self._world.azure
        deadline = time.monotonic() + seconds
        since, last, used = time.monotonic(), azure.last_request(), operator.processor_seconds()
        while True:
            time.sleep(0.5)
            self._world.check()
            # The emulator does one thing at a time: what the operator waits for is in its log before it answers us.
            newest, processor, now = azure.last_request(), operator.processor_seconds(), time.monotonic()
            if newest != last or processor - used > REST_SHARE * REST_SECONDS:
                since, last, used = now, newest, processor
                if now > deadline:
                    return None
            elif now - since >= REST_SECONDS:
                return since


def _reads(phase: Phase) -> int:
    counts = phase.counts
    return counts[Request.READ] + counts[Request.SURVEY] + counts[Request.NODE_LIST]


def _written(phase: Phase) -> list[str]:
    """Return what was written to Azure: there should be nothing."""
    return [f"{entry['method']} {entry['path']}" for entry in phase.log if kind_of(entry) is Request.WRITE]


def _as_list(manifests: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})


def _status_alone(body: dict[str, Any]) -> str:
    return json.dumps({name: body[name] for name in ("apiVersion", "kind", "status")})


async def _write_objects(kubeconfig: Path, objects: Objects, environments: int, state: Path) -> tuple[Original, Clones]:
    """Write copies of an environment's custom resources, as its operator would have left them."""
    source = blueprint_of(objects)
    versions = {name: body["status"]["image"] for (kind, name), body in objects.items() if kind == "ComputePartition"}
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.connection_pool_maxsize = WRITERS
    async with client.ApiClient(configuration) as api:
        custom = client.CustomObjectsApi(api)
        slots = asyncio.Semaphore(WRITERS)
        plurals = dict(zip(("HPCEnvironment", "StorageTier", "ComputePartition"), PLURALS, strict=True))

        async def create(number: int) -> tuple[int, list[dict[str, Any]], Blueprint]:
            """Write the specs: only the API server knows the uid that the vault is named after."""
            made: list[dict[str, Any]] = []
            # One after the other: the oldest partition is Slurm's default one.
            for body in large_environment(name_of(number), str(network_of(number))):
                body["metadata"]["finalizers"] = [FINALIZER]
                made.append(
                    await custom.create_namespaced_custom_object(
                        GROUP, VERSION, NAMESPACE, plurals[body["kind"]], body, field_manager=FIELD_MANAGER
                    )
                )
            image = {name.replace(name_of(0), name_of(number)): image for name, image in versions.items()}
            parsed = [
                {**body, "status": {"image": image[body["metadata"]["name"]]}}
                if body["kind"] == "ComputePartition"
                else body
                for body in made
            ]
            return number, made, blueprint_of({(body["kind"], body["metadata"]["name"]): body for body in parsed})

        number, made, blueprint = await create(1)
        uid = objects["HPCEnvironment", name_of(0)]["metadata"]["uid"]
        original = Original((name_of(0), uid), network_of(0), source, shared_guids(state), blueprint)
        applied = Applied(state, original)
        statuses = {name: original.cut(_status_alone(body)) for (_, name), body in objects.items()}

        async def write_statuses(
            number: int, made: list[dict[str, Any]], rename: Rename, hashes: Mapping[str, str]
        ) -> None:
            for body in made:
                name = body["metadata"]["name"]
                copy = json.loads(filled(statuses[name.replace(name_of(number), name_of(0))], rename))
                # The engine writes them in this order, and some names are hashes.
                copy["status"].get("resources", []).sort(key=lambda item: item["id"].lower())
                for item in copy["status"].get("resources", []):
                    if "applied" in item:
                        item["applied"] = hashes[item["id"].lower()]
                if "nodeTags" in copy["status"]:
                    copy["status"]["nodeTags"] = hashes[name]
                copy["metadata"] = {"name": name, "uid": body["metadata"]["uid"]}
                await custom.patch_namespaced_custom_object_status(
                    GROUP, VERSION, NAMESPACE, plurals[body["kind"]], name, copy, field_manager=FIELD_MANAGER,
                    force=True, _content_type="application/apply-patch+yaml",
                )  # fmt: skip

        async def clone(number: int) -> tuple[str, Rename]:
            async with slots:
                return await finish(*await create(number))

        async def finish(number: int, made: list[dict[str, Any]], blueprint: Blueprint) -> tuple[str, Rename]:
            uid = next(body["metadata"]["uid"] for body in made if body["kind"] == "HPCEnvironment")
            rename = functools.cache(original.rename((name_of(number), uid), network_of(number), blueprint))
            await write_statuses(number, made, rename, applied.to(blueprint, rename))
            return name_of(number), rename

        first = await finish(number, made, blueprint)
        return original, [first, *await asyncio.gather(*(clone(number) for number in range(2, environments)))]


def main() -> int:
    """Run, print and write; 0 unless the run itself broke."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--environments", type=int, default=ENVIRONMENTS, help="how many (default: %(default)s)")
    environments = parser.parse_args().environments
    return session.run(
        lambda world, report, say: Fleet(world, report, say, environments).run(),
        speed=SPEED_TO_MAKE,
        result="fleet.json",
    )


if __name__ == "__main__":
    sys.exit(main())
