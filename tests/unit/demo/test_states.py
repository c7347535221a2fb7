"""What the demo reads from objects: readiness, steps, arrivals, and the lives of nodes."""

import pytest

from hpc_operator.demo import states
from hpc_operator.demo.states import Mark
from hpc_operator.graph import Step

from .conftest import NETWORK, condition, custom_resource, node_id, operation


@pytest.mark.parametrize(
    ("conditions", "generation", "expected"),
    [
        ([condition("Ready", "True")], 1, True),
        ([condition("Ready", "False")], 1, False),
        ([], 1, False),
        # It was Ready as it was written before the edit.
        ([condition("Ready", "True")], 2, False),
        # Ready for users, and still at work.
        ([condition("Ready", "True"), condition("Reconciling", "True")], 1, False),
        ([condition("Ready", "True"), condition("Stalled", "True")], 1, False),
    ],
)
def test_ready_is_what_is_ready_as_written_and_has_nothing_left_to_do(conditions, generation, expected):
    body = custom_resource("StorageTier", "home", conditions=conditions, generation=generation)
    assert states.is_ready(body) is expected


def test_stalled_names_the_object_and_what_it_says():
    good = custom_resource("HPCEnvironment", "climate", conditions=[condition("Ready", "True")])
    bad = custom_resource("ComputePartition", "gpu", conditions=[condition("Stalled", "True", message="No quota.")])
    assert states.stalled([good]) == ""
    assert states.stalled([good, bad]) == "ComputePartition gpu: No quota."


def test_a_step_counts_its_resources_and_tells_what_azure_works_on(seen):
    environment = custom_resource(
        "HPCEnvironment",
        "climate",
        resources=[
            {"id": NETWORK, "owner": "HPCEnvironment/climate", "state": "Ready"},
            {"id": f"{NETWORK}/subnets/compute", "owner": "HPCEnvironment/climate", "state": "Creating"},
        ],
    )
    step_of = {NETWORK.lower(): Step.INFRASTRUCTURE, f"{NETWORK}/subnets/compute".lower(): Step.INFRASTRUCTURE}
    running = operation(f"{NETWORK}/subnets/compute", 90.0, 105.0, status="InProgress")

    first, *others = states.steps(seen(environment, operations=[running], clock=94.0), step_of)

    assert (first.mark, first.ready, first.total) == (Mark.WORKING, 1, 2)
    assert [(item.name, item.seconds) for item in first.busy] == [("subnet compute", 4.0)]
    assert {step.mark for step in others} == {Mark.WAITING}


def test_a_step_with_nothing_in_it_yet_is_not_shown_as_ready(seen):
    environment = custom_resource("HPCEnvironment", "climate", conditions=[condition("StorageReady", "True")])
    assert states.steps(seen(environment), {})[2].mark is Mark.WAITING


def test_a_failed_resource_makes_its_step_say_why(seen):
    environment = custom_resource(
        "HPCEnvironment",
        "climate",
        conditions=[condition("InfrastructureReady", "False", message="subnet compute: NetcfgInvalidSubnet")],
        resources=[{"id": f"{NETWORK}/subnets/compute", "owner": "HPCEnvironment/climate", "state": "Failed"}],
    )
    first = states.steps(seen(environment), {f"{NETWORK}/subnets/compute".lower(): Step.INFRASTRUCTURE})[0]
    assert first.mark is Mark.FAILED
    assert first.trouble == "subnet compute: NetcfgInvalidSubnet"


def test_each_resource_arrives_once_with_the_time_that_azure_took(seen):
    arrivals = states.Arrivals()
    resources = [{"id": NETWORK, "owner": "HPCEnvironment/climate", "state": "Ready"}]
    environment = custom_resource("HPCEnvironment", "climate", resources=resources)
    look = seen(environment, operations=[operation(NETWORK, 10.0, 16.0)], clock=20.0)

    assert [(item.at, item.name, item.seconds) for item in arrivals.news(look)] == [(16.0, "virtual network vnet", 6.0)]
    assert arrivals.news(look) == []


def test_what_azure_had_finished_before_arrives_when_the_operator_noticed(seen):
    arrivals = states.Arrivals()
    arrivals.news(seen(clock=50.0))
    resources = [{"id": NETWORK, "owner": "HPCEnvironment/climate", "state": "Ready"}]
    environment = custom_resource("HPCEnvironment", "climate", resources=resources)
    look = seen(environment, operations=[operation(NETWORK, 10.0, 16.0)], clock=60.0)
    assert arrivals.news(look)[0].at == 50.0


ROLLOUT = [
    operation(node_id("hpc-old-1"), 0.0, 60.0),
    operation(node_id("hpc-old-2"), 0.0, 70.0),
    operation(node_id("hpc-new-1"), 100.0, 170.0),
    operation(node_id("hpc-old-2"), 180.0, 240.0, verb="DELETE"),
    operation(node_id("hpc-new-2"), 250.0, 320.0),
    operation(node_id("hpc-old-1"), 330.0, 390.0, verb="DELETE", status="InProgress"),
    operation(node_id("scheduler"), 0.0, 70.0),
]


def test_lives_tell_what_became_of_each_node():
    found = states.lives(ROLLOUT, "hpc-")
    assert [(life.name, life.state) for life in found] == [
        ("hpc-old-1", "Deleting"),
        ("hpc-old-2", "gone"),
        ("hpc-new-1", "Ready"),
        ("hpc-new-2", "Ready"),
    ]


def test_a_name_that_comes_back_is_another_life():
    operations = [
        operation(node_id("hpc-1"), 0.0, 60.0),
        operation(node_id("hpc-1"), 100.0, 130.0, verb="DELETE"),
        operation(node_id("hpc-1"), 140.0, 200.0),
    ]
    assert [(life.made, life.state) for life in states.lives(operations, "hpc-")] == [(0.0, "gone"), (140.0, "Ready")]


def test_a_node_that_azure_could_not_make_never_serves():
    failed = states.lives([operation(node_id("hpc-1"), 0.0, 60.0, status="Failed")], "hpc-")
    assert failed[0].state == "Failed"
    assert states.fewest_serving(failed, 0.0, 100.0) == 0


def test_fewest_and_most_are_those_of_any_moment_and_not_of_the_looks():
    found = states.lives(ROLLOUT, "hpc-")
    assert states.fewest_serving(found, 100.0, 400.0) == 2
    assert states.most_present(found, 100.0, 400.0) == 3


def test_a_node_that_goes_before_another_has_come_is_noticed():
    operations = [
        operation(node_id("hpc-1"), 0.0, 60.0),
        operation(node_id("hpc-2"), 100.0, 170.0),
        operation(node_id("hpc-1"), 169.0, 230.0, verb="DELETE"),
    ]
    assert states.fewest_serving(states.lives(operations, "hpc-"), 90.0, 300.0) == 0
