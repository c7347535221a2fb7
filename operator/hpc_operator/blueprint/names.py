"""Names, ids and tags of everything that one environment holds.

Deterministic, so that a request whose answer was lost is repeated harmlessly. Pure; knows which names must be unique
where, and nothing of what the resources are for.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hpc_operator.api import HPCEnvironment
from hpc_operator.graph import Owner, Resource, Step, moved

_LONGEST_RESOURCE_GROUP_NAME: Final = 90  # Azure's "Naming rules and restrictions for Azure resources"
_DIGEST_LENGTH: Final = 5
# Microsoft's "Use tags to organize your Azure resources": Private DNS takes 15, everything else that we make 50.
_FEW_TAGS: Final = ("Microsoft.Network/privateDnsZones", 15)
# `azure`, `microsoft` and `windows` are reserved as prefixes (Azure REST reference, Tags - Create Or Update).
TAG_PREFIX: Final = "hpc-"
ENVIRONMENT_TAG: Final = f"{TAG_PREFIX}environment"
PARTITION_TAG: Final = f"{TAG_PREFIX}partition"
GENERATION_TAG: Final = f"{TAG_PREFIX}generation"
CLAIM_TAG: Final = f"{TAG_PREFIX}claim"
"""On the resource group alone: which operator the environment belongs to."""
OWNER_TAG: Final = f"{TAG_PREFIX}owner"
PURPOSE_TAG: Final = f"{TAG_PREFIX}purpose"
MOUNT_PATH_TAG: Final = f"{TAG_PREFIX}mount-path"
VM_SIZE_TAG: Final = f"{TAG_PREFIX}vm-size"
PRIORITY_TAG: Final = f"{TAG_PREFIX}priority"
IMAGE_TAG: Final = f"{TAG_PREFIX}image"
OWNERSHIP_TAGS: Final = (
    ENVIRONMENT_TAG,
    OWNER_TAG,
    PARTITION_TAG,
    GENERATION_TAG,
    PURPOSE_TAG,
    CLAIM_TAG,
    MOUNT_PATH_TAG,
    VM_SIZE_TAG,
    PRIORITY_TAG,
    IMAGE_TAG,
)
"""Tags that tell whose a resource is, and what for where nothing else in Azure shows it. A user's tag of one of these
names is left out."""
LONGEST_TAG_VALUE: Final = 256

STORAGE_ACCOUNT: Final = "Microsoft.Storage/storageAccounts"
VAULT: Final = "Microsoft.KeyVault/vaults"


def digest(*parts: str, length: int = _DIGEST_LENGTH) -> str:
    """Return a hash of some texts, in letters and digits that every Azure name and every host name may have."""
    text = "\0".join(parts)
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower().rstrip("=")[:length]


def resource_group_name(environment: HPCEnvironment) -> str:
    """Return the name of the environment's resource group.

    Kubernetes names have no underscore, so that no two environments that choose none can have one name.
    """
    if environment.spec.resource_group is not None:
        return environment.spec.resource_group
    name = f"{environment.metadata.namespace}_{environment.metadata.name}"
    if len(name) <= _LONGEST_RESOURCE_GROUP_NAME:
        return name
    return f"{name[: _LONGEST_RESOURCE_GROUP_NAME - _DIGEST_LENGTH - 1]}_{digest(name)}"


@dataclass(frozen=True)
class Site:
    """One environment's place in Azure: makes ids, tags and resources.

    Parameters
    ----------
    subscription_id
        The Azure subscription.
    environment
        The environment.
    claim
        Tells the operator apart from others that have an environment of the same name; empty for no such tag.
    former_tags
        Names of tags that are not wanted any more.
    places
        ARM ids of what is elsewhere than we would put it, by the lower-case id that we would give it.
    """

    subscription_id: str
    environment: HPCEnvironment
    claim: str = ""
    former_tags: frozenset[str] = frozenset()
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> Owner:
        """The environment as the owner of resources."""
        return Owner("HPCEnvironment", self.environment.metadata.name)

    @property
    def resource_group_id(self) -> str:
        """ARM id of the resource group."""
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{resource_group_name(self.environment)}"

    @property
    def storage_account_name(self) -> str:
        """Name of the storage account."""
        return self.globally_unique("hpc", 24)

    @property
    def vault_name(self) -> str:
        """Name of the vault. A deleted one keeps its name for a while, hence the object's uid in it."""
        return self.globally_unique("hpc-", 24, self.environment.metadata.uid)

    def expected_id(self, resource: str) -> str:
        """Return the ARM id that we would give a resource.

        Parameters
        ----------
        resource
            Its type and names. Those whose name nobody can know are called `…/storageAccounts/storage` and
            `…/vaults/vault`.
        """
        aliases = {
            f"{STORAGE_ACCOUNT}/storage".lower(): f"{STORAGE_ACCOUNT}/{self.storage_account_name}",
            f"{VAULT}/vault".lower(): f"{VAULT}/{self.vault_name}",
        }
        return f"{self.resource_group_id}/providers/{aliases.get(resource.lower(), resource)}"

    def id(self, resource_type: str, *names: str) -> str:
        """Return the ARM id of a resource: in the environment's resource group, or where it is in fact.

        Parameters
        ----------
        resource_type
            Such as `Microsoft.Network/virtualNetworks/subnets`.
        names
            One name for each segment of the type after its namespace.
        """
        namespace, *segments = resource_type.split("/")
        pairs = "/".join(f"{segment}/{name}" for segment, name in zip(segments, names, strict=True))
        return moved(f"{self.resource_group_id}/providers/{namespace}/{pairs}", self.places)

    def globally_unique(self, prefix: str, length: int, *more: str) -> str:
        """Return a name that no other subscription, namespace or environment comes to.

        Parameters
        ----------
        prefix
            Tells people what it is.
        length
            How long the name may be at most.
        more
            What else the name depends on.
        """
        metadata = self.environment.metadata
        parts = (self.subscription_id.lower(), metadata.namespace, metadata.name, *more)
        return prefix + digest(*parts, length=length - len(prefix))

    def tags(self, owner: Owner | None = None, ownership: Mapping[str, str] | None = None) -> dict[str, str | None]:
        """Return the user's tags and the ownership tags; None stands for one that may not be there any more.

        Parameters
        ----------
        owner
            The custom resource, the environment where it is left out.
        ownership
            More ownership tags.
        """
        metadata = self.environment.metadata
        # Azure compares the names of tags without regard to case.
        wanted = {key: value for key, value in self.environment.spec.tags.items() if key.lower() not in OWNERSHIP_TAGS}
        present = {*OWNERSHIP_TAGS, *map(str.lower, wanted)}
        former = (key for key in self.former_tags if key.lower() not in present)
        tags: dict[str, str | None] = {**wanted, **dict.fromkeys(former)}
        tags[ENVIRONMENT_TAG] = f"{metadata.namespace}/{metadata.name}"
        tags[OWNER_TAG] = str(owner or self.owner)
        return {**tags, **(ownership or {})}

    def resource(
        self,
        resource_type: str,
        *names: str,
        step: Step,
        owner: Owner | None = None,
        ownership: Mapping[str, str] | None = None,
        location: str | None = None,
        retained: bool = False,
        holds_data: bool = False,
        **body: Any,
    ) -> Resource:
        """Return a resource that has a location and tags.

        Parameters
        ----------
        resource_type, names
            As in `id`.
        step
            The deployment step.
        owner
            The custom resource it belongs to, the environment where it is left out.
        ownership
            More ownership tags, as in `tags`.
        location
            The environment's where it is left out.
        retained
            Whether it stays when its owner goes.
        holds_data
            Whether an empty one is no replacement for it.
        body
            The other keys of the body.
        """
        return Resource(
            id=self.id(resource_type, *names),
            step=step,
            owner=owner or self.owner,
            body={
                "location": location or self.environment.spec.location,
                "tags": _as_many_as_allowed(resource_type, self.tags(owner, ownership)),
                **body,
            },
            retained=retained,
            holds_data=holds_data,
        )

    def referenced(self, resource_id: str, step: Step) -> Resource:
        """Return a resource of somebody else that has to exist."""
        return Resource(id=resource_id, step=step, owner=self.owner, referenced=True)


def _as_many_as_allowed(resource_type: str, tags: dict[str, str | None]) -> dict[str, str | None]:
    few, most = _FEW_TAGS
    if not resource_type.startswith(few):
        return tags
    ours_first = sorted(tags, key=lambda key: (key not in OWNERSHIP_TAGS, key))
    too_many = [key for key in ours_first if tags[key] is not None][most:]
    return {key: value for key, value in tags.items() if key not in too_many}


def role_assignment_name(scope: str, role: str, identity_id: str) -> str:
    """Return the name of a role assignment: a UUID made from scope, role and identity.

    The principal itself is not known before the identity exists, so the identity's ARM id stands for it.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope.lower()}\n{role}\n{identity_id.lower()}"))
