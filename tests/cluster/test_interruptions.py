"""What goes away in the middle of something: watches, the API server, a namespace, the CRDs. Nothing is lost by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import CRDS, Cluster
from .operating import Azure, Objects, Operator, eventually, manifests

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def operator(azure: Azure, service_account: Path, tmp_path: Path) -> Iterator[Operator]:
    running = Operator(service_account, azure, tmp_path / "operator.log")
    running.start()
    eventually(running.ready, 60)
    yield running
    print(running.log.read_text()[-4000:])  # which pytest shows when the test fails
    if running.exit_code() is None:
        assert running.stop() == 0


def ours(azure: Azure, objects: Objects) -> set[str]:
    return {item for item in azure.ids() if f"/{objects.namespace}_climate" in item}


def deleted(azure: Azure, objects: Objects) -> int:
    group = f"/{objects.namespace}_climate"
    return sum(entry["method"] == "DELETE" and group in entry["path"].lower() for entry in azure.writes())


def make(objects: Objects, azure: Azure, *, complete: bool) -> None:
    """Have an environment made, either all of it or just enough that there is something to lose."""
    objects.apply(*manifests())
    if complete:
        objects.wait_ready("hpcenv", "climate")
        objects.wait_ready("hpcpart", "climate-hpc")
    else:
        eventually(lambda: len(ours(azure, objects)) >= 6, 60, "the environment is being made")


def has_gone(objects: Objects, azure: Azure) -> bool:
    return objects.kubectl("get", "hpcenv,hpcst,hpcpart", "-o", "name") == "" and ours(azure, objects) == set()


@pytest.mark.parametrize("complete", [True, False], ids=["running", "being-made"])
def test_a_namespace_that_goes_takes_its_environment_with_it_and_leaves_nothing_in_azure(
    operator: Operator, objects: Objects, azure: Azure, complete: bool
) -> None:
    make(objects, azure, complete=complete)
    objects.cluster.kubectl("delete", "namespace", objects.namespace, "--timeout=280s")
    assert ours(azure, objects) == set()
    assert operator.exit_code() is None
    objects.cluster.kubectl("create", "namespace", objects.namespace)  # what comes after the test expects it


def test_a_namespace_that_goes_while_its_environment_is_going(
    operator: Operator, objects: Objects, azure: Azure
) -> None:
    make(objects, azure, complete=True)
    objects.kubectl("delete", "hpcenv", "climate", "--wait=false")
    eventually(lambda: deleted(azure, objects) >= 3, 60, "something is deleted in Azure")
    objects.cluster.kubectl("delete", "namespace", objects.namespace, "--timeout=280s")
    assert ours(azure, objects) == set()
    objects.cluster.kubectl("create", "namespace", objects.namespace)


def test_a_namespace_that_goes_leaves_the_data_that_is_to_be_kept(
    operator: Operator, objects: Objects, azure: Azure
) -> None:
    environment, home, _ = manifests()
    home["spec"]["deletionPolicy"] = "Retain"
    objects.apply(environment, home)
    objects.wait_ready("hpcst", "climate-home")
    objects.cluster.kubectl("delete", "namespace", objects.namespace, "--timeout=280s")
    assert any("/volumes/" in item for item in ours(azure, objects))
    assert not any("/virtualmachines/" in item for item in ours(azure, objects))
    objects.cluster.kubectl("create", "namespace", objects.namespace)


def test_an_operator_that_is_away_while_a_namespace_goes_finds_its_work_when_it_comes_back(
    operator: Operator, objects: Objects, azure: Azure
) -> None:
    make(objects, azure, complete=True)
    operator.kill()
    objects.cluster.kubectl("delete", "namespace", objects.namespace, "--wait=false")
    time.sleep(3)
    assert len(ours(azure, objects)) > 30
    assert objects.get("hpcenv", "climate")["metadata"]["finalizers"], "the object stays until Azure is empty"
    operator.start()
    objects.cluster.kubectl("wait", "--for=delete", f"namespace/{objects.namespace}", "--timeout=280s")
    assert ours(azure, objects) == set()
    objects.cluster.kubectl("create", "namespace", objects.namespace)


@pytest.mark.parametrize("going", [True, False], ids=["environment-going", "environment-running"])
def test_crds_that_go_take_everything_in_azure_along_and_may_come_back(
    operator: Operator, objects: Objects, azure: Azure, going: bool
) -> None:
    make(objects, azure, complete=True)
    if going:
        objects.kubectl("delete", "hpcenv", "climate", "--wait=false")
        eventually(lambda: deleted(azure, objects) >= 3, 60, "something is deleted in Azure")
    try:
        objects.cluster.kubectl("delete", "-f", str(CRDS), "--timeout=280s")
        assert ours(azure, objects) == set()
    finally:
        install_crds(objects.cluster)
    objects.apply(*manifests())

    def is_ready() -> bool:
        # The process ends when a kind is gone, unless it is back at once; whatever started it starts it again.
        if operator.exit_code() is not None:
            assert operator.exit_code() != 0
            operator.start()
        return objects.ready("hpcenv", "climate")[0] == "True"

    eventually(is_ready, 150)


def install_crds(cluster: Cluster) -> None:
    cluster.kubectl("apply", "--server-side", "-f", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))


@pytest.mark.parametrize("seconds", [1, 40], ids=["a-moment", "longer-than-our-patience"])
def test_an_api_server_that_goes_in_the_middle_of_a_deletion_costs_nothing_but_time(
    operator: Operator, objects: Objects, azure: Azure, seconds: int
) -> None:
    make(objects, azure, complete=True)
    objects.kubectl("delete", "hpcenv,hpcst,hpcpart", "--all", "--wait=false")
    eventually(lambda: deleted(azure, objects) >= 3, 60, "something is deleted in Azure")
    objects.cluster.server.pause_api_server()
    time.sleep(seconds)
    objects.cluster.server.resume_api_server()
    eventually(lambda: has_gone(objects, azure), 120, "all is gone")
    assert operator.exit_code() is None


def test_what_is_asked_for_while_nobody_watches_is_done_afterwards(
    operator: Operator, objects: Objects, azure: Azure
) -> None:
    make(objects, azure, complete=True)
    # The restart cuts every watch; what is written right after it comes before the watches are back.
    objects.cluster.server.pause_api_server()
    time.sleep(1)
    objects.cluster.server.resume_api_server()
    eventually(lambda: objects.kubectl("get", "hpcenv", check=False), 60)
    objects.kubectl("scale", "computepartition", "climate-hpc", "--replicas=3")
    objects.kubectl("delete", "hpcst", "climate-home", "--wait=false")
    eventually(lambda: objects.get("hpcpart", "climate-hpc")["status"]["nodes"]["ready"] == 3, 120)
    eventually(lambda: objects.kubectl("get", "hpcst", "-o", "name") == "", 120)
    assert operator.exit_code() is None
