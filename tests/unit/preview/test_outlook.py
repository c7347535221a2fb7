"""Exit codes and JSON."""

import json

import pytest

from hpc_operator.api.plan import Plan
from hpc_operator.preview.outlook import Outlook

WINDOW = 'The maintenance window: it opens by "0 22 * * SAT" (Etc/UTC) for 8h'


def test_nothing_to_do(key, plan):
    assert Outlook(key, plan()).exit_code == 0


@pytest.mark.parametrize(
    ("action", "waits_for", "code"),
    [
        ("Create", "", 2),
        ("Roll", WINDOW, 2),
        ("Update", "The end of the freeze: set spec.policy.freeze to false", 2),
        ("Create", "The end of the dry run: set spec.policy.dryRun to false", 2),
        ("Blocked", "", 3),
        ("Delete", "APPROVAL", 3),
    ],
)
def test_one_change_among_others_decides(key, plan, action, waits_for, code):
    waits_for = waits_for.replace("APPROVAL", plan.approval("disks state"))
    decisive = plan.change(action, "disks state", waits_for=waits_for)
    assert Outlook(key, plan(plan.change("Create", "x"), decisive)).exit_code == code


def test_a_problem_is_for_somebody_to_solve(key, plan, problem):
    assert Outlook(key, plan(), (problem,)).exit_code == 3
    assert Outlook(key, None, (problem,)).exit_code == 3


def test_json_has_what_status_has(key, plan, problem):
    whole = plan(*plan.all, price_per_hour="+38.40 USD", omitted=4)
    data = json.loads(json.dumps(Outlook(key, whole, (problem,)).data()))
    assert data["environment"] == "climate"
    assert data["namespace"] == "hpc"
    assert Plan.model_validate(data["plan"]) == whole
    assert data["plan"]["changes"][5]["pricePerHour"] == "+38.40 USD"
    assert data["problems"] == [{"owner": "StorageTier/old", "reason": "MountPathTaken", "message": problem.message}]
    assert Outlook(key, None, (problem,)).data()["plan"] is None
