"""A vault's own service at https://{vault}.vault.{host}/: secrets, as azure-keyvault-secrets speaks of them.

Turns requests into calls of the rules in secrets.py and says what came of it in Key Vault's words. Keys and
certificates are not served.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from cryptography.fernet import Fernet, InvalidToken

from azure_emulator import bodies
from azure_emulator.arm_path import parse
from azure_emulator.providers.key_vault import access, secrets
from azure_emulator.providers.key_vault.names import SECRET, VAULT, VaultError, bad_parameter
from azure_emulator.types import Answer, DataCall

if TYPE_CHECKING:
    from azure_emulator.store import Resource

_VERSIONS = re.compile(r"^(7\.\d|20\d\d-\d\d-\d\d(-preview(\.\d)?)?)$")
# The service lists at most this many at once.
PAGE = 25
# Setting `vaultFirewall`: whether a vault without public access refuses everybody. Where a client is, in the virtual
# network or outside, cannot be told from here, so the default is to let it in.
FIREWALL = False


def serve(call: DataCall) -> Answer:
    """Any request to a vault's host."""
    vault = _vault(call)
    _authenticate(call)
    _check_firewall(call, vault)
    _check_version(call)
    segments = [segment for segment in call.path.split("/") if segment]
    for method, pattern, handler in _ROUTES:
        if method == call.method and len(pattern) == len(segments):
            names = [name for name, part in zip(segments, pattern, strict=True) if not part]
            if all(not part or part == name.lower() for name, part in zip(segments, pattern, strict=True)):
                answer = handler(call, vault, *names)
                answer.headers.update(_headers(vault))
                return answer
    raise VaultError(404, "NotFound", f"{call.method} {call.path}: this emulated vault serves secrets only.")


def _headers(vault: Resource) -> dict[str, str]:
    return {
        "x-ms-keyvault-region": vault.location, "x-ms-keyvault-service-version": "1.9.2721.1",
        "x-ms-keyvault-network-info": "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
    }  # fmt: skip


# -- the door --------------------------------------------------------------------------------------------------------


def _vault(call: DataCall) -> Resource:
    """The vault of the host; on Azure the name of any other does not even resolve."""
    found = (vault for vault in call.engine.store.of_type(VAULT) if vault.name.lower() == call.name.lower())
    vault = next(found, None)
    if vault is None or not vault.complete:
        raise VaultError(404, "VaultNotFound", f"The vault '{call.name}' was not found.")
    return vault


def _authenticate(call: DataCall) -> None:
    if call.principal is not None:
        return
    domain = call.host.partition(".")[2]
    login = domain.partition(".")[2]
    challenge = f'Bearer authorization="https://{login}/{call.engine.tenant}", resource="https://{domain}"'
    raise VaultError(
        401,
        "Unauthorized",
        "AKV10000: Request is missing a Bearer or PoP token.",
        headers={"WWW-Authenticate": challenge},
    )


def _check_firewall(call: DataCall, vault: Resource) -> None:
    if not call.engine.setting("vaultFirewall", FIREWALL):
        return
    public = vault.properties.get("publicNetworkAccess") != "Disabled"
    allowed = bodies.get(vault.properties, "networkAcls.defaultAction", "Allow") == "Allow"
    place = f"Vault: {vault.name};location={vault.location}"
    if not public:
        raise VaultError(
            403,
            "Forbidden",
            "Public network access is disabled and request is not from a trusted service nor via an approved private "
            f"link.\r\n{place}",
            inner="ForbiddenByConnection",
        )
    if not allowed:
        raise VaultError(
            403,
            "Forbidden",
            f"Client address is not authorized and caller is not a trusted service.\r\nClient address: 127.0.0.1\r\n"
            f"{place}",
            inner="ForbiddenByFirewall",
        )


def _check_version(call: DataCall) -> None:
    version = call.query.get("api-version")
    if version is None:
        raise bad_parameter("api-version must be specified")
    if not _VERSIONS.match(version):
        raise bad_parameter(
            f"The specified version ({version}) is not recognized. Consider using the latest supported version (7.6)."
        )


def _address(call: DataCall) -> str:
    """Where the client found the vault. Vaults are reached by https only, whatever stands between."""
    return f"https://{call.host}"


def _body(call: DataCall) -> dict[str, Any]:
    if not isinstance(call.body, dict):
        raise bad_parameter("The request body is missing, or no JSON object.")
    return call.body


# -- what is shown ---------------------------------------------------------------------------------------------------


