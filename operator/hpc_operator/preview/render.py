"""A plan as text for people: for a terminal and for a pull request. Pure; computed from what `status.plan` has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Final

from hpc_operator.api.plan import Action, FieldDifference, Plan, PlannedChange
from hpc_operator.blueprint import Problem
from hpc_operator.policy import approval_asked, approve_command
from hpc_operator.reconcile.ports import Key

_SIGNS: Final[dict[Action, tuple[str, str]]] = {  # sign, and color in the numbers of ECMA-48
    "Create": ("+", "32"),
    "Update": ("~", "33"),
    "Roll": ("»", "36"),
    "Replace": ("±", "35"),
    "Delete": ("-", "31"),
    "Blocked": ("!", "1;31"),
}
_BOLD, _DIM, _YELLOW = "1", "2", "33"
_DETAIL: Final = " " * 6
_WIDEST_NAME: Final = 56
"""Names are padded to the longest one up to here, in characters; one that is longer stands out."""
_LONG: Final = 110
"""Characters of a field that still stand on one line."""

_Paint = Callable[[str, str], str]


def render(key: Key, plan: Plan | None, problems: Sequence[Problem] = (), *, color: bool = False) -> str:
    """Return what is to be done to one environment, as text that ends in a line break.

    Parameters
    ----------
    key
        The environment.
    plan
        As `status.plan` has it; None where a problem keeps it from being known.
    problems
        What a user has to change before all can be planned.
    color
        Whether to color it for a terminal.
    """

    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if color else text

    title = paint(_BOLD, f"HPCEnvironment {key.tag}")
    if plan is None:
        return _join([[f"{title}: cannot be planned"], *_problems(problems, paint)])
    return _join(
        [
            [f"{title}: plan {paint(_BOLD, plan.hash)}", plan.summary],
            *_problems(problems, paint),
            *_changes(plan.changes, paint),
            *([f"  {paint(_YELLOW, '?')} {_printable(warning)}"] for warning in plan.warnings),
            *_footer(key, plan),
        ]
    )


def _join(blocks: Iterable[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _problems(problems: Iterable[Problem], paint: _Paint) -> Iterator[list[str]]:
    sign, color = _SIGNS["Blocked"]
    for problem in problems:
        yield [f"  {paint(color, sign)} {problem.owner}", f"{_DETAIL}{_printable(problem.message)}"]


def _changes(changes: Sequence[PlannedChange], paint: _Paint) -> Iterator[list[str]]:
    """Yield a block of lines for each change; those in a row of which the same is to be said share one."""
    width = min(_WIDEST_NAME, max((len(change.name) for change in changes), default=0))
    for (action, details), alike in groupby(changes, lambda change: (change.action, [*_details(change, paint)])):
        sign, color = _SIGNS[action]
        yield [
            *(
                f"  {paint(color, sign)} {_printable(change.name).ljust(width)}  {paint(_DIM, change.owner)}"
                for change in alike
            ),
            *details,
        ]


def _details(change: PlannedChange, paint: _Paint) -> Iterator[str]:
    if change.why:
        yield f"{_DETAIL}{_printable(change.why)}"
    for field in change.fields:
        yield f"{_DETAIL}{_field(field, paint)}"
    for label, text in (
        ("touches", change.touches),
        ("quota", change.quota),
        ("price", f"{change.price_per_hour} per hour" if change.price_per_hour else ""),
    ):
        if text:
            yield f"{_DETAIL}{paint(_DIM, label.ljust(9))} {_printable(text)}"
    if change.waits_for:
        yield f"{_DETAIL}{paint(_YELLOW, 'waits for')} {_printable(change.waits_for)}"


def _field(field: FieldDifference, paint: _Paint) -> str:
    path, before, after = (_printable(text) for text in (field.path, field.before, field.after))
    if not before:
        return f"{path}: {paint(_DIM, 'add')} {after}"
    if not after:
        return f"{path}: {paint(_DIM, 'remove')} {before}"
    if len(path) + len(before) + len(after) > _LONG:
        return f"{path}:\n{_DETAIL}  {before}\n{_DETAIL}{paint(_DIM, '→')} {after}"
    return f"{path}: {before} {paint(_DIM, '→')} {after}"


def _footer(key: Key, plan: Plan) -> Iterator[list[str]]:
    if plan.omitted:
        yield [f"{plan.omitted} more are left out here."]
    if plan.price_per_hour:
        yield [f"All of it: {plan.price_per_hour} per hour by the price list."]
    asked = [names for change in plan.changes if (names := approval_asked(change.waits_for))]
    if len(asked) > 1:
        # Each command names what was approved before, too; this one must not take that back either.
        command = approve_command(key.name, key.namespace, plan.hash, dict.fromkeys(chain.from_iterable(asked)))
        yield [f"To approve all {len(asked)} that wait for approval:", f"  {_printable(command)}"]


def _printable(text: str) -> str:
    """Return a text on one line and without what a terminal would obey: it may come from Azure, or from anybody."""
    return text if text.isprintable() else json.dumps(text)
