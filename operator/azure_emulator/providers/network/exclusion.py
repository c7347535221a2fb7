"""One write at a time under a virtual network, also for what is not below it by its id.

The engine sees to writes of a virtual network and its children. A peering writes on both of its networks, and a private
endpoint on the network that it is put into; those are told by their references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator import errors
from azure_emulator.providers.network.names import ENDPOINT, PEERING, SUBNET
from azure_emulator.store import Resource
from azure_emulator.types import Change

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation


def running_writer(engine: Engine, vnet_id: str) -> tuple[Resource, Operation] | None:
    """A peering or private endpoint elsewhere whose write concerns this network, with its operation."""
    outside = engine.store.referrers(vnet_id, PEERING)
    for subnet in engine.store.children(vnet_id, SUBNET):
        outside += engine.store.referrers(subnet.id, ENDPOINT)
    for writer in outside:
        running = engine.running(writer)
        if running is not None:
            return writer, running
    return None


def refuse_busy(change: Change, vnet_id: str) -> None:
    """Refuse a write of a network or of a child of it while something outside of it writes on it."""
    if change.parent is not None:
        return  # the parent was asked
    _refuse(change.engine, vnet_id, change)


def refuse_busy_deletion(engine: Engine, vnet_id: str) -> None:
    """The same for a deletion."""
    _refuse(engine, vnet_id, None)


def refuse_busy_network(change: Change, vnet_id: str) -> None:
    """Refuse what is outside of a network and writes on it, while a write runs below that network."""
    running = change.engine.write_under(vnet_id.lower())
    if running is not None:
        raise errors.another_operation_in_progress(change.engine.operation_uri(running, None))


def _refuse(engine: Engine, vnet_id: str, change: Change | None) -> None:
    found = running_writer(engine, vnet_id)
    if found is None:
        return
    error = errors.another_operation_in_progress(engine.operation_uri(found[1], None))
    if change is not None and engine.setting("serialisedWrites", "refused") == "failed":
        change.failure = change.failure or error
        return
    raise error
