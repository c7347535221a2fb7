"""Starts the work that can be started now: creations, updates and deletions of resources.

Awaits requests, never operations. Ready work goes first along the longest remaining path; what Azure allows only one at
a time is started one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from hpc_operator.api.common import timestamp
from hpc_operator.arm import (
    Azure,
    AzureError,
    ErrorClass,
    Handle,
    Outcome,
    Started,
    TypeInfo,
    Verb,
    is_final,
    provisioning_state,
)
from hpc_operator.graph import ArmId, Graph, Resource, UnresolvedError
from hpc_operator.reconcile.fields import differences, field_hashes, overlay, update_body
from hpc_operator.reconcile.memory import REPLACING, Memory
from hpc_operator.reconcile.plan import Action, Planner
from hpc_operator.reconcile.states import blocking_needs, exclusive_scopes


@dataclass(frozen=True)
class Write:
    """One request that is about to be sent.

    `replaces` says that it is laid over what is there when it is sent, `recovers` that it brings back what
    was deleted.
    """

    resource_id: str
    verb: Verb
    body: Mapping[str, Any]
    tried: str
    scopes: frozenset[str]
    replaces: bool = False
    recovers: bool = False

    @property
    def key(self) -> str:
        """The id for comparing."""
        return self.resource_id.lower()


class Applier:
    """Brings resources of one environment to their desired state, as far as one pass can.

    Parameters
    ----------
    azure
        Where requests go.
    memory
        What is known of the environment; updated with every answer.
    planner
        Tells what a resource needs, and what may start.
    wake
        Called when an operation ends.
    """

    def __init__(self, azure: Azure, memory: Memory, planner: Planner, wake: Callable[[], None]) -> None:
        self._azure = azure
        self._memory = memory
        self._planner = planner
        self._wake = wake

    async def create_and_update(self, graph: Graph, changing: Sequence[Resource]) -> None:
        """Start every creation and update that can be started; go on while answers are final.

        Parameters
        ----------
        graph
            What is wanted.
        changing
            What has to change, or may have to, in the order of its start.
        """
        for item in graph:
            if item.referenced:
                self._check_reference(item)
        while writes := self._without_conflicts(self._next_writes(graph, changing)):
            await asyncio.gather(*(self._send(write) for write in writes))

    async def delete(
        self, resource_ids: Collection[str], all_ids: Iterable[str], graph: Graph, at_once: int | None
    ) -> None:
        """Start the deletion of those resources on which nothing depends any more.

        Parameters
        ----------
        resource_ids
            What has to go and may.
        all_ids
            What has to go, be it that it may not yet.
        graph
            In which order.
        at_once
            How many may be in deletion at the same time; None for no limit.
        """
        going = [item.lower() for item in all_ids]
        while writes := self._without_conflicts(self._next_deletion(item, going, graph) for item in resource_ids):
            free = len(writes) if at_once is None else at_once - self._in_deletion()
            if free <= 0:
                return
            await asyncio.gather(*(self._send(write) for write in writes[:free]))

    def _in_deletion(self) -> int:
        return sum(1 for handle in self._memory.operations.values() if handle.verb == "DELETE")

    def follow(self, handle: Handle, retry_after: float | None = None) -> None:
        """Follow an operation and wake the environment when it ends."""
        self._memory.operations[handle.resource_id.lower()] = handle

        def done(outcome: Outcome) -> None:
            self._memory.outcomes.append(outcome)
            self._wake()

        self._azure.follow(handle, done, retry_after=retry_after)

    def follow_unfinished(self) -> None:
        """Follow what Azure is working on although no handle is known, as after a crash between answer and status."""
        for key, body in self._memory.observed.items():
            known = key in self._memory.inventory and key not in self._memory.operations
            if known and body is not None and not is_final(provisioning_state(body)):
                verb: Verb = "DELETE" if provisioning_state(body) == "deleting" else "PUT"
                self.follow(Handle(str(body.get("id", key)), verb, "", timestamp(datetime.now(UTC))))

    def _next_writes(self, graph: Graph, changing: Iterable[Resource]) -> Iterator[Write]:
        """Yield the requests that may be sent now, as far as only the resource itself and what it needs decide.

        What a resource needs is brought to its wanted state first, although it may serve as it is: a volume does not
        grow before its pool. Only what was refused for good holds nothing up: a resource group whose tags a policy
        forbids would stop everything.
        """
        unfinished: set[str] = set()
        for resource in changing:
            key = resource.id.lower()
            waits = key in self._memory.operations or blocking_needs(self._memory, graph, resource)
            if waits or graph.needs(resource) & unfinished:
                unfinished.add(key)
                continue
            write = self._next_write(resource)
            if write is None:
                continue
            may_go = key not in self._memory.doubtful and self._memory.may_try(key, self._memory.now(), write.tried)
            failure = self._memory.failures.get(key)
            if may_go:
                yield write
            if may_go or failure is None or failure.error.error_class is not ErrorClass.PERMANENT:
                unfinished.add(key)

    def _next_write(self, resource: Resource) -> Write | None:
        """Return the request that brings a resource to its wanted state; None where there is none to be sent."""
        key = resource.id.lower()
        try:
            judgement = self._planner.judge(resource)
        except UnresolvedError as error:
            self._look_again(key, error)
            return None
        change, body = judgement.change, judgement.body
        info = self._azure.type_info(resource.type)
        tried = field_hashes(judgement.owned)
        if change is None or not change.may_start:
            return None
        scopes = exclusive_scopes(resource, resource.id, info.exclusive)
        if change.action is Action.REPLACE:
            return Write(resource.id, "DELETE", {}, tried, scopes)
        actual = self._memory.observed.get(key)
        write = Write(resource.id, "PUT", body, tried, scopes)
        if actual is None or not change.fields:
            # Azure repairs a failed resource when it is put again as it should be.
            return replace(write, body=overlay(None, body))
        # A PUT replaces everything and a PATCH all tags, so both have to start from what is there now: see _request.
        if info.update == "PUT":
            return replace(write, replaces=True)
        if any(item.path[0] == "tags" for item in change.fields):
            return replace(write, verb="PATCH", replaces=True)
        return replace(write, verb="PATCH", body=update_body(body, actual, change.fields, info))

    def _recovery(self, key: str, info: TypeInfo) -> Mapping[str, Any]:
        """Return what the body needs to bring back what was deleted, where Azure said that this can be done."""
        failure = self._memory.failures.get(key)
        if failure is None or info.recovery is None or failure.error.code != info.recovery[0]:
            return {}
        return info.recovery[1]

    def _next_deletion(self, resource_id: str, going: Iterable[str], graph: Graph) -> Write | None:
        key = resource_id.lower()
        if key in self._memory.operations or self._memory.observed.get(key) is None:
            return None
        # What is not known at the moment may still be there.
        if any(self._memory.observed.get(it, ...) is not None for it in going if self._goes_before(it, key, graph)):
            return None
        if not self._memory.may_try(key, self._memory.now()):
            return None
        info = self._azure.type_info(ArmId.parse(resource_id).type)
        return Write(resource_id, "DELETE", {}, "", exclusive_scopes(graph.get(key), key, info.exclusive))

    def _goes_before(self, other: str, key: str, graph: Graph) -> bool:
        """Return whether `other` has to be gone before `key` can be deleted."""
        if other == key:
            return False
        if other in graph and key in graph:
            return other in graph.dependents(key)
        inventory = self._memory.inventory
        return other in inventory and key in inventory and inventory[other].order > inventory[key].order

    def _without_conflicts(self, writes: Iterable[Write | None]) -> list[Write]:
        """Return the writes that may be sent together: for every exclusive scope the first, unless one is under way."""
        taken: set[str] = set()
        for handle in self._memory.operations.values():
            info = self._azure.type_info(ArmId.parse(handle.resource_id).type)
            taken |= exclusive_scopes(None, handle.resource_id, info.exclusive)
            taken |= self._memory.scopes.get(handle.resource_id.lower(), frozenset())
        chosen: list[Write] = []
        for write in writes:
            if write is not None and not write.scopes & taken:
                taken |= write.scopes
                chosen.append(write)
        return chosen

    async def _send(self, write: Write) -> None:
        key = write.key
        self._memory.scopes[key] = write.scopes
        self._memory.tried[key] = write.tried
        self._memory.keep_awake()
        if write.verb == "DELETE":
            self._memory.note_applied(key, REPLACING if write.tried else "")
        try:
            started = await self._request(write)
        except AzureError as error:
            self._memory.fail(key, error, self._memory.now(), write.tried)
            # Nobody knows whether it was carried out: look before the next try.
            self._memory.doubtful.add(key)
            recovery = self._recovery(key, self._azure.type_info(ArmId.parse(write.resource_id).type))
            if recovery and write.verb == "PUT" and not write.recovers:
                # The refusal says how it can be done, so it is no news for anybody.
                self._memory.doubtful.discard(key)
                await self._send(replace(write, body=overlay(write.body, recovery), recovers=True))
            return
        self._note(write, started)
        if key not in self._memory.operations and write.verb == "DELETE":
            await self._confirm_deletion(write)

    async def _request(self, write: Write) -> Started:
        if write.replaces:
            actual = await self._azure.get(write.resource_id)
            if actual is not None:
                info = self._azure.type_info(ArmId.parse(write.resource_id).type)
                changes = differences(write.body, actual, info)
                write = replace(write, body=update_body(write.body, actual, changes, info))
        match write.verb:
            case "PUT":
                return await self._azure.put(write.resource_id, write.body)
            case "PATCH":
                return await self._azure.patch(write.resource_id, write.body)
            case "DELETE":
                return await self._azure.delete(write.resource_id)

    async def change(self, resource_id: str, owned: Mapping[str, Any]) -> None:
        """Change a part of a resource that is not wanted any more and stays; nothing is followed.

        Raises
        ------
        AzureError
            If Azure refuses.
        """
        key, info = resource_id.lower(), self._azure.type_info(ArmId.parse(resource_id).type)
        actual = await self._azure.get(resource_id)
        if actual is None or not (changes := differences(owned, actual, info)):
            return
        self._memory.keep_awake()
        body = update_body(owned, actual, changes, info)
        await (self._azure.put if info.update == "PUT" else self._azure.patch)(resource_id, body)
        self._memory.observed[key] = overlay(actual, owned)

    def _note(self, write: Write, started: Started) -> None:
        key = write.key
        self._memory.answered.discard(key)
        if started.body is not None and write.verb != "DELETE":
            self._memory.observed[key] = started.body
            self._memory.answered.add(key)
        if started.operation_url is not None or (
            started.body is not None and not is_final(provisioning_state(started.body))
        ):
            handle = Handle(write.resource_id, write.verb, started.operation_url or "", timestamp(datetime.now(UTC)))
            self.follow(handle, started.retry_after)
        elif write.verb != "DELETE":
            self._memory.failures.pop(key, None)
            self._memory.note_applied(key, write.tried)
            if started.body is None:
                self._memory.doubtful.add(key)
                self._wake()

    async def _confirm_deletion(self, write: Write) -> None:
        """Look whether a deletion without an operation is done; some answers do not say."""
        key = write.key
        try:
            body = await self._azure.get(write.resource_id)
        except AzureError as error:
            self._memory.fail(key, error, self._memory.now())
            return
        self._memory.observed[key] = body
        if body is None:
            self._memory.failures.pop(key, None)
            # No operation ends that would make the next pass, and something may wait for this, such as the group.
            self._wake()
        else:
            self.follow(Handle(write.resource_id, "DELETE", "", timestamp(datetime.now(UTC))))

    def _check_reference(self, resource: Resource) -> None:
        """Note that something which belongs to others cannot be used yet, and have it looked at again."""
        key = resource.id.lower()
        body = self._memory.observed.get(key)
        if body is not None and is_final(provisioning_state(body)):
            self._memory.failures.pop(key, None)
        elif self._memory.may_try(key, self._memory.now()):
            missing = f"{resource.id} does not exist; it is only referenced and never created: check the id"
            busy = f"{resource.id} is being changed by its owner"
            code, message = ("ReferenceNotFound", missing) if body is None else ("ReferenceNotReady", busy)
            self._memory.fail(
                key, AzureError(message, code=code, status=0, error_class=ErrorClass.ORDERING), self._memory.now()
            )
            self._memory.doubtful.add(key)

    def _look_again(self, key: str, error: UnresolvedError) -> None:
        """Have the resource that does not tell a property yet observed anew after a while."""
        missing = AzureError(str(error), code="PropertyMissing", status=0, error_class=ErrorClass.ORDERING)
        if self._memory.may_try(key, self._memory.now(), "reference"):
            self._memory.fail(key, missing, self._memory.now(), "reference")
            self._memory.doubtful.add(error.ref.resource_id.lower())
