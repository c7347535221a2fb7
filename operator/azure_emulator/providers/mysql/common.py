"""What the modules of Microsoft.DBforMySQL share: type names, refusals, and the state of a server.

A flexible server has no provisioningState; its `state` says what it does. Codes and texts are those of recordings and
public threads; codes that none of them shows are constants with a comment.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from azure_emulator import errors

if TYPE_CHECKING:
    from azure_emulator.store import Resource

SERVER = "Microsoft.DBforMySQL/flexibleServers"
DATABASE = f"{SERVER}/databases"
FIREWALL_RULE = f"{SERVER}/firewallRules"
CONFIGURATION = f"{SERVER}/configurations"
ADMINISTRATOR = f"{SERVER}/administrators"
BACKUP = f"{SERVER}/backups"

NAME = re.compile(r"^(?=.{3,63}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$")
SUFFIX = "mysql.database.azure.com"
PRIVATE_SUFFIX = f"private.{SUFFIX}"
READY, STOPPED = "Ready", "Stopped"
DAY = 86_400.0

_BUSY = {"Creating": "Updating", "Updating": "Updating", "Deleting": "Dropping", "Starting": "Starting",
         "Stopping": "Stopping"}  # fmt: skip


def state_of(server: Resource) -> str:
    """The state that a server shows; that one which is being created shows Updating is an assumption."""
    if server.state in _BUSY:
        return _BUSY[server.state]
    return str(server.internal.get("power", READY)) if server.complete else "Disabled"


def bad_parameter(name: str, why: str = "") -> errors.ArmError:
    """A value that MySQL does not take."""
    text = f"Invalid value given for parameter {name}. Specify a valid parameter value."
    return errors.bad_request("InvalidParameterValue", f"{text} {why}".rstrip(), target=name)


def require_ready(server: Resource, operation: str) -> None:
    """Refuse what a stopped server cannot do (steampipe-plugin-azure#860)."""
    state = state_of(server)
    if state == STOPPED:
        raise errors.conflict(
            "ServerUnavailableForOperation",
            f"Operation '{operation}' cannot be performed as server '{server.name}' is currently in state '{state}'.",
        )
