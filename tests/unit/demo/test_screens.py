"""What the screens show of what was seen, drawn and as lines."""

import pytest
from rich.console import Console

from hpc_operator.blueprint.names import GENERATION_TAG, PARTITION_TAG
from hpc_operator.demo.screens import BecomingReady, Growing, RollingOut, Timer
from hpc_operator.graph import Step

from .conftest import GROUP, NETWORK, condition, custom_resource, node_id, operation

TABLE = "NAME      READY\nclimate   False\n"


def _drawn(screen, height=35):
    console = Console(width=100, height=height, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(screen.draw(height))
    return capture.get()


@pytest.fixture
def timer():
    return Timer(since=0.0, speed=30.0)


@pytest.fixture
def becoming(seen):
    resources = [
        {"id": GROUP, "owner": "HPCEnvironment/climate", "state": "Ready"},
        {"id": NETWORK, "owner": "HPCEnvironment/climate", "state": "Ready"},
        {"id": f"{NETWORK}/subnets/compute", "owner": "HPCEnvironment/climate", "state": "Creating"},
    ]
    running = operation(f"{NETWORK}/subnets/compute", 20.0, 25.0, status="InProgress")
    return seen(
        custom_resource("HPCEnvironment", "climate", resources=resources),
        operations=[operation(NETWORK, 1.0, 7.0), running],
        tables={"hpcenvironments": TABLE},
        clock=22.0,
    )


def test_becoming_ready_shows_steps_arrivals_and_the_table_of_kubectl(timer, becoming):
    screen = BecomingReady("climate", "hpc", timer)
    ids = (item["id"].lower() for item in becoming.environment["status"]["resources"])
    screen.take_in(becoming, dict.fromkeys(ids, Step.INFRASTRUCTURE))

    picture = _drawn(screen)

    for text in ("Infrastructure", "2/3", "subnet compute 0:02", "virtual network vnet 0:06", "Entry point"):
        assert text in picture
    assert "$ kubectl get hpcenvironments -n hpc" in picture
    assert "climate   False" in picture


@pytest.mark.parametrize("height", [24, 35, 50])
def test_becoming_ready_fits_the_terminal(timer, becoming, height):
    screen = BecomingReady("climate", "hpc", timer)
    screen.take_in(becoming, {})
    assert len(_drawn(screen, height).splitlines()) <= height


def test_lines_say_what_is_new_and_say_it_once(timer, becoming):
    screen = BecomingReady("climate", "hpc", timer)
    screen.take_in(becoming, {})
    said = screen.lines()
    assert len(said) == 1
    assert "virtual network vnet 0:06" in said[0]
    screen.take_in(becoming, {})
    assert screen.lines() == []


def _node(name, size, generation):
    return {
        "id": node_id(name),
        "name": name,
        "tags": {PARTITION_TAG: "hpc", GENERATION_TAG: generation},
        "properties": {"provisioningState": "Succeeded", "hardwareProfile": {"vmSize": size}},
    }


@pytest.fixture
def rolling(seen, timer):
    def make(operations, *, ready="True"):
        partition = custom_resource(
            "ComputePartition", "hpc", conditions=[condition("Ready", ready)], nodes={"desired": 1}
        )
        return seen(
            partitions=[partition],
            machines=[_node("hpc-a-1", "Standard_HB120rs_v3", "a")],
            operations=operations,
            tables={"computepartitions": TABLE},
            clock=120.0,
        )

    return make


OLD = operation(node_id("hpc-a-1"), -100.0, -40.0)
NEW = operation(node_id("hpc-b-1"), 10.0, 70.0)


def test_a_rollout_is_settled_when_only_new_nodes_are_there(timer, rolling):
    screen = RollingOut("hpc", "hpc", timer, old_size="Standard_HB120rs_v3", new_size="Standard_HB176rs_v4")
    screen.take_in(rolling([OLD]))
    assert not screen.settled
    screen.take_in(rolling([OLD, NEW]))
    assert not screen.settled
    screen.take_in(rolling([OLD, NEW, operation(node_id("hpc-a-1"), 71.0, 110.0, verb="DELETE")]))
    assert screen.settled
    assert (screen.fewest, screen.most) == (1, 2)


def test_a_rollout_draws_a_strip_of_time_for_each_node(timer, rolling):
    screen = RollingOut("hpc", "hpc", timer, old_size="Standard_HB120rs_v3", new_size="Standard_HB176rs_v4")
    screen.take_in(rolling([OLD, NEW, operation(node_id("hpc-a-1"), 75.0, 105.0, verb="DELETE")]))

    old, new = (line for line in _drawn(screen).splitlines() if "hpc-a-1" in line or "hpc-b-1" in line)

    assert "Standard_HB120rs_v3" in old
    assert "█████▒▒" in old
    assert "Standard_HB176rs_v4" in new
    assert "░░░░███" in new


def test_a_look_at_a_partition_that_is_not_ready_is_counted(timer, rolling):
    screen = RollingOut("hpc", "hpc", timer, old_size="a", new_size="b")
    screen.take_in(rolling([OLD]))
    screen.take_in(rolling([OLD], ready="False"))
    assert (screen.looks, screen.looks_ready) == (2, 1)
    assert "in 1 looks only" in _drawn(screen)


def test_growing_tells_the_capacity_before_and_after(timer, seen):
    pool = f"{GROUP}/providers/Microsoft.NetApp/netAppAccounts/netapp/capacityPools/home"
    screen = Growing("home", "hpc", timer, before="4Ti", after="6Ti")

    def look(capacity):
        tier = custom_resource("StorageTier", "home", capacity=capacity)
        done = operation(pool, 1.0, 20.0, verb="PATCH")
        return seen(tiers=[tier], operations=[done], tables={"storagetiers": TABLE}, clock=30.0)

    screen.take_in(look("4Ti"))
    assert screen.lines() == ["  0:20  PATCH NetApp pool home 0:19"]
    screen.take_in(look("6Ti"))
    assert [line.split("  ", 2)[-1] for line in screen.lines()] == ["capacity 4Ti → 6Ti"]
    assert "4Ti → 6Ti" in _drawn(screen)
