"""Conditions of role assignments, and patterns of actions: pure functions on text."""

from __future__ import annotations

import pytest

from azure_emulator.rights import conditions, roles
from azure_emulator.rights.conditions import ConditionError, Facts
from azure_emulator.rights.roles import Permission

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
CONTRIBUTOR, READER = "b24988ac-6180-42a0-ab88-20f7382dd24c", "acdd72a7-3385-48ef-bd42-f606fba81ae7"
# As the portal's template "Constrain roles and principal types" writes it.
CONSTRAINED = f"""
(
 (
  !(ActionMatches{{'{ASSIGNMENT}/write'}})
 )
 OR
 (
  @Request[{ASSIGNMENT}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{CONTRIBUTOR}, {READER}}}
  AND
  @Request[{ASSIGNMENT}:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {{'ServicePrincipal'}}
 )
)
"""


def facts(action: str = "write", **attributes: str) -> Facts:
    named = {f"{ASSIGNMENT}:{name}".lower(): value for name, value in attributes.items()}
    return Facts(f"{ASSIGNMENT}/{action}", {"request": named})


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        (facts(RoleDefinitionId=READER, PrincipalType="serviceprincipal"), True),
        (facts(RoleDefinitionId=READER.upper(), PrincipalType="ServicePrincipal"), True),
        (facts(RoleDefinitionId=READER, PrincipalType="User"), False),
        (facts(RoleDefinitionId="18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", PrincipalType="ServicePrincipal"), False),
        (facts(), False),
        (facts("delete"), True),
    ],
)
def test_a_condition_of_the_portal(asked, holds):
    assert conditions.parse(CONSTRAINED)(asked) is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("@Request[a:name] StringEquals 'Blue'", True),
        ("@Request[a:name] StringEquals 'blue'", False),
        ("@Request[A:Name] StringEqualsIgnoreCase 'blue'", True),
        ("@Request[a:name] StringNotEquals 'red' && NOT @Request[a:name] StringLike 'R*'", True),
        ("@Request[a:name] ForAnyOfAllValues:StringNotEquals {'Blue', 'red'}", False),
        ("@Request[a:name] ForAnyOfAnyValues:StringNotEquals {'Blue', 'red'}", True),
        ("@Request[a:name] StringStartsWith 'Bl' OR @Request[a:nothing] StringEquals 'x'", True),
        ("@Request[a:nothing] StringNotEquals 'x'", False),
        ("Exists @Request[a:name] AND NotExists @Resource[a:name]", True),
        ("@Request[a:size] NumericLessThan 5", False),
        ("@Request[a:name] StringEquals @Request[a:name]", True),
        ("SubOperationMatches{'Blob.List'}", False),
        ("Exists @Request[a:name] || Exists @Request[a:x] && Exists @Request[a:y]", True),
    ],
)  # fmt: skip
def test_operators(text, holds):
    assert conditions.parse(text)(Facts("x", {"request": {"a:name": "Blue", "a:size": "4"}})) is holds


@pytest.mark.parametrize(
    "text",
    ["", "(", "maybe", "@Request[a:b] Resembles 'x'", "@Request[a:b] StringEquals", "@Request[a:b] StringEquals {'x'",
     "@Request[a:b] StringEquals 'x' 'y'", "ActionMatches{}", "§", "(" * 50 + ")" * 50,
     "@Request[a:b] ForFewOfAnyValues:StringEquals 'x'"],
)  # fmt: skip
def test_what_is_no_condition(text):
    with pytest.raises(ConditionError):
        conditions.parse(text)


def test_built_in_roles_have_conditions_that_can_be_read():
    read = [
        conditions.parse(permission.condition)
        for role in roles.built_in().values()
        for permission in role.permissions
        if permission.condition
    ]
    assert read


@pytest.mark.parametrize(
    ("pattern", "action", "covers"),
    [
        ("*", "Microsoft.Compute/virtualMachines/write", True),
        ("*/read", "Microsoft.Compute/virtualMachines/read", True),
        ("*/read", "Microsoft.Compute/virtualMachines/write", False),
        ("microsoft.compute/virtualmachines/*", "Microsoft.Compute/virtualMachines/start/action", True),
        ("Microsoft.Compute/virtualMachines/*", "Microsoft.Compute/virtualMachineScaleSets/write", False),
        ("Microsoft.Authorization/*/write", "Microsoft.Authorization/roleAssignments/write", True),
        ("Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
         "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", True),
        ("Microsoft.Net.ork/*", "Microsoft.Network/virtualNetworks/read", False),
    ],
)  # fmt: skip
def test_patterns_of_actions(pattern, action, covers):
    assert Permission(actions=(pattern,)).covers(action) is covers


def test_what_is_not_allowed_is_taken_away_within_one_permission():
    contributor = roles.built_in()[CONTRIBUTOR].permissions[0]
    assert contributor.covers("Microsoft.Compute/virtualMachines/write")
    assert not contributor.covers("Microsoft.Authorization/roleAssignments/write")
    assert not contributor.covers("Microsoft.KeyVault/vaults/secrets/getSecret/action", data=True)
