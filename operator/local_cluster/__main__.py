"""The command line: `python -m local_cluster start|stop|status|run|binaries`.

Must not know more than the other modules offer.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from local_cluster.binaries import COMPONENTS, ensure_binaries
from local_cluster.cluster import launch, stop_detached
from local_cluster.directory import Directory, Phase
from local_cluster.errors import LocalClusterError
from local_cluster.pins import PINS
from local_cluster.processes import require_linux
from local_cluster.supervisor import supervise

# As `systemctl status` answers for what does not run.
NOT_RUNNING = 3


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say, and give the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.do(options)
    except LocalClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_cluster", description="A real Kubernetes API server on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    start = commands.add_parser("start", help="start it, leave it running, print where its kubeconfig is")
    start.set_defaults(do=_start)
    stop = commands.add_parser("stop", help="end all its processes; what it holds stays in the folder")
    stop.set_defaults(do=_stop)
    status = commands.add_parser("status", help=f"say whether it runs (exit code {NOT_RUNNING} if it does not)")
    status.set_defaults(do=_status)
    run = commands.add_parser("run", help="start it and stay until a signal comes or the parent process is gone")
    run.set_defaults(do=_run)
    for command in (start, stop, status, run):
        command.add_argument("--directory", type=Path, required=True, help="where its data, logs and kubeconfig lie")
    for command in (start, run):
        command.add_argument("--audit-log", action="store_true", help="write one JSON line for each request")
    status.add_argument("--json", action="store_true", help="print the state as JSON")
    run.add_argument("--binary", action="append", default=[], metavar="NAME=PATH", help=argparse.SUPPRESS)
    run.add_argument("--parent", type=int, help=argparse.SUPPRESS)

    binaries = commands.add_parser("binaries", help="find, download or build the programs, print where they are")
    binaries.set_defaults(do=_binaries)
    binaries.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(PINS)}; all without it")
    binaries.add_argument("--json", action="store_true", help="print them as one JSON object")
    return parser


def _start(options: argparse.Namespace) -> int:
    directory = Directory(options.directory)
    state = directory.state() if directory.supervisor() is not None else None
    if state is not None and options.audit_log and state.audit_log is None:
        raise LocalClusterError(
            f"The cluster in {directory.root} runs without an audit log. Stop it, then start it with --audit-log: "
            "what it holds stays."
        )
    if state is None or state.phase is not Phase.READY:
        supervisor = launch(directory, ensure_binaries(COMPONENTS), audit_log=options.audit_log, parent=None)
        # It outlives us: Popen is not to warn that nobody waited for it.
        supervisor.returncode = 0
    print(directory.kubeconfig)
    return 0


def _stop(options: argparse.Namespace) -> int:
    directory = Directory(options.directory)
    print(f"Stopped {directory.root}." if stop_detached(directory) else f"Nothing runs in {directory.root}.")
    return 0


def _status(options: argparse.Namespace) -> int:
    directory = Directory(options.directory)
    running = directory.is_running()
    state = directory.state()
    if options.json:
        print(json.dumps({"running": running} | (asdict(state) if state is not None else {})))
    elif running and state is not None:
        components = ", ".join(f"{name} {pid}" for name, pid in state.components.items())
        print(f"{state.phase}: {state.server}, kubeconfig {directory.kubeconfig}")
        print(f"Processes: supervisor {state.supervisor}, {components}")
    else:
        print(f"Nothing runs in {directory.root}.")
        if state is not None and state.error:
            print(f"The last time: {state.error}")
    return 0 if running else NOT_RUNNING


def _run(options: argparse.Namespace) -> int:
    directory = Directory(options.directory)
    require_linux()
    directory.create()
    given = {name: Path(path) for name, path in (binary.split("=", 1) for binary in options.binary)}
    # LocalCluster and `start` name the binaries, and say themselves what to end with.
    parent = options.parent if given else os.getppid()
    supervise(
        directory,
        given or ensure_binaries(COMPONENTS),
        audit_log=options.audit_log,
        parent=parent,
        when_ready=lambda: print(directory.kubeconfig, flush=True),
    )
    return 0


def _binaries(options: argparse.Namespace) -> int:
    paths = ensure_binaries(options.names or tuple(PINS))
    if options.json:
        print(json.dumps({name: str(path) for name, path in paths.items()}))
    else:
        print("\n".join(str(path) for path in paths.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
