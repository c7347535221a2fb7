"""The azure-emulator command: serve, admin, report, types, shell.

Knows nothing of ARM.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import math
import os
import signal
import sqlite3
import sys
from pathlib import Path

from azure_emulator import admin_client, reference, report, scenario
from azure_emulator.documents import DocumentError
from azure_emulator.emulator import SUBSCRIPTION, Emulator
from azure_emulator.guests import shell

SCENARIO_DONE = "scenarioDone"
HIGHEST_PORT = 65535


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="azure-emulator",
        description="An Azure Resource Manager server for one machine. It answers to az, Terraform, Ansible and the "
        "SDKs as Azure does: with its types, rules, quotas, errors and durations.",
        epilog="Begin with `azure-emulator serve`, open the address that it prints in a browser, and read "
        "docs/emulator.md.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the server until SIGTERM or SIGINT")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=0, help="port to listen on; 0 takes a free one (default)")
    serve.add_argument("--state", type=Path, metavar="DIR", help="keep everything here across restarts")
    serve.add_argument("--speed", type=_speed, help="emulated seconds per second (default: 1, or as it was)")
    serve.add_argument("--seed", type=int, default=0, help="decides durations and generated ids (default: 0)")
    serve.add_argument(
        "--subscription",
        action="append",
        metavar="ID",
        help=f"id of a subscription that exists; may be repeated (default: {SUBSCRIPTION})",
    )
    serve.add_argument("--tls", action="store_true", help="speak TLS, with a certificate authority of its own")
    serve.add_argument(
        "--tls-name", action="append", metavar="HOST", help="host name beside localhost to have a certificate for"
    )
    serve.add_argument(
        "--ca-file", type=Path, metavar="PATH", help="write the certificate of the authority here, for clients to trust"
    )
    serve.add_argument(
        "--http-port", type=_port, metavar="PORT", help="listen here without TLS too, as IMDS does; 0 takes a free one"
    )
    serve.add_argument(
        "--guests",
        type=Path,
        metavar="DIR",
        help="run virtual machines for real, with their disks and shares kept here",
    )
    serve.add_argument(
        "--guests-proxy",
        type=_port,
        default=0,
        metavar="PORT",
        help="port of the HTTP proxy to guests' private addresses",
    )
    serve.add_argument(
        "--scenario", type=Path, metavar="FILE", help="begin with the quota, resources, people and faults of this file"
    )
    serve.add_argument("--restore", type=Path, metavar="FILE", help="begin with this snapshot (see `admin snapshot`)")
    serve.add_argument("--ready-file", type=Path, metavar="PATH", help="write the URL here as JSON once it answers")
    entry = commands.add_parser("shell", help="open a shell inside a virtual machine that runs for real")
    entry.add_argument("vm", metavar="VM", help="name or resource id of the virtual machine")
    entry.add_argument("--guests", type=Path, metavar="DIR", required=True, help="the directory that `serve` was given")
    entry.add_argument("--user", default="root", help="whose shell (default: %(default)s)")
    entry.add_argument("words", metavar="COMMAND", nargs="*", help="run this instead of a login shell (after --)")
    types = commands.add_parser("types", help="list the resource types and how deeply each is emulated")
    types.add_argument("--markdown", action="store_true", help="as a page, with the settings")
    admin_client.add_commands(commands.add_parser("admin", help="look into a running emulator, and let things happen"))
    report_parser = commands.add_parser("report", help="tables of what clients did: calls, refusals, critical path")
    admin_client.add_arguments(report_parser)
    report_parser.add_argument(
        "--state", type=Path, metavar="DIR", help="read this state instead of asking an emulator"
    )
    options = parser.parse_args(arguments)
    if options.command == "admin":
        return admin_client.run(options)
    if options.command == "report":
        return report.run(options)
    if options.command == "types":
        print(reference.markdown() if options.markdown else reference.text())
        return 0
    if options.command == "shell":
        return _shell(options)
    return _run_server(options)


def _run_server(options: argparse.Namespace) -> int:
    try:
        emulator = Emulator(
            speed=options.speed,
            state=options.state,
            seed=options.seed,
            subscriptions=tuple(options.subscription or (SUBSCRIPTION,)),
            host=options.host,
            port=options.port,
            tls=options.tls,
            tls_names=tuple(options.tls_name or ()),
            http_port=options.http_port,
            guests=options.guests,
            guests_proxy_port=options.guests_proxy,
        )
        _begin(emulator, options)
        if options.ca_file is not None:
            _write_atomically(options.ca_file, emulator.ca)
    except (DocumentError, OSError, ValueError, sqlite3.Error) as error:
        return _refuse(_said(error))
    try:
        asyncio.run(_serve(emulator, options.ready_file))
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            return _refuse(f"cannot listen: {error.strerror}; choose another --host, --port or --http-port")
        raise
    return 0


def _refuse(why: str) -> int:
    print(f"azure-emulator: {why}", file=sys.stderr)
    return 1


def _said(error: Exception) -> str:
    """What keeps the server from starting, as a sentence for whoever starts it."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, sqlite3.Error):
        return f"the state cannot be used: {error}"
    return str(error)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        msg = f"{text!r} is no port; write a whole number from 0 to {HIGHEST_PORT}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _speed(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        msg = f"{text!r} is no speed; write a number of emulated seconds per second, 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return number


def _begin(emulator: Emulator, options: argparse.Namespace) -> None:
    """What stands in files comes in once: a restart goes on with what has become of it."""
    if options.restore is not None and not emulator.store.resources:
        try:
            emulator.restore(options.restore.read_bytes())
        except ValueError as error:
            msg = f"{options.restore}: {error}"
            raise DocumentError(msg) from error
    if options.scenario is not None and not emulator.store.settings.get(SCENARIO_DONE):
        scenario.start(emulator, options.scenario)
        emulator.store.set(SCENARIO_DONE, True)


async def _serve(emulator: Emulator, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with emulator:
        print(f"Azure Resource Manager is emulated at {emulator.url} (speed {emulator.clock.speed:g})", flush=True)
        if emulator.guests is not None:
            print(emulator.guests.summary, flush=True)
        if ready_file is not None:
            _write_atomically(ready_file, json.dumps({"url": emulator.url, "pid": os.getpid()}))
        await stop.wait()


def _shell(options: argparse.Namespace) -> int:
    try:
        return shell.run(options.guests, options.vm, user=options.user, command=options.words)
    except shell.ShellError as error:
        print(f"azure-emulator: {error}", file=sys.stderr)
        return 1


def _write_atomically(path: Path, text: str) -> None:
    """Write beside and rename: whoever waits for the file must never read half of it."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
