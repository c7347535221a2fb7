"""The desired state as data: resources, the references between them, and node sets.

The vocabulary between blueprint (which writes graphs), reconcile (which compares and applies them) and azure (which
sends them). Pure data and pure functions; knows no Azure type by name.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

Json = Any
"""What `json.loads` returns."""

OWN_NAME_PREFIX: Final = "hpc-"
"""In lists that others may add to, such as security rules, items whose name begins with this are ours."""


class Step(StrEnum):
    """The deployment steps of the migration guide, in its order."""

    INFRASTRUCTURE = "Infrastructure"
    BASE_SERVICES = "BaseServices"
    STORAGE = "Storage"
    COMPUTE = "Compute"
    ENTRY_POINT = "EntryPoint"


@dataclass(frozen=True, order=True)
class Owner:
    """The custom resource that something belongs to."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> Owner:
        """Return the owner that `str()` wrote."""
        kind, _, name = text.partition("/")
        return cls(kind, name)


@dataclass(frozen=True)
class ArmId:
    """A parsed ARM id.

    `type` is such as `Microsoft.Network/virtualNetworks/subnets`, `names` one name for each segment of it after the
    namespace (`("vnet", "compute")`), `scope` what stands before the last `/providers/`.
    """

    scope: str
    type: str
    names: tuple[str, ...]

    @classmethod
    def parse(cls, resource_id: str) -> ArmId:
        """Split an ARM id.

        Raises
        ------
        ValueError
            If the text is not the id of a resource or a resource group.
        """
        scope, provider, rest = resource_id.rpartition("/providers/")
        if not provider:
            parts = resource_id.strip("/").split("/")
            if len(parts) == 4 and parts[0].lower() == "subscriptions" and parts[2].lower() == "resourcegroups":  # noqa: PLR2004
                return cls(f"/subscriptions/{parts[1]}", "Microsoft.Resources/resourceGroups", (parts[3],))
            msg = f"{resource_id!r} is not the ARM id of a resource"
            raise ValueError(msg)
        namespace, *segments = rest.split("/")
        if not segments or len(segments) % 2:
            msg = f"{resource_id!r} is not the ARM id of a resource"
            raise ValueError(msg)
        return cls(scope, "/".join([namespace, *segments[::2]]), tuple(segments[1::2]))

    @property
    def name(self) -> str:
        """The resource's own name, the last segment."""
        return self.names[-1]

    @property
    def resource_group(self) -> str | None:
        """Name of the resource group, None for what lies outside of one."""
        parts = self.scope.strip("/").split("/")
        if self.type == "Microsoft.Resources/resourceGroups":
            return self.names[0]
        return parts[3] if len(parts) > 3 and parts[2].lower() == "resourcegroups" else None  # noqa: PLR2004


def parent_id(resource_id: str) -> str | None:
    """Return the id of what must exist before: the ARM parent, the extended resource, or the resource group."""
    arm_id = ArmId.parse(resource_id)
    if arm_id.type == "Microsoft.Resources/resourceGroups":
        return None
    if len(arm_id.names) > 1:
        return resource_id.rsplit("/", 2)[0]
    return arm_id.scope if arm_id.scope.count("/") > 2 else None  # noqa: PLR2004


def lineage(resource_id: str) -> Iterator[str]:
    """Yield an ARM id and those of the resources that it is a part of, such as a volume's pool and account."""
    yield resource_id
    for _ in ArmId.parse(resource_id).names[1:]:
        resource_id = resource_id.rsplit("/", 2)[0]
        yield resource_id


def moved(resource_id: str, places: Mapping[str, str]) -> str:
    """Return the id that a resource has if some are elsewhere than expected: parts go where their whole is.

    Parameters
    ----------
    resource_id
        The expected ARM id.
    places
        ARM ids by the lower-case id that was expected.
    """
    for whole in lineage(resource_id):
        if (place := places.get(whole.lower())) is not None:
            return place + resource_id[len(whole) :]
    return resource_id


def group_id(resource_id: str) -> str | None:
    """Return the id of the resource group that something is in or is; None for what lies outside of one."""
    if ArmId.parse(resource_id).resource_group is None:
        return None
    return "/".join(resource_id.split("/")[:5])


@dataclass(frozen=True)
class Ref:
    """A value that only Azure can tell: a property of another resource.

    Parameters
    ----------
    resource_id
        The resource to wait for.
    path
        Keys and list positions in its body as Azure returns it; empty for the ARM id itself.
    """

    resource_id: str
    path: tuple[str | int, ...] = ()


class NodeName:
    """Stands for the name of the node in the body of a node set."""

    def __repr__(self) -> str:
        return "NODE_NAME"


