"""The expression language of ARM templates: what stands between `[` and `]` in a template's strings.

Knows the syntax and how values are reached into; what the functions do is functions.py's and template.py's. Messages
are those of ARM's own parser, as quoted in public issue threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

# ARM refuses expressions longer than this (azure-docs, template limits).
LONGEST = 24576
# How deep expressions may be nested is an assumption; it protects the parser's and the evaluator's recursion.
DEEPEST = 100

_GRAMMAR = r"""
    start: expression
    ?expression: primary
        | expression "." NAME -> member
        | expression "[" expression "]" -> item
    ?primary: NAME ("." NAME)? "(" [expression ("," expression)*] ")" -> call
        | STRING -> string
        | NUMBER -> number
    NAME: /[A-Za-z_$][A-Za-z0-9_$]*/
    STRING: /'(?:[^']|'')*'/
    NUMBER: /[+-]?[0-9]+/
    %ignore /[ \t\r\n]+/
"""

# What ARM calls the tokens, in the order in which it misses them.
_TOKENS = {
    "NAME": "Identifier",
    "RPAR": "RightParenthesis",
    "RSQB": "RightSquareBracket",
    "LPAR": "LeftParenthesis",
    "LSQB": "LeftSquareBracket",
    "COMMA": "Comma",
    "DOT": "Dot",
    "STRING": "LiteralString",
    "NUMBER": "Integer",
    "$END": "EndOfData",
}


class ExpressionError(Exception):
    """An expression that cannot be parsed or evaluated; the text is ARM's, without the sentence around it."""


class NotYetKnownError(ExpressionError):
    """An expression whose value is known only while the deployment runs, such as reference()."""


@dataclass(frozen=True)
class Literal:
    """A string or a number."""

    value: str | int


@dataclass(frozen=True)
class Apply:
    """A call of a function; those of users have a namespace."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Reach:
    """Access to a member of an object or an item of an array."""

    target: Node
    key: Node


Node = Literal | Apply | Reach
Builtin = Callable[[list[Any]], Any]


@dataclass(frozen=True)
class Lambda:
    """A function in a template, as `lambda('x', ...)` makes them."""

    parameters: tuple[str, ...]
    body: Node
    frame: Frame

    def __call__(self, *arguments: Any) -> Any:
        """Evaluate the body; a lambda may leave out its last parameters, such as the index."""
        values = dict(zip(self.parameters, arguments, strict=False))
        return evaluate(self.body, self.frame.with_variables(values))


@dataclass(frozen=True)
class Frame:
    """What an expression is evaluated in: functions by lower-case name, and the variables of lambdas around it."""

    functions: Mapping[str, Builtin]
    variables: Mapping[str, Any] = field(default_factory=dict)

    def with_variables(self, values: Mapping[str, Any]) -> Frame:
        """The same with the parameters of one more lambda."""
        return Frame(self.functions, {**self.variables, **{name.lower(): value for name, value in values.items()}})


class _Builder(Transformer[Token, Any]):
    """Turns lark's tree into nodes."""

    def start(self, children: list[Any]) -> Node:
        node: Node = children[0]
        return node

    def call(self, children: list[Any]) -> Apply:
        names = [str(child) for child in children if isinstance(child, Token)]
        arguments = [child for child in children if not isinstance(child, Token) and child is not None]
        return Apply(".".join(names), tuple(arguments))

    def member(self, children: list[Any]) -> Reach:
        return Reach(children[0], Literal(str(children[1])))

    def item(self, children: list[Any]) -> Reach:
        return Reach(children[0], children[1])

    def string(self, children: list[Any]) -> Literal:
        return Literal(str(children[0])[1:-1].replace("''", "'"))

    def number(self, children: list[Any]) -> Literal:
        return Literal(int(children[0]))


_PARSER = Lark(_GRAMMAR, parser="lalr", transformer=_Builder())


def is_expression(value: Any) -> bool:
    """Whether a value of a template is to be evaluated; `[[` stands for a bracket."""
    return isinstance(value, str) and value[:1] == "[" and value[-1:] == "]" and value[:2] != "[["


def unescaped(value: str) -> str:
    """A string that is no expression as it is meant."""
    return value[1:] if value[:2] == "[[" and value[-1:] == "]" else value


@lru_cache(maxsize=20_000)
def parse(text: str) -> Node:
    """Parse what stands between the brackets of an expression."""
    if len(text) > LONGEST:
        raise ExpressionError(
            f"The language expression length limit exceeded. Limit: '{LONGEST}' and actual: '{len(text)}'."
        )
    _check_depth(text)
    try:
        return _PARSER.parse(text)  # type: ignore[return-value]
    except UnexpectedCharacters as error:
        raise ExpressionError(
            f"The language expression '{text}' is not valid: the string character '{text[error.pos_in_stream or 0]}' "
            f"at position '{error.pos_in_stream}' is not expected."
        ) from None
    except UnexpectedToken as error:
        _miss(text, set(error.accepts or error.expected), error.token)
    except UnexpectedEOF as error:  # pragma: no cover - lark's LALR parser reports $END as a token
        _miss(text, set(error.expected), Token("$END", ""))


