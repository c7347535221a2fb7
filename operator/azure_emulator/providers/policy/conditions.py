"""Evaluates the `if` of a policy rule on a resource, and says which expressions decided.

Knows the conditions of the policy language, and no policy and no effect. Strings are compared as Azure Policy does:
without regard to case.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure_emulator.providers.deployments.functions import FUNCTIONS
from azure_emulator.providers.deployments.language import (
    ExpressionError,
    Frame,
    evaluate,
    is_expression,
    parse,
    unescaped,
)
from azure_emulator.providers.policy import fields

# Deeper nesting than this is no rule that Azure would take either (assumption).
DEPTH_ALLOWED = 50


class RuleError(Exception):
    """A rule that cannot be evaluated, such as one with an unknown condition."""


@dataclass
class Context:
    """What a rule is evaluated in: its parameters, the resource, and what surrounds the resource."""

    subject: fields.Subject
    parameters: Mapping[str, Any]
    subscription: Mapping[str, Any]
    resource_group: Mapping[str, Any] | None
    # Of the array that is being counted: its alias, and the item that is looked at.
    counted: tuple[str, Any] | None = None
    # The leaf conditions that held, as Azure shows them with a violation.
    evaluated: list[dict[str, Any]] = field(default_factory=list)

    def value(self, written: Any) -> Any:
        """A value of the rule with its expressions evaluated, at any depth."""
        if isinstance(written, dict):
            return {name: self.value(inner) for name, inner in written.items()}
        if isinstance(written, list):
            return [self.value(inner) for inner in written]
        if not is_expression(written):
            return unescaped(written) if isinstance(written, str) else written
        try:
            return evaluate(parse(written[1:-1]), Frame({**FUNCTIONS, **self._functions()}))
        except ExpressionError as error:
            raise RuleError(str(error)) from error

    def _functions(self) -> dict[str, Callable[[list[Any]], Any]]:
        return {
            "parameters": lambda arguments: self._parameter(str(arguments[0])),
            "field": lambda arguments: self._field(str(arguments[0])),
            "resourcegroup": lambda _: _Lenient(self.resource_group or {}),
            "subscription": lambda _: _Lenient(self.subscription),
            "current": lambda arguments: self._current(*map(str, arguments[:1])),
            "requestcontext": lambda _: {},
        }

    def _parameter(self, name: str) -> Any:
        found = next((value for key, value in self.parameters.items() if key.lower() == name.lower()), None)
        if found is None:
            raise RuleError(f"The policy parameter '{name}' has no value.")
        return found

    def _field(self, name: str) -> Any:
        found, _ = self.found(name)
        return found if "[*]" in name else (found[0] if found else "")

    def _current(self, alias: str = "") -> Any:
        if self.counted is None:
            raise RuleError("The function 'current' is for count expressions only.")
        counted, item = self.counted
        found = fields.within(item, alias or counted, counted)
        return found[0] if found else ""

    def found(self, name: str) -> tuple[list[Any], str]:
        """The values at a field, and its path; inside of `count` those of the current item."""
        if self.counted is not None and name.lower().startswith(self.counted[0].lower()):
            return fields.within(self.counted[1], name, self.counted[0]), name
        return fields.values(self.subject, name)


class _Lenient(dict[str, Any]):
    """A document whose missing tags read as empty: rules say `resourceGroup().tags[parameters('tagName')]`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__({**document, "tags": _Tags(document.get("tags") or {})})


