"""The host: brings custom resources to the engine and its words back to the cluster.

The only room that imports kopf and kubernetes. kopf serves as informer and nothing else: its high-level handlers lose
updates, leak or release objects on failed deletion in ways that we cannot accept (docs/architecture.md).
"""
