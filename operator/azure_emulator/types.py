"""How a resource type is described: as data, with a hook only where a type really behaves.

Knows no particular type; the providers fill these in, the engine reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

if TYPE_CHECKING:
    from azure_emulator.arm_path import ArmPath
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Operation, Resource

NAME = re.compile(r"^[A-Za-z0-9_](?:[A-Za-z0-9_.\-]{0,78}[A-Za-z0-9_])?$")


@dataclass(frozen=True)
class Protocol:
    """How a resource provider tells a client to follow an operation.

    Paths are relative to the subscription, or begin with {resource}, and take {namespace}, {location}, {id}; None where
    the provider does not send that header. `retry_after` is what it sends at speed 1, None where recordings show no
    such header.
    """

    name: str
    status: str | None = None
    result: str | None = None
    result_on: frozenset[str] = frozenset({"PUT", "PATCH", "DELETE", "POST"})
    retry_after: int | None = 15
    status_query: str = ""
    result_query: str = ""
    # Network's status document has nothing but the status (azure-cli recordings); others add name and times.
    terse: bool = False
    percent: bool = True  # whether it says how far the operation is
    busy: str = "Conflict"  # error code for a write while another one of the same resource runs
    preempts: bool = False  # a newer write takes over from a running one instead of being refused


@dataclass(frozen=True)
class Verb:
    """What PUT or DELETE does: the statuses it answers, how long the work goes on, the state meanwhile."""

    seconds: float = 0.0  # 0: done when the answer leaves
    created: int = 201
    updated: int = 200
    creating: str = "Creating"
    updating: str = "Updating"
    update_seconds: float | None = None  # None: as long as a creation
    updated_at_once: int = 200  # an update that is done when the answer leaves
    body: bool = True
    deleted: int = 200  # DELETE of what is gone when the answer leaves

    def duration(self, *, exists: bool) -> float:
        """Seconds before jitter."""
        return self.update_seconds if exists and self.update_seconds is not None else self.seconds


@dataclass(frozen=True)
class Patch:
    """What PATCH does; `allowed` are the top-level keys and property paths that it may carry (None: any)."""

    seconds: float = 0.0
    status: int = 200
    updating: str = "Updating"
    allowed: frozenset[str] | None = None


TAGS_ONLY = Patch(allowed=frozenset({"tags"}))


@dataclass(frozen=True)
class Hold:
    """Deleting a resource is refused while a resource of type `by` refers to it."""

    by: str
    code: str
    message: str  # takes {id}, {name}, {holders}
    status: int = 400


@dataclass
class Change:
    """One write in the making, as hooks see it; `body` is what will be stored and hooks may add to it."""

    engine: Engine
    type: ResourceType
    path: ArmPath
    verb: str
    sent: dict[str, Any]
    body: dict[str, Any]
    before: dict[str, Any] | None
    internal: dict[str, Any]
    query: Mapping[str, str] = field(default_factory=dict)
    api_version: str = ""
    seconds: float = 0.0
    failure: ArmError | None = None
    # The operation that children written along with a parent follow.
    operation: Operation | None = None
    subscription: str = ""
    # Where the body of a parent lists its children: the parent's change, its children's, and those left out.
    parent: Change | None = None
    children: list[Change] = field(default_factory=list)
    omitted: list[Resource] = field(default_factory=list)
    # Writes of other resources that this one brings with it (a VM's disks and network interfaces).
    planned: list[Change] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Id of the resource that is written."""
        return self.path.text

    @property
    def exists(self) -> bool:
        """Whether it is an update."""
        return self.before is not None

    @property
    def properties(self) -> dict[str, Any]:
        """The `properties` of the body."""
        properties: dict[str, Any] = self.body.setdefault("properties", {})
        return properties

    @property
    def old(self) -> dict[str, Any]:
        """The `properties` before the write, empty for a creation."""
        return dict((self.before or {}).get("properties") or {})


@dataclass(frozen=True)
class Principal:
    """Who asks: what a token says of its bearer.

    Attributes
    ----------
    object_id
        `oid` of the token: what role assignments name as principalId.
    app_id
        `appid`, for service principals and managed identities; empty for users.
    name
        What messages and the activity log show: a user principal name, or the app id.
    kind
        User or ServicePrincipal.
    """

    object_id: str
    app_id: str = ""
    name: str = ""
    kind: str = "ServicePrincipal"


