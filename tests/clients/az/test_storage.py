"""az storage and az netappfiles: accounts, shares and volumes."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import LOCATION

pytestmark = pytest.mark.clients


def test_a_blob_account(az: Any, group: str) -> None:
    assert az("storage account check-name -n azblobs")["nameAvailable"] is True
    made = az(
        f"storage account create -g {group} -n azblobs --sku Standard_ZRS --kind StorageV2 --hns true "
        "--enable-nfs-v3 true --default-action Deny --https-only false"
    )
    assert (made["isHnsEnabled"], made["enableNfsV3"]) == (True, True)
    assert made["networkRuleSet"]["defaultAction"] == "Deny"
    assert made["primaryEndpoints"]["blob"].startswith("https://azblobs.blob.core.")
    assert az("storage account check-name -n azblobs")["reason"] == "AlreadyExists"
    keys = az(f"storage account keys list -g {group} -n azblobs")
    assert [(one["keyName"], one["permissions"]) for one in keys] == [("key1", "FULL"), ("key2", "FULL")]
    renewed = az(f"storage account keys renew -g {group} -n azblobs --key key1")
    assert renewed[0]["value"] != keys[0]["value"]
    assert renewed[1]["value"] == keys[1]["value"]
    text = az(f"storage account show-connection-string -g {group} -n azblobs")["connectionString"]
    assert "AccountName=azblobs" in text

    service = az(
        f"storage account blob-service-properties update -g {group} -n azblobs --enable-container-delete-retention "
        "true --container-delete-retention-days 7"
    )
    assert service["containerDeleteRetentionPolicy"]["days"] == 7
    az(f"storage container-rm create -g {group} --storage-account azblobs -n data")
    assert az(f"storage container-rm list -g {group} --storage-account azblobs --query [].name") == ["data"]
    rule = f"storage account network-rule %s -g {group} --account-name azblobs"
    az(f"{rule % 'add'} --ip-address 203.0.113.9")
    assert az(rule % "list")["ipRules"][0]["ipAddressOrRange"] == "203.0.113.9"
    policy = az.file("policy.json", {"rules": [{
        "enabled": True, "name": "cool", "type": "Lifecycle", "definition": {
            "actions": {"baseBlob": {"tierToCool": {"daysAfterModificationGreaterThan": 30}}},
            "filters": {"blobTypes": ["blockBlob"]},
        },
    }]})  # fmt: skip
    az(f"storage account management-policy create -g {group} --account-name azblobs --policy @{policy}")
    shown = az(f"storage account management-policy show -g {group} --account-name azblobs")
    assert shown["policy"]["rules"][0]["name"] == "cool"
    assert az(f"storage account update -g {group} -n azblobs --set tags.a=b")["tags"] == {"a": "b"}
    assert az(f"storage account show-usage -l {LOCATION}")["currentValue"] >= 1
    az(f"storage account delete -g {group} -n azblobs --yes")
    assert az(f"storage account list -g {group}") == []
    said = az.refused(f"storage account create -g {group} -n Bad_Name")
    assert "(AccountNameInvalid) Bad_Name is not a valid storage account name." in said


def test_a_share_for_nfs(az: Any, group: str) -> None:
    az(f"storage account create -g {group} -n azfiles --sku Premium_LRS --kind FileStorage --https-only false")
    share = f"storage share-rm %s -g {group} --storage-account azfiles"
    made = az(f"{share % 'create'} -n home --quota 1024 --enabled-protocols NFS --root-squash NoRootSquash")
    assert (made["shareQuota"], made["enabledProtocols"], made["rootSquash"]) == (1024, "NFS", "NoRootSquash")
    assert az(f"{share % 'update'} -n home --quota 2048")["shareQuota"] == 2048
    assert az(f"{share % 'list'} --query [].shareQuota") == [2048]
    az(f"{share % 'delete'} -n home --yes")
    assert az(f"{share % 'list'}") == []


def test_netapp_files(az: Any, group: str) -> None:
    az(
        f"network vnet create -g {group} -n vnet --address-prefixes 10.60.0.0/16 --subnet-name anf "
        "--subnet-prefixes 10.60.1.0/24"
    )
    az(f"network vnet subnet update -g {group} --vnet-name vnet -n anf --delegations Microsoft.NetApp/volumes")
    made = az(f"netappfiles account create -g {group} -n anf -l {LOCATION}")
    assert made["provisioningState"] == "Succeeded"
    at = f"-g {group} -a anf"
    pool = az(f"netappfiles pool create {at} -n pool -l {LOCATION} --size 4 --service-level Premium")
    assert (pool["size"], pool["serviceLevel"], pool["qosType"]) == (4 * 2**40, "Premium", "Auto")
    create = f"netappfiles volume create {at} -p pool -l {LOCATION} --service-level Premium --vnet vnet --subnet anf"
    home = az(f"{create} -n home --file-path home --usage-threshold 1024 --protocol-types NFSv3")
    assert home["usageThreshold"] == 2**40
    assert home["mountTargets"][0]["ipAddress"].startswith("10.60.1.")
    volume = f"{at} -p pool -n home"
    assert az(f"netappfiles volume show {volume}")["creationToken"] == "home"
    assert az(f"netappfiles volume update {volume} --usage-threshold 2048")["usageThreshold"] == 2 * 2**40
    said = az.refused(f"{create} -n big --file-path big --usage-threshold 99999")
    assert "(PoolSizeTooSmall) Pool size too small for total volume size." in said

    az(
        f"netappfiles volume export-policy add {at} -p pool -n home --rule-index 2 --allowed-clients 10.0.0.0/8 "
        "--unix-read-only false --unix-read-write true --cifs false --nfsv3 true --nfsv41 false"
    )
    rules = az(f"netappfiles volume export-policy list {volume}")["rules"]
    assert [one["ruleIndex"] for one in rules] == [1, 2]
    snapshot = f"netappfiles snapshot %s {at} -p pool -v home"
    az(f"{snapshot % 'create'} -n before -l {LOCATION}")
    assert az(f"{snapshot % 'list'} --query [].name") == ["anf/pool/home/before"]
    az(
        f"netappfiles snapshot policy create {at} --snapshot-policy-name daily -l {LOCATION} --daily-snapshots 3 "
        "--daily-hour 2 --daily-minute 0 --enabled true"
    )
    assert "(CannotDeleteResource)" in az.refused(f"netappfiles pool delete {at} -n pool --yes")
    az(f"{snapshot % 'delete'} -n before --yes")
    az(f"netappfiles volume delete {volume} --yes")
    assert az(f"netappfiles pool update {at} -n pool --size 8")["size"] == 8 * 2**40
    az(f"netappfiles pool delete {at} -n pool --yes")
    az(f"netappfiles snapshot policy delete {at} --snapshot-policy-name daily --yes")
    az(f"netappfiles account delete {at.replace('-a', '-n')} --yes")
    assert az(f"netappfiles account list -g {group}") == []
    assert az(f"netappfiles quota-limit list -l {LOCATION} --query length(@)") > 5
