"""The operator as a process of its own, with the chart's rights, on a real API server and an emulated Azure."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .operating import NAMESPACE, Azure, Objects, Operator, eventually, manifests

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def operator(azure: Azure, service_account: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    running = Operator(service_account, azure, tmp_path_factory.mktemp("operator") / "operator.log")
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()[-4000:]
    assert "Traceback" not in running.log.read_text(), running.log.read_text()[-4000:]


def test_a_life_through_kubectl(objects: Objects, operator: Operator, azure: Azure) -> None:
    objects.apply(*manifests())
    objects.wait_ready("hpcenv", "climate")
    objects.wait_ready("hpcst", "climate-home")
    objects.wait_ready("hpcpart", "climate-hpc")
    header, _ = objects.kubectl("get", "hpcenvironments").splitlines()
    assert header.split() == ["NAME", "READY", "STEP", "RESOURCES", "NODES", "JOBS", "COST/H", "AGE"]
    eventually(lambda: objects.kubectl("get", "hpcenvironments").splitlines()[1].split()[2] == "-")
    ready, total = objects.kubectl("get", "hpcenvironments").splitlines()[1].split()[3].split("/")
    assert ready == total
    assert int(total) > 30

    # Steady: nothing is written, neither there nor here.
    version, since = objects.get("hpcenv", "climate")["metadata"]["resourceVersion"], azure.last()
    time.sleep(3)
    assert objects.get("hpcenv", "climate")["metadata"]["resourceVersion"] == version
    assert azure.requests(since) == []

    # The edit: new nodes before old ones go, Ready all the while.
    objects.kubectl(
        "patch", "hpcpart", "climate-hpc", "--type=merge", "-p", '{"spec":{"vmSizes":["Standard_HB176rs_v4"]}}'
    )

    def replaced() -> bool:
        status = objects.get("hpcpart", "climate-hpc")["status"]
        assert objects.ready("hpcpart", "climate-hpc")[0] == "True"
        assert status["nodes"]["ready"] >= 2
        return status["vmSize"] == "Standard_HB176rs_v4" and status["nodes"] == {
            "desired": 2,
            "ready": 2,
            "updated": 2,
            "creating": 0,
            "deleting": 0,
            "failed": 0,
        }

    eventually(replaced)
    eventually(lambda: objects.ready("hpcenv", "climate")[0] == "True")

    objects.kubectl("scale", "computepartition", "climate-hpc", "--replicas=3")
    eventually(lambda: objects.get("hpcpart", "climate-hpc")["status"]["nodes"]["ready"] == 3)

    objects.kubectl(
        "patch", "hpcst", "climate-home", "--type=merge", "-p", '{"spec":{"netAppFiles":{"capacity":"5Ti"}}}'
    )
    eventually(lambda: objects.get("hpcst", "climate-home")["status"]["capacity"] == "5Ti")

    objects.kubectl("delete", "hpcpart", "climate-hpc", "--timeout=60s")
    assert not [item for item in azure.ids() if "climate-hpc" in item]

    objects.kubectl("delete", "hpcenv,hpcst", "--all", "--timeout=120s")
    assert not [item for item in azure.ids() if f"/{objects.namespace}_climate" in item]
    reasons = {item["reason"] for item in json.loads(objects.kubectl("get", "events", "-o", "json"))["items"]}
    assert {"Ready", "Progressing"} <= reasons


@pytest.mark.parametrize("after", [6, 20])
def test_a_killed_operator_goes_on_and_creates_everything_once(
    objects: Objects, operator: Operator, azure: Azure, after: int
) -> None:
    since = azure.last()
    group = f"/{objects.namespace}_climate"

    def ours() -> list[dict[str, Any]]:
        return [entry for entry in azure.writes(since) if group in entry["path"].lower()]

    environment, home, hpc = manifests()
    objects.apply(home, hpc, environment)  # the environment last: what comes later would be an edit
    eventually(lambda: len(ours()) >= after)
    operator.kill()
    operator.start()
    objects.wait_ready("hpcenv", "climate")
    created = Counter(entry["path"].lower() for entry in ours() if entry["method"] == "PUT" and entry["status"] < 300)
    assert {path: count for path, count in created.items() if count > 1} == {}


def test_what_needs_an_environment_waits_for_it(objects: Objects, operator: Operator, azure: Azure) -> None:
    since = azure.last()
    environment, home, hpc = manifests()
    objects.apply(home, hpc)
    for kind, name in (("hpcst", "climate-home"), ("hpcpart", "climate-hpc")):
        status, reason, message = eventually(
            lambda kind=kind, name=name: objects.ready(kind, name)[0] and objects.ready(kind, name)
        )
        assert (status, reason) == ("False", "EnvironmentNotFound")
        assert "HPCEnvironment climate does not exist" in message
    assert azure.requests(since) == []
    objects.apply(environment)
    objects.wait_ready("hpcpart", "climate-hpc")


def test_a_second_tier_on_the_same_path_is_refused_before_any_write(
    objects: Objects, operator: Operator, azure: Azure
) -> None:
    objects.apply(*manifests()[:2])
    objects.wait_ready("hpcenv", "climate")
    since = azure.last()
    second = manifests()[1]
    second["metadata"]["name"] = "second"
    objects.apply(second)
    status, _, message = eventually(lambda: objects.ready("hpcst", "second")[0] and objects.ready("hpcst", "second"))
    assert status == "False"
    assert "/home" in message
    assert "climate-home" in message
    assert azure.writes(since) == []


def test_an_api_server_that_goes_away_is_waited_for(objects: Objects, operator: Operator, azure: Azure) -> None:
    objects.apply(*manifests())
    eventually(lambda: len([entry for entry in azure.writes() if objects.namespace in entry["path"]]) >= 4)
    objects.cluster.server.pause_api_server()
    eventually(lambda: "cannot be reached" in operator.log.read_text(), 60, "the log says that the API server is gone")
    objects.cluster.server.resume_api_server()
    eventually(lambda: objects.kubectl("get", "hpcenv", check=False), 60)
    objects.wait_ready("hpcenv", "climate")
    assert operator.process is not None
    assert operator.process.poll() is None


def test_an_azure_that_refuses_us_is_named_in_a_condition(objects: Objects, operator: Operator, azure: Azure) -> None:
    azure.ask(
        "faults",
        "POST",
        {
            "path": f"{objects.namespace}_climate",
            "answer": {
                "status": 403,
                "code": "AuthorizationFailed",
                "message": "The client does not have authorization to perform action",
            },
            "count": 2,
        },
    )
    objects.apply(*manifests()[:1])
    status = eventually(
        lambda: objects.ready("hpcenv", "climate")[1] == "AuthorizationFailed" and objects.ready("hpcenv", "climate")
    )
    assert "does not have authorization" in status[2]
    azure.ask("faults", "DELETE")


def granted_by(objects: Objects, kind: str, name: str) -> set[tuple[str, str, str]]:
    """Return what a role of the chart allows: API group, resource and verb."""
    role = json.loads(objects.cluster.kubectl("-n", NAMESPACE, "get", kind, name, "-o", "json").stdout)
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_rights_of_the_chart_are_all_used_and_enough(objects: Objects, operator: Operator) -> None:
    """Runs last: the audit log has what the operator did in all tests before."""
    used: set[tuple[str, str, str]] = set()
    refused: set[tuple[str, str, str]] = set()
    name = f"system:serviceaccount:{NAMESPACE}:azure-hpc-operator"
    for line in objects.cluster.server.audit_log.read_text().splitlines():
        entry = json.loads(line)
        if entry["user"]["username"] != name or "objectRef" not in entry or entry["stage"] != "ResponseComplete":
            continue
        reference = entry["objectRef"]
        resource = reference.get("resource", "")
        what = resource + ("/" + reference["subresource"] if "subresource" in reference else "")
        target = refused if entry["responseStatus"]["code"] == 403 else used
        target.add((reference.get("apiGroup", ""), what, entry["verb"]))
    granted = granted_by(objects, "clusterrole", "azure-hpc-operator")
    # A restarted API server refuses everything until it has read its roles again.
    assert not refused - used
    assert used <= granted | granted_by(objects, "role", "azure-hpc-operator-lease")
    needless = granted - used
    # `get` on an object is asked for only after a conflict on its finalizers.
    assert {(resource, verb) for _, resource, verb in needless if verb != "get"} == set()
