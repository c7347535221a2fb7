"""What may start, what waits, and how to go on."""

import shlex
from datetime import UTC, datetime

import pytest

from hpc_operator.policy import SENTENCE_LENGTH, Approvals, Gate

SATURDAY = {"schedule": "0 22 * * SAT", "duration": "8h", "timeZone": "Europe/Berlin"}
OPEN = datetime(2026, 6, 6, 21, 0, tzinfo=UTC)  # a Saturday, 23:00 in Berlin
SHUT = datetime(2026, 6, 5, 21, 0, tzinfo=UTC)
HASH = "3f9a2c41d0"
ACTIONS = ("Create", "Update", "Roll", "Replace", "Delete")
APPROVAL = (
    "Approval: run `kubectl annotate hpcenvironment climate -n hpc azurehpc.io/approve='3f9a2c41d0:volumes "
    "climate-home' --overwrite`"
)
WINDOW = 'The maintenance window: it opens by "0 22 * * SAT" (Europe/Berlin) for 8h'
FREEZE = "The end of the freeze: set spec.policy.freeze to false"
DRY_RUN = "The end of the dry run: set spec.policy.dryRun to false"


@pytest.fixture
def holds(environment_with):
    def ask(action, now=SHUT, approve=None, name="volumes climate-home", **more):
        more.setdefault("changes", {"replace": "Approval"})
        traits = {key: more.pop(key) for key in ("holds_data", "lost_data", "scaling", "begun") if key in more}
        hold = Gate(environment_with(approve, **more), HASH, now).hold(action, name, **traits)
        return hold.message if hold else ""

    return ask


# --- Approval


@pytest.mark.parametrize("action", ACTIONS)
def test_by_default_nothing_waits_but_the_replacement_of_data(holds, action):
    assert holds(action, changes={}) == ""
    assert holds(action, changes={}, holds_data=True) == (APPROVAL if action == "Replace" else "")


@pytest.mark.parametrize("action", ACTIONS)
def test_each_class_has_a_field_of_its_own(holds, action):
    assert holds(action, changes={"replace": "Automatic", action.lower(): "Approval"}) == APPROVAL
    everything_else = {item.lower(): "Approval" for item in ACTIONS if item != action} | {action.lower(): "Automatic"}
    assert holds(action, changes=everything_else) == ""


def test_data_is_deleted_by_a_field_of_its_own(holds):
    only_data = {"deleteData": "Approval"}
    assert holds("Delete", changes=only_data) == ""
    assert holds("Delete", holds_data=True, changes=only_data) == APPROVAL
    assert holds("Delete", holds_data=True, changes={"delete": "Approval"}) == ""


def test_what_holds_data_is_never_replaced_without_approval(holds):
    automatic = {"replace": "Automatic"}
    assert holds("Replace", changes=automatic) == ""
    assert holds("Replace", holds_data=True, changes=automatic) == APPROVAL


def test_data_that_vanished_is_not_made_anew_empty_without_approval(holds):
    assert holds("Create", holds_data=True) == ""
    assert holds("Create", holds_data=True, lost_data=True) == APPROVAL
    assert holds("Create", holds_data=True, lost_data=True, approve=f"{HASH}:volumes climate-home") == ""


def test_an_approval_counts_for_the_plan_and_the_change_that_it_names(holds):
    assert holds("Replace", approve=f"{HASH}:volumes climate-home") == ""
    assert holds("Replace", approve=f"{HASH}:virtualMachines scheduler") != ""
    assert holds("Replace", approve="0000000000:volumes climate-home") != ""


def test_the_command_keeps_what_was_approved_before(holds):
    """Or who approves the second of two changes before the window opens takes back the first."""
    sentence = holds("Replace", approve=f"{HASH}:disks state")
    assert "azurehpc.io/approve='3f9a2c41d0:disks state,volumes climate-home'" in sentence


def test_an_approval_of_another_plan_is_said_to_be_one(holds):
    sentence = holds("Replace", approve="0000000000:disks state,volumes climate-home")
    assert sentence == APPROVAL.replace("Approval:", "Approval: what was approved is another plan;")


