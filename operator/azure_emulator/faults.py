"""The fault script: what should go wrong, for which requests, how often.

Knows requests only as method and path; the server asks it once per ARM request and does what it says.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from azure_emulator.arm_path import ArmPath
from azure_emulator.documents import Document
from azure_emulator.errors import ArmError
from azure_emulator.store import Store

METHODS = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE")


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        msg = f"{text!r} is no regular expression: {error}"
        raise ValueError(msg) from error
    return text


def _method(text: str) -> str:
    if text.upper() not in METHODS:
        msg = f"{text!r} is no method; write one of {', '.join(METHODS)}"
        raise ValueError(msg)
    return text.upper()


class Refusal(Document):
    """An error to answer with."""

    status: int = Field(default=500, ge=400, le=599)
    code: str = "InternalServerError"
    message: str = "Encountered internal server error."
    headers: dict[str, str] = Field(default_factory=dict)
    details: list[dict[str, Any]] | None = None

    def error(self) -> ArmError:
        """As the engine raises it."""
        return ArmError(self.status, self.code, self.message, headers=dict(self.headers), details=self.details)


class Ending(Document):
    """How an operation ends: `leaves` is the state that its resource then shows, if not the operation's own."""

    status: int = Field(default=500, ge=400, le=599)
    code: str = "InternalServerError"
    message: str = "Encountered internal server error."
    details: list[dict[str, Any]] | None = None
    ends: Literal["Failed", "Canceled", "Succeeded"] = "Failed"
    leaves: str | None = None

    def error(self) -> ArmError | None:
        """What the operation fails with, if it does not succeed."""
        if self.ends == "Succeeded":
            return None
        return ArmError(self.status, self.code, self.message, details=self.details)


class Outside(Document):
    """A request that somebody else makes."""

    method: Literal["PUT", "PATCH", "POST", "DELETE"]
    path: str
    body: dict[str, Any] | None = None
    api_version: str = "2025-01-01"


class Fault(Document):
    """One line of the script. Several effects may be combined, such as a delay and an answer.

    Attributes
    ----------
    method, path, type, name
        Which requests: an HTTP method, a regular expression searched in the path, a resource type such as
        Microsoft.Compute/virtualMachines, and a pattern for the last name with * and ?; all without regard to case,
        and absent means any.
    skip, count
        Let so many matching requests pass first, then act on so many (null: for ever).
    answer
        Refuse with this error instead of handling the request.
    operation
        Handle it, and let the operation that it starts end like this.
    lost_answer
        Handle it, then drop the connection without an answer.
    cut_answer
        Handle it, then drop the connection half way through the answer.
    outside
        Before it is handled somebody else makes this request.
    delay_seconds
        Wait so many emulated seconds before handling it.
    hang
        Never answer; the request is not handled.
    """

    id: int = 0
    hits: int = 0
    method: Annotated[str, AfterValidator(_method)] | None = None
    path: Annotated[str, AfterValidator(_regular_expression)] = ""
    type: str | None = None
    name: str | None = None
    skip: int = Field(default=0, ge=0)
    count: int | None = Field(default=1, ge=1)
    answer: Refusal | None = None
    operation: Ending | None = None
    lost_answer: bool = False
    cut_answer: bool = False
    outside: Outside | None = None
    delay_seconds: float = Field(default=0.0, ge=0, strict=False)
    hang: bool = False

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        effects = (self.answer, self.operation, self.lost_answer, self.cut_answer, self.outside, self.hang)
        if not any(effects) and not self.delay_seconds:
            msg = "a fault needs an effect: answer, operation, lostAnswer, cutAnswer, outside, delaySeconds or hang"
            raise ValueError(msg)
        return self

    def matches(self, method: str, path: ArmPath) -> bool:
        """Whether the request is one of ours."""
        if self.method is not None and self.method != method:
            return False
        if self.type is not None and self.type.lower() != path.type_name.lower():
            return False
        last = path.names[-1] if path.names else ""
        if self.name is not None and not fnmatch.fnmatchcase(last.lower(), self.name.lower()):
            return False
        return re.search(self.path, path.text, re.IGNORECASE) is not None

    @property
    def spent(self) -> bool:
        """Whether it has acted as often as it should."""
        return self.count is not None and self.hits >= self.count

    def document(self) -> dict[str, Any]:
        """As the admin API shows it."""
        return self.model_dump(by_alias=True)


class Faults:
    """All lines of the script, kept in the store so that they survive a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._faults = [Fault.model_validate(document) for document in store.settings.get("faults", [])]

    def add(self, fault: Fault) -> Fault:
        """Add a line."""
        count = self._store.settings.get("faultCount", 0) + 1
        self._store.set("faultCount", count)
        fault.id, fault.hits = count, 0
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

    def take(self, method: str, path: ArmPath) -> Fault | None:
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
