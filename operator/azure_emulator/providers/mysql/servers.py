"""MySQL flexible servers: sizes, storage, high availability, networks, replicas, and their states.

There is no database inside: a server is what Resource Manager shows of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, locations
from azure_emulator.arm_path import last_name, parent_of, parse
from azure_emulator.providers import assigned_identities, private_links
from azure_emulator.providers.global_names import is_taken
from azure_emulator.providers.mysql import children
from azure_emulator.providers.mysql.common import (
    BACKUP,
    DAY,
    NAME,
    READY,
    SERVER,
    STOPPED,
    SUFFIX,
    bad_parameter,
    require_ready,
    state_of,
)
from azure_emulator.providers.mysql.skus import (
    BACKUP_DAYS,
    BURSTABLE,
    FULL_VERSIONS,
    SKUS,
    STORAGE_GIB,
    VERSIONS,
    Sku,
)
from azure_emulator.providers.network import addresses, is_delegated, links, private_dns, provisioned_subnet
from azure_emulator.providers.protocols import MYSQL
from azure_emulator.types import Action, Answer, Call, Change, Patch, ResourceType, Verb

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Operation, Resource

HA_SECONDS, SCALE_SECONDS, SMALL_UPDATE_SECONDS = 900.0, 90.0, 30.0
# Assumptions: how long these take.
STOP_SECONDS, START_SECONDS, RESTART_SECONDS, FAILOVER_SECONDS, DETACH_SECONDS = 60.0, 60.0, 45.0, 60.0, 300.0
# A stopped server is started again after 30 days (azure-docs, concepts of stopping and starting).
AUTO_START_SECONDS = 30 * DAY
REPLICAS = 10
TIMER = "mysqlAutoStart"
_RESERVED = {"azure_superuser", "admin", "administrator", "root", "guest", "public"}
_MODES = ("Disabled", "SameZone", "ZoneRedundant")
_CREATE_MODES = ("Default", "Create", "Replica", "PointInTimeRestore", "GeoRestore")
_INHERITED = ("administratorLogin", "version", "storage", "backup", "availabilityZone")
# Assumptions: refusals of which no recording was found.
BAD_SUBNET, FIXED_NETWORK = "InvalidSubnetDelegation", "NetworkModeChangeNotAllowed"
NOT_HIGHLY_AVAILABLE, NO_BURSTABLE = "HighAvailabilityNotEnabled", "OperationNotSupportedOnBurstable"
TOO_MANY_REPLICAS, NO_NETWORK = "ReplicaLimitReached", "ServerIsNotInVirtualNetwork"


# -- what a write must fulfil ----------------------------------------------------------------------------------------


def _check(change: Change) -> None:
    mode = _create_mode(change)
    if change.exists:
        _check_update(change)
    else:
        _check_name(change)
        _begin(change, mode)
    assigned_identities.complete(change)
    sku = _check_sku(change)
    _check_login(change, mode)
    _check_version(change)
    _check_storage(change, sku)
    _check_backup(change)
    _check_availability(change, sku)
    _check_network(change)
    _check_role(change)
    change.properties.setdefault("maintenanceWindow", {
        "customWindow": "Disabled", "dayOfWeek": 0, "startHour": 0, "startMinute": 0,
    })  # fmt: skip
    change.seconds = _duration(change)


def _create_mode(change: Change) -> str:
    """How a server comes to be is said once and never shown."""
    properties = change.properties
    mode = str(properties.pop("createMode", "Default"))
    if mode not in _CREATE_MODES:
        raise bad_parameter("createMode")
    change.internal.setdefault("createMode", mode)
    return mode


def _check_name(change: Change) -> None:
    if is_taken(change.engine, SERVER, change.path.name):
        raise errors.conflict("ServerNameAlreadyExists", "Specified server name is already used.")


def _begin(change: Change, mode: str) -> None:
    engine, properties = change.engine, change.properties
    source_id, moment = properties.pop("sourceServerResourceId", None), properties.pop("restorePointInTime", None)
    if mode in ("Default", "Create"):
        return
    source = engine.store.get(str(source_id or ""))
    if source is None or source.type != SERVER:
        raise bad_parameter("sourceServerResourceId")
    require_ready(source, "CreateReplica" if mode == "Replica" else "RestoreServer")
    if mode == "PointInTimeRestore" and not moment:
        raise bad_parameter("restorePointInTime")
    if mode == "Replica":
        _check_replica(engine, source)
        change.internal["source"] = source.id
    for name in _INHERITED:
        if name in source.properties:
            properties.setdefault(name, source.properties[name])
    change.internal.setdefault("secrets", {}).update(source.internal.get("secrets", {}))
    change.body.setdefault("sku", dict(source.body["sku"]))


def _check_replica(engine: Engine, source: Resource) -> None:
    if source.body["sku"]["tier"] == BURSTABLE or "source" in source.internal:
        raise errors.bad_request(NO_BURSTABLE, f"The server {source.name} cannot have replicas.")
    if len(replicas(engine, source)) >= REPLICAS:
        raise errors.conflict(TOO_MANY_REPLICAS, f"The server {source.name} has {REPLICAS} replicas already.")


def _check_update(change: Change) -> None:
    before = change.engine.store.get(change.id)
    if before is not None and set(change.sent) - {"tags"}:
        require_ready(before, "UpdateServer")
    for name in ("sourceServerResourceId", "restorePointInTime"):
        change.properties.pop(name, None)


def _check_sku(change: Change) -> Sku:
    named = change.body.get("sku") or {}
    sku = SKUS.get(str(named.get("name", "")).lower())
    if sku is None or named.get("tier") != sku.tier:
        raise bad_parameter("sku", f"{named.get('name')} is not a size of tier {named.get('tier')}.")
    change.body["sku"] = {"name": sku.name, "tier": sku.tier}
    return sku


def _check_login(change: Change, mode: str) -> None:
    login = str(change.properties.get("administratorLogin") or "")
    password = bodies.get(change.sent, "properties.administratorLoginPassword")
    if not change.exists and mode in ("Default", "Create"):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,31}", login) or login.lower() in _RESERVED:
            raise bad_parameter("administratorLogin")
        if not password:
            raise bad_parameter("administratorLoginPassword")
    if password:
        _check_password(str(password), login)


def _check_password(password: str, login: str) -> None:
    kinds = sum(bool(re.search(pattern, password)) for pattern in ("[a-z]", "[A-Z]", r"\d", r"[^A-Za-z0-9]"))
    if not 8 <= len(password) <= 128 or kinds < 3 or login.lower() in password.lower():  # noqa: PLR2004 (Azure's rule)
        raise errors.bad_request(
            "PasswordNotComplex",
            "Password validation failed. The password does not meet policy requirements because it is not complex "
            "enough.",
            target="administratorLoginPassword",
        )


def _check_version(change: Change) -> None:
    version, old = change.properties.setdefault("version", VERSIONS[-1]), change.old.get("version")
    if version not in VERSIONS:
        raise bad_parameter("version")
    if old is not None and VERSIONS.index(version) < VERSIONS.index(old):
        raise bad_parameter("version", f"A server of version {old} cannot go back to {version}.")
    change.properties["fullVersion"] = FULL_VERSIONS[version]


def _check_storage(change: Change, sku: Sku) -> None:
    storage = change.properties.setdefault("storage", {})
    size, old = storage.setdefault("storageSizeGB", 32), bodies.get(change.before, "properties.storage.storageSizeGB")
    low, high = STORAGE_GIB
    if not isinstance(size, int) or not low <= size <= high:
        raise bad_parameter("storage.storageSizeGB", f"It must be from {low} to {high}.")
    if old is not None and size < old:
        raise bad_parameter("storage.storageSizeGB", f"Storage of {old} GB can grow, but not shrink.")
    free = min(sku.iops, 300 + 3 * size)  # what comes with the size (azure-docs, service tiers)
    kept = storage.get("iops")
    storage["iops"] = free if kept is None or (change.exists and kept > sku.iops) else kept
    if not isinstance(storage["iops"], int) or not 1 <= storage["iops"] <= sku.iops:
        raise bad_parameter("storage.iops", f"It must be up to {sku.iops} for {sku.name}.")
    for name, default in (("autoGrow", "Enabled"), ("autoIoScaling", "Enabled"), ("logOnDisk", "Disabled")):
        if storage.setdefault(name, default) not in ("Enabled", "Disabled"):
            raise bad_parameter(f"storage.{name}")
    storage.update(storageSku="Premium_LRS", storageRedundancy=storage.get("storageRedundancy", "LocalRedundancy"))


def _check_backup(change: Change) -> None:
    backup = change.properties.setdefault("backup", {})
    days = backup.setdefault("backupRetentionDays", 7)
    if not isinstance(days, int) or not BACKUP_DAYS[0] <= days <= BACKUP_DAYS[1]:
        raise bad_parameter("backup.backupRetentionDays", f"It must be from {BACKUP_DAYS[0]} to {BACKUP_DAYS[1]}.")
    backup.setdefault("geoRedundantBackup", "Disabled")
    backup.setdefault("backupIntervalHours", 24)


def _check_availability(change: Change, sku: Sku) -> None:
    properties, known = change.properties, locations.zones(change.body["location"])
    zone = properties.setdefault("availabilityZone", known[0] if known else "")
    if zone and zone not in known:
        raise bad_parameter("availabilityZone")
    ha = properties.setdefault("highAvailability", {})
    mode = ha.setdefault("mode", "Disabled")
    if mode not in _MODES or (mode == "ZoneRedundant" and not known):
        raise bad_parameter("highAvailability.mode")
    if mode == "Disabled":
        ha.pop("standbyAvailabilityZone", None)
        return
    if sku.tier == BURSTABLE:
        raise errors.bad_request(NO_BURSTABLE, "High availability is not supported for the Burstable tier.")
    standby = ha.setdefault("standbyAvailabilityZone", _standby(mode, zone, known))
    if standby not in (*known, "") or (standby == zone) != (mode == "SameZone" or not known):
        raise bad_parameter("highAvailability.standbyAvailabilityZone")


def _standby(mode: str, zone: str, known: list[str]) -> str:
    if mode == "SameZone":
        return zone
    return next((other for other in known if other != zone), "")


# -- networks --------------------------------------------------------------------------------------------------------


def _check_network(change: Change) -> None:
    network = change.properties.setdefault("network", {})
    subnet_id, old = network.get("delegatedSubnetResourceId"), bodies.get(change.before, "properties.network") or {}
    before = old.get("delegatedSubnetResourceId")
    if change.exists:
        if subnet_id is None and before is not None:
            subnet_id = network["delegatedSubnetResourceId"] = before
        if not bodies.same(subnet_id, before):
            raise errors.bad_request(
                FIXED_NETWORK, f"The virtual network of server {change.path.name} cannot be changed; it can only be "
                "detached."
            )  # fmt: skip
    if not subnet_id:
        network["publicNetworkAccess"] = network.get("publicNetworkAccess") or "Enabled"
        if network.get("privateDnsZoneResourceId"):
            raise bad_parameter("network.privateDnsZoneResourceId", "It needs a delegated subnet.")
        return
    if not change.exists:
        _move_in(change, str(subnet_id))
    if network.get("publicNetworkAccess") == "Enabled" and before is None:
        raise bad_parameter("network.publicNetworkAccess", "A server in a virtual network has no public access.")
    network["publicNetworkAccess"] = "Disabled"
    if network.get("privateDnsZoneResourceId"):
        _check_zone(change, str(network["privateDnsZoneResourceId"]))


def _move_in(change: Change, subnet_id: str) -> None:
    engine = change.engine
    subnet = provisioned_subnet(change, subnet_id)
    if not is_delegated(subnet, SERVER):
        raise errors.bad_request(BAD_SUBNET, f"The subnet {subnet.id} must be delegated to {SERVER}.")
    vnet = engine.store.get(parent_of(subnet.id))
    if vnet is not None and vnet.location != change.body["location"]:
        raise errors.bad_request(
            BAD_SUBNET, f"The virtual network {vnet.id} must be in the region of server {change.path.name}."
        )
    change.properties["network"]["delegatedSubnetResourceId"] = subnet.id
    change.internal["address"] = addresses.allot(engine, subnet, change.id)
    change.internal["addresses"] = [[subnet.key, change.internal["address"]]]


def _check_zone(change: Change, zone_id: str) -> None:
    name = last_name(zone_id).lower()
    own = f"{change.path.name.lower()}.{SUFFIX}"
    wrong = parse(zone_id).type_name.lower() != private_dns.ZONE.lower() or "_" in name or name == own
    if wrong or (name != SUFFIX and not name.endswith(f".{SUFFIX}")):
        raise errors.bad_request(
            "InvalidPrivateDnsZoneName",
            f"The Private DNS Zone name provided is invalid. It must end with '{SUFFIX}', and shouldn't contain "
            f"underscore. Currently we do not support {own} as the private dns zone name either.",
        )


def _check_role(change: Change) -> None:
    role, source = change.properties.pop("replicationRole", None), change.internal.get("source")
    if role == "None" and source is not None:
        del change.internal["source"]
    elif role not in (None, "None", "Source", "Replica") or (role == "Replica") > (source is not None):
        raise bad_parameter("replicationRole")


def _duration(change: Change) -> float:
    """A creation, a change of size or availability, or a lesser change take different times."""
    if not change.exists:
        return HA_SECONDS if change.properties["highAvailability"]["mode"] != "Disabled" else 0.0
    mode, old = change.properties["highAvailability"]["mode"], bodies.get(change.old, "highAvailability.mode")
    if mode not in (old, "Disabled"):
        return HA_SECONDS
    scaled = not bodies.same((change.before or {}).get("sku"), change.body["sku"])
    if scaled or change.properties["version"] != change.old.get("version"):
        return SCALE_SECONDS
    return SMALL_UPDATE_SECONDS


# -- life ------------------------------------------------------------------------------------------------------------


def _accepted(change: Change, server: Resource) -> None:
    subnet = bodies.get(server.body, "properties.network.delegatedSubnetResourceId")
    if subnet:
        links.hold(change.engine, str(subnet), SERVER)


def _finished(engine: Engine, server: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    server.internal.setdefault("power", READY)
    server.internal.setdefault("since", engine.now)
    children.add_system_databases(engine, server)
    zone = engine.store.get(str(bodies.get(server.body, "properties.network.privateDnsZoneResourceId") or ""))
    if zone is not None and "record" not in server.internal:
        server.internal["record"] = private_dns.write_address(engine, zone, server.name, server.internal["address"]).id


def replicas(engine: Engine, server: Resource) -> list[Resource]:
    """Servers that copy this one."""
    return [one for one in engine.store.of_type(SERVER) if str(one.internal.get("source", "")).lower() == server.key]


def _leave_network(engine: Engine, server: Resource) -> None:
    subnet = bodies.get(server.body, "properties.network.delegatedSubnetResourceId")
    record = engine.store.get(str(server.internal.pop("record", "")))
    if record is not None:
        engine.remove(record)
    if subnet:
        links.release_later(engine, str(subnet), SERVER)


def _deleted(engine: Engine, server: Resource) -> None:
    _leave_network(engine, server)
    for replica in replicas(engine, server):  # each goes on by itself
        del replica.internal["source"]
        engine.store.save(replica)


def _view(engine: Engine, server: Resource, shown: dict[str, Any], query: Mapping[str, str]) -> None:
    private_links.show(engine, server, shown, query)
    properties = shown["properties"]
    is_replica, copies = "source" in server.internal, replicas(engine, server)
    properties.update(
        state=state_of(server), fullyQualifiedDomainName=f"{server.name.lower()}.{SUFFIX}", databasePort=3306,
        replicationRole="Replica" if is_replica else "Source" if copies else "None",
        replicaCapacity=0 if is_replica else REPLICAS,
    )  # fmt: skip
    if is_replica:
        properties["sourceServerResourceId"] = server.internal["source"]
    ha = properties["highAvailability"]
    ha["state"] = "NotEnabled" if ha["mode"] == "Disabled" else _ha_state(server)
    kept = int(properties["backup"]["backupRetentionDays"]) * DAY
    earliest = max(float(server.internal.get("since", server.created)), engine.now - kept)
    properties["backup"]["earliestRestoreDate"] = engine.clock.iso(earliest)


def _ha_state(server: Resource) -> str:
    if server.internal.get("failingOver"):
        return "FailingOver"
    return "CreatingStandby" if server.state in ("Creating", "Updating") else "Healthy"


# -- actions ---------------------------------------------------------------------------------------------------------


def _need_started(server: Resource) -> None:
    """Refuse what a running server alone can do.

    The text is that of terraform-provider-azurerm#29219, of the sister service; the misspelling is Azure's.
    """
    state = state_of(server)
    if state != READY:
        raise errors.conflict(
            "ServerIsNotReady",
            "Restart or Stop Server can only be performed on Started servers. Sever Name = "
            f"{server.name}, Current Server State = {state}",
        )


def _begin_stop(call: Call, server: Resource) -> None:
    del call
    _need_started(server)


def _stopped(engine: Engine, server: Resource, operation: Operation) -> None:
    server.internal.update(power=STOPPED, stop=operation.id)
    engine.later(TIMER, AUTO_START_SECONDS, server.id, stop=operation.id)


def _begin_start(call: Call, server: Resource) -> None:
    del call
    if state_of(server) != STOPPED:
        raise errors.conflict(
            "ServerIsNotReady", f"Start Server can only be performed on Stopped servers. Sever Name = {server.name}, "
            f"Current Server State = {state_of(server)}"
        )  # fmt: skip


def _started(engine: Engine, server: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    server.internal["power"] = READY
    children.take_up_static_parameters(engine, server)


def _auto_start(engine: Engine, operation: Operation) -> None:
    """Start a server that has been stopped for too long, unless it was started and stopped again."""
    server = engine.store.get(operation.resource)
    stop = operation.arguments["stop"]
    if server is not None and state_of(server) == STOPPED and server.internal.get("stop") == stop:
        engine.begin_action(server, _START, "POST start")


def _begin_restart(call: Call, server: Resource) -> None:
    _need_started(server)
    if isinstance(call.body, dict) and call.body.get("restartWithFailover") == "Enabled":
        _begin_failover(call, server)


def _restarted(engine: Engine, server: Resource, operation: Operation) -> None:
    if server.internal.get("failingOver"):
        _failed_over(engine, server, operation)
    children.take_up_static_parameters(engine, server)


def _begin_failover(call: Call, server: Resource) -> None:
    del call
    _need_started(server)
    if server.properties["highAvailability"]["mode"] == "Disabled":
        raise errors.bad_request(NOT_HIGHLY_AVAILABLE, f"The server {server.name} has no standby server.")
    server.internal["failingOver"] = True


def _failed_over(engine: Engine, server: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    """Both servers swap their places."""
    server.internal.pop("failingOver", None)
    properties, ha = server.properties, server.properties["highAvailability"]
    properties["availabilityZone"], ha["standbyAvailabilityZone"] = (
        ha["standbyAvailabilityZone"], properties["availabilityZone"],
    )  # fmt: skip


def _begin_gtid(call: Call, server: Resource) -> None:
    _need_started(server)
    gtid = (call.body or {}).get("gtidSet") if isinstance(call.body, dict) else None
    if not isinstance(gtid, str) or not re.fullmatch(r"[0-9a-fA-F-]{36}:\d+(?:-\d+)?(?:,[0-9a-fA-F:,-]+)?", gtid):
        raise bad_parameter("gtidSet")


def _begin_detach(call: Call, server: Resource) -> None:
    _need_started(server)
    if not bodies.get(server.body, "properties.network.delegatedSubnetResourceId"):
        raise errors.bad_request(NO_NETWORK, f"The server {server.name} is not in a virtual network.")
    access = (call.body or {}).get("publicNetworkAccess") if isinstance(call.body, dict) else None
    if access not in ("Enabled", "Disabled"):
        raise bad_parameter("publicNetworkAccess")
    server.internal["access"] = access


def _detached(engine: Engine, server: Resource, operation: Operation) -> None:  # noqa: ARG001 (a hook)
    _leave_network(engine, server)
    server.properties["network"] = {"publicNetworkAccess": server.internal.pop("access")}
    for name in ("address", "addresses"):
        server.internal.pop(name, None)


def _estimate(call: Call, server: Resource) -> dict[str, Any]:
    known = locations.zones(server.location)
    expected = (call.body or {}).get("expectedStandbyAvailabilityZone") if isinstance(call.body, dict) else None
    zone = str(server.properties.get("availabilityZone") or "")
    return {
        "estimatedDowntime": 0, "expectedStandbyAvailabilityZone": expected,
        "scheduledStandbyAvailabilityZone": expected or _standby("ZoneRedundant", zone, known),
    }  # fmt: skip


def list_replicas(call: Call) -> Answer:
    """GET …/replicas."""
    engine, server = call.engine, call.engine.require(parse(call.path.parent))
    return Answer(200, {"value": [engine.view(replica) for replica in replicas(engine, server)]})


def list_backups(call: Call) -> Answer:
    """GET …/backups[/{name}]: those of the service, one a day, and those by request."""
    engine, server = call.engine, call.engine.require(parse(call.path.parent))
    since, kept = float(server.internal.get("since", engine.now)), server.properties["backup"]["backupRetentionDays"]
    days = int((engine.now - since) / DAY)
    rows = [_backup(server, day, engine.clock.iso(since + day * DAY)) for day in range(max(0, days - kept), days + 1)]
    rows += [engine.view(backup) for backup in engine.store.children(server.id, BACKUP)]
    if not call.path.is_resource:
        return Answer(200, {"value": rows if server.complete else []})
    for row in rows:
        if row["name"].lower() == call.path.name.lower():
            return Answer(200, row)
    raise errors.resource_not_found(BACKUP, "/".join(call.path.names), call.path.resource_group or "")


def _backup(server: Resource, day: int, moment: str) -> dict[str, Any]:
    name = f"backup_{day:06}"
    return {
        "id": f"{server.id}/backups/{name}", "name": name, "type": BACKUP,
        "properties": {"backupType": "FULL", "completedTime": moment, "source": "Automatic"},
    }  # fmt: skip


TIMERS = {TIMER: _auto_start}
_START = Action(run=_begin_start, seconds=START_SECONDS, updating="Starting", finished=_started)
_PATCHED = ("administratorLoginPassword", "version", "storage", "backup", "highAvailability", "maintenancePolicy",
            "maintenanceWindow", "replicationRole", "dataEncryption", "network")  # fmt: skip

TYPE = ResourceType(
    name=SERVER,
    protocol=MYSQL,
    put=Verb(seconds=390, created=202, updated=202, update_seconds=SMALL_UPDATE_SECONDS, body=False),
    patch=Patch(seconds=SMALL_UPDATE_SECONDS, status=202, allowed=frozenset({
        "tags", "sku", "identity", *(f"properties.{name}" for name in _PATCHED)})),
    delete=Verb(seconds=60),
    name_pattern=NAME,
    has_state=False,
    read_only=("properties.state", "properties.fullyQualifiedDomainName", "properties.replicaCapacity",
               "properties.privateEndpointConnections", "properties.fullVersion", "properties.databasePort",
               "properties.backup.earliestRestoreDate", "properties.highAvailability.state",
               "properties.storage.storageSku"),
    immutable=("properties.administratorLogin", "properties.availabilityZone"),
    write_only=("properties.administratorLoginPassword", "properties.importSourceProperties"),
    delete_first=20,
    actions={
        "start": _START,
        "stop": Action(run=_begin_stop, seconds=STOP_SECONDS, updating="Stopping", finished=_stopped),
        "restart": Action(run=_begin_restart, seconds=RESTART_SECONDS, updating="Updating", finished=_restarted),
        "failover": Action(run=_begin_failover, seconds=FAILOVER_SECONDS, updating="Updating", finished=_failed_over),
        "resetGtid": Action(run=_begin_gtid, seconds=15, updating="Updating"),
        "detachVNet": Action(run=_begin_detach, seconds=DETACH_SECONDS, updating="Updating", finished=_detached),
        "validateEstimateHighAvailability": Action(run=_estimate),
        "updateConfigurations": Action(run=children.update_parameters, seconds=15, updating="Updating"),
    },
    check=_check,
    accepted=_accepted,
    finished=_finished,
    deleted=_deleted,
    view=_view,
    depth="global names, sizes by tier, storage that only grows, high availability, delegated subnet that is freed "
    "late, private DNS, replicas and restores, stop, start, restart, failover, detaching; states instead of a "
    "provisioningState",
)  # fmt: skip
