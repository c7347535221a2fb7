"""Virtual machines and scale sets by what they are for: schedulers, login nodes, nodes of partitions, others. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hpc_operator.graph import Json
from hpc_operator.importing.found import Body, Found, name_of, tags_of, type_of, value

_SCALE_SETS: Final = "Microsoft.Compute/virtualMachineScaleSets"

# Microsoft's "Tag nodes" of CycleCloud: /sites/SITE/clusters/CLUSTER/nodearrays/ARRAY, and the name of a head node.
_ARRAY_TAG: Final = "CycleCloudNodeArray"
_NAME_TAG: Final = "Name"

_SCHEDULER: Final = re.compile(r"(^|[^a-z])(scheduler|slurmctld|controller|head(node)?|master)([^a-z]|$)")
_LOGIN: Final = re.compile(r"(^|[^a-z])(login|ondemand|ood|submit|frontend)([^a-z]|$)")
_NODE: Final = re.compile(r"(^|[^a-z])(compute|node|hpc|htc|gpu|worker)([^a-z]|$)")
_HPC_SIZE: Final = re.compile(r"^Standard_(H|N[CD])")
"""Families that are sold for computing: H, HB, HC, HX, NC and ND."""
_TWINS: Final = 2

_VERSION: Final = re.compile(r"[0-9]+[.][0-9]+[.][0-9]+|latest")


@dataclass(frozen=True)
class Machine:
    """One virtual machine, or all that a Uniform scale set has.

    Parameters
    ----------
    body
        As Azure shows it.
    size, priority
        VM size, and Regular or Spot.
    image
        Its image as ARM writes it.
    count
        How many there are.
    array
        CycleCloud's name for the nodes that it belongs to; empty for none.
    subnets
        The subnets it is in.
    """

    body: Body
    size: str
    priority: str
    image: Mapping[str, Any]
    count: int = 1
    array: str = ""
    subnets: tuple[str, ...] = ()

    @property
    def in_scale_set(self) -> bool:
        """Whether it is one of several by design."""
        attached = value(self.body, "properties", "virtualMachineScaleSet", "id")
        return attached is not None or type_of(self.body) == _SCALE_SETS

    @property
    def name(self) -> str:
        """What people call it: CycleCloud's own names are unreadable."""
        return tags_of(self.body).get(_NAME_TAG) or name_of(self.body)


@dataclass
class Roles:
    """Machines by what they are for; nodes by the name of their partition."""

    schedulers: list[Machine] = field(default_factory=list)
    logins: list[Machine] = field(default_factory=list)
    nodes: dict[str, list[Machine]] = field(default_factory=lambda: defaultdict(list))
    others: list[Machine] = field(default_factory=list)


def roles_of(found: Found) -> Roles:
    """Return what each machine is for, as far as names, tags and sizes tell."""
    machines = list(machines_of(found))
    twins = Counter(_without_number(machine) for machine in machines)
    roles = Roles()
    for machine in machines:
        name = (machine.array or machine.name).lower()
        if _SCHEDULER.search(name):
            roles.schedulers.append(machine)
        elif _LOGIN.search(name):
            roles.logins.append(machine)
        elif machine.array:
            roles.nodes[machine.array].append(machine)
        elif (
            machine.in_scale_set
            or _HPC_SIZE.match(machine.size)
            or _NODE.search(name)
            or twins[_without_number(machine)] >= _TWINS
        ):
            roles.nodes[_named_after(machine.size)].append(machine)
        else:
            roles.others.append(machine)
    return roles


def machines_of(found: Found) -> Iterator[Machine]:
    """Yield every virtual machine, and every scale set that makes its machines itself."""
    interfaces = {str(body["id"]).lower(): body for body in found.of("Microsoft.Network/networkInterfaces")}
    for body in found.of("Microsoft.Compute/virtualMachines"):
        properties = value(body, "properties", default={})
        attached = value(properties, "networkProfile", "networkInterfaces", default=[])
        nics = [interfaces.get(str(item.get("id", "")).lower()) for item in attached]
        yield Machine(
            body,
            size=str(value(properties, "hardwareProfile", "vmSize", default="")),
            priority=_priority(properties),
            image=value(properties, "storageProfile", "imageReference", default={}),
            array=_array(body),
            subnets=tuple(_subnets(nic for nic in nics if nic is not None)),
        )
    for body in found.of(_SCALE_SETS):
        size, profile = value(body, "sku", "name"), value(body, "properties", "virtualMachineProfile", default={})
        if size is None or value(body, "properties", "orchestrationMode") == "Flexible":
            continue
        network = value(profile, "networkProfile", "networkInterfaceConfigurations", default=[])
        yield Machine(
            body,
            size=str(size),
            priority=_priority(profile),
            image=value(profile, "storageProfile", "imageReference", default={}),
            count=int(value(body, "sku", "capacity", default=0)),
            array=_array(body),
            subnets=tuple(_subnets(network)),
        )


def image_of(image: Mapping[str, Any]) -> dict[str, str] | None:
    """Return an image as a ComputePartition writes it, None for one that has no name there."""
    reference = str(image.get("id", ""))
    if "/galleries/" in reference:
        return {"galleryImage": reference}
    parts = [str(image.get(key, "")) for key in ("publisher", "offer", "sku", "version")]
    return {"urn": ":".join(parts)} if all(parts) and _VERSION.fullmatch(parts[-1]) else None


def _priority(properties: Mapping[str, Any]) -> str:
    return "Spot" if value(properties, "priority") in ("Spot", "Low") else "Regular"


def _array(body: Body) -> str:
    return tags_of(body).get(_ARRAY_TAG, "").rpartition("/")[2].lower()


def _subnets(configured: Iterable[Json]) -> Iterator[str]:
    for item in configured:
        for configuration in value(item, "properties", "ipConfigurations", default=[]):
            if subnet := value(configuration, "properties", "subnet", "id"):
                yield str(subnet)


def _without_number(machine: Machine) -> tuple[str, str]:
    return re.sub(r"[0-9]+$", "", machine.name), machine.size


def _named_after(size: str) -> str:
    return re.sub(r"^(Standard|Basic)_", "", size).replace("_", "-").lower()
