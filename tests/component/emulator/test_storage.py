"""Storage through the real SDK client, and the details that need plain HTTP or a clock moved by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError

from azure_emulator import Emulator

LOCATION = "westeurope"
ACCOUNT = "rg/Microsoft.Storage/storageAccounts/data1"
SHARES = f"{ACCOUNT}/fileServices/default/shares"
HOUR = 3600


def body(sku: str = "Standard_LRS", kind: str = "StorageV2", **properties: Any) -> dict[str, Any]:
    return {"location": LOCATION, "sku": {"name": sku}, "kind": kind, "properties": properties}


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as error:
        call()
    assert error.value.error is not None
    return error.value.status_code, error.value.error.code


@pytest.fixture
def accounts(sdk):
    return sdk.storage.storage_accounts


def test_an_account_from_beginning_to_end(sdk, group, accounts):
    account = accounts.begin_create(group, "storelife", body("Standard_RAGRS")).result()
    assert (account.primary_location, account.secondary_location) == (LOCATION, "northeurope")
    assert account.secondary_endpoints.blob == "https://storelife-secondary.blob.core.windows.net/"
    assert account.sku.tier == "Standard"
    stats = accounts.get_properties(group, "storelife", expand="geoReplicationStats").geo_replication_stats
    assert stats.can_failover
    changed = accounts.update(group, "storelife", {"sku": {"name": "Standard_LRS"}, "properties": {
        "allowSharedKeyAccess": False}})  # fmt: skip
    assert (changed.secondary_location, changed.allow_shared_key_access) == (None, False)
    again = accounts.begin_create(group, "storelife", body()).result()
    assert (again.allow_shared_key_access, again.creation_time) == (None, account.creation_time)
    accounts.delete(group, "storelife")
    assert [found.name for found in sdk.storage.deleted_accounts.list()].count("storelife") == 1


def test_what_an_account_refuses(group, accounts, settings):
    create = accounts.begin_create
    accounts.begin_create(group, "storeone", body("Standard_ZRS")).result()
    update = accounts.update
    assert refusal(lambda: update(group, "storeone", {"sku": {"name": "Standard_LRS"}})) == (
        409, "AccountTypeConversionNotAllowed")  # fmt: skip
    assert refusal(lambda: update(group, "storeone", {"kind": "BlobStorage"})) == (400, "InvalidAccountKindChange")
    assert refusal(lambda: update(group, "storeone", {"properties": {"isHnsEnabled": True}})) == (
        409, "PropertyCannotBeUpdated")  # fmt: skip
    for wrong in (body("Premium_LRS", "Storage"), body("Standard_XRS"), body(kind="Tape")):
        assert refusal(lambda wrong=wrong: create(group, "storetwo", wrong)) == (
            400, "InvalidValuesForRequestParameters")  # fmt: skip
    assert refusal(lambda: create(group, "storetwo", body(isNfsV3Enabled=True)))[1] == "InvalidRequestPropertyValue"
    nfs = body("Standard_GRS", isNfsV3Enabled=True, isHnsEnabled=True)
    assert refusal(lambda: create(group, "storetwo", nfs))[1] == "InvalidRequestPropertyValue"
    settings(takenNames=["elsewhere"])
    assert refusal(lambda: create(group, "elsewhere", body())) == (409, "StorageAccountAlreadyTaken")
    assert accounts.check_name_availability({"name": "elsewhere"}).reason == "AlreadyExists"
    assert accounts.check_name_availability({"name": "Not-A-Name"}).reason == "AccountNameInvalid"


def test_a_name_belongs_to_one_group(sdk, group, accounts):
    accounts.begin_create(group, "storeours", body()).result()
    sdk.resources.resource_groups.create_or_update("other-group", {"location": LOCATION})
    assert refusal(lambda: accounts.begin_create("other-group", "storeours", body())) == (
        409, "StorageAccountInAnotherResourceGroup")  # fmt: skip
    sdk.resources.resource_groups.begin_delete("other-group").result()


def test_how_many_accounts_a_region_takes(sdk, group, accounts, settings):
    usage = sdk.storage.usages.list_by_location(LOCATION).next()
    assert usage.limit == 250
    settings(quota={f"{LOCATION}/storageaccounts": usage.current_value + 1})
    accounts.begin_create(group, "storelast", body()).result()
    code = refusal(lambda: accounts.begin_create(group, "storemore", body()))
    assert code == (409, "MaxStorageAccountsCountPerSubscriptionExceeded")
    assert sdk.storage.usages.list_by_location(LOCATION).next().current_value == usage.current_value + 1


def test_keys_and_signatures(group, accounts):
    accounts.begin_create(group, "storekeys", body()).result()
    first, second = (key.value for key in accounts.list_keys(group, "storekeys").keys_property)
    renewed = accounts.regenerate_key(group, "storekeys", {"keyName": "key1"}).keys_property
    assert renewed[0].value != first
    assert renewed[1].value == second
    assert refusal(lambda: accounts.regenerate_key(group, "storekeys", {"keyName": "key3"}))[0] == 400
    accounts.regenerate_key(group, "storekeys", {"keyName": "kerb1"})
    assert [key.key_name for key in accounts.list_keys(group, "storekeys").keys_property] == ["key1", "key2", "kerb1"]
    asked = {"signedServices": "b", "signedResourceTypes": "sco", "signedPermission": "rl",
             "signedExpiry": "2030-01-01T00:00:00Z", "keyToSign": "key2"}  # fmt: skip
    token = {key: value[0] for key, value in parse_qs(accounts.list_account_sas(group, "storekeys", asked)
                                                      .account_sas_token).items()}  # fmt: skip
    text = "\n".join(["storekeys", "rl", "b", "sco", "", token["se"], "", "", token["sv"], ""])
    signature = hmac.new(base64.b64decode(second), text.encode(), hashlib.sha256).digest()
    assert base64.b64decode(token["sig"]) == signature
    service = {"canonicalizedResource": "/blob/storekeys/results", "signedResource": "c", "signedPermission": "r",
               "signedExpiry": "2030-01-01T00:00:00Z"}  # fmt: skip
    assert "sr=c" in accounts.list_service_sas(group, "storekeys", service).service_sas_token
    assert refusal(lambda: accounts.list_account_sas(group, "storekeys", {"signedServices": "b"}))[0] == 400


def test_network_rules_need_a_service_endpoint(sdk, group, accounts):
    subnets = {"plain": [], "open": [{"service": "Microsoft.Storage"}]}
    vnet = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
        {"name": name, "properties": {"addressPrefix": f"10.0.{number}.0/24", "serviceEndpoints": endpoints}}
        for number, (name, endpoints) in enumerate(subnets.items())]}}  # fmt: skip
    made = sdk.network.virtual_networks.begin_create_or_update(group, "vnet", vnet).result()
    ids = {subnet.name: subnet.id for subnet in made.subnets}

    def rules(name: str) -> dict[str, Any]:
        return {"defaultAction": "Deny", "virtualNetworkRules": [{"id": ids[name]}]}

    create = accounts.begin_create
    assert refusal(lambda: create(group, "storenet", body(networkAcls=rules("plain")))) == (
        400, "NetworkAclsValidationFailure")  # fmt: skip
    account = create(group, "storenet", body(networkAcls=rules("open"))).result()
    assert account.network_rule_set.virtual_network_rules[0].state == "Succeeded"


def test_failover_and_upgrade(group, accounts):
    accounts.begin_create(group, "storemoves", body("Standard_GRS")).result()
    accounts.begin_hierarchical_namespace_migration(group, "storemoves", request_type="HnsOnValidationRequest").result()
    assert not accounts.get_properties(group, "storemoves").is_hns_enabled
    accounts.begin_hierarchical_namespace_migration(group, "storemoves", request_type="HnsOnHydrationRequest").result()
    assert accounts.get_properties(group, "storemoves").is_hns_enabled
    again = {"request_type": "HnsOnHydrationRequest"}
    assert refusal(lambda: accounts.begin_hierarchical_namespace_migration(group, "storemoves", **again))[0] == 409
    accounts.begin_failover(group, "storemoves").result()
    moved = accounts.get_properties(group, "storemoves")
    assert (moved.primary_location, moved.sku.name, moved.location) == ("northeurope", "Standard_LRS", LOCATION)
    assert refusal(lambda: accounts.begin_failover(group, "storemoves"))[0] == 409


def test_private_endpoint_connections(sdk, group, accounts):
    account = accounts.begin_create(group, "storelink", body()).result()
    vnet = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}  # fmt: skip
    subnet = sdk.network.virtual_networks.begin_create_or_update(group, "vnet", vnet).result().subnets[0].id
    endpoint = {"location": LOCATION, "properties": {"subnet": {"id": subnet}, "privateLinkServiceConnections": [
        {"name": "c", "properties": {"privateLinkServiceId": account.id, "groupIds": ["blob"]}}]}}  # fmt: skip
    sdk.network.private_endpoints.begin_create_or_update(group, "pe", endpoint).result()
    connections = sdk.storage.private_endpoint_connections
    name = next(found.name for found in connections.list(group, "storelink"))
    rejected = {"properties": {"privateLinkServiceConnectionState": {"status": "Rejected", "description": "no"}}}
    connections.put(group, "storelink", name, rejected)
    shown = connections.get(group, "storelink", name).private_link_service_connection_state
    assert (shown.status, shown.description) == ("Rejected", "no")
    assert len(accounts.get_properties(group, "storelink").private_endpoint_connections) == 1
    connections.delete(group, "storelink", name)
    assert not accounts.get_properties(group, "storelink").private_endpoint_connections
    offered = sdk.storage.private_link_resources.list_by_storage_account(group, "storelink").value
    assert {found.group_id for found in offered} >= {"blob", "file", "dfs"}


def test_containers_and_how_they_are_protected(sdk, group, accounts):
    accounts.begin_create(group, "storeblobs", body()).result()
    containers = sdk.storage.blob_containers
    public = {"properties": {"publicAccess": "Blob"}}
    assert refusal(lambda: containers.create(group, "storeblobs", "results", public)) == (
        409, "PublicAccessNotPermitted")  # fmt: skip
    containers.create(group, "storeblobs", "results", {})
    assert containers.set_legal_hold(group, "storeblobs", "results", {"tags": ["Audit"]}).tags == ["audit"]
    assert containers.get(group, "storeblobs", "results").has_legal_hold
    assert refusal(lambda: containers.delete(group, "storeblobs", "results"))[0] == 409
    assert refusal(lambda: accounts.delete(group, "storeblobs")) == (409, "AccountProtectedFromDeletion")
    containers.clear_legal_hold(group, "storeblobs", "results", {"tags": ["audit"]})

    policy = containers.create_or_update_immutability_policy(
        group, "storeblobs", "results", parameters={"properties": {"immutabilityPeriodSinceCreationInDays": 3}}
    )
    assert containers.get(group, "storeblobs", "results").has_immutability_policy
    match = {"etag": policy.etag, "match_condition": MatchConditions.IfNotModified}
    locked = containers.lock_immutability_policy(group, "storeblobs", "results", **match)
    assert locked.properties.state == "Locked"
    assert refusal(lambda: accounts.delete(group, "storeblobs")) == (409, "AccountProtectedFromDeletion")
    changed = {"etag": locked.etag, "match_condition": MatchConditions.IfNotModified}
    assert refusal(lambda: containers.delete_immutability_policy(group, "storeblobs", "results", **changed))[0] == 409
    containers.delete(group, "storeblobs", "results")

    services = sdk.storage.blob_services
    assert [found.name for found in services.list(group, "storeblobs")] == ["default"]
    wrong = {"properties": {"deleteRetentionPolicy": {"enabled": True}}}
    assert refusal(lambda: services.set_service_properties(group, "storeblobs", wrong))[0] == 400
    right = {"properties": {"deleteRetentionPolicy": {"enabled": True, "days": 7}, "isVersioningEnabled": True}}
    assert services.set_service_properties(group, "storeblobs", right).delete_retention_policy.days == 7
    scope = sdk.storage.encryption_scopes.put(group, "storeblobs", "mine", {})
    assert (scope.source, scope.state) == ("Microsoft.Storage", "Enabled")
    changed = sdk.storage.encryption_scopes.patch(group, "storeblobs", "mine", {"properties": {"state": "Disabled"}})
    assert changed.state == "Disabled"


def test_life_cycle_rules(sdk, group, accounts):
    accounts.begin_create(group, "storerules", body()).result()
    policies = sdk.storage.management_policies
    assert refusal(lambda: policies.get(group, "storerules", "default")) == (404, "ManagementPolicyNotFound")

    def policy(**rule: Any) -> dict[str, Any]:
        definition = {"filters": {"blobTypes": ["blockBlob"]},
                      "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 30}}}}  # fmt: skip
        whole = {"name": "old", "type": "Lifecycle", "definition": definition, **rule}
        return {"properties": {"policy": {"rules": [whole]}}}

    wrong = (
        {"properties": {"policy": {"rules": []}}}, policy(type="Other"), policy(definition={}),
        policy(definition={"filters": {"blobTypes": ["blockBlob"]}, "actions": {}}),
        policy(definition={"filters": {"blobTypes": ["blockBlob"]},
                           "actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": -1}}}}),
    )  # fmt: skip
    for one in wrong:
        assert refusal(lambda one=one: policies.create_or_update(group, "storerules", "default", one))[0] == 400
    kept = policies.create_or_update(group, "storerules", "default", policy())
    assert kept.policy.rules[0].enabled
    policies.delete(group, "storerules", "default")
    assert refusal(lambda: policies.get(group, "storerules", "default"))[0] == 404


def test_shares_by_kind_of_account(sdk, group, accounts):
    shares = sdk.storage.file_shares
    accounts.begin_create(group, "sharespayg", body()).result()
    accounts.begin_create(group, "sharesvone", body("Premium_LRS", "FileStorage")).result()
    accounts.begin_create(group, "sharesvtwo", body("PremiumV2_ZRS", "FileStorage")).result()

    def share(account: str, **properties: Any) -> Any:
        return shares.create(group, account, "home", {"properties": properties})

    for account, properties in (
        ("sharespayg", {"enabledProtocols": "NFS"}), ("sharespayg", {"accessTier": "Premium"}),
        ("sharesvone", {"shareQuota": 99}), ("sharesvone", {"provisionedIops": 4000}),
        ("sharesvone", {"rootSquash": "RootSquash"}), ("sharesvtwo", {"shareQuota": 31}),
        ("sharesvtwo", {"shareQuota": 32, "provisionedIops": 10}),
    ):  # fmt: skip
        assert refusal(lambda a=account, p=properties: share(a, **p)) == (400, "InvalidHeaderValue"), properties
    assert share("sharespayg").share_quota == 5120
    nfs = share("sharesvone", enabledProtocols="NFS", shareQuota=100)
    assert (nfs.root_squash, nfs.access_tier) == ("NoRootSquash", "Premium")
    squashed = shares.update(group, "sharesvone", "home", {"properties": {"rootSquash": "RootSquash"}})
    assert squashed.root_squash == "RootSquash"
    assert refusal(lambda: shares.update(group, "sharesvone", "home", {"properties": {"enabledProtocols": "SMB"}}))
    two = share("sharesvtwo", enabledProtocols="NFS", shareQuota=1024)
    assert (two.provisioned_iops, two.provisioned_bandwidth_mibps) == (4024, 202)
    usage = sdk.storage.file_services.get_service_usage(group, "sharesvtwo").properties
    assert usage.storage_account_usage.live_shares.provisioned_storage_gi_b == 1024
    assert usage.file_share_limits.min_provisioned_storage_gi_b == 32
    assert refusal(lambda: sdk.storage.file_services.get_service_usage(group, "sharespayg"))[0] == 400


async def test_a_share_shrinks_only_a_day_after_it_grew(http):
    await http.done(ACCOUNT, body("PremiumV2_LRS", "FileStorage"))
    share = f"{SHARES}/home"

    def quota(size: int) -> dict[str, Any]:
        return {"properties": {"shareQuota": size}}

    await http.put(share, quota(100))
    assert (await http.call("PATCH", share, quota(90)))[0] == 200
    _, document, _ = await http.call("PATCH", share, quota(200))
    assert document["properties"]["nextAllowedQuotaDowngradeTime"]
    http.advance(23 * HOUR)
    status, code = await http.code("PATCH", share, quota(150))
    assert (status, code) == (409, "ShareProvisionedSizeDowngradeNotAllowed")
    assert (await http.call("GET", share))[1]["properties"]["shareQuota"] == 200
    http.advance(2 * HOUR)
    assert (await http.call("PATCH", share, quota(150)))[0] == 200
    await http.session.put(f"{http.emulator.url}/emulator/settings", json={"shareDowngradeHours": 0})
    await http.call("PATCH", share, quota(300))
    assert (await http.call("PATCH", share, quota(150)))[0] == 200


async def test_snapshots_and_deleted_shares(http):
    await http.done(ACCOUNT, body())
    share = f"{SHARES}/home"
    await http.put(share, {"properties": {"shareQuota": 10}})
    status, snapshot, _ = await http.call("PUT", share, {}, query={"$expand": "snapshots"})
    moment = snapshot["properties"]["snapshotTime"]
    assert status == 201
    await http.call("PATCH", share, {"properties": {"shareQuota": 20}})
    _, shown, _ = await http.call("GET", share, headers={"x-ms-snapshot": moment})
    assert shown["properties"]["shareQuota"] == 10
    _, listed, _ = await http.call("GET", SHARES, query={"$expand": "snapshots"})
    assert [row["properties"].get("snapshotTime") for row in listed["value"]] == [None, moment]
    assert len((await http.call("GET", SHARES))[1]["value"]) == 1
    assert await http.code("DELETE", share) == (409, "ShareHasSnapshots")
    assert (await http.call("DELETE", share, headers={"x-ms-snapshot": moment}))[0] == 200
    assert (await http.call("DELETE", share))[0] == 200
    _, listed, _ = await http.call("GET", SHARES, query={"$expand": "deleted"})
    gone = listed["value"][0]
    assert gone["properties"]["deleted"] is True
    wanted = {"deletedShareName": "home", "deletedShareVersion": gone["properties"]["version"]}
    assert (await http.call("POST", f"{share}/restore", wanted))[0] == 200
    assert (await http.call("GET", share))[1]["properties"]["shareQuota"] == 20
    await http.call("DELETE", share)
    http.advance(8 * 24 * HOUR)
    assert not (await http.call("GET", SHARES, query={"$expand": "deleted"}))[1]["value"]


def test_queues_tables_and_users(sdk, group, accounts):
    accounts.begin_create(group, "storeother", body(isHnsEnabled=True)).result()
    accounts.begin_create(group, "storeflat", body()).result()
    assert [found.name for found in sdk.storage.queue_services.list(group, "storeother").value] == ["default"]
    sdk.storage.queue.create(group, "storeother", "jobs", {})
    assert [found.name for found in sdk.storage.queue.list(group, "storeother")] == ["jobs"]
    sdk.storage.queue.delete(group, "storeother", "jobs")
    assert not list(sdk.storage.queue.list(group, "storeother"))
    assert sdk.storage.table.create(group, "storeother", "Accounting").table_name == "Accounting"
    sdk.storage.table.delete(group, "storeother", "Accounting")
    assert not list(sdk.storage.table.list(group, "storeother"))
    users = sdk.storage.local_users
    assert refusal(lambda: users.create_or_update(group, "storeflat", "ada", {"properties": {}}))[0] == 400
    assert users.create_or_update(group, "storeother", "ada", {"properties": {}}).sid
    one = users.regenerate_password(group, "storeother", "ada").ssh_password
    assert users.regenerate_password(group, "storeother", "ada").ssh_password != one
    assert users.get(group, "storeother", "ada").has_ssh_password


def test_skus(sdk):
    found = [sku for sku in sdk.storage.skus.list() if sku.locations == [LOCATION]]
    names = {(sku.kind, sku.name) for sku in found}
    assert {("FileStorage", "PremiumV2_LRS"), ("StorageV2", "Standard_RAGZRS")} <= names
    assert ("BlobStorage", "Premium_LRS") not in names


async def test_endpoints_follow_the_cloud_that_the_emulator_is(http):
    await http.done(ACCOUNT, body())
    await http.session.put(f"{http.emulator.url}/emulator/settings", json={"storageSuffix": "core.localhost:8443"})
    _, document, _ = await http.call("GET", ACCOUNT)
    assert document["properties"]["primaryEndpoints"]["blob"] == "https://data1.blob.core.localhost:8443/"


async def test_with_tls_endpoints_end_as_the_metadata_say():
    async with Emulator(speed=0, seed=1, tls=True) as emulator:
        host = emulator.url.removeprefix("https://")
        assert emulator.engine.setting("storageSuffix") == f"core.{host}"
