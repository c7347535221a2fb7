"""hpc_operator/api."""
