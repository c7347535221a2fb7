"""The comparison of what we own with what Azure shows."""

import pytest

from hpc_operator.arm import TypeInfo
from hpc_operator.reconcile.fields import (
    FieldChange,
    differences,
    field_hashes,
    has_field,
    overlay,
    replaces,
    shrinks,
    update_body,
    without,
)

PUT = TypeInfo("a/b")
PATCH = TypeInfo("a/b", update="PATCH", create_only=("properties.secret",))


@pytest.mark.parametrize(
    ("owned", "actual"),
    [
        ({"location": "westeurope"}, {"location": "West Europe"}),
        ({"properties": {"id": "/subscriptions/A/b"}}, {"properties": {"id": "/subscriptions/a/B"}}),
        ({"properties": {"x": 1}}, {"properties": {"x": 1, "foreign": 2}}),
        (
            {"properties": {"list": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]}},
            {"properties": {"list": [{"name": "B", "v": 2, "etag": "e"}, {"name": "a", "v": 1}]}},
        ),
        (
            {"properties": {"prefixes": ("10.0.0.0/8", "10.1.0.0/16")}},
            {"properties": {"prefixes": ["10.1.0.0/16", "10.0.0.0/8"]}},
        ),
        (
            {"identity": {"userAssignedIdentities": {"/subscriptions/s/X": {}}}},
            {"identity": {"userAssignedIdentities": {"/subscriptions/S/x": {"principalId": "p"}}}},
        ),
        ({"tags": {"a": "1"}}, {"tags": {"a": "1", "by-the-cloud-administrator": "2"}}),
        ({"properties": {"list": []}}, {"properties": {}}),
        ({"properties": {"list": [{"name": "a"}]}}, {"properties": {"list": [{"name": "a"}, {"name": "by-policy"}]}}),
        (
            {"properties": {"serviceEndpoints": [{"service": "Microsoft.KeyVault"}]}},
            {"properties": {"serviceEndpoints": [{"service": "Microsoft.Storage"}, {"service": "Microsoft.KeyVault"}]}},
        ),
        ({"tags": {"taken-out": None}}, {"tags": {}}),
    ],
)
def test_equal_in_what_we_own_means_no_change(owned, actual):
    assert differences(owned, actual, PUT) == []


@pytest.mark.parametrize(
    ("owned", "actual", "path"),
    [
        ({"properties": {"x": 1}}, {"properties": {"x": 2}}, ("properties", "x")),
        ({"properties": {"x": 1}}, {}, ("properties", "x")),
        ({"properties": {"x": True}}, {"properties": {"x": 1}}, ("properties", "x")),
        (
            {"properties": {"list": [{"name": "a"}]}},
            {"properties": {"list": [{"name": "a"}, {"name": "hpc-formerly-ours"}]}},
            ("properties", "list"),
        ),
        ({"tags": {"taken-out": None}}, {"tags": {"taken-out": "1"}}, ("tags", "taken-out")),
        (
            {"properties": {"list": [{"name": "a", "v": 1}]}},
            {"properties": {"list": [{"name": "a", "v": 2}]}},
            ("properties", "list"),
        ),
        ({"tags": {"a": "1"}}, {"tags": {"a": "2"}}, ("tags", "a")),
        ({"tags": {"a": "1"}}, {"tags": None}, ("tags", "a")),
    ],
)
def test_a_difference_names_its_path(owned, actual, path):
    assert [change.path for change in differences(owned, actual, PUT)] == [path]


def test_create_only_fields_are_not_compared():
    assert differences({"properties": {"secret": "new"}}, {"properties": {"secret": "old"}}, PATCH) == []


def test_a_put_keeps_what_others_set_and_sends_no_read_only_field():
    owned = {"properties": {"rules": [{"name": "a", "p": 1}]}, "tags": {"ours": "1"}}
    actual = {
        "id": "i",
        "name": "n",
        "type": "t",
        "etag": "e",
        "tags": {"theirs": "2", "ours": "0"},
        "properties": {
            "rules": [{"name": "a", "p": 0, "note": "kept"}, {"name": "b"}, {"name": "hpc-old"}],
            "theirs": 1,
        },
    }
    body = update_body(owned, actual, differences(owned, actual, PUT), PUT)
    assert body == {
        "tags": {"theirs": "2", "ours": "1"},
        "properties": {"rules": [{"name": "a", "p": 1, "note": "kept"}, {"name": "b"}], "theirs": 1},
    }


def test_a_patch_sends_the_changes_and_all_tags():
    owned = {"properties": {"size": 2, "same": 1, "secret": "s"}, "tags": {"ours": "1"}}
    actual = {"properties": {"size": 1, "same": 1}, "tags": {"theirs": "2"}}
    body = update_body(owned, actual, differences(owned, actual, PATCH), PATCH)
    assert body == {"properties": {"size": 2}, "tags": {"ours": "1", "theirs": "2"}}


def test_overlay_replaces_lists_without_names():
    assert overlay({"x": [1, 2]}, {"x": [3]}) == {"x": [3]}


def test_overlay_takes_away_what_must_be_absent():
    assert overlay({"tags": {"old": "1", "theirs": "2"}}, {"tags": {"old": None}}) == {"tags": {"theirs": "2"}}
    assert overlay(None, {"tags": {"old": None, "new": "1"}}) == {"tags": {"new": "1"}}


GROWS = TypeInfo("a/b", update="PATCH", grow_only=("properties.size",), replace_on=("properties.owner",))


@pytest.mark.parametrize(("wanted", "smaller"), [(1, True), (2, False), (3, False)])
def test_a_size_that_may_only_grow_is_told_when_it_would_shrink(wanted, smaller):
    changes = shrinks({"properties": {"size": wanted}}, {"properties": {"size": 2}}, GROWS)
    assert bool(changes) == smaller


def test_only_what_azure_cannot_change_asks_for_a_replacement():
    owned = {"properties": {"owner": "b", "size": 2}}
    assert replaces(differences(owned, {"properties": {"owner": "a", "size": 2}}, GROWS), GROWS)
    assert not replaces(differences(owned, {"properties": {"owner": "b", "size": 1}}, GROWS), GROWS)


WRITTEN = {"tags": {"a.b": "1", "gone": None}, "properties": {"size": 4, "rules": [{"name": "x"}], "more": {}}}


@pytest.mark.parametrize(
    ("path", "after", "expected"),
    [
        (("tags", "a.b"), "1", True),
        (("tags", "a.b"), "2", False),
        (("tags", "gone"), None, False),
        (("properties", "size"), 4, True),
        (("size",), 4, False),
        (("properties", "rules"), [{"name": "x"}], True),
        (("properties", "rules"), [{"name": "y"}], False),
    ],
)
def test_a_field_is_known_by_its_path_and_what_was_written(path, after, expected):
    assert has_field(field_hashes(WRITTEN), FieldChange(path, None, after)) is expected


def test_what_must_not_be_there_has_no_hash():
    assert field_hashes({"tags": {"a": "1", "gone": None}}) == field_hashes({"tags": {"a": "1"}})
    assert field_hashes({}) != ""


def test_a_body_is_cut_at_paths_and_not_at_dots():
    assert without(WRITTEN, [("tags", "a.b"), ("properties", "size"), ("sku", "name")]) == {
        "tags": {"gone": None},
        "properties": {"rules": [{"name": "x"}], "more": {}},
    }
