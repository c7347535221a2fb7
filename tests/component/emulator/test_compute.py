"""Virtual machines: power, run commands, extensions, diagnostics, what may change when, and what guests are told."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from tests.component.emulator.test_protocol import LOCATION, subnet, vm
from tests.component.emulator.test_sdk_types import code_of, make_subnet, vm_body

from azure_emulator.types import Execution, NoGuests

VM = "rg/Microsoft.Compute/virtualMachines/vm"


class FakeGuests(NoGuests):
    """Notes what it is told; scripts end when the test says so."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.scripts: list[dict[str, Any]] = []
        self.results: dict[str, Execution] = {}

    def start(self, vm: Any) -> None:
        self.told.append(f"start {vm.name}")

    def stop(self, vm: Any, *, deallocate: bool) -> None:
        self.told.append(f"{'deallocate' if deallocate else 'stop'} {vm.name}")

    def reimage(self, vm: Any) -> None:
        self.told.append(f"reimage {vm.name}")

    def remove(self, vm: Any) -> None:
        self.told.append(f"remove {vm.name}")

    def run(self, vm: Any, script: str, *, arguments: Any = (), user: str = "root", timeout: Any = None) -> str:
        ticket = str(len(self.scripts))
        self.scripts.append({"vm": vm.name, "script": script, "arguments": arguments, "user": user, "timeout": timeout})
        return ticket

    def result(self, ticket: str) -> Execution | None:
        return self.results.get(ticket)

    def console(self, vm: Any) -> str:
        return f"booting {vm.name}\n"

    def end(self, ticket: str, exit_code: int = 0, output: str = "", error: str = "", **more: Any) -> None:
        self.results[ticket] = Execution(exit_code, output, error, **more)

    def taken(self) -> list[str]:
        told, self.told = self.told, []
        return told


@pytest.fixture
def guests(http):
    http.emulator.engine.guests = FakeGuests()
    return http.emulator.engine.guests


async def make(http, path=VM, **properties):
    return await http.done(path, vm(await subnet(http), path.rsplit("/", 1)[1], **properties), seconds=300)


def pass_time(http, seconds):
    """Let time pass, and everything happen that is due by then."""
    http.advance(seconds)
    http.emulator.engine.settle()


async def act(http, name, body=None, path=VM, seconds=120, **options):
    """An action that is accepted; its final status document."""
    status, document, headers = await http.call("POST", f"{path}/{name}", body, **options)
    assert status in (200, 202), document
    pass_time(http, seconds)
    return (await http.call("GET", headers["Azure-AsyncOperation"]))[1] if status == 202 else document


async def codes(http, path=VM):
    _, document, _ = await http.call("GET", f"{path}/instanceView")
    return [status["code"] for status in document["statuses"]]


async def test_power_and_what_guests_are_told(http, guests):
    await make(http)
    assert guests.taken() == ["start vm"]
    for action, told, power in (
        ("powerOff", ["stop vm"], "stopped"),
        ("start", ["start vm"], "running"),
        ("restart", ["stop vm", "start vm"], "running"),
        ("redeploy", ["deallocate vm", "start vm"], "running"),
        ("reimage", ["reimage vm"], "running"),
        ("deallocate", ["deallocate vm"], "deallocated"),
        ("powerOff", [], "deallocated"),
        ("reimage", [], "deallocated"),
        ("start", ["reimage vm"], "running"),
        ("start", [], "running"),
    ):
        assert (await act(http, action))["status"] == "Succeeded", action
        assert guests.taken() == told, action
        assert (await codes(http))[-1] == f"PowerState/{power}", action
    await http.call("DELETE", VM)
    pass_time(http, 200)
    assert guests.taken() == ["deallocate vm", "remove vm"]


