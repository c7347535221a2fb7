"""How services hold subnets: service association links, which stay for a while after the service has left.

Other providers call `hold` when something of theirs moves into a subnet (at the latest when it is done), and
`release_later` when it has been deleted; both may be called as often as one likes. As long as a link is there, the
subnet cannot be deleted nor lose the delegation. Knows no service: whether one is still in a subnet is told by the
references to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies
from azure_emulator.types import Timer

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

# Assumption: public threads speak of minutes, up to hours, until a subnet is free after its service is gone
# (azure-rest-api-specs#17443 and #10395); nobody has published a figure. Setting `lateFreeingSeconds`.
LATE_FREEING_SECONDS = 180.0
_TIMER = "subnetFreed"
# Names of links that are known (azure-docs#107008, #48902, azure-rest-api-specs#17443); NetApp's is an assumption.
_NAMES = {
    "microsoft.network/dnsresolvers": "dnsResolverLink",
    "microsoft.web/serverfarms": "AppServiceLink",
    "microsoft.containerinstance/containergroups": "acisal",
    "microsoft.netapp/volumes": "NetAppLink",
}
_OTHERS = "{subnet}-service-association-link"


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
    return any(_belongs(holder.type.lower(), service.lower()) for holder in engine.store.referrers(subnet.id))


def _belongs(type_name: str, service: str) -> bool:
    """Services are named like types, NetApp's without the types that volumes are below."""
    namespace, _, rest = service.partition("/")
    return type_name.startswith(service) or (
        type_name.startswith(f"{namespace}/") and type_name.rsplit("/", 1)[-1] == rest
    )


def linked_services(engine: Engine, subnet: Resource) -> list[str]:
    """The services that hold a subnet, as delegations name them: those that said so, and those that are in it."""
    found = list(subnet.internal.get("links", {}))
    for delegation in subnet.properties.get("delegations") or []:
        service = str(bodies.get(delegation, "properties.serviceName", ""))
        if service and service not in found and _occupied(engine, subnet, service):
            found.append(service)
    return found


def link_ids(engine: Engine, subnet: Resource) -> list[str]:
    """Ids of the links of a subnet."""
    return [link["id"] for link in show(engine, subnet)]


def show(engine: Engine, subnet: Resource) -> list[dict[str, Any]]:
    """The links of a subnet as Azure shows them."""
    return [_link(subnet, service) for service in linked_services(engine, subnet)]


def _link(subnet: Resource, service: str) -> dict[str, Any]:
    name = _NAMES.get(service.lower(), _OTHERS).format(subnet=subnet.name)
    return {
        "name": name, "id": f"{subnet.id}/serviceAssociationLinks/{name}", "etag": subnet.etag,
        "type": f"{subnet.type}/serviceAssociationLinks",
        "properties": {"provisioningState": "Succeeded", "linkedResourceType": service, "allowDelete": False,
                       "enabledForArmDeployments": False, "locations": []},
    }  # fmt: skip


TIMERS: dict[str, Timer] = {_TIMER: _free}
