"""What people let happen in an emulator: quota and capacity, images, faults, machines that crash, settings.

Each command takes a checked document and answers with another; admin requests and scenario files both come here.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, RootModel

from azure_emulator import locations, tunables
from azure_emulator.documents import Document
from azure_emulator.faults import Fault
from azure_emulator.providers.compute import scheduled_events
from azure_emulator.providers.compute.machines import is_spot
from azure_emulator.providers.compute.sizes import SIZES

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator


def _region(name: str) -> str:
    region = locations.normalise(name)
    if region not in locations.REGIONS:
        msg = f"there is no region {name!r}; write one of {', '.join(sorted(locations.REGIONS))}"
        raise ValueError(msg)
    return region


def _size(name: str) -> str:
    if name.lower() not in SIZES:
        close = difflib.get_close_matches(name.lower(), SIZES, n=3, cutoff=0.5)
        known = ", ".join(SIZES[one].name for one in close) or "one that `az vm list-skus` shows"
        msg = f"there is no VM size {name!r}; write {known}"
        raise ValueError(msg)
    return name


Region = Annotated[str, AfterValidator(_region)]
Size = Annotated[str, AfterValidator(_size)]


class Quota(Document):
    """The limit of a usage, such as standardHBv3Family."""

    location: Region
    name: str
    limit: int = Field(ge=0)


class Capacity(Document):
    """How many more VMs of a size can be had; null lifts the limit.

    `refuse` chooses how scarcity shows: "sync" (SkuNotAvailable, 409) or "operation" (AllocationFailed at the end of
    the operation).
    """

    vm_size: Annotated[Size, AfterValidator(str.lower)]
    location: Region | None = None
    zone: str | None = None
    priority: Literal["Regular", "Spot"] | None = None
    count: int | None = Field(ge=0)
    refuse: Literal["sync", "operation"] = "operation"


class Restriction(Document):
    """A size that the subscription may not use in a region, or in some of its zones."""

    vm_size: Size
    location: Region
    zones: list[str] | None = None


class Image(Document):
    """A marketplace image version."""

    publisher: str
    offer: str
    sku: str
    version: str


class Machine(Document):
    """What happens to a VM: `evict` after 30 s, host maintenance, or a crash at once."""

    id: str
    event: Literal["crash", "evict", "freeze", "reboot", "redeploy"]
    seconds: float = Field(default=60.0, ge=0, strict=False)


class Settings(RootModel[dict[str, JsonValue]]):
    """Tunables of behaviour by name, such as {"serialisedWrites": "failed"}."""


class Commands:
    """The commands of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._store = emulator.store

    def quota(self, asked: Quota) -> dict[str, int]:
        """Set a limit; answers all that are set."""
        limits = {**self._store.settings.get("quota", {}), f"{asked.location}/{asked.name.lower()}": asked.limit}
        self._store.set("quota", limits)
        return limits

    def capacity(self, asked: Capacity) -> list[dict[str, Any]]:
        """Set how many more VMs can be had; answers all that is limited."""
        row = asked.model_dump(by_alias=True)
        same = ("vmSize", "location", "zone", "priority")
        rows = [old for old in self._store.settings.get("capacity", []) if any(old[key] != row[key] for key in same)]
        rows += [row] if asked.count is not None else []
        self._store.set("capacity", rows)
        return rows

    def restriction(self, asked: Restriction) -> list[dict[str, Any]]:
        """Restrict a size; answers all restrictions."""
        rows = [*self._store.settings.get("restrictions", []), asked.model_dump(by_alias=True, exclude_none=True)]
        self._store.set("restrictions", rows)
        return rows

    def image(self, asked: Image) -> dict[str, str]:
        """Add a marketplace image version."""
        image: dict[str, str] = asked.model_dump()
        self._store.set("images", [*self._store.settings.get("images", []), image])
        return image

    def fault(self, asked: Fault) -> dict[str, Any]:
        """Add to the fault script; ValueError for a resource type that no request could have."""
        engine = self._emulator.engine
        known = {*engine.types, *(name for _, name in engine.functions if not name.startswith("*"))}
        if asked.type is not None and asked.type.lower() not in known:
            close = difflib.get_close_matches(asked.type.lower(), engine.types, n=1, cutoff=0.8)
            hint = f"did you mean {engine.types[close[0]].name}?" if close else "`azure-emulator types` lists them all"
            msg = f"there is no type {asked.type!r}; {hint}"
            raise ValueError(msg)
        return self._emulator.faults.add(asked).document()

    def settings(self, asked: Settings) -> dict[str, JsonValue]:
        """Set tunables."""
        for name, value in asked.root.items():
            tunables.check(name, value)
        for name, value in asked.root.items():
            self._store.set(name, value)
        return asked.root

    def machine(self, asked: Machine) -> dict[str, Any]:
        """Let something happen to a VM; ValueError where there is none of that id."""
        engine = self._emulator.engine
        engine.settle()
        machine = engine.store.get(asked.id)
        if machine is None or not machine.type.lower().endswith("/virtualmachines"):
            msg = f"there is no VM {asked.id!r}; write the id of one, as `az vm show --query id` gives it"
            raise ValueError(msg)
        match asked.event:
            case "crash":
                scheduled_events.crash(engine, machine)
                return {"id": machine.id}
            case "evict" if not is_spot(machine):
                msg = f"{machine.name} is no spot VM and is never evicted; write the id of one, or another event"
                raise ValueError(msg)
            case "evict":
                return {"id": machine.id, "eventId": scheduled_events.evict(engine, machine)}
            case kind:
                event = scheduled_events.maintain(engine, machine, kind.capitalize(), asked.seconds)
                return {"id": machine.id, "eventId": event}
