"""What NetApp tells of a region: limits and usages, zones, whether names, paths and quota are free, sibling sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import errors, locations
from azure_emulator.arm_path import parse
from azure_emulator.following import follow
from azure_emulator.providers import usages
from azure_emulator.providers.netapp.common import (
    ACCOUNT,
    LIMITS,
    NAME,
    POOL,
    TIB,
    VOLUME,
    limit,
    provisioned,
)
from azure_emulator.providers.netapp.volumes import SIBLINGS, UPDATE_SIBLINGS, token_holder
from azure_emulator.types import Answer, Call, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

_FEATURES = ("Basic", "Standard", "Basic_Standard", "Standard_Basic")


# -- limits and usages -----------------------------------------------------------------------------------------------


def _usage(engine: Engine, subscription: str, location: str, name: str) -> int | None:
    """What is in use of a quota of the region; None for those that are per account, pool or volume."""
    match name:
        case "totalTiBsPerSubscription":
            return provisioned(engine, subscription, location) // TIB
        case "accountsPerSubscription":
            return len(engine.store.in_region(ACCOUNT, subscription, location))
        case "totalVolumesPerSubscription":
            return len(engine.store.in_region(VOLUME, subscription, location))
        case "totalCoolAccessVolumesPerSubscription":
            return _count(engine, subscription, location, "coolAccess", value=True)
        case "totalDPVolumesPerSubscription":
            return _count(engine, subscription, location, "volumeType", value="DataProtection")
    return None


def _count(engine: Engine, subscription: str, location: str, name: str, *, value: object) -> int:
    volumes = engine.store.in_region(VOLUME, subscription, location)
    return sum(1 for volume in volumes if volume.properties.get(name) == value)


def _quota_limits(call: Call) -> Answer:
    location = usages.location_of(call)
    head = f"/subscriptions/{call.subscription}/providers/Microsoft.NetApp/locations/{location}/quotaLimits"

    def row(name: str) -> dict[str, Any]:
        return {
            "id": f"{head}/{name}", "name": f"{location}/{name}", "type": "Microsoft.NetApp/locations/quotaLimits",
            "properties": {"current": limit(call.engine, location, name), "default": LIMITS[name],
                           "usage": _usage(call.engine, call.subscription, location, name)},
        }  # fmt: skip

    return _one_or_all(call, {name: row(name) for name in LIMITS})


def _account_limits(call: Call) -> Answer:
    account = call.engine.require(parse(call.path.parent))
    pools = call.engine.store.children(account.id, POOL)
    used = {"poolsPerAccount": len(pools), "volumesPerPool": None, "snapshotsPerVolume": None}
    rows = {
        name: {
            "id": f"{account.id}/quotaLimits/{name}", "name": f"{account.name}/{name}",
            "type": f"{ACCOUNT}/quotaLimits",
            "properties": {"current": limit(call.engine, account.location, name), "default": LIMITS[name],
                           "usage": count},
        }
        for name, count in used.items()
    }  # fmt: skip
    return _one_or_all(call, rows)


def _usages(call: Call) -> Answer:
    location = usages.location_of(call)
    head = f"/subscriptions/{call.subscription}/providers/Microsoft.NetApp/locations/{location}/usages"
    rows = {}
    for name in LIMITS:
        used = _usage(call.engine, call.subscription, location, name)
        if used is not None:
            rows[name] = {
                "id": f"{head}/{name}", "name": {"value": name, "localizedValue": name},
                "properties": {"currentValue": used, "limit": limit(call.engine, location, name), "unit": "Count"},
            }  # fmt: skip
    return _one_or_all(call, rows)


def _one_or_all(call: Call, rows: dict[str, dict[str, Any]]) -> Answer:
    if not call.path.is_resource:
        return Answer(200, {"value": list(rows.values())})
    for name, row in rows.items():
        if name.lower() == call.path.name.lower():
            return Answer(200, row)
    raise errors.resource_not_found(call.path.type_name, "/".join(call.path.names), call.path.resource_group or "")


# -- regions ---------------------------------------------------------------------------------------------------------


def _region(location: str) -> dict[str, Any]:
    return {
        "storageToNetworkProximity": "T1AndT2AndAcrossT2",
        "availabilityZoneMappings": [
            {"availabilityZone": zone, "isAvailable": True} for zone in locations.zones(location)
        ],
    }


def _region_info(call: Call) -> Answer:
    return Answer(200, _region(usages.location_of(call)))


def _region_infos(call: Call) -> Answer:
    location = usages.location_of(call)
    head = f"/subscriptions/{call.subscription}/providers/Microsoft.NetApp/locations/{location}/regionInfos"
    row = {"id": f"{head}/default", "name": f"{location}/default", "type": "Microsoft.NetApp/locations/regionInfos",
           "properties": _region(location)}  # fmt: skip
    return _one_or_all(call, {"default": row})


# -- what is free ----------------------------------------------------------------------------------------------------


def _body(call: Call, *names: str) -> dict[str, str]:
    body = call.body if isinstance(call.body, dict) else {}
    for name in names:
        if not body.get(name):
            raise errors.bad_request("MissingValue", f"Missing value for '{name}'.", target=name)
    return {str(name): str(value) for name, value in body.items()}


def _available(reason: str = "", message: str = "") -> Answer:
    if not reason:
        return Answer(200, {"isAvailable": True})
    return Answer(200, {"isAvailable": False, "reason": reason, "message": message})


def _check_name(call: Call) -> Answer:
    usages.location_of(call)
    body = _body(call, "name", "type", "resourceGroup")
    kind, names = body["type"], body["name"].split("/")
    if not all(NAME.match(name) for name in names):
        return _available("Invalid", f"The name {body['name']} is not valid.")
    group = f"/subscriptions/{call.subscription}/resourceGroups/{body['resourceGroup']}/".lower()
    for resource in call.engine.store.of_type(kind):
        path = parse(resource.id)
        same = [name.lower() for name in path.names[-len(names) :]] == [name.lower() for name in names]
        if same and resource.key.startswith(group):
            return _available("AlreadyExists", "Name already in use.")
    return _available()


def _check_path(call: Call) -> Answer:
    usages.location_of(call)
    body = _body(call, "name", "subnetId")
    if token_holder(call.engine, body["name"], body["subnetId"]) is not None:
        return _available("AlreadyExists", "File path already in use.")
    return _available()


def _check_quota(call: Call) -> Answer:
    location = usages.location_of(call)
    body = _body(call, "name", "type", "resourceGroup")
    quota = {ACCOUNT.lower(): "accountsPerSubscription", POOL.lower(): "totalTiBsPerSubscription",
             VOLUME.lower(): "totalVolumesPerSubscription"}.get(body["type"].lower())  # fmt: skip
    used = _usage(call.engine, call.subscription, location, quota) if quota is not None else None
    if quota is not None and used is not None and used >= limit(call.engine, location, quota):
        return _available("Invalid", f"The quota {quota} of {location} is used up.")
    return _available()


# -- sibling sets ----------------------------------------------------------------------------------------------------


def _siblings(call: Call) -> list[Resource]:
    body = _body(call, "networkSiblingSetId", "subnetId")
    found = [
        volume for volume in call.engine.store.referrers(body["subnetId"], VOLUME)
        if volume.properties["networkSiblingSetId"] == body["networkSiblingSetId"]
    ]  # fmt: skip
    if not found:
        raise errors.ArmError(
            errors.NOT_FOUND, "NetworkSiblingSetNotFound",
            f"The network sibling set {body['networkSiblingSetId']} was not found in subnet {body['subnetId']}.",
        )  # fmt: skip
    return found


def _shown_set(volumes: list[Resource], state: str) -> dict[str, Any]:
    first = volumes[0].properties
    return {
        "networkSiblingSetId": first["networkSiblingSetId"], "subnetId": first["subnetId"],
        "networkSiblingSetStateId": volumes[0].internal.get("siblingState", "1"),
        "networkFeatures": first["networkFeatures"], "provisioningState": state,
        "nicInfoList": [
            {"ipAddress": volume.internal["address"], "volumeResourceIds": [volume.id]} for volume in volumes
        ],
    }  # fmt: skip


def _query_siblings(call: Call) -> Answer:
    usages.location_of(call)
    volumes = _siblings(call)
    busy = any(call.engine.running(volume) is not None for volume in volumes)
    return Answer(200, _shown_set(volumes, "Updating" if busy else "Succeeded"))


def _update_siblings(call: Call) -> Answer:
    """The one way to change the network features of volumes: of all in a subnet at once."""
    engine = call.engine
    usages.location_of(call)
    body = _body(call, "networkSiblingSetId", "subnetId", "networkSiblingSetStateId", "networkFeatures")
    volumes = _siblings(call)
    if body["networkFeatures"] not in _FEATURES:
        raise errors.bad_request(
            "InvalidValueReceived",
            f"An invalid value '{body['networkFeatures']}' was received for NetworkFeatures. Must be one of "
            f"{', '.join(_FEATURES)}.",
        )
    if body["networkSiblingSetStateId"] != volumes[0].internal.get("siblingState", "1"):
        raise errors.precondition_failed(body["networkSiblingSetStateId"])
    operation = engine.begin_action(volumes[0], UPDATE_SIBLINGS, f"POST {SIBLINGS}", api_version=call.api_version)
    for volume in volumes:
        volume.properties["networkFeatures"] = volume.properties["effectiveNetworkFeatures"] = body["networkFeatures"]
        volume.internal["siblingState"] = str(int(volume.internal.get("siblingState", "1")) + 1)
        engine.store.save(volume)
    operation.output = _shown_set(volumes, "Succeeded")
    kind = engine.types[VOLUME.lower()]
    return Answer(202, None, follow(engine, call.base_url, call.api_version, kind, operation, "POST"))


_REGION = "Microsoft.NetApp/locations"

FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", f"{_REGION}/quotaLimits"): _quota_limits,
    ("GET", f"{ACCOUNT}/quotaLimits"): _account_limits,
    ("GET", f"{_REGION}/usages"): _usages,
    ("GET", f"{_REGION}/regionInfo"): _region_info,
    ("GET", f"{_REGION}/regionInfos"): _region_infos,
    ("POST", f"{_REGION}/checkNameAvailability"): _check_name,
    ("POST", f"{_REGION}/checkFilePathAvailability"): _check_path,
    ("POST", f"{_REGION}/checkQuotaAvailability"): _check_quota,
    ("POST", f"{_REGION}/queryNetworkSiblingSet"): _query_siblings,
    ("POST", f"{_REGION}/updateNetworkSiblingSet"): _update_siblings,
}
