"""The admin commands: what `azure-emulator admin` says to a running emulator, and how its answers are printed.

Knows the admin API's paths and what may be in a scenario, and nothing else of the emulator's inside.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from azure_emulator import scenario
from azure_emulator.documents import DocumentError

URL_VARIABLE, CA_VARIABLE = "AZURE_EMULATOR_URL", "AZURE_EMULATOR_CA_FILE"
DEFAULT_URL = "http://127.0.0.1:8443"
# The emulator answers at once; only a snapshot of a large state takes longer.
TIMEOUT_SECONDS = 120.0

Run = Callable[["Client", argparse.Namespace], None]


class AdminError(Exception):
    """A command that could not be carried out; the message is for the person who gave it."""


class Client:
    """The admin API of one running emulator."""

    def __init__(self, url: str, ca_file: str | None) -> None:
        self._url = url.rstrip("/")
        self._context = _trusting(ca_file) if url.startswith("https:") else None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request, and its document; AdminError says what went wrong."""
        content = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        answer = self.raw(method, path, content)
        return json.loads(answer) if answer else None

    def raw(self, method: str, path: str, content: bytes | None = None) -> bytes:
        """One request, and its bytes."""
        try:
            request = urllib.request.Request(f"{self._url}/emulator/{path}", content, method=method)  # noqa: S310 (ours)
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=self._context) as response:  # noqa: S310
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            raise AdminError(_said(error.read())) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            msg = (
                f"no emulator answers at {self._url}: {reason}\nStart one with `azure-emulator serve`, or say where it "
                f"is: --url or {URL_VARIABLE} (https://…, and its CA with --ca-file or {CA_VARIABLE}, "
                "where it speaks TLS)."
            )
            raise AdminError(msg) from error


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = (
            f"{ca_file}: {error.strerror or error}; write the file that `serve --ca-file` wrote, as --ca-file or in "
            f"{CA_VARIABLE}"
        )
        raise AdminError(msg) from error


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        msg = f"this is no JSON: {error}"
        raise argparse.ArgumentTypeError(msg) from error


