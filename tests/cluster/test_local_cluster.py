"""The real API server on this machine: it works, its data survives, and nothing is left of it, however it ends."""

import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack

import pytest

from local_cluster import LocalCluster, LocalClusterError, ensure_binaries
from local_cluster.directory import Directory, Phase

# The very first start on a machine builds the programs.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

# Milliseconds. A wait that only ends early: no test depends on how long something takes.
LONG = 60_000


@pytest.fixture(scope="module")
def binaries():
    return ensure_binaries(("etcd", "kube-apiserver", "kube-controller-manager", "kubectl"))


@pytest.fixture(scope="module")
def cluster(binaries, tmp_path_factory):
    with LocalCluster(tmp_path_factory.mktemp("cluster"), audit_log=True, binaries=binaries) as started:
        yield started


@pytest.fixture(scope="module")
def kubectl(binaries):
    def run(cluster, *arguments, check=True, stdin=None):
        return subprocess.run(
            [binaries["kubectl"], f"--kubeconfig={cluster.kubeconfig}", *arguments],
            check=check,
            capture_output=True,
            text=True,
            input=stdin,
        )

    return run


@pytest.fixture
def command(tmp_path):
    """Runs `python -m local_cluster` for a folder of this test, which is stopped in the end."""

    def run(verb, *arguments):
        words = [sys.executable, "-m", "local_cluster", verb, "--directory", str(tmp_path / "cluster"), *arguments]
        return subprocess.run(words, check=False, capture_output=True, text=True)

    yield run
    run("stop")


def eventually(is_true):
    deadline = time.monotonic() + LONG / 1000
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Processes:
    """All processes of the cluster in a folder, held so that their ids cannot be taken over by others."""

    def __init__(self, directory):
        state = Directory(directory).state()
        self.pids = {"supervisor": state.supervisor, **state.components}
        with ExitStack() as opened:
            self._descriptors = {}
            for name, pid in self.pids.items():
                self._descriptors[name] = os.pidfd_open(pid)
                opened.callback(os.close, self._descriptors[name])
            self._close = opened.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._close.close()

    def wait_until_gone(self):
        for name, descriptor in self._descriptors.items():
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(LONG), f"{name} is still there"


def test_a_namespace_comes_and_goes(cluster, kubectl):
    kubectl(cluster, "create", "namespace", "goes")
    kubectl(cluster, "--namespace=goes", "create", "configmap", "content")
    kubectl(cluster, "delete", "namespace", "goes", "--wait", "--timeout=60s")
    assert "NotFound" in kubectl(cluster, "get", "namespace", "goes", check=False).stderr


def test_kubectl_prints_no_warning(cluster, kubectl):
    answer = kubectl(cluster, "get", "namespaces,serviceaccounts,configmaps,deployments", "--all-namespaces")
    assert "Warning" not in answer.stderr


def test_a_deployment_makes_pods_and_takes_them_along(cluster, kubectl):
    kubectl(cluster, "create", "deployment", "pods", "--image=none.invalid/none")
    kubectl(cluster, "wait", "--for=create", "pods", "--selector=app=pods", "--timeout=60s")
    kubectl(cluster, "delete", "deployment", "pods", "--cascade=foreground", "--timeout=60s")
    assert kubectl(cluster, "get", "pods", "--output=name").stdout == ""


def test_rbac_decides_what_a_service_account_may_do(cluster, kubectl):
    kubectl(cluster, "create", "serviceaccount", "reader")
    token = kubectl(cluster, "create", "token", "reader").stdout
    # Without the certificate of the kubeconfig, which would win over the token.
    configuration = json.loads(kubectl(cluster, "config", "view", "--raw", "--output=json").stdout)
    configuration["users"][0]["user"] = {"token": token}
    kubeconfig = cluster.kubeconfig.with_name("reader")
    kubeconfig.write_text(json.dumps(configuration))

    def read():
        return kubectl(cluster, f"--kubeconfig={kubeconfig}", "get", "configmaps", check=False)

    assert "system:serviceaccount:default:reader" in read().stderr
    # The role `view` is an aggregated one: this needs its controller too.
    kubectl(cluster, "create", "rolebinding", "reader", "--clusterrole=view", "--serviceaccount=default:reader")
    # The API server hears of its own role bindings by a watch.
    eventually(lambda: "kube-root-ca.crt" in read().stdout)


