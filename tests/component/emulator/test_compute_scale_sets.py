"""Scale sets: Uniform ones with instances of their own, upgrades, scaling in and out, and what Flexible ones add."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from tests.component.emulator.test_compute import CUSTOM_SCRIPT, FakeGuests, pass_time
from tests.component.emulator.test_protocol import LOCATION, subnet
from tests.component.emulator.test_sdk_types import code_of, make_subnet

SET = "rg/Microsoft.Compute/virtualMachineScaleSets/nodes"


def profile(subnet_id: str, **more: Any) -> dict[str, Any]:
    configuration = {"name": "main", "properties": {"subnet": {"id": subnet_id}, "publicIPAddressConfiguration": {
        "name": "public"}}}  # fmt: skip
    return {
        "osProfile": {"computerNamePrefix": "node", "adminUsername": "hpcadmin", "customData": "I2Nsb3Vk"},
        "storageProfile": {
            "imageReference": {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"},
            "dataDisks": [{"lun": 0, "createOption": "Empty", "diskSizeGB": 16}],
        },
        "networkProfile": {"networkInterfaceConfigurations": [
            {"name": "nic", "properties": {"primary": True, "ipConfigurations": [configuration]}}]},
        **more,
    }  # fmt: skip


def uniform(subnet_id: str, capacity: int = 3, *, mode: str = "Manual", size: str = "Standard_D2s_v5",
            zones: Any = None, model: Any = None, **properties: Any) -> dict[str, Any]:  # fmt: skip
    body: dict[str, Any] = {
        **LOCATION, "sku": {"name": size, "capacity": capacity},
        "properties": {"orchestrationMode": "Uniform", "upgradePolicy": {"mode": mode},
                       "virtualMachineProfile": profile(subnet_id, **(model or {})), **properties},
    }  # fmt: skip
    return body | ({"zones": zones} if zones else {})


async def instances(http: Any, **query: str) -> dict[str, Any]:
    _, document, _ = await http.call("GET", f"{SET}/virtualMachines", query=query)
    return {one["instanceId"]: one for one in document["value"]}


async def post(http: Any, action: str, body: Any = None, path: str = SET, seconds: float = 300) -> Any:
    status, document, headers = await http.call("POST", f"{path}/{action}", body)
    assert status in (200, 202), document
    pass_time(http, seconds)
    return (await http.call("GET", headers["Azure-AsyncOperation"]))[1] if status == 202 else document


async def power(http: Any, number: str) -> str:
    _, document, _ = await http.call("GET", f"{SET}/virtualMachines/{number}/instanceView")
    return str(document["statuses"][-1]["code"].removeprefix("PowerState/"))


def test_a_uniform_set_by_the_sdk(sdk, group):
    subnet_id = make_subnet(sdk, group)
    sets, machines = sdk.compute.virtual_machine_scale_sets, sdk.compute.virtual_machine_scale_set_vms
    made = sets.begin_create_or_update(group, "nodes", uniform(subnet_id, 2)).result()
    assert (made.sku.capacity, made.orchestration_mode) == (2, "Uniform")
    assert made.virtual_machine_profile.os_profile.custom_data is None
    found = list(machines.list(group, "nodes", expand="instanceView"))
    assert [(one.name, one.instance_id, one.latest_model_applied) for one in found] == [
        ("nodes_0", "0", True), ("nodes_1", "1", True)]  # fmt: skip
    assert found[1].os_profile.computer_name == "node000001"
    assert found[0].instance_view.statuses[-1].code == "PowerState/running"
    disks = {disk.name: disk for disk in sdk.compute.disks.list_by_resource_group(group)}
    assert len(disks) == 4
    assert disks[found[0].storage_profile.os_disk.name].managed_by == found[0].id
    assert not list(sdk.compute.virtual_machines.list(group)), "instances are no virtual machines"
    nics = sdk.network.network_interfaces
    listed = list(nics.list_virtual_machine_scale_set_network_interfaces(group, "nodes"))
    assert [one.ip_configurations[0].private_ip_address for one in listed] == ["10.0.0.4", "10.0.0.5"]
    own = next(iter(nics.list_virtual_machine_scale_set_vm_network_interfaces(group, "nodes", "1")))
    assert (own.name, own.virtual_machine.id) == ("nic", found[1].id)
    addresses = sdk.network.public_ip_addresses
    public = [one.ip_address for one in addresses.list_virtual_machine_scale_set_public_ip_addresses(group, "nodes")]
    assert len(set(public)) == 2
    one = addresses.get_virtual_machine_scale_set_public_ip_address(group, "nodes", "0", "nic", "main", "public")
    assert one.ip_address == public[0]
    with pytest.raises(HttpResponseError) as error:
        sdk.network.subnets.begin_delete(group, "vnet", "nodes")
    assert code_of(error) == "InUseSubnetCannotBeDeleted"
    assert "virtualMachines/0/networkInterfaces/nic" in str(error.value)

    sets.begin_power_off(group, "nodes", {"instanceIds": ["0"]}).result()
    machines.begin_restart(group, "nodes", "1").result()
    machines.begin_redeploy(group, "nodes", "1").result()
    machines.begin_reimage(group, "nodes", "1").result()
    view = sets.get_instance_view(group, "nodes")
    counts = {one.code: one.count for one in view.virtual_machine.statuses_summary}
    assert counts == {"ProvisioningState/succeeded": 2, "PowerState/running": 1, "PowerState/stopped": 1}
    assert {one.sku.name for one in sets.list_skus(group, "nodes")} >= {"Standard_HB176rs_v4"}
    assert [one.name for one in sets.list_by_location("westeurope") if f"/{group}/" in one.id] == ["nodes"]
    protected = machines.begin_update(
        group,
        "nodes",
        "1",
        {"location": "westeurope", "properties": {"protectionPolicy": {"protectFromScaleIn": True}}},
    ).result()
    assert protected.protection_policy.protect_from_scale_in
    with pytest.raises(ResourceNotFoundError):
        machines.begin_update(group, "nodes", "9", {"location": "westeurope", "properties": {}})
    sets.begin_update(group, "nodes", {"sku": {"name": "Standard_D2s_v5", "capacity": 1}}).result()
    assert [one.instance_id for one in machines.list(group, "nodes")] == ["1"]
    machines.begin_delete(group, "nodes", "1").result()
    assert sets.get(group, "nodes").sku.capacity == 0
    sets.begin_create_or_update(group, "nodes", uniform(subnet_id, 1)).result()
    assert [one.instance_id for one in machines.list(group, "nodes")] == ["2"], "numbers are not used again"
    sets.begin_delete(group, "nodes").result()
    assert not list(sdk.compute.disks.list_by_resource_group(group))


async def test_guests_of_instances(http):
    guests = http.emulator.engine.guests = FakeGuests()
    await http.done(SET, uniform(await subnet(http), 2))
    assert sorted(guests.taken()) == ["start 0", "start 1"]
    machine = http.emulator.engine.store.get(
        f"{http.subscription}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets/nodes/virtualMachines/0"
    )
    assert machine.internal["secrets"]["properties.osProfile.customData"] == "I2Nsb3Vk"
    await post(http, "deallocate", {"instanceIds": ["1"]})
    assert guests.taken() == ["deallocate 1"]
    body = {**LOCATION, "properties": {"source": {"script": "hostname"}}}
    await http.put(f"{SET}/virtualMachines/0/runCommands/c", body)
    guests.end("0", 0, "node000000")
    pass_time(http, 60)
    _, shown, _ = await http.call("GET", f"{SET}/virtualMachines/0/runCommands/c", query={"$expand": "instanceView"})
    assert shown["properties"]["instanceView"]["output"] == "node000000"


async def test_actions_name_instances_or_mean_all(http):
    await http.done(SET, uniform(await subnet(http), 3))
    await post(http, "deallocate")
    assert [await power(http, number) for number in "012"] == ["deallocated"] * 3
    await post(http, "start", {"instanceIds": ["0", "2"]})
    assert [await power(http, number) for number in "012"] == ["running", "deallocated", "running"]
    assert await http.code("POST", f"{SET}/start", {"instanceIds": ["7"]}) == (400, "InvalidParameter")
    assert await http.code("POST", f"{SET}/delete", {}) == (400, "InvalidParameter")
    policy = {"properties": {"protectionPolicy": {"protectFromScaleSetActions": True}}}
    await http.put(f"{SET}/virtualMachines/0", {**LOCATION, **policy})
    await post(http, "powerOff", {"instanceIds": ["0", "2"]})
    assert [await power(http, number) for number in "012"] == ["running", "deallocated", "stopped"]


async def test_a_changed_model_is_applied_by_hand(http):
    guests = http.emulator.engine.guests = FakeGuests()
    body = uniform(await subnet(http), 2)
    await http.done(SET, body)
    guests.taken()
    image = body["properties"]["virtualMachineProfile"]["storageProfile"]["imageReference"]
    image["sku"], image["offer"] = "13-gen2", "debian-13"
    await http.done(SET, body)
    assert [one["properties"]["latestModelApplied"] for one in (await instances(http)).values()] == [False, False]
    await post(http, "manualupgrade", {"instanceIds": ["1"]})
    found = await instances(http)
    assert [one["properties"]["latestModelApplied"] for one in found.values()] == [False, True]
    assert found["1"]["properties"]["storageProfile"]["imageReference"]["offer"] == "debian-13"
    assert guests.taken() == ["reimage 1"]
    body["sku"]["name"] = "Standard_D4s_v5"
    await http.done(SET, body)
    await post(http, "manualupgrade", {"instanceIds": ["1"]})
    found = await instances(http)
    assert [one["sku"]["name"] for one in found.values()] == ["Standard_D2s_v5", "Standard_D4s_v5"]
    assert guests.taken() == ["deallocate 1", "start 1"]
    await post(http, "reimage", {"instanceIds": ["0"]})
    assert (await instances(http))["0"]["properties"]["storageProfile"]["imageReference"]["offer"] == "debian-13"


async def test_an_automatic_policy_applies_a_changed_model_at_once(http):
    body = uniform(await subnet(http), 2, mode="Automatic")
    await http.done(SET, body)
    body["sku"]["name"] = "Standard_D4s_v5"
    await http.done(SET, body)
    assert {one["sku"]["name"] for one in (await instances(http)).values()} == {"Standard_D4s_v5"}


HANDLER = {"publisher": "Microsoft.ManagedServices", "type": "ApplicationHealthLinux", "typeHandlerVersion": "1.0"}
HEALTH = {"extensionProfile": {"extensions": [{"name": "health", "properties": HANDLER}]}}


async def test_a_rolling_upgrade_goes_in_batches(http):
    subnet_id = await subnet(http)
    assert await http.code("PUT", SET, uniform(subnet_id, 1, mode="Rolling")) == (400, "BadRequest")
    policy = {"mode": "Rolling", "rollingUpgradePolicy": {"maxBatchInstancePercent": 25,
                                                          "pauseTimeBetweenBatches": "PT1M"}}  # fmt: skip
    body = uniform(subnet_id, 4, model=HEALTH, upgradePolicy=policy)
    await http.done(SET, body)
    latest = f"{SET}/rollingUpgrades/latest"
    assert (await http.call("GET", latest))[0] == 404
    body["sku"]["name"] = "Standard_D4s_v5"
    await http.put(SET, body)
    pass_time(http, 20)
    _, document, _ = await http.call("GET", latest)
    assert document["properties"]["runningStatus"]["code"] == "RollingForward"
    assert document["properties"]["progress"] == {
        "successfulInstanceCount": 0, "failedInstanceCount": 0, "inProgressInstanceCount": 1,
        "pendingInstanceCount": 3}  # fmt: skip
    pass_time(http, 3600)
    _, document, _ = await http.call("GET", latest)
    assert document["properties"]["runningStatus"]["code"] == "Completed"
    assert document["properties"]["progress"]["successfulInstanceCount"] == 4
    assert {one["sku"]["name"] for one in (await instances(http)).values()} == {"Standard_D4s_v5"}
    _, history, _ = await http.call("GET", f"{SET}/osUpgradeHistory")
    assert [one["properties"]["runningStatus"]["code"] for one in history["value"]] == ["Completed"]
    assert await http.code("POST", f"{SET}/rollingUpgrades/cancel") == (409, "OperationNotAllowed")
    body["sku"]["name"] = "Standard_D2s_v5"
    await http.put(SET, body)
    pass_time(http, 90)
    assert (await http.call("POST", f"{SET}/rollingUpgrades/cancel"))[0] == 200
    pass_time(http, 3600)
    assert len({one["sku"]["name"] for one in (await instances(http)).values()}) == 2
    document = await post(http, "osRollingUpgrade", seconds=3600)
    assert document["status"] == "Succeeded"
    assert {one["sku"]["name"] for one in (await instances(http)).values()} == {"Standard_D2s_v5"}


async def test_zones_are_kept_in_balance(http):
    body = uniform(await subnet(http), 3, zones=["1", "2", "3"])
    await http.done(SET, body)
    body["sku"]["capacity"] = 7
    await http.done(SET, body)
    zones = [one["zones"][0] for one in (await instances(http)).values()]
    assert sorted(zones.count(zone) for zone in "123") == [2, 2, 3]
    body["sku"]["capacity"] = 3
    await http.done(SET, body)
    assert sorted(one["zones"][0] for one in (await instances(http)).values()) == ["1", "2", "3"]
    body["zones"] = ["1"]
    assert await http.code("PUT", SET, body) == (409, "PropertyChangeNotAllowed")


@pytest.mark.parametrize(("rules", "left"), [(["Default"], "01"), (["NewestVM"], "01"), (["OldestVM"], "23")])
async def test_scaling_in_by_policy(http, rules, left):
    body = uniform(await subnet(http), 4, scaleInPolicy={"rules": rules})
    await http.done(SET, body)
    body["sku"]["capacity"] = 2
    await http.done(SET, body)
    assert "".join(await instances(http)) == left


async def test_rules_of_sets(http):
    subnet_id = await subnet(http)
    for body, status, code in (
        ({**LOCATION, "properties": {}}, 400, "InvalidParameter"),
        ({**uniform(subnet_id), "sku": {"name": "Standard_Huge", "capacity": 1}}, 400, "InvalidParameter"),
        (uniform(subnet_id, 101), 409, "OperationNotAllowed"),
        (uniform(subnet_id, 1001, singlePlacementGroup=False), 400, "InvalidParameter"),
        (uniform(subnet_id, upgradePolicy={}), 400, "InvalidParameter"),
        (uniform(subnet_id, zoneBalance=True), 400, "InvalidParameter"),
        (uniform(subnet_id, priorityMixPolicy={"baseRegularPriorityCount": 1}), 400, "InvalidParameter"),
        (uniform(subnet_id, model={"networkProfile": {}}), 400, "InvalidParameter"),
        (uniform(subnet_id, model={"osProfile": {}}), 400, "InvalidParameter"),
        (uniform(subnet_id, size="Standard_B2s", model={"priority": "Spot"}), 400, "InvalidParameter"),
    ):
        assert await http.code("PUT", SET, body) == (status, code), body
    body = uniform(subnet_id, 1)
    await http.done(SET, body)
    group = await http.put("rg/Microsoft.Compute/proximityPlacementGroups/near", LOCATION)
    for change in ({"orchestrationMode": "Flexible"}, {"platformFaultDomainCount": 2},
                   {"virtualMachineProfile": {"priority": "Spot"}},
                   {"proximityPlacementGroup": {"id": group["id"]}}):  # fmt: skip
        assert await http.code("PATCH", SET, {"properties": change}) == (409, "PropertyChangeNotAllowed"), change
    await post(http, "deallocate")
    await http.call("PATCH", SET, {"properties": {"proximityPlacementGroup": {"id": group["id"]}}})
    pass_time(http, 60)
    await http.call("PATCH", SET, {"properties": {"singlePlacementGroup": False}})
    pass_time(http, 60)
    back = {"properties": {"singlePlacementGroup": True}}
    assert await http.code("PATCH", SET, back) == (409, "PropertyChangeNotAllowed")
    assert (await http.call("POST", f"{SET}/convertToSinglePlacementGroup"))[0] == 200
    assert (await http.call("GET", SET))[1]["properties"]["singlePlacementGroup"] is True


async def test_extensions_of_a_set_reach_its_instances(http):
    guests = http.emulator.engine.guests = FakeGuests()
    extension = {"name": "setup", "properties": {
        **CUSTOM_SCRIPT, "settings": {}, "protectedSettings": {"commandToExecute": "join cluster"}}}  # fmt: skip
    body = uniform(await subnet(http), 1, model={"extensionProfile": {"extensions": [extension]}})
    _, shown, headers = await http.call("PUT", SET, body)
    assert "protectedSettings" not in str(shown)
    pass_time(http, 600)
    assert [script["script"] for script in guests.scripts] == ["join cluster"]
    assert (await http.call("GET", headers["Azure-AsyncOperation"]))[1]["status"] == "InProgress"
    guests.end("0", 2, "", "cannot join")
    pass_time(http, 60)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert (document["status"], document["error"]["code"]) == ("Failed", "VMExtensionProvisioningError")
    _, found, _ = await http.call("GET", f"{SET}/extensions")
    assert [one["name"] for one in found["value"]] == ["setup"]
    await http.done(f"{SET}/extensions/more", HEALTH["extensionProfile"]["extensions"][0])
    names = [one["name"] for one in (await http.call("GET", SET))[1]["properties"]["virtualMachineProfile"][
        "extensionProfile"]["extensions"]]  # fmt: skip
    assert names == ["setup", "more"]
    assert (await instances(http))["0"]["properties"]["latestModelApplied"] is False
    await post(http, "manualupgrade", {"instanceIds": ["0"]})
    _, found, _ = await http.call("GET", f"{SET}/virtualMachines/0/extensions")
    assert {one["name"] for one in found["value"]} == {"nodes_0/setup", "nodes_0/more"}
    assert guests.scripts[-1]["script"] == "join cluster"
    await http.call("DELETE", f"{SET}/extensions/more")
    pass_time(http, 60)
    _, found, _ = await http.call("GET", f"{SET}/extensions")
    assert [one["name"] for one in found["value"]] == ["setup"]


async def test_a_put_of_nothing_but_capacity_keeps_the_model(http):
    """What `az vmss scale` sends."""
    body = uniform(await subnet(http), 1, mode="automatic", orchestrationMode="uniform")
    await http.done(SET, body)
    await http.done(SET, {**LOCATION, "sku": {"name": "Standard_D2s_v5", "tier": "Standard", "capacity": 2}})
    assert list(await instances(http)) == ["0", "1"]
    shown = (await http.call("GET", SET))[1]["properties"]
    assert (shown["upgradePolicy"]["mode"], shown["orchestrationMode"]) == ("Automatic", "Uniform")
    assert shown["virtualMachineProfile"]["storageProfile"]["imageReference"]["offer"] == "debian-12"


async def test_automatic_repairs_can_be_suspended(http):
    asked = {"serviceName": "AutomaticRepairs", "action": "Suspend"}
    await http.done(SET, uniform(await subnet(http), 1))
    state = ("POST", f"{SET}/setOrchestrationServiceState")
    assert await http.code(*state, asked) == (409, "OperationNotAllowed")
    await http.call("PATCH", SET, {"properties": {"automaticRepairsPolicy": {"enabled": True}}})
    pass_time(http, 60)
    assert await http.code(*state, {**asked, "action": "Stop"}) == (400, "InvalidParameter")
    await post(http, "setOrchestrationServiceState", asked)
    _, view, _ = await http.call("GET", f"{SET}/instanceView")
    assert view["orchestrationServices"][0]["serviceState"] == "Suspended"


async def test_a_flexible_set_mixes_priorities(http):
    subnet_id = await subnet(http)
    body = {**LOCATION, "sku": {"name": "Standard_D2s_v5", "capacity": 5}, "properties": {
        "orchestrationMode": "Flexible", "platformFaultDomainCount": 1,
        "priorityMixPolicy": {"baseRegularPriorityCount": 1, "regularPriorityPercentageAboveBase": 50},
        "virtualMachineProfile": profile(subnet_id, priority="Spot", evictionPolicy="Delete")}}  # fmt: skip
    body["properties"]["virtualMachineProfile"]["networkProfile"]["networkApiVersion"] = "2022-11-01"
    await http.done(SET, body)
    _, document, _ = await http.call("GET", "rg/Microsoft.Compute/virtualMachines")
    priorities = [one["properties"].get("priority", "Regular") for one in document["value"]]
    assert (priorities.count("Regular"), priorities.count("Spot")) == (3, 2)
    assert await http.code("POST", f"{SET}/deallocate") == (409, "OperationNotAllowed")
    assert await http.code("POST", f"{SET}/manualupgrade", {"instanceIds": ["0"]}) == (409, "OperationNotAllowed")
    await http.call("PATCH", SET, {"sku": {"name": "Standard_D2s_v5", "capacity": 2}})
    pass_time(http, 300)
    _, document, _ = await http.call("GET", "rg/Microsoft.Compute/virtualMachines")
    assert len(document["value"]) == 2
    # Its machines are looked at one by one (azure-compute-docs, orchestration-modes-api-comparison).
    assert await http.code("GET", f"{SET}/instanceView") == (409, "OperationNotAllowed")


async def test_a_thousand_instances(http):
    body = uniform(await subnet(http, "10.0.0.0/20"), 1000, singlePlacementGroup=False)
    body["properties"]["virtualMachineProfile"]["storageProfile"].pop("dataDisks")
    await http.done(SET, body)
    _, view, _ = await http.call("GET", f"{SET}/instanceView")
    assert {"code": "PowerState/running", "count": 1000} in view["virtualMachine"]["statusesSummary"]
