"""List prices of virtual machines, from the Azure Retail Prices API.

It is no part of Azure Resource Manager: it stands on another host, asks for no token and gets none.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from yarl import URL

from hpc_operator.azure.answers import Answers
from hpc_operator.subscription import Price

logger = logging.getLogger(__name__)

PRICES_LIFETIME: Final = 24 * 3600.0
"""Seconds that a price is good for: Microsoft changes list prices on the first of a month, if at all."""

RETRY_AFTER: Final = 600.0
"""Seconds without prices after the list did not answer: a plan must not wait for it again and again."""

TIMEOUT: Final = 20.0
"""Seconds for one page: the API takes up to ten for a list of many items (measured by others; ours are short)."""

MAX_PAGES: Final = 10
"""Pages of one size. It has about ten items, which is one page: more is no price list."""

_MEMBERS: Final = frozenset({
    "productName", "meterName", "type", "unitOfMeasure", "retailPrice", "currencyCode", "effectiveStartDate",
})  # fmt: skip
_PATH: Final = "/api/retail/prices"


class PriceList:
    """The price list at an endpoint.

    Parameters
    ----------
    endpoint
        Such as `https://prices.azure.com`; empty for no prices at all.
    now
        A clock in seconds.

    Raises
    ------
    ValueError
        If the endpoint is no http or https URL.
    """

    def __init__(self, endpoint: str, now: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = URL(endpoint)
        if endpoint and not (self._endpoint.scheme in ("http", "https") and self._endpoint.host):
            msg = f"{endpoint!r} is no endpoint of a price list; write one such as https://prices.azure.com"
            raise ValueError(msg)
        self._now = now
        self._answers = Answers(now)
        self._silent_until = -math.inf

    async def of(self, location: str, sizes: Collection[str]) -> Mapping[str, Price]:
        """Return prices by lower-case VM size; empty, after a line in the log, where the list does not answer.

        Parameters
        ----------
        location
            Such as `westeurope`.
        sizes
            Names of VM sizes; those that the list does not have are left out.
        """
        names = sorted({size.lower(): size for size in sizes}.items())
        if not self._endpoint.host or self._now() < self._silent_until:
            return {}
        try:
            # One request for each size: the API refuses a filter with more than some 20 comparisons.
            found = await asyncio.gather(*(self._price(location, name) for _, name in names))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            if self._now() >= self._silent_until:
                self._silent_until = self._now() + RETRY_AFTER
                logger.warning(
                    "no prices from %s (%s): plans come without them for %.0f minutes",
                    self._endpoint, _text(error), RETRY_AFTER / 60,
                )  # fmt: skip
            return {}
        return {key: price for (key, _), price in zip(names, found, strict=True) if price is not None}

    async def _price(self, location: str, size: str) -> Price | None:
        return await self._answers.get(
            (location.lower(), size.lower()), PRICES_LIFETIME, lambda: self._ask(location, size)
        )

    async def _ask(self, location: str, size: str) -> Price | None:
        conditions = {
            "serviceName": "Virtual Machines",
            "priceType": "Consumption",
            "armRegionName": location.lower(),
            "armSkuName": size,
        }
        text = " and ".join(f"{name} eq '{_quoted(value)}'" for name, value in conditions.items())
        url = self._endpoint.with_path(_PATH).with_query({"$filter": text})
        items: list[Mapping[str, Any]] = []
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT), trust_env=self._endpoint.scheme == "https"
        ) as session:
            for _ in range(MAX_PAGES):
                found, following = await _page(session, url)
                items += found
                if not following:
                    return price(items)
                url = URL(following)
                if url.origin() != self._endpoint.origin():
                    msg = f"its next page is on another host, {url.host}"
                    raise ValueError(msg)
        msg = f"more than {MAX_PAGES} pages for {size}"
        raise ValueError(msg)


def price(items: Iterable[Mapping[str, Any]]) -> Price | None:
    """Return the price of one VM size with Linux.

    Parameters
    ----------
    items
        What the list has of the size in a region: a meter each for Linux and for Windows, regular, Spot and low
        priority (which is Azure Batch's), and of Cloud Services.
    """
    meters: dict[str, Mapping[str, Any]] = {}
    for item in items:
        kind = _kind(item)
        if kind and (kind not in meters or meters[kind]["effectiveStartDate"] < item["effectiveStartDate"]):
            meters[kind] = item
    if not meters:
        return None
    regular, spot = (float(meters[kind]["retailPrice"]) if kind in meters else None for kind in ("regular", "spot"))
    return Price(regular, spot, str(next(iter(meters.values()))["currencyCode"]))


def _kind(item: Mapping[str, Any]) -> str:
    """Return `regular` or `spot`, empty for what is not the price of a virtual machine with Linux per hour."""
    product, meter = str(item["productName"]).lower(), str(item["meterName"]).lower()
    if item["type"] != "Consumption" or item["unitOfMeasure"] != "1 Hour":
        return ""
    if "windows" in product or "cloud services" in product or "cloudservices" in product:
        return ""
    if "low priority" in meter or "expired" in meter:
        return ""
    return "spot" if meter.endswith("spot") else "regular"


async def _page(session: aiohttp.ClientSession, url: URL) -> tuple[list[Mapping[str, Any]], str]:
    """Return the items of a page that can be read, and where the next page is."""
    async with session.get(url, allow_redirects=False) as response:
        if response.status != HTTPStatus.OK:
            msg = f"it answered {response.status}"
            raise ValueError(msg)
        page: Any = await response.json(content_type=None)
    if not isinstance(page, dict) or not isinstance(page.get("Items"), list):
        msg = "its answer is no price list"
        raise ValueError(msg)  # noqa: TRY004 (it is what somebody sent, not what we passed)
    items: list[Mapping[str, Any]] = [
        item for item in page["Items"] if isinstance(item, dict) and item.keys() >= _MEMBERS
    ]
    return items, str(page.get("NextPageLink") or "")


def _quoted(value: str) -> str:
    return value.replace("'", "''")


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
