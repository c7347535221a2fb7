"""Files as kubectl would take them, and everything that is wrong with them."""

import io
import json

import pytest

from hpc_operator.preview.manifests import Manifests

ENVIRONMENT = """
apiVersion: azurehpc.io/v1alpha1
kind: HPCEnvironment
metadata: {name: climate, namespace: hpc}
spec:
  location: westeurope
  network: {addressSpace: [10.40.0.0/20], access:}
  scheduler: {slurm: {}}
"""
TIER = """
apiVersion: azurehpc.io/v1alpha1
kind: StorageTier
metadata: {name: climate-home, namespace: hpc}
spec: {environmentRef: {name: climate}, purpose: Home, mountPath: /home, netAppFiles: {capacity: 4Ti}}
"""
PARTITION = """
apiVersion: azurehpc.io/v1alpha1
kind: ComputePartition
metadata: {name: climate-hpc, namespace: hpc}
spec: {environmentRef: {name: climate}, vmSizes: [Standard_HB120rs_v3], nodes: {max: 16}}
"""


@pytest.fixture
def read(tmp_path):
    def take(*texts, namespace="default", paths=None):
        for number, text in enumerate(texts):
            (tmp_path / f"{number}.yaml").write_text(text)
        manifests = Manifests(namespace)
        for path in paths or [str(tmp_path / f"{number}.yaml") for number in range(len(texts))]:
            manifests.read(path)
        if not manifests.errors:
            manifests.check_references()
        manifests.errors[:] = [error.replace(f"{tmp_path}/", "") for error in manifests.errors]
        return manifests

    return take


def described(manifests):
    return [
        (
            snapshot.key.tag,
            [item.metadata.name for item in snapshot.tiers],
            [item.metadata.name for item in snapshot.partitions],
            [item.metadata.name for item in snapshot.others],
        )
        for snapshot in manifests.snapshots()
    ]


WHOLE = [("hpc/climate", ["climate-home"], ["climate-hpc"], [])]


# --- Where manifests stand


def test_documents_of_one_file_and_several_files(read):
    assert described(read(f"{ENVIRONMENT}---\n{TIER}---\n\n---\n{PARTITION}")) == WHOLE
    assert described(read(PARTITION, TIER, ENVIRONMENT)) == WHOLE


def test_a_folder(read, tmp_path):
    (tmp_path / "a.yml").write_text(ENVIRONMENT)
    (tmp_path / "b.yaml").write_text(TIER)
    (tmp_path / "c.json").write_text('{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "hpc"}}')
    (tmp_path / "README.md").write_text("kind: [")
    (tmp_path / "below").mkdir()
    manifests = read(paths=[str(tmp_path)])
    assert described(manifests) == [("hpc/climate", ["climate-home"], [], [])]
    assert manifests.ignored == [f"{tmp_path}/c.json: Namespace/hpc: is of v1, and left out of the plan"]


def test_standard_input(read, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(ENVIRONMENT))
    assert described(read(paths=["-"])) == [("hpc/climate", [], [], [])]


def test_a_list_as_kubectl_prints_it(read):
    items = ["".join(f"  {line}\n" for line in text.strip().splitlines()) for text in (ENVIRONMENT, TIER, PARTITION)]
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join(f"-{item[1:]}" for item in items)
    assert described(read(text)) == WHOLE


def test_two_environments_know_of_each_other(read):
    other = ENVIRONMENT.replace("climate", "genomics")
    assert described(read(ENVIRONMENT, TIER, other)) == [
        ("hpc/climate", ["climate-home"], [], ["genomics"]),
        ("hpc/genomics", [], [], ["climate"]),
    ]


def test_the_namespace_of_what_names_none(read):
    text = f"{ENVIRONMENT}---{TIER}".replace(", namespace: hpc", "")
    assert described(read(text, namespace="lab")) == [("lab/climate", ["climate-home"], [], [])]
    assert described(read(ENVIRONMENT, namespace="lab")) == [("hpc/climate", [], [], [])]


# --- As Kubernetes reads


