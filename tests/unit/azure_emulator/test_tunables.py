"""The registry of settings against the code that asks for them: every name is known, and has the default that holds."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import azure_emulator
from azure_emulator import tunables
from azure_emulator.tunables import TUNABLES

ROOT = Path(azure_emulator.__file__).parent
# Kept by the emulator for itself under names of its own; nobody sets these.
STATE = frozenset({
    "clock", "seed", "guids", "faults", "faultCount", "scenarioDone", "deletedVaults", "deletedStorageAccounts",
    "deletedWorkspaces", "marketplaceTerms", "quotaRequests", "registrations", "managementGroupSubscriptions",
    "subscriptionNames", "subscriptionTags", "tagNames", "issuers", "secret.directory", "leftRoleAssignments",
})  # fmt: skip


def asked() -> dict[str, list[tuple[Path, ast.Call]]]:
    """Every `setting(name, default)` in the code, by name; a name may be a constant of its module."""
    found: dict[str, list[tuple[Path, ast.Call]]] = {}
    for path in ROOT.rglob("*.py"):
        if "inside" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setting" and node.args:
                name = value_of(path, node.args[0])
                if isinstance(name, str):
                    found.setdefault(name, []).append((path, node))
    return found


def value_of(path: Path, node: ast.expr):
    """What an expression is: a literal, or a name that its module knows."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        pass
    relative = path.relative_to(ROOT.parent).with_suffix("")
    module = importlib.import_module(".".join(relative.parts).removesuffix(".__init__"))
    try:
        return eval(ast.unparse(node), vars(module))
    except (NameError, AttributeError, KeyError):
        return NotImplemented  # a local name


ASKED = asked()


def test_every_setting_that_is_asked_for_is_known():
    assert set(ASKED) - STATE - set(TUNABLES) == set()


def test_every_setting_that_is_known_is_asked_for():
    written = {
        node.value
        for path in ROOT.rglob("*.py")
        if path.name != "tunables.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(TUNABLES) - written == set()


@pytest.mark.parametrize("name", sorted(set(ASKED) & set(TUNABLES)))
def test_the_default_is_the_one_that_holds(name):
    for path, call in ASKED[name]:
        given = [*call.args[1:], *(keyword.value for keyword in call.keywords if keyword.arg == "default")]
        default = value_of(path, given[0]) if given else None
        if default is NotImplemented:
            continue
        known = TUNABLES[name].default
        assert default == known or (isinstance(default, frozenset | tuple) and sorted(default) == known), path


@pytest.mark.parametrize(("name", "tunable"), sorted(TUNABLES.items()))
def test_defaults_fit_their_kinds_and_texts_are_sentences(name, tunable):
    tunables.check(name, tunable.default)
    assert tunable.text.endswith(".")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [("pages", 1, "did you mean page?"), ("xyzzy", 1, "docs/emulator.md"), ("page", "1", "write a whole number"),
     ("page", True, "write a whole number"), ("throttling", 1, "write true or false"),
     ("page", 0, "a number from 1 on"), ("rightsDelaySeconds", -1, "a number from 0 on"),
     ("rightsDelaySeconds", float("inf"), "a number from 0 on"), ("rights", "yes", "write on or off"),
     ("serialisedWrites", "fail", "refused or failed"), ("armBuckets", {"reads": 5}, '{"reads": [250, 25]'),
     ("armBuckets", {"reads": [5, 0]}, '{"reads": [250, 25]'), ("capacity", [7], "`admin capacity`"),
     ("takenNames", [7], "a list of names"), ("imageStates", {"a": 1}, "Deprecated")],
)  # fmt: skip
def test_a_wrong_setting_is_refused_with_a_sentence(name, value, sentence):
    with pytest.raises(ValueError, match=r"setting|write") as caught:
        tunables.check(name, value)
    assert sentence in str(caught.value)
