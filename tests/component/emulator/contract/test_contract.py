"""Every served operation of the installed azure-mgmt clients, called once through the sync and the aio client.

The tables beside this file are the examples; `contract` (in tests/sdk) turns them into calls. What the clients return
must deserialize, have what their models always have and nothing that they do not know, and carry the id, name and type
of the resource that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from contract import Table, is_served, key_of
from contract_run import Run
from sdk_clients import Sdk
from sdk_reading import operations
from serving import serving

from azure_emulator import SUBSCRIPTION, TENANT, Emulator

TABLES = sorted((Path(__file__).parent / "tables").glob("*.yaml"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An emulator of its own: the limits of its subscription are for these calls alone."""
    with serving(Emulator(speed=60_000, seed=1)) as emulator:
        yield emulator.url


def table(path: Path, run: str) -> Table:
    return Table(path, subscription=SUBSCRIPTION, tenant=TENANT, group=f"contract-{path.stem}-{run}", run=run)


def check(run: Run) -> None:
    assert not run.failures, "\n".join(run.failures)
    missing = set(map(key_of, run.table.operations())) - run.called
    assert not missing, f"not called: {sorted(missing)}"
    assert run.beyond == run.table.beyond, "the table excuses what no answer has"


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_sync(url, path):
    sdk = Sdk(url, SUBSCRIPTION)
    run = Run(table(path, "s"), sdk)
    run.sync()
    sdk.close()
    check(run)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
async def test_aio(url, path):
    sdk = Sdk(url, SUBSCRIPTION, aio=True)
    run = Run(table(path, "a"), sdk)
    await run.aio()
    await sdk.aclose()
    check(run)


def test_each_client_has_one_table():
    given = [package for path in TABLES for package in yaml.safe_load(path.read_text())["packages"]]
    assert len(given) == len(set(given)), "two tables of one client"
    served = {operation.package for operation in operations() if is_served(operation)}
    assert set(given) == served
