"""Names of the types that the modules of Microsoft.Compute speak of to each other, and of those beyond it.

Only text: whoever needs to tell types apart imports this and not the module of a type.
"""

from __future__ import annotations

VM = "Microsoft.Compute/virtualMachines"
SCALE_SET = "Microsoft.Compute/virtualMachineScaleSets"
INSTANCE = f"{SCALE_SET}/virtualMachines"
INSTANCE_NIC = f"{INSTANCE}/networkInterfaces"
DISK = "Microsoft.Compute/disks"
SNAPSHOT = "Microsoft.Compute/snapshots"
MANAGED_IMAGE = "Microsoft.Compute/images"
PLACEMENT_GROUP = "Microsoft.Compute/proximityPlacementGroups"
AVAILABILITY_SET = "Microsoft.Compute/availabilitySets"
RESERVATION_GROUP = "Microsoft.Compute/capacityReservationGroups"
RESERVATION = f"{RESERVATION_GROUP}/capacityReservations"

NIC = "Microsoft.Network/networkInterfaces"
PUBLIC_IP = "Microsoft.Network/publicIPAddresses"
