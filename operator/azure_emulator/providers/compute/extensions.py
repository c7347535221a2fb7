"""Extensions of machines, and of scale sets, whose instances each get their own.

A custom script is carried out by engine.guests; every other handler only takes its time and reports that it is enabled.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import last_name, parse
from azure_emulator.providers.compute import machines, run_commands, scripts
from azure_emulator.providers.compute.names import INSTANCE, SCALE_SET, VM
from azure_emulator.providers.protocols import COMPUTE
from azure_emulator.types import Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

# Assumption: handlers take about so long to be downloaded and enabled.
ENABLE_SECONDS, DELETE_SECONDS = 40, 20
# Extensions may run for 90 minutes (extensions overview).
TIMEOUT_SECONDS = 5400
_CUSTOM_SCRIPTS = frozenset({
    "microsoft.azure.extensions.customscript", "microsoft.ostcextensions.customscriptforlinux",
})  # fmt: skip
_PROTECTED = "properties.protectedSettings"

# What `list extension images` knows: publisher, type, versions.
_HANDLERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Microsoft.Azure.Extensions", "CustomScript", ("2.1.10", "2.1.13")),
    ("Microsoft.Azure.Monitor", "AzureMonitorLinuxAgent", ("1.33.4", "1.35.1")),
    ("Microsoft.Azure.ActiveDirectory", "AADSSHLoginForLinux", ("1.0.2807.1", "1.0.3025.1")),
    ("Microsoft.ManagedServices", "ApplicationHealthLinux", ("1.0.5", "2.0.15")),
    ("Microsoft.HpcCompute", "InfiniBandDriverLinux", ("1.2.0.0",)),
    ("Microsoft.HpcCompute", "NvidiaGpuDriverLinux", ("1.9.0.0", "1.11.0.2")),
)
HEALTH_HANDLERS = ("ApplicationHealthLinux", "ApplicationHealthWindows")


# -- of a machine ----------------------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    if machines.is_idle(change):
        return
    machine = change.engine.require(parse(change.path.parent))
    properties = change.properties
    for name in ("publisher", "type", "typeHandlerVersion"):
        if not properties.get(name):
            raise errors.missing_parameter(name)
    if machine.internal.get("power") not in ("running", "starting"):
        raise errors.conflict(
            "OperationNotAllowed",
            "Cannot modify extensions in the VM when the VM is not running.",
        )
    if bodies.get(machine.properties, "osProfile.allowExtensionOperations") is False:
        raise errors.conflict(
            "OperationNotAllowed", "This operation cannot be performed when extension operations are disallowed. To "
            "allow, please ensure VM Agent is installed on the VM and the osProfile.allowExtensionOperations property "
            "is true."
        )  # fmt: skip
    handler = _handler(properties)
    for other in change.engine.store.children(machine.id, change.type.name):
        if other.key != change.path.key and _handler(other.properties) == handler:
            raise errors.bad_request(
                "BadRequest",
                f"Multiple VMExtensions per handler not supported for OS type 'Linux'. VMExtension '{other.name}' with "
                f"handler '{properties['publisher']}.{properties['type']}' already added or specified in input.",
            )
    if handler in _CUSTOM_SCRIPTS:
        script(properties, change.internal.get("secrets", {}).get(_PROTECTED))


def _handler(properties: Mapping[str, Any]) -> str:
    return f"{properties.get('publisher')}.{properties.get('type')}".lower()


def script(properties: Mapping[str, Any], secret: Mapping[str, Any] | None) -> str:
    """What a custom script extension runs, or the refusal of settings that say nothing to run."""
    settings = {**(properties.get("settings") or {}), **(secret or {})}
    downloads = [f"curl -fsSLO {shlex.quote(str(address))} || exit 1\n" for address in settings.get("fileUris") or []]
    command = settings.get("commandToExecute")
    encoded = settings.get("script")
    if bool(command) == bool(encoded):
        raise errors.bad_request(
            "InvalidParameter",
            "Invalid configuration - exactly one of 'commandToExecute' and 'script' must be specified.",
            target="settings",
        )
    if encoded:
        return _decoded(str(encoded))
    if not downloads:
        return str(command)
    return f'cd "$(mktemp -d)" || exit 1\n{"".join(downloads)}chmod -R u+x .\n{command}\n'


def _decoded(encoded: str) -> str:
    """`script` is base64, with or without gzip inside."""
    try:
        data = base64.b64decode(encoded, validate=True)
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    except (binascii.Error, OSError, EOFError, UnicodeDecodeError) as error:
        raise errors.bad_request(
            "InvalidParameter", "Invalid configuration - 'script' must be base64, optionally gzip'ed.", target="script"
        ) from error


def _accepted(change: Change, extension: Resource) -> None:
    if change.seconds == 0:
        return  # a change of tags
    secrets = extension.internal.get("secrets", {}).get(_PROTECTED)
    asked = [extension.properties.get("settings"), secrets, extension.properties.get("forceUpdateTag")]
    if extension.internal.get("ran") == asked and extension.internal.get("outcome"):
        return  # nothing new: handlers run again only when their settings or forceUpdateTag change
    extension.internal["ran"] = asked
    extension.internal.pop("outcome", None)
    extension.internal.pop("execution", None)


def _continues(engine: Engine, extension: Resource, operation: Operation) -> float | None:
    """The script starts when the handler is enabled, on a new machine not before that has booted."""
    if operation.verb not in ("PUT", "PATCH") or "outcome" in extension.internal:
        return None
    machine = engine.store.get(extension.parent)
    if machine is None:
        return None
    creation = engine.running(machine)
    if creation is not None and machine.internal.get("power") == "starting":
        return creation.end + scripts.LOOK_AGAIN_SECONDS
    if machine.state == "Failed" and not machine.internal.get("allocated"):
        operation.failure = machine.internal.get("failure")
        return None
    if _handler(extension.properties) not in _CUSTOM_SCRIPTS:
        extension.internal["outcome"] = {"message": "Enable succeeded"}
        return None
    return _await_script(engine, machine, extension, operation)


def _await_script(engine: Engine, machine: Resource, extension: Resource, operation: Operation) -> float | None:
    execution = extension.internal.get("execution")
    if execution is None:
        text = script(extension.properties, extension.internal.get("secrets", {}).get(_PROTECTED))
        execution = scripts.begin(engine, machine, text, timeout=TIMEOUT_SECONDS)
        extension.internal["execution"] = execution
        engine.store.save(extension)
    found = scripts.outcome(engine, execution)
    if found is None:
        return scripts.look_again(engine)
    extension.internal["execution"] = found
    failed = found["exitCode"] != 0
    message = scripts.failed(found) if failed else scripts.shown("succeeded", found)
    extension.internal["outcome"] = {"message": message}
    if failed and not extension.properties.get("suppressFailures"):
        operation.failure = run_commands.as_failure(run_commands.reported_failure(extension.name, message))
    return None


def _view(engine: Engine, extension: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    shown["properties"].pop("protectedSettings", None)
    if extension.type == f"{INSTANCE}/extensions":
        scale_set = last_name(parse(extension.parent).parent)
        shown["name"] = f"{scale_set}_{last_name(extension.parent)}/{extension.name}"
    if "instanceview" in query.get("$expand", "").lower():
        shown["properties"]["instanceView"] = machines.extension_view(engine, extension)


def _type(machine: str) -> ResourceType:
    return ResourceType(
        name=f"{machine}/extensions",
        protocol=COMPUTE,
        put=Verb(seconds=ENABLE_SECONDS),
        patch=Patch(seconds=ENABLE_SECONDS),
        delete=Verb(seconds=DELETE_SECONDS),
        location=None if machine == INSTANCE else "required",
        write_only=(_PROTECTED,),
        defaults={"properties.autoUpgradeMinorVersion": False, "properties.suppressFailures": False},
        read_only=("properties.instanceView",),
        immutable=("properties.publisher", "properties.type"),
        check=_check,
        accepted=_accepted,
        continues=_continues,
        view=_view,
        depth="custom scripts run in the machine's guest, others report success; one per handler",
    )  # fmt: skip


# -- of a scale set --------------------------------------------------------------------------------------------------

_PROFILE = "properties.virtualMachineProfile.extensionProfile.extensions"


def profile_of(scale_set: Resource) -> list[dict[str, Any]]:
    """The extensions of a set's model, with their secrets."""
    secrets = scale_set.internal.get("extensionSecrets", {})
    listed = bodies.get(scale_set.body, _PROFILE) or []
    return [
        {"name": item["name"], "properties": {
            **(item.get("properties") or {}),
            **({"protectedSettings": secrets[item["name"]]} if item["name"] in secrets else {})}}
        for item in listed
    ]  # fmt: skip


