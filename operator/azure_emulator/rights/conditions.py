"""Conditions of role assignments (ABAC): parsed as Azure writes them, and evaluated with what is known of a request.

Knows the grammar, text and GUID comparisons, and the attributes that it is given. Comparisons of numbers, dates and
addresses are understood and never hold, nor does any comparison with an attribute that a request does not have (the
tags of a blob, say): the assignment then grants nothing.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

# Deeper nesting than this is no condition that a person would write.
DEPTH_ALLOWED = 30
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.|'')*')|(?P<attribute>@\w+\[[^\]]+\])|(?P<mark>&&|\|\||[(){},!])|"
    r"(?P<word>[\w.:/*+-]+))"
)
_WORDS = {"&&": "and", "||": "or", "!": "not"}


class ConditionError(ValueError):
    """Text that is no condition."""


@dataclass(frozen=True)
class Facts:
    """What is known of a request; attributes are in lower case, such as microsoft.authorization/roleassignments:x."""

    action: str
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # source (request, resource) -> values

    def values(self, attribute: Attribute) -> list[str]:
        """The values of an attribute, none if the request does not have it."""
        value = self.attributes.get(attribute.source, {}).get(attribute.name)
        return [] if value is None else [value]


Expression = Callable[[Facts], bool]


@dataclass(frozen=True)
class Attribute:
    """`@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]`, in lower case."""

    source: str
    name: str


Operand = Attribute | tuple[str, ...]
_GUID_IGNORES = str.maketrans("", "", "-{}")


def _guid_equal(one: str, other: str) -> bool:
    return one.lower().translate(_GUID_IGNORES) == other.lower().translate(_GUID_IGNORES)


def _never(one: str, other: str) -> bool:  # noqa: ARG001 (one of the comparisons)
    return False


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda one, other: one == other,
    "stringequalsignorecase": lambda one, other: one.lower() == other.lower(),
    "stringstartswith": lambda one, other: one.startswith(other),
    "stringstartswithignorecase": lambda one, other: one.lower().startswith(other.lower()),
    "stringlike": fnmatch.fnmatchcase,
    "stringlikeignorecase": lambda one, other: fnmatch.fnmatchcase(one.lower(), other.lower()),
    "guidequals": _guid_equal,
    "boolequals": lambda one, other: one.lower() == other.lower(),
    **dict.fromkeys(("numericequals", "numericlessthan", "numericlessthanequals", "numericgreaterthan",
                     "numericgreaterthanequals", "datetimeequals", "datetimelessthan", "datetimelessthanequals",
                     "datetimegreaterthan", "datetimegreaterthanequals", "ipmatch", "ipinrange"), _never),
}  # fmt: skip
_QUANTIFIERS: dict[str, tuple[Callable[..., bool], Callable[..., bool]]] = {
    "foranyofanyvalues": (any, any), "forallofanyvalues": (all, any),
    "foranyofallvalues": (any, all), "forallofallvalues": (all, all),
}  # fmt: skip


@lru_cache(maxsize=512)
def parse(text: str) -> Expression:
    """The condition as a function of what is known of a request; raises ConditionError."""
    parser = _Parser(_tokens(text))
    expression = parser.disjunction(0)
    parser.end()
    return expression


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            msg = f"nothing that belongs into a condition stands at character {at}"
            raise ConditionError(msg)
        kind, value = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "mark" and value in _WORDS:
            kind, value = "word", _WORDS[value]
        found.append((kind, value))
        at = match.end()
    return found


class _Parser:
    """Recursive descent over or, and, not, parentheses and comparisons."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def disjunction(self, depth: int) -> Expression:
        parts = [self._conjunction(depth)]
        while self._take_word("or"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else lambda facts: any(part(facts) for part in parts)

    def _conjunction(self, depth: int) -> Expression:
        parts = [self._factor(depth)]
        while self._take_word("and"):
            parts.append(self._factor(depth))
        return parts[0] if len(parts) == 1 else lambda facts: all(part(facts) for part in parts)

    def _factor(self, depth: int) -> Expression:
        if depth > DEPTH_ALLOWED:
            msg = f"it is nested more than {DEPTH_ALLOWED} deep"
            raise ConditionError(msg)
        if self._take_word("not"):
            inner = self._factor(depth + 1)
            return lambda facts: not inner(facts)
        if self._take("mark", "("):
            inner = self.disjunction(depth + 1)
            self._expect("mark", ")")
            return inner
        for word, test in (("actionmatches", _action_matches), ("suboperationmatches", _no_suboperation)):
            if self._take_word(word):
                patterns = self._list()
                return lambda facts, test=test: test(facts, patterns)  # type: ignore[misc]
        for word, wanted in (("exists", True), ("notexists", False)):
            if self._take_word(word):
                attribute = self._attribute()
                return lambda facts, wanted=wanted: bool(facts.values(attribute)) is wanted  # type: ignore[misc]
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._attribute()
        operator = self._expect("word").lower()
        quantifier, _, plain = operator.rpartition(":")
        negated = "not" in plain
        comparison = _COMPARISONS.get(plain.replace("not", "", 1))
        outer, inner = _QUANTIFIERS.get(quantifier or "foranyofanyvalues", (None, None))
        if comparison is None or outer is None or inner is None:
            msg = f"{operator} is no comparison"
            raise ConditionError(msg)
        right = self._operand()

        def holds(facts: Facts) -> bool:
            ours = facts.values(left)
            theirs = facts.values(right) if isinstance(right, Attribute) else right
            return bool(ours) and outer(
                inner(comparison(one, other) is not negated for other in theirs) for one in ours
            )

        return holds

    def _operand(self) -> Operand:
        kind, value = self._peek()
        if kind == "attribute":
            return self._attribute()
        if (kind, value) == ("mark", "{"):
            return self._list()
        return (self._value(),)

    def _list(self) -> tuple[str, ...]:
        self._expect("mark", "{")
        values = [self._value()]
        while self._take("mark", ","):
            values.append(self._value())
        self._expect("mark", "}")
        return tuple(values)

    def _value(self) -> str:
        kind, value = self._peek()
        if kind not in ("text", "word"):
            msg = f"a value is expected where '{value}' stands"
            raise ConditionError(msg)
        self._at += 1
        return value[1:-1].replace("''", "'") if kind == "text" else value

    def _attribute(self) -> Attribute:
        source, _, name = self._expect("attribute").partition("[")
        return Attribute(source[1:].lower(), name[:-1].lower())

    def _take_word(self, word: str) -> bool:
        kind, value = self._peek()
        if kind == "word" and value.lower() == word:
            self._at += 1
            return True
        return False

    def _take(self, kind: str, value: str) -> bool:
        if self._peek() == (kind, value):
            self._at += 1
            return True
        return False

    def _expect(self, kind: str, value: str | None = None) -> str:
        found, text = self._peek()
        if found != kind or (value is not None and text != value):
            msg = f"{value or f'a {kind}'} is expected where '{text}' stands"
            raise ConditionError(msg)
        self._at += 1
        return text

    def end(self) -> None:
        """Raise ConditionError unless everything has been read."""
        if self._at < len(self._tokens):
            msg = f"it should end before '{self._peek()[1]}'"
            raise ConditionError(msg)

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "the end")


def _action_matches(facts: Facts, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(facts.action.lower(), pattern.lower()) for pattern in patterns)


def _no_suboperation(facts: Facts, patterns: tuple[str, ...]) -> bool:  # noqa: ARG001 (like _action_matches)
    return False  # suboperations are the data planes' (Blob.List), and no data plane here tells its own
