"""What a bench runs against: a local API server, the emulated Azure and the operator, each a process of its own.

Starts, asks and ends them; measures nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from local_cluster import LocalCluster, ensure_binaries

ROOT = Path(__file__).parents[2]
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"  # the emulator's, when it is told of no other
START_SECONDS, END_SECONDS = 60.0, 15.0
ANSWER_SECONDS = 120.0  # a query of Resource Graph over many resources keeps the emulator busy

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy is set: this is our own machine
_KNOWN = re.compile(r"^hpc_environments_known (\S+)$", re.MULTILINE)
_KUBERNETES_WRITE = re.compile(r'^hpc_kubernetes_writes_total\{what="(\w+)"\} (\S+)$', re.MULTILINE)


class BenchError(Exception):
    """The run itself broke; the message says where."""


def eventually(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            msg = f"Not within {seconds:.0f} s: {what}."
            raise BenchError(msg)
        time.sleep(0.05)
    return value


def resident_mib(pid: int) -> float:
    """Return the memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:", 1)[1].split()[0]) / 1024


def processor_seconds(pid: int) -> float:
    """Return the seconds of processor that a process has used, in user and in kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Program:
    """A process of ours, with a log."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._name = name
        self._arguments = arguments
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                # A Ctrl-C is for the bench, which ends everything in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def resident_mib(self) -> float:
        return resident_mib(self.pid)

    def processor_seconds(self) -> float:
        return processor_seconds(self.pid)

    def check(self) -> None:
        if self._process is None or (code := self._process.poll()) is None:
            return
        end = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
        msg = f"The {self._name} ended by itself (exit code {code}). The end of its log:\n{end}"
        raise BenchError(msg)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class Azure:
    """The emulator's admin API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/emulator/{path}", method=method, data=data)
        try:
            with _opener.open(request, timeout=ANSWER_SECONDS) as answer:
                return json.load(answer)
        except OSError as error:
            msg = f"The emulator does not answer {method} /emulator/{path}: {error}."
            raise BenchError(msg) from error

    def requests(self, since: int) -> list[dict[str, Any]]:
        return list(self.ask(f"requests?since={since}")["requests"])

    def last_request(self) -> int:
        # A number beyond the end: only `last` is wanted, not thousands of entries.
        return int(self.ask("requests?since=1000000000")["last"])

    def operations(self) -> list[dict[str, Any]]:
        return list(self.ask("operations"))

    def set_speed(self, speed: float) -> None:
        self.ask("clock", "PUT", {"speed": speed})

    def set(self, **settings: Any) -> None:
        """Set tunables, such as `armBuckets`."""
        self.ask("settings", "PUT", settings)


class Operator(Program):
    """The operator, as in a pod."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"
        super().__init__(
            "operator",
            ("hpc_operator.cli", "run"),
            {**environment, "HPC_METRICS_ADDRESS": self._address},
            log,
        )

    def start(self) -> None:
        super().start()
        eventually(self._is_ready, START_SECONDS, "the operator is ready")

    def kubernetes_writes(self) -> Counter[str]:
        """Return how often it wrote what, since its start."""
        return Counter({what: int(float(number)) for what, number in _KUBERNETES_WRITE.findall(self._ask("metrics"))})

    def known(self) -> int:
        """Return how many environments it has looked at since its start."""
        found = _KNOWN.search(self._ask("metrics"))
        assert found is not None
        return int(float(found[1]))

    def _is_ready(self) -> bool:
        self.check()
        try:
            return self._ask("readyz") == "ok\n"
        except OSError:
            return False

    def _ask(self, path: str) -> str:
        with _opener.open(f"http://{self._address}/{path}", timeout=ANSWER_SECONDS) as answer:
            return str(answer.read().decode())


