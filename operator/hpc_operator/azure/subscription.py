"""`AzureSubscription`: what a subscription allows and costs (`subscription.Subscription`).

Asks through `AzureClient`, and changes nothing. Answers are remembered: quota, sizes and names are looked at in every
plan, and Azure meters its reads.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from hpc_operator.arm import AzureError, ErrorClass
from hpc_operator.azure import locks, table
from hpc_operator.azure.answers import Answers
from hpc_operator.azure.client import AzureClient
from hpc_operator.azure.prices import PriceList
from hpc_operator.azure.table import Sdk
from hpc_operator.graph import ArmId
from hpc_operator.subscription import Author, Image, Lock, Permissions, Price, Usage, VmSize

SIZES_LIFETIME: Final = 12 * 3600.0
"""Seconds for VM sizes: the list has megabytes, and what a region offers changes by the week."""

USAGES_LIFETIME: Final = 60.0
"""Seconds for quota: our own machines come and go, and older figures would count them as free. Environments of a region
share the answer."""

FACTS_LIFETIME: Final = 600.0
"""Seconds for registrations, rights, names and images: a person changes them, and a role takes as long to act."""

LOCKS_LIFETIME: Final = 60.0
"""Seconds for locks: who removes one looks whether it helped. Long enough for all environments of one sweep."""

MARKETPLACE: Final = Sdk("azure.mgmt.marketplaceordering.aio", "MarketplaceOrderingAgreements")
MONITOR: Final = Sdk("azure.mgmt.monitor.aio", "MonitorManagementClient")

_PERMISSIONS_VERSION: Final = "2022-04-01"  # as azure-mgmt-authorization has it, which cannot ask at a subscription
_ABSENT: Final = frozenset({"PlatformImageNotFound", "ImageVersionDeprecated", "ImageNotFound"})


@dataclass(frozen=True)
class _Listed:
    """Where a namespace tells of its quota."""

    sdk: Sdk
    group: str
    operation: str = "list"


_USAGES: Mapping[str, _Listed] = {
    "microsoft.compute": _Listed(table.COMPUTE, "usage"),
    "microsoft.network": _Listed(table.NETWORK, "usages"),
    "microsoft.storage": _Listed(table.STORAGE, "usages", "list_by_location"),
    "microsoft.netapp": _Listed(table.NETAPP, "net_app_resource_quota_limits"),
    "microsoft.storagecache": _Listed(table.STORAGE_CACHE, "asc_usages"),
}


@dataclass(frozen=True)
class _Named:
    """Where a type with names that are unique in all of Azure tells whether one is free."""

    sdk: Sdk
    group: str


_NAMES: Mapping[str, _Named] = {
    "microsoft.storage/storageaccounts": _Named(table.STORAGE, "storage_accounts"),
    "microsoft.keyvault/vaults": _Named(table.KEY_VAULT, "vaults"),
}


class AzureSubscription:
    """A subscription.

    Parameters
    ----------
    client
        Who asks; it stays the caller's to close.
    prices
        The price list.
    usages_lifetime
        Seconds that quota is remembered.
    """

    def __init__(
        self, client: AzureClient, prices: PriceList | None = None, *, usages_lifetime: float = USAGES_LIFETIME
    ) -> None:
        self._client = client
        self._prices = prices or PriceList("")
        self._usages_lifetime = usages_lifetime
        self._answers = Answers()

    async def usages(self, namespace: str, location: str) -> Mapping[str, Usage]:
        """Return quota and its use in a region; see `subscription.Subscription`.

        Raises
        ------
        ValueError
            If the namespace has no quota that we know of: a bug in a check.
        """
        listed = _USAGES.get(namespace.lower())
        if listed is None:
            msg = f"nobody knows where {namespace} tells of its quota"
            raise ValueError(msg)

        async def ask() -> Mapping[str, Usage]:
            found = await self._client.read_all("", listed.sdk, listed.group, listed.operation, location)
            return {usage.name.lower(): usage for item in found if (usage := _usage(item)) is not None}

        question = ("usages", namespace.lower(), location.lower())
        return await self._answers.get(question, self._usages_lifetime, ask)

    async def vm_sizes(self, location: str) -> Mapping[str, VmSize]:
        """Return every VM size that a region has; see `subscription.Subscription`."""

        async def ask() -> Mapping[str, VmSize]:
            found = await self._client.read_all(
                "", table.COMPUTE, "resource_skus", "list", filter=f"location eq '{location}'"
            )
            machines = (item for item in found if item.get("resourceType") == "virtualMachines")
            return {str(item["name"]).lower(): _vm_size(item, location) for item in machines}

        return await self._answers.get(("sizes", location.lower()), SIZES_LIFETIME, ask)

    async def image(self, location: str, urn: str) -> Image:
        """Return what is known of a marketplace image; see `subscription.Subscription`."""
        question = ("image", location.lower(), urn.lower())
        return await self._answers.get(question, FACTS_LIFETIME, lambda: self._image(location, urn))

    async def _image(self, location: str, urn: str) -> Image:
        publisher, offer, sku, _ = urn.split(":")
        try:
            version = await self._client.latest_image_version(location, urn)
            body = await self._client.read(
                "", table.COMPUTE, "virtual_machine_images", "get", location, publisher, offer, sku, version
            )
        except AzureError as error:
            if error.status == HTTPStatus.NOT_FOUND and (
                error.error_class is ErrorClass.ORDERING or error.code in _ABSENT
            ):
                return Image(exists=False)
            raise
        plan = body.get("properties", {}).get("plan")
        if not plan:
            return Image(exists=True)
        named = (str(plan["publisher"]), str(plan["product"]), str(plan["name"]))
        return Image(exists=True, plan=named, terms_accepted=await self._terms_accepted(named))

    async def _terms_accepted(self, plan: tuple[str, str, str]) -> bool | None:
        try:
            terms = await self._client.read("", MARKETPLACE, "marketplace_agreements", "get", "virtualmachine", *plan)
        except AzureError as error:
            if error.error_class is ErrorClass.PERMANENT:
                return None
            raise
        return bool(terms["properties"]["accepted"])

    async def registrations(self) -> Mapping[str, str]:
        """Return the registration state by lower-case namespace; see `subscription.Subscription`."""

        async def ask() -> Mapping[str, str]:
            found = await self._client.read_all("", table.RESOURCES, "providers", "list")
            return {str(item["namespace"]).lower(): str(item["registrationState"]) for item in found}

        return await self._answers.get("registrations", FACTS_LIFETIME, ask)

    async def name_taken(self, resource_id: str) -> str:
        """Return why a name cannot be had; see `subscription.Subscription`. That we have it ourselves is no reason."""
        question = ("name", resource_id.lower())
        return await self._answers.get(question, FACTS_LIFETIME, lambda: self._name_taken(resource_id))

    async def _name_taken(self, resource_id: str) -> str:
        arm_id = ArmId.parse(resource_id)
        named = _NAMES.get(arm_id.type.lower())
        if named is None:
            return ""
        asked = json.dumps({"name": arm_id.name, "type": arm_id.type}).encode()
        answer = await self._client.read(arm_id.scope, named.sdk, named.group, "check_name_availability", asked)
        if answer["nameAvailable"] or await self._client.get(resource_id) is not None:
            return ""
        if named.sdk is table.KEY_VAULT:
            for vault in await self._client.read_all(arm_id.scope, named.sdk, named.group, "list_deleted"):
                if str(vault["name"]).lower() == arm_id.name.lower():
                    return _kept(vault)
        return str(answer.get("message") or answer.get("reason") or "The name is not available.")

    async def permissions(self, scope: str) -> Permissions:
        """Return what we may do at a scope; see `subscription.Subscription`."""

        async def ask() -> Permissions:
            path = f"{scope}/providers/Microsoft.Authorization/permissions?api-version={_PERMISSIONS_VERSION}"
            found = (await self._client.read_path(path)).get("value", [])
            return Permissions(tuple(_grant(item) for item in found))

        return await self._answers.get(("permissions", scope.lower()), FACTS_LIFETIME, ask)

    async def locks(self, scope: str) -> list[Lock]:
        """Return the locks that hold at a scope; see `subscription.Subscription`."""
        subscription = "/".join(scope.split("/")[:3])
        found = await self._answers.get(
            ("locks", subscription.lower()), LOCKS_LIFETIME, lambda: locks.read(self._client, subscription)
        )
        return locks.at(scope, found)

    async def last_author(self, resource_id: str, since: str) -> Author | None:
        """Return who wrote last to a resource; see `subscription.Subscription`. Never ourselves.

        Parts of the resource count, such as the rules of a security group: they have ids of their own. Events take some
        minutes to get into the activity log, and nothing is remembered here.
        """
        group = ArmId.parse(resource_id).resource_group
        where = f"resourceGroupName eq '{group}'" if group else f"resourceUri eq '{resource_id}'"
        ourselves, events = await asyncio.gather(
            self._client.principals(),
            self._client.read_all(
                resource_id,
                MONITOR,
                "activity_logs",
                "list",
                f"eventTimestamp ge '{since}' and {where}",
                select="caller,operationName,status,eventTimestamp,resourceId",
            ),
        )
        authors = [
            _author(event)
            for event in events
            if event["status"]["value"] != "Failed" and _is_part(str(event.get("resourceId", "")), resource_id)
        ]
        others = [author for author in authors if author.caller and author.caller.lower() not in ourselves]
        return max(others, key=lambda author: author.time, default=None)

    async def prices(self, location: str, sizes: Collection[str]) -> Mapping[str, Price]:
        """Return list prices by lower-case VM size; see `subscription.Subscription`."""
        return await self._prices.of(location, sizes)


def _is_part(resource_id: str, whole: str) -> bool:
    return f"{resource_id.lower()}/".startswith(f"{whole.lower()}/")


def _usage(item: Mapping[str, Any]) -> Usage | None:
    """Return a line of quota, None where Azure tells a limit but not what is in use (NetApp, for some)."""
    properties = item.get("properties")
    if properties is None:
        return Usage(str(item["name"]["value"]), int(item["currentValue"]), int(item["limit"]))
    # NetApp calls the limit `current`, and puts the region before the name.
    if properties.get("usage") is None:
        return None
    return Usage(str(item["name"]).rpartition("/")[2], int(properties["usage"]), int(properties["current"]))


def _vm_size(item: Mapping[str, Any], location: str) -> VmSize:
    able = {str(one["name"]): str(one["value"]) for one in item.get("capabilities") or ()}
    here = location.lower()
    zones = {
        str(zone)
        for place in item.get("locationInfo") or ()
        if str(place["location"]).lower() == here
        for zone in place.get("zones") or ()
    }
    restricted: set[str] = set()
    unavailable = ""
    for restriction in item.get("restrictions") or ():
        places = restriction.get("restrictionInfo") or {}
        if here not in {str(place).lower() for place in places.get("locations") or restriction.get("values") or ()}:
            continue
        if restriction["type"] == "Zone":
            restricted.update(str(zone) for zone in places.get("zones") or ())
        else:
            unavailable = str(restriction.get("reasonCode") or "NotAvailableForSubscription")
    return VmSize(
        name=str(item["name"]),
        family=str(item["family"]),
        vcpus=int(able["vCPUs"]),
        memory_gib=float(able.get("MemoryGB", 0)),
        gpus=int(float(able.get("GPUs", 0))),
        rdma=_is(able, "RdmaEnabled"),
        accelerated_networking=_is(able, "AcceleratedNetworkingEnabled"),
        spot=_is(able, "LowPriorityCapable"),
        premium_storage=_is(able, "PremiumIO"),
        zones=frozenset(zones),
        restricted_zones=frozenset(restricted),
        unavailable=unavailable,
    )


def _is(able: Mapping[str, str], name: str) -> bool:
    return able.get(name, "").lower() == "true"


def _kept(vault: Mapping[str, Any]) -> str:
    name, properties = vault["name"], vault["properties"]
    return (
        f"The vault {properties['vaultId']} was deleted, and Azure keeps its name until "
        f"{properties['scheduledPurgeDate']}: run `az keyvault recover --name {name}`, or `az keyvault purge --name "
        f"{name}` if its secrets may go."
    )


def _grant(item: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(item.get("actions") or ()), tuple(item.get("notActions") or ())


def _author(event: Mapping[str, Any]) -> Author:
    return Author(str(event.get("caller") or ""), str(event["operationName"]["value"]), str(event["eventTimestamp"]))
