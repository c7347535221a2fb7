"""The one path of PUT, PATCH, GET, DELETE, lists and actions that every resource type takes, and the end of operations.

Knows ARM's rules but no type by name: types are data (types.py), their behaviour is hooks. It is synchronous and
does no I/O but the store's; what is due by the clock happens before anything is read, in the order of its due time.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import heapq
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from azure_emulator import bodies, errors, rules
from azure_emulator.arm_path import RESOURCE_GROUP, RESOURCES, ArmPath, parse
from azure_emulator.clock import Clock
from azure_emulator.errors import ArmError
from azure_emulator.following import follow, retry_after
from azure_emulator.late import LateView
from azure_emulator.shapes import Shapes
from azure_emulator.store import Operation, Resource, Store, resource_ids
from azure_emulator.types import (
    SOMEBODY,
    Action,
    Answer,
    Call,
    Change,
    Function,
    Guests,
    Hold,
    NoGuests,
    Patch,
    Principal,
    Provider,
    ResourceType,
    Verb,
)

# Operations take their model duration give or take this share: real ones are never twice the same.
JITTER = 0.2
# Lists are cut into pages of this many resources.
PAGE = 500
# An ARM-wide switch, in the terms of facts on AnotherOperationInProgress: it is seen both as an immediate 409 and as
# the failure of an operation that was accepted (Azure/bicep#5132). Setting `serialisedWrites` chooses.
SERIALISED_WRITES = ("refused", "failed")

# Verb of what `Engine.later` planned: no client ever sees these.
LATER = "LATER "

# How long a new resource stays unseen by GET; see `_read`.
VISIBLE_AFTER_SECONDS = 0.0

# ARM began in 2014; SDKs may be a little ahead of the emulated clock.
API_VERSION_FIRST = date(2014, 1, 1)
API_VERSION_AHEAD = timedelta(days=366)

# Questions that are asked by POST: Azure's roles count them as reading.
_CHECKS = re.compile(r"/check[a-z]*availability$", re.IGNORECASE)
_API_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(-[A-Za-z0-9.]+)?$")


class Engine:
    """All resources of the emulated subscriptions, and the rules by which they change."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        providers: Iterable[Provider],
        subscriptions: Iterable[str],
        tenant: str,
        seed: int = 0,
        guests: Guests | None = None,
    ) -> None:
        self.store = store
        self.store.now = lambda: self.now
        # Settings that come from where the emulator is reached; not kept, because it may be elsewhere next time.
        self.own_settings: dict[str, Any] = {}
        self.shapes = Shapes()
        self.guests: Guests = guests or NoGuests()
        self.clock = clock
        self.seed = seed
        self.tenant = tenant
        self.subscriptions = {subscription.lower(): subscription for subscription in subscriptions}
        self.providers: dict[str, Provider] = {}
        for provider in providers:
            known = self.providers.get(provider.namespace.lower())
            self.providers[provider.namespace.lower()] = provider if known is None else known.joined(provider)
        self.types: dict[str, ResourceType] = {
            kind.key: kind for provider in self.providers.values() for kind in provider.types
        }
        self.functions: dict[tuple[str, str], Function] = {
            (method, name.lower()): function
            for provider in self.providers.values()
            for (method, name), function in provider.functions.items()
        }
        self.gates = [gate for provider in self.providers.values() for gate in provider.gates]
        self.screens = [screen for provider in self.providers.values() for screen in provider.screens]
        self.timers = {name: timer for provider in self.providers.values() for name, timer in provider.timers.items()}
        self.data_planes = {
            label: plane for provider in self.providers.values() for label, plane in provider.data_planes.items()
        }
        # The moment at which what happens now happens: the end of the operation that is being settled, or the present.
        self.now = clock.elapsed
        # Who asks for what happens now; nobody in particular where an operation ends by itself.
        self.principal = SOMEBODY
        # Set by the fault script for the operation that the current request starts.
        self.planned_failure: ArmError | None = None
        # Likewise how that operation ends, and the state that it leaves its resource in if not its own.
        self.planned_end: tuple[str, str | None] | None = None
        self.started: Operation | None = None
        # The fault script's part in requests from within; may raise, or set the two above.
        self.interfere: Callable[[str, ArmPath], None] = lambda _method, _path: None
        # Private addresses allotted by checks of the current request, before their resources are stored.
        self.reserved: set[tuple[str, str]] = set()
        self._due: list[tuple[float, int, str]] = []
        self._count = 0
        self.reload()

    def reload(self) -> None:
        """Take in what runs, at the start and when the store holds something else than before."""
        self._due.clear()
        for operation in self.store.operations.values():
            if operation.running:
                self._schedule(operation)
        self.late = LateView(self)

    # -- time --------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let everything happen that is due by now, in order."""
        present = self.clock.elapsed
        self.principal = SOMEBODY
        while self._due and self._due[0][0] <= present:
            end, _, identity = heapq.heappop(self._due)
            operation = self.store.operations.get(identity)
            if operation is not None and operation.running and operation.end == end:
                self.now = end
                self._finish(operation)
        self.now = present

    @property
    def next_due(self) -> float | None:
        """The emulated moment at which the next operation ends."""
        return self._due[0][0] if self._due else None

    def jittered(self, seconds: float, *what: str) -> float:
        """A duration with its jitter: a function of the seed and the resource, whatever the order of requests."""
        digest = hashlib.sha256("|".join((str(self.seed), *what)).lower().encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        return seconds * (1 + JITTER * (2 * share - 1))

    def guid(self) -> str:
        """A new GUID; the same ones in the same order for the same seed."""
        count = self.store.settings.get("guids", 0) + 1
        self.store.set("guids", count)
        return str(uuid.UUID(bytes=hashlib.sha256(f"{self.seed}|guid|{count}".encode()).digest()[:16], version=4))

    def setting(self, name: str, default: Any = None) -> Any:
        """A tunable: as it was set, or as this emulator's address makes it, or as Azure has it."""
        return self.store.settings.get(name, self.own_settings.get(name, default))

    # -- requests ----------------------------------------------------------------------------------------------------

    def handle(self, call: Call) -> Answer:
        """Answer one ARM request of a client."""
        # What falls due now is not what the fault script spoke of.
        planned, end = self.planned_failure, self.planned_end
        self.planned_failure = self.planned_end = None
        self.settle()
        self.planned_failure, self.planned_end = planned, end
        return self.dispatch(call)

    def request(
        self, principal: Principal, method: str, path: str, body: Any = None, *, api_version: str, base_url: str = "",
        query: Mapping[str, str] | None = None,
    ) -> tuple[Answer, Operation | None]:  # fmt: skip
        """Make a request on a principal's behalf from within, as template deployments do; also out of hooks.

        Returns the answer and the operation that it started, if any; raises ArmError where it is refused. The fault
        script acts on it as on a client's, except on what somebody does who is not in the play.
        """
        outer, self.started = self.started, None
        planned = self.planned_failure, self.planned_end
        asking = self.principal
        call = Call(
            engine=self, method=method, path=parse(path), query=query or {}, headers={}, body=body, base_url=base_url,
            api_version=api_version, principal=principal,
        )  # fmt: skip
        try:
            if principal is not SOMEBODY:
                self.planned_failure = self.planned_end = None
                self.interfere(method, call.path)
            return self.dispatch(call), self.started
        finally:
            self.started, self.principal = outer, asking
            self.planned_failure, self.planned_end = planned

    def dispatch(self, call: Call) -> Answer:
        """Answer a request at the moment `now`."""
        self.started = None
        self.reserved.clear()
        self.principal = call.principal
        path = call.path
        self._check_api_version(call.api_version)
        if path.subscription and path.subscription.lower() not in self.subscriptions:
            message = f"The subscription '{path.subscription}' could not be found."
            raise ArmError(errors.NOT_FOUND, "SubscriptionNotFound", message)
        call.body = self.shapes.conform(call.method, path.type_name, call.body)
        action = action_of(call.method, path)
        for gate in self.gates:
            gate(call, action)
        function = self.functions.get((call.method, path.type_name.lower()))
        if function is None and not path.names and path.types:
            function = self.functions.get((call.method, f"*/{path.types[-1].lower()}"))
        if function is not None:
            self.require_group(path)
            answer = function(call)
            if answer is not None:
                return answer
        kind = self.types.get(path.type_name.lower())
        if kind is not None and path.is_resource:
            return self._resource(call, kind)
        if kind is not None and call.method == "GET":
            return self._list(call, kind)
        owner = self.types.get(path.type_name.lower().rpartition("/")[0])
        if owner is not None and call.method == "POST" and not path.is_resource:
            return self._act(call, owner)
        raise self._unknown(call)

    def _check_api_version(self, version: str) -> None:
        """Take every version that can be one: which ones a provider knows changes with every SDK."""
        if not version:
            raise errors.bad_request(
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        latest = (self.clock.at(self.now) + API_VERSION_AHEAD).date()
        if _API_VERSION.match(version):
            with contextlib.suppress(ValueError):
                if API_VERSION_FIRST <= date.fromisoformat(version[:10]) <= latest:
                    return
        raise errors.bad_request("InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")

    def _resource(self, call: Call, kind: ResourceType) -> Answer:
        match call.method:
            case "GET":
                return self._read(call, kind)
            case "PUT" if kind.put is not None:
                return self._put(call, kind, kind.put)
            case "PATCH" if kind.patch is not None:
                return self._patch(call, kind, kind.patch)
            case "DELETE" if kind.delete is not None:
                return self._delete(call, kind)
            case "HEAD":
                return self._head(call, kind)
        raise ArmError(
            errors.NOT_ALLOWED,
            "HttpMethodNotSupported",
            f"The http method '{call.method}' is not supported for a resource of type '{kind.name}'.",
        )

    def _unknown(self, call: Call) -> ArmError:
        path = call.path
        if path.namespace.lower() not in self.providers:
            message = f"The resource namespace '{path.namespace}' is invalid."
            return ArmError(errors.NOT_FOUND, "InvalidResourceNamespace", message)
        return ArmError(
            errors.NOT_FOUND,
            "InvalidResourceType",
            f"The resource type '{'/'.join(path.types)}' could not be found in the namespace '{path.namespace}' for "
            f"api version '{call.api_version}'.",
        )

    # -- reading -----------------------------------------------------------------------------------------------------

    def _read(self, call: Call, kind: ResourceType) -> Answer:
        resource = self._seen(call, kind)
        headers = self._etag_header(kind, resource)
        if resource.operation is not None:
            headers.update(retry_after(self, None))
        return Answer(200, self.view(resource, call.query), headers)

    def _head(self, call: Call, kind: ResourceType) -> Answer:
        try:
            self._seen(call, kind)
        except ArmError as error:
            return Answer(error.status)
        return Answer(204)

    def _seen(self, call: Call, kind: ResourceType) -> Resource:
        """What a read finds, which may be behind.

        ARM replicates between its regions: a read right after a creation may find nothing (azurerm#18268). For how
        long is unknown; a setting asks for it.
        """
        resource = self.require(call.path, kind)
        if self.now < resource.created + float(self.setting("visibleAfterSeconds", VISIBLE_AFTER_SECONDS)):
            if kind.name == RESOURCE_GROUP:
                raise errors.resource_group_not_found(call.path.name)
            raise errors.resource_not_found(kind.name, "/".join(call.path.names), call.path.resource_group or "")
        return resource

    def require(self, path: ArmPath, kind: ResourceType | None = None) -> Resource:
        """The resource of that path, or ARM's 404."""
        kind = kind or self.types[path.type_name.lower()]
        self.require_group(path)
        found = self.find(path.text)
        if found is not None:
            return found
        if kind.name == RESOURCE_GROUP:
            raise errors.resource_group_not_found(path.name)
        if kind.parent is not None and self.find(path.parent) is None:
            raise errors.nested_not_found("/".join(path.names[:-1]))
        raise errors.resource_not_found(kind.name, "/".join(path.names), path.resource_group or "")

    def find(self, resource_id: str) -> Resource | None:
        """The resource of that id if there is one, the implicit ones (such as `default` services) included."""
        found = self.store.get(resource_id)
        if found is not None:
            return found
        path = parse(resource_id)
        kind = self.types.get(path.type_name.lower())
        if kind is None or kind.default_instance is None or not path.is_resource:
            return None
        if path.name.lower() != kind.default_name.format(tenant=self.tenant).lower():
            return None
        if kind.parent is not None and self.store.get(path.parent) is None:
            return None
        return Resource(id=path.text, type=kind.name, body=kind.default_instance(self, path))

    @staticmethod
    def canonical(path: ArmPath, kind: ResourceType) -> str:
        """The id under which a new resource is kept: names as the caller wrote them, type segments as ARM does."""
        if not path.text.lower().startswith(f"{path.scope.lower()}/providers/"):
            return path.text
        pairs = zip(kind.name.split("/")[1:], path.names, strict=True)
        return "/".join([f"{path.scope}/providers/{kind.namespace}", *(f"{kind}/{name}" for kind, name in pairs)])

    def view(self, resource: Resource, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The resource as a GET shows it."""
        kind = self.types[resource.type.lower()]
        body = copy.deepcopy(resource.body)
        shown: dict[str, Any] = {"name": resource.name, "id": resource.id, "type": kind.name}
        if kind.etag is not None and resource.etag:
            # Some providers repeat the ETag in the body.
            shown["etag"] = resource.etag
        shown.update(body)
        properties = shown.setdefault("properties", {})
        if kind.has_state:
            properties["provisioningState"] = resource.state
        for name, child_type in kind.embedded.items():
            properties[name] = [self.view(child) for child in self.store.children(resource.id, child_type)]
        if kind.view is not None:
            kind.view(self, resource, shown, query or {})
        return shown

    def _list(self, call: Call, kind: ResourceType) -> Answer:
        path = call.path
        self.require_group(path)
        if kind.parent is not None and self.find(path.parent) is None:
            raise errors.nested_not_found("/".join(path.names))
        whole_subscription = path.resource_group is None and kind.parent is None and not kind.extension
        if whole_subscription and kind.name != RESOURCE_GROUP:
            prefix = f"/subscriptions/{call.subscription.lower()}/"
            found = [resource for resource in self.store.of_type(kind.name) if resource.key.startswith(prefix)]
        else:
            found = self.store.children(path.parent, kind.name)
        if kind.keep is not None:
            found = [resource for resource in found if kind.keep(self, resource, call.query)]
        return self.page(call, found)

    def screened(self, call: Call, found: list[Resource]) -> list[Resource]:
        """A list without what the caller may not see."""
        for screen in self.screens:
            found = screen(call, found)
        return found

    def page(self, call: Call, found: list[Resource]) -> Answer:
        """One page of a list, with the link to the next."""
        found = self.screened(call, found)
        start = rules.whole_number(call.query, "$skiptoken", 0)
        size = min(rules.whole_number(call.query, "$top", PAGE), self.setting("page", PAGE))
        shown = found[start : start + size]
        body: dict[str, Any] = {"value": [self.view(resource, call.query) for resource in shown]}
        if start + size < len(found) and "$top" not in call.query:
            body["nextLink"] = rules.next_link(call, start + size)
        return Answer(200, body)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _put(self, call: Call, kind: ResourceType, verb: Verb) -> Answer:
        existing = self._open_for_write(call, kind)
        change = self.change(kind, call.path, "PUT", call.body, existing, call.query, call.api_version)
        if change.seconds == 0:
            # A creation that failed is made up for by a PUT that takes as long as one.
            change.seconds = verb.duration(exists=existing is not None and existing.complete)
        return self._write(call, change, existing)

    def _patch(self, call: Call, kind: ResourceType, patch: Patch) -> Answer:
        self.require(call.path, kind)
        existing = self._open_for_write(call, kind)
        change = self.change(kind, call.path, "PATCH", call.body, existing, call.query, call.api_version)
        change.seconds = change.seconds or patch.seconds
        if not set(change.sent) - {"tags"}:
            change.seconds = 0.0  # tags are ARM's business, not the resource provider's
        return self._write(call, change, existing)

    def _open_for_write(self, call: Call, kind: ResourceType) -> Resource | None:
        """What is there now, after the checks that need no body."""
        path = call.path
        self.require_group(path, write=True)
        if not kind.name_pattern.match(path.name):
            raise errors.bad_request(
                "InvalidResourceName",
                f"Resource name {path.name} is invalid for the type '{kind.name}': it must match "
                f"'{kind.name_pattern.pattern}'.",
            )
        parent = path.parent
        if (kind.parent is not None or kind.extension) and not self.exists(parent):
            raise errors.parent_not_found(kind.name, parent)
        self._require_registration(kind)
        existing = self.find(path.text)
        rules.check_preconditions(call, kind, existing)
        return existing

    def _require_registration(self, kind: ResourceType) -> None:
        # The SDKs register by themselves on this error; they take the namespace from the last quoted word.
        if self.setting("registrations", {}).get(kind.namespace.lower(), "Registered") != "Registered":
            raise errors.conflict(
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{kind.namespace}'. See "
                "https://aka.ms/rps-not-found for how to register subscriptions.",
            )

    def exists(self, scope: str) -> bool:
        """Whether a scope exists: a subscription, a resource group or a resource."""
        path = parse(scope)
        if not path.types:
            return True  # the tenant's root
        if path.type_name.lower() == "microsoft.resources/subscriptions" and path.names:
            return path.name.lower() in self.subscriptions
        return self.find(scope) is not None

    def change(
        self,
        kind: ResourceType,
        path: ArmPath,
        verb: str,
        sent: Any,
        existing: Resource | None,
        query: Mapping[str, str] | None = None,
        api_version: str = "",
        parent: Change | None = None,
    ) -> Change:
        """Turn a request body into the body to store, or refuse it."""
        sent = rules.clean(sent, tracked=kind.location is not None)
        before = existing.body if existing is not None else None
        internal = copy.deepcopy(existing.internal) if existing is not None else {}
        if verb == "PATCH" and existing is not None:
            body = rules.patched(kind, existing, sent)
        else:
            body = copy.deepcopy(sent)
            rules.keep_read_only(kind, body, before)
        rules.place(kind, path, body, existing)
        rules.check_tags(body)
        rules.keep_secrets(kind, body, internal, before)
        rules.keep_immutable(kind, body, before)
        for required in kind.required:
            if bodies.get(body, required) is None:
                raise errors.bad_request(
                    "InvalidRequestContent",
                    f"Required property '{required}' not found in the request body of resource '{path.text}'.",
                    target=required,
                )
        if verb != "PATCH":
            bodies.with_defaults(body, kind.defaults)
        change = Change(
            engine=self, type=kind, path=path, verb=verb, sent=sent, body=body, before=copy.deepcopy(before),
            internal=internal, query=query or {}, api_version=api_version,
            subscription=path.subscription or "", parent=parent,
        )  # fmt: skip
        self._plan_children(change)
        self._check_references(change)
        if kind.check is not None:
            kind.check(change)
        return change

    def _write(self, call: Call, change: Change, existing: Resource | None) -> Answer:
        kind = change.type
        verb = kind.put if change.verb == "PUT" else None
        self._refuse_busy(call, change, existing)
        resource, operation = self.apply(change, existing)
        shown: Any = self.view(resource, {})
        headers = self._etag_header(kind, resource)
        if operation is not None:
            headers.update(follow(self, call.base_url, call.api_version, kind, operation, call.method))
        if verb is None:
            status = kind.patch.status if kind.patch is not None and operation is not None else 200
            return Answer(status, shown, headers)
        if existing is None:
            return Answer(verb.created, shown if verb.body or operation is None else None, headers)
        # An update that is done at once answers 200 even where one that goes on answers 202.
        return Answer(verb.updated if operation is not None else verb.updated_at_once, shown, headers)

    def apply(self, change: Change, existing: Resource | None) -> tuple[Resource, Operation | None]:
        """Store a checked change and begin its work; also how hooks create resources of their own."""
        kind = change.type
        seconds = self.jittered(change.seconds, change.id, change.verb)
        failure, self.planned_failure = change.failure or self.planned_failure, None
        if failure is not None and seconds == 0 and change.operation is None:
            raise failure
        resource = existing or Resource(id=self.canonical(change.path, kind), type=kind.name, body={}, created=self.now)
        aside = existing is not None and seconds == 0 and self.running(existing) is not None
        preempted = None if aside else self._preempt(resource)
        if preempted is not None:
            # Writing again does not make a creation faster, nor does it mend it.
            seconds = max(seconds, preempted.end - self.now)
            failure = failure or _error(preempted.failure)
        resource.body, resource.internal, resource.changed = change.body, change.internal, self.now
        operation = change.operation
        if operation is not None:
            operation.along.append(resource.key)
        elif seconds > 0:
            operation = self.begin(resource, change.verb, seconds, api_version=change.api_version)
            operation.before = change.before
            operation.failure = _failure(failure)
        if not aside:
            resource.operation = operation.id if operation is not None else None
            resource.state = _state_meanwhile(kind, change) if operation is not None else "Succeeded"
        self._touch(kind, resource)
        self.store.save(resource)
        self._apply_children(change, operation)
        for planned in change.planned:
            self.apply(planned, self.store.get(planned.id))
        if kind.accepted is not None:
            kind.accepted(change, resource)
            self.store.save(resource)
        resource.complete = resource.complete or (operation is None and not aside)
        if operation is None and not aside and kind.finished is not None:
            done = Operation(self.guid(), resource.id, kind.name, change.verb, self.now, self.now, "Succeeded")
            kind.finished(self, resource, done)
            self.store.save(resource)
        return resource, operation

    def plan(self, resource_id: str, body: dict[str, Any], *, seconds: float | None = None) -> Change:
        """Check a write of a resource that another one brings with it; nothing is stored before `apply`."""
        path = parse(resource_id)
        kind = self.types[path.type_name.lower()]
        existing = self.store.get(resource_id)
        change = self.change(kind, path, "PUT", body, existing)
        if seconds is None:
            seconds = kind.put.duration(exists=existing is not None) if kind.put is not None else 0.0
        change.seconds = seconds
        return change

    def create(self, resource_id: str, body: dict[str, Any]) -> Resource:
        """Create or replace a resource at once, through the same checks as a request."""
        return self.apply(self.plan(resource_id, body, seconds=0.0), self.store.get(resource_id))[0]

    def _plan_children(self, change: Change) -> None:
        """Check the children that a parent's body lists (subnets in a virtual network), and those that it omits."""
        kind = change.type
        for name, child_type in kind.embedded.items():
            listed = change.properties.pop(name, None)
            if listed is None:
                kept_from = kind.embedded_kept_from
                if change.verb == "PATCH" or (kept_from is not None and change.api_version >= kept_from):
                    continue
                listed = []
            child_kind = self.types[child_type.lower()]
            kept = set()
            for item in listed:
                if not isinstance(item, dict) or not item.get("name"):
                    raise errors.bad_request("InvalidRequestFormat", f"Each of '{name}' needs a name.", target=name)
                child_id = f"{change.id}/{child_type.rsplit('/', 1)[-1]}/{item['name']}"
                if child_id.lower() in kept:
                    raise errors.duplicate_child(kind.name, str(item["name"]))
                kept.add(child_id.lower())
                existing = self.store.get(child_id)
                child = self.change(child_kind, parse(child_id), "PUT", item, existing, parent=change)
                change.children.append(child)
            for child_resource in self.store.children(change.id, child_type):
                if child_resource.key not in kept:
                    self._refuse_in_use(child_kind, child_resource, {})
                    change.omitted.append(child_resource)

    def _apply_children(self, change: Change, operation: Operation | None) -> None:
        for child in change.children:
            child.operation = operation
            self.apply(child, self.store.get(child.id))
        for omitted in change.omitted:
            self.remove(omitted)

    # -- deleting ----------------------------------------------------------------------------------------------------

    def _delete(self, call: Call, kind: ResourceType) -> Answer:
        if kind.name != RESOURCE_GROUP:
            self.require_group(call.path)
        resource = self.store.get(call.path.text)
        if resource is None:
            if kind.name == RESOURCE_GROUP:
                raise errors.resource_group_not_found(call.path.name)
            if kind.delete_missing == errors.NOT_FOUND:
                self.require(call.path, kind)
            return Answer(204)
        rules.check_preconditions(call, kind, resource)
        shown = self.view(resource) if kind.returns_deleted else None
        operation = self.begin_delete(resource, call.query, call)
        if operation is None:
            return Answer(kind.delete.deleted if kind.delete is not None else 200, shown)
        return Answer(202, None, follow(self, call.base_url, call.api_version, kind, operation, "DELETE"))

    def begin_delete(
        self, resource: Resource, query: Mapping[str, str] | None = None, call: Call | None = None
    ) -> Operation | None:
        """Begin to delete a resource, or refuse; None when it is gone already."""
        kind = self.types[resource.type.lower()]
        running = self.running(resource)
        if running is not None and running.verb == "DELETE":
            return running
        if running is not None and not kind.protocol.preempts:
            raise self._busy(kind, resource, call)
        self._refuse_serialised(kind, resource.id, call)
        self._refuse_in_use(kind, resource, query or {})
        if kind.nested == "refuse" and self.store.children(resource.id):
            raise errors.conflict(
                "CannotDeleteResource",
                "Can not delete resource before nested resources are deleted.",
            )
        seconds = self.jittered(kind.delete.seconds if kind.delete is not None else 0.0, resource.id, "DELETE")
        failure, self.planned_failure = self.planned_failure, None
        if seconds == 0:
            if failure is not None:
                raise failure
            self.remove(resource)
            return None
        self._preempt(resource)
        operation = self.begin(resource, "DELETE", seconds)
        operation.arguments = {"state": resource.state}
        operation.failure = _failure(failure)
        resource.operation, resource.state = operation.id, "Deleting"
        self._touch(kind, resource)
        self.store.save(resource)
        if kind.deleting is not None:
            kind.deleting(self, resource)
        return operation

    def remove(self, resource: Resource) -> None:
        """Let a resource and everything below it be gone."""
        for child in self.store.children(resource.id):
            self.remove(child)
        kind = self.types[resource.type.lower()]
        self.store.remove(resource)
        if kind.deleted is not None:
            kind.deleted(self, resource)

    # -- actions -----------------------------------------------------------------------------------------------------

    def _act(self, call: Call, kind: ResourceType) -> Answer:
        asked = call.path.types[-1].lower()
        action = {name.lower(): action for name, action in kind.actions.items()}.get(asked)
        if action is None or asked.startswith("("):
            raise self._unknown(call)
        resource_path = parse(call.path.parent)
        resource = self.require(resource_path, kind)
        output = action.run(call, resource) if action.run is not None else None
        if isinstance(output, Answer):
            return output
        if action.seconds == 0:
            return Answer(action.status, output)
        verb = f"POST {call.path.types[-1]}"
        operation = self.begin_action(resource, action, verb, api_version=call.api_version)
        operation.output = output
        headers = follow(self, call.base_url, call.api_version, kind, operation, "POST")
        return Answer(202, None, headers)

    def begin_action(self, resource: Resource, action: Action, verb: str, *, api_version: str = "") -> Operation:
        """Begin the work of an action on a resource."""
        kind = self.types[resource.type.lower()]
        running = self.running(resource)
        if running is not None:
            if not kind.protocol.preempts or running.verb == "DELETE":
                raise self._busy(kind, resource, None)
            self._preempt(resource)
        operation = self.begin(resource, verb, self.jittered(action.seconds, resource.id, verb))
        operation.api_version = api_version
        operation.failure, self.planned_failure = _failure(self.planned_failure), None
        resource.operation = operation.id
        if action.updating is not None:
            resource.state = action.updating
        self._touch(kind, resource)
        self.store.save(resource)
        return operation

    # -- operations --------------------------------------------------------------------------------------------------

    def begin(self, resource: Resource, verb: str, seconds: float, *, api_version: str = "") -> Operation:
        """Start an operation that ends so many emulated seconds from now."""
        operation = Operation(
            id=self.guid(), resource=resource.id, type=resource.type, verb=verb, start=self.now,
            end=self.now + seconds, location=self.location_of(resource), api_version=api_version,
            refers=sorted({resource.parent.lower()} | resource_ids(resource.body)),
        )  # fmt: skip
        if self.planned_end is not None:
            (operation.ends, operation.leaves), self.planned_end = self.planned_end, None
        self.store.save_operation(operation)
        self.started = operation
        self._schedule(operation)
        self.clock.wake()
        return operation

    def location_of(self, resource: Resource) -> str:
        """Region in which a resource's operations run: its own, or that of what it is in."""
        own = resource.location
        if own and own != "global":
            return own
        prefix = f"/subscriptions/{parse(resource.id).subscription}/resourceGroups/"
        group = self.store.get(f"{prefix}{resource.resource_group}")
        return group.location if group is not None else own or "global"

    def later(self, name: str, seconds: float, resource_id: str, **arguments: Any) -> Operation:
        """Let the timer of that name (Provider.timers) run so many emulated seconds from now; survives a restart."""
        resource_type = parse(resource_id).type_name
        operation = Operation(
            id=self.guid(), resource=resource_id, type=resource_type, verb=f"{LATER}{name}", start=self.now,
            end=self.now + seconds, arguments=arguments,
        )  # fmt: skip
        self.store.save_operation(operation)
        self._schedule(operation)
        self.clock.wake()
        return operation

    def planned_below(self, scope: str) -> list[float]:
        """The moments at which timers of resources below a scope will run."""
        prefix = f"{scope.lower()}/"
        return [
            operation.end for operation in self.under_way()
            if operation.verb.startswith(LATER) and operation.resource.lower().startswith(prefix)
        ]  # fmt: skip

    def under_way(self) -> list[Operation]:
        """The operations and timers that run, without a walk over all that ever ran."""
        found = {identity: self.store.operations.get(identity) for _, _, identity in self._due}
        return [operation for operation in found.values() if operation is not None and operation.running]

    def cancel(self, operation: Operation, failure: ArmError | None = None) -> None:
        """End a running operation now as Canceled; its resource shows that state."""
        if not operation.running:
            return
        error = failure or errors.conflict("OperationCanceled", "The operation was canceled.")
        operation.end, operation.failure, operation.ends = self.now, _failure(error), "Canceled"
        self._finish(operation)

    def _finish(self, operation: Operation) -> None:
        if operation.verb.startswith(LATER):
            self.store.remove_operation(operation)
            self.timers[operation.verb.removeprefix(LATER)](self, operation)
            return
        kind = self.types[operation.type.lower()]
        resource = self.store.get(operation.resource)
        if resource is not None and kind.continues is not None and operation.failure is None:
            later = kind.continues(self, resource, operation)
            if later is not None:
                operation.end = later
                self.store.save_operation(operation)
                self._schedule(operation)
                return
        failed = operation.failure is not None
        operation.status = operation.ends if failed else "Succeeded"
        self.store.save_operation(operation)
        for written in [resource, *(self.store.get(key) for key in operation.along)]:
            if written is not None and written.operation == operation.id:
                self._end(written, operation)

    def _end(self, resource: Resource, operation: Operation) -> None:
        kind = self.types[resource.type.lower()]
        resource.operation = None
        if operation.verb == "DELETE" and operation.status == "Succeeded":
            self.remove(resource)
            return
        if operation.status == "Succeeded":
            resource.state, resource.complete = "Succeeded", True
            resource.internal.pop("failure", None)
            if kind.finished is not None and operation.verb in ("PUT", "PATCH"):
                kind.finished(self, resource, operation)
        elif operation.verb == "DELETE" and kind.name == RESOURCE_GROUP:
            resource.state = str(operation.arguments.get("state", "Succeeded"))
        else:
            resource.state = operation.status
            resource.internal["failure"] = operation.failure
            # The contract asks that a failed update goes back to the values before it (async-api-reference.md).
            if operation.before is not None and resource.id == operation.resource:
                resource.body = operation.before
        if operation.verb.startswith("POST "):
            name = operation.verb.removeprefix("POST ").lower()
            action = {key.lower(): value for key, value in kind.actions.items()}[name]
            if action.finished is not None and operation.status == "Succeeded":
                action.finished(self, resource, operation)
        if operation.leaves is not None:
            resource.state = operation.leaves
        self._touch(kind, resource)
        self.store.save(resource)

    def _preempt(self, resource: Resource) -> Operation | None:
        """End the operation that runs on a resource, if one does, in favour of a newer one."""
        running = self.running(resource)
        if running is None or running.resource.lower() != resource.key:
            return None
        preempted = replace(running)
        running.status, running.end = "Canceled", self.now
        running.failure = {
            "status": errors.CONFLICT,
            "code": "OperationPreempted",
            "message": "The operation has been preempted by a more recent operation.",
        }
        self.store.save_operation(running)
        return preempted

    def _schedule(self, operation: Operation) -> None:
        self._count += 1
        heapq.heappush(self._due, (operation.end, self._count, operation.id))

    # -- rules -------------------------------------------------------------------------------------------------------

    def require_group(self, path: ArmPath, *, write: bool = False) -> None:
        """The resource group of a path must be there, and not on its way out when something is written."""
        if path.resource_group is None:
            return
        group = self.store.get(f"/subscriptions/{path.subscription}/resourceGroups/{path.resource_group}")
        if group is None:
            if path.type_name.lower() == RESOURCE_GROUP.lower():
                return  # it is the group that is asked for, or created
            raise errors.resource_group_not_found(path.resource_group)
        if write and group.state == "Deleting":
            raise errors.conflict(
                "ResourceGroupBeingDeleted",
                f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation.",
            )

    def _check_references(self, change: Change) -> None:
        """Every id in the body that names a type we hold must name a resource."""
        own = change.path.key
        for found in sorted(resource_ids(change.body)):
            if found == own or found.startswith(f"{own}/"):
                continue
            path = parse(found)
            kind = self.types.get(path.type_name)
            if kind is None or not path.is_resource or kind.name in change.type.loose:
                continue
            if self.find(found) is None:
                raise errors.invalid_reference(rules.as_sent(change.body, found), change.id)

    def _refuse_busy(self, call: Call, change: Change, existing: Resource | None) -> None:
        kind = change.type
        running = self.running(existing) if existing is not None else None
        only_tags = change.verb == "PATCH" and not set(change.sent) - {"tags"}
        refused = running is not None and (running.verb == "DELETE" or not kind.protocol.preempts)
        if existing is not None and refused and not only_tags:
            raise self._busy(kind, existing, call)
        if change.seconds > 0:
            self._refuse_serialised(kind, change.id, call, change)

    def serialised_scope(self, kind: ResourceType, resource_id: str) -> str | None:
        """Key of the resource under which writes of this type run one at a time."""
        if kind.serialised is None:
            return None
        depth = kind.name.count("/") - kind.serialised.count("/")
        return "/".join(resource_id.split("/")[: -2 * depth or None]).lower()

    def _refuse_serialised(
        self, kind: ResourceType, resource_id: str, call: Call | None, change: Change | None = None
    ) -> None:
        scope = self.serialised_scope(kind, resource_id)
        running = self.write_under(scope) if scope is not None else None
        if running is None:
            return
        error = errors.another_operation_in_progress(self.operation_uri(running, call))
        if change is not None and self.setting("serialisedWrites", SERIALISED_WRITES[0]) == "failed":
            change.failure = change.failure or error
            return
        raise error

    def running(self, resource: Resource) -> Operation | None:
        """The operation that runs on a resource, if any."""
        operation = self.store.operations.get(resource.operation or "")
        return operation if operation is not None and operation.running else None

    def write_under(self, scope: str) -> Operation | None:
        """The write that runs on a resource or below it, if any."""
        for resource in filter(None, [self.store.get(scope), *self.store.below(scope)]):
            running = self.running(resource)
            if running is not None:
                return running
        return None

    def _busy(self, kind: ResourceType, resource: Resource, call: Call | None) -> ArmError:
        running = self.store.operations[resource.operation or ""]
        if kind.protocol.busy == "AnotherOperationInProgress":
            return errors.another_operation_in_progress(self.operation_uri(running, call))
        return errors.conflict(
            kind.protocol.busy,
            f"The request for resource '{resource.id}' cannot be carried out because another operation on it is in "
            f"progress: {running.verb}, started {self.clock.iso(running.start)}. Please try again later.",
        )

    def operation_uri(self, operation: Operation, call: Call | None) -> str:
        """Where the status of an operation is read; without a call, below whatever base the client uses."""
        kind = self.types[operation.type.lower()]
        base, version = (call.base_url, call.api_version) if call is not None else ("", operation.api_version)
        return follow(self, base, version, kind, operation, "PUT").get("Azure-AsyncOperation", operation.id)

    def _refuse_in_use(self, kind: ResourceType, resource: Resource, query: Mapping[str, str]) -> None:
        for hold in kind.holds:
            self._refuse_held(hold, resource)
        if kind.nested == "cascade":
            for child in self.store.children(resource.id):
                self._refuse_in_use(self.types[child.type.lower()], child, query)
        if kind.check_delete is not None:
            kind.check_delete(self, resource, query)

    def _refuse_held(self, hold: Hold, resource: Resource) -> None:
        holders = [holder.id for holder in self.store.referrers(resource.id, hold.by)]
        if holders:
            message = hold.message.format(id=resource.id, name=resource.name, holders=", ".join(holders))
            raise ArmError(hold.status, hold.code, message, details=[])

    def touch(self, resource: Resource) -> None:
        """Store what a hook changed on another resource than its own; it gets a new ETag."""
        self._touch(self.types[resource.type.lower()], resource)
        self.store.save(resource)

    def _touch(self, kind: ResourceType, resource: Resource) -> None:
        """A new ETag: it changes with every change of state, not only of the body."""
        match kind.etag:
            case "weak":
                resource.etag = f'W/"{self.guid()}"'
            case "plain":
                resource.etag = self.guid()
            case "counter":
                resource.etag = f'"{int(resource.etag.strip(chr(34)) or 0) + 1}"'

    @staticmethod
    def _etag_header(kind: ResourceType, resource: Resource) -> dict[str, str]:
        return {"ETag": resource.etag} if kind.etag is not None and resource.etag else {}


def action_of(method: str, path: ArmPath) -> str:
    """What Azure's roles call a request: Microsoft.Compute/virtualMachines/write, …/start/action."""
    name = path.type_name
    if path.namespace == RESOURCES and path.subscription and path.scope and "/providers/" not in path.key:
        name = f"{RESOURCES}/subscriptions/{'/'.join(path.types)}"  # resource groups, locations, tags of a subscription
    if method == "POST" and not _CHECKS.search(name):
        return f"{name}/action"
    verb = {"GET": "read", "HEAD": "read", "DELETE": "delete"}.get(method, "write")
    return f"{name}/{'read' if method == 'POST' else verb}"


def _state_meanwhile(kind: ResourceType, change: Change) -> str:
    if change.verb == "PATCH":
        return kind.patch.updating if kind.patch is not None else "Updating"
    if kind.put is None:
        return "Updating"
    return kind.put.updating if change.exists else kind.put.creating


def _failure(error: ArmError | None) -> dict[str, Any] | None:
    return None if error is None else {"status": error.status, **error.error()}


def _error(failure: dict[str, Any] | None) -> ArmError | None:
    if failure is None:
        return None
    return ArmError(int(failure["status"]), str(failure["code"]), str(failure["message"]), target=failure.get("target"))
