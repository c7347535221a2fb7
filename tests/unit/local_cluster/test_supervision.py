"""Processes end with whoever started them, however that ends; components that fail are named with their last words."""

import os
import select
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from local_cluster import LocalCluster, LocalClusterError, processes
from local_cluster.binaries import COMPONENTS
from local_cluster.processes import Child, free_port, is_free

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends the children")

# A wait that only ends early: a machine that is this slow has other problems.
LONG = 60_000


def wait_for_end(pid):
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(LONG), f"process {pid} is still there"
    finally:
        os.close(descriptor)


@pytest.fixture
def programs(tmp_path):
    """Components that do nothing until they are ended."""
    paths = {name: tmp_path / "bin" / name for name in COMPONENTS}
    (tmp_path / "bin").mkdir()
    for path in paths.values():
        path.write_text("#!/bin/sh\nexec sleep 600\n")
        path.chmod(0o755)
    return paths


def test_a_child_is_killed_with_its_parent(tmp_path):
    script = f"""
        from pathlib import Path
        from local_cluster.processes import Child
        child = Child("sleeper", ["sleep", "600"], Path({str(tmp_path / "log")!r}))
        print(child.pid, flush=True)
        input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        child = int(parent.stdout.readline())
        os.kill(child, 0)  # it is there
        parent.kill()
    wait_for_end(child)


def test_a_component_that_ends_by_itself_is_named_with_its_last_words(tmp_path, programs):
    programs["etcd"].write_text("#!/bin/sh\necho 'this disk is on fire' >&2\nexit 3\n")
    cluster = LocalCluster(tmp_path / "cluster", binaries=programs)
    with pytest.raises(LocalClusterError, match=r"(?s)etcd ended with exit code 3\..*this disk is on fire"):
        cluster.start()
    assert not cluster._directory.is_running()


def test_a_port_that_somebody_took_meanwhile_is_tried_again_with_others(tmp_path, programs):
    programs["etcd"].write_text(
        f"#!/bin/sh\necho \"$*\" >> {tmp_path}/calls; echo 'bind: address already in use'; exit 1\n"
    )
    with pytest.raises(LocalClusterError, match="found its port taken, 5 times"):
        LocalCluster(tmp_path / "cluster", binaries=programs).start()
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == len(set(calls)) == 5


def test_interrupting_a_start_leaves_nothing(tmp_path, programs):
    """The components never become ready, so the start waits until it is interrupted."""
    script = f"""
        import signal
        from pathlib import Path
        from local_cluster import LocalCluster
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        binaries = {{path.name: path for path in Path({str(tmp_path / "bin")!r}).iterdir()}}
        LocalCluster(Path({str(tmp_path / "cluster")!r}), binaries=binaries).start()
    """
    programs["kube-apiserver"].write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    os.mkfifo(tmp_path / "pid")
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE) as starter:
        child = int((tmp_path / "pid").read_text())
        starter.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in starter.stderr.read()
    wait_for_end(child)


def test_a_child_that_ignores_being_asked_is_killed(tmp_path):
    child = Child("stubborn", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], tmp_path / "log")
    while "ready" not in child.log_since_start():
        os.sched_yield()
    child.terminate()
    child.wait(timeout=0)
    assert child.exit_code == -signal.SIGKILL


def test_last_words_are_of_this_run_only(tmp_path):
    log = tmp_path / "log"
    log.write_text("words of an earlier run\n")
    silent = Child("silent", ["true"], log)
    silent.wait()
    assert silent.last_words() == f"{log} is empty."
    loud = Child("loud", ["echo", "mine"], log)
    loud.wait()
    assert loud.last_words() == f"The end of {log}:\nmine"


def test_a_taken_port_is_not_free():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert not is_free(server.getsockname()[1])
    assert is_free(free_port())


def test_no_free_port_is_a_sentence(monkeypatch):
    monkeypatch.setattr(processes, "is_free", lambda port: False)
    with pytest.raises(LocalClusterError, match="No free port was found"):
        free_port()