async def test_a_second_put_of_the_same_body_makes_no_second_disk(http):
    body = vm(await subnet(http), "vm")
    body["properties"]["storageProfile"]["osDisk"] = {
        "createOption": "FromImage", "deleteOption": "Delete", "managedDisk": {"storageAccountType": "StandardSSD_LRS"}
    }  # fmt: skip
    first = await http.done(VM, body, seconds=300)
    second = await http.done(VM, body, seconds=300)
    disk = second["properties"]["storageProfile"]["osDisk"]
    assert (disk["name"], disk["managedDisk"]["id"]) == (
        first["properties"]["storageProfile"]["osDisk"]["name"],
        first["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"],
    )
    await http.call("DELETE", VM)
    pass_time(http, 200)
    assert (await http.call("GET", "rg/Microsoft.Compute/disks"))[1]["value"] == []


async def test_power_states_in_between(http):
    await make(http)
    for action, between in (("deallocate", "deallocating"), ("start", "starting"), ("powerOff", "stopping")):
        await http.call("POST", f"{VM}/{action}")
        pass_time(http, 1)
        assert (await codes(http))[-1] == f"PowerState/{between}"
        pass_time(http, 100)


async def test_hibernation_needs_its_capability(http):
    await make(http, additionalCapabilities={"hibernationEnabled": True})
    await act(http, "deallocate", query={"hibernate": "true"})
    assert (await codes(http))[-2:] == ["PowerState/deallocated", "HibernationState/Hibernated"]
    await act(http, "start")
    assert "HibernationState/Hibernated" not in await codes(http)
    other = "rg/Microsoft.Compute/virtualMachines/other"
    await make(http, other)
    assert await http.code("POST", f"{other}/deallocate", query={"hibernate": "true"}) == (409, "OperationNotAllowed")


async def test_a_generalized_machine_does_not_start(http):
    await make(http)
    assert await http.code("POST", f"{VM}/generalize") == (409, "OperationNotAllowed")
    await act(http, "deallocate")
    assert (await http.call("POST", f"{VM}/generalize"))[0] == 200
    assert "OSState/generalized" in await codes(http)
    assert await http.code("POST", f"{VM}/start") == (409, "OperationNotAllowed")


async def test_what_can_be_changed_only_when_deallocated(http):
    await make(http)
    group = await http.put("rg/Microsoft.Compute/proximityPlacementGroups/near", LOCATION)
    change = {"properties": {"proximityPlacementGroup": {"id": group["id"]}}}
    status, document, _ = await http.call("PATCH", VM, change)
    assert (status, document["error"]["code"]) == (409, "OperationNotAllowed")
    assert "deallocate" in document["error"]["message"]
    for path, value in (("priority", "Spot"), ("osProfile", {"computerName": "other"})):
        assert await http.code("PATCH", VM, {"properties": {path: value}}) == (409, "PropertyChangeNotAllowed")
    await act(http, "deallocate")
    assert (await http.call("PATCH", VM, change))[0] == 200


async def test_checks_of_a_new_machine(http):
    subnet_id = await subnet(http)
    for properties, code in (
        ({"securityProfile": {"uefiSettings": {"secureBootEnabled": True}}}, "BadRequest"),
        ({"securityProfile": {"securityType": "TrustedLaunch"}, "hardwareProfile": {"vmSize": "Standard_A1_v2"}},
         "BadRequest"),
        ({"userData": "no base64!"}, "InvalidParameter"),
        ({"osProfile": {"computerName": "x" * 65, "adminUsername": "a"}}, "InvalidParameter"),
        ({"evictionPolicy": "Delete"}, "InvalidParameter"),
        ({"priority": "Spot", "hardwareProfile": {"vmSize": "Standard_B2s"}}, "InvalidParameter"),
    ):  # fmt: skip
        body = vm(subnet_id)
        body["properties"] |= properties
        assert await http.code("PUT", VM, body) == (400, code), properties
    body = vm(subnet_id, size="Standard_HB120rs_v3", priority="Spot")
    disk = {"createOption": "FromImage", "caching": "ReadOnly", "diffDiskSettings": {"option": "Local"}}
    body["properties"]["storageProfile"]["osDisk"] = disk
    assert await http.code("PUT", VM, body) == (400, "InvalidParameter")
    body["properties"]["evictionPolicy"] = "Delete"
    await http.done(VM, body)
    assert await http.code("POST", f"{VM}/deallocate") == (409, "OperationNotAllowed")


