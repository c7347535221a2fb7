"""Entra ID's endpoints and IMDS over plain HTTP: what they check, and in which words they refuse."""

from __future__ import annotations

import time
import uuid
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from azure_emulator import SUBSCRIPTION, TENANT

SCOPE = "https://management.azure.com/.default"
AUDIENCE = "api://AzureADTokenExchange"
SUBJECT = "system:serviceaccount:hpc:operator"
IDENTITY = "rg/Microsoft.ManagedIdentity/userAssignedIdentities/operator"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_set(*keys: rsa.RSAPrivateKey) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm
    return {
        "keys": [
            {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": f"key-{number}", "use": "sig"}
            for number, key in enumerate(keys)
        ]
    }


def assertion(issuer: str, *, key: rsa.RSAPrivateKey = KEY, kid: str = "key-0", **claims: Any) -> str:
    now = int(time.time())
    full = {"iss": issuer, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 600, **claims}
    return jwt.encode(full, key, algorithm="RS256", headers={"kid": kid})


async def admin(http: Any, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with http.session.request(method, f"{http.emulator.url}/emulator/{path}", json=body) as response:
        return response.status, await response.json()


async def login(http: Any, *, tenant: str = TENANT, version: str = "/v2.0", **form: str) -> tuple[int, Any]:
    full = {"grant_type": "client_credentials", "scope": SCOPE, **form}
    async with http.session.post(f"{http.emulator.url}/{tenant}/oauth2{version}/token", data=full) as response:
        return response.status, await response.json()


@pytest.fixture
async def strict(http):
    """Everything is checked; the requests that set the scene are somebody's who has a token."""
    await admin(http, "PUT", "settings", {"login": "strict"})
    somebody = (await admin(http, "POST", "users", {"userPrincipalName": "ada@hpc.example"}))[1]["objectId"]
    token = (await admin(http, "POST", "tokens", {"principal": somebody}))[1]["access_token"]
    http.headers = {"Authorization": f"Bearer {token}"}
    return http


@pytest.fixture
async def application(strict):
    status, shown = await admin(strict, "POST", "applications", {"displayName": "pipeline"})
    assert status < 300
    return shown


async def federated(http: Any, issuer: str, **properties: Any) -> str:
    """An identity that trusts an issuer; its client id."""
    identity = await http.put(IDENTITY, {"location": "westeurope"})
    full = {"issuer": issuer, "subject": SUBJECT, "audiences": [AUDIENCE], **properties}
    await http.put(f"{IDENTITY}/federatedIdentityCredentials/cluster", {"properties": full})
    return str(identity["properties"]["clientId"])


def code_of(answer: tuple[int, Any]) -> tuple[int, str, int]:
    status, document = answer
    number = document["error_codes"][0]
    assert document["error_description"].startswith(f"AADSTS{number}: ")
    return status, document["error"], number


# -- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "issuer"), [("/v2.0", f"{TENANT}/v2.0"), ("", f"{TENANT}/")])
async def test_tokens_are_signed_with_the_published_key(http, version, issuer):
    url = http.emulator.url
    async with http.session.get(f"{url}/{TENANT}{version}/.well-known/openid-configuration") as response:
        configuration = await response.json()
    assert configuration["issuer"] == f"{url}/{issuer}"
    async with http.session.get(configuration["jwks_uri"]) as response:
        keys = jwt.PyJWKSet.from_dict(await response.json())
    form = {"grant_type": "client_credentials", "client_id": "someone", "scope": SCOPE}
    async with http.session.post(configuration["token_endpoint"], data=form) as response:
        token = (await response.json())["access_token"]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="https://management.azure.com")
    assert claims["tid"] == TENANT
    assert claims["appid"] == "someone"


async def test_the_older_endpoint_writes_numbers_as_strings(http):
    status, granted = await login(http, version="", client_id="x", resource="https://management.core.windows.net/")
    assert status == 200
    assert granted["resource"] == "https://management.core.windows.net/"
    assert int(granted["expires_on"]) > time.time()


async def test_the_image_aliases_are_where_the_cloud_says(http):
    async with http.session.get(f"{http.emulator.url}/metadata/endpoints?api-version=2022-09-01") as response:
        where = (await response.json())["vmImageAliasDoc"]
    async with http.session.get(where) as response:
        aliases = (await response.json())["outputs"]["aliases"]["value"]
    assert aliases["Linux"]["Ubuntu2204"]["version"] == "latest"


async def test_a_secret_opens(application, strict):
    secret = application["secret"]
    status, granted = await login(strict, client_id=application["appId"], client_secret=secret)
    assert status == 200
    claims = jwt.decode(granted["access_token"], options={"verify_signature": False})
    assert claims["oid"] == application["objectId"]
    assert secret not in str(strict.emulator.store.settings)


async def test_what_does_not_prove_anything_is_refused(application, strict):
    known = {"client_id": application["appId"], "client_secret": "wrong"}
    good = {**known, "client_secret": application["secret"]}
    stranger = {**known, "client_id": str(uuid.uuid4())}
    assert code_of(await login(strict, **known)) == (401, "invalid_client", 7000215)
    assert code_of(await login(strict, **stranger)) == (400, "unauthorized_client", 700016)
    assert code_of(await login(strict, tenant="elsewhere", **good)) == (400, "invalid_request", 90002)
    assert code_of(await login(strict, **{**good, "grant_type": "magic"})) == (400, "unsupported_grant_type", 70003)
    assert code_of(await login(strict, client_id=good["client_id"])) == (401, "invalid_client", 7000218)
    assert code_of(await login(strict, **{**good, "client_id": ""})) == (400, "invalid_request", 900144)
    assert code_of(await login(strict, **{**good, "scope": "https://management.azure.com"}))[2] == 1002012


async def test_a_registered_application_is_replaced_by_its_id(application, strict):
    body = {"displayName": "renamed", "appId": application["appId"], "secret": "a secret of our own"}
    _, again = await admin(strict, "POST", "applications", body)
    assert again["objectId"] == application["objectId"]
    stale = await login(strict, client_id=application["appId"], client_secret=application["secret"])
    assert code_of(stale)[2] == 7000215
    assert (await login(strict, client_id=application["appId"], client_secret="a secret of our own"))[0] == 200


async def test_admin_requests_that_mean_nothing_get_a_sentence(http):
    status, answer = await admin(http, "POST", "applications", {"displayName": "x", "roles": [{"role": "Emperor"}]})
    assert (status, "there is no role 'Emperor'" in answer["error"]) == (400, True)
    status, answer = await admin(http, "POST", "applications", {"displayName": "x", "certificates": ["no"]})
    assert (status, "PEM" in answer["error"]) == (400, True)
    status, answer = await admin(http, "PUT", "issuers", {"issuer": "https://x", "jwks": {}})
    assert (status, "JSON Web Key Set" in answer["error"]) == (400, True)
    assert (await admin(http, "GET", "directory"))[1] == []


# -- federation ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def issuer(strict):
    """An issuer whose keys are registered, as for a cluster that cannot be reached."""
    name = "https://oidc.cluster.test"
    await admin(strict, "PUT", "issuers", {"issuer": name, "jwks": key_set(KEY)})
    return name


async def assert_refused(http: Any, client_id: str, text: str) -> tuple[int, str, int]:
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return code_of(await login(http, client_id=client_id, client_assertion_type=kind, client_assertion=text))


async def test_a_service_account_token_opens(strict, issuer):
    client_id = await federated(strict, issuer)
    status, granted = await login(strict, client_id=client_id, client_assertion=assertion(issuer))
    assert status == 200, granted
    claims = jwt.decode(granted["access_token"], options={"verify_signature": False})
    identity = (await strict.call("GET", IDENTITY))[1]
    assert claims["oid"] == identity["properties"]["principalId"]
    assert claims["xms_mirid"] == identity["id"]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "system:serviceaccount:hpc:other"}, 700213),
        ({"sub": SUBJECT.upper()}, 7002138),
        ({"aud": ["https://kubernetes.default.svc"]}, 700212),
        ({"iss": "https://oidc.elsewhere.test"}, 700211),
        ({"exp": 1}, 700024),
        ({"nbf": 2**33}, 700024),
    ],
)
async def test_assertions_that_match_no_credential(strict, issuer, claims, code):
    client_id = await federated(strict, issuer)
    status, error, found = await assert_refused(strict, client_id, assertion(issuer, **claims))
    assert (status, error, found) == (401, "invalid_client", code)


