"""Existing networks."""

import pytest

from hpc_operator.preflight import network

from .conftest import EXISTING, HUB, environment, find, hub, lustre, net_app, partition, subnet, surroundings

GOOD = {HUB: hub("10.0.0.0/16"), "subnets/nodes": subnet("10.0.0.0/24"), "subnets/services": subnet("10.0.1.0/27")}


def site(changes=None, tiers=(), partitions=None, nodes=None, **subnets):
    named = EXISTING["existing"]["subnets"] | {role: f"{HUB}/subnets/{name}" for role, name in subnets.items()}
    env = environment(network={"existing": {"subnets": named}})
    return surroundings(env, partitions, tiers, nodes, GOOD | (changes or {}))


def check(*args, **more):
    return list(network.check(site(*args, **more)))


def test_a_good_network_is_good():
    netapp = subnet("10.0.2.0/28", endpoints=(), delegated_to=["Microsoft.Netapp/volumes"])
    changes = {"subnets/netapp": netapp, "subnets/lustre": subnet("10.0.3.0/27", endpoints=())}
    assert check(changes, [net_app(), lustre()], netApp="netapp", lustre="lustre") == []


def test_a_network_of_ours_is_not_looked_at():
    assert list(network.check(surroundings())) == []


def test_what_nobody_looked_at_is_not_judged():
    one = site()
    assert list(network.check(type(one)(one.blueprint, one.environment, one.partitions, {}, {}))) == []


def test_a_network_that_is_not_there():
    one = site({HUB: None, "subnets/nodes": None, "subnets/services": None})
    (finding,) = network.check(one)
    assert (finding.reason, finding.message) == ("NetworkMissing", f"Virtual network {HUB} does not exist: create it")
    assert {
        find(one, "nic-scheduler"),
        find(one, "virtualnetworklinks/vnet"),
        one.node_sets[0].scale_set_id.lower(),
    } < (finding.blocks)
    assert find(one, "scheduler-state") not in finding.blocks


def test_a_network_of_another_region():
    (finding,) = check({HUB: hub("10.0.0.0/16", location="northeurope")})
    assert finding.reason == "NetworkInOtherRegion"
    assert finding.blocks
    assert check({HUB: hub("10.0.0.0/16", location="West Europe")}) == []


def test_a_subnet_that_is_not_there_holds_up_what_would_be_in_it():
    one = site({"subnets/nodes": None})
    (finding,) = network.check(one)
    assert finding.reason == "SubnetMissing"
    assert one.node_sets[0].scale_set_id.lower() in finding.blocks
    assert find(one, "nic-scheduler") not in finding.blocks


@pytest.mark.parametrize("name", ["nodes", "services"])
def test_machines_need_a_subnet_without_delegation(name):
    (finding,) = check({f"subnets/{name}": subnet("10.0.0.0/24", delegated_to=["Microsoft.NetApp/volumes"])})
    assert finding.reason == "SubnetDelegated"
    assert f"{HUB}/subnets/{name} is delegated to Microsoft.NetApp/volumes" in finding.message
    assert finding.blocks


def test_net_app_needs_a_delegated_subnet():
    one = site({"subnets/netapp": subnet("10.0.2.0/28")}, [net_app()], netApp="netapp")
    (finding,) = network.check(one)
    assert finding.blocks == {find(one, "volumes/climate-home")}
    assert finding.message.endswith("not delegated to Microsoft.NetApp/volumes: delegate it")
    (finding,) = check({"subnets/netapp": subnet("10.0.2.0/28", used=1)}, [net_app()], netApp="netapp")
    assert finding.message.endswith("delegate it after you took out what is in it")


def test_a_subnet_that_no_tier_needs_is_not_looked_at():
    assert check(netApp="netapp") == []


def test_the_vault_lets_in_subnets_by_their_service_endpoint():
    one = site({"subnets/nodes": subnet("10.0.0.0/24", endpoints=["Microsoft.Storage"])})
    (finding,) = network.check(one)
    assert finding.reason == "ServiceEndpointMissing"
    (blocked,) = finding.blocks
    assert "/microsoft.keyvault/vaults/" in blocked


