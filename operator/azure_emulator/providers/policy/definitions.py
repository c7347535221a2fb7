"""Policy definitions, sets of them, assignments and exemptions as resources: what they need, and what Azure adds.

Knows which definitions exist; what they do to requests is enforcement.py's.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from azure_emulator import errors
from azure_emulator.arm_path import last_name, parse
from azure_emulator.providers import assigned_identities
from azure_emulator.providers.management_groups import is_within
from azure_emulator.providers.policy.built_in import BUILT_IN, DEFINITION
from azure_emulator.types import Answer, Call, Change

if TYPE_CHECKING:
    from azure_emulator.engine import Engine

SET = "Microsoft.Authorization/policySetDefinitions"
ASSIGNMENT = "Microsoft.Authorization/policyAssignments"
EXEMPTION = "Microsoft.Authorization/policyExemptions"
# Effects that a rule may name; those that deploy or only look are kept and change nothing.
EFFECTS = frozenset({
    "deny", "audit", "append", "modify", "disabled", "denyaction", "auditifnotexists", "deployifnotexists", "manual",
    "addtonetworkgroup", "mutate",
})  # fmt: skip
CATEGORIES = ("Waiver", "Mitigated")
_FILTER = re.compile(r"(\w+)\s+(eq|ne)\s+'([^']*)'", re.IGNORECASE)


def find(engine: Engine, definition_id: str) -> dict[str, Any] | None:
    """The properties of a definition or a set, built in or not."""
    path = parse(definition_id)
    if not path.scope and path.type_name.lower() == DEFINITION.lower():
        return BUILT_IN.get(path.name.lower())
    found = engine.store.get(definition_id)
    return found.properties if found is not None and found.type in (DEFINITION, SET) else None


def not_found(kind: str, name: str) -> errors.ArmError:
    """404 in the words of each of the types."""
    short = {DEFINITION: "policy definition", SET: "policy set definition", ASSIGNMENT: "policy assignment",
             EXEMPTION: "policy exemption"}[kind]  # fmt: skip
    code = "".join(word.capitalize() for word in short.split()) + "NotFound"
    verb = "is not found" if kind == ASSIGNMENT else "could not be found"
    return errors.ArmError(errors.NOT_FOUND, code, f"The {short} '{name}' {verb}.")


# -- checks of writes ------------------------------------------------------------------------------------------------


def check_definition(change: Change) -> None:
    """Refuse rules that nothing could evaluate."""
    _check_place(change)
    properties = change.properties
    rule = properties.get("policyRule")
    then = rule.get("then") if isinstance(rule, dict) else None
    if not isinstance(rule, dict) or not isinstance(rule.get("if"), dict) or not isinstance(then, dict):
        raise _bad_rule("A policy rule is an object with 'if' and 'then'.")
    effect = str(then.get("effect", ""))
    if not effect.startswith("[") and effect.lower() not in EFFECTS:
        raise _bad_rule(f"The effect '{effect}' is not one of '{', '.join(sorted(EFFECTS))}'.")
    for name in _parameters_named(rule):
        if name.lower() not in {key.lower() for key in properties.get("parameters") or {}}:
            raise errors.bad_request(
                "InvalidPolicyParameters",
                f"The policy definition '{change.path.name}' has the parameter '{name}' in its rule that is not one of "
                "its 'parameters'.",
            )
    _stamp(change)
    properties.setdefault("versions", [properties.setdefault("version", "1.0.0")])


def check_set(change: Change) -> None:
    """Refuse sets of what does not exist."""
    _check_place(change)
    for index, reference in enumerate(change.properties.get("policyDefinitions") or [], 1):
        definition_id = str(reference.get("policyDefinitionId", "")) if isinstance(reference, dict) else ""
        if find(change.engine, definition_id) is None:
            raise not_found(DEFINITION, last_name(definition_id))
        reference.setdefault("policyDefinitionReferenceId", str(index))
    _stamp(change)
    change.properties.setdefault("versions", [change.properties.setdefault("version", "1.0.0")])


def check_assignment(change: Change) -> None:
    """The definition must exist, take the parameters, and have an identity where it changes things."""
    properties = change.properties
    if "location" in change.sent:  # of the identity: an assignment has no place
        change.body["location"] = change.sent["location"]
    definition_id = str(properties["policyDefinitionId"])
    definition = find(change.engine, definition_id)
    kind = SET if f"/{SET.lower()}/" in definition_id.lower() else DEFINITION
    if definition is None:
        raise not_found(kind, last_name(definition_id))
    _check_parameters(change, definition, last_name(definition_id))
    assigned_identities.complete(change)
    if "identity" in change.body and not change.body.get("location"):
        raise errors.bad_request("LocationRequired", "The location property is required for this definition.")
    if "identity" not in change.body and _modifies(change.engine, definition, properties):
        raise errors.bad_request(
            "ResourceIdentityRequired",
            "Policy assignments must include a 'managed identity' when assigning 'Modify' policy definitions. Please "
            "see https://aka.ms/azurepolicyremediation for usage details.",
        )
    properties["scope"] = change.path.scope
    properties["enforcementMode"] = properties.get("enforcementMode") or "Default"
    properties.setdefault("instanceId", change.engine.guid())
    _stamp(change)


def check_exemption(change: Change) -> None:
    """The assignment must exist."""
    properties = change.properties
    assignment_id = str(properties["policyAssignmentId"])
    if change.engine.store.get(assignment_id) is None:
        raise not_found(ASSIGNMENT, last_name(assignment_id))
    if properties["exemptionCategory"] not in CATEGORIES:
        raise errors.bad_request(
            "InvalidPolicyExemption", f"The exemption category must be one of '{', '.join(CATEGORIES)}'."
        )


def _check_place(change: Change) -> None:
    if change.path.resource_group is not None:
        raise errors.bad_request(
            "InvalidResourceType",
            f"The resource type '{change.type.name}' lives in subscriptions and management groups only.",
        )


def _bad_rule(message: str) -> errors.ArmError:
    return errors.bad_request("InvalidPolicyRule", f"Failed to parse policy rule: '{message}'.")


def _parameters_named(rule: Any) -> set[str]:
    """Parameters that the expressions of a rule name; a template inside of it has its own."""
    if isinstance(rule, dict):
        return {name for key, inner in rule.items() if key.lower() != "deployment" for name in _parameters_named(inner)}
    if isinstance(rule, list):
        return {name for inner in rule for name in _parameters_named(inner)}
    return set(re.findall(r"parameters\('([^']+)'\)", rule)) if isinstance(rule, str) and rule[:1] == "[" else set()


def _check_parameters(change: Change, definition: Mapping[str, Any], name: str) -> None:
    given = {key.lower(): value for key, value in (change.properties.get("parameters") or {}).items()}
    known = {key.lower(): (key, one) for key, one in (definition.get("parameters") or {}).items()}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise errors.bad_request(
            "UndefinedPolicyParameter",
            f"The policy assignment '{change.path.name}' has defined parameters '{','.join(unknown)}' that are not "
            f"defined in the policy definition '{name}'. Please either remove these parameters or define them.",
        )
    missing = [key for lower, (key, one) in known.items() if lower not in given and "defaultValue" not in one]
    if missing:
        raise errors.bad_request(
            "MissingPolicyParameter",
            f"The policy assignment '{change.path.name}' is missing the parameter(s) '{','.join(missing)}' as defined "
            f"in the policy definition '{name}'.",
        )
    for lower, value in given.items():
        key, one = known[lower]
        allowed = one.get("allowedValues")
        sent = value.get("value") if isinstance(value, dict) else None
        # The case of allowed values counts.
        if allowed is not None and any(item not in allowed for item in (sent if isinstance(sent, list) else [sent])):
            raise errors.bad_request(
                "PolicyParameterValueNotAllowed",
                f"The value '{sent}' is not allowed for policy parameter '{key}' in policy definition '{name}'. The "
                f"allowed values are '{', '.join(map(str, allowed))}'.",
            )


def _modifies(engine: Engine, definition: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    return any(
        str(effect_written(rule, parameters)).lower() in ("modify", "deployifnotexists")
        for rule, parameters, _ in rules(engine, definition, properties)
    )


def rules(
    engine: Engine, definition: Mapping[str, Any], assignment: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any], Mapping[str, Any]]]:
    """Each definition that an assignment brings, with its parameters, and the reference to it (empty outside a set)."""
    values = parameter_values(definition, assignment.get("parameters") or {})
    if "policyDefinitions" not in definition:
        yield definition, values, {}
        return
    for reference in definition["policyDefinitions"]:
        member = find(engine, str(reference["policyDefinitionId"]))
        if member is not None:
            given = {name: {"value": _substituted(value.get("value"), values)}
                     for name, value in (reference.get("parameters") or {}).items()}  # fmt: skip
            yield member, parameter_values(member, given), reference


def parameter_values(definition: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each parameter of a definition: given, or its default."""
    sent = {name.lower(): value.get("value") for name, value in given.items() if isinstance(value, Mapping)}
    return {
        name: sent.get(name.lower(), copy.deepcopy(one.get("defaultValue")))
        for name, one in (definition.get("parameters") or {}).items()
    }