def _said(content: bytes) -> str:
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")
    return f"{error['code']}: {error['message']}" if isinstance(error, dict) else str(error)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say on a parser where the emulator is."""
    parser.add_argument(
        "--url", default=os.environ.get(URL_VARIABLE, DEFAULT_URL), help=f"its address (default: ${URL_VARIABLE}, "
        f"else {DEFAULT_URL})",
    )  # fmt: skip
    parser.add_argument(
        "--ca-file", default=os.environ.get(CA_VARIABLE), metavar="PATH", help="the certificate authority to trust"
    )


def add_commands(parser: argparse.ArgumentParser) -> None:
    """All admin commands."""
    add_arguments(parser)
    commands = parser.add_subparsers(dest="admin", required=True, metavar="COMMAND")

    def command(name: str, run: Run, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(run=run)
        return made

    clock = command("clock", _clock, "show the emulated time; set its speed or move it by hand")
    clock.add_argument("--speed", type=float, help="emulated seconds per second; 0 lets it stand still")
    clock.add_argument("--advance", type=float, metavar="SECONDS", help="move it forward")
    command("resources", _resources, "list all resources with their states")
    running = command("operations", _operations, "list running operations, or cancel one")
    running.add_argument("--all", action="store_true", help="ended ones too")
    running.add_argument("--cancel", metavar="ID", help="end this one as Canceled")
    requests = command("requests", _requests, "show the last requests")
    requests.add_argument("--last", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    apply = command("apply", _apply, "add what a scenario file says: faults, quota, capacity, resources, people")
    apply.add_argument("file", type=Path, help="YAML; docs/emulator.md tells what may be in it")
    faults = command("faults", _faults, "show the fault script, or clear it")
    faults.add_argument("--clear", action="store_true", help="forget all faults")
    quota = command("quota", _quota, "set a limit, such as: quota westeurope standardHBv3Family 480")
    quota.add_argument("location")
    quota.add_argument("name", help="as `az vm list-usage` names it")
    quota.add_argument("limit", type=int)
    capacity = command("capacity", _capacity, "set how many more VMs of a size can be had; `none` lifts the limit")
    capacity.add_argument("vm_size", metavar="SIZE")
    capacity.add_argument("count", metavar="COUNT|none")
    capacity.add_argument("--location")
    capacity.add_argument("--zone")
    capacity.add_argument("--priority", choices=("Regular", "Spot"))
    when = "refuse at once (SkuNotAvailable) or at the end of the operation (AllocationFailed)"
    capacity.add_argument("--refuse", choices=("sync", "operation"), default="operation", help=when)
    settings = command("settings", _settings, "show or set tunables: settings serialisedWrites=failed page=10")
    settings.add_argument("pairs", nargs="*", metavar="NAME=VALUE", help="the value is JSON, or else text")
    outside = command("outside", _outside, "let somebody else make an ARM request, behind everybody's back")
    outside.add_argument("method", choices=("PUT", "PATCH", "POST", "DELETE"))
    outside.add_argument("path", help="the resource's id")
    outside.add_argument("body", nargs="?", type=_json, help="JSON")
    machine = command("vm", _machine, "let something happen to a VM: a crash, host maintenance, a spot eviction")
    machine.add_argument("event", choices=("crash", "evict", "freeze", "reboot", "redeploy"))
    machine.add_argument("id", help="the VM's id")
    command("snapshot", _snapshot, "write everything that is kept to a file").add_argument("file", type=Path)
    command("restore", _restore, "go back to a snapshot").add_argument("file", type=Path)


def run(options: argparse.Namespace) -> int:
    """Carry out an admin command; the exit status."""
    try:
        options.run(Client(options.url, options.ca_file), options)
    except BrokenPipeError:
        # Whoever read what is printed has seen enough, as `| head` does; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (AdminError, DocumentError, OSError) as error:
        print(f"azure-emulator: {error}", file=sys.stderr)
        return 1
    return 0


def _print(document: Any) -> None:
    print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000).rstrip())


def _clock(client: Client, options: argparse.Namespace) -> None:
    if options.speed is not None:
        client.ask("PUT", "clock", {"speed": options.speed})
    if options.advance is not None:
        client.ask("POST", "clock/advance", {"seconds": options.advance})
    _print(client.ask("GET", "clock"))


def _resources(client: Client, options: argparse.Namespace) -> None:  # noqa: ARG001 (all commands are called alike)
    for one in client.ask("GET", "resources"):
        print(f"{one['provisioningState']:<12} {one['id']}")


def _operations(client: Client, options: argparse.Namespace) -> None:
    if options.cancel:
        _print(client.ask("POST", f"operations/{options.cancel}/cancel"))
        return
    for one in client.ask("GET", "operations"):
        if options.all or one["status"] == "InProgress":
            code = one["code"] or ""
            print(f"{one['id']}  {one['status']:<11} {one['verb']:<7} {one['resourceId']} {code}".rstrip())


def _requests(client: Client, options: argparse.Namespace) -> None:
    for one in client.ask("GET", "requests")["requests"][-options.last :]:
        print(f"{one['status']} {one['method']:<7} {one['path']} {one['code'] or ''}".rstrip())


def _faults(client: Client, options: argparse.Namespace) -> None:
    if options.clear:
        client.raw("DELETE", "faults")
    _print(client.ask("GET", "faults"))


def _apply(client: Client, options: argparse.Namespace) -> None:
    asked = scenario.read(options.file).model_dump(by_alias=True, exclude_unset=True)
    _print(client.ask("POST", "scenario", asked))


def _quota(client: Client, options: argparse.Namespace) -> None:
    client.ask("PUT", "quota", {"location": options.location, "name": options.name, "limit": options.limit})


def _capacity(client: Client, options: argparse.Namespace) -> None:
    if options.count != "none" and not options.count.isdecimal():
        msg = f'the count is {options.count!r}; write a whole number, or "none" to lift the limit'
        raise AdminError(msg)
    client.ask("PUT", "capacity", {
        "vmSize": options.vm_size, "count": None if options.count == "none" else int(options.count),
        "location": options.location, "zone": options.zone, "priority": options.priority, "refuse": options.refuse,
    })  # fmt: skip


def _settings(client: Client, options: argparse.Namespace) -> None:
    wanted: dict[str, Any] = {}
    for pair in options.pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            msg = f"{pair!r} is no setting; write NAME=VALUE"
            raise AdminError(msg)
        try:
            wanted[name] = json.loads(value)
        except ValueError:
            wanted[name] = value
    if wanted:
        client.ask("PUT", "settings", wanted)
    _print(client.ask("GET", "settings"))


def _outside(client: Client, options: argparse.Namespace) -> None:
    asked = {"method": options.method, "path": options.path, "body": options.body}
    _print(client.ask("POST", "outside", asked))


def _machine(client: Client, options: argparse.Namespace) -> None:
    _print(client.ask("POST", "machines", {"id": options.id, "event": options.event}))


def _snapshot(client: Client, options: argparse.Namespace) -> None:
    content = client.raw("GET", "snapshot")
    options.file.touch(mode=0o600)  # what clients wrote and nobody may read is in it
    options.file.write_bytes(content)
    print(f"{options.file}: {len(content)} bytes")


def _restore(client: Client, options: argparse.Namespace) -> None:
    _print(json.loads(client.raw("PUT", "snapshot", options.file.read_bytes())))
