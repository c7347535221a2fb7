"""Takes ARM paths apart: subscription, resource group, scope, provider namespace, type and names.

Pure text: knows neither which types exist nor which resources do. ARM compares names without regard to case and keeps
the caller's casing, so everything here keeps casing and offers `key` for comparing.
"""

from __future__ import annotations

from dataclasses import dataclass

RESOURCES = "Microsoft.Resources"
RESOURCE_GROUP = f"{RESOURCES}/resourceGroups"


@dataclass(frozen=True)
class ArmPath:
    """A path in its parts; `types` is one longer than `names` where it ends in a collection or an action."""

    text: str
    subscription: str | None
    resource_group: str | None
    scope: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def key(self) -> str:
        """For comparing."""
        return self.text.lower()

    @property
    def type_name(self) -> str:
        """Full type, such as Microsoft.Network/virtualNetworks/subnets."""
        return "/".join((self.namespace, *self.types))

    @property
    def is_resource(self) -> bool:
        """Whether it ends in a name, so that it names one resource."""
        return len(self.types) == len(self.names)

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1]

    @property
    def parent(self) -> str:
        """The id of what this resource, collection or action is below."""
        return parent_of(self.text, collection=not self.is_resource)


def parse(path: str) -> ArmPath:
    """Parse a path; doubled and trailing slashes are dropped, as ARM does (scope-based SDK paths begin with two)."""
    segments = [segment for segment in path.split("/") if segment]
    for index, keyword in ((0, "subscriptions"), (2, "resourceGroups")):
        # SDKs write both resourceGroups and resourcegroups; ids come back in one way.
        if len(segments) > index and segments[index].lower() == keyword.lower():
            segments[index] = keyword
    text = "/" + "/".join(segments)
    subscription = segments[1] if len(segments) > 1 and segments[0].lower() == "subscriptions" else None
    group = segments[3] if subscription and segments[2:3] == ["resourceGroups"] and segments[3:] else None
    at = _last_providers(segments)
    if at is None:
        # What is not below a provider belongs to Microsoft.Resources: groups, tags, subscriptions.
        start = 2 if subscription and segments[2:] else 0
        rest = segments[start:]
        scope = "/" + "/".join(segments[:start]) if start else ""
        return ArmPath(text, subscription, group, scope, RESOURCES, tuple(rest[0::2]), tuple(rest[1::2]))
    scope = "/" + "/".join(segments[:at]) if at else ""
    rest = segments[at + 2 :]
    namespace = segments[at + 1]
    return ArmPath(text, subscription, group, scope, namespace, tuple(rest[0::2]), tuple(rest[1::2]))


def _last_providers(segments: list[str]) -> int | None:
    """Index of the last `providers` that stands where a type would, and is followed by namespace and type."""
    found, index = None, 0
    while index < len(segments):
        if segments[index].lower() == "providers" and index + 2 < len(segments):
            found = index
        index += 2
    return found


def parent_of(path: str, *, collection: bool = False) -> str:
    """The id one level up: the parent resource, or the scope that the top-level resource is in."""
    segments = path.strip("/").split("/")
    rest = segments[:-1] if collection else segments[:-2]
    # .../providers/{namespace} is no resource: the level above a top-level resource is its scope.
    if rest[-2:-1] and rest[-2].lower() == "providers":
        rest = rest[:-2]
    return "/" + "/".join(rest)


def last_name(path: str) -> str:
    """The last segment."""
    return path.rstrip("/").rsplit("/", 1)[-1]
