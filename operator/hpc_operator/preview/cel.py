"""Evaluates the CEL of our own rules, where there is no API server to do it: the part of the language that they use.

What they do not use is an error here, so that a rule is never taken for something else. Knows no rule and no kind.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any, Final

from lark import Lark, Token, Transformer
from lark.exceptions import VisitError

from hpc_operator.api.common import parse_quantity

Names = Mapping[str, Any]
Expression = Callable[[Names], Any]

_PARSER: Final = Lark(
    r"""
    ?expression: either | either "?" either ":" expression -> conditional
    ?either: both ("||" both)+ -> either
           | both
    ?both: relation ("&&" relation)+ -> both
         | relation
    ?relation: modulo | relation COMPARISON modulo -> compare
    ?modulo: negation | modulo "%" negation -> modulo
    ?negation: member | "!" negation -> negate
    ?member: value
           | member "." NAME -> select
           | member "." NAME "(" [expression ("," expression)*] ")" -> method
           | member "[" expression "]" -> item
    ?value: NAME -> name
          | NAME "(" [expression ("," expression)*] ")" -> call
          | "[" [expression ("," expression)*] "]" -> array
          | "(" expression ")"
          | (INTEGER | STRING) -> literal
    COMPARISON.2: "==" | "!=" | "<=" | ">=" | "<" | ">" | /in\b/
    NAME: /[A-Za-z_]\w*/
    INTEGER: /[0-9]+/
    STRING.2: /r?'[^']*'/
    %ignore /\s+/
    """,
    start="expression",
    parser="lalr",
    maybe_placeholders=False,
)


@cache
def compile_rule(text: str) -> Expression:
    """Return a rule as a function of the names in it, such as `self`.

    Raises
    ------
    ValueError
        If it uses what is not known here.
    """
    try:
        return _Builder().transform(_PARSER.parse(text))
    except VisitError as error:
        raise error.orig_exc from None


@dataclass(frozen=True)
class _Name:
    name: str

    def __call__(self, names: Names) -> Any:
        return names[self.name]


@dataclass(frozen=True)
class _Select:
    target: Expression
    field: str

    def __call__(self, names: Names) -> Any:
        return self.target(names)[self.field]

    def is_there(self, names: Names) -> bool:
        return self.field in self.target(names)


class _Builder(Transformer[Token, Expression]):
    """Turns a syntax tree into functions, from the leaves up."""

    def literal(self, items: list[Token]) -> Expression:
        value = ast.literal_eval(items[0])
        return lambda _: value

    def name(self, items: list[Token]) -> Expression:
        return _Name(str(items[0]))

    def array(self, items: list[Expression]) -> Expression:
        return lambda names: [item(names) for item in items]

    def select(self, items: list[Any]) -> Expression:
        return _Select(items[0], str(items[1]))

    def item(self, items: list[Expression]) -> Expression:
        return lambda names: items[0](names)[items[1](names)]

    def conditional(self, items: list[Expression]) -> Expression:
        condition, then, otherwise = items
        return lambda names: then(names) if condition(names) else otherwise(names)

    def either(self, items: list[Expression]) -> Expression:
        return lambda names: any(item(names) for item in items)

    def both(self, items: list[Expression]) -> Expression:
        return lambda names: all(item(names) for item in items)

    def negate(self, items: list[Expression]) -> Expression:
        return lambda names: not items[0](names)

    def modulo(self, items: list[Expression]) -> Expression:
        return lambda names: items[0](names) % items[1](names)

    def compare(self, items: list[Any]) -> Expression:
        left, operator, right = items
        compare = _COMPARISONS[str(operator)]
        return lambda names: compare(left(names), right(names))

    def call(self, items: list[Any]) -> Expression:
        function, *arguments = items
        if function == "has" and isinstance(arguments[0], _Select):
            return arguments[0].is_there
        return _applied(_FUNCTIONS, str(function), arguments)

    def method(self, items: list[Any]) -> Expression:
        target, function, *arguments = items
        if (macro := _MACROS.get(str(function))) is not None:
            variable, condition = arguments

            def holds(names: Names, item: Any) -> bool:
                return bool(condition({**names, variable.name: item}))

            return lambda names: macro(target(names), lambda item: holds(names, item))
        return _applied(_METHODS, str(function), [target, *arguments])


def _applied(functions: Mapping[str, Callable[..., Any]], name: str, arguments: Sequence[Expression]) -> Expression:
    if name not in functions:
        msg = f"a rule uses {name}(), which preview/cel.py does not know yet"
        raise ValueError(msg)
    function = functions[name]
    return lambda names: function(*(argument(names) for argument in arguments))


# --- What the rules call


_Condition = Callable[[Any], bool]
_Cidr = IPv4Interface | IPv6Interface

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "in": lambda one, other: one in other,
}
_MACROS: Final[Mapping[str, Callable[[Any, _Condition], Any]]] = {
    "all": lambda items, holds: all(map(holds, items)),
    "exists_one": lambda items, holds: sum(map(holds, items)) == 1,
    "filter": lambda items, holds: [item for item in items if holds(item)],
}


def _matches(text: str, pattern: str) -> bool:
    """Search as RE2 does: flags may stand anywhere, and `$` is the end and not a line break before it."""
    flags = re.IGNORECASE if "(?i)" in pattern else 0
    return re.search(pattern.replace("(?i)", "").replace("$", r"\Z"), text, flags) is not None


def _is(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def accepts(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return accepts


def _cidr(value: str | _Cidr) -> _Cidr:
    if isinstance(value, str) and not re.search(r"/[0-9]+\Z", value):
        msg = f"{value!r} has no length of the prefix"
        raise ValueError(msg)
    return ip_interface(value)


def _contains(outer: _Cidr, inner: str | _Cidr) -> bool:
    network = _cidr(inner).network
    return outer.version == network.version and network.subnet_of(outer.network)  # type: ignore[arg-type]


_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "size": len,
    "string": str,
    "int": int,
    "type": type,
    "isQuantity": _is(parse_quantity),
    "quantity": parse_quantity,
    "isCIDR": _is(_cidr),
    "cidr": _cidr,
}
_METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "size": len,
    "matches": _matches,
    "contains": lambda text, part: part in text,
    "lowerAscii": str.lower,
    "split": str.split,
    "compareTo": lambda one, other: (one > other) - (one < other),
    "asApproximateFloat": float,
    "ip": lambda cidr: cidr.ip,
    "family": lambda address: address.version,
    "prefixLength": lambda cidr: cidr.network.prefixlen,
    "masked": lambda cidr: ip_interface(cidr.network),
    "containsCIDR": _contains,
}
