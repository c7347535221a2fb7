"""The client against a server that says what the test tells it to: headers, refusals, lost answers, foreign URLs."""

import asyncio
import json
import logging
import socket

import pytest
from azure.core.exceptions import ClientAuthenticationError

from hpc_operator.arm import AzureError, ErrorClass, Handle, Started
from hpc_operator.azure import AzureClient

from .conftest import SUBSCRIPTION, TOKEN, Credential, handle_of, outcome

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/climate"
VNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/data"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/me"
ASSIGNMENT = f"{VNET}/providers/Microsoft.Authorization/roleAssignments/guid"
VOLUME = f"{GROUP}/providers/Microsoft.NetApp/netAppAccounts/a/capacityPools/p/volumes/v"
SHARE, CONTAINER = f"{ACCOUNT}/fileServices/default/shares/home", f"{ACCOUNT}/blobServices/default/containers/archive"
OPERATION = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/locations/westeurope/operations/1"

UPDATING = {"id": VNET, "properties": {"provisioningState": "Updating"}}


def refusal(code, message="No."):
    return {"error": {"code": code, "message": message}}


async def failing(awaitable):
    with pytest.raises(AzureError) as refused:
        await awaitable
    return refused.value


# --- what goes over the wire


@pytest.mark.parametrize("resource_id", [VNET, IDENTITY, ASSIGNMENT, GROUP, VOLUME])
async def test_bodies_go_and_come_as_they_are(arm, client, resource_id):
    # With what no model knows, and with what the SDK's models would drop because it is read-only.
    body = {"location": "westeurope", "properties": {"notInAnyModel": [1, {"a": None}], "provisioningState": "x"}}
    answer = {"id": resource_id, "properties": {"provisioningState": "Succeeded", "unheardOf": {"deep": [True]}}}
    arm.on("PUT", resource_id, 201, answer)
    arm.on("GET", resource_id, 200, answer)
    assert await client.put(resource_id, body) == Started(answer)
    assert await client.get(resource_id) == answer
    assert json.loads(arm.requests[0][3]) == body
    assert arm.requests[0][2]["Content-Type"] == "application/json"


@pytest.mark.parametrize("resource_id", [SHARE, CONTAINER])
async def test_shares_and_containers(arm, client, resource_id):
    for method, status in (("PUT", 201), ("PATCH", 200), ("GET", 200)):
        arm.on(method, resource_id, status, {"id": resource_id})
    arm.on("DELETE", resource_id, 204)
    assert await client.put(resource_id, {}) == Started({"id": resource_id})
    assert await client.patch(resource_id, {}) == Started({"id": resource_id})
    assert await client.get(resource_id) == {"id": resource_id}
    assert await client.delete(resource_id) == Started()


async def test_requests_carry_a_token_and_who_asks(arm, client, credential):
    arm.on("GET", VNET, 200, UPDATING)
    arm.on("GET", VM, 200, {})
    await client.get(VNET)
    await client.get(VM)
    for _, _, headers, _ in arm.requests:
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["User-Agent"].startswith("azure-hpc-operator/")
    assert credential.scopes == [(f"{arm.url}/.default",)]


async def test_ids_of_other_subscriptions_go_there(arm, client):
    other = VNET.replace(SUBSCRIPTION, "00000000-0000-0000-0000-000000000002")
    arm.on("GET", other, 200, UPDATING)
    assert await client.get(other) == UPDATING


async def test_run_commands_are_read_with_their_output(arm, client):
    arm.on("GET", f"{VM}/runCommands/boot", 200, {"properties": {"instanceView": {"exitCode": 0}}})
    await client.get(f"{VM}/runCommands/boot")
    assert "$expand=instanceView" in arm.requests[0][1]


async def test_patch_goes_where_the_table_says(arm, client):
    arm.on("PATCH", VM, 200, {"id": VM}, {"Location": "{url}/operation"})
    started = await client.patch(VM, {"properties": {"hardwareProfile": {"vmSize": "Standard_HB120rs_v3"}}})
    assert started == Started({"id": VM}, f"{arm.url}/operation")
    with pytest.raises(ValueError, match="PUT"):
        await client.patch(VNET, {})


# --- the answer to a write


