"""Microsoft.Compute/sshPublicKeys: public keys, and key pairs that are made once and whose private half is not kept.

The keys are real: OpenSSH takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from azure_emulator import errors
from azure_emulator.providers.protocols import SYNCHRONOUS
from azure_emulator.types import Action, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.store import Resource

SSH_KEY = "Microsoft.Compute/sshPublicKeys"
# Compute makes RSA keys of this length (docstring of the SDK's generate_key_pair).
RSA_BITS, LEAST_RSA_BITS = 3072, 2048


def _check(change: Change) -> None:
    text = change.properties.get("publicKey")
    if text is None and change.exists:
        change.properties["publicKey"] = change.old.get("publicKey")
    elif text is not None and not _is_public_key(str(text)):
        raise errors.bad_request(
            "InvalidParameter",
            "The value of parameter publicKey is invalid: it must be a public key in OpenSSH's format, ssh-ed25519 "
            f"or ssh-rsa of at least {LEAST_RSA_BITS} bits.",
            target="publicKey",
        )
    if change.properties.get("publicKey") is None:
        change.properties.pop("publicKey", None)


def _is_public_key(text: str) -> bool:
    try:
        key = serialization.load_ssh_public_key(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= LEAST_RSA_BITS
    return isinstance(key, ed25519.Ed25519PublicKey)


def _generate(call: Call, resource: Resource) -> dict[str, Any]:
    if resource.properties.get("publicKey"):
        # Documented: once per resource. Code and wording are assumptions.
        raise errors.conflict("OperationNotAllowed", f"A key pair was generated or set for '{resource.name}' already.")
    asked = call.body if isinstance(call.body, dict) else {}
    kind = str(asked.get("encryptionType") or "RSA")
    if kind not in ("RSA", "Ed25519"):
        raise errors.invalid_parameter("encryptionType", kind, "Allowed values are RSA, Ed25519.")
    public, private = _key_pair(kind)
    resource.properties["publicKey"] = public
    call.engine.store.save(resource)
    return {"publicKey": public, "privateKey": private, "id": resource.id}


def _key_pair(kind: str) -> tuple[str, str]:
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if kind == "RSA":
        key, shape = rsa.generate_private_key(65_537, RSA_BITS), serialization.PrivateFormat.TraditionalOpenSSL
    else:
        key, shape = ed25519.Ed25519PrivateKey.generate(), serialization.PrivateFormat.OpenSSH
    private = key.private_bytes(serialization.Encoding.PEM, shape, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return f"{public.decode()} generated-by-azure", private.decode()


TYPE = ResourceType(
    name=SSH_KEY,
    protocol=SYNCHRONOUS,
    put=Verb(),
    patch=Patch(allowed=frozenset({"tags", "properties.publicKey"})),
    delete=Verb(),
    has_state=False,
    delete_first=60,
    actions={"generateKeyPair": Action(run=_generate)},
    check=_check,
    depth="real key pairs, made once",
)
