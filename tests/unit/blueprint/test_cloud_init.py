"""User-data: valid cloud-config whatever users write, references in the right places, scripts that shellcheck likes."""

import base64
import shutil
import subprocess

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpc_operator.blueprint.cloud_init import boot
from hpc_operator.blueprint.scripts import script
from hpc_operator.blueprint.vocabulary import MountPoint
from hpc_operator.graph import NODE_NAME, Ref, Text, resolve

ADDRESS = Ref("/subscriptions/s/resourceGroups/g/providers/A.B/c/d", ("ip",))
OBSERVED = {ADDRESS.resource_id.lower(): {"ip": "10.0.0.4"}}


def mount(path="/home", source=("10.0.0.9:/home",), options="rw"):
    return MountPoint(Text(source), "nfs", options, path)


def config(text):
    return yaml.safe_load(base64.b64decode(resolve(text, OBSERVED, "node-1")))


def run(shell):
    return subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout


def environment_file(text):
    return config(text)["write_files"][0]["content"]


@pytest.mark.parametrize("role", ["scheduler", "node", "login"])
def test_user_data_is_cloud_config(role, tmp_path):
    text = boot(role, {"MACHINE_NAME": NODE_NAME, "SCHEDULER_ADDRESS": ADDRESS}, [mount()])
    written = base64.b64decode(resolve(text, OBSERVED, "node-1")).decode()
    assert written.startswith("#cloud-config\n")
    assert len(written) < 64 * 1024  # Azure's limit for customData
    parsed = config(text)
    assert [file["path"] for file in parsed["write_files"]] == [
        "/etc/azurehpc/environment",
        "/usr/local/sbin/azurehpc-boot",
    ]
    assert parsed["runcmd"] == [["/usr/local/sbin/azurehpc-boot"]]
    if shutil.which("cloud-init"):
        (file := tmp_path / "user-data").write_text(written)
        result = subprocess.run(
            ["cloud-init", "schema", "--config-file", str(file)], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_a_tier_on_home_does_not_hide_the_administrators_keys():
    user = config(boot("login", {}))["user"]
    assert user == {"name": "hpcadmin", "homedir": "/var/lib/hpcadmin"}


def test_references_are_filled_in_where_they_stand():
    text = boot("node", {"MACHINE_NAME": NODE_NAME, "SCHEDULER_ADDRESS": ADDRESS}, [mount(source=(ADDRESS, ":/x"))])
    content = environment_file(text)
    shown = 'printf "%s|" "$MACHINE_NAME" "$SCHEDULER_ADDRESS"; mount_tiers'
    shell = f'mount_tier() {{ printf "%s|" "$@"; }}\n{content}\n{shown}'
    assert run(shell) == "node-1|10.0.0.4|10.0.0.4:/x|/home|nfs|rw|"


def test_a_path_inside_of_another_is_mounted_after_it():
    content = environment_file(boot("node", {}, [mount("/home/project"), mount("/home")]))
    assert run(f'mount_tier() {{ echo "$2"; }}\n{content}\nmount_tiers').split() == ["/home", "/home/project"]


@given(
    path=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40),
    source=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40),
)
def test_nothing_that_a_user_writes_breaks_out_of_its_place(path, source):
    content = environment_file(boot("node", {"FEATURES": path}, [mount(path, (source, ADDRESS))]))
    shell = f'mount_tier() {{ printf "%s\\n" "$1" "$2"; }}\n{content}\nmount_tiers; printf "%s\\n" "$FEATURES"'
    result = subprocess.run(["bash", "-c", shell], capture_output=True, check=True).stdout.decode()
    assert result.split("\n")[:3] == [f"{source}10.0.0.4", path, path]


def test_the_same_settings_give_the_same_text():
    one, other = (boot("node", {"A": ADDRESS, "B": "b"}, [mount()]) for _ in range(2))
    assert one == other
    assert one.base64


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("role", ["scheduler", "node", "login"])
def test_boot_scripts_pass_shellcheck(role):
    text = f"mount_tiers() {{ :; }}\n{script('common')}\n{script(role)}"
    result = subprocess.run(["shellcheck", "-s", "sh", "-"], input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scheduler_configuration_script_passes_shellcheck():
    text = script("configure_slurm") + "stage a b\napply\n"
    result = subprocess.run(["shellcheck", "-s", "sh", "-"], input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
