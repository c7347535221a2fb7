"""az vm, disk, snapshot, sig, image: machines and what they are made of.

`az vm create` is a template deployment, whose template az writes itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import LOCATION, NOT_FOUND

pytestmark = pytest.mark.clients

POWER = "--query \"instanceView.statuses[?starts_with(code, 'PowerState/')].displayStatus | [0]\""


def test_a_machine_lives(az: Any, group: str, key: Path) -> None:
    made = az(
        f"vm create -g {group} -n login --image Ubuntu2204 --size Standard_D4s_v5 --admin-username hpc "
        f"--ssh-key-values {key} --vnet-name vnet --subnet nodes --data-disk-sizes-gb 128 --tags role=login"
    )
    assert made["powerState"] == "VM running"
    assert made["privateIpAddress"] == "10.0.0.4"
    assert made["publicIpAddress"]
    assert made["macAddress"].count("-") == 5
    vm = f"-g {group} -n login"

    listed = az(f"vm list -g {group} -d")
    assert [(one["name"], one["powerState"], one["privateIps"]) for one in listed] == [
        ("login", "VM running", "10.0.0.4")
    ]
    shown = az(f"vm show {vm} -d")
    assert shown["hardwareProfile"] == {"vmSize": "Standard_D4s_v5"}
    assert shown["osProfile"]["adminUsername"] == "hpc"
    assert shown["storageProfile"]["dataDisks"][0]["diskSizeGB"] == 128
    assert shown["storageProfile"]["imageReference"]["exactVersion"].startswith("22.04.")
    assert shown["publicIps"] == made["publicIpAddress"]
    assert shown["tags"] == {"role": "login"}
    addresses = az(f"vm list-ip-addresses {vm}")[0]["virtualMachine"]["network"]
    assert addresses["privateIpAddresses"] == ["10.0.0.4"]

    az(f"vm stop {vm}")
    assert az(f"vm get-instance-view {vm} {POWER}") == "VM stopped"
    az(f"vm deallocate {vm}")
    assert az(f"vm show {vm} -d --query powerState") == "VM deallocated"
    assert az(f"vm resize {vm} --size Standard_D8s_v5")["hardwareProfile"] == {"vmSize": "Standard_D8s_v5"}
    az(f"vm start {vm}")
    az(f"vm restart {vm}")
    assert az(f"vm show {vm} -d --query powerState") == "VM running"
    assert az(f"vm update {vm} --set tags.stage=test")["tags"] == {"role": "login", "stage": "test"}

    az(f"vm disk attach -g {group} --vm-name login --name extra --new --size-gb 64 --sku Premium_LRS")
    assert [one["lun"] for one in az(f"vm show {vm} --query storageProfile.dataDisks")] == [0, 1]
    assert "is attached to VM" in az.refused(f"disk delete -g {group} -n extra --yes")
    az(f"vm disk detach -g {group} --vm-name login --name extra")
    assert az(f"disk show -g {group} -n extra --query diskState") == "Unattached"

    identity = az(f"vm identity assign {vm}")["systemAssignedIdentity"]
    assert az(f"vm identity show {vm}")["principalId"] == identity
    az(f"vm boot-diagnostics enable {vm}")
    assert "login" in az.text(f"vm boot-diagnostics get-boot-log {vm}")

    az(f"vm delete {vm} --yes")
    assert "(ResourceNotFound)" in az.refused(f"vm show {vm}", code=NOT_FOUND)
    # What was not asked to go with the machine stays.
    assert len(az(f"disk list -g {group}")) == 3
    assert az(f"network nic list -g {group} --query [].name") == ["loginVMNic"]


def test_what_runs_inside_a_machine(az: Any, group: str, key: Path) -> None:
    az(
        f"vm create -g {group} -n node --image Ubuntu2204 --size Standard_D2s_v5 --admin-username hpc "
        f"--ssh-key-values {key} --public-ip-address '' --nsg ''"
    )
    at = f"-g {group} --vm-name node"
    invoked = az(f"vm run-command invoke -g {group} -n node --command-id RunShellScript --scripts 'hostname'")
    assert invoked["value"][0]["code"] == "ProvisioningState/succeeded"
    assert invoked["value"][0]["message"].startswith("Enable succeeded:")
    az(f"vm run-command create {at} --name first --script 'echo hello'")
    view = az(f"vm run-command show {at} --name first --instance-view --query instanceView")
    assert (view["executionState"], view["exitCode"]) == ("Succeeded", 0)
    settings = az.file("settings.json", {"commandToExecute": "true"})
    extension = az(
        f"vm extension set {at} -n CustomScript --publisher Microsoft.Azure.Extensions --version 2.1 "
        f"--settings {settings}"
    )
    assert (extension["provisioningState"], extension["typePropertiesType"]) == ("Succeeded", "CustomScript")
    assert az(f"vm extension list {at} --query [].name") == ["CustomScript"]
    az(f"vm redeploy -g {group} -n node")
    az(f"vm reapply -g {group} -n node")


def test_a_compute_node_goes_with_all_that_is_its_own(az: Any, group: str, key: Path) -> None:
    data = az.file("cloud-init.yaml", "#cloud-config\nruncmd: [date]\n")
    az(
        f"vm create -g {group} -n hpc1 --image microsoft-dsvm:ubuntu-hpc:2204:latest --size Standard_HB120rs_v3 "
        f"--admin-username hpc --ssh-key-values {key} --public-ip-address '' --nsg '' --custom-data {data} "
        "--assign-identity --accelerated-networking true --os-disk-delete-option Delete --nic-delete-option Delete "
        "--priority Spot --eviction-policy Delete --max-price -1 --zone 2"
    )
    shown = az(f"vm show -g {group} -n hpc1")
    assert (shown["priority"], shown["evictionPolicy"], shown["zones"]) == ("Spot", "Delete", ["2"])
    assert shown["identity"]["type"] == "SystemAssigned"
    assert shown["billingProfile"] == {"maxPrice": -1}
    az(f"vm delete -g {group} -n hpc1 --yes")
    assert az(f"disk list -g {group}") == []
    assert az(f"network nic list -g {group}") == []


def test_disks_snapshots_images_and_galleries(az: Any, group: str, key: Path) -> None:
    disk = az(f"disk create -g {group} -n data --size-gb 256 --sku Premium_LRS")
    assert (disk["diskState"], disk["diskIOPSReadWrite"], disk["sku"]["name"]) == ("Unattached", 1100, "Premium_LRS")
    assert az(f"disk update -g {group} -n data --size-gb 512")["diskSizeGB"] == 512
    assert "Disk size reduction is not supported." in az.refused(f"disk update -g {group} -n data --size-gb 128")
    access = az(f"disk grant-access -g {group} -n data --duration-in-seconds 3600")
    assert access["accessSAS"].startswith("https://")
    az(f"disk revoke-access -g {group} -n data")
    az(f"snapshot create -g {group} -n snap --source data")
    copy = az(f"disk create -g {group} -n copy --source snap")
    assert copy["creationData"]["createOption"] == "Copy"
    assert copy["diskSizeGB"] == 512
    assert az(f"snapshot list -g {group} --query [].name") == ["snap"]

    az(f"vm create -g {group} -n golden --image Ubuntu2204 --size Standard_D2s_v5 --admin-username hpc "
       f"--ssh-key-values {key} --public-ip-address '' --nsg ''")  # fmt: skip
    assert "must be stopped or deallocated" in az.refused(f"vm generalize -g {group} -n golden")
    az(f"vm deallocate -g {group} -n golden")
    az(f"vm generalize -g {group} -n golden")
    az(f"image create -g {group} -n img --source golden --hyper-v-generation V2")
    assert az(f"image list -g {group} --query [].name") == ["img"]
    gallery = f"-g {group} -r azgallery"
    az(f"sig create {gallery}")
    az(
        f"sig image-definition create {gallery} -i hpc -p me -f hpc -s '22' --os-type Linux "
        "--os-state Generalized --hyper-v-generation V2"
    )
    version = az(f"sig image-version create {gallery} -i hpc -e 1.0.0 --managed-image img --replica-count 1")
    assert version["provisioningState"] == "Succeeded"
    assert az(f"sig image-version list {gallery} -i hpc --query [].name") == ["1.0.0"]


def test_keys_and_placement(az: Any, group: str, key: Path) -> None:
    made = az(f"sshkey create -g {group} -n key --public-key @{key}")
    assert made["publicKey"].startswith("ssh-ed25519 ")
    assert az(f"sshkey list -g {group} --query [].name") == ["key"]
    assert az(f"ppg create -g {group} -n near")["proximityPlacementGroupType"] == "Standard"
    az(f"capacity reservation group create -g {group} -n kept")
    assert az(f"vm availability-set create -g {group} -n set")["platformFaultDomainCount"] == 2


def test_what_can_be_had(az: Any) -> None:
    sizes = az(f'vm list-skus -l {LOCATION} --size Standard_HB120rs_v3 --query "[0].capabilities"')
    assert {"name": "RdmaEnabled", "value": "True"} in sizes
    assert az(f"vm list-usage -l {LOCATION} --query \"[?name.value=='cores'] | length(@)\"") == 1
    assert "ubuntu-hpc" in az(f"vm image list-offers -l {LOCATION} -p microsoft-dsvm --query [].name")
    assert az("vm image list --query \"[?urnAlias=='Ubuntu2204'].publisher\"") == ["Canonical"]
    assert az("vm image show --urn microsoft-dsvm:ubuntu-hpc:2204:latest --query hyperVGeneration") == "V2"
    assert "RunShellScript" in az(f"vm run-command list -l {LOCATION} --query [].id")
    assert az(f"vm extension image list-names -l {LOCATION} -p Microsoft.Azure.Extensions --query [].name") == [
        "CustomScript"
    ]
