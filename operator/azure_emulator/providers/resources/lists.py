"""Lists across resource types: the resources of a group or a subscription, filtered and paged as ARM does it.

Knows types only by their data. What a filter asks beyond the properties that ARM documents is refused, because a
filter that is ignored answers with everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from azure_emulator import bodies, errors, rules
from azure_emulator.arm_path import RESOURCE_GROUP
from azure_emulator.engine import PAGE
from azure_emulator.providers import odata
from azure_emulator.types import Answer, Call

if TYPE_CHECKING:
    from azure_emulator.engine import Engine
    from azure_emulator.providers.odata import Comparison, Expression
    from azure_emulator.store import Resource

# What a filter may name (SDK documentation of resources.list), and where it stands in a body if it does there.
_IN_THE_BODY = {
    "identity": "identity.type", "identity/principalid": "identity.principalId", "plan": "plan.name",
    "plan/name": "plan.name", "plan/publisher": "plan.publisher", "plan/product": "plan.product",
    "plan/version": "plan.version", "plan/promotioncode": "plan.promotionCode", "managedby": "managedBy",
}  # fmt: skip
_OF_THE_RESOURCE = ("resourcetype", "name", "location", "resourcegroup")
_TAGS = ("tagname", "tagvalue")
FILTERS = frozenset({*_IN_THE_BODY, *_OF_THE_RESOURCE, *_TAGS})
_SHOWN = ("tags", "sku", "kind", "identity", "zones", "plan", "managedBy")


def wanted(query: Mapping[str, str]) -> Expression | None:
    """The parsed `$filter` of a list, None without one."""
    text = query.get("$filter", "").strip()
    if not text:
        return None
    try:
        expression = odata.parse(text)
    except odata.FilterError as error:
        raise _bad_filter(text) from error
    if any(comparison.name not in FILTERS for comparison in odata.comparisons(expression)):
        raise _bad_filter(text)
    return expression


def _bad_filter(text: str) -> errors.ArmError:
    return errors.bad_request("InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string.")


def matches(resource: Resource, expression: Expression | None) -> bool:
    """Whether a resource is what a filter asks for."""
    return expression is None or odata.holds(expression, partial(_compare, resource))


def _compare(resource: Resource, comparison: Comparison, together: tuple[Comparison, ...]) -> bool:
    if comparison.name in _TAGS:
        return _compare_tag(resource.body.get("tags") or {}, comparison, together)
    if comparison.name in _IN_THE_BODY:
        return odata.compare(comparison, str(bodies.get(resource.body, _IN_THE_BODY[comparison.name], "")))
    facts = {
        "resourcetype": resource.type,
        "name": _name(resource),
        "location": resource.location,
        "resourcegroup": resource.resource_group,
    }
    return odata.compare(comparison, facts[comparison.name])


def _name(resource: Resource) -> str:
    """ARM calls a child by all names from its top-level ancestor on, such as machine/extension."""
    depth = resource.type.count("/")
    return "/".join(resource.id.split("/")[-2 * depth + 1 :: 2])


def _compare_tag(tags: Mapping[str, Any], comparison: Comparison, together: tuple[Comparison, ...]) -> bool:
    """`tagName eq 'a' and tagValue eq 'b'` is about one tag; values have their case."""
    if comparison.name == "tagname":
        if comparison.operator == "ne":
            return comparison.value.lower() not in {name.lower() for name in tags}
        return any(odata.compare(comparison, name) for name in tags)
    names = [other for other in together if other.name == "tagname"]
    values = [str(value) for name, value in tags.items() if all(odata.compare(other, name) for other in names)]
    if comparison.operator in ("eq", "ne"):
        return (comparison.value in values) == (comparison.operator == "eq")
    return any(odata.compare(comparison, value) for value in values)


def resources(call: Call) -> Answer:
    """Tracked resources of a group or subscription."""
    engine, group = call.engine, call.path.resource_group
    scope = f"/subscriptions/{call.subscription}" + (f"/resourceGroups/{group}" if group else "")
    expression = wanted(call.query)
    found = [
        resource
        for resource in _candidates(engine, scope, expression)
        if _is_tracked(engine, resource) and matches(resource, expression)
    ]
    found = engine.screened(call, found)
    # ARM leaves the tags out of lists that were asked for by tag (SDK documentation).
    asked_by_tag = expression is not None and any(one.name in _TAGS for one in odata.comparisons(expression))
    start = rules.whole_number(call.query, "$skiptoken", 0)
    # Here `$top` is the size of a page, not of the list.
    size = max(1, min(rules.whole_number(call.query, "$top", PAGE), int(engine.setting("page", PAGE))))
    expand = call.query.get("$expand", "").lower()
    shown = [_generic(engine, resource, expand) for resource in found[start : start + size]]
    for document in shown if asked_by_tag else ():
        document.pop("tags", None)
    body: dict[str, Any] = {"value": shown}
    if start + size < len(found):
        body["nextLink"] = rules.next_link(call, start + size)
    return Answer(200, body)


def _candidates(engine: Engine, scope: str, expression: Expression | None) -> list[Resource]:
    """All below a scope, or only those of the type that the filter names: there may be tens of thousands."""
    types = [] if expression is None else [
        one.value for one in odata.conjuncts(expression) if (one.name, one.operator) == ("resourcetype", "eq")
    ]  # fmt: skip
    if not types:
        return engine.store.below(scope)
    prefix = f"{scope.lower()}/"
    return [resource for resource in engine.store.of_type(types[0]) if resource.key.startswith(prefix)]


def _is_tracked(engine: Engine, resource: Resource) -> bool:
    kind = engine.types[resource.type.lower()]
    return kind.location is not None and kind.name != RESOURCE_GROUP


def _generic(engine: Engine, resource: Resource, expand: str) -> dict[str, Any]:
    body = resource.body
    shown = {"id": resource.id, "name": _name(resource), "type": resource.type, "location": resource.location}
    shown |= {key: body[key] for key in _SHOWN if key in body}
    if "provisioningstate" in expand:
        shown["provisioningState"] = resource.state
    if "createdtime" in expand:
        shown["createdTime"] = engine.clock.iso(resource.created)
    if "changedtime" in expand:
        shown["changedTime"] = engine.clock.iso(resource.changed)
    return shown
