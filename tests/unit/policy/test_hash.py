"""The hash of the specifications: what it depends on, and what not."""

import pytest
import yaml

from hpc_operator.api import ComputePartition, HPCEnvironment, StorageTier
from hpc_operator.policy import specification_hash

ENVIRONMENT = """
metadata: {name: climate, namespace: hpc}
spec: {location: westeurope, network: {addressSpace: [10.40.0.0/20]}, scheduler: {slurm: {}}}
"""
TIER = """
metadata: {name: climate-home, namespace: hpc}
spec: {environmentRef: {name: climate}, purpose: Home, mountPath: /home, netAppFiles: {capacity: 4Ti}}
"""
PARTITION = """
metadata: {name: climate-hpc, namespace: hpc}
spec: {environmentRef: {name: climate}, vmSizes: [Standard_HB120rs_v3], nodes: {max: 16}}
"""


def parsed(model, text, metadata=(), **spec):
    document = yaml.safe_load(text)
    document["metadata"].update(dict(metadata))
    document["spec"].update(spec)
    return model.model_validate(document)


def environment(metadata=(), **spec):
    return parsed(HPCEnvironment, ENVIRONMENT, metadata, **spec)


def tier(metadata=(), **spec):
    return parsed(StorageTier, TIER, metadata, **spec)


def partition(metadata=(), **spec):
    return parsed(ComputePartition, PARTITION, metadata, **spec)


PLAIN = specification_hash(environment(), [tier()], [partition()])


def test_it_is_ten_digits():
    assert len(PLAIN) == 10
    int(PLAIN, 16)


def test_order_does_not_count():
    one, two = tier({"name": "a"}), tier({"name": "b"})
    assert specification_hash(environment(), [one, two], []) == specification_hash(environment(), [two, one], [])


def test_a_manifest_and_what_an_api_server_makes_of_it_are_the_same():
    """The API server writes defaults, metadata and status; none of it is anybody's edit."""
    stored = tier().model_dump(mode="json", by_alias=True, exclude_none=True)
    stored["metadata"] |= {
        "uid": "1",
        "generation": 3,
        "resourceVersion": "77",
        "finalizers": ["x"],
        "labels": {"a": "b"},
    }
    stored["status"] = {"capacity": "4Ti"}
    assert stored["spec"]["deletionPolicy"] == "Retain"
    assert specification_hash(environment(), [StorageTier.model_validate(stored)], [partition()]) == PLAIN


@pytest.mark.parametrize("policy", [{"freeze": True}, {"changes": {"replace": "Automatic"}}])
def test_the_policy_does_not_count(policy):
    assert specification_hash(environment(policy=policy), [tier()], [partition()]) == PLAIN


def test_what_is_being_deleted_does_not_count():
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    without = specification_hash(environment(), [], [partition()])
    assert specification_hash(environment(), [tier(going)], [partition()]) == without
    assert specification_hash(environment(going), [tier()], [partition()]) != PLAIN


@pytest.mark.parametrize(
    "other",
    [
        (environment(tags={"a": "b"}), [tier()], [partition()]),
        (environment(), [tier({"name": "other"})], [partition()]),
        (environment(), [tier(deletionPolicy="Delete")], [partition()]),
        (environment(), [tier()], [partition(vmSizes=["Standard_HB176rs_v4"])]),
        (environment(), [], [partition()]),
        (environment(), [tier()], []),
    ],
)
def test_everything_else_counts(other):
    assert specification_hash(*other) != PLAIN
