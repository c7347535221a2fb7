"""Microsoft.Compute, put together: machines, scale sets, what runs in them, disks, images, placement, sizes, usages.

Only the list of what there is; the behaviour is in the module of each.
"""

from __future__ import annotations

from azure_emulator.providers.compute import (
    disk_encryption_sets,
    disks,
    extensions,
    galleries,
    images,
    instance_network,
    managed_images,
    placement,
    quota,
    reservations,
    run_commands,
    scale_sets,
    scheduled_events,
    sizes,
    snapshots,
    ssh_keys,
    uniform,
    virtual_machines,
)
from azure_emulator.providers.protocols import COMPUTE, operation_functions
from azure_emulator.types import Provider

PROVIDER = Provider(
    namespace="Microsoft.Compute",
    types=(
        scale_sets.TYPE,
        uniform.TYPE,
        instance_network.TYPE,
        virtual_machines.VM_TYPE,
        *run_commands.TYPES,
        *extensions.TYPES,
        disks.TYPE,
        snapshots.TYPE,
        managed_images.TYPE,
        *galleries.TYPES,
        ssh_keys.TYPE,
        disk_encryption_sets.TYPE,
        *placement.TYPES,
        *reservations.TYPES,
    ),
    functions={
        ("GET", "Microsoft.Compute/locations/runCommands"): run_commands.list_commands,
        ("GET", "Microsoft.Compute/skus"): sizes.list_skus,
        ("GET", "Microsoft.Compute/locations/vmSizes"): sizes.list_sizes,
        ("GET", "Microsoft.Compute/locations/usages"): quota.list_usages,
        ("GET", f"{disk_encryption_sets.SET}/associatedResources"): disk_encryption_sets.list_associated,
        **virtual_machines.FUNCTIONS,
        **scale_sets.FUNCTIONS,
        **placement.FUNCTIONS,
        **images.FUNCTIONS,
        **extensions.FUNCTIONS,
        **operation_functions(COMPUTE),
    },
    timers={**scheduled_events.TIMERS, **run_commands.TIMERS, **scale_sets.TIMERS},
)
