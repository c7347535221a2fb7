"""Queues, tables and local users of a storage account: what Resource Manager shows of them, and no more."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.providers.storage import keys
from azure_emulator.providers.storage.blobs import account_of, list_service
from azure_emulator.providers.storage.names import (
    DEFAULT,
    LOCAL_USER,
    QUEUE,
    QUEUE_SERVICE,
    SHARE_NAME,
    TABLE,
    TABLE_NAME,
    TABLE_SERVICE,
    USER_NAME,
)
from azure_emulator.types import Action, Call, Change, Function, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.arm_path import ArmPath
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource


def _check_table(change: Change) -> None:
    change.properties["tableName"] = change.path.name


def _put_table(call: Call) -> None:
    """A table needs no body."""
    call.body = call.body if call.body is not None else {}


def _check_user(change: Change) -> None:
    account, properties = account_of(change.engine, change.id), change.properties
    if not account.properties.get("isHnsEnabled"):
        raise errors.bad_request(
            "InvalidRequestPropertyValue",
            f"Local users need a hierarchical namespace, which account {account.name} does not have.",
        )
    number = int(hashlib.sha256(change.id.lower().encode()).hexdigest()[:8], 16)
    properties["sid"] = f"S-1-2-0-{number}-{len(change.path.name)}"
    properties.setdefault("hasSshKey", bool(properties.get("sshAuthorizedKeys")))
    for name in ("hasSharedKey", "hasSshPassword"):
        properties.setdefault(name, False)


def _secret(call: Call, user: Resource, purpose: str) -> str:
    return keys.secret_of(call.engine, user, purpose, int(user.internal.get("passwords", 0)))


def _user_keys(call: Call, user: Resource) -> dict[str, Any]:
    return {
        "sshAuthorizedKeys": user.properties.get("sshAuthorizedKeys"), "sharedKey": _secret(call, user, "key"),
    }  # fmt: skip


def _new_password(call: Call, user: Resource) -> dict[str, Any]:
    user.internal["passwords"] = user.internal.get("passwords", 0) + 1
    user.properties["hasSshPassword"] = True
    call.engine.store.save(user)
    return {"sshPassword": _secret(call, user, "password")}


def _defaults(engine: Engine, path: ArmPath) -> dict[str, Any]:  # noqa: ARG001 (a hook)
    """Services of queues and tables show no sku, unlike those of blobs and files."""
    return {"properties": {"cors": {"corsRules": []}}}


def _service(name: str) -> ResourceType:
    return ResourceType(
        name=name, protocol=SYNCHRONOUS, put=Verb(created=200), delete=None, location=None, tags=False,
        has_state=False, name_pattern=DEFAULT, default_instance=_defaults, depth="`default` always exists",
    )  # fmt: skip


TYPES = (
    _service(QUEUE_SERVICE),
    ResourceType(
        name=QUEUE, protocol=SYNCHRONOUS, put=Verb(created=200), patch=Patch(), delete=Verb(deleted=204), location=None,
        tags=False, has_state=False, name_pattern=SHARE_NAME, depth="names; always empty",
    ),
    _service(TABLE_SERVICE),
    ResourceType(
        name=TABLE, protocol=SYNCHRONOUS, put=Verb(created=200), patch=Patch(), delete=Verb(deleted=204), location=None,
        tags=False, has_state=False, name_pattern=TABLE_NAME, check=_check_table, depth="names; always empty",
    ),
    ResourceType(
        name=LOCAL_USER, protocol=SYNCHRONOUS, put=Verb(created=200), delete=Verb(), location=None, tags=False,
        has_state=False, name_pattern=USER_NAME, check=_check_user,
        read_only=("properties.sid",),
        actions={"listKeys": Action(run=_user_keys), "regeneratePassword": Action(run=_new_password)},
        depth="needs a hierarchical namespace; keys and passwords",
    ),
)  # fmt: skip

FUNCTIONS: dict[tuple[str, str], Function] = {
    ("GET", QUEUE_SERVICE): list_service,
    ("GET", TABLE_SERVICE): list_service,
    ("PUT", TABLE): _put_table,
}
