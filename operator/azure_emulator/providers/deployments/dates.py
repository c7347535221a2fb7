"""Dates in templates: ISO 8601 in and out, durations, and .NET's format strings.

Pure functions on datetimes in UTC. Format strings that are not here are refused instead of being guessed.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from azure_emulator.providers.deployments.language import ExpressionError

_DURATION = re.compile(
    r"^(?P<sign>-?)P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?$"
)
_TOKEN = re.compile(r"yyyy|yy|MMMM|MMM|MM|M|dddd|ddd|dd|d|HH|H|hh|h|mm|m|ss|s|f{1,7}|tt|K|zzz|'[^']*'|\"[^\"]*\"|.")
_STANDARD = {
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "g": "MM/dd/yyyy HH:mm",
    "G": "MM/dd/yyyy HH:mm:ss",
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "O": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "r": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "R": "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "t": "HH:mm",
    "T": "HH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssZ",
}
_PARTS: Mapping[str, Callable[[datetime], str]] = {
    "yyyy": lambda moment: f"{moment.year:04}",
    "yy": lambda moment: f"{moment.year % 100:02}",
    "MMMM": lambda moment: calendar.month_name[moment.month],
    "MMM": lambda moment: calendar.month_abbr[moment.month],
    "MM": lambda moment: f"{moment.month:02}",
    "M": lambda moment: str(moment.month),
    "dddd": lambda moment: calendar.day_name[moment.weekday()],
    "ddd": lambda moment: calendar.day_abbr[moment.weekday()],
    "dd": lambda moment: f"{moment.day:02}",
    "d": lambda moment: str(moment.day),
    "HH": lambda moment: f"{moment.hour:02}",
    "H": lambda moment: str(moment.hour),
    "hh": lambda moment: f"{(moment.hour + 11) % 12 + 1:02}",
    "h": lambda moment: str((moment.hour + 11) % 12 + 1),
    "mm": lambda moment: f"{moment.minute:02}",
    "m": lambda moment: str(moment.minute),
    "ss": lambda moment: f"{moment.second:02}",
    "s": lambda moment: str(moment.second),
    "tt": lambda moment: "AM" if moment.hour < 12 else "PM",  # noqa: PLR2004
    "K": lambda _: "Z",
    "zzz": lambda _: "+00:00",
}

# What utcNow() and dateTimeAdd() write when they are not told.
UTC_NOW = "yyyyMMddTHHmmssZ"
ISO = "yyyy-MM-ddTHH:mm:ssZ"


def parse(text: str) -> datetime:
    """A moment as ISO 8601 writes it, or as utcNow() does."""
    for shape in ("%Y%m%dT%H%M%SZ", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y"):
        try:
            return datetime.strptime(text, shape).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ExpressionError(f"The date and time '{text}' is not in a format that is supported.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def write(moment: datetime, shape: str) -> str:
    """A moment in one of .NET's standard or custom formats."""
    return "".join(_part(moment, token) for token in _TOKEN.findall(_STANDARD.get(shape, shape)))


def _part(moment: datetime, token: str) -> str:
    if token[0] in "'\"":
        return token.strip(token[0])
    if token[0] == "f":
        return f"{moment.microsecond:06}0"[: len(token)]
    part = _PARTS.get(token)
    return part(moment) if part is not None else token


def add(moment: datetime, duration: str) -> datetime:
    """A moment so much later or, with a minus sign, earlier."""
    found = _DURATION.match(duration)
    if found is None or duration[-1:] in ("P", "T"):
        raise ExpressionError(f"The duration '{duration}' is not a valid ISO 8601 duration.")
    amounts = {name: float(value) for name, value in found.groupdict().items() if value and name != "sign"}
    sign = -1 if found["sign"] else 1
    months = sign * int(12 * amounts.pop("years", 0) + amounts.pop("months", 0))
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day) + sign * timedelta(**amounts)


def span(seconds: float) -> str:
    """A duration as ARM writes it: PT1H2M3.5S."""
    hours, rest = divmod(max(0.0, seconds), 3600)
    minutes, left = divmod(rest, 60)
    text = f"{int(hours)}H" if hours else ""
    text += f"{int(minutes)}M" if minutes else ""
    if left or not text:
        text += f"{left:.7f}".rstrip("0").rstrip(".") + "S"
    return f"PT{text}"
