"""Who asks: Entra ID's token endpoints, IMDS's identity endpoint, /metadata/endpoints, and what a bearer token proves.

Tokens are real: signed, with the claims that clients and ARM read. Whether secrets and assertions are checked before
one is given out is the setting `login`: "trusting" gives everybody what they ask for, "strict" does as Entra ID does.
It is strict by default where rights are on. Knows no resource type but the identities that directory.py tells of.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aiohttp import web

from azure_emulator import cloud, errors, tokens
from azure_emulator.errors import ArmError
from azure_emulator.federation import Federation, LoginError
from azure_emulator.providers import directory
from azure_emulator.providers.compute import images
from azure_emulator.providers.directory import Entry
from azure_emulator.rights import access
from azure_emulator.tokens import InvalidTokenError, SigningKey, Token
from azure_emulator.types import ANYONE, Principal

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator
    from azure_emulator.store import Resource

SETTING, TRUSTING, STRICT = "login", "trusting", "strict"
# Setting: tenants beside our own for which tokens are given out too; ARM refuses those tokens.
OTHER_TENANTS = "otherTenants"
# Entra's tokens for applications live an hour, those of managed identities a day.
APPLICATION_SECONDS, MANAGED_SECONDS = 3600, 24 * 3600
# Who asks IMDS when nobody says which VM it is.
CLIENT_ID = "00000000-0000-0000-0000-00000000c11e"
# Says which VM a request to IMDS comes from: its id. Guests have it added on their way out.
VM_HEADER = "X-Emulated-VM"
ARM_AUDIENCES = (
    "https://management.core.windows.net/", "https://management.core.windows.net", "https://management.azure.com/",
    "https://management.azure.com",
)  # fmt: skip
ARM_SCOPE = "https://management.azure.com/.default"
_ANY_TENANT = frozenset({"common", "organizations"})
_STORAGE_PLANES = frozenset({"blob", "dfs", "file", "queue", "table"})
# Bearers whose signature was checked; each is about as long as the request that brings it.
_CHECKED_KEPT = 4096

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Login:
    """Request handlers of one emulator's token and metadata endpoints."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._federation = Federation(emulator.engine)

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/metadata/identity/oauth2/token", self.managed_identity),
            ("GET", "/msi/token", self.app_service_identity),
            # az puts a path behind an address that ends with a slash; Azure takes both.
            ("GET", "/{slash:/?}metadata/endpoints", self.endpoints),
            ("GET", "/aliases.json", self.aliases),
            ("POST", "/{tenant}/oauth2/v2.0/token", self.token),
            ("POST", "/{tenant}/oauth2/token", self.token),
            ("GET", "/{tenant}/v2.0/.well-known/openid-configuration", self.discovery),
            ("GET", "/{tenant}/.well-known/openid-configuration", self.discovery),
            ("GET", "/{tenant}/discovery/v2.0/keys", self.keys),
            ("GET", "/{tenant}/discovery/keys", self.keys),
            ("GET", "/common/discovery/instance", self.instance),
        ]
        return [web.route(method, path, self._settled(handler)) for method, path, handler in table]

    def _settled(self, handler: Handler) -> Handler:
        """Let happen what is due, answer, and keep what changed (a key, say) on disk."""

        async def settled(request: web.Request) -> web.StreamResponse:
            self._emulator.engine.settle()
            try:
                return await handler(request)
            except LoginError as error:
                return _refusal(error, request)
            finally:
                self._emulator.commit()

        return settled

    # -- managed identities ------------------------------------------------------------------------------------------

    async def managed_identity(self, request: web.Request) -> web.Response:
        """IMDS."""
        if request.headers.get("Metadata", "").lower() != "true":
            return _imds_refusal("Required metadata header not specified")
        if "X-Forwarded-For" in request.headers:
            return _imds_refusal("Request contains X-Forwarded-For header")
        return self._managed(request)

    async def app_service_identity(self, request: web.Request) -> web.Response:
        """What IDENTITY_ENDPOINT leads to in App Service; its secret header has to be there, whatever it says."""
        if not request.headers.get("X-IDENTITY-HEADER"):
            return web.json_response({"statusCode": 401, "message": "X-IDENTITY-HEADER is missing"}, status=401)
        return self._managed(request)

    def _managed(self, request: web.Request) -> web.Response:
        query = {key.lower(): value for key, value in request.query.items()}
        resource = query.get("resource")
        if not resource:
            return _imds_refusal("Required query variable 'resource' is missing")
        try:
            entry = self._identity(request, query)
        except LookupError as error:
            return _imds_refusal(str(error))
        issued = self._emulator.bearers.issue(entry, resource, base_url(request), seconds=MANAGED_SECONDS)
        now = int(time.time())
        # IMDS writes numbers as strings.
        return web.json_response({
            "access_token": issued, "client_id": entry.app_id, "resource": resource, "token_type": "Bearer",
            "expires_in": str(MANAGED_SECONDS), "expires_on": str(now + MANAGED_SECONDS), "not_before": str(now),
            "ext_expires_in": str(MANAGED_SECONDS),
        })  # fmt: skip

    def _identity(self, request: web.Request, query: Mapping[str, str]) -> Entry:
        """The identity that is asked for; LookupError says as IMDS does why there is none."""
        engine = self._emulator.engine
        vm = asking_vm(self._emulator, request)
        names = ("client_id", "clientid", "object_id", "principal_id", "msi_res_id", "mi_res_id")
        wanted = next((query[name].lower() for name in names if query.get(name)), None)
        if vm is None:
            # Nobody says which VM it is: any identity of the subscription will do.
            found = [entry for entry in directory.entries(engine) if entry.managed and wanted in _names_of(entry)]
            if not found and self._emulator.bearers.trusting:
                found = [_unknown(query.get("client_id") or CLIENT_ID)]
        else:
            own = directory.system_assigned(vm)
            assigned = _assigned(self._emulator, vm)
            if wanted is not None:
                everyone = [own, *assigned] if own is not None else assigned
                found = [entry for entry in everyone if wanted in _names_of(entry)]
            else:
                found = [own] if own is not None else assigned
            if wanted is None and len(found) > 1:
                msg = "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"  # noqa: E501
                raise LookupError(msg)
        if not found:
            msg = "Identity not found"
            raise LookupError(msg)
        return found[0]

    # -- Entra ID ----------------------------------------------------------------------------------------------------

    async def token(self, request: web.Request) -> web.Response:
        """The token endpoint: client credentials by secret, certificate or federated assertion."""
        form = {key: str(value) for key, value in (await request.post()).items()}
        version_2 = request.path.endswith("/v2.0/token")
        tenant = self._tenant(request.match_info["tenant"], form)
        trusting = self._emulator.bearers.trusting
        if not trusting:
            _require_parameters(form)
        client_id = form.get("client_id") or CLIENT_ID
        entry = directory.by_app_id(self._emulator.engine, client_id)
        if not trusting:
            entry = await self._prove(request, form, entry, tenant)
        audience = _audience(form, version_2=version_2, trusting=trusting)
        issued = self._emulator.bearers.issue(
            entry or _unknown(client_id), audience, base_url(request), tenant=tenant, seconds=APPLICATION_SECONDS
        )
        now = int(time.time())
        seconds: Any = APPLICATION_SECONDS
        granted = {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": issued}
        if not version_2:  # the older endpoint writes numbers as strings
            granted |= {"expires_in": str(seconds), "ext_expires_in": str(seconds), "resource": audience,
                        "expires_on": str(now + seconds), "not_before": str(now)}  # fmt: skip
        return web.json_response(granted)

    def _tenant(self, asked: str, form: Mapping[str, str]) -> str:
        ours = self._emulator.tenant
        others = [str(one) for one in self._emulator.engine.setting(OTHER_TENANTS, [])]
        known = next((one for one in (ours, *others) if one.lower() == asked.lower()), None)
        if known is not None:
            return known
        if self._emulator.bearers.trusting or (asked.lower() in _ANY_TENANT and "client_id" in form):
            return ours
        raise LoginError(
            90002, f"Tenant '{asked}' not found. Check to make sure you have the correct tenant ID and are signing "
            "into the correct cloud. Check with your subscription administrator, this may happen if there are no "
            "active subscriptions for the tenant.", error="invalid_request", status=errors.BAD_REQUEST,
        )  # fmt: skip

    async def _prove(self, request: web.Request, form: Mapping[str, str], entry: Entry | None, tenant: str) -> Entry:
        """Refuse whoever cannot show that it is that client."""
        if entry is None:
            raise LoginError(
                700016, f"Application with identifier '{form['client_id']}' was not found in the directory '{tenant}'. "
                "This can happen if the application has not been installed by the administrator of the tenant or "
                "consented to by any user in the tenant. You may have sent your authentication request to the wrong "
                "tenant.", error="unauthorized_client", status=errors.BAD_REQUEST,
            )  # fmt: skip
        if "client_assertion" in form:
            base = f"{base_url(request)}/{tenant}"
            audiences = (f"{base}/oauth2/v2.0/token", f"{base}/oauth2/token", f"{base}/v2.0", f"{base}/", base)
            await self._federation.verify(form["client_assertion"], entry, audiences)
        elif not directory.has_secret(self._emulator.engine, entry.app_id, form["client_secret"]):
            raise LoginError(
                7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client "
                f"secret value, not the client secret ID, for a secret added to app '{entry.app_id}'."
            )  # fmt: skip
        return entry

    async def discovery(self, request: web.Request) -> web.Response:
        """OpenID configuration of a tenant."""
        asked = request.match_info["tenant"]
        base = base_url(request)
        tenant = asked if asked.lower() in _ANY_TENANT else self._tenant(asked, {})
        version_2 = "/v2.0/" in request.path
        part = "/v2.0" if version_2 else ""
        return web.json_response({
            "issuer": f"{base}/{tenant}{part or '/'}",
            "authorization_endpoint": f"{base}/{tenant}/oauth2{part}/authorize",
            "token_endpoint": f"{base}/{tenant}/oauth2{part}/token",
            "device_authorization_endpoint": f"{base}/{tenant}/oauth2{part}/devicecode",
            "jwks_uri": f"{base}/{tenant}/discovery{part}/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nbf", "tid", "ver", "oid", "appid"],
            "tenant_region_scope": None,
            "cloud_instance_name": "emulated",
        })  # fmt: skip

    async def keys(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """The keys that our tokens are signed with."""
        return web.json_response(self._emulator.bearers.key.jwks)

    async def instance(self, request: web.Request) -> web.Response:
        """MSAL's instance discovery."""
        base = base_url(request)
        host = base.split("//", 1)[1]
        endpoint = f"{base}/{self._emulator.tenant}/v2.0/.well-known/openid-configuration"
        alias = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return web.json_response({"tenant_discovery_endpoint": endpoint, "metadata": [alias]})

    # -- the cloud ---------------------------------------------------------------------------------------------------

    async def endpoints(self, request: web.Request) -> web.Response:
        """Cloud metadata: one object since 2022-09-01, a list of them before."""
        document = cloud.metadata(base_url(request), self._emulator.tenant)
        older = request.query.get("api-version", "") < "2022-09-01"
        return web.json_response([document] if older else document)

    async def aliases(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Which images az means by names such as Ubuntu2204."""
        return web.json_response(images.alias_document())


class Bearers:
    """Gives out tokens, and says of a request's token whose it is."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._checked: dict[str, Token] = {}

    @cached_property
    def key(self) -> SigningKey:
        """What tokens are signed with; made when the first one is asked for, because that takes a while."""
        return SigningKey.of(self._emulator.store)

    @property
    def trusting(self) -> bool:
        """Whether whoever asks gets a token, and every token counts."""
        engine = self._emulator.engine
        default = STRICT if access.is_on(engine) else TRUSTING
        return str(engine.setting(SETTING, default)).lower() != STRICT

    def issue(self, entry: Entry, audience: str, base: str, *, tenant: str = "", seconds: int) -> str:
        """A token of that directory entry for an audience."""
        tenant, now = tenant or self._emulator.tenant, int(time.time())
        claims: dict[str, Any] = {
            "aud": audience, "iss": f"{base}/{tenant}/", "iat": now, "nbf": now, "exp": now + seconds,
            "idp": f"{base}/{tenant}/", "oid": entry.object_id, "sub": entry.object_id, "tid": tenant,
            "uti": uuid.uuid4().hex, "ver": "1.0",
        }  # fmt: skip
        if entry.kind == directory.USER:
            name = entry.user_principal_name
            claims |= {"appid": CLIENT_ID, "name": entry.name, "upn": name, "unique_name": name, "idtyp": "user",
                       "scp": "user_impersonation"}  # fmt: skip
        else:
            claims |= {"appid": entry.app_id, "appidacr": "2" if entry.managed else "1", "idtyp": "app"}
        if entry.managed:
            claims["xms_mirid"] = entry.resource_id
        return self.key.sign(claims)

    def authenticate(self, request: web.Request) -> Principal:
        """Who asks, or 401 with the challenge that SDKs understand."""
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not bearer:
            missing = "Authentication failed. The 'Authorization' header is missing."
            raise self._refused(request, "AuthenticationFailed", missing)
        token = self._read(bearer)
        if self.trusting:
            if token is None:
                return ANYONE
            if token.claims.get("exp") is not None:
                self._check_expiry(request, token)
            return _principal(token) if token.claim("oid") else ANYONE
        if token is None or not self._is_ours(bearer, token):
            raise self._refused(request, "InvalidAuthenticationToken", "The access token is invalid.")
        if not token.claim("oid"):
            raise self._refused(
                request, "InvalidAuthenticationToken", "The received access token is not valid: at least one of the "
                "claims 'puid' or 'altsecid' or 'oid' should be present. If you are accessing as an application please "
                "make sure service principal is properly created in the tenant."
            )  # fmt: skip
        self._check_expiry(request, token)
        self._check_audience(request, token)
        self._check_tenant(request, token)
        return _principal(token)

    def _read(self, bearer: str) -> Token | None:
        try:
            return self._checked.get(bearer) or tokens.read(bearer)
        except InvalidTokenError:
            return None

    def _is_ours(self, bearer: str, token: Token) -> bool:
        if bearer in self._checked:
            return True
        try:
            token.verify(self.key.public)
        except InvalidTokenError:
            return False
        if len(self._checked) >= _CHECKED_KEPT:
            self._checked.clear()
        self._checked[bearer] = token
        return True

    def _check_expiry(self, request: web.Request, token: Token) -> None:
        now = time.time()
        if token.expires < now:
            raise self._refused(
                request, "ExpiredAuthenticationToken", f"The access token expiry UTC time '{_spoken(token.expires)}' "
                f"is earlier than current UTC time '{_spoken(now)}'."
            )  # fmt: skip

    def _check_audience(self, request: web.Request, token: Token) -> None:
        allowed = audiences(self._emulator, request)
        found = {one.rstrip("/").lower() for one in token.audiences}
        if not found & {one.rstrip("/").lower() for one in allowed}:
            quoted = ",".join(f"'{one}'" for one in allowed)
            raise self._refused(
                request, "InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience "
                f"or resource '{token.audiences[0]}'. It should exactly match with one of the allowed audiences "
                f"{quoted}."
            )  # fmt: skip

    def _check_tenant(self, request: web.Request, token: Token) -> None:
        tenant = self._emulator.tenant
        if token.claim("tid").lower() != tenant.lower():
            base = base_url(request)
            raise self._refused(
                request, "InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer "
                f"'{token.claim('iss')}'. It must match the tenant '{base}/{tenant}/' associated with this "
                f"subscription. Please use the authority (URL) '{base}/{tenant}' to get the token. Note, if the "
                "subscription is transferred to another tenant there is no impact to the services, but information "
                "about new tenant could take time to propagate (up to an hour). If you just transferred your "
                "subscription and see this error message, please try back later."
            )  # fmt: skip

    def _refused(self, request: web.Request, code: str, message: str) -> ArmError:
        authority = f"{base_url(request)}/{self._emulator.tenant}"
        challenge = f'Bearer authorization_uri="{authority}", error="invalid_token", error_description="{message}"'
        return ArmError(errors.UNAUTHORIZED, code, message, headers={"WWW-Authenticate": challenge})


def base_url(request: web.Request) -> str:
    """How the client reached us: operation URLs must lead back the same way."""
    return f"{request.scheme}://{request.host}"


def authenticate(emulator: Emulator, request: web.Request) -> Principal:
    """Who asks, or 401."""
    return emulator.bearers.authenticate(request)


def audiences(emulator: Emulator, request: web.Request) -> tuple[str, ...]:
    """What a token has to be meant for at the host that is asked: ARM, or a data plane."""
    base = base_url(request)
    if request.path.lstrip("/").startswith("v1.0/"):
        return ("https://graph.microsoft.com/", base)
    name, _, rest = request.host.partition(".")
    label = rest.partition(".")[0].partition(":")[0]
    if name and label in emulator.engine.data_planes:
        service = "storage" if label in _STORAGE_PLANES else label
        return (f"https://{service}.azure.net", f"https://{service}.azure.com", f"{request.scheme}://{rest}", base)
    return (*ARM_AUDIENCES, base, emulator.url)


def _principal(token: Token) -> Principal:
    name = token.claim("upn") or token.claim("unique_name")
    if token.claims.get("idtyp") == "user" or name:
        return Principal(token.claim("oid"), name=name, kind=directory.USER)
    return Principal(token.claim("oid"), app_id=token.claim("appid"))


def _unknown(client_id: str) -> Entry:
    """An application that nobody registered; a trusting login gives it the same object id each time."""
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, client_id))
    return Entry(identity, directory.SERVICE_PRINCIPAL, client_id, app_id=client_id)


