"""local_cluster."""
