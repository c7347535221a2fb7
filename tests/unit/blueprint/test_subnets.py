"""The address plan: for every size of network, subnets lie in it and do not overlap."""

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_operator.blueprint import subnets


@st.composite
def networks(draw):
    prefix = draw(st.integers(min_value=16, max_value=24))
    number = draw(st.integers(min_value=0, max_value=(1 << prefix) - 1))
    return IPv4Network((number << (32 - prefix), prefix))


@given(networks())
def test_subnets_lie_in_the_network_and_do_not_overlap(network):
    plan = subnets.plan(network)
    planned = [plan.services, plan.net_app, plan.bastion, plan.compute, *([plan.lustre] if plan.lustre else [])]
    assert all(item.subnet_of(network) for item in planned)
    assert not any(one.overlaps(other) for one, other in combinations(planned, 2))


@given(networks())
def test_subnets_have_the_sizes_that_azure_wants(network):
    plan = subnets.plan(network)
    assert plan.bastion.prefixlen == 26
    assert plan.net_app.prefixlen == 28
    assert plan.compute.prefixlen == network.prefixlen + 1
    assert (plan.lustre is None) == (network.prefixlen == 24)
    # Scheduler, the most login nodes that a spec may ask for, and a private endpoint.
    assert subnets.usable(plan.services) >= 1 + 20 + 1


def test_the_places_are_those_that_were_promised():
    assert subnets.plan(IPv4Network("10.0.0.0/24")) == subnets.AddressPlan(
        services=IPv4Network("10.0.0.0/27"),
        net_app=IPv4Network("10.0.0.32/28"),
        bastion=IPv4Network("10.0.0.64/26"),
        lustre=None,
        compute=IPv4Network("10.0.0.128/25"),
    )
    assert subnets.plan(IPv4Network("10.0.0.0/22")) == subnets.AddressPlan(
        services=IPv4Network("10.0.0.128/25"),
        net_app=IPv4Network("10.0.0.32/28"),
        bastion=IPv4Network("10.0.0.64/26"),
        lustre=IPv4Network("10.0.1.0/24"),
        compute=IPv4Network("10.0.2.0/23"),
    )


def test_a_network_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="too small"):
        subnets.plan(IPv4Network("10.0.0.0/25"))


@pytest.mark.parametrize(
    ("capacities", "addresses"),
    [
        ((), 0),
        ((4,), 32),
        ((16,), 32),
        ((20,), 64),
        ((92,), 128),
        ((196,), 256),
        ((400,), 512),
        ((16, 16), 64),
        ((1600,), 2048),
    ],
)
def test_addresses_that_lustre_needs(capacities, addresses):
    assert subnets.lustre_addresses(capacities) == addresses


@given(machines=st.integers(0, 32_763), lustre=st.integers(0, 16_384))
def test_the_smallest_fitting_prefix_fits_and_the_next_does_not(machines, lustre):
    prefix = subnets.smallest_fitting_prefix(machines, lustre)

    def fits(length):
        plan = subnets.plan(IPv4Network((0, length)))
        return subnets.usable(plan.compute) >= machines and subnets.lustre_room(plan) >= lustre

    assert prefix is not None
    assert fits(prefix)
    assert prefix == 24 or not fits(prefix + 1)


def test_no_network_has_room_for_everything():
    assert subnets.smallest_fitting_prefix(1 << 24, 0) is None
