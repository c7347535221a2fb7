"""Cores: what can be made, and how far partitions can grow."""

from hypothesis import given
from hypothesis import strategies as st

from hpc_operator.preflight import quota
from hpc_operator.preflight.quota import Pool, Wish, share

from .conftest import PLENTY, SIZES, environment, find, partition, surroundings, usages

HB = ("Standard_HB176rs_v4", "Regular")


def check(site, **limits):
    return list(quota.check(site, PLENTY | usages(**limits), SIZES))


def vm(size):
    return {"properties": {"hardwareProfile": {"vmSize": size}}}


MADE = {"virtualmachines/scheduler": vm("Standard_D4s_v5"), "virtualmachines/login-1": vm("Standard_D4s_v5")}


def test_nothing_is_said_where_there_is_room():
    assert check(surroundings()) == []


def test_quota_that_is_not_told_has_no_end():
    assert list(quota.check(surroundings(), {}, SIZES)) == []


def test_a_partition_says_how_far_it_can_grow_and_holds_nothing_up():
    site = surroundings(partitions=[partition(most=100)], shown=MADE)
    (finding,) = check(site, standardHBv4Family=37 * 176 + 8)
    assert finding.message == (
        f"Partition climate-hpc can reach 37 of 100 nodes: {63 * 176 - 8} more standardHBv4Family cores are needed in "
        "westeurope; request more quota or lower nodes.max"
    )
    assert (finding.owner.kind, finding.owner.name, finding.blocks) == ("ComputePartition", "climate-hpc", frozenset())


def test_the_sentence_stays_the_same_while_nodes_come():
    sentences = set()
    for count in (0, 5, 37):
        site = surroundings(partitions=[partition(most=100)], shown=MADE, nodes={"climate-hpc": [HB] * count})
        (finding,) = check(site, standardHBv4Family=(count * 176, 37 * 176))
        sentences.add(finding.message)
    assert len(sentences) == 1


def test_the_regional_limit_counts_too_and_every_short_one_is_named():
    site = surroundings(partitions=[partition(most=10)], shown=MADE)
    (finding,) = check(site, standardHBv4Family=9 * 176, cores=8 * 176)
    assert "can reach 8 of 10 nodes: 176 more standardHBv4Family cores and 352 more regional cores (cores) are" in (
        finding.message
    )


def test_spot_counts_under_its_own_limit_and_nowhere_else():
    site = surroundings(partitions=[partition(most=10, priority="Spot")], shown=MADE)
    assert check(site, standardHBv4Family=0, cores=0) == []
    (finding,) = check(site, lowPriorityCores=176)
    assert "can reach 1 of 10 nodes: 1584 more Spot cores (lowPriorityCores) are needed" in finding.message


def test_scheduler_and_login_nodes_come_before_partitions():
    site = surroundings(partitions=[partition(sizes=["Standard_D8s_v5"], most=2)])
    (finding,) = check(site, standardDSv5Family=16)
    assert "can reach 1 of 2 nodes: 8 more" in finding.message


def test_a_scheduler_that_cannot_be_made_is_held_up():
    site = surroundings(env=environment(entryPoint={"loginNodes": {"count": 0}}))
    (finding,) = check(site, standardDSv5Family=(10, 12))
    assert finding.blocks == {find(site, "virtualmachines/scheduler")}
    assert finding.message == (
        "VM scheduler cannot be made as Standard_D4s_v5: 2 more standardDSv5Family cores are needed in westeurope; "
        "request more quota or write a VM size of another family"
    )


def test_the_scheduler_goes_before_the_login_node():
    site = surroundings()
    (finding,) = check(site, standardDSv5Family=4)
    assert finding.blocks == {find(site, "virtualmachines/login-1")}


def test_a_resize_needs_the_difference():
    resized = MADE | {"virtualmachines/scheduler": vm("Standard_D4s_v5")}
    site = surroundings(env=environment(scheduler={"slurm": {"vmSize": "Standard_D8s_v5"}}), shown=resized)
    assert check(site, standardDSv5Family=(8, 12)) == []
    (finding,) = check(site, standardDSv5Family=(8, 11))
    assert "VM scheduler cannot be resized as Standard_D8s_v5: 1 more" in finding.message
    assert finding.blocks == {find(site, "virtualmachines/scheduler")}


def test_machines_of_which_nobody_knows_whether_they_exist_count_for_nothing():
    site = surroundings()
    site = type(site)(site.blueprint, site.environment, site.partitions, {}, {})
    assert check(site, standardDSv5Family=0) == []


