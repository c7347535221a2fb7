"""az deployment: templates at group and subscription scope, and what-if."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
SUBSCRIPTION_SCHEMA = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"


@pytest.fixture
def template(az: Any) -> Path:
    return az.file("network.json", {
        "$schema": SCHEMA, "contentVersion": "1.0.0.0",
        "parameters": {"name": {"type": "string"}, "prefix": {"type": "string", "defaultValue": "10.9.0.0/16"}},
        "resources": [{
            "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-05-01", "name": "[parameters('name')]",
            "location": "[resourceGroup().location]",
            "properties": {"addressSpace": {"addressPrefixes": ["[parameters('prefix')]"]}},
        }],
        "outputs": {"id": {
            "type": "string", "value": "[resourceId('Microsoft.Network/virtualNetworks', parameters('name'))]",
        }},
    })  # fmt: skip


def test_a_template_is_looked_at_and_deployed(az: Any, group: str, template: Path) -> None:
    with_template = f"-g {group} --template-file {template} --parameters name=vnet"
    assert az(f"deployment group validate {with_template}")["error"] is None
    [planned] = az(f"deployment group what-if {with_template} --no-pretty-print")["changes"]
    assert planned["changeType"] == "Create"
    assert "+ Microsoft.Network/virtualNetworks/vnet" in az.text(f"deployment group what-if {with_template}")
    assert az(f"network vnet list -g {group}") == []

    made = az(f"deployment group create -n one {with_template}")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made["properties"]["outputs"]["id"]["value"].endswith("/virtualNetworks/vnet")
    assert az(f"network vnet list -g {group} --query [].name") == ["vnet"]
    states = az(f"deployment operation group list -g {group} -n one --query [].properties.provisioningState")
    assert set(states) == {"Succeeded"}
    [changed] = az(f"deployment group what-if {with_template} prefix=10.8.0.0/16 --no-pretty-print")["changes"]
    assert changed["changeType"] == "Modify"
    assert changed["delta"][0]["path"] == "properties.addressSpace.addressPrefixes"
    exported = az(f"group export -n {group}")
    assert [one["type"] for one in exported["resources"]] == ["Microsoft.Network/virtualNetworks"]
    az(f"deployment group delete -g {group} -n one")
    assert az(f"deployment group list -g {group}") == []


def test_a_bad_template_is_refused_before_anything_happens(az: Any, group: str) -> None:
    bad = az.file("bad.json", {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": [
        {"type": "Microsoft.Nope/things", "apiVersion": "2024-05-01", "name": "x", "location": "westeurope"},
    ]})  # fmt: skip
    said = az.refused(f"deployment group create -g {group} -n bad --template-file {bad}")
    assert "InvalidTemplateDeployment" in said
    assert "The resource namespace 'Microsoft.Nope' is invalid." in said


def test_a_deployment_that_fails_says_which_resource(az: Any, group: str) -> None:
    bad = az.file("failing.json", {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": [{
        "type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": "2024-05-01", "name": "nowhere/nodes",
        "properties": {"addressPrefix": "10.0.0.0/24"},
    }]})  # fmt: skip
    said = az.refused(f"deployment group create -g {group} -n failing --template-file {bad}")
    assert "DeploymentFailed" in said
    assert "ParentResourceNotFound" in said
    state = az(f"deployment group show -g {group} -n failing --query properties.provisioningState")
    assert state == "Failed"


def test_a_subscription_gets_a_group(az: Any) -> None:
    template = az.file("group.json", {"$schema": SUBSCRIPTION_SCHEMA, "contentVersion": "1.0.0.0", "resources": [{
        "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2024-03-01", "name": "rg-from-template",
        "location": "westeurope", "tags": {"a": "b"},
    }]})  # fmt: skip
    made = az(f"deployment sub create -l westeurope -n groups --template-file {template}")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert az("group show -n rg-from-template")["tags"] == {"a": "b"}
    az("group delete -n rg-from-template --yes")
