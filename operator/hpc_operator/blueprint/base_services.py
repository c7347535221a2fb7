"""Step 2 of the migration guide: identities, the vault for secrets, and the scheduler.

Pure. Knows partitions only as far as slurm.conf does, and mounts no storage tier: slurmctld reads none, and so the
scheduler boots while slow storage is still being made.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hpc_operator.api import ComputePartition
from hpc_operator.api.common import parse_quantity
from hpc_operator.blueprint import machines
from hpc_operator.blueprint.cloud_init import Part, boot
from hpc_operator.blueprint.infrastructure import Infrastructure
from hpc_operator.blueprint.names import VAULT, Site, role_assignment_name
from hpc_operator.blueprint.scripts import script
from hpc_operator.graph import Ref, Resource, Step
from hpc_operator.slurm.configuration import SCHEDULER_HOST, STATE_DIRECTORY, render

_STEP: Final = Step.BASE_SERVICES
_IMAGE: Final = "Canonical:ubuntu-24_04-lts:server:latest"
_STATE_DISK_LUN: Final = 0
_RUN_COMMAND_TIMEOUT: Final = 1800  # seconds: 20 minutes for the first boot, then the restart of slurmctld

# Microsoft's "Azure built-in roles"
SECRETS_OFFICER: Final = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
SECRETS_USER: Final = "4633458b-17de-408a-b874-0445c86b69e6"
BLOB_DATA_CONTRIBUTOR: Final = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"


@dataclass(frozen=True)
class BaseServices:
    """What nodes and login nodes build upon.

    Parameters
    ----------
    resources
        Everything of this step.
    machine_identity
        The identity of nodes and login nodes; it may read secrets.
    machine_settings
        Settings of their user-data: where the scheduler is, and the vault.
    """

    resources: tuple[Resource, ...]
    machine_identity: Resource
    machine_settings: dict[str, Part]


def build(site: Site, infrastructure: Infrastructure, partitions: Sequence[ComputePartition]) -> BaseServices:
    """Return the resources of this step."""
    existing = site.environment.spec.identities
    scheduler_identity = _identity(site, "id-scheduler", existing.scheduler)
    machine_identity = _identity(site, "id-nodes", existing.nodes)
    vault = _vault(site, infrastructure, machine_identity)
    roles = (
        _role_assignment(site, vault, SECRETS_OFFICER, scheduler_identity),
        _role_assignment(site, vault, SECRETS_USER, machine_identity),
        _role_assignment(site, infrastructure.storage_account, BLOB_DATA_CONTRIBUTOR, scheduler_identity),
    )
    interface = machines.network_interface(site, SCHEDULER_HOST, infrastructure.network.services, _STEP)
    disk = _state_disk(site)
    shared: dict[str, Part] = {
        "SCHEDULER_ADDRESS": machines.private_address(interface),
        "VAULT_URI": vault.ref("properties", "vaultUri"),
    }
    virtual_machine = _scheduler(site, interface, disk, scheduler_identity, shared)
    return BaseServices(
        resources=(
            # One identity may serve for both.
            *{item.id.lower(): item for item in (scheduler_identity, machine_identity)}.values(),
            vault,
            *roles,
            interface,
            disk,
            virtual_machine,
            _configuration(site, partitions),
        ),
        machine_identity=machine_identity,
        machine_settings={**shared, "IDENTITY_CLIENT_ID": _client_id(machine_identity)},
    )


def _identity(site: Site, name: str, existing: str | None) -> Resource:
    if existing is not None:
        return site.referenced(existing, _STEP)
    return site.resource("Microsoft.ManagedIdentity/userAssignedIdentities", name, step=_STEP)


def _client_id(identity: Resource) -> Ref:
    return identity.ref("properties", "clientId")


def _vault(site: Site, infrastructure: Infrastructure, any_identity: Resource) -> Resource:
    network = infrastructure.network
    subnets = {item.id.lower(): item for item in (network.compute, network.services)}
    return site.resource(
        VAULT,
        site.vault_name,
        step=_STEP,
        properties={
            # An identity tells the tenant, so that nobody has to configure it.
            "tenantId": any_identity.ref("properties", "tenantId"),
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            "enableSoftDelete": True,
            "publicNetworkAccess": "Enabled",  # for service endpoints; the rules below let in nobody else
            "networkAcls": {
                "defaultAction": "Deny",
                "bypass": "None",
                "virtualNetworkRules": [{"id": subnet.ref()} for subnet in subnets.values()],
            },
        },
    )


def _role_assignment(site: Site, scope: Resource, role: str, identity: Resource) -> Resource:
    name = role_assignment_name(scope.id, role, identity.id)
    role_id = f"/subscriptions/{site.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    return Resource(
        id=f"{scope.id}/providers/Microsoft.Authorization/roleAssignments/{name}",
        step=_STEP,
        owner=site.owner,
        body={
            "properties": {
                "roleDefinitionId": role_id,
                "principalId": identity.ref("properties", "principalId"),
                # Said, because the directory may not know a new identity yet.
                "principalType": "ServicePrincipal",
            }
        },
    )


def _state_disk(site: Site) -> Resource:
    size = parse_quantity(site.environment.spec.scheduler.slurm.state_disk_size) >> 30
    return site.resource(
        "Microsoft.Compute/disks",
        "scheduler-state",
        step=_STEP,
        holds_data=True,
        sku={"name": "Premium_LRS"},
        properties={"creationData": {"createOption": "Empty"}, "diskSizeGB": size},
    )


def _scheduler(
    site: Site, interface: Resource, disk: Resource, identity: Resource, shared: dict[str, Part]
) -> Resource:
    settings: dict[str, Part] = {
        "MACHINE_NAME": SCHEDULER_HOST,
        **shared,
        "IDENTITY_CLIENT_ID": _client_id(identity),
        "STATE_DIRECTORY": STATE_DIRECTORY,
    }
    data_disk = {
        "lun": _STATE_DISK_LUN,
        "createOption": "Attach",
        "deleteOption": "Detach",
        "managedDisk": {"id": disk.ref()},
    }
    return site.resource(
        "Microsoft.Compute/virtualMachines",
        SCHEDULER_HOST,
        step=_STEP,
        identity=machines.identity(identity),
        properties={
            "hardwareProfile": {"vmSize": site.environment.spec.scheduler.slurm.vm_size},
            "storageProfile": {
                "imageReference": machines.image(_IMAGE),
                "osDisk": machines.os_disk(),
                "dataDisks": [data_disk],
            },
            "osProfile": machines.os_profile(site.environment, SCHEDULER_HOST, boot("scheduler", settings)),
            "networkProfile": machines.attached(interface),
        },
    )


def _configuration(site: Site, partitions: Sequence[ComputePartition]) -> Resource:
    """Return the Run Command that brings slurm.conf to the scheduler.

    It is a resource of its own, so that an edit of partitions changes the running scheduler in place, and never the
    machine's user-data.
    """
    environment = site.environment
    files = render(environment.metadata.name, partitions, environment.spec.scheduler.slurm.config)
    calls = [f"stage {name} {shlex.quote(text)}\n" for name, text in files.items()]
    return site.resource(
        "Microsoft.Compute/virtualMachines/runCommands",
        SCHEDULER_HOST,
        "slurm-configuration",
        step=_STEP,
        properties={
            "source": {"script": "".join([script("configure_slurm"), "\n", *calls, "apply\n"])},
            "asyncExecution": False,
            "timeoutInSeconds": _RUN_COMMAND_TIMEOUT,
            "treatFailureAsDeploymentFailure": True,
        },
    )
