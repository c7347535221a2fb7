"""What users write and read: the three custom resources of azurehpc.io/v1alpha1, one file each.

The CRDs in crds/ are generated from these models; nothing here knows Azure, Slurm or a running cluster.
"""

from hpc_operator.api.common import GROUP, VERSION, Condition, CustomResource, EnvironmentRef, Metadata
from hpc_operator.api.compute_partition import ComputePartition, ComputePartitionSpec, ComputePartitionStatus
from hpc_operator.api.hpc_environment import HPCEnvironment, HPCEnvironmentSpec, HPCEnvironmentStatus
from hpc_operator.api.storage_tier import StorageTier, StorageTierSpec, StorageTierStatus

KINDS: tuple[type[CustomResource], ...] = (HPCEnvironment, StorageTier, ComputePartition)

__all__ = [
    "GROUP",
    "KINDS",
    "VERSION",
    "ComputePartition",
    "ComputePartitionSpec",
    "ComputePartitionStatus",
    "Condition",
    "CustomResource",
    "EnvironmentRef",
    "HPCEnvironment",
    "HPCEnvironmentSpec",
    "HPCEnvironmentStatus",
    "Metadata",
    "StorageTier",
    "StorageTierSpec",
    "StorageTierStatus",
]
