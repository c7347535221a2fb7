"""What StorageCache tells of a subscription: skus, usages, and whether a subnet is large enough for Lustre."""

from __future__ import annotations

from typing import Any

from azure_emulator import bodies, errors, locations
from azure_emulator.providers import usages
from azure_emulator.providers.storage_cache.common import (
    BAD_SUBNET,
    FILE_SYSTEM,
    FILE_SYSTEMS,
    SKUS,
    USAGE,
    Sku,
    addresses_needed,
    rounded,
    sku_of,
    why_too_small,
)
from azure_emulator.types import Answer, Call, Function


def _capacity(call: Call) -> float:
    sku = sku_of(bodies.get(call.body or {}, "sku.name"))
    return rounded(bodies.get(call.body or {}, "storageCapacityTiB"), sku)


def _required_size(call: Call) -> Answer:
    """POST …/getRequiredAmlFSSubnetsSize: a number of addresses."""
    return Answer(200, {"filesystemSubnetSize": addresses_needed(call.engine, _capacity(call))})


def _check_subnet(call: Call) -> Answer:
    """POST …/checkAmlFSSubnets: 200 without a body, or what is wrong with the subnet."""
    engine, capacity = call.engine, _capacity(call)
    subnet_id = str(bodies.get(call.body or {}, "filesystemSubnet") or "")
    subnet = engine.store.get(subnet_id)
    needed = addresses_needed(engine, capacity)
    problem = (
        f"The subnet {subnet_id} was not found."
        if subnet is None
        else why_too_small(engine, subnet, needed, f"a file system of {capacity:g} TiB")
    )
    if problem is None:
        return Answer(200)
    # The details stand beside ARM's error: the SDK's model of this refusal is made of them.
    error = errors.bad_request(BAD_SUBNET, problem, target="filesystemSubnet").body()
    return Answer(400, {**error, "filesystemSubnet": {"status": "Invalid", "message": problem}})


def _usages(call: Call) -> Answer:
    location = usages.location_of(call)
    used = len(call.engine.store.in_region(FILE_SYSTEM, call.subscription, location))
    allowed = usages.limit(call.engine, location, USAGE, FILE_SYSTEMS)
    return Answer(200, {"value": [usages.row(USAGE, "AML File Systems", used, allowed)]})


def _skus(call: Call) -> Answer:
    del call
    return Answer(200, {"value": [_sku(name, sku, place) for name, sku in SKUS.items() for place in locations.REGIONS]})


def _sku(name: str, sku: Sku, location: str) -> dict[str, Any]:
    capabilities = {
        "OSS capacity increment (TiB)": sku.step, "bandwidth increment (MB/s/TiB)": sku.throughput,
        "default maximum capacity (TiB)": sku.usual, "large cluster maximum capacity (TiB)": sku.largest,
    }  # fmt: skip
    return {
        "resourceType": "amlFilesystems", "name": name, "locations": [location],
        "locationInfo": [{"location": location, "zones": locations.zones(location)}], "restrictions": [],
        "capabilities": [{"name": key, "value": str(value)} for key, value in capabilities.items()],
    }  # fmt: skip


FUNCTIONS: dict[tuple[str, str], Function] = {
    ("POST", "Microsoft.StorageCache/getRequiredAmlFSSubnetsSize"): _required_size,
    ("POST", "Microsoft.StorageCache/checkAmlFSSubnets"): _check_subnet,
    ("GET", "Microsoft.StorageCache/locations/usages"): _usages,
    ("GET", "Microsoft.StorageCache/skus"): _skus,
}
