"""Names that are unique in the world: storage accounts, vaults, MySQL servers, hosts. Knows no type."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

# Names that somebody outside of the emulated subscriptions has. Setting `takenNames`.
TAKEN_NAMES: tuple[str, ...] = ()


def is_taken(engine: Engine, type_name: str, name: str) -> bool:
    """Whether a resource of that type, here or elsewhere in the world, has the name."""
    elsewhere = name.lower() in engine.setting("takenNames", TAKEN_NAMES)
    return elsewhere or any(one.name.lower() == name.lower() for one in engine.store.of_type(type_name))


def short_hash(*parts: str, length: int = 4) -> str:
    """The same few letters for the same parts, as Azure puts them into host names."""
    return hashlib.sha256("|".join(parts).lower().encode()).hexdigest()[:length]