async def test_signatures_are_verified(strict, issuer):
    client_id = await federated(strict, issuer)
    for forged in (assertion(issuer, key=OTHER_KEY), assertion(issuer, kid="key-9")):
        assert (await assert_refused(strict, client_id, forged))[2] == 50013
    now = int(time.time())
    claims = {"iss": issuer, "sub": SUBJECT, "aud": AUDIENCE, "exp": now + 60}
    symmetric = jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": "key-0"})
    assert (await assert_refused(strict, client_id, symmetric))[2] == 50013
    assert await assert_refused(strict, client_id, "no token") == (400, "invalid_request", 50027)


async def test_an_identity_without_credentials_trusts_nobody(strict, issuer):
    identity = await strict.put(IDENTITY, {"location": "westeurope"})
    refused = await assert_refused(strict, identity["properties"]["clientId"], assertion(issuer))
    assert refused == (400, "invalid_request", 70021)


async def test_a_new_credential_may_take_time_to_work(strict, issuer):
    await admin(strict, "PUT", "settings", {"federationDelaySeconds": 60})
    client_id = await federated(strict, issuer)
    assert (await assert_refused(strict, client_id, assertion(issuer)))[2] == 70021
    strict.advance(61)
    assert (await login(strict, client_id=client_id, client_assertion=assertion(issuer)))[0] == 200


