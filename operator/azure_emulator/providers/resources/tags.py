"""Tags at any scope (Microsoft.Resources/tags/default), and the tag names of a subscription.

Knows no type: tags of a resource change as a PATCH with nothing else would change them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from azure_emulator import errors, rules
from azure_emulator.arm_path import parse
from azure_emulator.providers.resources import subscriptions
from azure_emulator.types import Answer, Call, Provider

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

TAGS = "Microsoft.Resources/tags"
NAMES = "Microsoft.Resources/tagNames"
VALUES = f"{NAMES}/tagValues"
OPERATIONS = ("replace", "merge", "delete")
NAMES_SETTING = "tagNames"
# Assumption: the refusal of which no recording was found.
IN_USE = "TagInUse"


# -- at any scope ----------------------------------------------------------------------------------------------------


def _read(call: Call) -> Answer:
    return Answer(200, _document(call, _tags_of(call)))


def _replace(call: Call) -> Answer:
    return _written(call, _sent(call))


def _patch(call: Call) -> Answer:
    operation = str((call.body or {}).get("operation", "") if isinstance(call.body, dict) else "").lower()
    if operation not in OPERATIONS:
        raise errors.bad_request(
            "InvalidRequestContent", "The request content was invalid: operation must be Replace, Merge or Delete."
        )
    sent, tags = _sent(call), _tags_of(call)
    if operation == "replace":
        return _written(call, sent)
    # The names of tags have no case; a tag that is there keeps its spelling.
    known = {name.lower(): name for name in tags}
    for name, value in sent.items():
        if operation == "merge":
            tags[known.get(name.lower(), name)] = value
        elif tags.get(known.get(name.lower(), "")) == value:
            # Only a tag with that value is deleted.
            del tags[known[name.lower()]]
    return _written(call, tags)


def _delete(call: Call) -> Answer:
    _written(call, {})
    return Answer(200)


def _sent(call: Call) -> dict[str, str]:
    properties = call.body.get("properties") if isinstance(call.body, dict) else None
    tags = properties.get("tags") if isinstance(properties, dict) else None
    if not isinstance(tags, dict):
        raise errors.bad_request(
            "InvalidRequestContent", "The request content was invalid: properties.tags must map names to strings."
        )
    rules.check_tags({"tags": tags})
    return tags


def _tags_of(call: Call) -> dict[str, str]:
    if not call.path.is_resource or call.path.name.lower() != "default":
        raise errors.bad_request("InvalidResourceName", "The name of a tags resource is 'default'.")
    scope = parse(call.path.scope)
    if scope.type_name.lower() == "microsoft.resources/subscriptions":
        return subscriptions.tags_of(call.engine, scope.name)
    return dict(call.engine.require(_resource_path(call)).body.get("tags") or {})


def _resource_path(call: Call) -> Any:
    scope = parse(call.path.scope)
    kind = call.engine.types.get(scope.type_name.lower())
    if kind is None or not scope.is_resource:
        raise errors.ArmError(
            errors.NOT_FOUND, "InvalidResourceType", f"The scope '{call.path.scope}' names no resource that is known."
        )
    if not kind.tags:
        raise errors.bad_request("ResourceNotTaggable", f"Resources of type '{kind.name}' have no tags.")
    return scope


def _written(call: Call, tags: dict[str, str]) -> Answer:
    _tags_of(call)  # refuses scopes that cannot have tags
    rules.check_tags({"tags": tags})
    engine, scope = call.engine, parse(call.path.scope)
    if scope.type_name.lower() == "microsoft.resources/subscriptions":
        subscriptions.keep_tags(engine, scope.name, tags)
    else:
        resource = engine.require(scope)
        kind = engine.types[resource.type.lower()]
        engine.apply(engine.change(kind, parse(resource.id), "PATCH", {"tags": tags}, resource), resource)
    return Answer(200, _document(call, tags))


def _document(call: Call, tags: dict[str, str]) -> dict[str, Any]:
    return {"id": f"{call.path.scope}/providers/{TAGS}/default", "name": "default", "type": TAGS,
            "properties": {"tags": tags}}  # fmt: skip


# -- tag names of a subscription --------------------------------------------------------------------------------------


def _usage(engine: Engine, subscription: str) -> dict[str, tuple[str, Counter[str]]]:
    """Name in lower case -> name as first written, and how often each value occurs; names made by hand included."""
    usage: dict[str, tuple[str, Counter[str]]] = {}
    for name, values in engine.setting(NAMES_SETTING, {}).get(subscription.lower(), {}).items():
        usage[name.lower()] = name, Counter(dict.fromkeys(values, 0))
    prefix = f"/subscriptions/{subscription.lower()}/"
    for resource in engine.store.resources.values():
        if resource.key.startswith(prefix):
            for name, value in (resource.body.get("tags") or {}).items():
                usage.setdefault(name.lower(), (name, Counter()))[1][str(value)] += 1
    return usage


def _made(engine: Engine, subscription: str) -> dict[str, list[str]]:
    return {name: list(values) for name, values in engine.setting(NAMES_SETTING, {}).get(subscription, {}).items()}


def _keep(engine: Engine, subscription: str, made: dict[str, list[str]]) -> None:
    engine.store.set(NAMES_SETTING, {**engine.setting(NAMES_SETTING, {}), subscription: made})


def _names(call: Call, count: int) -> tuple[str, ...]:
    if len(call.path.names) != count:
        raise errors.ArmError(
            errors.NOT_ALLOWED, "HttpMethodNotSupported", f"The http method '{call.method}' needs a name at the end."
        )
    return call.path.names


def _list_names(call: Call) -> Answer:
    usage = _usage(call.engine, call.subscription)
    shown = [_name_document(call, name, counts) for name, counts in usage.values()]
    return Answer(200, {"value": shown})


def _name_document(call: Call, name: str, counts: Counter[str]) -> dict[str, Any]:
    base = f"/subscriptions/{call.subscription}/tagNames/{name}"
    return {
        "id": base, "tagName": name, "count": {"type": "Total", "value": counts.total()},
        "values": [_value_document(base, value, count) for value, count in counts.items()],
    }  # fmt: skip


def _value_document(base: str, value: str, count: int) -> dict[str, Any]:
    return {"id": f"{base}/tagValues/{value}", "tagValue": value, "count": {"type": "Total", "value": count}}


def _put_name(call: Call) -> Answer:
    engine, subscription, (name,) = call.engine, call.subscription.lower(), _names(call, 1)
    usage = _usage(engine, subscription)
    is_new = name.lower() not in usage
    if is_new:
        _keep(engine, subscription, {**_made(engine, subscription), name: []})
    known, counts = usage.get(name.lower(), (name, Counter()))
    return Answer(201 if is_new else 200, _name_document(call, known, counts))


def _put_value(call: Call) -> Answer:
    engine, subscription, (name, value) = call.engine, call.subscription.lower(), _names(call, 2)
    known, counts = _known_name(call, name)
    is_new = value not in counts
    if is_new:
        made = _made(engine, subscription)
        _keep(engine, subscription, {**made, known: [*made.get(known, []), value]})
    base = f"/subscriptions/{call.subscription}/tagNames/{known}"
    return Answer(201 if is_new else 200, _value_document(base, value, counts[value]))


def _known_name(call: Call, name: str) -> tuple[str, Counter[str]]:
    found = _usage(call.engine, call.subscription).get(name.lower())
    if found is None:
        raise errors.ArmError(errors.NOT_FOUND, "TagNameNotFound", f"The tag name '{name}' could not be found.")
    return found


def _delete_name(call: Call) -> Answer:
    engine, subscription, (name,) = call.engine, call.subscription.lower(), _names(call, 1)
    found = _usage(engine, subscription).get(name.lower())
    if found is None:
        return Answer(204)
    known, counts = found
    if counts.total():
        raise errors.conflict(IN_USE, f"The tag '{known}' cannot be deleted because resources have it.")
    made = _made(engine, subscription)
    made.pop(known, None)
    _keep(engine, subscription, made)
    return Answer(200)


def _delete_value(call: Call) -> Answer:
    engine, subscription, (name, value) = call.engine, call.subscription.lower(), _names(call, 2)
    known, counts = _known_name(call, name)
    if value not in counts:
        return Answer(204)
    if counts[value]:
        raise errors.conflict(IN_USE, f"The value '{value}' of tag '{known}' cannot be deleted: resources have it.")
    made = _made(engine, subscription)
    made[known] = [one for one in made.get(known, []) if one != value]
    _keep(engine, subscription, made)
    return Answer(200)


PROVIDER = Provider(
    namespace="Microsoft.Resources",
    functions={
        ("GET", TAGS): _read,
        ("PUT", TAGS): _replace,
        ("PATCH", TAGS): _patch,
        ("DELETE", TAGS): _delete,
        ("GET", NAMES): _list_names,
        ("PUT", NAMES): _put_name,
        ("DELETE", NAMES): _delete_name,
        ("PUT", VALUES): _put_value,
        ("DELETE", VALUES): _delete_value,
    },
)
