"""User-data as cloud-init reads it."""

from __future__ import annotations

import base64
import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest

from azure_emulator.guests.inside import user_data
from azure_emulator.guests.inside.cloud_init import decoded, permissions, shell_script
from azure_emulator.guests.inside.user_data import merged


def read(data: str | bytes) -> user_data.UserData:
    return user_data.read(base64.b64encode(data.encode() if isinstance(data, str) else data).decode())


CONFIG = "#cloud-config\nhostname: one\n"


class TestReading:
    def test_there_may_be_none(self) -> None:
        assert user_data.read("") == user_data.UserData()

    @pytest.mark.parametrize(
        "data",
        [
            CONFIG.encode(),
            gzip.compress(CONFIG.encode(), mtime=0),
            base64.b64encode(CONFIG.encode()),
            base64.b64encode(gzip.compress(CONFIG.encode(), mtime=0)),
        ],
        ids=["plain", "gzip", "base64 twice", "gzip in base64"],
    )
    def test_layers_are_taken_off(self, data: bytes) -> None:
        assert read(data).config == {"hostname": "one"}

    def test_a_script_is_told_by_its_first_line(self) -> None:
        found = read("#!/bin/sh\necho x\n")
        assert [(script.name, script.text) for script in found.scripts] == [("part-001", "#!/bin/sh\necho x\n")]

    @pytest.mark.parametrize(
        ("data", "warning"),
        [
            ("no header", 'Unhandled non-multipart (text/x-not-multipart) userdata: "no header"'),
            ("#cloud-config\n{ unclosed", "Failed loading yaml blob of part-001"),
            ("#cloud-config\n- a list", "must be a mapping"),
            ("## template: jinja\n#cloud-config\n", "parts of type text/jinja2 are not carried out"),
            ("#include\nhttp://x", "parts of type text/x-include-url are not carried out"),
            (b"\x1f\x8bbroken", "cannot be decompressed"),
            (b"#cloud-config\n\xff\xfe", "is not UTF-8"),
        ],
    )
    def test_what_cannot_be_read_is_said(self, data: str | bytes, warning: str) -> None:
        found = read(data)
        assert found.config == {}
        assert len(found.warnings) == 1
        assert warning in found.warnings[0]

    def test_parts_in_their_order_with_names_and_kinds(self) -> None:
        parts = MIMEMultipart()
        for kind, name, text in [
            ("cloud-config", "a.cfg", "#cloud-config\nruncmd: [one]\nhostname: first\n"),
            ("x-shellscript", "run.sh", "#!/bin/sh\n"),
            ("cloud-boothook", "early.sh", "#cloud-boothook\n#!/bin/sh\n"),
            ("plain", "b.cfg", "#cloud-config\nhostname: second\n"),
            ("jinja2", "c", "## template: jinja\n"),
        ]:
            part = MIMEText(text, kind)
            part.add_header("Content-Disposition", "attachment", filename=name)
            parts.attach(part)
        found = read(parts.as_bytes())
        assert found.config == {"runcmd": ["one"], "hostname": "second"}
        assert [(script.name, script.text) for script in found.scripts] == [("run.sh", "#!/bin/sh\n")]
        assert [(hook.name, hook.text) for hook in found.boothooks] == [("early.sh", "#!/bin/sh\n")]
        assert found.warnings == ["c: parts of type text/jinja2 are not carried out in a guest"]

    def test_an_archive_is_parts_too(self) -> None:
        archive = (
            "#cloud-config-archive\n- type: text/cloud-config\n  content: 'timezone: UTC'\n- '#!/bin/sh\n\n  true'\n"
        )
        found = read(archive)
        assert found.config == {"timezone": "UTC"}
        assert len(found.scripts) == 1


class TestMerging:
    """The expected values were taken from cloud-init 22.4's own mergers."""

    @pytest.mark.parametrize(
        ("how", "expected"),
        [
            (None, {"a": [3], "b": {"z": 3}, "c": "y"}),
            ("list(append)+dict(no_replace,recurse_list)+str()", {"a": [1, 2, 3], "b": {"x": 1, "z": 3}, "c": "x"}),
            ("list(prepend)+dict(recurse_array)+str()", {"a": [3, 1, 2], "b": {"x": 1, "z": 3}, "c": "x"}),
            ("dict(no_replace)+list()+str()", {"a": [1, 2], "b": {"x": 1, "z": 3}, "c": "x"}),
            ("dict(recurse_str)+list()+str(append)", {"a": [1, 2], "b": {"x": 1, "z": 3}, "c": "xy"}),
            ([{"name": "list", "settings": ["append"]}, {"name": "dict", "settings": ["no_replace", "recurse_list"]}],
             {"a": [1, 2, 3], "b": {"x": 1, "z": 3}, "c": "x"}),
        ],
    )  # fmt: skip
    def test_as_cloud_init_does(self, how: Any, expected: dict[str, Any]) -> None:
        first = {"a": [1, 2], "b": {"x": 1}, "c": "x"}
        assert merged(first, {"a": [3], "b": {"z": 3}, "c": "y"}, how) == expected
        assert first == {"a": [1, 2], "b": {"x": 1}, "c": "x"}

    def test_a_key_can_be_taken_back(self) -> None:
        assert merged({"a": 1, "b": 2}, {"a": None}, "dict(allow_delete)") == {"b": 2}


class TestValues:
    def test_commands_are_quoted_and_strings_are_shell(self) -> None:
        script = shell_script(["a | b", ["echo", "it's", 3], None])
        assert script == "#!/bin/sh\na | b\n'echo' 'it'\\''s' '3'\n"

    @pytest.mark.parametrize("lines", ["a string", {"a": 1}, [{"a": 1}]])
    def test_other_commands_are_refused(self, lines: Any) -> None:
        with pytest.raises(TypeError):
            shell_script(lines)

    @pytest.mark.parametrize(
        ("content", "encoding"),
        [
            ("text", None),
            ("dGV4dA==", "b64"),
            (base64.b64encode(gzip.compress(b"text", mtime=0)).decode(), "gz+b64"),
            (gzip.compress(b"text", mtime=0), "gzip"),
        ],
    )
    def test_encodings_of_files(self, content: Any, encoding: str | None) -> None:
        assert decoded(content, encoding) == b"text"

    def test_modes_as_yaml_gives_them(self) -> None:
        assert [permissions(value) for value in ("0600", 0o755, None, "nonsense")] == [0o600, 0o755, 0o644, 0o644]