async def test_words_are_read_without_regard_to_case(http):
    """What `az vm create` writes: fromImage, attach."""
    body = vm(await subnet(http), priority="spot")
    body["properties"]["storageProfile"]["osDisk"] |= {"createOption": "fromImage", "caching": "readwrite"}
    shown = (await http.done(VM, body, seconds=300))["properties"]
    assert (shown["priority"], shown["evictionPolicy"]) == ("Spot", "Deallocate")
    disk = shown["storageProfile"]["osDisk"]
    assert (disk["createOption"], disk["caching"]) == ("FromImage", "ReadWrite")
    body["properties"]["storageProfile"]["osDisk"]["caching"] = "sometimes"
    assert await http.code("PUT", VM, body) == (400, "InvalidParameter")


async def test_a_data_disk_may_be_a_copy(http):
    body = vm(await subnet(http))
    body["properties"]["storageProfile"]["dataDisks"] = [{"lun": 1, "createOption": "Empty", "diskSizeGB": 64}]
    shown = await http.done(VM, body, seconds=300)
    first = shown["properties"]["storageProfile"]["dataDisks"][0]
    copy = {"lun": 2, "createOption": "Copy", "sourceResource": {"id": first["managedDisk"]["id"]}}
    await http.call("PATCH", VM, {"properties": {"storageProfile": {"dataDisks": [first, copy]}}})
    pass_time(http, 60)
    _, shown, _ = await http.call("GET", VM)
    second = shown["properties"]["storageProfile"]["dataDisks"][1]
    assert second["diskSizeGB"] == 64
    _, disk, _ = await http.call("GET", second["managedDisk"]["id"])
    assert disk["properties"]["creationData"]["sourceResourceId"] == first["managedDisk"]["id"]


async def test_user_data_is_shown_when_asked_for(http):
    data = base64.b64encode(b"#!/bin/sh").decode()
    shown = await make(http, userData=data)
    assert "userData" not in shown["properties"]
    _, shown, _ = await http.call("GET", VM, query={"$expand": "userData"})
    assert shown["properties"]["userData"] == data


async def test_lists_of_machines_and_sizes(http):
    await make(http)
    _, found, _ = await http.call("GET", f"{VM}/vmSizes")
    assert {size["name"] for size in found["value"]} >= {"Standard_D2s_v5", "Standard_D96s_v5"}
    assert "Standard_HB176rs_v4" not in {size["name"] for size in found["value"]}
    base = f"{http.subscription}/providers/Microsoft.Compute"
    _, found, _ = await http.call("GET", f"{base}/locations/West Europe/virtualMachines")
    assert [one["name"] for one in found["value"]] == ["vm"]
    assert (await http.call("GET", f"{base}/locations/eastus/virtualMachines"))[1]["value"] == []
    _, found, _ = await http.call("GET", f"{base}/virtualMachines", query={"statusOnly": "true"})
    assert found["value"][0]["properties"]["instanceView"]["statuses"]


# -- run commands ----------------------------------------------------------------------------------------------------


async def test_a_run_command_goes_on_until_its_script_has_ended(http, guests):
    await make(http)
    path = f"{VM}/runCommands/hello"
    body = {**LOCATION, "properties": {
        "source": {"script": "echo $1 $GREETING"}, "runAsUser": "hpcadmin", "timeoutInSeconds": 60,
        "parameters": [{"name": "", "value": "one"}],
        "protectedParameters": [{"name": "GREETING", "value": "it's"}]}}  # fmt: skip
    status, shown, headers = await http.call("PUT", path, body)
    assert (status, shown["properties"]["provisioningState"]) == (201, "Creating")
    assert "protectedParameters" not in shown["properties"]
    script = guests.scripts[0]
    assert (script["arguments"], script["user"], script["timeout"]) == (("one",), "hpcadmin", 60)
    assert "export GREETING='it'\"'\"'s'" in script["script"]
    assert base64.b64encode(b"#!/bin/sh\necho $1 $GREETING").decode() in script["script"]
    pass_time(http, 3600)
    assert (await http.call("GET", headers["Azure-AsyncOperation"]))[1]["status"] == "InProgress"
    _, shown, _ = await http.call("GET", path, query={"$expand": "instanceView"})
    assert shown["properties"]["instanceView"]["executionState"] == "Running"
    guests.end("0", 3, "some", "wrong", start=3700.0, end=3710.0)
    pass_time(http, 5)
    assert (await http.call("GET", headers["Azure-AsyncOperation"]))[1]["status"] == "Succeeded"
    _, shown, _ = await http.call("GET", path, query={"$expand": "instanceView"})
    view = shown["properties"]["instanceView"]
    assert (view["executionState"], view["exitCode"], view["output"], view["error"]) == ("Failed", 3, "some", "wrong")
    assert view["endTime"] > view["startTime"]
    assert "instanceView" not in (await http.call("GET", path))[1]["properties"]


