"""Microsoft.DBforMySQL: flexible servers and what is in them.

`PROVIDER` is all that the emulator gets to know; each part is a module of its own.
"""

from __future__ import annotations

from azure_emulator.providers import private_links
from azure_emulator.providers.mysql import children, regional, servers
from azure_emulator.providers.mysql.common import BACKUP, SERVER
from azure_emulator.providers.protocols import MYSQL, operation_functions
from azure_emulator.types import Provider

PROVIDER = Provider(
    namespace="Microsoft.DBforMySQL",
    types=(servers.TYPE, *children.TYPES),
    functions={
        ("GET", f"{SERVER}/replicas"): servers.list_replicas,
        ("GET", BACKUP): servers.list_backups,
        **children.FUNCTIONS,
        **regional.FUNCTIONS,
        **private_links.functions(SERVER),
        **operation_functions(MYSQL),
    },
    timers=servers.TIMERS,
)

__all__ = ["PROVIDER", "SERVER"]
