"""Step 5 of the migration guide: where end users come in.

Pure; knows nothing of the users themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hpc_operator.api.compute_partition import DEFAULT_IMAGE
from hpc_operator.blueprint import machines
from hpc_operator.blueprint.base_services import BaseServices
from hpc_operator.blueprint.cloud_init import boot
from hpc_operator.blueprint.infrastructure import Network
from hpc_operator.blueprint.names import Site
from hpc_operator.blueprint.vocabulary import LoginNode, MountPoint
from hpc_operator.graph import Resource, Step

_STEP: Final = Step.ENTRY_POINT


@dataclass(frozen=True)
class EntryPoint:
    """Login nodes, and where they are reached."""

    resources: tuple[Resource, ...]
    login_nodes: tuple[LoginNode, ...]


def build(site: Site, network: Network, base_services: BaseServices, mounts: Iterable[MountPoint]) -> EntryPoint:
    """Return the resources of this step."""
    mounts = tuple(mounts)
    resources: list[Resource] = []
    login_nodes = []
    for number in range(1, site.environment.spec.entry_point.login_nodes.count + 1):
        name = f"login-{number}"
        interface = machines.network_interface(site, name, network.services, _STEP)
        resources += [interface, _login_node(site, name, interface, base_services, mounts)]
        login_nodes.append(LoginNode(name, machines.private_address(interface)))
    return EntryPoint(tuple(resources), tuple(login_nodes))


def _login_node(
    site: Site, name: str, interface: Resource, base_services: BaseServices, mounts: Iterable[MountPoint]
) -> Resource:
    settings = {"MACHINE_NAME": name, **base_services.machine_settings}
    return site.resource(
        "Microsoft.Compute/virtualMachines",
        name,
        step=_STEP,
        identity=machines.identity(base_services.machine_identity),
        properties={
            "hardwareProfile": {"vmSize": site.environment.spec.entry_point.login_nodes.vm_size},
            "storageProfile": {
                # The image that nodes have by default, so that people compile against the same libraries.
                "imageReference": machines.image(DEFAULT_IMAGE),
                "osDisk": machines.os_disk(),
            },
            "osProfile": machines.os_profile(site.environment, name, boot("login", settings, mounts)),
            "networkProfile": machines.attached(interface),
        },
    )
