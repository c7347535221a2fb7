"""One real API server for all tests of a session. Each test works in a namespace of its own.

Knows nothing of what the tests are about, the CRDs apart.
"""

import itertools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local_cluster import LocalCluster, ensure_binaries

CRDS = Path(__file__).parents[2] / "crds"


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
            timeout=120,
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
