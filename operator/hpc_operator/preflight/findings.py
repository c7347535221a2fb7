"""What a preflight says. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpc_operator.graph import Owner


class Check(StrEnum):
    """What was looked at: the type of the condition that is False where something was found."""

    QUOTA = "QuotaSufficient"
    SIZES = "VMSizesAvailable"
    IMAGES = "ImagesAvailable"
    NETWORK = "NetworkSuitable"
    STORAGE = "StorageOffered"
    NAMES = "NamesAvailable"
    PROVIDERS = "ProvidersRegistered"
    RIGHTS = "RightsSufficient"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it has to be.

    Parameters
    ----------
    owner
        The custom resource whose condition says it.
    check
        What was looked at.
    reason
        One CamelCase word.
    message
        One sentence: what is wrong, and what to do.
    blocks
        Lower-case ARM ids of what is not written while it is so; for nodes that of their scale set. Empty where it is
        news and nothing is held up.
    """

    owner: Owner
    check: Check
    reason: str
    message: str
    blocks: frozenset[str] = frozenset()
