"""Quota that moves, room that runs out, restrictions, and what holds both: with Azure's own refusals."""

from __future__ import annotations

from typing import Any

import pytest
from tests.component.emulator.test_compute import VM, act, pass_time
from tests.component.emulator.test_compute_scale_sets import SET, instances, post, power, uniform
from tests.component.emulator.test_protocol import LOCATION, subnet, vm

from azure_emulator import SUBSCRIPTION

USAGES = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/usages"
FAMILY = "standardDSv5Family"


async def usage(http: Any, *names: str) -> Any:
    _, document, _ = await http.call("GET", USAGES)
    found = {one["name"]["value"]: one["currentValue"] for one in document["value"]}
    return found[names[0]] if len(names) == 1 else [found[name] for name in names]


async def admin(http: Any, what: str, document: Any) -> None:
    async with http.session.put(f"{http.emulator.url}/emulator/{what}", json=document) as answer:
        assert answer.status < 300, await answer.text()


async def scarce(http: Any, count: int, size: str = "Standard_D4s_v5", **more: Any) -> None:
    await admin(http, "capacity", {"vmSize": size, "count": count, **more})


async def failure(http: Any, path: str, body: Any) -> tuple[str, str]:
    """Code and text of the operation that a PUT starts."""
    status, document, headers = await http.call("PUT", path, body)
    assert status in (200, 201), document
    pass_time(http, 400)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert document["status"] == "Failed"
    return document["error"]["code"], document["error"]["message"]


def machine(name: str) -> str:
    return f"rg/Microsoft.Compute/virtualMachines/{name}"


# -- quota -----------------------------------------------------------------------------------------------------------


async def test_quota_moves_with_start_deallocation_and_deletion(http):
    subnet_id = await subnet(http)
    await http.put(VM, vm(subnet_id))
    assert await usage(http, FAMILY, "cores", "virtualMachines", "lowPriorityCores") == [4, 4, 1, 0]
    pass_time(http, 300)
    await act(http, "powerOff")
    assert await usage(http, FAMILY, "cores") == [4, 4]
    await act(http, "deallocate")
    assert await usage(http, FAMILY, "cores", "virtualMachines") == [0, 0, 1]
    await act(http, "start")
    assert await usage(http, FAMILY) == 4
    await http.done(machine("spot"), vm(subnet_id, "spot", priority="Spot"), seconds=300)
    assert await usage(http, FAMILY, "lowPriorityCores", "virtualMachines") == [4, 4, 2]
    await http.done(machine("few"), vm(subnet_id, "few", size="Standard_HB120-16rs_v3"), seconds=300)
    assert await usage(http, "standardHBv3Family") == 120
    await http.call("DELETE", VM)
    pass_time(http, 300)
    assert await usage(http, FAMILY, "virtualMachines") == [0, 2]


async def test_deallocated_machines_may_count_too(http):
    await admin(http, "settings", {"deallocatedTakesQuota": True})
    await http.done(VM, vm(await subnet(http)), seconds=300)
    await act(http, "deallocate")
    assert await usage(http, FAMILY) == 4


async def test_a_start_may_exceed_the_quota(http):
    subnet_id = await subnet(http)
    await http.done(VM, vm(subnet_id), seconds=300)
    await act(http, "deallocate")
    await admin(http, "quota", {"location": "westeurope", "name": "cores", "limit": 6})
    await http.done(machine("other"), vm(subnet_id, "other"), seconds=300)
    status, document, _ = await http.call("POST", f"{VM}/start")
    assert (status, document["error"]["code"]) == (409, "OperationNotAllowed")
    assert "exceeding approved Total Regional Cores quota" in document["error"]["message"]
    assert (await http.call("GET", f"{VM}/instanceView"))[1]["statuses"][-1]["code"] == "PowerState/deallocated"
    await http.call("DELETE", machine("other"))
    pass_time(http, 300)
    assert (await act(http, "start"))["status"] == "Succeeded"


async def test_a_resize_takes_the_difference(http):
    await http.done(VM, vm(await subnet(http)), seconds=300)
    await admin(http, "quota", {"location": "westeurope", "name": FAMILY, "limit": 8})
    resize = {"properties": {"hardwareProfile": {"vmSize": "Standard_D16s_v5"}}}
    status, document, _ = await http.call("PATCH", VM, resize)
    assert "Current Usage: 4, Additional Required: 12" in document["error"]["message"]
    resize["properties"]["hardwareProfile"]["vmSize"] = "Standard_D8s_v5"
    assert (await http.call("PATCH", VM, resize))[0] == 200
    assert await usage(http, FAMILY, "virtualMachines") == [8, 1]
    assert status == 409


