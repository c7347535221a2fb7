"""The folder of one demo: what lies where, and who may use it at present.

Knows no process and no output.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from hpc_operator.demo.errors import DemoError


class Folder:
    """Names the files of a demo; only one demo at a time works in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.cluster = self.root / "cluster"
        self.kubeconfig = self.cluster / "kubeconfig"
        self.azure = self.root / "azure"
        self.azure_ready = self.root / "azure.json"
        self.processes = self.root / "processes.json"
        self._lock = self.root / "lock"

    def log(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.root / f"{name}.log"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other demo out.

        Raises
        ------
        DemoError
            If one is in it already, or the folder is not one of ours.
        """
        if self.root.exists() and not self._lock.exists() and any(self.root.iterdir()):
            # The folder is emptied at every start: better ask than delete what somebody else keeps here.
            msg = f"{self.root} is not a folder of this demo and not empty. Choose another one with --directory."
            raise DemoError(msg)
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                msg = (
                    f"A demo is running in {self.root} at this moment. End it with Ctrl-C where it runs, or choose "
                    "another folder with --directory."
                )
                raise DemoError(msg) from None
            yield

    def empty(self) -> None:
        """Delete everything that an earlier demo left; nothing of it may be running."""
        for path in self.root.iterdir():
            if path == self._lock:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