NODE_NAME: Final = NodeName()


@dataclass(frozen=True)
class Text:
    """A text with references in it.

    Parameters
    ----------
    parts
        Literal texts, references and `NODE_NAME`, joined when all are known.
    base64
        Whether the result is encoded in base64, as `customData` wants it.
    """

    parts: tuple[str | Ref | NodeName, ...]
    base64: bool = False


class UnresolvedError(LookupError):
    """A reference points to something that Azure has not told yet."""

    def __init__(self, ref: Ref) -> None:
        super().__init__(f"{ref.resource_id} has no {'.'.join(map(str, ref.path)) or 'id'} yet")
        self.ref = ref


def references(value: Json) -> Iterator[Ref]:
    """Yield every reference in a body."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Text):
        yield from (part for part in value.parts if isinstance(part, Ref))
    elif isinstance(value, dict):
        for key, item in value.items():
            if key.startswith("/"):
                yield Ref(key)  # ARM takes ids as keys too, as in `userAssignedIdentities`
            yield from references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references(item)


def resolve(value: Json, observed: Mapping[str, Mapping[str, Any] | None], node_name: str | None = None) -> Json:
    """Return a body with every reference replaced by what was observed.

    Parameters
    ----------
    value
        The body.
    observed
        Bodies as Azure returned them, by lower-case ARM id; None or absent where there is none.
    node_name
        What `NODE_NAME` stands for.

    Raises
    ------
    UnresolvedError
        If a reference cannot be resolved yet.
    """
    if isinstance(value, Ref):
        return _look_up(value, observed)
    if isinstance(value, NodeName):
        return node_name
    if isinstance(value, Text):
        text = "".join(
            part if isinstance(part, str) else str(resolve(part, observed, node_name)) for part in value.parts
        )
        return base64.b64encode(text.encode()).decode() if value.base64 else text
    if isinstance(value, dict):
        return {key: resolve(item, observed, node_name) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, observed, node_name) for item in value]
    return value


def _look_up(ref: Ref, observed: Mapping[str, Mapping[str, Any] | None]) -> Json:
    found: Json = observed.get(ref.resource_id.lower())
    if found is None:
        raise UnresolvedError(ref)
    if not ref.path:
        return ref.resource_id
    for key in ref.path:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            raise UnresolvedError(ref) from None
    if found is None or found == "":
        raise UnresolvedError(ref)
    return found


@dataclass(frozen=True)
class Resource:
    """One Azure resource as it should be.

    Parameters
    ----------
    id
        ARM id.
    step
        The deployment step it belongs to.
    owner
        The custom resource it belongs to.
    body
        The part of its body that we own; may contain `Ref` and `Text`.
    after
        ARM ids of what must be ready first although the body does not mention it. For the rare case that Azure checks
        something which no body shows; references and parents need no mention.
    referenced
        Whether it belongs to somebody else: it must exist, and is never changed or deleted.
    observed_only
        Whether it is referenced and stands for one of ours: its body is there to be compared, and never written.
    adopted
        Whether somebody else made it and it was handed over to us: it is ours although it may lack our tags.
    retained
        Whether it stays in Azure when its owner goes, together with all that it needs.
    holds_data
        Whether users' data or the scheduler's state is in it: when it is gone, an empty one is no replacement.
    """

    id: str
    step: Step
    owner: Owner
    body: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    referenced: bool = False
    observed_only: bool = False
    adopted: bool = False
    retained: bool = False
    holds_data: bool = False

    @property
    def type(self) -> str:
        """Such as `Microsoft.Network/virtualNetworks/subnets`."""
        return ArmId.parse(self.id).type

    @property
    def name(self) -> str:
        """The last segment of the id."""
        return ArmId.parse(self.id).name

    def ref(self, *path: str | int) -> Ref:
        """Return a reference to a property of this resource, or to its id."""
        return Ref(self.id, path)

    @cached_property
    def needs(self) -> frozenset[str]:
        """Lower-case ids of the resources that must be ready first."""
        if self.referenced:
            return frozenset()
        ids = {ref.resource_id for ref in references(self.body)} | set(self.after)
        if (parent := parent_id(self.id)) is not None:
            ids.add(parent)
        return frozenset(item.lower() for item in ids)


@dataclass(frozen=True)
class NodeSet:
    """The nodes of one partition: virtual machines of one kind, as many as wanted.

    Parameters
    ----------
    owner
        The ComputePartition.
    generation
        Name of the generation: what a node's body depends on, hashed. Nodes of another generation are replaced.
    resource_group_id
        Where the VMs live.
    name_prefix
        A node's name is this and a number from 1 on.
    body
        A VM's body; contains `NODE_NAME`, and the tags that tell partition and generation.
    count
        How many nodes ought to run.
    maximum
        How many the partition may have.
    max_surge, max_unavailable
        How many nodes more or fewer than `count` there may be during a rollout.
    vm_size, image_version, priority
        Of this generation.
    scale_set_id
        ARM id of the scale set that the nodes are in.
    node_type
        The resource type of a node.
    """

    owner: Owner
    generation: str
    resource_group_id: str
    name_prefix: str
    body: Mapping[str, Any]
    count: int
    maximum: int
    max_surge: int
    max_unavailable: int
    vm_size: str
    image_version: str
    priority: str
    scale_set_id: str
    node_type: str = "Microsoft.Compute/virtualMachines"

    def node_id(self, name: str) -> str:
        """Return the ARM id of the node of that name."""
        return f"{self.resource_group_id}/providers/{self.node_type}/{name}"

    @cached_property
    def needs(self) -> frozenset[str]:
        """Lower-case ids of the resources that must be ready before a node can be made."""
        ids = {ref.resource_id.lower() for ref in references(self.body)}
        return frozenset(ids | {self.resource_group_id.lower()})


class CycleError(ValueError):
    """Resources need each other in a circle."""


class Graph:
    """Resources by lower-case id, with their dependencies.

    Raises
    ------
    ValueError
        If two resources have one id.
    CycleError
        If resources need each other in a circle.
    """

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._resources: dict[str, Resource] = {}
        for resource in resources:
            key = resource.id.lower()
            if key in self._resources:
                msg = f"two resources have the id {resource.id}"
                raise ValueError(msg)
            self._resources[key] = resource
        self._dependents: dict[str, set[str]] = {key: set() for key in self._resources}
        for key, resource in self._resources.items():
            for need in self.needs(resource):
                self._dependents[need].add(key)
        self.order: tuple[str, ...] = tuple(self._topological())
        self.depth: dict[str, int] = {}
        for key in self.order:
            self.depth[key] = 1 + max((self.depth[need] for need in self.needs(self._resources[key])), default=-1)

    def __contains__(self, resource_id: str) -> bool:
        return resource_id.lower() in self._resources

    def __getitem__(self, resource_id: str) -> Resource:
        return self._resources[resource_id.lower()]

    def __iter__(self) -> Iterator[Resource]:
        return (self._resources[key] for key in self.order)

    def __len__(self) -> int:
        return len(self._resources)

    def get(self, resource_id: str) -> Resource | None:
        """Return a resource, None where there is none of that id."""
        return self._resources.get(resource_id.lower())

    def needs(self, resource: Resource) -> frozenset[str]:
        """Return the lower-case ids of the resources of this graph that must be ready before `resource`."""
        return frozenset(need for need in resource.needs if need in self._resources)

    def dependents(self, resource_id: str) -> frozenset[str]:
        """Return the lower-case ids of the resources that need this one directly."""
        return frozenset(self._dependents.get(resource_id.lower(), ()))

    def closure(self, resource_ids: Iterable[str]) -> frozenset[str]:
        """Return the lower-case ids of these resources and of all that they need."""
        found: set[str] = set()
        pending = [item.lower() for item in resource_ids if item in self]
        while pending:
            key = pending.pop()
            if key not in found:
                found.add(key)
                pending.extend(self.needs(self._resources[key]))
        return frozenset(found)

    def remaining_path(self, duration: Mapping[str, float]) -> dict[str, float]:
        """Return for each lower-case id the length of the longest path from its start to the end of everything.

        Parameters
        ----------
        duration
            Typical seconds by lower-case id; 0 where absent.
        """
        longest: dict[str, float] = {}
        for key in reversed(self.order):
            after = max((longest[item] for item in self._dependents[key]), default=0.0)
            longest[key] = duration.get(key, 0.0) + after
        return longest

    def _topological(self) -> Iterator[str]:
        missing = {key: len(self.needs(resource)) for key, resource in self._resources.items()}
        ready = [key for key, count in missing.items() if count == 0]
        heapq.heapify(ready)
        done = 0
        while ready:
            key = heapq.heappop(ready)
            done += 1
            yield key
            for item in self._dependents[key]:
                missing[item] -= 1
                if missing[item] == 0:
                    heapq.heappush(ready, item)
        if done != len(self._resources):
            circle = sorted(key for key, count in missing.items() if count > 0)
            msg = f"these resources need each other in a circle: {', '.join(circle)}"
            raise CycleError(msg)
