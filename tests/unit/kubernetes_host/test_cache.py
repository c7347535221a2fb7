"""The cache: what wakes which environment, and what is forgotten."""

import json
import tracemalloc

import pytest

from hpc_operator.kubernetes_host.cache import ObjectCache
from hpc_operator.reconcile.ports import Key

KEY = Key("hpc", "climate")


def environment(name="climate", version=1, generation=1, **metadata):
    return {
        "apiVersion": "azurehpc.io/v1alpha1",
        "kind": "HPCEnvironment",
        "metadata": {
            "name": name,
            "namespace": "hpc",
            "uid": f"u-{name}",
            "resourceVersion": str(version),
            "generation": generation,
            **metadata,
        },
        "spec": {"location": "westeurope", "network": {"addressSpace": ["10.0.0.0/20"]}, "scheduler": {"slurm": {}}},
    }


def tier(name="home", version=1, **metadata):
    return {
        "apiVersion": "azurehpc.io/v1alpha1",
        "kind": "StorageTier",
        "metadata": {
            "name": name,
            "namespace": "hpc",
            "uid": f"u-{name}",
            "resourceVersion": str(version),
            "generation": 1,
            **metadata,
        },
        "spec": {
            "environmentRef": {"name": "climate"},
            "purpose": "Home",
            "mountPath": "/home",
            "netAppFiles": {"capacity": "4Ti"},
        },
    }


def test_a_status_that_is_not_what_was_written_last_wakes():
    """A write that timed out may reach the API server after the one that followed it, and nobody else tells."""
    cache = ObjectCache()
    cache.apply(environment())
    resource = cache.snapshot(KEY).environment
    old, new = {"step": "Storage", "tags": ["a"]}, {"tags": ["a"], "step": "-"}
    assert cache.apply({**environment(version=2), "status": old}) == set(), "nothing was written yet"
    cache.note_written(resource, new)
    assert cache.apply({**environment(version=3), "status": {"step": "-", "tags": ["a"]}}) == set()
    assert cache.apply({**environment(version=4), "status": old}) == {KEY}
    assert cache.apply({**environment(version=5), "status": new}) == set()


def test_what_lost_its_last_finalizer_is_gone_and_does_not_come_back():
    """The answer to our write shows it once more, sometimes after the watch has told of its deletion."""
    cache = ObjectCache()
    deleting = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    cache.apply(environment(finalizers=["azurehpc.io/azure-resources"]))
    cache.apply(environment(version=2, finalizers=["azurehpc.io/azure-resources"], **deleting))
    assert cache.snapshot(KEY).environment is not None
    answer = environment(version=3, finalizers=[], **deleting)
    assert cache.apply(answer) == {KEY}
    assert cache.snapshot(KEY).environment is None
    cache.remove(answer)  # as the watch tells it
    assert cache.apply(answer) == set()
    assert cache.known() == frozenset()


def test_a_tier_wakes_its_environment_even_before_that_exists():
    cache = ObjectCache()
    assert cache.apply(tier()) == {KEY}
    assert cache.snapshot(KEY).environment is None
    assert cache.apply(environment()) == {KEY}
    snapshot = cache.snapshot(KEY)
    assert snapshot.environment is not None
    assert [item.metadata.name for item in snapshot.tiers] == ["home"]


def test_echoes_of_our_own_writes_wake_nobody():
    cache = ObjectCache()
    cache.apply(environment())
    assert cache.apply({**environment(version=2), "status": {"step": "-"}}) == set()
    assert cache.apply(environment(version=3, finalizers=["x"])) == set()
    assert cache.raw(cache.snapshot(KEY).environment)["metadata"]["finalizers"] == ["x"]


@pytest.mark.parametrize("change", [{"generation": 2}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}])
def test_what_means_something_wakes(change):
    cache = ObjectCache()
    cache.apply(environment())
    assert cache.apply(environment(**{"version": 2, **change})) == {KEY}


