"""The environment of the documentation's first example, and how to make variations of it."""

import copy
from pathlib import Path

import pytest
import yaml

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.blueprint import Inputs, build
from hpc_operator.graph import NodeName, Ref

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
_ENVIRONMENT, _TIER, _PARTITION = yaml.safe_load_all(Path(__file__).with_name("example.yaml").read_text())


def _varied(model, manifest, name, spec, metadata):
    manifest = copy.deepcopy(manifest)
    manifest["metadata"] |= ({"name": name} if name else {}) | metadata
    manifest["spec"] |= spec
    for key in [key for key, value in manifest["spec"].items() if value is None]:
        del manifest["spec"][key]
    return model.model_validate(manifest)


class Example:
    """The example, and variations of it: keyword arguments replace fields of the spec, None removes one."""

    subscription = SUBSCRIPTION

    @staticmethod
    def environment(name=None, metadata=(), **spec):
        return _varied(HPCEnvironment, _ENVIRONMENT, name, spec, dict(metadata))

    @staticmethod
    def tier(name=None, metadata=(), **spec):
        return _varied(StorageTier, _TIER, name, spec, dict(metadata))

    @classmethod
    def lustre(cls, name="climate-scratch", capacity="8Ti", **spec):
        lustre = {"throughputPerTiB": 250, "capacity": capacity}
        return cls.tier(name, **{"mountPath": "/scratch", "netAppFiles": None, "managedLustre": lustre, **spec})

    @classmethod
    def nfs(cls, name="old-home", server="192.0.2.7", **spec):
        nfs = {"server": server, "exportPath": "/export"}
        return cls.tier(name, **{"mountPath": "/old", "netAppFiles": None, "existingNfs": nfs, **spec})

    @staticmethod
    def partition(name=None, metadata=(), **spec):
        return _varied(ComputePartition, _PARTITION, name, spec, dict(metadata))

    @classmethod
    def blueprint(cls, environment=None, tiers=None, partitions=None, version="22.04.2025081901"):
        partitions = [cls.partition()] if partitions is None else partitions
        return build(
            Inputs(
                SUBSCRIPTION,
                environment or cls.environment(),
                tuple([cls.tier()] if tiers is None else tiers),
                tuple(partitions),
                {partition.metadata.name: version for partition in partitions},
            )
        )

    @staticmethod
    def existing(**more):
        """Return a `network` that exists already."""
        vnet = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/hub"
        roles = {"compute": "nodes", "services": "services", **more}
        return {"existing": {"subnets": {role: f"{vnet}/subnets/{name}" for role, name in roles.items()}}}

    @staticmethod
    def find(blueprint, type_, name=None):
        """Return the one resource of a type (its last segments will do) and, where given, of a name."""
        found = [
            resource
            for resource in blueprint.graph
            if resource.type.endswith(f"/{type_}") and name in (None, resource.name)
        ]
        assert len(found) == 1, found
        return found[0]

    @staticmethod
    def written(text, values=None):
        """Return a `Text` as a string, with what stands for references."""

        def one(part):
            if isinstance(part, Ref):
                name = part.resource_id.rsplit("/", 1)[-1]
                return (values or {}).get(name, name if part.path[-1] == "creationToken" else "10.9.8.7")
            return "node-1" if isinstance(part, NodeName) else part

        return "".join(one(part) for part in text.parts)


@pytest.fixture
def example():
    return Example
