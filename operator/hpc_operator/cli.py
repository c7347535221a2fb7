"""The command line: `hpc-operator run`, `plan`, `import`, `crds`, `try` and `version`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hpc_operator.reconcile.ports import Cluster, Key
    from hpc_operator.settings import Settings

logger = logging.getLogger("hpc_operator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hpc-operator", description="Keeps HPC environments on Azure in the state their owners wrote down."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the operator against the current cluster")
    run.set_defaults(run=_run)

    plan = commands.add_parser(
        "plan",
        help="print what applying manifests would do",
        description="Asks Azure what applying manifests would do, and prints it as status.plan would show it. Writes "
        "nothing and needs no cluster. HPC_SUBSCRIPTION_ID and HPC_ARM_ENDPOINT say where, as for run.",
        epilog="Exit code: 0 nothing to do, 2 changes, 3 something is blocked or waits for approval, 1 an error.",
    )
    plan.add_argument(
        "-f",
        "--filename",
        action="append",
        required=True,
        help="a file, a folder, or - for standard input; may be repeated",
    )
    plan.add_argument("-n", "--namespace", default="default", help="namespace of what names none (%(default)s)")
    plan.add_argument("-o", "--output", choices=("text", "json"), default="text", help="(%(default)s)")
    plan.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="(%(default)s)")
    plan.set_defaults(run=_plan)

    take_in = commands.add_parser(
        "import",
        help="print manifests of an environment that runs already",
        description="Reads a resource group and prints manifests of what is in it, which only look (policy.dryRun) "
        "until they are told to do more. Writes nothing and needs no cluster. HPC_SUBSCRIPTION_ID and "
        "HPC_ARM_ENDPOINT say where, as for run.",
    )
    take_in.add_argument("-g", "--resource-group", required=True, help="its name")
    take_in.add_argument("--subscription", metavar="ID", help="its subscription, where it is another one")
    take_in.add_argument("-n", "--namespace", help="namespace of the manifests")
    take_in.add_argument("--name", help="name of the environment")
    take_in.add_argument("--environment-only", action="store_true", help="leave out tiers and partitions")
    take_in.set_defaults(run=_import)

    crds = commands.add_parser("crds", help="print the CRDs, or write or check them and their reference")
    where = crds.add_mutually_exclusive_group()
    where.add_argument("--write", metavar="DIR", type=Path, help="write DIR/crds and DIR/docs/reference")
    where.add_argument("--check", metavar="DIR", type=Path, help="exit with 1 if these are out of step")
    crds.set_defaults(run=_crds)

    trial = commands.add_parser("try", help="try it on this machine: a real API server and an emulated Azure")
    trial.add_argument("--keep", action="store_true", help="leave everything running at the end")
    trial.add_argument("--down", action="store_true", help="end what --keep left running")
    trial.add_argument("--directory", type=Path, default=Path(".state/demo"), help="where it keeps its files")
    trial.add_argument("--speed", type=float, default=None, help="emulated seconds per second")
    trial.set_defaults(run=_try)

    about = commands.add_parser("version", help="print the version")
    about.set_defaults(run=_version)
    return parser


class _Parser(argparse.ArgumentParser):
    """Ends with 1 on a command line that is wrong: of `plan`, 2 says that there are changes."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: error: {message}\n")


def _version(_: argparse.Namespace) -> int:
    print(version("azure-hpc-operator"))
    return 0


def _plan(options: argparse.Namespace) -> int:
    from hpc_operator import preview  # noqa: PLC0415 - `run` must not pay for it

    auto = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    color = options.color == "always" or (options.color == "auto" and auto)
    return preview.run(options.filename, namespace=options.namespace, output=options.output, color=color)


def _import(options: argparse.Namespace) -> int:
    from hpc_operator import importing  # noqa: PLC0415 - `run` must not pay for it

    wish = importing.Wish(options.namespace, options.name, options.environment_only)
    return importing.run(options.resource_group, subscription=options.subscription, wish=wish)


