"""A vault's own service behind the real SecretClient, and its rules over plain HTTP on a stopped clock."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.secrets import SecretClient

from azure_emulator import TENANT
from azure_emulator.errors import ArmError
from azure_emulator.providers.key_vault import data_plane
from azure_emulator.types import DataCall, Principal

LOCATION = "westeurope"
SECRETS_USER, SECRETS_OFFICER = "4633458b-17de-408a-b874-0445c86b69e6", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
PORTION = 10  # below the service's page, so that lists are cut


class Loopback(RequestsTransport):
    """Finds {vault}.vault.localhost on the loopback, where the emulator speaks plain HTTP in a test."""

    def send(self, request: Any, **options: Any) -> Any:
        asked = urlsplit(request.url)
        request.headers["Host"] = asked.netloc
        request.url = f"http://127.0.0.1:{asked.port}{asked.path}?{asked.query}"
        try:
            return super().send(request, **options)
        finally:
            request.url = asked.geturl()


class Credential:
    """Notes what a client wants a token for."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], Any]] = []

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append((scopes, options.get("tenant_id")))
        return AccessToken("opaque", int(time.time()) + 3600)


@pytest.fixture
def vault(sdk: Any, group: str, request: pytest.FixtureRequest) -> str:
    name = f"kv-{zlib.crc32(request.node.name.encode())}"
    body = {"location": LOCATION, "properties": {"sku": {"family": "A", "name": "standard"}, "tenantId": TENANT}}
    sdk.key_vault.vaults.begin_create_or_update(group, name, body).result()
    return name


@pytest.fixture
def secrets(vault: str, fast_emulator: Any) -> Iterator[SecretClient]:
    url = f"https://{vault}.vault.localhost:{fast_emulator.port}"
    with SecretClient(url, Credential(), transport=Loopback()) as client:
        yield client


def refused(call: Any, *arguments: Any, **options: Any) -> tuple[int, str, str]:
    with pytest.raises(HttpResponseError) as error:
        call(*arguments, **options)
    document = json.loads(error.value.response.text())["error"]
    return error.value.status_code, document["code"], document.get("innererror", {}).get("code", "")


def test_the_challenge_says_where_and_for_what(vault, fast_emulator):
    credential = Credential()
    url = f"https://{vault}.vault.localhost:{fast_emulator.port}"
    with SecretClient(url, credential, transport=Loopback()) as client:
        client.set_secret("a", "1")
    scope = f"https://vault.localhost:{fast_emulator.port}/.default"
    assert credential.asked == [((scope,), TENANT)]


def test_versions_and_attributes(secrets):
    expires = datetime(2031, 1, 1, tzinfo=UTC)
    first = secrets.set_secret("db", "hunter2", content_type="text/plain", tags={"a": "b"}, expires_on=expires)
    second = secrets.set_secret("db", "hunter3")
    assert secrets.get_secret("db").value == "hunter3"
    old = secrets.get_secret("db", first.properties.version)
    assert (old.value, old.properties.content_type, old.properties.tags) == ("hunter2", "text/plain", {"a": "b"})
    assert (old.properties.expires_on, old.properties.enabled) == (expires, True)
    assert (old.properties.recovery_level, old.properties.recoverable_days) == ("Recoverable+Purgeable", 90)
    assert old.properties.created_on is not None
    versions = [found.version for found in secrets.list_properties_of_secret_versions("db")]
    assert versions == [first.properties.version, second.properties.version]
    changed = secrets.update_secret_properties("db", enabled=False, tags={"c": "d"})
    assert (changed.version, changed.enabled, changed.tags) == (second.properties.version, False, {"c": "d"})
    assert refused(secrets.get_secret, "db") == (403, "Forbidden", "SecretDisabled")
    assert secrets.get_secret("db", first.properties.version).value == "hunter2"
    assert refused(secrets.get_secret, "none") == (404, "SecretNotFound", "")
    assert refused(secrets.get_secret, "db", "0" * 32) == (404, "SecretNotFound", "")
    assert refused(secrets.update_secret_properties, "none", enabled=False)[:2] == (404, "SecretNotFound")


