"""Request limits and who gets which turn, in an event loop whose clock jumps from timer to timer."""

import asyncio
import functools
from bisect import bisect_right

import pytest

from hpc_operator.arm import CALLER, AzureError, ErrorClass
from hpc_operator.azure.bucket import Bucket, Limit
from hpc_operator.azure.throttle import LIMITS, MAX_WAIT, QUERY_PATH, Throttle

from .instant import run

URL = "https://arm/subscriptions/S1/resourceGroups/g/providers/{}/things/t?api-version=1"
NETWORK, COMPUTE = URL.format("Microsoft.Network"), URL.format("Microsoft.Compute")
GRAPH = f"https://arm{QUERY_PATH}?api-version=1"
SMALL = {"read": Limit(4, 2), "write": Limit(2, 1), "delete": Limit(2, 1)}


def instantly(test):
    """Run a test in the loop whose clock jumps."""

    @functools.wraps(test)
    def in_the_loop(*arguments, **options):
        run(test(*arguments, **options))

    return in_the_loop


class Askers:
    """Sends requests in the name of callers, and keeps when each had its turn."""

    def __init__(self, throttle):
        self._throttle = throttle
        self._start = asyncio.get_running_loop().time()
        self.turns = []

    @property
    def now(self):
        return round(asyncio.get_running_loop().time() - self._start, 6)

    def ask(self, method="PUT", url=NETWORK, caller="", times=1):
        async def one():
            CALLER.set(caller)
            await self._throttle.turn(method, url)
            self.turns.append((self.now, caller))

        return [asyncio.create_task(one()) for _ in range(times)]

    async def waits(self, method="PUT", url=NETWORK, caller="", times=1):
        """Ask, and return when the turns came, those before included if there were any."""
        before = self.now
        await asyncio.gather(*self.ask(method, url, caller, times))
        return [moment - before for moment, _ in self.turns[-times:]]


def test_we_stay_below_azures_limits():
    assert {kind: (limit.burst, limit.per_second) for kind, limit in LIMITS.items()} == {
        "read": (200, 20), "write": (160, 8), "delete": (160, 8)
    }  # fmt: skip


@instantly
async def test_a_burst_goes_at_once_and_the_rest_in_turns():
    assert await Askers(Throttle(SMALL)).waits("GET", times=6) == [0, 0, 0, 0, 0.5, 1.0]


async def test_turns_come_in_real_time_too():
    bucket = Bucket(Limit(1, 100))
    await asyncio.wait_for(asyncio.gather(*(bucket.turn("me") for _ in range(10))), 5)


@instantly
async def test_the_bucket_fills_up_again_to_the_brim_and_no_further():
    askers = Askers(Throttle(SMALL))
    await askers.waits("GET", times=5)
    await asyncio.sleep(1.0)
    assert await askers.waits("GET", times=3) == [0, 0, 0.5]
    await asyncio.sleep(1000.0)
    assert await askers.waits("GET", times=5) == [0, 0, 0, 0, 0.5]


@instantly
async def test_kinds_and_subscriptions_have_buckets_of_their_own():
    askers = Askers(Throttle(SMALL))
    await askers.waits("PUT", times=2)
    other = NETWORK.replace("S1", "S2")
    assert await askers.waits("DELETE") == await askers.waits("GET") == await askers.waits("PUT", other) == [0]
    assert await askers.waits("PATCH") == [1.0]
    # ARM does not care about case.
    assert await askers.waits("POST", NETWORK.replace("S1", "s1").replace("subscriptions", "Subscriptions")) == [1.0]


@instantly
async def test_a_query_is_a_read_with_a_limit_of_its_own():
    askers = Askers(Throttle())
    await askers.waits("POST", GRAPH, times=40)
    moments = [moment for moment, _ in askers.turns]
    # Resource Graph: 15 queries in any 5 seconds; we use 0.8 of it.
    assert max(bisect_right(moments, moment + 5) - number for number, moment in enumerate(moments)) == 12
    assert await askers.waits("GET", NETWORK) == [0]


@instantly
async def test_azures_limit_is_never_exceeded():
    askers = Askers(Throttle())
    for caller in ("a", "b", "c", "d", "e"):
        askers.ask("PUT", caller=caller, times=60)
        await asyncio.sleep(0.7)
    await asyncio.sleep(60)
    moments = [moment for moment, _ in askers.turns]
    assert len(moments) == 300
    burst, per_second = 200, 10  # Azure's bucket, which is full again after a while
    for number, first in enumerate(moments):
        for count, last in enumerate(moments[number:], 1):
            assert count <= burst + per_second * (last - first)


# --- fairness


@instantly
async def test_who_asks_for_little_passes_who_asks_for_much():
    askers = Askers(Throttle(SMALL))
    askers.ask(caller="huge", times=25)
    await asyncio.sleep(0)
    askers.ask(caller="small", times=2)
    askers.ask(caller="other")
    await asyncio.sleep(8)
    assert askers.turns[:9] == [
        (0, "huge"), (0, "huge"), (1, "huge"), (2, "small"), (3, "other"), (4, "huge"), (5, "small"), (6, "huge"),
        (7, "huge"),
    ]  # fmt: skip


