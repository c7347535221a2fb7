"""Subscriptions, tenants, regions, and the checks that ARM itself answers for.

Knows no resource. Which subscriptions exist is the engine's; their names and tags are settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import errors, locations
from azure_emulator.rights import access
from azure_emulator.types import Answer, Call, Provider

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

NAMES_SETTING = "subscriptionNames"
TAGS_SETTING = "subscriptionTags"

# Trademarks that no resource may be named after (azure-docs, error-reserved-resource-name): some as a whole, some as
# a part, some at the beginning.
_RESERVED = frozenset({
    "access", "appcode", "appcompat", "azure", "bing", "cortana", "dynamics", "exchange", "explorer", "excel",
    "forefront", "groove", "hololens", "hyper-v", "hyperv", "kinect", "lync", "msdn", "o365", "office", "office365",
    "onedrive", "onenote", "outlook", "powerpoint", "sharepoint", "skype", "visio", "visualstudio",
})  # fmt: skip
_RESERVED_PARTS = ("microsoft", "windows")
_RESERVED_BEGINNINGS = ("login", "xbox")


def _subscriptions(call: Call) -> Answer:
    engine = call.engine
    if call.path.is_resource:
        return Answer(200, _subscription(engine, engine.subscriptions[call.path.name.lower()]))
    shown = [
        _subscription(engine, identity)
        for identity in engine.subscriptions.values()
        if access.has_any_role(engine, call.principal, identity)
    ]
    return Answer(200, {"value": shown, "count": {"type": "Total", "value": len(shown)}})


def _subscription(engine: Engine, identity: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": f"/subscriptions/{identity}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": identity,
        "tenantId": engine.tenant,
        "displayName": engine.setting(NAMES_SETTING, {}).get(identity.lower(), "Emulated"),
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "EnterpriseAgreement_2014-09-01",
            "spendingLimit": "Off",
        },
    }
    tags = tags_of(engine, identity)
    if tags:
        shown["tags"] = tags
    return shown


def tags_of(engine: Engine, identity: str) -> dict[str, str]:
    """The tags of a subscription."""
    return dict(engine.setting(TAGS_SETTING, {}).get(identity.lower(), {}))


def keep_tags(engine: Engine, identity: str, tags: dict[str, str]) -> None:
    """Give a subscription other tags."""
    engine.store.set(TAGS_SETTING, {**engine.setting(TAGS_SETTING, {}), identity.lower(): tags})


def _rename(call: Call) -> Answer:
    name = call.body.get("subscriptionName") if isinstance(call.body, dict) else None
    if not isinstance(name, str) or not name:
        raise errors.bad_request("BadRequest", "The request needs a subscriptionName.", target="subscriptionName")
    engine = call.engine
    engine.store.set(NAMES_SETTING, {**engine.setting(NAMES_SETTING, {}), call.subscription.lower(): name})
    return Answer(200, {"subscriptionId": engine.subscriptions[call.subscription.lower()]})


def _tenants(call: Call) -> Answer:
    tenant = call.engine.tenant
    shown = {
        "id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": "Emulated", "tenantCategory": "Home",
        "defaultDomain": "emulated.example", "domains": ["emulated.example"], "countryCode": "DE",
    }  # fmt: skip
    return Answer(200, {"value": [shown]})


def _locations(call: Call) -> Answer:
    value = []
    for name, display in locations.REGIONS.items():
        region: dict[str, Any] = {
            "id": f"/subscriptions/{call.subscription}/locations/{name}",
            "name": name,
            "type": "Region",
            "displayName": display,
            "regionalDisplayName": display,
            "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "pairedRegion": []},
        }
        zones = locations.zones(name)
        if zones:
            region["availabilityZoneMappings"] = [
                {"logicalZone": zone, "physicalZone": f"{name}-az{zone}"} for zone in zones
            ]
        value.append(region)
    return Answer(200, {"value": value})


def _check_zone_peers(call: Call) -> Answer:
    body = call.body if isinstance(call.body, dict) else {}
    location = locations.normalise(str(body.get("location", "")))
    if location not in locations.REGIONS:
        raise errors.bad_request(
            "InvalidLocation", f"The provided location '{body.get('location')}' is not valid.", target="location"
        )
    others = [str(one).rsplit("/", 1)[-1] for one in body.get("subscriptionIds") or []]
    # Every emulated subscription numbers its zones alike.
    peers = [
        {
            "availabilityZone": zone,
            "peers": [{"subscriptionId": other, "availabilityZone": zone} for other in others],
        }
        for zone in locations.zones(location)
    ]
    shown = {"subscriptionId": call.subscription, "location": location, "availabilityZonePeers": peers}
    return Answer(200, shown)


def _check_resource_name(call: Call) -> Answer:
    body = call.body if isinstance(call.body, dict) else {}
    name, kind = body.get("name"), body.get("type")
    if not isinstance(name, str) or not isinstance(kind, str):
        raise errors.bad_request("InvalidRequestContent", "The request content was invalid: name and type are needed.")
    word = name.lower()
    reserved = (
        word in _RESERVED
        or any(part in word for part in _RESERVED_PARTS)
        or word.startswith(_RESERVED_BEGINNINGS)
    )  # fmt: skip
    return Answer(200, {"name": name, "type": kind, "status": "Reserved" if reserved else "Allowed"})


PROVIDER = Provider(
    namespace="Microsoft.Resources",
    functions={
        ("GET", "Microsoft.Resources/subscriptions"): _subscriptions,
        ("GET", "Microsoft.Resources/tenants"): _tenants,
        ("GET", "Microsoft.Resources/locations"): _locations,
        ("GET", "Microsoft.Resources/subscriptions/locations"): _locations,
        ("POST", "Microsoft.Resources/checkZonePeers"): _check_zone_peers,
        ("POST", "Microsoft.Resources/checkResourceName"): _check_resource_name,
    },
)
# Renaming is asked of another namespace.
RENAMING = Provider(namespace="Microsoft.Subscription", functions={("POST", "Microsoft.Subscription/rename"): _rename})
