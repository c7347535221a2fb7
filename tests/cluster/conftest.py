"""One real API server for all tests of a session. Each test works in a namespace of its own.

For the tests of the operator as a process also an emulated Azure and the chart's rights, one for each module.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from local_cluster import LocalCluster, ensure_binaries

from .operating import NAMESPACE, ROOT, SPEED, SUBSCRIPTION, Azure, Objects, eventually

CRDS = ROOT / "crds"


@dataclass(frozen=True)
class Cluster:
    """A running API server and the kubectl that speaks to it."""

    kubeconfig: Path
    kubectl_binary: Path
    server: LocalCluster

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl; with `check`, a failure fails the test and shows what kubectl said."""
        result = subprocess.run(
            [str(self.kubectl_binary), *args],
            input=input,
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and result.returncode:
            pytest.fail(f"kubectl {' '.join(args)} failed: {result.stderr}")
        return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Make the programs before the first test: a cold build takes longer than the timeout of a test."""
    if not session.config.option.collectonly and any(item.get_closest_marker("cluster") for item in session.items):
        ensure_binaries()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real API server with nothing installed but what other tests of the session left."""
    with LocalCluster(directory=tmp_path_factory.mktemp("cluster"), audit_log=True) as running:
        yield Cluster(running.kubeconfig, ensure_binaries(("kubectl",))["kubectl"], running)


@pytest.fixture(scope="session")
def crd_cluster(cluster: Cluster) -> Cluster:
    """The same server with our CRDs installed and served."""
    cluster.kubectl("apply", "--server-side", "-f", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))
    return cluster


_numbers = itertools.count(1)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test; it goes away by itself afterwards."""
    name = f"test-{next(_numbers)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    directory = tmp_path_factory.mktemp("azure")
    ready = directory / "ready.json"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "azure_emulator.cli",
            "serve",
            "--speed",
            str(SPEED),
            "--state",
            str(directory / "state"),
            "--ready-file",
            str(ready),
            "--seed",
            "1",
        ],
        stdout=subprocess.DEVNULL,
    )
    eventually(ready.exists, 30, "the emulator starts")
    yield Azure(json.loads(ready.read_text())["url"])
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def service_account(crd_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig with the rights that the chart gives, and no other."""
    helm = str(ensure_binaries(("helm",))["helm"])
    environ = os.environ | {"KUBECONFIG": str(crd_cluster.kubeconfig)}
    release = ["--namespace", NAMESPACE, "azure-hpc-operator"]
    subprocess.run(
        [
            helm,
            "install",
            "--create-namespace",
            *release,
            str(ROOT / "charts/azure-hpc-operator"),
            "--set",
            f"azure.subscriptionId={SUBSCRIPTION}",
            "--set",
            "crds.enabled=false",
        ],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    token = crd_cluster.kubectl(
        "create", "token", "azure-hpc-operator", "-n", NAMESPACE, "--duration=2h"
    ).stdout.strip()
    config = yaml.safe_load(crd_cluster.kubeconfig.read_text())
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
    path = tmp_path_factory.mktemp("rights") / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    yield path
    subprocess.run([helm, "uninstall", *release], env=environ, check=True, capture_output=True, timeout=120)


@pytest.fixture
def objects(crd_cluster: Cluster, namespace: str) -> Iterator[Objects]:
    made = Objects(crd_cluster, namespace)
    yield made
    made.kubectl("delete", "hpcenvironments,storagetiers,computepartitions", "--all", "--timeout=150s")
