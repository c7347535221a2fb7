"""OData filter expressions as ARM's lists take them: comparisons and text functions joined by and, or, not.

Knows the grammar, and no property: whoever lists says what a comparison means.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# Deeper nesting than this is no filter that a person or an SDK would write.
DEPTH_ALLOWED = 20
COMPARISONS = frozenset({"eq", "ne", "gt", "ge", "lt", "le"})
FUNCTIONS = frozenset({"substringof", "startswith", "endswith", "contains"})

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<mark>[(),])|(?P<value>-?\d[\w:.+-]*)|(?P<word>[A-Za-z_][\w./]*))"
)


class FilterError(ValueError):
    """A filter that cannot be parsed, or asks for what the list does not know."""


@dataclass(frozen=True)
class Comparison:
    """`name eq 'value'`, or a function of both such as `startswith(name, 'value')`; names are in lower case."""

    name: str
    operator: str
    value: str


@dataclass(frozen=True)
class All:
    """Parts joined by `and`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Either:
    """Parts joined by `or`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Not:
    """The opposite of a part."""

    part: Expression


Expression = Comparison | All | Either | Not
# Whether a comparison holds; the others of the same `and` are what gives tagValue its tagName.
Test = Callable[[Comparison, tuple[Comparison, ...]], bool]


def parse(text: str) -> Expression:
    """Parse a filter that is not empty, or raise FilterError."""
    parser = _Parser(_tokens(text))
    expression = parser.either(0)
    if parser.peek() is not None:
        raise FilterError(text)
    return expression


def holds(expression: Expression, test: Test, together: tuple[Comparison, ...] = ()) -> bool:
    """Whether a filter holds, given what each comparison means."""
    match expression:
        case All(parts):
            comparisons = tuple(part for part in parts if isinstance(part, Comparison))
            return all(holds(part, test, comparisons) for part in parts)
        case Either(parts):
            return any(holds(part, test, together) for part in parts)
        case Not(part):
            return not holds(part, test, together)
        case Comparison():
            return test(expression, together)


def comparisons(expression: Expression) -> list[Comparison]:
    """Every comparison in a filter."""
    match expression:
        case All(parts) | Either(parts):
            return [found for part in parts for found in comparisons(part)]
        case Not(part):
            return comparisons(part)
        case Comparison():
            return [expression]


def conjuncts(expression: Expression) -> list[Comparison]:
    """The comparisons that every match fulfils: a list may look up by them."""
    match expression:
        case All(parts):
            return [part for part in parts if isinstance(part, Comparison)]
        case Comparison():
            return [expression]
        case _:
            return []


def compare(comparison: Comparison, actual: str) -> bool:
    """Compare text as ARM does, without regard to case."""
    one, other = actual.lower(), comparison.value.lower()
    match comparison.operator:
        case "eq":
            return one == other
        case "ne":
            return one != other
        case "substringof" | "contains":
            return other in one
        case "startswith":
            return one.startswith(other)
        case "endswith":
            return one.endswith(other)
        case "ge":
            return one >= other
        case "gt":
            return one > other
        case "le":
            return one <= other
        case _:
            return one < other


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise FilterError(text)
        kind = str(match.lastgroup)
        tokens.append((kind, match[kind]))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> str | None:
        """The next word or mark in lower case, None at the end."""
        return self._tokens[self._at][1].lower() if self._at < len(self._tokens) else None

    def _take(self, *kinds: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] not in kinds:
            raise FilterError
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _mark(self, mark: str) -> None:
        if self._take("mark") != mark:
            raise FilterError

    def either(self, depth: int) -> Expression:
        """A or B."""
        if depth > DEPTH_ALLOWED:
            raise FilterError
        parts = [self._all(depth)]
        while self.peek() == "or":
            self._at += 1
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all(self, depth: int) -> Expression:
        parts = [self._one(depth)]
        while self.peek() == "and":
            self._at += 1
            parts.append(self._one(depth))
        flat: list[Expression] = []
        for part in parts:
            flat.extend(part.parts if isinstance(part, All) else (part,))
        return flat[0] if len(flat) == 1 else All(tuple(flat))

    def _one(self, depth: int) -> Expression:
        if self.peek() == "(":
            self._at += 1
            inner = self.either(depth + 1)
            self._mark(")")
            return inner
        if self.peek() == "not":
            self._at += 1
            if depth > DEPTH_ALLOWED:
                raise FilterError
            return Not(self._one(depth + 1))
        word = self._take("word").lower()
        if word in FUNCTIONS:
            return self._function(word)
        operator = self._take("word").lower()
        if operator not in COMPARISONS:
            raise FilterError
        return Comparison(word, operator, self._value())

    def _function(self, name: str) -> Comparison:
        """`substringof('text', name)` has its arguments the other way round."""
        self._mark("(")
        if name == "substringof":
            value = self._value()
            self._mark(",")
            found = Comparison(self._take("word").lower(), name, value)
        else:
            word = self._take("word").lower()
            self._mark(",")
            found = Comparison(word, name, self._value())
        self._mark(")")
        return found

    def _value(self) -> str:
        text = self._take("text", "value", "word")
        return text[1:-1].replace("''", "'") if text.startswith("'") else text
