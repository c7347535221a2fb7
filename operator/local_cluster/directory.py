"""The folder of one local cluster: what lies where, the lock that tells whether it runs, the state that it wrote.

Must not know how to start or stop anything.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from local_cluster.certificates import write_private
from local_cluster.errors import LocalClusterError

# Components of a supervisor that was just killed are about to go; who asks `is_running` holds the lock for a moment.
LOCK_SECONDS = 3.0


class Phase(StrEnum):
    """How far a cluster is."""

    STARTING = "Starting"
    READY = "Ready"
    PAUSED = "Paused"  # the API server is away, the rest is there
    STOPPED = "Stopped"
    FAILED = "Failed"


@dataclass(frozen=True)
class State:
    """What the supervisor of a cluster last said of it."""

    phase: Phase
    supervisor: int
    server: str = ""
    audit_log: str | None = None
    components: dict[str, int] = field(default_factory=dict)
    error: str = ""


class Directory:
    """Names the files of a cluster, and knows whether it runs."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.kubeconfig = self.root / "kubeconfig"
        self.audit_log = self.root / "audit.log"
        self.audit_policy = self.root / "audit-policy.yaml"
        self.certificates = self.root / "certificates"
        self.controller_kubeconfig = self.certificates / "controller-manager.kubeconfig"
        self.data = self.root / "etcd"
        self.logs = self.root / "logs"
        self.supervisor_log = self.logs / "supervisor.log"
        self._ports = self.root / "ports.json"
        self._state = self.root / "state.json"
        self._lock = self.root / "lock"

    def create(self) -> None:
        """Make the folder; only the current user may look into it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise LocalClusterError(
                f"The folder {self.root} cannot be used: {error.strerror}. Choose another one with --directory."
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the lock and give its descriptor. Children that inherit it hold it too: it is free when all are gone."""
        with self._lock.open("a", encoding="ascii") as lock:
            if not _lock_soon(lock.fileno()):
                raise LocalClusterError(
                    f"A cluster runs in {self.root} already. Stop it with "
                    f"`python -m local_cluster stop --directory {self.root}`, or choose another folder."
                )
            yield lock.fileno()

    def is_running(self) -> bool:
        """Whether the supervisor or any component is there."""
        try:
            with self._lock.open("r", encoding="ascii") as lock:
                # Shared: two that ask at the same time must not see each other.
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def state(self) -> State | None:
        """Give what the supervisor wrote last, be it gone or not; None if there never was one."""
        try:
            content = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        content["phase"] = Phase(content["phase"])
        return State(**content)

    def write_state(self, state: State) -> None:
        """Say how far the cluster is, to everybody who looks."""
        write_private(self._state, json.dumps(asdict(state), indent=2).encode())

    def last_port(self) -> int | None:
        """Give the API server's port of the last time: kubeconfigs that people copied keep working."""
        try:
            return int(json.loads(self._ports.read_text(encoding="ascii"))["apiServer"])
        except (FileNotFoundError, ValueError, LookupError, TypeError):
            return None

    def remember_port(self, port: int) -> None:
        """Note the API server's port for the next time."""
        write_private(self._ports, json.dumps({"apiServer": port}).encode("ascii"))

    def supervisor(self) -> int | None:
        """Give the process id of the supervisor; None if it does not run."""
        state = self.state() if self.is_running() else None
        return state.supervisor if state is not None and _exists(state.supervisor) else None


def _lock_soon(descriptor: int) -> bool:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