def test_the_audit_log_has_a_line_for_each_request(cluster, kubectl):
    kubectl(cluster, "create", "configmap", "audited")

    def events():
        lines = cluster.audit_log.read_text().splitlines()
        return [json.loads(line) for line in lines if '"name":"audited"' in line]

    eventually(events)
    (creation,) = events()
    assert creation["verb"] == "create"
    assert creation["user"]["username"] == "admin"
    assert creation["responseStatus"]["code"] == 201


def test_the_api_server_goes_and_comes_back_where_it_was(cluster, kubectl):
    kubectl(cluster, "create", "configmap", "stays")
    server = cluster.server
    cluster.pause_api_server()
    assert "refused" in kubectl(cluster, "get", "configmap", "stays", check=False).stderr
    cluster.resume_api_server()
    assert cluster.server == server
    kubectl(cluster, "get", "configmap", "stays")
    # The controllers are there too.
    kubectl(cluster, "create", "namespace", "after")
    kubectl(cluster, "delete", "namespace", "after", "--timeout=60s")


def test_a_second_cluster_in_the_same_folder_is_refused(cluster, binaries):
    with pytest.raises(LocalClusterError, match="already"):
        LocalCluster(cluster.kubeconfig.parent, binaries=binaries).start()


def test_a_killed_component_is_reported_and_the_others_end(binaries, tmp_path):
    with LocalCluster(tmp_path, binaries=binaries) as cluster, Processes(tmp_path) as processes:
        os.kill(processes.pids["etcd"], signal.SIGKILL)
        processes.wait_until_gone()
        assert Directory(tmp_path).state().phase is Phase.FAILED
        with pytest.raises(LocalClusterError, match="etcd ended with exit code -9"):
            cluster.pause_api_server()


def test_it_ends_with_the_process_that_started_it(binaries, tmp_path):
    """Also where a thread started it that has ended long since."""
    script = f"""
        import threading
        from pathlib import Path
        from local_cluster import LocalCluster
        cluster = LocalCluster(Path({str(tmp_path)!r}))
        thread = threading.Thread(target=cluster.start)
        thread.start()
        thread.join()
        print("started", flush=True)
        input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout.readline() == b"started\n"
        with Processes(tmp_path) as processes:
            starter.kill()
            processes.wait_until_gone()


def test_started_detached_it_runs_on_and_stops_without_a_trace(command, tmp_path):
    started = command("start", "--audit-log")
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout == f"{tmp_path / 'cluster' / 'kubeconfig'}\n"
    with Processes(tmp_path / "cluster") as processes:
        assert command("start", "--audit-log").stdout == started.stdout
        assert Directory(tmp_path / "cluster").state().supervisor == processes.pids["supervisor"]
        assert command("status").returncode == 0
        assert command("stop").returncode == 0
        processes.wait_until_gone()
    assert command("status").returncode == 3


def test_nothing_is_left_of_a_killed_supervisor_and_the_data_is_there_again(command, binaries, kubectl, tmp_path):
    command("start")
    cluster = LocalCluster(tmp_path / "cluster", binaries=binaries)
    server = cluster.server
    kubectl(cluster, "create", "namespace", "kept")
    with Processes(tmp_path / "cluster") as processes:
        os.kill(processes.pids["supervisor"], signal.SIGKILL)
        processes.wait_until_gone()
    with cluster:
        assert cluster.server == server
        kubectl(cluster, "get", "namespace", "kept")
    assert command("status").returncode == 3


def test_run_stays_until_it_is_told(tmp_path):
    words = [sys.executable, "-m", "local_cluster", "run", "--directory", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == f"{tmp_path / 'kubeconfig'}\n"
        with Processes(tmp_path) as processes:
            run.terminate()
            assert run.wait() == 0
            processes.wait_until_gone()
    assert Directory(tmp_path).state().phase is Phase.STOPPED
