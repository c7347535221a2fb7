"""Run Commands: scripts run in a machine, as resources (v2) and as an action whose answer is their output (v1).

A command is carried out by engine.guests; its operation goes on until there is a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.compute import machines, scripts
from azure_emulator.providers.compute.names import INSTANCE, VM
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Timer, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.errors import ArmError
    from azure_emulator.store import Operation, Resource

RUN_COMMAND_SECONDS = 20
# A run command with asyncExecution is provisioned once it has started.
START_SECONDS = 5
# 90 minutes, for both kinds (run-command docs).
DEFAULT_TIMEOUT_SECONDS = 5400
EXTENSION_FAILED = "VMExtensionProvisioningError"
# Setting `runCommandScriptFailure`: the action reports success although its script failed (azure-cli#14425); older
# agents let it fail.
SCRIPT_FAILURE = ("succeeded", "failed")

_EXECUTION = "runCommandExecution"


def reported_failure(handler: str, message: str) -> ArmError:
    """The end of an operation whose extension or command failed inside the machine."""
    return errors.conflict(
        EXTENSION_FAILED,
        f"VM has reported a failure when processing extension '{handler}'. Error message: \"{message}\"\n"
        "\nMore information on troubleshooting is available at https://aka.ms/VMExtensionCSELinuxTroubleshoot.",
    )


def as_failure(error: ArmError) -> dict[str, Any]:
    """An error in the form in which operations keep it."""
    return {"status": error.status, **error.error()}


# -- as a resource ---------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    if machines.is_idle(change):
        return
    machines.require_running(change.engine.require(parse(change.path.parent)))
    source = change.properties.get("source") or {}
    if not any(source.get(key) for key in ("script", "scriptUri", "commandId", "galleryScriptReferenceId")):
        raise errors.missing_parameter("source")
    command = source.get("commandId")
    if command and str(command).lower() not in _COMMANDS:
        raise _unknown_command(str(command))
    if source.get("galleryScriptReferenceId"):
        raise errors.bad_request(
            "InvalidParameter", "This is an emulated Azure: it has no gallery of scripts.",
            target="source.galleryScriptReferenceId",
        )  # fmt: skip
    if change.properties.get("asyncExecution"):
        change.seconds = START_SECONDS


def _accepted(change: Change, command: Resource) -> None:
    if change.seconds == 0:
        return  # a change of tags
    engine, properties = change.engine, command.properties
    machine = engine.require(parse(command.parent))
    secret = command.internal.get("secrets", {}).get("properties.protectedParameters") or []
    parameters = [*(properties.get("parameters") or []), *secret]
    arguments, environment = _split(parameters)
    timeout = int(properties.get("timeoutInSeconds") or 0) or DEFAULT_TIMEOUT_SECONDS
    command.internal["execution"] = scripts.begin(
        engine, machine, _script(properties["source"]), arguments=arguments, environment=environment,
        user=str(properties.get("runAsUser") or "root"), timeout=float(timeout),
    )  # fmt: skip
    if properties.get("asyncExecution"):
        seconds = engine.jittered(RUN_COMMAND_SECONDS, command.id, "execution")
        engine.later(_EXECUTION, seconds, command.id, ticket=command.internal["execution"]["ticket"])


def _split(parameters: list[dict[str, Any]]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Parameters without a name are arguments, the others are environment variables (run-command-handler-linux)."""
    arguments = tuple(str(item.get("value", "")) for item in parameters if not item.get("name"))
    return arguments, {str(item["name"]): str(item.get("value", "")) for item in parameters if item.get("name")}


def _script(source: Mapping[str, Any]) -> str:
    if source.get("script"):
        return str(source["script"])
    if source.get("scriptUri"):
        return scripts.downloaded(str(source["scriptUri"]))
    return "\n".join(_COMMANDS[str(source["commandId"]).lower()]["script"])


def _continues(engine: Engine, command: Resource, operation: Operation) -> float | None:
    if operation.verb not in ("PUT", "PATCH") or command.properties.get("asyncExecution"):
        return None
    execution = _settle(engine, command)
    if execution is None:
        return scripts.look_again(engine)
    if execution["state"] != "Succeeded" and command.properties.get("treatFailureAsDeploymentFailure"):
        operation.failure = as_failure(reported_failure(command.name, scripts.failed(execution)))
    return None


def _settle(engine: Engine, command: Resource) -> dict[str, Any] | None:
    """Note the outcome if there is one."""
    execution: dict[str, Any] = command.internal["execution"]
    if "state" in execution:
        return execution
    found = scripts.outcome(engine, execution)
    if found is not None:
        command.internal["execution"] = found
        engine.store.save(command)
    return found


def _look(engine: Engine, operation: Operation) -> None:
    """The end of an asynchronous execution, or another look later on."""
    command = engine.store.get(operation.resource)
    if command is None or command.internal["execution"]["ticket"] != operation.arguments["ticket"]:
        return
    if _settle(engine, command) is None:
        engine.later(_EXECUTION, scripts.look_again(engine) - engine.now, command.id, **operation.arguments)


