"""Storage accounts: names, skus and kinds and their moves, protocols, network rules, endpoints, failover, upgrades.

Data planes are not emulated, only what Resource Manager shows of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import last_name, parent_of, parse
from azure_emulator.providers import assigned_identities, private_links, usages
from azure_emulator.providers.global_names import is_taken
from azure_emulator.providers.protocols import STORAGE
from azure_emulator.providers.storage import keys, skus
from azure_emulator.providers.storage.names import (
    ACCOUNT,
    BLOB_SERVICE,
    CONTAINER,
    FILE_SERVICE,
    SERVICES,
    invalid_account_name,
)
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

# Accounts of a subscription in a region (azure-docs, scalability targets of standard accounts).
ACCOUNTS_PER_REGION = 250
USAGE = "StorageAccounts"
# Where accounts are reached. Setting `storageSuffix`: an emulator that is registered as a cloud of its own has another.
SUFFIX = "core.windows.net"
# Creation only: absent from the model of PATCH.
_CREATION_ONLY = ("properties.isHnsEnabled", "properties.isNfsV3Enabled",
                  "properties.encryption.requireInfrastructureEncryption")  # fmt: skip
# Only the upgrade of `hnsonmigration` changes this one.
_HNS = "properties.isHnsEnabled"
# "About an hour" (azure-docs, storage-disaster-recovery-guidance).
FAILOVER_SECONDS = 3600.0
# Assumptions: how long an upgrade takes, and refusals of which no recording was found.
HNS_SECONDS = 600.0
NOT_GEO_REDUNDANT = "AccountNotGeoRedundant"
HNS_ENABLED = "HnsAlreadyEnabled"
DELETED_KEPT_DAYS = 14
DAY = 86_400


def _invalid(name: str) -> errors.ArmError:
    return errors.bad_request(
        "InvalidValuesForRequestParameters", f"Values for request parameters are invalid: {name}.", target=name
    )


def _not_allowed(value: object, name: str, why: str) -> errors.ArmError:
    return errors.bad_request(
        "InvalidRequestPropertyValue", f"The value '{value}' is not allowed for property {name}. {why}", target=name
    )


def _check(change: Change) -> None:
    sku, kind = str(bodies.get(change.body, "sku.name")), str(change.body.get("kind"))
    if sku not in skus.ALL:
        raise _invalid("sku.name")
    if kind not in skus.BY_KIND:
        raise _invalid("kind")
    if change.exists:
        _check_moves(change, sku, kind)
    else:
        _check_name(change)
        _check_count(change)
    if sku not in skus.BY_KIND[kind]:
        raise _invalid("sku.name")
    change.body["sku"]["tier"] = skus.tier(sku)
    _check_nfs(change, sku)
    _check_network_rules(change)
    assigned_identities.complete(change)
    _complete(change, sku, kind)


def _check_name(change: Change) -> None:
    name = change.path.name
    message = invalid_account_name(name)
    if message is not None:
        raise errors.bad_request("AccountNameInvalid", message)
    for other in change.engine.store.of_type(ACCOUNT):
        if other.name == name and parse(other.id).subscription == change.subscription:
            raise errors.conflict(
                "StorageAccountInAnotherResourceGroup",
                f"The account {name} is already in another resource group in this subscription.",
            )
    if is_taken(change.engine, ACCOUNT, name):
        raise errors.conflict("StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")


def _check_count(change: Change) -> None:
    location = change.body["location"]
    count = len(change.engine.store.in_region(ACCOUNT, change.subscription, location))
    allowed = usages.limit(change.engine, location, USAGE, ACCOUNTS_PER_REGION)
    if count >= allowed:
        raise errors.conflict(
            "MaxStorageAccountsCountPerSubscriptionExceeded",
            f"Subscription {change.subscription} already contains {count} storage accounts with Standard Dns endpoints "
            f"in location {location} and the maximum allowed is {allowed}.",
        )


def _check_moves(change: Change, sku: str, kind: str) -> None:
    old_sku, old_kind = str(bodies.get(change.before, "sku.name")), (change.before or {}).get("kind")
    if sku != old_sku and (skus.FIXED & {sku, old_sku} or skus.is_provisioned_v2(sku + old_sku)):
        raise errors.conflict(
            "AccountTypeConversionNotAllowed",
            f"Storage account type cannot be changed from {old_sku} to {sku}.",
        )
    if kind not in (old_kind, "StorageV2"):
        raise errors.bad_request(
            "InvalidAccountKindChange", f"Storage account kind cannot be changed from {old_kind} to {kind}."
        )
    for path in _CREATION_ONLY:
        old, new = bodies.get(change.before, path), bodies.get(change.body, path)
        if new is None and old is not None:
            bodies.put(change.body, path, old)
        elif bool(new) != bool(old):
            raise errors.conflict(
                "PropertyCannotBeUpdated",
                f"The property '{last_name(path.replace('.', '/'))}' was specified in the input, but it cannot be "
                "updated.",
            )


def _check_nfs(change: Change, sku: str) -> None:
    properties = change.properties
    if not properties.get("isNfsV3Enabled"):
        return
    if not properties.get("isHnsEnabled"):
        raise _not_allowed("True", "isNfsV3Enabled", "NFSv3 needs a hierarchical namespace (isHnsEnabled).")
    if skus.is_geo_redundant(sku):
        raise _not_allowed("True", "isNfsV3Enabled", f"NFSv3 needs locally or zone redundant storage, not {sku}.")


def _check_network_rules(change: Change) -> None:
    rules = change.properties["networkAcls"]
    if not isinstance(rules, dict):
        raise _invalid("networkAcls")
    if rules.get("defaultAction") not in ("Allow", "Deny"):
        raise _invalid("networkAcls.defaultAction")
    for name, value in (("bypass", "AzureServices"), ("virtualNetworkRules", []), ("ipRules", [])):
        rules[name] = rules.get(name) or value
    for rule in rules["virtualNetworkRules"]:
        _check_subnet(change, str(rule.get("id", "")))
        rule.update(action="Allow", state="Succeeded")
    for rule in rules["ipRules"]:
        rule["action"] = "Allow"


def _check_subnet(change: Change, subnet_id: str) -> None:
    subnet = change.engine.store.get(subnet_id)
    offered = (subnet.properties.get("serviceEndpoints") or []) if subnet is not None else []
    if not any(str(one.get("service", "")).startswith("Microsoft.Storage") for one in offered):
        raise errors.bad_request(
            "NetworkAclsValidationFailure",
            "Validation of network acls failure: SubnetsHaveNoServiceEndpointsConfigured:Subnets "
            f"{last_name(subnet_id)} of virtual network {parent_of(subnet_id)} do not have ServiceEndpoints for "
            "Microsoft.Storage resources configured. Add Microsoft.Storage to subnet's ServiceEndpoints collection "
            "before trying to ACL Microsoft.Storage resources to these subnets..",
        )


def _complete(change: Change, sku: str, kind: str) -> None:
    engine, properties = change.engine, change.properties
    if not change.exists:
        moment = engine.clock.iso(engine.now)
        properties.update(creationTime=moment, keyCreationTime={"key1": moment, "key2": moment},
                          primaryLocation=change.body["location"], statusOfPrimary="available")  # fmt: skip
    if kind in ("StorageV2", "BlobStorage"):
        properties.setdefault("accessTier", "Hot")
    second = skus.PAIRS.get(properties["primaryLocation"]) if skus.is_geo_redundant(sku) else None
    if second is None:
        for name in ("secondaryLocation", "statusOfSecondary"):
            properties.pop(name, None)
    else:
        properties.update(secondaryLocation=second, statusOfSecondary="available")


def _endpoints(engine: Engine, name: str, kind: str) -> dict[str, str]:
    suffix = str(engine.setting("storageSuffix", SUFFIX))
    found = {service: f"https://{name}.{service}.{suffix}/" for service in SERVICES[kind]}
    if "web" in found:
        found["web"] = f"https://{name}.z6.web.{suffix}/"
    return found


def _view(engine: Engine, account: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    private_links.show(engine, account, shown, query)
    sku, kind, properties = account.body["sku"]["name"], account.body["kind"], shown["properties"]
    properties["primaryEndpoints"] = _endpoints(engine, account.name, kind)
    if skus.is_readable(sku):
        properties["secondaryEndpoints"] = _endpoints(engine, f"{account.name}-secondary", kind)
    if "geoReplicationStats" in query.get("$expand", "") and skus.is_geo_redundant(sku):
        properties["geoReplicationStats"] = {
            "status": "Live", "lastSyncTime": engine.clock.iso(engine.now), "canFailover": True,
            "canPlannedFailover": True,
        }  # fmt: skip


# -- actions ---------------------------------------------------------------------------------------------------------


def _start_failover(call: Call, account: Resource) -> None:
    del call
    if not skus.is_geo_redundant(account.body["sku"]["name"]):
        raise errors.conflict(
            NOT_GEO_REDUNDANT, f"The storage account {account.name} has no second region to fail over to."
        )


def _failed_over(engine: Engine, account: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """The second region is the primary one from now on, and nothing is copied anywhere any more."""
    properties = account.properties
    properties["primaryLocation"] = properties.pop("secondaryLocation")
    properties.pop("statusOfSecondary", None)
    properties["lastGeoFailoverTime"] = engine.clock.iso(engine.now)
    account.body["sku"]["name"] = "Standard_LRS"


def _start_upgrade(call: Call, account: Resource) -> None:
    asked = str(call.query.get("requestType", ""))
    if asked not in ("HnsOnValidationRequest", "HnsOnHydrationRequest"):
        raise _invalid("requestType")
    if account.properties.get("isHnsEnabled"):
        raise errors.conflict(HNS_ENABLED, f"The storage account {account.name} has a hierarchical namespace already.")
    account.internal["upgrade"] = asked


def _upgraded(engine: Engine, account: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    if account.internal.pop("upgrade", "") == "HnsOnHydrationRequest":
        account.properties["isHnsEnabled"] = True


def _abort_upgrade(call: Call, account: Resource) -> Answer:
    running = call.engine.running(account)
    if running is not None and "upgrade" in account.internal:
        call.engine.cancel(running)
        account.internal.pop("upgrade")
        account.state = "Succeeded"
        call.engine.store.save(account)
    return Answer(200)


# -- deletion --------------------------------------------------------------------------------------------------------


def _check_delete(engine: Engine, account: Resource, query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    containers = engine.store.children(f"{account.id}/blobServices/default", CONTAINER)
    locked = [
        container.name
        for container in containers
        if any(policy.properties.get("state") == "Locked" for policy in engine.store.children(container.id))
    ]
    held = [container.name for container in containers if container.properties.get("hasLegalHold")]
    for names, what in ((locked, "a locked immutability policy"), (held, "a legal hold")):
        if names:
            raise errors.conflict(
                "AccountProtectedFromDeletion",
                f"{account.name} is protected from deletion. The container(s) {', '.join(names)} have {what}.",
                target=account.id,
            )


def _deleted(engine: Engine, account: Resource) -> None:
    # The services are not stored before somebody changes them, so what is in them is not below a stored parent.
    for service in (BLOB_SERVICE, FILE_SERVICE, f"{ACCOUNT}/queueServices", f"{ACCOUNT}/tableServices"):
        for child in engine.store.children(f"{account.id}/{last_name(service)}/default"):
            engine.remove(child)
    row = {"id": account.id, "location": account.location, "created": account.properties["creationTime"],
           "deleted": engine.now}  # fmt: skip
    rows = [one for one in deleted_accounts(engine) if one["id"].lower() != account.key]
    engine.store.set("deletedStorageAccounts", [*rows, row])


def deleted_accounts(engine: Engine) -> list[dict[str, Any]]:
    """Accounts that were deleted lately."""
    rows: list[dict[str, Any]] = engine.setting("deletedStorageAccounts", [])
    return [row for row in rows if row["deleted"] > engine.now - DELETED_KEPT_DAYS * DAY]


_PATCHED = ("customDomain", "encryption", "sasPolicy", "keyPolicy", "accessTier", "turboTier",
            "azureFilesIdentityBasedAuthentication", "supportsHttpsTrafficOnly", "isSftpEnabled", "isLocalUserEnabled",
            "enableExtendedGroups", "networkAcls", "largeFileSharesState", "routingPreference",
            "dualStackEndpointPreference", "allowBlobPublicAccess", "minimumTlsVersion", "allowSharedKeyAccess",
            "allowCrossTenantReplication", "defaultToOAuthAuthentication", "publicNetworkAccess",
            "immutableStorageWithVersioning", "allowedCopyScope", "dnsEndpointType", "geoPriorityReplicationStatus",
            "allowSharedKeyAccessForServices", "dataCollaborationPolicyProperties",
            "allowCrossTenantDelegationSas", "isHnsEnabled", "isNfsV3Enabled")  # fmt: skip

TYPE = ResourceType(
    name=ACCOUNT,
    protocol=STORAGE,
    put=Verb(seconds=22, created=202, updated=200, update_seconds=0, body=False),
    # The last two are refused by a check of their own, with Storage's words.
    patch=Patch(allowed=frozenset({
        "tags", "sku", "kind", "identity", "location", "zones", "placement",
        *(f"properties.{name}" for name in _PATCHED)})),
    delete=Verb(),
    required=("sku.name", "kind"),
    defaults={
        "properties.supportsHttpsTrafficOnly": True, "properties.minimumTlsVersion": "TLS1_2",
        "properties.allowBlobPublicAccess": False, "properties.allowCrossTenantReplication": False,
        "properties.networkAcls": {"bypass": "AzureServices", "virtualNetworkRules": [], "ipRules": [],
                                   "defaultAction": "Allow"},
        "properties.encryption": {"keySource": "Microsoft.Storage", "services": {
            "file": {"enabled": True, "keyType": "Account"}, "blob": {"enabled": True, "keyType": "Account"}}},
    },
    read_only=(
        "properties.primaryEndpoints", "properties.primaryLocation", "properties.statusOfPrimary",
        "properties.secondaryEndpoints", "properties.secondaryLocation", "properties.statusOfSecondary",
        "properties.lastGeoFailoverTime", "properties.geoReplicationStats",
        "properties.creationTime", "properties.keyCreationTime", "properties.privateEndpointConnections",
    ),
    delete_first=50,
    check=_check,
    check_delete=_check_delete,
    deleted=_deleted,
    view=_view,
    actions={
        "listKeys": Action(run=keys.list_keys),
        "regenerateKey": Action(run=keys.regenerate_key),
        "listAccountSas": Action(run=keys.account_sas),
        "listServiceSas": Action(run=keys.service_sas),
        "failover": Action(run=_start_failover, seconds=FAILOVER_SECONDS, finished=_failed_over),
        "hnsonmigration": Action(run=_start_upgrade, seconds=HNS_SECONDS, finished=_upgraded),
        "aborthnsonmigration": Action(run=_abort_upgrade),
        "revokeUserDelegationKeys": Action(),
    },
    depth="global names, skus by kind and their moves, NFSv3 rules, network rules, endpoints, keys and signatures, "
    "failover, upgrade to a hierarchical namespace, 250 for each region",
)  # fmt: skip
