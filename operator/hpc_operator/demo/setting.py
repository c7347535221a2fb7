"""Sets the scene: programs, API server, emulated Azure, CRDs, operator; and clears it away again.

The operator, the emulator and the API server are strangers to each other and to this package: each is a process with a
command line.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hpc_operator.demo.errors import DemoError
from hpc_operator.demo.folder import Folder
from hpc_operator.demo.look import Azure, Kubectl
from hpc_operator.demo.processes import Processes
from hpc_operator.demo.stage import Stage

SUBSCRIPTION: Final = "00000000-0000-0000-0000-000000000001"
"""The subscription that the emulator has when it is told of no other."""

PROGRAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
_START_SECONDS = 60.0
_END_SECONDS = 15.0

OPERATOR: Final = "operator"
EMULATOR: Final = "azure-emulator"


def checkout() -> Path:
    """Return the folder of the project, which has the CRDs and the examples.

    Raises
    ------
    DemoError
        If this package was installed without it.
    """
    root = Path(__file__).parents[3]
    if not (root / "examples" / "quickstart").is_dir() or not (root / "crds").is_dir():
        msg = "The demo needs the project's own files: run `make demo` in a clone of azure-hpc-operator."
        raise DemoError(msg)
    return root


@dataclass(frozen=True)
class Scene:
    """Everything that runs, and how to speak to it."""

    kubectl: Kubectl
    kubectl_binary: Path
    azure: Azure
    speed: float


class Setting:
    """What the demo starts and ends.

    Parameters
    ----------
    folder
        Where it keeps its files.
    stage
        Where it says what it does.
    """

    def __init__(self, folder: Folder, stage: Stage) -> None:
        self._folder = folder
        self._stage = stage
        self.processes = Processes(folder.processes)

    def start(self, root: Path, speed: float) -> Scene:
        """Start everything, in an empty folder."""
        stage = self._stage
        with stage.working("programs of a Kubernetes control plane, found or built", speaks=True):
            binaries = json.loads(self._local_cluster("binaries", "--json", *PROGRAMS))
        with stage.working("Kubernetes API server started on this machine"):
            self._local_cluster("start", "--directory", str(self._folder.cluster), quiet=True)
        kubectl_binary = Path(binaries["kubectl"])
        kubectl = Kubectl(kubectl_binary, _environment(KUBECONFIG=str(self._folder.kubeconfig)), root)
        with stage.working(f"emulated Azure started, {speed:g} times as fast as the real one"):
            azure = self._start_emulator(speed)
        with stage.working("the three custom resources installed: kubectl apply -f crds"):
            kubectl.text("apply", "--server-side", "-f", "crds")
            kubectl.text("wait", "--for=condition=Established", "--timeout=60s", "-f", "crds")
        with stage.working("operator started, a process of its own"):
            self._start_operator(azure.url)
        return Scene(kubectl, kubectl_binary, azure, speed)

    def end(self) -> list[str]:
        """End everything that this demo or one before it left running, and return what that was."""
        ended = self.processes.end()
        if self._folder.cluster.exists() and self._cluster_runs():
            self._local_cluster("stop", "--directory", str(self._folder.cluster), quiet=True)
            ended.append("API server")
        return ended

    def _start_emulator(self, speed: float) -> Azure:
        ready_file = self._folder.azure_ready
        command = [sys.executable, "-m", "azure_emulator.cli", "serve", "--speed", f"{speed:g}"]
        command += ["--state", str(self._folder.azure), "--ready-file", str(ready_file)]
        self._start(EMULATOR, command, _environment())
        self.processes.wait_for(EMULATOR, ready_file.exists, _START_SECONDS)
        return Azure(json.loads(ready_file.read_text())["url"])

    def _start_operator(self, azure_url: str) -> None:
        port = _free_port()
        environment = _environment(
            KUBECONFIG=str(self._folder.kubeconfig),
            HPC_SUBSCRIPTION_ID=SUBSCRIPTION,
            HPC_ARM_ENDPOINT=azure_url,
            HPC_PRICES_URL=azure_url,
            # A managed identity: the operator gets its token where a VM in Azure would, only that this is the emulator.
            AZURE_POD_IDENTITY_AUTHORITY_HOST=azure_url,
            HPC_METRICS_ADDRESS=f"127.0.0.1:{port}",
            HPC_LOG_LEVEL="INFO",
        )
        self._start(OPERATOR, [sys.executable, "-m", "hpc_operator.cli", "run"], environment)
        self.processes.wait_for(OPERATOR, lambda: _is_ready(port), _START_SECONDS)

    def _start(self, name: str, command: Sequence[str], environment: dict[str, str]) -> None:
        log = self._folder.log(name)
        self.processes.start(name, command, environment=environment, log=log, directory=self._folder.root)

    def _cluster_runs(self) -> bool:
        command = [sys.executable, "-m", "local_cluster", "status", "--directory", str(self._folder.cluster)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - ours

    def _local_cluster(self, *arguments: str, quiet: bool = False) -> str:
        """Run its command line; what it says of its progress goes to the terminal, unless it is to be quiet."""
        child = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "local_cluster", *arguments],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else None,
            text=True,
            # A Ctrl-C reaches it once, from us: a second one would interrupt its own cleaning up.
            start_new_session=True,
        )
        try:
            said, complaints = child.communicate()
        except BaseException:
            # It ends what it was about to start, if it is asked and not killed.
            child.send_signal(signal.SIGINT)
            try:
                child.communicate(timeout=_END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
            raise
        if child.returncode != 0:
            msg = f"`python -m local_cluster {arguments[0]}` failed. {(complaints or '').strip()}".strip()
            raise DemoError(msg)
        return said


def _environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would lead the others to somebody's real Azure or cluster."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AZURE_", "HPC_", "IDENTITY_", "MSI_", "ARM_")) and name != "KUBECONFIG"
    }
    local = "127.0.0.1,localhost"
    return {**kept, "NO_PROXY": local, "no_proxy": local, "PYTHONUNBUFFERED": "1", **more}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
