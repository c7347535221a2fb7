"""slurm.conf as a whole, and what each part of a partition does to it."""

from pathlib import Path

import pytest

from hpc_operator.api import ComputePartition
from hpc_operator.slurm.configuration import render

GOLDEN = Path(__file__).with_name("slurm.conf")


def partition(name, created="2026-01-01T00:00:00Z", **spec):
    nodes = {"min": 0, "max": 16, "idleTimeout": "10m"} | spec.pop("nodes", {})
    spec = {"environmentRef": {"name": "climate"}, "vmSizes": ["Standard_HB176rs_v4"], "nodes": nodes, **spec}
    return ComputePartition.model_validate({"metadata": {"name": name, "creationTimestamp": created}, "spec": spec})


PARTITIONS = [
    partition("climate-gpu", "2026-02-01T00:00:00Z", partitionName="gpu", nodes={"min": 2, "idleTimeout": "1h"}),
    partition("climate-hpc", "2026-01-01T00:00:00Z", partitionName="hpc"),
]


def test_slurm_conf_is_what_it_was():
    files = render("climate", PARTITIONS, ["MaxJobCount=50000", "DebugFlags=Power"])
    assert files["slurm.conf"] == GOLDEN.read_text()
    assert files.keys() == {"slurm.conf", "cgroup.conf"}


def test_the_order_of_partitions_does_not_matter():
    assert render("c", PARTITIONS) == render("c", PARTITIONS[::-1])


def test_the_oldest_partition_is_the_default_one():
    lines = [line for line in render("c", PARTITIONS)["slurm.conf"].splitlines() if "Default=YES" in line]
    assert len(lines) == 1
    assert lines[0].startswith("PartitionName=hpc ")


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("90s", 90), ("1h30m", 5400), ("0s", 1)])
def test_idle_timeout(text, seconds):
    conf = render("c", [partition("p", nodes={"idleTimeout": text})])["slurm.conf"]
    assert f" SuspendTime={seconds}\n" in conf


def test_slurm_suspends_no_partition_whose_nodes_the_operator_keeps():
    assert "SuspendExcParts=gpu\n" in render("c", PARTITIONS)["slurm.conf"]
    assert "SuspendExcParts" not in render("c", PARTITIONS[1:])["slurm.conf"]


def test_without_a_partition_a_hidden_one_keeps_slurmctld_alive():
    assert render("c", [])["slurm.conf"].endswith("\nPartitionName=none Hidden=YES State=INACTIVE\n")


def test_lines_of_the_user_stand_last():
    conf = render("c", PARTITIONS, ["TreeWidth=50", "DebugFlags=Power"])["slurm.conf"]
    assert conf.endswith("\n\nTreeWidth=50\nDebugFlags=Power\n")
