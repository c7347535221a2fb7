"""Keys of a vault on the management plane: created if they do not exist, and listed. There is no key material."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.key_vault import secrets
from azure_emulator.providers.key_vault.names import KEY, VaultError, recovery_level, uri
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Answer, Call, Change, ResourceType, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

_SIZES, _CURVES = (2048, 3072, 4096), ("P-256", "P-384", "P-521", "P-256K")
_KINDS = ("RSA", "RSA-HSM", "EC", "EC-HSM")
_RSA_OPERATIONS = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"]


def _check(change: Change) -> None:
    if change.before is not None:
        # The operation is called createIfNotExist: a key that exists stays as it is.
        change.body = copy.deepcopy(change.before)
        return
    vault, properties = change.engine.require(parse(change.path.parent)), change.properties
    kind = properties.get("kty")
    if kind not in _KINDS:
        raise errors.bad_request("BadRequest", f"The key type '{kind}' must be one of {', '.join(_KINDS)}.")
    if str(kind).endswith("HSM") and bodies.get(vault.properties, "sku.name") != "premium":
        raise errors.bad_request("BadRequest", "Keys in hardware need a vault of the premium sku.")
    if str(kind).startswith("RSA"):
        if properties.setdefault("keySize", _SIZES[0]) not in _SIZES:
            raise errors.bad_request("BadRequest", f"keySize must be one of {', '.join(map(str, _SIZES))}.")
        properties.setdefault("keyOps", _RSA_OPERATIONS)
    else:
        if properties.setdefault("curveName", _CURVES[0]) not in _CURVES:
            raise errors.bad_request("BadRequest", f"curveName must be one of {', '.join(_CURVES)}.")
        properties.setdefault("keyOps", ["sign", "verify"])
    own = {"enabled": True, "exportable": False, **(properties.get("attributes") or {})}
    moment = int(change.engine.clock.at(change.engine.now).timestamp())
    properties["attributes"] = {**own, "created": moment, "updated": moment, "recoveryLevel": recovery_level(vault)}
    change.internal["version"] = change.engine.guid().replace("-", "")


def _view(engine: Engine, key: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    vault = engine.store.get(key.parent)
    if vault is not None:
        address = f"{uri(engine, vault.name)}keys/{key.name}"
        shown["location"] = vault.location
        shown["properties"] |= {"keyUri": address, "keyUriWithVersion": f"{address}/{key.internal['version']}"}


def read_versions(call: Call) -> Answer:
    """GET …/keys/{name}/versions: a key has the one version that it was created with."""
    path = call.path
    key = call.engine.require(parse("/".join(path.text.split("/")[: -2 if path.is_resource else -1])))
    version = key.internal["version"]
    shown = call.engine.view(key) | {"id": f"{key.id}/versions/{version}", "name": version, "type": f"{KEY}/versions"}
    if not path.is_resource:
        return Answer(200, {"value": [shown]})
    if path.name.lower() != version:
        raise VaultError(
            404, "KeyNotFound", f"A key with (name/id) {key.name}/{path.name} was not found in this vault."
        )
    return Answer(200, shown)


TYPE = ResourceType(
    name=KEY,
    protocol=SYNCHRONOUS,
    put=Verb(created=200),
    delete=None,
    location=None,
    has_state=False,
    name_pattern=secrets.NAME,
    required=("properties",),
    check=_check,
    deleted=secrets.keep_for_recovery,
    view=_view,
    depth="created once and listed; no key material",
)
