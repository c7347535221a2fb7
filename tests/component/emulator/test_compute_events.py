"""What happens to machines that nobody asked for, the scheduled events that warn of it, and what metadata tell."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.component.emulator.test_compute import VM, FakeGuests, act, codes, pass_time
from tests.component.emulator.test_compute_scale_sets import SET, instances, power, uniform
from tests.component.emulator.test_protocol import NETWORK, VNET, subnet, vm

from azure_emulator.providers.compute import imds, scheduled_events


@pytest.fixture
def guests(http: Any) -> FakeGuests:
    http.emulator.engine.guests = FakeGuests()
    found: FakeGuests = http.emulator.engine.guests
    return found


async def make(http: Any, path: str = VM, **properties: Any) -> Any:
    """A machine that runs, as the engine's resource."""
    await http.done(path, vm(await subnet(http), path.rsplit("/", 1)[1], **properties), seconds=300)
    return resource(http, path)


def resource(http: Any, path: str) -> Any:
    group, _, rest = path.partition("/")
    found = http.emulator.engine.store.get(f"{http.subscription}/resourceGroups/{group}/providers/{rest}")
    assert found is not None
    return found


def events(http: Any, machine: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scheduled_events.document(http.emulator.engine, machine)["Events"]
    return found


# -- evictions -------------------------------------------------------------------------------------------------------


async def test_an_eviction_is_announced(http, guests):
    machine = await make(http, priority="Spot")
    engine = http.emulator.engine
    before = scheduled_events.document(engine, machine)
    assert before["Events"] == []
    assert (await http.call("POST", f"{VM}/simulateEviction"))[0] == 204
    document = scheduled_events.document(engine, machine)
    assert document["DocumentIncarnation"] > before["DocumentIncarnation"]
    (event,) = document["Events"]
    assert (event["EventType"], event["EventStatus"], event["Resources"]) == ("Preempt", "Scheduled", ["vm"])
    assert (event["ResourceType"], event["EventSource"], event["DurationInSeconds"]) == (
        "VirtualMachine", "Platform", -1)  # fmt: skip
    assert event["NotBefore"].endswith(" GMT")
    guests.taken()
    pass_time(http, 29)
    assert guests.taken() == []
    assert (await http.call("GET", VM))[1]["properties"]["provisioningState"] == "Succeeded"
    pass_time(http, 2)
    assert guests.taken() == ["deallocate vm"]
    assert (await codes(http))[-1] == "PowerState/deallocated"
    assert events(http, machine) == []
    await act(http, "start")
    assert (await codes(http))[-1] == "PowerState/running"


async def test_an_eviction_may_delete(http):
    await make(http, priority="Spot", evictionPolicy="Delete")
    await http.call("POST", f"{VM}/simulateEviction")
    pass_time(http, 200)
    assert (await http.call("GET", VM))[0] == 404


async def test_only_spot_machines_are_evicted(http):
    await make(http)
    assert await http.code("POST", f"{VM}/simulateEviction") == (409, "OperationNotAllowed")


async def test_an_event_that_was_acknowledged_does_not_wait(http, guests):
    machine = await make(http, priority="Spot")
    scheduled_events.evict(http.emulator.engine, machine)
    event = events(http, machine)[0]
    assert not scheduled_events.acknowledge(http.emulator.engine, machine, "other")
    assert scheduled_events.acknowledge(http.emulator.engine, machine, event["EventId"])
    pass_time(http, 1)
    assert machine.internal["power"] == "deallocated"


async def test_a_machine_that_was_stopped_meanwhile_is_not_evicted(http, guests):
    machine = await make(http, priority="Spot")
    await http.call("POST", f"{VM}/deallocate")
    pass_time(http, 29)
    scheduled_events.evict(http.emulator.engine, machine)
    pass_time(http, 300)
    assert guests.taken().count("deallocate vm") == 1


async def test_a_set_gets_its_evicted_instances_back(http):
    restore = {"enabled": True, "restoreTimeout": "PT1H"}
    body = uniform(await subnet(http), 2, model={"priority": "Spot"}, spotRestorePolicy=restore)
    await http.done(SET, body)
    await http.session.put(f"{http.emulator.url}/emulator/capacity", json={"vmSize": "Standard_D2s_v5", "count": 0})
    assert (await http.call("POST", f"{SET}/virtualMachines/1/simulateEviction"))[0] == 204
    # Every instance of the set sees the event of the one.
    assert events(http, resource(http, f"{SET}/virtualMachines/0"))[0]["Resources"] == ["nodes_1"]
    pass_time(http, 60)
    capacity = http.emulator.engine.setting("capacity")[0]
    assert (await power(http, "1"), capacity["count"]) == ("deallocated", 1)
    pass_time(http, 900)
    assert await power(http, "1") == "running"


async def test_an_evicted_instance_makes_its_set_smaller(http):
    await http.done(SET, uniform(await subnet(http), 2, model={"priority": "Spot", "evictionPolicy": "Delete"}))
    await http.call("POST", f"{SET}/virtualMachines/0/simulateEviction")
    pass_time(http, 300)
    assert list(await instances(http)) == ["1"]
    assert (await http.call("GET", SET))[1]["sku"]["capacity"] == 1


# -- maintenance and crashes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "notice", "down", "up"),
    [("Freeze", 900, [], []), ("Reboot", 900, ["stop vm"], ["start vm"]),
     ("Redeploy", 600, ["stop vm"], ["deallocate vm", "start vm"])],
)  # fmt: skip
async def test_maintenance_of_the_host(http, guests, kind, notice, down, up):
    machine = await make(http)
    scheduled_events.maintain(http.emulator.engine, machine, kind, 120)
    guests.taken()
    assert (events(http, machine)[0]["EventType"], events(http, machine)[0]["DurationInSeconds"]) == (kind, 120)
    _, view, _ = await http.call("GET", f"{VM}/instanceView")
    assert view["maintenanceRedeployStatus"]["isCustomerInitiatedMaintenanceAllowed"]
    pass_time(http, notice + 1)
    assert guests.taken() == down
    assert (events(http, machine)[0]["EventStatus"], events(http, machine)[0]["NotBefore"]) == ("Started", "")
    _, view, _ = await http.call("GET", f"{VM}/instanceView")
    assert view["vmAgent"]["statuses"][0]["displayStatus"] == ("Not Ready" if down else "Ready")
    pass_time(http, 125)
    assert guests.taken() == up
    assert events(http, machine) == []


