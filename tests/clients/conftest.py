"""An emulator as its users start it, with TLS, for clients that none of us wrote.

Knows how the emulator is started and trusted, and no client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Emulated seconds per second: what takes Azure an hour takes four seconds.
SPEED = 1000
START_SECONDS = 30


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker of these tests means."""
    config.addinivalue_line("markers", "clients: needs a client in an environment of its own (make test-az, ...)")


@dataclass(frozen=True)
class Served:
    """A running emulator: where it answers, and what a client has to trust."""

    url: str
    ca_file: Path
    subscription: str = "00000000-0000-0000-0000-000000000001"
    tenant: str = "00000000-0000-0000-0000-00000000a2ed"
    client_id: str = "5c0e3c6f-35ab-4b8b-8a43-3a7d12a4f1de"
    secret: str = "whatever, because rights are off"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One emulator with TLS for the session, as `azure-emulator serve` starts it."""
    folder = tmp_path_factory.mktemp("emulator")
    ready, ca_file, log = folder / "ready.json", folder / "ca.pem", folder / "emulator.log"
    command = [
        sys.executable, "-m", "azure_emulator.cli", "serve", "--tls", f"--ca-file={ca_file}", f"--ready-file={ready}",
        f"--speed={SPEED}",
    ]  # fmt: skip
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, f"the emulator does not answer: {log.read_text()}"
            time.sleep(0.05)
        yield Served(json.loads(ready.read_text())["url"], ca_file)
    finally:
        process.terminate()
        process.wait(10)
    # What a client's user sees as InternalServerError is a traceback of ours here.
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], Path]:
    """A client's program in its environment below .state; skips the test, saying what to do, where there is none."""

    def found(name: str, target: str) -> Path:
        path = ROOT / ".state" / name
        if not path.exists():
            pytest.skip(f"{path.relative_to(ROOT)} is missing: run `make {target}`")
        return path

    return found


@pytest.fixture(scope="session")
def environment(served: Served) -> Callable[[Path], dict[str, str]]:
    """Environment variables for a client: nothing of ours, a home of its own, and the emulator's certificate."""

    def variables(home: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        trust = {name: str(served.ca_file) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")}
        return kept | {"HOME": str(home)} | trust

    return variables
