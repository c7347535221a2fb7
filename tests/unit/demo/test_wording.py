"""How resources and times are written."""

import pytest

from hpc_operator.demo import wording

from .conftest import GROUP, NETWORK


@pytest.mark.parametrize(
    ("resource_id", "expected"),
    [
        (GROUP, "resource group hpc_climate"),
        (f"{NETWORK}/subnets/compute", "subnet compute"),
        (f"{GROUP}/providers/Microsoft.Network/networkInterfaces/nic", "network interface nic"),
        (
            f"{GROUP}/providers/Microsoft.Authorization/roleAssignments/f4157d9a-0000-0000-0000-000000000000",
            "role assignment f4157d9a",
        ),
        (f"{GROUP}/providers/Microsoft.Compute/virtualMachines/scheduler/runCommands/boot", "run command boot"),
    ],
)
def test_a_resource_is_named_in_words(resource_id, expected):
    assert wording.resource_name(resource_id) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(-1, "0:00"), (5.4, "0:05"), (59.7, "1:00"), (3725, "62:05")])
def test_the_clock_has_minutes_and_seconds(seconds, expected):
    assert wording.clock(seconds) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.44, "0.4 s"), (28.2, "28 s"), (385, "6 min 25 s")])
def test_time_here_is_as_exact_as_anybody_wants_it(seconds, expected):
    assert wording.here(seconds) == expected