def _item(call: DataCall, vault: Resource, name: str, version: secrets.Version, *, exact: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": f"{_address(call)}/secrets/{name}" + (f"/{version['version']}" if exact else ""),
        "attributes": secrets.attributes(call.engine, vault, version),
        "tags": version["tags"],
    }
    if version.get("contentType"):
        shown["contentType"] = version["contentType"]
    return shown


def _bundle(call: DataCall, vault: Resource, name: str, version: secrets.Version) -> dict[str, Any]:
    return {"value": version["value"], **_item(call, vault, name, version, exact=True)}


def _deleted_item(call: DataCall, vault: Resource, row: dict[str, Any], *, exact: bool) -> dict[str, Any]:
    name = row["id"].rsplit("/", 1)[-1]
    moments = {
        key: int(call.engine.clock.at(row[moment]).timestamp())
        for key, moment in (("deletedDate", "deleted"), ("scheduledPurgeDate", "until"))
    }
    current = row["internal"]["versions"][-1]
    return {
        "recoveryId": f"{_address(call)}/deletedsecrets/{name}", **moments,
        **_item(call, vault, name, current, exact=exact),
    }  # fmt: skip


def _page(call: DataCall, rows: list[dict[str, Any]]) -> Answer:
    """Part of a list, and where the next is."""
    texts = call.query.get("maxresults", str(PAGE)), call.query.get("$skiptoken", "0")
    if not all(text.isdecimal() for text in texts) or not 1 <= int(texts[0]) <= PAGE:
        raise bad_parameter(f"maxresults must be between 1 and {PAGE}.")
    size, start = int(texts[0]), int(texts[1])
    body: dict[str, Any] = {"value": rows[start : start + size], "nextLink": None}
    if start + size < len(rows):
        query = {**call.query, "$skiptoken": str(start + size), "maxresults": str(size)}
        body["nextLink"] = f"{_address(call)}{call.path}?{urlencode(query)}"
    return Answer(200, body)


# -- secrets ---------------------------------------------------------------------------------------------------------


def _require(call: DataCall, vault: Resource, name: str) -> Resource:
    secret = secrets.find(call.engine, vault, name)
    if secret is None:
        raise secrets.not_found(name)
    return secret


def _one(secret: Resource, version: str) -> secrets.Version:
    found = secrets.versions(secret)
    if not version:
        return found[-1]
    one = next((row for row in found if row["version"] == version.lower()), None)
    if one is None:
        raise secrets.not_found(f"{secret.name}/{version}")
    return one


def _set(call: DataCall, vault: Resource, name: str) -> Answer:
    access.require(call, vault, "set", name)
    if not secrets.NAME.match(name):
        raise bad_parameter(f"The request URI contains an invalid name: {name}")
    secrets.require_free(call.engine, vault, name)
    version = secrets.new_version(call.engine, _body(call))
    secret = secrets.put(call.engine, vault, name, [version])
    return Answer(200, _bundle(call, vault, secret.name, version))


def _get(call: DataCall, vault: Resource, name: str, version: str = "") -> Answer:
    access.require(call, vault, "get", name)
    secret = _require(call, vault, name)
    found = _one(secret, version)
    if not found["attributes"]["enabled"]:
        raise VaultError(403, "Forbidden", "Operation get is not allowed on a disabled secret.", inner="SecretDisabled")
    return Answer(200, _bundle(call, vault, secret.name, found))


def _update(call: DataCall, vault: Resource, name: str, version: str = "") -> Answer:
    access.require(call, vault, "update", name)
    secret = _require(call, vault, name)
    found = _one(secret, version)
    secrets.update(call.engine, found, _body(call))
    secrets.touch(call.engine, secret)
    return Answer(200, _item(call, vault, secret.name, found, exact=True))


def _list(call: DataCall, vault: Resource) -> Answer:
    access.require(call, vault, "list")
    found = sorted(call.engine.store.children(vault.id, SECRET), key=lambda secret: secret.key)
    return _page(call, [
        _item(call, vault, secret.name, secrets.versions(secret)[-1], exact=False)
        for secret in found
        if secrets.find(call.engine, vault, secret.name) is not None
    ])  # fmt: skip


def _list_versions(call: DataCall, vault: Resource, name: str) -> Answer:
    access.require(call, vault, "list", name)
    secret = _require(call, vault, name)
    found = secrets.versions(secret)
    return _page(call, [_item(call, vault, secret.name, version, exact=True) for version in found])


