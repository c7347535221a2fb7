"""Every answer of the emulator against what the installed SDK clients accept: anything else raises, even a 2xx.

The clients' own source says what they accept (tests/sdk/sdk_reading.py), so an upgrade of the SDK is noticed here.
"""

from __future__ import annotations

import pytest
from sdk_reading import find

from azure_emulator.providers import PROVIDERS

TYPES = {kind.key: kind for provider in PROVIDERS for kind in provider.types}


def answers(kind, verb):
    """Statuses that the first answer to a request may have."""
    if verb == "PUT" and kind.put is not None:
        updates_at_once = kind.put.duration(exists=True) == 0
        return {kind.put.created, kind.put.updated_at_once if updates_at_once else kind.put.updated}
    if verb == "PATCH" and kind.patch is not None:
        return {200, kind.patch.status} if kind.patch.seconds else {200}
    if verb == "DELETE" and kind.delete is not None:
        missed = kind.key == "microsoft.resources/resourcegroups" or kind.delete_missing == 404
        absent = set() if missed else {204}
        return {202 if kind.delete.seconds else kind.delete.deleted} | absent
    return set()


def cases():
    for key, kind in sorted(TYPES.items()):
        for verb in ("PUT", "PATCH", "DELETE"):
            operation = find(verb, key)
            if answers(kind, verb) and operation is not None:
                yield pytest.param(kind, verb, operation, id=f"{verb} {kind.name}")


# What no installed client writes: Azure's other clients (az, Terraform, ARM templates) do.
NOT_IN_AN_SDK = {
    "Microsoft.Authorization/policyExemptions",
    "Microsoft.Insights/components",
    "Microsoft.Insights/diagnosticSettings",
    "Microsoft.OperationsManagement/solutions",
    "Microsoft.Management/managementGroups",
}


def test_every_type_that_can_be_written_is_one_that_an_sdk_knows():
    unknown = {kind.name for key, kind in TYPES.items() if kind.put is not None and find("PUT", key) is None}
    assert unknown == NOT_IN_AN_SDK


@pytest.mark.parametrize(("kind", "verb", "operation"), list(cases()))
def test_answers_are_ones_that_the_sdk_accepts(kind, verb, operation):
    assert answers(kind, verb) <= operation.accepts


def actions():
    for key, kind in sorted(TYPES.items()):
        for name, action in kind.actions.items():
            operation = find("POST", f"{key}/{name}")
            if operation is not None:
                yield pytest.param(action, operation, id=f"{kind.name}/{name}")


@pytest.mark.parametrize(("action", "operation"), list(actions()))
def test_actions_answer_what_the_sdk_accepts(action, operation):
    assert (202 if action.seconds else action.status) in operation.accepts
    assert operation.is_long or not action.seconds