def test_nodes_need_addresses():
    assert check(partitions=[partition(most=250)]) == []  # and one of surge: 256 - 5
    (finding,) = check(partitions=[partition(most=251)])
    assert finding.message == (
        f"Subnet {HUB}/subnets/nodes has room for 251 nodes, and partitions may have 252 together (nodes.max and "
        "rollout.maxSurge): lower nodes.max or free addresses"
    )
    assert finding.blocks == frozenset()


def test_the_sentence_about_addresses_stays_the_same_while_nodes_come():
    said = set()
    for count in (0, 3, 9):
        changes = {"subnets/nodes": subnet("10.0.0.0/28", used=count)}
        nodes = {"climate-hpc": [("Standard_HB176rs_v4", "Regular")] * count}
        (finding,) = check(changes, nodes=nodes)
        said.add(finding.message)
    assert len(said) == 1
    assert "has room for 11 nodes, and partitions may have 17" in said.pop()


def test_addresses_of_others_count():
    (finding,) = check({"subnets/nodes": subnet("10.0.0.0/24", used=240)})
    assert "has room for 11 nodes" in finding.message


def test_every_prefix_of_a_subnet_counts_but_those_of_ipv6():
    several = subnet("", addressPrefixes=["10.0.0.0/28", "10.0.9.0/28", "fd00::/64"])
    (finding,) = check({"subnets/nodes": several}, partitions=[partition(most=30)])
    assert "has room for 22 nodes" in finding.message


def test_what_has_no_address_at_all_is_held_up():
    one = site({"subnets/services": subnet("10.0.1.0/29", used=2)})
    (finding,) = network.check(one)
    assert "has 1 free addresses, and 3 are needed" in finding.message
    assert len(finding.blocks) == 2
    made = {"nic-scheduler": {"properties": {}}, "nic-login-1": {"properties": {}}, "pe-storage": {"properties": {}}}
    assert check({"subnets/services": subnet("10.0.1.0/29", used=3), **made}) == []


def test_one_subnet_for_everything_has_to_have_room_for_everything():
    roles = {"services": "nodes"}
    one = {"subnets/nodes": subnet("10.0.0.0/28")}
    named = EXISTING["existing"]["subnets"] | {role: f"{HUB}/subnets/{name}" for role, name in roles.items()}
    env = environment(network={"existing": {"subnets": named}})
    shown = {HUB: hub("10.0.0.0/16"), **one}
    (finding,) = network.check(surroundings(env, [partition(most=8)], shown=shown))
    assert "has room for 8 nodes, and partitions may have 9" in finding.message  # 11, and three machines and endpoints


def test_lustre_needs_as_many_addresses_as_are_published_for_its_size():
    tiers = [lustre(capacity="16Ti")]
    assert check({"subnets/lustre": subnet("10.0.3.0/27", endpoints=())}, tiers, lustre="lustre") == []
    one = site({"subnets/lustre": subnet("10.0.3.0/27", used=1, endpoints=())}, tiers, lustre="lustre")
    (finding,) = network.check(one)
    assert finding.blocks == {find(one, "amlfilesystems/climate-scratch")}
    assert finding.owner.name == "climate-scratch"
    assert "needs 27 free addresses" in finding.message


def test_of_two_lustre_file_systems_the_second_may_have_no_room():
    tiers = [lustre("a"), lustre("b")]
    (finding,) = check({"subnets/lustre": subnet("10.0.3.0/27", endpoints=())}, tiers, lustre="lustre")
    assert finding.owner.name == "b"


def test_a_lustre_file_system_that_is_there_needs_no_more():
    shown = {"subnets/lustre": subnet("10.0.3.0/27", used=20, endpoints=()), "climate-scratch": {"properties": {}}}
    assert check(shown, [lustre()], lustre="lustre") == []
