"""What the models take and refuse in Python: the same as the API server, with the same sentences."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.api.common import Duration, Quantity, VmSize, parse_duration, parse_quantity
from hpc_operator.api.compute_partition import IntOrPercent
from hpc_operator.api.hpc_environment import AddressRange, Cidr, SourceRange, SubnetId


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("10m", 600), ("24h", 86400), ("1h30m", 5400), ("1h1m1s", 3661)]
)
def test_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "10", "10 minutes", "1.5h", "-1h", "30m1h", "10m\n", "99999h"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 90s, 10m or 1h30m"):
        parse_duration(text)


@given(st.integers(0, 9999), st.integers(0, 99999), st.integers(0, 9999999))
def test_every_duration_of_hours_minutes_and_seconds_is_read(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == timedelta(hours=hours, minutes=minutes, seconds=seconds)


@pytest.mark.parametrize(("text", "size"), [("1Gi", 2**30), ("4Ti", 4 * 2**40), ("2Pi", 2 * 2**50)])
def test_quantity(text: str, size: int) -> None:
    assert parse_quantity(text) == size


@pytest.mark.parametrize("text", ["", "4", "0Ti", "1.5Ti", "4TB", "4Ti\n", "-1Ti"])
def test_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 512Gi or 4Ti"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Duration, ["10m"], ["10 minutes"]),
        (Quantity, ["4Ti"], ["1.5Ti", "0"]),
        (VmSize, ["Standard_HB176rs_v4"], ["HB176rs_v4", "Standard_HB176rs_v4\n"]),
        (Cidr, ["10.0.0.1/32", "0.0.0.0/0"], ["10.0.0.0", "10.0.0.1/24", "fd00::/64", "10.0.0.0/255.255.0.0", "x/8"]),
        (AddressRange, ["10.40.0.0/20"], ["10.0.0.0/8", "10.0.0.0/25", "172.16.0.0/20", "127.0.0.0/16", "nonsense"]),
        (SourceRange, ["192.0.2.0/24"], ["0.0.0.0/0", "128.0.0.0/1", "192.0.2.1/24"]),
        (
            SubnetId,
            ["/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"],
            ["n"],
        ),
        (IntOrPercent, [0, 1000, "0%", "25%", "100%"], [-1, 1001, "101%", "25"]),
    ],
)
def test_check_holds_in_python(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    adapter = TypeAdapter[Any](annotation)
    for value in good:
        assert adapter.validate_python(value) == value
    for value in bad:
        with pytest.raises(ValidationError, match=r"(must|may not) .*: write "):
            adapter.validate_python(value)


SMALLEST: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (
        HPCEnvironment,
        {"location": "westeurope", "network": {"addressSpace": ["10.40.0.0/20"]}, "scheduler": {"slurm": {}}},
    ),
    (
        StorageTier,
        {
            "environmentRef": {"name": "climate"},
            "purpose": "Home",
            "mountPath": "/home",
            "netAppFiles": {"capacity": "4Ti"},
        },
    ),
    (
        ComputePartition,
        {"environmentRef": {"name": "climate"}, "vmSizes": ["Standard_HB176rs_v4"], "nodes": {"max": 16}},
    ),
]


@pytest.mark.parametrize(("kind", "spec"), SMALLEST)
def test_unknown_fields_are_survived(kind: type[BaseModel], spec: dict[str, Any]) -> None:
    newer = kind.model_validate(
        {"metadata": {"name": "x", "newField": 1}, "spec": {**spec, "newField": {}}, "newField": 1}
    )
    assert newer == kind.model_validate({"metadata": {"name": "x"}, "spec": spec})
