"""Whether a cluster runs, as the folder tells; and what the command line says when none does."""

import json
import stat

import pytest

from local_cluster import LocalCluster, LocalClusterError, directory
from local_cluster.__main__ import NOT_RUNNING, main
from local_cluster.directory import Directory, Phase, State


@pytest.fixture
def folder(tmp_path):
    made = Directory(tmp_path / "cluster")
    made.create()
    return made


def test_it_runs_while_somebody_holds_the_lock(folder):
    assert not folder.is_running()
    with folder.locked():
        assert folder.is_running()
    assert not folder.is_running()


def test_a_second_cluster_in_the_folder_is_refused(folder, monkeypatch):
    monkeypatch.setattr(directory, "LOCK_SECONDS", 0)
    with (
        folder.locked(),
        pytest.raises(LocalClusterError, match=r"runs in .* already\. Stop it with `python -m local_cluster stop"),
        folder.locked(),
    ):
        pytest.fail("locked twice")


def test_the_state_is_read_as_it_was_written(folder):
    assert folder.state() is None
    state = State(phase=Phase.READY, supervisor=17, server="https://127.0.0.1:1", components={"etcd": 18})
    folder.write_state(state)
    assert folder.state() == state


def test_a_supervisor_is_only_believed_while_the_lock_is_held(folder):
    folder.write_state(State(phase=Phase.READY, supervisor=1))
    assert folder.supervisor() is None
    with folder.locked():
        assert folder.supervisor() == 1


def test_the_port_of_the_last_time_is_remembered(folder):
    assert folder.last_port() is None
    folder.remember_port(20001)
    assert folder.last_port() == 20001


def test_only_the_user_may_look_into_it(folder):
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LocalClusterError, match=r"cannot be used: .*Choose another one with --directory"):
        Directory(tmp_path / "file" / "cluster").create()


def test_status_and_stop_where_nothing_runs(tmp_path, capsys):
    where = ["--directory", str(tmp_path)]
    assert main(["status", *where]) == NOT_RUNNING
    assert main(["stop", *where]) == 0
    assert capsys.readouterr().out == f"Nothing runs in {tmp_path}.\n" * 2
    assert main(["status", "--json", *where]) == NOT_RUNNING
    assert json.loads(capsys.readouterr().out) == {"running": False}


def test_status_tells_why_the_last_one_failed(folder, capsys):
    folder.write_state(State(phase=Phase.FAILED, supervisor=1, error="etcd ended with exit code 1."))
    assert main(["status", "--directory", str(folder.root)]) == NOT_RUNNING
    assert "The last time: etcd ended with exit code 1." in capsys.readouterr().out


def test_a_cluster_that_was_never_started_says_so(tmp_path):
    cluster = LocalCluster(tmp_path / "cluster")
    cluster.stop()
    with pytest.raises(LocalClusterError, match=r"call start\(\)"):
        _ = cluster.server
    with pytest.raises(LocalClusterError, match=r"call start\(\)"):
        cluster.pause_api_server()
    assert cluster.audit_log is None
