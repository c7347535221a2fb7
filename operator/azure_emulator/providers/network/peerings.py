"""Peerings of virtual networks: one resource on each side, and what one does to the other.

A peering is Initiated until the other side has one too, then both are Connected; when one side goes, the other one is
Disconnected until it is written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.network import addresses, exclusion
from azure_emulator.providers.network.base import CHILD, provisioned, put, refusal
from azure_emulator.providers.network.names import GATEWAY, PEERING, SUBNET, VNET
from azure_emulator.types import Change, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

INITIATED, CONNECTED, DISCONNECTED = "Initiated", "Connected", "Disconnected"
# Assumptions: the codes of these refusals are not recorded; that the rules exist is documented (virtual-network
# docs, manage a peering: requirements and constraints).
NO_TRANSIT = "RemotePeeringDoesNotAllowGatewayTransit"
OWN_GATEWAY = "VnetHasGatewayAndUseRemoteGateways"
SECOND_REMOTE_GATEWAY = "MultiplePeeringsWithUseRemoteGateways"

_FLAGS = ("allowVirtualNetworkAccess", "allowForwardedTraffic", "allowGatewayTransit", "useRemoteGateways",
          "doNotVerifyRemoteGateways")  # fmt: skip


def remote_of(peering: Resource) -> str:
    """Id of the network on the other side."""
    return str(bodies.get(peering.properties, "remoteVirtualNetwork.id", ""))


def opposite(engine: Engine, local: str, remote: str) -> Resource | None:
    """The peering on the other side, if there is one."""
    return next(
        (found for found in engine.store.children(remote, PEERING) if remote_of(found).lower() == local.lower()), None
    )


def differs(existing: Resource, sent: Mapping[str, Any]) -> bool:
    """Whether a body wants something else of a peering than what it is."""
    wanted = sent.get("properties") or {}
    return any(
        name in wanted and not bodies.same(wanted[name], existing.properties.get(name, False)) for name in _FLAGS
    )


# -- the check -------------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    local = change.path.parent
    exclusion.refuse_busy(change, local)
    remote = provisioned(
        change, str(bodies.get(change.properties, "remoteVirtualNetwork.id", "")), "PutVirtualNetworkOperation"
    )
    change.properties["remoteVirtualNetwork"] = {"id": remote.id}
    _refuse_busy_remote(change, remote)
    _check_only_one(change, remote)
    there = opposite(change.engine, local, remote.id)
    if there is not None and there.properties.get("peeringState") == DISCONNECTED:
        raise refusal(
            "RemotePeeringIsDisconnected",
            f"Cannot create or update peering {change.id} because remote peering {there.id} referencing parent virtual "
            f"network {local} is in Disconnected state. Update or re-create the remote peering to get it back to "
            "Initiated state. Peering gets Disconnected when remote vnet or remote peering is deleted and re-created.",
        )
    space = _local_space(change)
    _check_overlap(change, local, space, remote)
    _check_gateways(change, local, remote, there)
    _note_spaces(change, space, remote)


def _refuse_busy_remote(change: Change, remote: Resource) -> None:
    """The other network must not be in the middle of a write either."""
    for subnet in change.engine.store.children(remote.id, SUBNET):
        provisioned(change, subnet.id, "PutSubnetOperation")
    exclusion.refuse_busy_network(change, remote.id)


def _local_space(change: Change) -> list[str]:
    if change.parent is not None:
        return addresses.space_of(change.parent.properties)
    vnet = change.engine.store.get(change.path.parent)
    return addresses.space_of(vnet.properties) if vnet is not None else []


def _check_only_one(change: Change, remote: Resource) -> None:
    for other in change.engine.store.children(change.path.parent, PEERING):
        if other.key != change.path.key and remote_of(other).lower() == remote.key:
            raise refusal(
                "AnotherPeeringAlreadyReferencesRemoteVnet",
                f"Peering {change.id} cannot be created or updated because another peering {other.id} already "
                f"references remote virtual network {remote.id}.",
            )


def _check_overlap(change: Change, local: str, space: list[str], remote: Resource) -> None:
    head = f"Cannot create or update peering {change.id}. Virtual networks {local} and {remote.id} cannot be peered "
    tail = "For more information please refer to https://aka.ms/VnetPeeringInfo"
    theirs = addresses.space_of(remote.properties)
    lost = addresses.overlapping(space, theirs)
    if lost:
        raise refusal(
            "VnetAddressSpacesOverlap",
            f"{head}because their address spaces overlap. Overlapping address prefixes: {', '.join(lost)}. {tail}",
        )
    for first, mine, second, peer in ((local, space, remote.id, "second"), (remote.id, theirs, local, "first")):
        for other in _peers(change.engine, second):
            lost = addresses.overlapping(mine, addresses.space_of(other.properties))
            if other.key != first.lower() and lost:
                which = "first" if peer == "second" else "second"
                raise refusal(
                    "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
                    f"{head}because address space of the {which} virtual network overlaps with address space of "
                    f"virtual network {other.id} already peered with the {peer} virtual network. Overlapping address "
                    f"prefixes: {', '.join(lost)}. {tail}",
                )


def _peers(engine: Engine, vnet_id: str) -> list[Resource]:
    found = [engine.store.get(remote_of(peering)) for peering in engine.store.children(vnet_id, PEERING)]
    return [vnet for vnet in found if vnet is not None]


def has_gateway(engine: Engine, vnet_id: str) -> bool:
    """Whether a network has a gateway of its own."""
    return any(engine.store.referrers(subnet.id, GATEWAY) for subnet in engine.store.children(vnet_id, SUBNET))


def _check_gateways(change: Change, local: str, remote: Resource, there: Resource | None) -> None:
    if not change.properties.get("useRemoteGateways"):
        return
    engine = change.engine
    flag = f"Peering {change.id} cannot have UseRemoteGateway flag set to true because "
    if not change.properties.get("doNotVerifyRemoteGateways") and not has_gateway(engine, remote.id):
        raise refusal(
            "RemoteVnetHasNoGateways",
            f"{flag}remote virtual network {remote.id} referenced by the peering does not have any gateways.",
        )
    if there is not None and not there.properties.get("allowGatewayTransit"):
        raise refusal(NO_TRANSIT, f"{flag}remote peering {there.id} does not have AllowGatewayTransit flag set.")
    if has_gateway(engine, local):
        raise refusal(OWN_GATEWAY, f"{flag}virtual network {local} already has a gateway.")
    for other in engine.store.children(local, PEERING):
        if other.key != change.path.key and other.properties.get("useRemoteGateways"):
            raise refusal(SECOND_REMOTE_GATEWAY, f"{flag}peering {other.id} has it already.")


def _note_spaces(change: Change, space: list[str], remote: Resource) -> None:
    """Which spaces the peering was made for: they are taken again when it is new, or when that is asked for."""
    properties = change.properties
    sync = change.query.get("syncRemoteAddressSpace", "").lower() == "true"
    renewed = properties.get("peeringState") in (None, DISCONNECTED)
    if sync or renewed:
        properties["remoteAddressSpace"] = {"addressPrefixes": addresses.space_of(remote.properties)}
        properties["localAddressSpace"] = {"addressPrefixes": space}
    if renewed:
        properties["peeringState"] = INITIATED
    properties["peerCompleteVnets"] = properties.get("peerCompleteVnets", True)
    if "resourceGuid" not in properties:
        there = opposite(change.engine, change.path.parent, remote.id)
        # Both sides of a peering have the same one.
        properties["resourceGuid"] = there.properties["resourceGuid"] if there is not None else change.engine.guid()


# -- what happens ----------------------------------------------------------------------------------------------------


def _finished(engine: Engine, peering: Resource, operation: Operation) -> None:
    del operation
    there = opposite(engine, peering.parent, remote_of(peering))
    if there is None or not there.complete:
        return
    for side in (peering, there):
        side.properties["peeringState"] = CONNECTED
    engine.touch(there)


def _check_delete(engine: Engine, peering: Resource, query: Mapping[str, str]) -> None:
    del query
    remote = remote_of(peering)
    exclusion.refuse_busy_deletion(engine, peering.parent)
    exclusion.refuse_busy_deletion(engine, remote)
    running = engine.write_under(remote.lower())
    if running is not None:
        raise errors.another_operation_in_progress(engine.operation_uri(running, None))


def _deleted(engine: Engine, peering: Resource) -> None:
    there = opposite(engine, peering.parent, remote_of(peering))
    if there is not None:
        there.properties["peeringState"] = DISCONNECTED
        engine.touch(there)


def _view(engine: Engine, peering: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    del query
    properties = shown["properties"]
    local, remote = engine.store.get(peering.parent), engine.store.get(remote_of(peering))
    if local is None or remote is None:
        return
    there = opposite(engine, local.id, remote.id)
    properties["remoteVirtualNetworkAddressSpace"] = {"addressPrefixes": addresses.space_of(remote.properties)}
    properties["localVirtualNetworkAddressSpace"] = {"addressPrefixes": addresses.space_of(local.properties)}
    here_fits = _in_sync(peering, remote)
    there_fits = there is not None and _in_sync(there, local)
    properties["peeringSyncLevel"] = {
        (True, True): "FullyInSync", (True, False): "RemoteNotInSync", (False, True): "LocalNotInSync",
        (False, False): "LocalAndRemoteNotInSync",
    }[here_fits, there_fits]  # fmt: skip


def _in_sync(peering: Resource, remote: Resource) -> bool:
    known = bodies.get(peering.properties, "remoteAddressSpace.addressPrefixes") or []
    return set(known) == set(addresses.space_of(remote.properties))


TYPE = replace(
    CHILD,
    name=PEERING,
    # Assumption: some seconds more than a subnet, since two networks are written.
    put=put(8),
    delete=Verb(seconds=10),
    required=("properties.remoteVirtualNetwork.id",),
    defaults={"properties.allowVirtualNetworkAccess": True, "properties.allowForwardedTraffic": False,
              "properties.allowGatewayTransit": False, "properties.useRemoteGateways": False,
              "properties.doNotVerifyRemoteGateways": False},
    read_only=("properties.peeringState", "properties.peeringSyncLevel", "properties.resourceGuid",
               "properties.remoteAddressSpace", "properties.localAddressSpace",
               "properties.remoteVirtualNetworkAddressSpace", "properties.localVirtualNetworkAddressSpace",
               "properties.remoteVirtualNetworkEncryption"),
    immutable=("properties.remoteVirtualNetwork.id",),
    serialised=VNET,
    # The other network may be deleted: then the peering is Disconnected, and goes on naming it.
    loose=(VNET,),
    check=_check,
    finished=_finished,
    check_delete=_check_delete,
    deleted=_deleted,
    view=_view,
    depth="state and sync level on both sides, overlaps refused, gateway transit, both networks busy meanwhile",
)  # fmt: skip
