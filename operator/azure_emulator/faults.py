"""The fault script: what should go wrong, for which requests, how often.

Knows requests only as method and path; the server asks it once per ARM request and does what it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from azure_emulator.errors import ArmError
from azure_emulator.store import Store


@dataclass
class Fault:
    """One line of the script. Several effects may be combined, such as a delay and an answer.

    Attributes
    ----------
    method, path
        Which requests: an HTTP method (None: any) and a regular expression searched in the path, without case.
    skip, count
        Let so many matching requests pass first, then act on so many (None: for ever).
    answer
        Refuse with {status, code, message, headers} instead of handling the request.
    operation
        Handle it, and let the operation that it starts fail at its end with {code, message}.
    lost_answer
        Handle it, then drop the connection without an answer.
    delay_seconds
        Wait so many emulated seconds before handling it.
    hang
        Never answer; the request is not handled.
    """

    id: int
    path: str
    method: str | None = None
    count: int | None = 1
    skip: int = 0
    answer: dict[str, Any] | None = None
    operation: dict[str, Any] | None = None
    lost_answer: bool = False
    delay_seconds: float = 0.0
    hang: bool = False
    hits: int = field(default=0)

    def matches(self, method: str, path: str) -> bool:
        """Whether the request is one of ours."""
        if self.method is not None and self.method.upper() != method:
            return False
        return re.search(self.path, path, re.IGNORECASE) is not None

    @property
    def spent(self) -> bool:
        """Whether it has acted as often as it should."""
        return self.count is not None and self.hits >= self.count

    @property
    def refusal(self) -> ArmError | None:
        """The error to answer with, if any."""
        return _error(self.answer)

    @property
    def operation_failure(self) -> ArmError | None:
        """The error that the operation should end with, if any."""
        return _error(self.operation)

    def document(self) -> dict[str, Any]:
        """As the admin API shows it."""
        return {
            "id": self.id, "method": self.method, "path": self.path, "count": self.count, "skip": self.skip,
            "answer": self.answer, "operation": self.operation, "lostAnswer": self.lost_answer,
            "delaySeconds": self.delay_seconds, "hang": self.hang, "hits": self.hits,
        }  # fmt: skip


_FIELDS = {
    "method": "method", "path": "path", "count": "count", "skip": "skip", "answer": "answer", "operation": "operation",
    "lostAnswer": "lost_answer", "delaySeconds": "delay_seconds", "hang": "hang", "id": "id", "hits": "hits",
}  # fmt: skip


class Faults:
    """All lines of the script, kept in the store so that they survive a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._faults = [
            Fault(**{_FIELDS[key]: value for key, value in document.items()})
            for document in store.settings.get("faults", [])
        ]

    def add(self, document: dict[str, Any]) -> Fault:
        """Add a line, given as the admin API takes it."""
        unknown = set(document) - set(_FIELDS)
        if unknown:
            msg = f"a fault has no {', '.join(sorted(unknown))}; it knows {', '.join(sorted(_FIELDS))}"
            raise ValueError(msg)
        re.compile(str(document.get("path", "")))
        count = self._store.settings.get("faultCount", 0) + 1
        self._store.set("faultCount", count)
        fields = {_FIELDS[key]: value for key, value in document.items() if key not in ("id", "hits")}
        fault = Fault(**{"path": "", **fields, "id": count})
        self._faults.append(fault)
        self._keep()
        return fault

    def remove(self, identity: int | None = None) -> None:
        """Remove one line, or all."""
        self._faults = [fault for fault in self._faults if identity is not None and fault.id != identity]
        self._keep()

    def all(self) -> list[Fault]:
        """Every line, spent ones too."""
        return list(self._faults)

    def take(self, method: str, path: str) -> Fault | None:
        """The first line that acts on this request; it counts as used."""
        for fault in self._faults:
            if fault.spent or not fault.matches(method, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                self._keep()
                continue
            fault.hits += 1
            self._keep()
            return fault
        return None

    def _keep(self) -> None:
        self._store.set("faults", [fault.document() for fault in self._faults])


def _error(document: dict[str, Any] | None) -> ArmError | None:
    if document is None:
        return None
    headers = {str(name): str(value) for name, value in (document.get("headers") or {}).items()}
    code = str(document.get("code", "InternalServerError"))
    message = str(document.get("message", "Encountered internal server error."))
    return ArmError(int(document.get("status", 500)), code, message, headers=headers, details=document.get("details"))
