"""The admin API's part about people and programs: who is in the directory, what they may do, whom to trust.

Speaks the admin API's own JSON (admin.py lets requests in and turns a ValueError into a sentence). Roles that are given
here work at once, so that a newly switched-on emulator has somebody who may give out the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from aiohttp import web
from cryptography import x509
from pydantic import AfterValidator, Field

from azure_emulator.documents import Document
from azure_emulator.federation import ISSUERS
from azure_emulator.login import ARM_SCOPE, MANAGED_SECONDS, base_url
from azure_emulator.providers import authorization, directory
from azure_emulator.rights import roles

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator
    from azure_emulator.providers.directory import Entry

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", bound=Document)


def _certificate(text: str) -> str:
    try:
        x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        msg = "a certificate is written as PEM, beginning with -----BEGIN CERTIFICATE-----"
        raise ValueError(msg) from None
    return text


Pem = Annotated[str, AfterValidator(_certificate)]


class Given(Document):
    """A role, by name or id, and the scope in which it holds; the whole subscription if none is given."""

    role: str
    scope: str | None = None


class Application(Document):
    """An application with its service principal; without a secret and certificates it gets a random secret."""

    display_name: str
    app_id: str = ""
    object_id: str = ""
    secret: str = ""
    certificates: list[Pem] = Field(default_factory=list)
    roles: list[Given] = Field(default_factory=list)


class User(Document):
    """A user."""

    user_principal_name: str
    display_name: str = ""
    object_id: str = ""
    roles: list[Given] = Field(default_factory=list)


class Group(Document):
    """A group with the object ids of its members."""

    display_name: str
    members: list[str] = Field(default_factory=list)
    object_id: str = ""
    roles: list[Given] = Field(default_factory=list)


class Issuer(Document):
    """Whose tokens federated credentials may name: its keys, or the CA of its server; neither forgets it."""

    issuer: str
    jwks: dict[str, Any] | None = None
    ca: Pem | None = None


class Bearer(Document):
    """Whose token is wanted (an object id, an app id or a user principal name), and for what."""

    principal: str
    resource: str = ARM_SCOPE.removesuffix("/.default")


class DirectoryAdmin:
    """Handlers of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._engine = emulator.engine

    def table(self) -> list[tuple[str, str, Handler]]:
        """Routes for admin.py."""
        return [
            ("GET", "/emulator/directory", self.all),
            ("DELETE", "/emulator/directory/{id}", self.remove),
            ("POST", "/emulator/tokens", self.token),
        ]

    def commands(self) -> list[tuple[str, str, type[Document], Callable[[Any], Any]]]:
        """Routes for admin.py whose handlers take a checked document."""
        return [
            ("POST", "/emulator/applications", Application, self.application),
            ("POST", "/emulator/users", User, self.user),
            ("POST", "/emulator/groups", Group, self.group),
            ("PUT", "/emulator/issuers", Issuer, self.issuer),
        ]

    async def all(self, request: web.Request) -> web.Response:  # noqa: ARG002 (an aiohttp handler)
        """Everybody in the directory, managed identities included."""
        return web.json_response([_shown(entry) for entry in directory.entries(self._engine)])

    async def remove(self, request: web.Request) -> web.Response:
        """Take somebody out of the directory."""
        found = directory.remove(self._engine, request.match_info["id"])
        return web.Response(status=204 if found else 404)

    def application(self, asked: Application) -> dict[str, Any]:
        """Register an application; the answer is the only place that shows its secret."""
        given = self._roles(asked.roles)
        entry = directory.add_application(
            self._engine, asked.display_name, app_id=asked.app_id, object_id=asked.object_id,
            certificates=tuple(asked.certificates),
        )  # fmt: skip
        shown = _shown(entry)
        if asked.secret or not asked.certificates:
            shown["secret"], _ = directory.add_secret(self._engine, entry.app_id, asked.secret)
        self._assign(entry, given)
        return shown

    def user(self, asked: User) -> dict[str, Any]:
        """Register a user."""
        given = self._roles(asked.roles)
        entry = directory.add_user(
            self._engine, asked.user_principal_name, name=asked.display_name, object_id=asked.object_id
        )
        self._assign(entry, given)
        return _shown(entry)

    def group(self, asked: Group) -> dict[str, Any]:
        """Register a group."""
        given = self._roles(asked.roles)
        entry = directory.add_group(
            self._engine, asked.display_name, tuple(asked.members), object_id=asked.object_id
        )  # fmt: skip
        self._assign(entry, given)
        return _shown(entry)

    def issuer(self, asked: Issuer) -> dict[str, Any]:
        """Register the keys, or the CA, of an issuer whose discovery document cannot be read otherwise."""
        if asked.jwks is not None and not isinstance(asked.jwks.get("keys"), list):
            msg = 'jwks is a JSON Web Key Set; write {"keys": [...]}, as the issuer\'s jwks_uri answers'
            raise ValueError(msg)
        known = {key: row for key, row in self._engine.setting(ISSUERS, {}).items() if key != asked.issuer}
        row = {key: value for key, value in (("jwks", asked.jwks), ("ca", asked.ca)) if value is not None}
        if row:
            known[asked.issuer] = row
        self._engine.store.set(ISSUERS, known)
        return known

    async def token(self, request: web.Request) -> web.Response:
        """A token of anybody in the directory, without a password: for trying what a user may do."""
        asked = await _read(request, Bearer)
        wanted = asked.principal.lower()
        found = (
            entry
            for entry in directory.entries(self._engine)
            if wanted in (entry.object_id.lower(), entry.app_id.lower(), entry.user_principal_name.lower())
        )
        entry = next(found, None)
        if entry is None:
            msg = f"nobody in the directory is {asked.principal!r}; GET /emulator/directory lists who there is"
            raise ValueError(msg)
        issued = self._emulator.bearers.issue(entry, asked.resource, base_url(request), seconds=MANAGED_SECONDS)
        return web.json_response({"access_token": issued, "expires_in": MANAGED_SECONDS})

    def _roles(self, asked: list[Given]) -> list[tuple[roles.Role, str]]:
        """The roles that are meant, before anything is written."""
        everywhere = [f"/subscriptions/{one}" for one in self._engine.subscriptions.values()]
        given = []
        for one in asked:
            role = roles.find(self._engine, one.role) or roles.by_name(self._engine, one.role)
            if role is None:
                msg = f"there is no role {one.role!r}; write its name as `az role definition list` shows it, or its id"
                raise ValueError(msg)
            for scope in everywhere if one.scope is None else [one.scope]:
                if not scope.startswith("/") or not self._engine.exists(scope):
                    msg = f"the scope {scope!r} does not exist; write the id of a subscription, group or resource"
                    raise ValueError(msg)
                given.append((role, scope))
        return given

    def _assign(self, entry: Entry, given: list[tuple[roles.Role, str]]) -> None:
        self._engine.settle()
        for role, scope in given:
            authorization.assign(self._engine, scope, role, entry.object_id, entry.kind)


async def _read(request: web.Request, model: type[Model]) -> Model:
    return model.model_validate_json(await request.text())


def _shown(entry: Entry) -> dict[str, Any]:
    shown = {
        "objectId": entry.object_id, "kind": entry.kind, "displayName": entry.name, "appId": entry.app_id,
        "userPrincipalName": entry.user_principal_name, "resourceId": entry.resource_id, "members": list(entry.members),
    }  # fmt: skip
    return {key: value for key, value in shown.items() if value}
