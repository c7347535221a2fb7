"""`hpc-operator plan`: what applying manifests would do, asked of Azure alone. Writes nothing, and needs no cluster.

Puts the engine to work on what stands in files; what a plan is and how it is judged is the engine's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from hpc_operator.arm import AzureError
from hpc_operator.preview.engine import look
from hpc_operator.preview.manifests import Manifests
from hpc_operator.preview.outlook import Outlook
from hpc_operator.settings import Settings, SettingsError

ERROR = 1
"""Exit code where there is no plan: a file is wrong, a setting is missing, or Azure does not answer."""


def run(paths: Iterable[str], *, namespace: str, output: Literal["text", "json"], color: bool) -> int:
    """Print what applying manifests would do; return the exit code.

    Parameters
    ----------
    paths
        Files, folders, and `-` for standard input.
    namespace
        Namespace of what names none.
    output
        Text for people, or JSON with what `status.plan` would have.
    color
        Whether text is colored.

    Returns
    -------
    int
        0 nothing to do, 2 changes, 3 something is blocked or waits for an approval, 1 an error; the worst of several
        environments.
    """
    manifests = Manifests(namespace)
    for path in paths:
        manifests.read(path)
    if not manifests.errors:
        manifests.check_references()
    _complain(manifests.ignored)
    if manifests.errors:
        _complain(manifests.errors)
        return ERROR
    snapshots = manifests.snapshots()
    if not snapshots:
        _complain(["there is no HPCEnvironment in these files"])
        return ERROR
    try:
        outlooks = asyncio.run(look(snapshots, Settings.from_environment()))
    except (SettingsError, AzureError) as error:
        _complain([str(error)])
        return ERROR
    print(_json(outlooks) if output == "json" else "\n".join(item.text(color=color) for item in outlooks), end="")
    return max(item.exit_code for item in outlooks)


def _json(outlooks: Sequence[Outlook]) -> str:
    return json.dumps([item.data() for item in outlooks], indent=2) + "\n"


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"hpc-operator: {line}", file=sys.stderr)
