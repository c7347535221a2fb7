"""Template deployments through the real SDK client, and on a stopped clock where the moment matters."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from azure_emulator import SUBSCRIPTION, Emulator

LOCATION = "westeurope"
SUBSCRIPTION_ID = f"/subscriptions/{SUBSCRIPTION}"
GROUP_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
SUBSCRIPTION_SCHEMA = "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#"
NETWORK = "2024-05-01"
RG = f"{SUBSCRIPTION_ID}/resourceGroups/rg"
DEPLOYMENTS = "providers/Microsoft.Resources/deployments"


def template(resources, *, schema=GROUP_SCHEMA, **parts):
    return {"$schema": schema, "contentVersion": "1.0.0.0", "resources": resources, **parts}


def deployment(document, mode="Incremental", *, location=None, **properties):
    parameters = {name: {"value": value} for name, value in properties.pop("parameters", {}).items()}
    body = {"properties": {"mode": mode, "template": document, "parameters": parameters, **properties}}
    return {**body, "location": location} if location else body


def net(name="net", prefix="10.0.0.0/16", **parts):
    return {"type": "Microsoft.Network/virtualNetworks", "apiVersion": NETWORK, "name": name,
            "location": "[resourceGroup().location]", "properties": {"addressSpace": {"addressPrefixes": [prefix]}},
            **parts}  # fmt: skip


def nsg(name="nsg", **parts):
    return {"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": NETWORK, "name": name,
            "location": LOCATION, "properties": {}, **parts}  # fmt: skip


def subnet(name, prefix, **parts):
    return {"type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": NETWORK, "name": f"net/{name}",
            "properties": {"addressPrefix": prefix, **parts.pop("properties", {})}, **parts}  # fmt: skip


def broken(name="broken"):
    """A network whose subnet names a security group that nobody makes: known to be wrong only when it is written."""
    missing = f"{SUBSCRIPTION_ID}/resourceGroups/none/providers/Microsoft.Network/networkSecurityGroups/none"
    inside = {"name": "s", "properties": {"addressPrefix": "10.9.0.0/24", "networkSecurityGroup": {"id": missing}}}
    return net(name, properties={"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}, "subnets": [inside]})


# -- what az submits ---------------------------------------------------------------------------------------------------


def virtual_machine(group, name="vm"):
    """The template of `az vm create`: full ids in bodies, relative ones in dependsOn, nulls where nothing was asked."""
    network = f"{SUBSCRIPTION_ID}/resourceGroups/{group}/providers/Microsoft.Network"
    ids = {
        "subnet": f"{network}/virtualNetworks/{name}VNET/subnets/{name}Subnet",
        "address": f"{network}/publicIPAddresses/{name}PublicIP",
        "rules": f"{network}/networkSecurityGroups/{name}NSG",
        "nic": f"{network}/networkInterfaces/{name}VMNic",
    }
    common = {"location": LOCATION, "tags": {}, "dependsOn": []}
    return {
        "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0",
        "parameters": {"adminPassword": {"type": "securestring", "metadata": {"description": "Secure adminPassword"}}},
        "variables": {}, "outputs": {},
        "resources": [
            {**common, "name": f"{name}VNET", "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2015-06-15",
             "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
                 {"name": f"{name}Subnet", "properties": {"addressPrefix": "10.0.0.0/24"}}]}},
            {**common, "name": f"{name}NSG", "type": "Microsoft.Network/networkSecurityGroups",
             "apiVersion": "2015-06-15", "properties": {"securityRules": [{"name": "default-allow-ssh", "properties": {
                 "protocol": "Tcp", "sourcePortRange": "*", "destinationPortRange": "22", "sourceAddressPrefix": "*",
                 "destinationAddressPrefix": "*", "access": "Allow", "priority": 1000, "direction": "Inbound"}}]}},
            {**common, "name": f"{name}PublicIP", "type": "Microsoft.Network/publicIPAddresses",
             "apiVersion": "2022-01-01", "properties": {"publicIPAllocationMethod": "Static"},
             "sku": {"name": "Standard"}},
            {**common, "name": f"{name}VMNic", "type": "Microsoft.Network/networkInterfaces",
             "apiVersion": "2015-06-15", "dependsOn": [
                 f"Microsoft.Network/virtualNetworks/{name}VNET", f"Microsoft.Network/networkSecurityGroups/{name}NSG",
                 f"Microsoft.Network/publicIpAddresses/{name}PublicIP"],
             "properties": {"ipConfigurations": [{"name": f"ipconfig{name}", "properties": {
                 "privateIPAllocationMethod": "Dynamic", "subnet": {"id": ids["subnet"]},
                 "publicIPAddress": {"id": ids["address"]}}}], "networkSecurityGroup": {"id": ids["rules"]}}},
            {**common, "name": name, "type": "Microsoft.Compute/virtualMachines", "apiVersion": "2024-11-01",
             "dependsOn": [f"Microsoft.Network/networkInterfaces/{name}VMNic"], "properties": {
                 "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                 "networkProfile": {"networkInterfaces": [{"id": ids["nic"], "properties": {"deleteOption": None}}]},
                 "storageProfile": {
                     "osDisk": {"createOption": "fromImage", "name": None, "caching": "ReadWrite",
                                "managedDisk": {"storageAccountType": None}},
                     "imageReference": {"publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy",
                                        "sku": "22_04-lts-gen2", "version": "latest"}},
                 "osProfile": {"computerName": name, "adminUsername": "azureuser",
                               "adminPassword": "[parameters('adminPassword')]"}}},
        ],
    }  # fmt: skip


def test_az_vm_create(sdk, group):
    body = deployment(virtual_machine(group), "incremental", parameters={"adminPassword": "Secret!12345"})
    client = sdk.deployments.deployments
    checked = client.begin_validate(group, "vm_deploy_x", body).result()
    assert checked.error is None
    assert len(checked.properties.validated_resources) == 5
    made = client.begin_create_or_update(group, "vm_deploy_x", body).result()
    assert made.properties.provisioning_state == "Succeeded"
    assert made.properties.mode == "Incremental"
    assert made.properties.parameters == {"adminPassword": {"type": "SecureString"}}
    assert [one.id.rsplit("/", 1)[-1] for one in made.properties.output_resources] == [
        "vmVNET", "vmNSG", "vmPublicIP", "vmVMNic", "vm",
    ]  # fmt: skip
    assert made.properties.providers[0].namespace == "Microsoft.Network"
    dependency = made.properties.dependencies[-1]
    assert (dependency.resource_name, [one.resource_name for one in dependency.depends_on]) == ("vm", ["vmVMNic"])
    assert sdk.compute.virtual_machines.get(group, "vm").provisioning_state == "Succeeded"

    operations = list(sdk.deployments.deployment_operations.list(group, "vm_deploy_x"))
    *writes, outputs = operations
    assert [one.properties.target_resource.resource_name for one in writes] == [
        "vmVNET", "vmNSG", "vmPublicIP", "vmVMNic", "vm",
    ]  # fmt: skip
    assert {one.properties.provisioning_operation for one in writes} == {"Create"}
    assert {one.properties.provisioning_state for one in operations} == {"Succeeded"}
    assert writes[0].properties.status_code == "Created"
    assert writes[0].properties.duration.startswith("PT")
    assert outputs.properties.provisioning_operation == "EvaluateDeploymentOutput"
    one = sdk.deployments.deployment_operations.get(group, "vm_deploy_x", writes[4].operation_id)
    assert one.properties.target_resource.id.endswith("/virtualMachines/vm")

    # The same once more changes nothing: what-if says so, and the write is an update.
    foreseen = client.begin_what_if(
        group,
        "vm_deploy_x",
        {"properties": {**body["properties"], "whatIfSettings": {"resultFormat": "FullResourcePayloads"}}},
    ).result()
    told = {change.resource_id.rsplit("/", 1)[-1]: change for change in foreseen.changes}
    # (Of a machine, what-if takes the sizes that Azure filled in for removals, as Azure's own does.)
    assert {name: told[name].change_type for name in ("vmVNET", "vmNSG", "vmPublicIP", "vmVMNic")} == dict.fromkeys(
        ["vmVNET", "vmNSG", "vmPublicIP", "vmVMNic"], "NoChange"
    ), [(change.resource_id, change.delta) for change in foreseen.changes if change.delta]
    assert told["vm"].change_type in ("NoChange", "Modify")
    again = client.begin_create_or_update(group, "vm_deploy_x", body).result()
    assert again.properties.provisioning_state == "Succeeded"


def test_az_vmss_create(sdk, group):
    network = f"{SUBSCRIPTION_ID}/resourceGroups/{group}/providers/Microsoft.Network"
    document = template([
        {"name": "setVNET", "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2015-06-15", "dependsOn": [],
         "location": LOCATION, "tags": {}, "properties": {
             "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
             "subnets": [{"name": "setSubnet", "properties": {"addressPrefix": "10.0.0.0/24"}}]}},
        {"name": "set", "type": "Microsoft.Compute/virtualMachineScaleSets", "apiVersion": "2024-11-01",
         "location": LOCATION, "tags": {}, "dependsOn": ["Microsoft.Network/virtualNetworks/setVNET"],
         "sku": {"name": "Standard_D2s_v5", "capacity": 1}, "properties": {
             "orchestrationMode": "Flexible", "singlePlacementGroup": None, "platformFaultDomainCount": 1,
             "virtualMachineProfile": {
                 "storageProfile": {
                     "osDisk": {"createOption": "FromImage", "caching": "ReadWrite",
                                "managedDisk": {"storageAccountType": None}},
                     "imageReference": {"publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy",
                                        "sku": "22_04-lts-gen2", "version": "latest"}},
                 "osProfile": {"computerNamePrefix": "setab", "adminUsername": "azureuser",
                               "adminPassword": "[parameters('adminPassword')]"},
                 "networkProfile": {"networkApiVersion": "2020-11-01", "networkInterfaceConfigurations": [
                     {"name": "setNic", "properties": {"primary": "true", "ipConfigurations": [
                         {"name": "setIPConfig", "properties": {
                             "subnet": {"id": f"{network}/virtualNetworks/setVNET/subnets/setSubnet"}}}]}}]},
             }}},
    ], parameters={"adminPassword": {"type": "securestring"}}, outputs={"VMSS": {"type": "object", "value": (
        "[reference(resourceId('Microsoft.Compute/virtualMachineScaleSets', 'set'),providers('Microsoft.Compute', "
        "'virtualMachineScaleSets').apiVersions[0])]")}})  # fmt: skip
    body = deployment(document, "incremental", parameters={"adminPassword": "Secret!12345"})
    made = sdk.deployments.deployments.begin_create_or_update(group, "vmss_deploy_x", body).result()
    assert made.properties.outputs["VMSS"]["value"]["orchestrationMode"] == "Flexible"


async def test_a_template_as_the_command_line_sends_it(http):
    """Comments, a name without quotes and line breaks in strings, as az puts a user's file into the request."""
    path = f"{SUBSCRIPTION_ID}/resourcegroups/rg/{DEPLOYMENTS}/lite"
    sent = '{"properties": {"parameters": {}, "mode": "Incremental", template:{\n'
    sent += f'  "$schema": "{GROUP_SCHEMA}",\n'
    sent += '  "contentVersion": "1.0.0.0", /* nothing */\n  "resources": [] // comment\n}}}'
    headers = {**http.headers, "Content-Type": "application/json; charset=utf-8"}
    query = {"api-version": "2020-06-01"}
    async with http.session.put(f"{http.emulator.url}{path}", data=sent, headers=headers, params=query) as answer:
        document = await answer.json()
        assert answer.status == 201, document
        follow = answer.headers["Azure-AsyncOperation"]
        assert "Retry-After" not in answer.headers
        assert f"{DEPLOYMENTS}/lite/operationStatuses/" in follow
    properties = document["properties"]
    assert properties["provisioningState"] == "Accepted"
    assert {"templateHash", "mode", "timestamp", "duration", "correlationId", "providers", "dependencies"} <= set(
        properties
    )
    status, running, _ = await http.call("GET", follow)
    assert (status, running) == (200, {"status": "InProgress"})
    http.advance(5)
    assert (await http.call("GET", follow))[1] == {"status": "Succeeded"}
    # What is no JSON of any kind stays a bad request.
    async with http.session.put(f"{http.emulator.url}{path}", data="{a", headers=headers, params=query) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "InvalidRequestContent")


