"""Reads what an import needs to know. The only module of the room that asks Azure; writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from hpc_operator.arm import Azure
from hpc_operator.graph import ArmId
from hpc_operator.importing.found import Body, Found, value


class NothingThereError(LookupError):
    """There is no such resource group."""


async def look(azure: Azure, group_id: str) -> Found:
    """Return everything in a resource group.

    Raises
    ------
    NothingThereError
        If there is no such group.
    AzureError
        If Azure does not answer.
    """
    group = await azure.get(group_id)
    if group is None:
        _, _, subscription, _, name = group_id.split("/")
        msg = f"there is no resource group {name} in subscription {subscription}: `az group list` shows those there are"
        raise NothingThereError(msg)
    survey, listed = await asyncio.gather(azure.survey(group_id), azure.list_resources(group_id))
    bodies: dict[str, Body] = {**survey, group_id.lower(): group}
    # The survey may be a minute late: what is gone is left out, what is new is read.
    late = [str(item["id"]) for item in listed if item["id"].lower() not in bodies]
    bodies |= {item.lower(): await _read(azure, item) for item in late}
    bodies |= await _get_all(azure, _unsurveyed(bodies))
    known = {str(body["id"]).lower() for body in bodies.values()}
    elsewhere = sorted({item for item in _networks(bodies) if item.lower() not in known}, key=str.lower)
    networks = await asyncio.gather(*(azure.get(item) for item in elsewhere))
    return Found(group_id, bodies, [body for body in networks if body is not None])


async def _read(azure: Azure, resource_id: str) -> Body:
    """Return the body of a resource; of a type that we cannot ask for, what its id tells."""
    try:
        azure.type_info(ArmId.parse(resource_id).type)
    except KeyError:
        return {"id": resource_id}
    return await azure.get(resource_id) or {"id": resource_id}


async def _get_all(azure: Azure, resource_ids: Iterator[str]) -> dict[str, Body]:
    ids = list(resource_ids)
    found = await asyncio.gather(*(azure.get(item) for item in ids))
    return {item.lower(): body for item, body in zip(ids, found, strict=True) if body is not None}


def _unsurveyed(bodies: Mapping[str, Body]) -> Iterator[str]:
    """Yield the ids of what Resource Graph does not show and we make under fixed names."""
    for body in bodies.values():
        match ArmId.parse(body["id"]).type.lower():
            case "microsoft.network/privateendpoints":
                yield f"{body['id']}/privateDnsZoneGroups/default"
            case "microsoft.keyvault/vaults":
                yield f"{body['id']}/providers/Microsoft.Insights/diagnosticSettings/hpc-operator"


def _networks(bodies: Mapping[str, Body]) -> Iterator[str]:
    """Yield the ids of the virtual networks that network interfaces and scale sets are in."""
    for body in bodies.values():
        for subnet in _subnets(value(body, "properties", default={})):
            yield subnet.rpartition("/subnets/")[0]


def _subnets(properties: Any) -> Iterator[str]:
    if isinstance(properties, Mapping):
        subnet = value(properties, "subnet", "id")
        if isinstance(subnet, str) and "/subnets/" in subnet:
            yield subnet
        for item in properties.values():
            yield from _subnets(item)
    elif isinstance(properties, list):
        for item in properties:
            yield from _subnets(item)
