"""Diagnostic settings: what Azure logs about an environment's resources goes to the site's Log Analytics workspace.

Pure; knows which types log something that people look for and that costs little.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hpc_operator.blueprint.names import Site
from hpc_operator.graph import Resource, Step

_STEP: Final = Step.BASE_SERVICES
_NAME: Final = "hpc-operator"

_LOGGED: Final = {
    "Microsoft.KeyVault/vaults": "audit",  # who read a secret
    "Microsoft.Network/bastionHosts": "allLogs",  # who came in, from where, to which machine
}
"""The category group that is sent, by type."""


def build(site: Site, resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """Return the workspace and the diagnostic settings of those resources that have something to tell."""
    workspace_id = site.environment.spec.monitoring.log_analytics_workspace
    if workspace_id is None:
        return ()
    workspace = site.referenced(workspace_id, _STEP)
    logged = [(resource, _LOGGED[resource.type]) for resource in resources if resource.type in _LOGGED]
    return (workspace, *(_setting(site, workspace, resource, group) for resource, group in logged))


def _setting(site: Site, workspace: Resource, resource: Resource, category_group: str) -> Resource:
    return Resource(
        id=f"{resource.id}/providers/Microsoft.Insights/diagnosticSettings/{_NAME}",
        step=_STEP,
        owner=site.owner,
        body={
            "properties": {
                "workspaceId": workspace.ref(),
                "logs": [{"categoryGroup": category_group, "enabled": True}],
            }
        },
    )