@pytest.mark.parametrize(
    ("status", "headers", "expected", "seconds"),
    [
        (201, {"Azure-AsyncOperation": "{url}/a", "Location": "{url}/b", "Retry-After": "17"}, "{url}/a", 17),
        (201, {"Location": "{url}/b"}, "{url}/b", None),
        (201, {}, "", None),
        (200, {"Azure-AsyncOperation": "{url}/a", "Retry-After": "1", "x-ms-retry-after-ms": "50"}, "{url}/a", 0.05),
    ],
)
async def test_where_the_operation_can_be_asked(arm, client, status, headers, expected, seconds):
    arm.on("PUT", VNET, status, UPDATING, headers)
    started = await client.put(VNET, {})
    assert started == Started(UPDATING, expected.replace("{url}", arm.url), seconds)


async def test_storage_accounts_are_accepted_without_a_body(arm, client):
    arm.on("PUT", ACCOUNT, 202, None, {"Location": "{url}/b", "Retry-After": "17"})
    assert await client.put(ACCOUNT, {}) == Started(None, f"{arm.url}/b", 17)


async def test_a_location_of_a_finished_answer_is_no_operation(arm, client):
    arm.on("PUT", IDENTITY, 201, {"id": IDENTITY}, {"Location": "{url}/somewhere"})
    assert await client.put(IDENTITY, {}) == Started({"id": IDENTITY})


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_good_status_is_good_even_if_the_sdk_does_not_list_it(arm, client, status):
    body = None if status == 204 else {"id": VM}
    arm.on("PATCH", VM, status, body, {"Azure-AsyncOperation": "{url}/a"})
    assert await client.patch(VM, {}) == Started(body, f"{arm.url}/a")


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (204, None, {}, Started()),
        (200, None, {}, Started()),
        (404, refusal("ResourceNotFound"), {}, Started()),
        (404, refusal("ResourceGroupNotFound"), {}, Started()),
        (202, None, {}, Started(None, "")),
    ],
)
async def test_deleting(arm, client, status, body, headers, expected):
    arm.on("DELETE", VNET, status, body, headers)
    assert await client.delete(VNET) == expected


async def test_deleting_may_take_a_while(arm, client):
    arm.on("DELETE", VNET, 202, None, {"Location": "{url}/b", "Azure-AsyncOperation": "{url}/a", "Retry-After": "10"})
    assert await client.delete(VNET) == Started(None, f"{arm.url}/a", 10)


@pytest.mark.parametrize("header", ["Azure-AsyncOperation", "Location"])
async def test_an_operation_elsewhere_is_refused(arm, client, header):
    arm.on("PUT", VNET, 201, UPDATING, {header: "https://evil.example/operation?s=signature"})
    error = await failing(client.put(VNET, {}))
    assert (error.code, error.error_class) == ("ForeignUrl", ErrorClass.PERMANENT)
    assert "signature" not in error.message


# --- following


async def test_following_with_nothing_but_the_handle(arm, stack, client):
    arm.on("PUT", VNET, 201, UPDATING, {"Azure-AsyncOperation": f"{{url}}{OPERATION}?s=1"})
    arm.on("GET", OPERATION, 200, {"status": "InProgress"}, {"retry-after-ms": "10"})
    arm.on("GET", OPERATION, 200, {"status": "Succeeded"})
    handle = handle_of(VNET, "PUT", await client.put(VNET, {}))
    await client.close()
    fresh = await stack.enter_async_context(AzureClient(arm.url, SUBSCRIPTION, Credential(), poll_interval=0.01))
    ended = await outcome(fresh, handle)
    assert ended.error is None
    assert arm.asked == [f"PUT {VNET}", f"GET {OPERATION}", f"GET {OPERATION}"]
    assert arm.requests[-1][1].endswith("?s=1")
    assert fresh.requests == {("poll", "2xx"): 2}


async def test_an_operation_that_fails_at_its_end(arm, client):
    arm.on("GET", OPERATION, 200, {"status": "InProgress"})
    error = {"code": "AnotherOperationInProgress", "message": "Wait.", "details": []}
    arm.on("GET", OPERATION, 200, {"status": "Failed", "error": error})
    ended = await outcome(client, Handle(VNET, "PUT", arm.url + OPERATION, ""))
    assert ended.error is not None
    assert (ended.error.code, ended.error.status) == ("AnotherOperationInProgress", 0)
    assert ended.error.error_class is ErrorClass.TRANSIENT


