"""What az and Ansible do that no SDK test does: each of these was found with them (see tests/clients)."""

from __future__ import annotations

from typing import Any

from .conftest import LOCATION

KEY = {"path": "/home/hpc/.ssh/authorized_keys", "keyData": "ssh-rsa AAAAB3NzaC1yc2E= me"}


async def network(http: Any, *, delegation: str | None = None) -> str:
    """A network with one subnet, and the subnet's id."""
    await http.done("g", {"location": LOCATION})
    delegations = [{"name": "one", "properties": {"serviceName": delegation}}] if delegation else []
    await http.done("g/Microsoft.Network/virtualNetworks/net", {
        "location": LOCATION, "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "one", "properties": {"addressPrefix": "10.0.0.0/24", "delegations": delegations}}],
        },
    })  # fmt: skip
    return f"{http.subscription}/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/net/subnets/one"


async def test_the_clouds_metadata_is_found_behind_two_slashes(http: Any) -> None:
    status, document, _ = await http.call("GET", f"{http.emulator.url}//metadata/endpoints?api-version=2022-09-01")
    assert (status, document["authentication"]["identityProvider"]) == (200, "AAD")


async def test_aliases_are_served_where_the_metadata_says(http: Any) -> None:
    _, document, _ = await http.call("GET", f"{http.emulator.url}/metadata/endpoints?api-version=2022-09-01")
    _, aliases, _ = await http.call("GET", document["vmImageAliasDoc"])
    assert "Ubuntu2204" in aliases["outputs"]["aliases"]["value"]["Linux"]


