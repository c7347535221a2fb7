"""Bodies are read as typed models: leniently where a conversion is plain, and refused where it is not."""

from __future__ import annotations

import pytest

from azure_emulator.errors import ArmError
from azure_emulator.shapes import Shapes

DISK = "Microsoft.Compute/disks"


@pytest.fixture(scope="module")
def shapes():
    return Shapes()


def test_members_get_their_casing_and_values_their_type(shapes):
    sent = {
        "Location": "westeurope",
        "tags": {"Any": 1},
        "Properties": {"DiskSizeGB": "128", "burstingEnabled": "True"},
    }
    assert shapes.conform("PUT", DISK, sent) == {
        "location": "westeurope", "tags": {"Any": "1"}, "properties": {"diskSizeGB": 128, "burstingEnabled": True},
    }  # fmt: skip


def test_null_means_nothing_in_a_put_and_removal_in_a_patch(shapes):
    sent = {"properties": {"diskSizeGB": None, "tier": "P10"}}
    assert shapes.conform("PUT", DISK, sent) == {"properties": {"tier": "P10"}}
    assert shapes.conform("PATCH", DISK, sent) == sent


def test_what_the_models_do_not_know_passes(shapes):
    assert shapes.conform("PUT", DISK, {"properties": {"fromTheFuture": [1]}}) == {"properties": {"fromTheFuture": [1]}}
    assert shapes.conform("PUT", "Contoso.Foo/bars", {"a": 1}) == {"a": 1}
    assert shapes.conform("PUT", DISK, None) is None


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({"properties": "x"}, "properties"),
        ({"zones": "1"}, "zones"),
        ({"zones": [None]}, "zones[0]"),
        ({"tags": {"a": {}}}, "tags.a"),
        ({"properties": {"diskSizeGB": 1.5}}, "properties.diskSizeGB"),
        ({"properties": {"diskSizeGB": True}}, "properties.diskSizeGB"),
        ({"properties": {"creationData": {"imageReference": []}}}, "properties.creationData.imageReference"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_its_path(shapes, body, path):
    with pytest.raises(ArmError) as caught:
        shapes.conform("PUT", DISK, body)
    assert caught.value.code == "InvalidRequestContent"
    assert f"Path '{path}'" in caught.value.message
