"""Resource Manager's protocol on a stepped clock: status codes, headers, states in between, and the error table."""

from __future__ import annotations

import asyncio
import base64
import json
import time

import pytest

NETWORK = "rg/Microsoft.Network"
VNET = f"{NETWORK}/virtualNetworks/vnet"
LOCATION = {"location": "westeurope"}
TIB = 2**40


def vnet(*prefixes: str, subnets=None):
    properties = {"addressSpace": {"addressPrefixes": list(prefixes or ("10.0.0.0/16",))}}
    if subnets is not None:
        properties["subnets"] = [{"name": name, "properties": {"addressPrefix": one}} for name, one in subnets.items()]
    return {**LOCATION, "properties": properties}


def nic(subnet_id, **extra):
    return {**LOCATION, "properties": {"ipConfigurations": [
        {"name": "main", "properties": {"subnet": {"id": subnet_id}, **extra}}]}}  # fmt: skip


def vm(subnet_id, name="vm", size="Standard_D4s_v5", **properties):
    return {**LOCATION, "properties": {
        "hardwareProfile": {"vmSize": size},
        "storageProfile": {
            "imageReference": {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2", "version": "latest"},
            "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"}},
        "osProfile": {"computerName": name, "adminUsername": "hpcadmin", "customData": "c2VjcmV0"},
        "networkProfile": {"networkApiVersion": "2022-11-01", "networkInterfaceConfigurations": [
            {"name": f"{name}-nic", "properties": {"deleteOption": "Delete", "ipConfigurations": [
                {"name": "main", "properties": {"subnet": {"id": subnet_id}}}]}}]},
        **properties}}  # fmt: skip


async def subnet(http, prefix="10.0.0.0/24"):
    await http.done(VNET, vnet(subnets={"nodes": prefix}))
    return f"{http.subscription}/resourceGroups/{VNET.replace('/Microsoft', '/providers/Microsoft')}/subnets/nodes"


async def test_network_answers_as_in_recordings(http):
    http.emulator.clock.speed = 1
    status, body, headers = await http.call("PUT", VNET, vnet())
    assert (status, body["properties"]["provisioningState"]) == (201, "Updating")
    assert "/providers/Microsoft.Network/locations/westeurope/operations/" in headers["Azure-AsyncOperation"]
    assert "Location" not in headers
    assert "Retry-After" not in headers
    status, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert (status, document) == (200, {"status": "InProgress"})
    http.advance(60)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert document == {"status": "Succeeded"}
    status, again, _ = await http.call("PUT", VNET, vnet())
    assert status == 200
    assert again["etag"] != body["etag"]