def test_lists_are_paged_and_tell_no_values(secrets):
    names = [f"s{number:02}" for number in range(30)]
    for name in names:
        secrets.set_secret(name, "hunter2")
    assert [found.name for found in secrets.list_properties_of_secrets()] == names
    pages = [list(page) for page in secrets.list_properties_of_secrets(max_page_size=PORTION).by_page()]
    assert [len(page) for page in pages] == [PORTION] * 3
    assert all(found.version is None for found in pages[0])


def test_deletion_recovery_and_purge(secrets, sdk, group, vault):
    secrets.set_secret("db", "hunter2")
    deleted = secrets.begin_delete_secret("db").result()
    assert deleted.recovery_id.endswith("/deletedsecrets/db")
    assert (deleted.scheduled_purge_date - deleted.deleted_date).days == 90
    assert refused(secrets.get_secret, "db")[:2] == (404, "SecretNotFound")
    assert refused(secrets.set_secret, "db", "x") == (409, "Conflict", "ObjectIsDeletedButRecoverable")
    assert [found.name for found in secrets.list_deleted_secrets()] == ["db"]
    assert refused(sdk.key_vault.secrets.create_or_update, group, vault, "db", {"properties": {"value": "x"}}) == (
        409, "Conflict", "ObjectIsDeletedButRecoverable")  # fmt: skip
    secrets.begin_recover_deleted_secret("db").result()
    assert secrets.get_secret("db").value == "hunter2"
    assert refused(secrets.get_deleted_secret, "db")[:2] == (404, "SecretNotFound")
    secrets.begin_delete_secret("db").result()
    secrets.purge_deleted_secret("db")
    assert list(secrets.list_deleted_secrets()) == []
    assert secrets.set_secret("db", "new").value == "new"
    sdk.key_vault.vaults.update(group, vault, {"properties": {"enablePurgeProtection": True}})
    secrets.begin_delete_secret("db").result()
    assert refused(secrets.purge_deleted_secret, "db")[:2] == (403, "Forbidden")


def test_backups_are_sealed_and_restored(secrets):
    first = secrets.set_secret("db", "hunter2")
    secrets.set_secret("db", "hunter3")
    backup = secrets.backup_secret("db")
    assert b"hunter" not in backup
    assert refused(secrets.restore_secret_backup, backup)[:2] == (409, "Conflict")
    secrets.begin_delete_secret("db").result()
    secrets.purge_deleted_secret("db")
    assert secrets.restore_secret_backup(backup).name == "db"
    assert secrets.get_secret("db").value == "hunter3"
    assert secrets.get_secret("db", first.properties.version).value == "hunter2"
    assert refused(secrets.restore_secret_backup, b"garbage")[:2] == (400, "BadParameter")


def test_both_planes_have_the_same_secrets(secrets, sdk, group, vault, fast_emulator):
    sdk.key_vault.secrets.create_or_update(group, vault, "arm", {"properties": {"value": "by-template"}})
    assert secrets.get_secret("arm").value == "by-template"
    made = secrets.set_secret("client", "hunter2", tags={"a": "b"})
    shown = sdk.key_vault.secrets.get(group, vault, "client")
    assert shown.tags == {"a": "b"}
    assert shown.properties.secret_uri_with_version.endswith(f"/secrets/client/{made.properties.version}")
    views = [fast_emulator.engine.view(resource) for resource in fast_emulator.store.resources.values()]
    assert "hunter2" not in json.dumps([views, list(fast_emulator.store.requests)])


# -- over plain HTTP -------------------------------------------------------------------------------------------------


