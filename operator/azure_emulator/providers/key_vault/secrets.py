"""Secrets of a vault: versions, attributes, soft deletion. What the management plane and the data plane share.

A secret is a resource whose values are kept in `internal`, where no view and no log finds them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azure_emulator.arm_path import parse
from azure_emulator.providers.key_vault.names import (
    DAY,
    SECRET,
    VaultError,
    bad_parameter,
    recovery_level,
    retention_days,
    uri,
)
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.store import Resource
from azure_emulator.types import Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine

NAME = re.compile(r"^[0-9a-zA-Z-]{1,127}$")
# Limits of the service (azure-docs, key-vault/secrets/about-secrets).
MAX_VALUE, MAX_TAGS, MAX_CONTENT_TYPE = 25_600, 15, 255
# Assumption, setting `secretMoveSeconds`: how long a deletion or a recovery is on its way, seen in public traces as
# "currently being deleted" and "currently being recovered".
MOVE_SECONDS = 5.0

Version = dict[str, Any]


# -- content ---------------------------------------------------------------------------------------------------------


def new_version(engine: Engine, asked: Mapping[str, Any]) -> Version:
    """A version with that value, or Key Vault's refusal."""
    value = asked.get("value")
    if not isinstance(value, str):
        raise bad_parameter("The request body needs a value, which must be a string.")
    if len(value.encode()) > MAX_VALUE:
        raise bad_parameter(f"The value is too long: a secret holds at most {MAX_VALUE} bytes.")
    version: Version = {
        "version": engine.guid().replace("-", ""), "value": value, "created": engine.now, "updated": engine.now,
        "attributes": {"enabled": True}, "tags": {},
    }  # fmt: skip
    update(engine, version, asked)
    return version


def update(engine: Engine, version: Version, asked: Mapping[str, Any]) -> None:
    """Change what may be changed of a version; what is left out stays."""
    attributes = asked.get("attributes")
    if attributes is not None:
        version["attributes"] = {**version["attributes"], **_attributes(attributes)}
    if asked.get("contentType") is not None:
        text = asked["contentType"]
        if not isinstance(text, str) or len(text) > MAX_CONTENT_TYPE:
            raise bad_parameter(f"contentType must be a string of at most {MAX_CONTENT_TYPE} characters.")
        version["contentType"] = text
    if asked.get("tags") is not None:
        version["tags"] = _tags(asked["tags"])
    version["updated"] = engine.now


def _attributes(asked: Any) -> dict[str, Any]:
    if not isinstance(asked, dict):
        raise bad_parameter("attributes must be a JSON object.")
    taken = {}
    for name, kind in (("enabled", bool), ("nbf", int), ("exp", int)):
        value = asked.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise bad_parameter(f"attributes.{name} must be {'true or false' if kind is bool else 'a Unix time'}.")
        taken[name] = value
    return taken


def _tags(asked: Any) -> dict[str, str]:
    if not isinstance(asked, dict) or not all(isinstance(value, str) for value in asked.values()):
        raise bad_parameter("tags must map names to strings.")
    if len(asked) > MAX_TAGS:
        raise bad_parameter(f"A secret has at most {MAX_TAGS} tags.")
    return dict(asked)


def attributes(engine: Engine, vault: Resource, version: Version) -> dict[str, Any]:
    """Attributes as both planes show them, times as Unix times."""
    return {
        **version["attributes"],
        "created": int(engine.clock.at(version["created"]).timestamp()),
        "updated": int(engine.clock.at(version["updated"]).timestamp()),
        "recoveryLevel": recovery_level(vault),
        "recoverableDays": retention_days(vault),
    }


def versions(secret: Resource) -> list[Version]:
    """All versions, oldest first."""
    found: list[Version] = secret.internal["versions"]
    return found


# -- life ------------------------------------------------------------------------------------------------------------


def not_found(name: str) -> VaultError:
    """404 for a secret, or for one version of it (name/version)."""
    return VaultError(
        404,
        "SecretNotFound",
        f"A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may "
        "be able to recover it using the correct recovery command. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125182",
    )


def find(engine: Engine, vault: Resource, name: str) -> Resource | None:
    """The secret of that name, unless it is still on its way back."""
    secret = engine.store.get(f"{vault.id}/secrets/{name}")
    if secret is not None and secret.internal.get("backAt", 0.0) > engine.now:
        return None
    return secret


def value_of(engine: Engine, vault_id: str, name: str, version: str | None = None) -> str | None:
    """The value of a secret for who refers to it from a template; None where there is none."""
    vault = engine.store.get(vault_id)
    secret = find(engine, vault, name) if vault is not None else None
    if secret is None:
        return None
    found = versions(secret)[-1:] if version is None else [row for row in versions(secret) if row["version"] == version]
    return str(found[0]["value"]) if found else None


def deleted(engine: Engine, vault: Resource) -> dict[str, dict[str, Any]]:
    """Secrets of a vault that are deleted and kept, by lower-case name."""
    kept: dict[str, dict[str, Any]] = vault.internal.get("deletedSecrets", {})
    return {name: row for name, row in kept.items() if row["until"] > engine.now}


