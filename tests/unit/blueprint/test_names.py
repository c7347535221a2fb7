"""Names that are unique where they must be, and within Azure's limits."""

import re

from hypothesis import given
from hypothesis import strategies as st

from hpc_operator.api import HPCEnvironment
from hpc_operator.blueprint.names import Site, resource_group_name

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", fullmatch=True)
NAMESPACE = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


def environment(namespace, name, uid="u"):
    spec = {"location": "westeurope", "network": {"addressSpace": ["10.0.0.0/20"]}, "scheduler": {"slurm": {}}}
    return HPCEnvironment.model_validate({"metadata": {"name": name, "namespace": namespace, "uid": uid}, "spec": spec})


@given(NAMESPACE, LABEL)
def test_names_are_within_azures_limits(namespace, name):
    found = environment(namespace, name)
    site = Site("s", found)
    assert re.fullmatch(r"[a-z0-9_.-]{1,89}[a-z0-9_-]", resource_group_name(found))
    assert re.fullmatch(r"[a-z0-9]{3,24}", site.globally_unique("hpc", 24))
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,22}[a-z0-9]", site.globally_unique("hpc-", 24, "uid"))


@given(st.lists(st.tuples(NAMESPACE, LABEL), unique=True, min_size=2, max_size=2))
def test_no_two_environments_have_one_resource_group(pairs):
    one, other = (resource_group_name(environment(*pair)) for pair in pairs)
    assert one != other


def test_a_vault_gets_a_new_name_with_a_new_object_and_a_storage_account_keeps_its_own(example):
    def named(uid):
        blueprint = example.blueprint(example.environment(metadata={"uid": uid}))
        return example.find(blueprint, "vaults").name, example.find(blueprint, "storageAccounts").name

    (vault, account), (other_vault, other_account) = named("a"), named("b")
    assert vault != other_vault
    assert account == other_account