# -- Bicep -------------------------------------------------------------------------------------------------------------


def bicep_modules(group):
    """What `bicep build` makes of a subscription-scoped file with two modules, in the language with symbolic names."""
    generator = {"_generator": {"name": "bicep", "version": "0.30.0", "templateHash": "1"}}
    network = template({
        "vnet": {**net("[parameters('name')]"), "location": "[parameters('location')]",
                 "tags": "[parameters('tags')]"},
        "subnets": {
            "copy": {"name": "subnets", "count": "[length(parameters('subnets'))]", "mode": "serial", "batchSize": 1},
            "type": "Microsoft.Network/virtualNetworks/subnets", "apiVersion": NETWORK,
            "name": "[format('{0}/{1}', parameters('name'), parameters('subnets')[copyIndex()].name)]",
            "properties": {"addressPrefix": (
                "[cidrSubnet('10.0.0.0/16', 24, parameters('subnets')[copyIndex()].index)]")},
            "dependsOn": ["vnet"],
        },
        "identity": {"condition": "[not(empty(parameters('identity')))]", "apiVersion": "2023-01-31",
                     "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
                     "name": "[coalesce(parameters('identity'), 'none')]", "location": "[parameters('location')]"},
    }, languageVersion="2.0", metadata=generator, definitions={
        "subnet": {"type": "object", "properties": {"name": {"type": "string"}, "index": {"type": "int"}}},
    }, parameters={
        "name": {"type": "string", "minLength": 2}, "location": {"type": "string"},
        "tags": {"type": "object", "defaultValue": {}}, "identity": {"type": "string", "nullable": True},
        "subnets": {"type": "array", "items": {"$ref": "#/definitions/subnet"}},
        "secret": {"type": "securestring"},
    }, outputs={
        "vnetId": {"type": "string", "value": "[resourceId('Microsoft.Network/virtualNetworks', parameters('name'))]"},
        "subnetIds": {"type": "array", "copy": {"count": "[length(parameters('subnets'))]", "input": (
            "[resourceId('Microsoft.Network/virtualNetworks/subnets', parameters('name'), "
            "parameters('subnets')[copyIndex()].name)]")}},
        "prefixes": {"type": "array", "value": "[reference('vnet').addressSpace.addressPrefixes]"},
        "principal": {"condition": "[not(empty(parameters('identity')))]", "type": "string",
                      "value": "[reference('identity').principalId]"},
        "secret": {"type": "securestring", "value": "[toUpper(parameters('secret'))]"},
    })  # fmt: skip
    use = template({
        "vnet": {"existing": True, "type": "Microsoft.Network/virtualNetworks", "apiVersion": NETWORK,
                 "name": "[last(split(parameters('vnetId'), '/'))]"},
        "nic": {"type": "Microsoft.Network/networkInterfaces", "apiVersion": NETWORK, "name": "nic",
                "location": "[reference('vnet', '2024-05-01', 'full').location]",
                "properties": {"ipConfigurations": [{"name": "one", "properties": {
                    "subnet": {"id": "[parameters('subnetId')]"}}}]}, "dependsOn": ["vnet"]},
    }, languageVersion="2.0", metadata=generator, parameters={
        "vnetId": {"type": "string"}, "subnetId": {"type": "string"}, "secret": {"type": "securestring"}},
        outputs={"address": {"type": "string",
                             "value": "[reference('nic').ipConfigurations[0].properties.privateIPAddress]"},
                 "length": {"type": "int", "value": "[length(parameters('secret'))]"}})  # fmt: skip

    def module(name, inner, parameters, **parts):
        return {"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": name,
                "resourceGroup": "[parameters('groupName')]", "properties": {
                    "expressionEvaluationOptions": {"scope": "inner"}, "mode": "Incremental",
                    "parameters": {key: {"value": value} for key, value in parameters.items()}, "template": inner},
                **parts}  # fmt: skip

    return template({
        "group": {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2024-03-01",
                  "name": "[parameters('groupName')]", "location": "[parameters('location')]"},
        "network": module("[format('{0}-network', deployment().name)]", network, {
            "name": "hpc", "location": "[parameters('location')]", "identity": "login",
            "subnets": [{"name": "nodes", "index": 0}, {"name": "storage", "index": 1}],
            "secret": "[parameters('secret')]", "tags": {"hpc": "yes"},
        }, dependsOn=["group"]),
        "use": module("use", use, {
            "vnetId": "[reference('network').outputs.vnetId.value]",
            "subnetId": "[reference('network').outputs.subnetIds.value[0]]",
            "secret": "[listOutputsWithSecureValues('network', '2025-04-01').secret]",
        }, dependsOn=["group"]),
    }, schema=SUBSCRIPTION_SCHEMA, languageVersion="2.0", metadata=generator, parameters={
        "groupName": {"type": "string", "defaultValue": group}, "location": {"type": "string",
        "defaultValue": "[deployment().location]"}, "secret": {"type": "securestring"},
    }, outputs={
        "address": {"type": "string", "value": "[reference('use').outputs.address.value]"},
        "principal": {"type": "string", "value": "[tryGet(reference('network').outputs, 'principal', 'value')]"},
        "length": {"type": "int", "value": "[reference('use').outputs.length.value]"},
        "groupId": {"type": "string", "value": (
            "[subscriptionResourceId('Microsoft.Resources/resourceGroups', parameters('groupName'))]")},
        "symbol": {"type": "string", "value": "[resourceInfo('network').name]"},
    })  # fmt: skip


