"""The custom resources that benches run on where examples/quickstart is too small. Knows no cluster and no Azure."""

from __future__ import annotations

from typing import Any

PARTITIONS = 10
NODES_MAX = 8
NAMESPACE = "hpc"

# A mix of what there is; the smallest of each, because addresses of a small network have to do.
_TIERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "home": ("Home", "/home", {"netAppFiles": {"serviceLevel": "Premium", "capacity": "4Ti"}}),
    "project": ("Project", "/project", {"netAppFiles": {"serviceLevel": "Standard", "capacity": "4Ti"}}),
    "scratch": ("Scratch", "/scratch", {"managedLustre": {"throughputPerTiB": 500, "capacity": "4Ti"}}),
    "archive": ("Archive", "/archive", {"existingNfs": {"server": "192.168.7.1", "exportPath": "/export/archive"}}),
    "apps": ("Project", "/apps", {"existingNfs": {"server": "192.168.7.2", "exportPath": "/export/apps"}}),
}
_VM_SIZES = ("Standard_HB120rs_v3", "Standard_HB176rs_v4")


def large_environment(
    name: str, address_space: str, *, login_nodes: int = 1, namespace: str = NAMESPACE
) -> list[dict[str, Any]]:
    """Return an environment with 10 partitions, all of them without nodes at rest, and 5 tiers.

    Parameters
    ----------
    name
        Of the environment; all other names begin with it.
    address_space
        A /23 or larger: the smallest that has room for Lustre.
    login_nodes
        How many.
    namespace
        Where it lives.
    """

    def custom_resource(kind: str, own_name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": own_name, "namespace": namespace}
        return {"apiVersion": "azurehpc.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    reference = {"environmentRef": {"name": name}}
    environment = {
        "location": "westeurope",
        "tags": {"department": "climate", "costCenter": "4711"},
        "network": {"addressSpace": [address_space], "access": {"bastion": {}}},
        "scheduler": {"slurm": {}},
        "entryPoint": {"loginNodes": {"count": login_nodes}},
    }
    return [
        custom_resource("HPCEnvironment", name, environment),
        *(
            custom_resource(
                "StorageTier", f"{name}-{tier}", {**reference, "purpose": purpose, "mountPath": path, **how}
            )
            for tier, (purpose, path, how) in _TIERS.items()
        ),
        *(
            custom_resource(
                "ComputePartition",
                f"{name}-p{number}",
                {
                    **reference,
                    "partitionName": f"p{number}",
                    "vmSizes": [_VM_SIZES[number % len(_VM_SIZES)]],
                    "nodes": {"min": 0, "max": NODES_MAX},
                },
            )
            for number in range(PARTITIONS)
        ),
    ]
