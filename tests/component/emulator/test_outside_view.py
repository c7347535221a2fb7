"""What somebody who did not write the emulator tried on it: its page of documentation word by word, and odd uses."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from azure_emulator import Emulator, scenario, throttling

from .conftest import Http

PAGE = Path(__file__).parents[3] / "docs" / "emulator.md"
EXAMPLES = [
    block
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(), re.MULTILINE)
    if re.search(r"^    (faults|# subscription\.yaml)", block, re.MULTILINE)
]


# -- what people write to the emulator itself ------------------------------------------------------------------------


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split()[0])
def test_the_examples_of_the_documentation_work(text, tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text("\n".join(line[4:] for line in text.splitlines()))
    emulator = Emulator(speed=0)
    scenario.start(emulator, path)


def test_the_documentation_has_examples():
    assert len(EXAMPLES) == 2


async def test_a_restriction_of_a_scenario_refuses_and_is_shown(http, tmp_path):
    for zones in (["1"], ["2"]):
        row = {"vmSize": "Standard_D4s_v5", "location": "West Europe", "zones": zones}
        assert (await admin(http, "POST", "restrictions", row))[0] == 201
    await admin(http, "POST", "restrictions", {"vmSize": "Standard_HB176rs_v4", "location": "westeurope"})
    skus = f"{http.subscription}/providers/Microsoft.Compute/skus"
    _, document, _ = await http.call("GET", skus, query={"$filter": "location eq 'westeurope'"})
    found = {one["name"]: one["restrictions"] for one in document["value"]}
    assert found["Standard_D4s_v5"][0]["restrictionInfo"]["zones"] == ["1", "2"]
    assert found["Standard_HB176rs_v4"][0]["type"] == "Location"


@pytest.mark.parametrize(
    ("method", "path", "body", "sentence"),
    [
        ("PUT", "clock", {"speed": "inf"}, "speed"),
        ("PUT", "clock", {"speed": 1e9}, "speed"),
        ("POST", "clock/advance", {"seconds": "inf"}, "seconds"),
        ("POST", "clock/advance", {"seconds": 1e18}, "seconds"),
        ("PUT", "settings", {"page": -1}, "page is -1; write a number from 1 on"),
        ("PUT", "settings", {"rights": "yes"}, "write on or off"),
        ("PUT", "capacity", {"vmSize": "Standard_HB120rs", "count": 1}, "Standard_HB120rs_v3"),
        ("POST", "restrictions", {"vmSize": "D4", "location": "westeurope"}, "there is no VM size 'D4'"),
    ],
)
async def test_what_cannot_be_used_is_refused_and_does_no_harm(http, method, path, body, sentence):
    status, document = await admin(http, method, path, body)
    assert status == 400
    assert sentence in document["error"]
    assert (await admin(http, "GET", "clock"))[0] == 200
    assert (await http.call("GET", "rg"))[0] == 200


async def test_time_cannot_run_out_of_the_calendar(http):
    century = 100 * 365 * 86_400
    statuses = [(await admin(http, "POST", "clock/advance", {"seconds": century}))[0] for _ in range(80)]
    assert set(statuses) == {200, 400}
    assert (await http.call("GET", "rg"))[0] == 200


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["serve", "--port", "99999"], "write a whole number from 0 to 65535"),
        (["serve", "--speed", "-1"], "write a number of emulated seconds per second"),
        (["serve", "--speed", "inf"], "write a number of emulated seconds per second"),
        (["serve", "--state", "/proc/nothing"], "/proc/nothing: No such file"),
        (["serve", "--port", "{taken}"], "choose another --host, --port"),
        (["admin", "--url", "https://localhost:{taken}", "--ca-file", "none.pem", "clock"], "none.pem: No such file"),
        (["admin", "--url", "localhost", "clock"], "no emulator answers at localhost"),
        (["serve", "--restore", __file__], f"{__file__}: this is no snapshot"),
        (["admin", "outside", "PUT", "/subscriptions/x", "{{"], "this is no JSON"),
    ],
)
def test_a_command_that_cannot_work_says_so_in_a_sentence(fast_emulator, arguments, sentence):
    words = [word.format(taken=fast_emulator.port) for word in arguments]
    command = [sys.executable, "-m", "azure_emulator.cli", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert found.returncode != 0
    assert sentence in found.stderr
    assert "Traceback" not in found.stderr


async def admin(http, method, path, body=None):
    async with http.session.request(method, f"{http.emulator.url}/emulator/{path}", json=body) as answer:
        return answer.status, await answer.json()


# -- time and limits -------------------------------------------------------------------------------------------------


async def test_tokens_come_back_as_fast_as_azure_says(http, monkeypatch):
    """Not twice as fast, because emulated and real time go by together."""
    seconds = 1000.0
    monkeypatch.setattr(throttling.time, "monotonic", lambda: seconds)
    http.emulator.clock._monotonic = lambda: seconds
    http.emulator.clock.reset(http.emulator.clock.base, 0.0, 1.0)
    while (answer := await http.call("PATCH", "rg", {"tags": {}}))[0] != 429:
        pass
    assert int(answer[2]["Retry-After"]) == 1
    seconds += 2.0
    _, _, headers = await http.call("PATCH", "rg", {"tags": {}})
    assert headers["x-ms-ratelimit-remaining-subscription-writes"] == "19"


@pytest.mark.parametrize(("speed", "retry_after", "milliseconds"), [(0, "15", None), (0.5, "15", None), (1, "15", None),
                                                                 (10, "2", "1500"), (60, "1", "250")])  # fmt: skip
async def test_a_throttled_client_is_told_when_it_may_come_back(http, monkeypatch, speed, retry_after, milliseconds):
    monkeypatch.setattr(throttling.time, "monotonic", lambda: 1000.0)
    http.emulator.clock._monotonic = lambda: 1000.0
    http.emulator.clock.reset(http.emulator.clock.base, 0.0, speed)
    path = "rg/Microsoft.Compute/virtualMachineScaleSets/none"  # 4 a minute for each scale set
    while (answer := await http.call("DELETE", path))[0] != 429:
        pass
    assert (answer[2]["Retry-After"], answer[2].get("retry-after-ms")) == (retry_after, milliseconds)


# -- what hangs together ---------------------------------------------------------------------------------------------


async def test_two_children_of_one_name_cannot_be_parsed(http):
    subnets = [{"name": name, "properties": {"addressPrefix": prefix}}
               for name, prefix in (("one", "10.0.0.0/24"), ("ONE", "10.0.1.0/24"))]  # fmt: skip
    body = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                                                    "subnets": subnets}}  # fmt: skip
    status, document, _ = await http.call("PUT", "rg/Microsoft.Network/virtualNetworks/v", body)
    assert (status, document["error"]["code"]) == (400, "InvalidRequestFormat")
    assert document["error"]["details"][0]["code"] == "DuplicateResourceName"


async def test_head_is_behind_as_get_is(http):
    await admin(http, "PUT", "settings", {"visibleAfterSeconds": 20})
    await http.put("new", {"location": "westeurope"})
    seen = [(await http.call(method, "new"))[0] for method in ("GET", "HEAD")]
    http.advance(21)
    seen += [(await http.call(method, "new"))[0] for method in ("GET", "HEAD")]
    assert seen == [404, 404, 200, 204]


@pytest.mark.parametrize(("option", "left"), [(None, 0), ("Delete", 0), ("Detach", 2)])
async def test_disks_of_a_flexible_scale_set_go_with_its_machines(http, option, left):
    network = {"location": "westeurope", "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}  # fmt: skip
    await http.done("rg/Microsoft.Network/virtualNetworks/v", network)
    subnet = f"{http.subscription}/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
    kept = {} if option is None else {"deleteOption": option}
    image = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
    configuration = {"name": "c", "properties": {"subnet": {"id": subnet}}}
    profile = {
        "storageProfile": {
            "imageReference": image, "osDisk": {"createOption": "FromImage", **kept},
            "dataDisks": [{"lun": 0, "createOption": "Empty", "diskSizeGB": 8, **kept}],
        },
        "osProfile": {"computerNamePrefix": "n", "adminUsername": "u", "adminPassword": "Pa55word.Pa55"},
        "networkProfile": {"networkApiVersion": "2020-11-01", "networkInterfaceConfigurations": [
            {"name": "nic", "properties": {"primary": True, "ipConfigurations": [configuration]}}]},
    }  # fmt: skip
    path = "rg/Microsoft.Compute/virtualMachineScaleSets/s"
    body = {"orchestrationMode": "Flexible", "platformFaultDomainCount": 1, "virtualMachineProfile": profile}
    sku = {"name": "Standard_D4s_v5", "capacity": 1}
    await http.done(path, {"location": "westeurope", "sku": sku, "properties": body})
    assert len((await http.call("GET", "rg/Microsoft.Compute/disks"))[1]["value"]) == 2
    await http.call("DELETE", path)
    http.advance(3600)
    assert len((await http.call("GET", "rg/Microsoft.Compute/disks"))[1]["value"]) == left


# -- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"type": "Microsoft.Network/publicIPAddress"}, "did you mean Microsoft.Network/publicIPAddresses?"),
        ({"type": "Microsoft.Nothing/at.all"}, "`azure-emulator types` lists them all"),
        ({"method": "GETT"}, "write one of GET, HEAD, PUT, PATCH, POST, DELETE"),
    ],
)
async def test_a_fault_that_could_never_act_is_refused(http, fault, sentence):
    status, document = await admin(http, "POST", "faults", {"hang": True, **fault})
    assert status == 400
    assert sentence in document["error"]


async def test_a_method_of_a_fault_may_be_in_small_letters(http):
    await admin(http, "POST", "faults", {"method": "get", "answer": {"status": 503, "code": "ServerTimeout"}})
    assert await http.code("GET", "rg") == (503, "ServerTimeout")


async def test_a_request_that_hangs_ends_with_its_client(http):
    await admin(http, "POST", "faults", {"method": "GET", "name": "rg", "hang": True})
    before = len(asyncio.all_tasks())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(http.call("GET", "rg"), 0.1)
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0.05)
    assert (await http.call("GET", "rg"))[0] == 200


# -- state -----------------------------------------------------------------------------------------------------------


def _database(*statements):
    with sqlite3.connect(":memory:") as database:
        for table, columns in (("resources", "key, document"), ("operations", "id, document"),
                               ("settings", "name, document"), ("requests", "sequence, document")):  # fmt: skip
            database.execute(f"create table {table} ({columns})")
        for statement in statements:
            database.execute(statement)
        database.commit()
        return database.serialize()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        _database(),
        _database("insert into resources values ('a', '{\"unknown\": 1}')"),
        _database("insert into resources values ('a', 'no json')"),
    ],
    ids=["empty", "nonsense", "without a clock", "another release", "broken"],
)
async def test_what_is_no_snapshot_takes_nothing_away(http, content):
    await http.put("precious", {"location": "westeurope"})
    async with http.session.put(f"{http.emulator.url}/emulator/snapshot", data=content) as answer:
        assert answer.status == 400
        assert "no snapshot of an emulator" in (await answer.json())["error"]
    assert (await http.call("GET", "precious"))[0] == 200


async def _spot(http, **properties):
    """A spot VM that runs; its path."""
    network = {"location": "westeurope", "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}  # fmt: skip
    await http.done("rg/Microsoft.Network/virtualNetworks/v", network)
    providers = f"{http.subscription}/resourceGroups/rg/providers"
    subnet = {"id": f"{providers}/Microsoft.Network/virtualNetworks/v/subnets/s"}
    configurations = [{"name": "c", "properties": {"subnet": subnet}}]
    await http.done(
        "rg/Microsoft.Network/networkInterfaces/n",
        {"location": "westeurope", "properties": {"ipConfigurations": configurations}},
    )
    image = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
    path = "rg/Microsoft.Compute/virtualMachines/m"
    await http.done(path, {"location": "westeurope", "properties": {
        "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
        "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage"}},
        "osProfile": {"computerName": "m", "adminUsername": "u", "adminPassword": "Pa55word.Pa55"},
        "networkProfile": {"networkInterfaces": [{"id": f"{providers}/Microsoft.Network/networkInterfaces/n"}]},
        **properties,
    }})  # fmt: skip
    return path


async def _cores(http):
    usages = f"{http.subscription}/providers/Microsoft.Compute/locations/westeurope/usages"
    rows = (await http.call("GET", usages))[1]["value"]
    return next(row["currentValue"] for row in rows if row["name"]["value"] == "lowPriorityCores")


@pytest.mark.parametrize(("kept", "counted"), [(True, 4), (False, 0)])
async def test_an_evicted_machine_keeps_its_quota(http, kept, counted):
    await admin(http, "PUT", "settings", {"evictedTakesQuota": kept})
    path = await _spot(http, priority="Spot", evictionPolicy="Deallocate")
    machine = f"{http.subscription}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/m"
    assert (await admin(http, "POST", "machines", {"id": machine, "event": "evict"}))[0] == 201
    http.advance(31)
    assert await _cores(http) == counted
    await admin(http, "PUT", "quota", {"location": "westeurope", "name": "lowPriorityCores", "limit": 4})
    assert (await http.call("POST", f"{path}/start"))[0] == 202  # what it still has is not asked for twice
    http.advance(600)
    assert await _cores(http) == 4
    await http.call("DELETE", path)
    http.advance(600)
    assert await _cores(http) == 0


async def test_only_spot_machines_are_evicted(http):
    await _spot(http)
    machine = f"{http.subscription}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/m"
    status, document = await admin(http, "POST", "machines", {"id": machine, "event": "evict"})
    assert status == 400
    assert "m is no spot VM" in document["error"]


async def test_lists_are_in_the_same_order_after_a_restart(tmp_path):
    """Also of what came at the same moment: the next page would otherwise leave out and repeat."""
    addresses = "rg/Microsoft.Network/publicIPAddresses"

    async def seen(emulator, session):
        names = [row["name"] for row in (await Http(emulator, session).call("GET", addresses))[1]["value"]]
        return names, list(emulator.store.operations)

    async with aiohttp.ClientSession() as session:
        async with Emulator(speed=0, state=tmp_path) as emulator:
            http = Http(emulator, session)
            await http.put("rg", {"location": "westeurope"})
            for name in ("z", "a", "m", "b"):
                await http.put(f"{addresses}/{name}", {"location": "westeurope"})
            before = await seen(emulator, session)
        async with Emulator(state=tmp_path) as emulator:
            await Http(emulator, session).put(f"{addresses}/c", {"location": "westeurope"})
            after = await seen(emulator, session)
    assert before[0] == ["z", "a", "m", "b"]
    assert after[0] == [*before[0], "c"]
    assert after[1][:-1] == before[1]


def test_a_restored_emulator_has_forgotten_the_requests_that_came_later(tmp_path):
    emulator = Emulator(speed=0, state=tmp_path)
    emulator.log({"path": "/before"})
    content = emulator.snapshot()
    emulator.log({"path": "/later"})
    emulator.commit()
    emulator.restore(content)
    emulator.store.close()
    again = Emulator(state=tmp_path)
    assert [entry["path"] for entry in again.requests] == ["/before"]
    again.store.close()


async def test_generic_lists_call_children_by_all_their_names(http):
    account = "rg/Microsoft.NetApp/netAppAccounts/a"
    await http.done(account, {"location": "westeurope"})
    pool = {"location": "westeurope", "properties": {"serviceLevel": "Premium", "size": 4 * 2**40}}
    await http.done(f"{account}/capacityPools/p", pool)
    for query, names in (({}, ["a", "a/p"]), ({"$filter": "name eq 'a/p'"}, ["a/p"])):
        _, document, _ = await http.call("GET", f"{http.subscription}/resources", query=query)
        assert [row["name"] for row in document["value"]] == names


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "rg/Microsoft.Network/privateDnsZones/x.local", 500),
        ("GET", "rg/Microsoft.Storage/storageAccounts/nothing", 800),
        ("DELETE", "rg/Microsoft.Storage/storageAccounts/nothing", 10),
    ],
)
async def test_private_dns_and_storage_have_limits_of_their_own(http, monkeypatch, method, path, allowed):
    await admin(http, "PUT", "settings", {"armBuckets": {"reads": [100_000, 1], "deletes": [100_000, 1]}})
    monkeypatch.setattr(throttling.time, "monotonic", lambda: 1000.0)
    count = 0
    while (answer := await http.call(method, path))[0] != 429:
        count += 1
    assert (count, answer[1]["error"]["code"]) == (allowed, "TooManyRequests")