def test_bicep_modules_at_a_subscription(sdk):
    client, group = sdk.deployments.deployments, "bicep-modules"
    body = deployment(bicep_modules(group), location="northeurope", parameters={"secret": "hidden"})
    foreseen = client.begin_what_if_at_subscription_scope("main", body).result()
    assert {(change.change_type, change.symbolic_name) for change in foreseen.changes if change.symbolic_name} == {
        ("Create", "group"), ("Create", "vnet"), ("Create", "subnets"), ("Create", "identity"), ("Unsupported", "use"),
    }  # fmt: skip
    assert client.begin_validate_at_subscription_scope("main", body).result().error is None
    made = client.begin_create_or_update_at_subscription_scope("main", body).result()
    assert made.location == "northeurope"
    outputs = {name: output["value"] for name, output in made.properties.outputs.items()}
    assert outputs["address"] == "10.0.0.4"
    assert outputs["length"] == len("hidden")
    assert outputs["groupId"] == f"{SUBSCRIPTION_ID}/resourceGroups/{group}"
    assert outputs["symbol"] == "main-network"
    identity = sdk.identity.user_assigned_identities.get(group, "login")
    assert outputs["principal"] == identity.principal_id
    inner = client.get(group, "main-network")
    assert inner.properties.correlation_id == made.properties.correlation_id
    assert inner.properties.outputs["secret"] == {"type": "SecureString"}
    subnets = list(sdk.network.subnets.list(group, "hpc"))
    assert [(one.name, one.address_prefix) for one in subnets] == [("nodes", "10.0.0.0/24"), ("storage", "10.0.1.0/24")]
    assert sdk.network.virtual_networks.get(group, "hpc").tags == {"hpc": "yes"}
    written = [one.id.rsplit("/", 1)[-1] for one in made.properties.output_resources]
    assert written == [group, "hpc", "nodes", "storage", "login", "nic"]
    operations = list(sdk.deployments.deployment_operations.list_at_subscription_scope("main"))
    assert [one.properties.target_resource.symbolic_name for one in operations[:-1]] == ["group", "network", "use"]

    with pytest.raises(ResourceExistsError) as moved:
        client.begin_create_or_update_at_subscription_scope("main", {**body, "location": "westus"})
    assert moved.value.error.code == "InvalidDeploymentLocation"
    assert moved.value.error.message == (
        "Invalid deployment location 'westus'. The deployment 'main' already exists in location 'northeurope'."
    )
    client.begin_delete_at_subscription_scope("main").result()
    assert not client.check_existence_at_subscription_scope("main")
    sdk.resources.resource_groups.begin_delete(group).result()


