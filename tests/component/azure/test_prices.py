"""The price list of a server that a test scripts: which meter is whose, and what is not believed or followed."""

import logging
from urllib.parse import parse_qs, urlsplit

import pytest

from hpc_operator.azure.prices import MAX_PAGES, RETRY_AFTER, PriceList
from hpc_operator.subscription import Price

PATH = "/api/retail/prices"
SIZE = "Standard_HB176rs_v4"
WINDOWS = "Virtual Machines HBv4 Series Windows"


def item(price, meter="HB176rs v4", product="Virtual Machines HBv4 Series", **more):
    return {
        "productName": product, "meterName": meter, "type": "Consumption", "unitOfMeasure": "1 Hour",
        "retailPrice": price, "currencyCode": "USD", "effectiveStartDate": "2024-01-01T00:00:00Z",
    } | more  # fmt: skip


def page(*items, following=None):
    return {"BillingCurrency": "USD", "Items": list(items), "NextPageLink": following, "Count": len(items)}


REGULAR, SPOT = item(9.36), item(1.8, "HB176rs v4 Spot")


class Clock:
    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def prices(arm, clock):
    return PriceList(arm.url, clock)


async def test_the_question_names_region_and_size_and_carries_no_token(arm, prices):
    arm.on("GET", PATH, 200, page(REGULAR, SPOT))
    assert await prices.of("WestEurope", [SIZE]) == {SIZE.lower(): Price(9.36, 1.8, "USD")}
    ((_, url, headers, _),) = arm.requests
    (filtered,) = parse_qs(urlsplit(url).query)["$filter"]
    assert filtered.split(" and ") == [
        "serviceName eq 'Virtual Machines'",
        "priceType eq 'Consumption'",
        "armRegionName eq 'westeurope'",
        f"armSkuName eq '{SIZE}'",
    ]
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([SPOT], Price(None, 1.8, "USD")),
        ([REGULAR, item(17.5, product=WINDOWS)], Price(9.36, None, "USD")),
        ([item(1.87, "HB176rs v4 Low Priority"), REGULAR], Price(9.36, None, "USD")),
        ([REGULAR, item(3, "HB176rs v4 Spot", product=WINDOWS)], Price(9.36, None, "USD")),
        ([item(8, product="Virtual Machines HBv4 Series CloudServices"), REGULAR], Price(9.36, None, "USD")),
        ([item(5, type="DevTestConsumption"), REGULAR], Price(9.36, None, "USD")),
        ([item(48318, type="Reservation"), REGULAR], Price(9.36, None, "USD")),
        ([item(200, unitOfMeasure="1 Month"), REGULAR], Price(9.36, None, "USD")),
        ([item(10, effectiveStartDate="2025-01-01T00:00:00Z"), REGULAR], Price(10, None, "USD")),
        ([{"meterName": "half an item"}, "none", REGULAR], Price(9.36, None, "USD")),
        ([item(1.87, "HB176rs v4 Low Priority")], None),
        ([], None),
    ],
)
async def test_which_meter_is_the_price(arm, prices, items, expected):
    arm.on("GET", PATH, 200, page(*items))
    found = await prices.of("westeurope", [SIZE])
    assert found == ({SIZE.lower(): expected} if expected else {})


async def test_pages_are_followed_on_the_same_host(arm, prices):
    arm.on("GET", PATH, 200, page(REGULAR, following=f"{arm.url}{PATH}?$skip=1"))
    arm.on("GET", PATH, 200, page(SPOT))
    assert await prices.of("westeurope", [SIZE]) == {SIZE.lower(): Price(9.36, 1.8, "USD")}
    assert [urlsplit(url).query for _, url, _, _ in arm.requests][1:] == ["$skip=1"]


async def test_prices_are_good_for_a_day(arm, prices, clock):
    arm.on("GET", PATH, 200, page(REGULAR))
    for clock.time in (0, 86399, 86400):
        await prices.of("westeurope", [SIZE, SIZE.lower()])
    assert len(arm.requests) == 2


# --- what stops nothing


async def refused(arm, prices, caplog):
    """Ask twice: there are no prices, one line says so, and nobody is asked again."""
    with caplog.at_level(logging.WARNING):
        assert await prices.of("westeurope", [SIZE, "Standard_HX176rs"]) == {}
        asked = len(arm.requests)
        assert await prices.of("westeurope", [SIZE]) == {}
    assert len(arm.requests) == asked
    (line,) = caplog.messages
    return line


@pytest.mark.parametrize(
    ("status", "body", "text", "headers", "said"),
    [
        (503, None, "<html>", {}, "503"),
        (429, page(), None, {}, "429"),
        (302, None, "", {"Location": "{url}/elsewhere"}, "302"),
        (200, None, "<html>", {}, ""),
        (200, {"Error": {"Code": "BadRequest"}}, None, {}, "no price list"),
        (200, {"Items": None}, None, {}, "no price list"),
        (200, [], None, {}, "no price list"),
        (200, page(following="http://elsewhere.example/api"), None, {}, "elsewhere.example"),
        (200, page(following="nonsense"), None, {}, ""),
        (None, None, None, {}, ""),
    ],
)
async def test_answers_that_are_no_price_list(arm, prices, caplog, status, body, text, headers, said):
    arm.on("GET", PATH, status, body, headers, text)
    line = await refused(arm, prices, caplog)
    assert arm.url in line
    assert said in line
    assert {urlsplit(url).path for _, url, _, _ in arm.requests} == {PATH}


async def test_pages_without_end(arm, prices, caplog):
    arm.on("GET", PATH, 200, page(REGULAR, following=f"{arm.url}{PATH}"))
    assert "pages" in await refused(arm, prices, caplog)
    assert len(arm.requests) <= 2 * MAX_PAGES


async def test_after_a_while_it_is_tried_again(arm, prices, clock, caplog):
    arm.on("GET", PATH, 503, text="")
    arm.on("GET", PATH, 200, page(REGULAR))
    assert await prices.of("westeurope", [SIZE]) == {}
    clock.time = RETRY_AFTER
    assert await prices.of("westeurope", [SIZE]) == {SIZE.lower(): Price(9.36, None, "USD")}


async def test_without_an_endpoint_nobody_is_asked(arm):
    assert await PriceList("").of("westeurope", [SIZE]) == {}


@pytest.mark.parametrize("endpoint", ["prices.azure.com", "ftp://prices.azure.com", "https://"])
def test_endpoints_that_are_none(endpoint):
    with pytest.raises(ValueError, match=r"https://prices\.azure\.com"):
        PriceList(endpoint)
