"""Resources as they were a little while ago: what indexes that follow changes at a distance show.

Knows no type. Nothing is kept until somebody asks for the first time; from then on every change waits its lag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

Row = dict[str, Any]


class LateView:
    """A row of each resource, as it was when the index took it in.

    A resource that changes again while its first change waits is taken in with both: an index may be ahead of its lag,
    never behind it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # As JSON, which takes a fraction of the memory.
        self._rows: dict[str, bytes] | None = None

    def rows(self, lag: float, make: Callable[[Resource], Row | None]) -> list[Row]:
        """The rows as of so many emulated seconds ago; `make` makes one, or none of what the index does not show."""
        store = self._engine.store
        if self._rows is None or store.changes is None:
            self._rows = {}
            store.changes = dict.fromkeys(store.resources, float("-inf"))
        due = [key for key, since in store.changes.items() if since <= self._engine.now - lag]
        for key in due:
            del store.changes[key]
            resource = store.resources.get(key)
            row = make(resource) if resource is not None else None
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = orjson.dumps(row)
        return [orjson.loads(row) for row in self._rows.values()]