# -- failures ----------------------------------------------------------------------------------------------------------


def test_what_fails_does_not_stop_what_stands_alone(sdk, group):
    document = template([
        broken(), nsg(), nsg("after", dependsOn=["broken"]),
        net("fine", outputs=None, dependsOn=["nsg"]) | {"comments": "needs only what succeeds"},
    ])  # fmt: skip
    document["resources"][3].pop("outputs")
    with pytest.raises(HttpResponseError) as failed:
        sdk.deployments.deployments.begin_create_or_update(group, "main", deployment(document)).result()
    error = failed.value.error
    assert error.code == "DeploymentFailed"
    assert error.message.startswith(
        "At least one resource deployment operation failed. Please list deployment operations"
    )
    assert [detail.code for detail in error.details] == ["InvalidResourceReference"]
    assert "/networkSecurityGroups/none referenced by resource" in error.details[0].message
    shown = sdk.deployments.deployments.get(group, "main")
    assert shown.properties.provisioning_state == "Failed"
    assert shown.properties.error.details[0].code == "InvalidResourceReference"
    operations = {one.properties.target_resource.resource_name: one.properties
                  for one in sdk.deployments.deployment_operations.list(group, "main")}  # fmt: skip
    assert {name: one.provisioning_state for name, one in operations.items()} == {
        "broken": "Failed", "nsg": "Succeeded", "fine": "Succeeded",
    }  # fmt: skip
    assert operations["broken"].status_code == "BadRequest"
    assert operations["broken"].status_message.error.code == "InvalidResourceReference"
    assert sdk.network.virtual_networks.get(group, "fine").provisioning_state == "Succeeded"
    with pytest.raises(ResourceNotFoundError):
        sdk.network.network_security_groups.get(group, "after")
    assert [one.name for one in sdk.deployments.deployments.list_by_resource_group(
        group, filter="provisioningState eq 'Failed'")] == ["main"]  # fmt: skip


async def test_failures_of_operations_and_of_nested_deployments_are_told_in_detail(http):
    inner = template([broken()], outputs={"id": {"type": "string", "value": "x"}})
    document = template([{"type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner",
                          "properties": {"mode": "Incremental", "template": inner}}])  # fmt: skip
    outcome = await run(http, document)
    target = f"{SUBSCRIPTION_ID}/resourceGroups/rg/{DEPLOYMENTS}"
    assert outcome["error"]["code"] == "DeploymentFailed"
    assert outcome["error"]["target"] == f"{target}/main"
    (failure,) = outcome["error"]["details"]
    assert failure["code"] == "ResourceDeploymentFailure"
    assert failure["target"] == f"{target}/inner"
    assert failure["message"] == (
        "The resource write operation failed to complete successfully, because it reached terminal provisioning state "
        "'Failed'."
    )
    (within,) = failure["details"]
    assert (within["code"], within["details"][0]["code"]) == ("DeploymentFailed", "InvalidResourceReference")


async def run(http, document, name="main", seconds=600, **properties):
    """Deploy, let time pass, and answer with what the operation's URL says."""
    path = f"{RG}/{DEPLOYMENTS}/{name}"
    status, answer, headers = await http.call("PUT", path, deployment(document, **properties))
    assert status < 300, answer
    http.advance(seconds)
    return (await http.call("GET", headers["Azure-AsyncOperation"]))[1]


async def test_expressions_that_fail_while_it_runs(http):
    wrong = nsg("wrong", tags={"x": "[reference('nsg').nothing]"})
    outcome = await run(http, template([nsg(), wrong]))
    (failure,) = outcome["error"]["details"]
    assert failure["code"] == "InvalidTemplate"
    assert failure["message"].startswith(
        f"Unable to process template language expressions for resource '{SUBSCRIPTION_ID}/resourceGroups/rg/providers/"
        "Microsoft.Network/networkSecurityGroups/wrong' at line '1' and column '"
    )
    assert "'The language expression property 'nothing' doesn't exist, available properties are '" in failure["message"]
    missing = nsg(
        "wrong", tags={"x": "[reference(resourceId('Microsoft.Network/virtualNetworks', 'no'), '2024-05-01').y]"}
    )
    outcome = await run(http, template([missing]), "second")
    assert [one["code"] for one in outcome["error"]["details"]] == ["ResourceNotFound"]


async def test_outputs_that_fail(http):
    outcome = await run(http, template([], outputs={"o": {"type": "string", "value": "[createArray('a')[1]]"}}))
    assert outcome == {"status": "Failed", "error": {
        "code": "DeploymentOutputEvaluationFailed",
        "target": f"{SUBSCRIPTION_ID}/resourceGroups/rg/{DEPLOYMENTS}/main",
        "message": "Unable to evaluate template outputs: 'o'. Please see error details and deployment operations. "
                   "Please see https://aka.ms/arm-common-errors for usage details.",
        "details": [{"code": "DeploymentOutputEvaluationFailed", "target": "o", "message": (
            "The template output 'o' is not valid: The language expression property array index '1' is out of "
            "bounds..")}],
    }}  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        (net(location="atlantis"), "LocationNotAvailableForResourceType"),
        (net(properties={"addressSpace": {"addressPrefixes": ["10.0.0.0/99"]}}), None),
        ({"type": "Microsoft.Network/nothings", "apiVersion": NETWORK, "name": "x"}, "InvalidResourceType"),
        ({"type": "Microsoft.Nothing/nothings", "apiVersion": NETWORK, "name": "x"}, "InvalidResourceNamespace"),
    ],
)
async def test_what_is_known_to_fail_is_refused_beforehand(http, resource, code):
    path = f"{RG}/{DEPLOYMENTS}/main"
    for method, where in (("PUT", path), ("POST", f"{path}/validate")):
        status, document, _ = await http.call(method, where, deployment(template([resource])))
        assert (status, document["error"]["code"]) == (400, "InvalidTemplateDeployment")
        assert document["error"]["message"].startswith(
            "The template deployment 'main' is not valid according to the validation procedure. The tracking id is '"
        )
        (detail,) = document["error"]["details"]
        assert code in (None, detail["code"])
        assert detail["message"]
    assert (await http.code("GET", path)) == (404, "DeploymentNotFound")