# An opaque bearer, which is let in as long as rights are not switched on.
ANYONE = Principal("00000000-0000-0000-0000-0000000000a1", name="anyone@emulated.example", kind="User")
# What the emulator does by itself or somebody does outside of the client's view.
SOMEBODY = Principal("00000000-0000-0000-0000-0000000000b0", name="somebody@emulated.example", kind="User")


@dataclass
class Call:
    """One request for something that is not plain storage: an action, or a list or document of its own."""

    engine: Engine
    method: str
    path: ArmPath
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    base_url: str
    api_version: str
    principal: Principal = ANYONE

    @property
    def subscription(self) -> str:
        """Subscription id of the path."""
        return self.path.subscription or ""


@dataclass
class Answer:
    """What goes back to the client."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """A POST on a resource. Without `seconds` it answers at once with what `run` returns."""

    run: Callable[[Call, Resource], Any] | None = None
    seconds: float = 0.0
    status: int = 200
    updating: str | None = None  # state that the resource shows meanwhile
    finished: Callable[[Engine, Resource, Operation], None] | None = None


@dataclass(frozen=True)
class ResourceType:
    """A resource type."""

    name: str
    protocol: Protocol
    put: Verb | None = field(default_factory=Verb)
    patch: Patch | None = None
    delete: Verb | None = field(default_factory=Verb)
    location: str | None = "required"  # required, global, or None for types without one
    tags: bool = True
    etag: str | None = None  # weak (W/"guid"), plain (guid), counter ("1") or None
    if_match: bool = False
    extension: bool = False  # lives on any scope, not only in a resource group
    name_pattern: re.Pattern[str] = NAME
    returns_deleted: bool = False  # a synchronous DELETE answers with what was deleted
    delete_missing: int = 204  # DELETE of what is not there: 204, or 404 where the resource provider says so
    has_state: bool = True  # shows properties.provisioningState
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    read_only: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    immutable_error: Callable[[str], ArmError] | None = None
    # What is asked of whoever names this resource in another one's body, such as "join/action" of a subnet.
    linked_action: str | None = None
    write_only: tuple[str, ...] = ()
    embedded: Mapping[str, str] = field(default_factory=dict)  # property -> child type whose instances it lists
    # First api-version whose PUT leaves children alone when the list is absent; None: absent means empty.
    embedded_kept_from: str | None = None
    holds: tuple[Hold, ...] = ()
    loose: tuple[str, ...] = ()  # referenced types that need not exist
    serialised: str | None = None  # ancestor type under which only one write runs at a time
    nested: str = "cascade"  # what deleting does with children: cascade, refuse, or sweep (one by one)
    separate: bool = False  # a child that a group's deletion deletes before its parent, not along with it
    delete_first: int = 50  # place in a resource group's deletion: lower goes earlier
    actions: Mapping[str, Action] = field(default_factory=dict)
    default_instance: Callable[[Engine, ArmPath], dict[str, Any]] | None = None  # exists without being created
    default_name: str = "default"  # name of that instance; takes {tenant}
    check: Callable[[Change], None] | None = None  # refuses, or completes the body
    accepted: Callable[[Change, Resource], None] | None = None  # the write is stored, its work has begun
    finished: Callable[[Engine, Resource, Operation], None] | None = None
    check_delete: Callable[[Engine, Resource, Mapping[str, str]], None] | None = None
    deleting: Callable[[Engine, Resource], None] | None = None
    deleted: Callable[[Engine, Resource], None] | None = None
    # Work that goes on: returns the next moment to look at the operation again, or None when it ends now.
    continues: Callable[[Engine, Resource, Operation], float | None] | None = None
    view: Callable[[Engine, Resource, dict[str, Any], Mapping[str, str]], None] | None = None
    keep: Callable[[Engine, Resource, Mapping[str, str]], bool] | None = None  # filter of lists
    depth: str = ""  # one line for `azure-emulator types`: what behaves beyond storage

    @property
    def key(self) -> str:
        """For comparing."""
        return self.name.lower()

    @property
    def namespace(self) -> str:
        """Provider namespace."""
        return self.name.split("/", 1)[0]

    @property
    def parent(self) -> str | None:
        """Type of the parent resource, None at the top."""
        head, _, _ = self.name.rpartition("/")
        return head if "/" in head else None


@dataclass
class DataCall:
    """One request to a data plane, such as a key vault's: its host begins with the resource's name."""

    engine: Engine
    method: str
    host: str
    name: str  # first label of the host: the vault's, the account's
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    base_url: str
    principal: Principal | None  # None: no bearer was sent, which a data plane answers with its own challenge


# None leaves the request to the resource type of that path, if there is one.
Function = Callable[[Call], Answer | None]
# Refuses a request by raising ArmError, before any resource provider sees it. The action is what Azure's roles name,
# such as Microsoft.Compute/virtualMachines/start/action.
Gate = Callable[[Call, str], None]
# Leaves out of a list what the caller may not see.
Screen = Callable[[Call, "list[Resource]"], "list[Resource]"]
# What happens at a moment set by `Engine.later`; the operation carries the resource's id and the arguments.
Timer = Callable[["Engine", "Operation"], None]
DataPlane = Callable[[DataCall], Answer]


@dataclass(frozen=True)
class Rate:
    """A limit on requests that a resource provider has besides ARM's: a token bucket.

    Attributes
    ----------
    name
        As the header x-ms-ratelimit-remaining-resource shows it.
    methods, types
        What counts: HTTP methods, and a regular expression for the whole type (operations' URLs included).
    size, per_minute
        Bucket size in requests, and how many come back each emulated minute.
    per
        region (of a subscription) or resource.
    code
        Of the 429's error.
    shown
        Whether x-ms-ratelimit-remaining-resource mentions it.
    """

    name: str
    methods: frozenset[str]
    types: str
    size: float
    per_minute: float
    per: str = "region"
    code: str = "TooManyRequests"
    shown: bool = True


@dataclass(frozen=True)
class Provider:
    """A resource provider: its types, and its functions (lists and documents that are no resources)."""

    namespace: str
    types: tuple[ResourceType, ...] = ()
    # (method, type path) -> function. A type path may be */{type} (whatever namespace) for what stands on any scope.
    functions: Mapping[tuple[str, str], Function] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    screens: tuple[Screen, ...] = ()
    timers: Mapping[str, Timer] = field(default_factory=dict)
    # Second label of the host -> what answers there: {"vault": ...} serves https://{name}.vault.{emulator}/.
    data_planes: Mapping[str, DataPlane] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()

    def joined(self, other: Provider) -> Provider:
        """One provider of what two modules say of the same namespace."""
        return Provider(
            self.namespace, (*self.types, *other.types), {**self.functions, **other.functions},
            (*self.gates, *other.gates), (*self.screens, *other.screens), {**self.timers, **other.timers},
            {**self.data_planes, **other.data_planes},
            (*self.rates, *other.rates),
        )  # fmt: skip


@dataclass(frozen=True)
class Execution:
    """What came of a script that ran inside a VM; times are emulated seconds."""

    exit_code: int
    output: str = ""
    error: str = ""
    start: float = 0.0
    end: float = 0.0
    timed_out: bool = False  # it was ended because it took longer than it may


class Guests(Interface):
    """What runs inside VMs. All calls return at once and raise nothing: a guest that fails says so on its console."""

    def start(self, vm: Resource) -> None:
        """Boot: the VM was provisioned, started, restarted or redeployed."""

    def stop(self, vm: Resource, *, deallocate: bool) -> None:
        """Power off; deallocation loses the temporary disk as well."""

    def reimage(self, vm: Resource) -> None:
        """Replace the OS disk's content by the image's, and boot."""

    def remove(self, vm: Resource) -> None:
        """The VM is gone for good."""

    def run(self, vm: Resource, script: str, *, arguments: tuple[str, ...] = (), user: str = "root",
            timeout: float | None = None) -> str:  # fmt: skip
        """Run a shell script inside; the ticket is for `result`."""

    def result(self, ticket: str) -> Execution | None:
        """What came of it, or None as long as it runs."""

    def console(self, vm: Resource) -> str:
        """The serial console's log since the first boot."""


class NoGuests:
    """VMs with nothing inside: boot at once, and every script succeeds without output."""

    def start(self, vm: Resource) -> None:
        """Nothing boots."""

    def stop(self, vm: Resource, *, deallocate: bool) -> None:
        """Nothing runs."""

    def reimage(self, vm: Resource) -> None:
        """Nothing is on the disk."""

    def remove(self, vm: Resource) -> None:
        """Nothing is left."""

    def run(self, vm: Resource, script: str, *, arguments: tuple[str, ...] = (), user: str = "root",
            timeout: float | None = None) -> str:  # fmt: skip
        """Nothing is run."""
        del vm, script, arguments, user, timeout
        return ""

    def result(self, ticket: str) -> Execution | None:
        """Success, for lack of anything that could fail."""
        del ticket
        return Execution(exit_code=0)

    def console(self, vm: Resource) -> str:
        """A console on which only the name stands."""
        return f"{vm.name} login: \n"
