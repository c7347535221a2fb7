"""An emulated Azure in which environments are made: ours from a blueprint, others' by PUTs as their tools send them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import yaml
from sdk_clients import OPAQUE, AsyncCredential

from azure_emulator import Emulator
from hpc_operator.api import KINDS
from hpc_operator.arm import Handle
from hpc_operator.azure import AzureClient
from hpc_operator.blueprint import Inputs, build
from hpc_operator.graph import resolve
from hpc_operator.importing import Wish, draft_of, look
from hpc_operator.preview.rules import broken

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
LOCATION = {"location": "westeurope"}
KINDS_BY_NAME = {kind.__name__: kind for kind in KINDS}


def group_id(name):
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"


@dataclass
class Azure:
    """Makes things and imports them."""

    emulator: Emulator
    client: AzureClient

    async def put(self, resource_id, body):
        """Make a resource and wait for it; return it as Azure shows it."""
        started = await self.client.put(resource_id, body)
        if started.operation_url is not None:
            ended = asyncio.get_running_loop().create_future()
            handle = Handle(resource_id, "PUT", started.operation_url, datetime.now(UTC).isoformat())
            self.client.follow(handle, ended.set_result, retry_after=0)
            error = (await asyncio.wait_for(ended, 60)).error
            assert error is None, f"{resource_id}: {error}"
        return await self.client.get(resource_id)

    async def put_all(self, name, bodies):
        """Make a resource group and what is in it, in order; ids are relative to the group's providers."""
        group = group_id(name)
        await self.put(group, LOCATION)
        for path, body in bodies.items():
            await self.put(
                f"{group}/providers/{path}", {key: item for key, item in (LOCATION | body).items() if item is not None}
            )

    async def deploy(self, *manifests, uid="first", versions=None):
        """Make what the operator would make of manifests; return its blueprint."""
        blueprint = blueprint_of(manifests, uid=uid)
        observed = {}
        for resource in blueprint.graph:
            if resource.referenced:
                observed[resource.id.lower()] = await self.client.get(resource.id)
            else:
                body = resolve(resource.body, observed)
                observed[resource.id.lower()] = await self.put(resource.id, body)
        for node_set in blueprint.node_sets:
            for number in range(1, node_set.count + 1):
                name = f"{node_set.name_prefix}{number}"
                await self.put(node_set.node_id(name), resolve(node_set.body, observed, name))
        return blueprint

    async def draft(self, group, **wish):
        """Import a resource group."""
        return draft_of(await look(self.client, group_id(group)), Wish(**wish))


def blueprint_of(manifests, uid="", versions="22.04.2025081901"):
    resources = {kind: [] for kind in KINDS_BY_NAME}
    for manifest in manifests:
        resources[manifest["kind"]].append(KINDS_BY_NAME[manifest["kind"]].model_validate(manifest))
    (environment,) = resources["HPCEnvironment"]
    environment = environment.model_copy(update={"metadata": environment.metadata.model_copy(update={"uid": uid})})
    partitions = tuple(resources["ComputePartition"])
    found = {
        item.metadata.name: versions if item.spec.image.version == "latest" else item.spec.image.version
        for item in partitions
    }
    return build(Inputs(SUBSCRIPTION, environment, tuple(resources["StorageTier"]), partitions, found))


def read(text):
    """Return the manifests that were printed, after making sure that an API server would take them."""
    manifests = list(yaml.safe_load_all(text))
    for manifest in manifests:
        resource = KINDS_BY_NAME[manifest["kind"]].model_validate(manifest)
        assert list(broken(resource)) == []
        assert set(manifest["spec"]) <= set(resource.spec.model_dump(by_alias=True)), "fields that nobody knows"
    return manifests


@pytest.fixture
async def azure():
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(Emulator(speed=10_000, seed=0))
        emulator.store.set("resourceGraphLagSeconds", 0)
        yield Azure(
            emulator, await stack.enter_async_context(AzureClient(emulator.url, SUBSCRIPTION, AsyncCredential(OPAQUE)))
        )
