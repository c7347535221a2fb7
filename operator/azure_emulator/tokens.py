"""JSON Web Tokens: signing, reading and verifying them, and the keys that this needs.

Knows neither HTTP nor who may have a token. RS256 is what Entra ID signs with, and the one algorithm that it takes from
a foreign issuer; PS256 comes with certificates.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

if TYPE_CHECKING:
    from azure_emulator.store import Store

SETTING = "secret.signingKey"
KEY_BITS = 2048
_PARTS = 3  # header, claims, signature


class InvalidTokenError(ValueError):
    """Text that is no token, or one whose signature is not of the key that it should be of."""


@dataclass(frozen=True)
class Token:
    """A token taken apart."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    def claim(self, name: str) -> str:
        """A claim as text, empty where it is missing."""
        return str(self.claims.get(name) or "")

    @property
    def expires(self) -> float:
        """When it ends, in seconds since 1970; 0 where it does not say."""
        return _number(self.claims.get("exp"))

    @property
    def begins(self) -> float:
        """From when on it is valid."""
        return _number(self.claims.get("nbf"))

    @property
    def audiences(self) -> list[str]:
        """Whom it is meant for."""
        audience = self.claims.get("aud")
        return [str(one) for one in audience] if isinstance(audience, list) else [str(audience or "")]

    def verify(self, key: rsa.RSAPublicKey) -> None:
        """Raise InvalidTokenError unless that key signed it."""
        algorithm = self.header.get("alg")
        schemes: dict[Any, padding.AsymmetricPadding] = {
            "RS256": padding.PKCS1v15(),
            "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size),
        }
        scheme = schemes.get(algorithm)
        if scheme is None:
            msg = f"the signature algorithm '{algorithm}' is not supported"
            raise InvalidTokenError(msg)
        try:
            key.verify(self.signature, self.signed, scheme, hashes.SHA256())
        except InvalidSignature:
            msg = "the signature does not match"
            raise InvalidTokenError(msg) from None


def read(text: str) -> Token:
    """Take a token apart without verifying it."""
    parts = text.split(".")
    if len(parts) != _PARTS:
        msg = "a token has three parts separated by dots"
        raise InvalidTokenError(msg)
    try:
        header, claims = (json.loads(_decoded(part)) for part in parts[:2])
        signature = _decoded(parts[2])
    except (ValueError, RecursionError):
        msg = "the parts of a token are base64url, the first two of JSON objects"
        raise InvalidTokenError(msg) from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        msg = "header and claims of a token are JSON objects"
        raise InvalidTokenError(msg)
    return Token(header, claims, ".".join(parts[:2]).encode(), signature)


@dataclass(frozen=True)
class SigningKey:
    """What the emulator signs its tokens with."""

    key: rsa.RSAPrivateKey

    @classmethod
    def of(cls, store: Store) -> SigningKey:
        """The key that the state keeps, made if there is none yet."""
        kept = store.settings.get(SETTING)
        if kept is not None:
            key = serialization.load_pem_private_key(kept.encode(), password=None)
            if not isinstance(key, rsa.RSAPrivateKey):
                msg = f"the setting {SETTING} of the state holds a key that is not ours; remove the state directory"
                raise TypeError(msg)
            return cls(key)
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        store.set(SETTING, pem.decode())
        return cls(key)

    @property
    def public(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self.key.public_key()

    @property
    def jwks(self) -> dict[str, Any]:
        """The key set that others verify our tokens with."""
        return {"keys": [{**jwk(self.public), "use": "sig", "x5t": jwk(self.public)["kid"]}]}

    def sign(self, claims: Mapping[str, Any], **header: str) -> str:
        """A token."""
        full = {"typ": "JWT", "alg": "RS256", "kid": jwk(self.public)["kid"], **header}
        signed = f"{_encoded(json.dumps(full).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{signed}.{_encoded(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def jwk(key: rsa.RSAPublicKey) -> dict[str, str]:
    """A public key as JSON; `kid` is its thumbprint (RFC 7638)."""
    numbers = key.public_numbers()
    members = {"e": _encoded(_bytes(numbers.e)), "kty": "RSA", "n": _encoded(_bytes(numbers.n))}
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
    return {**members, "kid": _encoded(thumbprint)}


def key_of(keys: Iterable[Any], token: Token) -> rsa.RSAPublicKey:
    """The key of a JSON Web Key Set that a token says it is signed with; where it says none, the only one."""
    usable = [key for key in keys if isinstance(key, dict) and key.get("kty") == "RSA"]
    wanted = token.header.get("kid")
    found = [key for key in usable if wanted is None or key.get("kid") == wanted]
    if len(found) != 1:
        msg = f"the key set of the issuer has no RSA key with the id '{wanted}'"
        raise InvalidTokenError(msg)
    try:
        modulus, exponent = (int.from_bytes(_decoded(found[0][part])) for part in ("n", "e"))
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (KeyError, ValueError, TypeError, AttributeError):
        msg = f"the RSA key '{wanted}' in the key set of the issuer cannot be read"
        raise InvalidTokenError(msg) from None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