def _assigned(emulator: Emulator, vm: Resource) -> list[Entry]:
    identity = vm.body.get("identity")
    assigned = identity.get("userAssignedIdentities") if isinstance(identity, dict) else None
    found = (directory.user_assigned(emulator.engine, reference) for reference in assigned or {})
    return [entry for entry in found if entry is not None]


def _names_of(entry: Entry) -> set[str]:
    return {entry.app_id.lower(), entry.object_id.lower(), entry.resource_id.lower()}


def _require_parameters(form: Mapping[str, str]) -> None:
    def missing(name: str) -> LoginError:
        message = f"The request body must contain the following parameter: '{name}'."
        return LoginError(900144, message, error="invalid_request", status=errors.BAD_REQUEST)

    for name in ("grant_type", "client_id"):
        if not form.get(name):
            raise missing(name)
    if form["grant_type"] != "client_credentials":
        raise LoginError(
            70003, f"The app requested an unsupported grant type '{form['grant_type']}'.",
            error="unsupported_grant_type", status=errors.BAD_REQUEST,
        )  # fmt: skip
    if not form.get("client_secret") and not form.get("client_assertion"):
        raise LoginError(
            7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        )


def _audience(form: Mapping[str, str], *, version_2: bool, trusting: bool) -> str:
    asked = (form.get("scope") if version_2 else form.get("resource")) or form.get("scope") or form.get("resource")
    if asked is None and not trusting:
        name = "scope" if version_2 else "resource"
        message = f"The request body must contain the following parameter: '{name}'."
        raise LoginError(900144, message, error="invalid_request", status=errors.BAD_REQUEST)
    scope = (asked or ARM_SCOPE).split(maxsplit=1)[0]
    if version_2 and not trusting and not scope.endswith("/.default"):
        raise LoginError(
            1002012, f"The provided value for scope {asked} is not valid. Client credential flows must have a scope "
            "value with /.default suffixed to the resource identifier (application ID URI).",
            error="invalid_scope", status=errors.BAD_REQUEST,
        )  # fmt: skip
    return scope.removesuffix("/.default")


