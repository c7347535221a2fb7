"""The Azure Retail Prices API (/api/retail/prices): list prices of the VM sizes that are known here, for whoever asks.

It is no part of ARM: it needs no token, has errors of its own, and lives at https://prices.azure.com. The figures are
data (prices.json), which says where they are from; a size or region that it has no figure for has no price.
"""

from __future__ import annotations

import json
import uuid
from functools import cached_property, partial
from importlib import resources
from typing import TYPE_CHECKING, Any

from aiohttp import web

from azure_emulator import errors
from azure_emulator.providers import odata
from azure_emulator.providers.compute.sizes import SIZES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure_emulator.emulator import Emulator
    from azure_emulator.providers.compute.sizes import Size

PATH = "/api/retail/prices"

# Microsoft's documentation of the API: up to 1,000 items a page, and values with their case from this version on.
PAGE = 1000
EXACT_SINCE = "2023-01-01-preview"

# Measured by its users in 2026: more comparisons than this are refused, and so are `not (...)` and `in (...)`.
COMPARISONS_ALLOWED = 20

# What Spot costs of the regular price. Assumption: real ones differ by size and change by the month, and no table of
# them was at hand; a fifth is what low-priority VMs cost. 0: no size has a Spot price. Setting `spotPriceShare`.
SPOT_SHARE = 0.2

# What a filter may name. Anything else matches nothing: `currencyCode eq 'EUR'` is a well-known trap.
_MEMBERS = {name.lower(): name for name in (
    "armRegionName", "location", "meterId", "meterName", "productId", "skuId", "productName", "skuName", "serviceName",
    "serviceId", "serviceFamily", "armSkuName",
)} | {"pricetype": "type"}  # fmt: skip
_SERVICE_ID = "DZH313Z7MMC8"


class Prices:
    """Request handlers of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [web.get(PATH, self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """One page of the items that a filter leaves."""
        query = request.query
        currency = query.get("currencyCode", "USD").strip("'").upper()
        if currency != self._data["currency"]:
            return _refused(f"The emulator's price list is in {self._data['currency']} only.")
        exact = query.get("api-version", "") >= EXACT_SINCE
        try:
            start = int(query.get("$skip", "0"))
            found = self._found(query.get("$filter", ""), exact=exact)
        except ValueError:
            return _refused("Invalid OData parameters supplied")
        size = int(self._emulator.engine.setting("pricePage", PAGE))
        items = found[start : start + size]
        more = start + size < len(found)
        following = str(request.url.update_query({"$skip": str(start + size)})) if more else None
        return web.json_response({
            "BillingCurrency": currency, "CustomerEntityId": "Default", "CustomerEntityType": "Retail", "Items": items,
            "NextPageLink": following, "Count": len(items),
        })  # fmt: skip

    def _found(self, text: str, *, exact: bool) -> list[dict[str, Any]]:
        items = list(self._items())
        if not text.strip():
            return items
        expression = odata.parse(text)
        compared = odata.comparisons(expression)
        if len(compared) > COMPARISONS_ALLOWED or _negates(expression):
            raise odata.FilterError(text)

        return [item for item in items if odata.holds(expression, partial(_compare, item, exact))]

    @cached_property
    def _data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((resources.files("azure_emulator") / "prices.json").read_text("utf-8"))
        return found

    def _items(self) -> Iterator[dict[str, Any]]:
        share = float(self._emulator.engine.setting("spotPriceShare", SPOT_SHARE))
        for name, price in self._data["perHour"].items():
            size = SIZES[name.lower()]
            yield self._item(size, "", price)
            if share > 0 and size.spot:
                yield self._item(size, " Spot", round(price * share, 6))

    def _item(self, size: Size, suffix: str, price: float) -> dict[str, Any]:
        meter = size.name.removeprefix("Standard_").replace("_", " ") + suffix
        series = size.family.removesuffix("Family")[len("standard") :]
        product, sku = _code("product", series), _code("sku", meter)
        return {
            "currencyCode": self._data["currency"], "tierMinimumUnits": 0.0, "retailPrice": price, "unitPrice": price,
            "armRegionName": self._data["region"], "location": self._data["regionName"],
            "effectiveStartDate": self._data["asOf"], "meterId": str(uuid.uuid5(uuid.NAMESPACE_OID, meter)),
            "meterName": meter, "productId": product, "skuId": f"{product}/{sku[:4]}",
            "productName": f"Virtual Machines {series} Series", "skuName": meter, "serviceName": "Virtual Machines",
            "serviceId": _SERVICE_ID, "serviceFamily": "Compute", "unitOfMeasure": "1 Hour", "type": "Consumption",
            "isPrimaryMeterRegion": True, "armSkuName": size.name,
        }  # fmt: skip


def _compare(
    item: dict[str, Any], exact: bool, comparison: odata.Comparison, together: tuple[odata.Comparison, ...]
) -> bool:
    del together
    actual = str(item.get(_MEMBERS.get(comparison.name, ""), ""))
    if exact and comparison.operator == "eq":
        return actual == comparison.value
    return odata.compare(comparison, actual)


def _code(kind: str, name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {name}").hex[:12].upper()


def _negates(expression: odata.Expression) -> bool:
    match expression:
        case odata.Not():
            return True
        case odata.All(parts) | odata.Either(parts):
            return any(_negates(part) for part in parts)
        case _:
            return False


def _refused(message: str) -> web.Response:
    document = {"Error": {"Code": "BadRequest", "Message": message}}
    return web.json_response(document, status=errors.BAD_REQUEST)
