"""What guests are made of: the image, the table of mounts, what the store says, and that nothing is loaded late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from azure_emulator.guests import image, sandbox
from azure_emulator.guests.description import DataDisk, Interface, Machine
from azure_emulator.guests.directory import key_of
from azure_emulator.guests.inside import mounts, packages


class TestImage:
    def test_it_has_no_secret_and_no_identity_of_the_host(self, tmp_path: Path) -> None:
        source, root = tmp_path / "host", tmp_path / "disk"
        (source / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
        (source / "var/lib/tool").mkdir(parents=True)
        (source / "var/lib/tool/state").write_text("the host's")
        files = {
            "passwd": "root:x:0:0:root:/root:/bin/bash\nmunge:x:102:105::/nonexistent:\nada:x:1000:1000::/home/ada:\n",
            "group": "root:x:0:\nsudo:x:27:ada,munge\nada:x:1000:\n", "shadow": "root:$6$secret:1::::::\n",
            "hostname": "host", "hosts": "127.0.0.1 host", "fstab": "/dev/sda / ext4", "machine-id": "abc",
            "tool.conf": "kept",
        }  # fmt: skip
        for name, text in files.items():
            (source / "etc" / name).write_text(text)
        (source / "etc/private.key").write_text("secret")
        (source / "etc/private.key").chmod(0o600)
        (source / "etc/link").symlink_to("/usr/bin/tool")
        (source / "etc/systemd/system/multi-user.target.wants/x.service").symlink_to("/lib/x.service")
        root.mkdir()
        image.install(root, image.package_directories(source), source)
        text = "\n".join(path.read_text() for path in root.rglob("*") if path.is_file())
        assert "secret" not in text
        assert "the host's" not in text
        assert "ada" not in text
        assert (root / "etc/tool.conf").read_text() == "kept"
        assert (root / "etc/passwd").read_text().count("\n") == 2
        assert (root / "etc/group").read_text() == "root:x:0:\nsudo:x:27:munge\n"
        assert (root / "etc/link").is_symlink()
        assert (root / "var/lib/tool").is_dir()
        assert not (root / "etc/hostname").exists()
        assert not list(root.rglob("*.wants"))
        assert (root / "etc/machine-id").read_text() != "abc"
        assert not image.is_fresh(root)


class TestMounts:
    def test_the_table(self) -> None:
        text = "# c\n\n10.0.0.4:/a /x nfs rw,hard 0 0\nUUID=1 /with\\040space ext4\n/dev/sdc /y\n"
        assert mounts.parse_table(text) == [
            mounts.Entry("10.0.0.4:/a", "/x", "nfs", "rw,hard"), mounts.Entry("UUID=1", "/with space", "ext4"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("line", "kind", "options", "operands", "real"),
        [
            ("-t nfs -o ro,hard 10.0.0.4:/a /x", "nfs", "ro,hard", ["10.0.0.4:/a", "/x"], False),
            ("-tnfs4 -oro -o hard a:/b /x", "nfs4", "ro,hard", ["a:/b", "/x"], False),
            ("-r /dev/sdc /x", "", "ro", ["/dev/sdc", "/x"], False),
            ("-L data /x", "", "", ["LABEL=data", "/x"], False),
            ("/x", "", "", ["/x"], False),
            ("--bind /a /b", "", "", ["/a", "/b"], True),
            ("-o remount,rw /", "", "remount,rw", ["/"], True),
            ("", "", "", [], True),
            ("--unknown", "", "", [], True),
        ],
    )
    def test_command_lines(self, line: str, kind: str, options: str, operands: list[str], *, real: bool) -> None:
        request = mounts.parse_arguments(line.split())
        assert (request.kind, request.options, request.operands, request.real) == (kind, options, operands, real)

    @pytest.mark.parametrize(
        ("source", "kind", "remote"),
        [
            ("10.0.0.4:/a", "", True), ("acc.file.core.windows.net:/acc/s", "nfs", True),
            ("10.0.0.4@tcp:/lustrefs", "lustre", True), ("10.0.0.4@tcp0:/lustrefs", "", True),
            ("tmpfs", "tmpfs", False), ("/dev/sdc", "", False), ("overlay", "overlay", False),
        ],
    )  # fmt: skip
    def test_what_is_a_tier(self, source: str, kind: str, *, remote: bool) -> None:
        assert mounts.is_remote(source, kind) is remote


class TestPackages:
    def test_installed_is_what_the_host_has(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        status = tmp_path / "status"
        status.write_text(
            "Package: slurmd\nStatus: install ok installed\nVersion: 22.05.8-4\n\n"
            "Package: removed\nStatus: deinstall ok config-files\nVersion: 1\n"
        )
        monkeypatch.setattr(packages, "_DPKG", status)
        assert packages.missing(["slurmd", "slurmd:amd64", "slurmd=22.05*"]) == []
        assert [one.name for one in packages.missing(["removed", "nothing", "slurmd=23*"])] == [
            "removed", "nothing", "slurmd=23*",
        ]  # fmt: skip


class TestDescription:
    def test_it_is_read_back_as_it_was_written(self, tmp_path: Path) -> None:
        machine = Machine(
            id="/vm", key="k", name="vm", host_name="host", instance_id="i", os_disk="d", network="/net",
            gateways=("10.0.0.1/24",), interfaces=(Interface("10.0.0.4", 24, "10.0.0.1"),),
            data_disks=(DataDisk(0, "a"), DataDisk(30, "b")), admin_keys=("key",), user_data="eA==",
        )  # fmt: skip
        machine.write(tmp_path / "machine.json")
        assert Machine.read(tmp_path / "machine.json") == machine
        assert (tmp_path / "machine.json").stat().st_mode & 0o777 == 0o600
        assert [disk.device for disk in machine.data_disks] == ["sdc", "sdag"]

    def test_names_of_places_are_readable_and_differ(self) -> None:
        one, other = key_of("a/b c", "/id", "1"), key_of("a/b c", "/ID", "2")
        assert one.startswith("a-b-c-")
        assert one != other
        assert one == key_of("a/b c", "/ID", "1")


class TestReasons:
    def test_another_system_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert sandbox.missing() == "guests need Linux, and this is darwin"

    def test_a_missing_command_is_told_with_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sandbox, "IP_COMMAND", "/nonexistent/ip")
        assert "install the package iproute2" in str(sandbox.missing())

    def test_a_refusal_says_what_to_do(self) -> None:
        assert "user.max_user_namespaces" in sandbox.refused(OSError(28, "No space left on device"))
        assert "guests need namespaces, and the kernel refused them" in sandbox.refused(OSError(1, "not permitted"))


LATE = """
import azure_emulator.guests.keeper, base64, builtins, sys, traceback, tempfile, socket, asyncio
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
parts = MIMEMultipart()
for kind in ("cloud-config", "x-shellscript"):
    parts.attach(MIMEText("#cloud-config\\nruncmd: [\\u00e9]\\n", kind))
    parts.attach(MIMEText("#cloud-config\\nx: [", kind, "latin-1"))
