"""Calendar expressions of timers, such as `Mon..Fri *-*-* 09:00` or `daily`.

Pure. What it does not know (time zones, the ~ before days, fractions of seconds) it refuses with a sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHORTHANDS = {
    "minutely": "*-*-* *:*:00", "hourly": "*-*-* *:00:00", "daily": "*-*-* 00:00:00", "monthly": "*-*-01 00:00:00",
    "weekly": "Mon *-*-* 00:00:00", "yearly": "*-01-01 00:00:00", "annually": "*-01-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00", "semiannually": "*-01,07-01 00:00:00",
}  # fmt: skip
_PARTS = re.compile(
    r"^(?:(?P<days>[A-Za-z][A-Za-z.,]*)\s*)?(?:(?P<date>[\d*,./]+(?:-[\d*,./]+){1,2})\s*)?(?P<time>[\d*,./]+(?::[\d*,./]+){1,2})?$"
)
# How far ahead a day is looked for: the next leap day is at most eight years away.
_HORIZON = 366 * 9


@dataclass(frozen=True)
class Calendar:
    """A set of moments."""

    weekdays: frozenset[int]
    years: frozenset[int]
    months: frozenset[int]
    days: frozenset[int]
    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]

    def after(self, moment: datetime) -> datetime | None:
        """The first moment after that one, or None where there is none."""
        start = moment.replace(microsecond=0) + timedelta(seconds=1)
        for number in range(_HORIZON):
            day = (start + timedelta(days=number)).replace(hour=0, minute=0, second=0) if number else start
            if not self._holds(day):
                continue
            for hour in self.hours:
                for minute in self.minutes:
                    for second in self.seconds:
                        found = day.replace(hour=hour, minute=minute, second=second)
                        if found >= start:
                            return found
        return None

    def _holds(self, day: datetime) -> bool:
        return (
            day.weekday() in self.weekdays
            and (not self.years or day.year in self.years)
            and day.month in self.months
            and day.day in self.days
        )


def parse(text: str) -> Calendar:
    """Read an expression; raises ValueError with a sentence."""
    expression = _SHORTHANDS.get(text.strip().lower(), text.strip())
    match = _PARTS.match(expression)
    if match is None or not expression:
        message = f'"{text}" is no calendar expression that is understood here; write for example Mon *-*-* 09:00:00'
        raise ValueError(message)
    date = (match["date"] or "*-*-*").split("-")
    if len(date) == 2:  # noqa: PLR2004 (month and day)
        date = ["*", *date]
    time = (match["time"] or "00:00:00").split(":")
    if len(time) == 2:  # noqa: PLR2004 (hour and minute)
        time = [*time, "00"]
    return Calendar(
        weekdays=_weekdays(match["days"]),
        years=frozenset() if date[0] == "*" else frozenset(_values(date[0], 1970, 2200)),
        months=frozenset(_values(date[1], 1, 12)),
        days=frozenset(_values(date[2], 1, 31)),
        hours=_values(time[0], 0, 23),
        minutes=_values(time[1], 0, 59),
        seconds=_values(time[2], 0, 59),
    )


def _weekdays(text: str | None) -> frozenset[int]:
    if not text:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.strip(",").split(","):
        first, _, last = part.partition("..")
        names = [_weekday(first), _weekday(last or first)]
        found |= {number % 7 for number in range(names[0], names[1] + (1 if names[1] >= names[0] else 8))}
    return frozenset(found)


def _weekday(name: str) -> int:
    try:
        return _DAYS.index(name[:3].lower())
    except ValueError:
        message = f'"{name}" is no day of the week'
        raise ValueError(message) from None


def _values(text: str, low: int, high: int) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        base, _, step = part.partition("/")
        first, dots, last = base.partition("..")
        start = low if first == "*" else int(first)
        end = int(last) if dots else high if first == "*" or step else start
        if not low <= start <= end <= high:
            message = f'"{text}" is not within {low} to {high}'
            raise ValueError(message)
        found |= set(range(start, end + 1, int(step or 1)))
    return tuple(sorted(found))
