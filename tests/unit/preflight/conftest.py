"""An environment, what Azure shows of it, and a subscription that answers what a test wrote down."""

from dataclasses import dataclass, field, replace

import pytest

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.blueprint import Inputs, build
from hpc_operator.preflight import Surroundings
from hpc_operator.subscription import Image, Permissions, Usage, VmSize

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
HUB = f"{SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/hub"
EXISTING = {
    "existing": {"subnets": {"compute": f"{HUB}/subnets/nodes", "services": f"{HUB}/subnets/services"}},
}
SIZES = {
    size.name.lower(): size
    for size in (
        VmSize("Standard_HB176rs_v4", "standardHBv4Family", 176, rdma=True),
        VmSize("Standard_HB120rs_v3", "standardHBv3Family", 120, rdma=True),
        VmSize("Standard_D4s_v5", "standardDSv5Family", 4),
        VmSize("Standard_D8s_v5", "standardDSv5Family", 8),
    )
}


def environment(network=None, **spec):
    return HPCEnvironment.model_validate(
        {
            "metadata": {"name": "climate", "namespace": "hpc", "uid": "uid-1"},
            "spec": {
                "location": "westeurope",
                "network": network or {"addressSpace": ["10.40.0.0/20"]},
                "scheduler": {"slurm": {}},
                "entryPoint": {"loginNodes": {"count": 1}},
                **spec,
            },
        }
    )


def partition(name="climate-hpc", sizes=("Standard_HB176rs_v4",), least=0, most=16, **spec):
    return ComputePartition.model_validate(
        {
            "metadata": {"name": name, "namespace": "hpc"},
            "spec": {
                "environmentRef": {"name": "climate"},
                "vmSizes": list(sizes),
                "nodes": {"min": least, "max": most},
                **spec,
            },
        }
    )


def tier(name="climate-home", path="/home", **kind):
    spec = {"environmentRef": {"name": "climate"}, "purpose": "Home", "mountPath": path, **kind}
    return StorageTier.model_validate({"metadata": {"name": name, "namespace": "hpc"}, "spec": spec})


def net_app(name="climate-home", capacity="4Ti"):
    return tier(name, f"/{name}", netAppFiles={"capacity": capacity})


def lustre(name="climate-scratch", capacity="8Ti", throughput=250):
    return tier(name, f"/{name}", managedLustre={"capacity": capacity, "throughputPerTiB": throughput})


def surroundings(env=None, partitions=None, tiers=(), nodes=None, shown=None):
    """Return an environment of which nothing is made but what `shown` says, by id or by the end of one."""
    env = env or environment()
    partitions = [partition()] if partitions is None else partitions
    versions = {item.metadata.name: "22.4.1" for item in partitions}
    blueprint = build(Inputs(SUBSCRIPTION.rpartition("/")[2], env, tuple(tiers), tuple(partitions), versions))
    observed = {resource.id.lower(): None for resource in blueprint.graph}
    for end, body in (shown or {}).items():
        found = [key for key in observed if key.endswith(end.lower())]
        assert len(found) == 1, (end, found)
        observed[found[0]] = body
    return Surroundings(blueprint, env, partitions, observed, nodes or {})


def find(site, end):
    """Return the id of the resource whose id ends so, in lower case."""
    (found,) = [resource.id.lower() for resource in site.blueprint.graph if resource.id.lower().endswith(end.lower())]
    return found


def subnet(prefix, used=0, endpoints=("Microsoft.KeyVault",), delegated_to=(), **properties):
    return {
        "properties": {
            "addressPrefix": prefix,
            "serviceEndpoints": [{"service": item} for item in endpoints],
            "delegations": [{"name": "it", "properties": {"serviceName": item}} for item in delegated_to],
            "ipConfigurations": [{"id": f"/nic-{number}"} for number in range(used)],
            **properties,
        }
    }


def hub(*addresses, location="westeurope"):
    return {"location": location, "properties": {"addressSpace": {"addressPrefixes": list(addresses)}}}


def usages(**limits):
    """Return quota of which nothing is in use; a pair gives use and limit."""
    pairs = {name: limit if isinstance(limit, tuple) else (0, limit) for name, limit in limits.items()}
    return {name.lower(): Usage(name, *pair) for name, pair in pairs.items()}


PLENTY = usages(cores=10**6, lowPriorityCores=10**6, standardHBv4Family=10**6, standardDSv5Family=10**6)


@dataclass
class FakeSubscription:
    """Answers what it was given; raises for what a test put into `silent`."""

    sizes: dict = field(default_factory=lambda: dict(SIZES))
    used: dict = field(default_factory=lambda: {"Microsoft.Compute": PLENTY})
    images: dict = field(default_factory=dict)
    states: dict = field(default_factory=dict)
    taken: dict = field(default_factory=dict)
    grants: dict = field(default_factory=dict)
    silent: frozenset = frozenset()
    asked: list = field(default_factory=list)

    def _answer(self, question, *about):
        self.asked.append((question, *about))
        if question in self.silent:
            raise AzureError("no", code="AuthorizationFailed", status=403, error_class=ErrorClass.PERMANENT)

    async def usages(self, namespace, location):
        self._answer("usages", namespace, location)
        return self.used.get(namespace, {})

    async def vm_sizes(self, location):
        self._answer("vm_sizes", location)
        return self.sizes

    async def image(self, location, urn):
        self._answer("image", location, urn)
        return self.images.get(urn, Image(exists=True))

    async def registrations(self):
        self._answer("registrations")
        return self.states

    async def name_taken(self, resource_id):
        self._answer("name_taken", resource_id)
        return self.taken.get(resource_id.rpartition("/")[2], "")

    async def permissions(self, scope):
        self._answer("permissions", scope)
        return self.grants.get(scope, Permissions(grants=((("*",), ()),)))


@pytest.fixture
def subscription():
    return FakeSubscription()


def size(name, **changes):
    """Return the sizes with one of them changed."""
    return SIZES | {name.lower(): replace(SIZES[name.lower()], **changes)}
