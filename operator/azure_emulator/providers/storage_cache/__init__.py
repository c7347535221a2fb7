"""Microsoft.StorageCache: Azure Managed Lustre file systems and their jobs.

`PROVIDER` is all that the emulator gets to know; each part is a module of its own.
"""

from __future__ import annotations

from azure_emulator.providers.protocols import STORAGE_CACHE, operation_functions
from azure_emulator.providers.storage_cache import file_systems, jobs, regional
from azure_emulator.providers.storage_cache.common import FILE_SYSTEM
from azure_emulator.types import Provider

PROVIDER = Provider(
    namespace="Microsoft.StorageCache",
    types=(file_systems.TYPE, *jobs.TYPES),
    functions={**regional.FUNCTIONS, **operation_functions(STORAGE_CACHE)},
)

__all__ = ["FILE_SYSTEM", "PROVIDER"]