class Door:
    """Requests to the host of one vault."""

    def __init__(self, http: Any, name: str = "kv-http") -> None:
        self.http, self.host = http, f"{name}.vault.localhost"

    async def call(self, method: str, path: str, body: Any = None, *, version: str = "7.5", **headers: str) -> Any:
        url = f"{self.http.emulator.url}{path}"
        sent = {"Host": self.host, "Authorization": "Bearer opaque", **headers}
        query = {"api-version": version} if version else {}
        async with self.http.session.request(method, url, json=body, params=query, headers=sent) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None, response.headers

    async def code(self, *arguments: Any, **options: Any) -> tuple[int, str]:
        status, document, _ = await self.call(*arguments, **options)
        return status, document["error"]["code"]


@pytest.fixture
async def door(http: Any) -> Door:
    await http.done("rg/Microsoft.KeyVault/vaults/kv-http", {"location": LOCATION, "properties": {"tenantId": TENANT}})
    return Door(http)


async def test_who_comes_without_a_token_is_told_where_to_get_one(http, door):
    async with http.session.get(
        f"{http.emulator.url}/secrets/x?api-version=7.5", headers={"Host": door.host}
    ) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == (
            f'Bearer authorization="https://localhost/{TENANT}", resource="https://vault.localhost"'
        )
        assert (await answer.json())["error"]["code"] == "Unauthorized"


async def test_what_a_vault_does_not_take(http, door):
    assert await door.code("GET", "/secrets/x", version="") == (400, "BadParameter")
    assert await door.code("GET", "/secrets/x", version="1999") == (400, "BadParameter")
    assert await door.code("PUT", "/secrets/a_b", {"value": "x"}) == (400, "BadParameter")
    assert await door.code("GET", "/keys") == (404, "NotFound")
    assert await Door(http, "nobody").code("GET", "/secrets") == (404, "VaultNotFound")
    wrong_members = ({"attributes": {"enabled": "yes"}}, {"attributes": {"exp": "soon"}}, {"tags": {"a": 1}},
                     {"tags": {str(number): "" for number in range(16)}}, {"contentType": 5})  # fmt: skip
    bodies = (None, [], {"value": 1}, {"value": "x" * 30_000}, *({"value": "x", **wrong} for wrong in wrong_members))
    for wrong in bodies:
        assert await door.code("PUT", "/secrets/x", wrong) == (400, "BadParameter"), wrong
    assert await door.code("GET", "/secrets/x") == (404, "SecretNotFound")


async def test_a_vault_answers_once_its_name_resolves(http):
    body = {"location": LOCATION, "properties": {"tenantId": TENANT}}
    await http.put("rg/Microsoft.KeyVault/vaults/kv-new", body)
    assert await Door(http, "kv-new").code("GET", "/secrets") == (404, "VaultNotFound")
    http.advance(60)
    assert (await Door(http, "kv-new").call("GET", "/secrets"))[0] == 200


async def test_deletion_and_recovery_take_a_moment(http, door):
    await door.call("PUT", "/secrets/db", {"value": "hunter2"})
    status, row, _ = await door.call("DELETE", "/secrets/db")
    assert (status, row["recoveryId"]) == (200, f"https://{door.host}/deletedsecrets/db")
    assert await door.code("GET", "/deletedsecrets/db") == (404, "SecretNotFound")
    status, document, _ = await door.call("PUT", "/secrets/db", {"value": "x"})
    assert (status, document["error"]["innererror"]["code"]) == (409, "ObjectIsBeingDeleted")
    http.advance(6)
    assert (await door.call("GET", "/deletedsecrets/db"))[0] == 200
    assert (await door.call("POST", "/deletedsecrets/db/recover"))[0] == 200
    status, document, _ = await door.call("PUT", "/secrets/db", {"value": "x"})
    assert (status, document["error"]["innererror"]["code"]) == (409, "ObjectIsBeingRecovered")
    http.advance(6)
    assert (await door.call("GET", "/secrets/db"))[1]["value"] == "hunter2"
    # What nobody recovers is gone when its time is over.
    await door.call("DELETE", "/secrets/db")
    http.advance(91 * 86_400)
    assert (await door.call("GET", "/deletedsecrets"))[1]["value"] == []
    assert (await door.call("PUT", "/secrets/db", {"value": "x"}))[0] == 200


