"""What the scripts on the scheduler do, run with stand-ins for disks, Slurm and systemd."""

import os
import re
import subprocess

import pytest

from hpc_operator.blueprint.scripts import script


@pytest.fixture
def machine(tmp_path):
    """Return a function that runs shell with commands replaced; every call of one is logged."""

    class Machine:
        root = tmp_path
        commands = tmp_path / "bin"
        log = tmp_path / "log"

        def command(self, name, body="exit 0"):
            file = self.commands / name
            file.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.log}\n{body}\n')
            file.chmod(0o755)

        def run(self, shell):
            return subprocess.run(
                ["sh", "-c", shell],
                capture_output=True,
                text=True,
                check=False,
                env={"PATH": f"{self.commands}:{os.environ['PATH']}"},
            )

        def calls(self, name):
            lines = self.log.read_text().splitlines() if self.log.exists() else []
            return [line for line in lines if line.startswith(f"{name} ")]

    machine = Machine()
    machine.commands.mkdir()
    machine.command("sleep")
    return machine


def configure(machine, text, *, scontrol="echo Slurmctld is UP", active="exit 0"):
    """Run the configuration script as if this temporary directory were the machine."""
    etc = machine.root / "etc"
    etc.mkdir(exist_ok=True)
    (machine.root / "ready").touch()
    (machine.root / "slurmctld.log").write_text("fatal: because\n")
    machine.command("scontrol", scontrol)
    machine.command("systemctl", f'case "$1" in is-active) {active} ;; esac')
    body = script("configure_slurm")
    body = body.replace("directory=/etc/slurm", f"directory={etc}").replace(
        "/var/lib/azurehpc/ready", f"{machine.root}/ready"
    )
    body = body.replace("/var/log/slurm/slurmctld.log", f"{machine.root}/slurmctld.log")
    return machine.run(f"{body}\nstage slurm.conf '{text}'\napply\n"), etc / "slurm.conf"


def test_a_new_configuration_starts_a_scheduler_that_does_not_run(machine):
    result, file = configure(machine, "a=1", active="exit 3")
    assert result.returncode == 0, result.stderr
    assert file.read_text() == "a=1"
    assert machine.calls("systemctl")[-1] == "systemctl start slurmctld"


def test_an_edit_is_loaded_while_jobs_run(machine):
    configure(machine, "a=1")
    machine.log.unlink()
    result, file = configure(machine, "a=2")
    assert result.returncode == 0
    assert file.read_text() == "a=2"
    assert "scontrol reconfigure" in machine.calls("scontrol")
    assert not any("restart" in call for call in machine.calls("systemctl"))


def test_the_same_configuration_is_left_alone(machine):
    configure(machine, "a=1")
    machine.log.unlink()
    result, _ = configure(machine, "a=1")
    assert result.returncode == 0
    assert machine.calls("scontrol") == []


def test_what_slurm_cannot_read_changes_nothing(machine):
    configure(machine, "a=1")
    result, file = configure(machine, "a=2", scontrol='case "$2" in hostnames) exit 1 ;; esac')
    assert result.returncode == 1
    assert "Slurm refuses the configuration" in result.stderr
    assert file.read_text() == "a=1"


def test_a_configuration_with_which_slurmctld_does_not_start_is_taken_back(machine):
    configure(machine, "a=1")
    up_with_old = f'grep -q a=1 {machine.root}/etc/slurm.conf && echo "is UP"; exit 0'
    result, file = configure(machine, "a=2", scontrol=up_with_old)
    assert result.returncode == 1
    assert "fatal: because" in result.stderr
    assert "the one before is back" in result.stderr
    assert file.read_text() == "a=1"
    assert machine.calls("systemctl")[-1] == "systemctl restart slurmctld"


def mount_state_disk(machine, blkid):
    """Run the part of the scheduler's boot that mounts its state disk."""
    functions = "\n".join(re.findall(r"^(?:fail|retry)\(\) \{.*?^\}", script("common"), re.MULTILINE | re.DOTALL))
    part = re.search(r"^mount_state_disk\(\) \{.*?^\}", script("scheduler"), re.MULTILINE | re.DOTALL)
    assert part is not None
    for name in ("mkfs.ext4", "mount", "resize2fs"):
        machine.command(name)
    machine.command("mountpoint", "exit 1")
    machine.command("blkid", blkid)
    body = part[0].replace("/etc/fstab", f"{machine.root}/fstab")
    settings = f"set -eu\nSTATE_DIRECTORY={machine.root}/state\nstate_disk() {{ echo /dev/sdx; }}"
    return machine.run(f"{settings}\n{functions}\n{body}\nmount_state_disk")


def test_an_empty_disk_is_formatted(machine):
    made = f'grep -q ^mkfs {machine.log} || exit 2; [ "$2" = -s ] && echo 1234; exit 0'
    result = mount_state_disk(machine, made)
    assert result.returncode == 0, result.stderr
    assert len(machine.calls("mkfs.ext4")) == 1
    assert machine.calls("mount") == [f"mount {machine.root}/state"]


def test_a_disk_with_a_file_system_is_never_formatted(machine):
    result = mount_state_disk(machine, '[ "$2" = -s ] && echo 1234; exit 0')
    assert result.returncode == 0, result.stderr
    assert machine.calls("mkfs.ext4") == []
    assert (machine.root / "fstab").read_text().startswith("UUID=1234 ")


@pytest.mark.parametrize("status", [1, 4, 8])
def test_a_disk_that_cannot_be_read_is_never_formatted(machine, status):
    result = mount_state_disk(machine, f"exit {status}")
    assert result.returncode == 1
    assert "it is not touched" in result.stderr
    assert machine.calls("mkfs.ext4") == []
    assert machine.calls("mount") == []


def munge_key(machine, answers):
    """Run the making of the munge key against a vault that gives these answers, one after the other."""
    part = re.search(r"^make_munge_key\(\) \{.*?^\}", script("scheduler"), re.MULTILINE | re.DOTALL)
    assert part is not None
    (machine.root / "answers").write_text("\n".join(answers) + "\n")
    vault = (
        f'ask_vault() {{ echo "$*" >> {machine.root}/asked; head -n 1 {machine.root}/answers; '
        f"sed -i 1d {machine.root}/answers; }}"
    )
    result = machine.run(f"{vault}\n{part[0]}\nmake_munge_key")
    return result.returncode, (machine.root / "asked").read_text().splitlines()


def test_a_munge_key_is_made_only_where_the_vault_has_none(machine):
    code, asked = munge_key(machine, ["404", "200"])
    assert code == 0
    assert re.fullmatch(r'request = "PUT" .* data = "\{\\"value\\": \\"[0-9a-f]{128}\\"\}"', asked[1])


@pytest.mark.parametrize(("answer", "code"), [("200", 0), ("403", 1), ("500", 1)])
def test_a_munge_key_that_is_there_or_cannot_be_seen_is_left_alone(machine, answer, code):
    assert munge_key(machine, [answer]) == (code, [""])