async def test_compute_and_storage_answer_in_their_own_styles(http):
    http.emulator.clock.speed = 1
    status, body, headers = await http.call(
        "PUT", "rg/Microsoft.Storage/storageAccounts/data123",
        {**LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"},
    )  # fmt: skip
    assert (status, body, headers["Retry-After"]) == (202, None, "17")
    assert "Azure-AsyncOperation" not in headers
    assert (await http.call("GET", headers["Location"]))[0] == 202
    http.advance(60)
    status, body, _ = await http.call("GET", headers["Location"])
    assert (status, body["properties"]["provisioningState"]) == (200, "Succeeded")
    scale_set = {**LOCATION, "properties": {"orchestrationMode": "Flexible", "platformFaultDomainCount": 1}}
    _, _, headers = await http.call("PUT", "rg/Microsoft.Compute/virtualMachineScaleSets/set", scale_set)
    assert headers["Retry-After"] == "10"
    assert "monitor=true" in headers["Location"]
    assert "Azure-AsyncOperation" in headers


async def test_a_scaled_clock_scales_the_wait(http):
    http.emulator.clock.speed = 100
    _, _, headers = await http.call("PUT", VNET, vnet())
    assert headers["retry-after-ms"] == "100"
    assert "Retry-After" not in headers  # azure-core would sleep a whole second
    http.emulator.clock.speed = 2
    _, _, headers = await http.call("DELETE", "rg")
    assert (headers["Retry-After"], headers["retry-after-ms"]) == ("8", "7500")


async def test_names_have_no_case_but_keep_it(http):
    await http.done(f"{NETWORK}/virtualNetworks/MyNet", vnet())
    path = f"{http.subscription.upper()}/RESOURCEGROUPS/RG/providers/microsoft.network/VIRTUALNETWORKS/mynet"
    status, body, _ = await http.call("GET", path)
    assert (status, body["name"]) == (200, "MyNet")
    assert body["id"].endswith("/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/MyNet")


async def test_nothing_is_made_up(http):
    assert await http.code("PUT", "rg/Microsoft.Nothing/things/x", LOCATION) == (404, "InvalidResourceNamespace")
    assert await http.code("PUT", f"{NETWORK}/flyingCarpets/x", LOCATION) == (404, "InvalidResourceType")
    assert await http.code("POST", f"{VNET}/fly", {}) == (404, "InvalidResourceType")
    assert await http.code("GET", VNET, version="") == (400, "MissingApiVersionParameter")
    assert await http.code("GET", VNET, version="soon") == (400, "InvalidApiVersionParameter")
    assert await http.code("GET", "/subscriptions/unknown/resourceGroups") == (404, "SubscriptionNotFound")
    assert await http.code("GET", VNET) == (404, "ResourceNotFound")
    assert await http.code("PUT", "none/Microsoft.Network/virtualNetworks/vnet", vnet()) == (
        404, "ResourceGroupNotFound")  # fmt: skip
    assert await http.code("PUT", f"{VNET}/subnets/a", {"properties": {"addressPrefix": "10.0.0.0/24"}}) == (
        404, "ParentResourceNotFound")  # fmt: skip
    assert (await http.call("DELETE", VNET))[0] == 204


async def test_bodies_are_checked(http):
    put = ("PUT", VNET)
    assert await http.code(*put, {"properties": {}}) == (400, "LocationRequired")
    assert await http.code(*put, {**vnet(), "location": "moon"}) == (400, "LocationNotAvailableForResourceType")
    assert await http.code(*put, {**vnet(), "colour": "red"}) == (400, "InvalidRequestContent")
    assert await http.code(*put, {**vnet(), "tags": {"a": {}}}) == (400, "InvalidRequestContent")
    assert await http.code(*put, {**vnet(), "tags": {str(n): "" for n in range(51)}}) == (400, "InvalidTags")
    await http.done(VNET, {**vnet(), "location": "West Europe", "tags": {"a": "b"}})
    assert await http.code(*put, {**vnet(), "location": "eastus"}) == (409, "InvalidResourceLocation")
    status, body, _ = await http.call("PATCH", VNET, {"tags": {"c": "d"}})
    assert (status, body["tags"], body["location"]) == (200, {"c": "d"}, "westeurope")


async def test_unknown_properties_are_kept_and_read_only_ones_ignored(http):
    body = vnet()
    body["properties"] |= {"flowTimeoutInMinutes": 10, "provisioningState": "Failed", "resourceGuid": "mine"}
    kept = await http.done(VNET, {**body, "id": "/nonsense", "etag": "x"})
    assert kept["properties"]["flowTimeoutInMinutes"] == 10
    assert kept["properties"]["resourceGuid"] != "mine"
    del body["properties"]["flowTimeoutInMinutes"]
    assert "flowTimeoutInMinutes" not in (await http.done(VNET, body))["properties"]


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("10.1.0.0/24", "NetcfgSubnetRangeOutsideVnet"),
        ("10.0.0.0/25", "NetcfgSubnetRangesOverlap"),
        ("10.0.5.1/24", "InvalidCIDRNotation"),
        ("ten", "InvalidAddressPrefixFormat"),
        ("10.0.9.0/30", "NetcfgInvalidSubnet"),
    ],
)
async def test_subnet_ranges(http, prefix, code):
    await subnet(http)
    body = {"properties": {"addressPrefix": prefix}}
    assert await http.code("PUT", f"{VNET}/subnets/other", body) == (400, code)


async def test_a_vnet_put_replaces_its_subnets(http):
    await http.done(VNET, vnet(subnets={"a": "10.0.0.0/24", "b": "10.0.1.0/24"}))
    body = await http.done(VNET, vnet())
    assert [found["name"] for found in body["properties"]["subnets"]] == ["a", "b"]
    body = await http.done(VNET, vnet(subnets={"b": "10.0.1.0/24"}))
    assert [found["name"] for found in body["properties"]["subnets"]] == ["b"]
    await http.call("PUT", VNET, vnet(), version="2020-11-01")
    http.advance(60)
    assert (await http.call("GET", VNET))[1]["properties"]["subnets"] == []


