"""Every field of every spec says what an edit of it does, and why."""

from collections.abc import Iterator
from typing import Any

import pytest

from hpc_operator.api import KINDS
from hpc_operator.api.schema import UPDATE_KEY, Update
from hpc_operator.crds.manifest import parts


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field below a node, those of nested models and of items of lists included."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from fields(schema[key], f"{path}[]")


SPEC_FIELDS = [
    pytest.param(schema, id=place)
    for kind in KINDS
    for place, schema in fields(parts(kind)[0], kind.__name__ + ".spec")
]


def test_nested_models_are_walked() -> None:
    ids = {param.id for param in SPEC_FIELDS}
    assert {
        "HPCEnvironment.spec.location",
        "HPCEnvironment.spec.network.existing.subnets.netApp",
        "StorageTier.spec.managedLustre.maintenanceWindow.timeOfDay",
        "ComputePartition.spec.nodes.min",
    } <= ids


@pytest.mark.parametrize("schema", SPEC_FIELDS)
def test_field_has_an_update_class_and_a_reason(schema: dict[str, Any]) -> None:
    update = schema[UPDATE_KEY]
    assert update["class"] in set(Update)
    assert update["because"]


@pytest.mark.parametrize("schema", SPEC_FIELDS)
def test_reason_of_a_blocked_field_says_what_to_do_instead(schema: dict[str, Any]) -> None:
    update = schema[UPDATE_KEY]
    if update["class"] == Update.BLOCKED:
        assert ": create " in update["because"] or ": delete " in update["because"]


@pytest.mark.parametrize("update", Update)
def test_every_class_has_a_meaning(update: Update) -> None:
    assert update.meaning.endswith(".")
    assert Update(update.value) is update
