"""hpc_operator/reconcile."""
