"""The graph: references, order, closures."""

import base64

import pytest

from hpc_operator.graph import (
    NODE_NAME,
    ArmId,
    CycleError,
    Graph,
    Owner,
    Ref,
    Resource,
    Step,
    Text,
    UnresolvedError,
    parent_id,
    references,
    resolve,
)

GROUP = "/subscriptions/s/resourceGroups/g"
NETWORK = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet"
SUBNET = f"{NETWORK}/subnets/compute"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/v"
ROLE = f"{VAULT}/providers/Microsoft.Authorization/roleAssignments/r"


def resource(resource_id, body=None, **more):
    return Resource(resource_id, Step.INFRASTRUCTURE, Owner("HPCEnvironment", "e"), body or {}, **more)


@pytest.mark.parametrize(
    ("resource_id", "kind", "names", "parent", "group"),
    [
        (GROUP, "Microsoft.Resources/resourceGroups", ("g",), None, "g"),
        (NETWORK, "Microsoft.Network/virtualNetworks", ("vnet",), GROUP, "g"),
        (SUBNET, "Microsoft.Network/virtualNetworks/subnets", ("vnet", "compute"), NETWORK, "g"),
        (ROLE, "Microsoft.Authorization/roleAssignments", ("r",), VAULT, "g"),
        (
            "/subscriptions/s/providers/Microsoft.Authorization/locks/l",
            "Microsoft.Authorization/locks",
            ("l",),
            None,
            None,
        ),
    ],
)
def test_an_arm_id_tells_type_names_and_parent(resource_id, kind, names, parent, group):
    parsed = ArmId.parse(resource_id)
    assert (parsed.type, parsed.names) == (kind, names)
    assert parent_id(resource_id) == parent
    assert parsed.resource_group == group


@pytest.mark.parametrize("text", ["", "/subscriptions/s", f"{GROUP}/providers/Microsoft.Network", "compute"])
def test_what_is_no_arm_id_is_refused(text):
    with pytest.raises(ValueError, match="is not the ARM id"):
        ArmId.parse(text)


def test_references_are_the_dependencies():
    network = resource(NETWORK)
    subnet = resource(SUBNET)
    nic = resource(f"{GROUP}/providers/Microsoft.Network/networkInterfaces/n", {"properties": {"list": [subnet.ref()]}})
    graph = Graph([nic, subnet, network, resource(GROUP)])
    assert [item.name for item in graph] == ["g", "vnet", "compute", "n"]
    assert graph.needs(graph[nic.id]) == {SUBNET.lower(), GROUP.lower()}
    assert graph.dependents(SUBNET) == {nic.id.lower()}
    assert graph.closure([SUBNET]) == {SUBNET.lower(), NETWORK.lower(), GROUP.lower()}
    assert graph.depth[nic.id.lower()] == 3


def test_an_id_as_a_key_is_a_reference_too():
    machine = resource(f"{GROUP}/providers/Microsoft.Compute/virtualMachines/m", {"identity": {"of": {VAULT: {}}}})
    assert VAULT.lower() in machine.needs


def test_a_referenced_resource_needs_no_parent_of_ours():
    assert resource(SUBNET, referenced=True).needs == frozenset()


def test_the_longest_remaining_path_counts_all_that_follows():
    graph = Graph([resource(GROUP), resource(NETWORK), resource(SUBNET), resource(VAULT)])
    longest = graph.remaining_path({GROUP.lower(): 1, NETWORK.lower(): 6, SUBNET.lower(): 5, VAULT.lower(): 3})
    assert longest == {GROUP.lower(): 12, NETWORK.lower(): 11, SUBNET.lower(): 5, VAULT.lower(): 3}


def test_a_circle_is_refused_with_its_members():
    one, two = f"{GROUP}/providers/a.b/c/one", f"{GROUP}/providers/a.b/c/two"
    with pytest.raises(CycleError, match=r"one.*two"):
        Graph([resource(one, {"x": Ref(two)}), resource(two, {"x": Ref(one)})])


def test_two_resources_of_one_id_are_refused():
    with pytest.raises(ValueError, match="two resources"):
        Graph([resource(GROUP), resource(GROUP.upper())])


def test_references_resolve_from_what_was_observed():
    body = {
        "id": Ref(SUBNET),
        "address": Ref(VAULT, ("properties", "list", 0, "ip")),
        "data": Text(("ip=", Ref(VAULT, ("properties", "list", 0, "ip")), " name=", NODE_NAME), base64=True),
        "name": NODE_NAME,
        "tuple": (1, Ref(SUBNET)),
    }
    observed = {SUBNET.lower(): {}, VAULT.lower(): {"properties": {"list": [{"ip": "10.0.0.4"}]}}}
    resolved = resolve(body, observed, "n-1")
    assert resolved["id"] == SUBNET
    assert resolved["address"] == "10.0.0.4"
    assert base64.b64decode(resolved["data"]) == b"ip=10.0.0.4 name=n-1"
    assert resolved["name"] == "n-1"
    assert resolved["tuple"] == [1, SUBNET]
    assert {ref.resource_id for ref in references(body)} == {SUBNET, VAULT}


@pytest.mark.parametrize("observed", [{}, {VAULT.lower(): None}, {VAULT.lower(): {"properties": {"ip": ""}}}])
def test_what_azure_has_not_told_yet_is_unresolved(observed):
    with pytest.raises(UnresolvedError, match=r"properties\.ip"):
        resolve({"x": Ref(VAULT, ("properties", "ip"))}, observed)
