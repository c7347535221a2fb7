"""az: the cloud and the account, resource groups, tags, resource providers, Resource Graph."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import NOT_FOUND

pytestmark = pytest.mark.clients


def test_the_cloud_and_the_account_are_those_of_the_emulator(az: Any, served: Any) -> None:
    account = az("account show")
    assert account["id"] == served.subscription
    assert account["tenantId"] == served.tenant
    assert account["environmentName"] == "emulated"
    assert account["state"] == "Enabled"
    assert account["user"] == {"name": served.client_id, "type": "servicePrincipal"}
    cloud = az("cloud show")
    assert cloud["endpoints"]["resourceManager"] == f"{served.url}/"
    assert az("account list-locations --query \"[?name=='westeurope'].displayName\"") == ["West Europe"]
    assert az("account get-access-token --query tokenType") == "Bearer"


def test_groups_live(az: Any) -> None:
    made = az("group create -n rg-life -l westeurope --tags team=climate stage=test")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made["tags"] == {"team": "climate", "stage": "test"}
    assert az("group show -n rg-life")["location"] == "westeurope"
    assert az("group update -n rg-life --set tags.stage=production")["tags"]["stage"] == "production"
    assert az("group list --tag team=climate --query [].name") == ["rg-life"]
    assert az("group list --tag team=ocean") == []
    assert az("group exists -n rg-life") is True
    az("group delete -n rg-life --yes --no-wait")
    az("group wait -n rg-life --deleted --interval 1")
    assert az("group exists -n rg-life") is False
    said = az.refused("group show -n rg-life", code=NOT_FOUND)
    assert "(ResourceGroupNotFound) Resource group 'rg-life' could not be found." in said


def test_tags_at_a_scope(az: Any, group: str) -> None:
    scope = az(f"group show -n {group} --query id")
    assert az(f"tag create --resource-id {scope} --tags a=1")["properties"]["tags"] == {"a": "1"}
    merged = az(f"tag update --resource-id {scope} --operation Merge --tags b=2")
    assert merged["properties"]["tags"] == {"a": "1", "b": "2"}
    assert az(f"tag list --resource-id {scope}")["properties"]["tags"] == {"a": "1", "b": "2"}
    az(f"tag delete --resource-id {scope} --yes")
    assert not az(f"group show -n {group} --query tags")
    assert isinstance(az("tag list"), list)


def test_resources_are_found_whatever_they_are(az: Any, group: str) -> None:
    az(f"network vnet create -g {group} -n vnet --address-prefixes 10.0.0.0/16 --tags stage=find-me")
    az(f"network nsg create -g {group} -n nsg")
    assert sorted(az(f"resource list -g {group} --query [].name")) == ["nsg", "vnet"]
    assert az("resource list --tag stage=find-me --query [].name") == ["vnet"]
    of_type = "--resource-type Microsoft.Network/virtualNetworks"
    assert az(f"resource list -g {group} {of_type} --query [].name") == ["vnet"]
    shown = az(f"resource show -g {group} -n vnet {of_type}")
    assert shown["properties"]["addressSpace"] == {"addressPrefixes": ["10.0.0.0/16"]}
    assert az(f"resource tag -g {group} -n vnet {of_type} --tags stage=found")["tags"] == {"stage": "found"}
    az(f"resource delete -g {group} -n vnet {of_type}")
    assert az(f"resource list -g {group} --query [].name") == ["nsg"]


def test_resource_providers(az: Any) -> None:
    assert az("provider show -n Microsoft.Compute --query registrationState") == "Registered"
    assert az("provider register -n Microsoft.NetApp --wait") is None
    named = az("provider list --query [].namespace")
    assert {"Microsoft.Network", "Microsoft.NetApp", "Microsoft.StorageCache"} <= set(named)


def test_rest_and_resource_graph(az: Any, served: Any, group: str) -> None:
    az(f"network vnet create -g {group} -n graphed --address-prefixes 10.0.0.0/16")
    groups = az(f"rest --url /subscriptions/{served.subscription}/resourceGroups?api-version=2024-03-01")
    assert group in {one["name"] for one in groups["value"]}
    question = az.file("question.json", {"query": "Resources | where name =~ 'graphed' | project name, type"})
    url = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
    found = az(f"rest --method post --url {url} --body @{question}")
    assert found["data"] == [{"name": "graphed", "type": "microsoft.network/virtualnetworks"}]
    bad = az.file("bad.json", {"query": "Resources | where"})
    said = az.refused(f"rest --method post --url {url} --body @{bad}")
    assert json.loads(said[said.index("{") : said.rindex("}") + 1])["error"]["code"] == "BadRequest"
