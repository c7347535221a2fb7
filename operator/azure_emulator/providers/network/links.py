"""How services hold subnets: service association links, which stay for a while after the service has left.

Other providers call `hold` when something of theirs moves into a subnet (at the latest when it is done), and
`release_later` when it has been deleted; both may be called as often as one likes. As long as a link is there, the
subnet cannot be deleted nor lose the delegation. Knows no service: whether one is still in a subnet is told by the
references to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator.types import Timer

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

# Assumption: public threads speak of minutes, up to hours, until a subnet is free after its service is gone
# (azure-rest-api-specs#17443 and #10395); nobody has published a figure. Setting `lateFreeingSeconds`.
LATE_FREEING_SECONDS = 180.0
_TIMER = "subnetFreed"
# Links have the name of the subnet and this (azure-rest-api-specs#17443, a MySQL server); services that are not known
# to do otherwise are assumed to do the same.
_NAME = "{subnet}-service-association-link"


def hold(engine: Engine, subnet_id: str, service: str) -> None:
    """Something of a service (such as Microsoft.NetApp/volumes) is in the subnet."""
    subnet = engine.store.get(subnet_id)
    if subnet is not None:
        subnet.internal.setdefault("links", {})[service] = {"free": None}
        engine.store.save(subnet)


def release_later(engine: Engine, subnet_id: str, service: str) -> None:
    """Something of a service has left; if it was the last, the link goes `lateFreeingSeconds` from now."""
    subnet = engine.store.get(subnet_id)
    if subnet is None:
        return
    seconds = float(engine.setting("lateFreeingSeconds", LATE_FREEING_SECONDS))
    subnet.internal.setdefault("links", {})[service] = {"free": engine.now + seconds}
    engine.store.save(subnet)
    engine.later(_TIMER, seconds, subnet.id, service=service)


def _free(engine: Engine, operation: Operation) -> None:
    subnet = engine.store.get(operation.resource)
    service = str(operation.arguments["service"])
    link = subnet.internal.get("links", {}).get(service) if subnet is not None else None
    if subnet is None or link is None or link["free"] is None or link["free"] > engine.now:
        return  # somebody moved in again, or left later
    if not _occupied(engine, subnet, service):
        del subnet.internal["links"][service]
        engine.store.save(subnet)


def _occupied(engine: Engine, subnet: Resource, service: str) -> bool:
    namespace = f"{service.split('/', 1)[0].lower()}/"
    return any(holder.type.lower().startswith(namespace) for holder in engine.store.referrers(subnet.id))


def link_ids(subnet: Resource) -> list[str]:
    """Ids of the links of a subnet."""
    return [_id(subnet) for _ in subnet.internal.get("links", {})]


def linked_services(subnet: Resource) -> list[str]:
    """The services that hold a subnet, as delegations name them."""
    return list(subnet.internal.get("links", {}))


def show(subnet: Resource) -> list[dict[str, Any]]:
    """The links of a subnet as Azure shows them."""
    return [
        {
            "name": _name(subnet), "id": _id(subnet), "etag": subnet.etag,
            "type": f"{subnet.type}/serviceAssociationLinks",
            "properties": {"provisioningState": "Succeeded", "linkedResourceType": service, "allowDelete": False,
                           "enabledForArmDeployments": False, "locations": []},
        }
        for service in subnet.internal.get("links", {})
    ]  # fmt: skip


def _name(subnet: Resource) -> str:
    return _NAME.format(subnet=subnet.name)


def _id(subnet: Resource) -> str:
    return f"{subnet.id}/serviceAssociationLinks/{_name(subnet)}"


TIMERS: dict[str, Timer] = {_TIMER: _free}
