"""What state each resource of an environment is in, seen from what was observed. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hpc_operator.api.policy import TAKE_OVER_ANNOTATION
from hpc_operator.arm import FAILED_STATES, provisioning_state
from hpc_operator.blueprint.names import CLAIM_TAG, ENVIRONMENT_TAG, OWNERSHIP_TAGS
from hpc_operator.graph import ArmId, Graph, Resource
from hpc_operator.reconcile.memory import Memory


class State(StrEnum):
    """State of one resource as the user reads it."""

    PENDING = "Pending"
    CREATING = "Creating"
    UPDATING = "Updating"
    DELETING = "Deleting"
    READY = "Ready"
    FAILED = "Failed"
    KEPT = "Kept"


def is_ready(memory: Memory, resource_id: str) -> bool:
    """Return whether a resource is there, whole, and not being written."""
    key = resource_id.lower()
    body = memory.observed.get(key)
    usable = body is not None and key not in memory.operations and key not in memory.foreign
    return usable and provisioning_state(body) == "succeeded"


def is_settled(memory: Memory, resource_id: str) -> bool:
    """Return whether a resource is there and usable, be it that an update of it is under way or has failed."""
    key = resource_id.lower()
    body, entry = memory.observed.get(key), memory.inventory.get(key)
    if body is None or key in memory.foreign or _is_new(memory, resource_id):
        return False
    state = provisioning_state(body)
    # Azure shows Failed after a refused update, too, and what was whole before serves on.
    return state in {"succeeded", "updating"} or (state in FAILED_STATES and entry is not None and bool(entry.applied))


def _is_new(memory: Memory, resource_id: str) -> bool:
    """Return whether the resource is being made: Network shows `Updating` then too, so the inventory has to tell."""
    entry = memory.inventory.get(resource_id.lower())
    return entry is not None and entry.state in {State.PENDING, State.CREATING} and not is_ready(memory, resource_id)


def state_of(memory: Memory, resource_id: str) -> State:
    """Return the state of one resource that is wanted."""
    key = resource_id.lower()
    handle = memory.operations.get(key)
    if handle is not None and handle.verb == "DELETE":
        return State.DELETING
    if is_ready(memory, key):
        return State.FAILED if key in memory.failures else State.READY
    body = memory.observed.get(key)
    if key in memory.failures or provisioning_state(body) in FAILED_STATES:
        return State.FAILED
    if body is None and handle is None:
        return State.PENDING
    entry = memory.inventory.get(key)
    return State.UPDATING if entry is not None and entry.state in {State.READY, State.UPDATING} else State.CREATING


@dataclass(frozen=True)
class Claim:
    """Tells whose a resource is, by its tags.

    Parameters
    ----------
    environment
        `namespace/name`, as the ownership tag has it.
    holder
        What the claim on our resource group says: cluster and uid.
    others
        Environments that exist beside ours, as their ownership tags have them.
    take_over
        Whose resources the user gave us: environments or holders.
    chosen_group
        Whether the resource group is one that the user named, so that it may have been somebody's before.
    group_claim
        Returns the claim on a resource's group, empty where there is none.
    """

    environment: str
    holder: str
    others: frozenset[str]
    take_over: frozenset[str]
    chosen_group: bool
    group_claim: Callable[[str], str]

    def other_holder(self, group: Mapping[str, Any] | None) -> str:
        """Return why nothing in our resource group is ours, though tags may say so; empty where it is.

        Parameters
        ----------
        group
            The resource group as Azure shows it, None where there is none.
        """
        tags = (group or {}).get("tags") or {}
        holder = tags.get(CLAIM_TAG, "")
        if group is None or holder in {"", self.holder} | self.take_over:
            return ""
        return self._claimed(f"Resource group {group['name']}", tags.get(ENVIRONMENT_TAG, ""), holder)

    def refusal(self, resource: Resource, actual: Mapping[str, Any], *, was_ours: bool = False) -> str:
        """Return why a resource of a name of ours is not ours, in a sentence that says what to do; empty where it is.

        A type without tags belongs to whoever owns its parent.

        Parameters
        ----------
        resource
            What is wanted.
        actual
            What Azure shows.
        was_ours
            Whether we wrote to it before.
        """
        if ENVIRONMENT_TAG not in (resource.body.get("tags") or {}):
            return ""
        tags = actual.get("tags") or {}
        holder, environment = tags.get(CLAIM_TAG, ""), tags.get(ENVIRONMENT_TAG, "")
        if CLAIM_TAG in resource.body["tags"] and holder not in {"", self.holder} | self.take_over:
            return self._claimed("It", environment, holder)
        if environment == self.environment or environment in self.take_over:
            return ""
        if not environment:
            is_ours = resource.adopted or (self.chosen_group and CLAIM_TAG in resource.body["tags"])
            return "" if is_ours else self._made(was_ours=was_ours)
        return self._taken(resource, environment)

    def to_give_back(self, actual: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the part of a body that makes a resource nobody's: empty where it carries no claim of ours.

        Parameters
        ----------
        actual
            What Azure shows.
        """
        tags = actual.get("tags") or {}
        if tags.get(CLAIM_TAG) != self.holder:
            return {}
        return {"tags": {name: None for name in OWNERSHIP_TAGS if name in tags}}

    def whose(self, tags: Mapping[str, str]) -> str:
        """Return in a few words whose a resource is that is not ours, as far as its tags tell."""
        environment, holder = tags.get(ENVIRONMENT_TAG, ""), tags.get(CLAIM_TAG, "")
        if environment == self.environment and holder in {"", self.holder}:
            return f"tagged {environment}, which did not make it"
        if not environment:
            return "not ours"
        return f"belongs to {environment} of {holder}" if holder else f"belongs to {environment}"

    def _claimed(self, what: str, environment: str, holder: str) -> str:
        return (
            f"{what} is claimed by {environment} of {holder}, and this is {self.environment} of {self.holder}: delete "
            f"that one, or annotate this one with {TAKE_OVER_ANNOTATION}={holder} if that does not exist any more."
        )

    def _made(self, *, was_ours: bool) -> str:
        if was_ours:
            return (
                f"Somebody took its tag {ENVIRONMENT_TAG} away, so that it may be somebody else's now: give it the tag "
                f"{ENVIRONMENT_TAG}={self.environment} again to have it looked after."
            )
        return (
            "There is one of this name already and it was not made by this operator: delete it, or give it the tag "
            f"{ENVIRONMENT_TAG}={self.environment} to have it taken over."
        )

    def _taken(self, resource: Resource, environment: str) -> str:
        """Return why something of another environment may not be used, empty where that one is gone and left it."""
        claim = self.group_claim(resource.id)
        is_free = environment not in self.others and claim in {"", self.holder} | self.take_over
        if is_free and (resource.adopted or self.chosen_group):
            return ""
        return (
            f"It belongs to {environment}, and this is {self.environment}: delete it there, or annotate this one with "
            f"{TAKE_OVER_ANNOTATION}={environment} if that one does not exist any more."
        )


def exclusive_scopes(resource: Resource | None, resource_id: str, types: tuple[str, ...]) -> frozenset[str]:
    """Return the lower-case ids beneath or upon which a write of this resource must be the only one."""
    candidates = [resource_id.lower(), *(resource.needs if resource is not None else ())]
    found: set[str] = set()
    for candidate in candidates:
        for exclusive in types:
            head, marker, tail = candidate.partition(f"/providers/{exclusive.lower()}/")
            if marker:
                found.add(f"{head}{marker}{tail.split('/', 1)[0]}")
    return frozenset(found)


def describe(resource_id: str) -> str:
    """Return how messages name a resource: its type without the namespace, and its name."""
    arm_id = ArmId.parse(resource_id)
    return f"{arm_id.type.rpartition('/')[2]} {'/'.join(arm_id.names)}"


def nodes_name(partition: str) -> str:
    """Return how plans and messages name the nodes of a partition."""
    return f"nodes of {partition}"


def blocking_needs(memory: Memory, graph: Graph, resource: Resource) -> list[str]:
    """Return the ids of what a resource waits for."""
    return sorted(need for need in graph.needs(resource) if not is_ready(memory, need))
