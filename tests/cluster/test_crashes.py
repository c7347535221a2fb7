"""A sample of `make test-crash`: an operator that is killed, and calls that go wrong, through whole lives."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from crashing.calls import Call
from crashing.campaign import Campaign, Figures, Pace, faults_of, kills_of, meet, points_of
from crashing.world import World

from .conftest import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SHARE = 5
"""One in so many points may be met, so that not only the first ones of each stage are."""
LIVES = {"kills": 10, "faults": 14}
"""In so many lives all of these would be met; the sample is one of them."""


async def sample(campaign: Campaign, calls: list[Call], ways: Callable[[Call], tuple[str, ...]], lives: int) -> Figures:
    points = points_of(calls, ways)
    # Always the same ones, as far as lives are the same.
    some = random.Random(1).sample(points, len(points) // SHARE)
    return await meet([campaign], some, Pace(lives=lives, at_most=1))


async def test_nothing_comes_of_kills_and_of_calls_that_go_wrong(crd_cluster: Cluster, tmp_path: Path) -> None:
    async with World(tmp_path, crd_cluster.kubeconfig, "crash-sample") as world:
        campaign = Campaign(world, print)
        calls = await campaign.learn(twice=False)
        killed = await sample(campaign, calls, kills_of, LIVES["kills"])
        disturbed = await sample(campaign, calls, faults_of, LIVES["faults"])
    assert [str(deviation) for deviation in (*killed.deviations, *disturbed.deviations)] == []
    assert killed.kills == killed.met >= 10
    assert disturbed.met >= 20
