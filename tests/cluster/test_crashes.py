"""A sample of `make test-crash`: an operator that is killed, and calls that go wrong, through whole lives."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from crashing.calls import Call, Point
from crashing.campaign import Campaign, Figures, faults_of, kills_of, points_of
from crashing.world import World

from .conftest import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

KILLS, FAULTS = 24, 40


def sample(calls: list[Call], ways: Callable[[Call], tuple[str, ...]], count: int) -> list[Point]:
    """Return some points of the whole life, always the same ones as far as lives are the same."""
    return random.Random(1).sample(points_of(calls, ways), count)


def assert_nothing_came_of_it(figures: Figures) -> None:
    assert [str(deviation) for deviation in figures.deviations] == []
    # Some of a sample come too soon after another one to be met in one life.
    assert figures.met > figures.points // 2


async def test_nothing_comes_of_kills_and_of_calls_that_go_wrong(crd_cluster: Cluster, tmp_path: Path) -> None:
    async with World(tmp_path, crd_cluster.kubeconfig, "crash-sample") as world:
        campaign = Campaign(world, print)
        calls = await campaign.learn(twice=False)
        killed = await campaign.run(sample(calls, kills_of, KILLS), lives=1, at_most=1)
        assert_nothing_came_of_it(killed)
        assert killed.kills == killed.met
        assert_nothing_came_of_it(await campaign.run(sample(calls, faults_of, FAULTS), lives=1, at_most=1))