def test_times_and_dates_are_texts(read):
    """YAML 1.1 would make 1380 of 23:00 and a date of 2026-01-01; Kubernetes does not."""
    lustre = "{managedLustre: {capacity: 8Ti, maintenanceWindow: {timeOfDay: 23:00}}, "
    tier = TIER.replace("{environmentRef", lustre + "environmentRef").replace(", netAppFiles: {capacity: 4Ti}", "")
    manifests = read(ENVIRONMENT.replace("spec:", "spec:\n  tags: {since: 2026-01-01}"), tier)
    assert manifests.errors == []
    (snapshot,) = manifests.snapshots()
    assert snapshot.environment.spec.tags == {"since": "2026-01-01"}
    assert snapshot.tiers[0].spec.managed_lustre.maintenance_window.time_of_day == "23:00"


def test_a_field_without_a_value_is_not_there(read):
    (snapshot,) = read(ENVIRONMENT).snapshots()
    assert snapshot.environment.spec.network.access == type(snapshot.environment.spec.network.access)()


# --- What is wrong


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (TIER.replace("Home", "Attic"), "0.yaml: StorageTier/climate-home: spec.purpose: Input should be 'Home'"),
        (TIER.replace("/home", "home"), "spec.mountPath: mountPath must be an absolute path below /"),
        (PARTITION.replace("Standard_", ""), "spec.vmSizes[0]: must be the full name of a VM size"),
        (PARTITION.replace("max: 16", "max: '16'"), 'spec.nodes.max: "16" is not of the right type: write 16'),
        (PARTITION.replace("nodes:", "rollout: {maxSurge: [1]}, nodes:"), "spec.rollout.maxSurge: Input should be"),
        (PARTITION.replace("max: 16", "max: 16, maxx: 16"), "spec.nodes.maxx: there is no such field"),
        (PARTITION.replace("vmSizes", "vm_sizes"), "spec.vm_sizes: there is no such field"),
        (
            ENVIRONMENT.replace("addressSpace: [10.40.0.0/20], ", ""),
            "0.yaml: HPCEnvironment/climate: spec.network: the",
        ),
        (ENVIRONMENT.replace("climate", "Climate"), "0.yaml: HPCEnvironment/Climate: metadata.name must start with"),
        (PARTITION.replace("max: 16", "min: 17, max: 16"), "spec.nodes.min: nodes.min may not be greater than"),
        (TIER.replace("name: climate-home", "nom: x"), "0.yaml: StorageTier/?: metadata.name: Field required"),
        (TIER.replace("spec:", "specs:"), "spec: Field required"),
        (TIER.replace("v1alpha1", "v2"), "there is no StorageTier in azurehpc.io/v2: write one of"),
        (TIER.replace("StorageTier", "Storage"), "there is no Storage in azurehpc.io/v1alpha1: write one of"),
        ("just text", "0.yaml: holds something that is no Kubernetes object"),
        ("kind: [", "0.yaml: while parsing a flow node"),
        ("a: !!python/object:os.system x", "0.yaml: could not determine a constructor for the tag"),
        (ENVIRONMENT, "1.yaml: HPCEnvironment/climate: stands in"),
        (TIER.replace("climate}", "other}"), "HPCEnvironment other of namespace hpc is in none of the files"),
        (TIER.replace("namespace: hpc", "namespace: lab"), "HPCEnvironment climate of namespace lab is in none of"),
    ],
)
def test_an_error_says_where_and_what(read, document, says):
    assert [error for error in read(document, ENVIRONMENT).errors if says in error]


def test_every_error_is_told(read):
    wrong = TIER.replace("Home", "Attic").replace("/home", "home")
    assert len(read(ENVIRONMENT, wrong, PARTITION.replace("Standard_", "")).errors) == 3


def test_files_that_cannot_be_read(read, tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    errors = read(paths=[str(tmp_path / name) for name in ("none.yaml", "bytes.yaml", "empty")]).errors
    assert errors == [
        "none.yaml: No such file or directory",
        "bytes.yaml: is no text in UTF-8",
        "empty: has no file that ends in .yaml, .yml or .json",
    ]


def test_what_stands_in_json_stays_json(read):
    """Tags with numbers for names: YAML knows other keys than texts, JSON does not."""
    (snapshot,) = read(ENVIRONMENT.replace("spec:", "spec:\n  tags: {4711: a}")).snapshots()
    assert json.dumps(snapshot.environment.spec.tags) == '{"4711": "a"}'
