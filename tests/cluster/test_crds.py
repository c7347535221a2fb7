"""The CRDs as a real API server takes and serves them: no warnings, defaults, bounds, columns, scale, explain.

The rules have a file of their own, test_crd_rules.py.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpc_operator.api import KINDS
from hpc_operator.api.common import CustomResource
from hpc_operator.crds.manifest import root_schema

from .conftest import Cluster

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
CRDS = HERE.parents[1] / "crds"
GOOD = {
    kind.__name__: yaml.safe_load((HERE / "manifests" / f"{kind.__name__.lower()}.yaml").read_text()) for kind in KINDS
}

SMALLEST: dict[str, dict[str, Any]] = {
    "HPCEnvironment": {
        "location": "westeurope",
        "network": {"addressSpace": ["10.40.0.0/20"]},
        "scheduler": {"slurm": {}},
    },
    "StorageTier": {
        "environmentRef": {"name": "climate"},
        "purpose": "Scratch",
        "mountPath": "/scratch",
        "managedLustre": {"capacity": "8Ti"},
    },
    "ComputePartition": {
        "environmentRef": {"name": "climate"},
        "vmSizes": ["Standard_HB176rs_v4"],
        "nodes": {"max": 16},
    },
}
# Objects without which the defaults of some fields would not be seen.
WITH_OPTIONAL_PARTS = {
    "HPCEnvironment": {
        **SMALLEST["HPCEnvironment"],
        "network": {"addressSpace": ["10.40.0.0/20"], "access": {"bastion": {}}},
    },
    "StorageTier": {
        **{key: value for key, value in SMALLEST["StorageTier"].items() if key != "managedLustre"},
        "netAppFiles": {"capacity": "1Ti"},
    },
}


def document(kind: type[CustomResource], spec: dict[str, Any], name: str = "smallest") -> dict[str, Any]:
    return {"apiVersion": "azurehpc.io/v1alpha1", "kind": kind.__name__, "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("how", [["apply", "--server-side", "--dry-run=server"], ["replace", "--dry-run=server"]])
def test_server_takes_the_crds_without_a_warning(crd_cluster: Cluster, how: list[str]) -> None:
    result = crd_cluster.kubectl(*how, "--warnings-as-errors", "-f", str(CRDS))
    assert result.stderr == ""


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_accepted_and_the_schema_is_structural(crd_cluster: Cluster, kind: type[CustomResource]) -> None:
    name = f"{kind.info.plural}.azurehpc.io"
    status = json.loads(crd_cluster.kubectl("get", "crd", name, "-o", "json").stdout)["status"]
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert conditions["NamesAccepted"] == conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("specs", [SMALLEST, WITH_OPTIONAL_PARTS], ids=["smallest", "with-optional-parts"])
def test_server_and_model_agree_on_defaults(
    crd_cluster: Cluster, namespace: str, kind: type[CustomResource], specs: dict[str, dict[str, Any]]
) -> None:
    written = document(kind, specs.get(kind.__name__, SMALLEST[kind.__name__]))
    answer = crd_cluster.kubectl("create", "-n", namespace, "-f", "-", "-o", "json", input=json.dumps(written))
    model = kind.model_validate(written).spec  # type: ignore[attr-defined]
    assert json.loads(answer.stdout)["spec"] == model.model_dump(by_alias=True, mode="json", exclude_none=True)
    assert "status" not in json.loads(answer.stdout)


def misfits(schema: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Yield a place, a value that breaks one bound of the schema, and a part of the server's refusal."""
    if "enum" in schema:
        value = "Nonsense" if schema["type"] == "string" else 7
        yield path, value, "supported values: " + ", ".join(f'"{item}"' for item in schema["enum"])
    if "minimum" in schema:
        yield path, schema["minimum"] - 1, f"should be greater than or equal to {schema['minimum']}"
    if "maximum" in schema:
        yield path, schema["maximum"] + 1, f"should be less than or equal to {schema['maximum']}"
    if schema.get("type") == "string" and "maxLength" in schema:
        yield path, "x" * (schema["maxLength"] + 1), f"may not be more than {schema['maxLength']} bytes"
    if "maxItems" in schema:
        yield path, ["x"] * (schema["maxItems"] + 1), f"must have at most {schema['maxItems']} items"
    if "maxProperties" in schema:
        many = {f"x{number}": "x" for number in range(schema["maxProperties"] + 1)}
        yield path, many, f"must have at most {schema['maxProperties']} items"
    for name in schema.get("required", ()):
        yield (*path, name), None, f"{'.'.join((*path, name))}: Required value"
    for name, child in schema.get("properties", {}).items():
        yield from misfits(child, (*path, name))


def schema_of_spec(kind: type[CustomResource]) -> dict[str, Any]:
    schema: dict[str, Any] = root_schema(kind)["properties"]["spec"]
    return schema


MISFITS = [
    pytest.param(kind, path, value, refusal, id=f"{kind.__name__}-{'.'.join(path)}-{refusal}")
    for kind in KINDS
    for path, value, refusal in misfits(schema_of_spec(kind), ("spec",))
]


