"""Token buckets on a clock that is moved by hand."""

import pytest

from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.azure.throttle import LIMITS, MAX_WAIT, Limit, Throttle

URL = "https://arm/subscriptions/S1/resourceGroups/g/providers/{}/things/t?api-version=1"
NETWORK, COMPUTE = URL.format("Microsoft.Network"), URL.format("Microsoft.Compute")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    limits = {"read": Limit(4, 2), "write": Limit(2, 1), "delete": Limit(2, 1)}
    return Throttle(limits, monotonic=clock)


def test_we_stay_below_azures_limits():
    assert {kind: (limit.burst, limit.per_second) for kind, limit in LIMITS.items()} == {
        "read": (200, 20), "write": (160, 8), "delete": (160, 8)
    }  # fmt: skip


def test_a_burst_goes_at_once_and_the_rest_in_turns(throttle):
    assert [throttle.reserve("GET", NETWORK) for _ in range(6)] == [0, 0, 0, 0, 0.5, 1.0]


def test_the_bucket_fills_up_again_to_the_brim_and_no_further(throttle, clock):
    for _ in range(6):
        throttle.reserve("GET", NETWORK)
    clock.now += 1.0
    assert throttle.reserve("GET", NETWORK) == 0.5
    clock.now += 1000.0
    assert [throttle.reserve("GET", NETWORK) for _ in range(5)] == [0, 0, 0, 0, 0.5]


def test_kinds_and_subscriptions_have_buckets_of_their_own(throttle):
    other = NETWORK.replace("S1", "S2")
    for _ in range(2):
        throttle.reserve("PUT", NETWORK)
    assert throttle.reserve("DELETE", NETWORK) == 0
    assert throttle.reserve("GET", NETWORK) == 0
    assert throttle.reserve("PUT", other) == 0
    assert throttle.reserve("PATCH", NETWORK) == 1.0
    # ARM does not care about case.
    assert throttle.reserve("POST", NETWORK.replace("S1", "s1").replace("subscriptions", "Subscriptions")) == 2.0


def test_a_long_wait_is_refused_and_takes_no_turn(throttle):
    waits = [throttle.reserve("PUT", NETWORK) for _ in range(32)]
    assert max(waits) == MAX_WAIT
    with pytest.raises(AzureError) as refused:
        throttle.reserve("PUT", NETWORK)
    assert refused.value.error_class is ErrorClass.TRANSIENT
    assert refused.value.retry_after == 31
    with pytest.raises(AzureError) as again:
        throttle.reserve("PUT", NETWORK)
    assert again.value.retry_after == 31


def test_a_providers_429_stops_that_provider_alone(throttle, clock):
    throttle.reserve("PUT", COMPUTE)
    throttle.pause("PUT", COMPUTE, "OperationNotAllowed", 20)
    assert throttle.reserve("PUT", NETWORK) == 0
    assert throttle.reserve("GET", COMPUTE) == 0
    # When it goes on, it goes on slowly.
    assert [throttle.reserve("PUT", COMPUTE) for _ in range(3)] == [20, 21, 22]
    clock.now += 1000.0
    assert throttle.reserve("PUT", COMPUTE) == 0


def test_the_subscriptions_429_stops_everything_of_that_kind(throttle):
    throttle.pause("PUT", COMPUTE, "SubscriptionRequestsThrottled", 20)
    assert throttle.reserve("PUT", NETWORK) == 20
    assert throttle.reserve("GET", NETWORK) == 0


def test_a_shorter_pause_does_not_end_a_longer_one(throttle):
    throttle.pause("PUT", COMPUTE, "TooManyRequests", 20)
    throttle.pause("PUT", COMPUTE, "TooManyRequests", 5)
    assert throttle.reserve("PUT", COMPUTE) == 20


async def test_a_free_turn_comes_at_once(throttle):
    await throttle.turn("GET", NETWORK)
