"""The demo ends what it started, and only that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_operator.demo.errors import DemoError
from hpc_operator.demo.folder import Folder
from hpc_operator.demo.processes import Processes, Recorded, recorded

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def _start(processes, folder, command=SLEEP):
    processes.start("sleeper", command, environment=dict(os.environ), log=folder / "log", directory=folder)


def test_a_process_that_was_left_running_is_ended_by_the_next_run(tmp_path):
    first = Processes(tmp_path / "record")
    _start(first, tmp_path)
    (known,) = recorded(tmp_path / "record")
    assert known.runs
    first.let_go()

    assert Processes(tmp_path / "record").end() == ["sleeper"]
    assert not known.runs
    os.waitpid(known.pid, 0)


def test_a_process_that_only_got_the_same_id_is_left_alone(tmp_path):
    with subprocess.Popen(SLEEP) as other:
        (tmp_path / "record").write_text(json.dumps([{"name": "operator", "pid": other.pid, "started": 1}]))
        assert Processes(tmp_path / "record").end() == []
        assert other.poll() is None
        other.kill()


def test_a_process_that_ends_by_itself_is_a_problem_with_a_log(tmp_path):
    processes = Processes(tmp_path / "record")
    _start(processes, tmp_path, [sys.executable, "-c", "raise SystemExit('no quota')"])
    with pytest.raises(DemoError, match=r"The sleeper ended by itself \(exit code 1\)") as problem:
        processes.wait_for("sleeper", lambda: False, 10)
    assert problem.value.log.read_text().strip() == "no quota"
    assert processes.end() == []


def test_a_record_that_is_damaged_names_nothing(tmp_path):
    (tmp_path / "record").write_text("{")
    assert recorded(tmp_path / "record") == ()
    assert not Recorded("gone", 2**22 + 1, 1).runs


def test_a_folder_of_somebody_else_is_not_emptied(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DemoError, match="not a folder of this demo"), Folder(tmp_path).locked():
        pass
    assert (tmp_path / "thesis.tex").exists()


def test_two_demos_do_not_share_a_folder(tmp_path):
    folder = Folder(tmp_path / "demo")
    with folder.locked(), pytest.raises(DemoError, match="is running in"), Folder(tmp_path / "demo").locked():
        pass
    with folder.locked():
        (folder.root / "old").mkdir()
        folder.empty()
        assert [path.name for path in Path(folder.root).iterdir()] == ["lock"]
