"""What other code uses: one local cluster, started and stopped from this process or left running detached.

Must not know how the components are called: the supervisor does.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from local_cluster.binaries import COMPONENTS, ensure_binaries
from local_cluster.directory import Directory, Phase, State
from local_cluster.errors import LocalClusterError
from local_cluster.processes import require_linux
from local_cluster.progress import Progress
from local_cluster.supervisor import PAUSE, READY_SECONDS, RESUME

# The supervisor gives each component its own time to end; this is for all, and a busy machine.
STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05


class LocalCluster:
    """A real API server with etcd and kube-controller-manager, on loopback ports of this machine.

    It ends with `stop`, or when this process ends, however that happens. What it holds stays in the folder.

    Parameters
    ----------
    directory
        Where its data, logs, certificates and kubeconfig lie; is created.
    audit_log
        Whether to write one JSON line for each request.
    binaries
        The path of each component, as `ensure_binaries` gives them; without it, they are found or made at the start.
    progress
        What to tell when they have to be made; without it, it is printed to stderr.
    """

    def __init__(
        self,
        directory: Path,
        *,
        audit_log: bool = False,
        binaries: dict[str, Path] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._directory = Directory(directory)
        self._wants_audit_log = audit_log
        self._binaries = binaries
        self._progress = progress
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig with all rights."""
        return self._directory.kubeconfig

    @property
    def server(self) -> str:
        """The URL of the API server."""
        state = self._directory.state()
        if state is None or not state.server:
            raise LocalClusterError(f"The cluster in {self._directory.root} has not been started: call start().")
        return state.server

    @property
    def audit_log(self) -> Path | None:
        """The audit log, JSON lines; None if there is none."""
        return self._directory.audit_log if self._wants_audit_log else None

    def start(self) -> None:
        """Start it and wait until it is ready; what an earlier start left in the folder is there again.

        Raises
        ------
        LocalClusterError
            If a component does not come up (the message has the end of its log), or a cluster runs there already.
        """
        if self._supervisor is not None and self._supervisor.poll() is None:
            return
        self._supervisor = launch(
            self._directory,
            self._binaries or ensure_binaries(COMPONENTS, self._progress),
            audit_log=self._wants_audit_log,
            parent=os.getpid(),
        )

    def stop(self) -> None:
        """End all its processes. What it holds stays in the folder."""
        if self._supervisor is None:
            return
        _end(self._supervisor)
        self._supervisor = None
        _wait_until_gone(self._directory)

    def pause_api_server(self) -> None:
        """Kill kube-apiserver (SIGKILL), and nothing else."""
        self._signal(PAUSE, Phase.PAUSED)

    def resume_api_server(self) -> None:
        """Start kube-apiserver again, on the same port with the same data."""
        self._signal(RESUME, Phase.READY)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _signal(self, what: signal.Signals, expected: Phase) -> None:
        if self._supervisor is None:
            raise LocalClusterError(f"The cluster in {self._directory.root} does not run: call start().")
        self._supervisor.send_signal(what)
        _wait_for(self._directory, expected, self._supervisor.pid, self._supervisor.poll)


def launch(
    directory: Directory, binaries: dict[str, Path], *, audit_log: bool, parent: int | None
) -> subprocess.Popen[bytes]:
    """Start a supervisor in a session of its own, and give it when its cluster is ready.

    Raises
    ------
    LocalClusterError
        If the cluster does not come up; nothing of it is left then.
    """
    require_linux()
    directory.create()
    with directory.locked():
        pass  # the supervisor takes the lock itself; who finds it held should hear so before anything starts
    command = [sys.executable, "-m", "local_cluster", "run", "--directory", str(directory.root)]
    command += [f"--binary={name}={binaries[name].absolute()}" for name in COMPONENTS]
    if audit_log:
        command.append("--audit-log")
    if parent is not None:
        command.append(f"--parent={parent}")
    # Wherever this module came from, the supervisor must be the same code.
    paths = (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))
    with directory.supervisor_log.open("wb") as log:
        supervisor = subprocess.Popen(  # noqa: S603 - this program itself
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            # A Ctrl-C in the terminal is for who started us; it decides when to stop.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
    try:
        _wait_for(directory, Phase.READY, supervisor.pid, supervisor.poll)
    except BaseException:
        _end(supervisor)
        raise
    return supervisor


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    supervisor.terminate()
    try:
        supervisor.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # The kernel then kills what it left.
        supervisor.kill()
        supervisor.wait()


def stop_detached(directory: Directory) -> bool:
    """End the cluster that runs in the folder, whoever started it; False if none does."""
    if not directory.is_running():
        return False
    if (pid := directory.supervisor()) is not None:
        os.kill(pid, signal.SIGTERM)
    try:
        _wait_until_gone(directory)
    except LocalClusterError:
        if (pid := directory.supervisor()) is None:
            raise
        os.kill(pid, signal.SIGKILL)
        _wait_until_gone(directory)
    return True


def _wait_for(directory: Directory, expected: Phase, supervisor: int, poll: Callable[[], int | None]) -> None:
    deadline = time.monotonic() + 2 * READY_SECONDS
    while True:
        code = poll()  # before the state: a supervisor writes its last words before it ends
        state = _state_of(directory, supervisor)
        if state is not None and state.phase is expected:
            return
        if state is not None and state.phase is Phase.FAILED:
            raise LocalClusterError(state.error)
        if code is not None:
            said = directory.supervisor_log.read_text(encoding="utf-8", errors="replace").strip()
            raise LocalClusterError(f"The supervisor of {directory.root} ended with exit code {code}. {said}")
        if time.monotonic() > deadline:
            raise LocalClusterError(f"The cluster in {directory.root} is not {expected}: look into {directory.logs}.")
        time.sleep(_LOOK_SECONDS)


def _state_of(directory: Directory, supervisor: int) -> State | None:
    """The state, unless an earlier supervisor wrote it."""
    state = directory.state()
    return state if state is not None and state.supervisor == supervisor else None


def _wait_until_gone(directory: Directory) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while directory.is_running():
        if time.monotonic() > deadline:
            raise LocalClusterError(f"Processes of the cluster in {directory.root} do not end: see {directory.logs}.")
        time.sleep(_LOOK_SECONDS)
