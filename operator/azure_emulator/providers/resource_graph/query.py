"""Queries of Resource Graph: parsed by a grammar (kql.lark), carried out on rows in memory.

Knows the language and no Azure: the tables come from whoever asks.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any

import lark

from azure_emulator.providers.resource_graph import scalars
from azure_emulator.providers.resource_graph.scalars import QueryError, Value

Row = dict[str, Value]
Tree = lark.Tree[lark.Token]
Limits = Mapping[str, frozenset[str]]
"""By column, in lower case, the texts of which a row must have one to count in the end: others may be left out."""

# Limits of a query that does not come from the portal: joins and unions together, mv-expand, and each table but the
# default one on the right side of a join or union (azure-docs, query language; the code is what users have reported).
MAX_JOINS, MAX_EXPANDS, DEFAULT_TABLE = 3, 3, "resources"

_QUOTES = "'\""
_SPANS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}


@dataclass
class Table:
    """Rows with their columns in order."""

    columns: list[str]
    rows: list[Row]


@dataclass
class Scope:
    """What names mean while an expression is evaluated."""

    row: Row
    columns: Sequence[str]
    constants: Mapping[str, Value] = field(default_factory=dict)


@lru_cache
def _parser() -> lark.Lark:
    return lark.Lark(Path(__file__).with_name("kql.lark").read_text(), parser="lalr", maybe_placeholders=True)


def parse(text: str) -> Tree:
    """The tree of a query; QueryError says where it goes wrong."""
    try:
        return _parser().parse(text)
    except lark.UnexpectedInput as error:
        token = getattr(error, "token", None)
        expected = sorted(getattr(error, "expected", None) or getattr(error, "allowed", None) or ())
        raise QueryError(
            "ParserFailure", "ParserFailure", line=max(error.line, 1), characterPositionInLine=max(error.column, 0),
            token=str(token) if token is not None and token.type != "$END" else "<EOF>",
            expectedToken=_parser_word(expected[0]) if expected else "Ī",
        ) from error  # fmt: skip


def _parser_word(terminal: str) -> str:
    found = next((known for known in _parser().terminals if known.name == terminal), None)
    return found.pattern.value if found is not None and found.pattern.type == "str" else terminal.lower()


class Query:
    """One query on given tables.

    Parameters
    ----------
    tables
        Makes a table of that name in lower case, at least with the rows within the limits; QueryError for one that is
        not there.
    now
        For now() and ago().
    """

    def __init__(self, tables: Callable[[str, Limits], Table], now: datetime) -> None:
        self._tables = tables
        self._now = now
        self._constants: dict[str, Value] = {}
        self._memberships: dict[int, Callable[[Value], bool]] = {}

    def run(self, text: str) -> Table:
        """Carry it out."""
        tree = parse(text)
        self._memberships.clear()
        _check_limits(tree)
        *lets, pipeline = tree.children
        for let in lets:
            name, value = _children(let)
            self._constants[_name(name)] = self._value(value, Scope({}, (), self._constants))
        return self._pipeline(pipeline, {})

    def _pipeline(self, tree: Any, limits: Limits) -> Table:
        source, *operators = tree.children
        after = [limits]
        for operator in reversed(operators):
            after.append(self._limits_before(operator, after[-1]))
        table = self._source(source, after.pop())
        for operator in operators:
            limits = after.pop()
            if operator.data == "union":
                table = self._union(table, operator.children[-1], limits)
            else:
                table = getattr(self, f"_do_{operator.data}")(table, *operator.children)
        return table

    def _source(self, tree: Any, limits: Limits) -> Table:
        if tree.data == "table":
            return self._tables(_name(tree.children[0]).lower(), limits)
        return self._pipeline(tree.children[0], limits)

    # -- limits: what a table need not show, because no row of it would come through ---------------------------------

    def _limits_before(self, operator: Any, after: Limits) -> Limits:
        """The limits of what goes into an operator, given those of what comes out of it."""
        match operator.data:
            case "where":
                return _both(self._limits_of(operator.children[0]), after)
            case "union" | "order":
                return after
            case "extend":
                made = {name for name, _ in self._named(operator.children[0])}
                return {name: texts for name, texts in after.items() if name not in made}
            case _:
                return {}

    def _limits_of(self, condition: Any) -> Limits:
        """The limits that a condition sets by comparing columns with literals; a row beyond them does not meet it."""
        if condition.data == "all_of":
            return reduce(_both, map(self._limits_of, condition.children))
        if condition.data not in ("compare", "member"):
            return {}
        left, operator, right = condition.children
        if left.data != "name" or str(operator).lower() not in ("==", "=~", "in", "in~"):
            return {}
        literals = right.children if right.data == "members" else [right]
        if any(literal.data != "string" for literal in literals):
            return {}
        texts = (self._value(literal, Scope({}, ())) for literal in literals)
        return {_name(left.children[0]): frozenset(text.lower() for text in texts)}

    # -- operators ---------------------------------------------------------------------------------------------------

    def _do_where(self, table: Table, condition: Any) -> Table:
        self._check(table, [("", condition)])
        return Table(table.columns, [row for row in table.rows if scalars.truth(self._at(condition, table, row))])

    def _do_project(self, table: Table, columns: Any) -> Table:
        named = self._named(columns)
        rows = [{name: self._at(value, table, row) for name, value in named} for row in table.rows]
        self._check(table, named)
        return Table([name for name, _ in named], rows)

    def _do_extend(self, table: Table, columns: Any) -> Table:
        rows, names = [dict(row) for row in table.rows], list(table.columns)
        for name, value in self._named(columns):
            now = Table(names, rows)
            self._check(now, [(name, value)])
            for row in rows:
                row[name] = self._at(value, now, row)
            if name not in names:
                names.append(name)
        return Table(names, rows)

    def _do_project_away(self, table: Table, patterns: Any) -> Table:
        away = {name for name in table.columns if any(fnmatch.fnmatchcase(name, one) for one in patterns.children)}
        return _keep(table, [name for name in table.columns if name not in away])

    def _do_project_keep(self, table: Table, patterns: Any) -> Table:
        kept = [name for name in table.columns if any(fnmatch.fnmatchcase(name, one) for one in patterns.children)]
        return _keep(table, kept)

    def _do_project_rename(self, table: Table, renames: Any) -> Table:
        new = {_name(old): _name(name) for name, old in map(_children, renames.children)}
        columns = [new.get(name, name) for name in table.columns]
        return Table(columns, [{new.get(name, name): value for name, value in row.items()} for row in table.rows])

    def _do_distinct(self, table: Table, groups: Any) -> Table:
        if groups.data == "star":
            named = [(name, None) for name in table.columns]
            rows = table.rows
        else:
            named = self._named(groups)
            self._check(table, named)
            rows = [{name: self._at(value, table, row) for name, value in named} for row in table.rows]
        seen = {_key(row[name] for name, _ in named): row for row in reversed(rows)}
        return Table([name for name, _ in named], list(reversed(seen.values())))

    def _do_summarize(self, table: Table, columns: Any, groups: Any) -> Table:
        by = self._named(groups) if groups is not None else []
        wanted = self._named(columns, aggregate=True) if columns is not None else []
        self._check(table, by)
        found: dict[Any, tuple[Row, list[Row]]] = {} if by else {(): ({}, [])}
        for row in table.rows:
            values = {name: self._at(value, table, row) for name, value in by}
            found.setdefault(_key(values.values()), (values, []))[1].append(row)
        rows = []
        for values, members in found.values():
            row = dict(values)
            for name, call in wanted:
                row |= self._aggregate(name, call, Table(table.columns, members))
            rows.append(row)
        names = list(rows[0]) if rows else [name for name, _ in (*by, *wanted)]
        return Table(names, rows)

    def _do_order(self, table: Table, orders: Any) -> Table:
        rows = list(table.rows)
        for order in reversed(orders.children):
            value, direction, nulls = order.children
            self._check(table, [("", value)])
            descending = direction is None or direction.lower() == "desc"
            last = descending if nulls is None else nulls.children[0].lower() == "last"
            keyed = [(self._at(value, table, row), row) for row in rows]
            present = [pair for pair in keyed if pair[0] is not None]
            absent = [row for key, row in keyed if key is None]
            present.sort(key=lambda pair: scalars.rank(pair[0]), reverse=descending)
            ordered = [row for _, row in present]
            rows = [*ordered, *absent] if last else [*absent, *ordered]
        return Table(table.columns, rows)

    def _do_top(self, table: Table, count: Any, orders: Any) -> Table:
        number = scalars.whole(self._value(count, Scope({}, (), self._constants))) or 0
        return Table(table.columns, self._do_order(table, orders).rows[:number])

    def _do_take(self, table: Table, count: Any) -> Table:
        return Table(table.columns, table.rows[: int(count)])

    def _do_count(self, table: Table) -> Table:
        return Table(["Count"], [{"Count": len(table.rows)}])

    def _union(self, table: Table, source: Any, limits: Limits) -> Table:
        other = self._source(source, limits)
        columns = [*table.columns, *(name for name in other.columns if name not in table.columns)]
        return Table(columns, [*_keep(table, columns).rows, *_keep(other, columns).rows])

    def _do_mv_expand(self, table: Table, columns: Any) -> Table:
        named = self._named(columns)
        self._check(table, named)
        rows = []
        for row in table.rows:
            lists = [(name, self._at(value, table, row)) for name, value in named]
            items = [(name, value if isinstance(value, list) else [value]) for name, value in lists]
            longest = max(len(values) for _, values in items)
            rows += [{**row, **{name: values[at] if at < len(values) else None for name, values in items}}
                     for at in range(longest)]  # fmt: skip
        return Table([*table.columns, *(name for name, _ in named if name not in table.columns)], rows)

    def _do_join(self, table: Table, kind: Any, source: Any, keys: Any) -> Table:
        name = str(kind.children[0]).lower() if kind is not None else "innerunique"
        if name not in _JOINS:
            raise QueryError("UnsupportedJoinFlavor", f'The join kind "{name}" is not supported or not allowed.')
        other = self._source(source, {})
        pairs = [_join_key(key) for key in keys.children]
        for one, two in pairs:
            _require(table, one)
            _require(other, two)
        renamed = {name: _free(name, table.columns) for name in other.columns}
        matches: dict[Any, list[Row]] = {}
        for row in other.rows:
            matches.setdefault(_key(row.get(two) for _, two in pairs), []).append(row)
        if name == "innerunique":
            unique = {_key(row.get(one) for one, _ in pairs): row for row in reversed(table.rows)}
            table = Table(table.columns, list(reversed(unique.values())))
        joined: list[Row] = []
        used: set[Any] = set()
        for row in table.rows:
            key = _key(row.get(one) for one, _ in pairs)
            found = matches.get(key, [])
            used.add(key)
            joined += [{**row, **{renamed[column]: match.get(column) for column in other.columns}} for match in found]
            if not found and name in ("leftouter", "fullouter"):
                joined.append({**row, **dict.fromkeys(renamed.values())})
        if name == "fullouter":
            lone = [match for key, rows in matches.items() if key not in used for match in rows]
            joined += [
                {**dict.fromkeys(table.columns), **{renamed[c]: row.get(c) for c in other.columns}} for row in lone
            ]
        return Table([*table.columns, *renamed.values()], joined)

    # -- columns -----------------------------------------------------------------------------------------------------

    def _named(self, columns: Any, *, aggregate: bool = False) -> list[tuple[str, Any]]:
        named: list[tuple[str, Any]] = []
        for column in columns.children:
            if column.data == "named":
                name, value = column.children
                named.append((_name(name), value))
                continue
            value = column.children[0]
            name = _aggregate_name(value) if aggregate else _path_name(value)
            named.append((name or f"Column{len(named) + 1}", value))
        return named

    def _check(self, table: Table, named: Sequence[tuple[str, Any]]) -> None:
        """Names must be columns or constants, also where there is no row to find out by."""
        for _, tree in named:
            for found in tree.find_data("name") if isinstance(tree, lark.Tree) else ():
                name = _name(found.children[0])
                if name not in self._constants:
                    _require(table, name)

    def _at(self, tree: Any, table: Table, row: Row) -> Value:
        return self._value(tree, Scope(row, table.columns, self._constants))

    def _aggregate(self, name: str, tree: Any, table: Table) -> Row:
        if not isinstance(tree, lark.Tree) or tree.data != "call":
            raise QueryError("InvalidAggregation", "Only aggregation functions are allowed in summarize.")
        function, *arguments = tree.children
        lower = str(function).lower()
        arguments = [argument for argument in arguments if argument is not None]
        if lower in ("arg_max", "arg_min") and arguments:
            return self._extreme(lower == "arg_max", arguments, table)
        if lower not in _AGGREGATES:
            raise _unknown_function(str(function))
        columns = [[self._at(argument, table, row) for row in table.rows] for argument in arguments]
        if len(columns) < _AGGREGATES[lower][0]:
            raise QueryError("InvalidArguments", f"{function}(): function expects more arguments.")
        return {name: _AGGREGATES[lower][1](len(table.rows), *columns)}

    def _extreme(self, largest: bool, arguments: list[Any], table: Table) -> Row:
        by, *others = arguments
        rows = [row for row in table.rows if self._at(by, table, row) is not None]
        if not rows:
            return {}
        choose = max if largest else min
        best = choose(rows, key=lambda row: scalars.rank(self._at(by, table, row)))
        values = {_path_name(by) or "Column1": self._at(by, table, best)}
        return values | {_path_name(other) or "Column": self._at(other, table, best) for other in others}

    # -- expressions -------------------------------------------------------------------------------------------------

    def _value(self, tree: Any, scope: Scope) -> Value:
        return getattr(self, f"_is_{tree.data}")(scope, *tree.children)

    def _is_name(self, scope: Scope, token: Any) -> Value:
        name = _name(token)
        if name in scope.row:
            return scope.row[name]
        if name in scope.constants:
            return scope.constants[name]
        _require(Table(list(scope.columns), []), name)
        return None

    def _is_any_of(self, scope: Scope, *parts: Any) -> bool:
        return any(scalars.truth(self._value(part, scope)) for part in parts)

    def _is_all_of(self, scope: Scope, *parts: Any) -> bool:
        return all(scalars.truth(self._value(part, scope)) for part in parts)

    def _is_compare(self, scope: Scope, left: Any, operator: Any, right: Any) -> bool:
        one, other = self._value(left, scope), self._value(right, scope)
        comparison = scalars.COMPARISONS.get(str(operator))
        return comparison(one, other) if comparison is not None else scalars.word(str(operator), one, other)

    def _is_member(self, scope: Scope, left: Any, operator: Any, members: Any) -> bool:
        test = self._memberships.get(id(members))
        if test is None:
            test = scalars.membership(str(operator), [self._value(value, scope) for value in members.children])
            if not any(members.find_data("name")):
                self._memberships[id(members)] = test  # of literals: the same for all rows
        return test(self._value(left, scope))

    def _is_between(self, scope: Scope, value: Any, operator: Any, low: Any, high: Any) -> bool:
        one, least, most = (self._value(part, scope) for part in (value, low, high))
        inside = not scalars.less(one, least) and not scalars.less(most, one)
        return inside != str(operator).startswith("!")

    def _is_arithmetic(self, scope: Scope, left: Any, operator: Any, right: Any) -> Value:
        return scalars.arithmetic(str(operator), self._value(left, scope), self._value(right, scope))

    def _is_negative(self, scope: Scope, value: Any) -> Value:
        return scalars.arithmetic("-", 0, self._value(value, scope))

    def _is_member_access(self, scope: Scope, owner: Any, name: Any) -> Value:
        return _member(self._value(owner, scope), _name(name))

    def _is_index(self, scope: Scope, owner: Any, at: Any) -> Value:
        value, key = self._value(owner, scope), self._value(at, scope)
        if isinstance(value, list) and isinstance(key, int):
            return value[key] if -len(value) <= key < len(value) else None
        return _member(value, scalars.text(key))

    def _is_call(self, scope: Scope, function: Any, *arguments: Any) -> Value:
        name = str(function).lower()
        given = [argument for argument in arguments if argument is not None]
        if name in ("now", "ago"):
            span = self._value(given[0], scope) if given else timedelta()
            return self._now - span if isinstance(span, timedelta) else None
        if name not in scalars.FUNCTIONS:
            raise _unknown_function(str(function))
        least, most, run = scalars.FUNCTIONS[name]
        if len(given) < least or (most is not None and len(given) > most):
            raise QueryError("InvalidArguments", f"{function}(): function expects {least} argument(s).")
        return run(*(self._value(argument, scope) for argument in given))

    def _is_string(self, scope: Scope, token: Any) -> str:  # noqa: ARG002
        raw = str(token)
        if raw.startswith("@"):
            return raw[2:-1].replace(raw[1] * 2, raw[1])
        return raw[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in raw else raw[1:-1]

    def _is_integer(self, scope: Scope, token: Any) -> int:  # noqa: ARG002
        return int(token)

    def _is_real(self, scope: Scope, token: Any) -> float:  # noqa: ARG002
        return float(token)

    def _is_timespan(self, scope: Scope, token: Any) -> timedelta:  # noqa: ARG002
        unit = str(token).lstrip("0123456789.")
        return timedelta(**{_SPANS[unit]: float(str(token)[: -len(unit)])})

    def _is_true(self, scope: Scope) -> bool:  # noqa: ARG002
        return True

    def _is_false(self, scope: Scope) -> bool:  # noqa: ARG002
        return False

    def _is_null(self, scope: Scope) -> None:  # noqa: ARG002
        return None

    def _is_datetime(self, scope: Scope, token: Any) -> datetime | None:  # noqa: ARG002
        return scalars.moment(str(token))

    def _is_dynamic(self, scope: Scope, value: Any) -> Value:
        return self._value(value, scope)

    def _is_json_list(self, scope: Scope, *items: Any) -> list[Value]:
        return [self._value(item, scope) for item in items if item is not None]

    def _is_json_object(self, scope: Scope, *pairs: Any) -> Row:
        return {self._is_string(scope, pair.children[0]): self._value(pair.children[1], scope)
                for pair in pairs if pair is not None}  # fmt: skip


_JOINS = {"inner", "innerunique", "leftouter", "fullouter"}


def _check_limits(tree: Tree) -> None:
    """Refuse what Azure refuses before it looks at any row."""
    remote = [join.children[1] for join in tree.find_data("join")]
    remote += [union.children[-1] for union in tree.find_data("union")]
    trees = [source for source in remote if isinstance(source, lark.Tree)]
    tables = [_name(table.children[0]).lower() for source in trees for table in source.find_data("table")]
    others = [name for name in tables if name != DEFAULT_TABLE]
    if len(remote) > MAX_JOINS or len(set(others)) < len(others):
        message = f"A query may have {MAX_JOINS} joins and unions, and each table other than Resources in one of them."
        raise QueryError("DisallowedMaxNumberOfRemoteTables", message)
    if len(list(tree.find_data("mv_expand"))) > MAX_EXPANDS:
        raise QueryError("DisallowedMaxNumberOfMvExpands", f"A query may have {MAX_EXPANDS} mv-expand operators.")


def _present(values: Sequence[Value]) -> list[Value]:
    return [value for value in values if value is not None]


def _sum(_: int, values: Sequence[Value]) -> Value:
    return sum(number for value in values if (number := scalars.number(value)) is not None)


def _average(_: int, values: Sequence[Value]) -> Value:
    numbers = [number for value in values if (number := scalars.number(value)) is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _distinct(values: Sequence[Value]) -> list[Value]:
    return list({_key([value]): value for value in reversed(_present(values))}.values())[::-1]


# name -> (least arguments, function of the number of rows and the arguments' columns)
_AGGREGATES: Mapping[str, tuple[int, Callable[..., Value]]] = {
    "count": (0, lambda count: count),
    "countif": (1, lambda _, values: sum(map(scalars.truth, values))),
    "dcount": (1, lambda _, values, *__: len(_distinct(values))),
    "sum": (1, _sum), "avg": (1, _average),
    "sumif": (2, lambda _, values, conditions: _sum(0, [v for v, c in zip(values, conditions, strict=True) if c])),
    "min": (1, lambda _, values: min(_present(values), key=scalars.rank, default=None)),
    "max": (1, lambda _, values: max(_present(values), key=scalars.rank, default=None)),
    "make_list": (1, lambda _, values, *__: _present(values)),
    "make_set": (1, lambda _, values, *__: _distinct(values)),
    "any": (1, lambda _, values: next(iter(_present(values)), None)),
    "take_any": (1, lambda _, values: next(iter(_present(values)), None)),
}  # fmt: skip


def _children(tree: Any) -> Any:
    return tree.children


def _name(token: Any) -> str:
    text = str(token)
    return text[2:-2] if text.startswith("[") else text


def _member(value: Value, name: str) -> Value:
    if isinstance(value, str) and value.startswith("{"):
        value = scalars.FUNCTIONS["parse_json"][2](value)
    return value.get(name) if isinstance(value, dict) else None


def _require(table: Table, name: str) -> None:
    if name not in table.columns:
        message = f"Failed to resolve column or scalar expression named '{name}'. Please check the query."
        raise QueryError("UnresolvedName", message)


def _unknown_function(name: str) -> QueryError:
    return QueryError("UnknownFunction", f"Unknown function: '{name}'.")


def _both(one: Limits, other: Limits) -> Limits:
    common = {name: one[name] & other[name] for name in one if name in other}
    return {**one, **other, **common}


def _keep(table: Table, columns: list[str]) -> Table:
    if columns == table.columns:
        return table
    return Table(columns, [{name: row.get(name) for name in columns} for row in table.rows])


def _key(values: Any) -> tuple[Any, ...]:
    return tuple(scalars.rank(value) if value is not None else None for value in values)


def _free(name: str, taken: Sequence[str]) -> str:
    if name not in taken:
        return name
    number = 1
    while f"{name}{number}" in taken:
        number += 1
    return f"{name}{number}"


def _join_key(tree: Any) -> tuple[str, str]:
    names = [_name(child) for child in tree.children]
    if tree.data == "same_key":
        return names[0], names[0]
    return (names[0], names[1]) if tree.data == "left_right" else (names[1], names[0])


def _path_name(tree: Any) -> str | None:
    """The name that Kusto gives a column without one: the path, joined by underscores."""
    if not isinstance(tree, lark.Tree):
        return None
    match tree.data:
        case "name":
            return _name(tree.children[0])
        case "member_access" | "index":
            owner, last = _path_name(tree.children[0]), tree.children[1]
            text = (
                _name(last)
                if isinstance(last, lark.Token)
                else _name(last.children[0]).strip("'\"")
                if last.children
                else ""
            )
            return f"{owner}_{text}" if owner is not None else None
        case "call" if str(tree.children[0]).lower() in ("tostring", "toint", "tolong", "todouble", "tobool"):
            return _path_name(tree.children[1])
    return None


def _aggregate_name(tree: Any) -> str | None:
    if not isinstance(tree, lark.Tree) or tree.data != "call":
        return None
    function, *arguments = tree.children
    inner = _path_name(arguments[0]) if arguments and arguments[0] is not None else ""
    name = str(function).lower()
    prefix = {"make_list": "list", "make_set": "set"}.get(name, name)
    return f"{prefix}_{inner or ''}"
