"""Token and metadata endpoints: enough of IMDS, Entra ID and /metadata/endpoints for azure-identity, az and Go SDKs.

Checks no secret: whoever asks gets a token, because what is emulated is Azure, not its front gate. The JWTs are
unsigned in all but shape; clients decode their claims and never check the signature.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

# azure-identity renews a token when less than 5 minutes are left; real ones for managed identities live 24 h.
LIFETIME_SECONDS = 24 * 3600
CLIENT_ID = "00000000-0000-0000-0000-00000000c11e"


def token(*, tenant: str, audience: str, client_id: str, issuer: str) -> str:
    """A JWT with the claims that clients read (tid, oid, appid, exp)."""
    now = int(time.time())
    claims = {
        "aud": audience, "iss": issuer, "iat": now, "nbf": now, "exp": now + LIFETIME_SECONDS, "appid": client_id,
        "tid": tenant, "oid": str(uuid.uuid5(uuid.NAMESPACE_OID, client_id)), "sub": client_id, "ver": "1.0",
    }  # fmt: skip
    header = {"typ": "JWT", "alg": "RS256", "kid": "emulated"}
    return ".".join((_encode(header), _encode(claims), _segment(b"emulated")))


def grant(*, tenant: str, audience: str, client_id: str, issuer: str) -> dict[str, Any]:
    """Body of a token response, for the v2 endpoint (numbers) and IMDS (strings) alike."""
    return {
        "token_type": "Bearer",
        "expires_in": LIFETIME_SECONDS,
        "ext_expires_in": LIFETIME_SECONDS,
        "access_token": token(tenant=tenant, audience=audience, client_id=client_id, issuer=issuer),
    }


def managed_identity_grant(query: Mapping[str, str], *, tenant: str, issuer: str) -> dict[str, Any]:
    """IMDS's answer; it writes numbers as strings."""
    client_id = query.get("client_id") or CLIENT_ID
    resource = query.get("resource", "https://management.azure.com/")
    granted = grant(tenant=tenant, audience=resource, client_id=client_id, issuer=issuer)
    now = int(time.time())
    return {
        "access_token": granted["access_token"], "client_id": client_id, "resource": resource, "token_type": "Bearer",
        "expires_in": str(LIFETIME_SECONDS), "expires_on": str(now + LIFETIME_SECONDS), "not_before": str(now),
        "ext_expires_in": str(LIFETIME_SECONDS),
    }  # fmt: skip


def discovery(base_url: str, tenant: str) -> dict[str, Any]:
    """OpenID configuration of a tenant."""
    return {
        "issuer": f"{base_url}/{tenant}/v2.0",
        "authorization_endpoint": f"{base_url}/{tenant}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base_url}/{tenant}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{base_url}/{tenant}/oauth2/v2.0/devicecode",
        "jwks_uri": f"{base_url}/{tenant}/discovery/v2.0/keys",
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "tenant_region_scope": None,
        "cloud_instance_name": "emulated",
    }


def endpoints(base_url: str, tenant: str) -> dict[str, Any]:
    """Cloud metadata for api-version 2022-09-01: one object. az and Go read all other addresses from it."""
    host = base_url.split("//", 1)[1]
    return {
        "name": "AzureEmulated", "portal": base_url, "graph": base_url, "graphAudience": base_url, "batch": base_url,
        "media": base_url, "gallery": base_url, "resourceManager": f"{base_url}/",
        "activeDirectoryDataLake": base_url, "microsoftGraphResourceId": f"{base_url}/", "sqlManagement": base_url,
        "vmImageAliasDoc": f"{base_url}/aliases.json", "logAnalyticsResourceId": base_url,
        "authentication": {
            "loginEndpoint": base_url, "audiences": [base_url, "https://management.azure.com/"], "tenant": tenant,
            "identityProvider": "AAD",
        },
        "suffixes": {
            "storage": f"core.{host}", "keyVaultDns": f"vault.{host}", "sqlServerHostname": f"database.{host}",
            "mysqlServerEndpoint": f"mysql.database.{host}", "acrLoginServer": f"azurecr.{host}",
            "azureDataLakeStoreFileSystem": f"azuredatalakestore.{host}",
            "azureDataLakeAnalyticsCatalogAndJob": f"azuredatalakeanalytics.{host}",
        },
    }  # fmt: skip


def expired(bearer: str, now: float) -> bool:
    """Whether a bearer is a JWT whose time is over; an opaque one never is."""
    parts = bearer.split(".")
    if len(parts) != 3:  # noqa: PLR2004 (header, claims, signature)
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"]) < now
    except (ValueError, KeyError, TypeError):
        return False


def _encode(value: Mapping[str, Any]) -> str:
    return _segment(json.dumps(value).encode())


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
