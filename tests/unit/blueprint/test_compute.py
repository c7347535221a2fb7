"""Node sets and scale sets of partitions."""

import re

import pytest

from hpc_operator.blueprint.compute import surge
from hpc_operator.graph import NODE_NAME


def node_set(example, *, version="22.04.2025081901", **spec):
    return example.blueprint(partitions=[example.partition(**spec)], version=version).node_sets[0]


def test_the_generation_is_what_it_was(example):
    """If this fails, every node of every user would be replaced by an upgrade of the operator."""
    assert node_set(example).generation == "vpzlb"


@pytest.mark.parametrize(
    "edit",
    [
        {"vmSizes": ["Standard_HB120rs_v3"]},
        {"priority": "Spot"},
        {"image": {"urn": "microsoft-dsvm:ubuntu-hpc:2404:latest"}},
        {"version": "22.04.2026010101"},
    ],
)
def test_what_shapes_a_node_makes_a_new_generation(example, edit):
    assert node_set(example, **edit).generation != node_set(example).generation


@pytest.mark.parametrize(
    "edit",
    [
        {"vmSizes": ["Standard_HB176rs_v4"]},
        {"nodes": {"min": 3, "max": 100, "idleTimeout": "1h"}},
        {"rollout": {"maxSurge": 1}},
        {"partitionName": "other"},
        {"image": {"urn": "microsoft-dsvm:ubuntu-hpc:2204:22.04.2025081901"}},
    ],
)
def test_what_does_not_shape_a_node_makes_none(example, edit):
    assert node_set(example, **edit).generation == node_set(example).generation


def test_names_of_nodes_are_host_names(example):
    name = "a" + "-b" * 19 + "c"
    blueprint = example.blueprint(partitions=[example.partition(name)])
    longest = f"{blueprint.node_sets[0].name_prefix}1000"
    assert len(longest) <= 64
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", longest)


def test_a_node_is_named_by_the_engine_and_joins_the_scale_set_of_its_generation(example):
    found = node_set(example)
    properties = found.body["properties"]
    assert properties["osProfile"]["computerName"] is NODE_NAME
    assert properties["virtualMachineScaleSet"]["id"].resource_id.endswith(f"/climate-hpc-{found.generation}")
    assert f"FEATURES=climate-hpc,{found.generation}\n" in example.written(properties["osProfile"]["customData"])
    interface = properties["networkProfile"]["networkInterfaceConfigurations"][0]["properties"]
    assert interface["deleteOption"] == properties["storageProfile"]["osDisk"]["deleteOption"] == "Delete"
    assert interface["enableAcceleratedNetworking"] is True


def test_spot_nodes_leave_nothing_behind(example):
    properties = node_set(example, priority="Spot").body["properties"]
    assert properties["evictionPolicy"] == "Delete"
    assert properties["billingProfile"] == {"maxPrice": -1}
    assert "evictionPolicy" not in node_set(example).body["properties"]


def test_images_are_made_from_the_resolved_version(example):
    assert node_set(example).body["properties"]["storageProfile"]["imageReference"] == {
        "publisher": "microsoft-dsvm",
        "offer": "ubuntu-hpc",
        "sku": "2204",
        "version": "22.04.2025081901",
    }
    assert "plan" not in node_set(example).body


def test_images_that_are_sold_by_a_plan_carry_it(example):
    found = node_set(example, image={"urn": "almalinux:almalinux-hpc:8_10-hpc-gen2:latest"})
    assert found.body["plan"] == {"name": "8_10-hpc-gen2", "product": "almalinux-hpc", "publisher": "almalinux"}


@pytest.mark.parametrize(
    ("size", "most", "single"),
    [
        ("Standard_HB176rs_v4", 100, True),
        ("Standard_HB176-24rs_v4", 100, True),
        ("Standard_HX176rs", 16, True),
        ("Standard_ND96amsr_A100_v4", 16, True),
        ("Standard_HB176rs_v4", 101, False),
        ("Standard_D4s_v5", 16, False),
        ("Standard_NC24ads_A100_v4", 16, False),
    ],
)
def test_infiniband_joins_one_placement_group(example, size, most, single):
    blueprint = example.blueprint(partitions=[example.partition(vmSizes=[size], nodes={"max": most})])
    properties = example.find(blueprint, "virtualMachineScaleSets").body["properties"]
    assert properties == {
        "orchestrationMode": "Flexible",
        "platformFaultDomainCount": 1,
        "singlePlacementGroup": single,
    }


@pytest.mark.parametrize(
    ("wanted", "max_surge", "max_unavailable", "result"),
    [
        (16, "25%", 0, (4, 0)),
        (10, "25%", 0, (3, 0)),
        (10, "25%", "25%", (3, 2)),
        (3, 0, "25%", (1, 0)),
        (0, "25%", 0, (1, 0)),
        (0, 0, 2, (0, 2)),
        (10, 2, 1, (2, 1)),
        (1000, "100%", 0, (1000, 0)),
    ],
)
def test_shares_of_the_wanted_nodes(example, wanted, max_surge, max_unavailable, result):
    partition = example.partition(
        nodes={"min": wanted, "max": 1000}, rollout={"maxSurge": max_surge, "maxUnavailable": max_unavailable}
    )
    assert surge(partition) == result
