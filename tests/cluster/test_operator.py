"""The operator as a process of its own, with the chart's rights, on a real API server and an emulated Azure."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_cluster import ensure_binaries

from .conftest import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

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


@dataclass
class Operator:
    """An operator process; it can be killed and started again."""

    environ: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

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

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://{self.environ['HPC_METRICS_ADDRESS']}/metrics", timeout=10) as answer:
            return answer.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
        timeout=120,
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


@pytest.fixture(scope="module")
def operator(azure: Azure, service_account: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "HPC_"))}
    running = Operator(
        environ
        | {
            "KUBECONFIG": str(service_account),
            "HPC_SUBSCRIPTION_ID": SUBSCRIPTION,
            "HPC_ARM_ENDPOINT": azure.url,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": azure.url,
            "HPC_METRICS_ADDRESS": f"127.0.0.1:{free_port()}",
        },
        tmp_path_factory.mktemp("operator") / "operator.log",
    )
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()[-4000:]
    assert "Traceback" not in running.log.read_text(), running.log.read_text()[-4000:]


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


@pytest.fixture
def objects(crd_cluster: Cluster, namespace: str) -> Iterator[Objects]:
    made = Objects(crd_cluster, namespace)
    yield made
    made.kubectl("delete", "hpcenvironments,storagetiers,computepartitions", "--all", "--timeout=150s")


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
    rules = json.loads(objects.cluster.kubectl("get", "clusterrole", "azure-hpc-operator", "-o", "json").stdout)[
        "rules"
    ]
    granted = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # A restarted API server refuses everything until it has read its roles again.
    assert not refused - used
    assert used <= granted
    needless = granted - used
    # `get` on an object is asked for only after a conflict on its finalizers.
    assert {(resource, verb) for _, resource, verb in needless if verb != "get"} == set()