async def test_the_code_of_a_quota_refusal_can_be_set(http):
    await admin(http, "settings", {"quotaErrorCode": "QuotaExceeded"})
    await admin(http, "quota", {"location": "westeurope", "name": "lowPriorityCores", "limit": 3})
    status, document, _ = await http.call("PUT", VM, vm(await subnet(http), priority="Spot"))
    assert (status, document["error"]["code"]) == (409, "QuotaExceeded")
    assert "exceeding approved LowPriorityCores quota" in document["error"]["message"]


@pytest.mark.parametrize("mode", ["Uniform", "Flexible"])
async def test_a_set_is_refused_as_a_whole_beyond_the_quota(http, mode):
    body = uniform(await subnet(http), 3)
    body["properties"]["orchestrationMode"] = mode
    body["properties"]["virtualMachineProfile"]["networkProfile"]["networkApiVersion"] = "2022-11-01"
    if mode == "Flexible":
        body["properties"] |= {"platformFaultDomainCount": 1}
    await admin(http, "quota", {"location": "westeurope", "name": FAMILY, "limit": 4})
    status, document, _ = await http.call("PUT", SET, body)
    assert (status, document["error"]["code"]) == (409, "OperationNotAllowed")
    assert "Additional Required: 6" in document["error"]["message"]
    assert (await http.call("GET", SET))[0] == 404
    assert await usage(http, FAMILY, "virtualMachineScaleSets") == [0, 0]


# -- room ------------------------------------------------------------------------------------------------------------


async def test_where_there_is_no_room(http):
    subnet_id = await subnet(http)
    await scarce(http, 0)
    code, text = await failure(http, machine("a"), vm(subnet_id, "a"))
    assert code == "AllocationFailed"
    assert text.startswith("Allocation failed. We do not have sufficient capacity for the requested VM size in this "
                           "region. Read more about improving likelihood of allocation success at")  # fmt: skip
    code, text = await failure(http, machine("b"), {**vm(subnet_id, "b"), "zones": ["2"]})
    assert code == "ZonalAllocationFailed"
    assert "for the requested VM size in this zone" in text
    assert await usage(http, FAMILY, "virtualMachines") == [0, 2]
    _, view, _ = await http.call("GET", f"{machine('a')}/instanceView")
    assert [one["code"] for one in view["statuses"]] == ["ProvisioningState/failed/AllocationFailed"]


async def test_constraints_that_combine(http):
    subnet_id = await subnet(http)
    await scarce(http, 0)
    group = await http.put("rg/Microsoft.Compute/proximityPlacementGroups/near", LOCATION)
    near = {"proximityPlacementGroup": {"id": group["id"]}}
    body = vm(subnet_id, "a", priority="Spot", **near)
    interfaces = body["properties"]["networkProfile"]["networkInterfaceConfigurations"]
    interfaces[0]["properties"]["enableAcceleratedNetworking"] = True
    code, text = await failure(http, machine("a"), body)
    assert code == "OverconstrainedAllocationRequest"
    assert text == (
        "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is too "
        "restrictive. Please remove some constraints and try again. Constraints applied are:\n"
        "  - Networking Constraints (such as Accelerated Networking or IPv6)\n  - Proximity Placement Group\n"
        "  - Low Priority VMs\n  - VM Size"
    )
    code, text = await failure(http, machine("b"), {**vm(subnet_id, "b", priority="Spot", **near), "zones": ["1"]})
    assert code == "OverconstrainedZonalAllocationRequest"
    assert "  - Availability Zone\n  - Proximity" in text
    assert (await failure(http, machine("c"), vm(subnet_id, "c", priority="Spot")))[0] == "AllocationFailed"
    await admin(http, "settings", {"overconstrainedFrom": 1})
    code, _ = await failure(http, machine("d"), vm(subnet_id, "d", priority="Spot"))
    assert code == "OverconstrainedAllocationRequest"


