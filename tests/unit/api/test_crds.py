"""The generator of CRDs: what it makes of a model, what lint finds, and that the committed files are in step."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Optional

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, Field

from hpc_operator import crds
from hpc_operator.api import KINDS
from hpc_operator.api.common import CustomResource, Model
from hpc_operator.api.schema import CHECKS_KEY, RULES_KEY, UPDATE_KEY, Rule, Update, matches, setting
from hpc_operator.crds import reference
from hpc_operator.crds.lint import lint
from hpc_operator.crds.manifest import custom_resource_definition
from hpc_operator.crds.structural import SchemaError, published, structural, without_defaults

ROOT = Path(__file__).parents[3]
BECAUSE = "may not change: create another"


def properties(model: type[BaseModel]) -> dict[str, Any]:
    fields: dict[str, Any] = structural(model)["properties"]
    return fields


def blocked(default: Any = ..., **more: Any) -> Any:
    return setting(default, update=Update.BLOCKED, because=BECAUSE, description="A field.", **more)


def expressions(schema: dict[str, Any]) -> list[str]:
    return [rule["rule"] for rule in schema.get(RULES_KEY, ())]


class TestStructural:
    def test_optional_field_is_left_out_and_not_null(self) -> None:
        class Example(Model):
            name: Annotated[str, Field(max_length=3)] | None = Field(None, description="A name.")

        assert structural(Example) == {
            "type": "object",
            "properties": {"name": {"description": "A name.", "type": "string", "maxLength": 3}},
        }

    def test_reference_is_inlined_and_what_stands_beside_it_wins(self) -> None:
        class Inner(Model):
            """Inner words."""

            size: int = 3

        class Example(Model):
            one: Inner = Field(description="Outer words.")
            two: Optional[Inner] = None  # noqa: UP045
            three: Inner

        assert properties(Example)["one"]["description"] == "Outer words."
        assert properties(Example)["two"] == properties(Example)["three"]
        assert properties(Example)["two"]["description"] == "Inner words."

    def test_object_default_is_spelled_out(self) -> None:
        class Innermost(Model):
            deep: int = 1

        class Inner(Model):
            size: int = 3
            depth: Innermost = Field({}, validate_default=True)  # type: ignore[assignment]

        class Example(Model):
            inner: Inner = Field({"size": 4}, validate_default=True)  # type: ignore[assignment]

        assert properties(Example)["inner"]["default"] == {"size": 4, "depth": {"deep": 1}}

    def test_words_that_kubernetes_has_not(self) -> None:
        class Example(Model):
            only: Literal["x"]
            more: int = Field(gt=0, lt=10)
            names: set[str]
            labels: dict[str, Annotated[str, Field(max_length=5)]]

        fields = properties(Example)
        assert fields["only"] == {"type": "string", "enum": ["x"]}
        assert fields["more"] == {"type": "integer", "minimum": 1, "maximum": 9}
        assert fields["names"] == {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
        assert fields["labels"] == {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5}}

    def test_integer_or_string(self) -> None:
        class Example(Model):
            surge: int | str = Field(json_schema_extra={"x-kubernetes-int-or-string": True})

        assert properties(Example)["surge"] == {"x-kubernetes-int-or-string": True}

    def test_rules_of_model_type_and_field_are_joined(self) -> None:
        class Inner(Model):
            rules: ClassVar[tuple[Rule, ...]] = (Rule("model", "x: y"),)
            name: Annotated[str, Field(max_length=3), matches("^a$", "x: y"), matches("^b$", "x: y")] = setting(
                update=Update.NOTHING, because="x", description="A name.", rules=(Rule("field", "x: y"),)
            )

        class Example(Model):
            inner: Inner = Field(json_schema_extra={RULES_KEY: [Rule("outer", "x: y").as_schema()]})

        inner = properties(Example)["inner"]
        assert expressions(inner) == ["model", "outer"]
        assert expressions(inner["properties"]["name"]) == ["self.matches(r'^a$')", "self.matches(r'^b$')", "field"]

    def test_recursion_unions_and_fixed_tuples_are_refused_with_a_place(self) -> None:
        class Tree(Model):
            child: Optional["Tree"] = None

        class Union(Model):
            value: int | str

        class Pair(Model):
            value: tuple[int, int]

        for model, place in ((Tree, "Tree.child"), (Union, "Union.value"), (Pair, "Pair.value")):
            with pytest.raises(SchemaError, match=rf"^{place}.*: .*; write |^{place}: .*write"):
                structural(model)

    def test_published_schema_has_nothing_of_ours(self) -> None:
        class Inner(Model):
            name: Annotated[str, Field(max_length=3), matches("^a$", "x: y")] = blocked()

        class Example(Model):
            inner: Inner = blocked()
            many: tuple[Inner, ...] = blocked()
            by_name: dict[str, Inner] = blocked()

        text = str(published(structural(Example)))
        assert UPDATE_KEY not in text
        assert CHECKS_KEY not in text

    def test_status_has_no_defaults(self) -> None:
        class Inner(Model):
            size: int = 3

        class Example(Model):
            inner: Inner = Field({}, validate_default=True)  # type: ignore[assignment]
            many: tuple[Inner, ...] = ()

        assert "default" not in str(without_defaults(structural(Example)))


class TestBlockedFields:
    def test_required_field(self) -> None:
        class Example(Model):
            name: str = blocked()

        assert expressions(structural(Example)) == []
        assert expressions(properties(Example)["name"]) == ["self == oldSelf"]

    def test_optional_field_may_not_come_or_go(self) -> None:
        class Example(Model):
            name: str | None = blocked(None)

        (rule,) = structural(Example)[RULES_KEY]
        assert rule == {"rule": "has(self.name) == has(oldSelf.name)", "message": BECAUSE, "fieldPath": ".name"}
        assert expressions(properties(Example)["name"]) == ["self == oldSelf"]

    def test_field_with_a_default_is_always_there(self) -> None:
        class Example(Model):
            name: str = blocked("x")

        assert expressions(structural(Example)) == []
        assert expressions(properties(Example)["name"]) == ["self == oldSelf"]

    def test_object_of_blocked_fields_leaves_the_refusal_to_them(self) -> None:
        class Inner(Model):
            name: str | None = blocked(None)

        class Example(Model):
            inner: Inner = blocked()

        inner = properties(Example)["inner"]
        assert expressions(inner) == ["has(self.name) == has(oldSelf.name)"]
        assert expressions(inner["properties"]["name"]) == ["self == oldSelf"]

    def test_object_with_other_fields_is_kept_as_a_whole(self) -> None:
        class Inner(Model):
            name: str = setting(update=Update.IN_PLACE, because="x", description="A name.")

        class Example(Model):
            inner: Inner = blocked()

        assert expressions(properties(Example)["inner"]) == ["self == oldSelf"]


STRING = {"type": "string", "maxLength": 5, "description": "A field."}


def spec(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


class TestLint:
    def test_good_schema(self) -> None:
        assert (
            lint(spec(name=STRING, count={"type": "integer", "minimum": 0, "maximum": 3, "description": "."}), "spec")
            == []
        )

    @pytest.mark.parametrize(
        ("field", "problem"),
        [
            ({"description": "."}, "has no type"),
            ({**STRING, "description": ""}, "needs a description"),
            ({"type": "string", "description": "."}, "needs maxLength"),
            ({**STRING, "format": "duration"}, "format duration is none of Kubernetes'"),
            ({**STRING, "title": "Name"}, "title may not stand in a schema here"),
            ({**STRING, "$ref": "#/x"}, "$ref may not stand in a schema here"),
            ({**STRING, "pattern": "^x$"}, "pattern may not stand in a schema here"),
            ({**STRING, UPDATE_KEY: {}}, f"{UPDATE_KEY} may not stand in a schema here"),
            ({**STRING, "default": None}, "may not default to null"),
            ({"description": ".", "x-kubernetes-int-or-string": True}, "needs maxLength, because"),
            ({"type": "integer", "maximum": 3, "description": "."}, "needs a minimum"),
            ({"type": "integer", "minimum": 3, "description": "."}, "needs a maximum"),
            ({"type": "number", "description": "."}, "may not be a number with a fraction"),
            (
                {"type": "array", "items": STRING, "x-kubernetes-list-type": "atomic", "description": "."},
                "needs maxItems",
            ),
            ({"type": "array", "items": STRING, "maxItems": 3, "description": "."}, "needs x-kubernetes-list-type"),
            ({"type": "array", "maxItems": 3, "description": "."}, "needs items"),
            (
                {
                    "type": "array",
                    "maxItems": 3,
                    "description": ".",
                    "x-kubernetes-list-type": "map",
                    "items": spec(a=STRING),
                },
                "needs x-kubernetes-list-map-keys",
            ),
            (
                {
                    "type": "array",
                    "maxItems": 3,
                    "description": ".",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["a"],
                    "items": spec(a=STRING),
                },
                "the list map key a must be required or have a default",
            ),
            ({"type": "object", "description": "."}, "needs either properties or a schema"),
            ({"type": "object", "description": ".", "additionalProperties": STRING}, "needs maxProperties"),
            ({**STRING, RULES_KEY: [{"rule": "x", "message": "is bad"}]}, "must say what to write instead"),
            ({**STRING, RULES_KEY: [{"rule": "x", "message": "bad:\n write"}]}, "must be one line"),
            ({**STRING, RULES_KEY: [{"rule": "x", "message": "a: b", "fieldPath": ".x"}]}, "names the field x"),
            (
                {**STRING, RULES_KEY: [{"rule": "self == oldSelf", "message": "a: b"}]},
                "could be left out and come back",
            ),
        ],
    )
    def test_bad_field(self, field: dict[str, Any], problem: str) -> None:
        (found,) = [text for text in lint(spec(name=field), "spec") if problem in text]
        assert found.startswith("spec.name: ")

    @pytest.mark.parametrize("name", ["snake_case", "Upper", "namespace", "in"])
    def test_bad_name(self, name: str) -> None:
        assert lint(spec(**{name: STRING}), "spec") == [
            f"spec.{name}: must have a name in camelCase that is no word of CEL"
        ]

    def test_places_below_lists_and_maps(self) -> None:
        bad = {"type": "string", "description": "."}
        items = {"type": "array", "maxItems": 1, "x-kubernetes-list-type": "atomic", "description": ".", "items": bad}
        values = {"type": "object", "maxProperties": 1, "description": ".", "additionalProperties": bad}
        found = lint(spec(items=items, values=values), "spec")
        assert found == ["spec.items[]: needs maxLength", "spec.values{}: needs maxLength"]


class TestFiles:
    def test_committed_crds_are_in_step(self) -> None:
        assert crds.check(ROOT / "crds") == [], "run `hpc-operator crds`"

    def test_committed_reference_is_in_step(self) -> None:
        assert reference.check(ROOT / "docs" / "reference") == [], "run `hpc-operator crds`"

    @pytest.mark.parametrize("module", [crds, reference])
    def test_write_then_check(self, module: Any, tmp_path: Path) -> None:
        directory = tmp_path / "new"
        module.write(directory)
        assert module.check(directory) == []
        first, *_ = sorted(module.render())
        header = (directory / first).read_text().splitlines()[0]
        (directory / first).write_text("edited")
        (directory / "stale").write_text(header + "\nof a kind that is no more\n")
        (directory / "notes").write_text("written by hand")
        assert module.check(directory) == sorted([first, "stale"])
        module.write(directory)
        assert module.check(directory) == []
        assert not (directory / "stale").exists()
        assert (directory / "notes").exists()

    def test_rendering_is_stable(self) -> None:
        assert crds.render() == crds.render()

    def test_reference_has_every_field(self) -> None:
        pages = reference.render()
        for kind in KINDS:
            page = pages[f"{kind.info.singular}.md"]
            for name in kind.model_fields["spec"].annotation.model_fields:  # type: ignore[union-attr]
                alias = kind.model_fields["spec"].annotation.model_fields[name].alias or name  # type: ignore[union-attr]
                assert f"### `spec.{alias}`\n" in page


@pytest.mark.parametrize("kind", KINDS)
class TestKinds:
    def test_yaml_is_the_manifest(self, kind: type[CustomResource]) -> None:
        text = crds.render()[f"azurehpc.io_{kind.info.plural}.yaml"]
        assert yaml.safe_load(text) == custom_resource_definition(kind)

    def test_names_and_subresources(self, kind: type[CustomResource]) -> None:
        manifest = custom_resource_definition(kind)
        (version,) = manifest["spec"]["versions"]
        assert manifest["spec"]["scope"] == "Namespaced"
        assert manifest["spec"]["names"]["categories"] == ["hpc"]
        assert version["subresources"]["status"] == {}
        assert version["schema"]["openAPIV3Schema"]["required"] == ["spec"]

    def test_manifest_of_the_cluster_tests_fits_schema_and_model(self, kind: type[CustomResource]) -> None:
        path = ROOT / "tests" / "cluster" / "manifests" / f"{kind.__name__.lower()}.yaml"
        document = yaml.safe_load(path.read_text())
        (version,) = custom_resource_definition(kind)["spec"]["versions"]
        jsonschema.validate(document, version["schema"]["openAPIV3Schema"])
        dumped = kind.model_validate(document).model_dump(by_alias=True, mode="json", exclude_none=True)
        jsonschema.validate(dumped["spec"], version["schema"]["openAPIV3Schema"]["properties"]["spec"])
