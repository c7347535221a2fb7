"""The built-in policy definitions that people use for HPC subscriptions, with their real ids.

Plain data. Rules say what Azure's own say; descriptions are short.
"""

from __future__ import annotations

from typing import Any

DEFINITION = "Microsoft.Authorization/policyDefinitions"


def _parameter(name: str, kind: str, display: str, **more: Any) -> dict[str, Any]:
    return {name: {"type": kind, "metadata": {"displayName": display, "description": display, **more}}}


def _policy(
    name: str, category: str, mode: str, version: str, parameters: dict[str, Any], condition: dict[str, Any],
    effect: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    return {
        "displayName": name, "policyType": "BuiltIn", "mode": mode, "description": f"{name}.",
        "metadata": {"version": version, "category": category}, "version": version, "parameters": parameters,
        "policyRule": {"if": condition, "then": effect}, "versions": [version],
    }  # fmt: skip


_DENY = {"effect": "deny"}
_TAG_NAME = _parameter("tagName", "String", "Tag Name")
_TAG_VALUE = _parameter("tagValue", "String", "Tag Value")
_TAG_FIELD = "[concat('tags[', parameters('tagName'), ']')]"
_GROUPS_TAG = "[resourceGroup().tags[parameters('tagName')]]"
_IS_GROUP = {"field": "type", "equals": "Microsoft.Resources/subscriptions/resourceGroups"}
_LOCATIONS = _parameter("listOfAllowedLocations", "Array", "Allowed locations", strongType="location")
_TYPES_ALLOWED = _parameter("listOfResourceTypesAllowed", "Array", "Allowed resource types", strongType="resourceTypes")
_TYPES_NOT_ALLOWED = _parameter(
    "listOfResourceTypesNotAllowed", "Array", "Not allowed resource types", strongType="resourceTypes"
)
_SKUS = _parameter("listOfAllowedSKUs", "Array", "Allowed Size SKUs", strongType="VMSKUs")
_STORAGE_SKUS = _parameter("listOfAllowedSKUs", "Array", "Allowed SKUs", strongType="StorageSKUs")
_EFFECT = {
    "effect": {
        "type": "String", "defaultValue": "Deny", "allowedValues": ["Audit", "Deny", "Disabled"],
        "metadata": {"displayName": "Effect", "description": "Enable or disable the policy"},
    }
}  # fmt: skip


def _modify(*operations: dict[str, Any]) -> dict[str, Any]:
    contributor = "/providers/microsoft.authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c"
    return {"effect": "modify", "details": {"roleDefinitionIds": [contributor], "operations": list(operations)}}


def _put_tag(operation: str, value: str) -> dict[str, Any]:
    return {"operation": operation, "field": _TAG_FIELD, "value": value}


BUILT_IN: dict[str, dict[str, Any]] = {
    "e56962a6-4747-49cd-b67b-bf8b01975c4c": _policy(
        "Allowed locations", "General", "Indexed", "1.0.0", _LOCATIONS,
        {"allOf": [
            {"field": "location", "notIn": "[parameters('listOfAllowedLocations')]"},
            {"field": "location", "notEquals": "global"},
            {"field": "type", "notEquals": "Microsoft.AzureActiveDirectory/b2cDirectories"}]},
        _DENY,
    ),
    "e765b5de-1225-4ba3-bd56-1ac6695af988": _policy(
        "Allowed locations for resource groups", "General", "All", "1.0.0", _LOCATIONS,
        {"allOf": [_IS_GROUP, {"field": "location", "notIn": "[parameters('listOfAllowedLocations')]"}]}, _DENY,
    ),
    "a08ec900-254a-4555-9bf5-e42af04b5c5c": _policy(
        "Allowed resource types", "General", "Indexed", "1.0.0", _TYPES_ALLOWED,
        {"not": {"field": "type", "in": "[parameters('listOfResourceTypesAllowed')]"}}, _DENY,
    ),
    "6c112d4e-5bc7-47ae-a041-ea2d9dccd749": _policy(
        "Not allowed resource types", "General", "All", "2.0.0", {**_TYPES_NOT_ALLOWED, **_EFFECT},
        {"allOf": [
            {"field": "type", "in": "[parameters('listOfResourceTypesNotAllowed')]"},
            {"value": "[field('type')]", "exists": True}]},
        {"effect": "[parameters('effect')]"},
    ),
    "cccc23c7-8427-4f53-ad12-b6a63eb452b3": _policy(
        "Allowed virtual machine size SKUs", "Compute", "Indexed", "1.0.1", _SKUS,
        {"allOf": [
            {"field": "type", "equals": "Microsoft.Compute/virtualMachines"},
            {"not": {"field": "Microsoft.Compute/virtualMachines/sku.name", "in": "[parameters('listOfAllowedSKUs')]"}},
        ]},
        _DENY,
    ),
    "7433c107-6db4-4ad1-b57a-a76dce0154a1": _policy(
        "Storage accounts should be limited by allowed SKUs", "Storage", "Indexed", "1.1.0",
        {**_STORAGE_SKUS, **_EFFECT},
        {"allOf": [
            {"field": "type", "equals": "Microsoft.Storage/storageAccounts"},
            {"not": {"field": "Microsoft.Storage/storageAccounts/sku.name",
                     "in": "[parameters('listOfAllowedSKUs')]"}}]},
        {"effect": "[parameters('effect')]"},
    ),
    "871b6d14-10aa-478d-b590-94f262ecfa99": _policy(
        "Require a tag on resources", "Tags", "Indexed", "1.0.1", _TAG_NAME,
        {"field": _TAG_FIELD, "exists": "false"}, _DENY,
    ),
    "1e30110a-5ceb-460c-a204-c1c3969c6d62": _policy(
        "Require a tag and its value on resources", "Tags", "Indexed", "1.0.1", {**_TAG_NAME, **_TAG_VALUE},
        {"not": {"field": _TAG_FIELD, "equals": "[parameters('tagValue')]"}}, _DENY,
    ),
    "96670d01-0a4d-4649-9c89-2d3abc0a5025": _policy(
        "Require a tag on resource groups", "Tags", "All", "1.0.0", _TAG_NAME,
        {"allOf": [_IS_GROUP, {"field": _TAG_FIELD, "exists": "false"}]}, _DENY,
    ),
    "2a0e14a6-b0a6-4fab-991a-187a4f81c498": _policy(
        "Append a tag and its value to resources", "Tags", "Indexed", "1.0.1", {**_TAG_NAME, **_TAG_VALUE},
        {"field": _TAG_FIELD, "exists": "false"},
        {"effect": "append", "details": [{"field": _TAG_FIELD, "value": "[parameters('tagValue')]"}]},
    ),
    "4f9dc7db-30c1-420c-b61a-e1d640128d26": _policy(
        "Add a tag to resources", "Tags", "Indexed", "1.0.0", {**_TAG_NAME, **_TAG_VALUE},
        {"field": _TAG_FIELD, "exists": "false"}, _modify(_put_tag("add", "[parameters('tagValue')]")),
    ),
    "cd3aa116-8754-49c9-a813-ad46512ece54": _policy(
        "Inherit a tag from the resource group", "Tags", "Indexed", "1.0.0", _TAG_NAME,
        {"allOf": [{"field": _TAG_FIELD, "notEquals": _GROUPS_TAG}, {"value": _GROUPS_TAG, "notEquals": ""}]},
        _modify(_put_tag("addOrReplace", _GROUPS_TAG)),
    ),
    "ea3f2387-9b95-492a-a190-fcdc54f7b070": _policy(
        "Inherit a tag from the resource group if missing", "Tags", "Indexed", "1.0.0", _TAG_NAME,
        {"allOf": [{"field": _TAG_FIELD, "exists": "false"}, {"value": _GROUPS_TAG, "notEquals": ""}]},
        _modify(_put_tag("add", _GROUPS_TAG)),
    ),
}  # fmt: skip
