"""Who asks: token and metadata endpoints (Entra ID, IMDS, /metadata/endpoints), and what a bearer token proves.

Knows no resource type.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web

from azure_emulator import errors, tokens
from azure_emulator.errors import ArmError
from azure_emulator.types import ANYONE, Principal

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator


class Login:
    """Request handlers of one emulator's token and metadata endpoints."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/metadata/identity/oauth2/token", self.managed_identity),
            web.get("/metadata/endpoints", self.endpoints),
            web.post("/{tenant}/oauth2/v2.0/token", self.token),
            web.post("/{tenant}/oauth2/token", self.token),
            web.get("/{tenant}/v2.0/.well-known/openid-configuration", self.discovery),
            web.get("/{tenant}/discovery/v2.0/keys", self.keys),
            web.get("/common/discovery/instance", self.instance),
        ]

    async def managed_identity(self, request: web.Request) -> web.Response:
        """IMDS."""
        if request.headers.get("Metadata", "").lower() != "true":
            document = {"error": "invalid_request", "error_description": "Required metadata header not specified"}
            return web.json_response(document, status=errors.BAD_REQUEST)
        tenant = self._emulator.tenant
        issuer = f"{base_url(request)}/{tenant}/"
        return web.json_response(tokens.managed_identity_grant(request.query, tenant=tenant, issuer=issuer))

    async def endpoints(self, request: web.Request) -> web.Response:
        """Cloud metadata: one object since 2022-09-01, a list of them before."""
        document = tokens.endpoints(base_url(request), self._emulator.tenant)
        older = request.query.get("api-version", "") < "2022-09-01"
        return web.json_response([document] if older else document)

    async def token(self, request: web.Request) -> web.Response:
        """Entra ID's token endpoint, for every grant type."""
        form = await request.post()
        tenant = self._emulator.tenant
        scope = str(form.get("scope") or form.get("resource") or "https://management.azure.com/.default")
        audience = scope.split(maxsplit=1)[0].removesuffix("/.default")
        client_id = str(form.get("client_id") or tokens.CLIENT_ID)
        issuer = f"{base_url(request)}/{tenant}/"
        return web.json_response(tokens.grant(tenant=tenant, audience=audience, client_id=client_id, issuer=issuer))

    async def discovery(self, request: web.Request) -> web.Response:
        """OpenID configuration."""
        return web.json_response(tokens.discovery(base_url(request), request.match_info["tenant"]))

    async def keys(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """No keys: nobody checks signatures here."""
        return web.json_response({"keys": []})

    async def instance(self, request: web.Request) -> web.Response:
        """MSAL's instance discovery."""
        tenant = self._emulator.tenant
        endpoint = f"{base_url(request)}/{tenant}/v2.0/.well-known/openid-configuration"
        host = base_url(request).split("//", 1)[1]
        alias = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return web.json_response({"tenant_discovery_endpoint": endpoint, "metadata": [alias]})


def base_url(request: web.Request) -> str:
    """How the client reached us: operation URLs must lead back the same way."""
    return f"{request.scheme}://{request.host}"


def authenticate(emulator: Emulator, request: web.Request) -> Principal:  # noqa: ARG001 (rights will ask it)
    """Who asks, or 401."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    challenge = 'Bearer authorization_uri="{}/common/oauth2/authorize", error="invalid_token", error_description="{}"'
    if scheme.lower() != "bearer" or not bearer:
        text = "Authentication failed. The 'Authorization' header is missing."
        headers = {"WWW-Authenticate": challenge.format(base_url(request), text)}
        raise ArmError(errors.UNAUTHORIZED, "AuthenticationFailed", text, headers=headers)
    if tokens.expired(bearer, time.time()):
        text = "The access token expiry UTC time is earlier than the current UTC time."
        headers = {"WWW-Authenticate": challenge.format(base_url(request), text)}
        raise ArmError(errors.UNAUTHORIZED, "ExpiredAuthenticationToken", text, headers=headers)
    return ANYONE
