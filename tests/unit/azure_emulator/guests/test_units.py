"""Unit files, command lines, calendars, and the rules of services."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from azure_emulator.guests.inside import calendar, units
from azure_emulator.guests.inside.services import condition_holds, is_provided, order, restarts
from azure_emulator.guests.inside.units import Unit, UnitFiles


@pytest.fixture
def files(tmp_path: Path) -> UnitFiles:
    return UnitFiles(tmp_path, host_name="node-1", machine_id="0" * 32)


def write(files: UnitFiles, name: str, text: str, directory: str = units.ETC) -> None:
    path = files.root / directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def service(*lines: str) -> Unit:
    return Unit("x.service", [("Service", *line.split("=", 1)) for line in lines])  # type: ignore[misc]


class TestFiles:
    def test_lines_comments_continuations_and_resets(self, files: UnitFiles) -> None:
        write(files, "a.service", "# c\n[Unit]\nAfter=x.service \\\n  y.service\n[Service]\nExecStart=/bin/one\n; c\n"
                                  "ExecStart=\nExecStart=/bin/two\n")  # fmt: skip
        unit = files.load("a.service")
        assert unit is not None
        assert unit.words("Unit", "After") == ["x.service", "y.service"]
        assert unit.all("Service", "ExecStart") == ["/bin/two"]

    def test_the_administrators_file_comes_first_and_drop_ins_add(self, files: UnitFiles) -> None:
        write(files, "a.service", "[Service]\nUser=packaged\nRestart=no\n", "usr/lib/systemd/system")
        write(files, "a.service.d/10.conf", "[Service]\nRestart=always\n")
        write(files, "a.service.d/20.conf", "[Service]\nEnvironment=A=1\n", "usr/lib/systemd/system")
        unit = files.load("a.service")
        assert unit is not None
        assert (unit.get("Service", "User"), unit.get("Service", "Restart")) == ("packaged", "always")
        assert unit.drop_ins == [
            "/etc/systemd/system/a.service.d/10.conf",
            "/usr/lib/systemd/system/a.service.d/20.conf",
        ]
        write(files, "a.service", "[Service]\nUser=mine\n")
        again = files.load("a.service")
        assert again is not None
        assert again.get("Service", "User") == "mine"

    def test_templates_and_specifiers(self, files: UnitFiles) -> None:
        write(files, "d@.service", "[Service]\nExecStart=/bin/d %i %I %n %p %H %t %% %Z\n")
        unit = files.load("d@a-b.service")
        assert unit is not None
        assert unit.get("Service", "ExecStart") == "/bin/d a-b a/b d@a-b.service d node-1 /run % %Z"

    def test_masks_aliases_and_absence(self, files: UnitFiles) -> None:
        write(files, "real.service", "[Install]\nAlias=other.service\nWantedBy=multi-user.target\n")
        base = files.root / units.ETC
        (base / "gone.service").symlink_to("/dev/null")
        (base / "other.service").symlink_to(base / "real.service")
        masked, alias = files.load("gone.service"), files.load("other.service")
        assert masked is not None
        assert masked.masked
        assert alias is not None
        assert alias.name == "real.service"
        assert files.load("nothing.service") is None
        assert [files.state(name) for name in ("gone.service", "other.service", "nothing.service")] == [
            "masked", "enabled", "",
        ]  # fmt: skip

    def test_enabling_is_links(self, files: UnitFiles) -> None:
        write(files, "a.service", "[Install]\nWantedBy=multi-user.target\nRequiredBy=x.target\n")
        unit = files.load("a.service")
        assert unit is not None
        links = files.links(unit, "a.service")
        assert [str(path.relative_to(files.root / units.ETC)) for path in links] == [
            "multi-user.target.wants/a.service", "x.target.requires/a.service",
        ]  # fmt: skip
        assert files.state("a.service") == "disabled"
        for link, target in links.items():
            link.parent.mkdir()
            link.symlink_to(target)
        assert files.state("a.service") == "enabled"
        assert files.wanted_by("multi-user.target") == ["a.service"]

    def test_directives_that_would_be_missed_are_told(self) -> None:
        unit = service("ExecStart=/bin/x", "ProtectSystem=strict", "MemoryMax=1G", "LimitNOFILE=1", "Frobnicate=yes")
        assert unit.unknown() == ["Frobnicate"]


class TestValues:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("5", 5), ("5min 20s", 320), ("1h30m", 5400), ("100ms", 0.1), ("infinity", float("inf"))]
    )
    def test_time_spans(self, text: str, seconds: float) -> None:
        assert units.span(text) == seconds

    @pytest.mark.parametrize("text", ["", "5 parsecs", "min", "5m x"])
    def test_what_is_no_time_span(self, text: str) -> None:
        with pytest.raises(ValueError, match="is no time span"):
            units.span(text)

    def test_command_lines(self) -> None:
        line = """-/bin/sh -c 'echo "a b"; exit' $LIST x${ONE}y $$HOME "$LIST\""""
        command = units.commands([line])[0]
        assert command.may_fail
        assert command.expanded({"LIST": "1 2", "ONE": "1"}) == [
            "/bin/sh", "-c", 'echo "a b"; exit', "1", "2", "x1y", "$HOME", "1", "2",
        ]  # fmt: skip

    def test_prefixes_and_several_commands(self) -> None:
        first, second = units.commands(["@/bin/daemon worker -x ; +/bin/true"])
        assert (first.arguments, first.name) == (("/bin/daemon", "-x"), "worker")
        assert second.as_root

    @pytest.mark.parametrize("line", ["/bin/x 'open", "-", "@/bin/x"])
    def test_broken_command_lines(self, line: str) -> None:
        with pytest.raises(ValueError, match=r"command|name"):
            units.commands([line])

    def test_environment(self, tmp_path: Path) -> None:
        (tmp_path / "defaults").write_text("# c\nOPTIONS=\"-a 'b c'\"\nA=2\nexport B=x y\n")
        unit = service('Environment=A=1 "C=two words"', "EnvironmentFile=/defaults", "EnvironmentFile=-/missing")
        assert units.environment(unit, tmp_path) == {"A": "2", "C": "two words", "OPTIONS": "-a 'b c'", "B": "x y"}
        with pytest.raises(ValueError, match="Failed to load environment files: /missing"):
            units.environment(service("EnvironmentFile=/missing"), tmp_path)