async def test_a_failed_script_fails_the_command_if_that_was_asked(http, guests):
    await make(http)
    path = f"{VM}/runCommands/strict"
    source = {"source": {"script": "false"}, "treatFailureAsDeploymentFailure": True}
    _, _, headers = await http.call("PUT", path, {**LOCATION, "properties": source})
    guests.end("0", 1, "", "no")
    pass_time(http, 100)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert (document["status"], document["error"]["code"]) == ("Failed", "VMExtensionProvisioningError")
    assert "exit status=1" in document["error"]["message"]
    _, shown, _ = await http.call("GET", path, query={"$expand": "instanceView"})
    assert shown["properties"]["provisioningState"] == "Failed"
    assert shown["properties"]["instanceView"]["exitCode"] == 1


async def test_an_asynchronous_command_is_provisioned_before_it_ends(http, guests):
    await make(http)
    path = f"{VM}/runCommands/long"
    body = {**LOCATION, "properties": {"source": {"script": "sleep 1h"}, "asyncExecution": True}}
    await http.put(path, body)
    pass_time(http, 10)
    expanded = {"$expand": "instanceView"}
    _, shown, _ = await http.call("GET", path, query=expanded)
    assert shown["properties"]["provisioningState"] == "Succeeded"
    assert shown["properties"]["instanceView"]["executionState"] == "Running"
    pass_time(http, 3600)
    guests.end("0", 124, "", "", timed_out=True)
    pass_time(http, 5)
    _, shown, _ = await http.call("GET", path, query=expanded)
    assert shown["properties"]["instanceView"]["executionState"] == "TimedOut"


async def test_a_command_downloads_its_script(http, guests):
    await make(http)
    source = {"source": {"scriptUri": "https://example.org/it's.sh"}}
    await http.put(f"{VM}/runCommands/fetched", {**LOCATION, "properties": source})
    assert "curl -fsSL" in guests.scripts[0]["script"]
    assert (await http.call("PATCH", f"{VM}/runCommands/fetched", {"tags": {"a": "b"}}))[0] == 200
    assert len(guests.scripts) == 1, "a change of tags runs nothing"


async def test_the_action_answers_what_the_script_wrote(http, guests):
    await make(http)
    body = {"commandId": "RunShellScript", "script": ["hostname", "uptime"], "parameters": [
        {"name": "arg1", "value": "x"}]}  # fmt: skip
    status, _, headers = await http.call("POST", f"{VM}/runCommand", body)
    assert status == 202
    assert await http.code("POST", f"{VM}/runCommand", body) == (409, "Conflict")
    assert guests.scripts[0]["arguments"] == ("x",)
    guests.end("0", 1, "node-1\n", "oops\n")
    pass_time(http, 100)
    status, document, _ = await http.call("GET", headers["Location"])
    assert status == 200
    assert document["value"] == [{
        "code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded",
        "message": "Enable succeeded: \n[stdout]\nnode-1\n\n[stderr]\noops\n"}]  # fmt: skip
    await http.session.put(f"{http.emulator.url}/emulator/settings", json={"runCommandScriptFailure": "failed"})
    _, _, headers = await http.call("POST", f"{VM}/runCommand", body)
    guests.end("1", 1)
    pass_time(http, 100)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert document["error"]["code"] == "VMExtensionProvisioningError"
    assert await http.code("POST", f"{VM}/runCommand", {"commandId": "Nothing"}) == (400, "InvalidParameter")


