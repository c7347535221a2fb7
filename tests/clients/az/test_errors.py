"""What az tells its user when Azure says no: the code, the sentence, and an exit code that scripts can rely upon."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import LOCATION, NOT_FOUND

pytestmark = pytest.mark.clients


@pytest.fixture
def small_quota(served: Any) -> Iterator[None]:
    """Eight cores of that family, and afterwards as many as before."""
    context = ssl.create_default_context(cafile=str(served.ca_file))

    def put(limit: int) -> None:
        body = json.dumps({"location": LOCATION, "name": "standardDSv5Family", "limit": limit}).encode()
        request = urllib.request.Request(f"{served.url}/emulator/quota", body, method="PUT")
        urllib.request.urlopen(request, context=context).close()

    put(8)
    yield
    put(20_000)


def test_quota(az: Any, group: str, key: Path, small_quota: None) -> None:
    said = az.refused(
        f"vm create -g {group} -n much --image Ubuntu2204 --size Standard_D16s_v5 --admin-username hpc "
        f"--ssh-key-values {key} --public-ip-address '' --nsg ''"
    )
    assert "exceeding approved standardDSv5Family Cores quota" in said
    assert "OperationNotAllowed" in said


def test_sizes_and_images_that_are_not_there(az: Any, group: str, key: Path) -> None:
    create = f"vm create -g {group} -n vm --admin-username hpc --ssh-key-values {key} --public-ip-address '' --nsg ''"
    assert "VMImage was not found" in az.refused(f"{create} --image Nope:nope:nope:latest", code=2)
    said = az.refused(f"{create} --image Ubuntu2204 --size Standard_Nope")
    assert "The value Standard_Nope provided for the VM size is not valid." in said


def test_what_does_not_exist_and_what_nobody_knows(az: Any, group: str) -> None:
    said = az.refused(f"network vnet show -g {group} -n nowhere", code=NOT_FOUND)
    assert (
        f"(ResourceNotFound) The Resource 'Microsoft.Network/virtualNetworks/nowhere' under resource group '{group}' "
        "was not found." in said
    )
    said = az.refused(f"network vnet subnet list -g {group} --vnet-name nowhere", code=NOT_FOUND)
    assert "(ParentResourceNotFound)" in said
    said = az.refused("network dns zone list", code=NOT_FOUND)
    assert "(InvalidResourceType) The resource type 'dnsZones' could not be found in the namespace" in said
    assert "(ResourceGroupNotFound)" in az.refused("vm list -g nowhere", code=NOT_FOUND)
