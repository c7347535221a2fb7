"""Azure NetApp Files through the real SDK client, and the details that need plain HTTP or a clock moved by hand."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

LOCATION = "westeurope"
AT = {"location": LOCATION}
GIB, TIB = 2**30, 2**40
DAY = 86_400
DELEGATION = [{"name": "n", "properties": {"serviceName": "Microsoft.NetApp/volumes"}}]
SUBNET = {"name": "netapp", "properties": {"addressPrefix": "10.0.0.0/28", "delegations": DELEGATION}}
NETWORK = {**AT, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [SUBNET]}}
RG = "rg/Microsoft.NetApp/netAppAccounts/a"
POOL = f"{RG}/capacityPools/p"
VNET = "rg/Microsoft.Network/virtualNetworks/vnet"


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as error:
        call()
    assert error.value.error is not None
    return error.value.status_code, error.value.error.code


class Site:
    """An account with pools in a network of its own."""

    def __init__(self, sdk: Any, group: str) -> None:
        self.netapp, self.group = sdk.netapp, group
        made = sdk.network.virtual_networks.begin_create_or_update(group, "vnet", NETWORK).result()
        self.subnet = made.subnets[0].id
        self.netapp.accounts.begin_create_or_update(group, "a", AT).result()

    def pool(self, name: str = "p", size: int = 4, level: str = "Premium", **properties: Any) -> Any:
        body = {**AT, "properties": {"serviceLevel": level, "size": size * TIB, **properties}}
        return self.netapp.pools.begin_create_or_update(self.group, "a", name, body).result()

    def begin(self, name: str = "v", pool: str = "p", zones: list[str] | None = None, **properties: Any) -> Any:
        body: dict[str, Any] = {**AT, "properties": {
            "creationToken": name, "usageThreshold": TIB, "subnetId": self.subnet, **properties}}  # fmt: skip
        if zones is not None:
            body["zones"] = zones
        return self.netapp.volumes.begin_create_or_update(self.group, "a", pool, name, body)

    def volume(self, name: str = "v", pool: str = "p", **options: Any) -> Any:
        return self.begin(name, pool, **options).result()

    def update(self, **properties: Any) -> Any:
        return self.netapp.volumes.begin_update(self.group, "a", "p", "v", {"properties": properties}).result()


@pytest.fixture
def site(sdk, group, settings) -> Site:
    # Tests of one emulator share a region's capacity; those that are about it set a limit of their own.
    settings(quota={f"{LOCATION}/totaltibspersubscription": 500})
    return Site(sdk, group)


def test_a_volume_from_beginning_to_end(site):
    pool = site.pool(size=2)
    assert (pool.name, pool.total_throughput_mibps, pool.qos_type) == ("a/p", 128, "Auto")
    volume = site.volume(zones=["2"])
    assert (volume.name, volume.throughput_mibps, volume.provisioned_availability_zone) == ("a/p/v", 64, "2")
    assert volume.mount_targets[0].ip_address == "10.0.0.4"
    assert volume.export_policy.rules[0].nfsv3
    assert (volume.security_style, volume.effective_network_features) == ("Unix", "Standard")
    assert site.update(usageThreshold=100 * GIB).throughput_mibps == 6.25
    assert site.netapp.pools.get(site.group, "a", "p").utilized_throughput_mibps == 6.25
    pools = site.netapp.pools
    assert refusal(lambda: pools.begin_delete(site.group, "a", "p")) == (409, "CannotDeleteResource")
    assert refusal(lambda: site.netapp.accounts.begin_delete(site.group, "a")) == (409, "CannotDeleteResource")
    site.netapp.volumes.begin_delete(site.group, "a", "p", "v").result()
    pools.begin_delete(site.group, "a", "p").result()
    site.netapp.accounts.begin_delete(site.group, "a").result()


@pytest.mark.parametrize(("wrong", "code"), [
    ({"usageThreshold": 49 * GIB}, "InvalidValueReceived"),
    ({"usageThreshold": 5 * TIB}, "PoolSizeTooSmall"),
    ({"creationToken": "home_1"}, "InvalidValueReceived"),
    ({"serviceLevel": "Ultra"}, "InvalidValueReceived"),
    ({"protocolTypes": ["NFSv2"]}, "InvalidValueReceived"),
    ({"protocolTypes": ["CIFS"]}, "ActiveDirectoryNotFound"),
    ({"kerberosEnabled": True}, "ActiveDirectoryNotFound"),
    ({"coolAccess": True}, "InvalidValueReceived"),
    ({"networkFeatures": "Basic"}, "InvalidValueReceived"),
    ({"zones": ["4"]}, "InvalidValueReceived"),
    ({"dataProtection": {"snapshot": {"snapshotPolicyId": "nowhere"}}}, "InvalidValueReceived"),
    ({"exportPolicy": {"rules": [{"ruleIndex": 6, "allowedClients": "10.0.0.0/8"}]}}, "InvalidValueReceived"),
    ({"exportPolicy": {"rules": [{"ruleIndex": 1, "allowedClients": "10.0.0.0/33"}]}}, "InvalidValueReceived"),
    ({"exportPolicy": {"rules": [{"ruleIndex": 1, "allowedClients": "h", "nfsv41": True}]}}, "InvalidValueReceived"),
    ({"exportPolicy": {"rules": [{"ruleIndex": 1, "allowedClients": "h", "unixReadOnly": True,
                                  "unixReadWrite": True}]}}, "InvalidValueReceived"),
    ({"exportPolicy": {"rules": [{"ruleIndex": 1, "allowedClients": "h"}] * 2}}, "DuplicateValue"),
    ({"exportPolicy": {"rules": [{"ruleIndex": n, "allowedClients": "h"} for n in range(6)]}},
     "NumberOfItemsOutOfRange"),
])  # fmt: skip
async def test_what_a_volume_refuses(http, wrong, code):
    subnet = await small_network(http, pool_tib=3)
    properties = {"creationToken": "home", "usageThreshold": TIB, "subnetId": subnet, **wrong}
    body = {**AT, "properties": {key: value for key, value in properties.items() if key != "zones"}}
    if "zones" in wrong:
        body["zones"] = wrong["zones"]
    assert await http.code("PUT", f"{POOL}/volumes/home", body) == (400, code)


async def small_network(http: Any, pool_tib: int = 4) -> str:
    await http.done(VNET, NETWORK)
    await http.done(RG, AT)
    await http.done(POOL, {**AT, "properties": {"serviceLevel": "Premium", "size": pool_tib * TIB}})
    vnet = VNET.replace("rg/", f"{http.subscription}/resourceGroups/rg/providers/")
    return f"{vnet}/subnets/netapp"


def volume_body(subnet: str, name: str = "v", **properties: Any) -> dict[str, Any]:
    return {**AT, "properties": {"creationToken": name, "usageThreshold": TIB, "subnetId": subnet, **properties}}


def test_pools(site):
    for wrong in (
        {"size": TIB // 2}, {"size": TIB + GIB}, {"size": 3000 * TIB}, {"serviceLevel": "Gold"},
        {"customThroughputMibps": 200}, {"serviceLevel": "Flexible", "customThroughputMibps": 5000},
    ):  # fmt: skip
        body = {**AT, "properties": {"serviceLevel": "Premium", "size": 4 * TIB, **wrong}}
        code = refusal(lambda body=body: site.netapp.pools.begin_create_or_update(site.group, "a", "p", body))
        assert code == (400, "InvalidValueReceived"), wrong
    assert site.pool("flexible", level="Flexible", customThroughputMibps=640).total_throughput_mibps == 640
    site.pool(level="Standard", qosType="Manual")
    assert refusal(site.begin)[0] == 400, "manual QoS needs a throughput"
    assert refusal(lambda: site.begin(throughputMibps=65)) == (400, "ThroughputExceedsPool")
    assert site.volume(throughputMibps=64).throughput_mibps == 64
    change = {"properties": {"qosType": "Auto"}}
    assert refusal(lambda: site.netapp.pools.begin_update(site.group, "a", "p", change))[0] == 400
    small = {"properties": {"size": TIB // 2}}
    assert refusal(lambda: site.netapp.pools.begin_update(site.group, "a", "p", small))[0] == 400


def test_regional_capacity(site, settings):
    limits = {limit.name: limit for limit in site.netapp.net_app_resource_quota_limits.list(LOCATION)}
    whole = limits[f"{LOCATION}/totalTiBsPerSubscription"].properties
    used = whole.usage
    settings(quota={f"{LOCATION}/totaltibspersubscription": used + 6, f"{LOCATION}/poolsperaccount": 2,
                    f"{LOCATION}/volumesperpool": 1})  # fmt: skip
    site.pool(size=4)
    assert refusal(lambda: site.pool("q", size=3)) == (409, "SizeQuotaExceeded")
    change = {"properties": {"size": 7 * TIB}}
    assert refusal(lambda: site.netapp.pools.begin_update(site.group, "a", "p", change)) == (409, "SizeQuotaExceeded")
    site.pool("q", size=1)
    assert refusal(lambda: site.pool("r", size=1)) == (409, "QuotaExceeded")
    site.volume()
    assert refusal(lambda: site.begin("w")) == (409, "QuotaExceeded")
    item = site.netapp.net_app_resource_quota_limits.get(LOCATION, "totalTiBsPerSubscription").properties
    assert (item.current, item.default, item.usage) == (used + 6, 25, used + 5)
    usage = {one.name.value: one.properties.current_value for one in site.netapp.net_app_resource_usages.list(LOCATION)}
    assert usage["totalTiBsPerSubscription"] == used + 5
    account = {one.name: one.properties.usage for one in site.netapp.net_app_resource_quota_limits_account.list(
        site.group, "a")}  # fmt: skip
    assert account["a/poolsPerAccount"] == 2


def test_smb_and_both(site):
    directory = {"username": "join", "password": "Secret1!", "domain": "lab.example", "dns": "10.0.0.9",
                 "smbServerName": "ANF"}  # fmt: skip
    accounts = site.netapp.accounts
    incomplete = {**AT, "properties": {"activeDirectories": [{"domain": "lab.example"}]}}
    assert refusal(lambda: accounts.begin_create_or_update(site.group, "a", incomplete)) == (400, "MissingValue")
    body = {**AT, "properties": {"activeDirectories": [directory]}}
    account = accounts.begin_create_or_update(site.group, "a", body).result()
    assert "Secret1!" not in str(account.as_dict())
    assert account.active_directories[0].active_directory_id
    assert refusal(lambda: accounts.begin_create_or_update(site.group, "b", body)) == (
        409, "OnlyOneActiveDirectoryAllowed")  # fmt: skip
    site.pool()
    both = site.volume(protocolTypes=["NFSv4.1", "CIFS"])
    assert both.mount_targets[0].smb_server_fqdn.endswith(".lab.example")
    assert both.export_policy.rules[0].nfsv41
    site.netapp.volumes.begin_reset_cifs_password(site.group, "a", "p", "v").result()
    only = site.volume("smb", protocolTypes=["CIFS"])
    assert (only.security_style, only.export_policy.rules) == ("Ntfs", [])


def test_moving_between_pools(site, settings):
    site.pool()
    ultra, standard = site.pool("ultra", level="Ultra"), site.pool("standard", level="Standard")
    site.volume()
    site.netapp.snapshots.begin_create(site.group, "a", "p", "v", "monday", AT).result()
    volumes = site.netapp.volumes

    def move(pool: str, target: str) -> Any:
        return volumes.begin_pool_change(site.group, "a", pool, "v", {"newPoolResourceId": target})

    own = ultra.id.replace("ultra", "p")
    assert refusal(lambda: move("p", own)) == (400, "InvalidValueReceived")
    move("p", ultra.id).result()
    moved = volumes.get(site.group, "a", "ultra", "v")
    assert (moved.service_level, moved.throughput_mibps) == ("Ultra", 128)
    assert [found.name for found in site.netapp.snapshots.list(site.group, "a", "ultra", "v")] == ["a/ultra/v/monday"]
    assert not list(volumes.list(site.group, "a", "p"))
    assert refusal(lambda: move("ultra", standard.id)) == (409, "VolumePoolChangeTooEarly")
    settings(downTierWaitSeconds=0)
    move("ultra", standard.id).result()
    assert volumes.get(site.group, "a", "standard", "v").service_level == "Standard"


async def test_a_large_volume_grows_by_a_third_at_most(http):
    await http.session.put(f"{http.emulator.url}/emulator/quota", json={
        "location": LOCATION, "name": "totalTiBsPerSubscription", "limit": 500})  # fmt: skip
    subnet = await small_network(http, pool_tib=200)
    volume = f"{POOL}/volumes/v"
    await http.done(volume, volume_body(subnet, isLargeVolume=True, usageThreshold=100 * TIB))
    size = {"properties": {"usageThreshold": 131 * TIB}}
    assert await http.code("PATCH", volume, size) == (400, "InvalidValueReceived")
    assert (await http.call("PATCH", volume, {"properties": {"usageThreshold": 130 * TIB}}))[0] == 202


async def test_the_wait_before_going_down(http):
    subnet = await small_network(http)
    for level in ("Ultra", "Standard"):
        body = {**AT, "properties": {"serviceLevel": level, "size": 4 * TIB}}
        await http.done(f"{RG}/capacityPools/{level}", body)
    await http.done(f"{POOL}/volumes/v", volume_body(subnet))
    base = f"{http.subscription}/resourceGroups/rg/providers/{POOL.removeprefix('rg/')}"
    up = {"newPoolResourceId": base.removesuffix("/p") + "/Ultra"}
    down = {"newPoolResourceId": base.removesuffix("/p") + "/Standard"}
    assert (await http.call("POST", f"{POOL}/volumes/v/poolChange", up))[0] == 202
    http.advance(100)
    volume = f"{RG}/capacityPools/Ultra/volumes/v"
    http.advance(6.9 * DAY)
    assert (await http.code("POST", f"{volume}/poolChange", down))[0] == 409
    http.advance(0.2 * DAY)
    assert (await http.call("POST", f"{volume}/poolChange", down))[0] == 202


def test_snapshots_and_reverting(site, settings):
    site.pool()
    site.volume()
    snapshots = site.netapp.snapshots
    settings(quota={f"{LOCATION}/snapshotspervolume": 2})
    elsewhere = {"location": "northeurope"}
    assert refusal(lambda: snapshots.begin_create(site.group, "a", "p", "v", "first", elsewhere))[0] == 400
    first = snapshots.begin_create(site.group, "a", "p", "v", "first", AT).result()
    assert first.created
    snapshots.begin_create(site.group, "a", "p", "v", "second", AT).result()
    assert refusal(lambda: snapshots.begin_create(site.group, "a", "p", "v", "third", AT)) == (409, "QuotaExceeded")
    files = {"filePaths": ["/a.txt"]}
    snapshots.begin_restore_files(site.group, "a", "p", "v", "first", files).result()
    assert refusal(lambda: snapshots.begin_restore_files(site.group, "a", "p", "v", "first", {"filePaths": []}))
    volumes = site.netapp.volumes
    assert refusal(lambda: volumes.begin_revert(site.group, "a", "p", "v", {"snapshotId": "none"}))[0] == 400
    volumes.begin_revert(site.group, "a", "p", "v", {"snapshotId": first.snapshot_id}).result()
    assert [one.name for one in snapshots.list(site.group, "a", "p", "v")] == ["a/p/v/first"]
    snapshots.begin_delete(site.group, "a", "p", "v", "first").result()


def test_policies_and_quota_rules(site):
    site.pool()
    policies = site.netapp.snapshot_policies
    wrong = {**AT, "properties": {"dailySchedule": {"snapshotsToKeep": 5, "hour": 25}}}
    assert refusal(lambda: policies.create(site.group, "a", "nightly", wrong)) == (400, "InvalidValueReceived")
    right = {**AT, "properties": {"dailySchedule": {"snapshotsToKeep": 5, "hour": 1, "minute": 0},
                                  "weeklySchedule": {"snapshotsToKeep": 4, "day": "Monday,Sunday"}}}  # fmt: skip
    policy = policies.create(site.group, "a", "nightly", right)
    site.volume(dataProtection={"snapshot": {"snapshotPolicyId": policy.id}})
    assert [volume.name for volume in policies.list_volumes(site.group, "a", "nightly").value] == ["a/p/v"]
    assert refusal(lambda: policies.begin_delete(site.group, "a", "nightly")) == (409, "ResourceInUse")

    backups = site.netapp.backup_policies
    few = {**AT, "properties": {"dailyBackupsToKeep": 1}}
    assert refusal(lambda: backups.begin_create(site.group, "a", "weekly", few))[0] == 400
    enough = {**AT, "properties": {"dailyBackupsToKeep": 2}}
    weekly = backups.begin_create(site.group, "a", "weekly", enough).result()
    vault = site.netapp.backup_vaults.begin_create_or_update(site.group, "a", "vault", AT).result()
    site.update(dataProtection={"backup": {"backupPolicyId": weekly.id, "backupVaultId": vault.id}})
    assert backups.get(site.group, "a", "weekly").volumes_assigned == 1
    assert refusal(lambda: site.netapp.backup_vaults.begin_delete(site.group, "a", "vault"))[1] == "ResourceInUse"

    rules = site.netapp.volume_quota_rules

    def rule(name: str, **properties: Any) -> Any:
        return rules.begin_create(site.group, "a", "p", "v", name, {**AT, "properties": properties})

    assert refusal(lambda: rule("ada", quotaType="IndividualUserQuota", quotaSizeInKiBs=1024))[0] == 400
    assert refusal(lambda: rule("all", quotaType="DefaultUserQuota", quotaSizeInKiBs=1))[0] == 400
    rule("ada", quotaType="IndividualUserQuota", quotaTarget="1001", quotaSizeInKiBs=1024).result()
    again = {"quotaType": "IndividualUserQuota", "quotaTarget": "1001", "quotaSizeInKiBs": 2048}
    assert refusal(lambda: rule("eve", **again)) == (409, "VolumeQuotaRuleExists")
    assert [one.name for one in rules.list_by_volume(site.group, "a", "p", "v")] == ["a/p/v/ada"]


def test_what_is_free(site):
    site.pool()
    site.volume()
    check = site.netapp.net_app_resource
    name = {"name": "a", "type": "Microsoft.NetApp/netAppAccounts", "resourceGroup": site.group}
    assert check.check_name_availability(LOCATION, name).reason == "AlreadyExists"
    assert check.check_name_availability(LOCATION, {**name, "name": "b"}).is_available
    path = {"name": "v", "subnetId": site.subnet}
    assert check.check_file_path_availability(LOCATION, path).reason == "AlreadyExists"
    assert check.check_file_path_availability(LOCATION, {**path, "name": "w"}).is_available
    assert check.check_quota_availability(LOCATION, name).is_available
    assert check.query_region_info(LOCATION).availability_zone_mappings[0].is_available
    assert site.netapp.net_app_resource_region_infos.get(LOCATION).name == f"{LOCATION}/default"
    assert refusal(lambda: site.begin("w", creationToken="v")) == (409, "CreationTokenExists")


def test_network_features_change_for_all_in_a_subnet(site):
    site.pool()
    volume, other = site.volume(), site.volume("w")
    assert volume.network_sibling_set_id == other.network_sibling_set_id
    ask = {"networkSiblingSetId": volume.network_sibling_set_id, "subnetId": site.subnet}
    found = site.netapp.net_app_resource.query_network_sibling_set(LOCATION, ask)
    assert len(found.nic_info_list) == 2
    change = {**ask, "networkSiblingSetStateId": found.network_sibling_set_state_id, "networkFeatures": "Basic"}
    stale = {**change, "networkSiblingSetStateId": "77"}
    update = site.netapp.net_app_resource.begin_update_network_sibling_set
    assert refusal(lambda: update(LOCATION, stale))[0] == 412
    assert update(LOCATION, change).result().network_features == "Basic"
    assert site.netapp.volumes.get(site.group, "a", "p", "w").network_features == "Basic"


def test_other_actions(site):
    site.pool()
    site.volume()
    volumes, where = site.netapp.volumes, (site.group, "a", "p", "v")
    assert refusal(lambda: volumes.begin_reset_cifs_password(*where)) == (409, "VolumeIsNotSmb")
    assert refusal(lambda: volumes.begin_break_file_locks(*where, {"clientIp": ""}))[0] == 400
    volumes.begin_break_file_locks(*where, {"confirmRunningDisruptiveOperation": True}).result()
    assert refusal(lambda: volumes.replication_status(*where)) == (409, "VolumeReplicationMissingFor")
    assert refusal(lambda: volumes.begin_break_replication(*where)) == (409, "VolumeReplicationMissingFor")
    assert not list(volumes.list_replications(*where))
    volumes.begin_populate_availability_zone(*where).result()
    assert volumes.get(*where).zones
    assert refusal(lambda: site.netapp.accounts.begin_renew_credentials(site.group, "a"))[0] == 409


async def test_a_subnet_is_free_only_a_while_after_its_last_volume(http):
    subnet = await small_network(http)
    await http.done(f"{POOL}/volumes/v", volume_body(subnet))
    assert (await http.call("DELETE", f"{POOL}/volumes/v"))[0] == 202
    http.advance(190)
    assert (await http.call("GET", f"{POOL}/volumes/v"))[0] == 404
    where = f"{VNET}/subnets/netapp"
    assert await http.code("DELETE", where) == (400, "InUseSubnetCannotBeDeleted")
    http.advance(200)
    assert (await http.call("DELETE", where))[0] == 202
