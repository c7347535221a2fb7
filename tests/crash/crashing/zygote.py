"""Starts operator processes that need not import anything any more: a fork of a process that has.

Importing the operator and the SDKs takes two seconds, its own work after a restart a fifth of one. Run as
`python -m crashing.zygote`; each line of stdin is a JSON object with the environment and the log file of an operator,
and is answered with its process id. All of them end when this process does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
from pathlib import Path

from crashing.processes import end_with_parent

LATE = (
    "azure.identity.aio._credentials.imds",
    "azure.identity._internal.msal_managed_identity_client",
    "azure.mgmt.resourcegraph.aio",
    "kubernetes.aio.client.api.core_v1_api",
    "kubernetes.aio.client.api.custom_objects_api",
)
"""What is imported when it is first used."""
NOT_OF_A_RUN = ("hpc_operator.demo", "hpc_operator.crds", "hpc_operator.importing", "hpc_operator.preview")


def import_everything() -> None:
    import hpc_operator
    from hpc_operator.azure import table

    for ours in pkgutil.walk_packages(hpc_operator.__path__, "hpc_operator."):
        if not ours.name.startswith(NOT_OF_A_RUN):
            importlib.import_module(ours.name)
    for module in (*LATE, *(row.sdk.module for row in table.TABLE.values())):
        importlib.import_module(module)


def become_operator(environment: dict[str, str], log: str, settings: dict[str, float]) -> None:
    """Be what `hpc-operator run` is. Never returns.

    `settings` are waits that no user can set, by module and name: a call that hangs is given up after 75 s otherwise.
    """
    from hpc_operator import cli

    code = 1
    try:
        end_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(output, stream)
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), 0)
        os.environ.clear()
        os.environ.update(environment)
        for name, value in settings.items():
            module, _, constant = name.rpartition(".")
            if not hasattr(sys.modules[module], constant):
                raise AttributeError(f"there is no wait {name} any more: mend tests/crash")
            setattr(sys.modules[module], constant, value)
        code = cli.main(["run"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    import_everything()
    gc.freeze()  # what is shared is not copied by the next collection of a child
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the harness, which closes our stdin
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if (pid := os.fork()) == 0:
            become_operator(asked["environment"], asked["log"], asked["settings"])
        print(pid, flush=True)


if __name__ == "__main__":
    main()
