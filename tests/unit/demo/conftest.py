"""Small JSON documents as kubectl and the emulator give them. Knows no screen."""

import pytest

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/hpc_climate"
NETWORK = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet"


def condition(name, status, *, reason="Ready", message="", generation=1):
    return {
        "type": name,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
    }


def custom_resource(kind, name, *, conditions=(), generation=1, **status):
    return {
        "kind": kind,
        "metadata": {"name": name, "generation": generation},
        "status": {"observedGeneration": 1, "conditions": list(conditions), **status},
    }


def operation(resource_id, start, end, *, verb="PUT", status="Succeeded"):
    resource_type = "/".join(resource_id.rpartition("/providers/")[2].split("/")[:2])
    return {
        "resourceId": resource_id,
        "type": resource_type,
        "verb": verb,
        "startSeconds": start,
        "endSeconds": end,
        "status": status,
    }


def node_id(name):
    return f"{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}"


@pytest.fixture
def seen():
    from hpc_operator.demo.look import Seen

    def make(environment=None, **more):
        content = {"tiers": (), "partitions": (), "machines": (), "operations": (), "tables": {}, "clock": 100.0}
        return Seen(environment=environment or custom_resource("HPCEnvironment", "climate"), **(content | more))

    return make