def _substituted(value: Any, values: Mapping[str, Any]) -> Any:
    """A set passes its own parameters on to its members."""
    match = re.fullmatch(r"\[parameters\('([^']+)'\)\]", value) if isinstance(value, str) else None
    return value if match is None else values.get(match[1])


def effect_written(definition: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    """The effect of a definition, which is often a parameter."""
    return _substituted(definition["policyRule"]["then"].get("effect"), parameters)


def _stamp(change: Change) -> None:
    moment = change.engine.clock.iso(change.engine.now)
    metadata = change.properties.get("metadata")
    kept = metadata if isinstance(metadata, dict) else {}
    old = change.old.get("metadata") or {}
    change.properties["metadata"] = {
        **kept, "createdOn": old.get("createdOn", moment), "updatedOn": moment if change.exists else None,
    }  # fmt: skip


# -- lists -----------------------------------------------------------------------------------------------------------


def definitions(call: Call) -> Answer | None:
    """GET of a built-in one, or the list at a scope: built-in ones and its own."""
    engine, path = call.engine, call.path
    if path.is_resource:
        return _one(call, DEFINITION, BUILT_IN)
    built_in = [_built_in(name, properties) for name, properties in BUILT_IN.items()]
    own = [engine.view(found) for found in engine.store.children(path.scope, DEFINITION)] if path.scope else []
    return Answer(200, {"value": _filtered([*own, *built_in], call.query.get("$filter", ""))})


def sets(call: Call) -> Answer | None:
    """GET of a set, or the list at a scope. No set is built in."""
    engine, path = call.engine, call.path
    if path.is_resource:
        return _one(call, SET, {})
    own = [engine.view(found) for found in engine.store.children(path.scope, SET)] if path.scope else []
    return Answer(200, {"value": _filtered(own, call.query.get("$filter", ""))})


def _one(call: Call, kind: str, built_in: Mapping[str, dict[str, Any]]) -> Answer | None:
    path = call.path
    if not path.scope and path.name.lower() in built_in:
        return Answer(200, _built_in(path.name.lower(), built_in[path.name.lower()]))
    if call.engine.store.get(path.text) is None:
        raise not_found(kind, path.name)
    return None


def _built_in(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"/providers/{DEFINITION}/{name}", "type": DEFINITION, "name": name, "properties": properties}


def _filtered(found: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """`policyType eq 'BuiltIn'` and `category eq 'Tags'` are what Azure knows here."""
    for name, operator, value in _FILTER.findall(text):

        def shown(document: dict[str, Any], name: str = name) -> str:
            properties = document["properties"]
            source = properties if name.lower() == "policytype" else properties.get("metadata") or {}
            return str(source.get("policyType" if name.lower() == "policytype" else "category", ""))

        found = [one for one in found if (shown(one).lower() == value.lower()) == (operator.lower() == "eq")]
    return found


def assignments(call: Call) -> Answer | None:
    """GET of one, or the list at a scope with what is inherited and, unless atScope() is asked, what is below."""
    if call.path.is_resource:
        return _one(call, ASSIGNMENT, {})
    return _around(call, ASSIGNMENT)


def exemptions(call: Call) -> Answer | None:
    """Likewise."""
    if call.path.is_resource:
        return _one(call, EXEMPTION, {})
    return _around(call, EXEMPTION)


def _around(call: Call, kind: str) -> Answer:
    engine, scope = call.engine, call.path.scope
    text = call.query.get("$filter", "")
    wanted = {name.lower(): value.lower() for name, operator, value in _FILTER.findall(text) if operator == "eq"}
    found = []
    for one in engine.store.of_type(kind):
        exact = one.parent.lower() == scope.lower()
        above = is_within(engine, scope, one.parent)
        below = is_within(engine, one.parent, scope) and "atscope()" not in text.lower()
        shown = exact if "atexactscope()" in text.lower() else exact or above or below
        definition = wanted.get("policydefinitionid")
        if shown and definition in (None, str(one.properties.get("policyDefinitionId", "")).lower()):
            found.append(one)
    return engine.page(call, found)
