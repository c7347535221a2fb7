"""Whether names that must be unique in all of Azure can be had.

Pure. Names that exist under our own id are ours, whoever else asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from hpc_operator.graph import Resource
from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Surroundings

_UNIQUE: Final = {
    "microsoft.storage/storageaccounts": "Storage account",
    "microsoft.keyvault/vaults": "Key vault",
}


def needed(site: Surroundings) -> list[Resource]:
    """Return what has to be made under a name that nobody else may have."""
    return [resource for resource_type in _UNIQUE for resource in site.missing(resource_type)]


def check(site: Surroundings, taken: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which names cannot be had.

    Parameters
    ----------
    site
        The environment.
    taken
        Azure's reason by ARM id, empty where the name is free; what is absent is not judged.
    """
    for resource in needed(site):
        if reason := taken.get(resource.id):
            yield Finding(
                resource.owner,
                Check.NAMES,
                "NameTaken",
                f"{_UNIQUE[resource.type.lower()]} name {resource.name} cannot be had ({reason.rstrip('. ')}): delete "
                "or purge what has it, or create the environment under another name",
                frozenset({resource.id.lower()}),
            )
