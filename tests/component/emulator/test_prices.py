"""The Retail Prices API as its users ask it: without a token, with filters, page by page."""

import json
from collections import defaultdict
from importlib import resources
from itertools import pairwise

import pytest

from azure_emulator.prices import PATH, SPOT_SHARE
from azure_emulator.providers.compute.sizes import SIZES

LIST = json.loads((resources.files("azure_emulator") / "prices.json").read_text("utf-8"))
REGULAR = LIST["perHour"]
ONE_SIZE = "serviceName eq 'Virtual Machines' and armRegionName eq 'westeurope' and armSkuName eq 'Standard_HB176rs_v4'"


async def ask(http, text="", **query):
    """GET without a token, as the real one takes it."""
    query = {name.replace("_", "-"): value for name, value in query.items()} | ({"$filter": text} if text else {})
    async with http.session.get(f"{http.emulator.url}{PATH}", params=query) as response:
        return response.status, await response.json()


async def names(http, text, **query):
    status, page = await ask(http, text, **query)
    assert status == 200, page
    return [(item["armSkuName"], item["meterName"]) for item in page["Items"]]


async def test_a_size_has_a_regular_and_a_spot_price(http):
    status, page = await ask(http, f"{ONE_SIZE} and priceType eq 'Consumption'")
    assert status == 200
    assert {key: page[key] for key in page if key != "Items"} == {
        "BillingCurrency": "USD", "CustomerEntityId": "Default", "CustomerEntityType": "Retail", "NextPageLink": None,
        "Count": 2,
    }  # fmt: skip
    regular, spot = page["Items"]
    assert regular["retailPrice"] == 9.36
    assert spot["retailPrice"] == pytest.approx(9.36 * SPOT_SHARE)
    assert [regular["meterName"], spot["meterName"]] == ["HB176rs v4", "HB176rs v4 Spot"]
    assert regular["productName"] == "Virtual Machines HBv4 Series"
    assert {(item["unitOfMeasure"], item["type"], item["currencyCode"]) for item in page["Items"]} == {
        ("1 Hour", "Consumption", "USD")
    }
    assert regular["meterId"] != spot["meterId"]


async def test_burstable_sizes_have_no_spot_price_and_the_share_can_be_set(http):
    assert await names(http, "armSkuName eq 'Standard_B2ms'") == [("Standard_B2ms", "B2ms")]
    http.emulator.store.set("spotPriceShare", 0)
    assert await names(http, ONE_SIZE) == [("Standard_HB176rs_v4", "HB176rs v4")]


@pytest.mark.parametrize(
    "text",
    ["armSkuName eq 'Standard_HB368rs_v5'", "armRegionName eq 'eastus'", "priceType eq 'Reservation'",
     f"{ONE_SIZE} and currencyCode eq 'USD'"],
)  # fmt: skip
async def test_what_there_is_no_figure_for_has_no_price(http, text):
    assert await names(http, text) == []


async def test_filters_are_joined_and_know_functions(http):
    either = "armSkuName eq 'Standard_HX176rs' or (armSkuName eq 'Standard_HB176rs_v4' and contains(meterName, 'Spot'))"
    assert await names(http, either) == [
        ("Standard_HB176rs_v4", "HB176rs v4 Spot"),
        ("Standard_HX176rs", "HX176rs"),
        ("Standard_HX176rs", "HX176rs Spot"),
    ]


async def test_case_counts_since_the_preview_version(http):
    lower = "armSkuName eq 'standard_hx176rs'"
    assert len(await names(http, lower)) == 2
    assert await names(http, lower, api_version="2023-01-01-preview") == []
    assert len(await names(http, "armSkuName eq 'Standard_HX176rs'", api_version="2023-01-01-preview")) == 2


@pytest.mark.parametrize(
    "text",
    ["armSkuName", "armSkuName in ('Standard_HX176rs')", "not contains(productName, 'Windows')",
     " or ".join(["armSkuName eq 'Standard_HX176rs'"] * 21)],
)  # fmt: skip
async def test_filters_that_the_service_does_not_take(http, text):
    status, document = await ask(http, text)
    assert status == 400
    assert document == {"Error": {"Code": "BadRequest", "Message": "Invalid OData parameters supplied"}}


async def test_another_currency_is_refused_and_not_made_up(http):
    status, document = await ask(http, currencyCode="'EUR'")
    assert (status, "USD" in document["Error"]["Message"]) == (400, True)
    assert (await ask(http, ONE_SIZE, currencyCode="'USD'"))[0] == 200


async def test_pages_lead_to_each_other(http):
    http.emulator.store.set("pricePage", 100)
    status, page = await ask(http, "serviceFamily eq 'Compute'")
    assert (status, page["Count"]) == (200, 100)
    items = page["Items"]
    while page["NextPageLink"]:
        async with http.session.get(page["NextPageLink"]) as response:
            page = await response.json()
        items += page["Items"]
    _, everything = await ask(http)
    http.emulator.store.set("pricePage", 1000)
    assert items == (await ask(http))[1]["Items"]
    assert len(everything["Items"]) == 100
    assert {item["armSkuName"] for item in items} == set(REGULAR)


# --- the figures


def test_the_list_says_where_its_figures_are_from():
    assert "karpenter-provider-azure" in " ".join(LIST["about"])
    assert LIST["asOf"].startswith("2023-12-18")


def test_every_size_of_the_list_is_one_that_can_be_had():
    assert {name for name in REGULAR if name.lower() not in SIZES} == set()


def test_constrained_sizes_cost_what_their_parents_cost():
    sizes = [SIZES[name.lower()] for name in REGULAR]
    assert {size.name for size in sizes if size.parent and REGULAR[size.name] != REGULAR[size.parent]} == set()


def test_bigger_sizes_of_a_family_cost_more():
    families = defaultdict(list)
    for name, price in REGULAR.items():
        size = SIZES[name.lower()]
        if size.parent is None:
            families[size.family].append((size.vcpus, size.memory_gb, price))
    for rows in families.values():
        assert all(small[2] <= big[2] for small, big in pairwise(sorted(rows)))
