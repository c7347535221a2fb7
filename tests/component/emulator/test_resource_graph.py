"""Resource Graph through its SDK client: tables, paging, lag and refusals."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resourcegraph import ResourceGraphClient
from tests.component.emulator.conftest import SCOPE, PlainHttp, StaticCredential

from azure_emulator import SUBSCRIPTION

VNET = "rg/Microsoft.Network/virtualNetworks/"
BODY = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
GRAPH = "/providers/Microsoft.ResourceGraph/resources"


@pytest.fixture(scope="module")
def graph(fast_emulator):
    credential = StaticCredential()
    return ResourceGraphClient(
        credential, base_url=fast_emulator.url, credential_scopes=[SCOPE], retry_total=0,
        authentication_policy=PlainHttp(credential, SCOPE),
    )  # fmt: skip


async def ask(http, query, **options):
    body = {"subscriptions": [SUBSCRIPTION], "query": query, "options": options}
    return await http.call("POST", GRAPH, body, version="2021-03-01")


def test_the_sdk_client_reads_rows_and_tables(graph, sdk, group):
    sdk.network.virtual_networks.begin_create_or_update(group, "graphed", {**BODY, "tags": {"a": "b"}}).result()
    query = f"Resources | where resourceGroup =~ '{group}' | project name, type, tags.a, properties.provisioningState"
    answer = graph.resources({"subscriptions": [SUBSCRIPTION], "query": query})
    assert (answer.count, answer.total_records, answer.result_truncated) == (1, 1, "false")
    assert answer.data == [
        {"name": "graphed", "type": "microsoft.network/virtualnetworks", "tags_a": "b",
         "properties_provisioningState": "Succeeded"}
    ]  # fmt: skip
    table = graph.resources({"query": query, "options": {"resultFormat": "table"}}).data
    assert [column["name"] for column in table["columns"]] == ["name", "type", "tags_a", "properties_provisioningState"]
    assert table["rows"][0][0] == "graphed"
    with pytest.raises(HttpResponseError) as caught:
        graph.resources({"query": "Resources | where"})
    assert caught.value.error.code == "BadRequest"
    assert [detail.code for detail in caught.value.error.details] == ["InvalidQuery", "ParserFailure"]


async def test_containers_join(http):
    await http.done(f"{VNET}one", BODY)
    query = (
        "Resources | join kind=leftouter (ResourceContainers | where type =~ 'microsoft.resources/subscriptions' | "
        "project subscriptionName=name, subscriptionId) on subscriptionId | project name, subscriptionName"
    )
    assert (await ask(http, query))[1]["data"] == [{"name": "one", "subscriptionName": "Emulated"}]
    query = "resourcecontainers | where type == 'microsoft.resources/subscriptions/resourcegroups' | project name"
    assert (await ask(http, query))[1]["data"] == [{"name": "rg"}]


async def test_role_assignments_have_a_table_of_their_own(http):
    http.emulator.store.set("resourceGraphLagSeconds", 30)
    identity = "rg/Microsoft.ManagedIdentity/userAssignedIdentities/me"
    await http.call("PUT", identity, {"location": "westeurope"})
    _, made, _ = await http.call("GET", identity)
    await http.done(f"{VNET}granted", BODY)
    role = f"{http.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    name = "8f3a5a38-4b5d-4c0f-8a6c-6d1d3f5a9b01"
    query = f"AuthorizationResources | where name == '{name}'"
    assert (await ask(http, query))[1]["data"] == []
    assignment = f"{VNET}granted/providers/Microsoft.Authorization/roleAssignments/{name}"
    properties = {"roleDefinitionId": role, "principalId": made["properties"]["principalId"],
                  "principalType": "ServicePrincipal"}  # fmt: skip
    status, _, _ = await http.call("PUT", assignment, {"properties": properties})
    assert status == 201
    assert (await ask(http, query))[1]["data"] == []
    http.advance(31)
    [row] = (await ask(http, query))[1]["data"]
    assert row["type"] == "microsoft.authorization/roleassignments"
    assert row["resourceGroup"] == "rg"
    assert row["id"].lower().startswith(row["properties"]["scope"].lower())
    # As the directory has it, not as a GET shows it.
    assert row["properties"]["roleDefinitionId"].lower() == role.lower().removeprefix(http.subscription.lower())
    assert row["properties"]["principalId"] == properties["principalId"]
    assert (await ask(http, f"Resources | where name == '{name}'"))[1]["data"] == []
    query = "Resources | union ResourceContainers | union (AuthorizationResources | where resourceGroup == 'rg')"
    types = {row["type"] for row in (await ask(http, f"{query} | project id, type"))[1]["data"]}
    assert types >= {"microsoft.network/virtualnetworks", "microsoft.resources/subscriptions/resourcegroups",
                     "microsoft.authorization/roleassignments"}  # fmt: skip


async def test_fifteen_queries_in_five_seconds(http):
    for _ in range(15):
        assert (await ask(http, "Resources | count"))[0] == 200
    status, document, headers = await ask(http, "Resources | count")
    assert (status, document["error"]["code"], headers["Retry-After"]) == (429, "RateLimiting", "1")
    http.advance(5)
    assert (await ask(http, "Resources | count"))[0] == 200


async def test_paging_by_skip_token(http):
    for number in range(5):
        await http.done(f"{VNET}v{number}", BODY)
    http.advance(60)
    query = "Resources | project id, name | order by name asc"
    names, token, pages = [], None, 0
    while pages == 0 or token:
        options = {"$top": 2} | ({"$skipToken": token} if token else {})
        _, document, headers = await ask(http, query, **options)
        names += [row["name"] for row in document["data"]]
        token, pages = document.get("$skipToken"), pages + 1
        assert document["totalRecords"] == 5
        assert "x-ms-user-quota-remaining" in headers
    assert (names, pages) == ([f"v{number}" for number in range(5)], 3)
    # Without the id there is nothing to go on from.
    _, document, _ = await ask(http, "Resources | project name", **{"$top": 2})
    assert ("$skipToken" in document, document["resultTruncated"]) == (False, "true")
    status, document, _ = await ask(http, "Resources", **{"$skipToken": "nonsense"})
    assert (status, document["error"]["details"][0]["code"]) == (400, "InvalidSkipToken")


async def test_pages_are_of_one_answer(http):
    for number in (1, 2, 4, 5):
        await http.done(f"{VNET}v{number}", BODY)
    http.advance(60)
    query = "Resources | project id, name | order by name asc"

    async def page(token=None, text=query):
        options = {"$top": 2} | ({"$skipToken": token} if token else {})
        _, document, _ = await ask(http, text, **options)
        return [row["name"] for row in document["data"]], document.get("$skipToken")

    names, token = await page()
    await http.call("PUT", f"{VNET}v3", BODY)
    http.advance(30)
    assert names == ["v1", "v2"]
    assert await page(token) == (["v4", "v5"], None)
    # Every answer begins with what is there.
    names, token = await page()
    assert (await page(token))[0] == ["v3", "v4"]
    # What was kept for its next page is not kept for ever.
    names, token = await page()
    await http.call("DELETE", f"{VNET}v1")
    http.advance(61)
    assert await page(token) == (["v4", "v5"], None)


async def test_what_is_asked_for_is_found_among_all_rows(http):
    await http.put("Other", {"location": "westeurope"})
    for group in ("rg", "Other"):
        await http.done(f"{group}/Microsoft.Network/virtualNetworks/net", BODY)
        await http.put(f"{group}/Microsoft.Network/networkSecurityGroups/nsg", {"location": "westeurope"})
    everything = "Resources | union ResourceContainers | order by id asc"

    async def check():
        http.advance(60)
        _, document, _ = await ask(http, everything)
        rows = document["data"]
        for condition, meets in (
            ("resourceGroup =~ 'OTHER'", lambda row: row["resourceGroup"].lower() == "other"),
            ("resourceGroup == 'other'", lambda row: row["resourceGroup"] == "other"),
            ("resourceGroup in~ ('Other', 'none', 'RG') and type == 'microsoft.network/virtualnetworks'",
             lambda row: row["type"] == "microsoft.network/virtualnetworks"),
            ("type in~ ('Microsoft.Resources/subscriptions', 'microsoft.network/networksecuritygroups')",
             lambda row: row["type"].endswith(("/subscriptions", "/networksecuritygroups"))),
            ("type == 'x' and type == 'y'", lambda _: False),
        ):  # fmt: skip
            query = everything.replace("| order", f"| where {condition} | order")
            _, document, _ = await ask(http, query)
            assert document["data"] == [row for row in rows if meets(row)], condition
        return len(rows)

    assert await check() == 7
    await http.call("DELETE", "rg/Microsoft.Network/virtualNetworks/net")
    await http.put("Other/Microsoft.Network/virtualNetworks/net", {**BODY, "tags": {"a": "b"}})
    assert await check() == 6
    await http.put("rg/Microsoft.Network/virtualNetworks/net", BODY)
    assert await check() == 7


async def test_changes_are_seen_a_little_late(http):
    http.emulator.store.set("resourceGraphLagSeconds", 30)
    query = "Resources | project name, state=properties.provisioningState"
    assert (await ask(http, query))[1]["data"] == []
    await http.put(f"{VNET}late", BODY)
    assert (await ask(http, query))[1]["data"] == []
    http.advance(31)
    assert (await ask(http, query))[1]["data"] == [{"name": "late", "state": "Succeeded"}]
    await http.call("DELETE", f"{VNET}late")
    http.advance(5)
    assert len((await ask(http, query))[1]["data"]) == 1
    http.advance(60)
    assert (await ask(http, query))[1]["data"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "EmptyQuery"),
        ("AdvisorSecrets | take 1", "DisallowedLogicalTableName"),
        ("Resources | where nonsense == 1", "UnresolvedName"),
        ("Resources |", "ParserFailure"),
        ("Resources | union ResourceContainers, AuthorizationResources", "ParserFailure"),
        ("Resources | join kind=leftanti ResourceContainers on subscriptionId", "UnsupportedJoinFlavor"),
        (
            "Resources | union Resources | union Resources | union Resources | join Resources on id",
            "DisallowedMaxNumberOfRemoteTables",
        ),
        (
            "Resources | union ResourceContainers | join ResourceContainers on subscriptionId",
            "DisallowedMaxNumberOfRemoteTables",
        ),
        (
            "Resources | mv-expand a=zones | mv-expand b=zones | mv-expand c=zones | mv-expand d=zones",
            "DisallowedMaxNumberOfMvExpands",
        ),
    ],
)
async def test_what_cannot_be_asked_is_refused(http, query, code):
    status, document, _ = await ask(http, query)
    assert (status, document["error"]["code"]) == (400, "BadRequest")
    assert document["error"]["details"][-1]["code"] == code


async def test_with_rights_on_only_what_the_caller_may_read_is_found(http):
    await http.done(f"{VNET}secret", BODY)
    body = {"displayName": "reader", "secret": "s", "roles": [
        {"role": "Reader", "scope": f"{http.subscription}/resourceGroups/other"}]}  # fmt: skip
    await http.call("PUT", "other", {"location": "westeurope"})
    url = f"{http.emulator.url}/emulator"
    async with http.session.post(f"{url}/applications", json=body) as answer:
        assert answer.status == 201
        reader = (await answer.json())["objectId"]
    async with http.session.post(f"{url}/tokens", json={"principal": reader}) as answer:
        token = (await answer.json())["access_token"]
    http.emulator.store.set("rights", "on")
    http.headers = {"Authorization": f"Bearer {token}"}
    _, document, _ = await ask(http, "Resources | project name")
    assert document["data"] == []
    _, document, _ = await ask(http, "ResourceContainers | project name, type")
    assert "rg" not in [row["name"] for row in document["data"]]
    assert "other" in [row["name"] for row in document["data"]]
