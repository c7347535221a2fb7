"""Where programs are looked for, and in which order; nothing is downloaded or built for real here."""

import stat

import pytest

from local_cluster import BinaryError, binaries, ensure_binaries
from local_cluster.download import DownloadError
from local_cluster.pins import PINS


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine that has nothing, and no way to the internet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)

    def unreachable(pin, target, report):
        raise DownloadError("there is no internet")

    monkeypatch.setattr(binaries, "download", unreachable)
    monkeypatch.setattr(binaries, "build", lambda *_: pytest.fail("nothing is to be built"))
    monkeypatch.setattr(binaries, "find_go", lambda *_: tmp_path / "go")
    return tmp_path


@pytest.fixture
def builds(machine, monkeypatch):
    """The names of what is built, in order."""
    names = []

    def build(pin, target, go, report):
        names.append(pin.name)
        target.write_text("built")

    monkeypatch.setattr(binaries, "build", build)
    return names


def program(path, output=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)
    return path


def cached(machine, name):
    return machine / "cache" / "azure-hpc-operator" / f"{name}-{PINS[name].version}" / name


def quiet(_):
    pass


def test_kubebuilder_assets_come_first(machine, monkeypatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(machine / "assets"))
    theirs = program(machine / "assets" / "etcd")
    program(cached(machine, "etcd"))
    assert ensure_binaries(["etcd"]) == {"etcd": theirs}


def test_what_kubebuilder_assets_lacks_comes_from_the_cache(machine, monkeypatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(machine / "assets"))
    theirs = program(machine / "assets" / "etcd")
    ours = program(cached(machine, "kube-controller-manager"))
    assert ensure_binaries(["etcd", "kube-controller-manager"]) == {"etcd": theirs, "kube-controller-manager": ours}


def test_the_cache_comes_before_path(machine):
    program(machine / "bin" / "helm", "v3.18.0")
    ours = program(cached(machine, "helm"))
    assert ensure_binaries(["helm"]) == {"helm": ours}


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.30.0"}}'),
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.34.1+k3s1"}}'),
        ("helm", "v3.14.2"),
    ],
)
def test_a_real_and_new_enough_client_on_path_is_used(machine, name, output):
    theirs = program(machine / "bin" / name, output)
    assert ensure_binaries([name]) == {name: theirs}


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.29.9"}}'),
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.32.4-dispatcher"}}'),
        ("kubectl", '{"clientVersion": null}'),
        ("kubectl", "[]"),
        ("kubectl", "this is no JSON"),
        ("helm", "v3.13.3"),
        ("helm", "v4.0.1"),
        ("helm", ""),
    ],
)
def test_another_client_on_path_is_not_used(machine, builds, name, output):
    program(machine / "bin" / name, output)
    assert ensure_binaries([name], quiet) == {name: cached(machine, name)}
    assert builds == [name]


def test_a_server_program_on_path_is_not_used(machine, builds):
    # Its version would be whatever the distribution has: Debian's etcd is years old.
    program(machine / "bin" / "etcd")
    ensure_binaries(["etcd"], quiet)
    assert builds == ["etcd"]


def test_only_what_is_missing_is_built_and_the_api_server_first(machine, builds):
    program(cached(machine, "etcd"))
    found = ensure_binaries(progress=quiet)
    assert builds == ["kube-apiserver", "kubectl", "kube-controller-manager", "helm"]
    assert found == {name: cached(machine, name) for name in PINS}


def test_what_was_built_is_executable_and_not_built_again(machine, builds):
    path = ensure_binaries(["helm"], quiet)["helm"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    builds.clear()
    assert ensure_binaries(["helm"]) == {"helm": path}
    assert builds == []


def test_a_download_spares_the_build(machine, monkeypatch):
    monkeypatch.setattr(binaries, "download", lambda pin, target, report: target.write_text("downloaded"))
    lines = []
    path = ensure_binaries(["etcd"], lines.append)["etcd"]
    assert path.read_text() == "downloaded"
    assert lines == [f"etcd {PINS['etcd'].version}: downloaded"]


def test_it_says_why_it_builds(machine, builds):
    lines = []
    ensure_binaries(["etcd"], lines.append)
    assert lines == [f"etcd {PINS['etcd'].version}: not downloaded, there is no internet"]


def test_a_failed_build_leaves_nothing_that_looks_like_a_program(machine, monkeypatch):
    def fail(pin, target, go, report):
        target.write_text("half a program")
        raise BinaryError("It does not compile.")

    monkeypatch.setattr(binaries, "build", fail)
    with pytest.raises(BinaryError, match="It does not compile"):
        ensure_binaries(["etcd"], quiet)
    assert [path.name for path in (machine / "cache" / "azure-hpc-operator").iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_removed(machine, builds):
    left = machine / "cache" / "azure-hpc-operator" / ".new-killed"
    left.mkdir(parents=True)
    ensure_binaries(["etcd"], quiet)
    assert not left.exists()


def test_a_program_that_appeared_while_waiting_is_not_built_again(machine, builds, monkeypatch):
    # As when another process builds it: missing at the first look, there once we have the lock.
    looks = iter([None, machine / "etcd"])
    monkeypatch.setattr(binaries, "_find", lambda pin: next(looks))
    assert ensure_binaries(["etcd"], quiet) == {"etcd": machine / "etcd"}
    assert builds == []


def test_an_unknown_program_is_refused(machine):
    with pytest.raises(BinaryError, match="no program kubelet here: choose among kube-apiserver"):
        ensure_binaries(["kubelet"])


def test_a_relative_cache_home_is_ignored(machine, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(machine))
    assert binaries.cache_directory() == machine / ".cache" / "azure-hpc-operator"
