"""An Azure Resource Manager server for one machine, good enough for the real SDKs.

Imports nothing of hpc_operator and nothing of the Azure SDK; what talks to it does so over HTTP.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure_emulator.emulator import SUBSCRIPTION, TENANT, Emulator

__all__ = ["SUBSCRIPTION", "TENANT", "Emulator"]


def __getattr__(name: str) -> Any:
    """Load the emulator when it is asked for: the process that every guest is forked from needs nothing of it."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module("azure_emulator.emulator"), name)
