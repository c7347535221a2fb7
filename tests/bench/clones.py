"""Copies an environment that was made for real: its custom resources and what Azure holds for it.

What differs between the copy and the original (ids, names that are hashes, addresses) is not guessed from texts: the
blueprints of both say it. Knows what the emulator keeps on disk, because a thousand environments made one after the
other would take hours.
"""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from azure_emulator.store import STATE_FILE
from hpc_operator.blueprint import Blueprint
from hpc_operator.graph import Resource, resolve
from hpc_operator.reconcile.fields import field_hashes
from hpc_operator.reconcile.plan import fingerprint

Rename = Callable[[str], str]

_ADDRESS = r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"
_GUID = r"(?<![0-9a-fA-F-])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F-])"
_ROLE = re.compile(rf"roleDefinitions/({_GUID})")


class Original:
    """An environment that others are copied from.

    Parameters
    ----------
    own
        Its `metadata.name`, which no other word contains, and its `metadata.uid`.
    network
        Its address space.
    blueprint
        What it stands for in Azure.
    shared
        GUIDs that are not its own: subscription, tenant, who made it.
    other
        The blueprint of any copy: it shows which names differ.
    """

    def __init__(
        self, own: tuple[str, str], network: IPv4Network, blueprint: Blueprint, shared: Iterable[str], other: Blueprint
    ) -> None:
        self._own = own
        self._network = network
        self._blueprint = blueprint
        self._shared = frozenset(shared)
        names = sorted({*own, *differences(blueprint, other)}, key=len, reverse=True)
        self._pattern = re.compile(f"({'|'.join(map(re.escape, names))}|{_GUID}|{_ADDRESS})")

    def rename(self, own: tuple[str, str], network: IPv4Network, blueprint: Blueprint) -> Rename:
        """Return what turns each piece of a text that is the original's own into the copy's."""
        names = {**dict(zip(self._own, own, strict=True)), **differences(self._blueprint, blueprint)}
        shift = int(network.network_address) - int(self._network.network_address)
        namespace = uuid.uuid5(uuid.NAMESPACE_URL, own[0])

        def renamed(piece: str) -> str:
            if piece in names:
                return names[piece]
            if re.fullmatch(_ADDRESS, piece):
                address = IPv4Address(piece)
                return str(address + shift) if address in self._network else piece
            return piece if piece.lower() in self._shared else str(uuid.uuid5(namespace, piece.lower()))

        return renamed

    def cut(self, text: str) -> list[str]:
        """Cut a text, so that every second piece is the original's own."""
        return self._pattern.split(text)


def filled(pieces: list[str], rename: Rename) -> str:
    """Put a text together that was cut, with the copy's names in it."""
    return "".join(rename(piece) if number % 2 else piece for number, piece in enumerate(pieces))


def differences(original: Blueprint, copy: Blueprint) -> Mapping[str, str]:
    """Return each name of the original that is another one in the copy: path segments of ids, and SSH keys."""
    found: dict[str, str] = {}
    for one, other in zip(sorted(original.graph, key=_place), sorted(copy.graph, key=_place), strict=True):
        found |= _segments(one.id, other.id)
        found |= dict(_keys(one.body, other.body))
    for one, other in zip(original.node_sets, copy.node_sets, strict=True):
        found |= _segments(one.scale_set_id, other.scale_set_id)
        if one.generation != other.generation:
            found[one.generation] = other.generation
    return found


def _place(resource: Resource) -> tuple[str, str, str]:
    """Return where a resource stands among those of its environment, whatever its name is a hash of."""
    role = resource.body.get("properties", {}).get("roleDefinitionId", "")
    return resource.type.lower(), role, resource.id.lower()


def _segments(one: str, other: str) -> dict[str, str]:
    pairs = zip(one.split("/"), other.split("/"), strict=True)
    return {before: after for before, after in pairs if before != after}


def _keys(one: Any, other: Any) -> Iterator[tuple[str, str]]:
    """Yield the SSH keys that nobody has: they are made from the environment's name."""
    if isinstance(one, Mapping):
        for (name, before), after in zip(one.items(), other.values(), strict=True):  # some keys are ids
            if name == "keyData" and before != after:
                yield before, after
            else:
                yield from _keys(before, after)
    elif isinstance(one, list | tuple):
        for first, second in zip(one, other, strict=True):
            yield from _keys(first, second)


def shared_guids(state: Path) -> set[str]:
    """Return the GUIDs in an emulator's state that belong to the subscription and not to one environment."""
    with closing(sqlite3.connect(state / STATE_FILE)) as database:
        texts = [text for (text,) in database.execute("select document from resources")]
    found = {role.lower() for text in texts for role in _ROLE.findall(text)}
    for text in texts:
        document = json.loads(text)
        found.add(document["id"].split("/")[2].lower())
        properties = document["body"].get("properties", {})
        found |= {
            str(properties[name]).lower() for name in ("tenantId", "createdBy", "updatedBy") if name in properties
        }
    return found


class Applied:
    """What the operator notes of each resource of a copy: a hash of what was written last.

    Parameters
    ----------
    state
        Of the emulator that has the original, and that is not running.
    original
        What it is copied from.
    """

    def __init__(self, state: Path, original: Original) -> None:
        with closing(sqlite3.connect(state / STATE_FILE)) as database:
            rows = [json.loads(text) for (text,) in database.execute("select document from resources")]
        self._bodies = [(original.cut(row["id"]), original.cut(json.dumps(row["body"]))) for row in rows]

    def to(self, blueprint: Blueprint, rename: Rename) -> Mapping[str, str]:
        """Return the hashes by lower-case id; those of the tags of nodes by the name of their partition."""
        # Bodies refer to what Azure has allotted: principals, addresses.
        observed = {filled(key, rename).lower(): json.loads(filled(pieces, rename)) for key, pieces in self._bodies}
        hashes = {item.id.lower(): field_hashes(resolve(item.body, observed)) for item in blueprint.graph}
        return hashes | {item.owner.name: fingerprint(item.body["tags"]) for item in blueprint.node_sets}


def copy_azure(state: Path, original: Original, renames: Iterable[Rename]) -> int:
    """Write copies of all resources into an emulator's state, while no emulator has it.

    Returns
    -------
    int
        How many resources there are then.
    """
    with closing(sqlite3.connect(state / STATE_FILE)) as database, database:
        rows = [text for (text,) in database.execute("select document from resources")]
        templates = [original.cut(text) for text in rows]
        numbers = 1 + max(json.loads(text)["number"] for text in rows)
        total = len(rows)
        for copy, rename in enumerate(renames, start=1):
            documents = [json.loads(filled(pieces, rename)) for pieces in templates]
            for document in documents:
                document["number"] += copy * numbers
            database.executemany(
                "insert into resources (key, document) values (?, ?)",
                [(document["id"].lower(), json.dumps(document)) for document in documents],
            )
            total += len(documents)
    return total