async def test_a_location_with_retry_after_on_the_way(arm, client):
    arm.on("GET", OPERATION, 202, None, {"retry-after-ms": "5", "Location": "{url}/moved"})
    arm.on("GET", "/moved", 202, None, {"retry-after-ms": "5"})
    arm.on("GET", "/moved", 204)
    ended = await outcome(client, Handle(VNET, "DELETE", arm.url + OPERATION, ""))
    assert ended.error is None
    assert arm.asked == [f"GET {OPERATION}", "GET /moved", "GET /moved"]


async def test_a_url_that_is_gone(arm, client):
    arm.on("GET", OPERATION, 404, refusal("OperationNotFound"))
    arm.on("GET", VNET, 200, UPDATING)
    arm.on("GET", VNET, 200, {"properties": {"provisioningState": "Succeeded"}})
    ended = await outcome(client, Handle(VNET, "PUT", arm.url + OPERATION, ""))
    assert ended.error is None
    assert arm.asked == [f"GET {OPERATION}", f"GET {VNET}", f"GET {VNET}"]


async def test_a_handle_that_leads_elsewhere_gets_no_token(arm, client):
    """Status can be edited by people: the handle's URL is checked again."""
    asked = []

    async def accept(reader, writer):
        asked.append(await reader.read(10))
        writer.close()

    elsewhere = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        arm.on("GET", VNET, 200, {"properties": {"provisioningState": "Succeeded"}})
        ended = await outcome(client, Handle(VNET, "PUT", f"http://127.0.0.1:{port}/operation", ""))
    assert ended.error is None
    assert asked == []


async def test_following_survives_lost_answers_and_outages(arm, client):
    for _ in range(2):  # aiohttp itself asks a second time where a connection breaks
        arm.on("GET", OPERATION, None)
    arm.on("GET", OPERATION, 503, text="down")
    arm.on("GET", OPERATION, 200, {"status": "Succeeded"})
    client._operations._backoff = 0.01
    ended = await outcome(client, Handle(VNET, "PUT", arm.url + OPERATION, ""))
    assert ended.error is None
    assert client.requests == {("poll", "none"): 1, ("poll", "5xx"): 1, ("poll", "2xx"): 1}


async def test_forgetting(arm, client):
    arm.on("GET", OPERATION, 200, {"status": "InProgress"})
    client.follow(Handle(VNET, "PUT", arm.url + OPERATION, ""), lambda _: pytest.fail("forgotten"), retry_after=0)
    client.forget(VNET)
    assert len(client._operations) == 0


# --- refusals


@pytest.mark.parametrize(
    "code",
    ["ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "RoleAssignmentNotFound", "NotFound"],
)
async def test_what_is_not_there(arm, client, code):
    arm.on("GET", VNET, 404, refusal(code))
    assert await client.get(VNET) is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (refusal("SubscriptionNotFound"), None),
        (refusal("InvalidResourceType"), None),
        (None, "<html>404</html>"),
        (None, ""),
        ({"message": "no route"}, None),
    ],
)
async def test_a_404_that_does_not_mean_absent(arm, client, body, text):
    """Taking one for absence would make the operator build everything again, or believe that all is deleted."""
    for method in ("GET", "DELETE"):
        arm.on(method, VNET, 404, body, text=text)
    arm.on("GET", f"{GROUP}/providers/Microsoft.Compute/virtualMachines", 404, body, text=text)
    for awaitable in (client.get(VNET), client.delete(VNET), client.list_virtual_machines(GROUP)):
        assert (await failing(awaitable)).status == 404


@pytest.mark.parametrize("text", ["<html>please log in</html>", "", "[]", "null"])
async def test_a_200_that_is_not_from_azure(arm, client, text):
    arm.on("GET", VNET, 200, text=text, headers={"Content-Type": "text/html"})
    assert (await failing(client.get(VNET))).error_class is ErrorClass.TRANSIENT


async def test_redirects_are_not_followed(arm, client):
    arm.on("GET", VNET, 307, None, {"Location": "https://evil.example/"})
    arm.on("PUT", VNET, 307, None, {"Location": "https://evil.example/"})
    assert (await failing(client.get(VNET))).status == 307
    assert (await failing(client.put(VNET, {}))).status == 307