class TestCalendars:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("daily", "2026-01-02T00:00:00"),
            ("hourly", "2026-01-01T13:00:00"),
            ("weekly", "2026-01-05T00:00:00"),
            ("*:0/5", "2026-01-01T12:35:00"),
            ("Mon..Fri 09:00", "2026-01-02T09:00:00"),
            ("Sat,Sun *-*-* 10:00:30", "2026-01-03T10:00:30"),
            ("*-02-29 00:00", "2028-02-29T00:00:00"),
            ("2030-06-01", "2030-06-01T00:00:00"),
        ],
    )
    def test_the_next_moment(self, text: str, expected: str) -> None:
        found = calendar.parse(text).after(datetime.fromisoformat("2026-01-01T12:30:00"))
        assert found == datetime.fromisoformat(expected)

    def test_a_past_moment_never_comes(self) -> None:
        assert calendar.parse("2020-01-01 00:00").after(datetime(2026, 1, 1)) is None  # noqa: DTZ001 (local)

    @pytest.mark.parametrize("text", ["", "sometimes", "*-*-* 25:00", "Foo 10:00", "*-*~1 00:00"])
    def test_what_is_not_understood_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"calendar|within|day of the week"):
            calendar.parse(text)


class TestRules:
    @pytest.mark.parametrize(
        ("policy", "after_success", "after_failure", "after_signal"),
        [
            ("no", False, False, False), ("always", True, True, True), ("on-failure", False, True, True),
            ("on-success", True, False, False), ("on-abnormal", False, False, True), ("on-abort", False, False, True),
        ],
    )  # fmt: skip
    def test_restart(self, policy: str, *, after_success: bool, after_failure: bool, after_signal: bool) -> None:
        unit = service(f"Restart={policy}")
        assert restarts(unit, 0, "success") is after_success
        assert restarts(unit, 1, "exit-code") is after_failure
        assert restarts(unit, -9, "signal") is after_signal
        assert not restarts(unit, 1, "start-limit-hit")

    def test_exit_statuses_that_decide(self) -> None:
        unit = service("Restart=always", "RestartPreventExitStatus=42 SIGKILL")
        assert [restarts(unit, code, "exit-code") for code in (1, 42, -9)] == [True, False, False]
        assert restarts(service("Restart=no", "RestartForceExitStatus=3"), 3, "exit-code")
        assert not restarts(service("Restart=on-failure", "SuccessExitStatus=143"), 143, "success")

    def test_order_follows_after_and_before_and_breaks_circles(self) -> None:
        found = {
            "a": Unit("a", [("Unit", "After", "b")]), "b": Unit("b", [("Unit", "After", "c")]),
            "c": Unit("c", [("Unit", "After", "a"), ("Unit", "Before", "d")]), "d": Unit("d"),
        }  # fmt: skip
        before = order(found)
        assert before["a"] == {"b"}
        assert before["b"] == {"c"}
        assert before["c"] == set()
        assert before["d"] == {"c"}

    def test_conditions(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("")
        assert condition_holds("PathExists", str(file))
        assert not condition_holds("PathExists", f"!{file}")
        assert not condition_holds("FileNotEmpty", str(file))
        assert condition_holds("DirectoryNotEmpty", str(tmp_path))
        assert condition_holds("KernelCommandLine", "whatever")

    def test_conditions_are_taken_back(self) -> None:
        lines = [("ConditionPathExists", "/x"), ("AssertPathExists", "/y"), ("ConditionVirtualization", "")]
        unit = Unit("a", [("Unit", *line) for line in [*lines, ("ConditionFileNotEmpty", "/z")]])
        assert unit.conditions() == [("AssertPathExists", "/y"), ("ConditionFileNotEmpty", "/z")]

    def test_what_the_system_brings(self) -> None:
        assert is_provided("network-online.target")
        assert is_provided("systemd-resolved.service")
        assert not is_provided("munge.service")
