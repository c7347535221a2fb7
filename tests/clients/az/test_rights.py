"""az identity, role, lock, policy, ad: who may do what, and what nobody may."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import NOT_FOUND

pytestmark = pytest.mark.clients


def test_identities_and_their_roles(az: Any, group: str) -> None:
    identity = az(f"identity create -g {group} -n operator")
    assert len(identity["principalId"]) == len(identity["clientId"]) == 36
    credential = az(
        f"identity federated-credential create -g {group} --identity-name operator -n k8s --issuer "
        "https://oidc.example.org --subject system:serviceaccount:hpc:operator --audiences api://AzureADTokenExchange"
    )
    assert credential["subject"] == "system:serviceaccount:hpc:operator"
    listed = f"identity federated-credential list -g {group} --identity-name operator --query [].name"
    assert az(listed) == ["k8s"]

    scope = az(f"group show -n {group} --query id")
    principal = identity["principalId"]
    made = az(
        f"role assignment create --assignee-object-id {principal} --assignee-principal-type ServicePrincipal "
        f"--role Contributor --scope {scope}"
    )
    assert (made["principalId"], made["scope"]) == (principal, scope)
    found = az(f"role assignment list -g {group}")
    assert [(one["roleDefinitionName"], one["principalType"]) for one in found] == [("Contributor", "ServicePrincipal")]
    assert az(f"role assignment list --assignee {principal} --all --query length(@)") == 1
    az(f"role assignment delete --assignee {principal} --role Contributor --scope {scope}")
    assert az(f"role assignment list -g {group}") == []
    az(f"identity delete -g {group} -n operator")
    assert az(f"identity list -g {group}") == []


def test_roles(az: Any, served: Any) -> None:
    reader = az("role definition list --name Reader")[0]
    assert (reader["roleName"], reader["roleType"], reader["permissions"][0]["actions"]) == (
        "Reader", "BuiltInRole", ["*/read"],
    )  # fmt: skip
    role = az.file("role.json", {
        "Name": "Node starter", "Description": "Starts nodes.", "Actions": ["Microsoft.Compute/virtualMachines/*"],
        "AssignableScopes": [f"/subscriptions/{served.subscription}"],
    })  # fmt: skip
    assert az(f"role definition create --role-definition @{role}")["roleType"] == "CustomRole"
    assert az("role definition list --custom-role-only true --query [].roleName") == ["Node starter"]
    az("role definition delete --name 'Node starter'")
    assert az("role definition list --custom-role-only true") == []


def test_locks_hold(az: Any, group: str) -> None:
    az(f"network public-ip create -g {group} -n ip --sku Standard")
    assert az(f"lock create -n keep --lock-type CanNotDelete -g {group} --notes why")["level"] == "CanNotDelete"
    assert az(f"lock list -g {group} --query [].name") == ["keep"]
    assert az(f"lock show -n keep -g {group}")["notes"] == "why"
    for blocked in (f"group delete -n {group} --yes", f"network public-ip delete -g {group} -n ip"):
        said = az.refused(blocked)
        assert "(ScopeLocked)" in said
        assert "Please remove the lock and try again." in said
    az(f"lock delete -n keep -g {group}")
    of = f"-g {group} --resource ip --resource-type Microsoft.Network/publicIPAddresses"
    az(f"lock create -n still --lock-type ReadOnly {of}")
    assert "cannot perform write operation" in az.refused(f"network public-ip update -g {group} -n ip --set tags.a=b")
    az(f"lock delete -n still {of}")
    az(f"network public-ip delete -g {group} -n ip")


def test_policies_deny(az: Any, group: str) -> None:
    rule = az.file("rule.json", {
        "if": {"field": "location", "notEquals": "westeurope"}, "then": {"effect": "deny"},
    })  # fmt: skip
    az(f"policy definition create -n only-here --rules {rule} --mode All")
    scope = az(f"group show -n {group} --query id")
    made = az(f"policy assignment create -n only-here --policy only-here --scope {scope}")
    assert made["enforcementMode"] == "Default"
    assert az(f"policy assignment list -g {group} --query [].name") == ["only-here"]
    said = az.refused(f"network public-ip create -g {group} -n far --location northeurope --sku Standard")
    assert "(RequestDisallowedByPolicy) Resource 'far' was disallowed by policy." in said
    az(f"policy assignment delete -n only-here -g {group}")
    az("policy definition delete -n only-here")
    az(f"network public-ip create -g {group} -n far --location northeurope --sku Standard")


def test_applications_and_service_principals(az: Any, group: str) -> None:
    scope = az(f"group show -n {group} --query id")
    made = az(f"ad sp create-for-rbac -n hpc-ci --role Reader --scopes {scope}")
    assert sorted(made) == ["appId", "displayName", "password", "tenant"]
    assert az(f"ad sp show --id {made['appId']} --query displayName") == "hpc-ci"
    found = az(f"role assignment list --assignee {made['appId']} --scope {scope}")
    assert [(one["roleDefinitionName"], one["principalName"]) for one in found] == [("Reader", made["appId"])]
    az(f"ad app delete --id {made['appId']}")
    assert "does not exist" in az.refused(f"ad sp show --id {made['appId']}", code=NOT_FOUND)