async def test_the_firewall_is_a_setting(http, door):
    closed = {"properties": {"publicNetworkAccess": "Disabled"}}
    await http.call("PATCH", "rg/Microsoft.KeyVault/vaults/kv-http", closed)
    assert (await door.call("GET", "/secrets"))[0] == 200
    http.emulator.store.set("vaultFirewall", True)
    status, document, _ = await door.call("GET", "/secrets")
    assert (status, document["error"]["innererror"]["code"]) == (403, "ForbiddenByConnection")


# -- rights ----------------------------------------------------------------------------------------------------------

READER = Principal("00000000-0000-0000-0000-0000000000aa", app_id="11111111-0000-0000-0000-000000000000")


def ask(engine: Any, method: str, path: str, body: Any = None) -> Any:
    return data_plane.serve(DataCall(
        engine=engine, method=method, host="kv-http.vault.localhost", name="kv-http", path=path,
        query={"api-version": "7.5"}, headers={}, body=body, base_url="https://kv-http.vault.localhost",
        principal=READER,
    ))  # fmt: skip


def inner(engine: Any, *arguments: Any) -> str:
    with pytest.raises(ArmError) as caught:
        ask(engine, *arguments)
    assert (caught.value.status, caught.value.code) == (403, "Forbidden")
    return str(caught.value.error()["innererror"]["code"])


async def test_access_policies_decide_when_rights_are_switched_on(http, door):
    engine = http.emulator.engine
    given = {"tenantId": TENANT, "objectId": READER.object_id, "permissions": {"secrets": ["Get", "list"]}}
    properties = {"accessPolicies": [given], "enableRbacAuthorization": False}
    await http.call("PATCH", "rg/Microsoft.KeyVault/vaults/kv-http", {"properties": properties})
    assert ask(engine, "PUT", "/secrets/db", {"value": "hunter2"}).status == 200
    engine.store.set("rights", "on")
    assert ask(engine, "GET", "/secrets/db").body["value"] == "hunter2"
    assert len(ask(engine, "GET", "/secrets").body["value"]) == 1
    assert inner(engine, "PUT", "/secrets/db", {"value": "x"}) == "AccessDenied"
    assert inner(engine, "DELETE", "/secrets/db") == "AccessDenied"


async def test_role_assignments_decide_when_the_vault_says_so(http, door):
    engine = http.emulator.engine
    vault_id = engine.store.of_type("Microsoft.KeyVault/vaults")[0].id
    by_roles = {"properties": {"enableRbacAuthorization": True}}
    await http.call("PATCH", "rg/Microsoft.KeyVault/vaults/kv-http", by_roles)
    ask(engine, "PUT", "/secrets/db", {"value": "hunter2"})
    ask(engine, "PUT", "/secrets/other", {"value": "hunter2"})

    async def assign(name: str, scope: str, role: str) -> None:
        await http.put(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}", {"properties": {
            "roleDefinitionId": f"{http.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            "principalId": READER.object_id, "principalType": "ServicePrincipal"}})  # fmt: skip

    await assign("00000000-0000-0000-0000-000000000001", f"{vault_id}/secrets/db", SECRETS_USER)
    http.advance(3600)
    engine.settle()
    engine.store.set("rights", "on")
    assert ask(engine, "GET", "/secrets/db").body["value"] == "hunter2"
    assert inner(engine, "GET", "/secrets/other") == "ForbiddenByRbac"
    assert inner(engine, "PUT", "/secrets/db", {"value": "x"}) == "ForbiddenByRbac"
    engine.store.set("rights", "off")
    await assign("00000000-0000-0000-0000-000000000002", vault_id, SECRETS_OFFICER)
    http.advance(3600)
    engine.settle()
    engine.store.set("rights", "on")
    assert ask(engine, "PUT", "/secrets/other", {"value": "x"}).status == 200
