"""Real azure-mgmt clients, sync and aio, that speak plain HTTP with an opaque bearer, and what they return, checked.

Knows how the SDKs are built (operation groups, models, pollers), and nothing of the emulator.
"""

from __future__ import annotations

import importlib
import inspect
import re
import time
import typing
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from azure.core.credentials import AccessToken
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy, AsyncARMChallengeAuthenticationPolicy

SCOPE = "https://management.azure.com/.default"
_RAW = {str: str, bool: bool, int: int, float: (int, float)}


OPAQUE = "opaque"  # a bearer that will do wherever nobody looks at it


class Credential:
    """A token that is there already."""

    def __init__(self, token: str) -> None:
        self.token = token

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)


class AsyncCredential:
    """The same for aio."""

    def __init__(self, token: str) -> None:
        self.token = token

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> typing.Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


class PlainHttp(ARMChallengeAuthenticationPolicy):
    """Lets a bearer travel over plain HTTP, which is fine on loopback only."""

    def on_request(self, request: Any) -> None:
        request.context.options.setdefault("enforce_https", False)
        super().on_request(request)


class AsyncPlainHttp(AsyncARMChallengeAuthenticationPolicy):
    """The same for aio."""

    async def on_request(self, request: Any) -> None:
        request.context.options.setdefault("enforce_https", False)
        await super().on_request(request)


class Sdk:
    """Every client of one emulator, made when it is first used."""

    def __init__(self, url: str, subscription: str, *, aio: bool = False, token: str = OPAQUE) -> None:
        self.url, self.subscription, self.aio = url, subscription, aio
        self._clients: dict[str, Any] = {}
        self.credential = (AsyncCredential if aio else Credential)(token)

    def client(self, package: str) -> Any:
        """The client of a package below azure.mgmt, such as compute or resource.locks."""
        if package not in self._clients:
            module = importlib.import_module(f"azure.mgmt.{package}{'.aio' if self.aio else ''}")
            kind = getattr(module, module.__all__[0])
            policy = AsyncPlainHttp if self.aio else PlainHttp
            options: dict[str, Any] = {
                "base_url": self.url, "credential_scopes": [SCOPE], "retry_total": 0,
                "authentication_policy": policy(self.credential, SCOPE),
            }  # fmt: skip
            if "subscription_id" in inspect.signature(kind.__init__).parameters:
                options["subscription_id"] = self.subscription
            self._clients[package] = kind(self.credential, **options)
        return self._clients[package]

    def method(self, package: str, group: str, name: str) -> Any:
        """A method of an operation group; `group` is its class without the ending Operations."""
        client = self.client(package)
        if type(client).__name__ == group:
            return getattr(client, name)
        owner = next(one for one in vars(client).values() if type(one).__name__ == f"{group}Operations")
        return getattr(owner, name)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.close()


def finish(result: Any) -> Any:
    """What a call of a sync client comes to: pollers followed to their end, lists read to theirs."""
    if hasattr(result, "polling_method"):
        return finish(result.result())
    return list(result) if isinstance(result, Iterator) else result


async def afinish(result: Any) -> Any:
    """The same for aio clients."""
    if inspect.isawaitable(result) and not hasattr(result, "polling_method"):
        result = await result
    if hasattr(result, "polling_method"):
        return await afinish(await result.result())
    return [item async for item in result] if isinstance(result, AsyncIterator) else result


@dataclass(frozen=True)
class Problem:
    """What is not as a model has it."""

    where: str
    what: str  # the model and its member, such as NatGatewaySku.tier
    why: str

    def __str__(self) -> str:
        return f"{self.where} ({self.what}) {self.why}"


def problems(value: Any, where: str = "") -> Iterator[Problem]:
    """What in a returned value is not as the SDK's model has it.

    Every attribute is read, which deserializes it; wrong JSON types, members that no model knows and those missing
    that a model always has are named.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(item, f"{where}[{index}]")
    elif hasattr(type(value), "_attribute_map"):
        yield from _old_problems(value, where)
    elif hasattr(type(value), "_attr_to_rest_field"):
        yield from _model_problems(value, where)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from problems(item, f"{where}.{key}")


def _old_problems(value: Any, where: str) -> Iterator[Problem]:
    model = type(value).__name__
    for attribute, rules in type(value)._validation.items():
        if rules.get("required") and getattr(value, attribute, None) is None:
            yield Problem(f"{where}.{attribute}", f"{model}.{attribute}", "is missing")
    for attribute in type(value)._attribute_map:
        yield from problems(getattr(value, attribute, None), f"{where}.{attribute}")
    for name in getattr(value, "additional_properties", None) or {}:
        yield Problem(f"{where}.{name}", f"{model}.{name}", "is unknown")


def _model_problems(value: Any, where: str) -> Iterator[Problem]:
    model, hints = type(value).__name__, _hints(type(value))
    known = {field._rest_name for field in value._attr_to_rest_field.values()}
    for name in set(value._data) - known:
        yield Problem(f"{where}.{name}", f"{model}.{name}", "is unknown")
    for attribute, field in value._attr_to_rest_field.items():
        raw, hint = value._data.get(field._rest_name), hints.get(attribute, Any)
        place = f"{where}.{field._rest_name}", f"{model}.{field._rest_name}"
        wanted, optional = _plain(hint)
        if raw is None:
            visible = field._visibility is None or "read" in field._visibility
            if not optional and visible:
                yield Problem(*place, "is missing")
            continue
        if wanted is not None and isinstance(raw, dict | list | str | int | float) and not _is(raw, wanted):
            yield Problem(*place, f"is a {type(raw).__name__} and no {wanted.__name__}: {raw!r}")
            continue
        yield from problems(getattr(value, attribute), f"{where}.{field._rest_name}")


def _is(raw: Any, wanted: type) -> bool:
    if wanted in (int, float) and isinstance(raw, bool):
        return False
    return isinstance(raw, _RAW[wanted])


def _plain(hint: Any) -> tuple[type | None, bool]:
    """The JSON type of a member where it is a simple one, and whether it may be absent."""
    arguments = typing.get_args(hint)
    optional = hint is Any or type(None) in arguments
    if typing.get_origin(hint) is typing.Union:
        kinds = [one for one in arguments if one is not type(None)]
        if len(kinds) == 1:
            return _plain(kinds[0])[0], optional
        names = {isinstance(one, type) and (one is str or issubclass(one, Enum)) for one in kinds}
        named = any(isinstance(one, typing.ForwardRef | str) for one in kinds)
        return (str if str in kinds and (names == {True} or named) else None), optional
    return (hint if hint in _RAW else None), optional


@lru_cache
def _hints(model: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(model.__mro__):
        found.update(inspect.get_annotations(base))
    return found


def snake(name: str) -> str:
    """A URL parameter's name without what separates words, for comparing."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
