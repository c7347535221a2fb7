"""Surveys: one query of Azure Resource Graph answers for all resource groups that are asked for at about the same time.

Knows ids, rows and pages; sends nothing itself, and knows no resource type beyond what Resource Graph shows otherwise
than ARM does.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpc_operator.arm import CALLER
from hpc_operator.graph import ArmId

COLLECT = 0.03
"""Seconds that the first one who asks waits for others: far below what a query takes (0.2 s and more)."""

GROUPS = 50
"""Resource groups in one query: 5 KB of text, and a few pages of rows where environments have a hundred resources."""

PAGE = 1000
"""Rows of a page, the most that Resource Graph gives (azure-docs, "Work with large data sets")."""

WINDOW = 5.0
"""Seconds after which Resource Graph's limit starts anew, where it does not say (azure-docs, "Guidance for throttled
requests")."""

Page = Mapping[str, Any]
Body = dict[str, Any]
Bodies = dict[str, Body]

_COLUMNS = (
    "id", "name", "type", "location", "tags", "kind", "sku", "plan", "zones", "identity", "managedBy",
    "extendedLocation", "properties",
)  # fmt: skip


def query(groups: Iterable[str]) -> str:
    """Return the query for everything in some resource groups: resources, the groups themselves, role assignments.

    A query may have three joins and unions, and each table but `resources` in one of them (azure-docs, "Understanding
    the Azure Resource Graph query language"). Role assignments belong to the group that their id names.
    """
    names = ", ".join(f"'{_escaped(group)}'" for group in sorted(groups))
    return (
        "resources | union resourcecontainers "
        "| union (authorizationresources | where type == 'microsoft.authorization/roleassignments' "
        "| extend resourceGroup = tostring(split(id, '/')[4])) "
        f"| where resourceGroup in~ ({names}) | project {', '.join(_COLUMNS)} | order by id asc"
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def used_up(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until Resource Graph answers again where this answer was the last of its window, else None."""
    if headers.get("x-ms-user-quota-remaining") != "0":
        return None
    try:
        hours, minutes, seconds = (float(part) for part in headers["x-ms-user-quota-resets-after"].split(":"))
    except (KeyError, ValueError):
        return WINDOW
    return hours * 3600 + minutes * 60 + seconds


@dataclass(eq=False)
class _Batch:
    """Resource groups that one query will answer for."""

    groups: set[str] = field(default_factory=set)
    answer: asyncio.Task[Mapping[str, Bodies]] = field(init=False)


class Surveys:
    """Collects who asks, and asks once for all of them.

    Parameters
    ----------
    ask
        Sends a query: subscription, query, and the skip token of the page before or None; returns a page.
    """

    def __init__(self, ask: Callable[[str, str, str | None], Awaitable[Page]]) -> None:
        self._ask = ask
        self._open: dict[str, _Batch] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[Mapping[str, Bodies]]] = set()

    async def of(self, resource_group_id: str) -> Bodies:
        """Return the bodies of everything in a resource group by lower-case id; see `arm.Azure.survey`.

        Raises
        ------
        AzureError
            What became of the query that was to answer: everybody in it hears the same.
        """
        _, _, subscription, _, group = resource_group_id.lower().split("/")
        batch = self._open.get(subscription)
        if batch is None or len(batch.groups) >= GROUPS:
            batch = self._open[subscription] = _Batch()
            batch.answer = asyncio.create_task(self._answer(subscription, batch), name="survey")
            self._tasks.add(batch.answer)
            batch.answer.add_done_callback(self._tasks.discard)
        batch.groups.add(group)
        # Whoever is cancelled must not take the answer from the others.
        return (await asyncio.shield(batch.answer)).get(group, {})

    async def close(self) -> None:
        """Ask nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, subscription: str, batch: _Batch) -> Mapping[str, Bodies]:
        CALLER.set("")  # it is nobody's own request
        await asyncio.sleep(COLLECT)
        # One query at a time: while it is under way, those who come are collected for the next.
        async with self._turns[subscription]:
            if self._open.get(subscription) is batch:
                del self._open[subscription]
            rows = await self._rows(subscription, query(batch.groups))
        return bodies(rows)

    async def _rows(self, subscription: str, text: str) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        token: str | None = None
        while True:
            page = await self._ask(subscription, text, token)
            rows += page.get("data") or ()
            token = page.get("$skipToken")
            if not token:
                return rows


def bodies(rows: Iterable[Mapping[str, Any]]) -> Mapping[str, Bodies]:
    """Return what rows show, as GETs would show it: by resource group, then by id, both in lower case.

    Children that are no rows of their own stand within their parent, as subnets do: whatever there has properties and
    an id below the parent's.
    """
    found: defaultdict[str, Bodies] = defaultdict(dict)
    within: list[tuple[str, Body]] = []
    for row in rows:
        body = _body(row)
        group = body["id"].lower().split("/")[4]
        found[group][body["id"].lower()] = body
        within += [(group, child) for child in _children(body["id"].lower() + "/", body.get("properties"))]
    for group, child in within:
        found[group].setdefault(child["id"].lower(), child)
    return found


def _body(row: Mapping[str, Any]) -> Body:
    """Return the body of a row: without the empty columns, the type as ARM writes it, the role as a GET names it."""
    body = {key: value for key, value in row.items() if value not in (None, "")}
    body["type"] = ArmId.parse(body["id"]).type
    properties = body.get("properties") or {}
    role = properties.get("roleDefinitionId")
    if isinstance(role, str) and role.startswith("/providers/"):
        # The directory's id of the role; ARM shows it below the subscription of the assignment.
        subscription = "/".join(body["id"].split("/")[:3])
        body["properties"] = {**properties, "roleDefinitionId": subscription + role}
    return body


def _children(prefix: str, value: Any) -> Iterator[Body]:
    if isinstance(value, list):
        for item in value:
            yield from _children(prefix, item)
    elif isinstance(value, dict):
        identity = value.get("id")
        if isinstance(identity, str) and identity.lower().startswith(prefix) and "properties" in value:
            yield value
        for item in value.values():
            yield from _children(prefix, item)
