"""Authorization by role assignments over plain HTTP: who is refused what, in which words, and from when on."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from azure_emulator import SUBSCRIPTION, TENANT, Emulator
from azure_emulator.rights import roles
from azure_emulator.store import Resource
from azure_emulator.types import SOMEBODY

ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/rg"
ROLES = "providers/Microsoft.Authorization/roleDefinitions"
ASSIGNMENTS = "providers/Microsoft.Authorization/roleAssignments"
CONTRIBUTOR, READER = "b24988ac-6180-42a0-ab88-20f7382dd24c", "acdd72a7-3385-48ef-bd42-f606fba81ae7"
VNET = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "nodes", "properties": {"addressPrefix": "10.0.0.0/24"}}]}}  # fmt: skip
VNET_ID = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet"
SUBNET = f"{VNET_ID}/subnets/nodes"
NIC = "rg/Microsoft.Network/networkInterfaces/nic"
NIC_BODY = {"location": "westeurope", "properties": {"ipConfigurations": [{"name": "main", "properties": {
            "subnet": {"id": SUBNET}}}]}}  # fmt: skip
IDENTITY = "rg/Microsoft.ManagedIdentity/userAssignedIdentities/operator"


class People:
    """Registers programs and people, and makes requests as them."""

    def __init__(self, http: Any) -> None:
        self.http = http
        self.entries: dict[str, Any] = {}

    async def admin(self, method: str, path: str, body: Any) -> Any:
        async with self.http.session.request(
            method, f"{self.http.emulator.url}/emulator/{path}", json=body
        ) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def add(self, name: str, *given: str, scope: str = ROOT) -> str:
        """Somebody with roles; its object id."""
        body = {"displayName": name, "roles": [{"role": role, "scope": scope} for role in given]}
        self.entries[name] = await self.admin("POST", "applications", body)
        token = await self.admin("POST", "tokens", {"principal": self.entries[name]["objectId"]})
        self.entries[name]["headers"] = {"Authorization": f"Bearer {token['access_token']}"}
        return str(self.entries[name]["objectId"])

    async def call(self, name: str, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        headers = self.entries[name]["headers"]
        status, document, _ = await self.http.call(method, path, body, headers=headers, **options)
        return status, document

    async def refusal(self, name: str, method: str, path: str, body: Any = None) -> str:
        """The code of a refusal with 403."""
        status, document = await self.call(name, method, path, body)
        assert status == 403, document
        return str(document["error"]["code"])

    async def assign(self, who: str, object_id: str, role: str, scope: str, **properties: Any) -> tuple[int, Any]:
        full = {"roleDefinitionId": f"{ROOT}/{ROLES}/{role}", "principalId": object_id, **properties}
        return await self.call(who, "PUT", f"{scope}/{ASSIGNMENTS}/{uuid.uuid4()}", {"properties": full})


@pytest.fixture
async def people(http):
    people = People(http)
    await people.add("owner", "Owner")
    await http.put("rg/Microsoft.Network/virtualNetworks/vnet", VNET)
    await people.admin("PUT", "settings", {"rights": "on", "rightsDelaySeconds": 0})
    http.advance(3600)
    return people


# -- the gate --------------------------------------------------------------------------------------------------------


async def test_nobody_may_do_what_no_role_allows(people):
    object_id = await people.add("stranger")
    app_id = people.entries["stranger"]["appId"]
    status, document = await people.call("stranger", "GET", "rg/Microsoft.Network/virtualNetworks/vnet")
    assert status == 403
    assert document["error"] == {
        "code": "AuthorizationFailed",
        "message": f"The client '{app_id}' with object id '{object_id}' does not have authorization to perform action "
        f"'Microsoft.Network/virtualNetworks/read' over scope '{VNET_ID}' or the scope is invalid. If access was "
        "recently granted, please refresh your credentials.",
    }
    # What is not there is not told either.
    assert await people.refusal("stranger", "GET", "nowhere") == "AuthorizationFailed"


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("Owner", {"read", "write", "delete", "assign"}),
        ("Contributor", {"read", "write", "delete"}),
        ("Reader", {"read"}),
        ("User Access Administrator", {"read", "assign"}),
        ("Role Based Access Control Administrator", {"read", "assign"}),
        ("Virtual Machine Contributor", {"read"}),
        ("Managed Identity Operator", set()),
    ],
)
async def test_built_in_roles(people, role, allowed):
    object_id = await people.add("somebody", role)
    vnet, nsg = "rg/Microsoft.Network/virtualNetworks/vnet", "rg/Microsoft.Network/networkSecurityGroups/nsg"
    answers = {
        "read": (await people.call("somebody", "GET", vnet))[0],
        "write": (await people.call("somebody", "PUT", nsg, {"location": "westeurope"}))[0],
        "delete": (await people.call("somebody", "DELETE", "rg/Microsoft.Network/routeTables/none"))[0],
        "assign": (await people.assign("somebody", object_id, READER, GROUP))[0],
    }
    assert {what for what, status in answers.items() if status != 403} == allowed
    assert all(status < 300 for status in answers.values() if status != 403)


async def test_roles_hold_below_their_scope_only(people):
    await people.http.call("PUT", "other", {"location": "westeurope"}, headers=people.entries["owner"]["headers"])
    await people.add("narrow", "Contributor", scope=GROUP)
    assert (await people.call("narrow", "GET", "rg"))[0] == 200
    assert await people.refusal("narrow", "GET", "other") == "AuthorizationFailed"
    assert await people.refusal("narrow", "PUT", "third", {"location": "westeurope"}) == "AuthorizationFailed"
    # Group, not a prefix of its name.
    await people.call("owner", "PUT", "rg2", {"location": "westeurope"})
    assert await people.refusal("narrow", "DELETE", "rg2") == "AuthorizationFailed"
    assert (await people.call("narrow", "POST", "rg/Microsoft.Storage/storageAccounts/none/listKeys"))[0] == 404


async def test_roles_are_inherited_from_the_root(people):
    object_id = await people.add("top")
    path = f"/{ASSIGNMENTS}/{uuid.uuid4()}"
    body = {"properties": {"roleDefinitionId": f"/{ROLES}/{READER}", "principalId": object_id}}
    # The owner of a subscription has no rights above it.
    assert await people.refusal("owner", "PUT", path, body) == "AuthorizationFailed"
    people.http.emulator.engine.request(SOMEBODY, "PUT", path, body, api_version="2022-04-01")
    assert (await people.call("top", "GET", "rg"))[0] == 200
    _, listed = await people.call("top", "GET", f"{GROUP}/{ASSIGNMENTS}", query={"$filter": "atScope()"})
    assert "/" in [one["properties"]["scope"] for one in listed["value"]]


def test_management_groups_hold_what_is_below_them():
    engine = Emulator().engine
    groups = "/providers/Microsoft.Management/managementGroups"
    for name, parent in (("hpc", TENANT), ("prod", "hpc"), ("test", "hpc")):
        body = {"properties": {"details": {"parent": {"name": parent}}}}
        engine.store.save(Resource(f"{groups}/{name}", "Microsoft.Management/managementGroups", body))
    engine.store.set("managementGroupSubscriptions", {SUBSCRIPTION: "prod"})
    held = {name: roles.is_within(engine, GROUP, f"{groups}/{name}") for name in ("prod", "hpc", TENANT, "test")}
    assert held == {"prod": True, "hpc": True, TENANT: True, "test": False}
    assert roles.is_within(engine, f"{groups}/prod", f"{groups}/hpc")
    assert not roles.is_within(engine, f"{groups}/hpc", f"{groups}/prod")


async def test_groups_pass_on_their_roles(people):
    object_id = await people.add("member")
    group = {"displayName": "staff", "members": [object_id], "roles": [{"role": "Reader", "scope": GROUP}]}
    await people.admin("POST", "groups", group)
    assert (await people.call("member", "GET", "rg"))[0] == 200
    query = {"$filter": f"assignedTo('{object_id}')"}
    _, listed = await people.call("member", "GET", f"{GROUP}/{ASSIGNMENTS}", query=query)
    assert [one["properties"]["principalType"] for one in listed["value"]] == ["Group"]
    _, direct = await people.call(
        "member", "GET", f"{GROUP}/{ASSIGNMENTS}", query={"$filter": f"principalId eq '{object_id}'"}
    )
    assert direct["value"] == []


async def test_lists_show_what_is_theirs(people):
    await people.call("owner", "PUT", "other", {"location": "westeurope"})
    await people.call("owner", "PUT", "other/Microsoft.Network/virtualNetworks/hidden", VNET)
    await people.add("narrow", "Reader", scope=GROUP)
    _, groups = await people.call("narrow", "GET", f"{ROOT}/resourceGroups")
    assert [one["name"] for one in groups["value"]] == ["rg"]
    _, networks = await people.call("narrow", "GET", f"{ROOT}/providers/Microsoft.Network/virtualNetworks")
    assert [one["name"] for one in networks["value"]] == ["vnet"]
    assert (await people.call("narrow", "GET", ROOT))[0] == 200
    await people.add("stranger")
    assert await people.refusal("stranger", "GET", f"{ROOT}/resourceGroups") == "AuthorizationFailed"
    assert await people.refusal("stranger", "GET", ROOT) == "AuthorizationFailed"


async def test_whoever_started_an_operation_may_follow_it(people):
    await people.add("narrow", "Contributor", scope=GROUP)
    status, document = await people.call("narrow", "DELETE", "rg/Microsoft.Network/virtualNetworks/vnet")
    assert status == 202, document
    polled = people.http.emulator.requests[-1]["operation"]
    path = f"{ROOT}/providers/Microsoft.Network/locations/westeurope/operations/{polled}"
    assert (await people.call("narrow", "GET", path))[0] == 200


async def test_nothing_is_asked_as_long_as_rights_are_off(people):
    await people.add("stranger")
    await people.admin("PUT", "settings", {"rights": "off"})
    assert (await people.call("stranger", "GET", "rg"))[0] == 200


# -- what the body names ---------------------------------------------------------------------------------------------


async def test_joining_a_subnet_takes_a_right_there(people):
    await people.call("owner", "PUT", "nodes", {"location": "westeurope"})
    object_id = await people.add("narrow", "Contributor", scope=f"{ROOT}/resourceGroups/nodes")
    nic = NIC.replace("rg/", "nodes/")
    status, document = await people.call("narrow", "PUT", nic, NIC_BODY)
    assert (status, document["error"]["code"]) == (403, "LinkedAuthorizationFailed")
    app_id = people.entries["narrow"]["appId"]
    assert document["error"]["message"] == (
        f"The client '{app_id}' with object id '{object_id}' has permission to perform action "
        f"'Microsoft.Network/networkInterfaces/write' on scope '{ROOT}/resourceGroups/nodes/providers/"
        "Microsoft.Network/networkInterfaces/nic'; however, it does not have permission to perform action(s) "
        f"'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) '{SUBNET.lower()}' "
        "(respectively) or the linked scope(s) are invalid."
    )
    assert (await people.assign("owner", object_id, "4d97b98b-1d4f-4787-a291-c67834d212e7", SUBNET))[0] == 201
    assert (await people.call("narrow", "PUT", nic, NIC_BODY))[0] == 201


async def test_assigning_an_identity_takes_a_right_on_it(people):
    _, identity = await people.call("owner", "PUT", IDENTITY, {"location": "westeurope"})
    await people.call("owner", "PUT", "nodes", {"location": "westeurope"})
    object_id = await people.add("narrow", "Contributor", scope=f"{ROOT}/resourceGroups/nodes")
    body = {"location": "westeurope", "sku": {"name": "Standard_D2s_v5", "capacity": 0}, "identity": {
            "type": "UserAssigned", "userAssignedIdentities": {identity["id"]: {}}},
            "properties": {"orchestrationMode": "Flexible", "platformFaultDomainCount": 1}}  # fmt: skip
    scale_set = "nodes/Microsoft.Compute/virtualMachineScaleSets/set"
    assert await people.refusal("narrow", "PUT", scale_set, body) == "LinkedAuthorizationFailed"
    operator = "f1a07417-d97a-45cb-824c-7a7467783830"  # Managed Identity Operator
    assert (await people.assign("owner", object_id, operator, identity["id"]))[0] == 201
    assert (await people.call("narrow", "PUT", scale_set, body))[0] < 300


# -- time ------------------------------------------------------------------------------------------------------------


async def test_assignments_take_time_to_work_and_to_stop_working(people):
    object_id = await people.add("late")
    await people.admin("PUT", "settings", {"rightsDelaySeconds": 300})
    status, assignment = await people.assign("owner", object_id, READER, GROUP)
    assert status == 201
    assert await people.refusal("late", "GET", "rg") == "AuthorizationFailed"
    people.http.advance(200)
    assert await people.refusal("late", "GET", "rg") == "AuthorizationFailed"
    people.http.advance(200)
    assert (await people.call("late", "GET", "rg"))[0] == 200
    assert (await people.call("owner", "DELETE", assignment["id"]))[0] == 200
    assert (await people.call("late", "GET", "rg"))[0] == 200
    people.http.advance(400)
    assert await people.refusal("late", "GET", "rg") == "AuthorizationFailed"


async def test_a_principal_that_the_directory_does_not_know(people):
    await people.admin("PUT", "settings", {"replicationSeconds": 60})
    _, identity = await people.call("owner", "PUT", IDENTITY, {"location": "westeurope"})
    principal = identity["properties"]["principalId"]
    status, document = await people.assign("owner", principal, READER, GROUP)
    assert (status, document["error"]["code"]) == (400, "PrincipalNotFound")
    status, document = await people.assign("owner", principal, READER, GROUP, principalType="User")
    assert (status, document["error"]["code"]) == (400, "UnmatchedPrincipalType")
    people.http.advance(100)
    status, document = await people.assign("owner", principal, READER, GROUP)
    assert (status, document["properties"]["principalType"]) == (201, "ServicePrincipal")
    status, document = await people.assign("owner", str(uuid.uuid4()), READER, GROUP)
    assert (status, document["error"]["code"]) == (400, "PrincipalNotFound")


# -- conditions ------------------------------------------------------------------------------------------------------


async def test_an_administrator_may_be_confined_to_some_roles(people):
    object_id = await people.add("deputy")
    write, delete = (f"Microsoft.Authorization/roleAssignments/{verb}" for verb in ("write", "delete"))
    of = "[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals"
    condition = (
        f"((!(ActionMatches{{'{write}'}})) OR (@Request{of} {{{READER}}})) AND "
        f"((!(ActionMatches{{'{delete}'}})) OR (@Resource{of} {{{READER}}}))"
    )
    administrator = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
    status, given = await people.assign("owner", object_id, administrator, GROUP, condition=condition)
    assert (status, given["properties"]["conditionVersion"]) == (201, "2.0")
    status, theirs = await people.assign("deputy", object_id, READER, GROUP)
    assert status == 201
    status, document = await people.assign("deputy", object_id, CONTRIBUTOR, GROUP)
    assert (status, document["error"]["code"]) == (403, "AuthorizationFailed")
    assert (await people.call("deputy", "DELETE", theirs["id"]))[0] == 200
    assert await people.refusal("deputy", "DELETE", given["id"]) == "AuthorizationFailed"


async def test_a_condition_that_cannot_be_read_is_refused(people):
    for wrong in ({"condition": "if (x)"}, {"condition": "Exists @Request[a:b]", "conditionVersion": "1.0"}):
        status, document = await people.assign("owner", await people.add("x"), READER, GROUP, **wrong)
        assert status == 400
        assert document["error"]["message"] == "The given role assignment condition is invalid."


# -- custom roles ----------------------------------------------------------------------------------------------------


def custom(name: str, *actions: str, scopes: tuple[str, ...] = (ROOT,), **more: Any) -> dict[str, Any]:
    permissions = [{"actions": list(actions), "notActions": more.pop("notActions", [])}]
    return {"properties": {"roleName": name, "type": "CustomRole", "permissions": permissions,
            "assignableScopes": list(scopes), **more}}  # fmt: skip


async def test_a_custom_role(people):
    guid = str(uuid.uuid4())
    body = custom("Network Reader", "Microsoft.Network/*/read", "*/write", notActions=["Microsoft.Network/*/write"])
    path = f"{ROOT}/{ROLES}/{guid}"
    status, role = await people.call("owner", "PUT", path, body)
    assert (status, role["id"], role["properties"]["type"]) == (201, path, "CustomRole")
    assert role["properties"]["createdBy"] == people.entries["owner"]["objectId"]
    object_id = await people.add("somebody")
    assert (await people.assign("owner", object_id, guid, GROUP))[0] == 201
    assert (await people.call("somebody", "GET", "rg/Microsoft.Network/virtualNetworks/vnet"))[0] == 200
    nsg = "rg/Microsoft.Network/networkSecurityGroups/nsg"
    assert await people.refusal("somebody", "PUT", nsg, {"location": "westeurope"}) == "AuthorizationFailed"
    status, document = await people.call("owner", "DELETE", path)
    assert (status, document["error"]["code"]) == (400, "RoleDefinitionHasAssignments")
    # It is one and the same role below the subscription, and a change of it is one for all.
    status, role = await people.call("owner", "PUT", f"{GROUP}/{ROLES}/{guid}", custom("Network Reader", "*/read"))
    assert status == 201
    assert await people.refusal("somebody", "PUT", IDENTITY, {"location": "westeurope"}) == "AuthorizationFailed"
    query = {"$filter": "roleName eq 'Network Reader'"}
    _, found = await people.call("owner", "GET", f"{GROUP}/{ROLES}", query=query)
    assert [one["name"] for one in found["value"]] == [guid]
    _, all_custom = await people.call("owner", "GET", f"{ROOT}/{ROLES}", query={"$filter": "type eq 'CustomRole'"})
    assert len(all_custom["value"]) == 1


async def test_what_is_no_custom_role(people):
    async def code(body: Any, guid: str = "") -> tuple[int, str]:
        status, document = await people.call("owner", "PUT", f"{ROOT}/{ROLES}/{guid or uuid.uuid4()}", body)
        return status, document["error"]["code"]

    assert await code(custom("Reader", "*/read")) == (409, "RoleDefinitionWithSameNameExists")
    assert await code(custom("x", "*/read"), READER) == (400, "BuiltInRoleUpdateNotAllowed")
    assert await code(custom("x", "*/read"), "no-guid") == (400, "InvalidRoleDefinitionId")
    assert await code(custom("x", "*/read", scopes=("/",))) == (403, "LinkedAuthorizationFailed")
    assert await code({"properties": {"roleName": "x"}}) == (400, "InvalidRequestContent")
    status, document = await people.call("owner", "GET", f"{ROOT}/{ROLES}/{uuid.uuid4()}")
    assert (status, document["error"]["code"]) == (404, "RoleDefinitionDoesNotExist")
    assert (await people.call("owner", "DELETE", f"{ROOT}/{ROLES}/{uuid.uuid4()}"))[0] == 204


async def test_a_custom_role_holds_where_it_can_be_assigned(people):
    guid = str(uuid.uuid4())
    body = custom("Local", "*/read", scopes=(GROUP,))
    assert (await people.call("owner", "PUT", f"{GROUP}/{ROLES}/{guid}", body))[0] == 201
    object_id = await people.add("somebody")
    status, document = await people.assign("owner", object_id, guid, ROOT)
    assert (status, document["error"]["code"]) == (400, "RoleDefinitionDoesNotExist")
    assert (await people.assign("owner", object_id, guid, SUBNET))[0] == 201
    await people.add("narrow", "Owner", scope=GROUP)
    wider = custom("Wider", "*/read", scopes=(GROUP, ROOT))
    path = f"{GROUP}/{ROLES}/{uuid.uuid4()}"
    assert await people.refusal("narrow", "PUT", path, wider) == "LinkedAuthorizationFailed"


# -- documents -------------------------------------------------------------------------------------------------------


async def test_what_one_may_do_is_told(people):
    await people.add("reader", "Reader", scope=GROUP)
    _, listed = await people.call("reader", "GET", f"{GROUP}/providers/Microsoft.Authorization/permissions")
    assert [one["actions"] for one in listed["value"]] == [["*/read"]]
    for empty in ("denyAssignments", "classicAdministrators"):
        _, listed = await people.call("owner", "GET", f"{ROOT}/providers/Microsoft.Authorization/{empty}")
        assert listed == {"value": []}


async def test_assignments_survive_what_may_not_be_changed(people):
    object_id = await people.add("x")
    _, given = await people.assign("owner", object_id, READER, GROUP)
    again = {"properties": {**given["properties"], "roleDefinitionId": f"/{ROLES}/{CONTRIBUTOR}"}}
    status, document = await people.call("owner", "PUT", given["id"], again)
    assert (status, document["error"]["code"]) == (400, "RoleAssignmentUpdateNotPermitted")
    status, document = await people.assign("owner", object_id, READER, GROUP)
    assert (status, document["error"]["code"]) == (409, "RoleAssignmentExists")
    described = {"properties": {**given["properties"], "description": "for the pipeline"}}
    status, document = await people.call("owner", "PUT", given["id"], described)
    assert (status, document["properties"]["description"]) == (200, "for the pipeline")
    assert document["properties"]["createdBy"] == people.entries["owner"]["objectId"]


# -- identities ------------------------------------------------------------------------------------------------------


async def credential(http: Any, name: str, subject: str, *, code: bool = False) -> Any:
    body = {
        "properties": {"issuer": "https://oidc.test", "subject": subject, "audiences": ["api://AzureADTokenExchange"]}
    }
    path = f"{IDENTITY}/federatedIdentityCredentials/{name}"
    return await (http.code("PUT", path, body) if code else http.put(path, body))


async def test_federated_credentials_are_unique_few_and_named(http):
    await http.put(IDENTITY, {"location": "westeurope"})
    for number in range(20):
        await credential(http, f"cred-{number}", f"subject-{number}")
    assert await credential(http, "cred-x", "subject-3", code=True) == (409, "Conflict")
    assert await credential(http, "cred-x", "subject-x", code=True) == (400, "BadRequest")
    assert await credential(http, "x", "subject-x", code=True) == (400, "BadRequest")
    await credential(http, "cred-3", "subject-3")  # the same again is an update


async def test_concurrent_writes_of_federated_credentials_are_refused(http):
    await http.put(IDENTITY, {"location": "westeurope"})
    http.emulator.store.set("federatedWriteSeconds", 2)
    await credential(http, "one", "subject-1")
    concurrent = (409, "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity")
    assert await credential(http, "two", "subject-2", code=True) == concurrent
    assert await http.code("DELETE", f"{IDENTITY}/federatedIdentityCredentials/one") == concurrent
    http.advance(3)
    await credential(http, "two", "subject-2")
    # At the same moment, as the copies of a template deployment: refused without any setting.
    http.emulator.store.set("federatedWriteSeconds", 0)
    http.emulator.clock.speed = 1e-9
    http.emulator.engine.settle()
    body = {"properties": {"issuer": "https://oidc.test", "subject": "x", "audiences": ["a"]}}
    base = (
        f"{http.subscription}/resourceGroups/rg/providers/{IDENTITY.removeprefix('rg/')}/federatedIdentityCredentials"
    )
    engine = http.emulator.engine
    engine.request(SOMEBODY, "PUT", f"{base}/three", body, api_version="2023-01-31")
    with pytest.raises(Exception, match="Too many Federated Identity Credentials are written concurrently"):
        engine.request(SOMEBODY, "PUT", f"{base}/four", body, api_version="2023-01-31")


async def test_an_identity_tells_where_it_is_assigned(http):
    identity = await http.put(IDENTITY, {"location": "westeurope"})
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "identity": {
            "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {identity["id"]: {}}}}  # fmt: skip
    account = await http.done("rg/Microsoft.Storage/storageAccounts/account", body)
    _, listed, _ = await http.call("POST", f"{IDENTITY}/listAssociatedResources")
    assert [one["id"] for one in listed["value"]] == [account["id"]]
    path = f"{account['id']}/providers/Microsoft.ManagedIdentity/identities/default"
    _, own, _ = await http.call("GET", path)
    assert own["properties"]["principalId"] == account["identity"]["principalId"]
    assert (await http.call("GET", f"{identity['id']}/providers/Microsoft.ManagedIdentity/identities/default"))[
        0
    ] == 404