@pytest.mark.parametrize(("kind", "path", "value", "refusal"), MISFITS)
def test_bounds(
    crd_cluster: Cluster, kind: type[CustomResource], path: tuple[str, ...], value: Any, refusal: str
) -> None:
    written = copy.deepcopy(GOOD[kind.__name__])
    node = written
    for part in path[:-1]:
        node = node.setdefault(part, {})
    if value is None:
        node.pop(path[-1], None)
    else:
        node[path[-1]] = value
    refused = crd_cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(written), check=False)
    assert refused.returncode != 0
    assert refusal in refused.stderr


@pytest.mark.parametrize("path", ["spec.nodse", "spec.nodes.maximum", "spec.rollout.drainTimeOut"])
def test_misspelt_field_is_named(crd_cluster: Cluster, path: str) -> None:
    written = copy.deepcopy(GOOD["ComputePartition"])
    node = written
    *parents, name = path.split(".")
    for part in parents:
        node = node[part]
    node[name] = "10m"
    refused = crd_cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(written), check=False)
    assert refused.returncode != 0
    assert f'unknown field "{path}"' in refused.stderr


def test_columns_of_an_environment(crd_cluster: Cluster, namespace: str) -> None:
    crd_cluster.kubectl("create", "-n", namespace, "-f", str(HERE / "manifests" / "hpcenvironment.yaml"))
    status = {
        "observedGeneration": 1,
        "step": "-",
        "summary": {"resources": "41/41", "nodes": "12/16", "jobs": 37, "costPerHour": "84.12"},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    patch = json.dumps({"status": status})
    crd_cluster.kubectl(
        "patch", "hpcenv", "climate", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch
    )
    header, row = crd_cluster.kubectl("get", "hpcenvironments", "-n", namespace).stdout.splitlines()
    assert header.split() == ["NAME", "READY", "STEP", "RESOURCES", "NODES", "JOBS", "COST/H", "AGE"]
    assert row.split()[:-1] == ["climate", "True", "-", "41/41", "12/16", "37", "84.12"]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_short_name_and_category(crd_cluster: Cluster, namespace: str, kind: type[CustomResource]) -> None:
    crd_cluster.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(GOOD[kind.__name__]))
    header = crd_cluster.kubectl("get", *kind.info.short_names, "-n", namespace).stdout.splitlines()[0]
    expected = ["NAME", *(column.name.upper() for column in kind.info.columns if column.priority == 0)]
    assert [part.strip() for part in header.split("   ") if part.strip()] == expected
    assert kind.info.singular in crd_cluster.kubectl("get", "hpc", "-n", namespace, "-o", "name").stdout


def test_scale(crd_cluster: Cluster, namespace: str) -> None:
    crd_cluster.kubectl("create", "-n", namespace, "-f", str(HERE / "manifests" / "computepartition.yaml"))
    crd_cluster.kubectl("scale", "hpcpart/climate-hpc", "-n", namespace, "--replicas=4")
    found = crd_cluster.kubectl("get", "hpcpart", "climate-hpc", "-n", namespace, "-o", "jsonpath={.spec.nodes.min}")
    assert found.stdout == "4"
    refused = crd_cluster.kubectl("scale", "hpcpart/climate-hpc", "-n", namespace, "--replicas=17", check=False)
    assert refused.returncode != 0
    assert "nodes.min may not be greater than nodes.max: raise max or lower min" in refused.stderr


@pytest.mark.parametrize("plural", ["storagetiers", "computepartitions"])
def test_select_by_environment(crd_cluster: Cluster, namespace: str, plural: str) -> None:
    (kind,) = (kind for kind in KINDS if kind.info.plural == plural)
    for name, environment in (("one", "climate"), ("two", "genomics")):
        written = document(kind, {**SMALLEST[kind.__name__], "environmentRef": {"name": environment}}, name)
        crd_cluster.kubectl("create", "-n", namespace, "-f", "-", input=json.dumps(written))
    selector = "--field-selector=spec.environmentRef.name=genomics"
    found = crd_cluster.kubectl("get", plural, "-n", namespace, selector, "-o", "name")
    assert found.stdout.split() == [f"{kind.info.singular}.azurehpc.io/two"]


def test_two_managers_own_their_conditions(crd_cluster: Cluster, namespace: str) -> None:
    crd_cluster.kubectl("create", "-n", namespace, "-f", str(HERE / "manifests" / "storagetier.yaml"))
    for manager in ("Ready", "Backup"):
        condition = {"type": manager, "status": "True", "reason": "Done", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        body = {
            "apiVersion": "azurehpc.io/v1alpha1",
            "kind": "StorageTier",
            "metadata": {"name": "climate-home"},
            "status": {"conditions": [condition]},
        }
        options = ("--server-side", "--subresource=status", f"--field-manager={manager}", "-n", namespace)
        crd_cluster.kubectl("apply", *options, "-f", "-", input=json.dumps(body))
    found = crd_cluster.kubectl(
        "get", "hpcst", "climate-home", "-n", namespace, "-o", "jsonpath={.status.conditions[*].type}"
    )
    assert found.stdout.split() == ["Ready", "Backup"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("hpcenvironments", "One HPC environment on Azure"),
        ("hpcenvironments.spec.network.addressSpace", "in CIDR notation"),
        ("storagetiers.spec.deletionPolicy", "Retain keeps the file system"),
        ("computepartitions.spec.nodes.min", "Number of nodes that are kept running"),
    ],
)
def test_explain(crd_cluster: Cluster, path: str, words: str) -> None:
    text = " ".join(crd_cluster.kubectl("explain", path).stdout.split())
    assert words in text
