"""What the emulator remembers: resources, operations, settings and the request log, in memory and on disk.

Knows no resource type and no rule. Memory is what answers; sqlite is the journal behind it: each ARM request is one
transaction, committed before its answer leaves, so a SIGKILL at any moment loses at most a request that was never
answered. (synchronous=OFF is enough for that: the pages of a killed process are the kernel's to write.)
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Any

from azure_emulator.arm_path import parent_of

# The request log kept in memory and on disk is bounded: an operator that runs for days would otherwise fill both.
REQUESTS_KEPT = 200_000
OPERATIONS_KEPT = 100_000
STATE_FILE = "azure.sqlite3"
_NO_SNAPSHOT = "this is no snapshot of an emulator, or not a whole one"

_SCHEMA = """
create table if not exists resources (key text primary key, document text not null) without rowid;
create table if not exists operations (id text primary key, document text not null) without rowid;
create table if not exists settings (name text primary key, document text not null) without rowid;
create table if not exists requests (sequence integer primary key, document text not null);
"""


@dataclass
class Resource:
    """One resource: the body that a client may see, and beside it what only the emulator knows."""

    id: str
    type: str
    body: dict[str, Any]
    state: str = "Succeeded"
    etag: str = ""
    operation: str | None = None
    complete: bool = False  # whether a creation ever succeeded
    created: float = 0.0
    changed: float = 0.0
    # Write-only values, power state, allotted addresses: never returned to a client.
    internal: dict[str, Any] = field(default_factory=dict)
    # Counts what was ever stored: lists are in this order, after a restart too.
    number: int = 0

    @property
    def key(self) -> str:
        """For comparing: ARM ids have no case."""
        return self.id.lower()

    @property
    def name(self) -> str:
        """The last segment of the id."""
        return self.id.rsplit("/", 1)[-1]

    @property
    def parent(self) -> str:
        """Id of the parent resource, resource group or scope."""
        return parent_of(self.id)

    @property
    def properties(self) -> dict[str, Any]:
        """The `properties` of the body, created if absent."""
        properties: dict[str, Any] = self.body.setdefault("properties", {})
        return properties

    @property
    def location(self) -> str:
        """Region, or an empty string for a resource that has none."""
        return str(self.body.get("location", ""))

    @property
    def subscription(self) -> str:
        """Id of the subscription, or an empty string outside of one."""
        parts = self.id.split("/")
        return parts[2] if parts[1].lower() == "subscriptions" else ""

    @property
    def resource_group(self) -> str:
        """Name of the resource group, or an empty string outside of one."""
        parts = self.id.split("/")
        return parts[4] if parts[3:4] == ["resourceGroups"] and parts[4:] else ""


@dataclass
class Operation:
    """One asynchronous operation; times are emulated seconds since the beginning."""

    id: str
    resource: str
    type: str
    verb: str
    start: float
    end: float
    status: str = "InProgress"
    location: str = ""
    api_version: str = ""
    # What will go wrong at its end, if anything.
    failure: dict[str, Any] | None = None
    # How it ends if it fails: Failed or Canceled.
    ends: str = "Failed"
    # The state that its resource shows in the end, where that is not the operation's own.
    leaves: str | None = None
    # The body to go back to if an update fails; None for a creation.
    before: dict[str, Any] | None = None
    # Keys of what its resource refers to, itself part of: what the operation may have waited for.
    refers: list[str] = field(default_factory=list)
    # Children written by the same request, whose state follows this operation.
    along: list[str] = field(default_factory=list)
    # Input of the operation that its end needs, and the output of an action.
    arguments: dict[str, Any] = field(default_factory=dict)
    output: Any = None
    # Counts operations: those that end at the same moment end in this order, after a restart too.
    number: int = 0

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.status == "InProgress"

    def document(self) -> dict[str, Any]:
        """As the admin API shows it; what will go wrong is told when it has."""
        return {
            "id": self.id, "resourceId": self.resource, "type": self.type, "verb": self.verb,
            "startSeconds": self.start, "endSeconds": self.end, "status": self.status,
            "code": (self.failure or {}).get("code") if not self.running else None, "refersTo": self.refers,
        }  # fmt: skip


class Store:
    """Resources and operations with the indexes that the rules need, written behind to sqlite."""

    def __init__(self, directory: Path | None = None) -> None:
        self.resources: dict[str, Resource] = {}
        self.operations: dict[str, Operation] = {}
        self.settings: dict[str, Any] = {}
        self.requests: deque[dict[str, Any]] = deque(maxlen=REQUESTS_KEPT)
        # When each changed resource was first changed since whoever follows changes took it in (late.LateView); None as
        # long as nobody follows.
        self.changes: dict[str, float] | None = None
        self.now: Callable[[], float] = lambda: 0.0
        self._children: dict[str, dict[str, None]] = {}
        self._by_type: dict[str, dict[str, None]] = {}
        self._referrers: dict[str, dict[str, None]] = {}
        self._references: dict[str, set[str]] = {}
        self._addresses: dict[str, dict[str, str]] = {}
        self._allotted: dict[str, list[list[str]]] = {}
        self._full_below: dict[str, dict[str, int]] = {}
        self._located: dict[tuple[str, str, str], dict[str, None]] = {}
        self._location: dict[str, tuple[str, str, str]] = {}
        self._identities: dict[str, dict[str, None]] = {}  # the instances of a scale set share its principal
        self._identity: dict[str, str] = {}
        self._usage: dict[tuple[str, str], Counter[str]] = {}
        self._taken: dict[str, dict[str, int]] = {}
        self._last_number = 0
        self._dirty_resources: set[str] = set()
        self._dirty_operations: set[str] = set()
        self._dirty_settings: set[str] = set()
        self._new_requests: list[dict[str, Any]] = []
        self._database: sqlite3.Connection | None = None
        if directory is not None:
            self._open(directory)

    # -- resources ---------------------------------------------------------------------------------------------------

    def get(self, resource_id: str) -> Resource | None:
        """The resource of that id, whatever its casing."""
        return self.resources.get(resource_id.lower())

    def save(self, resource: Resource) -> None:
        """Take in a new or changed resource."""
        key = resource.key
        if key not in self.resources:
            resource.number = self._numbered(resource.number)
            self.resources[key] = resource
            self._children.setdefault(resource.parent.lower(), {})[key] = None
            self._by_type.setdefault(resource.type.lower(), {})[key] = None
        self._index(resource)
        self._dirty_resources.add(key)
        self._note_change(key)

    def _numbered(self, number: int) -> int:
        """The number that something has, or the next one."""
        self._last_number = max(self._last_number, number or self._last_number + 1)
        return number or self._last_number

    def remove(self, resource: Resource) -> None:
        """Forget a resource; its children are the caller's business."""
        key = resource.key
        if self.resources.pop(key, None) is None:
            return
        self._children.get(resource.parent.lower(), {}).pop(key, None)
        self._by_type.get(resource.type.lower(), {}).pop(key, None)
        self._unindex(key)
        self._dirty_resources.add(key)
        self._note_change(key)

    def _note_change(self, key: str) -> None:
        if self.changes is None:
            return
        self.changes.setdefault(key, self.now())
        # Bodies show parts, such as the subnets of a network: who follows changes sees the whole change with its part.
        parent = key.rsplit("/", 2)[0]
        while parent in self.resources and "/providers/" in parent:
            self.changes.setdefault(parent, self.now())
            parent = parent.rsplit("/", 2)[0]

    def children(self, parent_id: str, type_name: str | None = None) -> list[Resource]:
        """Resources directly below that id, oldest first; of one type if given."""
        return self._of_type(self._children.get(parent_id.lower(), {}), type_name)

    def below(self, ancestor_id: str) -> list[Resource]:
        """All resources below that id, parents before children."""
        found: list[Resource] = []
        for child in self.children(ancestor_id):
            found.append(child)
            found.extend(self.below(child.id))
        return found

    def of_type(self, type_name: str) -> list[Resource]:
        """All resources of a type, oldest first."""
        return [self.resources[key] for key in self._by_type.get(type_name.lower(), ())]

    def in_region(self, type_name: str, subscription: str, location: str) -> list[Resource]:
        """All resources of a type that a subscription has in a region, oldest first."""
        place = type_name.lower(), subscription.lower(), location
        return [self.resources[key] for key in self._located.get(place, ())]

    def usage(self, subscription: str, location: str) -> Counter[str]:
        """What the resources of a subscription in a region take of its quota, as their `internal["quota"]` says."""
        return self._usage.get((subscription.lower(), location), Counter())

    def with_identity(self) -> list[Resource]:
        """Resources that have a principal of their own, oldest first."""
        return [self.resources[key] for key in self._identity]

    def of_principal(self, principal_id: str) -> Resource | None:
        """The resource whose own identity has that principal."""
        keys = self._identities.get(principal_id.lower())
        return self.resources[next(iter(keys))] if keys else None

    def referrers(self, resource_id: str, type_name: str | None = None) -> list[Resource]:
        """Resources whose bodies name that id, oldest first; of one type if given."""
        return self._of_type(self._referrers.get(resource_id.lower(), {}), type_name)

    def references(self, resource_id: str) -> set[str]:
        """Keys of what the body of a resource names."""
        return self._references.get(resource_id.lower(), set())

    def _of_type(self, keys: dict[str, None], type_name: str | None) -> list[Resource]:
        if type_name is None:
            return [self.resources[key] for key in keys]
        # A group holds tens of thousands, a subnet as many interfaces, and there are few of most types: go through the
        # shorter list.
        shorter, longer = sorted((keys, self._by_type.get(type_name.lower(), {})), key=len)
        return [self.resources[key] for key in shorter if key in longer]

    def addresses(self, subnet_id: str) -> dict[str, str]:
        """Private addresses in use in a subnet, with the key of the resource that holds each."""
        return self._addresses.get(subnet_id.lower(), {})

    def full_below(self, subnet_id: str, prefix: str) -> int:
        """The number of an address of a subnet's range before which none is free, as far as somebody found out."""
        return self._full_below.get(subnet_id.lower(), {}).get(prefix, 0)

    def note_full_below(self, subnet_id: str, prefix: str, number: int) -> None:
        """Remember how far a range is full, so that the next search begins there."""
        self._full_below.setdefault(subnet_id.lower(), {})[prefix] = number

    def _free(self, subnet: str, address: str) -> None:
        self._addresses[subnet].pop(address, None)
        known = self._full_below.get(subnet)
        if known:
            number = int(ip_address(address))
            self._full_below[subnet] = {prefix: min(below, number) for prefix, below in known.items()}

    def _index(self, resource: Resource) -> None:
        key = resource.key
        wanted = {found for found in resource_ids(resource.body) if not found.startswith(key)}
        known = self._references.get(key, set())
        for gone in known - wanted:
            self._referrers[gone].pop(key, None)
        for new in sorted(wanted - known):
            self._referrers.setdefault(new, {})[key] = None
        self._references[key] = wanted
        allotted: list[list[str]] = resource.internal.get("addresses", [])
        before = self._allotted.get(key, [])
        if allotted != before:
            for subnet, address in before:
                self._free(subnet, address)
            for subnet, address in allotted:
                self._addresses.setdefault(subnet, {})[address] = key
            self._allotted[key] = [list(pair) for pair in allotted]
        self._index_place(resource, key)
        self._index_identity(resource, key)

    def _index_place(self, resource: Resource, key: str) -> None:
        taken: dict[str, int] = resource.internal.get("quota") or {}
        place = resource.type.lower(), resource.subscription.lower(), resource.location
        if self._location.get(key) == place and self._taken.get(key, {}) == taken:
            return
        self._unindex_place(key)
        self._location[key] = place
        self._located.setdefault(place, {})[key] = None
        if taken:
            self._taken[key] = dict(taken)
            self._usage.setdefault(place[1:], Counter()).update(taken)

    def _unindex_place(self, key: str) -> None:
        place = self._location.pop(key, None)
        if place is not None:
            self._located[place].pop(key)
            self._usage.setdefault(place[1:], Counter()).subtract(self._taken.pop(key, {}))

    def _index_identity(self, resource: Resource, key: str) -> None:
        identity = resource.body.get("identity")
        principal = str(identity.get("principalId") or "").lower() if isinstance(identity, dict) else ""
        if self._identity.get(key, "") == principal:
            return
        self._unindex_identity(key)
        if principal:
            self._identity[key] = principal
            self._identities.setdefault(principal, {})[key] = None

    def _unindex_identity(self, key: str) -> None:
        self._identities.get(self._identity.pop(key, ""), {}).pop(key, None)

    def _unindex(self, key: str) -> None:
        self._unindex_place(key)
        self._unindex_identity(key)
        for target in self._references.pop(key, set()):
            self._referrers[target].pop(key, None)
        for subnet, address in self._allotted.pop(key, []):
            self._free(subnet, address)

    # -- operations, settings, log -----------------------------------------------------------------------------------

    def save_operation(self, operation: Operation) -> None:
        """Take in a new or changed operation; of very many the oldest that have ended are forgotten, as Azure does."""
        operation.number = self._numbered(operation.number)
        self.operations[operation.id] = operation
        self._dirty_operations.add(operation.id)
        if len(self.operations) > OPERATIONS_KEPT:
            ended = (one for one in self.operations.values() if not one.running and one is not operation)
            for old in list(islice(ended, OPERATIONS_KEPT // 10)):
                self.remove_operation(old)

    def remove_operation(self, operation: Operation) -> None:
        """Forget an operation."""
        self.operations.pop(operation.id, None)
        self._dirty_operations.add(operation.id)

    def set(self, name: str, value: Any) -> None:
        """Keep a setting (JSON values only)."""
        self.settings[name] = value
        self._dirty_settings.add(name)

    def log(self, entry: dict[str, Any]) -> None:
        """Append to the request log."""
        self.requests.append(entry)
        if self._database is not None:
            self._new_requests.append(entry)

    # -- disk --------------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Write everything that changed since the last commit, all of it or nothing."""
        if self._database is None:
            self._dirty_resources.clear()
            self._dirty_operations.clear()
            self._dirty_settings.clear()
            return
        with self._database as database:
            for key in self._dirty_resources:
                resource = self.resources.get(key)
                if resource is None:
                    database.execute("delete from resources where key = ?", (key,))
                else:
                    self._replace(database, "resources", "key", key, asdict(resource))
            for identity in self._dirty_operations:
                operation = self.operations.get(identity)
                if operation is None:
                    database.execute("delete from operations where id = ?", (identity,))
                else:
                    self._replace(database, "operations", "id", identity, asdict(operation))
            for name in self._dirty_settings:
                if name in self.settings:
                    self._replace(database, "settings", "name", name, self.settings[name])
                else:
                    database.execute("delete from settings where name = ?", (name,))
            database.executemany(
                "insert or replace into requests values (?, ?)",
                [(entry["sequence"], json.dumps(entry)) for entry in self._new_requests],
            )
        self._dirty_resources.clear()
        self._dirty_operations.clear()
        self._dirty_settings.clear()
        self._new_requests.clear()

    def close(self) -> None:
        """Commit and let go of the file."""
        self.commit()
        if self._database is not None:
            self._database.close()
            self._database = None

    @staticmethod
    def _replace(database: sqlite3.Connection, table: str, column: str, key: str, document: Any) -> None:
        statement = f"insert or replace into {table} ({column}, document) values (?, ?)"  # noqa: S608 (own names)
        database.execute(statement, (key, json.dumps(document)))

    def snapshot(self) -> bytes:
        """Everything that is kept, as the bytes of a database file."""
        with sqlite3.connect(":memory:") as database:
            database.executescript(_SCHEMA)
            database.executemany(
                "insert into resources values (?, ?)",
                ((key, json.dumps(asdict(resource))) for key, resource in self.resources.items()),
            )
            database.executemany(
                "insert into operations values (?, ?)",
                ((key, json.dumps(asdict(operation))) for key, operation in self.operations.items()),
            )
            database.executemany(
                "insert into settings values (?, ?)", ((key, json.dumps(value)) for key, value in self.settings.items())
            )
            database.executemany(
                "insert into requests values (?, ?)", ((one["sequence"], json.dumps(one)) for one in self.requests)
            )
            database.commit()
            return database.serialize()

    def restore(self, content: bytes) -> None:
        """Take in a snapshot in place of everything that is there; ValueError for what is none."""
        with sqlite3.connect(":memory:") as database:
            whole = Store()
            try:
                database.deserialize(content)
                whole._read(database)  # all of it, before anything is given up for it
            except (sqlite3.Error, ValueError, TypeError, MemoryError) as error:
                raise ValueError(_NO_SNAPSHOT) from error
            if not {"clock", "seed"} <= set(whole.settings):
                raise ValueError(_NO_SNAPSHOT)
            for resource in list(self.resources.values()):
                self.remove(resource)
            self._dirty_operations |= set(self.operations)
            self._dirty_settings |= set(self.settings)
            self.operations.clear()
            self.settings.clear()
            self.requests.clear()
            self._read(database)
        if self._database is not None:
            self._database.execute("delete from requests")
        self._dirty_resources |= set(self.resources)
        self._dirty_operations |= set(self.operations)
        self._dirty_settings |= set(self.settings)
        self._new_requests = list(self.requests)

    def _open(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / STATE_FILE
        path.touch(mode=0o600)  # write-only values such as customData are in here
        database = sqlite3.connect(path)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = off")
        database.executescript(_SCHEMA)
        self._database = database
        self._read(database)
        self._dirty_resources.clear()

    def _read(self, database: sqlite3.Connection) -> None:
        rows = [Resource(**json.loads(text)) for (text,) in database.execute("select document from resources")]
        for resource in sorted(rows, key=lambda row: (row.number, row.created, row.id.count("/"), row.id)):
            self.save(resource)
        operations = [Operation(**json.loads(text)) for (text,) in database.execute("select document from operations")]
        self.operations.update((one.id, one) for one in sorted(operations, key=lambda one: (one.start, one.number)))
        self._last_number = max([self._last_number, *(one.number for one in operations)])
        for name, text in database.execute("select name, document from settings"):
            self.settings[name] = json.loads(text)
        for (text,) in database.execute(
            "select document from (select * from requests order by sequence desc limit ?) order by sequence",
            (REQUESTS_KEPT,),
        ):
            self.requests.append(json.loads(text))


def resource_ids(value: Any) -> set[str]:
    """Every ARM id that occurs as a string or as a key in a body, in lower case (identities are keys)."""
    found: set[str] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending.extend(item.values())
            pending.extend(key for key in item if isinstance(key, str) and key.startswith("/"))
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, str) and item[:15].lower() == "/subscriptions/":
            found.add(item.rstrip("/").lower())
    return found