def keep_profile_secrets(change: Change) -> None:
    """Protected settings of a set's model are accepted and never shown; left out, they stay as they are."""
    for item in bodies.get(change.body, _PROFILE) or []:
        value = (item.get("properties") or {}).pop("protectedSettings", None)
        if value is not None:
            change.internal.setdefault("extensionSecrets", {})[item["name"]] = value


def has_health(scale_set: Resource | Change) -> bool:
    """Whether a set can tell healthy instances from others."""
    body = scale_set.body
    probe = bodies.get(body, "properties.virtualMachineProfile.networkProfile.healthProbe.id")
    listed = bodies.get(body, _PROFILE) or []
    return bool(probe) or any(bodies.get(item, "properties.type") in HEALTH_HANDLERS for item in listed)


def follow_profile(engine: Engine, scale_set: Resource) -> None:
    """Let the extension resources of a set be what its model lists."""
    listed = profile_of(scale_set)
    names = {item["name"].lower() for item in listed}
    for child in engine.store.children(scale_set.id, f"{SCALE_SET}/extensions"):
        if child.name.lower() not in names:
            engine.store.remove(child)
    for item in listed:
        child_id = f"{scale_set.id}/extensions/{item['name']}"
        planned = engine.plan(child_id, {"properties": item["properties"]}, seconds=0.0)
        planned.internal["followed"] = True
        engine.apply(planned, engine.store.get(child_id))


