"""Budgets (Microsoft.Consumption/budgets). Nothing is spent, so nobody is ever notified."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.providers import checks
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, Provider, ResourceType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import Call, Change

BUDGET = "Microsoft.Consumption/budgets"
GRAINS = ("Monthly", "Quarterly", "Annually", "BillingMonth", "BillingQuarter", "BillingAnnual", "Last7Days",
          "Last30Days")  # fmt: skip
OPERATORS = ("EqualTo", "GreaterThan", "GreaterThanOrEqualTo")
NOTIFICATIONS_ALLOWED = 5
LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0, 1000
# A budget starts on the first of a month, no earlier than this, and no later than twelve months from now (SDK
# documentation of BudgetTimePeriod).
FIRST_START = datetime(2017, 6, 1, tzinfo=UTC)
MONTHS_AHEAD = 12
YEARS_BY_DEFAULT = 10
# "The update operation requires the latest eTag in the request" (REST documentation); clients exist that leave it
# out. Setting budgetsNeedETag = true refuses them; the codes of both refusals are assumptions.
NEED_ETAG = False


def check_etag(change: Change, *, needed: bool) -> None:
    """The eTag of the body, which must be the latest one where it is given."""
    sent = change.body.pop("eTag", None)
    existing = change.engine.store.get(change.id)
    if existing is None:
        return
    if sent is None and needed:
        raise errors.bad_request("BadRequest", f"An update of '{change.path.name}' needs its latest eTag.")
    if sent is not None and str(sent).strip('"') != existing.etag.strip('"'):
        raise errors.precondition_failed(str(sent))


def show_etag(engine: Engine, resource: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    """Here it is written eTag, in the body only."""
    del engine, resource, query
    shown["eTag"] = shown.pop("etag", "")


def moment(value: Any) -> datetime | None:
    """A time as clients write it, None if it is none."""
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def _check(change: Change) -> None:
    check_etag(change, needed=bool(change.engine.setting("budgetsNeedETag", NEED_ETAG)))
    if not float(change.properties["amount"]) > 0:
        raise checks.refused("properties.amount", change.properties["amount"], "It must be greater than 0.")
    _check_period(change)
    notifications = change.properties.get("notifications") or {}
    if len(notifications) > NOTIFICATIONS_ALLOWED:
        raise checks.refused(
            "properties.notifications", len(notifications), f"At most {NOTIFICATIONS_ALLOWED} are allowed."
        )
    for name, notification in notifications.items():
        _check_notification(name, notification)
    currency = {"amount": 0.0, "unit": "EUR"}
    change.properties.update(currentSpend=currency, forecastSpend=dict(currency))


def _check_period(change: Change) -> None:
    period = change.properties["timePeriod"]
    start, end = moment(period.get("startDate")), moment(period.get("endDate"))
    path = "properties.timePeriod.startDate"
    if start is None or start.day != 1:
        raise checks.refused(path, period.get("startDate"), "It must be the first of a month.")
    now = change.engine.clock.at(change.engine.now)
    ahead = (start.year - now.year) * 12 + start.month - now.month
    if start < FIRST_START or ahead > MONTHS_AHEAD:
        raise checks.refused(
            path, period["startDate"], f"It must be on or after {FIRST_START:%Y-%m-%d}, and no more than "
            f"{MONTHS_AHEAD} months from now.",
        )  # fmt: skip
    if period.get("endDate") is None:
        end = start.replace(year=start.year + YEARS_BY_DEFAULT)
        period["endDate"] = end.isoformat().replace("+00:00", "Z")
    if end is None or end <= start:
        raise checks.refused("properties.timePeriod.endDate", period.get("endDate"), "It must be after the startDate.")


def _check_notification(name: str, notification: Any) -> None:
    path = f"properties.notifications.{name}"
    if not isinstance(notification, dict):
        raise checks.refused(path, notification, "It must be an object.")
    if notification.get("operator") not in OPERATORS:
        raise checks.refused(f"{path}.operator", notification.get("operator"), f"It must be one of {OPERATORS}.")
    threshold = notification.get("threshold")
    if not isinstance(threshold, int | float) or not LOWEST_THRESHOLD <= threshold <= HIGHEST_THRESHOLD:
        raise checks.refused(
            f"{path}.threshold", threshold, f"It must be a percentage from {LOWEST_THRESHOLD} to {HIGHEST_THRESHOLD}."
        )
    whom = [notification.get(kind) for kind in ("contactEmails", "contactRoles", "contactGroups")]
    if not any(whom):
        raise checks.refused(path, name, "It needs contactEmails, contactRoles or contactGroups.")
    notification.setdefault("thresholdType", "Actual")
    notification.setdefault("enabled", True)


def _usage(call: Call) -> Answer:
    """Usage details and the like: nothing was used."""
    del call
    return Answer(200, {"value": []})


PROVIDER = Provider(
    namespace="Microsoft.Consumption",
    types=(
        ResourceType(
            name=BUDGET, protocol=SYNCHRONOUS, location=None, tags=False, extension=True, has_state=False,
            etag="plain", delete_missing=404, delete_first=10,
            required=("properties.category", "properties.amount", "properties.timeGrain", "properties.timePeriod"),
            read_only=("properties.currentSpend", "properties.forecastSpend"),
            check=checks.all_of(checks.choice("properties.category", ("Cost", "ReservationUtilization")),
                                checks.choice("properties.timeGrain", GRAINS), _check),
            view=show_etag, depth="dates, thresholds, at most five notifications, eTag; nothing is ever spent",
        ),
    ),
    functions={
        ("GET", f"Microsoft.Consumption/{name}"): _usage for name in ("usageDetails", "marketplaces", "charges")
    },
)  # fmt: skip