async def test_what_is_told_at_once(http):
    subnet_id = await subnet(http)
    await scarce(http, 0, priority="Spot", refuse="sync")
    status, document, _ = await http.call("PUT", machine("a"), vm(subnet_id, "a", priority="Spot"))
    assert (status, document["error"]["code"], document["error"]["target"]) == (409, "SkuNotAvailable", "sku.name")
    assert document["error"]["message"].startswith(
        "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: Standard_D4s_v5' is "
        "currently not available in location 'westeurope'."
    )
    assert (await http.call("GET", machine("a")))[0] == 404
    assert (await http.call("PUT", machine("b"), vm(subnet_id, "b")))[0] == 201


async def test_restrictions_by_zone_and_subscription(http):
    subnet_id = await subnet(http)
    rows = [
        {"vmSize": "Standard_D4s_v5", "location": "westeurope", "zones": ["1"]},
        {"vmSize": "Standard_HB176rs_v4", "location": "westeurope", "reasonCode": "QuotaId"},
    ]
    await admin(http, "settings", {"restrictions": rows})
    skus = f"{http.subscription}/providers/Microsoft.Compute/skus"
    _, document, _ = await http.call("GET", skus, query={"$filter": "location eq 'westeurope'"})
    found = {one["name"]: one["restrictions"] for one in document["value"]}
    assert found["Standard_D4s_v5"] == [{
        "type": "Zone", "values": ["westeurope"], "reasonCode": "NotAvailableForSubscription",
        "restrictionInfo": {"locations": ["westeurope"], "zones": ["1"]}}]  # fmt: skip
    assert [one["reasonCode"] for one in found["Standard_HB176rs_v4"]] == ["QuotaId"]
    assert found["Standard_DS1_v2"] == []
    zonal = {**vm(subnet_id), "zones": ["1"]}
    assert await http.code("PUT", VM, zonal) == (409, "SkuNotAvailable")
    assert (await http.call("PUT", VM, {**zonal, "zones": ["2"]}))[0] == 201
    big = vm(subnet_id, "big", size="Standard_HB176rs_v4")
    assert await http.code("PUT", machine("big"), big) == (409, "SkuNotAvailable")


async def test_a_start_may_find_no_room(http):
    await http.done(VM, vm(await subnet(http)), seconds=300)
    await act(http, "deallocate")
    await scarce(http, 0)
    document = await act(http, "start")
    assert (document["status"], document["error"]["code"]) == ("Failed", "AllocationFailed")
    _, view, _ = await http.call("GET", f"{VM}/instanceView")
    assert view["statuses"][-1]["code"] == "PowerState/deallocated"
    assert await usage(http, FAMILY) == 0
    await scarce(http, 1)
    assert (await act(http, "start"))["status"] == "Succeeded"


async def test_a_failed_resize_leaves_the_machine_as_it_was(http):
    await http.done(VM, vm(await subnet(http)), seconds=300)
    await scarce(http, 0, "Standard_D8s_v5")
    resize = {"properties": {"hardwareProfile": {"vmSize": "Standard_D8s_v5"}}}
    _, _, headers = await http.call("PATCH", VM, resize)
    pass_time(http, 100)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert document["error"]["code"] == "AllocationFailed"
    assert (await http.call("GET", VM))[1]["properties"]["hardwareProfile"]["vmSize"] == "Standard_D4s_v5"
    assert await usage(http, FAMILY) == 4


# -- sets ------------------------------------------------------------------------------------------------------------


async def grown(http: Any, **more: Any) -> tuple[str, dict[str, str], Any]:
    """Code of the failure, states of instances, and capacity, of a set of four where two find a place."""
    await scarce(http, 2, "Standard_D2s_v5")
    code, _ = await failure(http, SET, uniform(await subnet(http), 4, **more))
    found = await instances(http)
    states = {number: one["properties"]["provisioningState"] for number, one in found.items()}
    return code, states, (await http.call("GET", SET))[1]


async def test_a_set_grows_as_far_as_there_is_room(http):
    code, states, document = await grown(http, singlePlacementGroup=False)
    assert code == "AllocationFailed"
    assert states == {"0": "Succeeded", "1": "Succeeded", "2": "Failed", "3": "Failed"}
    assert (document["sku"]["capacity"], document["properties"]["provisioningState"]) == (4, "Failed")
    assert await usage(http, FAMILY) == 4
    assert [await power(http, number) for number in "01"] == ["running", "running"]
    await post(http, "delete", {"instanceIds": ["2", "3"]})
    _, document, _ = await http.call("GET", SET)
    assert (document["sku"]["capacity"], document["properties"]["provisioningState"]) == (2, "Succeeded")


