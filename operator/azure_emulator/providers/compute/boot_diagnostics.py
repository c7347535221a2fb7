"""The serial console's log of a machine, and the address under which whoever holds it may read the log.

Azure keeps it as a blob and hands out a signed address; here the emulator itself serves it, without a bearer.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.providers.compute.names import INSTANCE, VM

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import Call

# Below this path the server serves logs: …/{vmId}/serialconsole.log?sig=…
PREFIX = "/bootdiagnostics"
LOG = "serialconsole.log"


def is_enabled(machine: Resource) -> bool:
    """Whether boot diagnostics are switched on."""
    return bool(bodies.get(machine.properties, "diagnosticsProfile.bootDiagnostics.enabled"))


def retrieve(call: Call, machine: Resource) -> dict[str, Any]:
    """POST …/retrieveBootDiagnosticsData."""
    if not is_enabled(machine):
        raise errors.conflict(
            "OperationNotAllowed", f"Boot diagnostics are not enabled for the virtual machine '{machine.name}'."
        )
    vm_id = str(machine.properties["vmId"])
    address = f"{call.base_url}{PREFIX}/{vm_id}/{{name}}?sig={_signature(call.engine, vm_id)}"
    return {
        "consoleScreenshotBlobUri": address.format(name="screenshot.bmp"),
        "serialConsoleLogBlobUri": address.format(name=LOG),
    }


def console_log(engine: Engine, vm_id: str, signature: str) -> str | None:
    """The log that an address stands for, or None where the address is not one that was handed out."""
    if signature != _signature(engine, vm_id):
        return None
    for type_name in (VM, INSTANCE):
        for machine in engine.store.of_type(type_name):
            if machine.properties.get("vmId") == vm_id:
                return engine.guests.console(machine)
    return None


def _signature(engine: Engine, vm_id: str) -> str:
    return hashlib.sha256(f"{engine.seed}|{engine.tenant}|{vm_id}".encode()).hexdigest()