async def test_maintenance_can_be_done_before_its_time(http, guests):
    machine = await make(http)
    assert await http.code("POST", f"{VM}/performMaintenance") == (409, "OperationNotAllowed")
    scheduled_events.maintain(http.emulator.engine, machine, "Redeploy", 60)
    guests.taken()
    assert (await act(http, "performMaintenance"))["status"] == "Succeeded"
    assert guests.taken() == ["deallocate vm", "start vm"]
    pass_time(http, 1000)
    assert guests.taken() == []
    with pytest.raises(ValueError, match="write one of Freeze"):
        scheduled_events.maintain(http.emulator.engine, machine, "Paint", 60)


async def test_a_crash_heals(http, guests):
    machine = await make(http)
    guests.taken()
    scheduled_events.crash(http.emulator.engine, machine)
    assert guests.taken() == ["stop vm"]
    _, view, _ = await http.call("GET", f"{VM}/instanceView")
    assert view["statuses"][-1]["code"] == "PowerState/running"
    assert view["vmAgent"]["statuses"][0]["displayStatus"] == "Not Ready"
    pass_time(http, 600)
    assert guests.taken() == ["start vm"]
    _, view, _ = await http.call("GET", f"{VM}/instanceView")
    assert view["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"
    await http.session.put(f"{http.emulator.url}/emulator/settings", json={"serviceHealingSeconds": None})
    scheduled_events.crash(http.emulator.engine, machine)
    pass_time(http, 6000)
    assert guests.taken() == ["stop vm"]
    await act(http, "restart")
    assert guests.taken() == ["stop vm", "start vm"]


# -- metadata --------------------------------------------------------------------------------------------------------


async def test_metadata_of_a_machine(http):
    subnet_id = await subnet(http)
    data = base64.b64encode(b"hello").decode()
    body = vm(subnet_id, priority="Spot", userData=data)
    body |= {"tags": {"hpc": "yes", "team": "climate"}, "zones": ["2"]}
    body["properties"]["osProfile"]["linuxConfiguration"] = {
        "disablePasswordAuthentication": True,
        "ssh": {"publicKeys": [{"path": "/home/hpcadmin/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}]},
    }
    interface = body["properties"]["networkProfile"]["networkInterfaceConfigurations"][0]
    interface["properties"]["ipConfigurations"][0]["properties"]["publicIPAddressConfiguration"] = {"name": "public"}
    await http.done(VM, body, seconds=300)
    document = imds.instance_metadata(http.emulator.engine, resource(http, VM))
    compute = document["compute"]
    expected = {
        "name": "vm", "location": "westeurope", "vmSize": "Standard_D4s_v5", "priority": "Spot", "zone": "2",
        "evictionPolicy": "Deallocate", "resourceGroupName": "rg", "osType": "Linux", "offer": "debian-12",
        "publisher": "Debian", "sku": "12-gen2", "userData": data, "customData": "", "tags": "hpc:yes;team:climate",
        "tagsList": [{"name": "hpc", "value": "yes"}, {"name": "team", "value": "climate"}],
        "publicKeys": [{"keyData": "ssh-ed25519 AAAA", "path": "/home/hpcadmin/.ssh/authorized_keys"}],
        "osProfile": {"adminUsername": "hpcadmin", "computerName": "vm", "disablePasswordAuthentication": "true"},
        "vmScaleSetName": "", "provider": "Microsoft.Compute",
    }  # fmt: skip
    assert {name: compute[name] for name in expected} == expected
    assert compute["version"] != "latest"
    assert compute["storageProfile"]["osDisk"]["diskSizeGB"] == "30"
    (shown,) = document["network"]["interface"]
    _, address, _ = await http.call("GET", f"{NETWORK}/publicIPAddresses/public")
    assert shown["ipv4"] == {
        "ipAddress": [{"privateIpAddress": "10.0.0.4", "publicIpAddress": address["properties"]["ipAddress"]}],
        "subnet": [{"address": "10.0.0.0", "prefix": "24"}],
    }
    assert len(shown["macAddress"]) == 12
    assert VNET in subnet_id.replace("/providers/Microsoft", "/Microsoft")


async def test_metadata_of_an_instance(http):
    await http.done(SET, uniform(await subnet(http), 2))
    document = imds.instance_metadata(http.emulator.engine, resource(http, f"{SET}/virtualMachines/1"))
    compute = document["compute"]
    assert (compute["name"], compute["vmScaleSetName"], compute["vmSize"]) == ("nodes_1", "nodes", "Standard_D2s_v5")
    assert compute["osProfile"]["computerName"] == "node000001"
    address = document["network"]["interface"][0]["ipv4"]["ipAddress"][0]
    assert address["privateIpAddress"] == "10.0.0.5"
    assert address["publicIpAddress"]
