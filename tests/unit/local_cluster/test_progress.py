"""What a person sees of a build of minutes."""

import io

import pytest

from local_cluster import progress
from local_cluster.progress import Reporter, elapsed


@pytest.fixture
def clock(monkeypatch):
    """The seconds that `time.monotonic` gives; a test sets them."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_a_state_is_said_every_fifteen_seconds(clock):
    stream = io.StringIO()
    reporter = Reporter(stream=stream)
    reporter.line("begins")
    for second in range(1, 32):
        clock.now = 1000.0 + second
        reporter.state(f"at {second}")
    reporter.line("ends")
    assert stream.getvalue().splitlines() == ["begins", "at 15", "at 30", "ends"]


def test_a_callable_gets_the_same_lines(clock):
    lines = []
    reporter = Reporter(lines.append)
    reporter.line("begins")
    reporter.state("dropped")
    clock.now += 15
    reporter.state("kept")
    assert lines == ["begins", "kept"]


def test_on_a_terminal_a_state_is_redrawn_and_a_line_replaces_it(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "11")
    stream = Terminal()
    reporter = Reporter(stream=stream)
    reporter.state("one package")
    clock.now += 1
    reporter.state("two packages")
    reporter.line("all packages are done")
    assert stream.getvalue() == "\r\033[Kone packag\r\033[Ktwo packag\r\033[Kall packages are done\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.9, "59s"), (60, "1m00s"), (282, "4m42s")])
def test_durations_read_as_people_write_them(clock, seconds, text):
    assert elapsed(clock.now - seconds) == text
