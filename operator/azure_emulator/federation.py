"""Client assertions: tokens of foreign issuers (workload identity federation) and of certificates, really verified.

Knows how an issuer's keys are found (OpenID discovery, or keys that were registered), and nothing of HTTP requests to
the emulator. Entra looks for a matching federated credential first and asks the issuer only then, as does this.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from azure_emulator import tokens
from azure_emulator.providers.identity import FEDERATED
from azure_emulator.tokens import InvalidTokenError, Token

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.providers.directory import Entry

ISSUERS = "issuers"  # setting: issuer -> {"jwks": {"keys": […]}} or {"ca": "<PEM>"}
# How long a new federated credential takes to work. azure-docs speaks of propagation without a figure and advises to
# try again; assumption: none.
DELAY_SETTING, DELAY_SECONDS = "federationDelaySeconds", 0.0
# Keys of issuers are kept for so many real seconds, and asked for again at once when a token names an unknown one.
KEYS_KEPT_SECONDS = 300.0
ISSUER_TIMEOUT_SECONDS = 10.0
CLOCK_SKEW_SECONDS = 300.0
_MORE = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"


class LoginError(Exception):
    """A refusal by Entra ID."""

    def __init__(self, code: int, message: str, *, error: str = "invalid_client", status: int = 401) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.error = error
        self.status = status


class Federation:
    """Verifies client assertions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._keys: dict[str, tuple[float, list[Any]]] = {}

    async def verify(self, assertion: str, client: Entry, audiences: tuple[str, ...]) -> None:
        """Raise LoginError unless the assertion proves that its bearer is that client.

        `audiences` is what a certificate's assertion may be meant for: the token endpoint's addresses.
        """
        try:
            token = tokens.read(assertion)
        except InvalidTokenError:
            raise LoginError(50027, "JWT token is invalid or malformed.", error="invalid_request", status=400) from None
        _check_time(token)
        if client.managed:
            await self._verify_federated(token, client)
        else:
            _verify_certificate(token, client, audiences)

    async def _verify_federated(self, token: Token, client: Entry) -> None:
        self._require_credential(token, client)
        issuer = token.claim("iss")
        try:
            try:
                tokens_key = tokens.key_of(await self._issuer_keys(issuer), token)
            except InvalidTokenError:
                tokens_key = tokens.key_of(await self._issuer_keys(issuer, again=True), token)
            token.verify(tokens_key)
        except InvalidTokenError as error:
            raise LoginError(
                50013, f"Assertion failed signature validation. [Reason - {error}.] Please visit the Azure Portal, "
                f"Graph Explorer or directly use MS Graph to see configured keys for app Id '{client.app_id}'."
            ) from None  # fmt: skip

    def _require_credential(self, token: Token, client: Entry) -> None:
        engine, issuer, subject = self._engine, token.claim("iss"), token.claim("sub")
        wait = float(engine.setting(DELAY_SETTING, DELAY_SECONDS))
        known = [
            credential.properties
            for credential in engine.store.children(client.resource_id, FEDERATED)
            if engine.now >= credential.created + wait
        ]
        if not known:
            raise LoginError(
                70021, "No matching federated identity record found for presented assertion. Assertion Issuer: "
                f"'{issuer}'. Assertion Subject: '{subject}'. Assertion Audience: '{token.audiences[0]}'. {_MORE}",
                error="invalid_request", status=400,
            )  # fmt: skip
        advice = f"Check your federated identity credential Subject, Audience and Issuer against the presented assertion. {_MORE}"  # noqa: E501
        presented = "No matching federated identity record found for presented assertion"
        same_issuer = [row for row in known if row["issuer"] == issuer]
        if not same_issuer:
            raise LoginError(700211, f"{presented} issuer '{issuer}'. {advice}")
        same_subject = [row for row in same_issuer if row["subject"] == subject]
        if not same_subject:
            if any(row["subject"].lower() == subject.lower() for row in same_issuer):
                raise LoginError(
                    7002138, f"{presented} subject '{subject}'. The subject matches with case-insensitive comparison, "
                    f"but not with case-sensitive comparison. {advice}"
                )  # fmt: skip
            raise LoginError(700213, f"{presented} subject '{subject}'. {advice}")
        if not any(set(row["audiences"]) & set(token.audiences) for row in same_subject):
            raise LoginError(700212, f"{presented} audience '{token.audiences[0]}'. {advice}")

    async def _issuer_keys(self, issuer: str, *, again: bool = False) -> list[Any]:
        registered = self._engine.setting(ISSUERS, {}).get(issuer, {})
        if "jwks" in registered:
            return list(registered["jwks"]["keys"])
        kept = self._keys.get(issuer)
        if kept is not None and not again and time.monotonic() - kept[0] < KEYS_KEPT_SECONDS:
            return kept[1]
        try:
            found = await _discover(issuer, registered.get("ca"))
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError, ValueError, LookupError, TypeError) as error:
            raise LoginError(
                50166, f"Request to External OIDC endpoint failed: {issuer}: {error or type(error).__name__}.",
                error="invalid_request", status=400,
            ) from error  # fmt: skip
        self._keys[issuer] = time.monotonic(), found
        return found


