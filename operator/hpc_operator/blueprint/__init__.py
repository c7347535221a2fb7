"""hpc_operator/blueprint."""
