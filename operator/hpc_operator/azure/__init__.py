"""hpc_operator/azure."""
