"""Settings of the operator process, all from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from hpc_operator.api.common import parse_duration

PUBLIC_ARM = "https://management.azure.com"
PUBLIC_PRICES = "https://prices.azure.com"


class SettingsError(ValueError):
    """A setting is missing or wrong; the message says which and what to write."""


@dataclass(frozen=True)
class Settings:
    """See `docs/installing.md` for what each one does.

    Parameters
    ----------
    subscription_id
        Azure subscription that environments are made in (`HPC_SUBSCRIPTION_ID`).
    arm_endpoint
        Azure Resource Manager (`HPC_ARM_ENDPOINT`).
    metrics_address
        Host and port of /metrics, /healthz and /readyz (`HPC_METRICS_ADDRESS`).
    log_format
        `text` or `json` (`HPC_LOG_FORMAT`).
    log_level
        (`HPC_LOG_LEVEL`).
    workers
        Environments reconciled at the same time (`HPC_WORKERS`).
    drift_seconds
        How long an observation is good while nothing happens (`HPC_DRIFT_PERIOD`).
    namespaces
        Namespaces to watch; all where empty (`HPC_NAMESPACES`).
    cluster_name
        Name of this cluster among all that make environments in the subscription (`HPC_CLUSTER_NAME`).
    prices_url
        The Azure Retail Prices API; empty for no prices (`HPC_PRICES_URL`).
    lease
        Namespace and name of the Lease that decides which of several operators acts (`HPC_LEASE_NAMESPACE`,
        `HPC_LEASE_NAME`); None without `HPC_LEADER_ELECTION`.
    """

    subscription_id: str
    arm_endpoint: str = PUBLIC_ARM
    metrics_address: tuple[str, int] = ("0.0.0.0", 8080)  # noqa: S104 - in a pod; the kubelet and Prometheus ask
    log_format: str = "text"
    log_level: str = "INFO"
    workers: int = 50
    drift_seconds: float = 600.0
    namespaces: tuple[str, ...] = ()
    cluster_name: str = "kubernetes"
    prices_url: str = ""
    lease: tuple[str, str] | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings.

        Raises
        ------
        SettingsError
            If one is missing or wrong.
        """
        subscription = environ.get("HPC_SUBSCRIPTION_ID") or environ.get("AZURE_SUBSCRIPTION_ID")
        if not subscription:
            msg = "HPC_SUBSCRIPTION_ID is not set: set it to the id of the Azure subscription for environments"
            raise SettingsError(msg)
        arm = environ.get("HPC_ARM_ENDPOINT", PUBLIC_ARM).rstrip("/")
        try:
            host, _, port = environ.get("HPC_METRICS_ADDRESS", "0.0.0.0:8080").rpartition(":")
            return cls(
                subscription_id=subscription,
                arm_endpoint=arm,
                metrics_address=(host, int(port)),
                log_format=_one_of(environ, "HPC_LOG_FORMAT", "text", ("text", "json")),
                log_level=_one_of(environ, "HPC_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
                workers=max(1, int(environ.get("HPC_WORKERS", "50"))),
                drift_seconds=parse_duration(environ.get("HPC_DRIFT_PERIOD", "10m")).total_seconds(),
                namespaces=tuple(item for item in environ.get("HPC_NAMESPACES", "").split(",") if item),
                cluster_name=environ.get("HPC_CLUSTER_NAME", "kubernetes"),
                # The public price list is that of the public cloud.
                prices_url=environ.get("HPC_PRICES_URL", PUBLIC_PRICES if arm == PUBLIC_ARM else ""),
                lease=_lease(environ),
            )
        except ValueError as error:
            msg = f"a setting of the environment (HPC_...) is wrong: {error}"
            raise SettingsError(msg) from error


def _lease(environ: Mapping[str, str]) -> tuple[str, str] | None:
    if _one_of(environ, "HPC_LEADER_ELECTION", "false", ("true", "false")) == "false":
        return None
    namespace = environ.get("HPC_LEASE_NAMESPACE")
    if not namespace:
        msg = "HPC_LEADER_ELECTION needs HPC_LEASE_NAMESPACE: the namespace of the Lease, usually that of the pod"
        raise ValueError(msg)
    return (namespace, environ.get("HPC_LEASE_NAME", "azure-hpc-operator"))


def _one_of(environ: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    value = environ.get(name, default)
    if value not in choices:
        msg = f"{name} is {value!r}: write one of {', '.join(choices)}"
        raise ValueError(msg)
    return value
