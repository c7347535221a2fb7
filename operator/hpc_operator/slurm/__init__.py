"""hpc_operator/slurm."""