async def test_a_vnet_put_cannot_drop_a_subnet_in_use(http):
    subnet_id = await subnet(http)
    await http.done(f"{NETWORK}/networkInterfaces/nic", nic(subnet_id))
    assert await http.code("PUT", VNET, vnet(subnets={})) == (400, "InUseSubnetCannotBeDeleted")
    assert await http.code("PUT", VNET, vnet(), version="2020-11-01") == (400, "InUseSubnetCannotBeDeleted")
    body = {"properties": {"addressPrefix": "10.0.7.0/24"}}
    assert await http.code("PUT", f"{VNET}/subnets/nodes", body) == (400, "InUsePrefixCannotBeDeleted")
    _, shown, _ = await http.call("GET", f"{VNET}/subnets/nodes")
    assert shown["properties"]["ipConfigurations"][0]["id"].endswith("/networkInterfaces/nic/ipConfigurations/main")


async def test_writes_under_one_vnet_run_one_at_a_time(http):
    subnet_id = await subnet(http)
    await http.put(f"{VNET}/subnets/a", {"properties": {"addressPrefix": "10.0.1.0/24"}})
    second = ("PUT", f"{VNET}/subnets/b", {"properties": {"addressPrefix": "10.0.2.0/24"}})
    assert await http.code(*second) == (409, "AnotherOperationInProgress")
    assert await http.code("PUT", VNET, vnet()) == (409, "AnotherOperationInProgress")
    a = subnet_id.replace("/nodes", "/a")
    status, document, _ = await http.call("PUT", f"{NETWORK}/networkInterfaces/nic", nic(a))
    assert (status, document["error"]["code"]) == (429, "RetryableError")
    assert document["error"]["details"][0]["code"] == "ReferencedResourceNotProvisioned"
    await http.session.put(f"{http.emulator.url}/emulator/settings", json={"serialisedWrites": "failed"})
    status, _, headers = await http.call(*second)
    assert status == 201
    http.advance(60)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert (document["status"], document["error"]["code"]) == ("Failed", "AnotherOperationInProgress")
    assert (await http.call("GET", second[1]))[1]["properties"]["provisioningState"] == "Failed"


