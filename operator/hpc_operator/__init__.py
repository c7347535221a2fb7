"""hpc_operator."""
