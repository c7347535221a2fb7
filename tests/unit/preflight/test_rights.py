"""Our own rights, registrations and names."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_operator.graph import Graph, Ref, Resource, Step
from hpc_operator.preflight import names, providers, rights
from hpc_operator.subscription import Permissions

from .conftest import EXISTING, HUB, SUBSCRIPTION, environment, find, hub, lustre, net_app, surroundings

INSTALLING = Path(__file__).parents[3] / "docs" / "installing.md"
GROUP = f"{SUBSCRIPTION}/resourceGroups/hpc_climate"
LOGS = f"{SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.OperationalInsights/workspaces/logs"
ACCESS_ADMINISTRATOR = (
    ("Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete", "*/read"),
    (),
)


def documented_role():
    text = re.search(r"hpc-operator-role\.json <<EOF\n(.*?)\nEOF", INSTALLING.read_text(), re.DOTALL)
    return tuple(json.loads(text[1])["Actions"]), ()


def permissions(*actions, without=()):
    return Permissions(grants=((actions, tuple(without)),))


def check(site, given):
    needs = rights.needed(site)
    return list(rights.check(site, needs, dict.fromkeys(needs, given)))


def everything():
    env = environment(
        network={"addressSpace": ["10.40.0.0/20"], "access": {"bastion": {}}},
        monitoring={"logAnalyticsWorkspace": LOGS},
    )
    return surroundings(env, tiers=[net_app(), lustre()])


def test_the_role_that_is_documented_is_enough():
    given = Permissions(grants=(documented_role(), ACCESS_ADMINISTRATOR))
    assert check(everything(), given) == []
    assert check(surroundings(environment(network=EXISTING)), given) == []


@pytest.mark.parametrize("action", [action for action in documented_role()[0] if action != "*/read"])
def test_every_action_of_the_documented_role_is_needed(action):
    role = tuple(item for item in documented_role()[0] if item != action)
    (finding,) = check(everything(), Permissions(grants=((role, ()), ACCESS_ADMINISTRATOR)))
    assert finding.blocks


def test_the_scope_is_the_subscription_until_the_group_exists():
    assert set(rights.needed(surroundings())) == {SUBSCRIPTION}
    made = surroundings(shown={"resourcegroups/hpc_climate": {"location": "westeurope"}})
    assert set(rights.needed(made)) == {GROUP}


def test_one_sentence_for_each_scope_names_what_is_missing_and_holds_up_what_needs_it():
    site = surroundings()
    given = permissions(
        "*", without=["Microsoft.Network/natGateways/write", "Microsoft.Network/natGateways/join/action"]
    )
    (finding,) = check(site, given)
    assert finding.message == (
        f"The operator lacks rights on {SUBSCRIPTION} (Microsoft.Network/natGateways/join/action, "
        "Microsoft.Network/natGateways/write): give its identity a role with these actions there, as "
        "docs/installing.md shows"
    )
    assert finding.blocks == {
        find(site, "natgateways/nat"), find(site, "subnets/compute"), find(site, "subnets/services"),
    }  # fmt: skip


def test_a_long_list_is_cut():
    (finding,) = check(surroundings(), permissions("*/read"))
    assert re.search(r"\((Microsoft\.[A-Za-z/]+, ){4}Microsoft\.[A-Za-z/]+ and \d+ more\)", finding.message)


def test_what_is_missing_for_deleting_is_news():
    (finding,) = check(surroundings(), permissions("*", without=["Microsoft.KeyVault/vaults/delete"]))
    assert finding.blocks == frozenset()


def test_data_that_is_retained_needs_not_be_deleted():
    assert check(surroundings(tiers=[lustre()]), permissions("*", without=["Microsoft.StorageCache/*/delete"])) == []


def test_nodes_wait_for_their_rights_too():
    site = surroundings()
    (finding,) = check(site, permissions("*", without=["Microsoft.Compute/virtualMachines/write"]))
    assert site.node_sets[0].scale_set_id.lower() in finding.blocks


def test_what_somebody_else_owns_is_read_and_joined_and_no_more():
    needs = rights.needed(surroundings(environment(network=EXISTING)))
    assert {scope: sorted(actions) for scope, actions in needs.items() if "/net/" in scope} == {
        HUB: ["Microsoft.Network/virtualNetworks/join/action", "Microsoft.Network/virtualNetworks/read"],
        **{
            f"{HUB}/subnets/{name}": [
                "Microsoft.Network/virtualNetworks/subnets/join/action",
                "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action",
                "Microsoft.Network/virtualNetworks/subnets/read",
            ]
            for name in ("nodes", "services")
        },
    }


def test_a_subnet_that_may_not_be_joined_holds_up_what_would_be_in_it():
    site = surroundings(environment(network=EXISTING), shown={HUB: hub("10.0.0.0/16")})
    needs = rights.needed(site)
    reader = permissions("*/read", "*/joinViaServiceEndpoint/action")
    (finding,) = rights.check(site, needs, {f"{HUB}/subnets/services": reader})
    assert "(Microsoft.Network/virtualNetworks/subnets/join/action)" in finding.message
    assert find(site, "nic-scheduler") in finding.blocks
    assert find(site, "pe-storage") in finding.blocks


def test_managed_identity_operator_may_assign():
    given = Permissions(
        grants=(
            (("*",), ("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",)),
            (("Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",), ()),
        )
    )
    assert check(surroundings(), given) == []


def test_parts_of_what_somebody_else_owns_are_asked_for_there():
    site = surroundings()
    shared = f"{SUBSCRIPTION}/resourceGroups/shared"
    account, pool = f"{shared}/providers/Microsoft.NetApp/netAppAccounts/theirs", "capacityPools/ours"
    workspace = f"{shared}/providers/Microsoft.OperationalInsights/workspaces/logs"
    common = {"step": Step.STORAGE, "owner": site.owner}
    graph = Graph(
        [
            Resource(shared, **common, referenced=True),
            Resource(account, **common, referenced=True),
            Resource(f"{account}/{pool}", **common),
            Resource(workspace, **common, referenced=True),
            Resource(f"{GROUP}/providers/Microsoft.Network/x/y/providers/Microsoft.Insights/diagnosticSettings/z",
                     **common, body={"properties": {"workspaceId": Ref(workspace)}}),
        ]
    )  # fmt: skip
    site = replace(site, blueprint=replace(site.blueprint, graph=graph, node_sets=()))
    actions = {scope: sorted(item.partition("/")[2] for item in found) for scope, found in rights.needed(site).items()}
    assert actions == {
        shared: ["subscriptions/resourceGroups/read"],
        account: [
            "netAppAccounts/capacityPools/delete",
            "netAppAccounts/capacityPools/read",
            "netAppAccounts/capacityPools/write",
            "netAppAccounts/read",
        ],
        workspace: ["workspaces/read", "workspaces/sharedKeys/action"],
        SUBSCRIPTION: ["diagnosticSettings/delete", "diagnosticSettings/read", "diagnosticSettings/write"],
    }


# --- Registrations


def test_a_provider_that_is_not_registered_and_may_not_be():
    site = surroundings(tiers=[net_app()])
    states = {
        "microsoft.netapp": "NotRegistered",
        "microsoft.network": "Registered",
        "microsoft.compute": "Registering",
    }
    assert list(providers.check(site, states, permissions("*/register/action"))) == []
    (finding,) = providers.check(site, states, permissions("*/read"))
    assert finding.message == (
        "The subscription is not registered for Microsoft.NetApp, and the operator may not do it: run "
        "`az provider register --namespace Microsoft.NetApp`"
    )
    assert find(site, "volumes/climate-home") in finding.blocks
    assert not any("microsoft.network" in item for item in finding.blocks)


def test_a_provider_that_nothing_needs():
    assert list(providers.check(surroundings(), {"microsoft.netapp": "NotRegistered"}, Permissions())) == []


# --- Names


def test_a_name_that_somebody_has():
    site = surroundings()
    account, vault = names.needed(site)
    assert list(names.check(site, {account.id: "", vault.id: ""})) == []
    (finding,) = names.check(site, {account.id: "The storage account named x is already taken."})
    assert finding.message == (
        f"Storage account name {account.name} cannot be had (The storage account named x is already taken): delete or "
        "purge what has it, or create the environment under another name"
    )
    assert finding.blocks == {account.id.lower()}


def test_names_that_are_ours_are_not_asked_for():
    account, vault = names.needed(surroundings())
    shown = {account.id: {"properties": {}}, vault.id: {"properties": {}}}
    assert names.needed(surroundings(shown=shown)) == []
