"""The fault script through the admin API, and the logs that the admin API shows."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

LOCATION = {"location": "westeurope"}
IDENTITY = "rg/Microsoft.ManagedIdentity/userAssignedIdentities/id"
VNET = "rg/Microsoft.Network/virtualNetworks/vnet"
VNET_BODY = {**LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}


@pytest.fixture
def admin(http):
    async def call(method, path, body=None):
        async with http.session.request(method, f"{http.emulator.url}/emulator/{path}", json=body) as response:
            text = await response.text()
            return response.status, (await response.json() if text else None)

    return call


async def test_an_answer_is_given_so_many_times(http, admin):
    answer = {"status": 429, "code": "TooManyRequests", "message": "Slow down.", "headers": {"Retry-After": "3"}}
    await admin("POST", "faults", {"method": "PUT", "path": "userAssignedIdentities", "count": 2, "answer": answer})
    for _ in range(2):
        status, document, headers = await http.call("PUT", IDENTITY, LOCATION)
        assert (status, document["error"]["code"], headers["Retry-After"]) == (429, "TooManyRequests", "3")
    assert (await http.call("PUT", IDENTITY, LOCATION))[0] == 201
    assert (await admin("GET", "faults"))[1][0]["hits"] == 2
    assert (await admin("DELETE", "faults"))[0] == 204
    assert (await admin("GET", "faults"))[1] == []


async def test_skip_lets_some_pass(http, admin):
    await admin("POST", "faults", {"path": "id$", "skip": 1, "answer": {"status": 500}})
    assert (await http.call("PUT", IDENTITY, LOCATION))[0] == 201
    assert (await http.call("GET", IDENTITY))[0] == 500
    assert (await http.call("GET", IDENTITY))[0] == 200


async def test_an_operation_fails_at_its_end(http, admin):
    failure = {"code": "InternalServerError", "message": "Something broke."}
    await admin("POST", "faults", {"method": "PUT", "path": "virtualNetworks", "operation": failure})
    status, _, headers = await http.call("PUT", VNET, VNET_BODY)
    assert status == 201
    http.advance(60)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert document == {"status": "Failed", "error": failure}
    assert (await http.call("GET", VNET))[1]["properties"]["provisioningState"] == "Failed"
    assert (await http.done(VNET, VNET_BODY))["properties"]["provisioningState"] == "Succeeded"


async def test_a_failed_update_goes_back(http, admin):
    await http.done(VNET, VNET_BODY)
    await admin("POST", "faults", {"method": "PUT", "path": "virtualNetworks", "operation": {"code": "Broken"}})
    changed = {**LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16", "10.9.0.0/16"]}}}
    await http.put(VNET, changed)
    assert len((await http.call("GET", VNET))[1]["properties"]["addressSpace"]["addressPrefixes"]) == 2
    http.advance(60)
    properties = (await http.call("GET", VNET))[1]["properties"]
    assert properties["provisioningState"] == "Failed"
    assert properties["addressSpace"]["addressPrefixes"] == ["10.0.0.0/16"]


async def test_an_answer_is_lost_after_the_commit(http, admin):
    # Twice, because aiohttp repeats a PUT by itself when a connection that it reuses breaks.
    fault = {"method": "PUT", "path": "userAssignedIdentities", "lostAnswer": True, "count": 2}
    await admin("POST", "faults", fault)
    with pytest.raises(aiohttp.ClientError):
        await http.call("PUT", IDENTITY, LOCATION)
    assert (await http.call("GET", IDENTITY))[0] == 200


async def test_delay_and_hang(http, admin):
    await admin("POST", "faults", {"method": "PUT", "path": "userAssignedIdentities", "delaySeconds": 30})
    late = asyncio.create_task(http.call("PUT", IDENTITY, LOCATION))
    await asyncio.sleep(0.1)
    assert not late.done()
    http.advance(31)
    assert (await late)[0] == 201
    await admin("POST", "faults", {"path": "id$", "hang": True})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(http.call("GET", IDENTITY), 0.2)


async def test_a_bad_fault_is_refused_in_words(admin):
    status, document = await admin("POST", "faults", {"path": "x", "anwser": {}})
    assert status == 400
    assert "anwser" in document["error"]


async def test_logs(http, admin):
    await http.call("PUT", VNET, VNET_BODY, headers={"x-ms-client-request-id": "mine"})
    await http.call("GET", "rg/Microsoft.Network/virtualNetworks/none")
    http.advance(60)
    _, log = await admin("GET", "requests?method=PUT&path=virtualNetworks")
    entry = log["requests"][0]
    assert entry["clientRequestId"] == "mine"
    assert (entry["status"], entry["apiVersion"]) == (201, "2026-01-01")
    _, later = await admin("GET", f"requests?since={entry['sequence']}")
    assert [one["code"] for one in later["requests"]] == ["ResourceNotFound"]
    assert later["last"] == entry["sequence"] + 1
    _, operations = await admin("GET", "operations")
    assert [(one["verb"], one["status"]) for one in operations] == [("PUT", "Succeeded")]
    assert 0 < operations[0]["endSeconds"] - operations[0]["startSeconds"] < 10
    _, resources = await admin("GET", "resources")
    assert {one["type"] for one in resources} == {
        "Microsoft.Resources/resourceGroups", "Microsoft.Network/virtualNetworks"}  # fmt: skip


async def test_the_clock(http, admin):
    _, clock = await admin("POST", "clock/advance", {"seconds": 90})
    assert clock["elapsedSeconds"] >= 90
    _, clock = await admin("PUT", "clock", {"speed": 7})
    assert clock["speed"] == 7
    assert (await admin("POST", "clock/advance", {"seconds": -1}))[0] == 400


async def test_images_can_be_added(http, admin):
    image = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204", "version": "22.04.2099010101"}
    assert (await admin("POST", "images", image))[0] == 201
    path = (
        f"{http.subscription}/providers/Microsoft.Compute/locations/westeurope/publishers/microsoft-dsvm/artifacttypes/"
        "vmimage/offers/ubuntu-hpc/skus/2204/versions"
    )
    _, versions, _ = await http.call("GET", path, query={"$top": "1", "$orderby": "name desc"})
    assert [version["name"] for version in versions] == [image["version"]]


async def test_a_type_and_a_name_choose_the_request(http, admin):
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    await admin("POST", "faults", {"type": kind, "name": "sp*", "skip": 1, "answer": {"status": 503}})
    paths = [IDENTITY, IDENTITY[:-2] + "spare1", IDENTITY[:-2] + "spare2"]
    assert [(await http.call("PUT", path, LOCATION))[0] for path in paths] == [201, 201, 503]


async def test_an_answer_is_cut_half_way_after_the_commit(http, admin):
    await admin("POST", "faults", {"method": "PUT", "path": "userAssigned", "count": 2, "cutAnswer": True})
    with pytest.raises(aiohttp.ClientError):
        await http.call("PUT", IDENTITY, LOCATION)
    assert (await http.call("GET", IDENTITY))[0] == 200


async def test_an_operation_is_canceled_or_ends_otherwise_than_its_resource(http, admin):
    await admin("POST", "faults", {"path": "virtualNetworks", "operation": {"ends": "Canceled", "code": "Canceled"}})
    _, _, headers = await http.call("PUT", VNET, VNET_BODY)
    http.advance(60)
    assert (await http.call("GET", headers["Azure-AsyncOperation"]))[1]["status"] == "Canceled"
    assert (await http.call("GET", VNET))[1]["properties"]["provisioningState"] == "Canceled"
    ending = {"ends": "Succeeded", "leaves": "Failed"}
    await admin("POST", "faults", {"path": "virtualNetworks", "method": "PUT", "operation": ending})
    _, _, headers = await http.call("PUT", VNET, VNET_BODY)
    http.advance(60)
    assert (await http.call("GET", headers["Azure-AsyncOperation"]))[1]["status"] == "Succeeded"
    assert (await http.call("GET", VNET))[1]["properties"]["provisioningState"] == "Failed"


async def test_a_running_operation_is_canceled_by_hand(http, admin):
    _, _, headers = await http.call("PUT", VNET, VNET_BODY)
    (running,) = [one for one in (await admin("GET", "operations"))[1] if one["status"] == "InProgress"]
    status, document = await admin("POST", f"operations/{running['id']}/cancel")
    assert (status, document["status"]) == (200, "Canceled")
    assert (await http.call("GET", headers["Azure-AsyncOperation"]))[1]["status"] == "Canceled"
    assert (await admin("POST", "operations/nonsense/cancel"))[0] == 404


async def test_somebody_changes_and_deletes_behind_our_back(http, admin):
    await http.put(IDENTITY, LOCATION)
    path = f"{http.subscription}/resourceGroups/rg/providers/{IDENTITY[3:]}"
    status, _ = await admin("POST", "outside", {"method": "PATCH", "path": path, "body": {"tags": {"by": "them"}}})
    assert status == 200
    assert (await http.call("GET", IDENTITY))[1]["tags"] == {"by": "them"}
    await admin(
        "POST", "faults", {"method": "GET", "path": "userAssigned", "outside": {"method": "DELETE", "path": path}}
    )
    assert (await http.call("GET", IDENTITY))[0] == 404
    status, document = await admin("POST", "outside", {"method": "PUT", "path": "/nonsense/x", "body": {}})
    assert (status, document["error"]["code"]) == (404, "InvalidResourceType")


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("faults", {"path": "("}, "path: '(' is no regular expression"),
        ("faults", {"pat": "x"}, "there is no pat here"),
        ("faults", {"path": "x"}, "a fault needs an effect"),
        ("faults", {"answer": {"status": "500"}}, "answer.status: Input should be a valid integer, not '500'"),
        ("faults", {"operation": {"ends": "Cancelled"}}, "operation.ends: Input should be 'Failed', 'Canceled' or"),
        ("quota", {"location": "mars", "name": "cores", "limit": 1}, "location: there is no region 'mars'"),
        ("capacity", {"vmSize": "Standard_D2s_v5"}, "count: Field required"),
        ("clock", {"speed": -1}, "speed: Input should be greater than or equal to 0"),
        ("settings", [], "Input should be an object"),
    ],
)
async def test_bad_admin_requests_are_answered_with_a_sentence(admin, path, body, sentence):
    status, document = await admin("POST" if path == "faults" else "PUT", path, body)
    assert status == 400
    assert sentence in document["error"]


async def test_faults_act_on_what_a_deployment_writes(http, admin):
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    failure = {"status": 503, "code": "ServerTimeout", "message": "Try later."}
    await admin("POST", "faults", {"type": kind, "name": "two", "count": None, "answer": failure})
    resources = [{"type": kind, "apiVersion": "2023-01-31", "name": name, **LOCATION} for name in ("one", "two")]
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": resources,
    }  # fmt: skip
    path = f"{http.subscription}/resourceGroups/rg/providers/Microsoft.Resources/deployments/d"
    await http.call("PUT", path, {"properties": {"mode": "Incremental", "template": template}})
    for _ in range(20):
        http.advance(60)
    properties = (await http.call("GET", path))[1]["properties"]
    assert properties["provisioningState"] == "Failed"
    assert "ServerTimeout" in str(properties["error"])
    assert (await http.call("GET", f"rg/{kind}/one"))[0] == 200
