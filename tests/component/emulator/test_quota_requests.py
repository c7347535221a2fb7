"""Microsoft.Quota: limits of a region, and requests that are decided after a while."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError

from azure_emulator import SUBSCRIPTION

REGION = "swedencentral"  # nobody else's, because limits stay
SCOPE = f"subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/{REGION}"
FAMILY = "standardHBv4Family"
QUOTA = f"/{SCOPE}/providers/Microsoft.Quota"


@pytest.fixture(autouse=True)
def limits_as_before(fast_emulator):
    settings = fast_emulator.store.settings
    before = {name: settings[name] for name in ("quota", "quotaRequests") if name in settings}
    yield
    for name in ("quota", "quotaRequests"):
        settings.pop(name, None)
    for name, value in before.items():
        fast_emulator.store.set(name, value)


def wish(value, name=FAMILY):
    return {"properties": {"limit": {"limitObjectType": "LimitValue", "value": value}, "name": {"value": name}}}


def limit_of(sdk, name=FAMILY):
    usages = {usage.name.value: usage for usage in sdk.compute.usage.list(REGION)}
    return usages[name].limit


def test_limits_and_usages_are_those_of_compute(sdk):
    shown = sdk.quota.quota.get(FAMILY, SCOPE)
    assert shown.properties.limit.value == limit_of(sdk)
    assert shown.properties.is_quota_applicable
    assert shown.properties.name.localized_value == "Standard HBv4 Family vCPUs"
    fixed = {row.name: row.properties.is_quota_applicable for row in sdk.quota.quota.list(SCOPE)}
    assert fixed["cores"]
    assert not fixed["availabilitySets"]
    assert sdk.quota.usages.get(FAMILY, SCOPE).properties.usages.value == 0
    assert FAMILY in {row.name for row in sdk.quota.usages.list(SCOPE)}
    for scope, name, code in (
        (SCOPE, "warpFamily", "InvalidResourceName"),
        (SCOPE.replace("Compute", "Toys"), FAMILY, "InvalidScope"),
        (SCOPE.replace(REGION, "moon"), FAMILY, "InvalidLocation"),
    ):
        with pytest.raises(HttpResponseError) as error:
            sdk.quota.quota.get(name, scope)
        assert (error.value.status_code, error.value.error.code) == (400, code)


def test_a_granted_request_raises_the_limit_that_counts(sdk):
    wanted = limit_of(sdk) + 1234
    raised = sdk.quota.quota.begin_create_or_update(FAMILY, SCOPE, wish(wanted)).result()
    assert raised.properties.limit.value == wanted == limit_of(sdk)
    patched = sdk.quota.quota.begin_update(FAMILY, SCOPE, wish(wanted + 1)).result()
    assert patched.properties.limit.value == limit_of(sdk) == wanted + 1
    states = [row.properties.provisioning_state for row in sdk.quota.quota_request_status.list(SCOPE)]
    assert states[:2] == ["Succeeded", "Succeeded"]


@pytest.mark.parametrize(
    ("value", "name", "code"),
    [
        (10_000_000, FAMILY, "ContactSupport"),
        (1, FAMILY, "QuotaReductionNotSupported"),
        (9_000, "availabilitySets", "QuotaNotAvailableForResource"),
    ],
)
def test_a_declined_request_leaves_the_limit(sdk, value, name, code):
    before = limit_of(sdk, name)
    with pytest.raises(HttpResponseError) as error:
        sdk.quota.quota.begin_create_or_update(name, SCOPE, wish(value, name)).result()
    assert error.value.error.code == code
    assert limit_of(sdk, name) == before
    last = next(iter(sdk.quota.quota_request_status.list(SCOPE)))
    assert (last.properties.provisioning_state, last.properties.error.code) == ("Failed", code)


async def test_a_request_is_in_progress_until_it_is_decided(http):
    quota = f"{QUOTA}/quotas/{FAMILY}"
    _, before, _ = await http.call("GET", quota)
    wanted = before["properties"]["limit"]["value"] + 100
    status, _, headers = await http.call("PUT", quota, wish(wanted))
    assert status == 202
    assert (await http.call("GET", headers["Location"]))[0] == 202
    query = {"$filter": "provisioningState eq 'InProgress'"}
    _, running, _ = await http.call("GET", f"{QUOTA}/quotaRequests", query=query)
    assert [row["properties"]["value"][0]["limit"]["value"] for row in running["value"]] == [wanted]
    assert running["value"][0]["properties"]["requestSubmitTime"].endswith("Z")
    _, meanwhile, _ = await http.call("GET", quota)
    assert meanwhile == before
    http.advance(600)
    status, after, _ = await http.call("GET", headers["Location"])
    assert (status, after["properties"]["limit"]["value"]) == (200, wanted)
    _, running, _ = await http.call("GET", f"{QUOTA}/quotaRequests", query=query)
    assert running["value"] == []
    identity = headers["Location"].split("?")[0].rsplit("/", 1)[1]
    _, one, _ = await http.call("GET", f"{QUOTA}/quotaRequests/{identity}")
    assert one["properties"]["provisioningState"] == "Succeeded"


async def test_requests_are_paged_and_checked(http):
    quota = f"{QUOTA}/quotas/{FAMILY}"
    for value in (30_000, 40_000, 50_000):
        await http.call("PUT", quota, wish(value))
    _, first, _ = await http.call("GET", f"{QUOTA}/quotaRequests", query={"$top": "2"})
    _, second, _ = await http.call("GET", first["nextLink"])
    wanted = [row["properties"]["value"][0]["limit"]["value"] for row in first["value"] + second["value"]]
    assert wanted == [50_000, 40_000, 30_000]
    assert "nextLink" not in second
    assert await http.code("PUT", quota, {"properties": {}}) == (400, "BadRequest")
    assert await http.code("PUT", quota, wish(-1)) == (400, "BadRequest")
    assert await http.code("PUT", quota, wish(50_000, "cores")) == (400, "BadRequest")
    assert await http.code("GET", f"{QUOTA}/quotaRequests/nope") == (404, "QuotaRequestNotFound")
    assert await http.code("GET", f"{QUOTA}/quotaRequests", query={"$filter": "x eq 1"}) == (400, "BadRequest")


async def test_who_approves_up_to_where_is_a_setting(http):
    http.emulator.store.set("quotaApprovedUpTo", 25_000)
    http.emulator.store.set("quotaRequestSeconds", 10)
    quota = f"{QUOTA}/quotas/{FAMILY}"
    _, _, headers = await http.call("PUT", quota, wish(25_001))
    http.advance(15)
    assert await http.code("GET", headers["Location"]) == (400, "ContactSupport")
    _, _, headers = await http.call("PUT", quota, wish(25_000))
    http.advance(15)
    assert (await http.call("GET", headers["Location"]))[0] == 200


async def test_limits_of_the_network_are_raised_in_the_same_way(http):
    scope = QUOTA.replace("Microsoft.Compute", "Microsoft.Network")
    name = "PublicIPAddresses"
    http.emulator.store.set("quota", {f"{REGION}/{name.lower()}": 1})
    address = {"location": REGION, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    await http.done("rg/Microsoft.Network/publicIPAddresses/first", address)
    refused = await http.code("PUT", "rg/Microsoft.Network/publicIPAddresses/second", address)
    assert refused == (400, "PublicIPCountLimitReached")
    _, _, headers = await http.call("PUT", f"{scope}/quotas/{name}", wish(2, name))
    http.advance(600)
    assert (await http.call("GET", headers["Location"]))[0] == 200
    await http.done("rg/Microsoft.Network/publicIPAddresses/second", address)
    _, usage, _ = await http.call("GET", f"{scope}/usages/{name}")
    assert usage["properties"]["usages"]["value"] == 2
    _, fixed, _ = await http.call("GET", f"{scope}/quotas/VirtualNetworks")
    assert not fixed["properties"]["isQuotaApplicable"]
