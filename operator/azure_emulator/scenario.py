"""Scenario files: "a subscription with this quota and that VNet, where the third VM fails".

A YAML document whose sections are lists of what the admin API takes, and of resources that are there from the start.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, JsonValue

from azure_emulator.arm_path import parse
from azure_emulator.commands import Capacity, Commands, Image, Quota, Restriction, Settings
from azure_emulator.directory_admin import Application, DirectoryAdmin, Group, Issuer, User
from azure_emulator.documents import Document, DocumentError, line_in, load
from azure_emulator.errors import ArmError
from azure_emulator.faults import Fault

if TYPE_CHECKING:
    from azure_emulator.emulator import Emulator


class Existing(Document):
    """A resource that is there from the start: its id, which may begin at resourceGroups/, and its body."""

    id: str
    body: dict[str, JsonValue] = Field(default_factory=dict)


class Scenario(Document):
    """What an emulator begins with, or what is added to a running one."""

    settings: dict[str, JsonValue] = Field(default_factory=dict)
    quota: list[Quota] = Field(default_factory=list)
    capacity: list[Capacity] = Field(default_factory=list)
    restrictions: list[Restriction] = Field(default_factory=list)
    images: list[Image] = Field(default_factory=list)
    resources: list[Existing] = Field(default_factory=list)
    applications: list[Application] = Field(default_factory=list)
    users: list[User] = Field(default_factory=list)
    groups: list[Group] = Field(default_factory=list)
    issuers: list[Issuer] = Field(default_factory=list)
    faults: list[Fault] = Field(default_factory=list)


def read(path: Path) -> Scenario:
    """Read a file; DocumentError names file, line and what to write instead."""
    return load(path, Scenario)


def apply(emulator: Emulator, scenario: Scenario) -> dict[str, int]:
    """Carry it out, resources after the limits that they count against; answers how much of each there was.

    Raises ValueError where something cannot be, with the section and the number of the entry.
    """
    commands, directory = Commands(emulator), DirectoryAdmin(emulator)
    steps: tuple[tuple[str, list[Any], Any], ...] = (
        ("settings", [Settings({name: value}) for name, value in scenario.settings.items()], commands.settings),
        ("quota", scenario.quota, commands.quota),
        ("capacity", scenario.capacity, commands.capacity),
        ("restrictions", scenario.restrictions, commands.restriction),
        ("images", scenario.images, commands.image),
        ("resources", scenario.resources, lambda asked: _create(emulator, asked)),
        ("applications", scenario.applications, directory.application),
        ("users", scenario.users, directory.user),
        ("groups", scenario.groups, directory.group),
        ("issuers", scenario.issuers, directory.issuer),
        ("faults", scenario.faults, commands.fault),
    )
    for section, entries, run in steps:
        for position, entry in enumerate(entries):
            try:
                run(entry)
            except (ValueError, ArmError) as error:
                code = f"{error.code}: " if isinstance(error, ArmError) else ""
                place = list(scenario.settings)[position] if section == "settings" else position
                raise PlacedError(section, place, f"{code}{error}") from error
    return {section: len(entries) for section, entries, _ in steps if entries}


class PlacedError(ValueError):
    """An entry that cannot be carried out, and where it stands."""

    def __init__(self, section: str, position: int | str, message: str) -> None:
        super().__init__(f"{section}.{position}: {message}")
        self.place = (section, position)


def start(emulator: Emulator, path: Path) -> None:
    """Begin with a scenario; DocumentError names file, line and what to write instead."""
    scenario = read(path)
    try:
        apply(emulator, scenario)
    except PlacedError as error:
        msg = f"{path}:{line_in(path, error.place)}: {error}"
        raise DocumentError(msg) from error
    emulator.commit()


def _create(emulator: Emulator, asked: Existing) -> None:
    engine = emulator.engine
    identity = asked.id
    if not identity.startswith("/"):
        first = next(iter(engine.subscriptions.values()))
        identity = f"/subscriptions/{first}/{identity}"
    engine.settle()
    engine.reserved.clear()
    path = parse(identity)
    if not path.is_resource or path.type_name.lower() not in engine.types:
        msg = f"{asked.id!r} is no id of a resource that the emulator knows; `azure-emulator types` lists the types"
        raise ValueError(msg)
    engine.create(identity, engine.shapes.conform("PUT", path.type_name, asked.body))