@instantly
async def test_who_comes_back_again_and_again_gets_no_more_than_a_share():
    askers = Askers(Throttle(SMALL))
    askers.ask(caller="huge", times=25)
    await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.gather(*askers.ask(caller="busy"))
    assert [caller for _, caller in askers.turns[2:]] == ["huge", "busy"] * 5


@instantly
async def test_within_a_caller_first_come_first_served():
    bucket, served = Bucket(Limit(1, 1)), []

    async def one(number):
        await bucket.turn("me")
        served.append(number)

    await asyncio.gather(*(one(number) for number in range(5)))
    assert served == [0, 1, 2, 3, 4]


@instantly
async def test_who_goes_away_leaves_the_line():
    askers = Askers(Throttle(SMALL))
    tasks = askers.ask(caller="gone", times=10)
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)
    assert await askers.waits(caller="stays", times=2) == [1, 2]


@instantly
async def test_who_goes_away_in_the_moment_of_the_turn_does_not_use_it_up():
    bucket, loop = Bucket(Limit(1, 1)), asyncio.get_running_loop()
    await bucket.turn("first")
    gone, stays = (asyncio.create_task(bucket.turn("me")) for _ in range(2))
    await asyncio.sleep(0)
    loop.call_at(bucket._timer.when() - 1e-12, gone.cancel)
    began = loop.time()
    await stays
    assert loop.time() - began == pytest.approx(1)
    assert gone.cancelled()


@instantly
async def test_a_long_wait_is_refused_and_is_no_turn():
    throttle = Throttle(SMALL)
    askers = Askers(throttle)
    waiting = askers.ask(times=32)
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(AzureError) as refused:
            await throttle.turn("PUT", NETWORK)
        assert (refused.value.error_class, refused.value.retry_after) == (ErrorClass.TRANSIENT, 31)
    await asyncio.gather(*waiting)
    assert askers.now == MAX_WAIT


@instantly
async def test_the_wait_that_counts_is_the_callers_own():
    throttle = Throttle(SMALL)
    askers = Askers(throttle)
    askers.ask(caller="huge", times=32)
    await asyncio.sleep(0)
    assert await askers.waits(caller="small") == [2.0]


@instantly
async def test_who_is_kept_longer_because_others_came_is_told_to_come_again():
    throttle = Throttle(SMALL)
    askers = Askers(throttle)
    first = askers.ask(caller="first", times=32)
    await asyncio.sleep(0)
    askers.ask(caller="second", times=15)
    ended = await asyncio.gather(*first, return_exceptions=True)
    refused = [error for error in ended if error is not None]
    assert askers.now == MAX_WAIT + 0.5
    assert len(refused) == 15
    assert {(error.error_class, error.retry_after) for error in refused} == {(ErrorClass.TRANSIENT, 1)}


# --- after a 429


@instantly
async def test_a_providers_429_stops_that_provider_alone():
    throttle = Throttle(SMALL)
    askers = Askers(throttle)
    throttle.pause("PUT", COMPUTE, "OperationNotAllowed", 20)
    assert await askers.waits("PUT", NETWORK) == await askers.waits("GET", COMPUTE) == [0]
    # When it goes on, it goes on slowly.
    assert await askers.waits("PUT", COMPUTE, times=3) == [20, 21, 22]
    await asyncio.sleep(1000)
    assert await askers.waits("PUT", COMPUTE) == [0]


@instantly
async def test_the_subscriptions_429_stops_everything_of_that_kind():
    throttle = Throttle(SMALL)
    askers = Askers(throttle)
    throttle.pause("PUT", COMPUTE, "SubscriptionRequestsThrottled", 20)
    assert await askers.waits("GET", NETWORK) == [0]
    assert await askers.waits("PUT", NETWORK) == [20]


@instantly
async def test_a_429_stops_those_who_wait_already():
    throttle = Throttle(SMALL)
    askers = Askers(throttle)
    askers.ask(times=4)
    await asyncio.sleep(0.5)
    throttle.pause("PUT", NETWORK, "SubscriptionRequestsThrottled", 20)
    await asyncio.sleep(25)
    assert askers.turns == [(0, ""), (0, ""), (21, ""), (22, "")]


@instantly
async def test_a_shorter_pause_does_not_end_a_longer_one():
    throttle = Throttle(SMALL)
    throttle.pause("PUT", COMPUTE, "TooManyRequests", 20)
    throttle.pause("PUT", COMPUTE, "TooManyRequests", 5)
    assert await Askers(throttle).waits("PUT", COMPUTE) == [20]


@instantly
async def test_a_long_pause_is_told():
    throttle = Throttle(SMALL)
    throttle.pause("PUT", COMPUTE, "TooManyRequests", 120)
    with pytest.raises(AzureError) as refused:
        await throttle.turn("PUT", COMPUTE)
    assert refused.value.retry_after == 120