async def test_a_single_placement_group_says_that_its_cluster_is_full(http):
    await scarce(http, 1, "Standard_D2s_v5")
    code, text = await failure(http, SET, uniform(await subnet(http), 2))
    assert code == "AllocationFailed"
    assert "such allocation is scoped to a single cluster" in text


async def test_a_set_may_grow_not_at_all(http):
    await admin(http, "settings", {"scaleSetGrowth": "allOrNothing"})
    _, states, _ = await grown(http)
    assert set(states.values()) == {"Failed"}
    assert await usage(http, FAMILY) == 0
    assert http.emulator.engine.setting("capacity")[0]["count"] == 2


async def test_a_refused_set_takes_nothing(http):
    await scarce(http, 2, "Standard_D2s_v5", refuse="sync")
    assert await http.code("PUT", SET, uniform(await subnet(http), 3)) == (409, "SkuNotAvailable")
    assert http.emulator.engine.setting("capacity")[0]["count"] == 2


# -- reservations and placement --------------------------------------------------------------------------------------

GROUP = "rg/Microsoft.Compute/capacityReservationGroups/held"


async def test_a_reservation_holds_quota_and_room(http):
    subnet_id = await subnet(http)
    await scarce(http, 2)
    group = await http.put(GROUP, LOCATION)
    sku = {"sku": {"name": "Standard_D4s_v5", "capacity": 2}}
    assert (await failure(http, f"{GROUP}/capacityReservations/many", {
        **LOCATION, "sku": {"name": "Standard_D4s_v5", "capacity": 3}}))[0] == "AllocationFailed"  # fmt: skip
    await http.call("DELETE", f"{GROUP}/capacityReservations/many")
    pass_time(http, 60)
    await http.done(f"{GROUP}/capacityReservations/two", {**LOCATION, **sku})
    assert await usage(http, FAMILY, "cores", "virtualMachines") == [8, 8, 0]
    assert (await failure(http, machine("outside"), vm(subnet_id, "outside")))[0] == "AllocationFailed"
    held = {"capacityReservation": {"capacityReservationGroup": {"id": group["id"]}}}
    await http.done(machine("inside"), vm(subnet_id, "inside", **held), seconds=300)
    assert await usage(http, FAMILY, "virtualMachines") == [8, 2]
    other = vm(subnet_id, "wrong", size="Standard_D8s_v5", **held)
    assert await http.code("PUT", machine("wrong"), other) == (400, "InvalidParameter")
    expanded = {"$expand": "instanceView"}
    _, shown, _ = await http.call("GET", f"{GROUP}/capacityReservations/two", query=expanded)
    utilisation = shown["properties"]["instanceView"]["utilizationInfo"]
    assert utilisation["currentCapacity"] == 2
    assert [one["id"].rsplit("/", 1)[1] for one in utilisation["virtualMachinesAllocated"]] == ["inside"]
    assert await http.code("DELETE", GROUP) == (409, "OperationNotAllowed")
    assert await http.code("DELETE", f"{GROUP}/capacityReservations/two") == (409, "OperationNotAllowed")
    fewer = {"sku": {"name": "Standard_D4s_v5", "capacity": 0}}
    assert await http.code("PATCH", f"{GROUP}/capacityReservations/two", fewer) == (409, "OperationNotAllowed")
    await act(http, "deallocate", path=machine("inside"))
    await http.call("DELETE", f"{GROUP}/capacityReservations/two")
    pass_time(http, 60)
    assert await usage(http, FAMILY) == 0
    assert http.emulator.engine.setting("capacity")[0]["count"] == 2


