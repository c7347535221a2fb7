"""The health check for Argo CD, run by a real Lua over the cases that lie beside it."""

from pathlib import Path

import pytest
import yaml

from hpc_operator.api import KINDS

ARGOCD = Path(__file__).parents[3] / "manifests" / "argocd"
# Argo CD reads the folder name _ as "any kind".
CHECK = ARGOCD / "resource_customizations" / "azurehpc.io" / "_"
SCRIPT = (CHECK / "health.lua").read_text(encoding="utf-8")
CASES = yaml.safe_load((CHECK / "health_test.yaml").read_text(encoding="utf-8"))["tests"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case["inputPath"]).stem)
def test_health(case):
    # Argo CD embeds gopher-lua, which speaks Lua 5.1.
    lua = pytest.importorskip("lupa.lua51", reason="needs lupa, a Lua for Python").LuaRuntime()
    lua.globals().obj = lua.table_from(_resource(case), recursive=True)
    assert dict(lua.execute(SCRIPT)) == case["healthStatus"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case["inputPath"]).stem)
def test_the_cases_are_what_the_models_read(case):
    resource = _resource(case)
    kind = {kind.__name__: kind for kind in KINDS}[resource["kind"]]
    kind.model_validate(resource)


def test_no_case_lies_unused():
    assert {case["inputPath"] for case in CASES} == {f"testdata/{path.name}" for path in (CHECK / "testdata").iterdir()}


def test_the_values_example_has_the_same_script():
    values = yaml.safe_load((ARGOCD / "values-example.yaml").read_text(encoding="utf-8"))
    customizations = yaml.safe_load(values["configs"]["cm"]["resource.customizations"])
    assert customizations == {"azurehpc.io/*": {"health.lua": SCRIPT}}


def _resource(case):
    return yaml.safe_load((CHECK / case["inputPath"]).read_text(encoding="utf-8"))
