"""What a call of the operator is called, so that the same call of two lives has the same name. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_IN_GROUP = re.compile(r"^/subscriptions/[^/]+/resourcegroups/[^/]+(?P<rest>/.*|)$", re.IGNORECASE)
_PROVIDER = re.compile(r"/providers/[^/]+", re.IGNORECASE)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# The only name that depends on the uid of its environment, which is another one in each life, and the names of role
# assignments, which are made from their scope.
_VAULT = re.compile(r"(?<=/vaults/)hpc-[a-z2-7]{20}", re.IGNORECASE)
# What depends on the namespace, and is another one in another world.
_DIGESTS = (
    (re.compile(r"(/climate-(?:gpu|hpc))-[a-z2-7]{5}(?=-|/|$)"), r"\1-<generation>"),
    (re.compile(r"(?<=/storageAccounts/)hpc[a-z2-7]{21}"), "<account>"),
    (_GUID, "<id>"),
)
# What Azure makes along with something else has a name that it makes up.
_MADE_UP = re.compile(r"(?<=_osdisk_1_)[0-9a-f]{32}|(?<=\.nic\.)[0-9a-f-]{36}", re.IGNORECASE)
_OBJECT = re.compile(r"^/apis/azurehpc\.io/v1alpha1/namespaces/[^/]+/(?P<object>[^/]+/[^/]+)(?P<status>/status)?$")

AZURE, KUBERNETES = "azure", "kubernetes"
WRITES = frozenset({"PUT", "PATCH", "DELETE"})


@dataclass
class Call:
    """One request of the operator, and what became of it.

    Parameters
    ----------
    disturbance
        What was done to it, empty if nothing.
    sent
        Whether the server got it.
    status
        What the server answered, None if the operator's request never came so far.
    delivered
        Whether the whole answer went back.
    incarnation
        The how-manyth operator process of the life it came from.
    """

    number: int
    stage: str
    server: str
    name: str
    method: str
    path: str
    body: bytes
    incarnation: int
    disturbance: str = ""
    sent: bool = False
    status: int | None = None
    code: str = ""
    delivered: bool = False

    def __str__(self) -> str:
        sent = "sent" if self.sent else "not sent"
        answer = f"{self.status} {self.code}".strip() if self.status is not None else "no answer"
        told = f"{sent}, {answer}, {'delivered' if self.delivered else 'not delivered'}"
        return f"{self.number} process {self.incarnation} {self.stage} | {self.name} | {self.disturbance}: {told}"

    @property
    def writes_to_azure(self) -> bool:
        return self.server == AZURE and self.method in WRITES

    @property
    def is_progress(self) -> bool:
        """Whether it changes something, there or here."""
        return self.writes_to_azure or self.name.startswith(("STATUS", "FINALIZER"))


@dataclass
class Names:
    """Names the calls of one life. Polls are named after the write whose operation they ask for."""

    operations: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def azure(self, method: str, path: str) -> str:
        if (write := self.operations.get(path.lower())) is not None:
            return f"POLL {write}"
        path = canonical(path)
        found = _IN_GROUP.match(path)
        rest = found["rest"] if found else path.partition("/providers/")[2]
        for digest, word in _DIGESTS:
            rest = digest.sub(word, rest)
        return f"{method} {_PROVIDER.sub('', rest).strip('/') or 'resourceGroup'}"

    def note_operation(self, name: str, headers: Mapping[str, str]) -> None:
        """Remember the URLs of an operation that a write, or a poll that was sent elsewhere, has started."""
        for header in ("Azure-AsyncOperation", "Location"):
            if url := headers.get(header):
                self.operations.setdefault(urlsplit(url).path.lower(), name.removeprefix("POLL "))

    def kubernetes(self, stage: str, method: str, path: str, body: bytes, *, watch: bool) -> str:
        """Name a call; writes of status and finalizers have a number, because each tells something else."""
        found = _OBJECT.match(path)
        if watch:
            return f"WATCH {path.rpartition('/')[2]}"
        if method == "PATCH" and found:
            name = f"{'STATUS' if found['status'] else 'FINALIZER'} {found['object']}"
            self.counts[f"{stage} {name}"] += 1
            return f"{name} #{self.counts[f'{stage} {name}']}"
        if method == "POST" and path.endswith("/events"):
            event = json.loads(body)
            return f"EVENT {event['involvedObject']['name']} {event['reason']}"
        return f"{method} {found['object'] if found else path.rpartition('/')[2]}"


def canonical(path: str) -> str:
    """Return a path with the same names in every life."""
    path = _MADE_UP.sub("<made up>", path)
    before, vault, after = path.partition(found[0]) if (found := _VAULT.search(path)) else (path, "", "")
    return f"{before}<vault>{_GUID.sub('<id>', after)}" if vault else before


def resource_type(path: str) -> str:
    """Return the lower-case type of the resource at a path, empty if it is none."""
    if re.fullmatch(r"/subscriptions/[^/]+/resourcegroups/[^/]+", path, re.IGNORECASE):
        return "microsoft.resources/resourcegroups"
    namespace, found = path.rpartition("/providers/")[::2]
    if not namespace:
        return ""
    provider, *parts = found.split("/")
    return "/".join([provider, *parts[::2]]).lower() if len(parts) % 2 == 0 else ""


@dataclass(frozen=True, order=True)
class Point:
    """A moment of a life at which something can go wrong: what happens to which call in which stage."""

    stage: str
    call: str
    disturbance: str

    def __str__(self) -> str:
        return f"{self.stage} | {self.call} | {self.disturbance}"

    @classmethod
    def parse(cls, text: str) -> Point:
        """Read what `str` wrote.

        Raises
        ------
        ValueError
            If it is no point.
        """
        parts = [part.strip() for part in text.split("|")]
        if len(parts) != 3:
            msg = f"{text!r} is no point: write 'STAGE | CALL | DISTURBANCE', as the report does"
            raise ValueError(msg)
        return cls(*parts)
