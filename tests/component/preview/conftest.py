"""`hpc-operator plan` on an emulated Azure, in which the engine, as tests/component/reconcile runs it, has built."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass

import pytest
import yaml
from tests.component.reconcile.conftest import QUICKSTART, SUBSCRIPTION, World, world

from hpc_operator import cli

__all__ = ["world"]


@dataclass(frozen=True)
class Result:
    """What a run of the command printed, and its exit code."""

    code: int
    text: str
    errors: str


@pytest.fixture
def manifests():
    """The quickstart, by kind and name, for a test to change."""
    return {
        (item["kind"], item["metadata"]["name"]): {
            "apiVersion": "azurehpc.io/v1alpha1",
            **copy.deepcopy(item),
            "metadata": {**item["metadata"], "namespace": "hpc"},
        }
        for item in QUICKSTART
    }


@pytest.fixture
def plan(world: World, manifests, tmp_path, monkeypatch, capsys):
    """Run the command on the manifests as they are now."""
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "IDENTITY_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HPC_SUBSCRIPTION_ID", SUBSCRIPTION)
    monkeypatch.setenv("HPC_ARM_ENDPOINT", world.emulator.url)
    monkeypatch.setenv("HPC_PRICES_URL", world.emulator.url)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", world.emulator.url)

    async def run(*arguments: str) -> Result:
        file = tmp_path / "environment.yaml"
        file.write_text(yaml.safe_dump_all(manifests.values()))
        code = await asyncio.to_thread(cli.main, ["plan", "-f", str(file), *arguments])
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run