def test_the_command_is_safe_to_copy_and_has_room_in_the_plan(holds):
    (command,) = holds("Replace", approve=f"{HASH}:a'; rm -rf ~ #").split("`")[1::2]
    assert shlex.split(command)[-2] == f"azurehpc.io/approve={HASH}:a'; rm -rf ~ #,volumes climate-home"
    assert len(holds("Replace", name="n" * 320, approve=f"{HASH}:{'m' * 900}")) <= SENTENCE_LENGTH


def test_annotations_are_read_with_tolerance():
    approvals = Approvals.parse(f" {HASH} : volumes  climate-home ,disks state, ")
    assert approvals == Approvals(HASH, ("volumes climate-home", "disks state"))
    assert approvals.approves(HASH, "disks state")
    for nothing in (None, "", ":", HASH, f"{HASH}:", f"{HASH}:,,"):
        assert not Approvals.parse(nothing).approves(HASH, "")
        assert not Approvals.parse(nothing).approves(HASH, "disks state")


# --- Maintenance windows


@pytest.mark.parametrize("action", ACTIONS)
def test_outside_of_the_window_only_what_is_missing_is_made(holds, action):
    policy = {"maintenanceWindows": [SATURDAY], "changes": {"replace": "Automatic"}}
    assert holds(action, SHUT, **policy) == ("" if action == "Create" else WINDOW)
    assert holds(action, OPEN, **policy) == ""


def test_one_open_window_of_several_is_enough(holds):
    never = {"schedule": "0 0 1 1 *", "duration": "1h"}
    assert holds("Update", OPEN, maintenanceWindows=[never, SATURDAY]) == ""
    assert holds("Update", SHUT, maintenanceWindows=[never, SATURDAY]) == (
        'The maintenance window: it opens by "0 0 1 1 *" (Etc/UTC) for 1h or "0 22 * * SAT" (Europe/Berlin) for 8h'
    )


def test_many_windows_have_room_in_the_plan(holds):
    long = {"schedule": "0 0 1 1 " + ",".join("0" * 60), "timeZone": "America/Argentina/ComodRivadavia"}
    sentence = holds("Update", SHUT, maintenanceWindows=[long] * 10)
    assert sentence.endswith(", and 7 more")
    assert len(sentence) <= SENTENCE_LENGTH


# --- Freeze, dry run, scaling, and the order of reasons


@pytest.mark.parametrize("action", ACTIONS)
def test_a_freeze_holds_everything_but_scaling(holds, action):
    assert holds(action, freeze=True) == FREEZE
    assert holds(action, freeze=True, scaling=True) == ""


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("traits", [{}, {"scaling": True}, {"begun": True}])
def test_a_dry_run_holds_everything(holds, action, traits):
    assert holds(action, dryRun=True, **traits) == DRY_RUN


def test_what_has_begun_is_finished(holds):
    policy = {"maintenanceWindows": [SATURDAY], "freeze": True, "changes": {"roll": "Approval"}}
    assert holds("Roll", SHUT, **policy) != ""
    assert holds("Roll", SHUT, begun=True, **policy) == ""


def test_nodes_come_and_go_with_jobs_at_any_time(holds):
    policy = {"maintenanceWindows": [SATURDAY], "changes": {"create": "Approval", "delete": "Approval"}}
    assert holds("Create", SHUT, scaling=True, **policy) == holds("Delete", SHUT, scaling=True, **policy) == ""


def test_the_order_of_reasons(holds):
    policy = {"maintenanceWindows": [SATURDAY]}
    approved = f"{HASH}:volumes climate-home"
    assert holds("Replace", approve=approved, dryRun=True, freeze=True, **policy) == DRY_RUN
    assert holds("Replace", approve=approved, freeze=True, **policy) == FREEZE
    assert holds("Replace", **policy) == APPROVAL
    assert holds("Replace", approve=approved, **policy) == WINDOW
    assert holds("Replace", now=OPEN, approve=approved, **policy) == ""


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"dryRun": True}, "DryRun"),
        ({"freeze": True}, "Freeze"),
        ({"changes": {"replace": "Approval"}}, "Approval"),
        ({"maintenanceWindows": [SATURDAY], "changes": {"replace": "Automatic"}}, "MaintenanceWindow"),
    ],
)
def test_every_reason_has_a_word(environment_with, policy, reason):
    assert Gate(environment_with(**policy), HASH, SHUT).hold("Replace", "disks state").reason == reason