async def test_keys_come_from_the_issuer_and_may_rotate(strict):
    keys, asked = [KEY], []

    async def configuration(request: web.Request) -> web.Response:
        asked.append(request.path)
        own = f"http://{request.host}"
        return web.json_response({"issuer": own, "jwks_uri": f"{own}/keys"})

    async def published(_request: web.Request) -> web.Response:
        return web.json_response(key_set(*keys))

    app = web.Application()
    app.add_routes([web.get("/.well-known/openid-configuration", configuration), web.get("/keys", published)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client_id = await federated(strict, issuer)
    assert (await login(strict, client_id=client_id, client_assertion=assertion(issuer)))[0] == 200
    assert (await login(strict, client_id=client_id, client_assertion=assertion(issuer)))[0] == 200
    assert len(asked) == 1  # kept
    keys.append(OTHER_KEY)
    rotated = assertion(issuer, key=OTHER_KEY, kid="key-1")
    assert (await login(strict, client_id=client_id, client_assertion=rotated))[0] == 200
    assert len(asked) == 2
    await runner.cleanup()
    strange = assertion(issuer, kid="key-2")
    assert await assert_refused(strict, client_id, strange) == (400, "invalid_request", 50166)


# -- IMDS ------------------------------------------------------------------------------------------------------------


async def imds(http: Any, *, vm: str = "", **query: str) -> tuple[int, Any]:
    headers = {"Metadata": "true", **({"X-Emulated-VM": vm} if vm else {})}
    full = {"api-version": "2018-02-01", "resource": "https://management.azure.com/", **query}
    url = f"{http.emulator.url}/metadata/identity/oauth2/token"
    async with http.session.get(url, headers=headers, params=full) as response:
        return response.status, await response.json()


async def machine(http: Any, kind: str, *identities: str) -> str:
    """Something with identities that need no network: IMDS asks only for them."""
    assigned = {"userAssignedIdentities": {one: {} for one in identities}} if identities else {}
    body = {"location": "westeurope", "identity": {"type": kind, **assigned}, "sku": {"name": "Standard_LRS"},
            "kind": "StorageV2"}  # fmt: skip
    return str((await http.done("rg/Microsoft.Storage/storageAccounts/nodes", body))["id"])


async def user_assigned(http: Any, name: str) -> Any:
    return await http.put(f"rg/Microsoft.ManagedIdentity/userAssignedIdentities/{name}", {"location": "westeurope"})


async def test_imds_gives_a_machine_its_own_identity(strict):
    vm = await machine(strict, "SystemAssigned")
    status, granted = await imds(strict, vm=vm)
    assert status == 200
    claims = jwt.decode(granted["access_token"], options={"verify_signature": False})
    assert claims["oid"] == (await strict.call("GET", vm))[1]["identity"]["principalId"]
    assert granted["expires_on"].isdigit()


async def test_imds_gives_a_machine_only_what_is_assigned_to_it(strict):
    one, two, three = [await user_assigned(strict, name) for name in ("one", "two", "three")]
    vm = await machine(strict, "UserAssigned", one["id"], two["id"])
    for query in ({"client_id": one["properties"]["clientId"]}, {"object_id": one["properties"]["principalId"]},
                  {"msi_res_id": one["id"]}):  # fmt: skip
        status, granted = await imds(strict, vm=vm, **query)
        assert (status, granted["client_id"]) == (200, one["properties"]["clientId"])
    status, refused = await imds(strict, vm=vm)
    assert status == 400
    assert refused["error_description"].startswith("Multiple user assigned identities exist")
    status, refused = await imds(strict, vm=vm, client_id=three["properties"]["clientId"])
    assert (status, refused) == (400, {"error": "invalid_request", "error_description": "Identity not found"})


async def test_imds_without_a_machine(strict):
    assert (await imds(strict))[1]["error_description"] == "Identity not found"
    one = await user_assigned(strict, "one")
    status, granted = await imds(strict, client_id=one["properties"]["clientId"])
    assert (status, granted["client_id"]) == (200, one["properties"]["clientId"])
    assert (await imds(strict, client_id=str(uuid.uuid4())))[0] == 400
    await admin(strict, "PUT", "settings", {"login": "trusting"})
    assert (await imds(strict, client_id=str(uuid.uuid4())))[0] == 200


# -- Microsoft Graph -------------------------------------------------------------------------------------------------


async def graph(http: Any, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    full = {**http.headers, **headers}
    async with http.session.request(method, f"{http.emulator.url}/v1.0/{path}", json=body, headers=full) as response:
        return response.status, await response.json() if response.content_length else None


async def test_graph_finds_whom_az_looks_for(http):
    application = (await admin(http, "POST", "applications", {"displayName": "pipe's"}))[1]
    user = (await admin(http, "POST", "users", {"userPrincipalName": "ada@hpc.example"}))[1]
    identity = (await user_assigned(http, "one"))["properties"]
    for text, found in (
        (f"servicePrincipalNames/any(c:c eq '{application['appId']}')", application["objectId"]),
        (f"appId eq '{identity['clientId']}'", identity["principalId"]),
        ("displayName eq 'pipe''s'", application["objectId"]),
        ("startswith(displayName,'pi')", application["objectId"]),
    ):
        status, document = await graph(http, "GET", f"servicePrincipals?$filter={text}")
        assert (status, [one["id"] for one in document["value"]]) == (200, [found])
    status, document = await graph(http, "GET", "users?$filter=userPrincipalName eq 'ada@hpc.example'")
    assert [one["id"] for one in document["value"]] == [user["objectId"]]
    ids = {"ids": [user["objectId"], identity["principalId"]], "types": ["user", "servicePrincipal"]}
    status, document = await graph(http, "POST", "directoryObjects/getByIds", ids)
    assert {one["@odata.type"] for one in document["value"]} == {
        "#microsoft.graph.user", "#microsoft.graph.servicePrincipal",
    }  # fmt: skip
    assert (await graph(http, "GET", "users/nobody@hpc.example"))[1]["error"]["code"] == "Request_ResourceNotFound"
    assert (await graph(http, "GET", "users?$filter=age gt 3"))[1]["error"]["code"] == "Request_UnsupportedQuery"


async def test_graph_makes_what_create_for_rbac_makes(strict):
    trusting = {"login": "trusting"}
    await admin(strict, "PUT", "settings", trusting)
    application = (await graph(strict, "POST", "applications", {"displayName": "rbac"}))[1]
    principal = (await graph(strict, "POST", "servicePrincipals", {"appId": application["appId"]}))[1]
    status, password = await graph(strict, "POST", f"applications/{application['id']}/addPassword", {})
    assert (status, principal["appId"]) == (200, application["appId"])
    await admin(strict, "PUT", "settings", {"login": "strict"})
    assert (await login(strict, client_id=application["appId"], client_secret=password["secretText"]))[0] == 200
    bearer = {"Authorization": "Bearer opaque"}
    assert (await graph(strict, "GET", f"applications/{application['id']}", **bearer))[0] == 401


async def test_graph_says_who_one_is(http):
    user = (await admin(http, "POST", "users", {"userPrincipalName": "ada@hpc.example", "displayName": "Ada"}))[1]
    token = (await admin(http, "POST", "tokens", {"principal": "ada@hpc.example"}))[1]["access_token"]
    status, me = await graph(http, "GET", "me", Authorization=f"Bearer {token}")
    assert (status, me["id"], me["displayName"]) == (200, user["objectId"], "Ada")


# -- bearers ---------------------------------------------------------------------------------------------------------


async def bearer(http: Any, client: dict[str, Any], *, tenant: str = TENANT, scope: str = SCOPE) -> dict[str, str]:
    form = {"client_id": client["appId"], "client_secret": client["secret"], "scope": scope}
    status, granted = await login(http, tenant=tenant, **form)
    assert status == 200, granted
    return {"Authorization": f"Bearer {granted['access_token']}"}


async def refused(http: Any, headers: dict[str, str]) -> str:
    status, document, answered = await http.call("GET", "rg", headers=headers)
    assert status == 401
    challenge = answered["WWW-Authenticate"]
    assert challenge.startswith(f'Bearer authorization_uri="{http.emulator.url}/{TENANT}", error="invalid_token"')
    return str(document["error"]["code"])


async def test_arm_takes_only_tokens_that_were_meant_for_it(application, strict):
    assert (await strict.call("GET", "rg", headers=await bearer(strict, application)))[0] == 200
    assert await refused(strict, {"Authorization": "Bearer opaque"}) == "InvalidAuthenticationToken"
    now = int(time.time())
    claims = {"oid": application["objectId"], "aud": "https://management.azure.com", "tid": TENANT, "exp": now + 600}
    foreign = jwt.encode(claims, OTHER_KEY, algorithm="RS256")
    unsigned = jwt.encode(claims, None, algorithm="none")
    for forged in (foreign, unsigned):
        assert await refused(strict, {"Authorization": f"Bearer {forged}"}) == "InvalidAuthenticationToken"
    ours = strict.emulator.bearers.key.sign({**claims, "exp": now - 1})
    assert await refused(strict, {"Authorization": f"Bearer {ours}"}) == "ExpiredAuthenticationToken"
    vault = await bearer(strict, application, scope="https://vault.azure.net/.default")
    assert await refused(strict, vault) == "InvalidAuthenticationTokenAudience"
    await admin(strict, "PUT", "settings", {"otherTenants": ["11111111-0000-0000-0000-000000000000"]})
    elsewhere = await bearer(strict, application, tenant="11111111-0000-0000-0000-000000000000")
    assert await refused(strict, elsewhere) == "InvalidAuthenticationTokenTenant"
    assert await refused(strict, {"Authorization": ""}) == "AuthenticationFailed"


async def test_the_log_knows_who_asked(application, strict):
    await strict.call("GET", "rg", headers=await bearer(strict, application))
    last = strict.emulator.requests[-1]
    assert (last["caller"], last["callerObjectId"]) == (application["appId"], application["objectId"])
    assert last["action"] == "Microsoft.Resources/subscriptions/resourceGroups/read"
    assert last["path"] == f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
