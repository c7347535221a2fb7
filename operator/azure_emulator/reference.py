"""Tables of what the emulator knows: resource types and how deep each goes, and what can be set.

As text for a terminal and as Markdown for docs/reference/emulator.md, which `make generate` writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from azure_emulator.providers import PROVIDERS
from azure_emulator.tunables import TUNABLES
from azure_emulator.types import ResourceType


def types() -> Iterator[ResourceType]:
    """Every resource type, by name."""
    yield from sorted((kind for provider in PROVIDERS for kind in provider.types), key=lambda kind: kind.key)


def verbs(kind: ResourceType) -> list[str]:
    """What can be done with a type: HTTP methods, then the names of its actions."""
    found = [verb for verb, has in (("PUT", kind.put), ("PATCH", kind.patch), ("DELETE", kind.delete)) if has]
    return found + sorted(name for name in kind.actions if not name.startswith("("))


def seconds(kind: ResourceType) -> tuple[str, str]:
    """How long creating and deleting one takes, in emulated seconds before jitter."""
    create = f"{kind.put.seconds:g}" if kind.put is not None else ""
    delete = f"{kind.delete.seconds:g}" if kind.delete is not None else ""
    return create, delete


def text() -> str:
    """One line per resource type."""
    rows = [("type", "verbs", "create s", "delete s", "what behaves beyond storage")]
    rows += [(kind.name, " ".join(verbs(kind)), *seconds(kind), kind.depth) for kind in types()]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )


def markdown() -> str:
    """The reference page."""
    lines = ["# What the emulator knows", "", _ABOUT, "", "## Resource types", "", _TYPES, ""]
    namespace = ""
    for kind in types():
        if kind.namespace != namespace:
            namespace = kind.namespace
            lines += ["", f"### {namespace}", "", "| Type | Verbs and actions | Create s | Delete s | Behaviour |",
                      "|---|---|---:|---:|---|"]  # fmt: skip
        name = kind.name.split("/", 1)[1]
        cells = (name, " ".join(verbs(kind)), *seconds(kind), kind.depth.replace("|", "\\|"))
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "## Settings", "", _SETTINGS, "", "| Setting | Default | What it does |", "|---|---|---|"]
    lines += [f"| `{name}` | `{json.dumps(one.default)}` | {one.text} |" for name, one in sorted(TUNABLES.items())]
    return "\n".join(lines)


_ABOUT = (
    "`make generate` writes this page from the emulator's own tables. How to use them is told in "
    "[emulator.md](../emulator.md)."
)
_TYPES = (
    "Seconds are emulated ones, before a jitter of 20 %. Where nothing is said in the last column a resource is kept, "
    "read, listed and deleted as ARM does, with the defaults, checks and statuses of its provider."
)
_SETTINGS = (
    "`azure-emulator admin settings NAME=VALUE`, or `settings:` in a scenario file. They stand where what Azure does "
    "is unknown, differs between sources, or is wanted otherwise in a test."
)