def test_an_invalid_template_is_an_exception_with_its_place(sdk, group):
    document = template([nsg()], parameters={"size": {"type": "string"}})
    for begin in (sdk.deployments.deployments.begin_validate, sdk.deployments.deployments.begin_create_or_update):
        with pytest.raises(HttpResponseError) as refused:
            begin(group, "main", deployment(document)).result()
        assert refused.value.status_code == 400
        assert refused.value.error.code == "InvalidTemplate"
        assert "The value for the template parameter 'size' at line '1' and column" in refused.value.error.message
        (info,) = refused.value.response.json()["error"]["additionalInfo"]
        assert info["type"] == "TemplateViolation"
        assert info["info"]["path"] == "properties.template.parameters.size"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "InvalidRequestContent"),
        ({"properties": {"mode": "Sometimes", "template": {}}}, "InvalidDeployment"),
        ({"properties": {"mode": "Incremental"}}, "InvalidDeployment"),
        ({"properties": {"mode": "Incremental", "template": 3}}, "InvalidRequestContent"),
        ({"properties": {"mode": "Incremental", "template": "{"}}, "InvalidRequestContent"),
        (deployment(template([]), templateLink={"uri": "https://x"}), "InvalidDeployment"),
        (deployment(template([]), parametersLink={"uri": "https://x/p.json"}), "InvalidContentLink"),
        ({"properties": {"mode": "Incremental", "templateLink": {"uri": "https://x/t.json"}}}, "InvalidContentLink"),
        ({"properties": {"mode": "Incremental", "templateLink": {"relativePath": "t.json"}}}, "InvalidContentLink"),
        (deployment(template([]), location="westeurope"), "InvalidDeployment"),
        (deployment(template([{}])), "InvalidRequestContent"),
        (deployment(template([broken()]), "Complete"), None),
    ],
)
async def test_requests_that_are_refused(http, body, code):
    status, document, _ = await http.call("PUT", f"{RG}/{DEPLOYMENTS}/main", body)
    assert (status, document.get("error", {}).get("code")) == ((201, None) if code is None else (400, code))


async def test_links_are_not_followed(http):
    body = {"properties": {"mode": "Incremental", "templateLink": {"uri": "https://example.com/t.json"}}}
    _, document, _ = await http.call("PUT", f"{RG}/{DEPLOYMENTS}/main", body)
    assert document["error"]["message"].startswith(
        "Unable to download deployment content from 'https://example.com/t.json'. The tracking Id is '"
    )


async def test_scopes_and_names(http):
    everywhere = f"{SUBSCRIPTION_ID}/{DEPLOYMENTS}"
    assert await http.code("PUT", f"{everywhere}/x", deployment(template([]))) == (400, "InvalidDeployment")
    nowhere = deployment(template([]), location="atlantis")
    assert await http.code("PUT", f"{everywhere}/x", nowhere) == (400, "LocationNotAvailableForDeployment")
    complete = deployment(template([]), "Complete", location=LOCATION)
    assert await http.code("PUT", f"{everywhere}/x", complete) == (400, "InvalidDeployment")
    long = f"{everywhere}/{'x' * 65}"
    good = deployment(template([]), location=LOCATION)
    assert await http.code("PUT", long, good) == (400, "DeploymentNameLengthLimitExceeded")
    assert await http.code("PUT", f"{everywhere}/a b", good) == (400, "DeploymentNameInvalidCharacters")
    assert await http.code("PUT", f"/{DEPLOYMENTS}/x", good) == (403, "AuthorizationFailed")
    group = "/providers/Microsoft.Management/managementGroups/g"
    assert await http.code("PUT", f"{group}/{DEPLOYMENTS}/x", good) == (403, "AuthorizationFailed")
    assert await http.code("PUT", f"{RG}x/{DEPLOYMENTS}/x", deployment(template([]))) == (404, "ResourceGroupNotFound")


# -- time --------------------------------------------------------------------------------------------------------------


async def test_writes_that_must_wait_for_one_another_are_tried_again(http):
    """Subnets of one network are written one at a time; a template that starts two is no error."""
    document = template([net(), subnet("a", "10.0.0.0/24", dependsOn=["net"]), subnet("b", "10.0.1.0/24",
                                                                                  dependsOn=["net"])])  # fmt: skip
    assert await run(http, document) == {"status": "Succeeded"}
    _, shown, _ = await http.call("GET", f"{RG}/providers/Microsoft.Network/virtualNetworks/net")
    assert [one["name"] for one in shown["properties"]["subnets"]] == ["a", "b"]


async def test_how_often_a_write_is_tried_again_is_a_setting(http):
    http.emulator.engine.store.set("deploymentRetries", 0)
    document = template([net(), subnet("a", "10.0.0.0/24", dependsOn=["net"]), subnet("b", "10.0.1.0/24",
                                                                                  dependsOn=["net"])])  # fmt: skip
    outcome = await run(http, document)
    assert [one["code"] for one in outcome["error"]["details"]] == ["AnotherOperationInProgress"]


async def test_states_and_orders_on_the_clock(http):
    path = f"{RG}/{DEPLOYMENTS}/main"
    nets = f"{RG}/providers/Microsoft.Network/virtualNetworks"
    body = deployment(template([net("first"), net("second", "10.1.0.0/16", dependsOn=["first"])]))
    accepted = await http.put(path, body)
    assert accepted["properties"]["provisioningState"] == "Accepted"
    http.advance(2)
    _, running, _ = await http.call("GET", path)
    assert running["properties"]["provisioningState"] == "Running"
    assert (await http.call("GET", f"{nets}/first"))[0] == 200
    assert (await http.call("GET", f"{nets}/second"))[0] == 404
    assert await http.code("PUT", path, body) == (409, "DeploymentActive")
    _, refused, _ = await http.call("PUT", path, body)
    assert refused["error"]["message"].startswith(
        "Unable to edit or replace deployment 'main': previous deployment from '"
    )
    assert await http.code("DELETE", path) == (409, "DeploymentActive")
    _, operations, _ = await http.call("GET", f"{path}/operations")
    assert [one["properties"]["provisioningState"] for one in operations["value"]] == ["Running"]
    http.advance(60)
    _, done, _ = await http.call("GET", path)
    assert done["properties"]["provisioningState"] == "Succeeded"
    assert (await http.call("GET", f"{nets}/second"))[0] == 200
    assert await http.code("POST", f"{path}/cancel") == (409, "DeploymentCannotBeCancelled")