def _view(engine: Engine, command: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    if "instanceview" not in query.get("$expand", "").lower():
        return
    execution = command.internal.get("execution") or {}
    view: dict[str, Any] = {
        "executionState": execution.get("state", "Running" if execution else "Pending"),
        "exitCode": execution.get("exitCode", 0),
        "output": execution.get("output", ""),
        "error": execution.get("error", ""),
    }
    if execution:
        view["startTime"] = engine.clock.iso(execution["start"])
    if "end" in execution:
        view["endTime"] = engine.clock.iso(execution["end"])
    if view["executionState"] in ("Failed", "TimedOut"):
        view["executionMessage"] = f"Execution failed: command terminated with exit status={view['exitCode']}"
    shown["properties"]["instanceView"] = view


def _type(machine: str) -> ResourceType:
    return ResourceType(
        name=f"{machine}/runCommands",
        protocol=COMPUTE,
        put=Verb(seconds=RUN_COMMAND_SECONDS),
        patch=Patch(seconds=RUN_COMMAND_SECONDS),
        delete=Verb(seconds=5),
        write_only=("properties.protectedParameters", "properties.runAsPassword"),
        defaults={"properties.asyncExecution": False, "properties.parameters": [], "properties.timeoutInSeconds": 0,
                  "properties.treatFailureAsDeploymentFailure": False},
        read_only=("properties.instanceView",),
        check=_check,
        accepted=_accepted,
        continues=_continues,
        view=_view,
        depth="needs a running machine; the script runs in its guest, output and exit code in the instance view",
    )  # fmt: skip


TYPES = (_type(VM), _type(INSTANCE))
TIMERS: dict[str, Timer] = {_EXECUTION: _look}


# -- as an action ----------------------------------------------------------------------------------------------------

_LISTED: tuple[dict[str, Any], ...] = (
    {"id": "RunShellScript", "osType": "Linux", "label": "Executes a Linux shell script",
     "description": "Executes a Linux shell script with or without parameters.",
     "script": ["echo This is a sample script", "echo Optional parameters: $0 $1"], "parameters": []},
    {"id": "ifconfig", "osType": "Linux", "label": "List network configuration",
     "description": "Gets the configuration of all network interfaces.",
     "script": ["ifconfig || ip address"], "parameters": []},
    {"id": "RunPowerShellScript", "osType": "Windows", "label": "Executes a PowerShell script",
     "description": "Custom multiline PowerShell script should be defined in script property. Optional parameters "
                    "can be set in parameters property.",
     "script": ["param(", "    [string]$arg1,", "    [string]$arg2", ")"],
     "parameters": [{"name": "arg1", "type": "string", "defaultValue": "hello", "required": False}]},
    {"id": "IPConfig", "osType": "Windows", "label": "List IP configuration",
     "description": "Shows detailed information for the IP address, subnet mask and default gateway for each "
                    "adapter bound to TCP/IP.",
     "script": ["ipconfig /all"], "parameters": []},
)  # fmt: skip
_COMMANDS = {str(command["id"]).lower(): command for command in _LISTED}
_SCHEMA = "http://schema.management.azure.com/schemas/2016-11-17/runcommands.json"


def _unknown_command(name: str) -> ArmError:
    return errors.bad_request(
        "InvalidParameter", f"The entity name 'commandId' is invalid: there is no run command '{name}'.",
        target="commandId",
    )  # fmt: skip


def list_commands(call: Call) -> Answer:
    """GET …/locations/{location}/runCommands, and one of them with its script."""
    if not call.path.is_resource:
        short = ("id", "osType", "label", "description")
        value = [{"$schema": _SCHEMA, **{key: found[key] for key in short}} for found in _COMMANDS.values()]
        return Answer(200, {"value": value})
    found = _COMMANDS.get(call.path.name.lower())
    if found is None:
        raise errors.ArmError(errors.NOT_FOUND, "NotFound", f"The run command '{call.path.name}' was not found.")
    return Answer(200, {"$schema": _SCHEMA, **found})


def _run(call: Call, machine: Resource) -> None:
    machines.require_running(machine)
    running = call.engine.running(machine)
    if running is not None and running.verb == "POST runCommand":
        raise errors.conflict(
            "Conflict", "Run command extension execution is in progress. Please wait for completion before invoking a "
            "run command."
        )  # fmt: skip
    body = call.body if isinstance(call.body, dict) else {}
    command = _COMMANDS.get(str(body.get("commandId", "")).lower())
    if command is None:
        raise _unknown_command(str(body.get("commandId", "")))
    script = "\n".join(body.get("script") or command["script"])
    # Names and values are given both as arguments and as variables: documents show scripts that read them either way.
    parameters = body.get("parameters") or []
    machine.internal["runCommand"] = scripts.begin(
        call.engine, machine, script, arguments=tuple(str(item.get("value", "")) for item in parameters),
        environment={str(item.get("name", "")): str(item.get("value", "")) for item in parameters},
        timeout=DEFAULT_TIMEOUT_SECONDS,
    )  # fmt: skip


def continue_action(engine: Engine, machine: Resource, operation: Operation) -> float | None:
    """The action of a machine goes on until its script has ended, and then tells what it wrote."""
    if operation.verb != "POST runCommand":
        return None
    execution = scripts.outcome(engine, machine.internal["runCommand"])
    if execution is None:
        return scripts.look_again(engine)
    machine.internal.pop("runCommand")
    if execution["exitCode"] != 0 and engine.setting("runCommandScriptFailure", SCRIPT_FAILURE[0]) == "failed":
        operation.failure = as_failure(reported_failure("RunCommandLinux", scripts.failed(execution)))
        return None
    told = machines.status(
        "ProvisioningState/succeeded", "Provisioning succeeded", message=scripts.shown("succeeded", execution)
    )
    operation.output = {"value": [told]}
    return None


ACTION = Action(run=_run, seconds=RUN_COMMAND_SECONDS, updating="Updating")
