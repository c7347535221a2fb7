"""What is in a MySQL server: databases, firewall rules, parameters, administrators, backups by request."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors
from azure_emulator.arm_path import parse
from azure_emulator.providers.mysql import parameters
from azure_emulator.providers.mysql.common import (
    ADMINISTRATOR,
    BACKUP,
    CONFIGURATION,
    DATABASE,
    FIREWALL_RULE,
    bad_parameter,
    require_ready,
)
from azure_emulator.providers.mysql.skus import SKUS
from azure_emulator.providers.protocols import MYSQL, SYNCHRONOUS
from azure_emulator.store import Resource
from azure_emulator.types import Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

SYSTEM_DATABASES = {"information_schema": "utf8mb3", "mysql": "utf8mb4", "performance_schema": "utf8mb4",
                    "sys": "utf8mb4"}  # fmt: skip
_COLLATIONS = {"utf8mb4": "utf8mb4_0900_ai_ci", "utf8mb3": "utf8mb3_general_ci", "utf8": "utf8mb3_general_ci",
               "latin1": "latin1_swedish_ci", "ascii": "ascii_general_ci", "binary": "binary"}  # fmt: skip
_DATABASE_NAME = re.compile(r"^[A-Za-z0-9_$-]{1,64}$")
_RULE_NAME = re.compile(r"^[A-Za-z0-9_-]{1,128}$")
_ADMINISTRATOR_NAME = re.compile(r"^ActiveDirectory$", re.IGNORECASE)
# Assumptions: refusals of which no recording was found.
SYSTEM_DATABASE, NO_PARAMETER = "SystemDatabaseOperationNotAllowed", "ConfigurationNotExists"
PRIVATE_SERVER, READ_ONLY = "FirewallRuleNotAllowedOnPrivateServer", "ConfigurationIsReadOnly"
NO_IDENTITY = "ServerIdentityNotFound"


def _server_of(change: Change, operation: str) -> Resource:
    server = change.engine.require(parse(change.path.parent))
    require_ready(server, operation)
    return server


# -- databases -------------------------------------------------------------------------------------------------------


def add_system_databases(engine: Engine, server: Resource) -> None:
    """The databases that every MySQL has."""
    for name, charset in SYSTEM_DATABASES.items():
        if engine.store.get(f"{server.id}/databases/{name}") is None:
            engine.store.save(Resource(
                id=f"{server.id}/databases/{name}", type=DATABASE, complete=True, created=engine.now,
                body={"properties": {"charset": charset, "collation": _COLLATIONS[charset]}},
            ))  # fmt: skip


def _check_database(change: Change) -> None:
    _server_of(change, "UpsertDatabase")
    if change.path.name.lower() in SYSTEM_DATABASES:
        raise _system(change.path.name)
    properties = change.properties
    charset = str(properties.get("charset") or "utf8mb4").lower()
    if charset not in _COLLATIONS:
        raise bad_parameter("charset")
    properties["charset"] = charset
    collation = str(properties.get("collation") or _COLLATIONS[charset]).lower()
    if not collation.startswith(charset.removesuffix("mb3").removesuffix("mb4")):
        raise bad_parameter("collation", f"{collation} is not one of {charset}.")
    properties["collation"] = collation


def _system(name: str) -> errors.ArmError:
    return errors.bad_request(SYSTEM_DATABASE, f"The database {name} is a system database.")


def _delete_database(call: Call) -> None:
    if call.path.name.lower() in SYSTEM_DATABASES:
        raise _system(call.path.name)
    server = call.engine.store.get(call.path.parent)
    if server is not None:
        require_ready(server, "DropDatabase")


# -- firewall rules --------------------------------------------------------------------------------------------------


def _check_rule(change: Change) -> None:
    server = _server_of(change, "UpsertFirewallRule")
    if bodies.get(server.body, "properties.network.delegatedSubnetResourceId"):
        raise errors.bad_request(
            PRIVATE_SERVER, f"Firewall rules have no meaning for server {server.name}: it is in a virtual network."
        )
    ends = []
    for name in ("startIpAddress", "endIpAddress"):
        try:
            ends.append(ipaddress.IPv4Address(str(change.properties.get(name))))
        except ValueError as error:
            raise bad_parameter(name) from error
    if ends[0] > ends[1]:
        raise bad_parameter("endIpAddress", "The range must not end before it starts.")


# -- parameters ------------------------------------------------------------------------------------------------------


def _known(server: Resource) -> dict[str, parameters.Parameter]:
    return parameters.of_size(SKUS[str(server.body["sku"]["name"]).lower()])


def _parameter(server: Resource, name: str) -> parameters.Parameter:
    found = _known(server).get(name.lower())
    if found is None:
        raise errors.ArmError(
            errors.NOT_FOUND, NO_PARAMETER, f"The configuration '{name}' does not exist for server {server.name}."
        )
    return found


def _checked(parameter: parameters.Parameter, value: object) -> str:
    if parameter.fixed:
        raise errors.bad_request(READ_ONLY, f"The configuration '{parameter.name}' is read-only.")
    text = str(value) if value is not None else parameter.default
    if not parameter.accepts(text):
        raise bad_parameter(parameter.name)
    return text


def _check_parameter(change: Change) -> None:
    server = _server_of(change, "UpdateServerParameter")
    parameter, properties = _parameter(server, change.path.name), change.properties
    reset = properties.get("source") == "system-default"
    value = _checked(parameter, None if reset else properties.get("value"))
    before = change.old.get("currentValue", parameter.default)
    change.body["properties"] = _values(parameter, value, str(before))


def _values(parameter: parameters.Parameter, value: str, before: str) -> dict[str, str]:
    """A static parameter goes on as it was until the server is restarted."""
    return {
        "value": value, "currentValue": value if parameter.dynamic else before,
        "source": "system-default" if value == parameter.default else "user-override",
    }  # fmt: skip


def _view_parameter(engine: Engine, stored: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:  # noqa: ARG001 (a hook)
    server = engine.store.get(stored.parent)
    if server is None:
        return
    parameter, properties = _parameter(server, stored.name), shown["properties"]
    for name, value in (("value", parameter.default), ("currentValue", parameter.default),
                        ("source", "system-default")):  # fmt: skip
        properties.setdefault(name, value)
    properties.update(
        description=parameter.text, defaultValue=parameter.default, dataType=parameter.kind,
        allowedValues=parameter.allowed, isReadOnly=str(parameter.fixed), isDynamicConfig=str(parameter.dynamic),
        isConfigPendingRestart=str(properties["value"] != properties["currentValue"]),
        documentationLink=f"https://dev.mysql.com/doc/refman/8.0/en/server-system-variables.html#sysvar_"
        f"{parameter.name}",
    )  # fmt: skip


def _document(engine: Engine, server: Resource, name: str) -> dict[str, Any]:
    config_id = f"{server.id}/configurations/{name}"
    stored = engine.store.get(config_id) or Resource(id=config_id, type=CONFIGURATION, body={"properties": {}})
    return engine.view(stored)


def read_parameters(call: Call) -> Answer:
    """GET …/configurations[/{name}]: all that there are, whether somebody set them or not."""
    engine, server = call.engine, call.engine.require(parse(call.path.parent))
    require_ready(server, "GetServerParameters")
    if call.path.is_resource:
        return Answer(200, _document(engine, server, _parameter(server, call.path.name).name))
    wanted = call.query.get("keyword", "").lower()
    names = [name for name in _known(server) if wanted in name]
    return Answer(200, {"value": [_document(engine, server, name) for name in names]})


def _find_parameter(call: Call) -> None:
    """PATCH …/configurations/{name}: there is something to change although nobody has set it yet."""
    engine, path = call.engine, call.path
    server = engine.require(parse(path.parent))
    if path.is_resource and engine.store.get(path.text) is None:
        parameter = _parameter(server, path.name)
        engine.store.save(Resource(
            id=f"{server.id}/configurations/{parameter.name}", type=CONFIGURATION, complete=True, created=engine.now,
            body={"properties": _values(parameter, parameter.default, parameter.default)},
        ))  # fmt: skip


def update_parameters(call: Call, server: Resource) -> dict[str, Any]:
    """POST updateConfigurations: several at once, or all back to what they were at first; all of it or nothing."""
    require_ready(server, "UpdateServerParameters")
    engine, body = call.engine, call.body if isinstance(call.body, dict) else {}
    wanted: dict[str, str] = {}
    if body.get("resetAllToDefault") == "True":
        wanted = {stored.name: _parameter(server, stored.name).default
                  for stored in engine.store.children(server.id, CONFIGURATION)}  # fmt: skip
    for item in body.get("value") or []:
        parameter = _parameter(server, str(item.get("name")))
        reset = bodies.get(item, "properties.source") == "system-default"
        wanted[parameter.name] = _checked(parameter, None if reset else bodies.get(item, "properties.value"))
    for name, value in wanted.items():
        config_id = f"{server.id}/configurations/{name}"
        stored = engine.store.get(config_id) or Resource(
            id=config_id, type=CONFIGURATION, body={"properties": {}}, complete=True, created=engine.now
        )
        parameter = _parameter(server, name)
        before = str(stored.properties.get("currentValue", parameter.default))
        stored.body["properties"] = _values(parameter, value, before)
        engine.store.save(stored)
    return {"value": [_document(engine, server, name) for name in wanted]}


def take_up_static_parameters(engine: Engine, server: Resource) -> None:
    """A restart makes changes of static parameters work."""
    for stored in engine.store.children(server.id, CONFIGURATION):
        stored.properties["currentValue"] = stored.properties["value"]
        engine.store.save(stored)


# -- administrators and backups --------------------------------------------------------------------------------------


def _check_administrator(change: Change) -> None:
    server, properties = _server_of(change, "UpsertAdministrator"), change.properties
    properties.setdefault("administratorType", "ActiveDirectory")
    properties.setdefault("tenantId", change.engine.tenant)
    for name in ("login", "sid", "identityResourceId"):
        if not properties.get(name):
            raise bad_parameter(name)
    assigned = bodies.get(server.body, "identity.userAssignedIdentities") or {}
    if str(properties["identityResourceId"]).lower() not in {key.lower() for key in assigned}:
        raise errors.bad_request(
            NO_IDENTITY, f"The identity {properties['identityResourceId']} is not assigned to server {server.name}."
        )


def _check_backup(change: Change) -> None:
    _server_of(change, "CreateBackup")
    change.body["properties"] = {
        "backupType": "FULL", "completedTime": change.engine.clock.iso(change.engine.now), "source": "Customer",
    }  # fmt: skip


def _put_backup(call: Call) -> None:
    """A backup by request needs no body."""
    call.body = call.body if call.body is not None else {}


_WORK = Verb(seconds=15, created=202, updated=202, body=False)
_GONE = Verb(seconds=10)

TYPES = (
    ResourceType(
        name=DATABASE, protocol=MYSQL, put=_WORK, delete=_GONE, location=None, tags=False, has_state=False,
        name_pattern=_DATABASE_NAME, immutable=("properties.charset",), check=_check_database,
        depth="character sets and collations; system databases stay",
    ),
    ResourceType(
        name=FIREWALL_RULE, protocol=MYSQL, put=_WORK, delete=_GONE, location=None, tags=False, has_state=False,
        name_pattern=_RULE_NAME, required=("properties.startIpAddress", "properties.endIpAddress"),
        check=_check_rule, depth="ranges; refused for a server in a virtual network",
    ),
    ResourceType(
        name=CONFIGURATION, protocol=MYSQL, put=_WORK, patch=Patch(seconds=15, status=202), delete=None, location=None,
        tags=False, has_state=False, check=_check_parameter, view=_view_parameter,
        depth="fifty parameters with defaults by size and allowed values; static ones wait for a restart",
    ),
    ResourceType(
        name=ADMINISTRATOR, protocol=MYSQL, put=_WORK, delete=_GONE, location=None, tags=False, has_state=False,
        name_pattern=_ADMINISTRATOR_NAME, check=_check_administrator, depth="needs an identity of the server",
    ),
    ResourceType(
        name=BACKUP, protocol=SYNCHRONOUS, put=Verb(created=200), delete=None, location=None, tags=False,
        has_state=False, check=_check_backup, depth="one a day, and by request; nothing is in them",
    ),
)  # fmt: skip

FUNCTIONS = {
    ("DELETE", DATABASE): _delete_database,
    ("GET", CONFIGURATION): read_parameters,
    ("PATCH", CONFIGURATION): _find_parameter,
    ("PUT", BACKUP): _put_backup,
}
