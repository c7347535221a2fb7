"""Microsoft.Compute, put together: disks, virtual machines, scale sets, images, sizes and usages.

Only the list of what there is; the behaviour is in the module of each.
"""

from __future__ import annotations

from azure_emulator.providers.compute import (
    disk_encryption_sets,
    disks,
    galleries,
    images,
    managed_images,
    quota,
    scale_sets,
    sizes,
    snapshots,
    ssh_keys,
    virtual_machines,
)
from azure_emulator.providers.protocols import COMPUTE, operation_functions
from azure_emulator.types import Provider

PROVIDER = Provider(
    namespace="Microsoft.Compute",
    types=(
        scale_sets.TYPE, virtual_machines.VM_TYPE, virtual_machines.RUN_COMMAND_TYPE, disks.TYPE, snapshots.TYPE,
        managed_images.TYPE, *galleries.TYPES, ssh_keys.TYPE, disk_encryption_sets.TYPE,
    ),
    functions={
        ("GET", f"{virtual_machines.VM}/instanceView"): virtual_machines.get_instance_view,
        ("GET", f"{scale_sets.SCALE_SET}/virtualMachines"): scale_sets.list_instances,
        ("GET", "Microsoft.Compute/skus"): sizes.list_skus,
        ("GET", "Microsoft.Compute/locations/vmSizes"): sizes.list_sizes,
        ("GET", "Microsoft.Compute/locations/usages"): quota.list_usages,
        ("GET", f"{disk_encryption_sets.SET}/associatedResources"): disk_encryption_sets.list_associated,
        **images.FUNCTIONS,
        **operation_functions(COMPUTE),
    },
)