def _check_of_set(change: Change) -> None:
    for name in ("publisher", "type", "typeHandlerVersion"):
        if not change.properties.get(name):
            raise errors.missing_parameter(name)
    if _handler(change.properties) in _CUSTOM_SCRIPTS:
        script(change.properties, change.internal.get("secrets", {}).get(_PROTECTED))


def _accepted_of_set(change: Change, extension: Resource) -> None:
    """An extension written by itself joins the model."""
    if extension.internal.pop("followed", False):
        return
    scale_set = change.engine.require(parse(extension.parent))
    listed = [item for item in bodies.get(scale_set.body, _PROFILE) or [] if item["name"] != extension.name]
    bodies.put(scale_set.body, _PROFILE, [*listed, {"name": extension.name, "properties": dict(extension.properties)}])
    secret = extension.internal.get("secrets", {}).get(_PROTECTED)
    if secret is not None:
        scale_set.internal.setdefault("extensionSecrets", {})[extension.name] = secret
    change.engine.store.save(scale_set)


def _deleted_of_set(engine: Engine, extension: Resource) -> None:
    scale_set = engine.store.get(extension.parent)
    if scale_set is not None:
        listed = [item for item in bodies.get(scale_set.body, _PROFILE) or [] if item["name"] != extension.name]
        bodies.put(scale_set.body, _PROFILE, listed)
        engine.store.save(scale_set)


OF_SET = ResourceType(
    name=f"{SCALE_SET}/extensions",
    protocol=COMPUTE,
    put=Verb(seconds=ENABLE_SECONDS),
    patch=Patch(seconds=ENABLE_SECONDS, status=201),
    delete=Verb(seconds=DELETE_SECONDS),
    location=None,
    tags=False,
    write_only=(_PROTECTED,),
    check=_check_of_set,
    accepted=_accepted_of_set,
    deleted=_deleted_of_set,
    depth="part of the set's model: instances get it when they are made or upgraded",
)  # fmt: skip

TYPES = (_type(VM), _type(INSTANCE), OF_SET)


def install(engine: Engine, machine: Resource, listed: list[dict[str, Any]]) -> None:
    """Begin to give a machine the extensions of its set's model."""
    for item in listed:
        extension_id = f"{machine.id}/extensions/{item['name']}"
        existing = engine.store.get(extension_id)
        body = {"location": machine.location, "properties": item["properties"]}
        planned = engine.plan(extension_id, body)
        engine.apply(planned, existing)


# -- images of handlers ----------------------------------------------------------------------------------------------

_IMAGES = "Microsoft.Compute/locations/publishers/artifacttypes/types"


def _list_types(call: Call) -> Answer:
    location, publisher, *_ = call.path.names
    found = [name for owner, name, _ in _HANDLERS if owner.lower() == publisher.lower()]
    return Answer(200, [{"name": name, "location": location, "id": f"{call.path.text}/{name}"} for name in found])


def _list_versions(call: Call) -> Answer:
    location, publisher, _, kind, *version = call.path.names
    found = next(
        (versions for owner, name, versions in _HANDLERS
         if owner.lower() == publisher.lower() and name.lower() == kind.lower()), ()
    )  # fmt: skip
    if version:
        if version[0] not in found:
            raise errors.ArmError(errors.NOT_FOUND, "NotFound", "Artifact: VMExtension was not found.")
        properties = {"operatingSystem": "Linux", "computeRole": "IaaS", "vmScaleSetEnabled": True,
                      "supportsMultipleExtensions": False}  # fmt: skip
        return Answer(200, {"name": version[0], "location": location, "id": call.path.text, "properties": properties})
    return Answer(200, [{"name": one, "location": location, "id": f"{call.path.text}/{one}"} for one in found])


FUNCTIONS = {("GET", _IMAGES): _list_types, ("GET", f"{_IMAGES}/versions"): _list_versions}
