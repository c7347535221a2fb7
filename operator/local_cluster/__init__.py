"""A real API server on this machine: finds, downloads or builds it, starts and stops it.

Knows nothing of the operator or of the emulator.
"""

from local_cluster.binaries import ensure_binaries
from local_cluster.cluster import LocalCluster
from local_cluster.errors import BinaryError, LocalClusterError

__all__ = ["BinaryError", "LocalCluster", "LocalClusterError", "ensure_binaries"]
