"""IMDS: what a machine learns about itself and about what is going to happen to it."""

from __future__ import annotations

import pytest

from azure_emulator.login import VM_HEADER

VNET = "rg/Microsoft.Network/virtualNetworks/net"
NIC = "rg/Microsoft.Network/networkInterfaces/nic"
VM = "rg/Microsoft.Compute/virtualMachines/node"
SPOT = {
    "location": "westeurope", "zones": ["1"], "tags": {"team": "ocean"},
    "properties": {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"}, "priority": "Spot", "evictionPolicy": "Deallocate",
        "storageProfile": {"imageReference": {
            "publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts-gen2",
            "version": "latest"}},
        "osProfile": {"computerName": "node", "adminUsername": "azureuser", "adminPassword": "Secret-word-1!"},
    },
}  # fmt: skip


@pytest.fixture
async def ask(http):
    subnet = f"{http.subscription}/resourceGroups/rg/providers/{VNET[3:]}/subnets/a"
    nic = f"{http.subscription}/resourceGroups/rg/providers/{NIC[3:]}"
    await http.done(VNET, {"location": "westeurope", "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}}]}})  # fmt: skip
    await http.done(NIC, {"location": "westeurope", "properties": {"ipConfigurations": [
        {"name": "ip", "properties": {"subnet": {"id": subnet}}}]}})  # fmt: skip
    body = {**SPOT, "properties": {**SPOT["properties"], "networkProfile": {"networkInterfaces": [{"id": nic}]}}}
    vm = (await http.done(VM, body))["id"]

    async def call(path, *, method="GET", body=None, headers=None, **query):
        sent = {"Metadata": "true", VM_HEADER: vm} if headers is None else headers
        parameters = {"api-version": "2021-02-01", **query}
        url = f"{http.emulator.url}/metadata/{path}"
        async with http.session.request(method, url, params=parameters, headers=sent, json=body) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    call.vm = vm
    return call


async def test_a_machine_learns_about_itself(ask):
    status, document = await ask("instance")
    assert status == 200
    assert document["compute"]["vmSize"] == "Standard_D2s_v5"
    assert document["compute"]["tagsList"] == [{"name": "team", "value": "ocean"}]
    assert document["network"]["interface"][0]["ipv4"]["ipAddress"][0]["privateIpAddress"] == "10.0.0.4"
    assert "Secret-word" not in str(document)
    assert await ask("instance/compute/zone", format="text") == (200, "1")
    assert (await ask("instance/compute", format="text"))[1].count("\n") > 20
    assert (await ask("instance/network/interface/0/ipv4"))[0] == 200
    assert (await ask("instance/nonsense"))[0] == 404
    assert (await ask("instance/compute/name"))[0] == 400  # JSON is not for single values
    assert "2021-02-01" in (await ask("versions"))[1]["apiVersions"]


async def test_it_refuses_what_no_machine_would_send(ask):
    assert (await ask("instance", headers={}))[0] == 400
    assert (await ask("instance", headers={"Metadata": "true", "X-Forwarded-For": "10.0.0.1"}))[0] == 400
    assert (await ask("instance", headers={"Metadata": "true"}))[0] == 404
    assert (await ask("instance", **{"api-version": ""}))[0] == 400


async def test_an_eviction_is_announced_before_it_happens(http, ask):
    assert (await ask("scheduledevents", **{"api-version": "2020-07-01"}))[1]["Events"] == []
    async with http.session.post(
        f"{http.emulator.url}/emulator/machines", json={"id": ask.vm, "event": "evict"}
    ) as answer:
        assert answer.status == 201
    (event,) = (await ask("scheduledevents"))[1]["Events"]
    assert (event["EventType"], event["EventStatus"], event["Resources"]) == ("Preempt", "Scheduled", ["node"])
    http.advance(29)
    assert "PowerState/running" in str((await http.call("GET", f"{VM}/instanceView"))[1])
    http.advance(2)
    http.advance(120)
    assert "PowerState/deallocated" in str((await http.call("GET", f"{VM}/instanceView"))[1])


async def test_maintenance_begins_when_the_machine_says_that_it_is_ready(http, ask):
    body = {"id": ask.vm, "event": "freeze", "seconds": 9}
    async with http.session.post(f"{http.emulator.url}/emulator/machines", json=body) as answer:
        assert answer.status == 201
    (event,) = (await ask("scheduledevents"))[1]["Events"]
    start = {"StartRequests": [{"EventId": event["EventId"]}]}
    assert (await ask("scheduledevents", method="POST", body=start))[0] == 200
    (event,) = (await ask("scheduledevents"))[1]["Events"]
    assert event["EventStatus"] == "Started"
    http.advance(10)
    assert (await ask("scheduledevents"))[1]["Events"] == []
    assert (await ask("scheduledevents", method="POST", body={}))[0] == 400
