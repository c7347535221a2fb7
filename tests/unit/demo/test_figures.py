"""The numbers at the end: requests by kind, and the critical path with its definition."""

from hpc_operator.demo import figures
from hpc_operator.demo.look import USER_AGENT
from hpc_operator.graph import Graph, NodeSet, Owner, Resource, Step

from .conftest import GROUP, NETWORK, node_id, operation

ENVIRONMENT = Owner("HPCEnvironment", "climate")
LUSTRE = f"{GROUP}/providers/Microsoft.StorageCache/amlFilesystems/scratch"
ENDPOINT = f"{GROUP}/providers/Microsoft.Network/privateEndpoints/pe"
VNETS = ("Microsoft.Network/virtualNetworks",)


def _resource(resource_id, **body):
    return Resource(resource_id, Step.INFRASTRUCTURE, ENVIRONMENT, body)


def _graph(*more):
    network = _resource(NETWORK)
    subnets = [_resource(f"{NETWORK}/subnets/{name}") for name in ("a", "b")]
    return Graph([_resource(GROUP), network, *subnets, *more])


def _entry(method, path, status=200, agent="azure-hpc-operator/0.1.0"):
    return {"method": method, "path": path, "status": status, "userAgent": agent}


def test_requests_are_counted_by_what_they_are_for():
    compute = "/subscriptions/0/providers/Microsoft.Compute/locations/westeurope"
    log = [
        _entry("GET", GROUP, 404),
        _entry("PUT", GROUP, 201),
        _entry("PUT", NETWORK, 409),
        _entry("GET", NETWORK),
        _entry("GET", f"{compute}/operations/4a"),
        _entry("GET", "/subscriptions/0/providers/Microsoft.NetApp/locations/westeurope/operationResults/4a", 202),
        _entry("GET", "/subscriptions/0/providers/Microsoft.Storage/locations/westeurope/asyncoperations/4a", 202),
        _entry("GET", "/metadata/identity/oauth2/token"),
        _entry("GET", "/emulator/clock"),
        _entry("GET", NETWORK, agent=USER_AGENT),
    ]
    assert figures.count_requests(log) == figures.Requests(writes=2, reads=2, polls=3, refused=1)


def test_the_critical_path_is_the_longest_chain_of_needs():
    lustre = _resource(LUSTRE, properties={"subnet": _resource(f"{NETWORK}/subnets/b").ref()})
    operations = [
        operation(NETWORK, 0.0, 6.0),
        operation(f"{NETWORK}/subnets/b", 10.0, 15.0),
        operation(LUSTRE, 20.0, 720.0),
    ]
    path = figures.critical_path(_graph(lustre), (), operations, VNETS)
    assert [(link.resource_id, link.seconds) for link in path] == [
        (NETWORK, 6.0),
        (f"{NETWORK}/subnets/b", 5.0),
        (LUSTRE, 700.0),
    ]


def test_writes_that_azure_serialises_come_after_each_other():
    lustre = _resource(LUSTRE, properties={"subnet": _resource(f"{NETWORK}/subnets/b").ref()})
    operations = [
        operation(NETWORK, 0.0, 6.0),
        operation(f"{NETWORK}/subnets/a", 10.0, 14.0),
        operation(f"{NETWORK}/subnets/b", 15.0, 20.0),
        operation(LUSTRE, 20.0, 720.0),
    ]
    path = figures.critical_path(_graph(lustre), (), operations, VNETS)
    assert sum(link.seconds for link in path) == 6 + 4 + 5 + 700


def test_a_private_endpoint_takes_its_turn_in_the_network_of_its_subnet():
    endpoint = _resource(ENDPOINT, properties={"subnet": _resource(f"{NETWORK}/subnets/a").ref()})
    operations = [
        operation(NETWORK, 0.0, 6.0),
        operation(f"{NETWORK}/subnets/a", 10.0, 14.0),
        operation(ENDPOINT, 15.0, 60.0),
        operation(f"{NETWORK}/subnets/b", 60.0, 65.0),
    ]
    path = figures.critical_path(_graph(endpoint), (), operations, VNETS)
    assert [link.seconds for link in path] == [6.0, 4.0, 45.0, 5.0]


def test_nodes_are_made_together_so_that_the_slowest_counts():
    node_set = NodeSet(
        owner=Owner("ComputePartition", "hpc"),
        generation="g",
        resource_group_id=GROUP,
        name_prefix="hpc-g-",
        body={"subnet": _resource(f"{NETWORK}/subnets/a").ref()},
        count=2,
        maximum=4,
        max_surge=1,
        max_unavailable=0,
        vm_size="Standard_HB120rs_v3",
        image_version="1.0.0",
        priority="Regular",
        scale_set_id=f"{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/hpc-g",
    )
    operations = [
        operation(NETWORK, 0.0, 6.0),
        operation(f"{NETWORK}/subnets/a", 10.0, 14.0),
        operation(node_id("hpc-g-1"), 20.0, 80.0),
        operation(node_id("hpc-g-2"), 20.0, 95.0),
    ]
    path = figures.critical_path(_graph(), [node_set], operations, VNETS)
    assert [link.seconds for link in path] == [6.0, 4.0, 75.0]


def test_what_failed_and_what_was_written_again_does_not_lengthen_the_path():
    operations = [
        operation(NETWORK, 0.0, 100.0, status="Failed"),
        operation(NETWORK, 110.0, 116.0),
        operation(NETWORK, 200.0, 300.0),
        operation(NETWORK, 300.0, 400.0, verb="PATCH"),
    ]
    assert [link.seconds for link in figures.critical_path(_graph(), (), operations, VNETS)] == [6.0]