def _check_depth(text: str) -> None:
    depth = 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if depth > DEEPEST:
            raise ExpressionError(f"The language expression '{text[:100]}' is nested more than {DEEPEST} levels deep.")


def _miss(text: str, expected: set[str], actual: Token) -> NoReturn:
    wanted = next((name for token, name in _TOKENS.items() if token in expected), "EndOfData")
    raise ExpressionError(
        f"Unable to parse language expression '{text}': expected token '{wanted}' and actual "
        f"'{_TOKENS.get(actual.type, actual.type)}'."
    ) from None


def calls(node: Node) -> Iterator[Apply]:
    """All calls in an expression, the outer ones first."""
    if isinstance(node, Apply):
        yield node
        for argument in node.arguments:
            yield from calls(argument)
    elif isinstance(node, Reach):
        yield from calls(node.target)
        yield from calls(node.key)


def evaluate(node: Node, frame: Frame) -> Any:
    """The value of an expression."""
    if isinstance(node, Literal):
        return node.value
    if isinstance(node, Reach):
        return reach(evaluate(node.target, frame), evaluate(node.key, frame))
    name = node.name.lower()
    form = _FORMS.get(name)
    if form is not None:
        return form(node, frame)
    function = frame.functions.get(name)
    if function is None and name.startswith("list") and "list*" in frame.functions:
        listed = frame.functions["list*"]
        return listed([node.name, *(evaluate(argument, frame) for argument in node.arguments)])
    if function is None:
        raise ExpressionError(
            f"The template function '{node.name}' is not valid. Please see https://aka.ms/arm-functions for usage "
            "details."
        )
    return function([evaluate(argument, frame) for argument in node.arguments])


def reach(target: Any, key: Any) -> Any:
    """A member of an object, whatever its casing, or an item of an array."""
    if isinstance(target, dict):
        if not isinstance(key, str):
            raise ExpressionError(f"The language expression property '{key}' can't be evaluated, property name must be "
                                  "a string.")  # fmt: skip
        found = member(target, key)
        if found is None:
            raise ExpressionError(
                f"The language expression property '{key}' doesn't exist, available properties are "
                f"'{', '.join(target)}'."
            )
        return target[found]
    if isinstance(target, list):
        if not isinstance(key, int) or isinstance(key, bool):
            raise ExpressionError(
                f"The language expression property '{key}' can't be evaluated, property name must be an integer."
            )
        if not 0 <= key < len(target):
            raise ExpressionError(f"The language expression property array index '{key}' is out of bounds.")
        return target[key]
    raise ExpressionError(f"The language expression property '{key}' can't be evaluated.")


def member(target: Mapping[str, Any], name: str) -> str | None:
    """How an object writes the name of a member, or None."""
    if name in target:
        return name
    lower = name.lower()
    return next((key for key in target if key.lower() == lower), None)


# -- forms: functions that do not evaluate all of their arguments ------------------------------------------------------


def _count(node: Apply, low: int, high: int | None = None) -> None:
    if len(node.arguments) < low or (high is not None and len(node.arguments) > high):
        raise ExpressionError(
            f"The template language function '{node.name}' was invoked with '{len(node.arguments)}' parameters, which "
            "is not the number that it expects. Please see https://aka.ms/arm-functions for usage details."
        )


def _truth(node: Apply, argument: Node, frame: Frame) -> bool:
    value = evaluate(argument, frame)
    if not isinstance(value, bool):
        raise ExpressionError(
            f"The template language function '{node.name}' expects its parameters to be boolean. Please see "
            "https://aka.ms/arm-functions for usage details."
        )
    return value


def _if(node: Apply, frame: Frame) -> Any:
    _count(node, 3, 3)
    condition, yes, no = node.arguments
    return evaluate(yes if _truth(node, condition, frame) else no, frame)


def _and(node: Apply, frame: Frame) -> bool:
    _count(node, 1)
    return all(_truth(node, argument, frame) for argument in node.arguments)


def _or(node: Apply, frame: Frame) -> bool:
    _count(node, 1)
    return any(_truth(node, argument, frame) for argument in node.arguments)


def _coalesce(node: Apply, frame: Frame) -> Any:
    _count(node, 1)
    values = (evaluate(argument, frame) for argument in node.arguments)
    return next((value for value in values if value is not None), None)


def _lambda(node: Apply, frame: Frame) -> Lambda:
    _count(node, 1)
    *parameters, body = node.arguments
    return Lambda(tuple(str(evaluate(parameter, frame)) for parameter in parameters), body, frame)


def _lambda_variables(node: Apply, frame: Frame) -> Any:
    _count(node, 1, 1)
    name = str(evaluate(node.arguments[0], frame))
    if name.lower() not in frame.variables:
        raise ExpressionError(f"The lambda variable '{name}' is not found.")
    return frame.variables[name.lower()]


_FORMS: Mapping[str, Callable[[Apply, Frame], Any]] = {
    "if": _if,
    "and": _and,
    "or": _or,
    "coalesce": _coalesce,
    "lambda": _lambda,
    "lambdavariables": _lambda_variables,
}
