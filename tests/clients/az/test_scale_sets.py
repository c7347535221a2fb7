"""az vmss: Flexible and Uniform scale sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.clients


def create(group: str, name: str, key: Path, *, mode: str, more: str = "") -> str:
    return (
        f"vmss create -g {group} -n {name} --orchestration-mode {mode} --image Ubuntu2204 --vm-sku Standard_D2s_v5 "
        f"--instance-count 2 --admin-username hpc --ssh-key-values {key} --vnet-name vnet --subnet nodes {more}"
    )


def test_a_flexible_scale_set(az: Any, group: str, key: Path) -> None:
    made = az(create(group, "flex", key, mode="Flexible"))
    assert made["VMSS"]["orchestrationMode"] == "Flexible"
    at = f"-g {group} -n flex"
    assert len(az(f"vmss list-instances {at}")) == 2
    assert az(f"vmss scale {at} --new-capacity 3")["sku"]["capacity"] == 3
    named = az(f"vmss list-instances {at} --query [].name")
    assert sorted(named) == sorted(az(f"vm list -g {group} --query [].name"))
    assert len(named) == 3
    assert az(f"vm show -g {group} -n {named[0]} -d --query powerState") == "VM running"
    az(f"vmss delete {at} --force-deletion true")
    assert az(f"vm list -g {group}") == []


def test_a_uniform_scale_set(az: Any, group: str, key: Path) -> None:
    made = az(create(group, "uni", key, mode="Uniform", more="--upgrade-policy-mode Manual"))
    assert made["VMSS"]["orchestrationMode"] == "Uniform"
    at = f"-g {group} -n uni"
    instances = az(f"vmss list-instances {at}")
    assert [one["instanceId"] for one in instances] == ["0", "1"]
    assert instances[0]["latestModelApplied"] is True
    assert instances[0]["modelDefinitionApplied"] == "VirtualMachineScaleSet"
    summary = az(f"vmss get-instance-view {at}")["virtualMachine"]["statusesSummary"]
    assert {"code": "ProvisioningState/succeeded", "count": 2} in summary
    assert len(az(f"vmss nic list -g {group} --vmss-name uni")) == 2

    assert az(f"vmss update {at} --set tags.stage=test")["tags"]["stage"] == "test"
    az(f"vmss update {at} --set sku.name=Standard_D4s_v5")
    assert az(f"vmss list-instances {at} --query [].latestModelApplied") == [False, False]
    az(f"vmss update-instances {at} --instance-ids '*'")
    assert az(f"vmss list-instances {at} --query [].latestModelApplied") == [True, True]
    said = az(f"vmss run-command invoke {at} --instance-id 0 --command-id RunShellScript --scripts hostname")
    assert said["value"][0]["code"] == "ProvisioningState/succeeded"
    settings = az.file("scale-set-extension.json", {"commandToExecute": "true"})
    az(
        f"vmss extension set -g {group} --vmss-name uni -n CustomScript --publisher Microsoft.Azure.Extensions "
        f"--version 2.1 --settings {settings}"
    )
    assert az(f"vmss extension list -g {group} --vmss-name uni --query [].name") == ["CustomScript"]

    az(f"vmss deallocate {at} --instance-ids 0")
    states = az(f"vmss get-instance-view {at} --instance-id 0 --query statuses[].code")
    assert "PowerState/deallocated" in states
    az(f"vmss start {at}")
    az(f"vmss restart {at}")
    az(f"vmss reimage {at} --instance-ids 0")
    az(f"vmss delete-instances {at} --instance-ids 0")
    assert az(f"vmss list-instances {at} --query [].instanceId") == ["1"]
    assert az(f"vmss scale {at} --new-capacity 2")["sku"]["capacity"] == 2
    assert len(az(f"vmss list-instances {at}")) == 2
    az(f"vmss delete {at}")
    assert az(f"vmss list -g {group}") == []
