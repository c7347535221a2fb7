"""Every example is accepted by the real API server with our CRDs, down to the last field name.

Knows nothing of what the operator does with them.
"""

from pathlib import Path

import pytest
import yaml

from .conftest import Cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())

pytestmark = pytest.mark.cluster


def _objects(folder):
    # In the order in which `kubectl apply -f FOLDER` takes them.
    return [body for path in sorted(folder.glob("*.yaml")) for body in yaml.safe_load_all(path.read_text())]


def test_there_are_examples():
    assert [folder.name for folder in FOLDERS] == ["existing-network", "policy", "quickstart", "spot"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_namespaces_come_before_what_lies_in_them(folder):
    kinds = [body["kind"] for body in _objects(folder)]
    assert kinds[0] == "Namespace"
    assert set(kinds) >= {"HPCEnvironment", "StorageTier", "ComputePartition"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_references_lead_to_the_environment_beside_them(folder):
    environment = next(body for body in _objects(folder) if body["kind"] == "HPCEnvironment")["metadata"]
    for body in _objects(folder):
        if "environmentRef" in body.get("spec", {}):
            assert body["spec"]["environmentRef"]["name"] == environment["name"]
            assert body["metadata"]["namespace"] == environment["namespace"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_api_server_takes_it_as_it_is(crd_cluster: Cluster, folder):
    # The namespace for real: a dry run knows nothing of one that it did not keep.
    crd_cluster.kubectl("apply", "-f", str(folder / "1-namespace.yaml"))
    result = crd_cluster.kubectl("apply", "-f", str(folder), "--dry-run=server", "--validate=strict")
    assert len(result.stdout.splitlines()) == len(_objects(folder))
    assert "Warning" not in result.stderr
