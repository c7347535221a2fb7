"""Where the programs of the local cluster are: finds them, else downloads or builds them into a per-user cache.

Must not know how they are run.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from local_cluster.build import build
from local_cluster.download import DownloadError, download
from local_cluster.errors import BinaryError
from local_cluster.pins import PINS, Pin
from local_cluster.progress import Progress, Reporter
from local_cluster.toolchain import find_go

# The programs that a cluster runs; kubectl and helm only speak to it.
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager")

# What an installed program must be to be used instead of ours: how to ask it, and the oldest version that serves.
_INSTALLED: dict[str, tuple[tuple[str, ...], tuple[int, int]]] = {
    "kubectl": (("version", "--client", "--output=json"), (1, 30)),
    "helm": (("version", "--template={{.Version}}"), (3, 14)),
}


def ensure_binaries(names: Iterable[str] = tuple(PINS), progress: Progress | None = None) -> dict[str, Path]:
    """Give the path of each program; what is nowhere is downloaded or built, which takes minutes the first time.

    Looked up in this order: the folder KUBEBUILDER_ASSETS, the per-user cache, PATH (only kubectl and helm),
    the project's own release, a build from Go modules.

    Parameters
    ----------
    names
        Names of `PINS`.
    progress
        Called with each line about what is done; without it, they are printed to stderr.

    Raises
    ------
    BinaryError
        If a program can neither be found nor downloaded nor built.
    """
    wanted = set(names)
    if unknown := wanted - PINS.keys():
        raise BinaryError(f"There is no program {', '.join(sorted(unknown))} here: choose among {', '.join(PINS)}.")
    report = Reporter(progress)
    return {name: _find(pin) or _make(pin, report) for name, pin in PINS.items() if name in wanted}


def cache_directory() -> Path:
    """The folder of the current user that keeps the programs, one sub-folder for each version of each."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "azure-hpc-operator"


def _cached(pin: Pin) -> Path:
    return cache_directory() / f"{pin.name}-{pin.version}" / pin.name


def _find(pin: Pin) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    places = [Path(assets).absolute() / pin.name] if assets else []
    for place in (*places, _cached(pin)):
        if os.access(place, os.X_OK) and place.is_file():
            return place
    return _installed(pin.name)


def _installed(name: str) -> Path | None:
    """The program of that name on PATH, if it is the real one and new enough."""
    found = shutil.which(name) if name in _INSTALLED else None
    if found is None:
        return None
    arguments, minimum = _INSTALLED[name]
    try:
        answer = subprocess.run(  # noqa: S603 - found on the user's own PATH
            [found, *arguments], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20
        ).stdout
        said = json.loads(answer)["clientVersion"]["gitVersion"] if name == "kubectl" else answer.strip()
    except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
        return None
    # A suffix after a dash is a wrapper that starts one of several versions, or a pre-release.
    version = re.fullmatch(r"v(\d+)\.(\d+)\.\d+(?:\+\S+)?", str(said))
    if version is None:
        return None
    major, minor = int(version[1]), int(version[2])
    # Another major version (helm 4) is another program.
    return Path(found) if major == minimum[0] and minor >= minimum[1] else None


def _make(pin: Pin, report: Reporter) -> Path:
    path = _cached(pin)
    with _only_one(report, pin.name):
        if found := _find(pin):  # whoever had the lock before us may have made it
            return found
        with tempfile.TemporaryDirectory(dir=cache_directory(), prefix=".new-") as name:
            temporary = Path(name) / pin.name
            try:
                download(pin, temporary, report)
                report.line(f"{pin.name} {pin.version}: downloaded")
            except DownloadError as error:
                report.line(f"{pin.name} {pin.version}: not downloaded, {error}")
                build(pin, temporary, find_go(cache_directory(), report), report)
            temporary.chmod(0o755)
            path.parent.mkdir(exist_ok=True)
            temporary.replace(path)
    return path


@contextlib.contextmanager
def _only_one(report: Reporter, name: str) -> Iterator[None]:
    """Keep other processes from making programs meanwhile: two builds at once would each take twice as long."""
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.line(f"{name}: waiting for another process that downloads or builds programs")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Ours is the lock, so these belong to processes that were killed.
        for left in cache.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