async def _discover(issuer: str, ca: str | None) -> list[Any]:
    """The keys of an issuer, by its own word."""
    context = await asyncio.to_thread(ssl.create_default_context, cadata=ca)
    timeout = aiohttp.ClientTimeout(total=ISSUER_TIMEOUT_SECONDS)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, raise_for_status=True) as session:
        async with session.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration") as response:
            configuration = await response.json(content_type=None)
        if configuration["issuer"] != issuer:
            msg = f"its configuration is that of {configuration['issuer']}"
            raise ValueError(msg)
        async with session.get(configuration["jwks_uri"]) as response:
            keys = (await response.json(content_type=None))["keys"]
    if not isinstance(keys, list):
        msg = "its key set holds no list of keys"
        raise TypeError(msg)
    return keys


def _check_time(token: Token) -> None:
    now = time.time()
    if token.begins <= now + CLOCK_SKEW_SECONDS and now <= token.expires:
        return
    moments = [_iso(moment) for moment in (now, token.begins, token.expires)]
    raise LoginError(
        700024, f"Client assertion is not within its valid time range. Current time: {moments[0]}, assertion valid "
        f"from {moments[1]}, expiry time of assertion {moments[2]}. Review the documentation at "
        "https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )  # fmt: skip


def _iso(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError, OSError):  # a moment beyond all calendars, from a token of whoever
        return str(moment)


def _verify_certificate(token: Token, client: Entry, audiences: tuple[str, ...]) -> None:
    """An assertion signed with the key of a certificate that is registered on the application."""
    thumbprint = str(token.header.get("x5t#S256") or token.header.get("x5t") or token.header.get("kid") or "")
    key = next((key for text in client.certificates if (key := _key_of(text, thumbprint)) is not None), None)
    reason = "The key was not found."
    if key is not None:
        try:
            token.verify(key)
        except InvalidTokenError as error:
            key, reason = None, f"The key was found, but use of the key to verify the signature failed: {error}."
    if key is None:
        raise LoginError(
            700027, "The certificate with identifier used to sign the client assertion is not registered on "
            f"application. [Reason - {reason}, Thumbprint of key used by client: '{thumbprint}', Please visit the "
            "Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id "
            f"'{client.app_id}'."
        )  # fmt: skip
    if any(token.claim(name).lower() != client.app_id.lower() for name in ("iss", "sub")):
        raise LoginError(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
    if not set(token.audiences) & set(audiences):
        raise LoginError(700023, "Client assertion audience claim does not match Realm issuer.")


def _key_of(pem: str, thumbprint: str) -> rsa.RSAPublicKey | None:
    """The key of a certificate if that is its thumbprint: SHA-1 or SHA-256, as base64url or hexadecimal."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    digests = [
        hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER), usedforsecurity=False).digest(),
        certificate.fingerprint(hashes.SHA256()),
    ]
    names = {base64.urlsafe_b64encode(digest).rstrip(b"=").decode() for digest in digests}
    hexadecimal = {digest.hex().upper() for digest in digests}
    key = certificate.public_key()
    known = thumbprint.rstrip("=") in names or thumbprint.upper() in hexadecimal
    return key if known and isinstance(key, rsa.RSAPublicKey) else None
