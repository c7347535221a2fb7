"""The tenant's directory: applications with their secrets, users, groups, and the principals of managed identities.

Knows neither tokens nor roles. Applications, users and groups are kept in one setting, their secrets as hashes;
managed identities are read off the resources that have them, and show only after the directory has heard of them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

SETTING = "secret.directory"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
USER, GROUP, SERVICE_PRINCIPAL = "User", "Group", "ServicePrincipal"
# How long the directory takes to know a new principal: 5 to 120 s are seen (azure-docs, RBAC troubleshooting, speaks of
# a replication delay without a number).
REPLICATION_SECONDS = 20.0
# scrypt's cost: a secret is checked at every login, and most are random anyway.
_COST, _BLOCK, _PARALLEL = 2**12, 8, 1
# Entra shows the first characters of a secret, to tell which one is meant.
HINT_LENGTH = 3


@dataclass(frozen=True)
class Entry:
    """One object of the directory that a role can be given to."""

    object_id: str
    kind: str
    name: str
    app_id: str = ""
    application_id: str = ""  # object id of the application behind a service principal
    user_principal_name: str = ""
    resource_id: str = ""  # of a managed identity: itself, or the resource that has it
    system_assigned: bool = False
    members: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    since: float = 0.0  # when a managed identity was created

    @property
    def managed(self) -> bool:
        """Whether it is a managed identity, which has no secret."""
        return bool(self.resource_id)


def entries(engine: Engine) -> Iterator[Entry]:
    """Everything in the directory, managed identities last."""
    yield from _registered(engine)
    for resource in engine.store.with_identity():
        yield _system_assigned(resource)


def by_object_id(engine: Engine, object_id: str) -> Entry | None:
    """The entry of that object id."""
    wanted = object_id.lower()
    found = engine.store.of_principal(object_id)
    if found is not None:  # there may be tens of thousands of these, and few of the others
        return _system_assigned(found)
    return next((entry for entry in _registered(engine) if entry.object_id.lower() == wanted), None)


def by_app_id(engine: Engine, app_id: str) -> Entry | None:
    """The service principal of an application (client) id."""
    wanted = app_id.lower()
    return next((entry for entry in entries(engine) if entry.app_id and entry.app_id.lower() == wanted), None)


def by_user_name(engine: Engine, name: str) -> Entry | None:
    """The user of that user principal name."""
    wanted = name.lower()
    return next((entry for entry in entries(engine) if entry.user_principal_name.lower() == wanted and wanted), None)


def system_assigned(resource: Resource) -> Entry | None:
    """The principal of a resource's own identity."""
    return _system_assigned(resource) if bodies.get(resource.body, "identity.principalId") else None


def user_assigned(engine: Engine, resource_id: str) -> Entry | None:
    """The principal of a user-assigned identity."""
    resource = engine.store.get(resource_id)
    return _user_assigned(resource) if resource is not None and resource.type == IDENTITY else None


def groups_of(engine: Engine, object_id: str) -> frozenset[str]:
    """Object ids of the groups that somebody is in, in lower case."""
    wanted = object_id.lower()
    return frozenset(
        str(row["objectId"]).lower()
        for row in _rows(engine)
        if row["kind"] == GROUP and wanted in (str(member).lower() for member in row["members"])
    )


def is_replicated(engine: Engine, entry: Entry) -> bool:
    """Whether authorization has heard of a principal yet; only managed identities are ever too new."""
    if not entry.managed:
        return True
    wait = float(engine.setting("replicationSeconds", REPLICATION_SECONDS))
    return engine.now >= entry.since + engine.jittered(wait, entry.resource_id, "replication")


# -- what people register --------------------------------------------------------------------------------------------


def add_application(
    engine: Engine, name: str, *, app_id: str = "", object_id: str = "", certificates: tuple[str, ...] = ()
) -> Entry:
    """Register an application with its service principal, or replace the one of that app id."""
    row = {
        "kind": SERVICE_PRINCIPAL, "name": name, "appId": app_id or engine.guid(),
        "objectId": object_id or engine.guid(), "applicationId": engine.guid(), "certificates": list(certificates),
        "secrets": [],
    }  # fmt: skip
    same = [old for old in _rows(engine) if bodies.same(old.get("appId"), row["appId"])]
    if same:
        row = {**same[0], "name": name, "certificates": list(certificates), "secrets": []}
    return _keep(engine, row)


