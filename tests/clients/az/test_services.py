"""az keyvault, mysql flexible-server, monitor, consumption: the services around a cluster."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from .conftest import LOCATION

pytestmark = pytest.mark.clients


def test_a_vault_and_its_secrets(az: Any, group: str) -> None:
    made = az(f"keyvault create -g {group} -n az-vault-1 --enable-rbac-authorization true")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made["properties"]["vaultUri"].startswith("https://az-vault-1.vault.")
    secret = "keyvault secret %s --vault-name az-vault-1"
    stored = az(f"{secret % 'set'} -n munge --value very-secret")
    assert stored["id"].startswith(made["properties"]["vaultUri"] + "secrets/munge/")
    assert az(f"{secret % 'show'} -n munge --query value") == "very-secret"
    assert az(f"{secret % 'list'} --query [].name") == ["munge"]
    az(f"{secret % 'delete'} -n munge")
    assert az(f"{secret % 'list'}") == []
    az(f"keyvault delete -g {group} -n az-vault-1")
    assert az("keyvault list-deleted --query [].name") == ["az-vault-1"]
    az(f"keyvault purge -n az-vault-1 -l {LOCATION}")
    assert az("keyvault list-deleted") == []


def test_a_database_server_for_accounting(az: Any, group: str) -> None:
    made = az(
        f"mysql flexible-server create -g {group} -n az-mysql-1 --admin-user hpc --admin-password Passw0rd1234 "
        "--sku-name Standard_D2ds_v4 --tier GeneralPurpose --public-access None --yes"
    )
    assert made["databaseName"] == "flexibleserverdb"
    assert made["host"].startswith("az-mysql-1.mysql.database.")
    of = f"-g {group} -s az-mysql-1"
    az(f"mysql flexible-server db create {of} -d slurm_acct_db")
    assert "slurm_acct_db" in az(f"mysql flexible-server db list {of} --query [].name")
    changed = az(f"mysql flexible-server parameter set {of} -n innodb_lock_wait_timeout --value 900")
    assert (changed["value"], changed["source"]) == ("900", "user-override")
    server = f"-g {group} -n az-mysql-1"
    assert az(f"mysql flexible-server show {server} --query state") == "Ready"
    az(f"mysql flexible-server stop {server}")
    assert az(f"mysql flexible-server show {server} --query state") == "Stopped"
    az(f"mysql flexible-server start {server}")
    az(f"mysql flexible-server restart {server}")
    az(f"mysql flexible-server delete {server} --yes")
    assert az(f"mysql flexible-server list -g {group}") == []


def test_monitoring(az: Any, group: str) -> None:
    workspace = az(f"monitor log-analytics workspace create -g {group} -n logs")
    assert (workspace["sku"]["name"], workspace["retentionInDays"]) == ("PerGB2018", 30)
    assert az(f"monitor log-analytics workspace list -g {group} --query [].name") == ["logs"]
    keys = az(f"monitor log-analytics workspace get-shared-keys -g {group} -n logs")
    assert sorted(keys) == ["primarySharedKey", "secondarySharedKey"]
    action = az(f"monitor action-group create -g {group} -n ops --short-name ops --action email me me@example.org")
    assert action["emailReceivers"][0]["emailAddress"] == "me@example.org"
    az(f"monitor account create -g {group} -n metrics")
    assert az(f"monitor account list -g {group} --query [].name") == ["metrics"]

    group_id = az(f"network nsg create -g {group} -n nsg")["NewNSG"]["id"]
    logs = az.file("logs.json", [{"category": "NetworkSecurityGroupEvent", "enabled": True}])
    az(f"monitor diagnostic-settings create -n all --resource {group_id} --logs @{logs} --workspace logs -g {group}")
    assert az(f"monitor diagnostic-settings list --resource {group_id} --query [].name") == ["all"]
    az(f"monitor log-analytics workspace delete -g {group} -n logs --yes --force true")
    # By its own clock az asks for the last six hours; the emulated ones are ahead of it.
    today = datetime.now(UTC).date()
    span = f"--start-time {today - timedelta(days=1)} --end-time {today + timedelta(days=60)}"
    written = az(f"monitor activity-log list -g {group} {span} --query [].operationName.value")
    assert "Microsoft.OperationalInsights/workspaces/write" in written


def test_a_budget(az: Any) -> None:
    az(
        "consumption budget create --budget-name month --amount 100 --category cost --time-grain monthly "
        "--start-date 2026-12-01 --end-date 2027-12-01"
    )
    assert az("consumption budget show --budget-name month")["amount"] == "100.0"
    az("consumption budget delete --budget-name month")
    assert az("consumption budget list") == []
