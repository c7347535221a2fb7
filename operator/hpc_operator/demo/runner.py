"""Runs the demo and ends it, and leaves nothing behind that nobody asked for."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from hpc_operator.demo.errors import DemoError
from hpc_operator.demo.folder import Folder
from hpc_operator.demo.processes import INTERRUPTIONS
from hpc_operator.demo.setting import OPERATOR, Setting, checkout
from hpc_operator.demo.stage import Stage
from hpc_operator.demo.story import Story, how_to_go_on
from hpc_operator.demo.wording import here

SPEED: Final = 30.0
"""Emulated seconds per second: the environment is Ready in half a minute, and each step can still be followed."""

_INTERRUPTED = 130  # as a shell says it


def run(directory: Path, *, keep: bool, speed: float | None) -> int:
    """Run the demo.

    Parameters
    ----------
    directory
        Where it keeps its files. It is emptied.
    keep
        Whether to leave everything running at the end.
    speed
        Emulated seconds per second.

    Returns
    -------
    int
        The exit code: 0 when everything went as it should.
    """
    stage = Stage()
    folder = Folder(directory)
    try:
        with _signals_interrupt(), folder.locked():
            return _run(stage, folder, keep=keep, speed=speed or SPEED)
    except DemoError as error:
        stage.problem(error)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def end(directory: Path) -> int:
    """End what `run` left running, and return the exit code."""
    stage = Stage()
    folder = Folder(directory)
    if not folder.root.exists():
        stage.say(f"Nothing runs: there is no {folder.root}.")
        return 0
    try:
        with folder.locked():
            ended = Setting(folder, stage).end()
    except DemoError as error:
        stage.problem(error)
        return 1
    stage.say(f"Ended: {', '.join(ended)}." if ended else "Nothing was running.")
    return 0


def _run(stage: Stage, folder: Folder, *, keep: bool, speed: float) -> int:
    began = time.monotonic()
    root = checkout()
    setting = Setting(folder, stage)
    left_running = False
    stage.say("azure-hpc-operator on this machine: no Azure subscription, no cluster, no costs.", style="bold")
    stage.say()
    try:
        if ended := setting.end():
            stage.say(f"Ended what an earlier demo left running: {', '.join(ended)}.")
        folder.empty()
        scene = setting.start(root, speed)
        story = Story(stage, scene, root, setting.processes.check, folder.log(OPERATOR))
        story.tell()
        if keep:
            how_to_go_on(stage, scene, folder.kubeconfig)
            left_running = True
    except KeyboardInterrupt:
        stage.say()
        stage.say("Interrupted.")
        return _INTERRUPTED
    except DemoError as error:
        stage.problem(error)
        if keep:
            left_running = True
            stage.say()
            stage.say(f"The rest goes on running: export KUBECONFIG={folder.kubeconfig}; `make demo-down` ends it.")
        return 1
    finally:
        if left_running:
            setting.processes.let_go()
        else:
            _clear_away(stage, setting)
    stage.say()
    if keep:
        stage.say(f"All of it took {here(time.monotonic() - began)}.")
    else:
        stage.say(
            f"All of it took {here(time.monotonic() - began)}, and everything has ended. "
            "`make demo KEEP=1` leaves it running, with a kubeconfig to go on by hand."
        )
    return 0


def _clear_away(stage: Stage, setting: Setting) -> None:
    # Whoever presses Ctrl-C twice wants it gone sooner, not half.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTIONS}
    try:
        stage.say()
        with stage.working("ended everything that was started"):
            setting.end()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Have a hang-up or a request to end treated like Ctrl-C: what was started has to be cleared away then too."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
