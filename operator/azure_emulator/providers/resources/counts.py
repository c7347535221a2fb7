"""How many resources of one type a group may hold: a limit of Resource Manager itself, with the types that it spares.

Source: azure-docs, resources-without-resource-group-limit. It counts resources at the top of a group, not their
children.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure_emulator import errors

if TYPE_CHECKING:
    from azure_emulator.types import Call

LIMIT = 800

# In lower case. Scale sets and a few others are limited until support lifts it; those stay limited here.
UNLIMITED = frozenset({
    "microsoft.alertsmanagement/prometheusrulegroups",
    *(f"microsoft.compute/{name}" for name in ("disks", "galleries", "images", "snapshots", "virtualmachines")),
    "microsoft.dbformysql/flexibleservers", "microsoft.insights/metricalerts",
    "microsoft.insights/scheduledqueryrules", "microsoft.netapp/netappaccounts",
    *(f"microsoft.network/{name}" for name in (
        "applicationsecuritygroups", "bastionhosts", "dnsforwardingrulesets", "dnsresolvers", "networkinterfaces",
        "networksecuritygroups", "privatednszones", "privateendpoints", "publicipaddresses",
        "serviceendpointpolicies")),
    "microsoft.storage/storageaccounts",
})  # fmt: skip


def refuse_too_many(call: Call, action: str) -> None:  # noqa: ARG001 (a gate)
    """Refuse to create one more than the group may hold."""
    path, engine = call.path, call.engine
    if call.method != "PUT" or path.resource_group is None or len(path.types) != 1 or not path.is_resource:
        return
    kind = engine.types.get(path.type_name.lower())
    if kind is None or kind.extension or kind.key in UNLIMITED or engine.store.get(path.text) is not None:
        return
    limit, count = engine.setting("resourcesPerGroup", LIMIT), len(engine.store.children(path.parent, kind.name))
    if count >= limit:
        raise errors.conflict(
            "ResourceQuotaExceeded",
            f"Creating the resource of type {kind.name} would exceed the quota of {limit} resources of type "
            f"{kind.name} per resource group. The current resource count is {count}, please delete some resources of "
            "this type before creating a new one.",
        )
