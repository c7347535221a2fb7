"""Resources as they were a little while ago: what indexes that follow changes at a distance show.

Knows no type. Nothing is kept until somebody asks for the first time; from then on every change waits its lag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from azure_emulator.engine import Engine


class LateView:
    """All resources as a GET showed them when the index took them in.

    A resource that changes again while its first change waits is taken in with both: an index may be ahead of its lag,
    never behind it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shown: dict[str, bytes] | None = None

    def resources(self, lag: float) -> list[tuple[str, dict[str, Any]]]:
        """Type and document of each resource, as of so many emulated seconds ago."""
        store = self._engine.store
        if self._shown is None:
            self._shown = {}
            store.changes.clear()
            for key in store.resources:
                self._take_in(key)
        due = [key for key, since in store.changes.items() if since <= self._engine.now - lag]
        for key in due:
            del store.changes[key]
            self._take_in(key)
        documents = [orjson.loads(document) for document in self._shown.values()]
        return [(str(document["type"]), document) for document in documents]

    def _take_in(self, key: str) -> None:
        if self._shown is None:
            return
        resource = self._engine.store.resources.get(key)
        if resource is None:
            self._shown.pop(key, None)
        else:
            self._shown[key] = orjson.dumps(self._engine.view(resource))