class _Tags(dict[str, Any]):
    """Tags of which every one exists."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> str:
        return next((value for key, value in self.items() if key.lower() == name.lower()), "")


def holds(rule: Any, context: Context, depth: int = 0) -> bool:
    """Whether a condition holds."""
    if not isinstance(rule, Mapping) or depth > DEPTH_ALLOWED:
        raise RuleError("A condition of a policy rule is an object, and not nested too deeply.")
    keys = {str(key).lower(): key for key in rule}
    if "allof" in keys:
        return all(holds(part, context, depth + 1) for part in rule[keys["allof"]])
    if "anyof" in keys:
        return any(holds(part, context, depth + 1) for part in rule[keys["anyof"]])
    if "not" in keys:
        return not holds(rule[keys["not"]], context, depth + 1)
    operator = next((key for key in keys if key in OPERATORS), None)
    if operator is None:
        raise RuleError(f"The condition with {', '.join(map(str, rule)) or 'nothing'} has no operator that is known.")
    target = context.value(rule[keys[operator]])
    if "count" in keys:
        return OPERATORS[operator]([_count(rule[keys["count"]], context, depth)], target)
    return _leaf(rule, keys, operator, target, context)


def _leaf(rule: Mapping[str, Any], keys: Mapping[str, str], operator: str, target: Any, context: Context) -> bool:
    if "field" in keys:
        kind, expression = "Field", str(context.value(rule[keys["field"]]))
        actual, path = context.found(expression)
        held = _each(expression, operator, actual, target)
    elif "value" in keys:
        kind, expression, path = "Value", rule[keys["value"]], None
        value = context.value(expression)
        actual = [] if value is None else [value]
        held = OPERATORS[operator](actual, target)
    else:
        raise RuleError("A condition of a policy rule has a field, a value or a count.")
    if held:
        shown: dict[str, Any] = {"result": "True", "expressionKind": kind, "expression": expression}
        shown |= {"path": path} if path is not None else {}
        shown |= {"expressionValue": actual[0] if len(actual) == 1 else actual} if actual else {}
        context.evaluated.append({**shown, "targetValue": target, "operator": keys[operator][:1].upper()
                                  + keys[operator][1:]})  # fmt: skip
    return held


def _each(expression: str, operator: str, actual: list[Any], target: Any) -> bool:
    """A field with `[*]` holds where every item does, an empty array included."""
    if "[*]" not in expression:
        return OPERATORS[operator](actual, target)
    return all(OPERATORS[operator]([one], target) for one in actual)


def _count(count: Any, context: Context, depth: int) -> int:
    if not isinstance(count, Mapping):
        raise RuleError("The count of a condition is an object.")
    if "field" in count:
        alias = str(context.value(count["field"]))
        items, _ = context.found(alias)
    else:
        alias, items = str(count.get("name", "")), context.value(count.get("value")) or []
    where = count.get("where")
    if where is None:
        return len(items)
    return sum(
        holds(where, Context(context.subject, context.parameters, context.subscription, context.resource_group,
                             (alias, item)), depth + 1)
        for item in items
    )  # fmt: skip


# -- operators: values at the field (none, one, or one of many), and the target ----------------------------------------


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value).lower()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | dict) or isinstance(other, list | dict):
        return bool(one == other)
    return _text(one) == _text(other)


def _equals(actual: list[Any], target: Any) -> bool:
    return bool(actual) and _same(actual[0], target)


def _in(actual: list[Any], target: Any) -> bool:
    return bool(actual) and any(_same(actual[0], one) for one in target or ())


def _like(actual: list[Any], target: Any) -> bool:
    pattern = re.sub(r"([\[?])", r"[\1]", _text(target))
    return fnmatch.fnmatchcase(_text(actual[0]) if actual else "", pattern)


def _match(actual: list[Any], target: Any) -> bool:
    """`#` is a digit, `?` a letter, `.` anything; with regard to case."""
    signs = {"#": r"\d", "?": "[A-Za-z]", ".": "."}
    pattern = "".join(signs.get(sign, re.escape(sign)) for sign in str(target))
    return bool(actual) and re.fullmatch(pattern, str(actual[0])) is not None


def _match_insensitively(actual: list[Any], target: Any) -> bool:
    return _match([str(one).lower() for one in actual], str(target).lower())


def _contains(actual: list[Any], target: Any) -> bool:
    if not actual:
        return False
    if isinstance(actual[0], list):
        return any(_same(one, target) for one in actual[0])
    return _text(target) in _text(actual[0])


def _contains_key(actual: list[Any], target: Any) -> bool:
    return bool(actual) and isinstance(actual[0], dict) and _text(target) in {str(key).lower() for key in actual[0]}


def _exists(actual: list[Any], target: Any) -> bool:
    return bool(actual) == (_text(target) == "true")


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[list[Any], Any], bool]:
    def compare(actual: list[Any], target: Any) -> bool:
        if not actual:
            return False
        one, other = actual[0], target
        if not (isinstance(one, int | float) and isinstance(other, int | float)):
            one, other = _text(one), _text(other)
        return test(one, other)

    return compare


def _not(operator: Callable[[list[Any], Any], bool]) -> Callable[[list[Any], Any], bool]:
    return lambda actual, target: not operator(actual, target)


OPERATORS: dict[str, Callable[[list[Any], Any], bool]] = {
    "equals": _equals,
    "notequals": _not(_equals),
    "like": _like,
    "notlike": _not(_like),
    "match": _match,
    "notmatch": _not(_match),
    "matchinsensitively": _match_insensitively,
    "notmatchinsensitively": _not(_match_insensitively),
    "contains": _contains,
    "notcontains": _not(_contains),
    "in": _in,
    "notin": _not(_in),
    "containskey": _contains_key,
    "notcontainskey": _not(_contains_key),
    "less": _ordered(lambda one, other: one < other),
    "lessorequals": _ordered(lambda one, other: one <= other),
    "greater": _ordered(lambda one, other: one > other),
    "greaterorequals": _ordered(lambda one, other: one >= other),
    "exists": _exists,
}
