"""Microsoft.NetApp: accounts, capacity pools, volumes, and what guards them.

`PROVIDER` is all that the emulator gets to know; each part is a module of its own.
"""

from __future__ import annotations

from azure_emulator.providers.netapp import pools, protection, regional, volumes
from azure_emulator.providers.netapp.common import ACCOUNT, POOL, SNAPSHOT_POLICY, VOLUME
from azure_emulator.providers.protocols import NETAPP, operation_functions
from azure_emulator.types import Provider

PROVIDER = Provider(
    namespace="Microsoft.NetApp",
    types=(*pools.TYPES, volumes.TYPE, *protection.TYPES),
    functions={
        ("GET", f"{VOLUME}/replicationStatus"): volumes.replication_status,
        ("GET", f"{SNAPSHOT_POLICY}/volumes"): protection.list_policy_volumes,
        **regional.FUNCTIONS,
        **operation_functions(NETAPP),
    },
)

__all__ = ["ACCOUNT", "POOL", "PROVIDER", "VOLUME"]
