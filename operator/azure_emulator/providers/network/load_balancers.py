"""Load balancers: frontends, backend pools, probes and rules, which refer to each other inside one body.

Backend pools and inbound NAT rules can also be written by themselves; the other parts live in the balancer's body only.
Nothing is balanced here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, rules
from azure_emulator.arm_path import parse
from azure_emulator.providers.network import addresses, public_addresses, subnets
from azure_emulator.providers.network.base import (
    BASE,
    CHILD,
    bad_format,
    identify,
    in_region,
    part_functions,
    provisioned,
    put,
    refusal,
    with_guid,
)
from azure_emulator.providers.network.names import (
    BACKEND_POOL,
    INBOUND_NAT_RULE,
    LOAD_BALANCER,
    NIC,
    SCALE_SET,
)
from azure_emulator.store import Resource, resource_ids
from azure_emulator.types import Answer, Call, Change, Function

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

SKUS = ("Basic", "Standard", "Gateway")
# The parts that have no life of their own, with what Azure fills in where a body says nothing.
PARTS: dict[str, dict[str, Any]] = {
    "frontendIPConfigurations": {},
    "probes": {"intervalInSeconds": 15, "numberOfProbes": 2, "probeThreshold": 1},
    "loadBalancingRules": {
        "enableFloatingIP": False, "idleTimeoutInMinutes": 4, "enableTcpReset": False, "disableOutboundSnat": False,
        "loadDistribution": "Default", "allowBackendPortConflict": False,
    },
    "outboundRules": {"allocatedOutboundPorts": 0, "idleTimeoutInMinutes": 4, "enableTcpReset": False},
    "inboundNatPools": {"enableFloatingIP": False, "idleTimeoutInMinutes": 4, "enableTcpReset": False},
}  # fmt: skip
# What shows which rules refer to it: part -> members that say so.
_SHOW_REFERRERS = {
    "frontendIPConfigurations": ("loadBalancingRules", "outboundRules", "inboundNatRules", "inboundNatPools"),
    "probes": ("loadBalancingRules",),
    "backendAddressPools": ("loadBalancingRules", "outboundRules", "inboundNatRules"),
}
_REQUIRED = {
    "probes": ("protocol", "port"),
    "loadBalancingRules": ("protocol", "frontendPort", "backendPort", "frontendIPConfiguration"),
    "outboundRules": ("protocol", "frontendIPConfigurations", "backendAddressPool"),
}
# Assumptions: codes of refusals that are documented but not recorded.
SKU_MISMATCH = "LoadBalancerAndPublicIPAddressSkuMismatch"
SAME_FRONTEND_PORT = "RulesUseSameFrontendPortProtocolAndIPConfig"
POOL_IN_USE = "InUseBackendAddressPoolCannotBeDeleted"
NO_FRONTEND = "LoadBalancerFrontendIPConfigurationInvalid"


# -- the check -------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    properties = change.properties
    if bodies.get(change.body, "sku.name") not in SKUS:
        raise bad_format(f"The sku of load balancer {change.id} must be one of {', '.join(SKUS)}.", target="sku")
    for name, defaults in PARTS.items():
        parts = properties.setdefault(name, [])
        identify(change, name, parts)
        for part in parts:
            bodies.with_defaults(part["properties"], defaults)
            for required in _REQUIRED.get(name, ()):
                if not part["properties"].get(required):
                    raise bad_format(f"{part['id']} has no {required}.", target=required)
    _configure_frontends(change)
    _check_inner_references(change)
    _check_rules_apart(properties["loadBalancingRules"])
    _refuse_pool_in_scale_set(change)
    with_guid(change)


def _configure_frontends(change: Change) -> None:
    before = {str(item.get("name")).lower(): item for item in change.old.get("frontendIPConfigurations", [])}
    allotted: list[list[str]] = []
    for item in change.properties["frontendIPConfigurations"]:
        inner = item["properties"]
        found = [name for name in ("subnet", "publicIPAddress", "publicIPPrefix") if bodies.get(inner, f"{name}.id")]
        if len(found) != 1:
            raise refusal(
                NO_FRONTEND,
                f"Frontend {item['id']} must refer to exactly one of subnet, publicIPAddress and publicIPPrefix.",
            )
        inner.setdefault("privateIPAllocationMethod", "Dynamic")
        if found[0] == "subnet":
            allotted.append(_private_frontend(change, inner, before.get(str(item["name"]).lower())))
        elif found[0] == "publicIPAddress":
            _public_frontend(change, inner)
        else:
            prefix = provisioned(change, str(inner["publicIPPrefix"]["id"]), "PutPublicIpPrefixOperation")
            in_region(change, prefix)
    change.internal["addresses"] = allotted


def _private_frontend(change: Change, inner: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    subnet = subnets.provisioned_subnet(change, str(inner["subnet"]["id"]))
    inner["subnet"] = {"id": subnet.id}
    inner.setdefault("privateIPAddressVersion", "IPv4")
    kept = None
    if before is not None and bodies.same(bodies.get(before, "properties.subnet.id"), subnet.id):
        kept = bodies.get(before, "properties.privateIPAddress")
    wanted = inner.get("privateIPAddress") if inner["privateIPAllocationMethod"] == "Static" else kept
    inner["privateIPAddress"] = addresses.allot(change.engine, subnet, change.id, wanted)
    return [subnet.key, str(inner["privateIPAddress"])]


def _public_frontend(change: Change, inner: dict[str, Any]) -> None:
    inner.pop("privateIPAddress", None)
    address = public_addresses.free_address(change, inner["publicIPAddress"])
    mine, other = bodies.get(change.body, "sku.name"), bodies.get(address.body, "sku.name")
    if "Basic" in (mine, other) and mine != other:
        raise refusal(
            SKU_MISMATCH,
            f"Load balancer {change.id} of sku {mine} cannot use public IP address {address.id} of sku {other}.",
        )


def _check_inner_references(change: Change) -> None:
    """What a part refers to in the same balancer must be there (outside of it, the engine looks)."""
    own = f"{change.path.key}/"
    known = {str(part["id"]).lower() for name in PARTS for part in change.properties[name]}
    kept = {child.key for child in change.engine.store.children(change.id)} - {gone.key for gone in change.omitted}
    known |= kept | {child.path.key for child in change.children}
    for part in (part for name in PARTS for part in change.properties[name]):
        for found in sorted(resource_ids(part["properties"])):
            if found.startswith(own) and found not in known:
                raise errors.invalid_reference(rules.as_sent(part["properties"], found), str(part["id"]))


def _check_rules_apart(found: list[dict[str, Any]]) -> None:
    taken: dict[tuple[str, str, int], str] = {}
    for rule in found:
        inner = rule["properties"]
        frontend = str(bodies.get(inner, "frontendIPConfiguration.id", "")).lower()
        place = (frontend, str(inner["protocol"]).lower(), int(inner["frontendPort"]))
        if place in taken:
            raise refusal(
                SAME_FRONTEND_PORT,
                f"Load balancing rules {taken[place]} and {rule['id']} use the same frontend port, protocol and "
                "frontend IP configuration.",
            )
        taken[place] = str(rule["id"])
        # One pool can be named in two ways; clients read either.
        if inner.get("backendAddressPools") and not inner.get("backendAddressPool"):
            inner["backendAddressPool"] = dict(inner["backendAddressPools"][0])
        elif inner.get("backendAddressPool"):
            inner["backendAddressPools"] = [dict(inner["backendAddressPool"])]


def _scale_sets_at(engine: Engine, pool_id: str) -> list[Resource]:
    return engine.store.referrers(pool_id, SCALE_SET)


def _refuse_pool_in_scale_set(change: Change) -> None:
    for omitted in change.omitted:
        _refuse_used(change.engine, omitted, change.id)


def _refuse_used(engine: Engine, pool: Resource, balancer_id: str) -> None:
    holders = _scale_sets_at(engine, pool.id)
    if holders:
        raise refusal(
            "LoadBalancerInUseByVirtualMachineScaleSet",
            f"Cannot delete load balancer {balancer_id} since its child resources {pool.name} are in use by virtual "
            f"machine scale set {holders[0].id}.",
        )


# -- parts that can be written by themselves -------------------------------------------------------------------------


def _check_pool(change: Change) -> None:
    for position, item in enumerate(change.properties.get("loadBalancerBackendAddresses") or []):
        item.setdefault("name", f"address{position}")
        network = bodies.get(item, "properties.virtualNetwork.id")
        if network:
            provisioned(change, str(network), "PutVirtualNetworkOperation")


def _check_nat_rule(change: Change) -> None:
    if not change.properties.get("frontendIPConfiguration"):
        raise bad_format(f"{change.id} has no frontendIPConfiguration.", target="frontendIPConfiguration")
    bodies.with_defaults(
        change.properties, {"enableFloatingIP": False, "idleTimeoutInMinutes": 4, "enableTcpReset": False}
    )
    if change.parent is None:
        balancer = change.engine.require(parse(change.path.parent))
        known = {str(item["id"]).lower() for item in balancer.properties["frontendIPConfigurations"]}
        wanted = str(bodies.get(change.properties, "frontendIPConfiguration.id", ""))
        if wanted.lower() not in known:
            raise errors.invalid_reference(wanted, change.id)


def _check_delete_pool(engine: Engine, pool: Resource, query: Mapping[str, str]) -> None:
    del query
    _refuse_used(engine, pool, pool.parent)


def _refuse_in_rule(call: Call) -> None:
    """A pool that a rule of its balancer names cannot be deleted by itself; with the balancer it can."""
    pool = call.engine.store.get(call.path.text)
    balancer = call.engine.store.get(pool.parent) if pool is not None else None
    if pool is None or balancer is None:
        return
    holders = [part["id"] for name in ("loadBalancingRules", "outboundRules")
             for part in _referring(balancer, name, pool.id)]  # fmt: skip
    if holders:
        raise refusal(
            POOL_IN_USE,
            f"Backend address pool {pool.id} cannot be deleted because it is in use by the following resources: "
            f"{', '.join(holders)}.",
        )


def _leave(engine: Engine, part: Resource) -> None:
    """A pool or rule that goes is taken out of the interfaces that were in it."""
    name = "loadBalancerBackendAddressPools" if part.type == BACKEND_POOL else "loadBalancerInboundNatRules"
    for nic in engine.store.referrers(part.id, NIC):
        for item in nic.properties["ipConfigurations"]:
            inner = item["properties"]
            inner[name] = [one for one in inner.get(name) or [] if str(one.get("id", "")).lower() != part.key]
        engine.touch(nic)


# -- what is shown ---------------------------------------------------------------------------------------------------


def _referring(balancer: Resource, name: str, part_id: str) -> Iterator[dict[str, Any]]:
    for part in balancer.properties.get(name) or []:
        if part_id.lower() in resource_ids(part["properties"]):
            yield part


def _show_referrers(
    engine: Engine, balancer: Resource, collection: str, part_id: str, properties: dict[str, Any]
) -> None:
    nat_rules = engine.store.children(balancer.id, INBOUND_NAT_RULE)
    for name in _SHOW_REFERRERS[collection]:
        if name == "inboundNatRules":
            found = [{"id": rule.id} for rule in nat_rules if part_id.lower() in resource_ids(rule.body)]
        else:
            found = [{"id": part["id"]} for part in _referring(balancer, name, part_id)]
        if found:
            properties[name] = found


def _members(engine: Engine, part: Resource) -> list[dict[str, Any]]:
    """The IP configurations that are in a pool, or that a rule leads to."""
    name = "loadBalancerBackendAddressPools" if part.type == BACKEND_POOL else "loadBalancerInboundNatRules"
    return [
        {"id": item["id"], "name": item["name"], "nic": nic, "properties": item["properties"]}
        for nic in engine.store.referrers(part.id, NIC)
        for item in nic.properties["ipConfigurations"]
        if any(bodies.same(one.get("id"), part.id) for one in item["properties"].get(name) or [])
    ]


def _view(engine: Engine, balancer: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    properties = shown["properties"]
    for collection in ("frontendIPConfigurations", "probes"):
        for part in properties[collection]:
            _show_referrers(engine, balancer, collection, part["id"], part["properties"])
    for part in (part for name in PARTS for part in properties[name]):
        part["etag"] = balancer.etag


def _view_pool(engine: Engine, pool: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    balancer, properties = engine.store.get(pool.parent), shown["properties"]
    if balancer is not None:
        _show_referrers(engine, balancer, "backendAddressPools", pool.id, properties)
    found = _members(engine, pool)
    if found:
        properties["backendIPConfigurations"] = [{"id": item["id"]} for item in found]
    properties["loadBalancerBackendAddresses"] = [
        *(properties.get("loadBalancerBackendAddresses") or []),
        *({"name": f"{item['nic'].resource_group}_{item['nic'].name}{item['name']}",
           "properties": {"networkInterfaceIPConfiguration": {"id": item["id"]}}} for item in found),
    ]  # fmt: skip


def _view_nat_rule(engine: Engine, rule: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    found = _members(engine, rule)
    if found:
        shown["properties"]["backendIPConfiguration"] = {"id": found[0]["id"]}


# -- the types, and what is asked of them ----------------------------------------------------------------------------


def _interfaces(call: Call) -> Answer:
    engine = call.engine
    balancer = engine.require(parse(call.path.parent))
    found: dict[str, Resource] = {}
    for part in engine.store.children(balancer.id):
        found |= {item["nic"].key: item["nic"] for item in _members(engine, part)}
    return engine.page(call, list(found.values()))


TYPES = (
    replace(
        BASE,
        name=LOAD_BALANCER,
        put=put(6),
        # Basic load balancers were retired on 2025-09-30, so Standard is what one gets.
        defaults={"sku.name": "Standard", "sku.tier": "Regional"},
        embedded={"backendAddressPools": BACKEND_POOL, "inboundNatRules": INBOUND_NAT_RULE},
        read_only=("properties.resourceGuid",),
        immutable=("sku.name",),
        serialised=LOAD_BALANCER,
        delete_first=60,
        check=_check,
        view=_view,
        depth="frontends with addresses, pools, probes and rules that refer to each other, back references",
    ),
    replace(
        CHILD,
        name=BACKEND_POOL,
        put=put(5),
        serialised=LOAD_BALANCER,
        linked_action="join/action",
        read_only=("properties.backendIPConfigurations", "properties.loadBalancingRules", "properties.outboundRules",
                   "properties.outboundRule", "properties.inboundNatRules"),
        check=_check_pool,
        check_delete=_check_delete_pool,
        deleted=_leave,
        view=_view_pool,
        depth="shows the interfaces that are in it, leaves them when it goes, stays while a scale set uses it",
    ),
    replace(
        CHILD,
        name=INBOUND_NAT_RULE,
        put=put(5),
        serialised=LOAD_BALANCER,
        linked_action="join/action",
        read_only=("properties.backendIPConfiguration",),
        check=_check_nat_rule,
        deleted=_leave,
        view=_view_nat_rule,
        depth="needs a frontend of its balancer, shows the interface that it leads to",
    ),
)  # fmt: skip
FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", f"{LOAD_BALANCER}/networkInterfaces"): _interfaces,
    ("DELETE", BACKEND_POOL): _refuse_in_rule,
}
for _part in PARTS:
    FUNCTIONS |= part_functions(LOAD_BALANCER, _part)
