"""Looks at the cluster and at the emulated Azure the way a user would: with kubectl and with plain requests.

Returns what was seen as JSON and judges nothing.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from hpc_operator.demo.errors import DemoError

Json = Any

USER_AGENT = "azure-hpc-operator-demo"
"""Our own requests carry it, so that they are not counted as the operator's."""

_COMPUTE_API = "2024-11-01"
_SECONDS = 30.0


class Kubectl:
    """The real kubectl.

    Parameters
    ----------
    binary
        Where it is.
    environment
        Its environment, with KUBECONFIG.
    directory
        Where it runs: paths in arguments are relative to it.
    """

    def __init__(self, binary: Path, environment: Mapping[str, str], directory: Path) -> None:
        self._binary = binary
        self._environment = environment
        self._directory = directory

    def text(self, *arguments: str) -> str:
        """Run it and return what it prints.

        Raises
        ------
        DemoError
            With what kubectl says, if it fails.
        """
        answer = subprocess.run(  # noqa: S603 - the kubectl that was found or built
            [self._binary, *arguments],
            env=self._environment,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if answer.returncode != 0:
            msg = f"kubectl {' '.join(arguments)} failed: {answer.stderr.strip()}"
            raise DemoError(msg)
        return answer.stdout

    def json(self, *arguments: str) -> Json:
        """Run it with `--output=json` and return the document."""
        return json.loads(self.text(*arguments, "--output=json"))


class Azure:
    """The emulated Azure: its admin API, and ARM for what that does not tell.

    Parameters
    ----------
    url
        Where it listens.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # Whatever proxy the environment names: this is our own machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> Json:
        """Return a JSON document; None where there is none.

        Raises
        ------
        DemoError
            If there is no such answer.
        """
        headers = {"User-Agent": USER_AGENT, "Authorization": "Bearer demo"}
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - the emulator's own URL
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == HTTPStatus.NOT_FOUND:
                    return None
                msg = f"The emulated Azure answered {error.code} to {path}: {error.read(500).decode(errors='replace')}"
                raise DemoError(msg) from error
        except (OSError, ValueError) as error:
            msg = f"The emulated Azure does not answer at {self.url}: {error}"
            raise DemoError(msg) from error

    def clock(self) -> float:
        """Return the emulated seconds since the emulator started."""
        return float(self.get("/emulator/clock")["elapsedSeconds"])

    def operations(self) -> list[Json]:
        """Return every operation ever started."""
        found: list[Json] = self.get("/emulator/operations")
        return found

    def requests(self, since: int = 0) -> tuple[list[Json], int]:
        """Return the requests after one number of the log, and the number of the last."""
        document = self.get(f"/emulator/requests?since={since}")
        return document["requests"], document["last"]

    def resource(self, resource_id: str, api_version: str) -> Json:
        """Return a resource as ARM shows it, None where there is none."""
        return self.get(f"{resource_id}?api-version={api_version}")

    def machines(self, resource_group_id: str) -> list[Json]:
        """Return the virtual machines of a resource group."""
        path = f"{resource_group_id}/providers/Microsoft.Compute/virtualMachines?api-version={_COMPUTE_API}"
        return list((self.get(path) or {}).get("value", ()))


@dataclass(frozen=True)
class Seen:
    """Everything that was seen at one moment.

    Parameters
    ----------
    clock
        Emulated seconds since the emulator started.
    environment
        The HPCEnvironment.
    tiers, partitions
        The StorageTiers and ComputePartitions.
    machines
        Virtual machines as ARM shows them.
    operations
        Azure's operations so far, each with start and end.
    tables
        What `kubectl get` printed, by kind.
    """

    clock: float
    environment: Json
    tiers: Sequence[Json]
    partitions: Sequence[Json]
    machines: Sequence[Json]
    operations: Sequence[Json]
    tables: Mapping[str, str]

    @property
    def objects(self) -> tuple[Json, ...]:
        """Return the environment and all that belongs to it."""
        return (self.environment, *self.tiers, *self.partitions)

    def named(self, kind: str, name: str) -> Json:
        """Return one object."""
        return next(item for item in self.objects if (item["kind"], item["metadata"]["name"]) == (kind, name))


class Observer:
    """Takes a look at everything at once.

    Parameters
    ----------
    kubectl, azure
        Where to look.
    namespace
        The namespace of the environment; there is only this one in it.
    """

    def __init__(self, kubectl: Kubectl, azure: Azure, namespace: str) -> None:
        self._kubectl = kubectl
        self._azure = azure
        self._namespace = namespace
        self._pool = ThreadPoolExecutor(max_workers=2)

    def look(self, tables: Sequence[str]) -> Seen:
        """Return what there is now; `tables` are the kinds whose `kubectl get` table is wanted."""
        printed = {kind: self._pool.submit(self._kubectl.text, "get", kind, "-n", self._namespace) for kind in tables}
        kinds = "hpcenvironments,storagetiers,computepartitions"
        items = self._kubectl.json("get", kinds, "-n", self._namespace)["items"]
        environment = next(item for item in items if item["kind"] == "HPCEnvironment")
        group = environment.get("status", {}).get("resourceGroupID")
        return Seen(
            clock=self._azure.clock(),
            environment=environment,
            tiers=[item for item in items if item["kind"] == "StorageTier"],
            partitions=[item for item in items if item["kind"] == "ComputePartition"],
            machines=self._azure.machines(group) if group else (),
            operations=self._azure.operations(),
            tables={kind: table.result() for kind, table in printed.items()},
        )