async def test_refusals_come_classified_after_one_request(arm, client):
    arm.on("PUT", VM, 409, refusal("SkuNotAvailable"), {"Retry-After": "7"})
    arm.on("GET", VM, 503, refusal("ServerBusy"))
    error = await failing(client.put(VM, {}))
    assert (error.code, error.status, error.error_class) == ("SkuNotAvailable", 409, ErrorClass.CAPACITY)
    assert error.retry_after == 7
    assert (await failing(client.get(VM))).error_class is ErrorClass.TRANSIENT
    assert arm.asked == [f"PUT {VM}", f"GET {VM}"]
    assert client.requests == {("write", "4xx"): 1, ("read", "5xx"): 1}


async def test_throttling_stops_more_requests_of_the_kind(arm, client):
    arm.on("PUT", VM, 429, {"code": "OperationNotAllowed", "message": "Too many requests."}, {"Retry-After": "120"})
    arm.on("GET", VM, 200, {"id": VM})
    arm.on("PUT", VNET, 200, {"id": VNET})
    first = await failing(client.put(VM, {}))
    second = await failing(client.put(VM, {}))
    assert (first.status, first.error_class, first.retry_after) == (429, ErrorClass.TRANSIENT, 120)
    assert (second.status, second.error_class) == (0, ErrorClass.TRANSIENT)
    assert second.retry_after == pytest.approx(120, abs=5)
    await client.get(VM)
    await client.put(VNET, {})
    assert arm.asked == [f"PUT {VM}", f"GET {VM}", f"PUT {VNET}"]


async def test_a_busy_resource_answers_429_and_stops_nothing(arm, client):
    nic = f"{GROUP}/providers/Microsoft.Network/networkInterfaces/nic"
    arm.on("PUT", nic, 429, refusal("RetryableError"), {"Retry-After": "120"})
    for _ in range(2):
        assert (await failing(client.put(nic, {}))).code == "RetryableError"
    assert len(arm.requests) == 2


async def test_a_provider_that_is_not_registered_is_registered_once(arm, client):
    message = "The subscription is not registered to use namespace 'Microsoft.NetApp'. See https://aka.ms/rps."
    register = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.NetApp/register"
    arm.on("PUT", VOLUME, 409, refusal("MissingSubscriptionRegistration", message))
    arm.on("POST", register, 200, {"registrationState": "Registering"})
    for _ in range(2):
        error = await failing(client.put(VOLUME, {}))
        assert (error.code, error.error_class) == ("MissingSubscriptionRegistration", ErrorClass.TRANSIENT)
    assert arm.asked == [f"PUT {VOLUME}", f"POST {register}", f"PUT {VOLUME}"]


async def test_registering_may_need_somebody_else(arm, client):
    register = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.NetApp/register"
    arm.on("PUT", VOLUME, 409, refusal("MissingSubscriptionRegistration"))
    arm.on("POST", register, 403, refusal("AuthorizationFailed"))
    error = await failing(client.put(VOLUME, {}))
    assert error.error_class is ErrorClass.PERMANENT
    assert "az provider register --namespace Microsoft.NetApp" in error.message


# --- no answer, no token


async def test_an_endpoint_that_is_not_there(credential):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with AzureClient(url, SUBSCRIPTION, credential) as client:
        error = await failing(client.get(VNET))
        assert (error.code, error.status, error.error_class) == ("Unreachable", 0, ErrorClass.TRANSIENT)
        assert url in error.message
        assert (await failing(client._ask(f"{url}/operation"))).code == "Unreachable"


async def test_an_answer_that_is_lost(arm, client):
    arm.on("PUT", VNET, None)
    assert (await failing(client.put(VNET, {}))).code == "Unreachable"


async def test_no_token(arm):
    class Nobody(Credential):
        async def get_token(self, *scopes, **options):
            raise ClientAuthenticationError("AADSTS700016: no such application.\nTrace ID: 1")

    async with AzureClient(arm.url, SUBSCRIPTION, Nobody()) as client:
        error = await failing(client.get(VNET))
    assert (error.code, error.error_class) == ("NoCredentials", ErrorClass.CREDENTIALS)
    assert "AADSTS700016: no such application.)" in error.message
    assert "az login" in error.message
    assert arm.requests == []


async def test_a_token_that_azure_does_not_take(arm, client):
    arm.on("GET", VNET, 401, refusal("InvalidAuthenticationToken"))
    error = await failing(client.get(VNET))
    assert (error.status, error.error_class) == (401, ErrorClass.CREDENTIALS)


