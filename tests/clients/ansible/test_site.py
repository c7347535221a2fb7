"""A playbook of azure.azcollection: made, made again without a change, and taken down."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients

HERE = Path(__file__).parent
PLAYBOOK_SECONDS = 280


class Playbook:
    """site.yaml, as its users run it; gives the counts of the recap."""

    def __init__(self, path: Path, variables: dict[str, str], key: Path) -> None:
        self._path = path
        self._variables = variables
        self._key = key

    def __call__(self, state: str) -> dict[str, int]:
        done = subprocess.run(
            [self._path, "-i", "localhost,", HERE / "site.yaml", "-e", f"state={state}", "-e", f"key={self._key}"],
            env=self._variables, capture_output=True, text=True, timeout=PLAYBOOK_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        self.output = done.stdout
        return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", done.stdout.partition("RECAP")[2])}


@pytest.fixture
def playbook(served: Any, program: Any, environment: Any, tmp_path: Path) -> Playbook:
    path = program("ansible-venv/bin/ansible-playbook", "test-ansible")
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    variables = environment(tmp_path) | {
        "AZURE_CLOUD_ENVIRONMENT": served.url,
        "ARM_CLOUD_METADATA_URL": f"{served.url}/metadata/endpoints?api-version=2019-05-01",
        "AZURE_DISABLE_INSTANCE_DISCOVERY": "true",
        "AZURE_CLIENT_ID": served.client_id,
        "AZURE_SECRET": served.secret,
        "AZURE_SUBSCRIPTION_ID": served.subscription,
        "AZURE_TENANT": served.tenant,
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": str(path.with_name("python")),
        "PYTHONPATH": str(HERE / "mended"),
    }
    return Playbook(path, variables, key.with_suffix(".pub"))


@pytest.mark.timeout(3 * PLAYBOOK_SECONDS)
def test_a_second_run_changes_nothing(playbook: Playbook) -> None:
    made = playbook("present")
    assert made["changed"] == playbook.output.count("TASK [") - 2, "everything but the two choices between files"
    again = playbook("present")
    assert (again["ok"], again["changed"]) == (made["ok"], 0), playbook.output
    gone = playbook("absent")
    # The lock, the login node, the group; the deletion that the lock forbade changed nothing.
    assert gone["changed"] == 3