async def test_nothing_runs_in_a_machine_that_does_not(http):
    await make(http)
    await act(http, "deallocate")
    body = {**LOCATION, "properties": {"source": {"script": "true"}}}
    assert await http.code("PUT", f"{VM}/runCommands/c", body) == (409, "OperationNotAllowed")
    assert await http.code("POST", f"{VM}/runCommand", {"commandId": "RunShellScript"}) == (409, "OperationNotAllowed")
    handler = {"publisher": "Microsoft.Azure.Monitor", "type": "AzureMonitorLinuxAgent", "typeHandlerVersion": "1.33"}
    extension = ("PUT", f"{VM}/extensions/agent", {**LOCATION, "properties": handler})
    assert await http.code(*extension) == (409, "OperationNotAllowed")


def test_run_commands_by_the_sdk(sdk, group):
    sdk.compute.virtual_machines.begin_create_or_update(group, "vm", vm_body(make_subnet(sdk, group))).result()
    known = {found.id: found for found in sdk.compute.virtual_machine_run_commands.list("westeurope")}
    assert known["RunShellScript"].os_type == "Linux"
    assert sdk.compute.virtual_machine_run_commands.get("westeurope", "RunShellScript").script
    result = sdk.compute.virtual_machines.begin_run_command(
        group, "vm", {"commandId": "RunShellScript", "script": ["true"]}
    ).result()
    assert result.value[0].code == "ProvisioningState/succeeded"


# -- extensions ------------------------------------------------------------------------------------------------------

CUSTOM_SCRIPT = {
    "publisher": "Microsoft.Azure.Extensions",
    "type": "CustomScript",
    "typeHandlerVersion": "2.1",
    "autoUpgradeMinorVersion": True,
}


async def test_a_custom_script_runs_and_reports(http, guests):
    await make(http)
    path = f"{VM}/extensions/script"
    properties = {**CUSTOM_SCRIPT, "settings": {"fileUris": ["https://example.org/setup.sh"]},
                  "protectedSettings": {"commandToExecute": "./setup.sh secret"}}  # fmt: skip
    status, shown, headers = await http.call("PUT", path, {**LOCATION, "properties": properties})
    assert status == 201
    assert "protectedSettings" not in shown["properties"]
    pass_time(http, 60)
    script = guests.scripts[0]["script"]
    assert "curl -fsSLO https://example.org/setup.sh" in script
    assert "./setup.sh secret" in script
    guests.end("0", 7, "partly", "broken")
    pass_time(http, 10)
    _, document, _ = await http.call("GET", headers["Azure-AsyncOperation"])
    assert document["error"]["code"] == "VMExtensionProvisioningError"
    assert document["error"]["message"].startswith(
        "VM has reported a failure when processing extension 'script'. Error message: \"Enable failed: failed to "
        'execute command: command terminated with exit status=7\n[stdout]\npartly\n[stderr]\nbroken"'
    )
    changed = {"properties": {"forceUpdateTag": "2"}}
    await http.call("PATCH", path, changed)
    pass_time(http, 60)
    guests.end("1", 0, "done", "")
    pass_time(http, 10)
    _, shown, _ = await http.call("GET", path, query={"$expand": "instanceView"})
    status = shown["properties"]["instanceView"]["statuses"][0]
    assert (status["code"], status["message"]) == (
        "ProvisioningState/succeeded", "Enable succeeded: \n[stdout]\ndone\n[stderr]\n")  # fmt: skip
    await http.call("PATCH", path, changed)
    pass_time(http, 100)
    assert len(guests.scripts) == 2, "what has not changed does not run again"
    _, view, _ = await http.call("GET", f"{VM}/instanceView")
    assert [one["name"] for one in view["extensions"]] == ["script"]
    assert view["vmAgent"]["extensionHandlers"][0]["type"] == "Microsoft.Azure.Extensions.CustomScript"
    assert (await http.call("GET", VM))[1]["resources"][0]["name"] == "script"