def test_minimum_nodes_of_all_come_before_the_growth_of_any():
    site = surroundings(partitions=[partition("a", least=1, most=10), partition("b", least=4, most=4)], shown=MADE)
    (finding,) = check(site, standardHBv4Family=6 * 176)
    assert finding.message.startswith("Partition a can reach 2 of 10 nodes")


def test_the_order_of_partitions_does_not_matter():
    a, b = partition("a", most=10), partition("b", most=10)
    findings = [
        check(surroundings(partitions=order, shown=MADE), standardHBv4Family=6 * 176) for order in ([a, b], [b, a])
    ]
    assert findings[0] == findings[1]
    assert [finding.owner.name for finding in findings[0]] == ["a", "b"]


def test_nodes_of_the_old_size_give_back_what_they_have():
    site = surroundings(partitions=[partition(most=10)], shown=MADE, nodes={"climate-hpc": [(HB[0], "Spot")] * 10})
    assert check(site, lowPriorityCores=(1760, 1760)) == []
    old = [("Standard_HB120rs_v3", "Regular")] * 10
    site = surroundings(partitions=[partition(most=10)], shown=MADE, nodes={"climate-hpc": old})
    assert check(site, cores=(1200, 2000)) == []
    (finding,) = check(site, cores=(1200, 1700))
    assert "can reach 9 of 10 nodes: 60 more regional cores" in finding.message


def test_a_rollout_that_has_no_room_for_one_node_more_says_so():
    rollouts = {"held": {"maxSurge": 1, "maxUnavailable": 0}, "loose": {"maxSurge": 0, "maxUnavailable": 1}}
    held, loose = (
        surroundings(
            partitions=[partition(sizes=["Standard_HB120rs_v3"], least=4, most=4, rollout=rollout)],
            shown=MADE,
            nodes={"climate-hpc": [HB] * 4},
        )
        for rollout in rollouts.values()
    )
    (finding,) = check(held, cores=(704, 704 + 119))
    assert (finding.reason, finding.blocks) == ("NoQuotaForSurge", frozenset())
    assert finding.message == (
        "Partition climate-hpc cannot replace its nodes, because not one of Standard_HB120rs_v3 fits beside them: "
        "1 more regional cores (cores) are needed in westeurope; request more quota or write rollout.maxUnavailable: 1"
    )
    assert check(held, cores=(704, 704 + 120)) == []
    assert check(loose, cores=(704, 704 + 119)) == []


NAMES = st.sampled_from(["a", "b", "cores"])
FREE = st.dictionaries(NAMES, st.integers(0, 2000), min_size=1)
WISHES = st.lists(
    st.builds(
        lambda each, least, more: Wish(each, least, least + more),
        st.dictionaries(NAMES, st.integers(1, 200), min_size=1),
        st.integers(0, 20),
        st.integers(0, 20),
    ),
    max_size=6,
)


@given(FREE, WISHES)
def test_no_more_is_handed_out_than_there_is_and_nobody_goes_without_need(free, wishes):
    shares = share(Pool(free), wishes)
    left = dict(free)
    for wish, got in zip(wishes, shares, strict=True):
        assert 0 <= got.granted <= wish.most
        for name in left:
            left[name] -= got.granted * wish.each.get(name, 0)
    assert all(amount >= 0 for amount in left.values())
    for wish, got in zip(wishes, shares, strict=True):
        fits_one_more = all(left[name] >= n for name, n in wish.each.items() if name in left)
        assert got.granted == wish.most or not fits_one_more
        assert bool(got.lacking) == (got.granted < wish.most)


@given(FREE, WISHES)
def test_what_lacks_adds_up(free, wishes):
    lacking = [got.lacking for got in share(Pool(free), wishes)]
    raised = {name: amount + sum(item.get(name, 0) for item in lacking) for name, amount in free.items()}
    assert all(not got.lacking for got in share(Pool(raised), wishes))


@given(FREE, WISHES)
def test_those_in_front_never_get_less_for_those_behind(free, wishes):
    front = share(Pool(free), [Wish(wish.each, wish.least, wish.least) for wish in wishes])
    assert [got.granted for got in front] <= [got.granted for got in share(Pool(free), wishes)]
    for count in range(len(wishes)):
        alone = share(Pool(free), [Wish(wish.each, 0, wish.most) for wish in wishes[:count]])
        together = share(Pool(free), [Wish(wish.each, 0, wish.most) for wish in wishes])
        assert [got.granted for got in alone] == [got.granted for got in together[:count]]
