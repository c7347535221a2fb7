"""`hpc-operator import`: reads a running environment from Azure and writes the three kinds for it. Changes nothing.

`look` asks Azure; all else is pure: `origin` says who made it, `ours` and `theirs` draft manifests, `draft` prints.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from hpc_operator.arm import AzureError
from hpc_operator.azure import AzureClient
from hpc_operator.importing import ours, theirs
from hpc_operator.importing.draft import Draft, Wish
from hpc_operator.importing.found import Found
from hpc_operator.importing.look import NothingThereError, look
from hpc_operator.importing.origin import Origin, recognise
from hpc_operator.settings import Settings, SettingsError

__all__ = ["Found", "NothingThereError", "Wish", "draft_of", "look", "run"]

ERROR = 1
"""Exit code where there are no manifests: a setting is missing, the group is not there, or Azure does not answer."""


def run(resource_group: str, *, subscription: str | None, wish: Wish) -> int:
    """Print manifests of what is in a resource group, and on standard error what they are made from.

    Parameters
    ----------
    resource_group
        Its name.
    subscription
        Its subscription; that of the settings where it is None.
    wish
        What the manifests shall be like.
    """
    try:
        settings = Settings.from_environment()
        settings = replace(settings, subscription_id=subscription or settings.subscription_id)
        found = asyncio.run(_look(settings, resource_group))
    except (SettingsError, AzureError, NothingThereError) as error:
        print(f"hpc-operator: {error}", file=sys.stderr)
        return ERROR
    draft = draft_of(found, wish)
    print(draft.text(), end="")
    print(draft.report(), end="", file=sys.stderr)
    return 0


def draft_of(found: Found, wish: Wish) -> Draft:
    """Return the manifests for what was found."""
    recognised = recognise(found)
    if recognised.origin is Origin.OURS:
        return ours.draft(found, recognised, wish)
    return theirs.draft(found, recognised, wish)


async def _look(settings: Settings, resource_group: str) -> Found:
    async with AzureClient(settings.arm_endpoint, settings.subscription_id) as azure:
        return await look(azure, f"/subscriptions/{settings.subscription_id}/resourceGroups/{resource_group}")