async def test_extensions_that_are_refused(http):
    await make(http)
    await http.done(f"{VM}/extensions/one", {**LOCATION, "properties": {
        **CUSTOM_SCRIPT, "settings": {"commandToExecute": "true"}}})  # fmt: skip
    for name, settings, code in (
        ("two", {"commandToExecute": "true"}, "BadRequest"),
        ("one", {}, "InvalidParameter"),
        ("one", {"commandToExecute": "true", "script": "dHJ1ZQ=="}, "InvalidParameter"),
        ("one", {"script": "no base64!"}, "InvalidParameter"),
    ):
        body = {**LOCATION, "properties": {**CUSTOM_SCRIPT, "settings": settings}}
        assert await http.code("PUT", f"{VM}/extensions/{name}", body) == (400, code), settings


def test_extensions_by_the_sdk(sdk, group):
    sdk.compute.virtual_machines.begin_create_or_update(group, "vm", vm_body(make_subnet(sdk, group))).result()
    extensions = sdk.compute.virtual_machine_extensions
    properties = {**CUSTOM_SCRIPT, "settings": {"commandToExecute": "true"}}
    body = {"location": "westeurope", "properties": properties}
    assert extensions.begin_create_or_update(group, "vm", "s", body).result().provisioning_state == "Succeeded"
    assert [one.name for one in extensions.list(group, "vm").value] == ["s"]
    extensions.begin_update(group, "vm", "s", {"properties": {"forceUpdateTag": "1"}}).result()
    extensions.begin_delete(group, "vm", "s").result()
    assert not extensions.list(group, "vm").value
    types = sdk.compute.virtual_machine_extension_images.list_types("westeurope", "Microsoft.Azure.Extensions")
    assert [one.name for one in types] == ["CustomScript"]


# -- disks, diagnostics, documents -----------------------------------------------------------------------------------


def test_disks_come_and_go_by_an_action(sdk, group):
    machines, disks = sdk.compute.virtual_machines, sdk.compute.disks
    machines.begin_create_or_update(group, "vm", vm_body(make_subnet(sdk, group))).result()
    creation = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}
    disk = disks.begin_create_or_update(group, "data", {"location": "westeurope", "properties": creation}).result()
    profile = machines.begin_attach_detach_data_disks(
        group, "vm", {"dataDisksToAttach": [{"diskId": disk.id, "lun": 3}]}
    ).result()
    assert [(one.name, one.lun) for one in profile.data_disks] == [("data", 3)]
    assert disks.get(group, "data").disk_state == "Attached"
    profile = machines.begin_attach_detach_data_disks(
        group, "vm", {"dataDisksToDetach": [{"diskId": disk.id}]}
    ).result()
    assert not profile.data_disks
    assert disks.get(group, "data").disk_state == "Unattached"
    with pytest.raises(HttpResponseError) as error:
        machines.begin_attach_detach_data_disks(group, "vm", {"dataDisksToDetach": [{"diskId": disk.id}]})
    assert code_of(error) == "InvalidParameter"


async def test_the_console_is_served_to_whoever_has_the_address(http, guests):
    await make(http, diagnosticsProfile={"bootDiagnostics": {"enabled": True}})
    _, document, _ = await http.call("POST", f"{VM}/retrieveBootDiagnosticsData")
    address = document["serialConsoleLogBlobUri"]
    assert address.startswith(http.emulator.url)
    async with http.session.get(address) as answer:
        assert (answer.status, await answer.text()) == (200, "booting vm\n")
    async with http.session.get(address[:-1] + "x") as answer:
        assert answer.status == 403
    other = "rg/Microsoft.Compute/virtualMachines/other"
    await make(http, other)
    assert await http.code("POST", f"{other}/retrieveBootDiagnosticsData") == (409, "OperationNotAllowed")


async def test_a_running_machine_reboots_to_be_resized(http, guests):
    await make(http)
    guests.taken()
    await http.call("PATCH", VM, {"properties": {"hardwareProfile": {"vmSize": "Standard_D8s_v5"}}})
    pass_time(http, 60)
    assert guests.taken() == ["deallocate vm", "start vm"]
