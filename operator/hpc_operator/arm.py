"""The words between reconcile (which decides) and azure (which sends): answers, operations, errors, one protocol.

Knows nothing of the Azure SDK, so that the engine does not either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

Verb = Literal["PUT", "PATCH", "DELETE"]

CALLER: ContextVar[str] = ContextVar("CALLER", default="")
"""`namespace/name` of the environment on whose behalf requests are sent: environments share Azure's limits fairly."""


FAILED_STATES = frozenset({"failed", "canceled", "cancelled"})
"""Azure's word is `canceled`; some providers write two l."""


def provisioning_state(body: Mapping[str, Any] | None) -> str:
    """Return the provisioning state of a resource in lower case; one that has none is as good as `succeeded`."""
    properties = (body or {}).get("properties")
    state = properties.get("provisioningState") if isinstance(properties, dict) else None
    return str(state or "succeeded").lower()


def succeeded(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a resource as it is when its operation has succeeded."""
    properties = body.get("properties")
    if not isinstance(properties, dict) or "provisioningState" not in properties:
        return body
    return {**body, "properties": {**properties, "provisioningState": "Succeeded"}}


def is_final(state: str) -> bool:
    """Whether a state in lower case is an end."""
    return state == "succeeded" or state in FAILED_STATES


class ErrorClass(StrEnum):
    """What an error means for the one who has to go on."""

    TRANSIENT = "Transient"
    """Try again, with backoff or after what Azure said."""
    ORDERING = "Ordering"
    """Something else must be finished or gone first; try again."""
    CAPACITY = "Capacity"
    """Azure has no room for this size here; another size or a later time may do."""
    QUOTA = "Quota"
    """A limit of the subscription; someone has to raise it."""
    CREDENTIALS = "Credentials"
    """Azure does not know us, or no token could be had."""
    PERMANENT = "Permanent"
    """Will not work until the spec, a right or something outside changes."""


class AzureError(Exception):
    """A request or an operation that Azure did not carry out.

    Parameters
    ----------
    message
        Azure's own words, where it helps with a sentence of ours.
    code
        `error.code`, such as `SkuNotAvailable`; `Unreachable` where no answer came.
    status
        HTTP status; 0 where no answer came or a long-running operation failed.
    error_class
        What it means.
    retry_after
        Seconds that Azure asked us to wait, where it did.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        error_class: ErrorClass,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.error_class = error_class
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True)
class Started:
    """Azure's answer to a write.

    Parameters
    ----------
    body
        The resource as the answer showed it, None where it had no body.
    operation_url
        Where the long-running operation can be asked; empty where Azure gave no URL, None where the answer was final.
    retry_after
        Seconds that Azure asked us to wait before asking.
    """

    body: Mapping[str, Any] | None = None
    operation_url: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True)
class Handle:
    """A long-running operation as it is kept in status, so that any process can go on following it.

    Parameters
    ----------
    resource_id
        ARM id of the resource.
    verb
        The request that started it.
    url
        Operation URL; empty where Azure gave none: then the resource's own provisioning state is asked.
    start_time
        RFC 3339.
    """

    resource_id: str
    verb: Verb
    url: str
    start_time: str


@dataclass(frozen=True)
class Outcome:
    """How an operation ended; `error` is None where it succeeded."""

    handle: Handle
    error: AzureError | None = None


@dataclass(frozen=True)
class TypeInfo:
    """What the engine must know of a resource type: one row of the table in azure/.

    Parameters
    ----------
    type
        Such as `Microsoft.Network/virtualNetworks`.
    update
        The verb of an update.
    create_only
        Paths into the body that count only when the resource is made: Azure does not return them or refuses to change
        them. They are not compared.
    exclusive
        Types of which Azure allows one write at a time beneath or upon one resource: while a write of this type runs,
        no other write that has the same ancestor or reference of such a type may start.
    typical_seconds
        How long Azure usually takes to create one; used to start the longest path first.
    replace_on
        Paths that Azure shows and cannot change: where one differs, the resource has to be deleted and made anew.
    grow_only
        Paths to numbers that may not become smaller, because data would be lost or Azure refuses it.
    recovery
        The code of the refusal to make one because a deleted one can be brought back, and what the body needs for that;
        None where Azure keeps nothing of what was deleted.
    surveyed
        Whether a survey shows it; what it does not show is read one by one.
    """

    type: str
    update: Literal["PUT", "PATCH"] = "PUT"
    create_only: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    typical_seconds: float = 1.0
    replace_on: tuple[str, ...] = ()
    grow_only: tuple[str, ...] = ()
    surveyed: bool = True
    recovery: tuple[str, Mapping[str, Any]] | None = None


class Azure(Protocol):
    """What the engine asks of Azure. Every method raises `AzureError`, never anything else that a server can cause."""

    def type_info(self, resource_type: str) -> TypeInfo:
        """Return the row of a resource type.

        Raises
        ------
        KeyError
            If the table has no such type: a bug in a blueprint.
        """

    async def get(self, resource_id: str) -> Mapping[str, Any] | None:
        """Return the body of a resource, None if there is none."""

    async def survey(self, resource_group_id: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the bodies of everything in a resource group, itself and children included, by lower-case id.

        One wide read that many environments share. It may be a minute late, and lacks the types whose
        `TypeInfo.surveyed` is false: before anybody acts upon it, `get` has to confirm it.
        """

    async def put(self, resource_id: str, body: Mapping[str, Any]) -> Started:
        """Create or replace a resource."""

    async def patch(self, resource_id: str, body: Mapping[str, Any]) -> Started:
        """Change a resource."""

    async def delete(self, resource_id: str) -> Started:
        """Delete a resource; it is no error if there is none."""

    async def list_virtual_machines(self, resource_group_id: str) -> list[Mapping[str, Any]]:
        """Return the bodies of all virtual machines of a resource group, an empty list if there is no such group."""

    async def list_resources(self, resource_group_id: str) -> list[Mapping[str, Any]]:
        """Return id and tags of everything in a resource group, an empty list if there is no such group."""

    async def virtual_machine_error(self, resource_id: str) -> AzureError:
        """Return why a virtual machine is in the state Failed."""

    async def latest_image_version(self, location: str, reference: str) -> str:
        """Return the newest version of an image in a region.

        Parameters
        ----------
        location
            The region.
        reference
            `publisher:offer:sku:latest` of the marketplace, or the ARM id of an image definition of a gallery.
        """

    def follow(self, handle: Handle, done: Callable[[Outcome], None], *, retry_after: float | None = None) -> None:
        """Ask for an operation until it ends, then call `done` once. Following the same handle twice is one following.

        Parameters
        ----------
        handle
            The operation.
        done
            Called in the event loop with how it ended.
        retry_after
            Seconds before the first question; 0 asks at once, None waits as long as is usual.
        """

    def forget(self, resource_id: str) -> None:
        """Stop following what is known of a resource."""
