"""Programs of the harness: the emulated Azure, and operators that can be killed."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"  # the emulator's, when it is told of no other
START_SECONDS = 60.0
PR_SET_PDEATHSIG = 1


class HarnessError(Exception):
    """The harness itself broke; the message says where."""


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends, however that comes about."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment() -> dict[str, str]:
    """This process's environment, without what would lead a program to somebody's real Azure or cluster."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AZURE_", "HPC_", "IDENTITY_", "MSI_", "ARM_")) and name != "KUBECONFIG"
    }
    local = "127.0.0.1,localhost"
    paths = os.pathsep.join((str(ROOT / "operator"), str(ROOT / "tests/crash")))
    return {**kept, "NO_PROXY": local, "no_proxy": local, "PYTHONUNBUFFERED": "1", "PYTHONPATH": paths}


async def emulator(directory: Path, speed: float) -> tuple[asyncio.subprocess.Process, str]:
    """Start an emulated Azure and return it and its URL."""
    ready = directory / "azure.json"
    arguments = ["serve", "--speed", f"{speed:g}", "--seed", "1", "--ready-file", str(ready)]
    with (directory / "azure-emulator.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "azure_emulator.cli",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.returncode is not None or time.monotonic() > deadline:
            msg = f"The emulator did not start: see {directory / 'azure-emulator.log'}."
            raise HarnessError(msg)
        await asyncio.sleep(0.05)
    return process, str(json.loads(ready.read_text())["url"])


class Zygote:
    """The process that operators are forked from; see `crashing.zygote`.

    Parameters
    ----------
    kubeconfig
        For all of them: the client library looks it up when it is imported.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "crashing.zygote",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment() | {"KUBECONFIG": str(self._kubeconfig)},
            start_new_session=True,
        )
        await self._line()

    async def fork(self, environ: dict[str, str], log: Path, settings: dict[str, float]) -> int:
        assert self._process.stdin is not None
        asked: dict[str, Any] = {"environment": environ, "log": str(log), "settings": settings}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        return int(await self._line())

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            msg = "The process that operators are forked from has ended: see what it said above."
            raise HarnessError(msg)
        return line


class Operator:
    """One operator process.

    Parameters
    ----------
    pid
        Its process id.
    ended
        Called when it ends without having been killed by us.
    """

    def __init__(self, pid: int, ended: Callable[[], None]) -> None:
        self.pid = pid
        self._killed = False
        self._gone = asyncio.Event()
        self._told = ended
        self._descriptor = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._has_ended)

    @property
    def is_alive(self) -> bool:
        return not self._killed and not self._gone.is_set()

    async def kill(self) -> None:
        """SIGKILL, and wait until nothing of it is left."""
        self._killed = True
        if not self._gone.is_set():
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        await self._gone.wait()

    def _has_ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._gone.set()
        if not self._killed:
            self._told()
