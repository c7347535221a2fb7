"""az, registered with the emulator as a cloud and logged in as a service principal."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LOCATION = "westeurope"
COMMAND_SECONDS = 120
# az says 3 where something does not exist, 2 where the command line is wrong, 1 for everything else.
REFUSED, NOT_FOUND = 1, 3


class Az:
    """The az command line: `az("group show -n lab")` gives what it printed, read as JSON."""

    def __init__(self, path: Path, variables: dict[str, str], folder: Path) -> None:
        self.folder = folder
        self._path = path
        self._variables = variables

    def __call__(self, command: str) -> Any:
        """Run a command that must succeed."""
        done = self._run(command)
        assert done.returncode == 0, f"az {command}\n{done.stderr}{done.stdout}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def text(self, command: str) -> str:
        """Run a command that must succeed; what it printed, as it is."""
        done = self._run(command)
        assert done.returncode == 0, f"az {command}\n{done.stderr}{done.stdout}"
        return done.stdout

    def refused(self, command: str, *, code: int = REFUSED) -> str:
        """Run a command that must be refused; what az tells its user."""
        done = self._run(command)
        assert done.returncode == code, f"az {command}\nexit code {done.returncode}\n{done.stderr}{done.stdout}"
        assert done.stdout == ""
        return done.stderr

    def file(self, name: str, content: Any) -> Path:
        """A file for a command to read."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(self._path), *shlex.split(command)], env=self._variables, cwd=self.folder, capture_output=True,
            text=True, timeout=COMMAND_SECONDS, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, f"az {command}\n{done.stderr}"
        return done


@pytest.fixture(scope="session")
def az(served: Any, program: Any, environment: Any, tmp_path_factory: pytest.TempPathFactory) -> Az:
    """az after `az cloud register` and `az login`."""
    path = program("az-venv/bin/az", "test-az")
    home = tmp_path_factory.mktemp("az")
    variables = environment(home) | {
        "AZURE_CONFIG_DIR": str(home / "config"),
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AZURE_CORE_NO_COLOR": "true",
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        "AZURE_CORE_LOGIN_EXPERIENCE_V2": "off",
        "AZURE_EXTENSION_USE_DYNAMIC_INSTALL": "no",
        "PYTHONPATH": str(Path(__file__).parents[1] / "localhost"),
    }
    folder = home / "work"
    folder.mkdir()
    az = Az(path, variables, folder)
    az(f"cloud register -n emulated --endpoint-resource-manager {served.url}/")
    az("cloud set -n emulated")
    az(
        f"login --service-principal --username {served.client_id} --password {shlex.quote(served.secret)} "
        f"--tenant {served.tenant}"
    )
    return az


@pytest.fixture(scope="session")
def key(az: Az) -> Path:
    """An SSH key's public part."""
    path = az.folder / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub")


@pytest.fixture
def group(az: Az, request: pytest.FixtureRequest) -> Iterator[str]:
    """A resource group of its own for each test; deleting it is part of the test."""
    name = f"rg-{request.node.originalname.removeprefix('test_').replace('_', '-')}"
    az(f"group create -n {name} -l {LOCATION}")
    yield name
    az(f"group delete -n {name} --yes")
    assert az.text(f"group exists -n {name}").strip() == "false"