def add_user(engine: Engine, user_name: str, *, name: str = "", object_id: str = "") -> Entry:
    """Register a user, or replace the one of that user principal name."""
    same = by_user_name(engine, user_name)
    identity = object_id or (same.object_id if same is not None else engine.guid())
    return _keep(engine, {"kind": USER, "name": name or user_name, "userPrincipalName": user_name,
                          "objectId": identity})  # fmt: skip


def add_group(engine: Engine, name: str, members: tuple[str, ...], *, object_id: str = "") -> Entry:
    """Register a group with the object ids of its members."""
    row = {"kind": GROUP, "name": name, "members": list(members), "objectId": object_id or engine.guid()}
    return _keep(engine, row)


def add_secret(engine: Engine, app_id: str, secret: str = "", *, name: str = "") -> tuple[str, dict[str, Any]]:
    """Give an application a secret (a random one if none is given); returns it and what may be shown of it."""
    secret = secret or f"{secrets.token_hex(2)}~{secrets.token_urlsafe(27)}"
    salt = secrets.token_hex(16)
    kept = {
        "keyId": engine.guid(), "displayName": name, "hint": secret[:HINT_LENGTH], "salt": salt,
        "hash": _hashed(secret, salt),
    }  # fmt: skip
    rows = _rows(engine)
    row = next(row for row in rows if bodies.same(row.get("appId"), app_id))
    row["secrets"] = [*row["secrets"], kept]
    engine.store.set(SETTING, rows)
    return secret, {key: kept[key] for key in ("keyId", "displayName", "hint")}


def remove(engine: Engine, object_id: str) -> bool:
    """Take an application, a user or a group out of the directory; what was assigned to it stays, as in Azure."""
    rows = _rows(engine)
    left = [row for row in rows if not bodies.same(row["objectId"], object_id)]
    engine.store.set(SETTING, left)
    return len(left) < len(rows)


def has_secret(engine: Engine, app_id: str, secret: str) -> bool:
    """Whether that is one of the application's secrets."""
    for row in _rows(engine):
        if bodies.same(row.get("appId"), app_id):
            return any(hmac.compare_digest(kept["hash"], _hashed(secret, kept["salt"])) for kept in row["secrets"])
    return False


def _keep(engine: Engine, row: dict[str, Any]) -> Entry:
    others = [old for old in _rows(engine) if not bodies.same(old["objectId"], row["objectId"])]
    engine.store.set(SETTING, [*others, row])
    return _entry(row)


def _registered(engine: Engine) -> Iterator[Entry]:
    """What people made: all but the identities that resources have of their own."""
    for row in _rows(engine):
        yield _entry(row)
    for resource in engine.store.of_type(IDENTITY):
        yield _user_assigned(resource)


def _rows(engine: Engine) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = engine.setting(SETTING, [])
    return rows


def _hashed(secret: str, salt: str) -> str:
    return hashlib.scrypt(secret.encode(), salt=salt.encode(), n=_COST, r=_BLOCK, p=_PARALLEL).hex()


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        object_id=row["objectId"], kind=row["kind"], name=row["name"], app_id=row.get("appId", ""),
        application_id=row.get("applicationId", ""), user_principal_name=row.get("userPrincipalName", ""),
        members=tuple(row.get("members", ())), certificates=tuple(row.get("certificates", ())),
    )  # fmt: skip


def _user_assigned(resource: Resource) -> Entry:
    properties = resource.properties
    return Entry(
        object_id=str(properties["principalId"]), kind=SERVICE_PRINCIPAL, name=resource.name,
        app_id=str(properties["clientId"]), resource_id=resource.id, since=resource.created,
    )  # fmt: skip


def _system_assigned(resource: Resource) -> Entry:
    principal = str(resource.body["identity"]["principalId"])
    # ARM does not show the client id of a system-assigned identity; any that stays the same will do.
    return Entry(
        object_id=principal, kind=SERVICE_PRINCIPAL, name=resource.name,
        app_id=str(uuid.uuid5(uuid.NAMESPACE_OID, principal)), resource_id=resource.id, system_assigned=True,
        since=float(resource.internal.get("identitySince", resource.created)),
    )  # fmt: skip
