"""Microsoft.ManagedIdentity: user-assigned identities, their federated credentials, and the system-assigned ones.

What tokens these identities get is login.py's business; when the directory knows their principals, directory.py's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers import directory
from azure_emulator.providers.directory import IDENTITY
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Action, Answer, Call, Change, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

FEDERATED = f"{IDENTITY}/federatedIdentityCredentials"
# Entra ID's limit (workload-identity-federation-considerations).
CREDENTIALS_ALLOWED = 20
_CREDENTIAL_NAME = re.compile(r"^[A-Za-z0-9][-A-Za-z0-9_]{2,119}$")
# Writes of credentials of one identity that come within so many emulated seconds of each other count as concurrent.
# Real ones take a second or so, in which a second one is refused; here they are done when their answer leaves, so a
# client that writes one after the other would collide with itself. 0 refuses what happens at the very same moment, as
# the copies of a template deployment do. Assumption, hence a tunable.
WRITE_SETTING, WRITE_SECONDS = "federatedWriteSeconds", 0.0


def _check(change: Change) -> None:
    if change.exists:
        return
    change.properties.update(
        tenantId=change.engine.tenant, principalId=change.engine.guid(), clientId=change.engine.guid()
    )


def _associated(call: Call, identity: Resource) -> dict[str, Any]:
    """POST listAssociatedResources: what the identity is assigned to."""
    found = [
        resource
        for resource in call.engine.store.referrers(identity.id)
        if identity.key in {key.lower() for key in bodies.get(resource.body, "identity.userAssignedIdentities") or {}}
    ]
    value = [
        {
            "id": resource.id, "name": resource.name, "type": resource.type.lower(),
            "resourceGroup": resource.resource_group.lower(), "subscriptionId": parse(resource.id).subscription,
            "subscriptionDisplayName": "Emulated",
        }
        for resource in found
    ]  # fmt: skip
    return {"totalCount": len(value), "value": value}


def _system_assigned(call: Call) -> Answer:
    """GET {resource}/providers/Microsoft.ManagedIdentity/identities/default: the identity of the resource itself."""
    engine, path = call.engine, call.path
    resource = engine.store.get(path.scope)
    entry = directory.system_assigned(resource) if resource is not None else None
    if resource is None or entry is None:
        raise errors.ArmError(
            errors.NOT_FOUND, "NotFound", f"The resource '{path.scope}' has no system-assigned identity."
        )
    shown = {
        "id": f"{path.scope}/providers/Microsoft.ManagedIdentity/identities/default", "name": "default",
        "type": "Microsoft.ManagedIdentity/identities", "location": resource.location,
        "properties": {"tenantId": engine.tenant, "principalId": entry.object_id, "clientId": entry.app_id},
    }  # fmt: skip
    return Answer(200, shown)


# -- federated credentials -------------------------------------------------------------------------------------------


def _check_credential(change: Change) -> None:
    properties, name, engine = change.properties, change.path.name, change.engine
    if not _CREDENTIAL_NAME.match(name):
        raise errors.bad_request("BadRequest", f"Federated Identity Credential name '{name}' is invalid.")
    audiences = properties["audiences"]
    if not isinstance(audiences, list) or not audiences or not properties["issuer"] or not properties["subject"]:
        raise errors.bad_request("BadRequest", "Federated Identity Credential has empty properties.")
    _refuse_concurrent(engine, change.path.parent)
    others = [
        other
        for other in engine.store.children(change.path.parent, FEDERATED)
        if other.name.lower() != name.lower()
    ]  # fmt: skip
    for other in others:
        # Issuers and subjects are told apart by case (Entra's breaking changes of 2024).
        if all(other.properties.get(key) == properties[key] for key in ("issuer", "subject")):
            raise errors.conflict(
                "Conflict", "Issuer and subject combination already exists for this Managed Identity."
            )
    if not change.exists and len(others) >= CREDENTIALS_ALLOWED:
        # The limit is documented, the answer is not: code and wording are assumptions.
        raise errors.bad_request(
            "BadRequest", f"A Managed Identity can have {CREDENTIALS_ALLOWED} Federated Identity Credentials at most."
        )


def _refuse_concurrent(engine: Engine, identity_id: str) -> None:
    identity = engine.store.get(identity_id)
    last = identity.internal.get("federatedWrite") if identity is not None else None
    window = float(engine.setting(WRITE_SETTING, WRITE_SECONDS))
    if last is None or (engine.clock.speed == 0 and window == 0):
        return  # where time stands still everything happens at the same moment
    if engine.now - last <= window:
        raise errors.conflict(
            "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
            "Too many Federated Identity Credentials are written concurrently for the managed identity "
            f"'{identity_id}'. Concurrent Federated Identity Credentials writes under the same managed identity are "
            "not supported.",
        )


def _note_write(engine: Engine, credential: Resource) -> None:
    identity = engine.store.get(credential.parent)
    if identity is not None:
        identity.internal["federatedWrite"] = engine.now
        engine.store.save(identity)


def _written(change: Change, credential: Resource) -> None:
    _note_write(change.engine, credential)


def _refuse_concurrent_delete(call: Call) -> Answer | None:
    """DELETE of one credential is a write like any other; the deletion of a whole identity is not."""
    if call.path.is_resource:
        _refuse_concurrent(call.engine, call.path.parent)
    return None


TYPES = (
    ResourceType(
        name=IDENTITY,
        protocol=SYNCHRONOUS,
        put=Verb(),
        patch=Patch(),
        delete=Verb(),
        has_state=False,
        read_only=("properties.tenantId", "properties.principalId", "properties.clientId"),
        linked_action="assign/action",
        delete_first=90,
        actions={"listAssociatedResources": Action(run=_associated)},
        check=_check,
        depth="principal and client ids, replication delay of the principal, tokens, what it is assigned to",
    ),
    ResourceType(
        name=FEDERATED,
        protocol=SYNCHRONOUS,
        put=Verb(),
        delete=Verb(),
        location=None,
        tags=False,
        has_state=False,
        required=("properties.issuer", "properties.subject", "properties.audiences"),
        check=_check_credential,
        accepted=_written,
        deleted=_note_write,
        depth="20 at most, issuer and subject unique, one write at a time; tokens are verified against them",
    ),
)

PROVIDER = Provider(
    namespace="Microsoft.ManagedIdentity",
    types=TYPES,
    functions={
        ("GET", "Microsoft.ManagedIdentity/identities"): _system_assigned,
        ("DELETE", FEDERATED): _refuse_concurrent_delete,
    },
)
