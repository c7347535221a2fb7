"""Microsoft.Resources: subscriptions, resource groups with their deletion, providers, and lists across types.

Knows no other provider: a resource group deletes whatever the store holds in it, in the order that the types' data
give.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import errors, locations
from azure_emulator.providers.protocols import RESOURCES, operation_functions
from azure_emulator.types import Answer, Call, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Operation, Resource

# An empty group still takes 30 to 90 s to go (Terraform acceptance logs).
DELETE_SECONDS = 45
# How often the deletion looks again at what is left.
LOOK_AGAIN_SECONDS = 1.0

_FILTER = re.compile(r"(\w+)\s+eq\s+'((?:[^']|'')*)'")


def _delete_contents(engine: Engine, group: Resource, operation: Operation) -> float | None:
    """Delete what can go, wait for what runs, and give up when something stays that nothing will free."""
    if operation.verb != "DELETE":
        return None
    remaining = engine.store.below(group.id)
    if not remaining:
        return None
    blocked = _start_deletions(engine, remaining)
    ends = [running.end for resource in remaining if (running := engine.running(resource)) is not None]
    if ends:
        return max(engine.now, min(ends)) + LOOK_AGAIN_SECONDS
    if not engine.store.below(group.id):
        return engine.now + LOOK_AGAIN_SECONDS
    if not blocked:
        return None
    identifiers = ",".join(resource.id for resource, _ in blocked)
    operation.failure = {
        "status": errors.CONFLICT,
        "code": "ResourceGroupDeletionBlocked",
        "message": f"Deletion of resource group '{group.name}' failed as resources with identifiers '{identifiers}' "
        "could not be deleted. The provisioning state of the resource group will be rolled back. The tracking Id is "
        f"'{operation.id}'. Please check audit logs for more details.",
        "details": [{"code": error.code, "target": resource.id, "message": error.message}
                    for resource, error in blocked],
    }  # fmt: skip
    return None


def _start_deletions(engine: Engine, remaining: list[Resource]) -> list[tuple[Resource, ArmError]]:
    """Begin to delete everything that nothing holds; children that go with their parent are left to it."""
    blocked: list[tuple[Resource, errors.ArmError]] = []
    for resource in sorted(
        remaining, key=lambda one: (engine.types[one.type.lower()].delete_first, -one.id.count("/"))
    ):
        kind = engine.types[resource.type.lower()]
        parent = engine.types.get((kind.parent or "").lower())
        goes_with_parent = kind.delete is None or (
            parent is not None and parent.nested == "cascade" and not kind.separate
        )
        if goes_with_parent or engine.store.get(resource.id) is None:
            continue
        try:
            engine.begin_delete(resource)
        except errors.ArmError as error:
            blocked.append((resource, error))
    return blocked


def _subscriptions(call: Call) -> Answer:
    shown = [_subscription(call.engine, identity) for identity in call.engine.subscriptions.values()]
    if not call.path.is_resource:
        return Answer(200, {"value": shown, "count": {"type": "Total", "value": len(shown)}})
    return Answer(200, _subscription(call.engine, call.engine.subscriptions[call.path.name.lower()]))


def _subscription(engine: Engine, identity: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{identity}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": identity,
        "tenantId": engine.tenant,
        "displayName": "Emulated",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "EnterpriseAgreement_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def _tenants(call: Call) -> Answer:
    tenant = call.engine.tenant
    shown = {"id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": "Emulated", "tenantCategory": "Home"}
    return Answer(200, {"value": [shown]})


def _locations(call: Call) -> Answer:
    value = [
        {
            "id": f"/subscriptions/{call.subscription}/locations/{name}",
            "name": name,
            "type": "Region",
            "displayName": display,
            "regionalDisplayName": display,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
            "availabilityZoneMappings": [
                {"logicalZone": zone, "physicalZone": f"{name}-az{zone}"} for zone in locations.zones(name)
            ],
        }
        for name, display in locations.REGIONS.items()
    ]
    return Answer(200, {"value": value})


def _providers(call: Call) -> Answer:
    engine = call.engine
    if not call.path.is_resource:
        shown = [_provider(call, provider) for provider in engine.providers.values()]
        return Answer(200, {"value": shown})
    return Answer(200, _provider(call, _known_provider(call, call.path.name)))


def _known_provider(call: Call, namespace: str) -> Provider:
    provider = call.engine.providers.get(namespace.lower())
    if provider is None:
        message = f"The resource namespace '{namespace}' is invalid."
        raise errors.ArmError(errors.NOT_FOUND, "InvalidResourceNamespace", message)
    return provider


def _register(call: Call) -> Answer:
    """POST …/providers/{namespace}/register (and unregister)."""
    provider = _known_provider(call, call.path.namespace)
    states = dict(call.engine.setting("registrations", {}))
    registered = call.path.types[-1].lower() == "register"
    states[provider.namespace.lower()] = "Registered" if registered else "Unregistered"
    call.engine.store.set("registrations", states)
    return Answer(200, _provider(call, provider))


def _provider(call: Call, provider: Provider) -> dict[str, Any]:
    state = call.engine.setting("registrations", {}).get(provider.namespace.lower(), "Registered")
    regions = list(locations.REGIONS.values())
    return {
        "id": f"/subscriptions/{call.subscription}/providers/{provider.namespace}",
        "namespace": provider.namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": state,
        "resourceTypes": [
            {
                "resourceType": kind.name.split("/", 1)[1],
                "locations": ["global"] if kind.location == "global" else regions,
                "apiVersions": [call.api_version],
                "defaultApiVersion": call.api_version,
                "capabilities": "SupportsTags, SupportsLocation" if kind.tags else "None",
            }
            for kind in provider.types
        ],
    }


def _resources(call: Call) -> Answer:
    """Tracked resources of a group or subscription, filtered as `$filter` says."""
    engine = call.engine
    group = call.path.resource_group
    scope = f"/subscriptions/{call.subscription}" + (f"/resourceGroups/{group}" if group else "")
    wanted = {name.lower(): value.replace("''", "'") for name, value in _FILTER.findall(call.query.get("$filter", ""))}
    found = []
    for resource in engine.store.below(scope):
        kind = engine.types[resource.type.lower()]
        if kind.location is not None and kind.name != GROUP.name and _matches(resource, wanted):
            found.append(resource)
    found = found[: int(call.query.get("$top", len(found)) or len(found))]
    expand = call.query.get("$expand", "").lower()
    return Answer(200, {"value": [_generic(engine, resource, expand) for resource in found]})


def _matches(resource: Resource, wanted: Mapping[str, str]) -> bool:
    tags = {name.lower(): str(value) for name, value in (resource.body.get("tags") or {}).items()}
    facts = {
        "resourcetype": resource.type,
        "name": resource.name,
        "location": resource.location,
        "resourcegroup": resource.resource_group,
    }
    for name, value in wanted.items():
        if name == "tagname":
            if value.lower() not in tags:
                return False
        elif name == "tagvalue":
            if tags.get(wanted.get("tagname", "").lower()) != value:
                return False
        elif facts.get(name, "").lower() != value.lower():
            return False
    return True


def _generic(engine: Engine, resource: Resource, expand: str) -> dict[str, Any]:
    body = resource.body
    shown = {"id": resource.id, "name": resource.name, "type": resource.type, "location": resource.location}
    shown |= {key: body[key] for key in ("tags", "sku", "kind", "identity", "zones", "managedBy") if key in body}
    if "provisioningstate" in expand:
        shown["provisioningState"] = resource.state
    if "createdtime" in expand:
        shown["createdTime"] = engine.clock.iso(resource.created)
    if "changedtime" in expand:
        shown["changedTime"] = engine.clock.iso(resource.changed)
    return shown


def _group_matches(engine: Engine, group: Resource, query: Mapping[str, str]) -> bool:  # noqa: ARG001 (a hook)
    wanted = {name.lower(): value.replace("''", "'") for name, value in _FILTER.findall(query.get("$filter", ""))}
    return _matches(group, wanted)


GROUP = ResourceType(
    name="Microsoft.Resources/resourceGroups",
    protocol=RESOURCES,
    put=Verb(),
    patch=Patch(allowed=frozenset({"tags", "location", "managedBy", "properties"})),
    delete=Verb(seconds=DELETE_SECONDS),
    name_pattern=re.compile(r"^[-\w.()]{0,89}[-\w()]$"),
    nested="sweep",
    continues=_delete_contents,
    keep=_group_matches,
    depth="deletion cascades in dependency order, blocked deletions roll back; lists by tag",
)

PROVIDER = Provider(
    namespace="Microsoft.Resources",
    types=(GROUP,),
    functions={
        ("GET", "Microsoft.Resources/subscriptions"): _subscriptions,
        ("GET", "Microsoft.Resources/tenants"): _tenants,
        ("GET", "Microsoft.Resources/locations"): _locations,
        ("GET", "Microsoft.Resources/subscriptions/locations"): _locations,
        ("GET", "Microsoft.Resources/providers"): _providers,
        ("GET", "Microsoft.Resources/resources"): _resources,
        ("GET", "Microsoft.Resources/resourceGroups/resources"): _resources,
        ("POST", "*/register"): _register,
        ("POST", "*/unregister"): _register,
        **operation_functions(RESOURCES),
    },
)
