"""The operator and the emulator as processes of their own, and what a user sees of them through kubectl."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from .conftest import Cluster

ROOT = Path(__file__).parents[2]
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
NAMESPACE = "azure-hpc-operator"
SPEED = 300


def eventually(condition: Callable[[], Any], seconds: float = 120, what: str = "") -> Any:
    """Return the first true value of `condition`; fail if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never came true: {what or condition}"
        time.sleep(0.1)
    return value


@dataclass
class Azure:
    """An emulator process."""

    url: str

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/emulator/{path}", method=method, data=data)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        return self.ask(f"requests?since={since}")["requests"]

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        return [entry for entry in self.requests(since) if entry["method"] in {"PUT", "PATCH", "DELETE"}]

    def last(self) -> int:
        return self.ask("requests?since=0")["last"]

    def ids(self) -> set[str]:
        return {item["id"].lower() for item in self.ask("resources")}


class Operator:
    """An operator process; it can be killed and started again.

    Parameters
    ----------
    kubeconfig
        Its rights.
    azure
        Its Azure.
    log
        Where it writes.
    settings
        More environment variables.
    """

    def __init__(self, kubeconfig: Path, azure: Azure, log: Path, **settings: str) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "HPC_"))}
        self.environ = environ | {
            "KUBECONFIG": str(kubeconfig),
            "HPC_SUBSCRIPTION_ID": SUBSCRIPTION,
            "HPC_ARM_ENDPOINT": azure.url,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.url,
            "HPC_METRICS_ADDRESS": f"127.0.0.1:{free_port()}",
            **settings,
        }
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hpc_operator.cli", "run"], env=self.environ, stdout=log, stderr=log
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def exit_code(self) -> int | None:
        assert self.process is not None
        return self.process.poll()

    def metrics(self) -> str:
        return self._ask("metrics")

    def ready(self) -> bool:
        try:
            return self._ask("readyz") == "ok\n"
        except OSError:
            return False  # not yet there, or 503

    def leads(self) -> bool:
        return self.ready() and "hpc_leader 1.0" in self.metrics()

    def _ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.environ['HPC_METRICS_ADDRESS']}/{path}", timeout=10) as answer:
            return answer.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Objects:
    """The custom resources of one namespace, through kubectl."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *args: str, **options: Any) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args, **options).stdout

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(manifests))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return json.loads(self.kubectl("get", kind, name, "-o", "json"))

    def ready(self, kind: str, name: str) -> tuple[str, str, str]:
        conditions = self.get(kind, name).get("status", {}).get("conditions", [])
        found = next((item for item in conditions if item["type"] == "Ready"), None)
        return (found["status"], found["reason"], found["message"]) if found else ("", "", "")

    def wait_ready(self, kind: str, name: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", f"{kind}/{name}", "--timeout=100s")


def manifests(name: str = "climate", cidr: str = "10.40.0.0/20") -> list[dict[str, Any]]:
    api = {"apiVersion": "azurehpc.io/v1alpha1"}
    return [
        {
            **api,
            "kind": "HPCEnvironment",
            "metadata": {"name": name},
            "spec": {
                "location": "westeurope",
                "network": {"addressSpace": [cidr], "access": {"bastion": {}}},
                "scheduler": {"slurm": {}},
            },
        },
        {
            **api,
            "kind": "StorageTier",
            "metadata": {"name": f"{name}-home"},
            "spec": {
                "environmentRef": {"name": name},
                "purpose": "Home",
                "mountPath": "/home",
                "deletionPolicy": "Delete",
                "netAppFiles": {"capacity": "4Ti"},
            },
        },
        {
            **api,
            "kind": "ComputePartition",
            "metadata": {"name": f"{name}-hpc"},
            "spec": {
                "environmentRef": {"name": name},
                "vmSizes": ["Standard_HB120rs_v3"],
                "nodes": {"min": 2, "max": 8},
            },
        },
    ]
