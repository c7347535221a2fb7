"""Microsoft.ManagedIdentity: user-assigned identities and their federated credentials.

An identity's principal becomes known to the directory only some time after its creation: authorization.py asks here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Change, Patch, Provider, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
FEDERATED = f"{IDENTITY}/federatedIdentityCredentials"

# How long the directory takes to know a new principal: 5 to 120 s are seen (azure-docs, RBAC troubleshooting, speaks of
# a replication delay without a number).
REPLICATION_SECONDS = 20.0


def _check(change: Change) -> None:
    if change.exists:
        return
    change.properties.update(
        tenantId=change.engine.tenant, principalId=change.engine.guid(), clientId=change.engine.guid()
    )


def principal(engine: Engine, principal_id: str) -> Resource | None:
    """The identity of that principal, if it is one of ours and the directory knows it yet."""
    wait = float(engine.setting("replicationSeconds", REPLICATION_SECONDS))
    for identity in engine.store.of_type(IDENTITY):
        if str(identity.properties.get("principalId", "")).lower() == principal_id.lower():
            known_at = identity.created + engine.jittered(wait, identity.id, "replication")
            return identity if engine.now >= known_at else None
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
        delete_first=90,
        check=_check,
        depth="principal and client ids, replication delay of the principal",
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
        depth="storage",
    ),
)

PROVIDER = Provider(namespace="Microsoft.ManagedIdentity", types=TYPES)