async def test_cancel(http):
    path = f"{RG}/{DEPLOYMENTS}/main"
    nets = f"{RG}/providers/Microsoft.Network/virtualNetworks"
    status, _, headers = await http.call("PUT", path, deployment(template([
        net("first"), net("second", "10.1.0.0/16", dependsOn=["first"])])))  # fmt: skip
    assert status == 201
    http.advance(2)
    status, document, _ = await http.call("POST", f"{path}/cancel")
    assert (status, document) == (204, None)
    http.advance(600)
    _, ended, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert (ended["status"], ended["error"]["code"]) == ("Canceled", "DeploymentCanceled")
    _, shown, _ = await http.call("GET", path)
    assert shown["properties"]["provisioningState"] == "Canceled"
    # What had begun goes on; nothing new begins.
    _, first, _ = await http.call("GET", f"{nets}/first")
    assert first["properties"]["provisioningState"] == "Succeeded"
    assert (await http.call("GET", f"{nets}/second"))[0] == 404


async def test_a_restart_in_the_middle(tmp_path):
    document = template({
        "first": net("first", location="[parameters('place')]"),
        "second": net("second", "10.1.0.0/16", tags={"of": "[reference('first').addressSpace.addressPrefixes[0]]",
                                                     "id": "[parameters('id')]"}),
        "inner": {"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "inner",
                  "properties": {
            "expressionEvaluationOptions": {"scope": "inner"}, "mode": "Incremental",
            "template": template([net("third", "10.2.0.0/16")])}, "dependsOn": ["first"]},
    }, languageVersion="2.0", parameters={
        "place": {"type": "string", "defaultValue": LOCATION}, "id": {"type": "string", "defaultValue": "[newGuid()]"},
    }, outputs={"id": {"type": "string", "value": "[reference('second', '2024-05-01', 'full').tags.id]"}})  # fmt: skip
    query = {"api-version": NETWORK}
    root = f"{SUBSCRIPTION_ID}/resourceGroups/rg"

    async def ask(emulator, method, path, body=None):
        async with (
            aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as session,
            session.request(method, f"{emulator.url}{root}{path}", json=body, params=query) as answer,
        ):
            return await answer.json(content_type=None)

    async with Emulator(speed=0, seed=1, state=tmp_path) as emulator:
        await ask(emulator, "PUT", "", {"location": LOCATION})
        await ask(emulator, "PUT", f"/{DEPLOYMENTS}/main", deployment(document))
        emulator.clock.advance(2)
        running = await ask(emulator, "GET", f"/{DEPLOYMENTS}/main")
        assert running["properties"]["provisioningState"] == "Running"
    for seconds in (4, 4, 600):
        async with Emulator(speed=0, seed=1, state=tmp_path) as emulator:
            emulator.clock.advance(seconds)
            shown = await ask(emulator, "GET", f"/{DEPLOYMENTS}/main")
            third = await ask(emulator, "GET", "/providers/Microsoft.Network/virtualNetworks/third")
            second = await ask(emulator, "GET", "/providers/Microsoft.Network/virtualNetworks/second")
    assert shown["properties"]["provisioningState"] == "Succeeded", shown
    assert second["tags"]["of"] == "10.0.0.0/16"
    assert shown["properties"]["outputs"]["id"]["value"] == second["tags"]["id"]
    assert third["properties"]["provisioningState"] == "Succeeded"


async def test_a_group_that_is_deleted_meanwhile(http):
    await http.call(
        "PUT", f"{RG}/{DEPLOYMENTS}/main", deployment(template([net("first"), net("second", dependsOn=["first"])]))
    )
    http.advance(2)
    status, _, headers = await http.call("DELETE", "rg")
    assert status == 202
    assert await http.code("PUT", f"{RG}/{DEPLOYMENTS}/late", deployment(template([]))) == (
        409,
        "ResourceGroupBeingDeleted",
    )
    http.advance(3600)
    status, _, _ = await http.call("GET", headers["Location"])
    assert status == 200
    assert (await http.call("GET", "rg"))[0] == 404


# -- modes and looking ahead -------------------------------------------------------------------------------------------


async def test_complete_mode_deletes_what_is_not_in_the_template(http):
    await http.done(f"{RG}/providers/Microsoft.Network/networkSecurityGroups/old", {"location": LOCATION})
    await http.done(
        f"{RG}/providers/Microsoft.Network/virtualNetworks/old",
        {
            "location": LOCATION,
            "properties": {
                "addressSpace": {"addressPrefixes": ["10.5.0.0/16"]},
                "subnets": [
                    {
                        "name": "s",
                        "properties": {
                            "addressPrefix": "10.5.0.0/24",
                            "networkSecurityGroup": {
                                "id": (
                                    f"{SUBSCRIPTION_ID}/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/old"
                                )
                            },
                        },
                    }
                ],
            },
        },
    )
    document = template([net("kept")])
    foreseen = await what_if(http, document, mode="Complete")
    assert {name: change["changeType"] for name, change in foreseen.items()} == {
        "kept": "Create", "virtualNetworks/old": "Delete", "networkSecurityGroups/old": "Delete",
    }  # fmt: skip
    assert await run(http, document, mode="Incremental") == {"status": "Succeeded"}
    assert len((await http.call("GET", f"{SUBSCRIPTION_ID}/resourceGroups/rg/resources"))[1]["value"]) == 3
    assert await run(http, document, mode="Complete") == {"status": "Succeeded"}
    left = (await http.call("GET", f"{SUBSCRIPTION_ID}/resourceGroups/rg/resources"))[1]["value"]
    assert [one["name"] for one in left] == ["kept"]
    _, operations, _ = await http.call("GET", f"{RG}/{DEPLOYMENTS}/main/operations")
    cleanups = [one for one in operations["value"] if one["properties"]["provisioningOperation"] == "DeploymentCleanup"]
    assert {one["properties"]["provisioningState"] for one in cleanups} == {"Succeeded"}
    assert len(cleanups) == 2


