"""Resources as they were a little while ago: what indexes that follow changes at a distance show.

Knows no type. Nothing is kept until somebody asks for the first time; from then on every change waits its lag.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.store import Resource

Row = dict[str, Any]
Limits = Mapping[str, Collection[str]]
"""By column, in lower case, the texts that a row may have there to be of interest."""

INDEXED = ("resourceGroup", "type")
"""Columns by which rows are found without a look at all of them."""

ANSWERS, ANSWER_SECONDS = 4, 60.0
"""How many answers are kept for their next pages, and for how many emulated seconds."""


@dataclass(slots=True)
class _Kept:
    """A row as JSON, which takes a fraction of the memory, with what it is found by."""

    number: int
    texts: dict[str, str]
    document: bytes


class LateView:
    """A row of each resource, as it was when the index took it in.

    A resource that changes again while its first change waits is taken in with both: an index may be ahead of its lag,
    never behind it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows: dict[str, _Kept] | None = None
        self._found: dict[str, dict[str, dict[str, None]]] = {}
        self._numbers = 0
        self._answers: dict[Any, tuple[float, Any]] = {}

    def take_in(self, lag: float, make: Callable[[Resource], Row | None]) -> None:
        """Show everything as of so many emulated seconds ago.

        Parameters
        ----------
        lag
            Emulated seconds.
        make
            Makes the row of a resource, or none of what the index does not show.
        """
        store = self._engine.store
        if self._rows is None or store.changes is None:
            self._rows, self._found = {}, {column: {} for column in INDEXED}
            store.changes = dict.fromkeys(store.resources, float("-inf"))
        due = [key for key, since in store.changes.items() if since <= self._engine.now - lag]
        for key in due:
            del store.changes[key]
            resource = store.resources.get(key)
            self._put(self._rows, key, make(resource) if resource is not None else None)

    def _put(self, rows: dict[str, _Kept], key: str, row: Row | None) -> None:
        before = rows.pop(key, None) if row is None else rows.get(key)
        for column, text in before.texts.items() if before is not None else ():
            del self._found[column][text][key]
        if row is None:
            return
        self._numbers += 1
        texts = {column: str(row[column]).lower() for column in INDEXED}
        rows[key] = _Kept(before.number if before is not None else self._numbers, texts, orjson.dumps(row))
        for column, text in texts.items():
            self._found[column].setdefault(text, {})[key] = None

    def texts(self, column: str) -> Iterable[str]:
        """What the rows have in an indexed column, in lower case."""
        return [text for text, keys in self._found[column].items() if keys]

    def rows(self, limits: Limits) -> list[Row]:
        """The rows within limits on indexed columns, in the order in which they were first taken in.

        Limits on other columns are not heeded.
        """
        rows = self._rows or {}
        wanted = {column: set(limits[column]) for column in INDEXED if column in limits}
        keys: Collection[str] = rows
        for column, texts in wanted.items():
            found = self._found[column]
            if sum(len(found.get(text, ())) for text in texts) < len(keys):
                keys = [key for text in texts for key in found.get(text, ())]
        kept = [rows[key] for key in keys]
        kept = [row for row in kept if all(row.texts[column] in texts for column, texts in wanted.items())]
        return [orjson.loads(row.document) for row in sorted(kept, key=lambda row: row.number)]

    def remember(self, question: Any, answer: Any) -> None:
        """Keep an answer for a while: whoever asks for its next page shall not have it worked out anew."""
        self.forget(question)
        self._answers[question] = self._engine.now, answer
        while len(self._answers) > ANSWERS:
            del self._answers[next(iter(self._answers))]

    def recall(self, question: Any) -> Any:
        """The answer that was given to a question a while ago, or None."""
        since, answer = self._answers.get(question, (float("-inf"), None))
        return answer if self._engine.now <= since + ANSWER_SECONDS else None

    def forget(self, question: Any) -> None:
        """Keep an answer no longer: its last page was read."""
        self._answers.pop(question, None)