def _crds(options: argparse.Namespace) -> int:
    from hpc_operator import crds  # noqa: PLC0415 - `run` must not pay for it
    from hpc_operator.crds import reference  # noqa: PLC0415

    if options.write is not None:
        crds.write(options.write / "crds")
        reference.write(options.write / "docs" / "reference")
        return 0
    if options.check is not None:
        stale = [
            *(options.check / "crds" / name for name in crds.check(options.check / "crds")),
            *(options.check / "docs/reference" / name for name in reference.check(options.check / "docs/reference")),
        ]
        for path in stale:
            print(f"{path} is out of step with the models: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    print("---\n".join(crds.render().values()), end="")
    return 0


def _try(options: argparse.Namespace) -> int:
    from hpc_operator import demo  # noqa: PLC0415 - `run` must not pay for it

    if options.down:
        return demo.end(options.directory)
    return demo.run(options.directory, keep=options.keep, speed=options.speed)


def _run(_: argparse.Namespace) -> int:
    from hpc_operator import logs  # noqa: PLC0415 - the others must not pay for it
    from hpc_operator.kubernetes_host.leadership import LeadershipLostError  # noqa: PLC0415
    from hpc_operator.settings import Settings, SettingsError  # noqa: PLC0415

    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(f"hpc-operator: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_format, settings.log_level)
    try:
        asyncio.run(_serve(settings))
    except SettingsError as error:
        print(f"hpc-operator: {error}", file=sys.stderr)
        return 2
    except LeadershipLostError as error:
        print(f"hpc-operator: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    """Put the rooms together and serve until told to stop."""
    from hpc_operator import metrics  # noqa: PLC0415 - the other commands must not pay for the SDKs
    from hpc_operator.azure import AzureClient  # noqa: PLC0415
    from hpc_operator.azure.prices import PriceList  # noqa: PLC0415
    from hpc_operator.azure.subscription import AzureSubscription  # noqa: PLC0415
    from hpc_operator.kubernetes_host.host import Host  # noqa: PLC0415
    from hpc_operator.kubernetes_host.leadership import Leadership  # noqa: PLC0415
    from hpc_operator.reconcile.environment import Reconciler  # noqa: PLC0415
    from hpc_operator.settings import SettingsError  # noqa: PLC0415
    from hpc_operator.slurm.scheduler import may_go  # noqa: PLC0415

    leadership = Leadership(*settings.lease) if settings.lease is not None else None
    fence = leadership.holds if leadership is not None else None
    async with AzureClient(settings.arm_endpoint, settings.subscription_id, fence=fence) as azure:
        reconcilers: list[Reconciler] = []

        def reconcile_in(cluster: Cluster) -> Callable[[Key], Awaitable[float | None]]:
            reconciler = Reconciler(
                azure,
                AzureSubscription(azure, PriceList(settings.prices_url)),
                cluster,
                subscription_id=settings.subscription_id,
                holder=settings.cluster_name,
                drift_seconds=settings.drift_seconds,
                may_go=lambda node: may_go(node.name),
            )
            reconcilers.append(reconciler)
            return reconciler.reconcile

        host = Host(
            reconcile_in,
            workers=settings.workers,
            namespaces=settings.namespaces,
            leadership=leadership,
        )
        collector = metrics.OperatorCollector(
            lambda: azure.requests,
            lambda: host.cluster.writes if host.cluster else {},
            lambda: len(host.queue),
            host.leads,
            lambda: sum(reconciler.known for reconciler in reconcilers),
        )
        try:
            server = await metrics.serve(settings.metrics_address, collector, lambda: host.started)
        except OSError as error:
            msg = f"HPC_METRICS_ADDRESS cannot be used ({error.strerror}): write another host:port"
            raise SettingsError(msg) from error
        logger.info("azure-hpc-operator %s serves %s", version("azure-hpc-operator"), settings.arm_endpoint)
        try:
            await azure.load()
            await host.run()
        finally:
            await server.cleanup()


if __name__ == "__main__":
    sys.exit(main())