async def what_if(http, document, *, mode="Incremental", result="FullResourcePayloads", seconds=60, **properties):
    body = deployment(document, mode, whatIfSettings={"resultFormat": result}, **properties)
    status, answer, headers = await http.call("POST", f"{RG}/{DEPLOYMENTS}/main/whatIf", body)
    assert status == 202, answer
    assert (await http.call("GET", headers["Location"]))[0] == 202
    http.advance(seconds)
    status, answer, _ = await http.call("GET", headers["Location"])
    assert (status, answer["status"]) == (200, "Succeeded"), answer
    changes = answer["properties"]["changes"]
    names = [change["resourceId"].rsplit("/", 1)[-1] for change in changes]
    return {
        name if names.count(name) == 1 else "/".join(change["resourceId"].rsplit("/", 2)[-2:]): change
        for name, change in zip(names, changes, strict=True)
    }


async def test_what_if(http):
    await http.done(f"{RG}/providers/Microsoft.Network/networkSecurityGroups/other", {"location": LOCATION})
    rule = {"name": "ssh", "properties": {"protocol": "Tcp", "sourcePortRange": "*", "destinationPortRange": "22",
            "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "access": "Allow", "priority": 100,
            "direction": "Inbound"}}  # fmt: skip
    before = [net(), nsg("rules", tags={"a": "1", "b": "2"}, properties={"securityRules": [rule]}), nsg("same")]
    assert await run(http, template(before), "first") == {"status": "Succeeded"}
    closed = {**rule, "properties": {**rule["properties"], "access": "Deny"}}
    https = {"name": "https", "properties": {**rule["properties"], "destinationPortRange": "443", "priority": 110}}
    after = [
        net(properties={"addressSpace": {"addressPrefixes": ["10.0.0.0/16", "10.1.0.0/16"]}}),
        nsg("rules", tags={"a": "9", "c": "3"}, properties={"securityRules": [closed, https]}), nsg("same"), nsg("new"),
        nsg("conditional", condition=False),
    ]  # fmt: skip
    told = await what_if(http, template(after))
    assert {name: change["changeType"] for name, change in told.items()} == {
        "net": "Modify", "rules": "Modify", "same": "NoChange", "new": "Create", "other": "Ignore",
    }  # fmt: skip
    assert told["new"]["before"] is None
    assert told["new"]["after"]["apiVersion"] == NETWORK
    (prefixes,) = told["net"]["delta"]
    assert (prefixes["path"], prefixes["propertyChangeType"]) == ("properties.addressSpace.addressPrefixes", "Array")
    assert prefixes["children"] == [
        {"path": "1", "propertyChangeType": "Create", "before": None, "after": "10.1.0.0/16"}
    ]
    delta = {one["path"]: one for one in told["rules"]["delta"]}
    assert (delta["tags.a"]["propertyChangeType"], delta["tags.a"]["before"], delta["tags.a"]["after"]) == (
        "Modify",
        "1",
        "9",
    )
    assert delta["tags.b"]["propertyChangeType"] == "Delete"
    assert delta["tags.c"]["propertyChangeType"] == "Create"
    changed, added = delta["properties.securityRules"]["children"]
    assert (added["propertyChangeType"], added["after"]["name"]) == ("Create", "https")
    assert [(one["path"], one["before"], one["after"]) for one in changed["children"]] == [
        ("properties.access", "Allow", "Deny")
    ]
    # Nothing was changed by looking.
    assert (await http.call("GET", f"{RG}/providers/Microsoft.Network/networkSecurityGroups/new"))[0] == 404
    assert (await http.call("GET", f"{RG}/{DEPLOYMENTS}/main"))[0] == 404
    ids = await what_if(http, template(after), result="ResourceIdOnly")
    assert {name: change["changeType"] for name, change in ids.items()} == {
        "net": "Deploy", "rules": "Deploy", "same": "Deploy", "new": "Create", "other": "Ignore",
    }  # fmt: skip
    assert all(set(change) == {"resourceId", "changeType"} for change in ids.values())


async def test_what_if_of_what_is_refused_beforehand(http):
    body = deployment(template([net(location="atlantis")]))
    status, _, headers = await http.call("POST", f"{RG}/{DEPLOYMENTS}/main/whatIf", body)
    assert status == 202
    http.advance(60)
    _, answer, _ = await http.call("GET", headers["Location"])
    assert (answer["status"], answer["error"]["code"]) == ("Failed", "InvalidTemplateDeployment")
    wrong = deployment(template([net(dependsOn=["none"])]))
    assert await http.code("POST", f"{RG}/{DEPLOYMENTS}/main/whatIf", wrong) == (400, "InvalidTemplate")


async def test_validation_that_takes_its_time(http):
    http.emulator.engine.store.set("asyncValidation", True)
    status, _, headers = await http.call("POST", f"{RG}/{DEPLOYMENTS}/main/validate", deployment(template([net()])))
    assert status == 202
    http.advance(10)
    status, document, _ = await http.call("GET", headers["Location"])
    assert (status, document["properties"]["provisioningState"]) == (200, "Succeeded")
    assert [one["id"].rsplit("/", 1)[-1] for one in document["properties"]["validatedResources"]] == ["net"]


# -- history -----------------------------------------------------------------------------------------------------------


def test_lists_exports_and_deletion(sdk, group):
    client = sdk.deployments.deployments
    document = template([], outputs={"o": {"type": "int", "value": 3}}, parameters={
        "p": {"type": "array", "defaultValue": [1]}})  # fmt: skip
    for name in ("one", "two"):
        client.begin_create_or_update(group, name, {**deployment(document), "tags": {"n": name}}).result()
    assert [one.name for one in client.list_by_resource_group(group)] == ["two", "one"]
    assert [one.name for one in client.list_by_resource_group(group, top=1)] == ["two"]
    assert list(client.list_by_resource_group(group, filter="provisioningState eq 'Failed'")) == []
    shown = client.get(group, "one")
    assert shown.tags == {"n": "one"}
    assert shown.properties.outputs == {"o": {"type": "Int", "value": 3}}
    assert shown.properties.parameters == {"p": {"type": "Array", "value": [1]}}
    assert client.export_template(group, "one").template == document
    assert client.check_existence(group, "one")
    hashed = client.calculate_template_hash(document)
    assert hashed.template_hash == shown.properties.template_hash
    assert hashed.minified_template.startswith('{"$schema":"https://schema')
    client.begin_delete(group, "one").result()
    assert not client.check_existence(group, "one")
    with pytest.raises(ResourceNotFoundError) as missing:
        client.get(group, "one")
    assert missing.value.error.code == "DeploymentNotFound"
    assert missing.value.error.message == "Deployment 'one' could not be found."