async def test_instances_take_reserved_places_first(http):
    subnet_id = await subnet(http)
    group = await http.put(GROUP, LOCATION)
    sku = {"sku": {"name": "Standard_D2s_v5", "capacity": 2}}
    await http.done(f"{GROUP}/capacityReservations/two", {**LOCATION, **sku})
    await admin(http, "quota", {"location": "westeurope", "name": FAMILY, "limit": 6})
    held = {"capacityReservation": {"capacityReservationGroup": {"id": group["id"]}}}
    assert await http.code("PUT", SET, uniform(subnet_id, 4, model=held)) == (409, "OperationNotAllowed")
    await http.done(SET, uniform(subnet_id, 3, model=held))
    assert await usage(http, FAMILY, "virtualMachines") == [6, 3]
    _, shown, _ = await http.call("GET", GROUP, query={"$expand": "instanceView"})
    (view,) = shown["properties"]["instanceView"]["capacityReservations"]
    assert len(view["utilizationInfo"]["virtualMachinesAllocated"]) == 2


def test_placement_by_the_sdk(sdk, group):
    compute = sdk.compute
    made = compute.proximity_placement_groups.create_or_update(group, "near", {"location": "westeurope"})
    available = compute.availability_sets.create_or_update(group, "spread", {
        "location": "westeurope", "sku": {"name": "Aligned"},
        "properties": {"platformFaultDomainCount": 2, "proximityPlacementGroup": {"id": made.id}}})  # fmt: skip
    assert available.platform_update_domain_count == 5
    shown = compute.proximity_placement_groups.get(group, "near", include_colocation_status="true")
    assert [one.id for one in shown.availability_sets] == [available.id]
    assert shown.colocation_status.code == "ColocationStatus/Aligned"
    assert compute.availability_sets.list_available_sizes(group, "spread").next().name
    compute.availability_sets.delete(group, "spread")
    compute.proximity_placement_groups.delete(group, "near")
    reserved = compute.capacity_reservation_groups.create_or_update(group, "held", {"location": "westeurope"})
    assert reserved.reservation_type == "Targeted"
    one = compute.capacity_reservations.begin_create_or_update(
        group, "held", "one", {"location": "westeurope", "sku": {"name": "Standard_D2s_v5", "capacity": 1}}
    ).result()
    assert one.reservation_id
    bigger = {"sku": {"name": "Standard_D2s_v5", "capacity": 2}}
    assert compute.capacity_reservations.begin_update(group, "held", "one", bigger).result().sku.capacity == 2
    compute.capacity_reservations.begin_delete(group, "held", "one").result()
    compute.capacity_reservation_groups.begin_delete(group, "held").result()


async def test_groups_in_use_stay(http):
    subnet_id = await subnet(http)
    near = await http.put("rg/Microsoft.Compute/proximityPlacementGroups/near", LOCATION)
    spread = await http.put("rg/Microsoft.Compute/availabilitySets/spread", LOCATION)
    references = {"proximityPlacementGroup": {"id": near["id"]}, "availabilitySet": {"id": spread["id"]}}
    zonal = {**vm(subnet_id, **references), "zones": ["1"]}
    assert await http.code("PUT", VM, zonal) == (400, "InvalidParameter")
    await http.done(VM, vm(subnet_id, **references), seconds=300)
    _, view, _ = await http.call("GET", f"{VM}/instanceView")
    assert view["platformFaultDomain"] == 0
    for path in (near["id"], spread["id"]):
        assert await http.code("DELETE", path) == (409, "OperationNotAllowed")
    await http.call("DELETE", VM)
    pass_time(http, 300)
    assert (await http.call("DELETE", spread["id"]))[0] == 200
    assert (await http.call("DELETE", near["id"]))[0] == 200
    assert (await http.call("DELETE", near["id"]))[0] == 404


def test_sizes_by_the_sdk(sdk):
    found = {one.name: one for one in sdk.compute.resource_skus.list(filter="location eq 'westeurope'")}
    for name in ("Standard_DS1_v2", "Standard_D2s_v3", "Standard_D2s_v5", "Standard_B1ms", "Standard_B2s",
                 "Standard_HB368rs_v5", "Standard_ND96isr_H200_v5", "Standard_HX176-24rs"):  # fmt: skip
        assert found[name].family
    values = {one.name: one.value for one in found["Standard_HB120rs_v3"].capabilities}
    assert values["NvmeDiskSizeInMiB"] == "1831054"
    domains = {one.name: one.value for one in found["Aligned"].capabilities}
    assert domains == {"MaximumPlatformFaultDomainCount": "3"}
    assert {one.name for one in sdk.compute.virtual_machine_sizes.list("westeurope")} >= {"Standard_DS1_v2"}
