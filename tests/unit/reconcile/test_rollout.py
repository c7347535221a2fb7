"""Which nodes come and go next: every rollout ends, and never leaves its limits."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_operator.graph import NodeSet, Owner
from hpc_operator.reconcile.rollout import Node, NodeState, nodes_of, plan_nodes


def node_set(count=3, surge=1, unavailable=0, generation="new", maximum=100):
    return NodeSet(
        owner=Owner("ComputePartition", "p"),
        generation=generation,
        resource_group_id="/subscriptions/s/resourceGroups/g",
        name_prefix=f"p-{generation}-",
        body={},
        count=count,
        maximum=maximum,
        max_surge=surge,
        max_unavailable=unavailable,
        vm_size="Standard_X",
        image_version="1.0.0",
        priority="Regular",
        scale_set_id="/scale-set",
    )


def node(name, state=NodeState.READY):
    generation = name.split("-")[1]
    return Node(f"/id/{name}", name, "p", generation, state, "")


def always(_):
    return True


def test_the_first_nodes_come_all_at_once():
    plan = plan_nodes(node_set(3), [], always)
    assert plan.create == ("p-new-1", "p-new-2", "p-new-3")
    assert plan.delete == ()


def test_numbers_that_are_taken_are_passed_over():
    nodes = [node("p-new-2"), node("p-new-1", NodeState.DELETING)]
    assert plan_nodes(node_set(2), nodes, always).create == ("p-new-3",)


def test_new_nodes_come_before_old_ones_go():
    old = [node(f"p-old-{n}") for n in (1, 2, 3)]
    plan = plan_nodes(node_set(3, surge=1), old, always)
    assert (plan.create, plan.delete) == (("p-new-1",), ())
    plan = plan_nodes(node_set(3, surge=1), [*old, node("p-new-1", NodeState.CREATING)], always)
    assert (plan.create, plan.delete) == ((), ())
    plan = plan_nodes(node_set(3, surge=1), [*old, node("p-new-1")], always)
    assert (plan.create, [item.name for item in plan.delete]) == ((), ["p-old-3"])


def test_a_node_on_its_way_down_still_takes_up_surge():
    nodes = [node("p-old-1"), node("p-old-2"), node("p-old-3", NodeState.DELETING), node("p-new-1")]
    assert plan_nodes(node_set(3, surge=1), nodes, always).create == ()


def test_without_surge_old_nodes_go_first_within_max_unavailable():
    old = [node(f"p-old-{n}") for n in (1, 2, 3)]
    plan = plan_nodes(node_set(3, surge=0, unavailable=1), old, always)
    assert (plan.create, [item.name for item in plan.delete]) == ((), ["p-old-3"])


def test_a_node_that_may_not_go_stays():
    old = [node("p-old-1"), node("p-old-2")]
    plan = plan_nodes(
        node_set(2, surge=2), [*old, node("p-new-1"), node("p-new-2")], lambda item: item.name == "p-old-1"
    )
    assert [item.name for item in plan.delete] == ["p-old-1"]


def test_scaling_down_removes_the_newest_and_first_what_is_not_up():
    nodes = [node("p-new-1"), node("p-new-2"), node("p-new-3"), node("p-new-4", NodeState.CREATING)]
    plan = plan_nodes(node_set(2), nodes, always)
    assert {item.name for item in plan.delete} == {"p-new-3", "p-new-4"}


def test_a_failed_node_goes_and_is_made_anew_under_another_name():
    plan = plan_nodes(node_set(1), [node("p-new-1", NodeState.FAILED)], always)
    assert (plan.create, [item.name for item in plan.delete]) == (("p-new-2",), ["p-new-1"])


def test_only_machines_with_our_partition_tag_are_nodes():
    machines = [
        {"id": "/a", "name": "scheduler", "tags": {}, "properties": {"provisioningState": "Succeeded"}},
        {
            "id": "/b",
            "name": "p-new-1",
            "tags": {"hpc-environment": "n/e", "hpc-partition": "p", "hpc-generation": "new"},
            "properties": {"provisioningState": "Creating", "virtualMachineScaleSet": {"id": "/X"}},
        },
    ]
    machines.append({**machines[1], "tags": {**machines[1]["tags"], "hpc-environment": "n/other"}})
    assert nodes_of(machines, "n/e") == [Node("/b", "p-new-1", "p", "new", NodeState.CREATING, "/x")]


@pytest.mark.parametrize(
    ("shown", "new", "state"),
    [
        ("Updating", {"/b"}, NodeState.CREATING),
        ("Updating", (), NodeState.READY),
        ("Succeeded", {"/b"}, NodeState.READY),
        ("Failed", {"/b"}, NodeState.FAILED),
    ],
)
def test_what_is_updated_before_it_was_whole_is_no_node_yet(shown, new, state):
    tags = {"hpc-environment": "n/e", "hpc-partition": "p", "hpc-generation": "new"}
    machine = {"id": "/B", "name": "p-new-1", "tags": tags, "properties": {"provisioningState": shown}}
    assert [node.state for node in nodes_of([machine], "n/e", new)] == [state]


@given(
    count=st.integers(0, 12),
    before=st.integers(0, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    data=st.data(),
)
def test_every_rollout_ends_within_its_limits(count, before, surge, unavailable, data):
    if surge == 0 and unavailable == 0:
        surge = 1
    wanted = node_set(count, surge, unavailable)
    nodes = {f"p-old-{n}": node(f"p-old-{n}") for n in range(1, before + 1)}
    start_ready = len(nodes)
    for _ in range(400):
        plan = plan_nodes(wanted, list(nodes.values()), always)
        for name in plan.create:
            assert name not in nodes
            nodes[name] = node(name, NodeState.CREATING)
        for gone in plan.delete:
            nodes[gone.name] = replace(gone, state=NodeState.DELETING)
        ready = sum(item.state is NodeState.READY for item in nodes.values())
        assert ready >= min(count - unavailable, start_ready)
        assert len(nodes) <= max(before, count + surge)
        moving = sorted(name for name, item in nodes.items() if item.state in {NodeState.CREATING, NodeState.DELETING})
        if not moving:
            break
        name = data.draw(st.sampled_from(moving))
        if nodes[name].state is NodeState.CREATING:
            nodes[name] = replace(nodes[name], state=NodeState.READY)
        else:
            del nodes[name]
    assert sorted(item.generation for item in nodes.values()) == ["new"] * count