async def test_a_fixed_property_that_is_left_out_comes_back_with_what_azure_put_into_it(http: Any) -> None:
    subnet = await network(http)
    await http.done("g/Microsoft.Network/networkInterfaces/nic", {
        "location": LOCATION, "properties": {"ipConfigurations": [
            {"name": "one", "properties": {"subnet": {"id": subnet}}}
        ]},
    })  # fmt: skip
    nic = f"{http.subscription}/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/nic"
    body: dict[str, Any] = {"location": LOCATION, "properties": {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {
            "imageReference": {"publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy",
                               "sku": "22_04-lts-gen2", "version": "latest"},
            "osDisk": {"createOption": "FromImage"},
        },
        "osProfile": {"computerName": "vm", "adminUsername": "hpc", "linuxConfiguration": {
            "disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}}},
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
    }}  # fmt: skip
    made = await http.done("g/Microsoft.Compute/virtualMachines/vm", body)
    image = made["properties"]["storageProfile"]["imageReference"]
    assert image["exactVersion"]
    del body["properties"]["storageProfile"]["imageReference"]
    body["tags"] = {"stage": "test"}
    changed = await http.done("g/Microsoft.Compute/virtualMachines/vm", body)
    assert changed["properties"]["storageProfile"]["imageReference"] == image
    assert changed["tags"] == {"stage": "test"}


async def test_children_of_nothing_cannot_be_listed(http: Any) -> None:
    await http.done("g", {"location": LOCATION})
    status, document, _ = await http.call(
        "GET", f"{http.subscription}/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/net/subnets"
    )
    assert (status, document["error"]["code"]) == (404, "ParentResourceNotFound")
    assert document["error"]["message"] == (
        "Can not perform requested operation on nested resource. Parent resource 'net' not found."
    )


async def test_an_impossible_name_of_a_storage_account(http: Any) -> None:
    await http.done("g", {"location": LOCATION})
    body = {"location": LOCATION, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    status, document, _ = await http.call(
        "PUT", f"{http.subscription}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/Bad_Name", body
    )
    assert (status, document["error"]["code"]) == (400, "AccountNameInvalid")
    assert document["error"]["message"].startswith("Bad_Name is not a valid storage account name.")


async def test_nobody_has_deleted_hardware_security_modules(http: Any) -> None:
    status, document, _ = await http.call("GET", f"{http.subscription}/providers/Microsoft.KeyVault/deletedManagedHSMs")
    assert (status, document) == (200, {"value": []})


SERVER = "g/Microsoft.DBforMySQL/flexibleServers/slurm"


async def mysql_server(http: Any) -> str:
    await http.done("g", {"location": LOCATION})
    await http.done(SERVER, {
        "location": LOCATION, "sku": {"name": "Standard_D2ds_v4", "tier": "GeneralPurpose"},
        "properties": {"administratorLogin": "hpc", "administratorLoginPassword": "Passw0rd1234",
                       "version": "8.0.21", "createMode": "Default"},
    })  # fmt: skip
    return f"{http.subscription}/resourceGroups/g/providers/Microsoft.DBforMySQL/flexibleServers/slurm"


async def test_what_stands_beside_the_properties_of_a_database_is_passed_over(http: Any) -> None:
    server = await mysql_server(http)
    status, _, _ = await http.call("PUT", f"{server}/databases/acct", {"charset": "utf8", "collation": "utf8_bin"})
    assert status == 202
    http.advance(60)
    _, database, _ = await http.call("GET", f"{server}/databases/acct")
    assert database["properties"]["charset"] == "utf8mb4"
    assert "charset" not in database


async def test_a_server_parameter_is_changed_by_patch_before_anybody_set_it(http: Any) -> None:
    server = await mysql_server(http)
    parameter = f"{server}/configurations/innodb_lock_wait_timeout"
    body = {"properties": {"source": "user-override", "value": "900"}}
    status, _, _ = await http.call("PATCH", parameter, body)
    assert status == 202
    http.advance(60)
    _, document, _ = await http.call("GET", parameter)
    assert document["properties"]["value"] == "900"


async def test_a_scale_set_is_scaled_with_its_location_and_sku_alone(http: Any) -> None:
    subnet = await network(http)
    nic = {"name": "nic", "properties": {"primary": True, "ipConfigurations": [
        {"name": "one", "properties": {"subnet": {"id": subnet}}},
    ]}}  # fmt: skip
    made = await http.done("g/Microsoft.Compute/virtualMachineScaleSets/set", {
        "location": LOCATION, "sku": {"name": "Standard_D2s_v5", "capacity": 1}, "properties": {
            "orchestrationMode": "Uniform", "upgradePolicy": {"mode": "Manual"}, "virtualMachineProfile": {
                "storageProfile": {
                    "imageReference": {"publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy",
                                       "sku": "22_04-lts-gen2", "version": "latest"},
                    "osDisk": {"createOption": "FromImage"},
                },
                "osProfile": {"computerNamePrefix": "vm", "adminUsername": "hpc", "linuxConfiguration": {
                    "disablePasswordAuthentication": True, "ssh": {"publicKeys": [KEY]}}},
                "networkProfile": {"networkInterfaceConfigurations": [nic]},
            },
        },
    })  # fmt: skip
    scaled = await http.done("g/Microsoft.Compute/virtualMachineScaleSets/set", {
        "location": LOCATION, "sku": {"name": "Standard_D2s_v5", "capacity": 2},
    })  # fmt: skip
    assert scaled["sku"]["capacity"] == 2
    assert scaled["properties"]["virtualMachineProfile"] == made["properties"]["virtualMachineProfile"]


async def test_styles_of_volumes_may_be_written_in_lower_case(http: Any) -> None:
    subnet = await network(http, delegation="Microsoft.Netapp/volumes")
    account = "g/Microsoft.NetApp/netAppAccounts/anf"
    await http.done(account, {"location": LOCATION})
    await http.done(f"{account}/capacityPools/pool", {
        "location": LOCATION, "properties": {"serviceLevel": "Premium", "size": 2**40},
    })  # fmt: skip
    volume = await http.done(f"{account}/capacityPools/pool/volumes/home", {
        "location": LOCATION, "properties": {
            "creationToken": "home", "usageThreshold": 100 * 2**30, "subnetId": subnet, "securityStyle": "unix",
        },
    })  # fmt: skip
    assert volume["properties"]["securityStyle"] == "Unix"
