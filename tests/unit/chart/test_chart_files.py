"""The chart's files agree with each other, with crds/ and with the package; what helm makes of them: tests/cluster."""

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from hpc_operator.api import GROUP, KINDS, VERSION

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "azure-hpc-operator"
CHART_YAML = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VERSION_OF_PACKAGE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def _leaves(schema, path=()):
    """Every value that a user can set, as (path, its schema)."""
    for name, sub in schema["properties"].items():
        if "properties" in sub:
            yield from _leaves(sub, (*path, name))
        else:
            yield (*path, name), sub


def _objects(schema):
    """Every object of the schema whose properties are known."""
    if "properties" in schema:
        yield schema
        for sub in schema["properties"].values():
            yield from _objects(sub)


def _default(path):
    value = VALUES
    for name in path:
        value = value[name]
    return value


# `global` is there for parent charts, and has no default.
LEAVES = [(path, schema) for path, schema in _leaves(SCHEMA) if path != ("global",)]


class TestValues:
    def test_the_schema_is_one(self):
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    @pytest.mark.parametrize("name", ["values.yaml", "ci/minimal-values.yaml", "ci/full-values.yaml"])
    def test_the_schema_admits_our_own_files(self, name):
        jsonschema.validate(yaml.safe_load((CHART / name).read_text(encoding="utf-8")), SCHEMA)

    def test_every_value_has_a_default_and_every_default_a_schema(self):
        # No unknown key passes the schema, which the test below says, so this is the other direction.
        for path, _ in LEAVES:
            _default(path)

    def test_no_object_admits_unknown_keys(self):
        assert [known for known in _objects(SCHEMA) if known.get("additionalProperties") is not False] == []

    def test_every_value_is_described_in_a_sentence(self):
        assert [path for path, schema in LEAVES if not schema.get("description", "").endswith(".")] == []

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"azure": {}},
            {"azure": {"subscriptionId": "my-subscription"}},
            {"azure": {"subscriptionId": "", "clientID": ""}},
            {"azure": {"subscriptionId": ""}, "replicas": 0},
            {"azure": {"subscriptionId": ""}, "driftPeriod": "10 minutes"},
            {"azure": {"subscriptionId": ""}, "logging": {"level": "chatty"}},
            {"azure": {"subscriptionId": ""}, "metrics": {"port": 80}},
            {"azure": {"subscriptionId": ""}, "watchNamespaces": ["Climate"]},
            {"azure": {"subscriptionId": ""}, "watchNamespaces": "climate"},
            {"azure": {"subscriptionId": ""}, "extraEnv": [{"value": "x"}]},
        ],
    )
    def test_the_schema_refuses(self, values):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values, SCHEMA)

    def test_the_full_example_leaves_no_switch_at_its_default(self):
        full = yaml.safe_load((CHART / "ci" / "full-values.yaml").read_text(encoding="utf-8"))
        used = {path for path, _ in _leaves(SCHEMA) if _has(full, path)}
        # The one needs the Prometheus operator's CRDs, the others would leave out objects that are to be tested.
        left_out = {
            ("metrics", "serviceMonitor", "enabled"),
            ("metrics", "enabled"),
            ("crds", "enabled"),
            ("serviceAccount", "create"),
        }
        assert {path for path, _ in LEAVES} - used == left_out

    def test_the_readme_has_a_row_for_every_value(self):
        rows = [
            f"| `{'.'.join(path)}` | `{json.dumps(_default(path))}` | {schema['description']} |"
            for path, schema in LEAVES
        ]
        readme = (CHART / "README.md").read_text(encoding="utf-8").splitlines()
        assert [line for line in readme if line.startswith("| `")] == rows


def _has(values, path):
    for name in path:
        if name not in values:
            return False
        values = values[name]
    return True


class TestVersions:
    def test_the_chart_installs_this_package(self):
        assert CHART_YAML["appVersion"] == VERSION_OF_PACKAGE

    def test_the_image_that_artifact_hub_scans_is_the_default(self):
        (image,) = yaml.safe_load(CHART_YAML["annotations"]["artifacthub.io/images"])
        assert image["image"] == f"{VALUES['image']['repository']}:{CHART_YAML['appVersion']}"

    def test_the_manifests_install_the_same_image(self):
        kustomization = yaml.safe_load((ROOT / "manifests" / "kustomization.yaml").read_text(encoding="utf-8"))
        assert kustomization["images"] == [{"name": VALUES["image"]["repository"], "newTag": CHART_YAML["appVersion"]}]


class TestCustomResourceDefinitions:
    def test_the_chart_has_those_of_the_repository(self):
        source, copy = ROOT / "crds", CHART / "files" / "crds"
        assert _texts(copy) == _texts(source), "run charts/sync-crds.sh"

    def test_kustomize_takes_all_of_them(self):
        listed = yaml.safe_load((CHART / "files" / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
        assert sorted(listed) == sorted(f"crds/{path.name}" for path in (CHART / "files" / "crds").iterdir())

    def test_artifact_hub_lists_the_three_kinds(self):
        listed = yaml.safe_load(CHART_YAML["annotations"]["artifacthub.io/crds"])
        assert {(crd["kind"], crd["name"], crd["version"]) for crd in listed} == {
            (kind.__name__, f"{kind.info.plural}.{GROUP}", VERSION) for kind in KINDS
        }

    def test_the_examples_for_artifact_hub_are_what_the_models_read(self):
        examples = yaml.safe_load(CHART_YAML["annotations"]["artifacthub.io/crdsExamples"])
        kinds = {kind.__name__: kind for kind in KINDS}
        assert {example["kind"] for example in examples} == kinds.keys()
        for example in examples:
            kinds[example["kind"]].model_validate(example)

    @pytest.mark.parametrize("change", ["edited", "added", "removed"])
    def test_the_check_of_the_sync_command_sees_a_difference(self, tmp_path, change):
        (tmp_path / "crds").mkdir()
        victim = tmp_path / "crds" / "one.yaml"
        victim.write_text("kind: One\n", encoding="utf-8")
        (tmp_path / "crds" / "two.yaml").write_text("kind: Two\n", encoding="utf-8")
        (tmp_path / "charts" / "azure-hpc-operator").mkdir(parents=True)
        script = shutil.copy(ROOT / "charts" / "sync-crds.sh", tmp_path / "charts")
        subprocess.run([script], check=True)
        subprocess.run([script, "--check"], check=True)
        if change == "edited":
            victim.write_text("kind: Other\n", encoding="utf-8")
        elif change == "added":
            (tmp_path / "crds" / "new.yaml").write_text("kind: New\n", encoding="utf-8")
        else:
            victim.unlink()
        assert subprocess.run([script, "--check"], check=False, capture_output=True).returncode == 1
        subprocess.run([script], check=True)
        subprocess.run([script, "--check"], check=True)


def _texts(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