async def test_a_challenge_is_answered_with_a_new_token(arm, client, credential):
    """Continuous access evaluation: Azure wants a token with claims; "e30=" is {} in base64."""
    challenge = 'Bearer authorization_uri="https://x", error="insufficient_claims", claims="e30="'
    arm.on("GET", VNET, 401, refusal("InvalidAuthenticationToken"), {"WWW-Authenticate": challenge})
    arm.on("GET", VNET, 200, UPDATING)
    assert await client.get(VNET) == UPDATING
    assert len(credential.scopes) == 2


async def test_tokens_and_signatures_are_in_no_log(arm, client, caplog):
    caplog.set_level(logging.DEBUG)
    arm.on("GET", VNET, 500, refusal("InternalServerError"))
    arm.on("GET", OPERATION, 200, {"status": "Succeeded"})
    error = await failing(client.get(VNET))
    await outcome(client, Handle(VNET, "PUT", f"{arm.url}{OPERATION}?s=signature", ""))
    assert VNET in caplog.text
    for secret in (TOKEN, "signature"):
        assert secret not in caplog.text
        assert secret not in str(error)


# --- virtual machines


async def test_machines_come_in_pages(arm, client):
    machines = f"{GROUP}/providers/Microsoft.Compute/virtualMachines"
    arm.on("GET", machines, 200, {"value": [{"name": "a", "odd": 1}], "nextLink": f"{arm.url}/more?page=2"})
    arm.on("GET", "/more", 200, {"value": [{"name": "b"}]})
    assert await client.list_virtual_machines(GROUP) == [{"name": "a", "odd": 1}, {"name": "b"}]


async def test_a_next_page_elsewhere_is_refused(arm, client):
    machines = f"{GROUP}/providers/Microsoft.Compute/virtualMachines"
    arm.on("GET", machines, 200, {"value": [], "nextLink": "https://evil.example/more"})
    assert (await failing(client.list_virtual_machines(GROUP))).code == "ForeignUrl"


async def test_no_group_no_machines(arm, client):
    arm.on("GET", f"{GROUP}/providers/Microsoft.Compute/virtualMachines", 404, refusal("ResourceGroupNotFound"))
    assert await client.list_virtual_machines(GROUP) == []


async def test_why_a_machine_failed(arm, client):
    statuses = [
        {"code": "PowerState/running"},
        {"code": "ProvisioningState/failed/AllocationFailed", "message": "We have no room."},
    ]
    arm.on("GET", f"{VM}/instanceView", 200, {"statuses": statuses})
    error = await client.virtual_machine_error(VM)
    assert (error.code, error.message, error.status) == ("AllocationFailed", "We have no room.", 0)
    assert error.error_class is ErrorClass.CAPACITY


@pytest.mark.parametrize("view", [{}, {"statuses": [{"code": "ProvisioningState/failed"}]}])
async def test_a_machine_that_failed_without_a_word(arm, client, view):
    arm.on("GET", f"{VM}/instanceView", 200, view)
    assert (await client.virtual_machine_error(VM)).code == "OperationFailed"


async def test_the_newest_image(arm, client):
    path = (
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/publishers/microsoft-dsvm"
        "/artifacttypes/vmimage/offers/ubuntu-hpc/skus/2204/versions"
    )
    arm.on("GET", path, 200, [{"name": "22.04.2026010100"}])
    urn = "microsoft-dsvm:ubuntu-hpc:2204:{}"
    assert await client.latest_image_version("westeurope", urn.format("latest")) == "22.04.2026010100"
    assert "$top=1" in arm.requests[0][1]
    assert await client.latest_image_version("westeurope", urn.format("1.2.3")) == "1.2.3"
    arm.answers.clear()
    arm.on("GET", path, 200, [])
    error = await failing(client.latest_image_version("westeurope", urn.format("latest")))
    assert error.error_class is ErrorClass.PERMANENT
    assert "az vm image list" in error.message


# --- its own life


async def test_a_credential_that_was_given_stays_open(arm, credential):
    async with AzureClient(arm.url, SUBSCRIPTION, credential):
        pass
    assert not credential.closed


async def test_closing_without_having_asked_anything(arm, monkeypatch):
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "prod")
    async with AzureClient(arm.url, SUBSCRIPTION):
        pass


async def test_many_first_calls_at_once(arm, credential):
    arm.on("GET", VNET, 200, UPDATING)
    async with AzureClient(arm.url, SUBSCRIPTION, credential) as client:
        assert await asyncio.gather(*(client.get(VNET) for _ in range(20))) == [UPDATING] * 20
    assert len(credential.scopes) == 1
