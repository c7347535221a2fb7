"""The Go SDK that Terraform's azurerm provider is built upon; life.go says what it does."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients


@pytest.fixture
def whole_seconds(served: Any) -> None:
    """This SDK reads no milliseconds, and waits ten seconds where nobody tells it how long."""
    body = json.dumps({"wholeSeconds": True}).encode()
    request = urllib.request.Request(f"{served.url}/emulator/settings", body, method="PUT")
    context = ssl.create_default_context(cafile=str(served.ca_file))
    urllib.request.urlopen(request, context=context).close()


def test_the_life_of_a_network(
    served: Any, program: Any, environment: Any, whole_seconds: None, tmp_path: Path
) -> None:
    variables = environment(tmp_path) | {
        "EMULATOR_URL": served.url,
        "ARM_CLIENT_ID": served.client_id,
        "ARM_CLIENT_SECRET": served.secret,
        "ARM_SUBSCRIPTION_ID": served.subscription,
        "ARM_TENANT_ID": served.tenant,
    }
    done = subprocess.run(
        [program("go-sdk/life", "test-go-sdk")], env=variables, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "everything was made, read, changed and deleted\n"