def test_an_older_version_is_ignored():
    cache = ObjectCache()
    cache.apply(environment(version=9, generation=2))
    assert cache.apply(environment(version=10 - 2, generation=1)) == set()
    assert cache.snapshot(KEY).environment.metadata.generation == 2


def test_what_a_list_does_not_show_is_forgotten():
    cache = ObjectCache()
    cache.apply(environment())
    cache.apply(tier())
    known = cache.known()
    cache.apply(tier("scratch"))  # brought by a watch while the list was under way
    assert cache.keep_only({("HPCEnvironment", "hpc", "climate")}, known) == {KEY}
    assert [item.metadata.name for item in cache.snapshot(KEY).tiers] == ["scratch"]


def test_removing_an_object_of_another_uid_does_nothing():
    cache = ObjectCache()
    cache.apply(environment())
    other = environment()
    other["metadata"]["uid"] = "another"
    assert cache.remove(other) == set()
    assert cache.remove(environment()) == {KEY}
    assert cache.environments() == set()


def test_an_environment_that_goes_wakes_all_others_because_it_may_have_been_in_their_way():
    cache = ObjectCache()
    cache.apply(environment())
    cache.apply(environment("ocean"))
    assert cache.remove(environment()) == {KEY, Key("hpc", "ocean")}


def test_an_object_that_is_not_understood_is_left_alone(caplog):
    cache = ObjectCache()
    broken = environment()
    broken["spec"]["network"] = 3
    assert cache.apply(broken) == set()
    assert cache.environments() == set()
    # Once is enough, and whoever compares with a list does not find it missing.
    cache.apply(broken)
    assert len(caplog.records) == 1
    key = ("HPCEnvironment", "hpc", "climate")
    assert cache.version(key) == 1
    assert cache.known() == {key}
    assert cache.apply(environment(version=2)) == {KEY}


def test_what_was_understood_stays_when_a_newer_form_is_not():
    cache = ObjectCache()
    cache.apply(environment())
    broken = environment(version=2)
    broken["spec"]["network"] = 3
    assert cache.apply(broken) == set()
    assert cache.snapshot(KEY).environment.metadata.resource_version == "1"
    assert cache.version(("HPCEnvironment", "hpc", "climate")) == 2


def test_an_annotation_of_ours_is_a_word_to_us_and_others_are_not():
    cache = ObjectCache()
    cache.apply(environment())
    assert cache.apply(environment(version=2, annotations={"argocd.argoproj.io/tracking-id": "x"})) == set()
    assert cache.apply(environment(version=3, annotations={"azurehpc.io/approve": "1a2b:climate"})) == {KEY}


def test_the_others_are_without_status_and_as_they_are_now():
    cache = ObjectCache()
    cache.apply(environment())
    cache.apply({**environment("ocean"), "status": {"step": "Storage"}})
    (ocean,) = cache.snapshot(KEY).others
    assert (ocean.metadata.name, ocean.status.step) == ("ocean", "")
    deleting = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}  # without one it would be gone
    cache.apply(environment("ocean", version=2, generation=2, **deleting))
    assert cache.snapshot(KEY).others[0].deleting
    assert cache.snapshot(Key("hpc", "ocean")).environment.status.step == ""


def test_who_owns_which_field_is_not_kept():
    cache = ObjectCache()
    cache.apply(environment(managedFields=[{"manager": "kubectl"}]))
    assert "managedFields" not in cache.raw(cache.snapshot(KEY).environment)["metadata"]


def test_a_tier_costs_little_more_than_its_text():
    count = 500
    tiers = [
        tier(f"home-{number}", managedFields=[{"manager": "x" * 3000}], uid=f"u-{number}") for number in range(count)
    ]
    cache = ObjectCache()
    tracemalloc.start()
    for raw in tiers:
        cache.apply(raw)
    used = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    assert used < len(json.dumps(tier())) + 2000
