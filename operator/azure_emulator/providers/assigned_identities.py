"""The `identity` member that many types have: fills in what Azure adds to it.

Knows managed identities only by their id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors

if TYPE_CHECKING:
    from azure_emulator.types import Change


def complete(change: Change) -> None:
    """Give a system-assigned identity its principal, and show the ids of user-assigned ones."""
    identity: dict[str, Any] | None = change.body.get("identity")
    if not identity or str(identity.get("type", "None")) == "None":
        change.body.pop("identity", None)
        return
    kinds = {kind.strip().lower() for kind in str(identity["type"]).split(",")}
    if "systemassigned" in kinds:
        identity["tenantId"] = change.engine.tenant
        identity["principalId"] = bodies.get(change.before, "identity.principalId") or change.engine.guid()
    assigned = identity.get("userAssignedIdentities") or {}
    if "userassigned" in kinds and not assigned:
        raise errors.bad_request(
            "InvalidIdentityValues",
            "Invalid value for the identities 'userAssignedIdentities'. The 'UserAssigned' identity type requires at "
            "least one identity.",
        )
    for reference in list(assigned):
        if assigned[reference] is None:  # merge-patch: null takes an identity away
            del assigned[reference]
            continue
        found = change.engine.store.get(reference)
        if found is not None:
            ids = {key: found.properties[key] for key in ("principalId", "clientId")}
            assigned[reference] = ids