data = base64.b64encode(parts.as_bytes()).decode()
known = set(sys.modules)
for name in [name for name in known if name.startswith("email.mime")]:
    del sys.modules[name]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        raise ImportError(f"{name} is loaded late")
sys.meta_path.insert(0, Refuse())
from azure_emulator.guests.inside import calendar, journal, mounts, user_data
found = user_data.read(data)
assert found.scripts or found.config, found
user_data.read(base64.b64encode(b"\\x1f\\x8bbroken").decode())
calendar.parse("daily").after(__import__("datetime").datetime(2026, 1, 1))
journal.Entry(0.0, "u", "n", 1, "t").line("h")
mounts.parse_arguments(["--nonsense"])
try:
    "\\u00e9.example".encode("idna"); b"\\xff".decode("latin-1"); b"\\xff".decode()
except UnicodeDecodeError as error:
    "".join(traceback.format_exception(error))
socket.getaddrinfo("localhost", 80)
async def ends():
    process = await asyncio.to_thread(lambda: 1)
    reader, writer = await asyncio.open_connection(sock=pair[0])
    writer.write(b"x\\n"); await writer.drain(); writer.close()
    async with asyncio.timeout(5): await asyncio.sleep(0)
pair = socket.socketpair()
loop = asyncio.new_event_loop(); loop.run_until_complete(ends())
print("done")
"""


def test_nothing_is_loaded_late() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", LATE], capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr
