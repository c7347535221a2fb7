"""Microsoft Graph, as much of it as `az role assignment create` and `az ad sp` need, under /v1.0/ of the same host.

Knows the directory and no roles: whoever has a token for Graph may read and write here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from azure_emulator import errors
from azure_emulator.errors import ArmError
from azure_emulator.login import authenticate, base_url
from azure_emulator.providers import directory
from azure_emulator.providers.directory import GROUP, SERVICE_PRINCIPAL, USER, Entry

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator
    from azure_emulator.types import Principal

_TERM = re.compile(
    r"(?:(?P<name>\w+)\s+eq\s+'(?P<value>(?:[^']|'')*)'"
    r"|startswith\(\s*(?P<start>\w+)\s*,\s*'(?P<prefix>(?:[^']|'')*)'\s*\)"
    r"|(?P<each>\w+)/any\(\s*(\w+)\s*:\s*\w+\s+eq\s+'(?P<member>(?:[^']|'')*)'\s*\))",
    re.IGNORECASE,
)
_BY_APP_ID = re.compile(r"^\(appId='([^']*)'\)$", re.IGNORECASE)
_CREATED = 201


class GraphError(Exception):
    """A refusal in Graph's own form."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Graph:
    """Handlers of one emulator's Microsoft Graph."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._engine = emulator.engine

    def routes(self) -> list[web.RouteDef]:
        """Whatever is below /v1.0/; the addresses that az puts together may begin with two slashes."""
        return [web.route("*", "/{slash:/?}v1.0/{path:.*}", self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        """Any request."""
        self._engine.settle()
        try:
            principal = authenticate(self._emulator, request)
            body = await request.json() if request.can_read_body else None
            status, document = self._answer(request, principal, body)
        except ArmError as error:
            refusal = GraphError(error.status, "InvalidAuthenticationToken", error.message)
            return _respond(refusal.status, _body_of(refusal), error.headers)
        except ValueError:
            return _respond(400, _body_of(GraphError(400, "BadRequest", "Unable to read JSON request payload.")))
        except GraphError as error:
            return _respond(error.status, _body_of(error))
        self._emulator.commit()
        return _respond(status, document)

    def _answer(self, request: web.Request, principal: Principal, body: Any) -> tuple[int, Any]:
        collection, *rest = [part for part in request.match_info["path"].split("/") if part] or [""]
        named = collection.partition("(")
        collection, key = named[0].lower(), f"({named[2]}" if named[1] else "/".join(rest[:1])
        more = rest if named[1] else rest[1:]
        if collection == "me" and request.method == "GET":
            return 200, self._me(principal)
        if collection == "directoryobjects" and key.lower() == "getbyids" and request.method == "POST":
            return 200, self._by_ids(request, body)
        found = _COLLECTIONS.get(collection)
        if found is None:
            raise _unsupported(f"Resource not found for the segment '{collection}'.")
        match request.method, key, more:
            case "GET", "", []:
                return 200, self._list(request, found)
            case "GET", _, []:
                return 200, found.shown(self._require(found, key), self._emulator.tenant)
            case "GET", _, ["members"]:
                return 200, {"value": [_object(entry, self._emulator.tenant) for entry in self._members(key)]}
            case "POST", "", [] if found.create is not None and isinstance(body, dict):
                return _CREATED, found.shown(found.create(self, body), self._emulator.tenant)
            case "POST", _, ["addPassword"] if collection == "applications":
                return 200, self._add_password(self._require(found, key), body)
            case "DELETE", _, []:
                directory.remove(self._engine, self._require(found, key).object_id)
                return 204, None
        raise _unsupported(f"{request.method} is not supported here.")

    # -- reading -----------------------------------------------------------------------------------------------------

    def _me(self, principal: Principal) -> dict[str, Any]:
        entry = directory.by_object_id(self._engine, principal.object_id)
        if principal.kind != USER:
            raise GraphError(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        return _user(entry or Entry(principal.object_id, USER, principal.name, user_principal_name=principal.name), "")

    def _list(self, request: web.Request, collection: _Collection) -> dict[str, Any]:
        text = request.query.get("$filter", "")
        shown = [
            document
            for entry in directory.entries(self._engine)
            if entry.kind == collection.kind and (collection.managed or not entry.managed)
            and _matches(document := collection.shown(entry, self._emulator.tenant), text)
        ]  # fmt: skip
        context = f"{base_url(request)}/v1.0/$metadata#{collection.name}"
        return {"@odata.context": context, "value": shown}

    def _require(self, collection: _Collection, key: str) -> Entry:
        by_app_id = _BY_APP_ID.match(key)
        if by_app_id is not None:
            entry = directory.by_app_id(self._engine, by_app_id[1])
        elif collection.kind == USER and "@" in key:
            entry = directory.by_user_name(self._engine, key)
        elif collection.name == "applications":
            found = (entry for entry in directory.entries(self._engine) if entry.application_id)
            entry = next((entry for entry in found if entry.application_id.lower() == key.lower()), None)
        else:
            entry = directory.by_object_id(self._engine, key)
        if entry is None or (collection.kind and entry.kind != collection.kind):
            raise GraphError(
                errors.NOT_FOUND, "Request_ResourceNotFound", f"Resource '{key}' does not exist or one of its queried "
                "reference-property objects are not present."
            )  # fmt: skip
        return entry

    def _members(self, key: str) -> list[Entry]:
        group = self._require(_COLLECTIONS["groups"], key)
        found = (directory.by_object_id(self._engine, member) for member in group.members)
        return [entry for entry in found if entry is not None]

    def _by_ids(self, request: web.Request, body: Any) -> dict[str, Any]:
        ids = body.get("ids") if isinstance(body, dict) else None
        if not isinstance(ids, list):
            raise GraphError(400, "Request_BadRequest", "'ids' lists the object ids that are asked for.")
        wanted = {str(one).lower() for one in ids}
        kinds = {str(one).lower() for one in body.get("types") or ()}
        shown = [
            _object(entry, self._emulator.tenant)
            for entry in directory.entries(self._engine)
            if entry.object_id.lower() in wanted and (not kinds or entry.kind.lower() in kinds)
        ]
        return {"@odata.context": f"{base_url(request)}/v1.0/$metadata#directoryObjects", "value": shown}

    # -- writing -----------------------------------------------------------------------------------------------------

    def create_application(self, body: dict[str, Any]) -> Entry:
        """An application comes with its service principal here."""
        name = body.get("displayName")
        if not name:
            raise GraphError(400, "Request_BadRequest", "'displayName' of an application must be given.")
        return directory.add_application(self._engine, str(name))

    def create_service_principal(self, body: dict[str, Any]) -> Entry:
        """The service principal that came with the application."""
        entry = directory.by_app_id(self._engine, str(body.get("appId", "")))
        if entry is None:
            raise GraphError(
                400, "Request_BadRequest", f"The appId '{body.get('appId')}' of the service principal does not "
                "reference a valid application object."
            )  # fmt: skip
        return entry

    def create_group(self, body: dict[str, Any]) -> Entry:
        """A group without members."""
        return directory.add_group(self._engine, str(body.get("displayName", "")), ())

    def create_user(self, body: dict[str, Any]) -> Entry:
        """A user."""
        name = body.get("userPrincipalName")
        if not name:
            raise GraphError(400, "Request_BadRequest", "'userPrincipalName' of a user must be given.")
        return directory.add_user(self._engine, str(name), name=str(body.get("displayName", "")))

    def _add_password(self, entry: Entry, body: Any) -> dict[str, Any]:
        asked = body.get("passwordCredential") if isinstance(body, dict) else None
        name = str(asked.get("displayName") or "") if isinstance(asked, dict) else ""
        secret, shown = directory.add_secret(self._engine, entry.app_id, name=name)
        return {**shown, "secretText": secret}


class _Collection:
    """One kind of directory object."""

    def __init__(
        self, name: str, kind: str, shown: Callable[[Entry, str], dict[str, Any]], *, managed: bool = True,
        create: Callable[[Graph, dict[str, Any]], Entry] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.kind = kind
        self.shown = shown
        self.managed = managed
        self.create = create


def _user(entry: Entry, tenant: str) -> dict[str, Any]:  # noqa: ARG001 (like its neighbours)
    return {
        "id": entry.object_id, "displayName": entry.name, "userPrincipalName": entry.user_principal_name,
        "mail": entry.user_principal_name, "givenName": None, "surname": None, "jobTitle": None, "mobilePhone": None,
        "businessPhones": [], "officeLocation": None, "preferredLanguage": None,
    }  # fmt: skip


def _group(entry: Entry, tenant: str) -> dict[str, Any]:  # noqa: ARG001 (like its neighbours)
    return {"id": entry.object_id, "displayName": entry.name, "securityEnabled": True, "mailEnabled": False,
            "groupTypes": [], "mailNickname": entry.name}  # fmt: skip


def _application(entry: Entry, tenant: str) -> dict[str, Any]:  # noqa: ARG001 (like its neighbours)
    return {"id": entry.application_id, "appId": entry.app_id, "displayName": entry.name, "identifierUris": [],
            "signInAudience": "AzureADMyOrg", "passwordCredentials": [], "keyCredentials": []}  # fmt: skip


def _service_principal(entry: Entry, tenant: str) -> dict[str, Any]:
    explicit = not entry.system_assigned
    return {
        "id": entry.object_id, "appId": entry.app_id, "displayName": entry.name, "appDisplayName": entry.name,
        "accountEnabled": True, "appOwnerOrganizationId": tenant, "passwordCredentials": [], "keyCredentials": [],
        "servicePrincipalType": "ManagedIdentity" if entry.managed else "Application",
        "servicePrincipalNames": [entry.app_id],
        "alternativeNames": [f"isExplicit={explicit}", entry.resource_id] if entry.managed else [],
    }  # fmt: skip


def _object(entry: Entry, tenant: str) -> dict[str, Any]:
    name, shown = {
        USER: ("user", _user), GROUP: ("group", _group), SERVICE_PRINCIPAL: ("servicePrincipal", _service_principal),
    }[entry.kind]  # fmt: skip
    return {"@odata.type": f"#microsoft.graph.{name}", **shown(entry, tenant)}


_COLLECTIONS = {
    collection.name.lower(): collection
    for collection in (
        _Collection("users", USER, _user, create=Graph.create_user),
        _Collection("groups", GROUP, _group, create=Graph.create_group),
        _Collection("applications", SERVICE_PRINCIPAL, _application, managed=False, create=Graph.create_application),
        _Collection("servicePrincipals", SERVICE_PRINCIPAL, _service_principal, create=Graph.create_service_principal),
        _Collection("directoryObjects", "", _object),
    )
}


def _matches(document: dict[str, Any], text: str) -> bool:
    """Whether an object fits a filter: terms joined by `and`, or by `or`."""
    if not text.strip():
        return True
    joined = re.split(r"\s+(and|or)\s+(?=(?:[^']*'[^']*')*[^']*$)", text.strip(), flags=re.IGNORECASE)
    results = [_holds(document, term) for term in joined[0::2]]
    words = {word.lower() for word in joined[1::2]}
    if len(words) > 1:
        raise _unsupported("'and' and 'or' in one filter are not supported.")
    return any(results) if "or" in words else all(results)


def _holds(document: dict[str, Any], text: str) -> bool:
    term = _TERM.fullmatch(text.strip())
    if term is None:
        raise _unsupported(f"Unsupported or invalid query filter clause specified: '{text}'.")
    known = {name.lower(): value for name, value in document.items()}

    def unquoted(name: str) -> str:
        return str(term[name]).replace("''", "'").lower()

    if term["name"]:
        return str(known.get(term["name"].lower(), "")).lower() == unquoted("value")
    if term["start"]:
        return str(known.get(term["start"].lower(), "")).lower().startswith(unquoted("prefix"))
    members: Iterable[Any] = known.get(term["each"].lower()) or ()
    return unquoted("member") in {str(member).lower() for member in members}


def _unsupported(message: str) -> GraphError:
    return GraphError(400, "Request_UnsupportedQuery", message)


def _body_of(error: GraphError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message, "innerError": {}}}


def _respond(status: int, document: Any, headers: dict[str, str] | None = None) -> web.Response:
    if document is None:
        return web.Response(status=status, headers=headers)
    return web.json_response(document, status=status, headers=headers)
