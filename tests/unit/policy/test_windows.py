"""When maintenance windows are open, also in the nights in which clocks are changed."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_operator.api.policy import MaintenanceWindow, Policy
from hpc_operator.policy import Gate, next_change, window_problem

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def is_open(environment_with):
    def ask(now, *windows):
        gate = Gate(environment_with(maintenanceWindows=list(windows)), "3f9a2c41d0", now)
        return gate.hold("Update", "disks state") is None

    return ask


def window(schedule, duration="4h", zone="Europe/Berlin"):
    return {"schedule": schedule, "duration": duration, "timeZone": zone}


def policy(*windows):
    return Policy.model_validate({"maintenanceWindows": windows})


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "duration", "opens", "closes"),
    [
        # Berlin is at UTC+1 in winter and at UTC+2 in summer.
        ("0 22 * * SAT", "8h", "2026-01-03 21:00", "2026-01-04 05:00"),
        ("0 22 * * SAT", "8h", "2026-06-06 20:00", "2026-06-07 04:00"),
        # 2026-03-29: 02:00 becomes 03:00. The window is as long as it says, and a start that does not exist comes late.
        ("0 22 * * SAT", "8h", "2026-03-28 21:00", "2026-03-29 05:00"),
        ("30 2 * * SUN", "1h", "2026-03-29 01:00", "2026-03-29 02:00"),
        ("30 3 * * SUN", "1h", "2026-03-29 01:30", "2026-03-29 02:30"),
        # 2026-10-25: 03:00 becomes 02:00. What is twice counts once, the first time.
        ("0 22 * * SAT", "8h", "2026-10-24 20:00", "2026-10-25 04:00"),
        ("30 2 * * SUN", "2h", "2026-10-25 00:30", "2026-10-25 02:30"),
        ("30 2 * * SUN", "30m", "2026-10-25 00:30", "2026-10-25 01:00"),
        ("0 3 * * SUN", "1h", "2026-10-25 02:00", "2026-10-25 03:00"),
        # Longer than a week, the turn of a year, the first Saturday of a month.
        ("0 0 1 1 *", "240h", "2025-12-31 23:00", "2026-01-10 23:00"),
        ("0 8 * * SAT#1", "2h", "2026-02-07 07:00", "2026-02-07 09:00"),
    ],
)
@pytest.mark.parametrize("asked_in", [UTC, BERLIN, ZoneInfo("America/New_York")])
def test_opens_and_closes(is_open, schedule, duration, opens, closes, asked_in):
    opens, closes = utc(opens).astimezone(asked_in), utc(closes).astimezone(asked_in)
    second = timedelta(seconds=1)

    def moved(moment, by):
        return (moment.astimezone(UTC) + by).astimezone(asked_in)

    only = window(schedule, duration)
    assert [is_open(moved(opens, by), only) for by in (-second, 0 * second, second)] == [False, True, True]
    assert [is_open(moved(closes, by), only) for by in (-second, 0 * second, second)] == [True, False, False]
    assert next_change(policy(only), moved(opens, -second)) == opens.astimezone(UTC)
    assert next_change(policy(only), opens) == closes.astimezone(UTC)


def test_without_windows_nothing_changes_by_itself(is_open):
    assert next_change(policy(), utc("2026-06-01 00:00")) is None
    assert is_open(utc("2026-06-01 00:00"))


def test_of_several_windows_the_first_to_open_and_the_last_to_close():
    both = policy(window("0 22 * * SAT", "8h", "Etc/UTC"), window("0 20 * * *", "4h", "Etc/UTC"))
    assert next_change(both, utc("2026-06-05 12:00")) == utc("2026-06-05 20:00")
    assert next_change(both, utc("2026-06-06 12:00")) == utc("2026-06-06 20:00")
    assert next_change(both, utc("2026-06-06 23:00")) == utc("2026-06-07 06:00")


def test_a_window_that_is_always_open_asks_for_no_look_every_minute():
    now = utc("2026-06-05 12:00")
    assert next_change(policy(window("* * * * *", "24h", "Etc/UTC")), now) == utc("2026-06-06 12:00")


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "Etc/UTC")
CLOCK_CHANGES = ("2026-03-29 01:00", "2026-10-25 01:00", "2026-03-08 07:00", "2026-11-01 06:00", "2026-04-04 15:00")


def daily_openings(zone, day, hour, minute):
    """Yield when a daily window opens around a day: the first time the clock shows it, or when it jumps over it."""
    for number in range(-4, 5):
        wall = datetime.combine(day + timedelta(days=number), time(hour, minute), tzinfo=zone)
        while wall.astimezone(UTC).astimezone(zone) != wall:
            wall += timedelta(minutes=1)
        yield wall.astimezone(UTC)


@given(
    zone=st.sampled_from(ZONES),
    hour=st.integers(0, 4),
    minute=st.sampled_from([0, 15, 30, 59]),
    hours=st.integers(1, 60),
    change=st.sampled_from(CLOCK_CHANGES),
    minutes=st.integers(-1800, 1800),
)
def test_around_every_change_of_clocks_a_window_is_open_as_the_clock_on_the_wall_has_it(
    zone, hour, minute, hours, change, minutes
):
    now = utc(change) + timedelta(minutes=minutes)
    openings = list(daily_openings(ZoneInfo(zone), now.date(), hour, minute))
    last = max(opening for opening in openings if opening <= now)
    closes = last + timedelta(hours=hours)
    expected = closes if now < closes else min(opening for opening in openings if opening > now)
    assert next_change(policy(window(f"{minute} {hour} * * *", f"{hours}h", zone)), now) == expected


# --- Windows that can never open


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (window("0 25 * * *"), "schedule 0 25 * * * is no cron schedule (bad hour): write minute"),
        (window("0 22 * * SATURDAY"), "(bad day-of-week)"),
        (window("0 22 0 * *"), "(bad day-of-month)"),
        (window("*/0 22 * * *"), "(bad minute)"),
        (window("0 22 30 2 *"), "(bad day-of-month)"),
        (window("0 0 29 2 MON#1"), ""),
        (window("0 22 * * SAT", zone="Europe/Berln"), "timeZone Europe/Berln is not in the IANA time zone database"),
        (window("0 22 * * SAT", zone="Europe"), "timeZone Europe is not"),
        (window("0 22 * * SAT", "0s"), "duration 0s leaves no time for anything"),
    ],
)
def test_a_window_that_can_never_open_is_told_what_to_write(bad, says):
    problem = window_problem(MaintenanceWindow.model_validate(bad))
    assert says in problem
    assert (": write " in problem) == bool(says)


@pytest.mark.parametrize(
    "schedule", ["0 22 * * SAT", "*/30 0-6 1,15 JAN-MAR *", "0 0 29 2 *", "0 8 * * 6#1", "0 0 1 * 7"]
)
def test_good_windows(schedule):
    assert window_problem(MaintenanceWindow.model_validate(window(schedule))) == ""