def _delete(call: DataCall, vault: Resource, name: str) -> Answer:
    access.require(call, vault, "delete", name)
    row = secrets.delete(call.engine, vault, _require(call, vault, name))
    return Answer(200, _deleted_item(call, vault, row, exact=True))


def _require_deleted(call: DataCall, vault: Resource, name: str) -> dict[str, Any]:
    row = secrets.deleted(call.engine, vault).get(name.lower())
    if row is None or row["at"] > call.engine.now:
        raise VaultError(404, "SecretNotFound", f"Deleted Secret not found: {name}")
    return row


def _get_deleted(call: DataCall, vault: Resource, name: str) -> Answer:
    access.require(call, vault, "getDeleted", name)
    return Answer(200, _deleted_item(call, vault, _require_deleted(call, vault, name), exact=True))


def _list_deleted(call: DataCall, vault: Resource) -> Answer:
    access.require(call, vault, "list")
    rows = [row for row in secrets.deleted(call.engine, vault).values() if row["at"] <= call.engine.now]
    return _page(call, [_deleted_item(call, vault, row, exact=False) for row in rows])


def _purge(call: DataCall, vault: Resource, name: str) -> Answer:
    access.require(call, vault, "purge", name)
    _require_deleted(call, vault, name)
    if vault.properties.get("enablePurgeProtection"):
        raise VaultError(
            403,
            "Forbidden",
            'Operation "purge" is not allowed because purge protection is enabled for this vault. Key Vault service '
            "will automatically purge it after the retention period has passed.\r\n"
            f"Vault: {vault.name};location={vault.location}",
        )
    secrets.forget(call.engine, vault, name)
    return Answer(204)


def _recover(call: DataCall, vault: Resource, name: str) -> Answer:
    access.require(call, vault, "recover", name)
    _require_deleted(call, vault, name)
    secret = secrets.recover(call.engine, vault, name)
    return Answer(200, _item(call, vault, secret.name, secrets.versions(secret)[-1], exact=True))


# -- backups ---------------------------------------------------------------------------------------------------------


def _cipher(call: DataCall, vault: Resource) -> Fernet:
    """Backups can be restored in the same subscription only, and are read by nobody else."""
    secret = f"{call.engine.seed}|{call.engine.tenant}|{(parse(vault.id).subscription or '').lower()}"
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()))


def _backup(call: DataCall, vault: Resource, name: str) -> Answer:
    access.require(call, vault, "backup", name)
    secret = _require(call, vault, name)
    document = json.dumps({"name": secret.name, "versions": secrets.versions(secret)})
    sealed = base64.urlsafe_b64encode(_cipher(call, vault).encrypt(document.encode()))
    return Answer(200, {"value": sealed.rstrip(b"=").decode()})


def _restore(call: DataCall, vault: Resource) -> Answer:
    access.require(call, vault, "restore")
    text = str(_body(call).get("value", ""))
    try:
        sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        document = json.loads(_cipher(call, vault).decrypt(sealed))
    except (ValueError, binascii.Error, InvalidToken) as error:
        raise bad_parameter("The backup blob is invalid, or is from another subscription.") from error
    name = str(document["name"])
    secrets.require_free(call.engine, vault, name)
    if call.engine.store.get(f"{vault.id}/secrets/{name}") is not None:
        # Documented: nothing is overwritten. The wording is an assumption.
        raise VaultError(409, "Conflict", f"There is already a secret named {name} in this key vault.")
    secret = secrets.put(call.engine, vault, name, document["versions"])
    return Answer(200, _item(call, vault, secret.name, secrets.versions(secret)[-1], exact=True))


Handler = Callable[..., Answer]
# Method, path with empty strings where names stand, what answers. The first that fits wins.
_ROUTES: tuple[tuple[str, tuple[str, ...], Handler], ...] = (
    ("POST", ("secrets", "restore"), _restore),
    ("PUT", ("secrets", ""), _set),
    ("GET", ("secrets",), _list),
    ("GET", ("secrets", ""), _get),
    ("GET", ("secrets", "", "versions"), _list_versions),
    ("GET", ("secrets", "", ""), _get),
    ("PATCH", ("secrets", ""), _update),
    ("PATCH", ("secrets", "", ""), _update),
    ("DELETE", ("secrets", ""), _delete),
    ("POST", ("secrets", "", "backup"), _backup),
    ("GET", ("deletedsecrets",), _list_deleted),
    ("GET", ("deletedsecrets", ""), _get_deleted),
    ("DELETE", ("deletedsecrets", ""), _purge),
    ("POST", ("deletedsecrets", "", "recover"), _recover),
)
