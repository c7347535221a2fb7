"""Scripts that run inside machines through engine.guests: how one is put together, started, and awaited.

Used by Run Commands and extensions; knows neither. An execution is a JSON document, because it outlives a restart.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource
    from azure_emulator.types import Execution

# How often, in real seconds, a running script is looked at: it runs in real time, whatever the emulated clock does.
LOOK_AGAIN_REAL_SECONDS = 0.1
LOOK_AGAIN_SECONDS = 1.0
# What instance views keep of a script's output: the last 4 KiB (run-command-managed doc).
OUTPUT_KEPT = 4096

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def begin(
    engine: Engine, machine: Resource, script: str, *, arguments: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None, user: str = "root", timeout: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Start a script in a machine."""
    whole = with_environment(script, environment or {})
    ticket = engine.guests.run(machine, whole, arguments=arguments, user=user, timeout=timeout)
    return {"ticket": ticket, "start": engine.now, "timeout": timeout}


def outcome(engine: Engine, execution: dict[str, Any]) -> dict[str, Any] | None:
    """What came of it, or None as long as it runs."""
    result: Execution | None = engine.guests.result(execution["ticket"])
    if result is None:
        return None
    return {
        **execution, "end": result.end or engine.now, "start": result.start or execution["start"],
        "exitCode": result.exit_code, "output": result.output[-OUTPUT_KEPT:], "error": result.error[-OUTPUT_KEPT:],
        "state": "TimedOut" if result.timed_out else "Succeeded" if result.exit_code == 0 else "Failed",
    }  # fmt: skip


def look_again(engine: Engine) -> float:
    """The emulated moment at which to ask for the outcome again."""
    present = max(engine.now, engine.clock.elapsed)
    return present + max(LOOK_AGAIN_SECONDS, LOOK_AGAIN_REAL_SECONDS * engine.clock.speed)


def with_environment(script: str, environment: Mapping[str, str]) -> str:
    """The script with variables set; it is kept whole, because its first line may name an interpreter."""
    known = {name: value for name, value in environment.items() if _VARIABLE.fullmatch(name)}
    if not known:
        return script
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in known.items())
    return exports + _carried(script)


def _carried(script: str) -> str:
    encoded = base64.b64encode((script if script.startswith("#!") else f"#!/bin/sh\n{script}").encode()).decode()
    return f'file=$(mktemp)\nprintf %s {encoded} | base64 -d > "$file"\nchmod 700 "$file"\nexec "$file" "$@"\n'


def downloaded(address: str) -> str:
    """A script that fetches another one and runs it."""
    fetch = f'file=$(mktemp)\ncurl -fsSL -o "$file" {shlex.quote(address)} || exit 1\n'
    return f'{fetch}chmod 700 "$file"\nexec "$file" "$@"\n'


def shown(state: str, execution: Mapping[str, Any]) -> str:
    """Output as the agent writes it into a status message."""
    return f"Enable {state}: \n[stdout]\n{execution['output']}\n[stderr]\n{execution['error']}"


def failed(execution: Mapping[str, Any]) -> str:
    """The message of an agent whose script failed."""
    return (
        f"Enable failed: failed to execute command: command terminated with exit status={execution['exitCode']}\n"
        f"[stdout]\n{execution['output']}\n[stderr]\n{execution['error']}"
    )
