"""What was found in a resource group, by type. Pure; knows no origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpc_operator.graph import ArmId

Body = Mapping[str, Any]


class Found:
    """Bodies as Azure returned them.

    Parameters
    ----------
    group_id
        ARM id of the resource group.
    bodies
        What is in it, itself and children included, by lower-case id.
    networks
        Virtual networks elsewhere that machines of the group are in.
    """

    def __init__(self, group_id: str, bodies: Mapping[str, Body], networks: Sequence[Body] = ()) -> None:
        self.bodies = dict(sorted(bodies.items()))
        self.group = self.bodies[group_id.lower()]
        self.networks = (*self.of("Microsoft.Network/virtualNetworks"), *networks)

    @property
    def subscription_id(self) -> str:
        """The subscription."""
        return str(self.group["id"]).split("/")[2]

    @property
    def location(self) -> str:
        """Short name of the group's region."""
        return str(self.group["location"]).replace(" ", "").lower()

    def of(self, resource_type: str) -> list[Body]:
        """Return everything of a type, ordered by id."""
        return [body for body in self if type_of(body).lower() == resource_type.lower()]

    def get(self, resource_id: str) -> Body | None:
        """Return one body, None where it is not in the group."""
        return self.bodies.get(resource_id.lower())

    def __iter__(self) -> Iterator[Body]:
        return iter(self.bodies.values())


def type_of(body: Body) -> str:
    """Return the type of a resource, which its id tells without abbreviation."""
    return ArmId.parse(body["id"]).type


def name_of(body: Body) -> str:
    """Return the name of a resource."""
    return ArmId.parse(body["id"]).name


def tags_of(body: Body) -> Mapping[str, str]:
    """Return the tags of a resource."""
    return body.get("tags") or {}


def value(body: Any, *path: str | int, default: Any = None) -> Any:
    """Return what stands at a path of a body, the default where nothing does."""
    for key in path:
        if isinstance(body, Mapping):
            body = body.get(key)
        elif isinstance(body, list) and isinstance(key, int) and key < len(body):
            body = body[key]
        else:
            return default
    return default if body is None else body


def short(body: Body) -> str:
    """Return type and names of a resource, as people read them."""
    return str(body["id"]).rpartition("/providers/")[2]