def require_free(engine: Engine, vault: Resource, name: str) -> None:
    """Refuse a name that a deleted secret still has, or one that is on its way."""
    row = deleted(engine, vault).get(name.lower())
    live = engine.store.get(f"{vault.id}/secrets/{name}")
    if row is not None and row["at"] > engine.now:
        why, inner = "is currently being deleted and cannot be re-created; retry later.", "ObjectIsBeingDeleted"
    elif row is not None:
        why = (
            "is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret "
            "can only be recovered or purged."
        )
        inner = "ObjectIsDeletedButRecoverable"
    elif live is not None and live.internal.get("backAt", 0.0) > engine.now:
        why, inner = "is currently being recovered and cannot be re-created; retry later.", "ObjectIsBeingRecovered"
    else:
        return
    raise VaultError(409, "Conflict", f"Secret {name} {why}", inner=inner)


def put(engine: Engine, vault: Resource, name: str, added: list[Version]) -> Resource:
    """Add versions to a secret, which comes into being with the first."""
    secret = engine.store.get(f"{vault.id}/secrets/{name}")
    if secret is None:
        secret = Resource(
            id=f"{vault.id}/secrets/{name}", type=SECRET, body={"properties": {}}, complete=True, created=engine.now,
            internal={"versions": []},
        )  # fmt: skip
    versions(secret).extend(added)
    touch(engine, secret)
    return secret


def touch(engine: Engine, secret: Resource) -> None:
    """Keep a changed secret; its tags are those of the current version."""
    secret.body["tags"] = dict(versions(secret)[-1]["tags"])
    secret.changed = engine.now
    engine.store.save(secret)


def delete(engine: Engine, vault: Resource, secret: Resource) -> dict[str, Any]:
    """Set a secret aside; what is kept of it."""
    move = float(engine.setting("secretMoveSeconds", MOVE_SECONDS))
    row = {
        "id": secret.id, "body": secret.body, "internal": secret.internal, "deleted": engine.now,
        "at": engine.now + move, "until": engine.now + retention_days(vault) * DAY,
    }  # fmt: skip
    vault.internal["deletedSecrets"] = {**deleted(engine, vault), secret.name.lower(): row}
    engine.store.remove(secret)
    engine.store.save(vault)
    return row


def recover(engine: Engine, vault: Resource, name: str) -> Resource:
    """Bring a deleted secret back."""
    row = forget(engine, vault, name)
    secret = Resource(
        id=row["id"], type=SECRET, body=row["body"], complete=True, created=row["internal"]["versions"][0]["created"],
        internal={**row["internal"], "backAt": engine.now + float(engine.setting("secretMoveSeconds", MOVE_SECONDS))},
    )  # fmt: skip
    engine.store.save(secret)
    return secret


def forget(engine: Engine, vault: Resource, name: str) -> dict[str, Any]:
    """Take a deleted secret off the list, for good or to bring it back."""
    kept = deleted(engine, vault)
    row = kept.pop(name.lower())
    vault.internal["deletedSecrets"] = kept
    engine.store.save(vault)
    return row


# -- the management plane --------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    engine = change.engine
    vault = engine.require(parse(change.path.parent))
    require_free(engine, vault, change.path.name)
    value = change.internal.pop("secrets", {}).get("properties.value")
    kept: list[Version] = change.internal.setdefault("versions", [])
    asked = {**(change.sent.get("properties") or {}), "tags": change.body.get("tags"), "value": value}
    if value is not None or not kept:
        kept.append(new_version(engine, asked))
    else:
        update(engine, kept[-1], asked)
    # Whatever is shown is read from the current version.
    change.body["properties"] = {}


def _view(engine: Engine, secret: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    vault = engine.store.get(secret.parent)
    if vault is None:
        return
    current = versions(secret)[-1]
    address = f"{uri(engine, vault.name)}secrets/{secret.name}"
    own = attributes(engine, vault, current)
    shown["location"] = vault.location
    shown["properties"] = {
        "attributes": {key: own[key] for key in ("enabled", "nbf", "exp", "created", "updated") if key in own},
        "secretUri": address, "secretUriWithVersion": f"{address}/{current['version']}",
    }  # fmt: skip
    if current.get("contentType"):
        shown["properties"]["contentType"] = current["contentType"]


def keep_for_recovery(engine: Engine, child: Resource) -> None:
    """A vault that is deleted takes what is in it along, and brings it back when it is recovered."""
    vault = engine.store.get(child.parent)
    if vault is not None:
        row = {"id": child.id, "type": child.type, "body": child.body, "internal": child.internal}
        vault.internal.setdefault("content", []).append(row)


TYPE = ResourceType(
    name=SECRET,
    protocol=SYNCHRONOUS,
    put=Verb(),
    patch=Patch(),
    delete=None,
    location=None,
    has_state=False,
    name_pattern=NAME,
    required=("properties",),
    write_only=("properties.value",),
    check=_check,
    deleted=keep_for_recovery,
    view=_view,
    depth="versions shared with the vault's own service; values are never shown here",
)
