"""Whether we may do what an environment needs: actions on our own resources, and joining those that they name.

Pure. What is missing for a write holds that write up; what is missing for reading or deleting is news.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hpc_operator.graph import ArmId, lineage, references
from hpc_operator.preflight.findings import Check, Finding
from hpc_operator.preflight.surroundings import Surroundings
from hpc_operator.subscription import Permissions

_GROUPS: Final = "Microsoft.Resources/resourceGroups"
_GROUP_ACTIONS: Final = "Microsoft.Resources/subscriptions/resourceGroups"
_SHOWN: Final = 5

# What Azure asks of whoever names a resource of this type in another one's body: Microsoft's "Azure permissions for
# Networking" and "… for Identity".
_LINKS: Final = {
    "microsoft.network/virtualnetworks": "Microsoft.Network/virtualNetworks/join/action",
    "microsoft.network/virtualnetworks/subnets": "Microsoft.Network/virtualNetworks/subnets/join/action",
    "microsoft.network/networksecuritygroups": "Microsoft.Network/networkSecurityGroups/join/action",
    "microsoft.network/natgateways": "Microsoft.Network/natGateways/join/action",
    "microsoft.network/publicipaddresses": "Microsoft.Network/publicIPAddresses/join/action",
    "microsoft.network/networkinterfaces": "Microsoft.Network/networkInterfaces/join/action",
    "microsoft.network/privatednszones": "Microsoft.Network/privateDnsZones/join/action",
    "microsoft.managedidentity/userassignedidentities": (
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
    ),
    "microsoft.operationalinsights/workspaces": "Microsoft.OperationalInsights/workspaces/sharedKeys/action",
    # Only private endpoints name storage accounts: their connection has to be approved.
    "microsoft.storage/storageaccounts": "Microsoft.Storage/storageAccounts/privateEndpointConnectionsApproval/action",
}
# By the type that names it, where Azure asks for another action than above: Microsoft's "Virtual network service
# endpoints".
_LINKS_FROM: Final = {
    ("microsoft.keyvault/vaults", "microsoft.network/virtualnetworks/subnets"): (
        "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action"
    ),
}

Needs = Mapping[str, Mapping[str, frozenset[str]]]
"""Scope → action → lower-case ids of what cannot be written without it."""


def needed(site: Surroundings) -> Needs:
    """Return what we have to be allowed to do, and where.

    The scope is the resource group where it exists, else the subscription; for what somebody else owns and its parts
    the resource.
    """
    needs = _Needs(site)
    for resource in site.resources:
        needs.add_own(resource.id, resource.type, resource.id, resource.body, deletes=not resource.retained)
    for nodes in site.node_sets:
        needs.add_own(nodes.node_id("node"), nodes.node_type, nodes.scale_set_id, nodes.body, deletes=True)
    for resource in site.blueprint.graph:
        if resource.referenced:
            needs.add(resource.id, f"{_prefix(resource.type)}/read")
    return needs.found


class _Needs:
    """Collects actions by scope."""

    def __init__(self, site: Surroundings) -> None:
        self.found: dict[str, dict[str, frozenset[str]]] = {}
        self._site = site
        self._spelling: dict[str, str] = {}

    def add_own(self, resource_id: str, resource_type: str, blocked: str, body: Any, *, deletes: bool) -> None:
        """Note what a resource of ours needs: itself, and what its body names."""
        prefix = _prefix(resource_type)
        self.add(resource_id, f"{prefix}/read")
        self.add(resource_id, f"{prefix}/write", blocked)
        if deletes:
            self.add(resource_id, f"{prefix}/delete")
        for ref in references(body):
            if not ref.path and (action := _link(resource_type, ref.resource_id)):
                self.add(ref.resource_id, action, blocked)

    def add(self, resource_id: str, action: str, *blocked: str) -> None:
        """Note an action on a resource, and what waits for it."""
        scope = self._scope(resource_id)
        scope = self._spelling.setdefault(scope.lower(), scope)
        actions = self.found.setdefault(scope, {})
        actions[action] = actions.get(action, frozenset()) | {item.lower() for item in blocked}

    def _scope(self, resource_id: str) -> str:
        for whole in lineage(resource_id):
            resource = self._site.blueprint.graph.get(whole)
            if resource is not None and resource.referenced:
                return resource.id
        _, _, subscription, _, group, *_ = resource_id.split("/")
        group_id = f"/subscriptions/{subscription}/resourceGroups/{group}"
        ours = self._site.blueprint.resource_group_id
        # Other groups hold what is there already, so that they are too.
        exists = group_id.lower() != ours.lower() or self._site.shown(ours) is not None
        return group_id if exists else f"/subscriptions/{subscription}"


def _prefix(resource_type: str) -> str:
    """Return what the actions of a type begin with."""
    return _GROUP_ACTIONS if resource_type == _GROUPS else resource_type


def _link(resource_type: str, target_id: str) -> str | None:
    target = ArmId.parse(target_id).type.lower()
    return _LINKS_FROM.get((resource_type.lower(), target)) or _LINKS.get(target)


def check(site: Surroundings, needs: Needs, permissions: Mapping[str, Permissions]) -> Iterator[Finding]:
    """Yield for each scope what we may not do there.

    Parameters
    ----------
    site
        The environment.
    needs
        As `needed` returns it.
    permissions
        What we may do, by scope; a scope that is absent is not judged.
    """
    for scope in sorted(needs):
        if scope not in permissions:
            continue
        missing = sorted(action for action in needs[scope] if not _allows(permissions[scope], action))
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            yield Finding(
                site.owner,
                Check.RIGHTS,
                "RightsMissing",
                f"The operator lacks rights on {scope} ({', '.join(missing[:_SHOWN])}{more}): give its identity a role "
                "with these actions there, as docs/installing.md shows",
                frozenset().union(*(needs[scope][action] for action in missing)),
            )


def _allows(permissions: Permissions, action: str) -> bool:
    # Managed Identity Operator has `userAssignedIdentities/*/assign/action` and means `…/assign/action` too.
    head, _, tail = action.partition("/assign/")
    return permissions.allows(action) or (bool(tail) and permissions.allows(f"{head}/identity/assign/{tail}"))
