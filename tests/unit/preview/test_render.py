"""What people read in a terminal or a pull request."""

import re
from pathlib import Path

import pytest

from hpc_operator.preview.render import render

EXAMPLE = Path(__file__).with_name("example.txt")


def test_every_class_of_change(key, plan, problem):
    """The file is what a reader sees: look at it when it changes."""
    text = render(key, plan(*plan.all, price_per_hour="+38.40 USD", omitted=4), [problem])
    assert text == EXAMPLE.read_text(encoding="utf-8")


def test_colors_change_no_word(key, plan, problem):
    colored = render(key, plan(*plan.all, omitted=4), [problem], color=True)
    plain = render(key, plan(*plan.all, omitted=4), [problem])
    assert "\x1b[" not in plain
    assert colored.count("\x1b[0m") > len(plan.all)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_every_word_of_the_plan_is_there(key, plan):
    text = render(key, plan(*plan.all))
    for change in plan.all:
        for word in (change.name, change.owner, change.why, change.touches, change.quota, change.waits_for):
            assert word in text
        for field in change.fields:
            assert f"{field.path}:" in text
            assert field.before in text
            assert field.after in text


def test_what_many_changes_have_in_common_is_said_once(key, plan):
    """A new tag is an update of every resource."""
    names = [f"disks {number}" for number in range(20)]
    text = render(key, plan(*(plan.change("Update", name, why="The specification says otherwise.") for name in names)))
    assert all(name in text for name in names)
    assert text.count("The specification says otherwise.") == 1


def test_where_nothing_is_to_do(key, plan):
    assert render(key, plan(summary="nothing to do")) == "HPCEnvironment hpc/climate: plan 3f9a2c41d0\nnothing to do\n"


def test_where_a_problem_keeps_the_plan_from_being_known(key, problem):
    assert render(key, None, [problem]).splitlines()[0] == "HPCEnvironment hpc/climate: cannot be planned"
    assert problem.message in render(key, None, [problem])


def test_one_command_approves_all_and_takes_nothing_back(key, plan):
    text = render(key, plan(*plan.all))
    assert "To approve all 2 that wait for approval:" in text
    assert text.splitlines()[-1] == (
        "  kubectl annotate hpcenvironment climate -n hpc "
        "azurehpc.io/approve='3f9a2c41d0:disks old,volumes climate-home,disks state' --overwrite"
    )
    alone = [change for change in plan.all if change.name != "disks state"]
    assert "To approve" not in render(key, plan(*alone))


@pytest.mark.parametrize("evil", ["two\nlines", "\x1b[2Jgone", "bell\x07"])
@pytest.mark.parametrize("place", ["why", "touches", "waits_for", "name"])
def test_what_comes_from_elsewhere_cannot_command_a_terminal(key, plan, evil, place):
    text = render(key, plan(plan.change("Update", **{"name": "x", place: evil})))
    assert evil not in text
    assert text.replace("\n", "").isprintable()
