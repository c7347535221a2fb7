"""The blob service of a storage account: containers, how they are protected, encryption scopes, life-cycle rules.

There are no blobs, so a container is always empty; what needs blobs to matter (retention, tiering) is kept and checked
but never happens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import ArmPath, parent_of, parse
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.providers.storage.names import (
    BLOB_SERVICE,
    CONTAINER,
    CONTAINER_NAME,
    DEFAULT,
    ENCRYPTION_SCOPE,
    IMMUTABILITY,
    MANAGEMENT_POLICY,
    SCOPE_NAME,
)
from azure_emulator.types import Action, Answer, Call, Change, Function, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

RETENTION_DAYS = range(1, 366)
IMMUTABLE_DAYS = range(1, 146_001)
_HOLD_TAG = re.compile(r"^[A-Za-z0-9]{3,23}$")
HOLD_TAGS, RULES = 10, 100
# Assumptions: no recording of these refusals was found.
HAS_LEGAL_HOLD = "ContainerHasLegalHold"
POLICY_LOCKED = "ImmutabilityPolicyOperationNotAllowed"
BAD_RULE = "InvalidManagementPolicyRule"


def account_of(engine: Engine, child_id: str) -> Resource:
    """The storage account that something is below."""
    path = parse(child_id)
    return engine.require(parse(f"{path.scope}/providers/Microsoft.Storage/storageAccounts/{path.names[0]}"))


# -- service ---------------------------------------------------------------------------------------------------------


def service_defaults(**properties: Any) -> Any:
    """The default instance of a service, with the account's sku."""

    def instance(engine: Engine, path: ArmPath) -> dict[str, Any]:
        account = engine.store.get(path.parent)
        return {"sku": account.body.get("sku") if account is not None else None, "properties": {**properties}}

    return instance


def list_service(call: Call) -> Answer | None:
    """GET …/blobServices and its kin: the one service that there always is."""
    if call.path.is_resource:
        return None
    call.engine.require(parse(call.path.parent))
    service = call.engine.find(f"{call.path.text}/default")
    return Answer(200, {"value": [call.engine.view(service)] if service is not None else []})


def check_retention(change: Change, *names: str) -> None:
    """Retention policies that are on need a number of days."""
    for name in names:
        policy = change.properties.get(name) or {}
        if policy.get("enabled") and policy.get("days") not in RETENTION_DAYS:
            raise errors.bad_request(
                "InvalidValuesForRequestParameters",
                f"Values for request parameters are invalid: {name}.days.", target=name,
            )  # fmt: skip


def check_sku(change: Change) -> None:
    """The sku that a service shows is its account's."""
    change.body["sku"] = account_of(change.engine, change.id).body["sku"]


def _check_service(change: Change) -> None:
    check_retention(change, "deleteRetentionPolicy", "containerDeleteRetentionPolicy")
    check_sku(change)


# -- containers ------------------------------------------------------------------------------------------------------


def _check_container(change: Change) -> None:
    account, properties = account_of(change.engine, change.id), change.properties
    public = properties["publicAccess"]
    if public != "None" and not account.properties.get("allowBlobPublicAccess"):
        raise errors.conflict("PublicAccessNotPermitted", "Public access is not permitted on this storage account.")
    properties["lastModifiedTime"] = change.engine.clock.iso(change.engine.now)
    for name, value in (("leaseStatus", "Unlocked"), ("leaseState", "Available"), ("hasLegalHold", False),
                        ("deleted", False), ("remainingRetentionDays", 0)):  # fmt: skip
        properties.setdefault(name, value)


