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
