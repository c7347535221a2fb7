"""Child processes that die with their parent, and loopback ports for them.

Must not know what runs in the processes.
"""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from local_cluster.errors import LocalClusterError

# <linux/prctl.h>: the signal that a process gets when the thread that started it is gone.
_PR_SET_PDEATHSIG = 1

# Below Linux's ephemeral range (from 32768): no outgoing connection takes such a port while its server is away.
_PORTS = range(20000, 32768)

# A component that has not gone by then is killed: its data is safe in etcd, and etcd itself is quick.
STOP_SECONDS = 5.0

_LINES_OF_LOG = 25


def require_linux() -> None:
    """Refuse other systems: only Linux ends children with their parent."""
    if sys.platform != "linux":
        raise LocalClusterError("The local cluster runs on Linux only. Elsewhere, use a cluster that exists already.")


def die_with_parent() -> Callable[[], None] | None:
    """Give a `preexec_fn` with which the kernel kills the child as soon as the calling thread is gone.

    The thread, not the process: call it from one that outlives the child. Everything that may fail or allocate much
    happens here and not in the function, which runs between fork and exec.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def in_child() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before prctl
            os._exit(1)

    return in_child


def free_port() -> int:
    """Give a loopback port that nobody listens on now; whoever uses it must expect that it is taken by then."""
    for port in random.sample(_PORTS, k=200):
        if is_free(port):
            return port
    raise LocalClusterError("No free port was found on 127.0.0.1 between 20000 and 32767.")


def is_free(port: int) -> bool:
    """Whether nobody listens on the loopback port."""
    with socket.socket() as probe:
        # As servers do: connections of a server that is gone may linger on the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Child:
    """One component: a process that writes to a log file and dies with the process that started it."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, *, inherit: Sequence[int] = ()) -> None:
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own binaries and flags
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                pass_fds=inherit,
                # A Ctrl-C in the terminal is for the supervisor, which ends them in order.
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - the supervisor has one thread
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end, without waiting."""
        if self.exit_code is None:
            self._process.terminate()

    def wait(self, timeout: float = STOP_SECONDS) -> None:
        """Wait until it has ended; kill it if that takes longer than the timeout."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def log_since_start(self) -> str:
        """Everything that this process wrote to its log."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        lines = self.log_since_start().splitlines()[-_LINES_OF_LOG:]
        return "\n".join((f"The end of {self._log}:", *lines)) if lines else f"{self._log} is empty."
