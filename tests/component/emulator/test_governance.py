"""Locks and policies: what they refuse, whom, and in which words; definitions and assignments as resources."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.resource.locks import ManagementLockClient
from azure.mgmt.resource.policy import PolicyClient

from azure_emulator import SUBSCRIPTION, TENANT

from .conftest import SCOPE, PlainHttp, StaticCredential

LOCATION = {"location": "westeurope"}
WHOLE = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{WHOLE}/resourceGroups/rg"
LOCKS = "providers/Microsoft.Authorization/locks"
ASSIGNMENTS = "providers/Microsoft.Authorization/policyAssignments"
DEFINITIONS = "providers/Microsoft.Authorization/policyDefinitions"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
NSG = f"{GROUP}/providers/Microsoft.Network/networkSecurityGroups/nsg"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/climate4711"
STORAGE = {**LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "properties": {}}

ALLOWED_LOCATIONS = "e56962a6-4747-49cd-b67b-bf8b01975c4c"
REQUIRE_TAG = "871b6d14-10aa-478d-b590-94f262ecfa99"
REQUIRE_TAG_ON_GROUPS = "96670d01-0a4d-4649-9c89-2d3abc0a5025"
ALLOWED_SIZES = "cccc23c7-8427-4f53-ad12-b6a63eb452b3"
INHERIT_TAG = "cd3aa116-8754-49c9-a813-ad46512ece54"


def client(kind, url):
    credential = StaticCredential()
    return kind(
        credential, SUBSCRIPTION, base_url=url, credential_scopes=[SCOPE],
        authentication_policy=PlainHttp(credential, SCOPE), retry_total=0,
    )  # fmt: skip


def lock(level):
    return {"properties": {"level": level, "notes": "by the book"}}


def locked(scope, verb, *scopes):
    return (
        f"The scope '{scope}' cannot perform {verb} operation because following scope(s) are locked: "
        f"'{','.join(scopes)}'. Please remove the lock and try again."
    )


# -- locks -----------------------------------------------------------------------------------------------------------


def test_locks_by_the_sdk(sdk, group):
    locks = client(ManagementLockClient, sdk.url).management_locks
    scope = f"{WHOLE}/resourceGroups/{group}"
    made = locks.create_or_update_at_resource_group_level(group, "keep", {"level": "CanNotDelete", "notes": "mine"})
    assert (made.name, made.level, made.notes) == ("keep", "CanNotDelete", "mine")
    with pytest.raises(ResourceExistsError) as error:
        sdk.resources.resource_groups.begin_delete(group)
    assert (error.value.status_code, error.value.error.code) == (409, "ScopeLocked")
    assert error.value.error.message == locked(scope, "delete", scope)
    assert [one.name for one in locks.list_at_resource_group_level(group)] == ["keep"]
    assert "keep" in [one.name for one in locks.list_at_subscription_level()]
    assert locks.get_by_scope(scope, "keep").level == "CanNotDelete"
    locks.delete_at_resource_group_level(group, "keep")
    with pytest.raises(ResourceNotFoundError):
        locks.get_at_resource_group_level(group, "keep")


async def test_a_lock_that_forbids_deletion_is_inherited(http):
    await http.put(IDENTITY, LOCATION)
    await http.put(f"{WHOLE}/{LOCKS}/all", lock("CanNotDelete"))
    status, document, _ = await http.call("DELETE", IDENTITY)
    assert (status, document["error"]["message"]) == (409, locked(IDENTITY, "delete", WHOLE))
    assert (await http.call("PATCH", IDENTITY, {"tags": {"a": "b"}}))[0] == 200
    assert (await http.call("DELETE", f"{WHOLE}/{LOCKS}/all"))[0] == 200
    assert (await http.call("DELETE", IDENTITY))[0] == 200


async def test_a_locked_resource_keeps_its_whole_group(http):
    await http.put(IDENTITY, LOCATION)
    await http.done(NSG, LOCATION)
    await http.put(f"{NSG}/{LOCKS}/keep", lock("CanNotDelete"))
    status, document, _ = await http.call("DELETE", GROUP)
    assert (status, document["error"]["message"]) == (409, locked(GROUP, "delete", NSG))
    http.advance(600)
    assert (await http.call("GET", IDENTITY))[0] == 200
    assert (await http.call("DELETE", IDENTITY))[0] == 200
    await http.call("DELETE", f"{NSG}/{LOCKS}/keep")
    assert (await http.call("DELETE", GROUP))[0] == 202


async def test_a_read_only_lock_forbids_actions_too(http):
    await http.done(ACCOUNT, STORAGE)
    await http.put(f"{GROUP}/{LOCKS}/frozen", lock("ReadOnly"))
    for method, path, body in (
        ("PUT", IDENTITY, LOCATION), ("PATCH", ACCOUNT, {"tags": {}}), ("PATCH", GROUP, {"tags": {}}),
        ("POST", f"{ACCOUNT}/listKeys", None),
    ):  # fmt: skip
        status, document, _ = await http.call(method, path, body)
        scope = path.removesuffix("/listKeys")
        assert (status, document["error"]["message"]) == (409, locked(scope, "write", GROUP)), path
    assert (await http.call("GET", ACCOUNT))[0] == 200
    role = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    body = {"properties": {
        "roleDefinitionId": f"{WHOLE}/providers/Microsoft.Authorization/roleDefinitions/{role}",
        "principalId": "00000000-0000-0000-0000-000000000077", "principalType": "User"}}  # fmt: skip
    name = "00000000-0000-0000-0000-000000000078"
    assignment = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert await http.code("PUT", assignment, body) == (409, "ScopeLocked")
    check = f"{WHOLE}/providers/Microsoft.Storage/checkNameAvailability"
    body = {"name": "free4711", "type": "Microsoft.Storage/storageAccounts"}
    assert (await http.call("POST", check, body))[0] == 200
    # Only one more lock, or one less, can be written here.
    assert (await http.call("PUT", f"{ACCOUNT}/{LOCKS}/more", lock("CanNotDelete")))[0] == 201
    assert (await http.call("DELETE", f"{GROUP}/{LOCKS}/frozen"))[0] == 200
    assert (await http.call("PATCH", ACCOUNT, {"tags": {}}))[0] == 200


async def test_locks_are_listed_below_a_scope_unless_asked_otherwise(http):
    await http.put(IDENTITY, LOCATION)
    await http.put(f"{IDENTITY}/{LOCKS}/inner", lock("CanNotDelete"))
    await http.put(f"{GROUP}/{LOCKS}/outer", lock("CanNotDelete"))

    async def names(**query):
        _, document, _ = await http.call("GET", f"{GROUP}/{LOCKS}", query=query)
        return {one["name"] for one in document["value"]}

    assert await names() == {"inner", "outer"}
    assert await names(**{"$filter": "atScope()"}) == {"outer"}
    await http.call("DELETE", f"{GROUP}/{LOCKS}/outer")
    assert await names() == {"inner"}


async def test_locks_that_are_refused(http):
    assert await http.code("PUT", f"{GROUP}/{LOCKS}/x", {"properties": {"level": "Hard"}}) == (
        400, "InvalidRequestContent",
    )  # fmt: skip
    assert await http.code("PUT", f"{GROUP}/{LOCKS}/x", {"properties": {}}) == (400, "InvalidRequestContent")
    assert await http.code("PUT", f"{NSG}/{LOCKS}/x", lock("ReadOnly")) == (404, "ParentResourceNotFound")


# -- policies --------------------------------------------------------------------------------------------------------


def assigned(definition, parameters=None, **more):
    scope = "" if "/" not in definition else definition
    definition_id = scope or f"/{DEFINITIONS}/{definition}"
    values = {name: {"value": value} for name, value in (parameters or {}).items()}
    return {"properties": {"policyDefinitionId": definition_id, "parameters": values, **more}}


def test_policies_by_the_sdk(sdk, group):
    policy = client(PolicyClient, sdk.url)
    scope = f"{WHOLE}/resourceGroups/{group}"
    built_in = policy.policy_definitions.get_built_in(ALLOWED_LOCATIONS)
    assert (built_in.display_name, built_in.policy_type) == ("Allowed locations", "BuiltIn")
    names = {one.name for one in policy.policy_definitions.list_built_in()}
    assert {ALLOWED_LOCATIONS, REQUIRE_TAG, ALLOWED_SIZES, INHERIT_TAG} <= names
    rule = {"if": {"field": "kind", "like": "Blob*"}, "then": {"effect": "[parameters('effect')]"}}
    effect = {"type": "String", "allowedValues": ["deny", "audit"], "defaultValue": "deny"}
    body = {"properties": {"mode": "All", "displayName": "No blobs", "policyRule": rule,
                           "parameters": {"effect": effect}}}  # fmt: skip
    for _ in range(2):
        made = policy.policy_definitions.create_or_update("no-blobs", body)
        assert (made.policy_type, made.display_name) == ("Custom", "No blobs")
    own = {one.name for one in policy.policy_definitions.list(filter="policyType eq 'Custom'")}
    assert own == {"no-blobs"}
    assert "no-blobs" in {one.name for one in policy.policy_definitions.list()}
    for _ in range(2):
        assignment = policy.policy_assignments.create(scope, "mine", assigned(made.id))
        assert (assignment.scope, assignment.enforcement_mode) == (scope, "Default")
    with pytest.raises(HttpResponseError) as error:
        sdk.storage.storage_accounts.begin_create(group, "blobs4711", {**STORAGE, "kind": "BlobStorage"})
    assert (error.value.status_code, error.value.error.code) == (403, "RequestDisallowedByPolicy")
    info = error.value.error.additional_info[0]
    assert info.type == "PolicyViolation"
    assert [one.name for one in policy.policy_assignments.list_for_resource_group(group)] == ["mine"]
    assert "mine" in [one.name for one in policy.policy_assignments.list()]
    with pytest.raises(HttpResponseError):
        policy.policy_definitions.delete("no-blobs")
    assert policy.policy_assignments.delete(scope, "mine").name == "mine"
    policy.policy_definitions.delete("no-blobs")
    with pytest.raises(ResourceNotFoundError) as missing:
        policy.policy_definitions.get("no-blobs")
    assert missing.value.error.code == "PolicyDefinitionNotFound"


async def test_allowed_locations_in_the_words_of_azure(http):
    where = ["northeurope", "westus"]
    path = f"{GROUP}/{ASSIGNMENTS}/places"
    await http.put(path, assigned(ALLOWED_LOCATIONS, {"listOfAllowedLocations": where}, displayName="Our places"))
    status, document, _ = await http.call("PUT", IDENTITY, LOCATION)
    error = document["error"]
    assert (status, error["code"], error["target"]) == (403, "RequestDisallowedByPolicy", "id")
    definition = f"/{DEFINITIONS}/{ALLOWED_LOCATIONS}"
    assert error["message"] == (
        'Resource \'id\' was disallowed by policy. Policy identifiers: \'[{"policyAssignment":{"name":"Our places",'
        f'"id":"{path}"}},"policyDefinition":{{"name":"Allowed locations","id":"{definition}"}}}}]\'.'
    )
    (violation,) = error["additionalInfo"]
    assert violation["type"] == "PolicyViolation"
    info = violation["info"]
    assert (info["policyDefinitionName"], info["policyAssignmentScope"]) == (ALLOWED_LOCATIONS, GROUP)
    assert info["policyDefinitionEffect"] == "deny"
    assert info["policyAssignmentParameters"] == {"listOfAllowedLocations": {"value": where}}
    first = info["evaluationDetails"]["evaluatedExpressions"][0]
    assert first == {"result": "True", "expressionKind": "Field", "expression": "location", "path": "location",
                     "expressionValue": "westeurope", "targetValue": where, "operator": "NotIn"}  # fmt: skip
    await http.put(IDENTITY, {"location": "North Europe"})
    await http.put(f"{GROUP}/providers/Microsoft.Network/privateDnsZones/x.example", {"location": "global"})
    # The group itself has no location that an indexed policy looks at.
    assert (await http.call("PATCH", GROUP, {"tags": {"a": "b"}}))[0] == 200


async def test_messages_exclusions_and_modes_of_an_assignment(http):
    path = f"{WHOLE}/{ASSIGNMENTS}/places"
    reason = {"nonComplianceMessages": [{"message": "Use the north"}]}
    values = {"listOfAllowedLocations": ["northeurope"]}
    await http.put(path, assigned(ALLOWED_LOCATIONS, values, **reason))
    _, document, _ = await http.call("PUT", IDENTITY, LOCATION)
    assert document["error"]["message"] == (
        "Resource 'id' was disallowed by policy. Reasons: 'Use the north'. See error details for policy resource IDs."
    )
    await http.put(path, assigned(ALLOWED_LOCATIONS, values, notScopes=[GROUP]))
    await http.put(IDENTITY, LOCATION)
    await http.put(path, assigned(ALLOWED_LOCATIONS, values))
    # An update is looked at as well.
    assert await http.code("PATCH", IDENTITY, {"tags": {"a": "b"}}) == (403, "RequestDisallowedByPolicy")
    await http.put(path, assigned(ALLOWED_LOCATIONS, values, enforcementMode="DoNotEnforce"))
    assert (await http.call("PATCH", IDENTITY, {"tags": {"a": "b"}}))[0] == 200
    selectors = [{"name": "s", "selectors": [{"kind": "resourceType", "in": ["Microsoft.Storage/storageAccounts"]}]}]
    await http.put(path, assigned(ALLOWED_LOCATIONS, values, resourceSelectors=selectors))
    assert (await http.call("PATCH", IDENTITY, {"tags": {"c": "d"}}))[0] == 200
    assert await http.code("PUT", ACCOUNT, STORAGE) == (403, "RequestDisallowedByPolicy")


async def test_exemptions_end(http):
    path = f"{WHOLE}/{ASSIGNMENTS}/places"
    await http.put(path, assigned(ALLOWED_LOCATIONS, {"listOfAllowedLocations": ["northeurope"]}))
    expires = http.emulator.clock.at(3600).isoformat().replace("+00:00", "Z")
    exemption = {"properties": {"policyAssignmentId": path, "exemptionCategory": "Waiver", "expiresOn": expires}}
    await http.put(f"{GROUP}/providers/Microsoft.Authorization/policyExemptions/e", exemption)
    await http.put(IDENTITY, LOCATION)
    http.advance(7200)
    assert await http.code("PUT", IDENTITY, LOCATION) == (403, "RequestDisallowedByPolicy")
    exemption["properties"]["policyAssignmentId"] = f"{path}-other"
    assert await http.code("PUT", f"{GROUP}/providers/Microsoft.Authorization/policyExemptions/f", exemption) == (
        404, "PolicyAssignmentNotFound",
    )  # fmt: skip


async def test_required_tags(http):
    await http.put(f"{WHOLE}/{ASSIGNMENTS}/tag", assigned(REQUIRE_TAG, {"tagName": "costCenter"}))
    await http.put(f"{WHOLE}/{ASSIGNMENTS}/group-tag", assigned(REQUIRE_TAG_ON_GROUPS, {"tagName": "costCenter"}))
    assert await http.code("PUT", IDENTITY, LOCATION) == (403, "RequestDisallowedByPolicy")
    await http.put(IDENTITY, {**LOCATION, "tags": {"COSTCENTER": "4711"}})
    assert await http.code("PATCH", IDENTITY, {"tags": {}}) == (403, "RequestDisallowedByPolicy")
    assert await http.code("PUT", f"{WHOLE}/resourceGroups/new", LOCATION) == (403, "RequestDisallowedByPolicy")
    await http.put(f"{WHOLE}/resourceGroups/new", {**LOCATION, "tags": {"costCenter": "1"}})


async def test_tags_are_inherited_from_the_group(http):
    await http.put(GROUP, {**LOCATION, "tags": {"team": "climate"}})
    path = f"{WHOLE}/{ASSIGNMENTS}/inherit"
    body = assigned(INHERIT_TAG, {"tagName": "team"})
    assert await http.code("PUT", path, body) == (400, "ResourceIdentityRequired")
    identity = {"identity": {"type": "SystemAssigned"}}
    assert await http.code("PUT", path, {**body, **identity}) == (400, "LocationRequired")
    made = await http.put(path, {**body, **identity, **LOCATION})
    assert made["identity"]["principalId"]
    assert made["location"] == "westeurope"
    assert (await http.put(IDENTITY, {**LOCATION, "tags": {"a": "b"}}))["tags"] == {"a": "b", "team": "climate"}
    assert (await http.put(IDENTITY, {**LOCATION, "tags": {"team": "x"}}))["tags"] == {"team": "climate"}
    _, document, _ = await http.call("PATCH", IDENTITY, {"tags": {"c": "d"}})
    assert document["tags"] == {"c": "d", "team": "climate"}
    await http.put(f"{WHOLE}/resourceGroups/untagged", LOCATION)
    other = IDENTITY.replace("/rg/", "/untagged/")
    assert "tags" not in await http.put(other, LOCATION)


CONDITIONS = [
    ({"field": "Microsoft.Storage/storageAccounts/sku.name", "notIn": ["Standard_GRS"]}, True),
    ({"field": "Microsoft.Storage/storageAccounts/minimumTlsVersion", "equals": "TLS1_2"}, True),
    ({"field": "Microsoft.Storage/storageAccounts/minimumTlsVersion", "exists": "false"}, False),
    ({"field": "Microsoft.Storage/storageAccounts/networkAcls.defaultAction", "notEquals": "Deny"}, True),
    ({"field": "Microsoft.Storage/storageAccounts/networkAcls.ipRules[*].value", "notLike": "10.*"}, False),
    ({"field": "type", "equals": "microsoft.storage/STORAGEACCOUNTS"}, True),
    ({"field": "name", "match": "climate####"}, True),
    ({"field": "name", "like": "weather*"}, False),
    ({"field": "name", "contains": "mate"}, True),
    ({"field": "fullName", "equals": "climate4711"}, True),
    ({"field": "tags", "containsKey": "OWNER"}, True),
    ({"field": "tags.owner", "equals": "us"}, True),
    ({"field": "tags['no owner']", "exists": True}, False),
    ({"value": "[resourceGroup().location]", "equals": "westeurope"}, True),
    ({"value": "[resourceGroup().tags.none]", "equals": ""}, True),
    ({"value": "[length(field('name'))]", "greaterOrEquals": 11}, True),
    ({"value": "[toLower(field('kind'))]", "equals": "storagev2"}, True),
    ({"count": {"field": "Microsoft.Storage/storageAccounts/networkAcls.ipRules[*]",
                "where": {"field": "Microsoft.Storage/storageAccounts/networkAcls.ipRules[*].value", "like": "20.*"}},
      "equals": 1}, True),
    ({"count": {"value": ["a", "climate4711"], "name": "one",
                "where": {"field": "name", "equals": "[current('one')]"}}, "greater": 0}, True),
    ({"not": {"anyOf": [{"field": "kind", "equals": "x"}, {"field": "location", "equals": "y"}]}}, True),
    ({"allOf": [{"field": "kind", "in": ["a", "storagev2"]}, {"field": "kind", "notEquals": "StorageV2"}]}, False),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "denied"), CONDITIONS)
async def test_conditions(http, condition, denied):
    rule = {"if": condition, "then": {"effect": "Deny"}}
    await http.put(f"{WHOLE}/{DEFINITIONS}/own", {"properties": {"mode": "All", "policyRule": rule}})
    await http.put(f"{GROUP}/{ASSIGNMENTS}/own", assigned(f"{WHOLE}/{DEFINITIONS}/own"))
    rules = [{"value": "20.1.1.1"}, {"value": "10.1.1.1"}]
    acls = {"defaultAction": "Allow", "ipRules": rules}
    body = {**STORAGE, "tags": {"owner": "us"}, "properties": {"minimumTlsVersion": "TLS1_2", "networkAcls": acls}}
    status, document, _ = await http.call("PUT", ACCOUNT, body)
    assert status == (403 if denied else 202), document


async def test_properties_are_appended_and_modified(http):
    field = "Microsoft.Storage/storageAccounts/minimumTlsVersion"
    append = {"if": {"field": field, "exists": False},
              "then": {"effect": "append", "details": [{"field": field, "value": "TLS1_2"}]}}  # fmt: skip
    modify = {
        "if": {"field": "type", "equals": "Microsoft.Storage/storageAccounts"},
        "then": {"effect": "modify", "details": {"roleDefinitionIds": [], "operations": [
            {"operation": "addOrReplace", "field": "Microsoft.Storage/storageAccounts/allowBlobPublicAccess",
             "value": False},
            {"operation": "add", "field": "tags['kind']", "value": "[field('kind')]"},
            {"operation": "remove", "field": "tags['old']"},
            {"operation": "add", "field": "tags['never']", "value": "x", "condition": "[equals(1, 2)]"}]}},
    }  # fmt: skip
    for name, rule in (("append", append), ("modify", modify)):
        await http.put(f"{WHOLE}/{DEFINITIONS}/{name}", {"properties": {"mode": "Indexed", "policyRule": rule}})
        body = {**assigned(f"{WHOLE}/{DEFINITIONS}/{name}"), **LOCATION, "identity": {"type": "SystemAssigned"}}
        await http.put(f"{GROUP}/{ASSIGNMENTS}/{name}", body)
    body = {**STORAGE, "tags": {"old": "1"}, "properties": {"allowBlobPublicAccess": True}}
    account = await http.done(ACCOUNT, body)
    assert account["properties"]["minimumTlsVersion"] == "TLS1_2"
    assert account["properties"]["allowBlobPublicAccess"] is False
    assert account["tags"] == {"kind": "StorageV2"}


async def test_sizes_of_machines_and_deletions(http):
    await http.put(f"{GROUP}/{ASSIGNMENTS}/sizes", assigned(ALLOWED_SIZES, {"listOfAllowedSKUs": ["Standard_D2s_v5"]}))
    machine = {**LOCATION, "properties": {"hardwareProfile": {"vmSize": "Standard_D4s_v5"}}}
    path = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/vm"
    status, document, _ = await http.call("PUT", path, machine)
    assert (status, document["error"]["code"]) == (403, "RequestDisallowedByPolicy")
    (evaluated,) = document["error"]["additionalInfo"][0]["info"]["evaluationDetails"]["evaluatedExpressions"]
    assert evaluated["expression"] == "type"
    rule = {"if": {"field": "type", "equals": "Microsoft.ManagedIdentity/userAssignedIdentities"},
            "then": {"effect": "denyAction", "details": {"actionNames": ["delete"]}}}  # fmt: skip
    await http.put(f"{WHOLE}/{DEFINITIONS}/keep", {"properties": {"policyRule": rule}})
    await http.put(IDENTITY, LOCATION)
    await http.put(f"{GROUP}/{ASSIGNMENTS}/keep", assigned(f"{WHOLE}/{DEFINITIONS}/keep"))
    assert await http.code("DELETE", IDENTITY) == (403, "RequestDisallowedByPolicy")


async def test_a_set_passes_its_parameters_on(http):
    members = [
        {"policyDefinitionId": f"/{DEFINITIONS}/{REQUIRE_TAG}", "policyDefinitionReferenceId": "tag",
         "parameters": {"tagName": {"value": "[parameters('name')]"}}},
        {"policyDefinitionId": f"/{DEFINITIONS}/{ALLOWED_LOCATIONS}", "policyDefinitionReferenceId": "place",
         "parameters": {"listOfAllowedLocations": {"value": ["westeurope"]}}},
    ]  # fmt: skip
    path = f"{WHOLE}/providers/Microsoft.Authorization/policySetDefinitions/ours"
    body = {"properties": {"policyDefinitions": members, "parameters": {"name": {"type": "String"}}}}
    await http.put(path, body)
    await http.put(f"{GROUP}/{ASSIGNMENTS}/ours", assigned(path, {"name": "team"}))
    status, document, _ = await http.call("PUT", IDENTITY, LOCATION)
    (violation,) = document["error"]["additionalInfo"]
    assert (status, violation["info"]["policyDefinitionReferenceId"]) == (403, "tag")
    assert violation["info"]["policySetDefinitionId"] == path
    await http.put(IDENTITY, {**LOCATION, "tags": {"team": "x"}})
    body["properties"]["policyDefinitions"][0]["policyDefinitionId"] = f"/{DEFINITIONS}/none"
    assert await http.code("PUT", path, body) == (404, "PolicyDefinitionNotFound")


REFUSED = [
    (assigned(ALLOWED_LOCATIONS), (400, "MissingPolicyParameter")),
    (assigned(ALLOWED_LOCATIONS, {"listOfAllowedLocations": [], "more": 1}), (400, "UndefinedPolicyParameter")),
    (assigned("none"), (404, "PolicyDefinitionNotFound")),
    (assigned("/providers/Microsoft.Authorization/policySetDefinitions/none"), (404, "PolicySetDefinitionNotFound")),
    (assigned("7433c107-6db4-4ad1-b57a-a76dce0154a1", {"listOfAllowedSKUs": [], "effect": "deny"}),
     (400, "PolicyParameterValueNotAllowed")),
    ({"properties": {}}, (400, "InvalidRequestContent")),
]  # fmt: skip


@pytest.mark.parametrize(("body", "refusal"), REFUSED)
async def test_assignments_that_are_refused(http, body, refusal):
    assert await http.code("PUT", f"{GROUP}/{ASSIGNMENTS}/x", body) == refusal


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"if": {}}, "InvalidPolicyRule"),
        ({"if": {"field": "a", "equals": "b"}, "then": {"effect": "explode"}}, "InvalidPolicyRule"),
        ({"if": {"field": "a", "equals": "[parameters('x')]"}, "then": {"effect": "deny"}}, "InvalidPolicyParameters"),
    ],
)
async def test_rules_that_are_refused(http, rule, code):
    definition = {"properties": {"policyRule": rule}}
    assert await http.code("PUT", f"{WHOLE}/{DEFINITIONS}/x", definition) == (400, code)


async def test_policies_come_down_from_management_groups(http):
    groups = "/providers/Microsoft.Management/managementGroups"
    _, document, _ = await http.call("GET", groups)
    assert [one["name"] for one in document["value"]] == [TENANT]
    await http.put(f"{groups}/hpc", {"properties": {"displayName": "HPC"}})
    path = f"{groups}/hpc/{ASSIGNMENTS}/tag"
    await http.put(path, assigned(REQUIRE_TAG, {"tagName": "team"}))
    await http.put(IDENTITY, LOCATION)
    assert (await http.call("PUT", f"{groups}/hpc/subscriptions/{SUBSCRIPTION}"))[0] == 200
    assert await http.code("PUT", IDENTITY, LOCATION) == (403, "RequestDisallowedByPolicy")
    _, document, _ = await http.call("GET", f"{groups}/hpc", query={"$expand": "children"})
    assert [one["name"] for one in document["properties"]["children"]] == [SUBSCRIPTION]
    _, document, _ = await http.call("GET", f"{GROUP}/{ASSIGNMENTS}")
    assert [one["name"] for one in document["value"]] == ["tag"]
    assert (await http.call("DELETE", f"{groups}/hpc/subscriptions/{SUBSCRIPTION}"))[0] == 200
    await http.put(IDENTITY, LOCATION)
    root = f"{groups}/{TENANT}/{ASSIGNMENTS}/tag"
    await http.put(root, assigned(REQUIRE_TAG, {"tagName": "team"}))
    assert await http.code("PUT", IDENTITY, LOCATION) == (403, "RequestDisallowedByPolicy")
    assert (await http.call("GET", f"{groups}/none"))[0] == 404
