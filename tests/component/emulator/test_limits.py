"""Request limits: ARM's buckets and the providers' own, with what remains and what 429 says."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError

from azure_emulator.faults import Fault

NSG = "rg/Microsoft.Network/networkSecurityGroups/nsg"
VM = "rg/Microsoft.Compute/virtualMachines/vm"


async def test_what_remains_goes_down_with_each_request_and_comes_back(http):
    names = ("x-ms-ratelimit-remaining-subscription-reads", "x-ms-ratelimit-remaining-subscription-global-reads")
    first, second = [
        [int(headers[name]) for name in names] for _, _, headers in [await http.call("GET", "rg") for _ in range(2)]
    ]
    assert second[0] <= first[0]
    assert first[1] > 3000
    http.advance(3600)
    _, _, headers = await http.call("GET", "rg")
    assert headers[names[0]] == "249"


async def test_reads_beyond_the_bucket_are_refused_until_time_has_passed(http):
    http.emulator.store.set("armBuckets", {"reads": [5, 0.001]})
    answers = [await http.call("GET", "rg") for _ in range(6)]
    assert [status for status, _, _ in answers[:5]] == [200] * 5
    status, document, headers = answers[5]
    assert (status, document["error"]["code"]) == (429, "SubscriptionRequestsThrottled")
    assert "Number of 'read' requests" in document["error"]["message"]
    assert int(headers["Retry-After"]) >= 1
    assert headers["x-ms-ratelimit-remaining-subscription-reads"] == "0"
    # Writes have a bucket of their own.
    assert (await http.call("PUT", NSG, {"location": "westeurope"}))[0] == 201
    http.advance(1000)
    assert (await http.call("GET", "rg"))[0] == 200


async def test_throttling_can_be_switched_off(http):
    http.emulator.store.set("armBuckets", {"reads": [1, 0.001]})
    http.emulator.store.set("throttling", False)
    assert [(await http.call("GET", "rg"))[0] for _ in range(3)] == [200] * 3


async def test_every_principal_has_a_bucket_of_its_own_and_all_share_a_larger_one(http):
    http.emulator.store.set("armBuckets", {"reads": [1, 0.001]})
    assert (await http.call("GET", "rg"))[0] == 200
    assert (await http.call("GET", "rg"))[0] == 429
    throttling = http.emulator.front.throttling
    shared = [bucket for key, bucket in throttling.buckets.items() if key[1:] == ("reads",)]
    assert [bucket.size for bucket in shared] == [15]


async def test_compute_limits_requests_on_one_resource(http):
    group = "rg/Microsoft.Compute/virtualMachineScaleSets/set"
    _, _, headers = await http.call("GET", group)
    assert "Microsoft.Compute/GetVMScaleSetSubscriptionMaximum;2399" in headers["x-ms-ratelimit-remaining-resource"]
    assert "Microsoft.Compute/GetVMScaleSetResource;35" in headers["x-ms-ratelimit-remaining-resource"]
    answers = [await http.call("GET", group) for _ in range(40)]
    refused = [document["error"] for status, document, _ in answers if status == 429]
    assert refused
    assert refused[0]["code"] == "OperationNotAllowed"
    detail = refused[0]["details"][0]
    assert (detail["code"], detail["target"]) == ("TooManyRequests", "GetVMScaleSetResource")
    assert '"allowedRequestCount": 36' in detail["message"]
    # Another one is not touched by it.
    assert (await http.call("GET", f"{group}2"))[0] == 404


def test_the_sdk_sees_a_429(sdk, fast_emulator):
    refusal = {"status": 429, "code": "TooManyRequests", "message": "slow down", "headers": {"Retry-After": "1"}}
    fault = {"path": "resourcegroups/throttled", "answer": refusal}
    fast_emulator.faults.add(Fault.model_validate(fault))
    with pytest.raises(HttpResponseError) as caught:
        sdk.resources.resource_groups.get("throttled", retry_total=0)
    assert (caught.value.status_code, caught.value.error.code) == (429, "TooManyRequests")