async def test_addresses(http):
    subnet_id = await subnet(http, "10.0.0.0/29")
    addresses = []
    for number in range(3):
        body = await http.done(f"{NETWORK}/networkInterfaces/nic{number}", nic(subnet_id))
        addresses.append(body["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"])
    assert addresses == ["10.0.0.4", "10.0.0.5", "10.0.0.6"]
    put = ("PUT", f"{NETWORK}/networkInterfaces/more")
    assert await http.code(*put, nic(subnet_id)) == (400, "SubnetIsFull")
    for address, code in (
        ("10.0.0.5", "PrivateIPAddressInUse"),
        ("10.0.0.1", "PrivateIPAddressInReservedRange"),
        ("10.0.9.9", "PrivateIPAddressNotInSubnet"),
    ):
        static = nic(subnet_id, privateIPAllocationMethod="Static", privateIPAddress=address)
        assert await http.code(*put, static) == (400, code)
    dangling = nic(subnet_id.replace("nodes", "gone"))
    assert await http.code(*put, dangling) == (400, "InvalidResourceReference")
    await http.call("DELETE", f"{NETWORK}/networkInterfaces/nic1")
    http.advance(60)
    body = await http.done(f"{NETWORK}/networkInterfaces/more", nic(subnet_id))
    assert body["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] == "10.0.0.5"


async def test_bastion_rules(http):
    await http.done(VNET, vnet(subnets={"AzureBastionSubnet": "10.0.0.0/27", "nodes": "10.0.1.0/24"}))
    pip = await http.done(f"{NETWORK}/publicIPAddresses/pip", {**LOCATION, "properties": {}})
    base = f"{http.subscription}/resourceGroups/{VNET.replace('/Microsoft', '/providers/Microsoft')}/subnets"
    for name in ("AzureBastionSubnet", "nodes"):
        configuration = {"name": "c", "properties": {"subnet": {"id": f"{base}/{name}"},
                                                     "publicIPAddress": {"id": pip["id"]}}}  # fmt: skip
        body = {**LOCATION, "properties": {"ipConfigurations": [configuration]}}
        assert (await http.call("PUT", f"{NETWORK}/bastionHosts/b", body))[0] == 400


async def test_vm_lifecycle_shows_truth_at_every_moment(http):
    subnet_id = await subnet(http)
    path = "rg/Microsoft.Compute/virtualMachines/vm"
    status, body, headers = await http.call("PUT", path, vm(subnet_id))
    assert (status, body["properties"]["provisioningState"]) == (201, "Creating")
    http.advance(30)
    assert (await http.call("GET", path))[1]["properties"]["provisioningState"] == "Creating"
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert document["status"] == "InProgress"
    assert (await http.call("GET", headers["Location"]))[0] == 202
    http.advance(60)
    _, body, headers = await http.call("GET", path)
    assert body["properties"]["provisioningState"] == "Succeeded"
    assert "customData" not in json.dumps(body)
    etag = headers["ETag"]
    stale = {"If-Match": '"99"'}
    assert await http.code("PATCH", path, {"tags": {}}, headers=stale) == (412, "PreconditionFailed")
    assert (await http.call("PATCH", path, {"tags": {"a": "b"}}, headers={"If-Match": etag}))[0] == 200
    other = vm(subnet_id)
    other["properties"]["osProfile"]["customData"] = "b3RoZXI="
    assert await http.code("PUT", path, other) == (409, "PropertyChangeNotAllowed")
    assert (await http.call("PUT", path, vm(subnet_id)))[0] == 200
    http.advance(60)
    big = {"properties": {"hardwareProfile": {"vmSize": "Standard_HB176rs_v4"}}}
    assert await http.code("PATCH", path, big) == (409, "OperationNotAllowed")
    assert await http.code("DELETE", f"{NETWORK}/networkInterfaces/vm-nic") == (400, "NicInUse")
    status, _, headers = await http.call("DELETE", path)
    assert status == 202
    assert (await http.call("GET", path))[1]["properties"]["provisioningState"] == "Deleting"
    assert (await http.call("DELETE", path))[0] == 202
    http.advance(200)
    assert (await http.call("GET", headers["Location"]))[0] == 204
    assert await http.code("GET", path) == (404, "ResourceNotFound")


async def test_vm_refusals(http):
    subnet_id = await subnet(http)
    put = ("PUT", "rg/Microsoft.Compute/virtualMachines/vm")
    assert await http.code(*put, vm(subnet_id, size="Standard_Huge")) == (400, "InvalidParameter")
    body = vm(subnet_id)
    body["properties"]["storageProfile"]["imageReference"]["version"] = "1.2.3"
    assert await http.code(*put, body) == (404, "PlatformImageNotFound")
    body = vm(subnet_id)
    body["properties"]["osProfile"]["customData"] = "no base64!"
    assert await http.code(*put, body) == (400, "InvalidParameter")
    assert await http.code(*put, {**vm(subnet_id), "zones": ["7"]}) == (400, "InvalidAvailabilityZone")
    missing = f"{http.subscription}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x"
    identity = {"type": "UserAssigned", "userAssignedIdentities": {missing: {}}}
    assert await http.code(*put, {**vm(subnet_id), "identity": identity}) == (400, "InvalidResourceReference")
    uniform = {**LOCATION, "properties": {"orchestrationMode": "Uniform"}}
    assert await http.code("PUT", "rg/Microsoft.Compute/virtualMachineScaleSets/s", uniform) == (
        400, "InvalidParameter")  # fmt: skip


async def test_quota(http):
    subnet_id = await subnet(http)
    limit = {"location": "westeurope", "name": "standardDSv5Family", "limit": 6}
    await http.session.put(f"{http.emulator.url}/emulator/quota", json=limit)
    await http.done("rg/Microsoft.Compute/virtualMachines/one", vm(subnet_id, "one"))
    status, document, _ = await http.call("PUT", "rg/Microsoft.Compute/virtualMachines/two", vm(subnet_id, "two"))
    assert (status, document["error"]["code"]) == (409, "OperationNotAllowed")
    for text in ("standardDSv5Family Cores quota", "Limit: 6", "Usage: 4", "Required: 4", "Limit Required: 8"):
        assert text in document["error"]["message"]
    _, spot, _ = await http.call(
        "PUT", "rg/Microsoft.Compute/virtualMachines/two", vm(subnet_id, "two", priority="Spot")
    )
    assert spot["properties"]["evictionPolicy"] == "Deallocate"
    _, usages, _ = await http.call(
        "GET", f"{http.subscription}/providers/Microsoft.Compute/locations/westeurope/usages"
    )
    used = {usage["name"]["value"]: usage["currentValue"] for usage in usages["value"]}
    assert (used["standardDSv5Family"], used["cores"], used["lowPriorityCores"]) == (4, 4, 4)
    assert used["virtualMachines"] == 2


async def test_capacity_runs_out_and_comes_back(http):
    subnet_id = await subnet(http)
    url = f"{http.emulator.url}/emulator/capacity"
    row = {"vmSize": "Standard_D4s_v5", "count": 1}
    await http.session.put(url, json=row)
    await http.done("rg/Microsoft.Compute/virtualMachines/one", vm(subnet_id, "one"))
    two = "rg/Microsoft.Compute/virtualMachines/two"
    status, _, headers = await http.call("PUT", two, vm(subnet_id, "two"))
    assert status == 201
    http.advance(100)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert (document["status"], document["error"]["code"]) == ("Failed", "AllocationFailed")
    assert (await http.call("GET", two))[1]["properties"]["provisioningState"] == "Failed"
    await http.session.put(url, json={**row, "count": 0, "refuse": "sync"})
    third = "rg/Microsoft.Compute/virtualMachines/three"
    assert await http.code("PUT", third, vm(subnet_id, "three")) == (409, "SkuNotAvailable")
    await http.call("POST", "rg/Microsoft.Compute/virtualMachines/one/deallocate")
    http.advance(100)
    await http.done(two, vm(subnet_id, "two"))


async def test_eviction(http):
    subnet_id = await subnet(http)
    path = "rg/Microsoft.Compute/virtualMachines/spot"
    await http.done(path, vm(subnet_id, "spot", priority="Spot", evictionPolicy="Delete"))
    assert (await http.call("POST", f"{path}/simulateEviction"))[0] == 204
    http.advance(60)
    assert (await http.call("GET", path))[1]["properties"]["provisioningState"] == "Deleting"
    http.advance(100)
    assert await http.code("GET", path) == (404, "ResourceNotFound")


async def test_netapp_refusals(http):
    delegation = [{"name": "n", "properties": {"serviceName": "Microsoft.NetApp/volumes"}}]
    body = vnet(subnets={"plain": "10.0.0.0/24"})
    body["properties"]["subnets"].append(
        {"name": "netapp", "properties": {"addressPrefix": "10.0.1.0/28", "delegations": delegation}}
    )
    await http.done(VNET, body)
    base = f"{http.subscription}/resourceGroups/{VNET.replace('/Microsoft', '/providers/Microsoft')}/subnets"
    account = "rg/Microsoft.NetApp/netAppAccounts/a"
    await http.done(account, LOCATION)
    pool = f"{account}/capacityPools/p"
    half = {**LOCATION, "properties": {"serviceLevel": "Premium", "size": TIB // 2}}
    assert await http.code("PUT", pool, half) == (400, "InvalidValueReceived")

    def volume(name, subnet_name="netapp", size=TIB):
        return {**LOCATION, "properties": {
            "creationToken": name, "usageThreshold": size, "subnetId": f"{base}/{subnet_name}"}}  # fmt: skip

    await http.put(pool, {**LOCATION, "properties": {"serviceLevel": "Premium", "size": 4 * TIB}})
    assert await http.code("PUT", f"{pool}/volumes/v", volume("v")) == (412, "PreconditionFailed")
    http.advance(200)
    assert await http.code("PUT", f"{pool}/volumes/v", volume("v", "plain")) == (400, "InvalidSubnet")
    assert await http.code("PUT", f"{pool}/volumes/v", volume("v", size=1)) == (400, "InvalidValueReceived")
    assert await http.code("PUT", f"{pool}/volumes/v", volume("v", size=5 * TIB)) == (400, "PoolSizeTooSmall")
    await http.put(f"{pool}/volumes/v", volume("v"))
    _, _, headers = await http.call("PUT", f"{pool}/volumes/w", volume("w"))
    http.advance(30)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert (document["status"], document["error"]["code"]) == ("Failed", "Conflict")
    http.advance(600)
    await http.put(f"{pool}/volumes/w", volume("w"))
    http.advance(100)
    assert (await http.call("GET", f"{pool}/volumes/w"))[1]["properties"]["provisioningState"] != "Succeeded"
    http.advance(600)
    assert (await http.call("GET", f"{pool}/volumes/w"))[1]["properties"]["mountTargets"]
    level = {"properties": {"serviceLevel": "Ultra"}}
    assert (await http.call("PATCH", pool, level))[0] == 400
    assert await http.code("DELETE", f"{VNET}/subnets/netapp") == (400, "InUseSubnetCannotBeDeleted")


async def test_principals_are_known_late(http):
    identity = await http.put("rg/Microsoft.ManagedIdentity/userAssignedIdentities/id", LOCATION)
    role = f"{http.subscription}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    body = {"properties": {"roleDefinitionId": role, "principalId": identity["properties"]["principalId"]}}
    path = "rg/Microsoft.Authorization/roleAssignments/11111111-1111-1111-1111-111111111111"
    assert await http.code("PUT", path, body) == (400, "PrincipalNotFound")
    http.advance(60)
    assert (await http.call("PUT", path, body))[0] == 201
    assert (await http.call("PUT", path, body))[0] == 200
    wrong = {"properties": {**body["properties"], "roleDefinitionId": role.replace("acdd", "0000")}}
    assert await http.code("PUT", path.replace("1111-1111-1111", "2222-2222-2222"), wrong) == (
        400, "RoleDefinitionDoesNotExist")  # fmt: skip


async def test_group_deletion_is_blocked_from_outside_and_rolls_back(http):
    subnet_id = await subnet(http)
    await http.put("other", LOCATION)
    await http.done("other/Microsoft.Network/networkInterfaces/nic", nic(subnet_id))
    _, _, headers = await http.call("DELETE", "rg")
    assert await http.code("PUT", f"{NETWORK}/publicIPAddresses/p", LOCATION) == (409, "ResourceGroupBeingDeleted")
    http.advance(300)
    status, document, _ = await http.call("GET", headers["Location"])
    assert (status, document["error"]["code"]) == (409, "ResourceGroupDeletionBlocked")
    assert (await http.call("GET", "rg"))[1]["properties"]["provisioningState"] == "Succeeded"
    await http.call("DELETE", "other")
    http.advance(300)
    _, _, headers = await http.call("DELETE", "rg")
    http.advance(300)
    assert (await http.call("GET", headers["Location"]))[0] == 200
    assert (await http.call("GET", "rg"))[0] == 404


async def test_an_unregistered_provider(http):
    base = f"{http.subscription}/providers/Microsoft.NetApp"
    await http.call("POST", f"{base}/unregister")
    account = ("PUT", "rg/Microsoft.NetApp/netAppAccounts/a", LOCATION)
    assert await http.code(*account) == (409, "MissingSubscriptionRegistration")
    _, document, _ = await http.call("POST", f"{base}/register")
    assert document["registrationState"] == "Registering"
    http.advance(120)
    assert (await http.call("GET", base))[1]["registrationState"] == "Registered"
    assert (await http.call(*account))[0] == 201


async def test_lists_are_paged(http):
    await http.session.put(f"{http.emulator.url}/emulator/settings", json={"page": 2})
    for number in range(5):
        await http.put(f"rg/Microsoft.ManagedIdentity/userAssignedIdentities/id{number}", LOCATION)
    path, names = "rg/Microsoft.ManagedIdentity/userAssignedIdentities", []
    while path:
        _, document, _ = await http.call("GET", path)
        names += [found["name"] for found in document["value"]]
        path = document.get("nextLink")
    assert names == [f"id{number}" for number in range(5)]


async def test_authentication(http):
    http.headers = {}
    status, document, headers = await http.call("GET", "rg")
    assert (status, document["error"]["code"]) == (401, "AuthenticationFailed")
    assert "WWW-Authenticate" in headers

    def jwt(expiry):
        part = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
        return {"Authorization": f"Bearer e30.{part}.sig"}

    assert await http.code("GET", "rg", headers=jwt(time.time() - 1)) == (401, "ExpiredAuthenticationToken")
    assert (await http.call("GET", "rg", headers=jwt(time.time() + 60)))[0] == 200


async def test_concurrent_requests_see_one_order(http):
    paths = [f"rg/Microsoft.ManagedIdentity/userAssignedIdentities/id{number}" for number in range(20)]
    await asyncio.gather(*(http.put(path, LOCATION) for path in paths))
    log = http.emulator.requests
    assert [entry["sequence"] for entry in log] == list(range(1, len(log) + 1))


async def test_tags_can_be_changed_while_something_else_runs(http):
    await http.put(VNET, vnet())
    status, body, _ = await http.call("PATCH", VNET, {"tags": {"a": "b"}})
    assert (status, body["properties"]["provisioningState"]) == (200, "Updating")
    assert await http.code("DELETE", VNET) == (409, "AnotherOperationInProgress")
    http.advance(60)
    _, body, _ = await http.call("GET", VNET)
    assert (body["properties"]["provisioningState"], body["tags"]) == ("Succeeded", {"a": "b"})


async def test_writing_again_does_not_make_a_creation_faster(http):
    subnet_id = await subnet(http)
    path = "rg/Microsoft.Compute/virtualMachines/vm"
    await http.put(path, vm(subnet_id))
    http.advance(5)
    await http.put(path, vm(subnet_id))
    http.advance(25)
    assert (await http.call("GET", path))[1]["properties"]["provisioningState"] != "Succeeded"
    http.advance(60)
    assert (await http.call("GET", path))[1]["properties"]["provisioningState"] == "Succeeded"


async def test_a_vm_takes_interfaces_and_disks_that_exist(http):
    subnet_id = await subnet(http)
    compute = "rg/Microsoft.Compute"
    body = {**LOCATION, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 64}}
    assert (await http.call("PUT", f"{compute}/disks/data", body))[0] == 202
    nic_path = f"{NETWORK}/networkInterfaces/nic"
    interface = await http.put(nic_path, nic(subnet_id))
    machine = vm(subnet_id, "one")
    machine["properties"]["networkProfile"] = {"networkInterfaces": [{"id": interface["id"]}]}
    put = ("PUT", f"{compute}/virtualMachines/one", machine)
    assert await http.code(*put) == (429, "RetryableError")
    http.advance(60)
    disk = (await http.call("GET", f"{compute}/disks/data"))[1]
    assert disk["properties"]["diskState"] == "Unattached"
    attached = [{"lun": 0, "createOption": "Attach", "managedDisk": {"id": disk["id"]}}]
    machine["properties"]["storageProfile"]["dataDisks"] = attached
    await http.done(put[1], machine)
    assert (await http.call("GET", f"{compute}/disks/data"))[1]["properties"]["diskState"] == "Attached"
    assert await http.code("DELETE", f"{compute}/disks/data") == (409, "OperationNotAllowed")
    other = vm(subnet_id, "two")
    other["properties"]["storageProfile"]["dataDisks"] = attached
    assert await http.code("PUT", f"{compute}/virtualMachines/two", other) == (409, "ConflictingUserInput")
    other = vm(subnet_id, "two")
    other["properties"]["networkProfile"] = machine["properties"]["networkProfile"]
    assert await http.code("PUT", f"{compute}/virtualMachines/two", other) == (400, "NicInUse")
    detached = {"properties": {"storageProfile": {"dataDisks": []}}}
    assert (await http.call("PATCH", put[1], detached))[0] == 200
    http.advance(60)
    assert (await http.call("GET", f"{compute}/disks/data"))[1]["properties"]["diskState"] == "Unattached"
    await http.call("DELETE", put[1])
    http.advance(200)
    assert (await http.call("GET", nic_path))[0] == 200
    assert (await http.call("DELETE", f"{compute}/disks/data"))[0] == 202


async def test_a_refused_write_leaves_nothing_behind(http):
    subnet_id = await subnet(http)
    before = len(http.emulator.store.resources)
    body = vm(subnet_id)
    body["properties"]["storageProfile"]["dataDisks"] = [
        {"lun": 0, "createOption": "Attach", "managedDisk": {"id": "/x"}}
    ]
    assert (await http.call("PUT", "rg/Microsoft.Compute/virtualMachines/vm", body))[0] == 404
    bad = vnet(subnets={"nodes": "10.0.0.0/24", "more": "10.0.0.0/25"})
    assert (await http.call("PUT", VNET, bad))[0] == 400
    assert len(http.emulator.store.resources) == before
    assert not http.emulator.store.addresses(subnet_id)