async def test_the_oldest_deployments_make_room(http):
    http.emulator.engine.store.set("deploymentQuota", 2)
    for name in ("a", "b", "c"):
        assert await run(http, template([]), name, 60) == {"status": "Succeeded"}
    _, listed, _ = await http.call("GET", f"{RG}/{DEPLOYMENTS}")
    assert [one["name"] for one in listed["value"]] == ["c", "b"]
    http.emulator.engine.store.set("deploymentAutoDeletion", False)
    assert await http.code("PUT", f"{RG}/{DEPLOYMENTS}/d", deployment(template([]))) == (409, "DeploymentQuotaExceeded")
    assert await run(http, template([]), "c", 60) == {"status": "Succeeded"}


# -- rights and secrets ------------------------------------------------------------------------------------------------


async def test_a_secret_of_a_vault(http):
    vault = f"{SUBSCRIPTION_ID}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/hpcvault1"
    properties = {"tenantId": http.emulator.tenant, "sku": {"family": "A", "name": "standard"}, "accessPolicies": []}
    await http.done(vault, {"location": LOCATION, "properties": properties})
    await http.put(f"{vault}/secrets/key", {"properties": {"value": "hidden"}})
    document = template([], parameters={"p": {"type": "securestring"}}, outputs={
        "o": {"type": "int", "value": "[length(parameters('p'))]"}})  # fmt: skip
    body = deployment(document)
    body["properties"]["parameters"] = {"p": {"reference": {"keyVault": {"id": vault}, "secretName": "key"}}}
    path = f"{RG}/{DEPLOYMENTS}/main"
    assert await http.code("PUT", path, body) == (400, "KeyVaultParameterReferenceAuthorizationFailed")
    await http.done(vault, {"location": LOCATION, "properties": {**properties, "enabledForTemplateDeployment": True}})
    await http.put(path, body)
    http.advance(60)
    _, shown, _ = await http.call("GET", path)
    assert shown["properties"]["outputs"]["o"]["value"] == len("hidden")
    body["properties"]["parameters"]["p"]["reference"]["secretName"] = "none"
    assert await http.code("PUT", path, body) == (400, "KeyVaultParameterReferenceSecretRetrieveFailed")


async def test_what_somebody_may_not_write_is_refused_with_the_whole_template(http):
    async def admin(method, path, body):
        async with http.session.request(method, f"{http.emulator.url}/emulator/{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    roles = [{"role": "Network Contributor", "scope": RG}]
    somebody = await admin("POST", "applications", {"displayName": "somebody", "roles": roles})
    token = await admin("POST", "tokens", {"principal": somebody["objectId"]})
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    await admin("PUT", "settings", {"rights": "on", "rightsDelaySeconds": 0})
    http.advance(3600)
    path = f"{RG}/{DEPLOYMENTS}/main"
    identity = {"type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31", "name": "i",
                "location": LOCATION}  # fmt: skip
    body = deployment(template([nsg(), identity]))
    status, document, _ = await http.call("PUT", path, body, headers=headers)
    assert (status, document["error"]["code"]) == (403, "InvalidTemplateDeployment")
    assert (
        "Authorization failed for template resource 'i' of type 'Microsoft.ManagedIdentity/userAssignedIdentities'. "
        f"The client '{somebody['appId']}' with object id '{somebody['objectId']}' does not have permission to perform "
        f"action 'Microsoft.ManagedIdentity/userAssignedIdentities/write' at scope '{RG}/providers/"
        "Microsoft.ManagedIdentity/userAssignedIdentities/i'." in document["error"]["message"]
    )
    status, document, operation = await http.call("PUT", path, deployment(template([nsg()])), headers=headers)
    assert status == 201, document
    # The rights are asked for at each write: they may be gone when the deployment comes to it.
    engine = http.emulator.engine
    for assignment in engine.store.of_type("Microsoft.Authorization/roleAssignments"):
        if assignment.properties["principalId"] == somebody["objectId"]:
            engine.remove(assignment)
    http.advance(600)
    await admin("PUT", "settings", {"rights": "off"})
    _, outcome, _ = await http.call("GET", operation["Azure-AsyncOperation"])
    assert [one["code"] for one in outcome["error"]["details"]] == ["AuthorizationFailed"]


async def test_a_look_ahead_takes_no_capacity(http):
    """Checking a machine takes its place for the time of the check; validation gives it back."""
    whole = virtual_machine("rg")
    beforehand = {**whole, "resources": whole["resources"][:-1]}
    secret = {"parameters": {"adminPassword": "Secret!12345"}}
    assert await run(http, beforehand, "network", **secret) == {"status": "Succeeded"}
    row = {"vmSize": "Standard_D2s_v5", "location": LOCATION, "count": 1}
    async with http.session.put(f"{http.emulator.url}/emulator/capacity", json=row) as answer:
        assert answer.status == 200, await answer.text()
    for _ in range(3):
        status, _, _ = await http.call("POST", f"{RG}/{DEPLOYMENTS}/main/validate", deployment(whole, **secret))
        assert status == 200
        told = await what_if(http, whole, **secret)
        assert told["vm"]["changeType"] == "Create"
    assert [one["count"] for one in http.emulator.engine.store.settings["capacity"]] == [1]


async def test_rolling_back(http):
    path = f"{RG}/{DEPLOYMENTS}"
    lost = {"onErrorDeployment": {"type": "LastSuccessful"}}
    assert await http.code("PUT", f"{path}/main", deployment(template([]), **lost)) == (400, "InvalidOnErrorDeployment")
    assert await run(http, template([nsg("good")]), "good") == {"status": "Succeeded"}
    assert await http.call("DELETE", f"{RG}/providers/Microsoft.Network/networkSecurityGroups/good")
    http.advance(60)
    outcome = await run(http, template([broken()]), "bad", **lost)
    assert outcome["error"]["code"] == "DeploymentFailed"
    _, shown, _ = await http.call("GET", f"{path}/bad")
    assert shown["properties"]["onErrorDeployment"] == {
        "type": "LastSuccessful", "deploymentName": "good", "provisioningState": "Accepted",
    }  # fmt: skip
    assert (await http.call("GET", f"{RG}/providers/Microsoft.Network/networkSecurityGroups/good"))[0] == 200


async def test_many_resources_in_little_time(http):
    """A template at ARM's limit is expanded and written without the clock of the machine being noticed."""
    many = nsg("[format('nsg{0}', copyIndex())]", copy={"name": "all", "count": 400})
    last = nsg("last", dependsOn=["all"])
    async with asyncio.timeout(20):
        assert await run(http, template([many, last])) == {"status": "Succeeded"}
    _, operations, _ = await http.call("GET", f"{RG}/{DEPLOYMENTS}/main/operations")
    assert len(operations["value"]) == 402
