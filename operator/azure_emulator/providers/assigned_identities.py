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
    identity = change.body.get("identity")
    if not isinstance(identity, dict) or str(identity.get("type", "None")) == "None":
        change.body.pop("identity", None)
        return
    kinds = {kind.strip().lower() for kind in str(identity["type"]).split(",")}
    if "systemassigned" in kinds:
        _give_principal(change, identity)
    else:
        # Taking the system-assigned identity away deletes its principal; another one comes if it is asked for again.
        identity.pop("principalId", None)
        identity.pop("tenantId", None)
    assigned = identity.get("userAssignedIdentities") or {}
    if not isinstance(assigned, dict):
        raise errors.bad_request(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'userAssignedIdentities' must map the ids "
            "of identities to objects.",
        )
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


def _give_principal(change: Change, identity: dict[str, Any]) -> None:
    known = bodies.get(change.before, "identity.principalId")
    if known is None:
        change.internal["identitySince"] = change.engine.now  # the directory hears of it only later
    identity["tenantId"] = change.engine.tenant
    identity["principalId"] = known or change.engine.guid()
