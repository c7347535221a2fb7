"""Bastion hosts."""

from __future__ import annotations

from dataclasses import replace

from azure_emulator import bodies, errors
from azure_emulator.providers.network import addresses, public_addresses, subnets
from azure_emulator.providers.network.base import BASE, identify, put, refusal
from azure_emulator.providers.network.names import BASTION, BASTION_SUBNET, VNET
from azure_emulator.store import Resource
from azure_emulator.types import Action, Answer, Call, Change, Patch, Verb

SMALLEST_SUBNET = 26
FEATURES = ("disableCopyPaste", "enableTunneling", "enableIpConnect", "enableShareableLink", "enableFileCopy",
            "enableKerberos", "enableSessionRecording")  # fmt: skip
SKUS = ("Basic", "Standard", "Premium", "Developer")
# Scale units can be chosen from Standard up (azure-docs, bastion configuration settings).
FEWEST_UNITS, MOST_UNITS = 2, 50
# Assumptions, no recording seen: the codes with which Bastion refuses what it cannot use.
BAD_SUBNET = "BastionHostSubnetInvalid"
BAD_ADDRESS = "BastionHostPublicIPInvalid"
BAD_SKU = "BastionHostSkuInvalid"
DOWNGRADE = "BastionHostSkuDowngradeNotSupported"
BAD_UNITS = "BastionHostScaleUnitsInvalid"


def _check(change: Change) -> None:
    sku = bodies.get(change.body, "sku.name")
    if sku not in SKUS:
        raise refusal(BAD_SKU, f"Sku {sku} of Bastion {change.id} must be one of {', '.join(SKUS)}.")
    _check_sku_change(change, str(sku))
    if sku == "Developer":
        _check_developer(change)
    else:
        _check_configurations(change)
    units = change.properties.setdefault("scaleUnits", FEWEST_UNITS)
    if not isinstance(units, int) or not FEWEST_UNITS <= units <= MOST_UNITS:
        raise refusal(
            BAD_UNITS, f"Bastion {change.id} can have from {FEWEST_UNITS} to {MOST_UNITS} scale units, not {units}."
        )
    if not change.exists:
        change.properties["dnsName"] = f"bst-{change.engine.guid()}.bastion.azure.com"


def _check_sku_change(change: Change, sku: str) -> None:
    before = bodies.get(change.before, "sku.name")
    if before is not None and SKUS.index(sku) < SKUS.index(before) and "Developer" not in (before, sku):
        raise refusal(DOWNGRADE, f"Bastion {change.id} cannot be changed from sku {before} to {sku}.")


def _check_developer(change: Change) -> None:
    """The Developer sku is shared and has no addresses of its own."""
    network = str(bodies.get(change.properties, "virtualNetwork.id", ""))
    found = change.engine.store.get(network)
    if found is None or found.type != VNET:
        raise refusal(BAD_SUBNET, f"Bastion {change.id} of sku Developer needs the id of a virtual network.")


def _check_configurations(change: Change) -> None:
    configurations = change.properties.get("ipConfigurations")
    if not isinstance(configurations, list) or not configurations:
        raise errors.bad_request(BAD_SUBNET, f"Bastion {change.id} needs one of ipConfigurations.")
    identify(change, "bastionHostIpConfigurations", configurations)
    for item in configurations:
        inner = item["properties"]
        subnet_id = str(bodies.get(inner, "subnet.id", ""))
        if not subnet_id.lower().endswith(f"/subnets/{BASTION_SUBNET.lower()}"):
            raise errors.bad_request(
                BAD_SUBNET, f"Bastion {change.id} can only be created in a subnet named {BASTION_SUBNET}."
            )
        subnet = subnets.provisioned_subnet(change, subnet_id)
        if addresses.prefixes(subnet)[0].prefixlen > SMALLEST_SUBNET:
            raise errors.bad_request(
                BAD_SUBNET, f"The address range of {subnet.id} must be /{SMALLEST_SUBNET} or larger."
            )
        _refuse_second(change, subnet)
        inner["subnet"] = {"id": subnet.id}
        public_addresses.require_standard_address(change, inner.get("publicIPAddress"), BAD_ADDRESS)
        inner["privateIPAllocationMethod"] = "Dynamic"


def _refuse_second(change: Change, subnet: Resource) -> None:
    for holder in change.engine.store.referrers(subnet.id, BASTION):
        if holder.key != change.path.key:
            raise refusal(BAD_SUBNET, f"Subnet {subnet.id} has a Bastion already: {holder.id}.")


def _no_sessions(call: Call, bastion: Resource) -> Answer:
    """Nobody ever logs in through an emulated Bastion."""
    del call, bastion
    return Answer(200, {"value": []})


TYPE = replace(
    BASE,
    name=BASTION,
    put=put(480),
    patch=Patch(seconds=60, status=202, allowed=frozenset({"tags", "identity"})),
    delete=Verb(seconds=240),
    defaults={"sku.name": "Standard", **{f"properties.{name}": False for name in FEATURES}},
    read_only=("properties.dnsName",),
    delete_first=40,
    actions={"getActiveSessions": Action(run=_no_sessions), "getShareableLinks": Action(run=_no_sessions)},
    check=_check,
    depth="needs AzureBastionSubnet of /26 or larger and a Standard static address, skus only grow",
)