def _refusal(error: LoginError, request: web.Request) -> web.Response:
    trace, correlation = str(uuid.uuid4()), request.headers.get("client-request-id") or str(uuid.uuid4())
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    traced = f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {moment}"
    description = f"AADSTS{error.code}: {error.message} {traced}"
    document = {
        "error": error.error, "error_description": description, "error_codes": [error.code], "timestamp": moment,
        "trace_id": trace, "correlation_id": correlation, "error_uri": f"{base_url(request)}/error?code={error.code}",
    }  # fmt: skip
    return web.json_response(document, status=error.status)


def asking_vm(emulator: Emulator, request: web.Request) -> Resource | None:
    """The virtual machine that a request to IMDS comes from; a guest cannot pass itself off as another one."""
    if emulator.guests is not None:
        found = emulator.guests.vm_of_address(request.remote or "")
        if found is not None:
            return found
    return emulator.engine.store.get(request.headers.get(VM_HEADER, ""))


def _imds_refusal(description: str) -> web.Response:
    document = {"error": "invalid_request", "error_description": description}
    return web.json_response(document, status=errors.BAD_REQUEST)


def _spoken(moment: float) -> str:
    """A time as ARM's messages write it: 6/6/2018 8:09:32 PM."""
    try:
        at = datetime.fromtimestamp(moment, UTC)
    except (ValueError, OverflowError, OSError):  # a moment beyond all calendars, from a token of whoever
        return str(moment)
    return f"{at.month}/{at.day}/{at.year} {at.hour % 12 or 12}:{at:%M:%S} {at:%p}"
