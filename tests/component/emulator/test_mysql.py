"""MySQL flexible servers through the real SDK client, and the details that need plain HTTP or a clock moved by hand."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.mysqlflexibleservers import MySQLManagementClient

from azure_emulator import SUBSCRIPTION

from .conftest import SCOPE, PlainHttp, StaticCredential

LOCATION = "westeurope"
PASSWORD = "Correct-Horse-7"
SERVER = "rg/Microsoft.DBforMySQL/flexibleServers/accounting"
VNET = "rg/Microsoft.Network/virtualNetworks/vnet"
DAY = 86_400


def body(sku: str = "Standard_D2ds_v4", tier: str = "GeneralPurpose", **properties: Any) -> dict[str, Any]:
    return {"location": LOCATION, "sku": {"name": sku, "tier": tier}, "properties": {
        "administratorLogin": "slurmadmin", "administratorLoginPassword": PASSWORD, **properties}}  # fmt: skip


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as error:
        call()
    assert error.value.error is not None
    return error.value.status_code, error.value.error.code


@pytest.fixture
def mysql(sdk):
    credential = StaticCredential()
    return MySQLManagementClient(
        credential, SUBSCRIPTION, base_url=sdk.url, credential_scopes=[SCOPE], retry_total=0,
        authentication_policy=PlainHttp(credential, SCOPE),
    )  # fmt: skip


def network(sdk: Any, group: str) -> dict[str, str]:
    delegated = [{"name": "m", "properties": {"serviceName": "Microsoft.DBforMySQL/flexibleServers"}}]
    vnet = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
        {"name": "plain", "properties": {"addressPrefix": "10.0.0.0/24"}},
        {"name": "mysql", "properties": {"addressPrefix": "10.0.1.0/28", "delegations": delegated}}]}}  # fmt: skip
    made = sdk.network.virtual_networks.begin_create_or_update(group, "vnet", vnet).result()
    return {subnet.name: subnet.id for subnet in made.subnets} | {"vnet": made.id}


def test_a_server_from_beginning_to_end(group, mysql):
    servers = mysql.servers
    server = servers.begin_create(group, "dbone", body(storage={"storageSizeGB": 32})).result()
    assert (server.state, server.fully_qualified_domain_name) == ("Ready", "dbone.mysql.database.azure.com")
    assert (server.storage.iops, server.storage.auto_grow, server.full_version) == (396, "Enabled", "8.0.42")
    assert (server.high_availability.state, server.network.public_network_access) == ("NotEnabled", "Enabled")
    assert server.administrator_login_password is None
    assert (server.replication_role, server.replica_capacity) == ("None", 10)
    grown = servers.begin_update(group, "dbone", {"properties": {"storage": {"storageSizeGB": 64}}}).result()
    assert (grown.storage.storage_size_gb, grown.storage.auto_grow) == (64, "Enabled")
    scaled = servers.begin_update(
        group, "dbone", {"sku": {"name": "Standard_E4ds_v5", "tier": "MemoryOptimized"}}
    ).result()
    assert scaled.sku.name == "Standard_E4ds_v5"
    assert [found.name for found in servers.list_by_resource_group(group)] == ["dbone"]
    servers.begin_delete(group, "dbone").result()
    assert not list(servers.list_by_resource_group(group))


WRONG = (
    ({"administratorLogin": "admin"}, "InvalidParameterValue"),
    ({"administratorLoginPassword": "short1A"}, "PasswordNotComplex"),
    ({"administratorLoginPassword": "onlylowercase"}, "PasswordNotComplex"),
    ({"administratorLoginPassword": "Xslurmadmin1!"}, "PasswordNotComplex"),
    ({"version": "9.9"}, "InvalidParameterValue"),
    ({"storage": {"storageSizeGB": 10}}, "InvalidParameterValue"),
    ({"storage": {"storageSizeGB": 32, "iops": 99_999}}, "InvalidParameterValue"),
    ({"backup": {"backupRetentionDays": 40}}, "InvalidParameterValue"),
    ({"availabilityZone": "9"}, "InvalidParameterValue"),
    ({"highAvailability": {"mode": "ZoneRedundant", "standbyAvailabilityZone": "1"}}, "InvalidParameterValue"),
    ({"createMode": "PointInTimeRestore"}, "InvalidParameterValue"),
)


@pytest.mark.parametrize(("wrong", "code"), WRONG)
async def test_what_a_server_refuses(http, wrong, code):
    assert await http.code("PUT", SERVER, body(**wrong)) == (400, code)


async def test_sizes_belong_to_tiers(http):
    for sku, tier in (("Standard_D2ds_v4", "Burstable"), ("Standard_M99", "GeneralPurpose")):
        assert await http.code("PUT", SERVER, body(sku, tier)) == (400, "InvalidParameterValue")
    ha = body("Standard_B2ms", "Burstable", highAvailability={"mode": "SameZone"})
    assert (await http.code("PUT", SERVER, ha))[0] == 400


async def test_what_can_change_and_what_cannot(http):
    await http.done(SERVER, body(version="5.7", storage={"storageSizeGB": 64}))
    for wrong in (
        {"storage": {"storageSizeGB": 32}}, {"version": "4.0"}, {"administratorLogin": "other"},
        {"availabilityZone": "3"}, {"administratorLoginPassword": "weak"},
    ):  # fmt: skip
        status, document, _ = await http.call("PATCH", SERVER, {"properties": wrong})
        assert status in (400, 409), (wrong, document)
    status, _, headers = await http.call("PATCH", SERVER, {"properties": {"version": "8.0.21"}})
    assert status == 202
    assert "azureAsyncOperation" in headers["Azure-AsyncOperation"]
    assert "operationResults" in headers["Location"]
    assert (await http.call("GET", SERVER))[1]["properties"]["state"] == "Updating"
    assert await http.code("PATCH", SERVER, {"properties": {"backup": {"backupRetentionDays": 9}}}) == (
        409, "ServerIsBusy")  # fmt: skip
    http.advance(200)
    assert await http.code("PATCH", SERVER, {"properties": {"version": "5.7"}}) == (400, "InvalidParameterValue")
    assert (await http.call("PATCH", SERVER, {"tags": {"a": "b"}}))[0] == 200


def test_names_are_the_worlds(sdk, group, mysql, fast_emulator):
    mysql.servers.begin_create(group, "dbname", body()).result()
    sdk.resources.resource_groups.create_or_update("other-mysql", {"location": LOCATION})
    assert refusal(lambda: mysql.servers.begin_create("other-mysql", "dbname", body())) == (
        409, "ServerNameAlreadyExists")  # fmt: skip
    sdk.resources.resource_groups.begin_delete("other-mysql").result()
    check = mysql.check_name_availability.execute
    assert not check(LOCATION, {"name": "dbname", "type": "Microsoft.DBforMySQL/flexibleServers"}).name_available
    assert mysql.check_name_availability_without_location.execute({"name": "dbother"}).name_available
    assert check(LOCATION, {"name": "No_Good"}).reason == "InvalidName"


async def test_high_availability_and_failover(http):
    ha = {"mode": "ZoneRedundant"}
    await http.put(SERVER, body(highAvailability=ha))
    http.advance(500)
    _, document, _ = await http.call("GET", SERVER)
    assert document["properties"]["highAvailability"]["state"] == "CreatingStandby"
    http.advance(700)
    _, document, _ = await http.call("GET", SERVER)
    before = document["properties"]
    assert before["highAvailability"]["state"] == "Healthy"
    assert (await http.call("POST", f"{SERVER}/failover"))[0] == 202
    assert (await http.call("GET", SERVER))[1]["properties"]["highAvailability"]["state"] == "FailingOver"
    http.advance(100)
    after = (await http.call("GET", SERVER))[1]["properties"]
    assert after["availabilityZone"] == before["highAvailability"]["standbyAvailabilityZone"] != "1"
    assert (await http.call("PATCH", SERVER, {"properties": {"highAvailability": {"mode": "Disabled"}}}))[0] == 202
    http.advance(60)
    assert await http.code("POST", f"{SERVER}/failover") == (400, "HighAvailabilityNotEnabled")


async def test_stopping_and_starting(http):
    await http.done(SERVER, body())
    assert await http.code("POST", f"{SERVER}/start") == (409, "ServerIsNotReady")
    await http.call("POST", f"{SERVER}/stop")
    assert (await http.call("GET", SERVER))[1]["properties"]["state"] == "Stopping"
    http.advance(100)
    assert (await http.call("GET", SERVER))[1]["properties"]["state"] == "Stopped"
    status, document, _ = await http.call("GET", f"{SERVER}/configurations")
    assert (status, document["error"]["code"]) == (409, "ServerUnavailableForOperation")
    assert document["error"]["message"] == (
        "Operation 'GetServerParameters' cannot be performed as server 'accounting' is currently in state 'Stopped'."
    )
    for path, sent in ((SERVER, {"properties": {"version": "8.0.21"}}), (f"{SERVER}/databases/slurm", {})):
        method = "PATCH" if path == SERVER else "PUT"
        assert await http.code(method, path, sent) == (409, "ServerUnavailableForOperation")
    assert await http.code("POST", f"{SERVER}/restart", {}) == (409, "ServerIsNotReady")
    await http.call("POST", f"{SERVER}/start")
    http.advance(100)
    assert (await http.call("GET", SERVER))[1]["properties"]["state"] == "Ready"
    await http.call("POST", f"{SERVER}/stop")
    http.advance(31 * DAY)
    assert (await http.call("GET", SERVER))[1]["properties"]["state"] == "Ready", "started again by the service"
    assert await http.code("POST", f"{SERVER}/resetGtid", {"gtidSet": "nonsense"}) == (400, "InvalidParameterValue")
    gtid = {"gtidSet": "4aff5b51-97ba-11ed-a955-002248036acc:1-16"}
    assert (await http.call("POST", f"{SERVER}/resetGtid", gtid))[0] == 202


def test_databases_and_rules(group, mysql):
    mysql.servers.begin_create(group, "dbdata", body()).result()
    where = (group, "dbdata")
    made = mysql.databases.begin_create_or_update(
        *where, "slurm_acct_db", {"properties": {"charset": "latin1"}}
    ).result()
    assert made.collation == "latin1_swedish_ci"
    names = {found.name for found in mysql.databases.list_by_server(*where)}
    assert names == {"slurm_acct_db", "mysql", "sys", "information_schema", "performance_schema"}
    wrong = {"properties": {"charset": "utf8mb4", "collation": "latin1_swedish_ci"}}
    assert refusal(lambda: mysql.databases.begin_create_or_update(*where, "x", wrong))[0] == 400
    assert refusal(lambda: mysql.databases.begin_delete(*where, "mysql"))[0] == 400
    mysql.databases.begin_delete(*where, "slurm_acct_db").result()
    rules = mysql.firewall_rules

    def rule(start: str, end: str) -> Any:
        sent = {"properties": {"startIpAddress": start, "endIpAddress": end}}
        return rules.begin_create_or_update(*where, "office", sent)

    assert refusal(lambda: rule("10.0.0.9", "10.0.0.1")) == (400, "InvalidParameterValue")
    assert rule("10.0.0.1", "10.0.0.9").result().end_ip_address == "10.0.0.9"
    assert [found.name for found in rules.list_by_server(*where)] == ["office"]
    rules.begin_delete(*where, "office").result()


def test_parameters(group, mysql):
    mysql.servers.begin_create(group, "dbparams", body("Standard_B2ms", "Burstable")).result()
    where, configurations = (group, "dbparams"), mysql.configurations
    found = {one.name: one for one in configurations.list_by_server(*where)}
    assert len(found) > 40
    assert (found["max_connections"].default_value, found["max_connections"].allowed_values) == ("682", "10-1364")
    assert (found["innodb_page_size"].is_read_only, found["event_scheduler"].data_type) == ("True", "Enumeration")

    def put(name: str, value: str) -> Any:
        sent = {"properties": {"value": value, "source": "user-override"}}
        return configurations.begin_create_or_update(*where, name, sent)

    for name, value in (("max_connections", "5"), ("event_scheduler", "MAYBE"), ("long_query_time", "x")):
        assert refusal(lambda n=name, v=value: put(n, v)) == (400, "InvalidParameterValue")
    assert refusal(lambda: put("innodb_page_size", "4096")) == (400, "ConfigurationIsReadOnly")
    assert refusal(lambda: put("nonsense", "1"))[0] == 404
    changed = put("max_connections", "500").result()
    assert (changed.value, changed.current_value, changed.source) == ("500", "500", "user-override")
    static = put("innodb_buffer_pool_size", "1073741824").result()
    assert (static.is_config_pending_restart, static.current_value != static.value) == ("True", True)
    mysql.servers.begin_restart(*where, {}).result()
    static = configurations.get(*where, "innodb_buffer_pool_size")
    assert (static.is_config_pending_restart, static.current_value) == ("False", "1073741824")
    batch = {"value": [{"name": "wait_timeout", "properties": {"value": "600"}},
                       {"name": "max_connections", "properties": {"value": "99999"}}]}  # fmt: skip
    assert refusal(lambda: configurations.begin_batch_update(*where, batch)) == (400, "InvalidParameterValue")
    assert configurations.get(*where, "wait_timeout").value == "28800", "all or nothing"
    configurations.begin_batch_update(*where, {"value": batch["value"][:1]}).result()
    assert configurations.get(*where, "wait_timeout").value == "600"
    configurations.begin_batch_update(*where, {"value": [], "resetAllToDefault": "True"}).result()
    assert configurations.get(*where, "max_connections").source == "system-default"


def test_a_server_in_a_virtual_network(sdk, group, mysql):
    ids = network(sdk, group)
    zone = sdk.dns.private_zones.begin_create_or_update(
        group, "climate.private.mysql.database.azure.com", {"location": "global"}
    ).result()
    wrong = sdk.dns.private_zones.begin_create_or_update(group, "climate.example", {"location": "global"}).result()

    def inside(subnet: str, dns: str = zone.id) -> dict[str, Any]:
        return body(network={"delegatedSubnetResourceId": ids[subnet], "privateDnsZoneResourceId": dns})

    create = mysql.servers.begin_create
    assert refusal(lambda: create(group, "dbin", inside("plain"))) == (400, "InvalidSubnetDelegation")
    assert refusal(lambda: create(group, "dbin", inside("mysql", wrong.id))) == (400, "InvalidPrivateDnsZoneName")
    server = create(group, "dbin", inside("mysql")).result()
    assert server.network.public_network_access == "Disabled"
    record = sdk.dns.record_sets.get(group, zone.name, "A", "dbin")
    assert record.a_records[0].ipv4_address == "10.0.1.4"
    usage = mysql.check_virtual_network_subnet_usage.execute(LOCATION, {"virtualNetworkResourceId": ids["vnet"]})
    assert [(one.subnet_name, one.usage) for one in usage.delegated_subnets_usage] == [("mysql", 1)]
    rule = {"properties": {"startIpAddress": "10.0.0.1", "endIpAddress": "10.0.0.1"}}
    assert refusal(lambda: mysql.firewall_rules.begin_create_or_update(group, "dbin", "r", rule))[0] == 400
    other = {"properties": {"network": {"delegatedSubnetResourceId": ids["plain"]}}}
    assert refusal(lambda: mysql.servers.begin_update(group, "dbin", other)) == (400, "NetworkModeChangeNotAllowed")
    mysql.servers.begin_detach_v_net(group, "dbin", {"publicNetworkAccess": "Enabled"}).result()
    assert mysql.servers.get(group, "dbin").network.delegated_subnet_resource_id is None
    assert not [one for one in sdk.dns.record_sets.list(group, zone.name) if one.name == "dbin"]
    assert (
        refusal(lambda: mysql.servers.begin_detach_v_net(group, "dbin", {"publicNetworkAccess": "Enabled"}))[0] == 400
    )
    assert mysql.get_private_dns_zone_suffix.execute().private_dns_zone_suffix == "private.mysql.database.azure.com"


async def test_a_subnet_is_free_only_a_while_after_its_server(http):
    delegated = [{"name": "m", "properties": {"serviceName": "Microsoft.DBforMySQL/flexibleServers"}}]
    subnet = {"name": "mysql", "properties": {"addressPrefix": "10.0.1.0/28", "delegations": delegated}}
    await http.done(VNET, {"location": LOCATION, "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [subnet]}})  # fmt: skip
    vnet = VNET.replace("rg/", f"{http.subscription}/resourceGroups/rg/providers/")
    await http.done(SERVER, body(network={"delegatedSubnetResourceId": f"{vnet}/subnets/mysql"}))
    await http.call("DELETE", SERVER)
    assert (await http.call("GET", SERVER))[1]["properties"]["state"] == "Dropping"
    http.advance(80)
    assert (await http.call("GET", SERVER))[0] == 404
    assert await http.code("DELETE", f"{VNET}/subnets/mysql") == (400, "InUseSubnetCannotBeDeleted")
    http.advance(400)
    assert (await http.call("DELETE", f"{VNET}/subnets/mysql"))[0] == 202


def test_replicas_and_restores(group, mysql):
    servers = mysql.servers
    source = servers.begin_create(group, "dbsource", body(storage={"storageSizeGB": 64})).result()
    copy = {"location": LOCATION, "properties": {"createMode": "Replica", "sourceServerResourceId": source.id}}
    replica = servers.begin_create(group, "dbcopy", copy).result()
    assert (replica.replication_role, replica.storage.storage_size_gb, replica.sku.name) == (
        "Replica", 64, "Standard_D2ds_v4")  # fmt: skip
    assert servers.get(group, "dbsource").replication_role == "Source"
    assert [found.name for found in mysql.replicas.list_by_server(group, "dbsource")] == ["dbcopy"]
    alone = servers.begin_update(group, "dbcopy", {"properties": {"replicationRole": "None"}}).result()
    assert (alone.replication_role, servers.get(group, "dbsource").replication_role) == ("None", "None")
    restore = {"location": LOCATION, "properties": {
        "createMode": "PointInTimeRestore", "sourceServerResourceId": source.id,
        "restorePointInTime": "2026-01-01T00:00:00Z"}}  # fmt: skip
    assert servers.begin_create(group, "dbrestored", restore).result().administrator_login == "slurmadmin"
    small = servers.begin_create(group, "dbsmall", body("Standard_B1ms", "Burstable")).result()
    copy["properties"]["sourceServerResourceId"] = small.id
    assert refusal(lambda: servers.begin_create(group, "dbnever", copy))[0] == 400


async def test_backups(http):
    await http.done(SERVER, body(backup={"backupRetentionDays": 3}))
    assert len((await http.call("GET", f"{SERVER}/backups"))[1]["value"]) == 1
    http.advance(10 * DAY)
    _, listed, _ = await http.call("GET", f"{SERVER}/backups")
    assert len(listed["value"]) == 4
    status, made, _ = await http.call("PUT", f"{SERVER}/backups/before-upgrade")
    assert (status, made["properties"]["source"]) == (200, "Customer")
    assert (await http.call("GET", f"{SERVER}/backups/{listed['value'][0]['name']}"))[0] == 200
    assert (await http.call("GET", f"{SERVER}/backups/nothing"))[0] == 404


def test_administrators(sdk, group, mysql):
    identity = sdk.identity.user_assigned_identities.create_or_update(group, "id", {"location": LOCATION})
    mysql.servers.begin_create(group, "dbadmins", body()).result()
    admin = {"properties": {"administratorType": "ActiveDirectory", "login": "ada", "sid": identity.principal_id,
                            "tenantId": identity.tenant_id, "identityResourceId": identity.id}}  # fmt: skip
    administrators = mysql.azure_ad_administrators

    def put() -> Any:
        return administrators.begin_create_or_update(group, "dbadmins", "ActiveDirectory", admin)

    assert refusal(put) == (400, "ServerIdentityNotFound")
    assigned = {"identity": {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}}}
    mysql.servers.begin_update(group, "dbadmins", assigned).result()
    assert put().result().login == "ada"
    administrators.begin_delete(group, "dbadmins", "ActiveDirectory").result()


def test_private_endpoints(sdk, group, mysql):
    server = mysql.servers.begin_create(group, "dblink", body()).result()
    endpoint = {"location": LOCATION, "properties": {"subnet": {"id": network(sdk, group)["plain"]},
                "privateLinkServiceConnections": [{"name": "c", "properties": {
                    "privateLinkServiceId": server.id, "groupIds": ["mysqlServer"]}}]}}  # fmt: skip
    sdk.network.private_endpoints.begin_create_or_update(group, "pe", endpoint).result()
    connections = list(mysql.private_endpoint_connections.list_by_server(group, "dblink").value)
    assert [one.private_link_service_connection_state.status for one in connections] == ["Approved"]
    mysql.private_endpoint_connections.begin_delete(group, "dblink", connections[0].name).result()
    assert not mysql.servers.get(group, "dblink").private_endpoint_connections
    assert [one.group_id for one in mysql.private_link_resources.list_by_server(group, "dblink").value] == [
        "mysqlServer"
    ]


def test_capabilities(mysql):
    rows = list(mysql.location_based_capabilities.list(LOCATION))
    assert [row.zone for row in rows] == ["1", "2", "3"]
    tiers = {edition.name: edition for edition in rows[0].supported_flexible_server_editions}
    assert tiers["Burstable"].supported_storage_editions[0].min_storage_size == 20_480
    whole = mysql.location_based_capability_set.get(LOCATION, "default")
    skus = {sku.name: sku for edition in whole.supported_flexible_server_editions for sku in edition.supported_skus}
    assert (skus["Standard_B2ms"].supported_ha_mode, skus["Standard_E4ds_v5"].supported_iops) == ([], 10_000)
