"""hpc_operator/kubernetes_host."""
