"""What is asked of ARM itself, whatever the type: lists with filters, tags, providers, exports, moves."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resource.subscriptions import SubscriptionClient

from azure_emulator import SUBSCRIPTION

from .conftest import SCOPE, PlainHttp, StaticCredential

LOCATION = {"location": "westeurope"}
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
MADE = f"/subscriptions/{SUBSCRIPTION}"


def identity(name, group="rg"):
    return f"{group}/{IDENTITY}/{name}"


def id_of(name, group="rg"):
    return f"{MADE}/resourceGroups/{group}/providers/{IDENTITY}/{name}"


@pytest.fixture
async def listed(http):
    """Names of the resources that a filter finds."""
    for name, tags in (("one", {"team": "climate"}), ("two", {"team": "Genomics"}), ("three", {})):
        await http.put(identity(name), {**LOCATION, "tags": tags})
    await http.put("rg/Microsoft.Network/networkSecurityGroups/one-nsg", {"location": "northeurope"})

    async def names(text, **query):
        path = f"{http.subscription}/resources"
        status, document, _ = await http.call("GET", path, query={"$filter": text, **query})
        assert status == 200, document
        return [found["name"] for found in document["value"]]

    return names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"resourceType eq '{IDENTITY}'", ["one", "two", "three"]),
        (f"resourceType eq '{IDENTITY.upper()}' and name eq 'ONE'", ["one"]),
        (f"resourceType ne '{IDENTITY}'", ["one-nsg"]),
        ("location eq 'northeurope' or name eq 'two'", ["two", "one-nsg"]),
        ("substringof('one', name)", ["one", "one-nsg"]),
        ("startswith(name, 't')", ["two", "three"]),
        ("not (startswith(name,'t') or name eq 'one')", ["one-nsg"]),
        ("resourceGroup eq 'elsewhere'", []),
        ("tagName eq 'TEAM'", ["one", "two"]),
        ("tagname eq 'team' and tagvalue eq 'climate'", ["one"]),
        ("tagName eq 'team' and tagValue eq 'genomics'", []),
        ("startswith(tagName, 'te')", ["one", "two"]),
        ("tagName eq 'team' and substringof('enom', tagValue)", ["two"]),
    ],
)
async def test_resources_are_filtered(listed, text, names):
    assert sorted(await listed(text)) == sorted(names)


@pytest.mark.parametrize(
    "text", ["name", "name eq", "colour eq 'red'", "name like 'a'", "name eq 'a' and", "(" * 40, "name eq 'a", "eq(1)"]
)
async def test_a_filter_that_cannot_be_read_is_refused(http, text):
    for path in (f"{http.subscription}/resources", "rg/resources", f"{http.subscription}/resourceGroups"):
        status, document, _ = await http.call("GET", path, query={"$filter": text})
        assert (status, document["error"]["code"]) == (400, "InvalidFilterInQueryString")
        assert document["error"]["message"] == f"Invalid $filter '{text}' specified in the query string."


async def test_pages_of_resources(http, listed):
    status, page, _ = await http.call("GET", "rg/resources", query={"$top": "3"})
    assert (status, len(page["value"])) == (200, 3)
    _, rest, _ = await http.call("GET", page["nextLink"])
    assert len(rest["value"]) == 1
    assert "nextLink" not in rest
    for query in ({"$top": "many"}, {"$skiptoken": "-1"}):
        assert (await http.call("GET", "rg/resources", query=query))[0] == 400
        assert (await http.call("GET", f"rg/{IDENTITY}", query=query))[0] == 400
    _, page, _ = await http.call("GET", "rg/resources", query={"$filter": "tagName eq 'team'"})
    assert all("tags" not in found for found in page["value"])


async def test_expanding_resources(http):
    await http.put(identity("one"), LOCATION)
    _, page, _ = await http.call("GET", "rg/resources", query={"$expand": "createdTime,changedTime,provisioningState"})
    (found,) = page["value"]
    assert (found["provisioningState"], found["location"]) == ("Succeeded", "westeurope")
    assert found["createdTime"].endswith("Z")
    assert found["changedTime"] >= found["createdTime"]


async def test_groups_are_filtered_and_counted(http):
    await http.put("tagged", {**LOCATION, "tags": {"a": "b"}})
    groups = f"{http.subscription}/resourceGroups"
    _, page, _ = await http.call("GET", groups, query={"$filter": "tagName eq 'a' and tagValue eq 'b'"})
    assert [group["name"] for group in page["value"]] == ["tagged"]
    _, page, _ = await http.call("GET", groups, query={"$top": "1"})
    assert [group["name"] for group in page["value"]] == ["rg"]


# -- generic resources -----------------------------------------------------------------------------------------------


def test_resources_by_id(sdk, group):
    resources, version = sdk.resources.resources, {"api_version": "2024-11-30"}
    path = id_of("id", group)
    assert not resources.check_existence_by_id(path, **version)
    made = resources.begin_create_or_update_by_id(path, {**LOCATION, "tags": {"a": "b"}}, **version).result()
    assert (made.type, made.tags) == (IDENTITY, {"a": "b"})
    assert resources.check_existence_by_id(path, **version)
    changed = resources.begin_update_by_id(path, {"tags": {"c": "d"}}, **version).result()
    assert changed.tags == {"c": "d"}
    assert resources.get_by_id(path, **version).properties["principalId"]
    by_parts = ("Microsoft.ManagedIdentity", "", "userAssignedIdentities", "id")
    assert resources.get(group, *by_parts, **version).name == "id"
    resources.begin_delete_by_id(path, **version).result()
    assert not resources.check_existence(group, *by_parts, **version)


# -- tags ------------------------------------------------------------------------------------------------------------


def test_tags_at_any_scope(sdk, group):
    tags = sdk.resources.tags
    path = id_of("id", group)
    sdk.identity.user_assigned_identities.create_or_update(group, "id", {**LOCATION, "tags": {"a": "1"}})
    assert tags.get_at_scope(path).properties.tags == {"a": "1"}

    def change(operation, values):
        patch = {"operation": operation, "properties": {"tags": values}}
        return tags.begin_update_at_scope(path, patch).result().properties.tags

    assert change("Merge", {"A": "2", "b": "3"}) == {"a": "2", "b": "3"}
    assert change("Delete", {"b": "other", "a": "2"}) == {"b": "3"}
    assert change("Replace", {"c": "4"}) == {"c": "4"}
    assert sdk.identity.user_assigned_identities.get(group, "id").tags == {"c": "4"}
    tags.begin_delete_at_scope(path).result()
    assert sdk.identity.user_assigned_identities.get(group, "id").tags == {}
    whole = f"{MADE}/resourceGroups/{group}"
    tags.begin_create_or_update_at_scope(whole, {"properties": {"tags": {"owner": "us"}}}).result()
    assert sdk.resources.resource_groups.get(group).tags == {"owner": "us"}
    tags.begin_create_or_update_at_scope(MADE, {"properties": {"tags": {"owner": "all"}}}).result()
    assert tags.get_at_scope(MADE).properties.tags == {"owner": "all"}


async def test_tags_that_are_refused(http):
    await http.put(identity("id"), LOCATION)
    path = f"{id_of('id')}/providers/Microsoft.Resources/tags/default"
    many = {"properties": {"tags": {str(number): "" for number in range(51)}}}
    assert await http.code("PUT", path, many) == (400, "InvalidTags")
    assert await http.code("PUT", path, {}) == (400, "InvalidRequestContent")
    assert await http.code("PATCH", path, {"operation": "Add", "properties": {"tags": {}}}) == (
        400, "InvalidRequestContent",
    )  # fmt: skip
    missing = f"{id_of('none')}/providers/Microsoft.Resources/tags/default"
    assert await http.code("GET", missing) == (404, "ResourceNotFound")


async def test_tag_names_of_a_subscription(http):
    await http.put(identity("id"), {**LOCATION, "tags": {"team": "climate"}})
    names = f"{http.subscription}/tagNames"
    assert (await http.call("PUT", f"{names}/cost"))[0] == 201
    assert (await http.call("PUT", f"{names}/cost"))[0] == 200
    assert (await http.call("PUT", f"{names}/cost/tagValues/4711"))[0] == 201
    _, document, _ = await http.call("GET", names)
    shown = {one["tagName"]: (one["count"]["value"], [each["tagValue"] for each in one["values"]])
             for one in document["value"]}  # fmt: skip
    assert shown == {"cost": (0, ["4711"]), "team": (1, ["climate"])}
    assert (await http.code("DELETE", f"{names}/team"))[0] == 409
    assert (await http.call("DELETE", f"{names}/cost/tagValues/4711"))[0] == 200
    assert (await http.call("DELETE", f"{names}/cost"))[0] == 200
    assert (await http.call("DELETE", f"{names}/cost"))[0] == 204
    assert (await http.call("PUT", names))[0] == 405


# -- providers and subscriptions -------------------------------------------------------------------------------------


async def test_registration_takes_its_time(http):
    base = f"{http.subscription}/providers/Microsoft.StorageCache"
    _, document, _ = await http.call("POST", f"{base}/unregister")
    assert document["registrationState"] == "Unregistering"
    http.advance(60)
    assert (await http.call("GET", base))[1]["registrationState"] == "NotRegistered"
    await http.call("POST", f"{base}/register")
    assert (await http.call("GET", base))[1]["registrationState"] == "Registering"
    http.advance(60)
    assert (await http.call("GET", base))[1]["registrationState"] == "Registered"
    assert await http.code("POST", f"{http.subscription}/providers/Microsoft.Nothing/register") == (
        404, "InvalidResourceNamespace",
    )  # fmt: skip


def test_providers_say_where_their_types_are_and_of_which_versions(sdk):
    providers = {one.namespace: one for one in sdk.resources.providers.list()}
    assert {"Microsoft.Network", "Microsoft.ContainerService"} <= set(providers)
    types = {one.resource_type: one for one in sdk.resources.providers.get("Microsoft.Compute").resource_types}
    machines = types["virtualMachines"]
    assert "West Europe" in machines.locations
    assert "2024-07-01" in machines.api_versions
    assert machines.api_versions == sorted(machines.api_versions, reverse=True)
    zones = {one.location: one.zones for one in machines.zone_mappings}
    assert zones["West Europe"] == ["1", "2", "3"]
    assert "North Central US" not in zones
    zone = next(one for one in sdk.resources.providers.get("Microsoft.Network").resource_types
                if one.resource_type == "privateDnsZones")  # fmt: skip
    assert zone.locations == ["global"]


def test_subscriptions(sdk):
    credential = StaticCredential()
    client = SubscriptionClient(
        credential, base_url=sdk.url, credential_scopes=[SCOPE], authentication_policy=PlainHttp(credential, SCOPE)
    )
    assert [one.subscription_id for one in client.subscriptions.list()] == [SUBSCRIPTION]
    assert client.subscriptions.get(SUBSCRIPTION).state == "Enabled"
    regions = {one.name: one for one in client.subscriptions.list_locations(SUBSCRIPTION)}
    assert regions["westeurope"].display_name == "West Europe"
    assert [one.logical_zone for one in regions["westeurope"].availability_zone_mappings] == ["1", "2", "3"]
    assert len(list(client.tenants.list())) == 1
    peers = client.subscriptions.check_zone_peers(
        SUBSCRIPTION, {"location": "westeurope", "subscriptionIds": [f"subscriptions/{SUBSCRIPTION}"]}
    )
    assert [one.availability_zone for one in peers.availability_zone_peers] == ["1", "2", "3"]
    check = {"type": "Microsoft.Storage/storageAccounts"}
    assert client.check_resource_name({**check, "name": "climate"}).status == "Allowed"
    assert client.check_resource_name({**check, "name": "myWindowsHost"}).status == "Reserved"


async def test_a_subscription_is_renamed(http):
    path = f"{http.subscription}/providers/Microsoft.Subscription/rename"
    assert (await http.call("POST", path, {"subscriptionName": "HPC"}))[0] == 200
    assert (await http.call("GET", http.subscription))[1]["displayName"] == "HPC"


# -- exports and moves -----------------------------------------------------------------------------------------------


def test_a_group_as_a_template(sdk, group):
    sdk.network.network_security_groups.begin_create_or_update(group, "nsg", LOCATION).result()
    nsg = f"{MADE}/resourceGroups/{group}/providers/Microsoft.Network/networkSecurityGroups/nsg"
    subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": nsg}}}]
    sdk.network.virtual_networks.begin_create_or_update(
        group, "vnet", {**LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                                                   "subnets": subnets}}
    ).result()  # fmt: skip
    export = sdk.resources.resource_groups.begin_export_template
    template = export(group, {"resources": ["*"], "options": "IncludeParameterDefaultValue"}).result().template
    by_type = {one["type"]: one for one in template["resources"]}
    assert template["parameters"]["virtualNetworks_vnet_name"] == {"defaultValue": "vnet", "type": "String"}
    vnet = by_type["Microsoft.Network/virtualNetworks"]
    assert (vnet["name"], vnet["location"]) == ("[parameters('virtualNetworks_vnet_name')]", "westeurope")
    assert vnet["apiVersion"] >= "2024"
    subnet = by_type["Microsoft.Network/virtualNetworks/subnets"]
    assert subnet["name"] == "[concat(parameters('virtualNetworks_vnet_name'), '/nodes')]"
    names_nsg = "[resourceId('Microsoft.Network/networkSecurityGroups', parameters('networkSecurityGroups_nsg_name'))]"
    assert subnet["properties"]["networkSecurityGroup"]["id"] == names_nsg
    assert set(subnet["dependsOn"]) == {
        names_nsg, "[resourceId('Microsoft.Network/virtualNetworks', parameters('virtualNetworks_vnet_name'))]",
    }  # fmt: skip
    plain = export(group, {"resources": [nsg], "options": "SkipAllParameterization"}).result().template
    assert [(one["name"], one["type"].rsplit("/", 1)[-1]) for one in plain["resources"]] == [
        ("nsg", "networkSecurityGroups")
    ]
    with pytest.raises(HttpResponseError):
        export(group, {"resources": [f"{nsg}-other"]})


async def test_an_exported_template_creates_the_same_elsewhere(http):
    await http.put("other", LOCATION)
    await http.done("rg/Microsoft.Network/networkSecurityGroups/nsg", LOCATION)
    nsg = f"{MADE}/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg"
    subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": nsg}}}]
    network = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    await http.done("rg/Microsoft.Network/virtualNetworks/vnet", {**LOCATION, "properties": network})
    _, _, headers = await http.call("POST", "rg/exportTemplate", {"resources": ["*"]})
    assert (await http.call("GET", headers["Location"]))[0] == 202
    http.advance(60)
    _, export, _ = await http.call("GET", headers["Location"])
    deployment = {"properties": {"mode": "Incremental", "template": export["template"]}}
    await http.put("other/Microsoft.Resources/deployments/again", deployment)
    for _ in range(20):
        http.advance(30)
        await http.call("GET", "other")
    _, subnet, _ = await http.call("GET", "other/Microsoft.Network/virtualNetworks/vnet/subnets/nodes")
    assert subnet["properties"]["networkSecurityGroup"]["id"] == nsg.replace("/rg/", "/other/")


async def test_moving_resources_takes_references_along(http):
    await http.put("target", LOCATION)
    await http.done("rg/Microsoft.Network/networkSecurityGroups/nsg", LOCATION)
    nsg = f"{MADE}/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg"
    subnets = [{"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24", "networkSecurityGroup": {"id": nsg}}}]
    network = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    await http.done("rg/Microsoft.Network/virtualNetworks/vnet", {**LOCATION, "properties": network})
    body = {"resources": [nsg], "targetResourceGroup": f"{MADE}/resourceGroups/target"}
    _, _, headers = await http.call("POST", "rg/validateMoveResources", body)
    http.advance(60)
    assert (await http.call("GET", headers["Location"]))[0] in (200, 204)
    assert (await http.call("GET", nsg))[0] == 200
    _, _, headers = await http.call("POST", "rg/moveResources", body)
    assert (await http.call("GET", headers["Location"]))[0] == 202
    http.advance(300)
    assert (await http.call("GET", headers["Location"]))[0] in (200, 204)
    assert (await http.call("GET", nsg))[0] == 404
    moved = nsg.replace("/rg/", "/target/")
    assert (await http.call("GET", moved))[1]["id"] == moved
    _, subnet, _ = await http.call("GET", "rg/Microsoft.Network/virtualNetworks/vnet/subnets/nodes")
    assert subnet["properties"]["networkSecurityGroup"]["id"] == moved
    assert await http.code("DELETE", moved) == (400, "InUseNetworkSecurityGroupCannotBeDeleted")


async def test_moves_that_are_refused(http):
    await http.put("target", LOCATION)
    await http.put(identity("id"), LOCATION)
    target = f"{MADE}/resourceGroups/target"

    async def code(resource, group=target):
        return await http.code("POST", "rg/moveResources", {"resources": [resource], "targetResourceGroup": group})

    assert await code(id_of("none")) == (404, "ResourceNotFound")
    assert await code(id_of("id", "target")) == (400, "ResourcesNotInSameResourceGroup")
    assert await code(id_of("id"), f"{MADE}/resourceGroups/none") == (404, "ResourceGroupNotFound")
    assert await code(id_of("id"), "target") == (400, "InvalidRequestContent")
    await http.put("rg/Microsoft.Network/networkSecurityGroups/nsg", LOCATION)
    nsg = f"{MADE}/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/nsg"
    assert await code(nsg) == (409, "MoveCannotProceedWithResourcesNotInSucceededState")
