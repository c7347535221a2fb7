"""Access keys of storage accounts, and the shared access signatures that are made with them.

Keys are functions of the emulator's seed, the account and how often a key was renewed, so that they survive restarts
without being stored. Signatures are computed as the service's documentation says (version 2015-04-05, which the
management plane signs with).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from azure_emulator import errors

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import Call

KEYS = ("key1", "key2")
KERBEROS_KEYS = ("kerb1", "kerb2")
_VERSION = "2015-04-05"


def key_of(engine: Engine, account: Resource, name: str) -> str:
    """The present value of a key, in base64."""
    return secret_of(engine, account, name, int(account.internal.get("renewals", {}).get(name, 0)))


def secret_of(engine: Engine, resource: Resource, name: str, turn: int) -> str:
    """A secret that depends on the seed, on whose it is, and on how often it was renewed; in base64."""
    return base64.b64encode(hashlib.sha512(f"{engine.seed}|{resource.key}|{name}|{turn}".encode()).digest()).decode()


def list_keys(call: Call, account: Resource) -> dict[str, Any]:
    """POST listKeys; `$expand=kerb` adds the Kerberos keys that have been generated."""
    renewals = account.internal.get("renewals", {})
    expanded = "kerb" in call.query.get("$expand", "")
    names = (*KEYS, *(name for name in KERBEROS_KEYS if expanded and name in renewals))
    times = account.properties["keyCreationTime"]
    return {"keys": [
        {"keyName": name, "value": key_of(call.engine, account, name), "permissions": "FULL",
         "creationTime": times.get(name) or account.properties["creationTime"]}
        for name in names
    ]}  # fmt: skip


def regenerate_key(call: Call, account: Resource) -> dict[str, Any]:
    """POST regenerateKey: the old value is worth nothing from now on."""
    name = str((call.body or {}).get("keyName", ""))
    if name not in (*KEYS, *KERBEROS_KEYS):
        raise errors.bad_request(
            "InvalidValuesForRequestParameters", "Values for request parameters are invalid: keyName."
        )
    renewals = account.internal.setdefault("renewals", {})
    renewals[name] = renewals.get(name, 0) + 1
    account.properties["keyCreationTime"][name] = call.engine.clock.iso(call.engine.now)
    call.engine.store.save(account)
    return list_keys(call, account)


def account_sas(call: Call, account: Resource) -> dict[str, Any]:
    """POST listAccountSas."""
    sent = _parameters(call, "signedServices", "signedResourceTypes", "signedPermission", "signedExpiry")
    text = "\n".join([
        account.name, sent["signedPermission"], sent["signedServices"], sent["signedResourceTypes"],
        sent.get("signedStart", ""), sent["signedExpiry"], sent.get("signedIp", ""), sent.get("signedProtocol", ""),
        _VERSION, "",
    ])  # fmt: skip
    token = {
        "sv": _VERSION, "ss": sent["signedServices"], "srt": sent["signedResourceTypes"],
        "st": sent.get("signedStart"), "se": sent["signedExpiry"], "sp": sent["signedPermission"],
        "sip": sent.get("signedIp"), "spr": sent.get("signedProtocol"),
    }  # fmt: skip
    return {"accountSasToken": _signed(call, account, sent, text, token)}


def service_sas(call: Call, account: Resource) -> dict[str, Any]:
    """POST listServiceSas."""
    sent = _parameters(call, "canonicalizedResource")
    text = "\n".join(sent.get(name, "") for name in (
        "signedPermission", "signedStart", "signedExpiry", "canonicalizedResource", "signedIdentifier", "signedIp",
        "signedProtocol")) + f"\n{_VERSION}\n"  # fmt: skip
    text += "\n".join(sent.get(name, "") for name in ("rscc", "rscd", "rsce", "rscl", "rsct"))
    token = {
        "sv": _VERSION, "sr": sent.get("signedResource"), "st": sent.get("signedStart"), "se": sent.get("signedExpiry"),
        "sp": sent.get("signedPermission"), "si": sent.get("signedIdentifier"), "sip": sent.get("signedIp"),
        "spr": sent.get("signedProtocol"),
    }  # fmt: skip
    return {"serviceSasToken": _signed(call, account, sent, text, token)}


def _parameters(call: Call, *required: str) -> dict[str, str]:
    body = call.body if isinstance(call.body, Mapping) else {}
    sent = {str(key): str(value) for key, value in body.items() if value is not None}
    for name in required:
        if not sent.get(name):
            raise errors.bad_request(
                "InvalidValuesForRequestParameters", f"Values for request parameters are invalid: {name}."
            )
    return sent


def _signed(call: Call, account: Resource, sent: Mapping[str, str], text: str, token: Mapping[str, str | None]) -> str:
    name = sent.get("keyToSign", KEYS[0])
    if name not in KEYS:
        raise errors.bad_request(
            "InvalidValuesForRequestParameters", "Values for request parameters are invalid: keyToSign."
        )
    key = base64.b64decode(key_of(call.engine, account, name))
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    pairs = [*((key, value) for key, value in token.items() if value), ("sig", signature)]
    return "&".join(f"{key}={quote(value, safe='')}" for key, value in pairs)