class World:
    """Everything that runs; use it as a context manager.

    Parameters
    ----------
    directory
        An empty folder for state and logs.
    speed
        Emulated seconds per second.
    """

    def __init__(self, directory: Path, speed: float) -> None:
        self._directory = directory
        self._speed = speed
        self._ends = contextlib.ExitStack()
        self._emulator: Program | None = None
        self.azure: Azure
        self.operator: Operator
        self.kubeconfig = directory / "cluster" / "kubeconfig"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave half of it running.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._ends.close()
        signal.signal(signal.SIGINT, before)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl and return what it prints."""
        answer = subprocess.run(
            [self._kubectl, *arguments],
            env=self._environment,
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if answer.returncode:
            msg = f"kubectl {' '.join(arguments)} failed: {answer.stderr.strip()}"
            raise BenchError(msg)
        return answer.stdout

    @contextlib.contextmanager
    def restarted(self, **settings: str) -> Iterator[None]:
        """Run the operator anew with other settings, and once more as before."""
        before = self.operator
        before.stop()
        self.operator = self._operator(**settings)
        self.operator.start()
        try:
            yield
        finally:
            self.operator.stop()
            self.operator = before
        self.operator.start()

    @contextlib.contextmanager
    def paused(self, speed: float, **settings: str) -> Iterator[Path]:
        """End operator and emulator; at the end start the emulator anew, and have another operator ready to be started.

        Parameters
        ----------
        speed
            Emulated seconds per second from then on.
        settings
            Of the operator.

        Yields
        ------
        Path
            The state of the emulator, which is nobody's meanwhile.
        """
        self.operator.stop()
        self._stop_emulator()
        yield self._directory / "azure"
        self._start_emulator(speed)
        self.operator = self._operator(**settings)

    def check(self) -> None:
        """Raise if something that has to run does not."""
        assert self._emulator is not None
        self._emulator.check()
        self.operator.check()

    def _start(self) -> None:
        binaries = ensure_binaries()
        self._kubectl = binaries["kubectl"]
        cluster = LocalCluster(self._directory / "cluster", binaries=binaries)
        self._ends.callback(cluster.stop)
        cluster.start()
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AZURE_", "HPC_", "IDENTITY_", "MSI_", "ARM_"))
        } | {
            "KUBECONFIG": str(self.kubeconfig),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            # The operator that is measured is the one of this checkout.
            "PYTHONPATH": str(ROOT / "operator"),
        }
        self.kubectl("apply", "--server-side", "-f", "crds")
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", "crds")

        self._ends.callback(self._stop_emulator)
        self._start_emulator(self._speed)
        self.operator = self._operator()
        self._ends.callback(self._stop_operator)
        self.operator.start()

    def _start_emulator(self, speed: float) -> None:
        ready_file = self._directory / "azure.json"
        ready_file.unlink(missing_ok=True)
        arguments = ("serve", "--speed", f"{speed:g}", "--seed", "1", "--ready-file", str(ready_file))
        emulator = self._emulator = Program(
            "emulator",
            ("azure_emulator.cli", *arguments, "--state", str(self._directory / "azure")),
            self._environment,
            self._directory / "azure-emulator.log",
        )
        emulator.start()

        def emulator_is_ready() -> bool:
            emulator.check()
            return ready_file.exists()

        eventually(emulator_is_ready, START_SECONDS, "the emulator is ready")
        self.azure = Azure(json.loads(ready_file.read_text())["url"])

    def _stop_emulator(self) -> None:
        if self._emulator is not None:
            self._emulator.stop()

    def _stop_operator(self) -> None:
        self.operator.stop()  # whichever it is by then

    def _operator(self, **settings: str) -> Operator:
        environment = {
            **self._environment,
            "HPC_SUBSCRIPTION_ID": SUBSCRIPTION,
            "HPC_ARM_ENDPOINT": self.azure.url,
            "HPC_PRICES_URL": self.azure.url,
            # A managed identity: the token comes from where a VM in Azure gets it, only that this is the emulator.
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.azure.url,
            **settings,
        }
        return Operator(environment, self._directory / "operator.log")
