"""Compiles a program of the local cluster from its Go module, and says how far it is.

Must not know where programs are kept, nor why this one has to be built.
"""

import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from local_cluster.errors import BinaryError
from local_cluster.pins import SOURCES, Pin
from local_cluster.processes import die_with_parent
from local_cluster.progress import Reporter, elapsed

# How many of Go's last words an error carries.
_LINES_KEPT = 15


def build(pin: Pin, target: Path, go: Path, report: Reporter) -> None:
    """Compile the program to `target`. The hashes in go.sum decide what code is accepted.

    Raises
    ------
    BinaryError
        If the code cannot be fetched or does not compile.
    """
    what = f"{pin.name} {pin.version}"
    began = time.monotonic()
    downloads = 0
    packages = 0
    compiled = 0

    def fetching(line: str) -> None:
        nonlocal downloads
        downloads += line.startswith("go: downloading")
        report.state(f"{what}: fetching the code, {downloads} modules, {elapsed(began)}")

    def compiling(line: str) -> None:
        nonlocal compiled
        compiled += bool(line) and not line.startswith("go: ")
        # Go compiles only what its own cache does not hold, hence the "at most".
        report.state(f"{what}: compiling, {compiled} of at most {packages} packages, {elapsed(began)}")

    report.line(f"{what}: building from Go modules")
    packages = _go(go, pin, ["list", "-deps", "-f", "x", pin.package], fetching).count("x\n")
    _go(go, pin, ["build", "-v", "-trimpath", "-ldflags", pin.linker_flags, "-o", str(target), pin.package], compiling)
    report.line(f"{what}: built in {elapsed(began)}, {target.stat().st_size >> 20} MB")


def _go(go: Path, pin: Pin, arguments: list[str], hear: Callable[[str], None]) -> str:
    """Run go in the pin's folder, pass each line of its stderr on (and "" when there is none for a while)."""
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        # Readonly: what go.mod and go.sum do not name is an error, and nothing is written into the package.
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GO111MODULE": "on",
        "GOWORK": "off",
        "GOOS": "",
        "GOARCH": "",
    }
    last: deque[str] = deque(maxlen=_LINES_KEPT)
    with subprocess.Popen(  # noqa: S603 - our go command, fixed words
        [go, *arguments],
        cwd=SOURCES / pin.source,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - it calls two C functions and takes no lock
    ) as process:
        try:
            output = _listen(process, hear, last)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BinaryError(
            f"Building {pin.name} {pin.version} failed. Go needs a module proxy or a way to the internet (GOPROXY), "
            "about 5 GB of disk for its caches, and says:\n" + "\n".join(last)
        )
    return output


def _listen(process: subprocess.Popen[bytes], hear: Callable[[str], None], last: deque[str]) -> str:
    assert process.stdout is not None  # noqa: S101 - for the type checker: both are pipes
    assert process.stderr is not None  # noqa: S101
    output, unfinished = b"", b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(timeout=1.0)
            if not ready:
                hear("")
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    output += chunk
                else:
                    *lines, unfinished = (unfinished + chunk).split(b"\n")
                    _hear_all((line.decode(errors="replace") for line in lines), hear, last)
    return output.decode(errors="replace")


def _hear_all(lines: Iterable[str], hear: Callable[[str], None], last: deque[str]) -> None:
    for line in lines:
        last.append(line)
        hear(line)