def _view_container(engine: Engine, container: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    policies = engine.store.children(container.id, IMMUTABILITY)
    shown["properties"]["hasImmutabilityPolicy"] = bool(policies)
    if policies:
        shown["properties"]["immutabilityPolicy"] = {
            "properties": dict(policies[0].properties), "etag": policies[0].etag,
        }  # fmt: skip


def _refuse_held(engine: Engine, container: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    if container.properties.get("hasLegalHold"):
        raise errors.conflict(HAS_LEGAL_HOLD, f"The container {container.name} has a legal hold and cannot be deleted.")


def _tags(call: Call) -> list[str]:
    tags = (call.body or {}).get("tags") if isinstance(call.body, dict) else None
    if not isinstance(tags, list) or not tags or not all(isinstance(tag, str) and _HOLD_TAG.match(tag) for tag in tags):
        raise errors.bad_request(
            "InvalidRequestContent", "A legal hold needs tags of 3 to 23 letters and digits.", target="tags"
        )
    return [tag.lower() for tag in tags]


def _set_hold(call: Call, container: Resource) -> dict[str, Any]:
    wanted = _tags(call)
    kept = [one["tag"] for one in bodies.get(container.body, "properties.legalHold.tags") or []]
    return _hold(call, container, [*kept, *(tag for tag in dict.fromkeys(wanted) if tag not in kept)])


def _clear_hold(call: Call, container: Resource) -> dict[str, Any]:
    gone = set(_tags(call))
    kept = [one["tag"] for one in bodies.get(container.body, "properties.legalHold.tags") or []]
    return _hold(call, container, [tag for tag in kept if tag not in gone])


def _hold(call: Call, container: Resource, tags: list[str]) -> dict[str, Any]:
    if len(tags) > HOLD_TAGS:
        raise errors.bad_request(
            "InvalidRequestContent", f"A container can have {HOLD_TAGS} legal hold tags at most.", target="tags"
        )
    engine = call.engine
    container.properties["hasLegalHold"] = bool(tags)
    container.properties["legalHold"] = {"hasLegalHold": bool(tags), "tags": [
        {"tag": tag, "timestamp": engine.clock.iso(engine.now), "objectIdentifier": call.principal.object_id,
         "tenantId": engine.tenant, "upn": call.principal.name} for tag in tags
    ]}  # fmt: skip
    engine.store.save(container)
    return {"hasLegalHold": bool(tags), "tags": tags}


# -- immutability policies -------------------------------------------------------------------------------------------


def _check_immutability(change: Change) -> None:
    if change.old.get("state") == "Locked":
        raise _locked()
    days = change.properties.get("immutabilityPeriodSinceCreationInDays")
    _check_days(days)
    change.properties["state"] = "Unlocked"


def _check_days(days: object) -> None:
    if days not in IMMUTABLE_DAYS:
        raise errors.bad_request(
            "InvalidValuesForRequestParameters",
            "Values for request parameters are invalid: immutabilityPeriodSinceCreationInDays.",
        )


def _locked() -> errors.ArmError:
    return errors.conflict(POLICY_LOCKED, "Operation not allowed on immutability policy with current state.")


def _delete_policy(call: Call) -> None:
    """A locked policy goes only with its container, which may go because it is empty."""
    policy = call.engine.store.get(call.path.text)
    if policy is None:
        raise errors.resource_not_found(IMMUTABILITY, "/".join(call.path.names), call.path.resource_group or "")
    if policy.properties.get("state") == "Locked":
        raise _locked()


def _matched(call: Call, policy: Resource) -> None:
    """Locking and extending need the ETag of what one has seen."""
    wanted = call.headers.get("If-Match", "")
    if wanted not in (policy.etag, f'"{policy.etag}"'):
        raise errors.precondition_failed(wanted)


def _lock(call: Call, policy: Resource) -> Answer:
    _matched(call, policy)
    if call.engine.store.get(policy.id) is None:
        raise _locked()
    policy.properties["state"] = "Locked"
    call.engine.touch(policy)
    return Answer(200, call.engine.view(policy), {"ETag": policy.etag})


def _extend(call: Call, policy: Resource) -> Answer:
    _matched(call, policy)
    days = bodies.get(call.body or {}, "properties.immutabilityPeriodSinceCreationInDays")
    _check_days(days)
    if policy.properties.get("state") != "Locked" or days < policy.properties["immutabilityPeriodSinceCreationInDays"]:
        raise _locked()
    policy.properties["immutabilityPeriodSinceCreationInDays"] = days
    call.engine.touch(policy)
    return Answer(200, call.engine.view(policy), {"ETag": policy.etag})


def _no_immutability(engine: Engine, path: ArmPath) -> dict[str, Any]:
    del engine, path
    return {"properties": {"immutabilityPeriodSinceCreationInDays": 0, "state": "Unlocked"}}


# -- life-cycle rules ------------------------------------------------------------------------------------------------


def _check_rules(change: Change) -> None:
    account = account_of(change.engine, change.id)
    if account.body["kind"] not in ("StorageV2", "BlobStorage", "BlockBlobStorage"):
        raise errors.bad_request(
            BAD_RULE, f"Management policies are not supported for an account of kind {account.body['kind']}."
        )
    rules = bodies.get(change.body, "properties.policy.rules")
    if not isinstance(rules, list) or not 0 < len(rules) <= RULES:
        raise errors.bad_request(BAD_RULE, f"A management policy has 1 to {RULES} rules.", target="policy.rules")
    names: set[str] = set()
    for rule in rules:
        _check_rule(rule)
        if rule["name"].lower() in names:
            raise errors.bad_request(BAD_RULE, f"Rule name {rule['name']} is used twice.", target="policy.rules")
        names.add(rule["name"].lower())
        rule.setdefault("enabled", True)
    change.properties["lastModifiedTime"] = change.engine.clock.iso(change.engine.now)


def _check_rule(rule: Any) -> None:
    name = rule.get("name") if isinstance(rule, dict) else None
    if not isinstance(name, str) or not name:
        raise errors.bad_request(BAD_RULE, "Every rule needs a name.", target="policy.rules")

    def refused(why: str) -> errors.ArmError:
        return errors.bad_request(BAD_RULE, f"Rule {name} is invalid: {why}", target=f"policy.rules.{name}")

    if rule.get("type") != "Lifecycle":
        raise refused("its type must be Lifecycle.")
    kinds = bodies.get(rule, "definition.filters.blobTypes")
    if not kinds or not set(kinds) <= {"blockBlob", "appendBlob"}:
        raise refused("its blobTypes must be one or both of blockBlob and appendBlob.")
    actions = bodies.get(rule, "definition.actions") or {}
    wanted = [action for name in ("baseBlob", "snapshot", "version") for action in (actions.get(name) or {}).values()
              if isinstance(action, dict)]  # fmt: skip
    if not wanted:
        raise refused("it has no actions.")
    for action in wanted:
        days = [value for key, value in action.items() if key.startswith("daysAfter")]
        if not days or any(not isinstance(value, int | float) or value < 0 for value in days):
            raise refused("every action needs a number of days that is not negative.")


def _read_policy(call: Call) -> Answer | None:
    if call.path.is_resource and call.engine.store.get(call.path.text) is None:
        account = call.engine.require(parse(call.path.parent))
        raise errors.ArmError(
            errors.NOT_FOUND, "ManagementPolicyNotFound", f"No ManagementPolicy found for account {account.name}"
        )
    return None


# -- encryption scopes -----------------------------------------------------------------------------------------------


def _check_scope(change: Change) -> None:
    properties, moment = change.properties, change.engine.clock.iso(change.engine.now)
    source, state = properties["source"], properties["state"]
    if source not in ("Microsoft.Storage", "Microsoft.KeyVault") or state not in ("Enabled", "Disabled"):
        raise errors.bad_request(
            "InvalidValuesForRequestParameters", "Values for request parameters are invalid: source, state."
        )
    if source == "Microsoft.KeyVault" and not bodies.get(properties, "keyVaultProperties.keyUri"):
        raise errors.bad_request(
            "InvalidValuesForRequestParameters",
            "Values for request parameters are invalid: keyVaultProperties.keyUri.",
        )
    properties.setdefault("creationTime", moment)
    properties["lastModifiedTime"] = moment


def _touch_container(engine: Engine, policy: Resource) -> None:
    container = engine.store.get(parent_of(policy.id))
    if container is not None:
        engine.touch(container)


TYPES = (
    ResourceType(
        name=BLOB_SERVICE, protocol=SYNCHRONOUS, put=Verb(created=200), delete=None, location=None, tags=False,
        has_state=False, name_pattern=DEFAULT, check=_check_service,
        default_instance=service_defaults(
            cors={"corsRules": []}, deleteRetentionPolicy={"allowPermanentDelete": False, "enabled": False}),
        depth="`default` always exists; retention checked",
    ),
    ResourceType(
        name=CONTAINER, protocol=SYNCHRONOUS, put=Verb(), patch=Patch(), delete=Verb(), location=None, tags=False,
        has_state=False, etag="plain", name_pattern=CONTAINER_NAME,
        defaults={"properties.publicAccess": "None",
                  "properties.defaultEncryptionScope": "$account-encryption-key",
                  "properties.denyEncryptionScopeOverride": False},
        read_only=("properties.lastModifiedTime", "properties.leaseStatus", "properties.leaseState",
                   "properties.hasLegalHold", "properties.legalHold", "properties.hasImmutabilityPolicy",
                   "properties.immutabilityPolicy", "properties.deleted", "properties.remainingRetentionDays"),
        immutable=("properties.defaultEncryptionScope", "properties.denyEncryptionScopeOverride"),
        actions={"setLegalHold": Action(run=_set_hold), "clearLegalHold": Action(run=_clear_hold)},
        check=_check_container, check_delete=_refuse_held, view=_view_container,
        depth="names, public access only where the account allows it, legal holds; always empty",
    ),
    ResourceType(
        name=IMMUTABILITY, protocol=SYNCHRONOUS, put=Verb(created=200), delete=Verb(), location=None, tags=False,
        has_state=False, etag="plain", if_match=True, name_pattern=DEFAULT, returns_deleted=True,
        delete_missing=errors.NOT_FOUND,
        read_only=("properties.state",), default_instance=_no_immutability,
        actions={"lock": Action(run=_lock), "extend": Action(run=_extend)},
        check=_check_immutability, deleted=_touch_container,
        depth="a locked policy can only be extended, and protects its account from deletion",
    ),
    ResourceType(
        name=MANAGEMENT_POLICY, protocol=SYNCHRONOUS, put=Verb(created=200), delete=Verb(), location=None, tags=False,
        has_state=False, name_pattern=DEFAULT, read_only=("properties.lastModifiedTime",), check=_check_rules,
        depth="rules checked, never carried out",
    ),
    ResourceType(
        name=ENCRYPTION_SCOPE, protocol=SYNCHRONOUS, put=Verb(), patch=Patch(), delete=None, location=None,
        tags=False, has_state=False, name_pattern=SCOPE_NAME,
        defaults={"properties.source": "Microsoft.Storage", "properties.state": "Enabled"},
        read_only=("properties.creationTime", "properties.lastModifiedTime"), check=_check_scope,
        depth="source and state; they cannot be deleted",
    ),
)  # fmt: skip

FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", BLOB_SERVICE): list_service,
    ("DELETE", IMMUTABILITY): _delete_policy,
    ("GET", MANAGEMENT_POLICY): _read_policy,
}
