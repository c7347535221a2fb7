"""Vaults on the management plane: names, soft deletion with content, access policies, secrets and keys by ARM."""

from __future__ import annotations

import json
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from azure_emulator import SUBSCRIPTION, TENANT

LOCATION = "westeurope"
VAULTS = "rg/Microsoft.KeyVault/vaults"
ME, OTHER = "00000000-0000-0000-0000-0000000000aa", "00000000-0000-0000-0000-0000000000bb"


def body(**properties: Any) -> dict[str, Any]:
    sku = {"family": "A", "name": "standard"}
    return {"location": LOCATION, "properties": {"sku": sku, "tenantId": TENANT, **properties}}


def policy(object_id: str, *secrets: str, **more: list[str]) -> dict[str, Any]:
    return {"tenantId": TENANT, "objectId": object_id, "permissions": {"secrets": list(secrets), **more}}


def refused(call: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as error:
        call(*arguments)
    assert error.value.error is not None
    return error.value.status_code, error.value.error.code


def test_a_vault_and_what_it_was_given_by_default(sdk, group):
    vaults = sdk.key_vault.vaults
    made = vaults.begin_create_or_update(group, "kv-defaults", body()).result().properties
    assert made.vault_uri == "https://kv-defaults.vault.azure.net/"
    assert (made.enable_soft_delete, made.soft_delete_retention_in_days) == (True, 90)
    # The SDK speaks an api-version in which role assignments decide unless the vault is told otherwise.
    assert made.enable_rbac_authorization
    for wrong in (
        {"enableSoftDelete": False},
        {"softDeleteRetentionInDays": 5},
        {"sku": {"family": "A", "name": "gold"}},
        {"accessPolicies": [policy("me", "get")]},
        {"accessPolicies": [policy(ME, "look")]},
    ):
        assert refused(vaults.begin_create_or_update, group, "kv-wrong", body(**wrong)) == (400, "BadRequest")
    assert refused(vaults.begin_create_or_update, group, "kv--wrong", body()) == (400, "InvalidResourceName")
    assert refused(vaults.begin_create_or_update, group, "kv-defaults", body(softDeleteRetentionInDays=30)) == (
        400, "BadRequest")  # fmt: skip
    protected = vaults.update(group, "kv-defaults", {"properties": {"enablePurgeProtection": True}})
    assert protected.properties.enable_purge_protection
    unprotected = {"properties": {"enablePurgeProtection": False}}
    assert refused(vaults.update, group, "kv-defaults", unprotected) == (400, "BadRequest")
    rules = {"properties": {"networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "192.0.2.7"}]}}}
    assert vaults.update(group, "kv-defaults", rules).properties.network_acls.ip_rules[0].value == "192.0.2.7/32"
    assert [row.group_id for row in sdk.key_vault.private_link_resources.list_by_vault(group, "kv-defaults").value] == [
        "vault"]  # fmt: skip
    assert list(sdk.key_vault.private_endpoint_connections.list_by_resource(group, "kv-defaults")) == []


async def test_older_api_versions_have_access_policies_by_default(http):
    for version, rbac in (("2023-07-01", False), ("2026-02-01", True)):
        await http.put(f"{VAULTS}/kv-{version}", body(), version=version)
        http.advance(60)
        _, shown, _ = await http.call("GET", f"{VAULTS}/kv-{version}")
        assert shown["properties"]["enableRbacAuthorization"] is rbac
    # An update by a newer version does not change how an old vault decides.
    await http.put(f"{VAULTS}/kv-2023-07-01", body(), version="2026-02-01")
    _, shown, _ = await http.call("GET", f"{VAULTS}/kv-2023-07-01")
    assert shown["properties"]["enableRbacAuthorization"] is False


def test_names_are_global_and_kept_after_deletion(sdk, group, settings):
    vaults, location = sdk.key_vault.vaults, LOCATION
    vaults.begin_create_or_update(group, "kv-names", body(softDeleteRetentionInDays=7)).result()
    asked = {"name": "kv-names", "type": "Microsoft.KeyVault/vaults"}
    assert vaults.check_name_availability(asked).reason == "AlreadyExists"
    vaults.delete(group, "kv-names")
    kept = vaults.get_deleted("kv-names", location).properties
    assert (kept.scheduled_purge_date - kept.deletion_date).days == 7
    assert "kv-names" in {found.name for found in vaults.list_deleted()}
    with pytest.raises(ResourceNotFoundError):
        vaults.get_deleted("kv-names", "eastus")
    assert refused(vaults.begin_create_or_update, group, "kv-names", body()) == (409, "ConflictError")
    vaults.begin_purge_deleted("kv-names", location).result()
    assert vaults.check_name_availability(asked).name_available
    missing = {"location": LOCATION, "properties": {**body()["properties"], "createMode": "recover"}}
    assert refused(vaults.begin_create_or_update, group, "kv-names", missing) == (404, "DeletedVaultNotFound")
    settings(takenNames=["kv-names"])
    assert not vaults.check_name_availability(asked).name_available
    assert refused(vaults.begin_create_or_update, group, "kv-names", body()) == (409, "VaultAlreadyExists")


def test_a_recovered_vault_has_its_content(sdk, group):
    vaults, secrets, keys = sdk.key_vault.vaults, sdk.key_vault.secrets, sdk.key_vault.keys
    made = vaults.begin_create_or_update(
        group, "kv-back", {**body(enableRbacAuthorization=False, enablePurgeProtection=True), "tags": {"a": "b"}}
    ).result()
    secret = secrets.create_or_update(group, "kv-back", "join", {"properties": {"value": "hunter2"}})
    keys.create_if_not_exist(group, "kv-back", "disk", {"properties": {"kty": "RSA"}})
    vaults.delete(group, "kv-back")
    with pytest.raises(ResourceNotFoundError):
        secrets.get(group, "kv-back", "join")
    assert refused(vaults.begin_purge_deleted, "kv-back", LOCATION) == (400, "DeletedVaultPurge")
    recover = {"location": LOCATION, "properties": {**body()["properties"], "createMode": "recover"}}
    back = vaults.begin_create_or_update(group, "kv-back", recover).result()
    assert (back.id, back.tags, back.properties.enable_rbac_authorization) == (made.id, {"a": "b"}, False)
    assert secrets.get(group, "kv-back", "join").properties.secret_uri_with_version == (
        secret.properties.secret_uri_with_version
    )
    assert [found.name for found in keys.list(group, "kv-back")] == ["disk"]
    assert "kv-back" not in {found.name for found in vaults.list_deleted()}


def test_access_policies_are_added_replaced_and_removed(sdk, group):
    vaults = sdk.key_vault.vaults
    vaults.begin_create_or_update(group, "kv-policies", body(accessPolicies=[policy(ME, "get")])).result()

    def change(how, *policies):
        answer = vaults.update_access_policy(
            group, "kv-policies", how, {"properties": {"accessPolicies": list(policies)}}
        )
        shown = vaults.get(group, "kv-policies").properties.access_policies
        assert [found.object_id for found in answer.properties.access_policies] == [found.object_id for found in shown]
        return {found.object_id: list(found.permissions.secrets or []) for found in shown}

    assert change("add", policy(ME, "Get", "list"), policy(OTHER, "get")) == {ME: ["get", "list"], OTHER: ["get"]}
    assert change("replace", policy(ME, "set")) == {ME: ["set"], OTHER: ["get"]}
    assert change("remove", policy(OTHER, "get")) == {ME: ["set"]}
    assert refused(change, "toggle", policy(ME)) == (400, "BadRequest")


def test_secrets_by_arm_never_show_their_value(sdk, group, fast_emulator):
    sdk.key_vault.vaults.begin_create_or_update(group, "kv-arm", body()).result()
    secrets = sdk.key_vault.secrets
    first = secrets.create_or_update(
        group, "kv-arm", "db", {"tags": {"a": "b"}, "properties": {"value": "hunter2", "contentType": "text/plain"}}
    )
    second = secrets.create_or_update(group, "kv-arm", "db", {"properties": {"value": "hunter3"}})
    assert first.properties.secret_uri == second.properties.secret_uri
    assert first.properties.secret_uri_with_version != second.properties.secret_uri_with_version
    changed = secrets.update(group, "kv-arm", "db", {"properties": {"attributes": {"enabled": False}}})
    assert changed.properties.attributes.enabled is False
    assert changed.properties.secret_uri_with_version == second.properties.secret_uri_with_version
    assert [found.name for found in secrets.list(group, "kv-arm")] == ["db"]
    assert changed.properties.value is None
    store = fast_emulator.store
    shown = [fast_emulator.engine.view(resource) for resource in store.resources.values()]
    assert "hunter" not in json.dumps([shown, list(store.requests)])
    bare = {"properties": {"contentType": "x"}}
    assert refused(secrets.create_or_update, group, "kv-arm", "none", bare) == (400, "BadParameter")
    assert refused(secrets.create_or_update, group, "kv-arm", "a_b", {"properties": {"value": "x"}}) == (
        400, "InvalidResourceName")  # fmt: skip


def test_keys_by_arm(sdk, group):
    sdk.key_vault.vaults.begin_create_or_update(group, "kv-keys", body()).result()
    keys = sdk.key_vault.keys
    made = keys.create_if_not_exist(group, "kv-keys", "k", {"properties": {"kty": "RSA", "keySize": 4096}})
    assert (made.key_size, made.attributes.enabled) == (4096, True)
    assert made.key_uri_with_version.startswith("https://kv-keys.vault.azure.net/keys/k/")
    again = keys.create_if_not_exist(group, "kv-keys", "k", {"properties": {"kty": "EC"}})
    assert (again.kty, again.key_uri_with_version) == ("RSA", made.key_uri_with_version)
    versions = list(keys.list_versions(group, "kv-keys", "k"))
    assert [made.key_uri_with_version.rsplit("/", 1)[1]] == [found.name for found in versions]
    assert keys.get_version(group, "kv-keys", "k", versions[0].name).key_size == 4096
    with pytest.raises(ResourceNotFoundError):
        keys.get_version(group, "kv-keys", "k", "0")
    for wrong in ({"kty": "DES"}, {"kty": "RSA", "keySize": 100}, {"kty": "EC", "curveName": "X"}, {"kty": "RSA-HSM"}):
        assert refused(keys.create_if_not_exist, group, "kv-keys", "w", {"properties": wrong}) == (400, "BadRequest")


def test_private_endpoints_show_on_the_vault(sdk, group):
    vault = sdk.key_vault.vaults.begin_create_or_update(group, "kv-endpoint", body()).result()
    network = sdk.network.virtual_networks.begin_create_or_update(group, "v", {
        "location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
            {"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}).result()  # fmt: skip
    leads = {"name": "c", "properties": {"privateLinkServiceId": vault.id, "groupIds": ["vault"]}}
    sdk.network.private_endpoints.begin_create_or_update(group, "pe", {"location": LOCATION, "properties": {
        "subnet": {"id": network.subnets[0].id}, "privateLinkServiceConnections": [leads]}}).result()  # fmt: skip
    connections = sdk.key_vault.private_endpoint_connections
    shown = list(connections.list_by_resource(group, "kv-endpoint"))
    assert len(shown) == 1
    assert connections.get(group, "kv-endpoint", shown[0].name).private_link_service_connection_state.status == (
        "Approved"
    )
    assert f"/subscriptions/{SUBSCRIPTION}/" in shown[0].id
    with pytest.raises(ResourceNotFoundError):
        connections.get(group, "kv-endpoint", "none")
